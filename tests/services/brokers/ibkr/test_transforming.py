from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.errors import UnexpectedAnswerError
from stonks_overwatch.ledger.types import (
    ActivityKind,
    AssetClass,
    Batch,
    CashBalance,
    Coverage,
    FxRate,
    Instrument,
    NavPoint,
    Position,
)
from stonks_overwatch.services.brokers.base import Answer
from stonks_overwatch.services.brokers.ibkr.transforming import transform
from stonks_overwatch.services.brokers.ibkr.values import number
from tests.builders import (
    NOW,
    Row,
    answer,
    ibkr_account,
    ibkr_answers,
    ibkr_cash,
    ibkr_definition,
    ibkr_figure,
    ibkr_fresh,
    ibkr_ledger,
    ibkr_performance,
    ibkr_position,
    ibkr_transaction,
    ibkr_transactions,
    raw,
    shuffled,
)


def batch_of(*answers: Answer) -> Batch:
    return transform(raw(*answers))


def read(fresh: Sequence[Any] = (), *more: Answer, **options: Any) -> Batch:
    """The batch of a sync of U1 with these rows of portfolio2."""
    return batch_of(*ibkr_answers(fresh, **options), *more)


def only(batch: Batch) -> tuple[Position, Instrument]:
    (position,) = batch.positions["U1"]
    (instrument,) = batch.instruments
    return position, instrument


def reasons(batch: Batch) -> list[str]:
    return [item.reason for item in batch.inbox]


# Numbers


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (12, "12"),
        (Decimal("2222.1119384765625"), "2222.1119384765625"),
        (0.1, "0.1"),
        ("645.155", "645.155"),
        ("1,234,567.89", "1234567.89"),
        (" 7 ", "7"),
        ("-0.5", "-0.5"),
        (Decimal("1E-7"), "0.0000001"),
        (0, "0"),
    ],
)
def test_a_number_is_read_exactly_however_it_is_written(written: Any, meant: str) -> None:
    assert number({"x": written}, "x") == Decimal(meant)


@pytest.mark.parametrize(
    "written",
    [None, "", "  ", "NaN", float("nan"), Decimal("NaN"), float("inf"), Decimal("1.7976931348623157E+308")],
)
def test_what_is_left_out_or_marked_as_unset_is_unknown(written: Any) -> None:
    assert number({"x": written}, "x") is None
    assert number({}, "x") is None


@pytest.mark.parametrize("written", ["n/a", True, [], {}, "1.2.3"])
def test_what_is_no_number_is_an_error(written: Any) -> None:
    with pytest.raises(UnexpectedAnswerError):
        number({"x": written}, "x")


# Accounts


def test_an_account_has_its_own_currency_alias_and_opening_day() -> None:
    answers = [
        answer("GET portfolio/accounts", [ibkr_account(currency="CHF", accountAlias="Pension")]),
        ibkr_ledger({"CHF": ibkr_cash()}),
    ]
    (account,) = batch_of(*answers).accounts
    assert (account.account, account.currency, account.alias, account.kind) == (
        "U1", "CHF", "Pension", "INDIVIDUAL",
    )  # fmt: skip
    assert account.opened_on == date(2022, 2, 14)


def test_accounts_that_were_not_read_are_left_out() -> None:
    answers = [answer("GET portfolio/accounts", [ibkr_account("U1"), ibkr_account("U2")]), ibkr_ledger({})]
    assert [account.account for account in batch_of(*answers).accounts] == ["U1"]


def test_the_currency_of_an_account_that_does_not_tell_it_is_that_of_its_net_liquidation_value() -> None:
    batch = batch_of(
        answer("GET portfolio/accounts", [ibkr_account(currency=None)]),
        answer("GET portfolio/U1/summary", {"netliquidation": ibkr_figure("5", "USD")}, "U1"),
    )
    assert [account.currency for account in batch.accounts] == ["USD"]


def test_an_account_without_a_currency_goes_to_the_inbox_and_the_others_are_read() -> None:
    batch = batch_of(
        answer("GET portfolio/accounts", [ibkr_account("U1", None), ibkr_account("U2")]),
        ibkr_ledger({"EUR": ibkr_cash("5")}, "U1"),
        ibkr_ledger({"EUR": ibkr_cash("7")}, "U2"),
    )
    assert [account.account for account in batch.accounts] == ["U2"]
    assert list(batch.cash) == ["U2"]
    assert [(item.section, item.account) for item in batch.inbox] == [("accounts", "U1")]


# The account's own figures


def test_the_figures_of_an_account_are_kept_to_reconcile_against() -> None:
    body = {
        "netliquidation": ibkr_figure("48210.55"),
        "totalcashvalue": ibkr_figure("3120.4"),
        "accruedcash": ibkr_figure("-1.2"),
        "accrueddividend": ibkr_figure("12.5"),
    }
    (value,) = read((), answer("GET portfolio/U1/summary", body, "U1")).values
    assert (value.nav, value.cash) == (Decimal("48210.55"), Decimal("3120.4"))
    assert (value.accrued_interest, value.accrued_dividends) == (Decimal("-1.2"), Decimal("12.5"))
    assert (value.currency, value.as_of) == ("EUR", NOW)


