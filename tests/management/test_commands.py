import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.running import command


def test_sync_without_a_configuration_says_what_to_do(tmp_path: Path) -> None:
    ended = command(tmp_path, "sync", "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout) == {"runs": []}
    what, next_step = ended.stderr.splitlines()
    assert what == f"error: There is no configuration yet: {tmp_path / 'config.json'} does not exist."
    assert next_step.startswith("next step: Copy ")


def test_sync_with_every_login_switched_off_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    ended = command(tmp_path, "sync")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"error: {tmp_path / 'config.json'} has no enabled login.",
        "next step: Fill in its credentials and set enabled to true.",
    ]


def test_a_configuration_that_cannot_be_read_is_a_failed_run_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"base_curency": "EUR"}')
    ended = command(tmp_path, "sync", "--json")
    assert ended.returncode == 1
    (run,) = json.loads(ended.stdout)["runs"]
    assert run["status"] == "failed"
    assert run["error"]["code"] == "config_invalid"
    assert "base_curency" in run["error"]["what"]
    assert ended.stderr == f"error: {run['error']['what']}\nnext step: {run['error']['next_step']}\n"
    assert command(tmp_path, "sync").stdout == ""


@pytest.mark.parametrize(
    "arguments", [["sync", "etrade"], ["doctor", "etrade"], ["nosuch"], ["sync", "--js"]]
)
def test_a_wrong_command_line_is_status_2_and_prints_nothing_on_standard_output(
    arguments: list[str], tmp_path: Path
) -> None:
    ended = command(tmp_path, *arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""


def test_the_overview_lists_our_commands_alone(tmp_path: Path) -> None:
    names = [line.split()[0] for line in command(tmp_path, "help").stdout.splitlines()[1:]]
    assert {"run", "sync", "doctor", "holdings", "reconcile"} <= set(names)
    assert "migrate" not in names


def test_doctor_without_a_configuration_still_looks_at_database_and_disk(tmp_path: Path) -> None:
    ended = command(tmp_path, "doctor", "--port", "0", "--json")
    assert ended.returncode == 1
    findings = json.loads(ended.stdout)["findings"]
    assert [(finding["check"], finding["status"]) for finding in findings] == [
        ("config", "error"),
        ("database", "ok"),
        ("disk", "ok"),
        ("port", "ok"),
    ]


def test_doctor_on_a_new_data_folder_finds_everything_in_order(
    sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    broker = sandbox("small")
    ended = command(
        tmp_path,
        "doctor",
        "ibkr",
        "--json",
        IBIND_OAUTH1A_REST_URL=broker.rest_url,
        STONKS_OVERWATCH_CONFIG=str(broker.config_file),
    )
    findings = json.loads(ended.stdout)["findings"]
    assert {finding["status"] for finding in findings} == {"ok"}
    assert {finding["check"] for finding in findings} >= {
        "config",
        "encryption key",
        "signature key",
        "key pair",
        "prime",
        "address",
        "clock",
        "login",
        "accounts",
        "database",
        "disk",
    }
    assert ended.returncode == 0


def test_a_database_that_is_about_to_change_shape_is_copied_first(tmp_path: Path) -> None:
    assert command(tmp_path, "holdings").returncode == 0
    assert not (tmp_path / "data" / "backups").exists()
    database = tmp_path / "data" / "db.sqlite3"
    # As an older version would have left it: a migration is known, but its tables are not there yet.
    with closing(sqlite3.connect(database)) as opened, opened:
        for (table,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table.startswith("stonks_overwatch_"):
                opened.execute(f'DROP TABLE "{table}"')
        opened.execute("UPDATE django_migrations SET name = '0000_before'")
        opened.execute("CREATE TABLE of_the_older_version (amount TEXT)")
    assert command(tmp_path, "holdings").returncode == 0
    (copy,) = (tmp_path / "data" / "backups").iterdir()
    with closing(sqlite3.connect(copy)) as opened:
        assert opened.execute("SELECT count(*) FROM of_the_older_version").fetchone() == (0,)
        assert opened.execute("SELECT name FROM django_migrations").fetchall() == [("0000_before",)]


def test_a_damaged_database_is_one_sentence_and_a_next_step(tmp_path: Path) -> None:
    assert command(tmp_path, "holdings").returncode == 0
    (tmp_path / "data" / "db.sqlite3").write_bytes(b"this is not a database" * 1000)
    ended = command(tmp_path, "holdings", "--json")
    assert ended.returncode == 1
    assert ended.stdout == ""
    what, next_step = ended.stderr.splitlines()
    assert what == "error: The database cannot be used: file is not a database."
    assert "backups" in next_step
