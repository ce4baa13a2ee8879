"""Stage queue: the recipes, as tables and as a page with images; what classes may gain; the record of the round."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from pipeline import bundle, pages, sections, stages
from pipeline.evaluation import assessment, reliability, round_record
from pipeline.evaluation.round_record import Record
from pipeline.files import read_json, read_table, write_csv, write_table, write_text
from pipeline.library import labels, mounts
from pipeline.review import recipes, yields
from pipeline.review.recipes import reading
from pipeline.review.recipes.inputs import Found, Material
from pipeline.review.recipes.settings import Settings
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Products:
    """What each recipe finds, by name, and what classes may gain from it (`yields.expected`)."""

    answers: dict[str, Found]
    expected: pd.DataFrame


def compute(
    material: Material,
    scores: pd.DataFrame,
    params: sections.Queue,
    *,
    near_duplicate_distance: int,
    confidence: float,
    count: Literal["images", "bursts"] = "images",
) -> Products:
    """Runs every recipe.

    Args:
      material: what the recipes work with.
      scores: of the evaluated sets (`reliability.COLUMNS`), which say how far a score is to be trusted.
      confidence: of the interval of what a class may gain.
      count: what the board counts.
    """
    held, of_bursts = reliability.held(scores, places=1, pool=material.rows["score"].dropna().to_numpy(float)), None
    if material.bursts is not None:
        of_bursts = reliability.held_of_bursts(scores, classes=material.bursts.classes)
    settings = Settings(**params.model_dump())
    answers = recipes.run(material, settings, near_duplicate_distance=near_duplicate_distance)
    answers = yields.likely(answers, held, of_bursts)
    expected = yields.expected(
        material,
        answers,
        held,
        near_duplicate_distance=near_duplicate_distance,
        low_count_below=params.low_count_below,
        confidence=confidence,
        of_bursts=of_bursts,
        count=count,
    )
    return Products(answers, expected)


def main(workspace: Workspace) -> None:
    record = record_of(workspace, fill(workspace))
    write_text(round_record.to_text(record), workspace.round)


def fill(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Writes the queue of what was evaluated and identified; returns the rows of each recipe."""
    folders, curate = workspace.folders, workspace.params(sections.Curate)
    material = reading.gather(
        workspace.predictions,
        workspace.curated,
        workspace.index,
        workspace.evaluation,
        workspace.released,
        workspace.classes,
        cache_folder=workspace.own("vectors"),
        limits=curate.limits(),
        bursts=workspace.judged_bursts,
    )
    made = compute(
        material,
        read_table(workspace.scores, reliability.COLUMNS, optional=[reliability.CLUSTER]),
        workspace.params(sections.Queue),
        near_duplicate_distance=curate.near_duplicate_distance,
        confidence=workspace.confidence,
        count=curate.count,
    )
    answers, labelled = made.answers, reading.labelled(workspace.evaluation)
    page = pages.queue(
        title="Worth a person's time",
        recipes=[
            pages.Recipe(recipe.name, recipe.finds, answers[recipe.name].rows, answers[recipe.name].note, labelled)
            for recipe in recipes.RECIPES
        ],
        picture=lambda image: pages.picture_uri(labels.locate(image, folders)),
    )
    # Else the page shows no image, and nobody knows why.
    mounts.refuse_empty(pd.concat([answer.rows["image"] for answer in answers.values()]), folders)

    for name, answer in answers.items():
        write_table(answer.rows, workspace.queue / f"{name}.parquet")
        if answer.whole is not None:
            write_table(answer.whole, workspace.queue / "whole" / f"{name}.parquet")
    write_csv(made.expected, workspace.queue / yields.FILE)
    write_text(page, workspace.queue / "index.html")
    print("queue: " + ", ".join(f"{name} {len(answer.rows)}" for name, answer in answers.items()))
    if material.bursts is not None:
        shown = pd.concat([answer.rows for answer in answers.values()])
        decisions, of = shown["group"].nunique(), shown[shown["burst"] != ""]
        print(f"queue: {len(shown):,} images in {decisions:,} decisions; {of['burst'].nunique():,} of these are bursts")
    return {name: answer.rows for name, answer in answers.items()}


def record_of(workspace: Workspace, queue: dict[str, pd.DataFrame]) -> Record:
    """Gathers what the round was made of, measured and took; `queue` has the rows of each recipe."""
    card = bundle.check(workspace.model)
    return round_record.of_round(
        vars(card),
        classes=bundle.read_classes(workspace.model),
        images_by_set=read_json(workspace.splits / "summary.json")["sets"],
        recipe=recipe_of(workspace, card),
        history=pd.read_csv(workspace.model / "history.csv"),
        measured=read_json(workspace.evaluation / assessment.METRICS),
        per_class=round_record.read_per_class(workspace.evaluation / "per_class.csv"),
        scores=read_table(workspace.scores, round_record.SCORED),
        scores_md5=round_record.md5(workspace.scores),
        verdict=read_json(workspace.verdict),
        pool=read_json(workspace.predictions / "summary.json"),
        queue=queue,
    )


def recipe_of(workspace: Workspace, card: bundle.Card) -> dict[str, Any]:
    """Every setting of the training, as the stage train noted them; of an older model, those of the params."""
    noted = workspace.model / bundle.RECIPE
    if noted.exists():
        return read_json(noted)
    train = workspace.params(sections.Train)
    in_force = train.training(learnt=card.round > 1 or bool(card.pretrained))
    chosen = {key: in_force[key] for key in ("learning_rate", "max_epochs")}
    return train.model_dump(mode="json", exclude=sections.FOR_PEOPLE) | chosen


if __name__ == "__main__":
    stages.run("queue", main)
