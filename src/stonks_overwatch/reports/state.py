"""What the accounts held at one moment: as the broker reported it last, or worked back to an earlier day.

The past is today's state without the activities since. Where the ledger does not reach back that far,
or does not explain what is there today, the past is unknown. Prices are the stored ones of the day or
at most a week before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.db.models.functions import Cast

from stonks_overwatch.ledger.lots import Lots
from stonks_overwatch.ledger.models import Account, Activity, CashBalance, Period, Position, Price
from stonks_overwatch.ledger.rows import plain, plain_day, plain_moment, plain_number
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.books import NO_LOTS, Key, books, tied_to
from stonks_overwatch.reports.cash import Effect
from stonks_overwatch.reports.cash_months import effects_by_month
from stonks_overwatch.reports.documents import quoted_in, total
from stonks_overwatch.reports.rates import MAX_AGE

TOPICS = ("trades", "cash", "corporate_actions", "transfers")
DAY = timedelta(days=1)


class Held(NamedTuple):
    """One position with its instrument; figures in the instrument's currency."""

    account_id: int
    instrument_id: int
    broker_ref: str
    symbol: str
    name: str
    asset_class: str
    isin: str | None
    currency: str
    multiplier: Decimal
    quote_factor: Decimal
    country: str | None
    sector: str | None
    exchange: str | None
    expires_on: date | None
    strike: Decimal | None
    right: str | None
    underlying_symbol: str | None
    description: str
    quantity: Decimal | None
    price: Decimal | None
    price_as_of: datetime | date | None
    market_value: Decimal | None
    exposure: Decimal | None
    average_cost: Decimal | None
    cost_basis: Decimal | None
    unrealized_pnl: Decimal | None

    @property
    def quoted_in(self) -> str:
        return quoted_in(self.asset_class, self.quote_factor, self.currency)


# Thousands of rows: their texts are made numbers and days here, as for bookings.
_COLUMNS: tuple[str | Cast, ...] = (
    "account_id", "instrument_id",
    *map(plain, ("quantity", "price", "priced_at", "market_value", "exposure", "average_cost")),
    *map(plain, ("cost_basis", "unrealized_pnl")),
    *(f"instrument__{name}" for name in ("broker_ref", "symbol", "name", "asset_class", "isin", "currency")),
    *(plain(f"instrument__{name}") for name in ("multiplier", "quote_factor")),
    *(f"instrument__{name}" for name in ("country", "sector", "exchange")),
    *(plain(f"instrument__{name}") for name in ("expires_on", "strike")),
    *(f"instrument__{name}" for name in ("right", "underlying_symbol", "description")),
)  # fmt: skip


class Balance(NamedTuple):
    """Cash and what belongs to it, of one currency in one account."""

    account_id: int
    currency: str
    amount: Decimal | None
    has_accruals: bool  # a broker that reports no accruals for a currency has none there
    accrued: Decimal | None  # interest and dividends
    futures_pnl: Decimal | None


@dataclass(frozen=True, slots=True)
class State:
    """What the accounts held; `days` is the day that each account is valued on, by account row."""

    accounts: tuple[Account, ...]
    days: Mapping[int, date]
    held: list[Held]
    balances: list[Balance]

    def is_latest(self, account: Account) -> bool:
        """Whether this is the account's last update, and not worked back from it."""
        return self.days[account.pk] == account.updated_at.date()


def told_at(*accounts: Account) -> datetime | None:
    """How old what is known of the accounts is: the oldest full answer about the positions or the cash.

    An account of which one of them never came in full is left out; None when there is no other.
    """
    told = [(account.positions_at, account.cash_at) for account in accounts]
    return min((min(at, other) for at, other in told if at is not None and other is not None), default=None)


def state_of(accounts: Iterable[Account], as_of: date | None, instrument: int | None = None) -> State:
    """The latest state, or the one at the end of a day. Accounts opened after that day are left out.

    An account whose last update is not after the day is as it was then. With the row number of an
    `instrument`, of the positions those in it alone.
    """
    looked_at = [a for a in accounts if as_of is None or a.opened_on is None or a.opened_on <= as_of]
    days = {account.pk: min(account.updated_at.date(), as_of or date.max) for account in looked_at}
    latest = [account for account in looked_at if days[account.pk] == account.updated_at.date()]
    earlier = [account for account in looked_at if account not in latest]
    keys = tuple(account.pk for account in latest)
    held, balances = _held(_open(keys, instrument), keys), _balances(keys)
    if earlier and as_of:
        held += _held_on(as_of, earlier, instrument)
        balances += _balances_on(as_of, earlier)
    return State(tuple(looked_at), days, held, balances)


@prepared
def _open(accounts: tuple[int, ...], instrument: int | None) -> QuerySet[Position, tuple[Any, ...]]:
    return _rows(Position.objects.open(), accounts, instrument)


