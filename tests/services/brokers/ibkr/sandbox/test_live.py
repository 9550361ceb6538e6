"""The sandbox's websocket and market data, as the unmodified iBind and a bare client meet them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from typing import Any

import ibind.var
import pytest
from ibind import ExternalBrokerError, IbkrClient, IbkrWsClient, events, subscriptions
from websocket import WebSocket, WebSocketBadStatusException, create_connection

from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox, preset
from tests.conftest import StartSandbox
from tests.services.brokers.ibkr.sandbox.conftest import LogIn

APPLE, ACCOUNT = "265598", "U7654321"


def until(holds: Callable[[], Any], seconds: float = 15) -> None:
    """Wait for something to become true. Fails when it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


class Opened:
    """A sandbox, a login with the brokerage session open, and bare connections to the websocket."""

    def __init__(self, sandbox: Sandbox, client: IbkrClient, connections: ExitStack) -> None:
        self.sandbox = sandbox
        self.client = client
        self.token = json.loads(sandbox.config_file.read_text())["ibkr"]["credentials"]["access_token"]
        self._connections = connections

    def connect(self, cookie: str | None = None, token: str | None = None) -> "Bare":
        session = self.client.tickle().data["session"] if cookie is None else cookie
        address = f"{self.sandbox.ws_url}?oauth_token={token or self.token}"
        wire = create_connection(address, cookie=f"api={session}", timeout=10)
        return Bare(self._connections.enter_context(closing(wire)))


class Bare:
    """A connection without iBind around it."""

    def __init__(self, wire: WebSocket) -> None:
        self.wire = wire

    def hears(self, topic: str) -> dict[str, Any]:
        """The next message of a topic; what comes before it is skipped."""
        while True:
            message: dict[str, Any] = json.loads(self.wire.recv())
            if message.get("topic") == topic or (topic in message and "topic" not in message):
                return message

    def asks(self, frame: str, topic: str) -> dict[str, Any]:
        self.wire.send(frame)
        return self.hears(topic)


@pytest.fixture
def opened(sandbox: StartSandbox, log_in: LogIn) -> Iterator[Opened]:
    running = sandbox("small")
    running.streams.seconds_between_rounds = 0.05
    client = log_in(running)
    client.initialize_brokerage_session(compete=False)
    with ExitStack() as connections:
        yield Opened(running, client, connections)


def test_the_greeting_is_ibkrs(opened: Opened) -> None:
    bare = opened.connect()

    assert bare.hears("message") == {"message": "waiting for session"}
    assert bare.hears("system")["success"]
    assert bare.hears("sts")["args"] == {"authenticated": True, "competing": False}
    assert bare.hears("act")["args"]["accounts"] == [ACCOUNT]
    assert abs(bare.hears("system")["hb"] / 1000 - time.time()) < 60


@pytest.mark.parametrize(("cookie", "token"), [("0" * 32, None), (None, "somebody-elses")])
def test_a_stranger_is_turned_away(opened: Opened, cookie: str | None, token: str | None) -> None:
    with pytest.raises(WebSocketBadStatusException, match="401"):
        opened.connect(cookie, token)


def test_quotes_come_at_once_and_then_what_changes(opened: Opened) -> None:
    bare = opened.connect()
    first = bare.asks('smd+265598+{"fields":["31","7635","6509"]}', "smd+265598")
    opened.sandbox.world.set_price(int(APPLE), Decimal("1231.75"))
    second = bare.hears("smd+265598")

    assert (first["conid"], first["31"], first["6509"]) == (265598, "230.5", "RpB")
    assert (second["31"], second["7635"]) == ("1,231.75", "1,231.75")
    assert "6509" not in second
    bare.wire.send("umd+265598+{}")
    bare.wire.send("tic")
    assert bare.hears("tic")["alive"] is True


