"""Live values while somebody looks: a feed for each login that wants one, as long as a page is open.

The pages say when they begin and end to look. Nothing here is needed for the rest to work, and nothing is
opened for a login whose `live_updates` is off.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from django.db import DatabaseError, close_old_connections, connection

from stonks_overwatch import config
from stonks_overwatch.config import Config
from stonks_overwatch.errors import ConfigError, StonksError
from stonks_overwatch.ledger.models import Account, SyncRun
from stonks_overwatch.ledger.types import LedgerNow, Quote
from stonks_overwatch.reports.live import Ledgers, Quotes, largest
from stonks_overwatch.services.brokers import ibkr
from stonks_overwatch.services.brokers.base import AccountNow, LiveState
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin

log = logging.getLogger(__name__)

BROKER = "ibkr"  # the one with live values
MARKET_DATA_LINES = 90  # a user has about 100, and may need some in TWS at the same time
SECONDS_BETWEEN_LOOKS = 1.0
LINGERS = 20.0
"""Seconds from the last page closed to the release: whoever goes from one page to the next is not gone."""


class Feed(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def watch(self, conids: list[str], accounts: list[str]) -> None: ...
    def state(self) -> LiveState: ...


class Desk:
    """The feeds and who looks at them. `feed_of` makes the feed of a login."""

    def __init__(
        self,
        feed_of: Callable[[IbkrLogin], Feed] | None = None,
        *,
        look: float = SECONDS_BETWEEN_LOOKS,
        lingers: float = LINGERS,
    ) -> None:
        self._feed_of = feed_of
        self._look = look
        self._lingers = lingers
        self._lock = threading.Lock()
        self._readers = 0
        self._left_at = 0.0
        self._thread: threading.Thread | None = None
        self._feeds: dict[str, tuple[IbkrLogin, Feed]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """For as long as a page looks."""
        with self._lock:
            self._readers += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                self._left_at = time.monotonic()

    def states(self) -> list[LiveState]:
        with self._lock:
            feeds = [feed for _, feed in self._feeds.values()]
        return [feed.state() for feed in feeds]

    def is_idle(self) -> bool:
        """Whether nothing is open and nobody looks."""
        with self._lock:
            return self._thread is None

    def _run(self) -> None:
        """Keep the feeds as the configuration and the positions want them, until nobody looks any more."""
        assigned: object = None
        try:
            while self._is_wanted():
                close_old_connections()
                try:
                    loaded = _configuration()
                    wanted = {one.name: one for one in loaded.ibkr if one.enabled and one.live_updates}
                    self._adjust(wanted)
                    state = (tuple(wanted), loaded.base_currency, _latest_end())
                    if state != assigned:
                        self._assign(wanted, loaded.base_currency)
                        assigned = state
                except (DatabaseError, StonksError) as err:  # a page says more of it; here it may pass
                    log.warning("live values: %s", err)
                time.sleep(self._look)
        finally:
            connection.close()
            with self._lock:
                if self._thread is threading.current_thread():
                    self._end()

    def _is_wanted(self) -> bool:
        """Whether to go on; if not, everything ends and the next reader starts anew."""
        with self._lock:
            if self._readers or time.monotonic() - self._left_at < self._lingers:
                return True
            self._end()
            return False

    def _end(self) -> None:
        """Let go of everything. With the lock held, so that nobody comes in between."""
        self._thread = None
        for _, feed in self._feeds.values():
            feed.stop()
        self._feeds.clear()

    def _adjust(self, wanted: dict[str, IbkrLogin]) -> None:
        """Start and stop feeds so that there is one for each of these logins, as it is configured now."""
        with self._lock:
            stale = [name for name, (login, _) in self._feeds.items() if wanted.get(name) != login]
            for name in stale:
                self._feeds.pop(name)[1].stop()
            for name, login in wanted.items():
                if name not in self._feeds:
                    feed = self._feed_of(login) if self._feed_of else ibkr.Feed(login)
                    self._feeds[name] = (login, feed)
                    feed.start()

    def _assign(self, wanted: dict[str, IbkrLogin], base_currency: str) -> None:
        """Tell each feed what its login holds now."""
        for name in wanted:
            held = largest(BROKER, name, base_currency, MARKET_DATA_LINES)
            rows = Account.objects.filter(broker=BROKER, login=name).order_by("account")
            accounts = list(rows.values_list("account", flat=True))
            with self._lock:
                if name in self._feeds:
                    self._feeds[name][1].watch(held, accounts)


desk = Desk()


def quotes(states: list[LiveState]) -> Quotes:
    """The latest quote of each instrument, whichever login it came from."""
    newest: dict[tuple[str, str], Quote] = {}
    for state in states:
        for ref, quote in state.quotes.items():
            known = newest.get((BROKER, ref))
            if known is None or known.at < quote.at:
                newest[BROKER, ref] = quote
    return newest


def ledgers(states: list[LiveState]) -> Ledgers:
    """What the brokers stream of each account, whichever login it came from last."""
    newest: dict[str, AccountNow] = {}
    for state in states:
        for name, now in state.accounts.items():
            known = newest.get(name)
            if now.balances and (known is None or _told_at(known) < _told_at(now)):
                newest[name] = now
    return {(BROKER, name): LedgerNow(now.balances, now.nav, now.traded_at) for name, now in newest.items()}


def _told_at(account: AccountNow) -> datetime:
    return max(balance.at for balance in account.balances.values())


def _configuration() -> Config:
    """The configuration, or one without logins while it cannot be read: the pages say why it cannot."""
    try:
        return config.load()
    except ConfigError as err:
        log.info("no live values: %s", err.what)
        return Config()


def _latest_end() -> object:
    ended = SyncRun.objects.filter(finished_at__isnull=False)
    return ended.order_by("-finished_at").values_list("pk", flat=True).first()
