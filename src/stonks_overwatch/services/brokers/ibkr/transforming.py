"""IBKR's JSON to ledger types. Pure: no network, no database, no clock.

A row either becomes a value or goes to the inbox with its whole text; one that fails stops no other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
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
    Figure,
    FxRate,
    Instrument,
    NavPoint,
    Position,
    precedence,
)
from stonks_overwatch.services.brokers.base import Answer, Raw
from stonks_overwatch.services.brokers.ibkr import statements
from stonks_overwatch.services.brokers.ibkr.contracts import Holding, combined, instrument, units
from stonks_overwatch.services.brokers.ibkr.inbox import Inbox
from stonks_overwatch.services.brokers.ibkr.values import (
    HUNDREDTH,
    Row,
    UntypedError,
    as_json,
    conid_of,
    day_of,
    decoded,
    first_text,
    major,
    moment_of,
    nav_series,
    number,
    optional,
    plain_text,
    text_day_of,
    text_of,
)

BROKER = "ibkr"
SOURCE = "web-api"

KINDS = {
    "buy": ActivityKind.BUY,
    "sell": ActivityKind.SELL,
    "dividend payment": ActivityKind.DIVIDEND,
    "payment in lieu": ActivityKind.DIVIDEND,
}

_PATH = re.compile(r"GET (?P<group>portfolio2?)/(?P<account>[^/]+)/(?P<what>[a-z]+)(?:/\d+)?")


def transform(raw: Raw) -> Batch:
    """Everything the answers of one fetch say, each row once, in an order that does not depend on theirs."""
    told = [answer for answer in raw.answers if answer.endpoint == statements.ENDPOINT]
    rest = [answer for answer in raw.answers if answer.endpoint != statements.ENDPOINT]
    batch = _Transform(Raw(raw.login, raw.fetched_at, rest)).batch()
    return replace(batch, past=tuple(statements.told(told, raw.login)))


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
        self.inbox = Inbox()
        self.asked: defaultdict[str, _AccountAnswers] = defaultdict(_AccountAnswers)
        self.listed: list[Row] = []
        self.definitions: list[Row] = []
        self.transactions: list[Answer] = []
        self.performances: list[Answer] = []
        self.returns: list[Figure] = []
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
        elif answer.endpoint in ("POST pa/performance", "POST pa/allperiods"):
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
        self.inbox.tell("answers", answer.account, "nothing reads this answer", answer.body, answer.endpoint)

    def _rows(self, answer: Answer, section: str, body: Any) -> list[Row]:
        """The rows of a list that holds objects; anything else goes to the inbox."""
        if not isinstance(body, list):
            reason = "not the list that was asked for"
            self.inbox.tell(section, answer.account, reason, body, answer.endpoint)
            return []
        rows: list[Row] = []
        for row in body:
            if isinstance(row, dict) and "error" not in row:
                rows.append(row)
            else:
                self.inbox.tell(section, answer.account, "not a row of the list that was asked for", row)
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
            figures=tuple(self.returns),
            activities=activities,
            coverage=coverage,
            inbox=self.inbox.items(),
        )

    # Accounts

    def _accounts(self) -> list[Account]:
        """The accounts that were read, for which a currency is known."""
        for row in self.listed:
            account = text_of(row, "accountId", "id") or ""
            if account in self.asked:
                self.asked[account].about.append(row)
        accounts = []
        for account in sorted(self.asked):
            rows = self.asked[account].about
            code = first_text(rows, "currency") or self._currency_of_figures(account)
            try:
                if code is None:
                    raise UntypedError("the currency of the account is not told")
                kept_in, _ = major(code)
            except UntypedError as err:
                self.inbox.tell("accounts", account, str(err), rows, account)
                continue
            opened = next((moment for row in rows if (moment := moment_of(row.get("accountStatus")))), None)
            accounts.append(
                Account(
                    account=account,
                    currency=kept_in,
                    alias=first_text(rows, "accountAlias") or "",
                    kind=first_text(rows, "type") or "",
                    opened_on=opened.date() if opened else None,
                )
            )
        return accounts

    def _currency_of_figures(self, account: str) -> str | None:
        """The account's currency from its net liquidation value, where the account itself is silent."""
        for answer in self.asked[account].summaries:
            figure = answer.body.get("netliquidation") if isinstance(answer.body, dict) else None
            if isinstance(figure, dict) and (code := text_of(figure, "currency")):
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
            self.inbox.tell("summary", account, "not the figures of an account", body, account)
            return None
        told_in = text_of(body["netliquidation"], "currency") or kept_in
        if told_in != kept_in:
            self.inbox.tell("summary", account, f"figures in {told_in}, not in {kept_in}", body, account)
            return None
        doubts: list[str] = []
        figures = {key: value for key, value in body.items() if isinstance(value, dict)}

        def amount(key: str) -> Decimal | None:
            figure = figures.get(key, {})
            if figure.get("isNull") is True or figure.get("isNone") is True:
                return None
            return optional(figure, "amount", doubts, label=key)

        nav = figures["netliquidation"]
        value = AccountValue(
            account=account,
            currency=kept_in,
            as_of=moment_of(nav.get("timestamp"), latest=answer.fetched_at) or answer.fetched_at,
            nav=amount("netliquidation"),
            cash=amount("totalcashvalue"),
            accrued_interest=amount("accruedcash"),
            accrued_dividends=amount("accrueddividend"),
            initial_margin=amount("initmarginreq"),
            maintenance_margin=amount("maintmarginreq"),
            excess_liquidity=amount("excessliquidity"),
            available_funds=amount("availablefunds"),
            buying_power=amount("buyingpower"),
            # Told as a text, without an amount.
            cushion=optional(figures.get("cushion", {}), "value", doubts, label="cushion"),
        )
        self.inbox.unreadable(doubts, "summary", account, account, body)
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
                    self.inbox.tell("ledger", account, "not the cash of an account", answer.body, account)
                    continue
                balances, told, is_complete = self._balances(account, answer)
                if is_complete:
                    complete[account] = balances
                else:
                    partial += balances
                for base, rate in told.items():
                    if base != kept_in:
                        at = answer.fetched_at
                        rates[base, kept_in] = FxRate(base, kept_in, at.date(), rate, precedence(at))
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
            except (UnexpectedAnswerError, UntypedError) as err:
                self.inbox.tell("ledger", account, str(err), row, key)
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
            raise UntypedError("not the cash of a currency")
        code, unit = major(key)
        amount = number(row, "cashbalance")
        if amount is None:
            raise UntypedError("the cash balance is missing")
        doubts: list[str] = []

        def part(field: str) -> Decimal | None:
            value = optional(row, field, doubts)
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
        rate = optional(row, "exchangerate", doubts)
        self.inbox.unreadable(doubts, "ledger", account, key, row)
        return balance, rate / unit if rate and rate > 0 else None

    # Positions

    def _holdings(self, currencies: Mapping[str, str]) -> tuple[dict[tuple[str, str], Holding], set[str]]:
        """What is held, by account and conid, and the accounts whose answers are not complete."""
        models: defaultdict[tuple[str, str], list[Holding]] = defaultdict(list)
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
                except (UnexpectedAnswerError, UntypedError) as err:
                    broken_row = fresh.get(key) or pages.get(key)
                    self.inbox.tell("positions", account, str(err), broken_row, key[0])
                    broken.add(account)
                else:
                    models[account, key[0]].append(held)
        return {key: combined(held) for key, held in models.items()}, broken

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
            for row in sorted(rows, key=as_json):
                owner = text_of(row, "acctId") or account
                if owner != account:
                    if owner[:-1] != account:  # U1C, a segment of U1, repeats what U1 holds
                        reason = f"a row of {owner}, not asked for"
                        self.inbox.tell("positions", account, reason, row, _subject(row))
                    continue
                conid = conid_of(row.get("conid"))
                if conid is None:
                    reason = "the row has no contract number"
                    self.inbox.tell("positions", account, reason, row, _subject(row))
                    is_whole = False
                    continue
                key = (conid, text_of(row, "model") or "")
                if key in of_answer and as_json(of_answer[key]) != as_json(row):
                    self.inbox.tell("positions", account, "one contract twice in one answer", row, conid)
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
    ) -> Holding:
        """One row of the fresh list, or of the cached one. Raises: UntypedError without a quantity."""
        doubts: list[str] = []
        rows = [row for row in (fresh, cached) if row is not None]
        quantity = next((q for row in rows if (q := number(row, "position")) is not None), None)
        if quantity is None:
            raise UntypedError("the quantity is missing")
        # Money of another quantity is another moment's.
        rows = [row for row in rows if row is fresh or number(row, "position") == quantity]

        def read(*fields: str) -> Decimal | None:
            return next((v for r in rows for f in fields if (v := optional(r, f, doubts)) is not None), None)

        asked_at = (answers.fresh if fresh is not None else answers.pages)[-1].fetched_at
        holding = Holding(
            account=account,
            conid=conid,
            row=rows[0],
            quantity=quantity,
            price=read("marketPrice", "mktPrice") or None,  # 0 is how IBKR writes "no price"
            value=read("marketValue", "mktValue"),
            average_price=read("avgPrice"),
            average_cost=read("avgCost"),
            unrealized=read("unrealizedPnl"),
            priced_at=moment_of(rows[0].get("timestamp"), latest=asked_at) or asked_at,
        )
        if holding.price is None and not holding.value and quantity:
            holding.value = holding.unrealized = None
        self.inbox.unreadable(doubts, "positions", account, conid, rows[0])
        return holding

    def _positions(
        self,
        currencies: Mapping[str, str],
        holdings: Mapping[tuple[str, str], Holding],
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
                self.inbox.tell("positions", account, "the contract has no currency", holding.row, conid)
                broken.add(account)
        for account, rows in found.items():
            found[account] = _with_variation(rows, instruments, [b for b in balances if b.account == account])
        complete = {account: tuple(rows) for account, rows in found.items() if account not in broken}
        partial = tuple(row for account, rows in found.items() if account in broken for row in rows)
        return complete, partial

    def _is_listed(self, account: str) -> bool:
        return bool(self.asked[account].fresh or self.asked[account].pages)

    def _position(self, held: Holding, contract: Instrument) -> Position:
        """The holding in major units, with what it adds to NAV; futures get theirs afterwards."""
        code = first_text(self.details[held.conid], "currency", "cur")
        price_unit, value_unit, average_unit = units(held, code, contract.multiplier)
        per_unit = contract.multiplier * contract.quote_factor
        value = None if held.value is None else held.value * value_unit
        unrealized = None if held.unrealized is None else held.unrealized * value_unit
        average = held.average_price
        if average is None and held.average_cost is not None:
            average = held.average_cost / contract.multiplier
        average = None if average is None else average * average_unit
        carried = {AssetClass.CFD: unrealized, AssetClass.CASH: Decimal(0)}
        return Position(
            account=held.account,
            broker_ref=held.conid,
            quantity=held.quantity,
            price=None if held.price is None else held.price * price_unit,
            market_value=carried.get(contract.asset_class, value),
            exposure=value,
            average_cost=average,
            cost_basis=None if average is None else average * held.quantity * per_unit,
            unrealized_pnl=unrealized,
            priced_at=held.priced_at,
        )

    # Instruments

    def _describe(self, row: Row, section: str, account: str | None) -> None:
        """Keep a row as one that tells about an instrument."""
        conid = conid_of(row.get("conid"))
        if conid is None:
            self.inbox.tell(section, account, "the row has no contract number", row, _subject(row))
        elif not any(row is known for known in self.details[conid]):
            self.details[conid].append(row)

    def _instruments(
        self, holdings: Mapping[tuple[str, str], Holding], transactions: list[tuple[Answer, list[Row]]]
    ) -> dict[str, Instrument]:
        by_conid: defaultdict[str, list[Holding]] = defaultdict(list)
        for (_, conid), holding in sorted(holdings.items()):
            by_conid[conid].append(holding)
        for row in (row for _, rows in transactions for row in rows):
            if conid_of(row.get("conid")):
                self._describe(row, "transactions", None)
        instruments = {}
        for conid in sorted(self.details):
            try:
                instruments[conid] = instrument(conid, self.details[conid], by_conid[conid], self.inbox)
            except UntypedError as err:
                if not by_conid[conid]:  # with a holding, the holding is refused
                    self.inbox.tell("instruments", None, str(err), self.details[conid], conid)
        return instruments

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
                self.inbox.tell("transactions", answer.account, "not a list of transactions", body, subject)
                continue
            rows = self._rows(answer, "transactions", body["transactions"])
            found.append((answer, [row for row in rows if self._is_asked(row, answer, currencies)]))
        return found

    def _is_asked(self, row: Row, answer: Answer, currencies: Mapping[str, str]) -> bool:
        account = _account_of(row, answer)
        if account in currencies:
            return True
        self.inbox.tell("transactions", account, "a row of an account that was not asked for", row)
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
                except (UnexpectedAnswerError, UntypedError) as err:
                    self.inbox.tell("transactions", account, str(err), row)
                    is_whole = False
                    continue
                # IBKR numbers none of them, and two fills can be alike in everything it tells.
                seen[account, activity.key] += 1
                key = f"{activity.key}:{seen[account, activity.key]}"
                activities[account, key] = replace(activity, key=key)
            since, until = moment_of(answer.body.get("from")), moment_of(answer.body.get("to"))
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
        """The key still lacks its counter. Raises: UntypedError, UnexpectedAnswerError."""
        conid = conid_of(row.get("conid"))
        if conid is None or conid not in instruments:
            raise UntypedError("the row has no contract number, or no currency")
        kind_text = text_of(row, "type") or ""
        quantity, price, amount = number(row, "qty"), number(row, "pr"), number(row, "amt")
        kind = _kind(kind_text, quantity)
        day = day_of(row.get("rawDate")) or text_day_of(row.get("date"))
        if day is None:
            raise UntypedError("the row has no date")
        if kind is ActivityKind.DIVIDEND:
            if amount is None:
                raise UntypedError("a dividend without an amount")
        elif not quantity:
            raise UntypedError(f"{kind_text!r} without a quantity")
        code, unit = major(text_of(row, "cur") or instruments[conid].currency)
        moved = quantity if kind is not ActivityKind.DIVIDEND else None
        if moved is not None and kind in (ActivityKind.BUY, ActivityKind.SELL):
            moved = abs(moved) if kind is ActivityKind.BUY else -abs(moved)
        is_transfer = kind in (ActivityKind.TRANSFER_IN, ActivityKind.TRANSFER_OUT)
        parts = (conid, day.isoformat(), kind_text.lower(), *map(plain_text, (quantity, price, amount)), code)
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
            description=decoded(text_of(row, "desc") or ""),
            subtype="" if kind_text.lower() in ("buy", "sell", "dividend payment") else kind_text.lower(),
        )

    # NAV history

    def _navs(self, currencies: Mapping[str, str]) -> tuple[NavPoint, ...]:
        points: dict[tuple[str, date], NavPoint] = {}
        for answer in self.performances:
            try:
                found = nav_series(answer.body)
            except UntypedError as err:
                self.inbox.tell("performance", answer.account, str(err), answer.body, "")
                continue
            for series in found:
                try:
                    told = _nav_points(series, currencies)
                except (UnexpectedAnswerError, UntypedError) as err:
                    self.inbox.tell("performance", answer.account, str(err), series, "")
                    continue
                points |= {(point.account, point.on): point for point in told}
                self.returns += _return(series, told)
        rank = precedence(self.raw.fetched_at)
        return tuple(replace(points[key], precedence=rank) for key in sorted(points))


