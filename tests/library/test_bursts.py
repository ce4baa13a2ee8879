"""Bursts on made-up libraries: vectors that drift within an event, and lie anywhere in their class between events."""

import numpy as np
import pandas as pd
import pytest

from pipeline.library import bursts, likeness
from pipeline.library.bursts import Evidence, Settings
from tests.library.builders import phash, sha

NOTHING = pd.DataFrame({"first": [], "second": [], "detail": []}, dtype="int64")
CLASSES = ["lion", "puma", "tapir"]


class World:
    """Events of `frames` images each, which look alike by 0.9 from frame to frame, and by 0.3 within a class."""

    def __init__(self, *, events: int = 20, frames: int = 10, seed: int = 0, classes: list[str] = CLASSES) -> None:
        random = np.random.default_rng(seed)
        rows, vectors = [], []
        for label in classes:
            centre = random.normal(size=64)
            for event in range(events):
                state = self._unit(0.55 * centre / np.linalg.norm(centre) + 0.84 * self._unit(random.normal(size=64)))
                for frame in range(frames):
                    state = self._unit(state + 0.35 * self._unit(random.normal(size=64)))
                    rows.append({"label": label, "event": f"{label}{event:03d}", "frame": frame})
                    vectors.append(state)
        self.rows = pd.DataFrame(rows)
        self.vectors = np.array(vectors, np.float32)

    @staticmethod
    def _unit(vector: np.ndarray) -> np.ndarray:
        return vector / np.linalg.norm(vector)

    def named(self, name) -> "World":
        """Names each image by `name(label, event, frame, number)`, and sorts as curation does."""
        numbers = self.rows.groupby("label").cumcount()
        facts = zip(self.rows["label"], self.rows["event"], self.rows["frame"], numbers, strict=True)
        self.rows["image"] = [f"library/{name(*fact)}" for fact in facts]
        order = np.argsort(self.rows["image"].to_numpy(), kind="stable")
        self.rows, self.vectors = self.rows.iloc[order].reset_index(drop=True), self.vectors[order]
        plain = {"together": "", "taken": "", "camera": ""}
        self.rows = self.rows.assign(sha256=self.rows["image"].map(sha), **plain)
        return self

    def taken(self, seconds) -> "World":
        """Gives each image the time `seconds(event number, frame)` of its class' clock."""
        event = self.rows["event"].str[-3:].astype(int)
        at = pd.Series([seconds(*fact) for fact in zip(event, self.rows["frame"], strict=True)])
        start = pd.Timestamp("2026-05-01T08:00:00")
        moments = (start + pd.to_timedelta(at, unit="s")).dt.strftime("%Y-%m-%dT%H:%M:%S")
        self.rows = self.rows.assign(taken=moments, camera="a camera of " + self.rows["label"])
        return self

    def find(self, **settings) -> bursts.Bursts:
        return bursts.find(self.rows, self.vectors, Settings(**settings))

    def whole(self, found: bursts.Bursts) -> float:
        """The share of events that are one burst."""
        return float((found.images["burst"].groupby(self.rows["event"]).nunique() == 1).mean())

    def mixed(self, found: bursts.Bursts) -> float:
        """The share of images in bursts of several events."""
        events = self.rows["event"].groupby(found.images["burst"]).nunique()
        return float((found.images["burst"].map(events) > 1).mean())


def by_track(label: str, event: str, frame: int, number: int) -> str:
    return f"{label}/{event}_{frame:05d}.jpg"


def counted_through(label: str, event: str, frame: int, number: int) -> str:
    return f"{label}/img_{number:05d}.jpg"


def shuffled(label: str, event: str, frame: int, number: int) -> str:
    letters = str.maketrans("0123456789", "ghijklmnop")
    return f"{label}/{sha(event + str(frame))[:12].translate(letters)}.jpg"


def test_frames_that_are_named_in_sequence_are_one_burst():
    world = World().named(by_track)
    found = world.find()
    assert world.whole(found) >= 0.99
    assert world.mixed(found) == 0
    assert set(found.links["evidence"]) == {Evidence.NAMES}


@pytest.mark.parametrize("seconds_per_frame", [1, 0.1, 0])
def test_frames_that_one_camera_took_in_a_row_are_one_burst_whatever_their_names(seconds_per_frame):
    world = World().named(shuffled).taken(lambda event, frame: 600 * event + frame * seconds_per_frame)
    found = world.find()
    assert world.whole(found) >= 0.99
    assert world.mixed(found) == 0
    assert set(found.links["evidence"]) == {Evidence.TIME}


def test_names_counted_through_over_unrelated_images_tie_nothing():
    world = World(events=150, frames=1).named(counted_through)
    assert (world.find().images["burst"].value_counts() > 1).sum() <= 2


def test_bursts_within_names_counted_through_are_found():
    world = World(events=60, frames=5).named(counted_through)
    found = world.find()
    assert world.whole(found) >= 0.95
    assert world.mixed(found) <= 0.15


def test_without_names_and_times_only_equal_contents_are_one_burst():
    world = World().named(shuffled)
    world.rows.loc[5, "sha256"] = world.rows.loc[9, "sha256"]
    found = world.find()
    assert found.images["burst"].value_counts().tolist()[:2] == [2, 1]


