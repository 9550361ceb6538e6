"""Examples of lots that others have published, with their figures (tests/golden/lots)."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stonks_overwatch.ledger.lots import Method, Pick
from stonks_overwatch.ledger.matching import Terms, Told, matched
from stonks_overwatch.ledger.types import ActivityKind
from tests.builders import activity

CASES = json.loads((Path(__file__).parents[1] / "golden" / "lots" / "published.json").read_text())


@pytest.mark.parametrize(
    ("case", "method"), [(case, Method(method)) for case in CASES for method in case["gains"]]
)
def test_gains_are_those_that_were_published(case: dict[str, Any], method: Method) -> None:
    trades = [
        activity(
            ActivityKind.BUY if Decimal(quantity) > 0 else ActivityKind.SELL,
            date.fromisoformat(on), quantity, gross=gross, fee=fee[0] if fee else None, key=str(number),
        )
        for number, (on, quantity, gross, *fee) in enumerate(case["trades"])
    ]  # fmt: skip
    choices = {
        ("U1", closing): [Pick(Decimal(size), opened_by=opening) for opening, size in lots.items()]
        for closing, lots in case.get("chosen", {}).items()
    }
    told = Told({"U1": method}, choices, {}, lambda _ref, _on: None)
    lots = matched(trades, {"1": Terms()}, told)["U1", "1"]
    gain = sum((close.realized_pnl or Decimal(0) for close in lots.closed), Decimal(0))
    assert gain == Decimal(case["gains"][method]), case["source"]
    if left := case.get("left", {}).get(method):
        assert lots.cost == Decimal(left), case["source"]
