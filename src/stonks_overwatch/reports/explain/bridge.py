"""How the change of the value is split into its parts."""

from collections.abc import Callable
from decimal import Decimal
from math import isnan

from django.db.models import Q

from stonks_overwatch.engine.rates import Floats
from stonks_overwatch.ledger.models import Activity
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.accruals import accrued
from stonks_overwatch.reports.daily import DailyTotal
from stonks_overwatch.reports.explain.documents import Made
from stonks_overwatch.reports.explain.finding import Seen
from stonks_overwatch.reports.explain.told import base, estimated, figure, floating, sum_of
from stonks_overwatch.reports.explain.used import activities
from stonks_overwatch.reports.performance import Bridge, PerformanceDocument
from stonks_overwatch.reports.periods import DAY

_CENTS = "In whole cents; the rest of the rounding is in the other part."


def _days(name: str, words: str, *kinds: ActivityKind) -> Callable[[Seen], Made]:
    """A part of the bridge as the sum of its days, with the activities behind it."""

    def made(seen: Seen) -> Made:
        daily, told = seen.reports.daily, seen.root
        if daily is None or seen.value is None or told.start is None:
            return sum_of([], words)
        amounts = _within(daily, getattr(daily.total, name), told)
        inputs = [
            seen.input(f"{name} of the day", floating(amount), seen.base, as_of=told.start + number * DAY)
            for number, amount in enumerate(amounts)
            if amount
        ]
        booked = Activity.objects.current().filter(
            account__in=daily.accounts, trade_date__gte=told.start, trade_date__lte=told.end
        )
        ledger = [activities(booked.filter(_BOOKED[name] | Q(kind__in=kinds)))] if kinds else []
        return sum_of(inputs, words, ledger=ledger, note=_CENTS)

    return made


def _within(daily: DailyTotal, series: Floats, told: PerformanceDocument) -> list[float]:
    """The days of the period."""
    if told.start is None or told.end is None:
        return []
    start = daily.total.first
    days: list[float] = series[told.start.toordinal() - start : told.end.toordinal() - start + 1].tolist()
    return days


_BOOKED = {
    "income": Q(pk__in=[]),
    "fees": Q(fee__isnull=False) & ~Q(fee="0"),
    "taxes": Q(tax__isnull=False) & ~Q(tax="0"),
}
figure(Bridge, "income", "Income", base, "Before tax.")(
    _days(
        "income",
        "sum of the dividends and the interest of each day, before tax",
        ActivityKind.DIVIDEND,
        ActivityKind.INTEREST,
    )
)
figure(Bridge, "fees", "Fees", base)(
    _days("fees", "sum of the fees and commissions of each day", ActivityKind.FEE)
)
figure(Bridge, "taxes", "Taxes", base)(
    _days("taxes", "sum of all taxes booked on each day", ActivityKind.TAX)
)
figure(Bridge, "currency", "Currency", base, "The effect of exchange rates on what was held.")(
    _days("currency", "sum over the days of what was held before × the change of its rate")
)


@figure(Bridge, "market", "Market", base, "The effect of prices.")
def _market(seen: Seen) -> Made:
    words = "value at the end − at the begin − accruals − everything booked − the effect of exchange rates"
    daily, told = seen.reports.daily, seen.root
    if daily is None or seen.value is None or told.start is None or told.end is None:
        return Made("difference", words)
    begin, end = told.start - DAY, told.end
    before, after = accrued(daily, seen.base, (begin.toordinal(), end.toordinal()))
    # Where accruals are not known, our own valuation, which holds none, tells the effect of prices.
    is_own = isnan(before) or isnan(after)
    of = daily.total.own_nav if is_own else daily.total.nav
    what = "our own valuation" if is_own else "value"
    inputs = [
        seen.input(
            f"{what} at the {text}",
            floating(float(of[on.toordinal() - daily.total.first])),
            seen.base,
            as_of=on,
        )
        for text, on in (("end", end), ("begin", begin))
    ]
    if not is_own and after != before:
        inputs.append(seen.input("change of accruals", floating(after - before), seen.base))
    for name in ("contribution", "income", "fees", "taxes", "currency", "other"):
        amount = float(sum(_within(daily, getattr(daily.total, name), told)))
        text = {"contribution": "net contribution", "other": "what has no known kind"}.get(name, name)
        inputs.append(seen.input(text, floating(amount), seen.base))
    return Made("difference", words, inputs, note=_CENTS)


@figure(Bridge, "other", "Other", base, "What is left, so that the parts add up to the last digit.")
def _other(seen: Seen) -> Made:
    told: PerformanceDocument = seen.root
    inputs = [
        seen.input(text, value, seen.base, f"performance.{name}")
        for text, value, name in (
            ("value at the end", told.end_nav, "end_nav"),
            ("value at the begin", told.begin_nav, "begin_nav"),
            ("net contribution", told.net_contribution, "net_contribution"),
        )
    ]
    parts = ("market", "income", "fees", "taxes", "currency")
    known = [name for name in parts if getattr(seen.holder, name) is not None]
    inputs += [seen.beside(name, name, seen.base) for name in known]
    return Made(
        "difference", "value at the end − value at the begin − net contribution − the other parts", inputs
    )


estimated(
    Bridge,
    ("market", "currency"),
    lambda seen: seen.root.bridge_is_estimate,
    "a rate changed while something held in its currency had no price of the last seven days; its effect is "
    "worked out from the last price known. Market and currency together are exact.",
)

_STEPS = ("net_contribution", "market", "income", "fees", "taxes", "currency", "other")


def _steps(document: PerformanceDocument, last: str) -> list[tuple[str, Decimal | None]]:
    """The parts of the bridge up to one of them; without prices and rates apart there are fewer."""
    parts = {
        "net_contribution": document.net_contribution,
        **{name: getattr(document.bridge, name) for name in _STEPS[1:]},
    }
    names = [
        name for name in _STEPS if document.bridge.market is not None or name not in ("market", "currency")
    ]
    return [(name, parts[name]) for name in names[: names.index(last) + 1]] if last in names else []


def _after(last: str) -> Callable[[PerformanceDocument], Decimal | None]:
    def value(document: PerformanceDocument) -> Decimal | None:
        known = [document.begin_nav, *(amount for _, amount in _steps(document, last))]
        return (
            None if document.begin_nav is None else sum((one for one in known if one is not None), Decimal(0))
        )

    return value


for _name in _STEPS:

    def _level(seen: Seen, last: str = _name) -> Made:
        inputs = [seen.input("value at the begin", seen.root.begin_nav, seen.base, "performance.begin_nav")]
        for name, amount in _steps(seen.root, last):
            figure_name = (
                f"performance.{name}" if name == "net_contribution" else f"performance.bridge.{name}"
            )
            inputs.append(seen.input(name.replace("_", " "), amount, seen.base, figure_name))
        return sum_of(inputs, "value at the begin + the parts up to this one")

    figure(
        PerformanceDocument,
        f"after_{_name}",
        f"Value after {_name.replace('_', ' ')}",
        base,
        "A step of the bridge from the value at the begin to that at the end.",
        value=_after(_name),
    )(_level)
