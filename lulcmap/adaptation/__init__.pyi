from .adapting import Adaptation, adapt_model, fitted_head
from .catalogue import CatalogImagery
from .labels import Labels, read_labels
from .python import adapt
from .seen import SeenLabels, see_labels
from .windows import Imagery, KeptComposite, decoded

__all__ = [
    "Adaptation",
    "CatalogImagery",
    "Imagery",
    "KeptComposite",
    "Labels",
    "SeenLabels",
    "adapt",
    "adapt_model",
    "decoded",
    "fitted_head",
    "read_labels",
    "see_labels",
]
