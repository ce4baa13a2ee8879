import hashlib
import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.pages import contact_sheets, dataset, dataset_tables
from pipeline.pages.contact_sheets import Strip
from tests.pages.browser import CHROMIUM, NASTY, Elements, in_a_browser

IMAGES = ["image", "sha256", "group", "label", "subclass", "origin", "set"]
EXCLUDED = ["image", "group", "label", "subclass", "origin", "reason", "detail"]
CHANGES = ["image", "change", "label", "was", "detail"]
FLAGGED = ["image", "flag", "score", "detail"]


def jpeg(width: int = 32, height: int = 24, colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def picture(image: str) -> bytes:
    return b"" if "broken" in image else jpeg()


def kept(*images: str, label: str = "gnu", set_: str = "train", group: str = "", **more: str) -> pd.DataFrame:
    """Images of a class in a set, each with a content of its own."""
    rows = [
        {"image": image, "sha256": hashlib.sha256(image.encode()).hexdigest(), "group": group, "label": label}
        | {"subclass": "", "origin": "real", "set": set_}
        | more
        for image in images
    ]
    return pd.DataFrame(rows, columns=IMAGES)


def excluded(*images: str, reason: str = "bad", label: str = "gnu", group: str = "", detail: str = "") -> pd.DataFrame:
    rows = [(image, group, label, "", "real", reason, detail) for image in images]
    return pd.DataFrame(rows, columns=EXCLUDED)


def board(**groups: int) -> pd.DataFrame:
    """Classes of so many groups, against a cutoff of 40."""
    rows = [
        {"label": label, "images": number, "groups": number, "real": number, "staged": 0, "synthetic": 0}
        | {"cutoff": 40, "short_by": max(0, 40 - number), "grew": 0, "wholly_staged": False}
        | {"standing": "in" if number >= 40 else "near" if number >= 30 else "below"}
        for label, number in groups.items()
    ]
    columns = [*dataset_tables.BOARD_COLUMNS, "staged_share"]
    return pd.DataFrame(rows, columns=columns)


def changed(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=CHANGES)


def flagged(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=FLAGGED)


def write(folder: Path, **given: object) -> str:
    """The page, of empty tables but for those given."""
    values: dict = {
        "title": "Data set of round 12",
        "facts": {"Base": "3f9a1c"},
        "board": board(),
        "images": kept(),
        "excluded": excluded(),
        "changes": changed(),
        "flagged": flagged(),
        "picture": picture,
    }
    dataset.write(folder, **(values | given))
    return (folder / "index.html").read_text()


def data_in(page: str) -> dict:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert text
    return json.loads(text[1])


def rows_of(table: dict) -> list[dict]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def samples(*tables: pd.DataFrame, limit: int, left_out: pd.DataFrame | None = None) -> list[tuple]:
    images = pd.concat(tables)
    everything = dataset_tables.everything(images, excluded() if left_out is None else left_out)
    label = [*images["label"], "gnu"][0]
    rows = dataset_tables.classes(board(**{label: 40}), images, everything, sets=["train"], max_samples=limit)
    return rows["samples"].iloc[0]


def test_kept_and_excluded_add_up_to_all_images(tmp_path: Path):
    images = pd.concat([kept("a", "b"), kept("c", set_="val"), kept("d", set_="benchmark:field"), kept("e", set_="")])
    text = Elements(write(tmp_path, images=images, excluded=excluded("f", "g"))).text
    assert "3 kept + 4 excluded = 7 images" in text


def test_an_image_of_a_benchmark_that_curation_names_too_counts_once(tmp_path: Path):
    images = pd.concat([kept("a"), kept("b", set_="benchmark:field"), kept("b", set_="benchmark:hard")])
    page = write(tmp_path, images=images, excluded=excluded("b", reason="benchmark"))
    assert "1 kept + 1 excluded = 2 images" in Elements(page).text
    assert data_in(page)["totals"]["reason"] == {"benchmark": 1}


def test_an_image_left_out_of_the_sets_is_excluded_with_that_reason(tmp_path: Path):
    page = write(tmp_path, images=kept("a", set_=""), excluded=excluded())
    assert [row["reason"] for row in rows_of(data_in(page)["excluded"])] == ["left out of the sets"]


def test_the_page_leads_with_the_classes_near_the_cutoff(tmp_path: Path):
    page = write(tmp_path, images=kept("a"), board=board(lion=50, gnu=38, emu=31))
    assert "1 of 1 image is kept; gnu and emu are near the cutoff." in Elements(page).text


def test_classes_near_the_cutoff_come_first_and_retired_ones_last():
    rows = board(lion=50, okapi=3, gnu=31, dodo=45, emu=39)
    rows.loc[rows["label"] == "dodo", "standing"] = "retired"
    everything = dataset_tables.everything(kept(), excluded())
    classes = dataset_tables.classes(rows, kept(), everything, sets=["train"], max_samples=8)
    assert list(classes["label"]) == ["emu", "gnu", "okapi", "lion", "dodo"]


def test_a_class_knows_its_sets_sub_classes_and_exclusions(tmp_path: Path):
    images = pd.concat(
        [kept("a", "b", subclass="blue"), kept("c", subclass="black"), kept("d", set_="benchmark:field")]
    )
    page = write(tmp_path, board=board(gnu=40), images=images, excluded=excluded("e", "f", reason="blurred"))
    (row,) = rows_of(data_in(page)["classes"])
    assert (row["train"], row["val"], row["benchmark:field"]) == (3, 0, 1)
    assert row["subclasses"] == [["blue", 2], ["black", 1]]
    assert row["reasons"] == [["blurred", 2], ["benchmark", 1]]


def test_samples_are_the_same_however_the_rows_stand_and_whatever_the_files_are_called():
    images = kept(*map(str, range(30)))
    renamed = images.assign(image="elsewhere/" + images["image"])
    chosen = [row[0] for row in samples(images, limit=5)]
    assert chosen == [row[0] for row in samples(images.iloc[::-1], limit=5)]
    assert [f"elsewhere/{image}" for image in chosen] == [row[0] for row in samples(renamed, limit=5)]


def test_samples_are_spread_over_sub_classes_and_origins():
    many = kept(*map(str, range(50)), subclass="blue")
    few = [kept("b1", subclass="black"), kept("b2", subclass="black", origin="staged"), kept("w", subclass="white")]
    chosen = samples(many, *few, limit=4)
    assert {row[1:3] for row in chosen} == {(s, "real") for s in ("blue", "black", "white")} | {("black", "staged")}


def test_samples_are_of_different_groups_as_long_as_there_are_any():
    burst = kept(*[f"burst-{number}" for number in range(9)], group="burst")
    images = {row[0] for row in samples(burst, kept("x", "y"), limit=3)}
    assert images >= {"x", "y"}


def test_a_class_below_the_cutoff_shows_the_images_it_has_and_none_with_a_fault():
    left_out = pd.concat([excluded("a", "b", reason="below the cutoff"), excluded("c", reason="blurred")])
    assert {row[0] for row in samples(kept(), limit=8, left_out=left_out)} == {"a", "b"}


def test_each_label_of_a_conflict_is_shown_however_many_images_another_has():
    lions = excluded(*[f"l{n}" for n in range(20)], reason="label conflict", label="lion", group="g")
    tables = [lions, excluded("p", reason="label conflict", label="puma", group="g")]
    (group,) = dataset_tables.conflicts(pd.concat(tables), limit=5)
    assert "puma" in {label for _, label, _ in group["shown"]}
    assert len(group["shown"]) + group["more"] == 21


def test_an_exact_duplicate_is_named_beside_its_original_and_needs_no_picture():
    same = excluded("copy", reason="duplicate", group="g", detail="same content as original")
    everything = dataset_tables.everything(kept("original", "other", group="joined"), same)
    (group,) = dataset_tables.duplicates(everything, limit=5)
    assert group["shown"] == [("original", "gnu", "kept")]
    assert (group["copies"], group["same"], group["near"]) == (["copy"], 1, 0)


def test_near_duplicates_stand_beside_what_is_kept_of_their_group():
    near = excluded("n1", "n2", reason="duplicate", group="g", detail="near-duplicates are kept already")
    (group,) = dataset_tables.duplicates(dataset_tables.everything(kept("k", group="g"), near), limit=5)
    assert [row[0::2] for row in group["shown"]] == [("k", "kept"), ("n1", "near-duplicate"), ("n2", "near-duplicate")]


def test_an_exact_duplicate_whose_original_is_in_no_table_is_shown_itself():
    lone = excluded("copy", reason="duplicate", detail="same content as nothing")
    (group,) = dataset_tables.duplicates(dataset_tables.everything(kept(), lone), limit=5)
    assert [row[0] for row in group["shown"]] == ["copy"]


def test_the_largest_groups_are_shown_and_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "MAX_PICTURED", 2)
    sizes = {"small": 2, "large": 4, "middle": 3}
    tables = [excluded(*[f"{g}{n}" for n in range(size)], reason="duplicate", group=g) for g, size in sizes.items()]
    page = write(tmp_path, excluded=pd.concat(tables))
    assert [row["near"] for row in data_in(page)["duplicates"]] == [4, 3]
    assert "9 images left out of 3 groups" in Elements(page).text
    assert "The 2 largest groups are shown." in Elements(page).text


