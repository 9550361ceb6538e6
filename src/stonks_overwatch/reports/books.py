"""The lots of accounts: activities read, matched by each account's method, converted into one currency."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache, partial
from typing import Any, NamedTuple

from django.db.models import Case, ExpressionWrapper, F, IntegerField, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from stonks_overwatch.ledger import matching, models
from stonks_overwatch.ledger.lots import EXACT, MARGINED, RETURN_OF_CAPITAL, Lot, Lots, Method, Pick
from stonks_overwatch.ledger.matching import Trade
from stonks_overwatch.ledger.rows import plain, plain_day
from stonks_overwatch.ledger.types import Activity, ActivityKind
from stonks_overwatch.reports.documents import quoted_in
from stonks_overwatch.reports.rates import MAX_AGE, Rates
from stonks_overwatch.reports.scope import every_account

Key = tuple[int, int]
"""The rows of an account and an instrument."""

NO_LOTS = Lots((), ())
_AT_ONCE = 500  # more parameters than some thousands a database does not take
_ACTIONS = (ActivityKind.CORPORATE_ACTION, ActivityKind.SPLIT)
_TYING = (*_ACTIONS, ActivityKind.TRANSFER_IN, ActivityKind.TRANSFER_OUT)
_FEW_DAYS = 150
_MANY = 20_000  # rows at once
RETURNED = Q(kind=ActivityKind.DIVIDEND, subtype=RETURN_OF_CAPITAL)


class Paper(NamedTuple):
    """An instrument as lots are shown of it, in the order of `PAPER`."""

    pk: int
    broker: str
    broker_ref: str
    symbol: str
    name: str
    asset_class: str
    isin: str | None
    currency: str
    multiplier: Decimal
    quote_factor: Decimal
    right: str | None
    strike: Decimal | None
    expires_on: date | None

    @property
    def per_unit(self) -> Decimal:
        """Money for one unit at a price of 1."""
        return EXACT.multiply(self.multiplier, self.quote_factor)

    @property
    def quoted_in(self) -> str:
        return quoted_in(self.asset_class, self.quote_factor, self.currency)

    @property
    def is_margined(self) -> bool:
        """Whether only its gain is money, not what it stands for (futures, CFDs)."""
        return self.asset_class in MARGINED


class Begun(NamedTuple):
    """What was open of an account's instrument at the start of a day, when it had been traded alone."""

    on: date
    lots: Sequence[Lot]


NOT_BEGUN: Mapping[Key, Begun] = {}


@dataclass(frozen=True, slots=True)
class Books:
    """The lots of the accounts looked at, and what they were worked out with."""

    base: str | None
    accounts: Mapping[int, models.Account]
    methods: Mapping[int, Method]
    lots: Mapping[Key, Lots]
    papers: Mapping[int, Paper]
    rates: Rates
    ties: list[set[Key]]
    """What has to be worked out together; see `matching.ties`."""
    more: Set[Key]
    """What more happened to than being bought and sold, or what is not matched first in, first out."""
    gone_on: Set[Key]
    """What was matched from a day on alone: what it had closed before is not in its lots."""


def moving(accounts: Iterable[models.Account], until: date | None = None) -> QuerySet[models.Activity]:
    """The activities that change a quantity, to the end of a day."""
    rows = moving_in(account__in=list(accounts))
    return rows if until is None else rows.filter(trade_date__lte=until)


def moving_in(**accounts: Any) -> QuerySet[models.Activity]:
    """The activities that change a quantity in accounts, named as a filter names them."""
    rows = models.Activity.objects.current().filter(
        **accounts, instrument__isnull=False, quantity__isnull=False
    )
    return rows.exclude(kind=ActivityKind.FX)


