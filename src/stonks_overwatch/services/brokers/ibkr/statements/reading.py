"""One file of statements, read once from front to end, to a batch for the ledger.

Statements overlap in themselves: the same trade as execution, order and summary, the same cash as detail
and sum, the same account day by day. Of each only the best level counts, whichever comes first in the
file; sums are kept as sums (`flex-summaries`) where the file has nothing better.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import BinaryIO

from stonks_overwatch.errors import StatementError
from stonks_overwatch.ledger.types import (
    Activity,
    ActivityKind,
    Batch,
    FxRate,
    InboxItem,
    Period,
    precedence,
)
from stonks_overwatch.services.brokers.ibkr.statements import words
from stonks_overwatch.services.brokers.ibkr.statements.activities import (
    CONFIRMATIONS,
    FUNDS,
    SOURCE,
    SUMMARIES,
    Told,
    cash,
    charge,
    corporate_action,
    daily_settlement,
    funds,
    is_settlement,
    settlement,
    told_by,
    trade,
    transfer,
    unknown_codes,
)
from stonks_overwatch.services.brokers.ibkr.statements.dates import Dates
from stonks_overwatch.services.brokers.ibkr.statements.elements import (
    Attributes,
    Element,
    QueryStart,
    SectionStart,
    StatementEnd,
    StatementStart,
    events,
)
from stonks_overwatch.services.brokers.ibkr.statements.instruments import Instruments
from stonks_overwatch.services.brokers.ibkr.statements.portfolios import Portfolios
from stonks_overwatch.services.brokers.ibkr.statements.rows import OUTSIDE, Row, RowError, Statement
from stonks_overwatch.services.brokers.ibkr.statements.state import State, end_of

BROKER = "ibkr"

# Rows nobody reads are kept one by one up to here, then counted: the statement itself is kept anyway.
_MOST_UNREAD = 1000
# Cash of one amount told by two sections within these days is one movement.
_SAME_MONEY = timedelta(days=5)
# Statements day by day leave out weekends and holidays.
_CLOSED_DAYS = timedelta(days=5)
_MEANINGLESS = frozenset({"0", "0.0", "0.00", "N", "No"})

_CONVERT = {
    "Trade": trade,
    "Order": trade,
    "SymbolSummary": trade,
    "AssetSummary": trade,
    "WashSale": trade,
    "TradeConfirm": trade,
    "TradeTransfer": trade,
    "CashTransaction": cash,
    "CorporateAction": corporate_action,
    "Transfer": transfer,
}
_CHARGES = frozenset(
    {"SalesTax", "TransactionTax", "TransactionTaxDetail", "CFDCharge", "DebitCardActivity", "ClientFee"}
)
_MEANT = dict.fromkeys((*_CONVERT, *_CHARGES), "activities") | {
    "OpenPosition": "positions",
    "CashReportCurrency": "cash",
}
# What grows day by day and is booked once a month: the cash transactions tell it then.
_ACCRUED = frozenset({"HardToBorrowDetail", "SLBFee"})
# A corporate action of these kinds is a payment, which the cash transactions tell as a rule.
_PAYMENTS = frozenset({ActivityKind.DIVIDEND, ActivityKind.INTEREST, ActivityKind.FEE})
_BEST = frozenset({"EXECUTION", "TRADE_TRANSFERS", "DETAIL", "TRANSFER"})
# Levels that count when their account has no better one, best first.
_SUMS = ("ORDER", "SYMBOL_SUMMARY", "SUMMARY")
_REPEATED = frozenset({"ASSET_SUMMARY", "WASH_SALE", "LOT"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file came to. `rows` counts its rows by section, `repeats` those that other rows tell better."""

    batch: Batch
    query: str
    kind: str  # AF: activity, TCF: trade confirmations
    generated_at: datetime | None
    rows: Mapping[str, int]
    repeats: int
    missing: tuple[words.Section, ...]
    inbox: tuple[tuple[int, str], ...]  # the lines of what is in the batch's inbox, with the reasons


