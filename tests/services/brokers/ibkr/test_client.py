import base64
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA

from stonks_overwatch.errors import (
    AccessNotEnabledError,
    AccountNotVisibleError,
    BrokerBusyError,
    BrokerTimeoutError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    ClockRefusedError,
    CredentialsRefusedError,
    StonksError,
    UnexpectedAnswerError,
)
from stonks_overwatch.redaction import Secret
from stonks_overwatch.services.brokers.ibkr import client as client_module
from stonks_overwatch.services.brokers.ibkr.client import ReadOnlyClient, client, decode, off, quiet_hours
from stonks_overwatch.services.brokers.ibkr.credentials import PreparedCredentials, prepare
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrPenalty
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, preset
from tests.services.brokers.ibkr.conftest import Connect, LogIn, asked

LOGIN = "POST oauth/live_session_token"
META = "GET portfolio/U7654321/meta"


# --- the login ------------------------------------------------------------------------------------


def test_a_call_logs_in_by_itself_and_asks_for_the_accounts_first(connect: Connect) -> None:
    sandbox, ibkr = connect()

    answer = ibkr.portfolio_account_information("U7654321").answer

    assert asked(sandbox) == [LOGIN, "GET portfolio/accounts", META]
    assert answer.endpoint == META
    assert answer.account == "U7654321"
    assert answer.body["currency"] == "EUR"
    assert json.loads(answer.content) == answer.body


def test_one_login_serves_many_calls_and_no_signature_is_used_twice(connect: Connect) -> None:
    sandbox, ibkr = connect()

    for _ in range(5):
        ibkr.portfolio_account_information("U7654321")

    assert asked(sandbox).count(LOGIN) == 1
    assert not [call for call in sandbox.calls if call.repeated_nonce or call.bad_signature]


def test_nothing_but_what_is_asked_for_is_sent(connect: Connect) -> None:
    sandbox, ibkr = connect()

    ibkr.portfolio_account_information("U7654321")
    ibkr.close()

    # No brokerage session, no keep-alive, no logout at the end.
    assert {call.path for call in sandbox.calls} == {
        "oauth/live_session_token",
        "portfolio/accounts",
        "portfolio/U7654321/meta",
    }
    assert ibkr.portfolio_account_information("U7654321").data  # and a closed client opens again


def test_threads_that_meet_share_one_login(login: LogIn, transactional_db: None) -> None:
    sandbox, user = login()
    ibkr = client(user)
    failed: list[BaseException] = []

    def read() -> None:
        try:
            ibkr.portfolio_account_information("U7654321")
        except StonksError as err:
            failed.append(err)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failed
    assert asked(sandbox).count(LOGIN) == 1
    assert asked(sandbox).count(META) == 6


def test_a_login_has_one_client_until_its_configuration_changes(login: LogIn, db: None) -> None:
    _, user = login()

    same = client(user)

    assert client(user.model_copy()) is same
    assert client(user.model_copy(update={"timeout_seconds": 3})) is not same


def test_the_token_is_renewed_before_its_end(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox, ibkr = connect()
    start = time.time()
    now = start
    monkeypatch.setattr(client_module, "time", SimpleNamespace(time=lambda: now, monotonic=time.monotonic))
    ibkr.tickle()

    now = start + 20 * 3600  # of 24 hours; 85 % are 20 h 24 min
    ibkr.tickle()
    assert asked(sandbox).count(LOGIN) == 1

    now = start + 21 * 3600
    ibkr.tickle()
    assert asked(sandbox).count(LOGIN) == 2


def test_a_token_that_died_is_renewed_once_and_the_call_repeated(connect: Connect) -> None:
    sandbox, ibkr = connect()
    ibkr.portfolio_account_information("U7654321")
    sandbox.oauth.expire()
    before = len(sandbox.calls)

    assert ibkr.portfolio_account_information("U7654321").data["id"] == "U7654321"

    # IBKR has to be asked for the accounts again in the new login.
    assert asked(sandbox)[before:] == [META, LOGIN, "GET portfolio/accounts", META]


def test_a_second_401_is_a_refusal_and_not_a_loop(connect: Connect) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset("unauthorized"))

    with pytest.raises(CredentialsRefusedError, match="accepted the login, but refuses the calls"):
        ibkr.security_definition_by_conid(["265598"])

    assert asked(sandbox) == [LOGIN, "GET trsrv/secdef", LOGIN, "GET trsrv/secdef"]


