"""config.json: what is read, what each mistake in it is called, and that no secret is ever shown."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch import config, paths
from stonks_overwatch.config import Config
from stonks_overwatch.errors import ConfigError, KeyFileMissingError
from stonks_overwatch.services.brokers.ibkr import credentials

ROOT = Path(__file__).parents[1]
SECRETS = {
    "consumer_key": "CONSUMERX",
    "access_token": "tok-1f2e3d4c5b6a",
    "access_token_secret": "sec-QUJDREVGR0hJSktM",
    "dh_prime": "f0e1d2c3b4a5968778695a4b3c2d1e0f",
    "encryption_key": "enc-MIIEowIBAAKCAQEA",
    "signature_key": "sig-MIIEpAIBAAKCAQEA",
}
FLEX = {"token": "flx-998877665544", "query_id": "1234567"}
ALL_SECRETS = [*SECRETS.values(), FLEX["token"]]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes a config.json: of a document, or of a text or bytes as they are."""

    def write_(content: object, mode: int = 0o600) -> Path:
        file = tmp_path / "config.json"
        file.write_bytes(
            content
            if isinstance(content, bytes)
            else (content if isinstance(content, str) else json.dumps(content, indent=2)).encode()
        )
        file.chmod(mode)
        return file

    return write_


def with_login(**changed: Any) -> dict[str, Any]:
    return {"ibkr": {"credentials": dict(SECRETS)} | changed}


def refusal(file: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    error = caught.value
    said = f"{error.what} {error.next_step} {error!r}"
    assert not [secret for secret in ALL_SECRETS if secret in said]
    assert error.__cause__ is None
    assert str(file) in error.what
    assert error.next_step
    return error


# --- what is read ---------------------------------------------------------------------------------


def test_without_a_file_there_are_the_defaults_and_no_broker(tmp_path: Path) -> None:
    loaded = config.load(tmp_path / "config.json")
    assert loaded == Config()
    assert loaded.base_currency == "EUR"
    assert loaded.appearance == "auto"
    assert loaded.ibkr == ()
    assert not loaded.degiro.enabled
    assert not loaded.bitvavo.enabled
    assert loaded.notices == ()


def test_a_file_exists_or_not(write: Write, tmp_path: Path) -> None:
    assert not config.exists(tmp_path / "config.json")
    assert config.exists(write({}))


def test_the_environment_names_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(write({"base_currency": "USD"})))
    assert config.exists()
    assert config.load().base_currency == "USD"


def test_a_file_that_the_environment_names_and_that_is_not_there_is_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(tmp_path / "lost.json"))
    assert not config.exists()
    (notice,) = config.load().notices
    assert str(tmp_path / "lost.json") in notice


def test_a_login_of_credentials_alone_has_the_documented_defaults(write: Write) -> None:
    (login,) = config.load(write(with_login())).ibkr
    assert login.name == ""
    assert login.enabled
    assert login.start_date == date(2020, 1, 1)
    assert login.update_frequency_minutes == 15
    assert login.live_updates
    assert login.accounts is None
    assert login.timeout_seconds == 15
    assert login.flex is None
    assert login.credentials.access_token.reveal() == SECRETS["access_token"]


def test_every_key_of_a_login_is_read(write: Write) -> None:
    document = with_login(
        name="private",
        enabled=False,
        start_date="2015-03-31",
        update_frequency_minutes=60,
        live_updates=False,
        accounts=["U1234567", " DU7654321 ", "U1234567"],
        timeout_seconds=40,
        flex=FLEX,
    ) | {"base_currency": "chf", "appearance": "dark"}
    loaded = config.load(write(document))
    assert loaded.base_currency == "CHF"
    assert loaded.appearance == "dark"
    (login,) = loaded.ibkr
    assert login.name == "private"
    assert not login.enabled
    assert login.start_date == date(2015, 3, 31)
    assert login.update_frequency_minutes == 60
    assert not login.live_updates
    assert login.accounts == ("U1234567", "DU7654321")
    assert login.timeout_seconds == 40
    assert login.flex is not None
    assert login.flex.token.reveal() == FLEX["token"]
    assert login.flex.query_id == "1234567"


