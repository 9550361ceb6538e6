"""IBKR's JSON to ledger types. Pure: no network, no database, no clock.

A row either becomes a value or goes to the inbox with its whole text; one that fails stops no other.
Absent, null and empty text are the same to IBKR and mean unknown here.
"""

import hashlib
import html
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from stonks_overwatch.errors import UnexpectedAnswerError
from stonks_overwatch.ledger.types import (
    Account,
    AccountValue,
    Activity,
    ActivityKind,
    AssetClass,
    Batch,
    CashBalance,
    Coverage,
    FxRate,
    InboxItem,
    Instrument,
    NavPoint,
    Position,
    currency,
)
from stonks_overwatch.services.brokers.base import Answer, Raw

BROKER = "ibkr"
SOURCE = "web-api"

Row = Mapping[str, Any]

ASSET_CLASSES = {
    "STK": AssetClass.STOCK,
    "FUND": AssetClass.FUND,
    "OPT": AssetClass.OPTION,
    "FSOPT": AssetClass.OPTION,
    "FUT": AssetClass.FUTURE,
    "FOP": AssetClass.FUTURE_OPTION,
    "FSFOP": AssetClass.FUTURE_OPTION,
    "BOND": AssetClass.BOND,
    "BILL": AssetClass.BOND,
    "CASH": AssetClass.CASH,
    "CRYPTO": AssetClass.CRYPTO,
    "WAR": AssetClass.WARRANT,
    "IOPT": AssetClass.STRUCTURED,
    "CFD": AssetClass.CFD,
    "FXCFD": AssetClass.CFD,
    "CMDTY": AssetClass.COMMODITY,
}
# Their multiplier is a term of the contract; everything else is priced per unit unless IBKR says otherwise.
DERIVATIVES = {AssetClass.OPTION, AssetClass.FUTURE, AssetClass.FUTURE_OPTION}
# IBKR shows the conversion ratio as multiplier, and values them per unit all the same.
PER_CERTIFICATE = {AssetClass.WARRANT, AssetClass.STRUCTURED}
KINDS = {
    "buy": ActivityKind.BUY,
    "sell": ActivityKind.SELL,
    "dividend payment": ActivityKind.DIVIDEND,
    "payment in lieu": ActivityKind.DIVIDEND,
}
RIGHTS = {"C": "call", "CALL": "call", "P": "put", "PUT": "put"}
# Hundredths of a currency that are written as if they were one.
MINOR_UNITS = {"GBX": "GBP", "GBp": "GBP", "ILA": "ILS", "ZAC": "ZAR", "ZAc": "ZAR"}
HUNDREDTH = Decimal("0.01")

_PATH = re.compile(r"GET (?P<group>portfolio2?)/(?P<account>[^/]+)/(?P<what>[a-z]+)(?:/\d+)?")
# The tail of an option's text as the Options Clearing Corporation writes it: SPY   270115C00440000 100
_OCC = re.compile(r"\[\S+\s+(?P<expiry>\d{6})(?P<right>[CP])(?P<strike>\d{8})\s+(?P<multiplier>\d+)\]")
_OPTION_TEXT = re.compile(r"\s[A-Z]{3}\d{2,4}\s+(?P<strike>\d+(?:\.\d+)?)\s+(?P<right>[CP])\b")
_TEXT_DATE = re.compile(r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}) .*(?P<year>\d{4})")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")


def transform(raw: Raw) -> Batch:
    """Everything the answers of one fetch say, each row once, in an order that does not depend on theirs."""
    return _Transform(raw).batch()


def number(row: Row, field: str) -> Decimal | None:
    """Read one number of IBKR's JSON exactly; None where IBKR left it out or marked it as unset.

    Raises: UnexpectedAnswerError for anything that is not a number.
    """
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, bool):
        raise UnexpectedAnswerError("IBKR", field, value)
    text = str(value).replace(",", "").strip()
    if not text:
        return None
    try:
        # Through str: Decimal(0.1) would carry the error of the binary float.
        result = Decimal(text)
    except InvalidOperation as err:
        raise UnexpectedAnswerError("IBKR", field, value) from err
    # NaN is no price; the largest double (1.8E308) is how IBKR's back end writes "not set".
    if not result.is_finite() or result.adjusted() > 30:
        return None
    return result


class _UntypedError(Exception):
    """Why a row cannot be typed."""


class _Inbox:
    """Collects what could not be typed, each thing once."""

    def __init__(self) -> None:
        self._items: dict[str, InboxItem] = {}

    def refuse(self, section: str, account: str | None, reason: str, content: Any) -> None:
        """Keep a row, or a whole answer, that could not be typed."""
        text = _json(content)
        self._add(f"{section}:{account or ''}:{_digest(text)}", account, section, reason, text)

    def doubt(self, section: str, account: str | None, subject: str, reason: str, content: Any) -> None:
        """Tell something odd about a row that was typed. Said once per subject, however its numbers move."""
        key = f"{section}:{account or ''}:{subject}:{_digest(reason)}"
        self._add(key, account, section, reason, _json(content))

    def _add(self, key: str, account: str | None, section: str, reason: str, text: str) -> None:
        self._items.setdefault(key, InboxItem(key, account, section, reason, text))

    def items(self) -> tuple[InboxItem, ...]:
        return tuple(self._items[key] for key in sorted(self._items))


