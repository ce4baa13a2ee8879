import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.library import quarantine
from tests.library.builders import library_table, sha


def away(*images: str, at: str = "2026-03-01T10:00:00") -> pd.DataFrame:
    rows = [{"image": image, "sha256": sha(image), "by": "ann", "at": at} for image in images]
    return pd.DataFrame(rows, columns=quarantine.COLUMNS, dtype=object).fillna("").astype("str")


def test_what_is_in_quarantine_is_in_no_pool_and_nothing_is_lost():
    pool = library_table({"image": "pool/a.jpg"}, {"image": "pool/b.jpg"})
    stays, put_away = quarantine.set_apart(pool, away("pool/b.jpg"))
    assert stays["image"].tolist() == ["pool/a.jpg"]
    assert put_away["image"].tolist() == ["pool/b.jpg"]


def test_a_picture_stays_in_quarantine_under_another_name():
    pool = library_table({"image": "pool/renamed.jpg", "sha256": sha("pool/b.jpg")})
    assert quarantine.set_apart(pool, away("pool/b.jpg"))[0].empty


def test_another_picture_of_the_same_name_is_in_the_pool():
    pool = library_table({"image": "pool/b.jpg", "sha256": sha("new")})
    assert len(quarantine.set_apart(pool, away("pool/b.jpg"))[0]) == 1


def test_the_table_is_read_as_it_was_written(tmp_path):
    table = away("pool/b.jpg", "pool/a, b.jpg")
    quarantine.write(table, tmp_path / "quarantine.csv")
    again = quarantine.read(tmp_path / "quarantine.csv")
    assert again["image"].tolist() == ["pool/a, b.jpg", "pool/b.jpg"]


def test_a_row_without_a_content_hash_is_named(tmp_path):
    (tmp_path / "q.csv").write_text("image,sha256\npool/a.jpg,\n")
    with pytest.raises(DataError, match="without a content hash") as error:
        quarantine.read(tmp_path / "q.csv")
    assert error.value.where.endswith("row 2")
