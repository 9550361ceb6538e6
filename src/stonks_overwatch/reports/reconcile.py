"""What we compute held against what the broker reports, line by line.

The two sides come from different places: the computed one is built from positions, openings and
activities, the reported one is the broker's own sum. Money is in the account's own or the named currency.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import starmap
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.db.models.functions import Cast
from pydantic import Field, SkipValidation

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.lots import Lot, Method
from stonks_overwatch.ledger.models import Account, Activity, CashBalance, Instrument, NavPoint, Position
from stonks_overwatch.ledger.rows import plain, plain_number
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.ledger.types import AssetClass
from stonks_overwatch.reports.books import Key
from stonks_overwatch.reports.documents import Computed, Document, Rows, known_sum
from stonks_overwatch.reports.holdings import Valuation, addends, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.lot_books import Live, Positions, Stored, lot_books, papers
from stonks_overwatch.reports.moved import MOVED, Cash, Checkpoints, Moved, checkpoints, moved
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import balance_of
from stonks_overwatch.reports.statements import (
    CENT,
    EXACT,
    NONE,
    Compared,
    Found,
    Rounded,
    Suspect,
    at_prices,
    compared,
    last_digit,
    nearest,
)
from stonks_overwatch.reports.unread import Unread, unread

# The broker's cost and profit of a future are since its last daily settlement, ours since its purchase;
# what a currency pair cost is in the cash.
_SETTLED_DAILY = frozenset({AssetClass.FUTURE, AssetClass.CASH})


class Line(Document):
    """`difference` is computed minus reported; null when the computed one is unknown.

    `within` is null where both sides are equal or differ; else it says which figures of the broker's are
    rounded so that their last digit explains the difference: "rates", "prices" or "amounts".

    The rest is for the page only. `agrees`: quantities are equal, money is equal when rounded to cents,
    and what exchange rates are part of is within what their last digit leaves open. `currency` is empty for
    money in the account's own. `on` is the day of a statement's figure (the last one, where it is of the
    days from `since`), null for the latest answer's. `first_on` is the day on which the
    difference begins and `suspects` the rows that explain it, where that can be told.
    """

    what: str
    computed: Computed | None
    reported: Computed
    difference: Computed | None
    within: Rounded | None
    agrees: bool = Field(exclude=True)
    group: str = Field(exclude=True)
    name: str = Field(exclude=True)
    currency: str = Field(exclude=True)
    since: date | None = Field(None, exclude=True)
    on: date | None = Field(None, exclude=True)
    first_on: date | None = Field(None, exclude=True)
    instrument: int | None = Field(None, exclude=True)
    suspects: tuple[Suspect, ...] = Field((), exclude=True)


class Side(NamedTuple):
    """A figure of a position on both sides; of thousands few are looked at.

    `units` is what the position comes to at a price of 1, `prices` are those that the broker rounds.
    """

    position: "_Position"
    group: str
    computed: Decimal | None
    reported: Decimal
    units: Decimal
    prices: tuple[Decimal | None, ...]

    @property
    def found(self) -> Found:
        is_quantity = self.group == _QUANTITY
        slack, off = EXACT if is_quantity else CENT, None
        if self.computed is not None and not is_quantity:
            off = abs(self.computed - self.reported)
        if off is not None and off >= CENT:  # what the last digits of the prices leave open
            slack = sum((CENT + abs(self.units) * last_digit(one) for one in self.prices), _NOTHING)
        of = self.position
        what = f"{self.group} {of.symbol} ({of.broker_ref})"
        return _figure(
            of.account_id,
            self.group,
            what,
            self.computed,
            self.reported,
            of.currency,
            slack,
            of.instrument_id,
        )


class AccountLines(Document):
    """`agrees`: every line does. `compared`: how many figures were; those of several days are one line.

    `figures` are what the lines are made of, in their order; of these `differing` do not agree, and
    `rounded` only within the broker's rounding. Sides are equal to the cent.
    """

    account: str
    as_of: datetime | date
    lines: Rows[Line]
    agrees: bool
    compared: int = Field(exclude=True)
    broker: str = Field(exclude=True)
    figures: SkipValidation[tuple[Side | Found, ...]] = Field(exclude=True)
    differing: SkipValidation[tuple[Found, ...]] = Field(exclude=True)
    rounded: SkipValidation[tuple[Found, ...]] = Field(exclude=True)


class ReconcileDocument(Document):
    """`unread` says why figures can differ that will agree; null where none differs or all is read."""

    accounts: tuple[AccountLines, ...]
    unread: Unread | None


@kept
def reconcile(scope: Scope, start: date | None = None, end: date | None = None) -> ReconcileDocument:
    """Compare each account with the broker's figures.

    Of the latest state: NAV, cash and accruals of the account; cash and NAV per currency; quantity, value,
    cost and profit of every position. Of an earlier day: NAV, and all that a statement tells which ends
    then. Without a day, a line too for each figure of the statements that end in the days from `start` to
    `end`: of the first one in which it does not agree, else of the last.
    """
    looked_at = accounts(scope)
    base, clock = scope.base_currency, packed.clock()
    known = checkpoints(looked_at, MOVED, packed.STATEMENTS)
    told = compared(looked_at, base, scope.as_of or start, scope.as_of or end, known, clock)
    if scope.as_of is not None:
        states = _on_day(scope, known, clock)
    elif end is not None:
        states = [_State(account, end, []) for account in looked_at]
    else:
        states = _latest(looked_at, known, clock, _Costs(looked_at, base))
    return _document(states, told)


def statements_alone(scope: Scope, start: date | None = None, end: date | None = None) -> ReconcileDocument:
    """The lines of `reconcile` that are of statements, without a reason why they differ."""
    looked_at, clock = accounts(scope), packed.clock()
    known = checkpoints(looked_at, packed.STATEMENTS)
    told = compared(looked_at, scope.base_currency, scope.as_of or start, scope.as_of or end, known, clock)
    states = [_State(account, account.updated_at, []) for account in looked_at]
    lines = tuple(_account(state, told.get(state.account.pk, NONE)) for state in states)
    return ReconcileDocument(accounts=lines, unread=None)


@kept
def latest(scope: Scope) -> ReconcileDocument:
    """The latest state alone, without values and costs of positions: what is quick to tell."""
    looked_at, clock = accounts(scope), packed.clock()
    states = _latest(looked_at, checkpoints(looked_at, MOVED, packed.STATEMENTS), clock, None)
    return _document(states, {})


@kept
def reconcile_anew(scope: Scope, start: date | None = None, end: date | None = None) -> ReconcileDocument:
    """The same, and nothing that is stored counts as unchanged: what another program wrote is seen, too."""
    packed.look_again()
    return reconcile(scope, start, end)


def compare_statements(scope: Scope) -> None:
    """Store what all statements come to."""
    looked_at, clock = accounts(scope), packed.clock()
    compared(looked_at, scope.base_currency, known=checkpoints(looked_at, packed.STATEMENTS), clock=clock)


class _State(NamedTuple):
    """The figures of one account's state, and the moment or day they are of."""

    account: Account
    as_of: datetime | date
    figures: Sequence[Side | Found]


