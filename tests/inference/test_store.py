import resource
import shutil

import numpy as np
import pandas as pd
import pyarrow.dataset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.evaluation import scores
from pipeline.files import write_table
from pipeline.inference import shards, store
from pipeline.inference.store import Store
from tests.inference.shade import read
from tests.library.builders import sha


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
    return read(folder)["image"].str.removeprefix("pool/").tolist()


def filled(folder, *shards: str) -> Store:
    """A store with a shard for each word, with an image for each of its letters."""
    made = Store(folder, "m")
    for letters in shards:
        made.append(predicted(*letters))
    return made


def test_what_is_stored_is_read_sorted_by_image(tmp_path):
    filled(tmp_path, "ca", "b")
    assert names(tmp_path) == ["a", "b", "c"]
    row = read(tmp_path).iloc[0]
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
    assert list(tmp_path.iterdir()) == []


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


def with_features(folder, *words: str) -> Store:
    """As `filled`; the features of an image are the number of its letter and 1."""
    made = Store(folder, "m", arrays=[shards.FEATURES])
    for letters in words:
        made.append(predicted(*letters).assign(features=shards.as_lists(np.array([[ord(x), 1.0] for x in letters]))))
    return made


def features(folder) -> dict[str, list[float]]:
    return {row.image[-1]: row.features for row in read(folder).itertuples()}


def test_features_lie_beside_each_shard_row_by_row(tmp_path):
    made = with_features(tmp_path, "ca", "b")
    made.append(predicted("x", failure="missing").assign(features=None))
    assert np.load(tmp_path / "part-00000.features.npy").tolist() == [[99.0, 1.0], [97.0, 1.0]]
    assert np.load(tmp_path / "part-00000.features.npy").dtype == np.float16
    assert features(tmp_path) == {"a": [97.0, 1.0], "b": [98.0, 1.0], "c": [99.0, 1.0], "x": [0.0, 0.0]}
    assert list(pd.read_parquet(tmp_path / "part-00000.parquet")) == store.COLUMNS


def test_a_shard_with_a_failure_has_zeros_for_it(tmp_path):
    rows = pd.concat([predicted("a").assign(features=[[3.0, 1.0]]), predicted("b", failure="missing")])
    Store(tmp_path, "m", arrays=[shards.FEATURES]).append(rows)
    assert features(tmp_path) == {"a": [3.0, 1.0], "b": [0.0, 0.0]}


def test_features_of_dropped_images_go_with_them(tmp_path):
    with_features(tmp_path, "abc", "d").keep_only(np.sort(store.keys(images(*"ac"))))
    assert features(tmp_path) == {"a": [97.0, 1.0], "c": [99.0, 1.0]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-00000.features.npy", "part-00000.parquet"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(6))
def test_a_store_that_is_killed_at_any_rename_goes_on_and_loses_nothing(tmp_path, monkeypatch, moment):
    """Of a shard that is rewritten, and of one that is appended: each of their files is put in place by a rename."""
    with_features(tmp_path / "before", "abc", "d")
    shutil.copytree(tmp_path / "before", tmp_path / "out")
    left, replace = [moment], type(tmp_path).replace

    def until_killed(path, target):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return replace(path, target)

    def work() -> None:
        made = Store(tmp_path / "out", "m", arrays=[shards.FEATURES])
        missing = store.missing(images("e"), made.done())["image"].str[-1]
        if len(missing):
            made.append(predicted(*missing).assign(features=shards.as_lists(np.array([[ord("e"), 1.0]]))))
        made.keep_only(np.sort(store.keys(images(*"acde"))))

    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "replace", until_killed)
        try:
            work()
        except Killed:
            assert moment < 5
    Store(tmp_path / "out", "m", arrays=[shards.FEATURES])
    assert {"a", "c", "d"} <= features(tmp_path / "out").keys()
    work()
    assert features(tmp_path / "out") == {x: [ord(x), 1.0] for x in "acde"}
    assert len(list((tmp_path / "out").iterdir())) == 6


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_shard_whose_features_are_cut_short_or_gone_is_removed(tmp_path, keep):
    with_features(tmp_path, "ab", "c")
    file = tmp_path / "part-00000.features.npy"
    file.write_bytes(file.read_bytes()[:keep])
    again = Store(tmp_path, "m", arrays=[shards.FEATURES])
    assert features(tmp_path) == {"c": [99.0, 1.0]}
    (tmp_path / "part-00001.features.npy").unlink()
    assert again.shards() == [tmp_path / "part-00001.parquet"]
    assert Store(tmp_path, "m", arrays=[shards.FEATURES]).shards() == []


def test_features_are_read_by_rows_slices_and_places_across_shards(tmp_path):
    parts = with_features(tmp_path, "ab", "cde", "f").shards()
    together = shards.stacked(parts, shards.starts_of(parts), shards.FEATURES)
    values = np.array([[ord(x), 1.0] for x in "abcdef"])
    assert together.shape == values.shape
    for key in (0, 4, slice(None), slice(1, 5), slice(0, 6, 2), slice(6, 9), [5, 0, 3, 3], np.array([], int)):
        np.testing.assert_array_equal(together[key], values[key])
    places = np.array([4, 0, 4])
    np.testing.assert_array_equal(
        shards.stacked(parts, shards.starts_of(parts), shards.FEATURES, places)[:], values[places]
    )


def test_mapped_shards_leave_no_file_open(tmp_path):
    """A process may open 1,024 files by default, and ten million images are 5,000 shards."""
    number = 300
    for n in range(number):
        shards.write_array(np.full((1, 2), n % 100), tmp_path / f"{n}.npy")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, limits[1]))
    try:
        together = shards.Stacked([tmp_path / f"{n}.npy" for n in range(number)], np.arange(number + 1))
        assert together[:][:, 0].tolist() == [n % 100 for n in range(number)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_shards_of_two_models_are_not_read_as_one(tmp_path):
    filled(tmp_path, "a", "b")
    write_table(store.typed(predicted("c")), tmp_path / "part-00002.parquet", model="other")
    with pytest.raises(DataError, match="predictions of two models are mixed"):
        store.of_one_model(tmp_path)


def test_shards_that_differ_in_what_else_their_rows_depend_on_are_removed(tmp_path):
    Store(tmp_path, "m", top_k="5").append(predicted("a"))
    assert len(Store(tmp_path, "m", top_k="5").shards()) == 1
    assert Store(tmp_path, "m", top_k="3").shards() == []


def test_a_shard_tells_its_schema_version_its_model_and_what_made_it(tmp_path):
    Store(tmp_path, "m at 1.0", digest="m", top_k="5").append(predicted("a"))
    metadata = pyarrow.parquet.read_schema(tmp_path / "part-00000.parquet").metadata
    assert metadata == {b"wallaby_schema": b"1", b"model": b"m at 1.0", b"digest": b"m", b"top_k": b"5"}
