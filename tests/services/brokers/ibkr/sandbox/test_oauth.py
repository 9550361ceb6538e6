"""The server's side of the login: IBKR's arithmetic, and every wrong credential refused."""

import base64
import json
import re
import stat
from pathlib import Path

import pytest
import requests
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA
from ibind.support.errors import ExternalBrokerError

from stonks_overwatch.errors import ConfigError
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox, preset
from stonks_overwatch.services.brokers.ibkr.sandbox.oauth import (
    base_string,
    hmac_signature,
    session_token,
    token_signature,
)
from tests.conftest import StartSandbox
from tests.services.brokers.ibkr.sandbox.conftest import LogIn

# Made with iBind 0.2.2's own functions: p = 2^64 - 59, g = 2, a = 0x123456789abcdef0.
PRIME, A = 0xFFFFFFFFFFFFFFC5, 0x619652CD6E451B54
SECRET = bytes(range(0x10, 0x30))
FIELDS = {
    "oauth_consumer_key": "TESTCONS",
    "oauth_nonce": "AbCdEfGhIjKlMn01",
    "oauth_signature_method": "HMAC-SHA256",
    "oauth_timestamp": "1700000000",
    "oauth_token": "0123456789abcdef0123",
}


@pytest.mark.parametrize(
    ("b", "shared", "token", "signature"),
    [
        # 64 bits long: Java writes a zero byte before it.
        (5, 0x835C1C32328FF487, "uhJTjn7C+IQ5xCpvUGkuCR/sB2Y=", "33f232b25c43f9cb23b94108944ebab945354faa"),
        # 60 bits long: an odd number of hex digits.
        (24, 0xC3C6A3124C541B3, "+LeSYv2fIofm36homDYJoRmq4f4=", "8d01824a30ee5f3f9119224539e2753a8d7f29a1"),
    ],
)
def test_the_session_token_is_the_one_that_ibind_computes(
    b: int, shared: int, token: str, signature: str
) -> None:
    assert pow(A, b, PRIME) == shared
    assert base64.b64encode(session_token(shared, SECRET)).decode() == token
    assert token_signature(session_token(shared, SECRET), "TESTCONS") == signature


def test_a_call_is_signed_over_method_address_and_parameters() -> None:
    text = base_string("GET", "https://api.ibkr.com/v1/api/portfolio/accounts", FIELDS)
    assert text == (
        "GET&https%3A%2F%2Fapi.ibkr.com%2Fv1%2Fapi%2Fportfolio%2Faccounts&oauth_consumer_key%3DTESTCONS"
        "%26oauth_nonce%3DAbCdEfGhIjKlMn01%26oauth_signature_method%3DHMAC-SHA256"
        "%26oauth_timestamp%3D1700000000%26oauth_token%3D0123456789abcdef0123"
    )
    token = base64.b64decode("uhJTjn7C+IQ5xCpvUGkuCR/sB2Y=")
    assert hmac_signature(text, token) == "aMSJVBINO6TxXYtGjzV18dUun3muimW0nP3Y7JbSt3M="


def test_a_login_is_signed_with_the_secret_before_everything() -> None:
    fields = FIELDS | {"oauth_signature_method": "RSA-SHA256", "diffie_hellman_challenge": f"{A:x}"}
    url = "https://api.ibkr.com/v1/api/oauth/live_session_token"
    assert base_string("POST", url, fields, SECRET.hex()) == (
        "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2fPOST&"
        "https%3A%2F%2Fapi.ibkr.com%2Fv1%2Fapi%2Foauth%2Flive_session_token&"
        "diffie_hellman_challenge%3D619652cd6e451b54%26oauth_consumer_key%3DTESTCONS"
        "%26oauth_nonce%3DAbCdEfGhIjKlMn01%26oauth_signature_method%3DRSA-SHA256"
        "%26oauth_timestamp%3D1700000000%26oauth_token%3D0123456789abcdef0123"
    )


