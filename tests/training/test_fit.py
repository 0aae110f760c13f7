import csv
import json
import math
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lulcmap.errors import DeviceError, ModelError, OutputError, UsageError
from lulcmap.evaluation.scores import accuracy, mean_iou
from lulcmap.training.augment import Sample, augment, random_crop, random_gap, random_turn
from lulcmap.training.batches import batches
from lulcmap.training.checkpoint import load_checkpoint, restore_network, save_checkpoint
from lulcmap.training.chips import Chips
from lulcmap.training.deployable import DeployableNetwork
from lulcmap.training.fit import _TrainingState, train_network
from lulcmap.training.histograms import class_weights_of, histograms_of, normalisation_of
from lulcmap.training.loss import Target, focal_loss, pixel_weights, upsample_logits
from lulcmap.training.lulcformer import LULCFORMER_TINY, LulcFormer
from lulcmap.training.settings import Hardware, TrainingSettings
from lulcmap.training.tiled import checkpoint_predictor, measure
from tests.support.networks import MICRO, checkpoint, deployable, make_chips
from tests.support.stubs import composites

SETTINGS = TrainingSettings(epochs=3, batch=2, crop=32, seed=4, missing_s2=0.3, missing_s1=0.3)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(folder, *, settings=SETTINGS, **kwargs):
    path = train_network(
        make_chips(), folder, config=MICRO, settings=settings, trained_on="simulated", **kwargs
    )
    return load_checkpoint(path)


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
    def kill(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", on_epoch=kill)
    resumed = trained(tmp_path / "killed")

    assert resumed["training"] == whole["training"]
    assert all(torch.equal(whole["weights"][k], v) for k, v in resumed["weights"].items())
    last = resumed["resume"]["network"]
    assert all(torch.equal(whole["resume"]["network"][k], v) for k, v in last.items())


def test_a_killed_training_resumes_to_the_same_best_epoch_and_log(tmp_path):
    def kill(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    unseen = make_chips(3, seed=5)
    whole = trained(tmp_path / "whole", validation=unseen)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", validation=unseen, on_epoch=kill)
    with (tmp_path / "killed/log.csv").open("a") as log:
        log.write("3,written before the checkpoint was\n")
    resumed = trained(tmp_path / "killed", validation=unseen)

    assert resumed["training"] == whole["training"]
    assert all(torch.equal(whole["weights"][k], v) for k, v in resumed["weights"].items())
    logs = [
        list(csv.DictReader((tmp_path / name / "log.csv").read_text().splitlines()))
        for name in ("whole", "killed")
    ]
    for log in logs:
        assert [row["epoch"] for row in log] == ["1", "2", "3"]
    assert [row["mean_iou"] for row in logs[0]] == [row["mean_iou"] for row in logs[1]]


def test_the_best_epoch_is_kept_and_patience_ends_a_training(tmp_path, monkeypatch):
    scores = iter([0.2, 0.5, 0.4, 0.5, 0.3, 0.9])
    others = {"accuracy": 0.5, "mean_f1": 0.5}
    monkeypatch.setattr(_TrainingState, "validate", lambda *_: {"mean_iou": next(scores), **others})
    epochs = []
    settings = replace(SETTINGS, epochs=6, patience=3)

    best = trained(tmp_path, settings=settings, validation=make_chips(1), on_epoch=epochs.append)

    assert [epoch.best for epoch in epochs] == [True, True, False, False, False]
    assert best["training"]["validation"] == {"epoch": 2, "mean_iou": 0.5, **others}
    assert len(best["training"]["losses"]) == 2
    assert len(load_checkpoint(tmp_path / "checkpoint.pt")["training"]["losses"]) == 5
    trained(tmp_path, settings=settings, validation=make_chips(1), on_epoch=epochs.append)
    assert len(epochs) == 5


def test_a_step_in_parts_is_the_step(tmp_path):
    # batch norm sees one part at a time, so the loss and the gradient are compared in eval mode
    torch.manual_seed(0)
    chips = make_chips(4)
    alpha = torch.rand(9)
    network = deployable()
    (whole,) = next(batches(chips, replace(SETTINGS, batch=4), 0))
    parts = next(batches(chips, replace(SETTINGS, batch=4), 0, parts=2))

    def gradient(batches):
        network.zero_grad()
        total = torch.stack(
            [pixel_weights(batch.target, alpha=alpha).sum() for batch in batches]
        ).sum()
        for batch in batches:
            logits = upsample_logits(network(batch.s2, batch.s1), stride=4)
            focal_loss(logits, batch.target, alpha=alpha, gamma=2, total=total).backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    torch.testing.assert_close(gradient(parts), gradient([whole]), rtol=1e-3, atol=1e-6)


def test_two_processes_train_as_one_does_in_two_parts(tmp_path):
    settings = replace(SETTINGS, epochs=2, batch=4)
    two = {"hardware": Hardware(devices=2, workers=1), "validation": make_chips(3, seed=5)}

    one = trained(tmp_path / "one", settings=settings, hardware=Hardware(parts=2))
    shared = trained(tmp_path / "two", settings=settings, **two)

    ours, theirs = (load_checkpoint(tmp_path / n / "checkpoint.pt") for n in ("two", "one"))
    assert ours["training"]["losses"] == pytest.approx(theirs["training"]["losses"], rel=1e-3)
    weight = "stages.3.blocks.0.s2.ffn.widen.weight"
    torch.testing.assert_close(
        ours["weights"][weight], one["weights"][weight], rtol=0.01, atol=1e-4
    )
    assert set(shared["training"]["validation"]) >= {"epoch", "mean_iou", "iou_water"}


def test_several_processes_validate_the_weights_that_are_saved(tmp_path):
    """On a CPU each process has batch norm statistics of its own samples."""
    unseen = make_chips(6, seed=5)
    settings = replace(SETTINGS, epochs=2, batch=4, average=0.1)

    trained(tmp_path, settings=settings, hardware=Hardware(devices=2, workers=1), validation=unseen)

    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    matrix = measure(restore_network(saved), unseen)
    assert saved["resume"]["validations"][-1]["mean_iou"] == mean_iou(matrix)


def test_an_error_in_one_of_several_processes_gets_a_message_of_one_line(tmp_path):
    settings = replace(SETTINGS, batch=4, learning_rate=math.inf)

    with pytest.raises(ModelError, match="Lower the learning rate"):
        trained(tmp_path, settings=settings, hardware=Hardware(devices=2, workers=1))


@pytest.mark.parametrize(
    ("settings", "hardware", "says"),
    [
        (replace(SETTINGS, batch=3), Hardware(devices=2), "cannot be split over 2 devices"),
        (replace(SETTINGS, batch=8), Hardware(parts=8), "of 5"),
        (replace(SETTINGS, precision="fp16"), Hardware(), "fp16 needs a GPU"),
        (replace(SETTINGS, patience=2), Hardware(), "needs validation chips"),
    ],
)
def test_impossible_trainings_are_refused(tmp_path, settings, hardware, says):
    with pytest.raises(UsageError, match=says):
        trained(tmp_path / "run", settings=settings, hardware=hardware)
    assert not (tmp_path / "run").exists()


def test_missing_cuda_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is CUDA")
    with pytest.raises(DeviceError, match="finds no CUDA device"):
        trained(tmp_path, hardware=Hardware(device="cuda"))


def test_half_precision_learns(tmp_path):
    settings = replace(SETTINGS, precision="bf16")

    losses = trained(tmp_path / "half", settings=settings)["training"]["losses"]

    whole = trained(tmp_path / "whole")["training"]["losses"]
    assert losses == pytest.approx(whole, rel=0.05)
    assert losses != whole


def test_lulcformer_memorises_eight_chips():
    torch.manual_seed(0)
    chips = make_chips(8, size=32)
    histograms = histograms_of(chips, step=1)
    network = DeployableNetwork(LulcFormer(LULCFORMER_TINY), normalisation_of(histograms)).train()
    s2, s1 = torch.from_numpy(chips.s2), torch.from_numpy(chips.s1)
    label = torch.from_numpy(chips.label.astype(np.int64))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    losses = [math.inf]
    while losses[-1] > 0.01 and len(losses) < 150:
        logits = upsample_logits(network(s2, s1), stride=4)
        loss = focal_loss(logits, Target(label), alpha=torch.ones(9), gamma=2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] <= 0.01


def test_a_finished_training_is_not_run_again(tmp_path):
    trained(tmp_path)
    epochs = []

    trained(tmp_path, on_epoch=epochs.append)

    assert epochs == []


def test_a_training_is_not_resumed_under_other_settings(tmp_path):
    trained(tmp_path, settings=replace(SETTINGS, epochs=1))

    with pytest.raises(UsageError, match="epochs: 1 in the folder, 3 given"):
        trained(tmp_path)


def test_training_learns_and_tolerates_a_missing_sensor(tmp_path):
    settings = replace(SETTINGS, epochs=60, learning_rate=3e-3, average=0.9, seed=5)

    network = restore_network(trained(tmp_path, settings=settings))

    unseen = make_chips(seed=9)
    assert accuracy(measure(network, unseen)) > 0.85
    assert accuracy(measure(network, unseen, without="s1")) > 0.7
    assert accuracy(measure(network, unseen, without="s2")) > 0.7


def test_a_checkpoint_is_plain_values_and_names_its_source(tmp_path):
    saved = trained(tmp_path, source="squares")

    assert json.loads(json.dumps(saved["settings"])) == saved["settings"]
    assert json.loads(json.dumps(saved["config"])) == saved["config"]
    assert saved["training"]["source"] == "squares"
    assert saved["training"]["chips"] == 5
    assert len(saved["training"]["losses"]) == 3
    assert saved["knows"] == "simulated"


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, checkpoint())

    with pytest.raises((AttributeError, TypeError)):
        save_checkpoint(path, {"weights": lambda: None, "module": (x for x in ())})

    assert load_checkpoint(path)["training"]["source"] == "drawn at random"
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_folder_that_is_not_writable_gets_a_message_of_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        trained(tmp_path / "file" / "run")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match=r"\(No space left on device\)\. Free some space"):
        trained(tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.pt")) + list((tmp_path / "run").glob(".*"))


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    (tmp_path / ".best.0a1b2c3d.part.pt").write_bytes(b"half")

    trained(tmp_path)

    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_without_its_optimizer_is_not_resumed(tmp_path):
    saved = trained(tmp_path)
    del saved["resume"]
    save_checkpoint(tmp_path / "checkpoint.pt", saved)

    with pytest.raises(ModelError, match="it lacks resume"):
        trained(tmp_path)

    save_checkpoint(tmp_path / "checkpoint.pt", saved | {"settings": {"momentum": 0.9}})
    with pytest.raises(ModelError, match="it lacks settings of this version"):
        trained(tmp_path)


def test_a_network_of_another_version_is_refused_in_one_line(tmp_path):
    saved = checkpoint()
    saved["config"]["kind"] = "transformer-of-tomorrow"
    save_checkpoint(tmp_path / "checkpoint.pt", saved)

    with pytest.raises(ModelError, match="do not fit its network"):
        checkpoint_predictor(tmp_path / "checkpoint.pt", "cpu")


def test_an_image_is_mirrored_at_its_end_like_a_map(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", checkpoint())
    predict, _ = checkpoint_predictor(tmp_path / "checkpoint.pt", "cpu")
    s2, s1 = composites(np.random.default_rng(1), (40, 61))
    ends = [(0, 0), (0, 24), (0, 3)]

    classified = predict(s2, s1)

    whole = predict(*(np.pad(image, ends, mode="reflect") for image in (s2, s1)))
    np.testing.assert_array_equal(classified.classes, whole.classes[:40, :61])
    np.testing.assert_array_equal(classified.confidence, whole.confidence[:40, :61])


def test_a_file_that_is_not_a_checkpoint_is_refused_in_one_line(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"no checkpoint")

    with pytest.raises(ModelError, match="is not a lulcmap checkpoint"):
        load_checkpoint(path)

    torch.save({"config": {}}, path)
    with pytest.raises(ModelError, match="lacks knows, normalisation"):
        load_checkpoint(path)


def test_weights_of_another_shape_are_refused():
    wrong = checkpoint()
    wrong["config"]["decoder_width"] = 24

    with pytest.raises(ModelError, match="do not fit"):
        restore_network(wrong)


def test_focal_loss_without_focus_is_weighted_cross_entropy():
    torch.manual_seed(0)
    logits, alpha = torch.randn(2, 9, 8, 8), torch.rand(9)
    label = torch.randint(0, 9, (2, 8, 8))
    label[0, :3] = 255

    expected = F.cross_entropy(logits, label, alpha, ignore_index=255)

    torch.testing.assert_close(focal_loss(logits, Target(label), alpha=alpha, gamma=0), expected)


def test_focal_loss_of_one_pixel_follows_lin():
    logits = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)
    label, right = torch.zeros(1, 1, 1, dtype=torch.long), 1 / (1 + math.exp(-2))

    loss = focal_loss(logits, Target(label), alpha=torch.ones(2), gamma=2)

    assert loss.item() == pytest.approx(-((1 - right) ** 2) * math.log(right), rel=1e-5)


def test_chips_without_a_label_give_no_loss():
    label = torch.full((1, 2, 2), 255)

    assert focal_loss(torch.randn(1, 9, 2, 2), Target(label), alpha=torch.ones(9), gamma=2) == 0


def test_a_sample_depends_on_seed_epoch_and_number_only():
    chips = make_chips()

    def samples_of(epoch, **kwargs):
        return [
            torch.cat([part.s2 for part in step])
            for step in batches(chips, SETTINGS, epoch, **kwargs)
        ]

    once = samples_of(7)
    for again in (samples_of(7), samples_of(7, parts=2), samples_of(7, workers=5)):
        assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    shares = [samples_of(7, rank=rank, world_size=2) for rank in (0, 1)]
    assert all(
        torch.equal(whole, torch.cat(both)) for whole, *both in zip(once, *shares, strict=True)
    )
    assert not all(torch.equal(a, b) for a, b in zip(once, samples_of(8), strict=True))


def test_an_epoch_has_whole_steps_only_but_at_least_one():
    chips = make_chips(5)

    for batch, steps in ((2, 2), (5, 1), (9, 1)):
        epoch = list(batches(chips, replace(SETTINGS, batch=batch), 0))
        assert [sum(len(part.target.label) for part in step) for step in epoch] == [
            min(batch, 5)
        ] * steps


class OfTwoSizes:
    """Chips of 64 and of 32 pixels."""

    classes, sets, digest = make_chips().classes, (), ""

    def __len__(self):
        return 4

    def sample(self, index):
        return make_chips(4, size=64 if index % 2 else 32).sample(index)


def test_chips_of_several_sizes_share_a_step():
    settings = replace(SETTINGS, batch=4, crop=64, missing_s2=0, missing_s1=0)

    ((step,),) = batches(OfTwoSizes(), settings, 0)

    s2, s1, label = step.s2, step.s1, step.target.label
    assert (s2.shape, s1.shape, label.shape) == ((4, 9, 64, 64), (4, 2, 64, 64), (4, 64, 64))
    small = [i for i in range(4) if (label[i, 32:] == 255).all()]
    assert len(small) == 2
    for planes in (s2, s1):
        inside = planes[small].numpy()[..., :32, :32]
        edges = [(0, 0), (0, 0), (0, 32), (0, 32)]
        assert (planes[small].numpy() == np.pad(inside, edges, mode="reflect")).all()
    labels = label[small].numpy().copy()
    assert (labels[:, :32, :32] != 255).all()
    labels[:, :32, :32] = 255
    assert (labels == 255).all()


def test_a_crop_of_a_sparsely_labelled_chip_has_a_label():
    place = np.arange(96 * 96).reshape(96, 96)
    label = np.full((96, 96), 255, np.uint8)
    label[3, 90] = label[95, 0] = 1
    sample = Sample(place[None].astype(np.uint16), place[None].astype(np.int16), label)

    values = set()
    for seed in range(40):
        s2, s1, part = random_crop(sample, np.random.default_rng(seed), crop=32).planes()
        assert part.shape == (32, 32)
        assert (s2 == s1).all()
        values |= set(s2[0][part == 1].tolist())

    assert values == {3 * 96 + 90, 95 * 96}


def test_crops_and_turns_keep_pixels_together():
    place = np.arange(48 * 48).reshape(48, 48)
    sample = Sample(
        (place + np.zeros((9, 1, 1), int)).astype(np.uint16),
        (place + np.zeros((2, 1, 1), int)).astype(np.int16),
        (place % 200).astype(np.uint8),
    )

    orientations = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        s2, s1, label = random_turn(random_crop(sample, rng, crop=32), rng).planes()
        assert (s2 == s1[0]).all()
        assert (s2 % 200 == label).all()
        orientations.add(
            (
                np.sign(int(s2[0, 0, 1]) - int(s2[0, 0, 0])),
                np.sign(int(s2[0, 1, 0]) - int(s2[0, 0, 0])),
            )
        )

    assert len(orientations) == 4


def test_augmentation_neither_makes_nor_fills_gaps_by_light():
    chips = make_chips()
    s2, s1, label = (planes.copy() for planes in chips.sample(0).planes())
    s2[:, :, :9], s1[:, 5] = 0, -32768
    s2[:, 40:] = 3  # noise must not reach nodata

    for seed in range(10):
        rng = np.random.default_rng(seed)
        seen = augment(Sample(s2, s1, label), rng, crop=64, missing_s2=0, missing_s1=0)
        lit, moved = seen.s2, seen.s1

        assert (lit == 0).sum() == (s2 == 0).sum()
        assert (moved == -32768).sum() == (s1 == -32768).sum()
    assert lit.dtype == np.uint16
    assert moved.dtype == np.int16


def test_one_sensor_goes_missing_as_often_as_asked_and_never_both():
    sample = make_chips(1).sample(0)

    lost = np.zeros(2, int)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        seen = augment(sample, rng, crop=32, missing_s2=0.2, missing_s1=0.3)
        s2, s1 = seen.s2, seen.s1
        gone = [(s2 == 0).any(), (s1 == -32768).any()]
        assert not all(gone)
        lost += gone

    assert lost / 400 == pytest.approx([0.2, 0.3], abs=0.07)


def test_a_gap_ends_at_a_straight_edge_or_nowhere():
    shares = [random_gap((32, 32), np.random.default_rng(seed)).mean() for seed in range(100)]

    assert 0.4 < np.mean(np.equal(shares, 1)) < 0.8
    assert min(shares) > 0.05


def test_normalisation_is_of_valid_clipped_pixels():
    chips = make_chips()
    chips.s2[:, :, :16], chips.s1[:, :, 3] = 0, -32768

    normalisation = normalisation_of(histograms_of(chips, step=1))

    band = chips.s2[:, 4, 16:].astype(float)
    low, high = np.percentile(band, (1, 99))
    assert (normalisation.s2.p01[4], normalisation.s2.p99[4]) == pytest.approx(
        (low, high), rel=1e-12
    )
    assert normalisation.s2.mean[4] == pytest.approx(band.clip(low, high).mean())
    assert normalisation.s2.std[4] == pytest.approx(band.clip(low, high).std())
    assert min(normalisation.s1.p01) > -3000


def test_parts_of_the_chips_add_up_to_all_of_them():
    chips = make_chips()

    parts = [histograms_of(chips, part=slice(rank, None, 3)) for rank in range(3)]

    whole = histograms_of(chips)
    assert (sum(part.s2 for part in parts) == whole.s2).all()
    assert (sum(part.s1 for part in parts) == whole.s1).all()
    assert (sum(part.classes for part in parts) == whole.classes).all()


def test_chips_without_a_sensor_cannot_be_normalised():
    chips = make_chips()
    chips.s1[:] = -32768

    with pytest.raises(UsageError, match="No chip has a Sentinel-1 pixel"):
        normalisation_of(histograms_of(chips))
    assert normalisation_of(histograms_of(chips), ("s2",)).s1 is None


def test_rare_classes_count_more_and_the_average_pixel_counts_one():
    label = np.full((1, 32, 32), 255, np.uint8)
    label[0, :16], label[0, 16:20] = 0, 6
    chips = Chips(np.ones((1, 9, 32, 32), np.uint16), np.ones((1, 2, 32, 32), np.int16), label)

    weights = class_weights_of(histograms_of(chips).classes, power=0.5)

    assert weights[6] / weights[0] == pytest.approx(2)
    assert weights[0] * 0.8 + weights[6] * 0.2 == pytest.approx(1)
    assert weights[1] == 0


def test_chips_are_read_memory_mapped(tmp_path):
    chips = make_chips()
    for name in ("s2", "s1", "label"):
        np.save(tmp_path / f"{name}.npy", getattr(chips, name))

    loaded = Chips.load(tmp_path)

    assert isinstance(loaded.s2, np.memmap)
    assert (loaded.label == chips.label).all()


def test_chips_that_do_not_match_are_refused():
    chips = make_chips()

    with pytest.raises(ValueError, match="do not match"):
        Chips(chips.s2, chips.s1[:3], chips.label)


def test_measuring_counts_every_labelled_pixel_at_full_size():
    class Water(nn.Module):
        network = types.SimpleNamespace(stride=4)
        inputs = ("s2", "s1")

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, s2, _):
            logits = torch.zeros(len(s2), 9, s2.shape[2] // 4, s2.shape[3] // 4)
            logits[:, 0] = 1
            return logits

    chips = make_chips()
    chips.label[:, 0] = 255

    matrix = measure(Water(), chips, batch=2)

    assert matrix.sum() == (chips.label != 255).sum()
    assert matrix[:, 0].sum() == matrix.sum()
