"""`exposures`: what the portfolio moves with."""

from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import ReadingCommand, fraction
from stonks_overwatch.management.tables import UNKNOWN, money, number, percent, table
from stonks_overwatch.reports.exposures import RATE, ExposuresDocument, exposures


class Command(ReadingCommand):
    help = "show exposure gross and net, options with greeks, expiries, bonds, margin"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--rate",
            type=fraction,
            default=RATE,
            metavar="FRACTION",
            help=f"the riskless yearly rate that the greeks assume ({RATE})",
        )
        parser.add_argument(
            "--dividend-yield",
            type=fraction,
            default=Decimal(0),
            metavar="FRACTION",
            help="the dividend yield of the underlyings that the greeks assume (0)",
        )

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = exposures(scope, options["rate"], options["dividend_yield"])
        if json:
            self.print_document(document)
            return
        if not document.by_class:
            self.stdout.write(self.nothing(scope))
            return
        for lines in _tables(document, scope.base_currency):
            self.stdout.write(lines)
            self.stdout.write("")
        totals, base = document.totals, scope.base_currency
        self.stdout.write(
            f"gross {money(totals.gross_base, base)} {base}, net {money(totals.net_base, base)} {base}, "
            f"gross over NAV {percent(totals.leverage)}"
            + (f"; {totals.unknown} unknown and not included" if totals.unknown else "")
        )


def _tables(document: ExposuresDocument, base: str) -> list[str]:
    tables = [
        table(
            ("class", f">long {base}", f">short {base}", f">net {base}", ">weight"),
            [
                (
                    row.asset_class,
                    money(row.long_base, base),
                    money(row.short_base, base),
                    money(row.net_base, base),
                    percent(row.weight),
                )
                for row in document.by_class
            ],
        )
    ]
    if document.options:
        rows = [
            (
                f"{row.symbol} {row.right or ''} {number(row.strike)}",
                row.expires_on.isoformat() if row.expires_on else UNKNOWN,
                number(row.quantity),
                percent(row.implied_volatility),
                UNKNOWN if row.delta is None else f"{row.delta:.3f}",
                money(row.delta_base, base),
            )
            for row in document.options
        ]
        columns = ("option", "expires", ">quantity", ">volatility", ">delta", f">exposure {base}")
        tables.append(table(columns, rows))
    if document.bonds:
        bonds = [
            (
                row.symbol,
                row.matures_on.isoformat() if row.matures_on else UNKNOWN,
                number(row.face),
                percent(row.coupon),
                percent(row.yield_to_maturity),
                money(row.accrued, row.currency),
            )
            for row in document.bonds
        ]
        tables.append(table(("bond", "matures", ">face", ">coupon", ">yield", ">accrued"), bonds))
    if document.margin:
        margin = [
            (
                row.account,
                money(row.maintenance_margin, row.currency),
                money(row.excess_liquidity, row.currency),
                percent(row.cushion),
            )
            for row in document.margin
        ]
        tables.append(table(("account", ">maintenance margin", ">excess liquidity", ">cushion"), margin))
    return tables
