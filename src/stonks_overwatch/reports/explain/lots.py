"""How purchases and sales are matched: the figures of open lots and realized gains."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from stonks_overwatch.ledger.lots import MARGINED, Close, Lot, Method, summed_if_known
from stonks_overwatch.ledger.models import Account, Activity, Instrument
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.documents import Document, Rows, known_sum, times, total
from stonks_overwatch.reports.explain.activities import booked_rates
from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made
from stonks_overwatch.reports.explain.evenings import CHANGED, TEXTS, Evening, Lived, returned, units_paid
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen, Unit, unit_of
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    always,
    at_rate,
    base,
    estimated,
    figure,
    formula,
    marked,
    own,
    plain,
    quoted,
    siblings,
    sum_of,
)
from stonks_overwatch.reports.explain.used import activities, by_ids
from stonks_overwatch.reports.lot_books import EVER, ClosedRow, is_long_term_gain, lot_books, papers
from stonks_overwatch.reports.lots import LotRow, LotsDocument, LotTotals, lots
from stonks_overwatch.reports.periods import DAY
from stonks_overwatch.reports.realized import (
    ClosedLot,
    Gains,
    InstrumentGains,
    RealizedDocument,
    YearGains,
    closed_lot,
    realized,
)


def _instrument(reports: Reports) -> int | None:
    """The row number of the instrument whose lot is asked for by its key; None where several could be meant.

    What is of one lot reads those of its instrument alone: there are tens of thousands.
    """
    (key,) = reports.arguments.row[:1] or ("",)
    found = set()
    for account in reports.accounts:
        before = f"{account.broker} {account.account} "
        if key.startswith(before):
            papers_of_broker = Instrument.objects.filter(broker=account.broker).values_list(
                "pk", "broker_ref"
            )
            found |= {pk for pk, reference in papers_of_broker if key.startswith(f"{before}{reference} ")}
    return found.pop() if len(found) == 1 else None


def _lots(arguments: Arguments, reports: Reports) -> LotsDocument:
    only = _instrument(reports) if reports.name.startswith("lots.lots.") else None
    return lots(arguments.scope, arguments.method, only)


REPORTS["lots"] = _lots


def _realized(arguments: Arguments, reports: Reports) -> RealizedDocument:
    """With few of the lots, of which there are thousands, where one of them or a sum is asked for."""
    few = (0, 5) if reports.name.startswith("realized.lots") else (0, 0)
    page = None if reports.name in ("", "realized") else few
    return realized(arguments.scope, arguments.year, arguments.method, page)


REPORTS["realized"] = _realized


def _behind(row: LotRow | ClosedLot, *keys: str) -> list[Ledger]:
    """The activities that opened and closed a lot."""
    return [by_ids([f"{row.broker}:{row.account}:{key}" for key in keys if key])]


# Open lots


class _Matched(NamedTuple):
    """The lots of one position, and the activities that opened and closed them."""

    account: Account
    open: tuple[Lot, ...]
    closed: tuple[Close, ...]

    @classmethod
    def of(cls, seen: Seen) -> "_Matched":
        row = seen.holder
        account = seen.account(row.broker, row.account)
        asked = seen.arguments
        kept = lot_books([account], seen.base, asked.as_of, asked.method, row.instrument)
        opened = [one.lot for one in kept.open([row.instrument])]
        closed = [one.close for one in kept.closed(instrument=row.instrument)]
        return cls(account, tuple(opened), tuple(reversed(closed)))

    def activity(self, seen: Seen, key: str) -> Activity | None:
        """Of a key; lots that came by a transfer were opened in another account."""
        return seen.reports.once((Activity, key), lambda: self._activity(seen.holder.instrument, key))

    def _activity(self, instrument: int, key: str) -> Activity | None:
        rows = Activity.objects.current().filter(key=key, account__broker=self.account.broker)
        found = list(rows.select_related("account", "instrument").order_by("pk"))
        found.sort(key=lambda row: (row.instrument_id != instrument, row.account_id != self.account.pk))
        return next(iter(found), None)


class _Money(NamedTuple):
    """What one activity paid (for a sale: received), in parts whose sum it is, and the rate of its day."""

    inputs: list[Input]
    whole: Decimal | None
    quantity: Decimal

    def with_parts(self, more: list[Input]) -> "_Money":
        whole = None if self.whole is None else known_sum((self.whole, *(one.value for one in more)))
        return _Money([*self.inputs, *more], whole, self.quantity)


def _money(seen: Seen, matched: _Matched, key: str, *, is_cost: bool) -> _Money:
    """In the row's currency, or in the base currency where the figure is in it."""
    row = matched.activity(seen, key)
    if row is None:
        return _Money([], None, Decimal(0))
    side = -1 if is_cost else 1
    paper = row.instrument
    parts: list[tuple[str, Decimal]] = []
    if row.cost is not None and row.kind not in (ActivityKind.BUY, ActivityKind.SELL):
        parts = [("cost as told", row.cost)]
    elif (
        row.price is not None and row.quantity and paper and (not row.gross or paper.asset_class in MARGINED)
    ):
        # A trade in a future moves no cash, or its profit alone: its money is what the price says.
        parts = [
            ("quantity × price", -side * row.quantity * row.price * paper.multiplier * paper.quote_factor)
        ]
    elif row.gross:
        parts = [("amount", side * row.gross)]
    if parts and parts[0][0] != "cost as told":
        charges = (("commission", row.fee), ("tax", row.tax))
        parts += [(text, side * value) for text, value in charges if value]
    inputs = []
    rate = _rate_of(seen, row) if seen.field.endswith("_base") else Decimal(1)
    unit = seen.base if seen.field.endswith("_base") else row.currency
    for text, value in parts:
        source = "" if rate in (None, 1) else f"{value:f} {row.currency} at {rate:f}"
        told = times(value, rate)
        inputs.append(seen.input(text, told, unit, as_of=row.trade_date, source=source))
    whole = total(one.value for one in inputs)
    known = None if whole.unknown or not parts else whole.value
    return _Money(inputs, known, abs(row.quantity or Decimal(0)))


