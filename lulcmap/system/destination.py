"""Where results are written: names and folders that cannot work, and files that are not lulcmap's.

Every command asks here before its work begins, so that a map of hours does not fail at its last
step, and so that ``--overwrite`` replaces only what lulcmap wrote.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from lulcmap.errors import OutputError

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9+._-]+:|/vsi|\\\\[?.]\\", re.IGNORECASE)
"""Beginnings of names that are no paths to GDAL or to a URL library: ``zip:``, ``s3://``,
``/vsimem/``. A single letter and a colon is a drive of Windows."""

_MAX_NAME_BYTES = 255
"""Longest name of a file where the system does not say."""


def check_destination(
    out: Path,
    *,
    option: str = "--out",
    folder: bool = False,
    parents: bool = False,
    beside: Iterable[str] = (),
) -> None:
    """Check that a file or folder can be written to a path.

    Args:
        out: path of the file or folder.
        option: option that names it, for the message.
        folder: whether it is a folder, made if it is missing.
        parents: whether missing folders around it are made.
        beside: endings of the files that are written beside it, ``<out><ending>``.

    Raises:
        OutputError: it cannot; nothing is written.

    """
    try:
        _check_name(out, option)
        _check_kind(out, option, folder=folder)
        place = out.absolute().parent
        if parents:
            place = next(near for near in (place, *place.parents) if os.path.lexists(near))
            if not place.is_dir():
                raise OutputError(
                    f"{out} cannot be written: {place} is no folder. Change {option}."
                )
        elif not place.is_dir():
            raise OutputError(f"No folder {out.parent}. Make it, or change {option}.")
    except OSError as error:  # a path too long, or of links in a circle
        raise OutputError(
            f"{out} cannot be reached ({error.strerror or error}). Change {option}."
        ) from error
    if not os.access(place, os.W_OK):
        raise OutputError(f"The folder {out.parent} is not writable. Change {option}.")
    _check_length(out, place, option, beside)


def check_ours(
    path: Path, is_ours: Callable[[Path], bool], *, kind: str, option: str = "--out"
) -> None:
    """Check that nothing is lost at a path but what lulcmap wrote: it has another file's place.

    Args:
        path: path of the file or folder that may be replaced.
        is_ours: tells whether an existing one is of the kind that lulcmap writes there.
        kind: the kind, for the message, such as ``"a map"``.
        option: option that names it, for the message.

    Raises:
        OutputError: something else is there; it is not replaced, not with ``--overwrite`` either.

    """
    if not os.path.lexists(path):
        return
    try:
        if is_ours(path):
            return
    except OSError as error:
        raise OutputError(
            f"{path} exists and cannot be read ({error.strerror or error}). Change {option}."
        ) from error
    raise OutputError(
        f"{path} exists and is not {kind} made by lulcmap; --overwrite does not replace it. Change "
        f"{option}, or move it away."
    )


def _check_name(out: Path, option: str) -> None:
    text = str(out)
    if text == "-":
        raise OutputError(f"{option} is -; it takes the name of a file. Nothing goes to stdout.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise OutputError(
            f"{option} is {text!r}: it holds control characters, or bytes that are no text. Choose "
            "a plain name."
        )
    prefix = _PREFIX.match(text)
    if prefix is not None:
        raise OutputError(
            f"{option} is {text}; it takes a path on this machine, not a URL or an archive "
            f"({prefix[0]}). Write to a folder, then copy the file."
        )


def _check_kind(out: Path, option: str, *, folder: bool) -> None:
    if folder and os.path.lexists(out) and not out.is_dir():
        raise OutputError(f"{out} is no folder; {option} takes the name of one. Change {option}.")
    if not folder and out.is_dir():
        raise OutputError(f"{out} is a folder; {option} takes the name of a file.")
    if not folder and os.path.lexists(out) and not out.is_file():
        what = "a link to nothing" if out.is_symlink() and not out.exists() else "no plain file"
        raise OutputError(f"{out} is {what}. Change {option}.")


def _check_length(out: Path, place: Path, option: str, beside: Iterable[str]) -> None:
    most = _MAX_NAME_BYTES
    if hasattr(os, "pathconf"):
        with suppress(OSError, ValueError):
            most = os.pathconf(place, "PC_NAME_MAX")
    longest = max((len(os.fsencode(ending)) for ending in beside), default=0)
    length = len(os.fsencode(out.name))
    if length + longest > most:
        raise OutputError(
            f"The name of {option} has {length} bytes; {place} allows {most}, and files beside it "
            f"need {longest} more. Choose a name of at most {most - longest} bytes."
        )