def test_several_logins_keep_their_order_and_names(write: Write) -> None:
    names = ["private", "Müller & Co".replace("& ", ""), "u-1.x@home"]
    logins = [{"name": name, "credentials": SECRETS} for name in names]
    assert [login.name for login in config.load(write({"ibkr": logins})).ibkr] == names


def test_the_documented_sections_of_other_brokers_are_read_and_said_to_be_left_out(write: Write) -> None:
    document = {
        "degiro": {
            "enabled": True,
            "offline_mode": False,
            "credentials": {
                "username": "demo.user",
                "password": "pw-12345678",
                "totp_secret_key": "JBSWY3DP",
            },
            "base_currency": "EUR",
            "start_date": "2020-01-01",
            "update_frequency_minutes": 5,
        },
        "bitvavo": {
            "enabled": True,
            "credentials": {"apikey": "key-12345678", "apisecret": "secret-12345678"},
            "update_frequency_minutes": 5,
        },
    }
    loaded = config.load(write(document))
    assert loaded.degiro.credentials.password is not None
    assert loaded.degiro.credentials.password.reveal() == "pw-12345678"
    assert loaded.bitvavo.credentials.apisecret is not None
    assert loaded.bitvavo.credentials.apisecret.reveal() == "secret-12345678"
    assert [notice.split()[0] for notice in loaded.notices] == ["degiro", "bitvavo"]


def test_sections_that_are_null_are_not_there(write: Write) -> None:
    assert config.load(write({"ibkr": None, "degiro": None, "bitvavo": None})) == Config()


def test_a_login_that_is_off_need_not_be_filled_in(write: Write) -> None:
    assert config.load(write({"ibkr": {"enabled": False}})).ibkr == ()


def test_a_login_that_is_off_is_still_read_for_its_keys_names(write: Write) -> None:
    assert "ibkr.credentails" in refusal(write({"ibkr": {"enabled": False, "credentails": {}}})).what


def test_a_byte_order_mark_does_no_harm(write: Write) -> None:
    assert config.load(write(b"\xef\xbb\xbf" + b'{"base_currency": "USD"}')).base_currency == "USD"


def test_the_configuration_prints_no_secret(write: Write) -> None:
    shown = repr(config.load(write(with_login(flex=FLEX))))
    assert not [secret for secret in ALL_SECRETS if secret in shown]


# --- text that is not JSON ------------------------------------------------------------------------

NOT_JSON = {
    "trailing comma in an object": ('{\n  "base_currency": "EUR",\n}', 2, 25, "trailing comma"),
    "trailing comma in a list": ('{"ibkr": [\n{},\n]}', 2, 3, "trailing comma"),
    "trailing comma and blanks": ('{"appearance": "auto",  \n\n  }', 1, 22, "trailing comma"),
    "line comment": ('{\n  // mine\n  "appearance": "auto"\n}', 2, 3, "comment"),
    "comment after a value": ('{\n  "appearance": "auto", // mine\n}', 2, 25, "comment"),
    "block comment": ('{"appearance": /* mine */ "auto"}', 1, 16, "comment"),
    "hash comment": ('{"appearance": "auto" # mine\n}', 1, 23, "comment"),
    "single quotes": ("{'appearance': 'auto'}", 1, 2, "wrong quotes"),
    "single quotes for a value": ("{\"appearance\": 'auto'}", 1, 16, "wrong quotes"),
    "curly quotes": ("{\n“appearance”: “auto”}", 2, 1, "wrong quotes"),
    "a comma is missing": ('{\n"appearance": "auto"\n"base_currency": "EUR"}', 3, 1, "a comma is missing"),
    "a colon is missing": ('{"appearance" "auto"}', 1, 15, "a colon is missing"),
    "a key without quotes": ('{appearance: "auto"}', 1, 2, "does not stand in double quotes"),
    "a value without quotes": ('{"appearance": auto}', 1, 16, "a value is missing"),
    "no value": ('{"appearance": }', 1, 16, "a value is missing"),
    "python's True": ('{"ibkr": {"enabled": True}}', 1, 22, "wrong spelling of true"),
    "a text over two lines": ('{"appearance": "au\nto"}', 1, 19, "goes over the end of its line"),
    "a text that never ends": ('{"appearance": "auto}', 1, 16, "no closing quote"),
    "a single backslash": ('{"ibkr": "C:\\keys"}', 1, 13, "a backslash"),
    "the end is missing": ('{"appearance": "auto"\n', 1, 22, "ends too early"),
    "a bracket too many": ('{"appearance": "auto"}}', 1, 23, "has ended before"),
    "empty": ("", 1, 1, "the file is empty"),
    "blank": (" \n\n", 1, 1, "the file is empty"),
}


