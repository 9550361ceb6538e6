"""What a broker's answers become: frozen values that cannot be wrong. No Django, no network, no clock.

Signs: quantities are signed (short is negative); cash into the account is positive.
Unknown is None everywhere, never 0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import NamedTuple, TypeVar, dataclass_transform


class AssetClass(StrEnum):
    __hash__ = str.__hash__  # an enumeration's own is a function of Python

    STOCK = "stock"
    ETF = "etf"
    FUND = "fund"
    OPTION = "option"
    FUTURE = "future"
    FUTURE_OPTION = "future_option"
    BOND = "bond"
    CASH = "cash"
    CRYPTO = "crypto"
    WARRANT = "warrant"
    STRUCTURED = "structured"
    CFD = "cfd"
    COMMODITY = "commodity"
    OTHER = "other"


# Their price is of one unit and they stand for several.
CONTRACTS = frozenset({AssetClass.OPTION, AssetClass.FUTURE, AssetClass.FUTURE_OPTION, AssetClass.WARRANT})
# What a complete history tells.
TOPICS = ("trades", "cash", "corporate_actions", "transfers")


class ActivityKind(StrEnum):
    __hash__ = str.__hash__

    BUY = "buy"
    SELL = "sell"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    DIVIDEND = "dividend"
    TAX = "tax"
    FEE = "fee"
    INTEREST = "interest"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"
    SPLIT = "split"
    FX = "fx"
    CORPORATE_ACTION = "corporate_action"
    OTHER = "other"  # money moved, and the broker's word for it is not known
    OPENING = "opening"


SETTLEMENT = "daily settlement"
"""The subtype of money that futures brought over some days, told in sum: from `trade_date` to `booked_on`."""

UNKNOWN_CURRENCY = "XXX"
"""ISO 4217's code for no currency: what an account is kept in while none was told. It converts to nothing."""

_CURRENCY = re.compile(r"[A-Z]{3}")


@cache
def currency(code: str) -> str:
    """The ISO 4217 code itself; ValueError for anything else (`BASE`, `GBX` in small letters, blanks)."""
    if not _CURRENCY.fullmatch(code):
        raise ValueError(f"{code!r} is not a currency code of three capital letters")
    return code


_Kind = TypeVar("_Kind")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _value(of: type[_Kind]) -> type[_Kind]:
    """A frozen dataclass, which the type checker sees to: when Python does, each takes five times as long to
    make, and they are made by the hundred thousand.
    """
    return dataclass(slots=True, unsafe_hash=True)(of)


@_value
class Money:
    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        currency(self.currency)

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)


@_value
class Account:
    """One account at one broker. `account` is the broker's own id; `currency` is the one it is kept in."""

    account: str
    currency: str
    alias: str = ""
    kind: str = ""
    opened_on: date | None = None


@_value
class Instrument:
    """What can be held. `broker_ref` is the broker's own number of it (IBKR: the conid).

    `multiplier` is units of the underlying per contract; `quote_factor` turns the quoted price into
    money per unit (bonds quoted in percent of face: 0.01). Where `is_whole` is False the broker told
    only part of it: that fills what is not known yet and replaces nothing that is.
    """

    broker_ref: str
    symbol: str
    name: str
    asset_class: AssetClass
    currency: str
    multiplier: Decimal = Decimal(1)
    quote_factor: Decimal = Decimal(1)
    isin: str | None = None
    exchange: str | None = None  # the broker's own code
    mic: str | None = None
    market: str | None = None  # the exchange's name
    market_country: str | None = None
    country: str | None = None
    sector: str | None = None
    industry: str | None = None
    expires_on: date | None = None
    strike: Decimal | None = None
    right: str | None = None  # "call" or "put"
    underlying_ref: str | None = None
    underlying_symbol: str | None = None
    description: str = ""  # the broker's own contract text, whole
    is_whole: bool = True

    def __post_init__(self) -> None:
        currency(self.currency)
        if not (self.multiplier and self.quote_factor):
            raise ValueError("a multiplier or quote factor of 0 would make every value 0")
        if self.right not in (None, "call", "put"):
            raise ValueError(f"{self.right!r} is neither call nor put")


@_value
class Position:
    """A signed quantity of one instrument in one account, as the broker reports it.

    `market_value` is what it adds to NAV, in the instrument's currency: for futures and CFDs the profit
    carried, for currency pairs 0 (their money is in the cash balances). `exposure` is the full
    quantity × multiplier × price. `cost_basis` has the sign of the quantity.
    """

    account: str
    broker_ref: str
    quantity: Decimal
    price: Decimal | None
    market_value: Decimal | None
    exposure: Decimal | None
    average_cost: Decimal | None  # per unit, as the price is quoted
    cost_basis: Decimal | None
    unrealized_pnl: Decimal | None
    priced_at: datetime


