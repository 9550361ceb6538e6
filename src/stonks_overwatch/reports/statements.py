"""What statements say of an account held against what the ledger makes of the same days.

Cash is walked from each statement's own beginning, so that one fault shows in the days it is in and not
in all that follow. Amounts of one currency must agree to the cent; where exchange rates are part of a
figure, it may differ by what their last digit leaves open.
"""

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Cast, Coalesce

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.lots import MARGINED, Close, Lot, Lots, Method
from stonks_overwatch.ledger.models import Account, Activity, Figure, Instrument, Period
from stonks_overwatch.ledger.rows import plain, plain_day, plain_number
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.books import NO_LOTS, RETURNED, read
from stonks_overwatch.reports.books import Paper as Contract
from stonks_overwatch.reports.cash import net
from stonks_overwatch.reports.documents import Computed, Document, known_sum, times
from stonks_overwatch.reports.lot_books import lot_books, papers
from stonks_overwatch.reports.moved import Checkpoints
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import every_account

ZERO, ONE = Decimal(0), Decimal(1)
CENT = Decimal("0.005")
EXACT = Decimal("1e-9")  # quantities are equal to the last digit
# Lots are matched anew for the end of a statement; of more statements the last ones.
MOST_ENDS = 4
_FEW_DAYS = 150
_OF_SPAN, _OF_END, _OF_TRADES = range(3)  # the order of the figures of one day
_SECTIONS = ("CashReport", "ChangeInNAV", "OpenPositions")
_ACCRUED = {"dividendAccruals": "accrued dividends", "interestAccruals": "accrued interest"}
_DAY = timedelta(days=1)
_SHOWN = 5

