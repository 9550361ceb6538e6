"""Numbers and days as people type them into a form or an address; what is of no use is left out, and said."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from stonks_overwatch.errors import UnusableInputError
from stonks_overwatch.web.templatetags.figures import day as written
from stonks_overwatch.web.templatetags.figures import quantity

_IN_GROUPS = re.compile(r"([+-]?)([0-9]{1,3}(?:,[0-9]{3})+)(\.[0-9]*)?")
_IN_GROUPS_OF_POINTS = re.compile(r"([+-]?)([0-9]{1,3}(?:\.[0-9]{3})+)(,[0-9]*)")
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_MOST_CHARACTERS = 40


def number(text: str) -> Decimal | None:
    """A number with a point or a comma before its decimals; in groups as the pages write them (5,000 is
    five thousand), or with points between the groups where a comma follows. None for what is no number.
    """
    typed = re.sub(r"[\s'’]", "", text).replace("−", "-")
    if grouped := _IN_GROUPS.fullmatch(typed):
        typed = typed.replace(",", "")
    elif grouped := _IN_GROUPS_OF_POINTS.fullmatch(typed):
        typed = grouped[1] + grouped[2].replace(".", "") + grouped[3]
    typed = typed.replace(",", ".")
    return Decimal(typed) if _PLAIN.fullmatch(typed) and len(typed) <= _MOST_CHARACTERS else None


class Reading:
    """Reads fields one by one; `refused` says what of them could not be used."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self.refused: list[UnusableInputError] = []

    def days(self) -> tuple[date | None, date | None]:
        """The fields `from` and `to`; both are left out when they are the wrong way round."""
        start, end = self._day("from"), self._day("to")
        if start is None or end is None or start <= end:
            return start, end
        self.refuse(
            f"The days end ({written(end)}) before they begin ({written(start)}), so they are left out.",
            "Choose a first day that is not after the last one.",
        )
        return None, None

    def number(self, name: str, title: str, lowest: Decimal, highest: Decimal) -> Decimal | None:
        """The field as a number between the two; `title` is what the page calls it."""
        text = self._fields.get(name, "").strip()
        if not text:
            return None
        typed = number(text.removesuffix("%"))
        if typed is not None and lowest <= typed <= highest:
            return typed
        self.refuse(
            f"{title} cannot be {_short(text)!r}, so it is left out.",
            f"Type a number from {quantity(lowest)} to {quantity(highest)}, for example 12.5.",
        )
        return None

    def refuse(self, what: str, next_step: str) -> None:
        self.refused.append(UnusableInputError(what, next_step=next_step))

    def _day(self, name: str) -> date | None:
        text = self._fields.get(name, "").strip()
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            self.refuse(
                f"{_short(text)!r} is not a day, so it is left out.",
                "Choose the day in the form, or write it as 2026-12-31.",
            )
            return None


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
