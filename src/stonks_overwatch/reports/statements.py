"""What statements say of an account held against what the ledger makes of the same days.

Cash is walked from each statement's own beginning, so that one fault shows in the days it is in and not
in all that follow. Amounts of one currency must agree to the cent; where exchange rates are part of a
figure, it may differ by what their last digit leaves open.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Literal, NamedTuple

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from stonks_overwatch.ledger.lots import Close, Lot, Method
from stonks_overwatch.ledger.models import Account, Activity, Figure, Instrument, Period
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.books import NO_LOTS, Books, Moves, read
from stonks_overwatch.reports.books import Paper as Contract
from stonks_overwatch.reports.cash import net
from stonks_overwatch.reports.documents import Computed, Document, known_sum, times
from stonks_overwatch.reports.rates import Rates

ZERO, ONE = Decimal(0), Decimal(1)
CENT = Decimal("0.005")
EXACT = Decimal("1e-9")  # quantities are equal to the last digit
# Lots are matched anew for the end of a statement; of more statements the last ones.
MOST_ENDS = 4
_ACCRUED = ("dividendAccruals", "interestAccruals")
_DAY = timedelta(days=1)
_SHOWN = 5

# By what a line is about: the names of IBKR's cash report and change in NAV that belong together.
_GROUPS: dict[str, tuple[str, ...]] = {
    "deposits and withdrawals": (
        "deposits", "withdrawals", "depositsWithdrawals", "debitCardActivity", "billPay", "donations",
    ),
    "dividends": ("dividends", "paymentInLieu"),
    "withholding tax": ("withholdingTax", "withholding871m", "withholdingCollectedTax"),
    "interest": ("interest", "brokerInterest", "bondInterest", "insuredDepositInterest", "cfdCharges"),
    "commissions": ("commissions", "forexCommissions"),
    "fees": ("brokerFees", "otherFees", "advisorFees", "clientFees", "commissionAdjustments"),
    "other taxes": ("transactionTax", "salesTax", "billableSalesTax"),
    "trades": ("netTradesSales", "netTradesPurchases"),
}  # fmt: skip
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names}
_SETTLED = ("cashSettlingMtm", "realizedVm")  # the daily profit of futures, told for the whole period
_TOPICS = {"trades": "trades", "commissions": "trades"}  # of the other groups: cash
_TRADES = frozenset({ActivityKind.BUY, ActivityKind.SELL, ActivityKind.FX})
_DEPOSITS = frozenset({ActivityKind.DEPOSIT, ActivityKind.WITHDRAWAL})
_WITHHELD = frozenset({"", "withholding tax", "871(m) withholding tax"})


class Suspect(Document):
    """A row that explains a difference, or a part of it; `ours` or `theirs` is null where a side has none."""

    activity: str | None  # the id of the report of activities
    on: date
    text: str
    ours: Computed | None
    theirs: Computed | None


Rounded = Literal["rates", "prices", "amounts"]


class Found(NamedTuple):
    """One figure of one day or period on both sides; `slack` is what rounding of its parts leaves open.

    `rounded` are the parts that the broker rounds. `first_on` is the day on which a difference begins, where
    that can be told.
    """

    account: int
    group: str
    what: str
    since: date | None
    on: date
    computed: Decimal | None
    reported: Decimal
    slack: Decimal = CENT
    instrument: int | None = None
    currency: str = ""
    suspects: tuple[Suspect, ...] = ()
    first_on: date | None = None
    rounded: Rounded | None = None

    @property
    def agrees(self) -> bool:
        return self.computed is not None and abs(self.computed - self.reported) < self.slack

    @property
    def within(self) -> Rounded | None:
        """What of the broker's is rounded, where only that makes the sides agree."""
        return self.rounded if self.agrees and not self._replace(slack=CENT).agrees else None


