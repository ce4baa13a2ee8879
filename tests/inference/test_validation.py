"""A store is held against what it says of itself; each fault is named with its shard and row."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.errors import DataError
from pipeline.files import write_json, write_table
from pipeline.inference import store
from pipeline.inference.validation import validate
from tests.inference.shade import Shade, grey, identify, table


@pytest.fixture
def folder(tmp_path):
    """Nine images, of which one has failed and one was skipped, in three shards, and their summary."""
    for n in range(9):
        grey(tmp_path / "pool" / f"{n}.png", 28 * n)
    index = table(tmp_path / "pool")
    index.loc[1, "failure"] = "damaged or cut short"
    (tmp_path / "pool" / "5.png").unlink()
    identify(index, tmp_path / "pool", tmp_path / "out", Shade())
    write_json({"pool": 9, "identified": 7, "failed": 1, "skipped": 1}, tmp_path / "out" / "summary.json")
    return tmp_path / "out"


def spoil(folder, change) -> None:
    """Changes the rows of the second shard."""
    shard = folder / "part-00001.parquet"
    rows = pd.read_parquet(shard, dtype_backend="pyarrow").astype({"image": "str", "failure": "str", "label": "str"})
    rows = change(rows)
    write_table(pa.Table.from_pandas(store.typed(rows), preserve_index=False), shard, model="m")


def put(column: str, row: int, value):
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        values = rows[column].tolist()
        values[row] = value
        return rows.assign(**{column: pd.Series(values, dtype=object)})

    return change


def test_a_finished_store_is_valid(folder):
    assert validate(folder) == ({"pool": 9, "identified": 7, "failed": 1, "skipped": 1}, [])


def test_one_shard_is_looked_at_alone(folder):
    assert validate(folder / "part-00002.parquet") == (
        {"pool": 1, "identified": 1, "failed": 0, "skipped": 0},
        [],
    )


@pytest.mark.parametrize(
    ("column", "row", "value", "says"),
    [
        ("image", 0, "4.png", "part-00001.parquet, row 1: the image is not called ROOT/path"),
        ("image", 0, "pool/0.png", "part-00001.parquet, row 1: pool/0.png stands twice"),
        ("image", 0, "pool/7.png", "part-00001.parquet, row 4: pool/7.png stands twice"),
        ("sha256", 2, "abc", "part-00001.parquet, row 3: sha256 is no content hash"),
        ("model", 3, "other", "part-00001.parquet, row 4: another model"),
        ("label", 1, "light", "part-00001.parquet, row 2: a failure with a prediction"),
        ("score", 0, np.nan, "part-00001.parquet, row 1: neither a prediction nor a failure"),
        ("score", 0, 1.2, "part-00001.parquet, row 1: the score is not between 0 and 1"),
        ("score", 3, 0.5, "part-00001.parquet, row 4: the score is not the first of top_scores"),
        ("label", 2, "dark", "part-00001.parquet, row 3: the label is not the first of top_labels"),
        ("margin", 2, 0.9, "part-00001.parquet, row 3: the margin is not between the first two scores"),
        ("entropy", 2, 0.1, "part-00001.parquet, row 3: the entropy is below that of top_scores"),
        ("top_scores", 2, [0.3, 0.7], "part-00001.parquet, row 3: top_scores are not sorted"),
        ("top_scores", 2, [0.9, 0.3], "part-00001.parquet, row 3: top_scores are no probabilities"),
        ("top_scores", 2, [0.9], "part-00001.parquet, row 3: top_labels and top_scores are not of one length"),
    ],
)
def test_a_fault_is_named_with_its_shard_and_row(folder, column, row, value, says):
    spoil(folder, put(column, row, value))
    assert says in [str(fault) for fault in validate(folder)[1]]


def put_feature(values: np.ndarray, row: int, value: float) -> np.ndarray:
    values[row, 1] = value
    return values


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda values: values[:3], "part-00001.features.npy: it has 3 rows, its shard has 4"),
        (lambda values: values[:, :2], "part-00001.features.npy: 2 features of an image, 3 in the shards before"),
        (lambda values: put_feature(values, 2, np.nan), "part-00001.features.npy, row 3: features that are no numbers"),
        (lambda values: put_feature(values, 0, np.inf), "part-00001.features.npy, row 1: features that are no numbers"),
        (lambda values: put_feature(values, 1, 5.0), "part-00001.features.npy, row 2: features of a failure"),
    ],
)
def test_features_that_do_not_fit_their_rows_are_named(folder, change, says):
    file = folder / "part-00001.features.npy"
    np.save(file, change(np.load(file)))
    assert [str(fault) for fault in validate(folder)[1]] == [says]


def test_features_that_are_cut_short_or_gone_are_named(folder):
    file = folder / "part-00001.features.npy"
    file.write_bytes(file.read_bytes()[:-1])
    [fault] = validate(folder)[1]
    assert str(fault).startswith("part-00001.features.npy: stored values cannot be read")
    file.unlink()
    [fault] = validate(folder)[1]
    assert str(fault) == "part-00001.features.npy: only some shards have features, part-00000.parquet for example"


def test_what_many_rows_have_is_said_once(folder):
    spoil(folder, lambda rows: rows.assign(sha256="abc"))
    assert [str(fault) for fault in validate(folder)[1]] == [
        "part-00001.parquet, row 1: sha256 is no content hash (and 3 more)"
    ]


def test_a_shard_without_a_column_or_with_another_type_is_named(folder):
    rows = pd.read_parquet(folder / "part-00000.parquet")
    write_table(rows.drop(columns="margin").assign(score="high"), folder / "part-00000.parquet", model="m")
    faults = [str(fault) for fault in validate(folder)[1]]
    assert "part-00000.parquet: column 'margin' is missing" in faults
    assert "part-00000.parquet: column 'score' is of type large_string" in faults


def test_a_shard_of_another_model_is_named(folder):
    rows = pd.read_parquet(folder / "part-00002.parquet")
    write_table(store.typed(rows), folder / "part-00002.parquet", model="other")
    assert [str(fault) for fault in validate(folder)[1]] == [
        "part-00002.parquet: it is of model 'other', part-00000.parquet of 'm'"
    ]


def test_a_shard_that_was_cut_short_is_named_and_so_are_the_images_that_it_lacks(folder):
    shard = folder / "part-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    first, *rest = (str(fault) for fault in validate(folder)[1])
    assert first.startswith("part-00001.parquet: not a readable table")
    assert rest[0] == "summary.json: pool is 9, the shards have 5"


def test_a_store_without_its_summary_has_not_finished(folder):
    (folder / "summary.json").unlink()
    assert [str(fault) for fault in validate(folder)[1]] == [
        "summary.json: there is none: the identification has not finished"
    ]


def test_no_predictions_are_nothing_to_look_at(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="there are no predictions"):
            validate(path)
