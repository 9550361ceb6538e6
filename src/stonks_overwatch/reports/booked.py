"""Money as it was booked, each amount at the rate of its own day: the rows of income, fees and contributions.

The rate is the one booked with the activity, else the broker's of the day, else the ECB's, else unknown.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast

from stonks_overwatch.ledger.models import Account, Activity, Instrument
from stonks_overwatch.ledger.rows import plain, plain_day, plain_number
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.reports.documents import Computed, Document, times
from stonks_overwatch.reports.rates import Rates

DAY = timedelta(days=1)

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


class Paper(NamedTuple):
    """The instrument of a booking."""

    symbol: str
    name: str
    isin: str | None
    broker_ref: str
    asset_class: str
    multiplier: Decimal
    quote_factor: Decimal


# Of the instrument: its row number, and then as in `Paper`.
_FACTS: tuple[str | Cast, ...] = (
    "pk", "symbol", "name", "isin", "broker_ref", "asset_class", *map(plain, ("multiplier", "quote_factor")),
)  # fmt: skip


class Booked(NamedTuple):
    """One activity; amounts in `currency`, `into_base` is base currency for one unit (None: unknown)."""

    account: Account
    pk: int
    key: str
    kind: str
    subtype: str
    group: str | None
    on: date
    currency: str
    quantity: Decimal | None
    price: Decimal | None
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    value: Decimal | None
    ex_date: date | None
    description: str
    instrument_id: int | None
    paper: Paper | None
    into_base: Decimal | None

    @property
    def id(self) -> str:
        """As the report of activities names it."""
        return f"{self.account.broker}:{self.account.account}:{self.key}"

    @property
    def month(self) -> str:
        return self.on.isoformat()[:7]

    @property
    def symbol(self) -> str | None:
        return self.paper.symbol if self.paper else None

    @property
    def name(self) -> str | None:
        return self.paper.name if self.paper else None

    @property
    def isin(self) -> str | None:
        return self.paper.isin if self.paper else None

    @property
    def broker_ref(self) -> str | None:
        return self.paper.broker_ref if self.paper else None

    def in_base(self, amount: Decimal | None) -> Decimal | None:
        return in_base(amount, self.into_base)


def in_base(amount: Decimal | None, into_base: Decimal | None) -> Decimal | None:
    """Nothing is nothing in every currency, also where the rate is unknown."""
    return times(amount, into_base) if amount else amount


# Thousands of rows are read, most cells of which are empty: their texts are made numbers and days here,
# in a tenth of the time that the fields of the model take for it.
_COLUMNS: tuple[str | Cast, ...] = (
    "account_id", "id", "key", "kind", "subtype", "group", "currency", "description", "instrument_id",
    *map(plain, ("trade_date", "quantity", "price", "gross", "fee", "tax", "value", "ex_date", "fx_rate")),
)  # fmt: skip


def booked(
    accounts: Iterable[Account], base: str, what: Q, start: date | None = None, end: date | None = None
) -> list[Booked]:
    """The reported activities that fit, oldest first; `start` and `end` are included. Three queries."""
    by_id = {account.pk: account for account in accounts}
    return _made(by_id, base, _rows(tuple(by_id), what, start, end))


def booked_of(by_id: Mapping[int, Account], base: str, found: QuerySet[Activity]) -> list[Booked]:
    """Activities of these accounts, in their order. Three queries."""
    return _made(by_id, base, list(found.values_list(*_COLUMNS)))


@prepared
def _rows(
    accounts: tuple[int, ...], what: Q, start: date | None, end: date | None
) -> QuerySet[Activity, tuple[Any, ...]]:
    return reported(accounts, what, start, end).values_list(*_COLUMNS)


def _made(by_id: Mapping[int, Account], base: str, rows: Sequence[tuple[Any, ...]]) -> list[Booked]:
    """`rows` hold `_COLUMNS`."""
    days = {text: date.fromisoformat(text) for text in {row[9] for row in rows}}
    # Most rows share their day and currency with others.
    factors = _factors(base, by_id, {(row[0], row[6], row[9], row[17]) for row in rows}, days)
    of_row = papers({row[8] for row in rows if row[8] is not None})
    return [
        Booked(
            by_id[account_id], pk, key, kind, subtype, group, days[on], currency,
            None if quantity is None else Decimal(quantity), None if price is None else Decimal(price),
            None if gross is None else Decimal(gross), None if fee is None else Decimal(fee),
            None if tax is None else Decimal(tax), None if value is None else Decimal(value),
            date.fromisoformat(ex_date) if ex_date else None, description, instrument_id,
            of_row[instrument_id] if instrument_id is not None else None,
            factors[account_id, currency, on, fx_rate],
        )
        for (
            account_id, pk, key, kind, subtype, group, currency, description, instrument_id,
            on, quantity, price, gross, fee, tax, value, ex_date, fx_rate,
        ) in rows
    ]  # fmt: skip


class Entry(NamedTuple):
    """What of an activity is summed up, as in `Booked`; days are as the database has them."""

    account_id: int
    pk: int
    kind: str
    subtype: str
    group: str | None
    on: str
    ex_date: str | None
    currency: str
    instrument_id: int | None
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    into_base: Decimal | None


_OF_ENTRY: tuple[str | Cast, ...] = (
    "account_id", "id", "kind", "subtype", "group", "instrument_id", "currency",
    *map(plain, ("trade_date", "ex_date", "gross", "fee", "tax", "fx_rate")),
)  # fmt: skip


def entries(
    accounts: Iterable[Account], base: str, what: Q, start: date | None = None, end: date | None = None
) -> list[Entry]:
    """As `booked`, where there are tens of thousands to be summed up. Two queries."""
    by_id = {account.pk: account for account in accounts}
    rows = _rows_of_entries(tuple(by_id), what, start, end)
    days = {text: date.fromisoformat(text) for text in {row[7] for row in rows}}
    factors = _factors(base, by_id, {(row[0], row[6], row[7], row[12]) for row in rows}, days)
    return [
        Entry(
            account_id, pk, kind, subtype, group, on, ex_date, currency, instrument_id,
            None if gross is None else Decimal(gross), None if fee is None else Decimal(fee),
            None if tax is None else Decimal(tax), factors[account_id, currency, on, fx_rate],
        )
        for (
            account_id, pk, kind, subtype, group, instrument_id, currency, on, ex_date, gross, fee, tax,
            fx_rate,
        ) in rows
    ]  # fmt: skip


@prepared
def _rows_of_entries(
    accounts: tuple[int, ...], what: Q, start: date | None, end: date | None
) -> QuerySet[Activity, tuple[Any, ...]]:
    return reported(accounts, what, start, end).values_list(*_OF_ENTRY)


def reported(
    accounts: Iterable[int], what: Q, start: date | None = None, end: date | None = None
) -> QuerySet[Activity]:
    """The reported activities that fit, oldest first; `start` and `end` are included."""
    found, pks = Activity.objects.reported().filter(what), list(accounts)
    if start:
        # A sum is not looked up: the index of days tells most rows that do not fit, without a look at them.
        found = found.alias(holder=F("account") + 0).filter(holder__in=pks, trade_date__gte=start)
    else:
        found = found.filter(account__in=pks)
    if end:
        found = found.filter(trade_date__lte=end)
    return found.order_by("trade_date", "id")


def papers(pks: set[int]) -> dict[int, Paper]:
    """The instruments by row number; of many, all are read."""
    rows = _facts(tuple(sorted(pks)) if len(pks) <= _MOST_NAMED else None)
    return {
        pk: Paper(symbol, name, isin, ref, asset_class, Decimal(multiplier), Decimal(quote_factor))
        for pk, symbol, name, isin, ref, asset_class, multiplier, quote_factor in rows
    }


@prepared
def _facts(pks: tuple[int, ...] | None) -> QuerySet[Instrument, tuple[Any, ...]]:
    rows = Instrument.objects.all() if pks is None else Instrument.objects.filter(pk__in=pks)
    return rows.values_list(*_FACTS)


_MOST_NAMED = 500  # SQLite takes some thousands of parameters


_Rated = tuple[int, str, str, str | None]
"""The account, the currency, the day and the booked rate of an activity."""


def _factors(
    base: str, accounts: Mapping[int, Account], rows: Collection[_Rated], days: Mapping[str, date]
) -> dict[_Rated, Decimal | None]:
    """What one unit of a currency was worth in the base currency, when an account booked it."""
    kept_in = {pk: account.currency for pk, account in accounts.items()}
    needed = {(kept_in[account] if fx_rate else currency, on) for account, currency, on, fx_rate in rows}
    foreign = [on for currency, on in needed if currency != base]
    rates = Rates(())
    if foreign:
        currencies = {base, *kept_in.values(), *(currency for currency, _ in needed)}
        rates = Rates.between(days[min(foreign)], days[max(foreign)], currencies)

    told = {currency: rates.told(currency, base) for currency in {currency for currency, _ in needed}}

    def factor(account: int, currency: str, on: str, fx_rate: str | None) -> Decimal | None:
        if currency == base:
            return _ONE
        booked_rate = plain_number(fx_rate)
        if not booked_rate:
            # Most are told on that very day: none is newer.
            rate = told[currency].get(on)
            return Decimal(rate) if rate else rates.rate(currency, base, days[on])
        return times(booked_rate, rates.rate(kept_in[account], base, days[on]))

    return {row: factor(*row) for row in rows}


_ONE = Decimal(1)
_NONE = Decimal(0)


class Amounts(NamedTuple):
    """What one row adds, in the base currency; None is unknown."""

    gross: Decimal | None
    tax: Decimal | None


class Sums(Document):
    """`net_base` is gross + tax. `unknown` counts the rows with an amount or a rate that is not known.

    Gross and tax are null when they have parts and none of them is known, net when one of the two is.
    """

    gross_base: Computed | None
    tax_base: Computed | None
    net_base: Computed | None
    unknown: int


class Tally(NamedTuple):
    """What rows come to; `unknown` of them have an amount that is not known, or both."""

    gross: Decimal = _NONE
    tax: Decimal = _NONE
    rows: int = 0
    unknown: int = 0
    without_gross: int = 0
    without_tax: int = 0

    @classmethod
    def of(cls, rows: Iterable[Amounts]) -> "Tally":
        gross = tax = _NONE
        count = unknown = without_gross = without_tax = 0
        for one, other in rows:
            count += 1
            if one is None or other is None:
                unknown += 1
            if one is None:
                without_gross += 1
            elif one:
                gross += one
            if other is None:
                without_tax += 1
            elif other:
                tax += other
        return cls(gross, tax, count, unknown, without_gross, without_tax)

    @classmethod
    def told(cls, told: Sequence[Any], before: Sequence[Any] | None = None) -> "Tally":
        """From JSON; without what was told before."""
        if before is None:
            gross, tax, *counts = told
            return cls(Decimal(gross), Decimal(tax), *counts)
        both = zip(told, before, strict=True)
        # Most have fees alone, or taxes alone.
        gross, tax = (_NONE if now == then else Decimal(now) - Decimal(then) for now, then in islice(both, 2))
        return cls(gross, tax, *(now - then for now, then in both))

    def plus(self, other: "Tally") -> "Tally":
        a, b, c, d, e, f = self
        g, h, i, j, k, m = other
        return Tally(a + g, b + h, c + i, d + j, e + k, f + m)

    @classmethod
    def together(cls, tallies: Iterable["Tally"]) -> "Tally":
        return reduce(cls.plus, tallies, cls())

    @property
    def net(self) -> Decimal | None:
        is_known = not self.rows or self.rows not in (self.without_gross, self.without_tax)
        return self.gross + self.tax if is_known else None

    @property
    def known_gross(self) -> Decimal | None:
        return None if self.rows and self.without_gross == self.rows else self.gross

    def sums(self) -> dict[str, Any]:
        """The fields of `Sums`."""
        return {
            "gross_base": self.known_gross,
            "tax_base": None if self.rows and self.without_tax == self.rows else self.tax,
            "net_base": self.net,
            "unknown": self.unknown,
        }


def sums(rows: Iterable[Amounts]) -> dict[str, Any]:
    """The fields of `Sums`."""
    return Tally.of(rows).sums()


def together(parts: Iterable[tuple[_Key, Tally]]) -> dict[_Key, Tally]:
    """By key, keys in the order in which they first come."""
    found: dict[_Key, Tally] = {}
    for key, tally in parts:
        found[key] = found[key].plus(tally) if key in found else tally
    return found


def grouped(rows: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """The rows by key, keys in the order in which they first come."""
    found: defaultdict[_Key, list[_Item]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return dict(found)


def months(first: date, last: date) -> list[str]:
    """Every month from the one day's to the other's, as 2026-01."""
    start, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    return [f"{number // 12}-{number % 12 + 1:02}" for number in range(start, end + 1)]


def days_of_month(month: str) -> tuple[date, date]:
    """The first day of a month (2026-01) and of the one after it."""
    first = date.fromisoformat(f"{month}-01")
    return first, (first + 31 * DAY).replace(day=1)


def last_day(accounts: Iterable[Account], as_of: date | None) -> date | None:
    """The day that a report over time ends with: the one asked for, else that of the newest update."""
    return as_of or max((account.updated_at.date() for account in accounts), default=None)


def first_day(accounts: Iterable[Account]) -> date | None:
    """The day of the first reported activity."""
    firsts = _first_reported(tuple(account.pk for account in accounts))
    return min((plain_day(on) for (on,) in firsts if on), default=None)


@prepared
def _first_reported(accounts: tuple[int, ...]) -> QuerySet[Account, tuple[Any, ...]]:
    """Of each account by one look into the index; the smallest of all would read every row."""
    own = Activity.objects.reported().filter(account=OuterRef("pk")).order_by("trade_date")
    first = Subquery(own.values_list(plain("trade_date"))[:1], output_field=TextField())
    return Account.objects.filter(pk__in=accounts).values_list(first)


def year_before(on: date, years: int = 1) -> date:
    """The same day of an earlier (or, negative, later) year; the 28th for a 29 February."""
    try:
        return on.replace(year=on.year - years)
    except ValueError:
        return on.replace(year=on.year - years, day=28)
