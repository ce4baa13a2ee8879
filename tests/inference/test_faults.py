"""What can go wrong while millions of pictures are read, and what is left of it in the store: nothing."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline import files
from pipeline.errors import Exit, ResumableError
from pipeline.files import digest
from pipeline.inference import shards, store
from tests.inference.shade import SHARD, Shade, grey, identify, read, table


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures in two folders."""
    for n in range(20):
        grey(tmp_path / "pool" / f"{n // 10}" / f"{n:02d}.png", 10 * n)
    return tmp_path / "pool"


@pytest.fixture
def undisturbed(folder, tmp_path) -> pd.DataFrame:
    identify(table(folder), folder, tmp_path / "undisturbed", Shade())
    return read(tmp_path / "undisturbed")


@pytest.mark.parametrize(("gone", "how"), [("pool", "taken away"), ("pool", "left empty"), ("pool/1", "left empty")])
def test_a_folder_unmounted_in_the_middle_stops_the_run_and_no_picture_is_called_missing(
    folder, undisturbed, tmp_path, gone, how
):
    index = table(folder)
    place, mounted = tmp_path / gone, tmp_path / "mounted"
    place.rename(mounted)
    place.symlink_to(mounted)

    def unmount() -> None:  # in one step, as a system does
        if how == "taken away":
            place.unlink()
        else:
            (tmp_path / "empty").mkdir()
            (tmp_path / "link").symlink_to(tmp_path / "empty")
            (tmp_path / "link").replace(place)

    with pytest.raises(ResumableError, match="a folder of root 'pool' is gone or empty") as refused:
        identify(index, folder, tmp_path / "out", Shade(after=1, then=unmount))
    assert refused.value.code == Exit.RESUMABLE
    assert refused.value.where == str(place)
    assert not any(store.skipped(pd.read_parquet(shard)).any() for shard in shards.listed(tmp_path / "out"))
    place.unlink(missing_ok=True)
    place.symlink_to(mounted)
    identify(index, folder, tmp_path / "out", Shade())
    pd.testing.assert_frame_equal(read(tmp_path / "out"), undisturbed)


def test_a_folder_that_was_deleted_below_the_root_is_missing_picture_by_picture(folder, tmp_path):
    index = table(folder)
    shutil.rmtree(folder / "1")
    identify(index, folder, tmp_path / "out", Shade())
    assert read(tmp_path / "out")["failure"].tolist() == [""] * 10 + ["missing"] * 10


def test_a_picture_replaced_since_it_was_indexed_is_never_a_prediction_of_the_old_content(folder, tmp_path):
    index = table(folder)
    replaced = digest(grey(folder / "0" / "05.png", 255))
    identify(index, folder, tmp_path / "out", Shade())
    row = read(tmp_path / "out").loc[5]
    assert (row["label"], row["failure"]) == ("", "changed since it was indexed")
    index.loc[5, "sha256"] = replaced  # the next scan sees it
    identify(index, folder, tmp_path / "out", Shade())
    row = read(tmp_path / "out").loc[5]
    assert (row["label"], row["failure"], row["sha256"]) == ("light", "", replaced)


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_corrupt_files_are_failures_with_a_reason_and_the_others_are_identified(folder, undisturbed, tmp_path, share):
    files_ = sorted(folder.rglob("*.png"))
    for path in files_[: int(share * len(files_))]:
        path.write_bytes(path.read_bytes()[:40])
    index = table(folder)
    identify(index, folder, tmp_path / "out", Shade())
    found, corrupt = read(tmp_path / "out"), np.arange(20) < share * 20
    assert found["failure"].isin(["not a picture", "damaged or cut short"]).tolist() == corrupt.tolist()
    assert found["failure"].eq("").tolist() == (~corrupt).tolist()
    assert found["label"][~corrupt].tolist() == undisturbed["label"][~corrupt].tolist()
    runtime = Shade()
    assert identify(index, folder, tmp_path / "out", runtime).before == 20  # they are not read again
    assert runtime.calls == 0


def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_space(folder, undisturbed, tmp_path, monkeypatch):
    write, written = pq.write_table, []

    def until_the_disk_is_full(data, path, **how):
        if len(written) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(data, path, **how)
        written.append(path)

    monkeypatch.setattr(files.pq, "write_table", until_the_disk_is_full)
    with pytest.raises(ResumableError, match="the disk is full") as refused:
        identify(table(folder), folder, tmp_path / "out", Shade())
    assert "part-00002" in refused.value.where
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    runtime = Shade()
    assert identify(table(folder), folder, tmp_path / "out", runtime).before == 2 * SHARD
    assert runtime.seen == 20 - 2 * SHARD
    pd.testing.assert_frame_equal(read(tmp_path / "out"), undisturbed)


SLOWLY = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.inference.shade import Shade, identify, table

class Slow(Shade):
    def predict(self, pixels):
        time.sleep(0.02)
        return super().predict(pixels)

folder, out = map(Path, sys.argv[1:])
index = table(folder)
for line in sys.stdin:  # a child for each line: what takes long, the imports, is done once
    child = os.fork()
    if not child:
        identify(index, folder, out, Slow())
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_that_is_killed_at_ten_random_moments_has_every_image_once_and_says_the_same(
    folder, undisturbed, tmp_path
):
    program = SLOWLY.format(root=str(Path(__file__).parents[2]))
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert process.stdin
    assert process.stdout
    moments = random.Random(0)
    for attempt in range(11):
        process.stdin.write("\n")
        child = int(process.stdout.readline())
        if attempt < 10:
            time.sleep(moments.uniform(0.0, 0.2))
            os.kill(child, signal.SIGKILL)
        assert process.stdout.readline() == "ended\n"
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    pd.testing.assert_frame_equal(read(tmp_path / "out"), undisturbed)
    assert not list((tmp_path / "out").glob(".*"))