class Event(NamedTuple):
    """One activity that counts, in the order of `_COLUMNS`."""

    account: int
    key: str
    kind: str
    subtype: str
    trade_date: date
    booked_on: date | None
    currency: str
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    quantity: Decimal | None
    price: Decimal | None
    instrument: int | None
    ref: str | None
    fx_rate: Decimal | None
    refs: str
    is_derived: bool
    realized: Decimal | None
    description: str

    @property
    def on(self) -> date:
        """The day from which the broker's balances hold it."""
        return self.booked_on or self.trade_date

    def moves(self) -> Iterator[tuple[str, Decimal | None]]:
        """What it did to cash, by currency."""
        if self.kind == ActivityKind.OPENING:
            return
        yield self.currency, net(self.gross, self.fee, self.tax)
        if self.kind == ActivityKind.FX and self.ref is not None:
            yield self.ref, self.quantity

    def parts(self) -> Iterator[tuple[str, str, Decimal | None]]:
        """The same by what it was for: group, currency, amount."""
        kind, subtype = self.kind, self.subtype
        if kind in _TRADES:
            yield "trades", self.currency, self.gross
            if kind == ActivityKind.FX and self.ref is not None:
                yield "trades", self.ref, self.quantity
        elif kind in _DEPOSITS:
            yield "deposits and withdrawals", self.currency, self.gross
        elif kind == ActivityKind.DIVIDEND:
            yield "dividends", self.currency, self.gross
        elif kind == ActivityKind.INTEREST:
            yield "interest", self.currency, self.gross
        elif kind == ActivityKind.TAX:
            yield "withholding tax" if subtype in _WITHHELD else "other taxes", self.currency, self.gross
        elif kind == ActivityKind.FEE:
            yield "commissions" if subtype == "commission" else "fees", self.currency, self.gross
        if self.fee:
            yield "commissions" if kind in _TRADES else "fees", self.currency, self.fee
        if self.tax:
            is_trade = kind in _TRADES
            yield "other taxes" if is_trade else "withholding tax", self.currency, self.tax


_COLUMNS = (
    "account_id", "key", "kind", "subtype", "trade_date", "booked_on", "currency", "gross", "fee", "tax",
    "quantity", "price", "instrument_id", "instrument__broker_ref", "fx_rate", "refs", "is_derived",
    "realized_pnl", "description",
)  # fmt: skip


class Paper(NamedTuple):
    pk: int
    symbol: str
    asset_class: str
    currency: str
    units: Decimal  # money for one unit at a price of 1


Amounts = dict[str, Decimal]
Span = tuple[int, date, date]
"""An account, and the first and last day of a statement."""


class Movement(NamedTuple):
    """A line of the statement of funds; `numbers` are the broker's of what moved the money."""

    on: date
    currency: str
    numbers: tuple[str, ...]
    amount: Decimal

    def is_in(self, line: Found) -> bool:
        return self.currency == line.currency and (line.since or line.on) <= self.on <= line.on


@dataclass(frozen=True, slots=True)
class _Told:
    """The figures of the statements."""

    cash: dict[Span, dict[str, Amounts]] = field(default_factory=dict)  # by currency
    changes: dict[Span, Amounts] = field(default_factory=dict)
    days: dict[tuple[int, date], Amounts] = field(default_factory=dict)
    positions: dict[tuple[int, date], dict[str, Amounts]] = field(default_factory=dict)  # by reference

    @property
    def spans(self) -> list[Span]:
        return sorted({*self.cash, *self.changes})


def compared(
    looked_at: Sequence[Account], moves: Moves, kept: Books, start: date | None, end: date | None
) -> dict[int, list[Found]]:
    """Every figure of statements that end in these days, on both sides, by account row, oldest first.

    `kept` are the lots of today, made of `moves`.
    """
    figures = Figure.objects.filter(account__in=list(looked_at))
    if start is not None:
        figures = figures.filter(until__gte=start)
    if end is not None:
        figures = figures.filter(until__lte=end)
    told = _told(figures)
    if not (told.cash or told.changes or told.positions):
        return {}
    return _Comparison(looked_at, figures, told, moves, kept).all()


def _told(figures: QuerySet[Figure]) -> _Told:
    rows = figures.filter(section__in=("CashReport", "ChangeInNAV", "EquitySummaryInBase", "OpenPositions"))
    rows = rows.exclude(Q(section="EquitySummaryInBase") & ~Q(name__in=("cash", "total", *_ACCRUED)))
    told = _Told()
    columns = rows.order_by("pk").values_list(
        "account_id", "section", "name", Cast("since", TextField()), Cast("until", TextField()), "currency",
        "broker_ref", "amount",
    )  # fmt: skip
    days: dict[str, date] = {}  # tens of thousands of rows name some hundreds
    for account, section, name, first, last, currency, ref, amount in columns.iterator(chunk_size=2000):
        since = days.get(first) or days.setdefault(first, date.fromisoformat(first))
        until = days.get(last) or days.setdefault(last, date.fromisoformat(last))
        span = account, since, until
        match section:
            case "CashReport":
                told.cash.setdefault(span, {}).setdefault(currency, {})[name] = amount
            case "ChangeInNAV":
                told.changes.setdefault(span, {})[name] = amount
            case "EquitySummaryInBase":
                told.days.setdefault((account, until), {})[name] = amount
            case _:
                told.positions.setdefault((account, until), {}).setdefault(ref, {})[name] = amount
    return told


