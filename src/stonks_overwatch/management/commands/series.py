"""`series`: value, net contribution and time-weighted index of every day."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.only import add_only
from stonks_overwatch.management.tables import money, number, table
from stonks_overwatch.reports.series import series


class Command(PeriodCommand):
    help = "show value, net contribution and growth (TWR index) of every day"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_only(parser)

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = series(scope, options["start"], options["end"], options["only"])
        if json:
            self.print_document(document)
            return
        if not document.dates:
            given = options["start"] or options["end"]
            self.stdout.write("Nothing is known of these days." if given else self.nothing(scope))
            return
        rows = zip(
            document.dates,
            document.nav,
            document.net_contribution,
            document.twr_index,
            document.sources,
            strict=True,
        )
        base = scope.base_currency
        self.stdout.write(
            table(
                ("date", f">value {base}", ">net contribution", ">TWR index", "valued by"),
                [
                    (on.isoformat(), money(nav, base), money(flow, base), number(index), source)
                    for on, nav, flow, index, source in rows
                ],
            )
        )
