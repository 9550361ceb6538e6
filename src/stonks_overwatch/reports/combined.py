"""Holdings of several accounts as one row per instrument."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal

from stonks_overwatch.reports.holdings import Holding

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


def combined(rows: Iterable[Holding]) -> list[Holding]:
    """One holding per instrument of a broker, in the order in which the instruments first come.

    Amounts are summed and unknown as soon as one part is; the price is the newest; `account` names all
    accounts. The average cost is weighted by quantity; where one account is long and another short there
    is none.
    """
    held: dict[tuple[str, str], list[Holding]] = defaultdict(list)
    for row in rows:
        held[row.broker, row.broker_ref].append(row)
    return [parts[0] if len(parts) == 1 else _summed(parts) for parts in held.values()]


def _summed(parts: list[Holding]) -> Holding:
    newest = max(parts, key=lambda part: (part.price is not None, _moment(part.price_as_of)))
    return newest.model_copy(
        update={
            "account": ", ".join(part.account for part in parts),
            "average_cost": _average_cost(parts),
            **{name: _sum([getattr(part, name) for part in parts]) for name in _SUMS},
        }
    )


def _sum(values: list[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if len(known) == len(values) else None


def _average_cost(parts: list[Holding]) -> Decimal | None:
    quantity = _sum([part.quantity for part in parts])
    costs = [
        None if part.quantity is None or part.average_cost is None else part.quantity * part.average_cost
        for part in parts
    ]
    cost = _sum(costs)
    one_side = len({(part.quantity or 0) > 0 for part in parts}) == 1
    return cost / quantity if one_side and quantity and cost is not None else None


def _moment(value: datetime | date | None) -> datetime:
    if value is None:
        return datetime.min.replace(tzinfo=UTC)
    return value if isinstance(value, datetime) else datetime.combine(value, time.max, UTC)


def matches(row: Holding, query: str) -> bool:
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
