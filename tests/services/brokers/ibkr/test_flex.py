"""The Flex Web Service through the real client, against the sandbox's."""

import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import pytest

from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    CredentialsRefusedError,
    StatementNotAvailableError,
    StatementRefusedError,
    StonksError,
    UnexpectedAnswerError,
)
from stonks_overwatch.redaction import Secret
from stonks_overwatch.services.brokers.ibkr import statements
from stonks_overwatch.services.brokers.ibkr.flex import FlexService, pull, windows
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox
from tests.conftest import StartSandbox

TODAY = date(2026, 3, 31)  # a Tuesday; the last close is Monday the 30th


@pytest.fixture
def small(sandbox: StartSandbox) -> Sandbox:
    return sandbox("small", today=TODAY)


@pytest.fixture
def sleeps() -> list[float]:
    return []


Service = Callable[..., FlexService]


@pytest.fixture
def service(small: Sandbox, sleeps: list[float]) -> Service:
    def make(token: str = small.flex.token, address: str = small.flex_url) -> FlexService:
        return FlexService(Secret(token), address, turn=nullcontext, sleep=sleeps.append)

    return make


def steps(small: Sandbox) -> list[tuple[str, int | None]]:
    return [(call.step, call.code) for call in small.flex.calls]


def test_a_statement_is_asked_for_waited_for_and_got(
    small: Sandbox, service: Service, sleeps: list[float]
) -> None:
    small.flex.polls = 3

    content = service().statement(small.flex.query)

    assert statements.looks_like_statement(content)
    assert steps(small) == [
        ("SendRequest", None),
        ("GetStatement", 1019),
        ("GetStatement", 1019),
        ("GetStatement", 1019),
        ("GetStatement", None),
    ]
    assert sleeps == [5, 10, 15, 20]


def test_a_paid_dividend_has_its_ex_date_and_an_interest_none(small: Sandbox, service: Service) -> None:
    content = BytesIO(service().statement(small.flex.query))
    batch = statements.read(content, login="", fetched_at=datetime.now(UTC)).batch
    told = [(row.kind, row.ex_date is not None) for row in batch.activities]
    paid = {one for one in told if one[0] in ("dividend", "tax")}
    assert paid == {("dividend", True), ("tax", True)}
    assert {row.ex_date for row in batch.activities if row.kind == "interest"} <= {None}


def test_the_days_asked_for_are_the_days_of_the_statement(small: Sandbox, service: Service) -> None:
    content = service().statement(small.flex.query, date(2026, 2, 1), date(2026, 2, 27))

    outline = statements.outline(BytesIO(content))
    assert (outline.since, outline.until) == (date(2026, 2, 1), date(2026, 2, 27))


@pytest.mark.parametrize("code", [1001, 1004, 1005, 1006, 1007, 1008, 1009, 1018, 1021])
def test_codes_that_pass_are_tried_again_with_growing_waits(
    small: Sandbox, service: Service, sleeps: list[float], code: int
) -> None:
    small.flex.fail("SendRequest", code, code)

    assert service().statement(small.flex.query)

    first, second = sleeps[:2]
    assert second == 2 * first
    assert [step for step, _ in steps(small)].count("SendRequest") == 3


def test_too_many_requests_are_followed_by_at_least_a_minute_of_silence(
    small: Sandbox, service: Service, sleeps: list[float]
) -> None:
    small.flex.fail("SendRequest", 1018)

    service().statement(small.flex.query)

    assert sleeps[0] >= 60


@pytest.mark.parametrize(
    ("code", "error", "names"),
    [
        (1003, StatementNotAvailableError, "period"),
        (1010, StatementRefusedError, "query_id"),
        (1011, StatementRefusedError, "Enable"),
        (1012, CredentialsRefusedError, "Generate a new one"),
        (1013, StatementRefusedError, "IP restriction"),
        (1014, StatementRefusedError, "query_id"),
        (1015, CredentialsRefusedError, "token"),
        (1016, StatementRefusedError, "accounts"),
        (1020, StatementRefusedError, "query_id"),
        (1099, StatementRefusedError, "documentation"),
    ],
)
def test_codes_for_the_user_are_told_at_once(
    small: Sandbox,
    service: Service,
    sleeps: list[float],
    code: int,
    error: type[StonksError],
    names: str,
) -> None:
    small.flex.fail("SendRequest", code)

    with pytest.raises(error) as caught:
        service().statement(small.flex.query)

    assert str(code) in caught.value.what
    assert names in caught.value.next_step
    assert not sleeps
    assert len(small.flex.calls) == 1


