"""Corporate actions, exercises and transfers: quantity, cost and day of acquisition go where the lots go.

Every expected figure is worked out by hand from the amounts in its test.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.ledger import types
from stonks_overwatch.ledger.lots import EXACT, Lots, Method, Pick, divided, effects, summed_if_known
from stonks_overwatch.ledger.matching import (
    NOTHING_TOLD,
    Convert,
    Terms,
    Told,
    Trade,
    matched,
    traded,
    untraded,
)
from stonks_overwatch.ledger.types import ActivityKind
from tests.builders import activity, buy, sell

JAN, FEB, MAR, APR = date(2026, 1, 5), date(2026, 2, 5), date(2026, 3, 5), date(2026, 4, 7)
ACTION = ActivityKind.CORPORATE_ACTION

TERMS = {
    "OLD": Terms(currency="USD", isin="US0000000OLD", symbol="OLD"),
    "NEW": Terms(currency="USD", isin="US0000000NEW", symbol="NEW"),
    "KID": Terms(currency="USD", symbol="KID"),
    "RTS": Terms(currency="USD", symbol="RTS"),
    "EURO": Terms(currency="EUR", symbol="EURO"),
    "BOND": Terms(Decimal("0.01"), currency="USD"),
    "CALL": Terms(Decimal(100), currency="USD", right="call"),
    "PUT": Terms(Decimal(100), currency="USD", right="put"),
    "FUT": Terms(Decimal(50), currency="USD", is_margined=True),
}


def leg(
    ref: str,
    quantity: str | None,
    on: date = MAR,
    *,
    subtype: str = "merger",
    group: str | None = "action:1",
    kind: ActivityKind = ACTION,
    **more: Any,
) -> types.Activity:
    """One row of a corporate action; amounts may be texts."""
    told: dict[str, Any] = {
        n: Decimal(v) if isinstance(v, str) and n in ("value", "realized_pnl", "ratio") else v
        for n, v in more.items()
    }
    return activity(
        kind, on, quantity, ref=ref, currency="USD", subtype=subtype, group=group,
        key=str(more.get("key", f"{ref}:{quantity}:{on}")), **{n: v for n, v in told.items() if n != "key"},
    )  # fmt: skip


def held(
    quantity: str = "100", money: str = "1000", on: date = JAN, ref: str = "OLD", **more: Any
) -> types.Activity:
    return buy(quantity, None, on, ref=ref, gross=f"-{money}", currency="USD", **more)


def book(
    *activities: types.Activity, told: Told = NOTHING_TOLD, convert: Convert | None = None
) -> dict[str, Lots]:
    """By instrument, of the account U1."""
    return {ref: lots for (_, ref), lots in matched(activities, TERMS, told, convert).items()}


def values(*figures: object) -> list[object]:
    """For comparing: a Decimal equals a whole number."""
    return list(figures)


def shown(lots: Lots) -> list[tuple[object, ...]]:
    return [(lot.opened_on, lot.quantity, lot.cost) for lot in lots.open]


def gains(lots: Lots) -> list[Decimal | None]:
    return [close.realized_pnl for close in lots.closed]


def by_method(method: Method, **more: Any) -> Told:
    return replace(NOTHING_TOLD, methods={"U1": method}, **more)


# Methods


THREE = (held("10", "100", JAN, key="a"), held("10", "150", FEB, key="b"), held("10", "120", MAR, key="c"))
SALE = sell("15", None, APR, ref="OLD", gross="210", currency="USD", key="s")


@pytest.mark.parametrize(
    ("method", "expected", "left"),
    [
        # 210 for 15 is 14 each. 10 that cost 10 earn 40, 5 that cost 15 lose 5.
        (Method.FIFO, [40, -5], Decimal(195)),
        # 10 that cost 12 earn 20, 5 that cost 15 lose 5.
        (Method.LIFO, [20, -5], Decimal(175)),
        # 10 that cost 15 lose 10, 5 that cost 12 earn 10.
        (Method.HIFO, [-10, 10], Decimal(160)),
        # 370 / 30 each: 15 cost 185, 210 − 185 = 25, in the order of purchase 10 and 5 of 15.
        (Method.AVERAGE, [Decimal(50) / 3, Decimal(25) / 3], Decimal(185)),
    ],
)
def test_each_method_closes_its_own_lots(method: Method, expected: list[Decimal], left: Decimal) -> None:
    lots = book(*THREE, SALE, told=by_method(method))["OLD"]
    assert [round(gain, 12) for gain in gains(lots) if gain is not None] == [
        round(Decimal(e), 12) for e in expected
    ]
    assert values(lots.quantity, lots.cost) == [15, left]


def test_a_short_position_covers_the_cheapest_sale_first_by_hifo() -> None:
    lots = book(
        sell("10", None, JAN, ref="OLD", gross="100", currency="USD"),
        sell("10", None, FEB, ref="OLD", gross="80", currency="USD"),
        buy("10", None, MAR, ref="OLD", gross="-90", currency="USD"),
        told=by_method(Method.HIFO),
    )["OLD"]
    # The sale for 80 is covered for 90: a loss of 10. By FIFO it would be a gain of 10.
    assert gains(lots) == [-10]
    assert lots.cost == -100


def test_the_user_names_the_lots_that_a_sale_closes() -> None:
    choices = {("U1", "s"): [Pick(Decimal(4), "c"), Pick(Decimal(6), "b")]}
    lots = book(*THREE, SALE, told=by_method(Method.SPECIFIC, choices=choices))["OLD"]
    # At 14 each: 4 that cost 12 earn 8, 6 that cost 15 lose 6; the 5 that nobody named are the oldest: 20.
    assert [values(c.opened_by, c.realized_pnl, c.is_told) for c in lots.closed] == [
        ["c", 8, True], ["b", -6, True], ["a", 20, False],
    ]  # fmt: skip
    assert lots.quantity == 15


def test_the_broker_s_own_matching_counts_with_its_days_and_costs() -> None:
    told = by_method(
        Method.BROKER, matched={("U1", "OLD", APR): [Pick(Decimal(10), opened_on=FEB, cost=Decimal(151))]}
    )
    lots = book(*THREE, SALE, told=told)["OLD"]
    # 140 for 10 that cost the broker's 151; the other 5 go first in, first out, and are marked so.
    assert [values(c.opened_on, c.realized_pnl, c.is_told) for c in lots.closed] == [
        [FEB, -11, True],
        [JAN, 20, False],
    ]


@pytest.mark.parametrize(("sign", "gain"), [(1, -2), (-1, 2)])
def test_the_broker_s_cost_of_a_single_unit_has_the_sign_of_what_is_held(sign: int, gain: int) -> None:
    # A unit that the broker says cost 16 is sold for 14; and one sold short for 16 is covered for 14.
    told = by_method(
        Method.BROKER, matched={("U1", "OLD", APR): [Pick(Decimal(1), opened_on=FEB, cost=Decimal(16))]}
    )
    trade, close = (buy, sell) if sign > 0 else (sell, buy)
    opened = [
        trade("10", None, on, ref="OLD", gross=f"{-sign * money}", currency="USD")
        for on, money in ((JAN, 100), (FEB, 150))
    ]
    closed = close("1", None, APR, ref="OLD", gross=f"{sign * 14}", currency="USD")
    lots = book(*opened, closed, told=told)["OLD"]
    assert [values(c.opened_on, c.quantity, c.realized_pnl) for c in lots.closed] == [[FEB, sign, gain]]


def test_two_sales_of_one_day_share_the_broker_s_matching() -> None:
    picks = [Pick(Decimal(4), opened_on=FEB), Pick(Decimal(6), opened_on=MAR)]
    sales = [sell("5", None, APR, ref="OLD", gross="70", currency="USD", key=key) for key in ("s1", "s2")]
    lots = book(*THREE, *sales, told=by_method(Method.BROKER, matched={("U1", "OLD", APR): picks}))["OLD"]
    assert [values(c.closed_by, c.opened_on, c.quantity) for c in lots.closed] == [
        ["s1", FEB, 4], ["s1", MAR, 1], ["s2", MAR, 5],
    ]  # fmt: skip


# Splits


def test_a_split_by_its_ratio_multiplies_what_is_held() -> None:
    lots = book(held(), leg("OLD", None, kind=ActivityKind.SPLIT, ratio="4", group=None, subtype="split"))
    assert shown(lots["OLD"]) == [(JAN, 400, 1000)]


def test_a_reverse_split_pays_for_the_fraction() -> None:
    """105 at 10 each become 10.5 at 100; the half is paid with 60: 60 − 50 = 10. 10 that cost 1000 stay."""
    lots = book(
        held("105", "1050"),
        leg("OLD", "-94.5", kind=ActivityKind.SPLIT, subtype="reverse split"),
        leg("OLD", "-0.5", kind=ActivityKind.SPLIT, subtype="reverse split", gross="60", key="cash"),
    )["OLD"]
    assert shown(lots) == [(JAN, 10, 1000)]
    assert gains(lots) == [10]


def test_a_reverse_split_into_another_number_of_the_security_carries_everything() -> None:
    lots = book(
        held("60", "600"), held("40", "600", FEB),
        leg("OLD", "-100", kind=ActivityKind.SPLIT, subtype="reverse split"),
        leg("NEW", "4", kind=ActivityKind.SPLIT, subtype="reverse split"),
    )  # fmt: skip
    assert shown(lots["OLD"]) == []
    assert shown(lots["NEW"]) == [(JAN, Decimal("2.4"), 600), (FEB, Decimal("1.6"), 600)]
    assert gains(lots["OLD"]) == []


def test_a_stock_dividend_adds_units_to_the_lots_and_no_cost() -> None:
    lots = book(held("11", "110"), leg("OLD", "1", subtype="stock dividend", value="10"))
    assert shown(lots["OLD"]) == [(JAN, 12, 110)]


# Spin-offs and rights


SPUN_OFF = "OLD(US0000000OLD) SPINOFF  1 FOR 10 (KID, KID INC, 123)"


def test_a_spin_off_takes_the_part_of_the_cost_that_the_broker_says() -> None:
    lots = book(
        held("60", "600"), held("40", "800", FEB),
        leg("KID", "10", subtype="spin-off", description=SPUN_OFF, cost="280"),
    )  # fmt: skip
    # 280 of 1400 are 20 %: 120 of 600 and 160 of 800.
    assert shown(lots["OLD"]) == [(JAN, 60, 480), (FEB, 40, 640)]
    assert shown(lots["KID"]) == [(JAN, 6, 120), (FEB, 4, 160)]


def test_a_spin_off_is_divided_by_the_day_s_values_where_the_broker_tells_no_cost() -> None:
    told = replace(NOTHING_TOLD, price=lambda ref, on: Decimal(9) if (ref, on) == ("OLD", MAR) else None)
    lots = book(held(), leg("KID", "10", subtype="spin-off", description=SPUN_OFF, value="100"), told=told)
    # 900 and 100: a tenth of 1000.
    assert values(lots["OLD"].cost, lots["KID"].cost) == [900, 100]


def test_a_spin_off_of_unknown_value_leaves_both_costs_unknown() -> None:
    # Nor does the value of the new one alone tell what the old one kept.
    for value in (None, "100"):
        lots = book(held(), leg("KID", "10", subtype="spin-off", description=SPUN_OFF, value=value))
        assert shown(lots["OLD"]) == [(JAN, 100, None)]
        assert shown(lots["KID"]) == [(JAN, 10, None)]


def test_a_short_position_owes_what_is_spun_off() -> None:
    lots = book(
        sell("100", None, JAN, ref="OLD", gross="1000", currency="USD"),
        leg("KID", "-10", subtype="spin-off", description=SPUN_OFF, cost="-200"),
    )
    assert shown(lots["OLD"]) == [(JAN, -100, -800)]
    assert shown(lots["KID"]) == [(JAN, -10, -200)]


RIGHTS = leg(
    "RTS", "100", FEB, subtype="rights issue", group="action:rights",
    description="OLD(US0000000OLD) SUBSCRIBABLE RIGHTS ISSUE  1 FOR 1 (RTS, OLD - RTS, 9)",
)  # fmt: skip


def test_rights_cost_nothing_and_what_they_buy_costs_what_was_paid() -> None:
    lots = book(
        held(), RIGHTS,
        leg("RTS", "-100", subtype="rights subscription", group="action:2"),
        leg("NEW", "50", subtype="rights subscription", group="action:2", gross="-400"),
    )  # fmt: skip
    assert shown(lots["OLD"]) == [(JAN, 100, 1000)]
    assert shown(lots["RTS"]) == []
    # Held from the day of the subscription.
    assert shown(lots["NEW"]) == [(MAR, 50, 400)]


def test_bought_rights_go_into_the_cost_of_the_subscription() -> None:
    lots = book(
        held("100", "30", ref="RTS"),
        leg("RTS", "-100", subtype="rights subscription"),
        leg("NEW", "50", subtype="rights subscription", gross="-400"),
    )
    assert shown(lots["NEW"]) == [(MAR, 50, 430)]


def test_rights_that_expire_lose_what_they_cost() -> None:
    lots = book(held("100", "30", ref="RTS"), leg("RTS", "-100", subtype="rights expiration"))
    assert gains(lots["RTS"]) == [-30]


# Mergers, tenders, changes of number, ends


def test_a_merger_for_stock_carries_cost_and_day() -> None:
    lots = book(held("60", "600"), held("40", "600", FEB), leg("OLD", "-100"), leg("NEW", "25"))
    assert shown(lots["NEW"]) == [(JAN, 15, 600), (FEB, 10, 600)]
    assert lots["OLD"] == Lots((), ())


def test_a_merger_for_cash_is_a_sale() -> None:
    lots = book(held(), leg("OLD", "-100", gross="1250"))
    assert gains(lots["OLD"]) == [250]
    assert lots["OLD"].open == ()


def test_a_merger_for_both_is_divided_by_the_day_s_values() -> None:
    """300 in cash and stock worth 700: 30 % of the cost of 1000 is for the cash. 300 − 300 = 0 is earned."""
    lots = book(held(), leg("OLD", "-100", gross="300"), leg("NEW", "50", value="700"))
    assert shown(lots["NEW"]) == [(JAN, 50, 700)]
    (close,) = lots["OLD"].closed
    assert values(close.quantity, close.cost, close.proceeds) == [30, 300, 300]


def test_a_merger_for_both_follows_the_gain_that_the_broker_booked() -> None:
    lots = book(held(), leg("OLD", "-100", gross="300", realized_pnl="120"), leg("NEW", "50", value="700"))
    # 300 − 120 = 180 of the cost is for the cash.
    assert gains(lots["OLD"]) == [120]
    assert shown(lots["NEW"]) == [(JAN, 50, 820)]


def test_what_cash_leaves_of_a_cost_is_divided_over_two_securities_by_their_values() -> None:
    # 300 − 120 = 180 of the cost of 1000 is for the cash; 820 are left for values of 300 and 100.
    lots = book(
        held(),
        leg("OLD", "-100", gross="300", realized_pnl="120"),
        leg("NEW", "50", value="300"),
        leg("KID", "10", value="100"),
    )
    assert values(lots["NEW"].cost, lots["KID"].cost, *gains(lots["OLD"])) == [615, 205, 120]


def test_a_merger_for_both_of_unknown_value_leaves_the_division_unknown() -> None:
    lots = book(held(), leg("OLD", "-100", gross="300"), leg("NEW", "50"))
    assert gains(lots["OLD"]) == [None]
    assert shown(lots["NEW"]) == [(JAN, 50, None)]


def test_a_merger_into_two_securities_is_divided_by_their_costs() -> None:
    lots = book(held(), leg("OLD", "-100"), leg("NEW", "50", cost="750"), leg("KID", "10", cost="250"))
    assert values(lots["NEW"].cost, lots["KID"].cost) == [750, 250]


def test_cash_for_a_fraction_of_the_new_shares_is_a_sale_of_the_fraction() -> None:
    """25.5 new ones cost 1020, so the half costs 20 and earns 30 − 20 = 10."""
    lots = book(
        held("102", "1020"), leg("OLD", "-102"), leg("NEW", "25.5"), leg("NEW", "-0.5", gross="30", key="f")
    )
    assert gains(lots["NEW"]) == [10]
    assert shown(lots["NEW"]) == [(JAN, 25, 1000)]


def test_a_tender_takes_the_lots_along_and_pays_them_out_later() -> None:
    lots = book(
        held(),
        leg("OLD", "-40", FEB, subtype="tender", group="action:t"),
        leg("KID", "40", FEB, subtype="tender", group="action:t"),
        leg("KID", "-40", MAR, gross="480", group="action:c"),
    )
    assert shown(lots["OLD"]) == [(JAN, 60, 600)]
    assert [values(c.opened_on, c.realized_pnl) for c in lots["KID"].closed] == [[JAN, 80]]


def test_a_new_number_of_the_security_changes_nothing_else() -> None:
    lots = book(held(), leg("OLD", "-100", subtype="issue change"), leg("NEW", "100", subtype="issue change"))
    assert shown(lots["NEW"]) == [(JAN, 100, 1000)]


def test_a_new_number_in_another_currency_converts_the_cost_once() -> None:
    """On the day of the change a dollar is 0.80 euros; its cost in the reporting currency stays."""
    convert = Convert(
        on=lambda _a, cur, _on: Decimal("0.8") if cur == "USD" else Decimal(1), of=lambda _a: Decimal("0.9")
    )
    lots = book(
        held(), leg("OLD", "-100", subtype="issue change"), leg("EURO", "100", subtype="issue change"),
        convert=convert,
    )  # fmt: skip
    assert values(lots["EURO"].cost, lots["EURO"].cost_base) == [800, 900]


def test_a_bond_is_paid_back() -> None:
    lots = book(
        buy("10000", None, JAN, ref="BOND", gross="-9850", currency="USD"),
        leg("BOND", "-10000", subtype="bond maturity", gross="10000"),
    )
    assert gains(lots["BOND"]) == [150]


def test_a_part_of_a_bond_is_called() -> None:
    lots = book(
        buy("10000", None, JAN, ref="BOND", gross="-9800", currency="USD"),
        leg("BOND", "-2500", subtype="bond maturity", gross="2550"),
    )
    assert gains(lots["BOND"]) == [100]
    assert shown(lots["BOND"]) == [(JAN, 7500, 7350)]


def test_what_ends_with_a_gain_alone_told_brought_its_cost_and_the_gain() -> None:
    bond = held("1000", "980", ref="BOND")
    lots = book(bond, leg("BOND", "-1000", subtype="bond maturity", realized_pnl="20"))["BOND"]
    assert [values(c.proceeds, c.realized_pnl) for c in lots.closed] == [[1000, 20]]
    # Of a part the gain may be another's: what it brought is unknown.
    lots = book(bond, leg("BOND", "-400", subtype="bond maturity", realized_pnl="8"))["BOND"]
    assert gains(lots) == [None]


def test_what_is_worthless_loses_its_whole_cost() -> None:
    lots = book(held(), leg("OLD", "-100", subtype="worthless"))
    assert gains(lots["OLD"]) == [-1000]


def test_what_leaves_for_nothing_that_is_known_of_earned_an_unknown_amount() -> None:
    lots = book(held(), leg("OLD", "-100", gross="0"))
    assert gains(lots["OLD"]) == [None]
    assert lots["OLD"].open == ()


def test_what_ends_and_was_never_bought_was_held_before_the_history() -> None:
    """Not a short position; where the broker tells a gain of 200 on 1250, it had cost 1050."""
    lots = book(leg("OLD", "-100", gross="1250", realized_pnl="200"), leg("KID", "-5", gross="60", group="2"))
    (close,) = lots["OLD"].closed
    assert values(close.cost, close.realized_pnl, close.is_dated) == [1050, 200, False]
    assert gains(lots["KID"]) == [None]
    assert lots["OLD"].open == lots["KID"].open == ()


def test_a_merger_of_what_was_held_before_the_history_carries_no_cost() -> None:
    lots = book(leg("OLD", "-100"), leg("NEW", "25"))
    assert lots.get("OLD", Lots((), ())).open == ()
    assert [(lot.quantity, lot.cost, lot.is_dated) for lot in lots["NEW"].open] == [
        (Decimal(25), None, False)
    ]


def test_a_cancelled_action_leaves_no_trace() -> None:
    lots = book(
        held(), leg("OLD", "-100"), leg("NEW", "25"),
        leg("OLD", "100", APR, key="back 1"), leg("NEW", "-25", APR, key="back 2"),
    )  # fmt: skip
    assert shown(lots["OLD"]) == [(JAN, 100, 1000)]
    assert "NEW" not in lots


def test_an_action_that_was_cancelled_and_booked_again_counts_once() -> None:
    lots = book(
        held(), leg("OLD", "-100"), leg("NEW", "25"),
        leg("OLD", "100", APR, key="back 1"), leg("NEW", "-25", APR, key="back 2"),
        leg("OLD", "-100", APR, key="again 1"), leg("NEW", "20", APR, key="again 2"),
    )  # fmt: skip
    assert shown(lots["NEW"]) == [(JAN, 20, 1000)]
    assert lots["OLD"].quantity == 0


def test_a_cancelled_trade_and_its_cancellation_are_left_out() -> None:
    lots = book(
        held(key="t", refs=("trade:1",)),
        sell("100", None, JAN, ref="OLD", gross="1000", currency="USD", key="c", reverses="trade:1"),
        held("5", "60", FEB),
    )["OLD"]
    assert shown(lots) == [(FEB, 5, 60)]
    assert lots.closed == ()


# Options


def option(ref: str, quantity: str, on: date = JAN, gross: str = "0", **more: Any) -> types.Activity:
    make = sell if quantity.startswith("-") else buy
    return make(
        quantity.removeprefix("-"),
        None if gross != "0" else "0",
        on,
        ref=ref,
        gross=gross,
        currency="USD",
        **more,
    )


def exercised(ref: str, quantity: str, subtype: str, shares: str, money: str) -> tuple[types.Activity, ...]:
    """An option's end at a price of 0, and the trade in its underlying at the strike."""
    group = "exercise:OLD:2026-03-05:50"
    make = sell if shares.startswith("-") else buy
    return (
        option(ref, quantity, MAR, subtype=subtype, group=group),
        make(
            shares.removeprefix("-"), None, MAR, ref="OLD", gross=money, currency="USD", subtype=subtype,
            group=group,
        ),
    )  # fmt: skip


