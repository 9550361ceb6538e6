"""The world as IBKR's Web API tells it: one function per endpoint, world in, JSON values out.

Numbers become floats here, as IBKR's JSON has them, rounded where recordings of it are rounded. The
quirks are IBKR's own: text beside numbers for the same thing, null for unknown and for none.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument
from stonks_overwatch.services.brokers.ibkr.sandbox.world import ZERO, Entry, Holding, World, cents

PAGE_SIZE = 100
HISTORY_DAYS = 90
PERIODS = ("1D", "7D", "MTD", "1M", "3M", "6M", "12M", "1Y", "YTD")
_ALL_PERIODS = ("1D", "7D", "MTD", "1M", "YTD", "1Y")
_SERVER = {"serverName": "SbxGw01", "serverVersion": "Build 10.44.1d, Mar 3, 2026 1:55:32 PM"}
_LEDGER_FIELDS = {
    "STK": ("stockmarketvalue",),
    "FUT": ("futuresonlypnl", "futuremarketvalue"),
    "OPT": ("stockoptionmarketvalue",),
    "FOP": ("futureoptionmarketvalue",),
    "CMDTY": ("commoditymarketvalue",),
    "BOND": ("corporatebondsmarketvalue",),
    "BILL": ("tbillsmarketvalue",),
    "WAR": ("warrantsmarketvalue",),
    "IOPT": ("issueroptionsmarketvalue",),
    "FUND": ("funds",),
    "CRYPTO": ("cryptocurrencyvalue",),
}
_LEDGER_AMOUNTS = (
    *(field for fields in _LEDGER_FIELDS.values() for field in fields),
    "tbondsmarketvalue",
    "moneyfunds",
    "cashbalancefxsegment",
    "interest",
    "dividends",
    "realizedpnl",
    "unrealizedpnl",
    "settledcash",
    "cashbalance",
    "netliquidationvalue",
)
_SEGMENTED = [
    "accruedcash",
    "accrueddividend",
    "availablefunds",
    "availabletotrade",
    "availabletowithdraw",
    "billable",
    "equitywithloanvalue",
    "excessliquidity",
    "fullavailablefunds",
    "fullexcessliquidity",
    "fullinitmarginreq",
    "fullmaintmarginreq",
    "guarantee",
    "indianstockhaircut",
    "initmarginreq",
    "lookaheadavailablefunds",
    "lookaheadexcessliquidity",
    "lookaheadinitmarginreq",
    "lookaheadmaintmarginreq",
    "maintmarginreq",
    "netliquidation",
    "pasharesvalue",
    "physicalcertificatevalue",
    "postexpirationexcess",
    "postexpirationmargin",
    "totalcashvalue",
    "totaldebitcardpendingcharges",
]
_EXCHANGES = {"NASDAQ": "AMEX,NYSE,NASDAQ,ARCA,BATS", "NYSE": "AMEX,NYSE,ARCA,BATS", "ARCA": "AMEX,ARCA,BATS"}


# Session


def authentication(brokerage: bool, *, competing: bool = False) -> dict[str, Any]:
    """`brokerage`: the session is open; `competing`: another login of the same user holds it."""
    state: dict[str, Any] = {
        "authenticated": brokerage,
        "competing": competing,
        "connected": brokerage,
        "message": "",
        "MAC": "02:00:00:AA:BB:CC",
    }
    if brokerage:
        state |= {"established": True, "serverInfo": _SERVER, "hardware_info": "a1b2c3d4|02:00:00:AA:BB:CC"}
    return state


def tickle(cookie: str, brokerage: bool, *, competing: bool = False) -> dict[str, Any]:
    return {
        "session": cookie,
        "hmds": {"error": "no bridge"},
        "iserver": {"authStatus": authentication(brokerage, competing=competing)},
    }


def brokerage_accounts(world: World, cookie: str) -> dict[str, Any]:
    accounts = list(world.holders)
    properties = {
        "hasChildAccounts": False,
        "supportsCashQty": True,
        "liteUnderPro": False,
        "noFXConv": False,
        "isProp": False,
        "supportsFractions": True,
        "allowCustomerTime": False,
        "autoFx": False,
    }
    return {
        "accounts": accounts,
        "acctProps": dict.fromkeys(accounts, properties),
        "aliases": {account: account for account in accounts},
        "allowFeatures": {"allowedAssetTypes": "STK,CFD,OPT,FOP,WAR,FUT,BOND,BILL,FUND,CASH,CRYPTO,CMDTY"},
        "chartPeriods": {"STK": ["*"]},
        "groups": [],
        "profiles": [],
        "selectedAccount": accounts[0],
        "serverInfo": _SERVER,
        "sessionId": cookie,
        "isFT": False,
        "isPaper": False,
    }


def executions(world: World) -> list[dict[str, Any]]:
    """Today's trades as the websocket tells them."""
    at = datetime.combine(world.today, datetime.min.time(), UTC) + timedelta(hours=15)
    rows = []
    for entry in world.entries:
        if entry.on != world.today or entry.kind not in ("buy", "sell") or entry.conid is None:
            continue
        instrument = world.market.instruments[entry.conid]
        rows.append(
            {
                "execution_id": f"0000e0d5.{entry.number:08x}.01.01",
                "symbol": instrument.symbol,
                "side": "B" if entry.kind == "buy" else "S",
                "trade_time": f"{at:%Y%m%d-%H:%M:%S}",
                "trade_time_r": int(at.timestamp() * 1000),
                "size": float(abs(entry.quantity)),
                "price": str(entry.price),
                "commission": str(-entry.commission),
                "net_amount": float(abs(entry.gross)),
                "account": entry.account,
                "accountCode": entry.account,
                "sec_type": instrument.asset_class,
                "conid": entry.conid,
                "conidEx": str(entry.conid),
            }
        )
    return rows


