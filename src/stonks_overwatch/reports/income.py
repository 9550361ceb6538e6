"""Dividends and interest: what came, what was withheld, what it is of what one holds, what is to come.

Every row counts on its own day at that day's rate. Rows of one payment (a dividend, its tax, their
reversals and re-bookings) stand together as one payment with its rows as the trail. Interest paid is
negative income, as in the broker's own figures. A return of capital gives money back that was put in: it is
listed and is no income. Fees taken from a dividend are fees.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from django.db.models import F, Max, Q, QuerySet
from pydantic import Field

from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account, Activity, CashBalance, Figure, Instrument
from stonks_overwatch.ledger.models import Period as Told
from stonks_overwatch.ledger.rows import Listed, plain, plain_day, plain_number
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.booked import (
    DAY,
    Amounts,
    Booked,
    Sums,
    Tally,
    booked,
    grouped,
    in_base,
    last_day,
    months,
    sums,
    together,
    year_before,
)
from stonks_overwatch.reports.documents import Computed, Document, Exact, Rows, known_sum, share, times, total
from stonks_overwatch.reports.holdings import Valuation, ValuedPosition, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope, accounts

RETURN_OF_CAPITAL = "return_of_capital"
LONE_TAX = "withholding_tax"  # without the payment it was taken from
_WITHHELD = ("withholding tax", "871(m) withholding tax")
_INCOME = Q(kind__in=(ActivityKind.DIVIDEND, ActivityKind.INTEREST)) | Q(
    kind=ActivityKind.OTHER, subtype="other income"
)
_TAX = Q(kind=ActivityKind.TAX, subtype__in=(*_WITHHELD, ""))
_DIVIDENDS = ("payment in lieu", "return of capital", "capital gains distribution")
_INTERESTS = ("bond interest", "credit interest", "debit interest", "stock loan", "cfd financing")
_OPENING, _SPLIT = ActivityKind.OPENING.value, ActivityKind.SPLIT.value
REGULAR = ("dividend", "payment_in_lieu", "bond_interest")

YEAR = timedelta(days=365)
_NONE, _ONE = Decimal(0), Decimal(1)
_Rates = Mapping[tuple[int, str], Decimal | None]
"""By account row and currency: base currency for one unit."""
# A payment pattern needs two payments within this time, and the last one within it too.
PATTERN = timedelta(days=425)
NEAR = timedelta(days=45)  # of an estimated day: a declared payment that close is the same one


class Period(Sums):
    """One month (2026-01) or year (2026). `growth` is the net over that of the year before, minus one."""

    key: str
    dividends_base: Computed | None
    interest_base: Computed | None
    growth: Computed | None


class Part(Sums):
    """One account, currency or kind of income."""

    key: str
    share: Computed | None


class InstrumentIncome(Sums):
    """One instrument; its amounts in the period asked for."""

    symbol: str
    name: str
    isin: str | None
    broker_ref: str
    broker: str
    payments: int


class Row(Document):
    """One booking of a payment."""

    id: str
    on: date
    kind: str
    gross: Exact | None
    tax: Exact | None
    description: str


class Payment(Document):
    """One payment, net of what was taken back and booked again. `gross` and `tax` in its own currency."""

    on: date
    ex_date: date | None
    account: str
    broker: str
    kind: str
    symbol: str | None
    name: str | None
    isin: str | None
    broker_ref: str | None
    currency: str
    gross: Exact | None
    tax: Exact | None
    net: Exact | None
    gross_base: Computed | None
    tax_base: Computed | None
    net_base: Computed | None
    rows: tuple[Row, ...]


class Yield(Document):
    """One holding's income of a year at the quantity held now.

    `annual_gross_base` are the payments of the last 365 days, each per unit held when it was paid (on its
    ex-date, where that is known), times today's quantity, at today's rates; `trailing_yield` is that over the
    market value, `yield_on_cost` over the cost basis. `growth` is the payment per unit of these 365 days over
    that of the 365 before, minus one. Null where the quantity of a day is not known, for short positions,
    and without a comparable number of payments.
    """

    symbol: str
    name: str
    broker: str
    broker_ref: str
    market_value_base: Computed | None
    cost_basis_base: Computed | None
    annual_gross_base: Computed | None
    annual_net_base: Computed | None
    trailing_yield: Computed | None
    yield_on_cost: Computed | None
    growth: Computed | None


class Expected(Document):
    """A payment to come, at the rate of the last day known.

    `declared`: the broker has it in its accruals. `estimated`: nobody said so; the payment of the same
    season last year, per unit, times today's quantity, without an ex-date.
    """

    on: date
    ex_date: date | None
    status: Literal["declared", "estimated"]
    account: str
    broker: str
    kind: str
    symbol: str
    name: str
    broker_ref: str
    currency: str
    gross: Computed | None
    tax: Computed | None
    net: Computed | None
    net_base: Computed | None


class Accrued(Document):
    """Dividends declared and interest earned that are not paid yet, of one currency in one account.

    As the broker reports them. `dividends` can hold more than the declared payments that are listed: not
    every source tells them one by one.
    """

    account: str
    currency: str
    dividends: Exact | None
    interest: Exact | None
    dividends_base: Computed | None
    interest_base: Computed | None


class Totals(Sums):
    """`trailing_` fields are of the 365 days to `to`, whatever period was asked for; so is `growth`."""

    dividends_base: Computed | None
    interest_received_base: Computed | None
    interest_paid_base: Computed | None
    return_of_capital_base: Computed | None
    trailing_net_base: Computed | None
    previous_net_base: Computed | None
    growth: Computed | None
    annual_gross_base: Computed | None
    trailing_yield: Computed | None
    yield_on_cost: Computed | None


class IncomeDocument(Document):
    """Oldest month first, largest part first, newest payment first, next expected payment first."""

    start: date | None = Field(serialization_alias="from")
    end: date | None = Field(serialization_alias="to")
    base_currency: str
    totals: Totals
    by_month: tuple[Period, ...]
    by_year: tuple[Period, ...]
    by_account: tuple[Part, ...]
    by_instrument: Rows[InstrumentIncome]
    by_currency: tuple[Part, ...]
    by_kind: tuple[Part, ...]
    payments: Rows[Payment]
    holdings: Rows[Yield]
    expected: tuple[Expected, ...]
    accrued: tuple[Accrued, ...]


class Paid(NamedTuple):
    """One booking with the kind of income it belongs to and the payment it is part of."""

    row: Booked
    kind: str
    payment: tuple[object, ...]
    gross: Decimal | None
    tax: Decimal | None
    amounts: Amounts

    @classmethod
    def of(
        cls,
        row: Booked,
        payment: tuple[object, ...],
        kind: str,
        gross: Decimal | None,
        tax: Decimal | None,
    ) -> "Paid":
        amounts = Amounts(in_base(gross, row.into_base), in_base(tax, row.into_base))
        return cls(row, kind, (*payment, kind), gross, tax, amounts)

    @property
    def is_income(self) -> bool:
        return self.kind != RETURN_OF_CAPITAL


@kept
def income(scope: Scope, start: date | None = None, end: date | None = None) -> IncomeDocument:
    """Income booked from `start` to `end` (both included), and what is held and expected at the end."""
    looked_at = accounts(scope)
    base = scope.base_currency
    today = last_day(looked_at, scope.as_of)
    valued = valuation(scope)
    if today is None:
        return _document(base, start, end, [], [], _Held(valued, {}, {}, date.max), (), (), ())
    end = min(end or today, today)
    paid = _all_paid(looked_at, base, start, today)
    since = today - 2 * YEAR
    recent = [row for row in paid if since < row.row.on <= today]
    scales = _scales(valued, recent, today)
    rates = _todays_rates(valued)
    declared = _declared(looked_at, rates, today)
    return _document(
        base,
        start,
        end,
        paid,
        recent,
        _Held(valued, scales, rates, today),
        declared,
        _estimated(valued, recent, scales, declared, rates, today),
        _accrued(rates, looked_at) if scope.as_of in (None, today) else (),
    )


def _all_paid(looked_at: Sequence[Account], base: str, start: date | None, today: date) -> list[Paid]:
    """From `start` on; the whole year before it and the last two tell growth, yields and patterns."""
    since = min(date(max(start.year - 1, 1), 1, 1), today - 2 * YEAR) if start else None
    return _paid(booked(looked_at, base, _INCOME | _TAX, since, today), _statements(looked_at))


def bookings(scope: Scope, start: date | None = None, end: date | None = None) -> list[Paid]:
    """The bookings of income from `start` to `end`, as the document sums them up, oldest first."""
    looked_at = accounts(scope)
    today = last_day(looked_at, scope.as_of)
    if today is None:
        return []
    end = min(end or today, today)
    rows = _all_paid(looked_at, scope.base_currency, start, today)
    return [
        row for row in rows if row.is_income and row.row.on <= end and (start is None or row.row.on >= start)
    ]


class Scaled(NamedTuple):
    """One booking at what is held now: units now for one unit then, and the amounts at today's rate."""

    paid: Paid
    scale: Decimal | None
    gross_base: Decimal | None
    tax_base: Decimal | None


