"""The same products at a second provider, for what the first cannot give.

Providers hand on ESA's products unchanged, as other files. So a scene of one provider may be read
from another that holds the same product: the pixels are the same, by each profile's own rules.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lulcmap.catalog.scene import Scene
from lulcmap.catalog.sources import CatalogSource
from lulcmap.errors import ProviderError

if TYPE_CHECKING:
    from lulcmap.catalog.found import FoundItem

FALLBACK_MEMBER = "lulcmap:fallback"
"""Member of a frozen ItemCollection that keeps the items of the second provider."""

_S2_PRODUCT = re.compile(
    r"(?P<datatake>S2[A-Z]_MSIL2A_\d{8}T\d{6})_(?:N\d{4}_)?"
    r"(?P<tile>R\d{3}_T\w{5})_(?P<processed>\d{8}T\d{6})(?:\.SAFE)?"
)
"""ESA's product names of Sentinel-2; the Planetary Computer's ids leave out the baseline N...."""

_S1_PRODUCT = re.compile(
    r"(?P<product>S1[A-Z]_IW_GRD[A-Z]_1S[A-Z]{2}_\d{8}T\d{6}_\d{8}T\d{6}_\d{6}_[0-9A-F]{6})(?:_.*)?"
)
"""Names of Sentinel-1 products, without their last four digits, which some providers leave out."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Scenes of the second provider."""

    sources: Mapping[str, CatalogSource]
    """The second provider, by sensor: ``"s2"``, ``"s1"`` or both."""

    scenes: tuple[Scene, ...]
    """Scenes that are the same product as one of the first provider."""

    items: tuple["FoundItem", ...]
    """Their items, in the same order."""


NO_FALLBACK = Fallback({}, (), ())
"""Without a second provider."""


def product_of(scene: Scene) -> tuple[str, ...]:
    """What two scenes share if they are one product: datatake, tile and processing.

    Args:
        scene: scene of any provider. Where neither its id nor its product is one of ESA's names,
            its id alone is the product: catalogues that mirror each other keep it.

    """
    if scene.sensor == "s1":
        match = _S1_PRODUCT.fullmatch(scene.id)
        return ("s1", scene.id if match is None else match["product"])
    for name in (scene.product, scene.id):
        match = _S2_PRODUCT.fullmatch(name or "")
        if match is not None:
            return "s2", match["datatake"], match["tile"], match["processed"]
    return "s2", scene.id


def pair(
    scenes: Iterable[Scene],
    others: Iterable["FoundItem"],
    sources: Mapping[str, CatalogSource],
) -> tuple[list[Scene], Fallback]:
    """Scenes, each with the scene of the second provider that is the same product.

    Args:
        scenes: scenes of the first provider.
        others: items of the second provider.
        sources: the second provider, by sensor.

    """
    twins = {product_of(item.scene): item for item in others}
    paired, used = [], list["FoundItem"]()
    for scene in scenes:
        twin = twins.get(product_of(scene))
        paired.append(scene if twin is None else replace(scene, twin=twin.scene))
        used += [] if twin is None else [twin]
    return paired, Fallback(sources, tuple(item.scene for item in used), tuple(used))


def first_that_answers(
    sensor: str,
    sources: dict[str, CatalogSource],
    fallback: dict[str, CatalogSource],
    ask: Callable[[CatalogSource, str], Any],
    notes: list[str],
) -> Any:
    """Ask the provider of a sensor, or the second one in its place if it does not answer.

    Args:
        sensor: the sensor.
        sources: the first provider, by sensor; the second takes its place if it is the one.
        fallback: the second provider, by sensor; without the sensor afterwards in that case.
        ask: searches a source for a sensor.
        notes: sentences for the report; written.

    Raises:
        ProviderError: neither answers.

    """
    try:
        return ask(sources[sensor], sensor)
    except ProviderError as error:
        if sensor not in fallback:
            raise
        answer = ask(fallback[sensor], sensor)
        first, sources[sensor] = sources[sensor], fallback.pop(sensor)
        notes.append(
            f"The scenes are those of {sources[sensor].name}, for {first.name} could not be "
            f"searched: {error}"
        )
        return answer


def fallback_items(
    sources: Mapping[str, CatalogSource],
    ask: Callable[[CatalogSource, str], Any],
    notes: list[str],
) -> list[Any]:
    """What a search of the second provider gives; nothing where it does not answer.

    Args:
        sources: the second provider, by sensor.
        ask: searches a source for a sensor.
        notes: sentences for the report; written.

    """
    items: list[Any] = []
    for sensor, source in sources.items():
        try:
            items += ask(source, sensor).items
        except ProviderError as error:
            notes.append(f"The fallback {source.name} could not be searched: {error}")
    return items


def note_on(fallback: Fallback, scenes: Sequence[Scene]) -> str:
    """A sentence on how many scenes the second provider has too."""
    names = " and ".join(sorted({source.name for source in fallback.sources.values()}))
    asked = [scene for scene in scenes if scene.sensor in fallback.sources]
    return (
        f"The fallback {names} holds {len(fallback.scenes):,} of {len(asked):,} scenes, as the "
        "same products."
    )
