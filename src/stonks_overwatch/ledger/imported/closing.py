"""What follows from the activities of files: positions, cash and their value."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from itertools import chain
from types import MappingProxyType
from typing import Any

from django.db.models import Count, Max, QuerySet

from stonks_overwatch.ledger import details, packed, types
from stonks_overwatch.ledger.imported import BROKER
from stonks_overwatch.ledger.lots import EXACT, MARGINED, RETURN_OF_CAPITAL, Lots, moved, summed
from stonks_overwatch.ledger.matching import (
    EXERCISES,
    WORTHLESS,
    Terms,
    Trade,
    matched,
    ties,
    traded,
)
from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    CashBalance,
    Instrument,
    Period,
    Position,
    Price,
)
from stonks_overwatch.ledger.rows import Row, activity_of, plain, plain_day, plain_number, read_rows
from stonks_overwatch.ledger.sql import update, upsert
from stonks_overwatch.ledger.types import TOPICS, ActivityKind, ImportedActivity

_FX = ActivityKind.FX.value  # to look it up for each row takes longer than to compare it
_TRADES = frozenset({ActivityKind.BUY, ActivityKind.SELL})
_PARTS = EXERCISES | WORTHLESS
# A price counts for so long, as in reports.
MAX_AGE = timedelta(days=7)
_ZERO = Decimal(0)
_AT_ONCE = 20_000
_FEW = 500
# Split shares have so many decimals at most: 3 shares 1:3 are 1, however 1/3 was written.
_SHARE = Decimal("0.000000000001")

Key = tuple[int, int]
"""The rows of an account and an instrument."""

Told = tuple[str, str, str, str, Decimal, Decimal | None, Decimal | None, Decimal | None, Decimal | None]
"""A trade: day, time (empty where unknown), kind, key; quantity, price, gross, fee, tax.

Sorted they are in the order of time, as `matching` has it: purchases before sales of the same moment."""


class AtHand:
    """What files tell of an account of which nothing was known: so much need not be read again.

    `trades` by instrument, `otherwise` the instruments to which something else happened as well, `cash` all
    that came and went, by currency.
    """

    def __init__(self) -> None:
        self.trades: defaultdict[int, list[Told]] = defaultdict(list)
        self.otherwise: set[int] = set()
        self.cash: defaultdict[str, list[Decimal]] = defaultdict(list)

    def add(self, row: ImportedActivity, instrument: int | None, key: str, gross: Decimal | None) -> None:
        """Add one activity. `instrument` is a row number; `gross` counts in place of the row's own."""
        (_, _, _, kind, on, _, exchanged, quantity, price, currency, _, fee, tax, _, ratio, _) = row
        self.cash[currency] += [amount for amount in (gross, fee, tax) if amount is not None]
        if exchanged is not None:
            self.cash[exchanged].append(quantity or _ZERO)
        elif instrument is not None:
            if kind in _TRADES and quantity is not None:
                self.trades[instrument].append((on, "", kind, key, quantity, price, gross, fee, tax))
            elif quantity is not None or ratio is not None:
                self.otherwise.add(instrument)


def close_books(
    moved: set[Key],
    days: set[tuple[int, date]],
    now: datetime,
    at_hand: Mapping[int, AtHand] = MappingProxyType({}),
) -> None:
    """Work out positions and cash anew.

    Args:
        moved: the instruments whose quantity or cost may have changed, by account.
        days: on which activities came, changed or went, by account.
        at_hand: what is at hand, by account.
    """
    accounts = {pk for pk, _ in moved} | {pk for pk, _ in days}
    known = Instrument.objects.filter(broker=BROKER).in_bulk()
    for pk in sorted(accounts):
        instruments = {instrument for account, instrument in moved if account == pk}
        _close_positions(pk, instruments, known, days, at_hand.get(pk))
        _close_cash(pk, known, at_hand.get(pk), now)
    packed.activities_changed(days)
    value_accounts(Account.objects.filter(pk__in=accounts), now)


def holders(instruments: set[int]) -> set[Key]:
    """The accounts that hold or held these."""
    rows = Position.objects.filter(instrument__in=instruments, account__broker=BROKER)
    return set(rows.values_list("account_id", "instrument_id")) if instruments else set()


