"""What the portfolio moves with: exposure gross and net, futures, options by underlying, bonds, margin.

The exposure of a position is what it moves with one for one: its market value; for futures and CFDs the
notional; for an option its delta times the value of the units it is on. Deltas are our own (Black, Scholes
and Merton; Black for options on futures, American options taken as European), at the volatility that the
option's price implies, with a rate and a dividend yield that are assumptions and stated in the document.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from stonks_overwatch.engine import bonds, options
from stonks_overwatch.ledger.models import Account, Activity, Instrument, Price
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.booked import grouped, last_day, year_before
from stonks_overwatch.reports.documents import Computed, Document, Exact, KeptIn, share, times, total
from stonks_overwatch.reports.holdings import Valuation, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.rates import MAX_AGE
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Held

RATE = Decimal("0.03")
_OPTIONS = (AssetClass.OPTION, AssetClass.FUTURE_OPTION)
_DAYS_OF_YEAR = 365.0
# An option is priced in the open; on its last day it has hours, not a year's fraction of 0.
_SHORTEST = 0.5 / _DAYS_OF_YEAR
_PRECISION = Decimal("1e-12")
_PERCENT = Decimal("0.01")

# "DBR 2 1/2 08/15/46", "T 4.25 05/15/35", "AAPL 3.85% 08/04/46": a rate before the maturity.
_COUPON = re.compile(
    r"(?<![\d./])(?P<whole>\d{1,2})(?:\.(?P<decimals>\d+)|\s+(?P<above>\d{1,2})/(?P<below>\d{1,2}))?\s*%?\s+"
    r"\d{2}/\d{2}/\d{2,4}\b"
)
_FRACTION_ALONE = re.compile(r"(?<![\d./])(?P<above>\d{1,2})/(?P<below>\d{1,2})\s*%?\s+\d{2}/\d{2}/\d{2,4}\b")
# "T 4.25 05/15/35" alone can be a bond of AT&T.
_TREASURY = re.compile(r"\bUS-T\b|\btreasury\b", re.IGNORECASE)
_BILL = re.compile(r"\bbill\b|\bzero\b|\bstrip\b|\bB\s+0\b", re.IGNORECASE)


class Totals(Document):
    """In the base currency. `gross` is the sum of the sizes, `net` that of the signed exposures.

    `leverage` is gross over NAV, `net_weight` net over NAV. `unknown` counts positions without a known
    exposure: they are in no sum.
    """

    nav_base: Computed | None
    gross_base: Computed | None
    net_base: Computed | None
    long_base: Computed | None
    short_base: Computed | None
    futures_notional_base: Computed | None
    options_base: Computed | None
    leverage: Computed | None
    net_weight: Computed | None
    unknown: int


class ClassExposure(Document):
    """One asset class: long, short (negative), gross and net; weight is net over NAV."""

    asset_class: str
    long_base: Computed | None
    short_base: Computed | None
    gross_base: Computed | None
    net_base: Computed | None
    weight: Computed | None
    unknown: int


class FutureExposure(Document):
    """One future; `notional` is quantity × multiplier × price in its currency."""

    account: str
    symbol: str
    name: str
    expires_on: date | None
    quantity: Exact | None
    multiplier: Exact
    price: Exact | None
    currency: str
    notional: Computed | None
    notional_base: Computed | None
    weight: Computed | None


class OptionExposure(Document):
    """One option position. Greeks are per unit of the underlying; `_base` figures are of the whole position.

    `delta_base`: what it moves with. `gamma_base`: how much that changes when the underlying moves by 1 %.
    `theta_base`: what a day costs. `vega_base`: for one percentage point of volatility. `why` says what is
    missing where the greeks are null.
    """

    account: str
    symbol: str
    name: str
    asset_class: str
    right: str | None
    strike: Exact | None
    expires_on: date | None
    days: int | None
    quantity: Exact | None
    multiplier: Exact
    price: Exact | None
    currency: str
    underlying: str | None
    underlying_price: Exact | None
    underlying_priced_on: date | None
    implied_volatility: Computed | None
    delta: Computed | None
    gamma: Computed | None
    theta: Computed | None
    vega: Computed | None
    delta_base: Computed | None
    gamma_base: Computed | None
    theta_base: Computed | None
    vega_base: Computed | None
    why: str | None


class Underlying(Document):
    """All that moves with one underlying: the instrument itself, its futures and CFDs, and its options."""

    underlying: str
    held_base: Computed | None
    options_base: Computed | None
    net_base: Computed | None
    weight: Computed | None
    positions: int
    unknown: int


class Expiry(Document):
    """One position that ends. `days` from the document's day; `exposure_base` as in the totals."""

    on: date
    days: int
    account: str
    symbol: str
    name: str
    asset_class: str
    right: str | None
    strike: Exact | None
    quantity: Exact | None
    in_the_money: bool | None
    exposure_base: Computed | None


