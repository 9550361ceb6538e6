"""`performance`: returns, the value bridge and the risk of a period."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.only import add_only, add_price_return
from stonks_overwatch.management.tables import UNKNOWN, about, money, number, percent, table
from stonks_overwatch.reports.lot_books import Earned
from stonks_overwatch.reports.performance import PerformanceDocument, performance
from stonks_overwatch.reports.realized import realized_between


class Command(PeriodCommand):
    help = "show returns, what changed the value, and risk of a period"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_only(parser)
        parser.add_argument(
            "--benchmark", metavar="ISIN[:WEIGHT,...]", default="", help="what beta is taken against"
        )
        add_price_return(parser)
        parser.add_argument(
            "--method",
            choices=[method.value for method in Method],
            help="how sales find their lots, for the realized gains; in place of each account's own method",
        )

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = performance(
            scope,
            options["start"],
            options["end"],
            options["benchmark"],
            options["only"],
            price_return=options["price_return"],
        )
        if json:
            self.print_document(document)
            return
        if document.end is None:
            self.stdout.write(self.nothing(scope))
            return
        realized = Earned(None, is_estimate=False)
        if document.start and document.end:
            method = Method(options["method"]) if options["method"] else None
            asked = scope, document.start, document.end, method, options["only"]
            realized = realized_between(*asked)
        self.stdout.write(table(("figure", ">value"), _rows(document, realized)))


def _rows(document: PerformanceDocument, realized: Earned) -> list[tuple[str, str]]:
    base, bridge, risk = document.base_currency, document.bridge, document.risk
    return [
        ("from", document.start.isoformat() if document.start else UNKNOWN),
        ("to", document.end.isoformat() if document.end else UNKNOWN),
        (f"value before, {base}", money(document.begin_nav, base)),
        ("net contribution", money(document.net_contribution, base)),
        ("market", about(money(bridge.market, base), is_estimate=document.bridge_is_estimate)),
        ("income", money(bridge.income, base)),
        ("fees", money(bridge.fees, base)),
        ("taxes", money(bridge.taxes, base)),
        ("currency", about(money(bridge.currency, base), is_estimate=document.bridge_is_estimate)),
        ("other", money(bridge.other, base)),
        (f"value at the end, {base}", money(document.end_nav, base)),
        (
            "gains of lots that were closed",
            about(money(realized.gain, base), is_estimate=realized.is_estimate),
        ),
        ("time-weighted return", percent(document.twr)),
        ("time-weighted return per year", percent(document.twr_annualized)),
        ("money-weighted return per year (XIRR)", percent(document.xirr)),
        ("modified Dietz", percent(document.modified_dietz)),
        ("volatility per year", percent(risk.volatility)),
        ("deepest fall", percent(risk.max_drawdown)),
        ("Sharpe ratio", number(risk.sharpe)),
        ("Sortino ratio", number(risk.sortino)),
        ("beta", number(risk.beta)),
        ("complete since", document.complete_since.isoformat() if document.complete_since else UNKNOWN),
    ]
