"""The arrays' lots are the ledger's own, to the precision of floats."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonks_overwatch.engine import lots as engine
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.matching import Terms, Told, matched
from stonks_overwatch.ledger.types import Activity, ActivityKind

Row = tuple[int, str, int, int | None]  # instrument, what, size, cents
rows = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["buy", "sell", "sell", "split", "out"]),
        st.integers(1, 300),
        st.one_of(st.none(), st.integers(0, 1_000_000)),
    ),
    max_size=30,
)


def told(method: Method) -> Told:
    return Told({"U1": method}, {}, {}, lambda _ref, _on: None)


def money_of(quantity: int, cents: int) -> Decimal:
    return Decimal(cents if quantity > 0 else -cents) / 100


def both(given_rows: list[Row], method: Method) -> tuple[engine.Matched, dict[str, list[float]]]:
    """The engine's answer, and the ledger's by instrument: gains of each row, open quantity, open cost."""
    ordered = sorted(enumerate(given_rows), key=lambda pair: (pair[1][0], pair[0]))
    activities, columns = [], []
    held: dict[int, int] = {}
    for number, (instrument, what, size, cents) in ordered:
        if what == "split":
            ratio, quantity, money = 1 + size % 4, 0, 0.0
            kind = ActivityKind.SPLIT
        else:
            sign = 1 if what == "buy" or (what == "out" and held.get(instrument, 0) < 0) else -1
            ratio, quantity = 1, sign * size
            money = float("nan") if cents is None else float(money_of(quantity, cents))
            kind = ActivityKind.TRANSFER_OUT if what == "out" else ActivityKind.BUY
        if what == "out" and abs(held.get(instrument, 0)) < size:
            kind = ActivityKind.BUY  # more than is there cannot leave at its cost
        held[instrument] = held.get(instrument, 0) * ratio + quantity
        columns.append((instrument, quantity, money, ratio, kind is ActivityKind.TRANSFER_OUT))
        activities.append(
            Activity(
                account="U1", key=str(number), source="", kind=kind, currency="EUR",
                broker_ref=str(instrument),
                trade_date=date(2026, 1, 1) + timedelta(days=number),
                quantity=Decimal(quantity) if quantity else None,
                ratio=Decimal(ratio) if what == "split" else None,
                gross=None if not quantity or cents is None else -money_of(quantity, cents),
                price=Decimal(0) if cents == 0 else None,
            )
        )  # fmt: skip
    array = np.array(columns, dtype=float).reshape(-1, 5).T
    trades = engine.Trades(array[0].astype(np.int64), array[1], array[2], array[3], array[4].astype(np.bool_))
    answer = engine.fifo(trades) if method is Method.FIFO else engine.average(trades)
    exact = matched(activities, {str(n): Terms(currency="EUR") for n in range(3)}, told(method))
    expected: dict[str, list[float]] = {}
    for (_, ref), of_ref in exact.items():
        gains = {close.closed_by: 0.0 for close in of_ref.closed}
        for close in of_ref.closed:
            gain = close.realized_pnl
            gains[close.closed_by] += float("nan") if gain is None else float(gain)
        cost = of_ref.cost
        numbers = [float(of_ref.quantity), float("nan") if cost is None else float(cost)]
        expected[ref] = [*numbers, *(gains.get(str(n), 0.0) for n, row in ordered if str(row[0]) == ref)]
    return answer, expected


def compare(given_rows: list[Row], method: Method) -> None:
    answer, expected = both(given_rows, method)
    instruments = np.array(sorted(row[0] for row in given_rows))
    for ref, numbers in expected.items():
        mine = instruments == int(ref)
        got = [
            float(np.sum(answer.open_quantity[mine])),
            float(np.sum(answer.open_cost[mine])),
            *answer.realized[mine].tolist(),
        ]
        assert got == pytest.approx(numbers, rel=1e-9, abs=1e-6, nan_ok=True)


@given(rows)
def test_first_in_first_out_is_the_ledger_s(given_rows: list[Row]) -> None:
    compare(given_rows, Method.FIFO)


@given(rows)
def test_average_cost_is_the_ledger_s(given_rows: list[Row]) -> None:
    compare([row for row in given_rows if row[3] is not None], Method.AVERAGE)


def test_rows_of_one_instrument_must_stand_together() -> None:
    ones = np.ones(3)
    with pytest.raises(ValueError, match="together"):
        engine.fifo(engine.Trades(np.array([1, 2, 1]), ones, ones, ones, ones > 1))


def test_nothing_comes_of_nothing() -> None:
    none = np.zeros(0)
    answer = engine.fifo(engine.Trades(none.astype(np.int64), none, none, none, none.astype(np.bool_)))
    assert len(answer.realized) == 0
