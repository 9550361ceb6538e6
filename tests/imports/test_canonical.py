"""What the canonical CSV may say, and what is refused with which reason."""

from decimal import Decimal
from pathlib import Path

import pytest

from stonks_overwatch.imports import canonical
from stonks_overwatch.imports.canonical import ACTIVITY_COLUMNS, File, RefusedFileError
from stonks_overwatch.ledger.types import ActivityKind, AssetClass, ImportedActivity
from tests.imports.files import APPLE, NOW, Row, activities_file, prices_file, rates_file, write

BUY: Row = {**APPLE, "kind": "buy", "quantity": "10", "price": "100"}
DEPOSIT: Row = {"kind": "deposit", "amount": "5"}
MONEY: Row = {**DEPOSIT, "symbol": "", "isin": ""}
IN = "goes into the account and is positive, not"
OUT = "goes out of the account and is negative, not"
ONE_WAY = "is positive; the kind says which way it goes."
UNKNOWN_FILE = (
    "The first row, 'when,what', names the columns of no known file: activities have a column kind, "
    "prices a column close, rates of exchange a column rate."
)
COMMA = "has a comma; decimals are written with a point, and nothing stands between thousands."
BY_COMMAS = "separate them by commas (and write decimals with a point)."
NOT_UTF_8 = 'The file is not UTF-8 from here on; save it as UTF-8 (in Excel: "CSV UTF-8").'
NO_CASH = "with an instrument moves no cash: leave its amount empty (the cost per unit stands in price)."


def refused(path: Path, account: str = "") -> list[tuple[int, str]]:
    file = File(path, NOW.date())
    rows = {"activities": lambda: file.activities(account), "prices": file.prices, "fx": file.rates}
    for _ in rows[file.kind]():
        pass
    return [(refusal.line, refusal.reason) for refusal in file.refusals]


def read(folder: Path, row: Row) -> ImportedActivity:
    file = File(activities_file(folder, row), NOW.date())
    (found,) = file.activities()
    assert not file.refusals
    return found


# Rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"date": ""}, "The date is missing."),
        ({"date": "02.01.2024"}, "'02.01.2024' is not a date like 2026-01-31."),
        ({"date": "2024-1-2"}, "'2024-1-2' is not a date like 2026-01-31."),
        ({"date": "20240102"}, "'20240102' is not a date like 2026-01-31."),
        ({"date": "2023-02-29"}, "There is no day 2023-02-29."),
        ({"date": "2025-01-16"}, "The date 2025-01-16 is in the future."),
        ({"date": "1899-12-31"}, "The date 1899-12-31 is before 1900."),
        ({"account": ""}, "The row names no account: fill the column, or name one for the whole file."),
        ({"kind": ""}, "The kind is missing."),
        ({"kind": "bye"}, "There is no kind 'bye'; buy is near."),
        ({"currency": ""}, "The currency is missing."),
        ({"currency": "usd"}, "'usd' in currency is not a currency code of three capital letters."),
        ({"currency": "EURO"}, "'EURO' in currency is not a currency code of three capital letters."),
        ({"isin": "US0378331006"}, "'US0378331006' has a wrong check digit."),
        ({"isin": "US037833100"}, "'US037833100' is not an ISIN of 12 characters."),
        ({"kind": "Kauf"}, f"There is no kind 'Kauf'; there are {', '.join(ActivityKind)}."),
        ({"asset_class": "shares"}, f"There is no asset_class 'shares'; there are {', '.join(AssetClass)}."),
        ({"quantity": "-10"}, f"The quantity of a buy {ONE_WAY}"),
        ({"quantity": "0"}, "A row of kind buy needs a quantity other than 0."),
        ({"quantity": ""}, "A row of kind buy needs a quantity other than 0."),
        ({"price": "-1"}, "The price is negative."),
        ({"price": ""}, "A buy needs a price or an amount."),
        ({"price": "1e5"}, "price '1e5' has an exponent; write all digits."),
        ({"price": "1,000.50"}, "price '1,000.50' has thousands separators; write the digits alone."),
        ({"price": "1 000"}, "price '1 000' has thousands separators; write the digits alone."),
        ({"price": "1\xa0000"}, "price '1\\xa0000' has thousands separators; write the digits alone."),
        ({"price": "1,5"}, f"price '1,5' {COMMA}"),
        ({"price": "1.234,50"}, f"price '1.234,50' {COMMA}"),
        ({"price": "$180"}, "price '$180' is not a number like -1234.56."),
        ({"price": "#N/A"}, "price '#N/A' is not a number like -1234.56."),
        ({"amount": "\u22125"}, "amount '\u22125' begins with a dash; a minus is written -."),
        ({"amount": "(5)"}, "amount '(5)' is not a number like -1234.56."),
        ({"price": "NaN"}, "price 'NaN' is no finite number."),
        ({"price": "-Infinity"}, "price '-Infinity' is no finite number."),
        ({"price": "1_000"}, "price '1_000' is not a number like -1234.56."),
        ({"price": "١٢"}, "price '١٢' is not a number like -1234.56."),
        ({"price": "=1+1"}, "price '=1+1' is not a number like -1234.56."),
        ({"price": "1" * 71}, "price has more than 70 digits."),
        ({"amount": "1000"}, f"The amount of a buy {OUT} '1000'."),
        ({"fx_rate": "0"}, "fx_rate is not above 0."),
        ({"symbol": "", "isin": ""}, "A row of kind buy needs a symbol or an ISIN."),
        ({"symbol": "A" * 51}, "symbol is longer than 50 characters."),
        ({"note": "n" * 20_001}, "note is longer than 20000 characters."),
        ({"name": "a\x01b"}, "name holds a control character."),
        ({"kind": "sell", "amount": "-1"}, f"The amount of a sell {IN} '-1'."),
        ({"kind": "dividend"}, "A row of kind dividend needs an amount."),
        ({"kind": "transfer_in", "amount": "5"}, f"A row of kind transfer_in {NO_CASH}"),
        ({"kind": "split", "quantity": "-2"}, f"The quantity of a split {ONE_WAY}"),
        ({**MONEY, "amount": "-5"}, f"The amount of a deposit {IN} '-5'."),
        ({**MONEY, "amount": "0"}, "A deposit of nothing."),
        ({**MONEY, "kind": "withdrawal", "amount": "5"}, f"The amount of a withdrawal {OUT} '5'."),
        (
            {"kind": "opening", "symbol": "", "isin": ""},
            "The row has a quantity, but neither a symbol nor an ISIN.",
        ),
        (
            {"kind": "fx", "symbol": "EUR", "amount": ""},
            "An exchange needs an amount in currency and a quantity in symbol.",
        ),
        (
            {"kind": "fx", "symbol": "Euro", "amount": "-9"},
            "'Euro' in symbol is not a currency code of three capital letters.",
        ),
        (
            {"kind": "fx", "symbol": "USD", "amount": "-9"},
            "The exchange is of a currency for itself.",
        ),
        (
            {"kind": "fx", "symbol": "EUR", "quantity": "-10", "amount": "9"},
            "The quantity of an exchange is positive; the sign of amount says which way.",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_line_and_reason(
    row: Row, reason: str, tmp_path: Path
) -> None:
    path = activities_file(tmp_path, DEPOSIT, {**BUY, **row}, DEPOSIT)

    assert refused(path) == [(3, reason)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("2024-13-01", "AAPL", "USD", "1"), "There is no day 2024-13-01."),
        (("2024-01-02", "", "USD", "1"), "The row names neither a symbol nor an ISIN."),
        (("2024-01-02", "AAPL", "", "1"), "The currency is missing."),
        (("2024-01-02", "AAPL", "USD", ""), "The close is missing."),
        (("2024-01-02", "AAPL", "USD", "-1"), "The close -1 is negative."),
        (("2024-01-02", "AAPL", "USD", "1.5 "), None),
        (("2024-01-02", "A\0PL", "USD", "1"), "symbol holds a control character."),
        (("2024-01-02", "AAPL", "USD", "inf"), "close 'inf' is no finite number."),
    ],
)
def test_a_price_that_cannot_be_used_is_refused(
    row: tuple[str, str, str, str], reason: str | None, tmp_path: Path
) -> None:
    path = prices_file(tmp_path, ("2024-01-02", "VOD", "GBP", "1"), row)

    assert refused(path) == ([(3, reason)] if reason else [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("2024-01-02", "EUR", "EUR", "1"), "base and quote are the same currency."),
        (("2024-01-02", "EUR", "GBX", "85"), "GBX is a hundredth of GBP: give the rate of that."),
        (("2024-01-02", "EUR", "USD", "0"), "The rate is 0."),
        (("2024-01-02", "EUR", "USD", ""), "The rate is missing."),
        (("2024-01-02", "EUR", "", "1"), "The quote is missing."),
    ],
)
def test_a_rate_that_cannot_be_used_is_refused(
    row: tuple[str, str, str, str], reason: str, tmp_path: Path
) -> None:
    assert refused(rates_file(tmp_path, row)) == [(2, reason)]


