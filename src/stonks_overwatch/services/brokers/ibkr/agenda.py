"""What to ask PortfolioAnalyst about next. It answers about one thing in a quarter of an hour."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Max

from stonks_overwatch.services.brokers.ibkr.repositories.models import (
    IbkrPosition,
    IbkrQuestion,
    IbkrTransaction,
)

NEVER = datetime.min.replace(tzinfo=UTC)
ASKED_AGAIN_AFTER = timedelta(hours=6)
"""A change that no transaction explains yet: PortfolioAnalyst is up to a day late."""
EXPLAINED_WITHIN = timedelta(days=4)  # over a weekend
REMEMBERED = timedelta(days=90)
"""So long is a sold instrument asked about: dividends are paid weeks later, and IBKR forgets then."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One instrument now: its signed quantity by account, and what it is worth in a common currency."""

    conid: int
    quantities: Mapping[str, Decimal]
    value: Decimal
    asset_class: str


def next_account(login: str, accounts: Collection[str]) -> str:
    """The account whose performance was asked for longest ago."""
    asked = _asked(login, "pa/performance")
    return min(accounts, key=lambda account: (asked.get(account, NEVER), account))


def next_instrument(
    login: str,
    accounts: Collection[str],
    holdings: Mapping[int, Holding],
    complete: Collection[str],
    now: datetime,
) -> int | None:
    """The instrument whose transactions are wanted most; None when there is none.

    `holdings` is what the `accounts` hold now; what is not among them is sold in the `complete` ones.

    First those that changed since they were asked about, the latest change before the others and then the
    largest: at the start that is every instrument. Then those whose change was asked about in vain, and at
    last whichever was asked about longest ago.
    """
    changed_at, classes = _changes(accounts, holdings, complete, now)
    asked = _asked(login, "pa/transactions")
    told = dict(
        IbkrTransaction.objects.filter(account__in=accounts)
        .values_list("conid")
        .annotate(last=Max("fetched_at"))
    )

    def is_wanted(conid: int) -> bool:
        change, last = changed_at[conid], asked.get(str(conid), NEVER)
        is_explained = told.get(conid, NEVER) >= change or now - change > EXPLAINED_WITHIN
        return last < change or (not is_explained and now - last > ASKED_AGAIN_AFTER)

    def size(conid: int) -> Decimal:
        return abs(holdings[conid].value) if conid in holdings else Decimal(0)

    # The money of a currency pair is in the cash balances; PortfolioAnalyst knows no trades of it.
    known = [conid for conid in changed_at if classes.get(conid) != "CASH"]
    wanted = [conid for conid in known if is_wanted(conid)]
    # What was never asked about since it changed must not wait for what has no answer yet.
    unasked = [conid for conid in wanted if asked.get(str(conid), NEVER) < changed_at[conid]]
    if wanted:
        return max(unasked or wanted, key=lambda conid: (changed_at[conid], size(conid), -conid))
    return min(known, key=lambda conid: (asked.get(str(conid), NEVER), conid), default=None)


def note(login: str, endpoint: str, subject: str, now: datetime) -> None:
    """Remember that it was asked for, before the answer: a question that fails must not block the others."""
    IbkrQuestion.objects.update_or_create(
        login=login, endpoint=endpoint, subject=subject, defaults={"asked_at": now}
    )


def _asked(login: str, endpoint: str) -> dict[str, datetime]:
    rows = IbkrQuestion.objects.filter(login=login, endpoint=endpoint)
    return dict(rows.values_list("subject", "asked_at"))


def _changes(
    accounts: Collection[str], holdings: Mapping[int, Holding], complete: Collection[str], now: datetime
) -> tuple[dict[int, datetime], dict[int, str]]:
    """When the quantity of each instrument changed last, and its class: what is kept against what is held."""
    changed_at: dict[int, datetime] = {}
    classes = {conid: holding.asset_class for conid, holding in holdings.items()}
    kept: dict[tuple[str, int], Decimal] = {}
    for row in IbkrPosition.objects.filter(account__in=accounts).only(
        "account", "conid", "quantity", "asset_class", "changed_at", "gone_at"
    ):
        if row.gone_at is not None and now - row.gone_at > REMEMBERED:
            continue
        classes.setdefault(row.conid, row.asset_class)
        changed_at[row.conid] = max(row.changed_at, changed_at.get(row.conid, NEVER))
        if row.gone_at is None:
            kept[row.account, row.conid] = kept.get((row.account, row.conid), Decimal(0)) + (
                row.quantity or Decimal(0)
            )
    held = {
        (account, conid): quantity
        for conid, holding in holdings.items()
        for account, quantity in holding.quantities.items()
    }
    for account, conid in held.keys() | {key for key in kept if key[0] in complete}:
        if held.get((account, conid), Decimal(0)) != kept.get((account, conid)):
            changed_at[conid] = now
    return changed_at, classes
