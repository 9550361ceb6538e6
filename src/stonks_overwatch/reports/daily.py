"""The daily series of the accounts looked at: stored days, brought up to date, with the broker's own values.

What is stored is our own valuation of each account; it goes on from its checkpoint when days are missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain
from math import isnan
from typing import Any, ClassVar, NamedTuple, TypeVar

from django.db.models import F, FloatField, Q, QuerySet
from django.db.models.functions import Cast

from stonks_overwatch.engine import series, valuation
from stonks_overwatch.engine.rates import CARRIED_DAYS, Block, Floats, into
from stonks_overwatch.engine.valuation import (
    Book,
    Checkpoint,
    Contents,
    Daily,
    Events,
    Instruments,
    Prices,
    State,
    Style,
)
from stonks_overwatch.errors import UnknownInstrumentError
from stonks_overwatch.ledger import ecb, packed
from stonks_overwatch.ledger.models import (
    Account,
    ActivityBlock,
    CashBalance,
    DailySeries,
    Instrument,
    NavPoint,
    Period,
    PriceSeries,
    RateSeries,
    RecentPrices,
)
from stonks_overwatch.ledger.rows import plain, plain_day, plain_float
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.ledger.types import AssetClass
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope, accounts

# Corrections of the last weeks are taken in without valuing all years again.
CHECKPOINT_DAYS = 35
_WIDTH = len(packed.COLUMNS)
_CENT = 0.005
_MONDAY, _FRIDAY = 1, 5  # remainders of the numbers of days by 7
_MOST_NAMED = 250
_Row = TypeVar("_Row", Instrument, PriceSeries, RecentPrices)
_FLOW_TOPICS = ("cash", "transfers")
_STYLES = {AssetClass.FUTURE: Style.PROFIT, AssetClass.CFD: Style.PROFIT, AssetClass.CASH: Style.NONE}


@dataclass(frozen=True, slots=True)
class DailyTotal:
    """The accounts looked at together, day by day, up to the day asked for; of `only` these holdings."""

    accounts: tuple[Account, ...]
    total: series.Total
    index: series.Index | None
    only: "Group | None" = None


class Own(NamedTuple):
    """Our own valuation of one account from the day before its first activity.

    `cash` is what the activities explain of the cash of each currency at the end of all.
    """

    first: int
    daily: Daily
    cash: dict[str, float]
    last_opening: int


class Known(NamedTuple):
    """The days of one account between whose ends every flow is known; see series.Account."""

    since: int | None
    until: int
    empty_until: int | None
    is_valued: bool = True


@kept
def daily_total(scope: Scope, only: "Group | None" = None) -> DailyTotal | None:
    """The series of the scope from the first day anything is known of; None without any.

    With `only`, of some holdings, by our own valuation.
    """
    looked_at = accounts(scope)
    last = max((account.updated_at.date() for account in looked_at), default=date.min)
    own = own_valuations(looked_at, scope.base_currency, last)
    points = _points(looked_at) if only is None else {}
    if only is not None:
        own = _of_group(own, looked_at, scope.base_currency, last, only)
    last_day = min(last, scope.as_of or date.max)
    return _total(looked_at, scope.base_currency, last_day, own, points, _Facts.of(looked_at), only)


def daily_totals(looked_at: Sequence[Account]) -> dict[int, DailyTotal | None]:
    """The series of each account by itself, in its own currency, by account row."""
    since = packed.clock()
    points, facts = _points(looked_at), _Facts.of(looked_at)
    stored = DailySeries.objects.filter(account__in=looked_at, base=F("account__currency"))
    in_own = {row.account_id: row for row in stored}
    alike: dict[tuple[str, date], list[Account]] = defaultdict(list)
    for account in looked_at:
        alike[account.currency, account.updated_at.date()].append(account)
    found: dict[int, DailyTotal | None] = {}
    for (currency, last), some in alike.items():
        valuations = _own_valuations(some, currency, last, in_own, since)
        for account in some:
            pk = account.pk
            own = {pk: valuations[pk]} if pk in valuations else {}
            told = {pk: points[pk]} if pk in points else {}
            found[pk] = _total([account], currency, last, own, told, facts, only=None)
    return found


def _total(
    looked_at: Sequence[Account],
    base: str,
    until: date,
    own: dict[int, Own],
    points: dict[int, list["_Point"]],
    facts: "_Facts",
    only: "Group | None",
) -> DailyTotal | None:
    """The accounts together, to the end of a day; `own` is of these holdings alone."""
    last = max((account.updated_at.date() for account in looked_at), default=date.min)
    last_day = until.toordinal()
    firsts = [days.first for days in own.values()] + [of[0].on for of in points.values()]
    if not firsts or min(firsts) >= last_day:
        return None
    first = min(firsts)
    kept_in = sorted({point.currency for of in points.values() for point in of})
    rates = dict(zip(kept_in, rates_of(base, kept_in, first, last.toordinal()), strict=True))
    parts = []
    for account in looked_at:
        days, told = own.get(account.pk), points.get(account.pk, [])
        known = facts.known(account, days, with_cash=only is None)
        parts.append(
            series.Account(
                first=days.first if days else first,
                daily=days.daily if days else Daily.nothing(),
                is_valued=known.is_valued,
                known_from=known.since,
                known_until=known.until,
                empty_until=known.empty_until,
                point_days=[point.on for point in told],
                points=[point.nav * float(rates[point.currency][point.on - first]) for point in told],
                points_first=account.pk in facts.accruing,
            )
        )
    summed = series.total(parts, first, last_day)
    return DailyTotal(tuple(looked_at), summed, series.index(summed), only)


@dataclass(frozen=True, slots=True)
class Group:
    """Holdings to look at alone: those whose instrument has this value of a field; null is "unknown"."""

    field: str
    value: str

    FIELDS: ClassVar = ("instrument", "asset_class", "currency", "country", "sector", "exchange")

    def rows(self) -> QuerySet[Instrument]:
        """Raises: UnknownInstrumentError when the named instrument is not stored."""
        if self.field == "instrument":
            named = Q(isin=self.value) | Q(symbol=self.value) | Q(broker_ref=self.value)
            rows = Instrument.objects.filter(named)
            if not rows.exists():
                raise UnknownInstrumentError(
                    f"No instrument {self.value} is stored.",
                    next_step="Name one by its ISIN, its symbol or the broker's number; see holdings.",
                )
            return rows
        return Instrument.objects.filter(**{self.field: None if self.value == "unknown" else self.value})

    def numbers(self) -> set[int]:
        return set(self.rows().values_list("pk", flat=True))


def _of_group(
    own: dict[int, Own], looked_at: Sequence[Account], base: str, last: date, only: Group
) -> dict[int, Own]:
    """The own valuations with the days of the group's holdings in place of the accounts'.

    Empty where none of the group was ever held.
    """
    wanted = only.numbers()
    with_own = [account for account in looked_at if account.pk in own]
    if not with_own:
        return {}
    first = min(days.first for days in own.values())
    found = {}
    for account, book in zip(with_own, books(with_own, base, first, last.toordinal()), strict=True):
        chosen = valuation.truths([number in wanted for number in book.instruments.numbers.tolist()])
        if not wanted.intersection(book.instruments.numbers.tolist()):
            return {}
        days = valuation.of_holdings(book, chosen).since(own[account.pk].first - first)
        found[account.pk] = own[account.pk]._replace(daily=days)
    return found


def books(looked_at: Sequence[Account], base: str, first: int, last: int) -> list[Book]:
    """What a valuation of each account from the end of day `first` takes."""
    return _booked(looked_at, base, first, last)[1]


def _booked(looked_at: Sequence[Account], base: str, first: int, last: int) -> "tuple[Tables, list[Book]]":
    blocks: dict[int, list[bytes | memoryview]] = {account.pk: [] for account in looked_at}
    # The engine puts activities in the order of their days: sorting blocks here would only cost time.
    rows = ActivityBlock.objects.filter(account__in=looked_at)
    for pk, packed_rows in rows.values_list("account_id", "rows"):
        blocks[pk].append(packed_rows)
    contents = Contents.of([block for some in blocks.values() for block in some], _WIDTH)
    tables = Tables.of(base, contents.instruments, contents.currencies, first, last)
    found = []
    for account in looked_at:
        book = tables.book(blocks[account.pk], tables.nothing(), first)
        found.append(replace(book, start=valuation.held_before(book)))
    return tables, found


class Worth(NamedTuple):
    """A part of an account's value at the end of a day, by our own valuation; NaN is unknown.

    A position has an instrument (its row), a quantity and a price in the currency; cash has neither, its
    quantity is the amount. `value` is in the base currency.
    """

    account: Account
    instrument: int | None
    currency: str
    quantity: float
    price: float
    value: float


def worth(looked_at: Sequence[Account], base: str, on: date) -> list[Worth]:
    """What the accounts held at the end of a day."""
    day = on.toordinal()
    tables, found = _booked(looked_at, base, day, day)
    codes = [packed.currency_code(number) for number in tables.currencies.tolist()]
    rows = tables.instruments.numbers.tolist()
    parts = []
    for account, book in zip(looked_at, found, strict=True):
        _, held = valuation.daily(book, tables.currencies, day)
        holdings = valuation.by_holding(book, book.rates[0])
        values, cashed = holdings.end.tolist(), holdings.cashed
        for number, quantity in zip(held.instruments.tolist(), held.quantity.tolist(), strict=True):
            row = rows.index(number)
            if not quantity and not values[row]:
                continue  # a future that was closed: its profit is in cash
            currency = codes[int(tables.instruments.currency[row])]
            price = float(book.prices.filled[row, 0])
            parts.append(Worth(account, number, currency, quantity, price, values[row]))
        # Profit of futures that was told in sum counts with those that are still open already.
        free = held.cash - held.settled + valuation.by_currency(tables.instruments, cashed, held.cash.size)
        for code, amount, rate in zip(codes, free.tolist(), book.rates[:, 0].tolist(), strict=True):
            if amount:
                parts.append(Worth(account, None, code, amount, float("nan"), amount * rate))
    return parts


def own_points(looked_at: Sequence[Account], base: str) -> dict[int, list[tuple[date, float]]]:
    """By account row our own valuation on weekdays, oldest first; beyond a year ago on Fridays alone."""
    last = max((account.updated_at.date() for account in looked_at), default=date.min)
    facts = _Facts.of(looked_at)
    valuations = own_valuations(looked_at, base, last)
    found = {}
    for account in looked_at:
        own = valuations.get(account.pk)
        known = facts.known(account, own)
        if own is None or known.since is None or not known.is_valued:
            continue
        first, after = max(known.since, own.first), min(known.until, last.toordinal()) + 1
        year_ago = min(max(first, last.toordinal() - 366), after)
        fridays = range(first + (_FRIDAY - first) % 7, year_ago, 7)
        weekdays = (day for day in range(year_ago, after) if _MONDAY <= day % 7 <= _FRIDAY)
        values = own.daily.nav.tolist()
        found[account.pk] = [
            (date.fromordinal(day), value)
            for day in chain(fridays, weekdays)
            if not isnan(value := values[day - own.first])
        ]
    return found


# What the broker told


class _Point(NamedTuple):
    on: int
    nav: float
    currency: str


def _points(looked_at: Sequence[Account]) -> dict[int, list[_Point]]:
    """The broker's values of each account, oldest first; its latest report is one of them."""
    points: dict[int, list[_Point]] = defaultdict(list)
    rows = NavPoint.objects.filter(account__in=[account.pk for account in looked_at])
    ordered = rows.order_by("account", "on")  # along the index
    columns = ordered.values_list("account_id", plain("on"), plain_float("nav"), "currency")
    for pk, on, nav, currency in columns.iterator(chunk_size=2000):
        points[pk].append(_Point(plain_day(on).toordinal(), nav, currency))
    for account in looked_at:
        if account.reported_nav is not None and account.reported_as_of is not None:
            on = account.reported_as_of.date().toordinal()
            told = points[account.pk]
            if not told or told[-1].on < on:
                told.append(_Point(on, float(account.reported_nav), account.currency))
    return points


