"""The websocket: who may open it, which frames it understands, and what it tells on its own."""

import base64
import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stonks_overwatch.services.brokers.ibkr.sandbox import answers, quotes
from stonks_overwatch.services.brokers.ibkr.sandbox.faults import Effect, Faults
from stonks_overwatch.services.brokers.ibkr.sandbox.oauth import OAuth, Session
from stonks_overwatch.services.brokers.ibkr.sandbox.world import ZERO, World

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_READING = ("ssd", "sld", "smd", "spl", "str", "usd", "uld", "umd", "upl", "utr", "tic", "ech")
_LEDGER_NAMES = {
    "cashbalance": "cashbalance",
    "settledcash": "settledCash",
    "exchangerate": "exchangeRate",
    "netliquidationvalue": "netLiquidationValue",
    "stockmarketvalue": "stockMarketValue",
    "unrealizedpnl": "unrealizedPnl",
    "realizedpnl": "realizedPnl",
    "interest": "interest",
    "dividends": "dividends",
}
"""The ledger's fields have other capitals on the websocket than in REST."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One text that a client sent. `is_mutating`: it does not only read."""

    at: float  # epoch seconds
    text: str
    is_mutating: bool


@dataclass
class Streams:
    """Every connection to the websocket, and a record of what clients sent and how connections ended.

    `moves`: the prices and exchange rates of what is watched move a little with each round of updates.
    """

    world: World
    faults: Faults
    oauth: OAuth
    moves: bool = False
    seconds_between_rounds: float = 1.0
    seconds_between_heartbeats: float = 10.0
    frames: list[Frame] = field(default_factory=list)
    opened: int = 0
    refused: int = 0
    ends: list[int] = field(default_factory=list)  # the close code that a client sent; 1006 if it sent none
    connections: set["_Connection"] = field(default_factory=set)

    def serve(
        self, target: str, headers: Mapping[str, str], reading: BufferedIOBase, wire: socket.socket
    ) -> None:
        """Answer a handshake and serve the connection until either side ends it."""
        session = self._session(target, headers)
        nightly = self.faults.lasting("nightly_reset") is not None
        is_refused = any(fault.effect == "refuse_socket" for fault in self.faults.hit("WS", "open"))
        if session is None or nightly or is_refused:
            self.refused += 1
            status = "503 Service Unavailable" if nightly else "401 Unauthorized"
            wire.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            return
        key = headers.get("sec-websocket-key", "")
        accept = base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode()).digest()).decode()  # noqa: S324
        wire.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self.opened += 1
        connection = _Connection(self, session, reading, wire)
        self.connections.add(connection)
        try:
            self.ends.append(connection.serve())
        finally:
            self.connections.discard(connection)

    def availability(self) -> str:
        """What field 6509 says."""
        letters: dict[Effect, str] = {"no_rights": "N", "delayed": "DPB", "frozen": "ZB"}
        return next((text for effect, text in letters.items() if self.faults.lasting(effect)), "RpB")

    def _session(self, target: str, headers: Mapping[str, str]) -> Session | None:
        """The login that the access token in the address and the cookie of /tickle belong to."""
        token = parse_qs(urlsplit(target).query).get("oauth_token", [""])[0]
        cookie = headers.get("cookie", "").removeprefix("api=")
        session = self.oauth.session_with(cookie)
        return session if session is not None and session.user.access_token == token else None