def test_margin_is_told_with_the_values_and_the_cushion_is_a_text() -> None:
    body = {
        "netliquidation": ibkr_figure("1000"),
        "initmarginreq": ibkr_figure("400"),
        "maintmarginreq": ibkr_figure("350"),
        "excessliquidity": ibkr_figure("650"),
        "cushion": ibkr_figure("0", None, value="0.65"),
    }
    (value,) = read((), answer("GET portfolio/U1/summary", body, "U1")).values
    assert value.initial_margin == 400
    assert value.maintenance_margin == 350
    assert value.excess_liquidity == 650
    assert value.cushion == Decimal("0.65")
    assert value.buying_power is None


@pytest.mark.parametrize("marked", [{"isNull": True}, {"isNone": True}, {"amount": ""}])
def test_a_figure_that_is_marked_as_null_is_unknown(marked: Row) -> None:
    body = {"netliquidation": ibkr_figure("5"), "totalcashvalue": ibkr_figure("0") | marked}
    (value,) = read((), answer("GET portfolio/U1/summary", body, "U1")).values
    assert (value.nav, value.cash) == (Decimal(5), None)


@pytest.mark.parametrize("scale", [1, 1000])
def test_the_time_of_a_figure_can_be_in_seconds_or_milliseconds(scale: int) -> None:
    at = NOW - timedelta(hours=3)
    figure = ibkr_figure("5", timestamp=int(at.timestamp()) * scale)
    (value,) = read((), answer("GET portfolio/U1/summary", {"netliquidation": figure}, "U1")).values
    assert value.as_of == at


def test_figures_in_another_currency_than_the_accounts_are_told_and_not_compared() -> None:
    body = {"netliquidation": ibkr_figure("5", "USD")}
    batch = read((), answer("GET portfolio/U1/summary", body, "U1"))
    assert batch.values == ()
    assert len(batch.inbox) == 1


# Cash


def test_cash_is_read_by_currency_without_the_total() -> None:
    rows = {
        "EUR": ibkr_cash("2500.4", interest=Decimal("-0.6")),
        "USD": ibkr_cash("715.2", "0.8667", settledcash=Decimal("640.0"), dividends=Decimal("3.21")),
    }
    batch = read((), cash=rows)
    euros, dollars = batch.cash["U1"]
    assert euros == CashBalance(
        account="U1",
        currency="EUR",
        amount=Decimal("2500.4"),
        settled=Decimal("2500.4"),
        accrued_interest=Decimal("-0.6"),
        accrued_dividends=Decimal(0),
        futures_pnl=Decimal(0),
        reported_nav=Decimal("2500.4"),
    )
    assert (dollars.currency, dollars.amount, dollars.settled) == ("USD", Decimal("715.2"), Decimal("640.0"))
    assert dollars.accrued_dividends == Decimal("3.21")
    assert batch.rates == (FxRate("USD", "EUR", NOW.date(), Decimal("0.8667")),)


def test_a_ledger_that_does_not_add_up_to_its_total_closes_nothing() -> None:
    """The first answer after a login can lack currencies."""
    whole = ibkr_ledger({"EUR": ibkr_cash("100"), "USD": ibkr_cash("1000", "0.9")})
    del whole.body["USD"]
    batch = batch_of(answer("GET portfolio/accounts", [ibkr_account()]), whole)
    assert batch.cash == {}
    assert [row.currency for row in batch.partial_cash] == ["EUR"]


def test_rounded_rates_do_not_make_a_ledger_incomplete() -> None:
    rows = {"EUR": ibkr_cash("-90000"), "USD": ibkr_cash("100000", "0.9")}
    rows["BASE"] = ibkr_cash("4.9")  # at 0.900049 for a dollar
    batch = batch_of(
        answer("GET portfolio/accounts", [ibkr_account()]), answer("GET portfolio/U1/ledger", rows, "U1")
    )
    assert list(batch.cash) == ["U1"]


def test_the_last_ledger_counts() -> None:
    batch = read((), ibkr_ledger({"EUR": ibkr_cash("7")}), cash={"EUR": ibkr_cash("5")})
    assert [row.amount for row in batch.cash["U1"]] == [Decimal(7)]


@pytest.mark.parametrize("body", [{"error": "x"}, [], None, "<html>", {}])
def test_a_ledger_that_is_none_goes_to_the_inbox_and_an_earlier_one_counts(body: Any) -> None:
    batch = read((), answer("GET portfolio/U1/ledger", body, "U1"), cash={"EUR": ibkr_cash("5")})
    assert [row.amount for row in batch.cash["U1"]] == [Decimal(5)]
    assert [item.section for item in batch.inbox] == ["ledger"]


def test_a_currency_without_a_balance_goes_to_the_inbox_and_the_others_are_read() -> None:
    rows: dict[str, Any] = {"EUR": ibkr_cash("5"), "USD": ibkr_cash("7", "0.9"), "BASE": ibkr_cash("11.3")}
    rows["USD"]["cashbalance"] = None
    batch = batch_of(
        answer("GET portfolio/accounts", [ibkr_account()]), answer("GET portfolio/U1/ledger", rows, "U1")
    )
    assert batch.cash == {}
    assert [(row.currency, row.amount) for row in batch.partial_cash] == [("EUR", Decimal(5))]
    assert reasons(batch) == ["the cash balance is missing"]


def test_cash_in_pence_is_pounds() -> None:
    batch = read(
        (), cash={"EUR": ibkr_cash("1"), "GBX": ibkr_cash("2500", "0.0116"), "GBP": ibkr_cash("1", "1.16")}
    )
    pounds = batch.cash["U1"][1]
    assert (pounds.currency, pounds.amount, pounds.settled) == ("GBP", Decimal(26), Decimal(26))
    assert batch.rates == (FxRate("GBP", "EUR", NOW.date(), Decimal("1.16")),)