def looks_like_statement(head: bytes) -> bool:
    """Whether a file that starts so is Flex XML."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"<") and (b"<FlexQueryResponse" in start or b"<FlexStatement" in start)


@dataclass(frozen=True, slots=True)
class Outline:
    """A file's first and last day, and whether anything happened or was held in them."""

    since: date | None
    until: date | None
    is_empty: bool


def outline(stream: BinaryIO) -> Outline:
    """A quick look at what a file covers. Raises: StatementError as `read` does."""
    dates = Dates(stream)
    bounds: list[date] = []
    is_empty = True
    for event in events(stream, lambda _: None):
        if isinstance(event, StatementStart):
            row = Row("FlexStatement", "FlexStatement", event.attributes, OUTSIDE, dates)
            try:
                bounds += [day for day in (row.day("fromDate"), row.day("toDate")) if day]
            except RowError:
                continue
        elif isinstance(event, Element) and is_empty:
            is_empty = not _is_life(Row(event.tag, event.section, event.attributes, OUTSIDE, dates))
    return Outline(min(bounds, default=None), max(bounds, default=None), is_empty)


def _is_life(row: Row) -> bool:
    """Whether the row shows that the account was there: something happened, or was held."""
    if row.tag in _CONVERT or row.tag == "OpenPosition":
        return True
    field = {"EquitySummaryByReportDateInBase": "total", "CashReportCurrency": "endingCash"}.get(row.tag)
    return field is not None and (row.text(field) or "0").strip("0.,-") != ""