@pytest.mark.parametrize("mistake", NOT_JSON)
def test_a_mistake_in_the_json_is_named_with_its_line_and_column(mistake: str, write: Write) -> None:
    text, line, column, words = NOT_JSON[mistake]
    error = refusal(write(text))
    assert f"line {line}, column {column}: " in error.what
    assert words in error.what


def test_other_encodings_than_utf_8_are_named(write: Write) -> None:
    assert "UTF-16" in refusal(write('{"appearance": "auto"}'.encode("utf-16"))).what
    assert "line 2" in refusal(write('{\n"appearance": "ä"}'.encode("latin-1"))).what


@pytest.mark.parametrize("text", ["[]", '"text"', "12", "null", "true"])
def test_the_document_must_be_an_object(text: str, write: Write) -> None:
    assert "must hold one object" in refusal(write(text)).what


def test_a_file_nested_too_deeply_is_refused(write: Write) -> None:
    assert "nested too deeply" in refusal(write('{"ibkr":' * 100_000)).what
    assert "not known" in refusal(write('{"a":' * 400 + "1" + "}" * 400)).what
    assert "ibkr[0]" in refusal(write('{"ibkr":' + "[" * 400 + "]" * 400 + "}")).what


def test_a_number_too_long_to_read_is_refused(write: Write) -> None:
    assert "number that is too long" in refusal(write('{"base_currency": ' + "1" * 5000 + "}")).what


def test_a_file_too_large_is_refused(write: Write) -> None:
    assert "too large" in refusal(write(" " * 1_100_000)).what


def test_a_folder_is_not_a_configuration(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path).what
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refusal(tmp_path / "pipe").what


def test_a_path_through_a_file_is_no_configuration(write: Write) -> None:
    assert "cannot be read" in refusal(write({}) / "config.json").what


def test_an_unreadable_file_names_the_command_that_opens_it(write: Write) -> None:
    file = write({}, mode=0)
    with as_an_ordinary_user():
        error = refusal(file)
        assert config.exists(file)
    assert "cannot be read by this user" in error.what
    assert f"chmod 600 {file}" in error.next_step


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may read everything, so a test of an unreadable file runs as nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# --- keys and values ------------------------------------------------------------------------------


def test_an_unknown_key_is_named_with_its_path_its_line_and_the_nearest_key(write: Write) -> None:
    text = '{\n  "ibkr": {\n    "credentials": {\n      "acess_token": "tok-1f2e3d4c5b6a"\n    }\n  }\n}'
    error = refusal(write(text))
    assert "line 4" in error.what
    assert "ibkr.credentials.acess_token" in error.what
    assert "Did you mean ibkr.credentials.access_token?" in error.what


UNKNOWN = [
    ({"base_curency": "EUR"}, "base_curency", "Did you mean base_currency?"),
    ({"BASE_CURRENCY": "EUR"}, "BASE_CURRENCY", "Did you mean base_currency?"),
    (with_login(update_frequency=15), "ibkr.update_frequency", "Did you mean ibkr.update_frequency_minutes?"),
    (with_login(access_token="tok-1f2e3d4c5b6a"), "ibkr.access_token", "belongs to ibkr.credentials.access_"),
    ({"timeout_seconds": 20}, "timeout_seconds", "belongs to ibkr.timeout_seconds"),
    ({"zzz": 1}, "zzz", "Known here are: base_currency, appearance, ibkr, degiro, bitvavo"),
    ({"notices": []}, "notices", "not known"),
    ({"": 1}, "the key  is", "not known"),
    ({"ibkr": [{"name": "a", "credential": {}}]}, "ibkr[0].credential", "Did you mean ibkr[0].credentials?"),
    ({"degiro": {"credentials": {"user": "x"}}}, "degiro.credentials.user", "degiro.credentials.username?"),
    ({"bitvavo": {"credentials": {"api_key": "x"}}}, "bitvavo.credentials.api_key", "credentials.apikey?"),
    (with_login(flex=FLEX | {"id": "1"}), "ibkr.flex.id", "not known"),
    ({"a\u0000\nb" * 50: 1}, "a??b", "not known"),
]


