"""The merge law: whatever was told of an account, in any order and as often as you like, is one ledger."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations, pairwise, permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.ledger.merge import Merged, Told, merged
from stonks_overwatch.ledger.types import SETTLEMENT, Activity, ActivityKind, Period

DAY = date(2025, 3, 3)
NOON = datetime(2025, 4, 1, 12, tzinfo=UTC)


def fill(number: int | None = None, *, source: str = "flex", at: datetime = NOON, **changes: object) -> Told:
    activity = Activity(
        account="U1",
        key=f"trade:{number}/{number}" if number else "content:1",
        source=source,
        kind=ActivityKind.BUY,
        trade_date=DAY,
        currency="USD",
        broker_ref="1001",
        quantity=Decimal(10),
        price=Decimal(100),
        gross=Decimal(-1000),
        refs=(f"trade:{number}", f"transaction:{number}") if number else (),
    )
    return Told(replace(activity, **changes), at)  # type: ignore[arg-type]


def web(occurrence: int = 1, **changes: object) -> Told:
    return fill(source="web-api", **{"key": f"web:{occurrence}", **changes})  # type: ignore[arg-type]


def flex_covers(since: date, until: date, *topics: str) -> Period:
    return Period("U1", "flex", since, until, topics or ("trades", "cash", "corporate_actions", "transfers"))


MARCH = flex_covers(date(2025, 3, 1), date(2025, 3, 31))


def counted(found: Sequence[Merged]) -> list[Activity]:
    return [one.activity for one in found if one.counts]


def sources(one: Merged) -> list[str]:
    return [told.activity.source for told in one.witnesses]


def test_a_fill_that_two_sources_tell_is_one_that_names_both() -> None:
    (found,) = merged([web(), fill(7, fee=Decimal(-1))], [MARCH])

    assert sources(found) == ["flex", "web-api"]
    assert found.activity.key == "trade:7/7"
    assert found.activity.fee == -1
    assert found.activity.refs == ("trade:7", "transaction:7")
    assert not found.conflicts


def test_equal_fills_with_different_numbers_are_all_kept() -> None:
    assert len(counted(merged([fill(7), fill(8), fill(9)], []))) == 3


def test_equal_fills_of_two_sources_pair_off() -> None:
    found = merged([web(1), fill(7), web(2), fill(8)], [MARCH])

    assert [sources(one) for one in found] == [["flex", "web-api"]] * 2


def test_a_confirmation_is_the_trade_of_its_number_whatever_its_figures_say() -> None:
    confirmed = fill(source="flex-confirmations", key="trade:7/", refs=("trade:7",), fee=Decimal("-1.1"))

    (found,) = merged([confirmed, fill(7, fee=Decimal(-1))], [MARCH])

    assert found.activity.fee == -1
    assert found.conflicts[0].field == "fee"
    assert found.conflicts[0].values == (("flex", "-1"), ("flex-confirmations", "-1.1"))


def test_a_statement_without_numbers_tells_the_same_fills_again() -> None:
    without = [fill(key=f"content:{n}") for n in (1, 2)]

    assert len(counted(merged([fill(7), *without, fill(8)], [MARCH]))) == 2


def test_one_number_in_common_and_another_that_differs_are_two_events() -> None:
    one = fill(7)
    other = fill(7, key="trade:7/8", refs=("trade:7", "transaction:8"))

    assert len(merged([one, other], [])) == 2


def test_a_figure_in_which_two_sources_differ_is_shown_with_both_values() -> None:
    (found,) = merged([web(price=Decimal("1.005E+2")), fill(7)], [MARCH])

    assert found.activity.price == 100
    (conflict,) = found.conflicts
    assert (conflict.field, conflict.values) == ("price", (("flex", "100"), ("web-api", "100.5")))


def test_another_spelling_of_a_number_is_no_conflict() -> None:
    (found,) = merged([web(gross=Decimal("-1000.00000")), fill(7)], [MARCH])

    assert not found.conflicts


def test_another_quantity_of_the_only_trade_of_a_day_is_a_conflict_and_no_trade() -> None:
    (found,) = merged([web(quantity=Decimal(11), gross=Decimal(-1100)), fill(7)], [MARCH])

    assert found.activity.quantity == 10
    assert {conflict.field for conflict in found.conflicts} == {"quantity", "gross"}


def test_a_sum_of_several_fills_witnesses_each_of_them() -> None:
    order = fill(source="flex-summaries", key="content:order", quantity=Decimal(20), gross=Decimal(-2000))

    found = merged([order, fill(7), fill(8)], [MARCH])

    assert [sources(one) for one in found] == [["flex", "flex-summaries"]] * 2
    assert not any(one.conflicts for one in found)


def test_what_only_a_lesser_source_tells_of_a_covered_day_does_not_count() -> None:
    for on in (DAY, date(2025, 3, 1)):
        (found,) = merged([web(trade_date=on)], [MARCH])

        assert not found.counts
        assert sources(found) == ["web-api"]


def test_what_no_better_source_covers_counts() -> None:
    april = date(2025, 4, 10)
    last_day = date(2025, 3, 31)  # the evening's trades are in the next statement

    assert len(counted(merged([web(trade_date=date(2025, 2, 28))], [MARCH]))) == 1
    assert len(counted(merged([web(trade_date=april)], [MARCH]))) == 1
    assert len(counted(merged([web(trade_date=last_day)], [MARCH]))) == 1
    assert len(counted(merged([web()], [flex_covers(date(2025, 3, 1), date(2025, 3, 31), "cash")]))) == 1


def test_the_same_purchase_on_the_next_day_is_another_purchase() -> None:
    period = flex_covers(date(2025, 3, 1), DAY)
    both = [web(1), web(2, trade_date=DAY + timedelta(days=1))]

    assert len(counted(merged([*both, fill(7)], [period]))) == 2


def test_what_is_told_once_more_than_a_better_source_tells_it_does_not_count() -> None:
    found = merged([web(1), web(2), fill(7)], [MARCH])

    assert sorted((sources(one), one.counts) for one in found) == [
        (["flex", "web-api"], True),
        (["web-api"], False),
    ]


def test_one_source_that_tells_a_number_twice_tells_one_event() -> None:
    assert len(merged([fill(7), fill(7, key="trade:7/again")], [MARCH])) == 1


def test_a_payment_and_one_that_is_taken_back_are_not_one() -> None:
    def dividend(told: Told, gross: int) -> Told:
        changed = replace(
            told.activity, kind=ActivityKind.DIVIDEND, quantity=None, price=None, gross=Decimal(gross)
        )
        return Told(changed, told.at)

    paid, back = merged([dividend(web(), 5), dividend(fill(7), -6)], [MARCH])

    assert {(sources(one)[0], one.counts) for one in (paid, back)} == {("web-api", False), ("flex", True)}
    assert not paid.conflicts
    assert not back.conflicts


@pytest.mark.parametrize(("apart", "events"), [(-4, 2), (-3, 1), (-2, 1), (2, 1), (3, 1), (4, 2)])
def test_a_covered_event_is_the_same_up_to_three_days_apart(apart: int, events: int) -> None:
    on = date(2025, 3, 12)

    found = merged([web(trade_date=on + timedelta(days=apart)), fill(7, trade_date=on)], [MARCH])

    assert len(found) == events
    assert len(counted(found)) == 1


def test_a_covered_event_that_is_dated_a_day_apart_is_the_same() -> None:
    (found,) = merged([web(trade_date=DAY + timedelta(days=1)), fill(7)], [MARCH])

    assert found.activity.trade_date == DAY
    assert found.conflicts[0].field == "trade_date"


def test_of_one_source_the_later_word_counts() -> None:
    later = NOON + timedelta(days=1)

    (found,) = merged([fill(7, fee=Decimal(-2), at=later), fill(7, fee=Decimal(-1))], [])

    assert found.activity.fee == -2


def test_sources_without_a_rank_neither_win_nor_lose() -> None:
    found = merged([fill(source="import", key="row:1", price=Decimal(99)), fill(7)], [MARCH])

    assert len(counted(found)) == 2


# The law


@dataclass(frozen=True)
class Truth:
    number: int
    on: date
    ref: str
    quantity: int


@st.composite
def lives(draw: st.DrawFn) -> list[Truth]:
    """What happened: few instruments and sizes on few days, so that much of it looks alike."""
    events = draw(
        st.lists(
            st.tuples(st.integers(0, 12), st.sampled_from(["1001", "1002"]), st.sampled_from([1, 2, -1])),
            min_size=1,
            max_size=14,
        )
    )
    return [Truth(n, DAY + timedelta(days=days), ref, q) for n, (days, ref, q) in enumerate(events, start=1)]


def tell(life: Iterable[Truth], how: str, since: date, until: date) -> tuple[list[Told], list[Period]]:
    """What one answer or statement says of the days from `since` to `until`."""
    seen: Counter[tuple[object, ...]] = Counter()
    told = []
    for event in sorted(life, key=lambda e: e.number):
        if not since <= event.on <= until:
            continue
        seen[event.on, event.ref, event.quantity] += 1
        content = f"{event.on}:{event.ref}:{event.quantity}:{seen[event.on, event.ref, event.quantity]}"
        numbers = {
            "flex": (f"trade:{event.number}", f"transaction:{event.number}"),
            "flex-confirmations": (f"trade:{event.number}",),
        }.get(how, ())
        told.append(
            fill(
                source="flex" if how == "flex without numbers" else how,
                key=":".join(numbers) or f"{how}:{content}",
                refs=numbers,
                trade_date=event.on,
                broker_ref=event.ref,
                quantity=Decimal(event.quantity),
                gross=Decimal(-100 * event.quantity),
                kind=ActivityKind.BUY if event.quantity > 0 else ActivityKind.SELL,
                fee=Decimal(-1) if how.startswith("flex") else None,
            )
        )
    source = "flex" if how == "flex without numbers" else how
    periods = [] if how == "web-api" else [Period("U1", source, since, until, ("trades",))]
    return told, periods


@st.composite
def answers(draw: st.DrawFn) -> list[tuple[str, date, date]]:
    ways = st.sampled_from(["flex", "flex", "flex without numbers", "flex-confirmations", "web-api"])
    spans = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)
    return [
        (how, DAY + timedelta(days=first), DAY + timedelta(days=last))
        for how, (first, last) in draw(st.lists(st.tuples(ways, spans), min_size=1, max_size=6))
    ]


@given(lives(), answers(), st.randoms(use_true_random=False))
def test_any_order_of_overlapping_answers_is_one_ledger_and_tells_the_truth(
    life: list[Truth], asked: list[tuple[str, date, date]], chance: Random
) -> None:
    told: list[Told] = []
    periods: list[Period] = []
    for how, since, until in asked:
        said, covered = tell(life, how, since, until)
        told += said
        periods += covered

    found = merged(told, periods)

    shuffled, twice = [*told, *told], [*periods, *periods]
    chance.shuffle(shuffled)
    chance.shuffle(twice)
    assert merged(shuffled, twice) == found
    seen = [e for e in life if any(since <= e.on <= until for _, since, until in asked)]
    assert Counter((e.on, e.ref, Decimal(e.quantity)) for e in seen) == Counter(
        (a.trade_date, a.broker_ref, a.quantity) for a in counted(found)
    )
    assert not any(one.conflicts for one in found)


def settled(since: date, until: date, amount: int) -> Told:
    return fill(
        key=f"settlement:USD:{since}:{until}",
        refs=(),
        kind=ActivityKind.OTHER,
        subtype=SETTLEMENT,
        broker_ref=None,
        trade_date=since,
        booked_on=until,
        quantity=None,
        price=None,
        gross=Decimal(amount),
    )


def test_a_sum_over_days_gives_way_to_those_that_it_is_the_sum_of() -> None:
    year = settled(date(2024, 1, 1), date(2024, 12, 31), 150)
    march = settled(date(2024, 3, 1), date(2024, 3, 31), 100)
    april = settled(date(2024, 4, 1), date(2024, 4, 30), 50)

    for order in permutations([year, march, april]):
        assert [a.gross for a in counted(merged(order, []))] == [Decimal(100), Decimal(50)]
    assert [a.gross for a in counted(merged([year], []))] == [Decimal(150)]
    # What the year knows beyond the months is not lost.
    for order in permutations([year, march]):
        assert [a.gross for a in counted(merged(order, []))] == [Decimal(150)]


def test_of_sums_over_days_that_overlap_those_count_that_tell_most() -> None:
    year = settled(date(2024, 1, 1), date(2024, 12, 31), 900)
    overlap = settled(date(2024, 12, 27), date(2025, 1, 1), 7)
    days = [settled(date(2025, 1, n), date(2025, 1, n), n) for n in (1, 2, 3)]

    for order in permutations([year, overlap, *days]):
        assert [a.gross for a in counted(merged(order, []))] == [Decimal(900), 1, 2, 3]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=8, unique=True), st.randoms())
def test_sums_that_count_do_not_overlap_and_tell_the_most_days(
    spans: list[tuple[int, int]], random: Random
) -> None:
    start = date(2024, 1, 1)
    days = [(since, since + length) for since, length in spans]
    rows = [
        # Powers of two: none is the sum of others.
        settled(start + timedelta(days=since), start + timedelta(days=until), 2**n)
        for n, (since, until) in enumerate(days)
    ]
    found = counted(merged(rows, []))
    random.shuffle(rows)
    assert counted(merged(rows, [])) == found

    def told(choice: Iterable[tuple[int, int]]) -> int:
        return sum(until - since + 1 for since, until in choice)

    def is_apart(choice: Iterable[tuple[int, int]]) -> bool:
        return all(one[1] < other[0] for one, other in pairwise(choice))

    taken = sorted(((a.trade_date - start).days, (a.booked_on - start).days) for a in found if a.booked_on)
    choices = (c for size in range(len(days) + 1) for c in combinations(sorted(days), size))
    assert is_apart(taken)
    assert told(taken) == max(told(choice) for choice in choices if is_apart(choice))
