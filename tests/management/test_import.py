"""The command that imports files: what it prints, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from stonks_overwatch.ledger import models
from tests.imports.files import activities_file, prices_file
from tests.running import command

pytestmark = pytest.mark.django_db

DEPOSIT = {"kind": "deposit", "amount": "5"}


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> str:
        call_command("import", *map(str, arguments))
        return capsys.readouterr().out

    return run


def test_the_document_tells_of_each_file(printed: Any, tmp_path: Path) -> None:
    files = (activities_file(tmp_path, dict(DEPOSIT)), prices_file(tmp_path, ("2024-01-02", "A", "EUR", "1")))

    document = json.loads(printed(*files, "--json"))

    assert document == {
        "files": [
            {"file": "activities.csv", "kind": "activities", "rows": 1, "new": 1, "known": 0, "inbox": []},
            {"file": "prices.csv", "kind": "prices", "rows": 1, "new": 1, "known": 0, "inbox": []},
        ]
    }
    assert json.loads(printed(*files, "--json"))["files"][0]["known"] == 1


def test_a_dry_run_says_that_it_is_one(printed: Any, tmp_path: Path) -> None:
    shown = printed(activities_file(tmp_path, dict(DEPOSIT)), "--dry-run")

    assert shown == "activities.csv (activities): 1 rows, 1 new, 0 known (a trial: nothing was stored)\n"
    assert not models.Activity.objects.exists()


def test_imports_are_listed_and_undone_by_their_number(printed: Any, tmp_path: Path) -> None:
    assert printed("--list") == "Nothing was imported yet.\n"
    shown = printed(activities_file(tmp_path, dict(DEPOSIT)))
    number = shown.split()[-1]

    assert "activities.csv" in printed("--list")
    assert json.loads(printed("--list", "--json"))["imports"][0]["id"] == int(number)
    assert json.loads(printed("--undo", number, "--json")) == {
        "undone": {"id": int(number), "file": "activities.csv", "kind": "activities"}
    }
    assert not models.Account.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_refused_rows_are_in_the_document_and_the_command_fails(tmp_path: Path) -> None:
    bad = activities_file(tmp_path, dict(DEPOSIT), {**DEPOSIT, "amount": "x"})
    good = prices_file(tmp_path, ("2024-01-02", "A", "EUR", "1"))

    done = command(tmp_path, "import", str(bad), str(good), "--json")

    assert done.returncode == 1
    first, second = json.loads(done.stdout)["files"]
    assert first["inbox"] == [{"row": 3, "reason": "amount 'x' is not a number like -1234.56."}]
    assert (first["rows"], first["new"], first["known"]) == (2, 0, 0)
    assert second["new"] == 1  # each file is for itself
    assert done.stderr.splitlines() == [
        "error: activities.csv: not all of it can be imported, so nothing of it was stored.",
        "next step: Correct what is named above and import the whole file again; known rows count once.",
    ]


def test_a_wrong_command_line_is_told_apart(tmp_path: Path) -> None:
    assert command(tmp_path, "import").returncode == 2
    assert command(tmp_path, "import", "--undo", "1", "--list").returncode == 2
    missing = command(tmp_path, "import", str(tmp_path / "none.csv"))
    assert missing.returncode == 1
    assert missing.stderr.startswith(f"error: The file {tmp_path / 'none.csv'} cannot be read")
    assert command(tmp_path, "import", "--undo", "1").returncode == 1
