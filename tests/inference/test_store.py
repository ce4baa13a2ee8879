import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
from builders import sha
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.evaluation import scores
from pipeline.files import write_table
from pipeline.inference import store
from pipeline.inference.store import Store


def images(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"pool/{n}" for n in names], "sha256": [sha(n) for n in names]}, dtype="str")


def predicted(*names: str, failure: str = "") -> pd.DataFrame:
    probs = np.tile([0.2, 0.7, 0.1], (len(names), 1))
    said = scores.describe(probs, ["cat", "dog", "owl"], top_k=2)
    rows = images(*names).join(said).assign(failure=failure, model="m")
    if failure:
        rows = rows.assign(label="", score=np.nan, margin=np.nan, entropy=np.nan, top_labels=np.nan, top_scores=np.nan)
    return rows


def names(folder) -> list[str]:
    return store.read(folder, ["image"])["image"].str.removeprefix("pool/").tolist()


def filled(folder, *shards: str) -> Store:
    """A store with a shard for each word, with an image for each of its letters."""
    made = Store(folder, "m")
    for letters in shards:
        made.append(predicted(*letters))
    return made


def test_what_is_stored_is_read_sorted_by_image(tmp_path):
    filled(tmp_path, "ca", "b")
    assert names(tmp_path) == ["a", "b", "c"]
    row = store.read(tmp_path).iloc[0]
    assert (row["label"], row["score"], list(row["top_labels"]), row["model"]) == ("dog", 0.7, ["dog", "cat"], "m")


def test_what_is_predicted_already_is_not_asked_for_again(tmp_path):
    done = filled(tmp_path, "ab", "c").done()
    assert store.missing(images(*"abcd"), done)["image"].tolist() == ["pool/d"]


def test_an_image_whose_content_changed_is_asked_for_again(tmp_path):
    done = filled(tmp_path, "ab").done()
    changed = images(*"ab").assign(sha256=[sha("a"), sha("other")])
    assert store.missing(changed, done)["image"].tolist() == ["pool/b"]


def test_shards_of_another_model_are_removed(tmp_path):
    filled(tmp_path, "ab", "c")
    assert len(Store(tmp_path, "other").shards()) == 0
    assert len(Store(tmp_path, "m").done()) == 0


@pytest.mark.parametrize("keep", [0, 4, 0.5, 0.99])
def test_a_shard_that_was_cut_short_is_removed_and_the_others_stay(tmp_path, keep):
    first = filled(tmp_path, "ab", "c").shards()[0]
    data = first.read_bytes()
    first.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    again = Store(tmp_path, "m")
    assert [shard.name for shard in again.shards()] == ["part-00001.parquet"]
    assert len(store.missing(images(*"abc"), again.done())) == 2


def test_a_table_of_another_program_is_removed(tmp_path):
    predicted("a").to_parquet(tmp_path / "part-00000.parquet")
    write_table(predicted("b"), tmp_path / "part-00001.parquet")
    assert Store(tmp_path, "m").shards() == []


def test_a_shard_that_a_killed_run_left_half_written_is_removed(tmp_path):
    filled(tmp_path, "ab")
    (tmp_path / ".part-00001.parquet.123.tmp").write_bytes(b"half")
    (tmp_path / "summary.json").write_text("{}")
    Store(tmp_path, "m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-00000.parquet", "summary.json"]


def test_images_that_left_the_pool_are_dropped_and_the_rest_is_kept(tmp_path):
    made = filled(tmp_path, "ab", "cd", "e")
    untouched = made.shards()[2].stat().st_mtime_ns
    assert made.keep_only(np.sort(store.keys(images(*"bez")))) == 3
    assert names(tmp_path) == ["b", "e"]
    assert [shard.name for shard in made.shards()] == ["part-00000.parquet", "part-00002.parquet"]
    assert made.shards()[1].stat().st_mtime_ns == untouched
    assert Store(tmp_path, "m").done().tolist() == np.sort(store.keys(images(*"be"))).tolist()