# Positions


def test_every_digit_of_the_fresh_answer_is_kept() -> None:
    row = ibkr_fresh(
        position="2.125",
        marketPrice=Decimal("185.17599487304688"),
        marketValue=Decimal("393.49898910522462"),
        avgPrice=Decimal("144.46141234567891"),
        unrealizedPnl=Decimal("86.518487870656"),
    )
    position, _ = only(read([row]))
    assert position.quantity == Decimal("2.125")
    assert position.price == Decimal("185.17599487304688")
    assert position.market_value == position.exposure == Decimal("393.49898910522462")
    assert position.average_cost == Decimal("144.46141234567891")
    assert position.cost_basis == Decimal("306.98050123456768375")  # 2.125 × the average
    assert position.unrealized_pnl == Decimal("86.518487870656")


def test_figures_come_from_the_fresh_answer_and_names_from_the_cached_one() -> None:
    position, instrument = only(read([ibkr_fresh(position="12")], cached=[ibkr_position(position="10")]))
    assert position.quantity == Decimal(12)
    assert (instrument.name, instrument.symbol) == ("INTL BUSINESS MACHINES CORP", "IBM")
    assert (instrument.exchange, instrument.country) == ("NYSE", "US")
    assert (instrument.sector, instrument.industry) == ("Technology", "Computers")
    assert instrument.is_whole


def test_names_of_cold_rows_come_from_the_definitions() -> None:
    cold: Row = {"ticker": None, "name": None, "fullName": "", "listingExchange": None, "countryCode": None}
    _, instrument = only(
        read([ibkr_fresh()], cached=[ibkr_position(**cold)], definitions=[ibkr_definition()])
    )
    assert (instrument.name, instrument.symbol, instrument.exchange, instrument.country) == (
        "INTL BUSINESS MACHINES CORP", "IBM", "NYSE", "US",
    )  # fmt: skip


def test_an_instrument_that_only_its_position_tells_of_is_not_whole() -> None:
    _, instrument = only(read([ibkr_fresh(description="IBM")]))
    assert (instrument.symbol, instrument.name, instrument.is_whole) == ("IBM", "IBM", False)


def test_a_description_of_sixty_characters_is_whole() -> None:
    text = "DBK    20DEC2027 15.5 C [DBK  271220C00015500 100] ADJUSTED/2"
    assert len(text) == 61
    _, instrument = only(read([ibkr_fresh(description=text, assetClass="OPT", secType="OPT")]))
    assert instrument.description == text


def test_a_row_that_only_the_cached_pages_have_was_sold_since() -> None:
    cached = [ibkr_position(), ibkr_position(265598, ticker="AAPL")]
    batch = read([ibkr_fresh()], cached=cached)
    assert [row.broker_ref for row in batch.positions["U1"]] == ["8314"]


def test_without_completeness_both_answers_count_and_nothing_is_closed() -> None:
    cached = [ibkr_position(position="10"), ibkr_position(265598, ticker="AAPL")]
    batch = read([ibkr_fresh(position="12")], cached=cached, complete=False)
    assert batch.positions == {}
    assert [(row.broker_ref, row.quantity) for row in batch.partial_positions] == [
        ("265598", Decimal(12)), ("8314", Decimal(12)),
    ]  # fmt: skip


def test_an_empty_complete_answer_is_an_empty_account() -> None:
    batch = read([])
    assert batch.positions == {"U1": ()}
    assert batch.inbox == ()


@pytest.mark.parametrize("body", [{"error": "Service Unavailable"}, "<html>", None, {}])
def test_an_answer_that_is_no_list_closes_nothing(body: Any) -> None:
    answers = [a for a in ibkr_answers() if not a.endpoint.startswith("GET portfolio2/")]
    batch = batch_of(*answers, answer("GET portfolio2/U1/positions", body, "U1", complete=True))
    assert batch.positions == {}
    assert [item.section for item in batch.inbox] == ["positions"]


def test_an_account_whose_positions_were_not_answered_is_absent() -> None:
    answers = [a for a in ibkr_answers() if "positions" not in a.endpoint]
    batch = batch_of(*answers)
    assert batch.positions == {}
    assert list(batch.cash) == ["U1"]


@pytest.mark.parametrize(
    "broken",
    [
        {"position": None},
        {"position": "many"},
        {"conid": None},
        {"conid": "AAPL"},
        {"conid": 0},
        {"currency": None},
        {"currency": "dollars"},
    ],
)
def test_a_row_that_cannot_be_typed_is_in_the_inbox_and_closes_nothing(broken: Row) -> None:
    row = ibkr_fresh("265598") | broken
    batch = read([ibkr_fresh(), row])
    assert batch.positions == {}
    assert [kept.broker_ref for kept in batch.partial_positions] == ["8314"]
    assert len(batch.inbox) == 1
    assert "144" in batch.inbox[0].text


def test_a_figure_that_is_no_number_is_unknown_and_told() -> None:
    batch = read([ibkr_fresh(avgPrice="n/a", avgCost=None)])
    position, _ = only(batch)
    assert (position.average_cost, position.cost_basis) == (None, None)
    assert position.market_value == Decimal(2220)
    assert reasons(batch) == ["not a number in avgPrice; kept as unknown"]


