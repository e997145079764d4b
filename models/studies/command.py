"""The command behind `make study`."""

import argparse
import json
import logging
import sys
from pathlib import Path

from ...sim.container import kit_version, write_whole
from ...sim.exceptions import StoicError
from .plan import load_study, study_names
from .run import run


def main() -> None:
    """Run one study."""
    parser = argparse.ArgumentParser(prog="python -m stoic.models.studies", description=__doc__)
    parser.add_argument("study", help=f"one of {', '.join(study_names())}")
    parser.add_argument("--json", type=Path, required=True, help="where results go")
    parser.add_argument(
        "--nets", type=Path, default=Path("build/studies"), help="where networks are"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--data-root", type=Path, help="folder of data sets")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        study = load_study(given.study)
        rows = run(study, given.nets, given.workers, given.data_root)
    except StoicError as error:
        sys.stderr.write(f"stoic: {error}\n")
        sys.exit(2)
    result = {
        "study": study.name,
        "command": f"make study STUDY={study.name}",
        "kit_version": kit_version(),
        "title": study.title,
        "claim": study.claim,
        "protocol": study.protocol,
        "measure": vars(study.measure),
        "seeds": {
            "training": sorted({net.seed for net in study.nets}),
            "chips": study.measure.seed,
        },
        "rows": rows,
    }
    write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
