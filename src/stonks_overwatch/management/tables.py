"""Documents as tables for a terminal."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal

from babel.numbers import get_currency_precision

from stonks_overwatch.ledger.types import UNKNOWN_CURRENCY

UNKNOWN = "unknown"
_ROUNDING = Context(prec=200, rounding=ROUND_HALF_UP)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns with two blanks between them; a name that begins with ">" is aligned to the right."""
    names = [name.removeprefix(">") for name in columns]
    cells = [names, *rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(names))]
    aligned = [
        "  ".join(
            cell.rjust(width) if name.startswith(">") else cell.ljust(width)
            for cell, width, name in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in cells
    ]
    aligned.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(aligned)


def currency(code: str) -> str:
    return "(unknown currency)" if code == UNKNOWN_CURRENCY else code


def money(amount: Decimal | None, currency: str) -> str:
    """Rounded to the currency's own digits, grouped."""
    return _rounded(amount, get_currency_precision(currency))


def about(figure: str, *, is_estimate: bool) -> str:
    return f"~ {figure}" if is_estimate else figure


def number(value: Decimal | None) -> str:
    """A quantity or price with all its digits, at most eight decimals."""
    if value is None:
        return UNKNOWN
    text = _rounded(value, 8)
    return text.rstrip("0").rstrip(".")


def moment(at: datetime | date | None) -> str:
    """A day, or a time in UTC to the minute."""
    if at is None:
        return UNKNOWN
    return f"{at:%Y-%m-%d %H:%M} UTC" if isinstance(at, datetime) else at.isoformat()


def percent(fraction: Decimal | None) -> str:
    return UNKNOWN if fraction is None else f"{_rounded(fraction * 100, 2)} %"


def _rounded(value: Decimal | None, digits: int) -> str:
    if value is None:
        return UNKNOWN
    rounded = _ROUNDING.quantize(value, Decimal(1).scaleb(-digits))
    return f"{rounded or abs(rounded):,f}"  # never -0.00