def test_a_401_for_an_unknown_account_is_not_taken_for_a_refused_login(connect: Connect) -> None:
    sandbox, ibkr = connect()

    with pytest.raises(AccountNotVisibleError, match="U0000001") as caught:
        ibkr.portfolio_account_information("U0000001")

    assert "ibkr.accounts" in caught.value.next_step
    assert asked(sandbox)[-1] == "POST tickle"  # which told that the login is fine


def test_a_401_of_a_slow_call_is_not_repeated_and_the_next_call_logs_in_anew(connect: Connect) -> None:
    sandbox, ibkr = connect()
    ibkr.tickle()
    sandbox.oauth.expire()

    with pytest.raises(UnexpectedAnswerError, match="401"):
        ibkr.account_performance(["U7654321"], "1Y")
    ibkr.tickle()

    assert asked(sandbox) == [LOGIN, "POST tickle", "POST pa/performance", LOGIN, "POST tickle"]


# --- what a refused login says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "what", "fields"),
    [
        ("login_401", "does not know this access token", ["wait", "access_token", "access_token_secret"]),
        ("login_unknown_consumer", "does not know this consumer key", ["consumer_key"]),
        ("login_wrong_signature", "signature", ["signature_key_fp"]),
        ("login_wrong_lst", "the prime or the secret", ["dh_prime", "access_token_secret"]),
    ],
)
def test_a_refused_login_names_what_to_check_and_is_not_tried_again(
    connect: Connect, waits: list[float], fault: str, what: str, fields: list[str]
) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset(fault))

    with pytest.raises(CredentialsRefusedError, match=what) as caught:
        ibkr.portfolio_accounts()

    assert all(field in caught.value.next_step for field in fields)
    assert asked(sandbox) == [LOGIN]
    assert not waits


def other_secret(credentials: PreparedCredentials) -> Secret:
    """A secret for the same encryption key that IBKR never gave out."""
    key = RSA.import_key(credentials.encryption_key.reveal())
    return Secret(base64.b64encode(PKCS1_v1_5.new(key.public_key()).encrypt(b"\x07" * 32)).decode())


WRONG: dict[str, tuple[Callable[[PreparedCredentials], dict[str, Any]], str]] = {
    "consumer_key": (lambda _: {"consumer_key": "NOTKNOWNX"}, "consumer key"),
    "access_token": (lambda _: {"access_token": Secret("00112233445566778899")}, "access token"),
    "access_token_secret": (lambda good: {"access_token_secret": other_secret(good)}, "signature"),
    "signature_key": (lambda good: {"signature_key": good.encryption_key}, "signature"),
    # The largest prime of 2048 bits: of the right form, but not the registered one.
    "dh_prime": (lambda _: {"dh_prime": f"{2**2048 - 1942289:x}"}, "the prime or the secret"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_credential_is_a_refused_login(login: LogIn, db: None, name: str) -> None:
    sandbox, user = login()
    good = prepare(user)
    change, what = WRONG[name]

    with pytest.raises(CredentialsRefusedError, match=what):
        ReadOnlyClient(replace(good, **change(good)), sandbox.rest_url, 5).portfolio_accounts()


def test_a_wrong_clock_is_named_when_the_login_is_refused(connect: Connect) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset("clock_skew", seconds=-600.0))  # IBKR's clock is ten minutes behind ours

    with pytest.raises(ClockRefusedError, match="clock is 10 minutes fast"):
        ibkr.portfolio_accounts()

    assert ibkr.clock_ahead is not None
    assert abs(ibkr.clock_ahead - timedelta(minutes=10)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "[]",
        '{"diffie_hellman_response":"zz","live_session_token_signature":"a","live_session_token_expiration":1}',
        '{"diffie_hellman_response":"1f","live_session_token_signature":7,"live_session_token_expiration":1}',
        '{"diffie_hellman_response":"1f","live_session_token_signature":"a"}',
    ],
)
def test_an_odd_answer_to_the_login_is_said_so(connect: Connect, answer: str) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(Fault("status", LOGIN, status=200, body=answer))

    with pytest.raises(UnexpectedAnswerError):
        ibkr.portfolio_accounts()


