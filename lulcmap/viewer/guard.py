"""Who may ask the server: the page it served itself, on this machine, with the token."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HOSTS = ("127.0.0.1", "localhost")

_DEFAULT_PORT = 80
"""Port that browsers leave out."""

_READING = ("GET", "HEAD")

_MAX_BODY_BYTES = 4 * 2**20
"""Largest body of a request: a drawn polygon of many corners is far smaller."""


class Guard:
    """Passes on the requests of the own page, without the token in their path; refuses all others.

    A page of another site cannot read what is served, since it does not know the token; nor send
    anything, since a browser states its origin; nor pose as this server under a name of its own
    (DNS rebinding), since the browser then sends that name as the host.

    Args:
        app: the application, which sees paths without the token.
        token: the secret, first part of every path.
        port: port that the server listens on.
        image_origins: origins of which pages may show images, such as ``https://tile.example.org``.

    """

    def __init__(
        self, app: App, *, token: str, port: int, image_origins: tuple[str, ...] = ()
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{host}:{port}" for host in _HOSTS}
        if port == _DEFAULT_PORT:
            self._hosts |= set(_HOSTS)
        self._origins = {f"http://{host}" for host in self._hosts}
        self._headers = security_headers(image_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        fault = self._fault(scope)
        if fault is not None:
            app: App = PlainTextResponse(f"Refused: {fault}.\n", status_code=403)
        else:
            app, scope = self._app, _without_token(scope)

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await app(scope, receive, send_with_headers)

    def _fault(self, scope: Scope) -> str | None:
        """Why a request is refused; None if it is not."""
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return "this server answers only to 127.0.0.1 and localhost"
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            return "the request comes from another site"
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not self._is_visit(scope, headers):
            return "the request comes from another site"
        first = str(scope["path"]).encode()[: len(self._token) + 2]
        if not secrets.compare_digest(first, b"/" + self._token + b"/"):
            return "the token is missing or wrong; use the address that lulcmap printed"
        if scope["method"] not in _READING:
            return _body_fault(headers)
        return None

    def _is_visit(self, scope: Scope, headers: Headers) -> bool:
        """Whether the first page is opened in a tab, as the file does that a browser is given.

        A link says it comes from another site; who follows it has to know the token.
        """
        return (
            scope["method"] in _READING
            and str(scope["path"]).encode() == b"/" + self._token + b"/"
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )


def _body_fault(headers: Headers) -> str | None:
    """Why a request that changes something is refused; None if it is not."""
    if headers.get("origin") is None:
        return "a request that changes something has to state its origin"
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return "what is sent has to be JSON"
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
        return f"what is sent has to have a length, {_MAX_BODY_BYTES:,} bytes at most"
    return None


def _without_token(scope: Scope) -> Scope:
    """The request as the application sees it: the path after the token."""
    path = "/" + str(scope["path"]).split("/", 2)[2]
    return {**scope, "path": path, "raw_path": None}


def security_headers(image_origins: tuple[str, ...] = ()) -> Mapping[str, str]:
    """Headers of every answer: a page runs and asks for nothing but its own."""
    images = " ".join(("'self'", "data:", *image_origins))
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"img-src {images}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        # The address holds the token. Servers of base maps want to know the origin, which does not.
        "Referrer-Policy": "strict-origin" if image_origins else "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
