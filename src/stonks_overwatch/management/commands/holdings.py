"""`holdings`: what is held and what it is worth."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.management.command import ReadingCommand
from stonks_overwatch.management.tables import about, currency, moment, money, number, percent, table
from stonks_overwatch.reports.holdings import HoldingsDocument, holdings


class Command(ReadingCommand):
    help = "show positions and cash, valued"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--method",
            choices=[m.value for m in Method],
            help="cost by this method in place of the account's",
        )

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = holdings(scope, Method(options["method"]) if options["method"] else None)
        if json:
            self.print_document(document)
        else:
            self.stdout.write(self.nothing(scope) if document.as_of is None else shown(document))


def shown(document: HoldingsDocument) -> str:
    base = document.base_currency
    parts = [
        table(
            (
                "account", "symbol", "class", ">quantity", ">price", "cur",
                f">value {base}", ">weight", f">unrealized {base}", f">realized {base}",
            ),
            [
                (
                    row.account,
                    row.symbol,
                    row.asset_class,
                    number(row.quantity),
                    number(row.price),
                    row.currency,
                    money(row.market_value_base, base),
                    percent(row.weight),
                    money(row.unrealized_pnl_base, base),
                    about(money(row.realized_pnl_base, base), is_estimate=row.realized_is_estimate),
                )
                for row in document.holdings
            ],
        )
        if document.holdings
        else "No open positions.",
        table(
            ("account", "cash", ">amount", f">value {base}"),
            [
                (row.account, row.currency, money(row.amount, row.currency), money(row.amount_base, base))
                for row in document.cash
            ],
        ),
        table(
            ("account", "broker", "cur", ">NAV", f">NAV {base}"),
            [
                (
                    row.account,
                    row.broker,
                    currency(row.currency),
                    money(row.nav, row.currency),
                    money(row.nav_base, base),
                )
                for row in document.accounts
            ],
        ),
    ]  # fmt: skip
    totals = document.totals
    last = f"NAV {money(totals.nav_base, base)} {base}, as of {moment(document.as_of)}"
    if totals.unknown:
        last += f"; {totals.unknown} unknown and not included"
    return "\n\n".join([*parts, last])
