"""Real servers, each started in a folder of its own, on a free port of loopback.

``tests/services.sh`` installs what they need. Where something is missing, ``Missing`` says what.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

ACCOUNT = "devstoreaccount1"
"""Azurite's own account."""

ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Of that account: published in Azurite's documentation, the same everywhere."""

BLOB_HOST = f"{ACCOUNT}.blob.core.windows.net"
"""Where the account's blobs would be in the cloud; nginx leads it to Azurite."""

_PATIENCE = 60
"""Seconds for a server to answer."""

_POSTGRES = "/usr/lib/postgresql"
"""Debian's folder of PostgreSQL's versions."""


class Missing(Exception):  # noqa: N818 - the reason of a skip
    """A service is not installed; the text says what is missing."""


def need(*programs: str, modules: Sequence[str] = ()) -> None:
    """See that programs and Python modules are installed.

    Raises:
        Missing: one is not.

    """
    lacking = [name for name in ("setpriv", *programs) if shutil.which(name, path=_path()) is None]
    lacking += [name for name in modules if not _has(name)]
    if lacking:
        raise Missing(f"not installed: {', '.join(lacking)} (tests/services.sh installs them)")


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package it would be in is not there
        return False


@contextmanager
def qgis() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """What runs a script, with its arguments, in the system's Python, whose QGIS has no display."""
    # Its own libraries, not those of these tests.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    own["QT_QPA_PLATFORM"] = "offscreen"

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = ["/usr/bin/python3", *map(str, words)]
        return subprocess.run(command, env=own, capture_output=True, text=True, check=False)

    if not Path("/usr/bin/python3").exists() or run("-c", "import qgis.core").returncode:
        raise Missing("not installed: python3-qgis (tests/services.sh installs it)")
    yield run


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium without a display, driven by Playwright; no browser is downloaded."""
    need("chromium", modules=["playwright"])
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"],  # tests may run as root, in a container
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def axe() -> Iterator[str]:
    """The script of axe-core, which finds what keeps people from using a page."""
    for folder in os.environ["PATH"].split(os.pathsep):
        script = Path(folder).parent / "axe-core" / "axe.min.js"
        if Path(folder).name == ".bin" and script.exists():
            yield script.read_text(encoding="utf-8")
            return
    raise Missing("not installed: axe-core (tests/services.sh installs it)")


def _path() -> str:
    """Where programs are looked for: also where Debian keeps servers, and beside this Python."""
    versions = sorted(Path(_POSTGRES).glob("*/bin"), reverse=True)
    beside = Path(sys.executable).parent
    return os.pathsep.join(map(str, [*versions, beside, os.environ["PATH"], "/usr/sbin"]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _folder(user: str | None = None) -> Iterator[Path]:
    """A temporary folder that a user may write to, gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="lulcmap-"))
    try:
        if user:
            shutil.chown(path, user, user)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _process(
    words: Sequence[str],
    ready: Callable[[], bool],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[None]:
    """Run a server while the body runs.

    Args:
        words: program and arguments.
        ready: whether it answers.
        folder: it runs in; its output is kept there until it ends.
        env: beside PATH.
        user: it runs as; only root may say so.

    """
    log = folder / "log.txt"
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    with log.open("wb") as output:
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words],  # not even a killed pytest leaves it behind
            cwd=folder,
            env={"PATH": _path(), "HOME": str(folder), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for pytest, which then ends them in order
            **as_user,
        )
    try:
        give_up = time.monotonic() + _PATIENCE
        while not ready():
            if server.poll() is not None or time.monotonic() > give_up:
                said = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{words[0]} does not answer; it said:\n{said}")
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ready


def _answers(url: str) -> Callable[[], bool]:
    opener = build_opener(ProxyHandler({}))

    def ready() -> bool:
        try:
            with opener.open(url, timeout=5) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    return ready


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """PostgreSQL with an empty cluster; gives the environment that leads clients to it."""
    need("initdb", "postgres", "pg_isready")
    user = "postgres" if os.geteuid() == 0 else None  # initdb and postgres refuse root
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    with _folder(user) as folder:
        data, port = folder / "data", _free_port()
        words = ["initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [*words, "--locale=C", "--no-sync"],
            cwd=folder,
            env={"PATH": _path()},
            check=True,
            capture_output=True,
            **as_user,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",  # nothing here outlives the tests
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        client = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": "postgres",
            "PGPASSWORD": "none",
            "PGDATABASE": "postgres",
        }

        def ready() -> bool:
            asked = subprocess.run(
                ["pg_isready", "-q"], env={"PATH": _path(), **client}, check=False
            )
            return asked.returncode == 0

        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        words = ["postgres", "-D", str(data), *options]
        with _process(words, ready, folder=folder, user=user):
            yield client


