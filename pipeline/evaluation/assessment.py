"""All that is told of a model from its stored outputs alone: scores, thresholds, metrics, and the labels it doubts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.evaluation import audit, calibration, diagnosis, goal, metrics, scores, thresholds
from pipeline.files import write_csv, write_json, write_table

TOP_K = 5
SCORES, METRICS, CONCLUSIONS = "scores.parquet", "metrics.json", "conclusions.json"


@dataclass(frozen=True)
class Assessment:
    """What a model is worth.

    Attributes:
      scores: a row an image of every set, in the order of the stored outputs.
      thresholds: from which score on its answers are shown.
      audit: the labels it contradicts.
      metrics: the figures of each set.
      tables: `per_class`, `slices`, `confusions` of all sets; `reliability` and `coverage` of those that the thresholds
        were chosen on.
      diagnosis: where it loses accuracy.
      progress: how far it is from the goal; None without a goal, or where its set has no image.
      overall: `shown`, `shown_precision`, `ece` and what a perfect model has by chance, of these sets together, where
        they are known.
    """

    scores: pd.DataFrame
    thresholds: thresholds.Thresholds
    audit: pd.DataFrame
    metrics: dict[str, dict[str, Any]]
    tables: dict[str, pd.DataFrame]
    diagnosis: diagnosis.Diagnosis
    progress: goal.Progress | None
    overall: dict[str, Any]


def assess(
    rows: pd.DataFrame,
    log_probs: scores.Matrix,
    embeddings: scores.Matrix,
    classes: list[str],
    *,
    model: str,
    temperature: float,
    verdicts: pd.DataFrame,
    audited_before: pd.DataFrame,
    confidence: float,
    precision: float,
    min_class_images: int,
    audit_max_share: float,
    audit_ask_again_after: int,
    frozen_features: scores.Matrix | None = None,
    wanted: goal.Goal | None = None,
) -> Assessment:
    """Assesses a model; nothing here needs the model itself.

    Args:
      rows: images of all sets, in the order of `log_probs` (N, C) and `embeddings` (N, F); columns `image`, `sha256`,
        `group`, `set`, `label`, `subclass`, `origin` and, if it is known, `cluster`.
      model: its digest.
      verdicts, audited_before, frozen_features: see `audit.find`.
      wanted: the goal.
    """
    scored = scores.from_log_probs(rows, log_probs, classes, top_k=TOP_K).assign(model=model)
    limits = thresholds.choose(
        scored, precision=precision, confidence=confidence, min_images=min_class_images, temperature=temperature
    )
    scored["shown"] = limits.shown(scored["predicted"], scored["score"])
    suspects = audit.find(
        scored,
        log_probs,
        embeddings,
        classes,
        verdicts,
        audited_before,
        max_share=audit_max_share,
        ask_again_after=audit_ask_again_after,
        frozen_features=frozen_features,
    )
    figures = metrics.merged(
        metrics.by_set(scored, confidence=confidence),
        thresholds.outcome(scored, confidence=confidence),
        audit.figures(scored, suspects),
    )
    on = scored[scored["set"].isin(limits.chosen_on)]
    inside = scores.known(on)
    tables = {
        "per_class": metrics.by_class(scored, confidence=confidence),
        "slices": metrics.slices(scored, confidence=confidence),
        "confusions": metrics.confusions(scored),
        "reliability": calibration.reliability(
            inside["score"], inside["label_rank"] == 1, scores.clusters_of(inside), confidence=confidence
        ),
        "coverage": thresholds.curve(on, confidence=confidence),
    }
    overall = thresholds.outcome(on.assign(set="all"), confidence=confidence).get("all", {})
    overall["ece"] = calibration.expected_error(tables["reliability"])
    overall["ece_perfect"], overall["ece_perfect_high"] = calibration.expected_error_of_a_perfect_model(
        inside["score"], scores.clusters_of(inside), confidence=confidence
    )
    allowed = 1 - (wanted.right if wanted else precision)
    doubted = set(suspects.loc[suspects["asked"].astype(bool), "sha256"])
    return Assessment(
        scored,
        limits,
        suspects,
        figures,
        tables,
        diagnosis.diagnose(scored, allowed=allowed, confidence=confidence),
        goal.measure(scored, doubted, wanted, confidence=confidence) if wanted else None,
        overall,
    )


def write(assessment: Assessment, folder: Path) -> list[Path]:
    """Writes its tables; returns those that people read."""
    write_table(assessment.scores, folder / SCORES)
    write_table(assessment.audit, folder / audit.FILE)
    write_json(assessment.metrics, folder / METRICS)
    progress = assessment.progress.as_record() if assessment.progress else None
    write_json({"goal": progress, "diagnosis": assessment.diagnosis.as_record()}, folder / CONCLUSIONS)
    thresholds.write(assessment.thresholds, folder / thresholds.FILE)
    for name, table in assessment.tables.items():
        write_csv(table, folder / f"{name}.csv")
    return [folder / name for name in (METRICS, thresholds.FILE, *(f"{name}.csv" for name in assessment.tables))]
