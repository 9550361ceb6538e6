"""Laws of income, fees and contributions: parts add up to the whole, however they are cut."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.contributions import contributions
from stonks_overwatch.reports.fees import fees
from stonks_overwatch.reports.income import income
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import TODAY

EURO = Scope("EUR")
FIRST = TODAY - timedelta(days=900)
amounts = st.decimals(min_value=-500, max_value=500, places=2).map(str)
row = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["U1", "U2"]),
        "kind": st.sampled_from(
            ["dividend", "tax", "interest", "fee", "deposit", "withdrawal", "buy", "transfer_in"]
        ),
        "days": st.integers(0, 900),
        "currency": st.sampled_from(["EUR", "USD"]),
        "gross": amounts,
        "fee": st.one_of(st.none(), amounts),
        "tax": st.one_of(st.none(), amounts),
        "subtype": st.sampled_from(["", "withholding tax", "payment in lieu", "return of capital"]),
        "group": st.sampled_from([None, "a", "b"]),
    }
)


def book(rows: list[dict[str, Any]]) -> None:
    accounts = {name: builders.account(name, currency) for name, currency in (("U1", "EUR"), ("U2", "USD"))}
    models.FxRate.objects.bulk_create(
        models.FxRate(
            base="USD",
            quote="EUR",
            on=FIRST + timedelta(days=days),
            rate=Decimal(80 + days % 17) / 100,
            source="test",
        )
        for days in range(-7, 901, 7)
    )
    for one in rows:
        builders.activity(
            accounts[one["account"]],
            one["kind"],
            FIRST + timedelta(days=one["days"]),
            **{name: one[name] for name in ("currency", "gross", "fee", "tax", "subtype", "group")},
        )


def whole(rows: Any, field: str = "net_base") -> Decimal:
    return sum((getattr(one, field) for one in rows), Decimal(0))


def near(one: Decimal | None, other: Decimal | None) -> bool:
    return one is not None and other is not None and abs(one - other) < Decimal("1e-15")


class Laws(TestCase):
    @settings(max_examples=15, deadline=None)
    @given(st.lists(row, min_size=1, max_size=12))
    def test_parts_add_up_to_the_whole(self, rows: list[dict[str, Any]]) -> None:
        book(rows)

        earned = income(EURO)
        for parts in (earned.by_month, earned.by_year, earned.by_account, earned.by_currency, earned.by_kind):
            assert near(whole(parts), earned.totals.net_base)
        kept = [one for one in earned.payments if one.kind != "return_of_capital"]
        assert near(whole(kept), earned.totals.net_base)
        assert near(
            (earned.totals.gross_base or Decimal(0)) + (earned.totals.tax_base or Decimal(0)),
            earned.totals.net_base,
        )

        taken = fees(EURO)
        for groups in (taken.by_month, taken.by_year, taken.by_account, taken.by_kind):
            assert near(whole(groups), taken.totals.net_base)
        assert near(whole(taken.charges, "amount_base"), taken.totals.net_base)

        given_ = contributions(EURO)
        for cut in (given_.by_month, given_.by_year, given_.by_account, given_.by_kind):
            assert near(whole(cut, "gross_base"), given_.totals.gross_base)
        external = [one for one in given_.flows if not one.is_internal]
        assert near(whole(external, "amount_base"), given_.totals.gross_base)
        if given_.by_month:
            assert near(given_.by_month[-1].total_base, given_.totals.gross_base)
        self._clear()

    @settings(max_examples=15, deadline=None)
    @given(st.lists(row, min_size=1, max_size=12), st.integers(0, 900))
    def test_two_periods_add_up_to_the_one_they_make(self, rows: list[dict[str, Any]], cut: int) -> None:
        book(rows)
        middle = FIRST + timedelta(days=cut)
        for report in (fees, contributions):
            one, other = report(EURO, None, middle), report(EURO, middle + timedelta(days=1), None)
            both = (one.totals.gross_base or Decimal(0)) + (other.totals.gross_base or Decimal(0))
            assert near(both, report(EURO).totals.gross_base)
        self._clear()

    @settings(max_examples=15, deadline=None)
    @given(st.lists(row, min_size=1, max_size=12), st.randoms())
    def test_the_order_of_import_does_not_matter(self, rows: list[dict[str, Any]], chance: Any) -> None:
        book(rows)
        found = [income(EURO).totals.net_base, fees(EURO).totals.net_base]
        self._clear()
        chance.shuffle(rows)
        book(rows)
        again = [income(EURO).totals.net_base, fees(EURO).totals.net_base]
        assert all(near(one, other) for one, other in zip(found, again, strict=True))
        self._clear()

    def _clear(self) -> None:
        models.FxRate.objects.all().delete()
        models.Account.objects.all().delete()
