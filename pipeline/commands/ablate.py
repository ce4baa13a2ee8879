"""Trains with one setting changed at a time, and compares each training with the round's own settings."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import behaviour, bundle, config, sections
from pipeline.commands import Answer, existing, experiments, log
from pipeline.errors import Exit, UsageError, WallabyError, closest
from pipeline.evaluation import luck, paired_scores, paired_statistics
from pipeline.files import digest, read_json, read_table, write_csv, write_json, write_table, write_text
from pipeline.workspace import Workspace

BASELINE = "baseline"
STAGES = ["train", "evaluate"]
FIGURES = ["epochs", "best_epoch", "minutes"]
METRICS = ["n", "independent", "top1", "macro_f1", "log_loss"]
EPOCHS = ("max_epochs", "continued_max_epochs")
LOWER = 0.3  # of the rate, tried in its place
UNNAMEABLE = re.compile(r"[^\w.=-]+")


@dataclass(frozen=True)
class Trial:
    """One training: `setting` as the user wrote it, `changes` to the section train, `key` of everything it reads.

    Attributes:
      folder: where its result and its scores are kept.
    """

    setting: str
    seed: int
    changes: dict[str, Any] = field(hash=False)
    key: str
    folder: Path

    @property
    def name(self) -> str:
        return f"ablate-{UNNAMEABLE.sub('_', self.setting)[:40]}-{self.key}"

    @property
    def result(self) -> Path:
        return self.folder / f"{self.key}.json"

    @property
    def scores(self) -> Path:
        return self.folder / f"{self.key}.parquet"

    def __str__(self) -> str:
        return f"{self.setting}, seed {self.seed}"


def ablate(workspace: Workspace, settings: list[str], *, epochs: int | None, seeds: list[int]) -> Answer:
    """Trains what has no result yet, and tabulates what each setting is worth; the table lies in .wallaby/ablation.

    Args:
      settings, epochs, seeds: see `plan`.

    Raises:
      UsageError, DataError: see `plan`.
      WallabyError: see `run`.
    """
    trials = plan(workspace, settings, epochs=epochs, seeds=seeds)
    failed = run(workspace, trials, log=log)
    compared = table(trials, confidence=workspace.confidence)
    page = write(compared, workspace.cache("ablation"))
    reasons = [f"{trial}: {reason}" for trial, reason in failed.items()]
    rows = compared.astype(object).where(compared.notna(), None)
    return Answer({"rows": rows, "failed": reasons, "page": str(page)}, code=Exit.SOME_FAILED if failed else Exit.DONE)


def planned(workspace: Workspace, settings: list[str], *, epochs: int | None, seeds: list[int]) -> Answer:
    """Says what `ablate` would train.

    Raises:
      UsageError, DataError: see `plan`.
    """
    trials = plan(workspace, settings, epochs=epochs, seeds=seeds)
    todo = [str(trial) for trial in trials if not trial.result.exists()]
    text = "\n".join([f"would train {len(todo)} of {len(trials)}", *todo])
    return Answer({"trials": len(trials), "to_train": todo}, text)


def plan(workspace: Workspace, settings: list[str], *, epochs: int | None, seeds: list[int]) -> list[Trial]:
    """The trainings of an ablation, the baseline's first.

    Args:
      settings: of section train, `KEY=VALUE` each; with none, those of `usual_settings`.
      epochs: at most, in place of those of the params.
      seeds: each setting is trained with each of them; with none, with the one of the params.

    Raises:
      UsageError: for an unknown key, a value out of range, or one that the baseline has already.
      DataError: if the round has not come as far as training.
    """
    existing(workspace.base), existing(workspace.splits_table)
    params = workspace.params(sections.Train)
    settings = settings or usual_settings(params, continued=bundle.has_learnt(workspace.base))
    always: dict[str, Any] = {} if epochs is None else dict.fromkeys(EPOCHS, epochs)
    read = config.dependencies(STAGES, workspace.pipeline_file)
    inputs = f"{digest_of(read, workspace.root)} {[behaviour.key(stage, workspace.root) for stage in STAGES]}"
    trials: dict[str, Trial] = {}
    for setting in [BASELINE, *settings]:
        changes = always | ({} if setting == BASELINE else dict([parse(setting)]))
        for seed in seeds or [params.seed]:
            values = workspace.changed_params(sections.Train, changes | {"seed": seed})
            known = values.model_dump(exclude=sections.FOR_PEOPLE)
            key = hashlib.sha256(f"{inputs} {known}".encode()).hexdigest()[:16]
            if setting != BASELINE and key in trials:
                same = trials[key].setting
                raise UsageError(f"{setting} changes nothing: it is what {same} has", mend="leave it out")
            trials[key] = Trial(setting, seed, changes | {"seed": seed}, key, workspace.cache("ablation"))
    return list(trials.values())


def usual_settings(params: sections.Train, *, continued: bool) -> list[str]:
    """Each part of the recipe taken away, or its other choice; without those that change nothing."""
    tried: dict[str, Any] = {
        "flip": False,
        "rotate_degrees": 0.0,
        "zoom": 0.0,
        "label_smoothing": 0.0,
        "weight_decay": 0.0,
        "ema": 0.0 if params.ema else 0.99,
        "loss": "cross_entropy" if params.loss == "focal" else "focal",
        "imbalance": "weights" if params.imbalance == "none" else "none",
        "decay": "cosine" if params.decay == "plateau" else "plateau",
        "optimizer": "rmsprop" if params.optimizer == "adamw" else "adamw",
    }
    if continued:
        tried |= {
            "head": "grow" if params.head == "reset" else "reset",
            "continued_learning_rate": LOWER * params.continued_learning_rate,
            "body_rate": 0.1 if params.body_rate == 1 else 1.0,
            "head_warmup_epochs": 0 if params.head_warmup_epochs else 1,
        }
    return [f"{key}={_written(value)}" for key, value in tried.items() if getattr(params, key) != value]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def parse(setting: str) -> tuple[str, Any]:
    name, equals, value = setting.partition("=")
    known = set(sections.Train.model_fields)
    if not equals or name not in known:
        raise UsageError(f"unknown setting '{setting}'", where="section train", mend=closest(name, known))
    if name in ("seed", *EPOCHS):
        raise UsageError(f"{name} is the same for all", mend="use --seeds" if name == "seed" else "use --epochs")
    return name, config.read_value(value)


def run(workspace: Workspace, trials: list[Trial], log: Callable[[str], None]) -> dict[Trial, str]:
    """Trains those of the trials that have no result yet; returns why some have none.

    A setting that cannot be trained, for example because its loss explodes, does not keep the others from it.

    Raises:
      WallabyError: if the baseline cannot be trained, or something outside interrupts.
    """
    experiments.remove_others(workspace, "ablate-", keep={trial.name for trial in trials})
    failed = {}
    for number, trial in enumerate(trials, 1):
        if trial.result.exists():
            continue
        log(f"ablation: {number} of {len(trials)}, {trial}{_left(trials)}")
        try:
            copy = experiments.run(workspace, trial.name, STAGES, changes={"train": trial.changes}, log=log)
        except WallabyError as error:
            if trial.setting == BASELINE or error.code not in (Exit.USAGE, Exit.DATA):
                raise
            failed[trial] = error.what
        else:
            keep(trial, copy)
        experiments.remove(workspace, trial.name)
    return failed


def _left(trials: list[Trial]) -> str:
    took = [read_json(trial.result)["minutes"] for trial in trials if trial.result.exists()]
    return f", about {sum(took) / len(took) * (len(trials) - len(took)):.0f} min left" if took else ""


def keep(trial: Trial, copy: Workspace) -> None:
    """Keeps what the table needs of a finished trial; the model goes with the copy."""
    training = bundle.check(copy.model).training
    scores = read_table(copy.scores, [*paired_scores.KEY, "label_rank"], optional=paired_scores.CLUSTER)
    write_table(scores, trial.scores)
    figures = {
        "epochs": training["epochs"],
        "best_epoch": training["best_epoch"],
        "minutes": training["seconds"] / 60,
        "metrics": read_json(copy.evaluation / "metrics.json"),
    }
    write_json({"setting": trial.setting, "changes": trial.changes} | figures, trial.result)


def table(trials: list[Trial], *, confidence: float) -> pd.DataFrame:
    """The finished trials: one row per setting and set, the baseline first; of several seeds, the means.

    Columns: setting, set, seeds, epochs, best_epoch, minutes, n, independent, top1, difference, low, high, gained,
    lost, macro_f1, log_loss. The difference is that in accuracy, with its interval (`paired_statistics.over_seeds`):
    all intervals of the table are right together with chance `confidence`.
    """
    done = [trial for trial in trials if trial.result.exists()]
    results = {trial: read_json(trial.result) for trial in done}
    scores = {trial: read_table(trial.scores) for trial in done}
    baselines = {trial.seed: trial for trial in done if trial.setting == BASELINE}
    accuracies = pd.concat([_accuracies(trial, scores[trial]) for trial in done]) if done else pd.DataFrame()
    by_set = {
        str(name): rows.pivot(index="setting", columns="seed", values="right")
        for name, rows in (accuracies.groupby("set") if len(accuracies) else ())
    }
    lucks = {name: found for name, rows in by_set.items() if (found := luck.of_trainings(rows)) is not None}
    rows = []
    for setting in dict.fromkeys(trial.setting for trial in done):
        trained = [trial for trial in done if trial.setting == setting and trial.seed in baselines]
        if not trained:
            continue
        figures = pd.DataFrame([results[trial] for trial in trained])[FIGURES].mean()
        against = paired_statistics.over_seeds(
            [scores[trial] for trial in trained],
            [scores[baselines[trial.seed]] for trial in trained],
            confidence=confidence,
            compared=max(sum(len(rows) - 1 for rows in by_set.values()), 1),
            lucks=lucks,
        )
        measured = pd.concat(
            [pd.DataFrame(results[trial]["metrics"]).T.rename_axis("set").reindex(columns=METRICS) for trial in trained]
        )
        means = measured.groupby("set").mean()
        for name in sorted(means.index.drop("train", errors="ignore"), key=lambda s: (s != "val", s != "test", s)):
            difference = {} if setting == BASELINE else against.get(name, {})
            rows.append(
                {"setting": setting, "set": name, "seeds": len(trained)} | figures.to_dict() | means.loc[name].to_dict()
                | {key: difference.get(key) for key in ("difference", "low", "high", "gained", "lost")}
            )  # fmt: skip
    columns = [
        "setting",
        "set",
        "seeds",
        *FIGURES,
        "n",
        "independent",
        "top1",
        "difference",
        "low",
        "high",
        "gained",
        "lost",
    ]
    compared = pd.DataFrame(rows, columns=[*columns, "macro_f1", "log_loss"])
    return compared[compared["n"] > 0].reset_index(drop=True).astype({"n": int, "gained": "Int64", "lost": "Int64"})


def _accuracies(trial: Trial, scores: pd.DataFrame) -> pd.DataFrame:
    """The share of known images that a training names, `right`, for each `set` but train; with `setting` and `seed`."""
    rows = scores[(scores["label_rank"] > 0) & (scores["set"] != "train")]
    right = (rows["label_rank"] == 1).groupby(rows["set"]).mean().rename("right").reset_index()
    return right.assign(setting=trial.setting, seed=trial.seed)


def write(compared: pd.DataFrame, folder: Path) -> Path:
    """Writes the table as CSV and as Markdown into a folder; returns the Markdown's path."""
    page = folder / "table.md"
    write_csv(compared, page.with_suffix(".csv"))
    rounded = compared.round({"minutes": 2, "epochs": 1, "best_epoch": 1, "macro_f1": 4, "log_loss": 4})
    rounded = rounded.astype("string")
    lines = [rounded.columns, ["---"] * len(rounded.columns), *rounded.fillna("").itertuples(index=False)]
    write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), page)
    return page


def digest_of(inputs: list[Path], root: Path) -> str:
    """One digest of files and folders, which are named relative to `root`."""
    whole = hashlib.sha256()
    for path in inputs:
        for file in [root / path, *sorted((root / path).rglob("*"))]:
            if file.is_file() and "__pycache__" not in file.parts:
                whole.update(f"{file.relative_to(root)} {digest(file)}\n".encode())
    return whole.hexdigest()
