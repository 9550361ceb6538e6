"""`explain`: how one figure of a report came about."""

from typing import Any

from django.core.management.base import CommandParser
from pydantic import ValidationError

from stonks_overwatch import config
from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.management.command import PeriodCommand
from stonks_overwatch.management.tables import UNKNOWN, about, currency, moment, table
from stonks_overwatch.reports.documents import exact_text
from stonks_overwatch.reports.explain import Arguments, Explanation, Input, explain
from stonks_overwatch.reports.explain.asked import asked_in


class Command(PeriodCommand):
    help = "show how a figure came about, like holdings.totals.nav_base: formula, inputs, rates, ledger rows"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "figure",
            metavar="FIGURE",
            help="report and path in its JSON, with dots; or the address of a figure, as a page has it",
        )
        add = parser.add_argument
        add("--row", action="append", metavar="KEY", help="which row of a list; once for each list")
        add("--by", metavar="WHAT", help="for allocation, diversification, targets")
        add("--year", metavar="YEAR", help="for realized")
        add("--method", choices=[m.value for m in Method], help="for holdings, lots, realized")
        add("--benchmark", metavar="NAME", help="for performance, risk and comparison")
        add("--price-return", action="store_true", default=None, help="leave a benchmark's dividends out")
        add("--only", metavar="FIELD=VALUE", help="some holdings alone, for series, performance and risk")
        add("--instrument", metavar="NUMBER", help="for instrument and what_if")
        add("--rate", metavar="FRACTION", help="what option models assume, for exposures")
        add("--dividend-yield", metavar="FRACTION", help="likewise")
        add("--money", metavar="AMOUNT", help="new money, for targets")
        add("--minimum", metavar="AMOUNT", help="smallest order, for targets")
        add("--two-sided", action="store_true", default=None, help="sell too, for targets")
        add("--query", dest="q", metavar="TEXT", help="what holdings are searched for, for their groups")
        add("--each", action="store_true", default=None, help="accounts apart, for groups of holdings")
        add("--sell", metavar="QUANTITY", help="for what_if")
        add("--at", metavar="PRICE", help="for what_if")
        add("--lot", action="append", metavar="PURCHASE", help="closed first, for what_if")
        add("--page", metavar="NUMBER", help="of inputs and rows, 50 at a time")

    def handle(self, *, json: bool, **options: Any) -> None:
        figure, words = asked_in(options["figure"])
        named = {"start": "from", "end": "to"}
        words |= {
            named.get(name, name): value
            for name, value in options.items()
            if value is not None and named.get(name, name) in _WORDS
        }
        try:
            asked = Arguments.model_validate(words)
        except ValidationError as err:
            first = err.errors()[0]
            raise UnknownFigureError(
                f"The argument {'.'.join(map(str, first['loc'][:1]))} cannot be used: {first['msg']}.",
                next_step="See explain --help for the arguments and their forms.",
            ) from None
        document = explain(figure, asked.in_base(config.load().base_currency), asked.page)
        if json:
            self.print_document(document)
        else:
            self.stdout.write(_shown(document))


_WORDS = {field.alias or name for name, field in Arguments.model_fields.items()}


def _shown(document: Explanation) -> str:
    title = f"{document.title}, {document.subject}" if document.subject else document.title
    value = about(_figure(document.value, document.unit), is_estimate=document.is_estimate)
    lines = [f"{title}: {value}", document.meaning]
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
                "" if row.amount is None else _figure(row.amount, row.currency),
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
    code = "" if unit in ("", "fraction") else f" {currency(unit)}"
    return UNKNOWN if value is None else f"{exact_text(value)}{code}"