@pytest.mark.parametrize(("document", "path", "hint"), UNKNOWN)
def test_an_unknown_key_leads_to_the_right_one(
    document: dict[str, Any], path: str, hint: str, write: Write
) -> None:
    error = refusal(write(document))
    assert path in error.what
    assert hint in error.what


def test_a_key_that_stands_twice_is_named_with_both_lines(write: Write) -> None:
    text = (
        '{\n  "ibkr": {\n    "enabled": true,\n    "start_date": "2020-01-01",\n    "enabled": false\n  }\n}'
    )
    error = refusal(write(text))
    assert "line 5" in error.what
    assert "ibkr.enabled" in error.what
    assert "first in line 3" in error.what


def test_the_same_key_in_two_objects_is_no_mistake(write: Write) -> None:
    logins = [{"name": name, "enabled": True, "credentials": SECRETS} for name in ("a", "b")]
    document = {"ibkr": logins, "degiro": {"enabled": False}, "bitvavo": {"enabled": False}}
    assert len(config.load(write(document)).ibkr) == 2


def test_a_key_with_escaped_letters_that_stands_twice_is_found(write: Write) -> None:
    assert "second time" in refusal(write('{"appearance": "auto", "app\\u0065arance": "dark"}')).what


WRONG_VALUES = [
    ({"base_currency": "XYZ"}, "base_currency is a text", "currency code"),
    ({"base_currency": "DEM"}, "base_currency is a text", "currency code"),
    ({"base_currency": "GBX"}, "base_currency is a text", "currency code"),
    ({"base_currency": 978}, "base_currency is a number", "currency code"),
    ({"appearance": "blue"}, "appearance is a text", '"auto", "light" or "dark"'),
    ({"ibkr": "yes"}, "ibkr is a text", "an object, or a list of objects"),
    ({"ibkr": ["yes"]}, "ibkr[0] is a text", "must be an object"),
    ({"ibkr": {"credentials": "x"}}, "ibkr.credentials is a text", "an object"),
    (with_login(enabled="true"), "ibkr.enabled is a text", "true or false"),
    (with_login(enabled=1), "ibkr.enabled is a number", "true or false"),
    (with_login(enabled=None), "ibkr.enabled is null", "true or false"),
    (with_login(start_date="31.12.2020"), "ibkr.start_date is a text", '"2020-01-31"'),
    (with_login(start_date="2020-02-30"), "ibkr.start_date is a text", '"2020-01-31"'),
    (with_login(start_date=20200101), "ibkr.start_date is a number", '"2020-01-31"'),
    (with_login(update_frequency_minutes="15"), "minutes is a text", "without quotes"),
    (with_login(update_frequency_minutes=15.5), "minutes is a number", "whole number"),
    (with_login(update_frequency_minutes=True), "minutes is a true or false", "whole number"),
    (with_login(update_frequency_minutes=10**9), "minutes is a number", "at most 525600"),
    (with_login(timeout_seconds=0), "timeout_seconds is a number", "from 1 to 600"),
    (with_login(timeout_seconds=601), "timeout_seconds is a number", "from 1 to 600"),
    (with_login(accounts="U1234567"), "ibkr.accounts is a text", "a list"),
    (with_login(accounts=[]), "ibkr.accounts is a list", "at least one account id"),
    (with_login(accounts=[" "]), "ibkr.accounts is a list", "at least one account id"),
    (with_login(accounts=["U1", 7]), "ibkr.accounts[1] is a number", "account id in quotes"),
    (with_login(name="a/b"), "ibkr.name is a text", "letters, digits"),
    (with_login(name="x" * 51), "ibkr.name is a text", "short name"),
    (with_login(flex="flx-998877665544"), "ibkr.flex is a text", "token and query_id"),
    (with_login(flex=FLEX | {"query_id": 1234567}), "query_id is a number", "in quotes"),
    (with_login(flex=FLEX | {"query_id": "flx-998877665544"}), "query_id is a text", "number of the query"),
    ({"degiro": []}, "degiro is a list", "an object"),
    ({"degiro": {"update_frequency_minutes": 0}}, "degiro.update_frequency_minutes is", "from 1"),
    ({"degiro": {"base_currency": "XYZ"}}, "degiro.base_currency is a text", "currency code"),
]


