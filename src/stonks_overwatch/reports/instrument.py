"""One instrument: what is held of it, its lots, what it earned and by what, its prices and what was done."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Literal

from django.db.models import Q

from stonks_overwatch.errors import UnknownInstrumentError
from stonks_overwatch.ledger.lots import RETURN_OF_CAPITAL, Method
from stonks_overwatch.ledger.models import Account, Activity, Instrument, Price
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.booked import Booked, booked, last_day
from stonks_overwatch.reports.books import Paper
from stonks_overwatch.reports.documents import Computed, Document, Exact, quoted_in, times, total
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.lot_books import lot_books, papers
from stonks_overwatch.reports.lots import LotRow, lot_rows
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.realized import ClosedLot, closed_lot
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Held, state_of, told_at

_TRADES = (ActivityKind.BUY, ActivityKind.SELL)
_INCOME = (ActivityKind.DIVIDEND, ActivityKind.INTEREST)


class Happening(Document):
    """One activity in the instrument. `net` is gross + fee + tax; cash into the account is positive."""

    id: str
    on: date
    account: str
    kind: str
    subtype: str
    quantity: Exact | None
    price: Exact | None
    quoted_in: str  # the currency, or "%" of face
    currency: str
    net: Exact | None
    net_base: Computed | None
    description: str


class Mark(Document):
    """A trade or a dividend in the chart of the price; `price` is in the instrument's currency.

    `adjusted` is the price of today's units: what was paid, divided by the splits since.
    """

    on: date
    kind: Literal["buy", "sell", "dividend"]
    quantity: Exact | None
    price: Exact | None
    adjusted: Computed | None
    amount: Exact | None


class Prices(Document):
    """The closing prices known, by day, as they were, and `adjusted` to today's units."""

    dates: tuple[date, ...]
    closes: tuple[Exact, ...]
    adjusted: tuple[Computed, ...]


class Split(Document):
    """From the beginning of this day on there are `ratio` new units for one old."""

    on: date
    ratio: Computed


class Earned(Document):
    """What the instrument earned since the first known activity, in the base currency.

    `total_base` = `unrealized_base` + `realized_base` + `income_base` (after withholding tax) and
    `charges_base` (fees and taxes booked apart from trades; commissions are in the lots). The three
    effects are of `unrealized_base` + `realized_base` and sum to it. Null as soon as one part is unknown.
    `is_estimate`: a lot is one, see LotRow; an open or a closed one says it of `unrealized_base` and of
    `realized_base`, either of the sums.
    """

    unrealized_base: Computed | None
    realized_base: Computed | None
    price_effect_base: Computed | None
    currency_effect_base: Computed | None
    cross_effect_base: Computed | None
    income_base: Computed | None
    charges_base: Computed | None
    total_base: Computed | None
    unrealized_is_estimate: bool
    realized_is_estimate: bool
    is_estimate: bool


class Holder(Document):
    """What one account holds of it."""

    account: str
    quantity: Exact | None
    price: Exact | None
    price_as_of: datetime | date | None
    market_value: Computed | None
    market_value_base: Computed | None


class InstrumentDocument(Document):
    """`holders` are the accounts that hold it; activities and closed lots are newest first, splits oldest."""

    id: int
    as_of: datetime | date | None
    base_currency: str
    broker: str
    broker_ref: str
    symbol: str
    name: str
    asset_class: str
    isin: str | None
    currency: str
    quoted_in: str  # the currency, or "%" of face
    multiplier: Exact
    exchange: str | None
    market: str | None
    market_country: str | None
    country: str | None
    sector: str | None
    expires_on: date | None
    strike: Exact | None
    right: str | None
    underlying_symbol: str | None
    description: str
    holders: tuple[Holder, ...]
    quantity: Exact | None
    market_value_base: Computed | None
    earned: Earned
    lots: tuple[LotRow, ...]
    closed: tuple[ClosedLot, ...]
    activities: tuple[Happening, ...]
    splits: tuple[Split, ...]
    marks: tuple[Mark, ...]
    prices: Prices


