"""The world's books as IBKR's Flex statements: every section that a complete query has.

Figures are replayed from the entries, independently of how the product reads them. IBKR's signs: a
purchase has a positive quantity and negative proceeds, commissions and taxes are negative.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from html import unescape
from itertools import pairwise
from typing import Literal
from xml.sax.saxutils import quoteattr

from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument
from stonks_overwatch.services.brokers.ibkr.sandbox.world import ZERO, Accrual, Entry, Holding, World

DateFormat = Literal[
    "yyyyMMdd", "yyyy-MM-dd", "MM/dd/yyyy", "MM/dd/yy", "dd/MM/yyyy", "dd/MM/yy", "dd-MMM-yy"
]
_FORMATS: dict[str, str] = {
    "yyyyMMdd": "%Y%m%d", "yyyy-MM-dd": "%Y-%m-%d", "MM/dd/yyyy": "%m/%d/%Y", "MM/dd/yy": "%m/%d/%y",
    "dd/MM/yyyy": "%d/%m/%Y", "dd/MM/yy": "%d/%m/%y", "dd-MMM-yy": "%d-%b-%y",
}  # fmt: skip
SECTIONS = (
    "AccountInformation", "ChangeInNAV", "CashReport", "EquitySummaryInBase", "Trades", "CashTransactions",
    "CorporateActions", "Transfers", "OpenPositions", "InterestAccruals", "ChangeInDividendAccruals",
    "OpenDividendAccruals", "SecuritiesInfo", "ConversionRates", "TransactionTaxes", "SalesTaxes",
    "StmtFunds",
)  # fmt: skip
# Of two currencies the one named first in a pair.
_PRECEDENCE = ("EUR", "GBP", "AUD", "USD", "CAD", "CHF", "HKD", "SEK", "DKK", "JPY")

Attributes = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Style:
    """How the query is set up."""

    dates: DateFormat = "yyyyMMdd"
    time: Literal["HHmmss", "HH:mm:ss"] = "HHmmss"
    separator: str = ";"
    by_day: bool = False
    all_levels: bool = False  # orders and summaries beside executions, sums beside details
    sections: tuple[str, ...] = SECTIONS
    without: frozenset[str] = frozenset()  # fields left out, such as transactionID


def is_before_all(world: World, until: date) -> bool:
    """Whether no account was open on that day."""
    return all(holder.opened_on > until for holder in world.holders.values())


def statement(world: World, since: date, until: date, made_at: datetime, style: Style) -> str:
    """The whole document for the accounts that were open by then."""
    writer = _Writer(world, style)
    parts = []
    for account, holder in world.holders.items():
        if holder.opened_on > until:
            continue
        spans = [(since, until)]
        if style.by_day:
            spans = [(day, day) for day in world.market.days if since <= day <= until]
        parts += [writer.statement(account, *span, made_at) for span in spans]
    body = "".join(parts)
    return (
        f'<FlexQueryResponse queryName="Tracker" type="AF">\n<FlexStatements count="{len(parts)}">\n'
        f"{body}</FlexStatements>\n</FlexQueryResponse>\n"
    )


@dataclass
class _Books:
    """One account at the end of one day."""

    cash: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    holdings: dict[int, Holding] = field(default_factory=dict)
    opened_on: dict[int, date] = field(default_factory=dict)


class _Writer:
    def __init__(self, world: World, style: Style) -> None:
        self.world = world
        self.style = style

    # Whole statements

    def statement(self, account: str, since: date, until: date, made_at: datetime) -> str:
        before, after = self._books(account, since - timedelta(days=1)), self._books(account, until)
        entries = sorted(
            (e for e in self.world.entries_of(account) if since <= e.on <= until), key=lambda e: e.on
        )
        span = account, since, until
        sections: dict[str, Callable[[], Iterable[str]]] = {
            "CashReport": lambda: self._cash_report(span, before, after, entries),
            "EquitySummaryInBase": lambda: self._equity(span),
            "Trades": lambda: self._trades(account, entries),
            "CashTransactions": lambda: self._cash_transactions(account, entries),
            "CorporateActions": lambda: self._corporate_actions(account, entries),
            "OpenPositions": lambda: self._open_positions(account, until, after),
            "InterestAccruals": lambda: self._interest(span),
            "ChangeInDividendAccruals": lambda: self._dividend_changes(span),
            "OpenDividendAccruals": lambda: self._open_dividends(account, until),
            "SecuritiesInfo": lambda: self._securities(entries, after),
            "ConversionRates": lambda: self._rates(span),
            "StmtFunds": lambda: self._funds(account, before, entries),
        }
        lines = [
            self._tag(
                "FlexStatement",
                {
                    "accountId": account,
                    "fromDate": self._day(since),
                    "toDate": self._day(until),
                    "period": "",
                    "whenGenerated": self._moment(
                        made_at.date(), made_at.hour * 10000 + made_at.minute * 100
                    ),
                },
                closed=False,
            )
        ]
        for name in self.style.sections:
            if name == "AccountInformation":
                lines.append(self._account(account))
            elif name == "ChangeInNAV":
                lines.append(self._change_in_nav(span, entries))
            else:
                rows = sections[name]() if name in sections else ()  # the others are never filled here
                lines += [f"<{name}>", *rows, f"</{name}>"]
        lines.append("</FlexStatement>")
        return "".join(f"{line}\n" for line in lines)

    def _books(self, account: str, on: date) -> _Books:
        books = _Books()
        for entry in sorted((e for e in self.world.entries_of(account) if e.on <= on), key=lambda e: e.on):
            _enter(books, entry, self.world.market.instruments)
        return books

    # Sections

    def _account(self, account: str) -> str:
        holder = self.world.holders[account]
        return self._tag(
            "AccountInformation",
            {
                "accountId": account,
                "acctAlias": holder.alias or "",
                "currency": holder.currency,
                "name": holder.title,
                "accountType": "Individual",
                "customerType": "Individual",
                "dateOpened": self._day(holder.opened_on),
                "ibEntity": holder.entity,
            },
        )

    def _trades(self, account: str, entries: Iterable[Entry]) -> Iterator[str]:
        for entry in entries:
            if entry.kind in ("buy", "sell"):
                yield from self._trade(self._security_trade(account, entry))
            elif entry.kind == "fx":
                yield from self._trade(self._exchange(account, entry))

    def _trade(self, attributes: dict[str, object]) -> Iterator[str]:
        if self.style.all_levels:
            sums = attributes | {"tradeID": "", "transactionID": "", "ibExecID": "", "notes": ""}
            yield self._tag("SymbolSummary", sums | {"ibOrderID": "", "levelOfDetail": "SYMBOL_SUMMARY"})
            yield self._tag("Order", sums | {"levelOfDetail": "ORDER"})
        yield self._tag("Trade", attributes)

    def _security_trade(self, account: str, entry: Entry) -> dict[str, object]:
        instrument = self.world.market.instruments[entry.conid or 0]
        price, quantity = entry.price or ZERO, entry.quantity
        money = quantity * price * instrument.units
        is_closing = bool(entry.realized)
        cost = money - entry.commission
        if is_closing:
            cost = -(-money + entry.commission - entry.realized)
        return {
            **self._contract(account, instrument, entry.on),
            **self._trade_numbers(entry),
            "transactionType": "ExchTrade",
            "exchange": instrument.exchange,
            "quantity": quantity,
            "tradePrice": price,
            "tradeMoney": money,
            "closePrice": self.world.market.close(instrument.conid, entry.on),
            "proceeds": -money if instrument.is_margined else entry.gross,
            "taxes": ZERO,
            "ibCommission": entry.commission,
            "ibCommissionCurrency": entry.currency,
            "netCash": entry.net,
            "openCloseIndicator": "C" if is_closing else "O",
            "notes": "",
            "cost": cost,
            "fifoPnlRealized": entry.realized,
            "buySell": "BUY" if entry.kind == "buy" else "SELL",
        }

    def _exchange(self, account: str, entry: Entry) -> dict[str, object]:
        into, received = entry.exchanged or ("", ZERO)
        given = -entry.gross
        base, quote = sorted((entry.currency, into), key=_PRECEDENCE.index)
        quantity, money = (-given, received) if base == entry.currency else (received, -given)
        price = abs(money / quantity).quantize(Decimal("0.000001"))
        return {
            "accountId": account,
            "acctAlias": self.world.holders[account].alias or "",
            "currency": quote,
            "fxRateToBase": self._rate(account, quote, entry.on),
            "assetCategory": "CASH",
            "symbol": f"{base}.{quote}",
            "description": f"{base}.{quote}",
            "conid": entry.conid or 12_000_000 + _PRECEDENCE.index(base) * 100 + _PRECEDENCE.index(quote),
            "multiplier": 1,
            **self._trade_numbers(entry),
            "transactionType": "ExchTrade",
            "exchange": "IDEALFX",
            "quantity": quantity,
            "tradePrice": price,
            "tradeMoney": -money,
            "proceeds": money,
            "taxes": ZERO,
            "ibCommission": ZERO,
            "ibCommissionCurrency": self.world.holders[account].currency,
            "netCash": ZERO,
            "openCloseIndicator": "",
            "notes": "",
            "cost": ZERO,
            "fifoPnlRealized": ZERO,
            "buySell": "BUY" if quantity > 0 else "SELL",
        }

    def _trade_numbers(self, entry: Entry) -> dict[str, object]:
        seconds = 93000 + entry.number % 6 * 10000 + entry.number % 59
        return {
            "tradeID": 500_000_000 + entry.number,
            "transactionID": _transaction(entry, 0),
            "ibOrderID": 400_000_000 + entry.number,
            "ibExecID": f"0000e0d5.{entry.number:08x}.01.01",
            "reportDate": self._day(entry.on),
            "tradeDate": self._day(entry.on),
            "dateTime": self._moment(entry.on, seconds),
            "settleDateTarget": self._day(entry.on + timedelta(days=2)),
            "levelOfDetail": "EXECUTION",
        }

    def _cash_transactions(self, account: str, entries: Iterable[Entry]) -> Iterator[str]:
        for entry in entries:
            for part, kind, amount, text in _cash_parts(entry):
                row: dict[str, object] = {
                    **self._contract(account, self._instrument(entry), entry.on),
                    "dateTime": self._moment(entry.on, 202000) if entry.conid else self._day(entry.on),
                    "settleDate": self._day(entry.on),
                    "reportDate": self._day(entry.on),
                    "exDate": self._day(entry.ex_date) if entry.ex_date else "",
                    "amount": amount,
                    "type": kind,
                    "transactionID": _transaction(entry, part),
                    "actionID": 90_000_000 + entry.number if entry.kind == "dividend" else "",
                    "code": "",
                    "currency": entry.currency,
                    "fxRateToBase": self._rate(account, entry.currency, entry.on),
                    "description": text,
                    "levelOfDetail": "DETAIL",
                }
                yield self._tag("CashTransaction", row)
                if self.style.all_levels:
                    yield self._tag(
                        "CashTransaction",
                        row | {"transactionID": "", "actionID": "", "levelOfDetail": "SUMMARY"},
                    )

    def _corporate_actions(self, account: str, entries: Iterable[Entry]) -> Iterator[str]:
        for entry in entries:
            if entry.kind != "split":
                continue
            instrument = self.world.market.instruments[entry.conid or 0]
            isin = isin_of(instrument)
            text = (
                f"{instrument.symbol}({isin}) SPLIT {entry.ratio} FOR 1 "
                f"({instrument.symbol}, {unescape(instrument.name)}, {isin})"
            )
            yield self._tag(
                "CorporateAction",
                {
                    **self._contract(account, instrument, entry.on),
                    "description": text,
                    "actionDescription": text,
                    "reportDate": self._day(entry.on),
                    "dateTime": self._moment(entry.on, 202500),
                    "quantity": entry.quantity,
                    "amount": ZERO,
                    "proceeds": ZERO,
                    "value": ZERO,
                    "fifoPnlRealized": ZERO,
                    "type": "FS",
                    "actionID": 90_000_000 + entry.number,
                    "transactionID": _transaction(entry, 0),
                    "levelOfDetail": "DETAIL",
                },
            )

    def _open_positions(self, account: str, until: date, books: _Books) -> Iterator[str]:
        for conid, holding in sorted(books.holdings.items()):
            instrument, quantity = holding.instrument, holding.quantity
            if not quantity or instrument.is_virtual:
                continue
            price = self.world.market.close(conid, until)
            value = quantity * price * instrument.units
            cost = sum((q * c for q, c in holding.lots), ZERO) * instrument.units
            row = {
                **self._contract(account, instrument, until),
                "reportDate": self._day(until),
                "position": quantity,
                "markPrice": price,
                "positionValue": value,
                "costBasisPrice": holding.average_cost,
                "costBasisMoney": cost,
                "fifoPnlUnrealized": value - cost,
                "side": "Long" if quantity > 0 else "Short",
                "levelOfDetail": "SUMMARY",
            }
            yield self._tag("OpenPosition", row)
            if self.style.all_levels:
                for lot, unit_cost in holding.lots:
                    yield self._tag(
                        "OpenPosition",
                        row
                        | {
                            "position": lot,
                            "positionValue": lot * price * instrument.units,
                            "costBasisPrice": unit_cost,
                            "costBasisMoney": lot * unit_cost * instrument.units,
                            "fifoPnlUnrealized": lot * (price - unit_cost) * instrument.units,
                            "openDateTime": self._day(books.opened_on[conid]),
                            "levelOfDetail": "LOT",
                        },
                    )

    def _cash_report(
        self, span: tuple[str, date, date], before: _Books, after: _Books, entries: list[Entry]
    ) -> Iterator[str]:
        account, since, until = span
        for currency in sorted(after.cash.keys() | before.cash.keys()):
            own = [entry for entry in entries if entry.currency == currency]
            moved = _movements(own)
            received = [e.exchanged[1] for e in entries if e.exchanged and e.exchanged[0] == currency]
            moved["netTradesPurchases"] += sum(received, ZERO)
            yield self._tag(
                "CashReportCurrency",
                {
                    "accountId": account,
                    "currency": currency,
                    "fromDate": self._day(since),
                    "toDate": self._day(until),
                    "startingCash": before.cash[currency],
                    **moved,
                    "endingCash": after.cash[currency],
                    "endingSettledCash": after.cash[currency],
                    "levelOfDetail": "Currency",
                },
            )

    def _funds(self, account: str, before: _Books, entries: Iterable[Entry]) -> Iterator[str]:
        """Every movement of cash with the balance of its currency after it."""
        balances = dict(before.cash)
        for entry in entries:
            moves = [
                (entry.currency, _transaction(entry, part), amount)
                for part, _, amount, _ in _cash_parts(entry)
            ]
            if entry.kind in ("buy", "sell", "variation"):
                moves = [(entry.currency, _transaction(entry, 0), entry.net)]
            elif entry.exchanged:
                moves = [
                    (c, _transaction(entry, 0), a) for c, a in ((entry.currency, entry.net), entry.exchanged)
                ]
            for currency, number, amount in moves:
                balances[currency] = balances.get(currency, ZERO) + amount
                yield self._tag(
                    "StatementOfFundsLine",
                    {
                        "accountId": account,
                        "currency": currency,
                        "reportDate": self._day(entry.on),
                        "date": self._day(entry.on),
                        "activityDescription": entry.description,
                        # The daily settlement of futures has no number.
                        "transactionID": "" if entry.kind == "variation" else number,
                        "amount": amount,
                        "balance": balances[currency],
                        "levelOfDetail": "Currency",
                    },
                )

    def _equity(self, span: tuple[str, date, date]) -> Iterator[str]:
        account, since, until = span
        points = [p for p in self.world.nav_history(account, since) if since <= p[0] <= until]
        days = [day for day, _, _ in points]
        cash = _swept(_cash_changes(self.world.entries_of(account)), days)
        interest = _swept(_accrual_changes(self._accruals(account, "interest")), days)
        dividends = _swept(_accrual_changes(self._accruals(account, "dividend")), days)
        for (day, nav, _), *amounts in zip(points, cash, interest, dividends, strict=True):
            in_cash, earned, declared = (
                sum((self._in_base(account, c, a, day) for c, a in of.items()), ZERO) for of in amounts
            )
            yield self._tag(
                "EquitySummaryByReportDateInBase",
                {
                    "accountId": account,
                    "currency": self.world.holders[account].currency,
                    "reportDate": self._day(day),
                    "cash": in_cash,
                    "stock": nav - in_cash - earned - declared,
                    "dividendAccruals": declared,
                    "interestAccruals": earned,
                    "total": nav,
                },
            )

    def _change_in_nav(self, span: tuple[str, date, date], entries: list[Entry]) -> str:
        account, since, until = span
        points = self.world.nav_history(account, since)
        start = next((nav for day, nav, _ in reversed(points) if day < since), ZERO)
        end = next((nav for day, nav, _ in reversed(points) if day <= until), start)
        parts: dict[str, Decimal] = defaultdict(Decimal)
        names = {
            "deposit": "depositsWithdrawals", "withdrawal": "depositsWithdrawals", "dividend": "dividends",
            "interest": "interest", "fee": "otherFees",
        }  # fmt: skip
        for entry in entries:
            if entry.kind in names:
                parts[names[entry.kind]] += self._in_base(account, entry.currency, entry.gross, entry.on)
            parts["commissions"] += self._in_base(account, entry.currency, entry.commission, entry.on)
            parts["withholdingTax"] += self._in_base(account, entry.currency, entry.tax, entry.on)
        parts["mtm"] = end - start - sum(parts.values(), ZERO)
        growth = Decimal(1)
        opened_on = self.world.holders[account].opened_on
        if points[0][0] >= opened_on:
            points = [(opened_on - timedelta(days=1), ZERO, ZERO), *points]
        for (_, held, _), (day, nav, flow) in pairwise(points):
            if since <= day <= until and held + flow > 0:
                growth *= nav / (held + flow)
        return self._tag(
            "ChangeInNAV",
            {
                "accountId": account,
                "currency": self.world.holders[account].currency,
                "fromDate": self._day(since),
                "toDate": self._day(until),
                "startingValue": start,
                **parts,
                "endingValue": end,
                "twr": round((growth - 1) * 100, 9),  # in percent
            },
        )

    def _interest(self, span: tuple[str, date, date]) -> Iterator[str]:
        account, since, until = span
        currencies = {a.currency for a in self._accruals(account, "interest")}
        for currency in sorted(currencies):
            start, end = (
                self._accrued_in(account, "interest", currency, day)
                for day in (since - timedelta(days=1), until)
            )
            yield self._tag(
                "InterestAccrualsCurrency",
                {
                    "accountId": account,
                    "currency": currency,
                    "fromDate": self._day(since),
                    "toDate": self._day(until),
                    "startingAccrualBalance": start,
                    "interestAccrued": end - start,
                    "endingAccrualBalance": end,
                },
            )

    def _dividend_changes(self, span: tuple[str, date, date]) -> Iterator[str]:
        account, since, until = span
        for accrual in self._accruals(account, "dividend"):
            for on, sign, code in ((accrual.on, 1, "Po"), (accrual.paid_on, -1, "Re")):
                if since <= on <= until:
                    yield self._tag(
                        "ChangeInDividendAccrual",
                        {
                            **self._dividend(account, accrual, on, sign),
                            "date": self._day(on),
                            "reportDate": self._day(on),
                            "code": code,
                        },
                    )

    def _open_dividends(self, account: str, until: date) -> Iterator[str]:
        for accrual in self._accruals(account, "dividend"):
            if accrual.on <= until < accrual.paid_on:
                yield self._tag(
                    "OpenDividendAccrual", self._dividend(account, accrual, until, 1) | {"code": ""}
                )

    def _dividend(self, account: str, accrual: Accrual, on: date, sign: int) -> dict[str, object]:
        instruments = self.world.market.instruments
        return {
            **self._contract(account, instruments[accrual.conid] if accrual.conid else None, on),
            "currency": accrual.currency,
            "exDate": self._day(accrual.on),
            "payDate": self._day(accrual.paid_on),
            "tax": -accrual.tax * sign,
            "fee": ZERO,
            "grossAmount": accrual.gross * sign,
            "netAmount": accrual.amount * sign,
        }

    def _securities(self, entries: Iterable[Entry], books: _Books) -> Iterator[str]:
        conids = {e.conid for e in entries if e.conid} | {c for c, h in books.holdings.items() if h.quantity}
        for conid in sorted(conids):
            instrument = self.world.market.instruments[conid]
            yield self._tag("SecurityInfo", _security(instrument, self._day))

    def _rates(self, span: tuple[str, date, date]) -> Iterator[str]:
        account, since, until = span
        base = self.world.holders[account].currency
        for day in self.world.market.days[:-1]:
            if not since <= day <= until:
                continue
            for currency in self.world.market.currencies:
                if currency != base:
                    yield self._tag(
                        "ConversionRate",
                        {
                            "reportDate": self._day(day),
                            "fromCurrency": currency,
                            "toCurrency": base,
                            "rate": self._rate(account, currency, day),
                        },
                    )

    # Parts of rows

    def _contract(self, account: str, instrument: Instrument | None, on: date) -> dict[str, object]:
        common: dict[str, object] = {
            "accountId": account,
            "acctAlias": self.world.holders[account].alias or "",
            "model": "",
        }
        if instrument is None:
            return common | {"assetCategory": "", "symbol": "", "conid": "", "isin": "", "multiplier": 0}
        security = _security(instrument, self._day)
        return {
            **common,
            "currency": instrument.currency,
            "fxRateToBase": self._rate(account, instrument.currency, on),
            **security,
            "securityID": security["isin"],
            "securityIDType": "ISIN" if security["isin"] else "",
        }

    def _instrument(self, entry: Entry) -> Instrument | None:
        return self.world.market.instruments[entry.conid] if entry.conid is not None else None

    def _rate(self, account: str, currency: str, on: date) -> Decimal:
        rate = self.world.market.cross(currency, self.world.holders[account].currency, on)
        return rate.quantize(Decimal("0.000001")).normalize()

    def _in_base(self, account: str, currency: str, amount: Decimal, on: date) -> Decimal:
        return amount * self.world.market.cross(currency, self.world.holders[account].currency, on)

    def _accruals(self, account: str, kind: str) -> list[Accrual]:
        return [a for a in (*self.world.paid, *self.world.unpaid) if a.account == account and a.kind == kind]

    def _accrued_in(self, account: str, kind: str, currency: str, on: date) -> Decimal:
        amounts = [
            a.amount
            for a in self._accruals(account, kind)
            if a.currency == currency and a.on <= on < a.paid_on
        ]
        return sum(amounts, ZERO)

    # Text

    def _day(self, day: date) -> str:
        return day.strftime(_FORMATS[self.style.dates])

    def _moment(self, day: date, clock: int) -> str:
        digits = f"{clock:06d}"
        time = digits if self.style.time == "HHmmss" else f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
        return f"{self._day(day)}{self.style.separator}{time}"

    def _tag(self, name: str, attributes: Attributes, *, closed: bool = True) -> str:
        parts = (
            f"{key}={quoteattr(_text(value))}"
            for key, value in attributes.items()
            if key not in self.style.without
        )
        return f"<{name} {' '.join(parts)}{' />' if closed else '>'}"


def isin_of(instrument: Instrument) -> str:
    """An invented ISIN with a valid check digit; empty for what has none."""
    if instrument.asset_class not in ("STK", "FUND", "BOND", "BILL", "WAR", "IOPT"):
        return ""
    body = f"{instrument.country}{instrument.conid % 10**9:09d}"
    digits = "".join(str(int(letter, 36)) for letter in body)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return f"{body}{-total % 10}"


def _security(instrument: Instrument, day: Callable[[date], str]) -> dict[str, object]:
    is_bond = instrument.asset_class in ("BOND", "BILL")
    return {
        "assetCategory": instrument.asset_class,
        "subCategory": instrument.kind,
        "symbol": instrument.symbol,
        "description": (is_bond and instrument.description) or unescape(instrument.name),
        "conid": instrument.conid,
        "isin": isin_of(instrument),
        "listingExchange": instrument.exchange,
        "underlyingConid": instrument.underlying or "",
        "underlyingSymbol": instrument.underlying_symbol,
        "issuerCountryCode": instrument.country,
        "multiplier": 1 if is_bond else instrument.multiplier or 1,
        "strike": "" if instrument.strike is None else instrument.strike,
        "expiry": "" if instrument.expires_on is None else day(instrument.expires_on),
        "putCall": instrument.right or "",
    }


def _cash_parts(entry: Entry) -> Iterator[tuple[int, str, Decimal, str]]:
    """The cash transactions of an entry: a number within it, IBKR's type, amount, description."""
    text = entry.description
    match entry.kind:
        case "dividend":
            yield 1, "Dividends", entry.gross, f"{text} (Ordinary Dividend)"
            if entry.tax:
                yield 2, "Withholding Tax", entry.tax, f"{text} - TAX"
        case "deposit" | "withdrawal":
            yield 1, "Deposits/Withdrawals", entry.gross, text
        case "fee":
            yield 1, "Other Fees", entry.gross, text
        case "interest":
            source = "Bond" if text.startswith("BOND") else "Broker"
            yield 1, f"{source} Interest {'Received' if entry.gross > 0 else 'Paid'}", entry.gross, text


