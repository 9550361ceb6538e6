"""`ibkr-setup` as a user runs it, against the sandbox and its self-service page."""

import json
import stat
import subprocess
from pathlib import Path

import pytest
import requests

from conftest import StartSandbox
from stonks_overwatch.services.brokers.ibkr import keys
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox
from stonks_overwatch.services.brokers.ibkr.sandbox.identity import PRIME
from tests.running import COMMAND, environment

CONSUMER_KEY = "REHEARSAL"


def set_up(
    folder: Path, server: Sandbox, *answers: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the command; what it asks for is read from the answers."""
    return subprocess.run(
        [*COMMAND, "ibkr-setup", *options],
        env=environment(
            folder,
            IBIND_OAUTH1A_REST_URL=server.rest_url,
            STONKS_OVERWATCH_IBKR_PORTAL_URL=server.portal_url,
        ),
        input="".join(f"{answer}\n" for answer in answers),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def have_parameters(certs: Path) -> None:
    """Parameters that are there already: to find new ones takes minutes."""
    keys.own_folder(certs)
    keys.write_private(certs / keys.PARAMETERS, keys.parameters_text(PRIME))


def upload(
    server: Sandbox, certs: Path, consumer_key: str = CONSUMER_KEY, accounts: str = ""
) -> tuple[str, str]:
    """What the user does in the browser; returns the access token and its secret."""
    answer = requests.post(
        server.portal_url,
        data={"consumer_key": consumer_key, "accounts": accounts},
        files={
            "signature_key": (certs / keys.PUBLIC_SIGNATURE).open("rb"),
            "encryption_key": (certs / keys.PUBLIC_ENCRYPTION).open("rb"),
            "dh_parameters": (certs / keys.PARAMETERS).open("rb"),
        },
        headers={"Accept": "application/json"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    given = answer.json()
    return given["access_token"], given["access_token_secret"]


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    folder = tmp_path / "ibkr_certs"
    have_parameters(folder)
    return folder


def test_from_nothing_to_a_login_that_works_with_an_interruption_in_between(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    begun = set_up(tmp_path, server)
    assert begun.returncode == 1
    assert server.portal_url in begun.stdout
    for name in keys.UPLOADS:
        assert str(certs / name) in begun.stdout
    assert "error: Consumer key (nine letters) is still to be entered." in begun.stderr

    token, secret = upload(server, certs)
    done = set_up(tmp_path, server, CONSUMER_KEY.lower(), token, secret)
    assert done.returncode == 0, done.stderr
    assert "login: IBKR accepts the login." in done.stdout
    assert "Connected." in done.stdout
    assert token not in done.stdout + done.stderr
    assert secret not in done.stdout + done.stderr

    written = json.loads((tmp_path / "config.json").read_text())
    assert written["ibkr"]["credentials"]["consumer_key"] == CONSUMER_KEY
    files = [tmp_path / "config.json", *certs.iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(certs.stat().st_mode) == 0o700

    again = set_up(tmp_path, server)
    assert again.returncode == 0
    assert "Connected." in again.stdout


def test_keys_that_are_there_are_not_made_again(tmp_path: Path, certs: Path, sandbox: StartSandbox) -> None:
    server = sandbox()
    set_up(tmp_path, server)
    before = {file.name: file.read_bytes() for file in certs.glob("*.pem")}
    set_up(tmp_path, server)
    assert {file.name: file.read_bytes() for file in certs.glob("*.pem")} == before


def test_a_registration_that_is_not_active_yet_is_waited_for_and_tried_again(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    set_up(tmp_path, server)
    token, secret = upload(server, certs)
    server.faults.add(Fault("not_activated", "POST oauth/*", times=1))
    waits = set_up(tmp_path, server, CONSUMER_KEY, token, secret)
    assert waits.returncode == 1
    assert "it is not active yet" in waits.stderr
    assert "goes on from here" in waits.stderr
    notes = json.loads((certs / "setup.json").read_text())
    assert notes["outcome"] == "waiting"
    assert secret not in json.dumps(notes)
    assert set_up(tmp_path, server).returncode == 0


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["SHORT"], "A consumer key has 9 letters from A to Z"),
        ([CONSUMER_KEY, "", ""], "The access token or its secret is empty."),
        ([CONSUMER_KEY, "{secret}", "{token}"], "are exchanged"),
        ([CONSUMER_KEY, "{token}", "{half}"], "it is cut, or it was made for another key"),
        ([CONSUMER_KEY, "{token}", "{secret}!"], "is not base64 text"),
        ([CONSUMER_KEY, "{token}", "{foreign}"], "was not made for this encryption key"),
    ],
)
def test_a_piece_that_cannot_be_right_is_told_before_anything_is_written(
    answers: list[str], says: str, tmp_path: Path, certs: Path, sandbox: StartSandbox, sandbox_directory: Path
) -> None:
    server = sandbox()
    set_up(tmp_path, server)
    token, secret = upload(server, certs)
    foreign = json.loads((sandbox_directory / "config.json").read_text())["ibkr"]["credentials"]
    values = {
        "token": token,
        "secret": secret,
        "half": secret[:172],
        "foreign": foreign["access_token_secret"],
    }
    ended = set_up(tmp_path, server, *(answer.format(**values) for answer in answers))
    assert ended.returncode == 1
    assert says in ended.stderr
    assert not (tmp_path / "config.json").exists()


def test_other_keys_of_the_configuration_stay_and_the_former_file_is_kept(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    former = """{
    "base_currency": "CHF",
    "ibkr": {
        "start_date": "2019-05-01",
        "credentials": {
            "consumer_key": "YOUR_CONSUMER_KEY", "access_token": "YOUR_ACCESS_TOKEN",
            "access_token_secret": "YOUR_ACCESS_TOKEN_SECRET", "dh_prime": "config/ibkr_certs/dhparam.pem",
            "encryption_key": "YOUR_KEY", "signature_key_fp": "x.pem"
        },
        "accounts": ["U1234567"]
    },
    "degiro": {"enabled": false}
}
"""
    file = tmp_path / "config.json"
    file.write_text(former)
    set_up(tmp_path, server)
    token, secret = upload(server, certs)
    set_up(tmp_path, server, CONSUMER_KEY, token, secret)
    written = json.loads(file.read_text())
    assert list(written) == ["base_currency", "ibkr", "degiro"]
    assert written["base_currency"] == "CHF"
    assert written["ibkr"]["start_date"] == "2019-05-01"
    assert written["ibkr"]["accounts"] == ["U1234567"]
    assert "encryption_key" not in written["ibkr"]["credentials"]
    assert written["ibkr"]["credentials"]["signature_key_fp"] == str(certs / keys.PRIVATE_SIGNATURE)
    assert file.read_text().startswith('{\n    "base_currency"')
    (copy,) = tmp_path.glob("config.json.*.bak")
    assert copy.read_text() == former
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_new_registration_leaves_the_one_in_use_alone_until_its_token_is_there(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    set_up(tmp_path, server)
    set_up(tmp_path, server, CONSUMER_KEY, *upload(server, certs))
    in_use = (tmp_path / "config.json").read_text()

    fresh = certs / "registration-made-before"
    have_parameters(fresh)
    (certs / "setup.json").write_text(json.dumps({"is_new": True, "subfolder": fresh.name}))
    set_up(tmp_path, server)
    assert (tmp_path / "config.json").read_text() == in_use
    assert (certs / keys.PRIVATE_SIGNATURE).exists()

    done = set_up(tmp_path, server, "SECONDKEY", *upload(server, fresh, "SECONDKEY"))
    assert done.returncode == 0, done.stderr
    assert str(fresh) in (tmp_path / "config.json").read_text()


def test_a_second_login_gets_its_own_keys_and_both_their_names(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    set_up(tmp_path, server)
    set_up(tmp_path, server, CONSUMER_KEY, *upload(server, certs))
    have_parameters(certs / "family")
    set_up(tmp_path, server, options=("--login", "family"))
    answers = ["FAMILYKEY", *upload(server, certs / "family", "FAMILYKEY")]
    done = set_up(tmp_path, server, *answers, options=("--login", "family"))
    assert done.returncode == 0, done.stderr
    logins = json.loads((tmp_path / "config.json").read_text())["ibkr"]
    assert [login["name"] for login in logins] == ["first", "family"]
    assert logins[0]["credentials"]["consumer_key"] == CONSUMER_KEY
    unnamed = set_up(tmp_path, server)
    assert unnamed.returncode == 1
    assert "config.json has 2 logins: first, family." in unnamed.stderr


def test_a_configuration_that_cannot_be_read_is_not_overwritten(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    (tmp_path / "config.json").write_text('{"ibkr": {')
    ended = set_up(tmp_path, sandbox())
    assert ended.returncode == 1
    assert "the file ends too early" in ended.stderr
    assert (tmp_path / "config.json").read_text() == '{"ibkr": {'


def test_the_rehearsal_touches_nothing_of_the_users(tmp_path: Path, sandbox: StartSandbox) -> None:
    have_parameters(tmp_path / "data" / "rehearsal" / "ibkr_certs")
    ended = set_up(tmp_path, sandbox(), options=("--rehearse",))
    assert "This is a rehearsal" in ended.stdout
    assert "http://127.0.0.1:" in ended.stdout
    assert not (tmp_path / "config.json").exists()
    assert (tmp_path / "data" / "rehearsal" / "ibkr_certs" / keys.PRIVATE_SIGNATURE).exists()
