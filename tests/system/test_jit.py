"""Compiled loops are loaded without what none of them uses."""

import subprocess
import sys

_SCRIPT = """
import sys
import numpy as np
from numba import njit
from lulcmap.imagery import Reader
from lulcmap.imagery.kernels import sorting_network, median

with Reader(), Reader():
    stack = np.full((3, 2, 2), 7, np.uint16)
    out = np.zeros((2, 2), np.uint16)
    median(stack, sorting_network(3), out, np.full((2, 2), 255, np.uint8), 0, 2)
    assert (out == 7).all()
assert "scipy.linalg" not in sys.modules

@njit
def product(a, b):
    return np.dot(a, b)

assert product(np.eye(2), np.full((2, 2), 3.0)).tolist() == [[3.0, 3.0], [3.0, 3.0]]
assert "scipy.linalg" in sys.modules
"""


def test_scipys_blas_is_imported_only_for_a_loop_that_uses_it():
    subprocess.run([sys.executable, "-c", _SCRIPT], check=True)