def test_an_exercised_call_makes_the_stock_dearer() -> None:
    lots = book(option("CALL", "1", gross="-300"), *exercised("CALL", "-1", "exercise", "100", "-5000"))
    assert lots["CALL"] == Lots((), ())
    assert shown(lots["OLD"]) == [(MAR, 100, 5300)]


def test_an_assigned_call_brings_its_premium_with_the_sale() -> None:
    lots = book(
        held("100", "4000"),
        option("CALL", "-1", gross="300"),
        *exercised("CALL", "1", "assignment", "-100", "5000"),
    )
    # 5000 + 300 − 4000.
    assert gains(lots["OLD"]) == [1300]
    assert lots["CALL"] == Lots((), ())


def test_an_exercised_put_takes_its_premium_off_the_sale() -> None:
    lots = book(
        held("100", "4000"), option("PUT", "1", gross="-300"),
        *exercised("PUT", "-1", "exercise", "-100", "5000"),
    )  # fmt: skip
    assert gains(lots["OLD"]) == [700]


def test_an_assigned_put_makes_the_stock_cheaper() -> None:
    lots = book(option("PUT", "-1", gross="300"), *exercised("PUT", "1", "assignment", "100", "-5000"))
    assert shown(lots["OLD"]) == [(MAR, 100, 4700)]