class BondRung(Document):
    """One bond. `face` is the quantity; prices are percent of face, `accrued` of the whole position.

    The coupon stands in the bond's description, or is what it paid in the last year over its face, where
    that stayed the same (`coupon_source`); it is 0 for bills. Yield and accrued interest count days by
    `basis` ("act/act", "30/360") and are null where that or the coupon is not known.
    """

    account: str
    symbol: str
    name: str
    matures_on: date | None
    years: Computed | None
    currency: str
    face: Exact | None
    price: Exact | None
    market_value: Computed | None
    market_value_base: Computed | None
    coupon: Computed | None
    coupon_source: str | None
    payments_a_year: int | None
    basis: str | None
    accrued: Computed | None
    accrued_base: Computed | None
    yield_to_maturity: Computed | None


class LadderYear(Document):
    """What matures in one year, by market value; `face_base` at today's rates."""

    year: int
    bonds: int
    face_base: Computed | None
    market_value_base: Computed | None


class Margin(Document):
    """As the broker reports it, in the account's currency; `cushion` is excess liquidity over NAV."""

    account: str
    broker: str
    currency: KeptIn
    as_of: datetime
    nav: Exact | None
    initial_margin: Exact | None
    maintenance_margin: Exact | None
    excess_liquidity: Exact | None
    available_funds: Exact | None
    buying_power: Exact | None
    cushion: Exact | None


class ExposuresDocument(Document):
    """`rate` and `dividend_yield` are what the greeks assume."""

    as_of: datetime | date | None
    base_currency: str
    rate: Exact
    dividend_yield: Exact
    totals: Totals
    by_class: tuple[ClassExposure, ...]
    by_underlying: tuple[Underlying, ...]
    futures: tuple[FutureExposure, ...]
    options: tuple[OptionExposure, ...]
    expiries: tuple[Expiry, ...]
    bonds: tuple[BondRung, ...]
    ladder: tuple[LadderYear, ...]
    margin: tuple[Margin, ...]


class _Spot(NamedTuple):
    price: Decimal
    on: date
    currency: str


class _Position(NamedTuple):
    """One position with what it moves with, in the base currency."""

    row: Held
    account: Account
    on: date
    into_base: Decimal | None
    exposure_base: Decimal | None
    option: OptionExposure | None


@kept
def exposures(scope: Scope, rate: Decimal = RATE, dividend_yield: Decimal = Decimal(0)) -> ExposuresDocument:
    """`rate` and `dividend_yield` are continuous yearly ones, for the greeks."""
    valued = valuation(scope)
    looked_at = accounts(scope)
    positions = _positions(valued, rate, dividend_yield)
    nav = valued.totals.nav_base
    today = last_day(looked_at, scope.as_of)
    rungs = _bonds(positions)
    return ExposuresDocument(
        as_of=valued.as_of,
        base_currency=scope.base_currency,
        rate=rate,
        dividend_yield=dividend_yield,
        totals=_totals(positions, nav),
        by_class=_classes(positions, nav),
        by_underlying=_underlyings(positions, nav),
        futures=tuple(
            _future(position, nav) for position in positions if position.row.asset_class == AssetClass.FUTURE
        ),
        options=tuple(position.option for position in positions if position.option),
        expiries=_expiries(positions),
        bonds=tuple(rung for rung, _ in rungs),
        ladder=_ladder(rungs),
        margin=_margin(looked_at) if scope.as_of in (None, today) else (),
    )


