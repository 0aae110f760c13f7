"""The devices that a model runs on, by the names that users give."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
"""Where a model runs: cpu and cuda in ONNX Runtime, tensorrt on a GPU in TensorRT, openvino on the
CPU in OpenVINO; auto is cuda, or else cpu."""
