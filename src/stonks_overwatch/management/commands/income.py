"""`income`: dividends and interest."""

from typing import Any

from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import money, percent, table
from stonks_overwatch.reports.income import income

NO_INCOME = "No income is stored of these days. Run stonks-overwatch sync for the latest."


class Command(PeriodCommand):
    help = "show dividends and interest by month, instrument and account, and what is to come"

    def handle(self, *, json: bool, **options: Any) -> None:
        scope = self.scope(options)
        document = income(scope, options["start"], options["end"])
        if json:
            self.print_document(document)
            return
        if not document.payments:
            self.stdout.write(NO_INCOME)
            return
        base = scope.base_currency
        columns = (f">gross {base}", f">tax {base}", f">net {base}")

        def amounts(row: Any) -> tuple[str, str, str]:
            return money(row.gross_base, base), money(row.tax_base, base), money(row.net_base, base)

        months = [(row.key, *amounts(row)) for row in document.by_month]
        self.stdout.write(table(("month", *columns), [*months, ("total", *amounts(document.totals))]))
        self.stdout.write("")
        instruments = [(row.symbol, str(row.payments), *amounts(row)) for row in document.by_instrument]
        self.stdout.write(table(("symbol", ">payments", *columns), instruments))
        self.stdout.write("")
        accounts = [(row.key, *amounts(row)) for row in document.by_account]
        self.stdout.write(table(("account", *columns), accounts))
        if document.expected:
            self.stdout.write("")
            expected = [
                (row.on.isoformat(), row.status, row.account, row.symbol, money(row.net_base, base))
                for row in document.expected
            ]
            self.stdout.write(table(("expected", "status", "account", "symbol", f">net {base}"), expected))
        self.stdout.write("")
        self.stdout.write(
            f"yield {percent(document.totals.trailing_yield)}, "
            f"on cost {percent(document.totals.yield_on_cost)}, "
            f"growth of 12 months {percent(document.totals.growth)}"
        )
