"""The processor that compiled loops are made for."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lulcmap.system import share_compiled_loops

HASWELL = "fpu sse2 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave erms"


@pytest.fixture
def environment_of(tmp_path, monkeypatch):
    """What numba is told on a machine: a function of its flags."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    def told(flags, **environment):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor : 0\nflags\t\t: {flags}\n\nprocessor : 1\n")
        share_compiled_loops(environment, cpuinfo)
        return environment

    return told


def test_loops_are_compiled_for_the_level_that_processors_share(environment_of):
    modern = f"{HASWELL} avx512f avx512bw avx512vl amx_tile"

    assert environment_of(HASWELL) == environment_of(modern)
    assert environment_of(HASWELL)["NUMBA_CPU_NAME"] == "x86-64-v3"


@pytest.mark.parametrize("lacking", HASWELL.split()[2:11])
def test_a_processor_that_lacks_a_part_of_the_level_is_never_given_its_code(
    environment_of, lacking
):
    flags = " ".join(flag for flag in HASWELL.split() if flag != lacking)

    assert environment_of(flags) == {}


def test_what_the_user_chose_stays(environment_of):
    assert environment_of(HASWELL, NUMBA_CPU_NAME="generic") == {"NUMBA_CPU_NAME": "generic"}


def test_another_architecture_and_another_system_compile_for_themselves(tmp_path, monkeypatch):
    environment = {}
    share_compiled_loops(environment, tmp_path / "missing")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    share_compiled_loops(environment)

    assert environment == {}


def test_the_cache_is_keyed_by_the_level_and_not_by_the_processor():
    code = (
        "import os; from lulcmap.system import share_compiled_loops; share_compiled_loops();"
        "from numba.core.registry import cpu_target;"
        "triple, *key = cpu_target.target_context.codegen().magic_tuple();"
        "print(os.environ.get('NUMBA_CPU_NAME'), key)"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )

    name, key = run.stdout.strip().split(maxsplit=1)
    if name == "None":
        pytest.skip("this processor compiles for itself")
    assert key == "['x86-64-v3', '']"
