"""Stage gate: candidate against champion on the benchmarks. Records its verdict and ends with 0, whatever it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, errors, sections, stages
from pipeline.evaluation import former, gate, paired_scores, rules, tries
from pipeline.evaluation.ensembling import is_ensemble
from pipeline.evaluation.gate import Comparison, Verdict
from pipeline.files import read_json, read_table, write_csv, write_json, write_text
from pipeline.library import benchmarks, classes, labels, lineage
from pipeline.library.classes import Classes
from pipeline.pages import gate as gate_page
from pipeline.pages import picture_uri
from pipeline.workspace import Workspace

SCORES = "scores.parquet"
AGAIN = "run `dvc repro --force evaluate`"
RESCORE = "`wallaby gate --rescore` scores the champion again"
COMPARED = [*paired_scores.KEY, "image", "phash", "predicted", "score", "label_score", "label_rank", "model"]
BEST = ["top_labels", "top_scores"]
SHOWN = "shown"


@dataclass(frozen=True)
class Model:
    """A model: its digest, what it or an ancestor has seen, and its scores of the benchmarks.

    The champion's scores are under today's names and labels; without scores it cannot be compared. `as_judged` are its
    scores under the labels that it was judged under.
    """

    digest: str
    lineage: pd.DataFrame
    scores: pd.DataFrame | None
    as_judged: pd.DataFrame | None = None


@dataclass(frozen=True)
class Earlier:
    """What the gate remembers.

    Attributes:
      formers: the scores of former champions under today's names and labels, by what they are called.
      before: the scores of candidate and champion under the labels that the champion was judged under; None if no label
        was corrected since.
      tries: the record of tries, this one included.
    """

    formers: dict[str, pd.DataFrame]
    before: tuple[pd.DataFrame, pd.DataFrame] | None
    tries: pd.DataFrame


def compute(
    candidate: Model,
    champion: Model | None,
    needs: gate.Needs,
    params: sections.Gate,
    *,
    near_duplicate_distance: int,
    ensemble: bool,
    retired: frozenset[str],
    earlier: Earlier | None = None,
    promise: gate.Promise | None = None,
) -> tuple[Verdict, Comparison | None]:
    """Compares the candidate with the champion and its predecessors, if there are any, and decides.

    Args:
      earlier: what the gate remembers; without, this is the first try, and no champion had a predecessor.
      promise: what the answers shown must keep: the champion's threshold is chosen on today's images, too.
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
            promise=promise,
            **_remembered(earlier, candidate, champion),
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
        metric=params.metric,
        bounds=rules.Bounds(params.shown_tolerance, params.benchmark_tolerance, params.new_class_right),
    )
    return verdict, comparison


def _remembered(earlier: Earlier | None, candidate: Model, champion: Model) -> dict[str, Any]:
    """What `gate.compare` takes of what the gate remembers."""
    if earlier is None:
        return {}
    assert candidate.scores is not None
    called = {"benchmarks": tries.called(benchmarks.versions(candidate.scores)), "model": candidate.digest}
    return {
        "formers": earlier.formers,
        "before": earlier.before,
        "tries": tries.count(earlier.tries, champion=champion.digest, **called),
        "ever": tries.count(earlier.tries, **called),
    }


def main(workspace: Workspace) -> None:
    params, events = workspace.params(sections.Gate), classes.read(workspace.classes)
    evaluated = workspace.params(sections.Evaluate)
    scores = paired_scores.check(
        read_table(workspace.scores, COMPARED, optional=[*paired_scores.CLUSTER, SHOWN, *BEST]),
        workspace.scores,
        mend=AGAIN,
    )
    digest = bundle.check(workspace.model).model_digest
    ensemble = bool(scores["model"].map(is_ensemble).any())
    if not ensemble and set(scores["model"]) - {digest}:
        raise errors.DataError("the scores are those of another model", where=workspace.scores, mend=AGAIN)
    candidate = Model(digest, lineage.read(workspace.model / bundle.LINEAGE), scores)
    champion = read_champion(workspace.released, scores, events)
    record = tries.read(workspace.tries)
    if champion and champion.scores is not None and champion.digest != digest and not ensemble:
        versions = tries.called(benchmarks.versions(scores))
        record = tries.add(record, benchmarks=versions, champion=champion.digest, model=digest)
    write_csv(record, workspace.tries)  # first: who stops the stage has seen nothing, and who runs it again pays once
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
        earlier=read_earlier(workspace, candidate, champion, record, events),
        promise=gate.Promise(evaluated.precision, evaluated.confidence, evaluated.min_class_images),
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
    then = paired_scores.by_todays_names(rows, events)
    rows = paired_scores.relabel(then, candidate, known, events)
    return Model(
        digest,
        lineage_table,
        rows.drop_duplicates(paired_scores.KEY),
        then.drop_duplicates(paired_scores.KEY),
    )


def read_earlier(
    workspace: Workspace, candidate: Model, champion: Model | None, record: pd.DataFrame, events: Classes
) -> Earlier | None:
    """What the gate remembers; None without a champion that can be compared with."""
    if champion is None or champion.as_judged is None or candidate.scores is None:
        return None
    table = former.read(workspace.released / former.FILE)
    table = table[~table["model"].isin([champion.digest, candidate.digest])]
    knows = set(events.names(pd.Series(bundle.read_classes(workspace.model), dtype=str)))
    return Earlier(
        former.of_today(table, candidate.scores, events),
        before_corrections(candidate.scores, champion.as_judged, knows, events),
        record,
    )


def before_corrections(
    candidate: pd.DataFrame, champion: pd.DataFrame, knows: set[str], events: Classes
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The scores of both under the labels that the champion was judged under; None if they are today's.

    People correct where the candidate objects, so that today's labels agree with it more often than with an equal
    champion. The labels before had no such preference.

    Args:
      candidate: under today's labels; `champion`: under those that it was judged under.
      knows: the candidate's classes.
    """
    today = candidate.drop_duplicates(["set", "sha256"]).set_index(["set", "sha256"])["label"]
    now = today.reindex(pd.MultiIndex.from_frame(champion[["set", "sha256"]])).to_numpy()
    if not (pd.notna(now) & (now != champion["label"].to_numpy())).any() or not set(BEST) <= set(candidate):
        return None
    return paired_scores.relabel(candidate, champion, knows, events).drop_duplicates(paired_scores.KEY), champion


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
