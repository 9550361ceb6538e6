"""Cash by currency over time: at the end of each month and now.

Worked back from the next balance that the broker told, in a statement or in its latest answer, over what
moved money until then; unknown where that is not completely told. Each balance in the base currency is at
the rate of its own day.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account, CashBalance, Figure, Period
from stonks_overwatch.reports.booked import DAY, grouped, last_day, months
from stonks_overwatch.reports.cash import Effect, effects_on
from stonks_overwatch.reports.cash_months import effects_by_month
from stonks_overwatch.reports.documents import Computed, Document, Exact, share, total
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import TOPICS, cash_known_from


class Balance(Document):
    """The cash of one currency over the accounts at the end of one day; null where one's is not known."""

    on: date
    currency: str
    amount: Exact | None
    amount_base: Computed | None


class Now(Document):
    """`settled` is what the settled part is; null where no broker tells. `weight` is of all cash."""

    account: str
    broker: str
    currency: str
    amount: Exact
    settled: Exact | None
    amount_base: Computed | None
    weight: Computed | None


class MonthEnd(Document):
    on: date
    total_base: Computed | None


class CashDocument(Document):
    """Oldest day first; the largest balance first."""

    base_currency: str
    days: tuple[MonthEnd, ...]
    balances: tuple[Balance, ...]
    now: tuple[Now, ...]
    total_base: Computed | None


_NONE = Decimal(0)


@kept
def cash_over_time(scope: Scope, start: date | None = None, end: date | None = None) -> CashDocument:
    """From the first day whose cash is known, or from `start`."""
    looked_at = accounts(scope)
    base = scope.base_currency
    rows = list(CashBalance.objects.filter(account__in=looked_at).select_related("account"))
    today = last_day(looked_at, scope.as_of)
    facts = _facts(looked_at, rows)
    end = min((day for day in (end, today) if day), default=None)
    days = _days(start or _first(facts), end)
    by_currency = _by_currency(facts, looked_at, days)
    currencies = {base, *by_currency, *(account.currency for account in looked_at)}
    rates = Rates.of_days(days, currencies)
    balances = [
        Balance(
            on=on, currency=currency, amount=amount, amount_base=rates.convert(amount, currency, base, on)
        )
        for currency, amounts in sorted(by_currency.items())
        for on, amount in zip(days, amounts, strict=True)
    ]
    balances.sort(key=lambda row: row.on)
    of_day = grouped(balances, lambda row: row.on)
    now = _now(rows, base, scope.as_of, today) if scope.as_of in (None, today) else ()
    return CashDocument(
        base_currency=base,
        days=tuple(MonthEnd(on=on, total_base=_whole(of_day.get(on, []))) for on in days),
        balances=tuple(balances),
        now=now,
        total_base=total(row.amount_base for row in now).value,
    )


def _first(facts: dict[int, "_Account"]) -> date | None:
    """The first day that anything tells of."""
    told = [since for of in facts.values() for ranges in of.told.values() for since, _ in ranges[:1]]
    return min([*told, *(of.known_from for of in facts.values() if of.known_from)], default=None)


def _days(first: date | None, last: date | None) -> list[date]:
    """The ends of the months, and the last day."""
    if first is None or last is None or first > last:
        return []
    ends = [date.fromisoformat(f"{month}-01") - DAY for month in months(first, last)]
    return [*(day for day in ends if day >= first), last]


@dataclass(frozen=True, slots=True)
class _Account:
    """What is known of one account: reported balances by day, and the days whose activities are all told.

    `ends` are the days at whose end a statement (or, for the last one, the broker's latest answer) told
    all balances, in order; a currency that it did not name was 0.
    """

    ends: tuple[date, ...]
    balances: dict[tuple[date, str], Decimal]
    told: dict[str, list[tuple[date, date]]]  # by topic, merged
    known_from: date | None
    opened_on: date | None
    updated_on: date

    def next_told(self, day: date) -> date | None:
        """The end of the next day of which the balances are told, and all that moved money until then."""
        end = next((end for end in self.ends if end >= day and self._is_told(day, end)), None)
        return self.updated_on if end is None and day >= self.updated_on else end

    def _is_told(self, day: date, end: date) -> bool:
        """Whether everything that moved money after the one day, to the end of the other, is known."""
        if end == self.updated_on and self.known_from is not None and day >= self.known_from:
            return True
        return all(
            any(since <= day + DAY and until >= end for since, until in self.told.get(topic, []))
            for topic in TOPICS
        )


def _facts(looked_at: Sequence[Account], rows: Sequence[CashBalance]) -> dict[int, _Account]:
    figures: dict[int, dict[tuple[date, str], Decimal]] = defaultdict(dict)
    told = Figure.objects.filter(account__in=looked_at, section="CashReport", name="endingCash")
    for account_id, on, currency, amount in told.values_list("account_id", "until", "currency", "amount"):
        figures[account_id][on, currency] = amount
    ranges: dict[int, dict[str, list[tuple[date, date]]]] = defaultdict(lambda: defaultdict(list))
    for period in Period.objects.filter(account__in=looked_at, topic__in=TOPICS).order_by("since"):
        merged = ranges[period.account_id][period.topic]
        if merged and period.since <= merged[-1][1] + DAY:
            merged[-1] = merged[-1][0], max(merged[-1][1], period.until)
        else:
            merged.append((period.since, period.until))
    known_from = cash_known_from(list(looked_at))
    facts = {}
    for account in looked_at:
        updated_on = account.updated_at.date()
        balances = {key: amount for key, amount in figures[account.pk].items() if key[0] < updated_on}
        balances |= {(updated_on, row.currency): row.amount for row in rows if row.account_id == account.pk}
        facts[account.pk] = _Account(
            ends=tuple(sorted({updated_on, *(on for on, _ in balances)})),
            balances=balances,
            told=ranges[account.pk],
            known_from=known_from.get(account.pk),
            opened_on=account.opened_on,
            updated_on=updated_on,
        )
    return facts


