"""Rows to activities: trades, cash, corporate actions, transfers. One function each; no row knows another.

IBKR's signs are ours: quantities are signed, cash into the account is positive, commissions and taxes
are negative when they cost.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from stonks_overwatch.ledger.types import SETTLEMENT, Activity, ActivityKind
from stonks_overwatch.services.brokers.ibkr.statements import words
from stonks_overwatch.services.brokers.ibkr.statements.instruments import Instruments, pair
from stonks_overwatch.services.brokers.ibkr.statements.rows import Row, RowError

SOURCE = "flex"
CONFIRMATIONS = "flex-confirmations"  # the same day's trades, final only in the next day's statement
SUMMARIES = "flex-summaries"  # sums of what the best level of detail tells one by one
FUNDS = "flex-funds"  # stands in for cash transactions that the query leaves out

_ZERO, _ONE = Decimal(0), Decimal(1)
# The event a payment belongs to: its text without who taxed it or what kind of dividend it was.
_STEM_END = re.compile(r"\s*(?:\([^()]*\)|- [A-Z]{2} TAX|- FEE|- REVERSAL)\s*$", re.IGNORECASE)
_INTEREST_MONTH = re.compile(
    r"\b([A-Z]{3}) (?:CREDIT|DEBIT) INT(?:EREST)? FOR ([A-Z]{3}-\d{4})", re.IGNORECASE
)
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Told:
    """What one row came to: its activities, all but the counter of keys made of content."""

    activities: tuple[Activity, ...]
    needs_counter: bool = False


def content_key(section: str, *parts: object) -> str:
    """A key for a row without a number of IBKR's, made of figures that every query tells.

    Not of more: a query with fewer fields would tell the same row under another key.
    """
    text = "\x1f".join("" if part is None else _plain(part) for part in parts)
    return f"{section}:{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def _plain(part: object) -> str:
    """One text per value: 4.0 and 4.00 are 4."""
    if not isinstance(part, Decimal):
        return str(part)
    text = format(part, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text or "0"


def trade(row: Row, account: str, source: str, instruments: Instruments) -> Told:
    """A fill, or the sum of an order's fills. Raises: RowError."""
    money = row.currency()
    if money is None:
        raise RowError("the row has no currency")
    code, unit = money
    quantity = row.number("quantity")
    if quantity is None:
        raise RowError("the row has no quantity")
    is_buy, is_cancelled = _side(row, quantity)
    quantity = -abs(quantity) if is_cancelled is is_buy else abs(quantity)
    traded_on, traded_at = _traded(row)
    booked_on = row.day("reportDate")
    trade_date = traded_on or booked_on
    if trade_date is None:
        raise RowError("the row has no date")

    asset = row.text("assetCategory")
    price = row.number("tradePrice", "price")
    fee, tax = row.number("ibCommission", "commission"), row.number("taxes", "tax")
    fee_money = row.currency("ibCommissionCurrency") or row.currency("commissionCurrency") or money
    currencies = pair(row) if asset in ("CASH", None) else None
    if currencies:
        ref: str | None = instruments.note_currency(_exchanged(currencies, code))
        kind = ActivityKind.FX
    else:
        ref = instruments.note(row)
        kind = ActivityKind.BUY if is_buy else ActivityKind.SELL
        if ref is None:
            raise RowError("the row names no instrument")
        instruments.note_ratio(ref, row.number("tradeMoney", "amount"), quantity, price)
    subtype = _trade_subtype(row, is_cancelled)
    number, transaction = row.ident("tradeID"), row.ident("transactionID")
    execution = row.ident("ibExecID", "execID")
    refs = tuple(
        f"{name}:{value}"
        for name, value in (("trade", number), ("transaction", transaction), ("execution", execution))
        if value
    )
    if number or transaction:
        key = f"trade:{number or ''}/{transaction or ''}"
    elif execution:
        key = f"execution:{execution}"
    else:
        key = content_key("trade", ref, trade_date, code, quantity, price, is_cancelled)
    # The commission of a currency exchange is often in a third currency: its money moves on its own.
    is_apart = bool(fee) and fee_money[0] != code
    own_fee = _ZERO if is_apart else fee
    gross = _gross(row, asset, quantity, price, own_fee, tax, is_exchange=currencies is not None)
    original = row.ident("origTradeID"), row.ident("origTransactionID")
    reverses = _original(*original) if is_cancelled else None
    rate = row.number("fxRateToBase")
    activity = Activity(
        account=account,
        key=key,
        source=source,
        kind=kind,
        trade_date=trade_date,
        currency=code,
        broker_ref=ref,
        trade_at=traded_at,
        settlement_date=row.day("settleDateTarget", "settleDate"),
        quantity=quantity,
        price=_in(price, unit),
        gross=_in(gross, unit),
        fee=_in(own_fee, unit),
        tax=_in(tax, unit),
        fx_rate=rate / unit if rate and rate > 0 else None,
        description=row.text("description") or "",
        subtype=subtype,
        group=reverses or _exercise(row, subtype, trade_date, price),
        booked_on=booked_on,
        cost=_in(row.number("cost"), unit),
        realized_pnl=_in(row.number("fifoPnlRealized"), unit),
        refs=refs,
        reverses=reverses,
    )
    if fee is None or not is_apart:
        return Told((activity,), needs_counter=not refs)
    commission = Activity(
        account=account,
        key=f"{key}/commission",
        source=source,
        kind=ActivityKind.FEE,
        trade_date=trade_date,
        currency=fee_money[0],
        trade_at=traded_at,
        settlement_date=activity.settlement_date,
        gross=fee * fee_money[1],
        description=f"Commission: {activity.description}",
        subtype="commission",
        group=f"commission:{key}",
        booked_on=booked_on,
        refs=tuple(f"{name}/commission" for name in refs),
    )
    return Told((activity, commission), needs_counter=not refs)


