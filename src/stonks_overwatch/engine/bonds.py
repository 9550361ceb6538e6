"""Bonds with level coupons: accrued interest, price and yield to maturity. Numbers in, numbers out."""

from collections.abc import Callable
from datetime import date, timedelta


def coupon_dates(maturity: date, per_year: int, after: date) -> list[date]:
    """Coupon days counted back from maturity: the last one on or before `after` first, maturity last.

    A coupon of the 31st falls on the last day of shorter months. ValueError unless 12 is a multiple of
    `per_year`, or when the bond has matured.
    """
    if per_year < 1 or 12 % per_year:
        raise ValueError("coupons come 1, 2, 3, 4, 6 or 12 times a year")
    if after >= maturity:
        raise ValueError("the bond has matured")
    found = [maturity]
    while found[-1] > after:
        found.append(_months_before(maturity, len(found) * 12 // per_year))
    return found[::-1]


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    last = 31
    while True:
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            last -= 1


def elapsed(previous: date, on: date, following: date, basis: str) -> float:
    """Share of the coupon period gone by: `act/act` (ICMA), `30/360` or `30e/360`. ValueError for others."""
    gone, whole = counted(previous, on, following, basis)
    return gone / whole


def counted(previous: date, on: date, following: date, basis: str) -> tuple[int, int]:
    """The days of a coupon period that are gone by, and all of them, as the basis counts.

    ValueError for a basis that is none of those of `elapsed`.
    """
    count = _COUNTS.get(basis)
    if count is None:
        raise ValueError(f"{basis!r} is not one of {', '.join(_COUNTS)}")
    at_ends = _ends_month(previous) and _ends_month(following)
    return count(previous, on, at_ends), count(previous, following, at_ends)


def _ends_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def _actual(start: date, end: date, _: bool) -> int:
    return (end - start).days


def _thirty(start: date, end: date, at_ends: bool) -> int:
    """30/360 as US bonds use it: a 31st counts as 30th after a 30th.

    The last day of February counts as 30th, too, for bonds that pay on the last days of months (`at_ends`).
    """
    first = 30 if at_ends and _ends_month(start) else min(start.day, 30)
    is_february = at_ends and end.month == 2 and start.month == 2 and _ends_month(end)
    last = 30 if first == 30 and (end.day == 31 or is_february) else end.day
    return (end.year - start.year) * 360 + (end.month - start.month) * 30 + last - first


def _thirty_european(start: date, end: date, _: bool) -> int:
    return (
        (end.year - start.year) * 360 + (end.month - start.month) * 30 + min(end.day, 30) - min(start.day, 30)
    )


_COUNTS: dict[str, Callable[[date, date, bool], int]] = {
    "act/act": _actual,
    "30/360": _thirty,
    "30e/360": _thirty_european,
}


def accrued_interest(
    *, coupon: float, per_year: int, maturity: date, on: date, basis: str = "act/act"
) -> float:
    """Interest earned since the last coupon, per 100 of face; `coupon` is the yearly rate as a fraction."""
    previous, following = coupon_dates(maturity, per_year, on)[:2]
    return 100.0 * coupon / per_year * elapsed(previous, on, following, basis)


def price(
    *, yield_: float, coupon: float, per_year: int, maturity: date, on: date, basis: str = "act/act"
) -> float:
    """Clean price per 100 of face at a yield compounded `per_year` times a year (street convention).

    Source: Fabozzi, Fixed Income Mathematics: each payment discounted over whole periods and the rest of
    the current one.
    """
    days = coupon_dates(maturity, per_year, on)
    gone = elapsed(days[0], on, days[1], basis)
    payment = 100.0 * coupon / per_year
    growth = 1.0 + yield_ / per_year
    periods = len(days) - 1
    dirty: float = sum(payment / growth ** (k + 1 - gone) for k in range(periods)) + 100.0 / growth ** (
        periods - gone
    )
    return dirty - payment * gone


def yield_to_maturity(
    clean: float, *, coupon: float, per_year: int, maturity: date, on: date, basis: str = "act/act"
) -> float:
    """The yield at which the bond costs `clean` per 100 of face; NaN outside -50 % to 1000 %."""

    def missing(rate: float) -> float:
        return (
            price(yield_=rate, coupon=coupon, per_year=per_year, maturity=maturity, on=on, basis=basis)
            - clean
        )

    low, high = -0.5, 10.0
    if missing(low) < 0.0 or missing(high) > 0.0:
        return float("nan")
    for _ in range(100):  # the price falls as the yield grows, so halving finds the only root
        middle = (low + high) / 2.0
        low, high = (middle, high) if missing(middle) > 0.0 else (low, middle)
    return (low + high) / 2.0
