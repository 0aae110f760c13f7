"""The examples of clusters and cron, run with a `lulcmap` and a scheduler that only take notes."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lulcmap.run import Shard
from tests.test_docs import check

EXAMPLES = Path(__file__).parents[1] / "examples"
SLURM, CRON = EXAMPLES / "slurm-array.sh", EXAMPLES / "monthly-cron.sh"
OWN = EXAMPLES / "train-your-own.sh"
AREA, OUT = "/shared/two words.geojson", "/shared/two words.tif"
FOR_SLURM = AREA, "2024", OUT, "5", "--model", "own model.onnx"

NOTE = """#!{python}
import json, os, sys
with open({notes!r}, "a") as notes:
    notes.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
print({says!r})
sys.stderr.write({warns!r})
sys.exit({code})
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


class Desk:
    """A PATH with programs that note how they are called."""

    def __init__(self, folder, monkeypatch):
        self._folder, self._notes = folder / "bin", folder / "notes"
        self._folder.mkdir()
        monkeypatch.setenv("PATH", f"{self._folder}{os.pathsep}{os.environ['PATH']}")
        for name in [name for name in os.environ if name.startswith(("SLURM", "LULCMAP"))]:
            monkeypatch.delenv(name)

    def put(self, name, *, says="", warns="", code=0):
        tool = self._folder / name
        given = {"python": sys.executable, "notes": str(self._notes)}
        tool.write_text(NOTE.format(**given, says=says, warns=warns, code=code))
        tool.chmod(0o755)

    def calls(self):
        return [json.loads(line) for line in self._notes.read_text().splitlines()]


def sh(*words, **environment):
    given = {name: str(value) for name, value in environment.items()}
    return subprocess.run(
        ["sh", *map(str, words)],
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=False,
    )


