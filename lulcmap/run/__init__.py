"""The run folder: what a run has frozen and finished, who works on it, and how far it is."""

from lulcmap.run.access import beat, planning, work
from lulcmap.run.folder import BANDS, Number, RunFolder
from lulcmap.run.heartbeat import Beat
from lulcmap.run.shard import Shard
from lulcmap.run.status import RunStatus, status

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
