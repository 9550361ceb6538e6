"""How the figures of one instrument come about."""

from collections.abc import Callable
from datetime import date
from operator import attrgetter

from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.cash import net
from stonks_overwatch.reports.documents import PERCENT
from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.lots import EFFECTS, ONE_RATE_GUESSED
from stonks_overwatch.reports.explain.told import (
    at_rate,
    base,
    estimated,
    figure,
    own,
    plain,
    quoted,
    reported,
    siblings,
    sum_of,
)
from stonks_overwatch.reports.explain.used import by_ids, prices
from stonks_overwatch.reports.instrument import (
    Earned,
    Happening,
    Holder,
    InstrumentDocument,
    Mark,
    Prices,
    Split,
    income_and_charges,
    instrument,
    units_since,
)


def _instrument(arguments: Arguments, _: Reports) -> InstrumentDocument:
    if arguments.instrument is None:
        raise UnknownFigureError(
            "An instrument is named by its number.", next_step="Say which one with the argument instrument."
        )
    return instrument(arguments.scope, arguments.instrument, arguments.start, arguments.method)


REPORTS["instrument"] = _instrument


def _earned_of(text: str, rows: str, name: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        inputs = [
            seen.input(
                f"{row.quantity:f} in {row.account}",
                getattr(row, name),
                seen.base,
                f"instrument.{rows}.{name}",
                key_of(row),
            )
            for row in getattr(seen.root, rows)
        ]
        return sum_of(inputs, text)

    return made


figure(Earned, "unrealized_base", "Unrealized", base)(
    _earned_of("sum of the open lots, unknown when one is", "lots", "unrealized_pnl_base")
)
figure(Earned, "realized_base", "Realized", base)(
    _earned_of("sum of the closed lots, unknown when one is", "closed", "gain_base")
)
for _name, _title, _ in EFFECTS:

    def _both(seen: Seen, name: str = _name) -> Made:
        inputs = [
            seen.input(
                f"{row.quantity:f} in {row.account}",
                getattr(row, name),
                seen.base,
                f"{where}.{name}",
                key_of(row),
            )
            for where, rows in (("instrument.lots", seen.root.lots), ("instrument.closed", seen.root.closed))
            for row in rows
        ]
        return sum_of(inputs, "sum of the open and the closed lots")

    figure(Earned, _name, _title, base)(_both)


def _booked(words: str, *, are_charges: bool) -> Callable[[Seen], Made]:
    """Income with the taxes that were withheld of it, or what else was charged."""

    def made(seen: Seen) -> Made:
        income, charges = income_and_charges(seen.arguments.scope, seen.root.id)
        rows = charges if are_charges else income
        inputs = [
            seen.input(
                f"{row.kind} of {row.on.isoformat()}",
                row.in_base(net(row.gross, row.fee, row.tax)),
                seen.base,
                "instrument.activities.net_base",
                row.id,
                as_of=row.on,
            )
            for row in rows
        ]
        return sum_of(inputs, words, ledger=[by_ids([row.id for row in rows])])

    return made


figure(Earned, "income_base", "Income", base, "Dividends and interest after what was withheld.")(
    _booked("sum of dividends, interest and the taxes that belong to them", are_charges=False)
)
figure(Earned, "charges_base", "Charges", base, "Fees and taxes booked apart from trades.")(
    _booked("sum of the fees and of the taxes that belong to no dividend", are_charges=True)
)
siblings(
    Earned,
    "total_base",
    "Earned",
    base,
    "sum",
    (
        ("unrealized_base", "unrealized", base),
        ("realized_base", "realized", base),
        ("income_base", "income", base),
        ("charges_base", "charges", base),
    ),
    "unrealized + realized + income + charges",
)


for _name, _flag in (
    ("unrealized_base", "unrealized_is_estimate"),
    ("realized_base", "realized_is_estimate"),
    *((name, "is_estimate") for name in (*(name for name, _, _ in EFFECTS), "total_base")),
):
    estimated(Earned, [_name], attrgetter(f"holder.{_flag}"), ONE_RATE_GUESSED)


def _holder(name: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        document: InstrumentDocument = seen.root
        key = f"{document.broker} {document.broker_ref} {seen.holder.account}"
        told = seen.input(
            "of the position",
            getattr(seen.holder, name),
            _unit_of(seen, name),
            f"holdings.holdings.{name}",
            key,
        )
        return sum_of([told], "the position of this account")

    return made


def _unit_of(seen: Seen, name: str) -> str:
    if name == "price":
        return _quoted(seen)
    return "" if name == "quantity" else seen.base if name.endswith("_base") else str(seen.root.currency)


def _root_currency(seen: Seen) -> str:
    return str(seen.root.currency)


def _quoted(seen: Seen) -> str:
    """The unit of prices: the currency, or nothing for percent of face."""
    return plain if seen.root.quoted_in == PERCENT else _root_currency(seen)


for _name, _title, _held_unit in (
    ("quantity", "Quantity", plain),
    ("price", "Price", _quoted),
    ("market_value", "Value", _root_currency),
    ("market_value_base", "Value", base),
):
    figure(Holder, _name, _title, _held_unit)(_holder(_name))
for _name, _title, _held_unit in (("quantity", "Quantity", plain), ("market_value_base", "Value", base)):

    def _all_holders(seen: Seen, name: str = _name) -> Made:
        inputs = [
            seen.input(
                f"in {row.account}",
                getattr(row, name),
                _unit_of(seen, name),
                f"instrument.holders.{name}",
                key_of(row),
            )
            for row in seen.root.holders
        ]
        return sum_of(inputs, "sum over the accounts")

    figure(InstrumentDocument, _name, _title, _held_unit)(_all_holders)


def _as_told(seen: Seen) -> Made:
    return reported("as told by its sources", [by_ids([seen.holder.id])])


for _name, _title, _held_unit in (
    ("quantity", "Quantity", plain),
    ("price", "Price", quoted),
    ("net", "Amount", own),
):
    figure(Happening, _name, _title, _held_unit)(_as_told)


@figure(Happening, "net_base", "Amount", base, "At the rate booked with it, else that of its day.")
def _happening_base(seen: Seen) -> Made:
    amount_now, value, ledger = seen.holder.net, seen.value, [by_ids([seen.holder.id])]
    amount = seen.beside("net", "amount", own(seen))
    if not amount_now:
        return sum_of([amount], "nothing in every currency", ledger=ledger)
    rate = None if value is None else value / amount_now
    return at_rate(seen, amount, own(seen), rate, seen.holder.on, ledger=ledger)


@figure(
    InstrumentDocument,
    "multiplier",
    "Multiplier",
    plain,
    "Units of the underlying that one contract stands for.",
)
@figure(InstrumentDocument, "strike", "Strike", _root_currency)
def _of_contract(_: Seen) -> Made:
    return reported("as the broker describes the contract")


def _mark(seen: Seen) -> Made:
    ids = [
        row.id for row in seen.root.activities if row.on == seen.holder.on and row.kind == seen.holder.kind
    ]
    return reported("of the activity of the day", [by_ids(ids)])


for _name, _title, _held_unit in (
    ("quantity", "Quantity", plain),
    ("price", "Price", _quoted),
    ("amount", "Amount", _root_currency),
):
    figure(Mark, _name, _title, _held_unit)(_mark)


@figure(Mark, "adjusted", "Price in today's units", _quoted, "Divided by the splits since.")
def _mark_adjusted(seen: Seen) -> Made:
    price = seen.beside("price", "price of the trade", _quoted(seen))
    return _in_todays_units(seen, price, seen.holder.on)


def _in_todays_units(seen: Seen, price: Input, on: date) -> Made:
    units = units_since(seen.root.splits, on)
    since = seen.input("today's units for one of that day", units, "")
    return Made(
        "quotient", "price ÷ today's units for one of that day", [price, since], ledger=_of_splits(seen)
    )


def _of_splits(seen: Seen) -> list[Ledger]:
    return [by_ids([row.id for row in seen.root.activities if row.kind == ActivityKind.SPLIT])]


@figure(Prices, "adjusted", "Price in today's units", _quoted, "Divided by the splits since.")
def _adjusted(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    close = seen.root.prices.closes[seen.root.prices.dates.index(on)]
    price = seen.input("price of the day", close, _quoted(seen), "instrument.prices.closes", seen.key)
    return _in_todays_units(seen, price, on)


@figure(Split, "ratio", "New units for one old", plain)
def _ratio(seen: Seen) -> Made:
    return reported("as told, else the quantity after the split over the one before", _of_splits(seen))


@figure(Prices, "closes", "Price", _quoted, "At the close of the day.")
def _close(seen: Seen) -> Made:
    return reported("as stored", [prices(seen.root.id, date.fromisoformat(seen.key))])
