"""IBKR's Flex Web Service (version 3): a saved query in, the statement it makes out.

A statement takes two calls: one asks for it, one gets it, and in between IBKR may take minutes. The
token is part of every address, so it goes to IBKR's own hosts over TLS and nowhere else, and no error
that leaves this module holds an address.
"""

import logging
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from urllib.parse import quote_plus, urlsplit
from xml.parsers import expat

import requests

from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerTimeoutError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    CredentialsRefusedError,
    StatementNotAvailableError,
    StatementRefusedError,
    StonksError,
    UnexpectedAnswerError,
)
from stonks_overwatch.redaction import Secret, redact, remember
from stonks_overwatch.services.brokers.ibkr import pace, statements

log = logging.getLogger(__name__)
# Its lines hold addresses, and with them the token.
logging.getLogger("urllib3.connectionpool").setLevel(logging.CRITICAL + 1)

WINDOW = timedelta(days=365)
"""IBKR makes no statement of more days than this."""

Span = tuple[date, date]
"""A first and a last day."""

ENDPOINT = "flex"
"""The name of both calls' common pace in pace.SECONDS_BETWEEN."""

_VERSION = "3"
_IBKR = ".interactivebrokers.com"
# Without an agent that it knows the service refuses; this is one of the documented forms.
_AGENT = f"Python/{platform.python_version()} stonks-overwatch"
TIMEOUT = (15, 120)  # seconds to connect, and between two pieces of an answer
_LARGEST_ANSWER = 1 << 30
_LARGEST_MESSAGE = 1 << 16

_FIRST_PAUSE, _LONGEST_PAUSE, _PATIENCE = 5.0, 20.0, 600.0  # seconds, while a statement is being made
_MOST_TRIES = 4
_PASSING = {1001, 1004, 1005, 1006, 1007, 1008, 1009, 1018, 1021}
_NOT_READY, _GONE, _NO_STATEMENT, _TOO_OFTEN = 1019, 1017, 1003, 1018
_PAUSES = {1001: 60.0, 1009: 60.0, 1018: 65.0}  # for the first repetition; it grows with each
_PAUSE = 20.0

_AGAIN = "Nothing: the next sync asks again. If it stays so for a day, make the query anew at IBKR."
_MEANINGS: dict[int, tuple[str, str]] = {
    1001: ("IBKR could not make the statement at the moment", _AGAIN),
    1003: (
        "IBKR has no statement for these days",
        "Nothing, if there was no account yet or the day's books are open; else check the query's period.",
    ),
    1004: ("IBKR's statement is not complete yet", _AGAIN),
    1005: ("IBKR's settlement data is not ready yet", _AGAIN),
    1006: ("IBKR's profit and loss figures are not ready yet", _AGAIN),
    1007: ("IBKR's mark-to-market figures are not ready yet", _AGAIN),
    1008: ("IBKR's profit, loss and mark-to-market figures are not ready yet", _AGAIN),
    1009: ("IBKR's Flex service is under heavy load", _AGAIN),
    1010: (
        "The query is of a kind that IBKR no longer serves",
        "Make a new Activity Flex Query at IBKR and set its number as ibkr.flex.query_id.",
    ),
    1011: (
        "The Flex Web Service is not enabled for this user",
        "Enable it in IBKR's Client Portal under Performance & Reports, Flex Queries, Flex Web Service.",
    ),
    1012: (
        "The Flex token has expired",
        "Generate a new one in IBKR's Client Portal (Flex Web Service) and set it as ibkr.flex.token.",
    ),
    1013: (
        "IBKR accepts the Flex token only from other IP addresses",
        "Change or remove the IP restriction in IBKR's Client Portal (Flex Web Service).",
    ),
    1014: (
        "IBKR does not know the Flex query",
        "Copy the query's number from IBKR's Client Portal (Flex Queries) to ibkr.flex.query_id.",
    ),
    1015: (
        "IBKR does not accept the Flex token",
        "Copy the newest token from IBKR's Client Portal (Flex Web Service) to ibkr.flex.token.",
    ),
    1016: (
        "IBKR does not accept the account of the Flex query",
        "Open the query in IBKR's Client Portal and tick the accounts it is for.",
    ),
    1017: ("IBKR has lost the statement that it was making", _AGAIN),
    1018: ("IBKR asked for fewer Flex requests", _AGAIN),
    1019: ("IBKR is still making the statement", _AGAIN),
    1020: (
        "IBKR does not accept the Flex request",
        "Check ibkr.flex.token and ibkr.flex.query_id; if they are right, report it.",
    ),
    1021: ("IBKR could not hand out the statement at the moment", _AGAIN),
}
_OF_THE_TOKEN = {1012, 1015}


