"""How the daily series comes about, and the days of a period."""

from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from math import isnan

from stonks_overwatch.engine import valuation
from stonks_overwatch.ledger.models import Account, Activity, Instrument, NavPoint
from stonks_overwatch.reports.contributions import contributions
from stonks_overwatch.reports.daily import DailyTotal, books, worth
from stonks_overwatch.reports.explain.asked import Arguments, of_account
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    FLOATING,
    base,
    figure,
    floating,
    formula,
    fraction,
    plain,
    reported,
    sum_of,
)
from stonks_overwatch.reports.explain.used import activities, points
from stonks_overwatch.reports.performance import asked_days
from stonks_overwatch.reports.periods import DAY
from stonks_overwatch.reports.scope import accounts
from stonks_overwatch.reports.series import PeriodDays, SeriesDocument, days_of, from_begin, series


def _series(arguments: Arguments, reports: Reports) -> SeriesDocument:
    if reports.daily is None:
        return series(arguments.scope, only=arguments.group)
    return days_of(reports.daily, arguments.start, arguments.end)


def _days(arguments: Arguments, reports: Reports) -> PeriodDays:
    if reports.daily is None:
        return from_begin(series(arguments.scope, only=arguments.group))
    days = asked_days(reports.daily, arguments.start, arguments.end)
    return from_begin(days_of(reports.daily, days.first - DAY, days.last))


REPORTS["series"] = _series
REPORTS["days"] = _days


def on_day(seen: Seen, name: str, text: str, unit: str, on: date) -> Input:
    """A figure of the series on another day."""
    daily = seen.reports.daily
    told = None if daily is None else days_of(daily, on, on)
    value = getattr(told, name)[0] if told is not None and told.dates else None
    asked = {"start": None, "end": None}
    return seen.input(text, value, unit, f"series.{name}", on.isoformat(), as_of=on, asked=asked)


def flow_days(daily: DailyTotal, first: date, last: date) -> list[tuple[date, Decimal]]:
    """The days on which something came in or was taken out, with how much."""
    start = daily.total.first
    flows = daily.total.contribution[first.toordinal() - start : last.toordinal() - start + 1]
    return [
        (date.fromordinal(first.toordinal() + number), Decimal(repr(flow)))
        for number, flow in enumerate(flows.tolist())
        if flow and flow == flow  # noqa: PLR0124  # NaN alone differs from itself
    ]


# The value of a day


