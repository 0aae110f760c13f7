"""A command can always be stopped, whatever it is doing."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

LINE = "Error: Stopped. Run the same command again to resume.\n"

COMMAND = """
import ctypes, os, rasterio, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from lulcmap.cli import main, run, stopping
stopping._GRACE_S, stopping._AGAIN_S = SECONDS
def begin():
    Path("begun").touch()
def deadlock():  # a call that is never back in Python, signal or not
    mutex, c = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    c.pthread_mutex_lock(mutex)
    begin()
    c.pthread_mutex_lock(mutex)
def swallow():
    begin()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
def wait_in_finally():
    try:
        begin()
        time.sleep(60)
    finally:
        threading.Event().wait()
def wait_for_a_thread():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 60)
        begin()
        time.sleep(60)
def clean_up():
    try:
        begin()
        time.sleep(60)
    finally:
        time.sleep(0.3)
        Path("clean").touch()
def open_pipe():  # rasterio logs inside a callback, which drops exceptions
    os.mkfifo("pipe.tif")
    begin()
    rasterio.open("pipe.tif")
main.commands["doctor"].callback = lambda **_: WORK()
run()
"""


@contextmanager
def begun(work, *words, grace=0.2, again=30.0, **options):
    """A command that does ``work``, once it has begun."""
    code = COMMAND.replace("WORK", work).replace("SECONDS", f"{grace}, {again}")
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    options.setdefault("preexec_fn", lambda: heed(signal.SIGINT, signal.SIGHUP))
    Path("begun").unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", code, "doctor", *words], **options)
    try:
        while not Path("begun").exists():
            assert process.poll() is None, process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def heed(*signals):
    """A shell has its background jobs ignore some signals, and children inherit that."""
    for number in signals:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("work", ["deadlock", "swallow", "wait_in_finally", "wait_for_a_thread"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_what_does_not_end_by_itself_is_ended(work, name, code):
    with begun(work) as process:
        process.send_signal(getattr(signal, name))
        out, errors = process.communicate(timeout=60)

    assert (process.returncode, out, errors) == (code, "", LINE)


def test_a_command_has_time_to_clean_up():
    with begun("clean_up", grace=60) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    assert process.returncode == 143
    assert Path("clean").exists()


def test_the_same_signal_twice_at_once_is_one_request():
    with begun("clean_up", grace=60) as process:
        process.send_signal(signal.SIGTERM)  # as coreutils' timeout sends it
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    assert process.returncode == 143
    assert Path("clean").exists()


def test_a_second_request_ends_it_at_once():
    with begun("deadlock", grace=1000, again=0.0) as process:
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate()

    assert (process.returncode, errors) == (130, LINE)


def test_signals_that_are_ignored_stay_ignored():
    def nohup():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with begun("clean_up", grace=60, preexec_fn=nohup) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    assert process.returncode == 143


def test_it_ends_though_nobody_reads_what_it_says():
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b"." * 4096)
    except BlockingIOError:
        os.set_blocking(theirs, True)

    with begun("deadlock", stderr=theirs) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    os.close(ours)
    os.close(theirs)
    assert process.returncode == 143


def test_it_is_told_as_json_if_asked():
    with begun("deadlock", "--json") as process:
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)

    assert json.loads(out)["error"]["exit_code"] == 143
    assert errors == ""


def test_no_traceback_is_shown_of_a_stop_that_a_callback_drops():
    with begun("open_pipe", grace=60) as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (143, LINE)


TIMED = """
import ctypes, sys
from lulcmap.cli import main, run, stopping
stopping._GRACE_S = 0.2
def deadlock(*_, **__):
    mutex, c = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    c.pthread_mutex_lock(mutex)
    c.pthread_mutex_lock(mutex)
import lulcmap.pipeline
lulcmap.pipeline.map_area = lulcmap.pipeline.estimate_map = deadlock
run()
"""


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--shard", "1/2"]])
def test_a_timeout_ends_what_does_not_end(options):
    code = TIMED.replace("map_area =", "map_area = lulcmap.pipeline.map_shard =")
    words = ["predict", "--aoi", "1,1,2,2", "--year", "2024", "--timeout", "0.1", *options]

    ended = subprocess.run(
        [sys.executable, "-c", code, *words], check=False, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout) == (124, "")
    line = "Error: Stopped: --timeout reached. Run the same command again to resume.\n"
    assert ended.stderr == line


def test_ctrl_c_before_the_command_begins_shows_no_traceback():
    code = """
import os, signal, sys
class Finder:  # when the commands are imported
    def find_spec(self, name, *_):
        if name == "lulcmap.cli.predict":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from lulcmap.cli import run
run()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, "models"],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: heed(signal.SIGINT),
    )

    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


DROPPED = """
import os, signal, time
from lulcmap.cli import main
class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)  # Python raises it here, and drops what leaves a finaliser
def work(**_):
    Finalised()
    time.sleep(30)
    print("went on")
main.commands["doctor"].callback = work
main(["doctor"])
"""


def test_a_signal_that_python_drops_stops_all_the_same():
    ended = subprocess.run(
        [sys.executable, "-c", DROPPED], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (143, "")
    assert ended.stderr == "Error: Stopped. Run the same command again to resume.\n"