def test_a_lost_reference_is_asked_for_anew_once(small: Sandbox, service: Service) -> None:
    small.flex.fail("GetStatement", 1017)
    assert service().statement(small.flex.query)

    small.flex.fail("GetStatement", 1017, 1017)
    with pytest.raises(BrokerUnavailableError):
        service().statement(small.flex.query)

    assert [step for step, _ in steps(small)].count("SendRequest") == 4


def test_a_service_that_stays_busy_is_left_until_later(small: Sandbox, service: Service) -> None:
    small.flex.fail("SendRequest", *[1018] * 4)

    with pytest.raises(BrokerBusyError):
        service().statement(small.flex.query)

    assert len(small.flex.calls) == 4


def test_a_statement_that_is_never_ready_ends_after_ten_minutes(
    small: Sandbox, service: Service, sleeps: list[float]
) -> None:
    small.flex.polls = 1000

    with pytest.raises(BrokerUnavailableError):
        service().statement(small.flex.query)

    assert 600 <= sum(sleeps) < 630


def test_a_wrong_token_is_named_as_such(small: Sandbox, service: Service) -> None:
    with pytest.raises(CredentialsRefusedError) as caught:
        service(token="123456789012345678901234").statement(small.flex.query)

    assert "ibkr.flex.token" in caught.value.next_step


def test_a_wrong_query_number_is_named_as_such(service: Service) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        service().statement("111111")

    assert "ibkr.flex.query_id" in caught.value.next_step


@pytest.mark.parametrize(
    "address",
    [
        "https://ibkr.example.org/GetStatement",
        "http://gdcdyn.interactivebrokers.com/GetStatement",
        "https://gdcdyn.interactivebrokers.com@example.org/GetStatement",
        "https://example.org/.interactivebrokers.com/GetStatement",
        "https://gdcdyn.interactivebrokers.com.example.org/GetStatement",
        "https://gdcdyn.interactivebrokers.com:8443/GetStatement",
        "https://fakeinteractivebrokers.com/GetStatement",
        "http://127.0.0.1:1/GetStatement",
        "file:///etc/passwd",
        "https://[/GetStatement",
    ],
)
def test_the_token_goes_to_no_other_host(small: Sandbox, service: Service, address: str) -> None:
    small.flex.returned_url = address

    with pytest.raises(UnexpectedAnswerError):
        service().statement(small.flex.query)

    assert [step for step, _ in steps(small)] == ["SendRequest"]


def test_a_redirect_is_not_followed(small: Sandbox, service: Service) -> None:
    small.faults.add(Fault("redirect", "GET flex/SendRequest"))

    with pytest.raises(UnexpectedAnswerError):
        service().statement(small.flex.query)

    assert not small.flex.calls


def test_a_service_that_is_down_is_tried_again_and_then_left(
    small: Sandbox, service: Service, sleeps: list[float]
) -> None:
    small.faults.add(Fault("status", "GET flex/*", times=2, status=503, body="<html>maintenance</html>"))
    assert service().statement(small.flex.query)
    assert sleeps[:2] == [5, 10]

    small.faults.add(Fault("status", "GET flex/*", status=503))
    with pytest.raises(BrokerUnavailableError):
        service().statement(small.flex.query)


def test_a_page_in_place_of_an_answer_is_shown_and_not_parsed(small: Sandbox, service: Service) -> None:
    small.faults.add(Fault("status", "GET flex/SendRequest", status=200, body="<html><p>Sign in"))

    with pytest.raises(UnexpectedAnswerError) as caught:
        service().statement(small.flex.query)

    assert "Sign in" in caught.value.what


def test_an_answer_with_a_document_type_is_refused(small: Sandbox, service: Service) -> None:
    body = '<!DOCTYPE a [<!ENTITY b "c">]><FlexStatementResponse><Status>&b;</Status></FlexStatementResponse>'
    small.faults.add(Fault("status", "GET flex/SendRequest", status=200, body=body))

    with pytest.raises(UnexpectedAnswerError):
        service().statement(small.flex.query)


