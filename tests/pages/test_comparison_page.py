"""The page of networks side by side."""

from itertools import combinations, product

import pandas as pd
import pytest

from pipeline.evaluation.networks import compare
from pipeline.pages.comparison import FRAME, comparison, scatter
from pipeline.pages.plots import Plot, Text, name_box


def rows(*networks: tuple[str, int, float]) -> pd.DataFrame:
    figures = {"macro_f1": 0.5, "latency_ms": 9.5, "train_seconds": 61.0, "epochs": 3, "images": 1200}
    figures |= {"memory_mb": 900, "size_mb": 4.5, "parameters": 1_000_000, "image_size": 75}
    return compare(
        [
            {
                "name": name,
                "accuracy": right / 100,
                "images_per_second": rate,
                "right": [1] * right + [0] * (100 - right),
            }
            | figures
            | {"reported": "80.1% (the paper)" if name == "small" else ""}
            for name, right, rate in networks
        ],
        confidence=0.95,
    )


def page(table: pd.DataFrame, **given: object) -> str:
    usual = {"title": "t", "advice": "small fits", "facts": {}, "failed": {}, "confidence": 0.95}
    return comparison(table, **(usual | given))


def test_it_says_which_fits_and_shows_every_network():
    text = page(rows(("small", 70, 100.0), ("large", 90, 10.0)))
    assert "small fits" in text
    assert text.count('<th scope="row">') == 2
    assert "1,000,000" in text


def test_what_papers_report_stands_apart_from_what_was_measured():
    text = page(rows(("small", 70, 100.0), ("large", 90, 10.0)))
    assert text.index("What papers report") < text.index("80.1% (the paper)")
    assert "What papers report" not in page(rows(("large", 90, 10.0)))


def test_a_network_that_failed_is_named_with_its_reason():
    assert "giant: memory was too small" in page(rows(("small", 70, 100.0)), failed={"giant": "memory was too small"})


CLOSE = {
    "at one speed": [("a", 80, 100.0), ("b", 80, 101.0), ("c", 79, 99.0)],
    "at the bottom": [("inception_v4_small", 90, 900.0), *((f"network_{n}", 1 + n % 3, 20.0 + n) for n in range(6))],
    "long names": [(f"hub efficientnet_lite0_feature_vector {n}", 80 + n, 100.0 + 20 * n) for n in range(4)],
}


def names_of(plot: Plot) -> list[Text]:
    """Without the name of the axis."""
    return list(plot.texts[:-1])


@pytest.mark.parametrize("networks", CLOSE.values(), ids=CLOSE)
def test_names_cover_neither_each_other_nor_a_point_and_stay_within_the_plot(networks):
    plot = scatter(rows(*networks))
    names = [name_box(name.text, name.x, name.y - 4, name.anchor) for name in names_of(plot)]
    dots = [(dot.x - 1, dot.y - 1, dot.x + 1, dot.y + 1) for dot in plot.dots]
    for some, other in [*combinations(names, 2), *product(names, dots)]:
        assert some[2] <= other[0] or other[2] <= some[0] or some[3] <= other[1] or other[3] <= some[1]
    assert all(left >= 0 and right <= FRAME.width for left, _, right, _ in names)
    assert all(FRAME.top <= name.y - 4 <= FRAME.bottom for name in names_of(plot))


def test_a_name_stands_beside_its_point_where_there_is_room():
    plot = scatter(rows(("a", 90, 10.0), ("b", 50, 100.0)))
    assert [name.y - 4 for name in names_of(plot)] == [dot.y for dot in plot.dots]


def test_a_lone_network_has_its_place_in_the_plot():
    plot = scatter(rows(("a", 100, 100.0)))
    assert not plot.dots[0].kind
    assert plot.x_ticks
    assert plot.y_ticks


def test_names_with_html_in_them_are_escaped():
    assert "<script>alert" not in page(rows(("<script>alert(1)</script>", 70, 100.0)))
