"""What accounts were worth on every day: activities, prices and rates as arrays in, daily arrays out.

Days are proleptic ordinals, instruments and currencies are rows of their tables, unknown is NaN. An
unknown price makes the value of the days on which the instrument is held unknown; unknown money makes
cash unknown from its day on. All sums run day by day in the order of the activities, so that a series
that goes on from a checkpoint is the one that a whole computation gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from stonks_overwatch.engine.rates import CARRIED_DAYS, Block, fill, put

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Truths = NDArray[np.bool_]

# A quantity below this is what adding and subtracting floats leaves of nothing.
_NOTHING = 1e-9
_CELLS_AT_ONCE = 60_000  # so that the arrays of one step are small, and stay in the processor's cache


class Kind(IntEnum):
    """The numbers by which blocks of activities tell their kinds."""

    OPENING = 1
    BUY = 2
    SELL = 3
    DEPOSIT = 4
    WITHDRAWAL = 5
    DIVIDEND = 6
    INTEREST = 7
    FEE = 8
    TAX = 9
    TRANSFER_IN = 10
    TRANSFER_OUT = 11
    SPLIT = 12
    FX = 13
    CORPORATE_ACTION = 14
    OTHER = 15
    SETTLEMENT = 16  # profit of futures that went to cash, told in sum


class Style(IntEnum):
    """How an instrument enters the value: by its market value, by its profit alone, or not at all."""

    VALUE = 0
    PROFIT = 1
    NONE = 2


_TRADES = (Kind.BUY, Kind.SELL)
_INCOME = (Kind.DIVIDEND, Kind.INTEREST, Kind.TAX, Kind.FEE)
_TRANSFERS = (Kind.TRANSFER_IN, Kind.TRANSFER_OUT)
_WITHOUT_MONEY = (*_TRANSFERS, Kind.OPENING, Kind.SPLIT, Kind.CORPORATE_ACTION)


@dataclass(frozen=True, slots=True)
class Instruments:
    """Shape (instruments,) each. `numbers` are their own row numbers, ascending.

    `unit` turns quantity × price into money: multiplier × quote factor.
    """

    numbers: Whole
    currency: Whole
    unit: Floats
    style: Whole

    @classmethod
    def of(
        cls,
        numbers: Sequence[int],
        currency: Sequence[int],
        unit: Sequence[float],
        style: Sequence[Style],
    ) -> "Instruments":
        return cls(
            np.array(numbers, dtype=np.int64),
            np.array(currency, dtype=np.int64),
            np.array(unit, dtype=np.float64),
            np.array(style, dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class Events:
    """Activities in the order in which they count; shape (events,) each.

    `instrument`, `currency` and `other` (the currency that an exchange buys) are rows; -1 is none.
    """

    day: Whole
    kind: Whole
    instrument: Whole
    currency: Whole
    other: Whole
    quantity: Floats
    price: Floats
    gross: Floats
    fee: Floats
    tax: Floats
    value: Floats
    cost: Floats
    ratio: Floats

    @classmethod
    def unpacked(
        cls, blocks: Sequence[bytes | memoryview], columns: int, instruments: Whole, currencies: Whole
    ) -> "Events":
        """Of packed blocks of float64 with this many columns; see COLUMNS of ledger/packed.py.

        Args:
            blocks: one after the other.
            columns: the number of columns of a row.
            instruments, currencies: their numbers, ascending; rows are positions in these.
        """
        table = np.frombuffer(b"".join(blocks), dtype=np.float64).reshape(-1, columns)
        table = table[np.argsort(table[:, 0], kind="stable")]
        ints = table[:, :6].astype(np.int64)
        return cls(
            ints[:, 0],
            ints[:, 2],
            _rows(ints[:, 3], instruments),
            _rows(ints[:, 4], currencies),
            _rows(ints[:, 5], currencies),
            *(np.ascontiguousarray(table[:, column]) for column in range(6, columns)),
        )

    def only(self, kept: Truths | Whole) -> "Events":
        """Those that are marked, or those at these places."""
        return Events(*(getattr(self, name)[kept] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Contents:
    """What packed activities name, ascending; and some of their days, 0 where there is none."""

    instruments: list[int]
    currencies: list[int]
    first: int
    last_opening: int
    splits: list[int]

    @classmethod
    def of(cls, blocks: Sequence[bytes | memoryview], columns: int) -> "Contents":
        table = np.frombuffer(b"".join(blocks), dtype=np.float64).reshape(-1, columns)
        day, kind = table[:, 0], table[:, 2]
        opening, splits = day[kind == Kind.OPENING], day[kind == Kind.SPLIT]
        return cls(
            instruments=_named(table[:, 3]),
            currencies=_named(table[:, 4:6]),
            first=int(day.min()) if day.size else 0,
            last_opening=int(opening.max()) if opening.size else 0,
            splits=_named(splits),
        )


def _some_at_once(rows: int, days: int) -> Iterator[slice]:
    """All rows, some at a time."""
    size = max(1, _CELLS_AT_ONCE // days)
    return (slice(low, min(low + size, rows)) for low in range(0, rows, size))


def whole(numbers: Sequence[int]) -> Whole:
    return np.array(numbers, dtype=np.int64)


def truths(values: Sequence[bool]) -> Truths:
    return np.array(values, dtype=np.bool_)


def _named(numbers: Floats) -> list[int]:
    return [int(number) for number in np.unique(numbers) if number]


def _rows(numbers: Whole, table: Whole) -> Whole:
    return np.where(numbers == 0, -1, np.searchsorted(table, numbers))


@dataclass(frozen=True, slots=True)
class State:
    """What was held at the end of one day.

    `quantity`, `paid` and `price` have the shape (instruments,), `cash` and `settled` (currencies,). `paid`
    is, of instruments that count by profit, the money of all trades and what of the profit is in cash;
    `settled` is such profit that was told in sum. `price` is the last one known, however old.
    """

    quantity: Floats
    paid: Floats
    price: Floats
    cash: Floats
    settled: Floats

    @classmethod
    def nothing(cls, instruments: int, currencies: int) -> "State":
        return cls(
            quantity=np.zeros(instruments),
            paid=np.zeros(instruments),
            price=np.full(instruments, np.nan),
            cash=np.zeros(currencies),
            settled=np.zeros(currencies),
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was held at the end of one day, by the instruments' and currencies' own numbers.

    `cash_now` is the cash at the end of the last day that was valued, not of the checkpoint's.
    """

    instruments: Whole
    quantity: Floats
    paid: Floats
    price: Floats
    currencies: Whole
    cash: Floats
    settled: Floats
    cash_now: Floats

    def packed(self) -> bytes:
        sizes = np.array([self.instruments.size, self.currencies.size])
        parts = (getattr(self, name) for name in self.__slots__)
        return np.concatenate([sizes, *parts]).astype(np.float64).tobytes()

    @classmethod
    def unpacked(cls, block: bytes | memoryview) -> "Checkpoint":
        numbers = np.frombuffer(block, dtype=np.float64)
        held, currencies = int(numbers[0]), int(numbers[1])
        edges = np.cumsum([2, held, held, held, held, currencies, currencies, currencies])
        one, quantity, paid, price, other, cash, settled, now = np.split(numbers, edges)[1:]
        return cls(one.astype(np.int64), quantity, paid, price, other.astype(np.int64), cash, settled, now)

    def state(self, instruments: Whole, currencies: Whole) -> State:
        """For tables of instruments and currencies that hold all of the checkpoint's; both ascending."""
        start = State.nothing(instruments.size, currencies.size)
        rows = np.searchsorted(instruments, self.instruments)
        start.quantity[rows], start.paid[rows], start.price[rows] = self.quantity, self.paid, self.price
        at = np.searchsorted(currencies, self.currencies)
        start.cash[at], start.settled[at] = self.cash, self.settled
        return start


