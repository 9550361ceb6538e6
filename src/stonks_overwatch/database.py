"""The database file before it is used: owner-only, copied when it is about to change shape, up to date."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from filelock import FileLock


def prepare() -> Path | None:
    """Bring the database up to date; when that changes an existing one, return the copy made first.

    Safe to call from several processes at once: one migrates, the others wait and find nothing to do.
    """
    (settings.DATA_DIR / "locks").mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(settings.DATA_DIR / "locks" / "migrate.lock"):
        executor = MigrationExecutor(connection)
        if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return None
        copy = backup("before-migration") if executor.loader.applied_migrations else None
        call_command("migrate", verbosity=0, interactive=False)
        return copy


def backup(reason: str) -> Path:
    """Copy the database, consistent even while it is written to, into data/backups; return the copy."""
    folder = settings.DATA_DIR / "backups"
    folder.mkdir(exist_ok=True, mode=0o700)
    copy: Path = folder / f"db-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{reason}.sqlite3"
    unfinished = copy.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    with (
        closing(sqlite3.connect(connection.settings_dict["NAME"])) as source,
        closing(sqlite3.connect(unfinished)) as target,
    ):
        source.backup(target)
    unfinished.rename(copy)
    return copy
