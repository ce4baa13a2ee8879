"""Identification of the whole pool: killed and continued, grown and shrunk, and everything adds up."""

import numpy as np
import pandas as pd
import pytest

from pipeline.files import digest
from pipeline.inference import shards, store
from pipeline.inference.local import Told
from tests.inference.shade import CLASSES, SHARD, Killed, Shade, die, grey, read, table
from tests.inference.shade import identify as identify_from


@pytest.fixture
def pool(tmp_path):
    """Eleven pictures from dark to light; of number 3 the index says it is damaged, number 7 has gone since."""
    for n in range(11):
        grey(tmp_path / "pool" / f"{n:02d}.png", 20 * n)
    index = table(tmp_path / "pool")
    (tmp_path / "pool" / "07.png").unlink()
    index.loc[3, "failure"] = "damaged or cut short"
    return index


@pytest.fixture
def identify(tmp_path):
    def call(pool: pd.DataFrame, runtime: Shade, *, out: str = "out", **how) -> Told:
        return identify_from(pool, tmp_path / "pool", tmp_path / out, runtime, **how)

    return call


def counts(folder) -> dict[str, int]:
    return store.Store(folder, "m", arrays=[shards.FEATURES]).count()


def test_every_image_of_the_pool_is_identified_has_failed_or_was_skipped(pool, identify, tmp_path):
    runtime = Shade()
    assert identify(pool, runtime) == Told(predicted=11)
    assert runtime.seen == 9
    assert counts(tmp_path / "out") == {"identified": 9, "failed": 1, "skipped": 1}
    found = read(tmp_path / "out")
    assert found["image"].tolist() == pool["image"].tolist()
    failures = found[found["failure"] != ""].set_index("image")["failure"].to_dict()
    assert failures == {"pool/03.png": "damaged or cut short", "pool/07.png": "missing"}


def test_each_image_has_its_own_prediction_and_features(pool, identify, tmp_path):
    identify(pool, Shade())
    found = read(tmp_path / "out").drop(index=[3, 7])
    light = np.array([20 * n / 255 for n in range(11) if n not in (3, 7)])
    assert found["label"].tolist() == np.where(light > 0.5, "light", "dark").tolist()
    assert found["score"].tolist() == pytest.approx(np.maximum(light, 1 - light).tolist())
    assert set(found["model"]) == {"m"}
    assert np.stack(found["features"]).tolist() == [[20.0 * n] * 3 for n in range(11) if n not in (3, 7)]


def test_an_image_without_a_prediction_has_nothing_but_its_reason(pool, identify, tmp_path):
    identify(pool, Shade())
    failed = read(tmp_path / "out").loc[[3, 7]]
    assert failed["label"].tolist() == ["", ""]
    assert failed[["score", "margin", "entropy", "top_labels", "top_scores"]].isna().all(axis=None)
    assert failed["features"].tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("batches", range(5))
def test_a_killed_run_continues_and_ends_as_if_nothing_had_happened(pool, identify, tmp_path, batches):
    identify(pool, Shade(), out="undisturbed")
    killed, second = Shade(after=batches, then=die), Shade()
    with pytest.raises(Killed):
        identify(pool, killed)
    told = identify(pool, second)
    assert told.predicted + told.before == 11
    assert killed.seen + second.seen - 9 < SHARD  # at most one shard was read twice
    assert second.seen == 9 or batches >= 2
    pd.testing.assert_frame_equal(read(tmp_path / "out"), read(tmp_path / "undisturbed"))


def test_a_second_run_costs_nothing_but_a_look_for_what_was_skipped(pool, identify, tmp_path):
    identify(pool, Shade())
    before = read(tmp_path / "out")
    runtime = Shade()
    assert identify(pool, runtime) == Told(predicted=1, before=10)
    assert runtime.calls == 0
    pd.testing.assert_frame_equal(read(tmp_path / "out"), before)


