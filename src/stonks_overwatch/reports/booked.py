"""Money as it was booked, each amount at the rate of its own day: the rows of income, fees and contributions.

The rate is the one booked with the activity, else the broker's of the day, else the ECB's, else unknown.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from django.db.models import Min, Q

from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.reports.documents import Computed, Document, times, total
from stonks_overwatch.reports.rates import Rates

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


class Booked(NamedTuple):
    """One activity; amounts in `currency`, `into_base` is base currency for one unit (None: unknown)."""

    account: Account
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
    symbol: str | None
    name: str | None
    isin: str | None
    broker_ref: str | None
    asset_class: str | None
    multiplier: Decimal | None
    quote_factor: Decimal | None
    into_base: Decimal | None

    @property
    def id(self) -> str:
        """As the report of activities names it."""
        return f"{self.account.broker}:{self.account.account}:{self.key}"

    @property
    def month(self) -> str:
        return f"{self.on:%Y-%m}"

    def in_base(self, amount: Decimal | None) -> Decimal | None:
        """Nothing is nothing in every currency, also where the rate is unknown."""
        return amount if amount == 0 else times(amount, self.into_base)


_COLUMNS = (
    "account_id",
    "key",
    "kind",
    "subtype",
    "group",
    "trade_date",
    "currency",
    "quantity",
    "price",
    "gross",
    "fee",
    "tax",
    "value",
    "ex_date",
    "description",
    "instrument_id",
    "instrument__symbol",
    "instrument__name",
    "instrument__isin",
    "instrument__broker_ref",
    "instrument__asset_class",
    "instrument__multiplier",
    "instrument__quote_factor",
    "fx_rate",
)


def booked(
    accounts: Iterable[Account], base: str, what: Q, start: date | None = None, end: date | None = None
) -> list[Booked]:
    """The reported activities that fit, oldest first; `start` and `end` are included. Two queries."""
    by_id = {account.pk: account for account in accounts}
    found = Activity.objects.reported().filter(what, account__in=list(by_id))
    if start:
        found = found.filter(trade_date__gte=start)
    if end:
        found = found.filter(trade_date__lte=end)
    rows = list(found.order_by("trade_date", "id").values_list(*_COLUMNS))
    factors = _Factors(base, by_id, rows)
    return [
        Booked._make((by_id[row[0]], *row[1:-1], factors.into_base(row[0], row[6], row[5], row[-1])))
        for row in rows
    ]


class _Factors:
    """What one unit of a currency was worth in the base currency, when an account booked it."""

    def __init__(self, base: str, accounts: dict[int, Account], rows: Sequence[tuple[Any, ...]]) -> None:
        self._base = base
        self._kept_in = {pk: account.currency for pk, account in accounts.items()}
        needed = {
            (self._kept_in[account_id] if fx_rate else currency, on)
            for account_id, _, _, _, _, on, currency, *_, fx_rate in rows
        }
        foreign = [(currency, on) for currency, on in needed if currency != base]
        if foreign:
            days = [on for _, on in foreign]
            currencies = {base, *self._kept_in.values(), *(currency for currency, _ in foreign)}
            self._rates = Rates.between(min(days), max(days), currencies)
        else:
            self._rates = Rates(())

    def into_base(self, account_id: int, currency: str, on: date, fx_rate: Decimal | None) -> Decimal | None:
        if currency == self._base:
            return Decimal(1)
        if not fx_rate:
            return self._rates.rate(currency, self._base, on)
        return times(fx_rate, self._rates.rate(self._kept_in[account_id], self._base, on))


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
    gross, tax = total(part.gross for part in parts), total(part.tax for part in parts)
    return {
        "gross_base": gross.value,
        "tax_base": tax.value,
        "net_base": None if gross.value is None or tax.value is None else gross.value + tax.value,
        "unknown": sum(1 for part in parts if None in part),
    }


def grouped(rows: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """The rows by key, keys in the order in which they first come."""
    found: dict[_Key, list[_Item]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def months(first: date, last: date) -> list[str]:
    """Every month from the one day's to the other's, as 2026-01."""
    start, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    return [f"{number // 12}-{number % 12 + 1:02}" for number in range(start, end + 1)]


def last_day(accounts: Iterable[Account], as_of: date | None) -> date | None:
    """The day that a report over time ends with: the one asked for, else that of the newest update."""
    return as_of or max((account.updated_at.date() for account in accounts), default=None)


def first_day(accounts: Iterable[Account]) -> date | None:
    """The day of the first reported activity."""
    found: date | None = (
        Activity.objects.reported()
        .filter(account__in=list(accounts))
        .aggregate(first=Min("trade_date"))["first"]
    )
    return found


def year_before(on: date, years: int = 1) -> date:
    """The same day of an earlier (or, negative, later) year; the 28th for a 29 February."""
    try:
        return on.replace(year=on.year - years)
    except ValueError:
        return on.replace(year=on.year - years, day=28)


DAY = timedelta(days=1)