def test_the_premium_of_several_options_is_spread_over_the_fills_of_the_underlying() -> None:
    group = "exercise:OLD:2026-03-05:50"
    lots = book(
        option("CALL", "2", gross="-300", key="o1"), option("CALL", "1", FEB, gross="-90", key="o2"),
        option("CALL", "-3", MAR, subtype="exercise", group=group),
        held("100", "5000", MAR, subtype="exercise", group=group, key="f1"),
        held("200", "10000", MAR, subtype="exercise", group=group, key="f2"),
    )  # fmt: skip
    # 390 over 300 shares.
    assert shown(lots["OLD"]) == [(MAR, 100, 5130), (MAR, 200, 10260)]


def test_an_option_settled_in_cash_is_closed_like_any_other() -> None:
    lots = book(
        option("CALL", "1", gross="-300"),
        option("CALL", "-1", MAR, gross="450", subtype="exercise", group="exercise:IDX:2026-03-05:50"),
    )
    assert gains(lots["CALL"]) == [150]


def test_an_expired_option_realizes_its_premium() -> None:
    lots = book(option("CALL", "-1", gross="300"), option("CALL", "1", MAR, subtype="expiration"))
    assert gains(lots["CALL"]) == [300]


def test_an_exercise_of_options_bought_before_the_history_leaves_the_stock_s_cost_unknown() -> None:
    lots = book(*exercised("CALL", "-1", "exercise", "100", "-5000"))
    assert lots["OLD"].cost is None


