"""`backup`: the whole database in one verified file."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import database
from stonks_overwatch.management.command import Command as BaseCommand


class Command(BaseCommand):
    help = "copy the database into one file, even while the app runs"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", nargs="?", metavar="FILE", type=Path, help="where to; data/backups unless given"
        )
        self.add_json_argument(parser)

    def handle(self, *, file: Path | None, json: bool, **_options: Any) -> None:
        database.prepare()
        made = database.backup(to=file)
        if json:
            self.print_document({"file": str(made.path), "bytes": made.bytes, "rows": made.rows})
        else:
            number = sum(made.rows.values())
            self.stdout.write(f"The database is in {made.path}: {number:,} rows, verified.")
