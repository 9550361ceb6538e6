"""What can go wrong on IBKR's side, as switches: which requests, how many times, and what happens to them."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

Effect = Literal[
    # instead of an answer
    "status", "reset", "stall", "redirect", "box",
    # at the login
    "not_activated", "unknown_consumer", "wrong_signature", "wrong_token_signature", "expire_token",
    # of the answer
    "slow", "truncate", "cut_off", "incomplete", "shifted", "stale", "without_price", "missing_fields",
    "extra_fields", "conid_type", "missing_currency",
    # of the brokerage session and its websocket
    "competing", "new_cookie", "refuse_socket", "silent", "drop", "heartbeat_skew", "no_rights", "delayed",
    "frozen", "nightly_reset",
    # of the server while it lasts
    "strict_nonce", "clock_skew", "no_pace",
]  # fmt: skip
Price = Literal["nan", "zero", "null"]
_HTML = "<html><head><title>IBKR</title></head><body><h1>We are down for maintenance</h1></body></html>"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    `where` is a shell pattern over "METHOD path" ("GET portfolio/*/positions/*"; the websocket is asked as
    "WS open" at each handshake and "WS tick" before each round of updates). The first `after` matching
    requests pass, the next `times` are hit, for ever if None. The rest belongs to effects: `status`, `body`
    and `content_type` to "status"; `status` to "drop" too (the close code; 1006: none is sent); `seconds` to
    "stall", "slow", "box", "clock_skew" and "heartbeat_skew"; `fields` to "missing_fields" (none given: a
    few that are often missing); `price` to "without_price".
    """

    effect: Effect
    where: str = "*"
    times: int | None = None
    after: int = 0
    name: str = ""
    status: int = 503
    body: str = ""
    content_type: str = _JSON
    seconds: float = 0.0
    fields: tuple[str, ...] = ()
    price: Price = "nan"

    def __post_init__(self) -> None:
        if self.effect not in get_args(Effect):
            raise ValueError(f"{self.effect!r} is no effect; there are {', '.join(get_args(Effect))}")
        if self.price not in get_args(Price):
            raise ValueError(f"{self.price!r} is no price; there are {', '.join(get_args(Price))}")


def _error(status: int, text: str, where: str = "*") -> Fault:
    return Fault("status", where, status=status, body=f'{{"error":"{text}","statusCode":{status}}}')


_LOGIN = "POST oauth/live_session_token"
_PAGES = "GET portfolio/*/positions/*"
_ROWS = "GET portfolio*/*/positions*"
_NOT_LOGIN = "[GP]* [!o]*"  # any path that does not begin with an o: the login still works
PRESETS: dict[str, Fault] = {
    "login_401": Fault("not_activated", _LOGIN),
    "login_unknown_consumer": Fault("unknown_consumer", _LOGIN),
    "login_wrong_signature": Fault("wrong_signature", _LOGIN),
    "login_wrong_lst": Fault("wrong_token_signature", _LOGIN),
    "token_expired": Fault("expire_token", "GET portfolio*", times=1, after=2),
    "unauthorized": _error(401, "not authenticated", _NOT_LOGIN),
    "unavailable": _error(503, "Service Unavailable"),
    "unavailable_html": Fault("status", body=_HTML, content_type="text/html"),
    "server_error": _error(500, "unknown"),
    "html": Fault("status", status=200, body=_HTML, content_type="text/html"),
    "empty": Fault("status", _NOT_LOGIN, status=200),
    "error_object": Fault("status", _NOT_LOGIN, status=200, body='{"error":"not available"}'),
    "reset": Fault("reset"),
    "stall": Fault("stall", seconds=300),
    "slow": Fault("slow", seconds=3),
    "truncated": Fault("truncate", _NOT_LOGIN),
    "cut_off": Fault("cut_off", _NOT_LOGIN),
    "busy": Fault("box", times=1, seconds=600),
    "not_enabled": _error(403, "Forbidden: Web API access is not enabled"),
    "not_enabled_accounts": _error(403, "Forbidden: Web API access is not enabled", "GET portfolio/accounts"),
    "gone": _error(410, "Gone"),
    "redirect": Fault("redirect", "GET portfolio/accounts"),
    "incomplete_positions": Fault("incomplete", _PAGES, times=2),
    "shifting_pages": Fault("shifted", _PAGES),
    "stale_positions": Fault("stale", _PAGES),
    "nan_prices": Fault("without_price", _ROWS, price="nan"),
    "zero_prices": Fault("without_price", _ROWS, price="zero"),
    "null_prices": Fault("without_price", _ROWS, price="null"),
    "missing_fields": Fault("missing_fields", "GET *"),
    "extra_fields": Fault("extra_fields", _NOT_LOGIN),
    "conid_type": Fault("conid_type", _ROWS),
    "ledger_incomplete": Fault("missing_currency", "GET portfolio/*/ledger", times=1),
    "transactions_500": _error(500, "unknown", "POST pa/transactions"),
    "competing": Fault("competing"),
    "cookie_changes": Fault("new_cookie", "* tickle"),
    "socket_refused": Fault("refuse_socket", "WS open"),
    "socket_silent": Fault("silent"),
    "socket_drops": Fault("drop", "WS tick", status=1006),
    "socket_closed": Fault("drop", "WS tick", status=1000),
    "heartbeat_skew": Fault("heartbeat_skew", seconds=60),
    "quotes_refused": Fault("no_rights"),
    "quotes_delayed": Fault("delayed"),
    "quotes_frozen": Fault("frozen"),
    "nightly_reset": Fault("nightly_reset", "* iserver/*"),
    "strict_nonce": Fault("strict_nonce"),
    "clock_skew": Fault("clock_skew", seconds=600),
    "no_pace": Fault("no_pace"),
}


