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
from functools import reduce
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from django.db.models import QuerySet
from pydantic import Field

from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account, Activity, CashBalance, Figure, Instrument
from stonks_overwatch.ledger.rows import plain, plain_day, plain_number
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.reports.booked import (
    Amounts,
    Sums,
    Tally,
    grouped,
    last_day,
    months,
    sums,
    together,
    year_before,
)
from stonks_overwatch.reports.documents import Computed, Document, Exact, Rows, known_sum, share, times, total
from stonks_overwatch.reports.earned import Bookings, Paid, Scales, bookings_between, is_dividend
from stonks_overwatch.reports.holdings import Valuation, ValuedPosition, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Held

REGULAR = ("dividend", "payment_in_lieu", "bond_interest")

YEAR = timedelta(days=365)
_NONE = Decimal(0)
_Rates = Mapping[tuple[int, str], Decimal | None]
"""By account row and currency: base currency for one unit."""
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


@kept
def income(scope: Scope, start: date | None = None, end: date | None = None) -> IncomeDocument:
    """Income booked from `start` to `end` (both included), and what is held and expected at the end."""
    looked_at = accounts(scope)
    base = scope.base_currency
    today = last_day(looked_at, scope.as_of)
    valued = valuation(scope)
    if today is None:
        return _document(start, end, [], [], _Held(valued, Scales((), {}), {}, date.max), (), (), (), ())
    end = min(end or today, today)
    every = _all_paid(looked_at, base, start, today)
    held = _Held(valued, Scales(valued.state.held, every.moved), _todays_rates(valued), today)
    since = today - 2 * YEAR
    recent = [row for row in every.rows if row.on > since]
    regular = _regular(recent)
    declared = _declared(looked_at, held.rates, today)
    return _document(
        start,
        end,
        every.rows,
        recent,
        held,
        _earnings(held, regular),
        declared,
        _estimated(held, regular, declared),
        _accrued(held.rates, looked_at) if scope.as_of in (None, today) else (),
    )


def _all_paid(looked_at: Sequence[Account], base: str, start: date | None, today: date) -> Bookings:
    """From `start` on; the whole year before it and the last two tell growth, yields and patterns."""
    two_years = today - 2 * YEAR
    since = min(date(max(start.year - 1, 1), 1, 1), two_years) if start else None
    return bookings_between(looked_at, base, since, today, two_years)


def bookings(scope: Scope, start: date | None = None, end: date | None = None) -> list[Paid]:
    """The bookings of income from `start` to `end`, as the document sums them up, oldest first."""
    looked_at = accounts(scope)
    today = last_day(looked_at, scope.as_of)
    if today is None:
        return []
    end = min(end or today, today)
    rows = _all_paid(looked_at, scope.base_currency, start, today).rows
    return [row for row in rows if row.is_income and row.on <= end and (start is None or row.on >= start)]


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
    every = _all_paid(looked_at, scope.base_currency, today - YEAR, today)
    held = _Held(valued, Scales(valued.state.held, every.moved), _todays_rates(valued), today)
    holders = {
        (one.account.pk, one.held.instrument_id)
        for one in held.positions
        if (one.account.broker, one.held.broker_ref) == (broker, reference)
    }
    found = Payments([], [])
    for paid in every.rows:
        if (
            paid.on > today - 2 * YEAR
            and paid.kind in REGULAR
            and (paid.account.id, paid.instrument_id) in holders
        ):
            gross, tax = (held.at_todays_quantity(paid, amount) for amount in (paid.gross, paid.tax))
            of = found.this_year if paid.on > today - YEAR else found.before
            of.append(Scaled(paid, held.scales.of(paid), gross, tax))
    return found


# What is held


class _Held:
    """Yields of what is held on a day."""

    def __init__(
        self,
        valued: Valuation,
        scales: Scales,
        rates: _Rates,
        today: date,
    ) -> None:
        self.state = valued.state
        self.base_currency = valued.base_currency
        self.positions = valued.positions
        self.nav_base = valued.totals.nav_base
        self.cost_base = total(row.cost_basis_base for row in valued.positions)
        self.rates = rates
        self.scales = scales
        self.today = today

    def at_todays_quantity(self, paid: Paid, amount: Decimal | None) -> Decimal | None:
        """In the base currency at today's rate."""
        rate, scale = self.rates.get((paid.account.id, paid.currency)), self.scales.of(paid)
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


_Regular = Mapping[tuple[int, int], Sequence[Paid]]
"""The regular bookings of two years by the row numbers of account and instrument, oldest first."""


def _regular(recent: Iterable[Paid]) -> _Regular:
    return grouped(
        (row for row in recent if row.kind in REGULAR),
        lambda row: (row.account.id, row.instrument_id or 0),
    )


class _Earning(NamedTuple):
    """What is held of one instrument, and what was paid on it in the accounts that hold it."""

    positions: Sequence[ValuedPosition]
    this_year: Sequence[Paid]  # in the last 365 days
    before: Sequence[Paid]  # in the 365 before
    gross: Decimal | None  # of a year at today's quantity


