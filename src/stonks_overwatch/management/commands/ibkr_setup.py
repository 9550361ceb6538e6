"""`ibkr-setup`: connects a login to IBKR step by step, and goes on where it was left."""

import getpass
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from stonks_overwatch import database, demo, ibkr_setup, paths
from stonks_overwatch.errors import ConfigError, NotActiveError
from stonks_overwatch.ibkr_setup import Setup
from stonks_overwatch.management.command import Command as BaseCommand
from stonks_overwatch.services.brokers.ibkr import credentials, keys

REHEARSAL_PAUSE = timedelta(seconds=10)
"""Between two logins of a rehearsal, whose registrations are active at once."""


class Command(BaseCommand):
    help = "connect Interactive Brokers: keys, registration, token, login test"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--login", metavar="NAME", help="which login, where there are or will be several")
        parser.add_argument("--new", action="store_true", help="make a new registration with new keys")
        parser.add_argument("--token", action="store_true", help="enter a newly generated access token")
        parser.add_argument("--consumer-key", metavar="KEY", help="as registered; asked for if not given")
        parser.add_argument("--no-wait", action="store_true", help="try the login once, do not wait for IBKR")
        parser.add_argument("--rehearse", action="store_true", help="against a made-up IBKR on this computer")

    def handle(self, *, login: str | None, rehearse: bool, **options: Any) -> None:
        given = [*(["--login", login] if login else []), *(["--rehearse"] if rehearse else [])]
        self.again = (
            f"Run `{shlex.join(['stonks-overwatch', 'ibkr-setup', *given])}` again: it goes on from here."
        )
        self.is_rehearsal = rehearse
        database.prepare()
        with rehearsal() if rehearse else nullcontext():
            if rehearse:
                self.say("This is a rehearsal: nothing goes to IBKR, and your configuration is not touched.")
                self.say(f"Its files are in {paths.config_file().parent}.")
            try:
                self.go_through(ibkr_setup.choose(login), **options)
            except KeyboardInterrupt:
                self.explain("The set-up was interrupted; nothing is lost.", self.again)
                sys.exit(130)

    def go_through(
        self, login: str, *, new: bool, token: bool, consumer_key: str | None, no_wait: bool, **_: Any
    ) -> None:
        if new:
            ibkr_setup.begin_anew(login)
        setup = ibkr_setup.look(login)
        if setup.stage == "keys":
            setup = self.wait_for_keys(setup)
        if setup.stage == "registration":
            self.explain_registration(setup)
        while (setup := ibkr_setup.look(login)).stage == "registration":
            text = consumer_key or self.answer("Consumer key (nine letters)")
            with self.asking_again(once=consumer_key is not None):
                ibkr_setup.enter_consumer_key(login, text)
        if setup.stage == "token":
            self.say("\nOn the same page, generate the access token. It and its secret are shown once.")
        is_wanted = token or setup.stage == "token"
        while is_wanted:
            text = self.answer("Access token", secret=True)
            secret = self.answer("Access token secret", secret=True)
            with self.asking_again():
                ibkr_setup.enter_token(login, text, secret)
                self.say(f"The pieces fit together. {paths.config_file()} is written.")
                is_wanted = False
        self.wait_for_ibkr(login, once=no_wait or not sys.stdin.isatty())

    def wait_for_keys(self, setup: Setup) -> Setup:
        self.say(f"Step 1 of 4: keys, made on this computer in {setup.folder}")
        ibkr_setup.make_keys(setup.login)
        shown = ""
        while (setup := ibkr_setup.look(setup.login)).making is not None:
            if (text := making(setup.making)) != shown:
                self.progress(text)
                shown = text
            time.sleep(0.5)
        if setup.missing:
            raise ConfigError(
                setup.failure or "The keys were not finished: the process that makes them has ended.",
                next_step=self.again,
            )
        self.progress("The keys are made.\n")
        return setup

    def explain_registration(self, setup: Setup) -> None:
        self.say("\nStep 2 of 4: registration with IBKR")
        self.say(f"Open {credentials.portal_url()}")
        self.say("and log in with the user name whose accounts shall be read. Choose a consumer key of nine")
        self.say(
            "capital letters and upload these three files; the private_ files never leave this computer:"
        )
        for name, title in ibkr_setup.WHAT_TO_UPLOAD.items():
            self.say(f"  {title + ':':28}{setup.folder / name}")
        self.say("\nStep 3 of 4: what the page gives back")

    def wait_for_ibkr(self, login: str, *, once: bool) -> None:
        self.say("\nStep 4 of 4: the first login")
        while True:
            findings = ibkr_setup.try_login(login)
            setup = ibkr_setup.look(login)
            notes = setup.notes
            if notes.outcome == "connected":
                for finding in findings:
                    self.say(f"  {finding.status:8}{finding.check}: {finding.what}")
                self.say(
                    "Connected. That was the rehearsal; without --rehearse it is IBKR."
                    if self.is_rehearsal
                    else "Connected. Start the app with `make run` (or `stonks-overwatch run`)."
                )
                return
            if notes.outcome == "refused" or once or setup.next_try_at is None:
                raise NotActiveError(notes.what, next_step=f"{notes.next_step} {self.again}")
            until = datetime.now(UTC) + REHEARSAL_PAUSE if self.is_rehearsal else setup.next_try_at
            self.say(f"{notes.what}\n{notes.next_step}")
            self.say(
                f"The next try is at {until.astimezone():%H:%M:%S}. Ctrl-C stops this: the app goes on "
                "trying while it runs, and so does this command when it is run again."
            )
            while datetime.now(UTC) < until:
                time.sleep(1)

    @contextmanager
    def asking_again(self, *, once: bool = False) -> Iterator[None]:
        """Tell why what was entered is not accepted. Raises: ConfigError where nobody can be asked again."""
        try:
            yield
        except ConfigError as err:
            if once or not sys.stdin.isatty():
                raise
            self.explain(err.what, err.next_step)

    def answer(self, question: str, *, secret: bool = False) -> str:
        """What the user types; the next line of standard input where nobody is at a terminal."""
        if sys.stdin.isatty():
            return getpass.getpass(f"{question} (not shown): ") if secret else input(f"{question}: ")
        line = sys.stdin.readline()
        if not line:
            raise ConfigError(f"{question} is still to be entered.", next_step=self.again)
        return line.strip()

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def progress(self, text: str) -> None:
        end = "" if sys.stderr.isatty() else "\n"
        start = "\r\033[K" if sys.stderr.isatty() else ""
        self.stderr.write(f"{start}{text.strip()}", ending=end or ("\n" if text.endswith("\n") else ""))
        self.stderr.flush()


def making(progress: keys.Progress) -> str:
    if progress.file != keys.PARAMETERS:
        return f"{progress.file} ..."
    return (
        f"{progress.file}: {progress.tried:,} numbers tried; one in {keys.CANDIDATES_PER_PRIME:,} fits, "
        "which takes a few minutes"
    )


@contextmanager
def rehearsal() -> Iterator[None]:
    """A made-up IBKR as a child process, and a folder of its own for what the set-up writes."""
    folder = settings.DATA_DIR / "rehearsal"
    with demo.sandbox_process(folder / "ibkr", "--scenario", "small") as addresses:
        os.environ["IBIND_OAUTH1A_REST_URL"] = addresses["rest_url"]
        os.environ["STONKS_OVERWATCH_IBKR_PORTAL_URL"] = addresses["portal"]
        os.environ["STONKS_OVERWATCH_CONFIG"] = str(folder / "config.json")
        yield
