"""Which networks are compared, and what is said of those that cannot be."""

import json
import re
import shutil
from concurrent.futures import Future
from pathlib import Path

import pandas as pd
import pytest

from pipeline import comparing, config, paths, tracking
from pipeline.cli import program
from pipeline.comparing import Contender
from pipeline.errors import DataError, Exit, UsageError
from pipeline.files import write_table
from pipeline.models import presets
from tests.networks import save_bundle

ROOT = Path(__file__).parent.parent


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """Params, presets and a split of two classes; nothing is logged."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(tracking, "log_comparison", lambda *_: None)
    rows = [{"image": f"library/{n}.png", "set": ("train", "val")[n > 5], "label": "ab"[n % 2]} for n in range(10)]
    write_table(pd.DataFrame(rows).assign(flip=True), paths.SPLITS / "splits.parquet")
    return tmp_path


FIGURES = {
    **{"latency_ms": 9.5, "images_per_second": 50.0, "train_seconds": 61.0, "epochs": 3, "images": 6},
    **{"memory_mb": 900, "size_mb": 4.5, "parameters": 1_000_000, "image_size": 75, "macro_f1": 0.5, "threads": 2},
}


def measured(contender: Contender, *_, **__) -> dict:
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
    monkeypatch.setattr(comparing, "_measured", None)
    with pytest.raises(UsageError, match=said) as refused:
        comparing.compare(names, seconds=60, seed=0)
    assert mend in refused.value.mend


@pytest.mark.parametrize(("base", "said"), [(False, "run `wallaby init-base"), (True, "run `dvc repro split`")])
def test_without_data_sets_it_says_what_to_run_first(workspace, base, said):
    (paths.SPLITS / "splits.parquet").unlink()
    if base:
        save_bundle(paths.BASE, classes=[])
    with pytest.raises(DataError) as refused:
        comparing.compare(["squeezenet"], seconds=60, seed=0)
    assert refused.value.mend.startswith(said)


def test_a_network_that_cannot_be_measured_keeps_no_other_from_it(workspace, monkeypatch, capsys):
    monkeypatch.setattr(comparing, "_measured", measured)
    args = program().parse(["models", "compare", "vgg16", "squeezenet", "--json"])
    assert args.function(args) == Exit.SOME_FAILED
    told = capsys.readouterr()
    found = json.loads(told.out)  # nothing else on stdout
    assert [row["name"] for row in found["rows"]] == ["squeezenet"]
    assert found["failed"] == {"vgg16": "memory was too small"}
    assert "vgg16 could not be measured" in told.err
    assert Path(".wallaby/compare/index.html").exists()


def test_without_one_that_can_be_measured_there_is_no_page(workspace, monkeypatch):
    monkeypatch.setattr(comparing, "_measured", measured)
    with pytest.raises(DataError, match="none of the networks") as refused:
        comparing.compare(["vgg16"], seconds=60, seed=0)
    assert refused.value.where == "vgg16: memory was too small"
    assert not Path(".wallaby/compare/index.html").exists()


def test_too_little_memory_for_a_network_is_a_reason_and_a_bug_is_none(workspace, monkeypatch):
    def fail(error: Exception):
        def build(*_, **__):
            raise error

        monkeypatch.setattr(presets, "build", build)
        return comparing._trial(Contender.parse("squeezenet"), paths.SPLITS / "splits.parquet", 60, 0)

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

    def trial(contender: Contender, *_) -> dict:
        trained.append(contender.name)
        return measured(contender)

    monkeypatch.setattr(comparing, "_trial", trial)
    monkeypatch.setattr(comparing, "ProcessPoolExecutor", AtOnce)

    def compare(*names: str, seconds: float = 60) -> list[str]:
        trained.clear()
        comparing.compare(list(names), seconds=seconds, seed=0)
        return list(trained)

    assert compare("squeezenet") == ["squeezenet"]
    assert compare("squeezenet", "mobilenet_v2", "vgg16") == ["mobilenet_v2", "vgg16"]
    assert compare("squeezenet", "mobilenet_v2", "vgg16") == ["vgg16"]  # a failure is no measurement
    assert compare("squeezenet", seconds=120) == ["squeezenet"]
    params = config.PARAMS.read_text()
    for changed in ("  learning_rate: 0.002", "  batch_size: 16", "  rotate_degrees: 5"):
        key = changed.partition(":")[0]
        config.PARAMS.write_text(re.sub(rf"(?m)^{key}: \S+", changed, params))
        assert compare("squeezenet") == ["squeezenet"], changed
    config.PARAMS.write_text(params)
    assert compare("squeezenet") == []
    write_table(pd.read_parquet(paths.SPLITS / "splits.parquet").iloc[:-1], paths.SPLITS / "splits.parquet")
    assert compare("squeezenet") == ["squeezenet"]
