import json
import math
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lulcmap.errors import UsageError
from lulcmap.training.baselines import SegFormer, UNet, UNetConfig
from lulcmap.training.deployable import DeployableNetwork, Normalisation, Standardise
from lulcmap.training.export_check import composites
from lulcmap.training.lulcformer import LULCFORMER, LULCFORMER_TINY, Attention, LulcFormer
from lulcmap.training.networks import (
    NETWORKS,
    SEGFORMER,
    SEGFORMER_TINY,
    UNET,
    UNET_TINY,
    build_network,
    config_from_json,
    network_config,
)
from tests.support.networks import MICRO, NORMALISATION, deployable, lively


def millions(*modules: nn.Module) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def raw(shape=(1, 64, 96), **kwargs):
    s2, s1 = composites(shape, seed=3, **kwargs)
    return torch.from_numpy(s2), torch.from_numpy(s1)


def test_every_part_of_lulcformer_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = LulcFormer(LULCFORMER)
    stages = network.stages
    blocks = [block for stage in stages for block in stage.blocks]

    counts = {
        "all": millions(network),
        "patch embeddings": millions(*(s.embed2 for s in stages), *(s.embed1 for s in stages)),
        "spectral blocks": millions(*(block.s2 for block in blocks)),
        "sar blocks": millions(*(block.s1 for block in blocks)),
        "cross-attention": millions(
            *(half.cross_attention for block in blocks for half in (block.s2, block.s1))
        ),
        "aggregation": millions(*(stage.aggregate for stage in stages)),
        "decoder": millions(network.decoder),
    }

    assert counts == pytest.approx(
        {
            "all": 26.76,
            "patch embeddings": 1.225,
            "spectral blocks": 15.075,
            "sar blocks": 4.607,
            "cross-attention": 5.681,
            "aggregation": 2.700,
            "decoder": 3.157,
        },
        rel=0.005,
    )


def test_the_tiny_network_has_at_most_four_million_parameters():
    assert millions(LulcFormer(LULCFORMER_TINY)) <= 4


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 64, 96)])
def test_a_logit_covers_four_by_four_pixels(shape):
    images, rows, cols = shape

    logits = deployable()(*raw(shape))

    assert logits.shape == (images, 9, rows // 4, cols // 4)


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    attention = Attention(8, 6, heads=2, reduction=1)
    x, context = torch.randn(1, 2, 3, 8), torch.randn(1, 2, 3, 6)

    read = attention(x, context)

    query = attention.query(x).flatten(1, 2)[0].view(6, 2, 4)
    key, value = attention.key_value(context).flatten(1, 2)[0].view(6, 2, 2, 4).unbind(1)
    scores = torch.einsum("nhd,mhd->hnm", query, key) / 4**0.5
    expected = torch.einsum("hnm,mhd->nhd", scores.softmax(-1), value).reshape(1, 2, 3, 8)
    torch.testing.assert_close(read, attention.out(expected))


def test_each_branch_attends_to_the_other():
    block = lively(MICRO).stages[0].blocks[0]
    s2, s1 = torch.randn(1, 8, 8, 8), torch.randn(1, 8, 8, 4)

    before2, before1 = block(s2, s1)
    after2, _ = block(s2, torch.randn(1, 8, 8, 4))
    _, after1 = block(torch.randn(1, 8, 8, 8), s1)

    assert not torch.allclose(before2, after2)
    assert not torch.allclose(before1, after1)


def test_decoder_is_the_published_linear_upsample_concatenate_fuse():
    decoder = lively(MICRO).decoder
    maps = [torch.randn(2, 16 >> i, 24 >> i, width) for i, width in enumerate((12, 12, 24, 24))]

    upsampled = [
        F.interpolate(stage(x).permute(0, 3, 1, 2), (16, 24), mode="bilinear")
        for stage, x in zip(decoder.stages, maps, strict=True)
    ]
    fused = F.conv2d(torch.cat(upsampled, 1), decoder.fuse.weight[..., None, None])
    expected = decoder.classify(F.relu(decoder.norm(fused)))

    torch.testing.assert_close(decoder(maps), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoder.folded()(maps), expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_in_training_is_not_folded():
    with pytest.raises(ValueError, match="no fixed batch norm"):
        lively(MICRO).train().decoder.folded()


def test_bands_are_clipped_then_standardised_and_missing_pixels_are_zero():
    standardise = Standardise(NORMALISATION.s1, nodata=-32768)
    s1 = torch.full((1, 2, 1, 4), -1300, dtype=torch.int16)
    s1[0, :, 0, 1], s1[0, :, 0, 2], s1[0, 1, 0, 3] = 500, -32767, -32768

    bands, valid = standardise(s1)

    assert valid.flatten().tolist() == [1, 1, 1, 0]
    assert bands[0, 0, 0].tolist() == pytest.approx([0, 1300 / 400, -1500 / 400, 0])


def test_a_pixel_without_one_band_counts_as_missing():
    network = deployable()
    s2, s1 = raw()
    one, all_bands = s2.clone(), s2.clone()
    one[:, 4, :20], all_bands[:, :, :20] = 0, 0

    assert torch.equal(network(one, s1), network(all_bands, s1))
    assert not torch.equal(network(s2, s1), network(all_bands, s1))


def test_missing_is_not_the_mean():
    network = deployable()
    s2, s1 = raw()
    mean = torch.full_like(s1, -1300)

    assert not torch.allclose(network(s2, mean), network(s2, torch.full_like(s1, -32768)))


@pytest.mark.parametrize("missing", ["parts", "s1", "s2"])
def test_a_missing_sensor_gives_finite_logits(missing):
    assert deployable()(*raw(missing=missing)).isfinite().all()


def test_normalisation_stays_in_full_precision_under_half():
    network = deployable()
    network.network.half()

    assert network.sensors["s2"](raw()[0])[0].dtype == torch.float32
    assert network(*raw()).dtype == torch.float16


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: LulcFormer(LULCFORMER), id="lulcformer"),
        pytest.param(lambda: LulcFormer(replace(MICRO, dmem=False)), id="without DMEM"),
        pytest.param(lambda: LulcFormer(replace(MICRO, mmam=False)), id="without MMAM"),
        pytest.param(lambda: SegFormer(replace(SEGFORMER_TINY, inputs=("s2",))), id="segformer"),
        pytest.param(lambda: UNet(UNetConfig("small", width=4)), id="unet"),
    ],
)
def test_gradients_reach_every_parameter(network):
    torch.manual_seed(0)
    network = DeployableNetwork(network().train(), NORMALISATION)

    network(*raw((2, 64, 64))).square().sum().backward()

    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_configuration_and_normalisation_survive_json():
    config = json.loads(json.dumps(asdict(LULCFORMER)))
    normalisation = json.loads(json.dumps(NORMALISATION.to_dict()))

    assert config_from_json(config) == LULCFORMER
    assert Normalisation.from_dict(normalisation) == NORMALISATION


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_every_shape_survives_json(config):
    assert config_from_json(json.loads(json.dumps(asdict(config)))) == config