@kept
def instrument(
    scope: Scope, number: int, start: date | None = None, method: Method | None = None
) -> InstrumentDocument:
    """The instrument of that row number; prices and marks from `start` on.

    Raises: UnknownInstrumentError when there is none.
    """
    paper = Instrument.objects.filter(pk=number).first()
    if paper is None:
        raise UnknownInstrumentError(
            f"There is no instrument number {number}.",
            next_step="Open an instrument from the holdings or the realized gains.",
        )
    base = scope.base_currency
    looked_at = [account for account in accounts(scope) if account.broker == paper.broker]
    state = state_of(looked_at, scope.as_of, paper.pk)
    matched = lot_books(looked_at, base, scope.as_of, method)
    days = state.days.values()
    rates = Rates.between(min(days), max(days)) if days else Rates(())
    by_pk = {account.pk: account for account in looked_at}
    holders = [
        _holder(row, by_pk[row.account_id], rates.rate(row.currency, base, state.days[row.account_id]))
        for row in state.held
    ]
    described = papers([paper.pk])[paper.pk]
    open_lots = lot_rows(base, state, state.held, matched, rates)
    closed = [
        closed_lot(row, by_pk[row.account], described, matched.methods[row.account], base)
        for row in matched.closed(instrument=paper.pk)
    ]
    end = last_day(looked_at, scope.as_of)
    rows = _bookings(looked_at, base, paper.pk, end)
    quantities = [row.quantity for row in state.held]
    splits = _splits(paper, looked_at, end)
    return InstrumentDocument(
        id=paper.pk,
        as_of=scope.as_of or told_at(*looked_at),
        base_currency=base,
        broker=paper.broker,
        broker_ref=paper.broker_ref,
        symbol=paper.symbol,
        name=paper.name,
        asset_class=paper.asset_class,
        isin=paper.isin,
        currency=paper.currency,
        quoted_in=described.quoted_in,
        multiplier=paper.multiplier,
        exchange=paper.exchange,
        market=paper.market,
        market_country=paper.market_country,
        country=paper.country,
        sector=paper.sector,
        expires_on=paper.expires_on,
        strike=paper.strike,
        right=paper.right,
        underlying_symbol=paper.underlying_symbol,
        description=paper.description,
        holders=tuple(holders),
        quantity=None if None in quantities else total(quantities).value,
        market_value_base=total(row.market_value_base for row in holders).value,
        earned=_earned(open_lots, closed, rows),
        lots=tuple(open_lots),
        closed=tuple(closed),
        activities=tuple(_happening(row, described) for row in reversed(rows)),
        splits=splits,
        marks=_marks(rows, paper, start, splits),
        prices=_prices(paper, start, end, splits),
    )


def _holder(row: Held, account: Account, rate: Decimal | None) -> Holder:
    return Holder(
        account=account.account,
        quantity=row.quantity,
        price=row.price,
        price_as_of=row.price_as_of,
        market_value=row.market_value,
        market_value_base=times(row.market_value, rate),
    )


def _whole(parts: list[Decimal | None]) -> Decimal | None:
    """The sum, unknown as soon as one part is."""
    summed = total(parts)
    return None if summed.unknown else summed.value


def _earned(open_lots: list[LotRow], closed: list[ClosedLot], rows: list[Booked]) -> Earned:
    unrealized = _whole([row.unrealized_pnl_base for row in open_lots])
    gained = _whole([row.gain_base for row in closed])
    paid, charges = _income_and_charges(rows)
    income = _whole([row.in_base(_net(row)) for row in paid])
    charged = _whole([row.in_base(_net(row)) for row in charges])
    both: list[LotRow | ClosedLot] = [*open_lots, *closed]
    return Earned(
        unrealized_base=unrealized,
        realized_base=gained,
        price_effect_base=_whole([row.price_effect_base for row in both]),
        currency_effect_base=_whole([row.currency_effect_base for row in both]),
        cross_effect_base=_whole([row.cross_effect_base for row in both]),
        income_base=income,
        charges_base=charged,
        total_base=_whole([unrealized, gained, income, charged]),
        unrealized_is_estimate=any(row.is_estimate for row in open_lots),
        realized_is_estimate=any(row.is_estimate for row in closed),
        is_estimate=any(row.is_estimate for row in both),
    )


def _income_and_charges(rows: list[Booked]) -> tuple[list[Booked], list[Booked]]:
    """Tax that was withheld from a dividend belongs to it; other taxes and fees are charges."""
    # Capital given back is in the cost of the lots.
    paid = [row for row in rows if row.kind in _INCOME and row.subtype != RETURN_OF_CAPITAL]
    groups = {row.group for row in paid if row.group}
    withheld = [row for row in rows if row.kind == ActivityKind.TAX and row.group in groups]
    charges = [
        row for row in rows if row.kind in (ActivityKind.TAX, ActivityKind.FEE) and row not in withheld
    ]
    return [*paid, *withheld], charges


def income_and_charges(scope: Scope, number: int) -> tuple[list[Booked], list[Booked]]:
    """What was booked with an instrument, by its row."""
    looked_at = accounts(scope)
    end = last_day(looked_at, scope.as_of)
    return _income_and_charges(_bookings(looked_at, scope.base_currency, number, end))


