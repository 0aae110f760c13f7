"""Several processes on one run: shards, Dask, locks, and what is told of them."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import date

import numpy as np
import psutil
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from rasterio.io import MemoryFile

from lulcmap.blocks.dask import dask_engine
from lulcmap.blocks.local import map_blocks
from lulcmap.catalog.period import make_period
from lulcmap.cli import main
from lulcmap.errors import ModelError, OutputError, ProviderError, UsageError
from lulcmap.geo import BlockId, load_area
from lulcmap.output.assemble import assemble_run
from lulcmap.output.cog import write_cog
from lulcmap.pipeline import map_area, map_shard
from lulcmap.planning.planner import plan_map
from lulcmap.run import RunFolder, Shard, hold_run, run_status, start_heartbeat
from tests.support.beside import with_sidecars
from tests.support.records import make_about, make_plan

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


@pytest.fixture(scope="module")
def whole(country, settings, tmp_path_factory):
    """The map as one process makes it."""
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    return map_area(str(country.aoi), out, period=PERIOD, settings=settings()).map.read_bytes()


@pytest.fixture
def command(country, model, tmp_path):
    """Words of the command that makes the map."""
    words = ["predict", "--aoi", str(country.aoi), "--year", "2024", "--model", str(model)]
    words += ["--catalog", str(country.items), "--block-size", "96", "--device", "cpu"]
    return [*words, "--out", str(tmp_path / "map.tif")]


def left_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_shards_in_any_order_give_the_map_of_one_process(country, settings, whole, tmp_path):
    out = tmp_path / "map.tif"
    shards = [Shard(number, 4) for number in (3, 1, 4, 2)]

    done = [
        map_shard(str(country.aoi), out, shard=shard, period=PERIOD, settings=settings())
        for shard in shards
    ]
    report = assemble_run(tmp_path / "map.tif.run")

    assert [report.made for report in done] == [report.blocks for report in done]
    assert [report.left for report in done] == sorted((r.left for r in done), reverse=True)
    assert done[-1].left == 0
    assert report.map.read_bytes() == whole
    assert left_in(tmp_path) == with_sidecars("map.tif")


def test_shards_at_once_share_one_plan(country, settings, whole, command, tmp_path):
    shards = [[*command, "--shard", f"{number}/3"] for number in (1, 2, 3)]

    running = [subprocess.Popen([sys.executable, "-m", "lulcmap", *words]) for words in shards]
    codes = [process.wait() for process in running]
    report = assemble_run(tmp_path / "map.tif.run")

    assert codes == [0, 0, 0]
    assert report.map.read_bytes() == whole


def test_a_shard_that_is_done_has_nothing_to_do(country, settings, tmp_path):
    given = {"shard": Shard(1, 2), "period": PERIOD, "settings": settings()}
    first = map_shard(str(country.aoi), tmp_path / "map.tif", **given)

    second = map_shard(str(country.aoi), tmp_path / "map.tif", **given)

    assert (first.made, second.made) == (first.blocks, 0)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_shards_are_all_blocks_once(count):
    blocks = list(range(31))

    shares = [Shard(number, count).of(blocks) for number in range(1, count + 1)]

    assert sorted(block for share in shares for block in share) == blocks


def test_a_run_with_blocks_missing_is_not_assembled(country, settings, tmp_path):
    given = {"period": PERIOD, "settings": settings()}
    map_shard(str(country.aoi), tmp_path / "map.tif", shard=Shard(1, 2), **given)

    with pytest.raises(UsageError, match=r"are missing\. Run the remaining shards"):
        assemble_run(tmp_path / "map.tif.run")

    assert not (tmp_path / "map.tif").exists()


def test_a_broken_block_is_found_before_the_map_is_assembled(country, settings, whole, tmp_path):
    given = {"shard": Shard(1, 1), "period": PERIOD, "settings": settings()}
    map_shard(str(country.aoi), tmp_path / "map.tif", **given)
    broken = sorted((tmp_path / "map.tif.run" / "blocks").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:-300])

    with pytest.raises(UsageError, match=r"1 of .* blocks .* are missing"):
        assemble_run(tmp_path / "map.tif.run")
    again = map_shard(str(country.aoi), tmp_path / "map.tif", **given)

    assert again.made == 1
    assert assemble_run(tmp_path / "map.tif.run").map.read_bytes() == whole


def test_a_run_of_another_lulcmap_is_refused_by_its_version(country, settings, tmp_path):
    given = {"period": PERIOD, "settings": settings()}
    map_shard(str(country.aoi), tmp_path / "map.tif", shard=Shard(1, 2), **given)
    run = RunFolder(tmp_path / "map.tif.run")
    run.plan_path.write_text(json.dumps({**run.plan().to_json(), "version": "0.0.7"}))

    for go_on in (
        lambda: map_area(str(country.aoi), tmp_path / "map.tif", **given),
        lambda: assemble_run(run.path),
    ):
        with pytest.raises(UsageError, match=r"begun by lulcmap 0\.0\.7.*lulcmap==0\.0\.7"):
            go_on()


def test_an_area_that_was_changed_in_the_folder_is_refused(country, settings, tmp_path):
    given = {"shard": Shard(1, 1), "period": PERIOD, "settings": settings()}
    map_shard(str(country.aoi), tmp_path / "map.tif", **given)
    run = RunFolder(tmp_path / "map.tif.run")
    about = json.loads(run.about_path.read_text())
    about["area"]["coordinates"][0][0][0][0] += 1e-9
    run.about_path.write_text(json.dumps(about))

    with pytest.raises(OutputError, match="is not the plan's"):
        assemble_run(run.path)


def test_an_assembled_run_is_made_and_says_so(country, settings, tmp_path):
    given = {"shard": Shard(1, 1), "period": PERIOD, "settings": settings()}
    map_shard(str(country.aoi), tmp_path / "map.tif", **given)
    assemble_run(tmp_path / "map.tif.run")

    again = assemble_run(tmp_path / "map.tif.run")
    with pytest.raises(UsageError, match="No run in"):
        assemble_run(tmp_path / "other.tif.run")

    assert again.already_made


@pytest.fixture
def two_runs(country, settings, tmp_path):
    """Two runs of one map in two folders, all their blocks made."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        changed = settings(workdir=tmp_path / name)
        out = tmp_path / "map.tif"
        map_shard(str(country.aoi), out, shard=Shard(1, 1), period=PERIOD, settings=changed)
    return tmp_path / "a" / "map.tif.run", tmp_path / "b" / "map.tif.run"


