"""What is written beside a map, and under which licence."""

from dataclasses import dataclass

from lulcmap.errors import UsageError


@dataclass(frozen=True, slots=True)
class Extras:
    """What is written beside the files of a map."""

    sidecars: bool = True
    """Whether style, names, STAC item and quick look are written beside each file."""

    license: str | None = None
    """Licence of the map, an SPDX expression; None states none."""

    layers: tuple[str, ...] = ()
    """Names of the layers that are written as further COGs: of ``LAYERS``."""


def checked_license(text: str) -> str:
    """A licence as SPDX spells it.

    Args:
        text: an SPDX id or expression, in any case.

    Raises:
        UsageError: it is none.

    Examples:
        >>> checked_license("cc-by-4.0")
        'CC-BY-4.0'

    """
    # Its list of licences takes longer to read than `lulcmap --help` does otherwise.
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        raise UsageError(
            f"--license is {text!r}; it takes an SPDX id such as CC-BY-4.0, CC0-1.0 or ODbL-1.0, "
            "or LicenseRef-<name> for another licence (https://spdx.org/licenses)."
        ) from None
