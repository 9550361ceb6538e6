"""What every page does: its template in the frame, or what there is to do as long as nothing is stored."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from stonks_overwatch.errors import StonksError
from stonks_overwatch.web.frame import Frame


def render_page(
    request: HttpRequest,
    template: str,
    around: Frame,
    *,
    status: int = 200,
    refused: Sequence[StonksError] = (),
    **context: Any,
) -> HttpResponse:
    """The page, with the name by which the navigation knows it: the template's, unless given.

    `as_of` in the context is the age of the figures where it is not that of the last syncs; `refused` is what
    was asked for and could not be used, which the page says above all that it shows without it.
    """
    page = template.removesuffix(".html")
    around_all = {"frame": around, "page": page, "as_of": around.as_of, "refused": refused}
    # htmx puts only answers of success into a page.
    if refused and "HX-Request" not in request.headers:
        status = 400
    return render(request, template, {**around_all, **context}, status=status)


def nothing_yet(request: HttpRequest, around: Frame, page: str) -> HttpResponse:
    """What a page of figures shows before there is any: how to begin, or what the first sync is doing."""
    if around.has_logins or around.config_error:
        return render_page(request, "waiting.html", around, page=page)
    return redirect("welcome")
