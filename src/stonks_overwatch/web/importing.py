"""The page that imports files: first a trial that stores nothing, then the import; and undoing one.

Between the two the files wait in a folder of their own in the data folder. A token that nobody can guess
names it; what nobody imported is removed after a day.
"""

import re
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST

from stonks_overwatch import tasks
from stonks_overwatch.errors import ImportRefusedError, StonksError
from stonks_overwatch.imports import FileResult, import_files, undo
from stonks_overwatch.reports.imports import ImportRow, imports
from stonks_overwatch.web.downloads import Table, csv_answer
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import render_page

MOST_BYTES = 512 * 1024 * 1024
MOST_REASONS = 200
SECONDS_TO_DECIDE = 24 * 60 * 60
_TOKEN = re.compile(r"[0-9a-f]{32}")


class _TooLargeError(Exception):
    """More is being sent than is read."""


class _Bounded(TemporaryFileUploadHandler):
    """Writes what is sent to a temporary file, and no more than MOST_BYTES of all files together."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.received += len(raw_data)
        if self.received > MOST_BYTES:
            raise _TooLargeError
        super().receive_data_chunk(raw_data, start)


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_exempt  # checked by _import_page, after the handler of the files is in place
def import_page(request: HttpRequest) -> HttpResponse:
    request.upload_handlers = [_Bounded(request)]
    try:
        return _import_page(request)
    except _TooLargeError:
        problem = ImportRefusedError(
            f"More than {MOST_BYTES // 2**20} MB were sent; nothing of it was read.",
            next_step="Import large files on the terminal: stonks-overwatch import FILE",
        )
        return _page(request, problem=problem, status=413)


@csrf_protect
def _import_page(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        if request.GET.get("csv") == "imports":
            return csv_answer("imports", Table(ImportRow, imports().imports))
        return _page(request)
    account = request.POST.get("account", "").strip()[:100]
    try:
        if "token" in request.POST:
            return _imported(request, request.POST["token"], account)
        return _tried(request, request.FILES.getlist("files"), account)
    except StonksError as err:
        return _page(request, problem=err, status=409)


@require_POST
def undo_import(request: HttpRequest, number: int) -> HttpResponse:
    try:
        undo(number)
        tasks.work_out_changes()
    except ImportRefusedError as err:
        return _page(request, problem=err, status=409)
    return redirect("import")


def _tried(request: HttpRequest, files: "Sequence[UploadedFile[bytes]]", account: str) -> HttpResponse:
    """Keep the files, and tell what importing them would do."""
    if not files:
        raise ImportRefusedError("No file was chosen.", next_step="Choose one or more, then look at them.")
    _remove_old()
    token = secrets.token_hex(16)
    folder = _waiting() / token
    folder.mkdir(parents=True, mode=0o700)
    for number, file in enumerate(files):
        # Each in a folder of its own: what it is called is what the user sees, and may be there twice.
        place = folder / str(number)
        place.mkdir(mode=0o700)
        with (place / _name(file.name)).open("wb") as kept:
            for chunk in file.chunks(1 << 20):
                kept.write(chunk)
    results = import_files(_files(folder), account=account, dry_run=True)
    if any(result.refused for result in results) or not any(result.rows for result in results):
        shutil.rmtree(folder)
        token = ""
    return _page(request, results=results, is_trial=True, token=token, account=account)


def _imported(request: HttpRequest, token: str, account: str) -> HttpResponse:
    folder = _waiting() / token
    if not _TOKEN.fullmatch(token) or not folder.is_dir():
        raise ImportRefusedError(
            "These files are not here any more: they were imported, or waited too long.",
            next_step="Look whether they are in the list below; choose them again if they are not.",
        )
    results = import_files(_files(folder), account=account)
    tasks.work_out_changes()
    shutil.rmtree(folder)
    return _page(request, results=results, is_trial=False)


def _name(given: str | None) -> str:
    """A file's own name without folders, as one of ours may be called."""
    name = Path((given or "").replace("\\", "/")).name
    return re.sub(r"[^\w.() -]", "_", name)[-100:].strip(". ") or "file"


def _files(folder: Path) -> list[Path]:
    return [file for place in sorted(folder.iterdir(), key=lambda p: int(p.name)) for file in place.iterdir()]


def _waiting() -> Path:
    folder: Path = settings.DATA_DIR / "uploads"
    return folder


def _remove_old() -> None:
    for folder in _waiting().glob("*"):
        if time.time() - folder.stat().st_mtime > SECONDS_TO_DECIDE:
            shutil.rmtree(folder, ignore_errors=True)


def _page(
    request: HttpRequest,
    *,
    problem: StonksError | None = None,
    results: Sequence[FileResult] = (),
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    shown = [
        (result, result.refused[:MOST_REASONS], len(result.refused) - MOST_REASONS) for result in results
    ]
    return render_page(
        request,
        "import.html",
        frame(),
        status=status,
        problem=problem,
        results=shown,
        document=imports(),
        most=MOST_BYTES // 2**20,
        **more,
    )