@dataclass
class _Holding:
    """What IBKR reports of one conid in one account, in the unit IBKR uses; models added up."""

    account: str
    conid: str
    row: Row
    quantity: Decimal
    price: Decimal | None
    value: Decimal | None
    average_price: Decimal | None
    average_cost: Decimal | None
    unrealized: Decimal | None
    priced_at: datetime

    @property
    def ratio(self) -> Decimal | None:
        """Value per quantity × price: what the multiplier comes to. None where rounding could blur it."""
        if not self.price or self.value is None or abs(self.value) < 1 or not self.quantity:
            return None
        return self.value / (self.quantity * self.price)


@dataclass
class _AccountAnswers:
    """The answers of one account, in the order of the calls."""

    about: list[Row] = field(default_factory=list)
    summaries: list[Answer] = field(default_factory=list)
    ledgers: list[Answer] = field(default_factory=list)
    pages: list[Answer] = field(default_factory=list)
    fresh: list[Answer] = field(default_factory=list)  # portfolio2


class _Transform:
    """One transform at work: the answers sorted by what they are, then the batch built section by section."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.inbox = _Inbox()
        self.asked: defaultdict[str, _AccountAnswers] = defaultdict(_AccountAnswers)
        self.listed: list[Row] = []
        self.definitions: list[Row] = []
        self.transactions: list[Answer] = []
        self.performances: list[Answer] = []
        self.details: defaultdict[str, list[Row]] = defaultdict(list)  # conid -> rows that describe it
        for answer in raw.answers:
            self._sort(answer)

    def _sort(self, answer: Answer) -> None:
        path = _PATH.fullmatch(answer.endpoint)
        for account in filter(None, (answer.account, *_requested(answer, "acctIds"))):
            self.asked.setdefault(account, _AccountAnswers())
        if answer.endpoint in ("GET portfolio/accounts", "GET portfolio/subaccounts"):
            self.listed += self._rows(answer, "accounts", answer.body)
        elif answer.endpoint == "GET trsrv/secdef":
            body = answer.body.get("secdef") if isinstance(answer.body, dict) else answer.body
            self.definitions += self._rows(answer, "instruments", body)
        elif answer.endpoint == "POST pa/transactions":
            self.transactions.append(answer)
        elif answer.endpoint == "POST pa/performance":
            self.performances.append(answer)
        elif path:
            self._sort_account(answer, path["group"], path["account"], path["what"])
        else:
            self._unread(answer)

    def _sort_account(self, answer: Answer, group: str, account: str, what: str) -> None:
        of = self.asked[account]
        if what == "meta":
            of.about += self._rows(answer, "accounts", [answer.body])
        elif what == "summary":
            of.summaries.append(answer)
        elif what == "ledger":
            of.ledgers.append(answer)
        elif what == "positions":
            (of.fresh if group == "portfolio2" else of.pages).append(answer)
        else:
            self._unread(answer)

    def _unread(self, answer: Answer) -> None:
        self.inbox.doubt("answers", answer.account, answer.endpoint, "nothing reads this answer", answer.body)

    def _rows(self, answer: Answer, section: str, body: Any) -> list[Row]:
        """The rows of a list that holds objects; anything else goes to the inbox."""
        if not isinstance(body, list):
            self.inbox.refuse(section, answer.account, "not the list that was asked for", body)
            return []
        rows: list[Row] = []
        for row in body:
            if isinstance(row, dict) and "error" not in row:
                rows.append(row)
            else:
                self.inbox.refuse(section, answer.account, "not a row of the list that was asked for", row)
        return rows

    def batch(self) -> Batch:
        accounts = self._accounts()
        currencies = {account.account: account.currency for account in accounts}
        holdings, broken = self._holdings(currencies)
        transactions = self._transactions(currencies)
        for row in self.definitions:
            self._describe(row, "instruments", None)
        instruments = self._instruments(holdings, transactions)
        cash, partial_cash, rates = self._cash(currencies)
        balances = [*partial_cash, *(balance for rows in cash.values() for balance in rows)]
        positions, partial_positions = self._positions(currencies, holdings, broken, instruments, balances)
        activities, coverage = self._activities(currencies, transactions, instruments)
        return Batch(
            broker=BROKER,
            login=self.raw.login,
            fetched_at=self.raw.fetched_at,
            accounts=tuple(accounts),
            instruments=tuple(instruments[conid] for conid in sorted(instruments)),
            positions=positions,
            partial_positions=partial_positions,
            cash=cash,
            partial_cash=partial_cash,
            values=tuple(self._values(currencies)),
            rates=rates,
            navs=self._navs(currencies),
            activities=activities,
            coverage=coverage,
            inbox=self.inbox.items(),
        )

    # Accounts

    def _accounts(self) -> list[Account]:
        """The accounts that were read, for which a currency is known."""
        for row in self.listed:
            account = _text(row, "accountId", "id") or ""
            if account in self.asked:
                self.asked[account].about.append(row)
        accounts = []
        for account in sorted(self.asked):
            rows = self.asked[account].about
            code = _first(rows, "currency") or self._currency_of_figures(account)
            try:
                if code is None:
                    raise _UntypedError("the currency of the account is not told")
                kept_in, _ = _major(code)
            except _UntypedError as err:
                self.inbox.refuse("accounts", account, str(err), rows)
                continue
            opened = next((moment for row in rows if (moment := _moment(row.get("accountStatus")))), None)
            accounts.append(
                Account(
                    account=account,
                    currency=kept_in,
                    alias=_first(rows, "accountAlias") or "",
                    kind=_first(rows, "type") or "",
                    opened_on=opened.date() if opened else None,
                )
            )
        return accounts

    def _currency_of_figures(self, account: str) -> str | None:
        """The account's currency from its net liquidation value, where the account itself is silent."""
        for answer in self.asked[account].summaries:
            figure = answer.body.get("netliquidation") if isinstance(answer.body, dict) else None
            if isinstance(figure, dict) and (code := _text(figure, "currency")):
                return code
        return None

    def _values(self, currencies: Mapping[str, str]) -> Iterable[AccountValue]:
        for account, kept_in in currencies.items():
            for answer in reversed(self.asked[account].summaries):
                if value := self._value(account, kept_in, answer):
                    yield value
                    break

    def _value(self, account: str, kept_in: str, answer: Answer) -> AccountValue | None:
        body = answer.body
        if not isinstance(body, dict) or not isinstance(body.get("netliquidation"), dict):
            self.inbox.refuse("summary", account, "not the figures of an account", body)
            return None
        told_in = _text(body["netliquidation"], "currency") or kept_in
        if told_in != kept_in:
            self.inbox.doubt("summary", account, account, f"figures in {told_in}, not in {kept_in}", body)
            return None
        doubts: list[str] = []
        figures = {key: value for key, value in body.items() if isinstance(value, dict)}

        def amount(key: str) -> Decimal | None:
            figure = figures.get(key, {})
            if figure.get("isNull") is True or figure.get("isNone") is True:
                return None
            return _optional(figure, "amount", doubts, label=key)

        nav = figures["netliquidation"]
        value = AccountValue(
            account=account,
            currency=kept_in,
            as_of=_moment(nav.get("timestamp"), latest=answer.fetched_at) or answer.fetched_at,
            nav=amount("netliquidation"),
            cash=amount("totalcashvalue"),
            accrued_interest=amount("accruedcash"),
            accrued_dividends=amount("accrueddividend"),
        )
        self._tell(doubts, "summary", account, account, body)
        return value

    # Cash

    def _cash(
        self, currencies: Mapping[str, str]
    ) -> tuple[dict[str, tuple[CashBalance, ...]], tuple[CashBalance, ...], tuple[FxRate, ...]]:
        """Balances of complete ledgers by account, those of the others, and IBKR's rates of the day."""
        complete: dict[str, tuple[CashBalance, ...]] = {}
        partial: list[CashBalance] = []
        rates: dict[tuple[str, str], FxRate] = {}
        for account, kept_in in currencies.items():
            for answer in reversed(self.asked[account].ledgers):
                if not isinstance(answer.body, dict) or not answer.body or "error" in answer.body:
                    self.inbox.refuse("ledger", account, "not the cash of an account", answer.body)
                    continue
                balances, told, is_complete = self._balances(account, answer)
                if is_complete:
                    complete[account] = balances
                else:
                    partial += balances
                for base, rate in told.items():
                    if base != kept_in:
                        rates[base, kept_in] = FxRate(base, kept_in, answer.fetched_at.date(), rate)
                break
        return complete, tuple(partial), tuple(rates[pair] for pair in sorted(rates))

    def _balances(
        self, account: str, answer: Answer
    ) -> tuple[tuple[CashBalance, ...], dict[str, Decimal], bool]:
        """The balances, the rates, and whether they add up to IBKR's own total (its BASE row)."""
        balances: dict[str, CashBalance] = {}
        rates: dict[str, Decimal] = {}
        total, size, is_complete = Decimal(0), Decimal(0), True
        for key, row in sorted(answer.body.items()):
            if key == "BASE":
                continue
            try:
                balance, rate = self._balance(account, key, row)
            except (UnexpectedAnswerError, _UntypedError) as err:
                self.inbox.refuse("ledger", account, str(err), row)
                is_complete = False
                continue
            if rate:
                rates[balance.currency] = rate
                total += balance.amount * rate
                size += abs(balance.amount * rate)
            elif balance.amount:
                is_complete = False
            if balance.currency in balances:
                balance = _sum(balances[balance.currency], balance)
            balances[balance.currency] = balance
        base = answer.body.get("BASE")
        try:
            stated = number(base, "cashbalance") if isinstance(base, dict) else None
        except UnexpectedAnswerError:
            stated = None
        # A first answer can lack currencies. Rates come with few digits, so the sums meet only roughly.
        if stated is None or abs(stated - total) > max(Decimal(1), size / 1000):
            is_complete = False
        return tuple(balances.values()), rates, is_complete

    def _balance(self, account: str, key: str, row: Any) -> tuple[CashBalance, Decimal | None]:
        if not isinstance(row, dict):
            raise _UntypedError("not the cash of a currency")
        code, unit = _major(key)
        amount = number(row, "cashbalance")
        if amount is None:
            raise _UntypedError("the cash balance is missing")
        doubts: list[str] = []

        def part(field: str) -> Decimal | None:
            value = _optional(row, field, doubts)
            return None if value is None else value * unit

        balance = CashBalance(
            account=account,
            currency=code,
            amount=amount * unit,
            settled=part("settledcash"),
            accrued_interest=part("interest"),
            accrued_dividends=part("dividends"),
            futures_pnl=part("futuresonlypnl"),
            reported_nav=part("netliquidationvalue"),
        )
        rate = _optional(row, "exchangerate", doubts)
        self._tell(doubts, "ledger", account, key, row)
        return balance, rate / unit if rate and rate > 0 else None

    # Positions

    def _holdings(self, currencies: Mapping[str, str]) -> tuple[dict[tuple[str, str], _Holding], set[str]]:
        """What is held, by account and conid, and the accounts whose answers are not complete."""
        models: defaultdict[tuple[str, str], list[_Holding]] = defaultdict(list)
        broken: set[str] = set()
        for account, answers in self.asked.items():
            pages, pages_whole = self._position_rows(account, answers.pages)
            fresh, fresh_whole = self._position_rows(account, answers.fresh[-1:])
            for row in (*pages.values(), *fresh.values()):
                self._describe(row, "positions", account)
            if account not in currencies:
                continue
            is_complete = bool(answers.fresh) and answers.fresh[-1].request.get("complete") is True
            if not (is_complete and fresh_whole and pages_whole):
                broken.add(account)
            if is_complete and fresh_whole:
                pages = {key: row for key, row in pages.items() if key in fresh}  # the rest was sold since
            for key in sorted({*pages, *fresh}):
                try:
                    held = self._holding(account, key[0], pages.get(key), fresh.get(key), answers)
                except (UnexpectedAnswerError, _UntypedError) as err:
                    self.inbox.refuse("positions", account, str(err), fresh.get(key) or pages.get(key))
                    broken.add(account)
                else:
                    models[account, key[0]].append(held)
        return {key: _total(held) for key, held in models.items()}, broken

    def _position_rows(self, account: str, answers: list[Answer]) -> tuple[dict[tuple[str, str], Row], bool]:
        """Rows by (conid, model), the latest attempt's, and whether each row could be placed.

        Shifting pages name a row twice: the later page is the fresher one.
        """
        found: dict[tuple[str, str], Row] = {}
        is_whole = True
        latest = max((_attempt(answer) for answer in answers), default=0)
        for answer in answers:
            rows = self._rows(answer, "positions", answer.body)
            if _attempt(answer) == latest:
                is_whole = is_whole and isinstance(answer.body, list) and len(rows) == len(answer.body)
            of_answer: dict[tuple[str, str], Row] = {}
            for row in sorted(rows, key=_json):
                owner = _text(row, "acctId") or account
                if owner != account:
                    if owner[:-1] != account:  # U1C, a segment of U1, repeats what U1 holds
                        self.inbox.refuse("positions", account, f"a row of {owner}, not asked for", row)
                    continue
                conid = _conid(row.get("conid"))
                if conid is None:
                    self.inbox.refuse("positions", account, "the row has no contract number", row)
                    is_whole = False
                    continue
                key = (conid, _text(row, "model") or "")
                if key in of_answer and _json(of_answer[key]) != _json(row):
                    self.inbox.refuse("positions", account, "one contract twice in one answer", row)
                    continue
                of_answer[key] = row
            if _attempt(answer) == latest:
                found |= of_answer
            else:
                for row in of_answer.values():
                    self._describe(row, "positions", account)
        return found, is_whole

    def _holding(
        self, account: str, conid: str, cached: Row | None, fresh: Row | None, answers: _AccountAnswers
    ) -> _Holding:
        """One row of the fresh list, or of the cached one. Raises: _UntypedError without a quantity."""
        doubts: list[str] = []
        rows = [row for row in (fresh, cached) if row is not None]
        quantity = next((q for row in rows if (q := number(row, "position")) is not None), None)
        if quantity is None:
            raise _UntypedError("the quantity is missing")
        # Money of another quantity is another moment's.
        rows = [row for row in rows if row is fresh or number(row, "position") == quantity]

        def read(*fields: str) -> Decimal | None:
            return next((v for r in rows for f in fields if (v := _optional(r, f, doubts)) is not None), None)

        asked_at = (answers.fresh if fresh is not None else answers.pages)[-1].fetched_at
        holding = _Holding(
            account=account,
            conid=conid,
            row=rows[0],
            quantity=quantity,
            price=read("marketPrice", "mktPrice") or None,  # 0 is how IBKR writes "no price"
            value=read("marketValue", "mktValue"),
            average_price=read("avgPrice"),
            average_cost=read("avgCost"),
            unrealized=read("unrealizedPnl"),
            priced_at=_moment(rows[0].get("timestamp"), latest=asked_at) or asked_at,
        )
        if holding.price is None and not holding.value and quantity:
            holding.value = holding.unrealized = None
        self._tell(doubts, "positions", account, conid, rows[0])
        return holding

    def _positions(
        self,
        currencies: Mapping[str, str],
        holdings: Mapping[tuple[str, str], _Holding],
        broken: set[str],
        instruments: Mapping[str, Instrument],
        balances: list[CashBalance],
    ) -> tuple[dict[str, tuple[Position, ...]], tuple[Position, ...]]:
        found: dict[str, list[Position]] = {account: [] for account in currencies if self._is_listed(account)}
        broken = set(broken)
        for (account, conid), holding in sorted(holdings.items()):
            if conid in instruments:
                found[account].append(self._position(holding, instruments[conid]))
            else:
                self.inbox.refuse("positions", account, "the contract has no currency", holding.row)
                broken.add(account)
        for account, rows in found.items():
            found[account] = _with_variation(rows, instruments, [b for b in balances if b.account == account])
        complete = {account: tuple(rows) for account, rows in found.items() if account not in broken}
        partial = tuple(row for account, rows in found.items() if account in broken for row in rows)
        return complete, partial

    def _is_listed(self, account: str) -> bool:
        return bool(self.asked[account].fresh or self.asked[account].pages)

    def _position(self, held: _Holding, instrument: Instrument) -> Position:
        """The holding in major units, with what it adds to NAV; futures get theirs afterwards."""
        price_unit, value_unit, average_unit = _units(held, self._currency_code(held.conid), instrument)
        per_unit = instrument.multiplier * instrument.quote_factor
        value = None if held.value is None else held.value * value_unit
        unrealized = None if held.unrealized is None else held.unrealized * value_unit
        average = held.average_price
        if average is None and held.average_cost is not None:
            average = held.average_cost / instrument.multiplier
        average = None if average is None else average * average_unit
        carried = {AssetClass.CFD: unrealized, AssetClass.CASH: Decimal(0)}
        return Position(
            account=held.account,
            broker_ref=held.conid,
            quantity=held.quantity,
            price=None if held.price is None else held.price * price_unit,
            market_value=carried.get(instrument.asset_class, value),
            exposure=value,
            average_cost=average,
            cost_basis=None if average is None else average * held.quantity * per_unit,
            unrealized_pnl=unrealized,
            priced_at=held.priced_at,
        )

    # Instruments

    def _describe(self, row: Row, section: str, account: str | None) -> None:
        """Keep a row as one that tells about an instrument."""
        conid = _conid(row.get("conid"))
        if conid is None:
            self.inbox.refuse(section, account, "the row has no contract number", row)
        elif not any(row is known for known in self.details[conid]):
            self.details[conid].append(row)

    def _currency_code(self, conid: str) -> str | None:
        return _first(self.details[conid], "currency", "cur")

    def _instruments(
        self, holdings: Mapping[tuple[str, str], _Holding], transactions: list[tuple[Answer, list[Row]]]
    ) -> dict[str, Instrument]:
        by_conid: defaultdict[str, list[_Holding]] = defaultdict(list)
        for (_, conid), holding in sorted(holdings.items()):
            by_conid[conid].append(holding)
        for row in (row for _, rows in transactions for row in rows):
            if _conid(row.get("conid")):
                self._describe(row, "transactions", None)
        instruments = {}
        for conid in sorted(self.details):
            try:
                instruments[conid] = self._instrument(conid, by_conid[conid])
            except _UntypedError as err:
                if not by_conid[conid]:  # with a holding, the holding is refused
                    self.inbox.refuse("instruments", None, str(err), self.details[conid])
        return instruments

    def _instrument(self, conid: str, held: list[_Holding]) -> Instrument:
        """Raises: _UntypedError when no row tells a currency."""
        rows = self.details[conid]
        doubts: list[str] = []
        code = _first(rows, "currency", "cur")
        if code is None:
            raise _UntypedError("the contract has no currency")
        asset_class, is_known = self._asset_class(conid, rows)
        text = _first(rows, "contractDesc", "description", "desc") or ""
        from_text = _option_terms(text) if asset_class in DERIVATIVES else {}
        stated = _first_number(rows, "multiplier", doubts) or from_text.get("multiplier")
        multiplier, quote_factor = self._factors(conid, asset_class, stated, held)
        strike = _first_number(rows, "strike", doubts) or from_text.get("strike")
        right = RIGHTS.get((_first(rows, "putOrCall") or "").upper()) or from_text.get("right")
        expires_on = (
            next((day for f in ("expiry", "lastTradingDay") for r in rows if (day := _day(r.get(f)))), None)
            or from_text.get("expires_on")
        )  # fmt: skip
        underlying = next((c for row in rows if (c := _conid(row.get("undConid")))), None)
        name = _first(rows, "name", "fullName", "chineseName")
        symbol = _first(rows, "ticker", "undSym")
        self._tell(doubts, "instruments", None, conid, rows)
        return Instrument(
            broker_ref=conid,
            symbol=symbol or (text if asset_class is AssetClass.OTHER else text.partition(" ")[0]) or conid,
            name=_decoded(name or text or symbol or conid),
            asset_class=asset_class,
            currency=_major(code)[0],
            multiplier=multiplier,
            quote_factor=quote_factor,
            exchange=_first(rows, "listingExchange"),
            country=_first(rows, "countryCode"),
            sector=_first(rows, "sector"),
            industry=_first(rows, "group"),
            expires_on=expires_on,
            strike=strike,
            right=right,
            underlying_ref=underlying,
            underlying_symbol=_first(rows, "undSym") or (symbol if underlying else None),
            description=text,
            is_whole=is_known and symbol is not None,
        )

    def _asset_class(self, conid: str, rows: list[Row]) -> tuple[AssetClass, bool]:
        """The class, and whether IBKR named it at all (transactions do not)."""
        code = _first(rows, "assetClass", "secType")
        if code is None:
            return AssetClass.OTHER, False
        if code not in ASSET_CLASSES:
            self.inbox.doubt("instruments", None, conid, f"the asset class {code} is not known", rows)
            return AssetClass.OTHER, True
        if code == "STK" and _first(rows, "type") == "ETF":
            return AssetClass.ETF, True
        return ASSET_CLASSES[code], True

    def _factors(
        self, conid: str, asset_class: AssetClass, stated: Decimal | None, held: list[_Holding]
    ) -> tuple[Decimal, Decimal]:
        """Multiplier and quote factor, such that quantity × price × both is the value that IBKR states."""
        largest = max(held, key=lambda holding: abs(holding.value or Decimal(0)), default=None)
        ratio = largest.ratio if largest else self._traded_ratio(conid)
        one = Decimal(1)
        if asset_class is AssetClass.BOND:
            # Percent of face; some rows count the face in thousands or quote money per unit.
            candidates = [(one, factor) for factor in (HUNDREDTH, one, Decimal(10))]
        elif asset_class in PER_CERTIFICATE:
            candidates = [(one, one), (stated or one, one)]
        else:
            candidates = [(stated or one, one)]
            if stated is None and ratio is not None and (asset_class in DERIVATIVES or not largest):
                candidates.append((_snapped(ratio), one))
        for multiplier, factor in candidates:
            if ratio is None or _near(ratio, multiplier * factor):
                return multiplier, factor
        multiplier, factor = candidates[0]
        if largest and not _is_pence(ratio, multiplier, self._currency_code(conid)):
            reason = f"the value is not quantity × price × {multiplier * factor}; the value of IBKR is used"
            self.inbox.doubt("instruments", None, conid, reason, largest.row)
        return multiplier, factor

    def _traded_ratio(self, conid: str) -> Decimal | None:
        """The multiplier as a trade shows it: money per quantity × price."""
        for row in self.details[conid]:
            price, quantity, amount = (_optional(row, f, []) for f in ("pr", "qty", "amt"))
            if price and quantity and amount:
                return abs(amount / (price * quantity))
        return None

    # Activities

    def _transactions(self, currencies: Mapping[str, str]) -> list[tuple[Answer, list[Row]]]:
        """The answers that were understood, with their rows of accounts that were asked for."""
        found = []
        for answer in self.transactions:
            body = answer.body
            if (
                not isinstance(body, dict)
                or "error" in body
                or not isinstance(body.get("transactions"), list)
            ):
                subject = ",".join(_requested(answer, "conids"))
                self.inbox.doubt("transactions", answer.account, subject, "not a list of transactions", body)
                continue
            rows = self._rows(answer, "transactions", body["transactions"])
            found.append((answer, [row for row in rows if self._is_asked(row, answer, currencies)]))
        return found

    def _is_asked(self, row: Row, answer: Answer, currencies: Mapping[str, str]) -> bool:
        account = _account_of(row, answer)
        if account in currencies:
            return True
        self.inbox.refuse("transactions", account, "a row of an account that was not asked for", row)
        return False

    def _activities(
        self,
        currencies: Mapping[str, str],
        transactions: list[tuple[Answer, list[Row]]],
        instruments: Mapping[str, Instrument],
    ) -> tuple[tuple[Activity, ...], tuple[Coverage, ...]]:
        activities: dict[tuple[str, str], Activity] = {}
        covered: set[tuple[str, str, date, date]] = set()
        for answer, rows in transactions:
            seen: Counter[tuple[str, str]] = Counter()
            is_whole = len(rows) == len(answer.body["transactions"])
            for row in rows:
                account = _account_of(row, answer) or ""
                try:
                    activity = self._activity(account, currencies[account], row, answer, instruments)
                except (UnexpectedAnswerError, _UntypedError) as err:
                    self.inbox.refuse("transactions", account, str(err), row)
                    is_whole = False
                    continue
                # IBKR numbers none of them, and two fills can be alike in everything it tells.
                seen[account, activity.key] += 1
                key = f"{activity.key}:{seen[account, activity.key]}"
                activities[account, key] = replace(activity, key=key)
            since, until = _moment(answer.body.get("from")), _moment(answer.body.get("to"))
            if is_whole and since and until:
                covered |= {
                    (account, conid, since.date(), until.date())
                    for account in _requested(answer, "acctIds") or [answer.account or ""]
                    if account in currencies
                    for conid in _requested(answer, "conids")
                    if conid in instruments
                }
        return (
            tuple(activities[key] for key in sorted(activities)),
            tuple(Coverage(*row) for row in sorted(covered)),
        )

    def _activity(
        self, account: str, kept_in: str, row: Row, answer: Answer, instruments: Mapping[str, Instrument]
    ) -> Activity:
        """The key still lacks its counter. Raises: _UntypedError, UnexpectedAnswerError."""
        conid = _conid(row.get("conid"))
        if conid is None or conid not in instruments:
            raise _UntypedError("the row has no contract number, or no currency")
        kind_text = _text(row, "type") or ""
        quantity, price, amount = number(row, "qty"), number(row, "pr"), number(row, "amt")
        kind = _kind(kind_text, quantity)
        day = _day(row.get("rawDate")) or _text_day(row.get("date"))
        if day is None:
            raise _UntypedError("the row has no date")
        if kind is ActivityKind.DIVIDEND:
            if amount is None:
                raise _UntypedError("a dividend without an amount")
        elif not quantity:
            raise _UntypedError(f"{kind_text!r} without a quantity")
        code, unit = _major(_text(row, "cur") or instruments[conid].currency)
        moved = quantity if kind is not ActivityKind.DIVIDEND else None
        if moved is not None and kind in (ActivityKind.BUY, ActivityKind.SELL):
            moved = abs(moved) if kind is ActivityKind.BUY else -abs(moved)
        is_transfer = kind in (ActivityKind.TRANSFER_IN, ActivityKind.TRANSFER_OUT)
        parts = (conid, day.isoformat(), kind_text.lower(), *map(_plain, (quantity, price, amount)), code)
        # IBKR converts to the currency asked for; only the account's own is kept.
        is_own = kept_in in _requested(answer, "currency")
        return Activity(
            account=account,
            key=":".join((SOURCE, *parts)),
            source=SOURCE,
            kind=kind,
            trade_date=day,
            currency=code,
            broker_ref=conid,
            quantity=moved,
            price=None if price is None else price * unit,
            # A transfer of securities moves no cash: its amount is what they are worth.
            gross=Decimal(0) if is_transfer else None if amount is None else amount * unit,
            value=abs(amount * unit).copy_sign(quantity) if is_transfer and amount and quantity else None,
            fx_rate=number(row, "fxRate") if is_own else None,
            description=_decoded(_text(row, "desc") or ""),
            subtype="" if kind_text.lower() in ("buy", "sell", "dividend payment") else kind_text.lower(),
        )

    # NAV history

    def _navs(self, currencies: Mapping[str, str]) -> tuple[NavPoint, ...]:
        points: dict[tuple[str, date], NavPoint] = {}
        for answer in self.performances:
            nav = answer.body.get("nav") if isinstance(answer.body, dict) else None
            if not isinstance(nav, dict) or not isinstance(nav.get("data"), list):
                self.inbox.doubt("performance", answer.account, "", "not a series of values", answer.body)
                continue
            for series in nav["data"]:
                try:
                    found = _series(series, nav.get("dates"), currencies)
                except (UnexpectedAnswerError, _UntypedError) as err:
                    self.inbox.doubt("performance", answer.account, "", str(err), series)
                    continue
                points |= {(point.account, point.on): point for point in found}
        return tuple(points[key] for key in sorted(points))

    def _tell(self, doubts: list[str], section: str, account: str | None, subject: str, content: Any) -> None:
        if doubts:
            reason = f"not a number in {', '.join(sorted(set(doubts)))}; kept as unknown"
            self.inbox.doubt(section, account, subject, reason, content)


