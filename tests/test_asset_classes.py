"""Every asset class, long and short, through every view: one statement whose figures are worked out by hand.

The account is kept in euro and began with 100,000 EUR on 5 January 2026; everything was traded on the 6th
and is valued at the end of the 7th.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from stonks_overwatch.imports import import_file
from stonks_overwatch.reports.allocation import allocation
from stonks_overwatch.reports.holdings import Holding, holdings
from stonks_overwatch.reports.lots import LotRow, lots
from stonks_overwatch.reports.reconcile import reconcile
from stonks_overwatch.reports.scope import Scope

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 8, 12, tzinfo=UTC)
EUR = Scope("EUR")


class Case(NamedTuple):
    """A row of the statement, and what follows from it. Money is in the currency of the instrument."""

    name: str
    category: str  # IBKR's
    asset_class: str
    multiplier: str  # as IBKR writes it
    quantity: str
    bought_at: str
    proceeds: str
    commission: str
    price: str
    exposure: str  # quantity x units x price
    cost: str  # -(proceeds + commission)
    pnl: str  # exposure - cost
    value: str  # what it adds to NAV
    units: str = "1"  # money for one unit at a price of 1
    sub: str = ""
    currency: str = "EUR"
    more: str = ""


CASES = (
    # 10 sold short at 25: 250 - 1 = 249 received; to buy them back at 20 costs 200.
    Case("SHRT", "STK", "stock", "1", "-10", "25", "250", "-1", "20", "-200", "-249", "49", "-200",
         sub="COMMON"),
    Case("EXET", "STK", "etf", "1", "5", "90", "-450", "-1", "100", "500", "451", "49", "500", sub="ETF"),
    Case("EXFD", "FUND", "fund", "1", "2.5", "38", "-95", "0", "40", "100", "95", "5", "100"),
    # Two calls of 100 shares written at 2.
    Case("XYZ 260320C00050000", "OPT", "option", "100", "-2", "2", "400", "-2", "1.5", "-300", "-398", "98",
         "-300", units="100", more='putCall="C" strike="50" expiry="20260320" underlyingSymbol="XYZ"'),
    # Settled in cash every day: nothing of it is left to add.
    Case("FUTL", "FUT", "future", "50", "1", "98", "-4900", "0", "100", "5000", "4900", "100", "0",
         units="50", more='expiry="20260320"'),
    Case("FUTS", "FUT", "future", "5", "-1", "6010", "30050", "0", "6000", "-30000", "-30050", "50", "0",
         units="5", more='expiry="20260320"'),
    Case("FOPT", "FOP", "future_option", "50", "1", "3", "-150", "-1", "4", "200", "151", "49", "200",
         units="50", more='putCall="P" strike="90" expiry="20260320" underlyingSymbol="FUTL"'),
    # In percent of face.
    Case("BND 4 06/15/30", "BOND", "bond", "1", "10000", "97", "-9700", "-5", "98.5", "9850", "9705", "145",
         "9850", units="0.01", more='expiry="20300615"'),
    Case("BILL 03/19/26", "BILL", "bond", "1", "20000", "98.8", "-19760", "-2", "99", "19800", "19762", "38",
         "19800", units="0.01", more='expiry="20260319"'),
    Case("BTC.EUR-PAXOS", "CRYPTO", "crypto", "1", "0.25", "38000", "-9500", "-5", "40000", "10000", "9505",
         "495", "10000"),
    Case("WARR", "WAR", "warrant", "1", "100", "1", "-100", "-1", "1.2", "120", "101", "19", "120",
         more='putCall="C" strike="20" expiry="20260320"'),
    # The ratio of a certificate is no part of its value.
    Case("CERT", "IOPT", "structured", "0.1", "50", "9", "-450", "-1", "10", "500", "451", "49", "500"),
    # 30 sold at 52, now 50: the profit of 60 alone is in NAV, and the commission in the cash.
    Case("CFDX", "CFD", "cfd", "1", "-30", "52", "1560", "0", "50", "-1500", "-1560", "60", "60"),
    Case("XAUUSD", "CMDTY", "commodity", "1", "2", "1900", "-3800", "-2", "2000", "4000", "3802", "198",
         "4000", currency="USD"),
    # 100 at 250 pence are 250 pounds.
    Case("PNCE", "STK", "stock", "1", "100", "2", "-200", "-1", "2.5", "250", "201", "49", "250",
         sub="COMMON", currency="GBP"),
)  # fmt: skip
RATES = {"EUR": Decimal(1), "USD": Decimal("0.9"), "GBP": Decimal("1.15")}
MARGINED = ("FUT", "CFD")


def number(case: Case) -> int:
    return 5000 + CASES.index(case)


def common(case: Case) -> str:
    return (
        f'accountId="U1" currency="{case.currency}" fxRateToBase="{RATES[case.currency]}" '
        f'assetCategory="{case.category}" subCategory="{case.sub}" symbol="{case.name}" '
        f'description="{case.name}" conid="{number(case)}" multiplier="{case.multiplier}" {case.more}'
    )


def net(case: Case) -> Decimal:
    """What moved in cash; of what is margined only the commission."""
    paid = Decimal(0) if case.category in MARGINED else Decimal(case.proceeds)
    return paid + Decimal(case.commission)


def trade(case: Case) -> str:
    side = "SELL" if case.quantity.startswith("-") else "BUY"
    return (
        f'<Trade {common(case)} transactionID="{number(case)}" tradeID="{number(case)}" tradeDate="20260106" '
        f'dateTime="20260106;100000" reportDate="20260106" quantity="{case.quantity}" '
        f'tradePrice="{case.bought_at}" proceeds="{case.proceeds}" ibCommission="{case.commission}" '
        f'ibCommissionCurrency="{case.currency}" netCash="{net(case)}" taxes="0" cost="{case.cost}" '
        f'fifoPnlRealized="0" buySell="{side}" transactionType="ExchTrade" levelOfDetail="EXECUTION" />'
    )


def position(case: Case) -> str:
    return (
        f'<OpenPosition {common(case)} reportDate="20260107" position="{case.quantity}" '
        f'markPrice="{case.price}" positionValue="{case.exposure}" costBasisMoney="{case.cost}" '
        f'fifoPnlUnrealized="{case.pnl}" levelOfDetail="SUMMARY" />'
    )


def balances() -> dict[str, Decimal]:
    """100 EUR were changed into 110 USD; what was bought in dollars and pounds is owed."""
    moved = {
        currency: sum((net(c) for c in CASES if c.currency == currency), Decimal(0)) for currency in RATES
    }
    return {"EUR": 99900 + moved["EUR"], "USD": 110 + moved["USD"], "GBP": moved["GBP"]}


def in_euro(amounts: dict[str, Decimal]) -> Decimal:
    return sum((amount * RATES[currency] for currency, amount in amounts.items()), Decimal(0))


def nav() -> Decimal:
    return in_euro(balances()) + sum((Decimal(c.value) * RATES[c.currency] for c in CASES), Decimal(0))


def statement() -> str:
    cash = "".join(
        f'<CashReportCurrency accountId="U1" currency="{currency}" startingCash="0" endingCash="{amount}" '
        f'levelOfDetail="Currency" />'
        for currency, amount in balances().items()
    )
    rates = "".join(
        f'<ConversionRate reportDate="{day}" fromCurrency="{currency}" toCurrency="EUR" rate="{rate}" />'
        for currency, rate in RATES.items()
        if currency != "EUR"
        for day in ("20260106", "20260107")
    )
    exchange = (
        '<Trade accountId="U1" currency="USD" fxRateToBase="0.9" assetCategory="CASH" symbol="EUR.USD" '
        'description="EUR.USD" conid="12087792" transactionID="4000" tradeID="4000" tradeDate="20260106" '
        'dateTime="20260106;090000" reportDate="20260106" quantity="-100" tradePrice="1.1" proceeds="110" '
        'ibCommission="0" ibCommissionCurrency="EUR" netCash="0" taxes="0" buySell="SELL" '
        'transactionType="ExchTrade" levelOfDetail="EXECUTION" />'
    )
    return f"""<FlexQueryResponse queryName="Tracker" type="AF"><FlexStatements count="1">