# Transfers


def test_a_transfer_between_known_accounts_takes_the_lots_along() -> None:
    group = "transfer:2026-03-05:OLD:15:U1:U2"
    lots = matched(
        [
            held("10", "100"), held("10", "150", FEB),
            activity(ActivityKind.TRANSFER_OUT, MAR, "-15", ref="OLD", group=group, value="300"),
            activity(ActivityKind.TRANSFER_IN, MAR, "15", ref="OLD", group=group, account="U2", value="300"),
        ],
        TERMS,
    )  # fmt: skip
    assert shown(lots["U1", "OLD"]) == [(FEB, 5, 75)]
    assert shown(lots["U2", "OLD"]) == [(JAN, 10, 100), (FEB, 5, 75)]
    assert lots["U1", "OLD"].closed == ()


def test_what_came_from_outside_without_a_cost_has_none() -> None:
    lots = book(activity(ActivityKind.TRANSFER_IN, MAR, "15", ref="OLD", value=Decimal(300)))
    assert lots["OLD"].cost is None


# In the reporting currency


def at(rates: dict[date, str]) -> Convert:
    """Euros for a dollar by day."""
    return Convert(on=lambda _a, _c, on: Decimal(rates[on]), of=lambda a: Decimal(rates[a.trade_date]))


def test_cost_and_proceeds_are_converted_at_their_own_days() -> None:
    lots = book(
        held(), sell("50", None, MAR, ref="OLD", gross="600", currency="USD"),
        convert=at({JAN: "0.90", MAR: "0.80"}),
    )["OLD"]  # fmt: skip
    (close,) = lots.closed
    # 500 × 0.90 = 450 and 600 × 0.80 = 480.
    assert values(close.cost_base, close.proceeds_base, close.realized_pnl_base) == [450, 480, 30]
    assert lots.cost_base == 450


