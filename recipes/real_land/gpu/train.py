"""Train for a fixed time on a GPU, from a pack; leave the averaged weights and figures."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training import (
    BandStatistics,
    DeployableNetwork,
    Normalisation,
    build_network,
    network_config,
    upsample_logits,
)
from lulcmap.training.loss import SetWeights, Target, focal_loss
from recipes.real_land.gpu.batches import Batch, Source, draw_batch
from recipes.real_land.gpu.making import make_tiles
from recipes.real_land.gpu.pack import Pack, Tiles
from recipes.real_land.judged import Judged, View, judge, summarise
from recipes.real_land.mix_amounts import SHARES
from recipes.real_land.wild.land import SETS

SAVE_SECONDS = 60.0
"""Time between two copies of the state."""

PART_BYTES = 14_000_000
"""Largest part of the weights, bytes: what a machine gives back is limited a file."""

WARMUP = 0.04
"""Share of the time over which the learning rate rises."""


@dataclass(frozen=True)
class Plan:
    """How to train."""

    model: str = "lulcformer"
    """Name of the network, a key of ``lulcmap.training.NETWORKS``."""

    minutes: float = 7.5
    """Time to train, without the making of landscapes."""

    batch: int = 64
    """Samples a step."""

    crop: int = 96
    """Side of a crop, pixels, a multiple of 32; tiles are 128."""

    learning_rate: float = 1e-3
    """Highest learning rate."""

    average: float = 0.999
    """Share of the averaged weights that each step keeps."""

    fields: int = 2400
    """Landscapes of fields, towns and quilts."""

    wild: int = 2000
    """Wild landscapes."""

    size: int = 256
    """Side of a landscape, pixels."""

    workers: int = 16
    """Processes that make landscapes."""

    device: str = "cuda"
    """Device to train on."""

    seed: int = 0
    """Seed of weights and draws; a GPU does not repeat them to the last digit."""


def train(pack_path: Path, out: Path, state: Path, plan: Plan) -> None:
    """Train and write the parts, ``figures.json`` and the log to a folder.

    Args:
        pack_path: file of ``pack.write_pack``.
        out: folder for what is to come back; parts of an earlier training in it are the start.
        state: file of the whole state; a training that was stopped resumes from it.
        plan: how to train.

    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    device, pack = torch.device(plan.device), Pack(pack_path)
    pack.write_points(out.parent / "points")
    made = make_tiles(
        out.parent / "points",
        fields=plan.fields,
        wild=plan.wild,
        size=plan.size,
        workers=plan.workers,
    )
    tiles = pack.tiles()
    sources = [Source.of(tiles, device, is_nearest=True)]
    sources += [Source.of(part, device, is_nearest=False) for part in made]
    print(f"{len(tiles['s2'])} tiles of real land, {plan.fields} and {plan.wild} landscapes")
    run = Run.start(plan, _normalisation([tiles, *made]), device)
    run.resume(state, out)
    for line in run.steps(sources, state, out):
        print(line, flush=True)
    run.write_parts(out)
    figures = evaluate(run.averaged(), [*pack.judged()], device)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


