"""What is tried, when it must be tried anew, and the table of what came out."""

import shutil
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest

from pipeline import ablation, behaviour, bundle, config, experiments, paths
from pipeline.ablation import BASELINE, Trial
from pipeline.errors import DataError, Exit, ResumableError, UsageError, WallabyError
from pipeline.files import write_json, write_table
from pipeline.library import lineage
from tests.networks import save_bundle

ROOT = Path(__file__).parent.parent


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """Configuration and code as they are, a base that has learnt nothing, and a split."""
    for name in ("configs", "pipeline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    save_bundle(paths.BASE, classes=[])
    paths.SPLITS.mkdir()
    (paths.SPLITS / "splits.parquet").write_bytes(b"a split")
    return tmp_path


def plan(*settings: str, epochs: int | None = None, seeds: tuple[int, ...] = ()) -> list[Trial]:
    return ablation.plan(list(settings), epochs=epochs, seeds=list(seeds))


def replace(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def keys(*settings: str) -> list[str]:
    return [trial.key for trial in plan(*settings)]


def test_the_baseline_comes_first_then_each_setting_alone_with_each_seed(workspace):
    trials = plan("flip=false", "label_smoothing=0", epochs=4, seeds=(0, 7))
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
        plan(setting)
    assert said in str(refused.value)
    assert mend in refused.value.mend


def test_the_same_setting_twice_is_refused(workspace):
    with pytest.raises(UsageError, match="it is what zoom=0 has"):
        plan("zoom=0", "zoom=0.0")


def test_without_settings_each_part_of_the_recipe_is_taken_away(workspace):
    settings = {trial.setting for trial in plan()}
    assert {"flip=false", "rotate_degrees=0.0", "label_smoothing=0.0", "ema=0.99", "decay=plateau"} < settings
    assert not any(setting.startswith(("head", "body_rate", "continued")) for setting in settings)


def test_what_is_so_already_is_not_tried_and_the_other_choice_is(workspace):
    replace("configs/params.yaml", "  flip: true", "  flip: false")
    replace("configs/params.yaml", "  optimizer: adamw", "  optimizer: rmsprop")
    settings = {trial.setting for trial in plan()}
    assert not any(setting.startswith("flip") for setting in settings)
    assert "optimizer=adamw" in settings


def test_a_base_that_has_learnt_has_more_to_try(workspace):
    seen = pd.DataFrame({column: ["x"] for column in lineage.empty()})
    write_table(seen, paths.BASE / bundle.LINEAGE)
    assert {"head=grow", "body_rate=0.1", "continued_learning_rate=0.0003"} < {trial.setting for trial in plan()}


def test_a_batch_size_left_to_the_machine_is_no_obstacle(workspace):
    replace("configs/params.yaml", "  batch_size: 32", "  batch_size: auto")
    assert len(plan("flip=false")) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda: replace("configs/params.yaml", "  label_smoothing: 0.1", "  label_smoothing: 0.2"),
        lambda: (paths.SPLITS / "splits.parquet").write_bytes(b"another split"),
        lambda: (paths.BASE / "model.keras").write_bytes(b"another base"),
        lambda: replace("pipeline/training/schedules.py", "math.pi", "3.14"),
        lambda: behaviour.raise_version(["train"]),
    ],
)
def test_another_input_makes_every_result_old(workspace, change):
    before = keys("flip=false")
    change()
    assert not set(before) & set(keys("flip=false"))


@pytest.mark.parametrize(
    "change",
    [
        lambda: replace("configs/params.yaml", "  cost_per_hour: 0 ", "  cost_per_hour: 3 "),
        lambda: replace("configs/params.yaml", "  min_images: 40", "  min_images: 50"),
        lambda: replace("pipeline/cli/tables/library.py", "terminal", "screen"),
        lambda: replace("pipeline/training/losses.py", "Losses", "Loss functions"),  # in a docstring
    ],
)
def test_what_training_does_not_read_makes_no_result_old(workspace, change):
    before = keys("flip=false")
    change()
    assert keys("flip=false") == before


def test_a_round_that_has_not_come_as_far_as_training_is_told(workspace):
    (paths.SPLITS / "splits.parquet").unlink()
    with pytest.raises(DataError, match="not come this far"):
        plan("flip=false")


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
    baseline, trial = plan("flip=false")
    finished(baseline, [1, 1, 1, 0], minutes=2.0)
    finished(trial, [0, 0, 1, 1], epochs=20)
    first, second = ablation.table([baseline, trial], confidence=0.95).to_dict("records")
    assert (first["setting"], first["top1"], first["minutes"]) == (BASELINE, 0.75, 2.0)
    assert pd.isna(first["difference"])
    assert (second["setting"], second["set"], second["n"], second["epochs"]) == ("flip=false", "test", 4, 20)
    assert (second["difference"], second["gained"], second["lost"]) == (-0.25, 1, 2)
    assert second["low"] < -0.25 < second["high"]


