"""What iBind reads from the sandbox: every endpoint, and the quirks that a tracker has to live with."""

from datetime import date
from decimal import Decimal

import pytest
import requests
from ibind import IbkrClient
from ibind.support.errors import ExternalBrokerError

from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.conftest import StartSandbox
from tests.services.brokers.ibkr.sandbox.conftest import LogIn

TODAY = date(2026, 3, 4)
ACCOUNT = "U7654321"
APPLE, MICROSOFT, VWCE = 265598, 272093, 370573480


@pytest.fixture
def running(sandbox: StartSandbox) -> Sandbox:
    return sandbox(today=TODAY)


@pytest.fixture
def client(running: Sandbox, log_in: LogIn) -> IbkrClient:
    """Logged in, the accounts asked for."""
    client = log_in(running)
    client.portfolio_accounts()
    return client


def status_of(error: pytest.ExceptionInfo[ExternalBrokerError]) -> object:
    """The status that the server answered with."""
    return error.value.status_code


# Session


def test_tickle_gives_the_same_cookie_and_says_that_there_is_no_brokerage_session(client: IbkrClient) -> None:
    first, second = client.tickle().data, client.tickle().data
    assert first["session"] == second["session"]
    assert first["iserver"]["authStatus"]["authenticated"] is False
    assert first["hmds"] == {"error": "no bridge"}


def test_iserver_answers_after_the_brokerage_session_is_open_only(client: IbkrClient) -> None:
    for call in (
        client.receive_brokerage_accounts,
        lambda: client.currency_exchange_rate("USD", "EUR"),
        lambda: client.currency_pairs("EUR"),
    ):
        with pytest.raises(ExternalBrokerError, match="initialize_brokerage_session"):
            call()
    client.initialize_brokerage_session(compete=False)
    assert client.authentication_status().data["authenticated"] is True
    assert client.receive_brokerage_accounts().data["accounts"] == [ACCOUNT]
    assert client.currency_exchange_rate("USD", "EUR").data == {"rate": 0.86}
    assert {"symbol": "EUR.USD", "conid": 15000001, "ccyPair": "USD"} in client.currency_pairs("EUR").data[
        "EUR"
    ]
    with pytest.raises(ExternalBrokerError) as unknown:
        client.currency_exchange_rate("XXX", "EUR")
    assert status_of(unknown) == 400


# Portfolio


def test_an_account_is_told_before_anything_of_it(running: Sandbox, log_in: LogIn) -> None:
    client = log_in(running)
    with pytest.raises(ExternalBrokerError, match="query /portfolio/accounts first"):
        client.get_ledger(ACCOUNT)
    [account] = client.portfolio_accounts().data
    assert (account["accountId"], account["currency"], account["type"]) == (ACCOUNT, "EUR", "INDIVIDUAL")
    assert client.portfolio_account_information(ACCOUNT).data == account
    assert client.portfolio_subaccounts().data == [account]


def test_an_unknown_account_is_401_in_portfolio_and_500_in_pa(client: IbkrClient) -> None:
    with pytest.raises(ExternalBrokerError) as in_portfolio:
        client.get_ledger("U0000000")
    with pytest.raises(ExternalBrokerError) as in_pa:
        client.account_performance(["U0000000"], "1Y")
    assert (status_of(in_portfolio), status_of(in_pa)) == (401, 500)