def test_a_doubt_is_told_once_however_the_numbers_move() -> None:
    one, other = (read([ibkr_fresh(avgPrice="n/a", price=price)]) for price in ("185", "186"))
    assert one.inbox[0].key == other.inbox[0].key


@pytest.mark.parametrize("price", [Decimal(0), None, "", "NaN"])
def test_a_missing_price_is_unknown_and_not_zero(price: Any) -> None:
    row = ibkr_fresh(marketPrice=price, marketValue=Decimal(0), unrealizedPnl=Decimal(-1728))
    position, _ = only(read([row]))
    assert (position.price, position.market_value, position.unrealized_pnl) == (None, None, None)
    assert position.quantity == Decimal(12)


def test_a_closed_position_stays_in_the_list_with_quantity_zero() -> None:
    row = ibkr_fresh(position="0", avgPrice=Decimal(0), avgCost=Decimal(0), unrealizedPnl=Decimal(0))
    position, _ = only(read([row]))
    assert position.quantity == 0


def test_the_money_of_another_quantity_is_not_mixed_in() -> None:
    fresh = ibkr_fresh(position="12", marketPrice=None, marketValue=None, unrealizedPnl=None)
    position, _ = only(read([fresh], cached=[ibkr_position(position="10")]))
    assert (position.quantity, position.price, position.market_value) == (Decimal(12), None, None)
    position, _ = only(read([fresh], cached=[ibkr_position(position="12")]))
    assert (position.price, position.market_value) == (Decimal(185), Decimal(2220))


def test_a_contract_in_two_models_is_one_position() -> None:
    rows = [ibkr_fresh(position="10", model="A", avgPrice=Decimal(100)), ibkr_fresh(position="5", model="B")]
    position, _ = only(read(rows))
    # (10 × 100 + 5 × 144) / 15
    assert (position.quantity, position.market_value) == (Decimal(15), Decimal(2775))
    assert position.cost_basis == pytest.approx(Decimal(1720), abs=Decimal("1e-20"))


def test_a_row_that_shifting_pages_repeat_counts_once() -> None:
    answers = [
        answer("GET portfolio/accounts", [ibkr_account()]),
        answer("GET portfolio/U1/positions/0", [ibkr_position()], "U1", attempt=1),
        answer("GET portfolio/U1/positions/1", [ibkr_position(price="186")], "U1", attempt=1),
        answer("GET portfolio2/U1/positions", [], "U1", complete=False),
    ]
    (position,) = batch_of(*answers).partial_positions
    assert (position.quantity, position.price) == (Decimal(12), Decimal(186))


def test_pages_of_an_earlier_attempt_only_lend_their_names() -> None:
    cold = ibkr_position(265598, ticker=None, name=None, fullName=None)
    warm = [ibkr_position(), ibkr_position(265598, ticker="AAPL")]
    answers = [
        answer("GET portfolio/accounts", [ibkr_account()]),
        answer("GET portfolio/U1/positions/0", warm, "U1", attempt=1),
        answer("GET portfolio/U1/positions/0", [cold], "U1", attempt=2),
    ]
    batch = batch_of(*answers)
    assert [row.broker_ref for row in batch.partial_positions] == ["265598"]
    assert next(i.symbol for i in batch.instruments if i.broker_ref == "265598") == "AAPL"


def test_one_contract_with_two_quantities_in_one_answer_is_told() -> None:
    batch = read([ibkr_fresh(position="12"), ibkr_fresh(position="13")])
    assert len([*batch.positions.get("U1", ()), *batch.partial_positions]) == 1
    assert reasons(batch) == ["one contract twice in one answer"]


def test_rows_of_segments_are_left_out_and_those_of_other_accounts_told() -> None:
    cached = [ibkr_position(), ibkr_position(acctId="U1C"), ibkr_position(265598, acctId="U9")]
    batch = read([ibkr_fresh()], cached=cached)
    assert [row.broker_ref for row in batch.positions["U1"]] == ["8314"]
    assert reasons(batch) == ["a row of U9, not asked for"]


@pytest.mark.parametrize("conid", [8314, "8314", Decimal("8314.0")])
def test_the_contract_number_may_be_a_number_or_a_text(conid: Any) -> None:
    position, _ = only(read([ibkr_fresh() | {"conid": conid}]))
    assert position.broker_ref == "8314"


def test_the_largest_contract_number_is_kept() -> None:
    position, _ = only(read([ibkr_fresh("9223372036854775807")]))
    assert position.broker_ref == "9223372036854775807"


def test_a_price_has_the_time_of_its_valuation() -> None:
    friday = datetime(2026, 2, 27, 21, 0, tzinfo=UTC)
    position, _ = only(read([ibkr_fresh(timestamp=int(friday.timestamp()))]))
    assert position.priced_at == friday


@pytest.mark.parametrize("timestamp", [None, 0, "soon", int(NOW.timestamp()) + 10**7])
def test_a_price_without_a_sensible_time_is_of_the_moment_it_was_asked(timestamp: Any) -> None:
    position, _ = only(read([ibkr_fresh(timestamp=timestamp)]))
    assert position.priced_at == NOW


# Asset classes


