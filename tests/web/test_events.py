"""What the stream of progress sends while runs begin, go on and end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.test import AsyncRequestFactory

from stonks_overwatch.ledger.models import SyncRun
from stonks_overwatch.web import views
from tests.reports import builders

pytestmark = pytest.mark.django_db(transaction=True)

STARTED = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
ENDED = datetime(2026, 3, 4, 12, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "SECONDS_BETWEEN_LOOKS", 0.0)


def listen(seen: str, *changes: Callable[[], object], last_event: str | None = None) -> list[str]:
    """The events sent, two for each state: as it is, then after each of the changes."""

    async def collect() -> list[str]:
        headers = {} if last_event is None else {"last-event-id": last_event}
        request = AsyncRequestFactory().get("/events", {"seen": seen}, headers=headers)
        answer = await views.events(request)
        assert isinstance(answer, StreamingHttpResponse)
        assert answer["Content-Type"] == "text/event-stream"
        stream = aiter(answer)
        events = [(await anext(stream)).decode(), (await anext(stream)).decode()]
        for change in changes:
            await sync_to_async(change)()
            events += [(await anext(stream)).decode()]
        return events

    return asyncio.run(collect())


def test_progress_is_sent_when_it_changes_and_the_end_once() -> None:
    run = builders.run("running", STARTED, step="positions", steps_done=1, steps_total=4)

    def further() -> None:
        SyncRun.objects.filter(pk=run.pk).update(step="cash", steps_done=2)

    def ended() -> None:
        SyncRun.objects.filter(pk=run.pk).update(status="ok", finished_at=ENDED)

    retry, first, second, gone, finished = listen("", further, ended, lambda: None)

    assert retry.startswith("retry: ")
    assert first.startswith("event: progress\n")
    assert 'value="1"' in first
    assert 'value="2"' in second
    assert "cash" in second
    assert "<progress" not in gone
    assert finished == f"event: finished\ndata: {ENDED.isoformat()}\nid: {ENDED.isoformat()}\n\n"
    assert all(event.endswith("\n\n") for event in (first, second, gone, finished))


def test_an_end_that_the_page_missed_is_told_to_it() -> None:
    builders.run("ok", STARTED, finished_at=ENDED)

    events = listen(STARTED.isoformat(), lambda: None)

    assert events[2].startswith("event: finished\n")


def test_an_end_that_the_page_shows_is_not_told_again() -> None:
    builders.run("ok", STARTED, finished_at=ENDED)

    def begin() -> None:
        builders.run("running", ENDED, step="positions")

    assert listen(ENDED.isoformat(), begin)[2].startswith("event: progress\n")
    # After a lost connection the browser says which event was its last.
    assert listen("", lambda: None, last_event=ENDED.isoformat())[2] == ": still here\n\n"


def test_a_quiet_stream_gives_signs_of_life() -> None:
    assert listen("", lambda: None)[2] == ": still here\n\n"


def test_a_hostile_step_is_text() -> None:
    builders.run("running", STARTED, step="<img src=x>\ndata: evil")

    assert "<img" not in listen("")[1]
