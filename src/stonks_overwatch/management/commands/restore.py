"""`restore`: a copy of the database in its place."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import database
from stonks_overwatch.management.command import Command as BaseCommand


class Command(BaseCommand):
    help = "put a backup in the place of the database, which is kept; the app must not run"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        self.add_json_argument(parser)

    def handle(self, *, file: Path, json: bool, **_options: Any) -> None:
        kept = database.restore(file)
        if json:
            self.print_document({"restored": str(file), "kept": None if kept is None else str(kept)})
        else:
            before = f" What was there before is in {kept}." if kept else ""
            self.stdout.write(f"The database is now what {file} holds.{before}")