def test_every_refused_row_is_named_not_only_the_first(tmp_path: Path) -> None:
    path = activities_file(tmp_path, {**BUY, "price": "x"}, BUY, {**BUY, "date": "x"})

    assert [line for line, _ in refused(path)] == [2, 4]


def test_after_a_thousand_refused_rows_the_rest_is_not_looked_at(tmp_path: Path) -> None:
    path = activities_file(tmp_path, *[{**BUY, "price": "x"}] * 1200)

    with pytest.raises(RefusedFileError) as caught:
        refused(path)
    assert caught.value.line == 1001


# Signs and units


def test_kinds_give_quantities_their_signs(tmp_path: Path) -> None:
    assert read(tmp_path, BUY).quantity == Decimal(10)
    assert read(tmp_path, {**BUY, "kind": "sell"}).quantity == Decimal(-10)
    assert read(tmp_path, {**BUY, "kind": "transfer_out"}).quantity == Decimal(-10)
    assert read(tmp_path, {**BUY, "kind": "opening", "quantity": "-3"}).quantity == Decimal(-3)


def test_a_fee_is_a_cost_whatever_its_sign_unless_a_plus_says_that_it_came_in(tmp_path: Path) -> None:
    for written, fee in (("1.25", "-1.25"), ("-1.25", "-1.25"), ("+0.35", "0.35"), ("0", "0")):
        assert read(tmp_path, {**BUY, "fee": written, "tax": written}).fee == Decimal(fee)


def test_what_gets_another_sign_keeps_every_digit(tmp_path: Path) -> None:
    digits = "1.2345678901234567890123456789012345"
    found = read(tmp_path, {**BUY, "kind": "sell", "quantity": digits, "fee": digits})

    assert (found.quantity, found.fee) == (Decimal(f"-{digits}"), Decimal(f"-{digits}"))


def test_a_split_has_a_ratio_and_moves_no_money(tmp_path: Path) -> None:
    found = read(tmp_path, {**APPLE, "kind": "split", "quantity": "1.5"})

    assert (found.kind, found.ratio, found.quantity, found.gross) == (
        ActivityKind.SPLIT,
        Decimal("1.5"),
        None,
        Decimal(0),
    )


@pytest.mark.parametrize(("amount", "came_in"), [("-5000", "5500"), ("5000", "-5500")])
def test_an_exchange_is_paid_with_the_amount_or_brings_it(amount: str, came_in: str, tmp_path: Path) -> None:
    found = read(tmp_path, {"kind": "fx", "symbol": "USD", "quantity": "5500", "amount": amount})

    assert (found.exchanged, found.quantity, found.gross) == ("USD", Decimal(came_in), Decimal(amount))