def test_the_ledger_has_every_currency_and_their_sum(client: IbkrClient) -> None:
    ledger = client.get_ledger(ACCOUNT).data
    assert set(ledger) == {"EUR", "USD", "GBP", "CHF", "BASE"}
    # 7000 - 1.5 x 190 - 0.625 x 200 - 2 x 3 x 470, four commissions of 1, and a dividend of 0.55 less 0.08.
    assert ledger["USD"]["cashbalance"] == 3766.47
    assert ledger["USD"]["exchangerate"] == 0.86
    assert ledger["USD"]["stockmarketvalue"] == 3369.81  # 2.125 x 230.5 + 6 x 480
    assert ledger["GBP"]["dividends"] == 13.5  # 50 x 0.27, announced and not paid
    assert ledger["EUR"]["issueroptionsmarketvalue"] == 1105.2  # 60 x 18.42
    assert ledger["BASE"]["cashbalance"] == pytest.approx(
        sum(row["cashbalance"] * row["exchangerate"] for key, row in ledger.items() if key != "BASE"),
        abs=0.01,
    )
    assert ledger["BASE"]["netliquidationvalue"] == 21204.11


def test_the_summary_tells_nav_to_the_cent(client: IbkrClient) -> None:
    summary = client.portfolio_summary(ACCOUNT).data
    assert summary["netliquidation"]["amount"] == 21204.11
    assert summary["netliquidation"]["currency"] == "EUR"
    assert summary["accountcode"]["value"] == ACCOUNT
    assert summary["accruedcash"]["amount"] == 4.12
    assert {"netliquidation-s", "netliquidation-c", "buyingpower"} < set(summary)


def test_the_first_positions_lack_contract_data(client: IbkrClient) -> None:
    cold, warm = client.positions(ACCOUNT).data, client.positions(ACCOUNT).data
    assert len(cold) == len(warm) == 6
    assert len(cold[0]) == 21
    assert cold[0]["multiplier"] is None
    assert cold[0]["strike"] == 0.0
    assert warm[0]["multiplier"] == 0.0
    assert warm[0]["strike"] == "0"
    assert (warm[0]["name"], warm[0]["ticker"]) == ("APPLE INC", "AAPL")
    assert warm[0]["chineseName"].startswith("&#x82F9;")


def test_a_fraction_of_a_share_and_a_long_description_are_whole(client: IbkrClient) -> None:
    rows = {row["conid"]: row for row in client.positions(ACCOUNT).data}
    assert rows[APPLE]["position"] == 2.125
    assert len(rows[712345678]["contractDesc"]) == 60


def test_an_etf_has_no_sector(client: IbkrClient) -> None:
    client.positions(ACCOUNT)
    [etf] = [row for row in client.positions(ACCOUNT).data if row["conid"] == VWCE]
    assert etf["type"] == "ETF"
    assert etf["sector"] is etf["group"] is etf["sectorGroup"] is None


def test_invalidating_makes_the_next_positions_cold_again(client: IbkrClient) -> None:
    client.positions(ACCOUNT)
    assert "name" in client.positions(ACCOUNT).data[0]
    assert client.invalidate_backend_portfolio_cache(ACCOUNT).data == {"message": "success"}
    assert "name" not in client.positions(ACCOUNT).data[0]


def test_portfolio2_is_fresh_exact_and_sends_the_conid_as_text(running: Sandbox, client: IbkrClient) -> None:
    running.world.set_price(APPLE, Decimal("230.50099182128906"))
    row = client.positions2(ACCOUNT).data[0]
    assert row["conid"] == str(APPLE)
    assert row["marketPrice"] == 230.50099182128906
    assert row["marketValue"] == 489.81460762023926  # 2.125 x the price = 489.8146076202392525
    cached = client.positions(ACCOUNT).data[0]
    assert (cached["mktPrice"], cached["mktValue"]) == (230.5009918, 489.81)
    assert "name" not in row


def test_a_closed_position_stays_as_a_row_of_zero(running: Sandbox, client: IbkrClient) -> None:
    running.world.sell(ACCOUNT, MICROSOFT, Decimal(6), Decimal(490))
    [row] = [row for row in client.positions2(ACCOUNT).data if row["conid"] == str(MICROSOFT)]
    assert (row["position"], row["marketValue"], row["unrealizedPnl"]) == (0.0, 0.0, 0.0)
    # 6 x 490 less 6 x 470, and commissions of 1 each time.
    assert row["realizedPnl"] == 117.0


