"""How the portfolio is spread: the figures of diversification, exposures, targets and cash over time."""

from collections.abc import Callable, Iterable
from typing import Any

from stonks_overwatch.ledger.models import CashBalance
from stonks_overwatch.reports import balances, diversification, exposures, targets
from stonks_overwatch.reports.combined import combined
from stonks_overwatch.reports.documents import Document, total
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Arguments, Reports, Seen, Unit, by_of, unit_of
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
from stonks_overwatch.reports.explain.used import balances as balance_rows
from stonks_overwatch.reports.explain.used import money

REPORTS["diversification"] = lambda a, _: diversification.diversification(a.scope, by_of(a))
REPORTS["exposures"] = lambda a, _: exposures.exposures(a.scope, a.rate)
REPORTS["cash"] = lambda a, _: balances.cash_over_time(a.scope, a.start, a.end)


def _targets(arguments: Arguments, _: Reports) -> Document:
    by: targets.GroupBy = next((name for name in targets.GROUPS if name == arguments.by), "asset_class")
    return targets.targets(
        arguments.scope,
        by,
        arguments.money,
        two_sided=arguments.two_sided,
        minimum=arguments.minimum,
    )


REPORTS["targets"] = _targets


def _nav(seen: Seen) -> Input:
    return seen.input(
        "total value", seen.valued.document.totals.nav_base, seen.base, "holdings.totals.nav_base"
    )


