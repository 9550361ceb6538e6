"""What activities did to cash."""

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.ledger.types import ActivityKind


class Effect(NamedTuple):
    """`amount` of `currency` came into the account (negative: left it); None when it is not known.

    `on` is the day from which the broker's balance holds it. `is_opening`: the balance from before the
    known activities. `is_guess`: a change of a position that no reported activity explains yet.
    """

    account_id: int
    currency: str
    on: date
    amount: Decimal | None
    is_opening: bool
    is_guess: bool


def net(gross: Decimal | None, fee: Decimal | None, tax: Decimal | None) -> Decimal | None:
    """The effect on cash; a fee or tax that no source names is none."""
    if gross is None:
        return None
    return gross + (fee or 0) + (tax or 0)


def effects(accounts: Iterable[Account]) -> Iterator[Effect]:
    """Every effect on cash in these accounts; an exchange of currencies has two. One query.

    The opening balance of an instrument moved no money and has none.
    """
    rows = Activity.objects.current().filter(account__in=list(accounts))
    for row in rows.values_list(
        "account_id",
        "currency",
        "trade_date",
        "booked_on",
        "kind",
        "is_derived",
        "gross",
        "fee",
        "tax",
        "quantity",
        "instrument__broker_ref",
    ):
        account_id, currency, trade_date, booked_on, kind, is_derived, gross, fee, tax, quantity, ref = row
        is_opening = kind == ActivityKind.OPENING
        if is_opening and ref is not None:
            continue
        on, is_guess = booked_on or trade_date, is_derived and not is_opening
        yield Effect(account_id, currency, on, net(gross, fee, tax), is_opening, is_guess)
        if kind == ActivityKind.FX and ref is not None:
            yield Effect(account_id, ref, on, quantity, is_opening, is_guess)
