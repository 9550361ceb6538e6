"""Files into the ledger: what follows from them, once, in any order, and out again."""

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from stonks_overwatch.errors import ImportRefusedError
from stonks_overwatch.imports import import_file, rebuild, undo
from stonks_overwatch.ledger import models, store
from stonks_overwatch.ledger.types import Account, AssetClass, Batch, FxRate, Instrument, Position
from stonks_overwatch.reports.holdings import holdings
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import series
from tests.imports.files import (
    APPLE,
    NOW,
    VODAFONE,
    Row,
    activities_file,
    everything,
    prices_file,
    rates_file,
    reasons,
    take,
)

pytestmark = pytest.mark.django_db

SAVE_AS = "choose File, Save As, CSV UTF-8 (comma delimited) in your spreadsheet, and import that file."
INSTEAD = "import the CSV that your bank or broker offers beside it."

STORY: list[Row] = [
    {"kind": "deposit", "amount": "10000"},
    {"kind": "fx", "symbol": "USD", "quantity": "5500", "amount": "-5000", "date": "2024-01-03"},
    {**APPLE, "kind": "buy", "quantity": "20", "price": "180", "fee": "1", "date": "2024-01-04"},
    {**APPLE, "kind": "split", "quantity": "4", "date": "2024-02-05"},
    {**APPLE, "kind": "sell", "quantity": "10", "price": "50", "fee": "1", "date": "2024-02-05"},
    {**APPLE, "kind": "dividend", "amount": "20", "tax": "3", "date": "2024-03-04"},
]


def cash() -> dict[str, Decimal]:
    return dict(models.CashBalance.objects.values_list("currency", "amount"))


def position(symbol: str = "AAPL") -> models.Position:
    return models.Position.objects.get(instrument__symbol=symbol)


# What follows


def test_positions_and_cash_follow_from_the_activities(tmp_path: Path) -> None:
    result = take(activities_file(tmp_path, *STORY))

    assert (result.kind, result.rows, result.new, result.known) == ("activities", 6, 6, 0)
    # EUR 10,000 - 5,000; USD 5,500 - 3,600 - 1 + 500 - 1 + 20 - 3 = 2,415.
    assert cash() == {"EUR": Decimal(5000), "USD": Decimal(2415)}
    # 20 x 4 - 10 = 70 shares; 3,601 paid for 80, of which 70 are left: 3,150.875.
    held = position()
    assert (held.quantity, held.cost_basis, held.is_open) == (Decimal(70), Decimal("3150.875"), True)
    assert held.price is None  # no prices yet


def test_a_holding_is_valued_at_the_last_price_of_a_week(tmp_path: Path) -> None:
    take(activities_file(tmp_path, *STORY))
    take(prices_file(tmp_path, ("2024-03-01", "AAPL", "USD", "54"), ("2024-03-02", "AAPL", "USD", "55")))

    held = position()
    # 70 x 55 = 3,850; profit 3,850 - 3,150.875.
    assert (held.price, held.market_value, held.unrealized_pnl) == (
        Decimal(55),
        Decimal(3850),
        Decimal("699.125"),
    )
    assert held.priced_at.date() == date(2024, 3, 2)
    # The account is as of the last day of which a file tells: the dividend's.
    assert models.Account.objects.get().updated_at == datetime(2024, 3, 4, 23, 59, 59, tzinfo=UTC)


def test_an_older_price_than_a_week_is_unknown(tmp_path: Path) -> None:
    take(activities_file(tmp_path, *STORY))
    take(prices_file(tmp_path, ("2024-02-25", "AAPL", "USD", "54")))  # eight days before the dividend

    assert (position().price, position().market_value) == (None, None)
    assert holdings(Scope("USD")).totals.unknown >= 1


def test_an_earlier_day_is_worked_out_from_activities_and_prices(tmp_path: Path) -> None:
    take(activities_file(tmp_path, *STORY))
    take(prices_file(tmp_path, ("2024-01-31", "AAPL", "USD", "190"), ("2024-03-04", "AAPL", "USD", "55")))
    take(rates_file(tmp_path, ("2024-01-31", "EUR", "USD", "1.25")))

    document = holdings(Scope("EUR", as_of=date(2024, 1, 31)))
    (held,) = document.holdings
    # 20 x 190 = 3,800 USD = 3,040 EUR; cash 5,000 EUR and 1,899 USD = 1,519.20 EUR.
    assert (held.quantity, held.market_value, held.market_value_base) == (
        Decimal(20),
        Decimal(3800),
        Decimal(3040),
    )
    assert document.totals.nav_base == Decimal("9559.2")


