"""The demo's story hangs together: positions, cash and NAV are results of what happened, on every day."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise

import pytest

from stonks_overwatch.errors import DemoError
from stonks_overwatch.services.brokers.ibkr.sandbox import SCENARIOS, answers
from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument
from stonks_overwatch.services.brokers.ibkr.sandbox.world import World

TODAY = date(2026, 3, 4)
MAIN, SECOND = "U7654321", "U2468013"


@cache
def demo(today: date = TODAY) -> World:
    return SCENARIOS["demo"](today)


@pytest.mark.parametrize("scenario", ["demo", "small", "large"])
def test_positions_and_cash_are_the_sums_of_what_happened(scenario: str) -> None:
    world = demo() if scenario == "demo" else SCENARIOS[scenario](TODAY)
    quantities: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    cash: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in world.entries:
        if entry.conid is not None:
            quantities[entry.account, entry.conid] += entry.quantity
        cash[entry.account, entry.currency] += entry.gross + entry.commission + entry.tax
        if entry.exchanged is not None:
            cash[entry.account, entry.exchanged[0]] += entry.exchanged[1]
    for account in world.holders:
        for conid, holding in world.holdings[account].items():
            assert holding.quantity == quantities[account, conid]
            assert holding.quantity == sum(quantity for quantity, _ in holding.lots)
        for currency, amount in world.cash[account].items():
            assert amount == cash[account, currency]


def test_nothing_happens_twice_as_the_days_go_by() -> None:
    """A demo that is started again on a later day must not change its past: what is stored must still fit."""
    for earlier, later in pairwise(
        [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 4), date(2026, 4, 2)]
    ):
        before, after = demo(earlier).entries, demo(later).entries
        assert after[: len(before)] == before
        assert all(entry.on >= earlier for entry in after[len(before) :])
        for account in (MAIN, SECOND):
            known = demo(earlier).nav_history(account, date(2025, 6, 2))
            assert demo(later).nav_history(account, date(2025, 6, 2))[: len(known)] == known


def test_the_same_day_is_told_the_same_way_each_time() -> None:
    again = SCENARIOS["demo"](TODAY)
    assert again.entries == demo().entries
    assert again.nav(MAIN) == demo().nav(MAIN)


def test_nav_moves_by_prices_and_payments_only() -> None:
    """No jump that a market would not make: trades, dividends and settlements do not change NAV."""
    for account in (MAIN, SECOND):
        points = demo().nav_history(account, date(2018, 1, 2))
        for (_, before, _), (day, after, flow) in pairwise(points):
            assert abs(float(after - flow) / float(before) - 1) < 0.06, day


def test_today_is_a_little_away_from_the_last_close() -> None:
    for account in (MAIN, SECOND):
        day, close, _ = demo().nav_history(account, date(2026, 3, 1))[-1]
        assert day == date(2026, 3, 3)
        assert demo().nav(account) != close
        assert abs(float(demo().nav(account) / close) - 1) < 0.03


def test_a_weekend_has_friday_as_its_last_close() -> None:
    saturday = demo(date(2026, 2, 28))
    assert saturday.nav_history(MAIN, date(2026, 2, 20))[-1][0] == date(2026, 2, 27)


def test_ten_years_of_everything_that_a_tracker_has_to_read() -> None:
    world = demo()
    assert world.entries[0].on == date(2016, 1, 4)
    kinds = Counter(entry.kind for entry in world.entries)
    assert set(kinds) == {
        "buy",
        "sell",
        "dividend",
        "interest",
        "deposit",
        "withdrawal",
        "fee",
        "fx",
        "split",
        "variation",
    }
    assert any(entry.kind == "dividend" and entry.tax < 0 for entry in world.entries)
    assert any(entry.kind == "interest" and entry.gross < 0 for entry in world.entries)


def test_every_asset_class_and_oddity_is_held() -> None:
    world = demo()
    held = [h for account in world.holders for h in world.shown(account)]
    instruments = [h.instrument for h in held]
    assert sum(1 for h in held if h.quantity) >= 60
    assert {i.asset_class for i in instruments} == {
        "STK",
        "FUND",
        "OPT",
        "FUT",
        "FOP",
        "CASH",
        "BOND",
        "BILL",
        "WAR",
        "IOPT",
        "CFD",
        "CRYPTO",
        "CMDTY",
    }
    assert {i.kind for i in instruments} == {"", "COMMON", "ETF", "ADR", "REIT"}
    assert {i.currency for i in instruments} >= {
        "EUR",
        "USD",
        "GBP",
        "CHF",
        "JPY",
        "SEK",
        "CAD",
        "AUD",
        "HKD",
    }
    names = " ".join(i.name for i in instruments)
    for oddity in ("<script>", "&amp;", "Ö", "桜"):
        assert oddity in names
    assert max(len(i.description) for i in instruments) >= 60
    assert any(not h.quantity for h in held)
    assert {(h.instrument.asset_class, h.quantity < 0) for h in held} >= {("OPT", True), ("OPT", False)}
    assert any(h.quantity < 0 for h in held if h.instrument.asset_class == "STK")
    assert any(h.quantity % 1 for h in held if h.instrument.asset_class == "STK")
    assert world.cash[MAIN]["JPY"] < 0


def test_nav_is_that_of_a_saver() -> None:
    world = demo()
    total = world.nav(MAIN) + world.nav(SECOND) * world.market.rate("USD")
    assert 400_000 < total < 600_000
    navs = [float(nav) for _, nav, _ in world.nav_history(MAIN, date(2019, 12, 2))]
    spring = [float(nav) for day, nav, _ in world.nav_history(MAIN, date(2020, 1, 2)) if day.year == 2020]
    assert min(spring) < 0.85 * spring[0]  # nobody got through that spring unharmed
    assert navs[-1] > 3 * navs[0]


def test_one_future_in_euro_and_two_in_dollars_tell_their_profit_in_two_ways() -> None:
    world = demo()
    futures: dict[str, list[float]] = {}
    for account, currency in ((MAIN, "EUR"), (SECOND, "USD")):
        rows = [
            row for row in answers.positions2(world, account) if row["secType"] == "FUT" and row["position"]
        ]
        told = answers.ledger(world, account)[currency]["futuresonlypnl"]
        futures[currency] = [row["unrealizedPnl"] for row in rows]
        assert (told == pytest.approx(sum(futures[currency]), abs=0.01)) == (currency == "USD")
    assert (len(futures["EUR"]), len(futures["USD"])) == (1, 2)


def test_a_split_changes_quantity_and_cost_and_no_value() -> None:
    world = demo()
    split = next(e for e in world.entries if e.kind == "split" and e.on == date(2024, 6, 10))
    assert split.conid is not None
    assert split.ratio == 10
    before = world.market.close(split.conid, date(2024, 6, 7))
    after = world.market.close(split.conid, date(2024, 6, 10))
    assert before / after == pytest.approx(Decimal(10), rel=Decimal("0.2"))
    assert split.net == 0


def test_lots_are_closed_oldest_first_and_turn_round() -> None:
    world = SCENARIOS["small"](TODAY)
    apple = 265598
    # 1.5 at 190 and 0.625 at 200, each with 1 of commission: 286 and 126. Two of them sold at 240:
    # 480 - 286 - 126 x 0.5 / 0.625 - 1 = 92.2.
    sale = world.sell(MAIN, apple, Decimal(2), Decimal(240))
    assert sale.realized == pytest.approx(Decimal("92.2"))
    world.sell(MAIN, apple, Decimal("1.125"), Decimal(240))
    assert world.held(MAIN, apple) == -1
    # Sold short at 240; the part of the commission that opened it makes it bring a little less.
    assert world.holdings[MAIN][apple].average_cost == pytest.approx(
        Decimal(240) - Decimal(1) / Decimal("1.125")
    )


def test_a_position_can_be_added_and_its_price_set() -> None:
    world = SCENARIOS["empty"](TODAY)
    share = Instrument(77, "NEW", "NEWCOMER AG", "STK", "EUR", "IBIS", "DE", "COMMON")
    before = world.nav(MAIN)
    world.add_position(MAIN, share, Decimal(10), price=Decimal(21), cost=Decimal(20))
    # Ten at 20 cost 200 and 1.25, and are worth 210.
    assert world.nav(MAIN) - before == Decimal("8.75")
    world.set_price(77, Decimal(22))
    assert world.nav(MAIN) - before == Decimal("18.75")


def test_an_account_with_cash_and_no_position() -> None:
    world = SCENARIOS["empty"](TODAY)
    assert world.shown(MAIN) == []
    assert world.nav(MAIN) == 2500


def test_five_thousand_positions_in_one_account() -> None:
    world = SCENARIOS["large"](TODAY)
    rows = answers.positions(world, MAIN, warm=True)
    assert len({row["conid"] for row in rows}) == 5000
    assert len({row["position"] for row in rows}) > 5


def test_the_demo_has_a_first_day() -> None:
    with pytest.raises(DemoError, match="2025-03-03"):
        demo(date(2025, 3, 2))
    assert demo(date(2025, 3, 3)).nav(MAIN) > 0


def test_a_payment_is_accrued_until_it_is_paid() -> None:
    world = SCENARIOS["empty"](TODAY)
    before = world.nav(MAIN)
    world.accrue_interest(MAIN, "EUR", Decimal("3.50"), TODAY, TODAY + timedelta(days=9), "CREDIT INT")
    assert world.nav(MAIN) - before == Decimal("3.50")
    assert world.cash[MAIN]["EUR"] == 2500
    world.unpaid[0] = replace(world.unpaid[0], paid_on=TODAY)
    world.pay_due(TODAY)
    assert world.cash[MAIN]["EUR"] == Decimal("2503.50")
    assert world.nav(MAIN) - before == Decimal("3.50")