def _side(row: Row, quantity: Decimal) -> tuple[bool, bool]:
    """Whether the row is of a purchase, and whether it takes one back. Raises: RowError."""
    side = (row.text("buySell") or "").upper()
    is_cancelled = words.CANCELLED.upper() in side or (
        words.TRANSACTION_TYPES.get(row.text("transactionType") or "") == "cancellation"
    )
    if side.startswith(("BUY", "BOT", "B ")) or side == "B":
        return True, is_cancelled
    if side.startswith(("SELL", "SLD", "SSHORT")) or side == "S":
        return False, is_cancelled
    if side:
        raise RowError(f"buySell {side!r} is neither a purchase nor a sale")
    if not quantity:
        raise RowError("the row is neither a purchase nor a sale")
    # Taking back a purchase takes the quantity away.
    return (quantity > 0) is not is_cancelled, is_cancelled


def _traded(row: Row) -> tuple[date | None, datetime | None]:
    """The market's day and the moment. `dateTime` may be a booking time; `tradeDate` is the day agreed on."""
    day, moment = row.moment("dateTime")
    if "tradeDate" in row.told:
        traded_on, at = row.moment("tradeDate", "tradeTime")
        return traded_on or day, moment or at
    if day is None and len(row.text("tradeTime") or "") > len("HH:mm:ss"):
        return row.moment("tradeTime")
    return day, moment


def _exchanged(currencies: tuple[str, str], code: str) -> str:
    """The currency that `quantity` counts: the one of the pair that is not paid with. Raises: RowError."""
    base, quote = currencies
    if code != quote:
        raise RowError(f"the pair {base}.{quote} is not priced in {code}")
    return base


def _gross(
    row: Row,
    asset: str | None,
    quantity: Decimal,
    price: Decimal | None,
    fee: Decimal | None,
    tax: Decimal | None,
    *,
    is_exchange: bool,
) -> Decimal | None:
    """The cash effect before commission and tax, from the best field that tells it."""
    proceeds, net = row.number("proceeds"), row.number("netCash")
    if asset in words.MARGINED:
        # `proceeds` is the notional there. Without `netCash`: such a trade moves no cash of its own.
        return _ZERO if net is None else net - (fee or 0) - (tax or 0)
    if proceeds is not None:
        return proceeds
    if net is not None and not is_exchange:
        return net - (fee or 0) - (tax or 0)
    money = row.number("tradeMoney", "amount")
    if money is not None:
        return -abs(money) if quantity > 0 else abs(money)
    if price is None:
        return None
    if asset in ("BOND", "BILL"):
        return -quantity * price / 100
    return -quantity * price * (row.number("multiplier") or 1)


