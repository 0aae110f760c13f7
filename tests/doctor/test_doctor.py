"""The doctor: what it finds in a sound environment, and in environments broken on purpose."""

import importlib.metadata
import json
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from lulcmap.catalog.providers import CDSE, EARTH_SEARCH, PLANETARY_COMPUTER
from lulcmap.cli.app import Group
from lulcmap.cli.doctor import doctor as command
from lulcmap.doctor import checks as doctor_checks
from lulcmap.doctor import machine, provider, software
from lulcmap.errors import ModelError
from lulcmap.model import registry
from lulcmap.system import memory

VARIABLES = (
    *("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("PC_SDK_SUBSCRIPTION_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)
SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """An environment without any of the variables."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_providers(monkeypatch):
    monkeypatch.setattr(doctor_checks, "PROFILES", {})


def invoke(*arguments):
    group = Group("lulcmap", commands=[command])
    return CliRunner().invoke(group, ["doctor", *arguments])


def checks_of(*arguments):
    """Checks by name, and the exit code."""
    result = invoke("--json", *arguments)
    return {check["name"]: check for check in json.loads(result.stdout)}, result.exit_code


def test_a_sound_machine_has_nothing_wrong_and_the_providers_are_skipped_offline():
    checks, code = checks_of("--offline")

    assert code == 0
    assert [name for name, check in checks.items() if check["status"] == "wrong"] == []
    for name in ("Python", "GDAL", "PROJ of GDAL", "PROJ of pyproj", "ONNX Runtime", "models"):
        assert checks[name]["status"] == "ok", checks[name]
    for name in ("planetary-computer", "earth-search", "cdse"):
        assert checks[name] == {"name": name, "status": "skipped", "said": "Skipped: --offline."}


def test_people_get_a_line_per_check_and_a_verdict(no_providers):
    result = invoke()

    assert result.exit_code == 0
    assert result.output.startswith("ok       Python ")
    assert result.output.endswith("\nNothing is wrong.\n")


def test_two_runtimes_are_wrong_and_the_fix_is_named(no_providers, monkeypatch):
    packages = ("onnxruntime", "onnxruntime-gpu")
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "1.28" if name in packages else version(name)
    )

    checks, code = checks_of()

    assert code == 1
    assert checks["ONNX Runtime"]["status"] == "wrong"
    assert "pip uninstall onnxruntime onnxruntime-gpu" in checks["ONNX Runtime"]["said"]
    assert checks["CUDA"]["status"] == "skipped"
    assert "Wrong: ONNX Runtime." in " ".join(invoke().output.split())


def test_what_cannot_be_imported_is_wrong_and_the_rest_is_still_checked(no_providers, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)

    checks, code = checks_of()

    assert code == 1
    assert checks["GDAL"]["status"] == checks["PROJ of GDAL"]["status"] == "wrong"
    assert "cannot be imported" in checks["GDAL"]["said"]
    assert checks["PROJ of pyproj"]["status"] == "ok"


@pytest.mark.parametrize("look", [software.proj_of_pyproj, software.proj_of_rasterio])
def test_misplaced_coordinates_are_wrong(look, monkeypatch):
    here = software._KNOWN_POINTS["EPSG:32632"][0]
    monkeypatch.setattr(software, "_KNOWN_POINTS", {"EPSG:32632": (here, (500_000.0, 4_982_951.0))})

    status, said = look()

    assert status == "wrong"
    assert "misplaced" in said


@pytest.mark.parametrize("look", [software.proj_of_pyproj, software.proj_of_rasterio])
def test_proj_without_its_data_names_the_variable_that_points_elsewhere(look, monkeypatch):
    monkeypatch.setenv("PROJ_LIB", "/elsewhere/proj")
    assert look()[0] == "note"  # it took no effect: the libraries are loaded

    monkeypatch.setattr(software, "_KNOWN_POINTS", {"EPSG:999999": ((9.0, 45.0), (0.0, 0.0))})
    status, said = look()

    assert status == "wrong"
    assert "EPSG:999999 is unusable" in said
    assert "PROJ_LIB" in said


def test_gdal_without_a_driver_that_every_map_needs_is_wrong(monkeypatch):
    without(monkeypatch, "COG")

    assert software.gdal()[0] == "wrong"


def test_gdal_without_jpeg_2000_is_a_note_that_names_who_needs_it(monkeypatch):
    without(monkeypatch, "JP2OpenJPEG")

    status, said = software.gdal()

    assert status == "note"
    assert "cdse" in said


def without(monkeypatch, driver):
    """GDAL as if it lacked a driver."""
    drivers = rasterio.Env.drivers
    monkeypatch.setattr(
        rasterio.Env, "drivers", lambda env: {k: v for k, v in drivers(env).items() if k != driver}
    )


def test_compiled_code_that_cannot_be_cached_is_a_note(monkeypatch):
    import numba

    monkeypatch.setattr(
        "lulcmap.system.compiled", lambda function: numba.njit(nogil=True)(function)
    )

    status, said = software.compiler()

    assert status == "note"
    assert "NUMBA_CACHE_DIR" in said


def machine_with(monkeypatch, *, driver, cuda, ran="cpu", newest=(12, 2)):
    ort = SimpleNamespace(__version__="1.28.0", cuda_version="13.0")
    session = SimpleNamespace(device=ran, notes=("The CPU was used: no library.",))
    monkeypatch.setattr(software, "load_runtime", lambda: ort)
    monkeypatch.setattr(software, "has_driver", lambda: driver)
    monkeypatch.setattr(software, "has_cuda", lambda _: cuda)
    monkeypatch.setattr(software, "_driver_name", lambda: "NVIDIA H200, driver 550.1")
    monkeypatch.setattr(software, "_cuda_of_driver", lambda: newest)
    monkeypatch.setattr(software, "_tested_session", lambda: (session, None))


@pytest.mark.parametrize(
    ("here", "status", "words"),
    [
        ({"driver": False, "cuda": False}, "ok", "none is needed"),
        ({"driver": False, "cuda": True}, "note", "no NVIDIA driver"),
        ({"driver": True, "cuda": False}, "note", "lulcmap[gpu]"),
        ({"driver": True, "cuda": True, "ran": "cuda"}, "ok", "H200"),
        ({"driver": True, "cuda": True}, "wrong", "supports CUDA 12.2 at most"),
        ({"driver": True, "cuda": True, "newest": (13, 1)}, "wrong", "no library"),
    ],
)
def test_runtime_and_driver_must_fit_together(here, status, words, monkeypatch):
    machine_with(monkeypatch, **here)

    got, said = software.cuda()

    assert got == status
    assert words in said


def test_the_gpu_and_its_driver_are_named_as_nvidia_smi_names_them(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert software._driver_name() == "an NVIDIA driver"

    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 570.86.15'\n")
    tool.chmod(0o755)

    assert software._driver_name() == "NVIDIA L4, driver 570.86.15"


def test_a_session_that_fell_back_is_a_note(monkeypatch):
    session = SimpleNamespace(device="cpu", runtime="onnxruntime 1.28", notes=("No GPU.",))
    monkeypatch.setattr(software, "_tested_session", lambda: (session, None))

    assert software.runtime() == ("note", "onnxruntime 1.28. No GPU.")


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [([1, 2, 3, 4], "ok", "the classes of ONNX Runtime"), ([1, 2, 3, 5], "wrong", "25.0% of")],
)
def test_openvino_has_to_give_the_classes_of_onnx_runtime(monkeypatch, given, status, words):
    classes = {"openvino": np.array(given), "cpu": np.array([1, 2, 3, 4])}
    session = SimpleNamespace(runtime="openvino 2026.4, CPU")
    monkeypatch.setattr(software, "find_spec", lambda _: True)
    monkeypatch.setattr(software, "_tested_session", lambda device: (session, classes[device]))

    got, said = software.openvino()

    assert (got, words in said) == (status, True)


def test_openvino_is_not_needed(monkeypatch):
    monkeypatch.setattr(software, "find_spec", lambda _: None)

    assert software.openvino() == (
        "ok",
        "Not installed, and not needed; lulcmap[openvino] adds --device openvino.",
    )


def test_a_model_that_is_not_the_shipped_one_is_wrong(monkeypatch, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"other")
    fields = {"name": "m", "file": "m.onnx", "sha256": "0" * 64, "card": "m.md", "summary": ""}
    (tmp_path / "registry.json").write_text(json.dumps({"default": "m", "models": [fields]}))
    monkeypatch.setattr(registry, "models_folder", lambda: tmp_path)

    with pytest.raises(ModelError, match="not the model 'm' that was shipped"):
        software.models()


def test_memory_is_the_container_s_limit_where_that_is_lower(monkeypatch, tmp_path):
    nested = tmp_path / "slurm" / "job_7"
    nested.mkdir(parents=True)
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   16000000 kB\n")
    (tmp_path / "cgroup").write_text("0::/slurm/job_7/step_0\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    assert machine.memory() == ("ok", "16.4 GB free")

    (tmp_path / "memory.max").write_text("max\n")
    (nested / "memory.max").write_text("2000000000\n")
    status, said = machine.memory()

    assert status == "note"
    assert said.startswith("2.0 GB, the limit of this container")


def test_a_folder_that_is_not_writable_is_wrong(monkeypatch, tmp_path):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)

    status, said = machine.disk(tmp_path)

    assert status == "wrong"
    assert "Permission denied" in said


def test_a_full_disk_is_a_note_and_a_missing_folder_is_fine(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=3e9))

    status, said = machine.disk(tmp_path / "a" / "b")

    assert status == "note"
    assert said.startswith(f"3.0 GB free in {tmp_path / 'a' / 'b'}")


def test_secrets_are_named_and_never_shown(monkeypatch):
    for name in VARIABLES[-3:]:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("https_proxy", f"http://me:{SECRET}@proxy:3128")

    checks, _ = checks_of("--offline")

    assert checks["credentials"]["status"] == "ok"
    assert "AWS_ACCESS_KEY_ID" in checks["credentials"]["said"]
    assert checks["proxies"]["said"] == "https_proxy is set and used."
    assert SECRET not in json.dumps(checks)


class Handler(BaseHTTPRequestHandler):
    """A STAC API and its one asset."""

    def do_GET(self):
        server = self.server
        if server.status != 200:
            return self.send_error(server.status)
        if self.path.startswith("/search?"):
            server.asked.append(self.path)
            return self.answer(200, server.page)
        if server.asset_status != 200:
            return self.send_error(server.asset_status)
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = server.cog[int(first) : int(last) + 1]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(server.cog)}"
        return self.answer(206, part, {"Content-Range": span})

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay quiet."""


def make_cog() -> bytes:
    """A corner of zone 31 around the place that the doctor reads."""
    pixels = np.full((1024, 1024), 1234, np.uint16)
    options = {"driver": "COG", "dtype": "uint16", "count": 1, "crs": "EPSG:32631", "nodata": 0}
    options["transform"] = Affine(10, 0, 715_000, 0, -10, 5_510_000)
    with MemoryFile() as file:
        with file.open(height=1024, width=1024, compress="deflate", **options) as target:
            target.write(pixels, 1)
        return file.read()


@pytest.fixture
def api(socket_enabled):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.status = server.asset_status = 200
    server.asked, server.cog = [], make_cog()
    server.url = f"http://127.0.0.1:{server.server_port}"
    item = {
        "type": "Feature",
        "id": "S2B_T31UGR_20240601T103629_L2A",
        "collection": EARTH_SEARCH.s2_collection,
        "bbox": [5.7, 49.5, 7.3, 50.5],
        "properties": {
            "datetime": "2024-06-01T10:36:29Z",
            "proj:code": "EPSG:32631",
            "s2:processing_baseline": "05.10",
        },
        "assets": {key: {"href": f"{server.url}/cog.tif"} for key in EARTH_SEARCH.assets.values()},
    }
    server.item = item
    server.page = json.dumps({"type": "FeatureCollection", "features": [item]}).encode()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def profile_of(api, profile=EARTH_SEARCH):
    return replace(profile, url=api.url)


def test_a_provider_is_searched_signed_and_read(api):
    checks = list(provider.check_provider(profile_of(api)))

    assert [check.name for check in checks] == [
        "earth-search search",
        "earth-search sign",
        "earth-search read",
    ]
    assert {check.status for check in checks} == {"ok"}, checks
    assert "64 x 64 px of B04" in checks[2].message
    assert "100% with data" in checks[2].message
    assert "limit=1" in api.asked[0]


@pytest.mark.parametrize(
    ("status", "page", "words"),
    [
        (500, b"", "HTTP 500"),
        (200, b"<html>Log in</html>", "not with JSON"),
        (200, b'{"features": []}', "no sentinel-2-c1-l2a over Luxembourg"),
        (200, b'{"features": [{"collection": "x"}]}', "its collection is 'x'"),
        (200, b'{"features": ["a"]}', "AttributeError"),
    ],
)
def test_a_provider_that_answers_wrongly_is_a_fault(api, status, page, words):
    api.status, api.page = status, page

    (check,) = provider.check_provider(profile_of(api))

    assert (check.name, check.status) == ("earth-search search", "wrong")
    assert words in check.message


def test_a_provider_s_fault_is_the_doctor_s_exit_code(api, monkeypatch):
    api.status = 500
    monkeypatch.setattr(doctor_checks, "PROFILES", {"earth-search": profile_of(api)})

    result = invoke()

    assert result.exit_code == 1
    assert "\nWrong: earth-search search.\n" in result.output


def test_an_asset_that_is_refused_is_a_fault_of_reading(api):
    api.asset_status = 403

    *_, check = provider.check_provider(profile_of(api))

    assert (check.name, check.status) == ("earth-search read", "wrong")
    assert "HTTP 403" in check.message


def test_an_unreachable_provider_is_skipped_with_the_reason(socket_enabled, monkeypatch):
    nobody = replace(PLANETARY_COMPUTER, url="http://127.0.0.1:9")
    monkeypatch.setattr(doctor_checks, "PROFILES", {"planetary-computer": nobody})

    checks, code = checks_of()

    assert code == 0
    assert checks["planetary-computer search"]["status"] == "skipped"
    assert (
        "127.0.0.1 is unreachable: the connection was refused"
        in (checks["planetary-computer search"]["said"])
    )
    assert "planetary-computer S1 search" not in checks


def test_pixels_that_need_keys_are_skipped_by_the_keys_names(api):
    item = {
        **api.item,
        "collection": CDSE.s2_collection,
        "assets": {key: {"href": f"s3://eodata/{key}.jp2"} for key in CDSE.assets.values()},
    }
    api.page = json.dumps({"features": [item]}).encode()

    search, rest = provider.check_provider(profile_of(api, CDSE))

    assert search.status == "ok"
    assert rest.status == "skipped"
    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY are not set" in rest.message


def test_a_server_cannot_make_the_doctor_read_a_local_file(api, tmp_path):
    (tmp_path / "cog.tif").write_bytes(api.cog)
    assets = {key: {"href": str(tmp_path / "cog.tif")} for key in EARTH_SEARCH.assets.values()}
    api.page = json.dumps({"features": [{**api.item, "assets": assets}]}).encode()

    checks = list(provider.check_provider(profile_of(api)))

    assert [check.status for check in checks] == ["wrong"]
