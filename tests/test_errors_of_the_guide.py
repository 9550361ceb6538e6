"""The errors that the user guide names, each provoked at the sandbox and met where a user meets them.

Each ends in a sentence and a next step: in `sync --json`, on the page and in the log, without a secret.
"""

import base64
import html
import json
import logging
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA
from Crypto.Util.number import getPrime
from django.conf import settings
from django.test import Client

from stonks_overwatch.ledger.models import SyncRun
from stonks_overwatch.management.commands.sync import Command
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox, preset
from tests.hours import WORKING, its_clock, moment

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class User:
    """Somebody at the sandbox with a config.json of their own. `change` corrupts it."""

    broker: Sandbox
    file: Path
    secrets: set[str]
    capsys: pytest.CaptureFixture[str]

    def change(self, **credentials: str) -> None:
        document = json.loads(self.file.read_text())
        document["ibkr"]["credentials"].update(credentials)
        self.file.write_text(json.dumps(document))

    def credential(self, name: str) -> str:
        return str(json.loads(self.file.read_text())["ibkr"]["credentials"][name])

    def error(self) -> dict[str, str]:
        """The error of `stonks-overwatch sync --json`, once it is known to say the same everywhere."""
        with pytest.raises(SystemExit) as end:
            Command().run_from_argv(["stonks-overwatch", "sync", "--json"])
        assert end.value.code == 1
        out, err = self.capsys.readouterr()
        (run,) = json.loads(out)["runs"]
        error: dict[str, str] = run["error"]
        assert run["status"] == "failed"
        assert error["what"].endswith(".")
        assert error["next_step"].endswith(".")
        assert f"error: {error['what']}\nnext step: {error['next_step']}\n" in err
        log = (settings.DATA_DIR / "logs" / "stonks-overwatch.log").read_text()
        assert f"{error['code']}: {error['what']}" in log
        page = html.unescape(Client(headers={"host": "localhost"}).get("/sync").text)
        assert error["what"] in page
        assert error["next_step"] in page
        for text in (out, err, log, page):
            assert not [secret for secret in self.secrets if secret in text]
        return error


@pytest.fixture
def user(
    sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[User]:
    broker = sandbox("small")
    file = tmp_path / "config.json"
    document = json.loads(broker.config_file.read_text())
    document["ibkr"]["timeout_seconds"] = 1
    credentials = document["ibkr"]["credentials"]
    secrets = {credentials["access_token"], credentials["access_token_secret"], credentials["dh_prime"]}
    for name in ("encryption_key_fp", "signature_key_fp"):
        key = Path(credentials[name])
        secrets |= {line for line in key.read_text().splitlines() if not line.startswith("-----")}
        credentials[name] = str(shutil.copy(key, tmp_path))
    file.write_text(json.dumps(document))
    file.chmod(0o600)
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(file))
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", broker.rest_url)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield User(broker, file, secrets, capsys)
    logging.root.handlers, logging.root.level = handlers, level


@pytest.fixture(scope="module")
def other_key() -> RSA.RsaKey:
    return RSA.generate(2048)


# --- authentication failed ------------------------------------------------------------------------


WRONG = {"consumer_key": "WRONGKEYX", "access_token": "0123456789abcdef0123"}


@pytest.mark.parametrize(("name", "wrong"), WRONG.items())
def test_a_wrong_consumer_key_or_access_token_is_refused_and_named(name: str, wrong: str, user: User) -> None:
    user.change(**{name: wrong})
    error = user.error()
    assert error["code"] == "credentials_refused"
    assert name in error["next_step"]


def test_a_wrong_access_token_secret_is_refused_and_named(user: User) -> None:
    key = RSA.import_key(Path(user.credential("encryption_key_fp")).read_text())
    other = PKCS1_v1_5.new(key).encrypt(b"another secret of the same form")
    user.change(access_token_secret=base64.b64encode(other).decode())
    error = user.error()
    assert error["code"] == "credentials_refused"
    assert "access_token_secret" in error["next_step"]


def test_a_wrong_prime_is_refused_and_named(user: User) -> None:
    user.change(dh_prime=f"{getPrime(2048):x}")
    error = user.error()
    assert error["code"] == "credentials_refused"
    assert "dh_prime" in error["next_step"]


def test_a_signature_key_of_another_pair_is_refused_and_named(user: User, other_key: RSA.RsaKey) -> None:
    Path(user.credential("signature_key_fp")).write_bytes(other_key.export_key())
    error = user.error()
    assert error["code"] == "credentials_refused"
    assert "signature_key_fp" in error["next_step"]