@dataclass
class Run:
    """A training in progress."""

    plan: Plan
    """How to train."""

    deployable: DeployableNetwork
    """The network."""

    optimiser: torch.optim.Optimizer
    """AdamW."""

    average: dict[str, Tensor]
    """Averaged weights."""

    device: torch.device
    """Device of all."""

    trained_s: float = 0.0
    """Seconds trained, over all starts."""

    step: int = 0
    """Steps taken."""

    @classmethod
    def start(cls, plan: Plan, normalisation: Normalisation, device: torch.device) -> "Run":
        """A network with fresh weights."""
        config = network_config(plan.model, classes=len(NAMES), transform="log-indices")
        deployable = DeployableNetwork(build_network(config), normalisation).to(device)
        matrices = [p for p in deployable.parameters() if p.ndim > 1]
        vectors = [p for p in deployable.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": 0.01}]
        groups += [{"params": vectors, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=plan.learning_rate)
        average = {name: x.detach().clone() for name, x in deployable.network.state_dict().items()}
        return cls(plan, deployable, optimiser, average, device)

    def resume(self, state: Path, out: Path) -> None:
        """Take up the state of a stopped training, or else the parts of an earlier one."""
        if state.exists():
            saved = torch.load(state, map_location=self.device, weights_only=True)
            self.deployable.network.load_state_dict(saved["weights"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.average = saved["average"]
            self.trained_s, self.step = saved["trained_s"], saved["step"]
            print(f"resumed at step {self.step}, {self.trained_s:.0f} s")
        elif (out / "parts.json").exists():
            weights = {name: x.to(self.device) for name, x in read_parts(out).items()}
            self.deployable.network.load_state_dict(weights)
            self.average = {name: x.clone() for name, x in weights.items()}
            print("started from the parts of an earlier training")

    def steps(self, sources: Sequence[Source], state: Path, out: Path) -> Iterator[str]:
        """Train until the time is over; yield a line now and then."""
        plan, total_s = self.plan, 60 * self.plan.minutes
        rng = np.random.default_rng((plan.seed, self.step))
        sets = _sets(self.device)
        saved_at = monotonic()
        began = saved_at - self.trained_s
        self.deployable.train()
        while (elapsed := monotonic() - began) < total_s:
            rate = plan.learning_rate * _schedule(elapsed / total_s)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            batch = draw_batch(sources, list(SHARES.values()), rng, size=plan.batch, crop=plan.crop)
            loss = self._learn(batch, sets)
            self.step += 1
            if self.step % 100 == 0:
                yield (
                    f"step {self.step}, {elapsed:.0f} s, loss {float(loss):.4f}, rate {rate:.2e}"
                )
            if monotonic() - saved_at > SAVE_SECONDS:
                self.trained_s, saved_at = monotonic() - began, monotonic()
                self._save(state)
                self.write_parts(out)
        self.trained_s = total_s
        self._save(state)

    def _learn(self, batch: Batch, sets: SetWeights) -> Tensor:
        """One step."""
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.deployable(batch.s2, batch.s1)
        logits = upsample_logits(logits, stride=self.deployable.network.stride)
        target = Target(batch.label, batch.probabilities, batch.weight)
        alpha = torch.ones(len(NAMES), device=self.device)
        loss = focal_loss(logits, target, alpha=alpha, gamma=0, sets=sets)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.deployable.parameters(), 1.0)
        self.optimiser.step()
        keep = min(self.plan.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.deployable.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)
        return loss.detach()

    def _save(self, state: Path) -> None:
        state.parent.mkdir(parents=True, exist_ok=True)
        part = state.with_suffix(".part")
        torch.save(
            {
                "weights": self.deployable.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average,
                "trained_s": self.trained_s,
                "step": self.step,
            },
            part,
        )
        part.replace(state)

    def averaged(self) -> DeployableNetwork:
        """The network with its averaged weights, ready to classify."""
        self.deployable.network.load_state_dict(self.average)
        return self.deployable.eval()

    def write_parts(self, out: Path) -> None:
        """Write the averaged weights, in half precision, as files of ``PART_BYTES`` at most."""
        flat = torch.cat([x.flatten().half().cpu() for x in self.average.values()]).numpy()
        step = PART_BYTES // 2
        parts = [flat[start : start + step] for start in range(0, len(flat), step)]
        for number, part in enumerate(parts):
            np.save(out / f"part-{number}.npy", part)
        about = {
            "plan": asdict(self.plan),
            "parts": len(parts),
            "step": self.step,
            "normalisation": self.deployable.normalisation.to_dict(),
            "shapes": {name: list(x.shape) for name, x in self.average.items()},
            "whole": [name for name, x in self.average.items() if not x.is_floating_point()],
        }
        (out / "parts.json").write_text(json.dumps(about) + "\n")


def read_parts(out: Path) -> dict[str, Tensor]:
    """The weights of a folder of parts, in single precision."""
    about = json.loads((out / "parts.json").read_text())
    flat = np.concatenate([np.load(out / f"part-{i}.npy") for i in range(about["parts"])])
    weights, place = {}, 0
    for name, shape in about["shapes"].items():
        count = int(np.prod(shape))
        values = torch.from_numpy(flat[place : place + count].astype(np.float32)).reshape(shape)
        weights[name] = values.round().long() if name in about["whole"] else values
        place += count
    return weights


def _schedule(share: float) -> float:
    """Factor of the learning rate at a share of the time: a rise, then half a cosine."""
    if share < WARMUP:
        return share / WARMUP
    return 0.5 * (1 + float(np.cos(np.pi * (share - WARMUP) / (1 - WARMUP))))


def _sets(device: torch.device) -> SetWeights:
    members = torch.zeros(len(SETS), len(NAMES), dtype=torch.bool, device=device)
    for row, names in enumerate(SETS.values()):
        members[row, [NAMES.index(name) for name in names]] = True
    return SetWeights(members, torch.ones(len(SETS), device=device))


def _normalisation(parts: Sequence[Tiles]) -> Normalisation:
    """Statistics of both sensors over some pixels of each part."""

    def of(sensor: str, nodata: int) -> BandStatistics:
        values = []
        for part in parts:
            pixels = part[sensor][:, :, ::16, ::16]
            flat = np.moveaxis(pixels, 1, 0).reshape(pixels.shape[1], -1)
            values.append(flat[:, (flat != nodata).all(0)].astype(np.float64))
        bands = np.concatenate(values, 1)
        low, high = (np.quantile(bands, q, axis=1) for q in (0.01, 0.99))
        clipped = bands.clip(low[:, None], high[:, None])
        rows = (low, high, clipped.mean(1), clipped.std(1))
        return BandStatistics(*(tuple(float(x) for x in row) for row in rows))

    return Normalisation(of("s2", S2_NODATA), of("s1", S1_NODATA))


def evaluate(
    deployable: DeployableNetwork,
    judged: Sequence[tuple[str, Judged]],
    device: torch.device,
) -> dict[str, Any]:
    """Share right in each suite, with both sensors and without radar."""
    model = _predictor(deployable, device)
    figures: dict[str, Any] = {}
    for sensors, without in (("both", None), ("S2 only", "s1")):
        suites: dict[str, dict[str, Any]] = {}
        for suite, image in judged:
            suites.setdefault(suite, {})[image.name] = judge(model, image, without=without)
        figures[sensors] = {}
        for suite, scores in suites.items():
            found = summarise(scores)
            shares = {"mean": round(found.mean, 4), "by kind": round(found.by_kind, 4)}
            figures[sensors][suite] = {**shares, "ece": round(found.reliability.ece, 4)}
    return figures


def _predictor(
    deployable: DeployableNetwork, device: torch.device
) -> Callable[[View], tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    @torch.inference_mode()
    def predict(view: View) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows, cols = view.s2.shape[1:]
        edges = [(0, 0), (0, -rows % 32), (0, -cols % 32)]
        planes = (
            torch.from_numpy(np.pad(x, edges, mode="symmetric").astype(np.float32))[None]
            for x in (view.s2, view.s1)
        )
        logits = deployable(*(plane.to(device) for plane in planes))
        whole = upsample_logits(logits, stride=deployable.network.stride)[0, :, :rows, :cols]
        confidence, ids = whole.softmax(0).max(0)
        seen = (view.s2 != S2_NODATA).all(0) | (view.s1 != S1_NODATA).all(0)
        return (
            np.where(seen, ids.cpu().numpy(), NODATA).astype(np.uint8),
            np.where(seen, confidence.cpu().numpy(), 0).astype(np.float32),
        )

    return predict
