"""What the charts over time draw: decimals as texts, unknown as null, colours by name of the style sheet."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from stonks_overwatch.web.templatetags.figures import plain

Values = Iterable[Decimal | None]


def series(name: str, colour: str, values: Values, currency: str, *, line: bool = False) -> dict[str, Any]:
    """One row of bars (or one line) over the keys of its plot; `colour` is a variable of the style sheet."""
    return {
        "name": name,
        "colour": colour,
        "values": [None if value is None else plain(value, currency) for value in values],
        "line": line,
    }


def over_time(
    kind: str, currency: str, keys: Sequence[str], lines: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Empty without two keys or without a value: then there is nothing to draw."""
    if len(keys) < 2 or all(value is None or not Decimal(value) for one in lines for value in one["values"]):
        return {}
    drawn = [one for one in lines if any(value is None or Decimal(value) for value in one["values"])]
    return {"kind": kind, "currency": currency, "keys": list(keys), "series": drawn}