def test_a_new_shard_never_takes_the_place_of_an_old_one(tmp_path):
    made = filled(tmp_path, "a", "b")
    made.keep_only(store.keys(images("b")))
    made.append(predicted("c"))
    assert names(tmp_path) == ["b", "c"]


def test_an_emptied_pool_empties_the_store(tmp_path):
    filled(tmp_path, "ab").keep_only(np.empty(0, np.uint64))
    with pytest.raises(DataError, match="no predictions yet"):
        store.read(tmp_path)


def test_all_shards_have_one_schema_whatever_failed(tmp_path):
    """Arrow, DuckDB and Polars read the folder as one table."""
    made = filled(tmp_path, "a")
    made.append(predicted("b", failure="missing"))
    made.append(pd.concat([predicted("c"), predicted("d", failure="missing")]))
    made.append(pd.concat([predicted("e"), predicted("f", failure="missing")]))
    made.keep_only(np.sort(store.keys(images(*"abcdf"))))
    schemas = {str(pyarrow.parquet.read_schema(shard).remove_metadata()) for shard in made.shards()}
    assert len(schemas) == 1
    assert pyarrow.dataset.dataset(made.shards()).to_table().num_rows == 5


def test_a_table_is_streamed_whole_and_in_order(tmp_path):
    write_table(images(*"abcde"), tmp_path / "pool.parquet")
    pieces = list(store.stream(tmp_path / "pool.parquet", ["image"], rows=2))
    assert [len(piece) for piece in pieces] == [2, 2, 1]
    assert pd.concat(pieces)["image"].tolist() == [f"pool/{n}" for n in "abcde"]


LETTERS = st.sets(st.sampled_from("abcdefghij"))


@given(LETTERS, LETTERS)
@settings(deadline=None, max_examples=50)
def test_missing_images_are_those_of_the_pool_without_those_done(pool, done):
    found = store.missing(images(*sorted(pool)), np.sort(store.keys(images(*done))))
    assert set(found["image"]) == {f"pool/{n}" for n in pool - done}


def test_embeddings_are_read_for_the_images_that_are_asked_for_in_their_order(tmp_path):
    made = Store(tmp_path, "m", embeddings=True)
    for number, letters in enumerate(("ab", "cd", "e")):
        values = [[10.0 * number + place, 1.0] for place in range(len(letters))]
        made.append(predicted(*letters).assign(embedding=pd.Series(values, dtype=object)))
    made.append(predicted("x", failure="missing").assign(embedding=None))
    found = store.read_embeddings(tmp_path, images(*"dae")["image"])
    assert found.dtype == np.float16
    assert found.tolist() == [[11.0, 1.0], [0.0, 1.0], [20.0, 1.0]]
    assert store.read_embeddings(tmp_path, images()["image"]).shape == (0, 0)
    with pytest.raises(DataError, match="1 of 2 images have no embedding"):
        store.read_embeddings(tmp_path, images(*"ax")["image"])
    assert "embedding" not in store.read(tmp_path)


def test_shards_of_two_models_are_not_read_as_one(tmp_path):
    filled(tmp_path, "a", "b")
    write_table(store.typed(predicted("c")), tmp_path / "part-00002.parquet", model="other")
    with pytest.raises(DataError, match="predictions of two models are mixed"):
        store.read(tmp_path)


def test_shards_that_differ_in_what_else_their_rows_depend_on_are_removed(tmp_path):
    Store(tmp_path, "m", top_k="5").append(predicted("a"))
    assert len(Store(tmp_path, "m", top_k="5").shards()) == 1
    assert Store(tmp_path, "m", top_k="3").shards() == []


def test_a_shard_tells_its_schema_version_its_model_and_what_made_it(tmp_path):
    Store(tmp_path, "m at 1.0", digest="m", top_k="5").append(predicted("a"))
    metadata = pyarrow.parquet.read_schema(tmp_path / "part-00000.parquet").metadata
    assert metadata == {b"wallaby_schema": b"1", b"model": b"m at 1.0", b"digest": b"m", b"top_k": b"5"}
