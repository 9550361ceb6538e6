"""Gets a figure back out of its explanation alone, as a reader with a calculator would."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from statistics import NormalDist
from typing import Any

Inputs = Sequence[tuple[str, Decimal | None, date | datetime | None]]
"""Name, value, and the day it is of."""

_NORMAL = NormalDist()
_FUNCTIONS = {
    # What a calculator makes of a whole number may lie a digit below it.
    "floor": lambda number: math.floor(number + 1e-9),
    "exp": math.exp,
    "ln": math.log,
    "sqrt": math.sqrt,
    "N": _NORMAL.cdf,
    "n": _NORMAL.pdf,
}
_SIGNS = {"×": "*", "÷": "/", "−": "-", "+": "+", "^": "**", "²": "**2", "(": "(", ")": ")", " ": ""} | {
    "⌊": "floor(",
    "⌋": ")",
}


def recombined(how: str, formula: str, inputs: Inputs, title: str, value: Decimal) -> Decimal | None:
    """The figure; `value` alone for equations, if they hold with it. None where an input is unknown."""
    values = [number for _, number, _ in inputs]
    known = [number for number in values if number is not None]
    if how == "sum":
        return sum(known, Decimal(0))
    if len(known) < len(values) or not values:
        return None
    if how in _HOW:
        return _HOW[how](known)
    names = _named(inputs)
    match how:
        case "root":
            return _root(inputs, value)
        case "formula":
            return Decimal(repr(_evaluated(formula, names)))
        case "equation":
            names[title.lower()] = [float(value)]
            equation, _, where = formula.partition(", where ")
            sides = [_evaluated(f"{side}, where {where}", names) for side in equation.split(" = ")]
            return value if math.isclose(*sides, rel_tol=1e-9) else None
    raise AssertionError(f"unknown how: {how}")


_ONE = Decimal(1)
_HOW: dict[str, Callable[[list[Decimal]], Decimal | None]] = {
    "difference": lambda known: known[0] - sum(known[1:], Decimal(0)),
    "product": lambda known: math.prod(known, start=_ONE),
    "quotient": lambda known: known[0] / known[1] if known[1] else None,
    "change": lambda known: known[0] / known[1] - 1 if known[1] else None,
    "linked": lambda known: math.prod((1 + one for one in known), start=_ONE) - 1,
}


def _root(inputs: Inputs, rate: Decimal) -> Decimal | None:
    """The rate, if a shift by a ten-millionth to both sides turns the sign of the sum."""
    days = [on.date() if isinstance(on, datetime) else on for _, _, on in inputs]
    first = days[0]
    assert first is not None

    def worth(shift: float) -> float:
        return math.fsum(
            float(flow or 0) / (1 + float(rate) + shift) ** ((on - first).days / 365)
            for (_, flow, _), on in zip(inputs, days, strict=True)
            if on is not None
        )

    return rate if worth(-1e-7) * worth(1e-7) <= 0 else None


def _named(inputs: Inputs) -> dict[str, list[float]]:
    names: dict[str, list[float]] = {}
    for name, value, _ in inputs:
        names.setdefault(name, []).append(float(value or 0))
    return names


def _evaluated(formula: str, names: dict[str, list[float]]) -> float:
    """Arithmetic over names, with what stands after "where" worked out first, the last of it last."""
    words, _, where = formula.partition(", where ")
    told = dict(names)
    pending = [part.partition(" = ") for part in where.split(" and ") if part]
    while pending:
        later = []
        for name, equals, meaning in pending:
            try:
                told[name] = [_arithmetic(meaning, told)]
            except LookupError:
                later.append((name, equals, meaning))
        assert len(later) < len(pending), f"not explained: {later}"
        pending = later
    return _arithmetic(words, told)


def _arithmetic(words: str, names: dict[str, list[float]]) -> float:
    """Raises: LookupError for a word that nothing names."""
    longest = sorted(names, key=len, reverse=True)
    python, place = "", 0
    values: dict[str, float] = {}
    while place < len(words):
        rest = words[place:]
        summed = rest.startswith("Σ ")
        if summed:
            rest = rest[2:]
        name = next((one for one in longest if _begins(rest, one)), None)
        if name is not None:
            after = rest[len(name) :]
            squared = summed and after.startswith("²")
            key = f"v{len(values)}"
            numbers = names[name]
            assert summed or len(numbers) == 1, f"{name} is named once and given {len(numbers)} times"
            values[key] = sum(one * one for one in numbers) if squared else sum(numbers)
            python += key
            place += len(name) + 2 * summed + squared
        elif found := re.match(r"\d+(\.\d+)?", rest):
            python, place = python + found[0], place + len(found[0])
        elif found := re.match(r"√\s*(\d+|\w[\w ]*)?", rest):
            python, place = _rooted(python, rest, names, values, place)
        elif found := re.match(r"(exp|ln|N|n)\(", rest):
            python, place = python + found[0], place + len(found[0])
        elif rest[0] in _SIGNS:
            python, place = python + _SIGNS[rest[0]], place + 1
        else:
            raise LookupError(rest)
    result: Any = eval(python, {"__builtins__": {}}, {**_FUNCTIONS, **values})
    return float(result)


def _rooted(
    python: str, rest: str, names: dict[str, list[float]], values: dict[str, float], place: int
) -> tuple[str, int]:
    """√ of a number, a name, or what stands in parentheses."""
    if rest[1] == "(":
        return f"{python}sqrt", place + 1
    number = re.match(r"\d+", rest[1:])
    name = (
        number[0]
        if number
        else next(one for one in sorted(names, key=len, reverse=True) if _begins(rest[1:], one))
    )
    key = f"v{len(values)}"
    values[key] = math.sqrt(float(name) if number else names[name][0])
    return python + key, place + 1 + len(name)


def _begins(text: str, name: str) -> bool:
    """Whether the text begins with the name, and the name ends there."""
    return text.startswith(name) and not re.match(r"[A-Za-z0-9]", text[len(name) :])
