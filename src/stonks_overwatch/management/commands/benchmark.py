"""`benchmark`: what the same money would have become in something else."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.only import add_price_return
from stonks_overwatch.management.tables import money, percent, table
from stonks_overwatch.reports.risk import ComparisonDocument, comparison


class Command(PeriodCommand):
    help = "compare with an instrument or a mix, into which the same money would have gone"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "benchmark", metavar="ISIN[:WEIGHT,...]", help="an instrument or a mix with prices"
        )
        add_price_return(parser)

    def handle(self, *, json: bool, benchmark: str, **options: Any) -> None:
        document = comparison(
            self.scope(options),
            benchmark,
            options["start"],
            options["end"],
            price_return=options["price_return"],
        )
        if json:
            self.print_document(document)
            return
        base = document.base_currency
        name = " + ".join(f"{percent(part.weight)} {part.symbol}" for part in document.parts)
        self.stdout.write(
            table(
                ("figure", ">portfolio", f">{name or 'benchmark'}"),
                [
                    (
                        f"return (TWR; {returns_of(document)})",
                        percent(document.twr),
                        percent(document.benchmark_return),
                    ),
                    (
                        f"end value with the same money, {base}",
                        money(document.end_nav, base),
                        money(document.benchmark_end_nav, base),
                    ),
                ],
            )
        )
        if document.why:
            self.stdout.write(document.why)


def returns_of(document: ComparisonDocument) -> str:
    """What the benchmark's return is a return of."""
    if not document.dividends:
        return "of prices"
    kind = "total return" if document.total_return else "of prices and the dividends that are known"
    return f"{kind}, {document.dividends} reinvested before tax"
