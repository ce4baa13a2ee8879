"""The wheel turns: two whole rounds on the demo, by the commands of the README."""

import json

import pytest

from tests.e2e.conftest import Workspace, fresh

SIDES = ["sha256", "set"]


@pytest.fixture(scope="module")
def rounds(tmp_path_factory) -> tuple[Workspace, dict, dict]:
    """The workspace after two rounds, and what each left behind; the second has what `preview` said before it.

    SqueezeNet sees images of 48 pixels: it learns the demo in a fifth of the time that a small Inception-V4 takes.
    """
    workspace = fresh(tmp_path_factory.mktemp("demo") / "clone")
    for old, new in (
        (" max_epochs: 60", " max_epochs: 24"),
        ("continued_max_epochs: 20", "continued_max_epochs: 10"),
        ("runtime: auto  # as in section identify", "runtime: onnx  # as in section identify"),
    ):
        workspace.replace("configs/params.yaml", old, new)
    workspace.replace("configs/models/squeezenet.yaml", "image_size: 224", "image_size: 48")
    first = play(workspace)
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "--quiet", "-m", "Round 1")
    workspace.run("wallaby", "demo", "--review")
    decided = preview(workspace)
    workspace.run("wallaby", "apply")
    applied = preview(workspace)
    workspace.run("wallaby", "promote")
    return workspace, first, play(workspace) | {"decided": decided, "applied": applied}


def preview(workspace: Workspace) -> dict:
    return json.loads(workspace.run("wallaby", "preview", "--json").stdout)


def play(workspace: Workspace) -> dict:
    output = workspace.run("scripts/round", "squeezenet").stdout
    return {
        "output": output,
        "summary": workspace.json("data/curated/summary.json"),
        "card": workspace.json("data/model/card.json"),
        "splits": workspace.table("data/splits/splits.parquet"),
        "classes": (workspace.path / "data/model/classes.txt").read_text().split(),
        "history": workspace.table("data/model/history.csv"),
        "metrics": workspace.json("data/evaluation/metrics.json"),
        "predictions": workspace.json("data/predictions/summary.json"),
        "lineage": workspace.table("data/model/lineage.parquet"),
        "seen": {
            *workspace.table("data/index/pool.parquet")["sha256"],
            *workspace.table("data/evaluation/scores.parquet")["sha256"],
        },
    }


def test_every_image_is_kept_or_excluded_with_a_reason(rounds):
    for played in rounds[1:]:
        summary = played["summary"]
        assert summary["images"] == summary["kept"] + sum(summary["excluded"].values())


def test_what_the_demo_planted_is_found(rounds):
    excluded = rounds[1]["summary"]["excluded"]
    assert excluded["unreadable"] == 2
    assert excluded["unknown"] == 14
    assert excluded["label conflict"] >= 2
    assert excluded["duplicate"] >= 5  # of six copies, one is of a burst that the benchmark measures
    assert rounds[1]["summary"]["near_classes"] == ["zebra", "bear"]


def test_every_pool_image_is_identified_or_failed(rounds):
    for played in rounds[1:]:
        predictions = played["predictions"]
        assert predictions["pool"] == predictions["identified"] + predictions["failed"]


def test_the_second_round_knows_more_classes(rounds):
    _, first, second = rounds
    assert set(second["classes"]) > set(first["classes"])


def test_the_second_round_starts_where_the_first_needed_epochs_to_come_and_ends_near_its_end(rounds):
    """Near is ten points: three classes are new, and the last points of so small a validation set are luck."""
    _, first, second = rounds
    before, now = first["history"]["val_accuracy"], second["history"]["val_accuracy"]
    assert (before.cummax() < now.iloc[0]).sum() >= 4  # epochs of the first round below the second one's first
    assert now.max() >= before.max() - 0.1


def test_the_second_round_starts_from_the_first_rounds_model(rounds):
    _, first, second = rounds
    assert second["card"]["parent_digest"] == first["card"]["model_digest"]
    assert (first["card"]["round"], second["card"]["round"]) == (1, 2)


