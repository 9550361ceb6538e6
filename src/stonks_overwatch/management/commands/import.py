"""`import`: files into the ledger, and out again."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import database
from stonks_overwatch.imports import FileResult, import_files, undo
from stonks_overwatch.management.command import Command as BaseCommand
from stonks_overwatch.management.tables import table
from stonks_overwatch.reports.imports import imports

NOT_STORED = "Nothing of this file was stored."


class Command(BaseCommand):
    help = "import files (CSV of activities, prices and rates; IBKR's Flex XML), list or undo imports"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", metavar="FILE", type=Path)
        parser.add_argument("--account", metavar="NAME", default="", help="the account of all rows")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, store nothing")
        parser.add_argument("--undo", metavar="ID", type=int, help="take back what this import alone brought")
        parser.add_argument("--list", action="store_true", help="the imports so far, with the ID of each")
        self.add_json_argument(parser)

    def handle(self, *, files: list[Path], json: bool, **options: Any) -> None:
        asked = [bool(files), options["undo"] is not None, options["list"]]
        if sum(asked) != 1:
            self.parser.error("name files to import, or --undo ID, or --list")
        database.prepare()
        if options["list"]:
            self._list(json=json)
        elif options["undo"] is not None:
            self._undo(options["undo"], json=json)
        else:
            self._import(files, json=json, account=options["account"], dry_run=options["dry_run"])

    def _import(self, files: list[Path], *, json: bool, account: str, dry_run: bool) -> None:
        results = import_files(files, account=account, dry_run=dry_run, progress=self.show_progress)
        if json:
            self.print_document({"files": [document(result) for result in results]})
        else:
            self.stdout.write("\n".join(shown(result, is_trial=dry_run) for result in results))
        for result in results:
            if result.note:
                self.stderr.write(f"note: {result.file}: {result.note}")
        refused = [result.file for result in results if result.refused]
        if refused:
            self.explain(
                f"{' and '.join(refused)}: not all of it can be imported, so nothing of it was stored.",
                "Correct what is named above and import the whole file again; known rows count once.",
            )
            sys.exit(1)

    def _undo(self, number: int, *, json: bool) -> None:
        undone = undo(number)
        if json:
            self.print_document({"undone": {"id": number, "file": undone.file, "kind": undone.kind}})
        else:
            self.stdout.write(f"Import {number} ({undone.file}) is undone.")

    def _list(self, *, json: bool) -> None:
        document = imports()
        if json:
            self.print_document(document)
        elif document.imports:
            head = (">id", "when", "file", "kind", ">rows", ">new", ">known", "from", "to")
            self.stdout.write(
                table(
                    head,
                    [
                        (
                            str(row.id), f"{row.at:%Y-%m-%d %H:%M}", row.file, row.kind, str(row.rows),
                            str(row.new), str(row.known), f"{row.since or ''}", f"{row.until or ''}",
                        )
                        for row in document.imports
                    ],
                )
            )  # fmt: skip
        else:
            self.stdout.write("Nothing was imported yet.")


def document(result: FileResult) -> dict[str, Any]:
    return {
        "file": result.file,
        "kind": result.kind,
        "rows": result.rows,
        "new": result.new,
        "known": result.known,
        "inbox": [{"row": line, "reason": reason} for line, reason in (*result.refused, *result.inbox)],
    }


def shown(result: FileResult, *, is_trial: bool) -> str:
    head = f"{result.file} ({result.kind}): {result.rows} rows"
    if result.refused:
        lines = [f"  line {line}: {reason}" for line, reason in result.refused]
        return "\n".join([f"{head}, {len(lines)} refused. {NOT_STORED}", *lines])
    counted = f"{head}, {result.new} new, {result.known} known"
    if result.inbox:
        counted += f", {len(result.inbox)} for the inbox"
    if is_trial:
        return f"{counted} (a trial: nothing was stored)"
    if not result.rows:
        return counted
    if result.number is None:
        return f"{counted}; this very file is imported already"
    return f"{counted}; undo it with --undo {result.number}"
