"""What version 2 is trained on: labelled real scenes, landscapes with quilts, wild landscapes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipes.real_land.dataset import build_landscapes
from recipes.real_land.labelled import build_labelled
from recipes.real_land.mix_amounts import FIELDS, REAL, SHARES, WILD, WILD_SHARES
from recipes.real_land.points import HELD_OUT_FOLD
from recipes.real_land.wild.dataset import build_wild
from recipes.real_land.wild.make import KINDS


@dataclass(frozen=True)
class Amounts:
    """How much is made up."""

    fields: int = 1600
    """Landscapes of fields, towns and all that is between, and quilts."""

    wild: int = 1400
    """Wild landscapes."""

    size: int = 256
    """Side of a landscape, pixels."""

    def of_kinds(self) -> dict[str, int]:
        """Number of wild landscapes of each kind, at least one."""
        return {kind: max(1, round(WILD_SHARES[kind] * self.wild)) for kind in KINDS}


def build_mix(
    data: Path,
    labels: Path,
    out: Path,
    amounts: Amounts,
    *,
    workers: int,
    report: Callable[[str, int, int], object] = lambda *_: None,
) -> dict[Path, float]:
    """Build the datasets that are missing; each folder and its share of the draws.

    Args:
        data: folder of the data.
        labels: folder of the teacher's labels, complete.
        out: folder that gets the three datasets.
        amounts: how much is made up.
        workers: number of processes that make landscapes.
        report: called with the name of a dataset, its finished chips and their number.

    """
    out.mkdir(parents=True, exist_ok=True)
    build_labelled(data, labels, out / REAL)
    build_landscapes(
        data,
        out / FIELDS,
        counts={"train": amounts.fields},
        fold=HELD_OUT_FOLD,
        size=amounts.size,
        workers=workers,
        validation=False,
        progress=lambda done, total: report(FIELDS, done, total),
    )
    build_wild(
        data,
        out / WILD,
        counts=amounts.of_kinds(),
        size=amounts.size,
        workers=workers,
        progress=lambda done, total: report(WILD, done, total),
    )
    return {out / name: share for name, share in SHARES.items()}
