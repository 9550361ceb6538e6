"""`reconcile`: our figures held against the broker's own."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import UNKNOWN, number, percent, table
from stonks_overwatch.reports.broker_returns import BrokerReturnsDocument, broker_returns
from stonks_overwatch.reports.reconcile import AccountLines, reconcile_anew


class Command(PeriodCommand):
    help = "compare NAV, cash, positions, gains, income and costs with what the broker reports"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--differences", action="store_true", help="show only what differs")

    def handle(self, *, json: bool, **options: Any) -> None:
        scope, days = self.scope(options), (options["start"], options["end"])
        document = reconcile_anew(scope, *days)
        if json:
            self.print_document(document)
            return
        parts = [shown(account, only_differences=options["differences"]) for account in document.accounts]
        if document.unread:
            parts.append(f"{document.unread.what} {document.unread.next_step}")
        returns = broker_returns(scope, *days)
        if returns.returns:
            parts.append(shown_returns(returns))
        self.stdout.write("\n\n".join(parts) or self.nothing(scope))


def shown(account: AccountLines, *, only_differences: bool = False) -> str:
    rounded = sum(line.within is not None for line in account.lines)
    result = "agrees" if account.agrees else "does not agree"
    if not account.compared:
        result = "nothing to compare"
    title = (
        f"{account.account}: {result}{f' ({rounded} within the rounding of the broker)' if rounded else ''}"
    )
    rows = [
        (
            line.what,
            number(line.computed),
            number(line.reported),
            number(line.difference),
            f"within the rounding of the broker's {line.within}" if line.within else "",
        )
        for line in account.lines
        if not (only_differences and line.agrees)
    ]
    return f"{title}\n{table(('', '>computed', '>reported', '>difference', ''), rows)}" if rows else title


def shown_returns(document: BrokerReturnsDocument) -> str:
    rows = [
        (
            row.account,
            f"{row.start} to {row.end}",
            percent(row.computed),
            percent(row.reported),
            UNKNOWN if row.basis_points is None else f"{row.basis_points:.2f}",
            row.why,
        )
        for row in document.returns
    ]
    columns = ("account", "time-weighted return", ">computed", ">reported", ">basis points", "")
    return table(columns, rows)
