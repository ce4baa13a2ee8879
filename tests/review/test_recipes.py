from dataclasses import fields, make_dataclass

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError, UsageError
from pipeline.files import read_table, write_table
from pipeline.review import recipes
from pipeline.review.recipes import look_alike
from pipeline.review.recipes.inputs import Found, Library
from pipeline.review.recipes.settings import OfClasses, Settings
from tests.library.builders import flip, phash, sha
from tests.review.made_up_pools import MODEL, board, changed, conflicts, material, names, predictions, suspects

PARAMS = {
    "low_count_below": 1.5,
    "low_count_score": 0.5,
    "replace_staged_share": 0.3,
    "replace_staged_score": 0.5,
    "look_alike_score": 0.6,
    "look_alike_images": 100,
    "unknown_beside": 0,
    "disagree_score": 0.5,
    "purge_far": 0.01,
    "purge_images": 100,
    "purge_score": 0.4,
    "purge_share": 1.0,
    "purge_sample": 10,
}
TEXT = ["image", "sha256", "group", "label", "reason", "cluster"]


@pytest.fixture
def run(tmp_path):
    """The rows of each recipe over made-up predictions."""

    def run(table, *, max_rows: int = 100, params: dict | None = None, **more) -> dict[str, pd.DataFrame]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        settings = Settings(max_rows=max_rows, **PARAMS | (params or {}))
        found = recipes.run(material(folder, table, **more), settings, near_duplicate_distance=4)
        return {name: answer.rows for name, answer in found.items()}

    return run


