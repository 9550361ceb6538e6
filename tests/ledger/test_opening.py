from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.ledger import opening, types
from stonks_overwatch.ledger.lots import moved
from stonks_overwatch.ledger.matching import fifo
from stonks_overwatch.ledger.types import ActivityKind
from tests.builders import activity, buy, exact, sell

ANCHOR = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
SINCE = date(2025, 12, 4)


def holding(
    anchor: str = "10",
    cost: str | None = "1000",
    quantity: str | None = None,
    covered_since: date | None = SINCE,
    multiplier: str = "1",
    changed_after: datetime | None = None,
    anchor_at: datetime = ANCHOR,
) -> opening.Holding:
    """A holding that is still what it was at the anchor, unless `quantity` says otherwise."""
    return opening.Holding(
        account="U1",
        broker_ref="1",
        currency="EUR",
        multiplier=Decimal(multiplier),
        quote_factor=Decimal(1),
        anchor_quantity=Decimal(anchor),
        anchor_cost=exact(cost),
        anchor_at=anchor_at,
        quantity=Decimal(quantity or anchor),
        changed_at=LATER,
        changed_after=changed_after,
        covered_since=covered_since,
    )


def opened(held: opening.Holding, *activities: types.Activity) -> types.Activity | None:
    return opening.opening(held, opening.before(held, activities))


def changed(held: opening.Holding, *activities: types.Activity) -> types.Activity | None:
    return opening.change(held, activities, opening.before(held, activities))


def test_what_activities_do_not_explain_was_there_before_them() -> None:
    found = opened(holding("10"), buy("4", "110", date(2026, 2, 2)), sell("1", "115", date(2026, 2, 9)))
    assert found is not None
    assert (found.kind, found.quantity, found.trade_date) == (
        ActivityKind.OPENING, Decimal(7), date(2025, 12, 3),
    )  # fmt: skip


def test_nothing_is_opened_when_activities_explain_everything() -> None:
    assert opened(holding("4"), buy("4", "110", date(2026, 2, 2))) is None


def test_without_coverage_the_opening_is_dated_at_the_anchor() -> None:
    found = opened(holding(covered_since=None))
    assert found is not None
    assert (found.trade_date, found.quantity) == (date(2026, 3, 4), Decimal(10))


def test_coverage_that_begins_after_the_anchor_says_nothing_about_it() -> None:
    found = opened(holding(covered_since=date(2026, 6, 1)))
    assert found is not None
    assert found.trade_date == date(2026, 3, 4)


def test_a_known_activity_before_the_coverage_moves_the_opening_before_it() -> None:
    found = opened(holding(), buy("4", "110", date(2025, 6, 2)))
    assert found is not None
    assert (found.trade_date, found.quantity) == (date(2025, 6, 1), Decimal(6))


def test_the_opening_costs_what_the_broker_says_without_the_lots_that_are_known() -> None:
    found = opened(holding("10", "1000"), buy("4", "110", date(2026, 2, 2)))
    assert found is not None
    # 1000 − 4 × 110 = 560 for the other 6.
    assert (found.cost, found.price) == (Decimal(560), Decimal(560) / 6)


def test_a_sale_takes_from_the_opening_first() -> None:
    found = opened(holding("8", "800"), buy("4", "110", date(2026, 2, 2)), sell("2", "120", date(2026, 2, 9)))
    assert found is not None
    # 6 were there; 4 of them are left beside the 4 bought: (800 − 440) / 4 = 90 each.
    assert (found.quantity, found.price, found.cost) == (Decimal(6), Decimal(90), Decimal(540))


def test_the_opening_of_contracts_has_the_price_of_one_unit() -> None:
    found = opened(holding("2", "700", multiplier="100"))
    assert found is not None
    assert (found.price, found.cost) == (Decimal("3.5"), Decimal(700))


def test_a_short_opening_has_a_positive_price() -> None:
    found = opened(holding("-3", "-270"))
    assert found is not None
    assert (found.quantity, found.price, found.cost) == (Decimal(-3), Decimal(90), Decimal(-270))


def test_the_cost_of_an_opening_that_was_sold_before_the_anchor_is_unknown() -> None:
    found = opened(holding("4", "440"), sell("5", "120", date(2026, 2, 2)), buy("4", "110", date(2026, 2, 9)))
    assert found is not None
    assert (found.quantity, found.price, found.cost) == (Decimal(5), None, None)


def test_the_cost_is_unknown_when_the_broker_reports_none() -> None:
    found = opened(holding("10", cost=None))
    assert found is not None
    assert (found.price, found.cost) == (None, None)


