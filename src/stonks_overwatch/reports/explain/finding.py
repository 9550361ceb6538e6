"""From the name of a figure to its place in a report's document.

The name is the report's and the path in its JSON: `holdings.totals.nav_base`. Where the path goes through a
list, the argument `row` says which element, by its key (keys.py); of several lists, one `row` each.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.allocation import By
from stonks_overwatch.reports.daily import DailyTotal, daily_total
from stonks_overwatch.reports.documents import Document, Rows
from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Input, Made, RateUsed
from stonks_overwatch.reports.explain.keys import key_of, name_of
from stonks_overwatch.reports.explain.used import Wanted, rates_used
from stonks_overwatch.reports.holdings import Valuation, ValuedPosition, valuation
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import accounts

_Made = TypeVar("_Made")


def by_of(arguments: Arguments) -> By:
    """What the groups of allocation and diversification are groups of; only targets know instruments."""
    return "asset_class" if arguments.by == "instrument" else arguments.by


class Reports:
    """What explanations of one request read, each at most once; `name` is the figure's, of none the whole."""

    def __init__(self, arguments: Arguments, name: str = "") -> None:
        self.arguments = arguments
        self.name = name
        self._found: dict[Hashable, Any] = {}

    def once(self, what: Hashable, make: Callable[[], _Made]) -> _Made:
        """What `make` gives, made the first time that the same is asked for."""
        if what not in self._found:
            self._found[what] = make()
        made: _Made = self._found[what]
        return made

    def asks_for(self, part: str) -> bool:
        """Whether the figure is in this part of its report; of the report as a whole every part is."""
        return self.name.startswith(part) or part.startswith(f"{self.name}.") or not self.name

    @cached_property
    def accounts(self) -> list[Account]:
        return accounts(self.arguments.scope)

    @cached_property
    def valued(self) -> Valuation:
        return valuation(self.arguments.scope, self.arguments.method)

    @cached_property
    def daily(self) -> DailyTotal | None:
        return daily_total(self.arguments.scope, self.arguments.group)

    def rates(self, first: date, last: date) -> Rates:
        return self.once((first, last), lambda: Rates.between(first, last))