def _rate_of(seen: Seen, row: Activity) -> Decimal | None:
    """Base currency for one unit of the activity's: as booked with it, else of its day."""
    account = row.account
    on = row.acquired_on or row.trade_date
    rates = seen.reports.rates(on, on)
    if row.fx_rate and row.acquired_on is None and row.currency != seen.base:
        return times(row.fx_rate, rates.rate(account.currency, seen.base, on))
    return rates.rate(row.currency, seen.base, on)


def _with_rest(
    seen: Seen, inputs: list[Input], unit: str, why: str, words: str, ledger: Sequence[Ledger]
) -> Made:
    """The inputs, and what they leave of the figure, so that they sum to it."""
    found = total(one.value for one in inputs)
    if seen.value is not None and not found.unknown:
        rest = seen.value - (found.value or Decimal(0))
        if abs(rest) > _ROUNDED:
            inputs = [*inputs, seen.input(why, rest, unit)]
    return sum_of(inputs, words, ledger=ledger)


_ROUNDED = Decimal("1e-9")


def _between(seen: Seen, account: Account) -> str:
    """What changed lots without a trade since a day, as a name for what it carried."""
    lived = Lived.of(seen, account, seen.holder.instrument)
    days = lived.changes(_opened_on(seen), seen.arguments.as_of)
    named = [
        f"{row.subtype if row.kind == ActivityKind.DIVIDEND else row.kind} of {on.isoformat()}"
        for on in days
        for row in lived.happened(on).filter(CHANGED).order_by("id")
    ]
    return ", ".join(dict.fromkeys(named)).replace("_", " ") or "matched with lots of the other side"


def _opened_on(seen: Seen) -> date:
    return seen.holder.acquired_on or date.min


