import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.library import benchmarks, curation, lineage
from tests.library.builders import library_table, sha

ROOTS = ["benchmark", "library"]


@pytest.fixture
def folder(tmp_path):
    def write(**sets: str):
        for name, rows in sets.items():
            (tmp_path / f"{name}.csv").write_text("image,label\n" + rows, encoding="utf-8")
        return tmp_path

    return write


def refusal(folder) -> str:
    with pytest.raises(DataError) as refused:
        benchmarks.read_all(folder, ROOTS)
    assert len(str(refused.value).splitlines()) <= 3
    return str(refused.value)


def test_all_sets_are_read_into_one_sorted_table(folder):
    table = benchmarks.read_all(folder(hard="benchmark/b,lion\nbenchmark/a,\n", field="library/z,NA\n"), ROOTS)
    assert table.to_numpy().tolist() == [
        ["field", "library/z", "NA", ""],
        ["hard", "benchmark/a", "", ""],
        ["hard", "benchmark/b", "lion", ""],
    ]


def test_without_a_set_or_a_folder_the_table_is_empty(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert list(benchmarks.read_all(folder, ROOTS)) == benchmarks.COLUMNS


def test_hidden_files_are_no_sets(folder):
    path = folder(field="benchmark/a,lion\n")
    (path / "._field.csv").write_bytes(b"\0\xff")
    assert len(benchmarks.read_all(path, ROOTS)) == 1


def test_an_empty_set_is_refused(folder):
    assert "the benchmark set is empty" in refusal(folder(field=""))


def test_an_image_in_two_sets_is_refused_by_name(folder):
    said = refusal(folder(field="benchmark/a,lion\n", hard="benchmark/b,lion\nbenchmark/a,lion\n"))
    assert "benchmark/a is in two benchmark sets" in said
    assert "field and hard" in said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("benchmark/a,lion\nbenchmark/a,lion\n", "field.csv, row 2 and row 3"),
        ("benchmark/a,lion\nbenchmrk/b,lion\n", "did you mean 'benchmark'?"),
        ("benchmark/../a,lion\n", "a path outside its root"),
        ("benchmark/a,lion\n,lion\n", "a row without an image"),
        ("benchmark/a,Unknown\n", "'unknown' is never a class"),
    ],
)
def test_a_fault_is_named_with_file_and_row(folder, rows, said):
    message = refusal(folder(field=rows))
    assert said in message
    assert "field.csv, row" in message


def listed(**labels: str) -> pd.DataFrame:
    rows = [("field", f"benchmark/{name}", label, "") for name, label in labels.items()]
    return pd.DataFrame(rows, columns=benchmarks.COLUMNS, dtype="str")


LIBRARY = library_table(*({"image": f"benchmark/{name}"} for name in "abc"))


def test_each_image_is_found_in_the_index():
    rows = benchmarks.resolve(listed(a="lion", c=""), LIBRARY, "data/benchmarks")
    assert rows["set"].tolist() == ["benchmark:field"] * 2
    assert rows["sha256"].tolist() == [sha("benchmark/a"), sha("benchmark/c")]
    assert {*curation.COLUMNS, "set"} - {*lineage.TIES} <= set(rows)


def test_an_image_with_another_content_than_was_labelled_leaves_the_figures_and_makes_another_version():
    then = listed(a="lion", c="lion").assign(sha256=[sha("benchmark/a"), sha("what it was")])
    assert benchmarks.replaced(then, LIBRARY).tolist() == ["benchmark/c"]
    assert benchmarks.resolve(then, LIBRARY, "")["image"].tolist() == ["benchmark/a"]
    whole = benchmarks.versions(benchmarks.resolve(listed(a="lion", c="lion"), LIBRARY, ""))
    assert benchmarks.versions(benchmarks.resolve(then, LIBRARY, "")) != whole


def test_a_file_that_is_gone_still_stops_the_round_though_its_content_is_known():
    with pytest.raises(DataError, match="1 benchmark images cannot be read"):
        benchmarks.resolve(listed(z="lion").assign(sha256=sha("z")), LIBRARY, "")


def test_the_first_index_notes_the_contents_of_a_set_once(folder):
    path = folder(field="benchmark/b,lion\nbenchmark/a,\nbenchmark/gone,\n", hard="library/z,emu\n")
    assert benchmarks.note_contents(path, LIBRARY) == 2
    noted = benchmarks.read_all(path, ROOTS).set_index("image")["sha256"]
    assert noted.drop(["benchmark/gone", "library/z"]).to_dict() == {
        "benchmark/a": sha("benchmark/a"), "benchmark/b": sha("benchmark/b"),
    }  # fmt: skip
    later = LIBRARY.assign(sha256=sha("another"))
    assert benchmarks.note_contents(path, later) == 0
    assert benchmarks.replaced(benchmarks.read_all(path, ROOTS), later).tolist() == ["benchmark/a", "benchmark/b"]


def test_no_sets_are_no_rows():
    assert benchmarks.resolve(listed(), LIBRARY, "data/benchmarks").empty


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        (LIBRARY.assign(failure=["", "missing", ""]), "missing"),
        (LIBRARY.assign(failure=["", "damaged or cut short", ""]), "damaged or cut short"),
        (LIBRARY.drop(index=1), "not indexed"),
    ],
)
def test_a_set_never_shrinks_in_silence(library, reason):
    with pytest.raises(DataError) as refused:
        benchmarks.resolve(listed(a="lion", b="lion"), library, "data/benchmarks")
    assert f"1 benchmark images cannot be read, first benchmark/b: {reason}" in str(refused.value)
    assert refused.value.where == "data/benchmarks/field.csv"


def test_a_picture_that_two_sets_share_is_named_with_both():
    two = pd.concat([listed(a="lion", b="lion"), listed(c="lion").assign(benchmark="hard")])
    twins = LIBRARY.assign(sha256=LIBRARY["sha256"].where(LIBRARY["image"] != "benchmark/c", sha("benchmark/a")))
    with pytest.raises(DataError) as refused:
        benchmarks.resolve(two, twins, "data/benchmarks")
    assert "1 pictures are in two benchmark sets, first benchmark/a and benchmark/c" in str(refused.value)
    assert refused.value.where == "data/benchmarks: field and hard"
    assert len(benchmarks.resolve(listed(a="lion", c="lion"), twins, "")) == 2  # twice in one set


def version(library: pd.DataFrame = LIBRARY, **labels: str) -> str:
    return benchmarks.versions(benchmarks.resolve(listed(**labels), library, ""))["benchmark:field"]


def test_a_version_changes_with_a_label_a_file_or_the_list_and_with_nothing_else():
    first = version(a="lion", b="puma")
    assert version(b="puma", a="lion") == first
    assert version(pd.concat([LIBRARY, LIBRARY[:1]], ignore_index=True), a="lion", b="puma") == first  # twice in it
    others = [
        version(a="lion", b="lion"),
        version(a="puma", b="lion"),
        version(a="lion", b=""),
        version(a="lion"),
        version(a="lion", b="puma", c=""),
        version(LIBRARY.assign(sha256=[sha(1), *LIBRARY["sha256"][1:]]), a="lion", b="puma"),
    ]
    assert len({first, *others}) == 7


def test_only_benchmarks_have_versions():
    rows = pd.DataFrame({"set": ["train", "benchmark:x"], "sha256": ["0", "1"], "label": ["a", "b"]}, dtype="str")
    assert list(benchmarks.versions(rows)) == ["benchmark:x"]
    assert benchmarks.versions(rows.iloc[:1]) == {}
