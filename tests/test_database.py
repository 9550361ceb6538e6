"""A copy of the database, whole and verified, and back from it."""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.imports.files import activities_file
from tests.running import app, command


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one imported deposit of 5 EUR, and a backup of it."""
    folder = tmp_path_factory.mktemp("imported")
    made = command(folder, "import", str(deposit(folder, "5")))
    assert made.returncode == 0, made.stderr
    assert command(folder, "backup", str(folder / "copy.sqlite3")).returncode == 0
    return folder


@pytest.fixture
def folder(imported: Path, tmp_path: Path) -> Path:
    """The same, for one test to change."""
    return shutil.copytree(imported, tmp_path, dirs_exist_ok=True)


def deposit(folder: Path, amount: str) -> Path:
    return activities_file(folder, {"kind": "deposit", "amount": amount}, name=f"{amount}.csv")


def cash(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "data" / "db.sqlite3")) as opened:
        return [amount for (amount,) in opened.execute("SELECT amount FROM stonks_overwatch_cashbalance")]


def test_a_backup_is_one_verified_file_for_its_owner_alone(folder: Path) -> None:
    done = command(folder, "backup", str(folder / "mine.sqlite3"))

    assert done.returncode == 0
    assert "verified" in done.stdout
    assert stat.S_IMODE((folder / "mine.sqlite3").stat().st_mode) == 0o600
    assert not list(folder.glob("mine.sqlite3-*"))
    with closing(sqlite3.connect(folder / "mine.sqlite3")) as opened:
        assert opened.execute("SELECT COUNT(*) FROM stonks_overwatch_activity").fetchone() == (1,)


def test_a_backup_without_a_name_is_named_by_its_time(folder: Path) -> None:
    command(folder, "backup")

    (copy,) = (folder / "data" / "backups").glob("db-[0-9]*.sqlite3")
    assert copy.stat().st_size > 0


def test_a_backup_overwrites_nothing(folder: Path) -> None:
    (folder / "there").write_text("mine")
    done = command(folder, "backup", str(folder / "there"))

    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"error: {folder / 'there'} is there already."
    assert (folder / "there").read_text() == "mine"
    nowhere = command(folder, "backup", str(folder / "none" / "copy"))
    assert nowhere.returncode == 1
    assert "cannot be written" in nowhere.stderr


def test_a_restore_brings_back_what_was_and_keeps_what_is(folder: Path) -> None:
    copy = folder / "copy.sqlite3"
    command(folder, "import", str(deposit(folder, "7")))
    assert cash(folder) == ["12"]

    done = command(folder, "restore", str(copy))

    assert done.returncode == 0, done.stderr
    assert cash(folder) == ["5"]
    (kept,) = (folder / "data" / "backups").glob("*before-restore*")
    assert str(kept) in done.stdout
    command(folder, "restore", str(kept))
    assert cash(folder) == ["12"]


def test_a_restore_works_without_a_database(folder: Path, tmp_path: Path) -> None:
    copy = folder / "copy.sqlite3"
    other = tmp_path / "other"
    other.mkdir()

    assert command(other, "restore", str(copy)).returncode == 0
    assert cash(other) == ["5"]


def test_nothing_is_restored_while_the_app_runs(folder: Path) -> None:
    copy = folder / "copy.sqlite3"
    with app(folder):
        done = command(folder, "restore", str(copy))

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: The database is in use by the app or another command.",
        "next step: End the app (Ctrl-C where it runs), then restore again.",
    ]


@pytest.mark.parametrize("what", ["none", "text", "foreign", "cut", "newer"])
def test_what_is_no_whole_backup_of_ours_is_refused_and_changes_nothing(what: str, folder: Path) -> None:
    copy = folder / "copy.sqlite3"
    match what:
        case "none":
            copy.unlink()
        case "text":
            copy.write_text("date,amount\n")
        case "foreign":
            copy.unlink()
            with closing(sqlite3.connect(copy)) as opened:
                opened.execute("CREATE TABLE a (b)")
        case "cut":
            content = copy.read_bytes()
            copy.write_bytes(content[: len(content) // 2])
        case "newer":
            with closing(sqlite3.connect(copy)) as opened, opened:
                opened.execute(
                    "INSERT INTO django_migrations (app, name, applied) "
                    "VALUES ('stonks_overwatch', '9999_later', '2030-01-01')"
                )
    done = command(folder, "restore", str(copy))

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert cash(folder) == ["5"]
    assert not list((folder / "data" / "backups").glob("*before-restore*"))


def test_a_restore_brings_a_copy_of_an_older_version_up_to_date(folder: Path) -> None:
    later = {"DJANGO_SETTINGS_MODULE": "tests.later.settings", "PYTHONPATH": str(Path(__file__).parents[1])}
    copy = folder / "copy.sqlite3"
    before = copy.read_bytes()

    done = command(folder, "restore", str(copy), **later)

    assert done.returncode == 0, done.stderr
    assert cash(folder) == ["5"]
    with closing(sqlite3.connect(folder / "data" / "db.sqlite3")) as opened:
        assert opened.execute("SELECT later FROM stonks_overwatch_account").fetchall() == [("new",)]
    assert copy.read_bytes() == before
    # This version does not know what that one made of it.
    refused = command(folder, "restore", str(folder / "data" / "db.sqlite3"))
    assert refused.returncode == 1
    assert "was made by a newer version." in refused.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "ALTER TABLE stonks_overwatch_account DROP COLUMN alias",
            "its table stonks_overwatch_account has no column alias",
        ),
        ("DROP TABLE stonks_overwatch_figure", "it has no table stonks_overwatch_figure"),
        ("DELETE FROM django_migrations WHERE app = 'stonks_overwatch'", "already exists"),
    ],
)
def test_a_copy_that_cannot_become_one_of_this_version_is_refused_and_changes_nothing(
    change: str, reason: str, folder: Path
) -> None:
    copy = folder / "copy.sqlite3"
    with closing(sqlite3.connect(copy)) as opened, opened:
        opened.execute(change)

    done = command(folder, "restore", str(copy))

    assert done.returncode == 1
    what, next_step = done.stderr.splitlines()
    assert what.startswith(f"error: {copy} was made by another version and cannot be brought up to date: ")
    assert what.endswith(f"{reason}.")
    assert next_step.startswith("next step: Restore it with the version that made it")
    assert cash(folder) == ["5"]
    assert not list((folder / "data").rglob("*.unfinished*"))
    assert not list((folder / "data" / "backups").glob("*before-restore*"))


def test_before_an_import_a_copy_is_made_and_few_stay(folder: Path) -> None:
    for amount in range(6, 12):
        command(folder, "import", str(deposit(folder, str(amount))))

    copies = sorted((folder / "data" / "backups").glob("*-before-import.sqlite3"))
    assert len(copies) == 5
    assert cash(folder) == [str(sum(range(5, 12)))]
    command(folder, "restore", str(copies[-1]))
    assert cash(folder) == [str(sum(range(5, 11)))]
