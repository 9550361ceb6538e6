"""How money that came and went is summed: the figures of activities, income, fees and contributions."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Q

from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.models import Activity
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.activities import ActivitiesDocument, ActivityRow, Filter, every_listed
from stonks_overwatch.reports.booked import booked
from stonks_overwatch.reports.contributions import (
    ContributionGroup,
    ContributionsDocument,
    ContributionTotals,
    Flow,
    contributions,
)
from stonks_overwatch.reports.documents import Document, total
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Arguments, Reports, Seen, Unit
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    at_rate,
    base,
    figure,
    fraction,
    own,
    plain,
    reported,
    siblings,
    sum_of,
)
from stonks_overwatch.reports.explain.used import by_ids
from stonks_overwatch.reports.fees import Charge, FeeGroup, FeesDocument, FeeTotals, fees
from stonks_overwatch.reports.income import (
    YEAR,
    Accrued,
    Expected,
    InstrumentIncome,
    Paid,
    Part,
    Payment,
    Period,
    Row,
    Totals,
    Yield,
    bookings,
    income,
    is_dividend,
)

# Activities


def _activities(arguments: Arguments, _: Reports) -> ActivitiesDocument:
    """The one activity that is asked for: all of them would be too many to look through."""
    if not arguments.rows:
        raise UnknownFigureError(
            "An activity is named by its id.", next_step="Say which one with the argument row."
        )
    found = every_listed(arguments.scope, Filter(id=arguments.rows[0]))
    return ActivitiesDocument(activities=tuple(found))


REPORTS["activities"] = _activities


def _told(seen: Seen) -> Made:
    row: ActivityRow = seen.holder
    where = f"as told by {', '.join(row.sources)}" if row.sources else "as the ledger worked it out"
    return reported(where, [by_ids([row.id])])


def _account_currency(seen: Seen) -> str:
    return seen.account(seen.holder.broker, seen.holder.account).currency


_OF_ACTIVITIES: tuple[tuple[str, str, Unit, str], ...] = (
    ("quantity", "Quantity", plain, "Negative for what left the account."),
    ("price", "Price", own, "Of one unit."),
    ("gross", "Gross amount", own, "Before fees and taxes; positive into the account."),
    ("fee", "Fee", own, "Negative when it was paid."),
    ("tax", "Tax", own, "Negative when it was paid."),
    ("fx_rate", "Booked rate", _account_currency, "Of one unit of the activity's currency."),
)
for _name, _title, _unit, _meaning in _OF_ACTIVITIES:
    figure(ActivityRow, _name, _title, _unit, _meaning)(_told)


@figure(ActivityRow, "net", "Amount", own, "What the activity did to the cash of its currency.")
def _net(seen: Seen) -> Made:
    inputs = [seen.beside(name, name, own(seen)) for name in ("gross", "fee", "tax")]
    if seen.value is None:
        return reported("gross + fee + tax, unknown without a gross amount", inputs=inputs)
    return sum_of(
        inputs, "gross + fee + tax; what no source names is nothing", ledger=[by_ids([seen.holder.id])]
    )


# Income

REPORTS["income"] = lambda arguments, _: income(arguments.scope, arguments.start, arguments.end)

_GROUPS: dict[str, Callable[[Paid, Any], bool]] = {
    "totals": lambda *_: True,
    "by_month": lambda paid, row: paid.row.month == row.key,
    "by_year": lambda paid, row: str(paid.row.on.year) == row.key,
    "by_account": lambda paid, row: paid.row.account.account == row.key,
    "by_currency": lambda paid, row: paid.row.currency == row.key,
    "by_kind": lambda paid, row: paid.kind == row.key,
    "by_instrument": lambda paid, row: (
        (paid.row.account.broker, paid.row.broker_ref) == (row.broker, row.broker_ref)
    ),
}


def _earned(seen: Seen) -> list[Paid]:
    """The bookings that a row sums up."""
    belongs = _GROUPS[seen.path.split(".")[1]]
    asked = seen.arguments
    return [paid for paid in bookings(asked.scope, asked.start, asked.end) if belongs(paid, seen.holder)]


def _booking(seen: Seen, paid: Paid, value: Decimal | None) -> Input:
    row = paid.row
    kind = paid.kind.replace("_", " ")
    text = f"{'tax on ' if row.kind == ActivityKind.TAX else ''}{kind} {row.symbol or ''}".strip()
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


def _of_bookings(
    words: str, amount: Callable[[Paid], Decimal | None], only: Callable[[Paid], bool]
) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        rows = [paid for paid in _earned(seen) if only(paid)]
        inputs = [_booking(seen, paid, amount(paid)) for paid in rows]
        return sum_of(inputs, words, ledger=[by_ids([paid.row.id for paid in rows])])

    return made


def _gross(paid: Paid) -> Decimal | None:
    return paid.amounts.gross


def _known(paid: Paid) -> Decimal | None:
    return total(paid.amounts).value


def _always(_: object) -> bool:
    return True


_EACH_DAY = "Each booking at the rate of its own day."
_TAXED = "Negative; what was withheld."
for _model in (Period, Part, InstrumentIncome, Totals):
    figure(_model, "gross_base", "Gross income", base, _EACH_DAY)(
        _of_bookings("sum of the bookings before tax", _gross, _always)
    )
    figure(_model, "tax_base", "Tax withheld", base, _TAXED)(
        _of_bookings("sum of what was withheld", lambda paid: paid.amounts.tax, _always)
    )
    figure(_model, "net_base", "Net income", base, _EACH_DAY)(
        _of_bookings("sum of the bookings and of what was withheld", _known, _always)
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
        rows = [p for p in bookings(seen.arguments.scope, first, last) if first < p.row.on <= last]
        inputs = [_booking(seen, paid, _known(paid)) for paid in rows]
        return sum_of(inputs, text, ledger=[by_ids([paid.row.id for paid in rows])])

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
    rows = [p for p in bookings(seen.arguments.scope, **asked) if f"{p.row.on:%Y-%m}".startswith(earlier)]
    before = total(amount for paid in rows for amount in paid.amounts).value if rows else Decimal(0)
    inputs = [
        seen.beside("net_base", "net income", seen.base),
        seen.input(
            f"net income of {earlier}", before, seen.base, f"{seen.path}.net_base", earlier, asked=asked
        ),
    ]
    return Made("change", "net income ÷ that of the year before − 1", inputs)


def _part_of(model: type[Document], name: str, of: str, title: str, text: str, meaning: str = "") -> None:
    """A share of the document's totals."""

    @figure(model, name, title, fraction, meaning)
    def made(seen: Seen) -> Made:
        report, rows = seen.path.split(".")
        if rows == "by_instrument":  # not every booking is of an instrument
            whole = total(getattr(row, of) for row in seen.root.by_instrument).value
            of_all = seen.input(f"{text} of all instruments", whole, seen.base)
        else:
            of_all = seen.input(
                f"{text} of all", getattr(seen.root.totals, of), seen.base, f"{report}.totals.{of}"
            )
        inputs = [seen.beside(of, text, seen.base), of_all]
        return Made("quotient", f"{text} ÷ {text} of all", inputs)


