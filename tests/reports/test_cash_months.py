import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest

from stonks_overwatch.ledger import models, packed
from stonks_overwatch.reports.cash import Effect, effects
from stonks_overwatch.reports.cash_months import effects_by_month
from tests.reports import builders

pytestmark = pytest.mark.django_db
FIRST = date(2023, 3, 10)
KINDS = ("deposit", "dividend", "fee", "opening", "buy", "fx")


def book(chance: random.Random, account: models.Account, number: int) -> None:
    """So many activities in three years, a few of unknown amount and a few that nobody told."""
    dollars = builders.instrument("USD", "EUR", broker_ref=f"USD-{account.account}", asset_class="cash")
    models.Activity.objects.bulk_create(
        models.Activity(
            account=account,
            key=f"many-{place}",
            kind=(kind := chance.choice(KINDS)),
            instrument=dollars if kind == "fx" else None,
            trade_date=(on := FIRST + timedelta(days=chance.randrange(1000))),
            booked_on=on + timedelta(days=chance.randrange(3)) if chance.random() < 0.2 else None,
            currency=chance.choice(("EUR", "GBP")),
            quantity=Decimal(chance.randrange(1, 99)) if kind == "fx" else None,
            gross=None if chance.random() < 0.01 else Decimal(chance.randrange(-9999, 9999)) / 100,
            fee=Decimal("-0.25") if chance.random() < 0.3 else None,
            is_derived=kind == "buy" and chance.random() < 0.1,
            recorded_at=builders.NOW,
        )
        for place in range(number)
    )


Key = tuple[int, str, bool, bool, int]


def between(boundaries: Sequence[date], moved: Iterable[Effect]) -> tuple[dict[Key, Decimal], set[Key]]:
    """What is known, and what has an unknown part, by the place of the day among the boundaries."""
    known: defaultdict[Key, Decimal] = defaultdict(Decimal)
    unknown = set()
    for effect in moved:
        place = sum(effect.on > day for day in boundaries)
        key = (effect.account_id, effect.currency, effect.is_opening, effect.is_guess, place)
        if effect.amount is None:
            unknown.add(key)
        known[key] += effect.amount or 0
    return {key: amount for key, amount in known.items() if key not in unknown}, unknown


def test_the_months_sum_up_to_the_same_between_any_days_also_after_a_change() -> None:
    chance = random.Random(7)
    accounts = [builders.account("U1"), builders.account("U2")]
    book(chance, accounts[0], 1200)
    book(chance, accounts[1], 50)

    def compare() -> None:
        for count in (1, 3, 8, 60):
            days = sorted(FIRST + timedelta(days=chance.randrange(1000)) for _ in range(count))
            days += [date(2024, 2, 29), date(2024, 12, 31)]
            days.sort()
            assert between(days, effects_by_month(accounts, days)) == between(days, effects(accounts))

    compare()
    assert models.Checkpoint.objects.filter(account=accounts[0], topic="cash").exists()
    assert len(list(effects_by_month(accounts, []))) < 300
    compare()
    changed = models.Activity.objects.filter(account=accounts[0], trade_date__year=2024, kind="fee").first()
    assert changed is not None
    models.Activity.objects.filter(pk=changed.pk).update(gross=Decimal("-77.77"))
    packed.activities_changed([(changed.account_id, changed.booked_on or changed.trade_date)])
    compare()