@contextmanager
def stac_api(collections: Sequence[Any], items: Sequence[Any]) -> Iterator[str]:
    """stac-fastapi on pgstac with collections and items; gives its URL."""
    need("pypgstac", modules=("stac_fastapi.pgstac", "psycopg", "uvicorn"))
    with postgres() as client, _folder() as folder:
        for table, entries in (("collections", collections), ("items", items)):
            lines = "".join(json.dumps(entry) + "\n" for entry in entries)
            (folder / f"{table}.json").write_text(lines)
        for words in (
            ["migrate"],
            ["load", "collections", "collections.json"],
            ["load", "items", "items.json"],
        ):
            env = {"PATH": _path(), "HOME": str(folder), **client}
            subprocess.run(
                ["pypgstac", *words], cwd=folder, env=env, check=True, capture_output=True
            )
        port = _free_port()
        words = [sys.executable, "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app"]
        words += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        url = f"http://127.0.0.1:{port}"
        with _process(words, _answers(f"{url}/_mgmt/ping"), folder=folder, env=client):
            yield url


@contextmanager
def azurite() -> Iterator[str]:
    """Azurite's blobs; gives its URL, the account's name included."""
    need("azurite-blob", "node", modules=("azure.storage.blob",))
    with _folder() as folder:
        port = _free_port()
        words = ["azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        words += ["--location", str(folder), "--silent", "--disableTelemetry"]
        words += ["--skipApiVersionCheck"]  # clients are newer than it
        with _process(words, _listens(port), folder=folder):
            yield f"http://127.0.0.1:{port}/{ACCOUNT}"


def upload(url: str, folder: Path, containers: Mapping[str, str]) -> None:
    """Put the files of sub-folders into containers of Azurite, each under its relative path.

    Args:
        url: of the account.
        folder: whose sub-folders are sent.
        containers: from a sub-folder's name to its container's.

    """
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient(url, credential=ACCOUNT_KEY) as account:
        for name, container in containers.items():
            client = account.create_container(container)
            for path in sorted((folder / name).rglob("*.tif")):
                blob = path.relative_to(folder / name).as_posix()
                client.upload_blob(blob, path.read_bytes())


def through(proxy: str, tokens: str) -> dict[str, str]:
    """The environment of a run that reaches blobs by a proxy, and tokens at a URL."""
    return {"http_proxy": proxy, "no_proxy": "127.0.0.1,localhost", "PC_SDK_SAS_URL": tokens}


def mint(lifetime: timedelta) -> Callable[[str, int], str]:
    """What makes SAS tokens that read a container, and expire after a while."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    def token(container: str, number: int) -> str:
        now = datetime.now(UTC)
        return str(
            generate_container_sas(
                ACCOUNT,
                container,
                account_key=ACCOUNT_KEY,
                permission=ContainerSasPermissions(read=True, list=True),
                start=now - timedelta(minutes=5, seconds=number),  # no two tokens are the same
                expiry=now + lifetime,
            )
        )

    return token


@contextmanager
def forward_proxy(upstream: str, *, pace: int) -> Iterator[tuple[str, Path]]:
    """nginx as the HTTP proxy that leads the account's blobs to Azurite.

    Args:
        upstream: Azurite's host and port.
        pace: requests a second at most; more wait for their turn.

    Yields:
        Its URL, and its log: a line a request, status first.

    """
    need("nginx")
    with _folder() as folder:
        port = _free_port()
        (folder / "nginx.conf").write_text(_nginx(folder, port, upstream, pace))
        words = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        with _process(words, _listens(port), folder=folder):
            yield f"http://127.0.0.1:{port}", folder / "requests.txt"


def _nginx(folder: Path, port: int, upstream: str, pace: int) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in kinds)
    return f"""
daemon off;
master_process off;  # one process, which root need not hand over to another user
pid {folder}/pid;
events {{}}
http {{
    log_format short '$status $request_method $uri';
    access_log {folder}/requests.txt short;
{places}
    limit_req_zone $server_name zone=pace:1m rate={pace}r/s;
    server {{
        listen 127.0.0.1:{port} default_server;
        return 502;  # no other host is led anywhere
    }}
    server {{
        listen 127.0.0.1:{port};
        server_name {BLOB_HOST};
        location / {{
            limit_req zone=pace burst=1000;
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host {BLOB_HOST};
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


@contextmanager
def s3(credentials: Mapping[str, str]) -> Iterator[str]:
    """moto as S3; gives its URL."""
    need("moto_server", modules=("moto", "flask", "boto3"))
    with _folder() as folder:
        port = _free_port()
        words = ["moto_server", "-H", "127.0.0.1", "-p", str(port)]
        with _process(words, _listens(port), folder=folder, env=credentials):
            yield f"http://127.0.0.1:{port}"


def put(url: str, bucket: str, folder: Path, credentials: Mapping[str, str]) -> None:
    """Put all files of a folder into a new bucket, each under its relative path."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",  # where a bucket needs no word of its place
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.put_object(
                Bucket=bucket, Key=path.relative_to(folder).as_posix(), Body=path.read_bytes()
            )
    client.close()


def random_secret() -> str:
    """A secret that appears nowhere by chance."""
    return base64.urlsafe_b64encode(os.urandom(30)).decode()
