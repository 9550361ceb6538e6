"""The accounts looked at: what each is worth, what it holds, when it was last updated."""

from collections.abc import Sequence
from datetime import date, datetime

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.booked import grouped
from stonks_overwatch.reports.documents import Computed, Document, Exact, KeptIn, share, total
from stonks_overwatch.reports.holdings import POSITIONS, Valuation, ValuedPosition, sum_of, untold, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.state import told_at


class AccountRow(Document):
    """One account. Amounts are in `currency`, the one the broker keeps it in, unless named `_base`.

    `nav` is computed from the rows, `reported_nav` is the broker's own figure at `reported_as_of`.
    `unknown` counts the figures that are not known and so are missing in the sums.
    """

    account: str
    broker: str
    login: str
    alias: str
    kind: str
    currency: KeptIn
    opened_on: date | None
    nav: Computed | None
    nav_base: Computed | None
    weight: Computed | None
    market_value_base: Computed | None
    cash_base: Computed | None
    accrued_base: Computed | None
    unrealized_pnl_base: Computed | None
    positions: int
    activities: int
    unknown: int
    reported_nav: Exact | None
    reported_as_of: datetime | None
    updated_at: datetime | None


class AccountsDocument(Document):
    as_of: datetime | date | None
    base_currency: str
    accounts: tuple[AccountRow, ...]
    nav_base: Computed | None


@kept
def account_rows(scope: Scope) -> AccountsDocument:
    valued = valuation(scope)
    activities = packed.counts()
    positions = grouped(valued.positions, lambda one: one.account.pk)
    return AccountsDocument(
        as_of=valued.as_of,
        base_currency=valued.base_currency,
        accounts=tuple(
            _row(valued, account, positions.get(account.pk, []), activities.get(account.pk, 0))
            for account in valued.state.accounts
        ),
        nav_base=valued.totals.nav_base,
    )


def _row(
    valued: Valuation, account: Account, positions: Sequence[ValuedPosition], activities: int
) -> AccountRow:
    nav = valued.nav(account)
    parts = valued.parts[account.pk]
    return AccountRow(
        account=account.account,
        broker=account.broker,
        login=account.login,
        alias=account.alias,
        kind=account.kind,
        currency=account.currency,
        opened_on=account.opened_on,
        nav=nav.nav,
        nav_base=nav.nav_base,
        weight=share(nav.nav_base, valued.totals.nav_base),
        market_value_base=sum_of(parts, *POSITIONS),
        cash_base=sum_of(parts, "cash"),
        accrued_base=sum_of(parts, "accrued"),
        unrealized_pnl_base=total([*(one.unrealized_pnl_base for one in positions), *untold(parts)]).value,
        positions=len(positions),
        activities=activities,
        unknown=valued.unknown.get(account.pk, 0),
        reported_nav=account.reported_nav,
        reported_as_of=account.reported_as_of,
        updated_at=told_at(account),
    )