def books(
    looked_at: Iterable[models.Account],
    base: str | None,
    until: date | None = None,
    method: Method | None = None,
    only: Collection[Key] | None = None,
    begun: Mapping[Key, Begun] = NOT_BEGUN,
) -> Books:
    """Match everything that moved a quantity, to the end of a day.

    With `only`, of these: everything that is tied to one of them must be one of them. Then the rates of
    the activities' own days are enough. Where one of them was `begun`, and nothing but trades has happened
    to it, it is matched from that day on.

    Without a base currency nothing is converted. `method` is used in place of each account's own. The
    activities of the other accounts of the same brokers are read too: a transfer takes its lots along.
    What the opening balance holds is converted at the rate of the balance's day.
    """
    return read(looked_at, until, method, only, begun).matched(base, until)


def ties(accounts: Sequence[models.Account]) -> list[set[Key]]:
    """What of these accounts, all of a broker, has to be matched together."""
    instruments = models.Instrument.objects.filter(broker__in={account.broker for account in accounts})
    current = models.Activity.objects.current().filter(account__in=accounts)
    rows = _read(current.filter(kind__in=_TYING))
    if instruments.filter(right__isnull=False).exists():
        rows += _read(current.filter(subtype__in=matching.EXERCISES))
    # Asked for in the query, this would lead the database to another index, and over all rows.
    rows = [row for row in rows if row.instrument_id]
    if not rows:
        return []
    papers = {paper.pk: paper for paper in map(Paper._make, instruments.values_list(*PAPER))}
    activities = _ledger_types(rows, papers)
    terms = {str(pk): _terms(paper) for pk, paper in papers.items()}
    return [{_key(names) for names in some} for some in matching.ties(activities, terms)]


def tied_to(instrument: int) -> set[Key]:
    """An instrument in every account of its broker, and all that has to be matched together with it."""
    broker = models.Instrument.objects.get(pk=instrument).broker
    together = [account for account in every_account() if account.broker == broker]
    keys = {(account.pk, instrument) for account in together}
    return keys.union(*(some for some in matching.joined(ties(together)) if not keys.isdisjoint(some)))


def _key(names: matching.Key) -> Key:
    return int(names[0]), int(names[1])


class _Row(NamedTuple):
    """One activity, in the order of `_COLUMNS`."""

    account_id: int
    instrument_id: int
    key: str
    kind: str
    trade_date: date
    trade_at: datetime | None
    quantity: Decimal | None
    ratio: Decimal | None
    price: Decimal | None
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    cost: Decimal | None
    value: Decimal | None
    realized_pnl: Decimal | None
    booked_on: date | None
    ex_date: date | None
    acquired_on: date | None
    currency: str
    fx_rate: Decimal | None
    subtype: str
    group: str | None
    refs: str
    reverses: str | None
    told: str


_COLUMNS = _Row._fields
PAPER = Paper._fields


_TradeRow = tuple[
    int, int, str, str | None, str, str, str | None, str | None, str | None, str | None, str, str | None, str
]  # fmt: skip
"""What counts of one activity where all are trades, in the order of `_TRADED`, as the database has it."""
_TRADED: tuple[str | Cast, ...] = (
    "account_id", "instrument_id", plain("trade_date"), plain("trade_at"), "key",
    *map(plain, ("quantity", "price", "gross", "fee", "tax")), "currency", plain("fx_rate"),
)  # fmt: skip
# Whether an activity is a trade that is no part of anything else.
_ALONE = Case(
    When(
        ~Q(subtype__in=matching.EXERCISES | matching.WORTHLESS),
        kind__in=(ActivityKind.BUY, ActivityKind.SELL),
        quantity__isnull=False,
        ratio__isnull=True,
        reverses__isnull=True,
        acquired_on__isnull=True,
        then=Value("alone"),
    ),
    default=Value(""),
    output_field=TextField(),  # others would be converted, row by row
)


