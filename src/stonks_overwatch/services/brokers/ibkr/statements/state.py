"""What statements say an account holds and is worth: positions, cash, values by day, and every figure beside.

Positions, cash and accruals are the latest statement's of each account; figures of all statements are
kept, to hold the ledger's own numbers against.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal

from stonks_overwatch.ledger.types import (
    UNKNOWN_CURRENCY,
    Account,
    AccountValue,
    AssetClass,
    CashBalance,
    Figure,
    NavPoint,
    Position,
    Price,
)
from stonks_overwatch.services.brokers.ibkr.statements import words
from stonks_overwatch.services.brokers.ibkr.statements.dates import EASTERN
from stonks_overwatch.services.brokers.ibkr.statements.instruments import Instruments
from stonks_overwatch.services.brokers.ibkr.statements.rows import OUTSIDE, Row, RowError, Statement

_ZERO, _ONE = Decimal(0), Decimal(1)
_MARKET_CLOSE = time(16, 0)
_NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d*)?(?:[eE][+-]?\d+)?")
_KEPT_ZEROS = frozenset({"startingCash", "endingCash", "endingSettledCash", "startingValue", "endingValue"})
_COUNTS = frozenset({"quantity", "position", "twr", "percentOfNAV"})
_OF_THE_PERIOD = frozenset({"CashReportCurrency", "ChangeInNAV", "InterestAccrualsCurrency"})
_MOVED = frozenset({"amount"})
_TIES = ("transactionID", "tradeID", "exDate", "payDate", "code", "openDateTime")


@dataclass(slots=True)
class _Facts:
    currency: str | None = None
    currencies_at_one: set[str] = field(default_factory=set)  # those whose rate to the account's is exactly 1
    alias: str = ""
    kind: str = ""
    opened_on: date | None = None
    latest: Statement = OUTSIDE
    positions: dict[str, Row] = field(default_factory=dict)  # by instrument
    lots: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    is_whole: bool = True  # no position was refused
    cash: dict[str, tuple[Decimal, Decimal | None]] = field(default_factory=dict)  # ending, settled
    interest: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    currencies: set[str] = field(default_factory=set)  # of all rows of the account
    by_currency: set[str] = field(default_factory=set)  # tags of sums that are told for single currencies
    in_base: list[Row] = field(default_factory=list)  # those told for all currencies together
    dividends: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    equity: tuple[date, Row] | None = None  # the last day's


class State:
    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._facts: defaultdict[str, _Facts] = defaultdict(_Facts)
        self._navs: dict[tuple[str, date], tuple[Decimal, str | None]] = {}
        self._prices: dict[tuple[str, date], Decimal] = {}
        self._figures: dict[tuple[str, str, str, date, date, str | None, str, str], Decimal] = {}
        self._seen: Counter[tuple[object, ...]] = Counter()

    def meet(self, account: str, statement: Statement) -> None:
        """A statement tells of an account. The state of a later one replaces an earlier one's."""
        facts = self._facts[account]
        if statement is facts.latest or not statement.is_later_than(facts.latest):
            return
        facts.latest = statement
        facts.positions, facts.lots, facts.is_whole, facts.cash = {}, defaultdict(list), True, {}
        facts.interest, facts.dividends = defaultdict(Decimal), defaultdict(Decimal)

    def meet_currency(self, account: str, currency: str) -> None:
        self._facts[account].currencies.add(currency)

    def meet_rate_of_one(self, account: str, currency: str) -> None:
        self._facts[account].currencies_at_one.add(currency)

    def take(self, row: Row, account: str) -> None:
        """A row about the account itself, its positions, cash or figures. Raises: RowError."""
        facts = self._facts[account]
        is_current = row.statement is facts.latest
        match row.tag:
            case "AccountInformation":
                self._take_account(row, facts)
                return
            case "Lot":
                self._instruments.note(row)
                self._keep(row, account, "ClosedLots", since=row.day("openDateTime"))
                return
            case "OpenPosition":
                self._take_position(row, account, facts)
                return
            case "EquitySummaryByReportDateInBase":
                self._take_equity(row, account, facts)
            case "CashReportCurrency" if is_current:
                _take_cash(row, facts)
            case "InterestAccrualsCurrency" if is_current:
                _add(facts.interest, row, "endingAccrualBalance")
            case "OpenDividendAccrual" if is_current:
                _add(facts.dividends, row, "netAmount")
        if row.text("conid"):
            self._instruments.note(row)
        self._keep_told(row, account)

    def _keep_told(self, row: Row, account: str) -> None:
        if row.tag == "OpenDividendAccrual":
            self._keep(row, account, row.section, since=row.day("exDate"), until=row.day("payDate"))
        elif row.text("currency") == words.ALL_CURRENCIES:
            # Sums in the account's currency, which has a row of its own beside where there are several.
            self._keep(row, account, f"{row.section}InBase", since=_first_day(row))
            self._facts[account].in_base.append(row)
        else:
            self._facts[account].by_currency.add(row.tag)
            self._keep(row, account, row.section, since=_first_day(row))

    def take_close(self, row: Row) -> None:
        """The day's closing price beside a trade; a currency has a rate in its place. Raises: RowError."""
        ref = row.text("conid")
        if ref and row.text("assetCategory") != "CASH" and row.number("closePrice"):
            self._take_price(row, ref, "closePrice")

    def _take_price(self, row: Row, ref: str, name: str) -> None:
        own, price = row.currency(), row.number(name)
        on = row.day("reportDate", "tradeDate") or row.statement.until
        if own and price is not None and on is not None:
            self._prices[ref, on] = price * own[1]

    def take_movement(self, row: Row, account: str) -> None:
        """A line of the statement of funds: what one row of another section did to the cash.

        Raises: RowError.
        """
        if row.currency() is None or (row.text("levelOfDetail") or "").upper() == "BASECURRENCY":
            return
        self._keep(row, account, "StmtFunds", only=_MOVED)

    def refuse_position(self, account: str) -> None:
        """A position that could not be read: the others update what is held, and close nothing."""
        self._facts[account].is_whole = False

    def _take_account(self, row: Row, facts: _Facts) -> None:
        own = row.currency()
        facts.currency = own[0] if own else facts.currency
        facts.alias = row.text("acctAlias") or facts.alias
        # In the Web API's spelling: both tell of the same accounts, in turns.
        facts.kind = (row.text("accountType", "customerType") or facts.kind).upper()
        facts.opened_on = row.day("dateOpened") or facts.opened_on

    def _take_position(self, row: Row, account: str, facts: _Facts) -> None:
        ref = self._instruments.note(row)
        quantity = row.number("position", "quantity")
        if ref is None or quantity is None:
            raise RowError(
                "the position names no instrument" if ref is None else "the position has no quantity"
            )
        self._instruments.note_ratio(ref, row.number("positionValue"), quantity, row.number("markPrice"))
        _position([row], account, ref, AssetClass.OTHER)  # refused now, not when all is read
        self._take_price(row, ref, "markPrice")
        if (row.text("levelOfDetail") or "SUMMARY").upper() == "LOT":
            self._keep(row, account, "OpenLots", since=row.day("openDateTime"))
            if row.statement is facts.latest:
                facts.lots[ref].append(row)
            return
        self._keep(row, account, row.section)
        if row.statement is facts.latest:
            facts.positions[ref] = row

    def _take_equity(self, row: Row, account: str, facts: _Facts) -> None:
        on, total = row.day("reportDate"), row.number("total")
        if on is None or total is None:
            raise RowError("the value has no day or no total")
        for name in ("cash", "interestAccruals", "dividendAccruals"):
            row.number(name)  # refused now, not when all is read
        own = row.currency()
        if own and facts.currency is None:
            facts.currency = own[0]
        self._navs[account, on] = total, own[0] if own else None
        if facts.equity is None or facts.equity[0] <= on:
            facts.equity = on, row

    def _keep(
        self,
        row: Row,
        account: str,
        section: str,
        *,
        since: date | None = None,
        until: date | None = None,
        only: frozenset[str] | None = None,
    ) -> None:
        """Every number of the row, named as IBKR names it; zeros are left out. Raises: RowError."""
        until = until or row.day("toDate", "reportDate", "tradeDate", "date") or row.statement.until
        if until is None:
            raise RowError("the row has no date")
        own = row.currency()
        code, unit = own or (None, _ONE)
        conid = row.text("conid") or ""
        tie = "/".join(text for name in _TIES if (text := row.text(name)))
        identity = (row.statement.number, account, section, since, until, code, conid, tie)
        self._seen[identity] += 1
        # Rows alike in all of this are counted, so that none is lost.
        if self._seen[identity] > 1:
            tie = f"{tie}#{self._seen[identity]}"
        for name, text in row.told.items():
            if only is not None and name not in only:
                continue
            if name in words.NOT_FIGURES or not _NUMBER.fullmatch(text) or _repeats(name, row):
                continue
            amount = row.number(name)
            if amount is None or (not amount and name not in _KEPT_ZEROS):
                continue
            amount = amount if name in _COUNTS else amount * unit
            self._figures[account, section, name, since or until, until, code, conid, tie] = amount

    # When all is read

    def sums_of_one_currency(self) -> list[tuple[str, Row]]:
        """Take the sums of all currencies of accounts that have just one: IBKR tells no others of them.

        Returns: their accounts and rows, in the account's currency.
        """
        found = []
        for account, facts in self._facts.items():
            own = self.currency(account)
            if own is None or facts.currencies - {own, words.ALL_CURRENCIES}:
                continue
            alone = [row for row in facts.in_base if row.tag not in facts.by_currency]
            found += [(account, row.with_fields(currency=own)) for row in alone]
        for account, row in found:
            self.take(row, account)
        return found

    @staticmethod
    def _is_only_in_base(facts: _Facts, tag: str) -> bool:
        """Whether something is told for all currencies together, and not for which."""
        return tag not in facts.by_currency and any(
            row.tag == tag and row.number("endingAccrualBalance") for row in facts.in_base
        )

    def currency(self, account: str) -> str | None:
        """What the account is kept in, as far as it is told; a rate of exactly 1 to it tells it too."""
        facts = self._facts[account]
        if facts.currency is None and len(facts.currencies_at_one) == 1:
            return next(iter(facts.currencies_at_one))
        return facts.currency

    def accounts(self) -> dict[str, Account]:
        return {
            account: Account(
                account,
                self.currency(account) or UNKNOWN_CURRENCY,
                facts.alias,
                facts.kind,
                facts.opened_on,
            )
            for account, facts in sorted(self._facts.items())
        }

    def positions(
        self, told: set[str], aliases: dict[str, str]
    ) -> tuple[dict[str, tuple[Position, ...]], tuple[Position, ...]]:
        """What accounts held at the end of their latest statement: whole answers, and rows of others.

        `told` are the accounts whose statements have the section: without rows they held nothing.
        """
        whole: dict[str, tuple[Position, ...]] = {}
        partial: list[Position] = []
        for account, facts in self._facts.items():
            held = {**facts.lots, **{ref: [row] for ref, row in facts.positions.items()}}
            rows = tuple(
                _position(of, account, aliases.get(ref, ref), self._instruments.asset_class(ref))
                for ref, of in sorted(held.items())
            )
            if facts.is_whole and account in told:
                whole[account] = rows
            else:
                partial += rows
        return whole, tuple(partial)

    def cash(self, *, knows_interest: bool, knows_dividends: bool) -> dict[str, tuple[CashBalance, ...]]:
        """Cash and accruals by currency at the end of each latest statement that has a cash report."""
        found = {}
        for account, facts in self._facts.items():
            if not facts.cash:
                continue
            is_known = knows_interest and not self._is_only_in_base(facts, "InterestAccrualsCurrency")
            found[account] = tuple(
                CashBalance(
                    account=account,
                    currency=code,
                    amount=facts.cash.get(code, (_ZERO, None))[0],
                    settled=facts.cash.get(code, (_ZERO, None))[1],
                    accrued_interest=facts.interest.get(code, _ZERO) if is_known else None,
                    accrued_dividends=facts.dividends.get(code, _ZERO) if knows_dividends else None,
                )
                for code in sorted({*facts.cash, *facts.interest, *facts.dividends})
            )
        return found

    def values(self, accounts: dict[str, Account]) -> tuple[AccountValue, ...]:
        values = []
        for account, facts in self._facts.items():
            if facts.equity:
                on, row = facts.equity
                values.append(
                    AccountValue(
                        account=account,
                        currency=accounts[account].currency,
                        as_of=end_of(on),
                        nav=row.number("total"),
                        cash=row.number("cash"),
                        accrued_interest=row.number("interestAccruals"),
                        accrued_dividends=row.number("dividendAccruals"),
                    )
                )
        return tuple(values)

    def prices(self, aliases: dict[str, str], precedence: int) -> tuple[Price, ...]:
        """Of what has prices: a currency has a rate."""
        return tuple(
            Price(aliases.get(ref, ref), on, close, precedence)
            for (ref, on), close in sorted(self._prices.items())
            if self._instruments.asset_class(ref) is not AssetClass.CASH
        )

    def navs(self, accounts: dict[str, Account], precedence: int) -> tuple[NavPoint, ...]:
        return tuple(
            NavPoint(account, on, total, code or accounts[account].currency, precedence)
            for (account, on), (total, code) in sorted(self._navs.items(), key=lambda item: item[0])
        )

    def figures(
        self, accounts: dict[str, Account], aliases: dict[str, str], precedence: int
    ) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                account=account,
                section=section,
                name=name,
                since=since,
                until=until,
                currency=code or accounts[account].currency,
                amount=amount,
                broker_ref=aliases.get(ref, ref) or None,
                ref=tie,
                precedence=precedence,
            )
            for (account, section, name, since, until, code, ref, tie), amount in self._figures.items()
        )


