"""`sync`: one run of every enabled login, waited for."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch import database, sync
from stonks_overwatch.errors import ConfigError
from stonks_overwatch.management.command import Command as BaseCommand
from stonks_overwatch.reports import syncs
from stonks_overwatch.reports.syncs import Run, RunsDocument
from stonks_overwatch.services.brokers import BROKERS


class Command(BaseCommand):
    help = "read the brokers' data into the local database"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("broker", nargs="?", choices=sorted(BROKERS), help="only this one's logins")
        self.add_json_argument(parser)

    def handle(self, *, broker: str | None, json: bool, **_options: Any) -> None:
        database.prepare()
        try:
            rows = sync.run_all(broker, self.show_progress)
        except ConfigError:
            if json:
                self.print_document(RunsDocument(runs=()))
            raise
        document = RunsDocument(runs=tuple(syncs.run(row) for row in rows))
        if json:
            self.print_document(document)
        for run in document.runs:
            # A configuration that cannot be read is a run of no broker, of which there is only the error.
            if not json and run.broker:
                self.stdout.write(summary(run))
            if run.error is not None:
                kind = "error" if run.status == "failed" else "warning"
                self.explain(run.error.what, run.error.next_step, kind)
        if any(run.status == "failed" for run in document.runs):
            raise SystemExit(1)


def summary(run: Run) -> str:
    name = f"{run.broker} {run.login}".strip()
    if run.status == "failed":
        return f"{name}: failed"
    counts = run.counts
    return (
        f"{name}: {run.status}, {counts.accounts} accounts, {counts.positions} positions, "
        f"{counts.activities_new} new activities, {counts.inbox} rows in the inbox"
    )
