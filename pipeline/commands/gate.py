"""`wallaby gate`: shows the verdict on the last round's model, and scores the champion again where that is needed."""

import numpy as np
import pandas as pd

from pipeline import bundle, sections
from pipeline.commands import Answer, existing
from pipeline.errors import Exit
from pipeline.evaluation import former, scores
from pipeline.evaluation.assessment import TOP_K
from pipeline.files import read_json, read_table, write_table
from pipeline.library import classes, labels, mounts
from pipeline.library.classes import Classes
from pipeline.repository import dvc
from pipeline.serving import champions
from pipeline.workspace import Workspace

CODES = {"pass": Exit.DONE, "fail": Exit.GATE_FAILED, "investigate": Exit.INVESTIGATE}


def gate(workspace: Workspace, *, html: bool = False) -> Answer:
    """Shows the gate's verdict, and records it in MLflow.

    Args:
      html: the answer names the page, too.

    Returns:
      Its code is 0, 4 or 7, as the verdict is.

    Raises:
      DataError: if the round has not come this far.
    """
    verdict = read_json(workspace.verdict)
    record_verdict(workspace)
    text = f"{verdict['verdict']}: {verdict['reason']}"
    if html:
        page = existing(workspace.gate / "index.html").resolve().as_uri()
        verdict, text = verdict | {"page": page}, f"{text}\nlook at {page}"
    return Answer(verdict, text, CODES[verdict["verdict"]])


def record_verdict(workspace: Workspace) -> bool:
    """Records in MLflow the gate's verdict on the last round's model, which the stage, being light, could not.

    Returns:
      False where there is nothing to record: no verdict on this model, or a run that the store does not have.
    """
    if not workspace.verdict.exists() or not (workspace.model / bundle.CARD).exists():
        return False
    verdict, card = read_json(workspace.verdict), bundle.check(workspace.model)
    if verdict.get("model") != card.model_digest:
        return False
    from pipeline.tracking import Tracking

    return Tracking(workspace.home).tag(card.run_id, {"gate": verdict["verdict"], "gate_reason": verdict["reason"]})


def rescore(workspace: Workspace) -> Answer:
    """Scores the champion on today's images except the training set; its stored scores may be missing or old.

    An interrupted call goes on where it ended.
    """
    from pipeline.inference import outputs
    from pipeline.inference.runtimes.keras import KerasRuntime

    splits = read_table(workspace.splits_table)
    rows, work, folders = splits[splits["set"] != "train"], workspace.cache("rescore"), workspace.folders
    champion, batch_size = bundle.load(workspace.released), workspace.params(sections.Evaluate).batch_size
    with mounts.watched(rows["image"], folders):
        found = outputs.complete(
            work / "outputs",
            rows["sha256"],
            [labels.locate(image, folders) for image in rows["image"]],
            runtime=KerasRuntime(champion, batch_size),
            batch_size=batch_size,
        )
    events = classes.read(workspace.classes)
    scored = by_todays_names(rows, scores.probs_of(found.log_probs[:]), champion.classes, events, top_k=TOP_K)
    earlier = champions.former_scores(workspace.released, workspace.champions)
    write_table(scored.assign(model=champion.card.model_digest), workspace.released / champions.SCORES)
    if len(earlier):
        write_table(earlier, workspace.released / former.FILE)
    dvc.track(workspace.root, workspace.released)
    number = len(scored)
    return Answer({"images": number}, f"the champion was scored on {number} images; next: dvc repro gate")


def by_todays_names(
    rows: pd.DataFrame, probs: np.ndarray, names: list[str], events: Classes, *, top_k: int
) -> pd.DataFrame:
    """Scores images by what their classes are called today; classes that were merged are one.

    Args:
      rows: N rows of the splits table.
      probs: calibrated probabilities (N, C).
      names: of the C classes, as the model calls them.
      events: the class events.

    Returns:
      As `scores.score`.
    """
    codes, today = pd.factorize(events.names(pd.Series(names, dtype=str)))
    merged = np.stack([probs[:, codes == code].sum(axis=1) for code in range(len(today))], axis=1)
    return scores.score(rows, merged, list(today), top_k=top_k)