@dataclass(frozen=True, slots=True)
class Daily:
    """Shape (days,) each, in the base currency; see `daily`."""

    nav: Floats
    contribution: Floats
    income: Floats
    fees: Floats
    taxes: Floats
    currency: Floats
    other: Floats
    carried: Floats

    def packed(self) -> bytes:
        return np.concatenate([getattr(self, name) for name in self.__slots__]).tobytes()

    @classmethod
    def unpacked(cls, block: bytes | memoryview) -> "Daily":
        return cls(*np.frombuffer(block, dtype=np.float64).reshape(len(cls.__slots__), -1))

    @classmethod
    def nothing(cls) -> "Daily":
        return cls(*(np.empty(0) for _ in cls.__slots__))

    def until(self, days: int) -> "Daily":
        """The first days of it."""
        return Daily(*(getattr(self, name)[:days] for name in self.__slots__))

    def since(self, day: int) -> "Daily":
        """Without the first days of it."""
        return Daily(*(getattr(self, name)[day:] for name in self.__slots__))

    def then(self, later: "Daily") -> "Daily":
        return Daily(
            *(np.concatenate((getattr(self, name), getattr(later, name))) for name in self.__slots__)
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """The price per unit of each instrument and day, shape (instruments, CARRIED_DAYS + days).

    The days before day `first` are there for those that go on from them. `all_carried` says which prices
    are of an earlier day: at most seven days; NaN where there is none.
    """

    first: int
    all_filled: Floats
    all_carried: Truths

    @classmethod
    def of(cls, blocks: Sequence[Block], first: int, last: int) -> "Prices":
        start = first - CARRIED_DAYS
        filled = np.full((len(blocks), last - start + 1), np.nan)
        carried = np.empty(filled.shape, dtype=np.bool_)
        for some in _some_at_once(len(blocks), last - start + 1):
            for block, days in zip(blocks[some], filled[some], strict=True):
                put(block, days, start)
            carried[some] = fill(filled[some])
        return cls(first, filled, carried)

    @property
    def filled(self) -> Floats:
        """Shape (instruments, days), day 0 is `first`."""
        return self.all_filled[:, CARRIED_DAYS:]

    @property
    def carried(self) -> Truths:
        return self.all_carried[:, CARRIED_DAYS:]

    @property
    def last(self) -> int:
        return self.first + int(self.filled.shape[1]) - 1

    def own_days(self, row: int, first: int, last: int) -> Whole:
        """The day that the price of each day is of, counted from `first`; negative before it."""
        part = slice(first - self.first, last - self.first + 1 + CARRIED_DAYS)
        own = ~self.all_carried[row, part] & ~np.isnan(self.all_filled[row, part])
        days = np.arange(own.size)
        ages = days - np.maximum.accumulate(np.where(own, days, -1))
        return days[: own.size - CARRIED_DAYS] - np.minimum(ages[CARRIED_DAYS:], CARRIED_DAYS + 1)


@dataclass(frozen=True, slots=True)
class Book:
    """All that a valuation of the days from `first` to the last one with prices takes.

    Args:
        events: of the days to value; earlier ones are in `start` already and are skipped.
        prices: from `first` or an earlier day on.
        rates: shape (currencies, days), base currency for one unit; the days of the prices.
        start: what was held at the end of the day before `first`.
    """

    events: Events
    instruments: Instruments
    prices: Prices
    all_rates: Floats
    start: State
    first: int

    @property
    def rates(self) -> Floats:
        """Shape (currencies, days) from `first` on."""
        return self.all_rates[:, self.first - self.prices.first :]

    @property
    def days(self) -> int:
        return self.last - self.first + 1

    @property
    def last(self) -> int:
        return self.prices.last


@dataclass(frozen=True, slots=True)
class _Flows:
    """Events of the days valued with what they add: shape (events,) each, in their own currency.

    `moved` is in units of the instrument; `cash` what it adds to cash; `paid` see State. `day` counts from 0.
    `by_value` says which do not concern an instrument that counts by profit. `transfers` are the places of
    those that move securities, `split` the instruments that are ever split.
    """

    events: Events
    day: Whole
    moved: Floats
    cash: Floats
    paid: Floats
    by_value: Truths
    transfers: Whole
    split: Whole


def _flows(book: Book) -> _Flows:
    events = book.events
    kept = (events.day >= book.first) & (events.day <= book.last)
    if not kept.all():
        events = events.only(kept)
    is_exchange = events.kind == Kind.FX
    has_instrument = events.instrument >= 0
    # Row -1, of events without an instrument, is the one appended.
    unit = np.append(book.instruments.unit, 1.0)[events.instrument]
    style = np.append(book.instruments.style, Style.VALUE)[events.instrument]
    moved = np.where(has_instrument & ~is_exchange, _or_zero(events.quantity), 0.0)
    _resolve_ratios(events, moved, book.start.quantity)
    traded = np.isin(events.kind, _TRADES)
    money = moved * events.price * unit
    gross = events.gross
    by_value = style == Style.VALUE
    # A purchase told by quantity and price alone costs their product; what counts by profit costs nothing.
    gross = np.where(np.isnan(gross) & traded & by_value, -money, gross)
    no_money = np.isin(events.kind, _WITHOUT_MONEY) | (traded & ~by_value)
    gross = np.where(np.isnan(gross) & no_money, 0.0, gross)
    cash = gross + _or_zero(events.fee) + _or_zero(events.tax)
    opened = events.kind == Kind.OPENING
    paid = np.where(traded, money, 0.0) + np.where(opened & has_instrument, events.cost, 0.0)
    # Profit that went to cash; dividends and costs are none.
    settled = np.where(opened | np.isin(events.kind, _INCOME), 0.0, gross)
    paid = np.where(style == Style.PROFIT, paid + settled, 0.0)
    return _Flows(
        replace(events, gross=gross),
        events.day - book.first,
        moved,
        cash,
        paid,
        by_value,
        np.nonzero(np.isin(events.kind, _TRANSFERS) & has_instrument)[0],
        np.unique(events.instrument[(events.kind == Kind.SPLIT) & has_instrument]),
    )


def _resolve_ratios(events: Events, moved: Floats, start: Floats) -> None:
    """Write what a split adds where only its ratio (new for one old) is told."""
    unresolved = (events.kind == Kind.SPLIT) & np.isnan(events.quantity) & ~np.isnan(events.ratio)
    for row in np.unique(events.instrument[unresolved]):
        held = float(start[row])
        for at in np.nonzero(events.instrument == row)[0]:
            if unresolved[at]:
                moved[at] = held * (events.ratio[at] - 1.0)
            held += moved[at]


def _sums(rows: Whole, amounts: Floats, size: int) -> Floats:
    """Sum of the amounts of each row, shape (size,)."""
    sums: Floats = np.bincount(rows, weights=amounts, minlength=size).astype(np.float64, copy=False)
    return sums


def _counted(truths: Truths) -> NDArray[np.uint32]:
    """How many rows are true on each day; a tenth of the time of a sum of truths."""
    counted: NDArray[np.uint32] = np.add.reduce(truths.view(np.uint8), axis=0, dtype=np.uint32)
    return counted


def _or_zero(numbers: Floats) -> Floats:
    return np.where(np.isnan(numbers), 0.0, numbers)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some instruments; shape (rows, days) each. Values are in the instrument's currency.

    `rows` are their rows among all, ascending. `lasting` is the last price known, however old, that of the
    instrument's own trades too, and `worth` the value at it: that of days with a price is their `value`.
    """

    rows: Whole
    quantity: Floats
    paid: Floats
    price: Floats
    value: Floats
    carried: Truths
    lasting: Floats
    worth: Floats


def _chunks(book: Book, flows: _Flows) -> Iterator[_Chunk]:
    """Quantity, price and value of every instrument that is ever held, some instruments at a time."""
    all_rows = flows.events.instrument
    touching = np.nonzero((all_rows >= 0) & ((flows.moved != 0) | (flows.paid != 0)))[0]
    order = touching[np.argsort(all_rows[touching], kind="stable")]
    day_of, moved, paid = flows.day[order], flows.moved[order], flows.paid[order]
    start = book.start
    held_at_start = np.nonzero((start.quantity != 0.0) | (start.paid != 0.0))[0]
    rows = np.union1d(all_rows[order], held_at_start)
    row_of = np.searchsorted(rows, all_rows[order])
    skipped = book.first - book.prices.first
    for part in _some_at_once(rows.size, book.days):
        some = rows[part]
        first, last = np.searchsorted(row_of, (part.start, part.stop))
        flat = (row_of[first:last] - part.start) * book.days + day_of[first:last]
        shape = (some.size, book.days)
        quantity = _running(flat, moved[first:last], start.quantity[some], shape)
        split = flows.split[np.isin(flows.split, some)] if flows.split.size else flows.split
        if some[-1] - some[0] == some.size - 1:  # a view is enough
            together = slice(int(some[0]), int(some[-1]) + 1)
            price, given = book.prices.filled[together, skipped:], book.prices.carried[together, skipped:]
        else:
            price, given = book.prices.filled[some, skipped:], book.prices.carried[some, skipped:]
        if split.size:
            price = price.copy()
        for row in split:
            price[np.searchsorted(some, row)] *= _since_split(book, flows, int(row))
        nothing = np.abs(quantity) < _NOTHING
        cost = np.zeros((some.size, 1))
        if (book.instruments.style[some] == Style.PROFIT).any():
            cost = _running(flat, paid[first:last], start.paid[some], shape)
        value = _values(book, some, quantity, price, nothing, cost)
        lasting, worth = price, value
        if np.isnan(value.sum()):
            lasting = _lasting(book, flows, some, price, nothing)
            worth = _values(book, some, quantity, lasting, nothing, cost)
        yield _Chunk(some, quantity, cost, price, value, given & ~nothing, lasting, worth)


def _values(
    book: Book, rows: Whole, quantity: Floats, price: Floats, nothing: Truths, cost: Floats
) -> Floats:
    """What quantities are worth at prices, in the instruments' currencies; by profit, less what they cost."""
    value = quantity * price
    unit, style = book.instruments.unit[rows, None], book.instruments.style[rows]
    if (unit != 1.0).any():
        value *= unit
    value[nothing] = 0.0
    if style.any():
        value[style == Style.NONE] = 0.0
        if (style == Style.PROFIT).any():
            value -= cost
    return value


def _known(book: Book, flows: _Flows, rows: Whole, price: Floats) -> tuple[Floats, Floats]:
    """The prices, and where a day has none that of a trade of the day; NaN where there is none either.

    Returns: the prices with splits taken out, and what to multiply them with; shape (rows, days) both.
    """
    events = flows.events
    known = price.copy()
    traded = np.nonzero(np.isin(events.kind, _TRADES) & np.isin(events.instrument, rows) & (flows.moved != 0))
    row, day = np.searchsorted(rows, events.instrument[traded]), flows.day[traded]
    paid = -events.gross[traded] / (flows.moved[traded] * book.instruments.unit[rows[row]])
    paid = np.where(np.isnan(events.price[traded]), paid, events.price[traded])
    # In their order, so that of a day's trades the last one's counts.
    missing = np.isnan(price[row, day])
    known[row[missing], day[missing]] = paid[missing]
    shrunk = np.ones((rows.size, book.days))
    for instrument in flows.split[np.isin(flows.split, rows)]:
        shrunk[np.searchsorted(rows, instrument)] = _splits(book, flows, int(instrument))[1:]
    return known / shrunk, shrunk


def _lasting(book: Book, flows: _Flows, rows: Whole, price: Floats, nothing: Truths) -> Floats:
    """The last price known since it is held, however old; one from before a split is divided by its ratio.

    `price` and `nothing`, whether nothing is held, have the shape (rows, days).
    """
    known, shrunk = _known(book, flows, rows, price)
    days = np.arange(book.days + 1)
    known = np.concatenate((book.start.price[rows, None], known), axis=1)
    nothing = np.concatenate((np.abs(book.start.quantity[rows, None]) < _NOTHING, nothing), axis=1)
    empty = np.maximum.accumulate(np.where(nothing, days, -1), axis=1)
    last = np.maximum.accumulate(np.where(np.isnan(known), -1, days), axis=1)
    lasting = np.take_along_axis(known, np.maximum(last, 0), axis=1)
    return np.where(last > empty, lasting, np.nan)[:, 1:] * shrunk


def _running(flat: Whole, added: Floats, start: Floats, shape: tuple[int, int]) -> Floats:
    """Running sums over the days of each row, from a start.

    Args:
        flat: the place of each amount among all days of all rows.
        added: the amounts.
        start: of each row.
        shape: rows, days.

    Most days nothing is added: sums run over those on which something is, and stay until the next one.
    """
    rows, days = shape
    places, at = np.unique(flat, return_inverse=True)
    row = places // days
    count = np.bincount(row, minlength=rows)
    # Of each row its start, and after it what was added on each of its days.
    steps = np.zeros((rows, int(count.max()) + 1))
    begins = np.zeros(steps.shape, dtype=np.int64)
    nth = np.arange(1, places.size + 1) - np.repeat(np.cumsum(count) - count, count)
    steps[:, 0], steps[row, nth] = start, _sums(at, added, places.size)
    begins[:, 0], begins[row, nth] = np.arange(rows) * days, places
    used = np.arange(steps.shape[1]) <= count[:, None]
    lasting = np.diff(begins[used], append=rows * days)
    return np.repeat(np.cumsum(steps, axis=1)[used], lasting).reshape(shape)


def _even(book: Book, flows: _Flows, chunk: _Chunk) -> Floats:
    """The value of each day, as if a price moved evenly from one that is known to the next one."""
    known, shrunk = _known(book, flows, chunk.rows, chunk.price)
    days = np.arange(book.days)
    for row in np.nonzero(np.isnan(known).any(axis=1))[0]:
        told = np.nonzero(~np.isnan(known[row]))[0]
        if told.size:
            known[row] = np.interp(days, told, known[row, told], left=np.nan, right=np.nan)
    nothing = np.abs(chunk.quantity) < _NOTHING
    return _values(book, chunk.rows, chunk.quantity, known * shrunk, nothing, chunk.paid)


def _splits(book: Book, flows: _Flows, row: int) -> Floats:
    """What splits so far made of a price of 1; shape (days + 1,), the first is that of all days before."""
    factor = np.ones(book.days + 1)
    held = float(book.start.quantity[row])
    for at in np.nonzero(flows.events.instrument == row)[0]:
        before, held = held, held + float(flows.moved[at])
        if flows.events.kind[at] == Kind.SPLIT and before and held:
            factor[flows.day[at] + 1 :] *= before / held
    return factor


def _since_split(book: Book, flows: _Flows, row: int) -> Floats:
    """What a carried price is multiplied with because of splits after its own day; shape (days,)."""
    factor = _splits(book, flows, row)
    own = np.maximum(book.prices.own_days(row, book.first, book.last) + 1, 0)
    return factor[1:] / factor[own]


def _by_day(flows: _Flows, amounts: Floats, book: Book, kinds: Sequence[Kind] | None = None) -> Floats:
    """Sums of amounts in the base currency, each at its day's rate; shape (days,)."""
    chosen = amounts != 0.0
    if kinds is not None:
        chosen &= np.isin(flows.events.kind, kinds)
    day = flows.day[chosen]
    return _sums(day, amounts[chosen] * book.rates[flows.events.currency[chosen], day], book.days)


def _transferred(flows: _Flows, chunk: _Chunk, book: Book) -> tuple[Whole, Floats]:
    """The transfers of the chunk's instruments and their values in the instrument's currency."""
    events = flows.events
    at = flows.transfers[np.isin(events.instrument[flows.transfers], chunk.rows)]
    row = events.instrument[at]
    price = chunk.price[np.searchsorted(chunk.rows, row), flows.day[at]]
    priced = flows.moved[at] * price * book.instruments.unit[row]
    values = np.where(np.isnan(events.value[at]), priced, events.value[at])
    return at, np.where(book.instruments.style[row] == Style.VALUE, values, 0.0)


def daily(book: Book, currencies: Whole, checkpoint: int) -> tuple[Daily, Checkpoint]:
    """The value of every day, what came in from outside, and what changed the value besides prices.

    Args:
        book: what to value.
        currencies: the numbers of its currencies, shape (currencies,).
        checkpoint: one of its days.

    Returns: the days from `first` to `last`, and what was held at the end of day `checkpoint`.
        `nav`: value of all positions and cash at the day's end. `contribution`: deposits and withdrawals,
        cash and securities transferred, these at the day's value. `income`: dividends and interest; `fees`:
        fees and commissions; `taxes`: all taxes, withheld ones too; negative when they cost. `currency`:
        what was held the day before, at the last price known, times the change of its rate; 0 on the first
        day. `other`: money moved by what has no known kind. What is left of the change is the effect of
        prices.
    """
    flows = _flows(book)
    events, days = flows.events, book.days
    cash = _cash(book, flows)
    worth, unknown = np.zeros((currencies.size, days)), np.zeros(days, dtype=np.bool_)
    carried = np.zeros(days)
    contribution = _by_day(flows, events.gross, book, (Kind.DEPOSIT, Kind.WITHDRAWAL, *_TRANSFERS))
    at_day = checkpoint - book.first
    quantity, paid, price = (np.zeros_like(book.start.quantity) for _ in range(3))
    for chunk in _chunks(book, flows):
        of = book.instruments.currency[chunk.rows]
        for currency in np.unique(of):
            worth[currency] += chunk.worth[of == currency].sum(axis=0)
        if chunk.worth is not chunk.value:
            unknown |= np.isnan(chunk.value).any(axis=0)
        carried += _counted(chunk.carried)
        quantity[chunk.rows] = chunk.quantity[:, at_day]
        price[chunk.rows] = chunk.lasting[:, at_day]
        paid[chunk.rows] = chunk.paid[:, min(at_day, chunk.paid.shape[1] - 1)]
        at, values = _transferred(flows, chunk, book)
        if at.size:
            rates = book.rates[book.instruments.currency[events.instrument[at]], flows.day[at]]
            contribution += _sums(flows.day[at], values * rates, days)
    settled = _settled(book, flows)
    total = worth + cash - settled
    with np.errstate(invalid="ignore"):
        nav = np.where(np.abs(total) < _NOTHING, 0.0, total * book.rates).sum(axis=0)
        change = np.diff(book.rates, axis=1)
        moved = np.where((np.abs(total[:, :-1]) < _NOTHING) | (change == 0.0), 0.0, total[:, :-1] * change)
    kept = (quantity != 0.0) | (paid != 0.0)
    fees = _or_zero(events.fee) + np.where(events.kind == Kind.FEE, events.gross, 0.0)
    taxes = _or_zero(events.tax) + np.where(events.kind == Kind.TAX, events.gross, 0.0)
    return (
        Daily(
            nav=np.where(unknown, np.nan, nav),
            contribution=contribution,
            income=_by_day(flows, events.gross, book, (Kind.DIVIDEND, Kind.INTEREST)),
            fees=_by_day(flows, fees, book),
            taxes=_by_day(flows, taxes, book),
            currency=np.concatenate(([0.0], moved.sum(axis=0))),
            other=_by_day(flows, np.where(flows.by_value, events.gross, 0.0), book, (Kind.OTHER,)),
            carried=carried,
        ),
        Checkpoint(
            book.instruments.numbers[kept],
            quantity[kept],
            paid[kept],
            price[kept],
            currencies,
            cash[:, at_day],
            settled[:, at_day],
            cash[:, -1],
        ),
    )


def _cash(book: Book, flows: _Flows) -> Floats:
    """Cash of every currency and day, shape (currencies, days)."""
    events, days = flows.events, book.days
    bought = events.other >= 0
    rows = np.concatenate((events.currency, events.other[bought]))
    at = np.concatenate((flows.day, flows.day[bought]))
    amounts = np.concatenate((flows.cash, events.quantity[bought]))
    return _running(rows * days + at, amounts, book.start.cash, (book.rates.shape[0], days))


def _settled(book: Book, flows: _Flows) -> Floats:
    """Profit that went to cash so far and was told in sum; shape (currencies, days).

    What counts by profit does so with all of its profit, so that this part of it must not count twice.
    """
    told = flows.events.kind == Kind.SETTLEMENT
    flat = flows.events.currency[told] * book.days + flows.day[told]
    return _running(flat, flows.events.gross[told], book.start.settled, (book.rates.shape[0], book.days))


@dataclass(frozen=True, slots=True)
class Holdings:
    """Of each instrument over some days, in the base currency; shape (instruments,) each.

    `begin` and `end` are values, `paid` what was put into it less what was taken out (securities
    transferred count at their day's value), `income` dividends, interest and what was withheld of them.
    `gain` = end - begin - paid + income; `weighted` is the same, each day's gain times its weight; between
    two days with a price it is taken to come evenly. `is_even` says where it was: what is weighted is an
    estimate there. `cashed` is in the instrument's own currency: profit up to the end that is in cash, see
    `_cashed`.
    """

    begin: Floats
    end: Floats
    paid: Floats
    income: Floats
    gain: Floats
    weighted: Floats
    is_even: Truths
    cashed: Floats


def by_holding(book: Book, weights: Floats) -> Holdings:
    """What each instrument gained from the end of the first day to the end of the last.

    Args:
        book: its first day is the one whose end value is the begin.
        weights: shape (days,); the first day's is not used.
    """
    flows = _flows(book)
    events, count = flows.events, book.instruments.numbers.size
    begin, end, weighted, paid, cashed = (np.zeros(count) for _ in range(5))
    is_even = np.zeros(count, dtype=np.bool_)
    later = flows.day > 0
    chosen = later & (events.instrument >= 0)
    # An exchange of currencies has no instrument that is held.
    row, day = events.instrument[chosen], flows.day[chosen]
    effect = flows.cash[chosen] * book.rates[events.currency[chosen], day]
    is_income = np.isin(events.kind[chosen], _INCOME)
    income = _sums(row, np.where(is_income, effect, 0.0), count)
    paid -= _sums(row, np.where(is_income, 0.0, effect), count)
    weighted += _sums(row, effect * weights[day], count)
    for chunk in _chunks(book, flows):
        rows = chunk.rows
        rates = book.rates[book.instruments.currency[rows]]
        gone = _cashed(book, chunk)
        value = _converted(chunk.value if gone is None else chunk.value - gone[:, 1:], rates)
        begin[rows], end[rows] = value[:, 0], value[:, -1]
        if gone is not None:
            cashed[rows] = gone[:, -1]
            taken = _converted(np.diff(gone[:, 1:], axis=1), rates[:, 1:])
            paid[rows] -= taken.sum(axis=1)
            weighted[rows] += taken @ weights[1:]
        if chunk.worth is not chunk.value:
            even = _even(book, flows, chunk)
            is_even[rows] = np.isnan(value).any(axis=1)
            value = _converted(even if gone is None else even - gone[:, 1:], rates)
        weighted[rows] += np.diff(value, axis=1) @ weights[1:]
        at, values = _transferred(flows, chunk, book)
        at, values = at[flows.day[at] > 0], values[flows.day[at] > 0]
        if at.size:
            row, day = events.instrument[at], flows.day[at]
            values = values * book.rates[book.instruments.currency[row], day]
            paid += _sums(row, values, count)
            weighted -= _sums(row, values * weights[day], count)
    return Holdings(begin, end, paid, income, end - begin - paid + income, weighted, is_even, cashed)


def by_currency(instruments: Instruments, amounts: Floats, currencies: int) -> Floats:
    """Sums of amounts of each instrument, in its own currency; shape (currencies,)."""
    return _sums(instruments.currency, amounts, currencies)


def _converted(amounts: Floats, rates: Floats) -> Floats:
    """At the rates; nothing is nothing, whether its rate is known or not."""
    with np.errstate(invalid="ignore"):
        return np.where(amounts == 0.0, 0.0, amounts * rates)


def _cashed(book: Book, chunk: _Chunk) -> Floats | None:
    """Profit of what counts by profit, from when it was closed on: it is in cash, and told in sum there.

    It is no part of the holding any more, while the account counts it once (see `_settled`). A part that is
    closed takes its share of what all of it cost. `book.events` tell all from the first one on.

    Returns: shape (rows, days + 1), in the instruments' currencies; the first day is the one before. None
        where nothing counts by profit.
    """
    places = np.nonzero(book.instruments.style[chunk.rows] == Style.PROFIT)[0]
    if not places.size:
        return None
    profit = np.zeros((chunk.rows.size, book.days + 1))
    events = book.events.only(np.isin(book.events.instrument, chunk.rows[places]))
    if not events.day.size:
        return profit
    nothing = State.nothing(book.instruments.numbers.size, book.all_rates.shape[0])
    flows = _flows(replace(book, events=events, start=nothing, first=int(events.day[0])))
    events, traded = flows.events, np.isin(flows.events.kind, _TRADES)
    after = np.maximum(events.day - book.first + 1, 0)
    for place in places:
        row = chunk.rows[place]
        held = cost = paid = 0.0
        for at in np.nonzero(events.instrument == row)[0]:
            before, held = held, held + float(flows.moved[at])
            paid += float(flows.paid[at])
            if abs(held) < _NOTHING:
                held = cost = 0.0
            elif traded[at] and before * flows.moved[at] < 0.0:
                turned = held * before < 0.0
                cost = held * (events.price[at] * book.instruments.unit[row] if turned else cost / before)
            else:
                cost += float(flows.paid[at])
            profit[place, after[at] :] = cost - paid
    return profit


def without_price(book: Book, chosen: Truths) -> bool:
    """Whether a change of an exchange rate meets something held that has no price of the evening before.

    Its effect is then worked out from the last price known, which is older than prices are carried.

    Args:
        book: its first day is the one whose end value is the begin.
        chosen: which instruments are looked at, shape (instruments,).
    """
    for chunk in _chunks(book, _flows(book)):
        if chunk.worth is chunk.value:
            continue
        change = np.diff(book.rates[book.instruments.currency[chunk.rows]], axis=1)
        met = np.isnan(chunk.value[:, :-1]) & (change != 0.0)
        if met[chosen[chunk.rows]].any():
            return True
    return False


def held_before(book: Book) -> State:
    """What the activities before the book's first day had brought; `book.start` is not looked at."""
    earlier = book.events.only(book.events.day < book.first)
    count, currencies = book.instruments.numbers.size, book.all_rates.shape[0]
    nothing = State.nothing(count, currencies)
    if not earlier.day.size:
        return nothing
    flows = _flows(replace(book, events=earlier, start=nothing, first=int(earlier.day[0])))
    events = flows.events
    has_instrument = events.instrument >= 0
    bought = events.other >= 0
    cash = _sums(events.currency, flows.cash, currencies)
    cash += _sums(events.other[bought], events.quantity[bought], currencies)
    return State(
        _sums(events.instrument[has_instrument], flows.moved[has_instrument], count),
        _sums(events.instrument[has_instrument], flows.paid[has_instrument], count),
        nothing.price,
        cash,
        _sums(events.currency, np.where(events.kind == Kind.SETTLEMENT, events.gross, 0.0), currencies),
    )


def of_holdings(book: Book, chosen: Truths) -> Daily:
    """Some holdings together, as if they were an account of their own without cash.

    Args:
        book: what to value.
        chosen: shape (instruments,).

    Returns: `contribution` is what was put into them less what they gave: dividends, interest and what was
        withheld of them go out. `income`, `fees`, `taxes` and `other` are 0 for that reason.
    """
    flows = _flows(book)
    events = flows.events
    theirs = np.append(chosen, False)[events.instrument]
    contribution = -_by_day(flows, np.where(theirs, flows.cash, 0.0), book)
    nav, carried, moved = (np.zeros(book.days) for _ in range(3))
    for chunk in _chunks(book, flows):
        kept = chosen[chunk.rows]
        value, worth, gone = chunk.value[kept], chunk.worth[kept], _cashed(book, chunk)
        rates = book.rates[book.instruments.currency[chunk.rows[kept]]]
        if gone is not None:
            value, worth = value - gone[kept, 1:], worth - gone[kept, 1:]
            contribution -= _converted(np.diff(gone[kept], axis=1), rates).sum(axis=0)
        nav += _converted(value, rates).sum(axis=0)
        with np.errstate(invalid="ignore"):
            change = np.diff(rates, axis=1)
            effect = np.where((worth[:, :-1] == 0.0) | (change == 0.0), 0.0, worth[:, :-1] * change)
            moved[1:] += effect.sum(axis=0)
        carried += _counted(chunk.carried[kept])
        at, values = _transferred(flows, chunk, book)
        mine = chosen[events.instrument[at]]
        at, values = at[mine], values[mine]
        if at.size:
            rates_then = book.rates[book.instruments.currency[events.instrument[at]], flows.day[at]]
            contribution += _sums(flows.day[at], values * rates_then, book.days)
    nothing = np.zeros(book.days)
    return Daily(nav, contribution, nothing, nothing, nothing, moved, nothing, carried)


@dataclass(frozen=True, slots=True)
class HoldingDays:
    """One instrument on each day, in the base currency; shape (days,) each, see Holdings."""

    value: Floats
    paid: Floats
    income: Floats


def each_day(book: Book, row: int) -> HoldingDays:
    """The days of one instrument, by its row in the tables; between two days with a price as in Holdings."""
    chosen = np.arange(book.instruments.numbers.size) == row
    start = replace(
        book.start,
        quantity=np.where(chosen, book.start.quantity, 0.0),
        paid=np.where(chosen, book.start.paid, 0.0),
    )
    alone = replace(book, events=book.events.only(book.events.instrument == row), start=start)
    is_income = np.isin(alone.events.kind, _INCOME)
    paid, earned = (
        of_holdings(replace(alone, events=alone.events.only(kept)), chosen).contribution
        for kept in (~is_income, is_income)
    )
    flows = _flows(alone)
    value = np.zeros(book.days)
    for chunk in _chunks(alone, flows):
        worth = chunk.value if chunk.worth is chunk.value else _even(alone, flows, chunk)
        gone = _cashed(alone, chunk)
        rates = book.rates[book.instruments.currency[chunk.rows]]
        value += _converted(worth if gone is None else worth - gone[:, 1:], rates).sum(axis=0)
    return HoldingDays(value, paid, -earned)
