"""Holdings of several accounts as one row per instrument."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple

from stonks_overwatch.reports.booked import grouped
from stonks_overwatch.reports.documents import known_sum, times
from stonks_overwatch.reports.holdings import Holding, ValuedPosition
from stonks_overwatch.reports.state import Held

_SUMS = (
    "quantity",
    "market_value",
    "market_value_base",
    "exposure",
    "exposure_base",
    "cost_basis",
    "cost_basis_base",
    "unrealized_pnl",
    "unrealized_pnl_base",
    "realized_pnl_base",
    "weight",
)
_SUMMED = attrgetter(*_SUMS)


class Together(NamedTuple):
    """The positions in one instrument of a broker; sums are unknown as soon as one part is.

    Of a thousand only those that are shown become a holding.
    """

    parts: Sequence[ValuedPosition]

    @property
    def instrument(self) -> Held:
        """For what is the same in all of them."""
        return self.parts[0].held

    @property
    def quantity(self) -> Decimal | None:
        return known_sum(part.held.quantity for part in self.parts)

    @property
    def price(self) -> Decimal | None:
        return max((part.held for part in self.parts), key=_is_newer).price

    @property
    def market_value_base(self) -> Decimal | None:
        return known_sum(part.market_value_base for part in self.parts)

    @property
    def cost_basis(self) -> Decimal | None:
        return known_sum(part.held.cost_basis for part in self.parts)

    @property
    def cost_basis_base(self) -> Decimal | None:
        return known_sum(part.cost_basis_base for part in self.parts)

    @property
    def unrealized_pnl(self) -> Decimal | None:
        return known_sum(part.held.unrealized_pnl for part in self.parts)

    @property
    def unrealized_pnl_base(self) -> Decimal | None:
        return known_sum(part.unrealized_pnl_base for part in self.parts)

    @property
    def weight(self) -> Decimal | None:
        return known_sum(part.weight for part in self.parts)

    def holding(self) -> Holding:
        return as_one([part.holding() for part in self.parts])


def together(positions: Iterable[ValuedPosition]) -> list[Together]:
    """By instrument of a broker, in the order in which the instruments first come."""
    return list(map(Together, grouped(positions, lambda one: one.held.instrument_id).values()))


def combined(rows: Iterable[Holding]) -> list[Holding]:
    """One holding per instrument of a broker, in the order in which the instruments first come.

    Amounts are summed and unknown as soon as one part is; the price is the newest; `account` names all
    accounts. The average cost is weighted by quantity; where one account is long and another short there
    is none.
    """
    return [as_one(parts) for parts in grouped(rows, lambda row: (row.broker, row.broker_ref)).values()]


def as_one(parts: list[Holding]) -> Holding:
    """The holdings of one instrument as one row, see `combined`."""
    if len(parts) == 1:
        return parts[0]
    newest = max(parts, key=_is_newer)
    columns = zip(*map(_SUMMED, parts), strict=True)
    sums = {name: known_sum(column) for name, column in zip(_SUMS, columns, strict=True)}
    return Holding.made(
        {
            **vars(newest),
            "account": ", ".join([part.account for part in parts]),
            "average_cost": _average_cost(parts, sums["quantity"]),
            **sums,
            "realized_is_estimate": sums["realized_pnl_base"] is not None
            and any(part.realized_is_estimate for part in parts),
        }
    )


def _average_cost(parts: list[Holding], quantity: Decimal | None) -> Decimal | None:
    if not quantity or len({(part.quantity or 0) > 0 for part in parts}) > 1:
        return None
    cost = known_sum(times(part.quantity, part.average_cost) for part in parts)
    return None if cost is None else cost / quantity


def _is_newer(row: Holding | Held) -> tuple[bool, datetime]:
    """Greater for the row whose price is to be shown."""
    return row.price is not None, _moment(row.price_as_of)


def _moment(value: datetime | date | None) -> datetime:
    if value is None:
        return datetime.min.replace(tzinfo=UTC)
    return value if isinstance(value, datetime) else datetime.combine(value, time.max, UTC)


def matches(row: Holding | Held, query: str) -> bool:
    """Whether every word of the query stands somewhere in what identifies the instrument."""
    words = query.casefold().split()
    if not words:
        return True
    texts = (
        row.symbol,
        row.name,
        row.description,
        row.isin,
        row.broker_ref,
        row.underlying_symbol,
        row.currency,
        row.exchange,
        row.country,
        row.sector,
        row.right,
    )
    text = " ".join(part for part in texts if part).casefold()
    return all(word in text for word in words)