def test_a_connection_that_is_reset_is_tried_again(small: Sandbox, service: Service) -> None:
    small.faults.add(Fault("reset", "GET flex/GetStatement", times=1))

    assert service().statement(small.flex.query)


def test_an_answer_cut_off_on_the_way_is_asked_for_again(small: Sandbox, service: Service) -> None:
    small.faults.add(Fault("cut_off", "GET flex/SendRequest", times=1))

    assert service().statement(small.flex.query)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_no_error_holds_the_token(small: Sandbox, service: Service) -> None:
    token = small.flex.token
    failing = [
        service(address=f"http://127.0.0.1:{free_port()}/"),
        service(address="https://no-such-host.invalid/"),
    ]
    for one in failing:
        with pytest.raises(BrokerUnreachableError) as caught:
            one.statement(small.flex.query)
        assert token not in "".join(traceback.format_exception(caught.value))


@contextmanager
def recorded_headers() -> Iterator[tuple[str, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers.items()))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<a><ErrorCode>1014</ErrorCode></a>")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", seen
    finally:
        server.shutdown()
        server.server_close()


def test_requests_name_an_agent_that_the_service_knows(service: Service) -> None:
    with recorded_headers() as (address, seen), pytest.raises(StatementRefusedError):
        service(address=address).statement("1")

    assert seen[0]["User-Agent"].startswith("Python/3.")
    assert "Authorization" not in seen[0]


# The whole history


def test_windows_go_back_a_year_at_a_time() -> None:
    assert windows(date(2024, 1, 1), date(2026, 3, 30), []) == [
        (date(2025, 3, 31), date(2026, 3, 30)),
        (date(2024, 3, 31), date(2025, 3, 30)),
        (date(2024, 1, 1), date(2024, 3, 30)),
    ]
    assert all(until - since < timedelta(days=365) for since, until in windows(date(1990, 1, 1), TODAY, []))


def test_what_is_covered_is_not_asked_for_again() -> None:
    covered = [(date(2024, 1, 1), date(2024, 12, 31)), (date(2024, 6, 1), date(2026, 3, 27))]

    assert windows(date(2023, 12, 1), date(2026, 3, 30), covered) == [
        (date(2026, 3, 28), date(2026, 3, 30)),
        (date(2023, 12, 1), date(2023, 12, 31)),
    ]
    assert windows(date(2024, 1, 1), date(2026, 3, 27), covered) == []


def test_the_history_is_pulled_back_to_the_first_year_without_an_account(
    small: Sandbox, service: Service
) -> None:
    failures: list[StonksError] = []
    spans = windows(date(2010, 1, 1), date(2026, 3, 30), [])

    found = list(pull(service(), small.flex.query, spans, failures))

    # The account was opened 700 days before: two years have it, the third does not.
    assert [download.asked for download in found] == spans[:3]
    assert [bool(download.content) for download in found] == [True, True, False]
    assert all(download.covers == download.asked for download in found[:2])
    assert not failures


def test_a_query_that_keeps_to_its_own_period_is_told_and_not_asked_again(
    small: Sandbox, service: Service
) -> None:
    small.flex.honours_dates = False
    small.flex.period_days = 30
    failures: list[StonksError] = []
    spans = windows(date(2020, 1, 1), date(2026, 3, 30), [])

    found = list(pull(service(), small.flex.query, spans, failures))

    assert [download.covers for download in found] == [(date(2026, 3, 1), date(2026, 3, 30))]
    fewer, other = (failure.what for failure in failures)
    assert "starts on 2026-03-01 and not on 2025-03-31" in fewer
    assert "not for 2024-03-31 to 2025-03-30" in other


def test_an_error_in_an_older_year_leaves_the_newer_ones(small: Sandbox, service: Service) -> None:
    spans = windows(date(2020, 1, 1), date(2026, 3, 30), [])
    pulled = pull(service(), small.flex.query, spans, [])
    assert next(pulled).content

    small.flex.fail("SendRequest", 1012)
    with pytest.raises(CredentialsRefusedError):
        next(pulled)
