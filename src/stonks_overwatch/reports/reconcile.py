"""What we compute held against what the broker reports, line by line.

The two sides come from different places: the computed one is built from positions, openings and
activities, the reported one is the broker's own sum. Money is in the account's own or the named currency.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Q
from pydantic import Field

from stonks_overwatch.ledger.models import Account, CashBalance, NavPoint, Position
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.books import moving
from stonks_overwatch.reports.cash import Effect, effects
from stonks_overwatch.reports.documents import Computed, Document, total
from stonks_overwatch.reports.holdings import Part, Valuation, valuation
from stonks_overwatch.reports.scope import Scope


class Line(Document):
    """`difference` is computed minus reported; null when the computed one is unknown.

    `agrees` is for the page only: quantities are equal, money is equal when rounded to cents.
    """

    what: str
    computed: Computed | None
    reported: Computed
    difference: Computed | None
    agrees: bool = Field(exclude=True)


class AccountLines(Document):
    """`agrees`: every line does."""

    account: str
    as_of: datetime | date
    lines: tuple[Line, ...]
    agrees: bool


class ReconcileDocument(Document):
    accounts: tuple[AccountLines, ...]


def reconcile(scope: Scope) -> ReconcileDocument:
    """Compare each account with the broker's figures.

    Of the latest state: NAV and cash of the account; cash and NAV per currency; the quantity of every
    instrument. Of an earlier day brokers tell NAV alone.
    """
    valued = valuation(scope)
    state = valued.state
    latest = [account for account in state.accounts if state.is_latest(account)]
    lines = {account.pk: _totals(valued, account) for account in latest}
    _add_currencies(lines, valued, latest)
    _add_quantities(lines, latest)
    lines.update(_ends_of_day(valued, [account for account in state.accounts if account not in latest]))
    return ReconcileDocument(
        accounts=tuple(
            AccountLines(
                account=account.account,
                as_of=account.reported_as_of or account.updated_at
                if account in latest
                else state.days[account.pk],
                lines=tuple(lines[account.pk]),
                agrees=all(line.agrees for line in lines[account.pk]),
            )
            for account in state.accounts
        )
    )


def _totals(valued: Valuation, account: Account) -> list[Line]:
    """NAV and cash of the whole account, in its own currency."""
    parts = valued.parts[account.pk]
    nav = _if_known(part.amount_account for part in parts)
    cash = _if_known(part.amount_account for part in parts if part.what == "cash")
    compared = (("NAV", nav, account.reported_nav), ("cash", cash, account.reported_cash))
    return [_line(what, ours, theirs) for what, ours, theirs in compared if theirs is not None]


def _add_currencies(lines: dict[int, list[Line]], valued: Valuation, accounts: list[Account]) -> None:
    known: dict[tuple[int, str], list[Effect]] = defaultdict(list)
    for effect in effects(accounts):
        # A change that nothing explains is what the comparison is to find.
        if not effect.is_guess:
            known[effect.account_id, effect.currency].append(effect)
    for balance in CashBalance.objects.filter(account__in=accounts).order_by("currency"):
        currency = balance.currency
        anchored_on = balance.anchor_at.date() if balance.anchor_at else date.min
        cash = _if_known(
            effect.amount
            for effect in known[balance.account_id, currency]
            # The opening balance holds what came before it with an unknown amount.
            if effect.amount is not None or effect.on > anchored_on
        )
        of_account = lines[balance.account_id]
        of_account.append(_line(f"cash {currency}", cash, balance.amount))
        if balance.reported_nav is not None:
            parts: list[Part] = valued.parts[balance.account_id]
            nav = _if_known(part.amount for part in parts if part.currency == currency)
            of_account.append(_line(f"NAV {currency}", nav, balance.reported_nav))


def _add_quantities(lines: dict[int, list[Line]], accounts: list[Account]) -> None:
    """Opening and activities against the reported quantity."""
    computed: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    guesses = Q(is_derived=True) & ~Q(kind=ActivityKind.OPENING)
    for account_id, instrument_id, quantity in (
        moving(accounts).exclude(guesses).values_list("account_id", "instrument_id", "quantity")
    ):
        if instrument_id is not None and quantity is not None:
            computed[account_id, instrument_id] += quantity
    reported = Position.objects.filter(account__in=accounts).order_by("instrument__symbol", "instrument_id")
    for account_id, instrument_id, symbol, broker_ref, quantity in reported.values_list(
        "account_id", "instrument_id", "instrument__symbol", "instrument__broker_ref", "quantity"
    ):
        what = f"quantity {symbol} ({broker_ref})"
        lines[account_id].append(_line(what, computed[account_id, instrument_id], quantity, decimals=None))


def _ends_of_day(valued: Valuation, accounts: list[Account]) -> dict[int, list[Line]]:
    """NAV of an earlier day, where the broker told it in the account's currency."""
    lines: dict[int, list[Line]] = {account.pk: [] for account in accounts}
    currency_of = {account.pk: account.currency for account in accounts}
    days = {valued.state.days[pk] for pk in lines}
    for point in NavPoint.objects.filter(account__in=accounts, on__in=days):
        if point.currency == currency_of[point.account_id]:
            nav = _if_known(part.amount_account for part in valued.parts[point.account_id])
            lines[point.account_id].append(_line("NAV", nav, point.nav))
    return lines


def _line(what: str, computed: Decimal | None, reported: Decimal, decimals: int | None = 2) -> Line:
    """`decimals`: how many must agree; None is all."""
    difference = None if computed is None else computed - reported
    return Line(
        what=what,
        computed=computed,
        reported=reported,
        difference=difference,
        agrees=difference is not None
        and (difference if decimals is None else round(difference, decimals)) == 0,
    )


def _if_known(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None as soon as one amount is unknown."""
    summed = total(amounts)
    return None if summed.unknown else summed.value
