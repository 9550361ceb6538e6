"""What we compute held against what the broker reports, line by line.

The two sides come from different places: the computed one is built from positions, openings and
activities, the reported one is the broker's own sum. Money is in the account's own or the named currency.
"""

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q
from pydantic import Field

from stonks_overwatch.ledger.models import Account, Activity, CashBalance, NavPoint, Position
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.books import NO_LOTS, Books, moving
from stonks_overwatch.reports.cash import Effect, effects
from stonks_overwatch.reports.documents import Computed, Document, known_sum
from stonks_overwatch.reports.holdings import Part, Valuation, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.statements import (
    CENT,
    EXACT,
    Found,
    Rounded,
    Suspect,
    at_prices,
    compared,
    last_digit,
    moves_of,
    nearest,
)

# The broker's cost and profit of a future are since its last daily settlement, ours since its purchase;
# what a currency pair cost is in the cash.
_SETTLED_DAILY = frozenset({AssetClass.FUTURE, AssetClass.CASH})


class Line(Document):
    """`difference` is computed minus reported; null when the computed one is unknown.

    `within` is null where both sides are equal or differ; else it says which figures of the broker's are
    rounded so that their last digit explains the difference: "rates", "prices" or "amounts".

    The rest is for the page only. `agrees`: quantities are equal, money is equal when rounded to cents,
    and what exchange rates are part of is within what their last digit leaves open. `on` is the day of a
    statement's figure (the last one, where it is of the days from `since`), null for the latest answer's.
    `first_on` is the day on which the difference begins and `suspects` the rows that explain it, where
    that can be told.
    """

    what: str
    computed: Computed | None
    reported: Computed
    difference: Computed | None
    within: Rounded | None
    agrees: bool = Field(exclude=True)
    group: str = Field(exclude=True)
    name: str = Field(exclude=True)
    since: date | None = Field(None, exclude=True)
    on: date | None = Field(None, exclude=True)
    first_on: date | None = Field(None, exclude=True)
    instrument: int | None = Field(None, exclude=True)
    suspects: tuple[Suspect, ...] = Field((), exclude=True)


class AccountLines(Document):
    """`agrees`: every line does. `compared`: how many figures were; those of several days are one line."""

    account: str
    as_of: datetime | date
    lines: tuple[Line, ...]
    agrees: bool
    compared: int = Field(exclude=True)
    broker: str = Field(exclude=True)


class ReconcileDocument(Document):
    accounts: tuple[AccountLines, ...]


@kept
def reconcile(scope: Scope, start: date | None = None, end: date | None = None) -> ReconcileDocument:
    """Compare each account with the broker's figures.

    Of the latest state: NAV, cash and accruals of the account; cash and NAV per currency; quantity, value,
    cost and profit of every position. Of an earlier day: NAV, and all that a statement tells which ends
    then. Without a day, a line too for each figure of the statements that end in the days from `start` to
    `end`: of the first one in which it does not agree, else of the last.
    """
    looked_at = accounts(scope)
    moves = moves_of(looked_at)
    kept = moves.matched(None, None)
    told = compared(looked_at, moves, kept, scope.as_of or start, scope.as_of or end)
    if scope.as_of is None and end is not None:
        states = [_State(account, end, []) for account in looked_at]
    else:
        states = _states(scope, kept)
    return ReconcileDocument(
        accounts=tuple(_account(state, told.get(state.account.pk, [])) for state in states)
    )


@kept
def latest(scope: Scope) -> ReconcileDocument:
    """The latest state alone, without values and costs of positions: what is quick to tell."""
    return ReconcileDocument(accounts=tuple(_account(state, []) for state in _states(scope, None)))


class _State(NamedTuple):
    """The lines of one account's state, and the moment or day they are of."""

    account: Account
    as_of: datetime | date
    lines: list[Line]


def _account(state: _State, found: list[Found]) -> AccountLines:
    told = {one.what for one in found if one.on == state.as_of}
    # A statement of the day tells more of its NAV than prices and movements of other days do.
    own = [line for line in state.lines if line.name not in told]
    lines = (*own, *_first_differing(found))
    return AccountLines(
        account=state.account.account,
        as_of=state.as_of,
        lines=lines,
        agrees=all(line.agrees for line in lines),
        compared=len(own) + len(found),
        broker=state.account.broker,
    )


