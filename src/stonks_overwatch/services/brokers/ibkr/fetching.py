"""Ask IBKR for all that a sync needs, in the order and at the pace that IBKR wants."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, cast

from stonks_overwatch.errors import (
    AccountNotVisibleError,
    BrokerBusyError,
    BrokerUnreachableError,
    CredentialsRefusedError,
    StonksError,
    UnexpectedAnswerError,
)
from stonks_overwatch.services.brokers.base import Answer, Progress, Raw
from stonks_overwatch.services.brokers.ibkr import agenda, pace
from stonks_overwatch.services.brokers.ibkr.client import client, decode, not_visible
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin
from stonks_overwatch.services.brokers.ibkr.keeping import (
    Key,
    kept_answers,
    kept_contracts,
    position_rows,
)
from stonks_overwatch.services.brokers.ibkr.rows import conid, number, text
from stonks_overwatch.services.brokers.ibkr.values import MINOR_UNITS, Row

log = logging.getLogger(__name__)

SETTLING = 1.5
"""Seconds that IBKR takes to load contract data, or to read its own cache anew."""
ATTEMPTS = 4
MOST_PAGES = 200
ROWS_OF_A_PAGE = 100
DEFINITIONS_AT_ONCE = 200
DEFINITIONS_LAST = timedelta(weeks=4)
HISTORY_DAYS = 90
LOST_AFTER = 3
"""So many calls in a row without an answer, each tried again already, and the rest is left."""


def fetch(login: IbkrLogin, since: date, progress: Progress) -> Raw:
    """Everything IBKR tells a login, as it came.

    A step that fails is in `failures` and the others go on; what would hit every further call (a penalty,
    a refused login, a dead connection) ends the fetch with what there is by then.

    Raises: ConfigError, KeyFileMissingError, AccountNotVisibleError, and every error of the login and of
        the list of accounts: without those there is nothing to go on with.
    """
    return _Fetch(login, since, progress).run()


class _StopError(Exception):
    def __init__(self, error: StonksError) -> None:
        super().__init__(error.what)
        self.error = error


@dataclass(frozen=True)
class _Reading:
    """One attempt to read an account's positions: the cached pages, and the fresh list to compare with.

    A list that could not be read is the error in its place.
    """

    account: str
    pages: list[Answer] | StonksError
    fresh: Answer | StonksError

    @cached_property
    def cached_rows(self) -> dict[Key, Row]:
        return position_rows(self.account, self.pages if isinstance(self.pages, list) else [])

    @cached_property
    def fresh_rows(self) -> dict[Key, Row]:
        return position_rows(self.account, [self.fresh] if isinstance(self.fresh, Answer) else [])

    @property
    def is_warm(self) -> bool:
        return isinstance(self.pages, StonksError) or not any(map(_is_cold, self.pages))

    @property
    def agrees(self) -> bool:
        is_read = isinstance(self.pages, list) and isinstance(self.fresh, Answer)
        return is_read and _held(self.cached_rows) == _held(self.fresh_rows)


class _Fetch:
    """One fetch at work."""

    def __init__(self, login: IbkrLogin, since: date, progress: Progress) -> None:
        self.raw = Raw(login.name, datetime.now(UTC))
        self._login = login
        self._since = since
        self._progress = progress
        self._client = client(login)
        self._done = 0
        self._steps = 2
        self._lost = 0
        self._positions: dict[str, dict[Key, Row]] = {}
        self._complete: set[str] = set()
        self._rates: dict[str, dict[str, Decimal]] = {}

    def run(self) -> Raw:
        self._tell("Logging in to IBKR")
        accounts = self._accounts()
        self._steps += 2 * len(accounts) + 3
        try:
            self._read(accounts)
        except _StopError as stop:
            self.raw.failures.append(stop.error)
        self._progress("Done", self._steps, self._steps)
        return self.raw

    def _read(self, accounts: Mapping[str, str]) -> None:
        # The first answer about positions lacks names, and makes IBKR load them: ask early, read later.
        first = {account: (self._first_page(account), time.monotonic()) for account in accounts}
        for account in accounts:
            self._tell(f"Account {account}")
            self._step(self._client.portfolio_account_information, account)
            summary = self._step(self._client.portfolio_summary, account)
            self._tell(f"Positions of {account}")
            self._read_positions(account, *first[account], summary)
            self._read_ledger(account)
        self._tell("Transactions")
        self._read_transactions(accounts)
        self._tell("Instruments")
        self._read_definitions()
        self._tell("Performance")
        self._read_performance(accounts)

    # Calls

    def _tell(self, what: str) -> None:
        self._progress(what, self._done, self._steps)
        self._done += 1

    def _try(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Answer | StonksError:
        """The answer of one of iBind's methods, or what went wrong. Raises: _StopError."""
        try:
            answer = cast("Answer", call(*args, **kwargs).answer)
        except pace.NotDueError as err:
            return err
        except (BrokerBusyError, CredentialsRefusedError) as err:
            raise _StopError(err) from err
        except StonksError as err:
            self._lost = self._lost + 1 if isinstance(err, BrokerUnreachableError) else 0
            if self._lost == LOST_AFTER:
                raise _StopError(err) from err
            return err
        self._lost = 0
        return answer

    def _step(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Answer | None:
        """One step that the others can do without: its answer goes to `raw`, or its error does."""
        answer = self._try(call, *args, **kwargs)
        if isinstance(answer, pace.NotDueError):  # another process was faster
            log.info("%s", answer.what)
            return None
        if isinstance(answer, StonksError):
            self.raw.failures.append(answer)
            return None
        self.raw.answers.append(answer)
        return answer

    # Accounts

    def _accounts(self) -> dict[str, str]:
        """The accounts to read and the currency each is kept in, from IBKR's list of them."""
        for _ in range(3):  # the pacer puts five seconds between them
            answer = cast("Answer", self._client.portfolio_accounts().answer)
            if answer.body:
                break
        else:
            raise AccountNotVisibleError(
                "IBKR lists no account for this login.",
                next_step="Check in Client Portal that its user name may see an account, then sync again.",
            )
        self.raw.answers.append(answer)
        visible = {text(row, "accountId", "id"): text(row, "currency") for row in answer.body}
        if visible.pop("", None) is not None:
            self.raw.failures.append(
                UnexpectedAnswerError("IBKR", answer.endpoint, "an account without an id")
            )
        wanted = self._login.accounts or tuple(visible)
        hidden = [not_visible(account) for account in wanted if account not in visible]
        accounts = {account: visible[account] for account in wanted if account in visible}
        if hidden and not accounts:
            raise hidden[0]
        self.raw.failures += hidden
        return accounts

    # Positions

    def _first_page(self, account: str) -> Answer | None:
        answer = self._try(self._client.positions, account, page=0, sort="position", direction="a")
        return answer if isinstance(answer, Answer) else None

    def _read_positions(
        self, account: str, first: Answer | None, asked_at: float, summary: Answer | None
    ) -> None:
        """Read the positions until both of IBKR's lists agree, or as often as is decent.

        The request of the fresh list says `complete`: that what is not on it is not held any more.
        """
        if first is not None and _is_cold(first):
            pace.wait(SETTLING - (time.monotonic() - asked_at))
            first = None
        before = None
        for attempt in range(1, ATTEMPTS + 1):
            reading = self._reading(account, first)
            is_empty = not _held(reading.cached_rows) and not _held(reading.fresh_rows)
            is_trusted = not (is_empty and _has_positions(summary))
            is_last = attempt == ATTEMPTS or isinstance(reading.fresh, StonksError)
            if reading.agrees and is_trusted and (reading.is_warm or attempt == ATTEMPTS - 1):
                is_complete = True
                break
            is_settled = before is not None and _held(before.fresh_rows) == _held(reading.fresh_rows)
            if is_last or (isinstance(reading.pages, StonksError) and is_settled):
                is_complete = is_trusted and is_settled and self._is_fresh_right(reading)
                break
            if attempt == 2:  # the second look differed too: the cache will not right itself
                self._try(self._client.invalidate_backend_portfolio_cache, account)
            pace.wait(SETTLING)
            before, first = reading, None
        self._keep_reading(reading, attempt, is_complete=is_complete)

    def _reading(self, account: str, first: Answer | None) -> _Reading:
        return _Reading(account, self._pages(account, first), self._try(self._client.positions2, account))

    def _pages(self, account: str, first: Answer | None) -> list[Answer] | StonksError:
        """All pages of the cached list; sorted, because a page beyond the end is the whole list otherwise."""
        pages: list[Answer] = []
        seen: set[Key] = set()
        for page in range(MOST_PAGES):
            answer: Answer | StonksError
            if page == 0 and first is not None:
                answer = first
            else:
                answer = self._try(self._client.positions, account, page=page, sort="position", direction="a")
            if isinstance(answer, StonksError):
                return answer
            rows = position_rows(account, [answer])
            if page == 0 or rows.keys() - seen:
                pages.append(answer)
            if len(answer.body) < ROWS_OF_A_PAGE or not rows.keys() - seen:
                break
            seen |= rows.keys()
        return pages

    def _is_fresh_right(self, reading: _Reading) -> bool:
        """Whether what only the cached list names has been sold, or the fresh list is too short.

        The account's own value of the currencies in question decides, being of neither list.
        """
        cached, fresh = reading.cached_rows, reading.fresh_rows
        if isinstance(reading.fresh, StonksError):
            return False
        disputed = [cached[key] for key in _held(cached) - _held(fresh)]
        if not disputed:
            return True
        ledger = self._try(self._client.get_ledger, reading.account)
        if isinstance(ledger, StonksError):
            return False
        return all(
            _is_worth(
                ledger.body, currency, [row for row in fresh.values() if _currency(row) == currency], rows
            )
            for currency, rows in _by_currency(disputed).items()
        )

    def _keep_reading(self, reading: _Reading, attempt: int, *, is_complete: bool) -> None:
        about = {"attempt": attempt}
        if isinstance(reading.pages, StonksError):
            self.raw.failures.append(reading.pages)
        else:
            self.raw.answers += [replace(a, request=a.request | about) for a in reading.pages]
        if isinstance(reading.fresh, StonksError):
            self.raw.failures.append(reading.fresh)
        else:
            about["complete"] = is_complete
            self.raw.answers.append(replace(reading.fresh, request=reading.fresh.request | about))
        if is_complete:
            self._complete.add(reading.account)
        rows = reading.cached_rows | reading.fresh_rows
        if is_complete:
            rows = {key: rows[key] for key in reading.fresh_rows}
        self._positions[reading.account] = rows

    # Cash

    def _read_ledger(self, account: str) -> None:
        """The cash of an account; once more when it is empty or lacks a currency of the positions."""
        answer = self._try(self._client.get_ledger, account)
        currencies = {_currency(row) for row in self._positions[account].values()} - {""}
        if isinstance(answer, Answer) and (not answer.body or currencies - answer.body.keys()):
            pace.wait(SETTLING)
            again = self._try(self._client.get_ledger, account)
            if isinstance(again, Answer) and len(again.body) >= len(answer.body):
                answer = again
        if isinstance(answer, StonksError):
            self.raw.failures.append(answer)
            return
        self.raw.answers.append(answer)
        self._rates[account] = {
            currency: rate
            for currency, row in answer.body.items()
            if isinstance(row, dict) and (rate := number(row, "exchangerate"))
        }

    # Instruments and PortfolioAnalyst

    def _read_definitions(self) -> None:
        """What the contracts are, from IBKR where that is not known or old, else as it was told then."""
        wanted = {number_ for rows in self._positions.values() for number_, _ in rows}
        for answer in self.raw.answers:
            if answer.endpoint == "POST pa/transactions":
                wanted |= {int(asked) for asked in answer.request["conids"]}
        known = kept_contracts(wanted)
        recent = self.raw.fetched_at - DEFINITIONS_LAST
        unknown = sorted(c for c in wanted if c not in known or known[c][0] < recent)
        told: set[int | None] = set()
        for start in range(0, len(unknown), DEFINITIONS_AT_ONCE):
            batch = [str(number_) for number_ in unknown[start : start + DEFINITIONS_AT_ONCE]]
            told_now = self._step(self._client.security_definition_by_conid, batch)
            rows = told_now.body.get("secdef") if told_now is not None else None
            told |= {conid(row) for row in rows if isinstance(row, dict)} if isinstance(rows, list) else set()
        # After what was told now: of two definitions the first counts.
        for stored, content in kept_answers({known[c][1] for c in wanted if c in known and c not in told}):
            self.raw.answers.append(
                Answer(stored.endpoint, None, json.loads(stored.request), decode(content), stored.fetched_at)
            )

    def _read_transactions(self, accounts: Mapping[str, str]) -> None:
        if not self._is_due("pa/transactions"):
            return
        now = datetime.now(UTC)
        holdings = self._holdings()
        wanted = agenda.next_instrument(self.raw.login, accounts, holdings, self._complete, now)
        if wanted is None:
            return
        agenda.note(self.raw.login, "pa/transactions", str(wanted), now)
        quantities = holdings[wanted].quantities if wanted in holdings else {}
        holder = max(accounts, key=lambda account: abs(quantities.get(account, Decimal(0))))
        days = min(HISTORY_DAYS, max(1, (now.date() - self._since).days))
        self._step(
            self._client.transaction_history,
            list(accounts),
            [str(wanted)],
            accounts[holder] or "USD",
            days,
        )

    def _read_performance(self, accounts: Mapping[str, str]) -> None:
        """The daily values of a year: for several accounts in one question, where IBKR answers that one."""
        if len(accounts) > 1:
            if not self._is_due("pa/allperiods"):
                return
            if self._step(self._client.all_periods, list(accounts)) is not None:
                return
        if not self._is_due("pa/performance"):
            return
        account = agenda.next_account(self.raw.login, accounts)
        agenda.note(self.raw.login, "pa/performance", account, datetime.now(UTC))
        answer = self._step(self._client.account_performance, [account], "1Y")
        if answer is not None:
            self.raw.answers[-1] = replace(answer, account=account)

    def _is_due(self, endpoint: str) -> bool:
        is_due = self._client.pacer.is_due(endpoint)
        if not is_due:
            log.info(
                "%s is left out, IBKR allows it again at %s", endpoint, self._client.pacer.due_at(endpoint)
            )
        return is_due

    def _holdings(self) -> dict[int, agenda.Holding]:
        """What is held, by contract, models added up, with its value in the currency of its account."""
        holdings: dict[int, agenda.Holding] = {}
        for account, rows in self._positions.items():
            for (number_, _), row in rows.items():
                held = holdings.get(number_, agenda.Holding(number_, {}, Decimal(0), ""))
                quantity = number(row, "position") or Decimal(0)
                value = number(row, "marketValue", "mktValue") or Decimal(0)
                rate = self._rates.get(account, {}).get(_currency(row), Decimal(1))
                holdings[number_] = agenda.Holding(
                    number_,
                    {**held.quantities, account: held.quantities.get(account, Decimal(0)) + quantity},
                    held.value + value * rate,
                    text(row, "assetClass", "secType"),
                )
        return holdings


def _is_cold(page: Answer) -> bool:
    """Whether the page is IBKR's first answer after a login, without contract data."""
    told = ("ticker", "name", "fullName", "listingExchange", "pageSize")
    return any(not any(name in row for name in told) for row in page.body)


def _held(rows: Mapping[Key, Row]) -> set[Key]:
    """Without the rows of quantity 0 that stay for a day after a close."""
    return {key for key, row in rows.items() if number(row, "position") != 0}


def _has_positions(summary: Answer | None) -> bool:
    """Whether the account's summary speaks of positions: then an empty list is not the whole truth."""
    value = summary.body.get("grosspositionvalue") if summary is not None else None
    return isinstance(value, dict) and bool(number(value, "amount"))


def _currency(row: Row) -> str:
    """The currency an instrument's money is in: pence are pounds."""
    code = text(row, "currency")
    return MINOR_UNITS.get(code, code)


def _by_currency(rows: list[Row]) -> dict[str, list[Row]]:
    return {code: [row for row in rows if _currency(row) == code] for code in map(_currency, rows)}


def _is_worth(ledger: Row, currency: str, rows: list[Row], disputed: list[Row]) -> bool:
    """Whether the ledger's value of a currency fits the rows better without the disputed ones."""
    of_currency = ledger.get(currency)
    if not isinstance(of_currency, dict):
        return not rows
    values = [number(of_currency, name) for name in ("netliquidationvalue", "cashbalance")]
    if None in values:
        return False
    total, cash = (value or Decimal(0) for value in values)
    accrued = sum((number(of_currency, name) or Decimal(0) for name in ("interest", "dividends")), Decimal(0))
    stated = total - cash - accrued

    def value(of: list[Row]) -> Decimal:
        return sum((number(row, "marketValue", "mktValue") or Decimal(0) for row in of), Decimal(0))

    return abs(stated - value(rows)) < abs(stated - value(rows) - value(disputed))
