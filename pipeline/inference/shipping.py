"""What a worker on another machine needs for the runtime that was chosen here, and how it loads it there."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.bundle import Stored
from pipeline.inference.runtimes import Runtime, converted, kinds
from pipeline.inference.runtimes.converted import Calibration
from pipeline.inference.selection import Candidates

CACHE = "runtimes"  # in the worker's folder


def folders(name: str, candidates: Candidates) -> dict[str, Path]:
    """Folders to be sent, by their names in the worker's folder: the bundles, and the graphs made of them.

    Args:
      name: of the runtime, which was loaded here.
    """
    sent = {_place(number): member.folder for number, member in enumerate(candidates.members)}
    if name == kinds.KERAS:
        return sent
    made = [file.parent for file in candidates.cache.glob(f"[!.]*/{converted.MADE}")]
    digests = {member.card.model_digest[:16] for member in candidates.members}
    graphs = [graph for graph in made if graph.name.partition("-")[0] in digests]
    return sent | {f"{CACHE}/{graph.name}": graph for graph in graphs}


def loading(name: str, candidates: Candidates) -> Callable[[], Runtime]:
    """What loads the runtime in a working directory that has the folders; it can be sent, too."""
    calibration = replace(candidates.calibration, paths=[])  # what is fitted to them is sent, and not made there
    return partial(_load, name, len(candidates.members), calibration, candidates.batch_size, candidates.temperature)


def _load(name: str, members: int, calibration: Calibration, batch_size: int, temperature: float) -> Runtime:
    stored = [Stored(Path(_place(number))) for number in range(members)]
    return Candidates(stored, calibration, batch_size, Path(CACHE).absolute(), temperature).load(name)


def _place(number: int) -> str:
    return f"models/{number}"