@pytest.fixture
def ask(tmp_path):
    """What one recipe answers."""

    def ask(
        name: str, table, *, max_rows: int = 100, classes=(), look_alike=(), taken=frozenset(), params=None, **more
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return recipes.ask(
            material(folder, table, **more),
            recipes.named(name),
            Settings(max_rows=max_rows, **PARAMS | (params or {})),
            near_duplicate_distance=4,
            classes=list(classes),
            look_alike=list(look_alike),
            taken=taken,
        )

    return ask


def test_low_count_finds_sure_images_of_short_classes_those_nearest_to_the_cutoff_first(run):
    found = run(predictions(a=("cat", 0.9), b=("emu", 0.7), c=("emu", 0.8), d=("dog", 0.9), e=("emu", 0.49)))
    assert names(found["low-count"]) == "cba"
    assert found["low-count"]["rank"].tolist() == [1, 2, 3]


def test_low_count_takes_an_image_at_its_very_score(run):
    assert names(run(predictions(a=("cat", 0.5)))["low-count"]) == "a"


def test_low_count_says_how_many_images_the_class_has_and_what_the_model_sees(run):
    reason = run(predictions(a=("emu", 0.8)))["low-count"]["reason"].item()
    assert reason == "emu has only 10 images; the model sees emu (80%) or owl (15%)"


def test_where_there_is_room_for_few_each_short_class_has_its_best(run):
    table = predictions(a=("emu", 0.9), b=("emu", 0.8), c=("emu", 0.7), d=("cat", 0.6), e=("cat", 0.5))
    assert names(run(table, max_rows=3)["low-count"]) == "abd"


def short_classes(short_by: dict[str, int], images: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A board of classes that lack so many images of 40, and predictions with so many candidates of each."""
    standing = board(**{label: 40 - lacking for label, lacking in short_by.items()}).assign(cutoff=40)
    sure = {f"{label}{n:02d}": (label, 0.9 - n / 100) for label in short_by for n in range(images)}
    return standing.assign(staged_share=1.0), predictions(**sure, hesitant=("dog", 0.2))


def test_low_count_begins_with_the_class_nearest_below_the_cutoff_and_ends_with_those_above_it(ask):
    standing, table = short_classes({"peach": 1, "fig": 9, "kiwi": 24, "lime": -1, "plum": 0}, images=1)
    found = ask("low-count", table, standing=standing).rows
    assert found["label"].tolist() == ["peach", "fig", "kiwi", "plum", "lime"]


@pytest.mark.parametrize("recipe", ["low-count", "replace-staged"])
def test_images_that_other_recipes_show_cost_no_class_its_share_of_the_rows(ask, recipe):
    standing, table = short_classes({"peach": 1, "fig": 9, "kiwi": 24})
    shown = {"peach": 2, "fig": 29, "kiwi": 20}
    taken = {f"pool/{label}{n:02d}.jpg" for label, number in shown.items() for n in range(number)}
    found = ask(recipe, table, standing=standing, taken=taken, max_rows=9).rows
    assert found["label"].tolist() == ["peach"] * 4 + ["fig"] + ["kiwi"] * 4
    assert found["image"].iloc[0] == "pool/peach02.jpg"
    assert not taken.intersection(found["image"])


def test_in_a_round_each_of_many_short_classes_has_its_share_whatever_the_recipes_before_show(run):
    standing, table = short_classes({f"class{n:02d}": n + 1 for n in range(33)}, images=8)
    shown = conflicts(*((f"library/{n}", f"g{n // 2}", "emu") for n in range(200)))
    found = run(table, standing=standing, conflicts=shown, max_rows=200)["low-count"]
    assert found["label"].value_counts().sort_index().tolist() == [7] * 2 + [6] * 31
    assert found["label"].iloc[0] == "class00"


def test_a_class_with_many_images_of_the_same_score_leaves_the_others_their_rows(ask):
    standing, _ = short_classes({"peach": 1, "kiwi": 24})
    table = predictions(**{f"p{n}": ("peach", 1.0) for n in range(9)}, k1=("kiwi", 1.0), k2=("kiwi", 0.7))
    found = ask("low-count", table, standing=standing, max_rows=4).rows
    assert found["image"].str.removesuffix(".jpg").tolist() == ["pool/p0", "pool/p1", "pool/k1", "pool/k2"]


def test_with_fewer_rows_than_short_classes_those_nearest_to_the_cutoff_have_them(ask):
    standing, table = short_classes({"kiwi": 24, "fig": 9, "peach": 1, "plum": 2}, images=3)
    found = ask("low-count", table, standing=standing, max_rows=3).rows
    assert found["label"].tolist() == ["peach", "plum", "fig"]


def test_rows_that_some_classes_cannot_fill_go_to_the_others(ask):
    standing, table = short_classes({"peach": 1, "kiwi": 24}, images=3)
    more = predictions(**{f"k{n}": ("kiwi", 0.6) for n in range(9)})
    found = ask("low-count", pd.concat([table, more], ignore_index=True), standing=standing, max_rows=10).rows
    assert found["label"].value_counts().to_dict() == {"kiwi": 7, "peach": 3}


def test_images_that_other_recipes_show_are_not_among_those_that_look_alike_looks_at(ask):
    table = predictions(a=("dog", 0.3), b=("dog", 0.4), c=("dog", 0.5), d=("cat", 0.5))
    features = np.eye(4) + 0.1
    taken = {"pool/a.jpg", "pool/b.jpg"}
    found = ask("look-alike", table, features=features, taken=taken, params={"look_alike_images": 2}).rows
    assert sorted(names(found)) == ["c", "d"]


def test_low_count_of_a_named_class_asks_not_whether_it_is_short(ask):
    table = predictions(a=("dog", 0.9), b=("emu", 0.9))
    assert names(ask("low-count", table, classes=["dog"]).rows) == "a"


def test_a_class_the_model_does_not_know_is_found_by_the_pictures_it_has(ask):
    wolf, dog = np.eye(8)[0] + 0.1, np.eye(8)[1] + 0.1
    library = Library(pd.DataFrame({"label": ["wolf"] * 3 + ["dog"] * 3}), np.array([wolf] * 3 + [dog] * 3))
    table = predictions(a=("dog", 0.5), b=("dog", 0.9), c=("dog", 0.4))
    features = np.array([0.9 * wolf + 0.2 * dog, dog, wolf])
    found = ask("low-count", table, standing=board(wolf=9, dog=99), features=features, library=library).rows
    assert names(found) == "ca"
    assert found["label"].tolist() == ["wolf", "wolf"]
    assert found["score"].isna().all()  # no probability: the model has none for it
    assert found["reason"].iloc[0].endswith("does not know this class, and the picture is nearer to it")


def test_an_image_of_a_short_class_that_is_nearer_to_one_the_model_does_not_know_stands_once(ask):
    wolf, emu = np.eye(8)[0] + 0.1, np.eye(8)[1] + 0.1
    library = Library(pd.DataFrame({"label": ["wolf"] * 3 + ["emu"] * 3}), np.array([wolf] * 3 + [emu] * 3))
    table = predictions(a=("emu", 0.9), b=("emu", 0.3), c=("emu", 0.3))
    features = np.array([wolf, wolf + 0.1 * emu, wolf])
    found = ask("low-count", table, standing=board(wolf=9, emu=9), features=features, library=library).rows
    assert sorted(names(found)) == ["a", "b", "c"]
    assert found.set_index("image").loc["pool/a.jpg", "label"] == "emu"


def test_without_embeddings_low_count_says_what_it_could_not_look_for(ask):
    assert "no embeddings" in ask("low-count", predictions(a=("emu", 0.8))).note


def test_replace_staged_finds_images_of_classes_that_live_on_staged_ones(run):
    standing = board(cat=100, dog=100, emu=100, staged={"cat": 40, "dog": 29, "emu": 100})
    table = predictions(a=("cat", 0.9), b=("dog", 0.9), c=("emu", 0.6), d=("emu", 0.7), e=("emu", 0.3))
    found = run(table, standing=standing)["replace-staged"]
    assert names(found) == "dca"
    assert found["reason"].iloc[2].startswith("cat: 40 of 100 images are staged; the model sees cat (90%)")


def test_suspect_labels_come_as_the_audit_ranks_them_those_the_model_has_learnt_last(run):
    doubted = suspects(("a", 1, True), ("b", 2, False), ("c", 1, False))
    found = run(predictions(z=("dog", 0.9)), suspects=doubted)["suspect-label"]
    assert found["image"].tolist() == ["c", "b", "a"]
    assert found["label"].unique().tolist() == ["owl"]  # what yes accepts


def test_look_alike_without_embeddings_finds_the_most_hesitant_first_and_says_so(ask):
    answer = ask("look-alike", predictions(a=("dog", 0.6), b=("dog", 0.3), c=("dog", 0.61)))
    assert names(answer.rows) == "ba"
    assert answer.rows["reason"].iloc[1].startswith("perhaps none of the model's classes; it hesitates between dog")
    assert "no embeddings" in answer.note


def alike(*, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Thirty hesitant images, ten of which (k to t) look alike and like no class; and their features."""
    random = np.random.default_rng(seed)
    features = np.abs(random.normal(0, 1, (30, 24)))
    features[10:20] = np.abs(random.normal(0, 1, 24)) + random.normal(0, 0.05, (10, 24))
    letters = "abcdefghijklmnopqrstuvwxyz1234"
    return predictions(**{name: ("dog", 0.3 + 0.005 * i) for i, name in enumerate(letters)}), features


def test_hesitant_images_that_are_alike_stand_first_and_together(ask):
    table, features = alike()
    found = ask("look-alike", table, features=features).rows
    together = found[found["cluster"] == found["cluster"].iloc[0]]
    assert set(names(together)) >= set("klmnopqrst")
    assert together["rank"].tolist() == list(range(1, len(together) + 1))
    assert together["cluster"].iloc[0].startswith(f"1: {len(together)} alike (coherence ")
    assert "perhaps a class of their own" in together["reason"].iloc[0]


def test_clusters_are_the_same_whatever_the_order_of_the_pool(ask):
    table, features = alike()
    order = np.random.default_rng(1).permutation(len(table))
    first = ask("look-alike", table, features=features).rows
    again = ask("look-alike", table.iloc[order], features=features[order]).rows
    pd.testing.assert_frame_equal(first, again)


def test_a_cluster_far_from_every_class_comes_before_one_that_is_like_a_class(ask):
    random = np.random.default_rng(0)
    known, new = np.abs(random.normal(0, 1, (2, 24)))
    features = np.concatenate([v + random.normal(0, 0.05, (10, 24)) for v in (known, new)])
    other = np.abs(random.normal(0, 1, 24))
    labels = pd.DataFrame({"label": ["dog"] * 3 + ["cat"] * 3, "set": "train"})
    library = Library(labels, np.array([known] * 3 + [other] * 3))
    table = predictions(**dict.fromkeys("abcdefghijklmnopqrst", ("dog", 0.5)))
    found = ask("look-alike", table, features=features, library=library).rows
    assert set(names(found[found["cluster"].str.startswith("1:")])) <= set("klmnopqrst")


def test_of_many_hesitant_images_each_class_has_its_share_of_those_clustered(ask):
    table = predictions(a=("dog", 0.1), b=("dog", 0.2), c=("dog", 0.3), d=("cat", 0.5))
    found = ask("look-alike", table, features=np.eye(4), params={"look_alike_images": 2}).rows
    assert set(names(found)) == set("ad")


def test_unknown_finds_the_library_s_unknown_images_alone_the_surest_first(run):
    found = run(predictions(a=("dog", 0.3), b=("cat", 0.9), c=("dog", 0.7)), unknown="ac")
    assert names(found["unknown"]) == "ca"
    assert found["unknown"]["reason"].str.startswith("unknown until now; the model sees dog").all()
    assert names(found["low-count"]) == "b"
    assert names(found["look-alike"]) == ""


def test_an_unknown_image_stands_beside_the_pool_images_nearest_to_it(ask):
    table = predictions(a=("dog", 0.3), b=("dog", 0.9), c=("dog", 0.8), d=("cat", 0.9))
    features = np.array([[1, 0, 0], [0, 1, 0], [1, 0.1, 0], [1, 0, 0]])
    found = ask("unknown", table, unknown="a", features=features, params={"unknown_beside": 1}).rows
    assert names(found) == "ac"
    assert found["cluster"].tolist() == ["pool/a.jpg", "pool/a.jpg"]
    assert found["reason"].iloc[1].startswith("alike (cosine 1.00) to the unknown pool/a.jpg; the model sees dog")


def test_unknown_images_are_filtered_by_what_the_model_takes_them_for(ask):
    table = predictions(a=("dog", 0.3), b=("cat", 0.9), c=("cat", 0.9))
    assert names(ask("unknown", table, unknown="ab", look_alike=["cat"]).rows) == "b"


def champion(**said: tuple[str, float]) -> pd.DataFrame:
    rows = [(sha(name), label, score) for name, (label, score) in said.items()]
    return pd.DataFrame(rows, columns=["sha256", "label", "score"])


def test_disagree_finds_what_the_champion_names_otherwise_where_both_are_sure_first(ask):
    table = predictions(a=("dog", 0.9), b=("dog", 0.6), c=("dog", 0.9), d=("dog", 0.4), e=("dog", 0.9))
    before = champion(f=("emu", 0.9), c=("dog", 0.9), d=("wolf", 0.9), b=("wolf", 0.95), a=("wolf", 0.7))
    found = ask("disagree", table, champion=lambda: before).rows
    assert names(found) == "ab"
    assert found["reason"].iloc[0] == "the champion says wolf (70%), this model dog (90%) or owl (7%)"


def test_without_a_champion_disagree_is_empty_and_says_why(ask):
    answer = ask("disagree", predictions(a=("dog", 0.9)))
    assert (len(answer.rows), answer.note) == (0, "Nothing to compare: there is no champion.")


def test_without_features_purge_low_samples_the_lowest_scores_names_all_of_them_and_says_so(ask):
    table = predictions(a=("dog", 0.4), b=("dog", 0.1), c=("dog", 0.41), d=("dog", 0.3), e=("dog", 0.2))
    answer = ask("purge-low", table, params={"purge_sample": 2, "purge_share": 0.6})
    assert names(answer.whole) == "bed"
    assert len(answer.rows) == 2
    assert set(answer.rows["image"]) <= set(answer.whole["image"])
    assert answer.rows["reason"].iloc[0].startswith("one of the lowest scores; one of 2 drawn from 3 images")
    assert "are missing" in answer.note


def test_purge_low_leaves_what_others_want_and_images_of_short_classes_and_unknown_ones(ask):
    table = predictions(a=("dog", 0.1), b=("emu", 0.1), c=("dog", 0.2), d=("dog", 0.2), e=("dog", 0.3))
    looks = {"a": phash("x"), "c": flip(phash("x"), 1, 2)}  # c is a near-duplicate of what another recipe shows
    answer = ask("purge-low", table, looks=looks, taken={"pool/a.jpg"}, unknown="d")
    assert names(answer.whole) == "e"


@pytest.fixture
def labelled() -> Library:
    """Dogs around one direction and emus around another; the last of each is a validation image, less near."""
    dog, emu = np.eye(8)[0], np.eye(8)[1]
    aside = [0.1, 0.1, 0.1, 0.1, 0.1, 0.5]
    features = [own + far * np.eye(8)[i] for own in (dog, emu) for i, far in enumerate(aside)]
    sets = (["train"] * 5 + ["val"]) * 2
    return Library(pd.DataFrame({"label": ["dog"] * 6 + ["emu"] * 6, "set": sets}), np.array(features))


def test_purge_low_lists_what_is_like_nothing_labelled_however_sure_the_model_is(ask, labelled):
    dog, odd = np.eye(8)[0], np.eye(8)[7]
    table = predictions(a=("dog", 0.2), b=("dog", 0.99), c=("dog", 0.99), d=("dog", 0.3))
    features = np.array([dog, odd, odd + 0.5 * dog, dog + 0.1 * odd])
    answer = ask("purge-low", table, features=features, library=labelled)
    assert names(answer.whole) == "bc"  # the farthest first
    assert answer.note == ""
    reason = answer.rows.set_index("image").loc["pool/b.jpg", "reason"]
    assert reason.startswith("like nothing labelled: cosine 0.00 to the nearest but 4, 99.0% of the validation images")


def test_purge_low_compares_only_as_many_as_it_is_told_those_that_seem_farthest(ask, labelled):
    dog, odd = np.eye(8)[0], np.eye(8)[7]
    table = predictions(a=("dog", 0.9), b=("dog", 0.9), c=("dog", 0.9), d=("dog", 0.9))
    features = np.array([odd + 0.5 * dog, odd, dog, dog + 0.1 * odd])
    answer = ask("purge-low", table, features=features, library=labelled, params={"purge_images": 1})
    assert names(answer.whole) == "b"


def test_purge_low_lists_the_like_of_what_people_called_bad_but_not_the_bad_ones(ask, labelled):
    dog, blank = np.eye(8)[0], np.eye(8)[0] + 0.3 * np.eye(8)[6]
    table = predictions(a=("dog", 0.9), b=("dog", 0.9), c=("dog", 0.9), d=("dog", 0.9))
    features = np.array([dog, blank, blank + 0.05 * dog, dog])
    asked = {"features": features, "library": labelled, "known": ("b",)}
    assert names(ask("purge-low", table, **asked).whole) == ""
    answer = ask("purge-low", table, bad=pd.Series([sha("b")]), **asked)
    assert names(answer.whole) == "c"
    assert answer.rows["reason"].item().startswith("nearer to a picture that people called bad (cosine 1.00)")


def test_purge_low_lists_pictures_that_curation_would_not_take_first_but_not_those_that_others_want(ask, labelled):
    dog, odd = np.eye(8)[0], np.eye(8)[7]
    table = predictions(a=("dog", 0.9), b=("dog", 0.9), c=("emu", 0.9), d=("dog", 0.9), e=("dog", 0.9))
    poor = pd.Series({f"pool/{name}.jpg": "near-blank (contrast 0.001)" for name in "bcd"})
    features = np.array([odd, dog, dog, dog, dog])
    asked = {"features": features, "library": labelled, "poor": lambda: poor}
    answer = ask("purge-low", table, taken={"pool/d.jpg"}, **asked)  # emu is short of images
    assert names(answer.whole) == "ba"
    reason = answer.rows.set_index("image").loc["pool/b.jpg", "reason"]
    assert reason.startswith("near-blank (contrast 0.001); one of 2 drawn from 2 images")


def test_pictures_that_curation_would_not_take_are_shown_by_no_other_recipe(run):
    table = predictions(a=("emu", 0.9), b=("emu", 0.9), c=("dog", 0.5), d=("dog", 0.5))
    poor = pd.Series({f"pool/{name}.jpg": "near-blank (contrast 0.001)" for name in "ac"})
    found = run(table, poor=lambda: poor)
    assert (names(found["low-count"]), names(found["look-alike"]), names(found["purge-low"])) == ("b", "d", "c")


@pytest.fixture
def doubtful() -> tuple[pd.DataFrame, np.ndarray]:
    """Hesitant dogs (a to h), unlike each other; and ten pictures (k to t) that are alike and like nothing labelled."""
    random = np.random.default_rng(0)
    dogs = np.eye(16)[0] + 0.4 * np.eye(16)[2:10]
    odd = np.eye(16)[15] + random.normal(0, 0.05, (10, 16))
    return predictions(**dict.fromkeys("abcdefghklmnopqrst", ("dog", 0.5))), np.concatenate([dogs, odd])


@pytest.fixture
def dogs() -> Library:
    """Labelled dogs; the last is a validation image, less near."""
    features = np.eye(16)[0] + np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.6])[:, None] * np.eye(16)[1:7]
    return Library(pd.DataFrame({"label": "dog", "set": ["train"] * 5 + ["val"]}), features)