# Portfolio


def account(world: World, account_id: str) -> dict[str, Any]:
    holder = world.holders[account_id]
    opened = datetime(holder.opened_on.year, holder.opened_on.month, holder.opened_on.day, 4, tzinfo=UTC)
    return {
        "id": account_id,
        "PrepaidCrypto-Z": False,
        "PrepaidCrypto-P": False,
        "brokerageAccess": True,
        "accountId": account_id,
        "accountVan": account_id,
        "accountTitle": holder.title,
        "displayName": holder.title,
        "accountAlias": holder.alias,
        "accountStatus": int(opened.timestamp() * 1000),
        "currency": holder.currency,
        "type": "INDIVIDUAL",
        "tradingType": "STKMRGN",
        "businessType": "IB_SALES",
        "category": "",
        "ibEntity": holder.entity,
        "faclient": False,
        "clearingStatus": "O",
        "covestor": False,
        "noClientTrading": False,
        "trackVirtualFXPortfolio": True,
        "acctCustType": "INDIVIDUAL",
        "parent": {"mmc": [], "accountId": "", "isMParent": False, "isMChild": False, "isMultiplex": False},
        "desc": f"{account_id} - {holder.alias}" if holder.alias else account_id,
    }


def ledger(world: World, account_id: str) -> dict[str, Any]:
    """One row per currency the account ever had something in, and their sum in its own currency."""
    into = world.holders[account_id].currency
    rows = _ledger_amounts(world, account_id)
    rates = {currency: world.market.cross(currency, into) for currency in rows}
    total = {
        field: sum((amounts[field] * rates[currency] for currency, amounts in rows.items()), ZERO)
        for field in _LEDGER_AMOUNTS
    }
    return {
        currency: {field: _money(amount) for field, amount in amounts.items()}
        | {
            "exchangerate": float(rates.get(currency, 1)),
            "currency": currency,
            "secondkey": currency,
            "acctcode": account_id,
            "key": "LedgerList",
            "timestamp": int(time.time()),
            "sessionid": 1,
            "severity": 0,
            "endofbundle": 1,
        }
        for currency, amounts in (rows | {"BASE": total}).items()
    }


def _ledger_amounts(world: World, account_id: str) -> dict[str, dict[str, Decimal]]:
    """Per currency, in that currency, not rounded."""
    rows: dict[str, dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(_LEDGER_AMOUNTS, ZERO))
    for currency, amount in world.cash[account_id].items():
        rows[currency]["cashbalance"] = amount
        rows[currency]["settledcash"] = amount - _unsettled(world, account_id, currency)
    for field, kind in (("interest", "interest"), ("dividends", "dividend")):
        for currency, amount in world.accrued(account_id, kind).items():
            rows[currency][field] = amount
    for conid, holding in world.holdings[account_id].items():
        asset_class = holding.instrument.asset_class
        value = world.value_in_nav(holding, world.market.price(conid))
        amounts = rows[holding.instrument.currency]
        amounts["netliquidationvalue"] += value
        amounts["realizedpnl"] += holding.realized_today
        if not holding.instrument.is_virtual:
            amounts["unrealizedpnl"] += _unrealized(world, holding)
        for field in _LEDGER_FIELDS.get(asset_class, ()):
            amounts[field] += value
    for amounts in rows.values():
        amounts["netliquidationvalue"] += amounts["cashbalance"] + amounts["interest"] + amounts["dividends"]
    return rows


