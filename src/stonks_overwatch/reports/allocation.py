"""How NAV is spread over asset classes, currencies, countries, sectors, exchanges, accounts or brokers.

The slices are signed values over NAV: a short position or a loan lowers its slice, which can be negative,
and the others then add up to more than NAV, so that all weights sum to 1. Futures and CFDs count with
the profit they carry. Cash and accruals are the asset class `cash`; they have no country, sector or
exchange and stand under `cash` there too. What is not known stands under `unknown`.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Literal, get_args

from stonks_overwatch.reports.documents import Computed, Document, share, total
from stonks_overwatch.reports.holdings import UNKNOWN, Part, Valuation, valuation
from stonks_overwatch.reports.scope import Scope

By = Literal["asset_class", "currency", "country", "sector", "exchange", "account", "broker"]
BY: tuple[By, ...] = get_args(By)


class Slice(Document):
    """`value_base` is null when none of its values is known."""

    key: str
    value_base: Computed | None
    weight: Computed | None


class AllocationDocument(Document):
    """Largest slice first. `total_base` is NAV, without what is not known."""

    by: By
    slices: tuple[Slice, ...]
    total_base: Computed | None


def allocation(scope: Scope, by: By) -> AllocationDocument:
    return sliced(valuation(scope), by)


def sliced(valued: Valuation, by: By) -> AllocationDocument:
    """The same for a valuation that is already there."""
    values: dict[str, list[Decimal | None]] = defaultdict(list)
    for parts in valued.parts.values():
        for part in parts:
            values[key_of_part(part, by)].append(part.amount_base)
    nav = valued.totals.nav_base
    sums = {key: total(amounts).value for key, amounts in values.items()}
    largest_first = sorted(sums.items(), key=lambda item: (item[1] is None, -(item[1] or 0), item[0]))
    return AllocationDocument(
        by=by,
        slices=tuple(
            Slice(key=key, value_base=value, weight=share(value, nav)) for key, value in largest_first
        ),
        total_base=nav,
    )


def key_of_part(part: Part, by: By) -> str:
    match by:
        case "account":
            return part.account.account
        case "broker":
            return part.account.broker
        case "asset_class":
            return part.asset_class
        case "currency":
            return part.currency
        case _ if part.what in ("cash", "accrued"):
            return "cash"
        case "country":
            return (part.held and part.held.country) or UNKNOWN
        case "sector":
            return (part.held and part.held.sector) or UNKNOWN
        case "exchange":
            return (part.held and part.held.exchange) or UNKNOWN
