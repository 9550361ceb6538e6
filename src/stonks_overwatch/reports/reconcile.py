"""What we compute held against what the broker reports, line by line.

Values are in the account's or the named currency. NAV and cash come from different places: computed ones
are built from positions, openings and activities, reported ones are the broker's own sums.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from django.db.models import Q

from stonks_overwatch.ledger.models import Account, Activity, CashBalance, Position
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.activities import net
from stonks_overwatch.reports.documents import Computed, Document, total
from stonks_overwatch.reports.holdings import Part, Valuation, valuation
from stonks_overwatch.reports.scope import Scope

Key = TypeVar("Key")


class Line(Document):
    """`difference` is computed minus reported; null when one of them is unknown."""

    what: str
    computed: Computed | None
    reported: Computed | None
    difference: Computed | None


class AccountLines(Document):
    """`agrees`: every difference is known, quantities are equal, money is equal when rounded to cents."""

    account: str
    as_of: datetime | None
    lines: tuple[Line, ...]
    agrees: bool


class ReconcileDocument(Document):
    accounts: tuple[AccountLines, ...]


def reconcile(scope: Scope) -> ReconcileDocument:
    """Compare the latest state of each account with the broker's figures of the same moment."""
    valued = valuation(scope)
    ids = [account.pk for account in valued.accounts]
    quantities, cash = _from_activities(ids)
    lines: dict[int, list[Line]] = {pk: [] for pk in ids}
    for account in valued.accounts:
        lines[account.pk] += _account_lines(valued, account)
    nav_by_currency = {pk: _nav_by_currency(parts) for pk, parts in valued.parts.items()}
    for balance in CashBalance.objects.filter(account__in=ids).order_by("currency"):
        key = (balance.account_id, balance.currency)
        of_account = lines[balance.account_id]
        of_account.append(_line(f"cash {balance.currency}", cash.get(key, Decimal(0)), balance.amount))
        if balance.reported_nav is not None:
            nav = nav_by_currency[balance.account_id].get(balance.currency)
            of_account.append(_line(f"NAV {balance.currency}", nav, balance.reported_nav))
    unequal: set[int] = set()
    positions = (
        Position.objects.filter(account__in=ids)
        .order_by("instrument__symbol", "instrument_id")
        .values_list(
            "account_id", "instrument_id", "instrument__symbol", "instrument__broker_ref", "quantity"
        )
    )
    for account_id, instrument_id, symbol, broker_ref, reported in positions:
        computed = quantities.get((account_id, instrument_id), Decimal(0))
        line = _line(f"quantity {symbol} ({broker_ref})", computed, reported)
        lines[account_id].append(line)
        if line.difference != 0:
            unequal.add(account_id)
    return ReconcileDocument(
        accounts=tuple(
            AccountLines(
                account=account.account,
                as_of=account.reported_as_of or account.updated_at,
                lines=tuple(lines[account.pk]),
                agrees=account.pk not in unequal and all(_is_equal_money(line) for line in lines[account.pk]),
            )
            for account in valued.accounts
        )
    )


def _account_lines(valued: Valuation, account: Account) -> list[Line]:
    """NAV and cash of the whole account, in its own currency."""
    parts = valued.parts[account.pk]
    nav = total(part.amount_account for part in parts)
    cash = total(part.amount_account for part in parts if part.what == "cash")
    compared = (("NAV", nav, account.reported_nav), ("cash", cash, account.reported_cash))
    return [
        _line(what, None if computed.unknown else computed.value, reported)
        for what, computed, reported in compared
        if reported is not None
    ]


def _nav_by_currency(parts: Iterable[Part]) -> dict[str, Decimal | None]:
    """The addends of NAV by their own currency; None where one of them is unknown."""
    by_currency: dict[str, list[Decimal | None]] = defaultdict(list)
    for part in parts:
        by_currency[part.currency].append(part.amount)
    return _sums(by_currency)


def _from_activities(
    account_ids: list[int],
) -> tuple[dict[tuple[int, int], Decimal | None], dict[tuple[int, str], Decimal | None]]:
    """Quantities by account and instrument, and cash by account and currency, from openings and activities.

    Changes that the ledger derived because nothing explains them are left out: they are what the
    comparison is to find. What an activity with an unknown amount touches is unknown.
    """
    quantities: dict[tuple[int, int], list[Decimal | None]] = defaultdict(list)
    cash: dict[tuple[int, str], list[Decimal | None]] = defaultdict(list)
    rows = Activity.objects.filter(account__in=account_ids, superseded_by=None)
    rows = rows.exclude(Q(is_derived=True) & ~Q(kind=ActivityKind.OPENING)).select_related("instrument")
    for row in rows:
        instrument = row.instrument
        if row.kind == ActivityKind.FX and instrument is not None:
            cash[row.account_id, instrument.broker_ref].append(row.quantity)
        elif instrument is not None and row.quantity is not None:
            quantities[row.account_id, instrument.pk].append(row.quantity)
        if not (row.kind == ActivityKind.OPENING and instrument is not None):
            cash[row.account_id, row.currency].append(net(row.gross, row.fee, row.tax))
    return (_sums(quantities), _sums(cash))


def _sums(parts: dict[Key, list[Decimal | None]]) -> dict[Key, Decimal | None]:
    summed = {key: total(amounts) for key, amounts in parts.items()}
    return {key: None if amount.unknown else amount.value for key, amount in summed.items()}


def _line(what: str, computed: Decimal | None, reported: Decimal | None) -> Line:
    difference = None if computed is None or reported is None else computed - reported
    return Line(what=what, computed=computed, reported=reported, difference=difference)


def _is_equal_money(line: Line) -> bool:
    return line.difference is not None and round(line.difference, 2) == 0