def test_an_empty_amount_is_quantity_times_price_times_multiplier(tmp_path: Path) -> None:
    option: Row = {"symbol": "AAPL 250620C250", "asset_class": "option", "currency": "USD"}
    bond: Row = {"isin": "US912810RB61", "asset_class": "bond", "currency": "USD"}
    take(
        activities_file(
            tmp_path,
            {**option, "kind": "buy", "quantity": "2", "price": "5", "amount": "-1000"},
            {**option, "kind": "buy", "quantity": "1", "price": "6", "date": "2024-01-03"},
            {**bond, "kind": "buy", "quantity": "10000", "price": "98.5"},
        )
    )

    # -1,000 - 1 x 6 x 100; -10,000 x 98.5%.
    assert cash() == {"USD": Decimal(-1600) + Decimal(-9850)}
    assert models.Instrument.objects.get(asset_class="option").multiplier == Decimal(100)


def test_a_contract_without_money_or_details_is_refused(tmp_path: Path) -> None:
    future: Row = {"symbol": "ESZ4", "asset_class": "future", "currency": "USD"}
    path = activities_file(tmp_path, {**future, "kind": "buy", "quantity": "1", "price": "5000"})

    ((line, reason),) = reasons(path)
    assert line == 2
    assert reason.startswith("How many units a contract of class future stands for is not known")
    assert not models.Account.objects.exists()


def test_a_cfd_brings_its_profit_or_loss_whichever_way_it_is_traded(tmp_path: Path) -> None:
    cfd: Row = {"symbol": "SAP CFD", "asset_class": "cfd", "quantity": "10", "fee": "1"}
    take(
        activities_file(
            tmp_path,
            {**cfd, "kind": "buy", "price": "110"},
            {**cfd, "kind": "sell", "price": "108", "amount": "-20", "date": "2024-01-03"},
            {**cfd, "kind": "sell", "price": "108", "date": "2024-01-04"},
            {**cfd, "kind": "buy", "price": "105", "amount": "30", "date": "2024-01-05"},
        )
    )

    # 10 x (108 - 110), then 10 x (108 - 105), and a fee of 1 each time.
    assert cash() == {"EUR": Decimal(-20) + Decimal(30) - 4}


def test_an_opening_balance_brings_a_position_with_its_cost_and_cash(tmp_path: Path) -> None:
    take(
        activities_file(
            tmp_path,
            {**APPLE, "kind": "opening", "quantity": "5", "price": "100"},
            {"kind": "opening", "amount": "250"},
            {**VODAFONE, "kind": "transfer_in", "quantity": "3"},
        )
    )

    assert (position().quantity, position().cost_basis) == (Decimal(5), Decimal(500))
    assert (position("VOD").quantity, position("VOD").cost_basis) == (Decimal(3), None)
    assert cash() == {"EUR": Decimal(250), "USD": Decimal(0), "GBP": Decimal(0)}


def test_the_account_is_kept_in_the_currency_of_its_deposits(tmp_path: Path) -> None:
    dividend: Row = {**APPLE, "kind": "dividend", "amount": "1"}
    take(activities_file(tmp_path, *STORY, *[dividend] * 9))

    assert models.Account.objects.get().currency == "EUR"


def test_the_named_account_takes_all_rows(tmp_path: Path) -> None:
    take(activities_file(tmp_path, *STORY), account="Other")

    assert models.Account.objects.get().account == "Other"


def test_several_accounts_are_not_thrown_together(tmp_path: Path) -> None:
    path = activities_file(tmp_path, STORY[0], {**STORY[0], "account": "Second"})

    assert [line for line, _ in reasons(path, account="Other")] == [3]


# Once, in any order, all or nothing


def test_the_same_file_twice_changes_nothing_and_is_listed_once(tmp_path: Path) -> None:
    path = activities_file(tmp_path, *STORY)
    take(path)
    before = everything()

    again = take(path)

    assert (again.new, again.known, again.number) == (0, 6, None)
    assert everything() == before
    assert models.Import.objects.count() == 1


def test_equal_rows_of_one_file_are_as_many_events(tmp_path: Path) -> None:
    take(activities_file(tmp_path, STORY[0], STORY[0]))
    more = take(activities_file(tmp_path, STORY[0], STORY[0], STORY[0], name="more.csv"))

    assert (more.new, more.known) == (1, 2)
    assert cash() == {"EUR": Decimal(30000)}


