"""Tables of pages as CSV: the rows of the report themselves with every digit, however the page rounds."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse

from stonks_overwatch.reports.documents import Document

# A spreadsheet takes a text that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PORTION = 64 * 1024


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


def csv_stream(name: str, model: type[Document], rows: Iterable[Document]) -> StreamingHttpResponse:
    """The same for rows that are still to be read, sent as they come; every column of the model."""
    columns = [column for column, field in model.model_fields.items() if not field.exclude]

    def lines() -> Iterator[str]:
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            cells = row.model_dump(mode="json")
            writer.writerow([_cell(getattr(row, column), cells[column]) for column in columns])
            if line.tell() > _PORTION:
                yield line.getvalue()
                line.seek(0)
                line.truncate()
        yield line.getvalue()

    answer = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _cell(value: Any, text: Any) -> Any:
    """Texts that a spreadsheet would compute get an apostrophe; a list of words is one text."""
    if isinstance(text, list):
        return ", ".join(map(str, text))
    if isinstance(value, str) and not isinstance(value, Decimal) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if text is None else text
