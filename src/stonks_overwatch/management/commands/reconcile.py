"""`reconcile`: our figures held against the broker's own."""

from typing import Any

from stonks_overwatch.management.command import ReadingCommand
from stonks_overwatch.management.tables import NOTHING, number, table
from stonks_overwatch.reports.reconcile import AccountLines, reconcile


class Command(ReadingCommand):
    help = "compare NAV, cash and quantities with what the broker reports"

    def handle(self, *, json: bool, **options: Any) -> None:
        document = reconcile(self.scope(options))
        if json:
            self.print_document(document)
        else:
            self.stdout.write("\n\n".join(shown(account) for account in document.accounts) or NOTHING)


def shown(account: AccountLines) -> str:
    title = f"{account.account}: {'agrees' if account.agrees else 'does not agree'}"
    rows = [
        (line.what, number(line.computed), number(line.reported), number(line.difference))
        for line in account.lines
    ]
    return f"{title}\n{table(('', '>computed', '>reported', '>difference'), rows)}"
