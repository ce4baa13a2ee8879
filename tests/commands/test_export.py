"""`wallaby export`: the model for other programs, and the images that it is compared with Keras on."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline.commands import export
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json, write_table
from pipeline.inference.prediction_export import Selection
from pipeline.workspace import Workspace
from tests.library.builders import noise, put
from tests.networks import save_bundle

REPOSITORY = Path(__file__).parents[2]
FOLDERS = {"library": "data/demo/library", "pool": "data/demo/pool"}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    return Workspace(tmp_path)


def rows_of(root: str) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{root}/{n}.png" for n in range(4)], "sha256": list("dbca")})


def test_images_to_check_with_are_those_of_the_data_sets_else_of_the_pool(workspace):
    with pytest.raises(DataError, match="no picture to check the export with"):
        export.some_images(workspace, 2)
    for table, root in ((workspace.pool_table, "pool"), (workspace.splits_table, "library")):
        write_table(rows_of(root), table)
        assert [path.name for path in export.some_images(workspace, 2)] == ["3.png", "1.png"]
        assert export.some_images(workspace, 1)[0].parent == workspace.folders[root]


def test_a_dry_run_writes_nothing_and_the_command_tells_what_it_did(workspace, tmp_path):
    save_bundle(workspace.model, round=3)
    write_table(rows_of("pool"), workspace.pool_table)
    for number in range(4):
        put(workspace.folders["pool"] / f"{number}.png", noise(number))
    planned = export.model(workspace, "savedmodel", dry_run=True).data
    assert not workspace.export.exists()
    answer = export.model(workspace, "savedmodel", check=3)
    assert planned.items() <= answer.data.items()
    assert answer.data["check"]["pictures"] == 3
    assert read_json(workspace.export / "savedmodel/card.json").items() <= answer.data.items()
    assert "scores differ from Keras by at most" in answer.text


def test_a_file_that_is_there_is_replaced_only_when_asked(workspace, tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(UsageError, match="there is a file already"):
        export.predictions(workspace, "csv", Selection(), out=tmp_path / "mine.csv")
    with pytest.raises(UsageError, match="--limit 0: at least one image"):
        export.predictions(workspace, "csv", Selection(limit=0))
