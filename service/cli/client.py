"""HTTP client of the commands that call a running server."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

TIMEOUT_SECONDS = 30
TRIES = 5
FIRST_WAIT_SECONDS = 0.25
# Counted from the first try; the caller decides on any longer wait.
PATIENCE_SECONDS = 60

Json = dict[str, Any]
Parameters = Mapping[str, str | int | list[str]]


class ApiError(Exception):
    """Refusal of a call by the server, or no answer; the message names the call, `detail` the reason alone.

    `status` is None where no answer came; `problem` is the RFC 9457 document, empty if there was no document;
    `retry_after` is in seconds.
    """

    def __init__(
        self,
        detail: str,
        *,
        call: str | None = None,
        status: int | None = None,
        problem: Json | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail if call is None else f"{call}: {status}: {detail}")
        self.detail = detail
        self.status = status
        self.problem = problem or {}
        self.retry_after = retry_after

    @property
    def code(self) -> str | None:
        """Code of the problem document; None if the answer was no problem document."""
        return self.problem.get("code")


def segment(text: str) -> str:
    """Quote a text as one segment of a path; raises UnicodeEncodeError for lone surrogates."""
    # One or two plain dots would be resolved as steps of the path.
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


class Client:
    """Client with one key; it retries a call only if the call can't take effect twice."""

    def __init__(self, base_url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            # As bytes: an operator's key may be any text, and httpx takes only ASCII text.
            headers={b"Authorization": b"Bearer " + key.encode(errors="surrogateescape")},
            timeout=TIMEOUT_SECONDS,
            # A proxy for the internet is not meant for the server named here.
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, parameters: Parameters | None = None) -> Json:
        """GET a JSON object; raises ApiError."""
        return self._object(self._call("GET", path, parameters))

    def get_bytes(self, path: str) -> bytes:
        """GET raw bytes; raises ApiError."""
        return self._call("GET", path).content

    @contextmanager
    def downloaded(self, path: str, parameters: Parameters | None = None) -> Iterator[Iterator[bytes]]:
        """GET a file in pieces, as they come; raises ApiError, also where it breaks off before its end."""
        response = self._call("GET", path, parameters, whole=False)
        try:
            if "Content-Disposition" not in response.headers:
                raise ApiError(f"GET {path} is answered with no file", status=response.status_code)
            yield self._pieces(response)
        finally:
            response.close()

    def post(self, path: str, body: Json | bytes | None = None, *, if_match: str | None = None) -> Json:
        """POST a JSON object, or its bytes, and return the JSON object of the answer; raises ApiError.

        The idempotency key is new for each call and the same in its retries, which makes them safe.
        """
        headers = {"Idempotency-Key": uuid4().hex, **_if_match(if_match)}
        answer = self._object(self._call("POST", path, body=body or {}, headers=headers))
        if answer.get("secret_shown") is False:
            lost = "The secret was lost with the connection that carried it: make another key."
            raise ApiError(lost, status=200)
        return answer

    def put(self, path: str, body: Json, *, if_match: str | None = None) -> Json:
        """PUT a JSON object; the call must be idempotent, since it is retried; raises ApiError."""
        return self._object(self._call("PUT", path, body=body, headers=_if_match(if_match)))

    def delete(self, path: str, parameters: Parameters | None = None, *, if_match: str | None = None) -> Json:
        """DELETE, without a retry after a lost connection; the answer may be empty; raises ApiError."""
        headers = _if_match(if_match)
        response = self._call("DELETE", path, parameters, headers=headers, repeatable=False)
        return self._object(response) if response.content else {}

    def _call(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        body: Json | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        whole: bool = True,
    ) -> httpx.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = dict(headers or {}) | ({} if content is None else {"Content-Type": "application/json"})
        request = self._http.build_request(method, path, params=parameters, content=content, headers=given)
        since = time.monotonic()
        for wait in (FIRST_WAIT_SECONDS * 2**n for n in range(TRIES - 1)):
            try:
                return self._send(request, path, whole=whole)
            except ApiError as error:
                pause = max(wait, error.retry_after or 0)
                if not _passes(error, repeatable) or time.monotonic() + pause > since + PATIENCE_SECONDS:
                    raise
            time.sleep(pause)
        return self._send(request, path, whole=whole)

    def _send(self, request: httpx.Request, path: str, *, whole: bool) -> httpx.Response:
        try:
            response = self._http.send(request, stream=True)
            if whole or not response.is_success:
                response.read()
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ApiError(f"{self._http.base_url} does not answer: {reason}") from None
        if response.is_success:
            return response
        problem = _problem(response)
        raise ApiError(
            str(problem.get("detail") or _said(response)),
            call=f"{request.method} {path}",
            status=response.status_code,
            problem=problem,
            retry_after=_seconds(response.headers.get("Retry-After")),
        )

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ApiError(
                f"the answer of {self._http.base_url} broke off before its end: {reason}"
            ) from None

    def _object(self, response: httpx.Response) -> Json:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ApiError(
                f"{self._http.base_url} answers with no JSON object: is it an Annals server?",
                status=response.status_code,
            )
        return found


def _if_match(commit: str | None) -> dict[str, str]:
    return {} if commit is None else {"If-Match": f'"{commit}"'}


def _passes(error: ApiError, repeatable: bool) -> bool:
    """True where the same call may succeed a little later."""
    if error.status is None:
        return repeatable
    return error.status == 503 or error.code == "request_in_flight"


def _problem(response: httpx.Response) -> Json:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(response: httpx.Response) -> str:
    if response.has_redirect_location:
        return f"the server is elsewhere: {response.headers['Location']}"
    return response.text[:200] or response.reason_phrase


def _seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max((parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds(), 0)
    except (ValueError, TypeError):
        return None