class Payments(NamedTuple):
    """The regular bookings of one instrument of the last 365 days, and of the 365 before, oldest first."""

    this_year: list[Scaled]
    before: list[Scaled]


def payments_of(scope: Scope, broker: str, reference: str) -> Payments:
    """What yields and estimates of an instrument are worked out from."""
    looked_at = accounts(scope)
    today = last_day(looked_at, scope.as_of)
    if today is None:
        return Payments([], [])
    valued = valuation(scope)
    recent = [
        row
        for row in _all_paid(looked_at, scope.base_currency, today - YEAR, today)
        if today - 2 * YEAR < row.row.on <= today
        and row.kind in REGULAR
        and (row.row.account.broker, row.row.broker_ref) == (broker, reference)
    ]
    held = _Held(valued, _scales(valued, recent, today), _todays_rates(valued), today)
    holders = {
        one.account.pk
        for one in held.positions
        if (one.account.broker, one.held.broker_ref) == (broker, reference)
    }
    found = Payments([], [])
    for paid in recent:
        if paid.row.account.pk in holders:
            gross, tax = (held.at_todays_quantity(paid, amount) for amount in (paid.gross, paid.tax))
            of = found.this_year if paid.row.on > today - YEAR else found.before
            of.append(Scaled(paid, held.scales.get(paid.row.pk), gross, tax))
    return found


