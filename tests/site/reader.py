"""Who reads the documentation and types what it says: a server that answers its commands.

``python -m tests.site.reader FOLDER`` simulates an archive in FOLDER, puts a ``lulcmap`` and a
``python`` into FOLDER/bin, and answers them until its stdin closes. Importing the libraries takes
longer than most commands on a small country, so they are imported once and each command is a fork.
Four things differ from a user's machine, and nothing else:

- providers (``--catalog planetary-computer``) answer with the scenes of the simulated archive;
- the demo's country is small;
- a sample is labelled as soon as it is drawn;
- a training ends after one epoch of small crops, of a very small network if it starts from none.
"""

import dataclasses
import functools
import json
import os
import runpy
import signal
import socket
import sqlite3
import struct
import sys
from pathlib import Path

import pytest_socket

from tests.site.given import simulate_archive

_CLIENT = """#!{python} -IS
import json, os, socket, struct, sys
call = socket.socket(socket.AF_UNIX)
call.connect({address!r})
words = json.dumps([{program!r}, os.getcwd(), dict(os.environ), sys.argv[1:]]).encode()
socket.send_fds(call, [struct.pack("!I", len(words))], [0, 1, 2])
call.sendall(words)
sys.exit(struct.unpack("!i", call.recv(4))[0])
"""


def _put_clients(folder: Path, address: str) -> None:
    (folder / "bin").mkdir()
    for program in ("lulcmap", "python"):
        client = folder / "bin" / program
        client.write_text(_CLIENT.format(python=sys.executable, address=address, program=program))
        client.chmod(0o755)


def _answer_for_providers(every: Path) -> None:
    """Let every provider have the scenes of an ItemCollection."""
    from lulcmap.catalog import search

    find_scenes, is_remote = search.find_scenes, search.is_remote

    @functools.wraps(find_scenes)
    def found(area, *, catalog, profile=None, s1_catalog=None, fallback=None, s1, **options):
        if not is_remote(catalog):
            return find_scenes(area, catalog=catalog, profile=profile, s1=s1, **options)
        asked = {"profile": profile, "s1_catalog": s1_catalog, "s1": s1}
        sources, _ = search.sources_of(catalog, None, **asked)
        result = find_scenes(area, catalog=str(every), s1="s1" in sources, **options)
        return dataclasses.replace(result, sources=sources)  # a rerun compares them

    search.find_scenes = found


def _shrink() -> None:
    """Make the demo's country small, and the network that is trained from nothing."""
    from lulcmap import simulation
    from lulcmap.training.networks import NETWORKS
    from tests.support.networks import MICRO

    simulation.Country = functools.partial(simulation.Country, height=288, width=288)
    NETWORKS["lulcformer-tiny"] = dataclasses.replace(MICRO, name="lulcformer-tiny")


def _import_all() -> None:
    import torch  # noqa: F401
    import xarray  # noqa: F401

    import lulcmap
    import lulcmap.training.fit

    for name in lulcmap.__all__:
        getattr(lulcmap, name)


def _run(program: str, words: list[str]) -> int:
    try:
        if program == "lulcmap":
            _run_lulcmap(words)
        elif words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            exec(words[1], {"__name__": "__main__"})
        elif words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _run_lulcmap(words: list[str]) -> None:
    from lulcmap.cli import run

    if words[:1] == ["train"]:
        if "--init" not in words:
            words = [*words, "--model", "lulcformer-tiny"]
        words = [*words, "--epochs", "1", "--crop", "64", "--batch-size", "2", "--device", "cpu"]
        words += ["--devices", "1", "--precision", "fp32"]
    sys.argv = ["lulcmap", *words]
    try:
        run()
    finally:
        if words[:1] == ["sample"] and "--out" in words:
            _label(Path(words[words.index("--out") + 1]))


def _label(sample: Path) -> None:
    """Label the points of a sample: as mapped, but for one in nine."""
    with sqlite3.connect(sample) as database:
        database.execute("DROP TRIGGER IF EXISTS rtree_sample_geom_update1")
        for trigger in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            database.execute(f'DROP TRIGGER "{trigger[0]}"')
        rows = database.execute("SELECT fid, stratum FROM sample").fetchall()
        for number, (fid, stratum) in enumerate(rows):
            other = rows[(number + 1) % len(rows)][1]
            label = other if number % 9 == 8 else stratum
            database.execute("UPDATE sample SET label = ? WHERE fid = ?", (str(label), fid))


def _serve(listening: socket.socket) -> None:
    while True:
        call, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            head, streams, _, _ = socket.recv_fds(call, 4, 3)
            program, folder, environment, words = json.loads(_received(call, head))
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            command = os.fork()  # on its own, for it may end at once, as after --timeout
            if command == 0:
                for stream, fd in enumerate(streams):
                    os.dup2(fd, stream)
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(environment)
                code = _run(program, words)
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            call.sendall(struct.pack("!i", code if code >= 0 else 128 - code))
            os._exit(0)
        call.close()


def _received(call: socket.socket, head: bytes) -> bytes:
    (length,) = struct.unpack("!I", head)
    text = b""
    while len(text) < length:
        text += call.recv(length - len(text))
    return text


def main(folder: Path) -> None:
    """Serve until stdin closes."""
    sys.modules["__main__"].__package__ = None  # help texts name the program, not this module
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pytest_socket.socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
    every = simulate_archive(folder / "archive")
    _answer_for_providers(every)
    _shrink()
    _import_all()
    address = str(folder / "reader.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    _put_clients(folder, address)
    if os.fork() == 0:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        os.killpg(0, signal.SIGKILL)
    _serve(listening)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