_part_of(Part, "share", "net_base", "Share", "net income")


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
    name = seen.field.removesuffix("_base")
    ids = [row.id for row in seen.holder.rows]
    found = {p.row.id: p for p in bookings(seen.arguments.scope, seen.arguments.start, seen.arguments.end)}
    inputs = []
    for one in ids:
        if one in found:
            amounts = found[one].amounts
            value = {"gross": amounts.gross, "tax": amounts.tax}.get(name, _known(found[one]))
            inputs.append(_booking(seen, found[one], value))
    if len(inputs) < len(ids):  # a return of capital is no income
        return Made("computed", "each booking at the rate of its own day", ledger=[by_ids(ids)])
    return sum_of(inputs, "sum of the bookings, each at the rate of its own day", ledger=[by_ids(ids)])


for _name, _title in (("gross_base", "Gross"), ("tax_base", "Tax withheld"), ("net_base", "Net")):
    figure(Payment, _name, _title, base, _EACH_DAY)(_payment_in_base)


def _booked_row(seen: Seen) -> Made:
    return reported("as booked", [by_ids([seen.holder.id])])


def _unit_of_payment(seen: Seen) -> str:
    return str(seen.parents[-1].currency)


figure(Row, "gross", "Gross", _unit_of_payment)(_booked_row)
figure(Row, "tax", "Tax", _unit_of_payment)(_booked_row)


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


def _annual(seen: Seen) -> Made:
    rows = [
        row
        for row in seen.root.payments
        if (row.broker, row.broker_ref) == (seen.holder.broker, seen.holder.broker_ref)
    ]
    inputs = [
        seen.input(
            f"paid on {row.on.isoformat()}",
            row.gross_base,
            seen.base,
            "income.payments.gross_base",
            key_of(row),
        )
        for row in rows
    ]
    return Made(
        "computed",
        "payments of the last 365 days per unit held when they were paid × today's quantity, at today's rate",
        inputs,
        ledger=[by_ids([one.id for row in rows for one in row.rows])],
    )


