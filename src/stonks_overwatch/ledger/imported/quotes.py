"""Prices and rates of files."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.imported import BROKER, Counts, Refuse
from stonks_overwatch.ledger.imported.closing import value_accounts
from stonks_overwatch.ledger.imported.names import Names
from stonks_overwatch.ledger.models import Account, FxRate, Import, Instrument, Price
from stonks_overwatch.ledger.sql import upsert
from stonks_overwatch.ledger.types import Named

# The source of a rate that is the inverse of an imported one.
INVERSE = "csv, inverse"
_AT_ONCE = 20_000


def record_prices(
    imported: Import, rows: Iterable[tuple[int, Named, str, str]], refuse: Refuse, now: datetime
) -> Counts:
    """Store the prices of one file; of two of one day the later import counts.

    Args:
        rows: line, what it is a price of, day and price in the form in which the database keeps them.
    """
    names = Names(imported)
    pks: dict[int, int | str] = {}
    changed: dict[int, str] = {}
    total = new = 0
    stored: list[tuple[Any, ...]] = []

    def store() -> int:
        number = upsert(
            Price,
            ["instrument", "on", "close", "currency", "source", "is_imported", "imported"],
            stored,
            unique=["instrument", "on", "is_imported"],
            differing="close",
            is_prepared=True,
        )
        stored.clear()
        return number

    for line, named, on, close in rows:
        pk = pks.get(id(named))
        if pk is None:
            called = names.find(named, on)
            pks[id(named)] = pk = called if isinstance(called, str) else called.unit.pk
        if isinstance(pk, str):
            refuse(line, pk)
            continue
        total += 1
        if pk not in changed or on < changed[pk]:
            changed[pk] = on
        stored.append((pk, on, close, named.currency, BROKER, True, imported.pk))
        if len(stored) >= _AT_ONCE:
            new += store()
    new += store()
    names.save()
    if new:
        since = {pk: date.fromisoformat(on) for pk, on in changed.items()}
        share_prices(since)
        packed.prices_changed(since)
        value_accounts(Account.objects.filter(broker=BROKER), now)
    return Counts(new, total - new)


def record_rates(imported: Import, rows: Iterable[tuple[int, str, str, str, str]]) -> Counts:
    """Store the rates of one file, as for prices.

    Each is stored with its inverse, so that it counts for its day whichever way a broker quotes the pair.

    Args:
        rows: line, base, quote, day and rate in the form in which the database keeps them.
    """
    changed: dict[tuple[str, str], str] = {}
    own, inverse = [], []
    for _, base, quote, on, rate in rows:
        for pair in ((base, quote), (quote, base)):
            if pair not in changed or on < changed[pair]:
                changed[pair] = on
        own.append((base, quote, on, rate, BROKER, True, imported.pk))
        inverse.append((quote, base, on, text(1 / Decimal(rate)), INVERSE, True, imported.pk))
    columns = ["base", "quote", "on", "rate", "source", "is_imported", "imported"]
    unique = ["base", "quote", "on", "is_imported"]
    # One that a file told itself is not replaced by the inverse of another.
    upsert(FxRate, columns, inverse, unique=unique, same="source", is_prepared=True)
    new = upsert(FxRate, columns, own, unique=unique, differing="rate", is_prepared=True)
    if new:
        packed.rates_changed({pair: date.fromisoformat(on) for pair, on in changed.items()})
    return Counts(new, len(own) - new)


def share_prices(since: Mapping[int, date] | None = None, instruments: Iterable[int] | None = None) -> None:
    """Give imported prices to the instruments of brokers that have the ISIN and currency of an imported one.

    Args:
        since: only those of these imported instruments, each from a day on; all when None.
        instruments: only to these of the brokers; to all when None.
    """
    twins = Instrument.objects.exclude(broker=BROKER).exclude(isin=None)
    if instruments is not None:
        twins = twins.filter(pk__in=list(instruments))
    own = {
        (isin, currency): (pk, date.min if since is None else since[pk])
        for isin, currency, pk in Instrument.objects.filter(broker=BROKER)
        .exclude(isin=None)
        .values_list("isin", "currency", "pk")
        if since is None or pk in since
    }
    shared = [
        (pk, *own[isin, currency])
        for pk, isin, currency in twins.values_list("pk", "isin", "currency")
        if (isin, currency) in own
    ]
    table = connection.ops.quote_name(Price._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO {table} (instrument_id, "on", close, currency, source, is_imported, imported_id) '  # noqa: S608
            f'SELECT %s, "on", close, currency, source, is_imported, imported_id FROM {table} '
            'WHERE instrument_id = %s AND "on" >= %s AND is_imported '
            'ON CONFLICT (instrument_id, "on", is_imported) '
            "DO UPDATE SET close = excluded.close, imported_id = excluded.imported_id",
            shared,
        )
    packed.prices_changed({pk: first for pk, _, first in shared})