@prepared
def _open_and_closed(
    accounts: tuple[int, ...], instrument: int | None
) -> QuerySet[Position, tuple[Any, ...]]:
    return _rows(Position.objects.all(), accounts, instrument)


def _rows(
    stored: QuerySet[Position], accounts: tuple[int, ...], instrument: int | None
) -> QuerySet[Position, tuple[Any, ...]]:
    stored = stored.filter(account__in=accounts)
    if instrument is not None:
        stored = stored.filter(instrument=instrument)
    return stored.values_list(*_COLUMNS)


def _held(rows: Iterable[tuple[Any, ...]], accounts: Iterable[int]) -> list[Held]:
    """By account, as they are given, and symbol."""
    known: dict[int, tuple[Any, ...]] = {}  # several accounts may hold an instrument
    held = [
        Held._make((
            account_id, pk, *(known.get(pk) or known.setdefault(pk, _of_instrument(*told))),
            Decimal(quantity), plain_number(price), plain_moment(priced_at), plain_number(market_value),
            plain_number(exposure), plain_number(average_cost), plain_number(cost_basis),
            plain_number(unrealized_pnl),
        ))
        for (
            account_id, pk, quantity, price, priced_at, market_value, exposure, average_cost, cost_basis,
            unrealized_pnl, *told,
        ) in rows
    ]  # fmt: skip
    place = {account: number for number, account in enumerate(accounts)}
    held.sort(key=lambda row: (place[row.account_id], row.symbol, row.instrument_id))
    return held


def _of_instrument(
    broker_ref: str, symbol: str, name: str, asset_class: str, isin: str | None, currency: str,
    multiplier: str, quote_factor: str, country: str | None, sector: str | None, exchange: str | None,
    expires_on: str | None, strike: str | None, *others: str | None,
) -> tuple[Any, ...]:  # fmt: skip
    """What `Held` tells of an instrument, in its order."""
    return (
        broker_ref, symbol, name, asset_class, isin, currency, Decimal(multiplier), Decimal(quote_factor),
        country, sector, exchange, plain_day(expires_on) if expires_on else None, plain_number(strike),
        *others,
    )  # fmt: skip


@prepared
def _stored_balances(accounts: tuple[int, ...]) -> QuerySet[CashBalance, tuple[Any, ...]]:
    rows = CashBalance.objects.filter(account__in=accounts)
    rows = rows.order_by("account__broker", "account__account", "currency")
    columns = map(plain, ("amount", "accrued_interest", "accrued_dividends", "futures_pnl"))
    return rows.values_list("account_id", "currency", *columns)


def _balances(accounts: tuple[int, ...]) -> list[Balance]:
    return [
        _balance(account, currency, *map(plain_number, of))
        for account, currency, *of in _stored_balances(accounts)
    ]


def balance_of(row: CashBalance) -> Balance:
    accrued = row.accrued_interest, row.accrued_dividends
    return _balance(row.account_id, row.currency, row.amount, *accrued, row.futures_pnl)


def _balance(
    account: int,
    currency: str,
    amount: Decimal | None,
    accrued_interest: Decimal | None,
    accrued_dividends: Decimal | None,
    futures_pnl: Decimal | None,
) -> Balance:
    return Balance(
        account_id=account,
        currency=currency,
        amount=amount,
        has_accruals=accrued_interest is not None or accrued_dividends is not None,
        accrued=(accrued_interest or Decimal(0)) + (accrued_dividends or Decimal(0)),
        futures_pnl=futures_pnl,
    )


def _held_on(day: date, accounts: list[Account], instrument: int | None) -> list[Held]:
    """Today's quantities without what moved them since, at that day's prices and the cost of its lots."""
    only = None if instrument is None else tied_to(instrument)
    then = books(accounts, base=None, until=day, only=only).lots
    later = _moved_since(day, accounts)
    prices = _prices(day)
    held = []
    keys = tuple(account.pk for account in accounts)
    for row in _held(_open_and_closed(keys, instrument), keys):
        key = row.account_id, row.instrument_id
        open_then = then.get(key, NO_LOTS)
        quantity = (
            open_then.quantity if row.quantity is None else _quantity_on(row.quantity, later[key], open_then)
        )
        held.append(_worked_back(row, quantity, open_then, prices.get(row.instrument_id)))
    return [row for row in held if row.quantity != 0]


def _moved_since(day: date, accounts: list[Account]) -> defaultdict[Key, list[tuple[str, Decimal | None]]]:
    """Kind and quantity of what moved each position after the day; no quantity for splits told by a ratio."""
    rows = Activity.objects.current().filter(
        account__in=accounts, instrument__isnull=False, trade_date__gt=day
    )
    rows = rows.exclude(kind=ActivityKind.FX).exclude(quantity=None, ratio=None)
    later: defaultdict[Key, list[tuple[str, Decimal | None]]] = defaultdict(list)
    for account_id, instrument_id, kind, quantity in rows.values_list(
        "account_id", "instrument_id", "kind", "quantity"
    ):
        later[account_id, instrument_id].append((kind, quantity))
    return later


