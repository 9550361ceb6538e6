"""How income is summed, and what is expected."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Q

from stonks_overwatch.ledger.models import Activity, Instrument
from stonks_overwatch.reports.booked import Booked, booked, booked_of, year_before
from stonks_overwatch.reports.documents import Rows, total
from stonks_overwatch.reports.earned import Paid, is_dividend
from stonks_overwatch.reports.explain.activities import booked_row
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    always,
    at_rate,
    base,
    estimated,
    figure,
    formula,
    fraction,
    own,
    part_of,
    reported,
    siblings,
    sum_of,
)
from stonks_overwatch.reports.explain.used import by_ids, by_numbers
from stonks_overwatch.reports.income import (
    YEAR,
    Accrued,
    Expected,
    InstrumentIncome,
    Part,
    Payment,
    Period,
    Row,
    Totals,
    Yield,
    bookings,
    income,
    payments_of,
)

REPORTS["income"] = lambda arguments, _: income(arguments.scope, arguments.start, arguments.end)


def _of_instrument(row: InstrumentIncome) -> Callable[[Paid], bool]:
    same = Instrument.objects.filter(broker=row.broker, broker_ref=row.broker_ref)
    pks = set(same.values_list("pk", flat=True))
    return lambda paid: paid.instrument_id in pks


_GROUPS: dict[str, Callable[[Any], Callable[[Paid], bool]]] = {
    "totals": lambda _: always,
    "by_month": lambda row: lambda paid: paid.month == row.key,
    "by_year": lambda row: lambda paid: paid.month[:4] == row.key,
    "by_account": lambda row: lambda paid: paid.account.account == row.key,
    "by_currency": lambda row: lambda paid: paid.currency == row.key,
    "by_kind": lambda row: lambda paid: paid.kind == row.key,
    "by_instrument": _of_instrument,
}


def _earned(seen: Seen) -> list[Paid]:
    """The bookings that a row sums up."""
    belongs = _GROUPS[seen.path.split(".")[1]](seen.holder)
    asked = seen.arguments
    return [paid for paid in bookings(asked.scope, asked.start, asked.end) if belongs(paid)]


def _activities(seen: Seen, rows: Sequence[Paid]) -> list[Booked]:
    """What was booked, in the order of the rows; what is gone meanwhile is left out."""
    wanted = Activity.objects.filter(pk__in=[paid.pk for paid in rows])
    holders = {account.pk: account for account in seen.reports.accounts}
    found = {row.pk: row for row in booked_of(holders, seen.base, wanted)}
    return [found[paid.pk] for paid in rows if paid.pk in found]


def _booking(seen: Seen, row: Booked, paid: Paid, value: Decimal | None) -> Input:
    kind = paid.kind.replace("_", " ")
    text = f"{'tax on ' if paid.is_tax else ''}{kind} {row.symbol or ''}".strip()
    source = f"{row.currency} at {row.into_base:f}" if row.into_base not in (None, 1) else ""
    return seen.input(
        f"{text} in {row.account.account}",
        value,
        seen.base,
        "activities.activities",
        row.id,
        as_of=row.on,
        source=source,
    )


def _sum_of_bookings(
    seen: Seen, rows: Sequence[Paid], amount: Callable[[Paid], Decimal | None], words: str
) -> Made:
    def made(some: Sequence[Paid]) -> list[Input]:
        of = {paid.pk: paid for paid in some}
        return [_booking(seen, row, of[row.pk], amount(of[row.pk])) for row in _activities(seen, some)]

    # There may be thousands: those that are not shown are not read as a whole, nor written out.
    return sum_of(Rows(rows, made), words, ledger=[by_numbers([paid.pk for paid in rows])])


def _of_bookings(
    words: str, amount: Callable[[Paid], Decimal | None], only: Callable[[Paid], bool]
) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return _sum_of_bookings(seen, [paid for paid in _earned(seen) if only(paid)], amount, words)

    return made


def _gross(paid: Paid) -> Decimal | None:
    return paid.amounts.gross


def _known(paid: Paid) -> Decimal | None:
    return total(paid.amounts).value


_EACH_DAY = "Each booking at the rate of its own day."
_TAXED = "Negative; what was withheld."
for _model in (Period, Part, InstrumentIncome, Totals):
    figure(_model, "gross_base", "Gross income", base, _EACH_DAY)(
        _of_bookings("sum of the bookings before tax", _gross, always)
    )
    figure(_model, "tax_base", "Tax withheld", base, _TAXED)(
        _of_bookings("sum of what was withheld", lambda paid: paid.amounts.tax, always)
    )
    figure(_model, "net_base", "Net income", base, _EACH_DAY)(
        _of_bookings("sum of the bookings and of what was withheld", _known, always)
    )
for _model in (Period, Totals):
    figure(_model, "dividends_base", "Dividends", base, "Gross, and what stands for dividends.")(
        _of_bookings("sum of the dividends before tax", _gross, lambda paid: is_dividend(paid.kind))
    )
figure(Period, "interest_base", "Interest", base, "Received and paid.")(
    _of_bookings("sum of the interest before tax", _gross, lambda paid: not is_dividend(paid.kind))
)
figure(Totals, "interest_received_base", "Interest received", base)(
    _of_bookings(
        "sum of the interest received, before tax",
        _gross,
        lambda paid: not is_dividend(paid.kind) and (paid.amounts.gross is None or paid.amounts.gross > 0),
    )
)
figure(Totals, "interest_paid_base", "Interest paid", base)(
    _of_bookings(
        "sum of the interest paid",
        _gross,
        lambda paid: not is_dividend(paid.kind) and (paid.amounts.gross is None or paid.amounts.gross < 0),
    )
)


def _payments_of(seen: Seen, kind: str) -> list[Payment]:
    return [row for row in seen.root.payments if row.kind == kind]


@figure(Totals, "return_of_capital_base", "Return of capital", base, "No income: money back that was put in.")
def _returned(seen: Seen) -> Made:
    inputs = [
        seen.input(
            row.symbol or row.kind,
            row.net_base,
            seen.base,
            "income.payments.net_base",
            key_of(row),
            as_of=row.on,
        )
        for row in _payments_of(seen, "return_of_capital")
    ]
    return sum_of(inputs, "sum of what was returned")


def _of_other_period(text: str, years: int) -> Callable[[Seen], Made]:
    """The net income of the 365 days before the report's last one, or of those before them."""

    def made(seen: Seen) -> Made:
        end = seen.root.end
        last = end if years == 1 else end - YEAR
        first = last - YEAR
        rows = [p for p in bookings(seen.arguments.scope, first, last) if first < p.on <= last]
        return _sum_of_bookings(seen, rows, _known, text)

    return made


