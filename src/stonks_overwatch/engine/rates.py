"""Exchange rates of every day: from quoted pairs, by inversion, through a third currency, or a reference.

Days are proleptic ordinals. Unknown is NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ages = NDArray[np.int64]

CARRIED_DAYS = 7
_NEVER = np.iinfo(np.int64).max


class Block(NamedTuple):
    """Numbers of consecutive days: of day `first` the first of `numbers`; NaN where there is none."""

    first: int
    numbers: Floats

    @classmethod
    def of(cls, first: int, packed: bytes | memoryview) -> "Block":
        return cls(first, np.frombuffer(packed, dtype=np.float64))


def window(block: Block, first: int, last: int) -> Floats:
    """Shape (days,): the block's numbers of the days from `first` to `last`, NaN outside of it."""
    cut = np.full(last - first + 1, np.nan)
    put(block, cut, first)
    return cut


def put(block: Block, days: Floats, first: int) -> None:
    """Write the block's numbers into `days`, whose first is `first`; those outside of it are left out."""
    start, end = max(first, block.first), min(first + days.size, block.first + block.numbers.size)
    if start < end:
        days[start - first : end - first] = block.numbers[start - block.first : end - block.first]


def carry(numbers: Floats, limit: int = CARRIED_DAYS) -> tuple[Floats, Ages]:
    """Every day's number, or the last one of at most `limit` days before.

    Args:
        numbers: shape (..., days); NaN where there is none.

    Returns: the filled numbers, and how old each is in days; both of the given shape. Where nothing is
        known, NaN and an age of more than any limit.
    """
    days = np.arange(numbers.shape[-1])
    known = ~np.isnan(numbers)
    last = np.maximum.accumulate(np.where(known, days, -1), axis=-1)
    ages = days - last
    filled = np.take_along_axis(numbers, np.maximum(last, 0), axis=-1)
    unknown = (last < 0) | (ages > limit)
    return np.where(unknown, np.nan, filled), np.where(unknown, _NEVER, ages)


def fill(numbers: Floats, limit: int = CARRIED_DAYS) -> NDArray[np.bool_]:
    """Give, in place, every day without a number the last one of at most `limit` days before.

    Args:
        numbers: shape (rows, days), one row after the other; NaN where there is none.

    Returns: which days were given one, of the same shape. Faster than `carry`, and tells no ages.
    """
    missing = np.isnan(numbers)
    before = missing.copy()
    flat, left, width = numbers.reshape(-1), missing.reshape(-1), numbers.shape[1]
    for _ in range(limit):
        # Each round fills one day more, from days that have a number by now.
        given = np.flatnonzero(missing[:, 1:] & ~missing[:, :-1])
        if not given.size:
            break
        given += given // (width - 1) + 1  # places among all days
        flat[given] = flat[given - 1]
        left[given] = False
    carried: NDArray[np.bool_] = before & ~missing
    return carried


References = Callable[[Sequence[str], int, int], Mapping[str, Block]]


def into(
    base: str,
    currencies: Sequence[str],
    pairs: Mapping[tuple[str, str], Block],
    references: References,
    first: int,
    last: int,
) -> Floats:
    """Units of the base currency for one unit of each currency.

    Args:
        currencies: those wanted.
        pairs: quoted rates by (currency, quote): units of `quote` for one unit.
        references: called with currencies and the days for which nothing is quoted; returns units of each
            currency for one unit of a common one (the ECB's: the euro).
        first, last: the days wanted.

    Returns: shape (currencies, days). A rate of at most seven days before counts. The pair's own rate or
        the inverse of the opposite pair comes first, whichever is newer; then a cross through a third
        currency; then the reference rates; else NaN.
    """
    start = first - CARRIED_DAYS
    quoted: dict[tuple[str, str], tuple[Floats, Ages]] = {}
    for (one, other), block in pairs.items():
        rates, ages = carry(window(block, start, last))
        _keep_newer(quoted, (one, other), rates, ages, own=True)
        _keep_newer(quoted, (other, one), 1.0 / rates, ages, own=False)
    table = np.ones((len(currencies), last - first + 1))
    for row, currency in enumerate(currencies):
        if currency == base:
            continue
        rates, _ = quoted.get((currency, base), (np.full(last - start + 1, np.nan), None))
        if np.isnan(rates[CARRIED_DAYS:]).any():
            rates = _or_else(rates, _crossed(currency, base, quoted, rates.size))
        table[row] = rates[CARRIED_DAYS:]
        unknown = np.nonzero(np.isnan(table[row]))[0]
        if unknown.size:
            days = first + int(unknown[0]) - CARRIED_DAYS, first + int(unknown[-1])
            told = references((currency, base), *days)
            if currency in told and base in told:
                crossed = carry(window(told[base], *days) / window(told[currency], *days))[0]
                table[row, unknown] = crossed[unknown - unknown[0] + CARRIED_DAYS]
    return table


def _or_else(rates: Floats, others: Floats) -> Floats:
    return np.where(np.isnan(rates), others, rates)


def _keep_newer(
    quoted: dict[tuple[str, str], tuple[Floats, Ages]],
    pair: tuple[str, str],
    rates: Floats,
    ages: Ages,
    *,
    own: bool,
) -> None:
    """Join two sources of one pair: the newer of each day; of equal age the pair's own rate."""
    if pair in quoted:
        known, known_ages = quoted[pair]
        better = ages <= known_ages if own else ages < known_ages
        rates, ages = np.where(better, rates, known), np.where(better, ages, known_ages)
    quoted[pair] = rates, ages


def _crossed(
    currency: str, base: str, quoted: Mapping[tuple[str, str], tuple[Floats, Ages]], size: int
) -> Floats:
    """Through one common currency; of several, the one whose older leg is newest, then by name."""
    best, best_ages = np.full(size, np.nan), np.full(size, _NEVER)
    commons = sorted({other for one, other in quoted if one == currency and (other, base) in quoted})
    for common in commons:
        (leg, leg_ages), (rest, rest_ages) = quoted[currency, common], quoted[common, base]
        ages = np.maximum(leg_ages, rest_ages)
        better = ages < best_ages
        best, best_ages = np.where(better, leg * rest, best), np.where(better, ages, best_ages)
    return best