def _unit(seen: Seen) -> str:
    return seen.base if seen.field.endswith("_base") else str(seen.holder.currency)


def _taken(seen: Seen, matched: _Matched, name: str) -> list[Input]:
    """What later sales closed of the lot that one activity opened, taken away."""
    unit = "" if name == "quantity" else _unit(seen)
    return [
        seen.input("closed by a later trade", _negative(getattr(close, name)), unit, as_of=close.closed_on)
        for close in matched.closed
        if close.opened_by == seen.holder.opened_by
    ]


def _negative(value: Decimal | None) -> Decimal | None:
    return None if value is None else -value


def _other_side(seen: Seen, matched: _Matched, name: str) -> list[Input]:
    """What the activity closed before it opened the lot, taken away; its money is what that brought."""
    unit = "" if name == "quantity" else _unit(seen)
    column = {"cost": "proceeds", "cost_base": "proceeds_base"}.get(name, name)
    return [
        seen.input("of what it closed of the other side", getattr(close, column), unit, as_of=close.closed_on)
        for close in matched.closed
        if close.closed_by == seen.holder.opened_by
    ]


@figure(LotRow, "quantity", "Quantity", plain, "What is still open of one purchase.")
def _open_quantity(seen: Seen) -> Made:
    row, matched = seen.holder, _Matched.of(seen)
    activity = matched.activity(seen, row.opened_by)
    bought = None if activity is None else activity.quantity
    opened = [seen.input("opened", bought, "", as_of=row.acquired_on)]
    return _opened(seen, matched, opened, "what the activity opened, less what later trades closed of it")


def _open_cost(seen: Seen) -> Made:
    row, matched = seen.holder, _Matched.of(seen)
    if row.method is Method.AVERAGE:
        return _average(seen, matched, seen.field, _behind(row, row.opened_by))
    if seen.field == "cost_base" and row.asset_class in MARGINED:
        return _at_rate("cost", "cost")(seen)
    paid = _money(seen, matched, row.opened_by, is_cost=True).inputs
    words = "what the activity cost, less the cost of what later trades closed of it"
    return _opened(seen, matched, paid, words)


def _opened(seen: Seen, matched: _Matched, opened: list[Input], words: str) -> Made:
    """What an activity opened, less what was closed of it; from the evening before, where more happened."""
    row, name = seen.holder, seen.field
    taken = _taken(seen, matched, name)
    inputs = [*opened, *_other_side(seen, matched, name), *taken]
    ledger = _behind(row, row.opened_by)
    if seen.value is None or _is_sum(inputs, seen.value):
        return sum_of(inputs, words, ledger=ledger)
    return _changed(seen, matched.account, taken, ledger) or _with_rest(
        seen, inputs, _unit(seen), _between(seen, matched.account), words, ledger
    )


def _is_sum(inputs: Sequence[Input], value: Decimal) -> bool:
    summed = total(one.value for one in inputs)
    return not summed.unknown and abs((summed.value or 0) - value) <= _ROUNDED


def _changed(seen: Seen, account: Account, taken: list[Input], ledger: list[Ledger]) -> Made | None:
    """From the evening before the last day on which something else than a trade changed the lot.

    What it was that evening has an explanation of its own. None where that day does not give the figure.
    """
    lived = Lived.of(seen, account, seen.holder.instrument)
    for on in lived.changes(_opened_on(seen), seen.arguments.as_of):
        evening = lived.evening(seen.holder.opened_by, on)
        if evening is None:
            return None
        since = [one for one in taken if isinstance(one.as_of, date) and one.as_of >= on]
        inputs = [evening.input(seen, seen.field), *since]
        is_same = _is_sum(inputs, seen.value or Decimal(0))
        if is_same and evening.key == lived.key:
            continue
        rows = [*ledger, activities(lived.happened(on))]
        if is_same:
            return sum_of(
                inputs, "what it was the evening before it came here, less what was closed", (), rows
            )
        for way in (_by_share, _by_units, _by_return):
            made = _since(seen, way(seen, lived, evening), inputs, rows)
            if made is not None:
                return made
        return None
    return None


