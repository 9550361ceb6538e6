"""What of the accounts' past is not read yet: as long as it is so, figures differ that will agree."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from django.db.models import Count, Q

from stonks_overwatch.ledger.models import Account, Period, Position
from stonks_overwatch.ledger.types import TOPICS, AssetClass
from stonks_overwatch.reports.documents import Document
from stonks_overwatch.reports.syncs import logins

_DAY = timedelta(days=1)
Days = tuple[date, date]


class Unread(Document):
    """`what` is missing, in one sentence, and what follows from that or what to do, in another."""

    what: str
    next_step: str


def unread(looked_at: Sequence[Account], lately: Sequence[Account]) -> Unread | None:
    """The first that applies: a sync is at work, days that no statement tells of, instruments not read.

    Args:
        looked_at: the accounts of which something differs.
        lately: those of them whose latest state does, which the days after the last statement can explain.
    """
    of_logins = {(account.broker, account.login) for account in looked_at}
    for state in logins():
        if state.is_running and (state.broker, state.login) in of_logins:
            step = f" ({state.last_run.step})" if state.last_run.step else ""
            return Unread(
                what=f"A sync is at work{step}: what differs here may come from what it has not brought yet.",
                next_step="Look again when it has ended.",
            )
    told = _told(looked_at)
    for account in looked_at:
        gaps = [
            gap for topic in TOPICS for gap in _gaps(told.get((account.pk, topic), ()), account.opened_on)
        ]
        if gaps:
            first, last = min(since for since, _ in gaps), max(until for _, until in gaps)
            return Unread(
                what=f"Of {account.account} no statement is read yet that tells all from {first} to {last}: "
                "what differs here may come from these days.",
                next_step="Each sync reads more, back to the start date of its login; statements of days "
                "before it can be imported.",
            )
    for account in lately:
        ends = [told[account.pk, topic][-1][1] for topic in TOPICS if (account.pk, topic) in told]
        if ends and min(ends) < account.updated_at.date():
            futures = ""
            if _held_futures(account, min(ends)):
                futures = (
                    " The profit of its futures is in its cash each evening; only a statement tells of it."
                )
            return Unread(
                what=f"Of {account.account} no statement is read yet that tells of the days after "
                f"{min(ends)}: what differs in its latest state may come from these days.{futures}",
                next_step="The statement of a day comes out in the night after it; the next sync brings it, "
                "or it can be imported.",
            )
    return _instruments(account for account in looked_at if (account.pk, TOPICS[0]) not in told)


def _held_futures(account: Account, until: date) -> bool:
    """Whether it holds futures, or did after that day."""
    held = Q(is_open=True) | Q(changed_at__date__gt=until)
    return Position.objects.filter(held, account=account, instrument__asset_class=AssetClass.FUTURE).exists()


def _told(looked_at: Sequence[Account]) -> dict[tuple[int, str], list[Days]]:
    """The days that are told in full, oldest first, by account and topic."""
    told: dict[tuple[int, str], list[Days]] = {}
    rows = Period.objects.filter(account__in=list(looked_at)).order_by("since", "until")
    for account, topic, since, until in rows.values_list("account_id", "topic", "since", "until"):
        told.setdefault((account, topic), []).append((since, until))
    return told


def _gaps(told: Iterable[Days], opened_on: date | None) -> Iterator[Days]:
    """The days between the opening of the account and the last ones told that are not."""
    reached = None if opened_on is None else opened_on - _DAY
    for since, until in told:
        if reached is not None and since > reached + _DAY:
            yield reached + _DAY, since - _DAY
        reached = until if reached is None else max(reached, until)


def _instruments(looked_at: Iterable[Account]) -> Unread | None:
    """Without statements the broker lets transactions be read slowly, one instrument at a time."""
    rows = Position.objects.filter(account__in=list(looked_at)).values("account__account")
    for row in rows.annotate(number=Count("id"), read=Count("covered_since")).order_by("account__account"):
        if row["read"] < row["number"]:
            return Unread(
                what=f"Of {row['account__account']} the transactions of {row['read']} of {row['number']} "
                "instruments are read: what differs here may come from the others.",
                next_step="Each sync reads some more, and the page Sync shows how far it is.",
            )
    return None
