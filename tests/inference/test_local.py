"""Identification of the whole pool: killed and continued, grown and shrunk, and everything adds up."""

import numpy as np
import pandas as pd
import pytest
from builders import put
from PIL import Image

from pipeline.files import digest
from pipeline.inference import local, store
from pipeline.inference.local import Counts

CLASSES = ["dark", "light"]
BATCH, SHARD = 2, 4


class Killed(BaseException):
    pass


class Shade:
    """A runtime that tells light pictures from dark ones, counts what it sees, and can be killed after some batches."""

    classes, image_sizes = CLASSES, (8,)

    def __init__(self, die_after: int = 1000, model: str = "m"):
        self.model = self.key = model
        self.seen, self.calls, self._die_after = 0, 0, die_after

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        if self.calls == self._die_after:
            raise Killed
        self.calls, self.seen = self.calls + 1, self.seen + len(pixels)
        light = pixels.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - light, light], axis=1)


@pytest.fixture
def pool(tmp_path):
    """Eleven pictures from dark to light; of number 3 the index says it is damaged, number 7 has gone since."""
    for n in range(11):
        put(tmp_path / "pool" / f"{n:02d}.png", Image.new("L", (8, 8), 20 * n))
    names = [f"pool/{n:02d}.png" for n in range(11)]
    contents = [digest(tmp_path / name) for name in names]
    (tmp_path / "pool" / "07.png").unlink()
    table = pd.DataFrame({"image": names, "sha256": contents, "failure": ""}, dtype="str")
    table.loc[3, "failure"] = "damaged or cut short"
    return table


@pytest.fixture
def identify(tmp_path):
    def call(table: pd.DataFrame, runtime: Shade, *, out: str = "out", pieces: int = 3) -> Counts:
        size = -(-len(table) // pieces) or 1
        return local.identify(
            [table[first : first + size] for first in range(0, len(table), size)],
            len(table),
            runtime=runtime,
            folders={"pool": tmp_path / "pool"},
            out=store.Store(tmp_path / out, runtime.key),
            batch_size=BATCH,
            shard_rows=SHARD,
            top_k=2,
        )

    return call


def test_every_image_of_the_pool_is_identified_or_has_failed(pool, identify, tmp_path):
    runtime = Shade()
    assert identify(pool, runtime) == Counts(identified=9, failed=2, before=0)
    assert runtime.seen == 9
    found = store.read(tmp_path / "out")
    assert found["image"].tolist() == pool["image"].tolist()
    failures = found[found["failure"] != ""].set_index("image")["failure"].to_dict()
    assert failures == {"pool/03.png": "damaged or cut short", "pool/07.png": "missing"}


def test_each_image_has_its_own_prediction(pool, identify, tmp_path):
    identify(pool, Shade())
    found = store.read(tmp_path / "out").drop(index=[3, 7])
    light = np.array([20 * n / 255 for n in range(11) if n not in (3, 7)])
    assert found["label"].tolist() == np.where(light > 0.5, "light", "dark").tolist()
    assert found["score"].tolist() == pytest.approx(np.maximum(light, 1 - light).tolist())
    assert set(found["model"]) == {"m"}


def test_an_image_that_failed_has_no_prediction(pool, identify, tmp_path):
    identify(pool, Shade())
    failed = store.read(tmp_path / "out").loc[[3, 7]]
    assert failed["label"].tolist() == ["", ""]
    assert failed[["score", "margin", "entropy", "top_labels", "top_scores"]].isna().all(axis=None)


@pytest.mark.parametrize("batches", range(5))
def test_a_killed_run_continues_and_ends_as_if_nothing_had_happened(pool, identify, tmp_path, batches):
    identify(pool, Shade(), out="undisturbed")
    killed, second = Shade(die_after=batches), Shade()
    with pytest.raises(Killed):
        identify(pool, killed)
    counts = identify(pool, second)
    assert counts.identified + counts.failed + counts.before == 11
    assert killed.seen + second.seen - 9 < SHARD  # at most one shard was read twice
    assert second.seen == 9 or batches >= 2
    pd.testing.assert_frame_equal(store.read(tmp_path / "out"), store.read(tmp_path / "undisturbed"))
    for shard in (tmp_path / "out").glob("part-*"):
        assert shard.read_bytes() == (tmp_path / "undisturbed" / shard.name).read_bytes()


def test_a_second_run_costs_nothing(pool, identify, tmp_path):
    identify(pool, Shade())
    before = store.read(tmp_path / "out")
    runtime = Shade()
    assert identify(pool, runtime) == Counts(identified=0, failed=0, before=11)
    assert runtime.calls == 0
    pd.testing.assert_frame_equal(store.read(tmp_path / "out"), before)


def test_a_pool_that_grew_costs_only_its_new_images(pool, identify, tmp_path):
    identify(pool[:9], Shade())
    runtime = Shade()
    assert identify(pool, runtime) == Counts(identified=2, failed=0, before=9)
    assert runtime.seen == 2
    assert store.read(tmp_path / "out")["image"].tolist() == pool["image"].tolist()


def test_images_that_left_the_pool_disappear(pool, identify, tmp_path):
    identify(pool, Shade())
    left = pool.drop(index=[0, 1, 2, 3, 10])
    assert identify(left, Shade()) == Counts(identified=0, failed=0, before=6)
    assert store.read(tmp_path / "out")["image"].tolist() == left["image"].tolist()


def test_an_image_whose_content_changed_is_identified_anew_and_stands_once(pool, identify, tmp_path):
    identify(pool, Shade())
    pool.loc[0, "sha256"] = digest(put(tmp_path / "pool" / "00.png", Image.new("L", (8, 8), 255)))
    assert identify(pool, Shade()).identified == 1
    found = store.read(tmp_path / "out")
    assert len(found) == 11
    assert found.loc[0, "label"] == "light"


def test_another_model_identifies_the_whole_pool_anew(pool, identify, tmp_path):
    identify(pool, Shade())
    assert identify(pool, Shade(model="next")) == Counts(identified=9, failed=2, before=0)
    assert set(store.read(tmp_path / "out")["model"]) == {"next"}


def test_a_shard_that_was_cut_short_is_done_again(pool, identify, tmp_path):
    identify(pool, Shade())
    before = store.read(tmp_path / "out")
    shard = tmp_path / "out" / "part-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    assert identify(pool, Shade()).before == 11 - SHARD
    pd.testing.assert_frame_equal(store.read(tmp_path / "out"), before)


def test_an_empty_pool_gives_no_shard(pool, identify, tmp_path):
    assert identify(pool[:0], Shade()) == Counts(0, 0, 0)
    assert store.Store(tmp_path / "out", "m").shards() == []


def test_a_pool_of_damaged_pictures_is_read_no_further(pool, identify):
    runtime = Shade()
    assert identify(pool.assign(failure="empty file"), runtime) == Counts(identified=0, failed=11, before=0)
    assert runtime.calls == 0


def test_the_size_of_pieces_and_shards_changes_no_prediction(pool, identify, tmp_path):
    identify(pool, Shade(), out="one", pieces=1)
    identify(pool, Shade(), out="many", pieces=11)
    pd.testing.assert_frame_equal(store.read(tmp_path / "one"), store.read(tmp_path / "many"))
