"""The table of the holdings page: which rows, in which order, in which groups, on which page."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stonks_overwatch.reports.booked import grouped
from stonks_overwatch.reports.combined import Together, matches
from stonks_overwatch.reports.documents import Total, share, total
from stonks_overwatch.reports.holdings import Holding, Valuation, unrealized_return
from stonks_overwatch.web.paging import Sheet

PAGE_SIZE = 80
SEPARATE = "each"  # in place of an account: every account on its own

_ORDER = (
    "stock",
    "etf",
    "fund",
    "bond",
    "option",
    "future",
    "future_option",
    "warrant",
    "structured",
    "cfd",
    "crypto",
    "commodity",
    "cash",
    "other",
)


_KEYS: dict[str, Callable[[Together], Any]] = {
    "name": lambda row: (row.instrument.symbol or row.instrument.name).casefold(),
    "quantity": lambda row: row.quantity,
    "price": lambda row: row.price,
    "value": lambda row: row.market_value_base,
    "cost": lambda row: row.cost_basis_base,
    "pnl": lambda row: row.unrealized_pnl_base,
    "return": unrealized_return,
    "weight": lambda row: row.weight,
}
ORDERS = (
    ("-value", "Largest value first"),
    ("value", "Smallest value first"),
    ("name", "Name, A to Z"),
    ("-name", "Name, Z to A"),
    ("-pnl", "Largest profit first"),
    ("pnl", "Largest loss first"),
    ("-return", "Best return first"),
    ("return", "Worst return first"),
    ("-weight", "Heaviest first"),
    ("weight", "Lightest first"),
    ("-cost", "Largest cost first"),
    ("cost", "Smallest cost first"),
    ("-quantity", "Largest quantity first"),
    ("quantity", "Smallest quantity first"),
    ("-price", "Highest price first"),
    ("price", "Lowest price first"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for, with anything unknown replaced by the default."""

    query: str = ""
    account: str = ""
    asset_class: str = ""
    sort: str = "value"
    descending: bool = True
    page: int = 1

    @property
    def order(self) -> str:
        return f"-{self.sort}" if self.descending else self.sort

    @property
    def reversed(self) -> str:
        return self.sort if self.descending else f"-{self.sort}"

    @property
    def narrows(self) -> bool:
        """Whether rows of the accounts looked at may be left out."""
        return bool(self.query or self.asset_class)

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Asked":
        given = parameters.get("sort", "")
        sort = given.removeprefix("-")
        page = parameters.get("page", "")
        return cls(
            query=parameters.get("q", "").strip(),
            account=parameters.get("account", ""),
            asset_class=parameters.get("class", ""),
            sort=sort if sort in _KEYS else "value",
            descending=given.startswith("-") if sort in _KEYS else True,
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table, with why its figures are unknown where they are."""

    holding: Holding
    unrealized_return: Decimal | None
    account: str  # shown beside the symbol where the rows of several accounts stand in one table
    is_foreign: bool  # whether it is held in another currency than the base currency

    @property
    def is_derivative(self) -> bool:
        row = self.holding
        return row.strike is not None or row.expires_on is not None or row.multiplier != 1

    @property
    def has_exposure(self) -> bool:
        """Whether it moves with more than the value it adds (futures, CFDs)."""
        return self.holding.exposure is not None and self.holding.exposure != self.holding.market_value

    @property
    def why_no_value(self) -> str:
        if self.holding.market_value is None:
            return "The broker sent no value."
        return f"There is no exchange rate of {self.holding.currency} of the last seven days."

    @property
    def why_no_profit(self) -> str:
        if self.holding.cost_basis is None or self.holding.unrealized_pnl is None:
            return "The broker sent no cost or no value."
        if not self.holding.cost_basis:
            return "Nothing was paid for it."
        return self.why_no_value


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one asset class that are on this page, with the sums over all its rows."""

    asset_class: str
    lines: tuple[Line, ...]
    count: int
    is_continued: bool
    market_value: Total
    cost_basis: Total
    unrealized_pnl: Total
    weight: Decimal | None


@dataclass(frozen=True, slots=True)
class Table:
    groups: tuple[Group, ...]
    classes: tuple[tuple[str, int], ...]  # of everything the account filter lets through, with counts
    sheet: Sheet


def table(rows: Iterable[Together], valued: Valuation, asked: Asked) -> Table:
    """The page that is asked for. The rows are those of the accounts asked for, which are `valued`."""
    by_class = grouped(rows, lambda row: row.instrument.asset_class)
    classes = tuple((name, len(by_class[name])) for name in _ORDER if name in by_class)
    chosen = {
        name: _sorted([row for row in by_class[name] if matches(row.instrument, asked.query)], asked)
        for name, _ in classes
        if asked.asset_class in ("", name)
    }
    sheet = Sheet.of([row for found in chosen.values() for row in found], asked.page, PAGE_SIZE)
    start, end = max(sheet.first - 1, 0), sheet.last
    groups = []
    before = 0
    for name, found in chosen.items():
        shown = found[max(start - before, 0) : max(end - before, 0)]
        if shown:
            lines = tuple(
                Line(
                    row,
                    unrealized_return(row),
                    _account(row, by_itself=asked.account == SEPARATE),
                    row.currency != valued.base_currency,
                )
                for row in (one.holding() for one in shown)
            )
            nav_base = valued.totals.nav_base
            groups.append(_group(name, found, lines, nav_base, is_continued=before < start))
        before += len(found)
    return Table(groups=tuple(groups), classes=classes, sheet=sheet)


def filtered(rows: Iterable[Together], asked: Asked) -> list[Holding]:
    """All rows that are asked for, whatever the page, in their order."""
    chosen = [
        row
        for row in rows
        if asked.asset_class in ("", row.instrument.asset_class) and matches(row.instrument, asked.query)
    ]
    return [row.holding() for row in _sorted(chosen, asked)]


def _sorted(rows: list[Together], asked: Asked) -> list[Together]:
    """In the order asked for; rows whose figure is not known come last either way."""
    key = _KEYS[asked.sort]
    keyed = [(key(row), row) for row in rows]
    known = [(value, row) for value, row in keyed if value is not None]
    known.sort(key=lambda pair: pair[0], reverse=asked.descending)
    return [row for _, row in known] + [row for value, row in keyed if value is None]


def _account(row: Holding, *, by_itself: bool) -> str:
    if by_itself:
        return row.account
    number = len(row.account.split(", "))
    return f"in {number} accounts" if number > 1 else ""


def _group(
    name: str, found: list[Together], lines: tuple[Line, ...], nav_base: Decimal | None, *, is_continued: bool
) -> Group:
    market_value = total(row.market_value_base for row in found)
    return Group(
        asset_class=name,
        lines=lines,
        count=len(found),
        is_continued=is_continued,
        market_value=market_value,
        cost_basis=total(row.cost_basis_base for row in found),
        unrealized_pnl=total(row.unrealized_pnl_base for row in found),
        weight=share(market_value.value, nav_base),
    )