def _with_variation(
    rows: list[Position], instruments: Mapping[str, Instrument], balances: list[CashBalance]
) -> list[Position]:
    """Give each future the profit it carries that is not in cash yet, where the ledger's total can be split.

    Where it cannot, the rows' market value is unknown and the total counts (CashBalance.futures_pnl).
    """
    variation = {balance.currency: balance.futures_pnl for balance in balances}
    futures = defaultdict(list)
    for row in rows:
        instrument = instruments[row.broker_ref]
        if instrument.asset_class is AssetClass.FUTURE and row.quantity:
            futures[instrument.currency].append(row)
    shares: dict[str, Decimal | None] = {}
    for code, held in futures.items():
        total = variation.get(code)
        profits = [row.unrealized_pnl for row in held]
        known = [profit for profit in profits if profit is not None]
        is_sum = total is not None and len(known) == len(held) and abs(sum(known, -total)) <= HUNDREDTH
        for row, profit in zip(held, profits, strict=True):
            shares[row.broker_ref] = profit if is_sum else total if len(held) == 1 else None
    return [replace(r, market_value=shares[r.broker_ref]) if r.broker_ref in shares else r for r in rows]


def _units(held: _Holding, code: str | None, instrument: Instrument) -> tuple[Decimal, Decimal, Decimal]:
    """What turns price, value and average cost into major units: 1, or 0.01 for pence.

    IBKR names pence as such, or quotes a price in pence beside a value in pounds under the same name.
    """
    one = Decimal(1)
    is_named = code in MINOR_UNITS
    is_mixed = _is_pence(held.ratio, instrument.multiplier, code)
    if not is_named and not is_mixed:
        return one, one, one
    value_unit = one if is_mixed else HUNDREDTH
    average_unit = HUNDREDTH
    if is_mixed and held.average_price is not None and held.value is not None and held.unrealized is not None:
        stated = held.average_price * held.quantity * instrument.multiplier
        cost = held.value - held.unrealized
        average_unit = min(HUNDREDTH, one, key=lambda unit: abs(stated * unit - cost))
    return HUNDREDTH, value_unit, average_unit


