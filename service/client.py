"""A client of the HTTP contract, for the commands that drive a server as any client would."""

from typing import Any

import httpx

TIMEOUT_SECONDS = 30


class ApiError(Exception):
    """The server refused a call or did not answer; the message is its own."""


class Client:
    """Calls with one key."""

    def __init__(self, base_url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
            # A proxy for the way out of this network is none for the server named here.
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """GET a JSON object; raises ApiError."""
        return self._call("GET", path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST a JSON object and read the one that is answered; raises ApiError."""
        return self._call("POST", path, body or {})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ApiError(f"{self._http.base_url} does not answer: {error}") from None
        if response.is_success:
            found: dict[str, Any] = response.json()
            return found
        try:
            detail = response.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = response.text[:200]
        raise ApiError(f"{method} {path}: {response.status_code}: {detail}")
