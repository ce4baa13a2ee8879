"""Stores of older programs: opened, they have today's layout, say what they said, and go on from there."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.files import write_table
from pipeline.inference import evaluated, migration, pool_predictions, shards, store
from pipeline.inference.validation import validate
from tests.inference.shade import Shade, grey, identify, read, table
from tests.library.builders import sha

CONTENTS = [sha(str(n)) for n in range(7)]


def with_a_column(folder: Path) -> Path:
    """Gives a store the old layout of the pool: features as a column of lists, nothing for failures."""
    for shard in shards.listed(folder):
        features = np.load(shards.array_file(shard, "features"))
        rows = pd.read_parquet(shard, columns=["failure"])
        lists = [None if failure else row for failure, row in zip(rows["failure"], features, strict=True)]
        data = pa.parquet.read_table(shard).append_column("embedding", pa.array(lists, pa.list_(pa.float16())))
        write_table(data, shard, model="m")
        shards.array_file(shard, "features").unlink()
    return folder


@pytest.fixture
def pool(tmp_path) -> pd.DataFrame:
    """Eleven images, one of them damaged."""
    for n in range(11):
        grey(tmp_path / "pool" / f"{n:02d}.png", 20 * n)
    index = table(tmp_path / "pool")
    index.loc[3, "failure"] = "damaged or cut short"
    return index


@pytest.fixture
def old_pool(pool, tmp_path) -> Path:
    """An old store of the first eight, as an interrupted run left it; beside it, in today's layout, `today`."""
    identify(pool[:8], tmp_path / "pool", tmp_path / "today", Shade())
    shutil.copytree(tmp_path / "today", tmp_path / "old")
    return with_a_column(tmp_path / "old")


@pytest.fixture
def old_sets(tmp_path, monkeypatch) -> Path:
    """An old folder of evaluated sets: seven contents at eight images."""
    monkeypatch.setattr(migration, "ROWS", 3)
    keys = pd.DataFrame({"sha256": [*CONTENTS[:5], CONTENTS[0], *CONTENTS[5:]]}, dtype="str")
    write_table(keys, tmp_path / "outputs/keys.parquet", model="m")
    values = np.arange(8)[:, None] * np.ones(3)
    values[5] = 0
    np.save(tmp_path / "outputs/log_probs.npy", -values.astype(np.float16))
    np.save(tmp_path / "outputs/embeddings.npy", values.astype(np.float16))
    return tmp_path / "outputs"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_old_store_of_the_pool_becomes_what_today_s_program_writes(old_pool, tmp_path):
    assert pool_predictions.read(old_pool).features[:].any()
    assert files(old_pool).keys() == files(tmp_path / "today").keys()
    for path in old_pool.iterdir():
        today = tmp_path / "today" / path.name
        if path.suffix == ".npy":
            assert path.read_bytes() == today.read_bytes()
        else:
            assert pa.parquet.read_table(path).equals(pa.parquet.read_table(today), check_metadata=True)


def test_an_interrupted_identification_goes_on_from_old_shards(old_pool, pool, tmp_path):
    runtime = Shade()
    told = identify(pool, tmp_path / "pool", old_pool, runtime)
    assert (told.before, told.predicted, runtime.seen) == (8, 3, 3)
    identify(pool, tmp_path / "pool", tmp_path / "whole", Shade())
    pd.testing.assert_frame_equal(read(old_pool), read(tmp_path / "whole"))


def test_an_old_store_whose_features_are_not_wanted_loses_them(old_pool):
    store.Store(old_pool, "m")
    assert len(shards.listed(old_pool)) == 2
    assert not list(old_pool.glob("*.npy"))
    assert list(pd.read_parquet(shards.listed(old_pool)[0])) == store.COLUMNS


def test_no_time_is_spent_on_what_another_model_says(old_pool, old_sets, monkeypatch):
    monkeypatch.setattr(shards, "write_array", None)
    assert store.Store(old_pool, "other", arrays=["features"]).shards() == []
    assert store.Store(old_sets, "other", by=store.BY_CONTENT, arrays=shards.ARRAYS).shards() == []
    assert not list(old_sets.iterdir())


def test_an_old_store_is_valid_once_it_is_opened(old_pool):
    assert [str(fault) for fault in validate(old_pool)[1]] == [
        "summary.json: there is none: the identification has not finished"
    ]


def test_old_outputs_of_evaluated_sets_are_read_in_any_order(old_sets):
    found = evaluated.read(old_sets, pd.Series([CONTENTS[6], CONTENTS[0], CONTENTS[0], CONTENTS[4]]))
    assert found.features[:].tolist() == [[7.0] * 3, [0.0] * 3, [0.0] * 3, [4.0] * 3]
    assert found.log_probs[0].tolist() == [-7.0] * 3
    assert evaluated.model_of(old_sets) == "m"
    assert len(shards.listed(old_sets)) == 3
    assert not [name for name in files(old_sets) if not name.startswith("part-")]


@pytest.mark.parametrize("name", ["log_probs.npy", "embeddings.npy"])
def test_old_outputs_that_are_cut_short_are_inferred_again(old_sets, name):
    (old_sets / name).write_bytes((old_sets / name).read_bytes()[:-1])
    assert len(store.Store(old_sets, "m", by=store.BY_CONTENT, arrays=shards.ARRAYS).done()) == 0


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", ["old_pool", "old_sets"])
def test_a_migration_that_is_killed_at_any_rename_or_removal_goes_on(kind, request, tmp_path, monkeypatch):
    old = request.getfixturevalue(kind)
    shutil.copytree(old, tmp_path / "whole")
    migration.migrate(tmp_path / "whole")
    place, moment = type(tmp_path), 0
    while True:
        trial, left = tmp_path / f"trial-{moment}", [moment]
        shutil.copytree(old, trial)

        def until_killed(call, left=left):
            def change(path, *arguments, **options):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return call(path, *arguments, **options)

            return change

        with monkeypatch.context() as patched:
            for name in ("replace", "unlink"):
                patched.setattr(place, name, until_killed(getattr(place, name)))
            try:
                migration.migrate(trial)
            except Killed:
                pass
            else:
                break
        for left_behind in trial.glob(".part-*.tmp"):  # of a killed process
            left_behind.unlink()
        assert migration.opened(trial)
        (trial / migration.LOCK).unlink(missing_ok=True)
        migration.migrate(trial)
        assert files(trial) == files(tmp_path / "whole"), moment
        moment += 1
    assert moment > 5
