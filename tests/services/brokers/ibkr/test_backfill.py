"""The statements of a login with a Flex query, through whole runs against the sandbox."""

import json
import zlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from stonks_overwatch import sync
from stonks_overwatch.imports import import_file, undo
from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    InboxItem,
    NavPoint,
    Period,
    QuantityChange,
    StateReport,
    SyncRun,
)
from stonks_overwatch.ledger.opening import is_end_of_day
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrAnswer, IbkrCall
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.conftest import StartSandbox
from tests.ledger.dump import dump

pytestmark = pytest.mark.django_db(transaction=True)


class User:
    """A login at the sandbox with its Flex query."""

    def __init__(self, sandbox: Sandbox, file: Path) -> None:
        self.sandbox = sandbox
        self.file = file
        self.config: dict[str, Any] = json.loads(sandbox.config_file.read_text())
        self.set_flex(sandbox.flex.token)

    def set_flex(self, token: str, start_date: str = "2015-01-01") -> None:
        self.config["ibkr"]["flex"] = {"token": token, "query_id": self.sandbox.flex.query}
        self.config["ibkr"]["start_date"] = start_date
        self.file.write_text(json.dumps(self.config))
        self.file.chmod(0o600)

    def sync(self) -> SyncRun:
        (run,) = sync.run_all("ibkr")
        return run

    @property
    def asked(self) -> list[tuple[date, date]]:
        return [call.asked for call in self.sandbox.flex.calls if call.asked]


