import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Exit, LeakageError
from pipeline.files import write_table
from pipeline.library import curation, duplicates, lineage, splits
from tests.library.builders import flip, phash, sha

DISTANCE = 4
LION = phash("lion")


def curated(*rows: dict) -> pd.DataFrame:
    """Curated rows; `group` keeps rows together, and so do near looks, as in curation."""
    plain = {"label": "lion", "subclass": "", "origin": "real", "together": ""}
    filled = [{**plain, "sha256": sha(row["image"]), "phash": phash(row["image"])} | row for row in rows]
    columns = ["image", "sha256", "phash", "label", "subclass", "origin", "together"]
    table = pd.DataFrame(filled, columns=columns, dtype="str")
    near = duplicates.group(table, DISTANCE, duplicates.BITS).name
    table["group"] = duplicates.join(table["sha256"], pd.DataFrame({"near": near, "own": table["together"]}))
    bursts = [row.get("burst", "") for row in rows]
    table["burst"] = duplicates.join(table["sha256"], table[["group"]].assign(burst=bursts))
    table["evidence"] = ""
    return table[curation.COLUMNS]


def many(label: str, number: int, **more) -> list[dict]:
    return [{"image": f"{label}{i}{more.get('origin', '')}", "label": label} | more for i in range(number)]


def seen(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """A lineage: name, look and role of each image."""
    filled = [(sha(name), look, sha(name)[:16], "", "", "", role, 1, 1) for name, look, role in rows]
    table = pd.DataFrame(filled, columns=lineage.COLUMNS)
    return table.astype(dict.fromkeys(lineage.TEXTS, "str"))


def assign(table: pd.DataFrame, base: pd.DataFrame | None = None, **settings_) -> splits.Assigned:
    chosen = {"val": 0.15, "test": 0.15, "salt": "s", "near_duplicate_distance": DISTANCE} | settings_
    return splits.assign(table, lineage.empty() if base is None else base, **chosen)


def sets(assigned: splits.Assigned) -> dict[str, str]:
    return dict(zip(assigned.images["image"], assigned.images["set"], strict=True))


def counts(assigned: splits.Assigned) -> dict[str, int]:
    return assigned.images["set"].value_counts().to_dict()


def test_a_first_round_fills_the_quotas_of_each_class():
    assigned = assign(curated(*many("lion", 100), *many("tapir", 40)))
    by_class = assigned.images.groupby(["label", "set"]).size().to_dict()
    assert by_class == {
        ("lion", "train"): 70, ("lion", "val"): 15, ("lion", "test"): 15,
        ("tapir", "train"): 28, ("tapir", "val"): 6, ("tapir", "test"): 6,
    }  # fmt: skip


def test_sub_classes_are_spread_over_the_sets():
    rows = many("lion", 80, subclass="day") + [{"image": f"n{i}", "subclass": "night"} for i in range(20)]
    in_test = assign(curated(*rows)).images.query("set == 'test'")["subclass"].value_counts()
    assert in_test.to_dict() == {"day": 12, "night": 3}


def test_another_salt_makes_other_sets_and_the_same_salt_the_same():
    table = curated(*many("lion", 60))
    assert sets(assign(table)) == sets(assign(table))
    assert sets(assign(table)) != sets(assign(table, salt="t"))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "test": 1, "val": 1}),
        (4, {"train": 2, "test": 1, "val": 1}),
    ],
)
def test_few_groups_are_for_training_first_then_for_the_test(groups, expected):
    assert counts(assign(curated(*many("lion", groups)))) == expected


@pytest.mark.parametrize(("val", "test"), [(0.44, 0.45), (0.45, 0.44), (0.05, 0.84), (0.84, 0.05)])
@pytest.mark.parametrize("groups", range(3, 9))
def test_every_set_has_an_image_of_every_class_of_three_groups_whatever_the_shares(groups, val, test):
    assert splits.unmeasured(assign(curated(*many("lion", groups)), val=val, test=test).images) == {}


@pytest.mark.parametrize("real", [3, 5, 8])
def test_few_real_images_among_many_staged_are_spread_over_all_sets(real):
    assigned = assign(curated(*many("lion", real), *many("lion", 40, origin="staged")))
    measured = assigned.images.query("origin == 'real'")["set"].value_counts()
    assert set(measured.index) == {"train", "val", "test"}
    assert measured["train"] == measured.max()


