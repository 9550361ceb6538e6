"""How figures look: rounded once, signed, with their currency, and never a number for unknown."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils.html import strip_tags

from stonks_overwatch.web.templatetags import figures


def text_of(html: str) -> str:
    """The text as a reader sees it; the blank before a currency does not break the line."""
    return strip_tags(html).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("1234567.891", "EUR", "1,234,567.89 EUR"),
        ("1234.5", "JPY", "1,235 JPY"),
        ("1234.5678", "KWD", "1,234.568 KWD"),
        ("0.005", "EUR", "0.01 EUR"),
        ("2.675", "USD", "2.68 USD"),
        ("0", "EUR", "0.00 EUR"),
        ("-0.004", "EUR", "0.00 EUR"),
        ("-12.3", "EUR", "−12.30 EUR"),
        ("123456789012345678901234567890.126", "EUR", "123,456,789,012,345,678,901,234,567,890.13 EUR"),
    ],
)
def test_money_is_rounded_once_to_the_digits_of_its_currency(amount: str, currency: str, shown: str) -> None:
    assert text_of(figures.money(Decimal(amount), currency)) == shown


@pytest.mark.parametrize(
    ("change", "shown", "tone"),
    [
        ("5", "+5.00 EUR", "gain"),
        ("-5", "−5.00 EUR", "loss"),
        ("0", "0.00 EUR", ""),
        ("0.004", "0.00 EUR", ""),
    ],
)
def test_a_change_has_a_sign_and_not_only_a_colour(change: str, shown: str, tone: str) -> None:
    html = figures.signed(Decimal(change), "EUR")

    assert text_of(html) == shown
    assert f'class="{tone}"' in html


def test_what_is_older_than_some_days_is_old() -> None:
    now = datetime.now(UTC)
    assert not figures.is_old(now - timedelta(days=3))
    assert figures.is_old(now - timedelta(days=6))
    assert figures.is_old((now - timedelta(days=6)).date())


@pytest.mark.parametrize(("amount", "shown"), [("5", "+5.00 EUR"), ("-5", "−5.00 EUR"), ("0", "0.00 EUR")])
def test_money_that_came_or_went_has_a_sign_and_no_colour(amount: str, shown: str) -> None:
    html = figures.moved(Decimal(amount), "EUR")

    assert text_of(html) == shown
    assert "gain" not in html
    assert "loss" not in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("flex, web-api", "Flex statement, Web API"),
        ("as told by flex-confirmations", "as told by Flex trade confirmation"),
        ("0.9 EUR for one USD: ibkr", "0.9 EUR for one USD: IBKR"),
        ("reflex of a csv-like opening balance", "reflex of a csv-like opening balance"),
    ],
)
def test_sources_have_the_names_that_readers_know(text: str, shown: str) -> None:
    assert figures.sources(text) == shown


@pytest.mark.parametrize(
    ("kind", "shown"), [("flex", "Flex statement"), ("fx", "Exchange rates"), ("prices", "Prices")]
)
def test_files_are_named_by_what_they_hold(kind: str, shown: str) -> None:
    assert figures.file_kind(kind) == shown


@pytest.mark.parametrize(
    ("name", "one"),
    [("stock", "Stock"), ("etf", "ETF"), ("commodity", "Commodity"), ("future_option", "Option on a future")],
)
def test_one_instrument_is_of_a_class_in_the_singular(name: str, one: str) -> None:
    assert figures.one_of_class(name) == one


@pytest.mark.parametrize(
    ("quantity", "shown"),
    [("2.125", "2.125"), ("100", "100"), ("1E+3", "1,000"), ("0.00012345", "0.00012345"), ("-40.0", "−40")],
)
def test_a_quantity_keeps_every_digit(quantity: str, shown: str) -> None:
    assert figures.quantity(Decimal(quantity)) == shown


@pytest.mark.parametrize(
    ("price", "currency", "shown"),
    [
        ("182.74", "USD", "182.74 USD"),
        ("182.7", "USD", "182.70 USD"),
        ("1.08345", "USD", "1.0835 USD"),
        ("0.00001234", "USD", "0.00001234 USD"),
        ("2500", "JPY", "2,500 JPY"),
        ("89.319", "%", "89.319%"),
    ],
)
def test_a_price_shows_at_least_the_digits_of_its_currency(price: str, currency: str, shown: str) -> None:
    assert text_of(figures.price(Decimal(price), currency)) == shown


def test_a_fraction_is_shown_as_percent() -> None:
    assert figures.percent(Decimal("0.05")) == "5.0%"
    assert text_of(figures.signed_percent(Decimal("-0.12345"))) == "−12.35%"


@pytest.mark.parametrize(
    "mark",
    [
        figures.money(None, "EUR"),
        figures.signed(None, "EUR"),
        figures.percent(None),
        figures.signed_percent(None),
        figures.number(None),
        figures.quantity(None),
        figures.price(None, "EUR"),
        figures.day(None),
        figures.moment(None),
        figures.age(None),
    ],
)
def test_an_unknown_figure_reads_unknown_and_says_why_when_the_reason_is_given(mark: str) -> None:
    assert text_of(mark) == "unknown"
    assert text_of(figures.because(mark, 'no price since "June"')) == (
        "unknown: no price since &quot;June&quot;"
    )


def test_a_known_figure_has_no_reason_to_be_unknown() -> None:
    assert figures.because(figures.money(Decimal(1), "EUR"), "no price") == figures.money(Decimal(1), "EUR")


def test_a_hostile_currency_is_escaped() -> None:
    assert "<script" not in figures.money(Decimal(1), "<script>")


def test_a_day_is_written_so_that_no_one_mistakes_the_month() -> None:
    assert figures.day(date(2026, 6, 3)) == "3 Jun 2026"


def test_days_in_a_sentence_are_written_like_all_others() -> None:
    assert figures.dated("Statement of 2025-11-26 to 2026-11-02") == "Statement of 26 Nov 2025 to 2 Nov 2026"
    assert figures.dated("part 2026-99-99") == "part 2026-99-99"


def test_a_moment_of_another_day_shows_its_date() -> None:
    shown = text_of(figures.moment(datetime(2024, 6, 3, 12, 0, tzinfo=UTC)))

    assert "Jun 2024, " in shown


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=12, seconds=5), "12 min ago"),
        (timedelta(hours=5, seconds=5), "5 h ago"),
        (timedelta(days=3, seconds=5), "3 days ago"),
    ],
)
def test_an_age_is_told_in_words(ago: timedelta, words: str) -> None:
    assert text_of(figures.age(datetime.now(UTC) - ago)) == words
