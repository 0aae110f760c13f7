"""Who may ask the server, and what every answer says."""

import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lulcmap.errors import OutputError, UsageError
from lulcmap.viewer.files import page_routes
from lulcmap.viewer.guard import Guard
from lulcmap.viewer.server import make_app

TOKEN, PORT = "secret", 4321
ORIGIN = f"http://127.0.0.1:{PORT}"


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path, "sent": (await request.body()).decode()})


async def _broken(request: Request) -> JSONResponse:
    raise {"usage": UsageError, "output": OutputError, "bug": ZeroDivisionError}[
        request.path_params["kind"]
    ]("what to do")


APP = make_app(
    [
        Route("/echo", _echo, methods=["GET", "POST"]),
        Route("/broken/{kind}", _broken),
        *page_routes("index.html"),
    ]
)


def ask(
    path: str, method: str = "GET", *, images: tuple[str, ...] = (), port: int = PORT, **options
) -> httpx.Response:
    async def answer() -> httpx.Response:
        guard = Guard(APP, token=TOKEN, port=port, image_origins=images)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(guard, raise_app_exceptions=False), base_url=ORIGIN
        ) as client:
            return await client.request(method, path, **options)

    return asyncio.run(answer())


def test_the_own_page_is_answered():
    for headers in (
        {},
        {"Host": f"localhost:{PORT}"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        answer = ask(f"/{TOKEN}/echo", headers=headers)

        assert (answer.status_code, answer.json()["path"]) == (200, "/echo"), headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.1:80"])
def test_browsers_leave_out_port_80(host):
    headers = {"Host": host, "Origin": f"http://{host}"}

    assert ask(f"/{TOKEN}/echo", headers=headers, port=80).status_code == 200
    assert ask(f"/{TOKEN}/echo", headers={"Host": "example.org"}, port=80).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"},
        {"Host": f"example.org:{PORT}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:80"},
        {"Host": f"127.0.0.1:{PORT}.example.org"},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{PORT}"},
        {"Origin": "http://127.0.0.1:80"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_host_or_origin_is_refused(headers):
    answer = ask(f"/{TOKEN}/echo", headers=headers)

    assert answer.status_code == 403
    assert "path" not in answer.text


def test_a_file_of_the_user_leads_to_the_first_page_and_to_nothing_else():
    visit = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }

    assert ask(f"/{TOKEN}/", headers=visit).status_code == 200
    for path, method, headers in (
        (f"/{TOKEN}/echo", "GET", visit),
        (f"/{TOKEN}/", "POST", visit),
        ("/wrong/", "GET", visit),
        (f"/{TOKEN}/", "GET", visit | {"Sec-Fetch-Dest": "iframe"}),
        (f"/{TOKEN}/", "GET", visit | {"Sec-Fetch-Mode": "cors"}),
    ):
        assert ask(path, method, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/", "/echo", "/secreT/echo", "/secret", "//secret/echo", "/secrets/echo", "/x/secret/"],
)
def test_a_request_without_the_token_is_refused(path):
    assert ask(path).status_code == 403


def test_what_changes_something_states_its_origin_and_is_json():
    def post(**headers: str) -> int:
        return ask(f"/{TOKEN}/echo", "POST", content=b"{}", headers=headers).status_code

    kind = {"Content-Type": "application/json"}
    assert post(**kind, Origin=ORIGIN) == 200
    assert post(**kind) == 403
    assert post(**kind, Origin="https://example.org") == 403
    assert post(Origin=ORIGIN) == 403
    assert post(Origin=ORIGIN, **{"Content-Type": "text/plain"}) == 403
    assert post(**kind, Origin=ORIGIN, **{"Content-Length": "99999999"}) == 403


def test_every_answer_forbids_what_is_not_its_own():
    for path in (f"/{TOKEN}/echo", "/", f"/{TOKEN}/none", f"/{TOKEN}/broken/usage"):
        headers = ask(path).headers

        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


def test_only_the_base_map_that_was_named_enters_the_policy():
    headers = ask(f"/{TOKEN}/echo", images=("https://tile.example.org",)).headers

    assert "img-src 'self' data: https://tile.example.org;" in headers["content-security-policy"]
    assert headers["content-security-policy"].count("https://") == 1
    assert headers["referrer-policy"] == "strict-origin"


@pytest.mark.parametrize(
    "name",
    [
        "../server.py",
        "..%2Fserver.py",
        "%2e%2e/server.py",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "leaflet/../../server.py",
        "leaflet%5C..%5C..%5Cserver.py",
        "index.html%00.js",
        "leaflet",
        "",
    ],
)
def test_no_path_leads_out_of_the_package(name):
    answer = ask(f"/{TOKEN}/page/{name}")

    assert answer.status_code in (403, 404)
    assert b"import" not in answer.content
    assert b"root:" not in answer.content


def test_files_of_the_pages_are_served_with_their_type():
    answer = ask(f"/{TOKEN}/page/leaflet/leaflet.js")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")


def test_an_error_of_lulcmap_is_told_as_json():
    wrong, broken = ask(f"/{TOKEN}/broken/usage"), ask(f"/{TOKEN}/broken/output")

    assert (wrong.status_code, wrong.json()) == (400, {"error": "what to do"})
    assert (broken.status_code, broken.json()) == (500, {"error": "what to do"})


def test_a_bug_is_told_as_json_and_logged(caplog):
    answer = ask(f"/{TOKEN}/broken/bug")

    assert answer.status_code == 500
    assert "please report it: ZeroDivisionError" in answer.json()["error"]
    assert "Unexpected error in /broken/bug" in caplog.text