@pytest.mark.parametrize("origin", ["staged", "synthetic"])
def test_what_is_not_real_is_trained_on_only(origin):
    assigned = assign(curated(*many("lion", 30), *many("lion", 30, origin=origin)))
    assert set(assigned.images.loc[assigned.images["origin"] == origin, "set"]) == {"train"}


def test_a_group_with_one_staged_image_is_trained_on_as_a_whole():
    rows = [{"image": "a", "together": "s"}, {"image": "b", "together": "s", "origin": "staged"}]
    for i in range(20):
        assigned = assign(curated(*rows, *many("lion", 10)), salt=str(i))
        assert sets(assigned)["a"] == sets(assigned)["b"] == "train"


def test_an_image_keeps_its_set_even_if_its_class_changes():
    base = seen(("a", phash("a"), "test"), ("b", phash("b"), "train"))
    assigned = assign(curated({"image": "a", "label": "puma"}, {"image": "b", "label": "puma"}), base)
    assert sets(assigned) == {"a": "test", "b": "train"}


@pytest.mark.parametrize("side", splits.SETS)
def test_a_near_duplicate_joins_the_side_of_what_it_looks_like(side):
    base = seen(("gone", LION, side))
    assert sets(assign(curated({"image": "a", "phash": flip(LION, 1, 2, 3, 4)}), base)) == {"a": side}


@pytest.mark.parametrize("side", splits.SETS)
def test_what_people_keep_together_joins_the_side_of_the_rest(side):
    base = seen(("a", phash("a"), side))
    rows = [{"image": name, "together": "site 1"} for name in "abc"]
    assert sets(assign(curated(*rows), base)) == dict.fromkeys("abc", side)


def test_an_image_that_ties_two_sides_is_left_out_and_named():
    base = seen(("a", LION, "train"), ("b", flip(LION, *range(8)), "test"))
    rows = [{"image": "a", "phash": LION}, {"image": "b", "phash": flip(LION, *range(8))}]
    assigned = assign(curated(*rows, {"image": "bridge", "phash": flip(LION, *range(4))}), base)
    assert sets(assigned) == {"a": "train", "b": "test"}
    assert assigned.left_out[["image", "reason"]].to_numpy().tolist() == [["bridge", "ties test and train"]]


def test_an_image_tied_to_a_benchmark_of_an_ancestor_is_left_out_and_named():
    base = seen(("old", LION, "benchmark:field"), ("a", phash("a"), "benchmark:field"))
    assigned = assign(curated({"image": "a"}, {"image": "near", "phash": flip(LION, 1)}, {"image": "b"}), base)
    assert sets(assigned).keys() == {"b"}
    assert set(assigned.left_out["reason"]) == {"belongs with benchmark:field"}


def test_images_in_a_set_already_count_for_the_quota():
    base = seen(*[(f"lion{i}", phash(f"lion{i}"), "test") for i in range(10)])
    assert counts(assign(curated(*many("lion", 40)), base))["test"] == 10


def in_bursts(label: str, bursts: int, frames: int, first: int = 0) -> list[dict]:
    return [
        {"image": f"{label}{burst}-{frame}", "label": label, "burst": f"{label}{burst}"}
        for burst in range(bursts)
        for frame in range(first, first + frames)
    ]


def sides(images: pd.DataFrame) -> pd.Series:
    """The sets of each burst, named as the images are."""
    return images["set"].groupby(images["image"].str.partition("-")[0]).agg(set)


def test_a_burst_stays_on_one_side():
    assigned = assign(curated(*in_bursts("lion", 20, 10), *in_bursts("puma", 7, 3)))
    assert (sides(assigned.images).map(len) == 1).all()
    assert counts(assigned)["test"] >= 30


def test_a_class_of_three_bursts_has_one_in_each_set():
    assigned = assign(curated(*in_bursts("lion", 3, 15)))
    assert counts(assigned) == {"train": 15, "val": 15, "test": 15}


def test_new_frames_of_an_old_burst_join_its_side():
    first = assign(curated(*in_bursts("lion", 20, 4)))
    base = lineage.extend(lineage.empty(), first.images, round_=1)
    then = assign(curated(*in_bursts("lion", 20, 8)), base)
    assert sides(then.images).to_dict() == sides(first.images).to_dict()


