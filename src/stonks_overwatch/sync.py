"""One run of one login, and when the next one is due.

A run is: fetch, keep what came, transform it, store it. Keeping and storing are one transaction each, so
a run that is killed leaves the last good state or the new one. Its row in SyncRun says how far it is.
"""

import logging
import time
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from urllib.parse import quote

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from filelock import FileLock, Timeout

from stonks_overwatch import config, paths
from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerMaintenanceError,
    BrokerTimeoutError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    ConfigError,
    CredentialsRefusedError,
    DatabaseUnusableError,
    InternalError,
    StonksError,
    SyncInterruptedError,
    SyncRunningError,
    UnreadRowsError,
)
from stonks_overwatch.imports import flex_files
from stonks_overwatch.ledger import store
from stonks_overwatch.ledger.models import Import, SyncRun
from stonks_overwatch.ledger.store import Counts
from stonks_overwatch.redaction import redact
from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Broker, Progress, Raw

log = logging.getLogger(__name__)

# These pass by themselves and cost the broker nothing, so the next try comes soon.
PASSING = {
    BrokerUnreachableError.code,
    BrokerTimeoutError.code,
    BrokerUnavailableError.code,
    BrokerMaintenanceError.code,
}
LONGEST_PAUSE = timedelta(hours=4)
SECONDS_BETWEEN_PROGRESS = 0.3


class Login(Protocol):
    """What a run needs to know of any broker's login."""

    @property
    def name(self) -> str: ...
    @property
    def start_date(self) -> date: ...
    @property
    def update_frequency_minutes(self) -> int: ...


def logins(broker: str | None = None) -> list[tuple[str, Login]]:
    """The enabled logins of the configuration, of one broker or of all. Raises: ConfigError."""
    loaded = config.load()
    return [
        (name, login)
        for name in brokers.BROKERS
        if broker in (None, name)
        for login in getattr(loaded, name)
        if login.enabled
    ]


def no_configuration() -> ConfigError:
    return ConfigError(
        f"There is no configuration yet: {paths.config_file()} does not exist.",
        next_step=f"Copy {paths.config_template()} there and fill in your credentials, or let "
        "`stonks-overwatch ibkr-setup` do it with you.",
    )


def run(broker: str, login: Login, progress: Progress = lambda *_: None) -> SyncRun:
    """Sync one login once. An error does not leave this function: it is in the row that is returned.

    Raises: SyncRunningError when this login is at work already, in whichever process.
    """
    with _hold(broker, login.name):
        close_interrupted(broker, login.name)
        row = SyncRun.objects.create(
            broker=broker, login=login.name, status="running", started_at=datetime.now(UTC)
        )
        try:
            _run(row, login, progress)
        finally:
            if row.status == "running":  # Ctrl-C, or the end of the process
                _fail(row, SyncInterruptedError())
        return row


def _run(row: SyncRun, login: Login, progress: Progress) -> None:
    try:
        broker = brokers.load(row.broker)
        recorder = _recorder(row, progress)
        raw = broker.fetch(login, login.start_date, recorder)
        counts = _store(broker, raw)
        for part in broker.history(login, login.start_date, recorder):
            counts = counts.and_past(_store(broker, part))
            raw.failures += part.failures
    except StonksError as err:
        _fail(row, err)
    except DatabaseError as err:
        log.exception("the database failed during a sync")
        _fail(
            row,
            DatabaseUnusableError(
                f"The database cannot be used: {err}.",
                next_step=f"Check the free space and the rights of {settings.DATA_DIR}, then sync again.",
            ),
        )
    except Exception as err:  # the top of a run: whatever it was, it is recorded and shown
        log.exception("a sync met a mistake in the program")
        _fail(
            row,
            InternalError(
                f"The program made a mistake ({type(err).__name__}); the stored data is unchanged.",
                next_step=f"Report it with the end of {settings.DATA_DIR / 'logs' / 'stonks-overwatch.log'}.",
            ),
        )
    else:
        row.accounts = counts.accounts
        row.positions = counts.positions
        row.activities_new = counts.activities_new
        row.activities_known = counts.activities_known
        row.inbox = counts.inbox
        _end(row, raw)


