"""The files of the pages, as they are in the package: nothing else is served."""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""Media types of what is served, by ending."""


@cache
def page_files() -> dict[str, bytes]:
    """Every file that pages are made of, by its path within ``page``.

    A request is looked up here, so that no path of a request ever reaches the disk.
    """
    return dict(_files(files("lulcmap.viewer") / "page", ""))


def _files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(entry, f"{prefix}{entry.name}/")
        elif any(entry.name.endswith(ending) for ending in _KINDS):
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


def page_routes(first: str) -> list[Route]:
    """Routes of a page and its files.

    Args:
        first: name of the page that the address leads to, ``"index.html"``.

    """

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", first)
        content = page_files().get(name)
        if content is None:
            return PlainTextResponse("There is no such file.\n", status_code=404)
        return Response(content, media_type=_KINDS[name[name.rindex(".") :]])

    return [Route("/", page), Route("/page/{name:path}", page)]