def is_withholding(row: Booked) -> bool:
    return row.kind == ActivityKind.TAX and row.subtype in _WITHHELD


_Statements = Mapping[int, Sequence[tuple[date, date]]]
"""By account row the days, from and to, of which a source told everything that moved money."""


def _statements(looked_at: Sequence[Account]) -> _Statements:
    found: dict[int, list[tuple[date, date]]] = {}
    for account_id, since, until in _told(tuple(account.pk for account in looked_at)):
        found.setdefault(account_id, []).append((plain_day(since), plain_day(until)))
    return found


@prepared
def _told(accounts: tuple[int, ...]) -> QuerySet[Told, tuple[Any, ...]]:
    rows = Told.objects.filter(account__in=accounts, topic="cash")
    return rows.values_list("account_id", plain("since"), plain("until"))


def _is_tax_told(row: Booked, statements: _Statements) -> bool:
    """A broker's connection tells dividends without their taxes; its statements and files tell both."""
    return row.account.cash_since is None or any(
        since <= row.on <= until for since, until in statements.get(row.account.id, ())
    )


def _paid(rows: Sequence[Booked], statements: _Statements) -> list[Paid]:
    """The rows of income with their taxes. A tax of no stated kind is withheld if a payment goes with it.

    The tax of a dividend is unknown where no row of its payment has one and no statement covers its day.
    """
    told = [(row, _payment(row), None if row.kind == ActivityKind.TAX else _kind(row)) for row in rows]
    kinds: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    taxed = set()
    for _, payment, own in told:
        if own is None:
            taxed.add(payment)
        else:
            kinds[payment].append(own)
    paid = []
    for row, payment, own in told:
        if own is not None:
            tax = row.tax
            if tax is None and (
                row.kind != ActivityKind.DIVIDEND or payment in taxed or _is_tax_told(row, statements)
            ):
                tax = _NONE
            paid.append(Paid.of(row, payment, own, row.gross, tax))
            continue
        of = kinds.get(payment, [])
        if of or is_withholding(row):
            kind = next((kind for kind in of if kind != RETURN_OF_CAPITAL), of[0] if of else LONE_TAX)
            paid.append(Paid.of(row, payment, kind, _NONE, row.gross))
    return paid


def _payment(row: Booked) -> tuple[object, ...]:
    if row.group:
        return (row.account.id, row.currency, row.group)
    return (row.account.id, row.currency, row.instrument_id, row.on)


def _kind(row: Booked) -> str:
    if row.kind == ActivityKind.DIVIDEND:
        return row.subtype.replace(" ", "_") if row.subtype in _DIVIDENDS else "dividend"
    if row.kind == ActivityKind.OTHER:
        return "other_income"
    if row.subtype in _INTERESTS:
        return row.subtype.replace(" ", "_")
    if row.paper is not None and row.paper.asset_class == AssetClass.BOND:
        return "bond_interest"
    return "credit_interest" if (row.gross or 0) >= 0 else "debit_interest"


