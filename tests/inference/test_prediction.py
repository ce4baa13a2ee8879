"""Rows of the index in, rows of predictions out, the same for every engine."""

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.inference import prediction, shards, store
from tests.inference.shade import Shade, grey, table


@pytest.fixture
def predict(tmp_path):
    for n in range(5):
        grey(tmp_path / "pool" / f"{n}.png", 50 * n)
    index = table(tmp_path / "pool")
    index.loc[1, "failure"] = "damaged or cut short"

    def call(rows=slice(None), *, runtime=None, embeddings: bool = True) -> pd.DataFrame:
        return prediction.predict(
            index.iloc[rows],
            runtime or Shade(),
            load=prediction.from_folders({"pool": tmp_path / "pool"}),
            batch_size=2,
            top_k=1,
            embeddings=embeddings,
        )

    return call


def test_every_row_has_its_prediction_in_the_order_of_the_rows(predict):
    found = predict([4, 1, 0])
    assert found["image"].tolist() == ["pool/4.png", "pool/1.png", "pool/0.png"]
    assert found["label"].tolist() == ["light", "", "dark"]
    assert found["failure"].tolist() == ["", "damaged or cut short", ""]
    assert [list(value) for value in found["features"][[0, 2]]] == [[200.0] * 3, [0.0] * 3]


@pytest.mark.parametrize("rows", [slice(0), slice(1, 2), slice(None)])
def test_the_columns_and_their_types_are_the_same_whatever_the_rows(predict, rows):
    expected = predict([0])
    assert predict(rows).dtypes.to_dict() == expected.dtypes.to_dict()
    assert list(expected) == [*store.COLUMNS, shards.FEATURES]


def test_features_that_are_not_wanted_are_not_made(predict):
    assert list(predict(embeddings=False)) == store.COLUMNS


def test_a_model_that_gives_no_numbers_is_refused_with_a_picture(predict):
    class Spoilt(Shade):
        def predict(self, pixels: np.ndarray) -> np.ndarray:
            return super().predict(pixels) * np.nan

    with pytest.raises(DataError, match=r"no numbers \(NaN\) for 2 of 2 images") as refused:
        predict(runtime=Spoilt())
    assert "pool/0.png" in refused.value.where