def test_one_time_for_a_whole_folder_is_no_time():
    world = World(events=30, frames=1).named(shuffled).taken(lambda event, frame: 0)
    assert world.find().images["burst"].is_unique


def test_names_in_sequence_that_a_camera_took_days_apart_are_no_burst():
    world = World().named(by_track).taken(lambda event, frame: 86_400 * (100 * event + frame))
    assert world.find().images["burst"].is_unique


def test_two_cameras_with_one_name_part_no_burst():
    world = World().named(shuffled).taken(lambda event, frame: 600 * (event // 2) + frame)  # two events at a time
    found = world.find()
    assert world.whole(found) >= 0.95


def test_what_people_put_into_different_groups_is_never_tied():
    world = World().named(by_track)
    world.rows["together"] = np.where(world.rows["frame"] < 5, world.rows["event"], world.rows["event"] + " later")
    found = world.find()
    assert (found.images["burst"].groupby(world.rows["event"]).nunique() == 2).mean() >= 0.99


def test_a_chain_that_would_swallow_a_class_is_cut_and_named():
    world = World(events=1, frames=3000, classes=["river", "lion"]).named(counted_through)  # it drifts without end
    found = world.find(max_share=0.2)
    shares = found.images.assign(label=world.rows["label"]).groupby(["label", "burst"]).size() / 3000
    assert shares.max() <= 0.2
    assert {chain["label"] for chain in found.chains} <= {"river", "lion"}


def test_each_tie_says_why():
    world = World().named(by_track)
    found = world.find()
    link = found.links.iloc[0]
    assert list(found.links) == bursts.LINK_COLUMNS
    assert link["chance"] <= bursts.MEDIAN
    assert 0 < link["similarity"] <= 1.001
    assert len(found.links) == len(world.rows) - found.images["burst"].nunique()
    assert (found.images["evidence"] == Evidence.NAMES).all()


def test_a_second_look_ties_what_nothing_else_does():
    world = World(events=30, frames=1).named(shuffled)
    looks = pd.DataFrame({"first": [0], "second": [7], "detail": ["mirror"]})
    found = bursts.find(world.rows, world.vectors, Settings(), looks=lambda _: looks)
    assert found.images["burst"].iloc[0] == found.images["burst"].iloc[7]
    assert found.links[["evidence", "detail"]].to_numpy().tolist() == [[Evidence.LOOK, "mirror"]]


def test_a_second_look_may_tie_what_is_alike_only_where_independent_images_hardly_ever_are():
    world = World(events=30, frames=1).named(shuffled)
    world.vectors[7] = world.vectors[0]
    asked = np.array([0, 0]), np.array([7, 20])
    answers = {}

    def looks(accept) -> pd.DataFrame:
        answers["may be tied"] = accept(*asked).tolist()
        return NOTHING

    bursts.find(world.rows, world.vectors, Settings(), looks=looks)
    assert answers["may be tied"] == [True, False]


def test_what_an_earlier_round_has_tied_stays_tied_and_new_images_may_join():
    world = World().named(by_track)
    stored = world.find().images["burst"]
    new = np.arange(len(stored)) % 5 == 0
    shuffled_again = World().named(shuffled)
    stored = stored.set_axis(world.rows["event"] + world.rows["frame"].astype(str))
    before = stored.reindex(shuffled_again.rows["event"] + shuffled_again.rows["frame"].astype(str)).mask(new, "")
    nearest = pd.DataFrame({"first": [1], "second": [0], "similarity": [0.9]})
    found = bursts.find(
        shuffled_again.rows, shuffled_again.vectors, Settings(), before=before, neighbourhoods=lambda _: nearest
    )
    burst = found.images["burst"]
    assert (burst[~new].groupby(before.to_numpy()[~new]).nunique() == 1).all()
    assert burst[0] == burst[1]
    assert set(found.links["evidence"]) == {Evidence.EARLIER, Evidence.NEIGHBOURHOOD}


def test_the_same_library_gives_the_same_bursts():
    one, other = (World().named(by_track).find() for _ in range(2))
    pd.testing.assert_frame_equal(one.images, other.images)
    pd.testing.assert_frame_equal(one.links, other.links)


def test_an_empty_library_and_one_image_have_no_bursts():
    world = World(events=1, frames=1, classes=["lion"]).named(by_track)
    assert world.find().images["burst"].tolist() == [world.rows["sha256"].iloc[0][:16]]
    nothing = world.rows.iloc[:0]
    assert len(bursts.find(nothing, world.vectors[:0], Settings()).images) == 0


def test_a_library_of_one_content_under_many_names_is_one_burst():
    world = World(events=1, frames=12, classes=["lion"]).named(by_track)
    world.rows["sha256"] = sha("the same")
    assert world.find().images["burst"].nunique() == 1


def test_hashes_say_how_alike_two_images_are_where_there_are_no_features():
    hashes = pd.Series([phash("a"), phash("a"), phash("b"), ""])
    layouts = pd.Series(["0123456789abcdef" * 3, "0123456789abcdef" * 3, "fedcba9876543210" * 3, ""])
    vectors = likeness.hash_vectors(hashes, layouts)
    products = vectors @ vectors.T
    assert products[0, 1] == pytest.approx(1, abs=1e-5)
    assert products[0, 2] < 0.2
    assert not vectors[3].any()
