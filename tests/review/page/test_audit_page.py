"""The random audit in the browser, by keyboard."""

import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.serving import audits
from pipeline.serving.store import schema
from pipeline.serving.store.opening import open_store
from scripts.promises import served_week
from tests.review.page import made_up_workspace


@pytest.fixture
def served(tmp_path):
    """A workspace where pictures have been served and kept; none is drawn."""
    folder = made_up_workspace.build(tmp_path)
    made = open_store(f"sqlite:///{folder}/data/serving/transactions.sqlite")
    week = served_week.make(pictures=40)
    rows = week.transactions[week.transactions["status"] == 200].reset_index(drop=True)
    rows["path"] = [f"{number:02d}.png" for number in rows.index]
    kept = [made_up_workspace.picture(folder / "data/serving/pictures", path, n) for n, path in enumerate(rows["path"])]
    served_week.write(made, rows.assign(sha256=kept), "transactions")
    served_week.write(made, pd.DataFrame(served_week.releases(week.planted)), "releases")
    yield made
    made.dispose()


@pytest.fixture
def engine(served):
    """Eight are drawn."""
    audits.draw(served, 8, at=served_week.MONDAY)
    return served


def said(engine: sa.Engine) -> pd.DataFrame:
    query = sa.select(schema.evaluations, schema.transactions.c.label.label("answer")).join(
        schema.transactions,
        (schema.transactions.c.request_id == schema.evaluations.c.request_id)
        & (schema.transactions.c.position == schema.evaluations.c.position),
    )
    with engine.connect() as connection:
        return pd.read_sql(query.order_by(schema.evaluations.c.id), connection)


def next_picture(page, before: str) -> str:
    shown = "document.querySelector('.trying')?.dataset.shown"
    page.wait_for_function(f"(before) => {shown} && {shown} !== before", arg=before)
    return page.evaluate(shown)


def test_a_person_judges_served_pictures_with_the_keyboard_alone(tmp_path, engine, serve, visit):
    page = visit(serve(tmp_path).address + "audit")
    shown = next_picture(page, "")
    page.locator(".pic img").wait_for()
    for keys in (["Enter"], ["u"], ["n", "okapi", "Enter"], ["w", "Enter"]):
        for key in keys:
            if key == "okapi":
                page.keyboard.type(key)
            else:
                page.keyboard.press(key)
        shown = next_picture(page, shown)
    table = said(engine)
    assert table["verdict"].tolist() == ["right", "unusable", "not-in-classes", "wrong"]
    assert table["label"].tolist() == ["", "", "okapi", ""]
    assert set(table["source"]) == {"audit"}
    assert table["probability"].notna().all()


def test_a_verdict_can_be_given_anew(tmp_path, engine, serve, visit):
    page = visit(serve(tmp_path).address + "audit")
    first = next_picture(page, "")
    page.keyboard.press("u")
    second = next_picture(page, first)
    page.keyboard.press("Backspace")
    assert next_picture(page, second) == first
    page.keyboard.press("Enter")
    next_picture(page, first)
    table = said(engine)
    assert table["verdict"].tolist() == ["unusable", "right"]
    assert table[["request_id", "position"]].drop_duplicates().shape[0] == 1


def test_the_first_page_says_how_many_wait(tmp_path, engine, serve, visit):
    page = visit(serve(tmp_path).address)
    page.get_by_text("served pictures, drawn by chance, wait for a verdict").wait_for()


def test_where_nothing_was_served_the_first_page_says_nothing_of_it(tmp_path, serve, visit):
    page = visit(serve(made_up_workspace.build(tmp_path)).address)
    page.locator("ul.queues").wait_for()
    page.wait_for_load_state("networkidle")
    assert page.get_by_text("served").count() == 0
    assert not (tmp_path / "data/serving").exists()


def test_an_audit_in_which_nothing_waits_says_so(tmp_path, served, serve, visit):
    page = visit(serve(tmp_path).address + "audit")
    page.get_by_role("heading", name="Nothing waits for a verdict").wait_for()
    assert page.locator("main").inner_text().splitlines()[-1] == (
        "wallaby audit --draw NUMBER draws from what has been served since the last draw."
    )
    assert page.get_by_role("alert").count() == 0
    for key in "wnu/1":  # there is nothing that they could be meant for
        page.keyboard.press(key)
    assert said(served).empty


def test_after_the_last_verdict_the_audit_says_that_all_is_judged(tmp_path, served, serve, visit):
    drawn = audits.draw(served, 2, at=served_week.MONDAY).drawn
    page = visit(serve(tmp_path).address + "audit")
    picture = ""
    for _ in range(drawn):
        picture = next_picture(page, picture)
        page.keyboard.press("u")
    page.get_by_role("heading", name="All judged").wait_for()
    assert page.get_by_text("0 pictures left").is_visible()
    assert page.get_by_role("alert").count() == 0
    assert said(served)["verdict"].tolist() == ["unusable"] * drawn
    page.reload()
    page.get_by_role("heading", name="Nothing waits for a verdict").wait_for()


def test_to_open_the_audit_where_nothing_was_served_makes_no_store(tmp_path, serve, visit):
    page = visit(serve(made_up_workspace.build(tmp_path)).address + "audit")
    text = page.get_by_role("alert").inner_text()
    assert "nothing has been served yet" in text
    assert "wallaby audit --draw NUMBER" in text
    assert not (tmp_path / "data/serving").exists()