def test_the_baselines_have_lulcformers_size():
    with torch.device("meta"):
        sizes = {name: millions(build_network(config)) for name, config in NETWORKS.items()}

    assert sizes["segformer"] == pytest.approx(sizes["lulcformer"], rel=0.05)
    assert sizes["unet"] == pytest.approx(sizes["lulcformer"], rel=0.05)
    assert sizes["segformer-tiny"] == pytest.approx(sizes["lulcformer-tiny"], rel=0.05)
    assert sizes["unet-tiny"] == pytest.approx(sizes["lulcformer-tiny"], rel=0.05)


@pytest.mark.parametrize(("config", "stride"), [(SEGFORMER_TINY, 4), (UNET_TINY, 1)])
def test_baselines_use_the_sensors_they_are_given_and_no_others(config, stride):
    torch.manual_seed(0)
    s2, s1 = raw()
    both = DeployableNetwork(build_network(config), NORMALISATION).eval()
    one = DeployableNetwork(build_network(replace(config, inputs=("s1",))), NORMALISATION).eval()

    assert both(s2, s1).shape == (1, 9, 64 // stride, 96 // stride)
    assert not torch.allclose(both(s2, s1), both(s2, s1 + 300))
    assert torch.equal(one(s2, s1), one(None, s1))


def test_the_unet_is_ronnebergers():
    with torch.device("meta"):
        wide = UNet(UNetConfig("classic", width=64, classes=2))

    # the classic has 31.03 M, with one input plane and with biases where batch norm has none
    assert millions(wide) == pytest.approx(31.03, rel=0.01)
    assert millions(build_network(UNET)) < millions(wide)


def test_variants_of_lulcformer_differ_in_what_they_name():
    full = network_config("lulcformer", classes=9)
    even = network_config("lulcformer", classes=9, allocation="1:1")

    assert full == LULCFORMER
    assert even.s2_widths == even.s1_widths == (32, 64, 160, 256)
    for ratio in ("1:3", "7:1", "2:1", "1:100"):
        config = network_config("lulcformer", classes=9, allocation=ratio)
        sums = [a + b for a, b in zip(config.s2_widths, config.s1_widths, strict=True)]
        assert sums == [64, 128, 320, 512]
        assert not any(w % h for w, h in zip(config.s2_widths, config.heads, strict=True))
        with torch.device("meta"):
            build_network(config)
    with torch.device("meta"):
        parameters = [
            millions(build_network(network_config("lulcformer", classes=9, **kwargs)))
            for kwargs in ({}, {"dmem": False}, {"mmam": False})
        ]
    assert parameters[0] - parameters[1] == pytest.approx(5.68, rel=0.01)  # cross-attention
    assert parameters[0] - parameters[2] == pytest.approx(2.70, rel=0.01)  # aggregation


def test_lulcformer_of_one_sensor_is_a_segformer_with_its_budget():
    with torch.device("meta"):
        one = build_network(network_config("lulcformer", classes=5, modalities=["s2"]))
        segformer = build_network(replace(SEGFORMER, inputs=("s2",), classes=5))

    assert isinstance(one, SegFormer)
    assert millions(one) == millions(segformer)
    assert one.config.name == "lulcformer-s2"


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"model": "resnet"}, "No model 'resnet'. Choose one of lulcformer"),
        ({"modalities": ["s3"]}, "s2, s1 or s2,s1"),
        ({"modalities": []}, "s2, s1 or s2,s1"),
        ({"allocation": "3"}, "two whole numbers such as 3:1"),
        ({"allocation": "0:1"}, "two whole numbers such as 3:1"),
        ({"model": "unet", "dmem": False}, "not to unet"),
        ({"modalities": ["s2"], "allocation": "1:1"}, "with two sensors"),
    ],
)
def test_unknown_networks_are_refused(kwargs, says):
    with pytest.raises(UsageError, match=says):
        network_config(**({"model": "lulcformer", "classes": 9} | kwargs))


@pytest.mark.parametrize("name", ["lulcformer-tiny", "segformer-tiny", "unet-tiny"])
def test_an_untrained_network_is_unsure(name):
    torch.manual_seed(0)
    network = DeployableNetwork(build_network(NETWORKS[name]), NORMALISATION).train()

    logits = network(*raw((2, 64, 64)))

    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    assert entropy > 0.75 * math.log(9)
