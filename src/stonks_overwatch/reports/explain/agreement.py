"""How what is computed agrees with what brokers report: the figures of reconcile."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from django.db.models import Q

from stonks_overwatch.ledger.models import Account, Activity, CashBalance, Figure, Position
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.books import moving
from stonks_overwatch.reports.cash import Effect, effects_on
from stonks_overwatch.reports.documents import Rows, times, total
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made, RateUsed
from stonks_overwatch.reports.explain.finding import REPORTS, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.sums import addend, every, rates_of
from stonks_overwatch.reports.explain.told import (
    figure,
    reported,
    sum_of,
    unique,
)
from stonks_overwatch.reports.explain.used import (
    activities,
    balances,
    money,
    positions,
    told_with,
)
from stonks_overwatch.reports.lot_books import lot_books
from stonks_overwatch.reports.reconcile import AccountLines, Line, reconcile
from stonks_overwatch.reports.statements import Event, booked

REPORTS["reconcile"] = lambda arguments, _: reconcile(arguments.scope, arguments.start, arguments.end)


def _compared(seen: Seen) -> tuple[Account, str, str]:
    """The account, what is compared (NAV, cash, quantity; else nothing) and of which currency."""
    of = next(one for one in seen.parents if isinstance(one, AccountLines))
    account, line = seen.account(of.broker, of.account), seen.holder
    what, _, rest = line.what.partition(" ")
    if line.on is None and what in ("NAV", "cash", "quantity"):
        return account, what, "" if what == "quantity" else rest
    return account, "", ""


def _line_unit(seen: Seen) -> str:
    if _is_sum(seen.holder):
        return str(seen.holder.name).rpartition(" ")[2]
    account, what, currency = _compared(seen)
    return "" if what == "quantity" else currency or (account.currency if what else "")


@figure(Line, "computed", "Computed", _line_unit, "From positions, opening balances and activities.")
def _computed(seen: Seen) -> Made:
    line: Line = seen.holder
    account, what, currency = _compared(seen)
    if line.on is not None:
        return _of_statement(seen, account, line, currency)
    if line.instrument is not None:
        return _POSITIONS[line.group](seen, account, line)
    if what == "cash" and currency:
        return _cash(seen, account, currency)
    parts = [part for part in every(seen) if part.account.pk == account.pk]
    if what == "cash":
        parts = [part for part in parts if part.what == "cash"]
    if currency:
        parts = [part for part in parts if part.currency == currency]
    unit = currency or account.currency
    inputs = [addend(seen, part, unit) for part in parts]
    return sum_of(inputs, "values, cash and accruals of the account", rates_of(seen, parts, unit))


def _of_statement(seen: Seen, account: Account, line: Line, currency: str) -> Made:
    """What the ledger makes of a statement's days: sums of rows; of positions the rows themselves tell it."""
    rows = Activity.objects.current().filter(account=account, trade_date__lte=line.on)
    if line.since is not None:
        rows = rows.filter(trade_date__gte=line.since)
    if line.instrument is not None:
        rows = rows.filter(instrument=line.instrument)
    if currency:
        rows = rows.filter(currency=currency)
    if line.on is not None and _is_sum(line):
        return _sum_of_days(seen, account, line, (line.since or line.on, line.on), [activities(rows)])
    return reported("what the ledger's rows of these days come to", [activities(rows)])


def _is_sum(line: Line) -> bool:
    """Whether a statement's figure is of all that was booked of a kind, or of the cash of a currency."""
    return line.on is not None and line.instrument is None and line.group != "NAV"


def _sum_of_days(
    seen: Seen, account: Account, line: Line, span: tuple[date, date], ledger: list[Ledger]
) -> Made:
    """In one currency; of all currencies each amount at the rate of its row, else of its day."""
    is_whole = ", all in " in line.name
    unit = line.name.rpartition(" ")[2]
    inputs: list[Input] = []
    rates: list[RateUsed] = []
    if line.group == "cash":
        told = Figure.objects.filter(
            account=account, section="CashReport", name="startingCash", currency=unit
        )
        before = told.filter(since=span[0], until=span[1]).values_list("amount", flat=True).last()
        inputs.append(
            seen.input("cash at the beginning, as the statement has it", before, unit, as_of=span[0])
        )
    for row, code, amount in booked(account, line.group, span):
        name = row.description or row.kind
        if is_whole:
            used = _rate(seen, row, code, unit)
            rates += used
            rate = Decimal(1) if code == unit or not amount else used[0].rate if used else None
            inputs.append(seen.input(name, times(amount, rate), unit, as_of=row.on))
        elif code == unit:
            inputs.append(seen.input(name, amount, unit, as_of=row.on))
    return sum_of(inputs, "all rows of these days", unique(rates), ledger)


