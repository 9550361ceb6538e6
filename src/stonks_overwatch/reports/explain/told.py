"""How explanations of one area are told: the decorator that registers them, units, and common shapes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from stonks_overwatch.reports.documents import Document
from stonks_overwatch.reports.explain.documents import How, Input, Ledger, Made, RateUsed
from stonks_overwatch.reports.explain.finding import FIGURES, Figure, Seen, Unit, unit_of

Making = Callable[[Seen], Made]


def base(seen: Seen) -> str:
    return seen.base


def own(seen: Seen) -> str:
    """The currency that the row itself names."""
    return str(seen.holder.currency)


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


def reported(
    formula: str, ledger: Sequence[Ledger] = (), note: str = "", inputs: Sequence[Input] = ()
) -> Made:
    return Made("reported", formula, inputs, (), ledger, note)


def unique(rates: Iterable[RateUsed]) -> list[RateUsed]:
    """Each rate once, in the order in which they first come."""
    return list({(rate.base, rate.quote, rate.for_day): rate for rate in rates}.values())


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
