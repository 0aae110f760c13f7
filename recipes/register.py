"""Write ``models/registry.json``: the shipped models with their current sha256.

python recipes/register.py
"""

import hashlib
import json
from pathlib import Path

DEFAULT = "lulcformer-tiny-real"

SUMMARIES = {
    "lulcformer-tiny-real": "LULC-Former, 3.6 M parameters, taught by Dynamic World on real scenes",
    "lulcformer-tiny": "LULC-Former of the demo, trained on simulated landscapes only",
    "random-forest-simulated": "random forest on single pixels, the demo's baseline",
}


def main() -> None:
    """Hash the model files and write the registry."""
    folder = Path(__file__).parents[1] / "models"
    models = [
        {
            "name": name,
            "file": f"{name}.onnx",
            "sha256": hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest(),
            "card": f"{name}.md",
            "summary": summary,
        }
        for name, summary in SUMMARIES.items()
    ]
    text = json.dumps({"default": DEFAULT, "models": models}, indent=2)
    (folder / "registry.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