def _with_variation(
    rows: list[Position], instruments: Mapping[str, Instrument], balances: list[CashBalance]
) -> list[Position]:
    """Give each future the profit it carries that is not in cash yet, where the ledger's total can be split.

    Where it cannot, the rows' market value is unknown and the total counts (CashBalance.futures_pnl).
    """
    variation = {balance.currency: balance.futures_pnl for balance in balances}
    futures = defaultdict(list)
    for row in rows:
        contract = instruments[row.broker_ref]
        if contract.asset_class is AssetClass.FUTURE and row.quantity:
            futures[contract.currency].append(row)
    shares: dict[str, Decimal | None] = {}
    for code, held in futures.items():
        total = variation.get(code)
        profits = [row.unrealized_pnl for row in held]
        known = [profit for profit in profits if profit is not None]
        is_sum = total is not None and len(known) == len(held) and abs(sum(known, -total)) <= HUNDREDTH
        for row, profit in zip(held, profits, strict=True):
            shares[row.broker_ref] = profit if is_sum else total if len(held) == 1 else None
    return [replace(r, market_value=shares[r.broker_ref]) if r.broker_ref in shares else r for r in rows]


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


def _return(series: Row, points: list[NavPoint]) -> list[Figure]:
    """IBKR's time-weighted return from the first of the points to the last; a fraction."""
    last = series["returns"][-1] if series["returns"] else {}
    until, amount = day_of(last.get("date")), number(last, "val")
    if until is None or amount is None or not points or until <= points[0].on:
        return []
    account, code, since = points[0].account, points[0].currency, points[0].on + timedelta(days=1)
    return [Figure(account, "PortfolioAnalyst", "twr", since, until, code, amount)]