def test_pence_become_pounds(tmp_path: Path) -> None:
    row = {**BUY, "currency": "GBX", "price": "71.5", "amount": "-715", "fee": "100", "fx_rate": "0.0117"}
    found = read(tmp_path, row)

    assert found.named is not None
    assert found.named.currency == "GBP"
    assert found.currency == "GBP"
    assert (found.price, found.gross, found.fee) == (
        Decimal("0.715"),
        Decimal("-7.15"),
        Decimal(-1),
    )
    assert found.fx_rate == Decimal("1.17")


def test_what_a_dividend_was_paid_for_moves_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, {**BUY, "kind": "dividend", "amount": "24"})

    assert (found.quantity, found.price, found.gross) == (None, None, Decimal(24))


@pytest.mark.parametrize(
    ("asset_class", "amount", "multiplier", "quote_factor"),
    [
        ("option", "-1000", "100", None),  # 2 × 5 × 100
        ("option", "-999.99", "100", None),  # rounded money
        ("bond", "-9.85", None, "0.01"),  # in percent: 10 × 98.5%
        ("stock", "-985", None, None),
    ],
)
def test_the_money_of_a_trade_tells_what_a_contract_stands_for(
    asset_class: str, amount: str, multiplier: str | None, quote_factor: str | None, tmp_path: Path
) -> None:
    price, quantity = ("5", "2") if asset_class == "option" else ("98.5", "10")
    row = {**BUY, "asset_class": asset_class, "price": price, "quantity": quantity, "amount": amount}
    found = read(tmp_path, row).named

    assert found is not None
    assert found.multiplier == (None if multiplier is None else Decimal(multiplier))
    assert found.quote_factor == (None if quote_factor is None else Decimal(quote_factor))