def _movements(entries: Iterable[Entry]) -> dict[str, Decimal]:
    """What a cash report tells of one currency's entries."""
    moved: dict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        match entry.kind:
            case "variation":
                moved["cashSettlingMtm"] += entry.gross
            case "deposit":
                moved["deposits"] += entry.gross
            case "withdrawal":
                moved["withdrawals"] += entry.gross
            case "dividend":
                moved["dividends"] += entry.gross
            case "fee":
                moved["otherFees"] += entry.gross
            case "interest":
                is_coupon = entry.description.startswith("BOND")
                moved["bondInterest" if is_coupon else "brokerInterest"] += entry.gross
            case _:
                moved["netTradesSales" if entry.gross > 0 else "netTradesPurchases"] += entry.gross
        moved["commissions"] += entry.commission
        moved["withholdingTax"] += entry.tax
    return moved


def _enter(books: _Books, entry: Entry, instruments: Mapping[int, Instrument]) -> None:
    books.cash[entry.currency] += entry.net
    if entry.exchanged:
        books.cash[entry.exchanged[0]] += entry.exchanged[1]
    if entry.conid is None:
        return
    holding = books.holdings.setdefault(entry.conid, Holding(instruments[entry.conid]))
    if not holding.quantity:
        books.opened_on[entry.conid] = entry.on
    if entry.ratio is not None:
        holding.lots = deque((quantity * entry.ratio, cost / entry.ratio) for quantity, cost in holding.lots)
        holding.quantity += entry.quantity
    elif entry.kind in ("buy", "sell") and entry.price is not None:
        holding.trade(entry.quantity, entry.price, entry.commission)


