"""Groups down to the holding, the unknown part, and concentration by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.allocation import BY, By, allocation
from stonks_overwatch.reports.diversification import concentration, diversification
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import figures

EURO = Scope("EUR")
sizes = st.lists(
    st.decimals(min_value=-1000, max_value=1000, places=2, allow_nan=False), min_size=1, max_size=30
)


@pytest.fixture
def portfolio(db: None) -> models.Account:
    """600 of a share, −100 of another, 400 of one whose sector is not told, one without a value, 100 cash."""
    holder = builders.account()
    builders.position(holder, builders.instrument("A", sector="Technology"), "50", "12")
    builders.position(holder, builders.instrument("B", sector="Energy"), "-10", "10")
    builders.position(holder, builders.instrument("C"), "40", "10")
    builders.position(holder, builders.instrument("D", sector="Energy"), "1", None)
    builders.cash(holder, "EUR", "100")
    return holder


@pytest.mark.usefixtures("portfolio")
def test_groups_have_their_members_and_the_unknown_is_stated() -> None:
    document = diversification(EURO, "sector")
    assert [figures(group.key, group.value_base) for group in document.groups] == [
        ("Technology", 600),
        ("unknown", 400),
        ("cash", 100),
        ("Energy", -100),
    ]
    energy = document.groups[-1]
    assert [figures(row.symbol, row.value_base) for row in energy.members] == [("B", -100), ("D", None)]
    assert figures(energy.unknown, document.unknown) == (1, 1)
    assert document.unknown_weight == Decimal("0.4")
    (shares, _) = diversification(EURO, "asset_class").groups
    assert [row.symbol for row in shares.members] == ["A", "C", "B", "D"]


@pytest.mark.usefixtures("portfolio")
def test_the_concentration_is_that_of_the_sizes_of_positions() -> None:
    # Sizes 600, 400, 100: shares 6/11, 4/11, 1/11; squares 36 + 16 + 1 = 53 of 121.
    found = diversification(EURO, "sector").positions
    assert figures(found.count, found.unknown) == (4, 1)
    assert found.herfindahl == Decimal(53) / 121
    assert found.effective == Decimal(121) / 53
    assert found.largest == Decimal(6) / 11
    assert found.top_10 == 1


@pytest.mark.django_db
def test_one_instrument_in_two_accounts_is_one_position() -> None:
    share = builders.instrument("A")
    for name in ("U1", "U2"):
        builders.position(builders.account(name), share, "10", "12")
    document = diversification(EURO, "asset_class")
    assert [len(group.members) for group in document.groups] == [1]
    assert document.positions.effective == 1
    assert [len(group.members) for group in diversification(EURO, "account").groups] == [1, 1]


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("by", BY)
def test_the_groups_are_those_of_the_allocation_and_add_up_to_nav(by: By) -> None:
    document = diversification(EURO, by)
    slices = {row.key: row.value_base for row in allocation(EURO, by).slices}
    assert {group.key: group.value_base for group in document.groups} == slices
    assert sum(group.value_base or 0 for group in document.groups) == document.total_base == 1000


@pytest.mark.usefixtures("portfolio")
def test_exchanges_have_the_names_of_their_markets_and_other_groups_none() -> None:
    models.Instrument.objects.filter(symbol="A").update(exchange="NASDAQ", market="Nasdaq Stock Market")
    models.Instrument.objects.filter(symbol="B").update(exchange="XYZ")
    found = {group.key: group.market for group in diversification(EURO, "exchange").groups}
    assert found == {"NASDAQ": "Nasdaq Stock Market", "XYZ": None, "unknown": None, "cash": None}
    assert {group.market for group in diversification(EURO, "sector").groups} == {None}


@pytest.mark.django_db
def test_cash_of_nothing_is_no_member_and_a_future_of_unknown_value_is_one() -> None:
    holder = builders.account()
    future = builders.instrument("ES", asset_class="future")
    builders.position(holder, future, "1", "100", market_value=None)
    builders.cash(holder, "EUR", "-5")
    builders.cash(holder, "USD", "0")
    document = diversification(EURO, "asset_class")
    # What is not known comes last.
    assert [
        figures(group.key, group.value_base, group.unknown, len(group.members)) for group in document.groups
    ] == [("cash", -5, 0, 1), ("future", None, 1, 1)]


@pytest.mark.django_db
def test_futures_that_the_account_tells_as_a_whole_are_one_member() -> None:
    holder = builders.account()
    for symbol in ("ES", "NQ"):
        future = builders.instrument(symbol, asset_class="future")
        builders.position(holder, future, "1", "100", market_value=None)
    builders.cash(holder, "EUR", "900", futures_pnl=Decimal(100))
    document = diversification(EURO, "asset_class")
    futures = next(group for group in document.groups if group.key == "future")
    assert [figures(row.name, row.value_base) for row in futures.members] == [
        ("Futures, not settled EUR", 100)
    ]
    assert document.unknown == 0


@pytest.mark.django_db
def test_nothing_stored_has_no_concentration() -> None:
    document = diversification(EURO, "country")
    assert figures(document.groups, document.positions.herfindahl, document.positions.top_10) == (
        (),
        None,
        None,
    )


@given(sizes)
def test_the_index_is_between_one_position_and_all_equal(values: list[Decimal]) -> None:
    found = concentration(values)
    known = [value for value in values if value]
    if not known:
        assert found.herfindahl is None
        return
    assert found.herfindahl is not None
    assert Decimal(1) / len(known) - Decimal("1e-20") <= found.herfindahl <= Decimal(1)
    assert found.largest is not None
    assert found.top_10 is not None
    assert found.largest <= found.top_10 <= 1


@given(sizes, st.decimals(min_value="0.01", max_value=1000, places=2))
def test_the_index_does_not_depend_on_the_currency(values: list[Decimal], rate: Decimal) -> None:
    one, other = concentration(values).herfindahl, concentration(value * rate for value in values).herfindahl
    assert (one is None) is (other is None)
    assert one is None or other is None or abs(one - other) < Decimal("1e-20")
