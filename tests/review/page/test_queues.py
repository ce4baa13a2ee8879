"""Queues of any size: pages of them, filtered and ordered."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.files import write_table, write_text
from pipeline.review.page.queues import BATCH, UNLABELLED, Filter, Queue, version_of
from tests.review.page import made_up_workspace


def opened(folder, rows: pd.DataFrame) -> Queue:
    write_table(rows, folder / "q.parquet")
    return Queue("q", folder / "q.parquet", folder / "cache")


def rows(number: int, **columns) -> pd.DataFrame:
    images = [f"pool/{'ab'[i % 2]}/IMG_{i:06d}.jpg" for i in range(number)]
    labels = [("zebra", "okapi", "emu")[i % 3] for i in range(number)]
    return made_up_workspace.queue_rows(images, [f"{i:064x}" for i in range(number)], labels, **columns)


def images(queue: Queue, **wanted) -> list[str]:
    return [row["image"] for row in queue.rows(queue.view(Filter(**wanted)).tolist())]


def test_near_duplicates_are_one_card_wherever_they_stand(tmp_path):
    queue = opened(tmp_path, rows(6, group=["a", "b", "a", "", "", "b"]))
    assert queue.view(Filter()).tolist() == [0, 1, 3, 4]
    assert [queue.members(row) for row in (0, 1, 3)] == [[0, 2], [1, 5], [3]]


def test_a_filter_finds_what_a_table_would(tmp_path):
    table = rows(60, score=np.round(np.linspace(0, 1, 60), 3))
    queue = opened(tmp_path, table)
    assert images(queue, label="emu") == table.loc[table["label"] == "emu", "image"].tolist()
    assert images(queue, least=0.5, most=0.7) == table.loc[table["score"].between(0.5, 0.7), "image"].tolist()
    assert images(queue, folder="pool/b") == table.loc[table["image"].str.startswith("pool/b"), "image"].tolist()
    assert images(queue, text="img_00001") == table.loc[table["image"].str.contains("IMG_00001"), "image"].tolist()
    assert images(queue, text="SEES ZEBRA") == table.loc[table["label"] == "zebra", "image"].tolist()
    assert images(queue, order="surest") == table["image"].tolist()[::-1]
    assert images(queue, order="least sure") == table["image"].tolist()
    assert images(queue, order="file") == sorted(table["image"])


class Known:
    """Every third image is labelled; the files are of one day after the other."""

    def origins(self, images):
        return np.array([("real", "staged", UNLABELLED)[i % 3] for i in range(len(images))])

    def days(self, images):
        return np.datetime64("2026-03-01") + np.arange(len(images))


def test_origin_and_date_of_the_files_are_filters(tmp_path):
    table = rows(9)
    write_table(table, tmp_path / "q.parquet")
    queue = Queue("q", tmp_path / "q.parquet", tmp_path / "cache", Known())
    assert images(queue, origin="staged") == table["image"].tolist()[1::3]
    assert images(queue, origin=UNLABELLED) == table["image"].tolist()[2::3]
    assert images(queue, since=date(2026, 3, 4), until=date(2026, 3, 6)) == table["image"].tolist()[3:6]
    assert images(queue, since=date(2026, 3, 4), origin="real") == table["image"].tolist()[3::3]


def test_what_is_not_known_passes_no_filter_that_asks_for_it(tmp_path):
    queue = opened(tmp_path, rows(3))
    assert images(queue, origin="real") == images(queue, since=date(2026, 3, 1)) == []


def test_what_is_searched_for_is_text_and_no_pattern(tmp_path):
    queue = opened(tmp_path, rows(3).assign(image=["pool/a(1).jpg", "pool/a.jpg", "pool/.*"]))
    assert images(queue, text="a(1)") == ["pool/a(1).jpg"]
    assert images(queue, text=".*") == ["pool/.*"]


def test_rows_of_many_row_groups_are_found_by_their_number(tmp_path):
    number = 2 * BATCH + 3
    queue = opened(tmp_path, rows(number))
    wanted = [0, BATCH - 1, BATCH, 2 * BATCH + 2]
    assert [row["image"][-10:-4] for row in queue.rows(wanted)] == [f"{row:06d}" for row in wanted]


def test_a_queue_of_another_content_has_another_version(tmp_path):
    first = opened(tmp_path, rows(5)).version
    assert opened(tmp_path, rows(5)).version == first
    assert opened(tmp_path, rows(5, reason="other words")).version != first
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 1


def test_an_empty_queue_is_a_queue(tmp_path):
    queue = opened(tmp_path, rows(0))
    assert (len(queue), queue.view(Filter()).tolist(), queue.counts("label")) == (0, [], [])
    assert np.isnan(queue.expected())


def test_a_recipe_of_earlier_years_lacks_columns_and_is_shown(tmp_path):
    old = rows(4).drop(columns=["cluster", "top_labels", "top_scores"])
    assert images(opened(tmp_path, old), cluster="1") == old["image"].tolist()


def test_what_is_no_queue_is_refused_with_its_name(tmp_path):
    write_text("no table", tmp_path / "q.parquet")
    with pytest.raises(DataError, match="not a readable table"):
        Queue("q", tmp_path / "q.parquet", tmp_path / "cache")
    write_table(rows(3).drop(columns="label"), tmp_path / "q.parquet")
    with pytest.raises(DataError, match="columns label are missing"):
        Queue("q", tmp_path / "q.parquet", tmp_path / "cache")
    with pytest.raises(DataError, match="no such queue"):
        version_of(tmp_path / "none.parquet")