@pytest.mark.parametrize(
    ("code", "type_", "wanted"),
    [
        ("STK", "COMMON", AssetClass.STOCK),
        ("STK", "ADR", AssetClass.STOCK),
        ("STK", "", AssetClass.STOCK),
        ("STK", "ETF", AssetClass.ETF),
        ("FUND", "", AssetClass.FUND),
        ("OPT", "", AssetClass.OPTION),
        ("FUT", "", AssetClass.FUTURE),
        ("FOP", "", AssetClass.FUTURE_OPTION),
        ("BOND", "", AssetClass.BOND),
        ("BILL", "", AssetClass.BOND),
        ("CASH", "", AssetClass.CASH),
        ("CRYPTO", "", AssetClass.CRYPTO),
        ("WAR", "", AssetClass.WARRANT),
        ("IOPT", "", AssetClass.STRUCTURED),
        ("CFD", "", AssetClass.CFD),
        ("CMDTY", "", AssetClass.COMMODITY),
    ],
)
def test_each_code_has_its_asset_class(code: str, type_: str, wanted: AssetClass) -> None:
    details: Row = {"assetClass": code, "type": type_, "multiplier": Decimal(1)}
    batch = read([ibkr_fresh(assetClass=code, secType=code)], definitions=[ibkr_definition(**details)])
    _, instrument = only(batch)
    assert instrument.asset_class is wanted
    assert batch.inbox == ()


def test_an_unknown_asset_class_is_shown_with_the_brokers_value_and_told() -> None:
    batch = read([ibkr_fresh(assetClass="EC", secType="EC")])
    position, instrument = only(batch)
    assert instrument.asset_class is AssetClass.OTHER
    assert position.market_value == Decimal(2220)
    assert reasons(batch) == ["the asset class EC is not known"]


def option(**more: Any) -> Row:
    """A short call, as IBKR's documentation has it."""
    figures: Row = {
        "description": "SPY    JAN2027 440 C [SPY   270115C00440000 100]",
        "assetClass": "OPT",
        "secType": "OPT",
        "avgCost": Decimal("5801.0401"),
        "avgPrice": Decimal("58.010401"),
        "marketPrice": Decimal("95.7070618"),
        "marketValue": Decimal("-9570.70618"),
        "unrealizedPnl": Decimal("-3769.66608"),
    }
    return ibkr_fresh("584891614", "-1", **(figures | more))


def test_an_option_has_its_terms_from_its_definition() -> None:
    definition = ibkr_definition(
        584891614, assetClass="OPT", ticker="SPY", name="SPDR S&P 500 ETF TRUST", expiry="20270115",
        putOrCall="C", strike="440", undConid=756733, undSym="SPY", multiplier=Decimal("100.0"), type="",
    )  # fmt: skip
    position, instrument = only(read([option(description="SPY CALL")], definitions=[definition]))
    assert (instrument.strike, instrument.right, instrument.expires_on) == (
        Decimal(440), "call", date(2027, 1, 15),
    )  # fmt: skip
    assert (instrument.multiplier, instrument.quote_factor) == (Decimal(100), Decimal(1))
    assert (instrument.underlying_ref, instrument.underlying_symbol) == ("756733", "SPY")
    assert position.cost_basis == Decimal("-5801.0401")  # −1 × 58.010401 × 100


def test_an_option_has_its_terms_from_its_text_when_nothing_else_tells_them() -> None:
    position, instrument = only(read([option()]))
    assert (instrument.strike, instrument.right, instrument.expires_on, instrument.multiplier) == (
        Decimal(440), "call", date(2027, 1, 15), Decimal(100),
    )  # fmt: skip
    assert instrument.symbol == "SPY"
    assert position.market_value == Decimal("-9570.70618")


def test_a_text_without_the_standard_tail_tells_strike_and_right() -> None:
    _, instrument = only(read([option(description="DBK    DEC2027 15.5 P")]))
    assert (instrument.strike, instrument.right, instrument.expires_on) == (Decimal("15.5"), "put", None)
    assert instrument.multiplier == Decimal(100)  # from the value: −9570.71 = −1 × 95.71 × 100


@pytest.mark.parametrize("multiplier", [None, Decimal(0), "", "0"])
def test_no_multiplier_means_one(multiplier: Any) -> None:
    _, instrument = only(read([ibkr_fresh()], cached=[ibkr_position(multiplier=multiplier)]))
    assert instrument.multiplier == Decimal(1)


def test_a_value_that_contradicts_the_multiplier_is_the_brokers_and_told() -> None:
    batch = read([ibkr_fresh(marketValue=Decimal(2500))])
    position, instrument = only(batch)
    assert (position.market_value, instrument.multiplier) == (Decimal(2500), Decimal(1))
    assert reasons(batch) == ["the value is not quantity × price × 1; the value of IBKR is used"]


@pytest.mark.parametrize(
    ("quantity", "value", "factor"),
    [
        ("10000", "9850", "0.01"),  # face amount, percent
        ("10", "9850", "10"),  # face in thousands, percent
        ("100", "9850", "1"),  # money per unit
    ],
)
def test_a_bond_is_valued_as_the_broker_values_it(quantity: str, value: str, factor: str) -> None:
    row = ibkr_fresh(position=quantity, price="98.5", assetClass="BOND", secType="BOND", avgPrice=Decimal(97))
    position, instrument = only(read([row | {"marketValue": Decimal(value)}]))
    assert (instrument.multiplier, instrument.quote_factor) == (Decimal(1), Decimal(factor))
    assert position.market_value == Decimal(value)
    assert position.cost_basis == Decimal(97) * Decimal(quantity) * Decimal(factor)


def test_a_bond_without_a_value_is_in_percent_of_face() -> None:
    row = ibkr_fresh(assetClass="BOND", secType="BOND", marketValue=None)
    _, instrument = only(read([row]))
    assert instrument.quote_factor == Decimal("0.01")


