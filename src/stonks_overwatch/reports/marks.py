"""Where reports go on from: the checkpoints of what came of past activities, by the days they end with.

They are stored at the ends of whole months, once many activities came after the last one, and forgotten from
the earliest changed day on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet

from stonks_overwatch.ledger import ecb, packed
from stonks_overwatch.ledger.models import Account, Checkpoint
from stonks_overwatch.ledger.rows import plain, plain_day
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.reports.booked import DAY, Entry, entries, months

Range = tuple[date | None, date]
"""The first and the last day."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What is kept of some activities, with amounts in the base currency."""

    name: str
    base: str
    what: Q

    def of(self, account: Account) -> str:
        """With all that amounts depend on beside the ledger, which forgets checkpoints by itself."""
        return f"{self._all}{account.currency} {ecb.edition()}"

    @property
    def _all(self) -> str:
        return f"{self.name} {self.base} "

    def marks(self, looked_at: Sequence[Account]) -> dict[int, list[date]]:
        """The days that checkpoints end with, ascending, by account row."""
        topics = {account.pk: self.of(account) for account in looked_at}
        marks: dict[int, list[date]] = {account.pk: [] for account in looked_at}
        rows = Checkpoint.objects.filter(account__in=list(topics), topic__in=set(topics.values()))
        for account, topic, on in rows.order_by("on").values_list("account_id", "topic", "on"):
            if topic == topics[account]:
                marks[account].append(on)
        return marks

    def contents(self, wanted: Mapping[Account, Q]) -> dict[tuple[int, date], str]:
        """Of the days that conditions on `on` tell; by account row and day, oldest first."""
        told = tuple((account.pk, self.of(account), days) for account, days in wanted.items())
        rows = _stored(told) if told else []
        return {(account, plain_day(on)): content for account, on, content in rows}

    def within(self, looked_at: Sequence[Account], ranges: Mapping[int, Range | None]) -> list[Entry]:
        """The activities of some days, by account row, oldest first."""
        known = {pk: days for pk, days in ranges.items() if days is not None}
        if not known:
            return []
        firsts = [first for first, _ in known.values()]
        # The days of all together stand in the index.
        start = None if None in firsts else min(first for first in firsts if first)
        end = max(last for _, last in known.values())
        return entries(
            looked_at, self.base, self.what & reduce(or_, map(in_range, known.items())), start, end
        )

    def store(
        self, account: Account, contents: Mapping[date, str], clock: int, stay: date = date.min
    ) -> None:
        """As `packed.keep_checkpoints`, in place of what was worked out in another way."""
        packed.keep_checkpoints(
            account.pk, self.of(account), contents, clock, stay=stay, instead_of=self._all
        )


@prepared
def _stored(wanted: tuple[tuple[int, str, Q], ...]) -> QuerySet[Checkpoint, tuple[Any, ...]]:
    """By the account's row, the topic and conditions on the day."""
    told = [Q(account=account, topic=topic) & days for account, topic, days in wanted]
    rows = Checkpoint.objects.filter(reduce(or_, told)).order_by("on")
    return rows.values_list("account_id", plain("on"), "content")


def in_range(days: tuple[int, Range]) -> Q:
    account, (first, last) = days
    found = Q(account=account, trade_date__lte=last)
    return found if first is None else found & Q(trade_date__gte=first)


def month_ends(first: date, last: date) -> list[date]:
    """The last days of the months from that of one day to that of the other."""
    starts = [date.fromisoformat(f"{month}-01") for month in months(first, last + DAY)]
    return [start - DAY for start in starts[1:]]
