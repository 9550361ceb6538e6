"""Each fault does what its name says, to the requests it names, as many times as it says."""

import json
import math
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

import pytest
import requests
from ibind import IbkrClient
from ibind.support.errors import ExternalBrokerError

from stonks_overwatch.services.brokers.ibkr.sandbox import PRESETS, Fault, Sandbox, preset
from tests.conftest import StartSandbox
from tests.services.brokers.ibkr.sandbox.conftest import LogIn

TODAY = date(2026, 3, 4)
ACCOUNT = "U7654321"
APPLE = 265598


@pytest.fixture
def running(sandbox: StartSandbox) -> Sandbox:
    return sandbox(today=TODAY)


@pytest.fixture
def client(running: Sandbox, log_in: LogIn) -> IbkrClient:
    """Logged in, the accounts asked for."""
    client = log_in(running)
    client.portfolio_accounts()
    return client


def refused(call: object, *arguments: object) -> ExternalBrokerError:
    """The error that a call ends in."""
    assert callable(call)
    with pytest.raises(ExternalBrokerError) as error:
        call(*arguments)
    return error.value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("login_401", "No access secret key found for"),
        ("login_unknown_consumer", "invalid consumer"),
        ("login_wrong_signature", "Invalid signature"),
    ],
)
def test_a_login_is_refused(running: Sandbox, log_in: LogIn, name: str, text: str) -> None:
    running.faults.add(preset(name))
    error = refused(log_in, running)
    assert error.status_code == 401
    assert text in str(error)


def test_a_wrong_session_token_is_noticed_by_the_client(running: Sandbox, log_in: LogIn) -> None:
    running.faults.add(preset("login_wrong_lst"))
    with pytest.raises(RuntimeError, match="validation failed"):
        log_in(running)


def test_a_token_expires_in_the_middle_and_a_new_login_goes_on(
    running: Sandbox, client: IbkrClient, log_in: LogIn
) -> None:
    running.faults.add(preset("token_expired"))
    client.get_ledger(ACCOUNT)
    client.portfolio_summary(ACCOUNT)
    error = refused(client.get_ledger, ACCOUNT)
    assert error.status_code == 401
    assert "Access token expired" in str(error)
    assert log_in(running).portfolio_accounts().data


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("unauthorized", 401),
        ("unavailable", 503),
        ("unavailable_html", 503),
        ("server_error", 500),
        ("not_enabled", 403),
        ("gone", 410),
        ("busy", 429),
    ],
)
def test_every_call_is_answered_with_an_error(
    running: Sandbox, client: IbkrClient, name: str, status: int
) -> None:
    running.faults.add(preset(name))
    assert refused(client.get_ledger, ACCOUNT).status_code == status


@pytest.mark.parametrize("name", ["html", "empty", "truncated"])
def test_an_answer_with_status_200_is_no_json(running: Sandbox, client: IbkrClient, name: str) -> None:
    running.faults.add(preset(name))
    assert "invalid JSON" in str(refused(client.get_ledger, ACCOUNT))


def test_an_answer_with_status_200_is_an_error_object(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("error_object"))
    assert client.positions(ACCOUNT).data == {"error": "not available"}


def test_access_is_not_enabled_at_the_accounts_only(running: Sandbox, log_in: LogIn) -> None:
    running.faults.add(preset("not_enabled_accounts"))
    client = log_in(running)
    assert refused(client.portfolio_accounts).status_code == 403
    assert client.tickle().data


def test_a_connection_is_reset(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("reset"))
    with pytest.raises(requests.ConnectionError, match=r"reset|aborted"):
        requests.get(f"{running.rest_url}portfolio/accounts", timeout=5)
    assert running.calls[-1].status == 0
    assert running.calls[-1].faults == ("reset",)


def test_a_connection_is_cut_off_inside_an_answer(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("cut_off"))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, ExternalBrokerError)):
        client.get_ledger(ACCOUNT)


def test_an_answer_never_comes_and_the_sandbox_ends_all_the_same(running: Sandbox, log_in: LogIn) -> None:
    client = log_in(running, timeout=0.5)
    running.faults.add(preset("stall"))
    with pytest.raises(TimeoutError):
        client.tickle()
    running.stop()


def test_an_answer_comes_late(running: Sandbox, log_in: LogIn) -> None:
    client = log_in(running, timeout=1.0)
    running.faults.add(preset("slow", seconds=0.1, times=1))
    assert client.tickle().data
    running.faults.add(preset("slow", seconds=5.0, times=1))
    with pytest.raises(TimeoutError):
        client.tickle()


