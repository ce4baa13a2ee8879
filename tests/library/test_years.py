"""Random histories: ten rounds of curation, class events and splits, as years of work would have them."""

from contextlib import suppress

import pandas as pd
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.library import classes, curation, lineage, splits
from tests.library.builders import benchmark_table, flip, label_table, library_table, phash, sha

DISTANCE = 4
PLACE = st.integers(0, 10_000)
CUTOFF = {"min_images": 3, "max_images": 12, "max_per_group": 2}
LAX = {"min_side": 1, "min_brightness": 0, "min_contrast": 0, "min_sharpness": 0, "max_aspect_ratio": 100}

YEAR = st.fixed_dictionaries(
    {
        "new": st.lists(st.tuples(st.sampled_from(["lion", "puma", "emu"]), st.sampled_from(["", "cub"])), max_size=9),
        "staged": st.integers(0, 2),
        "like": st.lists(st.tuples(PLACE, st.integers(1, 3)), max_size=3),
        "copies": st.lists(PLACE, max_size=2),
        "relabelled": st.lists(PLACE, max_size=2),
        "together": st.lists(PLACE, max_size=3),
        "gone": st.lists(PLACE, max_size=4),
        "benchmark": st.booleans(),
        "min_images": st.integers(3, 5),
        "event": st.sampled_from(
            [
                None,
                ("rename", "puma", "cougar"),
                ("merge", "emu", "bird"),
                ("retire", "lion"),
                ("split", "lion/cub", "cub"),
                "undo",
            ]
        ),
    }
)


class Library:
    """A library that people keep for years; a table of its images, and the class events so far."""

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.benchmark: list[str] = []
        self.events = classes.none()

    def live(self, number: int, year: dict) -> set[str]:
        """One round's changes; returns the names of images whose files are away this round."""
        for i, (label, subclass) in enumerate(year["new"]):
            origin = "staged" if i < year["staged"] else "real"
            self.add(f"{number}-{i}", phash(f"{number}-{i}"), label, subclass=subclass, origin=origin)
        for i, (place, bits) in enumerate(year["like"]):
            if self.rows:
                other = self.rows[place % len(self.rows)]
                self.add(f"{number}-like{i}", flip(other["phash"], *range(number, number + bits)), other["label"])
        for i, place in enumerate(year["copies"]):
            if self.rows:
                other = self.rows[place % len(self.rows)]
                self.add(f"{number}-copy{i}", other["phash"], other["label"], sha256=other["sha256"])
        if year["benchmark"]:
            self.add(f"{number}-benchmark", phash(f"{number}-benchmark"), "")
            self.benchmark.append(self.rows[-1]["image"])
        if self.rows:
            for place in year["relabelled"]:
                row = self.rows[place % len(self.rows)]
                row["label"] = "puma" if row["label"] else ""
            for place in year["together"]:
                self.rows[place % len(self.rows)]["group"] = f"burst {number}"
        self.decide(year["event"])
        return {self.rows[place % len(self.rows)]["image"] for place in year["gone"]} if self.rows else set()

    def add(self, name: str, look: str, label: str, **more: str) -> None:
        row = {"image": f"library/{name}", "phash": look, "label": label, "sha256": sha(name), "group": ""}
        self.rows.append({**row, "subclass": "", "origin": "real"} | more)

    def decide(self, event: "tuple[str, ...] | str | None") -> None:
        table = self.events.events
        if event == "undo":
            self.events = classes.check(table.iloc[:-1], "classes.csv")
        elif event:
            row = dict(zip(["event", "class", "to"], [*event, ""][:3], strict=True))
            together = pd.concat([table, pd.DataFrame([row])], ignore_index=True).fillna("")
            with suppress(DataError):  # it contradicts an earlier one: people would be told, and leave it
                self.events = classes.check(together, "classes.csv")

    def tables(self, away: set[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        said = ["image", "label", "subclass", "origin", "group"]
        named = label_table(*({key: row[key] for key in said} for row in self.rows if row["label"]))
        here = [row for row in self.rows if row["image"] not in away or row["image"] in self.benchmark]
        index = library_table(*({key: row[key] for key in ("image", "sha256", "phash")} for row in here))
        return self.events.apply(named), index, benchmark_table(*self.benchmark)


@given(st.lists(YEAR, min_size=10, max_size=10))
@settings(
    deadline=None, max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking takes minutes
def test_through_years_of_changes_no_score_can_lie(years):
    library, base, roles = Library(), lineage.empty(), {}
    for number, year in enumerate(years, 1):
        away = library.live(number, year)
        labelled, index, benchmark = library.tables(away)
        if index.empty:
            continue
        curated = curation.curate(
            labelled, index, benchmark, base, near_duplicate_distance=DISTANCE, chain_distance=12,
            retired=library.events.retired, **CUTOFF | LAX | {"min_images": year["min_images"]},
        )  # fmt: skip
        assert sorted([*curated.images["image"], *curated.excluded["image"]]) == sorted(index["image"])
        assert (curated.excluded["reason"] != "").all()
        assert not curated.images["label"].isin(library.events.retired).any()
        assert curated.images["label"].value_counts().max() <= 12 if len(curated.images) else True

        assigned = splits.assign(
            curated.images, base, val=0.2, test=0.2, salt="years", near_duplicate_distance=DISTANCE
        )
        images = assigned.images
        assert sorted([*images["image"], *assigned.left_out["image"]]) == sorted(curated.images["image"])
        for sha256, role in zip(images["sha256"], images["set"], strict=True):
            assert roles.setdefault(sha256, role) == role, "an image has changed sides"
        new = ~images["sha256"].isin(base["sha256"])
        for group in images.loc[new, "group"].unique():
            assert images.loc[images["group"] == group, "set"].nunique() == 1, "a group is cut"

        missing = splits.unmeasured(images)
        counts = images.groupby("label")["set"].agg(set)
        for label, found in counts.items():
            for name in splits.SETS:
                assert name in found or label in missing[name]

        marked = index[index["image"].isin(benchmark["image"])].assign(set="benchmark:field")
        marked = marked.assign(**dict.fromkeys(["group", "together", *lineage.TIES], ""))
        today = pd.concat([images, marked], ignore_index=True)
        lineage.refuse_overlaps(today, base, near_duplicate_distance=DISTANCE)
        told = splits.leakage(today, base, assigned.left_out)
        assert told["lineage_images"] == len(base)
        base = lineage.extend(base, today, round_=number)
