"""What goes wrong, goes wrong by the book: one clear error, the documented exit code, and nothing lost."""

import hashlib
import json
import shutil
import signal
import subprocess
import time
import zipfile

import pandas as pd
import pytest
from PIL import Image, ImageOps

from pipeline import files
from pipeline.files import read_table, write_json, write_table

FIRST_BIRD = "library/bird/0000.jpg"
MEASURED = ["seconds", "images_per_second", "minutes"]  # differ from run to run


def says(result, *words: str) -> None:
    """The error has at most three lines, and these words."""
    error = result.stderr[result.stderr.index("error: ") :].strip()
    assert len(error.splitlines()) <= 3, error
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image,label,", "image,lable,", ["column 'label' is missing", "labels.csv"]),
        (FIRST_BIRD, "library/bird/0001.jpg", ["listed twice", "row "]),
        (
            f"{FIRST_BIRD},bird,,real,,ok",
            f"{FIRST_BIRD},bird,,real,,okay",
            ["unknown status 'okay'", "did you mean 'ok'", "row "],
        ),
        (f"{FIRST_BIRD},bird,,real", f"{FIRST_BIRD},bird,,stage", ["unknown origin", "did you mean 'staged'"]),
        (FIRST_BIRD, "library/../../etc/bird.jpg", ["outside its root", "row "]),
        (FIRST_BIRD, "libary/bird/0000.jpg", ["unknown root 'libary'", "did you mean 'library'"]),
        (f"{FIRST_BIRD},bird", f"{FIRST_BIRD},Unknown", ["never a class", "row "]),
    ],
)
def test_a_wrong_label_table_is_refused_by_row(workspace, old, new, words):
    workspace.replace("data/labels.csv", old, new)
    says(workspace.stage("index", code=3), *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  min_images: 40", "  min_image: 40", ["unknown key 'min_image'", "did you mean 'min_images'"]),
        ("  min_images: 40", "  min_images: 0", ["min_images", "greater than or equal to 3"]),
        ("  max_images: 1000", "  max_images: 10", ["below min_images"]),
        ("\ncurate:", "\ncurrate:", ["unknown section 'currate'", "did you mean 'curate'"]),
    ],
)
def test_a_wrong_key_in_the_params_is_refused(workspace, old, new, words):
    workspace.replace("configs/params.yaml", old, new)
    says(workspace.stage("curate", code=2), *words)


def test_too_few_classes_are_refused_and_the_old_tables_stay(workspace):
    before = (workspace.path / "data/curated/images.parquet").read_bytes()
    workspace.replace("configs/params.yaml", "min_images: 40", "min_images: 900")
    says(workspace.stage("curate", code=3), "too few classes", "lower cutoff of 900")
    assert (workspace.path / "data/curated/images.parquet").read_bytes() == before


def test_a_labelled_file_that_vanished_is_excluded_by_name(workspace):
    (workspace.path / "data/demo" / FIRST_BIRD).unlink()
    workspace.stage("index")
    workspace.stage("curate")
    excluded = workspace.table("data/curated/excluded.parquet").set_index("image")
    assert tuple(excluded.loc[FIRST_BIRD, ["reason", "detail"]]) == ("unreadable", "missing")


def test_an_incomplete_base_is_named(workspace):
    (workspace.path / "data/base/card.json").unlink()
    says(workspace.stage("train", code=3), "card.json missing", "data/base")


def test_a_benchmark_image_that_an_ancestor_learnt_from_is_refused(workspace):
    workspace.run("wallaby", "promote")
    splits = workspace.table("data/splits/splits.parquet")
    learnt = splits.loc[splits["set"] == "train", "image"].iloc[0]
    with (workspace.path / "data/benchmarks/field.csv").open("a") as file:
        file.write(f"{learnt},bird,\n")
    workspace.stage("index")
    workspace.stage("curate")
    says(workspace.stage("split", code=5), learnt, "train -> benchmark:field")


def test_a_near_duplicate_in_a_benchmark_of_what_an_ancestor_learnt_is_refused(workspace):
    workspace.run("wallaby", "promote")
    splits = workspace.table("data/splits/splits.parquet")
    learnt = splits.loc[splits["set"] == "train", "image"].iloc[0]
    picture = ImageOps.exif_transpose(Image.open(workspace.path / "data/demo" / learnt))
    picture.save(workspace.path / "data/demo/benchmark/again.jpg", quality=95)
    with (workspace.path / "data/benchmarks/field.csv").open("a") as file:
        file.write("benchmark/again.jpg,bird,\n")
    workspace.stage("index")
    workspace.stage("curate")
    says(workspace.stage("split", code=5), "benchmark/again.jpg")


