"""`periods`: the returns of the standard periods, of calendar years and of months."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import ReadingCommand
from stonks_overwatch.management.only import add_only
from stonks_overwatch.management.tables import money, percent, table
from stonks_overwatch.reports.performance import returns_by_period


class Command(ReadingCommand):
    help = "show the returns of the standard periods, of years and of months"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_only(parser)

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = returns_by_period(scope, options["only"])
        if json:
            self.print_document(document)
            return
        if not document.periods:
            self.stdout.write(self.nothing(scope))
            return
        self.stdout.write(
            table(
                ("period", "from", "to", ">TWR", ">TWR a year", ">XIRR", ">Dietz", ">end value"),
                [
                    (
                        row.name,
                        row.start.isoformat(),
                        row.end.isoformat(),
                        percent(row.twr),
                        percent(row.twr_annualized),
                        percent(row.xirr),
                        percent(row.modified_dietz),
                        money(row.end_nav, scope.base_currency),
                    )
                    for row in (*document.periods, *document.years, *reversed(document.months))
                ],
            )
        )
