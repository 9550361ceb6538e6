"""`ibkr-setup` as a user runs it, against the sandbox and its self-service page."""

import json
import os
import pty
import re
import stat
import subprocess
from argparse import SUPPRESS
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stonks_overwatch.management.commands.ibkr_setup import Command
from stonks_overwatch.services.brokers.ibkr import keys
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox
from tests.conftest import StartSandbox
from tests.registering import have_parameters, register
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

    token, secret = register(server, certs, CONSUMER_KEY)
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


def test_a_registration_that_is_not_active_yet_is_waited_for_and_tried_again(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    set_up(tmp_path, server)
    token, secret = register(server, certs, CONSUMER_KEY)
    server.faults.add(Fault("not_activated", "POST oauth/*", times=1))
    waits = set_up(tmp_path, server, CONSUMER_KEY, token, secret)
    assert waits.returncode == 1
    assert "it is not active yet" in waits.stderr
    assert "goes on from here" in waits.stderr
    notes = json.loads((certs / "setup.json").read_text())
    assert notes["outcome"] == "waiting"
    assert secret not in json.dumps(notes)
    assert set_up(tmp_path, server).returncode == 0


def test_a_second_login_gets_its_own_keys_and_both_their_names(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    set_up(tmp_path, server)
    set_up(tmp_path, server, CONSUMER_KEY, *register(server, certs, CONSUMER_KEY))
    have_parameters(certs / "family")
    set_up(tmp_path, server, options=("--login", "family"))
    answers = ["FAMILYKEY", *register(server, certs / "family", "FAMILYKEY")]
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


@contextmanager
def at_a_terminal(folder: Path, server: Sandbox) -> Iterator[Callable[..., str]]:
    """The command at a terminal: `type_in("text", until="words")` returns what was shown up to the words."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "ibkr-setup"],
        env=environment(
            folder,
            IBIND_OAUTH1A_REST_URL=server.rest_url,
            STONKS_OVERWATCH_IBKR_PORTAL_URL=server.portal_url,
        ),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)

    def type_in(text: str | None, until: str) -> str:
        if text is not None:
            os.write(ours, f"{text}\n".encode())
        shown = ""
        while until not in shown:
            shown += os.read(ours, 4096).decode()
        return shown

    try:
        yield type_in
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_at_a_terminal_what_is_wrong_is_asked_again_and_secrets_are_not_shown(
    tmp_path: Path, certs: Path, sandbox: StartSandbox
) -> None:
    server = sandbox()
    with at_a_terminal(tmp_path, server) as type_in:
        type_in(None, until="Consumer key (nine letters): ")
        assert "9 letters from A to Z" in type_in("short", until="Consumer key (nine letters): ")
        type_in(CONSUMER_KEY, until="Access token (not shown): ")
        token, secret = register(server, certs, CONSUMER_KEY)
        shown = type_in(secret, until="Access token secret (not shown): ")
        shown += type_in(token, until="Access token (not shown): ")
        assert "are exchanged" in shown
        shown += type_in(token, until="Access token secret (not shown): ")
        shown += type_in(secret, until="Connected.")
        assert token not in shown
        assert secret not in shown


def test_every_option_is_in_the_guide_and_the_guide_has_no_other() -> None:
    parser = Command().create_parser("stonks-overwatch", "ibkr_setup")
    ours = {text for action in parser._actions for text in action.option_strings if action.help != SUPPRESS}
    guide = (Path(__file__).parents[2] / "docs" / "IBKR.md").read_text()
    table = guide[guide.index("| option of `ibkr-setup` |") :].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE)) == ours - {"-h", "--help"}
