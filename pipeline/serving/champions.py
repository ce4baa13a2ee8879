"""The champion, which serves and which candidates are compared with: released, rolled back, never lost.

`released` holds the champion and `history.csv`: one row for each time that the champion changed. Before another takes
its place, it is copied to `champions/round-R-DIGEST`, a folder of its own under DVC: git keeps its name,
DVC's cache its files, and `dvc push` takes it along. So a roll-back needs no network and no other commit.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import bundle
from pipeline.errors import DataError, GateError, UsageError
from pipeline.evaluation import former as former_champions
from pipeline.evaluation import thresholds
from pipeline.files import atomic_folder, digest, read_json, read_table, write_csv, write_table, write_text
from pipeline.inference.pool_predictions import OPINIONS, write_opinions
from pipeline.library.tables import read_csv

SCORES = "scores.parquet"
EVALUATED = (SCORES, thresholds.FILE, OPINIONS)  # what a champion takes along; the first is never missing
HISTORY = "history.csv"
COLUMNS = ["at", "by", "action", "round", "model", "verdict", "reason"]
RELEASED, FORCED, ROLLED_BACK = "released", "forced", "rolled back"
SHORT = 12  # digits of a digest in a folder's name
LEAST_DIGITS = 4  # of a digest, to name a model by


@dataclass(frozen=True)
class Change:
    """One change of the champion: `COLUMNS`, and the card of the model that serves from then on."""

    card: bundle.Card
    row: dict[str, str]


def open_released(released: Path) -> bool:
    """Makes the champion's folder, without a champion; returns False if it is there already."""
    if released.exists():
        return False
    write_text("No model has been released yet: `wallaby release` makes the first champion.\n", released / "README.txt")
    return True


def current(released: Path) -> bundle.Card | None:
    """The champion's card; None if there is no champion."""
    return bundle.check(released) if (released / bundle.CARD).exists() else None


def history(released: Path) -> pd.DataFrame:
    """Columns `COLUMNS`, oldest first."""
    path = released / HISTORY
    return read_csv(path, COLUMNS)[COLUMNS] if path.exists() else pd.DataFrame(columns=COLUMNS, dtype=str)


def candidate(model: Path, evaluation: Path, gate: Path, *, by: str, at: str, force: str = "") -> Change:
    """Checks that the last round's model may become the champion; nothing is written.

    Args:
      force: why it shall become the champion although the gate did not pass it.

    Raises:
      GateError: if the gate did not pass this very model, or the model comes from a throw-away run.
      DataError: if the model is incomplete or changed.
    """
    card, force = bundle.check(model), force.strip()
    judgement, stored = read_json(gate / "gate.json"), evaluation / SCORES
    if card.throwaway:
        raise GateError("a throw-away model is never a champion", where=model, mend="run `dvc repro --force train`")
    if digest(model / bundle.MODEL) != card.model_digest:
        raise DataError(f"{model} is not what the last round made", where=model / bundle.MODEL, mend="`dvc checkout`")
    if set(read_table(stored, ["model"])["model"]) != {card.model_digest}:
        raise GateError(
            "the scores are those of another model", where=stored, mend="empty evaluate.ensemble, and run `dvc repro`"
        )
    if judgement.get("model") != card.model_digest:
        raise GateError("the verdict is that on another model", where=gate / "gate.json", mend="run `dvc repro`")
    verdict = judgement["verdict"]
    if verdict != "pass" and not force:
        raise GateError(
            f"the gate says {verdict}: {judgement['reason']}",
            where=gate / "gate.json",
            mend='look at data/gate/index.html; `wallaby release --force "WHY"` takes the blame',
        )
    forced = verdict != "pass"
    reason = force if forced else judgement["reason"]
    return Change(card, _row(card, FORCED if forced else RELEASED, verdict=verdict, reason=reason, by=by, at=at))


