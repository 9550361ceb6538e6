"""Nothing but the read-only calls leaves, whichever method of iBind is called and whatever path it is given.

The list of what may leave is written here a second time, from IBKR's documentation, so that a mistake in
the client's own list is seen.
"""

import inspect
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import ibind.client.ibkr_client
import pytest
import requests
from ibind import IbkrClient, OrderRequest, StockQuery
from ibind.client.ibkr_utils import QuestionType

from stonks_overwatch.errors import RefusedCallError
from stonks_overwatch.services.brokers.ibkr.client import ReadOnlyClient
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox, preset
from tests.services.brokers.ibkr.conftest import Connect, asked

ACCOUNT = "U7654321"
MAY_LEAVE = re.compile(
    r"POST (oauth/live_session_token|tickle|iserver/auth/status)"
    r"|GET (tickle|iserver/auth/status|sso/validate)"
    r"|GET portfolio/(accounts|subaccounts|subaccounts2)"
    r"|GET portfolio/U7654321/(meta|summary|ledger|allocation|positions/\d+|position/\d+|combo/positions)"
    r"|GET portfolio2/U7654321/positions"
    r"|GET portfolio/positions/\d+"
    r"|POST portfolio/(allocation|U7654321/positions/invalidate)"
    r"|POST pa/(performance|allperiods|transactions)"
    r"|GET trsrv/(secdef|stocks|futures|secdef/schedule)"
    r"|GET contract/trading-schedule"
    r"|GET iserver/(contract/\d+/info|secdef/search|secdef/strikes|secdef/info)"
    r"|GET iserver/(currency/pairs|exchangerate|accounts|marketdata/snapshot|marketdata/history)"
    r"|GET iserver/account/(U7654321/summary|pnl/partitioned|trades)"
)
# Named in the documentation of what must be unreachable.
MUST_BE_REFUSED = {
    "cancel_order", "create_watchlist", "delete_watchlist", "historical_marketdata_beta",
    "initialize_brokerage_session", "logout", "market_scanner", "modify_order", "oauth_shutdown",
    "place_order", "portfolio_account_allocations", "reauthenticate", "regulatory_snapshot", "reply",
    "reset_suppressed_messages", "set_dynamic_account", "signatures_and_owners", "suppress_messages",
    "switch_account", "whatif_order",
}  # fmt: skip
RAW = {"delete", "get", "post", "request"}
ORDER = OrderRequest(conid=265598, side="BUY", quantity=1, order_type="MKT", acct_id=ACCOUNT)

ARGUMENTS: dict[str, Any] = {
    "account_id": ACCOUNT,
    "account_ids": [ACCOUNT],
    "accounts": [{"accountId": ACCOUNT, "allocation": 1}],
    "answers": dict.fromkeys(QuestionType, True),
    "compete": True,
    "conid": "265598",
    "conids": ["265598"],
    "currency": "USD",
    "fields": ["31"],
    "init_brokerage_session": True,
    "interval": 3600,
    "maintain_oauth": False,
    "message_ids": ["o1"],
    "order_id": 1,
    "order_request": ORDER,
    "page": 0,
    "period": "1Y",
    "queries": [StockQuery("AAPL")],
    "request_method": "GET",
    "rows": [{"C": 265598}],
    "symbols": ["AAPL"],
}


