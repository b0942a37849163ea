"""Client of MediaWiki's API with a rate limit and retries.

wikipedia-api sends the requests and backs off. This module adds sites other than Wikipedia, one rate limit for all
threads, `Retry-After` with a 503 or as a date, errors that the API sends in an answer of status 200, connections that
are cut in the middle of an answer, and limits of what a site may send.
"""

from __future__ import annotations

import email.utils
import threading
import time
from typing import Any

import httpx
from wikipediaapi import WikiHttpError, Wikipedia

from kgrl.data.wikimedia.answers import Answer, decode_answer, error_code
from kgrl.data.wikimedia.limits import Limits, Meter, SiteError, TimedTransport, read_limited

__all__ = ["WikiClient"]

_AGENT = "kgrl/0.1 (curriculum learning research; https://pypi.org/project/kgrl)"
_TIMEOUT_SECONDS = 30.0
_LONGEST_WAIT = 300.0
"""Longest `Retry-After` in seconds that is waited for; a longer one becomes an error."""
_PASSING = {"maxlag", "ratelimited", "readonly"}
"""Error codes of the API that may go away, besides internal errors."""
_INTERNAL = "internal_api_error"
_MOST_REDIRECTS = 5
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
        transport: The transport of requests, for tests.
        limits: The most that the site may send.
    """

    def __init__(
        self,
        url: str,
        language: str,
        rate: float,
        retries: int,
        retry_wait: float,
        transport: httpx.BaseTransport | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._url, self._meter = url, Meter(limits or Limits())
        super().__init__(
            user_agent=_AGENT,
            language=language,
            headers={"Accept-Encoding": "gzip"},  # what `read_limited` unpacks
            max_retries=retries,
            retry_wait=retry_wait,
            timeout=_TIMEOUT_SECONDS,
            transport=_Polite(transport or TimedTransport(self._meter), rate, self._meter),
            follow_redirects=True,
            max_redirects=_MOST_REDIRECTS,
        )

    def begin_page(self) -> None:
        """Begin to count this thread's answers about another page."""
        self._meter.begin_page()

    def ask(self, parameters: dict[str, Any]) -> Answer:
        """Return the answer to a request.

        Raises:
            WikipediaException: If there is no answer, the site refuses the request, or sends too much or for too long.
        """
        answer: Answer = self._get(self.language, parameters)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _build_url(self, language: str) -> str:
        return self._url

    def _do_get(self, url: str, params: dict[str, Any]) -> Answer:
        """Send a request once; wikipedia-api decides by the error whether to repeat it."""
        try:
            answer: Answer = super()._do_get(url, params)  # reads the answer by `_process_response`
        except httpx.InvalidURL as error:
            raise SiteError(f"it leads to an address that is none ({error})") from error
        return answer

    def _process_response(self, r: httpx.Response, url: str) -> Answer:
        if r.status_code != httpx.codes.OK:
            super()._process_response(r, url)  # raises
        answer = decode_answer(r.content)
        if told := bytes(answer.error):
            code, said = error_code(answer.error), told[:_MOST_SHOWN].decode("utf-8", "replace")
            raise (_UnwellError if code in _PASSING or code.startswith(_INTERNAL) else SiteError)(f"it refuses: {said}")
        return answer


class _UnwellError(WikiHttpError):  # type: ignore[misc]
    """An error in an answer of status 200 that may go away. It claims status 503, which wikipedia-api retries."""

    def __init__(self, message: str) -> None:
        super().__init__(int(httpx.codes.SERVICE_UNAVAILABLE), message)


class _Polite(httpx.BaseTransport):
    """Transport that limits the rate, waits when the site asks to, and reports a cut connection as a failed one.

    wikipedia-api retries failed connections, but not cut ones.
    """

    def __init__(self, inner: httpx.BaseTransport, rate: float, meter: Meter) -> None:
        self._inner, self._pause, self._meter = inner, 1.0 / rate, meter
        self._lock, self._next = threading.Lock(), 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request when it is its turn."""
        # In a loop: while this thread slept, another may have taken the turn, or the site may have asked to wait.
        while wait := self._turn():
            time.sleep(wait)
        try:
            with self._meter.answer():
                # Read here, so that a cut-off answer raises inside the try.
                response = read_limited(self._inner.handle_request(request), self._meter)
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            raise httpx.ConnectError(str(error), request=request) from error
        if response.status_code in _BUSY:
            seconds = _retry_after(response.headers.get("Retry-After", ""))
            if seconds > _LONGEST_WAIT:
                raise SiteError(f"it asks to be left alone for {seconds:,.0f} s; start again after that")
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