@pytest.mark.parametrize("tail", ["", "+{}"])
def test_frames_with_and_without_a_tail_mean_the_same(opened: Opened, tail: str) -> None:
    bare = opened.connect()

    assert bare.asks(f"sld+{ACCOUNT}{tail}", f"sld+{ACCOUNT}")["result"][0]["acctCode"] == ACCOUNT
    assert bare.asks(f"ssd+{ACCOUNT}{tail}", f"ssd+{ACCOUNT}")["result"][0]["key"] == "AccountCode"
    assert bare.asks(f"spl{tail}", "spl")["args"][f"{ACCOUNT}.Core"]["nl"] == 21204.11
    assert bare.asks(f"str{tail}", "str")["args"] == []
    assert bare.asks(f"uld+{ACCOUNT}{tail}", "result")["result"] == "unsubscribed from ledger"
    assert bare.asks(f"usd+{ACCOUNT}{tail}", "result")["result"] == "unsubscribed from summary"
    assert bare.asks("sld+U7654321+{}", f"sld+{ACCOUNT}")["result"]


def test_todays_trades_are_told(opened: Opened) -> None:
    opened.sandbox.world.sell(ACCOUNT, int(APPLE), Decimal("0.5"), Decimal(231))

    (row,) = opened.connect().asks("str", "str")["args"]

    assert (row["side"], row["size"], row["price"], row["conid"]) == ("S", 0.5, "231", int(APPLE))


@pytest.mark.parametrize("frame", ["sor+{}", "inp+exercise+{}", "sbd+U7654321+265598"])
def test_what_does_not_only_read_is_recorded_and_not_done(opened: Opened, frame: str) -> None:
    assert opened.connect().asks(frame, "error")["error"]

    assert [one.text for one in opened.sandbox.streams.frames if one.is_mutating] == [frame]


def test_a_session_that_would_displace_another_is_recorded(opened: Opened) -> None:
    opened.client.initialize_brokerage_session(compete=True)

    assert [call.is_mutating for call in opened.sandbox.calls if "ssodh" in call.path] == [False, True]


def test_a_new_login_ends_what_the_older_one_opened(opened: Opened, log_in: LogIn) -> None:
    bare = opened.connect()
    bare.hears("act")

    log_in(opened.sandbox)

    until(lambda: not opened.sandbox.streams.connections)


def test_a_snapshot_has_its_fields_from_the_second_time_on(opened: Opened) -> None:
    ask = opened.client.live_marketdata_snapshot
    with pytest.raises(ExternalBrokerError, match="query /accounts first"):
        ask([APPLE], ["31"])
    opened.client.receive_brokerage_accounts()

    first, second = ask([APPLE], ["31", "55"]).data[0], ask([APPLE], ["31", "55"]).data[0]

    assert "31" not in first
    assert (second["31"], second["55"], second["conid"]) == ("230.5", "AAPL", 265598)
    assert opened.client.marketdata_unsubscribe_all().data == {"unsubscribed": True}
    assert "31" not in ask([APPLE], ["31"]).data[0]


def test_prices_move_by_themselves_in_the_demo_alone(sandbox: StartSandbox) -> None:
    assert sandbox("demo").streams.moves
    assert not sandbox("small").streams.moves


def test_ibind_streams_and_hears_about_another_login(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ibind.var, "IBIND_WS_TIMEOUT", 2)
    heard: list[Any] = []

    class Sink:
        def emit(self, event: Any) -> None:
            heard.append(event)

    stream = IbkrWsClient(
        account_id=ACCOUNT,
        url=opened.sandbox.ws_url,
        ibkr_client=opened.client,
        use_oauth=True,
        access_token=opened.token,
        cacert=False,
        sink=Sink(),
        synchronous_output_events=True,
    )
    assert stream.start()
    try:
        wanted = [
            subscriptions.MarketDataSubscription(conid=APPLE, fields=["31"]),
            subscriptions.AccountLedgerSubscription(account_id=ACCOUNT),
            subscriptions.AccountSummarySubscription(account_id=ACCOUNT),
            subscriptions.PnlSubscription(),
            subscriptions.TradesSubscription(),
        ]
        handles = [stream.subscribe(one) for one in wanted]
        assert all(handle.wait(10) for handle in handles)
        assert stream.tic()["alive"] is True
        assert all(stream.unsubscribe(one).wait(10) for one in wanted)

        opened.sandbox.faults.add(preset("competing"))
        until(lambda: any(isinstance(e, events.AuthenticationStatus) and e.competing for e in heard))
    finally:
        stream.shutdown()

    assert {"MarketData", "AccountLedger", "AccountSummary", "Pnl", "Trades"} <= {
        type(event).__name__ for event in heard
    }