def test_of_several_seeds_the_table_has_the_means(workspace):
    trials = plan("flip=false", seeds=(0, 1))
    for trial, right, macro_f1 in zip(trials, [[1, 0], [1, 1], [1, 1], [1, 1]], [0.4, 0.6, 0.8, 0.9], strict=True):
        finished(trial, right, macro_f1=macro_f1)
    row = ablation.table(trials, confidence=0.95).iloc[1]
    assert (row["seeds"], row["top1"], row["difference"], row["macro_f1"]) == (2, 1.0, 0.25, pytest.approx(0.85))


def test_the_table_of_an_ablation_that_has_only_begun_is_there_too(workspace):
    trials = plan("flip=false")
    assert ablation.table(trials, confidence=0.95).empty
    finished(trials[0], [1, 0])
    assert len(ablation.table(trials, confidence=0.95)) == 1


def test_the_table_is_written_for_people_and_for_programs(workspace):
    trials = plan("flip=false")
    for trial in trials:
        finished(trial, [1, 0, 1])
    found = ablation.table(trials, confidence=0.95)
    page = ablation.write(found)
    assert "| flip=false | test |" in page.read_text()
    assert len(pd.read_csv(page.with_suffix(".csv"))) == 2
    assert ablation.records(found)[0]["difference"] is None


@pytest.fixture
def tried(workspace, monkeypatch) -> list[str]:
    """Experiments that only say that they ran; `zoom=0.3` explodes."""
    names: list[str] = []

    def run(name: str, stages, *, inputs, changes, told) -> Path:
        names.append(name)
        if changes["train"].get("zoom") == 0.3:
            error = WallabyError("the loss has exploded")
            error.code = Exit.DATA
            raise error
        return workspace

    monkeypatch.setattr(experiments, "run", run)
    monkeypatch.setattr(ablation, "keep", lambda trial, copy: finished(trial, [1, 0]))
    return names


def test_what_is_done_is_not_done_again(tried):
    trials = plan("flip=false", "zoom=0")
    finished(trials[1], [1, 1])
    ablation.run(trials, told=lambda line: None)
    assert tried == [trials[0].name, trials[2].name]
    ablation.run(trials, told=lambda line: None)
    assert len(tried) == 2


def test_a_setting_that_cannot_be_trained_does_not_keep_the_others_from_it(tried):
    trials = plan("zoom=0.3", "flip=false")
    assert ablation.run(trials, told=lambda line: None) == {trials[1]: "the loss has exploded"}
    assert set(ablation.table(trials, confidence=0.95)["setting"]) == {BASELINE, "flip=false"}


def test_a_baseline_that_cannot_be_trained_ends_the_ablation(tried):
    replace("configs/params.yaml", "  zoom: 0.2", "  zoom: 0.3")
    replace("configs/params.yaml", "  flip: true", "  flip: false")
    baseline, *others = plan("flip=true")
    with pytest.raises(WallabyError, match="exploded"):
        ablation.run(
            [Trial(BASELINE, baseline.seed, baseline.changes | {"zoom": 0.3}, baseline.key), *others],
            told=lambda line: None,
        )
    assert len(tried) == 1


def test_what_an_ablation_of_other_inputs_has_left_is_removed_and_nothing_else(tried):
    trials = plan("flip=false")
    for name in ("ablate-flip=false-old", ".ablate-zoom=0-old.17.tmp", "throwaway-35", trials[1].name):
        (config.cache("experiments") / name).mkdir(parents=True)
    experiments.remove_others("ablate-", keep={trials[1].name})
    assert {copy.name for copy in config.cache("experiments").iterdir()} == {"throwaway-35", trials[1].name}
    ablation.run(trials, told=lambda line: None)
    assert [copy.name for copy in config.cache("experiments").iterdir()] == ["throwaway-35"]


def test_an_ablation_beside_another_takes_nothing_away_from_it(tried):
    copy = config.cache("experiments") / "ablate-flip=false-running"
    copy.mkdir(parents=True)
    with (
        filelock.FileLock(config.cache("experiments.lock")),
        pytest.raises(ResumableError, match="another experiment runs"),
    ):
        ablation.run(plan("zoom=0"), told=lambda line: None)
    assert copy.exists()
