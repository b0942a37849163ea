"""Client of MediaWiki's API with a rate limit and retries.

wikipedia-api sends the requests and backs off. This module adds sites other than Wikipedia, one rate limit for all
threads, `Retry-After` with a 503 or as a date, errors that the API sends in an answer of status 200, and connections
that are cut in the middle of an answer.
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
"""Longest `Retry-After` in seconds that is waited for; a longer one becomes an error."""
_PASSING = {"maxlag", "ratelimited", "readonly"}
"""Error codes of the API that may go away, besides internal errors."""
_INTERNAL = "internal_api_error"
_MOST_SHOWN = 300
"""Characters of an error of the API that a message quotes."""
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class WikiClient(Wikipedia):  # type: ignore[misc] # wikipedia-api's classes have no types
    """Client of one site, based on wikipedia-api's. Threads may share one.

    Args:
        url: The site's API.
        language: A language of Wikipedia, which wikipedia-api requires.
        rate: Most requests a second.
        retries: Most repetitions of a request.
        retry_wait: Seconds before the first repetition, doubled each time; more if the site asks for more.
        transport: The transport of requests.
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
            WikipediaException: If there is no answer, or the site refuses the request.
        """
        answer: dict[str, Any] = self._get(self.language, parameters)
        return answer

    def _build_url(self, language: str) -> str:
        return self._url

    def _do_get(self, url: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request once; wikipedia-api decides by the error whether to repeat it."""
        answer = super()._do_get(url, params)  # raises for statuses other than 200
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
    """A refusal that would be repeated, so the request is not."""


class _UnwellError(WikiHttpError):  # type: ignore[misc]
    """An error in an answer of status 200 that may go away. It claims status 503, which wikipedia-api retries."""

    def __init__(self, message: str) -> None:
        super().__init__(int(httpx.codes.SERVICE_UNAVAILABLE), message)


class _Polite(httpx.BaseTransport):
    """Transport that limits the rate, waits when the site asks to, and reports a cut connection as a failed one.

    wikipedia-api retries failed connections, but not cut ones.
    """

    def __init__(self, inner: httpx.BaseTransport, rate: float) -> None:
        self._inner, self._pause = inner, 1.0 / rate
        self._lock, self._next = threading.Lock(), 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request when it is its turn."""
        # In a loop: while this thread slept, another may have taken the turn, or the site may have asked to wait.
        while wait := self._turn():
            time.sleep(wait)
        try:
            response = self._inner.handle_request(request)
            response.read()  # here, so that a cut-off answer raises inside the try
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            raise httpx.ConnectError(str(error), request=request) from error
        if response.status_code in _BUSY:
            seconds = _retry_after(response.headers.get("Retry-After", ""))
            if seconds > _LONGEST_WAIT:
                raise _RefusalError(f"it asks to be left alone for {seconds:,.0f} s; start again after that")
            with self._lock:  # no thread sends anything until then
                self._next = max(self._next, time.monotonic() + seconds)
        return response

    def _turn(self) -> float:
        """Take a turn and return 0, or return the seconds until the next turn."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return self._next - now
            self._next = now + self._pause
            return 0.0

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


def _retry_after(value: str) -> float:
    """Return the seconds of a `Retry-After` header, which holds a number or a date; 0 if it holds neither.

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
