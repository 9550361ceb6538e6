"""What a statement says was held when its days ended, apart from what it says happened in them. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from stonks_overwatch.ledger.opening import end_of
from stonks_overwatch.ledger.types import Batch


def states(statement: Batch) -> Iterator[Batch]:
    """Positions, cash and values, a batch for each day with which accounts' days end."""
    days: dict[str, date] = {}
    for period in statement.periods:
        days[period.account] = max(period.until, days.get(period.account, period.until))
    for day in sorted(set(days.values())):
        named = {account for account, last in days.items() if last == day}
        yield replace(
            statement,
            fetched_at=end_of(day),
            accounts=tuple(account for account in statement.accounts if account.account in named),
            positions={account: rows for account, rows in statement.positions.items() if account in named},
            partial_positions=tuple(row for row in statement.partial_positions if row.account in named),
            cash={account: rows for account, rows in statement.cash.items() if account in named},
            values=tuple(value for value in statement.values if value.account in named),
            rates=(),
            prices=(),
            navs=(),
            activities=(),
            periods=(),
            figures=(),
            inbox=(),
        )


def events(statement: Batch) -> Batch:
    """The rest: all that happened, and every figure."""
    return replace(statement, positions={}, partial_positions=(), cash={}, partial_cash=(), values=())