def test_of_pictures_alike_but_like_nothing_labelled_look_alike_shows_a_few_and_purge_low_lists_the_rest(
    run, doubtful, dogs
):
    table, features = doubtful
    found = run(table, features=features, library=dogs, standing=board(dog=99))
    few = set(names(found["look-alike"])) - set("abcdefgh")
    assert len(few) == 3
    assert names(found["look-alike"]).startswith(tuple("abcdefgh"))  # the others come first
    assert set(names(found["purge-low"])) == set("klmnopqrst") - few


def test_look_alike_leaves_what_is_nearer_to_a_bad_picture_than_to_any_labelled_one(ask, doubtful, dogs):
    table, features = doubtful
    asked = {"features": features, "library": dogs, "known": ("k",), "bad": pd.Series([sha("k")])}
    assert set(names(ask("look-alike", table, **asked).rows)) == set("abcdefgh")


def test_clusters_that_are_like_nothing_labelled_take_a_tenth_of_the_rows():
    usual = pd.DataFrame({"image": [f"u{i}" for i in range(60)], "cluster": "", "far": False})
    usual.loc[20:39, "cluster"] = "one"
    odd = pd.DataFrame({"image": [f"o{i}" for i in range(20)], "cluster": ["two"] * 10 + ["three"] * 10, "far": True})
    alone = pd.DataFrame({"image": ["alone"], "cluster": [""], "far": [True]})
    rows = pd.concat([odd, alone, usual], ignore_index=True)
    found = look_alike._in_turn(rows)["image"].tolist()
    assert found[:40] == [f"u{i}" for i in range(40)]  # no cluster is cut in two
    assert found[40:43] == ["o0", "o1", "o2"]
    assert found[56:61] == ["u53", "o10", "o11", "o12", "u54"]
    assert len(found) == 66