@dataclass(frozen=True, slots=True)
class Moves:
    """All that moved quantities in the accounts of some brokers: read once, matched to several days.

    `trades` are of the accounts and instruments that were traded first in, first out, and that nothing else
    happened to, in the order of time; `rows` of all others.
    """

    wanted: Mapping[int, models.Account]
    everyone: Mapping[int, models.Account]
    methods: Mapping[int, Method]
    rows: Sequence[_Row]
    trades: Mapping[Key, Sequence[_TradeRow]]
    papers: Mapping[int, Paper]
    told: matching.Told
    is_part: bool
    begun: Mapping[Key, Begun]
    """Of these, `trades` are those from that day on."""

    def matched(self, base: str | None, until: date | None, rates: Rates | None = None) -> Books:
        """See `books`; `rates`, where they were read for another day, are the same for each."""
        everyone = self.everyone
        rows = [row for row in self.rows if until is None or row.trade_date <= until]
        activities = _ledger_types(rows, self.papers)
        if rates is None:
            rates = Rates(()) if base is None else self.rates(base)

        def on(account: str, currency: str, day: date) -> Decimal | None:
            return _base_rate(rates, base, everyone[int(account)].currency, currency, day, None)

        def of(activity: Activity) -> Decimal | None:
            kept_in = everyone[int(activity.account)].currency
            return _base_rate(rates, base, kept_in, activity.currency, activity.trade_date, activity.fx_rate)

        terms = {str(pk): _terms(paper) for pk, paper in self.papers.items()}
        convert = None if base is None else matching.Convert(on, of)
        found = matching.matched(activities, terms, self.told, convert)
        lots = {_key(names): of_key for names, of_key in found.items()}

        @cache
        def days(kept_in: str, currency: str) -> _Days:
            told = {} if base is None else rates.told(currency, base)
            return _Days(told, partial(_base_rate, rates, base, kept_in, currency))

        for key, told in self.trades.items():
            paper, before = self.papers[key[1]], self.begun.get(key)
            trades = _trades(told, paper.currency, days(everyone[key[0]].currency, paper.currency), until)
            if trades or before:
                lots[key] = matching.traded(trades, paper.per_unit, before.lots if before else ())
        there = {(str(row.account_id), str(row.instrument_id)) for row in rows}
        tied = matching.ties(activities, terms, there)
        return Books(
            base=base,
            accounts=self.wanted,
            methods={pk: self.methods[pk] for pk in self.wanted},
            lots={key: of_key for key, of_key in lots.items() if key[0] in self.wanted},
            papers=self.papers,
            rates=rates,
            ties=[{_key(names) for names in some} for some in tied],
            more={(row.account_id, row.instrument_id) for row in rows},
            gone_on=self.begun.keys(),
        )

    def rates(self, base: str) -> Rates:
        """What all that moved is converted with."""
        brokers = {account.broker for account in self.everyone.values()}
        papers = models.Instrument.objects.filter(broker__in=brokers)
        currencies = set(papers.values_list("currency", flat=True).distinct())
        currencies |= {account.currency for account in self.everyone.values()} | {base}
        written = {row[2] for of_key in self.trades.values() for row in of_key}
        days = {row.trade_date for row in self.rows} | set(map(plain_day, written))
        days |= {row.acquired_on for row in self.rows if row.acquired_on is not None}
        if not days or currencies == {base}:
            return Rates(())
        if self.is_part and len(days) <= _FEW_DAYS:
            return Rates.of_days(days, currencies)
        # Up to the latest stored: what is still open is valued at today's.
        return Rates.between(min(days), date.max, currencies)


class _Days(dict[str, Decimal | None]):
    """The base currency for one unit of a currency by day, each worked out when it is first asked for.

    Args:
        told: the rates of the very pair, as the database has them: on its own day none other counts.
        rate: finds any, by day and the rate that was booked with an activity, if one was.
    """

    def __init__(
        self, told: Mapping[str, str], rate: Callable[[date, Decimal | None], Decimal | None]
    ) -> None:
        super().__init__()
        self.rate = rate
        self._told = told

    def __missing__(self, day: str) -> Decimal | None:
        told = self._told.get(day)
        rate = self[day] = self.rate(plain_day(day), None) if told is None else Decimal(told)
        return rate


