"""`targets`: wanted weights, what is away from them, and a plan for new money."""

from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.ledger.targets import Wanted, replace
from stonks_overwatch.management.command import ReadingCommand
from stonks_overwatch.management.tables import money, number, percent, table
from stonks_overwatch.reports.targets import GROUPS, GroupBy, TargetsDocument, targets

BAND = Decimal("0.05")


class Command(ReadingCommand):
    help = "show and set wanted weights, and plan what to buy with new money"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--by", choices=GROUPS, default="asset_class", help="what to group by (asset_class)"
        )
        parser.add_argument(
            "--set",
            dest="wanted",
            nargs="*",
            type=_wanted,
            metavar="GROUP=WEIGHT[:BAND]",
            help=f"make these the targets, as fractions (etf=0.6:0.05; band {BAND}); without any: no targets",
        )
        parser.add_argument("--money", type=_amount, default=Decimal(0), help="new money to invest")
        parser.add_argument("--two-sided", action="store_true", help="sell what is above its band, too")
        parser.add_argument("--minimum", type=_amount, default=Decimal(0), help="the smallest order")

    def handle(self, *, json: bool, by: GroupBy, **options: Any) -> None:
        scope = self.scope(options)
        if options["wanted"] is not None:
            replace(by, options["wanted"])
        document = targets(
            scope, by, options["money"], two_sided=options["two_sided"], minimum=options["minimum"]
        )
        if json:
            self.print_document(document)
            return
        for lines in _tables(document, scope.base_currency):
            self.stdout.write(lines)


def _wanted(text: str) -> Wanted:
    key, _, numbers = text.rpartition("=")
    weight, _, band = numbers.partition(":")
    try:
        return Wanted(key, Decimal(weight), Decimal(band) if band else BAND)
    except InvalidOperation as err:
        raise ArgumentTypeError(f"{text!r} is not a target like etf=0.6 or etf=0.6:0.05") from err


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation as err:
        raise ArgumentTypeError(f"{text!r} is not an amount like 1000") from err
    if not amount.is_finite() or amount < 0:
        raise ArgumentTypeError(f"{text} is not an amount of 0 or more")
    return amount


def _tables(document: TargetsDocument, base: str) -> list[str]:
    rows = [
        (
            row.name,
            money(row.value_base, base),
            percent(row.weight),
            "" if row.target is None else percent(row.target),
            "" if row.target is None else percent(row.drift),
            "" if row.target is None else row.status,
            percent(row.after_weight),
        )
        for row in document.rows
    ]
    columns = (document.by, f">value {base}", ">weight", ">target", ">drift", "band", ">after")
    lines = [table(columns, rows)]
    if document.orders:
        orders = [
            (
                order.side,
                order.account,
                order.symbol,
                number(order.quantity),
                money(order.amount_base, base),
                order.group,
            )
            for order in document.orders
        ]
        lines += ["", table(("plan", "account", "symbol", ">quantity", f">{base}", "group"), orders)]
    if document.money_base or document.two_sided:
        lines.append("")
        lines.append(
            f"buy {money(document.bought_base, base)}, sell {money(document.sold_base, base)}, "
            f"left as cash {money(document.left_base, base)} {base}"
        )
        lines += [
            f"{row.key}: {money(row.amount_base, base)} {base} without an instrument to buy"
            for row in document.unplaced
        ]
    if not document.target_total:
        lines += ["", "No targets are set: stonks-overwatch targets --set GROUP=WEIGHT ..."]
    return lines
