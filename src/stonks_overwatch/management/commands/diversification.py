"""`diversification`: how NAV is spread, down to the holding, and how concentrated it is."""

from typing import Any

from django.core.management.base import CommandParser

from stonks_overwatch.management.command import ReadingCommand
from stonks_overwatch.management.tables import UNKNOWN, money, percent, table
from stonks_overwatch.reports.allocation import BY, By
from stonks_overwatch.reports.diversification import diversification


class Command(ReadingCommand):
    help = "show how the value is spread, down to the single holding, and how concentrated it is"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--by", choices=BY, default="asset_class", help="what to group by (asset_class)")

    def handle(self, *, json: bool, by: By, **options: Any) -> None:
        scope = self.scope(options)
        document = diversification(scope, by)
        if json:
            self.print_document(document)
            return
        if not document.groups:
            self.stdout.write(self.nothing(scope))
            return
        base = scope.base_currency
        rows = []
        for group in document.groups:
            rows.append((group.key, money(group.value_base, base), percent(group.weight)))
            rows += [
                (f"  {member.symbol or member.name}", money(member.value_base, base), percent(member.weight))
                for member in group.members
            ]
        rows.append(("total", money(document.total_base, base), ""))
        self.stdout.write(table((by, f">value {base}", ">weight"), rows))
        self.stdout.write("")
        positions = document.positions
        effective = UNKNOWN if positions.effective is None else f"{positions.effective:.1f}"
        self.stdout.write(
            f"{positions.count} positions, as concentrated as {effective} equal ones; "
            f"the ten largest are {percent(positions.top_10)}; "
            f"{by} unknown: {percent(document.unknown_weight)}"
        )
