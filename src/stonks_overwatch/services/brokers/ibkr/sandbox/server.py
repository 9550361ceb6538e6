"""The HTTP side: takes a request through record, pace, faults, signature and answer."""

import json
import logging
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stonks_overwatch.services.brokers.ibkr.sandbox import faults as fault_module
from stonks_overwatch.services.brokers.ibkr.sandbox import routes
from stonks_overwatch.services.brokers.ibkr.sandbox.expected import expected
from stonks_overwatch.services.brokers.ibkr.sandbox.faults import CHANGES, Fault, Faults
from stonks_overwatch.services.brokers.ibkr.sandbox.flex import FLEX_PATH, Flex
from stonks_overwatch.services.brokers.ibkr.sandbox.identity import Identity
from stonks_overwatch.services.brokers.ibkr.sandbox.live import Streams
from stonks_overwatch.services.brokers.ibkr.sandbox.oauth import (
    LOGIN_ENDPOINT,
    OAuth,
    RefusedError,
    Session,
    no_access_secret,
    parse_header,
    unauthorized,
    unknown_consumer,
    wrong_signature,
)
from stonks_overwatch.services.brokers.ibkr.sandbox.pacing import Pacing
from stonks_overwatch.services.brokers.ibkr.sandbox.selfservice import PORTAL_PATH, SelfService
from stonks_overwatch.services.brokers.ibkr.sandbox.world import World

BASE_PATH = "/v1/api/"
CONTROL_PATH = "/_sandbox/"
logger = logging.getLogger(__name__)


@dataclass
class Call:
    """One request as it was met. `status` is 0 while there is no answer, or when none was sent."""

    at: float  # epoch seconds
    method: str
    path: str
    query: str
    status: int = 0
    is_mutating: bool = False
    bad_signature: str | None = None  # why the login or the signature was refused
    repeated_nonce: bool = False
    too_early: bool = False  # broke a documented limit, whether enforced or not
    faults: tuple[str, ...] = ()


@dataclass
class Reply:
    status: int
    body: bytes = b""
    content_type: str = "application/json;charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    ending: str = ""  # "reset" or "cut_off": how the connection ends instead of a whole answer


