"""Stage evaluate: the saved bundle scores every image of every set; no metric comes from a model in memory."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import bundle, config, errors, pages, tracking
from pipeline.evaluation import scores, versions
from pipeline.files import read_table, write_csv, write_json, write_table, write_text
from pipeline.inference import latency
from pipeline.inference.runtime import KerasRuntime, predict_all
from pipeline.library import labels
from pipeline.progress import bar

TOP_K = 5


def main(splits_table: str, model_folder: str, out: str) -> None:
    params, folders = config.load(config.Evaluate), config.load(config.Roots).folders
    rows = read_table(Path(splits_table))
    model = bundle.load(Path(model_folder))

    probs = predict(rows, model, folders, params.batch_size)
    scored = scores.score(rows, probs, model.classes, top_k=TOP_K).assign(model=model.card.model_digest)
    metrics, per_class, confusions = scores.by_set(scored), scores.by_class(scored), scores.confusions(scored)
    mistakes = worst_mistakes(scored, params.worst_mistakes)
    report = pages.report(
        title=f"Round {model.card.round}",
        facts=facts(model),
        sets=pd.DataFrame([{"set": name} | values for name, values in metrics.items()]),
        per_class=per_class,
        confusions=confusions,
        history=pd.read_csv(Path(model_folder) / "history.csv"),
        mistakes=mistakes,
        best_epoch=model.card.training["best_epoch"],
        picture=lambda image: pages.picture_uri(labels.locate(image, folders)),
    )

    folder = Path(out)
    write_table(scored, folder / "scores.parquet")
    write_json(metrics, folder / "metrics.json")
    write_json(latency.measure(model), folder / "latency.json")
    write_csv(per_class, folder / "per_class.csv")
    write_csv(confusions, folder / "confusions.csv")
    write_text(report, folder / "report.html")
    tracking.log_evaluation(
        model.card.run_id,
        f"round-{model.card.round}",
        {f"{name.replace(':', '/')}/{key}": value for name, values in metrics.items() for key, value in values.items()},
        [folder / "report.html", folder / "per_class.csv", folder / "confusions.csv", folder / "metrics.json"],
        tables={"scores": versions.compact(scored), "bands": versions.by_band(scored)},
        tags={"model_digest": model.card.model_digest}
        | {f"version.{name.replace(':', '/')}": version for name, version in versions.set_versions(scored).items()},
    )
    for name, values in metrics.items():
        if values["n"]:
            print(f"evaluate: {name}: {values['top1']:.1%} of {values['n']} right, macro F1 {values['macro_f1']:.3f}")


def predict(rows: pd.DataFrame, model: bundle.Bundle, folders: dict[str, Path], batch_size: int) -> np.ndarray:
    """Calibrated probabilities (N, C) of every row.

    Raises:
      DataError: if a picture can no longer be read: a score of fewer images than the split has would not be its score.
    """
    paths = [labels.locate(image, folders) for image in rows["image"]]
    batches = predict_all(KerasRuntime(model, batch_size), paths, model.card.image_size, batch_size)
    found: list[np.ndarray] = []
    read = 0
    with bar("evaluate", len(paths)) as progress:
        for probs, failures in batches:
            for position, failure in enumerate(failures):
                if failure:
                    raise errors.DataError(
                        f"a picture changed since it was indexed: {failure}",
                        where=paths[read + position],
                        mend="run `dvc repro` again",
                    )
            found.append(probs)
            read += len(failures)
            progress.update(len(failures))
    return np.concatenate(found)


def worst_mistakes(scored: pd.DataFrame, number: int) -> pd.DataFrame:
    """The most confident mistakes outside the training set first, then those within."""
    wrong = scored[scored["label_rank"] > 1]
    wrong = wrong.assign(trained=wrong["set"] == "train")
    order = wrong.sort_values(["trained", "score", "image"], ascending=[True, False, True])
    return order.head(number)[["image", "set", "label", "predicted", "score", "label_score"]].reset_index(drop=True)


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


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
