from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import DataError, ResumableError
from pipeline.files import write_json, write_table, write_text
from pipeline.library import index, labels, roots
from pipeline.library.failures import Failure
from pipeline.library.index import Before

NOTHING = pd.DataFrame(columns=roots.COLUMNS, dtype="str")
NOBODY = pd.DataFrame(columns=labels.COLUMNS, dtype="str")


def images(root: str, numbers: range, folder: str = "") -> pd.DataFrame:
    names = [f"{root}/{folder}{number}.jpg" for number in numbers]
    return pd.DataFrame({"image": names, "sha256": [f"{root}-{number}" for number in numbers]}, dtype="str")


def meant(left: int, name: str = "pool", at: str = "2026-01-01") -> pd.DataFrame:
    row = {"name": name, "images": "10", "left": str(left), "by": "Ada", "at": at, "note": ""}
    return pd.DataFrame([row])


def look(before: pd.DataFrame, now: pd.DataFrame, tmp_path: Path, table: pd.DataFrame = NOTHING, seen=frozenset()):
    folders = {name: tmp_path / name for name in ("library", "pool")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    roots.refuse(Before(before, frozenset(seen)), now, table, folders, max_missing=0.3, labelled=NOBODY)


def test_a_root_that_had_images_and_has_none_stops_the_run(tmp_path):
    with pytest.raises(ResumableError, match=r"root 'pool' is empty; it had 10 images") as stopped:
        look(images("pool", range(10)), images("library", range(3)), tmp_path)
    assert stopped.value.code == 75
    assert stopped.value.where == str(tmp_path / "pool")
    assert "wallaby roots empty pool" in stopped.value.mend


def test_a_root_whose_folder_is_not_there_stops_the_run_alike(tmp_path):
    folders = {"pool": tmp_path / "none"}
    before = Before(images("pool", range(10)), frozenset())
    with pytest.raises(ResumableError, match="the folder of root 'pool' is not there; it had 10 images"):
        roots.refuse(before, images("pool", range(0)), NOTHING, folders, max_missing=0.3, labelled=NOBODY)


def test_a_root_may_lose_a_few_images_but_not_many_at_once(tmp_path):
    look(images("pool", range(10)), images("pool", range(7)), tmp_path)
    with pytest.raises(ResumableError, match="root 'pool' has lost 4 of its 10 images at once"):
        look(images("pool", range(10)), images("pool", range(6)), tmp_path)


def test_images_that_lie_under_other_names_have_not_vanished(tmp_path):
    look(images("pool", range(10)), images("pool", range(10), "renamed/"), tmp_path)


def test_a_root_whose_images_all_lie_in_another_one_stops_with_the_command_that_moves_their_rows(tmp_path):
    before = images("library", range(10), "cow/")
    now = before.assign(image=before["image"].str.replace("library/cow", "pool/cows"))
    table = labels.check(before[["image"]].assign(label="cow"), ["library"], "")
    folders = dict.fromkeys(("library", "pool"), tmp_path)
    with pytest.raises(ResumableError, match="root 'library' is empty") as stopped:
        roots.refuse(Before(before, frozenset()), now, NOTHING, folders, max_missing=0.3, labelled=table)
    assert "`wallaby moved library pool`" not in stopped.value.mend
    assert "`wallaby moved library/cow pool/cows`" in stopped.value.mend


def test_a_loss_that_is_meant_does_not_stop_the_run_and_a_later_one_does(tmp_path):
    look(images("pool", range(10)), images("pool", range(0)), tmp_path, meant(0))
    look(images("pool", range(10)), images("pool", range(4)), tmp_path, meant(4))
    with pytest.raises(ResumableError, match="lost 7 of its 10"):
        look(images("pool", range(10)), images("pool", range(3)), tmp_path, meant(4))
    with pytest.raises(ResumableError, match="library"):
        look(images("library", range(10)), images("library", range(0)), tmp_path, meant(0))


def test_a_loss_is_meant_for_the_next_index_alone(tmp_path):
    before = images("pool", range(10)), images("pool", range(0))
    with pytest.raises(ResumableError):
        look(*before, tmp_path, meant(0), seen={"pool 2026-01-01"})
    again = pd.concat([meant(0), meant(0, at="2026-02-02")])
    look(*before, tmp_path, again, seen={"pool 2026-01-01"})


def test_a_row_without_its_numbers_is_refused(tmp_path):
    write_text("name,images,left,by,at,note\npool,10,all,Ada,2026-01-01,\n", tmp_path / "roots.csv")
    with pytest.raises(DataError) as refused:
        roots.read(tmp_path / "roots.csv")
    assert refused.value.where.endswith("roots.csv, row 2")


def test_what_was_recorded_is_read_again_and_without_a_file_there_is_nothing(tmp_path):
    path = tmp_path / "roots.csv"
    assert roots.read(path).empty
    lost = pd.DataFrame([{"name": "pool", "images": 10, "there": 4, "present": 4, "vanished": 6}])
    roots.add(roots.read(path), lost, path, by="Ada", at="2026-01-01", note="sold, all of it")
    pd.testing.assert_frame_equal(roots.read(path), meant(4).assign(note="sold, all of it"), check_dtype=False)


def test_what_the_last_index_had_counts_what_had_a_file(tmp_path):
    rows = images("library", range(3)).assign(failure=["", "damaged", Failure.MISSING])
    assert index.written(tmp_path).images.empty
    for name in index.TABLES:
        write_table(rows if name == "library.parquet" else rows.head(0), tmp_path / name)
    assert index.written(tmp_path).images["image"].tolist() == ["library/0.jpg", "library/1.jpg"]
    write_json({"accepted": ["pool 2026-01-01"]}, tmp_path / index.SUMMARY)
    assert index.written(tmp_path).accepted == {"pool 2026-01-01"}
