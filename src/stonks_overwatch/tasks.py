"""Work in the background: huey's queue in the data folder, its consumer in threads of the app's process."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Lock

from django.conf import settings
from django.db import close_old_connections
from huey import SqliteHuey, crontab
from huey.consumer import Consumer

from stonks_overwatch import config, ibkr_setup, memory, sync
from stonks_overwatch.errors import ConfigError, SyncRunningError
from stonks_overwatch.ledger.models import Account, SyncRun
from stonks_overwatch.reports.accounts import account_rows
from stonks_overwatch.reports.balances import cash_over_time
from stonks_overwatch.reports.booked import DAY, last_day, year_before
from stonks_overwatch.reports.broker_returns import broker_returns
from stonks_overwatch.reports.daily import daily_total
from stonks_overwatch.reports.dashboard import dashboard
from stonks_overwatch.reports.fees import fees
from stonks_overwatch.reports.income import income
from stonks_overwatch.reports.kept import version
from stonks_overwatch.reports.lot_books import lot_books
from stonks_overwatch.reports.reconcile import compare_statements, latest
from stonks_overwatch.reports.scope import Scope

log = logging.getLogger(__name__)

_working_out = Lock()  # two at once would do the same, in twice the memory

huey = SqliteHuey("stonks-overwatch", filename=str(settings.DATA_DIR / "huey.sqlite3"), results=False)


class _Consumer(Consumer):
    def _set_signal_handlers(self) -> None:
        """Signals belong to the app, which ends the whole process."""


def start() -> None:
    """Begin to work off the queue, in threads that end with the process.

    What is due is looked at once, and then every minute.
    """
    # Short waits: someone who presses "sync now" looks at the page until it starts.
    _Consumer(huey, workers=4, max_delay=0.5, check_worker_health=False).start()


@huey.periodic_task(crontab(minute="*"))
def enqueue_due() -> None:
    """Put every login that is due into the queue; record a configuration that cannot be read, once."""
    close_old_connections()
    try:
        for broker, login in sync.due(datetime.now(UTC)):
            sync_login(broker, login.name, only_if_due=True)
    except ConfigError as err:
        last = SyncRun.objects.order_by("started_at").last()
        if last is None or last.error_what != err.what:
            sync.record_config_error(err)
    finally:
        close_old_connections()


@huey.task()
def sync_login(broker: str, name: str, only_if_due: bool = False) -> None:
    """Sync one login. The pages put this into the queue when somebody asks for it."""
    close_old_connections()
    try:
        for login in (login for owner, login in sync.logins(broker) if (owner, login.name) == (broker, name)):
            # It may have waited in the queue behind another run of the same login.
            if not only_if_due or sync.is_due(broker, login, datetime.now(UTC)):
                sync.run(broker, login)
                memory.give_back()
                work_out_changes.call_local()
    except SyncRunningError as err:
        log.info("%s", err.what)
    except ConfigError as err:
        sync.record_config_error(err, broker)
    finally:
        close_old_connections()
        memory.give_back()


@huey.periodic_task(crontab(minute="*"))
def work_out_changes() -> None:
    """Work out what was synced or imported, also by a command, while nobody waits: the next page needs it."""
    close_old_connections()
    try:
        with _working_out:
            looked_at = list(Account.objects.all())
            scope = Scope(config.load().base_currency)
            lot_books(looked_at, scope.base_currency)
            # Each sync comes here at its end, and not of every database can it be told whether it has
            # changed.
            if looked_at and version() is not None and not SyncRun.objects.filter(status="running").exists():
                _work_out_pages(scope, looked_at)
    except ConfigError as err:
        log.info("%s", err.what)  # enqueue_due records it
    finally:
        close_old_connections()


def _work_out_pages(scope: Scope, looked_at: Sequence[Account]) -> None:
    """What the main pages show. Where nothing was committed it is there already, and this costs nothing."""
    # Daily series and what statements compare with are stored, which is a change: reports are kept from
    # then on.
    daily_total(scope)
    broker_returns(scope)
    compare_statements(scope)
    dashboard(scope, every_day=False)
    reports: tuple[Callable[[Scope], object], ...] = (
        daily_total, account_rows, latest, broker_returns,
    )  # fmt: skip
    for report in reports:
        report(scope)
    if today := last_day(looked_at, None):
        start = year_before(today) + DAY
        for over_time in (cash_over_time, income, fees):
            over_time(scope, start, today)


@huey.periodic_task(crontab(minute="*"))
def continue_setups() -> None:
    """Try the logins again that wait until IBKR has activated their registration."""
    close_old_connections()
    try:
        for login in ibkr_setup.waiting(datetime.now(UTC)):
            try_ibkr_login(login)
    except ConfigError as err:
        log.info("%s", err.what)  # enqueue_due records it
    finally:
        close_old_connections()


@huey.task()
def try_ibkr_login(name: str) -> None:
    """Ask IBKR whether it lets a login in that is being set up; when it does, its first sync follows."""
    close_old_connections()
    try:
        ibkr_setup.try_login(name)
        if ibkr_setup.look(name).stage == "connected":
            sync_login("ibkr", name)
    except ConfigError as err:
        log.info("%s", err.what)  # the page looks at the configuration itself
    finally:
        close_old_connections()