def _is_pence(ratio: Decimal | None, multiplier: Decimal, code: str | None) -> bool:
    if ratio is None or code not in {*MINOR_UNITS, *MINOR_UNITS.values()}:
        return False
    return _near(ratio, multiplier * HUNDREDTH, Decimal("0.02"))


def _total(models: list[_Holding]) -> _Holding:
    """The rows of one conid, one per model portfolio, as one."""
    if len(models) == 1:
        return models[0]
    quantity = sum((m.quantity for m in models), Decimal(0))

    def added(values: list[Decimal | None]) -> Decimal | None:
        known = [value for value in values if value is not None]
        return sum(known, Decimal(0)) if len(known) == len(values) else None

    def averaged(values: list[Decimal | None]) -> Decimal | None:
        total = added([None if v is None else v * m.quantity for v, m in zip(values, models, strict=True)])
        return None if total is None or not quantity else total / quantity

    return replace(
        models[0],
        quantity=quantity,
        price=next((m.price for m in models if m.price is not None), None),
        value=added([m.value for m in models]),
        average_price=averaged([m.average_price for m in models]),
        average_cost=averaged([m.average_cost for m in models]),
        unrealized=added([m.unrealized for m in models]),
        priced_at=max(m.priced_at for m in models),
    )


def _sum(a: CashBalance, b: CashBalance) -> CashBalance:
    """Two rows of one currency (pounds and pence) as one."""

    def both(one: Decimal | None, other: Decimal | None) -> Decimal | None:
        return None if one is None or other is None else one + other

    return replace(
        a,
        amount=a.amount + b.amount,
        settled=both(a.settled, b.settled),
        accrued_interest=both(a.accrued_interest, b.accrued_interest),
        accrued_dividends=both(a.accrued_dividends, b.accrued_dividends),
        futures_pnl=both(a.futures_pnl, b.futures_pnl),
        reported_nav=both(a.reported_nav, b.reported_nav),
    )


