"""The windows that are kept for the next blocks."""

from lulcmap.blocks.kept import KeptWindow, KeptWindows, WindowFacts
from lulcmap.geo import Box

FACTS = WindowFacts(frozenset(), frozenset())


def test_a_window_is_dropped_when_the_last_block_that_needs_it_is_done():
    kept, window = KeptWindows(), Box(0, 0, 64, 64)
    kept.keep(32632, window, 2, KeptWindow(FACTS, None))

    kept.done(1)
    assert kept.get(32632, window).facts == FACTS
    kept.done(2)
    assert len(kept) == 0