@dataclass(frozen=True, slots=True)
class _Message:
    """A small answer of the service: fields by name in small letters."""

    fields: dict[str, str]

    @property
    def code(self) -> int | None:
        text = self.fields.get("errorcode", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def is_success(self) -> bool:
        return self.fields.get("status", "").lower() == "success"


class _FailedError(Exception):
    """The service answered with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class FlexService:
    """The two calls for one token.

    `turn` is waited for and held with each request (the pace), `sleep` is every other wait, by default
    that of the package.
    """

    def __init__(
        self,
        token: Secret,
        address: str,
        *,
        turn: Callable[[], AbstractContextManager[None]],
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._token = token
        # As it stands in addresses, in case a library's error text holds one.
        remember(quote_plus(token.reveal()))
        self._address = address
        self._turn = turn
        self._sleep = sleep or pace.wait
        self._session = requests.Session()
        self._session.headers["User-Agent"] = _AGENT
        # Without an `auth` of its own the session would take one for this host from ~/.netrc.
        self._session.auth = _leave_as_is

    def statement(self, query: str, since: date | None = None, until: date | None = None) -> bytes:
        """The statement of a saved query, for its own period or for the days named.

        Raises: CredentialsRefusedError for the token, StatementRefusedError for what the user has to
            change, StatementNotAvailableError when there is none for these days, BrokerBusyError and the
            errors of the way to IBKR when trying again did not help.
        """
        try:
            return self._statement(query, since, until)
        except _FailedError as failed:
            raise _error(failed.code) from None

    def _statement(self, query: str, since: date | None, until: date | None) -> bytes:
        try:
            return self._get(*self._ask_for(query, since, until))
        except _FailedError as failed:
            if failed.code != _GONE:
                raise
        return self._get(*self._ask_for(query, since, until))

    def _ask_for(self, query: str, since: date | None, until: date | None) -> tuple[str, str]:
        """Ask IBKR to make the statement. Returns its reference and where to get it."""
        parameters = {"q": query}
        if since is not None and until is not None:
            parameters |= {"fd": f"{since:%Y%m%d}", "td": f"{until:%Y%m%d}"}
        for attempt in range(1, _MOST_TRIES + 1):
            content = self._call(f"{self._address}SendRequest", parameters)
            message = _message(content)
            reference = message.fields.get("referencecode")
            if message.is_success and reference:
                return reference, self._checked(message.fields.get("url"))
            code = message.code
            if code is None:
                raise UnexpectedAnswerError("IBKR", "SendRequest", _shown(content))
            if code not in _PASSING or attempt == _MOST_TRIES:
                raise _FailedError(code)
            self._pause(code, attempt)
        raise AssertionError("the last try returns or raises")

    def _get(self, reference: str, address: str) -> bytes:
        """The statement, once it is made."""
        pause, waited, attempt = _FIRST_PAUSE, 0.0, 0
        while True:
            self._sleep(pause)
            waited += pause
            content = self._call(address, {"q": reference})
            if statements.looks_like_statement(content[:_LARGEST_MESSAGE]) and (
                b"<FlexStatementResponse" not in content[:_LARGEST_MESSAGE]
            ):
                return content
            code = _message(content).code
            if code is None:
                raise UnexpectedAnswerError("IBKR", "GetStatement", _shown(content))
            if code != _NOT_READY and code not in _PASSING:
                raise _FailedError(code)
            if waited >= _PATIENCE:
                raise _FailedError(code)
            if code == _NOT_READY:
                pause = min(pause + 5.0, _LONGEST_PAUSE)
                continue
            attempt += 1
            if attempt == _MOST_TRIES:
                raise _FailedError(code)
            pause = _PAUSES.get(code, _PAUSE) * attempt

    def _pause(self, code: int, attempt: int) -> None:
        seconds = _PAUSES.get(code, _PAUSE) * attempt
        log.info("Flex code %s: %s; the next try is in %.0f seconds", code, _MEANINGS[code][0], seconds)
        self._sleep(seconds)

    def _checked(self, given: str | None) -> str:
        """The address to get the statement from, if the token may go there. Raises: UnexpectedAnswerError."""
        if not given:
            return f"{self._address}GetStatement"
        own = urlsplit(self._address)
        try:
            parts = urlsplit(given.strip())
            origin = (parts.scheme, parts.hostname, parts.port)
        except ValueError:
            raise UnexpectedAnswerError("IBKR", "Url", given[:200]) from None
        is_own = origin == (own.scheme, own.hostname, own.port)
        is_ibkr = (
            parts.scheme == "https" and (parts.hostname or "").endswith(_IBKR) and parts.port in (None, 443)
        )
        if not (is_own or is_ibkr) or parts.username is not None:
            raise UnexpectedAnswerError("IBKR", "Url", given[:200])
        return f"{parts.scheme}://{parts.netloc}{parts.path}"

    def _call(self, address: str, parameters: dict[str, str]) -> bytes:
        """One request; what the way to IBKR did is tried again a few times."""
        for attempt in range(1, _MOST_TRIES):
            try:
                return self._call_once(address, parameters)
            except BrokerUnreachableError as err:
                log.info("Flex: %s", err.what)
                self._sleep(_FIRST_PAUSE * attempt)
        return self._call_once(address, parameters)

    def _call_once(self, address: str, parameters: dict[str, str]) -> bytes:
        query = {"t": self._token.reveal(), **parameters, "v": _VERSION}
        try:
            with (
                self._turn(),
                self._session.get(
                    address, params=query, timeout=TIMEOUT, allow_redirects=False, stream=True
                ) as response,
            ):
                content = _content(response)
        except requests.RequestException as err:
            raise _way_error(err, urlsplit(address).hostname or "") from None
        if response.status_code == 429:
            raise _FailedError(_TOO_OFTEN)
        if response.status_code >= 500:
            raise BrokerUnavailableError(
                f"IBKR's Flex service is down (status {response.status_code}).",
                next_step="Nothing: the next sync asks again.",
            )
        if response.status_code != 200:
            raise UnexpectedAnswerError("IBKR", "the Flex service's status", response.status_code)
        return content


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _content(response: requests.Response) -> bytes:
    parts, size = [], 0
    for part in response.iter_content(1 << 16):
        size += len(part)
        if size > _LARGEST_ANSWER:
            raise UnexpectedAnswerError("IBKR", "a Flex statement", "more than 1 GB")
        parts.append(part)
    return b"".join(parts)


def _message(content: bytes) -> _Message:
    """The leaf texts of a small XML answer. Raises: UnexpectedAnswerError for anything else."""
    fields: dict[str, str] = {}
    names: list[str] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        names.append(name.lower())

    def text(data: str) -> None:
        if names:
            fields[names[-1]] = fields.get(names[-1], "") + data

    def end(_name: str) -> None:
        name = names.pop()
        fields[name] = fields.get(name, "").strip()

    def refuse(*_: object) -> None:
        raise UnexpectedAnswerError("IBKR", "a Flex answer", _shown(content))

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        if len(content) > _LARGEST_MESSAGE:
            refuse()
        parser.Parse(content.strip(), True)
    except expat.ExpatError:
        raise UnexpectedAnswerError("IBKR", "a Flex answer", _shown(content)) from None
    return _Message(fields)


def _shown(content: bytes) -> str:
    return redact(content[:200].decode(errors="replace"))


def _error(code: int) -> StonksError:
    """What a code means for the user. Codes that are in no table are shown as they are."""
    what, next_step = _MEANINGS.get(
        code, ("IBKR refused the Flex request", "Look the code up in IBKR's documentation of Flex.")
    )
    what = f"{what} (Flex code {code})."
    if code in _OF_THE_TOKEN:
        return CredentialsRefusedError(what, next_step=next_step)
    if code == _NO_STATEMENT:
        return StatementNotAvailableError(what, next_step=next_step)
    if code == _TOO_OFTEN:
        return BrokerBusyError(what, next_step=next_step, retry_at=datetime.now(UTC) + timedelta(minutes=10))
    if code in _PASSING or code in (_NOT_READY, _GONE):
        return BrokerUnavailableError(what, next_step=next_step)
    return StatementRefusedError(what, next_step=next_step)


def _way_error(err: requests.RequestException, host: str) -> StonksError:
    """What the way to IBKR did; the library's own text is left out, it holds the address."""
    wait = "Nothing: the next sync asks again. If it stays so, check the connection to the internet."
    if isinstance(err, requests.ReadTimeout):
        return BrokerTimeoutError(f"{host} did not answer a Flex request in time.", next_step=wait)
    if isinstance(err, requests.exceptions.SSLError):
        return BrokerUnreachableError(
            f"The certificate of {host} is not trusted: something on the way may read the connection.",
            next_step="Check for a proxy or a virus scanner that opens encrypted connections.",
        )
    if isinstance(err, requests.exceptions.ProxyError):
        return BrokerUnreachableError(
            f"The proxy on the way to {host} does not work.", next_step="Check the proxy of this computer."
        )
    return BrokerUnreachableError(f"No connection to {host} could be made.", next_step=wait)


# --- the whole history ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Download:
    """One statement as it came, the days asked for, and those it says it covers.

    `content` is empty where IBKR has no statement for these days.
    """

    content: bytes
    asked: Span
    covers: Span | None


def windows(start: date, until: date, covered: Iterable[Span]) -> list[Span]:
    """The days from `start` to `until` that are not covered, in spans IBKR can make, the newest first."""
    gaps: list[Span] = []
    free_from = start
    for since, to in sorted(covered):
        if since > free_from:
            gaps.append((free_from, min(since - timedelta(days=1), until)))
        free_from = max(free_from, to + timedelta(days=1))
    gaps.append((free_from, until))
    found = []
    for since, to in reversed(gaps):
        last = to
        while since <= last:
            first = max(since, last - WINDOW + timedelta(days=1))
            found.append((first, last))
            last = first - timedelta(days=1)
    return found


def pull(
    service: FlexService,
    query: str,
    spans: Iterable[Span],
    failures: list[StonksError],
) -> Iterator[Download]:
    """One statement per span, until one is empty: before that there was no account.

    What does not come out as asked is added to `failures`; what would fail every further span ends it.
    """
    is_first = True
    for asked in spans:
        try:
            content = service.statement(query, *asked)
        except StatementNotAvailableError:
            yield Download(b"", asked, None)
            return
        outline = statements.outline(BytesIO(content))
        covers = None if outline.since is None or outline.until is None else (outline.since, outline.until)
        is_honoured = covers is None or _is_honoured(asked, covers)
        if is_honoured or is_first:  # else it is the first one again
            yield Download(content, asked, covers)
        is_first = False
        if covers is None or outline.is_empty:
            return
        if not is_honoured:
            failures.append(_other_days(asked, covers))
            return
        if covers[0] > asked[0]:
            failures.append(_fewer_days(asked, covers))


_SLACK = timedelta(days=5)  # IBKR moves the bounds to business days


def _is_honoured(asked: Span, covers: Span) -> bool:
    """Whether the answer is for the days asked for, and not for the query's own period."""
    return covers[0] >= asked[0] - _SLACK and abs(covers[1] - asked[1]) <= _SLACK


def _other_days(asked: Span, covers: Span) -> StonksError:
    return StatementRefusedError(
        f"IBKR made the statement for {covers[0]} to {covers[1]} and not for {asked[0]} to {asked[1]}: "
        "this query keeps to its own period.",
        next_step="Set the query's period to the last 365 days; export older years as XML at IBKR and "
        "import the files.",
    )


def _fewer_days(asked: Span, covers: Span) -> StonksError:
    return StatementNotAvailableError(
        f"IBKR's statement starts on {covers[0]} and not on {asked[0]}; the days before are not covered.",
        next_step="Nothing, if the account was opened then; else export these days at IBKR and import them.",
    )
