"""IBKR's Web API through iBind; the only module that imports it. It returns what IBKR said, to the byte.

Every call passes a gate that knows the read-only calls and no others, the pacer, and one reading of what
came back. Nothing is retried that could do harm: not a refused login, not a 429.
"""

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import requests
from requests.adapters import HTTPAdapter

from stonks_overwatch.errors import (
    AccessNotEnabledError,
    AccountNotVisibleError,
    BrokerMaintenanceError,
    BrokerTimeoutError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    ClockRefusedError,
    CredentialsRefusedError,
    NotActiveError,
    RefusedCallError,
    StonksError,
    UnexpectedAnswerError,
)
from stonks_overwatch.redaction import redact
from stonks_overwatch.services.brokers.base import Answer
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.credentials import (
    IbkrLogin,
    PreparedCredentials,
    is_loopback,
    prepare,
    rest_url,
)


@contextmanager
def _no_outside_settings() -> Iterator[None]:
    """Hide what iBind reads when it is imported: IBIND_* variables, and a .env file through python-dotenv.

    The configuration is the only source of credentials and settings.
    """
    variables = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("IBIND_")}
    dotenv = sys.modules.get("dotenv")
    sys.modules["dotenv"] = None  # type: ignore[assignment]  # what makes an import of it fail
    try:
        yield
    finally:
        os.environ.update(variables)
        del sys.modules["dotenv"]
        if dotenv is not None:
            sys.modules["dotenv"] = dotenv


with _no_outside_settings():
    _ibind: Any = import_module("ibind")
    _oauth1a: Any = import_module("ibind.oauth.oauth1a")
    _router: Any = import_module("ibind.ibkr_ws.ibkr_router")
    ws_transport: Any = import_module("ibind.ws.ws_transport")

IbkrClient: Any = _ibind.IbkrClient
IbkrWsClient: Any = _ibind.IbkrWsClient
IbkrRouter: Any = _router.IbkrRouter
events: Any = _ibind.events
subscriptions: Any = _ibind.subscriptions

_log = logging.getLogger(__name__)
# The lines of iBind and urllib3 hold addresses with account ids, and request parameters.
_SILENT = logging.getLogger(f"{__name__}.ibind")
for _silenced in (
    _SILENT,
    logging.getLogger("ibind"),
    logging.getLogger("urllib3.connectionpool"),
    logging.getLogger("websocket"),
):
    _silenced.setLevel(logging.CRITICAL + 1)

Body = TypeVar("Body")

LOGIN = "oauth/live_session_token"
ACCOUNTS = "portfolio/accounts"
BROKERAGE = "iserver/auth/ssodh/init"
LEAVES_OTHERS_ALONE = {"publish": True, "compete": False}
"""The only way in which the brokerage session may be opened: `compete` would throw the user out of TWS."""

RENEW_AT = 0.85  # of the token's life
PAUSES = (1.0, 3.0)  # seconds before the second and the third try
CLOCK_TOLERANCE = timedelta(minutes=1)
"""A refused login is put down to the clock from here on; IBKR does not say how much it allows."""

_ALLOWED = {
    "GET": (
        "contract/trading-schedule",
        "iserver/account/pnl/partitioned",
        "iserver/account/trades",
        "iserver/account/{a}/summary",
        "iserver/accounts",
        "iserver/auth/status",
        "iserver/contract/{n}/info",
        "iserver/currency/pairs",
        "iserver/exchangerate",
        "iserver/marketdata/history",
        "iserver/marketdata/snapshot",
        "iserver/secdef/info",
        "iserver/secdef/search",
        "iserver/secdef/strikes",
        ACCOUNTS,
        "portfolio/positions/{n}",
        "portfolio/subaccounts",
        "portfolio/subaccounts2",
        "portfolio/{a}/allocation",
        "portfolio/{a}/combo/positions",
        "portfolio/{a}/ledger",
        "portfolio/{a}/meta",
        "portfolio/{a}/position/{n}",
        "portfolio/{a}/positions/{n}",
        "portfolio/{a}/summary",
        "portfolio2/{a}/positions",
        "sso/validate",
        "tickle",
        "trsrv/futures",
        "trsrv/secdef",
        "trsrv/secdef/schedule",
        "trsrv/stocks",
    ),
    "POST": (
        LOGIN,
        BROKERAGE,
        "iserver/auth/status",
        "pa/allperiods",
        "pa/performance",
        "pa/transactions",
        "portfolio/allocation",
        "portfolio/{a}/positions/invalidate",
        "tickle",
    ),
}
"""The read-only calls; {a} is an account id, {n} a number. Anything else never leaves."""

