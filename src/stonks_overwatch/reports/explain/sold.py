"""How a sale that has not happened comes about."""

from decimal import Decimal

from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.reports.explain.documents import Made
from stonks_overwatch.reports.explain.finding import REPORTS, Arguments, Reports, Seen
from stonks_overwatch.reports.explain.lots import RATE_GUESSED
from stonks_overwatch.reports.explain.told import (
    base,
    column,
    estimated,
    figure,
    formula,
    marked,
    plain,
    reported,
    siblings,
)
from stonks_overwatch.reports.lots import Outcome, Sold, WhatIfDocument, what_if


def _what_if(arguments: Arguments, _: Reports) -> WhatIfDocument:
    paper = Instrument.objects.filter(pk=arguments.instrument or 0).first()
    if paper is None:
        raise UnknownFigureError(
            "A sale is of an instrument, named by its number.",
            next_step="Say which one with the argument instrument.",
        )
    return what_if(arguments.scope, paper.broker_ref, arguments.sell, arguments.at)


REPORTS["what_if"] = _what_if


def _own(seen: Seen) -> str:
    return str(seen.root.currency)


def _asked(_: Seen) -> Made:
    return reported("as it was asked; without a price the last one of the position")


figure(WhatIfDocument, "quantity", "Quantity", plain)(_asked)
figure(WhatIfDocument, "price", "Price", _own)(_asked)


@figure(Outcome, "proceeds", "Proceeds", _own, "Before commission.")
def _proceeds(seen: Seen) -> Made:
    sale = seen.root
    paper = Instrument.objects.get(pk=seen.arguments.instrument or 0)
    inputs = [
        seen.input("quantity", sale.quantity, "", "what_if.quantity"),
        seen.input("price", sale.price, sale.currency, "what_if.price"),
    ]
    if paper.multiplier * paper.quote_factor != 1:
        inputs.append(seen.input("multiplier", paper.multiplier * paper.quote_factor, ""))
    return Made("product", " × ".join(one.name for one in inputs), inputs)


def _lot(row: Sold) -> str:
    return f"{row.quantity:f} of {row.acquired_on or 'an unknown day'}"


for _name, _title, _unit in (("cost", "Cost", _own), ("gain", "Gain", _own), ("gain_base", "Gain", base)):
    figure(Outcome, _name, _title, _unit)(
        column(
            lambda seen: seen.holder.sold,
            _name,
            "what_if.outcomes.sold",
            "sum of the lots",
            _unit,
            named=_lot,
        )
    )


def _by_method(seen: Seen) -> Made:
    return reported(f"what the sale takes of the lot, by the method {seen.parents[-1].method}")


figure(Sold, "quantity", "Quantity", plain)(_by_method)


@figure(Sold, "cost", "Cost", _own, "With commissions.")
def _cost(seen: Seen) -> Made:
    return reported(f"the taken part of what the lot cost, by the method {seen.parents[-1].method}")


@figure(Sold, "proceeds", "Proceeds", _own)
def _part(seen: Seen) -> Made:
    outcome = seen.parents[-1]
    inputs = [
        seen.input(
            "proceeds of all", outcome.proceeds, _own(seen), "what_if.outcomes.proceeds", outcome.method
        ),
        seen.beside("quantity", "quantity", ""),
        seen.input("quantity of all", seen.root.quantity, "", "what_if.quantity"),
    ]
    return formula("proceeds of all × quantity ÷ quantity of all", inputs)


siblings(
    Sold,
    "gain",
    "Gain",
    _own,
    "difference",
    (("proceeds", "proceeds", _own), ("cost", "cost", _own)),
    "proceeds − cost",
)


@figure(Sold, "gain_base", "Gain", base, "The proceeds at today's rate, the cost at the rates of its days.")
def _gain(seen: Seen) -> Made:
    sale = seen.root
    account = seen.account(sale.broker, sale.account)
    on = seen.valued.state.days[account.pk]
    rate = seen.reports.rates(on, on).rate(sale.currency, seen.base, on)
    brought = None if seen.holder.proceeds is None or rate is None else seen.holder.proceeds * rate
    cost = None if brought is None or seen.value is None else brought - seen.value
    source = "" if rate in (None, Decimal(1)) else f"at {rate:f}"
    inputs = [
        seen.input("proceeds", brought, seen.base, as_of=on, source=source),
        seen.input("cost", cost, seen.base),
    ]
    return Made("difference", "proceeds − cost", inputs, seen.rates_used(sale.currency, seen.base, on))


for _model in (Sold, Outcome):
    estimated(_model, ("gain_base",), marked, RATE_GUESSED)
