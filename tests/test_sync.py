import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from filelock import FileLock

from stonks_overwatch import paths, sync
from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerTimeoutError,
    BrokerUnreachableError,
    CredentialsRefusedError,
    SyncInterruptedError,
    SyncRunningError,
    UnexpectedAnswerError,
)
from stonks_overwatch.ledger.models import InboxItem, SyncRun
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrCall, IbkrQuestion
from stonks_overwatch.services.brokers.ibkr.sandbox import preset
from tests.conftest import StartSandbox

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Login:
    name: str = "main"
    start_date: date = date(2020, 1, 1)
    update_frequency_minutes: int = 15


@pytest.fixture
def config_file() -> Iterator[Path]:
    """A configuration that was last changed long before the runs of these tests."""
    file = paths.config_file()
    file.write_text("{}")
    os.utime(file, (0, 0))
    yield file
    file.unlink()


def ran(minutes_ago: int, status: str = "ok", code: str = "", retry_at: datetime | None = None) -> None:
    at = NOON - minutes_ago * MINUTE
    SyncRun.objects.create(
        broker="ibkr",
        login="main",
        status=status,
        started_at=at,
        finished_at=at + MINUTE,
        error_code=code,
        retry_at=retry_at,
    )


def is_due() -> bool:
    return sync.is_due("ibkr", Login(), NOON)


@pytest.mark.django_db
def test_a_login_that_never_ran_is_due() -> None:
    assert is_due()


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["ok", "partial"])
def test_a_login_is_due_when_its_update_frequency_has_passed(status: str) -> None:
    ran(minutes_ago=14, status=status)
    assert not is_due()
    assert sync.is_due("ibkr", Login(), NOON + MINUTE)


@pytest.mark.django_db
def test_runs_of_another_login_do_not_count() -> None:
    ran(minutes_ago=1)
    assert sync.is_due("ibkr", Login(name="other"), NOON)


@pytest.mark.django_db
def test_a_run_that_was_ended_on_the_way_is_due_again() -> None:
    ran(minutes_ago=1, status="failed", code=SyncInterruptedError.code)
    assert is_due()


@pytest.mark.django_db
def test_a_run_is_not_due_while_one_is_at_work_and_due_when_its_process_is_gone() -> None:
    ran(minutes_ago=60, status="running")
    assert is_due()
    with FileLock(paths.data_dir() / "locks" / "ibkr-main.lock"):
        assert not is_due()


@pytest.mark.django_db
def test_refused_credentials_are_tried_again_only_after_the_configuration_changed(config_file: Path) -> None:
    ran(minutes_ago=60 * 24 * 30, status="failed", code=CredentialsRefusedError.code)
    assert not is_due()
    os.utime(config_file, (NOON.timestamp(), NOON.timestamp()))
    assert is_due()


@pytest.mark.django_db
def test_nothing_is_sent_before_the_time_the_broker_asked_to_wait_for(config_file: Path) -> None:
    ran(minutes_ago=120, status="partial", code=BrokerBusyError.code, retry_at=NOON + MINUTE)
    assert not is_due()
    assert sync.is_due("ibkr", Login(), NOON + MINUTE)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "failures", "pause_minutes"),
    [
        # What passes by itself: 1, 2, 4, 8 and then the frequency of 15 minutes.
        (BrokerUnreachableError.code, 1, 1),
        (BrokerTimeoutError.code, 2, 2),
        (BrokerUnreachableError.code, 4, 8),
        (BrokerUnreachableError.code, 5, 15),
        (BrokerUnreachableError.code, 12, 15),
        # The rest: 15, 30, 60 and so on up to four hours.
        (UnexpectedAnswerError.code, 1, 15),
        (UnexpectedAnswerError.code, 2, 30),
        (UnexpectedAnswerError.code, 3, 60),
        (UnexpectedAnswerError.code, 12, 240),
    ],
)
def test_the_pause_grows_with_the_failures_in_a_row(
    code: str, failures: int, pause_minutes: int, config_file: Path
) -> None:
    ran(minutes_ago=10_000)
    for n in range(failures):
        ran(minutes_ago=1_000 * (failures - 1 - n), status="failed", code=code)
    last_at = NOON
    assert not sync.is_due("ibkr", Login(), last_at + pause_minutes * MINUTE - timedelta(seconds=1))
    assert sync.is_due("ibkr", Login(), last_at + pause_minutes * MINUTE)


@pytest.mark.django_db
def test_a_login_that_is_at_work_is_not_run_twice() -> None:
    with (
        FileLock(paths.data_dir() / "locks" / "ibkr-main.lock"),
        pytest.raises(SyncRunningError, match="ibkr main is running"),
    ):
        sync.run("ibkr", Login())
    assert not SyncRun.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("where", "fields", "meant"),
    [
        ("POST pa/transactions", ("date", "rawDate"), "activities"),
        ("GET portfolio/*/ledger", ("cashbalance",), "cash"),
    ],
)
def test_a_run_of_which_not_one_row_could_be_read_says_so_each_time(
    where: str, fields: tuple[str, ...], meant: str, sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = sandbox("small")
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(broker.config_file))
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", broker.rest_url)
    broker.world.buy("U7654321", 265598, Decimal(1000), Decimal(230))
    broker.faults.add(replace(preset("missing_fields"), where=where, fields=fields))

    for _ in range(2):
        for asked in (IbkrCall, IbkrQuestion):
            asked.objects.all().delete()  # it may ask, and about the same thing
        (run,) = sync.run_all("ibkr")

        assert (run.status, run.error_code) == ("partial", "unexpected_answer")
        assert run.error_what == (
            f"None of the {meant} that were told of U7654321 could be read; the rows are in the inbox."
        )
        assert "inbox of the sync page" in run.error_next_step
        assert run.positions
    assert InboxItem.objects.exists()