def test_two_runs_of_one_map_do_not_write_it_at_once(two_runs, whole, tmp_path, monkeypatch):
    one, other = two_runs
    refused = []

    def meanwhile(*args, **options):
        with pytest.raises(
            OutputError, match=r"Another run is writing .*map\.tif \(process \d+ on"
        ):
            assemble_run(other, tmp_path / "map.tif")
        refused.append(other)
        return write_cog(*args, **options)

    monkeypatch.setattr("lulcmap.output.files.write_cog", meanwhile)
    report = assemble_run(one, tmp_path / "map.tif")

    assert refused == [other]
    assert run_status(other).state == "mapped"
    assert report.map.read_bytes() == whole
    assert names_in(tmp_path) == ["a", "b", *with_sidecars("map.tif")]


def test_what_a_run_left_that_was_killed_while_it_wrote_another_one_removes(
    two_runs, whole, tmp_path
):
    killed, other = two_runs
    code = f"""
import os
from pathlib import Path
from lulcmap.output import assemble_run, cog
cog._check = lambda *_, **__: os.kill(os.getpid(), 9)
assemble_run(Path({str(killed)!r}), Path({str(tmp_path / "map.tif")!r}))
"""
    dead = subprocess.run([sys.executable, "-c", code], check=False)
    left = names_in(tmp_path)

    report = assemble_run(other, tmp_path / "map.tif")

    assert dead.returncode == -9
    assert [re.sub("[0-9a-f]{8}", "*", name) for name in left] == [
        ".map.*.part.tif",
        ".map.tif.lock",
        "a",
        "b",
    ]
    assert report.map.read_bytes() == whole
    assert names_in(tmp_path) == ["a", "b", *with_sidecars("map.tif")]