@pytest.mark.parametrize(("document", "words", "allowed"), WRONG_VALUES)
def test_a_wrong_value_is_named_by_its_key_its_kind_and_what_is_allowed(
    document: dict[str, Any], words: str, allowed: str, write: Write
) -> None:
    error = refusal(write(document))
    assert words in error.what
    assert allowed in error.what
    assert re.search(r"line \d", error.what)


@pytest.mark.parametrize(
    "value", [12, None, [], {"evn": "NAME"}, {"env": "A", "file": "B"}, {"env": 3}, True]
)
@pytest.mark.parametrize("name", ["consumer_key", "access_token", "access_token_secret", "dh_prime"])
def test_a_secret_of_a_wrong_kind_is_told_the_forms_it_may_have(
    name: str, value: object, write: Write
) -> None:
    error = refusal(write({"ibkr": {"credentials": SECRETS | {name: value}}}))
    assert f"ibkr.credentials.{name} is " in error.what
    assert 'a text in double quotes, or {"env": "NAME"}, or {"file": "path"}' in error.what


@pytest.mark.parametrize("name", ["consumer_key", "access_token", "access_token_secret", "dh_prime"])
def test_a_missing_credential_is_named(name: str, write: Write) -> None:
    held = {key: value for key, value in SECRETS.items() if key != name}
    assert f"ibkr.credentials.{name} is missing" in refusal(write({"ibkr": {"credentials": held}})).what


def test_missing_credentials_are_named_with_the_login(write: Write) -> None:
    assert "ibkr.credentials is missing" in refusal(write({"ibkr": {}})).what
    second = refusal(write({"ibkr": [{"name": "a", "credentials": SECRETS}, {"name": "b"}]}))
    assert "ibkr[1].credentials is missing" in second.what


@pytest.mark.parametrize("name", ["encryption_key", "signature_key"])
def test_each_key_is_given_as_text_or_as_path(name: str, write: Write) -> None:
    held: dict[str, Any] = {key: value for key, value in SECRETS.items() if key != name}
    error = refusal(write({"ibkr": {"credentials": held}}))
    assert f"ibkr.credentials has neither {name}_fp nor {name}" in error.what
    held |= {name: " ", f"{name}_fp": ""}
    assert f"neither {name}_fp nor {name}" in refusal(write({"ibkr": {"credentials": held}})).what
    held |= {name: None, f"{name}_fp": "key.pem"}
    assert config.load(write({"ibkr": {"credentials": held}})).ibkr


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nenc-MIIEowIBAAKCAQEA\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY----- enc-MIIEowIBAAKCAQEA",
        "enc-MIIEowIBAAKCAQEA\nMIIE",
        "enc-MIIEowIBAAKCAQEA" * 30,
    ],
)
def test_the_text_of_a_key_in_the_place_of_its_path_is_never_shown(text: str, write: Write) -> None:
    held = SECRETS | {"encryption_key_fp": text}
    error = refusal(write({"ibkr": {"credentials": held}}))
    assert "ibkr.credentials.encryption_key_fp is a text, but must be the path of a file" in error.what
    refusal(write({"ibkr": {"credentials": SECRETS | {"encryption_key": {"file": text}}}}))


def test_several_logins_need_names_of_their_own(write: Write) -> None:
    def logins(*names: str) -> dict[str, Any]:
        return {"ibkr": [{"name": name, "credentials": SECRETS} for name in names]}

    assert "not each has a name" in refusal(write(logins("a", ""))).what
    assert "have the same name" in refusal(write(logins("Private", "private"))).what
    assert len(config.load(write(logins("a"))).ibkr) == 1


# --- secrets by reference -------------------------------------------------------------------------


def test_a_secret_may_come_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", f" {SECRETS['access_token']}\n")
    document = {"ibkr": {"credentials": SECRETS | {"access_token": {"env": "MY_TOKEN"}}}}
    (login,) = config.load(write(document)).ibkr
    assert login.credentials.access_token.reveal() == SECRETS["access_token"]