def _series(series: Any, dates: Any, currencies: Mapping[str, str]) -> list[NavPoint]:
    """The daily values of one account; the lists' lengths can differ by one. Raises: _UntypedError."""
    navs = series.get("navs") if isinstance(series, dict) else None
    if not isinstance(dates, list) or not isinstance(navs, list):
        raise _UntypedError("not a series of values")
    account = _text(series, "id") or ""
    if account not in currencies:
        raise _UntypedError("the values of an account that was not asked for")
    code, unit = _major(_text(series, "baseCurrency") or currencies[account])
    points = []
    start = series.get("startNAV")
    rows = [{"date": day, "val": value} for day, value in zip(dates, navs, strict=False)]
    if isinstance(start, dict):
        rows.insert(0, start)
    for row in rows:
        day, value = _day(row.get("date")), number(row, "val")
        if day is None:
            raise _UntypedError(f"{row.get('date')!r} is not a date")
        if value is not None:
            points.append(NavPoint(account, day, value * unit, code))
    return points


def _option_terms(text: str) -> dict[str, Any]:
    """Strike, right, expiry and multiplier as far as the contract's own text tells them."""
    if occ := _OCC.search(text):
        return {
            "strike": Decimal(occ["strike"]) / 1000,
            "right": RIGHTS[occ["right"]],
            "expires_on": _day(f"20{occ['expiry']}"),
            "multiplier": Decimal(occ["multiplier"]),
        }
    if plain := _OPTION_TEXT.search(text):
        return {"strike": Decimal(plain["strike"]), "right": RIGHTS[plain["right"]]}
    return {}


