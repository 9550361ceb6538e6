"""`fees`: fees and taxes."""

from typing import Any

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import money, percent, table
from stonks_overwatch.reports.fees import fees

NO_FEES = "No fees and taxes are stored of these days. Run stonks-overwatch sync for the latest."


class Command(PeriodCommand):
    help = "show fees and taxes by month, kind, instrument and account"

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = fees(scope, options["start"], options["end"])
        if json:
            self.print_document(document)
            return
        if not document.charges:
            self.stdout.write(NO_FEES)
            return
        base = scope.base_currency
        columns = (f">fees {base}", f">taxes {base}", f">together {base}")

        def amounts(row: Any) -> tuple[str, str, str]:
            return money(row.gross_base, base), money(row.tax_base, base), money(row.net_base, base)

        months = [(row.key, *amounts(row)) for row in document.by_month]
        self.stdout.write(table(("month", *columns), [*months, ("total", *amounts(document.totals))]))
        groups = (
            ("kind", document.by_kind),
            ("symbol", document.by_instrument),
            ("account", document.by_account),
        )
        for name, rows in groups:
            self.stdout.write("")
            self.stdout.write(table((name, *columns), [(row.key, *amounts(row)) for row in rows]))
        self.stdout.write("")
        self.stdout.write(
            f"{percent(document.totals.of_value)} of the average value, "
            f"{percent(document.totals.of_value_yearly)} a year"
        )
