"""Error against ablation: the round's training with one setting changed at a time, held against itself unchanged."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import behaviour, bundle, config, experiments, paths, sections
from pipeline.errors import DataError, Exit, UsageError, WallabyError, closest
from pipeline.evaluation import paired_scores, paired_statistics
from pipeline.files import digest, read_json, read_table, write_csv, write_json, write_table, write_text

BASELINE = "baseline"
STAGES = ["train", "evaluate"]
FIGURES = ["epochs", "best_epoch", "minutes"]
METRICS = ["n", "top1", "macro_f1", "log_loss"]
EPOCHS = ("max_epochs", "continued_max_epochs")
LOWER = 0.3  # of the rate, tried in its place
UNNAMEABLE = re.compile(r"[^\w.=-]+")


@dataclass(frozen=True)
class Trial:
    """One training: `setting` as the user wrote it, `changes` to the section train, `key` of everything it reads."""

    setting: str
    seed: int
    changes: dict[str, Any] = field(hash=False)
    key: str

    @property
    def name(self) -> str:
        return f"ablate-{UNNAMEABLE.sub('_', self.setting)[:40]}-{self.key}"

    @property
    def result(self) -> Path:
        return config.cache("ablation") / f"{self.key}.json"

    @property
    def scores(self) -> Path:
        return config.cache("ablation") / f"{self.key}.parquet"


def plan(settings: list[str], *, epochs: int | None, seeds: list[int]) -> list[Trial]:
    """The trainings of an ablation, the baseline's first.

    Args:
      settings: of section train, `KEY=VALUE` each; with none, those of `usual_settings`.
      epochs: at most, in place of those of the params.
      seeds: each setting is trained with each of them; with none, with the one of the params.

    Raises:
      UsageError: for an unknown key, a value out of range, or one that the baseline has already.
      DataError: if the round has not come as far as training.
    """
    check_inputs()
    params = config.load(sections.Train)
    settings = settings or usual_settings(params, continued=bundle.has_learnt(paths.BASE))
    always: dict[str, Any] = {} if epochs is None else dict.fromkeys(EPOCHS, epochs)
    inputs = f"{digest_of(config.dependencies(STAGES))} {[behaviour.key(stage) for stage in STAGES]}"
    trials: dict[str, Trial] = {}
    for setting in [BASELINE, *settings]:
        changes = always | ({} if setting == BASELINE else dict([parse(setting)]))
        for seed in seeds or [params.seed]:
            values = config.changed(sections.Train, changes | {"seed": seed})
            read = values.model_dump(exclude=sections.FOR_PEOPLE)
            key = hashlib.sha256(f"{inputs} {read}".encode()).hexdigest()[:16]
            if setting != BASELINE and key in trials:
                same = trials[key].setting
                raise UsageError(f"{setting} changes nothing: it is what {same} has", mend="leave it out")
            trials[key] = Trial(setting, seed, changes | {"seed": seed}, key)
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


def run(trials: list[Trial], told: Callable[[str], None]) -> dict[Trial, str]:
    """Trains those of the trials that have no result yet; returns why some have none.

    A setting that cannot be trained, because its loss explodes for one, does not keep the others from it.

    Raises:
      WallabyError: if the baseline cannot be trained, or something outside interrupts.
    """
    experiments.remove_others("ablate-", keep={trial.name for trial in trials})
    failed = {}
    for number, trial in enumerate(trials, 1):
        if trial.result.exists():
            continue
        told(f"ablation: {number} of {len(trials)}, {trial.setting}, seed {trial.seed}{_left(trials)}")
        try:
            copy = experiments.run(trial.name, STAGES, inputs=data_read(), changes={"train": trial.changes}, told=told)
        except WallabyError as error:
            if trial.setting == BASELINE or error.code not in (Exit.USAGE, Exit.DATA):
                raise
            failed[trial] = error.what
        else:
            keep(trial, copy)
        experiments.remove(trial.name)
    return failed


def _left(trials: list[Trial]) -> str:
    took = [read_json(trial.result)["minutes"] for trial in trials if trial.result.exists()]
    return f", about {sum(took) / len(took) * (len(trials) - len(took)):.0f} min left" if took else ""


def keep(trial: Trial, copy: Path) -> None:
    """Keeps what the table needs of a finished trial; the model goes with the copy."""
    training = bundle.check(copy / paths.MODEL).training
    scores = read_table(copy / paths.EVALUATION / "scores.parquet", [*paired_scores.KEY, "label_rank"])
    write_table(scores, trial.scores)
    figures = {
        "epochs": training["epochs"],
        "best_epoch": training["best_epoch"],
        "minutes": training["seconds"] / 60,
        "metrics": read_json(copy / paths.EVALUATION / "metrics.json"),
    }
    write_json({"setting": trial.setting, "changes": trial.changes} | figures, trial.result)


def table(trials: list[Trial], *, confidence: float) -> pd.DataFrame:
    """The finished trials: a row a setting and set, the baseline first; of several seeds, the means.

    Columns: setting, set, seeds, epochs, best_epoch, minutes, n, top1, difference, low, high, gained, lost, macro_f1,
    log_loss. The difference is that in accuracy, with its interval (`paired_statistics.over_seeds`).
    """
    done = [trial for trial in trials if trial.result.exists()]
    results = {trial: read_json(trial.result) for trial in done}
    scores = {trial: read_table(trial.scores) for trial in done}
    baselines = {trial.seed: trial for trial in done if trial.setting == BASELINE}
    rows = []
    for setting in dict.fromkeys(trial.setting for trial in done):
        own = [trial for trial in done if trial.setting == setting and trial.seed in baselines]
        if not own:
            continue
        figures = pd.DataFrame([results[trial] for trial in own])[FIGURES].mean()
        against = paired_statistics.over_seeds(
            [scores[trial] for trial in own], [scores[baselines[trial.seed]] for trial in own], confidence=confidence
        )
        measured = pd.concat(
            [pd.DataFrame(results[trial]["metrics"]).T.rename_axis("set").reindex(columns=METRICS) for trial in own]
        )
        means = measured.groupby("set").mean()
        for name in sorted(means.index.drop("train", errors="ignore"), key=lambda s: (s != "val", s != "test", s)):
            difference = {} if setting == BASELINE else against.get(name, {})
            rows.append(
                {"setting": setting, "set": name, "seeds": len(own)} | figures.to_dict() | means.loc[name].to_dict()
                | {key: difference.get(key) for key in ("difference", "low", "high", "gained", "lost")}
            )  # fmt: skip
    columns = ["setting", "set", "seeds", *FIGURES, "n", "top1", "difference", "low", "high", "gained", "lost"]
    found = pd.DataFrame(rows, columns=[*columns, "macro_f1", "log_loss"])
    return found[found["n"] > 0].reset_index(drop=True).astype({"n": int, "gained": "Int64", "lost": "Int64"})


def records(found: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows, None where there is nothing."""
    return found.astype(object).where(found.notna(), None).to_dict("records")


def write(found: pd.DataFrame) -> Path:
    """Writes the table as CSV and as Markdown into .wallaby/ablation; returns the Markdown's path."""
    page = config.cache("ablation") / "table.md"
    write_csv(found, page.with_suffix(".csv"))
    rounded = found.round({"minutes": 2, "epochs": 1, "best_epoch": 1, "macro_f1": 4, "log_loss": 4}).astype("string")
    lines = [rounded.columns, ["---"] * len(rounded.columns), *rounded.fillna("").itertuples(index=False)]
    write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), page)
    return page


def check_inputs() -> None:
    for path in (paths.BASE, paths.SPLITS / "splits.parquet"):
        if not path.exists():
            raise DataError("the round has not come this far yet", where=path, mend="run `dvc repro`")


def data_read() -> list[Path]:
    """What the stages read of `data`; code and configuration are copied anyway."""
    return [path for path in config.dependencies(STAGES) if path.parts[0] == paths.BASE.parts[0]]


def digest_of(inputs: list[Path]) -> str:
    """One digest of all files and folders."""
    files = [file for path in inputs for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    whole = hashlib.sha256()
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            whole.update(f"{file} {digest(file)}\n".encode())
    return whole.hexdigest()