def _movements(figures: QuerySet[Figure]) -> dict[int, list[Movement]]:
    """The statements of funds, by account."""
    moved: dict[int, list[Movement]] = defaultdict(list)
    rows = figures.filter(section="StmtFunds").order_by("pk")
    for account, on, currency, tie, amount in rows.values_list(
        "account_id", "until", "currency", "ref", "amount"
    ):
        numbers = tuple(filter(None, tie.partition("#")[0].split("/")))
        moved[account].append(Movement(on, currency, numbers, amount))
    return moved


class _Comparison:
    def __init__(
        self,
        looked_at: Sequence[Account],
        figures: QuerySet[Figure],
        told: _Told,
        moves: Moves,
        kept: Books,
    ) -> None:
        self.figures, self.moves, self.kept = figures, moves, kept
        self.accounts = {account.pk: account for account in looked_at}
        self.told = told
        self.events = _events(looked_at)
        self.papers = _papers(looked_at)
        self.covered = _covered(looked_at)
        days = [*(day for _, *span in told.spans for day in span), *(on for _, on in told.positions)]
        self.rates = Rates.between(min(days), max(days))
        self.trades: dict[tuple[int, str], list[Event]] = defaultdict(list)
        self.prices: dict[int, dict[str, Decimal]] = {pk: {} for pk in self.accounts}
        for account, events in self.events.items():
            for event in events:
                if event.price is not None:
                    self.prices[account][event.key] = event.price
                if (
                    event.realized is not None
                    and event.ref
                    and event.kind in (ActivityKind.BUY, ActivityKind.SELL)
                ):
                    self.trades[account, event.ref].append(event)
        self.found: dict[int, list[Found]] = defaultdict(list)
        self.days: dict[int, list[Found]] = defaultdict(list)
        self.valued_on: dict[int, list[date]] = defaultdict(list)
        for account, on in sorted(told.days):
            self.valued_on[account].append(on)
        self.cash_at: dict[tuple[int, date], dict[str, Found]] = defaultdict(dict)  # by currency

    def all(self) -> dict[int, list[Found]]:
        for span in self.told.spans:
            self._walk(span)
            self._cash_report(span)
            self._change_in_nav(span)
        self._positions()
        self._realized()
        for lines in self.found.values():
            lines.sort(key=lambda line: line.on)
        return dict(self.found)

    @cached_property
    def movements(self) -> dict[int, list[Movement]]:
        """Read when something differs: only then is it asked which."""
        return _movements(self.figures)

    def _reported(self, span: Span) -> list[Event]:
        """What activities told for the days of a statement; not what the ledger worked out."""
        account, since, until = span
        return [event for event in self._between(account, since, until) if not event.is_derived]

    def _between(self, account: int, since: date, until: date) -> Sequence[Event]:
        """The events that count from the one day to the other; they are in the order of these days."""
        events = self.events.get(account, ())
        first = bisect_left(events, since, key=_counts_on)
        return events[first : bisect_right(events, until, key=_counts_on)]

    def _is_covered(self, span: Span, *topics: str) -> bool:
        account, since, until = span
        return all(
            any(first <= since and until <= last for first, last in self.covered.get((account, topic), ()))
            for topic in topics
        )

    # Cash

    def _walk(self, span: Span) -> None:
        """Cash of all currencies at the end of each day of a statement, in the account's currency."""
        account, since, until = span
        reports = self.told.cash.get(span, {})
        if not reports or not self._is_covered(span, "trades", "cash"):
            return
        if any(name in told for told in reports.values() for name in _SETTLED):
            return  # on which days is not told
        kept_in = self.accounts[account].currency
        balances = {code: told.get("startingCash", ZERO) for code, told in reports.items()}
        left = sorted(self._reported(span), key=lambda event: event.on, reverse=True)
        valued = self.valued_on.get(account, [])
        for on in valued[bisect_left(valued, since) : bisect_right(valued, until)]:
            while left and left[-1].on <= on:
                for code, amount in left.pop().moves():
                    balances[code] = balances.get(code, ZERO) + (amount or ZERO)
            reported = self.told.days[account, on].get("cash", ZERO)
            parts = [
                (amount, self.rates.rate(code, kept_in, on)) for code, amount in balances.items() if amount
            ]
            computed, slack = _converted(parts)
            self.days[account].append(
                Found(
                    account,
                    "cash",
                    f"cash in {kept_in}",
                    since,
                    on,
                    computed,
                    reported,
                    slack,
                    currency=kept_in,
                    rounded="rates",
                )
            )

    def _jumps(self, line: Found) -> list[date]:
        """The days of a statement on which its cash, day by day, goes off."""
        before, found = ZERO, []
        for day in self.days.get(line.account, ()):
            if day.since == line.since and day.on <= line.on and day.computed is not None:
                off = day.computed - day.reported
                if abs(off - before) >= day.slack:
                    found.append(day.on)
                before = off
        return found

    def _cash_report(self, span: Span) -> None:
        account, since, until = span
        own = self._reported(span)
        parts: dict[tuple[str, str], list[Decimal | None]] = defaultdict(list)
        moves: dict[str, list[Decimal | None]] = defaultdict(list)
        for event in own:
            for of, code, amount in event.parts():
                parts[of, code].append(amount)
            for code, amount in event.moves():
                moves[code].append(amount)
        for currency, told in self.told.cash.get(span, {}).items():
            for group, reported in _by_group(told).items():
                if self._is_covered(span, _TOPICS.get(group, "cash")):
                    computed = known_sum(parts.get((group, currency), ()))
                    self._add(Found(account, group, f"{group} {currency}", since, until, computed, reported,
                                    currency=currency), own)  # fmt: skip
            ending, starting = told.get("endingCash"), told.get("startingCash")
            if ending is None or starting is None or not self._is_covered(span, "trades", "cash"):
                continue
            moved = known_sum(moves.get(currency, ()))
            computed = None if moved is None else starting + moved
            line = Found(
                account, "cash", f"cash {currency}", since, until, computed, ending, currency=currency
            )  # fmt: skip
            self.cash_at[account, until][currency] = line  # once where several statements end that day
            self._add(line, own)

    def _add(self, line: Found, own: Sequence[Event]) -> None:
        """Take a line in; one that differs with the rows and the day that explain it."""
        if not line.agrees:
            of_line = [row for row in self.movements.get(line.account, ()) if row.is_in(line)]
            suspects = self._by_number(line, own, of_line) if of_line else self._by_amount(line, own)
            days = {row.on for row in suspects} or set(self._jumps(line))
            first = line.on if line.since == line.on else min(days, default=None)
            line = line._replace(suspects=suspects, first_on=first)
        self.found[line.account].append(line)

    def _by_number(
        self, line: Found, own: Sequence[Event], told: Sequence["Movement"]
    ) -> tuple[Suspect, ...]:
        """Row by row against the statement of funds: both sides name the broker's number of it."""
        event_of = {ref.partition(":")[2]: event for event in own for ref in event.refs.split()}
        theirs: dict[str, Decimal] = defaultdict(Decimal)
        found = []
        for row in told:
            event = next((event_of[name] for name in row.numbers if name in event_of), None)
            if event is not None:
                theirs[event.key] += row.amount
            elif line.group == "cash" and row.numbers:
                text = f"A movement that the ledger does not have (the broker's number {row.numbers[0]})"
                found.append(Suspect(activity=None, on=row.on, text=text, ours=None, theirs=row.amount))
        for event in {event.key: event for event in event_of.values()}.values():
            ours = known_sum(amount for code, amount in event.moves() if code == line.currency)
            is_of_kind = any(group == line.group for group, code, _ in event.parts() if code == line.currency)
            is_off = ours is None or abs(ours - theirs.get(event.key, ZERO)) >= CENT
            if is_off and (is_of_kind or line.group == "cash"):
                found.append(self._suspect(event, ours, theirs.get(event.key)))
        return tuple(sorted(found, key=lambda row: row.on)[:_SHOWN])

    def _by_amount(self, line: Found, own: Sequence[Event]) -> tuple[Suspect, ...]:
        """The rows of the kind on the days that go off, or of the amount of the difference; if few."""
        days = self._jumps(line)
        off = None if line.computed is None else line.computed - line.reported
        of_kind: dict[str, tuple[Event, list[Decimal | None]]] = {}
        for event in own:
            for group, code, amount in event.parts():
                if code == line.currency and line.group in (group, "cash") and (not days or event.on in days):
                    of_kind.setdefault(event.key, (event, []))[1].append(amount)
        sums = [(event, known_sum(amounts)) for event, amounts in of_kind.values()]
        chosen = [pair for pair in sums if pair[1] == off] or sums
        if len(chosen) > _SHOWN:
            return ()
        return tuple(self._suspect(event, amount, None) for event, amount in chosen)

    def _suspect(self, event: Event, ours: Decimal | None, theirs: Decimal | None) -> Suspect:
        account = self.accounts[event.account]
        return Suspect(
            activity=f"{account.broker}:{account.account}:{event.key}",
            on=event.on,
            text=event.description or event.kind,
            ours=ours,
            theirs=theirs,
        )

    # Value

    def _change_in_nav(self, span: Span) -> None:
        """Flows, income and costs of a statement in the account's currency, at the rates of the rows."""
        account, since, until = span
        kept_in = self.accounts[account].currency
        own = self._reported(span)
        for group, reported in _by_group(self.told.changes.get(span, {})).items():
            if group == "trades" or not self._is_covered(span, _TOPICS.get(group, "cash")):
                continue
            parts = [
                (amount, ONE if code == kept_in else self._rate(event, code, kept_in))
                for event in own
                for of, code, amount in event.parts()
                if of == group
            ]
            computed, slack = _converted(parts)
            what = f"{group}, all in {kept_in}"
            line = Found(account, group, what, since, until, computed, reported, slack, rounded="rates")
            self.found[account].append(line)

    def _rate(self, event: Event, code: str, kept_in: str) -> Decimal | None:
        if event.fx_rate is not None and code == event.currency:
            return event.fx_rate
        return self.rates.rate(code, kept_in, event.on)

    def _positions(self) -> None:
        """Quantity, value, cost and profit of what statements list at their ends, and NAV of these days."""
        ends = sorted((on, account) for account, on in self.told.positions)
        last = max((row.trade_date for row in self.moves.rows), default=date.min)
        matched = {
            on: self.kept if last <= on else self.moves.matched(None, on)
            for on in sorted({on for on, _ in ends})[-MOST_ENDS:]
        }
        before: dict[int, date] = {}
        for on, account in ends:
            told = self.told.positions[account, on]
            held = self._held(account, before.get(account), on)
            before[account] = on
            kept_in = self.accounts[account].currency
            values: list[tuple[Decimal | None, Decimal | None]] = []
            for ref in sorted({*told, *(ref for ref, quantity in held.items() if quantity)}):
                paper, quantity = self.papers.get(ref), held.get(ref, ZERO)
                if paper is None or quantity is None:
                    values.append((None, None))
                elif paper.asset_class != AssetClass.CASH:  # their money is in the cash
                    end = _End(account, on, ref, paper, quantity, told.get(ref, {}))
                    rate = self.rates.rate(paper.currency, kept_in, on)
                    values.append((self._position(end, matched.get(on)), rate))
            self._nav(account, on, values)

    def _position(self, end: "_End", kept: Books | None) -> Decimal | None:
        """Compare one position at the end of a statement; what it adds to NAV."""
        paper, told = end.paper, end.told
        units, price = end.quantity * paper.units, told.get("markPrice")
        value = times(units, price)
        slack = CENT + abs(units) * last_digit(price)
        self._compare(end, "quantity", end.quantity, told.get("position", told.get("quantity", ZERO)), EXACT)
        self._compare(end, "market value", value, told.get("positionValue"), slack)
        profit = told.get("fifoPnlUnrealized")
        if kept is not None:
            lots = kept.lots.get((end.account, paper.pk), NO_LOTS)
            cost, reported = None, told.get("costBasisMoney")
            if lots.quantity == end.quantity:
                cost = nearest(
                    reported,
                    lots.cost,
                    at_prices(lots.open, kept.papers.get(paper.pk), self.prices[end.account]),
                )
            profit = None if value is None or cost is None else value - cost
            self._compare(end, "cost basis", cost, reported, CENT)
            self._compare(end, "unrealized P&L", profit, told.get("fifoPnlUnrealized"), slack)
        # Futures are settled in cash every day; a CFD adds its profit alone.
        return {AssetClass.FUTURE: ZERO, AssetClass.CFD: profit}.get(AssetClass(paper.asset_class), value)

    def _compare(
        self, end: "_End", group: str, ours: Decimal | None, theirs: Decimal | None, slack: Decimal
    ) -> None:
        if theirs is not None:
            paper, what = end.paper, f"{group} {end.paper.symbol} ({end.ref})"
            line = Found(
                end.account, group, what, None, end.on, ours, theirs, slack, paper.pk, paper.currency,
                rounded="prices",
            )  # fmt: skip
            self.found[end.account].append(line._replace(first_on=end.on))

    def _nav(self, account: int, on: date, values: list[tuple[Decimal | None, Decimal | None]]) -> None:
        """Positions and cash as computed, with the accruals as the broker tells them."""
        kept_in = self.accounts[account].currency
        cash = self.cash_at.get((account, on), {}).values()
        day = self.told.days.get((account, on))
        if not cash or day is None or "total" not in day:
            return
        balances = [(line.computed, self.rates.rate(line.currency, kept_in, on)) for line in cash]
        accrued = sum((day.get(name, ZERO) for name in _ACCRUED), ZERO)
        computed, slack = _converted([*values, *balances])
        self.found[account].append(
            Found(
                account,
                "NAV",
                "NAV",
                None,
                on,
                None if computed is None else computed + accrued,
                day["total"],
                slack,
                currency=kept_in,
                first_on=on,
                rounded="rates",
            )
        )

    def _held(self, account: int, before: date | None, on: date) -> dict[str, Decimal | None]:
        """Quantities by the broker's reference; None where they are not known.

        What the statement before listed and everything since; without one, or with a gap after it, the
        opening balances and all activities. An account told from its first day on has no opening balance.
        """
        held: dict[str, Decimal | None] = defaultdict(Decimal)
        opened_on = self.accounts[account].opened_on
        follows = before is not None and self._is_covered((account, before + _DAY, on), "trades")
        is_whole = opened_on is not None and self._is_covered((account, opened_on, on), "trades")
        if before is not None and follows:
            for ref, told in self.told.positions[account, before].items():
                held[ref] = told.get("position", told.get("quantity"))
        first = before + _DAY if before is not None and follows else date.min
        for event in self._between(account, first, on if follows else date.max):
            is_opening = event.kind == ActivityKind.OPENING
            is_counted = not event.is_derived or (is_opening and not follows and not is_whole)
            if event.ref is None or event.kind == ActivityKind.FX or not is_counted:
                continue
            known = held[event.ref]
            if event.on > on:
                # The opening balance came later: what was there before it is not known.
                held[event.ref] = None if is_opening and event.quantity else known
            elif event.quantity is not None:
                held[event.ref] = None if known is None else known + event.quantity
            elif event.kind == ActivityKind.SPLIT:
                held[event.ref] = None
        return held

    def _realized(self) -> None:
        """What closing trades earned, against what the broker says of each."""
        spans = self.told.spans
        first = min((since for _, since, _ in spans), default=date.min)
        last = max((until for *_, until in spans), default=date.max)
        for ref, paper in self.papers.items():
            for account in self.accounts:
                rows = [row for row in self.trades.get((account, ref), ()) if first <= row.on <= last]
                if rows:
                    self._realized_of(account, ref, paper, rows)

    def _realized_of(self, account: int, ref: str, paper: Paper, rows: Sequence[Event]) -> None:
        closed: dict[str, list[Close]] = defaultdict(list)
        for close in self.kept.lots.get((account, paper.pk), NO_LOTS).closed:
            closed[close.closed_by].append(close)
        rows = [row for row in rows if row.realized or row.key in closed]
        ours: list[Decimal | None] = []
        off: list[tuple[Event, Decimal | None]] = []
        for row in rows:
            of_row = closed[row.key]
            brought = known_sum(close.proceeds for close in of_row)
            without = at_prices(of_row, self.kept.papers.get(paper.pk), self.prices[account])
            bare = None if brought is None or without is None else brought - without
            earned = nearest(row.realized, known_sum(close.realized_pnl for close in of_row), bare)
            ours.append(earned)
            if earned is None or abs(earned - (row.realized or ZERO)) >= CENT:
                off.append((row, earned))
        if not rows:
            return
        reported = sum((row.realized or ZERO for row in rows), ZERO)
        # Each trade's is rounded by the broker.
        slack = CENT if off else CENT * len(rows)
        what = f"realized P&L {paper.symbol} ({ref})"
        line = Found(
            account, "realized P&L", what, rows[0].on, rows[-1].on, known_sum(ours), reported, slack,
            paper.pk, paper.currency, rounded="amounts",
        )  # fmt: skip
        if off:
            suspects = tuple(self._suspect(row, earned, row.realized) for row, earned in off[:_SHOWN])
            line = line._replace(suspects=suspects, first_on=off[0][0].on)
        self.found[account].append(line)