def _store(broker: Broker, raw: Raw) -> Counts:
    """Keep what came, and bring it into the ledger; of what nothing could be read is one of its failures."""
    broker.keep(raw)
    batch = broker.transform(raw)
    counts = store.record(batch)
    raw.failures += [UnreadRowsError(account, meant) for account, meant in batch.unread()]
    return counts


def _recorder(row: SyncRun, progress: Progress) -> Progress:
    """Hands each step on, and writes it to the row a few times a second at most."""
    written_at = 0.0

    def record(step: str, done: int, total: int) -> None:
        nonlocal written_at
        progress(step, done, total)
        row.step, row.steps_done, row.steps_total = step, done, total
        if time.monotonic() - written_at >= SECONDS_BETWEEN_PROGRESS:
            row.save(update_fields=["step", "steps_done", "steps_total"])
            written_at = time.monotonic()

    return record


def _end(row: SyncRun, raw: Raw) -> None:
    row.status = "partial" if raw.failures else "ok"
    row.step = ""
    row.finished_at = datetime.now(UTC)
    if raw.failures:
        _describe(row, raw.failures)
    row.save()
    log.info("sync of %s ended: %s", _title(row.broker, row.login), row.status)


def _fail(row: SyncRun, error: StonksError) -> None:
    row.status = "failed"
    row.finished_at = datetime.now(UTC)
    _describe(row, [error])
    row.save()


def _describe(row: SyncRun, errors: list[StonksError]) -> None:
    """What happened of all errors, the code and next step of the first, the earliest time to try again."""
    first = errors[0]
    row.error_code = first.code
    row.error_what = redact(" ".join(dict.fromkeys(error.what for error in errors)))
    row.error_next_step = redact(first.next_step)
    row.retry_at = max(
        (error.retry_at for error in errors if isinstance(error, BrokerBusyError)), default=None
    )
    for error in errors:
        log.warning("sync of %s: %s: %s", _title(row.broker, row.login), error.code, error.what)
        log.debug("where it happened", exc_info=error)


def run_all(broker: str | None = None, progress: Progress = lambda *_: None) -> list[SyncRun]:
    """Sync all enabled logins, one after the other; one that is at work already is waited for.

    A configuration that cannot be read gives one failed run.
    Raises: ConfigError when there is no configuration, or none of this broker.
    """
    if not config.exists():
        raise no_configuration()
    try:
        chosen = logins(broker)
    except ConfigError as err:
        return [record_config_error(err, broker or "")]
    if not chosen:
        raise ConfigError(
            f"{paths.config_file()} has no enabled login{f' of {broker}' if broker else ''}.",
            next_step="Fill in its credentials and set enabled to true.",
        )
    return [_run_or_wait(name, login, progress) for name, login in chosen]


def _run_or_wait(broker: str, login: Login, progress: Progress) -> SyncRun:
    while True:
        try:
            return run(broker, login, progress)
        except SyncRunningError:
            row = _wait(broker, login.name, progress)
            if row is not None:
                return row


def _wait(broker: str, login: str, progress: Progress) -> SyncRun | None:
    """The outcome of the run that another process is at; None when that process died on the way."""
    lock = _lock(broker, login)
    shown = ("", 0, 0)
    while True:
        row = _runs(broker, login).first()
        if row is not None and (state := (row.step, row.steps_done, row.steps_total)) != shown:
            progress(*state)
            shown = state
        try:
            with lock.acquire(timeout=SECONDS_BETWEEN_PROGRESS):
                row = _runs(broker, login).first()
                return row if row is not None and row.status != "running" else None
        except Timeout:
            continue


