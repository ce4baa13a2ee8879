"""Metrics, against scikit-learn on the same arrays and against counting on the fingers."""

import json

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from pipeline.evaluation import metrics
from tests.evaluation.made_up_models import made_up, scored


def by_set(table: pd.DataFrame) -> dict:
    return metrics.by_set(table, confidence=0.95)


def by_class(table: pd.DataFrame) -> pd.DataFrame:
    return metrics.by_class(table, confidence=0.95)


@pytest.fixture(scope="module")
def table_and_probs() -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    return made_up(400)


def test_the_headline_metrics_are_scikit_learn_s(table_and_probs):
    table, probs, classes = table_and_probs
    for name, found in by_set(table).items():
        chosen = (table["set"] == name).to_numpy()
        true, said = table.loc[chosen, "label"], table.loc[chosen, "predicted"]
        assert found["n"] == chosen.sum()
        assert found["top1"] == pytest.approx(sklearn.metrics.accuracy_score(true, said), abs=1e-6)
        assert found["top5"] == pytest.approx(
            sklearn.metrics.top_k_accuracy_score(true, probs[chosen], k=5, labels=classes), abs=1e-6
        )
        assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(true, said, average="macro"), abs=1e-6)
        weighted = sklearn.metrics.f1_score(true, said, average="weighted")
        assert found["weighted_f1"] == pytest.approx(weighted, abs=1e-6)
        assert found["log_loss"] == pytest.approx(
            sklearn.metrics.log_loss(true, probs[chosen], labels=classes), abs=1e-6
        )


def test_precision_and_recall_of_each_class_are_scikit_learn_s(table_and_probs):
    table, _, classes = table_and_probs
    field = table[table["set"] == "benchmark:field"]
    report = sklearn.metrics.classification_report(field["label"], field["predicted"], output_dict=True)
    found = by_class(table).query("set == 'benchmark:field'").set_index("label")
    assert list(found.index) == classes
    for ours, theirs in {"precision": "precision", "recall": "recall", "f1": "f1-score", "n": "support"}.items():
        assert found[ours].tolist() == pytest.approx([report[name][theirs] for name in classes])


def test_wrong_pairs_and_right_ones_add_up_to_all_images(table_and_probs):
    table, _, _ = table_and_probs
    right = (table["label"] == table["predicted"]).sum()
    assert right + metrics.confusions(table)["n"].sum() == len(table) == by_class(table)["n"].sum()


def test_a_set_of_one_image_has_metrics_and_where_one_is_too_few_no_interval():
    found = by_set(scored(("cat", [1, 0, 0])))["test"]
    exact = {name: found[name] for name in ("n", "out_of_class", "top1", "top5", "macro_f1", "weighted_f1", "log_loss")}
    assert list(exact.values()) == [1, 0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert (found["top1_low"], found["top1_high"]) == (0.206549, 1.0)
    assert not {"macro_f1_low", "log_loss_low"} & set(found)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_set_of_unknown_classes_alone_has_counts_and_no_metrics():
    table = scored(("emu", [0, 1, 0]))
    assert by_set(table) == {"test": {"n": 0, "out_of_class": 1}}
    assert list(by_class(table)) == metrics.BY_CLASS
    assert list(metrics.confusions(table)) == metrics.CONFUSIONS
    assert list(metrics.slices(table, confidence=0.95)) == metrics.SLICES


def test_macro_f1_is_over_the_classes_that_the_set_has():
    table = scored(("cat", [1, 0, 0]), ("dog", [0, 0, 1]))
    assert by_set(table)["test"]["macro_f1"] == 0.5  # owl, predicted once, is not in the set


def test_the_most_frequent_confusion_stands_first_with_its_share_of_the_class():
    cat_as_dog, cat_as_owl, owl_as_cat = ("cat", [0, 1, 0]), ("cat", [0, 0, 1]), ("owl", [1, 0, 0])
    table = scored(cat_as_owl, owl_as_cat, cat_as_dog, cat_as_dog, ("cat", [1, 0, 0]), ("dog", [1, 0, 0], "val"))
    found = metrics.confusions(table)
    assert found.to_dict("split")["data"] == [
        ["test", "cat", "dog", 2, 0.5],
        ["test", "owl", "cat", 1, 1.0],
        ["val", "dog", "cat", 1, 1.0],
        ["test", "cat", "owl", 1, 0.25],
    ]


def test_every_figure_lies_in_its_interval(table_and_probs):
    for found in by_set(table_and_probs[0]).values():
        for name in ("top1", "top5", "macro_f1", "weighted_f1", "log_loss"):
            assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    classes = by_class(table_and_probs[0])
    for name in ("recall", "precision"):
        assert classes[name].between(classes[f"{name}_low"], classes[f"{name}_high"]).all()


def test_the_parts_of_a_set_add_up_to_it():
    table, _, _ = made_up(300)
    table["origin"] = np.where(np.arange(300) % 3, "real", "staged")
    table["subclass"] = np.where(np.arange(300) % 2, "cub", "")
    found = metrics.slices(table, confidence=0.95)
    origins = found[found["slice"] == "origin"]
    assert origins["n"].sum() == 300
    assert (origins["n"] * origins["top1"]).sum() == pytest.approx((table["label_rank"] == 1).sum())
    assert found.loc[found["slice"] == "subclass", "n"].sum() == (table["subclass"] == "cub").sum()
    one = table.query("set == 'test' and subclass == 'cub' and label == 'class 0'")
    told = found.query("set == 'test' and value == 'cub' and label == 'class 0'").iloc[0]
    assert (told["n"], told["top1"]) == (len(one), pytest.approx((one["label_rank"] == 1).mean()))


def near_and_far(*, benchmark: bool) -> pd.DataFrame:
    """200 images of each set; those of test that are alike to training are all right, of the others one in two."""
    sets = ["test"] * 200 + (["benchmark:field"] * 200 if benchmark else [])
    table = pd.DataFrame({"set": sets, "label": "lion", "origin": "real", "subclass": ""})
    place = np.arange(len(table)) % 200
    table["similarity"] = np.where(table["set"] == "test", 0.5 + place / 400, 0.45 + place / 1000)
    table["label_rank"] = np.where((table["similarity"] > 0.6) | (place % 2 == 0), 1, 2)
    return table.assign(sha256=[f"{number}" for number in range(len(table))])


@pytest.mark.parametrize("benchmark", [True, False])
def test_isolated_images_are_those_that_are_no_more_alike_to_training_than_benchmark_images(benchmark):
    table = near_and_far(benchmark=benchmark)
    slices = metrics.slices(table, confidence=0.95)
    isolated = slices[(slices["slice"] == metrics.ISOLATED) & (slices["set"] == "test")]
    assert isolated["n"].tolist() == [20 if benchmark else 50]
    assert isolated["top1"].iloc[0] < 0.65
    quarters = slices[(slices["slice"] == "similarity")].groupby("value")["n"].sum()
    assert quarters.between(48 * (1 + benchmark), 52 * (1 + benchmark)).all()


def test_without_similarities_no_image_is_isolated(table_and_probs):
    assert set(metrics.slices(table_and_probs[0], confidence=0.95)["slice"]) <= {"origin", "subclass"}


def test_figures_of_several_kinds_stand_together_and_what_is_not_known_is_left_out():
    merged = metrics.merged({"test": {"n": 3, "top1": np.float64(1 / 3)}, "val": {"n": 0}}, {"test": {"ece": np.nan}})
    assert merged == {"test": {"n": 3, "top1": 0.333333}, "val": {"n": 0}}