def test_a_certificate_is_valued_per_unit_whatever_its_conversion_ratio() -> None:
    row = ibkr_fresh(assetClass="IOPT", secType="IOPT")
    batch = read([row], definitions=[ibkr_definition(assetClass="IOPT", multiplier=Decimal("0.1"))])
    _, instrument = only(batch)
    assert instrument.multiplier == Decimal(1)
    assert batch.inbox == ()


@pytest.mark.parametrize("code", ["GBX", "GBp"])
def test_pence_become_pounds(code: str) -> None:
    row = ibkr_fresh(
        currency=code, price="250", avgPrice=Decimal(200), avgCost=Decimal(200), unrealizedPnl=Decimal(600)
    )
    position, instrument = only(read([row]))
    assert instrument.currency == "GBP"
    assert (position.price, position.market_value) == (Decimal("2.5"), Decimal(30))
    assert (position.average_cost, position.cost_basis, position.unrealized_pnl) == (
        Decimal(2), Decimal(24), Decimal(6),
    )  # fmt: skip


@pytest.mark.parametrize(("average", "unrealized"), [("200", "6"), ("2", "6")])
def test_a_price_in_pence_beside_a_value_in_pounds_is_scaled(average: str, unrealized: str) -> None:
    """12 × 250 pence = 30 pounds; they cost 24, whichever unit the average is in."""
    row = ibkr_fresh(
        currency="GBP",
        price="250",
        marketValue=Decimal(30),
        avgPrice=Decimal(average),
        unrealizedPnl=Decimal(unrealized),
    )
    batch = read([row])
    position, _ = only(batch)
    assert (position.price, position.market_value) == (Decimal("2.5"), Decimal(30))
    assert (position.average_cost, position.cost_basis) == (Decimal(2), Decimal(24))
    assert batch.inbox == ()


def test_a_currency_pair_adds_nothing_to_nav() -> None:
    position, _ = only(read([ibkr_fresh(description="EUR.USD", assetClass="CASH", secType="CASH")]))
    assert (position.market_value, position.exposure) == (Decimal(0), Decimal(2220))


def test_a_cfd_adds_its_profit_to_nav() -> None:
    position, _ = only(read([ibkr_fresh(assetClass="CFD", secType="CFD")]))
    # 12 × 185 = 2220 of exposure; 2220 − 12 × 144 = 492 of profit.
    assert (position.market_value, position.exposure) == (Decimal(492), Decimal(2220))


def future(conid: str = "1", unrealized: str = "500") -> Row:
    """One contract at 5000 × 50."""
    return ibkr_fresh(
        conid,
        "1",
        price="5000",
        assetClass="FUT",
        secType="FUT",
        avgPrice=Decimal(4990),
        avgCost=Decimal(249500),
        marketValue=Decimal(250000),
        unrealizedPnl=Decimal(unrealized),
    )


def variations(rows: Iterable[Row], total: str | None) -> list[Decimal | None]:
    pnl = None if total is None else Decimal(total)
    cash = {"EUR": ibkr_cash(), "USD": ibkr_cash("0", "0.9", futuresonlypnl=pnl)}
    return [row.market_value for row in read(list(rows), cash=cash).positions["U1"]]


def test_futures_carry_their_own_profit_when_that_is_what_the_ledger_counts() -> None:
    assert variations([future("1", "500"), future("2", "-120.004")], "380") == [
        Decimal(500), Decimal("-120.004"),
    ]  # fmt: skip


def test_a_single_future_carries_what_the_ledger_counts() -> None:
    assert variations([future("1", "500")], "125") == [Decimal(125)]


def test_futures_whose_shares_are_not_told_are_unknown_one_by_one() -> None:
    assert variations([future("1", "500"), future("2", "-120")], "125") == [None, None]
    assert variations([future("1", "500")], None) == [None]


def test_a_future_has_its_notional_as_exposure_and_its_multiplier_from_the_value() -> None:
    position, instrument = only(read([future()], cash={"EUR": ibkr_cash()}))
    assert (position.exposure, instrument.multiplier) == (Decimal(250000), Decimal(50))


def test_a_short_position_has_a_negative_cost_basis() -> None:
    position, _ = only(read([ibkr_fresh(position="-12")]))
    assert (position.quantity, position.market_value, position.cost_basis) == (
        Decimal(-12), Decimal(-2220), Decimal(-1728),
    )  # fmt: skip


# Texts


def test_hostile_markup_is_kept_as_the_text_it_is() -> None:
    hostile = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    _, instrument = only(read([ibkr_fresh()], cached=[ibkr_position(name=hostile, ticker="<b>")]))
    assert (instrument.name, instrument.symbol) == (hostile, "<b>")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("AT&amp;T INC", "AT&T INC"),
        ("S&P 500", "S&P 500"),
        ("M&GT TRUST", "M&GT TRUST"),
        ("Caf&#233;", "Café"),
    ],
)
def test_entities_in_names_become_what_they_stand_for(written: str, meant: str) -> None:
    _, instrument = only(read([ibkr_fresh()], cached=[ibkr_position(name=written)]))
    assert instrument.name == meant


def test_the_chinese_name_is_the_last_resort() -> None:
    row = ibkr_position(name=None, fullName="", chineseName="&#x82F9;&#x679C;")
    _, instrument = only(read([ibkr_fresh()], cached=[row]))
    assert instrument.name == "苹果"
    _, instrument = only(read([ibkr_fresh()], cached=[ibkr_position(chineseName="&#x82F9;")]))
    assert instrument.name == "INTL BUSINESS MACHINES CORP"


