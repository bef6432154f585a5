"""A rejection that leaves a view is answered with a 503."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.utils.log import log_response

from switchgear import CircuitOpenError
from switchgear.integrations import unavailable

TEMPLATE: Final = "503.html"
PAGE: Final = f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Service Unavailable</title></head>
<body><h1>Service Unavailable</h1><p>{unavailable.DETAIL} Please try again later.</p></body>
</html>
"""
_JSON: Final = (unavailable.PROBLEM_TYPE, "application/json")
_HTML: Final = "text/html"

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class CircuitOpenMiddleware:
    """Answers `CircuitOpenError` with 503 and `Retry-After`, sync and async.

    With a page for who prefers `text/html` (the template `503.html` if there is one, with `retry_after`), and
    with a problem (RFC 9457) for all others. Below this middleware it must come from a view: what another
    middleware raises becomes a 500 before any middleware sees it.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        # Not that of `inspect`, which knows no marks before Python 3.12.
        if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Called by Django for what a view raises; `None` leaves it to others."""
        if not isinstance(exception, CircuitOpenError):
            return None
        wait = unavailable.retry_after(exception)
        if request.get_preferred_type([*_JSON, _HTML]) == _HTML:
            response = HttpResponse(_page(request, wait), status=unavailable.STATUS)
        else:
            response = HttpResponse(unavailable.PROBLEM, unavailable.PROBLEM_TYPE, unavailable.STATUS)
        if wait is not None:
            response.headers["Retry-After"] = str(wait)
        response.headers["Vary"] = "Accept"
        # By itself Django logs each 503 as an error, which mails the site's administrators: while a circuit
        # is open that would be every request. That it has opened stands in the log once.
        log_response(
            "%s: %s: %s",
            response.reason_phrase,
            request.path,
            exception,
            response=response,
            request=request,
            level="warning",
        )
        return response


def _page(request: HttpRequest, wait: int | None) -> str:
    try:
        template = get_template(TEMPLATE)
    except TemplateDoesNotExist:
        return PAGE
    return template.render({"retry_after": wait}, request)
