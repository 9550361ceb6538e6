"""What the sandbox says a tracker must show, against arithmetic done by hand and against what it serves."""

from datetime import date
from decimal import Decimal

import pytest

from stonks_overwatch.services.brokers.ibkr.sandbox.expected import expected
from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument, Market
from stonks_overwatch.services.brokers.ibkr.sandbox.world import Holder, World, cents
from tests.conftest import StartSandbox
from tests.services.brokers.ibkr.sandbox.conftest import LogIn

TODAY = date(2026, 3, 4)
MAIN, SECOND = "U7654321", "U2468013"


def test_the_small_account_by_hand(sandbox: StartSandbox) -> None:
    """Rates: 1 USD = 0.86 EUR, 1 GBP = 1.15 EUR, 1 CHF = 1.06 EUR.

    EUR: 11000 paid in; 40 VWCE at 112 cost 4480 and 2.24; 60 certificates at 15.10 cost 906 and 1.25;
         a fee of 3: 5607.51 cash. Now 40 x 128.40 + 60 x 18.42 = 6241.20; interest earned 4.12.
    USD: 7000 paid in; 1.5 Apple at 190 cost 285 and 1; 0.625 at 200 cost 125 and 1; twice 3 Microsoft at
         470 cost 2820 and 2; a dividend of 2.125 x 0.26 = 0.55 less 15 % tax = 0.08: 3766.47 cash.
         Now 2.125 x 230.50 + 6 x 480 = 3369.8125.
    GBP: 1800 paid in; 50 Shell at 24.50 cost 1225 and 1.25: 573.75 cash. Now 50 x 27.25 = 1362.50;
         a dividend of 50 x 0.27 = 13.50 is announced.
    CHF: 1000 paid in; 9 Nestlé at 91.20 cost 820.80 and 1.25: 177.95 cash. Now 9 x 82.10 = 738.90.
    """
    account = sandbox(today=TODAY).expected("EUR").accounts[MAIN]
    assert account.cash == {
        "EUR": Decimal("5607.51"),
        "USD": Decimal("3766.47"),
        "GBP": Decimal("573.75"),
        "CHF": Decimal("177.95"),
    }
    assert account.accrued == {"EUR": Decimal("4.12"), "GBP": Decimal("13.50")}
    assert account.market_value == {
        "EUR": Decimal("6241.20"),
        "USD": Decimal("3369.8125"),
        "GBP": Decimal("1362.50"),
        "CHF": Decimal("738.90"),
    }
    assert account.futures == {}
    # 11852.83 + 7136.2825 x 0.86 + 1949.75 x 1.15 + 916.85 x 1.06
    assert account.nav == Decimal("21204.10645")
    assert account.quantities[265598] == Decimal("2.125")


def test_the_totals_are_in_any_currency_asked_for(sandbox: StartSandbox) -> None:
    running = sandbox(today=TODAY)
    in_dollars = running.expected("USD")
    # 21204.10645 EUR / 0.86
    assert cents(in_dollars.total_nav) == Decimal("24655.94")
    assert cents(in_dollars.total_nav) == cents(
        in_dollars.total_market_value + in_dollars.total_cash + in_dollars.total_accrued
    )
    assert in_dollars.accounts[MAIN].nav == running.expected("EUR").accounts[MAIN].nav
    with pytest.raises(KeyError):
        running.expected("XXX")


def test_a_sale_moves_value_to_cash_less_its_commission(sandbox: StartSandbox) -> None:
    running = sandbox(today=TODAY)
    before = running.expected("EUR").accounts[MAIN]
    running.world.sell(MAIN, 265598, Decimal("1.125"), Decimal("230.5"))
    after = running.expected("EUR").accounts[MAIN]
    assert after.quantities[265598] == 1
    # 1.125 x 230.50 = 259.3125, booked as 259.31, less 1.
    assert after.cash["USD"] - before.cash["USD"] == Decimal("258.31")
    assert after.market_value["USD"] - before.market_value["USD"] == Decimal("-259.3125")


def world_of(*instruments: tuple[Instrument, str]) -> World:
    """One EUR account and the instruments at these prices, from the close before on."""
    market = Market(TODAY, date(2026, 1, 2), seed=1)
    for instrument, price in instruments:
        level = float(price)
        market.add(instrument, lambda _, level=level: level, live=Decimal(price))  # type: ignore[misc]
    return World(market, [Holder(MAIN, "EUR", "Ada Example", None, date(2026, 1, 2))])


def contract(conid: int, asset_class: str, units: str) -> Instrument:
    size = Decimal(units)
    return Instrument(conid, f"X{conid}", "X", asset_class, "EUR", "EUREX", "DE", multiplier=size, units=size)


