"""The scripted portfolio: accounts, everything that ever happened in them, and how it changes.

Positions, cash and NAV are results of the entries; nothing is stated twice. Cash is exact to the
hundredth of its currency. Signs: cash into the account and bought quantities are positive.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument, Market, is_business_day

Kind = Literal[
    "buy", "sell", "dividend", "interest", "deposit", "withdrawal", "fee", "fx", "split", "variation"
]
ZERO = Decimal(0)
_CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Holder:
    """An account as its owner opened it."""

    account: str
    currency: str
    title: str
    alias: str | None
    opened_on: date
    entity: str = "IB-IE"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in one account. Its cash effect in `currency` is gross + commission + tax.

    `quantity` is what it adds to the position in `conid`; `exchanged` is the other currency of an fx
    conversion and what it adds there; `ratio` is new shares per old of a split. `number` and `realized`
    (the profit of the lots that a trade closed, commissions counted) are set when it is booked.
    """

    account: str
    on: date
    kind: Kind
    currency: str
    gross: Decimal = ZERO
    commission: Decimal = ZERO
    tax: Decimal = ZERO
    conid: int | None = None
    quantity: Decimal = ZERO
    price: Decimal | None = None
    exchanged: tuple[str, Decimal] | None = None
    ratio: int | None = None
    description: str = ""
    ex_date: date | None = None  # of a dividend
    number: int = 0
    realized: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return self.gross + self.commission + self.tax


@dataclass(frozen=True, slots=True)
class Accrual:
    """Earned from `on`, paid on `paid_on`; in between it is part of NAV but not of cash."""

    account: str
    kind: Literal["interest", "dividend"]
    currency: str
    on: date
    paid_on: date
    gross: Decimal
    tax: Decimal = ZERO
    conid: int | None = None
    description: str = ""

    @property
    def amount(self) -> Decimal:
        return self.gross + self.tax


