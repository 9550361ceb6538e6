from decimal import Decimal

import pytest

from stonks_overwatch.reports.documents import Computed, Document, Exact, share, total


class Figures(Document):
    exact: Exact | None
    computed: Computed | None


def written(exact: str | None, computed: str | None) -> dict[str, object]:
    figures = Figures(
        exact=None if exact is None else Decimal(exact),
        computed=None if computed is None else Decimal(computed),
    )
    return figures.model_dump(mode="json")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("2.125", "2.125"),
        ("2.1250", "2.125"),
        ("1E+5", "100000"),
        ("1E-9", "0.000000001"),
        ("-0.00", "0"),
        ("0.123456789012345678", "0.123456789012345678"),
        ("12345678901234567890.12345678901234567890", "12345678901234567890.1234567890123456789"),
    ],
)
def test_an_exact_number_keeps_every_digit_and_has_no_exponent(given: str, text: str) -> None:
    assert written(given, None)["exact"] == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("0.33333333333333333333", "0.3333333333"),
        ("-0.00000000001", "0"),
        ("1000000000000000000000.000000000051", "1000000000000000000000.0000000001"),
        ("100", "100"),
    ],
)
def test_a_computed_number_has_at_most_ten_decimals(given: str, text: str) -> None:
    assert written(None, given)["computed"] == text


def test_unknown_is_null() -> None:
    assert written(None, None) == {"exact": None, "computed": None}


def test_a_total_counts_what_it_leaves_out() -> None:
    assert total([Decimal(2), None, Decimal(3)]) == (Decimal(5), 1)
    assert total([None, None]) == (None, 2)
    assert total([]) == (Decimal(0), 0)


def test_a_share_of_nothing_is_unknown() -> None:
    assert share(Decimal(1), Decimal(4)) == Decimal("0.25")
    assert share(Decimal(-1), Decimal(4)) == Decimal("-0.25")
    assert share(Decimal(1), Decimal(0)) is None
    assert share(Decimal(1), Decimal(-4)) is None
    assert share(None, Decimal(4)) is None


def test_a_row_that_is_not_checked_is_like_one_that_is() -> None:
    fields = {"exact": Decimal("1.50"), "computed": None}
    made, checked = Figures.made(fields), Figures(exact=Decimal("1.50"), computed=None)
    assert made == checked
    assert made.model_dump_json() == checked.model_dump_json()
    assert made.model_copy(update={"computed": Decimal(2)}).computed == 2