def test_a_premium_keeps_the_rate_of_its_own_day() -> None:
    lots = book(
        option("CALL", "1", gross="-300"), *exercised("CALL", "-1", "exercise", "100", "-5000"),
        convert=at({JAN: "0.90", MAR: "0.80"}),
    )  # fmt: skip
    # 300 × 0.90 + 5000 × 0.80.
    assert lots["OLD"].cost_base == 4270


def test_only_the_gain_of_a_future_is_converted() -> None:
    lots = book(
        buy("1", "5000", JAN, ref="FUT", gross="0", currency="USD"),
        sell("1", "5010", MAR, ref="FUT", gross="0", currency="USD"),
        convert=at({JAN: "0.90", MAR: "0.80"}),
    )["FUT"]
    # 10 × 50 = 500 dollars of gain, 400 euros; nothing on the notional of 250,000.
    assert lots.closed[0].realized_pnl_base == 400


def test_the_cash_of_a_cfd_is_its_profit_and_not_what_it_was_sold_for() -> None:
    """Bought at 112 and sold at 110, × 50: 100 lost, booked as cash with the sale; commissions of 3."""
    lots = book(
        buy("1", "112", JAN, ref="FUT", gross="0", fee="-1", currency="USD"),
        sell("1", "110", MAR, ref="FUT", gross="-100", fee="-2", currency="USD"),
    )["FUT"]
    assert gains(lots) == [-103]


