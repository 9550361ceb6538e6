"""Flex XML as a stream of rows, with the guards a file from outside needs.

The standard library's expat reads attributes as fast as Python can take them and keeps nothing. What
XML can do beyond elements and attributes is not used by IBKR and refused here: document types (and
with them every entity), elements nested without end, single tags of any size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO
from xml.parsers import expat

from stonks_overwatch.errors import StatementError

Attributes = dict[str, str]

_CHUNK = 1 << 18
_MAX_TAG = 4 << 20  # the longest real tags, cash reports, have 20 kB
_MAX_DEPTH = 32
_FRAME = {"FlexQueryResponse", "FlexStatements", "FlexStatement"}
_COUNTED = {"count"}  # a section may say how many rows it has


@dataclass(frozen=True, slots=True)
class StatementStart:
    """A `FlexStatement` opens: one account (or all in one), one period."""

    attributes: Attributes


@dataclass(frozen=True, slots=True)
class StatementEnd:
    pass


@dataclass(frozen=True, slots=True)
class QueryStart:
    """The document's own attributes: the query's name and kind."""

    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SectionStart:
    """A section is in the statement, with rows or without."""

    name: str


@dataclass(frozen=True, slots=True)
class Element:
    """One row as it stands: its tag, the section it is in, its attributes, the line it begins on."""

    tag: str
    section: str
    attributes: Attributes
    line: int


Event = StatementStart | StatementEnd | QueryStart | SectionStart | Element


def events(stream: BinaryIO, read: Callable[[int], None]) -> Iterator[Event]:
    """Everything in the file in its order; `read` is told the bytes read so far.

    Raises: StatementError for what is not well-formed or not allowed.
    """
    document = _Document()
    position = 0
    while True:
        chunk = stream.read(_CHUNK)
        position += len(chunk)
        document.feed(chunk)
        yield from document.taken()
        read(position)
        if not chunk:
            return


class _Document:
    def __init__(self) -> None:
        self._events: list[Event] = []
        self._open: list[tuple[str, str]] = []  # tag and the section its children are in
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def feed(self, chunk: bytes) -> None:
        # Editors and mail programs leave blanks before the declaration, where XML allows none.
        if self._fed == 0:
            chunk = chunk.lstrip(b" \t\r\n")
        self._fed += len(chunk)
        try:
            self._parser.Parse(chunk, not chunk)
        except expat.ExpatError as err:
            raise StatementError(
                f"The statement is not complete XML: {expat.errors.messages[err.code]} in line {err.lineno}.",
                next_step="Download the statement again; a file cut off on the way cannot be read.",
            ) from err
        if self._fed - max(self._parser.CurrentByteIndex, 0) > _MAX_TAG + _CHUNK:
            raise StatementError(
                "The statement holds a tag of several megabytes, which no real statement has.",
                next_step="Download the statement again from IBKR.",
            )

    def taken(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken

    def _start(self, tag: str, attributes: Attributes) -> None:
        parent, section = self._open[-1] if self._open else ("", "")
        if len(self._open) >= _MAX_DEPTH:
            raise StatementError(
                "The statement nests its tags without end, which no real statement does.",
                next_step="Download the statement again from IBKR.",
            )
        if tag == "FlexStatement":
            self._events.append(StatementStart(attributes))
        elif tag == "FlexQueryResponse":
            self._events.append(QueryStart(attributes))
        elif tag == "FlexStatementResponse":
            raise StatementError(
                "The file holds IBKR's answer that no statement could be made, not a statement.",
                next_step="Wait a few minutes and download the statement again.",
            )
        elif not parent or tag in _FRAME:
            pass
        elif attributes.keys() - _COUNTED:
            self._events.append(Element(tag, section or tag, attributes, self._parser.CurrentLineNumber))
        else:
            self._events.append(SectionStart(tag))
            section = tag
        self._open.append((tag, section if parent else ""))

    def _end(self, tag: str) -> None:
        self._open.pop()
        if tag == "FlexStatement":
            self._events.append(StatementEnd())

    def _refuse_doctype(self, name: str, *_: object) -> None:
        raise StatementError(
            f"The statement declares a document type ({name[:40]!r}), which no real statement does.",
            next_step="Import only files that were downloaded from IBKR.",
        )
