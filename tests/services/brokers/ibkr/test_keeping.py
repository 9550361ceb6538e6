import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Answer, Raw
from stonks_overwatch.services.brokers.ibkr.client import decode
from stonks_overwatch.services.brokers.ibkr.keeping import keep
from stonks_overwatch.services.brokers.ibkr.repositories.models import (
    IbkrAccount,
    IbkrAnswer,
    IbkrContract,
    IbkrLedger,
    IbkrPerformance,
    IbkrPosition,
    IbkrTransaction,
)
from tests.services.brokers.ibkr.conftest import LogIn

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PAGE = "GET portfolio/U1/positions/0"
FRESH = "GET portfolio2/U1/positions"


def answer(
    endpoint: str, text: str, account: str | None = None, at: datetime = NOW, **request: Any
) -> Answer:
    content = text.encode()
    return Answer(endpoint, account, request, decode(content), at, content)


def raw(*answers: Answer, at: datetime = NOW) -> Raw:
    return Raw("", at, list(answers))


def fresh(*rows: str, at: datetime = NOW, complete: bool = True) -> Answer:
    return answer(FRESH, f"[{','.join(rows)}]", "U1", at, attempt=1, complete=complete)


def transactions(*rows: str, at: datetime = NOW) -> Answer:
    return answer(
        "POST pa/transactions",
        f'{{"currency":"EUR","from":1,"to":2,"transactions":[{",".join(rows)}]}}',
        at=at,
        acctIds=["U1", "U2"],
        conids=["756733"],
    )


FILL = (
    '{"cur":"USD","rawDate":"20260303","date":"Tue Mar 03 00:00:00 EST 2026","fxRate":0.86,"pr":645.155,'
    '"qty":4.0,"acctid":"U1","amt":-2580.62,"conid":756733,"type":"Buy","desc":"SPDR S&P 500 ETF TRUST"}'
)


# --- raw answers ----------------------------------------------------------------------------------


def test_the_exact_bytes_of_every_answer_are_kept() -> None:
    text = '{ "EUR": {"cashbalance": 1.10, "exchangerate":1 },\n "BASE":{"cashbalance":1.10} }'

    keep(raw(answer("GET portfolio/U1/ledger", text, "U1")))

    kept = IbkrAnswer.objects.get()
    assert zlib.decompress(kept.content) == text.encode()
    assert (kept.endpoint, kept.account) == ("GET portfolio/U1/ledger", "U1")
    assert kept.fetched_at == NOW


def test_an_equal_answer_only_moves_the_time() -> None:
    later = NOW + timedelta(minutes=15)
    text = '{"BASE":{"cashbalance":1.10}}'
    keep(raw(answer("GET portfolio/U1/ledger", text, "U1")))

    keep(raw(answer("GET portfolio/U1/ledger", text, "U1", later), at=later))

    kept = IbkrAnswer.objects.get()
    assert (kept.fetched_at, kept.last_seen_at) == (NOW, later)


def test_another_answer_and_another_request_are_kept_beside_it() -> None:
    keep(raw(answer(PAGE, "[]", "U1", sort="position"), fresh(complete=False)))
    keep(raw(answer(PAGE, "[ ]", "U1", sort="position"), fresh(complete=True)))

    assert IbkrAnswer.objects.count() == 4
    assert [
        json.loads(kept.request) for kept in IbkrAnswer.objects.filter(endpoint=FRESH).order_by("pk")
    ] == [
        {"complete": False},
        {"complete": True},
    ]


def test_of_a_past_day_the_last_states_are_kept_and_all_transactions() -> None:
    def run(at: datetime, number: int) -> None:
        row = FILL.replace("20260303", f"202603{number:02}")
        keep(raw(fresh(f'{{"conid":"1","position":{number}}}', at=at), transactions(row, at=at), at=at))

    for number, at in enumerate(
        [
            datetime(2026, 3, 1, 9, tzinfo=UTC),  # the first of all: openings are anchored there
            datetime(2026, 3, 1, 15, tzinfo=UTC),
            datetime(2026, 3, 1, 22, tzinfo=UTC),
            datetime(2026, 3, 2, 9, tzinfo=UTC),
            datetime(2026, 3, 2, 22, tzinfo=UTC),
            datetime(2026, 3, 4, 9, tzinfo=UTC),
            datetime(2026, 3, 4, 10, tzinfo=UTC),
        ],
        start=1,
    ):
        run(at, number)

    states = IbkrAnswer.objects.filter(endpoint=FRESH).order_by("fetched_at")
    assert [decode(zlib.decompress(kept.content))[0]["position"] for kept in states] == [1, 3, 5, 6, 7]
    assert IbkrAnswer.objects.filter(endpoint="POST pa/transactions").count() == 7


