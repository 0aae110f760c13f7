import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from lulcmap.errors import LulcmapError, ModelError, UsageError
from lulcmap.evaluation import mean_iou
from lulcmap.geo import Lattice
from lulcmap.legend import CLASSES
from lulcmap.model import METADATA_KEY, START, find_model, open_session, shipped_models
from lulcmap.training.baselines import SegFormerConfig, UNetConfig
from lulcmap.training.batch_norm import batch_norms
from lulcmap.training.card import model_card
from lulcmap.training.checkpoint import (
    contract_of,
    load_checkpoint,
    restore_network,
    save_checkpoint,
    with_window,
)
from lulcmap.training.deployable import DeployableNetwork
from lulcmap.training.export import export_onnx
from lulcmap.training.export_check import composites
from lulcmap.training.fit import train_network
from lulcmap.training.initial import load_trained
from lulcmap.training.networks import build_network
from lulcmap.training.settings import TrainingSettings
from lulcmap.training.tiled import measure
from tests.support.networks import MICRO, NORMALISATION, checkpoint, make_chips

pytestmark = pytest.mark.timeout(1200)

SEGFORMER = SegFormerConfig(
    name="micro-segformer",
    widths=(8, 8, 16, 16),
    depths=(1, 1, 1, 1),
    heads=(1, 1, 2, 2),
    decoder_width=16,
    transform="log-indices",
)
UNET = UNetConfig(name="micro-unet", width=4, inputs=("s1",))
SETTINGS = TrainingSettings(epochs=3, batch=2, crop=32, seed=4, missing_s2=0.3, missing_s1=0.3)

LULCFORMERS = [model.name for model in shipped_models() if model.name.startswith("lulcformer")]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, micro_onnx):
    """Checkpoints and model files of each kind of network, exported once."""
    folder, made = tmp_path_factory.mktemp("exported"), {MICRO.name: (checkpoint(), micro_onnx)}
    for config in (SEGFORMER, UNET):
        saved = checkpoint(config)
        made[config.name] = saved, export_onnx(saved, folder / f"{config.name}.onnx").path
    return made


def rebuilt(trained):
    """The network of a start, with classes of its own."""
    network = build_network(trained.config)
    trained.load_into(network, trained.classes)
    return DeployableNetwork(network, trained.normalisation or NORMALISATION).eval()


def assert_gives_the_logits_of(path, *, atol=1e-4):
    network, session = rebuilt(load_trained(path)), open_session(find_model(path), device="cpu")
    for seed, missing in enumerate(
        ("nothing", "parts", "s2", "s1")[: 4 if len(network.inputs) == 2 else 2]
    ):
        s2, s1 = composites((2, 64, 160), seed=100 + seed, missing=missing)
        with torch.inference_mode():
            logits = network(torch.from_numpy(s2), torch.from_numpy(s1)).numpy()
        np.testing.assert_allclose(logits, session.run(s2, s1), rtol=0, atol=atol)


@pytest.mark.parametrize("name", LULCFORMERS)
def test_a_shipped_model_becomes_a_network_with_its_logits(name):
    assert len(LULCFORMERS) > 1
    assert_gives_the_logits_of(name)


@pytest.mark.parametrize("name", ["micro", "micro-segformer", "micro-unet"])
def test_an_export_becomes_a_network_with_its_logits(exported, name):
    assert_gives_the_logits_of(exported[name][1])


def test_a_start_that_was_adapted_is_told_and_so_is_one_that_started_from_it(micro_onnx, tmp_path):
    saved, path = checkpoint(), micro_onnx
    model = onnx.load(path)
    (entry,) = [one for one in model.metadata_props if one.key == METADATA_KEY]
    contract = json.loads(entry.value)
    contract["training"]["adapted"] = {"way": "head"}
    entry.value = json.dumps(contract)
    onnx.save(model, tmp_path / "adapted.onnx")

    origin = load_trained(tmp_path / "adapted.onnx").origin()
    saved = {**saved, "training": {**saved["training"], "init": origin}}
    save_checkpoint(tmp_path / "next.pt", saved)

    assert origin["adapted"] is True
    assert load_trained(tmp_path / "next.pt").origin()["adapted"] is True
    assert "adapted" not in load_trained(path).origin()


def test_a_bias_of_zeros_that_the_export_dropped_comes_back(exported, tmp_path):
    model = onnx.load(exported["micro-unet"][1])
    (conv,) = [node for node in model.graph.node if "network.classify.bias" in str(node.input)]
    del conv.input[2]
    onnx.save(model, tmp_path / "dropped.onnx")

    assert_gives_the_logits_of(tmp_path / "dropped.onnx")
    assert not load_trained(tmp_path / "dropped.onnx").state["classify.bias"].any()