def test_purge_low_lists_no_image_for_being_far_where_no_validation_image_tells_what_is_far(ask, labelled):
    table = predictions(a=("dog", 0.1), b=("dog", 0.1), c=("dog", 0.1))
    trained = Library(labelled.rows.assign(set="train"), labelled.embeddings)
    assert ask("purge-low", table, features=np.eye(8)[5:], library=trained).whole.empty


def test_the_sample_is_the_same_in_any_order_and_another_for_another_model(ask):
    scores = {f"i{i}": ("dog", 0.1) for i in range(40)}
    params = {"purge_sample": 10}
    first = set(ask("purge-low", predictions(**scores), params=params).rows["image"])
    again = set(ask("purge-low", predictions(**scores)[::-1], params=params).rows["image"])
    other = set(ask("purge-low", predictions(model="b" * 64, **scores), params=params).rows["image"])
    assert first == again != other


def test_near_duplicates_with_two_labels_stand_side_by_side_whatever_any_model_says(run):
    look = phash("look")
    looks = {"a": look, "c": flip(look, 3)}
    differing = conflicts(("pool/a.jpg", "g", "owl"), ("pool/b.jpg", "h", "emu"), ("pool/c.jpg", "g", "emu"))
    found = run(predictions(z=("dog", 0.9)), looks=looks, conflicts=differing)["label-conflict"]
    assert names(found) == "acb"
    assert found["label"].tolist() == ["owl", "emu", "emu"]
    assert found["group"].tolist()[0] == found["group"].tolist()[1] != found["group"].tolist()[2]
    assert found["reason"].iloc[0] == "owl here; the same picture is called emu / owl"


