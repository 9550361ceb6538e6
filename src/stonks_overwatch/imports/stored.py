"""What a reader of files tells of one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, how many there are."""


class Refusal(NamedTuple):
    """Why one row cannot be used, and the line that it begins on."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stored:
    """How many rows a file has, how many brought something new, how many were known.

    Rows in `inbox` are kept as they came and shown to the user; they stop nothing. Where a row is refused,
    all that was stored of the file is taken back. `since` and `until` are the first and last day that the
    file tells of.
    """

    kind: str
    rows: int
    new: int = 0
    known: int = 0
    refused: tuple[Refusal, ...] = ()
    since: date | None = None
    until: date | None = None
    inbox: tuple[Refusal, ...] = ()
    note: str = ""  # something the user should know of the file as a whole