def is_dividend(kind: str) -> bool:
    """A dividend or what stands for one; a tax without its payment is taken for one of a dividend."""
    return kind in ("dividend", "payment_in_lieu", "capital_gains_distribution", LONE_TAX)


# Quantities of the past


_Scales = Mapping[int, Decimal | None]
"""By booking: how many of today's units stand for one unit of the quantity that it was earned with.

Today's quantity over the quantity held on that day, splits taken out; None where it is not known or nothing
was held.
"""


def _scales(valued: Valuation, paid: Sequence[Paid], today: date) -> _Scales:
    """Of the bookings of what is held. Walks once from today back to each of the days they were earned on."""
    held = {(str(row.account_id), str(row.instrument_id)): row.quantity for row in valued.state.held}
    earned = sorted(
        (_earned_on(row).isoformat(), row.pk, key)
        for row, key in ((one.row, (str(one.row.account.id), str(one.row.instrument_id))) for one in paid)
        if key in held
    )
    if not earned:
        return {}
    then = {key: held[key] for *_, key in earned}
    factors: dict[_Holding, Decimal] = {}
    scales: dict[int, Decimal | None] = {}

    def settle(day: str) -> None:
        """What was earned on this day or later, now that all that moved quantities since is taken back."""
        while earned and earned[-1][0] >= day:
            _, pk, key = earned.pop()
            now, before = held[key], then[key]
            scales[pk] = now / (before * factors.get(key, _ONE)) if now is not None and before else None

    first = date.fromisoformat(earned[0][0])
    for day, *lists in _moves(tuple(sorted({row.account_id for row in valued.state.held})), first, today):
        settle(day)
        for key, kind, quantity in _of_day(*lists):
            after = then.get(key)
            if after is None:
                continue
            if kind == _OPENING:
                then[key] = None
                continue
            before = after - Decimal(quantity)
            if kind == _SPLIT and before and after:
                factors[key] = factors.get(key, _ONE) * (after / before)
            then[key] = before
    settle("")
    return scales


_Holding = tuple[str, str]
"""The row numbers of the account and of the instrument, as texts."""


@prepared
def _moves(accounts: tuple[int, ...], after: date, until: date) -> QuerySet[Activity, tuple[Any, ...]]:
    """What moved quantities: newest day first, of each what `_of_day` takes."""
    columns = ("id", "account_id", "instrument_id", "kind", "quantity")
    return (
        Activity.objects.current()
        # A sum is not looked up: the index of days holds all that is asked for here.
        .alias(holder=F("account") + 0)
        .filter(holder__in=accounts, instrument__isnull=False, quantity__isnull=False)
        .filter(trade_date__gt=after, trade_date__lte=until)
        .exclude(kind=ActivityKind.FX)
        .values("trade_date")
        .annotate(day=Max(plain("trade_date")), **{f"{name}_list": Listed(name) for name in columns})
        .order_by("-trade_date")
        .values_list("day", *(f"{name}_list" for name in columns))
    )


def _of_day(
    ids: str, accounts: str, instruments: str, kinds: str, quantities: str
) -> Iterable[tuple[_Holding, str, str]]:
    """The holding, the kind and the quantity of each activity, the newest first where the order counts."""
    holdings = zip(accounts.split(","), instruments.split(","), strict=True)
    moves = zip(holdings, kinds.split(","), quantities.split(","), strict=True)
    if _SPLIT not in kinds:
        return moves
    numbered = zip(map(int, ids.split(",")), moves, strict=True)
    return [move for _, move in sorted(numbered, reverse=True)]


def _earned_on(row: Booked) -> date:
    """The last day of holding it that counts: the day before the ex-date, where that is told."""
    return row.ex_date - DAY if row.ex_date else row.on


# What is held


class _Held:
    """Yields of what is held on a day."""

    def __init__(
        self,
        valued: Valuation,
        scales: _Scales,
        rates: _Rates,
        today: date,
    ) -> None:
        self.positions = valued.positions
        self.nav_base = valued.totals.nav_base
        self.cost_base = total(row.cost_basis_base for row in valued.positions)
        self.rates = rates
        self.scales = scales
        self.today = today

    def at_todays_quantity(self, paid: Paid, amount: Decimal | None) -> Decimal | None:
        """In the base currency at today's rate."""
        row = paid.row
        rate, scale = self.rates.get((row.account.id, row.currency)), self.scales.get(row.pk)
        return None if amount is None or scale is None or rate is None else amount * scale * rate