def _document(states: Sequence[_State], told: Mapping[int, Compared]) -> ReconcileDocument:
    lines = tuple(_account(state, told.get(state.account.pk, NONE)) for state in states)
    off = [(state.account, of) for state, of in zip(states, lines, strict=True) if not of.agrees]
    lately = [account for account, of in off if any(one.on is None for one in of.differing)]
    return ReconcileDocument(
        accounts=lines, unread=unread([account for account, _ in off], lately) if off else None
    )


def _account(state: _State, told: Compared) -> AccountLines:
    of_day = {one.what for one in told.figures if one.on == state.as_of}
    # A statement of the day tells more of its NAV than prices and movements of other days do.
    own = [one for one in state.figures if not of_day or found_of(one).what not in of_day]
    figures = (*own, *told.figures)
    unequal = [one for one in figures if isinstance(one, Found) and not one.is_equal]
    differing = tuple(one for one in unequal if not one.agrees)
    return AccountLines(
        account=state.account.account,
        as_of=state.as_of,
        lines=Rows(figures, lines_of),
        agrees=not differing,
        compared=len(own) + told.number,
        broker=state.account.broker,
        figures=figures,
        differing=differing,
        rounded=tuple(one for one in unequal if one.within is not None),
    )


def found_of(figure: Side | Found) -> Found:
    return figure if isinstance(figure, Found) else figure.found


