"""`attribution`: what each holding added to the return of a period."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import about, money, percent, table
from stonks_overwatch.reports.attribution import attribution


class Command(PeriodCommand):
    help = "show what each holding added to the time-weighted return"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)

    def handle(self, *, json: bool, **options: Any) -> None:
        document = attribution(self.scope(options), options["start"], options["end"])
        if json:
            self.print_document(document)
            return
        base = document.base_currency
        self.stdout.write(
            table(
                ("symbol", f">begin {base}", ">paid in", ">income", ">end", ">gain", ">contribution"),
                [
                    *(
                        (
                            row.symbol,
                            money(row.begin_base, base),
                            money(row.paid_base, base),
                            money(row.income_base, base),
                            money(row.end_base, base),
                            money(row.gain_base, base),
                            about(percent(row.contribution), is_estimate=row.is_estimate),
                        )
                        for row in document.holdings
                    ),
                    (
                        "cash and the rest",
                        *[""] * 5,
                        about(percent(document.rest), is_estimate=document.rest_is_estimate),
                    ),
                    ("together (TWR)", "", "", "", "", "", percent(document.twr)),
                ],
            )
        )
