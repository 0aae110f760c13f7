"""The legend of a map for programs: a style of QGIS, and category names and a table for GDAL.

A GeoTIFF has no place for category names, and GDAL before 3.11 none for a raster attribute table;
every version reads both from ``<map>.aux.xml``.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from lulcmap.legend import LandCover

_QGIS = "3.22.0"
"""Version of QGIS whose style is written; later ones read it."""

_COLUMNS = (
    *(("Value", 0, 5), ("Class", 2, 2)),
    *(("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8), ("Alpha", 0, 9)),
)
"""Name, type (0 whole number, 2 text) and usage of each column of GDAL's attribute table."""


def qgis_style(legend: Sequence[LandCover]) -> str:
    """The style of a map as QGIS 3 reads it from ``<map>.qml``: the classes, names and colours."""
    entries = "\n".join(
        f'        <paletteEntry value="{cover.id}" color="#{cover.colour.lower()}" alpha="255" '
        f"label={quoteattr(cover.name)}/>"
        for cover in legend
    )
    return f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="{_QGIS}" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <rasterTransparency/>
      <colorPalette>
{entries}
      </colorPalette>
    </rasterrenderer>
    <brightnesscontrast brightness="0" contrast="0" gamma="1"/>
    <huesaturation saturation="0" grayscaleMode="0" colorizeOn="0"/>
    <rasterresampler maxOversampling="1"/>
  </pipe>
  <blendMode>0</blendMode>
</qgis>
"""


def gdal_names(legend: Sequence[LandCover]) -> str:
    """Category names and raster attribute table of a map as GDAL reads them from ``.aux.xml``."""
    names = {cover.id: cover.name for cover in legend}
    categories = "\n".join(
        f"      <Category>{escape(names.get(value, ''))}</Category>"
        for value in range(max(names) + 1)
    )
    columns = "\n".join(
        f'      <FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type>'
        f"<Usage>{usage}</Usage></FieldDefn>"
        for i, (name, kind, usage) in enumerate(_COLUMNS)
    )
    rows = "\n".join(
        f'      <Row index="{i}">'
        + "".join(f"<F>{escape(str(v))}</F>" for v in (cover.id, cover.name, *cover.rgb, 255))
        + "</Row>"
        for i, cover in enumerate(legend)
    )
    return f"""<PAMDataset>
  <PAMRasterBand band="1">
    <CategoryNames>
{categories}
    </CategoryNames>
    <GDALRasterAttributeTable tableType="thematic">
{columns}
{rows}
    </GDALRasterAttributeTable>
  </PAMRasterBand>
</PAMDataset>
"""