def _trades(rows: Iterable[_TradeRow], currency: str, days: _Days, until: date | None) -> list[Trade]:
    """Those of one account and instrument to the end of a day.

    Money in another currency than the instrument's says nothing about its cost there.
    """
    trades: list[Trade] = []
    for _, _, day, _, key, quantity, price, gross, fee, tax, paid_in, booked, _ in rows:
        on = plain_day(day)
        if until is not None and on > until:
            break
        if paid_in != currency:
            trades.append((on, key, quantity, None, None, fee, tax, days[day]))
        else:
            rate = days[day] if booked is None else days.rate(on, Decimal(booked))
            trades.append((on, key, quantity, price, gross, fee, tax, rate))
    return trades


def read(
    looked_at: Iterable[models.Account],
    until: date | None = None,
    method: Method | None = None,
    only: Collection[Key] | None = None,
    begun: Mapping[Key, Begun] = NOT_BEGUN,
) -> Moves:
    """What `books` matches."""
    wanted = {account.pk: account for account in looked_at}
    brokers = {account.broker for account in wanted.values()}
    everyone = {account.pk: account for account in every_account() if account.broker in brokers}
    methods = {pk: method or Method(account.lot_method) for pk, account in everyone.items()}
    described = models.Instrument.objects.filter(broker__in=brokers)
    if only is not None and len(only) <= _AT_ONCE:
        described = described.filter(pk__in={instrument for _, instrument in only})
    papers = {paper.pk: paper for paper in map(Paper._make, described.values_list(*PAPER))}
    trades: dict[Key, list[_TradeRow]] = {}
    gone_on: dict[Key, list[_TradeRow]] = {}
    if Method.FIFO in methods.values():
        if only is not None and begun:
            gone_on = _gone_on(methods, papers, begun)
            only = set(only) - gone_on.keys()
        trades, others = _apart(methods, papers, until, only)
        rows = _activities(everyone, until, others)
        # What a corporate action comes from may have been traded alone.
        actions = _ledger_types((row for row in rows if row.kind in _ACTIONS), papers)
        terms = {str(pk): _terms(paper) for pk, paper in papers.items()} if actions else {}
        tied = {_key(names) for some in matching.ties(actions, terms) for names in some} & trades.keys()
        rows += _activities(everyone, until, tied)
        trades = {key: of_key for key, of_key in trades.items() if key not in tied} | gone_on
    else:
        rows = _activities(everyone, until, only)
    numbers = {row.instrument_id for row in rows} | {instrument for _, instrument in trades}
    return Moves(
        wanted=wanted,
        everyone=everyone,
        methods=methods,
        rows=rows,
        trades=trades,
        papers={pk: paper for pk, paper in papers.items() if pk in numbers},
        told=matching.Told(
            methods={str(pk): own for pk, own in methods.items()},
            choices=_choices(everyone) if Method.SPECIFIC in methods.values() else {},
            matched=_broker_matching(everyone) if Method.BROKER in methods.values() else {},
            price=_price,
        ),
        is_part=only is not None,
        begun={key: begun[key] for key in gone_on},
    )


def _apart(
    methods: Mapping[int, Method],
    papers: Mapping[int, Paper],
    until: date | None,
    only: Collection[Key] | None,
) -> tuple[dict[Key, list[_TradeRow]], set[Key]]:
    """By account and instrument, in the order of time, what is `Moves.trades`; and what is not."""
    found: defaultdict[Key, list[_TradeRow]] = defaultdict(list)
    others: set[Key] = set()
    for rows in _moving(methods, until, only):
        for row in rows.annotate(is_alone=_ALONE).values_list(*_TRADED, "is_alone").iterator(_MANY):
            account, instrument, is_alone = row[0], row[1], row[-1]
            # Asked for in the query, this would lead the database to another index.
            if instrument is not None:
                found[account, instrument].append(row)
                if not is_alone:
                    others.add((account, instrument))
    others |= {
        (account, instrument)
        for account, instrument in found
        if methods[account] is not Method.FIFO or papers[instrument].is_margined
    }
    wanted = found.keys() if only is None else found.keys() & set(only)
    return {key: sorted(found[key], key=_in_turn) for key in wanted if key not in others}, others & wanted