def _trade_subtype(row: Row, is_cancelled: bool) -> str:
    """What the notes and the transaction type say of how the trade came about."""
    if is_cancelled:
        return "cancellation"
    kind = words.TRANSACTION_TYPES.get((row.text("transactionType") or ""), "")
    notes = row.text("notes", "code")
    if not notes:
        return kind
    codes = set(_codes(notes))
    if kind == "correction" or "Co" in codes:
        return "correction"
    return next((subtype for note, subtype in words.TRADE_SUBTYPES.items() if note in codes), kind)


def _codes(notes: str) -> list[str]:
    return [code for code in re.split(r"[;,\s]+", notes) if code]


def unknown_codes(row: Row) -> list[tuple[str, str]]:
    """Field and word of what no table has: notes, transaction types."""
    unknown = []
    notes = row.text("notes", "code")
    if notes:
        unknown += [("notes", code) for code in _codes(notes) if code not in words.CODES]
    kind = row.text("transactionType")
    if kind and kind not in words.TRANSACTION_TYPES:
        unknown.append(("transactionType", kind))
    return unknown


def _exercise(row: Row, subtype: str, day: date, price: Decimal | None) -> str | None:
    """What ties the option that was exercised to the purchase or sale of its underlying at the strike."""
    if subtype not in words.EXERCISES:
        return None
    is_option = row.text("putCall") is not None
    names = ("underlyingConid", "underlyingSymbol") if is_option else ("conid", "symbol")
    underlying, strike = row.text(*names), row.number("strike") if is_option else price
    if underlying is None or strike is None:
        return None
    return f"exercise:{underlying}:{day.isoformat()}:{_plain(strike)}"


def _original(trade_number: str | None, transaction: str | None) -> str | None:
    if trade_number:
        return f"trade:{trade_number}"
    return f"transaction:{transaction}" if transaction else None


def cash(row: Row, account: str, source: str, instruments: Instruments) -> Told:
    """A movement of cash that is no trade. Raises: RowError."""
    money = row.currency()
    amount = row.number("amount")
    if money is None or amount is None:
        raise RowError("the row has no currency" if money is None else "the row has no amount")
    code, unit = money
    day, moment = row.moment("dateTime")
    settled_on, booked_on = row.day("settleDate"), row.day("reportDate")
    trade_date = day or row.day("date") or settled_on or booked_on
    if trade_date is None:
        raise RowError("the row has no date")
    word = row.text("type") or ""
    description = row.text("description") or ""
    kind, subtype = cash_kind(word, amount, description)
    ref = None if row.text("assetCategory") == "CASH" else instruments.note(row)
    transaction = row.ident("transactionID")
    key = f"cash:{transaction}" if transaction else content_key("cash", kind, ref, trade_date, code, amount)
    rate = row.number("fxRateToBase")
    activity = Activity(
        account=account,
        key=key,
        source=source,
        kind=kind,
        trade_date=trade_date,
        currency=code,
        broker_ref=ref,
        trade_at=moment,
        settlement_date=settled_on,
        gross=_in(amount, unit),
        fx_rate=rate / unit if rate and rate > 0 else None,
        description=description,
        subtype=subtype,
        group=_payment(row, kind, ref, trade_date, description),
        booked_on=booked_on,
        ex_date=row.day("exDate"),
        refs=(f"transaction:{transaction}",) if transaction else (),
    )
    return Told((activity,), needs_counter=not transaction)


def told_by(row: Row) -> str | None:
    """The section that tells in full what a line of the statement of funds tells; None for no event."""
    if not row.number("amount") or row.text("activityDescription") in words.FUND_BALANCES:
        return None
    code = (row.text("activityCode") or "").upper()
    if code in words.FUND_TYPES:
        return "CashTransactions"
    is_trade = row.ident("tradeID") or row.text("buySell")
    return words.FUND_SECTIONS.get(code, "Trades" if is_trade else "CashTransactions")


