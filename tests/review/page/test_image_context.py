"""What stands beside an image that is being reviewed: its like among the labelled ones."""

import numpy as np
import pandas as pd
import pytest

from pipeline.files import read_table, write_table
from pipeline.inference import frozen_features, shards, store
from pipeline.library.exclusion import Reason
from pipeline.review.page.image_context import ImageContext
from tests.library.builders import sha
from tests.review.made_up_pools import MODEL, predictions
from tests.review.made_up_pools import store as write_predictions

LABELLED = [f"library/{n}.jpg" for n in range(6)]


@pytest.fixture
def context(tmp_path) -> ImageContext:
    """Six evaluated images, the last of a benchmark, and a pool of three; features are directions of their own."""
    rows = pd.DataFrame({"image": LABELLED, "sha256": [sha(image) for image in LABELLED]}, dtype="str")
    outputs = store.Store(tmp_path / "evaluation/outputs", MODEL, by=store.BY_CONTENT, arrays=shards.ARRAYS)
    arrays = {"log_probs": shards.as_lists(np.zeros((6, 2))), "features": shards.as_lists(np.eye(6))}
    outputs.append(rows[["sha256"]].assign(**arrays).iloc[::-1])
    rows = rows.assign(label="cat", set=["train", "val", "test", "train", "train", "benchmark:field"])
    write_table(rows, tmp_path / "evaluation/scores.parquet")
    pool = predictions(**dict.fromkeys("abc", ("cat", 0.5)))
    pool.loc[2, "failure"] = "cut short"
    write_predictions(pool, tmp_path / "predictions", np.eye(6)[[3, 5, 0]], shard_rows=2)
    (tmp_path / "predictions/summary.json").touch()
    folders = {
        name: tmp_path / name
        for name in ("labels_table", "curated", "index_cache", "cache", "library_features", "pool_features")
    }
    return ImageContext(evaluation=tmp_path / "evaluation", predictions=tmp_path / "predictions", folders={}, **folders)


def test_the_like_of_a_pool_image_are_labelled_ones_and_none_of_a_benchmark(context):
    _, like = context.nearest("pool/a.jpg", sha("a"))
    assert like[0] == {"image": LABELLED[3], "sha256": sha(LABELLED[3]), "label": "cat", "cosine": pytest.approx(1)}
    assert LABELLED[5] not in {row["image"] for row in context.nearest("pool/b.jpg", sha("b"))[1]}


def test_the_like_of_a_labelled_image_are_others(context):
    _, like = context.nearest(LABELLED[0], sha(LABELLED[0]))
    assert {row["image"] for row in like} == set(LABELLED[1:5])


def test_an_image_that_could_not_be_read_or_is_not_in_the_pool_has_no_like(context):
    assert context.nearest("pool/c.jpg", sha("c")) == ("", None)
    assert context.nearest("pool/none.jpg", sha("none")) == ("", None)


def test_the_features_are_those_of_the_model_that_evaluated(context):
    assert context.features_of() == MODEL


def test_frozen_features_find_the_like_where_this_image_and_the_labelled_ones_have_them(context, tmp_path):
    """The frozen network sees another order than the model: the benchmark's image is still none of the like."""
    frozen = {
        "library_features": (dict(zip(LABELLED, np.eye(6)[::-1], strict=True))),
        "pool_features": {"a": np.eye(6)[4] + 0.1, "c": np.eye(6)[0]},
    }
    for name, features in frozen.items():
        made = frozen_features.open_store(tmp_path / name, "k" * 16, runtime="keras")
        rows = pd.DataFrame({"image": [*features], "sha256": [sha(image) for image in features], "failure": ""})
        made.append(rows.assign(model="k" * 16, features=shards.as_lists(np.stack([*features.values()]))))
        summary = {"backbone": "k" * 16, "name": "shade", **made.count()}
        frozen_features.finish(tmp_path / name, summary)
    network, like = context.nearest("pool/a.jpg", sha("a"))
    assert (like[0]["image"], network) == (LABELLED[1], "shade")
    assert LABELLED[5] not in {row["image"] for row in context.nearest("pool/c.jpg", sha("c"))[1]}
    assert {row["image"] for row in context.nearest(LABELLED[0], sha(LABELLED[0]))[1]} == set(LABELLED[1:5])
    network, like = context.nearest("pool/b.jpg", sha("b"))  # by the model: it has no frozen features
    assert like
    assert network == ""
    rows = read_table(tmp_path / "evaluation/scores.parquet")
    write_table(rows.assign(label="dog"), tmp_path / "evaluation/scores.parquet")  # another round, the same features
    assert context.nearest("pool/a.jpg", sha("a"))[1][0]["label"] == "dog"


def test_a_class_below_the_cutoff_has_samples_though_no_image_of_it_is_in_a_set(context, tmp_path):
    row = {"sha256": sha("k"), "group": "g", "origin": "real", "subclass": ""}
    write_table(pd.DataFrame([row | {"image": "library/k.jpg", "label": "cat"}]), tmp_path / "curated/images.parquet")
    left_out = [("library/okapi.jpg", "okapi", Reason.BELOW_CUTOFF), ("library/blur.jpg", "gnu", Reason.DUPLICATE)]
    rows = [
        row | {"image": image, "label": label, "reason": str(reason), "group": image}
        for image, label, reason in left_out
    ]
    write_table(pd.DataFrame(rows), tmp_path / "curated/excluded.parquet")
    assert context.samples() == {"cat": [("library/k.jpg", sha("k"))], "okapi": [("library/okapi.jpg", sha("k"))]}
