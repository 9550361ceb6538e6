"""Long tables in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROWS = 30


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of one page, `size` at most. `first` and `last` count from 1 among all `count` rows."""

    rows: Sequence[Any]
    count: int
    page: int
    pages: int
    size: int = ROWS

    @classmethod
    def of(cls, rows: Sequence[Any], page: int, size: int = ROWS) -> "Sheet":
        """A page beyond the last one is the last one."""
        pages = max(1, -(-len(rows) // size))
        page = min(max(page, 1), pages)
        return cls(rows[(page - 1) * size : page * size], len(rows), page, pages, size)

    @property
    def first(self) -> int:
        return (self.page - 1) * self.size + 1 if self.count else 0

    @property
    def last(self) -> int:
        return min(self.page * self.size, self.count)

    @property
    def previous(self) -> int:
        return self.page - 1

    @property
    def next(self) -> int:
        return self.page + 1