# Files


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty: a row with the names of the columns comes first."),
        (b"\n", "The file is empty: a row with the names of the columns comes first."),
        (b"date;account;kind\n", f"The columns are separated by semicolons; {BY_COMMAS}"),
        (b"date\taccount\tkind\n", f"The columns are separated by tabs; {BY_COMMAS}"),
        (b"when,what\n", UNKNOWN_FILE),
        (b"My bank, 2024\n\ndate,account,kind\n", UNKNOWN_FILE.replace("when,what", "My bank, 2024")),
        (b"date,symbol,currency,close,close\n", "The column close is there twice: delete one of them."),
        (b"date,symbol,currency,close,\n", "Column 5 has no name: name it, or delete it."),
        (
            b"date,symbol,currency,close,volume\n",
            "There is no column 'volume' in files of prices; rename or delete it.",
        ),
        (
            b"date,symbol,curency,close\n",
            "There is no column 'curency' in files of prices; currency is meant.",
        ),
        (b"date,symbol,close\n", "Files of prices need the column currency, which is missing."),
        (b"date,base,rate\n", "Files of fx need the column quote, which is missing."),
        ("date,symbol,currency,close\n".encode("utf-16"), "The file is UTF-16; save it as UTF-8."),
        (b"date,symbol,currency,close,\xe9\n", NOT_UTF_8),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)

    with pytest.raises(RefusedFileError) as caught:
        refused(path)
    assert (caught.value.line, caught.value.reason) == (1, reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"2024-01-02,\xe9,USD,1", NOT_UTF_8),
        (
            b'2024-01-02,"AAPL"x,USD,1',
            "A quoted field goes on after its closing quotation mark; double a mark that is text.",
        ),
        (
            b'2024-01-02,"AAPL,USD,1',
            "A quotation mark opens here and is closed nowhere; close it, or double one that is text.",
        ),
        (
            b"2024-01-02," + b"A" * 131_073 + b",USD,1",
            "A field is longer than 131,072 characters; a quotation mark may be missing.",
        ),
    ],
)
def test_a_row_that_is_no_csv_ends_the_reading(row: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(b"date,symbol,currency,close\n2024-01-02,AAPL,USD,1\n" + row + b"\n")

    with pytest.raises(RefusedFileError) as caught:
        refused(path)
    assert (caught.value.line, caught.value.reason) == (3, reason)


def test_a_row_with_too_few_or_too_many_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("date,symbol,currency,close\n2024-01-02,AAPL,USD\n2024-01-02,AAPL,USD,1,000\n")

    assert refused(path) == [
        (2, "The row has 3 fields, the header has 4: what is not known stays empty, and its comma stays."),
        (
            3,
            (
                "The row has 5 fields, the header has 4: a text with a comma in it stands between quotation "
                "marks, a number has none."
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "sep=,\ndate,kind\n",
            "The first row tells a spreadsheet what separates columns: delete it, and separate by commas.",
        ),
        (
            '"date,symbol,currency,close"\n"2024-01-02,AAPL,USD,1"\n',
            "Each row stands between quotation marks as a whole; take them away.",
        ),
        ("2024-01-02,AAPL,USD,1\n", "The first row is not the names of the columns: write them above it."),
    ],
)
def test_a_first_row_that_names_no_columns_is_refused_with_what_to_do(
    content: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(content)

    with pytest.raises(RefusedFileError) as caught:
        refused(path)
    assert (caught.value.line, caught.value.reason) == (1, reason)


def test_lines_with_nothing_on_them_before_and_after_the_rows_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("\n,,,\ndate,symbol,currency,close\n2024-01-02,AAPL,USD,1\n\n   \n,,,\n2024-01-02,AAPL\n")

    ((line, reason),) = refused(path)
    assert (line, reason[:19]) == (8, "The row has 2 field")


def test_a_line_of_megabytes_is_refused_before_memory_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("date,symbol,currency,close\n" + "2024-01-02,AAPL,USD,1" * 100_000)

    with pytest.raises(RefusedFileError) as caught:
        refused(path)
    assert (caught.value.line, caught.value.reason) == (
        2,
        "The line is longer than a megabyte: each row has its own line.",
    )


def test_a_byte_order_mark_windows_line_ends_blank_lines_and_any_order_of_columns_are_fine(
    tmp_path: Path,
) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(
        b"\xef\xbb\xbfClose, DATE,currency,symbol\r\n\r\n 12.5 ,2024-01-02, USD ,AAPL\r\n,,,\r\n"
    )
    file = File(path, NOW.date())

    (row,) = file.prices()
    assert (row.line, row.on, row.close, row.named.symbol) == (3, "2024-01-02", "12.5", "AAPL")
    assert (file.rows, file.since, file.until) == (1, "2024-01-02", "2024-01-02")


def test_a_line_is_that_on_which_a_row_begins_also_after_a_note_of_several_lines(tmp_path: Path) -> None:
    path = activities_file(tmp_path, {**DEPOSIT, "note": "one\ntwo\nthree"}, {**DEPOSIT, "amount": "x"})

    assert refused(path) == [(5, "amount 'x' is not a number like -1234.56.")]


def test_columns_that_may_be_missing_count_as_empty(tmp_path: Path) -> None:
    needed = ("date", "kind", "symbol", "quantity", "price", "currency", "amount")
    path = write(
        tmp_path / "a.csv",
        needed,
        [{"date": "2024-01-02", "kind": "deposit", "currency": "EUR", "amount": 5}],
    )

    assert refused(path, account="Main") == []
    for column in needed:
        rest = [name for name in ACTIVITY_COLUMNS if name != column]
        with pytest.raises(RefusedFileError):
            File(write(tmp_path / "b.csv", rest, []), NOW.date())


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "'=x", "''", "plain", "'plain'"])
def test_a_text_that_looks_like_a_formula_is_written_as_text_and_read_as_it_was(
    name: str, tmp_path: Path
) -> None:
    written = canonical.guarded(name)

    assert not written.startswith(("=", "+", "-", "@"))
    assert read(tmp_path, {**DEPOSIT, "note": written}).note == name
