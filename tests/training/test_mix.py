"""Several datasets in one training, and the cache that they share."""

import pickle
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.dataset.sets import label_sets
from lulcmap.errors import UsageError
from lulcmap.legend import NAMES, LandCover
from lulcmap.training.batches import batches
from lulcmap.training.cache import ChipCache
from lulcmap.training.checkpoint import load_checkpoint
from lulcmap.training.fit import train_network
from lulcmap.training.histograms import histograms_of
from lulcmap.training.mix import MixedSamples, epoch_draws
from lulcmap.training.settings import Hardware, TrainingSettings
from tests.support.networks import MICRO, make_chips

SETTINGS = TrainingSettings(epochs=2, batch=4, crop=32, seed=4)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Counted:
    """A source of a given size that is never read."""

    classes, sets, digest = make_chips(1).classes, (), ""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0.01, 50)), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_shares_are_kept_and_every_chip_is_drawn_as_often_as_the_others(sources, seed):
    sizes, shares = zip(*sources, strict=True)
    mixed = MixedSamples([Counted(size) for size in sizes], shares)

    drawn = Counter(epoch_draws(mixed, np.random.default_rng(seed)))

    first = 0
    for size, share, count in zip(sizes, shares, mixed.counts(), strict=True):
        times = [drawn[index] for index in range(first, first + size)]
        exact = len(mixed) * share / sum(shares)
        assert sum(times) == count
        assert max(times) - min(times) <= 1
        assert count == 1 if exact < 1 else abs(count - exact) <= 1 + len(sizes)
        first += size
    assert sum(mixed.counts()) >= len(mixed)


def test_without_shares_an_epoch_draws_every_chip_once():
    mixed = MixedSamples([Counted(3), Counted(5)])

    assert sorted(epoch_draws(mixed, np.random.default_rng(0))) == list(range(8))
    assert mixed.rates() == [1, 1]


def test_one_source_alone_trains_like_itself():
    chips = make_chips(6)

    alone, mixed = (
        torch.cat([part.s2 for step in batches(one, SETTINGS, 3) for part in step])
        for one in (chips, MixedSamples([chips]))
    )

    assert torch.equal(alone, mixed)


def test_a_chip_that_is_drawn_twice_is_cropped_anew():
    mixed = MixedSamples([make_chips(1), make_chips(3, seed=9)], [3, 1])
    rare = make_chips(1).s2[0]

    (step,) = batches(mixed, SETTINGS, 0)

    images = [image for image in step[0].s2.numpy() if np.isin(image[0], rare[0]).mean() > 0.2]
    assert len(images) >= 2
    assert not any((images[0] == other).all() for other in images[1:])


def test_sets_of_several_sources_do_not_mix():
    crops, wet = label_sets({"not crops": NAMES[:3]}), label_sets({"wet": ["water", "bare"]})
    both = label_sets({"wet": ["water", "bare"], "no crops": NAMES[:3]})
    first, second, third = (
        replace(make_chips(1, seed=number), sets=sets)
        for number, sets in enumerate((crops, wet, both))
    )
    for source, codes in ((first, (254,)), (second, (254,)), (third, (254, 253))):
        for row, code in enumerate(codes):
            source.label[0, row] = code

    mixed = MixedSamples([first, second, third])

    assert [(one.code, one.name) for one in mixed.sets] == [(254, "not crops"), (253, "wet")]
    assert (mixed.sample(0).label[0] == 254).all()
    assert (mixed.sample(1).label[0] == 253).all()
    assert (mixed.sample(2).label[0] == 253).all()
    assert (mixed.sample(2).label[1] == 254).all()
    assert (mixed.sample(2).label[2:] == third.label[0, 2:]).all()


def test_other_legends_are_refused_in_one_line():
    other = replace(make_chips(2), classes=[LandCover(0, "sea", "000000")])

    with pytest.raises(UsageError) as caught:
        MixedSamples([make_chips(2), other], names=["lakes", "seas"])

    assert str(caught.value).startswith("lakes has the classes water, ")
    assert "but seas has sea. Give datasets with the same legend." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_a_share_is_a_number_above_0(share):
    with pytest.raises(UsageError, match="The share of source 2 is"):
        MixedSamples([make_chips(1), make_chips(1)], [1, share])