def _todays_rates(valued: Valuation) -> _Rates:
    """By account row and currency, as the accounts' holdings are valued; other currencies are not in it."""
    days = valued.state.days.values()
    base = valued.base_currency
    currencies = {row.currency for row in valued.state.held} | {b.currency for b in valued.state.balances}
    kept_in = {account.currency for account in valued.state.accounts}
    rates = Rates.between(min(days), max(days), {base, *currencies, *kept_in}) if days else Rates(())
    return {
        (pk, currency): rates.rate(currency, base, on)
        for pk, on in valued.state.days.items()
        for currency in currencies
    }


class _Earning(NamedTuple):
    """What is held of one instrument, with its bookings of the last 365 days and of the 365 before."""

    positions: Sequence[ValuedPosition]
    this_year: Sequence[Paid]
    before: Sequence[Paid]
    gross: Decimal | None  # of a year at today's quantity


def _earnings(held: _Held, recent: Sequence[Paid]) -> list[_Earning]:
    """What pays most first."""
    of_instrument = grouped((row for row in recent if row.kind in REGULAR), lambda row: row.row.instrument_id)
    positions: defaultdict[int, list[ValuedPosition]] = defaultdict(list)
    for position in held.positions:
        if position.held.instrument_id in of_instrument:
            positions[position.held.instrument_id].append(position)
    found = [_earning(held, rows, of_instrument[pk]) for pk, rows in positions.items()]
    found.sort(key=lambda one: (one.gross is None, -(one.gross or 0), one.positions[0].held.symbol))
    return found


def _earning(held: _Held, positions: Sequence[ValuedPosition], paid: Sequence[Paid]) -> _Earning:
    holders = {row.held.account_id for row in positions}
    since = held.today - YEAR
    this_year: list[Paid] = []
    before: list[Paid] = []
    for row in paid:
        if row.row.account.id in holders:
            (this_year if row.row.on > since else before).append(row)
    gross = None
    if _is_long(positions):
        gross = known_sum(held.at_todays_quantity(row, row.gross) for row in this_year)
    return _Earning(positions, this_year, before, gross)


def _is_long(positions: Sequence[ValuedPosition]) -> bool:
    return all((row.held.quantity or 0) > 0 for row in positions)


def _yield(held: _Held, one: _Earning) -> Yield:
    positions, gross = one.positions, one.gross
    tax = earlier = None
    if _is_long(positions):
        tax = known_sum(held.at_todays_quantity(row, row.tax) for row in one.this_year)
        earlier = known_sum(held.at_todays_quantity(row, row.gross) for row in one.before)
    value = known_sum(row.market_value_base for row in positions)
    cost = known_sum(row.cost_basis_base for row in positions)
    first = positions[0]
    payments, before = ({row.payment for row in rows} for rows in (one.this_year, one.before))
    return Yield(
        symbol=first.held.symbol,
        name=first.held.name,
        broker=first.account.broker,
        broker_ref=first.held.broker_ref,
        market_value_base=value,
        cost_basis_base=cost,
        annual_gross_base=gross,
        annual_net_base=None if gross is None or tax is None else gross + tax,
        trailing_yield=share(gross, value),
        yield_on_cost=share(gross, cost),
        growth=_growth(gross, earlier) if before and len(payments) == len(before) else None,
    )


