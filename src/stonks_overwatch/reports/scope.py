"""What a report looks at: which accounts, as of when, in which currency."""

from dataclasses import dataclass
from datetime import date

from stonks_overwatch.errors import UnknownAccountError
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.kept import kept

_MOST_REPEATED = 60  # characters of what somebody typed


@dataclass(frozen=True, slots=True)
class Scope:
    """The accounts to look at (all, unless named), the day (the latest known state, unless given)."""

    base_currency: str
    account: str | None = None
    broker: str | None = None
    as_of: date | None = None


def accounts(scope: Scope) -> list[Account]:
    """The accounts looked at, by broker and id; none before the first sync.

    Raises: UnknownAccountError when a named account or broker is not among the stored ones.
    """
    stored = every_account()
    looked_at = [
        account
        for account in stored
        if scope.account in (None, account.account) and scope.broker in (None, account.broker)
    ]
    if looked_at or (scope.account is None and scope.broker is None):
        return looked_at
    named = " ".join(
        f"{word} {value[:_MOST_REPEATED]}"
        for word, value in (("broker", scope.broker), ("account", scope.account))
        if value
    )
    known = ", ".join(f"{account.account} ({account.broker})" for account in stored)
    raise UnknownAccountError(
        f"No stored account matches {named}.",
        next_step=f"Name one of these: {known}." if known else "Run stonks-overwatch sync first.",
    )


@kept
def every_account() -> tuple[Account, ...]:
    """By broker and id."""
    return tuple(Account.objects.order_by("broker", "account"))
