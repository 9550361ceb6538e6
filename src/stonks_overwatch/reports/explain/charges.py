"""How fees and taxes are summed."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from django.db.models import Q

from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.booked import DAY, days_of_month
from stonks_overwatch.reports.charges import Part
from stonks_overwatch.reports.documents import Rows
from stonks_overwatch.reports.explain.activities import booked_in_base, booked_row
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    base,
    figure,
    formula,
    fraction,
    own,
    part_of,
    sum_of,
)
from stonks_overwatch.reports.explain.used import by_numbers
from stonks_overwatch.reports.fees import (
    Charge,
    FeeGroup,
    FeesDocument,
    FeeTotals,
    charges_of,
    fees,
)
from stonks_overwatch.reports.series import days_of

REPORTS["fees"] = lambda arguments, _: fees(arguments.scope, arguments.start, arguments.end)


def _input(seen: Seen, charge: Charge) -> Input:
    text = f"{charge.kind} {charge.symbol or ''}".strip()
    where = ("fees.charges.amount_base", key_of(charge))
    return seen.input(text, charge.amount_base, seen.base, *where, as_of=charge.on)


def _group(seen: Seen) -> tuple[Q, date | None, date | None]:
    """The activities, and the period, of the group that the figure stands in; of the totals all of them."""
    key, start, end = getattr(seen.holder, "key", ""), seen.arguments.start, seen.arguments.end
    match seen.path.split(".")[1]:
        case "by_month" | "by_year":
            first, _ = days_of_month(key if "-" in key else f"{key}-01")
            _, after = days_of_month(key if "-" in key else f"{key}-12")
            last = after - DAY
            return Q(), max(first, start or first), min(last, end or last)
        case "by_account":
            return Q(account__account=key), start, end
        case "by_instrument":
            same = Instrument.objects.filter(Q(symbol=key) | Q(symbol="", broker_ref=key))
            # The instrument of an exchange is a currency.
            return Q(instrument__in=list(same)) & ~Q(kind=ActivityKind.FX), start, end
        case _:
            return Q(), start, end


def _of_charges(words: str, only: Callable[[Part], bool] | None) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        what, start, end = _group(seen)
        kind = seen.holder.key if seen.path.endswith(".by_kind") else None

        def is_wanted(part: Part) -> bool:
            return kind in (None, part.kind) and (only is None or only(part))

        wanted = None if kind is None and only is None else is_wanted
        # There may be thousands: those that are not shown are not written out, nor read as a whole.
        charges, pks = charges_of(seen.arguments.scope, start, end, what, wanted)
        inputs = Rows(charges, lambda some: [_input(seen, charge) for charge in some])
        return sum_of(inputs, words, ledger=[by_numbers(pks)])

    return made


for _of_fees in (FeeGroup, FeeTotals):
    figure(_of_fees, "gross_base", "Fees", base, "Negative: what was taken.")(
        _of_charges("sum of the fees", lambda part: part.tax == 0)
    )
    figure(_of_fees, "tax_base", "Taxes", base, "Negative: what was taken.")(
        _of_charges("sum of the taxes", lambda part: part.fee == 0)
    )
    figure(_of_fees, "net_base", "Fees and taxes", base, "Negative: what was taken.")(
        _of_charges("sum of fees and taxes", None)
    )
part_of(FeeGroup, "share", "net_base", "Share", "fees and taxes")


def _over_average(seen: Seen, average: Decimal | None) -> Made:
    taken = seen.holder.net_base
    inputs = [
        seen.input(
            "fees and taxes, without their sign",
            None if taken is None else -taken,
            seen.base,
            f"{seen.path}.net_base",
            *seen.rows,
        ),
        seen.input("average value of the days", average, seen.base, source="the daily values of Performance"),
    ]
    return Made("quotient", "fees and taxes ÷ average value", inputs)


@figure(FeeGroup, "of_value", "Of value", fraction, "Of the average value of the days; not annualised.")
def _group_of_value(seen: Seen) -> Made:
    days = [(on, nav) for on, nav in _days(seen) if on.isoformat().startswith(seen.holder.key)]
    return _over_average(seen, sum((nav for _, nav in days), Decimal(0)) / len(days) if days else None)


def _days(seen: Seen) -> list[tuple[date, Decimal]]:
    """The days of the report whose value is known."""
    document: FeesDocument = seen.root
    daily = seen.reports.daily
    if daily is None or document.start is None or document.end is None:
        return []
    told = days_of(daily, document.start, document.end)
    return [(on, nav) for on, nav in zip(told.dates, told.nav, strict=True) if nav is not None]


@figure(FeeTotals, "of_value", "Of the average value", fraction, "Not annualised.")
def _total_of_value(seen: Seen) -> Made:
    return _over_average(seen, seen.holder.average_nav_base)


@figure(FeeTotals, "average_nav_base", "Average value", base, "Of the days whose value is known.")
def _average(seen: Seen) -> Made:
    days = _days(seen)
    where = seen.arguments.address("series.nav", start=None, end=None)
    inputs = [
        seen.input("days", Decimal(len(days)), ""),
        *(
            Input(name="value of a day", value=nav, unit=seen.base, as_of=on, explanation=f"{where}&row={on}")
            for on, nav in days
        ),
    ]
    return formula("Σ value of a day ÷ days", inputs)


@figure(FeeTotals, "of_value_yearly", "A year, of the average value", fraction)
def _yearly(seen: Seen) -> Made:
    document: FeesDocument = seen.root
    days = (document.end - document.start).days + 1 if document.start and document.end else 0
    inputs = [
        seen.input(
            "of the average value × 365",
            None if seen.holder.of_value is None else seen.holder.of_value * 365,
            fraction,
        ),
        seen.input("days", Decimal(days), ""),
    ]
    return Made("quotient", "of the average value × 365 ÷ days", inputs)


figure(Charge, "fee", "Fee", own)(booked_row)
figure(Charge, "tax", "Tax", own)(booked_row)


@figure(Charge, "amount_base", "Charge", base, "At the rate of its own day.")
def _charge(seen: Seen) -> Made:
    name = "tax" if seen.holder.fee == 0 else "fee"
    return booked_in_base(seen, seen.beside(name, name, own(seen)), seen.holder.id)
