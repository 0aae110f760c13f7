"""What tests of models may ask for."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Served:
    """Files on a server on this machine, by their paths; ``requests`` records the paths."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, tuple[bytes, int]] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[str] = []

    def put(self, path: str, body: bytes, *, length: int | None = None) -> str:
        """Serve a file, maybe with a length that is not its own; return its URL."""
        self.files[path] = (body, len(body) if length is None else length)
        return f"{self.url}{path}"


@pytest.fixture
def server(socket_enabled):
    """Serves files by their paths, on this machine; ``requests`` records the paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # the name is http.server's
            path = self.path.partition("?")[0]
            served.requests.append(path)
            if path in served.redirects:
                self.send_response(302)
                self.send_header("Location", served.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body, length = served.files.get(path, (None, 0))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{listening.server_port}")
    listening.handle_error = lambda *_: None  # a client that hangs up early is meant to
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield served
    listening.shutdown()
    listening.server_close()