@dataclass
class Holding:
    """The position of one account in one instrument."""

    instrument: Instrument
    quantity: Decimal = ZERO
    # Quantity and cost per unit of what is open, oldest first.
    lots: deque[tuple[Decimal, Decimal]] = field(default_factory=deque)
    realized_today: Decimal = ZERO
    traded: Decimal = ZERO  # sum of quantity x price x units
    booked: Decimal = ZERO  # of a margined instrument: what its profit has added to cash so far

    @property
    def average_cost(self) -> Decimal:
        """Per unit, commissions counted, as the price is quoted; 0 when nothing is held."""
        if not self.quantity:
            return ZERO
        return sum((quantity * cost for quantity, cost in self.lots), ZERO) / self.quantity

    def carried(self, price: Decimal) -> Decimal:
        """Of a margined instrument at that price: the profit that is not in cash yet."""
        return self.quantity * price * self.instrument.units - self.traded - self.booked

    @property
    def is_finished(self) -> bool:
        """Of a margined instrument: nothing is held and all profit is in cash."""
        return not self.quantity and self.traded == -self.booked

    def trade(self, quantity: Decimal, price: Decimal, commission: Decimal) -> Decimal | None:
        """Book a trade on the lots; returns the profit before commission, None if it only opened."""
        units = self.instrument.units
        # By what was paid, in whole cents.
        paid_price = cents(quantity * price * units) / (quantity * units)
        exact = price if self.instrument.is_margined else paid_price
        closing = ZERO
        if self.quantity * quantity < 0:
            closing = quantity if abs(quantity) <= abs(self.quantity) else -self.quantity
        profit = self._close(closing, exact) if closing else None
        opening = quantity - closing
        if opening:
            # Commission raises what a purchase cost and lowers what a short sale brought; what is
            # margined has it in cash only, its profit is the price's alone.
            paid = ZERO if self.instrument.is_margined else commission / (quantity * units)
            self.lots.append((opening, exact - paid))
        self.traded += quantity * price * units
        self.quantity += quantity
        return profit

    def split(self, ratio: int) -> None:
        self.lots = deque((quantity * ratio, cost / ratio) for quantity, cost in self.lots)
        self.quantity *= ratio

    def _close(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Take `quantity` (signed like the change) off the oldest lots; returns the profit."""
        left, profit = -quantity, ZERO
        while left:
            held, cost = self.lots.popleft()
            taken = held if abs(held) <= abs(left) else left
            profit += taken * (price - cost) * self.instrument.units
            left -= taken
            if held != taken:
                self.lots.appendleft((held - taken, cost))
        return profit


class World:
    """Accounts in a market, filled by a script and changed while it is served. Safe to use from threads."""

    def __init__(self, market: Market, holders: list[Holder]) -> None:
        self.market = market
        self.holders = {holder.account: holder for holder in holders}
        self.entries: list[Entry] = []
        self.unpaid: list[Accrual] = []
        self.paid: list[Accrual] = []
        self.cash: dict[str, dict[str, Decimal]] = {h.account: defaultdict(Decimal) for h in holders}
        self.holdings: dict[str, dict[int, Holding]] = {h.account: {} for h in holders}
        self.last_closed: dict[str, int] = {}  # account -> conid
        self.stale: dict[str, dict[int, Decimal]] = {}  # quantities before the latest change of today
        self._histories: dict[str, list[tuple[date, Decimal, Decimal]]] = {}
        self.version = 0  # counts the changes
        self.lock = threading.RLock()

    @property
    def today(self) -> date:
        return self.market.today

    # What happens, by the script and by tests

    def buy(
        self,
        account: str,
        conid: int,
        quantity: Decimal,
        price: Decimal | None = None,
        on: date | None = None,
        commission: Decimal | None = None,
    ) -> Entry:
        """Add to a position, open it, or cover a short one; `quantity` is positive.

        Today unless `on` is given; at the price of that moment or the close of that day, and for IBKR's
        commission (negative), unless they are given.
        """
        return self._trade("buy", account, conid, quantity, price, on or self.today, commission)

    def sell(
        self,
        account: str,
        conid: int,
        quantity: Decimal,
        price: Decimal | None = None,
        on: date | None = None,
        commission: Decimal | None = None,
    ) -> Entry:
        """Take from a position, close it, or open a short one; `quantity` is positive, the rest as in buy."""
        return self._trade("sell", account, conid, -quantity, price, on or self.today, commission)

    def add_position(
        self,
        account: str,
        instrument: Instrument,
        quantity: Decimal,
        price: Decimal,
        cost: Decimal | None = None,
    ) -> Entry:
        """Make an instrument known at `price` and buy it today at `cost` (at the price if not given)."""
        with self.lock:
            curve = self.market.trend(str(instrument.conid), float(price), 0.0, 0.1)
            self.market.add(instrument, curve, live=price)
            return self.buy(account, instrument.conid, quantity, price if cost is None else cost)

    def set_price(self, conid: int, price: Decimal) -> None:
        with self.lock:
            self.market.set_price(conid, price)
            self.version += 1

    def move_cash(
        self, account: str, kind: Kind, currency: str, amount: Decimal, on: date, description: str
    ) -> Entry:
        """Deposit, withdrawal, fee or interest: `amount` is signed."""
        return self._book(Entry(account, on, kind, currency, cents(amount), description=description))

    def dividend(
        self, account: str, conid: int, per_share: Decimal, tax_rate: Decimal, ex_date: date, paid_on: date
    ) -> None:
        """Announce a dividend on what is held: accrued from the ex-date, in cash by `pay_due`."""
        holding = self.holdings[account][conid]
        gross = cents(holding.quantity * per_share)
        currency = holding.instrument.currency
        text = f"{holding.instrument.symbol} CASH DIVIDEND {currency} {per_share} PER SHARE"
        self.unpaid.append(
            Accrual(
                account, "dividend", currency, ex_date, paid_on, gross, -cents(gross * tax_rate), conid, text
            )
        )

    def accrue_interest(
        self, account: str, currency: str, amount: Decimal, on: date, paid_on: date, text: str
    ) -> None:
        """Interest of one day, in cash by `pay_due`."""
        self.unpaid.append(
            Accrual(account, "interest", currency, on, paid_on, cents(amount), description=text)
        )

    def pay_due(self, on: date) -> None:
        """Book what was to be paid up to that day, each payment once as a whole."""
        due = [accrual for accrual in self.unpaid if accrual.paid_on <= on]
        if not due:
            return
        self.unpaid = [accrual for accrual in self.unpaid if accrual.paid_on > on]
        self.paid += due
        payments: dict[tuple[str, Kind, str, date, int | None, str], list[Accrual]] = defaultdict(list)
        for accrual in due:
            key = (accrual.account, accrual.kind, accrual.currency, accrual.paid_on, accrual.conid)
            payments[*key, accrual.description].append(accrual)
        for (account, kind, currency, paid_on, conid, text), parts in payments.items():
            gross = sum((part.gross for part in parts), ZERO)
            tax = sum((part.tax for part in parts), ZERO)
            entry = Entry(
                account,
                paid_on,
                kind,
                currency,
                gross,
                tax=tax,
                conid=conid,
                description=text,
                ex_date=parts[0].on if kind == "dividend" else None,
            )
            self._book(entry)

    def exchange(
        self, account: str, currency: str, amount: Decimal, into: str, on: date, conid: int | None = None
    ) -> Entry:
        """Change `amount` of `currency` (positive: given away) into `into` at that day's rate.

        With a pair's conid (EUR.USD for the two) its virtual position moves too.
        """
        amount = cents(amount)
        received = cents(amount * self.market.cross(currency, into, on if on < self.today else None))
        quantity, price = ZERO, None
        if conid is not None:
            is_first = self.market.instruments[conid].symbol == currency
            quantity = -amount if is_first else received
            price = (received / amount if is_first else amount / received).quantize(Decimal("0.00001"))
        return self._book(
            Entry(
                account,
                on,
                "fx",
                currency,
                gross=-amount,
                exchanged=(into, received),
                conid=conid,
                quantity=quantity,
                price=price,
                description=f"{currency}.{into}",
            )
        )

    def split(self, conid: int, ratio: int, on: date) -> None:
        """`ratio` new shares for each old one, in every account."""
        for account, holdings in self.holdings.items():
            held = holdings[conid].quantity if conid in holdings else ZERO
            if held:
                currency = self.market.instruments[conid].currency
                added = held * (ratio - 1)
                self._book(Entry(account, on, "split", currency, conid=conid, quantity=added, ratio=ratio))

    def settle(self, on: date) -> None:
        """Book every future's profit of that day at its close."""
        for account, holdings in self.holdings.items():
            for conid, holding in holdings.items():
                if holding.instrument.asset_class != "FUT" or holding.is_finished:
                    continue
                price = self.market.close(conid, on)
                profit = cents(holding.carried(price))
                currency = holding.instrument.currency
                self._book(Entry(account, on, "variation", currency, profit, conid=conid, price=price))

    # What follows from it

    def held(self, account: str, conid: int) -> Decimal:
        holding = self.holdings[account].get(conid)
        return holding.quantity if holding else ZERO

    def shown(self, account: str) -> list[Holding]:
        """What IBKR lists: all that is held, what was closed today, and the last thing closed before."""
        lingering = {e.conid for e in self.entries_of(account) if e.on == self.today}
        lingering.add(self.last_closed.get(account))
        return [h for conid, h in self.holdings[account].items() if h.quantity or conid in lingering]

    def entries_of(self, account: str) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.account == account)

    def value_in_nav(self, holding: Holding, price: Decimal) -> Decimal:
        """What the holding adds to NAV at that price, in its own currency."""
        if holding.instrument.is_virtual:
            return ZERO
        if holding.instrument.is_margined:
            return holding.carried(price)
        return holding.quantity * price * holding.instrument.units

    def accrued(self, account: str, kind: str) -> dict[str, Decimal]:
        """Earned and not paid today, per currency."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for accrual in self.unpaid:
            if accrual.account == account and accrual.kind == kind and accrual.on <= self.today:
                totals[accrual.currency] += accrual.amount
        return dict(totals)

    def nav(self, account: str) -> Decimal:
        """Today, in the account's currency, not rounded."""
        into = self.holders[account].currency
        amounts: dict[str, Decimal] = defaultdict(Decimal)
        for currency, amount in self.cash[account].items():
            amounts[currency] += amount
        for kind in ("interest", "dividend"):
            for currency, amount in self.accrued(account, kind).items():
                amounts[currency] += amount
        for conid, holding in self.holdings[account].items():
            amounts[holding.instrument.currency] += self.value_in_nav(holding, self.market.price(conid))
        return sum((amount * self.market.cross(c, into) for c, amount in amounts.items()), ZERO)

    def nav_history(self, account: str, first: date) -> list[tuple[date, Decimal, Decimal]]:
        """NAV at each close and the deposits of that day, in the account's currency, up to the last close.

        Begins on the business day before `first`, or before the account was opened if that was later.
        """
        with self.lock:
            first = max(first, self.holders[account].opened_on)
            before = self.market.index(first) - (first in self.market.days)
            start = self.market.days[max(before, 0)]
            known = self._histories.get(account)
            if known is None or known[0][0] > start:
                known = self._histories[account] = self._replay(account, start)
            return [point for point in known if point[0] >= start]

    def _replay(self, account: str, start: date) -> list[tuple[date, Decimal, Decimal]]:
        """The points of `nav_history`, from the entries alone."""
        into = self.holders[account].currency
        entries = deque(
            sorted((e for e in self.entries_of(account) if e.on < self.today), key=lambda e: e.on)
        )
        accruals = deque(self._accrual_changes(account))
        held: dict[int, Holding] = {}
        amounts: dict[str, Decimal] = defaultdict(Decimal)  # cash and what is accrued
        points = []
        for day in self.market.days[self.market.index(start) : -1]:
            flow = ZERO
            while entries and entries[0].on <= day:
                entry = entries.popleft()
                _apply(entry, amounts, held, self.market)
                if entry.kind in ("deposit", "withdrawal"):
                    flow += entry.net * self.market.cross(entry.currency, into, entry.on)
            while accruals and accruals[0][0] <= day:
                _, currency, amount = accruals.popleft()
                amounts[currency] += amount
            values = defaultdict(Decimal, amounts)
            for conid, holding in held.items():
                if holding.quantity:
                    values[holding.instrument.currency] += self.value_in_nav(
                        holding, self.market.close(conid, day)
                    )
            nav = sum((amount * self.market.cross(c, into, day) for c, amount in values.items()), ZERO)
            points.append((day, nav, flow))
        return points

    def _accrual_changes(self, account: str) -> list[tuple[date, str, Decimal]]:
        """When how much begins to be accrued, and when it ceases to be because it is paid."""
        accruals = [a for a in (*self.paid, *self.unpaid) if a.account == account]
        changes = [(a.on, a.currency, a.amount) for a in accruals]
        changes += [(a.paid_on, a.currency, -a.amount) for a in accruals]
        return sorted(changes, key=lambda change: change[0])

    def _trade(
        self,
        kind: Kind,
        account: str,
        conid: int,
        quantity: Decimal,
        price: Decimal | None,
        on: date,
        commission: Decimal | None,
    ) -> Entry:
        with self.lock:
            instrument = self.market.instruments[conid]
            if price is None:
                price = self.market.price(conid) if on == self.today else self.market.close(conid, on)
            if commission is None:
                commission = _commission(instrument, quantity, price)
            if on == self.today:
                self.stale[account] = {c: h.quantity for c, h in self.holdings[account].items()}
            # What is margined is not paid for; its profit is booked by `settle` or on closing.
            gross = ZERO if instrument.is_margined else -cents(quantity * price * instrument.units)
            return self._book(
                Entry(
                    account,
                    on,
                    kind,
                    instrument.currency,
                    gross,
                    commission,
                    conid=conid,
                    quantity=quantity,
                    price=price,
                    description=instrument.name,
                )
            )

    def _book(self, entry: Entry) -> Entry:
        """Number the entry and let cash and position follow from it."""
        with self.lock:
            if entry.conid is not None:
                entry = self._book_on_holding(entry, entry.conid)
            cash = self.cash[entry.account]
            cash[entry.currency] += entry.net
            if entry.exchanged is not None:
                cash[entry.exchanged[0]] += entry.exchanged[1]
            entry = replace(entry, number=len(self.entries) + 1)
            self.entries.append(entry)
            self.version += 1
            return entry

    def _book_on_holding(self, entry: Entry, conid: int) -> Entry:
        holding = self.holdings[entry.account].setdefault(conid, Holding(self.market.instruments[conid]))
        if entry.ratio is not None:
            holding.split(entry.ratio)
        elif entry.kind == "variation":
            holding.booked += entry.gross
        elif entry.price is not None:
            profit = holding.trade(entry.quantity, entry.price, entry.commission)
            if profit is not None:
                entry = replace(entry, realized=profit + entry.commission)
                if holding.instrument.asset_class == "CFD":
                    entry = replace(entry, gross=cents(profit))
                    holding.booked += entry.gross
                if entry.on == self.today:
                    holding.realized_today += entry.realized
                if not holding.quantity:
                    self.last_closed[entry.account] = conid
        return entry