def funds(row: Row, account: str, instruments: Instruments) -> Told:
    """A line of the statement of funds that tells what a cash transaction tells. Raises: RowError."""
    code = (row.text("activityCode") or "").upper()
    word = words.FUND_TYPES.get(code)
    description = row.text("activityDescription") or ""
    return cash(row.with_fields(type=word or code, description=description), account, FUNDS, instruments)


def is_settlement(row: Row) -> bool:
    """Whether a line of the statement of funds is what futures and CFDs brought on one day."""
    return words.FUND_SETTLEMENT.search(row.text("activityDescription") or "") is not None


def cash_kind(word: str, amount: Decimal, description: str) -> tuple[ActivityKind, str]:
    known = words.CASH_TYPES.get(word.lower())
    if known is None:
        guessed = next((kind for part, kind in words.CASH_WORDS if part in word.lower()), ActivityKind.OTHER)
        if "deposit" in word.lower() or "withdrawal" in word.lower():
            guessed = ActivityKind.WITHDRAWAL if amount < 0 else ActivityKind.DEPOSIT
        return guessed, word.lower()
    kind = known.outflow if known.outflow and amount < 0 else known.kind
    for text, subtype in words.DESCRIPTIONS.get(kind, ()):
        if text.search(description):
            if subtype == "borrow fee":
                kind = ActivityKind.FEE
            return kind, subtype
    return kind, known.subtype


def _payment(row: Row, kind: ActivityKind, ref: str | None, day: date, description: str) -> str | None:
    """What a dividend and its tax, or interest and its tax, have in common."""
    action = row.ident("actionID")
    if action:
        return f"action:{action}"
    if interest := _INTEREST_MONTH.search(description):
        return f"interest:{interest[1].upper()}:{interest[2].upper()}"
    is_payment = kind in (ActivityKind.DIVIDEND, ActivityKind.TAX) or description.endswith("- FEE")
    if ref is None or not is_payment:
        trade_number = row.ident("tradeID")
        return f"trade:{trade_number}" if trade_number else None
    stem = _STEM_END.sub("", _BLANKS.sub(" ", description)).upper()
    return f"payment:{ref}:{day.isoformat()}:{stem}"


def corporate_action(row: Row, account: str, source: str, instruments: Instruments) -> Told:
    """One leg of a corporate action: what comes in is positive, what goes out negative. Raises: RowError."""
    money = row.currency()
    if money is None:
        raise RowError("the row has no currency")
    code, unit = money
    day, moment = row.moment("dateTime")
    booked_on = row.day("reportDate")
    trade_date = day or row.day("date") or booked_on
    if trade_date is None:
        raise RowError("the row has no date")
    ref = instruments.note(row)
    if ref is None:
        raise RowError("the row names no instrument")
    quantity = row.number("quantity") or _ZERO
    proceeds, amount = row.number("proceeds"), row.number("amount")
    gross = proceeds if proceeds is not None else -amount if amount is not None else None
    word = row.text("type") or ""
    description = row.text("description", "actionDescription") or ""
    kind, subtype = action_kind(word, description, quantity, gross)
    action, transaction = row.ident("actionID"), row.ident("transactionID")
    key = (
        f"action:{action or ''}/{transaction}"
        if transaction
        else content_key("action", kind, ref, trade_date, code, quantity, gross)
    )
    activity = Activity(
        account=account,
        key=key,
        source=source,
        kind=kind,
        trade_date=trade_date,
        currency=code,
        broker_ref=ref,
        trade_at=moment,
        quantity=quantity,
        gross=_in(gross, unit),
        fx_rate=_rate(row, unit),
        description=description,
        subtype=subtype,
        group=f"action:{action}" if action else _event(word, trade_date, description),
        booked_on=booked_on,
        ex_date=row.day("exDate"),
        value=_in(row.number("value"), unit),
        cost=_in(row.number("cost"), unit),
        realized_pnl=_in(row.number("fifoPnlRealized"), unit),
        refs=(f"transaction:{transaction}",) if transaction else (),
    )
    return Told((activity,), needs_counter=not transaction)