def test_a_long_table_is_cut_in_turn_from_each_class():
    rows = pd.concat(
        [excluded(*map(str, range(50)), label="lion"), excluded("x", label="emu"), excluded("y", reason="chain")]
    )
    cut = dataset_tables.evenly(rows, "reason", limit=3)
    assert list(cut["label"]) == ["emu", "lion", "lion", "gnu"]


def test_changes_are_counted_by_kind_and_class(tmp_path: Path):
    rows = [("a", "added", "gnu", "", ""), ("b", "added", "gnu", "", ""), ("c", "relabelled", "emu", "gnu", "")]
    page = write(tmp_path, changes=changed(*rows))
    assert "Against the last round: 2 added, 1 relabelled." in Elements(page).text
    counts = [(row["label"], row["added"], row["removed"], row["all"]) for row in rows_of(data_in(page)["changed"])]
    assert counts == [("gnu", 2, 0, 2), ("emu", 0, 0, 1)]


def test_no_picture_is_asked_for_twice(tmp_path: Path):
    asked: Counter = Counter()

    def count(image: str) -> bytes:
        asked[image] += 1
        return jpeg()

    rows = [("a", "sideways", 0.9, ""), ("a", "small subject", 0.8, "")]
    near = excluded("n", reason="duplicate", group="g")
    write(
        tmp_path,
        board=board(gnu=40),
        images=kept("a", "b", group="g"),
        excluded=near,
        flagged=flagged(*rows),
        picture=count,
    )
    assert asked == {"a": 1, "b": 1, "n": 1}


