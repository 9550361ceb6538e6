"""`sandbox`: a made-up IBKR on this machine, to try the product against."""

import argparse
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import paths
from stonks_overwatch.management.command import Command as BaseCommand
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox, process

HOW_TO_USE = """\
IBKR's sandbox is at {rest_url} until Ctrl-C.

In another terminal:
  export IBIND_OAUTH1A_REST_URL={rest_url}
  export STONKS_OVERWATCH_CONFIG={config}
  export STONKS_OVERWATCH_DATA_DIR={data}
  stonks-overwatch sync

What can go wrong with a broker can be switched on and off while it runs:
  curl {control}faults -d '{{"name": "unavailable", "times": 3}}'
  curl {control}faults -X DELETE
"""


class Command(BaseCommand):
    help = "start a made-up IBKR on this machine, to try the product against; Ctrl-C ends it"

    def add_arguments(self, parser: CommandParser) -> None:
        process.add_arguments(parser, paths.data_dir() / "sandbox")
        parser.add_argument(
            "--json", action="store_true", help="print its addresses as one line of JSON only"
        )

    def handle(self, **options: Any) -> None:
        process.serve(argparse.Namespace(**options), self._as_json if options["json"] else self._explain)

    def _as_json(self, sandbox: Sandbox) -> None:
        self._say(process.as_json(sandbox))

    def _explain(self, sandbox: Sandbox) -> None:
        self._say(
            HOW_TO_USE.format(
                rest_url=sandbox.rest_url,
                config=sandbox.config_file,
                data=sandbox.config_file.parent / "data",
                control=sandbox.control_url,
            )
        )

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
