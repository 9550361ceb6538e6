"""The database file: owner-only, up to date before it is used, copied whole, and put back from a copy."""

import fcntl
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from filelock import FileLock

from stonks_overwatch.errors import BackupError

APP = "stonks_overwatch"
# Of the copies made before imports so many stay; those asked for are the user's to remove.
KEPT_BEFORE_IMPORTS = 5


@dataclass(frozen=True, slots=True)
class Backup:
    """A verified copy. `rows` counts those of each table of ours, by its name without prefix."""

    path: Path
    bytes: int
    rows: dict[str, int]


class _Use:
    """Held, shared, by every process that uses the database, until it ends; restoring needs it alone."""

    def __init__(self) -> None:
        self.file: IO[bytes] | None = None

    def begin(self) -> None:
        if self.file is None:
            self.file = _lock_file()
            fcntl.flock(self.file, fcntl.LOCK_SH)

    def alone(self) -> IO[bytes]:
        """The lock for this process alone. Raises: BackupError when another one uses the database."""
        if self.file is not None:
            self.file.close()
            self.file = None
        file = _lock_file()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            file.close()
            raise BackupError(
                "The database is in use by the app or another command.",
                next_step="End the app (Ctrl-C where it runs), then restore again.",
            ) from err
        return file


_use = _Use()


def _lock_file() -> IO[bytes]:
    folder = settings.DATA_DIR / "locks"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file: IO[bytes] = (folder / "use.lock").open("ab")
    return file


def prepare() -> Path | None:
    """Bring the database up to date; when that changes an existing one, return the copy made first.

    Safe to call from several processes at once: one migrates, the others wait and find nothing to do.
    """
    _use.begin()
    with FileLock(settings.DATA_DIR / "locks" / "migrate.lock"):
        executor = MigrationExecutor(connection)
        if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return None
        copy = backup("before-migration").path if executor.loader.applied_migrations else None
        call_command("migrate", verbosity=0, interactive=False)
        return copy


def backup(reason: str = "", to: Path | None = None) -> Backup:
    """Copy the database, consistent even while it is written to, and verify the copy.

    Args:
        reason: part of its name in data/backups.
        to: another place; nothing may be there yet.

    Raises: BackupError when it cannot be written there, or the copy is not what was copied.
    """
    name = "-".join(part for part in (f"db-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}", reason) if part)
    copy = to or settings.DATA_DIR / "backups" / f"{name}.sqlite3"
    if copy.exists():
        raise BackupError(f"{copy} is there already.", next_step="Name a file that is not there yet.")
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    try:
        if to is None:
            copy.parent.mkdir(exist_ok=True, mode=0o700)
        unfinished.touch(mode=0o600)
    except OSError as err:
        raise BackupError(
            f"{copy} cannot be written ({err.strerror}).", next_step="Name a file in a folder of yours."
        ) from err
    try:
        with (
            closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as source,
            closing(sqlite3.connect(unfinished)) as target,
        ):
            source.execute("BEGIN")  # from here on it sees what the copy gets
            rows = _rows(source)
            source.backup(target)
            if _damage(target) or _rows(target) != rows:
                raise BackupError(
                    f"The copy {copy} is not what was copied; it was removed.",
                    next_step="Check the disk, then try again.",
                )
        unfinished.rename(copy)
    finally:
        unfinished.unlink(missing_ok=True)
    return Backup(copy, copy.stat().st_size, rows)


