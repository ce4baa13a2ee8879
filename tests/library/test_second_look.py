"""Which contents the second look confirms, and which it ties."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from pipeline.library import duplicates, look_store, looks, pictures, second_look
from tests.library.builders import encoded, sha
from tests.library.test_looks import PHOTOGRAPH, photograph, scene


def indexed(*images: Image.Image) -> tuple[pd.DataFrame, look_store.Known]:
    """Rows of the index, and looks."""
    greys = [pictures.inspect(encoded(image)).grey for image in images]
    contents = [sha(str(number)) for number in range(len(images))]
    columns = {"sha256": contents, "phash": map(pictures.perceptual_hash, greys), "views": map(looks.views, greys)}
    return pd.DataFrame(columns).astype("str").assign(width=256, height=256), look_store.Known(
        {content: looks.look(grey) for content, grey in zip(contents, greys, strict=True)}
    )


def everything(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.ones(len(first), bool)


def groups(rows: pd.DataFrame, seen: look_store.Looks) -> list[str]:
    confirm = partial(second_look.confirmed, seen=seen)
    return duplicates.group(rows, 4, 16, confirm).name.tolist()


def test_animals_before_one_background_are_kept_apart_and_empty_frames_are_not():
    rows, seen = indexed(*(scene(animal, 0.03) for animal in range(1, 11)), *(scene(0) for _ in range(3)))
    rows["phash"] = rows["phash"].iloc[10]
    assert len(set(groups(rows, look_store.Known({})))) == 1
    named = groups(rows, seen)
    assert len(set(named[:10])) == 10
    assert len(set(named[10:])) == 1
    assert not {*named[:10]} & {*named[10:]}


def test_the_order_of_rows_changes_no_group():
    rows, seen = indexed(*(scene(animal // 2, 0.03) for animal in range(12)))
    named = pd.Series(groups(rows, seen))
    order = np.random.default_rng(1).permutation(len(rows))
    assert groups(rows.iloc[order].reset_index(drop=True), seen) == named[order].tolist()


def test_what_has_no_look_is_as_its_hash_says():
    rows, _ = indexed(PHOTOGRAPH, PHOTOGRAPH.resize((200, 150)))
    assert len(set(groups(rows, look_store.Known({})))) == 1


def test_a_large_group_is_compared_with_its_leaders_only(monkeypatch):
    compared = []
    same = looks.same
    monkeypatch.setattr(looks, "same", lambda one, other: (compared.append(len(one)), same(one, other))[1])
    size = 400
    rows = pd.DataFrame({"sha256": [sha(str(number)) for number in range(size)], "phash": "0f" * 8}).astype("str")
    look = looks.look(pictures.inspect(encoded(PHOTOGRAPH)).grey)
    assert len(set(groups(rows, look_store.Known(dict.fromkeys(rows["sha256"], look))))) == 1
    assert sum(compared) == size - 1


@pytest.mark.parametrize(
    "change",
    [
        ImageOps.mirror,
        lambda image: image.transpose(Image.Transpose.ROTATE_90),
        lambda image: image.transpose(Image.Transpose.ROTATE_270),
        lambda image: ImageOps.expand(image, (0, 50), "black"),
        lambda image: ImageOps.expand(image, 8, "white"),
        lambda image: image.crop((16, 12, 304, 228)),
        lambda image: image.crop((8, 6, 312, 234)),
        lambda image: image.rotate(2),
    ],
)
def test_another_view_of_an_image_is_tied_to_it(change):
    rows, seen = indexed(*(photograph(seed) for seed in range(1, 6)), change(PHOTOGRAPH))
    tied = second_look.ties(rows, seen, everything)
    assert [sorted(pair) for pair in tied[["first", "second"]].to_numpy().tolist()] == [[0, 5]]


def test_ties_are_fewer_than_images_and_name_the_view():
    rows, seen = indexed(*(scene(animal, 0.01) for animal in range(1, 9)), ImageOps.mirror(PHOTOGRAPH), photograph(7))
    rows.loc[:7, "phash"] = pictures.perceptual_hash(pictures.inspect(encoded(PHOTOGRAPH)).grey)
    tied = second_look.ties(rows, seen, everything)
    component = duplicates.connected(len(rows), tied[["first", "second"]].to_numpy())
    assert len(tied) == 8
    assert len(set(component[:9])) == 1
    assert component[9] not in component[:9]
    assert {"mirror"} == set(tied.loc[tied["verdict"] != tied["detail"], "view"])


def test_many_images_before_one_background_are_not_all_compared(monkeypatch):
    rows, seen = indexed(*(scene(animal) for animal in range(1, 41)))
    rows["phash"] = [f"{int(rows['phash'].iloc[0], 16) ^ number:016x}" for number in range(len(rows))]  # all near
    monkeypatch.setattr(second_look, "COMPARISONS", 3)
    monkeypatch.setattr(duplicates, "STREAM", 10)
    compared = []
    verdicts = looks.verdicts
    monkeypatch.setattr(looks, "verdicts", lambda *args: compared.append(len(args[0])) or verdicts(*args))
    second_look.ties(rows, seen, lambda first, second: np.zeros(len(first), bool))
    assert sum(compared) <= 40 * 13


def test_without_looks_nothing_is_tied():
    rows, _ = indexed(PHOTOGRAPH, ImageOps.mirror(PHOTOGRAPH))
    assert second_look.ties(rows, look_store.Known({}), everything).empty
    assert second_look.ties(rows.head(0), look_store.Known({}), everything).empty


def test_what_is_only_alike_is_tied_where_it_is_accepted():
    rows, seen = indexed(scene(1), scene(2))
    rows["phash"] = rows["phash"].iloc[0]
    assert len(second_look.ties(rows, seen, everything)) == 1
    assert second_look.ties(rows, seen, lambda first, second: np.zeros(len(first), bool)).empty