def action_kind(
    word: str, description: str, quantity: Decimal, gross: Decimal | None
) -> tuple[ActivityKind, str]:
    known = words.ACTION_TYPES.get(word)
    if known is None:
        known = next((kind for text, kind in words.ACTION_DESCRIPTIONS if text.search(description)), None)
    if known is None:
        return ActivityKind.CORPORATE_ACTION, word.lower()
    if known.kind in (ActivityKind.DIVIDEND, ActivityKind.INTEREST, ActivityKind.FEE) and (
        quantity or not gross
    ):
        return ActivityKind.CORPORATE_ACTION, known.subtype
    if known.kind is ActivityKind.SPLIT and not known.subtype.startswith("contract"):
        is_reverse = _is_reverse_split(description)
        return ActivityKind.SPLIT, "reverse split" if is_reverse else known.subtype
    return known.kind, known.subtype


_RATIO = re.compile(r"\bSPLIT\s+(?P<new>[\d.]+)\s+FOR\s+(?P<old>[\d.]+)", re.IGNORECASE)


def _is_reverse_split(description: str) -> bool:
    ratio = _RATIO.search(description)
    return ratio is not None and Decimal(ratio["new"]) < Decimal(ratio["old"])


def _event(word: str, day: date, description: str) -> str:
    """The legs of an action without a number share its day and its text up to the leg's own security."""
    stem = _STEM_END.sub("", _BLANKS.sub(" ", description)).upper()
    return f"action:{word}:{day.isoformat()}:{stem}"


def transfer(row: Row, account: str, source: str, instruments: Instruments) -> Told:
    """Securities or cash from or to another account. Raises: RowError."""
    money = row.currency()
    if money is None:
        raise RowError("the row has no currency")
    code, unit = money
    day, moment = row.moment("dateTime")
    booked_on = row.day("reportDate")
    trade_date = day or row.day("date") or booked_on
    if trade_date is None:
        raise RowError("the row has no date")
    quantity, amount = row.number("quantity") or _ZERO, row.number("cashTransfer") or _ZERO
    value = row.number("positionAmount")
    is_cash = row.text("assetCategory") == "CASH" or (not quantity and bool(amount))
    if is_cash and not amount:
        amount, value = value or quantity, None
    if not quantity and not amount:
        raise RowError("the row has neither a quantity nor an amount")
    direction = (row.text("direction") or "").upper()
    is_in = direction == "IN" if direction in ("IN", "OUT") else (amount if is_cash else quantity) > 0
    sign = 1 if is_in else -1
    ref = None if is_cash else instruments.note(row)
    if ref is None and not is_cash:
        raise RowError("the row names no instrument")
    moved = None if is_cash else abs(quantity) * sign
    gross = abs(amount) * sign if is_cash else amount or None
    transaction = row.ident("transactionID")
    other = row.text("account", "deliveringBroker", "company")
    word = (row.text("type") or "").lower()
    key = (
        f"transfer:{transaction}"
        if transaction
        else content_key("transfer", ref, trade_date, code, moved, gross)
    )
    acquired_on = row.day("holdingPeriodDateTime", "openDateTime")
    activity = Activity(
        account=account,
        key=key,
        source=source,
        kind=ActivityKind.TRANSFER_IN if is_in else ActivityKind.TRANSFER_OUT,
        trade_date=trade_date,
        currency=code,
        broker_ref=ref,
        trade_at=moment,
        settlement_date=row.day("settleDate"),
        quantity=moved,
        price=_in(row.number("transferPrice") or None, unit),
        gross=_in(gross, unit),
        fx_rate=_rate(row, unit),
        description=row.text("description") or "",
        subtype=f"{word} cash" if is_cash else word,
        group=_both_sides(account, other, trade_date, ref or code, abs(moved or gross or _ZERO)),
        booked_on=booked_on,
        acquired_on=acquired_on,
        value=None if value is None else abs(value) * sign * unit,
        cost=_in(row.number("cost"), unit),
        refs=(f"transaction:{transaction}",) if transaction else (),
    )
    return Told((activity,), needs_counter=not transaction)


def _both_sides(account: str, other: str | None, day: date, what: str, size: Decimal) -> str | None:
    """The same for the account that gives and the one that gets."""
    if other is None:
        return None
    return f"transfer:{day.isoformat()}:{what}:{_plain(size)}:{':'.join(sorted((account, other)))}"


