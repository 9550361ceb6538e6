"""Looks at everything that a sync needs, and says what to do about what is wrong."""

import dataclasses
import shlex
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

from django.conf import settings
from django.db import DatabaseError, transaction

from stonks_overwatch import config, database, paths, sync
from stonks_overwatch.errors import ConfigError
from stonks_overwatch.ledger.models import SyncRun
from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Finding
from stonks_overwatch.services.brokers.ibkr import credentials

LITTLE_SPACE = 500 * 2**20
NO_SPACE = 50 * 2**20


def everything(broker: str | None) -> list[Finding]:
    """All checks: the configuration, the logins of one broker or of all, the data folder."""
    # The pace of calls is kept in the database, so that has to work before a broker is asked.
    configuration, data = list(of_config()), list(of_data())
    if any(finding.status == "error" for finding in data):
        return [*configuration, *data]
    return [*configuration, *of_logins(broker), *data]


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


def of_logins(broker: str | None) -> Iterator[Finding]:
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
        else:
            findings += brokers.load("ibkr").check(login)
        for finding in findings:
            check = f"{finding.check} ({login.name})" if login.name else finding.check
            yield dataclasses.replace(finding, check=check)


def of_data() -> Iterator[Finding]:
    file = settings.DATABASES["default"]["NAME"]
    try:
        database.prepare()
        with transaction.atomic():
            SyncRun.objects.create(status="failed", started_at=datetime.now(UTC))
            transaction.set_rollback(True)
        yield Finding("database", "ok", f"{file} can be written.")
    except DatabaseError as err:
        yield Finding(
            "database",
            "error",
            f"{file} cannot be written: {err}.",
            "Check the rights of the data folder, or put a copy from its backups in the database's place.",
        )
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
