"""How values are summed: cash, totals, accounts, parts of an allocation, the dashboard."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal

from stonks_overwatch.ledger.models import Account, CashBalance, NavPoint
from stonks_overwatch.reports.accounts import AccountRow, AccountsDocument, account_rows
from stonks_overwatch.reports.allocation import AllocationDocument, By, Slice, allocation, key_of_part
from stonks_overwatch.reports.cash import effects_on
from stonks_overwatch.reports.daily import own_points
from stonks_overwatch.reports.dashboard import AccountDay, CashTotal, DayChange, NavSeries, dashboard
from stonks_overwatch.reports.documents import Rows, total
from stonks_overwatch.reports.explain.asked import of_account
from stonks_overwatch.reports.explain.cash import moved_back
from stonks_overwatch.reports.explain.documents import Input, Made, RateUsed
from stonks_overwatch.reports.explain.finding import REPORTS, Seen, by_of
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.lots import ONE_RATE_GUESSED
from stonks_overwatch.reports.explain.told import (
    at_rate,
    base,
    estimated,
    figure,
    fraction,
    over_nav,
    own,
    reported,
    sum_of,
)
from stonks_overwatch.reports.explain.used import (
    balances,
    money,
    points,
)
from stonks_overwatch.reports.holdings import (
    POSITIONS,
    AccountNav,
    Cash,
    Part,
    Totals,
    ValuedPosition,
)
from stonks_overwatch.reports.lot_books import EVER, lot_books, papers

REPORTS["dashboard"] = lambda arguments, _: dashboard(arguments.scope)
REPORTS["accounts"] = lambda arguments, _: account_rows(arguments.scope)
REPORTS["allocation"] = lambda arguments, _: allocation(arguments.scope, by_of(arguments))


_PART = "As a part of the value of everything looked at."
figure(Slice, "weight", "Weight", fraction, _PART)(over_nav("value_base"))
figure(CashTotal, "weight", "Weight", fraction, _PART)(over_nav("amount_base"))
figure(AccountRow, "weight", "Share of all accounts", fraction, _PART)(over_nav("nav_base"))


# Cash


def _balance(seen: Seen) -> tuple[Account, str]:
    return seen.account(seen.holder.broker, seen.holder.account), seen.holder.currency


@figure(Cash, "amount", "Cash", own, "Negative when it is owed.")
def _cash(seen: Seen) -> Made:
    account, currency = _balance(seen)
    ledger = [
        balances(CashBalance.objects.filter(account=account, currency=currency)),
        money(account, currency),
    ]
    if seen.valued.state.is_latest(account):
        return reported("as the broker reported it; the activities that led to it are below", ledger)
    on = seen.valued.state.days[account.pk]
    latest = CashBalance.objects.filter(account=account, currency=currency).first()
    told = None if latest is None or seen.value is None else latest.amount
    inputs = [seen.input("latest reported balance", told, currency, as_of=account.updated_at)]
    later = [one for one in effects_on(currency, [account]) if one.on > on]
    inputs += moved_back(seen, later) if told is not None else []
    words = "the latest reported balance, less what came and went since that day"
    return sum_of(inputs, words, ledger=ledger)


@figure(Cash, "amount_base", "Cash", base, "At the rate of the day the account was last updated.")
def _cash_base(seen: Seen) -> Made:
    account, currency = _balance(seen)
    on = seen.valued.state.days[account.pk]
    factor = seen.valued.factors.into_base[account.pk, currency]
    rates = seen.rates_used(currency, seen.base, on)
    return at_rate(seen, seen.beside("amount", "cash", currency), currency, factor, on, rates)


@figure(CashTotal, "amount", "Cash", own, "Over all accounts looked at.")
def _cash_total(seen: Seen) -> Made:
    return _cash_of(seen, "amount", seen.holder.currency)


@figure(CashTotal, "amount_base", "Cash", base, "Over all accounts looked at.")
def _cash_total_base(seen: Seen) -> Made:
    return _cash_of(seen, "amount_base", seen.base)


def _cash_of(seen: Seen, name: str, unit: str) -> Made:
    rows = [row for row in seen.valued.cash if row.currency == seen.holder.currency]
    inputs = [
        seen.input(f"in {row.account}", getattr(row, name), unit, f"holdings.cash.{name}", key_of(row))
        for row in rows
    ]
    return sum_of(inputs, "sum over the accounts")


# Sums of everything


_NAMES = {
    "cash": "cash",
    "accrued": "accrued interest and dividends",
    "futures": "futures, not settled yet",
    "untold": "positions not told yet, kept in",
}


def addend(seen: Seen, part: Part, unit: str) -> Input:
    account = part.account
    held = part.held
    text = held.symbol or held.name if held else f"{_NAMES[part.what]} {part.currency}"
    if len(seen.valued.state.accounts) > 1:
        text = f"{text} in {account.account}"
    value = part.amount_account if unit else part.amount_base
    figure_name = ""
    rows: tuple[str, ...] = ()
    if held:
        figure_name = "holdings.holdings.market_value" + ("" if unit else "_base")
        rows = (f"{account.broker} {held.broker_ref} {account.account}",)
    elif part.what == "cash" and part.amount != 0:
        figure_name = "holdings.cash.amount" + ("" if unit else "_base")
        rows = (f"{account.broker} {account.account} {part.currency}",)
    source = ""
    if unit and part.currency != unit and part.amount is not None:
        source = f"{part.amount:f} {part.currency} in {unit}"
    return seen.input(
        text,
        value,
        unit or seen.base,
        figure_name,
        *rows,
        as_of=seen.valued.state.days[account.pk],
        source=source,
    )


def addends(seen: Seen, parts: Sequence[Part], unit: str) -> Rows[Input]:
    """Of thousands, those that are shown are made."""
    return Rows(parts, lambda some: [addend(seen, part, unit) for part in some])


def rates_of(seen: Seen, parts: Iterable[Part], into: str) -> list[RateUsed]:
    days = seen.valued.state.days
    return seen.every_rate_used((part.currency, into, days[part.account.pk]) for part in parts)


def every(seen: Seen) -> list[Part]:
    return [part for parts in seen.valued.parts.values() for part in parts]


@figure(
    Totals, "nav_base", "Total value", base, "Net asset value: what would be left if everything were sold."
)
def _nav(seen: Seen) -> Made:
    inputs = [
        seen.beside("market_value_base", "investments", seen.base),
        seen.beside("cash_base", "cash", seen.base),
        seen.beside("accrued_base", "accrued interest and dividends", seen.base),
    ]
    return sum_of(inputs, "investments + cash + accrued interest and dividends")


def _kinds(kinds: tuple[str, ...], words: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        mine = _mine(seen)
        parts = [part for part in every(seen) if part.what in kinds and mine(part)]
        ledger = []
        if "accrued" in kinds or "cash" in kinds:
            ledger.append(
                balances(CashBalance.objects.filter(account__in={part.account.pk for part in parts}))
            )
        return sum_of(addends(seen, parts, ""), words, rates_of(seen, parts, seen.base), ledger)

    return made


def _mine(seen: Seen) -> Callable[[Part], bool]:
    """Whether an addend belongs to the account that the figure is of; all do where it is of none."""
    holder = seen.holder
    if isinstance(holder, Totals):
        return lambda _: True
    return lambda part: (part.account.broker, part.account.account) == (holder.broker, holder.account)


_SUMS = (
    (
        "market_value_base",
        "Investments",
        POSITIONS,
        "sum of the values of all positions",
        "Futures and CFDs count with the profit they carry.",
    ),
    ("cash_base", "Cash", ("cash",), "sum of all cash balances", "Negative balances count too."),
    (
        "accrued_base",
        "Accrued",
        ("accrued",),
        "sum of accrued interest and declared dividends",
        "Earned and not paid yet, as the brokers report it.",
    ),
)
for _name, _title, _what, _words, _meaning in _SUMS:
    for _model in (Totals, AccountRow):
        figure(_model, _name, _title, base, _meaning)(_kinds(_what, _words))


@figure(
    Totals, "unrealized_pnl_base", "Unrealized P&L", base, "What selling everything now would earn or lose."
)
@figure(AccountRow, "unrealized_pnl_base", "Unrealized P&L", base, "Of the positions of this account.")
def _unrealized_total(seen: Seen) -> Made:
    rows = seen.valued.positions
    if isinstance(seen.holder, AccountRow):
        wanted = (seen.holder.broker, seen.holder.account)
        rows = [row for row in rows if (row.account.broker, row.account.account) == wanted]

    def inputs_of(some: Sequence[ValuedPosition]) -> list[Input]:
        return [
            seen.input(
                row.held.symbol or row.held.name,
                row.unrealized_pnl_base,
                seen.base,
                "holdings.holdings.unrealized_pnl_base",
                key_of(row.holding()),
            )
            for row in some
        ]

    return sum_of(Rows(rows, inputs_of), "sum over all positions")


@figure(
    Totals,
    "realized_pnl_base",
    "Realized P&L",
    base,
    "Proceeds less cost of everything that was closed, unknown as soon as one part is.",
)
def _realized_total(seen: Seen) -> Made:
    scope = seen.arguments.scope
    looked_at = {account.pk: account for account in seen.valued.state.accounts}
    kept = lot_books([*looked_at.values()], seen.base, scope.as_of, seen.arguments.method)
    gains = kept.gains(EVER, by_instrument=True)
    described = papers(row.instrument or 0 for row in gains)
    inputs = []
    for row in gains:
        paper, holder = described[row.instrument or 0], looked_at[row.account]
        inputs.append(
            seen.input(
                f"{paper.symbol or paper.name} in {holder.account}",
                None if row.unknown else row.gain_base,
                seen.base,
                "realized.by_instrument.gain_base",
                f"{holder.broker} {paper.broker_ref}",
                asked={**of_account(holder), "year": None},
            )
        )
    return sum_of(inputs, "sum of the realized gains of every instrument, unknown when one of them is")


estimated(Totals, ("realized_pnl_base",), lambda seen: seen.holder.realized_is_estimate, ONE_RATE_GUESSED)


# Accounts


@figure(AccountNav, "nav_base", "Value of the account", base)
@figure(AccountRow, "nav_base", "Value of the account", base)
@figure(AccountDay, "nav_base", "Value of the account", base)
def _account_nav_base(seen: Seen) -> Made:
    parts = list(filter(_mine(seen), every(seen)))
    words = "values of the positions + cash + accrued interest and dividends"
    return sum_of(addends(seen, parts, ""), words, rates_of(seen, parts, seen.base))


@figure(AccountNav, "nav", "Value of the account", own)
@figure(AccountRow, "nav", "Value of the account", own)
@figure(AccountDay, "nav", "Value of the account", own)
def _account_nav(seen: Seen) -> Made:
    parts = list(filter(_mine(seen), every(seen)))
    currency = seen.holder.currency
    words = "values of the positions + cash + accrued interest and dividends, in the account's currency"
    return sum_of(addends(seen, parts, currency), words, rates_of(seen, parts, currency))


@figure(AccountRow, "reported_nav", "Value as the broker reports it", own)
def _reported_nav(seen: Seen) -> Made:
    return reported(
        "the broker's own net liquidation value", inputs=[seen.beside("nav", "computed here", own(seen))]
    )


# The dashboard


@figure(
    DayChange,
    "value_base",
    "Change of the day",
    base,
    "Against the broker's value at the end of the last day before; deposits since then count as change.",
)
def _day_change(seen: Seen) -> Made:
    day = seen.parents[-1] if seen.parents else None
    if not isinstance(day, AccountDay):
        inputs = [
            seen.input(
                f"of {row.account}",
                row.day_change.value_base,
                seen.base,
                "dashboard.accounts.day_change.value_base",
                key_of(row),
            )
            for row in seen.root.accounts
        ]
        return sum_of(inputs, "sum over the accounts, unknown when one of them is")
    now = seen.input("value now", day.nav_base, seen.base, "dashboard.accounts.nav_base", *seen.rows)
    account = seen.account(day.broker, day.account)
    since = seen.holder.since
    if since is None or seen.value is None or day.nav_base is None:
        before = seen.input("value at the end of the day before", None, seen.base)
        return Made("difference", "value now − value at the end of the day before", [now, before])
    told = NavPoint.objects.filter(account=account, on=since)
    rated_on, earlier = since, _end_of_day(seen, account, since, told.first())
    if earlier.value is None:  # at today's rate, where that of the day is not known
        rated_on = seen.valued.state.days[account.pk]
        earlier = _end_of_day(seen, account, since, told.first(), rated_on)
    used = [rate for point in told for rate in seen.rates_used(point.currency, seen.base, rated_on)]
    words = "value now − value at the end of the day before"
    return Made("difference", words, [now, earlier], used, [points(told)])


def _end_of_day(
    seen: Seen, account: Account, on: date, point: NavPoint | None, rated_on: date | None = None
) -> Input:
    """The broker's value at the end of a day in the base currency; without any of the account our own."""
    name, where, value = f"value of {account.account} at the end of {on.isoformat()}", "", None
    if point is not None:
        day = rated_on or on
        value = seen.reports.rates(min(on, day), day).convert(point.nav, point.currency, seen.base, day)
    elif not NavPoint.objects.filter(account=account).exists():
        own = dict(own_points([account], seen.base).get(account.pk, ()))
        value, where = (Decimal(f"{own[on]:.10f}"), "series.nav") if on in own else (None, "")
    asked = {**of_account(account), "as_of": None}
    return seen.input(name, value, seen.base, where, on.isoformat(), as_of=on, asked=asked)


