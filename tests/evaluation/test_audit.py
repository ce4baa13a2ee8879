"""The label audit, on planted wrong labels, and what it remembers of people's verdicts."""

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import audit, prototypes, scores
from pipeline.evaluation.prototypes import Prototypes
from tests.evaluation.made_up_models import guesses, images

CLASSES = [f"class {n}" for n in range(6)]
RULES = {"max_share": 0.2, "ask_again_after": 2}
SETS = ["train", "train", "val", "test", "benchmark:field"]


def planted(
    number: int = 3000, share: float = 0.05, *, model: str = "m"
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Scores of a good model, its log probabilities, and which labels are wrong."""
    probs, targets = guesses(number, skill=4.0)
    random = np.random.default_rng(1)
    wrong = random.random(number) < share
    given = np.where(wrong, (targets + random.integers(1, 6, number)) % 6, targets)
    table = images([CLASSES[n] for n in given], [SETS[n % len(SETS)] for n in range(number)])
    log_probs = scores.to_log_probs(probs)
    return scores.from_log_probs(table, log_probs, CLASSES, top_k=2).assign(model=model), log_probs, wrong


def find(table: pd.DataFrame, log_probs: np.ndarray, *, verdicts: list = [], before=None, **rules) -> pd.DataFrame:  # noqa: B006
    said = pd.DataFrame(verdicts, columns=["image", "at", "model", "label"])
    known = audit.nothing() if before is None else before
    return audit.find(table, log_probs, log_probs, CLASSES, said, known, **(RULES | rules))  # features: what was said


def first_asked(found: pd.DataFrame) -> pd.Series:
    return found[found["asked"]].iloc[0]


def test_planted_wrong_labels_are_found_and_few_others():
    table, log_probs, wrong = planted()
    found = find(table, log_probs)
    hits = found["image"].isin(table.loc[wrong, "image"])
    assert hits.mean() > 0.4  # the rest are mistakes of the model, on one image in ten
    assert hits.sum() / wrong.sum() > 0.5
    assert (found["label"] != found["predicted"]).all()


def test_what_the_model_was_trained_on_comes_after_what_it_was_not_and_frozen_sets_stand_apart():
    found = find(*planted()[:2])
    parts = found[["trained", "frozen"]].drop_duplicates().to_numpy().tolist()
    assert parts == [[False, False], [True, False], [False, True]]
    assert set(found.loc[found["trained"], "set"]) == {"train"}
    assert set(found.loc[found["frozen"], "set"]) == {"test", "benchmark:field"}
    assert found.loc[found["trained"], "reason"].str.contains("was trained on it; the others").all()
    for _, part in found[found["asked"]].groupby(["trained", "frozen"]):
        assert part["rank"].tolist() == list(range(1, len(part) + 1))


def test_the_queue_stays_small():
    table, log_probs, _ = planted(share=0.3)
    found = find(table, log_probs, max_share=0.02)
    for name, figures in audit.figures(table, found).items():
        assert figures["audit_share"] == pytest.approx(figures["audit_asked"] / (table["set"] == name).sum())
    assert found.loc[found["trained"], "asked"].sum() == 0.02 * (table["set"] == "train").sum()
    assert not find(table, log_probs, max_share=0.0)["asked"].any()


def test_a_burst_is_asked_as_a_whole_and_counts_once():
    table, log_probs, _ = planted(share=0.3)
    alone = find(table, log_probs, max_share=0.02)
    cluster = pd.Series(np.arange(len(table)) // 10, table.index).astype("str")
    found = find(table.assign(cluster=cluster), log_probs, max_share=0.02)
    asked = found[found["asked"]]
    ranked = asked.groupby(["trained", "frozen", "cluster"])["rank"]
    assert (ranked.nunique() == 1).all()
    assert asked.loc[asked["trained"], "cluster"].nunique() == 0.02 * cluster[table["set"] == "train"].nunique()
    assert asked["rank"].max() < alone["rank"].max()
    for name, figures in audit.figures(table, found).items():
        assert figures["audit_independent"] == asked.loc[asked["set"] == name, "cluster"].nunique()


def test_where_every_image_is_alone_each_is_asked_alone():
    table, log_probs, _ = planted()
    alone = find(table, log_probs)
    given = find(table.assign(cluster=[f"c{place}" for place in range(len(table))]), log_probs)
    columns = [name for name in audit.COLUMNS if name != "cluster"]
    pd.testing.assert_frame_equal(alone[columns], given[columns])
    assert alone.loc[alone["asked"] & alone["trained"], "rank"].is_unique


def test_the_report_shows_one_image_of_a_burst_and_how_many_more_ask():
    table, log_probs, _ = planted(share=0.3)
    cluster = pd.Series(np.arange(len(table)) // 10, table.index).astype("str")
    found = find(table.assign(cluster=cluster), log_probs)
    shown = audit.first(found, number=5)
    assert not shown.duplicated(["trained", "frozen", "cluster"]).any()
    asked = found[found["asked"] & (found["rank"] <= 5)]
    assert len(shown) + shown["more"].sum() == len(asked)


def test_frames_of_a_wrongly_labelled_burst_do_not_confirm_each_other():
    """Ten frames of an unusual puma among few lions make the lions' mean theirs, unless they are left out together."""
    random = np.random.default_rng(0)
    of_classes = [random.normal(4 * np.eye(5)[n], 0.5, (size, 5)) for n, size in enumerate((4, 30, 30, 30))]
    burst = random.normal([0, 3, 0, 0, 2], 0.05, (10, 5))
    features, targets = np.concatenate([*of_classes, burst]), np.repeat([0, 1, 2, 3, 0], [4, 30, 30, 30, 10])
    rows = np.arange(len(features))
    cluster = np.minimum(rows, 94)
    alone, together = (
        Prototypes(features, rows, targets, num_classes=4, cluster=given).probs(rows)[94:, 0].mean()
        for given in (None, cluster)
    )
    assert alone > 0.5 > together


def test_an_image_of_a_class_the_model_does_not_know_is_not_judged():
    table, log_probs, _ = planted()
    strange = table.index % 7 == 0
    table.loc[strange, ["label", "label_rank"]] = ["emu", scores.OUT_OF_CLASS]
    assert not find(table, log_probs)["image"].isin(table.loc[strange, "image"]).any()


def test_nothing_to_judge_gives_an_empty_audit():
    table, log_probs, _ = planted()
    nothing = find(table.assign(label_rank=scores.OUT_OF_CLASS), log_probs)
    assert list(nothing) == audit.COLUMNS
    assert nothing.empty


def test_a_kept_label_is_asked_again_when_two_newer_models_in_a_row_contradict_it():
    table, log_probs, _ = planted(model="round-1")
    kept = first_asked(find(table, log_probs))["image"]
    verdict = [(kept, "2026-03-01", "round-1", "")]
    asked, before = [], None
    for model in ("round-1", "round-2", "round-3", "round-4"):
        before = find(table.assign(model=model), log_probs, verdicts=verdict, before=before)
        asked.append(before.set_index("image").loc[kept, "asked"])
    assert asked == [False, False, True, True]


def test_a_model_that_agrees_in_between_begins_the_count_anew():
    table, log_probs, _ = planted(model="round-2")
    kept = first_asked(find(table, log_probs))["image"]
    verdict = [(kept, "2026-03-01", "round-1", "")]
    second = find(table, log_probs, verdicts=verdict)
    agreed = second[second["image"] != kept]  # what round 3 found
    fourth = find(table.assign(model="round-4"), log_probs, verdicts=verdict, before=agreed)
    assert second.set_index("image").loc[kept, "contradicted"] == 1
    assert not fourth.set_index("image").loc[kept, "asked"]


def test_a_second_verdict_begins_the_count_anew():
    table, log_probs, _ = planted(model="round-1")
    kept = first_asked(find(table, log_probs))["image"]
    verdicts = [(kept, "2026-03-01", "round-1", ""), (kept, "2026-06-01", "round-3", "")]
    before = None
    for model in ("round-2", "round-3"):
        before = find(table.assign(model=model), log_probs, verdicts=verdicts[:1], before=before)
    assert before.set_index("image").loc[kept, "asked"]
    fourth = find(table.assign(model="round-4"), log_probs, verdicts=verdicts, before=before)
    assert not fourth.set_index("image").loc[kept, "asked"]


def test_judging_the_same_model_again_changes_nothing():
    table, log_probs, _ = planted(model="round-2")
    kept = first_asked(find(table, log_probs))["image"]
    verdict = [(kept, "2026-03-01", "round-1", "")]
    once = find(table, log_probs, verdicts=verdict)
    pd.testing.assert_frame_equal(find(table, log_probs, verdicts=verdict), once)


def test_a_label_that_a_person_gave_is_remembered_as_long_as_it_stands():
    table, log_probs, _ = planted()
    row = first_asked(find(table, log_probs))
    same = find(table, log_probs, verdicts=[(row["image"], "2026-03-01", "m", row["label"])])
    other = find(
        table,
        log_probs,
        verdicts=[(row["image"], "2026-03-01", "m", "class 0" if row["label"] != "class 0" else "class 1")],
    )
    assert not same.set_index("image").loc[row["image"], "asked"]
    assert other.set_index("image").loc[row["image"], "asked"]


def test_a_silenced_image_makes_room_for_the_next():
    table, log_probs, _ = planted(share=0.3)
    first = find(table, log_probs, max_share=0.02)
    kept = first_asked(first)["image"]
    again = find(table, log_probs, max_share=0.02, verdicts=[(kept, "2026-03-01", "m", "")])
    assert again["asked"].sum() == first["asked"].sum()
    assert again.set_index("image").loc[kept, "rank"] == audit.NOT_RANKED


def test_the_page_shows_the_first_of_each_part():
    found = find(*planted()[:2])
    some = audit.first(found, number=3)
    assert len(some) == 9
    assert some["asked"].all()


def learnt_by_heart() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Training images with wrong labels that the model repeats, log probabilities, features, and which are wrong."""
    random = np.random.default_rng(0)
    truth = np.arange(600) % 6
    wrong = random.random(600) < 0.05
    given = np.where(wrong, (truth + 1) % 6, truth)
    features = (np.eye(6)[truth] + random.normal(scale=0.2, size=(600, 6))).astype(np.float16)
    log_probs = scores.to_log_probs(0.9 * np.eye(6)[given] + 0.1 / 6)
    table = images([CLASSES[n] for n in given], "train")
    return scores.from_log_probs(table, log_probs, CLASSES, top_k=2).assign(model="m"), log_probs, features, wrong


def test_wrong_labels_that_the_model_has_learnt_by_heart_are_found_by_the_others_of_their_class():
    table, log_probs, features, wrong = learnt_by_heart()
    nobody = pd.DataFrame(columns=["image", "at", "model", "label"])
    found = audit.find(table, log_probs, features, CLASSES, nobody, audit.nothing(), **RULES)
    hits = found["image"].isin(table.loc[wrong, "image"])
    assert hits.mean() > 0.9
    assert hits.sum() > 0.9 * wrong.sum()
    assert (found["label"] != found["predicted"]).all()


def test_a_class_mean_leaves_the_image_itself_out():
    features = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0]], np.float16)
    targets = np.array([0, 0, 1, 1, 2])  # the last is the only one of its class
    opinion = Prototypes(features, np.arange(5), targets, num_classes=4).probs(np.arange(5))
    np.testing.assert_allclose(opinion.sum(axis=1), 1, rtol=1e-5)
    assert opinion.argmax(axis=1)[[2, 3]].tolist() == [1, 1]
    assert opinion[4].argmax() == 0  # not the class whose mean it is itself
    assert opinion[:, 3].max() < 0.2  # a class without any image


def test_blocks_of_class_means_are_those_of_all_at_once(monkeypatch):
    _, _, features, _ = learnt_by_heart()
    targets = np.arange(600) % 6
    whole = Prototypes(features, np.arange(600), targets, num_classes=6).probs(slice(0, 600))
    monkeypatch.setattr(prototypes, "BLOCK", 7)
    parts = Prototypes(features, np.arange(600), targets, num_classes=6)
    np.testing.assert_allclose(parts.probs(slice(100, 110)), whole[100:110], rtol=1e-3)


def test_a_label_below_the_cutoff_is_judged_by_its_likest_images():
    table, log_probs, _ = planted()
    below = table.index % 7 == 0
    names = np.where(table.index % 2, "emu", "yak")
    table.loc[below, "label"] = names[below]
    table.loc[below, ["set", "label_rank"]] = [audit.BELOW_CUTOFF, scores.OUT_OF_CLASS]
    table.loc[0, "label"] = "emu"  # it is a yak
    random = np.random.default_rng(0)
    codes = pd.Series(table["label"]).replace({0: ""}).astype("category").cat.codes.to_numpy()
    truth = np.where(table.index == 0, codes[table["label"] == "yak"][0], codes)
    features = np.eye(12)[truth] + random.normal(0, 0.1, (len(table), 12))
    found = find(table, log_probs, frozen_features=features.astype(np.float32))
    asked = found[found["asked"] & (found["set"] == audit.BELOW_CUTOFF)]
    assert asked[["image", "label", "predicted"]].to_numpy().tolist() == [[table.loc[0, "image"], "emu", "yak"]]
    assert "its likest images" in asked["reason"].iloc[0]
    assert not find(table, log_probs)["set"].eq(audit.BELOW_CUTOFF).any()
