"""What activities are told as."""

from datetime import date
from decimal import Decimal

from django.db.models import Q

from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.reports.activities import ActivitiesDocument, ActivityRow, Filter, every_listed
from stonks_overwatch.reports.booked import booked
from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Input, Made, RateUsed
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen, Unit
from stonks_overwatch.reports.explain.told import (
    at_rate,
    figure,
    own,
    plain,
    quoted,
    reported,
    sum_of,
)
from stonks_overwatch.reports.explain.used import by_ids, told_with


def _activities(arguments: Arguments, _: Reports) -> ActivitiesDocument:
    """The one activity that is asked for: all of them would be too many to look through."""
    if not arguments.row:
        raise UnknownFigureError(
            "An activity is named by its id.", next_step="Say which one with the argument row."
        )
    found = every_listed(arguments.scope, Filter(id=arguments.row[0]))
    return ActivitiesDocument(activities=tuple(found))


REPORTS["activities"] = _activities


def _told(seen: Seen) -> Made:
    row: ActivityRow = seen.holder
    where = f"as told by {', '.join(row.sources)}" if row.sources else "as the ledger worked it out"
    return reported(where, [by_ids([row.id])])


def _account_currency(seen: Seen) -> str:
    return seen.account(seen.holder.broker, seen.holder.account).currency


_OF_ACTIVITIES: tuple[tuple[str, str, Unit, str], ...] = (
    ("quantity", "Quantity", plain, "Negative for what left the account."),
    ("price", "Price", quoted, "Of one unit; of bonds in percent of face."),
    ("gross", "Gross amount", own, "Before fees and taxes; positive into the account."),
    ("fee", "Fee", own, "Negative when it was paid."),
    ("tax", "Tax", own, "Negative when it was paid."),
    ("fx_rate", "Booked rate", _account_currency, "Of one unit of the activity's currency."),
)
for _name, _title, _unit, _meaning in _OF_ACTIVITIES:
    figure(ActivityRow, _name, _title, _unit, _meaning)(_told)


@figure(ActivityRow, "net", "Amount", own, "What the activity did to the cash of its currency.")
def _net(seen: Seen) -> Made:
    inputs = [seen.beside(name, name, own(seen)) for name in ("gross", "fee", "tax")]
    if seen.value is None:
        return reported("gross + fee + tax, unknown without a gross amount", inputs=inputs)
    return sum_of(
        inputs, "gross + fee + tax; what no source names is nothing", ledger=[by_ids([seen.holder.id])]
    )


def booked_row(seen: Seen) -> Made:
    return reported("as booked", [by_ids([seen.holder.id])])


def booked_rates(
    seen: Seen, account: Account, currency: str, fx_rate: Decimal | None, on: date
) -> list[RateUsed]:
    """The rates that an account books a currency at: the one told with the activity, else that of the day."""
    if not fx_rate or currency == seen.base:
        return seen.rates_used(currency, seen.base, on)
    told = [told_with(currency, account.currency, fx_rate, on)] if currency != account.currency else []
    return [*told, *seen.rates_used(account.currency, seen.base, on)]


def booked_in_base(seen: Seen, amount: Input, key: str) -> Made:
    """An amount at the rate that was booked with it, else that of its day."""
    broker, account, name = key.split(":", 2)
    holder = seen.account(broker, account)
    row = booked([holder], seen.base, Q(key=name, account=holder))[0]
    fx_rate = Activity.objects.get(account=holder, key=name).fx_rate
    used = booked_rates(seen, holder, row.currency, fx_rate, row.on)
    source = f"booked: {fx_rate:f} {holder.currency}" if fx_rate and row.currency != seen.base else ""
    return at_rate(seen, amount, row.currency, row.into_base, row.on, used, [by_ids([key])], source)
