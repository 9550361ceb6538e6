"""Money as it was booked, each amount at the rate of its own day: the rows of income, fees and contributions.

The rate is the one booked with the activity, else the broker's of the day, else the ECB's, else unknown.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from stonks_overwatch.ledger.models import Account, Activity, Instrument
from stonks_overwatch.ledger.rows import plain_number
from stonks_overwatch.reports.documents import Computed, Document, times, total
from stonks_overwatch.reports.rates import Rates

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


class Paper(NamedTuple):
    """The instrument of a booking, in the order of `_FACTS`."""

    symbol: str
    name: str
    isin: str | None
    broker_ref: str
    asset_class: str
    multiplier: Decimal
    quote_factor: Decimal


_FACTS = ("symbol", "name", "isin", "broker_ref", "asset_class", "multiplier", "quote_factor")


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
        """Nothing is nothing in every currency, also where the rate is unknown."""
        return times(amount, self.into_base) if amount else amount


# Thousands of rows are read, most cells of which are empty: their texts are made numbers and days here,
# in a tenth of the time that the fields of the model take for it.
_TEXTS = ("trade_date", "quantity", "price", "gross", "fee", "tax", "value", "ex_date", "fx_rate")
_COLUMNS = (
    "account_id", "id", "key", "kind", "subtype", "group", "currency", "description", "instrument_id",
    *(f"{name}_text" for name in _TEXTS),
)  # fmt: skip


def booked(
    accounts: Iterable[Account], base: str, what: Q, start: date | None = None, end: date | None = None
) -> list[Booked]:
    """The reported activities that fit, oldest first; `start` and `end` are included. Three queries."""
    by_id = {account.pk: account for account in accounts}
    found = Activity.objects.reported().filter(what, account__in=list(by_id))
    if start:
        found = found.filter(trade_date__gte=start)
    if end:
        found = found.filter(trade_date__lte=end)
    texts = found.annotate(**{f"{name}_text": Cast(name, TextField()) for name in _TEXTS})
    rows = list(texts.order_by("trade_date", "id").values_list(*_COLUMNS))
    days = {text: date.fromisoformat(text) for text in {row[9] for row in rows}}
    factors = _Factors(base, by_id, [(row[0], row[6], days[row[9]], row[17]) for row in rows])
    papers = _papers({row[8] for row in rows if row[8] is not None})
    return [
        Booked(
            by_id[account_id], pk, key, kind, subtype, group, days[on], currency,
            plain_number(quantity), plain_number(price),
            plain_number(gross), plain_number(fee), plain_number(tax), plain_number(value),
            date.fromisoformat(ex_date) if ex_date else None, description, instrument_id,
            papers[instrument_id] if instrument_id is not None else None,
            factors.into_base(account_id, currency, days[on], fx_rate),
        )
        for (
            account_id, pk, key, kind, subtype, group, currency, description, instrument_id,
            on, quantity, price, gross, fee, tax, value, ex_date, fx_rate,
        ) in rows
    ]  # fmt: skip


def _papers(pks: set[int]) -> dict[int, Paper]:
    """The instruments by row number; of many, all are read."""
    rows = Instrument.objects.filter(pk__in=pks) if len(pks) <= _MOST_NAMED else Instrument.objects.all()
    return {pk: Paper(*facts) for pk, *facts in rows.values_list("pk", *_FACTS)}


_MOST_NAMED = 500  # SQLite takes some thousands of parameters


class _Factors:
    """What one unit of a currency was worth in the base currency, when an account booked it."""

    def __init__(
        self, base: str, accounts: dict[int, Account], rows: Sequence[tuple[int, str, date, str | None]]
    ) -> None:
        """`rows`: the account, the currency, the day and the booked rate of each activity."""
        self._base = base
        self._kept_in = {pk: account.currency for pk, account in accounts.items()}
        needed = {
            (self._kept_in[account_id] if fx_rate else currency, on)
            for account_id, currency, on, fx_rate in rows
        }
        foreign = [(currency, on) for currency, on in needed if currency != base]
        if foreign:
            days = [on for _, on in foreign]
            currencies = {base, *self._kept_in.values(), *(currency for currency, _ in foreign)}
            self._rates = Rates.between(min(days), max(days), currencies)
        else:
            self._rates = Rates(())

    def into_base(self, account_id: int, currency: str, on: date, fx_rate: str | None) -> Decimal | None:
        if currency == self._base:
            return _ONE
        booked_rate = plain_number(fx_rate)
        if not booked_rate:
            return self._rates.rate(currency, self._base, on)
        return times(booked_rate, self._rates.rate(self._kept_in[account_id], self._base, on))


_ONE = Decimal(1)


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


def sums(rows: Iterable[Amounts]) -> dict[str, Any]:
    """The fields of `Sums`."""
    parts = list(rows)
    gross, tax = total([gross for gross, _ in parts]), total([tax for _, tax in parts])
    return {
        "gross_base": gross.value,
        "tax_base": tax.value,
        "net_base": None if gross.value is None or tax.value is None else gross.value + tax.value,
        "unknown": sum(1 for part in parts if None in part) if gross.unknown or tax.unknown else 0,
    }


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


def last_day(accounts: Iterable[Account], as_of: date | None) -> date | None:
    """The day that a report over time ends with: the one asked for, else that of the newest update."""
    return as_of or max((account.updated_at.date() for account in accounts), default=None)


def first_day(accounts: Iterable[Account]) -> date | None:
    """The day of the first reported activity."""
    reported = Activity.objects.reported().order_by("trade_date").values_list("trade_date", flat=True)
    # One look into the index of each account; the smallest of all would read every row.
    firsts = [reported.filter(account=account).first() for account in accounts]
    return min((first for first in firsts if first), default=None)


def year_before(on: date, years: int = 1) -> date:
    """The same day of an earlier (or, negative, later) year; the 28th for a 29 February."""
    try:
        return on.replace(year=on.year - years)
    except ValueError:
        return on.replace(year=on.year - years, day=28)


DAY = timedelta(days=1)
