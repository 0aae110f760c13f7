from .calibration import Reliability
from .crosswalk import load_crosswalk
from .evaluate import evaluate_map, evaluate_model
from .metrics import Evaluation
from .onnx_predictor import open_onnx_predictor
from .regions import Regions, load_regions
from .results import check_evaluation_folder, write_evaluation
from .sampling import check_sample_path, draw_sample, write_sample
from .scores import accuracy, confusion, iou, mean_f1, mean_iou
from .seams.search import SeamReport, find_seams

__all__ = [
    "Evaluation",
    "Regions",
    "Reliability",
    "SeamReport",
    "accuracy",
    "check_evaluation_folder",
    "check_sample_path",
    "confusion",
    "draw_sample",
    "evaluate_map",
    "evaluate_model",
    "find_seams",
    "iou",
    "load_crosswalk",
    "load_regions",
    "mean_f1",
    "mean_iou",
    "open_onnx_predictor",
    "write_evaluation",
    "write_sample",
]
