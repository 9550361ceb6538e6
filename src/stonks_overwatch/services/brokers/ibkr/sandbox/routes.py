"""Which request is answered by what, and in which state of the login IBKR refuses it."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stonks_overwatch.services.brokers.ibkr.sandbox import answers, quotes
from stonks_overwatch.services.brokers.ibkr.sandbox.faults import Fault
from stonks_overwatch.services.brokers.ibkr.sandbox.oauth import Session
from stonks_overwatch.services.brokers.ibkr.sandbox.world import World


class RejectedError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, text: str, *, bare: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.body = {"error": text} if bare else {"error": text, "statusCode": status}


@dataclass
class Request:
    """A call whose signature was found right."""

    method: str
    path: str  # below the base address, without query
    query: dict[str, list[str]]
    body: Any
    world: World
    session: Session
    faults: Sequence[Fault]
    end_login: Callable[[], None]
    parts: tuple[str, ...] = field(default=())

    @property
    def visible(self) -> list[str]:
        """The accounts that this login may see."""
        named = self.session.user.accounts
        return [name for name in self.world.holders if not named or name in named]

    def one(self, name: str) -> str | None:
        values = self.query.get(name)
        return values[0] if values else None

    def meets(self, effect: str) -> bool:
        return any(fault.effect == effect for fault in self.faults)


Route = Callable[[Request], Any]
_ROUTES: list[tuple[str, re.Pattern[str], Route]] = []
# What changes something, costs money or shows more than a tracker may see. It is there, so that a call
# to it is seen and recorded; it is always refused.
_MUTATING = re.compile(
    r"POST iserver/account/[^/]+/orders(/whatif)?"
    r"|(POST|DELETE) iserver/account/[^/]+/order/[^/]+"
    r"|POST iserver/(reply/[^/]+|questions/suppress(/reset)?|notification|account|dynaccount|reauthenticate)"
    r"|(GET|POST|PUT|DELETE) iserver/account/[^/]+/alerts?(/.*)?"
    r"|(POST|DELETE) iserver/watchlist"
    r"|(GET|POST|PUT|DELETE) (fa|iserver/account/allocation|gw/api|hmds)(/.*)?"
    r"|(POST|PUT|DELETE) fyi/.*"
    r"|GET md/regsnapshot"
    r"|GET acesws/[^/]+/signatures-and-owners"
    r"|POST iserver/scanner/run"
)


def is_mutating(method: str, path: str) -> bool:
    return _MUTATING.fullmatch(f"{method} {path}") is not None


def displaces(path: str, content: bytes) -> bool:
    """Whether a request would throw the user's other login out of the brokerage session."""
    return path == "iserver/auth/ssodh/init" and b'"compete":false' not in content.replace(b" ", b"")


def answer(request: Request) -> Any:
    """The JSON that answers a request. Raises RejectedError."""
    if is_mutating(request.method, request.path):
        raise RejectedError(403, "Forbidden")
    for method, pattern, route in _ROUTES:
        found = pattern.fullmatch(request.path) if method == request.method else None
        if found:
            request.parts = found.groups()
            return route(request)
    raise RejectedError(404, "Resource not found")


def _route(pattern: str) -> Callable[[Route], Route]:
    def add(route: Route) -> Route:
        methods, path = pattern.split(" ", 1)
        _ROUTES.extend((method, re.compile(path), route) for method in methods.split("|"))
        return route

    return add


# Session


@_route("POST|GET tickle")
def _tickle(request: Request) -> Any:
    cookie = secrets.token_hex(16) if request.meets("new_cookie") else request.session.cookie
    competing = request.meets("competing")
    return answers.tickle(cookie, request.session.brokerage and not competing, competing=competing)


@_route("POST logout")
def _logout(request: Request) -> Any:
    request.end_login()
    return {"status": True}


@_route("POST|GET iserver/auth/status")
def _status(request: Request) -> Any:
    competing = request.meets("competing")
    return answers.authentication(request.session.brokerage and not competing, competing=competing)


@_route("POST iserver/auth/ssodh/init")
def _open_brokerage_session(request: Request) -> Any:
    if request.meets("competing"):
        request.session.brokerage = False
        return answers.authentication(brokerage=False, competing=True)
    request.session.brokerage = True
    return answers.authentication(brokerage=True)


@_route("GET iserver/accounts")
def _brokerage_accounts(request: Request) -> Any:
    _need_brokerage(request)
    request.session.brokerage_accounts_asked = True
    return answers.brokerage_accounts(request.world, request.session.cookie)


# Market data


@_route("GET iserver/marketdata/snapshot")
def _snapshot(request: Request) -> Any:
    """The first answer for an instrument only opens its feed; the fields come from the second on."""
    _need_brokerage(request)
    if not request.session.brokerage_accounts_asked:
        raise RejectedError(400, "Bad Request: Please query /accounts first")
    conids = [int(conid) for conid in (request.one("conids") or "").split(",") if conid.isdecimal()]
    fields = (request.one("fields") or "").split(",")
    known = request.session.quoted
    rows = [
        quotes.row(request.world, conid, fields if conid in known else (), "RpB")
        for conid in conids
        if conid in request.world.market.instruments
    ]
    known.update(conids)
    return rows


@_route("POST iserver/marketdata/unsubscribe")
def _unsubscribe(request: Request) -> Any:
    _need_brokerage(request)
    conid = request.body.get("conid")
    if conid not in request.session.quoted:
        raise RejectedError(500, "unknown", bare=True)
    request.session.quoted.discard(conid)
    return {"success": True}