def _close_positions(
    account_pk: int,
    instruments: set[int],
    known: Mapping[int, Instrument],
    days: set[tuple[int, date]],
    at_hand: AtHand | None,
) -> None:
    """Quantities, first-in first-out costs, and what each split added. `known`: all, by row number."""
    current = Activity.objects.current().filter(account=account_pk)
    # An event of several instruments carries cost between them; CSV files alone tell of none.
    if at_hand is None and current.exclude(group=None).exists():
        instruments = instruments | set(
            current.exclude(instrument=None).values_list("instrument_id", flat=True)
        )
    alone: dict[int, list[Told]] = {}
    if at_hand is not None:
        alone = {
            pk: trades
            for pk, trades in at_hand.trades.items()
            if pk not in at_hand.otherwise and known[pk].asset_class not in MARGINED
        }
    moving = _moving(current, instruments - alone.keys())
    terms = {str(pk): _terms(known[pk]) for pk in (*alone, *moving)}
    for pk in [
        pk for pk, rows in moving.items() if not terms[str(pk)].is_margined and all(map(_is_trade, rows))
    ]:
        alone[pk] = [_told(row) for row in moving.pop(pk)]
    settled: dict[int, list[types.Activity]] = {}
    splits = []
    for pk, rows in moving.items():
        settled[pk], changed = _with_splits([(row.pk, activity_of(row, {pk: str(pk)})) for row in rows])
        splits += [(activity.quantity, row_pk) for row_pk, activity in changed]
        days |= {(account_pk, activity.booked_on or activity.trade_date) for _, activity in changed}
    update(Activity, ["quantity"], splits)
    # What a corporate action comes from may have been traded alone.
    tied = {int(ref) for tie in ties(chain.from_iterable(settled.values()), terms) for _, ref in tie}
    for pk, rows in _moving(current, tied & alone.keys()).items():
        settled[pk] = [activity_of(row, {pk: str(pk)}) for row in rows]
        del alone[pk]
    found = matched(chain.from_iterable(settled.values()), terms)
    positions = [
        _position(
            known[pk],
            found.get(("", str(pk)), Lots((), ())),
            summed(map(moved, of_one)),
            {activity.trade_date for activity in of_one},
        )
        for pk, of_one in settled.items()
    ]
    for pk, told in alone.items():
        trades = _trades(told)
        lots = traded(trades, terms[str(pk)].per_unit)
        quantity = summed(size for _, _, _, _, size, *_ in told)
        positions.append(_position(known[pk], lots, quantity, {trades[0][0], trades[-1][0]}))
    upsert(Position, _POSITION, ((account_pk, *row) for row in positions), unique=["account", "instrument"])
    Position.objects.filter(
        account=account_pk, instrument__in=instruments - alone.keys() - settled.keys()
    ).delete()


_POSITION = [
    "account", "instrument", "quantity", "is_open", "cost_basis", "average_cost", "priced_at", "changed_at",
    "closed_at", "covered_since", "covered_until",
]  # fmt: skip


def _terms(instrument: Instrument) -> Terms:
    return Terms(
        per_unit=EXACT.multiply(instrument.multiplier, instrument.quote_factor),
        currency=instrument.currency,
        is_margined=instrument.asset_class in MARGINED,
        right=instrument.right,
        isin=instrument.isin,
        symbol=instrument.symbol,
    )


def _position(instrument: Instrument, lots: Lots, quantity: Decimal, days: set[date]) -> tuple[Any, ...]:
    """Values of `_POSITION` from the instrument on; the price comes later."""
    cost = lots.cost if lots.quantity == quantity else None
    units = EXACT.multiply(EXACT.multiply(quantity, instrument.multiplier), instrument.quote_factor)
    last = _moment(max(days))
    return (
        instrument.pk,
        quantity,
        bool(quantity),
        cost,
        EXACT.divide(cost, units) if units and cost is not None else None,
        last,
        last,
        None if quantity else last,
        min(days),
        max(days),
    )