def _apply(entry: Entry, cash: dict[str, Decimal], held: dict[int, Holding], market: Market) -> None:
    """Replay one entry on cash and quantities; of the margined also on what was traded and booked."""
    cash[entry.currency] += entry.net
    if entry.exchanged is not None:
        cash[entry.exchanged[0]] += entry.exchanged[1]
    if entry.conid is not None:
        holding = held.setdefault(entry.conid, Holding(market.instruments[entry.conid]))
        holding.quantity += entry.quantity
        if holding.instrument.is_margined:
            holding.traded += entry.quantity * (entry.price or ZERO) * holding.instrument.units
            holding.booked += entry.gross


def _commission(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
    """What IBKR takes for a trade, about: negative."""
    size = abs(quantity)
    if instrument.asset_class in ("OPT", "FOP", "FUT"):
        return -cents(max(Decimal(1), size * Decimal("0.85")))
    if instrument.currency in ("USD", "CAD"):
        return -cents(max(Decimal(1), size * Decimal("0.005")))
    least = {"JPY": Decimal(80), "HKD": Decimal(18), "SEK": Decimal(20)}.get(
        instrument.currency, Decimal("1.25")
    )
    return -cents(max(least, size * price * instrument.units * Decimal("0.0005")))


def business_day(day: date) -> date:
    """That day, or the business day before it."""
    while not is_business_day(day):
        day -= timedelta(days=1)
    return day