def lines_of(figures: Iterable[Side | Found]) -> list[Line]:
    return [_line(found_of(one)) for one in figures]


def _line(found: Found) -> Line:
    """The line of a figure; a statement's says of which days, and where the difference begins."""
    spans = found.since is not None and found.since != found.on
    days = ""
    if found.on is not None:
        days = f" from {found.since} to {found.on}" if spans else f" on {found.on}"
        if not found.agrees:
            rows = ", ".join(row.activity or row.text for row in found.suspects)
            begins = f"first on {found.first_on}" if spans and found.first_on else ""
            days += f" ({': '.join(part for part in (begins, rows) if part)})" if begins or rows else ""
    return Line(
        what=f"{found.what}{days}",
        computed=found.computed,
        reported=found.reported,
        difference=found.difference,
        within=found.within,
        agrees=found.agrees,
        group=found.group,
        name=found.what,
        currency=found.currency,
        since=found.since if spans else None,
        on=found.on,
        first_on=found.first_on,
        instrument=found.instrument,
        suspects=found.suspects,
    )


def _on_day(scope: Scope, known: Checkpoints, clock: int) -> list[_State]:
    """NAV at the end of an earlier day; the latest state of accounts that did not change since."""
    valued = valuation(scope)
    state = valued.state
    current = [account for account in state.accounts if state.is_latest(account)]
    costs = _Costs(current, scope.base_currency)
    states = {one.account.pk: one for one in _latest(current, known, clock, costs)}
    ends = _ends_of_day(valued, [account for account in state.accounts if account not in current])
    states |= {
        account.pk: _State(account, state.days[account.pk], ends[account.pk])
        for account in state.accounts
        if account.pk in ends
    }
    return [states[account.pk] for account in state.accounts]


class _Part(NamedTuple):
    """One addend of NAV, in its own currency; None is unknown."""

    what: str
    currency: str
    amount: Decimal | None


def _latest(
    looked_at: Sequence[Account], known: Checkpoints, clock: int, costs: "_Costs | None"
) -> list[_State]:
    """The latest state of each account; values and costs of positions where `costs` are given."""
    if not looked_at:
        return []
    positions = _positions(looked_at, are_valued=costs is not None)
    balances = list(CashBalance.objects.filter(account__in=looked_at).order_by("currency"))
    parts: dict[int, list[_Part]] = {account.pk: [] for account in looked_at}
    still = [position for position in positions if position.is_open]
    for row, what, amount in addends(still, list(map(balance_of, balances))):
        parts[row.account_id].append(_Part(what, row.currency, amount))
    sums = moved(looked_at, known, clock)
    found: dict[int, list[Side | Found]] = {pk: [*of] for pk, of in _totals(looked_at, parts).items()}
    for balance in balances:
        found[balance.account_id] += _of_currency(balance, parts[balance.account_id], sums)
    for position in positions:
        quantity = sums.quantities.get((position.account_id, position.instrument_id), _NOTHING)
        found[position.account_id] += _of_position(position, quantity, costs)
    return [
        _State(account, account.reported_as_of or account.updated_at, found[account.pk])
        for account in looked_at
    ]