def value(words, option):
    """Of ``--option value`` or ``--option=value``."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return after
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    raise AssertionError(f"{option} is not among {words}")


def gigabytes(text):
    return float(re.fullmatch(r"(\d+)(?:G|GB|Gi)", text)[1])


def test_slurm_is_given_an_array_and_a_job_that_waits_for_all_of_it(desk):
    desk.put("sbatch", says="4711;cluster")

    ended = sh(SLURM, *FOR_SLURM)

    assert ended.returncode == 0, ended.stderr
    array, joining = desk.calls()
    assert array[-len(FOR_SLURM) - 1 :] == [str(SLURM), *FOR_SLURM]
    assert value(array, "--array") == "1-5"
    assert "--parsable" in array
    assert value(joining, "--dependency") == "afterok:4711"
    words = shlex.split(value(joining, "--wrap"))
    assert words == ["lulcmap", "assemble", f"{OUT}.run"]
    check(words[1:])


def test_slurm_s_tasks_are_all_the_shards_once(desk):
    desk.put("lulcmap")

    for task in range(1, 6):
        ended = sh(SLURM, *FOR_SLURM, SLURM_ARRAY_TASK_ID=task, SLURM_ARRAY_TASK_COUNT=5)
        assert ended.returncode == 0, ended.stderr

    blocks = []
    for call in desk.calls():
        check(call[1:])
        assert (value(call, "--aoi"), value(call, "--out")) == (AREA, OUT)
        assert value(call, "--model") == "own model.onnx"
        blocks += Shard.parse(value(call, "--shard")).of(range(23))
    assert sorted(blocks) == list(range(23))


def test_a_task_that_is_sent_again_alone_is_the_same_shard(desk):
    desk.put("lulcmap")

    sh(SLURM, *FOR_SLURM, SLURM_ARRAY_TASK_ID=3, SLURM_ARRAY_TASK_COUNT=1)

    assert value(desk.calls()[0], "--shard") == "3/5"


@pytest.mark.parametrize(("code", "again"), [(0, False), (124, True), (5, False), (143, False)])
def test_a_task_whose_time_is_over_is_queued_again(desk, code, again):
    desk.put("lulcmap", code=code)
    desk.put("scontrol")

    ended = sh(SLURM, *FOR_SLURM, SLURM_ARRAY_TASK_ID=3, SLURM_JOB_ID=4713)

    assert ended.returncode == code
    assert desk.calls()[1:] == ([["scontrol", "requeue", "4713"]] if again else [])


def test_a_task_ends_before_slurm_ends_it_and_within_its_memory(desk):
    desk.put("lulcmap")
    text = SLURM.read_text()
    before = text[: text.index("set -eu")].splitlines()  # sbatch reads no further
    asked = dict(
        line[len("#SBATCH ") :].split("=") for line in before if re.match("#SBATCH.*=", line)
    )

    sh(SLURM, *FOR_SLURM, SLURM_ARRAY_TASK_ID=1)

    (call,) = desk.calls()
    hours, minutes, seconds = map(int, asked["--time"].split(":"))
    limit = hours * 3600 + minutes * 60 + seconds
    assert limit - 3600 < float(value(call, "--timeout")) <= limit - 600
    assert gigabytes(value(call, "--max-memory")) < gigabytes(asked["--mem"])
    assert "#SBATCH --requeue" in before


@pytest.fixture(scope="module")
def manifests():
    text = (EXAMPLES / "kubernetes-job.yaml").read_text()
    return {one["metadata"]["name"]: one for one in yaml.safe_load_all(text)}


def container(manifest):
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    return found


def test_kubernetes_pods_are_all_the_shards_once_and_are_joined(desk, manifests):
    desk.put("lulcmap")
    job, joining = manifests["lulcmap-map"]["spec"], manifests["lulcmap-assemble"]
    shell, *command = [*container(manifests["lulcmap-map"])["command"]]
    assert job["completionMode"] == "Indexed"

    for index in range(job["completions"]):
        ended = sh(
            *command,
            *container(manifests["lulcmap-map"])["args"],
            JOB_COMPLETION_INDEX=index,
            LULCMAP_OPTIONS="--max-cloud 60",
        )
        assert ended.returncode == 0, ended.stderr

    assert shell == "sh"
    calls, blocks = desk.calls(), []
    for call in calls:
        check(call[1:])
        assert value(call, "--max-cloud") == "60"
        blocks += Shard.parse(value(call, "--shard")).of(range(57))
    assert sorted(blocks) == list(range(57))
    tool, *words = container(joining)["command"]
    check(words)
    assert [tool, *words[:2]] == ["lulcmap", "assemble", f"{value(calls[0], '--out')}.run"]


def test_kubernetes_pods_share_a_volume_and_have_more_memory_than_lulcmap_takes(desk, manifests):
    desk.put("lulcmap")
    claim = manifests["lulcmap"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]

    sh("-c", *container(manifests["lulcmap-map"])["args"], JOB_COMPLETION_INDEX=0)

    (call,) = desk.calls()
    for name in ("lulcmap-map", "lulcmap-assemble"):
        pod, has = manifests[name]["spec"]["template"]["spec"], container(manifests[name])
        (volume,), (mount,) = pod["volumes"], has["volumeMounts"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert volume["name"] == mount["name"]
        for option in ("--aoi", "--out"):
            assert value(call, option).startswith(f"{mount['mountPath']}/")
        assert gigabytes(value(call, "--max-memory")) < gigabytes(
            has["resources"]["limits"]["memory"]
        )


def test_kubernetes_gives_up_only_where_no_other_try_ends_otherwise(manifests):
    spec = manifests["lulcmap-map"]["spec"]
    (codes,) = [
        rule["onExitCodes"]
        for rule in spec["podFailurePolicy"]["rules"]
        if rule["action"] == "FailJob"
    ]

    assert codes["operator"] == "In"
    assert codes["containerName"] == container(manifests["lulcmap-map"])["name"]
    assert set(codes["values"]) == {2, 3, 6}  # and not 5, 7, 124, 143, which another try may mend
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["backoffLimit"] > 0


def test_kubernetes_steps_are_those_that_the_file_tells(manifests):
    told = re.findall(r"-l step=(\w+)", (EXAMPLES / "kubernetes-job.yaml").read_text())

    steps = [one["metadata"]["labels"]["step"] for one in manifests.values()]

    assert told == list(dict.fromkeys(steps)) == ["map", "assemble"]
    assert "job/lulcmap-map" in (EXAMPLES / "kubernetes-job.yaml").read_text()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "two words.tif: already made, nothing to do"),
        (4, "covers less of"),
        (5, "the next call resumes"),
        (124, "the next call resumes"),
        (143, "the next call resumes"),
        (2, "failed with exit code 2"),
    ],
)
def test_cron_is_told_how_it_went_in_one_line(desk, tmp_path, code, said):
    line = '{"level": "info"}\n'
    says = "two words.tif: already made, nothing to do" if code == 0 else ""
    desk.put("lulcmap", says=says, warns=line, code=code)
    area, maps = tmp_path / "two words.geojson", tmp_path / "maps of it"

    for _ in range(2):
        ended = sh(CRON, area, maps, "--model", "own model.onnx", LULCMAP_TIMEOUT=60)
        assert ended.returncode == code
        assert ended.stderr == ""
        assert said in ended.stdout
        assert len(ended.stdout.strip().splitlines()) == 1

    call, again = desk.calls()
    check(call[1:])
    assert again == call
    assert value(call, "--aoi") == str(area)
    assert value(call, "--last") == "12months"
    assert value(call, "--timeout") == "60"
    assert value(call, "--log-format") == "json"
    assert value(call, "--model") == "own model.onnx"
    assert (maps / "two words.log").read_text() == 2 * line


def test_cron_s_map_of_each_month_and_its_short_path(desk, tmp_path):
    desk.put("lulcmap")
    program = next(Path(folder) for folder in os.environ["PATH"].split(os.pathsep)) / "lulcmap"
    short = {"PATH": "/usr/bin:/bin"}
    area = tmp_path / "area.geojson"

    missing = sh(CRON, area, tmp_path, **short)
    ended = sh(CRON, area, tmp_path, LULCMAP=program, LULCMAP_PERIOD="1month", **short)

    assert missing.returncode == 127
    assert "set LULCMAP to its path" in missing.stdout
    assert ended.returncode == 0, ended.stderr
    (call,) = desk.calls()
    assert value(call, "--last") == "1month"


@pytest.mark.timeout(1500)
def test_the_whole_way_from_labels_to_a_map_of_ones_own_network(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = sh(OWN, tmp_path, SIDE=640, TILE=96, EPOCHS=60, PATH=path)

    assert done.returncode == 0, done.stdout + done.stderr
    for name, least in (("scores", 0.25), ("map-scores", 0.45)):  # a guess would reach 0.1
        figures = json.loads((tmp_path / name / "metrics.json").read_text())
        assert figures["scores"]["oa"]["value"] > least
