"""Stage gate: candidate against champion on the benchmarks. Records its verdict and ends with 0, whatever it is."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import bundle, errors, sections, stages
from pipeline.evaluation import gate, paired_scores
from pipeline.evaluation.ensembling import is_ensemble
from pipeline.evaluation.gate import Comparison, Verdict
from pipeline.files import read_json, read_table, write_csv, write_json, write_text
from pipeline.library import classes, labels, lineage
from pipeline.library.classes import Classes
from pipeline.pages import gate as gate_page
from pipeline.pages import picture_uri
from pipeline.workspace import Workspace

SCORES = "scores.parquet"
AGAIN = "run `dvc repro --force evaluate`"
RESCORE = "`wallaby gate --rescore` scores the champion again"
COMPARED = [*paired_scores.KEY, "image", "phash", "predicted", "score", "label_score", "label_rank", "model"]
BEST = ["top_labels", "top_scores"]


@dataclass(frozen=True)
class Model:
    """A model: its digest, what it or an ancestor has seen, and its scores of the benchmarks.

    The champion's scores are under today's names and labels; without scores it cannot be compared.
    """

    digest: str
    lineage: pd.DataFrame
    scores: pd.DataFrame | None


def compute(
    candidate: Model,
    champion: Model | None,
    needs: gate.Needs,
    params: sections.Gate,
    *,
    near_duplicate_distance: int,
    ensemble: bool,
    retired: frozenset[str],
) -> tuple[Verdict, Comparison | None]:
    """Compares the candidate with the champion, if there is one, and decides.

    Args:
      needs: what the candidate needs of the machine.
      ensemble: whether the candidate's scores are those of an ensemble.
      retired: classes that were retired.

    Raises:
      LeakageError: if either model has seen an image of a benchmark.
    """
    assert candidate.scores is not None
    comparison = None
    lineage.refuse_overlaps(candidate.scores, candidate.lineage, near_duplicate_distance=near_duplicate_distance)
    if champion and champion.scores is not None:
        lineage.refuse_overlaps(candidate.scores, champion.lineage, near_duplicate_distance=near_duplicate_distance)
        comparison = gate.compare(
            candidate.scores,
            champion.scores,
            confidence=params.confidence,
            min_images=params.min_images,
            min_class_images=params.min_class_images,
        )
    verdict = gate.decide(
        comparison,
        needs,
        gate.Limits(params.max_latency_ms, params.max_size_mb),
        tolerance=params.tolerance,
        confidence=params.confidence,
        min_images=params.min_images,
        same_model=champion is not None and candidate.digest == champion.digest,
        scores_missing=champion is not None and champion.scores is None,
        ensemble=ensemble,
        retired=retired,
    )
    return verdict, comparison


def main(workspace: Workspace) -> None:
    params, events = workspace.params(sections.Gate), classes.read(workspace.classes)
    scores = paired_scores.check(
        read_table(workspace.scores, COMPARED, optional=paired_scores.CLUSTER), workspace.scores, mend=AGAIN
    )
    digest = bundle.check(workspace.model).model_digest
    ensemble = bool(scores["model"].map(is_ensemble).any())
    if not ensemble and set(scores["model"]) - {digest}:
        raise errors.DataError("the scores are those of another model", where=workspace.scores, mend=AGAIN)
    candidate = Model(digest, lineage.read(workspace.model / bundle.LINEAGE), scores)
    champion = read_champion(workspace.released, scores, events)
    needs = gate.Needs(
        size_mb=(workspace.model / bundle.MODEL).stat().st_size / 1e6,
        latency_ms=read_json(workspace.latency)["ms"] if workspace.latency.exists() else None,
    )
    verdict, comparison = compute(
        candidate,
        champion,
        needs,
        params,
        near_duplicate_distance=workspace.near_duplicate_distance,
        ensemble=ensemble,
        retired=events.retired,
    )
    summary = {"verdict": verdict.verdict, "reason": verdict.reason, "model": digest}
    summary |= {"champion": champion.digest if champion else ""} | verdict.figures
    write(workspace, summary, comparison, params)
    print(f"gate: {verdict.verdict}: {verdict.reason}")


def read_champion(released: Path, candidate: pd.DataFrame, events: Classes) -> Model | None:
    """The champion with its stored scores of the benchmarks; None if there is no champion."""
    if not (released / bundle.CARD).exists():
        return None
    digest = bundle.check(released).model_digest
    stored, lineage_table = released / SCORES, lineage.read(released / bundle.LINEAGE)
    if not stored.exists():
        return Model(digest, lineage_table, None)
    table = read_table(stored, COMPARED + BEST, optional=paired_scores.CLUSTER)
    rows = paired_scores.check(table, stored, mend=RESCORE)
    known = set(events.names(pd.Series(bundle.read_classes(released), dtype=str)))
    rows = paired_scores.relabel(paired_scores.by_todays_names(rows, events), candidate, known, events)
    return Model(digest, lineage_table, rows.drop_duplicates(paired_scores.KEY))


def write(workspace: Workspace, summary: dict, comparison: Comparison | None, params: sections.Gate) -> None:
    folders = workspace.folders
    flips, by_class = gate.flips(comparison), gate.class_table(comparison)
    page = gate_page.page(
        said=summary,
        classes=by_class,
        flips=flips,
        pictures=params.flips_shown,
        tolerance=params.tolerance,
        picture=lambda image: picture_uri(labels.locate(image, folders)),
    )
    write_json(summary, workspace.verdict)
    write_csv(by_class, workspace.gate / "classes.csv")
    write_csv(flips, workspace.gate / "flips.csv")
    write_text(page, workspace.gate / "index.html")


if __name__ == "__main__":
    stages.run("gate", main)