def read(
    stream: BinaryIO,
    *,
    login: str,
    fetched_at: datetime,
    account: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Reading:
    """Read a file of statements.

    Args:
        stream: the XML from its start, able to seek.
        login: whose statements these are.
        fetched_at: when they were got.
        account: the account of rows that name none.
        progress: told the bytes read so far.

    Raises: StatementError when the file as a whole cannot be read. A row that cannot goes to the inbox.
    """
    reader = _Reader(Dates(stream), account)
    for event in events(stream, progress):
        if isinstance(event, Element):
            reader.row(event)
        elif isinstance(event, StatementStart):
            reader.start(event.attributes)
        elif isinstance(event, StatementEnd):
            reader.statement = OUTSIDE
        elif isinstance(event, SectionStart):
            reader.section(event.name)
        elif isinstance(event, QueryStart):
            reader.query = reader.query or event.attributes
    if not reader.is_statement:
        raise StatementError(
            "The file is XML, but no Flex statement.",
            next_step="Export a Flex query from IBKR in the format XML and import that file.",
        )
    return reader.reading(login, fetched_at)


class _Inbox:
    """What could not be typed, each thing once."""

    def __init__(self) -> None:
        self._items: dict[str, InboxItem] = {}
        self._lines: dict[str, int] = {}
        self._unread: Counter[str] = Counter()

    def refuse(self, row: Row, account: str | None, reason: str, meant: str = "") -> None:
        text = row.raw()
        self._add(f"{row.section}:{_digest(text)}", account, row.section, reason, text, row.line, meant)

    def unread(self, row: Row, account: str | None, reason: str) -> None:
        """A row of a kind that nothing reads."""
        self._unread[row.tag] += 1
        if self._unread[row.tag] <= _MOST_UNREAD:
            self.refuse(row, account, reason)

    def note(self, subject: str, section: str, reason: str, text: str, line: int = 1) -> None:
        """Something odd about rows that were typed, said once, with the first of them."""
        self._add(f"{section}:{subject}", None, section, reason, text, line)

    def _add(
        self,
        key: str,
        account: str | None,
        section: str,
        reason: str,
        text: str,
        line: int,
        meant: str = "",
    ) -> None:
        self._items.setdefault(key, InboxItem(f"flex:{key}", account, section, reason, text, meant))
        self._lines.setdefault(key, line)

    def lines(self) -> tuple[tuple[int, str], ...]:
        return tuple(sorted((self._lines[key], item.reason) for key, item in self._items.items()))

    def items(self) -> tuple[InboxItem, ...]:
        for tag, count in self._unread.items():
            if count > _MOST_UNREAD:
                reason = f"{count - _MOST_UNREAD} more rows of this kind are in the statement"
                self.note(f"unread:{tag}:{count}", tag, reason, "")
        return tuple(self._items[key] for key in sorted(self._items))


class _Reader:
    def __init__(self, dates: Dates, account: str | None) -> None:
        self.query: Attributes = {}
        self.sections: set[str] = set()
        self.statement = OUTSIDE
        self.is_statement = False
        self._dates = dates
        self._account = account
        self._statements: dict[int, tuple[Statement, set[str]]] = {}  # with the accounts they tell of
        self._with_positions: set[int] = set()  # statements that have the section
        self._rows: Counter[str] = Counter()
        self._repeats = 0
        self._inbox = _Inbox()
        self._instruments = Instruments()
        self._state = State(self._instruments)
        self._portfolios = Portfolios()
        self._activities: dict[tuple[str, str], Activity] = {}
        self._occurrences: Counter[tuple[int, str, str]] = Counter()
        self._detailed: set[tuple[str, str]] = set()  # account and section that have the best level
        self._sums: defaultdict[tuple[str, str], dict[str, list[Activity]]] = defaultdict(dict)
        self._charges: list[Activity] = []
        self._settled: dict[tuple[str, str], Activity] = {}  # the sums of days, by account and key
        self._stand_ins: defaultdict[str, list[Activity]] = defaultdict(list)  # by the section they are from
        self._unwitnessed: dict[str, list[tuple[Row, str | None]]] = {}
        self._rates: dict[tuple[str, str, date], FxRate] = {}
        self._checked: set[tuple[str, ...]] = set()

    # While the file is read

    def start(self, attributes: Attributes) -> None:
        self.is_statement = True
        row = Row("FlexStatement", "FlexStatement", attributes, OUTSIDE, self._dates)
        account = row.text("accountId")
        try:
            since, until = row.day("fromDate"), row.day("toDate")
            _, generated_at = row.moment("whenGenerated")
        except RowError as err:
            since = until = generated_at = None
            self._inbox.refuse(row, account, str(err))
        if account is not None and not _is_one_account(account):
            account = None
        self.statement = Statement(len(self._statements) + 1, account, since, until, generated_at)
        self._statements[self.statement.number] = self.statement, set()
        if account is not None:
            self._meet(account)

    def section(self, name: str) -> None:
        self.sections.add(name)
        if name == "OpenPositions":
            self._with_positions.add(self.statement.number)

    def row(self, element: Element) -> None:
        is_inside = element.section != element.tag
        section = element.section if is_inside else words.SECTION_OF.get(element.tag, element.tag)
        row = Row(element.tag, section, element.attributes, self.statement, self._dates, element.line)
        self.sections.add(section)
        self._rows[section] += 1
        self.is_statement = self.is_statement or element.tag in words.READ
        account: str | None = None
        try:
            account = self._account_of(row)
            self._take(row, account)
        except RowError as err:
            self._refuse(row, account, err)

    def _refuse(self, row: Row, account: str | None, reason: RowError) -> None:
        if row.tag == "OpenPosition" and account:
            self._state.refuse_position(account)
        self._inbox.refuse(row, account, str(reason), _MEANT.get(row.tag, ""))

    def _take(self, row: Row, account: str | None) -> None:
        self._check_fields(row)
        self._check_words(row)
        tag = row.tag
        if tag in ("ConversionRate", "SecurityInfo"):
            self._take_reference(row, account)
        elif tag in words.TOLD_ELSEWHERE:
            self._take_repeat(row, account)
        elif tag in words.READ:
            if account is None:
                raise RowError("the row names no account")
            self._meet(account)
            if "currency" in row.told:
                self._state.meet_currency(account, row.told["currency"])
            if tag in _CONVERT:
                self._take_activity(row, account)
            elif tag in _CHARGES:
                self._take_charge(row, account)
            elif not self._portfolios.keep(row, account):
                self._take_state(row, account)
        else:
            self._inbox.unread(row, account, "rows of this kind are not known")
            return
        self.is_statement = True

    def _take_state(self, row: Row, account: str) -> None:
        self._state.take(row, account)
        if row.tag == "CashReportCurrency" and (settled := settlement(row, account)):
            self._add(settled, row)
        elif row.tag in _ACCRUED:
            self._take_accrued(row, account)

    def _account_of(self, row: Row) -> str | None:
        account = row.text("accountId") or row.statement.account or self._account
        if account is not None and not _is_one_account(account):
            raise RowError("a total over several accounts; the accounts' own rows count")
        return account

    def _meet(self, account: str) -> None:
        if self.statement is not OUTSIDE:
            self._statements[self.statement.number][1].add(account)
        self._state.meet(account, self.statement)

    def _check_fields(self, row: Row) -> None:
        """Tell fields that are in no table; the row is typed as far as it is known."""
        known = words.KNOWN_FIELDS.get(row.tag)
        if known is None or row.told.keys() <= known:
            return
        for name in row.told.keys() - known:
            if row.told[name] not in _MEANINGLESS and self._is_new("field", row.tag, name):
                reason = f"the field {name} is not known; the row is typed without it"
                self._inbox.note(f"field:{row.tag}:{name}", row.section, reason, row.raw(), row.line)

    def _check_words(self, row: Row) -> None:
        """Tell codes and types that are in no table."""
        if row.tag in ("Trade", "TradeConfirm"):
            notes = row.text("notes", "code") or ""
            if self._is_new("notes", notes, row.text("transactionType") or ""):
                for name, word in unknown_codes(row):
                    self._tell_word(row, name, word, "the row is typed without it")
        elif row.tag == "CashTransaction":
            word = row.text("type") or ""
            if word.lower() not in words.CASH_TYPES:
                self._tell_word(row, "type", word, "its kind is guessed from the words in it")
        elif row.tag == "CorporateAction":
            word = row.text("type") or ""
            if word and word not in words.ACTION_TYPES:
                self._tell_word(row, "type", word, "its kind is guessed from the description")

    def _tell_word(self, row: Row, name: str, word: str, consequence: str) -> None:
        if self._is_new("word", row.tag, name, word):
            reason = f"{name} {word!r} is not known; {consequence}"
            self._inbox.note(f"{name}:{row.tag}:{word}", row.section, reason, row.raw(), row.line)

    def _is_new(self, *subject: str) -> bool:
        if subject in self._checked:
            return False
        self._checked.add(subject)
        return True

    def _take_activity(self, row: Row, account: str) -> None:
        level = (row.text("levelOfDetail") or words.LEVELS.get(row.tag, "DETAIL")).upper()
        if level == "CLOSED_LOT":
            self._state.take(row.renamed("Lot"), account)
            return
        topic = account, row.section
        if row.text("fxRateToBase") == "1" and (own := row.currency()):
            self._state.meet_rate_of_one(account, own[0])
        if level in _BEST:
            if topic not in self._detailed:
                self._detailed.add(topic)
                self._repeats += sum(map(len, self._sums.pop(topic, {}).values()))
            source = CONFIRMATIONS if row.tag == "TradeConfirm" else SOURCE
            told = _CONVERT[row.tag](row, account, source, self._instruments)
            if row.tag == "Trade":
                self._state.take_close(row)
            for activity in self._numbered(told, account):
                if row.tag == "CorporateAction" and activity.kind in _PAYMENTS:
                    self._charges.append(activity)
                else:
                    self._add(activity, row)
        elif level not in _REPEATED and level not in _SUMS:
            raise RowError(f"levelOfDetail {level!r} is not known")
        elif level in _REPEATED or topic in self._detailed:
            self._repeats += 1
        else:
            told = _CONVERT[row.tag](row, account, SUMMARIES, self._instruments)
            self._sums[topic].setdefault(level, []).extend(self._numbered(told, account))

    def _numbered(self, told: Told, account: str) -> Iterable[Activity]:
        """With the occurrence in keys made of content: two fills of one second are two activities."""
        if not told.needs_counter:
            return told.activities
        base = told.activities[0].key
        counted = (self.statement.number, account, base)
        self._occurrences[counted] += 1
        numbered = f"{base}:{self._occurrences[counted]}"
        return [replace(a, key=numbered + a.key.removeprefix(base)) for a in told.activities]

    def _add(self, activity: Activity, row: Row) -> None:
        known = self._activities.setdefault((activity.account, activity.key), activity)
        if known is activity:
            return
        self._repeats += 1
        if known != activity:
            # One number for two contents: both are kept, and the inbox says so.
            other = replace(activity, key=f"{activity.key}#{_digest(repr(activity))[:8]}", refs=())
            self._activities.setdefault((other.account, other.key), other)
            self._inbox.refuse(row, activity.account, "another row has the same number; both are counted")

    def _take_charge(self, row: Row, account: str) -> None:
        is_of_trade = row.tag.startswith("TransactionTax") and row.ident("tradeId", "tradeID") is not None
        if is_of_trade and row.text("source") != "STANDALONE" and "Trades" in self.sections:
            self._repeats += 1  # it is in the trade's own taxes
            return
        told = charge(row, account, SOURCE, self._state.currency(account), self._instruments)
        self._charges.extend(self._numbered(told, account))

    def _take_accrued(self, row: Row, account: str) -> None:
        if row.number("borrowFee", "netLendFee"):
            told = charge(row, account, FUNDS, self._state.currency(account), self._instruments)
            self._stand_ins[row.section].extend(self._numbered(told, account))

    def _take_funds(self, row: Row, account: str) -> None:
        """A line of the statement of funds: kept as a figure, and in case nothing else tells of it."""
        self._meet(account)
        self._state.take_movement(row, account)
        self._repeats += 1
        if (row.text("levelOfDetail") or "").upper() == "BASECURRENCY":
            return
        if is_settlement(row):
            self._settle(daily_settlement(row, account))
            return
        witness = told_by(row)
        if witness in self.sections or witness is None:
            return
        if witness != "CashTransactions":
            self._unwitnessed.setdefault(witness, []).append((row, account))
            self._repeats -= 1
        else:
            told = funds(row, account, self._instruments)
            self._stand_ins[row.section].extend(self._numbered(told, account))
            code = (row.text("activityCode") or "").upper()
            if code not in words.FUND_TYPES:
                self._tell_word(row, "activityCode", code, "its kind is guessed from the words in it")

    def _settle(self, settled: Activity | None) -> None:
        """Add what a contract brought on a day to what others did."""
        if settled is not None:
            key = settled.account, settled.key
            before = self._settled[key].gross if key in self._settled else None
            total = (before or 0) + (settled.gross or 0)
            self._settled[key] = replace(settled, gross=Decimal(total))

    def _take_repeat(self, row: Row, account: str | None) -> None:
        if row.tag == "StatementOfFundsLine":
            if account is None:
                raise RowError("the row names no account")
            self._take_funds(row, account)
            return
        witness = words.WITNESSED_BY.get(row.tag)
        if witness is None or witness in self.sections:
            self._repeats += 1
        else:
            self._unwitnessed.setdefault(witness, []).append((row, account))

    def _take_reference(self, row: Row, account: str | None) -> None:
        if row.tag == "SecurityInfo":
            self._instruments.note(row)
            return
        rate, on = row.number("rate"), row.day("reportDate")
        base, quote = row.currency("fromCurrency"), row.currency("toCurrency")
        if base is None or quote is None or on is None:
            raise RowError("the rate has no day or no currencies")
        if account is not None:
            self._meet(account)
            self._state.meet_rate_of_one(account, quote[0])
        if rate and rate > 0 and base[0] != quote[0]:  # IBKR writes -1 where it has none
            pair = base[0], quote[0], on
            self._rates[pair] = FxRate(*pair, rate * quote[1] / base[1])

    # When all is read

    def reading(self, login: str, fetched_at: datetime) -> Reading:
        self._take_portfolios()
        for account, row in self._state.sums_of_one_currency():
            if row.tag == "CashReportCurrency" and (settled := settlement(row, account)):
                self._add(settled, row)
        summed = self._take_sums()
        self._take_charges()
        self._take_stand_ins()
        self._take_unwitnessed()
        aliases = self._instruments.aliases()
        for code, text in self._instruments.unknown_classes().items():
            reason = f"assetCategory {code!r} is not known; shown as other"
            self._inbox.note(f"assetCategory:{code}", "instruments", reason, text)
        accounts = self._state.accounts()
        generated = [s.generated_at for s, _ in self._statements.values() if s.generated_at]
        ends = [end_of(s.until) for s, _ in self._statements.values() if s.until]
        told_at = max(generated or ends, default=fetched_at)
        rank = precedence(told_at, in_statement=True)
        told = [
            accounts
            for statement, accounts in self._statements.values()
            if statement.number in self._with_positions
        ]
        positions, partial = self._state.positions(set().union(*told), aliases)
        batch = Batch(
            broker=BROKER,
            login=login,
            fetched_at=fetched_at,
            accounts=tuple(accounts.values()),
            instruments=self._instruments.all(without=aliases),
            positions=positions,
            partial_positions=partial,
            cash=self._state.cash(
                knows_interest="InterestAccruals" in self.sections,
                knows_dividends="OpenDividendAccruals" in self.sections,
            ),
            values=self._state.values(accounts),
            rates=tuple(replace(self._rates[pair], precedence=rank) for pair in sorted(self._rates)),
            prices=self._state.prices(aliases, rank),
            navs=self._state.navs(accounts, rank),
            activities=tuple(
                replace(a, broker_ref=aliases[a.broker_ref]) if a.broker_ref in aliases else a
                for a in self._activities.values()
            ),
            periods=self._periods(summed),
            figures=self._state.figures(accounts, aliases, rank),
            inbox=self._inbox.items(),
            told_at=min(told_at, fetched_at),
        )
        kind = self.query.get("type", "")
        wanted = words.WANTED_CONFIRMATIONS if kind == "TCF" else words.WANTED
        return Reading(
            batch=batch,
            query=self.query.get("queryName", ""),
            kind=kind,
            generated_at=max(generated, default=None),
            rows=dict(self._rows),
            repeats=self._repeats,
            missing=tuple(section for section in wanted if section.name not in self.sections),
            inbox=self._inbox.lines(),
        )

    def _take_portfolios(self) -> None:
        self._repeats += self._portfolios.repeats
        for account, row in self._portfolios.summed():
            try:
                self._take_state(row, account)
            except RowError as err:
                self._refuse(row, account, err)

    def _take_sums(self) -> set[tuple[str, str]]:
        """Count the best level of what has no detail. Returns: the accounts and sections where it is sums."""
        for (account, section), levels in self._sums.items():
            best = next(level for level in _SUMS if level in levels)
            for activity in levels.pop(best):
                self._activities.setdefault((activity.account, activity.key), activity)
            self._repeats += sum(map(len, levels.values()))
            reason = f"only sums are in the section (level of detail {best}); the rows' numbers are missing"
            self._inbox.note(f"sums:{account}:{best}", section, reason, f"account {account}")
        return set(self._sums)

    def _take_charges(self) -> None:
        """Add the charges that no other row tells of: each of those can explain one."""
        if not self._charges:
            return
        numbers = {ref for a in self._activities.values() for ref in a.refs}
        by_money: defaultdict[tuple[str, str, object], list[Activity]] = defaultdict(list)
        for a in self._activities.values():
            if a.quantity is None:
                by_money[a.account, a.currency, a.gross].append(a)
        for charged in self._charges:
            same = by_money[charged.account, charged.currency, charged.gross]
            twin = next((a for a in same if _is_one_payment(a, charged)), None)
            if numbers.isdisjoint(charged.refs) and twin is None:
                self._activities.setdefault((charged.account, charged.key), charged)
            else:
                self._repeats += 1
                if twin is not None:
                    same.remove(twin)

    def _take_stand_ins(self) -> None:
        """Count each day's settlement; and what only the statement of funds tells, or else daily accruals."""
        self._activities = {k: a for k, a in self._settled.items() if a.gross} | self._activities
        if "CashTransactions" in self.sections:
            return
        sections = {"StmtFunds"} if "StmtFunds" in self.sections else self._stand_ins.keys()
        for section in sorted(sections):
            for activity in self._stand_ins[section]:
                self._activities.setdefault((activity.account, activity.key), activity)
            self._repeats -= len(self._stand_ins[section]) if section == "StmtFunds" else 0

    def _take_unwitnessed(self) -> None:
        for witness, rows in self._unwitnessed.items():
            if witness in self.sections:
                self._repeats += len(rows)
                continue
            for row, account in rows:
                self._inbox.unread(
                    row, account, f"only the section {witness} tells this in full; it is missing"
                )

    def _periods(self, summed: set[tuple[str, str]]) -> tuple[Period, ...]:
        """Of which days each account's activities are told in full, and by what kind of rows."""
        days: defaultdict[str, list[tuple[date, date]]] = defaultdict(list)
        for statement, accounts in self._statements.values():
            if statement.since and statement.until:
                for account in accounts:
                    days[account].append((statement.since, statement.until))
        found = []
        for account, spans in sorted(days.items()):
            topics: defaultdict[str, list[str]] = defaultdict(list)
            for section in sorted(self.sections & words.TOPICS.keys()):
                source = CONFIRMATIONS if section == "TradeConfirms" else SOURCE
                is_summed = (account, section) in summed
                topics[SUMMARIES if is_summed else source].append(words.TOPICS[section])
            if "StmtFunds" in self.sections and "CashTransactions" not in self.sections:
                topics[FUNDS].append("cash")
            for since, until in _joined(spans):
                found += [Period(account, s, since, until, tuple(t)) for s, t in sorted(topics.items())]
        return tuple(found)


def _is_one_payment(told: Activity, charged: Activity) -> bool:
    """Whether two rows of one amount are one payment: of one action, or near in time and without numbers."""
    if charged.group is not None and told.group == charged.group:
        return True
    if told.refs and charged.refs:
        return False
    return abs((told.booked_on or told.trade_date) - (charged.booked_on or charged.trade_date)) <= _SAME_MONEY


def _joined(spans: list[tuple[date, date]]) -> list[tuple[date, date]]:
    """The spans in order, those that touch as one. Single days join over days without a market."""
    is_daily = len(spans) > 1 and all(since == until for since, until in spans)
    gap = _CLOSED_DAYS if is_daily else timedelta(days=1)
    joined: list[tuple[date, date]] = []
    for since, until in sorted(spans):
        if joined and since <= joined[-1][1] + gap:
            joined[-1] = joined[-1][0], max(until, joined[-1][1])
        else:
            joined.append((since, until))
    return joined


def _is_one_account(account: str) -> bool:
    """Consolidated statements name all accounts at once."""
    return "," not in account and " " not in account


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