def test_a_picture_that_cannot_be_read_has_no_place_on_its_sheet(tmp_path: Path):
    strips = {"some": Strip(["broken", "fine"], 16), "none": Strip(["broken"], 16), "empty": Strip([], 16)}
    sheets = contact_sheets.write(tmp_path, strips, picture)
    assert sheets["some"].places == [(0, 0, 0), (contact_sheets.MARGIN, 16, 12)]
    assert sheets["none"].places == [(0, 0, 0)]
    assert [file.name for file in tmp_path.iterdir()] == ["some.jpg"]


def test_each_picture_lies_where_its_sheet_says(tmp_path: Path):
    shapes = {"red": (64, 32), "lime": (20, 64), "blue": (7, 7)}
    strips = {"s": Strip(list(shapes), 48)}
    sheet = contact_sheets.write(tmp_path, strips, lambda colour: jpeg(*shapes[colour], colour))["s"]
    with Image.open(tmp_path / "s.jpg") as file:
        assert file.size == (sheet.width, sheet.height)
        for (x, width, height), colour in zip(sheet.places, [(255, 0, 0), (0, 255, 0), (0, 0, 255)], strict=True):
            corners = [file.getpixel((x + i, j)) for i in (0, width - 1) for j in (0, height - 1)]
            assert np.abs(np.array(corners) - colour).max() < 24


def test_equal_tables_give_equal_bytes(tmp_path: Path):
    tables = {
        "board": board(gnu=40, emu=3),
        "images": kept(*map(str, range(20))),
        "excluded": pd.concat([excluded("x", "y", reason="duplicate", group="g"), excluded("z", reason="blurred")]),
        "changes": changed(("1", "added", "gnu", "", "")),
        "flagged": flagged(("2", "sideways", 0.5, "")),
    }
    for name in ("one", "two"):
        turn = 1 if name == "one" else -1
        write(tmp_path / name, **{key: table.iloc[::turn] for key, table in tables.items()})
    files = [{f.relative_to(tmp_path / n): f.read_bytes() for f in (tmp_path / n).rglob("*.*")} for n in ("one", "two")]
    assert files[0] == files[1]
    assert len(files[0]) == 4


def test_a_name_with_html_in_it_does_not_leave_the_data(tmp_path: Path):
    page = write(
        tmp_path, board=board(**{NASTY: 40}), images=kept(NASTY, label=NASTY), excluded=excluded(NASTY, reason=NASTY)
    )
    assert NASTY not in page
    assert [row["image"] for row in rows_of(data_in(page)["excluded"])] == [NASTY]
    assert len(Elements(page).all("script")) == 3
    assert Elements(page).all("img") == []


