"""Two logins with an account each, from the set-up to the pages; and one account that both can see."""

import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from stonks_overwatch import ibkr_setup
from stonks_overwatch.management.command import Command
from stonks_overwatch.management.commands import doctor, holdings, sync
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrCall
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.conftest import StartSandbox
from tests.registering import have_keys, register

pytestmark = pytest.mark.django_db(transaction=True)

OWN, FAMILY = "U7654321", "U2468013"


@pytest.fixture
def server(sandbox: StartSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    running = sandbox("demo")
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
    monkeypatch.setattr(
        pace,
        "wait",
        lambda seconds: IbkrCall.objects.update(last_at=F("last_at") - timedelta(seconds=seconds)),
    )
    return running


def connect(server: Sandbox, folder: Path, login: str, consumer_key: str, accounts: str) -> None:
    certs = folder / "ibkr_certs" / login
    have_keys(certs)
    ibkr_setup.enter_consumer_key(login, consumer_key)
    ibkr_setup.enter_token(login, *register(server, certs, consumer_key, accounts))


@pytest.fixture
def two_logins(server: Sandbox, tmp_path: Path) -> Sandbox:
    connect(server, tmp_path, "own", "OWNLOGINA", OWN)
    connect(server, tmp_path, "family", "FAMLOGINA", FAMILY)
    return server


def printed(command: Command, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON document of a command."""
    name = command.__module__.rpartition(".")[2]
    capsys.readouterr()
    with suppress(SystemExit):  # 1, when a run has failed or a finding is an error
        command.run_from_argv(["stonks-overwatch", name, *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_each_login_is_synced_and_named_everywhere(
    two_logins: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = printed(sync.Command(), capsys)["runs"]
    assert [(run["login"], run["status"], run["counts"]["accounts"]) for run in runs] == [
        ("own", "ok", 1),
        ("family", "ok", 1),
    ]
    document = printed(holdings.Command(), capsys)
    assert {account["account"] for account in document["accounts"]} == {OWN, FAMILY}
    assert {row["account"] for row in document["holdings"]} == {OWN, FAMILY}

    findings = printed(doctor.Command(), capsys, "--port", "0")["findings"]
    texts = {finding["check"]: finding["what"] for finding in findings}
    assert texts["accounts (own)"] == f"The login may read {OWN}."
    assert texts["accounts (family)"] == f"The login may read {FAMILY}."
    assert {finding["status"] for finding in findings} == {"ok"}

    reader = Client(headers={"host": "127.0.0.1"})
    for address in ("/", "/holdings", "/accounts", "/sync", "/settings", "/connect/ibkr"):
        page = reader.get(address).content.decode()
        assert "own" in page, address
        assert "family" in page, address


def test_a_login_that_is_refused_leaves_the_other_one_alone(
    two_logins: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    two_logins.selfservice.new_token("FAMLOGINA")
    runs = printed(sync.Command(), capsys)["runs"]
    assert [(run["login"], run["status"]) for run in runs] == [("own", "ok"), ("family", "failed")]
    page = Client(headers={"host": "127.0.0.1"}).get("/").content.decode()
    assert "sync of IBKR family" in page
    findings = printed(doctor.Command(), capsys, "--port", "0")["findings"]
    assert [finding["check"] for finding in findings if finding["status"] == "error"] == ["login (family)"]


def test_an_account_that_two_logins_see_is_counted_once(
    server: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(server, tmp_path, "own", "OWNLOGINA", "")
    first = printed(sync.Command(), capsys)["runs"]
    assert first[0]["counts"]["accounts"] == 2
    alone = printed(holdings.Command(), capsys)
    connect(server, tmp_path, "family", "FAMLOGINA", FAMILY)
    again = printed(sync.Command(), capsys)["runs"]
    assert [run["counts"]["accounts"] for run in again] == [2, 1]
    together = printed(holdings.Command(), capsys)
    assert together["totals"]["nav_base"] == alone["totals"]["nav_base"]
    assert together["accounts"] == alone["accounts"]
    held = [(row["account"], row["broker_ref"], row["quantity"]) for row in alone["holdings"]]
    assert [(row["account"], row["broker_ref"], row["quantity"]) for row in together["holdings"]] == held