def _totals(accounts: Sequence[Account], parts: Mapping[int, Sequence[_Part]]) -> dict[int, list[Found]]:
    """NAV and cash of whole accounts, in their own currency, at the rates of the day the broker told them.

    A statement may have been imported long after that.
    """
    told_on = {account.pk: (account.reported_as_of or account.updated_at).date() for account in accounts}
    rates = Rates.between(min(told_on.values()), max(told_on.values()))
    found: dict[int, list[Found]] = {account.pk: [] for account in accounts}
    for account in accounts:
        if account.reported_nav is None and account.reported_cash is None:
            continue
        amounts = [
            (part.what, rates.convert(part.amount, part.currency, account.currency, told_on[account.pk]))
            for part in parts[account.pk]
        ]
        nav = known_sum(amount for _, amount in amounts)
        cash = known_sum(amount for what, amount in amounts if what == "cash")
        both = (("NAV", nav, account.reported_nav), ("cash", cash, account.reported_cash))
        found[account.pk] = [
            _figure(account.pk, what, what, ours, theirs) for what, ours, theirs in both if theirs is not None
        ]
    return found


def _of_currency(balance: CashBalance, parts: Sequence[_Part], sums: Moved) -> Iterator[Found]:
    account, currency = balance.account_id, balance.currency
    # The opening balance holds what came before it with an unknown amount.
    anchored_on = balance.anchor_at.date() if balance.anchor_at else date.min
    cash = sums.cash.get((account, currency), Cash()).after(anchored_on)
    yield _figure(account, "cash", f"cash {currency}", cash, balance.amount, currency)
    if balance.reported_nav is not None:
        nav = known_sum(part.amount for part in parts if part.currency == currency)
        yield _figure(account, "NAV", f"NAV {currency}", nav, balance.reported_nav, currency)


class _Position(NamedTuple):
    """What the broker tells of a position; texts are as the database keeps them.

    From `multiplier` on it is told where the position is valued.
    """

    account_id: int
    instrument_id: int
    symbol: str
    broker_ref: str
    currency: str
    asset_class: str
    is_open: bool
    quantity: str
    adds_to_nav: str | None
    multiplier: str = ""
    quote_factor: str = ""
    price: str | None = None
    exposure: str | None = None
    average_cost: str | None = None
    cost_basis: str | None = None
    unrealized_pnl: str | None = None

    @property
    def market_value(self) -> Decimal | None:
        return plain_number(self.adds_to_nav)


_POSITION: tuple[str | Cast, ...] = (
    "account_id", "instrument_id",
    *(f"instrument__{name}" for name in ("symbol", "broker_ref", "currency", "asset_class")),
    "is_open", plain("quantity"), plain("market_value"),
)  # fmt: skip
_VALUED: tuple[Cast, ...] = (
    plain("instrument__multiplier"), plain("instrument__quote_factor"),
    *map(plain, ("price", "exposure", "average_cost", "cost_basis", "unrealized_pnl")),
)  # fmt: skip


def _positions(accounts: Sequence[Account], *, are_valued: bool) -> list[_Position]:
    """Also those that are closed: what is left of them is compared too."""
    return list(starmap(_Position, _told(tuple(account.pk for account in accounts), are_valued)))


@prepared
def _told(accounts: tuple[int, ...], are_valued: bool) -> QuerySet[Position, tuple[Any, ...]]:
    rows = Position.objects.filter(account__in=accounts).order_by("instrument__symbol", "instrument_id")
    return rows.values_list(*_POSITION, *(_VALUED if are_valued else ()))


def _of_position(position: _Position, quantity: Decimal, costs: "_Costs | None") -> Iterator[Side | Found]:
    """Opening and activities against the reported quantity; with costs, value and profit too."""
    reported = Decimal(position.quantity)
    side = Side(position, _QUANTITY, quantity, reported, _NOTHING, ())
    yield side if quantity == reported else side.found
    if costs is not None and position.is_open:
        yield from _worth(position, quantity, costs)