def _moving(current: QuerySet[Activity], instruments: set[int]) -> dict[int, list[Row]]:
    """What bears on quantities of these instruments or their cost."""
    named = {"instrument__in": instruments} if len(instruments) <= _FEW else {"instrument__isnull": False}
    moving: defaultdict[int, list[Row]] = defaultdict(list)
    for row, _ in read_rows(current.filter(**named)):
        if row.instrument_id in instruments and _moves(row):
            moving[row.instrument_id].append(row)
    return moving


def _moves(row: Row) -> bool:
    """Whether it bears on a quantity or its cost."""
    return row.kind != _FX and (
        row.quantity is not None
        or row.ratio is not None
        or row.group is not None
        or row.subtype == RETURN_OF_CAPITAL
    )


def _is_trade(row: Row) -> bool:
    """Whether it is a purchase or a sale, and part of nothing else."""
    return (
        row.kind in _TRADES
        and row.quantity is not None
        and row.ratio is None
        and row.reverses is None
        and row.acquired_on is None
        and row.subtype not in _PARTS
    )


def _told(row: Row) -> Told:
    quantity, price, gross, fee, tax = map(
        plain_number, (row.quantity, row.price, row.gross, row.fee, row.tax)
    )
    return row.trade_date, row.trade_at or "", row.kind, row.key, quantity or _ZERO, price, gross, fee, tax


def _trades(told: list[Told]) -> list[Trade]:
    """In the order of time."""
    return [
        (plain_day(on), key, quantity, price, gross, fee, tax, None)
        for on, _, _, key, quantity, price, gross, fee, tax in sorted(told)
    ]


def _with_splits(
    rows: list[tuple[int, types.Activity]],
) -> tuple[list[types.Activity], list[tuple[int, types.Activity]]]:
    """The activities with what each split added to the quantity; and those splits for which that is new.

    A split comes before the trades of its day and after an opening balance of that day.
    """
    if all(activity.ratio is None for _, activity in rows):
        return [activity for _, activity in rows], []
    held, settled, changed = _ZERO, [], []
    for pk, activity in sorted(rows, key=_order):
        if activity.ratio is not None:
            after = EXACT.multiply(held, activity.ratio)
            added = EXACT.subtract(after.quantize(_SHARE, context=EXACT), held)
            if added != activity.quantity:
                activity = replace(activity, quantity=added)  # noqa: PLW2901
                changed.append((pk, activity))
        held = EXACT.add(held, activity.quantity or _ZERO)
        settled.append(activity)
    return settled, changed


def _order(row: tuple[int, types.Activity]) -> tuple[date, int, str]:
    ranks = {ActivityKind.OPENING: 0, ActivityKind.SPLIT: 1}
    return row[1].trade_date, ranks.get(row[1].kind, 2), row[1].key


def _close_cash(
    account_pk: int, known: Mapping[int, Instrument], at_hand: AtHand | None, now: datetime
) -> None:
    """The sum of all that came and went, by currency."""
    told = _cash(account_pk, known) if at_hand is None else at_hand.cash
    with localcontext(EXACT):
        sums = {currency: sum(amounts, _ZERO) for currency, amounts in told.items()}
    CashBalance.objects.filter(account=account_pk).exclude(currency__in=sums).delete()
    upsert(
        CashBalance,
        ["account", "currency", "amount", "updated_at"],
        ((account_pk, currency, amount, now) for currency, amount in sums.items()),
        unique=["account", "currency"],
    )


def _cash(account_pk: int, known: Mapping[int, Instrument]) -> dict[str, Iterable[Decimal]]:
    """All that came and went, by currency."""
    numbers = map(plain, ("quantity", "gross", "fee", "tax"))
    rows = Activity.objects.current().filter(account=account_pk)
    told: defaultdict[str, list[str | None]] = defaultdict(list)
    for kind, instrument_pk, currency, quantity, *amounts in rows.values_list(
        "kind", "instrument_id", "currency", *numbers
    ).iterator(_AT_ONCE):
        told[currency] += amounts
        if kind == _FX and instrument_pk is not None:
            told[known[instrument_pk].broker_ref].append(quantity)
    return {currency: map(Decimal, filter(None, amounts)) for currency, amounts in told.items()}