<FlexStatement accountId="U1" fromDate="20260105" toDate="20260107" period="" whenGenerated="20260108;061500">
<AccountInformation accountId="U1" currency="EUR" dateOpened="20260105" />
<CashReport>{cash}</CashReport>
<EquitySummaryInBase><EquitySummaryByReportDateInBase accountId="U1" currency="EUR" reportDate="20260107"
 cash="{in_euro(balances())}" total="{nav()}" /></EquitySummaryInBase>
<Trades>{exchange}{"".join(map(trade, CASES))}</Trades>
<CashTransactions><CashTransaction accountId="U1" currency="EUR" fxRateToBase="1" amount="100000"
 type="Deposits/Withdrawals" transactionID="3000" dateTime="20260105" reportDate="20260105"
 description="CASH RECEIPTS" levelOfDetail="DETAIL" /></CashTransactions>
<CorporateActions></CorporateActions><Transfers></Transfers>
<OpenPositions>{"".join(map(position, CASES))}</OpenPositions>
<ConversionRates>{rates}</ConversionRates>
</FlexStatement></FlexStatements></FlexQueryResponse>"""


@pytest.fixture
def imported(tmp_path: Path) -> None:
    file = tmp_path / "statement.xml"
    file.write_text(statement())
    result = import_file(file, now=NOW)
    assert not result.refused
    assert result.inbox == ()


def holding(case: Case) -> Holding:
    return next(row for row in holdings(EUR).holdings if row.broker_ref == str(number(case)))


def lot(case: Case) -> LotRow:
    (row,) = [row for row in lots(EUR).lots if row.broker_ref == str(number(case))]
    return row


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.asset_class} {case.name}")
def test_a_holding_has_the_figures_of_its_class(case: Case) -> None:
    row = holding(case)
    assert row.asset_class == case.asset_class
    assert row.currency == case.currency
    assert row.quantity == Decimal(case.quantity)
    assert row.price == Decimal(case.price)
    assert row.market_value == Decimal(case.value)
    assert row.exposure == Decimal(case.exposure)
    assert row.exposure_base == Decimal(case.exposure) * RATES[case.currency]
    assert row.cost_basis == Decimal(case.cost)
    assert row.unrealized_pnl == Decimal(case.pnl)
    if case.category == "OPT":
        assert (row.right, row.strike, row.expires_on) == ("call", Decimal(50), date(2026, 3, 20))


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.asset_class} {case.name}")
def test_a_lot_has_the_sign_the_cost_and_the_profit_of_its_position(case: Case) -> None:
    row = lot(case)
    assert row.quantity == Decimal(case.quantity)
    assert row.cost == Decimal(case.cost)
    assert row.unrealized_pnl == Decimal(case.pnl)
    assert row.acquired_on == date(2026, 1, 6)


@pytest.mark.usefixtures("imported")
def test_classes_add_up_to_nav_and_debts_stay_negative() -> None:
    document = allocation(EUR, "asset_class")
    of = {row.key: row.value_base for row in document.slices}
    wanted = {case.asset_class: Decimal(0) for case in CASES} | {"cash": in_euro(balances())}
    for case in CASES:
        wanted[case.asset_class] += Decimal(case.value) * RATES[case.currency]
    assert {key: value for key, value in of.items() if value} == {k: v for k, v in wanted.items() if v}
    assert document.total_base == nav()
    owed = {row.currency: row.amount for row in holdings(EUR).cash}
    assert owed["GBP"] == Decimal(-201)
    assert owed["USD"] == Decimal(-3692)  # 110 - 3,802


@pytest.mark.usefixtures("imported")
def test_every_figure_agrees_with_the_broker() -> None:
    (account,) = reconcile(EUR).accounts
    assert [line.what for line in account.lines if not line.agrees] == []
    compared = {line.name for line in account.lines}
    for case in CASES:
        assert f"quantity {case.name} ({number(case)})" in compared
    assert holdings(EUR).totals.nav_base == nav()


IN_PENCE = (
    "tradePrice", "proceeds", "netCash", "cost", "ibCommission", "markPrice", "positionValue",
    "costBasisMoney", "fifoPnlUnrealized",
)  # fmt: skip


def test_pence_are_pounds(tmp_path: Path) -> None:
    """The same share quoted in GBX: 100 at 250 are 250 pounds."""
    case = next(case for case in CASES if case.name == "PNCE")
    text = statement()
    for row in (trade(case), position(case)):
        in_pence = row.replace('currency="GBP"', 'currency="GBX"').replace('"1.15"', '"0.0115"')
        for name in IN_PENCE:
            before, found, after = in_pence.partition(f' {name}="')
            if found:
                amount, _, rest = after.partition('"')
                in_pence = f'{before}{found}{Decimal(amount) * 100}"{rest}'
        text = text.replace(row, in_pence.replace('ibCommissionCurrency="GBP"', 'ibCommissionCurrency="GBX"'))
    file = tmp_path / "pence.xml"
    file.write_text(text)
    import_file(file, now=NOW)
    held = holding(case)
    assert (held.currency, held.price, held.market_value) == ("GBP", Decimal("2.5"), Decimal(250))
    assert (held.cost_basis, held.unrealized_pnl) == (Decimal(201), Decimal(49))
    (account,) = reconcile(EUR).accounts
    assert account.agrees
