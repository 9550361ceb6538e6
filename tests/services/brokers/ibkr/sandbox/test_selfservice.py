"""The sandbox's page for registrations: what it takes, what it gives, and what a new token does."""

import json
from pathlib import Path

import pytest
import requests

from stonks_overwatch.services.brokers.ibkr import keys
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from stonks_overwatch.services.brokers.ibkr.sandbox.selfservice import NotAcceptedError
from tests.conftest import StartSandbox
from tests.registering import have_keys, register

KEY = "SELFSERVE"


@pytest.fixture
def server(sandbox: StartSandbox) -> Sandbox:
    return sandbox()


@pytest.fixture
def made(tmp_path: Path) -> dict[str, str]:
    have_keys(tmp_path)
    return {name: (tmp_path / name).read_text() for name in keys.FILES}


def test_the_page_has_a_form_for_a_browser_and_answers_it_with_the_token(
    server: Sandbox, made: dict[str, str]
) -> None:
    page = requests.get(server.portal_url, timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")
    assert 'name="dh_parameters"' in page.text
    answer = requests.post(
        server.portal_url,
        data={"consumer_key": KEY},
        files={
            "signature_key": made[keys.PUBLIC_SIGNATURE],
            "encryption_key": made[keys.PUBLIC_ENCRYPTION],
            "dh_parameters": made[keys.PARAMETERS],
        },
        timeout=10,
    )
    assert server.oauth.users[KEY].access_token in answer.text


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"consumer_key": "short"}, "nine capital letters"),
        ({"signature_key": "private"}, "must never be uploaded"),
        ({"encryption_key": "nonsense"}, "not an RSA key"),
        ({"dh_parameters": "nonsense"}, "not in PEM form"),
    ],
)
def test_what_ibkr_would_not_take_is_refused(
    changed: dict[str, str], says: str, server: Sandbox, made: dict[str, str]
) -> None:
    given = {
        "consumer_key": KEY,
        "signature_key": made[keys.PUBLIC_SIGNATURE],
        "encryption_key": made[keys.PUBLIC_ENCRYPTION],
        "dh_parameters": made[keys.PARAMETERS],
        **{
            name: made[keys.PRIVATE_SIGNATURE] if text == "private" else text
            for name, text in changed.items()
        },
    }
    with pytest.raises(NotAcceptedError, match=says):
        server.selfservice.register(
            given["consumer_key"], given["signature_key"], given["encryption_key"], given["dh_parameters"]
        )
    answer = requests.post(server.portal_url, json=given, headers={"Accept": "application/json"}, timeout=10)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_a_registration_outlives_the_server_and_a_new_token_replaces_the_old_one(
    sandbox: StartSandbox, tmp_path: Path, sandbox_directory: Path
) -> None:
    have_keys(tmp_path)
    token, _ = register(sandbox(), tmp_path, KEY, "U7654321")
    again = sandbox()
    assert again.oauth.users[KEY].access_token == token
    assert again.oauth.users[KEY].accounts == ("U7654321",)
    newer, _ = again.selfservice.new_token(KEY)
    assert newer != token
    kept = json.loads((sandbox_directory / "registrations.json").read_text())
    assert newer in {user["access_token"] for user in kept}
    with pytest.raises(NotAcceptedError):
        again.selfservice.new_token("UNKNOWNKE")
