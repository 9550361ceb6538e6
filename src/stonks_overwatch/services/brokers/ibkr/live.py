"""Live values of one login: quotes of what is held and the accounts' own figures, while somebody looks.

A feed opens the brokerage session without ever taking it from another login (`compete` is false), listens
on the websocket and keeps the latest of everything in memory. Nothing of it is stored. It shares the
login's one client with the syncs, which do not need it.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import DatabaseError, connection

from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerUnavailableError,
    ClockError,
    ClockRefusedError,
    CompetingLoginError,
    CredentialsRefusedError,
    NoQuotesError,
    StonksError,
)
from stonks_overwatch.ledger.types import BalanceNow, Quote, QuoteKind
from stonks_overwatch.services.brokers.base import AccountNow, LiveState, LiveStatus
from stonks_overwatch.services.brokers.ibkr.client import (
    ReadOnlyClient,
    client,
    events,
    off,
    quiet_hours,
    subscriptions,
)
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin, ws_url
from stonks_overwatch.services.brokers.ibkr.stream import ReadOnlyStream

log = logging.getLogger(__name__)

LAST, MARK, AVAILABILITY = "31", "7635", "6509"
BASE = "BASE"  # in place of a currency: the sum of all
NAV = "NetLiquidation-S"
CLOCK_TOLERANCE = timedelta(seconds=15)
"""iBind ends a connection whose heartbeats are 20 seconds off this computer's clock, again and again."""

