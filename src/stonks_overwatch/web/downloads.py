"""Tables of pages as CSV: the rows of the report themselves with every digit, however the page rounds."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from django.http import HttpResponse, StreamingHttpResponse

from stonks_overwatch.reports.documents import Document, Rows

# A spreadsheet takes a text that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PORTION = 64 * 1024
_CSV = "text/csv; charset=utf-8"
_Answer = TypeVar("_Answer", HttpResponse, StreamingHttpResponse)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind; `model` names the columns, also when there is no row."""

    model: type[Document]
    rows: Sequence[Document]


def csv_answer(name: str, table: Table) -> HttpResponse:
    """The table as a file to save; unknown is an empty cell. What is a table itself is left out."""
    return _saved(HttpResponse("".join(_lines(table.model, table.rows)), content_type=_CSV), name)


def csv_stream(name: str, model: type[Document], rows: Iterable[Document]) -> StreamingHttpResponse:
    """The same for rows that are still to be read, sent as they come."""
    return _saved(StreamingHttpResponse(_lines(model, rows), content_type=_CSV), name)


def _saved(answer: _Answer, name: str) -> _Answer:
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _lines(model: type[Document], rows: Iterable[Document]) -> Iterator[str]:
    """The file in portions, its columns first."""
    columns = list(_columns(model))
    fields = {column[0] for column in columns}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["_".join(column) for column in columns])
    for row in rows:
        cells = row.model_dump(mode="json", include=fields)
        writer.writerow([_cell(row, cells, column) for column in columns])
        if text.tell() > _PORTION:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _columns(model: type[Document], inside: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The fields of the JSON, those of a part of the row after its name; without tables within the row."""
    for name, field in model.model_fields.items():
        told = _unless_none(field.annotation)
        if field.exclude:
            continue
        if isinstance(told, type) and issubclass(told, Document):
            yield from _columns(told, (*inside, name))
        elif get_origin(told) not in (tuple, Rows) or get_args(told)[0] is str:
            yield (*inside, name)


def _unless_none(told: Any) -> Any:
    """The type of a field that may be unknown."""
    kinds = [kind for kind in get_args(told) if kind is not NoneType]
    return kinds[0] if isinstance(told, UnionType) and len(kinds) == 1 else told


def _cell(row: Any, cells: Any, column: tuple[str, ...]) -> Any:
    """Texts that a spreadsheet would compute get an apostrophe; a list of words is one text."""
    value, text = row, cells
    for name in column:
        if value is None:
            return ""
        value, text = getattr(value, name), text[name]
    if isinstance(text, list):
        text = value = ", ".join(text)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if text is None else text