# --- what goes wrong on the way -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        ("unavailable", BrokerUnavailableError, 3),
        ("unavailable_html", BrokerUnavailableError, 3),
        ("server_error", BrokerUnavailableError, 3),
        ("reset", BrokerUnreachableError, 3),
        ("html", UnexpectedAnswerError, 3),
        ("not_enabled", AccessNotEnabledError, 1),
        ("gone", BrokerUnavailableError, 1),
        ("busy", BrokerBusyError, 1),
    ],
)
def test_a_login_is_tried_again_only_where_that_can_help(
    connect: Connect, waits: list[float], fault: str, error: type[StonksError], tries: int
) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset(fault))

    with pytest.raises(error) as caught:
        ibkr.portfolio_accounts()

    assert asked(sandbox) == [LOGIN] * tries
    assert waits == [1.0, 3.0][: tries - 1]
    assert caught.value.what.endswith(".")
    assert caught.value.next_step.endswith(".")
    assert not [call for call in sandbox.calls if call.repeated_nonce]


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        ("empty", UnexpectedAnswerError, 3),
        ("error_object", UnexpectedAnswerError, 3),
        ("truncated", UnexpectedAnswerError, 3),
        ("cut_off", BrokerUnreachableError, 3),
        ("redirect", UnexpectedAnswerError, 1),
        ("not_enabled_accounts", AccessNotEnabledError, 1),
    ],
)
def test_a_broken_answer_is_never_an_empty_portfolio(
    connect: Connect, fault: str, error: type[StonksError], tries: int
) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset(fault))

    with pytest.raises(error):
        ibkr.portfolio_accounts()

    assert asked(sandbox) == [LOGIN, *["GET portfolio/accounts"] * tries]  # a redirect is not followed


@pytest.mark.parametrize("body", ["{}", "7", '"no"', "[1, 2]", "null", '{"data": []}', "[[]]"])
def test_anything_but_a_list_of_accounts_is_refused(connect: Connect, body: str) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(Fault("status", "GET portfolio/accounts", status=200, body=body))

    with pytest.raises(UnexpectedAnswerError):
        ibkr.portfolio_accounts()


def test_what_passes_by_itself_is_waited_for(connect: Connect, waits: list[float]) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset("unavailable", times=1))
    sandbox.faults.add(preset("cut_off", where="GET trsrv/secdef", times=2))

    assert ibkr.security_definition_by_conid(["265598"]).data["secdef"][0]["ticker"] == "AAPL"

    assert asked(sandbox) == [LOGIN, LOGIN, *["GET trsrv/secdef"] * 3]
    assert waits == [1.0, 1.0, 3.0]


def test_a_server_that_hangs_costs_two_timeouts(connect: Connect) -> None:
    sandbox, ibkr = connect(timeout_seconds=0.2)
    sandbox.faults.add(preset("stall"))

    with pytest.raises(BrokerTimeoutError, match=r"did not answer within 0.2 seconds"):
        ibkr.portfolio_accounts()

    assert asked(sandbox) == [LOGIN] * 2


def test_an_address_where_nobody_listens_cannot_be_reached(
    login: LogIn, db: None, waits: list[float]
) -> None:
    sandbox, user = login()
    ibkr = client(user)
    sandbox.stop()

    with pytest.raises(BrokerUnreachableError, match="the connection was refused") as caught:
        ibkr.portfolio_accounts()

    assert caught.value.code == "unreachable"
    assert waits == [1.0, 3.0]


def test_a_name_that_is_not_found_is_said_so(login: LogIn, db: None) -> None:
    _, user = login()

    with pytest.raises(BrokerUnreachableError, match=r"nowhere.invalid.*name is not found"):
        ReadOnlyClient(prepare(user), "https://nowhere.invalid/v1/api/", 5).portfolio_accounts()


