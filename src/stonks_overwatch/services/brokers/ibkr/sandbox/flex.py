"""The Flex Web Service of the sandbox: both steps, their codes and pace, over what books.py writes.

It is set up by attributes (`codes`, `polls`, `style` ...), so that each oddity of the real service is a
switch of a test.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from stonks_overwatch.services.brokers.ibkr.sandbox.books import Style, is_before_all, statement
from stonks_overwatch.services.brokers.ibkr.sandbox.world import World

FLEX_PATH = "/AccountManagement/FlexWebService/"
TOKEN = "301459872265138904732201"  # noqa: S105  # the fake user's
QUERY = "987654"

Step = Literal["SendRequest", "GetStatement"]

_AGENTS = ("Python/", "Java", "Mozilla/")
_LONGEST = timedelta(days=365)
_MESSAGES = {
    1001: "Statement could not be generated at this time. Please try again shortly.",
    1003: "Statement is not available.",
    1012: "Token has expired.",
    1013: "IP restriction.",
    1014: "Query is invalid.",
    1015: "Token is invalid.",
    1017: "Reference code is invalid.",
    1018: "Too many requests have been made from this token. Please try again shortly.",
    1019: "Statement generation in progress. Please try again shortly.",
    1020: "Invalid request or unable to validate request.",
}


@dataclass
class FlexCall:
    """One request as it was met."""

    at: float  # seconds of the clock that the pace goes by
    step: str
    code: int | None = None  # None: the request was granted
    too_early: bool = False
    asked: tuple[date, date] | None = None


@dataclass(frozen=True, slots=True)
class FlexReply:
    status: int
    body: bytes
    content_type: str = "text/xml;charset=utf-8"


@dataclass
class Flex:
    """One user's service.

    `codes` are answered before anything else, each once, by step. `polls` is how often a statement is
    still in progress before it comes. Without `honours_dates` the days asked for are ignored, as some
    queries do, and the last `period_days` are told.
    """

    world: World
    address: str
    enforced: bool = True
    elapsed: Callable[[], float] = time.monotonic
    token: str = TOKEN
    query: str = QUERY
    polls: int = 1
    honours_dates: bool = True
    period_days: int = 365
    style: Style = field(default_factory=Style)
    codes: dict[Step, deque[int]] = field(
        default_factory=lambda: {"SendRequest": deque(), "GetStatement": deque()}
    )
    returned_url: str | None = None  # in place of the service's own
    calls: list[FlexCall] = field(default_factory=list)
    _waiting: dict[str, tuple[tuple[date, date], int]] = field(default_factory=dict)
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, step: Step, *codes: int) -> None:
        """Answer the next requests of a step with these codes."""
        self.codes[step].extend(codes)

    def answer(self, target: str, headers: Mapping[str, str], now: datetime) -> FlexReply:
        """Answer one request under FLEX_PATH. `now` is the moment the statement is made at."""
        with self._lock:
            parts = urlsplit(target)
            given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            call = FlexCall(self.elapsed(), parts.path.removeprefix(FLEX_PATH))
            call.too_early = self._is_too_early(call.at)
            self.calls.append(call)
            if not headers.get("User-Agent", "").startswith(_AGENTS):
                return FlexReply(403, b"<html><body>Forbidden</body></html>", "text/html")
            if call.step not in ("SendRequest", "GetStatement"):
                return FlexReply(404, b"<html><body>Not found</body></html>", "text/html")
            call.code = self._refusal(call, given)
            if call.code is None:
                found = self._request(call, given) if call.step == "SendRequest" else self._get(given, now)
                if isinstance(found, FlexReply):
                    return found
                call.code = found
            return _message("Warn" if call.code == 1019 else "Fail", _failure(call.code))

    def _is_too_early(self, now: float) -> bool:
        """One request a second and ten a minute are allowed."""
        recent = [call.at for call in self.calls if call.at > now - 60]
        return len(recent) >= 10 or (bool(recent) and recent[-1] > now - 1)

    def _refusal(self, call: FlexCall, given: Mapping[str, str]) -> int | None:
        if call.too_early and self.enforced:
            return 1018
        scripted = self.codes["SendRequest" if call.step == "SendRequest" else "GetStatement"]
        if scripted:
            return scripted.popleft()
        if given.get("v") != "3":
            return 1020
        return None if given.get("t") == self.token else 1015

    def _request(self, call: FlexCall, given: Mapping[str, str]) -> FlexReply | int:
        if given.get("q") != self.query:
            return 1014
        last = self.world.market.last_close
        asked = last - timedelta(days=self.period_days - 1), last
        if self.honours_dates and "fd" in given:
            try:
                asked = _day(given["fd"]), min(_day(given.get("td", "")), last)
            except ValueError:
                return 1020
        call.asked = asked
        if asked[0] > asked[1] or asked[1] - asked[0] >= _LONGEST:
            return 1020
        if is_before_all(self.world, asked[1]):
            return 1003
        self._count += 1
        reference = f"{7_000_000_000 + self._count}"
        self._waiting[reference] = asked, self.polls
        url = self.returned_url or f"{self.address}GetStatement"
        fields = f"<ReferenceCode>{reference}</ReferenceCode>\n<Url>{escape(url)}</Url>"
        return _message("Success", fields)

    def _get(self, given: Mapping[str, str], now: datetime) -> FlexReply | int:
        reference = given.get("q", "")
        if reference not in self._waiting:
            return 1017
        asked, left = self._waiting[reference]
        if left:
            self._waiting[reference] = asked, left - 1
            return 1019
        del self._waiting[reference]
        with self.world.lock:
            return FlexReply(200, statement(self.world, *asked, now, self.style).encode())


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007  # a day has no zone


def _failure(code: int) -> str:
    message = _MESSAGES.get(code, "Statement could not be retrieved at this time.")
    return f"<ErrorCode>{code}</ErrorCode>\n<ErrorMessage>{message}</ErrorMessage>"


def _message(status: str, fields: str) -> FlexReply:
    text = (
        "<FlexStatementResponse timestamp='28 August, 2025 10:37 AM EDT'>\n"
        f"<Status>{status}</Status>\n{fields}\n</FlexStatementResponse>\n"
    )
    return FlexReply(200, text.encode())