def _growth(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    ratio = share(now, before)
    return None if ratio is None else ratio - 1


# What is to come


def _declared(looked_at: Sequence[Account], rates: _Rates, today: date) -> tuple[Expected, ...]:
    """Dividends in the broker's accruals that are payable after the day."""
    by_payment: dict[tuple[int, str, str, str, str, str], dict[str, Decimal]] = {}
    for *key, name, amount in _open_accruals(tuple(account.pk for account in looked_at), today):
        by_payment.setdefault(tuple(key), {})[name] = Decimal(amount)
    if not by_payment:
        return ()
    refs = {ref for _, ref, *_ in by_payment}
    names = {
        (broker, ref): (symbol, name)
        for broker, ref, symbol, name in Instrument.objects.filter(broker_ref__in=refs).values_list(
            "broker", "broker_ref", "symbol", "name"
        )
    }
    by_id = {account.pk: account for account in looked_at}
    found = []
    for (account_id, ref, currency, ex_date, pay_date, _), amounts in by_payment.items():
        account = by_id[account_id]
        symbol, name = names.get((account.broker, ref), (ref, ""))
        net = amounts.get("netAmount")
        tax, fee = amounts.get("tax", Decimal(0)), amounts.get("fee", Decimal(0))
        gross = amounts.get("grossAmount", None if net is None else net + tax + fee)
        found.append(
            Expected(
                on=plain_day(pay_date),
                ex_date=plain_day(ex_date),
                status="declared",
                account=account.account,
                broker=account.broker,
                kind="dividend",
                symbol=symbol,
                name=name,
                broker_ref=ref,
                currency=currency,
                gross=gross,
                tax=-tax,
                net=net,
                net_base=times(net, rates.get((account_id, currency))),
            )
        )
    return tuple(sorted(found, key=lambda row: (row.on, row.symbol, row.account)))


@prepared
def _open_accruals(accounts: tuple[int, ...], today: date) -> QuerySet[Figure, tuple[Any, ...]]:
    """Account, instrument, currency, ex-date, pay date and reference tell a payment; its figures by name."""
    rows = Figure.objects.filter(
        account__in=accounts, section="OpenDividendAccruals", until__gt=today, since__lte=today
    )
    return rows.values_list(
        "account_id", "broker_ref", "currency", plain("since"), plain("until"), "ref", "name", plain("amount")
    )


def _estimated(
    valued: Valuation,
    recent: Sequence[Paid],
    scales: _Scales,
    declared: Sequence[Expected],
    rates: _Rates,
    today: date,
) -> tuple[Expected, ...]:
    """The last year's payments of what is still held, a year on, where they follow a pattern.

    `recent` is oldest first.
    """
    held = {
        (row.account_id, row.instrument_id): row
        for row in valued.state.held
        if row.quantity and row.quantity > 0
    }
    promised = grouped(declared, lambda row: (row.account, row.broker_ref))
    rows = [
        row for row in recent if row.kind in REGULAR and (row.row.account.id, row.row.instrument_id) in held
    ]
    found = []
    by_payment = grouped(rows, lambda row: row.payment)
    days_of: defaultdict[tuple[int, int | None], list[date]] = defaultdict(list)
    for of in by_payment.values():
        days_of[of[0].row.account.id, of[0].row.instrument_id].append(of[0].row.on)
    a_year_ago = today - YEAR
    for of in by_payment.values():
        first = of[0].row
        if first.on <= a_year_ago:
            continue
        days, expected_on = days_of[first.account.id, first.instrument_id], year_before(first.on, -1)
        if expected_on <= today or not _is_pattern(days, today):
            continue
        position = held[first.account.id, first.instrument_id or 0]
        if position.expires_on and expected_on > position.expires_on:
            continue
        of_holding = promised.get((first.account.account, position.broker_ref))
        if of_holding and any(abs(row.on - expected_on) <= _reach(days) for row in of_holding):
            continue
        scale = scales.get(first.pk)
        gross = times(known_sum(row.gross for row in of), scale)
        tax = times(known_sum(row.tax for row in of), scale)
        net = None if gross is None or tax is None else gross + tax
        if net is not None and net <= 0:
            continue
        found.append(
            Expected.made(
                {
                    "on": expected_on,
                    "ex_date": None,
                    "status": "estimated",
                    "account": first.account.account,
                    "broker": first.account.broker,
                    "kind": of[0].kind,
                    "symbol": position.symbol,
                    "name": position.name,
                    "broker_ref": position.broker_ref,
                    "currency": first.currency,
                    "gross": gross,
                    "tax": tax,
                    "net": net,
                    "net_base": times(net, rates.get((first.account.id, first.currency))),
                }
            )
        )
    return tuple(sorted(found, key=lambda row: (row.on, row.symbol, row.account)))


def _is_pattern(days: Sequence[date], today: date) -> bool:
    """Two payments or more, the last one not longer ago than a payer of once a year may take."""
    return len(days) > 1 and today - days[-1] <= PATTERN


def _reach(days: Sequence[date]) -> timedelta:
    """How far a payment may shift and still be the same one: half the usual gap, at most 45 days."""
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    return min(NEAR, timedelta(days=statistics.median(gaps) / 2)) if gaps else NEAR


def _accrued(rates: _Rates, looked_at: Iterable[Account]) -> tuple[Accrued, ...]:
    found = []
    for account_id, account, currency, *told in _accruals(tuple(one.pk for one in looked_at)):
        dividends, interest = map(plain_number, told)
        if dividends or interest:
            rate = rates.get((account_id, currency))
            found.append(
                Accrued(
                    account=account,
                    currency=currency,
                    dividends=dividends,
                    interest=interest,
                    dividends_base=times(dividends, rate),
                    interest_base=times(interest, rate),
                )
            )
    return tuple(found)


@prepared
def _accruals(accounts: tuple[int, ...]) -> QuerySet[CashBalance, tuple[Any, ...]]:
    rows = CashBalance.objects.filter(account__in=accounts)
    rows = rows.order_by("account__broker", "account__account", "currency")
    amounts = map(plain, ("accrued_dividends", "accrued_interest"))
    return rows.values_list("account_id", "account__account", "currency", *amounts)


# The document


def _document(
    base: str,
    start: date | None,
    end: date | None,
    paid: Sequence[Paid],
    recent: Sequence[Paid],
    held: _Held,
    declared: Sequence[Expected],
    estimated: Sequence[Expected],
    accrued: Sequence[Accrued],
) -> IncomeDocument:
    inside = [row for row in paid if (start is None or row.row.on >= start) and (end and row.row.on <= end)]
    earned = [row for row in inside if row.is_income]
    before = [row for row in paid if row.is_income and (end and row.row.on <= end)]
    earnings = _earnings(held, recent)
    by_month = _by_month(earned)
    of_all = _by_month(before)
    totals = _totals(earned, inside, recent, earnings, held)
    return IncomeDocument(
        start=start or (inside[0].row.on if inside else None),
        end=end,
        base_currency=base,
        totals=totals,
        by_month=_periods(by_month, of_all, start, end),
        by_year=_years(by_month, of_all),
        **_parts(earned, totals.net_base),
        by_instrument=_instruments(earned),
        payments=_payments(inside),
        holdings=Rows(earnings, lambda some: [_yield(held, one) for one in some]),
        expected=tuple(sorted((*declared, *estimated), key=lambda row: (row.on, row.symbol, row.account))),
        accrued=tuple(accrued),
    )


class _Summed(NamedTuple):
    """What bookings come to: dividends, and everything else."""

    dividends: Tally = Tally()
    interest: Tally = Tally()

    def plus(self, other: "_Summed") -> "_Summed":
        return _Summed(self.dividends.plus(other.dividends), self.interest.plus(other.interest))

    @property
    def whole(self) -> Tally:
        with localcontext(EXACT):
            return self.dividends.plus(self.interest)

    @classmethod
    def of(cls, rows: Sequence[Paid]) -> "_Summed":
        with localcontext(EXACT):
            return cls(
                Tally.of(row.amounts for row in rows if is_dividend(row.kind)),
                Tally.of(row.amounts for row in rows if not is_dividend(row.kind)),
            )


def _totals(
    earned: Sequence[Paid],
    inside: Sequence[Paid],
    recent: Sequence[Paid],
    earnings: Sequence[_Earning],
    held: _Held,
) -> Totals:
    a_year_ago = held.today - YEAR
    trailing = [row.amounts for row in recent if row.row.on > a_year_ago and row.is_income]
    previous = [row.amounts for row in recent if row.row.on <= a_year_ago and row.is_income]
    trailing_net, previous_net = sums(trailing)["net_base"], sums(previous)["net_base"]
    annual = total(one.gross for one in earnings)
    summed = _Summed.of(earned)
    interest = [row.amounts.gross for row in earned if not is_dividend(row.kind)]
    returned = [row.amounts for row in inside if not row.is_income]
    return Totals(
        **summed.whole.sums(),
        dividends_base=summed.dividends.known_gross,
        interest_received_base=total(gross for gross in interest if gross is None or gross > 0).value,
        interest_paid_base=total(gross for gross in interest if gross is None or gross < 0).value,
        return_of_capital_base=sums(returned)["net_base"],
        trailing_net_base=trailing_net,
        previous_net_base=previous_net,
        growth=_growth(trailing_net, previous_net),
        annual_gross_base=annual.value,
        trailing_yield=share(annual.value, held.nav_base),
        yield_on_cost=share(annual.value, held.cost_base.value),
    )


def _by_month(rows: Iterable[Paid]) -> dict[str, _Summed]:
    return {month: _Summed.of(of) for month, of in grouped(rows, lambda row: row.row.month).items()}


def _by_year(months: Mapping[str, _Summed]) -> dict[int, _Summed]:
    by_year: defaultdict[int, _Summed] = defaultdict(_Summed)
    with localcontext(EXACT):
        for month, summed in months.items():
            by_year[int(month[:4])] = by_year[int(month[:4])].plus(summed)
    return by_year


def _period(key: str, summed: _Summed, before: _Summed | None) -> Period:
    whole = summed.whole
    return Period(
        key=key,
        **whole.sums(),
        dividends_base=summed.dividends.known_gross,
        interest_base=summed.interest.known_gross,
        growth=_growth(whole.net, before.whole.net) if before else None,
    )


def _periods(
    by_month: Mapping[str, _Summed], of_all: Mapping[str, _Summed], start: date | None, end: date | None
) -> tuple[Period, ...]:
    """Every month from the first with income to the end; growth over the same month a year before."""
    if not by_month or end is None:
        return ()
    first = start or date.fromisoformat(f"{next(iter(by_month))}-01")
    return tuple(
        _period(month, by_month.get(month, _Summed()), of_all.get(f"{int(month[:4]) - 1}{month[4:]}"))
        for month in months(first, end)
    )


def _years(by_month: Mapping[str, _Summed], of_all: Mapping[str, _Summed]) -> tuple[Period, ...]:
    """The calendar years in the period; growth over the whole year before."""
    all_years = _by_year(of_all)
    return tuple(
        _period(str(year), summed, all_years.get(year - 1))
        for year, summed in sorted(_by_year(by_month).items())
    )


def _parts(earned: Sequence[Paid], whole: Decimal | None) -> dict[str, tuple[Part, ...]]:
    """By the fields of the document."""
    cells = grouped(earned, lambda row: (row.row.account.account, row.row.currency, row.kind))
    found = {}
    with localcontext(EXACT):
        tallies = {cell: Tally.of(row.amounts for row in rows) for cell, rows in cells.items()}
        for place, name in enumerate(("by_account", "by_currency", "by_kind")):
            found[name] = together((cell[place], tally) for cell, tally in tallies.items())
    return {
        name: tuple(
            sorted(
                (Part(key=key, **of.sums(), share=share(of.net, whole)) for key, of in tallies.items()),
                key=lambda part: _largest_first(part.net_base),
            )
        )
        for name, tallies in found.items()
    }


def _largest_first(net: Decimal | None) -> tuple[bool, Decimal]:
    return net is None, -(net or _NONE)


def _instruments(earned: Sequence[Paid]) -> Rows[InstrumentIncome]:
    by_instrument = grouped(
        (row for row in earned if row.row.instrument_id is not None), lambda row: row.row.instrument_id
    )
    with localcontext(EXACT):
        tallies = {key: Tally.of(row.amounts for row in rows) for key, rows in by_instrument.items()}

    def made(keys: Sequence[int]) -> list[InstrumentIncome]:
        return [_instrument(by_instrument[key], tallies[key]) for key in keys]

    return Rows(sorted(tallies, key=lambda key: _largest_first(tallies[key].net)), made)


def _instrument(rows: Sequence[Paid], summed: Tally) -> InstrumentIncome:
    first = rows[0].row
    return InstrumentIncome(
        symbol=first.symbol or "",
        name=first.name or "",
        isin=first.isin,
        broker_ref=first.broker_ref or "",
        broker=first.account.broker,
        payments=len({row.payment for row in rows}),
        **summed.sums(),
    )


def _payments(inside: Sequence[Paid]) -> Rows[Payment]:
    def day(rows: Sequence[Paid]) -> tuple[date, str]:
        first = _first(rows)
        return first.on, first.symbol or ""

    payments = sorted(grouped(inside, lambda row: row.payment).values(), key=day, reverse=True)
    return Rows(payments, lambda some: [_payment_of(rows) for rows in some])


def _first(rows: Sequence[Paid]) -> Booked:
    for one in rows:
        if one.row.kind != ActivityKind.TAX:
            return one.row
    return rows[0].row


def _payment_of(rows: Sequence[Paid]) -> Payment:
    first = _first(rows)
    gross, tax = known_sum(row.gross for row in rows), known_sum(row.tax for row in rows)
    return Payment(
        on=first.on,
        ex_date=next((row.row.ex_date for row in rows if row.row.ex_date), None),
        account=first.account.account,
        broker=first.account.broker,
        kind=rows[0].kind,
        symbol=first.symbol,
        name=first.name,
        isin=first.isin,
        broker_ref=first.broker_ref,
        currency=first.currency,
        gross=gross,
        tax=tax,
        net=None if gross is None or tax is None else gross + tax,
        gross_base=known_sum(row.amounts.gross for row in rows),
        tax_base=known_sum(row.amounts.tax for row in rows),
        net_base=known_sum(amount for row in rows for amount in row.amounts),
        rows=tuple(
            Row(
                id=row.row.id,
                on=row.row.on,
                kind=row.row.kind,
                gross=row.gross,
                tax=row.tax,
                description=row.row.description,
            )
            for row in rows
        ),
    )