def _positions(valued: Valuation, rate: Decimal, dividend_yield: Decimal) -> list[_Position]:
    spots = _spots(valued)
    found = []
    for one in valued.positions:
        row, account, into_base = one.held, one.account, one.into_base
        on = valued.state.days[row.account_id]
        option = None
        if row.asset_class in _OPTIONS:
            spot = spots.get(row.instrument_id)
            option = _option(row, account, on, spot, rate, dividend_yield, into_base)
            exposure = option.delta_base
        elif row.asset_class == AssetClass.CASH:
            continue  # a currency pair: its money is in the cash balances
        else:
            exposure = times(row.exposure, into_base)
        found.append(_Position(row, account, on, into_base, exposure, option))
    return found


def _spots(valued: Valuation) -> dict[int, _Spot]:
    """By option the price of its underlying: of a position in it, else the last stored one of the week."""
    held = [row for row in valued.state.held if row.asset_class in _OPTIONS]
    if not held:
        return {}
    named = dict(
        Instrument.objects.filter(pk__in={row.instrument_id for row in held}).values_list(
            "pk", "underlying_ref"
        )
    )
    refs = {ref for ref in named.values() if ref}
    by_ref: dict[str, _Spot] = {}
    last = max(valued.state.days.values())
    prices = Price.objects.filter(
        instrument__broker_ref__in=refs, on__gte=last - MAX_AGE, on__lte=last
    ).order_by("on")
    for ref, on, close, currency in prices.values_list("instrument__broker_ref", "on", "close", "currency"):
        by_ref[ref] = _Spot(close, on, currency)
    for row in valued.state.held:
        if row.broker_ref in refs and row.price is not None and row.price_as_of is not None:
            on = row.price_as_of.date() if isinstance(row.price_as_of, datetime) else row.price_as_of
            by_ref[row.broker_ref] = _Spot(row.price, on, row.currency)
    return {pk: by_ref[ref] for pk, ref in named.items() if ref in by_ref}


def _option(
    row: Held,
    account: Account,
    on: date,
    spot: _Spot | None,
    rate: Decimal,
    dividend_yield: Decimal,
    into_base: Decimal | None,
) -> OptionExposure:
    greeks, volatility, why = _greeks(row, on, spot, rate, dividend_yield)
    units = None if row.quantity is None else row.quantity * row.multiplier * row.quote_factor
    price = spot.price if spot else None
    in_units = times(times(units, price), into_base)

    def of_position(figure: float | None, per_unit: Decimal | None) -> Decimal | None:
        return times(_decimal(figure), per_unit)

    unit_base = times(units, into_base)
    return OptionExposure(
        account=account.account,
        symbol=row.symbol,
        name=row.name,
        asset_class=row.asset_class,
        right=row.right,
        strike=row.strike,
        expires_on=row.expires_on,
        days=None if row.expires_on is None else (row.expires_on - on).days,
        quantity=row.quantity,
        multiplier=row.multiplier,
        price=row.price,
        currency=row.currency,
        underlying=row.underlying_symbol,
        underlying_price=price,
        underlying_priced_on=spot.on if spot else None,
        implied_volatility=_decimal(volatility),
        delta=_decimal(greeks.delta if greeks else None),
        gamma=_decimal(greeks.gamma if greeks else None),
        theta=_decimal(greeks.theta / _DAYS_OF_YEAR if greeks else None),
        vega=_decimal(greeks.vega / 100 if greeks else None),
        delta_base=of_position(greeks.delta if greeks else None, in_units),
        # The delta changes by gamma × 1 % of the price, and moves units × price of value.
        gamma_base=of_position(greeks.gamma if greeks else None, times(times(in_units, price), _PERCENT)),
        theta_base=of_position(greeks.theta / _DAYS_OF_YEAR if greeks else None, unit_base),
        vega_base=of_position(greeks.vega / 100 if greeks else None, unit_base),
        why=why,
    )


