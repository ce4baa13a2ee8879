"""Which of the pictures that were sent are kept for people to label."""

import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.files import write_table
from pipeline.library import pictures
from pipeline.serving import image_archive
from pipeline.serving.image_archive import Keeper

NOBODY = image_archive.known([], [], distance=0)


def photograph(seed: int, *, quality: int = 90) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def seen(data: bytes, role: str) -> pd.DataFrame:
    return pd.DataFrame({"sha256": [sha256(data)], "phash": [pictures.inspect(data).phash], "role": [role]})


def test_a_content_is_kept_once_by_its_hash(tmp_path):
    keeper = Keeper(tmp_path, share=1.0, known=NOBODY)
    data = photograph(1)
    names = {keeper.keep(data, sha256(data)) for _ in range(3)}
    assert names == {f"{sha256(data)[:2]}/{sha256(data)}.jpg"}
    assert [path.read_bytes() for path in tmp_path.rglob("*.*")] == [data]


def test_where_nothing_is_to_be_kept_only_hashes_are(tmp_path):
    assert Keeper(tmp_path / "kept", share=0.0, known=NOBODY).keep(photograph(1), sha256(photograph(1))) == ""
    assert not (tmp_path / "kept").exists()


def test_what_the_library_the_pool_or_a_model_has_seen_is_not_kept_again(tmp_path):
    library, trained, new = photograph(1), photograph(2), photograph(3)
    write_table(pd.DataFrame({"sha256": [sha256(library)]}), tmp_path / "library.parquet")
    index = [tmp_path / "library.parquet", tmp_path / "none.parquet"]
    keeper = Keeper(
        tmp_path / "kept", share=1.0, known=image_archive.known(index, [seen(trained, "train")], distance=4)
    )
    assert [bool(keeper.keep(data, sha256(data))) for data in (library, trained, new)] == [False, False, True]


@pytest.mark.parametrize("column", ["role", "set"])
def test_a_picture_near_one_of_a_benchmark_is_never_kept(tmp_path, column):
    again = photograph(1, quality=40)
    held = seen(photograph(1), "benchmark:field").rename(columns={"role": column})
    keeper = Keeper(tmp_path, share=1.0, known=image_archive.known([], [held], distance=4))
    assert again != photograph(1)
    assert keeper.keep(again, sha256(again)) == ""
    other = Keeper(tmp_path, share=1.0, known=image_archive.known([], [seen(photograph(1), "train")], distance=4))
    assert other.keep(again, sha256(again)) != ""


def test_a_folder_that_takes_nothing_holds_up_no_answer(tmp_path):
    (tmp_path / "kept").write_text("a file")
    assert Keeper(tmp_path / "kept", share=1.0, known=NOBODY).keep(photograph(1), sha256(photograph(1))) == ""


def test_pictures_that_people_have_labelled_outlive_the_days_to_keep(tmp_path):
    keeper = Keeper(tmp_path, share=1.0, known=NOBODY)
    names = [keeper.keep(photograph(seed), sha256(photograph(seed))) for seed in (1, 2)]
    assert keeper.remove([*names, "gone.jpg"], spared={names[0]}) == 1
    assert [(tmp_path / name).exists() for name in names] == [True, False]
