"""Static files, and what every other answer carries."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from whitenoise.middleware import WhiteNoiseMiddleware

Respond = Callable[[HttpRequest], HttpResponseBase]
RespondLater = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # the package has no types
    """WhiteNoise with whole bodies: it streams files in a way for which an ASGI server prints warnings."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        body = b""
        if found.file is not None:
            with found.file as file:
                body = file.read()
        response = HttpResponse(body, status=int(found.status))
        del response["Content-Type"]
        for name, value in found.headers:
            response[name] = value
        if body:  # the file may have been built anew since the start
            response["Content-Length"] = str(len(body))
        return response


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
