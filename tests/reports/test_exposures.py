"""Exposure, own greeks, bonds and margin: figures of textbooks and by hand."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.exposures import exposures
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import NOW, TODAY, figures

pytestmark = pytest.mark.django_db

EURO = Scope("EUR")
RATE = Decimal("0.1")


@pytest.fixture
def holder() -> models.Account:
    return builders.account()


def option(share: models.Instrument, strike: str, **more: Any) -> models.Instrument:
    terms = {
        "asset_class": "option",
        "multiplier": Decimal(100),
        "strike": Decimal(strike),
        "right": "call",
        "underlying_ref": share.broker_ref,
        "underlying_symbol": share.symbol,
        **more,
    }
    return builders.instrument(share.symbol, **terms)


def test_nothing_stored_is_an_empty_document() -> None:
    document = exposures(EURO)
    assert figures(document.by_class, document.totals.gross_base, document.totals.leverage) == ((), 0, None)


def test_gross_is_the_sum_of_the_sizes_and_net_that_of_the_signs(holder: models.Account) -> None:
    builders.position(holder, builders.instrument("A"), "50", "12")  # 600
    builders.position(holder, builders.instrument("B"), "-10", "20")  # −200
    builders.cash(holder, "EUR", "600")
    totals = exposures(EURO).totals
    # NAV 600 − 200 + 600 = 1,000
    assert figures(totals.gross_base, totals.net_base, totals.leverage, totals.net_weight) == (
        800,
        400,
        Decimal("0.8"),
        Decimal("0.4"),
    )
    assert figures(totals.long_base, totals.short_base) == (600, -200)


def test_futures_and_cfds_count_with_their_notional(holder: models.Account) -> None:
    builders.rate("USD", "EUR", "0.8")
    future = builders.instrument("ES", "USD", asset_class="future", multiplier=50, expires_on="2026-06-19")
    builders.position(holder, future, "2", "100", market_value=Decimal(30))
    cfd = builders.instrument("SAP", asset_class="cfd")
    builders.position(holder, cfd, "10", "20", market_value=Decimal(5))
    document = exposures(EURO)
    # 2 × 50 × 100 USD × 0.8 = 8,000; 10 × 20 = 200
    assert document.totals.futures_notional_base == 8000
    assert document.totals.net_base == 8200
    assert figures(document.futures[0].notional, document.futures[0].notional_base) == (10000, 8000)


def test_an_option_counts_with_delta_times_its_underlying(holder: models.Account) -> None:
    """Hull, chapter 15: S = 42, K = 40, r = 10 %, volatility 20 %, half a year: call 4.76, N(d1) = 0.7791."""
    share = builders.instrument("HULL")
    builders.price(share, "42", TODAY)
    expires_on = date(2026, 9, 2)  # 182 days: 0.4986 years
    call = option(share, "40", expires_on=expires_on)
    builders.position(holder, call, "-2", "4.76")
    document = exposures(EURO, RATE)
    (row,) = document.options
    assert row.delta is not None
    assert row.implied_volatility is not None
    assert row.delta_base is not None
    assert abs(row.implied_volatility - Decimal("0.2")) < Decimal("0.002")
    assert abs(row.delta - Decimal("0.7791")) < Decimal("0.0015")
    # −2 × 100 × 42 × 0.779 = −6,544
    assert abs(row.delta_base + Decimal(6544)) < 13
    assert document.totals.options_base == row.delta_base
    assert row.days == 182
    assert figures(row.underlying_price, row.underlying_priced_on) == (42, TODAY)


def test_the_greeks_of_a_position_are_those_of_all_its_units(holder: models.Account) -> None:
    """Hull, chapter 19: S = 49, K = 50, r = 5 %, volatility 20 %, 20 weeks: 2.40; delta 0.522 ..."""
    share = builders.instrument("HULL")
    builders.price(share, "49", TODAY)
    builders.position(holder, option(share, "50", expires_on="2026-07-22"), "2", "2.40")
    (row,) = exposures(EURO, Decimal("0.05")).options
    for found, wanted in (
        (row.delta, 0.522),
        (row.gamma, 0.066),
        (row.theta, -4.31 / 365),
        (row.vega, 0.121),
        # Two contracts of 100. A move of 1 %, 0.49, changes the delta by 0.066 × 0.49.
        (row.delta_base, 200 * 49 * 0.522),
        (row.gamma_base, 200 * 49 * 0.066 * 0.49),
        (row.theta_base, 200 * -4.31 / 365),
        (row.vega_base, 200 * 0.121),
    ):
        assert float(found or 0) == pytest.approx(wanted, rel=0.01)


def test_what_has_no_price_is_counted_in_its_class_and_in_no_sum(holder: models.Account) -> None:
    builders.position(holder, builders.instrument("A"), "50", "12")
    builders.position(holder, builders.instrument("B"), "-10", "20")
    builders.position(holder, builders.instrument("C"), "1", None)
    builders.position(holder, builders.instrument("D", asset_class="etf"), "1", None)
    document = exposures(EURO)
    assert [
        figures(row.asset_class, row.long_base, row.short_base, row.gross_base, row.net_base, row.unknown)
        for row in document.by_class
    ] == [("stock", 600, -200, 800, 400, 1), ("etf", None, None, None, None, 1)]
    assert figures(document.totals.gross_base, document.totals.unknown) == (800, 2)


def test_an_underlying_that_is_held_gives_the_price(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.price(share, "1", TODAY)
    builders.position(holder, share, "100", "50")
    builders.position(holder, option(share, "50", right="put", expires_on="2026-09-02"), "1", "3")
    document = exposures(EURO)
    (row,) = document.options
    assert row.underlying_price == 50
    assert row.delta is not None
    assert -1 < row.delta < 0
    (underlying,) = document.by_underlying
    assert figures(underlying.underlying, underlying.held_base, underlying.positions) == ("KO", 5000, 2)
    assert underlying.net_base == 5000 + (underlying.options_base or 0)
    # Where the position has no price, the stored one is it.
    models.Position.objects.filter(instrument=share).update(price=None)
    assert exposures(EURO).options[0].underlying_price == 1


def test_an_option_on_a_future_is_blacks(holder: models.Account) -> None:
    """Black (1976): at F = K the call and the put are worth the same, and their deltas differ by e^(−rT)."""
    future = builders.instrument("ES", asset_class="future", multiplier=50)
    builders.price(future, "100", TODAY)
    terms = {"asset_class": "future_option", "multiplier": Decimal(50), "expires_on": date(2026, 9, 2)}
    for right in ("call", "put"):
        builders.position(holder, option(future, "100", right=right, **terms), "1", "5")
    call, put = sorted(exposures(EURO, RATE).options, key=lambda row: row.right or "")
    assert call.implied_volatility is not None
    assert put.implied_volatility is not None
    assert abs(call.implied_volatility - put.implied_volatility) < Decimal("1e-9")
    assert call.delta is not None
    assert put.delta is not None
    # e^(−0.1 × 182/365) = 0.951360
    assert abs(call.delta - put.delta - Decimal("0.951360")) < Decimal("1e-6")


@pytest.mark.parametrize(
    ("price", "spot", "why"),
    [
        ("3", None, "no price of the last seven days"),
        (None, "50", "The option has no price"),
        ("0.5", "60", "No volatility explains its price"),  # worth 10 at once
        ("3", "0", "outside the model"),
    ],
)
def test_what_is_missing_for_the_greeks_is_said(
    price: str | None, spot: str | None, why: str, holder: models.Account
) -> None:
    share = builders.instrument("KO")
    if spot:
        builders.price(share, spot, TODAY)
    builders.position(holder, option(share, "50", expires_on="2026-09-02"), "1", price, cost=None)
    document = exposures(EURO)
    (row,) = document.options
    assert figures(row.delta, row.delta_base) == (None, None)
    assert why in (row.why or "")
    assert document.totals.unknown == 1


def test_what_ends_first_comes_first(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.price(share, "55", TODAY)
    builders.position(holder, option(share, "50", expires_on="2026-09-02"), "1", "8")
    builders.position(holder, option(share, "60", expires_on="2026-06-19"), "1", "1")
    rows = [figures(row.on, row.days, row.in_the_money) for row in exposures(EURO).expiries]
    assert rows == [(date(2026, 6, 19), 107, False), (date(2026, 9, 2), 182, True)]


# Bonds


def bond(
    holder: models.Account, text: str, matures_on: str, face: str, price: str | None, **more: Any
) -> None:
    terms = {
        "asset_class": "bond",
        "quote_factor": Decimal("0.01"),
        "description": text,
        "expires_on": matures_on,
        **more,
    }
    builders.position(holder, builders.instrument("BOND", **terms), face, price)


@pytest.mark.parametrize(
    ("text", "coupon"),
    [
        ("DBR 2 1/2 08/15/46", "0.025"),
        ("T 4.25 05/15/35", "0.0425"),
        ("AAPL 3.85% 08/04/46", "0.0385"),
        ("US TREASURY 1/2 02/28/30", "0.005"),
        ("RHGL 6 06/15/41", "0.06"),
        ("UNITED STATES TREASURY BILL 03/10/27", "0"),
        ("SOME ISSUER PLC", None),
    ],
)
def test_the_coupon_stands_in_the_description(text: str, coupon: str | None, holder: models.Account) -> None:
    bond(holder, text, "2035-05-15", "1000", "100", name="")
    assert exposures(EURO).bonds[0].coupon == builders.number(coupon)


def test_at_par_the_yield_is_the_coupon_on_a_coupon_day(holder: models.Account) -> None:
    bond(holder, "DBR 4 03/04/36", "2036-03-04", "5000", "100")
    (row,) = exposures(EURO).bonds
    assert row.yield_to_maturity is not None
    assert abs(row.yield_to_maturity - Decimal("0.04")) < Decimal("1e-9")
    assert figures(row.accrued, row.payments_a_year, row.market_value) == (0, 1, 5000)


def test_accrued_interest_is_the_part_of_the_coupon_gone_by(holder: models.Account) -> None:
    """Pays 4 a year on 15 January; on 4 March 48 of 365 days are gone: 4 % × 48/365 of 5,000 = 26.30."""
    bond(holder, "DBR 4 01/15/36", "2036-01-15", "5000", "100")
    (row,) = exposures(EURO).bonds
    assert row.accrued is not None
    assert abs(row.accrued - Decimal(5000) * 4 / 100 * 48 / 365) < Decimal("1e-6")


@pytest.mark.parametrize(
    ("text", "isin", "basis", "accrued"),
    [
        # Hull's bond of 8 % on 3 July, here on 4 March with coupons on 2 November and 2 May: 122 of 181 days.
        ("T 8 05/02/36", "US912810XX00", "act/act", Decimal(4) * 122 / 181),
        ("ACME 8 05/02/36", "US0000000AC1", "30/360", Decimal(4) * 122 / 180),
        ("ACME INTL 8 05/02/36", "XS0000000001", None, None),
        ("T 8 05/02/36", None, None, None),  # a Treasury, or AT&T
        ("US-T 8 05/02/36", None, "act/act", Decimal(4) * 122 / 181),
    ],
)
def test_days_are_counted_as_the_market_of_the_bond_does(
    text: str, isin: str | None, basis: str | None, accrued: Decimal | None, holder: models.Account
) -> None:
    bond(holder, text, "2036-05-02", "100", "100", currency="USD", isin=isin)
    (row,) = exposures(EURO).bonds
    assert row.basis == basis
    assert row.accrued == (None if accrued is None else pytest.approx(accrued, abs=Decimal("1e-9")))
    assert (row.yield_to_maturity is None) is (basis is None)


@pytest.mark.parametrize("price", [None, "0"])
def test_a_bond_without_a_price_has_accrued_interest_and_no_yield(
    price: str | None, holder: models.Account
) -> None:
    bond(holder, "DBR 4 01/15/36", "2036-01-15", "5000", price)
    (row,) = exposures(EURO).bonds
    assert row.yield_to_maturity is None
    assert row.accrued == pytest.approx(Decimal(200) * 48 / 365, abs=Decimal("1e-6"))


def test_a_bill_yields_its_discount(holder: models.Account) -> None:
    """98 for 100 in 365 days: 100 / 98 − 1."""
    bond(holder, "TREASURY BILL", "2027-03-04", "1000", "98")
    (row,) = exposures(EURO).bonds
    assert row.yield_to_maturity is not None
    assert abs(row.yield_to_maturity - (Decimal(100) / 98 - 1)) < Decimal("1e-9")
    assert row.payments_a_year == 0


def test_payments_tell_a_coupon_that_no_description_does(holder: models.Account) -> None:
    terms = {"asset_class": "bond", "quote_factor": Decimal("0.01"), "expires_on": "2036-03-04"}
    held = builders.instrument("BOND", "USD", **terms)
    builders.position(holder, held, "20", "100")
    for on in (date(2025, 4, 1), date(2025, 10, 1)):
        builders.activity(holder, "interest", on, held, gross="0.50", subtype="bond interest")
    # Paid to the seller with the purchase, and a year and a day ago.
    builders.activity(holder, "interest", date(2025, 5, 2), held, gross="-0.20")
    builders.activity(holder, "interest", date(2025, 3, 4), held, gross="0.50")
    (row,) = exposures(EURO).bonds
    assert figures(row.coupon, row.coupon_source, row.payments_a_year) == (
        Decimal("0.05"),
        "payments of the last year",
        2,
    )
    # Five payments are no number of coupons: as bonds in dollars pay, twice.
    for on in (date(2025, 6, 1), date(2025, 7, 1), date(2025, 8, 1)):
        builders.activity(holder, "interest", on, held, gross="0.10")
    (row,) = exposures(EURO).bonds
    assert figures(row.coupon, row.payments_a_year) == (Decimal("0.065"), 2)


def test_payments_tell_no_coupon_of_a_bond_that_was_not_held_all_the_year(holder: models.Account) -> None:
    terms = {"asset_class": "bond", "quote_factor": Decimal("0.01"), "expires_on": "2036-03-04"}
    held = builders.instrument("BOND", "USD", **terms)
    builders.position(holder, held, "2000", "100")
    builders.activity(holder, "buy", date(2025, 3, 3), held, quantity="1000", gross="-1000")
    first = builders.activity(holder, "interest", date(2025, 4, 1), held, gross="25")
    # The other half came after the first of two payments: 25 + 50 are not 5 % of 2,000.
    more = builders.activity(holder, "buy", date(2025, 6, 2), held, quantity="1000", gross="-1000")
    builders.activity(holder, "interest", date(2025, 10, 1), held, gross="50")
    (row,) = exposures(EURO).bonds
    assert figures(row.coupon, row.payments_a_year) == (None, None)
    # If it was there a year ago: 50 + 50 of 2,000.
    models.Activity.objects.filter(pk=first.pk).update(gross=Decimal(50))
    models.Activity.objects.filter(pk=more.pk).update(trade_date=date(2025, 3, 4))
    assert exposures(EURO).bonds[0].coupon == Decimal("0.05")


def test_without_a_coupon_accrued_interest_and_yield_are_unknown(holder: models.Account) -> None:
    bond(holder, "SOME ISSUER PLC", "2036-03-04", "1000", "90")
    (row,) = exposures(EURO).bonds
    assert figures(row.coupon, row.accrued, row.yield_to_maturity) == (None, None, None)


def test_the_ladder_adds_up_what_matures_in_a_year(holder: models.Account) -> None:
    bond(holder, "A 4 01/15/36", "2036-01-15", "5000", "90")
    bond(holder, "B 4 11/15/36", "2036-11-15", "1000", "100")
    bond(holder, "C 4 11/15/40", "2040-11-15", "1000", "100")
    rows = [
        figures(row.year, row.bonds, row.face_base, row.market_value_base) for row in exposures(EURO).ladder
    ]
    assert rows == [(2036, 2, 6000, 5500), (2040, 1, 1000, 1000)]


def test_margin_is_what_the_broker_reports() -> None:
    builders.account(
        "U1", reported_nav=Decimal(1000), reported_cushion=Decimal("0.65"),
        reported_excess_liquidity=Decimal(650), reported_margin_at=NOW,
    )  # fmt: skip
    builders.account("U2")
    (row,) = exposures(EURO).margin
    assert figures(row.account, row.cushion, row.excess_liquidity, row.initial_margin) == (
        "U1",
        Decimal("0.65"),
        650,
        None,
    )
