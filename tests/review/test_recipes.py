import numpy as np
import pandas as pd
import pytest
from builders import flip, phash, sha

from pipeline.files import read_table, write_table
from pipeline.review import recipes
from pipeline.review.recipes import Material

PARAMS = {"min_images": 10, "low_count_below": 1.5, "low_count_score": 0.5, "look_alike_score": 0.6}
TEXT = ["image", "sha256", "group", "label", "reason"]


def predictions(**scores: tuple[str, float]) -> pd.DataFrame:
    """Images by name: the class the model sees and how surely; an owl is the second best."""
    rows = [
        {
            "image": f"pool/{name}.jpg",
            "sha256": sha(name),
            "label": label,
            "score": score,
            "top_labels": np.array([label, "owl", "rat"], dtype=object),
            "top_scores": np.array([score, (1 - score) * 0.75, (1 - score) * 0.25]),
        }
        for name, (label, score) in scores.items()
    ]
    columns = ["image", "sha256", "label", "score", "top_labels", "top_scores"]
    return pd.DataFrame(rows, columns=columns).astype(
        {"image": "str", "sha256": "str", "label": "str", "score": "float64"}
    )


def conflicts(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Images of groups with two labels: name, group and label of each."""
    table = pd.DataFrame(rows, columns=["image", "group", "label"], dtype="str")
    return table.assign(sha256=[sha(name) for name in table["image"]], detail="emu / owl").astype("str")


def suspects(*rows: tuple[str, int, bool]) -> pd.DataFrame:
    """Labelled images that the audit asks about: name, rank in its part, and whether the model was trained on it."""
    table = pd.DataFrame(rows, columns=["image", "rank", "trained"]).astype({"image": "str", "trained": bool})
    said = table.assign(label="owl", score=0.9, reason="labelled emu (1%); the model sees owl (90%)")
    return said.assign(sha256=table["image"].map(sha).astype("str")).astype({"label": "str", "reason": "str"})


def run(
    table: pd.DataFrame,
    *,
    unknown: str = "",
    looks: dict | None = None,
    max_rows: int = 100,
    differing: pd.DataFrame | None = None,
    doubted: pd.DataFrame | None = None,
) -> dict:
    """The queues; names in `unknown` are library images nobody could name."""
    board = pd.DataFrame({"label": ["cat", "dog", "emu"], "groups": [14, 15, 10]})
    material = Material(
        table,
        board,
        {f"pool/{name}.jpg" for name in unknown},
        conflicts() if differing is None else differing,
        suspects() if doubted is None else doubted,
    )
    hashes = {image: phash(image) for image in table["image"]} | {f"pool/{k}.jpg": v for k, v in (looks or {}).items()}
    phashes = pd.Series(hashes, dtype="str")
    return recipes.run(material, phashes, near_duplicate_distance=4, max_rows=max_rows, **PARAMS)


def names(table: pd.DataFrame) -> str:
    return "".join(table["image"].str.removeprefix("pool/").str.removesuffix(".jpg"))


def test_low_count_finds_sure_images_of_short_classes_the_shortest_class_first():
    found = run(predictions(a=("cat", 0.9), b=("emu", 0.7), c=("emu", 0.8), d=("dog", 0.9), e=("emu", 0.49)))
    assert names(found["low-count"]) == "cba"
    assert found["low-count"]["rank"].tolist() == [1, 2, 3]


def test_low_count_takes_an_image_at_its_very_score():
    assert names(run(predictions(a=("cat", 0.5)))["low-count"]) == "a"


def test_low_count_says_how_many_images_the_class_has_and_what_the_model_sees():
    reason = run(predictions(a=("emu", 0.8)))["low-count"]["reason"].item()
    assert reason == "emu has only 10 images; the model sees emu (80%) or owl (15%)"


def test_suspect_labels_come_as_the_audit_ranks_them_those_the_model_has_learnt_last():
    doubted = suspects(("a", 1, True), ("b", 2, False), ("c", 1, False))
    found = run(predictions(), doubted=doubted)["suspect-label"]
    assert found["image"].tolist() == ["c", "b", "a"]
    assert found["label"].unique().tolist() == ["owl"]  # what yes accepts


def test_look_alike_finds_hesitant_images_the_most_hesitant_first():
    found = run(predictions(a=("dog", 0.6), b=("dog", 0.3), c=("dog", 0.61)))["look-alike"]
    assert names(found) == "ba"
    assert (
        found["reason"].iloc[1].startswith("perhaps none of the model's classes; it hesitates between dog (60%) or owl")
    )


def test_unknown_finds_the_library_s_unknown_images_alone_the_surest_first():
    found = run(predictions(a=("dog", 0.3), b=("cat", 0.9), c=("dog", 0.7)), unknown="ac")
    assert names(found["unknown"]) == "ca"
    assert found["unknown"]["reason"].str.startswith("unknown until now; the model sees dog").all()
    assert names(found["low-count"]) == "b"
    assert names(found["look-alike"]) == ""


def test_near_duplicates_with_two_labels_stand_side_by_side_whatever_any_model_says():
    look = phash("look")
    looks = {"a": look, "c": flip(look, 3)}
    differing = conflicts(("pool/a.jpg", "g", "owl"), ("pool/b.jpg", "h", "emu"), ("pool/c.jpg", "g", "emu"))
    found = run(predictions(), looks=looks, differing=differing)["label-conflict"]
    assert names(found) == "acb"
    assert found["label"].tolist() == ["owl", "emu", "emu"]
    assert found["group"].tolist()[0] == found["group"].tolist()[1] != found["group"].tolist()[2]
    assert found["reason"].iloc[0] == "owl here; the same picture is called emu / owl"


def test_an_image_stands_in_the_first_recipe_that_finds_it():
    found = run(predictions(a=("cat", 0.55), b=("dog", 0.55), c=("cat", 0.3)))
    assert names(found["low-count"]) == "a"
    assert names(found["look-alike"]) == "cb"
    together = pd.concat(found.values())["image"]
    assert together.is_unique


def test_an_image_beyond_a_recipe_s_rows_is_left_to_the_next_one():
    found = run(predictions(a=("cat", 0.59), b=("cat", 0.58), c=("cat", 0.57)), max_rows=2)
    assert (names(found["low-count"]), names(found["look-alike"])) == ("ab", "c")


def test_near_duplicates_share_their_group():
    looks = {"a": phash("x"), "b": phash("y"), "c": flip(phash("x"), 1, 2), "d": "", "e": ""}
    found = run(predictions(**dict.fromkeys("abcde", ("dog", 0.5))), looks=looks)["look-alike"]
    groups = found.set_index("image")["group"]
    assert groups["pool/a.jpg"] == groups["pool/c.jpg"]
    assert groups.nunique() == 4


def test_an_image_without_a_known_hash_is_a_group_of_its_own():
    table = predictions(a=("dog", 0.5), b=("dog", 0.5))
    material = Material(table, pd.DataFrame({"label": [], "groups": []}), set(), conflicts(), suspects())
    found = recipes.run(material, pd.Series(dtype="str"), near_duplicate_distance=4, max_rows=9, **PARAMS)
    assert found["look-alike"]["group"].nunique() == 2


def test_equal_scores_are_ordered_by_name_whatever_the_order_of_the_pool():
    table = predictions(a=("dog", 0.5), b=("dog", 0.5), c=("dog", 0.5))
    assert names(run(table[::-1])["look-alike"]) == names(run(table)["look-alike"]) == "abc"


@pytest.mark.parametrize("table", [predictions(), predictions(a=("dog", 0.99))])
def test_a_queue_without_an_image_is_written_and_read_like_any_other(tmp_path, table):
    full = run(predictions(a=("emu", 0.8), b=("dog", 0.5), c=("dog", 0.5)), unknown="c")
    for name, found in run(table).items():
        assert (len(found), list(found)) == (0, recipes.COLUMNS)
        write_table(found, tmp_path / f"{name}.parquet")
        again = read_table(tmp_path / f"{name}.parquet")
        assert again.dtypes.equals(full[name].dtypes), name
        assert all(again[column].dtype == "str" for column in TEXT)


def test_every_recipe_says_what_it_finds():
    assert len({recipe.name for recipe in recipes.RECIPES}) == len(recipes.RECIPES)
    assert all(recipe.finds.endswith(".") for recipe in recipes.RECIPES)
