"""The page of networks side by side."""

from itertools import pairwise

import pandas as pd

from pipeline.evaluation.contenders import compare
from pipeline.pages.comparison import comparison, scatter


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
        ]
    )


def page(table: pd.DataFrame, **given: object) -> str:
    return comparison(table, **({"title": "t", "advice": "small fits", "facts": {}, "failed": {}} | given))


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


def test_names_of_close_points_do_not_cover_each_other():
    points = scatter(rows(("a", 80, 100.0), ("b", 80, 101.0), ("c", 79, 99.0))).points
    heights = sorted(point.name_y for point in points)
    assert min(b - a for a, b in pairwise(heights)) >= 15


def test_a_lone_network_has_its_place_in_the_plot():
    plot = scatter(rows(("a", 100, 100.0)))
    assert plot.points[0].pareto
    assert plot.x_ticks
    assert plot.y_ticks


def test_names_with_html_in_them_are_escaped():
    assert "<script>alert" not in page(rows(("<script>alert(1)</script>", 70, 100.0)))
