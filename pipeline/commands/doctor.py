"""Examines data, base and params before a long training."""

from pipeline import bundle, sections
from pipeline.commands import Answer
from pipeline.errors import Exit
from pipeline.files import read_table
from pipeline.training import doctor, examination
from pipeline.workspace import Workspace


def examine(workspace: Workspace, *, quick: bool) -> Answer:
    """Runs the doctor's checks on the next round's training; a failed one is bad data.

    Args:
      quick: leaves out the two checks that train for a while.

    Raises:
      DataError: if the data sets or the base are missing, or the base does not fit its card.
    """
    rows, stored = read_table(workspace.splits_table), bundle.Stored(workspace.base)
    findings = examination.examine(
        stored,
        rows,
        workspace.params(sections.Train),
        preset_size=workspace.preset_size(stored.card.preset),
        folders=workspace.folders,
        work=workspace.cache("doctor"),
        quick=quick,
    )
    failed = any(finding.verdict == doctor.FAIL for finding in findings)
    return Answer({"passed": not failed, "findings": findings}, code=Exit.DATA if failed else Exit.DONE)