def test_a_429_stops_everything_and_is_remembered(connect: Connect) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset("busy", where="GET trsrv/secdef"))

    with pytest.raises(BrokerBusyError) as caught:
        ibkr.security_definition_by_conid(["265598"])
    sandbox.faults.clear()
    with pytest.raises(BrokerBusyError) as again:
        ibkr.portfolio_accounts()

    assert asked(sandbox) == [LOGIN, "GET trsrv/secdef"]
    assert again.value.retry_at == caught.value.retry_at
    assert IbkrPenalty.objects.get().blocked_until == caught.value.retry_at
    assert f"{caught.value.retry_at:%H:%M} UTC" in caught.value.next_step


def test_the_text_of_an_error_holds_no_secret(connect: Connect) -> None:
    sandbox, ibkr = connect()
    sandbox.faults.add(preset("server_error", body=f'{{"error":"bad {ibkr.oauth_config.access_token}"}}'))

    with pytest.raises(BrokerUnavailableError, match=r"bad \*\*\*"):
        ibkr.portfolio_accounts()


# --- numbers as they came -------------------------------------------------------------------------


def test_numbers_keep_every_digit() -> None:
    body = decode(b'\xef\xbb\xbf{"a":0.1234567890123456789,"b":9007199254740993,"c":1E2,"d":-0.0}')

    assert body == {"a": Decimal("0.1234567890123456789"), "b": 9007199254740993, "c": 100, "d": 0}
    assert isinstance(body["b"], int)
    assert str(body["c"]) == "1E+2"


def test_what_is_no_number_is_no_value() -> None:
    assert decode(b"[NaN, Infinity, -Infinity, null]") == [None] * 4


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"<html>", b"[" * 100_000])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever text Python has for it
        decode(content)


def test_an_answer_keeps_its_exact_bytes(connect: Connect) -> None:
    sandbox, ibkr = connect()
    text = '[ {"id":"U7654321", "currency":"EUR", "x":1.10} ]'
    sandbox.faults.add(Fault("status", "GET portfolio/accounts", status=200, body=text))

    answer = ibkr.portfolio_accounts().answer

    assert answer.content == text.encode()
    assert answer.body[0]["x"] == Decimal("1.10")


def test_the_request_is_kept_with_the_answer(connect: Connect) -> None:
    _, ibkr = connect()

    performance = ibkr.account_performance(["U7654321"], "1Y").answer
    positions = ibkr.positions("U7654321", page=0, sort="position", direction="a").answer

    assert performance.request == {"acctIds": ["U7654321"], "period": "1Y"}
    assert positions.request == {"sort": "position", "direction": "a"}
    assert positions.endpoint == "GET portfolio/U7654321/positions/0"


# --- what it leaves behind, and what it does not take up ------------------------------------------


def test_no_line_of_any_log_holds_an_account_or_a_secret(connect: Connect) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(lambda record: ".sandbox." not in record.name)  # the other side's
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        sandbox, ibkr = connect()
        ibkr.portfolio_account_information("U7654321")
        sandbox.faults.add(preset("reset"))
        with pytest.raises(BrokerUnreachableError):
            ibkr.portfolio_summary("U7654321")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)

    config = ibkr.oauth_config
    secrets = [config.access_token, config.access_token_secret, config.dh_prime, ibkr.live_session_token]
    assert "portfolio/{a}/meta: 200" in written.getvalue()
    for text in ["U7654321", *secrets]:
        assert text not in written.getvalue()