def test_rows_that_say_the_same_in_other_words_are_one_event(tmp_path: Path) -> None:
    take(activities_file(tmp_path, {**APPLE, "kind": "buy", "quantity": "10", "price": "5"}))
    pence: Row = {**APPLE, "kind": "buy", "quantity": "10.0", "price": "5.00", "amount": "-50"}

    assert take(activities_file(tmp_path, pence, name="again.csv")).known == 1


def test_an_external_id_is_one_event_and_is_not_overwritten(tmp_path: Path) -> None:
    row: Row = {**STORY[0], "external_id": "T-1"}
    take(activities_file(tmp_path, row, row))
    assert cash() == {"EUR": Decimal(10000)}

    ((line, reason),) = reasons(activities_file(tmp_path, {**row, "amount": "7"}, name="other.csv"))
    assert (line, reason) == (
        2,
        (
            "Its external_id T-1 was told before with another content: give the row another, "
            "or undo the import that told it."
        ),
    )


def test_any_order_of_files_gives_the_same_ledger(tmp_path: Path) -> None:
    first = activities_file(tmp_path, *STORY[:3], name="1.csv")
    second = activities_file(tmp_path, *STORY[2:], name="2.csv")
    prices = prices_file(tmp_path, ("2024-03-04", "AAPL", "USD", "55"))
    rates = rates_file(tmp_path, ("2024-03-04", "EUR", "USD", "1.1"))
    ledgers = []
    for order in (
        [first, second, prices, rates],
        [rates, prices, second, first],
        [second, rates, first, prices],
    ):
        for path in order:
            take(path)
        ledgers.append(everything())
        for number in models.Import.objects.values_list("pk", flat=True):
            undo(number, NOW)
        assert not any(everything().values())

    assert ledgers[0] == ledgers[1] == ledgers[2]


def test_a_symbol_without_an_isin_is_the_instrument_that_was_called_so(tmp_path: Path) -> None:
    nameless = {key: value for key, value in APPLE.items() if key != "isin"}
    for rows in ((APPLE, nameless), (nameless, APPLE)):
        for number, named in enumerate(rows):
            take(
                activities_file(
                    tmp_path,
                    {**named, "kind": "buy", "quantity": "1", "price": number + 5},
                    name=f"{number}.csv",
                )
            )
        assert position().quantity == Decimal(2)
        assert position().instrument.isin == APPLE["isin"]
        for pk in models.Import.objects.values_list("pk", flat=True):
            undo(pk, NOW)


def test_a_dividend_paid_in_another_currency_is_of_the_instrument_that_is_held(tmp_path: Path) -> None:
    bought = activities_file(tmp_path, {**APPLE, "kind": "buy", "quantity": "1", "price": "5"}, name="b.csv")
    paid = activities_file(
        tmp_path, {**APPLE, "currency": "EUR", "kind": "dividend", "amount": "2"}, name="d.csv"
    )
    for order in ((bought, paid), (paid, bought)):
        numbers = [take(path).number or 0 for path in order]
        dividend = models.Activity.objects.get(kind="dividend")
        assert (dividend.currency, dividend.instrument) == ("EUR", position().instrument)
        undo(numbers[order.index(bought)], NOW)
        assert models.Instrument.objects.get(activity__kind="dividend").currency == "EUR"
        undo(numbers[order.index(paid)], NOW)
        assert not any(everything().values())


def test_one_symbol_of_two_securities_needs_the_isin(tmp_path: Path) -> None:
    one: Row = {**APPLE, "symbol": "X", "kind": "buy", "quantity": "1", "price": "5"}
    other: Row = {**one, "isin": "US5949181045"}
    take(activities_file(tmp_path, one, other))

    ((line, reason),) = reasons(prices_file(tmp_path, ("2024-01-02", "X", "USD", "5")))
    assert (line, reason) == (2, "X in USD has been the symbol of several instruments: give the ISIN.")


def test_a_renamed_security_is_one_and_has_its_latest_name(tmp_path: Path) -> None:
    meta: Row = {"isin": "US30303M1027", "currency": "USD", "kind": "buy", "quantity": "1", "price": "5"}
    take(activities_file(tmp_path, {**meta, "symbol": "META", "date": "2024-06-01"}))
    take(activities_file(tmp_path, {**meta, "symbol": "FB", "name": "Facebook"}, name="older.csv"))
    take(prices_file(tmp_path, ("2024-06-01", "FB", "USD", "500")))

    assert position("META").quantity == Decimal(2)
    assert position("META").price == Decimal(500)


