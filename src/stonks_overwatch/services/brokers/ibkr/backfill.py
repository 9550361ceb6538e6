"""The statements of a login that has a Flex query: back to its start date once, then what is new.

What is covered is known from the statements that were kept, so a fill that was interrupted goes on where
it stopped. Only the newest statements are asked for again.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile

from stonks_overwatch.errors import StonksError
from stonks_overwatch.services.brokers.base import Answer, Progress, Raw
from stonks_overwatch.services.brokers.ibkr import pace, statements
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrFlex, IbkrLogin, flex_url
from stonks_overwatch.services.brokers.ibkr.flex import ENDPOINT, FlexService, Span, pull, windows
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrAnswer, IbkrCall, IbkrQuestion
from stonks_overwatch.services.brokers.ibkr.statements.dates import EASTERN

# IBKR's books of a day are done in the night after it, New York's time.
_BOOKS_DONE = timedelta(hours=6)
# After a failure, or when there is no statement, the same thing is not asked for again before.
_PAUSE = timedelta(hours=4)
# Bookings for a day come in for some days more: statements that end in these are asked for again.
_OVERLAP = timedelta(days=5)
_RECENT = timedelta(days=5)
_FAILED = "flex failed"


def history(login: IbkrLogin, since: date, progress: Progress) -> Iterator[Raw]:
    """Statements not asked for yet, the newest first, each by itself so that it can be stored at once.

    Nothing is asked for when nothing is new, or for some hours after a failure, which is told again
    meanwhile. What IBKR refuses is in `failures`, never raised. That there is no statement of some days is
    believed when it is said twice, hours apart: IBKR says the same of one that is not ready.
    """
    flex = login.flex
    if flex is None:
        return
    now = datetime.now(UTC)
    try:
        address = flex_url()
    except StonksError as err:
        yield Raw(login.name, now, failures=[err])
        return
    marks = _Marks(flex, address)
    if marks.is_recent(_FAILED, now):
        if failure := marks.failure():
            yield Raw(login.name, now, failures=[failure])
        return
    wanted = _wanted(login.name, flex.query_id, since, now)
    spans = list(takewhile(lambda span: not marks.is_recent(_none(span), now), wanted))
    if spans:
        pacer = pace.Pacer(flex.token.reveal(), address)
        service = FlexService(flex.token, address, turn=lambda: pacer.turn(ENDPOINT))
        yield from _pulled(service, flex.query_id, login, since, spans, marks, progress)


def _pulled(
    service: FlexService,
    query: str,
    login: IbkrLogin,
    since: date,
    spans: list[Span],
    marks: "_Marks",
    progress: Progress,
) -> Iterator[Raw]:
    now = datetime.now(UTC)
    failures: list[StonksError] = []
    done = 0
    progress(_step(spans[0]), done, len(spans))
    try:
        for download in pull(service, query, spans, failures):
            done += 1
            raw = Raw(login.name, datetime.now(UTC), failures=failures.copy())
            failures.clear()
            if not download.content and marks.is_doubted(download.asked, now):
                break
            covers = download.covers or (since, download.asked[1])
            raw.answers.append(
                Answer(
                    endpoint=statements.ENDPOINT,
                    account=None,
                    request=_request(query, download.asked, covers, login.accounts),
                    body=None,
                    fetched_at=raw.fetched_at,
                    content=download.content or statements.NO_STATEMENT,
                )
            )
            yield raw
            if covers[1] < download.asked[1]:
                marks.failed(None, now)  # the last days come later
            if done < len(spans):
                progress(_step(spans[done]), done, len(spans))
    except StonksError as err:
        failures.append(err)
    if failures:
        marks.failed(failures[0], now)
        yield Raw(login.name, datetime.now(UTC), failures=failures)
    progress("Done", len(spans), len(spans))


def _wanted(login: str, query: str, since: date, now: datetime) -> list[Span]:
    until = (now.astimezone(EASTERN) - _BOOKS_DONE).date() - timedelta(days=1)
    until -= timedelta(days=max(0, until.weekday() - 4))  # weekends have no books
    covered, exact = [], set()
    rows = IbkrAnswer.objects.filter(login=login, endpoint=statements.ENDPOINT)
    for request in rows.values_list("request", flat=True):
        told = json.loads(request)
        if told["query"] == query:
            first, last = (date.fromisoformat(day) for day in told["covers"])
            covered.append((first, last))
            if told["asked"] == told["covers"]:
                exact.add((first, last))
    spans = windows(since, until, covered)
    if spans and spans[0][1] == until:
        start = spans[0][0]
        # The same days as before: sums over days are of use only where they do not overlap.
        again = {span for span in exact if span[0] >= since and start - _OVERLAP <= span[1] < start}
        spans[1:1] = sorted(again, reverse=True)
    return spans


def _request(query: str, asked: Span, covers: Span, accounts: tuple[str, ...] | None) -> dict[str, object]:
    request: dict[str, object] = {
        "query": query,
        "asked": [day.isoformat() for day in asked],
        "covers": [day.isoformat() for day in covers],
    }
    return request | {"accounts": list(accounts)} if accounts else request


def _step(span: Span) -> str:
    return f"Statement of {span[0]} to {span[1]}"


def _none(span: Span) -> str:
    return f"flex none {span[1]}"


class _EarlierError(StonksError):
    """What went wrong some hours ago, and is not tried again yet."""

    def __init__(self, code: str, what: str, next_step: str) -> None:
        super().__init__(what, next_step=next_step)
        self.code = code


class _Marks:
    """When something last happened to a token and query; to another token or query it has not yet."""

    def __init__(self, flex: IbkrFlex, address: str) -> None:
        self._key = pace.Pacer(f"{flex.token.reveal()} {flex.query_id}", address).key

    def is_recent(self, what: str, now: datetime) -> bool:
        last = IbkrCall.objects.filter(pace_key=self._key, endpoint=what).first()
        return last is not None and timedelta(0) <= now - last.last_at < _PAUSE

    def note(self, what: str, now: datetime) -> None:
        IbkrCall.objects.update_or_create(pace_key=self._key, endpoint=what, defaults={"last_at": now})

    def failed(self, error: StonksError | None, now: datetime) -> None:
        """Remember what went wrong; None when it was only that the day's books were not done."""
        self.note(_FAILED, now)
        IbkrQuestion.objects.filter(login=self._key, endpoint=_FAILED).delete()
        if error is not None:
            told = json.dumps([error.code, error.what, error.next_step])
            IbkrQuestion.objects.create(login=self._key, endpoint=_FAILED, subject=told, asked_at=now)

    def failure(self) -> StonksError | None:
        told = IbkrQuestion.objects.filter(login=self._key, endpoint=_FAILED).first()
        return None if told is None else _EarlierError(*json.loads(told.subject))

    def is_doubted(self, span: Span, now: datetime) -> bool:
        """Whether it is too early to believe that there is no statement of these days: they are asked for
        again, later.
        """
        if span[1] > now.date() - _RECENT:
            self.failed(None, now)  # the day's books are not done
            return True
        is_confirmed = IbkrCall.objects.filter(pace_key=self._key, endpoint=_none(span)).exists()
        self.note(_none(span), now)
        return not is_confirmed
