"""Validation of STAC items and collections without a network.

pystac has the schemas of STAC itself; those of the extensions that lulcmap writes are restated
here, as far as its items use them, from the tables of their specifications.
"""

import copy
from collections.abc import Mapping
from typing import Any

import pystac
from pystac.validation import set_validator
from pystac.validation.stac_validator import JsonSchemaSTACValidator

_HOME = "https://stac-extensions.github.io"
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_TEXT = {"type": "string"}

_CLASSES = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {
        "type": "object",
        "required": ["value", "name"],
        "properties": {
            "value": {"type": "integer"},
            "name": {"type": "string", "pattern": "^[0-9A-Za-z_-]+$"},
            "title": _TEXT,
            "description": _TEXT,
            "color_hint": {"type": "string", "pattern": "^([0-9A-F]{6})$"},
            "nodata": {"type": "boolean"},
        },
    },
}

_FIELDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "classification": ("v2.0.0", {"classification:classes": _CLASSES}),
    "file": (
        "v2.1.0",
        {
            "file:size": {"type": "integer", "minimum": 0},
            "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
        },
    ),
    "processing": (
        "v1.2.0",
        {
            "processing:level": _TEXT,
            "processing:lineage": _TEXT,
            "processing:software": {"type": "object", "additionalProperties": _TEXT},
        },
    ),
    "projection": (
        "v2.0.0",
        {
            "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9]+$"},
            "proj:wkt2": {"type": ["string", "null"]},
            "proj:bbox": {**_NUMBERS, "minItems": 4, "maxItems": 4},
            "proj:transform": {**_NUMBERS, "minItems": 6, "maxItems": 9},
            "proj:shape": {
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 2,
                "maxItems": 2,
            },
        },
    ),
    "raster": (
        "v2.0.0",
        {
            "raster:sampling": {"enum": ["area", "point"]},
            "raster:spatial_resolution": {"type": "number"},
            "raster:scale": {"type": "number"},
            "raster:offset": {"type": "number"},
        },
    ),
}
"""By extension, its version and its fields; it may have no others."""


def validate(values: Mapping[str, Any], href: str | None = None) -> None:
    """Validate an item or a collection, and its extensions, as pystac does.

    Raises:
        pystac.STACValidationError: it is not valid.

    """
    validator = JsonSchemaSTACValidator()
    for name, (version, fields) in _FIELDS.items():
        uri = f"{_HOME}/{name}/{version}/schema.json"
        validator.schema_cache[uri] = _schema(name, fields)
    set_validator(validator)
    pystac.read_dict(copy.deepcopy(dict(values)), href=href).validate()


def _schema(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    prefix = {"projection": "proj"}.get(name, name)
    known = {
        "type": "object",
        "properties": dict(fields),
        "patternProperties": {f"^(?!{prefix}:)": {}},
        "additionalProperties": False,
    }
    of_assets = {"type": "object", "additionalProperties": known}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["stac_extensions"],
        "properties": {
            "properties": known,
            "assets": {
                "type": "object",
                "additionalProperties": {
                    "allOf": [known, {"properties": {"bands": {"type": "array", "items": known}}}]
                },
            },
            "item_assets": of_assets,
        },
    }
