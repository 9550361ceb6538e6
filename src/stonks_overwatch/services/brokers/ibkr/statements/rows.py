"""One row of a statement with its fields read as what they are.

IBKR writes everything as text and "nothing" in several ways; here it becomes a Decimal, a date, a
currency in its major unit, or None. What cannot be read raises RowError and sends the row to the inbox.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from re import compile as pattern

from stonks_overwatch.ledger.types import currency
from stonks_overwatch.services.brokers.ibkr.statements import words
from stonks_overwatch.services.brokers.ibkr.statements.dates import Dates
from stonks_overwatch.services.brokers.ibkr.statements.elements import Attributes

NULLS = frozenset({"", "-", "--", "---", "N/A", "n/a", "MULTI", "null"})
_GROUPED = pattern(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ONE = Decimal(1)
_HUNDREDTH = Decimal("0.01")
# Hundredths of a currency that are written as if they were one.
_MINOR_UNITS = {"GBX": "GBP", "GBp": "GBP", "ILA": "ILS", "ZAC": "ZAR", "ZAc": "ZAR"}
_PERSONAL = frozenset({"AccountInformation"})


class RowError(Exception):
    """Why a row cannot be typed."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement says about itself; `number` counts the statements of a file."""

    number: int
    account: str | None
    since: date | None
    until: date | None
    generated_at: datetime | None

    def is_later_than(self, other: "Statement") -> bool:
        """Whether its last day is later, or the same and it comes later in the file."""
        return (self.until or date.min, self.number) > (other.until or date.min, other.number)


OUTSIDE = Statement(0, None, None, None, None)
"""Stands for the statement of rows that are in none."""


class Row:
    """One element. Names given together are spellings of one field; the first that holds something counts."""

    __slots__ = ("_attributes", "_dates", "line", "section", "statement", "tag", "told")

    def __init__(
        self,
        tag: str,
        section: str,
        attributes: Attributes,
        statement: Statement,
        dates: Dates,
        line: int = 1,
    ) -> None:
        self.tag = tag
        self.section = section
        self.told = {name: value for name, value in attributes.items() if value not in NULLS}
        self._attributes = attributes
        self.line = line
        self.statement = statement
        self._dates = dates

    def text(self, name: str, *others: str) -> str | None:
        value = self.told.get(name)
        if value is None:
            return next((text for other in others if (text := self.told.get(other)) is not None), None)
        return value

    def ident(self, name: str, *others: str) -> str | None:
        """A number that IBKR gave; None for words that users put there before they pass a file on."""
        text = self.text(name, *others)
        return text if text and any(map(str.isdigit, text)) and text.strip("0") else None

    def number(self, name: str, *others: str) -> Decimal | None:
        """Raises: RowError for what is no finite number."""
        text = self.text(name, *others)
        if text is None:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation as err:
            if not _GROUPED.fullmatch(text):
                raise RowError(f"{name} {text!r} is not a number") from err
            value = Decimal(text.replace(",", ""))
        if not value.is_finite():
            raise RowError(f"{name} {text!r} is not a number")
        return value or abs(value)  # -0 is 0

    def day(self, name: str, *others: str) -> date | None:
        """Raises: RowError for what is no date."""
        text = self.text(name, *others)
        if text is None:
            return None
        try:
            return self._dates.day(text)
        except ValueError as err:
            raise RowError(f"{name}: {err}") from err

    def moment(self, name: str, time: str | None = None) -> tuple[date | None, datetime | None]:
        """The day, and the moment in UTC where a time is told with it or beside it. Raises: RowError."""
        text = self.text(name)
        if text is None:
            return None, None
        try:
            return self._dates.moment(text, self.text(time) if time else None)
        except ValueError as err:
            raise RowError(f"{name}: {err}") from err

    def currency(self, name: str = "currency") -> tuple[str, Decimal] | None:
        """The currency in its major unit and what one unit of the written one is in it (pence: 0.01).

        None for none and for `BASE_SUMMARY`, the account's own. Raises: RowError for what is no currency.
        """
        code = self.told.get(name)
        if code is None or code == words.ALL_CURRENCIES:
            return None
        try:
            return _major(code)
        except ValueError as err:
            raise RowError(f"{name}: {err}") from err

    def renamed(self, tag: str) -> "Row":
        """The same fields under the tag that says what they are: a `Trade` can be a closed lot."""
        return Row(tag, self.section, self._attributes, self.statement, self._dates, self.line)

    def with_fields(self, **fields: str) -> "Row":
        """The same row with some fields told otherwise."""
        attributes = self._attributes | fields
        return Row(self.tag, self.section, attributes, self.statement, self._dates, self.line)

    def raw(self) -> str:
        """The row as text for the inbox; of rows that hold a person's data only the names of the fields."""
        if self.tag in _PERSONAL:
            return f"<{self.tag} {' '.join(self._attributes)}>"
        fields = " ".join(f'{name}="{value}"' for name, value in self._attributes.items())
        return f"<{self.tag} {fields}>"


@cache
def _major(code: str) -> tuple[str, Decimal]:
    """Raises: ValueError for what is no currency."""
    return (_MINOR_UNITS[code], _HUNDREDTH) if code in _MINOR_UNITS else (currency(code), _ONE)