@_route("GET iserver/marketdata/unsubscribeall")
def _unsubscribe_all(request: Request) -> Any:
    _need_brokerage(request)
    request.session.quoted.clear()
    return {"unsubscribed": True}


# Portfolio


@_route("GET portfolio/(?:sub)?accounts")
def _accounts(request: Request) -> Any:
    request.session.accounts_asked = True
    return [answers.account(request.world, name) for name in request.visible]


@_route("GET portfolio/([^/]+)/meta")
def _meta(request: Request) -> Any:
    return answers.account(request.world, _account(request))


@_route("GET portfolio/([^/]+)/summary")
def _summary(request: Request) -> Any:
    return answers.summary(request.world, _account(request))


@_route("GET portfolio/([^/]+)/ledger")
def _ledger(request: Request) -> Any:
    return answers.ledger(request.world, _account(request))


@_route("GET portfolio/([^/]+)/allocation")
def _allocation(request: Request) -> Any:
    return answers.allocation(request.world, _account(request))


@_route(r"GET portfolio/([^/]+)/positions/(\d+)")
def _positions(request: Request) -> Any:
    """Cold at first: the contract data is fetched by the first call and there from the second on."""
    account, number = _account(request), int(request.parts[1])
    waits = (request.one("waitForSecDef") or "").lower() == "true"
    warm = waits or account in request.session.warm
    request.session.warm.add(account)
    rows = _rows(request, account, warm)
    sort, direction = request.one("sort"), request.one("direction")
    page = answers.page(rows, number, sort, direction)
    if number and page and request.meets("shifted"):
        # A row was added before this page since the last one was read: one row comes twice, one never.
        page = [answers.page(rows, number - 1, sort, direction)[-1], *page[1:]]
    return page


def _rows(request: Request, account: str, warm: bool) -> list[dict[str, Any]]:
    """All pages' rows; rendered once for the pages that are read in a row."""
    if request.meets("stale"):
        quantities = request.world.stale.get(account)
        return answers.positions(request.world, account, warm=warm, quantities=quantities)
    pages = request.session.pages
    state = (request.world.version, warm)
    if account not in pages or pages[account][0] != state:
        pages[account] = (state, answers.positions(request.world, account, warm=warm))
    return pages[account][1]


@_route("GET portfolio2/([^/]+)/positions")
def _positions2(request: Request) -> Any:
    rows = answers.positions2(request.world, _account(request))
    return answers.in_order(rows, request.one("sort"), request.one("direction"))


@_route("POST portfolio/([^/]+)/positions/invalidate")
def _invalidate(request: Request) -> Any:
    request.session.warm.discard(_account(request))
    return {"message": "success"}


# Instruments and rates


@_route("GET trsrv/secdef")
def _definitions(request: Request) -> Any:
    conids = ",".join(request.query.get("conids", [])).split(",")
    if len(conids) > 200 or not all(conid.strip().isdecimal() for conid in conids):
        raise RejectedError(400, "Bad Request: conids")
    return answers.definitions(request.world, [int(conid) for conid in conids])


@_route("GET iserver/exchangerate")
def _exchange_rate(request: Request) -> Any:
    _need_brokerage(request)
    source, target = request.one("source") or "", request.one("target") or ""
    if not {source, target} <= set(request.world.market.currencies):
        raise RejectedError(400, "Bad Request: unknown currency")
    return answers.exchange_rate(request.world, source, target)


@_route("GET iserver/currency/pairs")
def _currency_pairs(request: Request) -> Any:
    _need_brokerage(request)
    return answers.currency_pairs(request.world, request.one("currency") or "USD")


# PortfolioAnalyst


@_route("POST pa/performance")
def _performance(request: Request) -> Any:
    period = request.body.get("period", "12M")
    if period not in answers.PERIODS:
        raise RejectedError(400, "Bad Request: invalid period")
    return answers.performance(request.world, _analysed_accounts(request), period)


@_route("POST pa/allperiods")
def _all_periods(request: Request) -> Any:
    return answers.all_periods(request.world, _analysed_accounts(request))


@_route("POST pa/transactions")
def _transactions(request: Request) -> Any:
    conids, currency = request.body.get("conids"), request.body.get("currency")
    if not isinstance(conids, list) or len(conids) != 1 or not str(conids[0]).isdecimal():
        raise RejectedError(400, "Bad Request: conids")
    if currency not in request.world.market.currencies:
        raise RejectedError(400, "Bad Request: currency")
    days = int(request.body.get("days", answers.HISTORY_DAYS))
    return answers.transactions(request.world, _analysed_accounts(request), int(conids[0]), currency, days)


def _account(request: Request) -> str:
    """The account in the path, if it is one of ours and the accounts were asked for before."""
    name = request.parts[0]
    if name not in request.visible:
        raise RejectedError(401, "not authorized for this account")
    if not request.session.accounts_asked:
        raise RejectedError(400, "Bad Request: Please query /portfolio/accounts first")
    return name


def _analysed_accounts(request: Request) -> list[str]:
    names = request.body.get("acctIds")
    if not isinstance(names, list) or not names:
        raise RejectedError(400, "Bad Request: acctIds")
    if not set(names) <= set(request.visible):
        raise RejectedError(500, "unknown account", bare=True)
    return names


def _need_brokerage(request: Request) -> None:
    if not request.session.brokerage:
        raise RejectedError(400, "Bad Request: no bridge")