def test_nothing_of_a_file_with_a_refused_row_is_stored(tmp_path: Path) -> None:
    path = activities_file(tmp_path, *STORY, {"kind": "deposit", "amount": "x"}, STORY[0])
    before = everything()

    assert reasons(path) == [(8, "amount 'x' is not a number like -1234.56.")]
    assert everything() == before
    assert not models.Import.objects.exists()


def test_nothing_of_prices_that_break_off_is_stored(tmp_path: Path) -> None:
    path = prices_file(tmp_path, ("2024-01-02", "AAPL", "USD", "5"))
    with path.open("ab") as file:
        file.write(b'2024-01-03,"AAPL')

    assert [line for line, _ in reasons(path)] == [3]
    assert not models.Price.objects.exists()


def test_a_dry_run_tells_what_would_happen_and_stores_nothing(tmp_path: Path) -> None:
    path = activities_file(tmp_path, *STORY)
    result = take(path, dry_run=True)

    assert (result.new, result.known, result.number) == (6, 0, None)
    assert not any(everything().values())
    assert not models.Import.objects.exists()


def packed(*names: str) -> bytes:
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(
                name, "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else ""
            )
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed("[Content_Types].xml", "xl/workbook.xml"), f"an Excel workbook (.xlsx): {SAVE_AS}"),
        (packed("mimetype", "content.xml"), f"a LibreOffice spreadsheet (.ods): {SAVE_AS}"),
        (
            packed("Index/Document.iwa"),
            "a Numbers spreadsheet: choose File, Export To, CSV, and import that file.",
        ),
        (packed("activities.csv"), "packed (.zip): unpack it, and import the files that are in it."),
        (gzip.compress(b"date,kind", mtime=0), "packed (.gz): unpack it, and import the file that is in it."),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), f"an old Excel workbook (.xls): {SAVE_AS}"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", f"a PDF: {INSTEAD}"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", f"a picture: {INSTEAD}"),
        (
            b"\n<!DOCTYPE html><html><body><table>",
            "a web page: download the file itself, and import that.",
        ),
        (
            b'<?xml version="1.0"?><Document>',
            "XML, and no Flex statement of IBKR's: of XML no other is read; import a CSV.",
        ),
        (b'[{"date": 1}]', "JSON, and no details.json of an export: no other is read; import a CSV."),
        (b"OFXHEADER:100\nDATA:OFXSGML\n", f"OFX, which is not read: {INSTEAD}"),
        (b"!Type:Bank\nD1/1/2024\n", f"QIF, which is not read: {INSTEAD}"),
        (
            b"SQLite format 3\x00" + bytes(80),
            "a database: stonks-overwatch restore reads one of Stonks Overwatch.",
        ),
        ("date,symbol,currency,close\n".encode("utf-16-le"), "UTF-16; save it as UTF-8."),
        ("date,symbol,currency,close\n".encode("utf-16-be"), "UTF-16; save it as UTF-8."),
        (b"da\x00te,kind\n", "no text (it holds zero bytes): export it again as CSV."),
    ],
)
def test_a_file_that_is_no_csv_is_refused_with_what_it_is_and_what_to_do(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "activities.csv"
    path.write_bytes(content)

    assert reasons(path) == [(1, f"The file is {reason}")]


def test_a_file_without_rows_says_so_and_is_not_listed(tmp_path: Path) -> None:
    result = take(activities_file(tmp_path))

    assert result.note == "The file names columns and has no rows; there is nothing in it to import."
    assert (result.rows, result.number) == (0, None)
    assert not models.Import.objects.exists()


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="cannot be read"):
        import_file(tmp_path / "none.csv")


def test_an_account_that_a_broker_reports_is_not_imported_into(tmp_path: Path) -> None:
    store.record(Batch("ibkr", "", NOW, accounts=(Account("U1", "EUR"),)))
    path = activities_file(tmp_path, {**STORY[0], "account": "U1"})

    ((_, reason),) = reasons(path)
    assert reason == (
        "The account U1 is read from ibkr; import under another name (--account), "
        "or its activities would count twice."
    )


# Prices and rates of all


