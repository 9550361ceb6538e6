"""What holds for every broker, whatever its answers look like."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch.ledger import models, store
from stonks_overwatch.ledger.store import Counts
from stonks_overwatch.ledger.types import Batch
from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Raw
from tests.builders import NOW
from tests.ledger.dump import dump
from tests.services.brokers.drivers import DRIVERS, Driver, Fill, Held

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=7)
ALL_BROKERS = pytest.mark.parametrize("broker", sorted(brokers.BROKERS))


def transformed(broker: str, raw: Raw) -> Batch:
    return brokers.load(broker).transform(raw)


def record(broker: str, raw: Raw) -> Counts:
    return store.record(transformed(broker, raw))


def quantities() -> dict[str, Decimal]:
    open_ = models.Position.objects.open()
    return dict(open_.values_list("instrument__broker_ref", "quantity"))


def test_every_broker_is_tested() -> None:
    assert DRIVERS.keys() == brokers.BROKERS.keys()


@ALL_BROKERS
def test_it_offers_the_five_functions(broker: str) -> None:
    package = brokers.load(broker)
    for name in ("fetch", "history", "keep", "kept", "transform", "check"):
        assert callable(getattr(package, name))


@ALL_BROKERS
def test_it_keeps_every_digit(broker: str) -> None:
    held = Held(quantity="2.12500000000000001", price="185.17599487304688", cost="144.461412345678")
    record(broker, DRIVERS[broker].told([held], [Fill(quantity="0.00000001", price="645.155")], NOW))
    position = models.Position.objects.get()
    assert (position.quantity, position.price, position.average_cost) == (
        Decimal("2.12500000000000001"),
        Decimal("185.17599487304688"),
        Decimal("144.461412345678"),
    )
    fill = models.Activity.objects.reported().get()
    assert (fill.quantity, fill.price) == (Decimal("0.00000001"), Decimal("645.155"))


@ALL_BROKERS
def test_it_records_twice_without_change(broker: str) -> None:
    told = DRIVERS[broker].told([Held(), Held("102", "-3")], [Fill(), Fill(quantity="-1")], NOW)
    first = record(broker, told)
    before = dump()
    again = record(broker, told)
    assert dump() == before
    assert (first.activities_new, again.activities_new, again.activities_known) == (2, 0, 2)


@ALL_BROKERS
def test_it_closes_what_is_gone(broker: str) -> None:
    driver = DRIVERS[broker]
    record(broker, driver.told([Held("101"), Held("102")], [], NOW))
    record(broker, driver.told([Held("102")], [Fill("101", "-10", on=date(2026, 3, 9))], LATER))
    assert quantities() == {"102": Decimal(10)}
    assert models.Activity.objects.reported().get().quantity == Decimal(-10)


@ALL_BROKERS
def test_it_closes_everything_when_nothing_is_held_any_more(broker: str) -> None:
    driver = DRIVERS[broker]
    record(broker, driver.told([Held()], [], NOW))
    counts = record(broker, driver.told([], [], LATER))
    assert quantities() == {}
    assert (counts.positions, counts.inbox) == (0, 0)


@ALL_BROKERS
def test_an_incomplete_answer_closes_nothing(broker: str) -> None:
    driver = DRIVERS[broker]
    record(broker, driver.told([Held("101"), Held("102")], [], NOW))
    record(broker, driver.incomplete([Held("102", "7")], LATER))
    assert quantities() == {"101": Decimal(10), "102": Decimal(7)}


@ALL_BROKERS
def test_a_broken_answer_closes_nothing_and_is_in_the_inbox(broker: str) -> None:
    driver = DRIVERS[broker]
    record(broker, driver.told([Held()], [], NOW))
    for broken in driver.broken(LATER):
        models.InboxItem.objects.all().delete()
        counts = record(broker, broken)
        assert quantities() == {"101": Decimal(10)}
        assert counts.inbox == 1


@ALL_BROKERS
def test_what_it_does_not_know_is_in_the_inbox_and_stops_nothing(broker: str) -> None:
    batch = transformed(broker, DRIVERS[broker].strange(NOW))
    counts = store.record(batch)
    assert quantities()["101"] == Decimal(10)
    assert models.Activity.objects.reported().get().instrument == models.Instrument.objects.get(
        broker_ref="101"
    )
    assert counts.inbox == 2
    assert all(item.text and item.reason for item in models.InboxItem.objects.all())
    assert batch.coverage == ()


@ALL_BROKERS
def test_two_identical_fills_are_two(broker: str) -> None:
    told = DRIVERS[broker].told([Held()], [Fill(), Fill()], NOW)
    assert record(broker, told).activities_new == 2
    assert record(broker, told).activities_new == 0
    assert models.Activity.objects.reported().count() == 2


@ALL_BROKERS
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_any_order_of_the_rows_gives_one_ledger(broker: str, seed: int) -> None:
    driver: Driver = DRIVERS[broker]
    held = [Held("101"), Held("102", "-3"), Held("103", "2.5"), Held("104", "0")]
    fills = [Fill(), Fill(), Fill(quantity="-1"), Fill("102", "-3", "9"), Fill("103", on=date(2026, 2, 2))]
    told = driver.told(held, fills, NOW)
    ledgers = []
    for one in (told, driver.shuffled(told, seed)):
        store.clear(broker)
        record(broker, one)
        ledgers.append(dump())
    assert ledgers[0] == ledgers[1]


@ALL_BROKERS
def test_its_answers_kept_and_recorded_in_order_make_the_ledger_again(broker: str) -> None:
    driver = DRIVERS[broker]
    story = [
        driver.told([Held("101"), Held("102")], [Fill()], NOW),
        driver.incomplete([Held("101", "7")], NOW + timedelta(days=1)),
        *driver.broken(NOW + timedelta(days=2)),
        driver.told([Held("101", "7"), Held("103")], [Fill(), Fill("101", "-3", on=date(2026, 3, 5))], LATER),
    ]
    for told in story:
        record(broker, told)
    before = dump()
    store.clear(broker)
    for told in story:
        record(broker, told)
    assert dump() == before