_NUMBER = re.compile(r"(?P<sign>[+-]?)(?P<digits>[0-9]+(\.[0-9]*)?|\.[0-9]+)(?P<unit>[KMB]?)%?")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_KINDS = {"R": QuoteKind.LIVE, "D": QuoteKind.DELAYED, "Y": QuoteKind.CLOSE, "Z": QuoteKind.CLOSE}
_NO_RIGHTS = "NO"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds between what a feed does, and until it gives something up."""

    look: float = 1.0
    keep_alive: float = 55.0
    session_ready: float = 15.0
    stream_ready: float = 30.0
    silence: float = 35.0  # three heartbeats of IBKR's
    quotes_ready: float = 20.0
    pauses: tuple[float, ...] = (30.0, 120.0, 600.0)  # after failures in a row
    patience: float = 600.0  # with another login, and without rights
    steady: float = 300.0  # after so long a failure is the first again


class Feed:
    """One login's live values. `start` begins and `stop` ends; both return at once."""

    def __init__(self, login: IbkrLogin, timing: Timing = Timing()) -> None:
        self._login = login
        self._timing = timing
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._wanted: tuple[str, ...] = ()
        self._held_in: tuple[str, ...] = ()
        self._state = self._idle()
        self._fields: dict[str, dict[str, Any]] = {}  # conid -> the newest of each numbered field
        self._quotes: dict[str, Quote] = {}
        self._accounts: dict[str, AccountNow] = {}
        self._trades: set[str] | None = None  # those heard of; None before the stream told any
        self._is_competing = False
        self._heard_at = 0.0
        self._heartbeat_ahead = timedelta(0)
        self._openings: deque[float] = deque(maxlen=5)
        self._thread = threading.Thread(target=self._run, name=f"live {login.name}".strip(), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Release the session: subscriptions and the connection end, in the feed's own thread."""
        self._over.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def watch(self, conids: Sequence[str], accounts: Sequence[str] = ()) -> None:
        """What to follow from now on, the most important first, and the accounts whose balances to follow."""
        with self._lock:
            self._wanted, self._held_in = tuple(conids), tuple(accounts)

    def state(self) -> LiveState:
        with self._lock:
            if self._state.status != "connecting":
                return self._state
            status, what = _standing({quote.kind for quote in self._quotes.values()}) or (
                self._state.status,
                self._state.what,
            )
            return replace(
                self._state,
                status=status,
                what=what,
                quotes=dict(self._quotes),
                accounts=dict(self._accounts),
            )

    # The feed's own thread

    def _run(self) -> None:
        failures = 0
        try:
            while not self._over.is_set():
                started = time.monotonic()
                try:
                    self._follow()
                    failures = 0
                except (StonksError, DatabaseError) as err:
                    failures = 1 if time.monotonic() - started > self._timing.steady else failures + 1
                    self._over.wait(self._give_up(err, failures))
        finally:
            if not self._over.is_set():  # a mistake in the program; its traceback is on standard error
                with self._lock:
                    self._state = LiveState(
                        self._login.name,
                        "unavailable",
                        "The live stream ended by a mistake in the program.",
                        "Report it with what the program wrote to the terminal; syncs go on.",
                    )
            self._forget()
            connection.close()

    def _give_up(self, error: StonksError | DatabaseError, failures: int) -> float | None:
        """Say that there are no live values and why; returns the seconds until the next try, None: never."""
        self._forget()
        pause: float | None = self._timing.pauses[min(failures, len(self._timing.pauses)) - 1]
        status: LiveStatus = "unavailable"
        match error:
            case CompetingLoginError():
                status, pause = "competing", self._timing.patience
            case NoQuotesError():
                status, pause = "no_rights", self._timing.patience
            case ClockRefusedError():
                pass  # the clock will be set right
            case CredentialsRefusedError():
                pause = None  # a login that was refused is not sent again by itself
            case BrokerBusyError():
                pause = max((error.retry_at - datetime.now(UTC)).total_seconds(), self._timing.look)
            case _:
                pass
        what, step = (
            (error.what, error.next_step)
            if isinstance(error, StonksError)
            else ("The database cannot be used.", "The sync page says more.")
        )
        log.info("live values of %s: %s", self._login.name or "ibkr", what)
        retry_at = None if pause is None else datetime.now(UTC) + timedelta(seconds=pause)
        with self._lock:
            self._state = LiveState(self._login.name, status, what, step, retry_at)
        return pause

    def _idle(self) -> LiveState:
        return LiveState(self._login.name, "idle", "Nothing is held that has a quote.")

    def _forget(self) -> None:
        with self._lock:
            self._fields.clear()
            self._quotes.clear()
            self._accounts.clear()
            self._trades = None
            self._is_competing = False
            self._heartbeat_ahead = timedelta(0)

    def _follow(self) -> None:
        """Open, listen until the feed is stopped or the login was renewed, release. Raises: StonksError."""
        with self._lock:
            self._state = self._idle()
        while not self._wanted:
            if self._over.wait(self._timing.look):
                return
        with self._lock:
            self._state = LiveState(self._login.name, "connecting", "Opening IBKR's live stream.")
        now = time.monotonic()
        self._openings.append(now)
        if len(self._openings) == self._openings.maxlen and now - self._openings[0] < self._timing.steady:
            self._openings.clear()
            raise BrokerUnavailableError(
                "The login is renewed again and again, so the live stream does not stay open.",
                next_step="End other programs that use the same OAuth login.",
            )
        ibkr = client(self._login)
        try:
            self._listen(ibkr)
        except CredentialsRefusedError:
            if ibkr.live_session_token is None:
                raise
            # The login works; in its nightly reset IBKR answers so to everything that is live.
            raise _not_up() from None

    def _listen(self, ibkr: ReadOnlyClient) -> None:
        """One stream of one login, from opening to release. Raises: StonksError."""
        if not self._open_session(ibkr):
            return
        token = ibkr.live_session_token
        if ibkr.clock_ahead is not None:
            _check_clock(ibkr.clock_ahead)
        stream = ReadOnlyStream(ibkr, ws_url(), self)
        followed: dict[str, Any] = {}
        try:
            self._heard_at = time.monotonic()
            stream.start()
            self._attend(ibkr, stream, followed, token)
        except BrokerUnavailableError:
            if ibkr.live_session_token == token:
                raise
            # The login was renewed meanwhile, by a sync: what the older token opened has ended with it.
        finally:
            for subscription in followed.values():
                stream.unsubscribe(subscription)
            stream.close_for_good()

    def _open_session(self, ibkr: ReadOnlyClient) -> bool:
        """Open the brokerage session and wait until it is up; False if the feed was stopped meanwhile.

        Raises: CompetingLoginError, BrokerUnavailableError, and the errors of any call.
        """
        state = ibkr.initialize_brokerage_session(compete=False).data
        given_up_at = time.monotonic() + self._timing.session_ready
        while not _is_up(state):
            if time.monotonic() > given_up_at:
                raise _not_up()
            if self._over.wait(self._timing.look):
                return False
            state = ibkr.authentication_status().data
        ibkr.receive_brokerage_accounts()  # IBKR gives no market data before it was asked for these
        return True

    def _attend(
        self, ibkr: ReadOnlyClient, stream: ReadOnlyStream, followed: dict[str, Any], token: str | None
    ) -> None:
        """Look after the stream until the feed is stopped, the login has another token or nothing is held."""
        ready_until = time.monotonic() + self._timing.stream_ready
        alive_at = time.monotonic()
        quotes_until: float | None = None
        while not self._over.wait(self._timing.look):
            now = time.monotonic()
            if ibkr.live_session_token != token or not self._wanted:
                return
            self._check(stream, silent_for=now - self._heard_at)
            if stream.is_authenticated():
                ready_until = now + self._timing.stream_ready
                self._subscribe(stream, followed)
                quotes_until = quotes_until or now + self._timing.quotes_ready
            elif now > ready_until:
                raise _not_up()
            if now - alive_at >= self._timing.keep_alive:
                alive_at = now
                stream.tic()
                if not _is_up(ibkr.authentication_status().data):
                    raise _not_up()
            if quotes_until is not None and now > quotes_until:
                self._check_rights()

    def _check(self, stream: ReadOnlyStream, silent_for: float) -> None:
        """Raises: what ends a connection that is no use any more."""
        if self._is_competing:
            raise _competing()
        _check_clock(self._heartbeat_ahead)
        if stream.is_broken:
            raise BrokerUnavailableError(
                "IBKR's live stream breaks off each time it is opened.",
                next_step="Nothing: it is tried again by itself, and the syncs go on.",
            )
        if silent_for > self._timing.silence:
            raise BrokerUnavailableError(
                f"IBKR's live stream is open but silent since {round(silent_for)} seconds.",
                next_step="Nothing: it is tried again by itself, and the syncs go on.",
            )

    def _subscribe(self, stream: ReadOnlyStream, followed: dict[str, Any]) -> None:
        """Follow what is wanted now, and no longer what is not."""
        with self._lock:
            wanted, held_in = self._wanted, self._held_in
        every = {"profits": subscriptions.PnlSubscription(), "trades": subscriptions.TradesSubscription()}
        for account in held_in:
            every[f"balances {account}"] = subscriptions.AccountLedgerSubscription(account_id=account)
            every[f"values {account}"] = subscriptions.AccountSummarySubscription(account_id=account)
        for conid in wanted:
            every[conid] = subscriptions.MarketDataSubscription(
                conid=conid, fields=[LAST, MARK, AVAILABILITY]
            )
        for name in followed.keys() - every.keys():
            stream.unsubscribe(followed.pop(name))
            with self._lock:
                self._fields.pop(name, None)
                self._quotes.pop(name, None)
                self._accounts.pop(name.removeprefix("balances "), None)
        for name, subscription in every.items():
            if name not in followed:
                followed[name] = subscription
                stream.subscribe(subscription)

    def _check_rights(self) -> None:
        """Raises: NoQuotesError when every instrument was answered with that there is no right to quotes."""
        with self._lock:
            said = {str(fields.get(AVAILABILITY, ""))[:1].upper() for fields in self._fields.values()}
        if said and said <= set(_NO_RIGHTS):
            raise NoQuotesError(
                "IBKR sends no quotes to this login: it has no market data subscription, or the agreement on "
                "market data is not signed.",
                next_step="In IBKR's Client Portal, under Settings, Market Data Subscriptions: sign the "
                "agreement or subscribe. The values of the syncs are shown meanwhile.",
            )

    # What the stream says, in a thread of iBind's

    def emit(self, event: Any) -> None:
        self._heard_at = time.monotonic()
        if isinstance(event, events.MarketData):
            self._note_quote(event.conid, event.data)
        elif isinstance(event, events.Pnl):
            self._note_profits(event.data.get("args"))
        elif isinstance(event, events.AccountLedger):
            self._note_balance(event.account_id, event.data)
        elif isinstance(event, events.AccountSummary):
            self._note_value(event.account_id, event.data)
        elif isinstance(event, events.Trades):
            self._note_trades(event.data.get("args"))
        elif isinstance(event, events.AuthenticationStatus):
            self._is_competing = event.competing is True
        elif isinstance(event, events.System) and isinstance(event.data.get("hb"), int):
            ahead = datetime.now(UTC) - datetime.fromtimestamp(event.data["hb"] / 1000, UTC)
            self._heartbeat_ahead = ahead

    def _note_quote(self, conid: str, changed: Mapping[str, Any]) -> None:
        with self._lock:
            if conid not in self._wanted:
                return  # a last word on what is not followed any more
            fields = self._fields.setdefault(conid, {})
            fields.update(changed)
            quote = quote_of(conid, fields, datetime.now(UTC))
            if quote is None:
                self._quotes.pop(conid, None)
            else:
                self._quotes[conid] = quote

    def _note_profits(self, args: object) -> None:
        if not isinstance(args, Mapping):
            return
        now = datetime.now(UTC)
        for name, row in args.items():
            account, _, model = str(name).partition(".")
            if model == "Core" and isinstance(row, Mapping):
                self._note(
                    account,
                    nav=number(row.get("nl")),
                    day_pnl=number(row.get("dpl")),
                    unrealized_pnl=number(row.get("upl")),
                    at=now,
                )

    def _note(self, account: str, **changes: Any) -> None:
        with self._lock:
            self._accounts[account] = replace(self._accounts.get(account) or AccountNow(account), **changes)

    def _note_balance(self, account: str, row: Mapping[str, Any]) -> None:
        """A row of one currency; only what has changed comes, so the last word on the rest stays."""
        currency = str(row.get("secondKey") or str(row.get("key")).removeprefix("LedgerList")).upper()
        if currency == BASE:
            return
        with self._lock:
            now = self._accounts.get(account) or AccountNow(account)
            before = now.balances.get(currency)
            balance = balance_of(row, datetime.now(UTC), before)
            self._accounts[account] = replace(now, balances={**now.balances, currency: balance})

    def _note_value(self, account: str, values: Mapping[str, Any]) -> None:
        told = values.get(NAV)
        nav = number(told.get("monetaryValue")) if isinstance(told, Mapping) else None
        if nav is not None:
            self._note(account, nav=nav, at=datetime.now(UTC))

    def _note_trades(self, args: object) -> None:
        """The first answer tells what was traded before, with its own times; what comes later is new."""
        rows = [row for row in args if isinstance(row, Mapping)] if isinstance(args, list) else []
        known, now = self._trades, datetime.now(UTC)
        self._trades = (known or set()) | {str(row.get("execution_id")) for row in rows}
        for row in rows:
            account = row.get("accountCode") or row.get("account")
            # An exchange of currencies moves cash alone, which is told in full.
            if not account or str(row.get("sec_type")).upper() == "CASH":
                continue
            made = row.get("trade_time_r")
            at = datetime.fromtimestamp(made / 1000, UTC) if isinstance(made, int) else now
            if known is not None and str(row.get("execution_id")) not in known:
                at = now
            with self._lock:
                before = self._accounts.get(str(account)) or AccountNow(str(account))
                latest = at if before.traded_at is None else max(at, before.traded_at)
                self._accounts[str(account)] = replace(before, traded_at=latest)


def _standing(kinds: set[QuoteKind]) -> tuple[LiveStatus, str] | None:
    """What quotes of these kinds are together, and in words; None as long as there are none."""
    if QuoteKind.LIVE in kinds:
        return "live", "IBKR's quotes in real time."
    if QuoteKind.DELAYED in kinds:
        return (
            "delayed",
            "IBKR's quotes, 15 to 20 minutes late: the login has no right to those in real time.",
        )
    if QuoteKind.CLOSE in kinds:
        return "closed", "The markets are closed; IBKR's last prices."
    return None


def number(given: object) -> Decimal | None:
    """A number as IBKR's market data has it: "1,234.5", "C655.89", "+3.50", "0.54%", "50.2M"; else None.

    A leading C marks the last close, H that trading is halted.
    """
    text = str(given).strip().replace(",", "")
    found = _NUMBER.fullmatch(text.removeprefix("C").removeprefix("H"))
    try:
        if found is None:  # a JSON number may be written with an exponent
            value = Decimal(text) if isinstance(given, int | float | Decimal) else None
            return value if value is not None and value.is_finite() else None
        return Decimal(found["sign"] + found["digits"]) * _UNITS[found["unit"]]
    except InvalidOperation:
        return None


def quote_of(conid: str, fields: Mapping[str, Any], now: datetime) -> Quote | None:
    """The quote in a set of numbered fields: the mark price, else the last one; None without one."""
    kind = _KINDS.get(str(fields.get(AVAILABILITY, ""))[:1].upper())
    price = number(fields.get(MARK))
    if price is None:
        price = number(fields.get(LAST))
    if kind is None or price is None:
        return None
    if str(fields.get(LAST, "")).startswith("C") and kind is QuoteKind.LIVE:
        kind = QuoteKind.CLOSE
    made = fields.get("_updated")
    at = datetime.fromtimestamp(made / 1000, UTC) if isinstance(made, int) and made > 10**11 else now
    return Quote(conid, price, min(at, now), kind)


def balance_of(row: Mapping[str, Any], now: datetime, before: BalanceNow | None) -> BalanceNow:
    """What a row of the ledger's stream says; what it leaves out is as before."""
    before = before or BalanceNow(None, None, None, now)
    amount, rate = number(row.get("cashbalance")), number(row.get("exchangeRate"))
    parts = [number(row.get(name)) for name in ("interest", "dividends")]
    accrued = sum((part for part in parts if part is not None), Decimal(0))
    return BalanceNow(
        amount=before.amount if amount is None else amount,
        accrued=accrued if None not in parts else before.accrued,
        rate=before.rate if rate is None else rate,
        at=now,
    )


def _is_up(state: Mapping[str, Any]) -> bool:
    """Whether the brokerage session can be used. Raises: CompetingLoginError."""
    if state.get("competing"):
        raise _competing()
    return bool(state.get("authenticated") and state.get("connected") and state.get("established", True))


def _check_clock(ahead: timedelta) -> None:
    if abs(ahead) > CLOCK_TOLERANCE:
        raise ClockError(
            f"This computer's clock is {off(ahead)}; IBKR's live stream allows 20 seconds.",
            next_step="Let the system set its clock by itself; live values come back then.",
        )


def _competing() -> CompetingLoginError:
    return CompetingLoginError(
        "Another login of the same user name is using IBKR (TWS, the phone app or the website), and it is "
        "left alone.",
        next_step="Nothing: the values of the syncs are shown, and it is tried again by itself. A second "
        "user name of your own at IBKR for Stonks Overwatch avoids this.",
    )


def _not_up() -> BrokerUnavailableError:
    why = quiet_hours(datetime.now(UTC))
    return BrokerUnavailableError(
        f"IBKR does not open its live stream{f' in the hour of its {why}' if why else ' at the moment'}.",
        next_step="Nothing: it is tried again by itself. IBKR resets every night around 01:00 local to the "
        "region, and works on its systems on Saturday evenings (US time).",
    )