@_value
class CashBalance:
    """Cash of one currency in one account; `futures_pnl` is the variation not yet booked to cash."""

    account: str
    currency: str
    amount: Decimal
    settled: Decimal | None = None
    accrued_interest: Decimal | None = None
    accrued_dividends: Decimal | None = None
    futures_pnl: Decimal | None = None
    reported_nav: Decimal | None = None  # the broker's own net liquidation value of this currency

    def __post_init__(self) -> None:
        currency(self.currency)


@_value
class AccountValue:
    """The broker's own figures of a whole account, in the account's currency: what we reconcile against.

    Those of margin come from some answers only. `cushion` is the excess liquidity as a fraction of NAV.
    """

    account: str
    currency: str
    as_of: datetime
    nav: Decimal | None
    cash: Decimal | None
    accrued_interest: Decimal | None
    accrued_dividends: Decimal | None
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
    excess_liquidity: Decimal | None = None
    available_funds: Decimal | None = None
    buying_power: Decimal | None = None
    cushion: Decimal | None = None


def precedence(told_at: datetime, *, in_statement: bool = False) -> int:
    """Which of two words about one rate, value or figure counts: a statement's, then the later one's."""
    return int(told_at.timestamp()) + (in_statement << 40)


@_value
class FxRate:
    """`rate` units of `quote` for one unit of `base`."""

    base: str
    quote: str
    on: date
    rate: Decimal
    precedence: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit of an instrument was worth at the end of one day, in the instrument's currency."""

    broker_ref: str
    on: date
    close: Decimal
    precedence: int = field(default=0, compare=False)


@_value
class NavPoint:
    """The broker's NAV of one account at the end of one day, in the account's currency."""

    account: str
    on: date
    nav: Decimal
    currency: str
    precedence: int = field(default=0, compare=False)


@_value
class Activity:
    """Anything that changed an account.

    `key` is stable: the broker's own number, or all that tells two events apart plus a counter for
    equal ones in one answer. `quantity` is signed (a sale is negative). `gross` is the cash effect
    before fee and tax; `fee` and `tax` are negative when they cost; `net` is their sum.
    `subtype` narrows the kind in the broker's field ("payment in lieu", "assignment", "spin-off");
    rows that are one event (the legs of a merger, a dividend and its tax) share a `group`.

    An exchange of currencies (kind `fx`) is one activity: `gross` in `currency` against `quantity` of the
    currency named by `broker_ref` (an instrument of class cash whose reference is the currency code).
    `quantity` is cash there, never a position.
    """

    account: str
    key: str
    source: str  # which answer told it: "web-api", "flex", ...
    kind: ActivityKind
    trade_date: date
    currency: str
    broker_ref: str | None = None
    trade_at: datetime | None = None
    settlement_date: date | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    gross: Decimal | None = None
    fee: Decimal | None = None
    tax: Decimal | None = None
    fx_rate: Decimal | None = None  # account currency for one unit of `currency`
    description: str = ""
    subtype: str = ""
    group: str | None = None
    booked_on: date | None = None  # the day from which the broker's own balances and NAV hold it
    ex_date: date | None = None
    acquired_on: date | None = None  # start of the holding period of what came in by a transfer
    value: Decimal | None = None  # market value of what moved without being paid for; sign of the quantity
    cost: Decimal | None = None  # cost basis of what moved, as the broker says; sign of the quantity
    realized_pnl: Decimal | None = None  # as the broker says
    refs: tuple[str, ...] = ()  # the broker's numbers of it ("trade:1"): one in common is one event
    reverses: str | None = None  # the ref of the activity that this one takes back
    ratio: Decimal | None = None  # of a split: new shares for one old

    def __post_init__(self) -> None:
        currency(self.currency)


@_value
class Named:
    """What an imported file calls an instrument: it has an ISIN or a symbol; the rest where told.

    `multiplier` and `quote_factor` are those that the money of its trades shows.
    """

    isin: str
    symbol: str
    currency: str
    name: str = ""
    asset_class: AssetClass | None = None
    multiplier: Decimal | None = None
    quote_factor: Decimal | None = None

    @property
    def ref(self) -> str:
        return f"{self.isin or self.symbol}:{self.currency}"


