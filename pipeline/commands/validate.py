"""`wallaby validate`: looks whether stored predictions are whole and consistent."""

from pathlib import Path

from pipeline.commands import Answer
from pipeline.errors import Exit
from pipeline.inference import validation
from pipeline.workspace import Workspace

FAULTS_SHOWN = 20


def validate(workspace: Workspace, path: Path | None = None) -> Answer:
    """Counts the predictions of a store, and names what is wrong with them.

    Args:
      path: the store's folder or one of its files; by default the last round's.

    Returns:
      Its code is 3 if something is wrong.
    """
    path = path or workspace.predictions
    counts, faults = validation.validate(path)
    lines = [str(fault) for fault in faults[:FAULTS_SHOWN]]
    if len(faults) > FAULTS_SHOWN:
        lines.append(f"... {len(faults) - FAULTS_SHOWN} more")
    total = f"{counts['pool']} = " + " + ".join(f"{counts[name]} {name}" for name in list(counts)[1:])
    text = "\n".join([*lines, f"{path}: {total}"])
    return Answer(counts | {"faults": faults}, text, Exit.DATA if faults else Exit.DONE)
