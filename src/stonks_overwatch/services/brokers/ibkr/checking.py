"""What `doctor` and the settings page learn by asking IBKR: one login, and which accounts it may read."""

from datetime import timedelta

from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    ConfigError,
    StonksError,
)
from stonks_overwatch.services.brokers.base import Finding
from stonks_overwatch.services.brokers.ibkr.client import ReadOnlyClient, client, not_visible, off
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin, rest_url
from stonks_overwatch.services.brokers.ibkr.rows import text

CLOCK_WARNING = timedelta(seconds=30)
CLOCK_ERROR = timedelta(minutes=5)


def check(login: IbkrLogin) -> list[Finding]:
    """Address, clock, login and accounts, in this order; what cannot be looked at after an error is left out.

    Never raises for what IBKR or the way to it does.
    """
    try:
        address = rest_url()
    except ConfigError as err:
        return [_failed("address", err)]
    try:
        asked = client(login)
        asked.tickle()
    except BrokerBusyError as err:
        return [Finding("address", "warning", err.what, err.next_step)]
    except BrokerUnreachableError as err:
        if not isinstance(err, BrokerUnavailableError):
            return [_failed("address", err)]
        return [_reached(address), *_clock(asked), _failed("login", err)]
    except ConfigError as err:  # nothing was sent
        return [_failed("login", err)]
    except StonksError as err:
        return [_reached(address), *_clock(asked), _failed("login", err)]
    return [
        _reached(address),
        *_clock(asked),
        Finding("login", "ok", "IBKR accepts the login."),
        *_accounts(asked, login),
    ]


def _reached(address: str) -> Finding:
    return Finding("address", "ok", f"{address} answers.")


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


def _failed(what: str, error: StonksError) -> Finding:
    return Finding(what, "error", error.what, error.next_step)
