"""The page that connects a login, against the sandbox and its self-service page."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from filelock import FileLock

from stonks_overwatch import ibkr_setup, tasks
from stonks_overwatch.services.brokers.ibkr import keys
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox
from tests.conftest import StartSandbox
from tests.registering import have_keys, register
from tests.web.conftest import LOGIN, Configure

pytestmark = pytest.mark.django_db(transaction=True)  # a task closes its connection at the end

PAGE, STEP = "/connect/ibkr", "/connect/ibkr/step"
CONSUMER_KEY = "PAGEWIZAR"


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    tasks.huey.immediate = True
    yield
    tasks.huey.immediate = False


@pytest.fixture
def server(sandbox: StartSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    running = sandbox()
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
    monkeypatch.setenv("STONKS_OVERWATCH_IBKR_PORTAL_URL", running.portal_url)
    return running


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    return tmp_path / "ibkr_certs"


def shown(reader: Client, address: str = PAGE) -> str:
    answer = reader.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def enter(reader: Client, step: str, **values: str) -> str:
    """Send one form; returns the page that follows."""
    answer = reader.post(STEP, {"step": step, "login": "", **values}, follow=True)
    return answer.content.decode()


def test_the_steps_lead_from_keys_to_a_first_sync(reader: Client, server: Sandbox, certs: Path) -> None:
    assert "Make the keys" in shown(reader)
    have_keys(certs)
    page = shown(reader)
    assert server.portal_url in page
    assert str(certs / keys.PUBLIC_SIGNATURE) in page
    assert "private_signature.pem" not in page
    token, secret = register(server, certs, CONSUMER_KEY)
    assert "generate the access token" in enter(reader, "registration", consumer_key=CONSUMER_KEY)
    page = enter(reader, "token", access_token=token, access_token_secret=secret)
    assert "Connected" in page
    assert secret not in page
    assert (
        json.loads(certs.with_name("config.json").read_text())["ibkr"]["credentials"]["access_token"] == token
    )
    assert ("GET", "portfolio/accounts") in {(call.method, call.path) for call in server.calls}


def test_keys_are_made_while_the_page_goes_on(reader: Client, server: Sandbox, certs: Path) -> None:
    try:
        page = enter(reader, "keys")
        assert "Making <code>" in page
        assert 'hx-trigger="every 2s"' in page
    finally:
        keys.stop(certs)


def test_what_cannot_be_right_is_told_beside_the_form(reader: Client, server: Sandbox, certs: Path) -> None:
    have_keys(certs)
    assert "A consumer key has 9 letters" in enter(reader, "registration", consumer_key="X1")
    enter(reader, "registration", consumer_key=CONSUMER_KEY)
    page = enter(reader, "token", access_token="abc", access_token_secret="notbase64!!")
    assert "is not base64 text" in page
    assert "notbase64!!" not in page


@pytest.mark.usefixtures("server")
def test_a_mistyped_consumer_key_can_be_corrected(reader: Client, certs: Path) -> None:
    assert "Then: 2. Registration with IBKR, 3. Access token, 4. The first login." in shown(reader)
    have_keys(certs)
    assert "It is another one" in enter(reader, "registration", consumer_key="MISTYPEDX")
    page = enter(reader, "registration", consumer_key=CONSUMER_KEY)
    assert f"with the consumer key <code>{CONSUMER_KEY}</code>" in page
    assert "Then: 4. The first login." in page


def test_a_registration_that_is_not_active_is_waited_for_and_then_used(
    reader: Client, server: Sandbox, certs: Path
) -> None:
    have_keys(certs)
    token, secret = register(server, certs, CONSUMER_KEY)
    enter(reader, "registration", consumer_key=CONSUMER_KEY)
    server.faults.add(Fault("not_activated", "POST oauth/*", times=1))
    page = enter(reader, "token", access_token=token, access_token_secret=secret)
    assert "it is not active yet" in page
    assert "The next try is at" in page
    assert "Connected" in enter(reader, "try")


def test_the_background_tries_a_waiting_login_when_its_time_has_come_and_not_before(
    reader: Client, server: Sandbox, certs: Path
) -> None:
    have_keys(certs)
    token, secret = register(server, certs, CONSUMER_KEY)
    enter(reader, "registration", consumer_key=CONSUMER_KEY)
    server.faults.add(Fault("not_activated", "POST oauth/*", times=1))
    enter(reader, "token", access_token=token, access_token_secret=secret)
    asked = len(server.calls)
    tasks.continue_setups.call_local()
    assert len(server.calls) == asked
    notes = json.loads((certs / "setup.json").read_text())
    notes["tried_at"] = notes["waiting_since"] = "2026-01-01T00:00:00Z"
    (certs / "setup.json").write_text(json.dumps(notes))
    tasks.continue_setups.call_local()
    assert ibkr_setup.look("").stage == "connected"


def test_a_login_that_is_refused_is_not_tried_again_by_itself(
    reader: Client, server: Sandbox, certs: Path
) -> None:
    have_keys(certs)
    token, secret = register(server, certs, CONSUMER_KEY)
    enter(reader, "registration", consumer_key=CONSUMER_KEY)
    server.faults.add(Fault("wrong_signature", "POST oauth/*"))
    page = enter(reader, "token", access_token=token, access_token_secret=secret)
    assert "the signature does not fit the key that is registered" in page
    assert "It is not tried again by itself" in page
    assert "Check and save" in page


def test_only_what_is_uploaded_can_be_downloaded(reader: Client, server: Sandbox, certs: Path) -> None:
    have_keys(certs)
    answer = reader.get(f"{PAGE}/file/{keys.PUBLIC_SIGNATURE}")
    assert answer.status_code == 200
    assert answer.getvalue() == (certs / keys.PUBLIC_SIGNATURE).read_bytes()
    for name in (keys.PRIVATE_SIGNATURE, keys.PRIVATE_ENCRYPTION, "setup.json"):
        assert reader.get(f"{PAGE}/file/{name}").status_code == 404


def test_a_login_that_was_configured_by_hand_is_tested_and_its_keys_are_not_touched(
    reader: Client, configure: Configure
) -> None:
    file = configure()
    before = file.read_text()
    page = shown(reader)
    assert "Nobody has tried it here yet" in page
    page = enter(reader, "new")
    assert "Make the keys" in page
    assert file.read_text() == before


def test_several_logins_are_listed_by_name(reader: Client, configure: Configure) -> None:
    configure(ibkr=[{"name": "own", **LOGIN}, {"name": "family", **LOGIN}])
    page = shown(reader)
    assert "?login=own" in page
    assert "?login=family" in page
    assert "Make the keys" in shown(reader, f"{PAGE}?login=third")


def test_a_configuration_that_cannot_be_read_stops_the_steps(reader: Client, configure: Configure) -> None:
    file = configure("{")
    page = shown(reader)
    assert "needs a correction first" in page
    enter(reader, "registration", consumer_key=CONSUMER_KEY)
    assert file.read_text() == "{"


def test_steps_need_the_token_of_the_page(configure: Configure) -> None:
    configure()
    strict = Client(enforce_csrf_checks=True, headers={"host": "127.0.0.1"})
    assert strict.post(STEP, {"step": "new", "login": ""}).status_code == 403


def test_what_is_typed_stays_while_the_process_that_made_the_keys_ends(
    reader: Client, server: Sandbox, certs: Path
) -> None:
    keys.own_folder(certs)
    with FileLock(certs / "making.lock"):
        assert "every 2s" in shown(reader)
        have_keys(certs)
        page = shown(reader)
    assert server.portal_url in page
    assert "hx-trigger" not in page
