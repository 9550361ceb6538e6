"""What holds for every ledger: order, parts and repetition do not matter; an undone import never was."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch.imports import undo
from tests.imports.files import NOW, Row, activities_file, everything, prices_file, take, undone
from tests.imports.strategies import closes, ledgers

pytestmark = pytest.mark.django_db

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(rows=ledgers, priced=closes, data=st.data())
def test_parts_in_any_order_give_the_ledger_of_the_whole(
    rows: list[Row], priced: list[Any], data: st.DataObject
) -> None:
    numbered: list[Row] = [row | {"external_id": f"E{n}"} for n, row in enumerate(rows)]
    cut = data.draw(st.integers(0, len(rows)))
    overlap = data.draw(st.integers(0, cut))
    shuffled = data.draw(st.permutations(numbered))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = [activities_file(folder, *numbered), prices_file(folder, *priced)]
        parts = [
            prices_file(folder, *priced, name="p.csv"),
            activities_file(folder, *shuffled[overlap:], name="a.csv"),
            activities_file(folder, *shuffled[:cut], name="b.csv"),
        ]
        found = []

        def take_all(paths: list[Path]) -> None:
            for path in paths:
                take(path)
            found.append(everything())

        undone(lambda: take_all(whole))
        undone(lambda: take_all(data.draw(st.permutations(parts))))
    assert found[0] == found[1]


@few
@given(before=ledgers, after=ledgers, priced=closes)
def test_an_import_that_is_undone_leaves_no_trace(
    before: list[Row], after: list[Row], priced: list[Any]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def do() -> None:
            take(activities_file(folder, *before))
            take(prices_file(folder, *priced))
            expected = everything()
            number = take(activities_file(folder, *after, name="after.csv")).number
            if number is not None:
                undo(number, NOW)
            assert everything() == expected

        undone(do)