def test_half_a_character_is_written_out() -> None:
    """JSON can escape one; a database cannot store it."""
    batch = read([ibkr_fresh(), {"conid": None, "name": "A\ud83d"}], cached=[ibkr_position(name="A\ud83d")])
    assert batch.instruments[0].name == r"A\ud83d"
    assert r"A\ud83d" in batch.inbox[0].text


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_an_unknown_country_or_sector_stays_unknown(nothing: Any) -> None:
    row = ibkr_position(countryCode=nothing, sector=nothing, group=nothing, listingExchange=nothing)
    _, instrument = only(read([ibkr_fresh(sector=nothing, group=nothing)], cached=[row]))
    assert (instrument.country, instrument.sector, instrument.industry, instrument.exchange) == (
        None, None, None, None,
    )  # fmt: skip


# Activities


def told(*rows: Any, **options: Any) -> Batch:
    return read([ibkr_fresh()], ibkr_transactions(rows, **options))


def test_a_purchase_is_an_activity() -> None:
    (activity,) = told(ibkr_transaction("Buy", "4", "645.155")).activities
    assert (activity.kind, activity.trade_date, activity.broker_ref) == (
        ActivityKind.BUY, date(2026, 3, 2), "8314",
    )  # fmt: skip
    assert (activity.quantity, activity.price, activity.gross) == (
        Decimal(4), Decimal("645.155"), Decimal("-2580.620"),
    )  # fmt: skip
    assert (activity.currency, activity.fee, activity.tax) == ("USD", None, None)


@pytest.mark.parametrize("quantity", ["-4", "4"])
def test_a_sale_has_a_negative_quantity(quantity: str) -> None:
    (activity,) = told(ibkr_transaction("Sell", quantity, amt=Decimal(400))).activities
    assert (activity.kind, activity.quantity, activity.gross) == (
        ActivityKind.SELL,
        Decimal(-4),
        Decimal(400),
    )


@pytest.mark.parametrize("kind", ["Dividend Payment", "Payment In Lieu"])
def test_a_dividend_has_an_amount_and_no_quantity(kind: str) -> None:
    row = ibkr_transaction(kind, amt=Decimal("7.31"))
    del row["qty"], row["pr"]
    (activity,) = told(row).activities
    assert (activity.kind, activity.quantity, activity.gross) == (
        ActivityKind.DIVIDEND,
        None,
        Decimal("7.31"),
    )


@pytest.mark.parametrize(
    ("quantity", "kind"), [("5", ActivityKind.TRANSFER_IN), ("-5", ActivityKind.TRANSFER_OUT)]
)
def test_a_transfer_of_securities_moves_no_cash(quantity: str, kind: ActivityKind) -> None:
    (activity,) = told(ibkr_transaction("Transfer", quantity, amt=Decimal(500))).activities
    assert (activity.kind, activity.quantity, activity.gross) == (kind, Decimal(quantity), Decimal(0))
    assert activity.value == Decimal(500).copy_sign(Decimal(quantity))


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "Corporate Action"},
        {"type": None},
        {"qty": None},
        {"qty": "some"},
        {"rawDate": None, "date": "yesterday"},
        {"conid": None},
        {"acctid": "U9"},
        {"type": "Dividend Payment", "amt": None},
        {"type": "Transfer", "qty": None},
    ],
)
def test_a_row_that_is_not_understood_is_in_the_inbox_and_the_days_are_not_covered(broken: Row) -> None:
    batch = told(ibkr_transaction(), ibkr_transaction(quantity="7") | broken)
    assert [activity.quantity for activity in batch.activities] == [Decimal(4)]
    assert [item.section for item in batch.inbox] == ["transactions"]
    assert batch.coverage == ()


def test_an_answer_says_which_days_it_covers() -> None:
    assert told().coverage == (Coverage("U1", "8314", date(2025, 12, 4), date(2026, 3, 4)),)


@pytest.mark.parametrize("body", [{"error": "x"}, [], None, {"id": "getTransactions"}])
def test_an_answer_that_is_not_understood_covers_nothing(body: Any) -> None:
    broken = replace(ibkr_transactions([]), body=body)
    batch = read([ibkr_fresh()], broken)
    assert (batch.activities, batch.coverage) == ((), ())
    assert [item.section for item in batch.inbox] == ["transactions"]


def test_an_answer_without_its_range_covers_nothing() -> None:
    assert told(**{"from": None}).coverage == ()


def test_the_text_date_counts_where_there_is_no_raw_one() -> None:
    row = ibkr_transaction(date="Tue Mar 31 00:00:00 EDT 2026", rawDate=None)
    (activity,) = told(row).activities
    assert activity.trade_date == date(2026, 3, 31)


def test_two_identical_fills_are_two() -> None:
    first, second = told(ibkr_transaction(), ibkr_transaction()).activities
    assert first.key != second.key
    assert replace(first, key="") == replace(second, key="")


def test_the_key_of_a_fill_stays_when_older_ones_leave_the_answer() -> None:
    older = ibkr_transaction(rawDate="20260105")
    before = told(older, ibkr_transaction(), ibkr_transaction()).activities
    after = told(ibkr_transaction(), ibkr_transaction()).activities
    assert {activity.key for activity in after} < {activity.key for activity in before}


