"""What each preset costs."""

from pathlib import Path

import pytest
from keras import Input, Model, layers

from pipeline.models import catalogue, presets
from pipeline.models.head import FEATURES, add_head
from pipeline.sections import Preset, Reported

TINY = Preset(
    architecture="inception_v4",
    image_size=75,
    options={"width": 0.05, "blocks": [1, 1, 1]},
    reported=Reported(top1=0.8, source="a paper"),
)


def listed(cache: Path, num_classes: int = 2, **others: Preset):
    return catalogue.listing({"tiny": TINY} | others, num_classes=num_classes, cache=cache / "models.json")


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


def test_the_size_on_disk_is_that_of_the_saved_network(tmp_path):
    presets.build(TINY, num_classes=2).save(tmp_path / "model.keras")
    [megabytes] = listed(tmp_path)["megabytes"]
    assert megabytes * 1e6 == pytest.approx((tmp_path / "model.keras").stat().st_size, rel=0.03)


def test_a_network_is_built_once_whatever_the_number_of_classes(tmp_path, monkeypatch):
    first = listed(tmp_path).iloc[0]
    monkeypatch.setattr(presets, "build", lambda *_, **__: pytest.fail("built again"))
    again = listed(tmp_path, num_classes=12).iloc[0]
    assert again["parameters"] - first["parameters"] == 10 * (6 * 13 + 1)
    with pytest.raises(pytest.fail.Exception, match="built again"):
        listed(tmp_path, tiny=TINY.model_copy(update={"options": {"width": 0.06}}))


def test_a_broken_cache_is_counted_again(tmp_path):
    (tmp_path / "models.json").write_text("{")
    assert listed(tmp_path)["parameters"].notna().all()


def test_a_preset_that_cannot_be_built_is_listed_with_the_reason(tmp_path):
    table = listed(tmp_path, wrong=Preset(architecture="inception_v5", image_size=75)).set_index("preset")
    assert table.loc["wrong", "failure"] == "unknown architecture 'inception_v5'"
    assert table["parameters"].isna().to_dict() == {"tiny": False, "wrong": True}
    assert table.loc["tiny", "failure"] == ""


def test_what_a_paper_reports_comes_with_its_source(tmp_path):
    [row] = listed(tmp_path).to_dict("records")
    assert (row["reported_top1"], row["source"]) == (0.8, "a paper")
