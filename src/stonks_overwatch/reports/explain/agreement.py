"""How what is computed agrees with what brokers report: the figures of reconcile."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from django.db.models import Q, QuerySet

from stonks_overwatch.ledger.lots import Lot, Method
from stonks_overwatch.ledger.models import Account, Activity, CashBalance, Figure, Instrument, Position
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.books import NO_LOTS, moving
from stonks_overwatch.reports.cash import Effect, effects_on
from stonks_overwatch.reports.documents import Rows, known_sum, times
from stonks_overwatch.reports.explain.asked import Arguments, of_account
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen
from stonks_overwatch.reports.explain.keys import key_of, lot_key
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
    by_ids,
    money,
    positions,
    told_by,
    told_with,
)
from stonks_overwatch.reports.lot_books import lot_books, papers
from stonks_overwatch.reports.reconcile import (
    AccountLines,
    Line,
    ReconcileDocument,
    reconcile,
    statements_alone,
)
from stonks_overwatch.reports.statements import GROUPS, Comparison, Event, Paper, at_prices, booked

_OF_STATEMENT = re.compile(r" (on|to) \d{4}-\d\d-\d\d( \(|$)")
"""How the name of a line says that it is of a statement's days."""


def _reconcile(arguments: Arguments, _: Reports) -> ReconcileDocument:
    """For a statement's line no state is worked out."""
    is_of_statement = any(map(_OF_STATEMENT.search, arguments.row[1:]))
    report = statements_alone if is_of_statement else reconcile
    return report(arguments.scope, arguments.start, arguments.end)


REPORTS["reconcile"] = _reconcile


def _compared(seen: Seen) -> tuple[Account, str, str]:
    """The account, what is compared (NAV, cash, quantity; else nothing) and of which currency."""
    of = next(one for one in seen.parents if isinstance(one, AccountLines))
    account, line = seen.account(of.broker, of.account), seen.holder
    what, _, rest = line.what.partition(" ")
    if line.on is None and what in ("NAV", "cash", "quantity"):
        return account, what, "" if what == "quantity" else rest
    return account, "", ""


def _line_unit(seen: Seen) -> str:
    line: Line = seen.holder
    if line.group == "quantity":
        return ""
    account, _, _ = _compared(seen)
    return line.currency or account.currency


@figure(Line, "computed", "Computed", _line_unit, "From positions, opening balances and activities.")
def _computed(seen: Seen) -> Made:
    line: Line = seen.holder
    account, what, currency = _compared(seen)
    if line.on is not None:
        return _of_statement(seen, account, line, line.on)
    if line.group == "unrealized P&L":
        return _profit(seen, line, {})
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


def _of_statement(seen: Seen, account: Account, line: Line, on: date) -> Made:
    """What the ledger makes of a statement's days."""
    if _is_sum(line):
        rows = Activity.objects.current().filter(account=account, trade_date__lte=on)
        if line.since is not None:
            rows = rows.filter(trade_date__gte=line.since)
        return _sum_of_days(seen, account, line, (line.since or on, on), [activities(rows)])
    figures = Figure.objects.filter(account=account)
    if line.group == _REALIZED:
        return _earned(seen, account, line, Comparison(account, figures, seen.base))
    comparison = Comparison(account, figures.filter(until=on), seen.base)
    comparison.end(on, seen.arguments.as_of or seen.arguments.start)
    if line.group == "NAV":
        return _value_of_day(seen, account, on, comparison)
    if line.group == "unrealized P&L":
        return _profit(seen, line, comparison.computed())
    return _ENDS[line.group](seen, account, line, on, comparison)


def _value_of_day(seen: Seen, account: Account, on: date, comparison: Comparison) -> Made:
    into, inputs = account.currency, []
    foreign = [one for one in comparison.worth if one.currency != into and one.amount]
    for one in comparison.worth:
        source = f"{one.amount:f} {one.currency}" if one in foreign else ""
        value = times(one.amount, one.rate if one.amount else Decimal(1))
        inputs.append(seen.input(one.name, value, into, as_of=on, source=source))
    words = "positions, cash, and accruals as the statement has them, at the rates of the day"
    return sum_of(inputs, words, seen.every_rate_used((one.currency, into, on) for one in foreign))


def _paper(line: Line, comparison: Comparison) -> tuple[str, Paper]:
    return next(pair for pair in comparison.papers.items() if pair[1].pk == line.instrument)


