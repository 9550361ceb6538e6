"""How explanations of one area are told: the decorator that registers them, units, and common shapes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from math import isnan
from typing import Any

from stonks_overwatch.reports.documents import PERCENT, Document, Rows, total
from stonks_overwatch.reports.explain.documents import How, Input, Ledger, Made, RateUsed
from stonks_overwatch.reports.explain.finding import FIGURES, Figure, Seen, Unit, unit_of
from stonks_overwatch.reports.explain.keys import key_of

Making = Callable[[Seen], Made]


def base(seen: Seen) -> str:
    return seen.base


def own(seen: Seen) -> str:
    """The currency that the row itself names."""
    return str(seen.holder.currency)


def quoted(seen: Seen) -> str:
    """The currency of the row's price; nothing for percent of face."""
    return plain if seen.holder.quoted_in == PERCENT else own(seen)


fraction = "fraction"
plain = ""


def figure(
    model: type[Document],
    name: str,
    title: str,
    unit: Unit,
    meaning: str = "",
    value: Callable[[Any], Decimal | None] | None = None,
) -> Callable[[Making], Making]:
    """Register how the field of a class of documents comes about; several names may share one function."""

    def register(making: Making) -> Making:
        FIGURES[model, name] = Figure(title, meaning, unit, making, value)
        return making

    return register


def sum_of(
    inputs: Sequence[Input],
    formula: str,
    rates: Sequence[RateUsed] = (),
    ledger: Sequence[Ledger] = (),
    note: str = "",
) -> Made:
    return Made("sum", formula, inputs, rates, ledger, note)


def formula(
    words: str,
    inputs: Sequence[Input] = (),
    rates: Sequence[RateUsed] = (),
    ledger: Sequence[Ledger] = (),
    note: str = "",
) -> Made:
    """The words are arithmetic over the names of the inputs; see `How`."""
    return Made("formula", words, inputs, rates, ledger, note)


def reported(
    formula: str, ledger: Sequence[Ledger] = (), note: str = "", inputs: Sequence[Input] = ()
) -> Made:
    return Made("reported", formula, inputs, (), ledger, note)


def unique(rates: Iterable[RateUsed]) -> list[RateUsed]:
    """Each rate once, in the order in which they first come."""
    return list({(rate.base, rate.quote, rate.for_day, rate.rate): rate for rate in rates}.values())


FLOATING = "Computed in floating point: the inputs give it to about nine digits."


def floating(number: float) -> Decimal | None:
    """A number of the engine with every digit; None for unknown (NaN)."""
    return None if isnan(number) else Decimal(repr(number))


def estimated(
    model: type[Document], names: Iterable[str], is_estimate: Callable[[Seen], bool], why: str
) -> None:
    """Say of figures that are registered already when and why they are estimates."""

    def told(making: Making) -> Making:
        def made(seen: Seen) -> Made:
            found = making(seen)
            if not is_estimate(seen):
                return found
            return replace(found, note=f"An estimate: {why} {found.note}".rstrip(), is_estimate=True)

        return made

    for name in names:
        FIGURES[model, name] = replace(FIGURES[model, name], made=told(FIGURES[model, name].made))


def marked(seen: Seen) -> bool:
    """Whether the row that the figure stands in says that it is an estimate."""
    return bool(seen.holder.is_estimate)


def always(_: object) -> bool:
    return True


def total_value(seen: Seen) -> Input:
    return seen.input("total value", seen.valued.totals.nav_base, seen.base, "holdings.totals.nav_base")


def over_nav(name: str, text: str = "value") -> Making:
    """A neighbour as a part of the value of everything looked at."""

    def made(seen: Seen) -> Made:
        inputs = [seen.beside(name, text, seen.base), total_value(seen)]
        return Made("quotient", f"{text} ÷ total value", inputs)

    return made


def column(
    rows: Callable[[Seen], Iterable[Any]],
    name: str,
    where: str,
    words: str,
    unit: Unit = base,
    named: Callable[[Any], str] | None = None,
) -> Making:
    """A field summed over rows of the report, whatever list they stand in."""

    def made(seen: Seen) -> Made:
        # The keys of the lists above the rows, where the rows stand in the figure's own row.
        inside = seen.rows if where.startswith(f"{seen.path}.") else ()

        def inputs_of(some: Iterable[Any]) -> list[Input]:
            return [
                seen.input(
                    (named or row_name)(row),
                    getattr(row, name),
                    unit_of(unit, seen),
                    f"{where}.{name}",
                    *inside,
                    key_of(row),
                )
                for row in some
            ]

        return sum_of(Rows(list(rows(seen)), inputs_of), words)

    return made


def row_name(row: Any) -> str:
    for name in ("name", "symbol", "underlying", "key", "asset_class", "account"):
        if getattr(row, name, None):
            return str(getattr(row, name))
    return key_of(row)


def part_of(model: type[Document], name: str, of: str, title: str, text: str, meaning: str = "") -> None:
    """A share of the document's totals."""

    @figure(model, name, title, fraction, meaning)
    def made(seen: Seen) -> Made:
        report, rows = seen.path.split(".")
        if rows == "by_instrument":  # not every booking is of an instrument
            whole = total(getattr(row, of) for row in seen.root.by_instrument).value
            of_all = seen.input(f"{text} of all instruments", whole, seen.base)
        else:
            of_all = seen.input(
                f"{text} of all", getattr(seen.root.totals, of), seen.base, f"{report}.totals.{of}"
            )
        inputs = [seen.beside(of, text, seen.base), of_all]
        return Made("quotient", f"{text} ÷ {text} of all", inputs)


def belongs(booking: Any, seen: Seen) -> bool:
    """Whether a charge or a flow is of the group that the figure stands in; of the totals all are."""
    key = getattr(seen.holder, "key", "")
    match seen.path.split(".")[1]:
        case "by_month" | "by_year":
            return str(booking.on).startswith(key)
        case "by_instrument":
            return bool((booking.symbol or booking.broker_ref) == key)
        case "by_kind" | "by_account" as group:
            return bool(getattr(booking, group.removeprefix("by_")) == key)
        case _:
            return True


def siblings(
    model: type[Document],
    name: str,
    title: str,
    unit: Unit,
    how: How,
    fields: Sequence[tuple[str, str, Unit]],
    formula: str,
    meaning: str = "",
) -> None:
    """Register a figure that its neighbours in the same row give; each with its text and unit."""

    @figure(model, name, title, unit, meaning)
    def made(seen: Seen) -> Made:
        return Made(how, formula, [seen.beside(field, text, unit_of(of, seen)) for field, text, of in fields])


def at_rate(
    seen: Seen,
    amount: Input,
    currency: str,
    rate: Decimal | None,
    on: date,
    rates: Sequence[RateUsed] = (),
    ledger: Sequence[Ledger] = (),
    source: str = "",
) -> Made:
    """An amount converted into the base currency at the rate of a day; itself where it is in it already."""
    if currency == seen.base:
        return sum_of([amount], f"{amount.name}, which is in {currency} already", ledger=ledger)
    factor = seen.input(f"{seen.base} for one {currency}", rate, "", as_of=on, source=source)
    return Made("product", f"{amount.name} × {factor.name}", [amount, factor], rates, ledger)