def held_at_broker(price: str = "50") -> Batch:
    on = datetime(2024, 3, 4, 12, 0, tzinfo=UTC)
    apple = Instrument("265598", "AAPL", "Apple", AssetClass.STOCK, "USD", isin="US0378331005")
    row = Position(
        "U1", "265598", Decimal(2), Decimal(price), Decimal(100), Decimal(100), None, None, None, on
    )
    return Batch(
        "ibkr",
        "",
        on,
        accounts=(Account("U1", "EUR"),),
        instruments=(apple,),
        positions={"U1": (row,)},
        rates=(FxRate("USD", "EUR", on.date(), Decimal("0.9")),),
    )


def closes(broker: str = "ibkr") -> list[tuple[Any, ...]]:
    rows = models.Price.objects.filter(instrument__broker=broker).order_by("on", "is_imported")
    return list(rows.values_list("on", "close", "is_imported"))


def priced(folder: Path) -> Path:
    path = folder / "prices.csv"
    path.write_text("date,symbol,isin,currency,close\n2024-03-04,AAPL,US0378331005,USD,60\n")
    return path


@pytest.mark.parametrize("is_first", [True, False])
def test_an_imported_price_counts_for_the_brokers_instrument_of_that_isin(
    is_first: bool, tmp_path: Path
) -> None:
    steps: list[Callable[[], Any]] = [
        lambda: take(priced(tmp_path)),
        lambda: store.record(held_at_broker()),
    ]
    for step in steps if is_first else reversed(steps):
        step()

    day = date(2024, 3, 4)
    assert closes() == [(day, Decimal(50), False), (day, Decimal(60), True)]
    block = models.PriceSeries.objects.get(instrument__broker="ibkr")
    assert memoryview(bytes(block.closes)).cast("d").tolist() == [60.0]

    undo(models.Import.objects.get().pk, NOW)
    assert closes() == [(day, Decimal(50), False)]


def test_an_isin_that_is_learned_later_brings_the_prices_to_the_brokers_instrument(tmp_path: Path) -> None:
    store.record(held_at_broker())
    take(prices_file(tmp_path, ("2024-03-04", "AAPL", "USD", "60")))
    assert [close for _, close, _ in closes()] == [Decimal(50)]

    take(activities_file(tmp_path, {**APPLE, "kind": "buy", "quantity": "1", "price": "5"}))

    assert [close for _, close, _ in closes()] == [Decimal(50), Decimal(60)]


def test_an_imported_rate_counts_whichever_way_the_broker_quotes(tmp_path: Path) -> None:
    store.record(held_at_broker())
    take(rates_file(tmp_path, ("2024-03-04", "EUR", "USD", "1.25")))
    day = date(2024, 3, 4)

    assert Rates.between(day, day).rate("USD", "EUR", day) == Decimal("0.8")
    assert Rates.between(day, day).rate("EUR", "USD", day) == Decimal("1.25")

    undo(models.Import.objects.get().pk, NOW)
    assert Rates.between(day, day).rate("USD", "EUR", day) == Decimal("0.9")


def test_of_two_imported_prices_of_a_day_the_later_import_counts_until_it_is_undone(tmp_path: Path) -> None:
    take(prices_file(tmp_path, ("2024-03-04", "AAPL", "USD", "60"), ("2024-03-05", "AAPL", "USD", "61")))
    later = take(prices_file(tmp_path, ("2024-03-04", "AAPL", "USD", "59"), name="later.csv"))
    assert [close for _, close, _ in closes("csv")] == [Decimal(59), Decimal(61)]

    assert later.number is not None
    undo(later.number, NOW)
    assert [close for _, close, _ in closes("csv")] == [Decimal(60), Decimal(61)]


# Undone


def test_undo_takes_back_what_an_import_alone_brought(tmp_path: Path) -> None:
    take(activities_file(tmp_path, *STORY[:3]))
    before = everything()
    second = take(activities_file(tmp_path, *STORY[1:], name="second.csv"))
    assert second.number is not None

    undo(second.number, NOW)

    assert everything() == before


def test_rows_that_another_import_brought_too_stay(tmp_path: Path) -> None:
    first = take(activities_file(tmp_path, *STORY))
    take(activities_file(tmp_path, *STORY, {"kind": "fee", "amount": "-1"}, name="second.csv"))
    assert first.number is not None

    undo(first.number, NOW)

    assert models.Activity.objects.count() == 7
    assert cash() == {"EUR": Decimal(4999), "USD": Decimal(2415)}


