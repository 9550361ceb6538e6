"""The page that connects a login to IBKR: the steps of `ibkr_setup`, one form each.

No step waits here: keys are made by a process of their own, and IBKR is asked by the work in the background.
"""

from typing import Any
from urllib.parse import urlencode

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from stonks_overwatch import ibkr_setup, paths, tasks
from stonks_overwatch.errors import ConfigError
from stonks_overwatch.services.brokers.ibkr import credentials, keys
from stonks_overwatch.web.frame import frame
from stonks_overwatch.web.pages import render_page

# What is typed is as long as IBKR's secrets are, with room; more is refused unread.
LONGEST_ANSWER = 2_000


@require_safe
def connect_page(request: HttpRequest) -> HttpResponse:
    return _page(request, request.GET.get("login"))


@require_POST
def connect_step(request: HttpRequest) -> HttpResponse:
    """One step of a login; the page that comes back shows the next one, or what is wrong with this one."""
    given = {name: str(value)[:LONGEST_ANSWER] for name, value in request.POST.items()}
    if frame().is_demo:
        return _page(request, None, status=409)
    try:
        login = ibkr_setup.choose(given.get("login"))
        tried = _take(login, given)
    except ConfigError as err:
        return _page(request, given.get("login"), problem=err, status=409)
    query = {"login": login, **({"since": tried} if tried is not None else {})}
    return redirect(f"{reverse('connect-ibkr')}?{urlencode(query)}")


def _take(login: str, given: dict[str, str]) -> str | None:
    """Do the step that was asked for; returns, when a login is on its way, the time of the one before it."""
    before = ibkr_setup.look(login).notes.tried_at
    match given.get("step"):
        case "keys":
            ibkr_setup.make_keys(login)
        case "registration":
            ibkr_setup.enter_consumer_key(login, given.get("consumer_key", ""))
        case "token":
            ibkr_setup.enter_token(login, given.get("access_token", ""), given.get("access_token_secret", ""))
            tasks.try_ibkr_login(login)
            return ""  # its notes begin anew
        case "try":
            tasks.try_ibkr_login(login)
            return before.isoformat() if before else ""
        case "new":
            ibkr_setup.begin_anew(login)
        case _:
            raise ConfigError("This step is not known.", next_step="Load the page again.")
    return None


@require_safe
def upload_file(request: HttpRequest, name: str) -> HttpResponseBase:
    """One of the three files for IBKR's page, to save where the browser saves its files."""
    if name not in keys.UPLOADS:
        raise Http404
    try:
        file = ibkr_setup.look(ibkr_setup.choose(request.GET.get("login"))).folder / name
        return FileResponse(file.open("rb"), as_attachment=True, filename=name)
    except (ConfigError, FileNotFoundError):
        raise Http404 from None


def _page(
    request: HttpRequest, login: str | None, problem: ConfigError | None = None, status: int = 200
) -> HttpResponse:
    around = frame()
    shown: dict[str, Any] = {"page": "settings", "problem": problem}
    if around.config_error is None and not around.is_demo:
        try:
            shown |= _steps(request, login)
        except ConfigError as err:
            shown["problem"] = problem or err
            status = 409
    return render_page(request, "connect.html", around, status=status, **shown)


def _steps(request: HttpRequest, login: str | None) -> dict[str, Any]:
    everyone = ibkr_setup.names()
    if login is None and len(everyone) > 1:
        return {"everyone": everyone}
    setup = ibkr_setup.look(ibkr_setup.choose(login))
    at = ibkr_setup.STAGES.index(setup.stage)
    tried = setup.notes.tried_at.isoformat() if setup.notes.tried_at else ""
    is_trying = setup.stage == "activation" and request.GET.get("since") == tried
    return {
        "everyone": everyone,
        "setup": setup,
        "states": ["done" if at > n else "now" if at == n else "later" for n in range(4)],
        "portal": credentials.portal_url(),
        "uploads": [(name, title, setup.folder / name) for name, title in ibkr_setup.WHAT_TO_UPLOAD.items()],
        "tried": f"{setup.making.tried:,}" if setup.making and setup.making.tried else "",
        "average": f"{keys.CANDIDATES_PER_PRIME:,}",
        "config_file": paths.config_file(),
        "is_trying": is_trying,
        # Looked at again while something goes on by itself.
        "seconds": 2 if setup.making or is_trying else 20 if setup.stage == "activation" else None,
    }