def summary(world: World, account_id: str) -> dict[str, Any]:
    """NAV to the cent; the margin figures are only plausible."""
    base = ledger(world, account_id)["BASE"]
    currency = world.holders[account_id].currency
    nav = _money(world.nav(account_id))
    amounts = dict.fromkeys(_SEGMENTED, 0.0) | {
        "netliquidation": nav,
        "equitywithloanvalue": nav,
        "totalcashvalue": base["cashbalance"],
        "accruedcash": base["interest"],
        "accrueddividend": base["dividends"],
        "availablefunds": round(nav * 0.6, 2),
        "excessliquidity": round(nav * 0.65, 2),
        "initmarginreq": round(nav * 0.4, 2),
        "maintmarginreq": round(nav * 0.35, 2),
    }
    answer = {
        "accountcode": _figure(0.0, None, account_id),
        "accountready": _figure(0.0, None, "true"),
        "accounttype": _figure(0.0, None, "INDIVIDUAL"),
        "cushion": _figure(0.0, None, "0.65"),
        "buyingpower": _figure(nav * 2, currency),
        "grosspositionvalue": _figure(
            _money(sum((abs(value) for _, value in _values_in_base(world, account_id)), ZERO)), currency
        ),
    }
    for key, amount in amounts.items():
        answer[key] = _figure(amount, currency)
        answer[f"{key}-s"] = _figure(amount, currency)
        answer[f"{key}-c"] = _figure(0.0, currency)
    return answer


def _figure(amount: float, currency: str | None, text: str | None = None) -> dict[str, Any]:
    return {
        "amount": amount,
        "currency": currency,
        "isNull": False,
        "timestamp": int(time.time() * 1000),
        "value": text,
        "severity": 0,
    }


def allocation(world: World, account_id: str) -> dict[str, Any]:
    """Values in the account's currency by asset class, sector and group, long and short apart."""
    sums: dict[str, dict[str, dict[str, float]]] = {
        by: {"long": defaultdict(float), "short": defaultdict(float)}
        for by in ("assetClass", "sector", "group")
    }
    for holding, value in _values_in_base(world, account_id):
        instrument = holding.instrument
        keys = {
            "assetClass": instrument.asset_class,
            "sector": instrument.sector or "Others",
            "group": instrument.group or "Others",
        }
        for by, key in keys.items():
            sums[by]["long" if value >= 0 else "short"][key] += float(value)
    cash = ledger(world, account_id)["BASE"]["cashbalance"]
    sums["assetClass"]["long" if cash >= 0 else "short"]["CASH"] += cash
    return {
        by: {s: {k: round(v, 2) for k, v in rows.items()} for s, rows in sides.items()}
        for by, sides in sums.items()
    }


def positions(
    world: World, account_id: str, *, warm: bool, quantities: dict[int, Decimal] | None = None
) -> list[dict[str, Any]]:
    """Rows of positions/{page}, all pages in one list; other `quantities` show an older state."""
    return [_position(world, account_id, holding, warm, quantities) for holding in world.shown(account_id)]


def page(
    rows: Sequence[dict[str, Any]], number: int, sort: str | None, direction: str | None
) -> list[dict[str, Any]]:
    """One page of 100; beyond the last: nothing when sorted, everything again when not."""
    ordered = in_order(rows, sort, direction)
    if number and number * PAGE_SIZE >= len(ordered) and sort is None:
        return ordered
    return ordered[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]


def in_order(rows: Sequence[dict[str, Any]], sort: str | None, direction: str | None) -> list[dict[str, Any]]:
    if sort is None:
        return list(rows)

    def key(row: dict[str, Any]) -> tuple[bool, float, str]:
        value = row.get(sort)
        if isinstance(value, int | float):
            return False, float(value), ""
        return value is None, 0.0, str(value)

    return sorted(rows, key=key, reverse=direction == "d")


