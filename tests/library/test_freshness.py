"""What files hold today."""

import os

import pandas as pd

from pipeline.files import write_table
from pipeline.library import freshness
from tests.library.builders import put, sha


def noted(tmp_path, **sha256: str) -> pd.DataFrame:
    """An index that has seen these files as they are, with these contents."""
    rows = [
        {"image": f"pool/{name}", "sha256": content, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        for name, content in sha256.items()
        for status in [(tmp_path / "pool" / name).stat()]
    ]
    write_table(pd.DataFrame(rows), tmp_path / "index.parquet")


def test_a_file_is_read_only_if_it_has_changed_since_it_was_indexed(tmp_path):
    for name in "abc":
        put(tmp_path / "pool" / name, name.encode())
    noted(tmp_path, a="as noted", b="as noted", c="")
    put(tmp_path / "pool/b", b"another")
    found = freshness.contents(
        ["pool/a", "pool/b", "pool/c", "pool/a", "pool/gone", "elsewhere/a"],
        {"pool": tmp_path / "pool"},
        tmp_path / "index.parquet",
    )
    assert found.to_dict() == {
        "pool/a": "as noted", "pool/b": sha("another"), "pool/c": sha("c"), "pool/gone": "", "elsewhere/a": "",
    }  # fmt: skip


def test_a_file_of_the_same_size_is_read_if_it_was_written_later(tmp_path):
    put(tmp_path / "pool/a", b"one")
    noted(tmp_path, a=sha("one"))
    put(tmp_path / "pool/a", b"two")
    os.utime(tmp_path / "pool/a", ns=(1, 1))
    assert freshness.contents(["pool/a"], {"pool": tmp_path / "pool"}, tmp_path / "index.parquet")["pool/a"] == sha(
        "two"
    )


def test_without_an_index_every_file_is_read(tmp_path):
    put(tmp_path / "pool/a", b"a")
    assert freshness.contents(["pool/a"], {"pool": tmp_path / "pool"}, tmp_path / "none").tolist() == [sha("a")]
    (tmp_path / "torn").write_bytes(b"PAR1")
    assert freshness.contents(["pool/a"], {"pool": tmp_path / "pool"}, tmp_path / "torn").tolist() == [sha("a")]
    assert freshness.contents([], {"pool": tmp_path / "pool"}, tmp_path / "none").empty