def rebuild(broker: str, progress: Progress = lambda *_: None) -> int:
    """Make the ledger of a broker anew from what it said, run by run; return how many runs said something.

    All or nothing. Raises: SyncRunningError when one of its logins is at work.
    """
    package = brokers.load(broker)
    runs = list(SyncRun.objects.filter(broker=broker).order_by("started_at", "id"))
    said_something = 0
    with ExitStack() as stack:
        for login in {run.login for run in runs}:
            stack.enter_context(_hold(broker, login))
        stack.enter_context(transaction.atomic())
        store.clear(broker)
        for done, run in enumerate(runs):
            progress(f"Run of {run.started_at:%Y-%m-%d %H:%M}", done, len(runs))
            later = (other.started_at for other in runs[done + 1 :] if other.login == run.login)
            raw = package.kept(run.login, run.started_at, next(later, datetime.now(UTC)))
            if raw is not None:
                store.record(package.transform(raw))
                said_something += 1
        for record in Import.objects.filter(kind=flex_files.KIND) if broker == flex_files.BROKER else ():
            flex_files.replay(record, record.at)
    return said_something


def record_config_error(error: ConfigError, broker: str = "") -> SyncRun:
    """A failed run for a configuration from which not even the logins can be read."""
    row = SyncRun(broker=broker, login="", started_at=datetime.now(UTC))
    _fail(row, error)
    return row


def close_interrupted(broker: str, login: str) -> None:
    """Mark runs of this login as failed whose process is gone. Only for the holder of the login's lock."""
    for row in _runs(broker, login).filter(status="running"):
        _fail(row, SyncInterruptedError())


def due(now: datetime) -> list[tuple[str, Login]]:
    """The logins whose next run should start now. Raises: ConfigError."""
    return [(broker, login) for broker, login in logins() if is_due(broker, login, now)]


def is_due(broker: str, login: Login, now: datetime) -> bool:
    """Whether the next run of this login should start now.

    A run is due `update_frequency_minutes` after the start of the last, never before the time a broker
    asked to wait for. A failed one is due as soon as the configuration has changed, else after a pause
    that grows. Refused credentials are not sent again by themselves.
    """
    recent = list(_runs(broker, login.name)[:10])
    if not recent:
        return True
    last = recent[0]
    if last.status == "running":
        return not _is_locked(broker, login.name)
    if last.retry_at is not None and now < last.retry_at:
        return False
    frequency = timedelta(minutes=login.update_frequency_minutes)
    if last.status != "failed":
        return now >= last.started_at + frequency
    if last.error_code == SyncInterruptedError.code or _config_changed_at() > last.started_at:
        return True
    if last.error_code == CredentialsRefusedError.code:
        return False
    failures = next((n for n, row in enumerate(recent) if row.status != "failed"), len(recent))
    return now >= last.started_at + _pause(last.error_code, failures, frequency)


def _pause(code: str, failures: int, frequency: timedelta) -> timedelta:
    """Doubles with each failure in a row: from a minute up to the configured frequency for what passes by
    itself, else from that frequency up to four hours.
    """
    if code in PASSING:
        return min(timedelta(minutes=1) * 2.0 ** (failures - 1), frequency)
    return max(frequency, min(frequency * 2.0 ** (failures - 1), LONGEST_PAUSE))


def _runs(broker: str, login: str) -> QuerySet[SyncRun]:
    return SyncRun.objects.filter(broker=broker, login=login).order_by("-started_at", "-id")


def _config_changed_at() -> datetime:
    try:
        return datetime.fromtimestamp(paths.config_file().stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.min.replace(tzinfo=UTC)


def _lock(broker: str, login: str) -> FileLock:
    """The lock of one login. The system frees it when the process that holds it ends, however it ends."""
    folder = settings.DATA_DIR / "locks"
    folder.mkdir(exist_ok=True, mode=0o700)
    return FileLock(folder / f"{broker}-{quote(login, safe='')}.lock")


def _hold(broker: str, login: str) -> AbstractContextManager[object]:
    """Take the lock of one login, for a `with`. Raises: SyncRunningError when somebody has it."""
    try:
        return _lock(broker, login).acquire(timeout=0)
    except Timeout as err:
        raise SyncRunningError(
            f"A sync of {_title(broker, login)} is running already.",
            next_step="Wait until it is done; the sync page shows how far it is.",
        ) from err


def _is_locked(broker: str, login: str) -> bool:
    try:
        with _lock(broker, login).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _title(broker: str, login: str) -> str:
    return f"{broker} {login}".strip() or "the configuration"
