"""Stage evaluate: the saved bundle scores every image of every set; no metric comes from a model in memory."""

import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from pipeline import bundle, config, errors, sections, tracking
from pipeline.evaluation import assessment, audit, comparison, ensembling, mistakes, scores, versions
from pipeline.files import read_table
from pipeline.inference import ensemble, latency, outputs
from pipeline.library import board, classes, labels, mounts, pictures
from pipeline.pages import report
from pipeline.review import decisions, landing

SUSPECTS = 48  # suspect labels of each kind on the page


def main(
    splits_table: str, curated: str, model_folder: str, base: str, released: str, events: str, reviews: str, out: str
) -> None:
    params, folders, folder = config.load(sections.Evaluate), config.load(sections.Roots).folders, Path(out)
    model = bundle.load(Path(model_folder))
    card = model.card
    further = ensemble.load_further(params.ensemble, model, where="evaluate.ensemble")
    runtime = ensemble.load(model, further, params.batch_size)
    rows = scores.with_open_sets(read_table(Path(splits_table)), read_table(Path(curated) / "excluded.parquet"))
    distance = config.load(sections.Curate).near_duplicate_distance
    ensemble.refuse_leakage(rows, further, near_duplicate_distance=distance, where="evaluate.ensemble")
    with mounts.watched(rows["image"], folders):
        stored = outputs.complete(
            folder / "outputs",
            config.own("evaluate"),
            rows["sha256"],
            [labels.locate(image, folders) for image in rows["image"]],
            runtime=runtime,
            batch_size=params.batch_size,
        )
    assessed = assessment.assess(
        rows,
        stored.log_probs,
        stored.embeddings,
        model.classes,
        model=runtime.model,
        temperature=1.0 if further else card.temperature,  # of an ensemble, each member has its own
        verdicts=decisions.verdicts(landing.land(decisions.read_all(Path(reviews), list(folders)), rows).rows),
        audited_before=_table(Path(base) / audit.FILE, audit.nothing()),
        **params.model_dump(exclude={"batch_size", "worst_mistakes", "ensemble"}),
    )
    champion = _table(Path(released) / assessment.SCORES, assessed.scores.head(0))
    named = classes.read(Path(events)).names
    standing = board.read(Path(curated) / "board.csv")
    files = assessment.write(assessed, folder)
    latency.keep(model, folder / "latency.json")
    report.write(
        folder,
        title=f"Round {card.round}",
        facts=facts(model) | ({"Ensemble": ensembling.short(runtime.model)} if further else {}),
        sets=pd.DataFrame([{"set": name} | values for name, values in assessed.metrics.items()]),
        threshold=asdict(assessed.thresholds) | assessed.overall,
        **assessed.tables,
        **mistakes.gather(assessed.scores, stored.embeddings, worst_mistakes=params.worst_mistakes),
        **comparison.against(
            assessed.scores, champion.assign(**{name: named(champion[name]) for name in ("label", "predicted")})
        ),
        audit=audit.first(assessed.audit, number=SUSPECTS),
        wholly_staged=list(standing.loc[standing["wholly_staged"] & standing["label"].isin(model.classes), "label"]),
        history=pd.read_csv(Path(model_folder) / "history.csv"),
        best_epoch=card.training["best_epoch"],
        picture=lambda image: _thumbnail(labels.locate(image, folders)),
    )
    tracking.log_evaluation(
        card.run_id,
        f"round-{card.round}",
        {
            f"{name.replace(':', '/')}/{key}": x
            for name, figures in assessed.metrics.items()
            for key, x in figures.items()
        },
        [*files, folder / report.PAGE, folder / report.PICTURES],
        tables={"scores": versions.compact(assessed.scores), "bands": versions.by_band(assessed.scores)},
        tags={"model_digest": card.model_digest}
        | {f"version.{name.replace(':', '/')}": x for name, x in versions.set_versions(assessed.scores).items()},
    )
    for name, figures in assessed.metrics.items():
        if figures["n"]:
            interval = f"{figures['top1_low']:.1%} to {figures['top1_high']:.1%}"
            print(f"evaluate: {name}: {figures['top1']:.1%} of {figures['n']} right ({interval})")
    print(f"evaluate: {assessed.thresholds}; {assessed.audit['asked'].sum()} labels to look at again")


def facts(model: bundle.Bundle) -> dict[str, str]:
    card = model.card
    return {
        "Model": card.model_digest[:12],
        "Parent": card.parent_digest[:12],
        "Network": f"{card.preset}, {card.image_size} x {card.image_size} pixels",
        "Classes": str(len(model.classes)),
        "Plateau": f"epoch {card.training['best_epoch']} of {card.training['epochs']}",
        "Trained in": f"{card.training['seconds'] / 60:.1f} minutes",
        "Temperature": f"{card.temperature:.2f}",
    }


def _table(path: Path, otherwise: pd.DataFrame) -> pd.DataFrame:
    return read_table(path) if path.exists() else otherwise


def _thumbnail(path: Path) -> bytes:
    try:
        return pictures.thumbnail(path, report.SIDE)
    except pictures.PictureError:
        return b""


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
