"""`rebuild`: the ledger anew from the answers that were kept, after a repair of how they are read."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import database, imports, sync
from stonks_overwatch.management.command import Command as BaseCommand
from stonks_overwatch.services.brokers import BROKERS


class Command(BaseCommand):
    help = "make the ledger anew from what brokers and files said; a copy of the database is made first"

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_json_argument(parser)

    def handle(self, *, json: bool, **_options: Any) -> None:
        database.prepare()
        copy = database.backup("before-rebuild").path
        runs = sum(sync.rebuild(broker, self.show_progress) for broker in BROKERS)
        files = imports.rebuild()
        if json:
            self.print_document({"runs": runs, "files": files, "backup": str(copy)})
        else:
            told = f"{runs} runs and {files} imported CSV files"
            self.stdout.write(f"The ledger was made anew from {told}; as it was before it is in {copy}.")
