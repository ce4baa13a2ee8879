"""`wallaby roots` tells what roots have lost, and records a loss that is meant."""

import pandas as pd
import pytest

from pipeline.commands import roots
from pipeline.errors import UsageError
from pipeline.files import write_table, write_text
from pipeline.library import index
from pipeline.library import roots as losses
from pipeline.workspace import Workspace

PARAMS = "roots:\n  library: {library: library}\n  pool: {pool: pool, attic: attic}\n"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Two of the library's three indexed images are there; so is all of the pool; the attic has never had one."""
    workspace = Workspace(tmp_path)
    write_text(PARAMS, workspace.params_file)
    images = ["library/a.jpg", "library/b.jpg", "library/c.jpg", "pool/d.jpg"]
    table = pd.DataFrame({"image": images, "sha256": ["1" * 64, "2" * 64, "3" * 64, "4" * 64], "failure": ""})
    for name in index.TABLES:
        write_table(table if name == "library.parquet" else table.head(0), workspace.index / name)
    for image in images[1:]:
        write_text("", tmp_path / image)
    return workspace


def test_each_root_tells_its_images_and_how_many_are_missing(workspace):
    rows = roots.listed(workspace).data
    assert [(row["name"], row["kind"], row["exists"], row["images"], row["missing"]) for row in rows] == [
        ("library", "library", True, 3, 1),
        ("pool", "pool", True, 1, 0),
        ("attic", "pool", False, 0, 0),
    ]
    assert rows[0]["folder"] == str(workspace.root / "library")


def test_a_loss_that_is_meant_is_recorded_with_who_said_so(workspace):
    trial = roots.empty(workspace, "library", by="ann", dry_run=True)
    assert "would be recorded" in trial.text
    assert not workspace.root_losses.exists()
    assert roots.empty(workspace, "library", by="ann", note="sold").data == trial.data
    (row,) = losses.read(workspace.root_losses).to_dict("records")
    assert (row["name"], row["images"], row["left"], row["by"], row["note"]) == ("library", "3", "2", "ann", "sold")


def test_where_nothing_is_lost_nothing_is_recorded(workspace):
    assert "nothing is recorded" in roots.empty(workspace, "pool", by="ann").text
    assert not workspace.root_losses.exists()


@pytest.mark.parametrize(("name", "what"), [("libary", "unknown root 'libary'"), ("attic", "nothing to lose")])
def test_a_root_that_had_no_image_has_nothing_to_lose(workspace, name, what):
    with pytest.raises(UsageError, match=what):
        roots.empty(workspace, name, by="ann")