def _quantity_at_end(seen: Seen, account: Account, line: Line, on: date, comparison: Comparison) -> Made:
    ref, _ = _paper(line, comparison)
    inputs = []
    for of, event, quantity in comparison.moves_until(on):
        if of != ref:
            continue
        if event is not None:
            name = f"{event.kind.replace('_', ' ')} on {event.on.isoformat()}"
            inputs.append(seen.input(name, quantity, "", as_of=event.on))
        elif comparison.listed:
            before = comparison.listed[0]
            inputs.append(seen.input("as the statement before listed it", quantity, "", as_of=before))
    rows = Activity.objects.current().filter(account=account, instrument=line.instrument)
    words = "what was there before and everything that changed the quantity since"
    return sum_of(inputs, words, ledger=[activities(rows.filter(trade_date__lte=on))])


def _value_at_end(seen: Seen, account: Account, line: Line, on: date, comparison: Comparison) -> Made:
    ref, paper = _paper(line, comparison)
    told = comparison.told.positions.get(ref, {})
    rows = Figure.objects.filter(account=account, section="OpenPositions", until=on, broker_ref=ref)
    inputs = [
        _beside(seen, line, "quantity", comparison.computed()),
        seen.input("price, as the statement has it", told.get("markPrice"), paper.currency, as_of=on),
        seen.input("multiplier", paper.units, ""),
    ]
    return Made("product", "quantity × price × multiplier", inputs, ledger=[told_by(rows)])


def _cost_at_end(seen: Seen, account: Account, line: Line, on: date, comparison: Comparison) -> Made:
    _, paper = _paper(line, comparison)
    lots = comparison.lots.get(on, {}).get(paper.pk, NO_LOTS)
    return _sum_of_lots(seen, account, paper.pk, lots.open)


_REALIZED = "realized P&L"
_ENDS = {
    "quantity": _quantity_at_end,
    "market value": _value_at_end,
    "cost basis": _cost_at_end,
}


def _earned(seen: Seen, account: Account, line: Line, comparison: Comparison) -> Made:
    """Lot by lot; of futures and CFDs without the commission, where the broker leaves it out."""
    ref, paper = _paper(line, comparison)
    first, last = line.since or line.on or date.min, line.on or date.max
    asked = {
        **of_account(account), "method": Method.BROKER, **dict.fromkeys(("start", "end", "as_of"))
    }  # fmt: skip
    inputs, keys = [], []
    for trade, closes, earned in comparison.earned(paper, comparison.closing(first, last)[ref]):
        keys.append(f"{account.broker}:{account.account}:{trade.key}")
        for one in closes:
            name = f"lot of {one.opened_on.isoformat()}, closed on {one.closed_on.isoformat()}"
            where = ("realized.lots.gain", lot_key(account.broker, account.account, ref, one))
            value = one.realized_pnl
            inputs.append(seen.input(name, value, paper.currency, *where, as_of=one.closed_on, asked=asked))
        own = known_sum(one.realized_pnl for one in closes)
        if earned is not None and own is not None and earned != own:
            name = "commission of the purchase, which the broker leaves out"
            inputs.append(seen.input(name, earned - own, paper.currency, as_of=trade.on))
    return sum_of(inputs, "sum of the closed lots", ledger=[by_ids(keys)])


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
    if line.group == "cash":
        told = Figure.objects.filter(
            account=account, section="CashReport", name="startingCash", currency=unit
        )
        before = told.filter(since=span[0], until=span[1]).values_list("amount", flat=True).last()
        inputs.append(
            seen.input("cash at the beginning, as the statement has it", before, unit, as_of=span[0])
        )
    rows = [one for one in booked(account, line.group, span) if is_whole or one[1] == unit]
    used = seen.every_rate_used((code, unit, row.on) for row, code, _ in rows if not _is_told(row, code))
    of_days = {(one.base, one.for_day): one.rate for one in used}
    for row, code, amount in rows:
        rate: Decimal | None = Decimal(1)
        if code != unit and amount:
            rate = of_days.get((code, row.on))
            if row.fx_rate is not None and _is_told(row, code):
                rate = row.fx_rate
                used.append(told_with(code, unit, rate, row.on))
        inputs.append(seen.input(row.description or row.kind, times(amount, rate), unit, as_of=row.on))
    return sum_of(inputs, "all rows of these days", unique(used), ledger)


def _is_told(row: Event, code: str) -> bool:
    """Whether it was booked with a rate of the currency, into the account's."""
    return row.fx_rate is not None and code == row.currency


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
    number = line.instrument or 0
    kept = lot_books([account], seen.base, method=Method.BROKER)
    return _sum_of_lots(seen, account, number, [row.lot for row in kept.open([number])])


