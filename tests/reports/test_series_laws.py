"""The engine against a slow reckoning in Decimal, and laws that hold for every ledger."""

import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch.engine.series import numbers
from stonks_overwatch.ledger import models, packed
from stonks_overwatch.reports.daily import Group, daily_total
from stonks_overwatch.reports.performance import performance
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import SeriesDocument, decimal, series
from tests.reports import builders as made
from tests.reports import slow_series
from tests.reports.packing import pack
from tests.reports.slow_series import Event, World

pytestmark = pytest.mark.django_db
FIRST = date(2026, 1, 1)
EUR = Scope("EUR")
INSTRUMENTS = {"A": "EUR", "B": "USD", "C": "USD"}
LENGTH = 60
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@st.composite
def worlds(draw: st.DrawFn, density: float = 0.7) -> World:
    """Money comes in first; then trades, dividends, costs and withdrawals. Prices and rates have gaps.

    `density` is the part of the days that have prices.
    """
    chance = random.Random(draw(st.integers(0, 2**32)))
    prices = {
        name: {
            day(n): Decimal(chance.randint(1000, 9000)) / 100
            for n in range(-3, LENGTH)
            if n in (-3, 0) or chance.random() < density
        }
        for name in INSTRUMENTS
    }
    rates = {
        "USD": {day(n): Decimal(chance.randint(8000, 9500)) / 10000 for n in range(-3, LENGTH) if n % 7 < 5}
    }
    events = [
        Event(day(0), "deposit", gross=Decimal(50_000)),
        Event(day(0), "deposit", currency="USD", gross=Decimal(50_000)),
    ]
    held = dict.fromkeys(INSTRUMENTS, 0)
    for _ in range(draw(st.integers(0, 25))):
        on = day(chance.randint(0, LENGTH - 1))
        name = chance.choice(list(INSTRUMENTS))
        currency = INSTRUMENTS[name]
        kind = chance.choice(("buy", "sell", "dividend", "fee", "deposit", "withdrawal", "interest", "tax"))
        amount = Decimal(chance.randint(1, 50_000)) / 100
        cost = -Decimal(chance.randint(0, 500)) / 100
        match kind:
            case "buy" | "sell":
                sign = 1 if kind == "buy" else -1
                quantity = Decimal(chance.randint(1, 30))
                held[name] += sign * int(quantity)
                events.append(
                    Event(on, kind, name, currency, sign * quantity, -sign * quantity * amount / 10, fee=cost)
                )
            case "dividend":
                events.append(Event(on, kind, name, currency, gross=amount, tax=cost))
            case "fee" | "tax" | "withdrawal":
                events.append(Event(on, kind, currency=currency, gross=-amount))
            case _:
                events.append(Event(on, kind, currency=currency, gross=amount))
    return World(events, INSTRUMENTS, prices, rates)


def store(world: World, order: list[int] | None = None, name: str = "U1") -> models.Account:
    """Instruments that are there already are taken."""
    account = made.account(name, updated_at=datetime.combine(day(LENGTH), time(12), UTC))
    rows = {row.symbol: row for row in models.Instrument.objects.all()}
    rows |= {symbol: made.instrument(symbol, currency) for symbol, currency in world.currencies.items()}
    for symbol, closes in world.prices.items():
        for on, close in closes.items():
            made.price(rows[symbol], str(close), on)
    for currency, rates in world.rates.items():
        for on, rate in rates.items():
            made.rate(currency, "EUR", str(rate), on)
    for number in order or range(len(world.events)):
        event = world.events[number]
        made.activity(
            account,
            event.kind,
            event.on,
            rows[event.instrument] if event.instrument else None,
            currency=event.currency,
            key=f"event-{number:02}",
            quantity=str(event.quantity) if event.quantity else None,
            gross=str(event.gross),
            fee=str(event.fee),
            tax=str(event.tax),
        )
    pack()
    return account


def forget_everything() -> None:
    transaction.set_rollback(True)


def close_to(found: Decimal | None, wanted: Decimal) -> bool:
    return found is not None and abs(found - wanted) <= Decimal("1e-9") * max(Decimal(1), abs(wanted))


@given(worlds())
@few
def test_the_engine_agrees_with_a_slow_reckoning_in_decimal(world: World) -> None:
    with transaction.atomic():
        store(world)
        slow = slow_series.days(world, day(LENGTH))
        fast = series(EUR)
        assert list(fast.dates) == list(slow)
        for nav, flow, row in zip(fast.nav, fast.net_contribution, slow.values(), strict=True):
            assert nav is None if row.nav is None else close_to(nav, row.nav)
            assert close_to(flow, row.contribution)
        if all(row.nav is not None for row in slow.values()):
            for level, wanted in zip(fast.twr_index, slow_series.index(slow).values(), strict=True):
                assert close_to(level, wanted)
        forget_everything()


@given(worlds(density=0.04))
@few
def test_the_effect_of_rates_is_at_the_last_prices_known(world: World) -> None:
    with transaction.atomic():
        store(world)
        slow = slow_series.days(world, day(LENGTH))
        daily = daily_total(EUR)
        assert daily is not None
        for found, row in zip(numbers(daily.total.currency), slow.values(), strict=True):
            assert found is None if row.currency is None else close_to(decimal(found or 0.0), row.currency)
        forget_everything()


@given(worlds(), st.randoms(use_true_random=False))
@few
def test_the_order_in_which_activities_were_stored_does_not_matter(
    world: World, chance: random.Random
) -> None:
    order = list(range(len(world.events)))
    documents = []
    for _ in range(2):
        with transaction.atomic():
            store(world, order)
            documents.append(series(EUR).model_dump())
            forget_everything()
        chance.shuffle(order)
    assert documents[0] == documents[1]