@pytest.mark.parametrize("name", ["micro", "micro-segformer", "micro-unet"])
def test_an_export_keeps_what_batch_norms_need_to_train_on(exported, name):
    saved, path = exported[name]
    original, trained = restore_network(saved), load_trained(path)
    network = rebuilt(trained)
    s2, s1 = (torch.from_numpy(image) for image in composites((4, 64, 64), seed=3))

    logits = [one.train()(s2, s1) for one in (original, network)]

    assert not trained.lacks_statistics
    assert trained.normalisation == restore_network(saved).normalisation
    scale = logits[0].std().item()
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=0.02 * scale)


def without_statistics(path, out):
    """The model as older versions exported it."""
    model = onnx.load(path)
    contract = json.loads({one.key: one.value for one in model.metadata_props}[METADATA_KEY])
    del contract["training"][START]
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(contract)})
    onnx.save(model, out)
    return out


@pytest.mark.parametrize("config", [MICRO, UNET])
def test_statistics_that_an_older_export_lacks_are_measured_on_the_chips(
    exported, config, tmp_path
):
    trained = load_trained(without_statistics(exported[config.name][1], tmp_path / "old.onnx"))
    settings = replace(SETTINGS, epochs=1, learning_rate=1e-12, warmup=0, weight_decay=0)
    settings = replace(settings, missing_s2=0, missing_s1=0)

    path = train_network(
        make_chips(64),
        tmp_path / "run",
        config=config,
        settings=settings,
        trained_on="real",
        init=trained,
    )

    assert trained.lacks_statistics
    before, after = rebuilt(trained), restore_network(load_checkpoint(path))
    chips = make_chips(8, seed=9)
    images = torch.from_numpy(chips.s2), torch.from_numpy(chips.s1)
    with torch.inference_mode():
        expected = before(*images)
        difference = (after(*images) - expected).abs().mean() / expected.std()
    assert difference < 0.2
    norms = batch_norms(after.network).values()
    assert not all((norm.running_var == 1).all() for norm in norms)


def test_classes_of_the_same_name_keep_their_weights_and_others_start_at_random(tmp_path):
    save_checkpoint(tmp_path / "start.pt", checkpoint())
    trained = load_trained(tmp_path / "start.pt")
    names = ["trees", "vineyard", "water"]
    fresh = build_network(replace(MICRO, classes=3))
    random = fresh.decoder.classify.weight.detach().clone()

    trained.load_into(fresh, names)

    old, new = trained.state["decoder.classify.weight"], fresh.decoder.classify.weight
    assert torch.equal(new[0], old[1])
    assert torch.equal(new[1], random[1])
    assert torch.equal(new[2], old[0])
    assert torch.equal(
        fresh.decoder.classify.bias[[0, 2]], trained.state["decoder.classify.bias"][[1, 0]]
    )
    assert trained.kept_classes(names) == ("trees", "water")
    body = "stages.2.blocks.0.s1.ffn.mix.weight"
    assert torch.equal(fresh.state_dict()[body], trained.state[body])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (replace(MICRO, dmem=False), "dmem: True in it, False to train"),
        (replace(MICRO, transform="log-indices"), "transform: standardised in it, log-indices to"),
        (SEGFORMER, "kind: lulcformer in it, segformer to train"),
    ],
)
def test_another_network_is_refused_with_what_differs(tmp_path, config, says):
    save_checkpoint(tmp_path / "start.pt", checkpoint())

    with pytest.raises(UsageError, match=says):
        train_network(
            make_chips(),
            tmp_path / "run",
            config=config,
            settings=SETTINGS,
            trained_on="real",
            init=load_trained(tmp_path / "start.pt"),
        )
    assert not (tmp_path / "run").exists()


def test_a_model_that_lulcmap_does_not_train_is_refused():
    with pytest.raises(ModelError, match="it is no network that lulcmap trains"):
        load_trained("random-forest-simulated")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"heads": [2, 2, 2, 2]}, "its weights do not give the logits of the file"),
        ({"depths": [1, 1, 1, 2]}, "has .* layers .*, not"),
        ({"s2_widths": [8, 8, 16, 24]}, "is .*, not floats"),
        ({"s2_widths": [1e9, 8, 16, 24]}, "is not one of this version"),
        ({"depths": [60000, 60000, 1, 1]}, "is not one of this version"),
        ({"decoder_width": 60000}, "too few for"),
        ({"depths": "many"}, "is not one of this version"),
        ({"classes": 8}, "its network has 8 classes"),
        ({"kind": "transformer-of-tomorrow"}, "is not one of this version"),
    ],
)
def test_a_contract_that_lies_of_its_network_is_refused(exported, tmp_path, change, says):
    model = onnx.load(exported["micro"][1])
    contract = json.loads({one.key: one.value for one in model.metadata_props}[METADATA_KEY])
    contract["training"]["network"] |= change
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(contract)})
    onnx.save(model, tmp_path / "other.onnx")

    with pytest.raises(ModelError, match=says):
        load_trained(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    "start",
    [
        7,
        {"batch_norm": {"decoder.norm": {"mean": ["x"]}}},
        {"normalisation": {"s2": 1, "s1": None}},
    ],
)
def test_a_start_that_says_nonsense_is_measured_instead(exported, tmp_path, start):
    model = onnx.load(exported["micro"][1])
    contract = json.loads({one.key: one.value for one in model.metadata_props}[METADATA_KEY])
    contract["training"][START] = start
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(contract)})
    onnx.save(model, tmp_path / "other.onnx")

    trained = load_trained(tmp_path / "other.onnx")

    assert trained.lacks_statistics
    assert trained.normalisation.s1.mean == NORMALISATION.s1.mean
    assert trained.normalisation.s2.std == pytest.approx(NORMALISATION.s2.std)


