import hashlib
import os
import resource
import struct
import zlib
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import DataError, ResumableError
from pipeline.files import write_table
from pipeline.library import index, pictures
from pipeline.library.failures import Failure, PictureError
from tests.library.builders import encoded, noise, put


@pytest.fixture
def scan(tmp_path):
    """Scans the folders `library` and `pool` of the test's own folder."""

    def run(max_megapixels: float = 100, check=None, accepted=frozenset(), **folders: Path) -> pd.DataFrame:
        roots = folders or {"library": tmp_path / "library", "pool": tmp_path / "pool"}
        cache = tmp_path / "cache" / "index.parquet"
        return index.scan(roots, cache, max_megapixels=max_megapixels, check=check, accepted=accepted)

    return run


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The names of the files that were opened."""
    names: list[str] = []
    load = pictures.load_bytes
    monkeypatch.setattr(pictures, "load_bytes", lambda path: (names.append(path.name), load(path))[1])
    return names


def failures(rows: pd.DataFrame) -> dict[str, str]:
    return dict(zip(rows["image"], rows["failure"], strict=True))


def test_a_picture_is_described_upright(scan, tmp_path):
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    put(tmp_path / "library" / "lion" / "a.jpg", encoded(noise(1).resize((64, 32)), "JPEG", exif=exif))
    row = scan().iloc[0]
    assert row["image"] == "library/lion/a.jpg"
    assert row[["width", "height", "format", "orientation", "failure"]].tolist() == [32, 64, "JPEG", 6, ""]
    assert [len(row[name]) for name in ("sha256", "phash", "layout")] == [64, 16, 48]
    assert 0 < row["contrast"] < row["brightness"] <= 1
    assert row["sharpness"] > 0
    assert 0 < row["subject"] <= 1


def test_a_flat_picture_has_no_layout_and_no_contrast(scan, tmp_path):
    put(tmp_path / "library" / "a.png", Image.new("RGB", (64, 48), "red"))
    row = scan().iloc[0]
    assert row[["phash", "layout", "contrast", "sharpness", "subject"]].tolist() == ["", "", 0, 0, 1]


def test_unchanged_files_are_not_opened_again(scan, tmp_path, opened):
    path = put(tmp_path / "library" / "a.bmp", encoded(noise(1), "BMP"))
    put(tmp_path / "library" / "notes.jpg", b"notes")
    first, status = scan(), path.stat()
    assert sorted(opened) == ["a.bmp", "notes.jpg"]
    path.write_bytes(encoded(noise(2), "BMP"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    pd.testing.assert_frame_equal(scan(), first)
    assert len(opened) == 2


def test_only_changed_and_added_files_are_opened(scan, tmp_path, opened):
    for name in ("a.png", "b.png", "c.png"):
        put(tmp_path / "pool" / name, noise(ord(name[0])))
    first = scan().set_index("image")
    opened.clear()
    put(tmp_path / "pool" / "a.png", noise(7))
    put(tmp_path / "pool" / "0.png", noise(8))
    (tmp_path / "pool" / "b.png").unlink()
    second = scan().set_index("image")
    assert sorted(opened) == ["0.png", "a.png"]
    assert second.index.tolist() == ["pool/0.png", "pool/a.png", "pool/c.png"]
    assert second.loc["pool/a.png", "sha256"] != first.loc["pool/a.png", "sha256"]
    assert second.loc["pool/c.png"].equals(first.loc["pool/c.png"])


def test_one_file_gone_for_another_new_leaves_no_trace(scan, tmp_path):
    path = put(tmp_path / "pool" / "a.png", noise(1))
    scan()
    path.rename(tmp_path / "pool" / "b.png")
    assert scan()["image"].tolist() == ["pool/b.png"]
    assert pd.read_parquet(tmp_path / "cache" / "index.parquet")["image"].tolist() == ["pool/b.png"]


def test_all_files_gone_leave_an_empty_table(scan, tmp_path):
    path = put(tmp_path / "pool" / "a.png", noise(1))
    scan()
    path.unlink()
    assert scan().empty
    assert list(scan()) == index.COLUMNS


def test_the_same_pictures_give_the_same_bytes_on_every_machine(scan, tmp_path):
    for name in ("library/b.png", "library/a/x.png", "pool/ü.jpg", "pool/a.txt"):
        put(tmp_path / name, noise(len(name)))
    put(tmp_path / "pool" / "z.jpg", b"no picture")
    tables = []
    for i, prepare in enumerate([lambda: None, lambda: None, (tmp_path / "cache" / "index.parquet").unlink]):
        prepare()
        if i == 2:
            os.utime(tmp_path / "library" / "b.png", (0, 0))
        write_table(scan(), tmp_path / "out.parquet")
        tables.append((tmp_path / "out.parquet").read_bytes())
    assert tables[0] == tables[1] == tables[2]


def test_an_unchanged_cache_is_not_written_again(scan, tmp_path):
    put(tmp_path / "pool" / "a.png", noise(1))
    scan()
    before = (tmp_path / "cache" / "index.parquet").stat().st_mtime_ns
    scan()
    assert (tmp_path / "cache" / "index.parquet").stat().st_mtime_ns == before


def test_a_file_named_like_a_picture_that_is_none_says_why(scan, tmp_path):
    put(tmp_path / "pool" / "notes.JPG", b"These are notes.")
    put(tmp_path / "pool" / "empty.png", b"")
    put(tmp_path / "pool" / "short.jpeg", encoded(noise(1, 256), "JPEG")[:3000])
    put(tmp_path / "pool" / "good.png", noise(1))
    assert failures(scan()) == {
        "pool/empty.png": "empty file",
        "pool/good.png": "",
        "pool/notes.JPG": "not a picture",
        "pool/short.jpeg": "damaged or cut short",
    }


def test_a_picture_without_a_pictures_name_is_found(scan, tmp_path):
    put(tmp_path / "pool" / "IMG_0001", noise(1))
    assert failures(scan()) == {"pool/IMG_0001": ""}


def test_other_files_are_ignored_and_not_read(scan, tmp_path, opened):
    put(tmp_path / "pool" / "notes.txt", b"notes")
    put(tmp_path / "pool" / "clip.mp4", b"\0\0\0\x18ftypmp42" + bytes(5000))
    for _ in range(2):
        assert scan().empty
    assert opened == []


def test_hidden_files_are_skipped(scan, tmp_path):
    for hidden in ("pool/.a.png", "pool/.trash/a.png", "pool/._b.jpg"):
        put(tmp_path / hidden, noise(1))
    assert scan().empty


def test_linked_files_and_folders_are_followed(scan, tmp_path):
    real = put(tmp_path / "elsewhere" / "a.png", noise(1))
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "folder").symlink_to(real.parent)
    (tmp_path / "pool" / "file.png").symlink_to(real)
    assert failures(scan()) == {"pool/file.png": "", "pool/folder/a.png": ""}


def test_a_link_never_leads_into_a_folder_it_lies_in(scan, tmp_path):
    put(tmp_path / "pool" / "a" / "b" / "x.png", noise(1))
    put(tmp_path / "other" / "y.png", noise(2))
    for place, target in {
        "pool/a/b/root": "pool", "pool/a/b/a": "pool/a", "pool/here": "pool",
        "pool/other": "other", "other/back": "pool", "other/itself": "other/itself",
    }.items():  # fmt: skip
        (tmp_path / place).symlink_to(tmp_path / target)
    assert failures(scan()) == {"pool/a/b/x.png": "", "pool/other/y.png": ""}


def test_a_broken_link_that_is_named_like_a_picture_is_a_failure(scan, tmp_path):
    (tmp_path / "pool").mkdir()
    for name, target in {"gone.png": "nowhere.png", "round.jpg": "round.jpg", "gone": "nowhere"}.items():
        (tmp_path / "pool" / name).symlink_to(tmp_path / "pool" / target)
    rows = scan()
    assert rows["image"].tolist() == ["pool/gone.png", "pool/round.jpg"]
    assert (rows["failure"] != "").all()
    put(tmp_path / "pool" / "nowhere.png", noise(1))
    assert failures(scan())["pool/gone.png"] == ""


def test_what_is_neither_file_nor_folder_is_ignored(scan, tmp_path):
    (tmp_path / "pool").mkdir()
    os.mkfifo(tmp_path / "pool" / "pipe.jpg")  # reading it would wait for ever
    assert scan().empty


def refuse(monkeypatch, name: str, error: OSError) -> None:
    """Lets the system refuse to list the folder called `name`: permissions do not bind root."""
    scandir = os.scandir

    def scan(path):
        if os.path.basename(path) == name:
            raise error
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)


def test_a_folder_that_cannot_be_read_is_named_and_loses_nothing(scan, tmp_path, monkeypatch):
    put(tmp_path / "pool" / "locked" / "a.png", noise(1))
    before = scan()
    with monkeypatch.context() as patch:
        refuse(patch, "locked", PermissionError(13, "Permission denied"))
        with pytest.raises(DataError, match="a folder cannot be read: Permission denied") as refused:
            scan()
        assert refused.value.where == str(tmp_path / "pool" / "locked")
    pd.testing.assert_frame_equal(scan(), before)


def test_a_folder_that_goes_while_its_root_is_walked_is_no_error(scan, tmp_path, monkeypatch):
    put(tmp_path / "pool" / "going" / "a.png", noise(1))
    refuse(monkeypatch, "going", FileNotFoundError(2, "No such file or directory"))
    assert scan().empty


def growing(monkeypatch, times: int) -> None:
    """Lets every file grow after it is read, the first `times` times."""
    load, left = pictures.load_bytes, [times]

    def read(path):
        data = load(path)
        if left[0]:
            left[0] -= 1
            with path.open("ab") as file:
                file.write(b"more")
        return data

    monkeypatch.setattr(pictures, "load_bytes", read)


def test_a_file_that_changes_while_it_is_read_is_read_again(scan, tmp_path, monkeypatch):
    path = put(tmp_path / "pool" / "a.png", noise(1))
    with monkeypatch.context() as patch:
        growing(patch, 1)
        first = scan().iloc[0]
    assert (first["failure"], first["bytes"]) == ("", path.stat().st_size)
    assert first["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    pd.testing.assert_series_equal(scan().iloc[0], first)


def test_a_file_that_goes_on_changing_is_a_failure_until_the_next_scan(scan, tmp_path, monkeypatch):
    put(tmp_path / "pool" / "a.png", noise(1))
    with monkeypatch.context() as patch:
        growing(patch, 2)
        assert failures(scan()) == {"pool/a.png": "changes while it is read"}
    assert failures(scan()) == {"pool/a.png": ""}


def test_a_file_that_goes_while_it_is_read_is_missing(scan, tmp_path, monkeypatch):
    put(tmp_path / "pool" / "a.png", noise(1))
    load = pictures.load_bytes
    monkeypatch.setattr(pictures, "load_bytes", lambda path: (load(path), path.unlink())[0])
    assert failures(scan()) == {"pool/a.png": "missing"}
    assert scan().empty


def test_names_that_differ_by_case_only_are_two_images(scan, tmp_path):
    for name in ("a.png", "A.png", "A.PNG"):
        put(tmp_path / "pool" / name, noise(1))
    assert failures(scan()) == {"pool/A.PNG": "", "pool/A.png": "", "pool/a.png": ""}


@pytest.mark.parametrize(
    "name",
    [
        "x" * 251 + ".png",
        "дикая собака.png",
        "袋鼠/🦘 \"quoted\", 'too'.png",
        "e\u0301 and \xe9.png",
    ],
)
def test_any_name_the_system_allows_is_kept_as_it_is(scan, tmp_path, name):
    put(tmp_path / "pool" / name, noise(1))
    for _ in range(2):
        assert failures(scan()) == {f"pool/{name}": ""}


def png_of(width: int, height: int, *, note_megabytes: int = 0) -> bytes:
    """A PNG that declares a size and has the pixels of a far smaller one, and a note that unpacks to megabytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    note = b"".join(packer.compress(bytes(1_000_000)) for _ in range(note_megabytes)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(100_000), 9))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"zTXt", b"note\0\0" + note) + pixels + chunk(b"IEND", b"")


