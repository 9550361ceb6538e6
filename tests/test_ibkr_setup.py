"""The steps of a connection: what is checked, what is written, what is left alone."""

import json
import stat
from pathlib import Path

import pytest

from stonks_overwatch import config, ibkr_setup
from stonks_overwatch.errors import ConfigError
from stonks_overwatch.services.brokers.ibkr import credentials, keys
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.conftest import StartSandbox
from tests.registering import have_keys, register

CONSUMER_KEY = "STEPBYSTE"

TEMPLATE_IN_USE = """{
    "base_currency": "CHF",
    "ibkr": {
        "start_date": "2019-05-01",
        "credentials": {
            "consumer_key": "YOUR_CONSUMER_KEY", "access_token": "YOUR_ACCESS_TOKEN",
            "access_token_secret": "YOUR_ACCESS_TOKEN_SECRET", "dh_prime": "config/ibkr_certs/dhparam.pem",
            "encryption_key": "YOUR_KEY", "signature_key_fp": "config/ibkr_certs/x.pem"
        },
        "accounts": ["U1234567"]
    },
    "degiro": {"enabled": false}
}
"""


@pytest.fixture
def server(sandbox: StartSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    running = sandbox()
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
    return running


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    folder = tmp_path / "ibkr_certs"
    have_keys(folder)
    return folder


@pytest.mark.parametrize("typed", ["REHEARSE", "REHEARSALS", "REHEARS4L", "ÄEHEARSAL", "", "YOUR_KEYS"])
def test_a_consumer_key_that_cannot_be_one_is_refused(typed: str, certs: Path, server: Sandbox) -> None:
    with pytest.raises(ConfigError, match="9 letters from A to Z"):
        ibkr_setup.enter_consumer_key("", typed)
    assert ibkr_setup.look("").stage == "registration"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("", ""), "is empty"),
        (("{secret}", "{token}"), "are exchanged"),
        (("{token}", "{half}"), "it is cut, or it was made for another key"),
        (("{token}", "{secret}!"), "is not base64 text"),
        (("{token}", "{foreign}"), "was not made for this encryption key"),
        (("ab cd", "{secret}"), "has a blank inside"),
    ],
)
def test_a_piece_that_cannot_be_right_is_told_before_anything_is_written(
    typed: tuple[str, str], says: str, certs: Path, server: Sandbox
) -> None:
    token, secret = register(server, certs, CONSUMER_KEY)
    ibkr_setup.enter_consumer_key("", CONSUMER_KEY)
    of_another_user = config.load(server.config_file).ibkr[0].credentials.access_token_secret.reveal()
    values = {"token": token, "secret": secret, "half": secret[:172], "foreign": of_another_user}
    given, given_secret = (text.format(**values) for text in typed)
    with pytest.raises(ConfigError, match=says):
        ibkr_setup.enter_token("", given, given_secret)
    assert not certs.with_name("config.json").exists()
    assert ibkr_setup.look("").stage == "token"


def test_a_secret_that_was_wrapped_by_the_browser_is_taken(certs: Path, server: Sandbox) -> None:
    token, secret = register(server, certs, CONSUMER_KEY)
    ibkr_setup.enter_consumer_key("", CONSUMER_KEY)
    ibkr_setup.enter_token("", f" {token}\n", f"{secret[:100]}\n  {secret[100:]}\r\n")
    (login,) = config.load().ibkr
    assert login.credentials.access_token_secret.reveal() == secret
    credentials.prepare(login)