figure(Totals, "trailing_net_base", "Net income of 12 months", base)(
    _of_other_period("sum of the bookings of the last 365 days", 1)
)
figure(Totals, "previous_net_base", "Net income of the 12 months before", base)(
    _of_other_period("sum of the bookings of the 365 days before the last 365", 2)
)
siblings(
    Totals,
    "growth",
    "Growth",
    fraction,
    "change",
    (("trailing_net_base", "net income of 12 months", base), ("previous_net_base", "of the 12 before", base)),
    "net income of 12 months ÷ that of the 12 before − 1",
)


@figure(Period, "growth", "Year on year", fraction, "Against the same period of the year before.")
def _growth(seen: Seen) -> Made:
    key = seen.holder.key
    earlier = f"{int(key[:4]) - 1}{key[4:]}"
    asked = {"start": date(int(earlier[:4]), 1, 1), "end": date(int(earlier[:4]), 12, 31)}
    rows = [p for p in bookings(seen.arguments.scope, **asked) if p.month.startswith(earlier)]
    before = total(amount for paid in rows for amount in paid.amounts).value if rows else Decimal(0)
    inputs = [
        seen.beside("net_base", "net income", seen.base),
        seen.input(
            f"net income of {earlier}",
            before,
            seen.base,
            f"{seen.path}.net_base" if rows else "",
            earlier,
            asked=asked,
        ),
    ]
    return Made("change", "net income ÷ that of the year before − 1", inputs)


part_of(Part, "share", "net_base", "Share", "net income")


def _of_rows(name: str, words: str) -> Callable[[Seen], Made]:
    """A payment's amount in its own currency: the sum of its bookings."""

    def made(seen: Seen) -> Made:
        rows: Sequence[Row] = seen.holder.rows
        values = [
            (row, total((row.gross, row.tax)).value if name == "net" else getattr(row, name)) for row in rows
        ]
        inputs = [
            seen.input(
                f"{row.kind} of {row.on.isoformat()}", value, own(seen), "activities.activities", row.id
            )
            for row, value in values
        ]
        return sum_of(inputs, words, ledger=[by_ids([row.id for row in rows])])

    return made


