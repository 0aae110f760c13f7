"""The datasets of ``lulcmap train``: their shares, chips and description."""

from collections import Counter
from collections.abc import Sequence
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lulcmap.dataset import Dataset
    from lulcmap.training import Samples

_CACHE_SHARE = 0.4
"""Share of the free memory that cached chips may fill."""


def open_datasets(data: Sequence[str]) -> tuple[list["Dataset"], list[float] | None]:
    """The datasets of ``FOLDER[=SHARE]``, and their shares if they have some.

    Raises:
        UsageError: a folder holds no dataset, or a share is not a number above 0.

    """
    from lulcmap.dataset import Dataset
    from lulcmap.errors import UsageError
    from lulcmap.training import check_legends

    folders, shares = list[str](), list[float]()
    for text in data:
        folder, equals, share = text.rpartition("=")
        if not equals or Path(text).is_dir():  # a folder's name may hold the sign
            folders.append(text)
            continue
        folders.append(folder)
        try:
            shares.append(float(share))
        except ValueError:
            shares.append(nan)
        if not (isfinite(shares[-1]) and shares[-1] > 0):
            raise UsageError(
                f"The share {share!r} in --data {text} is not a number above 0. Give one such as "
                f"{folder}=2, or {folder} alone."
            )
    if shares and len(shares) < len(folders):
        raise UsageError(
            f"{len(shares)} of {len(folders)} --data have a share. Give one to each, or to none."
        )
    datasets = [Dataset.open(Path(folder)) for folder in folders]
    check_legends(folders, [dataset.classes for dataset in datasets])
    return datasets, shares or None


def cache_bytes_of(devices: int) -> float:
    """Most bytes of the chips that each process may keep in memory."""
    from lulcmap.system import free_memory

    free = free_memory()
    return free * _CACHE_SHARE / devices if isfinite(free) else 0.0


def samples_of(
    datasets: Sequence["Dataset"],
    split: Literal["train", "validation"],
    shares: Sequence[float] | None,
    *,
    cache_bytes: float,
) -> "Samples | None":
    """The chips of a split of all datasets; None if there are none.

    Raises:
        UsageError: the datasets have other legends, or one with a share has no chip.

    """
    from lulcmap.training import ChipCache, ChipFolder, MixedSamples

    cache = ChipCache(cache_bytes)
    folders = [ChipFolder(one, one.split(split), cache) for one in datasets]
    if shares is None:
        folders = [folder for folder in folders if len(folder)]
    if not folders:
        return None
    if len(folders) == 1:
        return folders[0]
    return MixedSamples(folders, shares, [str(folder.dataset.folder) for folder in folders])


def source_of(datasets: Sequence["Dataset"]) -> str:
    """What the network is trained on, for its model card."""
    return "; ".join(_describe(dataset) for dataset in datasets if dataset.split("train"))


def _describe(dataset: "Dataset") -> str:
    rows = dataset.split("train")
    days = sorted(row.date for row in rows)
    span = f" of {days[0]} to {days[-1]}" if days else ""
    kinds = Counter(row.annotator for row in rows)
    annotators = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    places = len({row.place for row in rows})
    return f"{len(rows)} labelled images{span} ({annotators}) at {places} places"