figure(Yield, "annual_gross_base", "A year, gross", base, "At what is held now.")(_annual)
figure(Yield, "annual_net_base", "A year, net", base, "At what is held now.")(_annual)
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


@figure(Yield, "growth", "Growth", fraction, "Of the payments per unit.")
def _yield_growth(seen: Seen) -> Made:
    inputs = [seen.beside("annual_gross_base", "a year, gross", seen.base)]
    return Made("computed", "payments per unit of the last 365 days ÷ those of the 365 before − 1", inputs)


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
    if seen.holder.status == "declared":
        return reported("as the broker has it in its accruals")
    return Made("computed", "last year's payment of the season per unit × today's quantity, an estimate")


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


def _accrued(_: Seen) -> Made:
    return reported("as the broker reports it with its cash")


for _name, _title in (("dividends", "Declared dividends"), ("interest", "Accrued interest")):
    figure(Accrued, _name, _title, own)(_accrued)
    figure(Accrued, f"{_name}_base", _title, base, "At today's rate.")(_at_todays_rate(_name, _title.lower()))


# Fees and taxes

REPORTS["fees"] = lambda arguments, _: fees(arguments.scope, arguments.start, arguments.end)

_CHARGED: dict[str, Callable[[Charge, Any], bool]] = {
    "totals": lambda *_: True,
    "by_month": lambda charge, row: f"{charge.on:%Y-%m}" == row.key,
    "by_year": lambda charge, row: str(charge.on.year) == row.key,
    "by_kind": lambda charge, row: charge.kind == row.key,
    "by_account": lambda charge, row: charge.account == row.key,
    "by_instrument": lambda charge, row: (charge.symbol or charge.broker_ref) == row.key,
}


def _charges(seen: Seen) -> list[Charge]:
    document: FeesDocument = seen.root
    belongs = _CHARGED[seen.path.split(".")[1]]
    return [charge for charge in reversed(document.charges) if belongs(charge, seen.holder)]


def _of_charges(words: str, only: Callable[[Charge], bool]) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        rows = [charge for charge in _charges(seen) if only(charge)]
        inputs = [
            seen.input(
                f"{charge.kind} {charge.symbol or ''}".strip(),
                charge.amount_base,
                seen.base,
                "fees.charges.amount_base",
                key_of(charge),
                as_of=charge.on,
            )
            for charge in rows
        ]
        return sum_of(inputs, words, ledger=[by_ids([charge.id for charge in rows])])

    return made


for _of_fees in (FeeGroup, FeeTotals):
    figure(_of_fees, "gross_base", "Fees", base, "Negative: what was taken.")(
        _of_charges("sum of the fees", lambda charge: charge.tax == 0)
    )
    figure(_of_fees, "tax_base", "Taxes", base, "Negative: what was taken.")(
        _of_charges("sum of the taxes", lambda charge: charge.fee == 0)
    )
    figure(_of_fees, "net_base", "Fees and taxes", base, "Negative: what was taken.")(
        _of_charges("sum of fees and taxes", _always)
    )
_part_of(FeeGroup, "share", "net_base", "Share", "fees and taxes")


def _over_average(seen: Seen, average: Decimal | None) -> Made:
    taken = seen.holder.net_base
    inputs = [
        seen.input(
            "fees and taxes, without their sign",
            None if taken is None else -taken,
            seen.base,
            f"{seen.path}.net_base",
            *seen.rows,
        ),
        seen.input("average value of the days", average, seen.base, source="the daily values of Performance"),
    ]
    return Made("quotient", "fees and taxes ÷ average value", inputs)


@figure(FeeGroup, "of_value", "Of value", fraction, "Not annualised.")
def _group_of_value(seen: Seen) -> Made:
    return Made(
        "computed",
        "fees and taxes ÷ average value of the days of the period whose value is known",
        [seen.beside("net_base", "fees and taxes", seen.base)],
    )


@figure(FeeTotals, "of_value", "Of the average value", fraction, "Not annualised.")
def _total_of_value(seen: Seen) -> Made:
    return _over_average(seen, seen.holder.average_nav_base)


@figure(FeeTotals, "average_nav_base", "Average value", base)
def _average(seen: Seen) -> Made:
    return Made("computed", f"average value of the {seen.holder.valued_days} days whose value is known")


@figure(FeeTotals, "of_value_yearly", "A year, of the average value", fraction)
def _yearly(seen: Seen) -> Made:
    document: FeesDocument = seen.root
    days = (document.end - document.start).days + 1 if document.start and document.end else 0
    inputs = [
        seen.input(
            "of the average value × 365",
            None if seen.holder.of_value is None else seen.holder.of_value * 365,
            fraction,
        ),
        seen.input("days", Decimal(days), ""),
    ]
    return Made("quotient", "of the average value × 365 ÷ days", inputs)