for _name, _title in (("gross", "Gross"), ("tax", "Tax withheld"), ("net", "Net")):
    figure(Payment, _name, _title, own, "Net of what was taken back and booked again.")(
        _of_rows(_name, "sum of the bookings of the payment")
    )


def _payment_in_base(seen: Seen) -> Made:
    name, payment = seen.field.removesuffix("_base"), seen.holder
    account = seen.account(payment.broker, payment.account)
    ids = [row.id for row in payment.rows]
    keys = [one.split(":", 2)[2] for one in ids]
    found = {row.id: row for row in booked([account], seen.base, Q(key__in=keys))}
    inputs = []
    for row in payment.rows:
        amounts = {"gross": row.gross, "tax": row.tax}
        value = amounts[name] if name in amounts else total((row.gross, row.tax)).value
        one = found[row.id]
        source = f"{one.currency} at {one.into_base:f}" if one.into_base not in (None, 1) else ""
        text = f"{row.kind} of {row.on.isoformat()}"
        told = one.in_base(value)
        inputs.append(
            seen.input(text, told, seen.base, "activities.activities", row.id, as_of=row.on, source=source)
        )
    return sum_of(inputs, "sum of the bookings, each at the rate of its own day", ledger=[by_ids(ids)])


for _name, _title in (("gross_base", "Gross"), ("tax_base", "Tax withheld"), ("net_base", "Net")):
    figure(Payment, _name, _title, base, _EACH_DAY)(_payment_in_base)


def _unit_of_payment(seen: Seen) -> str:
    return str(seen.parents[-1].currency)


figure(Row, "gross", "Gross", _unit_of_payment)(booked_row)
figure(Row, "tax", "Tax", _unit_of_payment)(booked_row)


def _position_sum(seen: Seen, name: str) -> list[Input]:
    rows = [
        row
        for row in seen.valued.document.holdings
        if (row.broker, row.broker_ref) == (seen.holder.broker, seen.holder.broker_ref)
    ]
    return [
        seen.input(
            f"in {row.account}", getattr(row, name), seen.base, f"holdings.holdings.{name}", key_of(row)
        )
        for row in rows
    ]


for _name, _title in (("market_value_base", "Value"), ("cost_basis_base", "Cost")):

    def _held(seen: Seen, name: str = _name) -> Made:
        return sum_of(_position_sum(seen, name), "sum over the accounts")

    figure(Yield, _name, _title, base)(_held)


def _annual(*parts: str) -> Callable[[Seen], Made]:
    """The payments of the last 365 days at what is held now."""

    def made(seen: Seen) -> Made:
        inputs = []
        rows = payments_of(seen.arguments.scope, seen.holder.broker, seen.holder.broker_ref).this_year
        booked = _activities(seen, [one.paid for one in rows])
        for one, row in zip(rows, booked, strict=True):
            values = [getattr(one, name) for name in parts]
            value = None if None in values else sum(values, Decimal(0))
            source = f"{row.currency}, {one.scale:.6g} times the units held then" if one.scale else ""
            text = f"paid in {row.account.account}"
            where = ("activities.activities", row.id)
            inputs.append(seen.input(text, value, seen.base, *where, as_of=row.on, source=source))
        words = "payments of the last 365 days × units now for one then, at today's rate"
        return sum_of(inputs, words, ledger=[by_numbers([row.pk for row in booked])])

    return made


figure(Yield, "annual_gross_base", "A year, gross", base, "At what is held now.")(_annual("gross_base"))
figure(Yield, "annual_net_base", "A year, net", base, "At what is held now.")(
    _annual("gross_base", "tax_base")
)
siblings(
    Yield,
    "trailing_yield",
    "Yield",
    fraction,
    "quotient",
    (("annual_gross_base", "a year, gross", base), ("market_value_base", "value", base)),
    "a year's payments ÷ value",
)
siblings(
    Yield,
    "yield_on_cost",
    "Yield on cost",
    fraction,
    "quotient",
    (("annual_gross_base", "a year, gross", base), ("cost_basis_base", "cost", base)),
    "a year's payments ÷ cost",
)


