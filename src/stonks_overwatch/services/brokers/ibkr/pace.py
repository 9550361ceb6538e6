"""How often IBKR may be asked. Limits of a second and slower, and the penalty after a 429, are kept in
the database: they hold across restarts and between processes.
"""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import transaction

from stonks_overwatch.errors import BrokerBusyError
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrCall, IbkrPenalty

PER_SECOND = 40
"""IBKR allows 50 calls a second of one user name; the rest is for how unevenly they arrive."""

SECONDS_BETWEEN = {
    "flex": 6,  # both calls of the Flex Web Service: one a second and ten a minute are allowed
    "iserver/account/pnl/partitioned": 5,
    "iserver/account/trades": 5,
    "pa/allperiods": 900,  # not documented for this one, taken as for its neighbours
    "pa/performance": 900,
    "pa/transactions": 900,
    "portfolio/accounts": 5,
    "portfolio/subaccounts": 5,
    "portfolio/subaccounts2": 5,
    "sso/validate": 60,
    "tickle": 1,
}
"""Seconds between two calls of one endpoint, as IBKR documents them."""

LONGEST_WAIT = timedelta(seconds=6)
"""A longer wait than this is not waited for: the call is left to a later run."""

PENALTIES = (timedelta(minutes=10), timedelta(minutes=20), timedelta(minutes=40))
FORGIVEN_AFTER = timedelta(days=1)


class NotDueError(BrokerBusyError):
    """A call with a slow limit came too early; IBKR was not asked."""


class Pacer:
    """The pace of one login at one address. Several of them with the same arguments share what is kept."""

    def __init__(self, consumer_key: str, address: str) -> None:
        # A hash: the consumer key is part of the credentials and has no place in the database.
        self.key = hashlib.sha256(f"{consumer_key} {address}".encode()).hexdigest()[:32]
        self._lock = threading.Lock()
        self._sent: deque[float] = deque(maxlen=PER_SECOND)

    @contextmanager
    def turn(self, endpoint: str) -> Iterator[None]:
        """Wait until this endpoint may be called, and hold its limit from the end of the call on.

        Raises: NotDueError when the wait is longer than LONGEST_WAIT, BrokerBusyError during a penalty.
        """
        self.check_penalty()
        if endpoint not in SECONDS_BETWEEN:
            self._spread()
            yield
            return
        wait(self._reserve(endpoint).total_seconds())
        self._spread()
        try:
            yield
        finally:
            # From the end: how long the call was on its way is then on the safe side. Never back before
            # the turn that another process has reserved meanwhile.
            now = datetime.now(UTC)
            IbkrCall.objects.filter(pace_key=self.key, endpoint=endpoint, last_at__lt=now).update(last_at=now)

    def due_at(self, endpoint: str) -> datetime:
        """When the endpoint may be called next; a moment in the past means now."""
        call = IbkrCall.objects.filter(pace_key=self.key, endpoint=endpoint).first()
        if call is None or _was_set_back(call.last_at):
            return datetime.min.replace(tzinfo=UTC)
        return call.last_at + timedelta(seconds=SECONDS_BETWEEN[endpoint])

    def is_due(self, endpoint: str) -> bool:
        """Whether a call would be made now, after a short wait at most."""
        return self.due_at(endpoint) - datetime.now(UTC) <= LONGEST_WAIT

    def check_penalty(self) -> None:
        """Raises: BrokerBusyError while IBKR's penalty lasts."""
        now = datetime.now(UTC)
        penalty = IbkrPenalty.objects.filter(pace_key=self.key, blocked_until__gt=now).first()
        # One that is further away than any penalty comes from a clock that has been set back since.
        if penalty is not None and penalty.blocked_until - now <= PENALTIES[-1]:
            raise _busy(penalty.blocked_until)

    def penalise(self) -> BrokerBusyError:
        """Stop all calls for a while, longer each time in a row; returns the error to raise."""
        now = datetime.now(UTC)
        with transaction.atomic():
            penalty, _ = IbkrPenalty.objects.select_for_update().get_or_create(
                pace_key=self.key, defaults={"blocked_until": now, "strikes": 0}
            )
            if now - penalty.blocked_until > FORGIVEN_AFTER:
                penalty.strikes = 0
            penalty.blocked_until = now + PENALTIES[min(penalty.strikes, len(PENALTIES) - 1)]
            penalty.strikes += 1
            penalty.save()
        return _busy(penalty.blocked_until)

    def _reserve(self, endpoint: str) -> timedelta:
        """Take the endpoint's next turn, whichever process asks; returns how long it is until then."""
        with transaction.atomic():
            now = datetime.now(UTC)
            call, is_new = IbkrCall.objects.select_for_update().get_or_create(
                pace_key=self.key, endpoint=endpoint, defaults={"last_at": now}
            )
            if is_new:
                return timedelta(0)
            turn = now
            if not _was_set_back(call.last_at):
                turn = max(now, call.last_at + timedelta(seconds=SECONDS_BETWEEN[endpoint]))
            if turn - now <= LONGEST_WAIT:
                call.last_at = turn
                call.save()
                return turn - now
        raise NotDueError(
            f"IBKR allows {endpoint} only once in {SECONDS_BETWEEN[endpoint]} seconds.",
            next_step=f"Wait until {turn:%H:%M:%S} UTC; a sync after that asks again by itself.",
            retry_at=turn,
        )

    def _spread(self) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._sent[0] + 1.0) if len(self._sent) == PER_SECOND else now
            self._sent.append(turn)
        if turn > now:
            wait(turn - now)


def wait(seconds: float) -> None:
    """The one place where this package sleeps."""
    if seconds > 0:
        time.sleep(seconds)


def _was_set_back(last_at: datetime) -> bool:
    """Whether the clock was: no turn is ever reserved this far ahead."""
    return last_at - datetime.now(UTC) > LONGEST_WAIT


def _busy(until: datetime) -> BrokerBusyError:
    return BrokerBusyError(
        "IBKR asked for fewer calls (status 429) and may block a login that goes on.",
        next_step=f"Nothing: no call is made until {until:%H:%M} UTC, then syncing goes on by itself.",
        retry_at=until,
    )