class _End(NamedTuple):
    """A position at the end of a statement."""

    account: int
    on: date
    ref: str
    paper: Paper
    quantity: Decimal
    told: Amounts


def at_prices(
    lots: Iterable[Lot | Close], paper: Contract | None, prices: Mapping[str, Decimal]
) -> Decimal | None:
    """The cost of futures and CFDs without the commission: some brokers take that from the cash alone.

    `prices` by key of the activity. None for what is no future or CFD.
    """
    if paper is None or not paper.is_margined:
        return None
    return known_sum(times(lot.quantity * paper.per_unit, prices.get(lot.opened_by)) for lot in lots)


def nearest(reported: Decimal | None, own: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Our figure, or the other way to count it where that is what the broker did."""
    if own is None or other is None or reported is None:
        return own
    return min(own, other, key=lambda amount: abs(amount - reported))


def moves_of(looked_at: Iterable[Account]) -> Moves:
    """Matched as the broker matches where it tells, else first in, first out: whatever the user prefers."""
    return read(looked_at, method=Method.BROKER)


def _events(looked_at: Sequence[Account]) -> dict[int, list[Event]]:
    rows = Activity.objects.current().filter(account__in=list(looked_at)).order_by("trade_date", "id")
    found: dict[int, list[Event]] = defaultdict(list)
    for row in map(Event._make, rows.values_list(*_COLUMNS).iterator(chunk_size=2000)):
        found[row.account].append(row)
    for events in found.values():
        events.sort(key=_counts_on)
    return dict(found)


def _counts_on(event: Event) -> date:
    return event.on


def _papers(looked_at: Sequence[Account]) -> dict[str, Paper]:
    """Instruments by the brokers' references."""
    rows = Instrument.objects.filter(broker__in={account.broker for account in looked_at})
    columns = rows.values_list(
        "broker_ref", "pk", "symbol", "asset_class", "currency", "multiplier", "quote_factor"
    )
    return {
        ref: Paper(pk, symbol, asset_class, currency, multiplier * factor)
        for ref, pk, symbol, asset_class, currency, multiplier, factor in columns
    }


def _covered(looked_at: Sequence[Account]) -> dict[tuple[int, str], list[tuple[date, date]]]:
    """By account and topic the days that are told in full; spans that touch are one."""
    covered: dict[tuple[int, str], list[tuple[date, date]]] = defaultdict(list)
    for period in Period.objects.filter(account__in=list(looked_at)).order_by("since"):
        spans = covered[period.account_id, period.topic]
        if spans and period.since <= spans[-1][1] + _DAY:
            spans[-1] = spans[-1][0], max(spans[-1][1], period.until)
        else:
            spans.append((period.since, period.until))
    return dict(covered)


def _by_group(told: Amounts) -> dict[str, Decimal]:
    """The figures of a report by what they are about."""
    groups: dict[str, Decimal] = defaultdict(Decimal)
    for name, amount in told.items():
        if name in _GROUP_OF:
            groups[_GROUP_OF[name]] += amount
    if "depositWithdrawals" in told and "deposits and withdrawals" not in groups:
        groups["deposits and withdrawals"] = told["depositWithdrawals"]
    return groups


def _converted(parts: Sequence[tuple[Decimal | None, Decimal | None]]) -> tuple[Decimal | None, Decimal]:
    """The sum of amounts at their rates, and how far the rates' last digits and a cent's rounding reach."""
    summed = known_sum(times(amount, ONE if not amount else rate) for amount, rate in parts)
    reach = sum((abs(a) * last_digit(rate) for a, rate in parts if a and rate and rate != 1), ZERO)
    return summed, CENT + reach


def last_digit(number: Decimal | None) -> Decimal:
    """Half a unit of the last digit of a rate or a price with four decimals or more; else it is exact."""
    exponent = 0 if number is None else number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent > -4:
        return ZERO
    return Decimal(5).scaleb(max(exponent, -6) - 1)