@pytest.mark.parametrize("workers", [2, 4])
def test_dask_gives_the_map_of_one_process(
    country, settings, whole, tmp_path, socket_enabled, workers
):
    report = map_area(
        str(country.aoi),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(),
        engine=dask_engine(f"local:{workers}"),
    )

    assert report.map.read_bytes() == whole
    assert left_in(tmp_path) == with_sidecars("map.tif")


def test_two_runs_on_one_machine_share_no_port_of_dask(
    country, settings, whole, tmp_path, socket_enabled
):
    """Dask's scheduler asks for port 8787 even where it is to show no dashboard."""
    listening = []

    def progress(stage, done, total):
        if stage == "blocks" and not listening:
            here = psutil.Process()
            listening.extend(
                connection.laddr
                for process in [here, *here.children(recursive=True)]
                for connection in process.net_connections()
                if connection.status == psutil.CONN_LISTEN
            )

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # taken already, which is as good
            other.bind(("127.0.0.1", 8787))
            other.listen()
        report = map_area(
            str(country.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(),
            engine=dask_engine("local:1"),
            progress=progress,
        )

    assert report.map.read_bytes() == whole
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_a_dask_worker_that_dies_is_no_loss(country, settings, whole, tmp_path, socket_enabled):
    killed = []

    def progress(stage, done, total):
        if stage == "blocks" and done == 2 and not killed:
            workers = [
                child
                for child in psutil.Process().children(recursive=True)
                if "spawn_main" in " ".join(child.cmdline())
            ]
            killed.append(max(workers, key=lambda worker: worker.memory_info().rss))
            killed[0].kill()

    report = map_area(
        str(country.aoi),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(),
        engine=dask_engine("local:2"),
        progress=progress,
    )

    assert killed
    assert report.map.read_bytes() == whole


@pytest.mark.parametrize("address", ["local:0", "local:x", "somewhere", "http://a:1", "tcp:"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UsageError, match="--dask"):
        dask_engine(address)


HOLDS = """
import sys
from pathlib import Path
from lulcmap.run import Shard, hold_run
with hold_run(Path(sys.argv[1]), shard=Shard.parse(sys.argv[2]) if len(sys.argv) > 2 else None):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holding():
    """Starts processes that hold a run until they are killed."""
    started = []

    def hold(path, *shard):
        words = [sys.executable, "-c", HOLDS, str(path), *shard]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_is_told_who_has_the_run(country, settings, tmp_path, holding):
    first = holding(tmp_path / "map.tif.run")

    for call in (
        lambda: map_area(
            str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings()
        ),
        lambda: map_shard(
            str(country.aoi),
            tmp_path / "map.tif",
            shard=Shard(1, 2),
            period=PERIOD,
            settings=settings(),
        ),
    ):
        with pytest.raises(OutputError, match=f"(?i)process {first.pid} on ") as refused:
            call()
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "map.tif").exists()


def test_a_dead_process_holds_nothing(country, settings, whole, tmp_path, holding):
    first = holding(tmp_path / "map.tif.run")
    first.kill()
    first.wait()

    report = map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings())

    assert report.map.read_bytes() == whole


def test_shards_work_beside_each_other_but_not_twice_nor_beside_the_whole(tmp_path, holding):
    run = tmp_path / "map.tif.run"
    second = holding(run, "2/3")

    with hold_run(run, shard=Shard(1, 3)), hold_run(run, shard=Shard(3, 3)):
        with (
            pytest.raises(OutputError, match=f"(?i)process {second.pid}"),
            hold_run(run, shard=Shard(2, 3)),
        ):
            pass
        with pytest.raises(OutputError, match="shard-2-of-3"), hold_run(run):
            pass


def test_a_run_nobody_began_leaves_no_folder(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        hold_run(tmp_path / "map.tif.run") as run,
        start_heartbeat(run),
    ):
        raise ZeroDivisionError

    assert left_in(tmp_path) == []
    assert not (tmp_path / "map.tif.run").exists()


def fails_at(numbers):
    """An engine that cannot make some blocks: by their place in the order."""

    def engine(planned, run, todo):
        blocks = planned.job.blocks
        bad = {blocks[i].id for i in numbers}
        for block in todo:
            if block.id in bad:
                run.fail(block.id, "the sky fell")
                yield block.id, "the sky fell"
            else:
                yield from map_blocks(planned, run, [block])

    return engine


def test_failed_blocks_are_never_done_and_are_made_again(country, settings, whole, tmp_path):
    given = {"period": PERIOD, "settings": settings()}
    out, folder = tmp_path / "map.tif", tmp_path / "map.tif.run"

    with pytest.raises(ProviderError, match=r"2 of .* blocks could not be made .*sky fell"):
        map_area(str(country.aoi), out, engine=fails_at([1, 4]), **given)
    seen = run_status(folder)
    with pytest.raises(ProviderError, match=r"are missing, and failed .*--retry-failed"):
        assemble_run(folder)
    asked = []

    def watched(planned, run, todo):
        asked.extend(block.id for block in todo)
        yield from map_blocks(planned, run, todo)

    report = map_area(
        str(country.aoi),
        out,
        period=PERIOD,
        settings=settings(retry_failed=True),
        engine=watched,
    )

    assert (seen.state, seen.left, set(seen.failed.values())) == ("stopped", 2, {"the sky fell"})
    assert len(asked) == 2
    assert report.map.read_bytes() == whole


def test_only_failed_blocks_are_retried(country, settings, tmp_path):
    given = {"period": PERIOD, "shard": Shard(1, 2)}
    out = tmp_path / "map.tif"
    with pytest.raises(ProviderError):
        map_shard(str(country.aoi), out, engine=fails_at([2]), settings=settings(), **given)

    with pytest.raises(UsageError, match="never begun"):
        map_area(str(country.aoi), out, period=PERIOD, settings=settings(retry_failed=True))

    assert not run_status(tmp_path / "map.tif.run").failed


def test_a_run_in_which_everything_fails_is_given_up_early(country, settings, tmp_path):
    asked = []

    def engine(planned, run, todo):
        for number, _ in todo:
            asked.append(number)
            yield number, "the sky fell"

    with pytest.raises(ProviderError, match="3 of"):
        map_area(
            str(country.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(),
            engine=engine,
        )

    assert len(asked) == 3


def test_status_says_how_far_a_run_is(country, settings, tmp_path):
    folder, seen = tmp_path / "map.tif.run", []

    def progress(stage, done, total):
        if stage == "blocks":
            seen.append(run_status(folder))

    map_area(
        str(country.aoi),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(),
        progress=progress,
    )

    assert {found.state for found in seen} == {"running"}
    done = [found.done for found in seen]
    assert done == sorted(done)
    assert all(found >= number for number, found in enumerate(done))  # one may lie there unsaid
    assert done[-1] == seen[-1].blocks == len(seen) - 1
    assert seen[0].rate is None
    middle = seen[len(seen) // 2]
    assert middle.rate > 0
    assert middle.eta > 0
    (worker,) = seen[-1].workers
    beat = worker.beat
    assert (beat.pid, worker.alive, beat.stage) == (os.getpid(), True, "blocks")
    assert beat.made == seen[-1].blocks


@pytest.mark.parametrize(
    "wrong", [{"settings": {"max_cloud": 12.0}}, {"settings": {"model": "typo"}}]
)
def test_a_refusal_leaves_the_run_as_it_is(country, settings, tmp_path, wrong):
    """Also where no block was made yet."""
    run = tmp_path / "map.tif.run"
    planned = plan_map(load_area(str(country.aoi)), run, period=PERIOD, settings=settings())
    RunFolder.open(run, planned.plan, (), planned.about)

    with pytest.raises((UsageError, ModelError)):
        map_area(
            str(country.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(**wrong["settings"]),
        )

    assert RunFolder(run).plan() == planned.plan


def test_a_made_map_leaves_the_begun_run_of_another_alone(country, settings, tmp_path):
    """A map is to be replaced, and that run is stopped; then somebody asks for the old one."""
    out, given = tmp_path / "map.tif", {"period": PERIOD}
    map_area(str(country.aoi), out, settings=settings(), **given)
    other = settings(rules=replace(settings().rules, mask_dilation=9), overwrite=True)
    map_shard(str(country.aoi), out, shard=Shard(1, 2), settings=other, **given)
    before = left_in(tmp_path / "map.tif.run")

    report = map_area(str(country.aoi), out, settings=settings(), **given)

    assert report.already_made
    assert {*before} - {*left_in(tmp_path / "map.tif.run")} <= {"run.beat"}


def test_a_block_of_another_plan_is_made_anew(country, settings, whole, tmp_path):
    given = {"shard": Shard(1, 1), "period": PERIOD}
    other = replace(settings().rules, mask_dilation=9)
    map_shard(str(country.aoi), tmp_path / "a.tif", settings=settings(rules=other), **given)
    map_shard(str(country.aoi), tmp_path / "b.tif", settings=settings(), **given)
    foreign = sorted((tmp_path / "a.tif.run" / "blocks").iterdir())[5]
    shutil.copy(foreign, tmp_path / "b.tif.run" / "blocks")

    with pytest.raises(UsageError, match="1 of"):
        assemble_run(tmp_path / "b.tif.run")
    map_shard(str(country.aoi), tmp_path / "b.tif", settings=settings(), **given)

    assert assemble_run(tmp_path / "b.tif.run").map.read_bytes() == whole


def test_a_shard_tells_the_whole_command_that_comes_next(country, settings, tmp_path):
    (tmp_path / "work").mkdir()
    done = map_shard(
        str(country.aoi),
        tmp_path / "map.tif",
        shard=Shard(1, 1),
        period=PERIOD,
        settings=settings(workdir=tmp_path / "work", zones=True, min_coverage=0.5),
    )

    said = CliRunner().invoke(main, shlex.split(done.then)[1:])
    again = CliRunner().invoke(main, shlex.split(done.then)[1:])

    assert said.exit_code == 0, said.output
    assert names_in(tmp_path) == [*with_sidecars("map.tif", "map-z32632.tif"), "work"]
    assert "already made" in again.output
    (tmp_path / "map-z32632.tif").unlink()
    assert CliRunner().invoke(main, shlex.split(done.then)[1:]).exit_code == 2


def test_an_assembly_killed_while_the_run_is_removed_is_cleared_up(country, settings, tmp_path):
    given = {"shard": Shard(1, 1), "period": PERIOD, "settings": settings()}
    map_shard(str(country.aoi), tmp_path / "map.tif", **given)
    run = tmp_path / "map.tif.run"
    assemble_run(run, keep_run=True)
    (run / "plan.json").unlink()

    assert assemble_run(run).already_made
    assert left_in(tmp_path) == with_sidecars("map.tif")


@pytest.mark.parametrize("name", ["plan.json", "about.json", "run.beat"])
def test_files_of_others_in_a_run_folder_are_one_plain_line(country, settings, tmp_path, name):
    given = {"shard": Shard(1, 1), "period": PERIOD, "settings": settings()}
    map_shard(str(country.aoi), tmp_path / "map.tif", **given)
    run = tmp_path / "map.tif.run"
    (run / name).write_text("{}")

    for command in ("status", "assemble"):
        said = CliRunner().invoke(main, [command, str(run)])
        assert said.exit_code in (0, 2, 7), said.output
        assert "bug" not in said.output


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, monkeypatch):
    ticks = iter(range(0, 10_000, 60))
    with hold_run(tmp_path / "map.run") as run:
        plan = make_plan(
            blocks=tuple(BlockId(32632, 0, n) for n in range(4)), boxes=((0, 0, 8, 8),) * 4
        )
        RunFolder.open(run.path, plan, (), make_about(plan))
        pulse = start_heartbeat(run)
        monkeypatch.setattr(pulse, "_clock", lambda: next(ticks))
        with pulse:
            pulse.stage("blocks")
            os.utime(run.path / "run.beat", (0, 0))
            pulse.blocks(4, done=2, made=2)
            found = run_status(run.path)
        run.remove()

    assert found.state == "running"
    assert found.rate == pytest.approx(2 / found.workers[0].beat.seconds * 3600)


def test_a_half_written_heartbeat_is_no_process(tmp_path):
    plan = make_plan()
    with hold_run(tmp_path / "map.run") as run:
        RunFolder.open(run.path, plan, (), make_about(plan))
        with start_heartbeat(run):
            (run.path / ".run.0a1b2c3d.part.beat").write_bytes((run.path / "run.beat").read_bytes())
            workers = run_status(run.path).workers
        run.remove()

    assert [worker.name for worker in workers] == ["run"]


def test_status_of_a_stopped_run_names_it(country, settings, tmp_path):
    map_shard(
        str(country.aoi),
        tmp_path / "map.tif",
        shard=Shard(2, 4),
        period=PERIOD,
        settings=settings(),
    )

    plain = CliRunner().invoke(main, ["status", str(tmp_path / "map.tif.run")])
    said = CliRunner().invoke(main, ["status", str(tmp_path / "map.tif.run"), "--json"])
    nothing = CliRunner().invoke(main, ["status", str(tmp_path)])

    assert "stopped" in plain.output
    assert json.loads(said.output)["left"] > json.loads(said.output)["done"] > 0
    assert nothing.exit_code == 2
    assert "No run in" in nothing.output


def test_status_of_a_finished_map_says_where_it_is(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    report = map_area(str(country.aoi), out, period=PERIOD, settings=settings())

    plain = CliRunner().invoke(main, ["status", f"{out}.run"])
    said = CliRunner().invoke(main, ["status", str(out), "--json"])

    assert plain.exit_code == 0
    assert plain.output.startswith(f"{out}: finished, {report.coverage:.1%} of")
    assert json.loads(said.output)["state"] == "finished"
    assert json.loads(said.output)["map"] == str(out)


def test_a_command_that_takes_too_long_stops_and_goes_on(command, whole, tmp_path):
    words = [sys.executable, "-m", "lulcmap", *command]

    stopped = subprocess.run([*words, "--timeout", "0.5"], capture_output=True, text=True)
    went_on = subprocess.run(words, capture_output=True, text=True)

    assert stopped.returncode == 124
    assert stopped.stderr.startswith("Error: Stopped: --timeout reached. Run the same command")
    assert went_on.returncode == 0
    assert (tmp_path / "map.tif").read_bytes() == whole
    assert left_in(tmp_path) == with_sidecars("map.tif")


def test_a_map_with_less_than_was_wanted_is_kept_marked_and_ends_with_4(country, model, tmp_path):
    west, south, east, north = shapely.from_geojson(country.aoi.read_text()).bounds
    area = f"{west},{south},{east + (east - west) / 2},{north}"  # no scene shows a third of it
    words = ["predict", "--aoi", area, "--year", "2024", "--model", str(model)]
    words += ["--catalog", str(country.items), "--out", str(tmp_path / "map.tif")]
    words += ["--block-size", "96", "--device", "cpu", "--json"]

    first = CliRunner().invoke(main, words)
    again = CliRunner().invoke(main, words)
    content = CliRunner().invoke(main, [*words, "--min-coverage", "0.1"])

    assert (first.exit_code, again.exit_code, content.exit_code) == (4, 4, 0)
    report = json.loads((tmp_path / "map.tif.report.json").read_text())
    assert (report["complete"], report["min_coverage"]) == (False, 0.99)
    assert 0.1 < report["coverage"] < 0.99
    assert json.loads(again.stdout)["already_made"]


def test_signals_stop_a_run_that_goes_on(command, whole, tmp_path):
    words = [sys.executable, "-m", "lulcmap", *command, "-vv", "--block-size", "48"]

    def heed() -> None:  # tests that a shell runs in the background would ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    # The log of 41 blocks does not fit so small a pipe: the run cannot end before it is read.
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, bufsize=0, pipesize=4096, preexec_fn=heed
    ) as running:
        for line in running.stderr:
            if b"block 2 of" in line:
                running.send_signal(random.choice([signal.SIGINT, signal.SIGTERM]))
                break
        running.stderr.read()
    assert running.returncode in (130, 143)
    assert run_status(tmp_path / "map.tif.run").done >= 2

    assert subprocess.run(words, check=True).returncode == 0
    with rasterio.open(tmp_path / "map.tif") as made, MemoryFile(whole) as file, file.open() as one:
        assert np.array_equal(made.read(), one.read())  # a tag tells the size of blocks