def test_a_gain_is_price_currency_and_both() -> None:
    """Bought for 1000 at 0.90, sold for 1200 at 0.80: 960 − 900 = 60.

    Price 200 × 0.90 = 180, currency 1000 × −0.10 = −100, cross 200 × −0.10 = −20.
    """
    parts = effects(Decimal(1000), Decimal(1200), Decimal(900), Decimal(960), Decimal("0.80"))
    assert parts == tuple(values(180, -100, -20))


def test_what_cost_nothing_has_no_currency_effect() -> None:
    assert effects(Decimal(0), Decimal(100), Decimal(0), Decimal(80), Decimal("0.8")) == tuple(
        values(80, 0, 0)
    )


def test_an_unknown_part_makes_all_effects_unknown() -> None:
    assert effects(None, Decimal(1), Decimal(1), Decimal(1), Decimal(1)) is None


money = st.decimals(min_value="-1000000", max_value="1000000", places=2)
rates = st.decimals(min_value="0.0001", max_value="1000", places=6)


@given(money, money, rates, rates)
def test_the_parts_of_a_gain_sum_to_it_exactly(
    cost: Decimal, proceeds: Decimal, then: Decimal, now: Decimal
) -> None:
    parts = effects(cost, proceeds, cost * then, proceeds * now, now)  # at most 18 digits: exact
    assert parts is not None
    with localcontext(EXACT):
        assert sum(parts) == proceeds * now - cost * then
        # To the precision of the one division; what cost nothing has no other rate than the sale's.
        assert not cost or abs(parts.cross - (proceeds - cost) * (now - then)) <= Decimal("1e-30")


@given(money, money, rates, rates)
def test_the_parts_of_a_gain_sum_to_it_exactly_where_lots_and_rates_were_divided(
    whole: Decimal, proceeds: Decimal, then: Decimal, now: Decimal
) -> None:
    now = 1 / now
    cost, cost_base = (divided(total, Decimal(1), Decimal(3))[0] for total in (whole, whole * then))
    proceeds_base = EXACT.multiply(proceeds, now)
    parts = effects(cost, proceeds, cost_base, proceeds_base, now)
    assert parts is not None
    assert cost_base is not None
    assert sum(map(Fraction, parts)) == Fraction(proceeds_base) - Fraction(cost_base)


quantities = st.integers(-30, 30).filter(bool).map(Decimal) | st.decimals("0.001", "9", places=3)
prices = st.none() | st.decimals("0.01", "400", places=4)


