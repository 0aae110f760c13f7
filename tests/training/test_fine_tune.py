import numpy as np
import pytest
import torch

from lulcmap.legend import NODATA
from lulcmap.training.baselines import UNetConfig
from lulcmap.training.fine_tune import FineTuneSettings, FineTuning, LabelledCrops
from lulcmap.training.initial import TrainedNetwork
from tests.support.networks import MICRO, NORMALISATION, lively, make_chips

CLASSES = tuple("abcdefghi")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tuning():
    network = lively(MICRO)
    return FineTuning(
        TrainedNetwork("micro", "0" * 64, MICRO, CLASSES, NORMALISATION, network.state_dict())
    )


@pytest.fixture(scope="module")
def crops():
    """Chips of three classes with a few labelled pixels each."""
    chips = make_chips(8)
    label = np.full_like(chips.label, NODATA)
    for at in (slice(8, 10), slice(40, 42)):
        label[:, at, at] = chips.label[:, at, at]
    weight = (label != NODATA).astype(np.float32)
    return LabelledCrops(chips.s2, chips.s1, label, weight), chips.label


def head_of(tuning, n_classes=9):
    state = tuning.trained.state
    weight, bias = (
        next(state[key] for key in state if key.endswith(f"classify.{part}"))
        for part in ("weight", "bias")
    )
    weight = weight[:, :, 0, 0].numpy().astype(np.float64)
    bias = bias.numpy().astype(np.float64)
    more = n_classes - len(bias)
    return (
        np.vstack([weight, *[weight[4:5]] * more]),
        np.append(bias, [bias[4]] * more),
    )


def tune(tuning, crops, *, n_classes=9, **settings):
    weight, bias = head_of(tuning, n_classes)
    values = {"epochs": 12, "batch": 4, "learning_rate": 3e-3, "rehearsal": 0.0, "hold": 0.0}
    return tuning.tune(
        crops,
        classes=(*CLASSES, *"jk")[:n_classes],
        weight=weight,
        bias=bias,
        temperature=1.0,
        seed=0,
        settings=FineTuneSettings(**{**values, **settings}),
    )


def right(tuned, crops, truth):
    given = [
        tuned.logits(s2, s1).argmax(0).repeat(4, 0).repeat(4, 1)
        for s2, s1 in zip(crops.s2, crops.s1, strict=True)
    ]
    return (np.stack(given) == truth).mean()


def test_few_pixels_teach_the_classes_of_the_land(tuning, crops):
    labelled, truth = crops

    before, after = tune(tuning, labelled, epochs=0), tune(tuning, labelled)

    assert right(after, labelled, truth) > right(before, labelled, truth) + 0.3


def test_a_network_of_sentinel_1_alone_is_never_without_it(crops):
    labelled, _ = crops
    config = UNetConfig(name="micro-unet", width=4, inputs=("s1",))
    state = lively(config).state_dict()
    tuning = FineTuning(TrainedNetwork("s1", "0" * 64, config, CLASSES, NORMALISATION, state))

    never, always = (tune(tuning, labelled, epochs=1, without_s1=share) for share in (0.0, 1.0))

    assert always.settings()["without_s1"] == 0
    for one, other in zip(
        never.deployable.state_dict().values(), always.deployable.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_no_epoch_leaves_the_network_as_it_was(tuning, crops):
    labelled, _ = crops

    tuned = tune(tuning, labelled, epochs=0)

    found = tuned.deployable.network.state_dict()
    for name, value in tuning.trained.state.items():
        assert torch.equal(found[name], value), name


def test_rehearsal_and_hold_keep_what_it_said(tuning, crops):
    labelled, _ = crops
    began = tune(tuning, labelled, epochs=0)

    def moved(**settings):
        tuned = tune(tuning, labelled, epochs=4, **settings)
        return np.mean(
            [
                np.abs(tuned.logits(*pair) - began.logits(*pair)).mean()
                for pair in zip(labelled.s2, labelled.s1, strict=True)
            ]
        )

    free = moved()
    assert moved(rehearsal=20.0) < 0.8 * free
    assert moved(hold=0.5) < 0.8 * free


def test_the_same_seed_gives_the_same_network_and_batch_norms_stay(tuning, crops):
    labelled, _ = crops

    one, other = (tune(tuning, labelled, epochs=1) for _ in range(2))

    for name, value in one.deployable.network.state_dict().items():
        assert torch.equal(value, other.deployable.network.state_dict()[name])
        if "running" in name:
            assert torch.equal(value, tuning.trained.state[name])


def test_a_new_class_is_learnt(tuning, crops):
    labelled, truth = crops
    label, renamed = labelled.label.copy(), truth.copy()
    label[label == 4], renamed[truth == 4] = 9, 9
    new = LabelledCrops(labelled.s2, labelled.s1, label, labelled.weight)

    tuned = tune(tuning, new, n_classes=10)

    logits = np.stack([tuned.logits(*pair) for pair in zip(new.s2, new.s1, strict=True)])
    assert logits.shape[1] == 10
    ahead = (logits[:, 9] - logits[:, 4])[renamed[:, ::4, ::4] == 9]  # both began alike
    assert (ahead > 0).mean() > 0.9