def test_an_image_stands_in_the_first_recipe_that_finds_it(run):
    found = run(predictions(a=("cat", 0.55), b=("dog", 0.55), c=("cat", 0.3)))
    assert names(found["low-count"]) == "a"
    assert names(found["look-alike"]) == "cb"
    together = pd.concat(found.values())["image"]
    assert together.is_unique


def test_an_image_beyond_a_recipe_s_rows_is_left_to_the_next_one(run):
    found = run(predictions(a=("cat", 0.59), b=("cat", 0.58), c=("cat", 0.57)), max_rows=2)
    assert (names(found["low-count"]), names(found["look-alike"])) == ("ab", "c")


def test_a_content_that_is_in_a_set_already_is_not_offered(run):
    assert names(run(predictions(a=("cat", 0.9), b=("cat", 0.8)), known=("a",))["low-count"]) == "b"


def test_near_duplicates_share_their_group(run):
    looks = {"a": phash("x"), "b": phash("y"), "c": flip(phash("x"), 1, 2), "d": "", "e": ""}
    found = run(predictions(**dict.fromkeys("abcde", ("dog", 0.5))), looks=looks)["look-alike"]
    groups = found.set_index("image")["group"]
    assert groups["pool/a.jpg"] == groups["pool/c.jpg"]
    assert groups.nunique() == 4


