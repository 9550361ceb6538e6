"""How a sale that has not happened comes about."""

from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.reports.documents import PERCENT
from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen, Unit, unit_of
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.lots import RATE_GUESSED
from stonks_overwatch.reports.explain.told import (
    Making,
    base,
    column,
    estimated,
    figure,
    formula,
    marked,
    plain,
    reported,
    siblings,
    sum_of,
)
from stonks_overwatch.reports.lots import LotRow, Outcome, Sold, WhatIfDocument, lots, what_if


def _what_if(arguments: Arguments, _: Reports) -> WhatIfDocument:
    paper = Instrument.objects.filter(pk=arguments.instrument or 0).first()
    if paper is None:
        raise UnknownFigureError(
            "A sale is of an instrument, named by its number.",
            next_step="Say which one with the argument instrument.",
        )
    return what_if(arguments.scope, paper.broker_ref, arguments.sell, arguments.at, arguments.lot)


REPORTS["what_if"] = _what_if


def _own(seen: Seen) -> str:
    return str(seen.root.currency)


def _quoted(seen: Seen) -> str:
    """The unit of the price: the currency, or nothing for percent of face."""
    return plain if seen.root.quoted_in == PERCENT else _own(seen)


def _asked(_: Seen) -> Made:
    return reported("as it was asked; without a price the last one of the position")


figure(WhatIfDocument, "quantity", "Quantity", plain)(_asked)
figure(WhatIfDocument, "price", "Price", _quoted)(_asked)


@figure(Outcome, "proceeds", "Proceeds", _own, "Before commission.")
def _proceeds(seen: Seen) -> Made:
    sale = seen.root
    paper = Instrument.objects.get(pk=seen.arguments.instrument or 0)
    inputs = [
        seen.input("quantity", sale.quantity, "", "what_if.quantity"),
        seen.input("price", sale.price, _quoted(seen), "what_if.price"),
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


def _open(seen: Seen) -> list[LotRow]:
    """The lots that are open now, of the position that the sale is of."""
    sale = seen.root
    rows = lots(seen.arguments.scope, instrument=seen.arguments.instrument).lots
    position = (sale.broker, sale.account, sale.broker_ref)
    return [row for row in rows if (row.broker, row.account, row.broker_ref) == position]


def _of_lot(seen: Seen, row: LotRow, name: str, text: str, unit: str) -> Input:
    return seen.input(text, getattr(row, name), unit, f"lots.lots.{name}", key_of(row))


@figure(Sold, "quantity", "Quantity", plain)
def _quantity(seen: Seen) -> Made:
    """All of the lot, or what the sale still wants when it comes to it."""
    sold, outcome = seen.holder, seen.parents[-1]
    (lot,) = (row for row in _open(seen) if row.opened_by == sold.opened_by)
    whole = _of_lot(seen, lot, "quantity", "quantity of the lot", "")
    if sold.quantity == lot.quantity:
        return sum_of([whole], f"all of the lot; their order is that of the method {outcome.method}")
    before = outcome.sold[: outcome.sold.index(sold)]
    inputs = [seen.input("quantity of the sale", seen.root.quantity, "", "what_if.quantity")]
    inputs += [seen.input("of lots before it", row.quantity, "", as_of=row.acquired_on) for row in before]
    words = f"what the sale takes after the lots that come before it by the method {outcome.method}"
    return Made("difference", words, inputs)


def _cost_of(name: str, unit: Unit) -> Making:
    """The taken part of what the lot cost; of all lots together where each unit costs the same."""

    def made(seen: Seen) -> Made:
        sold = seen.holder
        rows = _open(seen)
        if seen.parents[-1].method is not Method.AVERAGE:
            rows = [row for row in rows if row.opened_by == sold.opened_by]
        inputs = [_of_lot(seen, row, name, "cost of a lot", unit_of(unit, seen)) for row in rows]
        inputs.append(seen.beside("quantity", "quantity", ""))
        inputs += [_of_lot(seen, row, "quantity", "units of a lot", "") for row in rows]
        return formula("Σ cost of a lot × quantity ÷ Σ units of a lot", inputs)

    return made


figure(Sold, "cost", "Cost", _own, "With commissions.")(_cost_of("cost", _own))


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
    cost = _cost_of("cost_base", base)(seen)
    inputs = [
        seen.beside("proceeds", "proceeds", _own(seen)),
        seen.input("rate", rate, "", as_of=on, source=f"{seen.base} for one {sale.currency}"),
        *cost.inputs,
    ]
    rates = seen.rates_used(sale.currency, seen.base, on)
    return formula(f"proceeds × rate − {cost.formula}", inputs, rates)


for _model in (Sold, Outcome):
    estimated(_model, ("gain_base",), marked, RATE_GUESSED)