def _earnings(held: _Held, regular: _Regular) -> list[_Earning]:
    """What pays most first."""
    paying = {instrument for _, instrument in regular}
    positions: defaultdict[int, list[ValuedPosition]] = defaultdict(list)
    for position in held.positions:
        if position.held.instrument_id in paying:
            positions[position.held.instrument_id].append(position)
    found = []
    for pk, rows in positions.items():
        of_accounts = [regular.get((row.held.account_id, pk), ()) for row in rows]
        paid = of_accounts[0] if len(rows) == 1 else sorted(chain(*of_accounts), key=attrgetter("on", "pk"))
        found.append(_earning(held, rows, paid))
    found.sort(key=lambda one: (one.gross is None, -(one.gross or 0), one.positions[0].held.symbol))
    return found


def _earning(held: _Held, positions: Sequence[ValuedPosition], paid: Sequence[Paid]) -> _Earning:
    since = held.today - YEAR
    this_year = [row for row in paid if row.on > since]
    gross = None
    if _is_long(positions):
        gross = known_sum([held.at_todays_quantity(row, row.gross) for row in this_year])
    return _Earning(positions, this_year, [row for row in paid if row.on <= since], gross)


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


def _estimated(held: _Held, regular: _Regular, declared: Sequence[Expected]) -> list[Expected]:
    """The last year's payments of what is still held, a year on; one payment alone is no pattern."""
    positions = {
        (row.account_id, row.instrument_id): row
        for row in held.state.held
        if row.quantity and row.quantity > 0
    }
    promised = grouped(declared, lambda row: (row.account, row.broker_ref))
    a_year_ago = held.today - YEAR
    found = []
    for holding, rows in regular.items():
        position = positions.get(holding)
        if position is None:
            continue
        by_payment = list(grouped(rows, lambda row: row.payment).values())
        days = [of[0].on for of in by_payment]
        if len(days) == 1:
            continue
        declared_on = [row.on for row in promised.get((rows[0].account.account, position.broker_ref), ())]
        for of in by_payment:
            expected_on = year_before(of[0].on, -1)
            if of[0].on <= a_year_ago or expected_on <= held.today:
                continue
            if position.expires_on and expected_on > position.expires_on:
                continue
            if any(abs(on - expected_on) <= _reach(days) for on in declared_on):
                continue
            if (one := _estimate(held, position, of, expected_on)) is not None:
                found.append(one)
    return found


def _estimate(held: _Held, position: Held, paid: Sequence[Paid], on: date) -> Expected | None:
    """The same payment at what is held now; None where nothing would come of it."""
    first = paid[0]
    scale = held.scales.of(first)
    gross = times(known_sum([row.gross for row in paid]), scale)
    tax = times(known_sum([row.tax for row in paid]), scale)
    net = None if gross is None or tax is None else gross + tax
    if net is not None and net <= 0:
        return None
    return Expected.made(
        {
            "on": on,
            "ex_date": None,
            "status": "estimated",
            "account": first.account.account,
            "broker": first.account.broker,
            "kind": first.kind,
            "symbol": position.symbol,
            "name": position.name,
            "broker_ref": position.broker_ref,
            "currency": first.currency,
            "gross": gross,
            "tax": tax,
            "net": net,
            "net_base": times(net, held.rates.get((first.account.id, first.currency))),
        }
    )