def _greeks(
    row: Held, on: date, spot: _Spot | None, rate: Decimal, dividend_yield: Decimal
) -> tuple[options.Greeks | None, float | None, str | None]:
    """The greeks, the implied volatility, and what is missing for them."""
    if row.strike is None or row.right is None or row.expires_on is None:
        return None, None, "The contract's strike, right or expiry is not known."
    if spot is None:
        return None, None, "The underlying has no price of the last seven days."
    if spot.currency != row.currency:
        return None, None, "The underlying is priced in another currency."
    if row.price is None:
        return None, None, "The option has no price."
    if row.expires_on < on:
        return None, None, "The option has expired."
    # An option on a future is carried at the rate, which is Black's model.
    carry = rate if row.asset_class == AssetClass.FUTURE_OPTION else dividend_yield
    years = years_left((row.expires_on - on).days)
    is_call, price, strike = row.right == "call", float(spot.price), float(row.strike)
    if min(price, strike) <= 0:
        return None, None, "A price of 0 or less is outside the model."
    volatility = options.implied_volatility(
        float(row.price),
        call=is_call,
        spot=price,
        strike=strike,
        years=years,
        rate=float(rate),
        dividends=float(carry),
    )
    if math.isnan(volatility):
        return None, None, "No volatility explains its price: it is below what it would be worth at once."
    greeks = options.greeks(
        call=is_call,
        spot=price,
        strike=strike,
        years=years,
        rate=float(rate),
        volatility=volatility,
        dividends=float(carry),
    )
    return greeks, volatility, None


def years_left(days: int) -> float:
    """The time to expiry that the option model takes."""
    return max(days / _DAYS_OF_YEAR, _SHORTEST)


def _decimal(figure: float | None) -> Decimal | None:
    """A figure of the engine with the digits that it is good for."""
    if figure is None or not math.isfinite(figure):
        return None
    return Decimal(repr(figure)).quantize(_PRECISION)


# Sums


def _totals(positions: Sequence[_Position], nav: Decimal | None) -> Totals:
    every = _Sides.of(positions)
    notional = total(
        position.exposure_base for position in positions if position.row.asset_class == AssetClass.FUTURE
    )
    of_options = total(position.exposure_base for position in positions if position.option)
    return Totals(
        nav_base=nav,
        gross_base=every.gross,
        net_base=every.net,
        long_base=every.long,
        short_base=every.short,
        futures_notional_base=notional.value,
        options_base=of_options.value,
        leverage=share(every.gross, nav),
        net_weight=share(every.net, nav),
        unknown=every.unknown,
    )


class _Sides(NamedTuple):
    """Sums of what is known, None where nothing is, and how many are not."""

    long: Decimal | None
    short: Decimal | None
    gross: Decimal | None
    net: Decimal | None
    unknown: int

    @classmethod
    def of(cls, positions: Sequence[_Position]) -> "_Sides":
        known = [one.exposure_base for one in positions if one.exposure_base is not None]
        unknown = len(positions) - len(known)
        if unknown and not known:
            return cls(None, None, None, None, unknown)
        into = sum((value for value in known if value > 0), Decimal(0))
        out = sum((value for value in known if value < 0), Decimal(0))
        return cls(into, out, into - out, into + out, unknown)


def _classes(positions: Sequence[_Position], nav: Decimal | None) -> tuple[ClassExposure, ...]:
    rows = []
    for name, of_class in grouped(positions, lambda position: position.row.asset_class).items():
        sides = _Sides.of(of_class)
        rows.append(
            ClassExposure(
                asset_class=name,
                long_base=sides.long,
                short_base=sides.short,
                gross_base=sides.gross,
                net_base=sides.net,
                weight=share(sides.net, nav),
                unknown=sides.unknown,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.gross_base is None, -(row.gross_base or 0))))


def _underlyings(positions: Sequence[_Position], nav: Decimal | None) -> tuple[Underlying, ...]:
    """Those that have an option, by the name that the broker gives the underlying."""
    names = {p.row.underlying_symbol for p in positions if p.option and p.row.underlying_symbol}
    rows = []
    for name in sorted(names):
        related = [
            position
            for position in positions
            if position.row.underlying_symbol == name
            or (position.row.underlying_symbol is None and position.row.symbol == name)
        ]
        of_options = total(position.exposure_base for position in related if position.option)
        held = total(position.exposure_base for position in related if not position.option)
        net = total(position.exposure_base for position in related)
        rows.append(
            Underlying(
                underlying=name,
                held_base=held.value,
                options_base=of_options.value,
                net_base=net.value,
                weight=share(net.value, nav),
                positions=len(related),
                unknown=net.unknown,
            )
        )
    return tuple(sorted(rows, key=_largest_first))