def test_the_users_other_keys_stay_and_the_former_file_is_kept(certs: Path, server: Sandbox) -> None:
    file = certs.with_name("config.json")
    file.write_text(TEMPLATE_IN_USE)
    assert ibkr_setup.look("").stage == "registration"
    token, secret = register(server, certs, CONSUMER_KEY)
    ibkr_setup.enter_consumer_key("", CONSUMER_KEY)
    copy = ibkr_setup.enter_token("", token, secret)
    written = json.loads(file.read_text())
    assert list(written) == ["base_currency", "ibkr", "degiro"]
    assert written["base_currency"] == "CHF"
    assert list(written["ibkr"])[:3] == ["start_date", "credentials", "accounts"]
    assert written["ibkr"]["start_date"] == "2019-05-01"
    assert written["ibkr"]["accounts"] == ["U1234567"]
    assert "encryption_key" not in written["ibkr"]["credentials"]
    assert written["ibkr"]["credentials"]["signature_key_fp"] == str(certs / keys.PRIVATE_SIGNATURE)
    assert file.read_text().startswith('{\n    "base_currency"')
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert copy is not None
    assert copy.read_text() == TEMPLATE_IN_USE
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_login_gets_a_name_when_a_second_one_joins_it(certs: Path, server: Sandbox) -> None:
    for login, consumer_key in (("", CONSUMER_KEY), ("family", "FAMILYKEY"), ("club", "CLUBSKEYS")):
        folder = certs / login
        have_keys(folder)
        token, secret = register(server, folder, consumer_key)
        ibkr_setup.enter_consumer_key(login, consumer_key)
        ibkr_setup.enter_token(login, token, secret)
    assert [login.name for login in config.load().ibkr] == ["first", "family", "club"]
    assert [login.credentials.consumer_key.reveal() for login in config.load().ibkr] == [
        CONSUMER_KEY,
        "FAMILYKEY",
        "CLUBSKEYS",
    ]
    with pytest.raises(ConfigError, match="3 logins: first, family, club"):
        ibkr_setup.choose(None)
    assert ibkr_setup.choose("FAMILY") == "family"


def test_a_new_registration_leaves_the_one_in_use_alone_until_its_token_is_there(
    certs: Path, server: Sandbox
) -> None:
    ibkr_setup.enter_consumer_key("", CONSUMER_KEY)
    ibkr_setup.enter_token("", *register(server, certs, CONSUMER_KEY))
    file = certs.with_name("config.json")
    in_use = file.read_text()
    keys_in_use = {name: (certs / name).read_bytes() for name in keys.FILES}

    ibkr_setup.begin_anew("")
    setup = ibkr_setup.look("")
    assert setup.stage == "keys"
    assert setup.folder.parent == certs
    assert file.read_text() == in_use

    have_keys(setup.folder)
    ibkr_setup.enter_consumer_key("", "SECONDKEY")
    ibkr_setup.enter_token("", *register(server, setup.folder, "SECONDKEY"))
    credentials.prepare(config.load().ibkr[0])
    assert str(setup.folder) in file.read_text()
    assert {name: (certs / name).read_bytes() for name in keys.FILES} == keys_in_use


def test_no_name_means_the_only_login_whatever_its_name(certs: Path, server: Sandbox) -> None:
    have_keys(certs / "paper")
    ibkr_setup.enter_consumer_key("paper", CONSUMER_KEY)
    ibkr_setup.enter_token("paper", *register(server, certs / "paper", CONSUMER_KEY))
    assert ibkr_setup.choose(None) == "paper"
    assert ibkr_setup.choose("") == "paper"


@pytest.mark.parametrize("name", ["../../etc", "a/b", ".hidden", "x" * 51])
def test_a_name_that_would_leave_the_folder_is_refused(name: str, server: Sandbox) -> None:
    with pytest.raises(ConfigError, match="A login's name has letters"):
        ibkr_setup.choose(name)


@pytest.mark.django_db
def test_a_try_is_repeated_soon_at_first_and_hourly_later(certs: Path, server: Sandbox) -> None:
    ibkr_setup.enter_consumer_key("", CONSUMER_KEY)
    ibkr_setup.enter_token("", *register(server, certs, CONSUMER_KEY))
    server.selfservice.new_token(CONSUMER_KEY)  # so the one in config.json is not known any more
    assert ibkr_setup.try_login("") == []
    setup = ibkr_setup.look("")
    assert setup.notes.outcome == "waiting"
    assert setup.notes.tried_at is not None
    assert setup.next_try_at == setup.notes.tried_at + ibkr_setup.SOON
    notes = json.loads((certs / "setup.json").read_text())
    notes["waiting_since"] = "2026-01-01T00:00:00Z"
    (certs / "setup.json").write_text(json.dumps(notes))
    setup = ibkr_setup.look("")
    assert setup.notes.tried_at is not None
    assert setup.next_try_at == setup.notes.tried_at + ibkr_setup.LATER
