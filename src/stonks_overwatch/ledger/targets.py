"""The wanted weights: the only thing in the ledger that the user writes and no broker told."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from stonks_overwatch.errors import TargetsError
from stonks_overwatch.ledger.models import Target

LONGEST_KEY = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted weight of one group and how far it may drift; both fractions of NAV."""

    key: str
    weight: Decimal
    band: Decimal


def replace(by: str, wanted: Sequence[Wanted]) -> None:
    """Make these the targets of one kind of groups, in place of those that were there.

    Raises: TargetsError, and nothing is changed, where they cannot be wanted together.
    """
    _check(wanted)
    with transaction.atomic():
        Target.objects.filter(by=by).delete()
        Target.objects.bulk_create(
            Target(by=by, key=one.key, weight=one.weight, band=one.band) for one in wanted
        )


def _check(wanted: Sequence[Wanted]) -> None:
    keys = [one.key for one in wanted]
    for key in keys:
        if not key or len(key) > LONGEST_KEY:
            raise TargetsError("A target has no name.", next_step="Name the group of every wanted weight.")
        if keys.count(key) > 1:
            raise TargetsError(f"{key} has two targets.", next_step="Give each group one wanted weight.")
    for one in wanted:
        if not (one.weight.is_finite() and 0 <= one.weight <= 1):
            raise TargetsError(
                f"The wanted weight of {one.key} is not between 0 and 100 %.",
                next_step="Give a weight from 0 to 100 %.",
            )
        if not (one.band.is_finite() and 0 <= one.band <= 1):
            raise TargetsError(
                f"The band of {one.key} is not between 0 and 100 %.",
                next_step="Give how far the weight may drift, for example 5 %.",
            )
    whole = sum((one.weight for one in wanted), Decimal(0))
    if whole > 1:
        raise TargetsError(
            f"The wanted weights add up to {whole * 100:f} %.".replace(".0 %", " %"),
            next_step="Lower some of them: together they can be 100 % at most.",
        )
