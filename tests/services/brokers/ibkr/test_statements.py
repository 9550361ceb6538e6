"""Flex statements to ledger types; in golden/flex are statements and what they say, worked out by hand."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from stonks_overwatch.errors import StatementError
from stonks_overwatch.ledger.types import Activity
from stonks_overwatch.services.brokers.ibkr.statements import Reading, looks_like_statement, read

GOLDEN = Path(__file__).parents[3] / "golden" / "flex"
NOW = datetime(2025, 7, 1, 12, tzinfo=UTC)


def reading(xml: str | bytes, account: str | None = None) -> Reading:
    content = xml.encode() if isinstance(xml, str) else xml
    return read(BytesIO(content), login="", fetched_at=NOW, account=account)


def plain(value: Any, like: Any) -> Any:
    """A value as the expected JSON has it; the same number in another spelling counts as the same."""
    if isinstance(value, Decimal):
        return like if isinstance(like, str) and Decimal(like) == value else str(value)
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def matches(row: Any, wanted: dict[str, Any]) -> bool:
    return all(plain(getattr(row, name), value) == value for name, value in wanted.items())


@pytest.mark.parametrize("story", sorted(GOLDEN.glob("*.xml")), ids=lambda story: story.stem)
def test_a_statement_says_what_was_worked_out_by_hand(story: Path) -> None:
    found = reading(story.read_bytes())
    wanted = json.loads(story.with_suffix(".json").read_text())
    assert wanted.pop("about")
    assert sorted(item.reason for item in found.batch.inbox) == sorted(wanted.pop("inbox", []))
    if "missing" in wanted:
        assert [section.name for section in found.missing] == wanted.pop("missing")
    if "repeats" in wanted:
        assert found.repeats == wanted.pop("repeats")
    rows: dict[str, Iterable[Any]] = {
        name: getattr(found.batch, name) for name in wanted if name not in ("positions", "cash")
    }
    for name in {"positions", "cash"} & wanted.keys():
        rows[name] = [row for of in getattr(found.batch, name).values() for row in of]
    for name, told in wanted.items():
        left = list(rows[name])
        for row in told:
            same = next((one for one in left if matches(one, row)), None)
            assert same is not None, f"no {name} like {row} in {left}"
            left.remove(same)
        assert not left, f"{name} nobody expected"


# Single rows, in a frame that says the rest


def trade(**changes: str) -> str:
    told = {
        "accountId": "U1", "currency": "USD", "assetCategory": "STK", "symbol": "EXMP", "conid": "1001",
        "description": "EXAMPLE CORP", "tradeDate": "20250304", "quantity": "10", "tradePrice": "100",
        "proceeds": "-1000", "ibCommission": "-1", "ibCommissionCurrency": "USD", "taxes": "0",
        "buySell": "BUY", "levelOfDetail": "EXECUTION",
    } | changes  # fmt: skip
    told_fields = " ".join(f'{name}="{value}"' for name, value in told.items())
    return f"<Trade {told_fields} />"


def statement(*rows: str, section: str = "Trades", **changes: str) -> str:
    about = {"accountId": "U1", "fromDate": "20250301", "toDate": "20250331"} | changes
    about_fields = " ".join(f'{name}="{value}"' for name, value in about.items())
    return f"<FlexStatement {about_fields}><{section}>{''.join(rows)}</{section}></FlexStatement>"


def document(*statements: str) -> str:
    return (
        f'<FlexQueryResponse queryName="Q" type="AF"><FlexStatements count="{len(statements)}">'
        f"{''.join(statements)}</FlexStatements></FlexQueryResponse>"
    )


def one(**changes: str) -> Activity:
    found = reading(document(statement(trade(**changes)))).batch
    assert [item.reason for item in found.inbox] == []
    return found.activities[0]


EASTERN = datetime(2025, 3, 4, 14, 30, 1, tzinfo=UTC)  # 09:30:01 in New York, five hours behind


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("20250304;093001", EASTERN),
        ("2025-03-04;09:30:01", EASTERN),
        ("2025-03-04, 09:30:01", EASTERN),
        ("2025-03-04 09:30:01", EASTERN),
        ("2025-03-04T09:30:01", EASTERN),
        ("04-Mar-25 09:30:01", EASTERN),
        ("04-MAR-2025;093001", EASTERN),
        ("20250304093001", EASTERN),
        ("20250304;093001 EST", EASTERN),
        ("2025-03-04;09:30:01 EDT", datetime(2025, 3, 4, 13, 30, 1, tzinfo=UTC)),
        ("2025-03-04;09:30:01 GMT", datetime(2025, 3, 4, 9, 30, 1, tzinfo=UTC)),
        ("2025-03-04;09:30:01 +0100", datetime(2025, 3, 4, 8, 30, 1, tzinfo=UTC)),
        ("2025-03-04;09:30:01 XYZT", None),
        ("20250304", None),
    ],
)
def test_dates_and_times_are_read_in_every_spelling(text: str, at: datetime | None) -> None:
    activity = one(dateTime=text)

    assert activity.trade_at == at
    assert activity.trade_date == date(2025, 3, 4)


def test_summer_time_in_new_york_is_four_hours_behind() -> None:
    assert one(dateTime="20250704;093001").trade_at == datetime(2025, 7, 4, 13, 30, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "traded", "wanted"),
    [
        ("03/01/2025", "03/31/2025", "03/04/2025", date(2025, 3, 4)),
        ("01/03/2025", "31/03/2025", "04/03/2025", date(2025, 3, 4)),
        ("03/01/25", "03/31/25", "03/04/25", date(2025, 3, 4)),
        ("01/03/25", "31/03/25", "04/03/25", date(2025, 3, 4)),
        # No day is above 12, but only one reading ends after it begins.
        ("01/12/2025", "02/03/2025", "02/02/2025", date(2025, 2, 2)),
    ],
)
def test_the_file_decides_between_month_first_and_day_first(
    since: str, until: str, traded: str, wanted: date
) -> None:
    xml = document(statement(trade(tradeDate=traded), fromDate=since, toDate=until))

    assert reading(xml).batch.activities[0].trade_date == wanted


def test_a_row_can_decide_where_the_period_does_not() -> None:
    rows = trade(tradeDate="02/03/2025", tradeID="1"), trade(tradeDate="25/03/2025", tradeID="2")
    xml = document(statement(*rows, fromDate="01/01/2025", toDate="12/12/2025"))

    assert [a.trade_date for a in reading(xml).batch.activities] == [date(2025, 3, 2), date(2025, 3, 25)]


@pytest.mark.parametrize(
    "rows",
    [
        trade(tradeDate="02/03/2025"),
        # A date in the name of a bond proves nothing.
        trade(tradeDate="02/03/2025", symbol="EXMP 4 03/19/30", description="EXMP 4 03/19/30"),
        trade(tradeDate="25/03/2025") + trade(tradeDate="03/25/2025"),
    ],
)
def test_dates_that_can_be_read_both_ways_are_refused(rows: str) -> None:
    xml = document(statement(rows, fromDate="02/01/2025", toDate="03/01/2025"))

    with pytest.raises(StatementError) as caught:
        reading(xml)

    assert "yyyyMMdd" in caught.value.next_step


def test_two_equal_fills_without_a_number_are_two_and_stay_the_same_two() -> None:
    first = reading(document(statement(trade(), trade()))).batch.activities
    again = reading(document(statement(trade(), trade(), toDate="20250630"))).batch.activities

    assert len({a.key for a in first}) == 2
    assert {a.key for a in first} == {a.key for a in again}


def test_a_statement_that_is_in_the_file_twice_counts_once() -> None:
    found = reading(document(*[statement(trade(), trade(), trade(tradeID="7"))] * 2)).batch

    assert len(found.activities) == 3


def test_two_rows_of_one_number_with_other_contents_are_both_kept() -> None:
    found = reading(document(statement(trade(tradeID="7"), trade(tradeID="7", quantity="11")))).batch

    assert {a.quantity for a in found.activities} == {Decimal(10), Decimal(11)}
    assert "same number" in found.inbox[0].reason


def test_the_sign_of_the_quantity_follows_the_side() -> None:
    assert one(buySell="SELL", quantity="10", proceeds="1000").quantity == -10
    assert one(buySell="SELL", quantity="-10", proceeds="1000").quantity == -10
    assert one(buySell="SELL (Ca.)", quantity="10", proceeds="-1000").quantity == 10
    assert one(buySell="", quantity="-10", proceeds="1000").kind == "sell"


@pytest.mark.parametrize(
    ("changes", "gross"),
    [
        ({"proceeds": ""}, -1000),  # 10 × 100
        ({"proceeds": "", "netCash": "-1001.50", "taxes": "-0.5"}, -1000),  # net, less fee and tax
        ({"proceeds": "", "tradeMoney": "1000.01"}, Decimal("-1000.01")),
        ({"proceeds": "", "assetCategory": "OPT", "multiplier": "100"}, -100000),
        ({"proceeds": "", "assetCategory": "BOND", "quantity": "10000", "tradePrice": "98.5"}, -9850),
        ({"proceeds": "-50000", "assetCategory": "FUT", "multiplier": "50"}, 0),
        ({"proceeds": "-1000", "assetCategory": "CFD", "netCash": "24"}, 25),  # profit 25, commission 1
        ({"proceeds": "", "tradePrice": ""}, None),
    ],
)
def test_the_money_of_a_trade_comes_from_the_best_field_there_is(
    changes: dict[str, str], gross: Decimal | None
) -> None:
    assert one(**changes).gross == gross


def test_a_commission_that_is_not_told_is_unknown() -> None:
    assert one(ibCommission="").fee is None


def test_a_value_that_ibkr_writes_as_nothing_is_unknown() -> None:
    for nothing in ("", "-", "--", "N/A", "MULTI"):
        activity = one(cost=nothing, settleDateTarget=nothing, fxRateToBase=nothing)
        assert (activity.cost, activity.settlement_date, activity.fx_rate) == (None, None, None)


def test_rows_without_an_account_get_the_one_that_is_given() -> None:
    xml = document(f"<FlexStatement><Trades>{trade(accountId='')}</Trades></FlexStatement>")

    assert reading(xml).batch.inbox[0].reason == "the row names no account"
    assert reading(xml, account="U9").batch.activities[0].account == "U9"


def test_an_instrument_is_put_together_from_all_rows_that_tell_of_it() -> None:
    info = (
        '<SecurityInfo assetCategory="STK" subCategory="ETF" symbol="EXMP" description="EXAMPLE FUND" '
        'conid="1001" isin="IE0000040016" maturity="" />'
    )
    xml = document(statement(trade(isin="")), statement(info, section="SecuritiesInfo"))

    (instrument,) = reading(xml).batch.instruments
    assert (instrument.name, instrument.isin) == ("EXAMPLE FUND", "IE0000040016")
    assert instrument.asset_class == "etf"
    assert instrument.is_whole


def test_a_name_that_came_as_markup_is_plain_text() -> None:
    (instrument,) = reading(document(statement(trade(description="AT&amp;amp;T INC")))).batch.instruments

    assert instrument.name == "AT&T INC"


def test_a_row_without_a_contract_number_finds_it_by_its_isin() -> None:
    rows = trade(conid="", isin="US0000010016", tradeID="1"), trade(isin="US0000010016", tradeID="2")

    found = reading(document(statement(*rows))).batch

    assert [a.broker_ref for a in found.activities] == ["1001", "1001"]
    assert [i.broker_ref for i in found.instruments] == ["1001"]


def test_two_shares_of_one_symbol_are_told_apart_by_the_isin_in_the_text() -> None:
    def dividend(isin: str, amount: str) -> str:
        return (
            '<CashTransaction accountId="U1" currency="USD" symbol="SAME" dateTime="20250304" '
            f'type="Dividends" amount="{amount}" '
            f'description="SAME({isin}) CASH DIVIDEND USD 0.21 PER SHARE" />'
        )

    rows = dividend("US0000010016", "5"), dividend("IE0000040016", "6")
    found = reading(document(statement(*rows, section="CashTransactions"))).batch

    assert {a.broker_ref for a in found.activities} == {"US0000010016", "IE0000040016"}
    assert {i.isin for i in found.instruments} == {"US0000010016", "IE0000040016"}


def test_an_account_whose_currency_no_row_tells_is_kept_in_none() -> None:
    assert reading(document(statement(trade()))).batch.accounts[0].currency == "XXX"
    assert reading(document(statement(trade(fxRateToBase="1")))).batch.accounts[0].currency == "USD"


def test_lots_alone_make_the_position() -> None:
    def lot(quantity: str, cost: str) -> str:
        return (
            '<OpenPosition accountId="U1" currency="USD" assetCategory="STK" symbol="EXMP" conid="1001" '
            f'reportDate="20250331" position="{quantity}" markPrice="12" '
            f'positionValue="{int(quantity) * 12}" costBasisMoney="{cost}" '
            'openDateTime="20240101;100000" levelOfDetail="LOT" />'
        )

    found = reading(document(statement(lot("3", "30"), lot("4", "44"), section="OpenPositions"))).batch

    (position,) = found.positions["U1"]
    assert [position.quantity, position.cost_basis, position.market_value] == [
        Decimal(number) for number in (7, 74, 84)
    ]
    assert {(f.name, f.amount) for f in found.figures if f.name == "costBasisMoney"} == {
        ("costBasisMoney", Decimal(30)),
        ("costBasisMoney", Decimal(44)),
    }


def test_prices_of_positions_and_the_close_beside_a_trade_are_prices_of_their_days() -> None:
    held = (
        '<OpenPosition accountId="U1" currency="GBX" assetCategory="STK" symbol="VOD" conid="1002" '
        'reportDate="20250331" position="5" markPrice="712.5" positionValue="3562.5" />'
    )
    told = statement(trade(closePrice="101.5"), trade(closePrice="0", tradeDate="20250305", tradeID="2"))
    dollars = trade(assetCategory="CASH", symbol="EUR.USD", conid="12087792", closePrice="1.1", tradeID="3")
    found = reading(
        document(told, statement(dollars), statement(held, section="OpenPositions", toDate="20250331"))
    ).batch

    assert [(price.broker_ref, price.on, price.close) for price in found.prices] == [
        ("1001", date(2025, 3, 4), Decimal("101.5")),
        ("1002", date(2025, 3, 31), Decimal("7.125")),
    ]


def of_model(model: str, quantity: int, cost: int, cash: int, total: int) -> dict[str, str]:
    """What is held in one model portfolio; in the whole account where it has no name."""
    about = f'accountId="U1" model="{model}" currency="USD"'
    position = (
        f'assetCategory="STK" conid="1001" symbol="EXMP" reportDate="20250331" position="{quantity}" '
        f'markPrice="12" positionValue="{12 * quantity}" costBasisPrice="3" costBasisMoney="{cost}"'
    )
    return {
        "OpenPositions": f"<OpenPosition {about} {position} />",
        "CashReport": f'<CashReportCurrency {about} endingCash="{cash}" cashSettlingMtm="{cash // 10}" />',
        "EquitySummaryInBase": (
            f'<EquitySummaryByReportDateInBase {about} reportDate="20250331" total="{total}" cash="{cash}" />'
        ),
    }


@pytest.mark.parametrize("has_whole", [False, True])
def test_what_is_held_in_model_portfolios_is_what_the_account_holds(has_whole: bool) -> None:
    # 3 + 5 shares cost 9 + 25; 100 + 40 in cash, of which 10 + 4 were settled; 136 + 100 in all.
    parts = [of_model("Independent", 3, 9, 100, 136), of_model("Growth", 5, 25, 40, 100)]
    if has_whole:
        parts.insert(1, of_model("", 8, 34, 140, 236))
    sections = "".join(f"<{name}>{''.join(part[name] for part in parts)}</{name}>" for name in parts[0])
    about = 'accountId="U1" fromDate="20250301" toDate="20250331"'
    found = reading(document(f"<FlexStatement {about}>{sections}</FlexStatement>"))
    batch = found.batch

    (position,), (cash,), (value,) = batch.positions["U1"], batch.cash["U1"], batch.values
    assert [position.quantity, position.cost_basis, position.market_value] == [*map(Decimal, (8, 34, 96))]
    assert [cash.amount, value.nav, value.cash] == [*map(Decimal, (140, 236, 140))]
    assert [(nav.on, nav.nav) for nav in batch.navs] == [(date(2025, 3, 31), Decimal(236))]
    assert [activity.gross for activity in batch.activities] == [Decimal(14)]
    told = {(figure.section, figure.name): figure.amount for figure in batch.figures}
    assert (told["OpenPositions", "position"], told["CashReport", "endingCash"]) == (Decimal(8), Decimal(140))
    assert not batch.inbox
    assert found.repeats == (6 if has_whole else 0)


def test_a_value_of_which_a_part_cannot_be_read_is_in_the_inbox_and_the_rest_of_the_file_is_read() -> None:
    row = of_model("", 3, 9, 100, 136)["EquitySummaryInBase"].replace('cash="100"', 'cash="\N{FULL BLOCK}"')
    found = reading(document(statement(row, section="EquitySummaryInBase"), statement(trade()))).batch

    assert [item.reason for item in found.inbox] == ["cash '\N{FULL BLOCK}' is not a number"]
    assert len(found.activities) == 1


def test_an_empty_section_of_positions_says_that_nothing_is_held() -> None:
    assert reading(document(statement(section="OpenPositions"))).batch.positions == {"U1": ()}
    assert reading(document(statement(section="Trades"))).batch.positions == {}


def test_a_position_that_cannot_be_read_closes_no_other() -> None:
    rows = (
        '<OpenPosition accountId="U1" currency="USD" symbol="A" conid="1" position="x" markPrice="1" />',
        '<OpenPosition accountId="U1" currency="USD" symbol="B" conid="2" position="5" markPrice="1" />',
    )
    found = reading(document(statement(*rows, section="OpenPositions"))).batch

    assert found.positions == {}
    assert [p.broker_ref for p in found.partial_positions] == ["2"]


def test_the_inbox_holds_the_whole_row_but_nobodys_name() -> None:
    rows = '<NewThing a="1" b="&lt;2&gt;" />'
    person = '<AccountInformation accountId="U1" currency="nonsense" name="Ada Example" street="1 Road" />'
    xml = document(f'<FlexStatement accountId="U1"><News>{rows}</News>{person}</FlexStatement>')

    texts = {item.section: item.text for item in reading(xml).batch.inbox}

    assert texts["News"] == '<NewThing a="1" b="<2>">'
    assert "Ada" not in texts["AccountInformation"]
    assert "street" in texts["AccountInformation"]


def test_a_flood_of_unknown_rows_is_counted() -> None:
    rows = "".join(f'<Drop n="{n}" />' for n in range(1200))
    xml = document(f'<FlexStatement accountId="U1"><Flood>{rows}</Flood></FlexStatement>')

    inbox = reading(xml).batch.inbox

    assert len(inbox) == 1001
    assert any(item.reason == "200 more rows of this kind are in the statement" for item in inbox)


# Files from outside


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        b"<html><body>Log in</body></html>",
        b"<FlexStatementResponse timestamp='x'><Status>Fail</Status></FlexStatementResponse>",
        document(statement(trade())).encode()[:-40],
        b'<!DOCTYPE a [<!ENTITY b "c">]><FlexQueryResponse></FlexQueryResponse>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><FlexQueryResponse></FlexQueryResponse>',
        b"<FlexQueryResponse>" + b"<a>" * 100 + b"</a>" * 100 + b"</FlexQueryResponse>",
        b'<FlexQueryResponse><a b="' + b"x" * (6 << 20) + b'"/></FlexQueryResponse>',
        b"<FlexQueryResponse><a>&unknown;</a></FlexQueryResponse>",
    ],
    ids=[
        "empty", "text", "page", "answer", "cut off", "entity", "outside type", "deep", "huge tag",
        "reference",
    ],
)  # fmt: skip
def test_a_file_that_is_no_statement_is_refused_as_a_whole(content: bytes) -> None:
    with pytest.raises(StatementError) as caught:
        reading(content)

    assert caught.value.next_step


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_a_file_is_read_in_the_encoding_it_declares(encoding: str) -> None:
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    xml = f'<?xml version="1.0" encoding="{name}"?>\n' + document(statement(trade(description="CAFÉ SA")))

    assert reading(xml.encode(encoding)).batch.activities[0].description == "CAFÉ SA"


def test_blanks_before_the_declaration_do_no_harm() -> None:
    xml = '\n  <?xml version="1.0"?>' + document(statement(trade()))

    assert len(reading(xml).batch.activities) == 1


def test_a_statement_is_told_from_other_files_by_its_start() -> None:
    assert looks_like_statement(document().encode())
    assert looks_like_statement(b'\xef\xbb\xbf<?xml version="1.0"?>\n<FlexQueryResponse>')
    assert not looks_like_statement(b"date,account,kind,symbol\n")
    assert not looks_like_statement(b"<html><FlexFit></html>")


def test_progress_ends_at_the_size_of_the_file() -> None:
    told: list[int] = []
    content = document(statement(*[trade(tradeID=str(n)) for n in range(3000)])).encode()

    read(BytesIO(content), login="", fetched_at=NOW, progress=told.append)

    assert told[-1] == len(content)
    assert told == sorted(told)


def test_the_statement_of_funds_stands_in_for_cash_transactions_and_repeats_them_beside_them() -> None:
    line = (
        '<StatementOfFundsLine accountId="U1" currency="USD" date="20250304" activityCode="DIV" amount="5" '
        'activityDescription="Dividend" />'
    )
    alone = reading(document(statement(line, section="StmtFunds")))
    beside = reading(document(statement(line, section="StmtFunds"), statement(section="CashTransactions")))

    assert [(a.source, a.gross) for a in alone.batch.activities] == [("flex-funds", Decimal(5))]
    assert alone.repeats == 0
    assert (beside.repeats, beside.batch.activities, beside.batch.inbox) == (1, (), ())


@pytest.mark.parametrize(
    ("row", "kind", "amount"),
    [
        (
            '<HardToBorrowDetail currency="USD" conid="1" valueDate="20250304" borrowFee="-0.03" />',
            "fee",
            "-0.03",
        ),
        ('<SLBFee currency="USD" conid="1" valueDate="20250304" netLendFee="2.1" />', "interest", "2.1"),
    ],
)
def test_what_grows_by_the_day_counts_where_nothing_tells_of_its_booking(
    row: str, kind: str, amount: str
) -> None:
    alone = reading(document(statement(row, section="Details")))
    beside = reading(document(statement(row, section="Details"), statement(section="CashTransactions")))

    assert [(a.source, a.kind, a.gross) for a in alone.batch.activities] == [
        ("flex-funds", kind, Decimal(amount))
    ]
    assert beside.batch.activities == ()


def test_a_fee_of_a_section_of_its_own_counts_unless_the_cash_transactions_tell_it() -> None:
    fee = '<ClientFee currency="USD" date="20250304" feeType="Advisor" net="-12" description="Fee" />'
    cash = (
        '<CashTransaction currency="USD" dateTime="20250305" amount="-12" type="Advisor Fees" '
        'transactionID="71" description="Fee" />'
    )

    def counted(*rows: str) -> list[Decimal | None]:
        told = reading(
            document(statement(fee, section="ClientFees"), statement(*rows, section="CashTransactions"))
        )
        return [a.gross for a in told.batch.activities]

    assert counted() == [Decimal(-12)]
    assert counted(cash) == [Decimal(-12)]


def test_numbers_that_were_blackened_tell_nothing_apart() -> None:
    rows = [
        trade(tradeID="REDACTED", transactionID="XXXX", quantity=quantity) for quantity in ("10", "10", "11")
    ]
    found = reading(document(statement(*rows))).batch

    assert [a.quantity for a in found.activities] == [Decimal(10), Decimal(10), Decimal(11)]
    assert len({a.key for a in found.activities}) == 3
    assert (found.activities[0].refs, found.inbox) == ((), ())


def test_a_section_that_counts_its_rows_is_a_section() -> None:
    told = document(statement(trade())).replace("<Trades>", '<Trades count="1">')
    found = reading(told)

    assert (len(found.batch.activities), found.batch.inbox, dict(found.rows)) == (1, (), {"Trades": 1})


def test_a_trade_whose_time_holds_its_date_has_both() -> None:
    fill = one(tradeDate="", tradeTime="2025-03-04 09:30:01")

    assert (fill.trade_date, fill.trade_at) == (date(2025, 3, 4), EASTERN)


def test_rows_outside_of_any_statement_wait_in_the_inbox_until_an_account_is_named() -> None:
    rows = f"<FlexQueryResponse><FlexStatements>{trade(accountId='')}</FlexStatements></FlexQueryResponse>"

    assert [item.reason for item in reading(rows).batch.inbox] == ["the row names no account"]
    assert [a.account for a in reading(rows, account="U2").batch.activities] == ["U2"]


INTEREST_IN_BASE = (
    '<InterestAccruals><InterestAccrualsCurrency currency="BASE_SUMMARY" endingAccrualBalance="46.72" />'
    "</InterestAccruals>"
)


def test_sums_of_all_currencies_are_the_only_ones_of_an_account_with_one_currency() -> None:
    rows = (
        '<AccountInformation currency="EUR" />',
        INTEREST_IN_BASE,
        '<CashReportCurrency currency="BASE_SUMMARY" endingCash="1855.48" cashSettlingMtm="12" />',
    )
    told = reading(document(statement(*rows, section="Sums"))).batch
    (cash,) = told.cash["U1"]

    assert (cash.currency, cash.amount, cash.accrued_interest) == (
        "EUR", Decimal("1855.48"), Decimal("46.72"),
    )  # fmt: skip
    assert [(a.subtype, a.currency, a.gross) for a in told.activities] == [
        ("daily settlement", "EUR", Decimal(12))
    ]


def test_sums_of_all_currencies_tell_nothing_of_one_where_there_are_several() -> None:
    rows = (
        '<AccountInformation currency="EUR" />',
        INTEREST_IN_BASE,
        '<CashReportCurrency currency="BASE_SUMMARY" endingCash="30" />',
        '<CashReportCurrency currency="EUR" endingCash="10" />',
        '<CashReportCurrency currency="USD" endingCash="22" />',
    )
    cash = reading(document(statement(*rows, section="Sums"))).batch.cash["U1"]

    assert [(row.currency, row.amount, row.accrued_interest) for row in cash] == [
        ("EUR", Decimal(10), None),
        ("USD", Decimal(22), None),
    ]
    alone = reading(document(statement(*rows[:3], trade(), section="Sums"))).batch
    assert alone.cash == {}
