"""Tables of pages as CSV: the rows of the report themselves with every digit, however the page rounds."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpResponse

from stonks_overwatch.reports.documents import Document

# A spreadsheet takes a text that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind; `model` names the columns, also when there is no row."""

    model: type[Document]
    rows: Sequence[Document]


def csv_answer(name: str, table: Table) -> HttpResponse:
    """The table as a file to save. Lists within a row are left out; unknown is an empty cell."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    written = [row.model_dump(mode="json") for row in table.rows]
    columns = [
        column
        for column in table.model.model_fields
        if not any(isinstance(getattr(row, column), tuple) for row in table.rows[:1])
    ]
    writer = csv.writer(answer, lineterminator="\n")
    writer.writerow(columns)
    for row, cells in zip(table.rows, written, strict=True):
        writer.writerow([_cell(getattr(row, column), cells[column]) for column in columns])
    return answer


def _cell(value: Any, text: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Decimal) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if text is None else text
