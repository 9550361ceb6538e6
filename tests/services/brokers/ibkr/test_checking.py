import pytest

from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Finding
from stonks_overwatch.services.brokers.ibkr.sandbox import preset
from tests.services.brokers.ibkr.conftest import LogIn, asked

pytestmark = pytest.mark.django_db


def statuses(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.status for finding in findings}


def test_a_working_login_passes_every_check(login: LogIn) -> None:
    sandbox, user = login("demo")

    findings = brokers.load("ibkr").check(user)

    assert statuses(findings) == {"address": "ok", "clock": "ok", "login": "ok", "accounts": "ok"}
    assert "U7654321, U2468013" in findings[-1].what
    assert asked(sandbox) == [
        "POST oauth/live_session_token",
        "POST tickle",
        "GET portfolio/accounts",
    ]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("login_401", {"address": "ok", "clock": "ok", "login": "error"}),
        ("login_wrong_lst", {"address": "ok", "clock": "ok", "login": "error"}),
        ("not_enabled", {"address": "ok", "clock": "ok", "login": "error"}),
        ("unavailable", {"address": "ok", "clock": "ok", "login": "error"}),
        ("html", {"address": "ok", "clock": "ok", "login": "error"}),
        ("reset", {"address": "error"}),
        ("stall", {"address": "error"}),
        ("busy", {"address": "warning"}),
        (
            "not_enabled_accounts",
            {"address": "ok", "clock": "ok", "login": "ok", "accounts": "error"},
        ),
    ],
)
def test_each_failure_is_a_finding_with_a_next_step(
    login: LogIn, fault: str, expected: dict[str, str]
) -> None:
    sandbox, user = login(timeout_seconds=0.2)
    sandbox.faults.add(preset(fault))

    findings = brokers.load("ibkr").check(user)

    assert statuses(findings) == expected
    assert all(finding.next_step for finding in findings if finding.status != "ok")


@pytest.mark.parametrize(
    ("seconds", "status", "size"),
    [(10, "ok", ""), (-180, "warning", "3 minutes fast"), (200, "warning", "3 minutes slow")],
)
def test_the_clock_is_compared_with_ibkrs(login: LogIn, seconds: float, status: str, size: str) -> None:
    sandbox, user = login()
    sandbox.faults.add(preset("clock_skew", seconds=float(seconds)))

    clock = next(finding for finding in brokers.load("ibkr").check(user) if finding.check == "clock")

    assert clock.status == status
    assert size in clock.what


def test_a_clock_that_ibkr_does_not_accept_is_an_error_beside_the_refused_login(login: LogIn) -> None:
    sandbox, user = login()
    sandbox.faults.add(preset("clock_skew", seconds=900.0))

    findings = brokers.load("ibkr").check(user)

    assert statuses(findings) == {"address": "ok", "clock": "error", "login": "error"}
    assert "15 minutes slow" in findings[1].what


def test_an_account_that_is_not_visible_is_named(login: LogIn) -> None:
    _, user = login(accounts=("U7654321", "U0000001"))

    findings = brokers.load("ibkr").check(user)

    assert [finding.status for finding in findings if finding.check == "accounts"] == ["ok", "error"]
    assert "U0000001" in findings[-1].what


def test_credentials_that_cannot_be_used_are_a_finding(login: LogIn) -> None:
    _, user = login()
    broken = user.credentials.model_copy(update={"signature_key": None, "signature_key_fp": "/nowhere.pem"})

    findings = brokers.load("ibkr").check(user.model_copy(update={"credentials": broken}))

    assert statuses(findings) == {"login": "error"}
    assert "signature_key_fp" in findings[0].what + findings[0].next_step


def test_an_address_that_is_not_allowed_is_a_finding(login: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    _, user = login()
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", "http://example.org/v1/api/")

    assert statuses(brokers.load("ibkr").check(user)) == {"address": "error"}