def test_pages_have_a_hundred_rows_and_end_when_sorted(sandbox: StartSandbox, log_in: LogIn) -> None:
    client = log_in(sandbox("large", today=TODAY))
    client.portfolio_accounts()
    pages = [
        client.positions(ACCOUNT, page=number, sort="position", direction="a").data for number in (0, 49, 50)
    ]
    assert [len(page) for page in pages] == [100, 100, 0]
    assert pages[0][0]["position"] <= pages[0][-1]["position"] <= pages[1][0]["position"]
    descending = client.positions(ACCOUNT, sort="position", direction="d").data
    assert descending[0]["position"] == pages[1][-1]["position"]
    # As recorded: without a sort column a page beyond the end is everything again.
    assert len(client.positions(ACCOUNT, page=50).data) == 5000


def test_allocation_adds_up_to_nav_without_what_is_accrued(client: IbkrClient) -> None:
    by_class = client.portfolio_account_allocation(ACCOUNT).data["assetClass"]
    assert by_class["long"]["IOPT"] == 1105.2
    # NAV 21204.10645 less 4.12 interest and 13.5 x 1.15 of dividends.
    assert sum(by_class["long"].values()) == pytest.approx(21184.46, abs=0.02)


# Instruments


def test_definitions_come_for_known_conids_and_at_most_two_hundred(client: IbkrClient) -> None:
    rows = client.security_definition_by_conid([str(APPLE), "999999", str(VWCE)]).data["secdef"]
    assert [row["conid"] for row in rows] == [APPLE, VWCE]
    assert (rows[0]["name"], rows[0]["currency"], rows[0]["strike"]) == ("APPLE INC", "USD", "0")
    with pytest.raises(ExternalBrokerError) as too_many:
        client.security_definition_by_conid([str(number) for number in range(201)])
    assert status_of(too_many) == 400


# PortfolioAnalyst


def test_performance_is_daily_nav_up_to_the_last_close(client: IbkrClient) -> None:
    answer = client.account_performance([ACCOUNT], "1Y").data
    nav = answer["nav"]
    [data] = nav["data"]
    assert nav["dates"][-1] == "20260303"  # the day before
    assert len(nav["dates"]) == len(data["navs"]) == answer["nd"]
    assert 255 <= answer["nd"] <= 262
    assert data["startNAV"]["date"] == "20250303"
    # Today's NAV is 21204.11; its prices have moved a little since the last close.
    assert data["navs"][-1] == pytest.approx(21204.11, rel=0.05)
    assert len(answer["cps"]["data"][0]["returns"]) == answer["nd"]
    assert answer["tpps"]["dates"][-1] == "202603"
    with pytest.raises(ExternalBrokerError) as invalid:
        client.account_performance([ACCOUNT], "5Y")
    assert status_of(invalid) == 400


def test_all_periods_has_a_key_for_each_account(sandbox: StartSandbox, log_in: LogIn) -> None:
    client = log_in(sandbox("demo", today=TODAY))
    answer = client.all_periods([ACCOUNT, "U2468013"]).data
    assert answer["U2468013"]["baseCurrency"] == "USD"
    assert answer[ACCOUNT]["periods"] == ["1D", "7D", "MTD", "1M", "YTD", "1Y"]
    assert answer[ACCOUNT]["1Y"]["dates"][-1] == "20260303"
    both = client.account_performance([ACCOUNT, "U2468013"], "1M").data["nav"]["data"]
    assert [row["baseCurrency"] for row in both] == ["EUR"]
    assert both[0]["navs"][-1] > answer[ACCOUNT]["1M"]["nav"][-1]


