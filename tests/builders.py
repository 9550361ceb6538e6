"""IBKR's JSON and ledger types for tests: each builder names what matters and defaults the rest.

Rows of JSON have the shapes of IBKR's own answers. Numbers may be given as texts; they become Decimal, as
the client decodes them.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger import types
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.services.brokers.base import Answer, Raw

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday
Row = dict[str, Any]


def exact(value: str | Decimal | None) -> Decimal | None:
    return None if value is None else Decimal(value)


# IBKR's JSON


def answer(
    endpoint: str, body: Any, account: str | None = None, at: datetime = NOW, **request: Any
) -> Answer:
    return Answer(endpoint, account, request, body, at)


def raw(*answers: Answer, at: datetime = NOW) -> Raw:
    return Raw(login="", fetched_at=at, answers=list(answers))


def ibkr_account(account: str = "U1", currency: str | None = "EUR", **more: Any) -> Row:
    return {
        "id": account,
        "accountId": account,
        "accountVan": account,
        "accountAlias": None,
        "accountStatus": 1644814800000,
        "currency": currency,
        "type": "INDIVIDUAL",
        **more,
    }


def ibkr_position(conid: int | str = 8314, position: str = "12", price: str = "185", **more: Any) -> Row:
    """A row of /portfolio/{account}/positions/{page}, with contract data (warm)."""
    value = Decimal(position) * Decimal(price)
    return {
        "acctId": "U1",
        "conid": conid,
        "contractDesc": "IBM",
        "position": Decimal(position),
        "mktPrice": Decimal(price),
        "mktValue": value,
        "currency": "USD",
        "avgCost": Decimal(144),
        "avgPrice": Decimal(144),
        "realizedPnl": Decimal(0),
        "unrealizedPnl": value - Decimal(position) * 144,
        "expiry": None,
        "putOrCall": None,
        "multiplier": Decimal(0),
        "strike": "0",
        "assetClass": "STK",
        "undConid": 0,
        "model": "",
        "listingExchange": "NYSE",
        "countryCode": "US",
        "name": "INTL BUSINESS MACHINES CORP",
        "group": "Computers",
        "sector": "Technology",
        "ticker": "IBM",
        "type": "COMMON",
        "fullName": "IBM",
        **more,
    }


def ibkr_fresh(conid: int | str = "8314", position: str = "12", price: str = "185", **more: Any) -> Row:
    """A row of /portfolio2/{account}/positions; its value and profit follow from price and quantity."""
    value = Decimal(position) * Decimal(price)
    return {
        "position": Decimal(position),
        "conid": str(conid),
        "avgCost": Decimal(144),
        "avgPrice": Decimal(144),
        "currency": "USD",
        "description": "IBM",
        "marketPrice": Decimal(price),
        "marketValue": value,
        "realizedPnl": Decimal(0),
        "secType": "STK",
        "timestamp": int(NOW.timestamp()),
        "unrealizedPnl": value - Decimal(position) * 144,
        "assetClass": "STK",
        "sector": "Technology",
        "group": "Computers",
        "model": "",
        **more,
    }


def ibkr_definition(conid: int = 8314, **more: Any) -> Row:
    """A row of /trsrv/secdef."""
    return {
        "conid": conid,
        "currency": "USD",
        "name": "INTL BUSINESS MACHINES CORP",
        "fullName": "IBM",
        "ticker": "IBM",
        "assetClass": "STK",
        "type": "COMMON",
        "sector": "Technology",
        "group": "Computers",
        "expiry": None,
        "putOrCall": None,
        "strike": "0",
        "undConid": 0,
        "multiplier": Decimal(0),
        "listingExchange": "NYSE",
        "countryCode": "US",
        **more,
    }


def ibkr_cash(amount: str = "0", rate: str = "1", **more: Any) -> Row:
    """The row of one currency in /portfolio/{account}/ledger."""
    return {
        "cashbalance": Decimal(amount),
        "settledcash": Decimal(amount),
        "exchangerate": Decimal(rate),
        "netliquidationvalue": Decimal(amount),
        "interest": Decimal(0),
        "dividends": Decimal(0),
        "futuresonlypnl": Decimal(0),
        "timestamp": int(NOW.timestamp()),
        "severity": 0,
        **more,
    }


def ibkr_ledger(rows: Mapping[str, Row], account: str = "U1", at: datetime = NOW) -> Answer:
    """A complete ledger: its BASE row is the sum of the others at their rates."""
    base = sum((row["cashbalance"] * row["exchangerate"] for row in rows.values()), Decimal(0))
    body = {**rows, "BASE": ibkr_cash(str(base))}
    return answer(f"GET portfolio/{account}/ledger", body, account, at)


def ibkr_figure(amount: str = "0", currency: str | None = "EUR", **more: Any) -> Row:
    """One figure of /portfolio/{account}/summary."""
    return {
        "amount": Decimal(amount),
        "currency": currency,
        "isNull": False,
        "timestamp": int(NOW.timestamp() * 1000),
        "value": None,
        "severity": 0,
        **more,
    }


def ibkr_transaction(kind: str = "Buy", quantity: str = "4", price: str = "100", **more: Any) -> Row:
    """A row of /pa/transactions; its amount is minus quantity × price."""
    return {
        "cur": "USD",
        "date": "Mon Mar 02 00:00:00 EST 2026",
        "rawDate": "20260302",
        "fxRate": Decimal(1),
        "pr": Decimal(price),
        "qty": Decimal(quantity),
        "acctid": "U1",
        "amt": -Decimal(quantity) * Decimal(price),
        "conid": 8314,
        "type": kind,
        "desc": "INTL BUSINESS MACHINES CORP",
        **more,
    }


def ibkr_transactions(
    rows: Sequence[Any], conid: int = 8314, account: str = "U1", currency: str = "USD", **more: Any
) -> Answer:
    """The answer of /pa/transactions for one conid; it covers 2025-12-04 to 2026-03-04."""
    body = {
        "rc": 0,
        "nd": 90,
        "currency": currency,
        "from": 1764806400000,
        "to": 1772582400000,
        "id": "getTransactions",
        "includesRealTime": True,
        "transactions": list(rows),
        **more,
    }
    asked: Row = {"acctIds": [account], "conids": [str(conid)], "currency": currency, "days": 90}
    return answer("POST pa/transactions", body, account, **asked)


def ibkr_performance(days: Mapping[str, str], account: str = "U1", **more: Any) -> Answer:
    """The answer of /pa/performance with these values, by yyyymmdd."""
    series = {
        "id": account,
        "idType": "acctid",
        "baseCurrency": "EUR",
        "navs": [*map(Decimal, days.values())],
    }
    body = {"nav": {"freq": "D", "dates": [*days], "data": [series | more]}, "id": "getPerformanceData"}
    return answer("POST pa/performance", body, account, acctIds=[account], period="1Y")


def ibkr_answers(
    fresh: Sequence[Any] = (),
    cached: Sequence[Any] | None = None,
    definitions: Iterable[Row] = (),
    cash: Mapping[str, Row] | None = None,
    account: str = "U1",
    currency: str = "EUR",
    complete: bool = True,
    at: datetime = NOW,
) -> list[Answer]:
    """What a sync of one account asks for, without what costs time: /pa/* and the summary."""
    answers = [
        answer("GET portfolio/accounts", [ibkr_account(account, currency)], at=at),
        answer(f"GET portfolio/{account}/meta", ibkr_account(account, currency), account, at),
        ibkr_ledger({currency: ibkr_cash()} if cash is None else cash, account, at),
    ]
    if cached is not None:
        answers.append(answer(f"GET portfolio/{account}/positions/0", list(cached), account, at, attempt=1))
    answers.append(answer(f"GET portfolio2/{account}/positions", list(fresh), account, at, complete=complete))
    if definitions:
        answers.append(answer("GET trsrv/secdef", {"secdef": list(definitions)}, at=at))
    return answers


def shuffled(answers: Iterable[Answer], seed: int) -> list[Answer]:
    """The same answers, each with the rows of its lists in another order."""
    chance = random.Random(seed)

    def mixed(body: Any) -> Any:
        if isinstance(body, list):
            return chance.sample(body, len(body))
        if isinstance(body, dict):
            keys = chance.sample(list(body), len(body))
            return {key: mixed(body[key]) if isinstance(body[key], list) else body[key] for key in keys}
        return body

    return [replace(one, body=mixed(one.body)) for one in answers]


# Ledger types


def account(name: str = "U1", currency: str = "EUR", **more: Any) -> types.Account:
    return types.Account(name, currency, **more)


def instrument(ref: str = "1", currency: str = "EUR", **more: Any) -> types.Instrument:
    described = {"symbol": f"S{ref}", "name": f"Share {ref}", "asset_class": AssetClass.STOCK, **more}
    return types.Instrument(ref, currency=currency, **described)


def position(
    ref: str = "1", quantity: str = "10", cost: str | None = "100", account: str = "U1", **more: Any
) -> types.Position:
    """A position at a price of 12."""
    value = Decimal(quantity) * 12
    figures = {
        "price": Decimal(12),
        "market_value": value,
        "exposure": value,
        "average_cost": None,
        "unrealized_pnl": None,
        "priced_at": NOW,
        **more,
    }
    return types.Position(account, ref, Decimal(quantity), cost_basis=exact(cost), **figures)


def cash(amount: str = "0", currency: str = "EUR", account: str = "U1", **more: Any) -> types.CashBalance:
    return types.CashBalance(account, currency, Decimal(amount), **more)


def activity(
    kind: ActivityKind = ActivityKind.BUY,
    on: date = date(2026, 3, 2),
    quantity: str | None = None,
    price: str | None = None,
    *,
    key: str | None = None,
    ref: str | None = "1",
    account: str = "U1",
    currency: str = "EUR",
    **more: Any,
) -> types.Activity:
    """An activity; without a key, the key is all that was given. Amounts may be texts."""
    amounts: dict[str, Any] = {
        name: exact(value) if name in ("gross", "fee", "tax", "cost", "fx_rate") else value
        for name, value in more.items()
    }
    return types.Activity(
        account=account,
        key=key or f"{kind}:{on}:{ref}:{quantity}:{price}",
        source="web-api",
        kind=kind,
        trade_date=on,
        currency=currency,
        broker_ref=ref,
        quantity=exact(quantity),
        price=exact(price),
        **amounts,
    )


def buy(quantity: str, price: str | None = None, on: date = date(2026, 3, 2), **more: Any) -> types.Activity:
    return activity(ActivityKind.BUY, on, quantity, price, **more)


def sell(quantity: str, price: str | None = None, on: date = date(2026, 3, 2), **more: Any) -> types.Activity:
    """`quantity` is positive; the activity's is negative."""
    return activity(ActivityKind.SELL, on, f"-{quantity}", price, **more)


def batch(
    positions: Sequence[types.Position] | None = (),
    *,
    at: datetime = NOW,
    broker: str = "ibkr",
    cash: Sequence[types.CashBalance] | None = (),
    **more: Any,
) -> types.Batch:
    """One run of the account U1 with complete lists, None for a list that did not come.

    Accounts and instruments that rows name are described unless given.
    """
    rows = [*(positions or ()), *more.get("partial_positions", ()), *more.get("activities", ())]
    rows += more.get("coverage", ())
    refs = sorted({row.broker_ref for row in rows if row.broker_ref is not None})
    described = {"accounts": (account(),), "instruments": tuple(instrument(ref) for ref in refs), **more}
    return types.Batch(
        broker=broker,
        login="",
        fetched_at=at,
        positions={} if positions is None else {"U1": tuple(positions)},
        cash={} if cash is None else {"U1": tuple(cash)},
        **described,
    )