def value_accounts(accounts: Iterable[Account], now: datetime) -> None:
    """Value what is held in imported accounts, as of the last day of which files tell something of them.

    An account without activities goes.
    """
    beside = details.known().accounts
    for account in accounts:
        rows = Activity.objects.current().filter(account=account).order_by("trade_date")
        days = rows.values_list("trade_date", flat=True)
        first, last = days.first(), days.last()
        if first is None or last is None:
            account.delete()
            continue
        held = list(
            Position.objects.filter(account=account, is_open=True)
            .select_related("instrument")
            .only("quantity", "cost_basis", *(f"instrument__{name}" for name in _UNITS))
            .order_by("pk")
        )
        pks = [position.instrument_id for position in held]
        priced = _last_prices(pks)
        as_of = max([last, *(on for on, _ in priced.values())])
        update(
            Position,
            ["price", "priced_at", "market_value", "exposure", "unrealized_pnl"],
            ((*_value(row, priced.get(row.instrument_id), as_of), row.pk) for row in held),
        )
        Position.objects.filter(account=account, is_open=False).update(
            price=None, market_value="0", exposure="0", unrealized_pnl="0", cost_basis="0"
        )
        told = beside.get(account.account)
        account.currency = (told and told.currency) or _kept_in(account)
        account.alias, account.kind = (told.alias, told.kind) if told else ("", "")
        account.opened_on = (told and told.opened_on) or first
        account.updated_at = min(_moment(as_of), now)
        account.positions_since = account.cash_since = _moment(first)
        account.positions_at = account.cash_at = account.updated_at
        account.save()
        Period.objects.filter(account=account).delete()
        Period.objects.bulk_create(
            Period(account=account, source=BROKER, topic=topic, since=first, until=as_of) for topic in TOPICS
        )


_UNITS = ("asset_class", "multiplier", "quote_factor")


def _last_prices(instruments: Sequence[int]) -> dict[int, tuple[date, Decimal]]:
    """By instrument the day and the price of the last imported one."""
    found = {}
    for start in range(0, len(instruments), _FEW):
        some = instruments[start : start + _FEW]
        last = (
            Price.objects.filter(instrument__in=some, is_imported=True)
            .values("instrument_id")
            .annotate(last=Max("on"))
            .values_list("instrument_id", "last")
        )
        days = dict(last)
        rows = Price.objects.filter(instrument__in=days, on__in=set(days.values()), is_imported=True)
        for pk, on, close in rows.values_list("instrument_id", "on", "close"):
            if days[pk] == on:
                found[pk] = (on, close)
    return found


def _value(
    position: Position, priced: tuple[date, Decimal] | None, as_of: date
) -> tuple[Decimal | None, datetime, Decimal | None, Decimal | None, Decimal | None]:
    """Price, its moment, market value, exposure and profit; unknown where the price is too old."""
    if priced is None or as_of - priced[0] > MAX_AGE:
        return None, _moment(as_of), None, None, None
    instrument = position.instrument
    per_unit = EXACT.multiply(instrument.multiplier, instrument.quote_factor)
    exposure = EXACT.multiply(EXACT.multiply(position.quantity, priced[1]), per_unit)
    cost: Decimal | None = position.cost_basis
    profit = None if cost is None else EXACT.subtract(exposure, cost)
    is_margined = instrument.asset_class in MARGINED
    return priced[1], _moment(priced[0]), profit if is_margined else exposure, exposure, profit


def _kept_in(account: Account) -> str:
    """The currency in which most money came and went, else that of most activities."""
    rows = Activity.objects.current().filter(account=account)
    external = rows.filter(kind__in=(ActivityKind.DEPOSIT, ActivityKind.WITHDRAWAL))
    for some in (external, rows):
        counted = some.values("currency").annotate(number=Count("pk")).order_by("-number", "currency").first()
        if counted is not None:
            break
    return str(counted["currency"]) if counted else account.currency


def _moment(day: date) -> datetime:
    """The end of a day."""
    return datetime.combine(day, time(23, 59, 59), UTC)