def test_training_refuses_to_start_when_an_image_would_change_sides(workspace):
    workspace.run("wallaby", "promote")
    path = workspace.path / "data/splits/splits.parquet"
    rows = read_table(path)
    moved = rows.index[rows["set"] == "train"][0]
    rows.loc[moved, "set"] = "test"
    write_table(rows, path)
    says(workspace.stage("train", code=5), rows.loc[moved, "image"], "train -> test")
    assert (workspace.path / "data/model/card.json").exists()


def test_a_throw_away_model_is_never_a_base_and_never_a_champion(workspace):
    workspace.replace("data/model/card.json", '"throwaway": false', '"throwaway": true')
    says(workspace.run("wallaby", "promote", code=5), "never a base")
    says(workspace.run("wallaby", "release", code=4), "never a champion")


def test_a_killed_training_continues_and_ends_as_if_nothing_had_happened(workspace):
    undisturbed = workspace.table("data/model/history.csv")
    shutil.rmtree(workspace.path / "data/model")
    kill_when(workspace, "train", lambda: any((workspace.path / ".wallaby/train").glob("*/state-*.npz")))
    result = workspace.stage("train")
    assert "continues after epoch" in result.stdout
    history = workspace.table("data/model/history.csv")
    pd.testing.assert_frame_equal(history.drop(columns=MEASURED), undisturbed.drop(columns=MEASURED), check_exact=True)


FULL_DISK = """
import runpy
from pathlib import Path

write = Path.write_bytes

def until_the_disk_is_full(path, data):
    if path.name.startswith(".state-2"):
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device", str(path))
    return write(path, data)

Path.write_bytes = until_the_disk_is_full
runpy.run_module("pipeline.stages.train", run_name="__main__", alter_sys=True)
"""


def test_a_disk_full_at_a_checkpoint_ends_training_with_75_and_it_goes_on_afterwards(workspace):
    undisturbed = workspace.table("data/model/history.csv")
    shutil.rmtree(workspace.path / "data/model")
    arguments = workspace.stage_command("train")[3:]
    says(
        workspace.run("python", "-c", FULL_DISK, *arguments, code=75), "the disk is full", "state-2", "free some space"
    )
    assert not (workspace.path / "data/model").exists()
    (work,) = (workspace.path / ".wallaby/train").iterdir()
    assert {path.name for path in work.glob("*state*")} == {"state-1.npz"}
    assert "continues after epoch 1" in workspace.stage("train").stdout
    history = workspace.table("data/model/history.csv")
    pd.testing.assert_frame_equal(history.drop(columns=MEASURED), undisturbed.drop(columns=MEASURED), check_exact=True)


def test_a_killed_identification_continues_with_every_image_once(workspace):
    undisturbed = predictions(workspace)
    shutil.rmtree(workspace.path / "data/predictions")
    kill_when(workspace, "identify", lambda: any((workspace.path / "data/predictions").glob("part-*.parquet")))
    workspace.stage("identify")
    again = predictions(workspace)
    columns = ["image", "sha256", "label", "failure", "model"]
    pd.testing.assert_frame_equal(again[columns], undisturbed[columns])
    assert again["score"].to_numpy() == pytest.approx(undisturbed["score"].to_numpy(), abs=1e-4)
    assert workspace.json("data/predictions/summary.json")["identified_before"] > 0


def test_a_second_training_in_the_same_workspace_is_refused(workspace):
    with files.alone(workspace.path / ".wallaby/train.lock", "training"):
        says(workspace.stage("train", code=75), "another training runs in this workspace", "wait for it")


def test_a_second_identification_in_the_same_workspace_is_refused(workspace):
    before = predictions(workspace)
    with files.alone(workspace.path / ".wallaby/identify.lock", "identification"):
        says(workspace.stage("identify", code=75), "another identification runs in this workspace", "wait for it")
    pd.testing.assert_frame_equal(predictions(workspace), before)


