"""Looks at everything that a sync needs, and says what to do about what is wrong."""

import dataclasses
import errno
import shlex
import shutil
import socket
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from stonks_overwatch import config, database, paths, sync
from stonks_overwatch.errors import ConfigError
from stonks_overwatch.ledger.models import SyncRun
from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Finding
from stonks_overwatch.services.brokers.ibkr import credentials

LITTLE_SPACE = 500 * 2**20
NO_SPACE = 50 * 2**20
LONGEST_WAIT_MS = 3_000  # for a database that somebody else writes to
HOST = "127.0.0.1"


def everything(broker: str | None, port: int) -> list[Finding]:
    """All checks: the configuration, the logins of one broker or of all, the data folder, the port."""
    # The pace of calls is kept in the database, so that has to work before a broker is asked.
    data = list(of_data())
    is_usable = all(finding.status != "error" for finding in data)
    return [*of_connection(broker, may_ask=is_usable), *data, of_port(port)]


def of_connection(broker: str | None, *, may_ask: bool = True) -> list[Finding]:
    """The configuration and the logins; a broker is asked only if `may_ask`."""
    logins = list(of_logins(broker, may_ask=may_ask))
    # What is open to others is told by the login's own checks too.
    told = {f"{finding.what} {finding.next_step}" for finding in logins}
    return [*(finding for finding in of_config() if finding.what not in told), *logins]


def of_config() -> Iterator[Finding]:
    file = paths.config_file()
    if not config.exists():
        missing = sync.no_configuration()
        yield Finding("config", "error", missing.what, missing.next_step)
        return
    try:
        loaded = config.load()
    except ConfigError as err:
        yield Finding("config", "error", err.what, err.next_step)
        return
    yield Finding("config", "ok", f"{file} is understood.")
    for notice in loaded.notices:
        yield Finding("config", "warning", notice)


def of_logins(broker: str | None, *, may_ask: bool) -> Iterator[Finding]:
    """The checks of each login: what is stored first, then, when that is whole, the broker itself."""
    try:
        logins = config.load().ibkr if broker in (None, "ibkr") else ()
    except ConfigError:
        return  # said by of_config
    for login in (login for login in logins if login.enabled):
        findings = credentials.findings(login)
        if any(finding.status == "error" for finding in findings):
            step = "Correct what is said above, then run doctor again."
            findings.append(Finding("login", "error", "It was not tried.", step))
        elif may_ask:
            findings += brokers.load("ibkr").check(login)
        for finding in findings:
            check = f"{finding.check} ({login.name})" if login.name else finding.check
            yield dataclasses.replace(finding, check=check)


def of_data() -> Iterator[Finding]:
    yield _database()
    folder = settings.DATA_DIR
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        step = f"Type: chmod 700 {shlex.quote(str(folder))}"
        yield Finding("data folder", "warning", f"{folder} can be read by others.", step)
    free = shutil.disk_usage(folder).free
    space = f"{free // 2**20:,} MB are free where {folder} is."
    if free >= LITTLE_SPACE:
        yield Finding("disk", "ok", space)
    else:
        yield Finding("disk", "error" if free < NO_SPACE else "warning", space, "Make room on this disk.")


def _database() -> Finding:
    file = Path(connection.settings_dict["NAME"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {LONGEST_WAIT_MS}")
            (state,) = cursor.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            return _damaged(file)
        database.prepare()
        with transaction.atomic():
            SyncRun.objects.create(status="failed", started_at=datetime.now(UTC))
            transaction.set_rollback(True)
    except DatabaseError as err:
        return _database_problem(file, err)
    except OSError as err:
        return Finding(
            "database",
            "error",
            f"{err.filename or file} cannot be written: {err.strerror}.",
            f"Check the rights and the free space of {settings.DATA_DIR}.",
        )
    return Finding("database", "ok", f"{file} can be written.")


def _database_problem(file: Path, err: DatabaseError) -> Finding:
    text = str(err)
    if "locked" in text:
        return Finding(
            "database",
            "error",
            f"{file} is locked: another program has written to it for {LONGEST_WAIT_MS // 1000} seconds.",
            "Wait for a sync or backup that is at work, or end the other program that has the file open.",
        )
    if "not a database" in text or "malformed" in text:
        return _damaged(file)
    if "full" in text:
        return Finding(
            "database", "error", f"{file} cannot be written: the disk is full.", "Make room on this disk."
        )
    return Finding(
        "database",
        "error",
        f"{file} cannot be written: {err}.",
        f"Check the rights and the free space of {settings.DATA_DIR}.",
    )


def _damaged(file: Path) -> Finding:
    backups = sorted((settings.DATA_DIR / "backups").glob("db-*.sqlite3"))
    put_back = "move it away and sync again"
    if backups:
        put_back = f"type `stonks-overwatch restore {shlex.quote(str(backups[-1]))}`"
    return Finding("database", "error", f"{file} is damaged.", f"Stop the app, then {put_back}.")


def of_port(port: int) -> Finding:
    """Whether the app could listen there, or does."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
    except OSError as err:
        if _is_our_app(port):
            return Finding("port", "ok", f"The app runs at http://{HOST}:{port}.")
        why = "another program listens there" if err.errno == errno.EADDRINUSE else err.strerror
        step = f"Start the app on another one: make run port={port + 1} (or run --port {port + 1})."
        return Finding("port", "warning", f"Port {port} cannot be used: {why}.", step)
    return Finding("port", "ok", f"Port {port} is free for the app.")


def _is_our_app(port: int) -> bool:
    asking = HTTPConnection(HOST, port, timeout=2)
    try:
        asking.request("GET", "/welcome")
        return b"Stonks Overwatch" in asking.getresponse().read(4096)
    except (OSError, HTTPException):
        return False
    finally:
        asking.close()
