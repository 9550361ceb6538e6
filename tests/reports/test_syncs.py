import json
from datetime import UTC, date, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.ledger.models import InboxItem
from stonks_overwatch.reports.syncs import last_runs, syncs
from tests.reports import builders
from tests.reports.builders import NOW

pytestmark = pytest.mark.django_db


def inbox(number: int) -> None:
    for index in range(number):
        InboxItem.objects.create(
            broker="ibkr",
            key=str(index),
            section="positions",
            reason="no conid",
            text=f"row {index}",
            seen_at=NOW + timedelta(minutes=index),
        )


def test_a_run_has_the_promised_keys_in_their_order() -> None:
    builders.run("ok", accounts=2, positions=60, activities_new=3, activities_known=4, inbox=1)
    document = json.loads(last_runs().model_dump_json())
    assert document == {
        "runs": [
            {
                "broker": "ibkr",
                "login": "",
                "status": "ok",
                "started_at": "2026-03-04T12:00:00Z",
                "finished_at": "2026-03-04T12:00:00Z",
                "counts": {
                    "accounts": 2,
                    "positions": 60,
                    "activities_new": 3,
                    "activities_known": 4,
                    "inbox": 1,
                },
                "error": None,
            }
        ]
    }


def test_a_failed_run_says_what_happened_and_what_to_do() -> None:
    builders.run("failed", error_code="rate_limited", error_what="Too many.", error_next_step="Wait.")
    (run,) = last_runs().runs
    assert run.error is not None
    assert run.error.model_dump() == {"code": "rate_limited", "what": "Too many.", "next_step": "Wait."}


def test_the_newest_runs_come_first() -> None:
    for minute in range(4):
        builders.run("ok", datetime(2026, 3, 4, 12, minute, tzinfo=UTC))
    assert [run.started_at.minute for run in last_runs(number=3).runs] == [3, 2, 1]


def test_each_login_shows_its_last_run_and_its_last_good_one() -> None:
    builders.run("ok", NOW, login="main")
    builders.run("failed", NOW + timedelta(hours=1), login="main", retry_at=NOW + timedelta(hours=2))
    builders.run("running", NOW + timedelta(hours=3), login="other", step="positions", steps_done=1)
    main, other = syncs().logins
    assert (main.login, main.last_run.status, main.updated_at) == ("main", "failed", NOW)
    assert main.retry_at == NOW + timedelta(hours=2)
    assert not main.is_running
    assert (other.is_running, other.updated_at, other.last_run.step) == (True, None, "positions")


def test_the_inbox_comes_in_pages_newest_first() -> None:
    inbox(5)
    page = syncs(page=2, page_size=2).inbox
    assert [row.text for row in page.rows] == ["row 2", "row 1"]
    assert (page.total, page.page, page.pages) == (5, 2, 3)


@pytest.mark.parametrize(("asked", "given"), [(-1, 1), (0, 1), (99, 3)])
def test_a_page_that_is_not_there_is_the_nearest_one(asked: int, given: int) -> None:
    inbox(5)
    assert syncs(page=asked, page_size=2).inbox.page == given


def test_an_empty_inbox_has_one_page() -> None:
    page = syncs().inbox
    assert (page.rows, page.total, page.pages) == ((), 0, 1)


def test_history_says_how_many_instruments_are_read_and_when_all_are() -> None:
    one, two = builders.account("U1"), builders.account("U2")
    builders.position(one, builders.instrument("AAA"), covered_since=date(2025, 12, 4))
    builders.position(one, builders.instrument("BBB"))
    for since in (date(2025, 12, 4), date(2025, 12, 9)):
        builders.position(two, builders.instrument(), covered_since=since)
    first, second = syncs().history
    assert (first.instruments, first.instruments_read, first.complete_since) == (2, 1, None)
    assert (second.instruments, second.instruments_read, second.complete_since) == (2, 2, date(2025, 12, 9))


def test_one_broker_alone() -> None:
    builders.run("ok")
    builders.run("ok", broker="degiro")
    builders.position(builders.account("D1", broker="degiro"), builders.instrument(broker="degiro"))
    inbox(1)
    document = syncs("degiro")
    assert [run.broker for run in document.runs] == ["degiro"]
    assert [login.broker for login in document.logins] == ["degiro"]
    assert [row.account for row in document.history] == ["D1"]
    assert document.inbox.total == 0


def test_the_number_of_queries_does_not_grow(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    inbox(20)
    for index in range(40):
        builders.run("ok", login=str(index % 5))
    with django_assert_num_queries(7):
        syncs()