def _nav_points(series: Row, currencies: Mapping[str, str]) -> list[NavPoint]:
    """The daily values of one account. Raises: UntypedError."""
    account = text_of(series, "id") or ""
    if account not in currencies:
        raise UntypedError("the values of an account that was not asked for")
    code, unit = major(text_of(series, "baseCurrency") or currencies[account])
    points = []
    for row in series["points"]:
        day, value = day_of(row.get("date")), number(row, "val")
        if day is None:
            raise UntypedError(f"{row.get('date')!r} is not a date")
        if value is not None:
            points.append(NavPoint(account, day, value * unit, code))
    return points


def _kind(text: str, quantity: Decimal | None) -> ActivityKind:
    word = text.lower()
    if word in KINDS:
        return KINDS[word]
    if "transfer" in word and quantity:
        return ActivityKind.TRANSFER_IN if quantity > 0 else ActivityKind.TRANSFER_OUT
    raise UntypedError(f"the type {text!r} is not known")


def _account_of(row: Row, answer: Answer) -> str | None:
    return text_of(row, "acctid") or answer.account or next(iter(_requested(answer, "acctIds")), None)


def _requested(answer: Answer, field: str) -> list[str]:
    """The values of one field of the request, as texts."""
    value = answer.request.get(field)
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return [str(item) for item in values]


def _subject(row: Row) -> str | None:
    """What tells a row without a contract number apart, as far as something does."""
    return text_of(row, "contractDesc", "description")


def _attempt(answer: Answer) -> int:
    return int(answer.request.get("attempt") or 0)
