"""Numbers and days as people type them, and what a page says of those that it cannot use."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client

from stonks_overwatch.web.typed import number
from tests.reports import builders
from tests.web.conftest import Configure
from tests.web.test_pages import text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("5000", "5000"),
        ("5,000", "5000"),  # as the pages write it
        ("1,234,567.89", "1234567.89"),
        ("1.234.567,89", "1234567.89"),
        ("12,5", "12.5"),
        ("0.125", "0.125"),
        ("\N{MINUS SIGN}2", "-2"),
        ("1 234,50", "1234.50"),
        ("10'000", "10000"),
        (".5", "0.5"),
    ],
)
def test_a_number_is_read_as_it_is_meant(typed: str, meant: str) -> None:
    assert number(typed) == Decimal(meant)


@pytest.mark.parametrize("typed", ["", "abc", "NaN", "1e9", "1_000", "1,2,3", "1.2.3", "٣", "-", "9" * 41])
def test_what_is_no_number_is_none(typed: str) -> None:
    assert number(typed) is None


@pytest.fixture
def holder(configure: Configure) -> None:
    configure()
    account = builders.account(updated_at=datetime.now(UTC))
    today = datetime.now(UTC).date()
    builders.activity(account, "deposit", today.replace(year=today.year - 1, day=1), gross="1000")
    builders.cash(account, "EUR", "1000")
    builders.run("ok", datetime.now(UTC))


@pytest.mark.django_db
@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("page", ["/activities", "/reconcile"])
@pytest.mark.parametrize(
    ("days", "why"),
    [
        ("from=2026-05-01&to=2025-01-01", "The days end (1 Jan 2025) before they begin (1 May 2026)"),
        ("from=soon", "'soon' is not a day"),
        ("to=2026-02-30", "'2026-02-30' is not a day"),
    ],
)
def test_days_that_cannot_be_used_are_left_out_and_said(
    page: str, days: str, why: str, reader: Client
) -> None:
    answer = reader.get(f"{page}?{days}")
    assert answer.status_code == 400
    assert text(answer).count(why) == 1
    # A part of the page that htmx asks for is shown by it only when it succeeds.
    assert reader.get(f"{page}?{days}", headers={"HX-Request": "true"}).status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("holder")
def test_an_amount_that_is_none_is_said_and_one_in_groups_is_read(reader: Client) -> None:
    answer = reader.get("/targets?money=lots")
    assert answer.status_code == 400
    assert "New money cannot be 'lots', so it is left out." in text(answer)
    assert (
        'name="money" inputmode="decimal" autocomplete="off" value="5000"'
        in reader.get("/targets", {"money": "5,000"}).content.decode()
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("holder")
def test_weights_that_are_refused_stay_in_the_form(reader: Client) -> None:
    typed = {"key": ["cash", "stock"], "weight": ["70", "many"], "band": ["", "2"]}
    answer = reader.post("/targets/save", {"by": "asset_class", **typed})
    page = answer.content.decode()
    assert answer.status_code == 409
    assert 'name="weight" inputmode="decimal" autocomplete="off" value="70"' in page
    assert 'name="key" value="stock"' in page  # of a group that is not held: the last line
    assert 'name="weight" value="many"' in page