def test_a_pool_whose_folder_is_gone_is_not_called_missing_picture_by_picture(workspace):
    before = predictions(workspace)
    shutil.rmtree(workspace.path / "data/predictions")
    pool = workspace.path / "data/demo/pool"
    pool.rename(workspace.path / "aside")
    says(workspace.stage("identify", code=75), "root 'pool' is gone or empty", "data/demo/pool", "mount it")
    (workspace.path / "aside").rename(pool)
    workspace.stage("identify")
    pd.testing.assert_frame_equal(predictions(workspace)[["image", "label"]], before[["image", "label"]])
    assert "0 skipped" in workspace.run("wallaby", "validate").stdout


def test_a_training_stopped_by_the_user_ends_with_130(workspace):
    training = subprocess.Popen(
        workspace.stage_command("train"),
        cwd=workspace.path,
        env=workspace.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: any((workspace.path / ".wallaby/train").glob("*/val.npy")), training)
    training.send_signal(signal.SIGINT)
    _, error = training.communicate(timeout=120)
    assert training.returncode == 130
    assert "Traceback" not in error


def test_a_base_of_another_image_size_than_its_preset_is_refused(workspace):
    workspace.replace("configs/models/squeezenet.yaml", "image_size: 32", "image_size: 48")
    says(workspace.stage("train", code=3), "32 pixels", "squeezenet", "48")


def test_a_class_without_validation_images_is_named_and_training_goes_on(workspace):
    path = workspace.path / "data/splits/splits.parquet"
    rows = read_table(path)
    write_table(rows[(rows["set"] != "val") | (rows["label"] != "bird")], path)
    assert "no validation image of bird" in workspace.stage("train").stdout


def test_a_layer_that_is_not_there_cannot_be_frozen(workspace):
    workspace.replace("configs/params.yaml", "freeze: []", "freeze: [fire2_squeeze_konv]")
    says(workspace.stage("train", code=2), "fire2_squeeze_konv", "did you mean 'fire2_squeeze_conv'")


def test_dvc_has_nothing_to_do_after_a_round(workspace):
    assert "Running stage 'curate'" not in workspace.run("dvc", "repro").stdout


def another_model(workspace) -> str:
    """Makes the candidate another model than it was, which says the very same; returns its digest."""
    model, scores = workspace.path / "data/model", workspace.path / "data/evaluation/scores.parquet"
    card, network = workspace.json("data/model/card.json"), (model / "model.keras").read_bytes()
    for name in ("card.json", "model.keras"):  # they may be links into DVC's cache
        (model / name).unlink()
    (model / "model.keras").write_bytes(network)
    with zipfile.ZipFile(model / "model.keras", "a") as archive:
        archive.writestr("notes.txt", "another model")
    digest = hashlib.sha256((model / "model.keras").read_bytes()).hexdigest()
    write_json(card | {"model_digest": digest}, model / "card.json")
    write_table(read_table(scores).assign(model=digest), scores)
    workspace.stage("gate")
    return digest


def test_a_candidate_worse_than_the_champion_fails_the_gate(workspace):
    workspace.run("wallaby", "release")
    workspace.stage("gate")
    assert workspace.run("wallaby", "gate").stdout.startswith("pass: the candidate is the champion")
    champion = workspace.path / "data/released/scores.parquet"
    scores = read_table(champion)
    write_table(scores.assign(label_rank=scores["label_rank"].clip(upper=1)), champion)
    another_model(workspace)
    assert workspace.run("wallaby", "gate", code=4).stdout.startswith("fail: worse than the champion")
    assert (workspace.path / "data/gate/index.html").stat().st_size > 10_000
    says(workspace.run("wallaby", "release", code=4), "the gate says fail", '--force "WHY"')


def test_a_forced_release_keeps_its_reason_and_can_be_rolled_back(workspace):
    workspace.run("wallaby", "release", "--by", "Ada")
    first = workspace.json("data/released/card.json")["model_digest"]
    second = another_model(workspace)
    says(workspace.run("wallaby", "release", code=4), "the gate says investigate")
    workspace.run("wallaby", "release", "--force", "the field team waits", "--dry-run")
    assert workspace.json("data/released/card.json")["model_digest"] == first
    workspace.run("wallaby", "release", "--force", "the field team waits")
    assert workspace.json("data/released/card.json")["model_digest"] == second
    workspace.run("wallaby", "release", "--rollback", "--why", "it was a mistake")
    assert workspace.json("data/released/card.json")["model_digest"] == first
    told = workspace.table("data/released/history.csv")
    assert told["action"].tolist() == ["released", "forced", "rolled back"]
    assert told["reason"].tolist()[1:] == ["the field team waits", "it was a mistake"]
    assert len(list((workspace.path / "data/champions").glob("*.dvc"))) == 2


