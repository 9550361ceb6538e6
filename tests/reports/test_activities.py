import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.activities import SORTS, ActivityRow, Filter, activities, listed
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
JAN, FEB, MAR = date(2026, 1, 5), date(2026, 2, 2), date(2026, 3, 2)


def only() -> ActivityRow:
    (row,) = activities(EUR).activities
    return row


def test_the_document_has_the_promised_keys_in_their_order() -> None:
    builders.activity(builders.account(), "deposit", gross="100")
    document = json.loads(activities(EUR).model_dump_json())
    assert list(document) == ["activities"]
    assert list(document["activities"][0]) == [
        "id",
        "account",
        "broker",
        "kind",
        "trade_at",
        "trade_date",
        "settlement_date",
        "symbol",
        "isin",
        "broker_ref",
        "quantity",
        "price",
        "currency",
        "gross",
        "fee",
        "tax",
        "net",
        "fx_rate",
        "description",
        "sources",
    ]


def test_net_is_gross_with_fee_and_tax() -> None:
    share = builders.instrument("AAA", "USD", isin="US0000000001", broker_ref="42")
    builders.activity(
        builders.account(), "sell", JAN, share, quantity="-2.125", gross="100", fee="-1.25", tax="-0.5"
    )
    row = only()
    assert row.net == Decimal("98.25")
    assert (row.symbol, row.isin, row.broker_ref, row.currency) == ("AAA", "US0000000001", "42", "USD")
    assert row.quantity == Decimal("-2.125")


def test_without_a_gross_amount_net_is_unknown() -> None:
    builders.activity(builders.account(), "buy", of=builders.instrument(), quantity="1", fee="-1")
    assert only().net is None


def test_what_no_source_names_is_no_fee() -> None:
    builders.activity(builders.account(), "dividend", of=builders.instrument(), gross="7.31")
    assert (only().fee, only().net) == (None, Decimal("7.31"))


def test_every_source_is_named_once() -> None:
    builders.activity(builders.account(), "deposit", gross="1", sources=("web-api", "flex", "flex"))
    assert only().sources == ("flex", "web-api")


def test_what_the_ledger_worked_out_says_so() -> None:
    account, share = builders.account(), builders.instrument()
    builders.activity(account, "opening", JAN, share, quantity="1", is_derived=True, sources=())
    builders.activity(account, "sell", FEB, share, quantity="-1", is_derived=True, sources=())
    assert [row.sources for row in activities(EUR).activities] == [("position change",), ("opening balance",)]


def test_a_replaced_activity_is_left_out() -> None:
    account = builders.account()
    right = builders.activity(account, "fee", gross="-2")
    builders.activity(account, "fee", gross="-3", superseded_by=right)
    assert only().gross == -2


def test_the_identity_is_the_brokers_and_stays() -> None:
    builders.activity(builders.account("U7"), "deposit", gross="1", key="trade:1")
    assert only().id == "ibkr:U7:trade:1"


def test_the_newest_come_first() -> None:
    account = builders.account()
    for on, hour in ((JAN, 9), (FEB, 9), (FEB, 11)):
        at = datetime(on.year, on.month, on.day, hour, tzinfo=UTC)
        builders.activity(account, "deposit", on, gross="1", trade_at=at)
    hours = [
        (row.trade_date, row.trade_at.hour if row.trade_at else None) for row in activities(EUR).activities
    ]
    assert hours == [(FEB, 11), (FEB, 9), (JAN, 9)]


def test_days_kinds_and_accounts_narrow_it_down() -> None:
    one, two = builders.account("U1"), builders.account("U2")
    for on in (JAN, FEB, MAR):
        builders.activity(one, "deposit", on, gross="1")
    builders.activity(one, "fee", FEB, gross="-1")
    builders.activity(two, "deposit", FEB, gross="1")

    def found(scope: Scope = EUR, **more: date | ActivityKind) -> int:
        return len(activities(scope, **more).activities)  # type: ignore[arg-type]

    assert found() == 5
    assert found(start=FEB) == 4
    assert found(start=FEB, end=FEB) == 3
    assert found(Scope("EUR", as_of=FEB)) == 4
    assert found(Scope("EUR", as_of=FEB), end=JAN) == 1
    assert found(kind=ActivityKind.FEE) == 1
    assert found(Scope("EUR", account="U2")) == 1


def test_the_number_of_queries_does_not_grow(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    account, share = builders.account(), builders.instrument()
    for _ in range(200):
        builders.activity(account, "buy", of=share, quantity="1", gross="-10")
    with django_assert_num_queries(3):
        assert len(activities(EUR).activities) == 200


def test_a_list_is_put_in_order_from_an_index_without_reading_the_rows() -> None:
    builders.activity(builders.account("U1"), "deposit", gross="100")
    asked = [Filter(sort=sort, kind=kind) for sort in SORTS for kind in (None, ActivityKind.BUY)]
    for scope in (EUR, Scope("EUR", account="U1")):
        for one in [*asked, Filter(state="reported"), Filter(query="abc")]:
            with CaptureQueriesContext(connection) as queries:
                listed(scope, one)
            sorting = [query["sql"] for query in queries if '"id" DESC' in query["sql"]]
            with connection.cursor() as cursor:
                plan = str(cursor.execute(f"EXPLAIN QUERY PLAN {sorting[0]}").fetchall())
            assert "COVERING INDEX activity_listed" in plan, (one, plan)
