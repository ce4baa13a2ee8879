"""Stage evaluate: the saved bundle scores every image of every set; no metric comes from a model in memory."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, sections, stages
from pipeline.errors import UsageError, closest
from pipeline.evaluation import (
    assessment,
    audit,
    conclusions,
    ending,
    ensembling,
    goal,
    headline,
    independence,
    metrics,
    mistakes,
    over_rounds,
    paired_scores,
    paired_statistics,
    scores,
)
from pipeline.evaluation.assessment import Assessment
from pipeline.files import read_table
from pipeline.inference import ensemble, frozen_features, latency, outputs
from pipeline.library import benchmarks, board, classes, labels, mounts, pictures, splits
from pipeline.library.classes import Classes
from pipeline.pages import report
from pipeline.review import decisions, landing
from pipeline.tracking import Tracking
from pipeline.workspace import Workspace

SUSPECTS = 48  # suspect labels of each kind on the page


@dataclass(frozen=True)
class Inputs:
    """What the stage reads.

    Attributes:
      rows: every image of every set, and the benchmarks' images of no class (`scores.with_open_sets`).
      decisions: the review decisions in force.
      audited_before: the label audit of the round before.
      champion: the champion's stored scores, with names as they were then.
      events: the class events.
      board: the board.
      history: the training's curves.
    """

    rows: pd.DataFrame
    decisions: pd.DataFrame
    audited_before: pd.DataFrame
    champion: pd.DataFrame | None
    events: Classes
    board: pd.DataFrame
    history: pd.DataFrame


def compute(
    inputs: Inputs,
    log_probs: scores.Matrix,
    features: scores.Matrix,
    model: bundle.Bundle,
    params: sections.Evaluate,
    *,
    wanted: goal.Goal | None,
    scored_by: str,
    ensemble: bool,
    frozen: scores.Matrix | None = None,
) -> tuple[Assessment, dict[str, Any]]:
    """Measures a model.

    Args:
      log_probs: log probabilities (N, C) of `inputs.rows`.
      features: features (N, F) of them.
      frozen: features of a network that no round trains (N, F), for the label audit.
      wanted: the goal, if there is one.
      scored_by: the digest of the model, or of the ensemble, that gave them.

    Returns:
      The measurements, and what the page shows of them.
    """
    temperature = model.card.temperature
    if ensemble:  # each member has its own, and what they say together has one more
        temperature = ensembling.temperature(inputs.rows, log_probs, model.classes)
        log_probs = ensembling.Tempered(log_probs, temperature)
    verdicts = decisions.verdicts(landing.land(inputs.decisions, inputs.rows).rows)
    assessed = assessment.assess(
        inputs.rows,
        log_probs,
        features,
        model.classes,
        model=scored_by,
        temperature=temperature,
        verdicts=verdicts,
        audited_before=inputs.audited_before,
        frozen_features=frozen,
        wanted=wanted,
        **params.model_dump(exclude={"batch_size", "worst_mistakes", "ensemble"}),
    )
    champion = assessed.scores.head(0) if inputs.champion is None else inputs.champion
    standing = inputs.board
    of_ensemble = {"Ensemble": ensembling.short(scored_by), "Temperature of the ensemble": f"{temperature:.2f}"}
    ensemble_facts = of_ensemble if ensemble else {}
    shown = {
        "title": f"Round {model.card.round}",
        "facts": facts(model) | ensemble_facts,
        "sets": pd.DataFrame([{"set": name} | values for name, values in assessed.metrics.items()]),
        "threshold": asdict(assessed.thresholds) | assessed.overall,
        "conclusions": conclusions.sentences(assessed.progress, assessed.diagnosis),
        **assessed.tables,
        **mistakes.gather(assessed.scores, features, worst_mistakes=params.worst_mistakes),
        **paired_statistics.what_changed(assessed.scores, paired_scores.by_todays_names(champion, inputs.events)),
        "audit": audit.first(assessed.audit, number=SUSPECTS),
        "frozen_features": frozen is not None,
        "wholly_staged": list(standing.loc[standing["wholly_staged"] & standing["label"].isin(model.classes), "label"]),
        "history": inputs.history,
        "best_epoch": model.card.training["best_epoch"],
        "confidence": params.confidence,
    }
    return assessed, shown


def main(workspace: Workspace) -> None:
    params, folders, folder = workspace.params(sections.Evaluate), workspace.folders, workspace.evaluation
    model = bundle.load(workspace.model)
    further = ensemble.load_further(params.ensemble, model, home=workspace.home, where="evaluate.ensemble")
    runtime = ensemble.load(model, further, params.batch_size)
    inputs = read(workspace)
    rows = inputs.rows
    wanted = goal_of(workspace.params(sections.Goal), set(rows["set"]), where=workspace.params_file)
    distance = workspace.near_duplicate_distance
    ensemble.refuse_leakage(rows, further, near_duplicate_distance=distance, where="evaluate.ensemble")
    with mounts.watched(rows["image"], folders):
        stored = outputs.complete(
            folder / "outputs",
            rows["sha256"],
            [labels.locate(image, folders) for image in rows["image"]],
            runtime=runtime,
            batch_size=params.batch_size,
        )
    frozen = frozen_features.read(workspace.library_features)
    assessed, shown = compute(
        inputs,
        stored.log_probs,
        stored.features,
        model,
        params,
        wanted=wanted,
        scored_by=runtime.model,
        ensemble=bool(further),
        frozen=None if frozen is None else frozen.units(rows["sha256"]),
    )
    files = assessment.write(assessed, folder)
    latency.keep(model, workspace.latency)
    report.write(folder, picture=lambda image: _thumbnail(labels.locate(image, folders)), **shown)
    files += [folder / report.PAGE, folder / report.PICTURES]
    log(Tracking(workspace.home), model, assessed, files, source=workspace.model)
    for name, figures in assessed.metrics.items():
        if figures["n"]:
            interval = f"{figures['top1_low']:.1%} to {figures['top1_high']:.1%}"
            counted = independence.images(figures["n"], figures["independent"])
            print(f"evaluate: {name}: {figures['top1']:.1%} of {counted} right ({interval})")
    slices = assessed.tables["slices"]
    for row in slices[(slices["slice"] == metrics.ISOLATED) & (slices["set"] == "test")].itertuples():
        interval = f"{row.top1_low:.1%} to {row.top1_high:.1%}"
        print(f"evaluate: test, {row.value}: {row.top1:.1%} of {row.n} right ({interval})")
    for sentence in shown["conclusions"]:
        print(f"evaluate: {sentence}")
    asked = assessed.audit[assessed.audit["asked"].astype(bool)]
    doubted = independence.images(len(asked), asked["cluster"].nunique(), word=" labels")
    print(f"evaluate: {assessed.thresholds}; {doubted} to look at again")


def read(workspace: Workspace) -> Inputs:
    champion, audited = workspace.released / assessment.SCORES, workspace.base / audit.FILE
    return Inputs(
        rows=rows_of(workspace),
        decisions=decisions.read_all(workspace.reviews, workspace.root_names),
        audited_before=read_table(audited) if audited.exists() else audit.nothing(),
        champion=read_table(champion) if champion.exists() else None,
        events=classes.read(workspace.classes),
        board=board.read(workspace.board),
        history=pd.read_csv(workspace.model / "history.csv"),
    )


def rows_of(workspace: Workspace) -> pd.DataFrame:
    """Every image of every set, and the benchmarks' images of no class, with their likeness to training images."""
    return with_similarity(
        scores.with_open_sets(splits.untorn(read_table(workspace.splits_table)), read_table(workspace.excluded)),
        read_table(workspace.nearest, ["image", "set", "similarity"]),
    )


