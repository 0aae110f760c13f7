"""The networks: parameters, arithmetic, samples per second in training and inference, memory.

Each network is measured in its own process, in turns, on random composites of 512 px; medians are
printed. On a GPU also in bf16 and compiled, with the rate of a large matrix product for comparison.

    python benchmarks/network.py [--models lulcformer,...] [--rounds 3] [--batch 2] [--device cpu]

torch counts the arithmetic on the network as it is trained (convolutions, linears, attention). It
is given in both conventions: multiply-adds, and floating-point operations, twice as many. The paper
gives 109.59 G FLOPs and 26.70 M parameters for LULC-Former at 510 px; here the decoder is counted
as it is computed, each stage's slice at that stage's own resolution, so the figure is lower.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lulcmap.legend import CLASSES
from lulcmap.training import (
    NETWORKS,
    BandStatistics,
    DeployableNetwork,
    Normalisation,
    Target,
    build_network,
    focal_loss,
    upsample_logits,
)

SIZE = 512
"""Pixels a side."""

NORMALISATION = Normalisation(
    s2=BandStatistics(*((value,) * 9 for value in (100.0, 6000.0, 2000.0, 900.0))),
    s1=BandStatistics(*((value,) * 2 for value in (-2800.0, 0.0, -1300.0, 400.0))),
)

STEPS = {"cpu": (1, 2), "cuda": (5, 20)}
"""By device: warm-up steps, and timed steps."""

MATRIX = 8192
"""Rows and columns of the matrix product whose rate is taken as the GPU's peak."""


def composites(batch: int, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random composites, with random labels."""
    rng = np.random.default_rng(0)
    s2 = rng.integers(100, 5000, (batch, 9, SIZE, SIZE)).astype(np.uint16)
    s1 = rng.integers(-2500, 0, (batch, 2, SIZE, SIZE)).astype(np.int16)
    label = rng.integers(0, len(CLASSES), (batch, SIZE, SIZE))
    return (
        torch.from_numpy(s2).to(device),
        torch.from_numpy(s1).to(device),
        torch.from_numpy(label).to(device),
    )


def gmacs(name: str) -> float:
    """Billions of multiply-adds of one sample."""
    network = build_network(NETWORKS[name]).eval()
    planes = [torch.zeros(1, n, SIZE, SIZE) for n in (9, 2, 1, 1)]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*planes)
    return counter.get_total_flops() / 2e9


def rate(step: Callable[[], object], device: str) -> float:
    """Calls per second."""
    before, during = STEPS[device]
    for _ in range(before):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(during):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return during / (time.perf_counter() - began)


def measured(name: str, what: str, *, batch: int, device: str, mode: str) -> dict[str, float]:
    """Samples per second and peak memory (MB) of ``what``: training or inference."""
    torch.manual_seed(0)
    deployable = DeployableNetwork(build_network(NETWORKS[name]), NORMALISATION).to(device)
    s2, s1, label = composites(batch, device)
    stride, parameters = deployable.network.stride, list(deployable.parameters())
    alpha = torch.ones(len(CLASSES), device=device)
    if mode == "compiled":
        deployable.network = torch.compile(deployable.network)  # type: ignore[assignment]
    half = torch.autocast(device, torch.bfloat16, enabled=mode != "fp32")
    optimizer = torch.optim.AdamW(parameters)

    def learn() -> None:
        with half:
            logits = deployable(s2, s1)
        loss = focal_loss(
            upsample_logits(logits, stride=stride), Target(label), alpha=alpha, gamma=2.0
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def infer() -> None:
        with half, torch.inference_mode():
            deployable(s2, s1)

    deployable.train(what == "training")
    samples = rate(learn if what == "training" else infer, device) * batch
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated() / 1e6
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"samples_per_second": samples, "memory": memory}


def peak() -> float:
    """Rate of a large bf16 matrix product on the GPU, TFLOP/s."""
    a, b = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2e-12 * MATRIX**3 * rate(lambda: a @ b, "cuda")


def main() -> None:
    """Measure every model in every mode, each in its own process, in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, what, mode = options.one
        print(
            json.dumps(measured(name, what, batch=options.batch, device=options.device, mode=mode))
        )
        return
    names = options.models.split(",")
    modes = ["fp32", "bf16", "compiled"] if options.device == "cuda" else ["fp32"]
    runs = defaultdict(list)
    for _ in range(options.rounds):
        for name in names:
            for what in ("training", "inference"):
                for mode in modes:
                    command = [sys.executable, __file__, "--one", name, what, mode]
                    command += ["--batch", str(options.batch), "--device", options.device]
                    out = subprocess.run(command, capture_output=True, text=True, check=True)
                    runs[name, what, mode].append(json.loads(out.stdout.splitlines()[-1]))
    top = peak() if options.device == "cuda" else None
    if top:
        print(f"bf16 product of {MATRIX} x {MATRIX} matrices: {top:.0f} TFLOP/s")
    print(
        f"{'model':16} {'M':>6} {'GMAC':>6} {'GFLOP':>6}  what       mode      samples/s  peak MB"
    )
    for name in names:
        with torch.device("meta"):
            size = sum(p.numel() for p in build_network(NETWORKS[name]).parameters()) / 1e6
        work = gmacs(name)
        for what in ("training", "inference"):
            for mode in modes:
                rows = runs[name, what, mode]
                speed = statistics.median(row["samples_per_second"] for row in rows)
                memory = statistics.median(row["memory"] for row in rows)
                times = 6 if what == "training" else 2  # backward costs twice the forward
                share = f" {times * work * speed / 1e3 / top:6.1%} of that" if top else ""
                print(
                    f"{name:16} {size:6.2f} {work:6.1f} {2 * work:6.1f}  {what:10} {mode:8} "
                    f"{speed:10.2f} {memory:8.0f}{share}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
