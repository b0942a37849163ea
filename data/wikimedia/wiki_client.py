"""Asking a MediaWiki site: at a polite rate, and again where that may help.

wikipedia-api carries the requests and backs off. Here is what it leaves out: sites other than Wikipedia, one rate for
all threads, `Retry-After` with a 503 or as a date, errors that the API sends as an answer of status 200, and
connections that are cut in the middle of an answer.
"""

from __future__ import annotations

import email.utils
import json
import threading
import time
from typing import Any

import httpx
from wikipediaapi import WikiHttpError, WikiInvalidJsonError, Wikipedia, WikipediaException

__all__ = ["WikiClient"]

_AGENT = "kgrl/0.1 (curriculum learning research; https://pypi.org/project/kgrl)"
_TIMEOUT_SECONDS = 30.0
_LONGEST_WAIT = 300.0
"""Seconds that a site may ask to wait; where it asks for more, that is said instead of waiting in silence."""
_PASSING = {"maxlag", "ratelimited", "readonly"}
_INTERNAL = "internal_api_error"
_MOST_SHOWN = 300
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class WikiClient(Wikipedia):  # type: ignore[misc] # wikipedia-api's classes have no types
    """wikipedia-api's client, asking any site what it is told to. Threads may share one.

    Args:
        url: The site's API.
        language: What wikipedia-api wants to know of Wikipedia.
        rate: Most requests a second.
        retries: How often a request is tried again.
        retry_wait: Seconds before the first time, doubled each time; or what the site asks for, if that is more.
        transport: What carries requests.
    """

    def __init__(
        self, url: str, language: str, rate: float, retries: int, retry_wait: float, transport: httpx.BaseTransport
    ) -> None:
        self._url = url
        super().__init__(
            user_agent=_AGENT,
            language=language,
            max_retries=retries,
            retry_wait=retry_wait,
            timeout=_TIMEOUT_SECONDS,
            transport=_Polite(transport, rate),
            follow_redirects=True,
        )

    def ask(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            WikipediaException: If there is none, or the site refuses.
        """
        answer: dict[str, Any] = self._get(self.language, parameters)
        return answer

    def _build_url(self, language: str) -> str:
        return self._url

    def _do_get(self, url: str, params: dict[str, Any]) -> dict[str, Any]:
        """Ask once; wikipedia-api decides by the error whether to ask again."""
        answer = super()._do_get(url, params)
        if not isinstance(answer, dict):
            raise WikiInvalidJsonError(url)
        if "error" in answer:
            error = answer["error"]
            code = str(error.get("code", "")) if isinstance(error, dict) else ""
            said = json.dumps(error, ensure_ascii=False)[:_MOST_SHOWN]
            raise (_UnwellError if code in _PASSING or code.startswith(_INTERNAL) else _RefusalError)(
                f"it refuses: {said}"
            )
        return answer


class _RefusalError(WikipediaException):  # type: ignore[misc]
    """An answer that stays the same however often it is asked for."""


class _UnwellError(WikiHttpError):  # type: ignore[misc]
    """An error inside an answer of status 200 that may pass: wikipedia-api tries again what has a status of 5xx."""

    def __init__(self, message: str) -> None:
        super().__init__(int(httpx.codes.SERVICE_UNAVAILABLE), message)


class _Polite(httpx.BaseTransport):
    """Sends requests at no more than a rate, waits where the site asks to, and calls a cut connection a failed one."""

    def __init__(self, inner: httpx.BaseTransport, rate: float) -> None:
        self._inner, self._pause = inner, 1.0 / rate
        self._lock, self._next = threading.Lock(), 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once it is its turn."""
        while wait := self._turn():
            time.sleep(wait)
        try:
            response = self._inner.handle_request(request)
            response.read()  # here, so that an answer that is cut off is tried again
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            raise httpx.ConnectError(str(error), request=request) from error
        if response.status_code in _BUSY:
            self._heed(_retry_after(response.headers.get("Retry-After", "")))
        return response

    def _turn(self) -> float:
        """Take the turn and return 0, or return the seconds until there may be one."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return self._next - now
            self._next = now + self._pause
            return 0.0

    def _heed(self, seconds: float) -> None:
        """Let no thread send anything for some seconds."""
        if seconds > _LONGEST_WAIT:
            raise _RefusalError(f"it asks to be left alone for {seconds:,.0f} s; start again after that")
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


def _retry_after(value: str) -> float:
    """Return the seconds that a `Retry-After` asks for, given as a number or as a date; 0 where it is neither.

    Example:
        >>> _retry_after("120"), _retry_after("soon"), _retry_after("Fri, 31 Dec 1999 23:59:59 GMT")
        (120.0, 0.0, 0.0)
    """
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
