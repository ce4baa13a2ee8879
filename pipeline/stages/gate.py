"""Stage gate: candidate against champion on the benchmarks. Records its verdict and ends with 0, whatever it is."""

import sys
from pathlib import Path

import pandas as pd

from pipeline import bundle, config, errors, sections
from pipeline.evaluation import gate, pairing
from pipeline.evaluation.ensembling import is_ensemble
from pipeline.evaluation.gate import Comparison
from pipeline.files import read_json, read_table, write_csv, write_json, write_text
from pipeline.library import classes, labels, lineage
from pipeline.library.classes import Classes
from pipeline.pages import gate as gate_page
from pipeline.pages import picture_uri

SCORES, LATENCY = "scores.parquet", "latency.json"
AGAIN = "run `dvc repro --force evaluate`"
RESCORE = "`wallaby gate --rescore` scores the champion anew"
COMPARED = [*pairing.KEY, "image", "phash", "predicted", "score", "label_score", "label_rank", "model"]
BEST = ["top_labels", "top_scores"]


def main(evaluation_folder: str, model_folder: str, class_events: str, released_folder: str, out: str) -> None:
    params, distance = config.load(sections.Gate), config.load(sections.Curate).near_duplicate_distance
    evaluation, model, released = Path(evaluation_folder), Path(model_folder), Path(released_folder)
    champion = bundle.check(released).model_digest if (released / bundle.CARD).exists() else ""
    scores = evaluation / SCORES
    candidate = pairing.check(read_table(scores, COMPARED), scores, mend=AGAIN)
    digest = bundle.check(model).model_digest
    ensemble = candidate["model"].map(is_ensemble).any()
    if not ensemble and set(candidate["model"]) - {digest}:
        raise errors.DataError("the scores are those of another model", where=scores, mend=AGAIN)

    events = classes.read(Path(class_events))
    comparison, scores_missing = None, bool(champion) and not (released / SCORES).exists()
    lineage.refuse_overlaps(candidate, read_table(model / bundle.LINEAGE), near_duplicate_distance=distance)
    if champion and not scores_missing:
        lineage.refuse_overlaps(candidate, read_table(released / bundle.LINEAGE), near_duplicate_distance=distance)
        comparison = gate.compare(
            candidate,
            champions_scores(released, candidate, events),
            confidence=params.confidence,
            min_images=params.min_images,
            min_class_images=params.min_class_images,
        )
    latency = evaluation / LATENCY
    needs = gate.Needs(
        size_mb=(model / bundle.MODEL).stat().st_size / 1e6,
        latency_ms=read_json(latency)["ms"] if latency.exists() else None,
    )
    verdict = gate.decide(
        comparison,
        needs,
        gate.Limits(params.max_latency_ms, params.max_size_mb),
        tolerance=params.tolerance,
        confidence=params.confidence,
        min_images=params.min_images,
        same_model=digest == champion,
        scores_missing=scores_missing,
        ensemble=bool(ensemble),
        retired=events.retired,
    )
    said = {"verdict": verdict.verdict, "reason": verdict.reason, "model": digest, "champion": champion}
    write(Path(out), said | verdict.figures, comparison, params)
    print(f"gate: {verdict.verdict}: {verdict.reason}")


def champions_scores(released: Path, candidate: pd.DataFrame, events: Classes) -> pd.DataFrame:
    """The champion's stored scores of the benchmarks, under today's names and labels."""
    stored = released / SCORES
    rows = pairing.check(read_table(stored, COMPARED + BEST), stored, mend=RESCORE)
    known = set(events.names(pd.Series(bundle.read_classes(released), dtype=str)))
    return pairing.relabel(pairing.by_todays_names(rows, events), candidate, known, events).drop_duplicates(pairing.KEY)


def write(out: Path, said: dict, comparison: Comparison | None, params: sections.Gate) -> None:
    folders = config.load(sections.Roots).folders
    flips, by_class = gate.flips(comparison), gate.class_table(comparison)
    page = gate_page.page(
        said=said,
        classes=by_class,
        flips=flips,
        pictures=params.flips_shown,
        tolerance=params.tolerance,
        picture=lambda image: picture_uri(labels.locate(image, folders)),
    )
    write_json(said, out / "gate.json")
    write_csv(by_class, out / "classes.csv")
    write_csv(flips, out / "flips.csv")
    write_text(page, out / "index.html")


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
