"""What files brought, taken back."""

from datetime import date, datetime

from django.db.models import Min
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.imported import BROKER
from stonks_overwatch.ledger.imported.activities import place_payments
from stonks_overwatch.ledger.imported.closing import close_books, holders, value_accounts
from stonks_overwatch.ledger.imported.names import describe
from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ActivitySource,
    CashBalance,
    FxRate,
    Import,
    ImportedName,
    Instrument,
    Position,
    Price,
)


def clear() -> None:
    """Take out all that CSV files brought; the list of imports and the accounts with their methods stay."""
    own = Activity.objects.filter(account__broker=BROKER)
    days = set(own.values_list("account_id", Coalesce("booked_on", "trade_date")))
    ActivitySource.objects.filter(source=BROKER).delete()
    own.delete()
    for table in (Position, CashBalance):
        table.objects.filter(account__broker=BROKER).delete()
    ImportedName.objects.all().delete()
    prices = Price.objects.filter(is_imported=True)
    priced = set(prices.values_list("instrument_id", flat=True).distinct())
    prices.delete()
    rates = FxRate.objects.filter(is_imported=True)
    rated = set(rates.values_list("base", "quote").distinct())
    rates.delete()
    packed.activities_changed(days)
    packed.prices_changed(dict.fromkeys(priced, date.min))
    Instrument.objects.filter(broker=BROKER).delete()
    packed.rates_changed(dict.fromkeys(rated, date.min))


def sweep(now: datetime) -> None:
    """Take out accounts and instruments that no file tells of any more."""
    value_accounts(Account.objects.filter(broker=BROKER), now)
    Instrument.objects.filter(broker=BROKER, names=None, activity=None, price=None).delete()


def undo(imported: Import, now: datetime) -> None:
    """Take back what this import alone brought.

    Where it changed a price or rate of an earlier import, the caller records that one again.
    """
    ActivitySource.objects.filter(source=BROKER, key__startswith=f"{imported.pk}:").delete()
    alone = Activity.objects.filter(account__broker=BROKER, sources=None)
    gone = list(alone.values_list("account_id", "instrument_id", Coalesce("booked_on", "trade_date")))
    alone.delete()
    placed = place_payments()
    prices = Price.objects.filter(imported=imported)
    priced = dict(
        prices.values("instrument_id").annotate(first=Min("on")).values_list("instrument_id", "first")
    )
    prices.delete()
    rates = FxRate.objects.filter(imported=imported)
    rated = {
        (base, quote): first
        for base, quote, first in rates.values("base", "quote")
        .annotate(first=Min("on"))
        .values_list("base", "quote", "first")
    }
    rates.delete()
    named = set(ImportedName.objects.filter(imported=imported).values_list("instrument_id", flat=True))
    imported.delete()
    revalued = describe(named)
    packed.prices_changed(priced)
    packed.rates_changed(rated)
    moved = {(account, instrument) for account, instrument, _ in gone if instrument is not None}
    close_books(moved | holders(revalued), placed | {(account, day) for account, _, day in gone}, now)
    Instrument.objects.filter(broker=BROKER, names=None, activity=None, price=None).delete()
