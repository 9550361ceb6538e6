"""`export`: everything as files that an import takes."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import database
from stonks_overwatch.exports import export
from stonks_overwatch.management.command import Command as BaseCommand


class Command(BaseCommand):
    help = "write activities, prices and rates as CSV files that import reads"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path)
        self.add_json_argument(parser)

    def handle(self, *, folder: Path, json: bool, **_options: Any) -> None:
        database.prepare()
        done = export(folder)
        if json:
            self.print_document({"folder": str(folder), "rows": dict(done.rows), "left_out": done.left_out})
            return
        counted = ", ".join(f"{name} ({number:,} rows)" for name, number in done.rows.items())
        self.stdout.write(f"In {folder}: {counted}.")
        if done.left_out:
            self.explain(
                f"{done.left_out} activities have an unknown amount and are not in the files.",
                "stonks-overwatch activities shows them; backup keeps them too.",
                kind="warning",
            )
