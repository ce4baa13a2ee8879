"""Which networks are listed and compared, and what is reported of those that cannot be."""

import re
import shutil
from concurrent.futures import Future
from pathlib import Path

import pandas as pd
import pytest

from pipeline.commands import models
from pipeline.commands.models import Contender
from pipeline.errors import DataError, Exit, UsageError
from pipeline.files import write_table, write_text
from pipeline.models import presets
from pipeline.tracking import Tracking
from pipeline.training import trial
from pipeline.workspace import Workspace
from tests.networks import save_bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """Params, presets and a split of two classes; nothing is logged."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    workspace = Workspace(tmp_path)
    monkeypatch.setattr(Tracking, "log_comparison", lambda *_: None)
    rows = [{"image": f"library/{n}.png", "set": ("train", "val")[n > 5], "label": "ab"[n % 2]} for n in range(10)]
    write_table(pd.DataFrame(rows).assign(flip=True), workspace.splits_table)
    return workspace


FIGURES = {
    **{"latency_ms": 9.5, "images_per_second": 50.0, "train_seconds": 61.0, "epochs": 3, "images": 6},
    **{"memory_mb": 900, "size_mb": 4.5, "parameters": 1_000_000, "image_size": 75, "macro_f1": 0.5, "threads": 2},
}


def measured(workspace: Workspace, contender: Contender, *_, **__) -> dict:
    if contender.preset == "vgg16":
        return {"failure": "memory was too small"}
    return FIGURES | {"accuracy": 0.75, "right": [1, 1, 1, 0]}


def test_a_contender_is_called_by_its_preset_its_weights_and_what_is_frozen():
    names = ["squeezenet", "hub=hub:/some/where/module+frozen", "efficientnet_b0=imagenet", "base+frozen"]
    assert [Contender.parse(name).name for name in names] == [
        *("squeezenet", "hub module frozen", "efficientnet_b0 imagenet", "base frozen")
    ]


@pytest.mark.parametrize(
    ("names", "said", "mend"),
    [
        (["squeezent"], "unknown preset 'squeezent'", "squeezenet"),
        (["base=imagenet"], "the base has weights of its own", "base"),
        (["squeezenet", "squeezenet=random"], "named twice: squeezenet", ""),
        ([], "name the networks", ""),
    ],
)
def test_wrong_contenders_are_refused_before_anything_is_trained(workspace, monkeypatch, names, said, mend):
    monkeypatch.setattr(models, "_measured", None)
    with pytest.raises(UsageError, match=said) as refused:
        models.compare(workspace, names, seconds=60, seed=0)
    assert mend in refused.value.mend


@pytest.mark.parametrize(("base", "said"), [(False, "run `wallaby init-base"), (True, "run `dvc repro split`")])
def test_without_data_sets_it_says_what_to_run_first(workspace, base, said):
    workspace.splits_table.unlink()
    if base:
        save_bundle(workspace.base, classes=[])
    with pytest.raises(DataError) as refused:
        models.compare(workspace, ["squeezenet"], seconds=60, seed=0)
    assert refused.value.mend.startswith(said)


def test_a_network_that_cannot_be_measured_keeps_no_other_from_it(workspace, monkeypatch, capsys):
    monkeypatch.setattr(models, "_measured", measured)
    answer = models.compare(workspace, ["vgg16", "squeezenet"], seconds=60, seed=0)
    assert answer.code == Exit.SOME_FAILED
    assert [row["name"] for row in answer.data["rows"]] == ["squeezenet"]
    assert answer.data["failed"] == {"vgg16": "memory was too small"}
    printed = capsys.readouterr()
    assert "vgg16 could not be measured" in printed.err
    assert printed.out == ""
    assert (workspace.cache("compare") / "index.html").exists()


def test_without_one_that_can_be_measured_there_is_no_page(workspace, monkeypatch):
    monkeypatch.setattr(models, "_measured", measured)
    with pytest.raises(DataError, match="none of the networks") as refused:
        models.compare(workspace, ["vgg16"], seconds=60, seed=0)
    assert refused.value.where == "vgg16: memory was too small"
    assert not Path(".wallaby/compare/index.html").exists()


def test_too_little_memory_for_a_network_is_a_reason_and_a_bug_is_none(workspace, monkeypatch):
    def fail(error: Exception):
        def build(*_, **__):
            raise error

        monkeypatch.setattr(presets, "build", build)
        return trial.compete(
            preset=workspace.preset("squeezenet"),
            weights="random",
            frozen=False,
            base=workspace.base,
            base_size=None,
            splits=workspace.splits_table,
            folders={},
            cache=workspace.cache("hub"),
            batch_size=8,
            rates={False: 0.1},
            seconds=60,
            seed=0,
            augmentation={},
            settings={},
        )

    assert fail(MemoryError()) == {"failure": "memory was too small"}
    assert fail(UsageError("it does not fit", mend="take another")) == {"failure": "it does not fit; take another"}
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())


class AtOnce:
    """Runs what it is given in this very process."""

    def __init__(self, *_, **__): ...

    def __enter__(self):
        return self

    def __exit__(self, *_): ...

    def submit(self, function, *args):
        found: Future = Future()
        found.set_result(function(*args))
        return found


def test_what_was_measured_is_measured_anew_only_when_the_data_or_the_recipe_is_another(workspace, monkeypatch):
    trained = []

    def trial(work: dict) -> dict:
        name = next(name for name in workspace.presets() if workspace.preset(name) == work["preset"])
        trained.append(name)
        return measured(workspace, Contender.parse(name))

    monkeypatch.setattr(models, "_trial", trial)
    monkeypatch.setattr(models, "ProcessPoolExecutor", AtOnce)

    def compare(*names: str, seconds: float = 60) -> list[str]:
        trained.clear()
        models.compare(workspace, list(names), seconds=seconds, seed=0)
        return list(trained)

    assert compare("squeezenet") == ["squeezenet"]
    assert compare("squeezenet", "mobilenet_v2", "vgg16") == ["mobilenet_v2", "vgg16"]
    assert compare("squeezenet", "mobilenet_v2", "vgg16") == ["vgg16"]  # a failure is no measurement
    assert compare("squeezenet", seconds=120) == ["squeezenet"]
    params = workspace.params_file.read_text()
    for changed in ("  learning_rate: 0.002", "  batch_size: 16", "  rotate_degrees: 5"):
        key = changed.partition(":")[0]
        workspace.params_file.write_text(re.sub(rf"(?m)^{key}: \S+", changed, params))
        assert compare("squeezenet") == ["squeezenet"], changed
    workspace.params_file.write_text(params)
    assert compare("squeezenet") == []
    write_table(pd.read_parquet(workspace.splits_table).iloc[:-1], workspace.splits_table)
    assert compare("squeezenet") == ["squeezenet"]


TINY = "architecture: inception_v4\nimage_size: 75\noptions: {width: 0.05, blocks: [1, 1, 1]}\n"


def test_the_presets_are_listed_with_the_classes_of_one_s_own(tmp_path):
    workspace = Workspace(tmp_path)
    write_text(f"{TINY}reported: {{top1: 0.8, source: a paper}}\n", workspace.presets_folder / "tiny.yaml")
    assert models.classes(workspace) == 1000
    before = models.listed(workspace).data.iloc[0]
    write_text("cat\ndog\n", workspace.curated / "classes.txt")
    [row] = models.shown(workspace, "tiny").data.to_dict("records")
    assert before["parameters"] - row["parameters"] == (1000 - 2) * (6 * 13 + 1)
    assert (row["source"], row["failure"]) == ("a paper", "")


def test_what_a_paper_reports_needs_a_source(tmp_path):
    write_text(f"{TINY}reported: {{top1: 0.8}}\n", tmp_path / "configs/models/tiny.yaml")
    with pytest.raises(UsageError, match=r"reported\.source"):
        models.listed(Workspace(tmp_path))
