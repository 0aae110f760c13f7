"""What is said of the model: its contract's texts and its card."""

from lulcmap.model.dynamic_world.release import COMMIT, DYNAMIC_WORLD, REPOSITORY

_ATTRIBUTION = " ".join(DYNAMIC_WORLD.notice.split())

QUALITY = (
    "is Google's Dynamic World network behind a model of the atmosphere: Sentinel-2 only, a second "
    "opinion, good on towns, weak under low sun and in haze"
)

ORIGIN = {
    "source": f"{REPOSITORY}, model/forward, commit {COMMIT}",
    "license": "Apache-2.0",
    "notice": _ATTRIBUTION,
    "changed": "weights as released, batch normalisation folded into the convolutions; in front of "
    "them lulcmap's atmosphere (6SV 1.1, aerosol 0.1, water vapour 1.5 cm, ozone 0.30 cm-atm)",
}
"""Where the weights come from and what was done to them."""

CARD = f"""\
# {DYNAMIC_WORLD.name}

The network of Google's Dynamic World (Brown et al. 2022, doi 10.1038/s41597-022-01307-4), made a
model of lulcmap on this machine by `lulcmap models add {DYNAMIC_WORLD.name}`.

**A second opinion, from Sentinel-2 alone: good on towns, weak under low sun and in haze.** lulcmap
did not train it.

## Licence

Apache License 2.0; the text is in `LICENSE` beside this file. NOTICE of the repository
{REPOSITORY}:

> {_ATTRIBUTION}

Changed by lulcmap: the released weights (commit {COMMIT}) are
re-expressed as ONNX, with batch normalisation folded into the convolutions; the atmosphere, the
filling of missing pixels and lulcmap's contract are put in front. Whoever passes the file on passes
on `LICENSE`, `NOTICE` and this card with it. It is no product of Google, and its maps are not those
that Google publishes as Dynamic World, which are made of L1C, with clouds masked by other means.

## What it does

- It takes nine bands of Sentinel-2 L2A and the sun's angle from the zenith. The network learnt from
  L1C, so an atmosphere leads back from the surface to what the satellite saw. It is fitted to 6SV
  1.1 (continental aerosol of optical thickness 0.1, 1.5 cm of water vapour, 0.30 cm-atm of
  ozone, sea level).
- The sun matters. With each scene's own sun, classes agree with those of the network on the same
  scene's L1C on 0.90 of a Danish scene in October (sun 71 degrees from the zenith) and 0.94 of one
  of Punjab in June (16 degrees); with a sun of 40 degrees for both, on 0.41 and 0.92.
- A pixel that lacks a band is shown to it as the mean of what is seen in the 31 x 31 pixels around.
- It gives a class of every pixel of 10 m. Its probabilities are soft: confidence is low where the
  map is right.

## How good it is

| | agrees with labels | right on what is plain to see |
| --- | --- | --- |
| this network, with a sun of 40 degrees, on scenes kept for judging | 0.68 | 0.79 |
| `lulcformer-tiny-real` version 1 on the same scenes | 0.50 | 0.66 |

On parts of other real scenes told by eye, with the sun of the day, it is right on 0.90 to 1.00 of
what is built, 0.91 to 0.99 of the trees, 0.82 to 0.96 of the crops, 0.81 to 0.99 of the water, and
0.42 to 0.52 of the flooded vegetation (one place).

## Where it fails

- A sun more than 65 degrees from the zenith: dark fields become trees and water. The atmosphere
  ends at 78 degrees; lower suns are taken as that.
- Haze and cloud become snow.
- Fallows of the dry season (shrub, trees), forest under snow, grass against crops. Towns come out
  swollen, and a lone house or a field of few pixels is lost: it reads texture.
- Composites of a year: it learnt from single dates.
- Sentinel-1 is not used.

Do not judge other maps by it, nor use it where a wrong class has consequences, without a look at
the land.
"""
