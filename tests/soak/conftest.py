"""Syncs in a database of their own, against a sandbox of their own, with a clock that does not wait."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import DateTimeField, F
from pytest_django import DjangoDbBlocker

from stonks_overwatch.ledger.opening import end_of
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrCall, IbkrPenalty
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox

_OF_THE_BROKER = {"trade_at", "opened_at"}
"""Moments that the broker tells: they are what they are."""
_END_OF_DAY = end_of(date.min).time()
"""So is the day of which a statement tells what was held."""


class Clock:
    """Stands where the pacer looks at the clock and sleeps: a wait is over at once, and time has passed.

    What was written down is put back by as much, so that it is as long ago as it would be.
    """

    def __init__(self) -> None:
        self.slept = 0.0
        self._skipped = 0.0
        self._sandbox: Sandbox | None = None

    def follow(self, sandbox: Sandbox) -> None:
        """Let the sandbox go by this clock too."""
        self._sandbox = sandbox

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self._skip(seconds)
        ago = timedelta(seconds=seconds)
        IbkrCall.objects.update(last_at=F("last_at") - ago)
        IbkrPenalty.objects.update(blocked_until=F("blocked_until") - ago)

    def pass_time(self, ago: timedelta) -> None:
        """Let everything that is stored be older by this."""
        self._skip(ago.total_seconds())
        for model in apps.get_app_config("stonks_overwatch").get_models():
            moments = [
                field.name
                for field in model._meta.fields
                if isinstance(field, DateTimeField) and field.name not in _OF_THE_BROKER
            ]
            for name in moments:
                movable = model._default_manager.exclude(**{f"{name}__time": _END_OF_DAY})
                movable.update(**{name: F(name) - ago})

    def _skip(self, seconds: float) -> None:
        self._skipped += seconds
        if self._sandbox is not None:
            self._sandbox.pass_time(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stood = Clock()
    monkeypatch.setattr(pace, "time", stood)
    return stood


class Database:
    """The database of the process, in files that can be copied and gone back to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.empty = folder / "empty.sqlite3"
        with closing(sqlite3.connect(connection.settings_dict["NAME"])) as tables:
            self._copy(tables, self.empty)

    @contextmanager
    def use(self, start: Path) -> Iterator[None]:
        """Work in a copy of a file, which is left behind at the end."""
        connection.close()
        before, file = connection.settings_dict["NAME"], self._folder / "run.sqlite3"
        for rest in self._folder.glob("run.sqlite3*"):
            rest.unlink()
        shutil.copy(start, file)
        connection.settings_dict["NAME"] = file
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = before

    def save(self, name: str) -> Path:
        """Keep what there is now, to start from."""
        file = self._folder / f"{name}.sqlite3"
        connection.ensure_connection()
        self._copy(connection.connection, file)
        return file

    @staticmethod
    def _copy(source: sqlite3.Connection, file: Path) -> None:
        with closing(sqlite3.connect(file)) as target:
            source.backup(target)


@pytest.fixture(scope="session")
def database(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Database:
    """For tests that unblock the database themselves."""
    with django_db_blocker.unblock():
        return Database(tmp_path_factory.mktemp("soak"))
