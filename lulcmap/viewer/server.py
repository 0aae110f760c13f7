"""The server for one user: on the loopback interface, with a token in its address."""

import logging
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from lulcmap.errors import LulcmapError, UsageError
from lulcmap.viewer.guard import Guard

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"

_TOKEN_BYTES = 16

_GRACE_S = 2.0
"""Seconds that requests have to end when the server stops."""


def make_app(routes: Sequence[BaseRoute]) -> Starlette:
    """The application of some routes; an error of lulcmap is answered as JSON ``{"error": ...}``.

    Args:
        routes: its routes, with paths as they are after the token.

    """
    handlers: Any = {LulcmapError: _told, Exception: _bug}
    return Starlette(routes=routes, exception_handlers=handlers)


def _told(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as Starlette calls it
    status = 400 if isinstance(error, UsageError) else 500
    return JSONResponse({"error": str(error)}, status)


def _bug(request: Request, error: Exception) -> Response:
    logger.error("Unexpected error in %s:", request.url.path, exc_info=error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return JSONResponse({"error": f"This is a bug in lulcmap, please report it: {text}"}, 500)


@contextmanager
def served(
    app: Starlette, *, port: int | None = None, image_origins: tuple[str, ...] = ()
) -> Iterator[str]:
    """Serve an application to the user of this machine.

    Args:
        app: the application.
        port: port to listen on; None for one that is free.
        image_origins: origins of which pages may show images.

    Yields:
        Address of its first page, which ends in the token and a slash.

    Raises:
        UsageError: the port cannot be had.

    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with _listening(port) as listener:
        port = listener.getsockname()[1]
        guard = Guard(app, token=token, port=port, image_origins=image_origins)
        config = uvicorn.Config(
            guard,
            lifespan="off",
            loop="asyncio",
            ws="none",
            log_config=None,
            log_level="critical",  # errors are told by the application; a stop is none
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(_GRACE_S),
        )
        server = uvicorn.Server(config)
        # In a thread of its own: the main one is stopped by signals as that of every command is.
        thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
        thread.start()
        try:
            yield f"http://{_HOST}:{port}/{token}/"
        finally:
            server.should_exit = True
            thread.join(2 * _GRACE_S)


@contextmanager
def _listening(port: int | None) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, port or 0))
        except OSError as error:
            raise UsageError(
                f"Port {port} of {_HOST} cannot be used ({error.strerror}). Choose another --port, "
                "or leave it out to get a free one."
            ) from error
        # Connections wait here until the server accepts them: the address works at once.
        listener.listen(128)
        yield listener
