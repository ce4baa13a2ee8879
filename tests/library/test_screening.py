import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.library import screening
from tests.library.builders import phash, sha

LIMITS = {"min_subject": 0.3, "min_sideways": 0.7}


def ground(seed: int) -> np.ndarray:
    """A calm background: float32 (64, 64)."""
    coarse = np.random.default_rng(seed).normal(120, 25, (4, 4)).astype(np.float32)
    return cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)


def scene(seed: int, share: float = 1.0) -> np.ndarray:
    """Something grainy that takes `share` of each side, somewhere on a calm background."""
    random = np.random.default_rng(seed)
    grey, side = ground(seed), round(64 * share)
    top, left = random.integers(0, 65 - side, 2)
    grey[top : top + side, left : left + side] = random.normal(120, 60, (side, side))
    return np.clip(grey, 0, 255).astype(np.uint8)


def landscape(seed: int, *, turned: bool = False) -> np.ndarray:
    """A light sky over dark ground with upright stems: what stands upright can be told."""
    random = np.random.default_rng(seed)
    horizon = random.integers(24, 40)
    grey = random.normal(90, 8, (64, 64))
    grey[:horizon] += 90
    for column in random.integers(0, 60, 6):
        grey[horizon - 14 : horizon + 6, column : column + 3] = 30
    grey = np.clip(grey, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(grey, 1 if seed % 2 else 3)) if turned else grey


def library(pictures: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = [
        {
            "image": name, "sha256": sha(name), "phash": phash(name),
            "subject": screening.subject(grey), "layout": screening.layout(grey),
        }
        for name, grey in pictures.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["image", "sha256", "phash", "subject", "layout"])


@pytest.fixture(scope="module")
def landscapes() -> pd.DataFrame:
    """400 upright landscapes and, called t, 20 that were turned."""
    upright = {f"library/u{i:03d}": landscape(i) for i in range(400)}
    return library(upright | {f"library/t{i:02d}": landscape(1000 + i, turned=True) for i in range(20)})


@pytest.mark.parametrize("seed", range(8))
def test_a_small_subject_has_a_small_share_and_a_filled_picture_a_large_one(seed):
    assert screening.subject(scene(seed, 0.2)) < 0.3
    assert screening.subject(scene(seed)) > 0.6


@pytest.mark.parametrize("seed", range(4))
def test_the_share_grows_with_the_subject(seed):
    shares = [screening.subject(scene(seed, share)) for share in (0.15, 0.3, 0.5, 0.8)]
    assert shares == sorted(shares)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_of_nothing_has_no_small_subject(grey):
    assert screening.subject(np.full((64, 64), grey, np.uint8)) == 1


@given(st.integers(0, 2**32 - 1))
def test_a_share_is_a_share_and_turning_does_not_change_it(seed):
    grey = np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)
    share = screening.subject(grey)
    assert 0 < share <= 1
    assert screening.subject(np.ascontiguousarray(np.rot90(grey))) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("turns", range(4))
def test_the_layout_of_a_turned_picture_is_the_turned_layout(turns):
    grey = landscape(5)
    own, turned = (
        screening.cells(pd.Series([screening.layout(np.ascontiguousarray(view))]))
        for view in (grey, np.rot90(grey, turns))
    )
    for _ in range(turns):
        own = screening._turned(own)
    assert np.abs(own - turned).max() <= 1


def test_the_layout_of_a_mirrored_picture_is_the_mirrored_layout():
    grey = landscape(5)
    own, mirrored = (screening.cells(pd.Series([screening.layout(view)])) for view in (grey, cv2.flip(grey, 1)))
    assert np.abs(screening._mirrored(own) - mirrored).max() <= 1


def test_a_layout_does_not_depend_on_the_light():
    grey = landscape(5) // 2
    own, light = (screening.cells(pd.Series([screening.layout(view)])) for view in (grey, grey + 90))
    assert (own == light).all()


def test_turned_pictures_are_found_among_upright_ones(landscapes):
    scores = screening.sideways(landscapes).rename(landscapes["image"])
    turned = scores.index.str.startswith("library/t")
    assert scores[turned].min() > scores[~turned].max()


def test_the_order_of_the_images_does_not_matter(landscapes):
    shuffled = landscapes.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(
        screening.sideways(shuffled).sort_index(), screening.sideways(landscapes).sort_index()
    )


def test_images_without_a_layout_are_not_judged(landscapes):
    blank = landscapes.iloc[:5].assign(layout="", phash="")
    scores = screening.sideways(pd.concat([landscapes.iloc[5:], blank]))
    assert not scores.index.isin(blank.index).any()


def test_copies_of_one_picture_teach_nothing_about_each_other(landscapes):
    """Copies of a turned picture: were they parted, those that are learnt from would vouch for the others."""
    copies = landscapes.iloc[[-1] * 60].assign(sha256=[sha(f"copy {i}") for i in range(60)])
    scores = screening.sideways(pd.concat([landscapes.iloc[:-1], copies], ignore_index=True)).iloc[-60:]
    assert scores.nunique() == 1
    assert scores.iloc[0] > 0.5


@pytest.mark.parametrize("number", [0, 1, 50])
def test_a_library_too_small_to_tell_has_no_sideways_images(landscapes, number):
    few = landscapes.iloc[:number]
    assert screening.sideways(few).empty
    assert list(screening.screen(few, **LIMITS)) == screening.COLUMNS


def test_the_most_endangered_come_first_with_what_is_wrong(landscapes):
    small = library({"library/small": scene(1, 0.15), "library/smaller": scene(1, 0.08)})
    flagged = screening.screen(pd.concat([landscapes, small], ignore_index=True), **LIMITS)
    assert flagged["score"].is_monotonic_decreasing
    assert flagged["score"].between(0, 1).all()
    named = flagged.set_index("image")
    assert set(named.index[named["flag"] == "small subject"]) == {"library/small", "library/smaller"}
    assert named.loc["library/smaller", "detail"].startswith("the subject takes ")
    lying = named[named["flag"] == "sideways"]
    assert lying.index.str.startswith("library/t").all()
    assert len(lying) >= 15
    assert lying["detail"].str.fullmatch(r"looks turned by 90 degrees: \d+%").all()


def test_a_library_without_anything_wrong_has_no_flags():
    assert screening.screen(library({"library/a": scene(1)}), **LIMITS).empty


def test_screening_loads_no_network():
    code = (
        "import sys, pipeline.library.screening;"
        "sys.exit(bool({'keras', 'tensorflow', 'mlflow', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