def goal_of(section: sections.Goal, sets: set[str], *, where: Path) -> goal.Goal | None:
    """The goal of the params, if they name one.

    Raises:
      UsageError: if its benchmark set has no image.
    """
    if not section.benchmark:
        return None
    name = f"{benchmarks.PREFIX}{section.benchmark}"
    if name not in sets:
        known = {found.removeprefix(benchmarks.PREFIX) for found in sets if found.startswith(benchmarks.PREFIX)}
        raise UsageError(
            f"goal.benchmark: no benchmark set '{section.benchmark}' has images",
            where=where,
            mend=closest(section.benchmark, known),
        )
    return goal.Goal(name, section.right, section.shown)


def with_similarity(rows: pd.DataFrame, nearest: pd.DataFrame) -> pd.DataFrame:
    """Adds to each image how alike the most alike training image is; NaN where that is not known."""
    known = nearest.drop_duplicates(["set", "image"]).set_index(["set", "image"])["similarity"].astype(float)
    return rows.assign(similarity=known.reindex(pd.MultiIndex.from_frame(rows[["set", "image"]])).to_numpy())


def log(
    tracking: Tracking,
    model: bundle.Bundle,
    assessed: Assessment,
    files: list[Path],
    *,
    source: Path,
) -> None:
    """Adds the measurements to the round's MLflow run, and its model to the registered versions.

    Args:
      source: the bundle's folder.
    """
    card = model.card
    metrics, counts = headline.metrics(assessed.metrics), headline.counts(assessed.metrics)
    versions = over_rounds.set_versions(assessed.scores)
    about = {headline.MODEL: card.model_digest, headline.DATA: card.data_digest, "round": str(card.round)}
    tracking.log_evaluation(
        card.run_id,
        "" if card.throwaway else f"round-{card.round}",
        metrics,
        files,
        tables={"scores": over_rounds.compact(assessed.scores), "bands": over_rounds.by_band(assessed.scores)},
        tags=about
        | {name: str(number) for name, number in counts.items()}
        | {f"version.{name.replace(':', '/')}": value for name, value in versions.items()},
        step=card.round,
    )
    if card.throwaway:  # neither base nor champion: nobody asks for its model again
        return
    tracking.save_view()
    tracking.log_model(card.run_id, model, source)


def facts(model: bundle.Bundle) -> dict[str, str]:
    card = model.card
    return {
        "Model": card.model_digest[:12],
        "Parent": card.parent_digest[:12],
        "Network": f"{card.preset}, {card.image_size} x {card.image_size} pixels",
        "Classes": str(len(model.classes)),
        "Plateau": (
            f"epoch {card.training['best_epoch']} of {card.training['epochs']}"
            if ending.had_ended(card.training)
            else f"none in {card.training['epochs']} epochs"
        ),
        "Trained in": f"{card.training['seconds'] / 60:.1f} minutes",
        **({"Ensemble of": f"{card.training['members']} networks"} if "members" in card.training else {}),
        "Temperature": f"{card.temperature:.2f}",
    }


def _thumbnail(path: Path) -> bytes:
    try:
        return pictures.thumbnail(path, report.SIDE)
    except pictures.PictureError:
        return b""


if __name__ == "__main__":
    stages.run("evaluate", main)