def test_a_picture_that_was_missing_and_is_there_again_is_identified(pool, identify, tmp_path):
    identify(pool, Shade())
    grey(tmp_path / "pool" / "07.png", 140)
    assert identify(pool, Shade()) == Told(predicted=1, before=10)
    assert counts(tmp_path / "out") == {"identified": 10, "failed": 1, "skipped": 0}
    assert identify(pool, Shade()) == Told(before=11)


def test_a_picture_that_the_index_could_not_read_is_counted_as_skipped_and_its_shard_is_left_alone(
    pool, identify, tmp_path
):
    pool.loc[0, ["sha256", "failure"]] = "", "unreadable: Permission denied"
    pool = pool.drop(index=7)
    identify(pool, Shade())
    assert counts(tmp_path / "out")["skipped"] == 1
    before = [shard.stat().st_mtime_ns for shard in shards.listed(tmp_path / "out")]
    assert identify(pool, Shade()) == Told(before=10)
    assert [shard.stat().st_mtime_ns for shard in shards.listed(tmp_path / "out")] == before


def test_a_pool_that_grew_costs_only_its_new_images(pool, identify, tmp_path):
    pool = pool.drop(index=7)
    identify(pool[:8], Shade())
    before = {shard: shard.read_bytes() for shard in shards.listed(tmp_path / "out")}
    runtime = Shade()
    assert identify(pool, runtime) == Told(predicted=2, before=8)
    assert runtime.seen == 2
    assert read(tmp_path / "out")["image"].tolist() == pool["image"].tolist()
    assert {shard: shard.read_bytes() for shard in before} == before


def test_images_that_left_the_pool_disappear_and_shards_without_them_stay_as_they_are(pool, identify, tmp_path):
    identify(pool, Shade())
    untouched = shards.listed(tmp_path / "out")[2]
    before = untouched.stat().st_mtime_ns
    left = pool.drop(index=[0, 1, 2, 3, 7])
    assert identify(left, Shade()) == Told(before=6)
    assert read(tmp_path / "out")["image"].tolist() == left["image"].tolist()
    assert untouched.stat().st_mtime_ns == before


def test_an_image_whose_content_changed_is_identified_anew_and_stands_once(pool, identify, tmp_path):
    identify(pool, Shade())
    pool.loc[0, "sha256"] = digest(grey(tmp_path / "pool" / "00.png", 255))
    assert identify(pool, Shade()).predicted == 2
    found = read(tmp_path / "out")
    assert len(found) == 11
    assert found.loc[0, "label"] == "light"


def test_another_model_identifies_the_whole_pool_anew(pool, identify, tmp_path):
    identify(pool, Shade())
    assert identify(pool, Shade(model="next")) == Told(predicted=11)
    assert set(read(tmp_path / "out")["model"]) == {"next"}


def test_features_that_are_wanted_later_are_made_and_those_no_longer_wanted_cost_nothing(pool, identify, tmp_path):
    identify(pool, Shade(), embeddings=False)
    light = read(tmp_path / "out")
    assert identify(pool, Shade(), embeddings=True) == Told(predicted=11)
    runtime = Shade()
    assert identify(pool, runtime, embeddings=False) == Told(predicted=1, before=10)
    assert runtime.calls == 0
    pd.testing.assert_frame_equal(read(tmp_path / "out"), light)
    assert not list((tmp_path / "out").glob("*.npy"))


@pytest.mark.parametrize("keep", [0, 0.5, -9])
def test_a_shard_that_was_cut_short_by_hand_is_done_again(pool, identify, tmp_path, keep):
    identify(pool, Shade())
    before = read(tmp_path / "out")
    shard = tmp_path / "out" / "part-00001.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    assert identify(pool, Shade()).before == 11 - SHARD
    pd.testing.assert_frame_equal(read(tmp_path / "out"), before)


def test_an_empty_pool_gives_no_shard(pool, identify, tmp_path):
    assert identify(pool[:0], Shade()) == Told()
    assert store.Store(tmp_path / "out", "m").shards() == []