def test_an_entry_in_netrc_does_not_take_the_place_of_the_signature(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ada password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    sandbox, ibkr = connect()
    ibkr._session.trust_env = True  # as it is for every address beyond this computer

    assert ibkr.portfolio_accounts().data

    assert not [call for call in sandbox.calls if call.bad_signature]


def test_a_proxy_is_not_asked_for_an_address_on_this_computer(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    _, ibkr = connect()

    assert ibkr.portfolio_accounts().data


def test_a_proxy_that_does_not_work_is_named(login: LogIn, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _, user = login()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")

    with pytest.raises(BrokerUnreachableError, match="the proxy"):
        ReadOnlyClient(prepare(user), "https://nowhere.invalid/v1/api/", 5).portfolio_accounts()


def test_environment_and_env_files_of_ibind_change_nothing(login: LogIn, tmp_path: Path) -> None:
    sandbox, _ = login()
    (tmp_path / "dotenv.py").write_text(
        "def load_dotenv(*_):\n    raise SystemExit('a .env file was read')\n"
    )
    stray = {
        "IBIND_USE_SESSION": "neither yes nor no",  # iBind would fail on it
        "IBIND_USE_OAUTH": "false",
        "IBIND_INIT_BROKERAGE_SESSION": "true",
        "IBIND_AUTO_REGISTER_SHUTDOWN": "true",
        "IBIND_ACCOUNT_ID": "U9999999",
        "IBIND_OAUTH1A_ACCESS_TOKEN": "stray",
        "IBIND_OAUTH1A_CONSUMER_KEY": "stray",
        "IBIND_OAUTH1A_ENCRYPTION_KEY_FP": "/nowhere/stray.pem",
        "IBIND_OAUTH1A_REALM": "stray",
        "IBIND_OAUTH1A_DH_GENERATOR": "5",
        "IBIND_OAUTH1A_LIVE_SESSION_TOKEN_ENDPOINT": "stray",
        "IBIND_LOGS_DIR": str(tmp_path / "logs"),
        "IBIND_ENV_FILE": str(tmp_path / ".env"),
        "IBIND_OAUTH1A_REST_URL": sandbox.rest_url,
        "STONKS_OVERWATCH_DATA_DIR": str(tmp_path / "data"),
    }
    program = f"""
import django, os, signal, threading
from pathlib import Path
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from stonks_overwatch import config
from stonks_overwatch.services.brokers.ibkr.client import client
before = signal.getsignal(signal.SIGTERM), threading.active_count(), os.environ["IBIND_ACCOUNT_ID"]
print(len(client(config.load(Path({str(sandbox.config_file)!r})).ibkr[0]).portfolio_accounts().data))
assert before == (signal.getsignal(signal.SIGTERM), threading.active_count(), os.environ["IBIND_ACCOUNT_ID"])
"""

    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ
        | stray
        | {
            "DJANGO_SETTINGS_MODULE": "stonks_overwatch.settings",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stdout.strip()) == (0, "1"), run.stderr
    assert not (tmp_path / "logs").exists()
    assert asked(sandbox) == [LOGIN, "GET portfolio/accounts"]


def test_the_package_is_imported_without_ibind() -> None:
    program = "import sys, stonks_overwatch.services.brokers.ibkr.credentials; print('ibind' in sys.modules)"

    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-11-25T06:05+00:00", "nightly reset"),  # 01:05 in New York
        ("2026-11-25T00:30+00:00", "nightly reset"),  # 01:30 in Zurich
        ("2026-11-24T17:10+00:00", "nightly reset"),  # 01:10 in Hong Kong
        ("2026-07-15T05:05+00:00", "nightly reset"),  # 01:05 in New York, in summer
        ("2026-11-28T23:30+00:00", "weekend maintenance"),  # Saturday, 18:30 in New York
        ("2026-11-29T10:30+00:00", "weekend maintenance"),  # Sunday, 05:30 in New York
        ("2026-11-29T12:00+00:00", None),
        ("2026-11-28T15:00+00:00", None),
        ("2026-11-25T14:30+00:00", None),
    ],
)
def test_ibkrs_regular_interruptions_are_known_by_their_hour(moment: str, said: str | None) -> None:
    assert quiet_hours(datetime.fromisoformat(moment)) == said


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (20, "20 seconds fast"),
        (-600, "10 minutes slow"),
        (90_000, "25 hours fast"),
        (-259_200, "3 days slow"),
    ],
)
def test_how_far_a_clock_is_off_is_said_in_words(ahead: float, said: str) -> None:
    assert off(timedelta(seconds=ahead)) == said
