"""The error report: how good a model is, how far it can be trusted, and where it errs, with images.

One HTML file, and beside it a folder of contact sheets that a browser fetches when they come into view. What may be
long is bounded, and the page says how much it leaves out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.metrics import ISOLATED, QUARTERS, SIMILARITY
from pipeline.files import atomic_folder, write_text
from pipeline.pages import contact_sheets, curves, rendering
from pipeline.pages.contact_sheets import Sheet, Strip

PAGE, PICTURES = "report.html", "pictures"
MAX_CONFUSIONS = 1000  # pairs on the page; the rest is in confusions.csv
MAX_PICTURED = 100  # of these, pairs with pictures
IN_A_PAIR = 12  # pictures of a pair
MAX_SLICES = 1000  # parts of sets
MAX_CHANGED = 20  # classes that lost most, and that gained most
MAX_NAMED = 200  # classes that the model does not know, by name
SIDE = 160  # of a picture, in pixels
IN_A_STRIP = 12  # pictures of the audit and of what was shown wrongly
MAIN_SET = "test"  # whose weakest classes come first
MAIN_MEASURES = ["recall", "recall_low", "recall_high", "precision", "f1", "mean_score", "n"]  # of the main set
MEASURES = ["recall", "n"]  # of the other sets
INTERVALS = ("_low", "_high")

Picture = Callable[[str], bytes]
Row = dict[str, Any]


def write(
    folder: Path,
    *,
    title: str,
    facts: dict[str, str],
    sets: pd.DataFrame,
    per_class: pd.DataFrame,
    slices: pd.DataFrame,
    confusions: pd.DataFrame,
    confused: pd.DataFrame,
    history: pd.DataFrame,
    mistakes: pd.DataFrame,
    neighbours: pd.DataFrame,
    reliability: pd.DataFrame,
    coverage: pd.DataFrame,
    threshold: Row,
    outside: pd.DataFrame,
    outside_shown: pd.DataFrame,
    changed_sets: pd.DataFrame,
    changed_classes: pd.DataFrame,
    audit: pd.DataFrame,
    frozen_features: bool = False,
    wholly_staged: list[str],
    conclusions: list[str],
    picture: Picture,
    best_epoch: int | None = None,
    confidence: float = 0.95,
) -> None:
    """Writes `folder`/report.html and `folder`/pictures/*.jpg; equal tables and pictures give equal bytes.

    Args:
      title: the page's heading.
      facts: name and text of what was trained, in the order shown.
      sets: columns `set`, `n`, `out_of_class`, `top1`, `top5`, `macro_f1`, `weighted_f1`, `log_loss` with their
        intervals, `ece`, `shown`, `shown_precision`, `refused`, a row a set; what is not known is NaN or missing.
      per_class: columns `set`, `label`, `n`, `precision`, `recall`, `recall_low`, `recall_high`, `f1`, `mean_score`.
      slices: columns `set`, `slice`, `label`, `value`, `n`, `top1`, `top1_low`, `top1_high`.
      confusions: columns `set`, `label`, `predicted`, `n`, `share` (of that class's images in that set), worst first.
      confused: the images of pairs, columns `image`, `set`, `label`, `predicted`, `score`, the surest first.
      history: columns `epoch`, `loss`, `val_loss`, `accuracy`, `val_accuracy`, `learning_rate`, a row an epoch.
      mistakes: columns `image`, `set`, `label`, `predicted`, `score`, `label_score`, the worst first.
      neighbours: columns `of` (an image of `mistakes`), `image`, `label`, `cosine`, the nearest first.
      reliability, coverage: the tables behind the two diagrams (`curves`).
      threshold: the fields of the chosen thresholds, and `shown` and `shown_precision` where they were chosen.
      outside: columns `set`, `label`, `n`, `refused` (share): images of classes that the model does not know.
      outside_shown: of these, the ones shown all the same; columns `image`, `set`, `label`, `predicted`, `score`.
      changed_sets, changed_classes: columns `set`, (`label`,) `n`, `before`, `now`, `gained`, `lost`; may be empty.
      audit: columns `image`, `set`, `label`, `predicted`, `score`, `trained`, `frozen`, `rank`, those asked.
      frozen_features: whether training images were judged by features that no label has touched.
      wholly_staged: classes without a real image.
      conclusions: what the figures allow to say of the goal and of where accuracy is lost, in sentences.
      picture: gives an image's thumbnail as JPEG bytes, empty if it cannot be read; called once an image, in threads.
      best_epoch: whose weights were kept; by default, that of the lowest validation loss.
      confidence: of the intervals and of what is promised.
    """
    pairs = _records(confusions.head(MAX_CONFUSIONS))
    pictured = _examples(pairs[:MAX_PICTURED], confused)
    cards = _mistakes(mistakes, neighbours)
    strips = {f"pair-{n}": [row["image"] for row in pair["images"]] for n, pair in enumerate(pictured)}
    strips |= {
        f"mistake-{n}": [card["image"], *(near["image"] for near in card["near"])] for n, card in enumerate(cards)
    }
    strips |= _strips("audit", audit) | _strips("outside", outside_shown)
    with atomic_folder(folder / PICTURES) as new:
        sheets = contact_sheets.write(new, {name: Strip(images, SIDE) for name, images in strips.items()}, picture)
    classes = _class_table(per_class)
    refused = outside["refused"] >= 1
    parts = slices[~slices["slice"].isin([SIMILARITY, ISOLATED])]
    page = rendering.render(
        PAGE,
        title=title,
        facts=facts,
        sets=_records(sets),
        main=_main_row(sets),
        weakest=_weakest(classes),
        columns=[column for column in classes.columns if not column[1].endswith(INTERVALS)],
        classes=[(label, _cells(row)) for label, row in zip(classes.index, classes.to_dict("records"), strict=True)],
        wholly_staged=wholly_staged,
        conclusions=conclusions,
        near=_nearness(sets, slices),
        slices=_records(_weakest_slices(parts)),
        slices_left_out=max(0, len(parts) - MAX_SLICES),
        confusions=pairs,
        confusions_left_out=max(0, len(confusions) - MAX_CONFUSIONS),
        pictured=pictured,
        history=_records(history),
        learning=curves.learning(history, best_epoch),
        reliability=curves.reliability(reliability),
        coverage=curves.coverage(
            coverage,
            wanted=threshold["precision"],
            shown=threshold.get("shown"),
            precision=threshold.get("shown_precision"),
        ),
        threshold=threshold,
        steady=curves.falls_steadily(history) if len(history) else None,
        outside=_records(outside[~refused].sort_values("refused", kind="stable").head(MAX_NAMED)),
        refused_wholly=_records(outside[refused].head(MAX_NAMED)),
        outside_left_out=sum(max(0, number - MAX_NAMED) for number in (refused.sum(), (~refused).sum())),
        outside_shown=_placed("outside", outside_shown),
        changed_sets=_records(changed_sets),
        changed_classes=_most_changed(changed_classes),
        audit=_placed("audit", audit),
        frozen_features=frozen_features,
        mistakes=cards,
        sheets=_windows(sheets),
        confidence=confidence,
        news={
            "confidence": _of_threshold(threshold),
            "outside": _of_outside(outside),
            "training": _of_training(history, best_epoch),
            "classes": "; ".join(f"{label} {recall:.1%}" for label, recall in _weakest(classes)),
            "confusions": _of_confusions(pairs),
        },
    )
    write_text(page, folder / PAGE)


def _of_threshold(threshold: Row) -> str:
    if threshold["rule"] == "unreached" or pd.isna(threshold.get("shown")):
        return f"No threshold keeps {threshold['precision']:.0%} right of all answers shown."
    shown, right = threshold["shown"], threshold["shown_precision"]
    return f"{shown:.1%} of the images get an answer; {right:.1%} of these answers are right."


def _of_outside(outside: pd.DataFrame) -> str:
    number = int(outside["n"].sum())
    if not number:
        return ""
    refused = float((outside["n"] * outside["refused"]).sum()) / number
    wholly = int((outside["refused"] >= 1).sum())
    return f"Refused: {refused:.1%} of {number:,} images; {wholly} of {len(outside)} classes wholly."


def _of_training(history: pd.DataFrame, best_epoch: int | None) -> str:
    if history.empty:
        return ""
    return f"{len(history)} epochs" + (f", the best is {best_epoch}." if best_epoch is not None else ".")


def _of_confusions(pairs: list[Row]) -> str:
    """The pair of most images."""
    if not pairs:
        return ""
    most = max(pairs, key=lambda pair: pair["n"])
    return f"Most often, {most['label']} is taken for {most['predicted']}: {most['n']} images of {most['set']}."


def _examples(pairs: list[Row], confused: pd.DataFrame) -> list[Row]:
    """The first pairs, each with its surest mistakes."""
    keys = ["set", "label", "predicted"]
    if not pairs:
        return []
    shown = confused.merge(pd.DataFrame(pairs)[keys].assign(pair=range(len(pairs))), on=keys)
    images: list[list[Row]] = [[] for _ in pairs]
    for row in _records(shown.groupby("pair").head(IN_A_PAIR)):
        images[row["pair"]].append(row)
    return [pair | {"images": found} for pair, found in zip(pairs, images, strict=True)]


def _mistakes(mistakes: pd.DataFrame, neighbours: pd.DataFrame) -> list[Row]:
    near = {image: _records(rows) for image, rows in neighbours.groupby("of", sort=False)} if len(neighbours) else {}
    return [row | {"near": near.get(row["image"], [])} for row in _records(mistakes)]


def _strips(name: str, rows: pd.DataFrame) -> dict[str, list[str]]:
    images = list(rows["image"])
    starts = range(0, len(images), IN_A_STRIP)
    return {f"{name}-{start // IN_A_STRIP}": images[start : start + IN_A_STRIP] for start in starts}


def _placed(name: str, rows: pd.DataFrame) -> list[Row]:
    return [
        row | {"sheet": f"{name}-{n // IN_A_STRIP}", "place": n % IN_A_STRIP} for n, row in enumerate(_records(rows))
    ]


def _windows(sheets: dict[str, Sheet]) -> dict[str, Any]:
    """For each sheet its size and, for each picture, the style of the sheet behind a window and of the window."""

    def window(sheet: Sheet, x: int, width: int, height: int) -> tuple[str, str]:
        behind = f"width:{100 * sheet.width / width:.2f}%;left:{-100 * x / width:.2f}%"
        return behind, f"width:{100 * min(1.0, width / height):.2f}%;aspect-ratio:{width}/{height}"

    return {
        name: {
            "width": sheet.width,
            "height": sheet.height,
            "windows": [window(sheet, *place) if place[1] else None for place in sheet.places],
        }
        for name, sheet in sheets.items()
    }


def _class_table(per_class: pd.DataFrame) -> pd.DataFrame:
    """A row a class, weakest in the main set first; columns (set, measure), the main set's first."""
    if per_class.empty:
        return pd.DataFrame()
    names = list(dict.fromkeys(per_class["set"]))
    names.sort(key=lambda name: (name != MAIN_SET, name == "train"))
    wide = per_class.pivot(index="label", columns="set", values=MAIN_MEASURES).swaplevel(axis=1)
    measures = dict.fromkeys(names, MEASURES) | {names[0]: MAIN_MEASURES}
    wide = wide[[(name, measure) for name in names for measure in measures[name]]]
    return wide.sort_values((names[0], "recall"), kind="stable")


def _cells(row: dict[Any, float]) -> list[Row]:
    """The measures of a class; a recall with its interval, where it has one."""
    return [
        {"measure": measure, "value": value, **{end: row.get((name, measure + end), np.nan) for end in INTERVALS}}
        for (name, measure), value in row.items()
        if not measure.endswith(INTERVALS)
    ]


def _main_row(sets: pd.DataFrame) -> Row | None:
    """The main set's row, if it has something to say."""
    rows = (row for row in _records(sets) if row["set"] == MAIN_SET and row["n"] and pd.notna(row["top1"]))
    return next(rows, None)


def _weakest(classes: pd.DataFrame) -> list[tuple[str, float]]:
    """Up to three classes of least recall in the main set."""
    if (MAIN_SET, "recall") not in classes:
        return []
    recall = classes[(MAIN_SET, "recall")].dropna().head(3)
    return list(zip(recall.index, recall, strict=True))


def _nearness(sets: pd.DataFrame, slices: pd.DataFrame) -> list[Row]:
    """For each set how it fares as a whole, on its `isolated` images, and by their likeness to training."""
    parts = {(row["set"], row["slice"], row["value"]): row for row in _records(slices)}
    limits = slices.loc[slices["slice"] == ISOLATED, "value"]
    columns = [(ISOLATED, value) for value in limits.head(1)] + [(SIMILARITY, value) for value in QUARTERS]
    return [
        {
            "whole": whole,
            "parts": {value: parts.get((whole["set"], slice_, value)) for slice_, value in columns},
            "isolated": next((parts.get((whole["set"], ISOLATED, value)) for value in limits.head(1)), None),
        }
        for whole in _records(sets)
        if any((whole["set"], slice_, value) in parts for slice_, value in columns)
    ]


def _weakest_slices(slices: pd.DataFrame) -> pd.DataFrame:
    """By origin all, by sub-class the weakest, those of the training set last."""
    order = slices.assign(fine=slices["slice"] == "subclass", trained=slices["set"] == "train")
    order = order.sort_values(["fine", "trained", "top1", "set", "label", "value"], kind="stable")
    return order.head(MAX_SLICES)[list(slices)]


def _most_changed(classes: pd.DataFrame) -> list[Row]:
    """The classes that lost most, then those that gained most."""
    if classes.empty:
        return []
    rows = classes.assign(net=classes["gained"] - classes["lost"]).sort_values(["net", "set", "label"])
    rows = rows[rows["net"] != 0]
    ends = pd.concat([rows[rows["net"] < 0].head(MAX_CHANGED), rows[rows["net"] > 0].tail(MAX_CHANGED)])
    return _records(ends)


def _records(rows: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