@pytest.mark.parametrize("name", [*SECRETS, "flex"])
def test_every_secret_may_come_from_a_file(name: str, write: Write, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text("\ufeffvalue of the file\r\n", encoding="utf-8")
    held = SECRETS | ({name: {"file": str(file)}} if name in SECRETS else {})
    flex = FLEX | {"token": {"file": str(file)}}
    (login,) = config.load(write({"ibkr": {"credentials": held, "flex": flex}})).ibkr
    assert login.flex is not None
    secret = getattr(login.credentials, name) if name in SECRETS else login.flex.token
    assert secret.reveal() == "value of the file"


def test_a_secret_file_is_found_by_the_rule_for_paths(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from the file")
    document = {"ibkr": {"credentials": SECRETS | {"access_token": {"file": "~/token"}}}}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.load(write(document)).ibkr[0].credentials.access_token.reveal() == "from the file"
    document["ibkr"]["credentials"]["access_token"] = {"file": "./token"}
    monkeypatch.chdir(tmp_path)
    assert config.load(write(document)).ibkr[0].credentials.access_token.reveal() == "from the file"


def test_a_missing_variable_is_a_notice_and_an_error_when_it_is_needed(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"ibkr": {"credentials": SECRETS | {"access_token": {"env": "MY_TOKEN"}}}}
    for value in (None, " "):
        if value is None:
            monkeypatch.delenv("MY_TOKEN", raising=False)
        else:
            monkeypatch.setenv("MY_TOKEN", value)
        loaded = config.load(write(document))
        (notice,) = loaded.notices
        with pytest.raises(ConfigError) as caught:
            credentials.prepare(loaded.ibkr[0])
        for words in ("ibkr.credentials.access_token", "MY_TOKEN", "not set"):
            assert words in notice
            assert words in caught.value.what


def test_a_missing_secret_file_is_a_notice_and_an_error_when_it_is_needed(
    write: Write, tmp_path: Path
) -> None:
    lost = tmp_path / "lost"
    document = {"ibkr": {"credentials": SECRETS | {"access_token": {"file": str(lost)}}}}
    loaded = config.load(write(document))
    assert str(lost) in loaded.notices[0]
    with pytest.raises(KeyFileMissingError, match=r"ibkr\.credentials\.access_token"):
        credentials.prepare(loaded.ibkr[0])


def test_a_secret_file_that_is_not_text_is_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(bytes(range(128, 256)))
    document = {"ibkr": {"credentials": SECRETS | {"access_token": {"file": str(tmp_path / "token")}}}}
    assert "not UTF-8 text" in config.load(write(document)).notices[0]


def test_what_a_login_that_is_off_lacks_is_not_said(write: Write) -> None:
    held = SECRETS | {"access_token": {"env": "NOT_SET_ANYWHERE"}}
    assert config.load(write({"ibkr": {"enabled": False, "credentials": held}})).notices == ()


@pytest.mark.parametrize("name", ["", "two words", "tok-1f2e3d4c5b6a", "A=B", "\ud800", "X" * 200])
def test_what_cannot_be_the_name_of_a_variable_is_refused_unseen(name: str, write: Write) -> None:
    error = refusal(write({"ibkr": {"credentials": SECRETS | {"access_token": {"env": name}}}}))
    assert "ibkr.credentials.access_token is an object" in error.what


# --- notices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [14, 1, 0, -5])
def test_a_frequency_under_15_minutes_is_raised_with_a_notice(minutes: int, write: Write) -> None:
    loaded = config.load(write(with_login(update_frequency_minutes=minutes)))
    assert loaded.ibkr[0].update_frequency_minutes == 15
    (notice,) = loaded.notices
    assert f"ibkr.update_frequency_minutes is {minutes} and was raised to 15" in notice


def test_the_notice_names_the_login_of_several(write: Write) -> None:
    logins = [
        {"name": "a", "credentials": SECRETS},
        {"name": "b", "credentials": SECRETS, "update_frequency_minutes": 3},
    ]
    (notice,) = config.load(write({"ibkr": logins})).notices
    assert '"b"' in notice


def test_a_file_with_secrets_open_to_others_gets_a_notice_with_the_command_to_type(write: Write) -> None:
    file = write(with_login(), mode=0o644)
    (notice,) = config.load(file).notices
    assert f"chmod 600 {file}" in notice


def test_a_file_without_secrets_may_be_open_to_others(write: Write) -> None:
    assert config.load(write({"base_currency": "USD"}, mode=0o644)).notices == ()


def test_key_and_secret_files_open_to_others_get_a_notice(write: Write, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("key.pem", "token")]
    for file in files:
        file.write_text("content")
        file.chmod(0o640)
    held: dict[str, Any] = {key: value for key, value in SECRETS.items() if key != "signature_key"}
    held |= {"signature_key_fp": str(files[0]), "access_token": {"file": str(files[1])}}
    notices = config.load(write({"ibkr": {"credentials": held}})).notices
    assert [f"chmod 600 {file}" in notice for file, notice in zip(files, notices, strict=True)] == [
        True,
        True,
    ]


# --- what the settings page shows -----------------------------------------------------------------


def shown(loaded: Config) -> dict[str, tuple[str, str]]:
    return {setting.key: (setting.value, setting.source) for setting in config.effective(loaded)}


def test_every_setting_is_shown_with_where_it_comes_from(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRETS["access_token"])
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", "http://127.0.0.1:5000/v1/api/")
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "secret").write_text(SECRETS["access_token_secret"])
    held: dict[str, Any] = SECRETS | {
        "access_token": {"env": "MY_TOKEN"},
        "access_token_secret": {"file": str(tmp_path / "secret")},
        "consumer_key": {"env": "NOT_SET"},
        "dh_prime": "config/dhparam.pem",
        "signature_key_fp": "~/key.pem",
    }
    loaded = config.load(
        write({"ibkr": {"credentials": held, "accounts": ["U1", "U2"], "live_updates": False}})
    )
    settings_ = shown(loaded)
    assert settings_["base_currency"] == ("EUR", "default")
    assert settings_["ibkr.accounts"] == ("U1, U2", "config.json")
    assert settings_["ibkr.live_updates"] == ("false", "config.json")
    assert settings_["ibkr.start_date"] == ("2020-01-01", "default")
    assert settings_["ibkr.flex"] == ("not set", "default")
    at = "ibkr.credentials."
    assert settings_[f"{at}access_token"] == ("***", "environment variable MY_TOKEN")
    assert settings_[f"{at}access_token_secret"] == ("***", f"file {tmp_path / 'secret'}")
    assert settings_[f"{at}consumer_key"] == ("not found", "environment variable NOT_SET")
    assert settings_[f"{at}dh_prime"] == ("config/dhparam.pem", "config.json")
    assert settings_[f"{at}signature_key"] == ("***", "config.json")
    assert settings_[f"{at}signature_key_fp"] == ("~/key.pem", "config.json")
    assert settings_["IBIND_OAUTH1A_REST_URL"] == (
        "http://127.0.0.1:5000/v1/api/",
        "environment variable IBIND_OAUTH1A_REST_URL",
    )
    assert not [secret for secret in ALL_SECRETS if secret in repr(config.effective(loaded))]


def test_without_a_file_all_settings_are_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("IBIND_OAUTH1A_REST_URL", "IBIND_OAUTH1A_WS_URL", "STONKS_OVERWATCH_IBKR_FLEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert {source for _, source in shown(Config()).values()} == {"default"}
    assert shown(Config())["ibkr"] == ("not set", "default")


def test_several_logins_are_shown_one_after_the_other(write: Write) -> None:
    logins = [{"name": name, "credentials": SECRETS} for name in ("a", "b")]
    settings_ = shown(config.load(write({"ibkr": logins})))
    assert settings_["ibkr[0].name"][0] == "a"
    assert settings_["ibkr[1].name"][0] == "b"


def test_an_address_that_is_refused_is_shown_as_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", "http://user:pw-12345678@example.org/")
    value, _ = shown(Config())["IBIND_OAUTH1A_REST_URL"]
    assert "is not an address" in value
    assert "pw-12345678" not in value


# --- properties -----------------------------------------------------------------------------------

VALUE = "any-value-0123456789"
NAMES = sorted({part for path in config.key_paths() for part in path.split(".")} | {"env", "file"})
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just(VALUE)
    | st.just("2020-01-01"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=25,
)
FOREVER = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def said_of(file: Path) -> str:
    """All that is shown of a configuration, or the words of its error, which quote no value at all."""
    try:
        loaded = config.load(file)
    except ConfigError as error:
        said = f"{error.what} {error.next_step}"
        assert VALUE not in said
        return said
    return f"{loaded!r} {config.effective(loaded)!r}"


@FOREVER
@given(document=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), VALUES, max_size=6))
def test_any_document_is_read_or_refused(document: dict[str, Any], write: Write) -> None:
    said_of(write(document))