def _kind(text: str, quantity: Decimal | None) -> ActivityKind:
    word = text.lower()
    if word in KINDS:
        return KINDS[word]
    if "transfer" in word and quantity:
        return ActivityKind.TRANSFER_IN if quantity > 0 else ActivityKind.TRANSFER_OUT
    raise _UntypedError(f"the type {text!r} is not known")


def _account_of(row: Row, answer: Answer) -> str | None:
    return _text(row, "acctid") or answer.account or next(iter(_requested(answer, "acctIds")), None)


def _requested(answer: Answer, field: str) -> list[str]:
    """The values of one field of the request's JSON, as texts."""
    asked = answer.request.get("json") or answer.request
    value = asked.get(field) if isinstance(asked, dict) else None
    return (
        [str(item) for item in value]
        if isinstance(value, list | tuple)
        else []
        if value is None
        else [str(value)]
    )


def _attempt(answer: Answer) -> int:
    return int(answer.request.get("attempt") or 0)


def _text(row: Row, *fields: str) -> str | None:
    """The first of the fields that holds something, without blanks at its ends."""
    for name in fields:
        value = row.get(name)
        if value is not None and not isinstance(value, dict | list) and (text := str(value).strip()):
            return text
    return None


def _first(rows: Iterable[Row], *fields: str) -> str | None:
    return next((text for name in fields for row in rows if (text := _text(row, name))), None)


