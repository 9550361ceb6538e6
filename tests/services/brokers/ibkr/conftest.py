"""An IBKR login whose address is the sandbox, with the waits written down in place of waited for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from stonks_overwatch import config
from stonks_overwatch.services.brokers.ibkr import client as client_module
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.client import ReadOnlyClient, client
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrCall
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.conftest import StartSandbox

Connect = Callable[..., tuple[Sandbox, ReadOnlyClient]]
LogIn = Callable[..., tuple[Sandbox, IbkrLogin]]


@pytest.fixture(autouse=True)
def working_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets IBKR's interruptions for the hour it happens to run at."""
    monkeypatch.setattr(client_module, "quiet_hours", lambda _: None)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds the product would have slept for, in order; for the limits that are kept, they pass."""
    slept: list[float] = []

    def wait(seconds: float) -> None:
        if seconds > 0:
            slept.append(seconds)
            IbkrCall.objects.update(last_at=F("last_at") - timedelta(seconds=seconds))

    monkeypatch.setattr(pace, "wait", wait)
    return slept


@pytest.fixture
def login(sandbox: StartSandbox, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Starts a sandbox and gives the login of its user: `login("demo", timeout_seconds=1)`."""

    def start(scenario: str = "small", **changes: Any) -> tuple[Sandbox, IbkrLogin]:
        running = sandbox(scenario)
        monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
        return running, config.load(running.config_file).ibkr[0].model_copy(update=changes)

    return start


@pytest.fixture
def connect(login: LogIn, db: None) -> Connect:
    """As `login`, with the login's client in place of the login."""

    def start(scenario: str = "small", **changes: Any) -> tuple[Sandbox, ReadOnlyClient]:
        running, user = login(scenario, **changes)
        return running, client(user)

    return start


def asked(sandbox: Sandbox) -> list[str]:
    """The calls that arrived, as "METHOD path"."""
    return [f"{call.method} {call.path}" for call in sandbox.calls]
