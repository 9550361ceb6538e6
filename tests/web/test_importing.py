"""The page that imports files."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from stonks_overwatch.ledger import models
from stonks_overwatch.web import importing
from tests.imports.files import activities_file, take
from tests.web.conftest import Configure
from tests.web.test_pages import text

pytestmark = pytest.mark.django_db

HEAD = "date,account,kind,symbol,quantity,price,currency,amount\n"
DEPOSIT = f"{HEAD}2024-01-02,Main,deposit,,,,EUR,5\n"


@pytest.fixture(autouse=True)
def configured(configure: Configure) -> None:
    configure()


@pytest.fixture
def waiting() -> Iterator[Path]:
    folder: Path = settings.DATA_DIR / "uploads"
    yield folder
    assert not list(folder.glob("*"))


def send(reader: Client, *files: str, names: tuple[str, ...] = (), **values: str) -> Any:
    sent = [
        SimpleUploadedFile(name, content.encode())
        for name, content in zip(names or [f"{n}.csv" for n in range(len(files))], files, strict=True)
    ]
    return reader.post("/import", {"files": sent, **values})


def token(answer: Any) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{32})"', answer.content.decode())
    assert found
    return found[1]


def test_a_file_is_looked_at_before_it_is_imported(reader: Client, waiting: Path) -> None:
    looked = send(reader, DEPOSIT, account="")

    assert "What an import would do Nothing is stored yet." in text(looked)
    assert "0.csv Activities, 1 row Activities 1 1 0 0" in text(looked)
    assert not models.Import.objects.exists()

    done = reader.post("/import", {"token": token(looked)})

    assert "What was imported" in text(done)
    assert models.CashBalance.objects.get().amount == 5
    assert "0.csv number" in text(done)


def test_the_account_that_is_named_takes_all_rows(reader: Client, waiting: Path) -> None:
    looked = send(reader, DEPOSIT, account="Mine")
    reader.post("/import", {"token": token(looked), "account": "Mine"})

    assert models.Account.objects.get().account == "Mine"


def test_refused_rows_are_listed_and_cannot_be_imported(reader: Client, waiting: Path) -> None:
    answer = send(reader, f"{DEPOSIT}2024-01-02,Main,deposit,,,,EUR,<b>x</b>\n")

    assert "Line 3: amount '<b>x</b>' is not a number like -1234.56." in text(answer)
    assert "<b>x" not in answer.content.decode()
    assert 'name="token"' not in answer.content.decode()


def test_a_file_without_rows_says_so_and_offers_no_import(reader: Client, waiting: Path) -> None:
    answer = send(reader, DEPOSIT.splitlines()[0])

    assert "The file names columns and has no rows" in text(answer)
    assert 'name="token"' not in answer.content.decode()


def test_a_file_is_imported_once(reader: Client, waiting: Path) -> None:
    found = token(send(reader, DEPOSIT))
    reader.post("/import", {"token": found})
    answer = reader.post("/import", {"token": found})

    assert answer.status_code == 409
    assert "These files are not here any more" in text(answer)


@pytest.mark.parametrize("found", ["", "..", "../../etc", "0" * 32, "/tmp"])
def test_a_token_that_was_not_given_names_nothing(found: str, reader: Client, waiting: Path) -> None:
    assert reader.post("/import", {"token": found}).status_code == 409


def test_without_a_file_there_is_nothing_to_look_at(reader: Client, waiting: Path) -> None:
    answer = reader.post("/import", {"account": ""})

    assert answer.status_code == 409
    assert "No file was chosen." in text(answer)


def test_a_name_with_folders_is_a_name(reader: Client, waiting: Path) -> None:
    looked = send(reader, DEPOSIT, DEPOSIT, names=("../../evil.csv", "..\\..\\evil.csv"))
    reader.post("/import", {"token": token(looked)})

    assert set(models.Import.objects.values_list("file", flat=True)) == {"evil.csv"}


def test_more_than_is_read_is_refused(reader: Client, waiting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MOST_BYTES", 1 << 20)
    answer = send(reader, "x" * ((1 << 20) + 1))

    assert answer.status_code == 413
    assert "More than 1 MB were sent; nothing of it was read." in text(answer)


def test_what_nobody_decided_about_is_removed_after_a_day(
    reader: Client, waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = token(send(reader, DEPOSIT))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + importing.SECONDS_TO_DECIDE + 1)
    monkeypatch.setattr(importing, "SECONDS_TO_DECIDE", importing.SECONDS_TO_DECIDE)
    send(reader, "broken")  # any look removes what is old

    assert not (waiting / old).exists()


def test_an_import_is_undone(reader: Client, tmp_path: Path) -> None:
    take(activities_file(tmp_path, {"kind": "deposit", "amount": "5"}))
    number = models.Import.objects.get().pk
    assert "activities.csv number" in text(reader.get("/import"))

    answer = reader.post(f"/import/{number}/undo")

    assert answer.status_code == 302
    assert not models.Account.objects.exists()
    assert reader.post(f"/import/{number}/undo").status_code == 409
    assert reader.get(f"/import/{number}/undo").status_code == 405


def test_a_form_of_another_site_imports_nothing(waiting: Path) -> None:
    strict = Client(enforce_csrf_checks=True, headers={"host": "127.0.0.1"})

    assert send(strict, DEPOSIT).status_code == 403
    assert strict.post("/import/1/undo").status_code == 403


def test_the_welcome_page_leads_to_the_import(reader: Client) -> None:
    page = reader.get("/welcome").content.decode()

    assert 'href="/import"' in page
    assert "not in this version" not in page


def test_every_page_works_for_imported_accounts_alone(reader: Client, tmp_path: Path) -> None:
    take(
        activities_file(
            tmp_path,
            {"kind": "deposit", "amount": "500"},
            {"kind": "buy", "symbol": "ABC", "quantity": "2", "price": "10"},
        )
    )
    for page in ("/", "/holdings", "/accounts", "/sync", "/settings", "/welcome", "/import"):
        assert reader.get(page).status_code == 200
    assert "imported files" in text(reader.get("/accounts"))