class _EndedError(Exception):
    """The connection is over; `code` is the close code that the client gave."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Connection:
    """One client: a thread reads its frames (the caller's), another one tells the news."""

    def __init__(
        self, streams: Streams, session: Session, reading: BufferedIOBase, wire: socket.socket
    ) -> None:
        self._streams = streams
        self._world = streams.world
        self._session = session
        self._reading = reading
        self._wire = wire
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._quotes: dict[int, tuple[list[str], dict[str, Any]]] = {}  # conid -> fields, what was sent
        self._ledgers: dict[str, dict[str, Any]] = {}  # account -> rows that were sent
        self._summaries: dict[str, list[dict[str, Any]]] = {}
        self._profits: dict[str, Any] | None = None  # None: not asked for
        self._trades: int | None = None  # how many were told; None: not asked for
        self._told: tuple[bool, bool] | None = None  # authenticated, competing

    def serve(self) -> int:
        teller = threading.Thread(target=self._tell, name="sandbox-stream", daemon=True)
        teller.start()
        try:
            while True:
                self._hear(self._read_frame())
        except _EndedError as ended:
            return ended.code
        except OSError:
            return 1006
        finally:
            self._over.set()
            teller.join(timeout=2)

    # What the client says

    def _hear(self, text: str) -> None:
        if self._streams.faults.lasting("silent"):
            return
        topic, _, rest = text.partition("+")
        self._streams.frames.append(Frame(time.time(), text, topic not in _READING))
        subject, _, tail = rest.partition("+")
        given = _json(tail or (rest if rest.startswith("{") else ""))
        with self._world.lock:
            if topic in ("tic", "ech"):
                self._answer_sign_of_life(topic)
            elif not self._session.brokerage:
                self._send({"error": "not authenticated", "code": 401})
            elif topic.startswith("u"):
                self._unsubscribe(topic, subject)
            elif not self._subscribe(topic, subject, given):
                self._send({"topic": "error", "error": "unknown topic", "code": 400})

    def _answer_sign_of_life(self, topic: str) -> None:
        if topic == "ech":
            self._send_text("ech+hb")
            return
        now = int(time.time() * 1000)
        self._send({"topic": "tic", "alive": True, "id": self._session.cookie, "lastAccessed": now})

    def _subscribe(self, topic: str, subject: str, given: Mapping[str, Any]) -> bool:
        """Begin to tell, with what there is now; False for what there is not."""
        match topic:
            case "smd" if subject.isdecimal() and int(subject) in self._world.market.instruments:
                self._quotes[int(subject)] = (list(given.get("fields", [])), {})
                self._tell_quote(int(subject))
            case "sld" if subject in self._world.holders:
                self._ledgers[subject] = {}
                self._tell_ledger(subject)
            case "ssd" if subject in self._world.holders:
                self._summaries[subject] = []
                self._tell_summary(subject)
            case "spl":
                self._profits = {}
                self._tell_profits()
            case "str":
                self._trades = 0
                self._tell_trades()
            case _:
                return False
        return True

    def _unsubscribe(self, topic: str, subject: str) -> None:
        match topic:
            case "umd":
                self._quotes.pop(int(subject) if subject.isdecimal() else 0, None)
            case "uld":
                self._ledgers.pop(subject, None)
                self._send({"result": "unsubscribed from ledger"})
            case "usd":
                self._summaries.pop(subject, None)
                self._send({"result": "unsubscribed from summary"})
            case "upl":
                self._profits = None
            case "utr":
                self._trades = None
            case _:
                pass  # nothing more to tell about

    # What it is told

    def _tell(self) -> None:
        """Greet, then tell what has changed, until the connection is over."""
        streams = self._streams
        with suppress(OSError):
            if not streams.faults.lasting("silent"):
                self._send({"message": "waiting for session"})
                self._send({"topic": "system", "success": "user1", "isFT": False, "isPaper": False})
                self._tell_status()
                self._send(
                    {"topic": "act", "args": answers.brokerage_accounts(self._world, self._session.cookie)}
                )
            heartbeat_at = 0.0
            while not self._over.wait(streams.seconds_between_rounds):
                drops = [fault for fault in streams.faults.hit("WS", "tick") if fault.effect == "drop"]
                is_over = streams.oauth.session_with(self._session.cookie) is not self._session
                if drops or is_over or streams.faults.lasting("nightly_reset"):
                    self._end(drops[0].status if drops else 1000 if is_over else 1006)
                    return
                if streams.faults.lasting("silent"):
                    continue
                self._tell_status()
                if time.monotonic() >= heartbeat_at:
                    heartbeat_at = time.monotonic() + streams.seconds_between_heartbeats
                    skew = streams.faults.lasting("heartbeat_skew")
                    now = time.time() + (skew.seconds if skew else 0.0)
                    self._send({"topic": "system", "hb": int(now * 1000)})
                self._tell_news()

    def _tell_news(self) -> None:
        if not self._session.brokerage:
            return
        with self._world.lock:
            if self._streams.moves:
                for conid in self._quotes:
                    self._move(conid)
                for currency in {code for rows in self._ledgers.values() for code in rows} - {"BASE", "EUR"}:
                    self._move_rate(currency)
            for conid in self._quotes:
                self._tell_quote(conid)
            for account in self._ledgers:
                self._tell_ledger(account)
            for account in self._summaries:
                self._tell_summary(account)
            if self._profits is not None:
                self._tell_profits()
            if self._trades is not None and len(answers.executions(self._world)) > self._trades:
                self._tell_trades()

    def _tell_status(self) -> None:
        competing = self._streams.faults.lasting("competing") is not None
        if competing:
            self._session.brokerage = False
        state = (self._session.brokerage, competing)
        if state != self._told:
            self._told = state
            self._send({"topic": "sts", "args": {"authenticated": state[0], "competing": competing}})

    def _tell_quote(self, conid: int) -> None:
        fields, sent = self._quotes[conid]
        row = quotes.row(self._world, conid, fields, self._streams.availability())
        changed = {name: value for name, value in row.items() if sent.get(name) != value}
        if changed.keys() <= {"_updated"}:
            return
        sent.update(row)
        always = {name: row[name] for name in ("conid", "conidEx", "server_id", "6119")}
        self._send({"topic": f"smd+{conid}", **always, **changed})

    def _tell_ledger(self, account: str) -> None:
        """All rows at first, later those that changed."""
        sent = self._ledgers[account]
        now = int(time.time())
        rows = []
        for currency, amounts in answers.ledger(self._world, account).items():
            row = {name: amounts[rest] for rest, name in _LEDGER_NAMES.items()}
            if sent.get(currency) == row:
                continue
            sent[currency] = row
            key = {"acctCode": account, "key": f"LedgerList{currency}", "secondKey": currency}
            rows.append(key | row | {"timestamp": now, "severity": 0})
        if rows:
            self._send({"topic": f"sld+{account}", "result": rows})

    def _tell_summary(self, account: str) -> None:
        holder = self._world.holders[account]
        rows: list[dict[str, Any]] = [
            {"key": "AccountCode", "value": account, "severity": 0},
            {
                "key": "NetLiquidation-S",
                "currency": holder.currency,
                "monetaryValue": float(round(self._world.nav(account), 2)),
                "severity": 0,
            },
        ]
        if rows != self._summaries[account]:
            self._summaries[account] = rows
            now = int(time.time())
            self._send({"topic": f"ssd+{account}", "result": [row | {"timestamp": now} for row in rows]})

    def _tell_trades(self) -> None:
        """All of today at first, an empty list too; later those that came."""
        rows = answers.executions(self._world)
        self._send({"topic": "str", "args": rows[self._trades :]})
        self._trades = len(rows)

    def _tell_profits(self) -> None:
        args = {f"{account}.Core": self._profit(account) for account in self._world.holders}
        if args != self._profits:
            self._profits = args
            self._send({"topic": "spl", "args": args})

    def _profit(self, account: str) -> dict[str, Any]:
        market = self._world.market
        today = gained = value = ZERO
        for conid, holding in self._world.holdings[account].items():
            rate = market.cross(holding.instrument.currency, self._world.holders[account].currency)
            now, before = market.price(conid), market.close(conid, market.last_close)
            units = holding.quantity * holding.instrument.units * rate
            today += units * (now - before)
            gained += units * (now - holding.average_cost)
            value += self._world.value_in_nav(holding, now) * rate
        nav = self._world.nav(account)
        amounts = {"dpl": today, "nl": nav, "upl": gained, "uel": nav, "mv": value}
        return {"rowType": 1} | {name: float(round(amount, 2)) for name, amount in amounts.items()}

    def _move(self, conid: int) -> None:
        price = self._world.market.price(conid)
        moved = price * Decimal(1 + random.gauss(0, 0.0004))
        exponent = price.normalize().as_tuple().exponent
        decimals = min(4, max(2, -exponent if isinstance(exponent, int) else 0))
        self._world.set_price(conid, max(round(moved, decimals), Decimal("0.0001")))

    def _move_rate(self, currency: str) -> None:
        rate = self._world.market.rate(currency)
        self._world.market.set_rate(currency, round(rate * Decimal(1 + random.gauss(0, 0.00005)), 7))

    # Frames (RFC 6455)

    def _read_frame(self) -> str:
        """The next text; pings are answered on the way. Raises: _EndedError, OSError."""
        while True:
            kind, content = self._read_piece()
            if kind == _TEXT:
                return content.decode("utf-8", "replace")
            if kind == _PING and not self._streams.faults.lasting("silent"):
                self._send_piece(_PONG, content)
            if kind == _CLOSE:
                with suppress(OSError):
                    self._send_piece(_CLOSE, content)
                raise _EndedError(struct.unpack("!H", content[:2])[0] if len(content) > 1 else 1005)

    def _read_piece(self) -> tuple[int, bytes]:
        first, second = self._read(2)
        length = second & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._read(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._read(8))[0]
        mask = self._read(4) if second & 0x80 else b"\0\0\0\0"
        content = bytes(byte ^ mask[n % 4] for n, byte in enumerate(self._read(length)))
        return first & 0x0F, content

    def _read(self, count: int) -> bytes:
        content = self._reading.read(count)
        if len(content) < count:
            raise _EndedError(1006)
        return content

    def _send(self, message: Mapping[str, Any]) -> None:
        self._send_text(json.dumps(message, separators=(",", ":")))

    def _send_text(self, text: str) -> None:
        self._send_piece(_TEXT, text.encode())

    def _send_piece(self, kind: int, content: bytes) -> None:
        length = len(content)
        if length < 126:
            head = struct.pack("!BB", 0x80 | kind, length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", 0x80 | kind, 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 127, length)
        with self._writing:
            self._wire.sendall(head + content)

    def _end(self, code: int) -> None:
        """End it from this side; 1006 without a word."""
        with suppress(OSError):
            if code != 1006:
                self._send_piece(_CLOSE, struct.pack("!H", code))
            self._wire.shutdown(socket.SHUT_RDWR)


def _json(text: str) -> dict[str, Any]:
    """What stands behind a frame's topic; empty for nothing and for what is no object."""
    try:
        given = json.loads(text) if text else {}
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}
