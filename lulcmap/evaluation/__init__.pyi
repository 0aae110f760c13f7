from .calibration import Reliability
from .crosswalk import load_crosswalk
from .judging import judge_map, judge_model
from .metrics import Evaluation, evaluation_json
from .onnx_predictor import onnx_predictor_of
from .regions import Regions, load_regions
from .results import check_evaluation_folder, write_evaluation
from .sampling import check_sample_path, draw_sample, write_sample
from .scores import accuracy, confusion, iou, mean_f1, mean_iou
from .seams.search import find_seams

__all__ = [
    "Evaluation",
    "Regions",
    "Reliability",
    "accuracy",
    "check_evaluation_folder",
    "check_sample_path",
    "confusion",
    "draw_sample",
    "evaluation_json",
    "find_seams",
    "iou",
    "judge_map",
    "judge_model",
    "load_crosswalk",
    "load_regions",
    "mean_f1",
    "mean_iou",
    "onnx_predictor_of",
    "write_evaluation",
    "write_sample",
]