class _Way(NamedTuple):
    """How a lot's figure comes from that of the evening before, in words and as a number."""

    words: str
    inputs: list[Input]
    value: Decimal | None


def _since(seen: Seen, way: _Way, inputs: list[Input], rows: list[Ledger]) -> Made | None:
    """The way with what was closed since, if that gives the figure."""
    closed = total(one.value for one in inputs[1:])
    if way.value is None or closed.unknown or not _is(way.value + (closed.value or 0), seen):
        return None
    words = f"{way.words} + Σ closed by a later trade" if len(inputs) > 1 else way.words
    return formula(words, [inputs[0], *way.inputs, *inputs[1:]], ledger=rows)


def _by_share(seen: Seen, lived: Lived, evening: Evening) -> _Way:
    """Splits, spin-offs and mergers: every lot gets the same part of what the position becomes."""
    name, unit = seen.field, "" if seen.field == "quantity" else _unit(seen)
    then = getattr(evening.lot, name)
    before = evening.whole(name)
    after = summed_if_known(getattr(one, name) for one in lived.became(evening))
    text, whole = TEXTS[name], "units" if name == "quantity" else "cost"
    inputs = [
        seen.input(f"{whole} of the position after it", after, unit, as_of=evening.on),
        seen.input(f"{whole} of the position before it", before, unit, as_of=evening.on - DAY),
    ]
    words = (
        f"{text} the evening before × {whole} of the position after it ÷ {whole} of the position before it"
    )
    value = None if then is None or after is None or not before else then * after / before
    return _Way(words, inputs, value)


def _by_units(seen: Seen, lived: Lived, evening: Evening) -> _Way:
    """A transfer that takes a part of a lot along."""
    came = summed_if_known(
        one.quantity for one in lived.became(evening) if one.opened_by == evening.lot.opened_by
    )
    then, units = getattr(evening.lot, seen.field), evening.lot.quantity
    inputs = [
        seen.input("units that came", came, "", as_of=evening.on),
        seen.input("units the evening before", units, "", as_of=evening.on - DAY),
    ]
    words = f"{TEXTS[seen.field]} the evening before × units that came ÷ units the evening before"
    return _Way(words, inputs, None if then is None or came is None else then * came / units)


def _by_return(seen: Seen, _: Lived, evening: Evening) -> _Way:
    """Capital that was given back lowers what each unit cost by the same."""
    then, value = getattr(evening.lot, seen.field), None
    inputs: list[Input] = []
    rows = returned(evening)
    paid_on = {units_paid(evening, row) for row in rows}
    if len(paid_on) == 1 and seen.field != "quantity":
        (units,) = paid_on
        is_base = seen.field == "cost_base"
        given = [times(row.gross, _rate_of(seen, row) if is_base else Decimal(1)) for row in rows]
        inputs = [
            *(seen.input("given back", amount, _unit(seen), as_of=evening.on) for amount in given),
            seen.input("units of the lot", evening.lot.quantity, ""),
            seen.input("units that it was paid on", units, ""),
        ]
        whole = known_sum(given)
        if whole is not None and units and then is not None:
            value = then - whole * evening.lot.quantity / units
    words = (
        f"{TEXTS[seen.field]} the evening before − "
        "Σ given back × units of the lot ÷ units that it was paid on"
    )
    return _Way(words, inputs, value)


def _average(seen: Seen, matched: _Matched, name: str, ledger: list[Ledger]) -> Made:
    """Every unit of the position costs the same."""
    costs = [getattr(lot, name) for lot in matched.open]
    whole = total(costs)
    inputs = [
        seen.input("cost of all lots", None if whole.unknown else whole.value, _unit(seen)),
        seen.beside("quantity", "quantity", ""),
        seen.input("quantity of all lots", total(lot.quantity for lot in matched.open).value, ""),
    ]
    return formula("cost of all lots × quantity ÷ quantity of all lots", inputs, ledger=ledger)


