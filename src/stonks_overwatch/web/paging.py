"""Long tables in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROWS = 30


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of one page. `first` and `last` count from 1 among all `count` rows."""

    rows: Sequence[Any]
    count: int
    page: int
    pages: int

    @classmethod
    def of(cls, rows: Sequence[Any], page: int) -> "Sheet":
        """A page beyond the last one is the last one."""
        pages = max(1, -(-len(rows) // ROWS))
        page = min(max(page, 1), pages)
        return cls(rows[(page - 1) * ROWS : page * ROWS], len(rows), page, pages)

    @property
    def first(self) -> int:
        return (self.page - 1) * ROWS + 1 if self.count else 0

    @property
    def last(self) -> int:
        return min(self.page * ROWS, self.count)

    @property
    def previous(self) -> int:
        return self.page - 1

    @property
    def next(self) -> int:
        return self.page + 1
