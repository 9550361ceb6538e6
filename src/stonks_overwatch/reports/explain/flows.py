"""How contributions are summed."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from django.db.models import Q

from stonks_overwatch.ledger.models import Activity
from stonks_overwatch.reports.booked import booked
from stonks_overwatch.reports.contributions import (
    ContributionGroup,
    ContributionsDocument,
    ContributionTotals,
    Flow,
    contributions,
)
from stonks_overwatch.reports.documents import Rows
from stonks_overwatch.reports.explain.activities import booked_in_base, booked_row
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    Making,
    always,
    base,
    belongs,
    figure,
    own,
    plain,
    reported,
    siblings,
    sum_of,
)
from stonks_overwatch.reports.explain.used import by_ids, prices

REPORTS["contributions"] = lambda arguments, _: contributions(arguments.scope, arguments.start, arguments.end)


def _flows(seen: Seen) -> list[Flow]:
    document: ContributionsDocument = seen.root
    return [flow for flow in reversed(document.flows) if not flow.is_internal]


def _flow_sums(words: str, only: Callable[[Decimal | None], bool]) -> Making:
    def made(seen: Seen) -> Made:
        rows = [flow for flow in _flows(seen) if belongs(flow, seen) and only(flow.amount_base)]
        return _sum(seen, words, rows)

    return made


def _sum(seen: Seen, words: str, rows: list[Flow]) -> Made:
    def inputs_of(some: Sequence[Flow]) -> list[Input]:
        return [
            seen.input(
                f"{flow.kind.replace('_', ' ')} {flow.symbol or ''}".strip(),
                flow.amount_base,
                seen.base,
                "contributions.flows.amount_base",
                key_of(flow),
                as_of=flow.on,
            )
            for flow in some
        ]

    return sum_of(Rows(rows, inputs_of), words, ledger=[by_ids([flow.id for flow in rows])])


for _side in (ContributionGroup, ContributionTotals):
    figure(
        _side,
        "gross_base",
        "Net contribution",
        base,
        "Put in less taken out; transfers inside count nowhere.",
    )(_flow_sums("sum of all flows", always))
    figure(_side, "in_base", "Put in", base)(
        _flow_sums("sum of what was put in", lambda amount: amount is None or amount > 0)
    )
    figure(_side, "out_base", "Taken out", base)(
        _flow_sums("sum of what was taken out", lambda amount: amount is None or amount < 0)
    )
    siblings(
        _side,
        "net_base",
        "Net contribution after taxes on it",
        base,
        "sum",
        (("gross_base", "net contribution", base), ("tax_base", "taxes on it", base)),
        "net contribution + taxes on it",
    )


def _flow_taxes(seen: Seen) -> Made:
    """What of the flows' activities is tax."""
    ids = dict.fromkeys(flow.id for flow in _flows(seen) if belongs(flow, seen))
    keys = {one.split(":", 2)[2] for one in ids}
    rows = booked(seen.reports.accounts, seen.base, Q(key__in=keys) & Q(tax__isnull=False))
    inputs = [
        seen.input("tax", row.in_base(row.tax), seen.base, "activities.activities", row.id, as_of=row.on)
        for row in rows
        if row.tax and row.id in ids
    ]
    return sum_of(inputs, "sum of the taxes booked with the flows", ledger=[by_ids(list(ids))])


for _side in (ContributionGroup, ContributionTotals):
    figure(_side, "tax_base", "Taxes on contributions", base)(_flow_taxes)


@figure(ContributionGroup, "total_base", "Total", base, "Since the beginning of the period.")
def _so_far(seen: Seen) -> Made:
    key = seen.holder.key
    if not seen.path.endswith(("by_month", "by_year")):
        return reported("months and years alone have an order in which they add up")
    rows = [flow for flow in _flows(seen) if flow.on.isoformat()[: len(key)] <= key]
    return _sum(seen, "sum of all flows up to the end of it", rows)


figure(Flow, "quantity", "Quantity", plain)(booked_row)


@figure(Flow, "amount", "Amount", own, "Cash, or the value of what moved on its day.")
def _flow_amount(seen: Seen) -> Made:
    row = seen.holder
    broker, account, key = row.id.split(":", 2)
    moved = Activity.objects.get(account__broker=broker, account__account=account, key=key)
    if row.quantity is None or moved.instrument is None or moved.value is not None or seen.value is None:
        return booked_row(seen)
    paper = moved.instrument
    price = moved.price
    if price is None and row.quantity:
        price = seen.value / (row.quantity * paper.multiplier * paper.quote_factor)
    inputs = [seen.beside("quantity", "quantity", ""), seen.input("price of the day", price, row.currency)]
    if paper.multiplier * paper.quote_factor != 1:
        inputs.append(seen.input("multiplier", paper.multiplier * paper.quote_factor, ""))
    ledger = [by_ids([row.id]), prices(paper.pk, row.on)]
    return Made("product", "quantity × price of the day", inputs, ledger=ledger)


@figure(Flow, "amount_base", "Amount", base, "At the rate of its own day.")
def _flow_base(seen: Seen) -> Made:
    return booked_in_base(seen, seen.beside("amount", "amount", own(seen)), seen.holder.id)
