"""`explain`: how one figure of a report came about."""

from typing import Any, get_args

from django.core.management.base import CommandParser

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import moment, table
from stonks_overwatch.reports.allocation import By
from stonks_overwatch.reports.documents import exact_text
from stonks_overwatch.reports.explain import Arguments, Explanation, Input, explain


class Command(PeriodCommand):
    help = "show how a figure came about, like holdings.totals.nav_base: formula, inputs, rates, ledger rows"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("figure", metavar="FIGURE", help="report and path in its JSON, with dots")
        parser.add_argument(
            "--row",
            action="append",
            default=[],
            metavar="KEY",
            help="which row of a list; once for each list",
        )
        parser.add_argument("--by", choices=get_args(By), default="asset_class", help="for allocation")
        parser.add_argument("--year", type=int, help="for realized")
        parser.add_argument(
            "--method", choices=[m.value for m in Method], help="for holdings, lots, realized"
        )
        parser.add_argument("--benchmark", metavar="NAME", default="", help="for performance and risk")
        parser.add_argument("--instrument", type=int, metavar="NUMBER", help="for instrument")
        parser.add_argument("--page", type=int, default=1, help="of inputs and rows, 50 at a time")

    def handle(self, *, json: bool, **options: Any) -> None:
        arguments = Arguments(
            scope=self.scope(options),
            start=options["start"],
            end=options["end"],
            by=options["by"],
            year=options["year"],
            method=Method(options["method"]) if options["method"] else None,
            benchmark=options["benchmark"],
            instrument=options["instrument"],
            rows=tuple(options["row"]),
        )
        document = explain(options["figure"], arguments, options["page"])
        if json:
            self.print_document(document)
        else:
            self.stdout.write(_shown(document))


def _shown(document: Explanation) -> str:
    title = f"{document.title}, {document.subject}" if document.subject else document.title
    lines = [f"{title}: {_figure(document.value, document.unit)}", document.meaning]
    lines += [f"{document.how}: {document.formula}", document.note]
    parts = [line for line in lines if line]
    if document.inputs:
        parts.append("")
        columns = ("input", ">value", "as of", "source")
        parts.append(table(columns, [_row(one) for one in document.inputs]))
    parts += [
        f"rate: {exact_text(rate.rate)} {rate.quote} for one {rate.base} of {rate.on}, {rate.source}"
        for rate in document.rates
    ]
    if document.rows:
        parts.append("")
        rows = [
            (
                moment(row.on),
                row.account,
                row.what,
                "" if row.quantity is None else exact_text(row.quantity),
                "" if row.amount is None else f"{exact_text(row.amount)} {row.currency}",
                row.source,
            )
            for row in document.rows
        ]
        parts.append(table(("on", "account", "row", ">quantity", ">amount", "source"), rows))
    if document.pages > 1:
        parts.append(f"page {document.page} of {document.pages}")
    return "\n".join(parts)


def _row(one: Input) -> tuple[str, str, str, str]:
    return one.name, _figure(one.value, one.unit), moment(one.as_of) if one.as_of else "", one.source


def _figure(value: Any, unit: str) -> str:
    return "unknown" if value is None else f"{exact_text(value)} {'' if unit == 'fraction' else unit}".strip()
