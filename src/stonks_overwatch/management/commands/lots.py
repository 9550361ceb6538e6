"""`lots`: open lots, a sale that might be, and how sales find their lots."""

from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.errors import LotsRefusedError
from stonks_overwatch.ledger import choices
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.management.command import ReadingCommand
from stonks_overwatch.management.tables import UNKNOWN, about, moment, money, number, table
from stonks_overwatch.reports.lots import LotsDocument, WhatIfDocument, lots, what_if
from stonks_overwatch.reports.scope import Scope, accounts


class Command(ReadingCommand):
    help = "show open lots, try a sale by each method, choose how sales find their lots"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--method", choices=[m.value for m in Method], help="in place of each account's own method"
        )
        acts = parser.add_mutually_exclusive_group()
        acts.add_argument(
            "--what-if", nargs=2, metavar=("REF", "QUANTITY"),
            help="what a sale would realize by each method; REF is a symbol, an ISIN or the broker's number",
        )  # fmt: skip
        acts.add_argument(
            "--set-method", choices=[m.value for m in Method],
            help="match the sales of the accounts by this method from now on; nothing is imported again",
        )  # fmt: skip
        acts.add_argument(
            "--choose", nargs=3, metavar=("SALE", "PURCHASE", "QUANTITY"),
            help="let a sale close this much of a purchase (ids of activities; 0 takes it back); "
            "counts with the method specific",
        )  # fmt: skip
        parser.add_argument(
            "--lot", action="append", default=[], metavar="PURCHASE",
            help="of --what-if: close the lot of this activity first (opened_by of --json); once for each",
        )  # fmt: skip
        parser.add_argument(
            "--price", type=price, metavar="PRICE", help="of --what-if, in place of the last one"
        )

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        if options["set_method"]:
            chosen = accounts(scope)
            choices.set_method(chosen, Method(options["set_method"]))
            self.show_progress(
                f"{', '.join(a.account for a in chosen) or 'No account'}: {options['set_method']}", 0, 0
            )
        elif options["choose"]:
            self._choose(scope, *options["choose"])
        if options["what_if"]:
            reference, units = options["what_if"]
            sale = what_if(scope, reference, quantity(units), options["price"], options["lot"])
            self._print(sale, shown_sale(sale), json=json)
            return
        document = lots(scope, Method(options["method"]) if options["method"] else None)
        text = self.nothing(scope) if document.as_of is None else shown(document)
        self._print(document, text, json=json)

    def _choose(self, scope: Scope, closing: str, opening: str, units: str) -> None:
        found = accounts(scope)
        if len(found) != 1:
            raise LotsRefusedError(
                "Lots are chosen in one account.", next_step="Name the account with --account."
            )
        choices.choose(found[0], closing, opening, quantity(units))

    def _print(self, document: LotsDocument | WhatIfDocument, text: str, *, json: bool) -> None:
        if json:
            self.print_document(document)
        else:
            self.stdout.write(text)


def price(text: str) -> Decimal:
    """The number an argument gives; for `type=` of an argument."""
    try:
        number = Decimal(text)
    except InvalidOperation as err:
        raise ArgumentTypeError(f"{text!r} is not a number like 12.5") from err
    if not number.is_finite():
        raise ArgumentTypeError(f"{text!r} is not a number like 12.5")
    return number


def quantity(text: str) -> Decimal:
    """The quantity among the values of an argument. Raises: LotsRefusedError."""
    try:
        return price(text)
    except ArgumentTypeError as err:
        raise LotsRefusedError(
            f"The quantity {err}.", next_step="Write digits, with a point before decimals."
        ) from err


def shown(document: LotsDocument) -> str:
    base = document.base_currency
    if not document.lots:
        return "No open lots."
    rows = table(
        (
            "account", "symbol", "method", "acquired", ">days", ">quantity", "cur", ">cost",
            f">cost {base}", f">value {base}", f">unrealized {base}", f">of currency {base}",
        ),
        [
            (
                row.account,
                row.symbol,
                row.method,
                "before" if row.acquired_on is None else row.acquired_on.isoformat(),
                "" if row.days is None else str(row.days),
                number(row.quantity),
                row.currency,
                money(row.cost, row.currency),
                about(money(row.cost_base, base), is_estimate=row.is_estimate),
                money(row.market_value_base, base),
                about(money(row.unrealized_pnl_base, base), is_estimate=row.is_estimate),
                about(money(row.currency_effect_base, base), is_estimate=row.is_estimate),
            )
            for row in document.lots
        ],
    )  # fmt: skip
    totals = document.totals
    last = f"Unrealized {money(totals.unrealized_pnl_base, base)} {base}, as of {moment(document.as_of)}"
    if totals.unknown:
        last += f"; {totals.unknown} unknown and not included"
    return f"{rows}\n\n{last}"


def shown_sale(document: WhatIfDocument) -> str:
    base, currency = document.base_currency, document.currency
    price = UNKNOWN if document.price is None else number(document.price)
    what = f"{number(document.quantity)} {document.symbol} of account {document.account}"
    outcomes = table(
        (
            "method",
            ">lots",
            f">cost {currency}",
            f">proceeds {currency}",
            f">gain {currency}",
            f">gain {base}",
        ),
        [
            (
                row.method,
                str(len(row.sold)),
                money(row.cost, currency),
                money(row.proceeds, currency),
                money(row.gain, currency),
                about(money(row.gain_base, base), is_estimate=row.is_estimate),
            )
            for row in document.outcomes
        ],
    )
    return f"{what} at {price} {currency}, before commission:\n\n{outcomes}"
