from .calibration import Reliability
from .chips import measure_temperature
from .classmap import CHANGE_TAG, ClassMap, open_class_map, transformer
from .compare import compare_maps, compare_models
from .comparison import Comparison
from .crosswalk import load_crosswalk
from .design import DESIGN, DRAWN
from .evaluate import evaluate_map, evaluate_model
from .metrics import Evaluation
from .olofsson import Estimate, estimate_adjusted
from .onnx_predictor import Prediction, Predictor, open_onnx_predictor
from .paired import PairedCounts, PairedPlace, paired_intervals, scores_of
from .pixel_area import pixel_areas, pixel_lonlat
from .points import SamplePoints, read_points
from .regions import Regions, load_regions
from .results import check_evaluation_folder, write_comparison, write_evaluation
from .sample_file import (
    ANSWERS,
    DRAWN_LAYER,
    SAMPLE_LAYER,
    check_sample_path,
    write_sample,
    write_training_sample,
)
from .sampling import MapSample, draw_sample
from .scores import accuracy, confusion, iou, mean_f1, mean_iou
from .seams.search import SeamReport, find_seams
from .stratified import AREA, STRATUM
from .temperature import LogitSample
from .training_sample import TrainingSample, draw_training_sample
from .vectors import load_features

__all__ = [
    "ANSWERS",
    "AREA",
    "CHANGE_TAG",
    "DESIGN",
    "DRAWN",
    "DRAWN_LAYER",
    "SAMPLE_LAYER",
    "STRATUM",
    "ClassMap",
    "Comparison",
    "Estimate",
    "Evaluation",
    "LogitSample",
    "MapSample",
    "PairedCounts",
    "PairedPlace",
    "Prediction",
    "Predictor",
    "Regions",
    "Reliability",
    "SamplePoints",
    "SeamReport",
    "TrainingSample",
    "accuracy",
    "check_evaluation_folder",
    "check_sample_path",
    "compare_maps",
    "compare_models",
    "confusion",
    "draw_sample",
    "draw_training_sample",
    "estimate_adjusted",
    "evaluate_map",
    "evaluate_model",
    "find_seams",
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
    "write_training_sample",
]