class ImportedActivity(NamedTuple):
    """One row of an imported file; signs as of an `Activity`.

    `external_id` is the file's own number of it, or empty; `on` the trade date as the database keeps it;
    `exchanged` the currency that an exchange bought (or sold) `quantity` of. `gross` of a trade is None where
    it follows from quantity, price and the instrument. A split has its `ratio` and no quantity.
    """

    line: int
    account: str
    external_id: str
    kind: ActivityKind
    on: str
    named: Named | None
    exchanged: str | None
    quantity: Decimal | None
    price: Decimal | None
    currency: str
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    fx_rate: Decimal | None
    ratio: Decimal | None
    note: str


@_value
class Coverage:
    """The activities of one instrument in one account are completely known from `since` to `until`."""

    account: str
    broker_ref: str
    since: date
    until: date


@_value
class Period:
    """One source told all of an account's activities from `since` to `until`, in the topics it holds."""

    account: str
    source: str
    since: date
    until: date
    topics: tuple[str, ...]  # of TOPICS


@_value
class Figure:
    """One number of a broker's statement: what the ledger's own numbers are held against.

    `section` and `name` are the statement's words. It is true for the days from `since` to `until`, or
    for the end of one day when they are equal. `ref` tells rows apart that are alike in all of this.
    """

    account: str
    section: str
    name: str
    since: date
    until: date
    currency: str
    amount: Decimal
    broker_ref: str | None = None
    ref: str = ""
    precedence: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        currency(self.currency)


class QuoteKind(StrEnum):
    LIVE = "live"
    DELAYED = "delayed"  # by 15 to 20 minutes
    CLOSE = "close"  # the market is closed; its last price


@_value
class Quote:
    """A price as the market shows it, by the broker's number of the instrument. Shown, and never stored."""

    broker_ref: str
    price: Decimal
    at: datetime
    kind: QuoteKind


@_value
class BalanceNow:
    """One currency of an account as its broker streams it; `rate` is the account's currency for one unit.

    `accrued` is interest and dividends together. None is not told. Shown, and never stored.
    """

    amount: Decimal | None
    accrued: Decimal | None
    rate: Decimal | None
    at: datetime


@_value
class LedgerNow:
    """What a broker streams of an account: balances by currency, and its own value of all of it.

    `traded_at` is when the latest trade was seen; None if none was.
    """

    balances: Mapping[str, BalanceNow]
    nav: Decimal | None
    traded_at: datetime | None


@_value
class InboxItem:
    """A row that could not be typed, with its whole text. `key` makes the same row arrive once.

    `meant` is the part of a batch that the row belongs in ("accounts", "positions", "cash", "activities"),
    or empty.
    """

    key: str
    account: str | None
    section: str
    reason: str
    text: str
    meant: str = ""


@_value
class Batch:
    """All that one run of one login brought, ready to be stored in one transaction.

    `positions` and `cash` hold a key per account whose answer was complete: an instrument or currency
    missing from a present account is closed; an absent account is left as it was.
    `partial_positions` and `partial_cash` are rows of accounts whose answer was not complete: they update,
    they close nothing.
    """

    broker: str
    login: str
    fetched_at: datetime
    accounts: tuple[Account, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    positions: Mapping[str, tuple[Position, ...]] = field(default_factory=dict)
    partial_positions: tuple[Position, ...] = ()
    cash: Mapping[str, tuple[CashBalance, ...]] = field(default_factory=dict)
    partial_cash: tuple[CashBalance, ...] = ()
    values: tuple[AccountValue, ...] = ()
    rates: tuple[FxRate, ...] = ()
    prices: tuple[Price, ...] = ()  # of past days; the positions tell those of now
    navs: tuple[NavPoint, ...] = ()
    activities: tuple[Activity, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    periods: tuple[Period, ...] = ()
    figures: tuple[Figure, ...] = ()
    inbox: tuple[InboxItem, ...] = ()
    told_at: datetime | None = None  # of a statement: when it was told; its states are those of its last day
    past: tuple["Batch", ...] = ()  # the statements that came with it, each to be stored after it

    def unread(self) -> list[tuple[str, str]]:
        """The accounts of which rows came and none could be typed, each with what the rows were meant as."""
        typed = {
            "accounts": {row.account for row in self.accounts},
            "positions": {*self.positions, *(row.account for row in self.partial_positions)},
            "cash": {*self.cash, *(row.account for row in self.partial_cash)},
            "activities": {row.account for row in self.activities},
        }
        found = {
            (item.account, item.meant)
            for item in self.inbox
            if item.account and item.meant and item.account not in typed[item.meant]
        }
        return sorted(found | {row for part in self.past for row in part.unread()})
