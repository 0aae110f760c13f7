"""The GPU's path on the CPU: the same buffers and bindings, and a driver that is played."""

import ctypes
import gc
import os
import threading
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from lulcmap.errors import DeviceError, OutputError
from lulcmap.model import gpu_graph, open_session, runtime
from lulcmap.model.contract import SUN_SCALAR
from lulcmap.model.gpu_graph import GpuGraph
from lulcmap.model.nvidia import Gpu, first_gpu, page_locked
from tests.model.test_session import batch
from tests.support.stubs import contract, make_model

GIB = 2**30


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = contract(scalars={"sun_zenith": SUN_SCALAR})
    return make_model(tmp_path_factory.mktemp("model") / "m.onnx", made)


def feeds(n, size, seed=0):
    s2, s1 = batch(n, size, seed)
    return {"s2": s2, "s1": s1, "sun_zenith": np.linspace(10, 80, n, dtype=np.float32)}


def test_bound_buffers_give_what_a_plain_run_gives_whatever_the_shapes(path):
    plain = open_session(path, device="cpu")._ort
    bound = GpuGraph(onnxruntime, plain, contract(), device="cpu")

    # more calls than sets of buffers, so that each is filled again; and shapes that change
    for n, size, seed in [(2, 64, 0), (2, 64, 5), (2, 64, 9), (3, 32, 1), (3, 32, 2), (2, 64, 7)]:
        given = feeds(n, size, seed)
        (logits,) = bound.run(["logits"], given)
        (expected,) = plain.run(["logits"], given)
        np.testing.assert_array_equal(logits, expected)


def test_logits_stay_as_they_were_when_the_buffers_are_filled_again(path):
    bound = GpuGraph(onnxruntime, open_session(path, device="cpu")._ort, contract(), device="cpu")

    first = bound.run(["logits"], feeds(1, 64))[0]
    before = first.copy()
    for seed in range(1, 4):
        bound.run(["logits"], feeds(1, 64, seed))

    np.testing.assert_array_equal(first, before)


def test_threads_that_share_it_do_not_mix_their_windows(path):
    plain = open_session(path, device="cpu", threads=1)._ort
    bound = GpuGraph(onnxruntime, plain, contract(), device="cpu")
    wrong = []

    def work(seed):
        given = feeds(1, 64, seed)
        expected = plain.run(["logits"], given)[0]
        wrong.extend(
            seed for _ in range(10) if not np.array_equal(bound.run(["logits"], given)[0], expected)
        )

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_failed_call_leaves_the_buffers_to_the_next(path):
    bound = GpuGraph(onnxruntime, open_session(path, device="cpu")._ort, contract(), device="cpu")
    given = feeds(1, 64)

    for _ in range(3):  # more often than there are sets of buffers
        with pytest.raises(Exception, match="sun_zenith"):
            bound.run(["logits"], {name: given[name] for name in ("s2", "s1")})

    assert bound.run(["logits"], given)[0].shape == (1, 9, 16, 16)


class Driver:
    """A driver, by its names: one GPU of 141 GB, and memory of the C library."""

    def __init__(self, *, context=7, refuses=False):
        self.context, self.refuses, self.freed, self.kept = context, refuses, [], {}

    def cuDeviceGet(self, device, number):  # noqa: N802
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, name, size, device):  # noqa: N802, ARG002
        name.value = b"NVIDIA H200"
        return 0

    def cuDeviceTotalMem_v2(self, memory, device):  # noqa: N802, ARG002
        memory._obj.value = 141 * 10**9
        return 0

    def cuCtxGetCurrent(self, context):  # noqa: N802
        context._obj.value = self.context
        return 0

    def cuDevicePrimaryCtxRetain(self, context, device):  # noqa: N802, ARG002
        context._obj.value = 5
        return 0

    def cuCtxSetCurrent(self, context):  # noqa: N802
        self.context = context.value
        return 0

    def cuMemHostAlloc(self, place, size, flags):  # noqa: N802, ARG002
        if self.refuses:
            return 2
        block = ctypes.create_string_buffer(size.value)
        place._obj.value = ctypes.addressof(block)
        self.kept[place._obj.value] = block
        return 0

    def cuMemFreeHost(self, place):  # noqa: N802
        self.freed.append(place.value)
        return 0


def test_page_locked_memory_is_freed_when_nothing_shows_it_any_more():
    library = Driver(context=None)
    array = page_locked(library, (3, 4), np.uint16)
    array[:] = np.arange(12).reshape(3, 4)
    view = array[1]
    del array
    gc.collect()

    assert view.tolist() == [4, 5, 6, 7]
    assert (library.context, library.freed) == (5, [])
    del view
    gc.collect()
    assert library.freed == list(library.kept)


@pytest.mark.parametrize("library", [None, Driver(refuses=True)], ids=["none", "refuses"])
def test_without_page_locked_memory_there_is_an_ordinary_array(library):
    array = page_locked(library, (2, 5), np.int16)

    assert (array.shape, array.dtype) == ((2, 5), np.int16)


