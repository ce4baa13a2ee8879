"""What `wallaby models` says of each preset."""

import json
from pathlib import Path

import pytest
from keras import Input, Model, layers

from pipeline import cli, config
from pipeline.errors import UsageError
from pipeline.files import write_text
from pipeline.models import catalogue, presets
from pipeline.models.head import FEATURES, add_head

TINY = "architecture: inception_v4\nimage_size: 75\noptions: {width: 0.05, blocks: [1, 1, 1]}\n"
REPORTED = "reported: {top1: 0.8, source: a paper}\n"


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_text(TINY + REPORTED, Path("configs/models/tiny.yaml"))
    return tmp_path


def listed(num_classes: int = 2):
    return catalogue.listing(config.presets(), num_classes=num_classes, cache=config.cache("models.json"))


def test_multiply_adds_are_counted_from_the_layers():
    pixels = Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", strides=2)(pixels)  # 4 x 4 places, 3*3*3*4 weights
    x = layers.Conv2D(6, 1, groups=2)(x)  # 4 x 4 places, 2*6
    x = layers.DepthwiseConv2D(3, padding="same")(layers.BatchNormalization()(x))  # 4 x 4 places, 3*3*6
    x = layers.SeparableConv2D(5, 3, padding="same")(x)  # 4 x 4 places, 3*3*6 and 6*5
    x = layers.Dense(7, name=FEATURES)(layers.Flatten()(x))  # 80*7
    counts = catalogue.count(Model(pixels, add_head(x, 2)))
    assert counts.macs == 16 * (108 + 12 + 54 + 54 + 30) + 560
    assert (counts.features, counts.statistics) == (7, 12)
    assert catalogue.costs(counts, num_classes=2)["gflops"] == 2 * (counts.macs + 14) / 1e9


def test_the_size_on_disk_is_that_of_the_saved_network(workspace):
    presets.build(config.load_preset("tiny"), num_classes=2).save(workspace / "model.keras")
    [megabytes] = listed()["megabytes"]
    assert megabytes * 1e6 == pytest.approx((workspace / "model.keras").stat().st_size, rel=0.03)


def test_a_network_is_built_once_whatever_the_number_of_classes(workspace, monkeypatch):
    first = listed().iloc[0]
    monkeypatch.setattr(presets, "build", lambda *_, **__: pytest.fail("built again"))
    again = listed(num_classes=12).iloc[0]
    assert again["parameters"] - first["parameters"] == 10 * (6 * 13 + 1)
    write_text(TINY.replace("0.05", "0.06") + REPORTED, Path("configs/models/tiny.yaml"))
    with pytest.raises(pytest.fail.Exception, match="built again"):
        listed()


def test_a_broken_cache_is_counted_anew(workspace):
    config.cache("models.json").parent.mkdir()
    config.cache("models.json").write_text("{")
    assert listed()["parameters"].notna().all()


def test_a_preset_that_cannot_be_built_is_listed_with_the_reason(workspace):
    write_text("architecture: inception_v5\nimage_size: 75\n", Path("configs/models/wrong.yaml"))
    table = listed().set_index("preset")
    assert table.loc["wrong", "failure"] == "unknown architecture 'inception_v5'"
    assert table["parameters"].isna().to_dict() == {"tiny": False, "wrong": True}
    assert table.loc["tiny", "failure"] == ""


def test_what_a_paper_reports_comes_with_its_source(workspace):
    [row] = listed().to_dict("records")
    assert (row["reported_top1"], row["source"]) == (0.8, "a paper")
    write_text(TINY + "reported: {top1: 0.8}\n", Path("configs/models/tiny.yaml"))
    with pytest.raises(UsageError, match=r"reported\.source"):
        config.load_preset("tiny")


def said(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["models", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_command_lists_the_presets_with_the_classes_of_one_s_own(workspace, capsys):
    assert json.loads(said(capsys, "--json"))[0]["parameters"] == listed(1000)["parameters"][0]
    write_text("cat\ndog\n", Path("data/curated/classes.txt"))
    [row] = json.loads(said(capsys, "--json"))
    assert row["parameters"] == listed(2)["parameters"][0]
    assert "2 classes" in said(capsys)
    assert "a paper" in said(capsys, "tiny")