def test_ibind_logs_in_and_its_calls_are_recorded(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox()
    client = log_in(running)
    assert client.portfolio_accounts().data[0]["id"] == "U7654321"
    assert [(call.method, call.path, call.status, call.bad_signature) for call in running.calls] == [
        ("POST", "oauth/live_session_token", 200, None),
        ("GET", "portfolio/accounts", 200, None),
    ]


def encrypted(directory: Path, secret: bytes) -> str:
    key = RSA.import_key((directory / "private_encryption.pem").read_bytes())
    return base64.b64encode(PKCS1_v1_5.new(key.public_key()).encrypt(secret)).decode()


@pytest.mark.parametrize(
    ("replaced", "answer"),
    [
        ({"consumer_key": "SOMEOTHER"}, "invalid consumer"),
        ({"access_token": "0" * 20}, "No access secret key found for 00000000000000000000"),
        ({"realm": "test_realm"}, "invalid consumer"),
    ],
)
def test_a_wrong_key_or_token_is_refused(
    sandbox: StartSandbox, log_in: LogIn, replaced: dict[str, str], answer: str
) -> None:
    with pytest.raises(ExternalBrokerError, match=answer) as refused:
        log_in(sandbox(), **replaced)
    assert refused.value.status_code == 401


def test_a_secret_of_another_token_is_refused(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox()
    other = encrypted(running.config_file.parent, b"x" * 32)
    with pytest.raises(ExternalBrokerError, match="Invalid signature"):
        log_in(running, access_token_secret=other)
    assert running.calls[0].bad_signature == "bad signature"


def test_a_signature_of_another_key_is_refused(sandbox: StartSandbox, log_in: LogIn) -> None:
    with pytest.raises(ExternalBrokerError, match="Invalid signature"):
        log_in(sandbox(), signature_key=RSA.generate(1024).export_key().decode())


def test_another_prime_gives_another_token_as_with_ibkr(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox()
    prime = json.loads(running.config_file.read_text())["ibkr"]["credentials"]["dh_prime"]
    smaller = f"{int(prime, 16) // 3 | 1:x}"
    with pytest.raises(RuntimeError, match="validation failed"):
        log_in(running, dh_prime=smaller)


def test_a_login_of_another_time_is_refused(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox()
    running.faults.add(preset("clock_skew"))
    with pytest.raises(ExternalBrokerError, match="Invalid timestamp"):
        log_in(running)


def test_a_new_login_replaces_the_older_one(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox()
    first = log_in(running)
    log_in(running)
    with pytest.raises(ExternalBrokerError) as refused:
        first.portfolio_accounts()
    assert refused.value.status_code == 401


def test_an_older_login_can_be_let_live(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox()
    running.oauth.keep_older_tokens = True
    first = log_in(running)
    log_in(running)
    assert first.portfolio_accounts().data


def test_after_logout_every_call_is_refused_until_the_next_login(
    sandbox: StartSandbox, log_in: LogIn
) -> None:
    running = sandbox()
    client = log_in(running)
    assert client.logout().data == {"status": True}
    with pytest.raises(ExternalBrokerError):
        client.tickle()
    assert log_in(running).tickle().data["session"]


def test_a_call_without_or_with_a_made_up_signature_is_refused(sandbox: StartSandbox, log_in: LogIn) -> None:
    running = sandbox()
    client = log_in(running)
    assert requests.get(f"{running.rest_url}portfolio/accounts", timeout=5).status_code == 401
    headers = client._get_headers("GET", f"{running.rest_url}portfolio/accounts")
    signed = headers["Authorization"]
    forged = re.sub(r'oauth_signature="[^"]+"', 'oauth_signature="AAAA"', signed)
    for header, path in ((forged, "portfolio/accounts"), (signed, "portfolio/U7654321/ledger")):
        answer = requests.get(running.rest_url + path, headers={"Authorization": header}, timeout=5)
        assert answer.status_code == 401
    assert [call.bad_signature for call in running.calls[1:]] == [
        "no or unknown credentials",
        "bad signature",
        "bad signature",
    ]


def test_keys_and_config_are_for_their_owner_only_and_are_kept(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    with Sandbox.start(directory, scenario="empty") as first:
        before = {file.name: file.read_bytes() for file in directory.iterdir()}
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}
        assert first.config_file == directory / "config.json"
    with Sandbox.start(directory, scenario="empty"):
        assert {file.name: file.read_bytes() for file in directory.iterdir()} == before


def test_a_config_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    own = tmp_path / "config.json"
    own.write_text('{"base_currency": "CHF"}')
    with pytest.raises(ConfigError, match="something else"):
        Sandbox.start(tmp_path, scenario="empty")
    assert own.read_text() == '{"base_currency": "CHF"}'
