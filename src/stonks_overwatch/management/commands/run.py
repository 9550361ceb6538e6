"""`run`: the app, one process with pages, JSON and syncs."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn
from django.core.management.base import CommandParser

from stonks_overwatch import database, demo, logs, memory, tasks
from stonks_overwatch.errors import PortBusyError
from stonks_overwatch.management.command import Command as BaseCommand

HOST = "127.0.0.1"


class Command(BaseCommand):
    help = "start the app; it is at http://127.0.0.1:8000 until Ctrl-C"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=port_number, default=8000, help="8000 unless given; 0: any free one"
        )
        parser.add_argument("--demo", action="store_true", help="a made-up portfolio, in its own data folder")
        parser.add_argument("--debug", action="store_true", help="log in detail, to the terminal too")

    def handle(self, *, port: int, debug: bool, **options: Any) -> None:
        with ExitStack() as stack:
            # First of all, so that a busy port says so at once and nothing else has begun.
            listener = stack.enter_context(listen(port))
            server = Server(debug, f"http://{HOST}:{listener.getsockname()[1]}")
            copy = database.prepare()
            if copy is not None:
                self.stdout.write(f"The database was brought up to date; as it was before it is in {copy}.")
            logs.configure(debug=debug, terminal=True)
            memory.stay_small()
            if options["demo"]:
                stack.enter_context(demo.sandbox())
            tasks.start()
            server.run(sockets=[listener])
        # Not sys.exit: that would wait for a page or a sync that hangs in a network read. Their
        # transactions are undone by the database, as after a kill.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


class Server(uvicorn.Server):
    """Says where it is, and ends within two seconds of SIGINT, SIGTERM or SIGHUP whatever is going on."""

    def __init__(self, debug: bool, address: str) -> None:
        super().__init__(
            uvicorn.Config(
                "stonks_overwatch.asgi:application",
                access_log=debug,
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
                ws="none",
            )
        )
        self.address = address
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.end)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are ours from the start on, not only while pages are served

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        memory.settle()
        sys.stdout.write(f"Stonks Overwatch is at {self.address} (Ctrl-C ends it)\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.3)  # a page is done in much less
        for connection in list(self.server_state.connections):
            connection.transport.close()  # a stream of progress; it ends as if its reader had gone
        await super().shutdown(sockets)

    def end(self, *_: Any) -> None:
        if not self.started:
            sys.exit(0)
        self.should_exit = True
        limit = threading.Timer(1.5, os._exit, [0])
        limit.daemon = True
        limit.start()


@contextmanager
def listen(port: int) -> Iterator[socket.socket]:
    """A socket that listens on this machine alone. Raises: PortBusyError."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as err:
            raise PortBusyError(
                f"Port {port} cannot be used ({err.strerror}).",
                next_step=f"Name another one: make run port={port + 1} (or run --port {port + 1}).",
            ) from err
        yield listener


def port_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is not a port: a number up to 65535")
    return int(text)
