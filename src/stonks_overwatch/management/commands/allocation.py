"""`allocation`: how NAV is spread."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import ReadingCommand
from stonks_overwatch.management.tables import money, percent, table
from stonks_overwatch.reports.allocation import BY, By, allocation


class Command(ReadingCommand):
    help = "show how the value is spread over asset classes, currencies, countries, ..."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--by", choices=BY, default="asset_class", help="what to group by (asset_class)")

    def handle(self, *, json: bool, by: By, **options: Any) -> None:
        scope = self.scope(options)
        document = allocation(scope, by)
        if json:
            self.print_document(document)
            return
        base = scope.base_currency
        rows = [(row.key, money(row.value_base, base), percent(row.weight)) for row in document.slices]
        rows.append(("total", money(document.total_base, base), ""))
        self.stdout.write(table((by, f">value {base}", ">weight"), rows))
