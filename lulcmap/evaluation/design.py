"""How the points of a label file were chosen: at random, or where labels help a model most.

An accuracy or an area is estimated from points that were drawn at random. Points that were chosen
because the map is unsure there say nothing of the map as a whole, however many there are.
"""

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.vectors import Features, is_blank

DESIGN = "design"
"""Column that says how a point was chosen; a file without it is a random sample."""

RANDOM, TRAINING, DRAWN = "random", "training", "drawn"
"""Its values: drawn at random; chosen to train with; drawn by hand in ``lulcmap label``."""


def is_random(designs: NDArray[np.object_]) -> NDArray[np.bool_]:
    """(n,) whether each of some designs is that of a random sample.

    Examples:
        >>> is_random(np.array(["random", None, " ", "training"], object)).tolist()
        [True, True, True, False]

    """
    return np.array([is_blank(one) or str(one).strip() == RANDOM for one in designs], bool)


def check_random(features: Features) -> None:
    """Check that no feature was chosen by hand or to train with.

    Raises:
        UsageError: some were; nothing can be estimated from them.

    """
    if DESIGN not in features.columns:
        return
    chosen = ~is_random(features.column(DESIGN))
    if chosen.any():
        raise UsageError(
            f"{features.path} has {np.count_nonzero(chosen):,} of {len(chosen):,} labels chosen "
            "for training, not drawn at random (column design): no accuracy or area can be "
            "estimated from them. Train with them, and label a random sample of its own: lulcmap "
            "sample MAP --size 600 --out FILE."
        )