class _Costs:
    """What is open cost, matched as the broker matches where it tells, else first in, first out."""

    def __init__(self, accounts: Sequence[Account], base: str) -> None:
        self._accounts = accounts
        self._books: Stored | Live = lot_books(accounts, base, method=Method.BROKER)
        self._costs: Positions = self._books.positions()
        self._of_trades: dict[Key, Decimal | None] | None = None

    def of(self, position: _Position, quantity: Decimal, reported: Decimal | None) -> Decimal | None:
        """None where the lots do not explain the quantity; of two ways to count the nearer to `reported`."""
        key = position.account_id, position.instrument_id
        held, cost = self._costs.get(key, (_NOTHING, _NOTHING))
        if held != quantity:
            return None
        return (
            nearest(reported, cost, self._without_commissions(key))
            if position.asset_class == AssetClass.CFD
            else cost
        )

    def _without_commissions(self, key: Key) -> Decimal | None:
        if self._of_trades is None:
            self._of_trades = _at_prices_of_trades(self._accounts, self._books)
        return self._of_trades.get(key)


def _at_prices_of_trades(accounts: Sequence[Account], books: Stored | Live) -> dict[Key, Decimal | None]:
    """What open CFDs cost at the prices they were traded at, without commissions."""
    prices: dict[int, dict[str, Decimal]] = {account.pk: {} for account in accounts}
    cfds = Instrument.objects.filter(asset_class=AssetClass.CFD)
    trades = Activity.objects.current().filter(account__in=list(accounts), instrument__in=cfds)
    instruments = set()
    for account, instrument, key, price in trades.values_list("account_id", "instrument_id", "key", "price"):
        instruments.add(instrument)
        if price is not None:
            prices[account][key] = price
    contracts = papers(instruments)
    lots: defaultdict[Key, list[Lot]] = defaultdict(list)
    for row in books.open(instruments):
        lots[row.account, row.instrument].append(row.lot)
    return {key: at_prices(of_key, contracts[key[1]], prices[key[0]]) for key, of_key in lots.items()}


def _worth(position: _Position, quantity: Decimal, costs: _Costs) -> Iterator[Side | Found]:
    """Value, cost and profit: of the quantity at the price, and of its lots."""
    units = quantity * Decimal(position.multiplier) * Decimal(position.quote_factor)
    price, average_cost = plain_number(position.price), plain_number(position.average_cost)
    value = None if price is None else units * price
    if position.exposure is not None:
        yield _side(position, "market value", value, Decimal(position.exposure), units, (price,))
    if position.asset_class in _SETTLED_DAILY:
        return
    told = plain_number(position.cost_basis)
    cost = costs.of(position, quantity, told)
    if told is not None:
        yield _side(position, "cost basis", cost, told, units, (average_cost,))
    if position.unrealized_pnl is not None:
        profit = None if value is None or cost is None else value - cost
        reported = Decimal(position.unrealized_pnl)
        yield _side(position, "unrealized P&L", profit, reported, units, (price, average_cost))


def _side(
    position: _Position,
    group: str,
    ours: Decimal | None,
    told: Decimal,
    units: Decimal,
    prices: tuple[Decimal | None, ...],
) -> Side | Found:
    side = Side(position, group, ours, told, units, prices)
    return side if ours is not None and -CENT < ours - told < CENT else side.found


def _ends_of_day(valued: Valuation, accounts: list[Account]) -> dict[int, list[Found]]:
    """NAV of an earlier day, where the broker told it in the account's currency."""
    found: dict[int, list[Found]] = {account.pk: [] for account in accounts}
    if not accounts:
        return found
    currency_of = {account.pk: account.currency for account in accounts}
    days = {valued.state.days[pk] for pk in found}
    for point in NavPoint.objects.filter(account__in=accounts, on__in=days):
        if point.currency == currency_of[point.account_id]:
            nav = known_sum(part.amount_account for part in valued.parts[point.account_id])
            found[point.account_id].append(_figure(point.account_id, "NAV", "NAV", nav, point.nav))
    return found


def _figure(
    account: int,
    group: str,
    what: str,
    computed: Decimal | None,
    reported: Decimal,
    currency: str = "",
    slack: Decimal = CENT,
    instrument: int | None = None,
) -> Found:
    """A figure of a state, of money in the account's currency unless told; the broker rounds prices in it."""
    return Found(
        account, group, what, None, None, computed, reported, slack, instrument, currency, rounded="prices"
    )


_QUANTITY = "quantity"
_NOTHING = Decimal(0)