def test_two_fills_that_nothing_tells_apart_are_two_rows(client: IbkrClient) -> None:
    answer = client.transaction_history([ACCOUNT], [str(MICROSOFT)], "EUR").data
    first, second = answer["transactions"]
    assert first == second
    assert (first["rawDate"], first["type"], first["qty"]) == ("20260212", "Buy", 3.0)
    assert (first["pr"], first["amt"]) == (470.0, -1410.0)  # without commission
    assert first["date"] == "Thu Feb 12 00:00:00 EST 2026"


def test_transactions_reach_back_ninety_days_and_know_no_tax(running: Sandbox, client: IbkrClient) -> None:
    answer = client.transaction_history([ACCOUNT], [APPLE], "USD", days=1000).data
    assert (answer["to"] - answer["from"]) / 86_400_000 == 90
    dividend, buy = answer["transactions"]
    assert (dividend["type"], dividend["amt"]) == ("Dividend Payment", 0.55)
    assert "qty" not in dividend
    assert "pr" not in dividend
    assert (buy["qty"], buy["amt"]) == (0.625, -125.0)
    assert len(list(running.world.entries_of(ACCOUNT))) > len(answer["transactions"])


def test_a_sale_of_today_is_in_the_transactions(running: Sandbox, client: IbkrClient) -> None:
    running.world.sell(ACCOUNT, APPLE, Decimal("2.125"), Decimal(240))
    answer = client.transaction_history([ACCOUNT], [APPLE], "USD").data
    sale = answer["transactions"][0]
    assert (sale["rawDate"], sale["type"], sale["qty"], sale["amt"]) == ("20260304", "Sell", -2.125, 510.0)
    # 510 - 1.5 x 190 - 0.625 x 200 = 100, less three commissions of 1.
    assert answer["rpnl"]["data"][0]["amt"] == "97.0000"
    assert answer["rpnl"]["data"][0]["side"] == "G"


@pytest.mark.parametrize("conids", [[], ["1", "2"]])
def test_transactions_want_exactly_one_conid(client: IbkrClient, conids: list[str]) -> None:
    with pytest.raises(ExternalBrokerError) as refused:
        client.transaction_history([ACCOUNT], conids, "EUR")
    assert status_of(refused) == 400


# What is not served


def test_an_unknown_address_is_404(client: IbkrClient) -> None:
    with pytest.raises(ExternalBrokerError) as unknown:
        client.get("portfolio/nothing/here/at/all")
    assert status_of(unknown) == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "iserver/account/U7654321/orders"),
        ("post", "iserver/account/U7654321/orders/whatif"),
        ("post", "iserver/account/U7654321/order/1"),
        ("delete", "iserver/account/U7654321/order/1"),
        ("post", "iserver/reply/1"),
        ("post", "iserver/questions/suppress"),
        ("post", "iserver/account"),
        ("post", "iserver/dynaccount"),
        ("post", "iserver/reauthenticate"),
        ("post", "iserver/account/U7654321/alert"),
        ("post", "iserver/watchlist"),
        ("get", "md/regsnapshot"),
        ("get", "acesws/U7654321/signatures-and-owners"),
        ("post", "fyi/settings/A"),
        ("get", "gw/api/v1/accounts"),
        ("post", "iserver/scanner/run"),
        ("get", "hmds/history"),
    ],
)
def test_whatever_changes_or_costs_something_is_recorded_and_refused(
    running: Sandbox, client: IbkrClient, method: str, path: str
) -> None:
    with pytest.raises(ExternalBrokerError) as refused:
        getattr(client, method)(path)
    assert status_of(refused) == 403
    assert running.calls[-1].is_mutating
    assert not any(call.is_mutating for call in running.calls[:-1])


def test_a_post_without_length_is_411(running: Sandbox) -> None:
    class WithoutLength:
        def __iter__(self) -> "WithoutLength":
            return self

        def __next__(self) -> bytes:
            raise StopIteration

    answer = requests.post(f"{running.rest_url}tickle", data=WithoutLength(), timeout=5)
    assert answer.status_code == 411