def _gone_on(
    methods: Mapping[int, Method], papers: Mapping[int, Paper], begun: Mapping[Key, Begun]
) -> dict[Key, list[_TradeRow]]:
    """As the first of `_apart`, from the day on which each was begun."""
    keys = {
        (account, instrument)
        for account, instrument in begun
        if methods[account] is Method.FIFO and instrument in papers and not papers[instrument].is_margined
    }
    found: dict[Key, list[_TradeRow]] = {key: [] for key in keys}
    first = min((begun[key].on for key in keys), default=date.min)
    for rows in _moving(methods, None, keys):
        wanted = rows.annotate(is_alone=_ALONE).filter(Q(is_alone="") | Q(trade_date__gte=first))
        for row in wanted.values_list(*_TRADED, "is_alone"):
            key = row[0], row[1]
            if not row[-1]:
                found.pop(key, None)
            elif key in found and plain_day(row[2]) >= begun[key].on:
                found[key].append(row)
    return {key: sorted(of_key, key=_in_turn) for key, of_key in found.items()}


def _in_turn(row: _TradeRow) -> tuple[str, str, bool, str]:
    """As `matching` has them: in the order of time, and purchases before sales of the same moment."""
    trade_date, trade_at, key, quantity = row[2:6]
    return trade_date, trade_at or "", quantity[0] == "-", key


def _moving(
    accounts: Iterable[int], until: date | None, only: Collection[Key] | None
) -> Iterator[QuerySet[models.Activity]]:
    """All that moves a quantity or a cost, or is part of a corporate action; of `only`, and maybe more."""
    rows = models.Activity.objects.current().filter(
        Q(quantity__isnull=False) | Q(kind__in=_ACTIONS) | RETURNED
    )
    rows = rows.exclude(kind=ActivityKind.FX)
    if until is not None:
        rows = rows.filter(trade_date__lte=until)
    if only is None:
        # As a sum, so that rows are read as they lie: along an index of accounts it takes twice the time.
        holder = ExpressionWrapper(F("account_id") + 0, output_field=IntegerField())
        yield rows.alias(holder=holder).filter(holder__in=list(accounts))
        return
    rows = rows.filter(account__in=list(accounts))
    instruments = sorted({instrument for _, instrument in only})
    for start in range(0, len(instruments), _AT_ONCE):
        yield rows.filter(instrument__in=instruments[start : start + _AT_ONCE])


def _activities(accounts: Iterable[int], until: date | None, only: Collection[Key] | None) -> list[_Row]:
    return [
        row
        for rows in _moving(accounts, until, only)
        for row in _read(rows)
        if row.instrument_id and (only is None or (row.account_id, row.instrument_id) in only)
    ]


def _read(rows: QuerySet[models.Activity]) -> list[_Row]:
    # The text is long, and only that of corporate actions says anything about lots.
    text = Case(
        When(kind=ActivityKind.CORPORATE_ACTION, then=F("description")),
        default=Value(""),
        output_field=TextField(),
    )
    return [_Row._make(row) for row in rows.annotate(told=text).values_list(*_COLUMNS)]


def _terms(paper: Paper) -> matching.Terms:
    return matching.Terms(
        per_unit=paper.per_unit,
        currency=paper.currency,
        is_margined=paper.is_margined,
        right=paper.right,
        isin=paper.isin,
        symbol=paper.symbol,
    )