def _optional(row: Row, field: str, doubts: list[str], label: str | None = None) -> Decimal | None:
    """A number the row can do without; what is no number becomes unknown and is named in `doubts`."""
    try:
        return number(row, field)
    except UnexpectedAnswerError:
        doubts.append(label or field)
        return None


def _first_number(rows: Iterable[Row], field: str, doubts: list[str]) -> Decimal | None:
    """The first that is not 0: rows without contract data say 0."""
    return next((value for row in rows if (value := _optional(row, field, doubts))), None)


def _conid(value: Any) -> str | None:
    """IBKR's contract number, which is a number here and a text there; 0 means none."""
    text = str(value).strip() if isinstance(value, int | str | float | Decimal) else ""
    text = text.removesuffix(".0")
    return text if text.isascii() and text.isdigit() and text.strip("0") else None


def _moment(value: Any, latest: datetime | None = None) -> datetime | None:
    """Epoch seconds or milliseconds, told apart by size; None for what is no time, or lies after `latest`."""
    count = _optional({"": value}, "", [])
    if count is None:
        return None
    seconds = count / 1000 if count > 10**11 else count
    if not 0 < seconds < 10**10:
        return None
    moment = datetime.fromtimestamp(float(seconds), UTC)
    if latest is not None and moment > latest + timedelta(days=1):
        return None
    return moment