def test_the_key_does_not_depend_on_how_a_number_is_written() -> None:
    (one,) = told(ibkr_transaction(quantity="4", price="100")).activities
    (other,) = told(ibkr_transaction(quantity="4.0", price="100.00")).activities
    assert one.key == other.key


def test_the_same_answer_twice_tells_of_each_fill_once() -> None:
    rows = [ibkr_transaction(), ibkr_transaction()]
    batch = read([ibkr_fresh()], ibkr_transactions(rows), ibkr_transactions(rows))
    assert len(batch.activities) == 2


def test_only_a_rate_to_the_accounts_own_currency_is_kept() -> None:
    row = ibkr_transaction(fxRate=Decimal("0.92"))
    assert told(row, currency="EUR").activities[0].fx_rate == Decimal("0.92")
    assert told(row, currency="USD").activities[0].fx_rate is None


def test_an_activity_in_pence_is_in_pounds() -> None:
    (activity,) = told(ibkr_transaction(cur="GBX", quantity="4", price="250")).activities
    assert (activity.currency, activity.price, activity.gross) == ("GBP", Decimal("2.5"), Decimal(-10))


def test_an_instrument_that_only_its_trades_tell_of_is_kept() -> None:
    row = ibkr_transaction(conid=999, quantity="2", price="3.5", amt=Decimal(-700), desc="SPY CALL")
    batch = read([], ibkr_transactions([row], conid=999))
    (instrument,) = batch.instruments
    assert (instrument.broker_ref, instrument.name, instrument.asset_class) == (
        "999", "SPY CALL", AssetClass.OTHER,
    )  # fmt: skip
    assert (instrument.multiplier, instrument.is_whole) == (Decimal(100), False)


# NAV history


def test_values_of_past_days_are_kept_with_the_one_before_them() -> None:
    answered = ibkr_performance(
        {"20260302": "48114.4", "20260303": "48047.1"},
        startNAV={"date": "20260227", "val": Decimal("48100.0")},
    )
    assert read((), answered).navs == (
        NavPoint("U1", date(2026, 2, 27), Decimal("48100.0"), "EUR"),
        NavPoint("U1", date(2026, 3, 2), Decimal("48114.4"), "EUR"),
        NavPoint("U1", date(2026, 3, 3), Decimal("48047.1"), "EUR"),
    )


def test_days_and_values_of_different_length_meet_at_the_shorter() -> None:
    answered = ibkr_performance({"20260302": "1", "20260303": "2"})
    answered.body["nav"]["dates"].append("20260304")
    assert [point.on.day for point in read((), answered).navs] == [2, 3]


def test_a_day_without_a_value_is_left_out() -> None:
    answered = ibkr_performance({"20260302": "1", "20260303": "NaN"})
    assert [point.on.day for point in read((), answered).navs] == [2]


@pytest.mark.parametrize("more", [{"id": "U9"}, {"navs": None}, {"navs": ["x"]}, {"baseCurrency": "euro"}])
def test_a_series_that_is_not_understood_is_in_the_inbox(more: Row) -> None:
    batch = read((), ibkr_performance({"20260302": "1"}, **more))
    assert batch.navs == ()
    assert [item.section for item in batch.inbox] == ["performance"]


# The whole


def test_an_answer_that_nothing_reads_is_told() -> None:
    batch = read((), answer("GET portfolio/U1/combo", [], "U1"))
    assert reasons(batch) == ["nothing reads this answer"]


@given(st.integers(0, 10**6))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    rows = [ibkr_fresh(), option(), future("1"), future("2"), ibkr_fresh("5", currency="GBX"), {"conid": "6"}]
    answers = [
        *ibkr_answers(
            rows,
            cached=[
                ibkr_position(),
                ibkr_position(5, currency="GBX", ticker="VOD"),
                ibkr_position(7, acctId="U9"),
            ],
            definitions=[ibkr_definition(), ibkr_definition(5, currency="GBP")],
            cash={"EUR": ibkr_cash("5"), "USD": ibkr_cash("-7", "0.9"), "CHF": ibkr_cash("3", "1.1")},
        ),
        ibkr_transactions(
            [ibkr_transaction(), ibkr_transaction(), ibkr_transaction("Sell", "-2"), {"type": "?"}]
        ),
        ibkr_performance({"20260302": "1", "20260303": "2"}),
    ]
    assert transform(raw(*shuffled(answers, seed))) == transform(raw(*answers))


def test_the_return_that_ibkr_tells_is_kept_with_its_days() -> None:
    """From the end of 27 February on: 2, 3 and 4 March."""
    dates = ["20260302", "20260303", "20260304"]
    grown = {"id": "U1", "returns": [Decimal("0.0003"), Decimal("-0.0011"), Decimal("0.0024")]}
    told = ibkr_performance(dict.fromkeys(dates, "100"), startNAV={"date": "20260227", "val": Decimal(100)})
    body = {**told.body, "pm": "TWR", "cps": {"freq": "D", "dates": dates, "data": [grown]}}
    batch = batch_of(*ibkr_answers(), replace(told, body=body))
    (figure,) = batch.figures
    assert (figure.section, figure.name, figure.amount) == ("PortfolioAnalyst", "twr", Decimal("0.0024"))
    assert (figure.since, figure.until) == (date(2026, 2, 28), date(2026, 3, 4))
    # A return weighted by money is another one.
    assert not batch_of(*ibkr_answers(), replace(told, body={**body, "pm": "MWR"})).figures