def test_a_burst_of_the_lineage_holds_although_nothing_ties_it_today():
    frames = in_bursts("lion", 20, 4)
    base = lineage.extend(lineage.empty(), assign(curated(*frames)).images, round_=1)
    new = [{**frame, "burst": f"{frame['burst']}b"} for frame in in_bursts("lion", 20, 2, first=4)]
    half = [*frames[::4], *new]  # one old frame of each burst, tied to the new ones today by another name
    for frame in half[:20]:
        frame["burst"] += "b"
    then = assign(curated(*half), base)
    assert (sides(then.images).map(len) == 1).all()


def torn(images: pd.DataFrame, base: pd.DataFrame | None = None) -> set[str]:
    rows = splits.with_clusters(images, lineage.empty() if base is None else base)
    return set(rows.loc[rows["torn"], "image"])


def test_what_an_older_round_tore_apart_keeps_its_place_and_is_marked():
    alone = [{**frame, "burst": ""} for frame in in_bursts("lion", 10, 10)]
    first = assign(curated(*alone)).images
    base = lineage.extend(lineage.empty(), first.assign(burst="", evidence=""), round_=1)
    then = assign(curated(*in_bursts("lion", 10, 10)), base)
    assert sets(then) == sets(splits.Assigned(first, first))
    marked = torn(then.images, base)
    trained = set(first.loc[first["set"] == "train", "image"].str.partition("-")[0])
    expected = {image for image, side in sets(then).items() if side != "train" and image.partition("-")[0] in trained}
    assert marked == expected
    assert len(marked) > 20


def test_a_torn_image_stays_so_when_its_mate_has_left_the_library():
    first = curated(*in_bursts("lion", 2, 1)).assign(set=["train", "test"], burst="one")
    base = lineage.extend(lineage.empty(), first, round_=1)
    assert torn(first[first["set"] == "test"], base) == {"lion1-0"}


def test_nothing_is_torn_where_every_burst_is_whole():
    assert torn(assign(curated(*in_bursts("lion", 20, 10))).images) == set()


def test_a_cluster_is_all_that_belongs_together():
    images = assign(curated(*in_bursts("lion", 20, 10), *many("puma", 10))).images
    rows = splits.with_clusters(images, lineage.empty())
    assert rows["cluster"].nunique() == 30


def test_classes_that_a_set_lacks_are_named():
    rows = pd.DataFrame({"label": ["lion", "lion", "puma"], "set": ["train", "test", "train"]})
    assert splits.unmeasured(rows) == {"val": ["lion", "puma"], "test": ["puma"]}


def test_nothing_to_split_is_no_error():
    assigned = assign(curated())
    assert (len(assigned.images), len(assigned.left_out)) == (0, 0)
    assert list(assigned.images) == [*curation.COLUMNS, "set"]


EVENTS = st.fixed_dictionaries(
    {
        "added": st.integers(0, 6),
        "like": st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), max_size=3),
        "between": st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=1),
        "gone": st.sets(st.integers(0, 60), max_size=4),
        "relabelled": st.sets(st.integers(0, 60), max_size=3),
        "kept_together": st.sets(st.integers(0, 60), max_size=2),
        "staged": st.booleans(),
    }
)


def rounds(events: list[dict]):
    """Plays a history; yields each round's library: images come, vanish, return, are renamed and look like others."""
    everything = [{"image": f"first{i}", "phash": phash(f"first{i}"), "label": "lion"} for i in range(8)]
    for number, event in enumerate(events):
        n = len(everything)
        for i in range(event["added"]):
            name = f"{number}-{i}"
            new = {"image": name, "phash": phash(name), "label": ["lion", "puma"][i % 2]}
            everything.append(new | ({"origin": "staged"} if event["staged"] and i == 0 else {}))
        for i, (place, bit) in enumerate(event["like"]):
            other = everything[place % n]
            look = flip(other["phash"], *range(number, number + bit))
            everything.append({"image": f"{number}-like{i}", "phash": look, "label": other["label"]})
        for one, other in event["between"]:  # kept together with both, whichever sides they are on
            site = f"site {number}"
            everything[one % n]["together"] = everything[other % n]["together"] = site
            everything.append({"image": f"{number}-between", "phash": phash(number), "label": "lion", "together": site})
        for place in event["relabelled"]:
            everything[place % n]["label"] = "puma"
        for place in event["kept_together"]:
            everything[place % n]["together"] = "burst"
        gone = {place % n for place in event["gone"]}
        yield curated(*(row for i, row in enumerate(everything) if i not in gone))