def _ledger_types(rows: Iterable[_Row], papers: Mapping[int, Paper]) -> list[Activity]:
    """The activities as the ledger's own, with rows for names.

    Money in another currency than the instrument's says nothing about its cost there.
    """
    activities = []
    for row in rows:
        currency = papers[row.instrument_id].currency
        same = row.currency == currency
        activities.append(
            Activity(
                account=str(row.account_id),
                key=row.key,
                source="",
                kind=ActivityKind(row.kind),
                trade_date=row.trade_date,
                currency=currency,
                broker_ref=str(row.instrument_id),
                trade_at=row.trade_at,
                quantity=row.quantity,
                ratio=row.ratio,
                price=row.price if same else None,
                gross=row.gross if same else None,
                fee=row.fee if same else None,
                tax=row.tax if same else None,
                fx_rate=row.fx_rate if same else None,
                description=row.told,
                subtype=row.subtype,
                group=row.group,
                booked_on=row.booked_on,
                ex_date=row.ex_date,
                acquired_on=row.acquired_on,
                value=row.value if same else None,
                cost=row.cost if same else None,
                realized_pnl=row.realized_pnl if same else None,
                refs=tuple(row.refs.split()),
                reverses=row.reverses,
            )
        )
    return activities


def _base_rate(
    rates: Rates, base: str | None, kept_in: str, currency: str, on: date, booked: Decimal | None
) -> Decimal | None:
    if base is None:
        return None
    if currency == base:
        return Decimal(1)
    if booked is not None:
        rate = rates.rate(kept_in, base, on)
        if rate is not None:
            return booked * rate
    return rates.rate(currency, base, on)


def _choices(accounts: Mapping[int, models.Account]) -> dict[tuple[str, str], list[Pick]]:
    """The lots that the user chose, by account row and key of the closing activity."""
    pks = {(account.broker, account.account): pk for pk, account in accounts.items()}
    found: defaultdict[tuple[str, str], list[Pick]] = defaultdict(list)
    for row in models.LotChoice.objects.order_by("pk"):
        pk = pks.get((row.broker, row.account))
        if pk is not None:
            found[str(pk), row.closing].append(Pick(row.quantity, opened_by=row.opening))
    return found


def _broker_matching(accounts: Iterable[int]) -> dict[tuple[str, str, date], list[Pick]]:
    """The closed lots of the broker's statements, by account row, instrument row and booking day."""
    figures = models.Figure.objects.filter(
        account__in=list(accounts), section="ClosedLots", name__in=("quantity", "cost")
    ).order_by("since", "ref")
    amounts: defaultdict[tuple[int, str, date, date, str], dict[str, Decimal]] = defaultdict(dict)
    for row in figures.values_list(
        "account_id", "account__broker", "broker_ref", "until", "since", "ref", "name", "amount"
    ):
        account, broker, ref, until, since, tie, name, amount = row
        amounts[account, f"{broker} {ref}", until, since, tie][name] = amount
    instruments = {
        f"{broker} {ref}": pk
        for pk, broker, ref in models.Instrument.objects.values_list("pk", "broker", "broker_ref")
    }
    found: defaultdict[tuple[str, str, date], list[Pick]] = defaultdict(list)
    for (account, ref, until, since, _), told in amounts.items():
        pk, quantity = instruments.get(ref), told.get("quantity")
        if pk is not None and quantity:
            cost = told.get("cost")
            size = None if cost is None else abs(cost)
            found[str(account), str(pk), until].append(Pick(abs(quantity), opened_on=since, cost=size))
    return found


def _price(ref: str, on: date) -> Decimal | None:
    """The instrument's price on the day, at most a week old."""
    return (
        models.Price.objects.filter(
            instrument=int(ref), on__gt=on - MAX_AGE, on__lte=on, currency=F("instrument__currency")
        )
        .order_by("-on", "-is_imported")
        .values_list("close", flat=True)
        .first()
    )