@pytest.mark.parametrize("recipe", ["low-count", "look-alike"])
def test_equal_scores_are_ordered_by_name_whatever_the_order_of_the_pool(run, recipe):
    label = {"low-count": "emu", "look-alike": "dog"}[recipe]
    table = predictions(**dict.fromkeys("abcd", (label, 0.5)))
    assert names(run(table[::-1], max_rows=3)[recipe]) == names(run(table, max_rows=3)[recipe]) == "abc"


def test_a_queue_without_an_image_is_written_and_read_like_any_other(run, tmp_path):
    full = run(predictions(a=("emu", 0.8), b=("dog", 0.5), c=("dog", 0.5)), unknown="c")
    for name, found in run(predictions(a=("dog", 0.99))).items():
        assert (len(found), list(found)) == (0, recipes.COLUMNS)
        write_table(found, tmp_path / f"{name}.parquet")
        again = read_table(tmp_path / f"{name}.parquet")
        write_table(full[name], tmp_path / "full.parquet")
        assert again.dtypes.equals(read_table(tmp_path / "full.parquet").dtypes), name
        assert all(again[column].dtype == "str" for column in TEXT)


def test_a_row_brings_the_model_s_best_classes_along(run):
    row = run(predictions(a=("emu", 0.8)))["low-count"].iloc[0]
    assert list(row["top_labels"]) == ["emu", "owl", "rat"]
    assert list(row["top_scores"]) == pytest.approx([0.8, 0.15, 0.05])


