"""What a broker offers: six functions, and the little they exchange with a run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

from stonks_overwatch.errors import StonksError
from stonks_overwatch.ledger.types import BalanceNow, Batch, Quote


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`."""

    check: str
    status: Literal["ok", "warning", "error"]
    what: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came: `body` is the decoded JSON (Decimal where a number had a fraction), `content`
    the exact bytes it was decoded from; empty for an answer that was read from the broker's own tables.
    """

    endpoint: str  # method and path, "GET portfolio/U1/ledger"
    account: str | None
    request: dict[str, Any]
    body: Any
    fetched_at: datetime
    content: bytes = b""


@dataclass(slots=True)
class Raw:
    """Everything one fetch brought: the answers in order, and the steps that failed on the way."""

    login: str
    fetched_at: datetime
    answers: list[Answer] = field(default_factory=list)
    failures: list[StonksError] = field(default_factory=list)


LiveStatus = Literal[
    "idle", "connecting", "live", "delayed", "closed", "competing", "no_rights", "unavailable"
]


@dataclass(frozen=True, slots=True)
class AccountNow:
    """What a broker itself says of an account at a moment, in the account's currency; None is not told.

    `traded_at` is when the latest trade that moves a quantity was seen; None if there was none.
    """

    account: str
    nav: Decimal | None = None
    day_pnl: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    at: datetime | None = None
    balances: Mapping[str, BalanceNow] = field(default_factory=dict)  # by currency
    traded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LiveState:
    """Where the live values of one login stand, and the latest of them.

    In "idle" nothing is open, because nothing is held that could have a quote.
    There are values in "live" (some quote is real time), "delayed" (none is) and "closed" (all are of the
    last close) only. `what` and `next_step` say why there are none.
    """

    login: str
    status: LiveStatus
    what: str
    next_step: str = ""
    retry_at: datetime | None = None
    quotes: Mapping[str, Quote] = field(default_factory=dict)  # by the broker's number of the instrument
    accounts: Mapping[str, AccountNow] = field(default_factory=dict)


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, how many there are."""


class Broker(Protocol):
    """A broker package. `config` is the broker's own section of the configuration, one login.

    `fetch` brings what is true now; `history` the past, in parts that are kept and stored one by one.
    """

    def fetch(self, config: Any, since: date, progress: Progress) -> Raw: ...

    def history(self, config: Any, since: date, progress: Progress) -> Iterator[Raw]: ...

    def keep(self, raw: Raw) -> None: ...

    def kept(self, login: str, since: datetime, until: datetime) -> Raw | None: ...

    def transform(self, raw: Raw) -> Batch: ...

    def check(self, config: Any) -> list[Finding]: ...
