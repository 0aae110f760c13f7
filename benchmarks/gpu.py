"""A GPU: how fast it runs a model, how much of that a map gets, and whose labels differ.

One script of at most 8 minutes on any machine with an NVIDIA GPU:

    python benchmarks/gpu.py --out gpu-figures [--model NAME] [--minutes 8] [--small]

Each part runs in its own process, prints its line, and leaves a JSON file in the folder, so that
the same command after an interruption goes on with the parts that are missing. ``results.json`` and
``results.md`` gather them. What is missing on the machine (TensorRT, torch, a GPU) is a line that
says so. ``--small`` is for a machine without a GPU: the same code, on the CPU, with few windows, in
one process.

Windows are those of a simulated country, and labels are compared with those of ONNX Runtime on the
CPU. A share of the peak counts the floating-point operations of the network as it is exported,
against the GPU's matrix units for half precision and its plain ones for full (no TF32).
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import LulcmapError
from lulcmap.model import Contract, Session, find_model, open_session, read_model
from lulcmap.model.gpu_graph import CUDA_OPTIONS, GpuGraph, _Buffers
from lulcmap.model.nvidia import driver, first_gpu
from lulcmap.model.overlap import run_batches
from lulcmap.model.runtime import CPU, CUDA, TENSORRT, create_inner, load_runtime

PEAKS = {  # by a part of the name: TFLOP/s in full precision, and of the matrix units in half
    "B200": (75, 2250),
    "H200": (67, 989),
    "H100 PCIe": (51, 756),
    "H100": (67, 989),
    "A100": (19.5, 312),
    "L40S": (91.6, 362),
    "L4": (30.3, 121),
    "A10": (31.2, 125),
    "V100": (15.7, 125),
    "T4": (8.1, 65),
    "RTX 4090": (82.6, 165),
    "RTX 3090": (35.6, 71),
}
"""Dense products, as NVIDIA's data sheets give them."""

BATCHES = (1, 4, 8, 16, 32, 64)
SECONDS, SMALL_SECONDS = 3.0, 0.1
"""Least time that a rate is taken over."""

Feeds = dict[str, NDArray[Any]]
Run = Callable[..., NDArray[Any]]


# ---------------------------------------------------------------- what is measured


def rate(step: Callable[[], object], windows: int, seconds: float) -> float:
    """Windows a second of a call that takes some, and that was made before."""
    step()
    calls, began = 0, time.perf_counter()
    while not calls or time.perf_counter() - began < seconds:
        step()
        calls += 1
    return calls * windows / (time.perf_counter() - began)


def session_rate(session: Session, windows: Feeds, size: int, options: Any) -> dict[str, Any]:
    """Windows a second of a session as a map uses it, and labels that differ from the CPU's."""
    batch = arguments(session.contract, windows, size)
    in_turns = 2 * session.in_flight

    def step() -> None:
        for _ in run_batches(session.run, repeat(batch, in_turns), in_flight=session.in_flight):
            pass

    logits = np.concatenate(
        [
            session.run(*arguments(session.contract, windows, 1, n))
            for n in range(len(windows["s2"]))
        ]
    )
    return {
        "runtime": session.runtime,
        "windows_per_second": rate(step, size * in_turns, options.seconds),
        **differing(logits, windows),
    }


def arguments(
    contract: Contract, windows: Feeds, size: int, first: int = 0
) -> tuple[NDArray[Any], ...]:
    """Arguments of ``Session.run``: as many windows as asked for, from the first on, repeated."""
    chosen = (first + np.arange(size)) % len(windows["s2"])
    names = ("s2", "s1", *contract.scalars)
    return tuple(np.ascontiguousarray(windows[name][chosen]) for name in names)


