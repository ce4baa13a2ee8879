import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.files import write_table
from pipeline.library import curation, lineage
from pipeline.library.curation import Curated
from pipeline.library.exclusion import Reason
from tests.library.builders import benchmark_table, flip, label_table, library_table, phash, sha

LAX = {
    "min_images": 1, "max_images": 100, "near_duplicate_distance": 4, "chain_distance": 64, "max_per_group": 3,
    "min_side": 1, "min_brightness": 0, "min_contrast": 0, "min_sharpness": 0, "max_aspect_ratio": 100,
}  # fmt: skip


def curate(
    library: list[dict],
    labelled: list[dict],
    benchmark: tuple[str, ...] = (),
    seen: pd.DataFrame | None = None,
    **settings_,
) -> Curated:
    return curation.curate(
        label_table(*labelled),
        library_table(*library),
        benchmark_table(*benchmark),
        lineage.empty() if seen is None else seen,
        **LAX | settings_,
    )


def lineage_of(**roles: str) -> pd.DataFrame:
    """A base that has seen the images library/NAME in these roles."""
    rows = library_table(*({"image": f"library/{name}"} for name in roles)).assign(group="", together="")
    rows = rows.assign(burst="", evidence="")
    return lineage.extend(lineage.empty(), rows.assign(set=list(roles.values())), round_=1)


def shelf(**rows: dict) -> tuple[list[dict], list[dict]]:
    """Index and label rows of the images library/NAME; facts of the file and of the label may be mixed."""
    of_label = {"label", "subclass", "origin", "group", "status"}
    library, labelled = [], []
    for name, row in rows.items():
        said = {key: value for key, value in row.items() if key in of_label}
        library.append({"image": f"library/{name}"} | {k: v for k, v in row.items() if k not in of_label})
        if said:
            labelled.append({"image": f"library/{name}"} | said)
    return library, labelled


def reasons(curated: Curated) -> dict[str, str]:
    names = curated.excluded["image"].str.removeprefix("library/")
    return dict(zip(names, curated.excluded["reason"], strict=True))


def kept(curated: Curated) -> set[str]:
    return set(curated.images["image"].str.removeprefix("library/"))


def many(label: str, number: int, **more) -> dict[str, dict]:
    return {f"{label}{i:03d}{more.get('origin', '')}": {"label": label} | more for i in range(number)}


LION = phash("lion")


def test_a_benchmark_image_its_copies_and_its_near_duplicates_are_not_learnt_from():
    rows = shelf(
        a={"label": "lion", "phash": LION},
        near={"label": "lion", "phash": flip(LION, 1)},
        chained={"label": "lion", "phash": flip(LION, 1, 2, 3, 4, 5)},
        copy={"label": "lion", "sha256": sha("library/a"), "phash": ""},
        far={"label": "lion"},
    )
    curated = curate(*rows, benchmark=("library/a",))
    assert reasons(curated) == dict.fromkeys(["a", "near", "chained", "copy"], "benchmark")
    assert kept(curated) == {"far"}


def test_a_benchmark_image_needs_no_label_and_may_be_broken():
    rows = shelf(
        a={},
        b={"failure": "missing", "sha256": "", "phash": ""},
        c={"label": "lion"},
        d={"sha256": "", "phash": "", "failure": "missing"},
    )
    assert reasons(curate(*rows, benchmark=("library/a", "library/b"))) == {
        "a": "benchmark",
        "b": "benchmark",
        "d": "unreadable",
    }


def test_an_unreadable_image_says_why():
    curated = curate(*shelf(a={"label": "lion", "failure": "not a picture", "phash": ""}, b={"label": "lion"}))
    assert curated.excluded[["reason", "detail"]].to_numpy().tolist() == [["unreadable", "not a picture"]]


def test_broken_files_are_not_near_duplicates_of_each_other():
    broken = {"failure": "missing", "sha256": "", "phash": ""}
    curated = curate(*shelf(a={"label": "lion"} | broken, b={"label": "tapir"} | broken, c={"label": "lion"}))
    assert reasons(curated) == {"a": "unreadable", "b": "unreadable"}