@FOREVER
@given(
    value=VALUES,
    path=st.sampled_from([path for path in config.key_paths() if path.startswith("ibkr.")]),
    extra=st.dictionaries(st.text(max_size=12), VALUES, max_size=1),
)
def test_any_value_in_any_place_shows_no_secret(
    value: object, path: str, extra: dict[str, Any], write: Write
) -> None:
    document: dict[str, Any] = with_login(flex=dict(FLEX)) | extra
    *above, last = path.split(".")
    inner = document
    for part in above:
        inner = inner[part]
    inner[last] = value
    said = said_of(write(document))
    assert not [secret for secret in ALL_SECRETS if secret in said]


@FOREVER
@given(data=st.data())
def test_a_file_damaged_anywhere_shows_no_secret(data: st.DataObject, write: Write) -> None:
    text = json.dumps(
        with_login(flex=FLEX, accounts=["U1234567"]), indent=data.draw(st.sampled_from([None, 2]))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        removed = data.draw(st.integers(0, 4))
        added = data.draw(
            st.sampled_from(["", ",", '"', "'", "{", "}", "[", "]", ":", "\n", "\\", "//", "é"])
        )
        text = text[:at] + added + text[at + removed :]
    said = said_of(write(text))
    assert not [secret for secret in ALL_SECRETS if secret in said]


# --- documentation and template -------------------------------------------------------------------

GUIDE = (ROOT / "docs" / "Configuration.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| `([a-z_.]+)` \|[^|]*\|([^|]*)\|[^|]*\|$", GUIDE, re.MULTILINE)


def test_every_key_is_documented_once_and_every_documented_key_exists() -> None:
    assert sorted(key for key, _ in TABLE) == sorted(config.key_paths())


def test_the_documented_defaults_are_the_real_ones(write: Write) -> None:
    real = shown(config.load(write(with_login())))
    documented = {key: value.strip() for key, value in TABLE if value.strip().startswith("`")}
    assert documented
    assert {key: value.strip("`") for key, value in documented.items()} == {
        key: real[key][0] for key in documented
    }


@pytest.mark.parametrize("example", re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL))
def test_the_examples_of_the_guide_are_read(example: str, write: Write) -> None:
    assert config.load(write(example)).ibkr