def test_an_answer_that_was_read_from_the_table_is_not_kept_again() -> None:
    definition = answer("GET trsrv/secdef", '{"secdef":[{"conid":1,"ticker":"A"}]}', conids="1")
    keep(raw(definition))

    keep(raw(replace(definition, content=b"")))

    assert IbkrAnswer.objects.count() == 1


# --- positions and cash ---------------------------------------------------------------------------


def test_nothing_of_a_position_is_cut() -> None:
    name = "A contract description of well over sixty characters, naïve — & <b>whole</b>"
    keep(
        raw(
            answer(
                PAGE,
                f'[{{"acctId":"U1","conid":9007199254740993,"contractDesc":{json.dumps(name)},"position":2.125,'
                '"mktPrice":0.1234567890123456789,"strike":"440","multiplier":100.0,"putOrCall":"C",'
                '"expiry":"20270115","undConid":756733,"ticker":"SPY","currency":"USD","model":""}]',
                "U1",
            ),
            fresh(
                '{"conid":"9007199254740993","position":2.125,"marketValue":1234567890123456789.123,'
                '"avgCost":null,"assetClass":"OPT","currency":"USD","model":""}'
            ),
        )
    )

    row = IbkrPosition.objects.get()
    assert row.conid == 9007199254740993
    assert row.contract_desc == name
    assert row.quantity == Decimal("2.125")
    assert row.market_price == Decimal("0.1234567890123456789")
    assert row.market_value == Decimal("1234567890123456789.123")
    assert (row.strike, row.multiplier, row.underlying_conid) == (440, 100, 756733)
    assert row.average_cost is None


def test_several_accounts_and_models_hold_the_same_contract() -> None:
    keep(
        raw(
            fresh('{"conid":"1","position":1,"model":""}', '{"conid":"1","position":2,"model":"Growth"}'),
            answer("GET portfolio2/U2/positions", '[{"conid":1,"position":3}]', "U2", complete=True),
        )
    )

    held = IbkrPosition.objects.order_by("account", "model")
    assert [(row.account, row.model, row.quantity) for row in held] == [
        ("U1", "", Decimal(1)),
        ("U1", "Growth", Decimal(2)),
        ("U2", "", Decimal(3)),
    ]


def test_a_sold_position_stays_as_it_was_last_reported() -> None:
    later = NOW + timedelta(minutes=15)
    keep(raw(fresh('{"conid":"1","position":5}', '{"conid":"2","position":7}')))

    keep(raw(fresh('{"conid":"2","position":0}', at=later), at=later))

    sold, zero = IbkrPosition.objects.order_by("conid")
    assert (sold.quantity, sold.gone_at, sold.changed_at) == (5, later, later)
    assert (zero.quantity, zero.gone_at, zero.changed_at) == (0, None, later)


def test_what_an_incomplete_list_lacks_is_not_gone() -> None:
    keep(raw(fresh('{"conid":"1","position":5}', '{"conid":"2","position":7}')))

    keep(raw(fresh('{"conid":"2","position":7}', complete=False)))

    assert not IbkrPosition.objects.exclude(gone_at=None)


def test_a_position_changes_only_when_its_quantity_does() -> None:
    later = NOW + timedelta(minutes=15)
    keep(raw(fresh('{"conid":"1","position":5,"marketPrice":1}', '{"conid":"2","position":7}')))

    keep(
        raw(
            fresh('{"conid":"1","position":5.0,"marketPrice":2}', '{"conid":"2","position":8}', at=later),
            at=later,
        )
    )

    same, other = IbkrPosition.objects.order_by("conid")
    assert (same.market_price, same.fetched_at, same.changed_at) == (2, later, NOW)
    assert other.changed_at == later


def test_rows_that_make_no_sense_do_not_stop_the_others() -> None:
    keep(
        raw(
            fresh(
                '{"position":5}',
                '{"conid":"x","position":5}',
                '{"conid":true}',
                '{"conid":3,"position":"many","marketPrice":NaN,"avgCost":{}}',
                '{"acctId":"U1C","conid":4,"position":1}',
            ),
            answer("GET portfolio/U1/ledger", '{"EUR":7,"USD":{"cashbalance":"1,234.5"}}', "U1"),
        )
    )

    row = IbkrPosition.objects.get()
    assert (row.conid, row.quantity, row.market_price) == (3, None, None)
    assert IbkrLedger.objects.get().cash_balance == Decimal("1234.5")