@given(st.lists(EVENTS, min_size=6, max_size=8))
@settings(deadline=None, max_examples=6)
def test_no_image_ever_changes_sides_whatever_happens_in_years(events):
    base = lineage.empty()
    for number, today in enumerate(rounds(events), 1):
        assigned = assign(today, base)
        images, known = assigned.images, base.set_index("sha256")["role"]
        assert sorted([*images["image"], *assigned.left_out["image"]]) == sorted(today["image"])
        assert (assigned.left_out["reason"] != "").all()

        roles = images["sha256"].map(known)
        assert (images["set"][roles.notna()] == roles.dropna()).all()
        assert not assigned.left_out["sha256"].isin(base["sha256"]).any()
        assert set(images.loc[roles.isna() & (images["origin"] != "real"), "set"]) <= {"train"} | set(known)

        new = images[roles.isna()]
        for group, members in new.groupby("group"):
            assert set(images.loc[images["group"] == group, "set"]) == set(members["set"]), "a group is cut"
        lineage.refuse_overlaps(images, base, near_duplicate_distance=DISTANCE)

        again = assign(today.sample(frac=1, random_state=0), base)
        assert sets(again) == sets(assigned)

        extended = lineage.extend(base, images, round_=number)
        kept = extended[extended["sha256"].isin(base["sha256"])].reset_index(drop=True)
        same = ["sha256", "phash", "role", "first_round"]
        pd.testing.assert_frame_equal(kept[same], base[same], check_dtype=False)
        assert set(extended["sha256"]) == {*base["sha256"], *images["sha256"]}
        base = extended