_OBJECTS = {
    LOGIN,
    BROKERAGE,
    "iserver/accounts",
    "iserver/auth/status",
    "pa/performance",
    "pa/transactions",
    "portfolio/{a}/ledger",
    "portfolio/{a}/meta",
    "portfolio/{a}/summary",
    "tickle",
    "trsrv/secdef",
}
_LISTS = {ACCOUNTS, "portfolio/{a}/positions/{n}", "portfolio2/{a}/positions"}
"""What the endpoints that a sync needs answer with: one object, or a list of objects."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call, by the text it has in the list of allowed ones."""

    name: str
    pattern: re.Pattern[str]

    def account(self, path: str) -> str | None:
        match = self.pattern.fullmatch(path)
        return match.groupdict().get("account") if match else None


def _endpoint(name: str) -> Endpoint:
    pattern = re.escape(name).replace(r"\{a\}", "(?P<account>[A-Za-z0-9_-]{1,32})")
    return Endpoint(name, re.compile(pattern.replace(r"\{n\}", "[0-9]{1,12}")))


_ENDPOINTS = {method: tuple(map(_endpoint, names)) for method, names in _ALLOWED.items()}


_TICKLE = _endpoint("tickle")


def allowed(method: str, path: str) -> Endpoint | None:
    """The endpoint of a call that may leave; `path` is without slash at its ends. None: it may not."""
    return next((e for e in _ENDPOINTS.get(method, ()) if e.pattern.fullmatch(path)), None)


