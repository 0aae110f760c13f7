"""Opens a raster in QGIS and writes its renderer as JSON; run by the Python of QGIS."""

import json
import sys

from qgis.core import QgsApplication, QgsRasterLayer

application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1], "map")
renderer = layer.renderer()
classes = renderer.classes() if renderer.type() == "paletted" else []
said = {
    "valid": layer.isValid(),
    "renderer": renderer.type(),
    "classes": [[int(each.value), each.label, each.color.name()] for each in classes],
}
sys.stdout.write(json.dumps(said))
