"""Writing a login into config.json leaves everything else as the user has it."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stonks_overwatch import config_edit
from stonks_overwatch.errors import ConfigError

CREDENTIALS = {"consumer_key": "NINELETTE", "signature_key_fp": "private_signature.pem"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def put(file: Path, text: str, name: str = "") -> str:
    file.write_text(text)
    config_edit.put_ibkr_login(file, name, CREDENTIALS)
    return file.read_text()


def test_a_new_file_holds_the_login_and_nothing_is_copied(file: Path) -> None:
    assert config_edit.put_ibkr_login(file, "", CREDENTIALS) is None
    assert json.loads(file.read_text()) == {
        "base_currency": "EUR",
        "ibkr": {"enabled": True, "credentials": CREDENTIALS},
    }


@pytest.mark.parametrize("indentation", ["\t", "    ", "  ", " "])
def test_the_files_own_indentation_is_kept(indentation: str, file: Path) -> None:
    written = put(file, f'{{\n{indentation}"base_currency": "SEK"\n}}\n')
    assert written.startswith(f'{{\n{indentation}"base_currency": "SEK",\n{indentation}"ibkr": {{\n')


def test_other_letters_stay_as_they_are(file: Path) -> None:
    text = '\ufeff{"degiro": {"credentials": {"username": "Zoë €"}}}'
    assert "Zoë €" in put(file, text)


def test_a_file_that_has_the_login_already_is_not_touched(file: Path) -> None:
    config_edit.put_ibkr_login(file, "", CREDENTIALS)
    before = file.stat().st_mtime_ns
    assert config_edit.put_ibkr_login(file, "", CREDENTIALS) is None
    assert file.stat().st_mtime_ns == before


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "config.json"
    target.parent.mkdir()
    target.write_text("{}")
    file.symlink_to(target)
    config_edit.put_ibkr_login(file, "", CREDENTIALS)
    assert file.is_symlink()
    assert json.loads(target.read_text())["ibkr"]["credentials"] == CREDENTIALS


def test_a_login_of_a_list_is_changed_in_its_place(file: Path) -> None:
    logins = [
        {"name": name, "enabled": False, "credentials": {"consumer_key": "A", "access_token": "kept"}}
        for name in ("one", "Two", "three")
    ]
    written = json.loads(put(file, json.dumps({"ibkr": logins}), "two"))["ibkr"]
    assert [login["name"] for login in written] == ["one", "Two", "three"]
    assert written[1] == {
        "name": "Two",
        "enabled": True,
        "credentials": {"access_token": "kept", **CREDENTIALS},
    }
    assert [written[0], written[2]] == [logins[0], logins[2]]


def test_a_login_without_a_name_gets_one_that_is_free(file: Path) -> None:
    only = {"credentials": {"consumer_key": "MINEMINEM"}}
    written = json.loads(put(file, json.dumps({"ibkr": only}), "First"))["ibkr"]
    assert [(login["name"], login["credentials"]["consumer_key"]) for login in written] == [
        ("main", "MINEMINEM"),
        ("First", "NINELETTE"),
    ]


def test_a_key_as_text_goes_when_its_file_is_named(file: Path) -> None:
    section = {"credentials": {"signature_key": "-----BEGIN", "encryption_key": "-----BEGIN"}}
    written = json.loads(put(file, json.dumps({"ibkr": section})))["ibkr"]["credentials"]
    assert "signature_key" not in written
    assert written["encryption_key"] == "-----BEGIN"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What a full disk does to whoever writes more than `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_fails_half_way_leaves_the_file_as_it_was(file: Path) -> None:
    text = json.dumps({"base_currency": "EUR", "appearance": "dark"})
    file.write_text(text)
    with files_of_at_most(len(text) + 20), pytest.raises(ConfigError, match="cannot be written"):
        config_edit.put_ibkr_login(file, "", CREDENTIALS)
    assert file.read_text() == text
    assert not list(file.parent.glob(".*"))
