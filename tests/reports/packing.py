"""Blocks for rows that a test wrote by hand, as the store makes them for what it writes."""

from datetime import date

from stonks_overwatch.ledger import models, packed


def pack() -> None:
    """Make the blocks of everything that is stored."""
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
