"""The run folder: what a run has frozen and finished, who works on it, and how far it is."""

from lulcmap.run.beat import Beat
from lulcmap.run.folder import BANDS, Number, RunFolder
from lulcmap.run.shard import Shard
from lulcmap.run.status import RunStatus, status
from lulcmap.run.work import beat, planning, work

__all__ = [
    "BANDS",
    "Beat",
    "Number",
    "RunFolder",
    "RunStatus",
    "Shard",
    "beat",
    "planning",
    "status",
    "work",
]