@figure(DayChange, "fraction", "Change of the day", fraction, "The change over the earlier value.")
def _day_fraction(seen: Seen) -> Made:
    change = seen.holder.value_base
    day = seen.parents[-1] if seen.parents else None
    if isinstance(day, AccountDay):
        now = day.nav_base
    else:
        now = total(row.nav_base for row in seen.root.accounts).value
    earlier = None if now is None or change is None else now - change
    inputs = [
        seen.beside("value_base", "change", seen.base),
        seen.input("value before", earlier, seen.base, as_of=seen.holder.since, source="value now − change"),
    ]
    return Made("quotient", "change ÷ value before", inputs)


@figure(NavSeries, "nav", "Value", base, "At the end of the day, at that day's rates; the last one is now.")
def _nav_of_day(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    accounts = seen.valued.state.accounts
    if on == max(seen.valued.state.days.values()) and seen.value == seen.valued.totals.nav_base:
        now = seen.input("total value now", seen.value, seen.base, "holdings.totals.nav_base")
        return sum_of([now], "the total value now")
    found = {point.account_id: point for point in NavPoint.objects.filter(account__in=accounts, on=on)}
    inputs = [
        _end_of_day(seen, account, on, found.get(account.pk))
        for account in accounts
        if account.opened_on is None or account.opened_on <= on
    ]
    used = seen.every_rate_used((point.currency, seen.base, on) for point in found.values())
    words = "sum of the values of the day, unknown when an account has none"
    return sum_of(inputs, words, used, [points(NavPoint.objects.filter(account__in=accounts, on=on))])


# Allocation


@figure(Slice, "value_base", "Value of the part", base, "Signed: a short position or a loan lowers its part.")
def _slice(seen: Seen) -> Made:
    by: By = next(one.by for one in (seen.root, *seen.parents) if isinstance(one, AllocationDocument))
    parts = [part for part in every(seen) if key_of_part(part, by) == seen.holder.key]
    inputs = [addend(seen, part, "") for part in parts]
    return sum_of(inputs, "sum of everything that belongs to it", rates_of(seen, parts, seen.base))


@figure(AllocationDocument, "total_base", "Total value", base)
def _slices(seen: Seen) -> Made:
    inputs = [
        seen.input(
            row.key,
            row.value_base,
            seen.base,
            "allocation.slices.value_base",
            row.key,
            asked={"by": seen.holder.by},
        )
        for row in seen.holder.slices
    ]
    return sum_of(inputs, "sum of the parts")


@figure(AccountsDocument, "nav_base", "Total value", base)
def _all_accounts(seen: Seen) -> Made:
    inputs = [
        seen.input(row.account, row.nav_base, seen.base, "accounts.accounts.nav_base", key_of(row))
        for row in seen.holder.accounts
    ]
    return sum_of(inputs, "sum of the accounts")
