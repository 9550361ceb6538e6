"""`realized`: what closing positions earned, lot by lot."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.management.command import ReadingCommand, year
from stonks_overwatch.management.tables import about, money, number, table
from stonks_overwatch.reports.realized import RealizedDocument, realized


class Command(ReadingCommand):
    help = "show realized gains: lot by lot, by instrument, by year"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--year", type=year, metavar="YEAR", help="only what was closed in this year")
        parser.add_argument(
            "--method", choices=[m.value for m in Method], help="in place of each account's own method"
        )

    def handle(self, *, json: bool, **options: Any) -> None:
        method = Method(options["method"]) if options["method"] else None
        document = realized(self.scope(options), options["year"], method)
        if json:
            self.print_document(document)
        else:
            self.stdout.write(shown(document))


def shown(document: RealizedDocument) -> str:
    base = document.base_currency
    if not document.lots:
        return "Nothing was closed" + (f" in {document.year}." if document.year else ".")
    lots = table(
        (
            "closed", "account", "symbol", "acquired", ">days", ">quantity", "cur", ">proceeds", ">cost",
            ">gain", f">gain {base}", f">of currency {base}",
        ),
        [
            (
                row.disposed_on.isoformat(),
                row.account,
                row.symbol,
                "before" if row.acquired_on is None else row.acquired_on.isoformat(),
                "" if row.days is None else str(row.days),
                number(row.quantity),
                row.currency,
                money(row.proceeds, row.currency),
                money(row.cost, row.currency),
                money(row.gain, row.currency),
                about(money(row.gain_base, base), is_estimate=row.is_estimate),
                about(money(row.currency_effect_base, base), is_estimate=row.is_estimate),
            )
            for row in document.lots
        ],
    )  # fmt: skip
    years = table(
        ("year", ">lots", f">proceeds {base}", f">cost {base}", f">gain {base}", ">to a year", ">longer"),
        [
            (
                str(row.year),
                str(row.lots),
                money(row.proceeds_base, base),
                about(money(row.cost_base, base), is_estimate=row.estimates > 0),
                about(money(row.gain_base, base), is_estimate=row.estimates > 0),
                money(row.short_term_base, base),
                money(row.long_term_base, base),
            )
            for row in document.by_year
        ],
    )
    gain = about(money(document.totals.gain_base, base), is_estimate=document.totals.estimates > 0)
    last = f"Realized {gain} {base}"
    if document.totals.unknown:
        last += f"; {document.totals.unknown} unknown and not included"
    return f"{lots}\n\n{years}\n\n{last}"