@dataclass(frozen=True)
class Seen:
    """One figure at its place: `holder` is the document that it is a field of, `path` names that document."""

    arguments: Arguments
    reports: Reports
    root: Any
    holder: Any
    path: str
    rows: tuple[str, ...]
    field: str
    value: Decimal | None
    parents: tuple[Any, ...] = ()
    key: str = ""  # of the day, where the figure is one of a list of numbers

    @property
    def base(self) -> str:
        return self.arguments.base

    @property
    def valued(self) -> Valuation:
        return self.reports.valued

    def positions(self, broker: str, reference: str) -> list[ValuedPosition]:
        """Those in one instrument, one for each account."""
        return [
            one
            for one in self.valued.positions
            if (one.held.broker_ref, one.account.broker) == (reference, broker)
        ]

    def beside(self, name: str, text: str, unit: str, **more: Any) -> Input:
        """Another figure of the same document, as an input."""
        return self.input(text, getattr(self.holder, name), unit, f"{self.path}.{name}", *self.rows, **more)

    def input(
        self,
        text: str,
        value: Decimal | None,
        unit: str,
        figure: str = "",
        *rows: str,
        asked: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Input:
        """`figure` is the input's own name where it is a figure of a report, in the rows named."""
        where = self.arguments.address(figure, *rows, **(asked or {})) if figure else None
        return Input(name=text, value=value, unit=unit, explanation=where, **more)

    def account(self, broker: str | None, account: str) -> Account:
        """The row of an account by its names; some documents name the account alone."""
        return next(
            row for row in self.reports.accounts if row.account == account and broker in (None, row.broker)
        )

    def rates_used(self, currency: str, into: str, on: date) -> list[RateUsed]:
        """Where the rate of a day is from; none between a currency and itself."""
        return self.every_rate_used([(currency, into, on)])

    def every_rate_used(self, wanted: Iterable[Wanted]) -> list[RateUsed]:
        """The same of several currencies and days, each once."""
        needed = [one for one in wanted if one[0] != one[1]]
        days = [on for _, _, on in needed]
        return rates_used(self.reports.rates(min(days), max(days)), needed) if days else []


Unit = str | Callable[[Seen], str]
"""A currency, "fraction" or nothing, or how to find out which."""


def unit_of(unit: Unit, seen: Seen) -> str:
    return unit if isinstance(unit, str) else unit(seen)


@dataclass(frozen=True, slots=True)
class Figure:
    """What is told of a field of a class of documents."""

    title: str
    meaning: str
    unit: Unit
    made: Callable[[Seen], Made]
    value: Callable[[Any], Decimal | None] | None = field(default=None)  # of what the JSON does not hold


FIGURES: dict[tuple[type[Document], str], Figure] = {}
REPORTS: dict[str, Callable[[Arguments, Reports], Document]] = {}


def figure_of(document: Document, name: str) -> Figure | None:
    """What is told of a field, by the class of the document or one that it extends."""
    for model in type(document).__mro__:
        found = FIGURES.get((model, name))
        if found is not None:
            return found
    return None


def figures_of(document: Document) -> list[str]:
    """The fields of a document that are figures, in their order."""
    extra = [name for model, name in FIGURES if isinstance(document, model)]
    ordered = [name for name in type(document).model_fields if name in extra]
    return [*ordered, *(name for name in extra if name not in ordered)]


def find(name: str, arguments: Arguments) -> Seen:
    """The place of a figure; of a row as a whole, with an empty `field`.

    Raises: UnknownFigureError.
    """
    report, *fields = name.split(".")
    if report not in REPORTS:
        raise UnknownFigureError(
            f"There is no report {report}.", next_step=f"Begin with one of these: {', '.join(REPORTS)}."
        )
    reports = Reports(arguments, name)
    root = REPORTS[report](arguments, reports)
    holder: Any = root
    parents: list[Any] = []
    path, keys = report, list(arguments.row)
    used: list[str] = []
    for place, step in enumerate(fields):
        is_last = place == len(fields) - 1
        figure = figure_of(holder, step)
        if is_last and figure is not None:
            value = figure.value(holder) if figure.value else getattr(holder, step)
            key = ""
            if isinstance(value, tuple):
                key = _next(keys, name)
                value = _of_day(holder, value, key, name)
            rest = tuple(used)
            return Seen(arguments, reports, root, holder, path, rest, step, value, tuple(parents), key)
        inner = getattr(holder, step, None) if step in type(holder).model_fields else None
        if isinstance(inner, (tuple, Rows)):
            key = _next(keys, name)
            inner = _element(inner, key, name)
            used.append(key)
        if not isinstance(inner, Document):
            raise UnknownFigureError(
                f"{path} has no figure {step}.", next_step=f"It has these: {', '.join(_names(holder))}."
            )
        parents.append(holder)
        holder, path = inner, f"{path}.{step}"
    return Seen(arguments, reports, root, holder, path, tuple(used), "", None, tuple(parents))


def _names(document: Document) -> list[str]:
    inner = [
        name
        for name in type(document).model_fields
        if isinstance(getattr(document, name), (Document, tuple, Rows)) and name not in figures_of(document)
    ]
    return [*figures_of(document), *inner]


def _next(keys: list[str], name: str) -> str:
    if not keys:
        raise UnknownFigureError(
            f"{name} is one figure in each row of a list.", next_step="Say which row with the argument row."
        )
    return keys.pop(0)


def _element(rows: Sequence[Any], key: str, name: str) -> Any:
    told = rows.named(key) if isinstance(rows, Rows) else rows
    found = next((row for row in told if isinstance(row, Document) and key_of(row) == key), None)
    if found is None:
        some = ", ".join(key_of(row) for row in rows[:5] if isinstance(row, Document))
        raise UnknownFigureError(
            f"{name} has no row {key}.",
            next_step=f"Its first rows are: {some}." if some else "It has no rows at all.",
        )
    return found


def _of_day(holder: Any, values: Sequence[Any], key: str, name: str) -> Any:
    days = [on.isoformat() for on in holder.dates]
    if key not in days:
        raise UnknownFigureError(
            f"{name} has no day {key}.",
            next_step=f"Its days are from {days[0]} to {days[-1]}." if days else "It has no days at all.",
        )
    return values[days.index(key)]


def subject(seen: Seen) -> str:
    """What the figure is of, as a reader calls it; empty for the whole."""
    of = getattr(seen.root, "symbol", "")  # a document that is of one instrument
    parts = [name_of(row) for row in (*seen.parents[1:], seen.holder) if seen.rows]
    return " · ".join(part for part in [of, *parts, seen.key] if part)