def test_an_image_nobody_labelled_is_unlabelled():
    assert reasons(curate(*shelf(a={}, b={"label": "lion"}))) == {"a": "unlabelled"}


def test_a_status_that_people_gave_excludes_an_image():
    rows = shelf(a={"status": "unknown"}, b={"label": "lion", "status": "bad"}, c={"label": "lion"})
    assert reasons(curate(*rows)) == {"a": "unknown", "b": "bad"}


def test_near_duplicates_with_two_labels_wait_for_a_person():
    rows = shelf(
        a={"label": "lion", "phash": LION},
        b={"label": "puma", "phash": flip(LION, 9)},
        c={"label": "lion"},
        d={"label": "puma"},
    )
    curated = curate(*rows)
    assert reasons(curated) == {"a": "label conflict", "b": "label conflict"}
    assert set(curated.excluded["detail"]) == {"lion / puma"}
    assert kept(curated) == {"c", "d"}


def test_a_slash_in_a_classs_name_is_no_conflict():
    curated = curate(
        *shelf(a={"label": "wolf / dog", "phash": LION}, b={"label": "wolf / dog", "phash": flip(LION, 1)})
    )
    assert kept(curated) == {"a", "b"}


@pytest.mark.parametrize("status", ["bad", "unknown"])
def test_what_people_took_out_is_in_conflict_with_nothing(status):
    rows = shelf(a={"label": "lion", "phash": LION}, b={"label": "puma", "phash": LION, "status": status})
    assert kept(curate(*rows)) == {"a"}


def test_images_kept_together_by_people_may_have_several_labels():
    """A site's pictures show many animals; only pictures that look the same contradict each other."""
    curated = curate(
        *shelf(a={"label": "lion", "group": "site 1"}, b={"label": "puma", "group": "site 1"}, c={"label": "puma"})
    )
    assert kept(curated) == {"a", "b", "c"}
    groups = curated.images.set_index("image")["group"]
    assert groups["library/a"] == groups["library/b"] != groups["library/c"]


def test_of_equal_contents_one_is_kept_and_named():
    one = {"label": "lion", "sha256": sha("one"), "phash": LION}
    curated = curate(*shelf(b=one, a=one, c=one))
    assert kept(curated) == {"a"}
    assert set(curated.excluded["detail"]) == {"same content as library/a"}


def test_of_near_duplicates_some_are_kept_real_and_large_first():
    looks = {"label": "lion", "phash": LION}
    rows = shelf(
        a=looks | {"origin": "staged", "width": 999}, b=looks, c=looks | {"width": 128}, d=looks, e={"label": "lion"}
    )
    curated = curate(*rows, max_per_group=2)
    assert kept(curated) == {"b", "c", "e"}
    assert set(reasons(curated).values()) == {"duplicate"}


def test_a_class_at_the_cutoff_is_kept_and_one_below_is_not():
    curated = curate(*shelf(**many("lion", 5), **many("tapir", 4)), min_images=5)
    assert set(curated.images["label"]) == {"lion"}
    assert set(curated.excluded["reason"]) == {"below the cutoff"}
    assert set(curated.excluded["detail"]) == {"short by 1"}


def test_near_duplicates_count_once_for_the_cutoff():
    twin = {"phash": phash("lion000")}
    rows = many("lion", 5)
    rows["lion001"] |= twin
    rows["lion000"] |= twin
    assert set(reasons(curate(*shelf(**rows), min_images=5)).values()) == {"below the cutoff"}


def test_what_is_excluded_before_does_not_count_for_the_cutoff():
    rows = many("lion", 5)
    rows["lion003"]["status"] = "bad"
    curated = curate(*shelf(**rows), min_images=5)
    assert curated.board.loc[0, "groups"] == 4
    assert sorted(set(reasons(curated).values())) == ["bad", "below the cutoff"]


