"""How a figure came about: its formula, what went into it, the rates used and the ledger rows behind it.

Every figure of a report has a name, the path in the report's JSON (finding.py), and is told of by the class
of the document that it stands in: positions.py and its neighbours register one function per figure, which
gathers the inputs from the reports themselves. Nothing is computed a second time: the inputs give the value.
"""

from importlib import import_module
from pkgutil import iter_modules

from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Explanation, How, Input, LedgerRow, Made, RateUsed
from stonks_overwatch.reports.explain.finding import (
    FIGURES,
    REPORTS,
    Seen,
    figure_of,
    figures_of,
    find,
    subject,
    unit_of,
)

__all__ = [
    "FIGURES",
    "PAGE",
    "REPORTS",
    "Arguments",
    "Explanation",
    "How",
    "Input",
    "LedgerRow",
    "RateUsed",
    "explain",
]

PAGE = 50
# Each module of the package registers its figures.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def explain(figure: str, arguments: Arguments, page: int = 1, size: int = PAGE) -> Explanation:
    """The explanation of one figure, or of all figures of one row.

    Args:
        figure: its name, like `holdings.holdings.market_value_base`; of a row without the last part.
        arguments: what the report is asked, and the keys of the rows.
        page: of the inputs and the ledger rows, from 1; one beyond the last is the last.
        size: how many of each are on a page.

    Raises: UnknownFigureError, UnknownAccountError.
    """
    seen = find(figure, arguments)
    told = figure_of(seen.holder, seen.field) if seen.field else None
    made = told.made(seen) if told else _row(seen)
    counts = [ledger.count() for ledger in made.ledger]
    longest = max(len(made.inputs), sum(counts))
    pages = max(1, -(-longest // size))
    page = min(max(page, 1), pages)
    start, end = (page - 1) * size, page * size
    keys = (*seen.rows, seen.key) if seen.key else seen.rows
    return Explanation(
        figure=figure,
        address=arguments.address(figure, *keys),
        title=told.title if told else "All figures",
        subject=subject(seen),
        value=seen.value,
        is_estimate=made.is_estimate and seen.value is not None,
        unit=unit_of(told.unit, seen) if told else "",
        as_of=getattr(seen.root, "as_of", None),
        meaning=told.meaning if told else "",
        formula=made.formula,
        how=made.how,
        note=made.note or _why_unknown(seen, made),
        inputs=tuple(made.inputs[start:end]),
        inputs_count=len(made.inputs),
        rates=tuple(made.rates),
        rows=tuple(_rows(made, counts, start, end)),
        rows_count=sum(counts),
        page=page,
        pages=pages,
    )


def _row(seen: Seen) -> Made:
    """All figures of one row, each with its own explanation."""
    inputs = []
    for name in figures_of(seen.holder):
        told = figure_of(seen.holder, name)
        value = getattr(seen.holder, name, None)
        if told is None or isinstance(value, tuple):
            continue
        if told.value:
            value = told.value(seen.holder)
        inputs.append(
            seen.input(told.title, value, unit_of(told.unit, seen), f"{seen.path}.{name}", *seen.rows)
        )
    return Made("listed", "each figure has its own explanation", inputs)


def _why_unknown(seen: Seen, made: Made) -> str:
    if not seen.field or seen.value is not None:
        return ""
    missing = [one.name for one in made.inputs if one.value is None]
    if not missing:
        return "Unknown: no source tells it."
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"Unknown, because of what is unknown: {', '.join(missing[:3])}{more}."


def _rows(made: Made, counts: list[int], start: int, end: int) -> list[LedgerRow]:
    """The part of all ledger rows, one list after the other."""
    found: list[LedgerRow] = []
    before = 0
    for ledger, count in zip(made.ledger, counts, strict=True):
        first, last = max(start - before, 0), min(end - before, count)
        if first < last:
            found += ledger.page(first, last)
        before += count
    return found
