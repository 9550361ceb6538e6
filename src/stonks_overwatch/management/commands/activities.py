"""`activities`: what happened in the accounts."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import money, number, table
from stonks_overwatch.reports.activities import activities

NO_ACTIVITIES = "No activities are stored of these days. Run stonks-overwatch sync for the latest."


class Command(PeriodCommand):
    help = "show trades, dividends, transfers and everything else that changed an account"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--kind", choices=[kind.value for kind in ActivityKind], help="only this kind")

    def handle(self, *, json: bool, **options: Any) -> None:
        kind = ActivityKind(options["kind"]) if options["kind"] else None
        document = activities(self.scope(options), options["start"], options["end"], kind)
        if json:
            self.print_document(document)
            return
        if not document.activities:
            self.stdout.write(NO_ACTIVITIES)
            return
        self.stdout.write(
            table(
                ("date", "account", "kind", "symbol", ">quantity", ">price", "cur", ">net", "sources"),
                [
                    (
                        row.trade_date.isoformat(),
                        row.account,
                        row.kind,
                        row.symbol or "",
                        "" if row.quantity is None else number(row.quantity),
                        "" if row.price is None else number(row.price),
                        row.currency,
                        money(row.net, row.currency),
                        ", ".join(row.sources),
                    )
                    for row in document.activities
                ],
            )
        )