def test_decompression_bombs_are_failures_and_cost_no_memory(scan, tmp_path):
    bombs = {
        "png": png_of(60_000, 60_000),
        "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + encoded(noise(1), "GIF")[13:],
        "bmp": encoded(noise(1), "BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + encoded(noise(1), "BMP")[26:],
        "text.png": png_of(64, 64, note_megabytes=200),
    }
    for ending, data in bombs.items():
        put(tmp_path / "pool" / f"bomb.{ending}", data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = scan()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert len(rows) == len(bombs)
    assert (rows["failure"] != "").all()
    assert failures(rows)["pool/bomb.png"] == "too large: 60000 x 60000 pixels"


def test_a_cache_measured_by_an_older_program_is_measured_again(scan, tmp_path, opened, monkeypatch):
    put(tmp_path / "pool" / "a.png", noise(1))
    with monkeypatch.context() as patch:
        patch.setattr(index, "FACTS", "older")
        first = scan()
    opened.clear()
    pd.testing.assert_frame_equal(scan(), first)
    assert opened == ["a.png"]
    scan()
    assert opened == ["a.png"]


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_corrupt_cache_is_survived(scan, tmp_path, damage):
    put(tmp_path / "pool" / "a.png", noise(1))
    first = scan()
    cache = tmp_path / "cache" / "index.parquet"
    cache.write_bytes(damage(cache.read_bytes()))
    pd.testing.assert_frame_equal(scan(), first)
    pd.testing.assert_frame_equal(scan(), first)


def test_what_was_judged_by_another_bound_is_judged_again(scan, tmp_path, opened):
    put(tmp_path / "pool" / "big.png", Image.new("L", (1500, 1000)))
    put(tmp_path / "pool" / "small.png", noise(1))
    assert set(failures(scan()).values()) == {""}
    assert failures(scan(max_megapixels=1))["pool/big.png"] == "too large: 1500 x 1000 pixels"
    opened.clear()
    again = scan(max_megapixels=1.2).set_index("image").loc["pool/big.png"]
    assert (again["failure"], again["width"], again["height"]) == ("too large: 1500 x 1000 pixels", 0, 0)
    assert opened == []
    assert set(failures(scan(max_megapixels=1.5)).values()) == {""}
    assert opened == ["big.png"]


def test_a_too_large_image_whose_name_promises_none_is_not_opened_again(scan, tmp_path, opened):
    put(tmp_path / "pool" / "big", encoded(Image.new("L", (1500, 1000))))
    assert scan(max_megapixels=1).empty
    opened.clear()
    assert scan(max_megapixels=1).empty
    assert opened == []


def test_a_file_the_system_would_not_let_us_read_is_tried_again(scan, tmp_path, monkeypatch):
    put(tmp_path / "pool" / "a.png", noise(1))

    def deny(path):
        raise PictureError(Failure.UNREADABLE, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "load_bytes", deny)
        assert failures(scan()) == {"pool/a.png": "unreadable: Permission denied"}
    assert failures(scan()) == {"pool/a.png": ""}


def test_an_interrupted_scan_goes_on_where_it_stopped(scan, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(index, "SAVE_EVERY", 2)
    for i in range(6):
        put(tmp_path / "pool" / f"{i}.png", noise(i))
    write, calls = index.write_table, []

    def stop_at_the_third(table, path, **metadata):
        calls.append(len(table))
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(table, path, **metadata)

    monkeypatch.setattr(index, "write_table", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        scan()
    opened.clear()
    rows = scan()
    assert calls[:3] == [2, 4, 6]
    assert len(opened) == 2
    monkeypatch.setattr(index, "SAVE_EVERY", 1000)
    (tmp_path / "cache" / "index.parquet").unlink()
    pd.testing.assert_frame_equal(scan(), rows)


def test_a_root_within_a_root_is_refused(scan, tmp_path):
    put(tmp_path / "photos" / "pool" / "a.png", noise(1))
    for folders in (
        {"library": tmp_path / "photos", "pool": tmp_path / "photos" / "pool"},
        {"library": tmp_path / "photos", "pool": tmp_path / "photos" / "pool" / ".."},
    ):
        with pytest.raises(DataError, match=r"'pool' lies in root 'library'|'library' lies in root 'pool'"):
            scan(**folders)


def test_folders_whose_names_begin_alike_are_two_roots(scan, tmp_path):
    put(tmp_path / "pool" / "a.png", noise(1))
    put(tmp_path / "pool2" / "a.png", noise(1))
    assert scan(a=tmp_path / "pool", b=tmp_path / "pool2")["image"].tolist() == ["a/a.png", "b/a.png"]


def test_a_name_that_no_table_can_hold_is_one_failure_and_never_the_end_of_a_round(scan, tmp_path):
    put(tmp_path / "pool" / "a.png", noise(1))
    for name in (b"\xff.jpg", b"bell\x07.png", b"\xfe notes.txt"):
        with open(os.fsencode(tmp_path / "pool") + b"/" + name, "wb"):
            pass
    (tmp_path / "library").mkdir()
    os.mkdir(os.fsencode(tmp_path / "library") + b"/caf\xe9")
    put(tmp_path / "b.png", noise(2))
    os.rename(tmp_path / "b.png", os.fsencode(tmp_path / "library") + b"/caf\xe9/b.png")
    assert failures(scan()) == {
        "library/caf\\udce9/b.png": Failure.NAME,
        "pool/\\udcff.jpg": Failure.NAME,
        "pool/a.png": "",
        "pool/bell\\x07.png": Failure.NAME,
    }
    assert failures(scan())["pool/a.png"] == ""


def test_what_systems_leave_behind_is_no_image(scan, tmp_path):
    for name in ("lion/a.png", "lion/@eaDir/a.png", "lion/._a.png", "__MACOSX/lion/a.png", "#recycle/b.png"):
        put(tmp_path / "library" / name, noise(1))
    (tmp_path / "library" / "lion" / "Thumbs.db").write_bytes(encoded(noise(2), "PNG"))
    assert scan()["image"].tolist() == ["library/lion/a.png"]


def test_what_is_no_longer_unreadable_is_inspected_again_and_nothing_else(scan, tmp_path, opened, monkeypatch):
    """A cache from before HEIC was read: only its failures and the darkest deep images are opened."""
    put(tmp_path / "pool" / "a.png", noise(1))
    (tmp_path / "pool" / "b.heic").write_bytes(encoded(noise(2).convert("RGB"), "HEIF"))
    monkeypatch.setattr(pictures, "FORMATS", [name for name in pictures.FORMATS if name != "HEIF"])
    monkeypatch.setattr(index, "READS", "before")
    assert failures(scan()) == {"pool/a.png": "", "pool/b.heic": Failure.NOT_AN_IMAGE}
    monkeypatch.undo()
    assert failures(scan()) == {"pool/a.png": "", "pool/b.heic": ""}


def test_a_labelled_image_leaves_the_pool_without_being_moved(scan, tmp_path):
    for name in ("library/a.png", "pool/b.png", "pool/c.png"):
        put(tmp_path / name, noise(ord(name[-5])))
    library, pool = index.divide(scan(), pd.Series(["pool/c.png", "pool/c.png"]), ["library"])
    assert library["image"].tolist() == ["library/a.png", "pool/c.png"]
    assert pool["image"].tolist() == ["pool/b.png"]


def test_a_labelled_image_without_a_file_is_a_row_that_says_so(scan, tmp_path):
    put(tmp_path / "pool" / "a.png", noise(1))
    library, pool = index.divide(scan(), pd.Series(["library/x.png", "library/x.png"]), ["library"])
    assert failures(library) == {"library/x.png": "missing"}
    assert library.dtypes.equals(scan().dtypes)
    assert len(pool) == 1


def test_nothing_at_all_is_divided_into_nothing(scan):
    library, pool = index.divide(scan(), pd.Series([], dtype="str"), ["library"])
    assert library.empty
    assert pool.empty


def test_a_labelled_image_without_any_picture_is_still_missing(scan):
    library, _ = index.divide(scan(), pd.Series(["library/x.png"]), ["library"])
    assert failures(library) == {"library/x.png": "missing"}


def test_a_root_is_told_by_its_whole_name(scan, tmp_path):
    put(tmp_path / "library2" / "a.png", noise(1))
    library, pool = index.divide(scan(library2=tmp_path / "library2"), pd.Series([], dtype="str"), ["library"])
    assert (len(library), len(pool)) == (0, 1)


def test_what_is_gone_is_forgotten_only_once_that_is_allowed(scan, tmp_path, opened):
    put(tmp_path / "pool" / "a.png", noise(1))
    scan()
    (tmp_path / "pool").rename(tmp_path / "away")
    put(tmp_path / "library" / "b.png", noise(2))
    seen = []

    def refuse(before: index.Before, scanned: pd.DataFrame) -> None:
        seen.append((before.images["image"].tolist(), scanned["image"].tolist()))
        raise ResumableError("it is not mounted")

    for _ in range(2):
        with pytest.raises(ResumableError):
            scan(check=refuse)
    # What was new the first time is known the second time: nothing is read twice.
    assert seen == [(["pool/a.png"], ["library/b.png"]), (["library/b.png", "pool/a.png"], ["library/b.png"])]
    (tmp_path / "away").rename(tmp_path / "pool")
    assert scan()["image"].tolist() == ["library/b.png", "pool/a.png"]
    assert opened == ["a.png", "b.png"]


def test_the_cache_remembers_which_meant_losses_it_has_seen(scan, tmp_path):
    path = put(tmp_path / "pool" / "a.png", noise(1))
    scan(accepted=frozenset({"pool 2026"}))
    assert index.cached(tmp_path / "cache" / "index.parquet").accepted == {"pool 2026"}
    path.unlink()
    scan(accepted=frozenset({"pool 2026", "pool 2027"}))
    before = index.cached(tmp_path / "cache" / "index.parquet")
    assert (before.images.empty, before.accepted) == (True, {"pool 2026", "pool 2027"})


def test_the_contents_of_files_are_read_again_only_where_the_cache_does_not_know_them(scan, tmp_path, monkeypatch):
    put(tmp_path / "pool" / "a.png", noise(1))
    known = scan().set_index("image")["sha256"]
    put(tmp_path / "pool" / "b.png", noise(2))
    read = []
    monkeypatch.setattr(index, "digest", lambda path: (read.append(path.name), "of " + path.name)[1])
    found = index.contents(
        ["pool/a.png", "pool/b.png", "pool/none.png", "none/a.png"],
        {"pool": tmp_path / "pool"},
        tmp_path / "cache" / "index.parquet",
    )
    assert found == {"pool/a.png": known["pool/a.png"], "pool/b.png": "of b.png"}
    assert read == ["b.png"]


def test_a_root_that_never_had_pictures_may_be_absent(scan, tmp_path):
    assert scan(pool=tmp_path / "none").empty