def former(
    released: Path,
    champions: Path,
    *,
    checkout: Callable[[Path], object],
    to: str = "",
    by: str,
    at: str,
    reason: str = "",
) -> tuple[Path, Change]:
    """Finds the former champion to go back to, and brings its files from DVC's cache if they are not there.

    Args:
      checkout: brings the files of a folder that is under DVC.
      to: its round, or the beginning of its digest; by default, the one that served before the present one first did.

    Returns:
      Its folder, and the change that it would be; nothing else is written.

    Raises:
      UsageError: if there is none, or several are called so.
      WallabyError: in DVC's words, if its files are not in the cache.
    """
    card = current(released)
    if card is None:
        raise UsageError("there is no champion to roll back", where=released, mend="`wallaby release` makes one")
    kept = sorted(path.with_suffix("") for path in champions.glob("round-*.dvc"))
    kept += [path for path in sorted(champions.glob("round-*")) if path.is_dir() and path not in kept]
    kept = [path for path in kept if path.name != name(card)]
    if to:
        found = [path for path in kept if _is_called(path, to)]
    else:
        served = [str(model) for model in history(released)["model"]]
        first = served.index(card.model_digest) if card.model_digest in served else len(served)
        found = [path for path in kept if first and path.name.endswith(served[first - 1][:SHORT])]
    names = ", ".join(path.name for path in kept) or "none"
    if not found:
        what = f"no former champion is called '{to}'" if to else "no champion served before this one"
        raise UsageError(what, where=champions, mend=f"known: {names}; name one with --to")
    if len(found) > 1:
        raise UsageError(f"several former champions are called '{to}'", where=champions, mend=f"known: {names}")
    [folder] = found
    if not folder.exists():
        checkout(folder)
    old = bundle.check(folder)
    if digest(folder / bundle.MODEL) != old.model_digest:
        raise DataError("the model is not the one its card describes", where=folder, mend=f"dvc checkout {folder}.dvc")
    return folder, Change(old, _row(old, ROLLED_BACK, verdict="", reason=reason, by=by, at=at))


def keep(released: Path, champions: Path, *, following: str) -> Path | None:
    """Copies the champion to a folder of its own, which is returned; None if it has no successor or there is none.

    Args:
      following: digest of the model that becomes the champion; it may be one already, if a release was interrupted.
    """
    card = current(released)
    if card is None or card.model_digest == following:
        return None
    folder = champions / name(card)
    if not folder.exists():
        with atomic_folder(folder) as new:
            _copy(released, released, new)
    return folder


def install(
    change: Change,
    model: Path,
    evaluation: Path,
    released: Path,
    predictions: Path | None = None,
    champions: Path | None = None,
) -> bool:
    """Makes a model the champion, as a whole or not at all; returns False if it is the champion already.

    Args:
      model, evaluation: where its bundle and its scores lie; the same folder for a former champion.
      predictions: those of the pool: what the model said of it stays with the champion (recipe `disagree`).
      champions: the folder of former champions: what they named on the benchmarks stays with the champion, too.
    """
    card = current(released)
    if card is not None and card.model_digest == change.card.model_digest:
        return False
    rows = pd.concat([history(released), pd.DataFrame([change.row])], ignore_index=True)
    with atomic_folder(released) as new:
        _copy(model, evaluation, new)
        if predictions is not None:
            write_opinions(predictions, new / OPINIONS, model=change.card.model_digest)
        write_csv(rows, new / HISTORY)
        earlier = former_scores(released, champions)
        if len(earlier):
            write_table(earlier, new / former_champions.FILE)
    return True


def former_scores(released: Path, champions: Path | None = None) -> pd.DataFrame:
    """What all champions so far named on the benchmarks (`evaluation.former`), the present one included.

    Args:
      champions: the folder of former champions, for those that the champion's own table does not have yet.
    """
    table = former_champions.read(released / former_champions.FILE)
    kept = [] if champions is None else [path for path in sorted(champions.glob("round-*")) if path.is_dir()]
    for folder in [*kept, released]:
        if (folder / bundle.CARD).exists() and (folder / SCORES).exists():
            card, wanted = bundle.check(folder), former_champions.SCORED
            scores = read_table(folder / SCORES, ["model"], optional=wanted)
            if set(wanted) <= set(scores):
                table = former_champions.extend(table, scores, champion=name(card), model=card.model_digest)
    return table


def tags(released: Path, change: Change) -> dict[str, str]:
    """What MLflow shall know of the champion: the last row of its history, which an older release may not have."""
    rows = history(released)
    last = change.row if rows.empty else rows.iloc[-1]
    return {
        "model_digest": last["model"],
        "round": last["round"],
        "released": last["at"],
        "released_by": last["by"],
        "released_as": last["action"],
        "released_for": last["reason"],
    }


def _copy(model: Path, evaluation: Path, new: Path) -> None:
    bundle.copy(model, new)
    for name in EVALUATED:
        if (evaluation / name).exists():
            shutil.copyfile(evaluation / name, new / name)


def name(card: bundle.Card) -> str:
    """What a model is called among champions, which is the name of its folder, too."""
    return f"round-{card.round}-{card.model_digest[:SHORT]}"


def _is_called(folder: Path, to: str) -> bool:
    _, number, short = folder.name.split("-")
    return to == number or (len(to) >= LEAST_DIGITS and (short.startswith(to) or to.startswith(short)))


def _row(card: bundle.Card, action: str, **more: str) -> dict[str, str]:
    row = {"action": action, "round": str(card.round), "model": card.model_digest} | more
    return {column: " ".join(row[column].split()) for column in COLUMNS}