def charge(row: Row, account: str, source: str, kept_in: str | None, instruments: Instruments) -> Told:
    """Cash that a section of its own tells, and the cash transactions may tell as well.

    `kept_in` is the account's currency, that of rows told in it. Raises: RowError.
    """
    kind, subtype, field, text = {
        "SalesTax": (ActivityKind.TAX, "sales tax", "salesTax", "taxableDescription"),
        "TransactionTax": (ActivityKind.TAX, "transaction tax", "taxAmount", "taxDescription"),
        "TransactionTaxDetail": (ActivityKind.TAX, "transaction tax", "taxAmount", "taxDescription"),
        "CFDCharge": (ActivityKind.INTEREST, "cfd financing", "total", "activityDescription"),
        "DebitCardActivity": (ActivityKind.WITHDRAWAL, "debit card", "amount", "merchantNameLocation"),
        "ClientFee": (ActivityKind.FEE, "client fee", "net", "description"),
        "HardToBorrowDetail": (ActivityKind.FEE, "borrow fee", "borrowFee", "description"),
        "SLBFee": (ActivityKind.INTEREST, "stock loan", "netLendFee", "description"),
    }[row.tag]
    amount = row.number(field)
    if amount is None:
        raise RowError("the row has no amount")
    if row.tag == "DebitCardActivity" and amount > 0:
        kind = ActivityKind.DEPOSIT
    code, unit = row.currency() or (kept_in, _ONE)
    if code is None:
        raise RowError("the row has no currency")
    booked_on = row.day("reportDate")
    trade_date = row.day("date", "postingDate", "valueDate") or booked_on
    if trade_date is None:
        raise RowError("the row has no date")
    ref = instruments.note(row)
    transaction, number = row.ident("transactionID"), row.ident("tradeId", "tradeID")
    description = row.text(text) or ""
    key = (
        f"charge:{transaction}"
        if transaction
        else content_key("charge", row.tag, ref, trade_date, code, amount)
    )
    activity = Activity(
        account=account,
        key=key,
        source=source,
        kind=kind,
        trade_date=trade_date,
        currency=code,
        broker_ref=ref,
        gross=amount * unit,
        fx_rate=_rate(row, unit),
        description=description,
        subtype=subtype,
        group=f"trade:{number}" if number else None,
        booked_on=booked_on,
        refs=(f"transaction:{transaction}",) if transaction else (),
    )
    return Told((activity,), needs_counter=not transaction)


def settlement(row: Row, account: str) -> Activity | None:
    """What futures and CFDs brought in cash over a statement's days, told in sum by the cash report.

    It took place from `trade_date` to `booked_on`. None where there was nothing. Raises: RowError.
    """
    money, amount = row.currency(), row.number("cashSettlingMtm")
    since = row.day("fromDate") or row.statement.since
    until = row.day("toDate") or row.statement.until
    if money is None or not amount or since is None or until is None:
        return None
    return _settled(account, money[0], since, until, amount * money[1])


def daily_settlement(row: Row, account: str) -> Activity | None:
    """What one contract brought in cash on one day, from the statement of funds. Raises: RowError."""
    money, amount, on = row.currency(), row.number("amount"), row.day("reportDate", "date")
    if money is None or not amount or on is None:
        return None
    return _settled(account, money[0], on, on, amount * money[1])


def _settled(account: str, code: str, since: date, until: date, amount: Decimal) -> Activity:
    return Activity(
        account=account,
        key=f"settlement:{code}:{since.isoformat()}:{until.isoformat()}",
        source=SOURCE,
        kind=ActivityKind.OTHER,
        trade_date=since,
        currency=code,
        gross=amount,
        description="Daily settlement of futures and CFDs",
        subtype=SETTLEMENT,
        booked_on=until,
    )


def _rate(row: Row, unit: Decimal) -> Decimal | None:
    """The account's currency for one unit of the row's; IBKR writes 0 or -1 where it has none."""
    rate = row.number("fxRateToBase")
    return rate / unit if rate and rate > 0 else None


def _in(value: Decimal | None, unit: Decimal) -> Decimal | None:
    return value if value is None or unit == 1 else value * unit