def backup_before_import() -> None:
    """Copy a database that holds something; remove older copies of this sort but a few."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as opened:
        if not any(_rows(opened).values()):
            return
    newest = backup("before-import").path
    copies = sorted(newest.parent.glob("db-*-before-import.sqlite3"))
    for old in copies[:-KEPT_BEFORE_IMPORTS]:
        old.unlink(missing_ok=True)


def restore(copy: Path) -> Path | None:
    """Put a copy in the place of the database; return where the present one was kept.

    The copy is verified before anything changes; one of an older version is brought up to date first.

    Raises: BackupError when the file is not a whole copy of ours, cannot be brought up to date, or
        something uses the database.
    """
    _verify(copy)
    place = Path(connection.settings_dict["NAME"])
    connection.close()
    with closing(_use.alone()):
        kept = None
        fresh = place.with_name(f"{place.name}.unfinished")
        fresh.touch(mode=0o600)
        try:
            with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(fresh)) as target:
                source.backup(target)
            _bring_up_to_date(fresh, copy)
            if place.exists():
                kept = _kept(place)
                for rest in ("-wal", "-shm"):
                    place.with_name(place.name + rest).unlink(missing_ok=True)
            fresh.replace(place)
        finally:
            fresh.unlink(missing_ok=True)
    prepare()
    return kept


def _bring_up_to_date(fresh: Path, copy: Path) -> None:
    """Migrate what was copied from `copy`.

    Versions between releases had other tables under the same number: those cannot be migrated.

    Raises: BackupError when that does not make it a database of this version.
    """
    usual = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = fresh
    try:
        call_command("migrate", verbosity=0, interactive=False)
        reason = _lacking()
    except DatabaseError as err:
        reason = str(err)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual
    if reason:
        raise BackupError(
            f"{copy} was made by another version and cannot be brought up to date: {reason}.",
            next_step="Restore it with the version that made it, run stonks-overwatch export there, and "
            "import those files here.",
        )


def _lacking() -> str:
    """The first table or column that the database should have and has not; empty when all are there."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for model in apps.get_app_config(APP).get_models():
            table = model._meta.db_table
            if table not in tables:
                return f"it has no table {table}"
            columns = {row.name for row in connection.introspection.get_table_description(cursor, table)}
            for field in model._meta.concrete_fields:
                if field.column not in columns:
                    return f"its table {table} has no column {field.column}"
    return ""


def _kept(place: Path) -> Path:
    """Keep the database that another one takes the place of; one that cannot be read any more as it is."""
    try:
        kept = backup("before-restore").path
        with closing(sqlite3.connect(place)) as present:
            present.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (sqlite3.DatabaseError, BackupError):
        folder = settings.DATA_DIR / "backups"
        folder.mkdir(exist_ok=True, mode=0o700)
        kept = folder / f"damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.sqlite3"
        shutil.copyfile(place, kept)
    return kept


def _verify(copy: Path) -> None:
    foreign = BackupError(
        f"{copy} is not a backup of Stonks Overwatch.",
        next_step="Name a file that stonks-overwatch backup has written; some are in data/backups.",
    )
    if not copy.is_file():
        raise BackupError(f"There is no file {copy}.", next_step="Check its name.")
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            tables = {
                name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            if not {"django_migrations", f"{APP}_account", f"{APP}_activity"} <= tables:
                raise foreign
            applied = opened.execute("SELECT name FROM django_migrations WHERE app = ?", [APP])
            names = {name for (name,) in applied}
            damage = _damage(opened)
    except sqlite3.DatabaseError as err:
        raise foreign from err
    if damage:
        raise BackupError(f"{copy} is damaged: {damage}.", next_step="Restore another copy.")
    known = {name for app, name in MigrationLoader(None).disk_migrations if app == APP}
    if names - known:
        raise BackupError(
            f"{copy} was made by a newer version.", next_step="Update Stonks Overwatch, then restore again."
        )


def _rows(opened: sqlite3.Connection) -> dict[str, int]:
    """How many rows each of our tables has."""
    prefix = f"{APP}_"
    tables = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return {
        name.removeprefix(prefix): opened.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]  # noqa: S608
        for (name,) in tables
        if name.startswith(prefix)
    }


def _damage(opened: sqlite3.Connection) -> str:
    """What SQLite's own check finds wrong; empty when nothing is."""
    found: str = opened.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return "" if found == "ok" else found