@given(st.dictionaries(st.sampled_from(["lion", "puma", "emu"]), st.integers(3, 12), min_size=1), st.integers(0, 9))
@settings(deadline=None, max_examples=15)
def test_every_class_of_three_new_real_groups_is_in_every_set(classes, staged):
    rows = [row for label, number in classes.items() for row in many(label, number)]
    rows += many("lion", staged, origin="staged")
    assigned = assign(curated(*rows))
    real = assigned.images[assigned.images["origin"] == "real"].groupby("label")["set"].agg(set)
    assert all(real[label] == {"train", "val", "test"} for label in classes)


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    table = curated(*many("lion", 30), *many("puma", 9))
    for name in "ab":
        write_table(assign(table).images, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# Lineage and leakage


def in_sets(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """A splits table: name, look and set of each image."""
    table = curated(*({"image": name, "phash": look} for name, look, _ in rows))
    return table.assign(set=pd.Series([row[2] for row in rows], dtype="str"))


def refusal(today: pd.DataFrame, base: pd.DataFrame) -> str:
    with pytest.raises(LeakageError) as refused:
        lineage.refuse_overlaps(today, base, near_duplicate_distance=DISTANCE)
    assert refused.value.code == Exit.LEAKAGE == 5
    assert len(str(refused.value).splitlines()) <= 3
    return str(refused.value)


def test_clean_sets_pass():
    base = seen(("a", LION, "train"), ("b", phash("b"), "test"))
    today = in_sets(("a", LION, "train"), ("near", flip(LION, 1), "train"), ("b", phash("b"), "test"), ("c", "", "val"))
    lineage.refuse_overlaps(today, base, near_duplicate_distance=DISTANCE)
    assert lineage.overlaps(today, base, near_duplicate_distance=DISTANCE).empty
    lineage.refuse_overlaps(in_sets(), lineage.empty(), near_duplicate_distance=DISTANCE)


@pytest.mark.parametrize("to", ["val", "test", "benchmark:field"])
def test_an_image_that_an_ancestor_trained_on_is_refused_elsewhere(to):
    assert f"a (train -> {to})" in refusal(in_sets(("a", LION, to)), seen(("a", LION, "train")))


@pytest.mark.parametrize("role", ["val", "test", "benchmark:field"])
def test_an_image_that_an_ancestor_was_scored_on_is_refused_in_training(role):
    assert f"a ({role} -> train)" in refusal(in_sets(("a", LION, "train")), seen(("a", LION, role)))


def test_a_new_near_duplicate_of_another_side_is_refused():
    assert "new (train -> test)" in refusal(in_sets(("new", flip(LION, 7), "test")), seen(("old", LION, "train")))


def test_a_new_image_hidden_behind_another_of_equal_look_is_found():
    today = in_sets(("first", LION, "train"), ("second", LION, "test"))
    assert "second (train -> test)" in refusal(today, seen(("old", LION, "train")))


def test_two_new_near_duplicates_in_two_sets_are_refused():
    said = refusal(in_sets(("a", LION, "train"), ("b", flip(LION, 3), "benchmark:field")), lineage.empty())
    assert "2 images" in said
    assert "b (train -> benchmark:field)" in said


def test_equal_content_in_two_sets_is_refused():
    today = in_sets(("a", "", "train"), ("b", "", "test")).assign(sha256=sha("one"))
    assert "a (test -> train)" in refusal(today, lineage.empty())


def test_near_duplicates_that_were_on_two_sides_always_stay_there():
    """As after a change of near_duplicate_distance: leaving both is right, moving either would leak."""
    rows = [("a", LION, "train"), ("b", flip(LION, 1), "test")]
    lineage.refuse_overlaps(in_sets(*rows), seen(*rows), near_duplicate_distance=DISTANCE)


def test_images_without_a_look_are_near_to_nothing():
    lineage.refuse_overlaps(in_sets(("a", "", "test")), seen(("b", "", "train")), near_duplicate_distance=16)


def test_a_benchmark_set_may_be_renamed():
    base = seen(("a", LION, "benchmark:field"))
    today = in_sets(("a", LION, "benchmark:hard"), ("b", flip(LION, 1), "benchmark:hard"))
    lineage.refuse_overlaps(today, base, near_duplicate_distance=DISTANCE)


def test_the_first_three_images_are_named_and_all_are_counted():
    names = [f"i{i}" for i in range(5)]
    said = refusal(
        in_sets(*[(name, phash(name), "test") for name in names]),
        seen(*[(name, phash(name), "train") for name in names]),
    )
    assert "5 images" in said
    assert "i2 (train -> test); ..." in said


def test_an_image_keeps_its_first_role_in_the_lineage():
    base = lineage.extend(lineage.empty(), in_sets(("a", LION, "train"), ("b", "", "benchmark:field")), round_=1)
    later = lineage.extend(base, in_sets(("b", "", "benchmark:hard"), ("c", "", "val")), round_=2)
    assert list(later) == lineage.COLUMNS
    assert later.set_index("sha256")["role"].to_dict() == {
        sha("a"): "train",
        sha("b"): "benchmark:field",
        sha("c"): "val",
    }
    assert later["sha256"].is_monotonic_increasing


def test_the_lineage_tells_from_which_round_to_which_an_image_was_used():
    base = lineage.extend(lineage.empty(), in_sets(("a", LION, "train"), ("b", "", "val")), round_=3)
    later = lineage.extend(base, in_sets(("b", "", "val"), ("c", "", "test")), round_=4)
    rounds_ = later.set_index("sha256")[["first_round", "last_round"]].loc[[sha("a"), sha("b"), sha("c")]]
    assert rounds_.to_numpy().tolist() == [[3, 3], [3, 4], [4, 4]]


def test_what_people_keep_together_stays_on_its_side_when_its_first_images_are_gone():
    """The first members of a burst are on one side; when they have left the library, later ones still go there."""
    first = assign(curated(*({"image": f"a{i}", "together": f"burst {i}"} for i in range(9))))
    base = lineage.extend(lineage.empty(), first.images, round_=1)
    later = assign(curated(*({"image": f"b{i}", "together": f"burst {i}"} for i in range(9))), base)
    assert [sets(later)[f"b{i}"] for i in range(9)] == [sets(first)[f"a{i}"] for i in range(9)]


def test_the_leakage_report_accounts_for_every_image_that_a_model_has_seen():
    base = seen(("a", LION, "train"), ("b", phash("b"), "test"), ("gone", phash("gone"), "train"))
    assigned = assign(curated({"image": "a", "phash": LION}, {"image": "b"}, *many("emu", 9)), base)
    told = splits.leakage(assigned.images, base, assigned.left_out)
    assert told["lineage_images"] == 3 == sum(told["kept_their_set"].values()) + sum(told["not_used_today"].values())
    assert sum(told["new"].values()) == 9
    assert told["changed_sides"] == 0