def test_a_pool_of_damaged_pictures_is_read_no_further(pool, identify, tmp_path):
    runtime = Shade()
    identify(pool.assign(failure="empty file"), runtime)
    assert counts(tmp_path / "out") == {"identified": 0, "failed": 11, "skipped": 0}
    assert runtime.calls == 0


def test_the_size_of_pieces_changes_nothing(pool, identify, tmp_path):
    for pieces in (1, 11):
        identify(pool, Shade(), out=f"in {pieces}", pieces=pieces)
    one, many = (shards.listed(tmp_path / f"in {pieces}") for pieces in (1, 11))
    assert [shard.read_bytes() for shard in one] == [shard.read_bytes() for shard in many]


def test_the_network_is_kept_busy_across_shards_and_pieces(pool, identify):
    """Batches are full but the last: two pictures each, although nothing but shards of four rows is written."""
    runtime = Shade()
    identify(pool, runtime, pieces=11)
    assert runtime.calls == 5


def test_what_the_steps_take_is_told(pool, identify):
    seconds = identify(pool, Shade()).seconds
    assert all(value > 0 for value in vars(seconds).values())


@pytest.fixture
def copies(tmp_path):
    """Twelve images of three contents, in two folders."""
    for n in range(12):
        grey(tmp_path / "pool" / f"{n % 2}" / f"{n:02d}.png", 100 * (n % 3))
    return table(tmp_path / "pool")


def test_exact_duplicates_are_predicted_once_and_each_has_its_row(copies, identify, tmp_path):
    runtime = Shade()
    assert identify(copies, runtime) == Told(predicted=12, copied=9)
    assert runtime.seen == 3
    found = read(tmp_path / "out")
    assert found["image"].tolist() == copies["image"].tolist()
    assert found["sha256"].tolist() == copies["sha256"].tolist()
    shade = copies["image"].str[-6:-4].astype(int) % 3 * 100
    assert [row[0] for row in found["features"]] == shade.tolist()
    assert found["label"].tolist() == [CLASSES[value > 127] for value in shade]
    assert identify(copies, Shade()) == Told(before=12)


def test_a_duplicate_of_what_an_earlier_run_has_seen_costs_no_pass_through_the_network(copies, identify, tmp_path):
    identify(copies[:6], Shade())
    runtime = Shade()
    assert identify(copies, runtime) == Told(predicted=6, copied=6, before=6)
    assert runtime.seen == 0


def test_a_folder_that_was_renamed_costs_no_pass_through_the_network(pool, identify, tmp_path):
    identify(pool, Shade())
    (tmp_path / "pool").rename(tmp_path / "was")
    (tmp_path / "pool").mkdir()
    (tmp_path / "was").rename(tmp_path / "pool" / "sub")
    renamed = pool.assign(image=pool["image"].str.replace("pool/", "pool/sub/"))
    runtime = Shade()
    assert identify(renamed, runtime) == Told(predicted=11, copied=9)
    assert runtime.seen == 0
    assert read(tmp_path / "out")["image"].tolist() == renamed["image"].tolist()


def test_a_duplicate_of_a_picture_that_could_not_be_read_is_read_itself(copies, identify, tmp_path):
    (tmp_path / copies.loc[0, "image"]).unlink()
    runtime = Shade()
    identify(copies, runtime)
    found = read(tmp_path / "out")
    assert found.loc[0, "failure"] == "missing"
    assert (found["failure"][1:] == "").all()
    assert runtime.seen == 2 + 3


def test_a_run_that_was_killed_among_duplicates_ends_as_if_nothing_had_happened(copies, identify, tmp_path):
    identify(copies, Shade(), out="undisturbed")
    for batches in range(2):
        with pytest.raises(Killed):
            identify(copies, Shade(after=batches, then=die))
    identify(copies, Shade())
    pd.testing.assert_frame_equal(read(tmp_path / "out"), read(tmp_path / "undisturbed"))
