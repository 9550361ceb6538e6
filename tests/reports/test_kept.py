"""What is worked out once and kept until something in the database changes."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from stonks_overwatch.reports.kept import MOST_ANSWERS, Answers, Version, Watch, kept, version
from tests.imports.files import activities_file
from tests.running import environment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database as the app's, with one number in it."""
    place = tmp_path / "db.sqlite3"
    change(
        place, "PRAGMA journal_mode=WAL", "CREATE TABLE numbers (number)", "INSERT INTO numbers VALUES (1)"
    )
    return place


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as opened:
        for statement in statements:
            opened.execute(statement)


def test_a_version_stays_until_anything_is_committed(file: Path) -> None:
    watch = Watch()
    first = watch.version(file)
    assert watch.version(file) == first
    with closing(sqlite3.connect(file)) as reading:
        assert reading.execute("SELECT number FROM numbers").fetchall() == [(1,)]
        assert watch.version(file) == first

    change(file, "UPDATE numbers SET number = 2")

    second = watch.version(file)
    assert second != first
    change(file, "BEGIN", "INSERT INTO numbers VALUES (3)", "ROLLBACK")
    assert watch.version(file) == second


def test_the_version_is_another_one_as_soon_as_a_long_transaction_ends_and_not_before(file: Path) -> None:
    watch = Watch()
    with closing(sqlite3.connect(file, isolation_level=None)) as writing:
        before = watch.version(file)
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("UPDATE numbers SET number = 2")
        assert watch.version(file) == before
        writing.execute("COMMIT")
        assert watch.version(file) != before


def test_a_file_put_in_the_place_of_another_is_another_version(file: Path, tmp_path: Path) -> None:
    watch = Watch()
    before = watch.version(file)
    other = tmp_path / "other.sqlite3"
    change(other, "PRAGMA journal_mode=WAL", "CREATE TABLE numbers (number)")

    other.replace(file)

    assert watch.version(file) != before


def test_a_file_that_is_not_there_has_no_version_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Watch().version(tmp_path / "none.sqlite3")
    assert not list(tmp_path.iterdir())


def test_answers_of_an_older_version_are_gone() -> None:
    answers = Answers()
    answers.keep(Version(1, 1), "question", None)
    assert answers.of(Version(1, 1), "question") == (None,)
    assert answers.of(Version(1, 2), "question") is None

    answers.keep(Version(1, 2), "another", 5)

    assert answers.of(Version(1, 1), "question") is None
    assert answers.of(Version(1, 2), "another") == (5,)


def test_the_longest_unused_answer_goes_first() -> None:
    answers, now = Answers(), Version(1, 1)
    for number in range(MOST_ANSWERS):
        answers.keep(now, number, number)
    answers.of(now, 0)

    answers.keep(now, "one more", 0)

    assert answers.of(now, 0) == (0,)
    assert answers.of(now, 1) is None


@pytest.mark.django_db
def test_within_a_transaction_everything_is_worked_out_anew() -> None:
    asked = []

    @kept
    def report(number: int) -> int:
        asked.append(number)
        return number

    assert connection.in_atomic_block
    assert version() is None
    assert [report(1), report(1)] == [1, 1]
    assert asked == [1, 1]


_PROGRAM = """
import django

django.setup()

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

from stonks_overwatch import database
from stonks_overwatch.imports import import_file
from stonks_overwatch.reports.accounts import account_rows
from stonks_overwatch.reports.dashboard import dashboard
from stonks_overwatch.reports.holdings import holdings, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope

everything = Scope("EUR")
REPORTS = (holdings, dashboard, account_rows)


def shown():
    return [report(everything).model_dump_json() for report in REPORTS]


database.prepare()
shown()  # stores the lots and the daily series
assert shown() == shown() and valuation(everything) is valuation(everything, method=None), "worked out twice"
for file in sys.argv[1:]:
    before, known = shown(), valuation(everything)
    import_file(Path(file))
    assert valuation(everything) is not known, f"kept after {file}"
    print(holdings(everything).totals.cash_base)

asked = []


@kept
def slow(number):
    asked.append(number)
    sleep(0.2)
    return number


with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(slow, (7, 7, 8, 7))) == [7, 7, 8, 7]
assert sorted(asked) == [7, 8], f"worked out at the same time: {asked}"
"""


def test_a_report_is_worked_out_once_and_anew_after_each_import(tmp_path: Path) -> None:
    files = [
        activities_file(
            tmp_path,
            {"date": f"2026-01-0{day}", "kind": "deposit", "amount": amount},
            name=f"{day}.csv",
        )
        for day, amount in ((5, "100"), (6, "20"))
    ]

    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, files)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["100", "120"]
