"""What is stored of statements and past activities is what it would be if all were worked out anew."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch.imports import import_file, undo
from stonks_overwatch.ledger import models, packed, store
from stonks_overwatch.ledger.types import (
    Account,
    Activity,
    ActivityKind,
    AssetClass,
    Batch,
    CashBalance,
    Instrument,
    Position,
)
from stonks_overwatch.reports import charges, earned, moved
from stonks_overwatch.reports.fees import FeeGroup, fees
from stonks_overwatch.reports.income import income
from stonks_overwatch.reports.reconcile import ReconcileDocument, reconcile
from stonks_overwatch.reports.scope import Scope
from tests.imports.test_any_order import NOW, Answer, Fill, Statement, answers, batch, fills, statements, xml

pytestmark = pytest.mark.django_db
USD = Scope("USD")
CHECKED = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "_MANY", 1)
    monkeypatch.setattr(charges, "_MANY", 1)
    monkeypatch.setattr(earned, "_MANY", 1)


def told(document: ReconcileDocument) -> list[tuple[object, ...]]:
    return [
        (account.account, account.as_of, account.compared, *line)
        for account in document.accounts
        for line in account.lines
    ]


def charged() -> list[tuple[FeeGroup, ...]]:
    whole, since = fees(USD), fees(USD, date(2024, 1, 15))
    return [tuple(rows) for of in (whole, since) for rows in (of.by_month, of.by_kind, of.by_instrument)]


def paid() -> list[str]:
    """The last one is of a day in the past, after which more is stored."""
    past = Scope("USD", as_of=date(2025, 8, 10))
    asked = ((USD, None), (USD, date(2024, 1, 15)), (USD, date(2026, 1, 1)), (past, date(2025, 1, 1)))
    return [income(scope, start).model_dump_json() for scope, start in asked]


def nothing_stored_is_old() -> None:
    """Twice, because the first may store what the second reads."""
    blocks = models.ActivityBlock.objects.order_by("account", "month").values_list("account", "month", "rows")
    packed_before = list(blocks)
    seen = [(told(reconcile(USD)), charged(), paid()) for _ in range(2)]
    packed.look_again()
    assert list(blocks.all()) == packed_before
    models.Checkpoint.objects.all().delete()
    models.LotBook.objects.all().delete()
    anew = told(reconcile(USD)), charged(), paid()
    assert seen == [anew, anew]


@CHECKED
@given(
    fills,
    st.lists(statements, min_size=1, max_size=4),
    st.lists(answers, max_size=2),
    st.randoms(use_true_random=False),
)
def test_statements_and_answers_that_come_later_are_compared_at_once(
    tmp_path: Path, life: list[Fill], files: list[Statement], asked: list[Answer], chance: Random
) -> None:
    forget_all()
    imported = []
    parts: list[Statement | Answer] = chance.sample([*files, *asked], len(files) + len(asked))
    for number, part in enumerate(parts):
        if isinstance(part, Answer):
            store.record(batch(part, life))
        else:
            file = tmp_path / f"{number}.xml"
            file.write_text(xml(part, life).replace("<Trade ", '<Trade fifoPnlRealized="1" '))
            imported.append(import_file(file, now=NOW).number)
        nothing_stored_is_old()
    undone = chance.choice(imported)
    if undone is not None:
        undo(undone, NOW)
        nothing_stored_is_old()


def test_the_opening_balances_of_a_state_that_is_undone_are_gone(tmp_path: Path) -> None:
    """A second statement, of later days, tells of trades alone."""
    numbers = []
    for number, told_of in enumerate(({"Trades", "OpenPositions", "CashReport"}, {"Trades"})):
        days = (0, 5) if number == 0 else (6, 9)
        file = tmp_path / f"{number}.xml"
        file.write_text(xml(Statement(("U1",), *days, frozenset(told_of)), [Fill(1, "U1", "1001", 1, 7)]))
        numbers.append(import_file(file, now=NOW).number)
    nothing_stored_is_old()
    assert numbers[0] is not None
    undo(numbers[0], NOW)
    assert not models.Activity.objects.filter(is_derived=True).exists()
    nothing_stored_is_old()


def forget_all() -> None:
    store.clear("ibkr")
    models.Instrument.objects.all().delete()
    models.Import.objects.all().delete()
    models.Account.objects.all().delete()


FIRST = date(2023, 1, 1)
_QUANTITIES = {
    ActivityKind.BUY: Decimal(1),
    ActivityKind.SELL: Decimal(-1),
    ActivityKind.FX: Decimal(1),
    ActivityKind.SPLIT: Decimal(2),
}
_KINDS = (*_QUANTITIES, ActivityKind.DEPOSIT, ActivityKind.DIVIDEND, ActivityKind.TAX, ActivityKind.INTEREST)
_OF_PAYMENT = (ActivityKind.DIVIDEND, ActivityKind.TAX)
Booking = tuple[int, int, ActivityKind, Decimal | None]
bookings = st.tuples(
    st.integers(0, 5),  # which of a few: told again it is another
    st.sampled_from([0, 31, 364, 365, 500, 700, 850, 950, 1150, 1200]),
    st.sampled_from(_KINDS),
    st.sampled_from([Decimal("0.01"), Decimal(7), None]),
)


@CHECKED
@given(st.lists(st.lists(bookings, min_size=1, max_size=5), min_size=1, max_size=5))
def test_sums_of_the_past_follow_every_change(
    parts: list[list[Booking]],
) -> None:
    forget_all()
    for number, part in enumerate(parts):
        store.record(booked(datetime(2026, 5, 1 + number, tzinfo=UTC), part))
        nothing_stored_is_old()


def booked(at: datetime, rows: Sequence[Booking]) -> Batch:
    """What an answer tells: bookings over three years, what is held and the cash."""
    nothing = None
    return Batch(
        broker="ibkr",
        login="main",
        fetched_at=at,
        accounts=(Account("U1", "USD"),),
        instruments=(
            Instrument("1", "S1", "S1", AssetClass.STOCK, "USD"),
            Instrument("EUR", "EUR.USD", "EUR.USD", AssetClass.CASH, "USD"),
        ),
        positions={
            "U1": (Position("U1", "1", Decimal(9), nothing, nothing, nothing, nothing, nothing, nothing, at),)
        },
        cash={"U1": tuple(CashBalance("U1", code, Decimal(5)) for code in ("EUR", "USD"))},
        activities=tuple(
            Activity(
                "U1", f"row:{number}", "web-api", kind, FIRST + timedelta(days=day), "USD",
                {ActivityKind.DEPOSIT: None, ActivityKind.FX: "EUR"}.get(kind, "1"),
                quantity=_QUANTITIES.get(kind),
                gross=gross,
                fee=None if gross is None else -gross / 7,
                # A dividend and its tax may be told in different months, and be earned in another one.
                group="one payment" if number < 3 and kind in _OF_PAYMENT else None,
                ex_date=FIRST + timedelta(days=day - 40) if number % 2 and kind in _OF_PAYMENT else None,
            )
            for number, day, kind, gross in {row[0]: row for row in rows}.values()
        ),
    )  # fmt: skip
