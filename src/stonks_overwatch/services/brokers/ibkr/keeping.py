"""What IBKR said, into IBKR's own tables: the raw answers first, then the rows that can be typed.

A row that cannot be typed is in its raw answer all the same; transforming.py tells the user about it.
"""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, models, transaction
from django.db.models import F, Window
from django.db.models.functions import RowNumber, TruncDate

from stonks_overwatch.services.brokers.base import Answer, Raw
from stonks_overwatch.services.brokers.ibkr.repositories.models import (
    IbkrAccount,
    IbkrAnswer,
    IbkrContract,
    IbkrLedger,
    IbkrPerformance,
    IbkrPosition,
    IbkrTransaction,
)
from stonks_overwatch.services.brokers.ibkr.rows import conid, number, text
from stonks_overwatch.services.brokers.ibkr.values import Row, UntypedError, nav_series, plain_text

STATE = "GET portfolio"
"""How the endpoints begin whose answer is a state: of a past day its last one is enough."""

Key = tuple[int, str]  # conid and model


def keep(raw: Raw) -> None:
    """Write everything that one fetch brought, in one transaction. Doing it twice changes nothing."""
    with transaction.atomic():
        kept = [_keep_answer(raw.login, answer) for answer in raw.answers if answer.content]
        _forget_old_states(raw.login, raw.fetched_at)
        by_account = _sorted_by_account(raw)
        _keep_accounts(raw, by_account)
        for account, answers in by_account.items():
            _keep_positions(account, answers, raw.fetched_at)
            _keep_ledger(account, answers)
        for answer, identity in kept:
            if answer.endpoint == "GET trsrv/secdef":
                _keep_contracts(answer, identity)
            elif answer.endpoint == "POST pa/transactions":
                _keep_transactions(answer)
            elif answer.endpoint in ("POST pa/performance", "POST pa/allperiods"):
                _keep_performance(answer)


# --- the raw answers ------------------------------------------------------------------------------


def _keep_answer(login: str, answer: Answer) -> tuple[Answer, int]:
    """Store the bytes, or only the time when they are those of the last answer; returns the row's id."""
    request = json.dumps(
        {name: value for name, value in answer.request.items() if name != "attempt"},
        sort_keys=True,
        default=str,
    )
    digest = hashlib.sha256(answer.content).hexdigest()
    last = (
        IbkrAnswer.objects.filter(login=login, endpoint=answer.endpoint, request=request)
        .defer("content")
        .order_by("-fetched_at", "-id")
        .first()
    )
    if last is not None and last.digest == digest:
        last.last_seen_at = answer.fetched_at
        last.save(update_fields=["last_seen_at"])
        return answer, last.pk
    stored = IbkrAnswer.objects.create(
        login=login,
        endpoint=answer.endpoint,
        account=answer.account or "",
        request=request,
        content=zlib.compress(answer.content),
        digest=digest,
        fetched_at=answer.fetched_at,
        last_seen_at=answer.fetched_at,
    )
    return answer, stored.pk