figure(LotRow, "cost", "Cost", own, "With commissions.")(_open_cost)
figure(
    LotRow, "cost_base", "Cost", base, "At the rates booked with the activities, else those of their days."
)(_open_cost)


def _of_position(name: str, text: str, unit: Unit) -> Callable[[Seen], Input]:
    def told(seen: Seen) -> Input:
        row = seen.holder
        key = f"{row.broker} {row.broker_ref} {row.account}"
        found = next(
            (
                one.held
                for one in seen.valued.positions
                if one.held.instrument_id == row.instrument and one.account.account == row.account
            ),
            None,
        )
        value = getattr(found, name) if found else None
        return seen.input(text, value, unit_of(unit, seen), f"holdings.holdings.{name}", key)

    return told


@figure(LotRow, "price", "Price", quoted)
def _lot_price(seen: Seen) -> Made:
    return sum_of([_of_position("price", "price", quoted)(seen)], "the price of the position")


@figure(LotRow, "market_value", "Value", own, "The lot's part of what the position stands for.")
def _lot_value(seen: Seen) -> Made:
    inputs = [
        _of_position("exposure", "value of the position", own)(seen),
        seen.beside("quantity", "quantity of the lot", ""),
        _of_position("quantity", "quantity of the position", plain)(seen),
    ]
    words = "value of the position × quantity of the lot ÷ quantity of the position"
    if seen.value is not None and inputs[0].value is None:
        held = Instrument.objects.get(pk=seen.holder.instrument)
        inputs = [
            seen.beside("price", "price", quoted(seen)),
            seen.beside("quantity", "quantity", ""),
            seen.input("multiplier", held.multiplier * held.quote_factor, ""),
        ]
        return Made("product", "price × quantity × multiplier", inputs)
    return formula(words, inputs)


