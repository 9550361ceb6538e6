"""Frames that only read leave through iBind's websocket, and no others, whoever makes them.

What may leave is written here a second time, from IBKR's documentation.
"""

import inspect
from typing import Any

import pytest
from ibind import subscriptions
from ibind.ws import ws_transport

from stonks_overwatch.errors import BrokerUnreachableError, RefusedCallError
from stonks_overwatch.services.brokers.ibkr import stream
from stonks_overwatch.services.brokers.ibkr.credentials import ws_url
from stonks_overwatch.services.brokers.ibkr.stream import ReadOnlyStream, may_leave
from tests.services.brokers.ibkr.conftest import Connect

ARGUMENTS: dict[str, Any] = {
    "account_id": "U7654321",
    "conid": "265598",
    "fields": ["31", "7635"],
    "keys": ["LedgerListBASE"],
    "days": 7,
    "server_id": ["q6"],
}
READS = {
    "AccountLedgerSubscription",
    "AccountSummarySubscription",
    "MarketDataSubscription",
    "PnlSubscription",
    "TradesSubscription",
}
REFUSED = {"MarketHistorySubscription", "OrdersSubscription", "PriceLadderSubscription"}


class Nobody:
    def emit(self, event: Any) -> None: ...


def kinds() -> dict[str, Any]:
    """iBind's kinds of subscription by name."""
    found = inspect.getmembers(subscriptions, inspect.isclass)
    return {name: kind for name, kind in found if name.endswith("Subscription")}


def test_every_kind_of_subscription_is_let_through_or_refused_as_documented() -> None:
    made = {
        name: kind(**{field: ARGUMENTS[field] for field in kind.model_fields if field in ARGUMENTS})
        for name, kind in kinds().items()
        if name in READS | REFUSED
    }

    assert set(made) == READS | REFUSED
    assert {name for name in kinds() if name not in made} <= {"Subscription", "IbkrSubscription"}
    for name, one in made.items():
        frames = [one.subscribe_payload(), one.unsubscribe_payload()]
        assert [may_leave(frame) for frame in frames] == [name in READS] * 2, frames


@pytest.mark.parametrize(
    "frame",
    [
        "sor+{}",
        "uor+{}",
        "sbd+U7654321+265598+NYSE",
        "shs+265598",
        'inp+exercise+{"conid":1}',
        "smh+265598+{}",
        "",
        "tic ",
        " tic",
        "tic\nsor+{}",
        "TIC",
        "spl+{}\n",
        "smd+265598",
        "smd+265598+{}+sor",
        'smd+265598+{"fields":["31"]}sor+{}',
        "smd+\N{ARABIC-INDIC DIGIT THREE}+{}",
        "ssd+U1/../orders+{}",
        "ech+hb",
        b"tic",
        None,
    ],
)
def test_no_other_frame_may_leave(frame: object) -> None:
    assert not may_leave(frame)


@pytest.mark.parametrize("frame", ["tic", "spl", "spl+{}", "upl", "utr", "uld+U7654321+{}", "umd+265598"])
def test_frames_with_and_without_a_tail_may_leave(frame: str) -> None:
    assert may_leave(frame)


def test_every_websocket_of_ibind_has_the_gate() -> None:
    """Below iBind: the frame is refused before anything is looked at, even a connection."""
    socket = ws_transport.WebSocketApp("ws://127.0.0.1:9/")

    for send in (socket.send, socket.send_text, socket.send_bytes):
        with pytest.raises(RefusedCallError, match="was not sent"):
            send("sor+{}")
    with pytest.raises(RefusedCallError):
        socket.send("tic", opcode=2)


@pytest.mark.django_db(transaction=True)
def test_certificates_of_the_websocket_are_checked(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """iBind by itself checks none."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    _, ibkr = connect()

    options = ReadOnlyStream(ibkr, ws_url(), Nobody())._runtime._transport._sslopt

    assert options["ca_certs"].endswith("cacert.pem")
    assert "cert_reqs" not in options  # so the library's own default, which is to require one


@pytest.mark.django_db(transaction=True)
def test_the_breaker_stays_open_once_there_were_too_many_connections(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, ibkr = connect()
    monkeypatch.setattr(stream, "MOST_OPENINGS", 3)
    broken = ReadOnlyStream(ibkr, ws_url(), Nobody())

    for _ in range(3):
        broken._get_cookie()
    with pytest.raises(BrokerUnreachableError):
        broken._get_cookie()
    with pytest.raises(BrokerUnreachableError):
        broken._headers()

    assert broken.is_broken
    assert [call.path for call in sandbox.calls].count("tickle") == 3
