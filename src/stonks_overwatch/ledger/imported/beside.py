"""What details.json of an export tells beside the CSV files."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger import details
from stonks_overwatch.ledger.details import ActivityDetails
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.imported import BROKER
from stonks_overwatch.ledger.imported.closing import close_books
from stonks_overwatch.ledger.imported.names import called, describe
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import Account, Activity, ImportedName, Instrument
from stonks_overwatch.ledger.sql import update
from stonks_overwatch.ledger.types import CONTRACTS, ActivityKind

TOLD_BESIDE = [name for name in ActivityDetails.model_fields if name not in ("account", "external_id")]
NOTHING = ActivityDetails(account="", external_id="")


def prepared(beside: ActivityDetails) -> Iterator[Any]:
    """Values of `TOLD_BESIDE` in the form in which the database keeps them."""
    for name in TOLD_BESIDE:
        value = getattr(beside, name)
        if isinstance(value, Decimal):
            yield text(value)
        elif isinstance(value, datetime):
            yield connection.ops.adapt_datetimefield_value(value)
        else:
            yield value.isoformat() if isinstance(value, date) else value


def apply_details(now: datetime) -> None:
    """Bring what files of details tell now into what other files brought, and take out what none tells."""
    own = Activity.objects.filter(account__broker=BROKER)
    days = set(own.values_list("account_id", Coalesce("booked_on", "trade_date")))
    own.update(**NOTHING.model_dump(include=set(TOLD_BESIDE)))
    known = details.known()
    pks = {
        (account, key): pk
        for account, key, pk in own.filter(
            account__account__in={name for name, _ in known.activities}
        ).values_list("account__account", "key", "pk")
    }
    update(
        Activity,
        TOLD_BESIDE,
        (
            (*(getattr(told, name) for name in TOLD_BESIDE), pks[key])
            for key, told in known.activities.items()
            if key in pks
        ),
    )
    days |= set(own.values_list("account_id", Coalesce("booked_on", "trade_date")))
    for name, account in known.accounts.items():
        untouched = Account.objects.filter(broker=BROKER, account=name, lot_method=Method.FIFO)
        untouched.update(lot_method=account.lot_method)
    describe()
    moved_now = own.exclude(instrument=None).exclude(kind=ActivityKind.FX)
    close_books(set(moved_now.values_list("account_id", "instrument_id")), days, now)


def without_terms() -> list[str]:
    """The symbols of contracts that were traded and of which no file tells what they stand for."""
    beside = details.known().instruments
    traded = Instrument.objects.filter(broker=BROKER, asset_class__in=CONTRACTS, activity__isnull=False)
    names = ImportedName.objects.filter(instrument__in=traded)
    told = {n.instrument_id for n in names if n.multiplier is not None or called(n) in beside}
    return sorted(set(traded.exclude(pk__in=told).values_list("symbol", flat=True)))
