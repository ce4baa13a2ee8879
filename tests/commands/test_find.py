"""`wallaby find`, over a made-up pool with features."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.commands import find
from pipeline.errors import DataError
from pipeline.files import write_table, write_text
from pipeline.inference import frozen_features, shards
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


def embed(folder: Path, features: dict[str, list[float]], *, key: str = "k" * 16) -> None:
    """Stores frozen features by the name that the content's hash is made of."""
    made = frozen_features.open_store(folder, key, runtime="keras")
    rows = pd.DataFrame({"image": [*features], "sha256": [sha(name) for name in features], "failure": ""})
    made.append(rows.assign(model=key, features=shards.as_lists(np.array([*features.values()]))))
    frozen_features.finish(folder, {"backbone": key, "name": "lite", **made.count()})


def test_frozen_features_are_searched_where_they_exist_and_the_answer_says_so(workspace):
    identify(workspace, FEATURES)
    embed(workspace.pool_features, {"a": [1, 0, 0], "b": [0.9, 0.1, 0], "c": [0, 0, 1]})
    answer = find.find(workspace, "pool/a.jpg", number=5).data
    assert answer["features"] == "lite"
    assert [(row["image"], row["label"], row["score"]) for row in answer["pool"]] == [
        ("pool/b.jpg", "dog", pytest.approx(0.6)),
        ("pool/c.jpg", "emu", pytest.approx(0.8)),
    ]
    assert answer["notes"] == ["The library has no features of lite: `dvc repro embed` computes them."]


def test_frozen_features_find_images_before_any_model_has_seen_the_pool(workspace):
    embed(workspace.pool_features, {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0.9, 0, 0.1]})
    answer = find.find(workspace, "pool/a.jpg", number=1).data
    assert [(row["image"], row["label"]) for row in answer["pool"]] == [("pool/c.jpg", "")]


def test_an_image_of_the_library_finds_its_like_with_their_labels_and_sets(workspace):
    rows = [{"image": f"library/{name}.jpg", "sha256": sha(name)} for name in "xyz"]
    write_table(library_table(*rows), workspace.library_table)
    splits = pd.DataFrame(rows).assign(label=["emu", "dog", "emu"], set=["train", "val", "test"])
    write_table(splits, workspace.splits_table)
    embed(workspace.library_features, {"x": [1, 0, 0], "y": [0, 1, 0], "z": [1, 0.1, 0]})
    answer = find.find(workspace, "library/x.jpg", number=1).data
    assert [(row["image"], row["label"], row["set"]) for row in answer["library"]] == [("library/z.jpg", "emu", "test")]


def test_an_image_without_stored_features_and_params_that_name_another_network_are_refused(workspace):
    embed(workspace.pool_features, {"b": [0.9, 0.1, 0], "c": [0, 0, 1], "d": [1, 0, 0]})
    write_text(PARAMS.replace("model: efficientnet_lite0", "model: none"), workspace.params_file)
    with pytest.raises(DataError, match="the params name another network") as error:
        find.find(workspace, "pool/a.jpg", number=5)
    assert "dvc repro embed" in error.value.mend


def test_while_pool_and_library_have_features_of_two_networks_only_one_is_searched(workspace):
    embed(workspace.pool_features, {"a": [1, 0, 0], "b": [0.9, 0.1, 0], "c": [0, 0, 1]})
    embed(workspace.library_features, {"a": [0, 0, 1], "y": [1, 0, 0], "z": [0, 1, 0]}, key="n" * 16)
    answer = find.find(workspace, "pool/a.jpg", number=1).data
    assert [row["image"] for row in answer["pool"]] == ["pool/b.jpg"]
    assert answer["library"] == []
    assert answer["notes"] == ["The library has no features of lite: `dvc repro embed` computes them."]