# By what a line is about: the names of IBKR's cash report and change in NAV that belong together.
GROUPS: dict[str, tuple[str, ...]] = {
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
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
_SETTLED = ("cashSettlingMtm", "realizedVm")  # the daily profit of futures, told for the whole period
_TOPICS = {"trades": "trades", "commissions": "trades"}  # of the other groups: cash
_ACTIONS = (ActivityKind.CORPORATE_ACTION, ActivityKind.SPLIT)
_SIDES = (ActivityKind.BUY, ActivityKind.SELL)
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

    `on` is the day of a statement's figure, None for the latest state's. `rounded` are the parts that the
    broker rounds. `first_on` is the day on which a difference begins, where that can be told.
    """

    account: int
    group: str
    what: str
    since: date | None
    on: date | None
    computed: Decimal | None
    reported: Decimal
    slack: Decimal = CENT
    instrument: int | None = None
    currency: str = ""
    suspects: tuple[Suspect, ...] = ()
    first_on: date | None = None
    rounded: Rounded | None = None

    @property
    def difference(self) -> Decimal | None:
        return None if self.computed is None else self.computed - self.reported

    @property
    def agrees(self) -> bool:
        off = self.difference
        return off is not None and abs(off) < self.slack

    @property
    def is_equal(self) -> bool:
        """Whether they agree without any rounding."""
        off = self.difference
        return off is not None and abs(off) < min(self.slack, CENT)

    @property
    def within(self) -> Rounded | None:
        """What of the broker's is rounded, where only that makes the sides agree."""
        off = self.difference
        return self.rounded if off is not None and CENT <= abs(off) < self.slack else None

    def text(self) -> list[Any]:
        """As JSON has it."""
        return [
            *self[:3], _written(self.since), _written(self.on), _written(self.computed), str(self.reported),
            str(self.slack), self.instrument, self.currency,
            [
                (row.activity, str(row.on), row.text, _written(row.ours), _written(row.theirs))
                for row in self.suspects
            ],
            _written(self.first_on), self.rounded,
        ]  # fmt: skip

    @classmethod
    def of(cls, row: list[Any]) -> "Found":
        """From its text."""
        (
            account, group, what, since, on, computed, reported, slack, instrument, currency, suspects,
            first_on, rounded,
        ) = row  # fmt: skip
        return cls(
            account, group, what, _day(since), _day(on), plain_number(computed), Decimal(reported),
            Decimal(slack), instrument, currency, tuple(_suspect(*suspect) for suspect in suspects),
            _day(first_on), rounded,
        )  # fmt: skip


def _written(value: date | Decimal | None) -> str | None:
    return None if value is None else str(value)


def _suspect(activity: str | None, on: str, text: str, ours: str | None, theirs: str | None) -> Suspect:
    return Suspect(
        activity=activity, on=plain_day(on), text=text, ours=plain_number(ours), theirs=plain_number(theirs)
    )


def _day(text: str | None) -> date | None:
    return None if text is None else plain_day(text)


class Compared(NamedTuple):
    """What all statements of an account were compared with: how many figures, and one of each kind.

    That is the first one that does not agree, else the last, one that only rounding explains if any.
    """

    number: int
    figures: tuple[Found, ...]


NONE = Compared(0, ())
"""What an account comes to that no statement tells of."""


class Event(NamedTuple):
    """One activity that counts, in the order of `_COLUMNS`."""

    key: str
    kind: str
    subtype: str
    currency: str
    instrument: int | None
    ref: str | None
    refs: str
    is_derived: bool
    description: str
    trade_date: date
    booked_on: date | None
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    quantity: Decimal | None
    price: Decimal | None
    fx_rate: Decimal | None
    realized: Decimal | None

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


_COLUMNS: tuple[str | Cast, ...] = (
    "key", "kind", "subtype", "currency", "instrument_id", "instrument__broker_ref", "refs", "is_derived",
    "description",
    *map(plain, ("trade_date", "booked_on", "gross", "fee", "tax", "quantity", "price", "fx_rate")),
    plain("realized_pnl"),
)  # fmt: skip


class Paper(NamedTuple):
    pk: int
    symbol: str
    asset_class: str
    currency: str
    units: Decimal  # money for one unit at a price of 1


Amounts = dict[str, Decimal]
_Lots = Mapping[int, Lots]
"""By instrument."""
Span = tuple[date, date]
"""The first and last day of a statement."""


class Movement(NamedTuple):
    """A line of the statement of funds; `numbers` are the broker's of what moved the money."""

    on: date
    currency: str
    numbers: tuple[str, ...]
    amount: Decimal

    def is_in(self, line: Found, span: Span) -> bool:
        return self.currency == line.currency and span[0] <= self.on <= span[1]


@dataclass(frozen=True, slots=True)
class _Told:
    """The figures of the statements that end on one day."""

    cash: dict[Span, dict[str, Amounts]] = field(default_factory=dict)  # by currency
    changes: dict[Span, Amounts] = field(default_factory=dict)
    positions: dict[str, Amounts] = field(default_factory=dict)  # by reference

    @property
    def spans(self) -> list[Span]:
        return sorted({*self.cash, *self.changes})


def compared(
    looked_at: Sequence[Account],
    base: str,
    start: date | None = None,
    end: date | None = None,
    known: Checkpoints | None = None,
    clock: int = 0,
) -> dict[int, Compared]:
    """Every figure of statements that end in these days, on both sides, by account row.

    Args:
        looked_at: the accounts.
        base: the currency of the books of lots that are stored.
        start, end: the first and the last day; None for all.
        known: the checkpoints of the accounts; what all statements come to is one of them until an activity
            of their days, a rate or a statement changes.
        clock: where it stood before these were read.
    """
    found: dict[int, Compared] = {}
    is_all = start is None and end is None and known is not None
    for account in looked_at:
        if is_all and known is not None and (one := known.get((account.pk, packed.STATEMENTS))):
            number, figures = json.loads(one.content)
            found[account.pk] = Compared(number, tuple(map(Found.of, figures)))
    for account in _with_statements([account for account in looked_at if account.pk not in found]):
        figures = Figure.objects.filter(account=account)
        if start is not None:
            figures = figures.filter(until__gte=start)
        if end is not None:
            figures = figures.filter(until__lte=end)
        comparison = Comparison(account, figures, base)
        found[account.pk] = made = comparison.all()
        if is_all and comparison.last is not None:
            content = json.dumps([made.number, [figure.text() for figure in made.figures]])
            packed.keep_checkpoints(account.pk, packed.STATEMENTS, {comparison.last: content}, clock)
    return found


def _with_statements(looked_at: Sequence[Account]) -> Sequence[Account]:
    if not looked_at:
        return ()
    figures = Figure.objects.filter(section__in=_SECTIONS, account=OuterRef("pk"))
    return list(Account.objects.filter(Exists(figures), pk__in=[account.pk for account in looked_at]))


class _Folded:
    """The figures of all days as they are found, oldest first: of thousands one of each kind is left."""

    def __init__(self) -> None:
        self.number = 0
        self._of_kind: dict[str, Found] = {}
        self._places: dict[str, tuple[date, int, int]] = {}

    def add(self, one: Found, on: date, rank: int) -> None:
        """`rank` orders those of one day."""
        known = self._of_kind.get(one.what)
        if known is None:
            self._places[one.what] = on, rank, self.number
        if known is None or (known.agrees and not (known.within and one.agrees and not one.within)):
            self._of_kind[one.what] = one
        self.number += 1

    def compared(self) -> Compared:
        names = sorted(self._of_kind, key=self._places.__getitem__)
        return Compared(self.number, tuple(self._of_kind[name] for name in names))


def _told(figures: QuerySet[Figure]) -> Iterator[tuple[date, _Told]]:
    """Day by day: of ten years there are tens of thousands."""
    columns = figures.filter(section__in=_SECTIONS).order_by("until", "pk").values_list(
        plain("until"), "section", "name", plain("since"), "currency", "broker_ref", plain("amount")
    )  # fmt: skip
    for last, rows in groupby(columns.iterator(chunk_size=2000), key=itemgetter(0)):
        told, until = _Told(), plain_day(last)
        for _, section, name, first, currency, ref, amount in rows:
            number, span = Decimal(amount), (plain_day(first), until)
            match section:
                case "CashReport":
                    told.cash.setdefault(span, {}).setdefault(currency, {})[name] = number
                case "ChangeInNAV":
                    told.changes.setdefault(span, {})[name] = number
                case _:
                    told.positions.setdefault(ref, {})[name] = number
        yield until, told


def _movements(figures: QuerySet[Figure]) -> list[Movement]:
    """The statements of funds."""
    rows = figures.filter(section="StmtFunds").order_by("pk")
    return [
        Movement(on, currency, tuple(filter(None, tie.partition("#")[0].split("/"))), amount)
        for on, currency, tie, amount in rows.values_list("until", "currency", "ref", "amount")
    ]


def _by_day(figures: QuerySet[Figure]) -> dict[date, Amounts]:
    """NAV and its parts at the ends of days, as far as they are compared."""
    days: dict[date, Amounts] = {}
    rows = figures.filter(section="EquitySummaryInBase", name__in=("cash", "total", *_ACCRUED))
    for until, name, amount in rows.order_by("pk").values_list(plain("until"), "name", plain("amount")):
        days.setdefault(plain_day(until), {})[name] = Decimal(amount)
    return days


class Comparison:
    """One account against its statements; `base` names the books of lots that are stored."""

    def __init__(self, account: Account, figures: QuerySet[Figure], base: str) -> None:
        self.account = account
        self.figures = figures
        self.events = _events(account)
        self.papers = _papers(account)
        self.covered = _covered(account)
        self.base = base
        self.prices = {event.key: event.price for event in self.events if event.price is not None}
        self.found = _Folded()
        self.told = _Told()  # of the day that is looked at
        self.cash: dict[str, Found] = {}  # of that day, by currency
        self.worth: tuple[Worth, ...] = ()  # what NAV is made of at its end
        self.listed: tuple[date, dict[str, Amounts]] | None = None  # the last positions that were listed
        self.last: date | None = None
        self._walked: dict[Span, list[date]] = {}

    def all(self) -> Compared:
        first, last = date.max, date.min
        for on, told in _told(self.figures):
            self.last = on
            for span in told.spans:
                first, last = min(first, span[0]), max(last, on)
            self._end(on, told)
            if told.positions:
                self.listed = on, told.positions
        if last == date.min:
            first, last = last, first
        self._realized(first, last)
        return self.found.compared()

    def end(self, on: date, since: date | None) -> None:
        """Look at one day alone, as if those from `since` (None: from the first) on had been before.

        `told`, `worth` and `listed` are that day's then.
        """
        listed = Figure.objects.filter(account=self.account, section="OpenPositions", until__lt=on)
        if since is not None:
            listed = listed.filter(until__gte=since)
        last = listed.aggregate(last=Max("until"))["last"]
        for before, told in _told(listed.filter(until=last)):
            self.listed = before, told.positions
        for _, told in _told(self.figures):
            self._end(on, told)

    def computed(self) -> dict[str, Decimal | None]:
        """Our side of what was found, by what it is about."""
        return {one.what: one.computed for one in self.found.compared().figures}

    def _end(self, on: date, told: _Told) -> None:
        self.told, self.cash, self.worth = told, {}, ()
        for span in told.spans:
            own = self._reported(span)
            self._cash_report(span, own)
            self._change_in_nav(span, own)
        if told.positions:
            self._positions(on)

    def _take(self, line: Found, rank: int) -> None:
        self.found.add(line, line.on or date.min, rank)

    @cached_property
    def ends(self) -> list[date]:
        """The days of which positions are listed."""
        listed = self.figures.filter(section="OpenPositions")
        return sorted(listed.order_by().values_list("until", flat=True).distinct())

    @cached_property
    def navs(self) -> dict[date, Amounts]:
        """NAV and its parts at the ends."""
        listed = self.figures.filter(section="OpenPositions")
        return _by_day(self.figures.filter(until__in=listed.order_by().values("until")))

    @cached_property
    def lots(self) -> dict[date, _Lots]:
        """At the last ends."""
        return self._lots_at(self.ends[-MOST_ENDS:])

    @cached_property
    def rates(self) -> Rates:
        """Of the ends of statements, and of the days of rows that tell no rate themselves."""
        kept_in = self.account.currency
        foreign = (event for event in self.events if event.currency != kept_in and event.fx_rate is None)
        days = {*self.ends, *(event.on for event in foreign if not event.is_derived)}
        if len(days) > _FEW_DAYS:
            return Rates.between(min(days), max(days))
        reports = self.figures.filter(section="CashReport").order_by()
        currencies = {account.currency for account in every_account()}
        currencies |= {*reports.values_list("currency", flat=True).distinct()}
        currencies |= {event.currency for event in self.events}
        currencies |= {paper.currency for paper in self.papers.values()}
        return Rates.of_days(days, currencies)

    @cached_property
    def movements(self) -> list[Movement]:
        """Read when something differs: only then is it asked which."""
        return _movements(self.figures)

    @cached_property
    def valued(self) -> dict[date, Amounts]:
        """Every day that the broker values the account on; read when something differs, as above."""
        return _by_day(self.figures)

    def _reported(self, span: Span) -> list[Event]:
        """What activities told for the days of a statement; not what the ledger worked out."""
        return [event for event in self._between(*span) if not event.is_derived]

    def _between(self, since: date, until: date) -> Sequence[Event]:
        """The events that count from the one day to the other; they are in the order of these days."""
        first = bisect_left(self.events, since, key=_counts_on)
        return self.events[first : bisect_right(self.events, until, key=_counts_on)]

    def _is_covered(self, span: Span, *topics: str) -> bool:
        since, until = span
        return all(
            any(first <= since and until <= last for first, last in self.covered.get(topic, ()))
            for topic in topics
        )

    # Cash

    def _jumps(self, span: Span, own: Sequence[Event]) -> list[date]:
        """The days of a statement on which its cash, walked from day to day in one currency, goes off."""
        if span not in self._walked:
            self._walked[span] = self._walk(span, own)
        return self._walked[span]

    def _walk(self, span: Span, own: Sequence[Event]) -> list[date]:
        reports = self.told.cash.get(span, {})
        if not reports or not self._is_covered(span, "trades", "cash"):
            return []
        if any(name in told for told in reports.values() for name in _SETTLED):
            return []  # on which days is not told
        since, until = span
        kept_in = self.account.currency
        balances = {code: told.get("startingCash", ZERO) for code, told in reports.items()}
        left = sorted(own, key=_counts_on, reverse=True)
        rates = Rates.between(since, until)
        before, found = ZERO, []
        for on in sorted(day for day in self.valued if since <= day <= until):
            while left and left[-1].on <= on:
                for code, amount in left.pop().moves():
                    balances[code] = balances.get(code, ZERO) + (amount or ZERO)
            parts = [(amount, rates.rate(code, kept_in, on)) for code, amount in balances.items() if amount]
            computed, slack = _converted(parts)
            if computed is not None:
                off = computed - self.valued[on].get("cash", ZERO)
                if abs(off - before) >= slack:
                    found.append(on)
                before = off
        return found

    def _cash_report(self, span: Span, own: Sequence[Event]) -> None:
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
                    what = f"{group} {currency}"
                    self._add(self._of_span(group, what, span, computed, reported, currency), own)
            ending, starting = told.get("endingCash"), told.get("startingCash")
            if ending is None or starting is None or not self._is_covered(span, "trades", "cash"):
                continue
            moved = known_sum(moves.get(currency, ()))
            computed = None if moved is None else starting + moved
            line = self._of_span("cash", f"cash {currency}", span, computed, ending, currency)
            self.cash[currency] = line  # once where several statements end that day
            self._add(line, own)

    def _of_span(
        self, group: str, what: str, span: Span, computed: Decimal | None, reported: Decimal, currency: str
    ) -> Found:
        return Found(self.account.pk, group, what, *span, computed, reported, currency=currency)

    def _add(self, line: Found, own: Sequence[Event]) -> None:
        """Take a line of a statement in; one that differs with the rows and the day that explain it."""
        if not line.agrees and line.since is not None and line.on is not None:
            span = line.since, line.on
            of_line = [row for row in self.movements if row.is_in(line, span)]
            days = [] if of_line else self._jumps(span, own)
            suspects = self._by_number(line, own, of_line) if of_line else self._by_amount(line, own, days)
            begins = {row.on for row in suspects} or set(days or self._jumps(span, own))
            first = line.on if line.since == line.on else min(begins, default=None)
            line = line._replace(suspects=suspects, first_on=first)
        self._take(line, _OF_SPAN)

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

    def _by_amount(self, line: Found, own: Sequence[Event], days: Sequence[date]) -> tuple[Suspect, ...]:
        """The rows of the kind on the days that go off, or of the amount of the difference; if few."""
        off = line.difference
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
        return Suspect(
            activity=f"{self.account.broker}:{self.account.account}:{event.key}",
            on=event.on,
            text=event.description or event.kind,
            ours=ours,
            theirs=theirs,
        )

    # Value

    def _change_in_nav(self, span: Span, own: Sequence[Event]) -> None:
        """Flows, income and costs of a statement in the account's currency, at the rates of the rows."""
        told = self.told.changes.get(span)
        if told is None:
            return
        kept_in = self.account.currency
        parts: dict[str, list[tuple[Decimal | None, Decimal | None]]] = defaultdict(list)
        for event in own:
            for group, code, amount in event.parts():
                if group != "trades":
                    rate = ONE if code == kept_in else self._rate(event, code, kept_in)
                    parts[group].append((amount, rate))
        for group, reported in _by_group(told).items():
            if group == "trades" or not self._is_covered(span, _TOPICS.get(group, "cash")):
                continue
            computed, slack = _converted(parts[group])
            what = f"{group}, all in {kept_in}"
            line = Found(self.account.pk, group, what, *span, computed, reported, slack, rounded="rates")
            self._take(line, _OF_SPAN)

    def _rate(self, event: Event, code: str, kept_in: str) -> Decimal | None:
        if event.fx_rate is not None and code == event.currency:
            return event.fx_rate
        return self.rates.rate(code, kept_in, event.on)

    def _positions(self, on: date) -> None:
        """Quantity, value, cost and profit of what statements list at their ends, and NAV of these days."""
        told, held = self.told.positions, self._held(on)
        values: list[Worth] = []
        for ref in sorted({*told, *(ref for ref, quantity in held.items() if quantity)}):
            paper, quantity = self.papers.get(ref), held.get(ref, ZERO)
            if paper is None or quantity is None:
                values.append(Worth(paper.symbol if paper else ref, "", None, None))
            elif paper.asset_class != AssetClass.CASH:  # their money is in the cash
                end = _End(on, ref, paper, quantity, told.get(ref, {}))
                value = self._position(end, self.lots.get(on))
                values.append(self._worth(paper.symbol, paper.currency, value, on))
        self._nav(on, values, self.navs.get(on, {}))

    def _worth(self, name: str, currency: str, amount: Decimal | None, on: date) -> "Worth":
        return Worth(name, currency, amount, self.rates.rate(currency, self.account.currency, on))

    def _lots_at(self, ends: Sequence[date]) -> dict[date, _Lots]:
        """The lots at the ends of these days: today's where nothing has moved since, else matched anew."""
        if not ends:
            return {}
        of_broker = Activity.objects.current().filter(account__broker=self.account.broker)
        moves_lots = Q(quantity__isnull=False) | Q(kind__in=_ACTIONS) | RETURNED
        moving = of_broker.filter(moves_lots, instrument__isnull=False).exclude(kind=ActivityKind.FX)
        last = moving.aggregate(last=Max("trade_date"))["last"] or date.min
        found = {on: self.lots_now for on in ends if last <= on}
        if len(found) < len(ends):
            moves = read([self.account], ends[-1], Method.BROKER)
            for on in ends:
                if on not in found:
                    kept = moves.matched(None, on)
                    found[on] = {paper: lots for (_, paper), lots in kept.lots.items()}
        return found

    @cached_property
    def lots_now(self) -> _Lots:
        """Today's, by instrument."""
        kept = lot_books([self.account], self.base, method=Method.BROKER)
        still: dict[int, list[Lot]] = defaultdict(list)
        for opened in kept.open():
            still[opened.instrument].append(opened.lot)
        closed: dict[int, list[Close]] = defaultdict(list)
        for row in kept.closed():
            closed[row.instrument].append(row.close)
        return {paper: Lots(tuple(still[paper]), tuple(closed[paper])) for paper in {*still, *closed}}

    def _position(self, end: "_End", lots_of: _Lots | None) -> Decimal | None:
        """Compare one position at the end of a statement; what it adds to NAV."""
        paper, told = end.paper, end.told
        units, price = end.quantity * paper.units, told.get("markPrice")
        value = times(units, price)
        slack = CENT + abs(units) * last_digit(price)
        self._compare(end, "quantity", end.quantity, told.get("position", told.get("quantity", ZERO)), EXACT)
        self._compare(end, "market value", value, told.get("positionValue"), slack)
        profit = told.get("fifoPnlUnrealized")
        if lots_of is not None:
            lots = lots_of.get(paper.pk, NO_LOTS)
            cost, reported = None, told.get("costBasisMoney")
            if lots.quantity == end.quantity:
                cost = nearest(
                    reported, lots.cost, at_prices(lots.open, self.contracts.get(paper.pk), self.prices)
                )
            profit = None if value is None or cost is None else value - cost
            self._compare(end, "cost basis", cost, reported, CENT)
            self._compare(end, "unrealized P&L", profit, told.get("fifoPnlUnrealized"), slack)
        # Futures are settled in cash every day; a CFD adds its profit alone.
        return {AssetClass.FUTURE: ZERO, AssetClass.CFD: profit}.get(AssetClass(paper.asset_class), value)

    @cached_property
    def contracts(self) -> dict[int, Contract]:
        """The futures and CFDs, which may be counted in two ways."""
        margined = [paper.pk for paper in self.papers.values() if paper.asset_class in MARGINED]
        return papers(margined)

    def _compare(
        self, end: "_End", group: str, ours: Decimal | None, theirs: Decimal | None, slack: Decimal
    ) -> None:
        if theirs is not None:
            paper, what = end.paper, f"{group} {end.paper.symbol} ({end.ref})"
            line = Found(
                self.account.pk, group, what, None, end.on, ours, theirs, slack, paper.pk, paper.currency,
                first_on=end.on, rounded="prices",
            )  # fmt: skip
            self._take(line, _OF_END)

    def _nav(self, on: date, values: Sequence["Worth"], day: Amounts) -> None:
        """Positions and cash as computed, with the accruals as the broker tells them in `day`."""
        kept_in = self.account.currency
        cash = self.cash.values()
        if not cash or "total" not in day:
            return
        balances = [self._worth(line.what, line.currency, line.computed, on) for line in cash]
        accrued = [Worth(words, kept_in, day[name], ONE) for name, words in _ACCRUED.items() if name in day]
        self.worth = (*values, *balances, *accrued)
        computed, slack = _converted([(one.amount, one.rate) for one in self.worth])
        line = Found(
            self.account.pk, "NAV", "NAV", None, on, computed, day["total"], slack,
            currency=kept_in, first_on=on, rounded="rates",
        )  # fmt: skip
        self._take(line, _OF_END)

    def _held(self, on: date) -> dict[str, Decimal | None]:
        """Quantities by the broker's reference; None where they are not known."""
        held: dict[str, Decimal | None] = defaultdict(Decimal)
        for ref, _, quantity in self.moves_until(on):
            known = held[ref]
            held[ref] = None if known is None or quantity is None else known + quantity
        return held

    def moves_until(self, on: date) -> Iterator[tuple[str, Event | None, Decimal | None]]:
        """What quantities are made of: reference, what moved it and by how much; None where that is unknown.

        What the statement before listed (without an event) and everything since; without one, or with a gap
        after it, the opening balances and all activities. An account told from its first day on has no
        opening balance.
        """
        opened_on = self.account.opened_on
        before, listed = self.listed or (None, {})
        follows = before is not None and self._is_covered((before + _DAY, on), "trades")
        is_whole = opened_on is not None and self._is_covered((opened_on, on), "trades")
        if before is not None and follows:
            for ref, told in listed.items():
                yield ref, None, told.get("position", told.get("quantity"))
        first = before + _DAY if before is not None and follows else date.min
        for event in self._between(first, on if follows else date.max):
            is_opening = event.kind == ActivityKind.OPENING
            is_counted = not event.is_derived or (is_opening and not follows and not is_whole)
            if event.ref is None or event.kind == ActivityKind.FX or not is_counted:
                continue
            if event.on > on:
                if is_opening and event.quantity:
                    # The opening balance came later: what was there before it is not known.
                    yield event.ref, event, None
            elif event.quantity is not None or event.kind == ActivityKind.SPLIT:
                yield event.ref, event, event.quantity

    def _realized(self, first: date, last: date) -> None:
        """What closing trades earned in these days, against what the broker says of each."""
        trades = self.closing(first, last)
        for ref, paper in self.papers.items():
            if ref in trades:
                self._realized_of(ref, paper, trades[ref])

    def closing(self, first: date, last: date) -> dict[str, list[Event]]:
        """The trades of which the broker tells what they earned, by its reference."""
        trades: dict[str, list[Event]] = defaultdict(list)
        for event in self._between(first, last):
            if event.realized is not None and event.ref and event.kind in _SIDES:
                trades[event.ref].append(event)
        return trades

    def earned(
        self, paper: Paper, trades: Iterable[Event]
    ) -> Iterator[tuple[Event, list[Close], Decimal | None]]:
        """Each of the trades that closed something, what it closed, and what that earned."""
        closed: dict[str, list[Close]] = defaultdict(list)
        for close in self.lots_now.get(paper.pk, NO_LOTS).closed:
            closed[close.closed_by].append(close)
        for row in trades:
            of_row = closed[row.key]
            if not row.realized and not of_row:
                continue
            brought = known_sum(close.proceeds for close in of_row)
            without = at_prices(of_row, self.contracts.get(paper.pk), self.prices)
            bare = None if brought is None or without is None else brought - without
            yield row, of_row, nearest(row.realized, known_sum(close.realized_pnl for close in of_row), bare)

    def _realized_of(self, ref: str, paper: Paper, trades: Sequence[Event]) -> None:
        found = [(row, earned) for row, _, earned in self.earned(paper, trades)]
        if not found:
            return
        off = [
            (row, earned)
            for row, earned in found
            if earned is None or abs(earned - (row.realized or ZERO)) >= CENT
        ]
        reported = sum((row.realized or ZERO for row, _ in found), ZERO)
        # Each trade's is rounded by the broker.
        slack = CENT if off else CENT * len(found)
        first, last, computed = found[0][0].on, found[-1][0].on, known_sum(earned for _, earned in found)
        line = Found(
            self.account.pk, "realized P&L", f"realized P&L {paper.symbol} ({ref})", first, last,
            computed, reported, slack, paper.pk, paper.currency, rounded="amounts",
        )  # fmt: skip
        if off:
            suspects = tuple(self._suspect(row, earned, row.realized) for row, earned in off[:_SHOWN])
            line = line._replace(suspects=suspects, first_on=off[0][0].on)
        self._take(line, _OF_TRADES)


class Worth(NamedTuple):
    """What NAV is made of at the end of a day; `rate` is the account's currency for one unit."""

    name: str
    currency: str
    amount: Decimal | None
    rate: Decimal | None


class _End(NamedTuple):
    """A position at the end of a statement."""

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


def booked(account: Account, group: str, span: Span) -> Iterator[tuple[Event, str, Decimal | None]]:
    """What the activities of a statement's days come to, of a group or (cash) all: row, currency, amount."""
    for event in _events(account, span):
        if event.is_derived:
            continue
        if group == "cash":
            yield from ((event, code, amount) for code, amount in event.moves())
        else:
            yield from ((event, code, amount) for of, code, amount in event.parts() if of == group)


def _events(account: Account, span: Span | None = None) -> list[Event]:
    """All, or those that count in these days."""
    rows = Activity.objects.current().filter(account=account).order_by("trade_date", "id")
    if span is not None:
        rows = rows.annotate(counts_on=Coalesce("booked_on", "trade_date")).filter(counts_on__range=span)
    found = [
        Event(
            key, kind, subtype, currency, instrument, ref, refs, is_derived, description,
            plain_day(traded), _day(booked), *map(plain_number, numbers),
        )
        for (
            key, kind, subtype, currency, instrument, ref, refs, is_derived, description, traded, booked,
            *numbers,
        ) in rows.values_list(*_COLUMNS).iterator(chunk_size=2000)
    ]  # fmt: skip
    found.sort(key=_counts_on)
    return found


def _counts_on(event: Event) -> date:
    return event.on


def _papers(account: Account) -> dict[str, Paper]:
    """Instruments by the broker's references."""
    columns = Instrument.objects.filter(broker=account.broker).values_list(
        "broker_ref", "pk", "symbol", "asset_class", "currency", "multiplier", "quote_factor"
    )
    return {
        ref: Paper(pk, symbol, asset_class, currency, multiplier * factor)
        for ref, pk, symbol, asset_class, currency, multiplier, factor in columns
    }


def _covered(account: Account) -> dict[str, list[tuple[date, date]]]:
    """By topic the days that are told in full; spans that touch are one."""
    covered: dict[str, list[tuple[date, date]]] = defaultdict(list)
    for period in Period.objects.filter(account=account).order_by("since"):
        spans = covered[period.topic]
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
