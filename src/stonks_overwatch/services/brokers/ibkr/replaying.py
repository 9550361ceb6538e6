"""What IBKR said earlier, from the answers that were kept: to make the ledger from it again."""

import json
import zlib
from collections.abc import Iterator
from datetime import datetime

from stonks_overwatch.ledger.types import Batch
from stonks_overwatch.services.brokers.base import Answer, Raw
from stonks_overwatch.services.brokers.ibkr import statements
from stonks_overwatch.services.brokers.ibkr.client import decode
from stonks_overwatch.services.brokers.ibkr.keeping import STATE
from stonks_overwatch.services.brokers.ibkr.repositories.models import IbkrAnswer

DEFINITIONS = "GET trsrv/secdef"


def kept(login: str, since: datetime, until: datetime) -> Raw | None:
    """What one fetch between the two times brought; None when it said nothing that was not known before.

    An answer that stayed the same over many fetches is stored once: a state belongs to each of them, a
    history to the first and the last. What contracts are is told once and belongs to all that follow.
    """
    told = IbkrAnswer.objects.filter(login=login, fetched_at__lte=until).order_by("fetched_at", "id")
    if not told.filter(fetched_at__gte=since).exists():
        return None
    raw = Raw(login, since)
    raw.answers += [
        _answer(row, until)
        for row in told.filter(last_seen_at__gte=since).exclude(endpoint=DEFINITIONS)
        if row.endpoint.startswith(STATE) or row.fetched_at >= since or row.last_seen_at <= until
    ]
    # The newest first: of two definitions the first counts.
    raw.answers += [_answer(row, until) for row in told.filter(endpoint=DEFINITIONS).reverse()]
    return raw


def pulled() -> Iterator[Batch]:
    """What each statement says that IBKR's service gave, whichever login asked for it."""
    rows = IbkrAnswer.objects.filter(endpoint=statements.ENDPOINT).order_by("fetched_at", "id")
    for row in rows.iterator(chunk_size=1):
        yield from statements.told([_answer(row, row.last_seen_at)], row.login)


def _answer(row: IbkrAnswer, until: datetime) -> Answer:
    content = zlib.decompress(row.content)
    return Answer(
        endpoint=row.endpoint,
        account=row.account or None,
        request=json.loads(row.request),
        body=None if row.endpoint == statements.ENDPOINT else decode(content),
        fetched_at=min(row.last_seen_at, until),
        content=content,
    )