@pytest.fixture
def user(sandbox: StartSandbox, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    running = sandbox("small")
    monkeypatch.setitem(pace.SECONDS_BETWEEN, "flex", 0)
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
    monkeypatch.setenv("STONKS_OVERWATCH_IBKR_FLEX_URL", running.flex_url)
    return User(running, tmp_path / "config.json")


def ledger() -> list[tuple[object, ...]]:
    return list(
        Activity.objects.order_by("account", "trade_date", "key").values_list(
            "key", "kind", "trade_date", "quantity", "price", "gross", "fee", "tax", "is_derived"
        )
    )


def test_a_first_run_brings_the_whole_history(user: User) -> None:
    run = user.sync()

    assert run.status == "ok"
    opened_on = user.sandbox.world.holders["U7654321"].opened_on
    deposits = Activity.objects.filter(kind="deposit").order_by("trade_date")
    assert deposits[0].trade_date == opened_on
    assert NavPoint.objects.filter(on__lte=opened_on + timedelta(days=7)).exists()
    # Everything is explained by what was told: nothing had to be worked out.
    assert not Activity.objects.filter(is_derived=True).exists()
    assert {p.topic for p in Period.objects.all()} == {"trades", "cash", "corporate_actions", "transfers"}


def test_what_statements_say_was_held_at_their_ends_is_a_report_of_that_day(user: User) -> None:
    user.sync()

    account = Account.objects.get(account="U7654321")
    ends = Period.objects.filter(account=account).values_list("until", flat=True).distinct()
    for topic in ("positions", "cash"):
        moments = StateReport.objects.filter(account=account, topic=topic).values_list("at", flat=True)
        assert {at.date() for at in moments if is_end_of_day(at)} == set(ends)
        assert len(ends) > 1
    # The first report is the earliest statement's; what is held is what the Web API told since.
    run = SyncRun.objects.get()
    assert account.positions_since is not None
    assert account.positions_since.date() == min(ends)
    assert account.cash_since == account.positions_since
    assert account.positions_at is not None
    assert account.positions_at >= run.started_at
    assert account.reported_as_of is not None
    assert account.reported_as_of.date() > max(ends)
    # Quantities changed when they did, and not all of them in the first sync.
    changes = QuantityChange.objects.filter(account=account)
    assert changes.filter(at__lt=run.started_at - timedelta(days=100)).exists()


def test_a_pulled_statement_that_is_imported_as_a_file_too_changes_nothing(
    user: User, tmp_path: Path
) -> None:
    user.sync()
    before = dump({"recorded_at", "updated_at", "told"})

    for n, answer in enumerate(IbkrAnswer.objects.filter(endpoint="GET flex/statement").order_by("-id")):
        file = tmp_path / f"{n}.xml"
        file.write_bytes(zlib.decompress(answer.content))
        assert import_file(file).new == 0

    assert dump({"recorded_at", "updated_at", "told"}) == before


def test_undoing_an_imported_statement_leaves_what_was_pulled_too(user: User, tmp_path: Path) -> None:
    user.sync()
    before = ledger()
    pulled = IbkrAnswer.objects.filter(endpoint="GET flex/statement").order_by("id")[0]
    file = tmp_path / "pulled.xml"
    file.write_bytes(zlib.decompress(pulled.content))
    number = import_file(file).number
    assert number is not None

    undo(number)

    assert ledger() == before


def test_a_second_run_asks_for_nothing_and_changes_nothing(user: User) -> None:
    user.sync()
    before, calls = ledger(), len(user.sandbox.flex.calls)

    again = user.sync()

    assert (again.status, again.activities_new) == ("ok", 0)
    assert len(user.sandbox.flex.calls) == calls
    assert ledger() == before


def test_later_runs_ask_for_the_new_days_alone(user: User) -> None:
    user.sync()
    newest = IbkrAnswer.objects.filter(endpoint="GET flex/statement").order_by("id")[0]
    told = json.loads(newest.request)
    first, last = (date.fromisoformat(day) for day in told["covers"])
    before = last - timedelta(days=1)
    told["asked"] = told["covers"] = [first.isoformat(), before.isoformat()]
    newest.request = json.dumps(told, sort_keys=True)
    newest.save()
    user.sandbox.flex.calls.clear()

    user.sync()

    # The missing day, and apart from it the statement before, for its late bookings.
    assert user.asked == [(last, last), (first, before)]


def test_a_fill_that_was_interrupted_goes_on_where_it_stopped(user: User) -> None:
    user.sync()
    kept = list(IbkrAnswer.objects.filter(endpoint="GET flex/statement").order_by("id"))
    for answer in kept[1:]:
        answer.delete()
    user.sandbox.flex.calls.clear()

    user.sync()

    newest_asked = json.loads(kept[0].request)["asked"][1]
    assert all(until.isoformat() < newest_asked for _, until in user.asked)
    assert user.asked


def test_a_refused_token_leaves_the_rest_of_the_run_and_is_not_sent_again_soon(user: User) -> None:
    user.set_flex("999999999999999999999999")

    first = user.sync()
    calls = len(user.sandbox.flex.calls)
    second = user.sync()

    assert first.status == "partial"
    assert "ibkr.flex.token" in first.error_next_step
    assert first.positions
    assert len(user.sandbox.flex.calls) == calls
    # What is wrong is said as long as it is.
    assert (second.status, second.error_code) == ("partial", first.error_code)
    assert (second.error_what, second.error_next_step) == (first.error_what, first.error_next_step)


def test_another_token_is_tried_at_once(user: User) -> None:
    user.set_flex("999999999999999999999999")
    user.sync()

    user.set_flex(user.sandbox.flex.token)

    assert user.sync().status == "ok"
    assert Activity.objects.filter(kind="deposit").exists()


def test_after_some_hours_it_is_tried_again(user: User) -> None:
    user.sandbox.flex.fail("SendRequest", 1013)
    assert user.sync().status == "partial"

    IbkrCall.objects.filter(endpoint="flex failed").update(last_at=datetime.now(UTC) - timedelta(hours=5))

    assert user.sync().status == "ok"


def test_that_there_is_no_statement_is_believed_when_it_is_said_twice(user: User) -> None:
    token, last = user.sandbox.flex.token, user.sandbox.world.market.last_close
    user.set_flex(token, (last - timedelta(days=100)).isoformat())
    user.sync()
    user.set_flex(token)
    user.sandbox.flex.fail("SendRequest", 1003)  # of the years before
    user.sync()
    assert not Activity.objects.filter(kind="deposit").exists()
    calls = len(user.sandbox.flex.calls)
    user.sync()
    assert len(user.sandbox.flex.calls) == calls

    IbkrCall.objects.filter(endpoint__startswith="flex none").update(
        last_at=datetime.now(UTC) - timedelta(hours=5)
    )

    user.sync()
    assert Activity.objects.filter(kind="deposit").exists()


def test_a_query_without_sections_is_named_with_the_boxes_to_tick(user: User) -> None:
    style = user.sandbox.flex.style
    user.sandbox.flex.style = type(style)(sections=("Trades", "CashTransactions"))

    user.sync()

    (item,) = InboxItem.objects.all()
    assert "Corporate Actions (splits, mergers" in item.reason
    assert "Trades (" not in item.reason


def test_statements_start_at_the_start_date(user: User) -> None:
    start = user.sandbox.world.market.last_close - timedelta(days=100)
    user.set_flex(user.sandbox.flex.token, start.isoformat())

    user.sync()

    assert min(since for since, _ in user.asked) == start
    # What happened before is an opening balance.
    assert Activity.objects.filter(is_derived=True).exists()


def test_the_ledger_made_anew_is_the_same(user: User) -> None:
    user.sync()
    before = ledger()

    sync.rebuild("ibkr")

    assert ledger() == before


def test_the_token_is_in_no_row_of_the_database(user: User) -> None:
    user.sync()

    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            assert user.sandbox.flex.token not in repr(cursor.fetchall())
