"""Who may talk to the studio: a token, the right host, no other site; and how much they may send.

It listens on this machine alone, but every page in this machine's browsers can reach that, too.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = Any
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; font-src 'self'; form-action 'none'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_LOCAL = {"127.0.0.1", "localhost", "[::1]", "::1"}
LOGIN = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>pullmatte</title>"
    "<p>Open the address that <code>pullmatte serve</code> printed: it holds a token."
)


class TooLarge(Exception):
    """A body is larger than is allowed."""


class Guard:
    """ASGI middleware in front of everything."""

    def __init__(
        self,
        app: Any,
        *,
        token: str,
        port: int,
        local_only: bool,
        most_bytes: int,
        most_upload_bytes: int,
    ) -> None:
        """Guard an app.

        Args:
            app: It.
            token: What requests must show.
            port: Where it listens: cookies don't tell ports apart.
            local_only: Whether only names of this machine may stand in ``Host``.
            most_bytes: Of a body, unless it is an upload.
            most_upload_bytes: Of an upload.
        """
        self._app, self._token = app, token
        self._local_only = local_only
        self._most, self._most_upload = most_bytes, most_upload_bytes
        self.cookie = f"pullmatte_{port}"

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            status, sentence = refusal
            if status == 401 and scope["path"].startswith("/v1.0/"):
                # What remove.bg says.
                status = 403
            if status == 401 and scope["path"] == "/":
                await _answer(send, 401, LOGIN.encode(), "text/html; charset=utf-8")
            else:
                await _answer(send, status, *_error(scope["path"], status, sentence))
            return
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and given:
            await _welcome(send, self.cookie, self._token)
            return
        await self._limited(scope, receive, send, headers)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Say why a request isn't answered; None if it is."""
        host = headers.get("host", "")
        if self._local_only and _name_of(host) not in _LOCAL:
            return 421, f"host {host[:80]!r} isn't this machine: open the printed address"
        if headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
            return 403, "requests from other sites are refused"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"requests from {origin[:80]!r} are refused: it is another site"
        if not any(self._fits(each) for each in _tokens(scope, headers, self.cookie)):
            return (
                401,
                "the token is missing or wrong: open the address that 'pullmatte serve' printed",
            )
        return None

    def _fits(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    async def _limited(
        self, scope: Scope, receive: Any, send: Any, headers: Mapping[str, str]
    ) -> None:
        """Pass on with a limit on the body, whether its length is told or not."""
        uploads = scope["path"] == "/api/projects" or scope["path"].endswith("/background")
        forms = scope["path"] in ("/v1.0/removebg", "/api/remove")
        # Forms are read whole.
        most = self._most_upload if uploads else self._most * 4 if forms else self._most
        told = headers.get("content-length", "0")
        sentence = f"the body is larger than {most >> 20} MB: send less, or raise --max-upload"
        if not told.isdecimal() or int(told) > most:
            await _answer(send, 413, *_error(scope["path"], 413, sentence))
            return
        got, begun = 0, False

        async def counted() -> Any:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > most:
                raise TooLarge
            return message

        async def safe(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in _HEADERS.items()),
                ]
            await send(message)

        try:
            await self._app(scope, counted, safe)
        except TooLarge:
            if not begun:
                await _answer(send, 413, *_error(scope["path"], 413, sentence))


def _name_of(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _tokens(scope: Scope, headers: Mapping[str, str], cookie: str) -> list[str]:
    """Return what a request shows as token."""
    found = []
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        found.append(value.strip())
    if "x-api-key" in headers:
        found.append(headers["x-api-key"])
    # By hand: the library gives up at other programs' odd cookies, which all ports here share.
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == cookie:
            found.append(value)
    # Clients of rembg's server can show one in the address alone.
    if scope["path"] in ("/", "/api/remove"):
        found += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    return found


def _error(path: str, status: int, sentence: str) -> tuple[bytes, str]:
    if path.startswith("/v1.0/"):
        code = {403: "auth_failed", 413: "file_too_large"}.get(status, "refused")
        return json.dumps({
            "errors": [{"title": sentence, "code": code}]
        }).encode(), "application/json"
    return json.dumps({"error": sentence}).encode(), "application/json"


async def _answer(send: Any, status: int, body: bytes, kind: str) -> None:
    headers = {**_HEADERS, "content-type": kind, "content-length": str(len(body))}
    if status == 413:
        headers["connection"] = "close"
    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _welcome(send: Any, cookie: str, token: str) -> None:
    """Keep the token in a cookie, and take it out of the address."""
    headers = {
        **_HEADERS,
        "location": "/",
        "set-cookie": f"{cookie}={token}; Path=/; HttpOnly; SameSite=Strict",
        "content-length": "0",
    }
    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": 303, "headers": raw})
    await send({"type": "http.response.body", "body": b""})
