"""One label from the votes of several annotators, by the schemes of Dynamic World's hold-out."""

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset.settings import Scheme
from lulcmap.legend import NODATA

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
"""Schemes, from the fewest disputed pixels to the most; compare figures only under the same one."""

N_EXPERTS = 3
"""Annotators whose votes count; further votes, the non-expert's, are ignored."""


def merge_votes(votes: NDArray[np.uint8], scheme: str) -> NDArray[np.uint8]:
    """Merge the experts' votes into the label of each pixel, under a scheme.

    The definitions are those in the text of Brown et al. (2022), Scientific Data 9:251, "Technical
    Validation": ``strict``, all three experts had an opinion and agreed; ``consensus``, all that
    had an opinion agreed, whether three, two or one; ``majority``, at least two agreed, or only one
    had an opinion; ``simple-majority``, at least two agreed, whatever the third said. The captions
    of its tables 7 and 9 say otherwise, but only the text fits the counts there: the pixels of
    ``simple-majority`` are not a subset of those of ``consensus``.

    A cloud counts as no opinion, as in every label of a dataset.

    Args:
        votes: (V, H, W) class ids, V >= 3: the experts first; 255 where one had no opinion.
        scheme: one of ``SCHEMES``.

    Returns:
        (H, W) class ids; 255 where the scheme gives none.

    Raises:
        ValueError: no such scheme, or fewer than three votes.

    Examples:
        >>> votes = np.uint8([[[4, 4, 4, 4]], [[4, 4, 255, 4]], [[4, 255, 255, 1]]])
        >>> merge_votes(votes, "strict"), merge_votes(votes, "consensus")
        (array([[  4, 255, 255, 255]], dtype=uint8), array([[  4,   4,   4, 255]], dtype=uint8))
        >>> merge_votes(votes, "majority"), merge_votes(votes, "simple-majority")
        (array([[4, 4, 4, 4]], dtype=uint8), array([[  4,   4, 255,   4]], dtype=uint8))

    """
    if scheme not in SCHEMES:
        raise ValueError(f"no such scheme: {scheme!r}; expected one of {', '.join(SCHEMES)}")
    if votes.ndim != 3 or len(votes) < N_EXPERTS:
        raise ValueError(f"votes have shape {votes.shape}, expected (3 or more, H, W)")
    ids = np.sort(votes[:N_EXPERTS], axis=0)  # votes without an opinion last
    first, second, third = ids
    opinions = (ids != NODATA).sum(axis=0)
    # Of three sorted ids, two or more that agree include the middle one.
    pair = (opinions >= 2) & ((first == second) | ((second == third) & (opinions == 3)))
    agreed = (opinions >= 1) & ((ids == first) | (ids == NODATA)).all(axis=0)
    decided = {
        "strict": agreed & (opinions == N_EXPERTS),
        "consensus": agreed,
        "majority": pair | (opinions == 1),
        "simple-majority": pair,
    }[scheme]
    return np.where(decided, np.where(opinions == 1, first, second), NODATA).astype(np.uint8)