def _rate(seen: Seen, row: Event, code: str, into: str) -> list[RateUsed]:
    if code == into or row.fx_rate is None or code != row.currency:
        return seen.rates_used(code, into, row.on)
    return [told_with(code, into, row.fx_rate, row.on)]


def _cash(seen: Seen, account: Account, currency: str) -> Made:
    balance = CashBalance.objects.get(account=account, currency=currency)
    anchored_on = balance.anchor_at.date() if balance.anchor_at else date.min
    moved = [
        one
        for one in effects_on(currency, [account])
        if not one.is_guess and (one.amount is not None or one.on > anchored_on) and one.amount != 0
    ]

    def inputs_of(some: Sequence[Effect]) -> list[Input]:
        return [
            seen.input("opening balance" if one.is_opening else "moved", one.amount, currency, as_of=one.on)
            for one in some
        ]

    inputs = Rows(moved, inputs_of)  # there may be thousands: those that are not shown are not written out
    words = "opening balance and everything that moved the cash since"
    return sum_of(inputs, words, ledger=[money(account, currency)])


def _moves(account: Account, line: Line) -> list[tuple[str, date, Decimal]]:
    guesses = Q(is_derived=True) & ~Q(kind=ActivityKind.OPENING)
    rows = moving([account]).filter(instrument=line.instrument).exclude(guesses).order_by("trade_date")
    return [
        (kind, on, quantity)
        for kind, on, quantity in rows.values_list("kind", "trade_date", "quantity")
        if quantity
    ]


def _quantity(seen: Seen, account: Account, line: Line) -> Made:
    inputs = [
        seen.input(f"{kind.replace('_', ' ')} on {on.isoformat()}", quantity, "", as_of=on)
        for kind, on, quantity in _moves(account, line)
    ]
    words = "opening balance and everything that changed the quantity"
    ledger = [activities(Activity.objects.current().filter(account=account, instrument=line.instrument))]
    return sum_of(inputs, words, ledger=ledger)


def _value(seen: Seen, account: Account, line: Line) -> Made:
    position = Position.objects.select_related("instrument").get(account=account, instrument=line.instrument)
    paper = position.instrument
    quantity = sum((moved for _, _, moved in _moves(account, line)), Decimal(0))
    inputs = [
        seen.input("quantity of the activities", quantity, ""),
        seen.input("price", position.price, paper.currency, as_of=position.priced_at),
        seen.input("multiplier", paper.multiplier * paper.quote_factor, ""),
    ]
    return Made("product", "quantity × price × multiplier", inputs)


def _cost(seen: Seen, account: Account, line: Line) -> Made:
    kept = lot_books([account], seen.base)
    inputs = [
        seen.input(f"lot of {one.lot.opened_on.isoformat()}", one.lot.cost, "", as_of=one.lot.opened_on)
        for one in kept.open([line.instrument or 0])
    ]
    found = total(one.value for one in inputs)
    if seen.value is not None and not found.unknown and seen.value != found.value:
        rest = seen.value - (found.value or Decimal(0))
        inputs.append(seen.input("commissions, which the broker leaves out", rest, ""))
    return sum_of(inputs, "sum of the open lots")


def _profit(seen: Seen, account: Account, line: Line) -> Made:
    del account
    lines = next(one for one in seen.parents if isinstance(one, AccountLines)).lines
    named = line.name.removeprefix(line.group)
    inputs = []
    for group in ("market value", "cost basis"):
        other = next((one for one in lines if one.name == f"{group}{named}" and one.on is None), None)
        value = other.computed if other else None
        key = (seen.rows[0], key_of(other)) if other else ()
        inputs.append(
            seen.input(group, value, "", "reconcile.accounts.lines.computed" if other else "", *key)
        )
    return Made("difference", "market value − cost basis", inputs)


_POSITIONS = {
    "quantity": _quantity,
    "market value": _value,
    "cost basis": _cost,
    "unrealized P&L": _profit,
}


@figure(Line, "reported", "Reported", _line_unit, "The broker's own figure.")
def _reported(seen: Seen) -> Made:
    account, what, currency = _compared(seen)
    if seen.holder.instrument:
        rows = Position.objects.filter(account=account, instrument=seen.holder.instrument)
        return reported("as the broker reported it", [positions(rows)])
    if not what:
        return reported("as the broker's statement has it")
    held = CashBalance.objects.filter(account=account)
    return reported(
        "as the broker reported it", [balances(held.filter(currency=currency) if currency else held)]
    )


@figure(Line, "difference", "Difference", _line_unit)
def _difference(seen: Seen) -> Made:
    unit = _line_unit(seen)
    inputs = [seen.beside("computed", "computed", unit), seen.beside("reported", "reported", unit)]
    return Made("difference", "computed − reported", inputs)