def _over_nav(name: str, text: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return Made("quotient", f"{text} ÷ total value", [seen.beside(name, text, seen.base), _nav(seen)])

    return made


def _total_value(seen: Seen) -> Made:
    return sum_of([_nav(seen)], "the total value")


def _sum(
    rows: Callable[[Seen], Iterable[Any]], name: str, where: str, words: str, unit: Unit = base
) -> Callable[[Seen], Made]:
    """A column summed over rows of the report, whatever list they stand in."""

    def made(seen: Seen) -> Made:
        inputs = [
            seen.input(
                _named(row),
                getattr(row, name),
                unit_of(unit, seen),
                f"{where}.{name}",
                *_inside(seen, where),
                key_of(row),
            )
            for row in rows(seen)
        ]
        return sum_of(inputs, words)

    return made


def _inside(seen: Seen, where: str) -> tuple[str, ...]:
    """The keys of the lists above the rows, where the rows stand in the figure's own row."""
    return seen.rows if where.startswith(f"{seen.path}.") else ()


def _named(row: Any) -> str:
    for name in ("name", "symbol", "underlying", "key", "asset_class", "account"):
        if getattr(row, name, None):
            return str(getattr(row, name))
    return key_of(row)


# Diversification

_Group, _Member = diversification.Group, diversification.Member
figure(_Group, "value_base", "Value", base, "Signed: a short position or a loan lowers it.")(
    _sum(
        lambda seen: seen.holder.members, "value_base", "diversification.groups.members", "sum of its members"
    )
)
figure(_Group, "weight", "Weight", fraction)(_over_nav("value_base", "value"))
figure(_Member, "weight", "Weight", fraction)(_over_nav("value_base", "value"))


@figure(_Member, "value_base", "Value", base)
def _member(seen: Seen) -> Made:
    row = seen.holder
    if row.broker_ref is None:
        parts = [
            part
            for of in seen.valued.parts.values()
            for part in of
            if part.what != "position" and part.currency == row.symbol and part.asset_class == row.asset_class
        ]
        inputs = [
            seen.input(f"{part.what} in {part.account.account}", part.amount_base, seen.base)
            for part in parts
        ]
        return Made("computed", "sum over the accounts of the group", inputs)
    held = [
        one
        for one in seen.valued.document.holdings
        if (one.broker, one.broker_ref) == (row.broker, row.broker_ref)
    ]
    where = "holdings.holdings.market_value_base"
    inputs = [
        seen.input(f"in {one.account}", one.market_value_base, seen.base, where, key_of(one)) for one in held
    ]
    if seen.arguments.by in ("account", "broker"):
        return Made("computed", "the value of the position in the accounts of the group", inputs)
    return sum_of(inputs, "sum over the accounts")


figure(diversification.DiversificationDocument, "total_base", "Total value", base)(_total_value)


@figure(diversification.DiversificationDocument, "unknown_weight", "Not known", fraction)
def _unknown_weight(seen: Seen) -> Made:
    found = [group for group in seen.holder.groups if group.key == diversification.UNKNOWN]
    inputs = [
        seen.input("unknown", group.weight, fraction, "diversification.groups.weight", group.key)
        for group in found
    ]
    return sum_of(inputs, "weight of the group that is not known")


def _concentration(formula: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        document = seen.parents[-1]
        of_groups = seen.path.endswith("by_group")
        rows = list(document.groups) if of_groups else []
        inputs = [
            seen.input(row.key, row.value_base, seen.base, "diversification.groups.value_base", row.key)
            for row in rows
        ]
        if not of_groups:
            inputs = [
                seen.input(
                    row.symbol,
                    row.market_value_base,
                    seen.base,
                    "holdings.combined.market_value_base",
                    key_of(row),
                )
                for row in combined(seen.valued.document.holdings)
            ]
        return Made("computed", formula, inputs)

    return made


_SHARE = "share = size of a value ÷ sum of all sizes"
for _name, _title, _unit, _words in (
    ("herfindahl", "Herfindahl index", plain, f"Σ share²; {_SHARE}"),
    ("effective", "As many equal ones", plain, f"1 ÷ Σ share²; {_SHARE}"),
    ("largest", "Largest", fraction, f"the largest share; {_SHARE}"),
    ("top_10", "Ten largest", fraction, f"sum of the ten largest shares; {_SHARE}"),
):
    figure(diversification.Concentration, _name, _title, _unit)(_concentration(_words))


# Exposures

_Totals, _Class, _Under = exposures.Totals, exposures.ClassExposure, exposures.Underlying


def _classes(seen: Seen) -> Iterable[Any]:
    return seen.root.by_class  # type: ignore[no-any-return]


figure(_Totals, "nav_base", "Total value", base)(_total_value)
for _name, _title in (
    ("long_base", "Long"),
    ("short_base", "Short"),
    ("gross_base", "Gross exposure"),
    ("net_base", "Net exposure"),
):
    figure(_Totals, _name, _title, base)(
        _sum(_classes, _name, "exposures.by_class", "sum over the asset classes")
    )
for _name, _title, _field in (
    ("leverage", "Leverage", "gross_base"),
    ("net_weight", "Net exposure of the value", "net_base"),
):

    def _per_nav(seen: Seen, name: str = _field) -> Made:
        text = "gross exposure" if name == "gross_base" else "net exposure"
        return Made("quotient", f"{text} ÷ total value", [seen.beside(name, text, seen.base), _nav(seen)])

    figure(_Totals, _name, _title, fraction)(_per_nav)
figure(_Totals, "futures_notional_base", "Notional of futures", base)(
    _sum(lambda seen: seen.root.futures, "notional_base", "exposures.futures", "sum of the futures")
)
figure(_Totals, "options_base", "Exposure of options", base)(
    _sum(
        lambda seen: seen.root.options,
        "delta_base",
        "exposures.options",
        "sum of the options' delta exposures",
    )
)


def _of_class(words: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        rows = [row for row in seen.valued.document.holdings if row.asset_class == seen.holder.asset_class]
        where = "holdings.holdings.exposure_base"
        inputs = [seen.input(row.symbol, row.exposure_base, seen.base, where, key_of(row)) for row in rows]
        return Made("computed", words, inputs)

    return made


for _name, _title, _words in (
    ("long_base", "Long", "sum of the positive exposures; an option's is its delta × what it is on"),
    ("short_base", "Short", "sum of the negative exposures; an option's is its delta × what it is on"),
):
    figure(_Class, _name, _title, base)(_of_class(_words))
for _name, _title, _how in (("gross_base", "Gross", "difference"), ("net_base", "Net", "sum")):
    siblings(
        _Class,
        _name,
        _title,
        base,
        _how,  # type: ignore[arg-type]
        (("long_base", "long", base), ("short_base", "short", base)),
        "long − short" if _how == "difference" else "long + short",
    )
for _model in (_Class, _Under):
    figure(_model, "weight", "Weight", fraction, "Net exposure of the total value.")(
        _over_nav("net_base", "net exposure")
    )
_Future = exposures.FutureExposure
figure(_Future, "weight", "Weight", fraction)(_over_nav("notional_base", "notional"))
siblings(
    _Future,
    "notional",
    "Notional",
    own,
    "computed",
    (("quantity", "quantity", plain), ("multiplier", "multiplier", plain), ("price", "price", own)),
    "quantity × multiplier × price",
)


def _told(formula: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        fields = type(seen.holder).model_fields
        near = [name for name in _FACTORS if name in fields and name != seen.field]
        inputs = [seen.beside(name, name.replace("_", " "), "") for name in near]
        return Made("computed", formula, inputs)

    return made


_FACTORS = (
    "quantity",
    "face",
    "multiplier",
    "price",
    "strike",
    "underlying_price",
    "implied_volatility",
    "coupon",
    "years",
)
_AS_REPORTED = "as the broker reported it with the position"
_MODEL = "Black–Scholes–Merton (Black for options on futures) at the implied volatility"
_SPREAD: tuple[tuple[type[Document], str, str, Unit, str], ...] = (
    (_Future, "quantity", "Quantity", plain, _AS_REPORTED),
    (_Future, "multiplier", "Multiplier", plain, _AS_REPORTED),
    (_Future, "price", "Price", own, _AS_REPORTED),
    (_Future, "notional_base", "Notional", base, "notional × rate of the day"),
    (
        _Under,
        "held_base",
        "Held",
        base,
        "sum of the exposures of the instrument itself, its futures and CFDs",
    ),
    (_Under, "options_base", "Options", base, "sum of the delta exposures of its options"),
    (exposures.Expiry, "strike", "Strike", plain, _AS_REPORTED),
    (exposures.Expiry, "quantity", "Quantity", plain, _AS_REPORTED),
    (
        exposures.Expiry,
        "exposure_base",
        "Exposure",
        base,
        "what the position moves with; an option's delta × what it is on",
    ),
    (exposures.BondRung, "years", "Years to maturity", plain, "days to maturity ÷ 365.25"),
    (exposures.BondRung, "face", "Face value", own, _AS_REPORTED),
    (exposures.BondRung, "price", "Price", plain, "in percent of face, as the broker reported it"),
    (exposures.BondRung, "market_value", "Value", own, "as the position's"),
    (exposures.BondRung, "market_value_base", "Value", base, "value × rate of the day"),
    (
        exposures.BondRung,
        "coupon",
        "Coupon",
        fraction,
        "from the bond's description, or what it paid in a year over its face",
    ),
    (
        exposures.BondRung,
        "accrued",
        "Accrued interest",
        own,
        "face × coupon × part of the coupon period that has passed",
    ),
    (exposures.BondRung, "accrued_base", "Accrued interest", base, "accrued interest × rate of the day"),
    (
        exposures.BondRung,
        "yield_to_maturity",
        "Yield to maturity",
        fraction,
        "the yearly rate at which all payments to come are worth price and accrued interest",
    ),
    (
        exposures.LadderYear,
        "face_base",
        "Face value",
        base,
        "sum of the bonds that mature in the year, at today's rates",
    ),
    (exposures.LadderYear, "market_value_base", "Value", base, "sum of the bonds that mature in the year"),
    (exposures.ExposuresDocument, "rate", "Interest rate", fraction, "an assumption of the option model"),
    (
        exposures.ExposuresDocument,
        "dividend_yield",
        "Dividend yield",
        fraction,
        "an assumption of the option model",
    ),
    *(
        (exposures.Margin, name, title, own, "as the broker reports it")
        for name, title in (
            ("nav", "Net asset value"),
            ("initial_margin", "Initial margin"),
            ("maintenance_margin", "Maintenance margin"),
            ("excess_liquidity", "Excess liquidity"),
            ("available_funds", "Available funds"),
            ("buying_power", "Buying power"),
        )
    ),
    (
        exposures.Margin,
        "cushion",
        "Cushion",
        fraction,
        "as the broker reports it: excess liquidity over net asset value",
    ),
    *(
        (exposures.OptionExposure, name, title, unit, words)
        for name, title, unit, words in (
            ("strike", "Strike", own, _AS_REPORTED),
            ("quantity", "Quantity", plain, _AS_REPORTED),
            ("multiplier", "Multiplier", plain, _AS_REPORTED),
            ("price", "Price", own, _AS_REPORTED),
            ("underlying_price", "Price of what it is on", own, "the last stored price of it"),
            (
                "implied_volatility",
                "Implied volatility",
                fraction,
                "the volatility at which the model gives the option's price",
            ),
            ("delta", "Delta", plain, f"{_MODEL}: change for a change of 1 of what it is on"),
            ("gamma", "Gamma", plain, f"{_MODEL}: change of delta for a change of 1 of what it is on"),
            ("theta", "Theta", plain, f"{_MODEL}: change in one day"),
            ("vega", "Vega", plain, f"{_MODEL}: change for one percentage point of volatility"),
            (
                "delta_base",
                "Delta exposure",
                base,
                "delta × quantity × multiplier × price of what it is on × rate",
            ),
            (
                "gamma_base",
                "Gamma of 1 %",
                base,
                "change of the delta exposure when what it is on moves by 1 %",
            ),
            ("theta_base", "Theta of a day", base, "theta × quantity × multiplier × rate"),
            ("vega_base", "Vega of a point", base, "vega × quantity × multiplier × rate"),
        )
    ),
)
for _of, _name, _title, _in, _words in _SPREAD:
    figure(_of, _name, _title, _in)(_told(_words))
siblings(
    _Under,
    "net_base",
    "Net exposure",
    base,
    "sum",
    (("held_base", "held", base), ("options_base", "options", base)),
    "held + options",
)


# Targets


def _as_set(_: Seen) -> Made:
    return reported("as it was set")


def _as_asked(_: Seen) -> Made:
    return reported("as it was asked")


_Row, _Plan = targets.TargetRow, targets.TargetsDocument
figure(_Row, "value_base", "Value", base)(_told("sum of the values of everything in the group"))
figure(_Row, "weight", "Weight", fraction)(_over_nav("value_base", "value"))
figure(_Row, "target", "Target", fraction)(_as_set)
figure(_Row, "band", "Band", fraction)(_as_set)
siblings(
    _Row,
    "drift",
    "Drift",
    fraction,
    "difference",
    (("weight", "weight", fraction), ("target", "target", fraction)),
    "weight − target",
)
for _name, _title, _in, _words in (
    ("difference_base", "Missing to the target", base, "target × total value − value"),
    ("after_base", "Value after the plan", base, "value + purchases − sales of the plan"),
    ("after_weight", "Weight after the plan", fraction, "value after the plan ÷ (total value + new money)"),
):
    figure(_Row, _name, _title, _in)(_told(_words))
figure(_Plan, "nav_base", "Total value", base)(_total_value)
figure(_Plan, "target_total", "Sum of the targets", fraction)(
    _sum(
        lambda seen: [row for row in seen.root.rows if row.target is not None],
        "target",
        "targets.rows",
        "sum of the targets",
        fraction,
    )
)
figure(_Plan, "money_base", "New money", base)(_as_asked)
figure(_Plan, "minimum_base", "Smallest order", base)(_as_asked)
for _name, _title, _side in (("bought_base", "Bought", "buy"), ("sold_base", "Sold", "sell")):

    def _orders(seen: Seen, side: str = _side) -> Made:
        rows = [row for row in seen.root.orders if row.side == side]
        inputs = [
            seen.input(row.symbol, row.amount_base, seen.base, "targets.orders.amount_base", key_of(row))
            for row in rows
        ]
        return sum_of(inputs, "sum of the proposed orders")

    figure(_Plan, _name, _title, base)(_orders)


@figure(_Plan, "left_base", "Left", base, "It stays as cash.")
def _left(seen: Seen) -> Made:
    money_and_sales = total((seen.holder.money_base, seen.holder.sold_base)).value
    inputs = [
        seen.input("new money + sold", money_and_sales, seen.base),
        seen.beside("bought_base", "bought", seen.base),
    ]
    return Made("difference", "new money + sold − bought", inputs)


figure(targets.Order, "quantity", "Quantity", plain)(_told("money for the group ÷ price, in whole units"))
figure(targets.Order, "price", "Price", own)(_told(_AS_REPORTED))
figure(targets.Order, "amount_base", "Amount", base)(_told("quantity × price × rate of the day"))
figure(targets.Unplaced, "amount_base", "Amount", base)(
    _told("what the group lacks and nothing held could take")
)


# Cash


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
    looked_at = [account.pk for account in seen.valued.state.accounts]
    words = "the next reported balance less what came and went until then"
    return Made("computed", words, ledger=[money(looked_at, seen.holder.currency)])


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
    _sum(lambda seen: seen.root.now, "amount_base", "cash.now", "sum of all balances")
)