def _forget_old_states(login: str, now: datetime) -> None:
    """Of the states of past days keep each day's last, and the first of all: openings are anchored there."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    same = [F("endpoint"), F("request")]
    numbered = IbkrAnswer.objects.filter(
        login=login, endpoint__startswith=STATE, fetched_at__lt=midnight
    ).annotate(
        from_last=Window(
            RowNumber(), partition_by=[*same, TruncDate("fetched_at")], order_by=F("fetched_at").desc()
        ),
        from_first=Window(RowNumber(), partition_by=same, order_by=F("fetched_at").asc()),
    )
    superfluous = list(numbered.filter(from_last__gt=1, from_first__gt=1).values_list("pk", flat=True))
    for start in range(0, len(superfluous), 500):
        IbkrAnswer.objects.filter(pk__in=superfluous[start : start + 500]).delete()


# --- accounts, positions, cash --------------------------------------------------------------------


@dataclass
class _AccountAnswers:
    """The answers of one account: the last of each kind, and all pages of positions."""

    about: Row = field(default_factory=dict)
    summary: Row = field(default_factory=dict)
    ledger: Answer | None = None
    pages: list[Answer] = field(default_factory=list)
    fresh: Answer | None = None


def _sorted_by_account(raw: Raw) -> dict[str, _AccountAnswers]:
    found: dict[str, _AccountAnswers] = {}
    for answer in raw.answers:
        if answer.account is None or not answer.endpoint.startswith(STATE):
            continue
        of = found.setdefault(answer.account, _AccountAnswers())
        what = answer.endpoint.split("/")[2]
        if answer.endpoint.startswith("GET portfolio2/"):
            of.fresh = answer
        elif what == "positions":
            of.pages.append(answer)
        elif what == "ledger":
            of.ledger = answer
        elif what == "meta":
            of.about = answer.body
        elif what == "summary":
            of.summary = answer.body
    return found


def _keep_accounts(raw: Raw, by_account: Mapping[str, _AccountAnswers]) -> None:
    listed: dict[str, Row] = {}
    for answer in raw.answers:
        if answer.endpoint == "GET portfolio/accounts":
            listed |= {text(row, "accountId", "id"): row for row in answer.body}

    def figure(summary: Row, name: str) -> Decimal | None:
        value = summary.get(name)
        if not isinstance(value, dict) or value.get("isNull") is True or value.get("isNone") is True:
            return None
        return number(value, "amount")

    def parent(row: Row) -> str:
        value = row.get("parent")
        return text(value, "accountId") if isinstance(value, dict) else ""

    rows = []
    for account, answers in by_account.items():
        row, summary = {**listed.get(account, {}), **answers.about}, answers.summary
        opened = number(row, "accountStatus")
        rows.append(
            {
                "login": raw.login,
                "account": account,
                "alias": text(row, "accountAlias"),
                "currency": text(row, "currency"),
                "type": text(row, "type"),
                "trading_type": text(row, "tradingType"),
                "business_type": text(row, "businessType"),
                "ib_entity": text(row, "ibEntity"),
                "clearing_status": text(row, "clearingStatus"),
                "parent": parent(row),
                "opened_at": None if not opened or opened < 10**11 else _from_ms(opened),
                "net_liquidation": figure(summary, "netliquidation"),
                "total_cash_value": figure(summary, "totalcashvalue"),
                "accrued_cash": figure(summary, "accruedcash"),
                "accrued_dividend": figure(summary, "accrueddividend"),
                "gross_position_value": figure(summary, "grosspositionvalue"),
                "fetched_at": raw.fetched_at,
            }
        )
    _write(IbkrAccount, ["login", "account"], rows)


def _keep_positions(account: str, answers: _AccountAnswers, now: datetime) -> None:
    cached = position_rows(account, answers.pages)
    fresh = position_rows(account, [answers.fresh] if answers.fresh else [])
    is_complete = answers.fresh is not None and answers.fresh.request.get("complete") is True
    if is_complete:
        cached = {key: row for key, row in cached.items() if key in fresh}
    before = {
        (row.conid, row.model): row
        for row in IbkrPosition.objects.filter(account=account).only(
            "conid", "model", "quantity", "changed_at", "gone_at"
        )
    }
    rows = []
    for key in {**cached, **fresh}:
        row = _position(account, key, cached.get(key, {}), fresh.get(key, {}))
        last = before.get(key)
        is_same = last is not None and last.gone_at is None and last.quantity == row["quantity"]
        rows.append(
            row
            | {
                "fetched_at": now,
                "changed_at": last.changed_at if last is not None and is_same else now,
                "gone_at": None,
            }
        )
    _write(IbkrPosition, ["account", "conid", "model"], rows)
    if is_complete:
        gone = [row.pk for key, row in before.items() if key not in fresh and row.gone_at is None]
        for start in range(0, len(gone), 500):
            IbkrPosition.objects.filter(pk__in=gone[start : start + 500]).update(gone_at=now, changed_at=now)


def position_rows(account: str, answers: Iterable[Answer]) -> dict[Key, Row]:
    """The rows of one account that name a contract, by contract and model; of two equal ones the later.

    A row of a segment (U1C beside U1) repeats what the account holds.
    """
    return {
        (number_, text(row, "model")): row
        for answer in answers
        for row in answer.body
        if (number_ := conid(row)) is not None and text(row, "acctId") in ("", account)
    }


def _position(account: str, key: Key, cached: Row, fresh: Row) -> dict[str, Any]:
    """One row of the table: figures from the fresh answer first, contract data from the cached one."""

    def figure(*names: str) -> Decimal | None:
        value = number(fresh, *names)
        return number(cached, *names) if value is None else value

    return {
        "account": account,
        "conid": key[0],
        "model": key[1],
        "contract_desc": text(cached, "contractDesc") or text(fresh, "description"),
        "ticker": text(cached, "ticker"),
        "name": text(cached, "name", "fullName"),
        "asset_class": text(fresh, "assetClass", "secType") or text(cached, "assetClass"),
        "type": text(cached, "type"),
        "currency": text(fresh, "currency") or text(cached, "currency"),
        "listing_exchange": text(cached, "listingExchange"),
        "country_code": text(cached, "countryCode"),
        "sector": text(cached, "sector") or text(fresh, "sector"),
        "group": text(cached, "group") or text(fresh, "group"),
        "expiry": text(cached, "expiry"),
        "put_or_call": text(cached, "putOrCall"),
        "strike": number(cached, "strike"),
        "multiplier": number(cached, "multiplier"),
        "underlying_conid": conid(cached, "undConid"),
        "quantity": figure("position"),
        "average_cost": figure("avgCost"),
        "average_price": figure("avgPrice"),
        "market_price": figure("marketPrice", "mktPrice"),
        "market_value": figure("marketValue", "mktValue"),
        "realized_pnl": figure("realizedPnl"),
        "unrealized_pnl": figure("unrealizedPnl"),
    }


def _keep_ledger(account: str, answers: _AccountAnswers) -> None:
    if answers.ledger is None:
        return
    _write(
        IbkrLedger,
        ["account", "currency"],
        [
            {
                "account": account,
                "currency": currency,
                "cash_balance": number(row, "cashbalance"),
                "settled_cash": number(row, "settledcash"),
                "exchange_rate": number(row, "exchangerate"),
                "net_liquidation_value": number(row, "netliquidationvalue"),
                "interest": number(row, "interest"),
                "dividends": number(row, "dividends"),
                "futures_only_pnl": number(row, "futuresonlypnl"),
                "realized_pnl": number(row, "realizedpnl"),
                "unrealized_pnl": number(row, "unrealizedpnl"),
                "fetched_at": answers.ledger.fetched_at,
            }
            for currency, row in answers.ledger.body.items()
            if isinstance(row, dict)
        ],
    )


# --- contracts, transactions, performance ---------------------------------------------------------


def _keep_contracts(answer: Answer, identity: int) -> None:
    found = {number_: row for row in _objects(answer.body, "secdef") if (number_ := conid(row)) is not None}
    _write(
        IbkrContract,
        ["conid"],
        [
            {
                "conid": number_,
                "ticker": text(row, "ticker"),
                "name": text(row, "name"),
                "full_name": text(row, "fullName"),
                "asset_class": text(row, "assetClass"),
                "type": text(row, "type"),
                "currency": text(row, "currency"),
                "listing_exchange": text(row, "listingExchange"),
                "country_code": text(row, "countryCode"),
                "sector": text(row, "sector"),
                "sector_group": text(row, "sectorGroup"),
                "group": text(row, "group"),
                "expiry": text(row, "expiry"),
                "last_trading_day": text(row, "lastTradingDay"),
                "put_or_call": text(row, "putOrCall"),
                "strike": number(row, "strike"),
                "multiplier": number(row, "multiplier"),
                "underlying_conid": conid(row, "undConid"),
                "underlying_symbol": text(row, "undSym"),
                "fetched_at": answer.fetched_at,
                "answer": identity,
            }
            for number_, row in found.items()
        ],
    )


def _keep_transactions(answer: Answer) -> None:
    seen: Counter[tuple[str, int, str]] = Counter()
    rows = []
    for row in _objects(answer.body, "transactions"):
        number_, account = conid(row), text(row, "acctid")
        if number_ is None or not account:
            continue
        figures = [number(row, name) for name in ("qty", "pr", "amt")]
        date = text(row, "rawDate", "date")
        key = "|".join([date, text(row, "type"), text(row, "cur"), *map(plain_text, figures)])
        seen[account, number_, key] += 1
        quantity, price, amount = figures
        rows.append(
            {
                "account": account,
                "conid": number_,
                "key": key,
                "occurrence": seen[account, number_, key],
                "date": date,
                "type": text(row, "type"),
                "description": text(row, "desc"),
                "currency": text(row, "cur"),
                "quantity": quantity,
                "price": price,
                "amount": amount,
                "fx_rate": number(row, "fxRate"),
                "fx_currency": text(answer.body, "currency"),
                "fetched_at": answer.fetched_at,
            }
        )
    _write(IbkrTransaction, ["account", "conid", "key", "occurrence"], rows, is_final=True)


def _keep_performance(answer: Answer) -> None:
    try:
        found = nav_series(answer.body)
    except UntypedError:
        return  # the transform tells the inbox
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for series in found:
        account = text(series, "id")
        for day in series["points"]:
            value = number(day, "val")
            if account and value is not None and text(day, "date"):
                rows[account, text(day, "date")] = {
                    "account": account,
                    "date": text(day, "date"),
                    "nav": value,
                    "currency": text(series, "baseCurrency"),
                    "fetched_at": answer.fetched_at,
                }
    _write(IbkrPerformance, ["account", "date"], list(rows.values()))


# --- reading back ---------------------------------------------------------------------------------


def kept_contracts(conids: Iterable[int]) -> dict[int, tuple[datetime, int]]:
    """Of the contracts that are known: when each was told, and the number of the answer that told."""
    return {
        row.conid: (row.fetched_at, row.answer_id)
        for row in IbkrContract.objects.in_bulk(list(conids)).values()
    }


def kept_answers(identities: Iterable[int]) -> list[tuple[IbkrAnswer, bytes]]:
    """Stored answers with their bytes as they came."""
    stored = IbkrAnswer.objects.in_bulk(list(identities)).values()
    return [(answer, zlib.decompress(answer.content)) for answer in stored]


# --- small parts ----------------------------------------------------------------------------------


def _objects(body: Row, name: str) -> list[Row]:
    rows = body.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _from_ms(milliseconds: Decimal) -> datetime | None:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))
    except OverflowError:
        return None


_KEPT_AS_THEY_ARE = (str, int, type(None))


def _write(
    model: type[models.Model],
    unique: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    is_final: bool = False,
) -> None:
    """Insert many rows at once; of one that is there already the other columns are replaced, or, when
    `is_final`, left as they are.
    """
    if not rows:
        return
    meta = model._meta
    by_name = {f.name: f for f in meta.concrete_fields}
    fields = [by_name[name] for name in rows[0]]
    quote = connection.ops.quote_name
    columns = {f.name: quote(f.column or f.name) for f in fields}
    changes = [f"{column} = excluded.{column}" for name, column in columns.items() if name not in unique]
    action = "NOTHING" if is_final else f"UPDATE SET {', '.join(changes)}"
    statement = (
        f"INSERT INTO {quote(meta.db_table)} ({', '.join(columns.values())}) "  # noqa: S608  # names of the model
        f"VALUES ({', '.join(['%s'] * len(fields))}) "
        f"ON CONFLICT ({', '.join(columns[name] for name in unique)}) DO {action}"
    )
    # Texts and numbers of most columns are kept as they are; to ask the column takes longer than to write.
    values = [
        [
            value
            if type(value := row[f.name]) in _KEPT_AS_THEY_ARE
            else f.get_db_prep_save(value, connection)
            for f in fields
        ]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)