def end_of(day: date) -> datetime:
    """The moment a statement's day stands for: the close of New York's market, on the same day in UTC."""
    return datetime.combine(day, _MARKET_CLOSE, EASTERN).astimezone(UTC)


def _first_day(row: Row) -> date | None:
    """Of what is told of the statement's whole period, also where the query leaves out its days."""
    return row.day("fromDate") or (row.statement.since if row.tag in _OF_THE_PERIOD else None)


def _take_cash(row: Row, facts: _Facts) -> None:
    own = row.currency()
    ending, settled = row.number("endingCash"), row.number("endingSettledCash")
    if own and ending is not None:
        code, unit = own
        facts.cash[code] = ending * unit, None if settled is None else settled * unit


def _add(totals: defaultdict[str, Decimal], row: Row, name: str) -> None:
    own, amount = row.currency(), row.number(name)
    if own and amount is not None:
        totals[own[0]] += amount * own[1]


def _position(rows: list[Row], account: str, ref: str, asset_class: AssetClass) -> Position:
    """One row, or the lots of one position. Raises: RowError."""
    own = rows[0].currency()
    on = rows[0].day("reportDate") or rows[0].statement.until
    if own is None or on is None:
        raise RowError("the position has no currency" if own is None else "the position has no date")
    unit = own[1]

    def total(name: str, *others: str) -> Decimal | None:
        found = [row.number(name, *others) for row in rows]
        known = [value for value in found if value is not None]
        return sum(known, _ZERO) if len(known) == len(found) else None

    def money(value: Decimal | None) -> Decimal | None:
        return None if value is None else value * unit

    value, unrealized = money(total("positionValue")), money(total("fifoPnlUnrealized"))
    # Futures settle every evening and currencies are in the cash; a CFD carries its profit alone.
    carried = {AssetClass.FUTURE: _ZERO, AssetClass.CASH: _ZERO, AssetClass.CFD: unrealized}
    return Position(
        account=account,
        broker_ref=ref,
        quantity=total("position", "quantity") or _ZERO,
        price=money(rows[0].number("markPrice")),
        market_value=carried.get(asset_class, value),
        exposure=value,
        average_cost=money(rows[0].number("costBasisPrice")) if len(rows) == 1 else None,
        cost_basis=money(total("costBasisMoney")),
        unrealized_pnl=unrealized,
        priced_at=end_of(on),
    )


def _repeats(name: str, row: Row) -> bool:
    """Whether the field is another's amount for a segment of the account, a side, or another period."""
    return any(name.endswith(end) and name.removesuffix(end) in row.told for end in words.FIGURE_REPEATS)
