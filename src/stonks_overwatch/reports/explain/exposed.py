"""What the portfolio moves with: the figures of exposures."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from stonks_overwatch.engine import bonds
from stonks_overwatch.ledger.models import Activity, Position
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports import exposures
from stonks_overwatch.reports.booked import year_before
from stonks_overwatch.reports.documents import times
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.spread import total_of_all
from stonks_overwatch.reports.explain.told import (
    FLOATING,
    at_rate,
    base,
    column,
    figure,
    floating,
    formula,
    fraction,
    over_nav,
    own,
    plain,
    reported,
    siblings,
    sum_of,
    total_value,
)
from stonks_overwatch.reports.explain.used import activities, positions
from stonks_overwatch.reports.state import Held

REPORTS["exposures"] = lambda a, _: exposures.exposures(a.scope, a.rate, a.dividend_yield)

_Totals, _Class, _Under = exposures.Totals, exposures.ClassExposure, exposures.Underlying


def _classes(seen: Seen) -> Iterable[Any]:
    return seen.root.by_class  # type: ignore[no-any-return]


figure(_Totals, "nav_base", "Total value", base)(total_of_all)
for _name, _title in (
    ("long_base", "Long"),
    ("short_base", "Short"),
    ("gross_base", "Gross exposure"),
    ("net_base", "Net exposure"),
):
    figure(_Totals, _name, _title, base)(
        column(_classes, _name, "exposures.by_class", "sum over the asset classes")
    )
for _name, _title, _field in (
    ("leverage", "Leverage", "gross_base"),
    ("net_weight", "Net exposure of the value", "net_base"),
):

    def _per_nav(seen: Seen, name: str = _field) -> Made:
        text = "gross exposure" if name == "gross_base" else "net exposure"
        return Made(
            "quotient", f"{text} ÷ total value", [seen.beside(name, text, seen.base), total_value(seen)]
        )

    figure(_Totals, _name, _title, fraction)(_per_nav)
figure(_Totals, "futures_notional_base", "Notional of futures", base)(
    column(lambda seen: seen.root.futures, "notional_base", "exposures.futures", "sum of the futures")
)
figure(_Totals, "options_base", "Exposure of options", base)(
    column(
        lambda seen: seen.root.options,
        "delta_base",
        "exposures.options",
        "sum of the options' delta exposures",
    )
)


def held_of(seen: Seen) -> Held:
    """The position that the row is about."""
    names = {account.pk: account.account for account in seen.valued.state.accounts}
    return next(
        held
        for held in seen.valued.state.held
        if names[held.account_id] == seen.holder.account and _is_of(seen.holder, held)
    )


def _is_of(row: Any, held: Held) -> bool:
    """Whether a row is of the contract: options in one share can have the same symbol and name."""
    names = [name for name in ("symbol", "name", "right", "strike", "expires_on") if hasattr(row, name)]
    ends_on = getattr(row, "on", held.expires_on)
    return ends_on == held.expires_on and all(getattr(row, name) == getattr(held, name) for name in names)


def _ledger(held: Held) -> list[Ledger]:
    return [positions(Position.objects.filter(account=held.account_id, instrument=held.instrument_id))]


def _exposure(seen: Seen, held: Held, text: str = "") -> Input:
    """What a position moves with: an option by its delta, anything else by its exposure."""
    account = next(one for one in seen.valued.state.accounts if one.pk == held.account_id)
    name = text or f"{held.symbol or held.name} in {account.account}"
    if held.asset_class in (AssetClass.OPTION, AssetClass.FUTURE_OPTION):
        row = next(one for one in seen.root.options if one.account == account.account and _is_of(one, held))
        return seen.input(name, row.delta_base, seen.base, "exposures.options.delta_base", key_of(row))
    value = times(held.exposure, seen.valued.factors.into_base[held.account_id, held.currency])
    key = f"{account.broker} {held.broker_ref} {account.account}"
    return seen.input(name, value, seen.base, "holdings.holdings.exposure_base", key)


def _positive(value: Decimal) -> bool:
    return value > 0


def _negative(value: Decimal) -> bool:
    return value < 0


def _of_class(words: str, counts: Callable[[Decimal], bool]) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        held = [
            row
            for row in seen.valued.state.held
            if row.asset_class == seen.holder.asset_class and row.asset_class != AssetClass.CASH
        ]
        every = [_exposure(seen, row) for row in held]
        inputs = [one for one in every if one.value is None or counts(one.value)]
        return sum_of(inputs, words, note="An option's exposure is its delta × what it is on.")

    return made


for _name, _title, _words, _counts in (
    ("long_base", "Long", "sum of the positive exposures", _positive),
    ("short_base", "Short", "sum of the negative exposures", _negative),
):
    figure(_Class, _name, _title, base)(_of_class(_words, _counts))
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
        over_nav("net_base", "net exposure")
    )

_AS_REPORTED = "as the broker reported it with the position"


def _reported(words: str = _AS_REPORTED) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        return reported(words, _ledger(held_of(seen)))

    return made


def _plain_product(how: str, *names: str, otherwise: str = _AS_REPORTED) -> Callable[[Seen], Made]:
    """Neighbours multiplied; or what the broker said, where it said something else."""

    def made(seen: Seen) -> Made:
        inputs = [seen.beside(name, name.replace("_", " "), "") for name in names]
        product = Decimal(1)
        for one in inputs:
            product *= one.value or Decimal(0)
        ledger = _ledger(held_of(seen))
        if product == seen.value:
            return Made("product", how, inputs, ledger=ledger)
        return reported(otherwise, ledger, inputs=inputs)

    return made


def _at_rate(name: str, text: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        held = held_of(seen)
        on = seen.valued.state.days[held.account_id]
        rate = seen.valued.factors.into_base[held.account_id, held.currency]
        rates = seen.rates_used(held.currency, seen.base, on)
        return at_rate(seen, seen.beside(name, text, held.currency), held.currency, rate, on, rates)

    return made


# Futures, and what moves with one underlying

_Future = exposures.FutureExposure
for _name, _title, _in in (
    ("quantity", "Quantity", plain),
    ("multiplier", "Multiplier", plain),
    ("price", "Price", own),
):
    figure(_Future, _name, _title, _in)(_reported())
figure(_Future, "notional", "Notional", own)(
    _plain_product("quantity × multiplier × price", "quantity", "multiplier", "price")
)
figure(_Future, "notional_base", "Notional", base, "At the rate of the day.")(
    _at_rate("notional", "notional")
)
figure(_Future, "weight", "Weight", fraction)(over_nav("notional_base", "notional"))


def _related(words: str, *, are_options: bool) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        name = seen.holder.underlying
        options = (AssetClass.OPTION, AssetClass.FUTURE_OPTION)
        held = [
            row
            for row in seen.valued.state.held
            if (row.underlying_symbol or row.symbol) == name
            and row.asset_class != AssetClass.CASH
            and (row.asset_class in options) is are_options
        ]
        return sum_of([_exposure(seen, row) for row in held], words)

    return made


figure(_Under, "held_base", "Held", base)(
    _related("sum of the exposures of the instrument itself, its futures and CFDs", are_options=False)
)
figure(_Under, "options_base", "Options", base)(
    _related("sum of the delta exposures of its options", are_options=True)
)
siblings(
    _Under,
    "net_base",
    "Net exposure",
    base,
    "sum",
    (("held_base", "held", base), ("options_base", "options", base)),
    "held + options",
)

_Expiry = exposures.Expiry
figure(_Expiry, "strike", "Strike", plain)(_reported("as the broker describes the contract"))
figure(_Expiry, "quantity", "Quantity", plain)(_reported())


@figure(_Expiry, "exposure_base", "Exposure", base, "An option's is its delta × what it is on.")
def _expiring(seen: Seen) -> Made:
    return sum_of([_exposure(seen, held_of(seen), "exposure")], "what the position moves with")


# Options

_Option = exposures.OptionExposure
_D1 = "d1 = (ln(spot ÷ strike) + (rate − carry + volatility² ÷ 2) × years) ÷ (volatility × √years)"
_D2 = "d2 = d1 − volatility × √years"
_MODEL = (
    "By Black, Scholes and Merton (Black, where it is on a future), at the volatility that its price implies."
)


def _asked(seen: Seen) -> list[Input]:
    """What the model takes."""
    row = seen.holder
    of_future = row.asset_class == AssetClass.FUTURE_OPTION
    document = seen.root
    return [
        seen.beside("underlying_price", "spot", row.currency, as_of=row.underlying_priced_on),
        seen.beside("strike", "strike", row.currency),
        seen.input(
            "years", floating(exposures.years_left(row.days or 0)), "", source=f"{row.days} days ÷ 365"
        ),
        seen.input("rate", document.rate, fraction, "exposures.rate"),
        seen.input(
            "carry",
            document.rate if of_future else document.dividend_yield,
            fraction,
            "exposures.rate" if of_future else "exposures.dividend_yield",
        ),
    ]


def _greek(call: str, put: str, where: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        row = seen.holder
        words = call if row.right == "call" else put
        if seen.value is None:
            return reported("not computed", note=row.why or "")
        inputs = [*_asked(seen), seen.beside("implied_volatility", "volatility", fraction)]
        return formula(f"{words}, where {where}", inputs, note=f"{_MODEL} {FLOATING}")

    return made


@figure(_Option, "implied_volatility", "Implied volatility", fraction, "At which the model gives its price.")
def _implied(seen: Seen) -> Made:
    row = seen.holder
    if seen.value is None:
        return reported("not computed", note=row.why or "")
    side = "" if row.right == "call" else "−"
    worth = f"spot × exp(−carry × years) × N({side}d1) − strike × exp(−rate × years) × N({side}d2)"
    where = f"{_D1} and {_D2}".replace("volatility", "implied volatility")
    words = f"price = {side}({worth}), where {where}" if side else f"price = {worth}, where {where}"
    inputs = [seen.beside("price", "price", row.currency), *_asked(seen)]
    return Made("equation", words, inputs, note=FLOATING)


_CARRIED = "exp(−carry × years)"
_DECAY = f"(−spot × {_CARRIED} × n(d1) × volatility ÷ (2 × √years)"
_VEGA = f"spot × {_CARRIED} × n(d1) × √years ÷ 100"
_GAMMA = f"{_CARRIED} × n(d1) ÷ (spot × volatility × √years)"
_GREEKS = (
    (
        "delta",
        "Delta",
        "Change for a change of 1 of what it is on.",
        f"{_CARRIED} × N(d1)",
        f"−{_CARRIED} × N(−d1)",
        _D1,
    ),
    ("gamma", "Gamma", "Change of delta for a change of 1 of what it is on.", _GAMMA, _GAMMA, _D1),
    (
        "theta",
        "Theta",
        "Change in one day.",
        f"{_DECAY} + carry × spot × {_CARRIED} × N(d1) − rate × strike × exp(−rate × years) × N(d2)) ÷ 365",
        f"{_DECAY} − carry × spot × {_CARRIED} × N(−d1) + rate × strike × exp(−rate × years) × N(−d2)) ÷ 365",
        f"{_D1} and {_D2}",
    ),
    ("vega", "Vega", "Change for one percentage point of volatility.", _VEGA, _VEGA, _D1),
)
for _name, _title, _meaning, _call, _put, _where in _GREEKS:
    figure(_Option, _name, _title, plain, _meaning)(_greek(_call, _put, _where))
for _name, _title, _in in (
    ("strike", "Strike", own),
    ("quantity", "Quantity", plain),
    ("multiplier", "Multiplier", plain),
    ("price", "Price", own),
):
    figure(_Option, _name, _title, _in)(_reported())


@figure(_Option, "underlying_price", "Price of what it is on", own)
def _spot(_: Seen) -> Made:
    return reported("the price of a position in it, else the last stored one of the week")


def _of_position(name: str, words: str, *, by_price: int) -> Callable[[Seen], Made]:
    """A greek times the units, the price of what it is on (so often) and the rate."""

    def made(seen: Seen) -> Made:
        row, held = seen.holder, held_of(seen)
        if seen.value is None:
            return reported("not computed", note=row.why or "")
        on = seen.valued.state.days[held.account_id]
        inputs = [
            seen.beside(name, name, ""),
            seen.beside("quantity", "quantity", ""),
            seen.input("multiplier", row.multiplier * held.quote_factor, ""),
        ]
        price = seen.beside("underlying_price", "price of what it is on", row.currency)
        inputs += [price] * by_price
        if by_price > 1:
            inputs.append(seen.input("1 %", Decimal("0.01"), ""))
        rates = seen.rates_used(held.currency, seen.base, on)
        if held.currency != seen.base:
            rate = seen.valued.factors.into_base[held.account_id, held.currency]
            inputs.append(seen.input(f"{seen.base} for one {held.currency}", rate, "", as_of=on))
        return Made("product", words, inputs, rates)

    return made


for _name, _title, _of, _words, _times in (
    (
        "delta_base",
        "Delta exposure",
        "delta",
        "delta × quantity × multiplier × price of what it is on × rate",
        1,
    ),
    (
        "gamma_base",
        "Gamma of 1 %",
        "gamma",
        "gamma × quantity × multiplier × price of what it is on, squared × 1 % × rate",
        2,
    ),
    ("theta_base", "Theta of a day", "theta", "theta × quantity × multiplier × rate", 0),
    ("vega_base", "Vega of a point", "vega", "vega × quantity × multiplier × rate", 0),
):
    figure(_Option, _name, _title, base)(_of_position(_of, _words, by_price=_times))


# Bonds

_Bond, _Year = exposures.BondRung, exposures.LadderYear


@figure(_Bond, "years", "Years to maturity", plain)
def _years(seen: Seen) -> Made:
    on = seen.valued.state.days[held_of(seen).account_id]
    if seen.holder.matures_on is None:
        return Made("quotient", "days to maturity ÷ 365.25")
    inputs = [
        seen.input("days to maturity", Decimal((seen.holder.matures_on - on).days), "", as_of=on),
        seen.input("days of a year", Decimal("365.25"), ""),
    ]
    return Made("quotient", "days to maturity ÷ 365.25", inputs)


figure(_Bond, "face", "Face value", own)(_reported())
figure(_Bond, "price", "Price", plain)(_reported("in percent of face, as the broker reported it"))


@figure(_Bond, "market_value", "Value", own)
def _bond_value(seen: Seen) -> Made:
    held = held_of(seen)
    account = next(one for one in seen.valued.state.accounts if one.pk == held.account_id)
    key = f"{account.broker} {held.broker_ref} {account.account}"
    told = seen.input(
        "value of the position", held.market_value, own(seen), "holdings.holdings.market_value", key
    )
    return sum_of([told], "the value of the position")


@figure(_Bond, "coupon", "Coupon", fraction)
def _coupon(seen: Seen) -> Made:
    held, row = held_of(seen), seen.holder
    if row.coupon_source != "payments of the last year":
        return reported("from the bond's description")
    on = seen.valued.state.days[held.account_id]
    paid = Activity.objects.reported().filter(
        account=held.account_id,
        instrument=held.instrument_id,
        kind=ActivityKind.INTEREST,
        trade_date__gt=year_before(on),
        trade_date__lte=on,
    )
    inputs = [
        seen.input("coupon paid", gross, own(seen), as_of=day)
        for day, gross in paid.order_by("trade_date").values_list("trade_date", "gross")
        if gross is not None and gross > 0
    ]
    inputs.append(seen.beside("face", "face", own(seen)))
    return formula("Σ coupon paid ÷ face", inputs, ledger=[activities(paid)])


def _period(seen: Seen) -> tuple[Decimal, Decimal, int]:
    """Days since the last coupon, days between the coupons, and how many coupons are to come."""
    row = seen.holder
    on = seen.valued.state.days[held_of(seen).account_id]
    days = bonds.coupon_dates(row.matures_on, row.payments_a_year or 1, on)
    gone, whole = bonds.counted(days[0], on, days[1], row.basis)
    return Decimal(gone), Decimal(whole), len(days) - 1


_BASES = {"act/act": "Days are counted as they are (act/act).", "30/360": "Months have 30 days (30/360)."}


@figure(_Bond, "accrued", "Accrued interest", own)
def _accrued(seen: Seen) -> Made:
    if seen.value is None:
        return reported("unknown without a coupon, a day of maturity and a known way to count days")
    gone, whole, _ = _period(seen)
    row = seen.holder
    inputs = [
        seen.beside("face", "face", own(seen)),
        seen.beside("coupon", "coupon", fraction),
        seen.input("payments a year", Decimal(row.payments_a_year or 1), ""),
        seen.input("days gone", gone, ""),
        seen.input("days of the period", whole, ""),
    ]
    words = "face × coupon ÷ payments a year × days gone ÷ days of the period"
    return formula(words, inputs, note=f"{_BASES[row.basis]} {FLOATING}")


@figure(
    _Bond,
    "yield_to_maturity",
    "Yield to maturity",
    fraction,
    "At which all payments to come are worth the price.",
)
def _yield(seen: Seen) -> Made:
    row = seen.holder
    if seen.value is None:
        return reported("unknown without a price, a coupon, a day of maturity and a known way to count days")
    gone, whole, count = _period(seen)
    inputs = [
        seen.beside("price", "price", ""),
        seen.beside("coupon", "coupon", fraction),
        seen.input("payments a year", Decimal(row.payments_a_year or 1), ""),
        seen.input("payments to come", Decimal(count), ""),
        seen.input("days gone", gone, ""),
        seen.input("days of the period", whole, ""),
    ]
    words = (
        "price + payment × part gone = growth ^ part gone × (payment × (1 − growth ^ −payments to come) "
        "÷ (growth − 1) + 100 ÷ growth ^ payments to come), "
        "where growth = 1 + yield to maturity ÷ payments a year "
        "and payment = 100 × coupon ÷ payments a year "
        "and part gone = days gone ÷ days of the period"
    )
    return Made("equation", words, inputs, note=f"Of 100 of face. {_BASES[row.basis]} {FLOATING}")


figure(_Bond, "market_value_base", "Value", base, "At the rate of the day.")(
    _at_rate("market_value", "value")
)
figure(_Bond, "accrued_base", "Accrued interest", base, "At the rate of the day.")(
    _at_rate("accrued", "accrued interest")
)


def _maturing(name: str, words: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        rungs = [row for row in seen.root.bonds if row.matures_on and row.matures_on.year == seen.holder.year]
        inputs = []
        for row in rungs:
            held = held_of(replace(seen, holder=row))
            rate = seen.valued.factors.into_base[held.account_id, held.currency]
            value = times(row.face, rate) if name == "face" else row.market_value_base
            where = () if name == "face" else ("exposures.bonds.market_value_base", key_of(row))
            source = f"{row.face:f} {row.currency}" if name == "face" and row.face is not None else ""
            inputs.append(seen.input(row.symbol, value, seen.base, *where, source=source))
        return sum_of(inputs, words)

    return made


figure(_Year, "face_base", "Face value", base)(_maturing("face", "sum of the bonds that mature in the year"))
figure(_Year, "market_value_base", "Value", base)(
    _maturing("value", "sum of the bonds that mature in the year")
)


# What is assumed, and margin


def _assumed(_: Seen) -> Made:
    return reported("an assumption of the option model")


def _of_margin(_: Seen) -> Made:
    return reported("as the broker reports it")


for _name, _title in (("rate", "Interest rate"), ("dividend_yield", "Dividend yield")):
    figure(exposures.ExposuresDocument, _name, _title, fraction)(_assumed)
for _name, _title in (
    ("nav", "Net asset value"),
    ("initial_margin", "Initial margin"),
    ("maintenance_margin", "Maintenance margin"),
    ("excess_liquidity", "Excess liquidity"),
    ("available_funds", "Available funds"),
    ("buying_power", "Buying power"),
):
    figure(exposures.Margin, _name, _title, own)(_of_margin)
figure(exposures.Margin, "cushion", "Cushion", fraction, "Excess liquidity over net asset value.")(_of_margin)
