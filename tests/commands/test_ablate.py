"""What is tried, when it must be tried anew, and the table of what came out."""

import dataclasses
import shutil
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest

from pipeline import behaviour, bundle
from pipeline.commands import ablate, experiments
from pipeline.commands.ablate import BASELINE, Trial
from pipeline.errors import DataError, Exit, ResumableError, UsageError, WallabyError
from pipeline.files import write_json, write_table
from pipeline.library import lineage
from pipeline.workspace import Workspace
from tests.networks import save_bundle

ROOT = Path(__file__).parents[2]
CONFIDENCE = 0.95


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Configuration and code as they are, a base that has learnt nothing, and a split."""
    for name in ("configs", "pipeline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    workspace = Workspace(tmp_path)
    save_bundle(workspace.base, classes=[])
    workspace.splits.mkdir()
    workspace.splits_table.write_bytes(b"a split")
    return workspace


def plan(workspace: Workspace, *settings: str, epochs: int | None = None, seeds: tuple[int, ...] = ()) -> list[Trial]:
    return ablate.plan(workspace, list(settings), epochs=epochs, seeds=list(seeds))


def replace(workspace: Workspace, path: str, old: str, new: str) -> None:
    text = (workspace.root / path).read_text()
    assert old in text
    (workspace.root / path).write_text(text.replace(old, new))


def keys(workspace: Workspace, *settings: str) -> list[str]:
    return [trial.key for trial in plan(workspace, *settings)]


def table(trials: list[Trial]) -> pd.DataFrame:
    return ablate.table(trials, confidence=CONFIDENCE)


def run(workspace: Workspace, trials: list[Trial]) -> dict[Trial, str]:
    return ablate.run(workspace, trials, log=lambda line: None)


def test_the_baseline_comes_first_then_each_setting_alone_with_each_seed(workspace):
    trials = plan(workspace, "flip=false", "label_smoothing=0", epochs=4, seeds=(0, 7))
    assert [(trial.setting, trial.seed) for trial in trials] == [
        (setting, seed) for setting in (BASELINE, "flip=false", "label_smoothing=0") for seed in (0, 7)
    ]
    assert trials[2].changes == {"max_epochs": 4, "continued_max_epochs": 4, "flip": False, "seed": 0}
    assert len({trial.key for trial in trials} | {trial.name for trial in trials}) == 12


@pytest.mark.parametrize(
    ("setting", "said", "mend"),
    [
        ("flipp=false", "unknown setting 'flipp=false'", "did you mean 'flip'"),
        ("flip", "unknown setting 'flip'", ""),
        ("rotate_degrees=100", "rotate_degrees", ""),
        ("zoom=much", "zoom", ""),
        ("flip=true", "changes nothing: it is what baseline has", "leave it out"),
        ("seed=3", "seed is the same for all", "--seeds"),
        ("max_epochs=3", "max_epochs is the same for all", "--epochs"),
        ("stronger={", "not readable as YAML", ""),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_trained(workspace, setting, said, mend):
    with pytest.raises(UsageError) as refused:
        plan(workspace, setting)
    assert said in str(refused.value)
    assert mend in refused.value.mend


def test_the_same_setting_twice_is_refused(workspace):
    with pytest.raises(UsageError, match="it is what zoom=0 has"):
        plan(workspace, "zoom=0", "zoom=0.0")


def test_without_settings_each_part_of_the_recipe_is_taken_away(workspace):
    settings = {trial.setting for trial in plan(workspace)}
    assert {"flip=false", "rotate_degrees=0.0", "label_smoothing=0.0", "ema=0.99", "decay=plateau"} < settings
    assert not any(setting.startswith(("head", "body_rate", "continued")) for setting in settings)


def test_what_is_so_already_is_not_tried_and_the_other_choice_is(workspace):
    replace(workspace, "configs/params.yaml", "  flip: true", "  flip: false")
    replace(workspace, "configs/params.yaml", "  optimizer: adamw", "  optimizer: rmsprop")
    settings = {trial.setting for trial in plan(workspace)}
    assert not any(setting.startswith("flip") for setting in settings)
    assert "optimizer=adamw" in settings


def test_a_base_that_has_learnt_has_more_to_try(workspace):
    seen = pd.DataFrame({column: ["x"] for column in lineage.empty()})
    write_table(seen, workspace.base / bundle.LINEAGE)
    assert {"head=grow", "body_rate=0.1", "continued_learning_rate=0.0003"} < {
        trial.setting for trial in plan(workspace)
    }


def test_a_batch_size_left_to_the_machine_is_no_obstacle(workspace):
    replace(workspace, "configs/params.yaml", "  batch_size: 32", "  batch_size: auto")
    assert len(plan(workspace, "flip=false")) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda workspace: replace(workspace, "configs/params.yaml", "  label_smoothing: 0.1", "  label_smoothing: 0.2"),
        lambda workspace: workspace.splits_table.write_bytes(b"another split"),
        lambda workspace: (workspace.base / "model.keras").write_bytes(b"another base"),
        lambda workspace: replace(workspace, "pipeline/training/schedules.py", "math.pi", "3.14"),
        lambda workspace: behaviour.raise_version(["train"], workspace.root),
    ],
)
def test_another_input_makes_every_result_old(workspace, change):
    before = keys(workspace, "flip=false")
    change(workspace)
    assert not set(before) & set(keys(workspace, "flip=false"))


@pytest.mark.parametrize(
    "change",
    [
        lambda workspace: replace(workspace, "configs/params.yaml", "  cost_per_hour: 0 ", "  cost_per_hour: 3 "),
        lambda workspace: replace(workspace, "configs/params.yaml", "  min_images: 40", "  min_images: 50"),
        lambda workspace: replace(workspace, "pipeline/cli/__init__.py", "GROUPS", "GROUPED"),
        lambda workspace: replace(
            workspace, "pipeline/training/losses.py", "Losses", "Loss functions"
        ),  # in a docstring
    ],
)
def test_what_training_does_not_read_makes_no_result_old(workspace, change):
    before = keys(workspace, "flip=false")
    change(workspace)
    assert keys(workspace, "flip=false") == before


def test_a_round_that_has_not_come_as_far_as_training_is_told(workspace):
    workspace.splits_table.unlink()
    with pytest.raises(DataError, match="not come this far"):
        plan(workspace, "flip=false")


def finished(trial: Trial, right: list[int], *, epochs: int = 10, minutes: float = 1.0, macro_f1: float = 0.5) -> None:
    """A result in which the test images of `right` are named."""
    images = [f"image{number}" for number in range(len(right))]
    ranks = np.where(np.array(right) == 1, 1, 2)
    write_table(pd.DataFrame({"sha256": images, "set": "test", "label": "cat", "label_rank": ranks}), trial.scores)
    metrics = {"n": len(right), "top1": sum(right) / len(right), "macro_f1": macro_f1, "log_loss": 1.5}
    nothing = {"n": 0, "out_of_class": 5}
    figures = {"epochs": epochs, "best_epoch": epochs - 2, "minutes": minutes}
    write_json(figures | {"metrics": {"test": metrics, "train": metrics, "benchmark:odd": nothing}}, trial.result)


def test_the_table_holds_each_setting_against_the_baseline(workspace):
    baseline, trial = plan(workspace, "flip=false")
    finished(baseline, [1, 1, 1, 0], minutes=2.0)
    finished(trial, [0, 0, 1, 1], epochs=20)
    first, second = table([baseline, trial]).to_dict("records")
    assert (first["setting"], first["top1"], first["minutes"]) == (BASELINE, 0.75, 2.0)
    assert pd.isna(first["difference"])
    assert (second["setting"], second["set"], second["n"], second["epochs"]) == ("flip=false", "test", 4, 20)
    assert (second["difference"], second["gained"], second["lost"]) == (-0.25, 1, 2)
    assert second["low"] < -0.25 < second["high"]


def test_of_several_seeds_the_table_has_the_means(workspace):
    trials = plan(workspace, "flip=false", seeds=(0, 1))
    for trial, right, macro_f1 in zip(trials, [[1, 0], [1, 1], [1, 1], [1, 1]], [0.4, 0.6, 0.8, 0.9], strict=True):
        finished(trial, right, macro_f1=macro_f1)
    row = table(trials).iloc[1]
    assert (row["seeds"], row["top1"], row["difference"], row["macro_f1"]) == (2, 1.0, 0.25, pytest.approx(0.85))


def test_the_table_of_an_ablation_that_has_only_begun_is_there_too(workspace):
    trials = plan(workspace, "flip=false")
    assert table(trials).empty
    finished(trials[0], [1, 0])
    assert len(table(trials)) == 1


def test_the_table_is_written_for_people_and_for_programs(workspace):
    trials = plan(workspace, "flip=false")
    for trial in trials:
        finished(trial, [1, 0, 1])
    page = ablate.write(table(trials), workspace.cache("ablation"))
    assert "| flip=false | test |" in page.read_text()
    assert len(pd.read_csv(page.with_suffix(".csv"))) == 2


@pytest.fixture
def tried(workspace, monkeypatch) -> list[str]:
    """Experiments that only say that they ran; `zoom=0.3` explodes."""
    names: list[str] = []

    def run(workspace: Workspace, name: str, stages, *, changes, log) -> Workspace:
        names.append(name)
        if changes["train"].get("zoom") == 0.3:
            error = WallabyError("the loss has exploded")
            error.code = Exit.DATA
            raise error
        return workspace

    monkeypatch.setattr(experiments, "run", run)
    monkeypatch.setattr(ablate, "keep", lambda trial, copy: finished(trial, [1, 0]))
    return names


def test_what_is_done_is_not_done_again(workspace, tried):
    trials = plan(workspace, "flip=false", "zoom=0")
    finished(trials[1], [1, 1])
    run(workspace, trials)
    assert tried == [trials[0].name, trials[2].name]
    run(workspace, trials)
    assert len(tried) == 2


def test_a_setting_that_cannot_be_trained_does_not_keep_the_others_from_it(workspace, tried):
    trials = plan(workspace, "zoom=0.3", "flip=false")
    assert run(workspace, trials) == {trials[1]: "the loss has exploded"}
    assert set(table(trials)["setting"]) == {BASELINE, "flip=false"}


def test_a_baseline_that_cannot_be_trained_ends_the_ablation(workspace, tried):
    replace(workspace, "configs/params.yaml", "  zoom: 0.2", "  zoom: 0.3")
    replace(workspace, "configs/params.yaml", "  flip: true", "  flip: false")
    baseline, *others = plan(workspace, "flip=true")
    with pytest.raises(WallabyError, match="exploded"):
        run(workspace, [dataclasses.replace(baseline, changes=baseline.changes | {"zoom": 0.3}), *others])
    assert len(tried) == 1


def test_what_an_ablation_of_other_inputs_has_left_is_removed_and_nothing_else(workspace, tried):
    trials = plan(workspace, "flip=false")
    for name in ("ablate-flip=false-old", ".ablate-zoom=0-old.17.tmp", "throwaway-35", trials[1].name):
        (workspace.cache("experiments") / name).mkdir(parents=True)
    experiments.remove_others(workspace, "ablate-", keep={trials[1].name})
    assert {copy.name for copy in workspace.cache("experiments").iterdir()} == {"throwaway-35", trials[1].name}
    run(workspace, trials)
    assert [copy.name for copy in workspace.cache("experiments").iterdir()] == ["throwaway-35"]


def test_an_ablation_beside_another_takes_nothing_away_from_it(workspace, tried):
    copy = workspace.cache("experiments") / "ablate-flip=false-running"
    copy.mkdir(parents=True)
    with (
        filelock.FileLock(workspace.cache("experiments.lock")),
        pytest.raises(ResumableError, match="another experiment runs"),
    ):
        run(workspace, plan(workspace, "zoom=0"))
    assert copy.exists()