class Service:
    """IBKR as one fake user meets it: logins, a world, faults, and a record of every call."""

    def __init__(
        self, identity: Identity, rest_url: str, world: World, *, pace: bool, moves: bool = False
    ) -> None:
        self.world = world
        self.faults = Faults()
        self.pacing = Pacing(enforced=pace)
        self.oauth = OAuth(identity, rest_url, self.now)
        self.flex = Flex(
            world, rest_url.removesuffix(BASE_PATH) + FLEX_PATH, enforced=pace, elapsed=self.elapsed
        )
        self.selfservice = SelfService(self.oauth)
        self.streams = Streams(world, self.faults, self.oauth, moves)
        self.calls: list[Call] = []
        self.stopping = threading.Event()
        self.skipped = 0.0

    def elapsed(self) -> float:
        """Seconds of the clock that paces and penalties go by."""
        return time.monotonic() + self.skipped

    def now(self) -> float:
        """The server's clock, wrong when a fault says so."""
        skew = self.faults.lasting("clock_skew")
        return time.time() + (skew.seconds if skew else 0.0)

    def answer(self, method: str, target: str, authorization: str | None, content: bytes) -> Reply:
        """Answer one request under /v1/api/."""
        parts = urlsplit(target)
        raw_path = parts.path.removeprefix(BASE_PATH)
        path = raw_path.rstrip("/")
        call = Call(time.time(), method, path, parts.query, is_mutating=routes.is_mutating(method, path))
        call.is_mutating |= routes.displaces(path, content)
        self.calls.append(call)
        call.repeated_nonce = self.oauth.is_repeated(authorization)
        hits = self.faults.hit(method, path)
        call.faults = tuple(fault.name or fault.effect for fault in hits)
        reply = self._paced(call, hits, authorization) or self._instead(hits, parts.query, path)
        if reply is None:
            reply = self._answer(call, raw_path, authorization, content, hits)
        for fault in hits:
            if fault.effect == "slow":
                self.stopping.wait(fault.seconds)
            elif fault.effect == "truncate":
                reply.body = reply.body[: len(reply.body) // 2]
            elif fault.effect == "cut_off":
                reply.ending = "cut_off"
        call.status = 0 if reply.ending == "reset" else reply.status
        return reply

    def _paced(self, call: Call, hits: list[Fault], authorization: str | None) -> Reply | None:
        """The 429 of a call that comes too early or during a penalty."""
        now = self.elapsed()
        for fault in hits:
            if fault.effect == "box":
                self.pacing.box(now + fault.seconds)
        boxed = self.pacing.is_boxed(now)
        call.too_early = self.pacing.breaches(
            call.path, now, parse_header(authorization).get("oauth_consumer_key", "")
        )
        if self.faults.lasting("no_pace"):
            return None
        if boxed or (call.too_early and self.pacing.enforced):
            return _json(429, {"error": "Too many requests", "statusCode": 429})
        return None

    def _instead(self, hits: list[Fault], query: str, path: str) -> Reply | None:
        """What a fault puts in place of any answer."""
        for fault in hits:
            match fault.effect:
                case "status":
                    return Reply(fault.status, fault.body.encode(), fault.content_type)
                case "reset":
                    return Reply(0, ending="reset")
                case "stall":
                    self.stopping.wait(fault.seconds)
                    return Reply(0, ending="reset")
                case "nightly_reset":
                    return _json(503, {"error": "Service Unavailable", "statusCode": 503})
                case "redirect":
                    address = f"{BASE_PATH}moved/{path}" + (f"?{query}" if query else "")
                    return Reply(302, headers={"Location": address})
                case _:
                    pass
        return None

    def _answer(
        self, call: Call, raw_path: str, authorization: str | None, content: bytes, hits: list[Fault]
    ) -> Reply:
        effects = {fault.effect for fault in hits}
        try:
            if call.repeated_nonce and self.faults.lasting("strict_nonce"):
                raise unauthorized("nonce used before")
            if (call.method, raw_path) == ("POST", LOGIN_ENDPOINT):
                body: Any = self._log_in(authorization, effects)
            else:
                if "expire_token" in effects:
                    self.oauth.expire()
                session = self.oauth.verify(call.method, raw_path, authorization)
                body = self._read(call, session, content, hits)
        except RefusedError as refused:
            call.bad_signature = refused.reason
            return _json(401, refused.body, refused.content_type)
        except routes.RejectedError as rejected:
            return _json(rejected.status, rejected.body)
        for fault in hits:
            if fault.effect in CHANGES:
                body = CHANGES[fault.effect](fault, body)
        return _json(200, body)

    def _log_in(self, authorization: str | None, effects: AbstractSet[str]) -> dict[str, object]:
        if "unknown_consumer" in effects:
            raise unknown_consumer()
        if "not_activated" in effects:
            raise no_access_secret(parse_header(authorization).get("oauth_token", ""))
        if "wrong_signature" in effects:
            raise wrong_signature()
        granted = self.oauth.grant(authorization)
        if "wrong_token_signature" in effects:
            granted["live_session_token_signature"] = "0" * 40
        return granted

    def _read(self, call: Call, session: Session, content: bytes, hits: list[Fault]) -> Any:
        try:
            body = json.loads(content) if content else {}
        except ValueError:
            raise routes.RejectedError(400, "Bad Request: invalid JSON") from None
        if not isinstance(body, dict):
            raise routes.RejectedError(400, "Bad Request: invalid JSON")
        query = parse_qs(call.query, keep_blank_values=True)
        request = routes.Request(
            call.method,
            call.path,
            query,
            body,
            self.world,
            session,
            hits,
            end_login=lambda: self.oauth.end(session.user.consumer_key),
        )
        with self.world.lock:
            return routes.answer(request)

    def flex_answer(self, target: str, headers: Mapping[str, str]) -> Reply:
        """Answer one request to the Flex Web Service. Faults see it as `GET flex/SendRequest`."""
        step = urlsplit(target).path.removeprefix(FLEX_PATH)
        hits = self.faults.hit("GET", f"flex/{step}")
        if instead := self._instead(hits, "", step):
            return instead
        made = self.flex.answer(target, headers, datetime.fromtimestamp(self.now(), UTC))
        reply = Reply(made.status, made.body, made.content_type)
        for fault in hits:
            if fault.effect == "slow":
                self.stopping.wait(fault.seconds)
            elif fault.effect == "truncate":
                reply.body = reply.body[: len(reply.body) // 2]
            elif fault.effect == "cut_off":
                reply.ending = "cut_off"
        return reply

    # Control, for tests and other processes

    def control(self, method: str, target: str, content: bytes) -> Reply:
        """Answer one request under /_sandbox/."""
        parts = urlsplit(target)
        what = f"{method} {parts.path.removeprefix(CONTROL_PATH)}"
        try:
            given = json.loads(content) if content else {}
            match what:
                case "GET faults":
                    return _json(200, self.faults.active())
                case "POST faults":
                    self.faults.add(fault_module.from_json(given))
                    return _json(200, self.faults.active())
                case "DELETE faults":
                    self.faults.clear()
                    self.pacing.unbox()
                    return _json(200, [])
                case "GET expected":
                    base = parse_qs(parts.query).get("base", ["EUR"])[0]
                    return _json(200, expected(self.world, base).as_json())
                case "GET calls":
                    return _json(200, [vars(call) for call in list(self.calls)])
                case "POST trade":
                    return _json(200, self._trade(given))
                case _:
                    return _json(404, {"error": f"no such control: {what}"})
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as err:
            return _json(400, {"error": f"{type(err).__name__}: {err}"})

    def _trade(self, given: dict[str, Any]) -> dict[str, Any]:
        quantity = Decimal(str(given["quantity"]))
        price = Decimal(str(given["price"])) if given.get("price") is not None else None
        trade = self.world.buy if quantity > 0 else self.world.sell
        entry = trade(given["account"], int(given["conid"]), abs(quantity), price)
        return {
            "account": entry.account,
            "conid": entry.conid,
            "on": entry.on,
            "held": self.world.held(entry.account, int(given["conid"])),
        }


def _json(status: int, body: Any, content_type: str = "application/json;charset=utf-8") -> Reply:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_as_text)
    return Reply(status, text.encode(), content_type)


def _as_text(value: object) -> str:
    if isinstance(value, date | Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


class HttpServer(ThreadingHTTPServer):
    """Serves on the loopback address only; `stop` ends every open connection at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        self.service: Service | None = None  # set before the first request is served
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def stop(self) -> None:
        """Stop serving; connections that wait for an answer are closed without one."""
        if self.service is not None:
            self.service.stopping.set()
        self.shutdown()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was first
        self.server_close()

    def handle_error(self, _request: Any, client_address: Any) -> None:
        logger.debug("a connection from %s ended early: %r", client_address, sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        service = self.server.service
        if service is None:
            raise RuntimeError("serving before there is something to serve")
        if self.path.partition("?")[0] == f"{BASE_PATH}ws":
            self.close_connection = True
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.streams.serve(self.path, headers, self.rfile, self.connection)
            return
        length = self.headers.get("Content-Length")
        if length is None and self.command in ("POST", "PUT"):
            self._send(service, _json(411, {"error": "Length Required", "statusCode": 411}))
            return
        content = self.rfile.read(int(length or 0))
        if self.path.startswith(CONTROL_PATH):
            reply = service.control(self.command, self.path, content)
        elif self.path.startswith(PORTAL_PATH):
            status, kind, text = service.selfservice.answer(self.command, dict(self.headers), content)
            reply = Reply(status, text.encode(), kind)
        elif self.path.startswith(BASE_PATH):
            reply = service.answer(self.command, self.path, self.headers["Authorization"], content)
        elif self.path.startswith(FLEX_PATH):
            reply = service.flex_answer(self.path, dict(self.headers.items()))
        else:
            reply = _json(404, {"error": "Resource not found", "statusCode": 404})
        self._send(service, reply)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # names that the base class looks for

    def _send(self, service: Service, reply: Reply) -> None:
        if reply.ending == "reset":
            # Linger for zero seconds: closing sends RST in place of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response_only(reply.status)
        self.send_header("Date", formatdate(service.now(), usegmt=True))
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        body = reply.body
        if reply.ending == "cut_off":
            body = body[: len(body) // 2]
            self.close_connection = True
        # One write: a head and a body apart would cost a delayed acknowledgement each time.
        head = b"".join(getattr(self, "_headers_buffer", []))
        self._headers_buffer: list[bytes] = []
        self.wfile.write(head + b"\r\n" + body)

    def log_message(self, template: str, *args: Any) -> None:
        logger.debug(template, *args)