@given(st.lists(st.tuples(st.integers(0, 40), quantities, prices, prices, rates | st.none()), max_size=25))
def test_what_was_traded_alone_has_the_lots_that_it_has_among_all_else(
    told: list[tuple[int, Decimal, Decimal | None, Decimal | None, Decimal | None]],
) -> None:
    activities = []
    trades: list[Trade] = []
    by_day: dict[date, Decimal | None] = {}
    for number, (gap, quantity, price, gross, rate) in enumerate(sorted(told, key=lambda row: row[0])):
        on = JAN + timedelta(days=gap)
        kind = ActivityKind.BUY if quantity > 0 else ActivityKind.SELL
        row = activity(
            kind, on, str(quantity), ref="OLD", currency="USD", key=f"{number:02}", gross=gross,
            price=None if price is None else str(price), fee=Decimal("-1.25"),
            trade_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        )  # fmt: skip
        by_day.setdefault(on, rate)
        activities.append(row)
        told_price, told_gross = (None if told is None else str(told) for told in (price, gross))
        trades.append((on, row.key, str(quantity), told_price, told_gross, "-1.25", None, by_day[on]))
    convert = Convert(lambda _account, _currency, on: by_day[on], lambda one: by_day[one.trade_date])
    among_all = book(*reversed(activities), convert=convert).get("OLD", Lots((), ()))
    # To the last digit, and with as many of them.
    per_unit = TERMS["OLD"].per_unit
    whole = traded(trades, per_unit)
    assert repr(whole) == repr(among_all)
    # And it can be gone on from each day.
    for on in by_day:
        before = untraded(whole.open, whole.closed, on)
        later = traded([trade for trade in trades if trade[0] >= on], per_unit, before)
        assert later.open == whole.open
        assert later.closed == tuple(close for close in whole.closed if close.closed_on >= on)


# Conservation


class World:
    """An account's books while steps are drawn: what every instrument must hold, and the money paid net."""

    def __init__(self) -> None:
        self.activities: list[types.Activity] = []
        self.held = dict.fromkeys(("OLD", "NEW", "KID", "RTS"), Decimal(0))
        self.moved_out = Decimal(0)
        self.paid = Decimal(0)
        self.at = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def take(self, step: str, quantity: Decimal, amount: Decimal) -> None:
        self.at += timedelta(days=1)
        if step == "sell" and self.held["OLD"] < quantity:
            step = "buy"
        if self.held["OLD"] or step in ("buy", "back"):
            getattr(self, step)(quantity, amount)

    def add(self, kind: ActivityKind, ref: str, quantity: Decimal, **more: Any) -> None:
        self.activities.append(
            leg(ref, str(quantity), self.at.date(), kind=kind, trade_at=self.at,
                key=str(len(self.activities)), group=f"action:{self.at}", **more)
        )  # fmt: skip
        if more.get("account", "U1") == "U1":
            self.held[ref] += quantity

    def buy(self, quantity: Decimal, amount: Decimal) -> None:
        self.add(ActivityKind.BUY, "OLD", quantity, gross=str(-amount))
        self.paid += amount

    def sell(self, quantity: Decimal, amount: Decimal) -> None:
        self.add(ActivityKind.SELL, "OLD", -quantity, gross=str(amount))
        self.paid -= amount

    def split(self, quantity: Decimal, _: Decimal) -> None:
        self.add(ActivityKind.SPLIT, "OLD", quantity)

    def spin(self, quantity: Decimal, _: Decimal) -> None:
        # Not a cent: a parent that was left with a cost of nothing could give none to another one.
        self.add(ACTION, "KID", quantity, subtype="spin-off", description=SPUN_OFF, cost="0.0137")

    def rights(self, quantity: Decimal, _: Decimal) -> None:
        self.add(ACTION, "RTS", quantity, subtype="rights issue", description=RIGHTS.description)

    def merge(self, quantity: Decimal, amount: Decimal) -> None:
        self._exchange("OLD", "NEW", quantity, amount)

    def back(self, quantity: Decimal, amount: Decimal) -> None:
        if self.held["NEW"]:
            self._exchange("NEW", "OLD", quantity, amount)

    def _exchange(self, old: str, new: str, quantity: Decimal, amount: Decimal) -> None:
        self.add(ACTION, old, -self.held[old], gross=str(amount))
        self.add(ACTION, new, quantity, value=str(amount))
        self.paid -= amount

    def transfer(self, *_: Decimal) -> None:
        quantity = self.held["OLD"]
        self.add(ActivityKind.TRANSFER_OUT, "OLD", -quantity)
        self.add(ActivityKind.TRANSFER_IN, "OLD", quantity, account="U2")
        self.moved_out += quantity

    def cancelled(self, *_: Decimal) -> None:
        quantity = self.held["OLD"]
        self.add(ACTION, "OLD", -quantity)
        self.add(ACTION, "OLD", quantity)


STEPS = ("buy", "sell", "split", "spin", "merge", "back", "rights", "transfer", "cancelled")


@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 500), st.integers(1, 90000)), max_size=14),
    st.sampled_from([Method.FIFO, Method.LIFO, Method.HIFO, Method.AVERAGE]),
)
def test_no_operation_makes_or_loses_quantity_or_cost(
    steps: list[tuple[str, int, int]], method: Method
) -> None:
    """Money paid minus money received is the cost of what is open minus the gains, over everything."""
    world = World()
    for step, quantity, cents in steps:
        world.take(step, Decimal(quantity), Decimal(cents) / 100)
    lots = matched(world.activities, TERMS, by_method(method))
    nothing = Lots((), ())
    for ref, expected in world.held.items():
        assert lots.get(("U1", ref), nothing).quantity == expected
    assert lots.get(("U2", "OLD"), nothing).quantity == world.moved_out
    gained = [close.realized_pnl for of in lots.values() for close in of.closed]
    costs = [lot.cost for of in lots.values() for lot in of.open]
    with localcontext(EXACT):
        left = summed_if_known(costs)
        earned = summed_if_known(gained)
        assert left is not None
        assert earned is not None
        assert left - earned == world.paid


