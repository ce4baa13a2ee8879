"""A workspace is found from any folder in it, and knows where its files, its params and its copies' caches lie."""

from pathlib import Path

import pytest

from pipeline import sections
from pipeline.errors import UsageError
from pipeline.workspace import Workspace

PARAMS = Path(__file__).parents[1] / "configs/params.yaml"


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "zoo/configs").mkdir(parents=True)
    (tmp_path / "zoo/configs/params.yaml").write_text(PARAMS.read_text())
    (tmp_path / "zoo/data/index").mkdir(parents=True)
    return tmp_path / "zoo"


@pytest.mark.parametrize("below", [".", "data", "data/index"])
def test_it_is_found_from_any_folder_in_it_and_names_files_as_a_shell_there_does(root, below, monkeypatch):
    monkeypatch.chdir(root / below)
    found = Workspace.find({})
    assert found.labels.resolve() == root / "data/labels.csv"
    assert str(found.labels) == {".": "data/labels.csv", "data": "../data/labels.csv"}.get(
        below, "../../data/labels.csv"
    )
    assert found.home == root
    assert not found.throwaway


def test_outside_of_one_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no folder above has configs"):
        Workspace.find({})
    assert not list(tmp_path.iterdir())


def test_an_experiment_s_copy_shares_images_and_caches_and_is_throw_away(root, monkeypatch):
    monkeypatch.chdir(root)
    copy = Workspace.find({"DVC_ROOT": "/home/me/zoo", "DVC_EXP_NAME": "trial"})
    assert (copy.throwaway, copy.experiment) == (True, "trial")
    assert copy.folders["library"] == Path("/home/me/zoo/data/demo/library")
    assert copy.cache("hub") == Path("/home/me/zoo/.wallaby/hub")
    assert copy.own("train") == root / ".wallaby/train"
    assert copy.model == Path("data/model")


def test_folders_of_roots_count_from_the_repository_and_absolute_ones_stay(root):
    text = PARAMS.read_text().replace("    pool: data/demo/pool", "    pool: /mnt/pool")
    (root / "configs/params.yaml").write_text(text)
    folders = Workspace(root).folders
    assert folders == {
        "library": root / "data/demo/library",
        "pool": Path("/mnt/pool"),
        "benchmark": root / "data/demo/benchmark",
    }


def test_the_files_of_the_service_count_from_the_repository(root):
    served = Workspace(root).params(sections.Serve)
    assert served.store == f"sqlite:///{root}/data/serving/transactions.sqlite"
    assert served.keys == root / "data/serving/keys.json"
    other = PARAMS.read_text().replace("sqlite:///data/serving/transactions.sqlite", "postgresql+psycopg://u:p@h/n")
    (root / "configs/params.yaml").write_text(other.replace('shadow: ""', "shadow: data/model"))
    served = Workspace(root).params(sections.Serve)
    assert (served.store, served.shadow) == ("postgresql+psycopg://u:p@h/n", str(root / "data/model"))


def test_a_preset_that_there_is_not_offers_the_nearest(root):
    (root / "configs/models").mkdir()
    (root / "configs/models/squeezenet.yaml").write_text("architecture: squeezenet\nimage_size: 64\n")
    assert Workspace(root).presets() == ["squeezenet"]
    with pytest.raises(UsageError) as refused:
        Workspace(root).preset("squeezenett")
    assert refused.value.mend == "did you mean 'squeezenet'?"
