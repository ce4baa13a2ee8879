"""`wallaby find`, over a made-up pool with features."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.commands import find
from pipeline.errors import DataError
from pipeline.files import write_table, write_text
from pipeline.workspace import Workspace
from tests.library.builders import library_table, sha
from tests.review import made_up_pools

PARAMS = (Path(__file__).parents[2] / "configs/params.yaml").read_text()
FEATURES = np.array([[1, 0], [0.5, 0.5], [0.9, 0.1]])


@pytest.fixture
def workspace(tmp_path):
    """Three pool images, whose features the test stores, and no library."""
    made = Workspace(tmp_path)
    write_text(PARAMS, made.params_file)
    rows = [{"image": f"pool/{name}.jpg", "sha256": sha(name)} for name in "abc"]
    write_table(library_table(*rows), made.index / "pool.parquet")
    write_table(library_table(*rows).head(0), made.index / "library.parquet")
    return made


def identify(workspace: Workspace, features: np.ndarray | None) -> None:
    table = made_up_pools.predictions(a=("emu", 0.9), b=("dog", 0.6), c=("emu", 0.8))
    made_up_pools.store(table, workspace.predictions, features)


def test_the_nearest_come_first_and_the_image_itself_is_not_among_them(workspace):
    identify(workspace, FEATURES)
    answer = find.find(workspace, "pool/a.jpg", number=5).data
    assert [row["image"] for row in answer["pool"]] == ["pool/c.jpg", "pool/b.jpg"]
    assert answer["pool"][1]["cosine"] == pytest.approx(0.5**0.5, abs=1e-3)
    assert [row["image"] for row in find.find(workspace, sha("a")[:10], number=1).data["pool"]] == ["pool/c.jpg"]


def test_what_cannot_be_searched_is_told(workspace):
    identify(workspace, FEATURES)
    answer = find.find(workspace, "pool/a.jpg", number=5).data
    assert answer["library"] == []
    assert answer["notes"] == [
        "The library's features are not those of the model that identified the pool: run `dvc repro`."
    ]


def test_without_any_features_nothing_is_found(workspace):
    identify(workspace, None)
    with pytest.raises(DataError, match="nothing can be searched") as error:
        find.find(workspace, "pool/a.jpg", number=5)
    assert "`dvc repro identify`" in error.value.mend
