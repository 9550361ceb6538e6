"""What `doctor` and the settings page learn by asking IBKR: one login, and which accounts it may read."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

from django.db.models import Max

from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    ConfigError,
    NotActiveError,
    StatementNotAvailableError,
    StonksError,
    UnexpectedAnswerError,
)
from stonks_overwatch.services.brokers.base import Finding
from stonks_overwatch.services.brokers.ibkr import pace, statements
from stonks_overwatch.services.brokers.ibkr.client import ReadOnlyClient, client, not_visible, off
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin, flex_url, rest_url
from stonks_overwatch.services.brokers.ibkr.flex import ENDPOINT, FlexService
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrAnswer
from stonks_overwatch.services.brokers.ibkr.rows import text

CLOCK_WARNING = timedelta(seconds=30)
CLOCK_ERROR = timedelta(minutes=5)
FLEX_PATIENCE = 40.0  # seconds


def check(login: IbkrLogin) -> list[Finding]:
    """Address, clock, login, accounts and Flex, in this order; after an error the rest is left out.

    Never raises for what IBKR or the way to it does.
    """
    try:
        address = rest_url()
    except ConfigError as err:
        return [_failed("address", err)]
    try:
        asked = client(login)
        tickled = asked.tickle().data
    except BrokerBusyError as err:
        return [Finding("address", "warning", err.what, err.next_step)]
    except BrokerUnreachableError as err:
        if not isinstance(err, BrokerUnavailableError):
            return [_failed("address", err)]
        return [_reached(address), *_clock(asked), _failed("login", err)]
    except ConfigError as err:  # nothing was sent
        return [_failed("login", err)]
    except UnexpectedAnswerError as err:
        return [_reached(address), *_clock(asked), _not_ibkr(err)]
    except NotActiveError as err:
        return [_reached(address), *_clock(asked), _not_known(err, login)]
    except StonksError as err:
        return [_reached(address), *_clock(asked), _failed("login", err)]
    return [
        _reached(address),
        *_clock(asked),
        Finding("login", "ok", "IBKR accepts the login."),
        *_competing(tickled),
        *_accounts(asked, login),
        *_flex(login),
    ]


def _reached(address: str) -> Finding:
    return Finding("address", "ok", f"{address} answers.")


def _not_ibkr(error: UnexpectedAnswerError) -> Finding:
    """An answer that is not IBKR's: something on the way answers in its place."""
    if "a web page" not in str(error.value):
        return _failed("login", error)
    return Finding(
        "login",
        "error",
        "A web page came in place of IBKR's answer: a proxy or the sign-in page of a network stands in "
        "between, or IBKR is being maintained.",
        "Open any page in a browser and sign in to the network if it asks; behind a proxy set HTTPS_PROXY.",
    )


def _not_known(error: NotActiveError, login: IbkrLogin) -> Finding:
    """Credentials that IBKR does not know: whether they ever worked tells a new token from a replaced one."""
    last = IbkrAnswer.objects.filter(login=login.name).aggregate(at=Max("last_seen_at"))["at"]
    if last is None:
        return _failed("login", error)
    return Finding(
        "login",
        "error",
        f"IBKR does not know these credentials any more: they worked until {last:%d %B %Y}. The token was "
        "revoked or a newer one has replaced it, or they were changed in config.json.",
        "Generate the access token again on IBKR's OAuth page and enter it: `stonks-overwatch ibkr-setup "
        "--token`.",
    )


def _competing(tickled: Mapping[str, Any]) -> list[Finding]:
    """What `tickle` says about the brokerage session, which one login of a user name can have at a time."""
    state = (tickled.get("iserver") or {}).get("authStatus") or {}
    if not state.get("competing"):
        return []
    return [
        Finding(
            "live updates",
            "warning",
            "Another login uses the brokerage session of this user name (TWS, the phone app or the website). "
            "Live values wait for it; syncs do not.",
            "Nothing, or give Stonks Overwatch a second user name of its own at IBKR.",
        )
    ]


def _clock(asked: ReadOnlyClient) -> list[Finding]:
    ahead = asked.clock_ahead
    if ahead is None:
        return [
            Finding(
                "clock",
                "warning",
                "IBKR's answer has no time, so this computer's clock could not be compared.",
                "Nothing, if the clock is right.",
            )
        ]
    if abs(ahead) <= CLOCK_WARNING:
        return [Finding("clock", "ok", "This computer's clock agrees with IBKR's.")]
    return [
        Finding(
            "clock",
            "error" if abs(ahead) > CLOCK_ERROR else "warning",
            f"This computer's clock is {off(ahead)}; IBKR refuses logins from a wrong clock.",
            "Let the system set its clock by itself (on Linux: `timedatectl set-ntp true`).",
        )
    ]


def _accounts(asked: ReadOnlyClient, login: IbkrLogin) -> list[Finding]:
    try:
        rows = asked.portfolio_accounts().data
    except BrokerBusyError as err:
        return [Finding("accounts", "warning", err.what, err.next_step)]
    except StonksError as err:
        return [_failed("accounts", err)]
    visible = [account for row in rows if (account := text(row, "accountId", "id"))]
    if not visible:
        return [
            Finding(
                "accounts",
                "error",
                "IBKR lists no account for this login.",
                "Check in Client Portal that its user name may see an account.",
            )
        ]
    hidden = [_failed("accounts", not_visible(a)) for a in login.accounts or () if a not in visible]
    return [Finding("accounts", "ok", f"The login may read {', '.join(visible)}."), *hidden]


class _NotWaitedForError(Exception):
    """IBKR wants more time for a statement than a check takes."""


def _flex(login: IbkrLogin) -> list[Finding]:
    """Whether IBKR makes a statement of the last days, and whether the query has all that is wanted."""
    if login.flex is None:
        return []
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds
        if waited > FLEX_PATIENCE:
            raise _NotWaitedForError
        pace.wait(seconds)

    today = datetime.now(UTC).date()
    try:
        address = flex_url()
        pacer = pace.Pacer(login.flex.token.reveal(), address)
        service = FlexService(login.flex.token, address, turn=lambda: pacer.turn(ENDPOINT), sleep=sleep)
        content = service.statement(login.flex.query_id, today - timedelta(days=7), today - timedelta(days=1))
        reading = statements.read(BytesIO(content), login=login.name, fetched_at=datetime.now(UTC))
    except _NotWaitedForError:
        return [
            Finding(
                "flex",
                "warning",
                f"IBKR was still busy with the Flex statement after {FLEX_PATIENCE:.0f} seconds.",
                "Nothing: a sync waits longer.",
            )
        ]
    except StatementNotAvailableError:
        return [Finding("flex", "ok", "IBKR accepts the Flex token and the query.")]
    except BrokerBusyError as err:
        return [Finding("flex", "warning", err.what, err.next_step)]
    except StonksError as err:
        return [_failed("flex", err)]
    boxes = [section.box for section in reading.missing]
    if not boxes:
        return [Finding("flex", "ok", "IBKR makes the Flex statements, and the query has all sections.")]
    return [
        Finding(
            "flex",
            "warning",
            f"The Flex query lacks {len(boxes)} of the sections that are read.",
            f"Open the query in IBKR's Client Portal and tick: {'; '.join(boxes)}.",
        )
    ]


def _failed(what: str, error: StonksError) -> Finding:
    return Finding(what, "error", error.what, error.next_step)
