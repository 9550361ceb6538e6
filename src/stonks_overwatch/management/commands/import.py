"""`import`: files into the ledger."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import database
from stonks_overwatch.imports import FileResult, import_file
from stonks_overwatch.management.command import Command as BaseCommand


class Command(BaseCommand):
    help = "import files: activities, prices and rates as CSV"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", metavar="FILE", type=Path)
        parser.add_argument("--account", metavar="NAME", default="", help="the account of all rows")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, store nothing")
        self.add_json_argument(parser)

    def handle(self, *, files: list[Path], json: bool, **options: Any) -> None:
        database.prepare()
        results = [
            import_file(file, account=options["account"], dry_run=options["dry_run"]) for file in files
        ]
        if json:
            self.print_document({"files": [document(result) for result in results]})


def document(result: FileResult) -> dict[str, Any]:
    return {
        "file": result.file,
        "kind": result.kind,
        "rows": result.rows,
        "new": result.new,
        "known": result.known,
        "inbox": [{"row": refusal.line, "reason": refusal.reason} for refusal in result.refused],
    }