def positions2(world: World, account_id: str) -> list[dict[str, Any]]:
    """Rows of portfolio2: always now, at full precision, the conid as text."""
    rows = []
    for holding in world.shown(account_id):
        instrument, price = holding.instrument, world.market.price(holding.instrument.conid)
        average = _average_price(world, holding)
        rows.append(
            {
                "position": float(holding.quantity),
                "conid": str(instrument.conid),
                "avgCost": float(average * (instrument.multiplier or 1)),
                "avgPrice": float(average),
                "currency": instrument.currency,
                "description": instrument.description or instrument.symbol,
                "isLastToLoq": False,
                "marketPrice": float(price),
                "marketValue": float(holding.quantity * price * instrument.units),
                "realizedPnl": float(holding.realized_today),
                "secType": instrument.asset_class,
                "timestamp": int(time.time()),
                "unrealizedPnl": float(_unrealized(world, holding)),
                "assetClass": instrument.asset_class,
                "sector": instrument.sector,
                "group": instrument.group,
                "model": "",
            }
        )
    return rows


def definitions(world: World, conids: Iterable[int]) -> dict[str, Any]:
    known = world.market.instruments
    return {
        "secdef": [
            {"conid": c} | _contract(known[c]) | {"currency": known[c].currency} for c in conids if c in known
        ]
    }


def exchange_rate(world: World, source: str, target: str) -> dict[str, Any]:
    return {"rate": float(world.market.cross(source, target))}


def currency_pairs(world: World, currency: str) -> dict[str, Any]:
    return {
        currency: [
            {"symbol": f"{currency}.{other}", "conid": 15000000 + index, "ccyPair": other}
            for index, other in enumerate(world.market.currencies)
            if other != currency
        ]
    }


# PortfolioAnalyst


def performance(world: World, accounts: list[str], period: str) -> dict[str, Any]:
    """Daily NAV up to the last close; several accounts are one row, in the first one's currency."""
    start = _start(world.market.last_close, period)
    series = _consolidated(world, accounts, start)
    name = accounts[0] if len(accounts) == 1 else "Consolidated"
    currency = world.holders[accounts[0]].currency
    dates = [f"{day:%Y%m%d}" for day in series.dates]
    common = {"id": name, "idType": "acctid", "baseCurrency": currency}
    if dates:
        common |= {"start": dates[0], "end": dates[-1]}
    months = sorted({day[:6] for day in dates})
    return {
        "currencyType": "base",
        "rc": 0,
        "pm": "TWR",
        "nd": len(dates),
        "id": "getPerformanceData",
        "included": accounts,
        "nav": {
            "freq": "D",
            "dates": dates,
            "data": [common | {"navs": series.navs, "startNAV": series.start_nav}],
        },
        "cps": {"freq": "D", "dates": dates, "data": [common | {"returns": series.returns}]},
        "tpps": {"freq": "M", "dates": months, "data": [common | {"returns": series.by_month(months)}]},
    }