def test_a_future_counts_by_what_is_not_in_cash_yet() -> None:
    """Two contracts of 5 bought at 100, settled at 104, now 103: 40 are in cash, -10 are not."""
    future = contract(1, "FUT", "5")
    world = world_of((future, "104"))
    world.buy(MAIN, 1, Decimal(2), Decimal(100), date(2026, 3, 2), commission=Decimal(-2))
    world.settle(date(2026, 3, 3))
    world.set_price(1, Decimal(103))
    account = expected(world, "EUR").accounts[MAIN]
    assert account.cash == {"EUR": Decimal("38.00")}
    assert account.futures == {"EUR": Decimal(-10)}
    assert account.nav == world.nav(MAIN) == Decimal(28)


def test_a_future_sold_today_leaves_its_last_profit_to_the_next_settlement() -> None:
    """Bought at 100, settled at 104, sold today at 106: 10 more per contract of 5 are not in cash yet."""
    future = contract(1, "FUT", "5")
    world = world_of((future, "104"))
    world.buy(MAIN, 1, Decimal(1), Decimal(100), date(2026, 3, 2), commission=Decimal(0))
    world.settle(date(2026, 3, 3))
    world.sell(MAIN, 1, Decimal(1), Decimal(106), commission=Decimal(0))
    account = expected(world, "EUR").accounts[MAIN]
    assert (account.cash["EUR"], account.futures["EUR"]) == (Decimal(20), Decimal(10))


def test_a_cfd_counts_by_its_profit_and_pays_it_when_closed() -> None:
    """30 at 50, now 52: 60. Ten closed at 52 pay 20, 40 stay."""
    cfd = contract(2, "CFD", "1")
    world = world_of((cfd, "52"))
    world.buy(MAIN, 2, Decimal(30), Decimal(50), date(2026, 3, 2), commission=Decimal(0))
    assert expected(world, "EUR").accounts[MAIN].market_value == {"EUR": Decimal(60)}
    world.sell(MAIN, 2, Decimal(10), Decimal(52), commission=Decimal(0))
    account = expected(world, "EUR").accounts[MAIN]
    assert (account.cash["EUR"], account.market_value["EUR"]) == (Decimal(20), Decimal(40))


def test_a_currency_pair_and_a_bond_by_hand() -> None:
    """10000 face of a bond at 98.5 percent are 9850; a pair adds nothing beside the cash it moved."""
    pair = Instrument(3, "EUR", "Euro", "CASH", "USD", "IDEALPRO", "EU")
    bond = contract(4, "BOND", "0.01")
    world = world_of((pair, "1.2"), (bond, "98.5"))
    world.market.add_rate("USD", 0.8, fixed=Decimal("0.8"))
    world.exchange(MAIN, "EUR", Decimal(100), "USD", TODAY, conid=3)
    world.buy(MAIN, 4, Decimal(10000), Decimal(98), commission=Decimal(0))
    account = expected(world, "EUR").accounts[MAIN]
    assert account.cash == {"EUR": Decimal(-9900), "USD": Decimal(125)}
    assert account.market_value == {"EUR": Decimal(9850)}
    assert account.quantities == {3: Decimal(-100), 4: Decimal(10000)}
    assert account.nav == Decimal(50)


@pytest.mark.parametrize("scenario", ["demo", "small", "empty"])
def test_what_is_served_is_what_is_expected(sandbox: StartSandbox, log_in: LogIn, scenario: str) -> None:
    running = sandbox(scenario, today=TODAY)
    client = log_in(running)
    for account in client.portfolio_accounts().data:
        name = account["id"]
        wanted = running.expected("EUR").accounts[name]
        ledger = client.get_ledger(name).data
        summary = client.portfolio_summary(name).data
        assert Decimal(str(summary["netliquidation"]["amount"])) == cents(wanted.nav)
        assert {k: Decimal(str(v["cashbalance"])) for k, v in ledger.items() if k != "BASE"} == {
            currency: wanted.cash.get(currency, Decimal(0)) for currency in ledger if currency != "BASE"
        }
        # The way a tracker goes: values at the ledger's rates, cash, accruals, and futures by the ledger.
        nav = Decimal(0)
        for row in client.positions2(name).data:
            if row["secType"] in ("FUT", "CASH"):
                continue
            field = "unrealizedPnl" if row["secType"] == "CFD" else "marketValue"
            nav += Decimal(str(row[field])) * Decimal(str(ledger[row["currency"]]["exchangerate"]))
        for currency, row in ledger.items():
            if currency != "BASE":
                amounts = ("cashbalance", "interest", "dividends", "futuresonlypnl")
                rate = Decimal(str(row["exchangerate"]))
                nav += sum(Decimal(str(row[amount])) for amount in amounts) * rate
        assert cents(nav) == cents(wanted.nav)
