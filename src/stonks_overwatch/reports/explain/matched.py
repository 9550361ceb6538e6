"""How purchases and sales are matched: the figures of lots, realized gains and one instrument."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.reports.documents import Document
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Arguments, Reports, Seen, Unit
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    at_rate,
    base,
    figure,
    own,
    plain,
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
    instrument,
)
from stonks_overwatch.reports.lots import LotRow, LotTotals, lots
from stonks_overwatch.reports.realized import ClosedLot, Gains, InstrumentGains, YearGains, realized


def _instrument(arguments: Arguments, _: Reports) -> InstrumentDocument:
    if arguments.instrument is None:
        raise UnknownFigureError(
            "An instrument is named by its number.", next_step="Say which one with the argument instrument."
        )
    return instrument(arguments.scope, arguments.instrument, arguments.start, arguments.method)


REPORTS["lots"] = lambda arguments, _: lots(arguments.scope, arguments.method)
REPORTS["realized"] = lambda arguments, _: realized(arguments.scope, arguments.year, arguments.method)
REPORTS["instrument"] = _instrument


def _behind(row: LotRow | ClosedLot, *keys: str) -> list[Ledger]:
    """The activities that opened and closed a lot."""
    return [by_ids([f"{row.broker}:{row.account}:{key}" for key in keys if key])]


# Open lots


def _opened(formula: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return Made("computed", formula, ledger=_behind(seen.holder, seen.holder.opened_by))

    return made


figure(LotRow, "quantity", "Quantity", plain, "What is still open of one purchase.")(
    _opened("what the activity bought, less what later sales closed of it")
)
figure(LotRow, "cost", "Cost", own, "With commissions.")(
    _opened("the open part of what the activity cost: amount + commission + taxes of the trade")
)
figure(LotRow, "cost_base", "Cost", base, "At the rates of the days it was paid.")(
    _opened("the cost at the rate booked with the activity, else that of its day")
)


def _position_key(seen: Seen) -> str:
    row = seen.holder
    return f"{row.broker} {row.broker_ref} {row.account}"


def _of_position(name: str, text: str, unit: Unit) -> Callable[[Seen], Input]:
    def told(seen: Seen) -> Input:
        key = _position_key(seen)
        found = next((row for row in seen.valued.document.holdings if key_of(row) == key), None)
        value = getattr(found, name) if found else None
        return seen.input(
            text, value, unit if isinstance(unit, str) else unit(seen), f"holdings.holdings.{name}", key
        )

    return told


@figure(LotRow, "price", "Price", own)
def _lot_price(seen: Seen) -> Made:
    return reported("the price of the position", inputs=[_of_position("price", "price", own)(seen)])


@figure(LotRow, "market_value", "Value", own, "The lot's part of what the position stands for.")
def _lot_value(seen: Seen) -> Made:
    inputs = [
        _of_position("exposure", "value of the position", own)(seen),
        seen.beside("quantity", "quantity of the lot", ""),
        _of_position("quantity", "quantity of the position", plain)(seen),
    ]
    return Made("computed", "value of the position × quantity of the lot ÷ quantity of the position", inputs)


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

_EFFECTS = (
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
    for name, text, words in _EFFECTS:
        others = [(other, told.lower(), base) for other, told, _ in _EFFECTS if other != name]
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


def _over(
    rows: Callable[[Seen], Sequence[Any]], where: str, text: str
) -> Callable[[str], Callable[[Seen], Made]]:
    """A sum of one column over rows of the same document."""

    def of(name: str) -> Callable[[Seen], Made]:
        def made(seen: Seen) -> Made:
            inputs = [
                seen.input(
                    f"{row.symbol} in {row.account}",
                    getattr(row, name),
                    seen.base,
                    f"{where}.{name}",
                    key_of(row),
                )
                for row in rows(seen)
            ]
            return sum_of(inputs, text)

        return made

    return of


_sum_of_lots = _over(lambda seen: seen.root.lots, "lots.lots", "sum of the open lots")
for _name, _title in (
    ("cost_base", "Cost"),
    ("market_value_base", "Value"),
    ("unrealized_pnl_base", "Unrealized P&L"),
    *((name, title) for name, title, _ in _EFFECTS),
):
    figure(LotTotals, _name, _title, base)(_sum_of_lots(_name))


# Closed lots


def _closing(formula: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        row: ClosedLot = seen.holder
        return Made(
            "computed", f"{formula} ({row.method})", ledger=_behind(row, row.opened_by, row.closed_by)
        )

    return made


for _unit, _suffix, _rate in ((own, "", ""), (base, "_base", ", at the rates of its day")):
    figure(ClosedLot, f"proceeds{_suffix}", "Proceeds", _unit, "With commissions.")(
        _closing(f"the lot's part of what the sale brought{_rate}")
    )
    figure(ClosedLot, f"cost{_suffix}", "Cost", _unit, "With commissions.")(
        _closing(f"the lot's part of what the purchase cost{_rate}")
    )
    siblings(
        ClosedLot,
        f"gain{_suffix}",
        "Gain",
        _unit,
        "difference",
        ((f"proceeds{_suffix}", "proceeds", _unit), (f"cost{_suffix}", "cost", _unit)),
        "proceeds − cost",
    )
figure(ClosedLot, "quantity", "Quantity", plain, "Of one purchase, closed by one sale.")(
    _closing("what the sale closed of the lot")
)


def _closed(seen: Seen) -> list[ClosedLot]:
    """The closed lots that a row sums up."""
    row, asked = seen.holder, seen.arguments
    year = row.year if isinstance(row, YearGains) else asked.year
    found = seen.root.lots if year == asked.year else realized(asked.scope, year, asked.method).lots
    if isinstance(row, InstrumentGains):
        return [one for one in found if one.instrument == row.instrument]
    return list(found)


def _gains(
    name: str, words: str, only: Callable[[ClosedLot], bool] = lambda _: True
) -> Callable[[Seen], Made]:
    column = name if name in ClosedLot.model_fields else "gain_base"

    def made(seen: Seen) -> Made:
        year = seen.holder.year if isinstance(seen.holder, YearGains) else seen.arguments.year
        inputs = [
            seen.input(
                f"{row.symbol} in {row.account}",
                getattr(row, column),
                own(seen) if name == "gain" else seen.base,
                f"realized.lots.{column}",
                key_of(row),
                as_of=row.disposed_on,
                asked={"year": year},
            )
            for row in reversed(_closed(seen))
            if only(row)
        ]
        return sum_of(inputs, words)

    return made


for _name, _title in (
    ("proceeds_base", "Proceeds"),
    ("cost_base", "Cost"),
    ("gain_base", "Gain"),
    *((name, title) for name, title, _ in _EFFECTS),
):
    figure(Gains, _name, _title, base)(_gains(_name, "sum of the closed lots"))
figure(Gains, "short_term_base", "Gain of what was held up to a year", base)(
    _gains(
        "short_term_base", "sum of the gains of lots held up to a year", lambda row: row.is_long_term is False
    )
)
figure(Gains, "long_term_base", "Gain of what was held longer", base)(
    _gains(
        "long_term_base",
        "sum of the gains of lots held for more than a year",
        lambda row: bool(row.is_long_term),
    )
)
figure(InstrumentGains, "gain", "Gain", own, "In the instrument's currency.")(
    _gains("gain", "sum of the closed lots")
)


# One instrument


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
for _name, _title, _ in _EFFECTS:

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


def _of_kinds(words: str, kinds: tuple[str, ...]) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        rows = [row for row in seen.root.activities if row.kind in kinds]
        inputs = [
            seen.input(
                f"{row.kind} of {row.on.isoformat()}",
                row.net_base,
                seen.base,
                "instrument.activities.net_base",
                key_of(row),
            )
            for row in rows
        ]
        return Made("computed", words, inputs, ledger=[by_ids([row.id for row in rows])])

    return made


figure(Earned, "income_base", "Income", base, "Dividends and interest after what was withheld.")(
    _of_kinds("sum of dividends, interest and the taxes that belong to them", ("dividend", "interest", "tax"))
)
figure(Earned, "charges_base", "Charges", base, "Fees and taxes booked apart from trades.")(
    _of_kinds("sum of the fees and of the taxes that belong to no dividend", ("fee", "tax"))
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
    return "" if name == "quantity" else seen.base if name.endswith("_base") else str(seen.root.currency)


def _root_currency(seen: Seen) -> str:
    return str(seen.root.currency)


for _name, _title, _held_unit in (
    ("quantity", "Quantity", plain),
    ("price", "Price", _root_currency),
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
    ("price", "Price", own),
    ("net", "Amount", own),
):
    figure(Happening, _name, _title, _held_unit)(_as_told)


@figure(Happening, "net_base", "Amount", base, "At the rate booked with it, else that of its day.")
def _happening_base(seen: Seen) -> Made:
    net, value, ledger = seen.holder.net, seen.value, [by_ids([seen.holder.id])]
    amount = seen.beside("net", "amount", own(seen))
    if not net or value is None:
        return Made("computed", "amount × rate of the day", [amount], ledger=ledger)
    return at_rate(seen, amount, own(seen), value / net, seen.holder.on, ledger=ledger)


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
    ("price", "Price", _root_currency),
    ("amount", "Amount", _root_currency),
):
    figure(Mark, _name, _title, _held_unit)(_mark)


@figure(Prices, "closes", "Price", _root_currency, "At the close of the day.")
def _close(seen: Seen) -> Made:
    return reported("as stored", [prices(seen.root.id, date.fromisoformat(seen.key))])