def _by_currency(
    facts: dict[int, _Account], looked_at: Sequence[Account], days: Sequence[date]
) -> dict[str, list[Decimal | None]]:
    """The sums over the accounts at the end of each day; currencies that never had a balance are left out."""
    ends = {account_id: {day: of.next_told(day) for day in days} for account_id, of in facts.items()}
    boundaries = {*days, *(end for of_account in ends.values() for end in of_account.values() if end)}
    moved: dict[tuple[int, str], list[Effect]] = defaultdict(list)
    for effect in effects_by_month(looked_at, boundaries) if days else ():
        moved[effect.account_id, effect.currency].append(effect)
    currencies = {currency for of in facts.values() for _, currency in of.balances}
    found: dict[str, list[Decimal | None]] = {}
    for currency in sorted(currencies):
        columns = [
            _worked_back(of, currency, moved[account_id, currency], ends[account_id])
            for account_id, of in facts.items()
        ]
        sums_of_days = [total(column) for column in zip(*columns, strict=True)]
        amounts = [None if summed.unknown else summed.value for summed in sums_of_days]
        if any(amount is None or amount for amount in amounts):
            found[currency] = amounts
    return found


class Basis(NamedTuple):
    """What a balance of a day is worked out from: a report of a later one, and what moved until then.

    `amount` is the sum of what moved.
    """

    on: date
    balance: Decimal
    moved: Sequence[Effect]
    amount: Decimal


def _worked_back(
    of: _Account, currency: str, moved: Sequence[Effect], ends: Mapping[date, date | None]
) -> list[Decimal | None]:
    """The balance at the end of each day: that of the next report without what was moved until then."""
    bases = _bases(of, currency, moved, ends)
    return [None if basis is None else basis.balance - basis.amount for basis in bases]


def _bases(
    of: _Account, currency: str, moved: Sequence[Effect], ends: Mapping[date, date | None]
) -> Iterator[Basis | None]:
    """Of each day, by the report that is next to it; None where it cannot be known."""
    ordered = sorted(moved, key=lambda effect: effect.on)
    moved_on = [effect.on for effect in ordered]
    # So far: there are hundreds of days, and thousands of effects between the first ones and the last.
    amounts = list(accumulate((effect.amount or _NONE for effect in ordered), EXACT.add, initial=_NONE))
    unclear = list(accumulate((_is_unclear(effect) for effect in ordered), initial=0))
    explained = total(effect.amount for effect in ordered if not effect.is_guess)
    is_explained = not explained.unknown and explained.value == of.balances.get((of.updated_on, currency), 0)
    for day, end in ends.items():
        if of.opened_on is not None and day < of.opened_on:
            yield Basis(day, _NONE, (), _NONE)
            continue
        if end is None or (end == of.updated_on and day < end and not is_explained):
            yield None
            continue
        first = bisect_right(moved_on, day)
        last = max(first, bisect_right(moved_on, end))
        if unclear[first] != unclear[last]:
            yield None
            continue
        balance = of.balances.get((end, currency), _NONE)
        yield Basis(end, balance, ordered[first:last], EXACT.subtract(amounts[last], amounts[first]))


def _is_unclear(effect: Effect) -> bool:
    return effect.is_opening or effect.is_guess or effect.amount is None


def bases(looked_at: Sequence[Account], currency: str, on: date) -> list[tuple[Account, Basis | None]]:
    """What the accounts' balances at the end of a day are worked out from."""
    facts = _facts(looked_at, list(CashBalance.objects.filter(account__in=looked_at)))
    moved: dict[int, list[Effect]] = defaultdict(list)
    for effect in effects_on(currency, looked_at):
        moved[effect.account_id].append(effect)
    return [
        (account, next(_bases(of, currency, moved[account.pk], {on: of.next_told(on)})))
        for account, of in ((account, facts[account.pk]) for account in looked_at)
    ]


def _whole(balances: Sequence[Balance]) -> Decimal | None:
    summed = total(row.amount_base for row in balances)
    return None if summed.unknown else summed.value


def _now(rows: Sequence[CashBalance], base: str, as_of: date | None, today: date | None) -> tuple[Now, ...]:
    on = as_of or today
    if on is None or not rows:
        return ()
    currencies = {base, *(row.currency for row in rows), *(row.account.currency for row in rows)}
    rates = Rates.of_days([on], currencies)
    in_base = [rates.convert(row.amount, row.currency, base, on) for row in rows]
    whole = total(in_base).value
    found = [
        Now(
            account=row.account.account,
            broker=row.account.broker,
            currency=row.currency,
            amount=row.amount,
            settled=row.settled,
            amount_base=amount,
            weight=share(amount, whole),
        )
        for row, amount in zip(rows, in_base, strict=True)
        if row.amount
    ]
    return tuple(sorted(found, key=lambda row: (row.amount_base is None, -(row.amount_base or 0))))
