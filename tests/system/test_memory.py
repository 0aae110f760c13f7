"""How much memory this process may use."""

import math

import pytest

from lulcmap.system import memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty Linux machine: a function that writes one of its files, by path."""
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "proc" / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "proc" / "self" / "cgroup")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "sys" / "fs" / "cgroup")

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write


def test_available_memory_is_what_linux_gives_without_swapping(machine):
    machine("proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\nCached: 1 kB\n")

    assert memory.available_memory() == 8_000_000 * 1024


def test_the_smallest_limit_of_a_group_and_its_parents_counts(machine):
    machine("proc/self/cgroup", "0::/user/job\n")
    machine("sys/fs/cgroup/user/job/memory.max", "max\n")
    machine("sys/fs/cgroup/user/memory.max", "3000000000\n")
    machine("sys/fs/cgroup/memory.max", "4000000000\n")

    assert memory.memory_limit() == 3e9


def test_a_container_of_version_1_has_its_limit_at_the_root(machine):
    machine("proc/self/cgroup", "5:memory:/docker/abc\n")
    machine("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000000\n")

    assert memory.memory_limit() == 2e9


def test_without_a_limit_there_is_none(machine):
    assert memory.memory_limit() is None
    machine("proc/self/cgroup", "0::/\n")
    machine("sys/fs/cgroup/memory.max", "max\n")

    assert memory.memory_limit() is None


def test_the_smaller_of_available_and_limit_counts(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8e9)
    monkeypatch.setattr(memory, "memory_limit", lambda: None)
    assert memory.free_memory() == 8e9

    monkeypatch.setattr(memory, "memory_limit", lambda: 2e9)
    assert memory.free_memory() == 2e9


def test_free_memory_is_infinite_where_it_is_unknown(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    monkeypatch.setattr(memory, "memory_limit", lambda: None)

    assert memory.free_memory() == math.inf