@figure(SeriesDocument, "nav", "Value", base, "At the end of the day, at that day's prices and rates.")
def _nav(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    place = seen.root.dates.index(on)
    looked_at = accounts(seen.arguments.scope)
    note = "A price or a value of an earlier day is part of it." if seen.root.carried[place] else ""
    if seen.root.sources[place] == "unknown":
        return reported("no price, rate or value of the broker is known", note=note)
    if len(looked_at) > 1:
        return sum_of(_of_accounts(seen, looked_at, on), "sum of the accounts", note=FLOATING)
    (account,) = looked_at
    ledger = [
        points(NavPoint.objects.filter(account=account, on=on)),
        activities(Activity.objects.current().filter(account=account, trade_date=on)),
    ]
    note = f"{note} {FLOATING}".strip()
    if seen.root.sources[place] == "broker":
        return _of_broker(seen, account, on, note)
    inputs = held_on(seen, [account], on)
    return sum_of(inputs, "quantities × prices of the day × rates of the day + cash", (), ledger, note)


def _of_accounts(seen: Seen, looked_at: Sequence[Account], on: date) -> list[Input]:
    """The value of each account; one that did not exist yet adds nothing."""
    inputs = []
    for account in looked_at:
        asked = {**of_account(account), "start": None, "end": None}
        told = series(seen.arguments.but(**asked).scope, on, on, seen.arguments.group)
        value = told.nav[0] if told.dates else Decimal(0)
        where = ("series.nav", on.isoformat()) if told.dates else ("",)
        inputs.append(
            seen.input(f"value of {account.account}", value, seen.base, *where, as_of=on, asked=asked)
        )
    return inputs


def _of_broker(seen: Seen, account: Account, on: date, note: str) -> Made:
    """The latest value that the broker told, and what came in since."""
    point = NavPoint.objects.filter(account=account, on__lte=on).order_by("-on").first()
    day = account.reported_as_of.date() if account.reported_as_of else None
    if account.reported_nav is not None and day and day <= on and (point is None or point.on < day):
        told, currency, told_on = account.reported_nav, account.currency, day
    elif point is not None:
        told, currency, told_on = point.nav, point.currency, point.on
    else:
        return reported("as the broker told it")
    rate = seen.reports.rates(told_on, told_on).rate(currency, seen.base, told_on)
    ledger = [points(NavPoint.objects.filter(account=account, on=told_on))]
    inputs = [seen.input("value told", told, currency, as_of=told_on)]
    words = "value told"
    if currency != seen.base:
        inputs.append(seen.input(f"{seen.base} for one {currency}", rate, "", as_of=told_on))
        words = f"{words} × {inputs[-1].name}"
    daily = seen.reports.daily
    if told_on < on and daily is not None:
        later = [
            seen.input("came in later", flow, seen.base, as_of=day)
            for day, flow in flow_days(daily, told_on + DAY, on)
        ]
        if later:
            inputs += later
            words = f"{words} + Σ came in later"
    return formula(words, inputs, seen.rates_used(currency, seen.base, told_on), ledger, note)


def held_on(seen: Seen, looked_at: Sequence[Account], on: date, only: Collection[int] = ()) -> list[Input]:
    """What was held at the end of a day by our own valuation, or of it some instruments."""
    group = seen.arguments.group
    wanted = only or (group and set(group.rows().values_list("pk", flat=True)))
    parts = worth(looked_at, seen.base, on)
    if wanted:
        parts = [part for part in parts if part.instrument in wanted]
    papers = Instrument.objects.in_bulk([part.instrument for part in parts if part.instrument])
    inputs = []
    for part in parts:
        where = f" in {part.account.account}" if len(looked_at) > 1 else ""
        if part.instrument is None:
            text, source = f"cash {part.currency}", f"{part.quantity:,.2f} {part.currency}"
        else:
            paper = papers[part.instrument]
            price = "an unknown price" if isnan(part.price) else f"{part.price:,.6g} {part.currency}"
            text, source = paper.symbol or paper.name, f"{part.quantity:,.6g} at {price}"
        value = floating(part.value)
        inputs.append(seen.input(f"{text}{where}", value, seen.base, as_of=on, source=source))
    return inputs


# What came in, and growth


@figure(SeriesDocument, "net_contribution", "Net contribution", base, "What came in from outside on the day.")
def _contribution(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    return flows_of(seen, on, on, "day")


def flows_of(seen: Seen, first: date, last: date, what: str) -> Made:
    """What came in over some days; of some holdings alone what was paid for them less what they paid."""
    daily = seen.reports.daily
    if seen.arguments.group is None or daily is None:
        words = f"sum of deposits, withdrawals and transfers of the {what}"
        return sum_of(_external(seen, first, last), words, note=FLOATING)
    if first < last:
        inputs = [
            seen.input(
                f"on {on.isoformat()}", flow, seen.base, "series.net_contribution", on.isoformat(), as_of=on
            )
            for on, flow in flow_days(daily, first, last)
        ]
        return sum_of(inputs, f"sum of the days of the {what}", note=FLOATING)
    wanted = seen.arguments.group.numbers()
    papers = Instrument.objects.in_bulk(wanted)
    inputs = []
    before = (first - DAY).toordinal()
    for account, book in zip(
        daily.accounts, books(daily.accounts, seen.base, before, last.toordinal()), strict=True
    ):
        found = valuation.by_holding(book, book.rates[0])
        for row, number in enumerate(book.instruments.numbers.tolist()):
            moved = float(found.paid[row] - found.income[row])
            if number in wanted and moved:
                text = f"{papers[number].symbol} in {account.account}"
                inputs.append(seen.input(text, floating(moved), seen.base, as_of=first))
    return sum_of(inputs, "what was paid for the holdings less what they paid", note=FLOATING)


def _external(seen: Seen, first: date, last: date) -> list[Input]:
    found = contributions(seen.arguments.scope, first, last)
    return [
        seen.input(
            flow.kind.replace("_", " "),
            flow.amount_base,
            seen.base,
            "contributions.flows.amount_base",
            key_of(flow),
            as_of=flow.on,
            asked={"start": first, "end": last},
        )
        for flow in reversed(found.flows)
        if not flow.is_internal
    ]


@figure(SeriesDocument, "twr_index", "Growth of 1", plain, "With contributions taken out.")
def _index(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    daily = seen.reports.daily
    if daily is None or daily.index is None or seen.value is None:
        return reported("not everything is known up to the day")
    if on.toordinal() == daily.index.since:
        return reported("the first day from which everything is known begins with 1")
    inputs = [
        on_day(seen, "twr_index", "growth to the day before", "", on - DAY),
        seen.input("return of the day", _growth_of(daily, on), fraction, as_of=on),
        on_day(seen, "nav", "value at the end of the day", seen.base, on),
        on_day(seen, "nav", "value of the day before", seen.base, on - DAY),
        on_day(seen, "net_contribution", "net contribution of the day", seen.base, on),
    ]
    note = f"The return is that of value at the end ÷ (value before + net contribution) − 1. {FLOATING}"
    return formula("growth to the day before × (1 + return of the day)", inputs, note=note)


def _growth_of(daily: DailyTotal, on: date) -> Decimal | None:
    if daily.index is None:
        return None
    place = on.toordinal() - daily.total.first
    level = daily.index.after_tax
    return floating(float(level[place] / level[place - 1] - 1.0))


# The days of a period, counted from its begin


@figure(PeriodDays, "nav", "Value", base, "At the end of the day.")
def _value(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    return sum_of([on_day(seen, "nav", "value", seen.base, on)], "the value of that day")


@figure(PeriodDays, "contributed", "Put in", base, "The value at the begin and what came in since.")
def _contributed(seen: Seen) -> Made:
    first, on = seen.root.dates[0], date.fromisoformat(seen.key)
    inputs = [on_day(seen, "nav", "value at the begin", seen.base, first)]
    daily = seen.reports.daily
    if daily is not None and on > first:
        inputs += [
            on_day(seen, "net_contribution", "net contribution", seen.base, day)
            for day, _ in flow_days(daily, first + DAY, on)
        ]
    return sum_of(inputs, "value at the begin + net contribution of each day since", note=FLOATING)


def _levels(seen: Seen, since: date, text: str) -> list[Input]:
    return [
        on_day(seen, "twr_index", "growth to the day", "", date.fromisoformat(seen.key)),
        on_day(seen, "twr_index", text, "", since),
    ]


@figure(PeriodDays, "growth", "Growth of 1", plain, "Since the begin, with contributions taken out.")
def _growth(seen: Seen) -> Made:
    first = next((on for on, level in zip(seen.root.dates, seen.root.growth, strict=True) if level), None)
    if first is None:
        return reported("not everything is known up to the day")
    inputs = _levels(seen, first, "growth to the begin")
    return Made("quotient", "growth to the day ÷ growth to the begin", inputs, note=FLOATING)


@figure(PeriodDays, "fall", "Drawdown", fraction, "Below the highest growth since the begin.")
def _fall(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    until = [
        (level, -day.toordinal(), day)
        for day, level in zip(seen.root.dates, seen.root.growth, strict=True)
        if level is not None and day <= on
    ]
    if not until:
        return reported("not everything is known up to the day")
    inputs = _levels(seen, max(until)[-1], "highest growth up to then")
    return Made("change", "growth to the day ÷ highest growth up to then − 1", inputs, note=FLOATING)