def differing(logits: NDArray[Any], windows: Feeds) -> dict[str, Any]:
    """Cells whose class is not the CPU's, and the largest difference of a logit."""
    expected = windows["logits"]
    other = int((logits.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return {
        "cells": int(expected.size / expected.shape[1]),
        "cells_of_another_class": other,
        "largest_difference": float(np.abs(logits - expected).max()),
    }


# ---------------------------------------------------------------- the parts


def make_windows(options: Any) -> dict[str, Any]:
    """Simulate a country, map it on the CPU, and keep some windows with their logits."""
    from lulcmap.simulation import Country, simulate

    side, dates = (256, 2) if options.small else (1536, 6)
    simulate(
        options.out / "country",
        Country(seed=1, height=side, width=side, s2_dates=dates, s1_dates=2),
    )
    kept: list[tuple[NDArray[Any], ...]] = []
    with watched(kept) as busy:
        seconds = mapped(options, "cpu", "reference.tif")
    keep = kept[: 1 if options.small else 16]
    names = ("s2", "s1", "sun_zenith", "logits")
    arrays = {
        name: np.concatenate(values)
        for name, values in zip(names, zip(*keep, strict=True), strict=True)
    }
    np.savez(options.out / "windows.npz", **arrays)
    return {"windows": len(kept), "seconds": seconds, "busy_share": covered(busy) / seconds}


def mapped(options: Any, device: Any, name: str) -> float:
    """Seconds of a map of the country, written to a file of that name."""
    import lulcmap

    country = options.out / "country"
    (options.out / name).unlink(missing_ok=True)  # a map that is there is not made again
    shutil.rmtree(options.out / f"{name}.run", ignore_errors=True)  # nor a block
    began = time.perf_counter()
    lulcmap.map_area(
        country / "aoi.geojson",
        options.out / name,
        year=2024,
        catalog=str(country / "items.json"),
        model=options.model,
        device=device,
        sidecars=False,
        overwrite=True,
    )
    return time.perf_counter() - began


@contextmanager
def watched(kept: list[tuple[NDArray[Any], ...]] | None = None) -> Iterator[list[Any]]:
    """Note when the network runs, from beginning to end, and maybe what it was shown."""
    plain, spans = Session.run, []

    def run(session: Session, s2: Any, s1: Any, sun: Any = None) -> Any:
        began = time.perf_counter()
        logits = plain(session, s2, s1, sun)
        spans.append((began, time.perf_counter()))
        if kept is not None:
            zeniths = np.zeros(len(s2), np.float32) if sun is None else sun
            kept.append((s2, s1, zeniths, logits))
        return logits

    Session.run = run  # type: ignore[method-assign]
    try:
        yield spans
    finally:
        Session.run = plain  # type: ignore[method-assign]


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in which at least one call ran."""
    total, until = 0.0, 0.0
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total


def whole_map(options: Any, device: str) -> dict[str, Any]:
    """A whole map from local files: how busy the network is, and whose labels differ."""
    import rasterio

    with watched() as busy:
        seconds = mapped(options, device, f"map-{device}.tif")
    with (
        rasterio.open(options.out / f"map-{device}.tif") as ours,
        rasterio.open(options.out / "reference.tif") as theirs,
    ):
        classes, expected = ours.read(1), theirs.read(1)
    contract = read_model(find_model(options.model)).contract
    overlap = (contract.window / contract.step) ** 2
    return {
        "seconds": seconds,
        "busy_share": covered(busy) / seconds,
        "pixels": int(classes.size),
        "pixels_of_another_class": int((classes != expected).sum()),
        "host_to_device_bytes_per_pixel": 22 * overlap,
        "device_to_host_bytes_per_pixel": 4 * len(contract.classes) / contract.stride**2 * overlap,
    }


def by_batch(options: Any, windows: Feeds) -> dict[str, Any]:
    """Windows a second by the size of the batch, as a map uses the GPU."""
    found = {}
    for size in BATCHES:
        try:
            session = open_session(find_model(options.model), device="cuda", batch_size=size)
            measured = session_rate(session, windows, size, options)
        except LulcmapError as error:
            found[f"batch_{size}"] = str(error)
            break
        found[f"batch_{size}"] = measured["windows_per_second"]
    return found


def on_device(options: Any, windows: Feeds, device: Any) -> dict[str, Any]:
    """A model as a map uses it, on a device."""
    session = open_session(find_model(options.model), device=device)
    size = options.batch if session.device == "cuda" else 1
    if size != session.batch_size:
        session = open_session(find_model(options.model), device=device, batch_size=size)
    return session_rate(session, windows, size, options)


def by_hand(
    options: Any, windows: Feeds, *, provider: str, fp16: bool, bound: bool, graph: bool
) -> dict[str, Any]:
    """A graph in ONNX Runtime opened here: plain feeds, bound buffers, or a captured graph."""
    ort, size = load_runtime(), options.batch
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls(directory="")
    path = half_model(options) if fp16 and provider == CUDA else find_model(options.model)
    model = read_model(path)
    sizes = fixed_sizes(create_inner(ort, model.data, path), size, model.contract.window)
    cuda = {**CUDA_OPTIONS, "enable_cuda_graph": "1" if graph and provider == CUDA else "0"}
    tensorrt = {
        "trt_fp16_enable": "1" if fp16 else "0",
        "trt_cuda_graph_enable": "1" if graph else "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(options.out / "engines"),
    }
    chosen = {TENSORRT: [(TENSORRT, tensorrt), (CUDA, cuda), CPU], CUDA: [(CUDA, cuda), CPU]}
    inner = create_inner(ort, model.data, path, providers=chosen.get(provider, [CPU]), sizes=sizes)
    if inner.get_providers()[0] != provider:
        return {"missing": f"ONNX Runtime did not take {provider}"}
    device = "cpu" if provider == CPU else "cuda"
    run: Any = inner if not bound else GpuGraph(ort, inner, model.contract, device=device)
    buffers = _Buffers(ort, inner, model.contract, device) if graph else None

    def call(feeds: Feeds) -> NDArray[Any]:
        # a captured graph reads and writes the addresses it was captured with: one set of buffers
        return buffers.run(feeds) if buffers else run.run(["logits"], feeds)[0]

    names = ("s2", "s1", *model.contract.scalars)
    feeds = dict(zip(names, arguments(model.contract, windows, size), strict=True))
    logits = []
    for first in range(0, len(windows["s2"]), size):
        batch = arguments(model.contract, windows, size, first)
        logits.append(call(dict(zip(names, batch, strict=True))))
    whole = np.concatenate(logits)[: len(windows["s2"])]
    return {
        "runtime": f"onnxruntime {ort.__version__}, {provider}",
        "windows_per_second": rate(lambda: call(feeds), size, options.seconds),
        **differing(whole.astype(np.float32), windows),
    }


def fixed_sizes(inner: Any, size: int, window: int) -> dict[str, int]:
    """Sizes of a graph's free axes by their names."""
    by_axis = {0: size, 2: window, 3: window}
    return {
        axis: by_axis[number]
        for value in inner.get_inputs()
        for number, axis in enumerate(value.shape)
        if isinstance(axis, str)
    }


def deployable(options: Any) -> Any:
    """The network in torch, with the weights of the model file."""
    from lulcmap.training import DeployableNetwork, build_network, load_trained

    trained = load_trained(options.model or find_model(None))
    network = build_network(trained.config)
    network.load_state_dict(dict(trained.state))
    assert trained.normalisation is not None
    return DeployableNetwork(network, trained.normalisation).eval()


def half_model(options: Any) -> Path:
    """The model's network exported in half precision; made once."""
    from lulcmap.model import with_metadata
    from lulcmap.training.export import fold_decoder, trace

    path = Path(options.out) / "half.onnx"
    if not path.exists():
        contract = replace(read_model(find_model(options.model)).contract, precision="fp16")
        data = trace(fold_decoder(deployable(options), fp16=True)).SerializeToString()
        path.write_bytes(with_metadata(data, {"lulcmap": contract.to_json()}))
    return path


def in_torch(options: Any, windows: Feeds, *, bf16: bool, compiled: bool) -> dict[str, Any]:
    """The same network in torch, its decoder folded as it is exported."""
    import torch

    from lulcmap.training.export import fold_decoder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = fold_decoder(deployable(options), fp16=False).to(device)
    run = torch.compile(network) if compiled else network
    half = torch.autocast(device, torch.bfloat16, enabled=bf16)

    def call(*planes: Any) -> Any:
        with half, torch.inference_mode():
            logits = run(*(torch.from_numpy(one).to(device) for one in planes))
        return logits.float().cpu().numpy()

    size = options.batch
    planes = [windows[name] for name in ("s2", "s1")]
    chosen = np.arange(size) % len(planes[0])
    batch = [np.ascontiguousarray(one[chosen]) for one in planes]
    logits = []
    for first in range(0, len(planes[0]), size):
        taken = (first + np.arange(size)) % len(planes[0])
        logits.append(call(*(np.ascontiguousarray(one[taken]) for one in planes)))
    return {
        "runtime": f"torch {torch.__version__}, {device}",
        "windows_per_second": rate(lambda: call(*batch), size, options.seconds),
        **differing(np.concatenate(logits)[: len(planes[0])], windows),
    }


def operations(options: Any) -> dict[str, Any]:
    """Floating-point operations of a window, of the network as it is exported."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from lulcmap.training.export import fold_decoder

    size = read_model(find_model(options.model)).contract.window
    network = fold_decoder(deployable(options), fp16=False).network.to("meta")
    planes = [torch.zeros(1, n, size, size, device="meta") for n in (9, 2, 1, 1)]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*planes)
    return {"gflop_per_window": counter.get_total_flops() / 1e9}


def parts(options: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    """Every part by its name, in the order of what is wanted most."""

    def seen(measure: Callable[..., dict[str, Any]], **given: Any) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            with np.load(options.out / "windows.npz") as arrays:
                return measure(options, dict(arrays), **given)

        return run

    def hand(provider: str, **given: bool) -> Callable[[], dict[str, Any]]:
        kept = {"fp16": False, "bound": True, "graph": False, **given}
        return seen(by_hand, provider=provider, **kept)

    first = {"windows": lambda: make_windows(options), "operations": lambda: operations(options)}
    if options.small:
        return {
            **first,
            "onnxruntime-cpu-plain": hand(CPU, bound=False),
            "onnxruntime-cpu-bound": hand(CPU),
            "onnxruntime-cpu-one-buffer": hand(CPU, graph=True),
            "torch-fp32": seen(in_torch, bf16=False, compiled=False),
            "map-cpu": lambda: whole_map(options, "cpu"),
        }
    return {
        **first,
        "cuda-fp32": seen(on_device, device="cuda"),
        "map-cuda": lambda: whole_map(options, "cuda"),
        "cuda-fp32-by-batch": seen(by_batch),
        "cuda-fp32-plain": hand(CUDA, bound=False),
        "cuda-fp32-bound": hand(CUDA),
        "cuda-fp32-graph": hand(CUDA, graph=True),
        "torch-fp32": seen(in_torch, bf16=False, compiled=False),
        "torch-bf16": seen(in_torch, bf16=True, compiled=False),
        "torch-bf16-compiled": seen(in_torch, bf16=True, compiled=True),
        "cuda-fp16-bound": hand(CUDA, fp16=True),
        "cuda-fp16-graph": hand(CUDA, fp16=True, graph=True),
        "tensorrt-fp16-bound": hand(TENSORRT, fp16=True),
        "tensorrt-fp32": seen(on_device, device="tensorrt"),
        "tensorrt-fp16-graph": hand(TENSORRT, fp16=True, graph=True),
        "map-tensorrt": lambda: whole_map(options, "tensorrt"),
    }


# ---------------------------------------------------------------- running them


def run_part(options: Any) -> None:
    """Run one part in this process and write its file."""
    try:
        found = parts(options)[options.part]()
    except (LulcmapError, ImportError) as error:
        found = {"missing": str(error).splitlines()[0]}
    written = options.out / f"{options.part}.json"
    half = written.with_suffix(".partial")
    half.write_text(json.dumps(found))
    half.replace(written)


def peak_of(name: str, part: str) -> float | None:
    """TFLOP/s of the GPU for a part's precision; None if the GPU is not in the table."""
    pairs = [pair for key, pair in PEAKS.items() if key in name]
    if not pairs:
        return None
    return pairs[0][1 if "16" in part else 0]


def gather(options: Any) -> dict[str, Any]:
    """Write what the parts found as JSON and as a table."""
    gpu = first_gpu(driver())
    found = {
        name: json.loads(path.read_text())
        for name in parts(options)
        if (path := options.out / f"{name}.json").exists()
    }
    work = found.get("operations", {}).get("gflop_per_window")
    name = gpu.name if gpu else "no GPU"
    for part, values in found.items():
        peak, speed = peak_of(name, part), values.get("windows_per_second")
        if speed and work and peak:
            values["share_of_peak"] = speed * work / 1e3 / peak
    results = {
        "gpu": name,
        "memory": gpu.memory if gpu else None,
        "batch": options.batch,
        "parts": found,
    }
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    rows = [
        f"{name}, batches of {options.batch}, {work or 'unknown'} GFLOP a window",
        "",
        "| part | windows/s | of the peak | cells of another class | network busy |",
        "|---|---|---|---|---|",
        *(row(part, values) for part, values in found.items()),
    ]
    (options.out / "results.md").write_text("\n".join(rows) + "\n")
    return results


def row(part: str, values: dict[str, Any]) -> str:
    """A line of the table."""
    if "missing" in values:
        return f"| {part} | {values['missing']} | | | |"
    speed, share, busy = (
        values.get(name) for name in ("windows_per_second", "share_of_peak", "busy_share")
    )
    other = values.get("cells_of_another_class", values.get("pixels_of_another_class"))
    of = values.get("cells", values.get("pixels"))
    return (
        f"| {part} | {f'{speed:.1f}' if speed else ''} | {f'{share:.1%}' if share else ''} | "
        f"{f'{other:,} of {of:,}' if of else ''} | {f'{busy:.0%}' if busy else ''} |"
    )


def main() -> None:
    """Run the parts that are missing, one process each, until the time is over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.batch = options.batch or (1 if options.small else 16)
    options.seconds = SMALL_SECONDS if options.small else SECONDS
    if options.part:
        run_part(options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    check_same(options)
    until = time.monotonic() + 60 * options.minutes
    for name in parts(options):
        written = options.out / f"{name}.json"
        why = None if written.exists() else attempt(name, options, until - time.monotonic())
        print(f"{name}: {why or written.read_text()}", flush=True)
        gather(options)
    print((options.out / "results.md").read_text())


def check_same(options: Any) -> None:
    """End if the folder keeps parts that were measured in another way."""
    asked = {name: getattr(options, name) for name in ("model", "batch", "small")}
    kept = options.out / "asked.json"
    if not kept.exists():
        kept.write_text(json.dumps(asked))
    elif (before := json.loads(kept.read_text())) != asked:
        sys.exit(f"{options.out} has parts measured with {before}. Give another --out.")


def attempt(name: str, options: Any, seconds: float) -> str | None:
    """Run a part; return why it left no file, which a rerun then tries again."""
    if options.small:
        options.part = name
        run_part(options)
        return None
    if seconds <= 0:
        return "not reached; run the same command again"
    command = [sys.executable, __file__, *sys.argv[1:], "--part", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "the time was over"
    if (options.out / f"{name}.json").exists():
        return None
    return (done.stderr.strip().splitlines() or ["no reason was given"])[-1]


if __name__ == "__main__":
    main()