@dataclass(frozen=True, slots=True)
class _Facts:
    """By account row: the reported cash by currency, who reports accruals, what statements told in full."""

    cash: dict[int, dict[str, float]]
    accruing: set[int]
    periods: dict[int, list[tuple[int, int]]]

    @classmethod
    def of(cls, looked_at: Sequence[Account]) -> "_Facts":
        pks = tuple(account.pk for account in looked_at)
        cash: dict[int, dict[str, float]] = defaultdict(dict)
        accruing = set()
        for pk, currency, amount, *accrued in _balances(pks):
            cash[pk][currency] = amount
            if accrued != [None, None]:
                accruing.add(pk)
        by_topic: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
        for pk, topic, since, until in _told_in_full(pks):
            by_topic[pk, topic].append((plain_day(since).toordinal(), plain_day(until).toordinal()))
        periods = {pk: _common([by_topic[pk, topic] for topic in _FLOW_TOPICS]) for pk in pks}
        return cls(cash, accruing, periods)

    def known(self, account: Account, own: Own | None, *, with_cash: bool = True) -> Known:
        """From when to when every flow of the account is known.

        Where the broker never told the cash, activities do not say what was there: statements alone tell of
        flows, and nothing is valued but single holdings (not `with_cash`).
        Else, without any opening balance the history is whole: before the first activity there was nothing.
        Otherwise it begins with the last opening balance: with the first report of cash, or earlier where
        statements tell all that moves money. It reaches to now if the activities explain the reported
        cash to the cent, else to the end of the last statement; also where the first report came days after
        its end, until the next one is out. After more days than that it begins anew with the report.
        """
        opened = None if account.opened_on is None else account.opened_on.toordinal() - 1
        told = self.periods[account.pk]
        is_reported = account.cash_since is not None
        if own is None or (with_cash and not is_reported):
            until = told[-1][1] if told else 0
            return Known(told[-1][0] - 1 if told else None, until, opened, is_valued=False)
        until = account.updated_at.date().toordinal()
        is_explained = not is_reported or self._explains(account.pk, own.cash)
        if own.last_opening == 0 and is_explained:
            return Known(own.first, until, own.first)
        starts = []
        if is_reported and is_explained and account.cash_since is not None:
            starts.append(account.cash_since.date().toordinal())
        if not is_reported:
            starts.append(own.last_opening)
        if told:
            since, told_until = told[-1][0] - 1, told[-1][1]
            is_apart = bool(starts) and starts[0] > told_until + 1
            if is_apart and until - told_until <= CARRIED_DAYS:
                # A balance of the days that are not told yet takes nothing from those before.
                opened_by = own.last_opening if own.last_opening <= told_until else 0
                return Known(max(since, opened_by), told_until, opened)
            if not is_apart:
                starts.append(since)
                until = until if is_explained else told_until
        if not starts:
            return Known(None, 0, opened)
        return Known(max(min(starts), own.last_opening), until, opened)

    def _explains(self, account_pk: int, cash: dict[str, float]) -> bool:
        reported = self.cash[account_pk]
        return all(
            abs(cash.get(currency, 0.0) - reported.get(currency, 0.0)) < _CENT
            for currency in cash.keys() | reported.keys()
        )