def _first_differing(found: list[Found]) -> list[Line]:
    """A line for each figure: the first day it does not agree on, else the last, an unequal one if any."""
    by_name: dict[str, Found] = {}
    for one in found:
        known = by_name.get(one.what)
        if known is None or (known.agrees and not (known.within and one.agrees and not one.within)):
            by_name[one.what] = one
    return [_told(one) for one in by_name.values()]


def _told(found: Found) -> Line:
    """The line of a statement's figure; its name says of which days, and where the difference begins."""
    spans = found.since is not None and found.since != found.on
    days = f"from {found.since} to {found.on}" if spans else f"on {found.on}"
    if not found.agrees:
        rows = ", ".join(row.activity or row.text for row in found.suspects)
        begins = f"first on {found.first_on}" if spans and found.first_on else ""
        days += f" ({': '.join(part for part in (begins, rows) if part)})" if begins or rows else ""
    difference = None if found.computed is None else found.computed - found.reported
    return Line(
        what=f"{found.what} {days}",
        computed=found.computed,
        reported=found.reported,
        difference=difference,
        within=found.within,
        agrees=found.agrees,
        group=found.group,
        name=found.what,
        since=found.since if spans else None,
        on=found.on,
        first_on=found.first_on,
        instrument=found.instrument,
        suspects=found.suspects,
    )


def _states(scope: Scope, kept: Books | None) -> list[_State]:
    """The latest state of each account, or its NAV at the end of an earlier day."""
    valued = valuation(scope)
    state = valued.state
    current = [account for account in state.accounts if state.is_latest(account)]
    lines = _totals(valued, current)
    _add_currencies(lines, valued, current)
    _add_positions(lines, current, kept)
    lines.update(_ends_of_day(valued, [account for account in state.accounts if account not in current]))
    return [
        _State(
            account,
            account.reported_as_of or account.updated_at if account in current else state.days[account.pk],
            lines[account.pk],
        )
        for account in state.accounts
    ]


def _totals(valued: Valuation, accounts: list[Account]) -> dict[int, list[Line]]:
    """NAV and cash of whole accounts, in their own currency, at the rates of the day the broker told them.

    A statement may have been imported long after that.
    """
    told_on = {account.pk: (account.reported_as_of or account.updated_at).date() for account in accounts}
    rates = Rates.between(min(told_on.values()), max(told_on.values())) if told_on else Rates(())
    lines: dict[int, list[Line]] = {}
    for account in accounts:
        amounts = [
            (part.what, rates.convert(part.amount, part.currency, account.currency, told_on[account.pk]))
            for part in valued.parts[account.pk]
        ]
        nav = known_sum(amount for _, amount in amounts)
        cash = known_sum(amount for what, amount in amounts if what == "cash")
        both = (("NAV", nav, account.reported_nav), ("cash", cash, account.reported_cash))
        lines[account.pk] = [_line(what, ours, theirs) for what, ours, theirs in both if theirs is not None]
    return lines


def _add_currencies(lines: dict[int, list[Line]], valued: Valuation, accounts: list[Account]) -> None:
    known: dict[tuple[int, str], list[Effect]] = defaultdict(list)
    for effect in effects(accounts):
        # A change that nothing explains is what the comparison is to find.
        if not effect.is_guess:
            known[effect.account_id, effect.currency].append(effect)
    for balance in CashBalance.objects.filter(account__in=accounts).order_by("currency"):
        currency = balance.currency
        anchored_on = balance.anchor_at.date() if balance.anchor_at else date.min
        cash = known_sum(
            effect.amount
            for effect in known[balance.account_id, currency]
            # The opening balance holds what came before it with an unknown amount.
            if effect.amount is not None or effect.on > anchored_on
        )
        of_account = lines[balance.account_id]
        of_account.append(_line(f"cash {currency}", cash, balance.amount))
        if balance.reported_nav is not None:
            parts: list[Part] = valued.parts[balance.account_id]
            nav = known_sum(part.amount for part in parts if part.currency == currency)
            of_account.append(_line(f"NAV {currency}", nav, balance.reported_nav))


_Sides = tuple[str, Decimal | None, Decimal | None, Decimal]
"""What it is about, ours, theirs, and from which difference on they do not agree."""