def test_a_champion_without_scores_is_scored_anew(workspace):
    workspace.run("wallaby", "release")
    scores = workspace.path / "data/released/scores.parquet"
    before = read_table(scores)
    scores.unlink()
    another_model(workspace)
    assert "--rescore" in workspace.run("wallaby", "gate", code=7).stdout
    workspace.run("wallaby", "gate", "--rescore")
    after = read_table(scores)
    both = before[before["set"] != "train"].merge(after, on=["set", "image"])
    assert len(both) == len(after) == before["set"].isin(["val", "test", "benchmark:field"]).sum()
    assert (both["predicted_x"] == both["predicted_y"]).all()
    workspace.stage("gate")
    assert workspace.json("data/gate/gate.json")["overall"]["difference"] == 0


def test_the_demo_leaves_another_library_alone(workspace):
    (workspace.path / "data/demo/wallaby-demo.json").unlink()
    before = (workspace.path / "data/labels.csv").read_bytes()
    says(workspace.run("wallaby", "demo", code=2), "not the demo's")
    assert (workspace.path / "data/labels.csv").read_bytes() == before


def test_the_demo_can_be_taken_out_again(workspace):
    workspace.run("wallaby", "demo", "--remove")
    assert workspace.table("data/labels.csv").empty
    assert not (workspace.path / "data/demo").exists()


def test_a_queue_can_be_decided_in_a_spreadsheet(workspace):
    workspace.run("wallaby", "review", "--sheet", "sheet.csv")
    sheet = pd.read_csv(workspace.path / "sheet.csv", dtype=str, keep_default_na=False)
    sheet.loc[0, "decision"], sheet.loc[1, "decision"] = "yes", "wombat"
    sheet.to_csv(workspace.path / "sheet.csv", index=False)
    workspace.run("wallaby", "review", "--take", "sheet.csv", "--by", "Ada")
    applied = json.loads(workspace.run("wallaby", "apply", "--json").stdout)
    assert applied["added"] + applied["changed"] + applied["confirmed"] == 2
    rows = workspace.table("data/labels.csv").set_index("image").loc[sheet["image"][:2]]
    assert list(rows["label"]) == [sheet.loc[0, "label"], "wombat"]
    assert set(rows["by"]) == {"Ada"}
    assert "0 added, 0 changed" in workspace.run("wallaby", "apply").stdout


def test_own_pictures_are_named_and_never_touched(workspace, tmp_path):
    own = tmp_path / "my pictures [2026]"
    for name in ("lion/a (1).png", "lion/male/b.webp", "tapir/c.jpg", "Unknown/d.jpg", "tapir/not a picture.jpg"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "tan").save((own / name).with_suffix(".png"))
        (own / name).with_suffix(".png").rename(own / name)
    (own / "tapir/not a picture.jpg").write_text("notes")
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    first = workspace.run("wallaby", "import", "library", str(own))
    assert "no portrait yet: a probe needs features of a frozen network" in first.stdout
    again = workspace.run("wallaby", "import", "library", str(own), "--no-probe")
    assert "0 images are added" in again.stdout
    table = workspace.table("data/labels.csv").set_index("image")
    assert table.loc["my-pictures-[2026]/lion/male/b.webp", "subclass"] == "male"
    assert table.loc["my-pictures-[2026]/Unknown/d.jpg", "status"] == "unknown"
    workspace.stage("index")
    index = workspace.table("data/index/library.parquet").set_index("image")
    assert index.loc["my-pictures-[2026]/tapir/not a picture.jpg", "failure"] == "not a picture"
    assert index.loc["my-pictures-[2026]/lion/male/b.webp", "format"] == "PNG"
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before


def predictions(workspace) -> pd.DataFrame:
    shards = sorted((workspace.path / "data/predictions").glob("part-*.parquet"))
    return pd.concat(map(pd.read_parquet, shards)).sort_values("image", ignore_index=True)


def kill_when(workspace, stage: str, happened) -> None:
    process = subprocess.Popen(workspace.stage_command(stage), cwd=workspace.path, env=workspace.environment())
    wait_for(happened, process)
    process.kill()
    process.wait()


def wait_for(happened, process, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < end
        time.sleep(0.02)