def test_above_the_upper_cutoff_real_images_stay_before_staged_before_synthetic():
    animals = {**many("lion", 3), **many("lion", 3, origin="staged"), **many("lion", 3, origin="synthetic")}
    for number, origins in [(9, [3, 3, 3]), (7, [3, 3, 1]), (5, [3, 2, 0]), (2, [2, 0, 0])]:
        curated = curate(*shelf(**animals), max_images=number)
        counts = curated.images["origin"].value_counts()
        assert [counts.get(origin, 0) for origin in ("real", "staged", "synthetic")] == origins
        assert set(curated.excluded["reason"]) <= {"above the cutoff"}


def test_the_upper_cutoff_is_spread_over_sub_classes():
    rows = {
        f"{sub}{i}": {"label": "lion", "subclass": sub}
        for sub, n in {"cub": 3, "day": 30, "night": 30}.items()
        for i in range(n)
    }
    counts = curate(*shelf(**rows), max_images=15).images["subclass"].value_counts()
    assert counts.to_dict() == {"cub": 3, "day": 6, "night": 6}


def test_a_new_image_hardly_changes_which_images_the_upper_cutoff_keeps():
    rows = many("lion", 60)
    before = kept(curate(*shelf(**rows), max_images=30))
    after = kept(curate(*shelf(**rows, newcomer={"label": "lion"}), max_images=30))
    assert len(before & after) >= 29


def in_bursts(curated_rows: tuple[list[dict], list[dict]], size: int) -> pd.DataFrame:
    """Bursts of so many images each, in the order of their names."""
    images = sorted(row["image"] for row in curated_rows[1])
    names = [f"burst {place // size:03d}" for place in range(len(images))]
    return pd.DataFrame({"image": images, "burst": names, "evidence": "names in sequence"}, dtype="str")


def test_nothing_is_excluded_for_being_in_a_burst_and_two_labels_in_one_are_no_conflict():
    rows = shelf(**many("lion", 6), **many("puma", 6))
    curated = curate(*rows, bursts=in_bursts(rows, 4))
    assert len(curated.images) == 12
    assert curated.images["burst"].nunique() == 3


def test_the_upper_cutoff_drops_the_most_redundant_frames_first():
    rows = shelf(**many("lion", 40))
    curated = curate(*rows, max_images=10, bursts=in_bursts(rows, 4))
    assert curated.images["burst"].value_counts().tolist() == [1] * 10


def test_the_lower_cutoff_may_count_bursts():
    rows = shelf(**many("lion", 40))
    kept_by = [
        len(curate(*rows, min_images=11, bursts=in_bursts(rows, 4), count=by).images) for by in ("images", "bursts")
    ]
    assert kept_by == [40, 0]


def test_a_new_image_of_a_burst_that_a_benchmark_measures_is_not_trained_on():
    rows = shelf(**many("lion", 8))
    tied = in_bursts(rows, 4)
    curated = curate(*rows, benchmark=(tied["image"][0],), bursts=tied)
    excluded = curated.excluded.set_index("image")
    assert set(excluded.index) == set(tied["image"][:4])
    assert excluded["detail"].tolist()[1:] == ["an image of the same burst is in a benchmark set"] * 3


def test_nothing_to_curate_is_no_error():
    curated = curate([], [])
    assert (len(curated.images), len(curated.excluded), len(curated.board)) == (0, 0, 0)
    assert list(curated.images) == curation.COLUMNS


