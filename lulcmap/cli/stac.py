"""``lulcmap stac``: a STAC collection of the maps in a folder."""

from pathlib import Path

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, in_line, note_lost_output


@click.command(cls=Command, short_help="Write a STAC collection of the maps in a folder.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--title", help="Title of the collection.  [default: what the maps show]")
@json_option
def stac(*, folder: Path, title: str | None, as_json: bool) -> None:
    """Write FOLDER/collection.json, a STAC collection of the maps in FOLDER.

    \b
        lulcmap predict --aoi laos.geojson --year 2023 --out maps/laos-2023.tif
        lulcmap predict --aoi laos.geojson --year 2024 --out maps/laos-2024.tif
        lulcmap stac maps

    Each map has its STAC item beside it, such as laos-2024.json; the collection lists them, and
    they link back to it. All links are names of files, so the folder can be copied anywhere. Run
    it again after another map.
    """
    import json

    from lulcmap.products import write_collection

    made = write_collection(folder, title=title)
    for note in made.notes:
        echo(f"Note: {in_line(note)}", err=True)
    if as_json:
        echo(json.dumps(made.to_json()))
    else:
        count = len(made.items)
        echo(f"Wrote {made.path}: {count} map{'' if count == 1 else 's'}.")
    note_lost_output()
