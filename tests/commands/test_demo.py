"""`wallaby demo` writes the demo into a fresh clone, takes it out again, and leaves a person's work alone."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline import config
from pipeline.commands import demo
from pipeline.demo import reviewer, silhouettes
from pipeline.errors import ResumableError, UsageError
from pipeline.files import write_csv, write_table, write_text
from pipeline.library import index as scan
from pipeline.library import labels, roots
from pipeline.workspace import Workspace
from tests.demo.blobs import blobs

ROOTS = ["library", "pool", "benchmark"]


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """A fresh clone: params, and a label table without a row."""
    monkeypatch.setattr(silhouettes, "load", blobs)
    workspace = Workspace(tmp_path)
    write_text(Path(__file__).parents[2].joinpath(config.PARAMS).read_text(), workspace.params_file)
    write_text("image,label\n", workspace.labels)
    return workspace


def test_the_demo_is_taken_out_and_a_person_s_work_stays(workspace):
    written = demo.write(workspace, size=0.02).data["written"]
    assert written > 100
    assert demo.write(workspace, size=0.02).data == {"written": 0}
    write_csv(pd.DataFrame({"by": [reviewer.NAME]}), workspace.reviews / "demo.csv")
    write_csv(pd.DataFrame({"by": [reviewer.NAME]}), workspace.reviews / "demo-2.csv")
    write_csv(pd.DataFrame({"by": ["ann"]}), workspace.reviews / "demonstration.csv")
    taken_back = pd.DataFrame({"image": ["library/cat/0.jpg", "mine/a.jpg"], "decision": ["1", "2"]})
    write_csv(taken_back, workspace.replaced)
    write_csv(taken_back[:1], workspace.reviews / "apply.csv")
    config.set_root("library", "mine", workspace.root / "mine", workspace.params_file)
    mine = labels.check(pd.DataFrame({"image": ["mine/a.jpg"], "label": ["cat"]}), ["mine"], "")
    labels.write(pd.concat([labels.read(workspace.labels, [*ROOTS, "mine"]), mine]), workspace.labels)

    assert demo.remove(workspace).data == {"removed": written}
    assert labels.read(workspace.labels, [*ROOTS, "mine"])["image"].tolist() == ["mine/a.jpg"]
    assert [path.name for path in workspace.reviews.iterdir()] == ["demonstration.csv"]
    assert workspace.replaced.read_text() == "image,decision\nmine/a.jpg,2\n"
    assert not workspace.demo.exists()
    assert list(workspace.benchmarks.iterdir()) == []


def test_the_next_round_does_not_wait_for_the_demo_that_was_taken_out(workspace):
    demo.write(workspace, size=0.02)
    indexed = scan.scan(workspace.folders, workspace.index_cache, max_megapixels=100)
    for name in scan.TABLES:
        write_table(indexed if name == scan.TABLES[0] else indexed.head(0), workspace.index / name)
    demo.remove(workspace)
    table = roots.read(workspace.root_losses)
    assert set(table["name"]) == set(ROOTS)
    nobody = labels.read(workspace.labels, ROOTS)
    limit = {"max_missing": 0.3, "labelled": nobody}
    roots.refuse(scan.written(workspace.index), indexed.head(0), table, workspace.folders, **limit)
    with pytest.raises(ResumableError):
        roots.refuse(scan.written(workspace.index), indexed.head(0), table.head(0), workspace.folders, **limit)


def test_the_demo_is_taken_out_when_nobody_has_a_label_left(workspace):
    demo.write(workspace, size=0.02)
    write_text("image,label\n", workspace.labels)
    assert demo.remove(workspace).data == {"removed": 0}
    assert not workspace.demo.exists()


@pytest.mark.parametrize("there", ["a label", "a picture", "a folder"])
def test_a_library_that_is_not_the_demo_s_is_left_alone(workspace, there):
    if there == "a label":
        write_text("image,label\nlibrary/a.jpg,cat\n", workspace.labels)
    else:
        write_text("x", workspace.demo / ("library/a.jpg" if there == "a picture" else "notes.txt"))
    before = sorted(workspace.root.rglob("*"))
    with pytest.raises(UsageError, match="left alone"):
        demo.write(workspace, size=0.02)
    assert sorted(workspace.root.rglob("*")) == before
    with pytest.raises(UsageError, match="there is no demo"):
        demo.remove(workspace)


def test_the_demo_needs_the_params_to_name_its_folders(workspace):
    write_text(workspace.params_file.read_text().replace("data/demo/pool", "/photos"), workspace.params_file)
    with pytest.raises(UsageError, match="root 'pool' is not the demo's"):
        demo.write(workspace, size=0.02)
    assert not workspace.demo.exists()
