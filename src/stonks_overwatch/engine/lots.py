"""Lots of many instruments at once: arrays of trades in, realized gains and what is open out.

The same as the ledger's own matching to the precision of floats, for trades, splits and moves at cost; what
takes lots from one instrument to another (mergers, exercises) is the ledger's alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Truths = NDArray[np.bool_]

# Of the quantity it came from: less is what adding and subtracting floats leaves of nothing.
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Trades:
    """Shape (rows,) each; the rows of one instrument together, in order of time.

    `quantity` is signed; `money` is what it cost with its sign (a sale: minus what it brought), NaN where
    unknown; `ratio` is units after a split for one before, 1 elsewhere (its quantity is 0); `is_at_cost`
    marks what moves at its cost: nothing is realized.
    """

    instrument: Whole
    quantity: Floats
    money: Floats
    ratio: Floats
    is_at_cost: Truths


@dataclass(frozen=True, slots=True)
class Matched:
    """Shape (rows,) each: what a row realized, and what is open of the lot it opened with its cost.

    0 where a row closed or opened nothing; NaN where a cost or proceeds are unknown.
    """

    realized: Floats
    open_quantity: Floats
    open_cost: Floats


def fifo(trades: Trades) -> Matched:
    """First in, first out.

    The cost of the first x units of an instrument is a line through the sums of quantity and cost of what
    was opened; what a sale closed cost the line's rise between two sums of what was closed.
    Raises: ValueError if the rows of an instrument are not together.
    """
    starts = _starts(trades.instrument)
    if not len(trades.quantity):
        return Matched(np.zeros(0), np.zeros(0), np.zeros(0))
    scale = _units_after(trades, starts)
    quantity = trades.quantity * scale
    before = _before(quantity, starts)
    closing = np.where(
        np.sign(quantity) * np.sign(before) < 0,
        np.sign(quantity) * np.minimum(np.abs(quantity), np.abs(before)),
        0.0,
    )
    share = np.divide(closing, quantity, out=np.zeros_like(quantity), where=quantity != 0)
    # What is as good as all of it is all of it.
    share[share > 1 - _NOTHING] = 1.0
    opening = np.where(share == 1.0, 0.0, quantity - closing)
    realized, left, cost = np.zeros((3, len(quantity)))
    for side in (1.0, -1.0):
        opened = np.where(side * opening > 0, side * opening, 0.0)
        closed = np.where(side * closing < 0, -side * closing, 0.0)
        paid = np.where(opened > 0, trades.money * (1 - share), 0.0)
        begun, first, last = _line(opened, starts)
        ended = begun + _within(closed, starts)
        took = _rise(ended - closed, ended, last, paid)
        brought = -trades.money * share
        is_sale = (closed > 0) & ~trades.is_at_cost
        realized[is_sale] = (brought - took)[is_sale]
        gone = _at_end(ended, starts)
        rest = np.clip(last - np.maximum(first, gone), 0.0, opened)
        rest[rest < _NOTHING * opened] = 0.0
        part = np.divide(rest, opened, out=np.zeros_like(rest), where=opened > 0)
        left += side * rest
        cost += np.where(rest > 0, paid * part, 0.0)
    return Matched(realized, left, cost)


def average(trades: Trades) -> Matched:
    """Every unit of an instrument at the average cost of all that is open.

    `open_quantity` and `open_cost` stand in the last row of each instrument.
    """
    starts = _starts(trades.instrument)
    realized, left, cost = np.zeros((3, len(trades.quantity)))
    columns = (trades.quantity.tolist(), trades.money.tolist(), trades.ratio.tolist())
    at_cost = trades.is_at_cost.tolist()
    for start, end in _spans(starts, len(trades.quantity)):
        held = paid = 0.0
        for row in range(start, end):
            quantity, money, ratio = (column[row] for column in columns)
            held *= ratio
            if held * quantity < 0:
                part = min(abs(quantity), abs(held))
                took = paid * part / abs(held)
                if not at_cost[row]:
                    realized[row] = -money * part / abs(quantity) - took
                is_all = abs(held) - part <= _NOTHING * abs(held)
                over = 0.0 if abs(quantity) - part <= _NOTHING * abs(quantity) else abs(quantity) - part
                paid = money * over / abs(quantity) if is_all and over else 0.0 if is_all else paid - took
                held = over * (1 if quantity > 0 else -1) if is_all else held + quantity
            else:
                held += quantity
                paid += money if quantity else 0.0
        left[end - 1], cost[end - 1] = held, paid
    return Matched(realized, left, cost)


def _starts(instrument: Whole) -> Whole:
    """The first row of each instrument."""
    if not len(instrument):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate(([True], instrument[1:] != instrument[:-1])))
    if len(np.unique(instrument[starts])) != len(starts):
        raise ValueError("the rows of one instrument must stand together")
    return starts


def _units_after(trades: Trades, starts: Whole) -> Floats:
    """Units after all later splits for one of the row's."""
    scale = np.ones_like(trades.quantity)
    for row in np.flatnonzero(trades.ratio != 1.0).tolist():
        start = starts[np.searchsorted(starts, row, side="right") - 1]
        scale[start:row] *= trades.ratio[row]
    return scale


def _within(amounts: Floats, starts: Whole) -> Floats:
    """Running sums that begin anew with each instrument."""
    sums = np.cumsum(amounts)
    offsets = np.concatenate(([0.0], sums))[starts]
    within: Floats = sums - np.repeat(offsets, _lengths(starts, len(amounts)))
    return within


def _before(quantity: Floats, starts: Whole) -> Floats:
    """The position before each row; what is left of nothing is 0."""
    held = np.zeros_like(quantity)
    for start, end in _spans(starts, len(quantity)):
        after = np.cumsum(quantity[start:end])
        after[np.abs(after) <= _NOTHING * np.cumsum(np.abs(quantity[start:end]))] = 0.0
        held[start + 1 : end] = after[:-1]
    return held


def _line(opened: Floats, starts: Whole) -> tuple[Floats, Floats, Floats]:
    """On one axis for all instruments: where each one's begins, and where each row's lot begins and ends."""
    last = np.cumsum(opened)
    first = last - opened
    return np.repeat(first[starts], _lengths(starts, len(opened))), first, last


def _rise(low: Floats, high: Floats, last: Floats, paid: Floats) -> Floats:
    """The cost between two places of the axis; NaN where a lot between them has no known cost."""
    axis = np.concatenate(([0.0], last))
    unknown = np.isnan(paid)
    cost = np.concatenate(([0.0], np.cumsum(np.where(unknown, 0.0, paid))))
    rise = np.interp(high, axis, cost) - np.interp(low, axis, cost)
    if unknown.any():
        size = np.diff(axis)
        dark = np.concatenate(([0.0], np.cumsum(np.where(unknown, size, 0.0))))
        hidden = np.interp(high, axis, dark) - np.interp(low, axis, dark)
        rise[hidden > _NOTHING * np.maximum(high, 1.0)] = np.nan
    return rise


def _at_end(ended: Floats, starts: Whole) -> Floats:
    """The last value of each instrument, in all its rows."""
    ends = np.concatenate((starts[1:], [len(ended)])) - 1
    return np.repeat(ended[ends], _lengths(starts, len(ended)))


def _lengths(starts: Whole, rows: int) -> Whole:
    return np.diff(np.concatenate((starts, [rows])))


def _spans(starts: Whole, rows: int) -> Iterator[tuple[int, int]]:
    """First row and the one after the last of each instrument."""
    return zip(starts.tolist(), [*starts[1:].tolist(), rows][: len(starts)], strict=True)
