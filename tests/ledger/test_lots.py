from datetime import date
from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.ledger import types
from stonks_overwatch.ledger.lots import EXACT, Lots
from stonks_overwatch.ledger.matching import fifo
from stonks_overwatch.ledger.types import ActivityKind
from tests.builders import activity, buy, sell

JANUARY, FEBRUARY, MARCH = date(2026, 1, 5), date(2026, 2, 5), date(2026, 3, 5)


def lots(*activities: types.Activity, multiplier: str = "1", quote_factor: str = "1") -> Lots:
    return fifo(activities, Decimal(multiplier), Decimal(quote_factor))


def realized(result: Lots) -> list[Decimal | None]:
    return [close.realized_pnl for close in result.closed]


def test_a_sale_closes_the_oldest_lot_first() -> None:
    result = lots(
        buy("10", "100", JANUARY),
        buy("10", "120", FEBRUARY),
        sell("15", "130", MARCH),
    )
    # 10 × (130 − 100) = 300 of January's, 5 × (130 − 120) = 50 of February's; 5 × 120 = 600 are left.
    assert realized(result) == [Decimal(300), Decimal(50)]
    assert [(lot.opened_on, lot.quantity, lot.cost) for lot in result.open] == [
        (FEBRUARY, Decimal(5), Decimal(600))
    ]


def test_a_close_names_both_its_days_and_both_its_activities() -> None:
    (close,) = lots(buy("1", "10", JANUARY, key="b"), sell("1", "11", MARCH, key="s")).closed
    assert (close.opened_on, close.closed_on, close.opened_by, close.closed_by) == (JANUARY, MARCH, "b", "s")
    assert (close.quantity, close.cost, close.proceeds) == (Decimal(1), Decimal(10), Decimal(11))


def test_commissions_and_taxes_are_part_of_cost_and_proceeds() -> None:
    result = lots(
        buy("10", "100", JANUARY, gross="-1000", fee="-4", tax="-1"),
        sell("10", "110", MARCH, gross="1100", fee="-5"),
    )
    (close,) = result.closed
    # Paid 1000 + 4 + 1 = 1005, received 1100 − 5 = 1095.
    assert (close.cost, close.proceeds, close.realized_pnl) == (Decimal(1005), Decimal(1095), Decimal(90))


def test_a_short_position_is_opened_by_a_sale_and_closed_by_a_purchase() -> None:
    result = lots(sell("10", "90", JANUARY), buy("4", "80", MARCH))
    # 4 × (90 − 80) = 40; 6 are still short, for which 540 were received.
    assert realized(result) == [Decimal(40)]
    assert [(lot.quantity, lot.cost) for lot in result.open] == [(Decimal(-6), Decimal(-540))]


def test_one_trade_can_close_a_long_position_and_open_a_short_one() -> None:
    result = lots(buy("10", "100", JANUARY), sell("15", "120", MARCH))
    assert realized(result) == [Decimal(200)]
    assert [(lot.quantity, lot.cost, lot.opened_on) for lot in result.open] == [
        (Decimal(-5), Decimal(-600), MARCH)
    ]


def test_a_contract_costs_its_price_times_its_multiplier() -> None:
    result = lots(buy("2", "3.50", JANUARY), sell("1", "4", MARCH), multiplier="100")
    assert realized(result) == [Decimal(50)]
    assert result.cost == Decimal(350)


def test_a_bond_in_percent_of_face_costs_a_hundredth() -> None:
    assert lots(buy("10000", "98.5"), quote_factor="0.01").cost == Decimal(9850)


def test_the_money_that_moved_counts_before_the_price() -> None:
    """The price is rounded, and it may be that of another unit."""
    assert lots(buy("3", "33.33", gross="-100")).cost == Decimal(100)


def test_a_trade_that_moves_no_money_costs_what_its_price_says() -> None:
    result = lots(
        buy("1", "5000", JANUARY, gross="0", fee="-2"),
        sell("1", "5010", MARCH, gross="0", fee="-2"),
        multiplier="50",
    )
    # (5010 − 5000) × 50 = 500, minus 2 and 2.
    assert realized(result) == [Decimal(496)]