def test_the_gpu_is_described_or_there_is_none():
    assert first_gpu(Driver()) == Gpu("NVIDIA H200", 141 * 10**9)
    assert first_gpu(None) is None


@pytest.mark.parametrize(
    ("memory", "asked", "expected"),
    [(6, None, 4), (12, None, 8), (24, None, 16), (80, None, 32), (80, 7, 7), (None, None, 4)],
)
def test_a_batch_is_chosen_by_memory_unless_it_is_asked_for(memory, asked, expected):
    inner = SimpleNamespace(get_inputs=lambda: [SimpleNamespace(shape=["n", 9, "h", "w"])])
    gpu = None if memory is None else Gpu("some", memory * GIB)

    assert gpu_graph._batch(inner, gpu, asked, window=512) == expected


@pytest.mark.parametrize(("window", "expected"), [(256, 64), (512, 16), (1024, 4), (4096, 1)])
def test_a_batch_has_as_many_pixels_whatever_the_windows(window, expected):
    inner = SimpleNamespace(get_inputs=lambda: [SimpleNamespace(shape=["n", 9, "h", "w"])])

    assert gpu_graph._batch(inner, Gpu("some", 24 * GIB), None, window=window) == expected


def test_a_model_made_for_one_window_gets_one():
    inner = SimpleNamespace(get_inputs=lambda: [SimpleNamespace(shape=[1, 9, "h", "w"])])

    assert gpu_graph._batch(inner, Gpu("some", 80 * GIB), 8, window=512) == 1


@pytest.fixture
def nvidia(monkeypatch, tmp_path):
    """A machine with a GPU: ONNX Runtime names the provider that is asked for, and runs on the CPU.

    Yields what sessions were asked for: providers, and options with the sizes of axes.
    """
    whole, options = onnxruntime.InferenceSession, onnxruntime.SessionOptions
    asked = []

    class Inner:
        def __init__(self, data, given, *, providers, **others):
            asked.append((providers, getattr(given, "sizes", {})))
            self.names = [one if isinstance(one, str) else one[0] for one in providers]
            self.inner = whole(data, given, providers=["CPUExecutionProvider"], **others)

        def get_providers(self):
            return self.names

        def __getattr__(self, name):
            return getattr(self.inner, name)

    class Options(options):
        def add_free_dimension_override_by_name(self, name, size):
            self.sizes = {**getattr(self, "sizes", {}), name: size}
            super().add_free_dimension_override_by_name(name, size)

    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Inner)
    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda **_: None, raising=False)
    monkeypatch.setattr(runtime, "has_driver", lambda: True)
    monkeypatch.setattr(gpu_graph, "driver", Driver)
    monkeypatch.setenv("LULCMAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setattr(GpuGraph.__init__, "__kwdefaults__", {"device": "cpu"})
    return asked


def test_cuda_takes_the_batch_that_its_memory_suggests_and_says_so(path, nvidia):
    session = open_session(path, device="cuda")
    s2, s1 = batch(3)
    sun = np.float32([10, 20, 30])

    logits = session.run(s2, s1, sun)

    windows = 32 * 512**2 // session.contract.window**2
    assert (session.device, session.batch_size, session.in_flight) == ("cuda", windows, 2)
    assert session.runtime.endswith(f"CUDAExecutionProvider, batches of {windows}")
    assert nvidia[0][0][0][1]["use_tf32"] == "0"
    plain = open_session(path, device="cpu").run(s2, s1, sun)
    np.testing.assert_allclose(logits, plain, atol=1e-4)


def test_tensorrt_gets_fixed_shapes_and_a_folder_for_its_engine(path, nvidia, tmp_path):
    session = open_session(path, device="tensorrt", batch_size=2)

    ((name, options), (second, _), _), sizes = nvidia[-1]
    assert (name, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert session.runtime.endswith("TensorrtExecutionProvider, batches of 2")
    assert set(sizes.values()) == {2, session.contract.window}
    folder = tmp_path / "cache" / "tensorrt" / session.sha256
    assert options["trt_engine_cache_path"].startswith(str(folder / "NVIDIA-H200-onnxruntime-"))
    assert options["trt_fp16_enable"] == "0"
    size = session.contract.window
    assert session.run(*batch(3, size), np.float32([1, 2, 3])).shape[0] == 3


def test_tensorrt_takes_no_tf32(path, nvidia):
    open_session(path, device="tensorrt")

    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_a_cache_that_cannot_be_written_is_said(path, nvidia, tmp_path):
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(OutputError, match="LULCMAP_CACHE"):
        open_session(path, device="tensorrt")


def test_tensorrt_that_a_session_silently_lacks_is_an_error(path, nvidia, monkeypatch):
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: ["CUDAExecution"])

    with pytest.raises(DeviceError, match=r"--device tensorrt: .*could not load TensorRT \("):
        open_session(path, device="tensorrt")


def test_a_runtime_without_tensorrt_says_so(path):
    with pytest.raises(DeviceError, match=r"--device tensorrt: .* has no TensorRT"):
        open_session(path, device="tensorrt")