@prepared
def _balances(accounts: tuple[int, ...]) -> QuerySet[CashBalance, tuple[Any, ...]]:
    columns = plain_float("amount"), plain("accrued_interest"), plain("accrued_dividends")
    return CashBalance.objects.filter(account__in=accounts).values_list("account_id", "currency", *columns)


@prepared
def _told_in_full(accounts: tuple[int, ...]) -> QuerySet[Period, tuple[Any, ...]]:
    told = Period.objects.filter(account__in=accounts, topic__in=_FLOW_TOPICS)
    return told.values_list("account_id", "topic", plain("since"), plain("until"))


def _common(topics: Sequence[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """The ranges of days (first, last) that all topics cover, in order; ranges that meet are one."""
    common = _joined(topics[0])
    for ranges in topics[1:]:
        common = [
            (max(a[0], b[0]), min(a[1], b[1]))
            for a in common
            for b in _joined(ranges)
            if max(a[0], b[0]) <= min(a[1], b[1])
        ]
    return sorted(common)


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for since, until in sorted(ranges):
        if joined and since <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((since, until))
    return joined


# Our own valuation


def own_valuations(looked_at: Sequence[Account], base: str, last: date) -> dict[int, Own]:
    """Our own valuation of each account to the end of a day, stored as far as it was not yet.

    By account row; without those that had no activities by then.
    """
    since = packed.clock()
    stored = {row.account_id: row for row in DailySeries.objects.filter(account__in=looked_at, base=base)}
    return _own_valuations(looked_at, base, last, stored, since)


def _own_valuations(
    looked_at: Sequence[Account], base: str, last: date, stored: Mapping[int, DailySeries], since: int
) -> dict[int, Own]:
    """The same. `stored` may hold other accounts; `since` is where the clock stood before it was read."""
    found = {
        pk: _own(row, Daily.unpacked(row.columns).until((last - row.first_on).days + 1))
        for pk in (account.pk for account in looked_at)
        if (row := stored.get(pk)) is not None and row.valid_until >= last
    }
    works = [_work(account, stored.get(account.pk), base) for account in looked_at if account.pk not in found]
    works = [work for work in works if work.first < last.toordinal()]
    if works:
        tables = Tables.of(
            base,
            sorted({number for work in works for number in work.instruments}),
            sorted({number for work in works for number in work.currencies}),
            min(work.first for work in works),
            last.toordinal(),
        )
        valued = [_valued(work, tables) for work in works]
        packed.keep([stored_now for stored_now, _ in valued], since)
        found |= {stored_now.account_id: _own(stored_now, days) for stored_now, days in valued}
    return found


class _Work(NamedTuple):
    """What of an account is to be valued: from day `first` on, after `stored` and from its checkpoint."""

    account: Account
    stored: DailySeries | None
    base: str
    blocks: list[bytes | memoryview]
    contents: Contents
    checkpoint: Checkpoint | None
    first: int

    @property
    def instruments(self) -> set[int]:
        return {
            *self.contents.instruments,
            *(self.checkpoint.instruments.tolist() if self.checkpoint else ()),
        }

    @property
    def currencies(self) -> set[int]:
        return {*self.contents.currencies, *(self.checkpoint.currencies.tolist() if self.checkpoint else ())}


def _work(account: Account, stored: DailySeries | None, base: str) -> _Work:
    """From the checkpoint where one holds. The first day is valued for the next one's sake, and not kept."""
    blocks = ActivityBlock.objects.filter(account=account)
    if stored is None or stored.valid_until <= stored.checkpoint_on:
        rows = list(blocks.values_list("rows", flat=True))
        contents = Contents.of(rows, _WIDTH)
        first = contents.first - 1 if contents.first else date.max.toordinal()
        return _Work(account, None, base, rows, contents, None, first)
    first_on = stored.checkpoint_on + timedelta(days=1)
    recent = (first_on - timedelta(days=CARRIED_DAYS)).replace(day=1)
    rows = list(blocks.filter(month__gte=recent).values_list("rows", flat=True))
    checkpoint = Checkpoint.unpacked(stored.checkpoint)
    return _Work(account, stored, base, rows, Contents.of(rows, _WIDTH), checkpoint, first_on.toordinal())


def _valued(work: _Work, tables: "Tables") -> tuple[DailySeries, Daily]:
    """What is to be stored, and all its days."""
    stored, contents, first = work.stored, work.contents, work.first
    numbers, currencies = tables.instruments.numbers, tables.currencies
    start = work.checkpoint.state(numbers, currencies) if work.checkpoint else tables.nothing()
    book = tables.book(work.blocks, start, first)
    last = tables.prices.last
    checkpoint_on = _checkpoint_day(first, last, contents.splits)
    daily, checkpoint = valuation.daily(book, currencies, checkpoint_on)
    opened = contents.last_opening
    if stored is not None:
        kept = first - stored.first_on.toordinal() + 1
        daily = Daily.unpacked(stored.columns).until(kept).then(daily.since(1))
        first = stored.first_on.toordinal()
        if stored.opened_on is not None and stored.opened_on <= stored.checkpoint_on:
            opened = max(opened, stored.opened_on.toordinal())
    series_now = DailySeries(
        account=work.account,
        base=work.base,
        first_on=date.fromordinal(first),
        columns=daily.packed(),
        valid_until=date.fromordinal(last),
        checkpoint_on=date.fromordinal(checkpoint_on),
        checkpoint=checkpoint.packed(),
        opened_on=date.fromordinal(opened) if opened else None,
    )
    return series_now, daily


def _own(stored: DailySeries, daily: Daily) -> Own:
    checkpoint = Checkpoint.unpacked(stored.checkpoint)
    cash = zip(checkpoint.currencies.tolist(), checkpoint.cash_now.tolist(), strict=True)
    return Own(
        first=stored.first_on.toordinal(),
        daily=daily,
        cash={packed.currency_code(number): amount for number, amount in cash},
        last_opening=stored.opened_on.toordinal() if stored.opened_on else 0,
    )


def _checkpoint_day(first: int, last: int, splits: Sequence[int]) -> int:
    """Some weeks back, on a day after which no price from before a split is carried."""
    day = max(last - CHECKPOINT_DAYS, first)
    for split in sorted(splits, reverse=True):
        if day - CARRIED_DAYS <= split <= day + 1:
            day = split - 1
    return max(day, first)


class Tables(NamedTuple):
    """Instruments, prices, currencies and rates of some days, ready for the engine."""

    instruments: Instruments
    prices: Prices
    currencies: valuation.Whole
    rates: Floats

    @classmethod
    def of(
        cls, base: str, instruments: Sequence[int], currencies: Sequence[int], first: int, last: int
    ) -> "Tables":
        """Read them.

        Args:
            base: the currency to value in.
            instruments, currencies: the numbers of those that activities name, ascending.
            first, last: the days.
        """
        rows = {row[0]: row[1:] for row in _described(instruments)}
        described = [rows[pk] for pk in instruments]
        numbers = sorted({*currencies, *(packed.currency_number(row[0]) for row in described)})
        at = {number: index for index, number in enumerate(numbers)}
        codes = [packed.currency_code(number) for number in numbers]
        return cls(
            instruments=Instruments.of(
                instruments,
                [at[packed.currency_number(currency)] for currency, *_ in described],
                [multiplier * quote_factor for _, multiplier, quote_factor, _ in described],
                [_STYLES.get(AssetClass(asset_class), Style.VALUE) for *_, asset_class in described],
            ),
            prices=Prices.of(prices_of(instruments, first, last), first, last),
            currencies=valuation.whole(numbers),
            rates=rates_of(base, codes, first, last),
        )

    def nothing(self) -> State:
        return State.nothing(self.instruments.numbers.size, self.currencies.size)

    def book(self, blocks: Sequence[bytes | memoryview], start: State, first: int) -> Book:
        """What a valuation from day `first` on takes."""
        events = Events.unpacked(blocks, _WIDTH, self.instruments.numbers, self.currencies)
        return Book(events, self.instruments, self.prices, self.rates, start, first)


def _described(instruments: Sequence[int]) -> Iterable[tuple[int, str, float, float, str]]:
    return _only(instruments, Instrument.objects.all(), "pk").values_list(
        "pk",
        "currency",
        Cast("multiplier", FloatField()),
        Cast("quote_factor", FloatField()),
        "asset_class",
    )


def prices_of(instruments: Sequence[int], first: int | None = None, last: int | None = None) -> list[Block]:
    """The prices of each instrument, in the order asked for; empty where none are stored.

    Args:
        instruments: their row numbers.
        first, last: days of which (and of the week before) prices are needed; earlier ones may be left out.
    """
    found: dict[int, Block] = {}
    missing: Sequence[int] = instruments
    nothing = Block.of(1, b"")
    if first is not None and last is not None and last - first + 1 + CARRIED_DAYS <= packed.RECENT_DAYS:
        found = _blocks(_only(instruments, RecentPrices.objects.all(), "instrument"))
        missing = [pk for pk in instruments if not _holds(found.get(pk), first - CARRIED_DAYS)]
    if missing:
        found |= _blocks(_only(missing, PriceSeries.objects.all(), "instrument"))
    return [found.get(pk, nothing) for pk in instruments]


def _blocks(rows: "QuerySet[PriceSeries] | QuerySet[RecentPrices]") -> dict[int, Block]:
    found = rows.values_list("instrument_id", plain("first_on"), "closes")
    return {pk: Block.of(plain_day(first_on).toordinal(), closes) for pk, first_on, closes in found}


def _holds(recent: Block | None, first: int) -> bool:
    """Whether the last prices reach back to a day, or are all there are."""
    return recent is not None and (recent.first <= first or recent.numbers.size < packed.RECENT_DAYS)


def _only(numbers: Sequence[int], rows: "QuerySet[_Row]", name: str) -> "QuerySet[_Row]":
    """The rows of these numbers; of all, where naming so many would cost more than reading the others."""
    return rows if len(numbers) > _MOST_NAMED else rows.filter(**{f"{name}__in": numbers})


def rates_of(base: str, currencies: Sequence[str], first: int, last: int) -> Floats:
    """Units of the base currency for one unit of each currency and day; shape (currencies, days)."""
    stored = RateSeries.objects.none() if set(currencies) <= {base} else RateSeries.objects.all()
    pairs = {
        (one, other): Block.of(first_on.toordinal(), rates)
        for one, other, first_on, rates in stored.values_list("base", "quote", "first_on", "rates")
    }
    return into(base, currencies, pairs, references, first, last)


def references(currencies: Sequence[str], first: int, last: int) -> dict[str, Block]:
    """The ECB's rates: units of each currency for one euro."""
    blocks = ecb.units_per_euro(currencies, date.fromordinal(first), date.fromordinal(last))
    return {code: Block.of(first, block) for code, block in blocks.items()}
