"""`risk`: deviations, falls and ratios of a period."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.only import add_only, add_price_return
from stonks_overwatch.management.tables import UNKNOWN, number, table
from stonks_overwatch.reports.risk import risk


class Command(PeriodCommand):
    help = "show the risk of a period, alone and against a benchmark"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_only(parser)
        parser.add_argument(
            "--benchmark", metavar="ISIN[:WEIGHT,...]", default="", help="an instrument or a mix with prices"
        )
        add_price_return(parser)

    def handle(self, *, json: bool, **options: Any) -> None:
        document = risk(
            self.scope(options),
            options["start"],
            options["end"],
            options["benchmark"],
            options["only"],
            price_return=options["price_return"],
        )
        if json:
            self.print_document(document)
            return
        self.stdout.write(
            table(
                ("figure", ">value"),
                [(name.replace("_", " "), _text(value)) for name, value in document],
            )
        )


def _text(value: Decimal | date | int | None) -> str:
    if value is None:
        return UNKNOWN
    return number(value) if isinstance(value, Decimal) else str(value)