def test_prices_that_another_import_brought_too_stay(tmp_path: Path) -> None:
    first = take(
        prices_file(tmp_path, ("2024-03-04", "AAPL", "USD", "60"), ("2024-03-05", "AAPL", "USD", "61"))
    )
    take(prices_file(tmp_path, ("2024-03-04", "AAPL", "USD", "60"), name="second.csv"))
    assert first.number is not None

    undo(first.number, NOW)

    assert [close for _, close, _ in closes("csv")] == [Decimal(60)]


def test_the_ledger_is_rebuilt_from_the_files_as_they_were_kept(tmp_path: Path) -> None:
    store.record(held_at_broker())
    for path in (activities_file(tmp_path, *STORY), priced(tmp_path)):
        take(path)
        path.unlink()
    take(rates_file(tmp_path, ("2024-03-04", "EUR", "USD", "1.25")))
    before = everything()
    models.Activity.objects.filter(kind="buy").update(quantity="7")
    models.Price.objects.filter(is_imported=True).update(close="7")

    assert rebuild() == 3

    assert everything() == before


def test_an_import_that_is_not_there_cannot_be_undone(tmp_path: Path) -> None:
    take(activities_file(tmp_path, *STORY))
    number = models.Import.objects.get().pk

    with pytest.raises(ImportRefusedError) as caught:
        undo(number + 1)
    assert caught.value.next_step == f"Name one of these: {number}."


# Details


def test_details_that_do_not_fit_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "details.json"
    path.write_text(
        '{"format": "stonks-overwatch export", "version": 1,'
        ' "accounts": [{"account": "A", "currency": "euro"}],'
        ' "instruments": [{"currency": "USD", "name": "X", "asset_class": "stock", "multiplier": "0",'
        ' "quote_factor": "NaN"}]}'
    )

    found = reasons(path)

    assert [reason.partition(":")[0] for _, reason in found] == [
        "accounts.0.currency",
        "instruments.0.multiplier",
        "instruments.0.quote_factor",
    ]


def test_the_series_follows_what_is_learned_of_an_instrument(tmp_path: Path) -> None:
    bond: Row = {"isin": "US912810RB61", "currency": "USD", "quantity": "1000", "price": "98"}
    take(
        activities_file(
            tmp_path,
            {"kind": "deposit", "amount": "2000", "currency": "USD"},
            {**bond, "kind": "buy", "amount": "-980"},
        )
    )
    prices = tmp_path / "p.csv"
    prices.write_text("date,symbol,isin,currency,close\n2024-01-02,,US912810RB61,USD,99\n")
    take(prices)
    assert series(Scope("USD")).nav[-1] == 1020 + 1000 * 99  # taken for 99 dollars each

    dear: Row = {**bond, "kind": "buy", "asset_class": "bond", "amount": "-980", "external_id": "B"}
    take(activities_file(tmp_path, dear, name="more.csv"))

    # 2,000 bonds at 99 percent of a dollar; 2,000 - 2 x 980 dollars.
    assert series(Scope("USD")).nav[-1] == 40 + Decimal(1980)


def test_details_tell_what_a_contract_stands_for(tmp_path: Path) -> None:
    details = tmp_path / "details.json"
    details.write_text(
        '{"format": "stonks-overwatch export", "version": 1, "instruments": [{"symbol": "ESZ4",'
        ' "currency": "USD", "name": "S&P future", "asset_class": "future", "multiplier": "50",'
        ' "quote_factor": "1", "expires_on": "2024-12-20"}]}'
    )
    future: Row = {"symbol": "ESZ4", "asset_class": "future", "currency": "USD"}
    take(details)
    take(activities_file(tmp_path, {**future, "kind": "buy", "quantity": "1", "price": "5000"}))
    take(prices_file(tmp_path, ("2024-01-02", "ESZ4", "USD", "5010")))

    # The purchase moves no cash; 10 points of 50 dollars are the profit that it carries.
    assert cash() == {"USD": Decimal(0)}
    assert (position("ESZ4").market_value, position("ESZ4").exposure) == (Decimal(500), Decimal(250500))
    assert position("ESZ4").instrument.expires_on == date(2024, 12, 20)

    numbers = dict(models.Import.objects.values_list("kind", "pk"))
    with pytest.raises(ImportRefusedError, match="alone tells what contracts of ESZ4 stand for"):
        undo(numbers["details"], NOW)
    assert position("ESZ4").market_value == Decimal(500)
    undo(numbers["activities"], NOW)
    undo(numbers["details"], NOW)
