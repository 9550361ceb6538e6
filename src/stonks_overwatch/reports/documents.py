"""What the JSON documents share: how numbers are written, and totals that count what they leave out.

A report returns a frozen model whose JSON form is the document itself: decimals are strings without an
exponent, dates are ISO 8601, unknown is null. Figures as the broker gave them keep every digit;
computed ones (conversions, weights, totals) are rounded to ten decimals, and to cents only when shown.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, PlainSerializer

_COMPUTED_DECIMALS = 10


def exact_text(number: Decimal) -> str:
    """Every digit, no exponent, no trailing zeros: 2.1250 is "2.125", 1E+2 is "100"."""
    written = format(number, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def computed_text(number: Decimal) -> str:
    """The number rounded to ten decimals, written as `exact_text` writes it."""
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -_COMPUTED_DECIMALS:
        return exact_text(number)
    return exact_text(Decimal(format(number, f".{_COMPUTED_DECIMALS}f")))


Exact = Annotated[Decimal, PlainSerializer(exact_text, return_type=str, when_used="json")]
Computed = Annotated[Decimal, PlainSerializer(computed_text, return_type=str, when_used="json")]


class Document(BaseModel):
    """One JSON document, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Total(NamedTuple):
    """A sum and how many of its parts are unknown and therefore not in it.

    `value` is None when there are parts and none of them is known; a sum of no parts is 0.
    """

    value: Decimal | None
    unknown: int


def total(parts: Iterable[Decimal | None]) -> Total:
    value = Decimal(0)
    known = unknown = 0
    for part in parts:
        if part is None:
            unknown += 1
        else:
            known += 1
            value += part
    return Total(None if unknown and not known else value, unknown)


def times(amount: Decimal | None, factor: Decimal | None) -> Decimal | None:
    """The product; None when one of the two is unknown."""
    return None if amount is None or factor is None else amount * factor


def share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """The signed part as a fraction of the whole; None for a whole that is not positive."""
    if part is None or whole is None or whole <= 0:
        return None
    return part / whole