def _day(value: Any) -> date | None:
    """`yyyymmdd`, as a text or a number."""
    text = str(value)
    if not re.fullmatch(r"\d{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _text_day(value: Any) -> date | None:
    """The date of `Tue Mar 31 00:00:00 EDT 2026`; its zone is the market's own, so it needs no conversion."""
    found = _TEXT_DATE.fullmatch(str(value).strip())
    if not found or found["month"] not in _MONTHS:
        return None
    return _day(f"{found['year']}{_MONTHS.index(found['month']) + 1:02}{int(found['day']):02}")


def _major(code: str) -> tuple[str, Decimal]:
    """The currency, and what one unit of `code` is in it. Raises: _UntypedError for what is no currency."""
    if code in MINOR_UNITS:
        return MINOR_UNITS[code], HUNDREDTH
    try:
        return currency(code), Decimal(1)
    except ValueError as err:
        raise _UntypedError(str(err)) from err


def _near(value: Decimal, wanted: Decimal, tolerance: Decimal = HUNDREDTH) -> bool:
    return abs(value - wanted) <= abs(wanted) * tolerance


def _snapped(ratio: Decimal) -> Decimal:
    """The whole number nearby: multipliers are whole, values are rounded."""
    whole = ratio.to_integral_value()
    return whole if whole > 0 and _near(ratio, whole) else Decimal(1)


def _decoded(text: str) -> str:
    """Complete HTML entities turned into what they stand for; the result is text, never markup."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


def _plain(value: Decimal | None) -> str:
    """One text per number, whichever way it was written: 4.0 is 4."""
    if value is None:
        return ""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _json(content: Any) -> str:
    return json.dumps(content, default=str, sort_keys=True, ensure_ascii=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