# --- transactions, performance, contracts ---------------------------------------------------------


def test_two_equal_fills_are_two_and_stay_two() -> None:
    keep(raw(transactions(FILL, FILL)))
    keep(raw(transactions(FILL, FILL, FILL.replace("4.0", "4"), at=NOW + timedelta(minutes=15))))

    rows = IbkrTransaction.objects.order_by("occurrence")
    assert [row.occurrence for row in rows] == [1, 2, 3]
    assert {(row.quantity, row.amount, row.fx_rate) for row in rows} == {
        (Decimal(4), Decimal("-2580.62"), Decimal("0.86"))
    }
    assert rows[0].fetched_at == NOW


def test_transactions_differ_by_everything_that_tells_them_apart() -> None:
    keep(
        raw(
            transactions(
                FILL,
                FILL.replace('"U1"', '"U2"'),
                FILL.replace("756733", "8314"),
                FILL.replace("20260303", "20260302"),
                FILL.replace("645.155", "645.15500001"),
                FILL.replace("Buy", "Transfer"),
                '{"rawDate":"20260303","acctid":"U1","amt":7.31,"conid":756733,"type":"Dividend Payment"}',
                '{"cur":"USD","rawDate":"20260303","acctid":"U1","amt":7.31,"type":"no contract"}',
            )
        )
    )

    assert IbkrTransaction.objects.count() == 7


def test_the_daily_values_are_kept_by_account_and_day() -> None:
    text = (
        '{"nav":{"dates":["20260302","20260303"],"data":[{"id":"U1","baseCurrency":"EUR",'
        '"startNAV":{"date":"20260227","val":48100.0},"navs":[48114.4,48047.1,1]}]}}'
    )
    keep(raw(answer("POST pa/performance", text, "U1")))
    keep(raw(answer("POST pa/performance", text.replace("48047.1", "48047.2"), "U1")))

    values = IbkrPerformance.objects.order_by("date").values_list("date", "nav", "currency")
    assert list(values) == [
        ("20260227", Decimal("48100.0"), "EUR"),
        ("20260302", Decimal("48114.4"), "EUR"),
        ("20260303", Decimal("48047.2"), "EUR"),
    ]


def test_a_contract_knows_the_answer_that_told_of_it() -> None:
    keep(raw(answer("GET trsrv/secdef", '{"secdef":[{"conid":1,"ticker":"A"},{"conid":2}]}', conids="1,2")))
    keep(raw(answer("GET trsrv/secdef", '{"secdef":[{"conid":1,"ticker":"B"}]}', conids="1")))

    first, second = IbkrContract.objects.order_by("conid")
    assert first.ticker == "B"
    assert first.answer_id != second.answer_id


# --- whole fetches --------------------------------------------------------------------------------

Fetch = Callable[[], Raw]


@pytest.fixture
def fetch(login: LogIn) -> Fetch:
    _, user = login("demo")
    return lambda: brokers.load("ibkr").fetch(user, date(2020, 1, 1), lambda *_: None)


def counts() -> dict[str, int]:
    tables = (
        IbkrAccount,
        IbkrAnswer,
        IbkrContract,
        IbkrLedger,
        IbkrPerformance,
        IbkrPosition,
        IbkrTransaction,
    )
    return {table.__name__: table.objects.count() for table in tables}


def test_keeping_a_fetch_twice_changes_nothing(fetch: Fetch) -> None:
    brought = fetch()
    keep(brought)
    before = counts()

    keep(brought)

    assert counts() == before
    assert before["IbkrAccount"] == 2
    assert before["IbkrContract"] == before["IbkrPosition"] > 60


def test_the_names_of_people_are_in_the_raw_answers_alone(fetch: Fetch) -> None:
    keep(fetch())

    assert "Ada Example" not in str(list(IbkrAccount.objects.values()))
    kept = IbkrAnswer.objects.get(endpoint="GET portfolio/accounts")
    assert b"Ada Example" in zlib.decompress(kept.content)


def test_the_ledger_can_be_made_again_from_what_was_kept(fetch: Fetch) -> None:
    brought = fetch()
    keep(brought)

    again = Raw(brought.login, brought.fetched_at)
    for kept in IbkrAnswer.objects.order_by("pk"):
        again.answers.append(
            Answer(
                kept.endpoint,
                kept.account or None,
                json.loads(kept.request),
                decode(zlib.decompress(kept.content)),
                kept.fetched_at,
            )
        )

    transform = brokers.load("ibkr").transform
    assert transform(again) == transform(brought)