def test_classes_count_as_often_as_they_are_drawn():
    one, other = make_chips(2), make_chips(6, seed=3)
    mixed = MixedSamples([one, other], [1, 1])

    counts = histograms_of(mixed)

    assert mixed.rates() == [2, pytest.approx(4 / 6)]
    expected = 2 * histograms_of(one).classes + 4 / 6 * histograms_of(other).classes
    np.testing.assert_allclose(counts.classes, expected)
    np.testing.assert_allclose(
        counts.s2, 2 * histograms_of(one).s2 + 4 / 6 * histograms_of(other).s2
    )


def trained(folder, mixed, **options):
    path = train_network(
        mixed, folder, config=MICRO, settings=SETTINGS, trained_on="simulated", **options
    )
    return load_checkpoint(path)


def partial_mix():
    """Hard, soft and partial labels of several sizes."""
    rng = np.random.default_rng(2)
    hard, soft = make_chips(3), make_chips(3, size=32, seed=1)
    spread = rng.dirichlet(np.ones(9), (3, 32, 32)).transpose(0, 3, 1, 2)
    percent = np.rint(100 * spread).astype(np.uint8)
    soft = replace(
        soft,
        label=percent.argmax(1).astype(np.uint8),
        probabilities=percent,
        weight=rng.integers(0, 101, (3, 32, 32)).astype(np.uint8),
    )
    some = replace(make_chips(2, seed=7), sets=label_sets({"dry": NAMES[1:]}))
    some.label[:, :30] = 254
    return MixedSamples([hard, soft, some], [2, 1, 1])


def test_a_killed_training_on_a_mixture_resumes_to_the_same_weights(tmp_path):
    def kill(epoch):
        if epoch.number == 1:
            raise KeyboardInterrupt

    whole = trained(tmp_path / "whole", partial_mix())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", partial_mix(), on_epoch=kill)
    resumed = trained(tmp_path / "killed", partial_mix())

    assert resumed["training"] == whole["training"]
    assert all(torch.equal(whole["weights"][k], v) for k, v in resumed["weights"].items())
    with pytest.raises(UsageError, match="other chips"):
        trained(tmp_path / "killed", replace(partial_mix(), shares=[1, 1, 1]))


def test_two_processes_train_on_a_mixture_as_one_does_in_two_parts(tmp_path):
    one = trained(tmp_path / "one", partial_mix(), hardware=Hardware(parts=2))
    two = trained(tmp_path / "two", partial_mix(), hardware=Hardware(devices=2, workers=1))

    losses = [each["training"]["losses"] for each in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_threads_share_a_bounded_cache_that_holds_each_chip_once():
    chips = make_chips(8)
    large = make_chips(1, size=128).sample(0)
    one = chips.sample(0).nbytes
    cache = ChipCache(4 * one + large.nbytes - 1)
    made = Counter()

    def read(number):
        for _ in range(20):
            for index in np.random.default_rng(number).permutation(8).tolist():
                seen = cache.get(index, lambda i=index: made.update([i]) or chips.sample(i))
                assert (seen.label == chips.label[index]).all()
            cache.get("large", lambda: large)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cache.nbytes <= cache.max_bytes
    larger = make_chips(1, size=256).sample(0)  # has no room, so it is not kept
    kept = [cache.get(key, lambda: larger) for key in (*range(8), "large")]
    kept = [sample for sample in kept if sample is not larger]
    assert cache.nbytes == sum(sample.nbytes for sample in kept)
    assert len(cache) == len(kept)
    assert len(made) == 8


def test_a_large_chip_does_not_keep_small_ones_out():
    small, large = make_chips(1).sample(0), make_chips(1, size=128).sample(0)
    cache = ChipCache(3 * small.nbytes)

    cache.get("large", lambda: large)
    for key in range(4):
        cache.get(key, lambda: make_chips(1).sample(0))

    assert len(cache) == 3
    beside = ChipCache(large.nbytes + small.nbytes)
    for key, sample in enumerate([large, small, make_chips(1, seed=1).sample(0)]):
        beside.get(key, lambda sample=sample: sample)
    assert beside.nbytes == large.nbytes + small.nbytes
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.max_bytes, len(copy)) == (cache.max_bytes, 0)


def test_bf16_learns_from_every_kind_of_label(tmp_path):
    path = train_network(
        partial_mix(),
        tmp_path,
        config=MICRO,
        settings=replace(SETTINGS, precision="bf16", augmentation="strong"),
        trained_on="simulated",
    )

    saved = load_checkpoint(path)
    assert np.isfinite(saved["training"]["losses"]).all()
    assert all(torch.isfinite(value).all() for value in saved["weights"].values())