def test_a_value_that_is_not_known_is_null(tmp_path: Path):
    page = write(tmp_path, flagged=flagged(("a", "sideways", np.nan, "")))
    assert rows_of(data_in(page)["flagged"])[0]["score"] is None


def test_the_page_may_load_pictures_of_its_own_and_nothing_else(tmp_path: Path):
    page = write(tmp_path)
    assert "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'" in page
    assert not re.search(r"https?://|@import|url\(|fetch\(", page)


def test_empty_tables_are_explained(tmp_path: Path):
    text = Elements(write(tmp_path)).text
    for sentence in (
        "There is no image yet",
        "No image bears a class yet",
        "Nothing has changed since the last round",
        "No two near-duplicates bear different labels",
        "No image was left out as a duplicate",
        "No picture is flagged",
        "Every image is kept",
    ):
        assert sentence in text


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH: the page's script is not tried")
def test_in_a_browser_classes_are_found_sorted_turned_over_and_opened(tmp_path: Path):
    names = {f"species_{number:03}": 31 + number for number in range(120)}
    images = pd.concat([kept("library/a b.jpg", "broken", label="species_070"), kept("n", label=NASTY)])
    tables = {"board": board(**names, **{NASTY: 500}), "images": images}
    tables["excluded"] = excluded("library/z.jpg", reason="duplicate", label="species_070")
    page = write(
        tmp_path, **tables, changes=changed(("n", "added", NASTY, "", "")), flagged=flagged(("n", NASTY, 1, NASTY))
    )
    script = """
      const part = document.querySelector("#class-list"), note = document.documentElement.dataset;
      const shown = () => [...part.querySelectorAll("tr.class th button")].map((button) => button.textContent);
      const output = () => part.querySelector("output").textContent;
      note.first = shown().length + " " + shown()[0] + ", " + output();
      part.querySelectorAll(".pages button")[1].click();
      note.second = shown()[0] + ", " + part.querySelector(".pages span").textContent;
      const groups = part.querySelector("th[data-key=groups]");
      groups.querySelector("button").click(); groups.querySelector("button").click();
      note.sorted = groups.getAttribute("aria-sort") + " " + shown()[1];
      note.nasty = shown()[0];
      part.querySelector("tr.class button").click();
      const input = part.querySelector("input");
      input.value = "SPECIES 01"; input.dispatchEvent(new Event("input"));
      note.found = shown().length + ", " + output();
      note.near = [...part.querySelectorAll(".chips button")].map((button) => button.textContent).join();
      addEventListener("hashchange", () => {
        const panel = part.querySelector(".panel");
        const button = panel.closest("tr").previousSibling.querySelector("button");
        if (location.hash.startsWith("#class=")) {
          note.opened = button.textContent + " " + button.getAttribute("aria-expanded") + input.value;
          note.focused = document.activeElement === button;
          note.missing = panel.querySelector(".missing").textContent;
          const image = panel.querySelector("img");
          image.loading = "eager";
          image.decode().then(() => { note.loaded = "yes"; }, (error) => { note.loaded = error.message; });
          location.hash = panel.querySelector("a[href*=reason]").hash;
        } else {
          const list = document.querySelector("#excluded-list");
          note.reason = list.querySelector("tbody").textContent + list.querySelector("[data-note]").textContent;
          button.click();
          note.closed = part.querySelectorAll(".panel").length + " " + location.hash;
        }
      });
      location.hash = "#class=species_070";
    """
    elements = Elements(in_a_browser(page, script, tmp_path))
    note = elements.all("html")[0]
    assert "data-error" not in note
    assert note["data-first"] == "50 species_008, 121 classes"
    assert note["data-second"] == "species_050, Page 2 of 3"
    assert note["data-sorted"] == "descending species_119"
    assert note["data-nasty"] == NASTY
    assert note["data-found"] == "12, 12 found"
    assert note["data-near"] == "all,near9,in112"
    assert note["data-opened"] == "species_070 true"
    assert note["data-focused"] == "true"
    assert note["data-missing"] == "The picture cannot be read"
    assert note["data-loaded"] == "yes"
    assert note["data-reason"].startswith("library/z.jpgspecies_070realduplicateThe same content")
    assert note["data-closed"] == "0 #classes"
    assert [image for image in elements.all("img") if "onerror" in image] == []
    assert elements.text.count(NASTY) >= 2
