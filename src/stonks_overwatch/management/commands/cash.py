"""`cash`: cash by currency over time."""

from typing import Any

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import money, percent, table
from stonks_overwatch.reports.balances import cash_over_time


class Command(PeriodCommand):
    help = "show cash by currency now and at the end of each month"

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = cash_over_time(scope, options["start"], options["end"])
        if json:
            self.print_document(document)
            return
        base = scope.base_currency
        if not document.days and not document.now:
            self.stdout.write(self.nothing(scope))
            return
        if document.now:
            rows = [
                (
                    row.account,
                    row.currency,
                    money(row.amount, row.currency),
                    money(row.amount_base, base),
                    percent(row.weight),
                )
                for row in document.now
            ]
            total = ("total", "", "", money(document.total_base, base), "")
            self.stdout.write(table(("account", "cur", ">amount", f">{base}", ">weight"), [*rows, total]))
            self.stdout.write("")
        months = [
            (
                row.on.isoformat(),
                row.currency,
                money(row.amount, row.currency),
                money(row.amount_base, base),
            )
            for row in document.balances
            if row.amount is None or row.amount
        ]
        self.stdout.write(table(("day", "cur", ">amount", f">{base}"), months))
