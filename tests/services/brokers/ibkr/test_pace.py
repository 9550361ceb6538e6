import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from stonks_overwatch import config
from stonks_overwatch.errors import BrokerBusyError
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.client import client
from stonks_overwatch.services.brokers.ibkr.pace import PENALTIES, NotDueError, Pacer
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrCall, IbkrPenalty
from tests.conftest import StartSandbox

ADDRESS = "https://api.ibkr.com/v1/api/"


@pytest.fixture
def pacer(db: None, waits: list[float]) -> Pacer:
    return Pacer("ABCDEFGHI", ADDRESS)


def call(pacer: Pacer, endpoint: str) -> None:
    with pacer.turn(endpoint):
        pass


def seconds_since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def test_a_first_call_does_not_wait(pacer: Pacer, waits: list[float]) -> None:
    call(pacer, "portfolio/accounts")
    call(pacer, "pa/performance")

    assert not waits


def test_a_second_call_waits_for_the_rest_of_the_five_seconds(pacer: Pacer, waits: list[float]) -> None:
    call(pacer, "portfolio/accounts")
    IbkrCall.objects.update(last_at=datetime.now(UTC) - timedelta(seconds=2))

    call(pacer, "portfolio/accounts")

    assert waits == [pytest.approx(3, abs=0.5)]


def test_endpoints_do_not_wait_for_each_other(pacer: Pacer, waits: list[float]) -> None:
    call(pacer, "portfolio/accounts")
    call(pacer, "portfolio/subaccounts")
    call(pacer, "portfolio/{a}/ledger")

    assert not waits


def test_a_quarter_of_an_hour_is_not_waited_for(pacer: Pacer, waits: list[float]) -> None:
    call(pacer, "pa/transactions")

    with pytest.raises(NotDueError) as caught:
        call(pacer, "pa/transactions")

    assert not waits
    assert not pacer.is_due("pa/transactions")
    # 15 minutes is what IBKR documents for it.
    assert -900 < seconds_since(caught.value.retry_at) < -890
    assert caught.value.retry_at == pacer.due_at("pa/transactions")


def test_a_call_is_due_again_after_its_time(pacer: Pacer) -> None:
    call(pacer, "pa/transactions")
    IbkrCall.objects.update(last_at=datetime.now(UTC) - timedelta(seconds=901))

    assert pacer.is_due("pa/transactions")
    call(pacer, "pa/transactions")


def test_the_time_counts_from_the_end_of_a_call(pacer: Pacer) -> None:
    with pacer.turn("portfolio/accounts"):
        IbkrCall.objects.update(last_at=datetime.now(UTC) - timedelta(seconds=30))  # it took that long

    assert seconds_since(IbkrCall.objects.get().last_at) < 5


def test_a_restart_forgets_nothing(pacer: Pacer) -> None:
    call(pacer, "pa/performance")

    with pytest.raises(NotDueError):
        call(Pacer("ABCDEFGHI", ADDRESS), "pa/performance")


def test_other_logins_and_other_addresses_have_their_own_pace(pacer: Pacer) -> None:
    call(pacer, "pa/performance")

    call(Pacer("OTHERKEYS", ADDRESS), "pa/performance")
    call(Pacer("ABCDEFGHI", "http://127.0.0.1:5000/v1/api/"), "pa/performance")


def test_the_consumer_key_is_not_written_down(pacer: Pacer) -> None:
    call(pacer, "pa/performance")
    pacer.penalise()

    assert "ABCDEFGHI" not in IbkrCall.objects.get().pace_key + IbkrPenalty.objects.get().pace_key


def test_a_clock_that_was_set_back_does_not_block_for_ever(pacer: Pacer) -> None:
    call(pacer, "pa/performance")
    pacer.penalise()
    IbkrCall.objects.update(last_at=datetime.now(UTC) + timedelta(days=365))
    IbkrPenalty.objects.update(blocked_until=datetime.now(UTC) + timedelta(days=365))

    assert pacer.is_due("pa/performance")
    call(pacer, "pa/performance")
    assert seconds_since(IbkrCall.objects.get().last_at) < 5


@pytest.mark.django_db(transaction=True)
def test_processes_that_meet_get_different_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    late: list[NotDueError] = []
    monkeypatch.setattr(pace, "wait", lambda seconds: slept.append(seconds) if seconds else None)

    def ask() -> None:
        try:
            call(Pacer("ABCDEFGHI", ADDRESS), "portfolio/accounts")
        except NotDueError as err:
            late.append(err)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # One goes at once, one five seconds later; the turns after that are further away than is waited for.
    assert slept == [pytest.approx(5, abs=2)]
    assert len(late) == 2


def test_fifty_calls_a_second_are_not_reached(pacer: Pacer, waits: list[float]) -> None:
    for _ in range(41):
        call(pacer, "portfolio/{a}/ledger")

    assert waits == [pytest.approx(1, abs=0.5)]


def test_penalties_grow_and_are_forgiven_after_a_quiet_day(pacer: Pacer) -> None:
    def penalty() -> timedelta:
        busy = pacer.penalise()
        IbkrPenalty.objects.update(blocked_until=datetime.now(UTC))  # and it is over
        return timedelta(seconds=-seconds_since(busy.retry_at))

    second = timedelta(seconds=1)
    assert [penalty() + second > wanted for wanted in (*PENALTIES, PENALTIES[-1])] == [True] * 4
    IbkrPenalty.objects.update(blocked_until=datetime.now(UTC) - timedelta(days=1, minutes=1))
    assert penalty() <= timedelta(minutes=10)


def test_nothing_is_sent_while_a_penalty_lasts(pacer: Pacer) -> None:
    busy = pacer.penalise()

    for endpoint in ("portfolio/accounts", "portfolio/{a}/ledger", "oauth/live_session_token"):
        with pytest.raises(BrokerBusyError) as caught:
            call(Pacer("ABCDEFGHI", ADDRESS), endpoint)
        assert caught.value.retry_at == busy.retry_at

    IbkrPenalty.objects.update(blocked_until=datetime.now(UTC) - timedelta(seconds=1))
    call(pacer, "portfolio/accounts")


def test_the_documented_limits_are_kept_for_real(
    sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    """With real waits, against a server that answers 429 to whatever comes too early."""
    running = sandbox("small", pace=True)
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
    ibkr = client(config.load(running.config_file).ibkr[0])

    for _ in range(2):
        ibkr.tickle()
    for _ in range(60):
        ibkr.portfolio_account_information("U7654321")

    assert not [seen for seen in running.calls if seen.too_early or seen.status != 200]