def all_periods(world: World, accounts: list[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "currencyType": "base",
        "rc": 0,
        "view": accounts,
        "nd": 366,
        "id": "getPerformanceAllPeriods",
        "included": accounts,
        "pm": "TWR",
    }
    last = world.market.last_close
    for name in accounts:
        holder = world.holders[name]
        wanted = [p for p in _ALL_PERIODS if p == "1D" or _start(last, p) > holder.opened_on]
        rows: dict[str, Any] = {}
        for period in wanted:
            series = _consolidated(world, [name], _start(last, period))
            rows[period] = {
                "nav": series.navs,
                "cps": series.returns,
                "freq": "D",
                "dates": [f"{day:%Y%m%d}" for day in series.dates],
                "startNAV": series.start_nav,
            }
        answer[name] = rows | {
            "periods": wanted,
            "start": f"{max(holder.opened_on, _start(last, '1Y')):%Y%m%d}",
            "end": f"{last:%Y%m%d}",
            "baseCurrency": holder.currency,
            "lastSuccessfulUpdate": f"{last:%Y-%m-%d} 22:40:19",
        }
    return answer


def transactions(world: World, accounts: list[str], conid: int, currency: str, days: int) -> dict[str, Any]:
    """Trades and dividends of one instrument in the last 90 days at most; no fees, no taxes, no numbers."""
    first = world.today - timedelta(days=min(days, HISTORY_DAYS))
    entries = [
        e
        for e in world.entries
        if e.conid == conid
        and e.account in accounts
        and e.on >= first
        and e.kind in ("buy", "sell", "dividend")
    ]
    entries.sort(key=lambda e: e.on, reverse=True)
    realized = [e for e in entries if e.realized]
    total = sum((e.realized for e in realized), ZERO)
    return {
        "rc": 0,
        "nd": (world.today - first).days,
        "rpnl": {
            "data": [
                {
                    "date": f"{e.on:%Y%m%d}",
                    "cur": e.currency,
                    "fxRate": _fx(world, e, currency),
                    "side": "G" if e.realized > 0 else "L",
                    "acctid": e.account,
                    "amt": f"{abs(e.realized):.4f}",
                    "conid": str(conid),
                }
                for e in realized
            ],
            "amt": f"{total:.4f}",
        },
        "currency": currency,
        "from": _epoch_ms(first),
        "id": "getTransactions",
        "to": _epoch_ms(world.today),
        "includesRealTime": True,
        "transactions": [_transaction(world, e, currency) for e in entries],
    }


def _transaction(world: World, entry: Entry, currency: str) -> dict[str, Any]:
    zone = "EDT" if 3 < entry.on.month < 11 else "EST"
    row: dict[str, Any] = {
        "cur": entry.currency,
        "date": f"{entry.on:%a %b %d} 00:00:00 {zone} {entry.on.year}",
        "rawDate": f"{entry.on:%Y%m%d}",
        "fxRate": _fx(world, entry, currency),
        "acctid": entry.account,
        "amt": float(entry.gross),
        "conid": entry.conid,
        "type": {"buy": "Buy", "sell": "Sell"}.get(entry.kind, "Dividend Payment"),
        "desc": entry.description,
    }
    if entry.kind == "dividend":
        row["desc"] = world.market.instruments[entry.conid].name if entry.conid else ""
    else:
        row |= {"pr": float(entry.price or 0), "qty": float(entry.quantity)}
    return row


def _fx(world: World, entry: Entry, currency: str) -> float:
    on = entry.on if entry.on < world.today else None
    return round(float(world.market.cross(entry.currency, currency, on)), 6)


# Parts of rows


def _position(
    world: World, account_id: str, holding: Holding, warm: bool, quantities: dict[int, Decimal] | None
) -> dict[str, Any]:
    instrument = holding.instrument
    price = world.market.price(instrument.conid)
    quantity = holding.quantity if quantities is None else quantities.get(instrument.conid, ZERO)
    average = _average_price(world, holding)
    row: dict[str, Any] = {
        "acctId": account_id,
        "conid": instrument.conid,
        "contractDesc": instrument.description or instrument.symbol,
        "position": float(quantity),
        "mktPrice": round(float(price), 7),
        "mktValue": _money(quantity * price * instrument.units),
        "currency": instrument.currency,
        "avgCost": round(float(average * (instrument.multiplier or 1)), 7),
        "avgPrice": round(float(average), 7),
        "realizedPnl": _money(holding.realized_today),
        "unrealizedPnl": _money(_unrealized(world, holding)),
        "exchs": None,
        "expiry": None,
        "putOrCall": None,
        "multiplier": None,
        "strike": 0.0,
        "exerciseStyle": None,
        "conExchMap": [],
        "assetClass": instrument.asset_class,
        "undConid": 0,
        "model": "",
    }
    if warm:
        row |= _contract(instrument) | {"time": 38, "pageSize": PAGE_SIZE}
    return row


def _contract(instrument: Instrument) -> dict[str, Any]:
    """What IBKR tells of a contract, in warm position rows and in /trsrv/secdef alike."""
    expiry = f"{instrument.expires_on:%Y%m%d}" if instrument.expires_on else None
    contract: dict[str, Any] = {
        "name": instrument.name,
        "fullName": instrument.full_name or instrument.symbol,
        "ticker": instrument.symbol,
        "chineseName": instrument.chinese_name,
        "assetClass": instrument.asset_class,
        "type": instrument.kind,
        "sector": instrument.sector,
        "sectorGroup": instrument.sector_group,
        "group": instrument.group,
        "expiry": expiry,
        "lastTradingDay": expiry,
        "putOrCall": instrument.right,
        "strike": str(instrument.strike) if instrument.strike is not None else "0",
        "undConid": instrument.underlying,
        "multiplier": float(instrument.multiplier),
        "hasOptions": instrument.kind in ("COMMON", "ETF"),
        "isUS": instrument.country == "US",
        "isEventContract": False,
        "listingExchange": instrument.exchange,
        "countryCode": instrument.country,
        "allExchanges": _EXCHANGES.get(instrument.exchange, instrument.exchange),
        "incrementRules": [{"lowerEdge": 0.0, "increment": 0.01}],
        "displayRule": {
            "magnification": 0,
            "displayRuleStep": [{"decimalDigits": 2, "lowerEdge": 0.0, "wholeDigits": 4}],
        },
    }
    if instrument.underlying:
        contract |= {"undSym": instrument.underlying_symbol, "undComp": instrument.name}
    return contract


def _average_price(world: World, holding: Holding) -> Decimal:
    if holding.instrument.cost_from_settlement and holding.quantity:
        return world.market.price(holding.instrument.conid) - _unrealized(world, holding) / (
            holding.quantity * holding.instrument.units
        )
    return holding.average_cost


def _unrealized(world: World, holding: Holding) -> Decimal:
    if not holding.quantity:
        return ZERO
    price = world.market.price(holding.instrument.conid)
    if holding.instrument.cost_from_settlement:
        return holding.carried(price)
    return (price - holding.average_cost) * holding.quantity * holding.instrument.units


def _values_in_base(world: World, account_id: str) -> list[tuple[Holding, Decimal]]:
    into = world.holders[account_id].currency
    return [
        (
            h,
            world.value_in_nav(h, world.market.price(conid))
            * world.market.cross(h.instrument.currency, into),
        )
        for conid, h in world.holdings[account_id].items()
        if h.quantity
    ]


def _unsettled(world: World, account_id: str, currency: str) -> Decimal:
    """What trades of the last business day and of today will still move."""
    return sum(
        (
            e.net
            for e in world.entries_of(account_id)
            if e.currency == currency and e.kind in ("buy", "sell") and e.on >= world.market.last_close
        ),
        ZERO,
    )


def _start(last: date, period: str) -> date:
    """The first day of a period that ends on `last`."""
    match period:
        case "1D":
            return last
        case "7D":
            return last - timedelta(days=6)
        case "MTD":
            return last.replace(day=1)
        case "YTD":
            return last.replace(month=1, day=1)
        case _:
            months = {"1M": 1, "3M": 3, "6M": 6, "12M": 12, "1Y": 12}[period]
            return last - timedelta(days=round(months * 365 / 12) - 1)


class _Series:
    """NAV at each close, and what it earned (time-weighted, flows at the start of their day)."""

    def __init__(self, points: list[tuple[date, Decimal, Decimal]]) -> None:
        """Each point is day, NAV, external flow of that day; the first is the day before the series."""
        self.dates = [day for day, _, _ in points[1:]]
        self.navs = [_money(nav) for _, nav, _ in points[1:]]
        first = points[0]
        self.start_nav = {"date": f"{first[0]:%Y%m%d}", "val": _money(first[1])}
        growth, self.returns = 1.0, list[float]()
        for (_, before, _), (_, after, flow) in pairwise(points):
            invested = float(before + flow)
            growth *= float(after) / invested if invested > 0 else 1.0
            self.returns.append(round(growth - 1, 6))

    def by_month(self, months: list[str]) -> list[float]:
        last = {f"{day:%Y%m}": 1 + value for day, value in zip(self.dates, self.returns, strict=True)}
        before = [1.0, *(last[month] for month in months[:-1])]
        return [round(last[month] / start - 1, 6) for month, start in zip(months, before, strict=True)]


def _consolidated(world: World, accounts: list[str], start: date) -> _Series:
    into = world.holders[accounts[0]].currency
    totals: dict[date, tuple[Decimal, Decimal]] = {}
    for name in accounts:
        for on, nav, flow in world.nav_history(name, start):
            held = totals.get(on, (ZERO, ZERO))
            rate = world.market.cross(world.holders[name].currency, into, on)
            totals[on] = (held[0] + nav * rate, held[1] + flow * rate)
    return _Series([(on, nav, flow) for on, (nav, flow) in sorted(totals.items())])


def _money(amount: Decimal) -> float:
    return float(cents(amount))


def _epoch_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
