"""How the portfolio is spread: the figures of diversification."""

from collections.abc import Callable
from decimal import Decimal

from stonks_overwatch.reports import diversification
from stonks_overwatch.reports.allocation import key_of_part
from stonks_overwatch.reports.combined import together
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen, by_of
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    base,
    column,
    figure,
    formula,
    fraction,
    over_nav,
    plain,
    sum_of,
    total_value,
)
from stonks_overwatch.reports.holdings import UNKNOWN

REPORTS["diversification"] = lambda a, _: diversification.diversification(a.scope, by_of(a))

_Group, _Member = diversification.Group, diversification.Member
figure(_Group, "value_base", "Value", base, "Signed: a short position or a loan lowers it.")(
    column(
        lambda seen: seen.holder.members, "value_base", "diversification.groups.members", "sum of its members"
    )
)
figure(_Group, "weight", "Weight", fraction)(over_nav("value_base"))
figure(_Member, "weight", "Weight", fraction)(over_nav("value_base"))


@figure(_Member, "value_base", "Value", base)
def _member(seen: Seen) -> Made:
    row, group = seen.holder, seen.parents[-1]
    by = seen.root.by
    if row.broker_ref is None:
        inputs = [
            seen.input(f"{part.what} in {part.account.account}", part.amount_base, seen.base)
            for of in seen.valued.parts.values()
            for part in of
            if part.what != "position"
            and f"{diversification.NAMES[part.what]} {part.currency}" == row.name
            and key_of_part(part, by) == group.key
        ]
        return sum_of(inputs, "sum over the accounts of the group")
    inputs = [
        seen.input(
            f"in {one.account}",
            one.market_value_base,
            seen.base,
            "holdings.holdings.market_value_base",
            key_of(one),
        )
        for one in (position.holding() for position in seen.positions(row.broker, row.broker_ref))
        if by not in ("account", "broker") or getattr(one, by) == group.key
    ]
    return sum_of(inputs, "sum over the accounts")


def total_of_all(seen: Seen) -> Made:
    return sum_of([total_value(seen)], "the total value")


figure(diversification.DiversificationDocument, "total_base", "Total value", base)(total_of_all)


@figure(diversification.DiversificationDocument, "unknown_weight", "Not known", fraction)
def _unknown_weight(seen: Seen) -> Made:
    found = [group for group in seen.holder.groups if group.key == UNKNOWN]
    inputs = [
        seen.input("unknown", group.weight, fraction, "diversification.groups.weight", group.key)
        for group in found
    ]
    return sum_of(inputs, "weight of the group that is not known")


def _shares(seen: Seen) -> list[Input]:
    """The size of each value as a part of the sum of all sizes, the largest first."""
    document = seen.parents[-1]
    if seen.path.endswith("by_group"):
        where = "diversification.groups.value_base"
        values = [(row.key, row.value_base, where, row.key) for row in document.groups]
    else:
        where = "holdings.combined.market_value_base"
        values = [
            (row.symbol, row.market_value_base, where, key_of(row))
            for row in (one.holding() for one in together(diversification.positions_of(seen.valued)))
        ]
    whole = sum((abs(value) for _, value, _, _ in values if value), Decimal(0))
    inputs = [
        seen.input(text, abs(value) / whole, fraction, source=f"{abs(value):,.2f} ÷ {whole:,.2f} {seen.base}")
        for text, value, _, _ in values
        if value
    ]
    return sorted(inputs, key=lambda one: -(one.value or 0))


_SHARE = "A share is the size of a value ÷ the sum of all sizes."
_Concentration = diversification.Concentration


@figure(_Concentration, "herfindahl", "Herfindahl index", plain, _SHARE)
def _herfindahl(seen: Seen) -> Made:
    inputs = [
        one.model_copy(update={"name": "share", "source": f"{one.name}: {one.source}"})
        for one in _shares(seen)
    ]
    return formula("Σ share²", inputs)


@figure(_Concentration, "effective", "As many equal ones", plain, _SHARE)
def _effective(seen: Seen) -> Made:
    one = seen.input("1", Decimal(1), "")
    return Made("quotient", "1 ÷ Herfindahl index", [one, seen.beside("herfindahl", "Herfindahl index", "")])


def _largest(most: int, words: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return sum_of(_shares(seen)[:most], words)

    return made


figure(_Concentration, "largest", "Largest", fraction, _SHARE)(_largest(1, "the largest share"))
figure(_Concentration, "top_10", "Ten largest", fraction, _SHARE)(
    _largest(diversification.TOP, "sum of the ten largest shares")
)