def _bookings(looked_at: Sequence[Account], base: str, number: int, end: date | None) -> list[Booked]:
    # Asked for in the query, the day would lead the database to the index of days, where all others are.
    rows = booked(looked_at, base, Q(instrument=number))
    return [row for row in rows if end is None or row.on <= end]


def _net(row: Booked) -> Decimal | None:
    return None if row.gross is None else row.gross + (row.fee or 0) + (row.tax or 0)


def _happening(row: Booked, paper: Paper) -> Happening:
    return Happening(
        id=row.id,
        on=row.on,
        account=row.account.account,
        kind=row.kind,
        subtype=row.subtype,
        quantity=row.quantity,
        price=row.price,
        quoted_in=quoted_in(paper.asset_class, paper.quote_factor, row.currency),
        currency=row.currency,
        net=_net(row),
        net_base=row.in_base(_net(row)),
        description=row.description,
    )


def _splits(paper: Instrument, looked_at: Sequence[Account], end: date | None) -> tuple[Split, ...]:
    """As told, else by what they made of the largest quantity held; not where that is not known."""
    current = Activity.objects.current().filter(instrument=paper, account__in=looked_at)
    if not current.filter(kind=ActivityKind.SPLIT).exists():
        return ()
    moved = current.exclude(kind=ActivityKind.FX).exclude(quantity=None, ratio=None)
    ratios: dict[date, Decimal] = {}
    largest: dict[date, Decimal] = {}
    held: defaultdict[int, Decimal] = defaultdict(Decimal)
    columns = moved.values_list("account_id", "trade_date", "kind", "quantity", "ratio")
    rows = [row for row in columns if end is None or row[1] <= end]
    # A split comes before all else of its day; its legs (old units out, new ones in) are one.
    ordered = sorted(rows, key=lambda row: (row[1], row[2] != ActivityKind.SPLIT, row[0]))
    for (account, on, is_split), legs in groupby(
        ordered, key=lambda row: (row[0], row[1], row[2] == ActivityKind.SPLIT)
    ):
        every = list(legs)
        before = held[account]
        held[account] += sum((quantity or Decimal(0) for *_, quantity, _ in every), Decimal(0))
        told = [ratio for *_, ratio in every if ratio]
        if is_split and told:
            ratios[on], largest[on] = told[0], Decimal("Infinity")
        elif is_split and before * held[account] > 0 and abs(before) > largest.get(on, Decimal(0)):
            ratios[on], largest[on] = held[account] / before, abs(before)
    return tuple(Split(on=on, ratio=ratio) for on, ratio in sorted(ratios.items()))


def units_since(splits: Sequence[Split], on: date) -> Decimal:
    """Today's units for one of that day."""
    units = Decimal(1)
    for split in splits:
        if split.on > on:
            units *= split.ratio
    return units


def _marks(
    rows: list[Booked], paper: Instrument, start: date | None, splits: Sequence[Split]
) -> tuple[Mark, ...]:
    """Trades at their own price, dividends at none."""
    marks = []
    for row in rows:
        if (start is not None and row.on < start) or row.currency != paper.currency:
            continue
        if row.kind in _TRADES and row.quantity:
            kind: Literal["buy", "sell"] = "buy" if row.quantity > 0 else "sell"
            price = row.price if row.price is not None else _per_unit(row, paper)
            marks.append(
                Mark(
                    on=row.on,
                    kind=kind,
                    quantity=row.quantity,
                    price=price,
                    adjusted=None if price is None else price / units_since(splits, row.on),
                    amount=_net(row),
                )
            )
        elif row.kind == ActivityKind.DIVIDEND and row.gross:
            marks.append(
                Mark(on=row.on, kind="dividend", quantity=None, price=None, adjusted=None, amount=row.gross)
            )
    return tuple(marks)


def _per_unit(row: Booked, paper: Instrument) -> Decimal | None:
    if not row.gross or not row.quantity:
        return None
    per_unit: Decimal = paper.multiplier * paper.quote_factor
    return abs(row.gross / (row.quantity * per_unit))


def _prices(paper: Instrument, start: date | None, end: date | None, splits: Sequence[Split]) -> Prices:
    """An imported price counts before the broker's of the same day."""
    stored = Price.objects.filter(instrument=paper, currency=paper.currency)
    if start is not None:
        stored = stored.filter(on__gte=start)
    if end is not None:
        stored = stored.filter(on__lte=end)
    closes = dict(stored.order_by("on", "is_imported").values_list("on", "close"))
    adjusted = (
        [close / units_since(splits, on) for on, close in closes.items()] if splits else closes.values()
    )
    return Prices(dates=tuple(closes), closes=tuple(closes.values()), adjusted=tuple(adjusted))