def _at_rate(name: str, text: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        row = seen.holder
        account = seen.account(row.broker, row.account)
        on = seen.valued.state.days[account.pk]
        rate = seen.reports.rates(on, on).rate(row.currency, seen.base, on)
        rates = seen.rates_used(row.currency, seen.base, on)
        return at_rate(seen, seen.beside(name, text, row.currency), row.currency, rate, on, rates)

    return made


figure(LotRow, "market_value_base", "Value", base, "At the rate of the day of the account's last update.")(
    _at_rate("market_value", "value")
)
for _unit, _suffix in ((own, ""), (base, "_base")):
    siblings(
        LotRow,
        f"unrealized_pnl{_suffix}",
        "Unrealized P&L",
        _unit,
        "difference",
        ((f"market_value{_suffix}", "value", _unit), (f"cost{_suffix}", "cost", _unit)),
        "value − cost",
    )

EFFECTS = (
    (
        "price_effect_base",
        "Effect of the price",
        "gain in the instrument's currency × rate when it was bought",
    ),
    ("currency_effect_base", "Effect of the currency", "cost × change of the rate since it was bought"),
    ("cross_effect_base", "Effect of both", "gain in the instrument's currency × change of the rate"),
)


def _effects(model: type[Document], gain: str, title: str) -> None:
    """The three effects sum to the gain: each is told as the gain less the two others."""
    for name, text, words in EFFECTS:
        others = [(other, told.lower(), base) for other, told, _ in EFFECTS if other != name]
        siblings(
            model,
            name,
            text,
            base,
            "difference",
            ((gain, title, base), *others),
            f"{words}; it is also {title} − the two other effects",
        )


_effects(LotRow, "unrealized_pnl_base", "unrealized P&L")
_effects(ClosedLot, "gain_base", "gain")


RATE_GUESSED = (
    "when it was bought is not known, so its cost is converted at the rate of the day of the opening balance."
)
_IN_BASE = (*(name for name, _, _ in EFFECTS), "cost_base")
estimated(LotRow, (*_IN_BASE, "unrealized_pnl_base"), marked, RATE_GUESSED)


def _over(
    rows: Callable[[Seen], Sequence[Any]], where: str, text: str
) -> Callable[[str], Callable[[Seen], Made]]:
    """A sum of one column over rows of the same document."""

    def of(name: str) -> Callable[[Seen], Made]:
        def made(seen: Seen) -> Made:
            def inputs_of(some: Sequence[Any]) -> list[Input]:
                return [
                    seen.input(
                        f"{row.symbol} in {row.account}",
                        getattr(row, name),
                        seen.base,
                        f"{where}.{name}",
                        key_of(row),
                    )
                    for row in some
                ]

            return sum_of(Rows(rows(seen), inputs_of), text)

        return made

    return of


_sum_of_lots = _over(lambda seen: seen.root.lots, "lots.lots", "sum of the open lots")
for _name, _title in (
    ("cost_base", "Cost"),
    ("market_value_base", "Value"),
    ("unrealized_pnl_base", "Unrealized P&L"),
    *((name, title) for name, title, _ in EFFECTS),
):
    figure(LotTotals, _name, _title, base)(_sum_of_lots(_name))

ONE_RATE_GUESSED = f"of a lot in it, {RATE_GUESSED}"
estimated(LotTotals, (*_IN_BASE, "unrealized_pnl_base"), marked, ONE_RATE_GUESSED)


# Closed lots


def _of_close(name: str) -> Callable[[Seen], Made]:
    """The lot's part of what its purchase cost, or of what its sale brought."""
    is_cost = name.startswith("cost")

    def made(seen: Seen) -> Made:
        row: ClosedLot = seen.holder
        matched = _Matched.of(seen)
        is_opening = is_cost is not (row.side == "short")
        key = row.opened_by if is_opening else row.closed_by
        money = _money(seen, matched, key, is_cost=is_cost)
        ledger = _behind(row, row.opened_by, row.closed_by)
        if name.endswith("_base") and row.asset_class in MARGINED:
            at_close = _at_close(seen, matched, name.removesuffix("_base"), ledger)
            if at_close is not None:
                return at_close
        what = "purchase" if is_cost else "sale"
        words = f"the lot's part of what the {what} {'cost' if is_cost else 'brought'} ({row.method})"
        told = _part(seen, money, what, ledger)
        if told is None and not is_opening:
            money = money.with_parts(_other_legs(seen, matched, key))
            told = _part(seen, money, what, ledger)
        if told is not None:
            return told
        why = f"{_between(seen, matched.account)}, and what other lots have of it"
        evening = Lived.of(seen, matched.account, row.instrument).evening(row.opened_by, row.disposed_on)
        if evening is not None:
            by_units = _paid_by_units(seen, evening, money, ledger)
            told = _cost_of_evening(seen, evening, ledger) if is_opening else by_units
        return told or _with_rest(seen, list(money.inputs), _unit(seen), why, words, ledger)

    return made


def _at_close(seen: Seen, matched: _Matched, name: str, ledger: list[Ledger]) -> Made | None:
    """Of futures and CFDs only the profit is money: all of it is converted at the rate of the close."""
    row: ClosedLot = seen.holder
    trade = matched.activity(seen, row.closed_by)
    rate = None if trade is None else _rate_of(seen, trade)
    if trade is None or not _is(times(getattr(row, name), rate), seen):
        return None
    on = trade.trade_date
    used = booked_rates(seen, trade.account, row.currency, trade.fx_rate, on)
    return at_rate(seen, seen.beside(name, name, row.currency), row.currency, rate, on, used, ledger)


def _part(seen: Seen, money: _Money, what: str, ledger: list[Ledger]) -> Made | None:
    """By its quantity, if that gives the figure."""
    size = abs(seen.holder.quantity)
    if money.whole is None or not money.quantity or not _is(money.whole * size / money.quantity, seen):
        return None
    if size == money.quantity:
        return sum_of(
            money.inputs, f"what the {what} {'cost' if what == 'purchase' else 'brought'}", ledger=ledger
        )
    inputs = [
        *money.inputs,
        seen.input("quantity", size, ""),
        seen.input(f"quantity of the {what}", money.quantity, ""),
    ]
    summed = " + ".join(one.name for one in money.inputs)
    return formula(f"({summed}) × quantity ÷ quantity of the {what}", inputs, ledger=ledger)


def _other_legs(seen: Seen, matched: _Matched, key: str) -> list[Input]:
    """What else one event paid in cash on the day: for fractions, or in a row of its own."""
    row = matched.activity(seen, key)
    if row is None or not row.group:
        return []
    legs = Activity.objects.current().filter(
        account=row.account, group=row.group, trade_date=row.trade_date, quantity=None, gross__isnull=False
    )
    is_base = seen.field.endswith("_base")
    return [
        seen.input(
            f"amount of leg {number}",
            times(leg.gross, _rate_of(seen, leg) if is_base else Decimal(1)),
            _unit(seen),
            as_of=leg.trade_date,
        )
        for number, leg in enumerate(legs.select_related("account").exclude(pk=row.pk), 2)
    ]


def _cost_of_evening(seen: Seen, evening: Evening, ledger: list[Ledger]) -> Made | None:
    """The part of the lot that was closed, of what it cost on the evening before."""
    inputs = [evening.input(seen, "cost_base" if seen.field.endswith("_base") else "cost")]
    part, cost = abs(seen.holder.quantity), inputs[0].value
    if not part:  # capital was given back, all of what it cost and more
        return sum_of(inputs, "all of what it cost", (), ledger)
    inputs += [
        seen.input("quantity", part, ""),
        seen.input("units the evening before", evening.lot.quantity, ""),
    ]
    value = None if cost is None else cost * part / evening.lot.quantity
    words = "cost the evening before × quantity ÷ units the evening before"
    return formula(words, inputs, ledger=ledger) if _is(value, seen) else None


def _paid_by_units(seen: Seen, evening: Evening, money: _Money, ledger: list[Ledger]) -> Made | None:
    """What was paid for the whole position without a trade: cash of a merger, capital given back."""
    given = returned(evening)
    whole = units_paid(evening, given[0]) if given else evening.whole("quantity")
    inputs = [
        *money.inputs,
        seen.input("units of the lot", evening.lot.quantity, ""),
        seen.input("units that it was paid on", whole, ""),
    ]
    value = None if money.whole is None or not whole else money.whole * evening.lot.quantity / whole
    summed = " + ".join(one.name for one in money.inputs)
    words = f"({summed}) × units of the lot ÷ units that it was paid on"
    return formula(words, inputs, ledger=ledger) if _is(value, seen) else None


def _is(value: Decimal | None, seen: Seen) -> bool:
    return value is not None and seen.value is not None and abs(value - seen.value) <= _ROUNDED


for _unit_of_it, _suffix in ((own, ""), (base, "_base")):
    for _name, _title in (("proceeds", "Proceeds"), ("cost", "Cost")):
        figure(ClosedLot, f"{_name}{_suffix}", _title, _unit_of_it, "With commissions.")(
            _of_close(f"{_name}{_suffix}")
        )
    siblings(
        ClosedLot,
        f"gain{_suffix}",
        "Gain",
        _unit_of_it,
        "difference",
        ((f"proceeds{_suffix}", "proceeds", _unit_of_it), (f"cost{_suffix}", "cost", _unit_of_it)),
        "proceeds − cost",
    )


@figure(ClosedLot, "quantity", "Quantity", plain, "Of one purchase, closed by one sale.")
def _closed_quantity(seen: Seen) -> Made:
    row, matched = seen.holder, _Matched.of(seen)
    activity = matched.activity(seen, row.closed_by)
    moved = None if activity is None or activity.quantity is None else -activity.quantity
    inputs = [seen.input("closed in all", moved, "", as_of=row.disposed_on)]
    others = [
        one for one in matched.closed if one.closed_by == row.closed_by and one.opened_by != row.opened_by
    ]
    inputs += [seen.input("of other lots", -one.quantity, "", as_of=one.opened_on) for one in others]
    words = f"what the trade closed, less what of it closed other lots ({row.method})"
    why = "opened the other side, or of a corporate action"
    return _with_rest(seen, inputs, "", why, words, _behind(row, row.opened_by, row.closed_by))


estimated(ClosedLot, (*(name for name, _, _ in EFFECTS), "gain_base"), marked, RATE_GUESSED)
estimated(ClosedLot, ("cost_base",), lambda seen: marked(seen) and seen.holder.side == "long", RATE_GUESSED)
estimated(
    ClosedLot, ("proceeds_base",), lambda seen: marked(seen) and seen.holder.side == "short", RATE_GUESSED
)


def _gains(name: str, words: str, only: Callable[[ClosedRow], bool] = always) -> Callable[[Seen], Made]:
    """A sum over the closed lots of a row; `name` is the field of the lot, or of the sum of gains."""
    column = name if name in ClosedLot.model_fields else "gain_base"

    def made(seen: Seen) -> Made:
        summed, asked = seen.holder, seen.arguments
        year = summed.year if isinstance(summed, YearGains) else asked.year
        instrument = summed.instrument if isinstance(summed, InstrumentGains) else None
        looked_at = {account.pk: account for account in seen.reports.accounts}
        matched = lot_books([*looked_at.values()], seen.base, asked.as_of, asked.method)

        def inputs_of(some: Sequence[ClosedRow]) -> list[Input]:
            described = papers({row.instrument for row in some})
            lots = [
                closed_lot(
                    row,
                    looked_at[row.account],
                    described[row.instrument],
                    matched.methods[row.account],
                    seen.base,
                )
                for row in some
            ]
            unit = own(seen) if name == "gain" else seen.base
            return [
                seen.input(
                    f"{row.symbol} in {row.account}",
                    getattr(row, column),
                    unit,
                    f"realized.lots.{column}",
                    key_of(row),
                    as_of=row.disposed_on,
                    asked={"year": year},
                )
                for row in lots
            ]

        def lots_at(places: Sequence[int]) -> list[Input]:
            """`places` are counted from the newest lot, and go from the oldest to it one by one."""
            page = slice(places[-1], places[0] + 1) if places else slice(0, 0)
            return inputs_of(matched.closed(year or EVER, instrument, page)[::-1])

        # There may be thousands: those that are not shown are not written out, nor read where all count.
        if only is always:
            shown = Rows(range(summed.lots)[::-1], lots_at)
        else:
            rows = matched.closed(year or EVER, instrument)[::-1]
            shown = Rows([row for row in rows if only(row)], inputs_of)
        return sum_of(shown, words)

    return made


for _name, _title in (
    ("proceeds_base", "Proceeds"),
    ("cost_base", "Cost"),
    ("gain_base", "Gain"),
    *((name, title) for name, title, _ in EFFECTS),
):
    figure(Gains, _name, _title, base)(_gains(_name, "sum of the closed lots"))
estimated(
    Gains,
    (*_IN_BASE, "gain_base"),
    lambda seen: seen.holder.estimates > 0,
    ONE_RATE_GUESSED,
)
figure(Gains, "short_term_base", "Gain of what was held up to a year", base)(
    _gains(
        "short_term_base",
        "sum of the gains of lots held up to a year",
        lambda row: is_long_term_gain(row.close) is False,
    )
)
figure(Gains, "long_term_base", "Gain of what was held longer", base)(
    _gains(
        "long_term_base",
        "sum of the gains of lots held for more than a year",
        lambda row: bool(is_long_term_gain(row.close)),
    )
)
figure(InstrumentGains, "gain", "Gain", own, "In the instrument's currency.")(
    _gains("gain", "sum of the closed lots")
)
