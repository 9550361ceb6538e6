"""Blocks for rows that a test wrote by hand, as the store makes them for what it writes."""

from collections import defaultdict
from datetime import date
from decimal import Decimal

from stonks_overwatch.ledger import models, packed


def pack(*, is_cash_told: bool = True) -> None:
    """Make the blocks of everything that is stored.

    Where a test wrote no cash, the broker reports what the activities sum to, unless `is_cash_told` is false.
    """
    if is_cash_told:
        _tell_cash()
    packed.prices_changed(
        dict.fromkeys(models.Price.objects.values_list("instrument_id", flat=True), date.min)
    )
    packed.rates_changed(dict.fromkeys(models.FxRate.objects.values_list("base", "quote"), date.min))
    packed.activities_changed(
        (account, booked or traded)
        for account, booked, traded in models.Activity.objects.values_list(
            "account_id", "booked_on", "trade_date"
        )
    )


def _tell_cash() -> None:
    accounts = models.Account.objects.filter(cash_since__isnull=True, cashbalance__isnull=True)
    for account in accounts:
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in models.Activity.objects.filter(account=account).select_related("instrument"):
            for amount in (row.gross, row.fee, row.tax):
                sums[row.currency] += amount or 0
            if row.kind == "fx" and row.instrument is not None:
                sums[row.instrument.broker_ref] += row.quantity or 0
        for currency, amount in sums.items():
            models.CashBalance.objects.create(
                account=account, currency=currency, amount=amount, updated_at=account.updated_at,
                anchor_amount=amount, anchor_at=account.updated_at,
            )  # fmt: skip
        models.Account.objects.filter(pk=account.pk).update(cash_since=account.updated_at)