def preset(name: str, **changes: Any) -> Fault:
    """The fault of that name, with fields changed (`times=1`). ValueError names the ones there are."""
    if name not in PRESETS:
        raise ValueError(f"{name!r} is no fault; there are {', '.join(sorted(PRESETS))}")
    return replace(PRESETS[name], name=name, **changes)


def from_json(given: dict[str, Any]) -> Fault:
    """A fault from `{"name": "unavailable", "times": 2}` or `{"effect": "slow", ...}`. Raises: ValueError."""
    values = dict(given)
    if "fields" in values:
        values["fields"] = tuple(values["fields"])
    try:
        return preset(values.pop("name"), **values) if "name" in values else Fault(**values)
    except TypeError as err:
        raise ValueError(str(err)) from err


class Faults:
    """The faults in force. Safe to change while requests are served."""

    def __init__(self) -> None:
        self._active: list[tuple[Fault, list[int]]] = []  # with how many requests it has matched
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._active.append((fault, [0]))

    def clear(self) -> None:
        with self._lock:
            self._active.clear()

    def active(self) -> list[dict[str, Any]]:
        """Each fault as JSON, with how many requests it has matched so far."""
        with self._lock:
            return [asdict(fault) | {"matched": matched[0]} for fault, matched in self._active]

    def hit(self, method: str, path: str) -> list[Fault]:
        """The faults that this request meets, counted."""
        hits = []
        with self._lock:
            for fault, matched in self._active:
                if fault.effect in _LASTING or not fnmatchcase(f"{method} {path}", fault.where):
                    continue
                matched[0] += 1
                if matched[0] > fault.after and (
                    fault.times is None or matched[0] <= fault.after + fault.times
                ):
                    hits.append(fault)
        return hits

    def lasting(self, effect: Effect) -> Fault | None:
        """The latest fault of a kind that holds for the whole server, if there is one."""
        with self._lock:
            return next((fault for fault, _ in reversed(self._active) if fault.effect == effect), None)


_LASTING: frozenset[Effect] = frozenset({"strict_nonce", "clock_skew", "no_pace"})


# Faults of the answer: JSON in, JSON out

Rows = list[dict[str, Any]]
_OFTEN_MISSING = ("name", "sector", "exchangerate", "accountAlias", "avgPrice", "listingExchange")


def _without_price(fault: Fault, body: Any) -> Any:
    value = {"nan": float("nan"), "zero": 0.0, "null": None}[fault.price]
    names = {"mktPrice", "mktValue", "marketPrice", "marketValue", "unrealizedPnl"}
    return _each_object(body, lambda row: {k: value if k in names else v for k, v in row.items()})


def _missing_fields(fault: Fault, body: Any) -> Any:
    names = fault.fields or _OFTEN_MISSING
    return _each_object(body, lambda row: {k: v for k, v in row.items() if k not in names})


def _extra_fields(_fault: Fault, body: Any) -> Any:
    return _each_object(body, lambda row: row | {"newField": {"value": [1, None, "x"]}, "isNew2027": True})


def _conid_type(_fault: Fault, body: Any) -> Any:
    def swap(row: dict[str, Any]) -> dict[str, Any]:
        conid = row.get("conid")
        return row if conid is None else row | {"conid": int(conid) if isinstance(conid, str) else str(conid)}

    return _each_object(body, swap)


def _incomplete(_fault: Fault, body: Any) -> Any:
    return body[::2] if isinstance(body, list) else body


def _missing_currency(_fault: Fault, body: Any) -> Any:
    kept = [key for key in body if key != "BASE"][:1]
    return {key: row for key, row in body.items() if key in (*kept, "BASE")}


CHANGES: dict[Effect, Callable[[Fault, Any], Any]] = {
    "without_price": _without_price,
    "missing_fields": _missing_fields,
    "extra_fields": _extra_fields,
    "conid_type": _conid_type,
    "incomplete": _incomplete,
    "missing_currency": _missing_currency,
}


def _each_object(body: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The JSON with every object in it changed, the innermost first."""
    if isinstance(body, list):
        return [_each_object(item, change) for item in body]
    if isinstance(body, dict):
        return change({key: _each_object(value, change) for key, value in body.items()})
    return body
