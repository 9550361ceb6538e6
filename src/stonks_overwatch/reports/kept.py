"""What reports worked out, kept in memory for as long as nothing in the database has changed.

Whether anything has is not told by those who change it, who could forget to: SQLite itself says so. On a
connection that never writes, `PRAGMA data_version` differs as soon as any other connection, of this process
or of another one, has committed anything at all.
"""

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from inspect import signature
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from django.db import connection

from stonks_overwatch.ledger.sql import without_collector

# The answers to the questions of a few pages; each may hold thousands of rows.
MOST_ANSWERS = 24

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class Version(NamedTuple):
    """A state of a database file, equal as long as nothing is committed; `watch` counts the files watched."""

    watch: int
    changes: int


class Watch:
    """Tells the states of a database file apart."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._file: tuple[Path, int] | None = None  # with its number on the disk
        self._opened: sqlite3.Connection | None = None
        self._count = 0

    def version(self, file: Path) -> Version:
        """Raises: OSError, sqlite3.Error when the file is not there or cannot be read."""
        with self._lock:
            found = file, os.stat(file).st_ino  # noqa: PTH116  # a tenth of the time of Path.stat
            if self._opened is None or found != self._file:
                self._file, self._opened = found, self._open(file)
                self._count += 1
            return Version(self._count, self._opened.execute("PRAGMA data_version").fetchone()[0])

    def _open(self, file: Path) -> sqlite3.Connection:
        if self._opened is not None:
            self._opened.close()
        # One thread after the other uses it.
        return sqlite3.connect(file, isolation_level=None, check_same_thread=False)


class Answers:
    """Those of the newest version asked for, the longest unused one going first when there are too many."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._version: Version | None = None
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._turns: WeakValueDictionary[Hashable, Lock] = WeakValueDictionary()

    def turn(self, question: Hashable) -> Lock:
        """For one after the other to hold while it asks, so that the others find what the first worked out.

        Reports ask each other in one direction only: none can wait for itself.
        """
        with self._lock:
            return self._turns.setdefault(question, Lock())

    def of(self, version: Version, question: Hashable) -> tuple[Any] | None:
        with self._lock:
            if version != self._version or question not in self._answers:
                return None
            self._answers.move_to_end(question)
            return (self._answers[question],)

    def keep(self, version: Version, question: Hashable, answer: Any) -> None:
        with self._lock:
            if version != self._version:
                self._version = version
                self._answers.clear()
            self._answers[question] = answer
            if len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)


_watch = Watch()
_answers = Answers()


def version() -> Version | None:
    """The state of the database; None where that cannot be told.

    So it is within a transaction, whose own changes are not committed yet, and for a database in memory.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return None
    try:
        return _watch.version(Path(connection.settings_dict["NAME"]))
    except (OSError, sqlite3.Error):
        return None


def kept(report: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """A report that is worked out once for the same arguments, until anything changes.

    It must depend on its arguments and the database alone. Nobody may change what it returns.
    """
    names = signature(report)

    @wraps(report)
    def answered(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        if version() is None:
            return report(*args, **kwargs)
        asked = names.bind(*args, **kwargs)
        asked.apply_defaults()
        question = report, *asked.arguments.values()
        with _answers.turn(question):
            before = version()
            if before is not None and (known := _answers.of(before, question)):
                found: Answer = known[0]
                return found
            with without_collector():
                answer = report(*args, **kwargs)
            # What changed meanwhile may be in it or not.
            if before is not None and version() == before:
                _answers.keep(before, question, answer)
            return answer

    return answered
