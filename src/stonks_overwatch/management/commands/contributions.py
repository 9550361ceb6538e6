"""`contributions`: what was put in and taken out."""

from typing import Any

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import money, table
from stonks_overwatch.reports.contributions import contributions

NO_FLOWS = "No deposits, withdrawals or transfers are stored of these days."


class Command(PeriodCommand):
    help = "show deposits, withdrawals and transfers by month, instrument and account"

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = contributions(scope, options["start"], options["end"])
        if json:
            self.print_document(document)
            return
        if not document.flows:
            self.stdout.write(NO_FLOWS)
            return
        base = scope.base_currency
        columns = (f">in {base}", f">out {base}", f">net {base}")

        def amounts(row: Any) -> tuple[str, str, str]:
            return money(row.in_base, base), money(row.out_base, base), money(row.gross_base, base)

        months = [(row.key, *amounts(row)) for row in document.by_month]
        self.stdout.write(table(("month", *columns), [*months, ("total", *amounts(document.totals))]))
        for name, rows in (("symbol", document.by_instrument), ("account", document.by_account)):
            if rows:
                self.stdout.write("")
                self.stdout.write(table((name, *columns), [(row.key, *amounts(row)) for row in rows]))