def _add_positions(lines: dict[int, list[Line]], accounts: list[Account], kept: Books | None) -> None:
    """Opening and activities against the reported quantity; with lots, values and costs too."""
    computed: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    guesses = Q(is_derived=True) & ~Q(kind=ActivityKind.OPENING)
    for account_id, instrument_id, quantity in (
        moving(accounts).exclude(guesses).values_list("account_id", "instrument_id", "quantity")
    ):
        if instrument_id is not None and quantity is not None:
            computed[account_id, instrument_id] += quantity
    reported = Position.objects.filter(account__in=accounts).select_related("instrument")
    prices = {} if kept is None else _prices_of_cfds(accounts)
    for position in reported.order_by("instrument__symbol", "instrument_id"):
        paper, quantity = position.instrument, computed[position.account_id, position.instrument_id]
        name = f"{paper.symbol} ({paper.broker_ref})"
        found: list[_Sides] = [("quantity", quantity, position.quantity, EXACT)]
        if kept is not None and position.is_open:
            found += _worth(position, quantity, kept, prices)
        lines[position.account_id] += [
            _line(f"{group} {name}", ours, theirs, slack, group, paper.pk)
            for group, ours, theirs, slack in found
            if theirs is not None
        ]


def _prices_of_cfds(accounts: list[Account]) -> dict[int, dict[str, Decimal]]:
    """What trades in CFDs were made at, by account row and key."""
    found: dict[int, dict[str, Decimal]] = {account.pk: {} for account in accounts}
    rows = Activity.objects.current().filter(account__in=accounts, instrument__asset_class=AssetClass.CFD)
    for account, key, price in rows.values_list("account_id", "key", "price"):
        if price is not None:
            found[account][key] = price
    return found


def _worth(
    position: Position, quantity: Decimal, kept: Books, prices: dict[int, dict[str, Decimal]]
) -> list[_Sides]:
    """Value, cost and profit: of the quantity at the price, and of its lots."""
    paper = position.instrument
    units = quantity * paper.multiplier * paper.quote_factor
    value = None if position.price is None else units * position.price
    lots = kept.lots.get((position.account_id, position.instrument_id), NO_LOTS)
    cost = None
    if lots.quantity == quantity:
        bare = at_prices(lots.open, kept.papers.get(paper.pk), prices[position.account_id])
        cost = nearest(position.cost_basis, lots.cost, bare)
    profit = None if value is None or cost is None else value - cost
    of_price = CENT + abs(units) * last_digit(position.price)
    of_cost = CENT + abs(units) * last_digit(position.average_cost)
    worth = ("market value", value, position.exposure, of_price)
    if paper.asset_class in _SETTLED_DAILY:
        return [worth]
    return [
        worth,
        ("cost basis", cost, position.cost_basis, of_cost),
        ("unrealized P&L", profit, position.unrealized_pnl, of_price + of_cost),
    ]


def _ends_of_day(valued: Valuation, accounts: list[Account]) -> dict[int, list[Line]]:
    """NAV of an earlier day, where the broker told it in the account's currency."""
    lines: dict[int, list[Line]] = {account.pk: [] for account in accounts}
    currency_of = {account.pk: account.currency for account in accounts}
    days = {valued.state.days[pk] for pk in lines}
    for point in NavPoint.objects.filter(account__in=accounts, on__in=days):
        if point.currency == currency_of[point.account_id]:
            nav = known_sum(part.amount_account for part in valued.parts[point.account_id])
            lines[point.account_id].append(_line("NAV", nav, point.nav))
    return lines


def _line(
    what: str,
    computed: Decimal | None,
    reported: Decimal,
    slack: Decimal = CENT,
    group: str = "",
    instrument: int | None = None,
) -> Line:
    """`slack`: from which difference on they do not agree."""
    difference = None if computed is None else computed - reported
    agrees = difference is not None and abs(difference) < slack
    return Line(
        what=what,
        computed=computed,
        reported=reported,
        difference=difference,
        within="prices" if agrees and difference is not None and abs(difference) >= CENT else None,
        agrees=agrees,
        group=group or what.split(" ", 1)[0],
        name=what,
        instrument=instrument,
    )