@figure(Yield, "growth", "Growth", fraction, "Of the payments per unit, at what is held now.")
def _yield_growth(seen: Seen) -> Made:
    rows = payments_of(seen.arguments.scope, seen.holder.broker, seen.holder.broker_ref)
    before = total(one.gross_base for one in rows.before)
    inputs = [
        seen.beside("annual_gross_base", "payments of the last 365 days", seen.base),
        seen.input("of the 365 before", None if before.unknown else before.value, seen.base),
    ]
    ledger = [by_numbers([one.paid.pk for one in rows.before])]
    words = "payments of the last 365 days ÷ those of the 365 before − 1"
    if seen.value is None:
        return Made("change", words, ledger=ledger, note="Unknown: the two years have not as many payments.")
    return Made("change", words, inputs, ledger=ledger)


@figure(Totals, "annual_gross_base", "A year, gross", base, "Payments of a year at what is held now.")
def _annual_total(seen: Seen) -> Made:
    inputs = [
        seen.input(
            row.symbol, row.annual_gross_base, seen.base, "income.holdings.annual_gross_base", key_of(row)
        )
        for row in seen.root.holdings
    ]
    return sum_of(inputs, "sum over what is held")


@figure(Totals, "trailing_yield", "Yield", fraction)
def _total_yield(seen: Seen) -> Made:
    inputs = [
        seen.beside("annual_gross_base", "a year, gross", seen.base),
        seen.input(
            "total value", seen.valued.document.totals.nav_base, seen.base, "holdings.totals.nav_base"
        ),
    ]
    return Made("quotient", "a year's payments ÷ total value", inputs)


@figure(Totals, "yield_on_cost", "Yield on cost", fraction)
def _total_yield_on_cost(seen: Seen) -> Made:
    cost = total(row.cost_basis_base for row in seen.valued.document.holdings).value
    inputs = [
        seen.beside("annual_gross_base", "a year, gross", seen.base),
        seen.input("cost of everything held", cost, seen.base),
    ]
    return Made("quotient", "a year's payments ÷ cost", inputs)


def _expected(seen: Seen) -> Made:
    row = seen.holder
    if row.status == "declared":
        return reported("as the broker has it in its accruals")
    rows = payments_of(seen.arguments.scope, row.broker, row.broker_ref)
    of = [
        one
        for one in rows.this_year
        if one.paid.account.account == row.account and year_before(one.paid.on, -1) == row.on
    ]
    booked = _activities(seen, [one.paid for one in of])
    inputs = [
        seen.input(
            "paid a year before",
            getattr(one.paid, seen.field),
            row.currency,
            "activities.activities",
            paid.id,
            as_of=paid.on,
        )
        for one, paid in zip(of, booked, strict=True)
    ]
    scale = of[0].scale if of else None
    inputs.append(seen.input("units now for one then", scale, ""))
    words = "Σ paid a year before × units now for one then"
    return formula(words, inputs, ledger=[by_numbers([paid.pk for paid in booked])])


for _name, _title in (("gross", "Gross"), ("tax", "Tax")):
    figure(Expected, _name, _title, own)(_expected)


@figure(Expected, "net", "Net", own)
def _expected_net(seen: Seen) -> Made:
    inputs = [seen.beside("gross", "gross", own(seen)), seen.beside("tax", "tax", own(seen))]
    if seen.value is not None and total(one.value for one in inputs).value == seen.value:
        return sum_of(inputs, "gross + tax")
    return reported("as the broker has it in its accruals", inputs=inputs)


def _at_todays_rate(name: str, text: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        amount = getattr(seen.holder, name)
        broker = getattr(seen.holder, "broker", None)
        account = seen.account(broker, seen.holder.account)
        on = seen.valued.state.days[account.pk]
        currency = own(seen)
        rates = seen.rates_used(currency, seen.base, on)
        factor = seen.reports.rates(on, on).rate(currency, seen.base, on)
        told = seen.input(text, amount, currency, f"{seen.path}.{name}", *seen.rows)
        return at_rate(seen, told, currency, factor, on, rates)

    return made


figure(Expected, "net_base", "Net", base, "At today's rate.")(_at_todays_rate("net", "net"))
estimated(
    Expected,
    ("gross", "tax", "net", "net_base"),
    lambda seen: seen.holder.status == "estimated",
    "nobody declared it; it is the payment of a year before.",
)


def _accrued(_: Seen) -> Made:
    return reported("as the broker reports it with its cash")


for _name, _title in (("dividends", "Declared dividends"), ("interest", "Accrued interest")):
    figure(Accrued, _name, _title, own)(_accrued)
    figure(Accrued, f"{_name}_base", _title, base, "At today's rate.")(_at_todays_rate(_name, _title.lower()))
