"""What is drawn: rings whose arcs say what the figures say, lines without invented values."""

from datetime import date
from decimal import Decimal

from stonks_overwatch.reports.allocation import Slice
from stonks_overwatch.reports.dashboard import NavSeries
from stonks_overwatch.web import charts


def a_slice(key: str, value: str | None) -> Slice:
    return Slice(key=key, value_base=None if value is None else Decimal(value), weight=None)


def test_the_arcs_of_a_ring_are_parts_of_what_is_positive() -> None:
    # 60 + 20 = 80, so the arcs are 75 and 25 of 100, less a gap of 0.6 each.
    shares = charts.ring(
        [a_slice("stock", "60"), a_slice("bond", "20"), a_slice("cash", "-10"), a_slice("x", None)]
    )

    assert [share.length for share in shares] == [Decimal("74.4"), Decimal("24.4"), None, None]
    assert [share.start for share in shares][:2] == [Decimal(0), Decimal(-75)]


def test_a_single_slice_is_a_whole_ring() -> None:
    assert charts.ring([a_slice("stock", "5")])[0].length == 100


def test_a_tiny_slice_can_still_be_seen() -> None:
    assert charts.ring([a_slice("stock", "100000"), a_slice("bond", "1")])[1].length == Decimal("0.3")


def test_a_ring_without_anything_positive_has_no_arcs() -> None:
    assert [share.length for share in charts.ring([a_slice("cash", "-1"), a_slice("bond", "0")])] == [
        None,
        None,
    ]
    assert charts.ring([]) == []


def test_after_ten_colours_the_rest_shares_one() -> None:
    colours = [share.colour for share in charts.ring([a_slice(str(n), "1") for n in range(12)])]

    assert colours == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0]


def test_classes_and_currencies_keep_their_colours_whatever_stands_beside_them() -> None:
    assert charts.colours(["cash", "stock"]) == [5, 1]
    assert charts.colours(["stock", "etf", "cash"]) == [1, 2, 5]
    assert charts.colours(["PLN", "EUR", "USD", "NOK"]) == [3, 2, 1, 4]
    assert charts.colours(["unknown", "US"]) == [0, 1]


def series(**values: str | None) -> NavSeries:
    return NavSeries(
        accounts_without=(),
        dates=tuple(date.fromisoformat(on.strip("d").replace("_", "-")) for on in values),
        nav=tuple(None if value is None else Decimal(value) for value in values.values()),
    )


def test_a_line_keeps_unknown_days_unknown_and_rounds_to_the_currency() -> None:
    line = charts.value_line(series(d2026_01_30="10.005", d2026_01_31=None, d2026_02_01="-3"), "EUR")

    assert line == {
        "currency": "EUR",
        "dates": ["2026-01-30", "2026-01-31", "2026-02-01"],
        "values": ["10.01", None, "-3.00"],
    }


def test_one_value_is_no_line() -> None:
    assert charts.value_line(series(d2026_01_30="10", d2026_01_31=None), "EUR") == {}


def test_the_table_has_the_last_known_value_of_each_month() -> None:
    months = charts.month_ends(
        series(d2026_01_30="10", d2026_01_31=None, d2026_02_27=None, d2026_03_02="12", d2026_03_03="13")
    )

    assert months == [
        (date(2026, 3, 3), Decimal(13)),
        (date(2026, 2, 27), None),
        (date(2026, 1, 30), Decimal(10)),
    ]