def _reach(days: Sequence[date]) -> timedelta:
    """How far a payment may shift and still be the same one: half the usual gap, at most 45 days."""
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    return min(NEAR, timedelta(days=statistics.median(gaps) / 2))


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
    start: date | None,
    end: date | None,
    paid: Sequence[Paid],
    recent: Sequence[Paid],
    held: _Held,
    earnings: Sequence[_Earning],
    declared: Sequence[Expected],
    estimated: Sequence[Expected],
    accrued: Sequence[Accrued],
) -> IncomeDocument:
    until = [row for row in paid if end and row.on <= end]
    inside = [row for row in until if start is None or row.on >= start]
    earned = [row for row in inside if row.is_income]
    of_all = _by_month(row for row in until if row.is_income)
    by_month = _of_period(of_all, earned, start)
    totals = _totals(_Summed.together(by_month.values()), inside, recent, earnings, held)
    named = _named()
    return IncomeDocument(
        start=start or (inside[0].on if inside else None),
        end=end,
        base_currency=held.base_currency,
        totals=totals,
        by_month=_periods(by_month, of_all, start, end),
        by_year=_years(by_month, of_all),
        **_parts(earned, totals.net_base),
        by_instrument=_instruments(earned, named),
        payments=_payments(inside, named),
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
    def together(cls, parts: Iterable["_Summed"]) -> "_Summed":
        with localcontext(EXACT):
            return reduce(cls.plus, parts, cls())


def _totals(
    summed: _Summed,
    inside: Sequence[Paid],
    recent: Sequence[Paid],
    earnings: Sequence[_Earning],
    held: _Held,
) -> Totals:
    a_year_ago = held.today - YEAR
    trailing = [row.amounts for row in recent if row.on > a_year_ago and row.is_income]
    previous = [row.amounts for row in recent if row.on <= a_year_ago and row.is_income]
    trailing_net, previous_net = sums(trailing)["net_base"], sums(previous)["net_base"]
    annual = total(one.gross for one in earnings)
    interest = [row.amounts.gross for row in inside if row.is_income and not is_dividend(row.kind)]
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
    found: defaultdict[str, tuple[list[Amounts], list[Amounts]]] = defaultdict(lambda: ([], []))
    for row in rows:
        dividends, interest = found[row.month]
        (dividends if is_dividend(row.kind) else interest).append(row.amounts)
    with localcontext(EXACT):
        return {month: _Summed(*map(Tally.of, of)) for month, of in found.items()}


def _of_period(
    of_all: Mapping[str, _Summed], earned: Sequence[Paid], start: date | None
) -> Mapping[str, _Summed]:
    """Of the months up to the end those from the start on, the first one from its day on."""
    if start is None:
        return of_all
    first = start.isoformat()[:7]
    later = {month: of for month, of in of_all.items() if month > first}
    return {**_by_month(row for row in earned if row.month == first), **later}


def _by_year(months: Mapping[str, _Summed]) -> dict[int, _Summed]:
    years = grouped(months.items(), lambda one: int(one[0][:4]))
    return {year: _Summed.together(of for _, of in some) for year, some in years.items()}


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
    cells = grouped(earned, lambda row: (row.account.account, row.currency, row.kind))
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


class _Named(NamedTuple):
    symbol: str
    name: str
    isin: str | None
    broker_ref: str


def _named() -> dict[int | None, _Named]:
    """All instruments by row number: each list needs most of them."""
    return {pk: _Named(*told) for pk, *told in _names()}


@prepared
def _names() -> QuerySet[Instrument, tuple[Any, ...]]:
    return Instrument.objects.values_list("pk", *_Named._fields)


def _instruments(earned: Sequence[Paid], named: Mapping[int | None, _Named]) -> Rows[InstrumentIncome]:
    by_instrument = grouped(
        (row for row in earned if row.instrument_id is not None), lambda row: row.instrument_id
    )
    with localcontext(EXACT):
        tallies = {key: Tally.of(row.amounts for row in rows) for key, rows in by_instrument.items()}

    def made(keys: Sequence[int]) -> list[InstrumentIncome]:
        return [_instrument(named[key], by_instrument[key], tallies[key]) for key in keys]

    return Rows(sorted(tallies, key=lambda key: _largest_first(tallies[key].net)), made)


def _instrument(instrument: _Named, rows: Sequence[Paid], summed: Tally) -> InstrumentIncome:
    return InstrumentIncome(
        **instrument._asdict(),
        broker=rows[0].account.broker,
        payments=len({row.payment for row in rows}),
        **summed.sums(),
    )


def _payments(inside: Sequence[Paid], named: Mapping[int | None, _Named]) -> Rows[Payment]:
    def day(rows: Sequence[Paid]) -> tuple[date, str]:
        first = _first(rows)
        return first.on, named[first.instrument_id].symbol if first.instrument_id else ""

    def made(some: Sequence[Sequence[Paid]]) -> list[Payment]:
        pks = {row.pk for rows in some for row in rows}
        told = Activity.objects.filter(pk__in=pks).values_list("pk", *_Told._fields)
        booked = {pk: _Told(*of) for pk, *of in told}
        return [_payment_of(rows, booked, named) for rows in some if all(row.pk in booked for row in rows)]

    return Rows(sorted(grouped(inside, lambda row: row.payment).values(), key=day, reverse=True), made)


def _first(rows: Sequence[Paid]) -> Paid:
    return next((row for row in rows if not row.is_tax), rows[0])


class _Told(NamedTuple):
    """What is read of an activity when its payment is shown."""

    key: str
    kind: str
    description: str


def _payment_of(
    rows: Sequence[Paid], booked: Mapping[int, _Told], named: Mapping[int | None, _Named]
) -> Payment:
    first = _first(rows)
    account, of = first.account, named.get(first.instrument_id)
    gross, tax = known_sum(row.gross for row in rows), known_sum(row.tax for row in rows)
    return Payment(
        on=first.on,
        ex_date=next((plain_day(row.ex_date) for row in rows if row.ex_date), None),
        account=account.account,
        broker=account.broker,
        kind=rows[0].kind,
        symbol=of and of.symbol,
        name=of and of.name,
        isin=of and of.isin,
        broker_ref=of and of.broker_ref,
        currency=first.currency,
        gross=gross,
        tax=tax,
        net=None if gross is None or tax is None else gross + tax,
        gross_base=known_sum(row.amounts.gross for row in rows),
        tax_base=known_sum(row.amounts.tax for row in rows),
        net_base=known_sum(amount for row in rows for amount in row.amounts),
        rows=tuple(
            Row(
                id=f"{account.broker}:{account.account}:{booked[row.pk].key}",
                on=row.on,
                kind=booked[row.pk].kind,
                gross=row.gross,
                tax=row.tax,
                description=booked[row.pk].description,
            )
            for row in rows
        ),
    )
