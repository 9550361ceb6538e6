"""`doctor`: shows what the checks find."""

import dataclasses
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import checks
from stonks_overwatch.management.command import Command as BaseCommand
from stonks_overwatch.services.brokers import BROKERS


class Command(BaseCommand):
    help = "check configuration, keys, login, database, disk and port"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("broker", nargs="?", choices=sorted(BROKERS), help="only its logins")
        parser.add_argument(
            "--port", type=int, default=8000, help="where the app shall listen; 8000 unless given"
        )
        self.add_json_argument(parser)

    def handle(self, *, broker: str | None, port: int, json: bool, **_options: Any) -> None:
        findings = checks.everything(broker, port)
        if json:
            self.print_document({"findings": [dataclasses.asdict(finding) for finding in findings]})
        else:
            for finding in findings:
                self.stdout.write(f"{finding.status:8}{finding.check}: {finding.what}")
                if finding.next_step:
                    self.stdout.write(f"        {finding.next_step}")
        if any(finding.status == "error" for finding in findings):
            raise SystemExit(1)
