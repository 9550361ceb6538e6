"""What activities did to cash."""

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Case, F, Q, TextField, When
from django.db.models.functions import Cast, Coalesce

from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.ledger.rows import plain_number
from stonks_overwatch.ledger.types import ActivityKind

_ZERO = Decimal(0)


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
    return EXACT.add(EXACT.add(gross, fee or _ZERO), tax or _ZERO)


def effects_on(currency: str, accounts: Iterable[Account]) -> list[Effect]:
    """Every effect on the cash of one currency, by day."""
    wanted = Q(currency=currency) | Q(kind=ActivityKind.FX, instrument__broker_ref=currency)
    found = [effect for effect in effects(accounts, wanted) if effect.currency == currency]
    return sorted(found, key=lambda effect: effect.on)


def effects(accounts: Iterable[Account], wanted: Q | None = None) -> Iterator[Effect]:
    """Every effect on cash in these accounts; an exchange of currencies has two. One query.

    The opening balance of an instrument moved no money and has none. With `wanted`, of some activities:
    `counts_on` is the day of the effect.
    """
    rows = (
        Activity.objects.current()
        .annotate(counts_on=Coalesce("booked_on", "trade_date"))
        .filter(wanted or Q(), account__in=list(accounts))
        .exclude(kind=ActivityKind.OPENING, instrument__isnull=False)
        # Of tens of thousands: as texts, which take a tenth of the time of the model's fields.
        .annotate(
            day=Cast("counts_on", TextField()),
            **{f"{name}_text": Cast(name, TextField()) for name in ("gross", "fee", "tax")},
            bought=Case(When(kind=ActivityKind.FX, then=F("instrument__broker_ref"))),
            units=Case(When(kind=ActivityKind.FX, then=Cast("quantity", TextField()))),
        )
        .values_list(
            "account_id", "currency", "kind", "is_derived", "day",
            "gross_text", "fee_text", "tax_text", "bought", "units",
        )
    )  # fmt: skip
    days: dict[str, date] = {}
    for account_id, currency, kind, is_derived, day, gross, fee, tax, bought, units in rows:
        on = days.get(day) or days.setdefault(day, date.fromisoformat(day))
        is_opening = kind == ActivityKind.OPENING
        is_guess = is_derived and not is_opening
        amount = net(plain_number(gross), plain_number(fee), plain_number(tax))
        yield Effect(account_id, currency, on, amount, is_opening, is_guess)
        if bought is not None:
            yield Effect(account_id, bought, on, plain_number(units), is_opening, is_guess)