# --- training ---------------------------------------------------------------------------------


def trained_from(folder, init, *, settings=SETTINGS, **kwargs):
    path = train_network(
        make_chips(),
        folder,
        config=MICRO,
        settings=settings,
        trained_on="simulated",
        init=init,
        **kwargs,
    )
    return load_checkpoint(path)


@pytest.fixture
def start(tmp_path):
    save_checkpoint(tmp_path / "start.pt", checkpoint())
    return load_trained(tmp_path / "start.pt")


def test_a_training_begins_with_the_weights_and_the_normalisation_it_starts_from(start, tmp_path):
    still = replace(SETTINGS, epochs=1, learning_rate=1e-12, warmup=0, weight_decay=0)

    saved = trained_from(tmp_path / "run", start, settings=still)
    renormalised = trained_from(
        tmp_path / "other", replace(start, normalisation=None), settings=still
    )

    for name, value in saved["weights"].items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(value, start.state[name], rtol=0, atol=1e-6)
    assert saved["normalisation"] == checkpoint()["normalisation"]
    assert renormalised["normalisation"] != saved["normalisation"]


def test_the_checkpoint_the_contract_and_the_card_name_what_it_started_from(start, tmp_path):
    saved = trained_from(tmp_path / "run", start)

    said = {"name": "micro", "sha256": start.sha256, "normalisation": "kept"}
    assert saved["training"]["init"] == said
    contract = contract_of(saved)
    assert contract.training["init"] == said
    assert f"| init: sha256 | {start.sha256} |" in model_card(contract, saved, checks=[])


def test_a_network_keeps_the_windows_it_maps_in(exported, tmp_path):
    narrow = with_window(checkpoint(), 256)
    save_checkpoint(tmp_path / "start.pt", narrow)
    model = onnx.load(exported["micro"][1])
    onnx.helper.set_model_props(model, {METADATA_KEY: contract_of(narrow).to_json()})
    onnx.save(model, tmp_path / "start.onnx")

    for file in ("start.pt", "start.onnx"):
        saved = trained_from(tmp_path / f"run-{file}", load_trained(tmp_path / file))
        assert contract_of(saved).window == 256, file


def test_a_network_is_validated_in_the_windows_it_maps_in(tmp_path):
    unseen = make_chips(3, size=128, seed=5)
    save_checkpoint(tmp_path / "start.pt", with_window(checkpoint(), 64))

    saved = trained_from(tmp_path / "run", load_trained(tmp_path / "start.pt"), validation=unseen)

    network = restore_network(saved)
    in_windows = mean_iou(measure(network, unseen, lattice=Lattice(64, 48)))
    assert in_windows != mean_iou(measure(network, unseen))
    assert max(e["mean_iou"] for e in saved["resume"]["validations"]) == pytest.approx(in_windows)


def test_a_killed_training_with_a_start_resumes_to_the_same_weights(start, tmp_path):
    def kill(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    whole = trained_from(tmp_path / "whole", start)
    with pytest.raises(KeyboardInterrupt):
        trained_from(tmp_path / "killed", start, on_epoch=kill)
    resumed = trained_from(tmp_path / "killed", start)

    assert resumed["training"] == whole["training"]
    assert all(torch.equal(whole["weights"][k], v) for k, v in resumed["weights"].items())


def test_a_training_is_resumed_only_with_the_start_it_had(start, tmp_path):
    trained_from(tmp_path / "run", start, settings=replace(SETTINGS, epochs=1))
    others = {
        "none given": None,
        "sha256 000000000000 given": replace(start, sha256="0" * 64),
        "normalisation: kept in the folder, of the chips given": replace(start, normalisation=None),
    }

    for says, other in others.items():
        with pytest.raises(UsageError, match=says):
            trained_from(tmp_path / "run", other, settings=replace(SETTINGS, epochs=1))


def test_every_error_of_a_start_is_one_line(tmp_path):
    wrong = tmp_path / "wrong.pt"
    wrong.write_text("no checkpoint")

    for given, says in ((wrong, "is not a lulcmap checkpoint"), ("nothing", "neither a file nor")):
        with pytest.raises(LulcmapError, match=says) as caught:
            load_trained(given)
        assert "\n" not in str(caught.value)


def test_the_default_classes_are_those_of_a_checkpoint_without_any(start):
    assert start.classes == tuple(cover.name for cover in CLASSES)
