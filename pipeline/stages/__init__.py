"""The stages of a round, one file per stage: `compute` is pure, `main(workspace)` reads, computes and writes."""

import resource
import sys
import time
from collections.abc import Callable

from pipeline import errors
from pipeline.files import read_json, write_json
from pipeline.workspace import Workspace


def run(name: str, main: Callable[[Workspace], None]) -> None:
    """Runs a stage as a program: in the workspace of the working directory, with the documented exit codes.

    What it took is noted for `wallaby` and `wallaby upgrade`, outside an experiment.
    """

    def timed() -> None:
        workspace, started = Workspace.find(), time.monotonic()
        main(workspace)
        if not workspace.throwaway:
            note_cost(workspace, name, time.monotonic() - started)

    errors.run(timed)


def note_cost(workspace: Workspace, name: str, seconds: float) -> None:
    """Notes the wall seconds and the peak memory of a stage in `.wallaby/costs.json`."""
    path = workspace.cache("costs.json")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    costs = read_costs(workspace) | {name: {"seconds": round(seconds, 1), "gigabytes": round(peak / 1e9, 2)}}
    write_json(costs, path)


def read_costs(workspace: Workspace) -> dict[str, dict[str, float]]:
    """What each stage took when it ran last on this machine: `seconds` and `gigabytes` of memory at its peak."""
    path = workspace.cache("costs.json")
    try:
        return read_json(path) if path.exists() else {}
    except errors.DataError:  # cut short: it is a note, and is made again
        return {}
