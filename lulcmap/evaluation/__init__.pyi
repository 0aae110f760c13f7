from .calibration import Reliability
from .chips import measure_temperature
from .classmap import CHANGE_TAG, ClassMap, open_class_map, transformer
from .compare import compare_maps, compare_models
from .comparison import Comparison
from .crosswalk import load_crosswalk
from .evaluate import evaluate_map, evaluate_model
from .metrics import Evaluation
from .olofsson import Estimate, estimate_adjusted
from .onnx_predictor import Prediction, Predictor, open_onnx_predictor
from .paired import PairedCounts, PairedPlace, paired_intervals, scores_of
from .pixel_area import pixel_areas, pixel_lonlat
from .points import SamplePoints, read_points
from .regions import Regions, load_regions
from .results import check_evaluation_folder, write_comparison, write_evaluation
from .sampling import check_sample_path, draw_sample, write_sample
from .scores import accuracy, confusion, iou, mean_f1, mean_iou
from .seams.search import SeamReport, find_seams
from .stratified import AREA, STRATUM
from .temperature import LogitSample, calibration_error, fit_temperature
from .vectors import load_features

__all__ = [
    "AREA",
    "CHANGE_TAG",
    "STRATUM",
    "ClassMap",
    "Comparison",
    "Estimate",
    "Evaluation",
    "LogitSample",
    "PairedCounts",
    "PairedPlace",
    "Prediction",
    "Predictor",
    "Regions",
    "Reliability",
    "SamplePoints",
    "SeamReport",
    "accuracy",
    "calibration_error",
    "check_evaluation_folder",
    "check_sample_path",
    "compare_maps",
    "compare_models",
    "confusion",
    "draw_sample",
    "estimate_adjusted",
    "evaluate_map",
    "evaluate_model",
    "find_seams",
    "fit_temperature",
    "iou",
    "load_crosswalk",
    "load_features",
    "load_regions",
    "mean_f1",
    "mean_iou",
    "measure_temperature",
    "open_class_map",
    "open_onnx_predictor",
    "paired_intervals",
    "pixel_areas",
    "pixel_lonlat",
    "read_points",
    "scores_of",
    "transformer",
    "write_comparison",
    "write_evaluation",
    "write_sample",
]
