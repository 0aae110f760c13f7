"""Rows that are shared out among threads give what one thread gives."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.imagery import make_composite, strips
from lulcmap.imagery.rules import CompositeRules
from lulcmap.imagery.strips import Strips, strip_threads
from tests.imagery.test_composite import GRID, country


@given(st.integers(1, 9), st.integers(0, 700))
def test_each_row_is_in_one_strip(threads, count):
    with Strips(threads) as shared:
        found = shared.share(count, lambda start, stop: [*range(start, stop)])

    assert [row for strip in found for row in strip] == [*range(count)]
    assert len(found) <= threads
    assert len(found) == 1 or min(map(len, found)) >= 64


def test_an_error_waits_until_nobody_writes():
    began, done = threading.Event(), []

    def work(start, _):
        if start == 0:
            assert began.wait(60)
            raise ValueError("the first strip")
        began.set()
        done.append(start)

    with Strips(2) as shared, pytest.raises(ValueError, match="the first strip"):
        shared.share(128, work)

    assert done == [64]


@pytest.mark.parametrize("seed", range(3))
def test_a_composite_does_not_depend_on_its_threads(seed, monkeypatch):
    monkeypatch.setattr(strips, "_LEAST", 1)
    archive, scenes = country(seed)

    def made(threads):
        rules = CompositeRules(min_clear=3)
        return make_composite(archive.planes, GRID, **scenes, rules=rules, threads=threads)

    alone, shared = made(1), made(5)

    for name in ("s2", "s1", "s2_count", "s1_count", "s1_other"):
        np.testing.assert_array_equal(getattr(shared, name), getattr(alone, name))
    for name in ("used", "implausible"):
        assert getattr(shared, name) == getattr(alone, name)


def test_a_fourth_of_the_cores_composites():
    assert [strip_threads(cores) for cores in (1, 2, 4, 16, 64)] == [1, 1, 1, 4, 16]
    assert strip_threads(16, 4) == 1
