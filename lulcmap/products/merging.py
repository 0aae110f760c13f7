"""Merge small patches into their neighbours, strip by strip.

A patch that reaches the minimum area is settled: it keeps its class. In each round every other
patch that touches a settled one takes the class it shares the longest border with among these, and
is settled for the next round. So small patches are filled from outside in, and what a patch
becomes depends on no order. Small patches of a class that is kept stay, and give their class to
none: else a single pixel would spread over all small patches around it.

Three things are held at a time: a strip of the map, the patches that reach its last row, and from
a file the states of its patches. So memory depends on the width of the map alone.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.products.minimum import PixelMeasure
from lulcmap.products.patches import Border, Strip, Strips, add_up
from lulcmap.products.states import KEPT, UNSETTLED, PatchStates
from lulcmap.system import Steps, compiled

_CLASSES = 256

_NUMBERS = np.zeros(0, np.int64)


def find_small(
    strips: Strips,
    states: PatchStates,
    measure: PixelMeasure,
    *,
    least: int,
    keep: Collection[int],
    progress: Steps,
) -> tuple[NDArray[np.int64], int]:
    """Fill the states: the class of each large patch, ``UNSETTLED`` or ``KEPT`` of a small one.

    Args:
        strips: the strips of the map.
        states: empty states.
        measure: areas of the pixels.
        least: the smallest area that stays, in units of the measure.
        keep: values of the classes whose patches stay whatever their area.
        progress: called with the strips done, and of all.

    Returns:
        (256,) pixels of each value, and how many patches are unsettled.

    """
    pixels = np.zeros(_CLASSES, np.int64)
    finding = _Finding(states, strips.class_map.shape[1], least, keep)
    for strip in strips:
        pixels += np.bincount(strip.values.ravel(), minlength=_CLASSES)
        sizes = np.zeros(len(strip.patch_values), np.int64)
        add_up(strip.labels, measure.of(strip.rows, slice(0, strip.labels.shape[1])), sizes)
        finding.add(strip, sizes, diagonal=strips.diagonal)
        progress(strip.number + 1, len(strips.rows))
    return pixels, finding.small + finding.open_small


class _Finding:
    """The patches at the border of the strips done, while small ones are looked for."""

    def __init__(self, states: PatchStates, width: int, least: int, keep: Collection[int]) -> None:
        self._states, self._least, self._kept = states, least, list(keep)
        self._border, self._sizes = Border.none(width), _NUMBERS
        self._parts = self._patches = _NUMBERS  # parts of small patches in strips, their patches
        self._classes = np.zeros(0, np.uint8)
        self.small = 0
        """Patches that ended small, but for those of kept classes."""

    @property
    def open_small(self) -> int:
        """Patches at the border that are small so far, but for those of kept classes."""
        return len(np.unique(self._patches[~np.isin(self._classes, self._kept)]))

    def add(self, strip: Strip, own_sizes: NDArray[np.int64], *, diagonal: bool) -> None:
        """Add the next strip, and write the states of its patches.

        Args:
            strip: the strip.
            own_sizes: (n,) areas of its patches within it.
            diagonal: whether pixels that touch at a corner belong to one patch.

        """
        joined, found = self._border.join(strip, diagonal=diagonal)
        above, own = np.split(joined, [self._border.count])
        sizes = np.zeros(found, np.int64)
        np.add.at(sizes, joined, np.concatenate([self._sizes, own_sizes]))
        is_large = sizes >= self._least
        small_state = np.where(np.isin(strip.patch_values, self._kept), KEPT, UNSETTLED)
        small = np.flatnonzero(~is_large[own])
        states = np.where(is_large[own], strip.patch_values, small_state)
        self._states.append(states.astype(np.uint8))

        patches = above[self._patches]
        grown = is_large[patches]  # small above, large with what this strip adds
        self._states.settle(self._parts[grown], self._classes[grown])
        first = self._states.start(strip.number)
        self._parts = np.concatenate([self._parts[~grown], first + small])
        self._classes = np.concatenate([self._classes[~grown], strip.patch_values[small]])
        self._patches = np.concatenate([patches[~grown], own[small]])
        self._border, reached = Border.below(strip, own)
        self._sizes = sizes[reached]
        self.small += self.open_small
        self._patches, is_open = _renumbered(self._patches, reached, found)
        self._parts, self._classes = self._parts[is_open], self._classes[is_open]
        self.small -= self.open_small


def _renumbered(
    patches: NDArray[np.int64], reached: NDArray[np.int64], found: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The numbers at a border of the patches that reach it, and which of some do."""
    numbers = np.full(found, -1, np.int64)
    numbers[reached] = np.arange(len(reached))
    new = numbers[patches]
    return new[new >= 0], new >= 0


