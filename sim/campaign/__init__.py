"""Monte-Carlo campaigns: networks on devices, under the faults of many chips at many conditions.

A campaign is a TOML file (`docs/campaigns.md`). It expands to content-addressed units; those whose
row is in the store are never computed again, so a killed run goes on where it stopped. The same
chips are drawn under every condition and faults nest in the rate, so points are paired.
"""

from .agenda import Agenda
from .conditions import Errors, Victims, VictimSets, from_rates
from .jobs import Job, Task, make
from .plan import Campaign, load
from .run import Outcome, Progress, run
from .sources import code_sha256
from .stop_rule import StopRule, fixed
from .trial import confusion_matrix
from .workers import run_workers

__all__ = [
    "Agenda",
    "Campaign",
    "Errors",
    "Job",
    "Outcome",
    "Progress",
    "StopRule",
    "Task",
    "VictimSets",
    "Victims",
    "code_sha256",
    "confusion_matrix",
    "fixed",
    "from_rates",
    "load",
    "make",
    "run",
    "run_workers",
]