def whole() -> SeriesDocument:
    models.DailySeries.objects.all().delete()
    return series(EUR)


def effects_of_rates() -> list[Decimal | None]:
    daily = daily_total(EUR)
    assert daily is not None
    return [None if number is None else decimal(number) for number in numbers(daily.total.currency)]


def same(one: SeriesDocument, other: SeriesDocument) -> bool:
    pairs = [
        (a, b)
        for name in ("nav", "net_contribution", "twr_index")
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True)
    ]
    return all((a is None) == (b is None) and (a is None or close_to(a, b)) for a, b in pairs)


@given(
    worlds(density=0.04) | worlds(),
    st.lists(st.tuples(st.integers(0, LENGTH - 1), st.sampled_from("APR")), max_size=6),
)
@few
def test_a_series_that_goes_on_is_the_one_worked_out_whole(
    world: World, changes: list[tuple[int, str]]
) -> None:
    with transaction.atomic():
        account = store(world)
        series(Scope("EUR", as_of=day(20)))
        for number, what in changes:
            on = day(number)
            share = models.Instrument.objects.get(symbol="B")
            if what == "A":
                made.activity(account, "buy", on, share, quantity="3", gross="-120", fee="-1")
                packed.activities_changed([(account.pk, on)])
            elif what == "P":
                models.Price.objects.filter(instrument=share, on=on).delete()
                made.price(share, "42", on)
                packed.prices_changed({share.pk: on})
            else:
                models.FxRate.objects.filter(on=on).delete()
                packed.rates_changed({("USD", "EUR"): on})
            continued, effects = series(EUR), effects_of_rates()
            assert models.DailySeries.objects.get().valid_until == day(LENGTH)
            assert same(continued, whole())
            assert effects == effects_of_rates()
        forget_everything()


@given(worlds())
@few
def test_the_bridge_closes_to_the_last_digit_and_the_unexplained_rest_is_rounding(world: World) -> None:
    with transaction.atomic():
        store(world)
        daily = daily_total(EUR)
        assert daily is not None
        found = performance(EUR)
        bridge = found.bridge
        if bridge.other is not None and found.begin_nav is not None and found.end_nav is not None:
            parts = [bridge.market, bridge.income, bridge.fees, bridge.taxes, bridge.currency, bridge.other]
            assert None not in parts
            assert found.net_contribution is not None
            summed = sum((part for part in parts if part), found.begin_nav + found.net_contribution)
            assert summed == found.end_nav
            assert abs(bridge.other) <= Decimal("0.05")
        forget_everything()


@given(worlds(), st.integers(1, LENGTH - 1), st.integers(-20_000, 20_000))
@few
def test_a_contribution_does_not_move_the_twr_of_its_currency_alone(
    world: World, number: int, amount: int
) -> None:
    # All is in shares and nothing in cash: twice the money in the same things has the same return.
    doubled = World([*world.events, *world.events], world.currencies, world.prices, world.rates)
    levels = []
    for events in (world, doubled):
        with transaction.atomic():
            store(events)
            levels.append(series(EUR).twr_index)
            forget_everything()
    assert [level is None for level in levels[0]] == [level is None for level in levels[1]]
    assert all(a is None or close_to(b, a) for a, b in zip(*levels, strict=True))


def added(parts: list[SeriesDocument], name: str) -> dict[date, Decimal]:
    """The sum of the parts of each day; days on which one is unknown are left out."""
    sums: dict[date, Decimal] = {}
    for day_of in parts[0].dates:
        values = [dict(zip(part.dates, getattr(part, name), strict=True)).get(day_of) for part in parts]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            sums[day_of] = sum(known, Decimal(0))
    return sums


@given(worlds())
@few
def test_instruments_add_up_to_all_holdings(world: World) -> None:
    with transaction.atomic():
        store(world)
        alone = [series(EUR, only=Group("instrument", name)) for name in INSTRUMENTS]
        together = series(EUR, only=Group("asset_class", "stock"))
        for name in ("nav", "net_contribution"):
            whole_of = dict(zip(together.dates, getattr(together, name), strict=True))
            assert all(close_to(whole_of[on], value) for on, value in added(alone, name).items())
        forget_everything()


@given(worlds(), worlds())
@few
def test_accounts_add_up_to_the_total(one: World, other: World) -> None:
    with transaction.atomic():
        store(one)
        second = store(World(other.events, {}, {}, {}), name="U2")
        accounts = [series(Scope("EUR", account=name)) for name in ("U1", second.account)]
        together = series(EUR)
        for name in ("nav", "net_contribution"):
            whole_of = dict(zip(together.dates, getattr(together, name), strict=True))
            assert all(close_to(whole_of[on], value) for on, value in added(accounts, name).items())
        forget_everything()


@given(worlds(), st.integers(1, LENGTH - 1), st.integers(2, 5))
@few
def test_a_split_changes_no_value(world: World, number: int, ratio: int) -> None:
    """Every price from the day of the split on is a part of what it was, and that day has one."""
    held = sum((e.quantity for e in world.events if e.instrument == "A" and e.on < day(number)), Decimal(0))
    others = [e for e in world.events if e.instrument != "A" or e.on < day(number)]
    prices = world.prices["A"] | {day(number): Decimal(50)}
    before = World(others, world.currencies, world.prices | {"A": prices}, world.rates)
    after_prices = {on: price / ratio if on >= day(number) else price for on, price in prices.items()}
    split = Event(day(number), "split", "A", quantity=held * (ratio - 1))
    after = World([*others, split], world.currencies, world.prices | {"A": after_prices}, world.rates)
    documents = []
    for one in (before, after):
        with transaction.atomic():
            store(one)
            documents.append(series(EUR))
            forget_everything()
    assert same(*documents)