@compiled
def _touches(
    labels: NDArray[np.int32],
    states: NDArray[np.uint8],
    above: NDArray[np.int64],
    above_states: NDArray[np.uint8],
    first_row: int,
    above_count: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every side of a pixel between an unsettled patch and a settled one.

    Args:
        labels: (H, W) number of the patch of each pixel of a strip, or -1.
        states: (n,) states of its patches.
        above: (W,) number of the patch of each pixel of the row above, or -1.
        above_states: (W,) their states.
        first_row: first row of the strip in the map.
        above_count: how many patches reach the row above.

    Returns:
        (m,) 256 times the number of the unsettled patch, those above first, plus the class of the
        settled one; (m,) place in the map of the settled pixel.

    """
    height, width = labels.shape
    keys, places = np.empty(0, np.int64), np.empty(0, np.int64)
    for is_filled in (False, True):
        count = 0
        for row in range(height):
            for col in range(width):
                if labels[row, col] < 0:
                    continue
                here, patch = states[labels[row, col]], labels[row, col] + above_count
                for is_up in (False, True):
                    i, j = (row - 1, col) if is_up else (row, col - 1)
                    if j < 0:
                        continue
                    if i >= 0:
                        if labels[i, j] < 0:
                            continue
                        there, other = states[labels[i, j]], labels[i, j] + above_count
                    else:
                        if above[j] < 0:
                            continue
                        there, other = above_states[j], above[j]
                    if min(here, there) >= 254 or max(here, there) != 255:
                        continue
                    if is_filled and here == 255:
                        keys[count] = np.int64(patch) * 256 + there
                        places[count] = (first_row + i) * width + j
                    elif is_filled:
                        keys[count] = np.int64(other) * 256 + here
                        places[count] = (first_row + row) * width + col
                    count += 1
        if not is_filled:
            keys, places = np.empty(count, np.int64), np.empty(count, np.int64)
    return keys, places


@dataclass(frozen=True, slots=True)
class _Borders:
    """How long the borders of unsettled patches with each class are."""

    keys: NDArray[np.int64]
    """(n,) 256 times the number of the patch, plus the class."""

    lengths: NDArray[np.int64]
    """(n,) sides of pixels."""

    places: NDArray[np.int64]
    """(n,) place in the map of the first settled pixel there."""

    @classmethod
    def none(cls) -> "_Borders":
        return cls(_NUMBERS, _NUMBERS, _NUMBERS)

    def joined(
        self, numbers: NDArray[np.int64], keys: NDArray[np.int64], places: NDArray[np.int64]
    ) -> "_Borders":
        """These and some sides of pixels, added up by joined patch.

        Args:
            numbers: number of the joined patch, by that of the patch.
            keys: (m,) as of ``_touches``.
            places: (m,) as of ``_touches``.

        """
        keys = np.concatenate([self.keys, keys])
        if not len(keys):
            return self
        keys = numbers[keys // _CLASSES] * _CLASSES + keys % _CLASSES
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        lengths = np.concatenate([self.lengths, np.ones(len(places), np.int64)])[order]
        places = np.concatenate([self.places, places])[order]
        return _Borders(
            keys[starts],
            np.add.reduceat(lengths, starts),
            np.minimum.reduceat(places, starts),
        )

    def chosen(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The patches, and for each the class of the longest border.

        Of equal ones it is the class that comes first in the rows beside the patch: the places of
        the classes decide, not their numbers.
        """
        patches = self.keys // _CLASSES
        order = np.lexsort((self.places, -self.lengths, patches))
        numbers, first = np.unique(patches[order], return_index=True)
        return numbers, (self.keys[order][first] % _CLASSES).astype(np.uint8)


def settle_round(strips: Strips, states: PatchStates) -> NDArray[np.int64]:
    """Settle every small patch that touches a settled one, but for those settled in this round.

    Args:
        strips: the strips of the map.
        states: the states, changed.

    Returns:
        (256, 256) patches that were settled, by their class before and after.

    """
    width = strips.class_map.shape[1]
    left = [0, *states.unsettled, 0]
    near = [number for number in range(len(strips.rows)) if any(left[number : number + 3])]
    settled = np.zeros((_CLASSES, _CLASSES), np.int64)
    round_ = _Round(states, width)
    last = -2
    for number in near:
        if number != last + 1:  # no patch between them is unsettled
            round_ = _Round(states, width)
        strip = strips.strip(number)
        settled += round_.add(
            strip, diagonal=strips.diagonal, is_last=number == len(strips.rows) - 1
        )
        last = number
    return settled


class _Round:
    """The unsettled patches at the border of the strips done in a round."""

    def __init__(self, states: PatchStates, width: int) -> None:
        self._states = states
        self._border = Border.none(width)
        self._border_states = np.zeros(width, np.uint8)
        self._borders = _Borders.none()
        self._parts = self._patches = _NUMBERS  # parts of patches in strips, and their patches
        self._classes = np.zeros(0, np.uint8)

    def add(self, strip: Strip, *, diagonal: bool, is_last: bool) -> NDArray[np.int64]:
        """Add the next strip, and settle the patches that end in it.

        Args:
            strip: the strip.
            diagonal: whether pixels that touch at a corner belong to one patch.
            is_last: whether it is the last strip of the map.

        Returns:
            (256, 256) patches that were settled, by their class before and after.

        """
        # Read before anything in it is settled: what is settled now counts in the next round.
        states = self._states.read(strip.number)
        joined, found = self._border.join(strip, diagonal=diagonal)
        keys, places = _touches(
            strip.labels,
            states,
            self._border.patches,
            self._border_states,
            strip.rows.start,
            self._border.count,
        )
        self._borders = self._borders.joined(joined, keys, places)
        above, own = np.split(joined, [self._border.count])
        small = np.flatnonzero(states == UNSETTLED)
        self._parts = np.concatenate([self._parts, self._states.start(strip.number) + small])
        self._classes = np.concatenate([self._classes, strip.patch_values[small]])
        self._patches = np.concatenate([above[self._patches], own[small]])
        self._border, reached = Border.below(strip, own)
        self._border_states = np.append(states, np.uint8(UNSETTLED))[strip.labels[-1]]
        if is_last:
            reached = reached[:0]
        return self._settle(reached, found)

    def _settle(self, reached: NDArray[np.int64], found: int) -> NDArray[np.int64]:
        """Settle the patches that do not reach the border, and forget them."""
        patches, classes = self._borders.chosen()
        becomes = np.full(found, UNSETTLED, np.uint8)
        becomes[patches] = classes
        becomes[reached] = UNSETTLED
        chosen = becomes[self._patches]
        is_settled = chosen != UNSETTLED
        self._states.settle(self._parts[is_settled], chosen[is_settled])
        _, first = np.unique(self._patches[is_settled], return_index=True)
        pairs = self._classes[is_settled].astype(np.int64) * _CLASSES + chosen[is_settled]
        settled = np.bincount(pairs[first], minlength=_CLASSES**2).reshape(_CLASSES, _CLASSES)

        self._patches, is_open = _renumbered(self._patches, reached, found)
        self._parts, self._classes = self._parts[is_open], self._classes[is_open]
        borders = self._borders
        numbers, is_open = _renumbered(borders.keys // _CLASSES, reached, found)
        self._borders = _Borders(
            numbers * _CLASSES + borders.keys[is_open] % _CLASSES,
            borders.lengths[is_open],
            borders.places[is_open],
        )
        return settled


def cleaned(strip: Strip, states: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) values of a strip after the rounds; a patch that is unsettled or kept has its class.

    Args:
        strip: the strip.
        states: (n,) states of its patches.

    """
    classes = np.append(np.where(states >= KEPT, strip.patch_values, states), NODATA)
    return classes.astype(np.uint8)[strip.labels]  # -1 is the last one