def test_an_encryption_key_of_another_pair_is_found_before_anything_is_sent(
    user: User, other_key: RSA.RsaKey
) -> None:
    Path(user.credential("encryption_key_fp")).write_bytes(other_key.export_key())
    error = user.error()
    assert error["code"] == "config_invalid"
    assert "encryption key" in error["next_step"]
    assert user.broker.calls == []


def test_swapped_keys_are_found_before_anything_is_sent(user: User) -> None:
    encryption, signature = user.credential("encryption_key_fp"), user.credential("signature_key_fp")
    user.change(encryption_key_fp=signature, signature_key_fp=encryption)
    error = user.error()
    assert error["code"] == "config_invalid"
    assert "swap" in (error["what"] + error["next_step"]).lower()
    assert user.broker.calls == []


def test_refused_credentials_are_not_sent_again_by_themselves(user: User) -> None:
    user.change(consumer_key="WRONGKEYX")
    user.error()
    assert [call.path for call in user.broker.calls] == ["oauth/live_session_token"]


# --- key file not found ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["encryption_key_fp", "signature_key_fp"])
def test_a_key_file_that_is_not_there_is_named_with_its_path_and_its_key(name: str, user: User) -> None:
    path = Path(user.credential(name))
    path.unlink()
    error = user.error()
    assert error["code"] == "key_file_missing"
    assert str(path) in error["what"]
    assert f"ibkr.credentials.{name}" in error["what"] + error["next_step"]
    assert user.broker.calls == []


# --- timeout, unreachable, down -------------------------------------------------------------------


def test_a_broker_that_does_not_answer_is_a_timeout(user: User) -> None:
    user.broker.faults.add(Fault("stall", "GET portfolio/accounts", seconds=30))
    error = user.error()
    assert error["code"] == "timeout"
    assert "timeout_seconds" in error["next_step"]


def test_an_address_where_nobody_listens_is_unreachable(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", f"http://127.0.0.1:{port}/v1/api/")
    assert user.error()["code"] == "unreachable"


def test_a_broker_that_is_down_is_unavailable(user: User) -> None:
    user.broker.faults.add(preset("unavailable_html"))
    user.broker.faults.add(its_clock(moment(*WORKING)))
    assert user.error()["code"] == "unavailable"


@pytest.mark.parametrize("fault", ["unavailable", "unavailable_html", "html"])
@pytest.mark.parametrize(("when", "said"), [((2, 1, 10), "nightly reset"), ((5, 22), "weekend maintenance")])
def test_a_broker_that_is_down_at_its_own_hours_is_said_to_be(
    user: User, fault: str, when: tuple[int, ...], said: str
) -> None:
    user.broker.faults.add(preset(fault))
    user.broker.faults.add(its_clock(moment(*when)))
    error = user.error()
    assert error["code"] == "maintenance"
    assert f"this is the hour of its {said}" in error["what"]


# --- rate limited ---------------------------------------------------------------------------------


def test_too_many_calls_say_until_when_nothing_is_sent(user: User) -> None:
    user.broker.faults.add(preset("busy"))
    error = user.error()
    assert error["code"] == "rate_limited"
    row = SyncRun.objects.get()
    assert row.retry_at is not None
    assert row.retry_at > datetime.now(UTC) + timedelta(minutes=1)
    assert f"{row.retry_at:%H:%M}" in error["what"] + error["next_step"]

    sent = len(user.broker.calls)
    assert user.error()["code"] == "rate_limited"
    assert len(user.broker.calls) == sent


# --- Web API not enabled --------------------------------------------------------------------------


def test_a_web_api_that_is_not_enabled_says_where_to_look(user: User) -> None:
    user.broker.faults.add(preset("not_enabled"))
    error = user.error()
    assert error["code"] == "web_api_not_enabled"


# --- no data showing ------------------------------------------------------------------------------


def test_no_open_positions_is_no_error_and_is_said(
    user: User, sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", sandbox("empty").rest_url)
    Command().run_from_argv(["stonks-overwatch", "sync", "--json"])
    (run,) = json.loads(user.capsys.readouterr().out)["runs"]
    assert run["status"] == "ok"
    assert run["counts"]["positions"] == 0
    assert run["error"] is None
    page = Client(headers={"host": "localhost"}).get("/holdings").text
    assert "no open positions" in page.lower()
