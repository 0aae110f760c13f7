"""Where a product may be written: its ending, what is there already, and what must stay."""

import importlib
from collections.abc import Callable, Collection
from pathlib import Path

from lulcmap.errors import OutputError, UsageError
from lulcmap.system import check_destination, check_ours

PACKAGES = {".xlsx": "openpyxl", ".parquet": "pyarrow", ".fgb": "pyarrow"}
"""Package that writes a format, by ending, where not every installation has it."""


def check_format(out: Path, endings: Collection[str]) -> None:
    """Check that a file's ending names a format that can be written.

    Args:
        out: path of the file.
        endings: endings of the formats, in lower case.

    Raises:
        UsageError: it is none of them, or the package that writes it is missing.

    """
    ending = out.suffix.lower()
    if ending not in endings:
        raise UsageError(
            f"{out} ends in {out.suffix or 'nothing'}; the format is told by the ending, one of "
            f"{', '.join(endings)}."
        )
    package = PACKAGES.get(ending)
    if package is not None:
        try:
            importlib.import_module(package)
        except ImportError as error:
            others = [other for other in endings if other not in PACKAGES]
            raise UsageError(
                f"{ending} needs {package}, which is not installed: pip install 'lulcmap[areas]'. "
                f"Or write a {others[0]} file."
            ) from error


def check_product(
    out: Path,
    is_ours: Callable[[Path], bool],
    *,
    kind: str,
    overwrite: bool,
    option: str = "--out",
    inputs: Collection[Path] = (),
    beside: Collection[str] = (),
) -> None:
    """Check that a product may be written, before the work begins.

    Args:
        out: path of the file.
        is_ours: tells whether a file there is such a product, which may be replaced.
        kind: what it is, for the message.
        overwrite: whether such a product may be replaced.
        option: option that names the file, for the message.
        inputs: paths of files that are read, and must stay.
        beside: endings of the files that are written beside it.

    Raises:
        OutputError: the file exists, is an input or another program's, or cannot be written.

    """
    check_destination(out, option=option, beside=beside)
    if out.resolve() in {path.resolve() for path in inputs}:
        raise OutputError(f"{out} is one of the files that are read. Change {option}.")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists. Give --overwrite to replace it, or change {option}.")
    check_ours(out, is_ours, kind=kind, option=option)