@pytest.fixture
def opened(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, ReadOnlyClient]]:
    """A client on a server that records whatever arrives; what iBind does to the process is left out."""
    sandbox, ibkr = connect()
    monkeypatch.setattr(ibind.client.ibkr_client, "_HEALTH_SLEEP_INTERVAL", 0)
    monkeypatch.setattr("atexit.register", lambda *_: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("time.sleep", lambda _: None)
    yield sandbox, ibkr
    ibkr.stop_tickler(0)


def arguments(method: Callable[..., Any]) -> dict[str, Any]:
    """A plausible value for every parameter that has no default."""
    return {
        name: ARGUMENTS.get(name, "1")
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and (parameter.default is parameter.empty or name in ("account_id", "compete"))
    }


@pytest.mark.filterwarnings("ignore:'handle_health_status' is deprecated:DeprecationWarning")
def test_no_method_of_ibind_gets_a_call_out_that_is_not_on_the_list(
    opened: tuple[Sandbox, ReadOnlyClient],
) -> None:
    sandbox, ibkr = opened
    refused = set()
    called = []

    for name, _ in inspect.getmembers(IbkrClient, callable):
        if name.startswith("_") or name in RAW:
            continue
        method = getattr(ibkr, name)
        called.append(name)
        try:
            method(**arguments(method))
        except RefusedCallError:
            refused.add(name)
        except Exception as err:  # noqa: BLE001  # iBind's reading of an answer fails in many ways
            # It was called as it wants to be called.
            assert "required positional argument" not in str(err), name  # noqa: PT017

    assert len(called) > 80  # if not, iBind has changed: look at the lists above again
    assert refused >= MUST_BE_REFUSED | {name for name in called if name.startswith(("fa_", "hmds_"))}
    left = {call for call in asked(sandbox) if not MAY_LEAVE.fullmatch(call)}
    assert not left
    assert not [call for call in sandbox.calls if call.is_mutating]
    assert {"GET portfolio/U7654321/ledger", "POST pa/transactions", "POST tickle"} <= set(asked(sandbox))


ORDERS = f"iserver/account/{ACCOUNT}/orders"


HOSTILE = [
    ORDERS,
    f"/{ORDERS}",
    f"//{ORDERS}",
    f"portfolio/../{ORDERS}",
    f"portfolio/accounts/../../{ORDERS}",
    f"portfolio/%2e%2e/{ORDERS}",
    f"portfolio/{ACCOUNT}/meta/../../../{ORDERS}",
    f"portfolio/accounts?/../../{ORDERS}",
    f"portfolio/accounts#/../../{ORDERS}",
    f"portfolio/accounts\\..\\..\\{ORDERS}",
    "iserver%2Faccount",
    "iserver/./account",
    "iserver//account",
    "IServer/Account",
    "portfolio/accounts//",
    "portfolio//accounts",
    "portfolio/accounts?x=1",
    "portfolio/accounts\n",
    "portfolio/accounts\r\nX-HTTP-Method-Override: DELETE",
    "portfolio/accounts ",
    "PORTFOLIO/ACCOUNTS",
    "portfolio/../meta",
    "portfolio/U1;x/meta",
    "portfolio/U1@host/meta",
    "portfolio/U7654321/positions/-1",
    "portfolio/U7654321/positions/٣",
    "http://example.org/portfolio/accounts",
    "@example.org/portfolio/accounts",
    "md/regsnapshot",
    "logout",
    "",
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH", "get", "CONNECT"])
def test_no_hostile_path_gets_out(connect: Connect, method: str) -> None:
    sandbox, ibkr = connect()

    for path in HOSTILE:
        with pytest.raises(RefusedCallError):
            ibkr.request(method, path)

    assert not sandbox.calls


@pytest.mark.parametrize(
    "send",
    [
        lambda ibkr: ibkr.get(ORDERS),
        lambda ibkr: ibkr.post(ORDERS, {"orders": []}),
        lambda ibkr: ibkr.delete(f"iserver/account/{ACCOUNT}/order/1"),
        lambda ibkr: ibkr.delete("portfolio/accounts"),
        lambda ibkr: ibkr.post("portfolio/accounts"),
        lambda ibkr: ibkr.get("portfolio/accounts", base_url="https://example.org/"),
        lambda ibkr: ibkr.get("accounts", base_url=f"{ibkr.base_url}portfolio/"),
        lambda ibkr: ibkr.get("portfolio/accounts", extra_headers={"X-HTTP-Method-Override": "DELETE"}),
        lambda ibkr: ibkr.request("GET", "portfolio/accounts", verify=False),
        lambda ibkr: ibkr.request("GET", "portfolio/accounts", data="x"),
        lambda ibkr: ibkr.request("GET", "portfolio/accounts", headers={}),
        lambda ibkr: ibkr.request("GET", "portfolio/accounts", allow_redirects=True),
        lambda ibkr: ibkr.request("GET", "portfolio/accounts", proxies={"http": "http://example.org"}),
    ],
)
def test_no_argument_opens_a_way_around(connect: Connect, send: Callable[[ReadOnlyClient], Any]) -> None:
    sandbox, ibkr = connect()

    with pytest.raises(RefusedCallError, match="was not sent"):
        send(ibkr)

    assert not sandbox.calls


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ORDERS),
        ("POST", f"portfolio/../{ORDERS}"),
        ("POST", "logout"),
        ("GET", "md/regsnapshot"),
        ("DELETE", "portfolio/accounts"),
        ("GET", "../../_sandbox/calls"),
    ],
)
def test_the_session_itself_lets_nothing_else_through(connect: Connect, method: str, path: str) -> None:
    sandbox, ibkr = connect()

    with pytest.raises(RefusedCallError):
        ibkr._session.request(method, ibkr.base_url + path)
    with pytest.raises(RefusedCallError):
        ibkr._session.send(requests.Request(method, ibkr.base_url + path).prepare())

    assert not sandbox.calls


def test_the_session_knows_its_own_address_only(connect: Connect) -> None:
    _, ibkr = connect()

    with pytest.raises(RefusedCallError):
        ibkr._session.get("https://example.org/v1/api/portfolio/accounts")


def test_a_redirect_is_not_followed_with_the_signature(connect: Connect) -> None:
    sandbox, ibkr = connect()
    ibkr.tickle()
    sandbox.faults.add(preset("redirect"))

    with pytest.raises(RefusedCallError):  # if something did follow it, the session would stop it
        ibkr._session.get(ibkr.base_url + "portfolio/accounts", allow_redirects=True)

    assert not [path for path in asked(sandbox) if "moved" in path]


def test_slashes_at_the_ends_do_not_matter(connect: Connect) -> None:
    sandbox, ibkr = connect()

    ibkr.get("/trsrv/secdef/", {"conids": "265598"})

    assert asked(sandbox)[-1] == "GET trsrv/secdef"