class ReadOnlyClient(IbkrClient):  # type: ignore[misc]  # iBind has no types
    """iBind's client that can only read.

    Safe to use from several threads; their calls go out one after the other. It logs in when a call needs
    it, renews the login before its end and once after a 401, and never logs out: that would end the login
    of every other program that uses the same credentials.
    """

    def __init__(self, credentials: PreparedCredentials, address: str, timeout: float) -> None:
        self.pacer = pace.Pacer(credentials.consumer_key, address)
        self.clock_ahead: timedelta | None = None  # this computer's clock against IBKR's; None: not known yet
        self.live_session_token: str | None = None
        self._renew_at = 0.0
        self._has_accounts = False
        self._lock = threading.RLock()
        self._host = urlsplit(address).hostname or address
        super().__init__(
            account_id=None,
            url=address,
            timeout=timeout,
            max_retries=0,
            use_session=True,
            auto_recreate_session=False,
            auto_register_shutdown=False,
            log_responses=False,
            verbose_retries=False,
            use_oauth=True,
            # Every field, so that nothing of iBind's own defaults is left.
            oauth_config=_oauth1a.OAuth1aConfig(
                oauth_rest_url=address,
                live_session_token_endpoint=LOGIN,
                access_token=credentials.access_token.reveal(),
                access_token_secret=credentials.access_token_secret.reveal(),
                consumer_key=credentials.consumer_key,
                dh_prime=credentials.dh_prime,
                encryption_key_fp=None,
                encryption_key=credentials.encryption_key.reveal(),
                signature_key_fp=None,
                signature_key=credentials.signature_key.reveal(),
                dh_generator=2,
                realm="test_realm" if credentials.consumer_key == "TESTCONS" else "limited_poa",
                init_oauth=False,
                init_brokerage_session=False,
                maintain_oauth=False,
                shutdown_oauth=False,
            ),
        )

    def log_in(self) -> None:
        """Get a new live session token.

        Raises: CredentialsRefusedError and the errors of any call.
        """
        with self._lock:
            _persist(self._log_in_once)

    # What iBind calls on the way of a request, from the outside to the wire

    def _make_logger(self) -> None:
        self._logger = _SILENT

    def make_session(self) -> None:
        super().make_session()
        gate = _Gate(self.base_url)
        self._session.mount("https://", gate)
        self._session.mount("http://", gate)
        # Without an `auth` of its own the session would take one for this host from ~/.netrc and put it
        # in the place of the signature.
        self._session.auth = _leave_as_is
        # A proxy from the environment leads out of this computer, where it would look for itself.
        self._session.trust_env = not is_loopback(self._host)

    def _request(
        self,
        method: str,
        endpoint: str,
        base_url: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        *_log: Any,
        **kwargs: Any,
    ) -> Any:
        """Send one call. The result has, beside iBind's `data` and `request`, our `answer`.

        Raises: RefusedCallError for what is not on the list, and the errors of errors.py for what IBKR or
        the way to it did.
        """
        known, path = self._checked(method, endpoint, base_url, extra_headers, kwargs)
        if known.name == LOGIN:
            return self._exchange(method, known, path, extra_headers, kwargs)  # log_in repeats it
        if pace.SECONDS_BETWEEN.get(known.name, 0) > pace.LONGEST_WAIT.total_seconds():
            return self._ask_once(method, known, path, kwargs)
        return self._ask(method, known, path, kwargs)

    def _checked(
        self,
        method: str,
        endpoint: str,
        base_url: str | None,
        extra_headers: Mapping[str, str] | None,
        kwargs: Mapping[str, Any],
    ) -> tuple[Endpoint, str]:
        """The gate: what is called, and its path as it will be sent. Raises: RefusedCallError."""
        path = endpoint.removeprefix("/").removesuffix("/")
        known = allowed(method, path)
        if known is None:
            raise _refused(method, endpoint)
        if base_url not in (None, self.base_url):
            raise _refused(method, f"{endpoint} at another address")
        # A header can turn a method into another one, and an option can turn off the check of certificates.
        if extra_headers and known.name != LOGIN:
            raise _refused(method, f"{endpoint} with headers of its own")
        if not kwargs.keys() <= {"params", "json"}:
            raise _refused(method, f"{endpoint} with {', '.join(sorted(kwargs))}")
        if known.name == BROKERAGE and (kwargs.get("json") != LEAVES_OTHERS_ALONE or kwargs.get("params")):
            raise _refused(method, f"{endpoint} in a way that could end another login")
        return known, path

    def _ask(self, method: str, known: Endpoint, path: str, kwargs: Mapping[str, Any]) -> Any:
        """A call, logged in; after a 401 the login is renewed once and the call repeated."""

        def ask() -> Any:
            if known.account(path):
                self._prime()
            return _persist(lambda: self._exchange(method, known, path, None, kwargs))

        token = self._current_token()
        try:
            return ask()
        except _UnauthorizedError:
            self._renew(token)
        try:
            return ask()
        except _UnauthorizedError:
            raise self._refused_again(known.account(path)) from None

    def _ask_once(self, method: str, known: Endpoint, path: str, kwargs: Mapping[str, Any]) -> Any:
        """The one try of a call whose pace does not allow a second; the call after it renews the login."""
        self._current_token()
        try:
            return self._exchange(method, known, path, None, kwargs)
        except _UnauthorizedError as refused:
            self._renew_at = 0.0
            raise UnexpectedAnswerError("IBKR", f"{method} {path}", f"status 401: {refused.text}") from None

    def _prime(self) -> None:
        """Let IBKR list the accounts of this login: before that it does not answer for one."""
        with self._lock:
            if not self._has_accounts:
                self.portfolio_accounts()

    def _exchange(
        self,
        method: str,
        known: Endpoint,
        path: str,
        headers: Mapping[str, str] | None,
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Send once and read what came. Raises: _UnauthorizedError for a 401, else as `_request`."""
        with self._lock:
            with self.pacer.turn(known.name):
                started = time.monotonic()
                result = self._send(method, path, headers, kwargs)
            response = result.data
            _log.debug(
                "%s %s: %s in %.2f s", method, known.name, response.status_code, time.monotonic() - started
            )
            fetched_at = datetime.now(UTC)
            self._note_clock(response, fetched_at)
            if response.status_code == 429:
                raise self.pacer.penalise()
            theirs = fetched_at - (self.clock_ahead or timedelta(0))
            result.data = _body(f"{method} {path}", known, response, theirs)
            if known.name == LOGIN:
                _check_login(result.data)
            if known.name == ACCOUNTS and result.data:
                self._has_accounts = True
        result.answer = Answer(
            endpoint=f"{method} {path}",
            account=known.account(path),
            request={**(kwargs.get("params") or {}), **(kwargs.get("json") or {})},
            body=result.data,
            fetched_at=fetched_at,
            content=response.content,
        )
        return result

    def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None, kwargs: Mapping[str, Any]
    ) -> Any:
        if self._session is None:
            self.make_session()
        try:
            return super()._request(method, path, None, headers, False, allow_redirects=False, **kwargs)
        except TimeoutError:
            raise BrokerTimeoutError(
                f"IBKR ({self._host}) did not answer within {self._timeout:g} seconds.",
                next_step="Sync again in a few minutes; if it stays, raise ibkr.timeout_seconds.",
            ) from None
        except _ibind.ExternalBrokerError as err:
            # Without its context: iBind's text holds the address with the account id.
            raise self._connection_error(err.__cause__) from None

    def _process_response(self, response: requests.Response, result: Any) -> Any:
        result.data = response  # read in _exchange, whatever its status
        return result

    def _connection_error(self, cause: BaseException | None) -> StonksError:
        """What kept a call from being answered, in words."""
        if isinstance(cause, StonksError):
            return cause
        if isinstance(cause, requests.exceptions.ConnectTimeout):
            return BrokerTimeoutError(
                f"No connection to IBKR ({self._host}) within {self._timeout:g} seconds.",
                next_step="Check the internet connection and any firewall, then sync again.",
            )
        text = str(cause)
        if isinstance(cause, requests.exceptions.SSLError):
            why = "its certificate is not accepted"
            step = (
                "Check this computer's date, and whether a proxy or virus scanner opens encrypted "
                "connections; its certificate can be named in REQUESTS_CA_BUNDLE."
            )
        elif isinstance(cause, requests.exceptions.ProxyError):
            why = "the proxy does not let the connection through"
            step = "Check the environment variables HTTPS_PROXY and NO_PROXY, then sync again."
        elif "NameResolutionError" in text or "getaddrinfo" in text:
            why = "its name is not found"
            step = "Check the internet connection, then sync again."
        elif "refused" in text:
            why = "the connection was refused"
            step = "Check the internet connection and any firewall, then sync again."
        else:
            why = "the connection broke off"
            step = "Sync again in a few minutes; if it stays, check the internet connection."
        return BrokerUnreachableError(f"IBKR ({self._host}) cannot be reached: {why}.", next_step=step)

    def _note_clock(self, response: requests.Response, now: datetime) -> None:
        try:
            theirs = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        if theirs.tzinfo is not None:
            self.clock_ahead = now - theirs

    # The login

    def _current_token(self) -> str | None:
        with self._lock:
            if self.live_session_token is None or time.time() >= self._renew_at:
                self.log_in()
            return self.live_session_token

    def _renew(self, refused_token: str | None) -> None:
        with self._lock:
            if self.live_session_token == refused_token:  # else another thread has renewed it already
                self.log_in()

    def _log_in_once(self) -> None:
        self.live_session_token, self._has_accounts = None, False
        config = self.oauth_config
        try:
            token, expires_ms, signature = _oauth1a.req_live_session_token(self, config)
        except _UnauthorizedError as refused:
            raise self._why_refused(refused.text) from None
        if not _oauth1a.validate_live_session_token(token, signature, config.consumer_key):
            raise CredentialsRefusedError(
                "IBKR's answer to the login does not fit these credentials: the prime or the secret is not "
                "the one registered.",
                next_step="Check ibkr.credentials.dh_prime and access_token_secret in config.json against "
                "IBKR's OAuth page, then test the connection again.",
            )
        now = time.time()
        # By IBKR's clock, so that a wrong one here does not make the token look old.
        life = expires_ms / 1000 - (now - (self.clock_ahead or timedelta(0)).total_seconds())
        self._renew_at = now + RENEW_AT * max(life, 60.0)
        self.live_session_token = token

    def _why_refused(self, text: str) -> CredentialsRefusedError:
        """The likeliest reason of a 401 to the login: first what its text says, then the clock."""
        said = text.lower()
        ahead = self.clock_ahead or timedelta(0)
        if "access secret key" in said or "access token" in said:
            return NotActiveError(
                "IBKR does not know this access token: it is not active yet, or a newer one replaced it.",
                next_step="If the registration is new, wait: IBKR takes from a day to two weeks, often over "
                "a weekend. Else generate the access token again on IBKR's OAuth page and put "
                "access_token and access_token_secret in config.json.",
            )
        if "consumer" in said:
            return NotActiveError(
                "IBKR does not know this consumer key.",
                next_step="Check ibkr.credentials.consumer_key in config.json (9 letters); if it is right "
                "and new, wait until IBKR has activated it.",
            )
        if abs(ahead) > CLOCK_TOLERANCE:
            return ClockRefusedError(
                f"IBKR refused the login, probably because this computer's clock is {off(ahead)}.",
                next_step="Let the system set its clock by itself, then test the connection again.",
            )
        if "signature" in said:
            return CredentialsRefusedError(
                "IBKR refused the login: the signature does not fit the key that is registered.",
                next_step="Check that ibkr.credentials.signature_key_fp names the private half of the "
                "signature key uploaded to IBKR, and that access_token and access_token_secret were made "
                "together.",
            )
        return NotActiveError(
            "IBKR refused the login (status 401).",
            next_step="Check consumer_key, access_token, access_token_secret and signature_key_fp under "
            "ibkr.credentials in config.json; a new registration can take up to two weeks to become active.",
        )

    def _refused_again(self, account: str | None) -> StonksError:
        """What a 401 after a fresh login means: IBKR answers so for an unknown account too."""
        if account is not None:
            try:
                self._exchange("POST", _TICKLE, "tickle", None, {})
            except _UnauthorizedError:
                pass
            else:
                return not_visible(account)
        return CredentialsRefusedError(
            "IBKR accepted the login, but refuses the calls made with it.",
            next_step="Wait a few minutes and sync again; if it stays, generate the access token again on "
            "IBKR's OAuth page and put access_token and access_token_secret in config.json.",
        )


class _UnauthorizedError(CredentialsRefusedError):
    """A 401, with the text that came with it; what it means depends on the call."""

    def __init__(self, text: str) -> None:
        super().__init__("IBKR refused the call.", next_step="Test the connection on the settings page.")
        self.text = text


class _Final:
    """Marks an error that a second try would only repeat."""


class _MovedError(_Final, BrokerUnavailableError):
    pass


class _NotAskedAgainError(_Final, UnexpectedAnswerError):
    pass


class _Gate(HTTPAdapter):
    """The last place before the wire: looks at the finished address, whoever made the request."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        # In the spelling of finished requests, which have their host in lower case.
        self._base_url = requests.Request("GET", base_url).prepare().url or base_url

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        method, (address, _, query) = request.method or "", (request.url or "").partition("?")
        path = address.removeprefix(self._base_url)
        if path == address or allowed(method, path) is None:
            raise _refused(method, path)
        if path == BROKERAGE and (query or not _leaves_others_alone(request.body)):
            raise _refused(method, f"{path} in a way that could end another login")
        return super().send(request, *args, **kwargs)


_clients: dict[str, tuple[object, ReadOnlyClient]] = {}
_clients_lock = threading.Lock()


def client(login: IbkrLogin) -> ReadOnlyClient:
    """The login's client, made once and kept; a changed configuration or key file makes a new one.

    Raises: ConfigError, KeyFileMissingError.
    """
    credentials = prepare(login)
    made_for = (credentials, rest_url(), login.timeout_seconds)
    with _clients_lock:
        known_for, known = _clients.get(login.name, (None, None))
        if known is None or known_for != made_for:
            known = ReadOnlyClient(*made_for)
            _clients[login.name] = (made_for, known)
        return known


def not_visible(account: str) -> AccountNotVisibleError:
    return AccountNotVisibleError(
        f"IBKR does not show the account {account} to this login.",
        next_step="Check ibkr.accounts in config.json, and that the login's user name may see the account.",
    )


def decode(content: bytes) -> Any:
    """JSON with exact numbers: int, or Decimal where there is a fraction; NaN and Infinity are None.

    Raises: ValueError when it is not JSON in UTF-8.
    """
    try:
        return json.loads(content.decode("utf-8-sig"), parse_float=Decimal, parse_constant=lambda _: None)
    except RecursionError as err:
        raise ValueError("nested too deeply") from err


def _persist(attempt: Callable[[], Body]) -> Body:
    """Try again what may pass by itself, each time with a new signature: a lost connection, a 5xx or an
    answer cut short twice; a timeout once, so that a dead server costs two of them at most.
    """
    timeouts = 0
    for pause in PAUSES:
        try:
            return attempt()
        except BrokerTimeoutError:
            timeouts += 1
            if timeouts > 1:
                raise
        except (BrokerUnreachableError, UnexpectedAnswerError) as err:
            if isinstance(err, _Final):
                raise
        pace.wait(pause)
    return attempt()


def _body(call: str, known: Endpoint, response: requests.Response, now: datetime) -> Any:
    """The decoded answer, once its status and its shape are as they should be. `now` is IBKR's time."""
    content = response.content
    if response.status_code >= 300:
        raise _status_error(call, response.status_code, _error_text(content), now)
    if not content.strip():
        raise UnexpectedAnswerError("IBKR", call, "an empty answer")
    try:
        body = decode(content)
    except ValueError:
        is_page = content.lstrip()[:1] == b"<"
        if is_page and quiet_hours(now):
            raise _unavailable(f"a web page in place of data for {call}", now) from None
        raise UnexpectedAnswerError(
            "IBKR", call, "a web page in place of data" if is_page else "text that is not JSON"
        ) from None
    if isinstance(body, dict) and body.get("error"):
        raise UnexpectedAnswerError("IBKR", call, f"error: {_error_text(content)}")
    if known.name in _LISTS:
        if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
            raise UnexpectedAnswerError("IBKR", call, f"{_kind(body)} in place of a list of objects")
    elif known.name in _OBJECTS and not isinstance(body, dict):
        raise UnexpectedAnswerError("IBKR", call, f"{_kind(body)} in place of an object")
    return body


def _status_error(call: str, status: int, said: str, now: datetime) -> StonksError:
    """The error of a status, `said` being the text that came with it, `now` IBKR's time."""
    if status == 401:
        return _UnauthorizedError(said)
    if status == 403:
        return AccessNotEnabledError(
            "IBKR does not let this login use the Web API (status 403).",
            next_step="Check on IBKR's OAuth page that the registration is active, and that the account is "
            "open and funded; then test the connection again.",
        )
    if status == 410:
        return _MovedError(
            "IBKR has moved this login to another address (status 410).",
            next_step="Start with IBIND_OAUTH1A_REST_URL=https://1.api.ibkr.com/v1/api/ in the environment.",
        )
    if status >= 500:
        return _unavailable(f"status {status} for {call}{said and f', {said!r}'}", now)
    if status < 400:
        return _NotAskedAgainError("IBKR", call, f"a redirect (status {status}), which is not followed")
    return _NotAskedAgainError("IBKR", call, f"status {status}{said and f': {said}'}")


def _unavailable(how: str, now: datetime) -> BrokerUnavailableError:
    """IBKR is down; said why, where the hour tells it, which is IBKR's own."""
    what = f"IBKR is not available at the moment: {how}"
    if why := quiet_hours(now):
        return BrokerMaintenanceError(
            f"{what}; this is the hour of its {why}.",
            next_step="Nothing: it passes, and syncs go on by themselves.",
        )
    return BrokerUnavailableError(
        f"{what}.",
        next_step="Wait: it is tried again by itself. IBKR resets every night around 01:00 local to the "
        "region, and works on its systems on Saturday evenings (US time).",
    )


def quiet_hours(now: datetime) -> str | None:
    """Which of IBKR's regular interruptions `now` falls into; None outside of them.

    IBKR names the hours in words only (around 01:00 of each region, Saturday evening in the USA), so these
    windows are wide.
    """
    in_new_york = now.astimezone(ZoneInfo("America/New_York"))
    is_weekend = (in_new_york.weekday() == 5 and in_new_york.hour >= 18) or (
        in_new_york.weekday() == 6 and in_new_york.hour < 6
    )
    if is_weekend:
        return "weekend maintenance"
    for zone in ("America/New_York", "Europe/Zurich", "Asia/Hong_Kong"):
        local = now.astimezone(ZoneInfo(zone))
        if timedelta(minutes=15) <= timedelta(hours=local.hour, minutes=local.minute) <= timedelta(hours=2):
            return "nightly reset"
    return None


def _check_login(body: Mapping[str, Any]) -> None:
    """Raises: UnexpectedAnswerError unless the answer to a login has what the token is computed from."""
    response, signature, expires = (
        body.get("diffie_hellman_response"),
        body.get("live_session_token_signature"),
        body.get("live_session_token_expiration"),
    )
    if not (isinstance(response, str) and re.fullmatch("[0-9A-Fa-f]+", response)):
        raise UnexpectedAnswerError("IBKR", "diffie_hellman_response of the login", _kind(response))
    if not isinstance(signature, str):
        raise UnexpectedAnswerError("IBKR", "live_session_token_signature of the login", _kind(signature))
    if not isinstance(expires, int):
        raise UnexpectedAnswerError("IBKR", "live_session_token_expiration of the login", _kind(expires))


def _error_text(content: bytes) -> str:
    """What an answer says about an error, short and without secrets; "" when it says nothing of use."""
    try:
        body = decode(content)
    except ValueError:
        body = content.decode("utf-8", "replace")
    if isinstance(body, dict):
        body = next((body[name] for name in ("error", "detail", "message", "title") if body.get(name)), "")
    text = " ".join(str(body).split()) if isinstance(body, str | dict) else ""
    return "" if text.startswith("<") else redact(text)[:200].rstrip(".")


def _kind(value: object) -> str:
    """What a value is, without showing it: an answer holds names and amounts."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list of other things" if value else "an empty list"
    return {dict: "an object", str: "a text", bool: "true or false"}.get(type(value), "a number")


def _refused(method: str, what: str) -> RefusedCallError:
    return RefusedCallError(
        f"{method} {what} is not one of the calls that only read; it was not sent.",
        next_step="Report this: Stonks Overwatch never changes anything at IBKR.",
    )


def _leaves_others_alone(body: Any) -> bool:
    """Whether the body of a finished request is the only one that may open the brokerage session."""
    content = body.encode() if isinstance(body, str) else body
    try:
        return isinstance(content, bytes) and decode(content) == LEAVES_OTHERS_ALONE
    except ValueError:
        return False


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def off(ahead: timedelta) -> str:
    """A clock's error in words: "3 minutes fast"."""
    seconds = round(abs(ahead.total_seconds()))
    sizes = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
    unit, name = next(((unit, name) for unit, name in sizes if seconds >= 2 * unit), sizes[-1])
    size = f"{round(seconds / unit)} {name}"
    return f"{size} {'fast' if ahead > timedelta(0) else 'slow'}"