def test_a_redirect_leads_to_an_address_that_was_not_signed(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("redirect"))
    assert refused(client.portfolio_accounts).status_code == 401
    assert [(call.path, call.status) for call in running.calls[-2:]] == [
        ("portfolio/accounts", 302),
        ("moved/portfolio/accounts", 401),
    ]


def test_the_first_positions_are_fewer_than_there_are(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("incomplete_positions"))
    assert [len(client.positions(ACCOUNT).data) for _ in range(3)] == [3, 3, 6]
    assert len(client.positions2(ACCOUNT).data) == 6


def test_a_row_comes_on_two_pages_and_another_on_none(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox("large", today=TODAY)
    client = log_in(running)
    client.portfolio_accounts()
    running.faults.add(preset("shifting_pages"))
    first, second = (
        [row["conid"] for row in client.positions(ACCOUNT, page=page, sort="conid", direction="a").data]
        for page in (0, 1)
    )
    assert len(first) == len(second) == 100
    assert second[0] == first[-1]
    assert 500000100 not in first + second  # the hundredth one by number, from zero


def test_pages_still_show_what_was_sold(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("stale_positions"))
    running.world.sell(ACCOUNT, APPLE, Decimal("2.125"))
    held = {row["conid"]: row["position"] for row in client.positions(ACCOUNT).data}
    fresh = {row["conid"]: row["position"] for row in client.positions2(ACCOUNT).data}
    assert (held[APPLE], fresh[str(APPLE)]) == (2.125, 0.0)


@pytest.mark.parametrize("endpoint", ["positions", "positions2"])
def test_prices_are_missing(running: Sandbox, client: IbkrClient, endpoint: str) -> None:
    field = {"positions": "mktPrice", "positions2": "marketPrice"}[endpoint]
    read = getattr(client, endpoint)
    for name, is_so in (
        ("nan_prices", math.isnan),
        ("zero_prices", lambda price: price == 0.0),
        ("null_prices", lambda price: price is None),
    ):
        running.faults.clear()
        running.faults.add(preset(name))
        prices = [row[field] for row in read(ACCOUNT).data]
        assert prices
        assert all(is_so(price) for price in prices)


def test_fields_are_missing_or_new_and_conids_of_the_other_type(running: Sandbox, client: IbkrClient) -> None:
    client.positions(ACCOUNT)
    running.faults.add(preset("missing_fields"))
    assert "name" not in client.positions(ACCOUNT).data[0]
    running.faults.clear()
    running.faults.add(preset("missing_fields", fields=("currency", "conid")))
    assert {"currency", "conid"}.isdisjoint(client.positions(ACCOUNT).data[0])
    running.faults.clear()
    running.faults.add(preset("extra_fields"))
    assert client.positions(ACCOUNT).data[0]["newField"] == {
        "value": [1, None, "x"],
    }
    running.faults.clear()
    running.faults.add(preset("conid_type"))
    assert client.positions(ACCOUNT).data[0]["conid"] == str(APPLE)
    assert client.positions2(ACCOUNT).data[0]["conid"] == APPLE


def test_the_first_ledger_lacks_currencies(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("ledger_incomplete"))
    assert set(client.get_ledger(ACCOUNT).data) == {"EUR", "BASE"}
    assert set(client.get_ledger(ACCOUNT).data) == {"EUR", "USD", "GBP", "CHF", "BASE"}


def test_only_the_transactions_fail(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("transactions_500"))
    assert refused(client.transaction_history, [ACCOUNT], [APPLE], "EUR").status_code == 500
    assert client.account_performance([ACCOUNT], "1M").data["nd"]


def test_a_repeated_nonce_is_told_and_refused_if_strict(running: Sandbox, client: IbkrClient) -> None:
    url = f"{running.rest_url}portfolio/accounts"
    headers = client._get_headers("GET", url)
    assert [requests.get(url, headers=headers, timeout=5).status_code for _ in range(2)] == [200, 200]
    assert [call.repeated_nonce for call in running.calls[-2:]] == [False, True]
    running.faults.add(preset("strict_nonce"))
    assert requests.get(url, headers=headers, timeout=5).status_code == 401
    assert client.portfolio_accounts().data


def test_the_clock_of_the_server_is_wrong(running: Sandbox) -> None:
    running.faults.add(preset("clock_skew"))
    answer = requests.get(f"{running.rest_url}tickle", timeout=5)
    ahead = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
    assert 590 < ahead.total_seconds() < 610


def test_a_fault_waits_and_ends_and_can_be_cleared(running: Sandbox, client: IbkrClient) -> None:
    running.faults.add(preset("server_error", where="GET portfolio/*/ledger", after=1, times=2))
    statuses = []
    for _ in range(4):
        try:
            client.get_ledger(ACCOUNT)
            statuses.append(200)
        except ExternalBrokerError as error:
            statuses.append(error.status_code or 0)
    assert statuses == [200, 500, 500, 200]
    assert running.faults.active()[0]["matched"] == 4
    running.faults.add(preset("unavailable"))
    running.faults.clear()
    assert client.get_ledger(ACCOUNT).data


def test_a_fault_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(ValueError, match="login_401"):
        preset("no_such_thing")
    with pytest.raises(ValueError, match="stall"):
        Fault("no_such_effect")  # type: ignore[arg-type]


# Pace


def test_a_call_too_early_boxes_everything_for_ten_minutes(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox(today=TODAY, pace=True)
    client = log_in(running)
    client.portfolio_accounts()
    assert refused(client.portfolio_accounts).status_code == 429
    assert refused(client.get_ledger, ACCOUNT).status_code == 429
    assert refused(log_in, running).status_code == 429
    assert [call.too_early for call in running.calls] == [False, False, True, False, False]
    assert running.pacing.is_boxed(time.monotonic() + 9 * 60)
    assert not running.pacing.is_boxed(time.monotonic() + 11 * 60)


def test_each_analysis_is_due_every_quarter_of_an_hour(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox(today=TODAY, pace=True)
    client = log_in(running)
    client.all_periods([ACCOUNT])
    client.account_performance([ACCOUNT], "1Y")
    client.transaction_history([ACCOUNT], [APPLE], "EUR")
    assert refused(client.transaction_history, [ACCOUNT], [272093], "EUR").status_code == 429


def test_without_pace_calls_too_early_are_told_and_answered(running: Sandbox, client: IbkrClient) -> None:
    client.portfolio_accounts()
    assert running.calls[-1].too_early
    assert running.calls[-1].status == 200


def test_pace_can_be_switched_off_while_it_runs(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox(today=TODAY, pace=True)
    running.faults.add(preset("no_pace"))
    client = log_in(running)
    client.portfolio_accounts()
    assert client.portfolio_accounts().data


# Control over HTTP


def test_faults_are_set_and_cleared_over_http(running: Sandbox, client: IbkrClient) -> None:
    faults = f"{running.control_url}faults"
    assert requests.get(faults, timeout=5).json() == []
    assert requests.post(faults, json={"name": "busy"}, timeout=5).json()[0]["effect"] == "box"
    assert refused(client.get_ledger, ACCOUNT).status_code == 429
    requests.delete(faults, timeout=5)
    assert client.get_ledger(ACCOUNT).data  # the penalty has ended too
    own = {"effect": "missing_fields", "where": "GET portfolio/*/ledger", "fields": ["exchangerate"]}
    requests.post(faults, json=own, timeout=5)
    assert "exchangerate" not in client.get_ledger(ACCOUNT).data["USD"]


@pytest.mark.parametrize("wrong", ['{"name": "no_such"}', '{"effect": "slow", "x": 1}', "{", "[]"])
def test_a_wrong_fault_over_http_is_told(running: Sandbox, wrong: str) -> None:
    answer = requests.post(f"{running.control_url}faults", data=wrong, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_trade_and_what_is_expected_go_over_http(running: Sandbox, client: IbkrClient) -> None:
    trade = {"account": ACCOUNT, "conid": APPLE, "quantity": "-2.125", "price": "240"}
    assert requests.post(f"{running.control_url}trade", json=trade, timeout=5).json()["held"] == "0.000"
    expected = requests.get(f"{running.control_url}expected?base=EUR", timeout=5).json()
    account = expected["accounts"][ACCOUNT]
    assert str(APPLE) not in account["quantities"]
    assert account["cash"]["USD"]["rounded"] == "4275.47"  # 3766.47 + 510 - 1
    summary = client.portfolio_summary(ACCOUNT).data["netliquidation"]["amount"]
    assert Decimal(str(summary)) == Decimal(account["nav"]["rounded"])
    calls = requests.get(f"{running.control_url}calls", timeout=5).json()
    assert [call["path"] for call in calls] == [call.path for call in running.calls]


def test_every_preset_is_json_for_the_control() -> None:
    for name in PRESETS:
        assert json.dumps(preset(name).where)
