"""What statements tell of each model portfolio of an account, made what the account has.

IBKR calls the portfolio of what is in no model "Independent"; a row that names none is of the whole account.
"""

from collections import defaultdict
from decimal import Decimal

from stonks_overwatch.services.brokers.ibkr.statements import words
from stonks_overwatch.services.brokers.ibkr.statements.rows import Row, RowError

_STATES = frozenset(
    {
        "OpenPosition", "CashReportCurrency", "EquitySummaryByReportDateInBase", "InterestAccrualsCurrency",
        "ChangeInNAV",
    }
)  # fmt: skip
_SAME = ("conid", "isin", "symbol", "currency", "reportDate", "fromDate", "toDate")
# The same of each part, and what no sum can tell.
_OF_EACH = frozenset({"markPrice"})
_OF_NONE = {"costBasisPrice": "", "openPrice": "", "twr": "", "model": ""}

_Key = tuple[object, ...]


class Portfolios:
    """Rows that wait until all is read: the parts of one thing can stand anywhere in a statement."""

    def __init__(self) -> None:
        self._parts: defaultdict[_Key, list[tuple[str, Row]]] = defaultdict(list)
        self._whole: set[_Key] = set()

    def keep(self, row: Row, account: str) -> bool:
        """Whether the row is of one portfolio alone, and so waits."""
        if row.tag not in _STATES or (row.text("levelOfDetail") or "").upper() == "LOT":
            return False
        key = (row.statement.number, account, row.tag, *map(row.text, _SAME))
        if row.text("model") is None:
            self._whole.add(key)
            return False
        self._parts[key].append((account, row))
        return True

    def summed(self) -> list[tuple[str, Row]]:
        """One row of the account for the parts of each thing, with its account."""
        return [
            (parts[0][0], _sum([row for _, row in parts]))
            for key, parts in self._parts.items()
            if key not in self._whole
        ]

    @property
    def repeats(self) -> int:
        """How many rows are parts of what another row tells as a whole."""
        return sum(len(parts) for key, parts in self._parts.items() if key in self._whole)


def _sum(rows: list[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    told: dict[str, str] = {}
    for name in dict.fromkeys(name for row in rows for name in row.told):
        if name in words.NOT_FIGURES or name in _OF_EACH or name in _OF_NONE:
            continue
        try:
            numbers = [row.number(name) for row in rows]
        except RowError:
            continue  # a word, the same in each
        told[name] = format(sum((number for number in numbers if number is not None), Decimal(0)), "f")
    return rows[0].with_fields(**told, **_OF_NONE)
