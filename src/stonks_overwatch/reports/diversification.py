"""How NAV is spread, down to the single holding, what of it is not known, and how concentrated it is.

Groups and signs are those of the allocation: signed values over NAV, cash and accruals under `cash`, what
is not told under `unknown`. The concentration looks at positions alone, by the size of their value whatever
its sign.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import Field

from stonks_overwatch.ledger.models import Account, Instrument
from stonks_overwatch.ledger.types import AssetClass
from stonks_overwatch.reports.allocation import By, key_of_part
from stonks_overwatch.reports.booked import grouped
from stonks_overwatch.reports.combined import Together, together
from stonks_overwatch.reports.documents import Computed, Document, Rows, share, total
from stonks_overwatch.reports.holdings import UNKNOWN, Valuation, ValuedPosition, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.state import Held

CASH = "cash"
TOP = 10

NAMES = {"cash": "Cash", "accrued": "Accrued", "futures": "Futures, not settled", "untold": "Not told yet"}


class Member(Document):
    """One holding of a group, or its cash, accruals or unsplit futures of one currency.

    `weight` is of NAV. Holdings of one instrument in several accounts are one, unless accounts or brokers
    are the groups.
    """

    symbol: str
    name: str
    broker: str
    broker_ref: str | None
    asset_class: str
    value_base: Computed | None
    weight: Computed | None


class Group(Document):
    """Members are the largest first, those without a known value last and counted in `unknown`.

    `market` is the name of an exchange; null where it is not known, and for other groups.
    """

    key: str
    market: str | None = Field(None, exclude=True)
    value_base: Computed | None
    weight: Computed | None
    unknown: int
    members: Rows[Member]


class Concentration(Document):
    """`herfindahl` is the sum of squared shares: 1 for a single position, 1/n for n equal ones.

    `effective` is 1 / herfindahl: as many equal positions are as concentrated. `top_10` is the share of the
    ten largest. Shares are of the sum of the sizes of all known values. Null without a known value.
    """

    count: int
    unknown: int
    herfindahl: Computed | None
    effective: Computed | None
    largest: Computed | None
    top_10: Computed | None


class DiversificationDocument(Document):
    """`unknown_weight` is the part of NAV whose group is not known; null where it has no value.

    `unknown` counts the members whose value is not known: they are in no sum.
    """

    as_of: datetime | date | None
    base_currency: str
    by: By
    total_base: Computed | None
    groups: tuple[Group, ...]
    unknown_weight: Computed | None
    unknown: int
    positions: Concentration
    by_group: Concentration


@kept
def diversification(scope: Scope, by: By) -> DiversificationDocument:
    valued = valuation(scope)
    nav = valued.totals.nav_base
    groups = [
        _group(key, [member for _, member in members], nav)
        for key, members in grouped(members_of(valued, by), lambda pair: pair[0]).items()
    ]
    if by == "exchange":
        names = market_names()
        groups = [group.model_copy(update={"market": names.get(group.key)}) for group in groups]
    groups.sort(key=lambda group: (group.value_base is None, -(group.value_base or 0), group.key))
    unnamed = next((group for group in groups if group.key == UNKNOWN), None)
    return DiversificationDocument(
        as_of=valued.as_of,
        base_currency=scope.base_currency,
        by=by,
        total_base=nav,
        groups=tuple(groups),
        unknown_weight=unnamed.weight if unnamed else Decimal(0),
        unknown=sum(group.unknown for group in groups),
        positions=concentration(one.market_value_base for one in together(positions_of(valued))),
        by_group=concentration(group.value_base for group in groups),
    )


def market_names() -> dict[str, str]:
    """The names of the exchanges that instruments are listed at, by the brokers' codes; one query."""
    rows = Instrument.objects.filter(exchange__isnull=False, market__isnull=False)
    return {
        code: name
        for code, name in rows.values_list("exchange", "market").distinct().order_by("exchange", "market")
        if code and name
    }


def concentration(values: Iterable[Decimal | None]) -> Concentration:
    every = list(values)
    sizes = sorted((abs(value) for value in every if value), reverse=True)
    whole = sum(sizes, Decimal(0))
    if not whole:
        return Concentration(
            count=len(every),
            unknown=every.count(None),
            herfindahl=None,
            effective=None,
            largest=None,
            top_10=None,
        )
    squares = sum((size * size for size in sizes), Decimal(0))
    return Concentration(
        count=len(every),
        unknown=every.count(None),
        herfindahl=squares / (whole * whole),
        effective=whole * whole / squares,
        largest=sizes[0] / whole,
        top_10=sum(sizes[:TOP], Decimal(0)) / whole,
    )


def positions_of(valued: Valuation) -> list[ValuedPosition]:
    """The positions, without futures whose profit the account tells as a whole."""
    whole = {
        (part.account.pk, part.currency)
        for parts in valued.parts.values()
        for part in parts
        if part.what == "futures"
    }
    return [
        one
        for one in valued.positions
        if not (
            one.held.asset_class == AssetClass.FUTURE
            and one.held.market_value is None
            and (one.account.pk, one.held.currency) in whole
        )
    ]


class MemberValue(NamedTuple):
    """A member, which only becomes one when it is shown."""

    symbol: str
    name: str
    broker: str
    broker_ref: str | None
    asset_class: str
    value_base: Decimal | None
    weight: Decimal | None

    def member(self) -> Member:
        return Member.made(self._asdict())


def members_of(valued: Valuation, by: By) -> list[tuple[str, MemberValue]]:
    """What is held and the cash, each with the key of its group."""
    positions = positions_of(valued)
    rows = [Together([one]) for one in positions] if by == "account" else together(positions)
    members = [(_key_of(row, by), _value_of(row)) for row in rows]
    others = [part for parts in valued.parts.values() for part in parts if part.what != "position"]
    by_member = grouped(others, lambda part: (key_of_part(part, by), part.what, part.currency))
    for (key, what, currency), parts in by_member.items():
        if all(part.amount == 0 for part in parts):
            continue
        summed = total(part.amount_base for part in parts)
        value = None if summed.unknown else summed.value
        weight = share(value, valued.totals.nav_base)
        name = f"{NAMES[what]} {currency}"
        members.append((key, MemberValue(currency, name, "", None, parts[0].asset_class, value, weight)))
    return members


def _value_of(row: Together) -> MemberValue:
    one = row.instrument
    broker = row.parts[0].account.broker
    return MemberValue(
        one.symbol, one.name, broker, one.broker_ref, one.asset_class, row.market_value_base, row.weight
    )


def _key_of(row: Together, by: By) -> str:
    of: Account | Held = row.parts[0].account if by in ("account", "broker") else row.instrument
    return str(getattr(of, by) or UNKNOWN)


def _group(key: str, members: Sequence[MemberValue], nav: Decimal | None) -> Group:
    value = total(member.value_base for member in members)
    ordered = sorted(members, key=lambda row: (row.value_base is None, -(row.value_base or 0), row.symbol))
    return Group(
        key=key,
        value_base=value.value,
        weight=share(value.value, nav),
        unknown=value.unknown,
        members=Rows(ordered, lambda some: [one.member() for one in some]),
    )