def test_the_cost_is_unknown_when_that_of_another_lot_is() -> None:
    found = opened(holding("10"), buy("4", None, date(2026, 2, 2)))
    assert found is not None
    assert found.cost is None


def test_a_cost_of_nothing_is_known() -> None:
    # 440 are all that the 4 bought cost: what was there before, spun off perhaps, cost nothing.
    found = opened(holding("10", "440"), buy("4", "110", date(2026, 2, 2)))
    assert found is not None
    assert (found.quantity, found.cost, found.price) == (Decimal(6), Decimal(0), Decimal(0))


def test_a_cost_of_the_wrong_sign_is_unknown() -> None:
    found = opened(holding("10", "400"), buy("4", "110", date(2026, 2, 2)))
    assert found is not None
    assert found.cost is None


def test_a_quantity_that_nothing_explains_is_a_derived_change() -> None:
    found = changed(holding("10", quantity="7", changed_after=ANCHOR))
    assert found is not None
    assert (found.kind, found.quantity, found.price, found.gross) == (
        ActivityKind.SELL, Decimal(-3), None, None,
    )  # fmt: skip
    assert found.trade_date == date(2026, 3, 20)
    assert found.key == "derived:change:1"
    assert "between 2026-03-04 12:00 UTC and 2026-03-20 12:00 UTC" in found.description


def test_a_change_that_an_activity_explains_is_none() -> None:
    assert changed(holding("10", quantity="7"), sell("3", "120", date(2026, 3, 18))) is None


def test_a_change_explained_in_part_is_the_rest() -> None:
    found = changed(holding("10", quantity="15"), buy("2", "120", date(2026, 3, 18)))
    assert found is not None
    assert (found.kind, found.quantity) == (ActivityKind.BUY, Decimal(3))


def test_a_trade_of_the_anchors_day_belongs_to_the_anchor_when_the_quantity_stayed() -> None:
    held = holding("10")
    trade = buy("4", "110", date(2026, 3, 4))
    assert opening.before(held, [trade]) == [trade]
    assert changed(held, trade) is None


def test_a_trade_of_the_anchors_day_came_after_it_when_that_explains_the_quantity() -> None:
    held = holding("10", quantity="14")
    trade = buy("4", "110", date(2026, 3, 4))
    assert opening.before(held, [trade]) == []
    assert changed(held, trade) is None
    found = opened(held, trade)
    assert found is not None
    assert found.quantity == Decimal(10)


def test_trades_of_the_anchors_day_can_be_on_both_sides_of_it() -> None:
    held = holding("10", quantity="7")
    first, second = buy("4", "110", date(2026, 3, 4)), sell("3", "111", date(2026, 3, 4))
    assert opening.before(held, [first, second]) == [first]
    assert changed(held, first, second) is None


def test_of_readings_that_explain_the_quantity_the_one_of_the_plain_dates_is_taken() -> None:
    # Bought and sold again: both before the anchor, or both after it.
    first, second = buy("4", "110", date(2026, 3, 4)), sell("4", "111", date(2026, 3, 4))
    assert opening.before(holding("10"), [first, second]) == [first, second]


def test_what_is_told_of_a_whole_day_holds_what_was_booked_by_then_and_of_a_moment_what_was_traded() -> None:
    late = buy("4", "110", date(2026, 3, 3), trade_at=ANCHOR.replace(day=3), booked_on=date(2026, 3, 5))
    for at, is_held in (
        (ANCHOR, True),
        (opening.end_of(date(2026, 3, 4)), False),
        (opening.end_of(date(2026, 3, 5)), True),
    ):
        assert opening.before(holding("10", anchor_at=at), [late]) == ([late] if is_held else [])
        assert opening.is_booked(late, at) is is_held
    # Without a day of booking that of the trade counts.
    assert opening.is_booked(buy("4", "110", date(2026, 3, 4)), opening.end_of(date(2026, 3, 4)))


def test_a_trade_of_the_anchors_day_counts_as_before_when_no_reading_explains_the_quantity() -> None:
    held = holding("10", quantity="9")
    trade = buy("4", "110", date(2026, 3, 4))
    assert opening.before(held, [trade]) == [trade]


def test_a_known_time_decides() -> None:
    held = holding("10")
    early = buy("4", "110", date(2026, 3, 4), trade_at=ANCHOR.replace(hour=9))
    late = sell("4", "110", date(2026, 3, 4), trade_at=ANCHOR.replace(hour=15))
    assert opening.before(held, [early, late]) == [early]