def test_an_unknown_recipe_offers_the_nearest():
    with pytest.raises(UsageError, match="unknown recipe 'lookalike'") as error:
        recipes.named("lookalike")
    assert "look-alike" in error.value.mend


def test_predictions_of_two_models_are_refused(run):
    table = pd.concat([predictions(a=("dog", 0.5)), predictions(model="b" * 64, b=("dog", 0.5))])
    with pytest.raises(DataError, match="predictions of 2 models"):
        run(table)


def test_a_picture_that_could_not_be_read_is_in_no_recipe(run):
    table = predictions(a=("emu", 0.8), b=("emu", 0.9))
    table.loc[1, ["failure", "label", "score"]] = ["cut short", "", np.nan]
    assert names(run(table)["low-count"]) == "a"


def test_every_recipe_says_what_it_finds_and_its_options_are_params():
    from pipeline.sections import Queue

    assert len({recipe.name for recipe in recipes.RECIPES}) == len(recipes.RECIPES)
    assert all(recipe.finds.endswith(".") for recipe in recipes.RECIPES)
    keys = {key for recipe in recipes.RECIPES for key in recipe.options.values()}
    assert keys == set(Queue.model_fields) - {"max_rows"} | {"look_alike"}
    assert {key.name for key in fields(Settings)} == set(Queue.model_fields)
    assert MODEL


