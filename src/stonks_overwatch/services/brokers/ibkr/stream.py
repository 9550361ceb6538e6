"""IBKR's websocket through iBind, with what iBind leaves out: a gate for frames, and a breaker.

The address holds the access token, so no line of the libraries underneath is logged (client.py).
"""

import re
import threading
import time
from collections import deque
from os import environ
from pathlib import Path
from typing import Any, Protocol

import certifi
from django.db import connection
from websocket import WebSocketException

from stonks_overwatch.errors import BrokerUnreachableError, RefusedCallError
from stonks_overwatch.services.brokers.ibkr.client import (
    IbkrRouter,
    IbkrWsClient,
    ReadOnlyClient,
    events,
    ws_transport,
)

_ACCOUNT, _NUMBER, _OPTIONS = "[A-Za-z0-9_-]{1,32}", "[0-9]{1,12}", r'\{[A-Za-z0-9_":,\[\] -]{0,1000}\}'
_FRAMES = re.compile(
    rf"(ssd|sld)\+{_ACCOUNT}(\+{_OPTIONS})?"
    rf"|(usd|uld)\+{_ACCOUNT}(\+\{{\}})?"
    rf"|smd\+{_NUMBER}\+{_OPTIONS}"
    rf"|umd\+{_NUMBER}(\+\{{\}})?"
    rf"|(spl|str)(\+{_OPTIONS})?"
    rf"|(upl|utr)(\+\{{\}})?"
    r"|tic"
)
"""The frames that only ask to be told something, or no longer. Orders, exercises and the rest never leave."""

MOST_OPENINGS = 8
WITHIN_SECONDS = 300.0
"""More tickles or handshakes than this in such a time, and the stream stays closed: iBind opens again at
once, without end, when IBKR ends the connection each time or hands out another cookie with each tickle."""


def may_leave(frame: object) -> bool:
    return isinstance(frame, str) and _FRAMES.fullmatch(frame) is not None


class _Gate(ws_transport.WebSocketApp):  # type: ignore[misc]  # iBind's import of it has no types
    """The last place before the wire that a frame of iBind's passes, whoever made it."""

    def send(self, data: Any, opcode: int = 1) -> None:
        if opcode != 1 or not may_leave(data):
            raise _refused()
        super().send(data, opcode)

    def send_text(self, text_data: str) -> None:
        self.send(text_data)

    def send_bytes(self, _data: bytes) -> None:
        raise _refused()


# Every websocket that iBind opens in this process, not only those of the class below.
ws_transport.WebSocketApp = _Gate


class Listener(Protocol):
    """What is told every event, in a thread of iBind's."""

    def emit(self, event: Any) -> None: ...


class _Router(IbkrRouter):  # type: ignore[misc]  # iBind has no types
    """Keeps the numbers of the fields: iBind's own reading drops when a quote was made."""

    def _preprocess_market_data_message(self, data: dict[str, Any]) -> Any:
        return events.MarketData(conid=str(data["conid"]), data=data) if "conid" in data else []


class ReadOnlyStream(IbkrWsClient):  # type: ignore[misc]  # iBind has no types
    """iBind's websocket client that can only listen, over the connection of an existing login."""

    def __init__(self, ibkr: ReadOnlyClient, address: str, listener: Listener) -> None:
        self._openings: deque[float] = deque(maxlen=MOST_OPENINGS)
        self._counting = threading.Lock()
        self.is_broken = False
        super().__init__(
            account_id=None,
            url=address,
            ibkr_client=ibkr,
            use_oauth=True,
            access_token=ibkr.oauth_config.access_token,
            cacert=_certificates(),
            sink=listener,
            router=_Router(),
            synchronous_output_events=True,
        )

    # What iBind calls in its threads, before each connection and to look after it

    def _get_cookie(self) -> Any:
        self._count_opening()
        try:
            return super()._get_cookie()
        finally:
            connection.close()  # the pacer's, of a thread that nobody else looks after

    def _get_header(self) -> Any:
        return self._headers  # called by the websocket before each handshake

    def _headers(self) -> dict[str, str]:
        self._count_opening()
        return {"User-Agent": "ClientPortalGW/1"}

    def _get_authenticated(self) -> Any:
        try:
            return super()._get_authenticated()
        finally:
            connection.close()

    def _count_opening(self) -> None:
        """Raises: BrokerUnreachableError when there were too many, and from then on."""
        with self._counting:
            now = time.monotonic()
            full = len(self._openings) == MOST_OPENINGS
            if full and now - self._openings[0] < WITHIN_SECONDS:
                self.is_broken = True
            self._openings.append(now)
        if self.is_broken:
            raise BrokerUnreachableError(
                "IBKR's live connection breaks off each time it is opened.",
                next_step="Nothing: it is tried again by itself, and the syncs go on.",
            )

    def tic(self) -> Any:
        """Say that we are still there; None when the connection is just being opened again."""
        try:
            return super().tic()
        except (RuntimeError, OSError, WebSocketException):
            return None

    def close_for_good(self) -> None:
        """End the connection and what belongs to it. Takes up to some seconds."""
        self.shutdown()
        self.is_broken = True  # should a thread of iBind's have outlived it


def _certificates() -> str:
    """The certificates to trust, as REST does; iBind by itself would check none on the websocket."""
    named = environ.get("REQUESTS_CA_BUNDLE", "")
    return named if named and Path(named).is_file() else certifi.where()


def _refused() -> RefusedCallError:
    # Without the frame: it may hold an account.
    return RefusedCallError(
        "A frame that does not only read was not sent to IBKR's websocket.",
        next_step="Report this: Stonks Overwatch never changes anything at IBKR.",
    )