# Return of capital


def returned(gross: str, on: date = MAR, ref: str = "OLD", **more: Any) -> types.Activity:
    return activity(
        ActivityKind.DIVIDEND, on, None, ref=ref, currency="USD", gross=gross,
        subtype="return of capital", key=f"roc:{gross}:{on}", **more,
    )  # fmt: skip


def test_a_return_of_capital_lowers_the_cost_of_each_unit_and_is_no_gain() -> None:
    # 100 for 1,000 and 100 for 1,500; 200 given back is 1 on each unit.
    lots = book(held(), held(money="1500", on=FEB), returned("200"))["OLD"]
    assert shown(lots) == [(JAN, Decimal(100), Decimal(900)), (FEB, Decimal(100), Decimal(1400))]
    assert lots.closed == ()


def test_what_is_given_back_beyond_the_cost_of_a_lot_is_its_gain() -> None:
    # IRS Publication 550: the basis is reduced to nothing, and the rest is a capital gain.
    # 4 on each of 20 units: 10 that cost 100 cost 60, 10 that cost 30 cost nothing and gain 40 - 30 = 10.
    lots = book(held("10", "100"), held("10", "30", FEB), returned("80"))["OLD"]
    assert shown(lots) == [(JAN, Decimal(10), Decimal(60)), (FEB, Decimal(10), Decimal(0))]
    assert [(c.opened_on, c.closed_on, c.quantity, c.realized_pnl) for c in lots.closed] == [
        (FEB, MAR, Decimal(0), Decimal(10))
    ]


def test_capital_is_given_back_to_what_was_held_before_the_ex_date() -> None:
    # Ex on 20 February, paid in March: what was bought on 25 February gets none of it, and of the 100 that
    # were held the 50 that are sold on 1 March cost 9 each: 500 - 450 = 50.
    ex, late = date(2026, 2, 20), date(2026, 2, 25)
    sold = sell("50", None, date(2026, 3, 1), ref="OLD", gross="500", currency="USD")
    lots = book(held(), held("10", "100", late), sold, returned("100", ex_date=ex))["OLD"]
    assert shown(lots) == [(JAN, Decimal(50), Decimal(450)), (late, Decimal(10), Decimal(100))]
    assert gains(lots) == [Decimal(50)]


def test_capital_is_not_given_back_to_what_was_bought_on_the_ex_date_but_to_what_was_there_before() -> None:
    # 100 units share 110 with the 10 of an opening balance, whose purchase is older than the balance.
    there = activity(
        ActivityKind.OPENING, MAR, "10", ref="OLD", currency="USD", gross="0", cost="100", key="o"
    )
    lots = book(held(), held("10", "100", MAR), there, returned("110", APR, ex_date=MAR))["OLD"]
    assert {(lot.opened_by, lot.cost) for lot in lots.open if lot.opened_by == "o"} == {("o", Decimal(90))}
    assert sorted(lot.cost for lot in lots.open if lot.cost is not None) == [90, 100, 900]


def test_what_is_short_owes_the_capital_back_and_gains_by_the_rate() -> None:
    # 100 USD received at 0.90 are 90 EUR; all of them are owed at 0.80: 80 EUR.
    rates = {JAN: Decimal("0.9"), MAR: Decimal("0.8")}
    convert = Convert(lambda _a, _c, on: rates[on], lambda one: rates[one.trade_date])
    short = sell("10", None, JAN, ref="OLD", gross="100", currency="USD")
    lots = book(short, returned("-100"), convert=convert)["OLD"]
    assert [values(lot.quantity, lot.cost, lot.cost_base) for lot in lots.open] == [[-10, 0, 0]]
    assert [values(c.realized_pnl, c.realized_pnl_base) for c in lots.closed] == [[0, 10]]


def test_capital_that_comes_when_nothing_is_held_is_a_gain() -> None:
    lots = book(held(), sell("100", None, FEB, ref="OLD", gross="1000", currency="USD"), returned("30"))[
        "OLD"
    ]
    assert gains(lots) == [Decimal(0), Decimal(30)]


@pytest.mark.parametrize("method", list(Method))
def test_costs_and_gains_keep_the_sum_whatever_the_method(method: Method) -> None:
    told = replace(NOTHING_TOLD, methods={"U1": method})
    bought, more = held("30", "100"), held("7", "3", FEB)
    sold = sell("11", None, APR, ref="OLD", gross="90", currency="USD")
    lots = book(bought, more, returned("40"), sold, told=told)["OLD"]
    gained = summed_if_known(close.realized_pnl for close in lots.closed)
    # 103 paid, 40 given back, 90 received: what is open costs what is left of it and of the gain.
    assert gained is not None
    assert lots.cost is not None
    assert EXACT.subtract(lots.cost, gained) == 103 - 40 - 90


def test_a_return_of_capital_is_converted_at_the_rate_of_its_day() -> None:
    # 1,000 USD at 0.90 are 900 EUR; 100 USD come back at 0.80, 80 EUR.
    rates = {JAN: Decimal("0.9"), MAR: Decimal("0.8")}
    convert = Convert(lambda _a, _c, on: rates[on], lambda one: rates[one.trade_date])
    (lot,) = book(held(), returned("100"), convert=convert)["OLD"].open
    assert (lot.cost, lot.cost_base) == (Decimal(900), Decimal(820))
