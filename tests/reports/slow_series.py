"""The daily series worked out in the plainest way, in Decimal: what the engine is held against.

It shares no code with the product: one day after the other, one activity after the other.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

DAY = timedelta(days=1)
CARRIED = 7


@dataclass
class Event:
    on: date
    kind: str
    instrument: str | None = None
    currency: str = "EUR"
    quantity: Decimal = Decimal(0)
    gross: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)


@dataclass
class World:
    """`prices` by instrument and day, in the currency of `currencies`; `rates`: EUR for one unit, by day."""

    events: list[Event]
    currencies: dict[str, str]
    prices: dict[str, dict[date, Decimal]]
    rates: dict[str, dict[date, Decimal]] = field(default_factory=dict)


@dataclass
class Row:
    nav: Decimal | None
    contribution: Decimal
    income: Decimal
    fees: Decimal
    taxes: Decimal
    currency: Decimal | None


def days(world: World, last: date) -> dict[date, Row]:
    first = min(event.on for event in world.events) - DAY
    held: dict[str, Decimal] = defaultdict(Decimal)
    cash: dict[str, Decimal] = defaultdict(Decimal)
    worth: dict[str, Decimal | None] = {}  # by currency, at the last prices known
    lasting: dict[str, Decimal] = {}
    found: dict[date, Row] = {}
    day = first
    while day <= last:
        row = Row(Decimal(0), Decimal(0), Decimal(0), Decimal(0), Decimal(0), _moved(world, worth, day))
        marks: dict[str, Decimal] = {}
        for event in (event for event in world.events if event.on == day):
            rate = _rate(world, event.currency, day)
            assert rate is not None
            if event.instrument is not None:
                held[event.instrument] += event.quantity
                if event.quantity:
                    marks[event.instrument] = -event.gross / event.quantity
            cash[event.currency] += event.gross + event.fee + event.tax
            row.fees += event.fee * rate
            row.taxes += event.tax * rate
            if event.kind in ("deposit", "withdrawal"):
                row.contribution += event.gross * rate
            if event.kind in ("dividend", "interest"):
                row.income += event.gross * rate
            if event.kind == "fee":
                row.fees += event.gross * rate
            if event.kind == "tax":
                row.taxes += event.gross * rate
        row.nav = _value(world, held, cash, day)
        lasting = _lasting(world, held, lasting | marks, day)
        worth = _worth(world, held, cash, lasting)
        found[day] = row
        day += DAY
    return found


def _moved(world: World, worth: dict[str, Decimal | None], day: date) -> Decimal | None:
    """What was held the day before times the change of its rate."""
    moved = Decimal(0)
    for currency, amount in worth.items():
        then, now = _rate(world, currency, day - DAY), _rate(world, currency, day)
        if then != now:
            if amount is None or then is None or now is None:
                return None
            moved += amount * (now - then)
    return moved


def _worth(
    world: World, held: dict[str, Decimal], cash: dict[str, Decimal], prices: dict[str, Decimal]
) -> dict[str, Decimal | None]:
    """By currency, cash too."""
    worth: dict[str, Decimal | None] = dict(cash)
    for instrument, quantity in held.items():
        if quantity:
            of, price = world.currencies[instrument], prices.get(instrument)
            before = worth.get(of, Decimal(0))
            worth[of] = None if price is None or before is None else before + quantity * price
    return worth


def _lasting(
    world: World, held: dict[str, Decimal], known: dict[str, Decimal], day: date
) -> dict[str, Decimal]:
    """The last price of what is held: of the last week, else the one known from before or of a trade."""
    found = {}
    for instrument, quantity in held.items():
        price = _last(world.prices.get(instrument, {}), day)
        price = known.get(instrument) if price is None else price
        if quantity and price is not None:
            found[instrument] = price
    return found


def index(rows: dict[date, Row]) -> dict[date, Decimal]:
    """Growth of one unit, flows at the start of their day; needs values of all days."""
    grown: dict[date, Decimal] = {}
    before: Row | None = None
    level = Decimal(1)
    for day, row in rows.items():
        assert row.nav is not None
        if before is not None and before.nav is not None:
            start = before.nav + row.contribution
            if start or row.nav:
                level = level * row.nav / start
        grown[day] = level
        before = row
    return grown


def _value(world: World, held: dict[str, Decimal], cash: dict[str, Decimal], day: date) -> Decimal | None:
    value = Decimal(0)
    for instrument, quantity in held.items():
        if quantity:
            price = _last(world.prices.get(instrument, {}), day)
            rate = _rate(world, world.currencies[instrument], day)
            if price is None or rate is None:
                return None
            value += quantity * price * rate
    for currency, amount in cash.items():
        if amount:
            rate = _rate(world, currency, day)
            if rate is None:
                return None
            value += amount * rate
    return value


def _rate(world: World, currency: str, day: date) -> Decimal | None:
    return Decimal(1) if currency == "EUR" else _last(world.rates[currency], day)


def _last(series: dict[date, Decimal], day: date) -> Decimal | None:
    for age in range(CARRIED + 1):
        if day - age * DAY in series:
            return series[day - age * DAY]
    return None