def test_every_content_of_library_and_pool_has_features_of_the_frozen_network(rounds):
    workspace = rounds[0]
    for name in ("library", "pool"):
        indexed = workspace.table(f"data/index/{name}.parquet")
        readable = indexed[(indexed["failure"] == "") & (indexed["sha256"] != "")]
        summary = workspace.json(f"data/embed/{name}/summary.json")
        assert summary["identified"] == summary["contents"] == readable["sha256"].nunique()
    asked = workspace.table("data/labels.csv").query("label == 'cow'")["image"].iloc[0]
    found = json.loads(workspace.run("wallaby", "find", asked, "--json").stdout)
    assert found["features"] == "efficientnet_lite0 (imagenet)"
    assert "cow" in {row["label"] for row in found["library"]}


def test_no_image_has_changed_sides(rounds):
    _, first, second = rounds
    both = first["splits"][SIDES].merge(second["splits"][SIDES], on="sha256", suffixes=("_first", "_second"))
    assert len(both) > 1000
    assert (both["set_first"] == both["set_second"]).all()


def test_the_lineage_remembers_every_image_of_both_rounds(rounds):
    _, first, second = rounds
    seen = set(first["splits"]["sha256"]) | set(second["splits"]["sha256"])
    assert set(second["lineage"]["sha256"]) == seen


def test_the_model_is_good_enough_for_its_queue(rounds):
    _, first, second = rounds
    assert first["metrics"]["test"]["top1"] > 0.7
    assert second["metrics"]["benchmark:field"]["n"] > first["metrics"]["benchmark:field"]["n"]


def test_running_the_round_again_runs_nothing(rounds):
    workspace, _, second = rounds
    output = workspace.run("scripts/round").stdout
    assert "Running stage 'train'" not in output
    assert "Running stage 'curate'" not in output
    assert workspace.json("data/model/card.json") == second["card"]


def test_the_summary_tells_the_round_and_what_comes_next(rounds):
    output = rounds[2]["output"]
    for words in (
        "Round 2",
        "plateau",
        "benchmark field",
        "images identified",
        "wallaby promote",
        "dvc remote add",
        "wallaby ui",
    ):
        assert words in output


def test_both_rounds_stand_side_by_side(rounds):
    workspace, first, second = rounds
    listed = json.loads(workspace.run("wallaby", "runs", "--json").stdout)
    assert [row["round"] for row in listed] == ["1", "2"]
    assert listed[1]["base run"] == first["card"]["run_id"][:8]
    assert listed[1]["test"] == second["metrics"]["test"]["top1"]


def test_a_clone_on_another_machine_has_the_history_by_git_alone(rounds, tmp_path):
    workspace = rounds[0]
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "--quiet", "-m", "Round 2")
    workspace.run("git", "clone", "--quiet", str(workspace.path), str(tmp_path / "clone"))
    clone = Workspace(tmp_path / "clone")
    (clone.path / ".venv").symlink_to((workspace.path / ".venv").resolve())
    here, there = (json.loads(place.run("wallaby", "runs", "--json").stdout) for place in (workspace, clone))
    assert there == here
    assert not (clone.path / "mlflow.db").exists()
    assert "by the records alone" in clone.run("wallaby", "runs", "diff", "1", "2").stdout
    clone.run("wallaby", "runs", "--rebuild")
    assert json.loads(clone.run("wallaby", "runs", "--json").stdout) == here


def test_a_round_has_the_sets_that_the_preview_said(rounds):
    """Applied or not, the preview is the same; and `preview --held` compares it with what came.

    It judges what the first model has seen: not an image that was excluded in the first round, and is not now.
    """
    workspace, first, second = rounds
    said = second["decided"]
    assert second["applied"] == said
    splits = second["splits"]
    assert (splits["set"] == "train").sum() == said["images"]["train_next"]
    seen = splits["sha256"].isin(first["seen"])
    judged = splits[seen & ((splits["set"] == "test") | splits["set"].str.startswith("benchmark:"))]
    images = judged.drop_duplicates(["sha256", "set"])["label"].value_counts()
    assert {row["label"]: row["n"] for row in said["classes"]} == {
        label: n for label, n in images.items() if label in set(splits.loc[splits["set"] == "train", "label"])
    }
    held = json.loads(workspace.run("wallaby", "preview", "--held", "--json").stdout)
    assert {row["set"] for row in held["sets"]} == {"val", "test", "benchmark:field"}
    assert all(0 <= row["real"] <= 1 for row in held["classes"])