@pytest.mark.parametrize("recipe", recipes.RECIPES, ids=lambda recipe: recipe.name)
def test_the_options_of_a_recipe_are_among_what_it_takes(recipe):
    assert set(recipe.options.values()) <= {key.name for key in fields(recipe.takes)}


def test_a_misspelt_setting_is_refused():
    with pytest.raises(TypeError, match="low_cuont_below"):
        Settings(max_rows=1, **PARAMS | {"low_cuont_below": 2})
    with pytest.raises(TypeError, match="disagree_score"):
        Settings(max_rows=1, **{key: value for key, value in PARAMS.items() if key != "disagree_score"})


def test_a_recipe_gets_what_it_uses_and_nothing_else(tmp_path):
    seen = []
    recipe = recipes.Recipe("x", "X.", lambda material, asked: seen.append(asked) or Found(material.rows.head(0)))
    made = material(tmp_path, predictions(a=("cat", 0.9)))
    recipes.ask(made, recipe, Settings(max_rows=7, **PARAMS), near_duplicate_distance=4, classes=["cat"])
    assert seen == [OfClasses(max_rows=7, classes=["cat"])]


def test_a_recipe_that_asks_for_a_setting_that_there_is_not_is_refused(tmp_path):
    takes = make_dataclass("Takes", ["low_cuont_below"], bases=(OfClasses,), frozen=True, kw_only=True)
    recipe = recipes.Recipe("x", "X.", lambda material, asked: Found(material.rows.head(0)), takes)
    made = material(tmp_path, predictions(a=("cat", 0.9)))
    with pytest.raises(KeyError, match="low_cuont_below"):
        recipes.ask(made, recipe, Settings(max_rows=7, **PARAMS), near_duplicate_distance=4)


def test_replaced_files_are_asked_about_first_with_the_label_that_the_old_content_had_and_what_is_seen_now(run):
    table = predictions(a=("dog", 0.9), b=("dog", 0.8), c=("emu", 0.9))
    found = run(table, changed=changed(("b", "cat"), ("a", "cat"), ("gone", "")))
    rows = found["changed-content"].set_index("image")
    assert list(rows.index) == ["pool/gone.jpg", "pool/a.jpg", "pool/b.jpg"]
    assert rows["label"].tolist() == ["", "cat", "cat"]
    assert rows["score"].isna().all()
    assert rows.loc["pool/a.jpg", "reason"] == (
        "the file was replaced: the content 123 was called cat; the model sees dog (90%) or owl (7%)"
    )
    assert rows.loc["pool/gone.jpg", "reason"].endswith("the model has not seen this one")
    others = pd.concat([rows for name, rows in found.items() if name != "changed-content"])
    assert not set(others["image"]) & set(rows.index)


def test_what_was_unknown_or_bad_before_its_file_was_replaced_is_suggested_as_the_model_sees_it(ask):
    answer = ask("changed-content", predictions(a=("dog", 0.9)), changed=changed(("a", "")))
    assert answer.rows[["label", "top_labels"]].to_numpy().tolist()[0][0] == "dog"


def test_replaced_files_are_no_pool_images_of_other_recipes_and_can_be_asked_class_by_class(ask):
    table, them = predictions(a=("emu", 0.9), b=("emu", 0.8)), changed(("a", "cat"))
    assert names(ask("low-count", table, changed=them).rows) == "b"
    assert names(ask("changed-content", table, changed=them, classes=["cat"]).rows) == "a"
    assert names(ask("changed-content", table, changed=them, classes=["dog"]).rows) == ""
