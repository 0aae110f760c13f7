"""A small server of byte ranges on the loopback, at once or after a pause, which counts them.

    python -m benchmarks.serving FOLDER MILLISECONDS

prints its port, and serves until its stdin ends. Nothing heavy is imported here.
"""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class Ranges:
    """Answers byte ranges of a folder's files, each after a pause, and counts them."""

    def __init__(self, folder: Path, pause: float) -> None:
        self._folder = folder
        self._pause = pause  # seconds
        self._files: dict[str, tuple[BinaryIO, int]] = {}
        self._counts = {"requests": 0, "bytes": 0}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client leaves."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                await self._answer(method, path, fields.get("range"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, method: str, path: str, byte_range: str | None, writer: asyncio.StreamWriter
    ) -> None:
        if path == "/counts":
            body = json.dumps(self._counts).encode()
            self._counts = {"requests": 0, "bytes": 0}
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        self._counts["requests"] += 1
        await asyncio.sleep(self._pause)
        if path not in self._files:
            file = (self._folder / path[1:]).open("rb")
            self._files[path] = file, os.fstat(file.fileno()).st_size
        file, size = self._files[path]
        start, stop, status, extra = 0, size, "200 OK", ""
        if byte_range is not None:
            first, last = byte_range.removeprefix("bytes=").split("-")
            start, stop = int(first), min(int(last) + 1, size) if last else size
            status, extra = "206 Partial Content", f"Content-Range: bytes {start}-{stop - 1}/{size}"
        fields = ["Accept-Ranges: bytes", "Content-Type: image/tiff", f'ETag: "{size}"', extra]
        fields += [
            f"Content-Length: {stop - start}",
            "Last-Modified: Sat, 01 Jun 2024 00:00:00 GMT",
        ]
        lines = [f"HTTP/1.1 {status}", *filter(None, fields), "", ""]
        writer.write("\r\n".join(lines).encode())
        if method == "GET":
            self._counts["bytes"] += stop - start
            await writer.drain()
            loop = asyncio.get_running_loop()
            await loop.sendfile(writer.transport, file, start, stop - start)


async def serve(folder: Path, pause: float) -> None:
    """Print the port, and serve until the parent process ends."""
    server = await asyncio.start_server(Ranges(folder, pause).connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def served(folder: Path, latency: int) -> Iterator[str]:
    """URL of a folder's files, served by another process; latency in milliseconds."""
    command = [sys.executable, __file__, str(folder), str(latency)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"


def request_counts(url: str) -> dict[str, int]:
    """Requests and bytes since the last call."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/counts") as answer:
        return json.load(answer)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]) / 1000))