def _sum_of_lots(seen: Seen, account: Account, instrument: int, lots: Sequence[Lot]) -> Made:
    """At what they cost; of futures and CFDs at the prices of the trades, where the broker counts so."""
    words, costs = "sum of the open lots", [lot.cost for lot in lots]
    paper = papers([instrument])[instrument]
    if paper.is_margined and seen.value is not None and known_sum(costs) != seen.value:
        words = "sum of the open lots at the prices of their trades, without the commissions"
        rows = Activity.objects.current().filter(account=account, instrument=instrument)
        prices = {key: price for key, price in rows.values_list("key", "price") if price is not None}
        costs = [at_prices([lot], paper, prices) for lot in lots]
    inputs = [
        seen.input(f"lot of {lot.opened_on.isoformat()}", cost, paper.currency, as_of=lot.opened_on)
        for lot, cost in zip(lots, costs, strict=True)
    ]
    keys = [f"{account.broker}:{account.account}:{lot.opened_by}" for lot in lots]
    return sum_of(inputs, words, ledger=[by_ids(keys)])


def _profit(seen: Seen, line: Line, computed: Mapping[str, Decimal | None]) -> Made:
    inputs = [_beside(seen, line, group, computed) for group in ("market value", "cost basis")]
    return Made("difference", "market value − cost basis", inputs)


def _beside(seen: Seen, line: Line, group: str, computed: Mapping[str, Decimal | None]) -> Input:
    """Another figure of the position and the day that the line is about; `computed` has what is no line."""
    lines = next(one for one in seen.parents if isinstance(one, AccountLines)).lines
    name = f"{group}{line.name.removeprefix(line.group)}"
    unit = "" if group == "quantity" else _line_unit(seen)
    other = next((one for one in lines if one.name == name and one.on == line.on), None)
    if other is None:
        return seen.input(group, computed.get(name), unit)
    key = (seen.rows[0], key_of(other))
    return seen.input(group, other.computed, unit, "reconcile.accounts.lines.computed", *key)


_POSITIONS = {
    "quantity": _quantity,
    "market value": _value,
    "cost basis": _cost,
}


_NAMES = {
    "quantity": ("position", "quantity"),
    "market value": ("positionValue",),
    "cost basis": ("costBasisMoney",),
    "unrealized P&L": ("fifoPnlUnrealized",),
    "NAV": ("total",),
    "cash": ("endingCash",),
}


def _told(account: Account, line: Line, on: date) -> QuerySet[Figure]:
    """What statements say of it."""
    names = _NAMES.get(line.group) or GROUPS[line.group]
    rows = Figure.objects.filter(account=account, until=on)
    if line.instrument is not None:
        ref = Instrument.objects.values_list("broker_ref", flat=True).get(pk=line.instrument)
        return rows.filter(section="OpenPositions", name__in=names, broker_ref=ref)
    if line.group == "NAV":
        return rows.filter(section="EquitySummaryInBase", name__in=names)
    rows = rows.filter(since=line.since or on)
    if ", all in " in line.name:
        in_sum = ("depositWithdrawals",) if "deposits" in names else ()
        return rows.filter(section="ChangeInNAV", name__in=(*names, *in_sum))
    return rows.filter(section="CashReport", name__in=names, currency=line.name.rpartition(" ")[2])


def _closing(account: Account, line: Line, on: date) -> QuerySet[Activity]:
    days = (line.since or on, on)
    counted = Q(booked_on__range=days) | Q(booked_on=None, trade_date__range=days)
    rows = Activity.objects.current().filter(counted, account=account, instrument=line.instrument)
    return rows.filter(realized_pnl__isnull=False)


@figure(Line, "reported", "Reported", _line_unit, "The broker's own figure.")
def _reported(seen: Seen) -> Made:
    account, _, currency = _compared(seen)
    line: Line = seen.holder
    if line.on is not None and line.group == _REALIZED:
        trades = _closing(account, line, line.on)
        return reported("as the broker tells it with its trades", [activities(trades)])
    if line.on is not None:
        return reported("as the broker's statement has it", [told_by(_told(account, line, line.on))])
    if line.instrument:
        rows = Position.objects.filter(account=account, instrument=line.instrument)
        return reported("as the broker reported it", [positions(rows)])
    held = CashBalance.objects.filter(account=account)
    return reported(
        "as the broker reported it", [balances(held.filter(currency=currency) if currency else held)]
    )


@figure(Line, "difference", "Difference", _line_unit)
def _difference(seen: Seen) -> Made:
    unit = _line_unit(seen)
    inputs = [seen.beside("computed", "computed", unit), seen.beside("reported", "reported", unit)]
    return Made("difference", "computed − reported", inputs)