def test_the_template_is_valid_and_is_read_after_filling_in(write: Write) -> None:
    text = (ROOT / "config" / "config.json.template").read_text(encoding="utf-8")
    assert json.loads(text)
    for name, value in SECRETS.items():
        text = text.replace(f"YOUR_{name.upper()}", value)
    assert "YOUR_" not in text
    (login,) = config.load(write(text)).ibkr
    assert login.credentials.access_token.reveal() == SECRETS["access_token"]
    assert [path.name for path in credentials.key_files(login)] == [
        "private_encryption.pem",
        "private_signature.pem",
    ]


def test_the_template_holds_the_documented_defaults() -> None:
    template = json.loads((ROOT / "config" / "config.json.template").read_text(encoding="utf-8"))
    flat = {**template, **{f"ibkr.{key}": value for key, value in template["ibkr"].items()}}
    wanted = {
        key: default.strip(" `").lower()
        for key, default in TABLE
        if default.strip().startswith("`") and key in flat
    }
    assert {"base_currency", "ibkr.update_frequency_minutes"} <= wanted.keys()
    assert {key: str(flat[key]).lower() for key in wanted} == wanted


def test_every_environment_variable_of_the_code_is_documented() -> None:
    used: set[str] = set()
    for file in (paths.__file__, config.__file__, credentials.__file__):
        used |= set(re.findall(r'"((?:STONKS_OVERWATCH|IBIND_OAUTH1A)_[A-Z0-9_]+)"', Path(file).read_text()))
    assert used == set(re.findall(r"^\| `([A-Z0-9_]+)` \|", GUIDE, re.MULTILINE))
