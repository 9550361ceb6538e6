import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stonks_overwatch import tasks
from stonks_overwatch.ledger.models import Account, DailySeries, LotBook, SyncRun
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.reports import builders
from tests.reports.packing import pack

pytestmark = pytest.mark.django_db(transaction=True)  # a task closes its connection at the end


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """Tasks run when they are called, instead of waiting in the queue for a consumer."""
    tasks.huey.immediate = True
    yield
    tasks.huey.immediate = False


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(tmp_path / "config.json"))
    return tmp_path / "config.json"


def outcomes() -> list[tuple[str, str, str]]:
    return list(SyncRun.objects.order_by("id").values_list("login", "status", "error_code"))


def test_without_a_configuration_nothing_runs(config_file: Path) -> None:
    tasks.enqueue_due()
    assert outcomes() == []


def test_a_configuration_that_cannot_be_read_is_recorded_once(config_file: Path) -> None:
    config_file.write_text("{,}")
    tasks.enqueue_due()
    tasks.enqueue_due()
    assert outcomes() == [("", "failed", "config_invalid")]


def test_every_login_that_is_due_runs_once(
    config_file: Path, sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = sandbox("small")
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", broker.rest_url)
    login = json.loads(broker.config_file.read_text())["ibkr"]
    missing = {**login["credentials"], "signature_key_fp": "/nowhere/private_signature.pem"}
    logins = [
        {**login, "name": "main"},
        {**login, "name": "second", "credentials": missing},
        {**login, "name": "resting", "enabled": False},
    ]
    config_file.write_text(json.dumps({"ibkr": logins}))
    tasks.enqueue_due()
    assert outcomes() == [("main", "ok", ""), ("second", "failed", "key_file_missing")]
    tasks.enqueue_due()
    assert len(outcomes()) == 2


def test_a_login_that_was_asked_for_runs_though_it_is_not_due(
    config_file: Path, sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = sandbox("empty")
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", broker.rest_url)
    config_file.write_text(broker.config_file.read_text())
    tasks.sync_login("ibkr", "")
    assert LotBook.objects.count() == Account.objects.count()  # worked out before a page asks
    tasks.sync_login("ibkr", "", only_if_due=True)
    tasks.sync_login("ibkr", "")
    assert outcomes() == [("", "ok", "")] * 2


def test_what_was_imported_is_worked_out_before_a_page_asks(config_file: Path) -> None:
    holder = builders.account("U1", positions_since=builders.NOW, cash_since=builders.NOW)
    builders.position(holder, builders.instrument("ABC"))
    builders.activity(holder, "deposit", gross="100")
    pack()
    builders.run("running")
    tasks.work_out_changes()
    assert LotBook.objects.count() == 1
    assert not DailySeries.objects.exists()  # the sync that is at work would change it at once
    SyncRun.objects.all().delete()
    tasks.work_out_changes()
    assert DailySeries.objects.exists()