@st.composite
def tables(draw) -> tuple[list[dict], list[dict], tuple[str, ...]]:
    """Small libraries in which contents, looks, labels, faults and benchmarks meet by chance."""
    looks = [phash(i) for i in range(3)]
    library, labelled, benchmark = [], [], []
    for i in range(draw(st.integers(0, 14))):
        image = f"library/{i:02d}"
        row: dict = {"image": image}
        if draw(st.integers(0, 9)) == 0:
            row |= {"failure": "missing", "sha256": "", "phash": ""}
        else:
            content = draw(st.integers(0, 9))
            look = looks[content % 4] if content % 4 < 3 else ""
            row |= {"sha256": sha(content), "phash": flip(look, *range(content // 4)) if look else ""}
        library.append(row)
        status = draw(st.sampled_from(["ok", "ok", "ok", "ok", "unknown", "bad", ""]))
        if status:
            label = draw(st.sampled_from(["lion", "puma", "a / b"]))
            group = draw(st.sampled_from(["", "", "site 1", "site 2"]))
            origin = draw(st.sampled_from(["real", "staged", "synthetic"]))
            labelled.append({"image": image, "label": label, "group": group, "origin": origin, "status": status})
        if draw(st.integers(0, 14)) == 0:
            benchmark.append(image)
    return library, labelled, tuple(benchmark)


CUTOFFS = st.fixed_dictionaries(
    {"min_images": st.integers(1, 3), "max_images": st.integers(3, 5), "max_per_group": st.integers(1, 3)}
)


@given(tables(), CUTOFFS)
@settings(deadline=None, max_examples=40)
def test_what_came_in_is_kept_or_excluded_with_a_reason(rows, cutoffs):
    library, labelled, benchmark = rows
    curated = curate(library, labelled, benchmark, **cutoffs)
    images = [*curated.images["image"], *curated.excluded["image"]]
    assert sorted(images) == sorted(row["image"] for row in library)
    assert (curated.excluded["reason"] != "").all()
    assert not set(curated.images["image"]) & set(benchmark)
    assert curated.images["sha256"].is_unique
    assert (curated.images["label"] != "").all()
    assert (curated.images["group"] != "").all()
    assert (curated.images.groupby("label").size() <= cutoffs["max_images"]).all()
    assert curated.images.notna().all(axis=None)
    assert curated.excluded.notna().all(axis=None)


@given(tables(), CUTOFFS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=12)
def test_the_order_of_the_rows_changes_nothing(tmp_path_factory, rows, cutoffs, random):
    library, labelled, benchmark = rows
    folder = tmp_path_factory.mktemp("curated")
    for name in ("a", "b"):
        curated = curate(library, labelled, benchmark, **cutoffs)
        for table in ("images", "excluded", "board"):
            write_table(getattr(curated, table), folder / f"{table}-{name}")
        random.shuffle(library)
        random.shuffle(labelled)
    for table in ("images", "excluded", "board"):
        assert (folder / f"{table}-a").read_bytes() == (folder / f"{table}-b").read_bytes()


def test_the_columns_are_those_the_next_stages_read():
    curated = curate(*shelf(a={"label": "lion"}, b={}))
    columns = ["image", "sha256", "phash", "group", "together", "label", "subclass", "origin", "burst", "evidence"]
    assert list(curated.images) == columns
    assert {"image", "reason"} <= set(curated.excluded)
    assert isinstance(curated.board, pd.DataFrame)


# Rules of quality, chains, conflicts that are settled, and choices that stick


def test_a_picture_of_no_use_is_excluded_with_its_reason():
    rows = shelf(
        a={"label": "lion", "width": 8},
        b={"label": "lion", "brightness": 0.01},
        c={"label": "lion", "contrast": 0.001},
        d={"label": "lion", "sharpness": 0.001},
        e={"label": "lion", "width": 900, "height": 100},
        f={"label": "lion"},
    )
    strict = {"min_side": 16, "min_brightness": 0.1, "min_contrast": 0.01, "min_sharpness": 0.01, "max_aspect_ratio": 5}
    curated = curate(*rows, **strict)
    assert kept(curated) == {"f"}
    assert set(reasons(curated).values()) == {
        "too small", "too dark", "near-blank", "blurred", "odd aspect ratio",
    }  # fmt: skip


def test_an_image_that_a_model_was_tested_on_is_never_cleaned_away():
    rows = shelf(a={"label": "lion", "width": 8}, b={"label": "lion", "width": 8})
    assert kept(curate(*rows, seen=lineage_of(a="test", b="train"), min_side=16)) == {"a"}


def test_the_images_of_a_retired_class_are_kept_out():
    rows = shelf(a={"label": "lion"}, b={"label": "emu"})
    assert reasons(curate(*rows, retired=frozenset({"emu"}))) == {"b": "retired class"}


def test_a_class_may_have_a_lower_cutoff_of_its_own():
    rows = shelf(**many("lion", 4), **many("emu", 2))
    assert len(curate(*rows, min_images=3, cutoffs={"emu": 2}).images) == 6
    assert len(curate(*rows, min_images=3, cutoffs={"lion": 5, "emu": 2}).images) == 2


def test_near_duplicates_that_people_looked_at_may_have_two_labels():
    rows = shelf(a={"label": "lion", "phash": LION}, b={"label": "puma", "phash": flip(LION, 9)})
    assert kept(curate(*rows, settled=frozenset({"library/a"}))) == set()
    assert kept(curate(*rows, settled=frozenset({"library/a", "library/b"}))) == {"a", "b"}


def test_the_same_bytes_under_two_labels_are_a_conflict_whatever_people_say():
    rows = shelf(a={"label": "lion", "sha256": sha("x")}, b={"label": "puma", "sha256": sha("x")})
    curated = curate(*rows, settled=frozenset({"library/a", "library/b"}))
    assert reasons(curated) == {"a": "label conflict", "b": "label conflict"}


def test_a_chain_is_cut_and_what_held_it_together_is_named():
    links = [flip(LION, *range(4 * i)) for i in range(6)]
    rows = shelf(
        **{f"link{i}": {"label": "lion", "phash": link} for i, link in enumerate(links)}, far={"label": "lion"}
    )
    whole, cut = curate(*rows, max_per_group=9), curate(*rows, max_per_group=9, chain_distance=8)
    assert whole.images["group"].nunique() == 2
    assert set(reasons(cut).values()) == {"chain"}
    assert cut.images["group"].nunique() > 2


def test_of_near_duplicates_the_one_that_a_model_was_tested_on_is_kept():
    rows = shelf(
        a={"label": "lion", "phash": LION, "width": 900},
        b={"label": "lion", "phash": flip(LION, 1)},
    )
    seen = lineage_of(b="test")
    assert kept(curate(*rows, max_per_group=1)) == {"a"}
    assert kept(curate(*rows, max_per_group=1, seen=seen)) == {"b"}


def test_above_the_cutoff_what_was_kept_before_is_kept_again():
    first = curate(*shelf(**many("lion", 8)), max_images=4)
    roles = dict(
        zip((name.removeprefix("library/") for name in first.images["image"]), ["train"] * 3 + ["test"], strict=True)
    )
    again = curate(*shelf(**many("lion", 30)), max_images=4, seen=lineage_of(**roles))
    assert kept(again) == kept(first)


def test_a_lower_cutoff_leaves_a_class_images_of_every_side():
    roles = {f"lion{i}": role for i, role in enumerate(["test"] * 6 + ["val"] * 6 + ["train"] * 28)}
    animals = {name: {"label": "lion"} for name in roles} | {"newcomer": {"label": "lion"}}
    left = kept(curate(*shelf(**animals), max_images=10, seen=lineage_of(**roles)))
    counts = pd.Series([roles[name] for name in left]).value_counts().to_dict()
    assert set(counts) == {"test", "val", "train"}
    assert counts["train"] >= 6


def test_above_the_cutoff_near_duplicates_go_before_real_images_and_after_staged_ones():
    near = {f"near{i}": {"label": "lion", "phash": flip(LION, i)} for i in range(3)}
    staged = many("lion", 2, origin="staged")
    rows = shelf(**near, **staged, **many("lion", 4))
    assert {name[:4] for name in kept(curate(*rows, max_images=5))} == {"near", "lion"}
    assert len([name for name in kept(curate(*rows, max_images=5)) if name.startswith("near")]) == 1
    assert not any("staged" in name for name in kept(curate(*rows, max_images=7)))


def test_what_is_near_to_a_benchmark_image_is_not_learnt_from_even_where_that_image_holds_a_chain_together():
    links = [flip(LION, *range(4 * i)) for i in range(7)]
    rows = shelf(
        **{f"link{i}": {"label": "lion", "phash": link} for i, link in enumerate(links)}, far={"label": "lion"}
    )
    for i in range(7):
        curated = curate(*rows, benchmark=(f"library/link{i}",), max_per_group=9, chain_distance=8)
        beside = {f"link{i - 1}", f"link{i + 1}"} & {f"link{j}" for j in range(7)}
        assert not beside & kept(curated)


def test_a_bridge_that_a_model_was_tested_on_stays():
    links = [flip(LION, *range(4 * i)) for i in range(6)]
    rows = shelf(**{f"link{i}": {"label": "lion", "phash": link} for i, link in enumerate(links)})
    bridges = [name for name, reason in reasons(curate(*rows, chain_distance=8)).items() if reason == "chain"]
    seen = lineage_of(**dict.fromkeys(bridges, "test"))
    assert set(bridges) <= kept(curate(*rows, chain_distance=8, seen=seen, max_per_group=9))


def replaced(**more: str) -> tuple[list[dict], list[dict]]:
    """Three lions, one of whose files (b) was replaced since it was labelled by ann."""
    library = [{"image": f"library/{name}"} for name in "abc"]
    told = {"label": "lion", "by": "ann", "at": "2026-03-01", "subclass": "cub", "group": "g", "origin": "staged"}
    labelled = [{"image": f"library/{name}", "sha256": sha(f"library/{name}")} | told for name in "abc"]
    labelled[1] |= {"sha256": "1234" + sha("then")[4:]} | more
    return library, labelled


def test_an_image_with_another_content_than_was_labelled_is_excluded_by_that_name_and_counts_for_no_class():
    found = curate(*replaced())
    assert reasons(found) == {"b": Reason.OTHER_CONTENT}
    assert found.board.set_index("label").loc["lion", "images"] == 2
    row = found.excluded.iloc[0]
    assert row[["label", "subclass", "together", "origin", "label_then"]].tolist() == ["", "", "", "real", "lion"]
    assert row["detail"].startswith("the content 1234")
    assert row["detail"].endswith("was called lion by ann at 2026-03-01")


def test_a_status_too_was_given_to_a_content_and_one_without_a_content_counts_as_before():
    found = curate(*replaced(status="bad", label=""))
    assert reasons(found) == {"b": Reason.OTHER_CONTENT}
    assert found.excluded["detail"].iloc[0].endswith("was called bad by ann at 2026-03-01")
    assert reasons(curate(*replaced(sha256=""))) == {}


@pytest.mark.parametrize("look", ["same content", "near"])
def test_a_replaced_image_is_in_conflict_with_nothing_and_takes_no_other_s_place(look):
    library, labelled = replaced()
    library[1] |= {"phash": phash("library/a")}
    library[0] |= {"phash": phash("library/a")}
    if look == "same content":
        library[1]["sha256"] = sha("library/a")
    labelled[1]["label"] = "emu"
    assert reasons(curate(library, labelled, max_per_group=1)) == {"b": Reason.OTHER_CONTENT}


def test_a_benchmark_image_whose_file_was_replaced_says_that_it_is_not_measured():
    library, _ = replaced()
    listed = benchmark_table("library/a", "library/b").assign(sha256=[sha("library/a"), sha("then")])
    found = curation.curate(label_table(), library_table(*library), listed, lineage.empty(), **LAX)
    detail = found.excluded.set_index("image")["detail"]
    assert detail[["library/a", "library/b"]].tolist() == ["", f"not measured: {Reason.OTHER_CONTENT}"]


def test_a_group_by_hash_of_different_contents_is_named_with_images_and_not_thinned():
    look = {"label": "lion", "phash": phash("one look")}
    curated = curate(*shelf(**{f"{n:02d}": look for n in range(12)}), confirm=lambda *_, **__: np.empty((0, 2), int))
    assert len(curated.images) == 12
    (group,) = curated.apart["largest"]
    assert (group["images"], group["contents"], len(group["shown"])) == (12, 12, 8)
    assert (group["shown"][0], group["shown"][-1]) == ("library/00", "library/11")
