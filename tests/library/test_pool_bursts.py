"""Bursts of images that nobody has labelled, found block by block."""

import numpy as np
import pandas as pd
import pytest

from pipeline.library import bursts, pool_bursts
from pipeline.library.bursts import Settings
from tests.library.builders import sha
from tests.library.test_bursts import World


def by_event(label: str, event: str, frame: int, number: int) -> str:
    return f"{event}/{frame:05d}.jpg"


@pytest.fixture(scope="module")
def world() -> World:
    return World(events=8, frames=6).named(by_event)


def found(world: World, *, block: int = 10_000, rows: int = 7, **settings) -> list[pd.DataFrame]:
    table = world.rows.assign(phash="", layout="", failure="").drop(columns="label")
    places = pd.Series(np.arange(len(table)), table["sha256"])
    pieces = (table.iloc[start : start + rows] for start in range(0, len(table), rows))

    def units(contents: pd.Series) -> np.ndarray:
        return world.vectors[places[contents].to_numpy()]

    return list(pool_bursts.find(pieces, units, Settings(**settings), block=block))


def test_frames_of_one_event_are_a_burst_without_any_label(world):
    (table,) = found(world)
    assert list(table.columns) == pool_bursts.COLUMNS
    event = world.rows.set_index("image")["event"].reindex(table["image"]).to_numpy()
    assert table["burst"].groupby(event).nunique().eq(1).mean() > 0.9
    assert pd.Series(event).groupby(table["burst"].to_numpy()).nunique().max() == 1


def test_in_one_block_it_is_what_a_library_would_be_told(world):
    (table,) = found(world)
    whole = bursts.find(world.rows.assign(label=""), world.vectors, Settings()).images
    several = whole[whole["burst"].duplicated(keep=False)].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, several[pool_bursts.COLUMNS])


def test_a_block_ends_where_a_folder_does(world):
    parts = found(world, block=50)
    assert len(parts) > 2
    folders = [set(part["image"].str.rpartition("/")[0]) for part in parts]
    assert not any(one & other for i, one in enumerate(folders) for other in folders[:i])


def test_a_folder_that_is_larger_than_a_block_is_cut_and_nothing_is_lost():
    long = World(events=1, frames=60, classes=["lion"]).named(by_event)
    assert sum(map(len, found(long, block=20))) == 60


def test_an_image_that_is_alone_and_a_copy_of_one_are_no_burst():
    alone = World(events=12, frames=1).named(by_event)
    alone.rows.loc[1, "sha256"] = alone.rows.loc[0, "sha256"]
    assert sum(map(len, found(alone))) == 0


def test_images_that_the_index_could_not_read_are_in_no_burst(world):
    table = world.rows.assign(phash="", layout="", failure="it is no image")
    assert list(pool_bursts.find([table], lambda _: world.vectors, Settings())) == []


def test_an_empty_pool_has_no_bursts():
    assert list(pool_bursts.find([], None, Settings())) == []


def test_without_features_what_the_index_knows_says_how_alike_images_look():
    rows = pd.DataFrame({"image": [f"pool/a_{n}.jpg" for n in range(3)], "phash": "", "layout": ""})
    rows = rows.assign(sha256=rows["image"].map(sha), taken="", camera="", failure="")
    assert sum(map(len, pool_bursts.find([rows], None, Settings()))) == 0