def _largest_first(row: Underlying) -> tuple[bool, Decimal]:
    return row.net_base is None, -abs(row.net_base or Decimal(0))


def _future(position: _Position, nav: Decimal | None) -> FutureExposure:
    row = position.row
    return FutureExposure(
        account=position.account.account,
        symbol=row.symbol,
        name=row.name,
        expires_on=row.expires_on,
        quantity=row.quantity,
        multiplier=row.multiplier,
        price=row.price,
        currency=row.currency,
        notional=row.exposure,
        notional_base=position.exposure_base,
        weight=share(position.exposure_base, nav),
    )


def _expiries(positions: Sequence[_Position]) -> tuple[Expiry, ...]:
    rows = []
    for position in positions:
        row = position.row
        if row.expires_on is None:
            continue
        rows.append(
            Expiry(
                on=row.expires_on,
                days=(row.expires_on - position.on).days,
                account=position.account.account,
                symbol=row.symbol,
                name=row.name,
                asset_class=row.asset_class,
                right=row.right,
                strike=row.strike,
                quantity=row.quantity,
                in_the_money=_is_in_the_money(position.option) if position.option else None,
                exposure_base=position.exposure_base,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.on, row.symbol)))


def _is_in_the_money(option: OptionExposure) -> bool | None:
    if option.underlying_price is None or option.strike is None or option.right is None:
        return None
    above = option.underlying_price > option.strike
    return above if option.right == "call" else option.underlying_price < option.strike


# Bonds


def _bonds(positions: Sequence[_Position]) -> list[tuple[BondRung, Decimal | None]]:
    """Each bond with what one unit of its currency is in the base currency, the first to mature first."""
    held = [position for position in positions if position.row.asset_class == AssetClass.BOND]
    paid = _coupons_paid(held)
    rungs = [(_rung(position, paid), position.into_base) for position in held]
    return sorted(rungs, key=lambda pair: (pair[0].matures_on or date.max, pair[0].symbol))


def _rung(position: _Position, paid: Mapping[tuple[int, int], tuple[Decimal, int]]) -> BondRung:
    row, on = position.row, position.on
    coupon, source = _coupon(f"{row.description} {row.name}")
    of_year = paid.get((row.account_id, row.instrument_id))
    if coupon is None and of_year and row.quantity:
        coupon, source = of_year[0] / row.quantity, "payments of the last year"
    per_year = 1 if not coupon else of_year[1] if of_year and 12 % of_year[1] == 0 else _usual(row.currency)
    accrued, yield_ = None, None
    matures_on, basis = row.expires_on, _basis(row)
    if coupon is not None and basis is not None and matures_on is not None and matures_on > on:
        accrued = _decimal(
            bonds.accrued_interest(
                coupon=float(coupon), per_year=per_year, maturity=matures_on, on=on, basis=basis
            )
        )
        if row.price is not None and row.price > 0:
            yield_ = _decimal(
                bonds.yield_to_maturity(
                    float(row.price),
                    coupon=float(coupon),
                    per_year=per_year,
                    maturity=matures_on,
                    on=on,
                    basis=basis,
                )
            )
    of_face = times(accrued, row.quantity)
    of_position = None if of_face is None else of_face / 100
    return BondRung(
        account=position.account.account,
        symbol=row.symbol,
        name=row.name,
        matures_on=matures_on,
        years=None if matures_on is None else Decimal((matures_on - on).days) / Decimal("365.25"),
        currency=row.currency,
        face=row.quantity,
        price=row.price,
        market_value=row.market_value,
        market_value_base=times(row.market_value, position.into_base),
        coupon=coupon,
        coupon_source=source,
        payments_a_year=None if coupon is None else per_year if coupon else 0,
        basis=basis,
        accrued=of_position,
        accrued_base=times(of_position, position.into_base),
        yield_to_maturity=yield_,
    )


