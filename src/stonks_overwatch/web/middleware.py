"""What every answer but the static files carries."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import cast

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

Respond = Callable[[HttpRequest], HttpResponseBase]
RespondLater = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def private(get_response: Respond | RespondLater) -> Respond | RespondLater:
    """Figures of an account are kept by no cache and embedded by no other site."""

    def marked(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response

    if iscoroutinefunction(get_response):
        later = cast("RespondLater", get_response)

        async def respond_later(request: HttpRequest) -> HttpResponseBase:
            return marked(await later(request))

        return respond_later

    at_once = cast("Respond", get_response)

    def respond(request: HttpRequest) -> HttpResponseBase:
        return marked(at_once(request))

    return respond