def test_an_option_that_expires_worthless_loses_what_it_cost() -> None:
    result = lots(buy("1", "2", JANUARY, gross="-200"), sell("1", "0", MARCH, gross="0"), multiplier="100")
    assert realized(result) == [Decimal(-200)]


def test_an_unknown_cost_stays_unknown_and_leaves_the_others_alone() -> None:
    result = lots(
        buy("10", None, JANUARY), buy("10", "120", FEBRUARY), sell("12", "130", MARCH, gross="1560")
    )
    assert realized(result) == [None, Decimal(20)]
    assert result.cost == Decimal(960)
    assert lots(buy("10", None)).cost is None


def test_unknown_proceeds_make_the_realized_gain_unknown() -> None:
    (close,) = lots(buy("10", "100", JANUARY), sell("10", None, MARCH)).closed
    assert (close.cost, close.proceeds, close.realized_pnl) == (Decimal(1000), None, None)


def test_purchases_come_before_sales_of_the_same_day() -> None:
    result = lots(sell("5", "11", JANUARY, key="a"), buy("5", "10", JANUARY, key="b"))
    assert realized(result) == [Decimal(5)]
    assert result.closed[0].quantity == Decimal(5)


def test_what_is_transferred_out_leaves_at_its_cost_and_realizes_nothing() -> None:
    result = lots(
        buy("10", "100", JANUARY),
        activity(ActivityKind.TRANSFER_OUT, MARCH, "-4", "150"),
    )
    assert result.closed == ()
    assert (result.quantity, result.cost) == (Decimal(6), Decimal(600))


def test_what_was_transferred_in_keeps_its_cost_and_its_date() -> None:
    (lot,) = lots(
        activity(ActivityKind.TRANSFER_IN, MARCH, "10", "150", cost="900", acquired_on=JANUARY)
    ).open
    assert (lot.cost, lot.opened_on) == (Decimal(900), JANUARY)


def test_a_split_changes_quantities_and_no_cost() -> None:
    result = lots(
        buy("10", "100", JANUARY),
        buy("5", "110", FEBRUARY),
        activity(ActivityKind.SPLIT, MARCH, "15"),
    )
    assert [(lot.quantity, lot.cost, lot.opened_on) for lot in result.open] == [
        (Decimal(20), Decimal(1000), JANUARY),
        (Decimal(10), Decimal(550), FEBRUARY),
    ]


def test_a_dividend_changes_no_lot() -> None:
    result = lots(buy("10", "100", JANUARY), activity(ActivityKind.DIVIDEND, MARCH, gross="7"))
    assert (result.quantity, result.cost, result.closed) == (Decimal(10), Decimal(1000), ())


numbers = st.decimals(min_value="0.00000001", max_value="1000000000", places=8)
trades = st.lists(
    st.tuples(st.sampled_from([1, -1]), numbers, st.one_of(st.none(), numbers), st.integers(0, 20)),
    max_size=12,
)


@given(trades)
def test_quantity_and_cost_are_conserved(told: list[tuple[int, Decimal, Decimal | None, int]]) -> None:
    """What was put in is what is open, plus what was closed; nothing is lost to rounding."""
    activities = [
        buy(str(sign * quantity), None if price is None else str(price), date(2026, 1, 1 + day), key=str(n))
        for n, (sign, quantity, price, day) in enumerate(told)
    ]
    result = lots(*activities)
    assert len({lot.quantity > 0 for lot in result.open}) <= 1
    with localcontext(EXACT):  # 28 digits do not hold all of these
        assert result.quantity == sum((sign * quantity for sign, quantity, _, _ in told), Decimal(0))
        if all(price is not None for _, _, price, _ in told):
            paid = sum((s * q * p for s, q, p, _ in told if p is not None), Decimal(0))
            # Opening and closing money of one close are taken out together: paid = open − realized.
            gained = sum((g for g in realized(result) if g is not None), Decimal(0))
            assert result.cost is not None
            assert result.cost - gained == paid