def _coupon(text: str) -> tuple[Decimal | None, str | None]:
    """The yearly coupon as a fraction of face, as far as a description tells it."""
    if found := _COUPON.search(text):
        rate = Decimal(f"{found['whole']}.{found['decimals'] or 0}")
        if found["above"] and int(found["below"]):
            rate += Decimal(found["above"]) / Decimal(found["below"])
        return rate / 100, "description"
    if (found := _FRACTION_ALONE.search(text)) and int(found["below"]):
        return Decimal(found["above"]) / Decimal(found["below"]) / 100, "description"
    if _BILL.search(text):
        return Decimal(0), "description"
    return None, None


def _basis(row: Held) -> str | None:
    """How the bond counts days: as its market does, where the contract tells which that is.

    US Treasuries count the days as they are; other bonds of issuers in the United States (corporate,
    municipal, agency) months of 30 days; bonds in euros and pounds as they are (ICMA, since 1999).
    """
    isin = row.isin or ""
    if isin.startswith("US912") or _TREASURY.search(f"{row.symbol} {row.description} {row.name}"):
        return "act/act"
    if isin.startswith("US"):
        return "30/360"
    return "act/act" if row.currency in ("EUR", "GBP") else None


def _usual(currency: str) -> int:
    """How often bonds of a currency pay where it is not told: once a year in euros and its neighbours."""
    return 1 if currency in ("EUR", "DKK", "SEK", "NOK", "CHF") else 2


def _coupons_paid(held: Sequence[_Position]) -> dict[tuple[int, int], tuple[Decimal, int]]:
    """By account and bond what it paid in the year before, and how often; not of what was moved meanwhile."""
    if not held:
        return {}
    days = {(position.row.account_id, position.row.instrument_id): position.on for position in held}
    rows = Activity.objects.current().filter(
        account__in={account_id for account_id, _ in days},
        instrument__in={instrument_id for _, instrument_id in days},
        trade_date__gt=min(map(year_before, days.values())),
    )
    sums: dict[tuple[int, int], tuple[Decimal, int]] = {}
    moved = set()
    columns = rows.values_list("account_id", "instrument_id", "trade_date", "kind", "quantity", "gross")
    for account_id, instrument_id, day, kind, quantity, gross in columns:
        key = account_id, instrument_id or 0
        if key not in days or not year_before(days[key]) < day <= days[key]:
            continue
        if kind != ActivityKind.INTEREST and quantity:
            moved.add(key)
        elif kind == ActivityKind.INTEREST and gross is not None and gross > 0:
            amount, number = sums.get(key, (Decimal(0), 0))
            sums[key] = amount + gross, number + 1
    return {key: paid for key, paid in sums.items() if key not in moved}


def _ladder(rungs: Sequence[tuple[BondRung, Decimal | None]]) -> tuple[LadderYear, ...]:
    maturing = [(rung, rate) for rung, rate in rungs if rung.matures_on is not None]
    by_year = grouped(maturing, lambda pair: pair[0].matures_on.year if pair[0].matures_on else 0)
    return tuple(
        LadderYear(
            year=year,
            bonds=len(pairs),
            face_base=total(times(rung.face, rate) for rung, rate in pairs).value,
            market_value_base=total(rung.market_value_base for rung, _ in pairs).value,
        )
        for year, pairs in sorted(by_year.items())
    )


def _margin(looked_at: Iterable[Account]) -> tuple[Margin, ...]:
    return tuple(
        Margin(
            account=account.account,
            broker=account.broker,
            currency=account.currency,
            as_of=account.reported_margin_at,
            nav=account.reported_nav,
            initial_margin=account.reported_initial_margin,
            maintenance_margin=account.reported_maintenance_margin,
            excess_liquidity=account.reported_excess_liquidity,
            available_funds=account.reported_available_funds,
            buying_power=account.reported_buying_power,
            cushion=account.reported_cushion,
        )
        for account in looked_at
        if account.reported_margin_at is not None
    )
