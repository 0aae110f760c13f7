"""Where an adapted model learnt: kept in its file, so that no label there ever judges it."""

import json
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.places import Cell, cells_of
from lulcmap.errors import ModelError
from lulcmap.model import ADAPTED, FeatureNetwork, is_adapted

_KEY = "lulcmap_label_cells"
"""Key in ``metadata_props`` of the squares of ``PLACE_M`` that the labels lay in, as JSON."""


def learnt_cells(network: FeatureNetwork) -> frozenset[Cell]:
    """Squares whose labels the model, or one that it was made of, was adapted to.

    Raises:
        ModelError: it was adapted, but does not tell where.

    """
    training = network.contract.training
    adapted = training.get(ADAPTED)
    if adapted is None and is_adapted(training):
        raise ModelError(
            f"Model {network.contract.name!r} was trained on from one that was adapted, and its "
            "file does not tell where the labels lay, so that they could judge it again. Adapt the "
            "model that the other was made of."
        )
    if adapted is None:
        return frozenset()
    try:
        if not isinstance(adapted["origin"], str):
            raise TypeError("no name")
        return frozenset((int(row), int(col)) for row, col in json.loads(network.metadata()[_KEY]))
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise ModelError(
            f"Model {network.contract.name!r} was adapted, but its file does not tell where its "
            "labels lay, so that they could judge it again. Adapt the model it was made of to all "
            "labels together."
        ) from error


def is_unlearnt(
    labels: Labels, places: NDArray[np.intp], learnt: AbstractSet[Cell]
) -> NDArray[np.bool_]:
    """(n,) whether the model has learnt nothing at a label's place, so that the label may judge it.

    Args:
        labels: the labels.
        places: (n,) number of each label's place.
        learnt: squares that the model learnt from.

    """
    met = np.array([not learnt.isdisjoint(touched) for touched in cells_of(labels)], bool)
    return ~np.isin(places, places[met])


def learnt_metadata(
    labels: Labels, kept: NDArray[np.intp], learnt: AbstractSet[Cell]
) -> dict[str, str]:
    """What the new file tells of where it learnt: at its own labels, and where its parent did."""
    touched = cells_of(labels)
    own = {cell for number in kept.tolist() for cell in touched[number]}
    return {_KEY: json.dumps(sorted(own | learnt), separators=(",", ":"))}
