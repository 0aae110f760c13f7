"""All commands, as one group."""

import click

from lulcmap.cli.adapt import adapt
from lulcmap.cli.app import Group
from lulcmap.cli.areas import areas
from lulcmap.cli.change import change
from lulcmap.cli.clean import clean
from lulcmap.cli.dataset import dataset
from lulcmap.cli.demo import demo
from lulcmap.cli.doctor import doctor
from lulcmap.cli.evaluate import evaluate
from lulcmap.cli.export import export_onnx
from lulcmap.cli.label_sample import label
from lulcmap.cli.models import models
from lulcmap.cli.plan import plan
from lulcmap.cli.polygons import polygons
from lulcmap.cli.predict import predict
from lulcmap.cli.runs import assemble, status
from lulcmap.cli.sample import sample
from lulcmap.cli.seams import seams
from lulcmap.cli.stac import stac
from lulcmap.cli.train import train
from lulcmap.cli.view import view


@click.group(cls=Group, context_settings={"show_default": True, "max_content_width": 100})
@click.version_option(package_name="lulcmap", prog_name="lulcmap")
def main() -> None:
    """National land-cover maps from Sentinel-1 and Sentinel-2.

    \b
        lulcmap demo                                          try it offline
        lulcmap predict --aoi country.geojson --year 2024     make a map
    """


for command in (
    *(predict, plan, status, assemble, seams, demo),
    *(view, areas, change, clean, polygons, stac),
    *(dataset, train, adapt, evaluate, sample, label, export_onnx, models, doctor),
):
    main.add_command(command)