Change = tuple[date, str, Decimal]


def _cash_changes(entries: Iterable[Entry]) -> list[Change]:
    changes = []
    for entry in entries:
        changes.append((entry.on, entry.currency, entry.net))
        if entry.exchanged:
            changes.append((entry.on, *entry.exchanged))
    return changes


def _accrual_changes(accruals: Iterable[Accrual]) -> list[Change]:
    """When how much begins to be accrued, and when it ceases to be because it is paid."""
    changes = []
    for accrual in accruals:
        changes.append((accrual.on, accrual.currency, accrual.amount))
        changes.append((accrual.paid_on, accrual.currency, -accrual.amount))
    return changes


def _swept(changes: list[Change], days: list[date]) -> Iterator[dict[str, Decimal]]:
    """The sums by currency at the end of each of the days, which are in order."""
    left = sorted(changes, key=lambda change: change[0], reverse=True)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for day in days:
        while left and left[-1][0] <= day:
            _, currency, amount = left.pop()
            totals[currency] += amount
        yield dict(totals)


def _transaction(entry: Entry, part: int) -> int:
    return 20_000_000_000 + entry.number * 10 + part


def _text(value: object) -> str:
    """A number without exponent and trailing zeros, as IBKR writes it."""
    if not isinstance(value, Decimal):
        return str(value)
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text or "0"
