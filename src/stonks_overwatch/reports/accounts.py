"""The accounts looked at: what each is worth, what it holds, when it was last updated."""

from collections import Counter
from datetime import date, datetime

from django.db.models import Count

from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.reports.documents import Computed, Document, Exact, KeptIn, share, total
from stonks_overwatch.reports.holdings import Valuation, sum_of, valuation
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
    document = valued.document
    counted = Activity.objects.current().values("account_id").annotate(number=Count("id"))
    activities = {row["account_id"]: row["number"] for row in counted}
    positions = Counter((row.account, row.broker) for row in document.holdings)
    return AccountsDocument(
        as_of=document.as_of,
        base_currency=document.base_currency,
        accounts=tuple(
            _row(valued, account, positions[account.account, account.broker], activities.get(account.pk, 0))
            for account in valued.state.accounts
        ),
        nav_base=document.totals.nav_base,
    )


def _row(valued: Valuation, account: Account, positions: int, activities: int) -> AccountRow:
    key = (account.account, account.broker)
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
        weight=share(nav.nav_base, valued.document.totals.nav_base),
        market_value_base=sum_of(parts, "position", "futures"),
        cash_base=sum_of(parts, "cash"),
        accrued_base=sum_of(parts, "accrued"),
        unrealized_pnl_base=total(
            row.unrealized_pnl_base for row in valued.document.holdings if (row.account, row.broker) == key
        ).value,
        positions=positions,
        activities=activities,
        unknown=valued.unknown.get(account.pk, 0),
        reported_nav=account.reported_nav,
        reported_as_of=account.reported_as_of,
        updated_at=told_at(account),
    )