def test_a_market_can_be_a_day_ahead_of_the_anchor() -> None:
    """At 23:00 UTC it is the next day in Tokyo: the purchase is in the anchor, though its date is later."""
    held = holding("10", anchor_at=datetime(2026, 3, 4, 23, 0, tzinfo=UTC))
    trade = buy("4", "110", date(2026, 3, 5))
    assert opening.before(held, [trade]) == [trade]
    assert changed(held, trade) is None


def test_more_undated_trades_than_can_be_tried_count_by_their_date() -> None:
    trades = [buy("1", "100", date(2026, 3, 4), key=f"k{n}") for n in range(30)]
    assert len(opening.before(holding("30", quantity="31"), trades)) == 30
    assert opening.before(holding("30", quantity="60"), trades) == []


def test_cash_that_activities_do_not_explain_was_there_before_them() -> None:
    dividend = activity(ActivityKind.DIVIDEND, date(2026, 2, 2), gross="7.31", tax="-1.10")
    found = opening.cash_opening("U1", "EUR", Decimal(1000), date(2025, 12, 3), [dividend])
    assert found is not None
    # 1000 − (7.31 − 1.10) = 993.79
    assert (found.kind, found.gross, found.broker_ref) == (ActivityKind.OPENING, Decimal("993.79"), None)


def test_an_exchange_moves_two_currencies() -> None:
    exchange = activity(ActivityKind.FX, quantity="110", ref="USD", gross="-100")
    assert opening.cash_effects(exchange) == [("EUR", Decimal(-100)), ("USD", Decimal(110))]
    euros = opening.cash_opening("U1", "EUR", Decimal(50), date(2026, 1, 1), [exchange])
    dollars = opening.cash_opening("U1", "USD", Decimal(110), date(2026, 1, 1), [exchange])
    assert euros is not None
    assert euros.gross == Decimal(150)
    assert dollars is None


quantities = st.decimals(min_value="-1000", max_value="1000", places=4).filter(bool)
days = st.integers(0, 200)


@given(
    st.lists(st.tuples(quantities, days), max_size=8),
    st.decimals(min_value="-1000", max_value="1000", places=4),
    st.decimals(min_value="-1000", max_value="1000", places=4),
)
def test_opening_and_activities_are_the_reported_quantities(
    told: list[tuple[Decimal, int]], anchor: Decimal, latest: Decimal
) -> None:
    """At the anchor, and now, whatever the broker told and left out."""
    held = replace(holding(str(anchor)), quantity=latest)
    activities = [
        buy(str(q), "100", date.fromordinal(SINCE.toordinal() + day), key=str(n))
        for n, (q, day) in enumerate(told)
    ]
    before = opening.before(held, activities)
    start, change = opening.opening(held, before), opening.change(held, activities, before)
    at_anchor = sum((moved(a) for a in [*before, *([start] if start else [])]), Decimal(0))
    now = sum((moved(a) for a in [*activities, *(a for a in (start, change) if a)]), Decimal(0))
    assert at_anchor == anchor
    assert now == latest


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 200), days), max_size=6), st.integers(1, 99))
def test_what_is_open_at_the_anchor_costs_what_the_broker_says(
    told: list[tuple[int, int, int]], price: int
) -> None:
    """With purchases of known cost after an opening, whose price comes back as it was."""
    activities = [
        buy(str(q), str(p), date.fromordinal(SINCE.toordinal() + day % 80), key=str(n))
        for n, (q, p, day) in enumerate(told)
    ]
    quantity = 10 + sum(q for q, _, _ in told)
    cost = 10 * price + sum(q * p for q, p, _ in told)
    held = holding(str(quantity), str(cost))
    start = opened(held, *activities)
    assert start is not None
    assert start.price == price
    assert fifo([start, *activities], Decimal(1), Decimal(1)).cost == cost


def test_capital_given_back_since_the_opening_was_part_of_its_cost() -> None:
    # 10 were held and 10 bought for 300; 2 on each unit came back, and the broker says 760 are left:
    # 760 - (300 - 20) = 480 of the opening, which cost 480 + 20 = 500.
    paid = activity(
        ActivityKind.DIVIDEND, date(2026, 2, 9), None, gross="40", subtype="return of capital", key="roc"
    )
    found = opened(holding("20", "760"), buy("10", "30", date(2026, 2, 2)), paid)
    assert found is not None
    assert (found.quantity, found.cost) == (Decimal(10), Decimal(500))