def _quantity_on(now: Decimal, later: list[tuple[str, Decimal | None]], open_then: Lots) -> Decimal | None:
    """Unknown on days before the opening balance; the lots' own where a ratio cannot be taken back."""
    if any(kind == ActivityKind.OPENING for kind, _ in later):
        return None
    if any(quantity is None for _, quantity in later):
        return open_then.quantity
    return now - sum((quantity for _, quantity in later if quantity is not None), Decimal(0))


def _worked_back(
    row: Held, quantity: Decimal | None, open_then: Lots, quoted: tuple[date, Decimal, str] | None
) -> Held:
    """The position at the end of the day, at the price quoted by then."""
    cost = open_then.cost if open_then.quantity == quantity else None
    priced_on, price, _ = quoted if quoted and quoted[2] == row.currency else (None, None, None)
    units = None if quantity is None else quantity * row.multiplier * row.quote_factor
    exposure = None if units is None or price is None else units * price
    profit = None if exposure is None or cost is None else exposure - cost
    return row._replace(
        quantity=quantity,
        price=price,
        price_as_of=priced_on,
        market_value=_adds_to_nav(row.asset_class, exposure, profit),
        exposure=exposure,
        average_cost=cost / units if cost is not None and units else None,
        cost_basis=cost,
        unrealized_pnl=profit,
    )


def _adds_to_nav(asset_class: str, exposure: Decimal | None, profit: Decimal | None) -> Decimal | None:
    match asset_class:
        case AssetClass.CASH:  # a currency pair: its money is in the cash balances
            return Decimal(0)
        case AssetClass.CFD:
            return profit
        case AssetClass.FUTURE:  # how much of the profit was in cash by then is not known
            return None
        case _:
            return exposure


def _prices(day: date) -> dict[int, tuple[date, Decimal, str]]:
    """By instrument the last price of the week up to the day, with its own day and currency."""
    # The range of each instrument stands together in the index; that of a day is spread over the whole table.
    held = Position.objects.values("instrument")
    rows = Price.objects.filter(instrument__in=held, on__gte=day - MAX_AGE, on__lte=day)
    rows = rows.order_by("on", "is_imported")
    columns = rows.values_list("instrument_id", "on", "close", "currency")
    return {instrument_id: (on, close, currency) for instrument_id, on, close, currency in columns}


def _balances_on(day: date, accounts: list[Account]) -> list[Balance]:
    """Today's cash without what came and went since; unknown where that is not completely told.

    Accruals of the past are not kept.
    """
    by_key: dict[tuple[int, str], list[Effect]] = defaultdict(list)
    for effect in effects_by_month(accounts, [day]):
        by_key[effect.account_id, effect.currency].append(effect)
    known_from = cash_known_from(accounts)
    return [
        row._replace(
            amount=_cash_on(day, row.amount, by_key[row.account_id, row.currency])
            if day >= known_from.get(row.account_id, date.max)
            else None,
            accrued=None,
            futures_pnl=None,
        )
        for row in _balances(tuple(account.pk for account in accounts))
    ]


def cash_known_from(accounts: list[Account]) -> dict[int, date]:
    """By account row the first day at whose end the cash can be known.

    That is the day of the first report; earlier where statements tell everything that moves money, without
    a gap, up to that report. Activities alone do not: they may be those of some instruments only.
    """
    told: dict[tuple[int, str], list[tuple[date, date]]] = defaultdict(list)
    for period in Period.objects.filter(account__in=accounts):
        told[period.account_id, period.topic].append((period.until, period.since))
    known = {}
    for account in accounts:
        if account.cash_since is not None:
            reported_on = account.cash_since.date()
            first_days = [_first_day(told[account.pk, topic], reported_on) for topic in TOPICS]
            known[account.pk] = max(reported_on if day is None else day - DAY for day in first_days)
    return known


def _first_day(ranges: list[tuple[date, date]], last: date) -> date | None:
    """The first day from which the ranges (end, start) cover every day to the last; None if they do not."""
    first = last + DAY
    for until, since in sorted(ranges, reverse=True):
        if until >= first - DAY:
            first = min(first, since)
    return first if first <= last else None


def _cash_on(day: date, now: Decimal | None, known: list[Effect]) -> Decimal | None:
    explained = total(effect.amount for effect in known if not effect.is_guess).value
    later = [effect for effect in known if effect.on > day]
    if now is None or explained != now or any(effect.is_opening or effect.is_guess for effect in later):
        return None
    return now - sum((effect.amount or Decimal(0) for effect in later), Decimal(0))