figure(Charge, "fee", "Fee", own)(_booked_row)
figure(Charge, "tax", "Tax", own)(_booked_row)


def _booked_in_base(seen: Seen, amount: Input, key: str) -> Made:
    """An amount at the rate that was booked with it, else that of its day."""
    broker, account, name = key.split(":", 2)
    holder = seen.account(broker, account)
    row = booked([holder], seen.base, Q(key=name, account=holder))[0]
    fx_rate = Activity.objects.get(account=holder, key=name).fx_rate
    used = seen.rates_used(holder.currency if fx_rate else row.currency, seen.base, row.on)
    source = f"booked: {fx_rate:f} {holder.currency}" if fx_rate and row.currency != seen.base else ""
    return at_rate(seen, amount, row.currency, row.into_base, row.on, used, [by_ids([key])], source)


@figure(Charge, "amount_base", "Charge", base, "At the rate of its own day.")
def _charge(seen: Seen) -> Made:
    name = "tax" if seen.holder.fee == 0 else "fee"
    return _booked_in_base(seen, seen.beside(name, name, own(seen)), seen.holder.id)


# Contributions

REPORTS["contributions"] = lambda arguments, _: contributions(arguments.scope, arguments.start, arguments.end)

_MOVED: dict[str, Callable[[Flow, Any], bool]] = {
    "totals": lambda *_: True,
    "by_month": lambda flow, row: f"{flow.on:%Y-%m}" == row.key,
    "by_year": lambda flow, row: str(flow.on.year) == row.key,
    "by_kind": lambda flow, row: flow.kind == row.key,
    "by_account": lambda flow, row: flow.account == row.key,
    "by_instrument": lambda flow, row: (flow.symbol or flow.broker_ref) == row.key,
}


def _flows(seen: Seen, belongs: Callable[[Flow, Any], bool]) -> list[Flow]:
    document: ContributionsDocument = seen.root
    return [flow for flow in reversed(document.flows) if not flow.is_internal and belongs(flow, seen.holder)]


def _flow_sums(words: str, only: Callable[[Decimal | None], bool]) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return _sum_flow_sums(seen, words, _MOVED[seen.path.split(".")[1]], only)

    return made


def _sum_flow_sums(
    seen: Seen, words: str, belongs: Callable[[Flow, Any], bool], only: Callable[[Decimal | None], bool]
) -> Made:
    rows = [flow for flow in _flows(seen, belongs) if only(flow.amount_base)]
    inputs = [
        seen.input(
            f"{flow.kind.replace('_', ' ')} {flow.symbol or ''}".strip(),
            flow.amount_base,
            seen.base,
            "contributions.flows.amount_base",
            key_of(flow),
            as_of=flow.on,
        )
        for flow in rows
    ]
    return sum_of(inputs, words, ledger=[by_ids([flow.id for flow in rows])])


for _side in (ContributionGroup, ContributionTotals):
    figure(
        _side,
        "gross_base",
        "Net contribution",
        base,
        "Put in less taken out; transfers inside count nowhere.",
    )(_flow_sums("sum of all flows", _always))
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

    @figure(_side, "tax_base", "Taxes on contributions", base)
    def _flow_taxes(seen: Seen) -> Made:
        rows = _flows(seen, _MOVED[seen.path.split(".")[1]])
        return Made(
            "computed", "sum of the taxes booked with the flows", ledger=[by_ids([f.id for f in rows])]
        )


@figure(ContributionGroup, "total_base", "Total", base, "Since the beginning of the period.")
def _so_far(seen: Seen) -> Made:
    length = len(seen.holder.key)
    return _sum_flow_sums(
        seen,
        "sum of all flows up to the end of it",
        lambda flow, row: f"{flow.on:%Y-%m}"[:length] <= row.key,
        _always,
    )


@figure(Flow, "quantity", "Quantity", plain)
def _flow_quantity(seen: Seen) -> Made:
    return _booked_row(seen)


@figure(Flow, "amount", "Amount", own, "Cash, or the value of what moved on its day.")
def _flow_amount(seen: Seen) -> Made:
    if seen.holder.quantity is None:
        return _booked_row(seen)
    return Made(
        "computed",
        "the value that the broker told, else quantity × the price of the day",
        [seen.beside("quantity", "quantity", "")],
        ledger=[by_ids([seen.holder.id])],
    )


@figure(Flow, "amount_base", "Amount", base, "At the rate of its own day.")
def _flow_base(seen: Seen) -> Made:
    return _booked_in_base(seen, seen.beside("amount", "amount", own(seen)), seen.holder.id)
