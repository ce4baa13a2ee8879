"""Class events between rounds: applied everywhere at once, taken back without a trace, and no image changes sides."""

import pytest

from tests.e2e.conftest import Workspace, copy


@pytest.fixture(scope="module")
def renamed(finished, tmp_path_factory) -> Workspace:
    """The round after four events; tests that change it take a copy."""
    workspace = copy(finished, tmp_path_factory.mktemp("renamed") / "clone")
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "--quiet", "-m", "Round 1")
    workspace.run("wallaby", "promote")
    workspace.run("wallaby", "classes", "rename", "cow", "cattle", "--by", "ann")
    workspace.run("wallaby", "classes", "split", "cat/night", "night cat")
    workspace.run("wallaby", "classes", "set", "night cat", "--min-images", "3")
    workspace.run("wallaby", "classes", "retire", "dog")
    for stage in ("index", "curate", "split", "dataset"):
        workspace.stage(stage)
    return workspace


def test_an_event_counts_in_labels_splits_and_benchmarks_at_once(renamed):
    classes = (renamed.path / "data/curated/classes.txt").read_text().splitlines()
    assert {"cattle", "night cat"} <= set(classes)
    assert not {"cow", "dog"} & set(classes)
    sets = renamed.table("data/splits/splits.parquet")
    benchmark = sets[sets["set"] == "benchmark:field"]
    assert "cattle" in set(benchmark["label"])
    assert "cow" not in set(sets["label"])
    assert renamed.json("data/curated/summary.json")["excluded"]["retired class"] > 0
    assert "cow" in set(renamed.table("data/labels.csv")["label"])


def test_no_image_changes_sides_because_its_class_was_renamed_or_split_off(renamed):
    lineage = renamed.table("data/base/lineage.parquet").set_index("sha256")["role"]
    sets = renamed.table("data/splits/splits.parquet")
    role = sets["sha256"].map(lineage)
    assert role.notna().sum() > 300
    assert (role.dropna() == sets.loc[role.notna(), "set"]).all()
    leakage = renamed.json("data/splits/summary.json")["leakage"]
    assert leakage["lineage_images"] == sum(leakage["kept_their_set"].values()) + sum(
        leakage["not_used_today"].values()
    )


def test_a_benchmark_keeps_its_version_when_a_class_is_renamed(renamed, finished):
    assert (
        renamed.json("data/splits/summary.json")["benchmark_versions"]
        == (finished.json("data/splits/summary.json")["benchmark_versions"])
    )


def test_taking_the_events_back_gives_the_tables_of_before_byte_for_byte(renamed, finished, tmp_path):
    renamed = copy(renamed, tmp_path / "clone")
    for _ in range(4):
        renamed.run("wallaby", "classes", "undo")
    for stage in ("index", "curate", "split"):
        renamed.stage(stage)
    for table in ("curated/classes.txt", "splits/splits.parquet"):
        assert (renamed.path / "data" / table).read_bytes() == (finished.path / "data" / table).read_bytes()


def test_the_page_tells_what_has_changed_since_the_last_round(renamed):
    page = (renamed.path / "data/dataset/index.html").read_text()
    assert "Data sets of round 2" in page
    assert "retired class" in page


def test_an_image_can_be_asked_why(renamed):
    image = renamed.table("data/labels.csv").query("label == 'cow'")["image"].iloc[0]
    told = renamed.run("wallaby", "why", image).stdout
    assert "today it counts as cattle" in told
    assert "round 1" in told


def test_an_event_that_makes_no_sense_is_refused_and_nothing_is_written(renamed, tmp_path):
    renamed = copy(renamed, tmp_path / "clone")
    before = (renamed.path / "data/classes.csv").read_bytes()
    renamed.run("wallaby", "classes", "rename", "cow", "kine", code=3)
    assert "did you mean 'cattle'" in renamed.run("wallaby", "classes", "retire", "catle", code=3).stderr
    assert (renamed.path / "data/classes.csv").read_bytes() == before
    (renamed.path / "data/classes.csv").write_text("event,class,to\nrename,cow,ox\nrename,ox,cow\n")
    assert "row 3" in renamed.stage("curate", code=3).stderr
