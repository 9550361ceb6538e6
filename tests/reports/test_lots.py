"""Open lots, the method of an account, chosen lots, and a sale that might be."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch.errors import LotsRefusedError, UnknownInstrumentError
from stonks_overwatch.ledger import choices, models
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.reports.explain import Arguments, explain
from stonks_overwatch.reports.holdings import holdings
from stonks_overwatch.reports.instrument import instrument
from stonks_overwatch.reports.lots import LotRow, lots, what_if
from stonks_overwatch.reports.realized import realized
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
JAN, FEB, MAR = date(2025, 1, 7), date(2026, 2, 3), date(2026, 3, 3)


def story(currency: str = "EUR", **more: Any) -> tuple[models.Account, models.Instrument]:
    """Bought 10 for 100 and 10 for 150, sold 5 for 70; 15 are left at 12."""
    account, share = builders.account(), builders.instrument(currency=currency, **more)
    builders.position(account, share, "15", cost="200")
    builders.activity(account, "buy", JAN, share, quantity="10", gross="-100", key="first")
    builders.activity(account, "buy", FEB, share, quantity="10", gross="-150", key="second")
    builders.activity(account, "sell", MAR, share, quantity="-5", gross="70", key="sale")
    return account, share


def values(*figures: object) -> list[object]:
    """For comparing: a Decimal equals a whole number."""
    return list(figures)


def row(document_rows: tuple[LotRow, ...], key: str) -> LotRow:
    return next(one for one in document_rows if one.opened_by == key)


def test_a_lot_tells_what_it_cost_what_it_is_worth_and_how_long_it_is_held() -> None:
    story()
    document = lots(EUR)
    first = row(document.lots, "first")
    # Half of the first is left: 5 that cost 50 and are worth 5 × 12.
    assert values(first.quantity, first.cost, first.market_value, first.unrealized_pnl) == [5, 50, 60, 10]
    assert first.acquired_on == JAN
    assert first.days == (builders.TODAY - JAN).days
    assert first.is_long_term
    second = row(document.lots, "second")
    assert values(second.cost, second.unrealized_pnl, second.is_long_term) == [150, -30, False]
    assert document.totals.unrealized_pnl_base == -20
    assert document.totals.unknown == 0


def test_the_profit_of_a_lot_is_price_currency_and_both() -> None:
    """Cost 1000 USD at 0.95, worth 1200 USD at 0.80: 960 − 950 = 10 EUR.

    Price 200 × 0.95 = 190, currency 1000 × −0.15 = −150, cross 200 × −0.15 = −30.
    """
    account, share = builders.account(), builders.instrument(currency="USD")
    builders.rate("USD", "EUR", "0.95", JAN)
    builders.rate("USD", "EUR", "0.80")
    builders.position(account, share, "100", cost="1000")
    builders.activity(account, "buy", JAN, share, quantity="100", gross="-1000")
    (lot,) = lots(EUR).lots
    assert values(lot.cost_base, lot.market_value_base, lot.unrealized_pnl_base) == [950, 960, 10]
    effects = values(lot.price_effect_base, lot.currency_effect_base, lot.cross_effect_base)
    assert effects == [190, -150, -30]


def test_a_sale_that_might_be_closes_the_lots_that_are_named_first() -> None:
    """Of 5 left at 10 and 10 at 15, 12 are sold at 20, the dearer ones first: 240 − 150 − 20 = 70."""
    account, share = story()
    named = ["second", f"ibkr:{account.account}:first"]
    outcomes = what_if(EUR, share.broker_ref, Decimal(12), Decimal(20), named).outcomes
    assert [one.method for one in outcomes][-1] is Method.SPECIFIC
    chosen = outcomes[-1]
    assert [values(one.opened_by, one.quantity) for one in chosen.sold] == [["second", 10], ["first", 2]]
    assert values(chosen.gain) == [70]
    with pytest.raises(LotsRefusedError, match="No lot that sale opened is open"):
        what_if(EUR, share.broker_ref, Decimal(12), Decimal(20), ["sale"])


def test_what_was_held_before_the_history_has_no_day_of_acquisition() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share)
    builders.activity(account, "opening", JAN, share, quantity="10", cost="100", gross="0", is_derived=True)
    (lot,) = lots(EUR).lots
    assert values(lot.acquired_on, lot.days, lot.is_long_term, lot.cost) == [None, None, None, 100]


@pytest.mark.parametrize(("currency", "is_estimate"), [("USD", True), ("EUR", False)])
def test_a_purchase_whose_day_is_not_known_makes_its_cost_in_another_currency_an_estimate(
    currency: str, is_estimate: bool
) -> None:
    """Ten held since before the history and ten bought: only the first have no rate of their purchase."""
    account, share = builders.account(), builders.instrument(currency=currency)
    for on, rate in ((JAN, "0.90"), (FEB, "0.95"), (builders.TODAY, "0.80")):
        builders.rate("USD", "EUR", rate, on)
    builders.position(account, share, "15")
    builders.activity(account, "opening", JAN, share, quantity="10", cost="100", gross="0", is_derived=True)
    builders.activity(account, "buy", FEB, share, quantity="10", gross="-110")
    builders.activity(account, "sell", builders.TODAY, share, quantity="-5", gross="60")
    asked = Arguments(base="EUR", instrument=share.pk)
    held, (closed,) = lots(EUR), realized(EUR).lots
    earned = instrument(EUR, share.pk).earned
    outcomes = {one.method: one for one in what_if(EUR, share.broker_ref, Decimal(10)).outcomes}

    assert [lot.is_estimate for lot in held.lots] == [is_estimate, False]
    assert [closed.is_estimate, held.totals.is_estimate] == [is_estimate, is_estimate]
    assert [earned.unrealized_is_estimate, earned.realized_is_estimate] == [is_estimate, is_estimate]
    # The newest ten are the ones that were bought; the oldest ten are of both.
    assert [outcomes[Method.LIFO].is_estimate, outcomes[Method.FIFO].is_estimate] == [False, is_estimate]
    for until in (None, builders.TODAY):  # stored, and worked out
        of_sales, valued = realized(Scope("EUR", as_of=until)), holdings(Scope("EUR", as_of=until))
        sums = (of_sales.totals, *of_sales.by_year, *of_sales.by_instrument)
        assert [one.estimates for one in sums] == [int(is_estimate)] * 3
        assert valued.totals.realized_is_estimate == is_estimate
        assert [one.realized_is_estimate for one in valued.holdings] == [is_estimate]
    for figure in (
        "instrument.earned.currency_effect_base",
        "realized.totals.gain_base",
        "dashboard.totals.realized_pnl_base",
    ):
        told = explain(figure, asked)
        assert (told.is_estimate, "not known" in told.note) == (is_estimate, is_estimate)


def test_the_method_of_an_account_is_switched_without_an_import() -> None:
    account, _ = story()
    assert holdings(EUR).holdings[0].cost_basis == 200  # the broker's own
    choices.set_method([account], Method.LIFO)
    # 5 of the second are sold: 100 + 75 are left, and 70 − 75 is lost.
    held = holdings(EUR).holdings[0]
    assert values(held.cost_basis, held.unrealized_pnl, held.realized_pnl_base) == [175, 5, -5]
    assert realized(EUR).totals.gain_base == -5
    choices.set_method([account], Method.AVERAGE)
    # 250 / 20 is 12.50: 15 cost 187.50, 5 cost 62.50.
    held = holdings(EUR).holdings[0]
    assert values(held.cost_basis, held.average_cost) == [Decimal("187.5"), Decimal("12.5")]
    assert held.realized_pnl_base == Decimal("7.5")


def test_a_method_that_is_asked_for_replaces_the_account_s_own() -> None:
    story()
    assert holdings(EUR, Method.FIFO).holdings[0].cost_basis == 200
    assert holdings(EUR, Method.LIFO).holdings[0].cost_basis == 175
    assert {lot.method for lot in lots(EUR, Method.HIFO).lots} == {Method.HIFO}


def test_the_broker_s_silence_about_the_cost_is_filled_from_the_lots() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "10", cost=None)
    builders.activity(account, "buy", JAN, share, quantity="10", gross="-100", fee="-1")
    assert holdings(EUR).holdings[0].cost_basis == 101


def test_a_cost_is_unknown_where_the_lots_do_not_explain_the_quantity() -> None:
    account, share = builders.account(lot_method="lifo"), builders.instrument()
    builders.position(account, share, "12")
    builders.activity(account, "buy", JAN, share, quantity="10", gross="-100")
    assert holdings(EUR).holdings[0].cost_basis is None


def test_a_chosen_lot_is_what_the_sale_closes() -> None:
    account, _ = story()
    choices.set_method([account], Method.SPECIFIC)
    choices.choose(account, "ibkr:U1:sale", "ibkr:U1:second", Decimal(3))
    # 3 of the second at 15 and, nobody chose more, 2 of the first at 10; sold at 14.
    assert [(lot.opened_by, lot.gain, lot.is_matched) for lot in realized(EUR).lots] == [
        ("first", Decimal(8), False),
        ("second", Decimal(-3), True),
    ]
    choices.choose(account, "sale", "second", Decimal(0))
    assert [lot.opened_by for lot in realized(EUR).lots] == ["first"]


@pytest.mark.parametrize(
    ("closing", "opening", "quantity", "what"),
    [
        ("sale", "second", "6", "closes 5"),
        ("sale", "second", "-1", "closes 5"),
        ("nothing", "second", "1", "has no activity nothing"),
        ("sale", "sale", "1", "opened no lot"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(closing: str, opening: str, quantity: str, what: str) -> None:
    account, _ = story()
    with pytest.raises(LotsRefusedError, match=what):
        choices.choose(account, closing, opening, Decimal(quantity))


def test_the_broker_s_closed_lots_decide_by_its_method() -> None:
    account, share = story()
    for name, amount in (("quantity", "5"), ("cost", "76")):
        models.Figure.objects.create(
            account=account, section="ClosedLots", name=name, since=FEB, until=MAR, currency="EUR",
            broker_ref=share.broker_ref, ref="1", amount=Decimal(amount),
        )  # fmt: skip
    choices.set_method([account], Method.BROKER)
    (lot,) = realized(EUR).lots
    assert values(lot.acquired_on, lot.cost, lot.gain, lot.is_matched) == [FEB, 76, -6, True]


def test_a_sale_that_might_be_is_worked_out_by_each_method() -> None:
    story()
    document = what_if(EUR, "abc", Decimal(10), Decimal(16))
    gains = {outcome.method: outcome.gain or Decimal(0) for outcome in document.outcomes}
    # 160 for 10. Open are 5 at 10 and 10 at 15, 200 for 15 in all.
    assert gains[Method.FIFO] == 160 - 50 - 75
    assert gains[Method.LIFO] == gains[Method.HIFO] == 160 - 150
    assert abs(gains[Method.AVERAGE] - (160 - Decimal(400) / 3)) < Decimal("1e-20")
    assert [len(outcome.sold) for outcome in document.outcomes] == [2, 1, 1, 2]
    assert realized(EUR).totals.lots == 1  # nothing was sold


def test_without_a_quantity_and_a_price_all_of_it_is_sold_at_the_last_one() -> None:
    story()
    document = what_if(EUR, "ABC")
    assert values(document.quantity, document.price) == [15, 12]
    assert document.outcomes[0].gain == 15 * 12 - 200


def test_what_is_not_held_cannot_be_sold() -> None:
    story()
    with pytest.raises(UnknownInstrumentError):
        what_if(EUR, "XYZ")
    with pytest.raises(LotsRefusedError, match="15 are open"):
        what_if(EUR, "ABC", Decimal(16))


def test_a_name_of_several_positions_is_not_enough() -> None:
    _, share = story()
    other = builders.account("U2")
    builders.position(other, share, "3")
    with pytest.raises(LotsRefusedError, match="several positions"):
        what_if(EUR, "ABC")
    assert what_if(Scope("EUR", account="U1"), "ABC").account == "U1"
