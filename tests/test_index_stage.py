"""Stage index as a round runs it: what it stops before, what it says, and what it leaves as it was."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from pipeline import config
from pipeline.commands import moved, roots
from pipeline.errors import Exit, ResumableError
from pipeline.files import read_json, read_table, write_text
from pipeline.library import labels
from pipeline.stages import index
from pipeline.workspace import Workspace

ROOT = Path(__file__).parent.parent
HERE = Workspace(Path())
HEADS = {HERE.quarantine: "image,sha256\n", HERE.root_losses: "name,images,left,by,at,note\n"}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    text = (ROOT / config.PARAMS).read_text()
    write_text(text.replace("data/demo/", ""), config.PARAMS)
    for path, head in HEADS.items():
        write_text(head, path)
    rows = ["image,label"]
    for number in range(10):
        for name in (f"library/{'cow' if number < 6 else 'dog'}/{number}.png", f"pool/day/{number}.png"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (20 * number, 0, 255 if name[0] == "p" else 0)).save(name)
            rows += [f"{name},{name.split('/')[1]}"] * name.startswith("library")
    write_text("\n".join([*rows, ""]), HERE.labels)
    run()
    return tmp_path


def here() -> Workspace:
    return Workspace(Path())


def run() -> None:
    index.main(here())


def written() -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in Path("data").rglob("*") if file.is_file()}


def unmounted(name: str) -> None:
    Path(name).rename(f"{name}.real")
    Path(name).mkdir()


def mounted(name: str) -> None:
    shutil.rmtree(name)
    Path(f"{name}.real").rename(name)


@pytest.mark.parametrize("name", ["library", "pool"])
@pytest.mark.parametrize("cache", ["with its cache", "without its cache"])
def test_an_unmounted_root_stops_the_round_before_anything_is_written(name, cache):
    before = written()
    unmounted(name)
    if cache == "without its cache":
        shutil.rmtree(".wallaby")
    for _ in range(2):
        with pytest.raises(ResumableError, match=f"root '{name}' is empty; it had 10 images") as stopped:
            run()
    assert stopped.value.code == Exit.RESUMABLE
    assert written() == before
    mounted(name)
    run()
    assert written() == before


def test_a_deleted_product_does_not_make_an_unmounted_root_pass():
    shutil.rmtree(HERE.index)
    unmounted("pool")
    with pytest.raises(ResumableError, match="root 'pool' is empty; it had 10 images"):
        run()


def test_what_a_person_means_passes_once(capsys):
    unmounted("pool")
    row = roots.empty(here(), "pool", by="Ada", dry_run=True).data
    assert (row["images"], row["there"]) == (10, 0)
    with pytest.raises(ResumableError):
        run()
    roots.empty(here(), "pool", by="Ada")
    run()
    assert "root 'pool' has lost 10 of the 10 images that it had" in capsys.readouterr().out
    assert read_json(HERE.index / "summary.json")["roots"]["pool"] == 0
    mounted("pool")
    run()
    unmounted("pool")
    with pytest.raises(ResumableError):
        run()
    assert roots.listed(here()).data[1] | {"folder": ""} == {
        "name": "pool", "kind": "pool", "folder": "", "exists": True, "images": 10, "missing": 10,
    }  # fmt: skip


def test_a_copy_of_the_workspace_does_not_use_up_what_is_meant_here(tmp_path):
    """A throw-away run has its own products, and shares the cache of the scan."""
    unmounted("pool")
    roots.empty(here(), "pool", by="Ada")
    for source in (config.PARAMS, *HEADS, HERE.labels):
        write_text(source.read_text(), tmp_path / "copy" / source)
    index.main(Workspace(tmp_path / "copy", home=tmp_path))
    run()


def test_a_renamed_folder_is_noticed_with_the_command_that_moves_its_labels(capsys):
    Path("library/cow").rename("library/cows")
    run()
    said = capsys.readouterr().out
    assert "6 labelled images are missing, and their contents lie at library/cows (was library/cow)" in said
    assert "`wallaby moved library/cow library/cows` moves their rows" in said
    places = read_json(HERE.index / "summary.json")["moved"]
    assert places == [{"old": "library/cow", "new": "library/cows", "images": 6}]
    moved.moved(here(), "library/cow", "library/cows", by="Ada")
    run()
    assert read_json(HERE.index / "summary.json")["moved"] == []
    library = read_table(HERE.index / "library.parquet")
    assert len(library) == 10
    assert set(library["failure"]) == {""}


def test_a_root_that_was_moved_into_another_one_is_named_and_does_not_wait_for_its_old_folder():
    Path("library").rename("pool/old library")
    with pytest.raises(ResumableError, match="the folder of root 'library' is not there") as stopped:
        run()
    assert "`wallaby moved library 'pool/old library'` if it was moved" in stopped.value.mend
    moved.moved(here(), "library", "pool/old library", by="Ada")
    run()
    table = labels.read(HERE.labels, ["library", "pool"])
    assert table["image"].str.startswith("pool/old library/").all()
