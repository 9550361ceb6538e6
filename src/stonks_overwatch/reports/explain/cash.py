"""How cash over time comes about."""

from collections.abc import Iterable

from stonks_overwatch.ledger.models import CashBalance
from stonks_overwatch.reports import balances
from stonks_overwatch.reports.cash import Effect
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    at_rate,
    base,
    column,
    figure,
    fraction,
    own,
    reported,
    sum_of,
)
from stonks_overwatch.reports.explain.used import balances as balance_rows
from stonks_overwatch.reports.explain.used import money

REPORTS["cash"] = lambda a, _: balances.cash_over_time(a.scope, a.start, a.end)


def moved_back(seen: Seen, moved: Iterable[Effect]) -> list[Input]:
    """What came and went, taken back."""
    return [
        seen.input(
            "came in later" if effect.amount > 0 else "went out later",
            -effect.amount,
            effect.currency,
            as_of=effect.on,
        )
        for effect in moved
        if effect.amount
    ]


def _month_end(seen: Seen) -> Made:
    rows = [row for row in seen.root.balances if row.on == seen.holder.on]
    inputs = [
        seen.input(row.currency, row.amount_base, seen.base, "cash.balances.amount_base", key_of(row))
        for row in rows
    ]
    return sum_of(inputs, "sum of the currencies, unknown when one of them is")


figure(balances.MonthEnd, "total_base", "Cash", base)(_month_end)


@figure(balances.Balance, "amount", "Cash", own, "At the end of the day.")
def _balance(seen: Seen) -> Made:
    row = seen.holder
    inputs = []
    for account, basis in balances.bases(seen.reports.accounts, row.currency, row.on):
        told = None if basis is None else basis.balance
        text = f"reported balance of {account.account}"
        inputs.append(seen.input(text, told, row.currency, as_of=basis.on if basis else row.on))
        inputs += moved_back(seen, basis.moved if basis else ())
    looked_at = [account.pk for account in seen.reports.accounts]
    words = "the next reported balance, less what came and went until then"
    return sum_of(inputs, words, ledger=[money(looked_at, row.currency)])


def _product_of_day(seen: Seen) -> Made:
    row = seen.holder
    on = row.on if isinstance(row, balances.Balance) else max(seen.valued.state.days.values())
    rate = seen.reports.rates(on, on).rate(row.currency, seen.base, on)
    used = seen.rates_used(row.currency, seen.base, on)
    return at_rate(seen, seen.beside("amount", "cash", row.currency), row.currency, rate, on, used)


figure(balances.Balance, "amount_base", "Cash", base, "At the rate of the day.")(_product_of_day)
figure(balances.Now, "amount_base", "Cash", base, "At today's rate.")(_product_of_day)


def _now(seen: Seen) -> Made:
    account = seen.account(seen.holder.broker, seen.holder.account)
    rows = CashBalance.objects.filter(account=account, currency=seen.holder.currency)
    return reported("as the broker reported it", [balance_rows(rows), money(account, seen.holder.currency)])


figure(balances.Now, "amount", "Cash", own)(_now)
figure(balances.Now, "settled", "Settled", own)(_now)


@figure(balances.Now, "weight", "Weight", fraction)
def _cash_weight(seen: Seen) -> Made:
    inputs = [
        seen.beside("amount_base", "cash", seen.base),
        seen.input("all cash", seen.root.total_base, seen.base, "cash.total_base"),
    ]
    return Made("quotient", "cash ÷ all cash", inputs)


figure(balances.CashDocument, "total_base", "Cash", base)(
    column(lambda seen: seen.root.now, "amount_base", "cash.now", "sum of all balances")
)
