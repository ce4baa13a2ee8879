"""Whole sessions, in a real browser."""

import asyncio
import contextlib
import resource
import socket
import threading
import time

import pandas as pd
import pytest
import uvicorn

from pipeline.commands import review
from pipeline.files import write_csv, write_json, write_table
from pipeline.review import decisions
from pipeline.review.page import app
from pipeline.review.page.safety import Rules
from pipeline.workspace import Workspace
from tests.networks import save_bundle
from tests.review.page import made_up_workspace

ROOTS = ["library", "pool"]


def said(folder) -> dict[str, str]:
    """What holds of each image: the class, or unknown, bad or keep."""
    log = decisions.read_all(folder / "data/reviews", ROOTS)
    return {row.image: row.label or row.decision for row in log.itertuples()}


def shown(page, row: int) -> None:
    """Waits until the card is there, with its picture."""
    page.wait_for_selector(f'.stage[data-shown="{row}"]')


class Late:
    """Every answer comes late, as over a network."""

    def __init__(self, inner, seconds: float):
        self._inner, self._seconds = inner, seconds

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(self._seconds)
        await self._inner(scope, receive, send)


@contextlib.contextmanager
def slow_server(folder, seconds: float):
    """The page's own server in this process, behind a slow line; gives its address."""
    workspace = Workspace(folder)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = review.reviewing(workspace, workspace.queue)
        trial = review.trial(workspace, place.context)
        page = app.create(place, trial, review.auditing(workspace), Rules.of("127.0.0.1", ""))
        served = Late(page, seconds)
        server = uvicorn.Server(uvicorn.Config(served, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def workspace(tmp_path):
    return made_up_workspace.build(tmp_path)


def test_a_person_decides_a_queue_with_the_keyboard_alone(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    keys = ["Enter", "2", "u", "b", "k", "s"]
    for row, key in enumerate(keys):
        shown(page, row)
        page.keyboard.press(key)
    shown(page, 6)
    page.keyboard.press("/")
    page.keyboard.type("oka")
    page.keyboard.press("Enter")
    shown(page, 7)
    assert said(workspace) == {
        "pool/shot_000.png": "zebra", "pool/shot_001.png": "emu", "pool/shot_002.png": "unknown",
        "pool/shot_003.png": "bad", "pool/shot_004.png": "keep", "pool/shot_006.png": "okapi",
    }  # fmt: skip
    first = decisions.read_all(workspace / "data/reviews", ROOTS).iloc[0]
    assert (first["by"], first["suggested"], first["model"]) == ("ann", "zebra", made_up_workspace.MODEL)
    assert pd.to_numeric(first["seconds"]) > 0


def test_the_help_names_each_key_and_what_it_does(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("heading", name="Keys").wait_for()
    keys, meanings = dialog.locator("dt").all_inner_texts(), dialog.locator("dd").all_inner_texts()
    assert dict(zip(keys, meanings, strict=True))["U"] == "unknown: a good picture, of what?"
    assert len(keys) == 14
    assert "[object" not in page.locator("body").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    shown(page, 1)


def test_a_word_of_the_decisions_is_not_offered_as_a_new_class(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    page.keyboard.press("n")
    page.keyboard.type("Bad")
    page.get_by_text("“Bad” is a word of the reviews, never a class").wait_for()
    assert page.get_by_text("New class").count() == 1  # the button
    page.keyboard.press("Enter")
    page.keyboard.type("ger")
    page.get_by_text("New class “Badger”").wait_for()
    page.keyboard.press("Enter")
    shown(page, 1)
    assert said(workspace) == {"pool/shot_000.png": "Badger"}


def test_each_undo_brings_the_picture_before_back(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    for row in range(3):
        shown(page, row)
        page.keyboard.press("Enter")
    shown(page, 3)
    for row in (2, 1, 0):
        page.keyboard.press("z")
        shown(page, row)
    page.keyboard.press("z")
    page.get_by_text("There is nothing to take back").wait_for()
    assert said(workspace) == {}
    page.keyboard.press("b")
    shown(page, 1)
    assert said(workspace) == {"pool/shot_000.png": "bad"}


def test_a_server_that_is_killed_goes_on_where_it_was(workspace, serve, visit):
    server = serve(workspace)
    page = visit(server.address + "queue/low-count")
    for row in (0, 1):
        shown(page, row)
        page.keyboard.press("Enter")
    shown(page, 2)
    server.kill()
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("the server does not answer").wait_for()
    assert len(said(workspace)) == 2
    port = server.address.rstrip("/").rpartition(":")[2]
    server.start("--port", port)
    page.keyboard.press("Enter")
    shown(page, 3)
    assert list(said(workspace)) == [f"pool/shot_00{row}.png" for row in range(3)]
    assert page.get_by_role("alert").count() == 0


def test_many_pictures_of_a_class_are_accepted_at_once_but_those_crossed_out(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count?mode=grid")
    page.get_by_role("button", name="okapi 6").click()
    page.wait_for_selector('.tiles[data-shown="okapi"]')
    page.locator('.tile[data-row="3"]').click()
    page.locator('.tile[data-row="7"]').click()
    page.get_by_role("button", name="Accept 4 as okapi").click()
    page.get_by_text("4 pictures: okapi").wait_for()
    assert said(workspace) == {f"pool/shot_{row:03d}.png": "okapi" for row in (1, 5, 9, 11)}
    page.keyboard.press("z")
    page.get_by_text("Taken back: 4 pictures").wait_for()
    assert said(workspace) == {}


def test_a_cluster_becomes_a_new_class_in_one_step(workspace, serve, visit):
    queue = workspace / "data/queue/low-count.parquet"
    write_table(pd.read_parquet(queue).assign(cluster=["1: 6 alike", "2: 6 alike"] * 6), queue)
    page = visit(serve(workspace).address + "queue/low-count?mode=clusters")
    page.get_by_role("button", name="2: 6 alike").click()
    page.wait_for_selector('.tiles[data-shown="2: 6 alike"]')
    page.keyboard.press("n")
    page.keyboard.type("sable antelope")
    page.keyboard.press("Enter")
    page.get_by_text("6 pictures: sable antelope").wait_for()
    assert said(workspace) == {f"pool/shot_{row:03d}.png": "sable antelope" for row in range(1, 12, 2)}


def test_a_class_among_1500_is_found_while_it_is_typed(workspace, serve, visit):
    names = [f"species {number:04d}" for number in range(1500)]
    rows = pd.DataFrame({"image": [f"library/{name}.png" for name in names], "label": names, "subclass": ""})
    rows.loc[7, ["label", "subclass"]] = ["antelope", "gazelle"]
    write_csv(rows, workspace / "data/labels.csv")
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    page.keyboard.press("/")
    page.keyboard.type("1234")
    assert page.get_by_role("option").first.inner_text().startswith("species 1234")
    page.keyboard.press("Enter")
    shown(page, 1)
    page.keyboard.press("/")
    page.keyboard.type("gaz")
    assert page.get_by_role("option").first.inner_text().startswith("gazelle (antelope)")
    page.keyboard.press("Enter")
    shown(page, 2)
    log = decisions.read_all(workspace / "data/reviews", ROOTS)
    assert log[["label", "subclass"]].to_numpy().tolist() == [["species 1234", ""], ["antelope", "gazelle"]]


def test_a_class_that_another_has_just_made_is_found_by_its_name(workspace, serve, visit):
    address = serve(workspace).address + "queue/low-count"
    ann = visit(address, "ann")
    shown(ann, 0)
    bob = visit(address, "bob")
    bob.wait_for_selector(".stage[data-shown]")
    ann.keyboard.press("n")
    ann.keyboard.type("Sable antelope")
    ann.keyboard.press("Enter")
    shown(ann, 1)
    bob.keyboard.press("n")
    bob.keyboard.type("sable ANTELOPE")
    bob.keyboard.press("Enter")
    bob.get_by_role("alert").get_by_text("differ by case only").wait_for()
    assert list(said(workspace).values()) == ["Sable antelope"]
    bob.reload()  # or after some more cards
    bob.wait_for_selector(".stage[data-shown]")
    bob.keyboard.press("/")
    bob.keyboard.type("sable")
    assert bob.get_by_role("option").first.inner_text().startswith("Sable antelope")


def test_with_100_ms_of_latency_each_decision_is_written_once_and_none_is_lost(workspace, visit):
    with slow_server(workspace, 0.1) as address:
        page = visit(address + "queue/low-count")
        for row in range(6):
            shown(page, row)
            page.keyboard.press("Enter")
            page.keyboard.press("b")  # meant for a picture that has not been seen yet: it counts for nothing
        shown(page, 6)
        page.keyboard.press("z")
        shown(page, 5)
    assert said(workspace) == {f"pool/shot_{row:03d}.png": ("zebra", "okapi")[row % 2] for row in range(5)}


def test_a_queue_of_200_000_rows_is_filtered_ordered_and_decided(workspace, serve, visit):
    queue = workspace / "data/queue/low-count.parquet"
    first = pd.read_parquet(queue)
    number = 200_000 - len(first)
    names = [f"pool/far/IMG_{row:06d}.jpg" for row in range(number)]
    more = made_up_workspace.queue_rows(
        names, [f"{row:064x}" for row in range(number)], ["emu"] * number, score=[0.3] * number
    )
    more = more.assign(group=[f"far{row}" for row in range(number)], rank=range(13, number + 13))
    write_table(pd.concat([first, more], ignore_index=True), queue)
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    page.get_by_text("200,000 to go").wait_for()
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Search").fill("img_199987")
    shown(page, 199_999)
    page.get_by_text("1 to go", exact=True).wait_for()
    page.get_by_label("Search").fill("")
    page.get_by_label("Order").select_option("surest")
    shown(page, 0)
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("Enter")
    shown(page, 1)
    page.get_by_text("199,999 to go").wait_for()
    assert said(workspace) == {"pool/shot_000.png": "zebra"}


def test_a_filter_that_is_set_while_more_cards_are_on_their_way_shows_what_fits(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    on_their_way: list = []
    shown(page, 0)
    page.route("**/deal", lambda route: route.continue_() if on_their_way else on_their_way.append(route))
    for row in range(3):  # with the third, more are fetched
        shown(page, row)
        page.keyboard.press("Enter")
    shown(page, 3)
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Search").fill("shot_009")
    shown(page, 9)
    with page.expect_response("**/deal"):
        on_their_way[0].continue_()
    shown(page, 9)
    page.get_by_text("1 to go", exact=True).wait_for()


def test_the_queue_of_a_throw_away_run_is_reviewed_with_what_lies_beside_it(workspace, visit, serve):
    run = workspace / "elsewhere"
    write_table(pd.read_parquet(workspace / "data/queue/low-count.parquet"), run / "queue/near-cutoff.parquet")
    write_json({"model": "7" * 64}, run / "predictions/summary.json")
    server = serve(workspace)
    server.kill()
    server.start("--port", "0", "--queue", str(run / "queue"))
    page = visit(server.address)
    page.get_by_role("link", name="near-cutoff").click()
    shown(page, 0)
    page.keyboard.press("Enter")
    shown(page, 1)
    (found,) = decisions.read_all(workspace / "data/reviews", ROOTS).to_dict("records")
    assert (found["recipe"], found["model"], found["label"]) == ("near-cutoff", "7" * 64, "zebra")


def test_a_picture_that_is_dropped_is_named_by_the_model_or_unknown(workspace, serve, visit):
    card = save_bundle(workspace / "data/model", classes=["emu", "okapi", "zebra"], round=1)
    page = visit(serve(workspace).address + "try")
    page.get_by_text(f"Round 1, model {card.model_digest[:12]}").wait_for()
    page.set_default_timeout(60_000)  # TensorFlow is loaded now
    page.set_input_files("#file", workspace / "pool/shot_000.png")
    page.get_by_role("heading", name="unknown").wait_for()
    assert page.locator(".shares li").count() == 3
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    page.get_by_role("alert").get_by_text("no picture that can be read").wait_for()


def test_two_people_share_a_queue_without_losing_or_doubling_a_decision(workspace, serve, visit):
    address = serve(workspace).address + "queue/low-count"
    ann = visit(address, "ann")
    shown(ann, 0)
    bob = visit(address, "bob")
    bob.wait_for_selector(".stage[data-shown]")
    for page, key in ((ann, "Enter"), (bob, "2")) * 6:
        row = page.locator(".stage[data-shown]").get_attribute("data-shown")
        page.keyboard.press(key)
        page.wait_for_selector(f'.empty, .stage[data-shown]:not([data-shown="{row}"])')
    log = decisions.read_all(workspace / "data/reviews", ROOTS)
    assert log["image"].is_unique
    assert set(log["by"]) == {"ann", "bob"}
    assert len(log) == 12


def test_a_card_whose_file_was_replaced_is_refused_in_words_and_the_next_one_comes(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    made_up_workspace.picture(workspace, "pool/shot_000.png", 500)
    page.keyboard.press("Enter")
    page.get_by_text("the file was replaced since the queue was made").wait_for()
    shown(page, 1)
    page.keyboard.press("Enter")
    shown(page, 2)
    assert list(said(workspace)) == ["pool/shot_001.png"]


def test_a_disk_that_is_full_keeps_the_picture_and_says_so(workspace, serve, visit):
    server = serve(workspace)
    page = visit(server.address + "queue/low-count")
    shown(page, 0)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100, 100))
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("the disk is full").wait_for()
    shown(page, 0)
    assert said(workspace) == {}
    assert [file.read_bytes() for file in (workspace / "data/reviews").glob("*.csv")] in ([], [b""])


def test_a_tab_from_before_a_new_round_says_so_and_loads_the_new_queue(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    queue = workspace / "data/queue/low-count.parquet"
    write_table(pd.read_parquet(queue).assign(reason="a new round"), queue)
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("a new round has replaced this queue").wait_for()
    assert said(workspace) == {}
    page.get_by_role("button", name="Load the new queue").click()
    page.get_by_text("a new round").wait_for()
    page.keyboard.press("Enter")
    shown(page, 1)
    assert said(workspace) == {"pool/shot_000.png": "zebra"}


def test_names_that_hold_html_are_text(workspace, serve, visit):
    queue = workspace / "data/queue/low-count.parquet"
    evil = "<img src=x onerror=document.title='owned'>"
    table = pd.read_parquet(queue)
    (workspace / table["image"][0]).rename(workspace / "pool" / f"{evil}.png")
    table.loc[0, ["image", "label", "reason"]] = [f"pool/{evil}.png", evil, evil]
    write_table(table, queue)
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    assert page.get_by_role("heading", name=evil).count() == 1
    page.keyboard.press("Enter")
    shown(page, 1)
    assert page.title() == "low-count – Wallaby"
    assert said(workspace) == {f"pool/{evil}.png": evil}


def test_on_a_phone_all_can_be_reached_with_a_thumb(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count", width=390, height=780, has_touch=True, is_mobile=True)
    shown(page, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("Accept zebra", "Unknown", "Undo"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box["height"] >= 40, name
        assert box["y"] + box["height"] <= 780, name
    page.get_by_role("button", name="Accept zebra").tap()
    shown(page, 1)
    assert said(workspace) == {"pool/shot_000.png": "zebra"}


def test_on_a_tablet_no_key_or_button_is_cut_off(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count", width=820, height=1180, has_touch=True)
    shown(page, 0)
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box["x"] + box["width"] <= 820, button.inner_text()


def test_the_picture_that_is_waited_for_comes_before_all_others(workspace, visit):
    with slow_server(workspace, 0.1) as address:
        page = visit(address)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(f"asked {request.url.partition('image=')[2]}"))
        page.on("requestfinished", lambda request: asked.append(f"came {request.url.partition('image=')[2]}"))
        page.goto(address + "queue/low-count")
        shown(page, 0)
        page.wait_for_timeout(300)
    pictures = [one for one in asked if "side=" in one and "pool" in one]
    assert [one.partition("&")[0] for one in pictures[:2]] == ["asked pool%2Fshot_000.png", "came pool%2Fshot_000.png"]
    assert sum("side=1024" in one for one in pictures) > 4


def test_nothing_moves_when_a_picture_arrives(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    moved = """new Promise((told) => {
      let sum = 0;
      const watch = new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value; });
      watch.observe({ type: "layout-shift", buffered: true });
      setTimeout(() => told(sum), 200);
    })"""
    assert page.evaluate(moved) < 0.02


def test_the_end_of_a_queue_and_an_empty_one_say_what_is_next(workspace, serve, visit):
    queue = workspace / "data/queue/low-count.parquet"
    table = pd.read_parquet(queue)
    write_table(table.head(2), queue)
    write_table(table.head(0), workspace / "data/queue/unknown.parquet")
    (workspace / "data/queue/look-alike.parquet").write_bytes(b"no table")
    server = serve(workspace)
    page = visit(server.address + "queue/low-count")
    shown(page, 0)
    page.keyboard.press("Enter")
    shown(page, 1)
    page.keyboard.press("s")
    page.get_by_role("heading", name="1 picture skipped").wait_for()
    page.get_by_role("button", name="Look at it again").click()
    shown(page, 1)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="All decided").wait_for()
    page.goto(server.address + "queue/unknown")
    page.get_by_role("heading", name="Nothing here").wait_for()
    page.goto(server.address + "queue/no-such")
    page.get_by_role("alert").get_by_text("there is no queue").wait_for()
    page.goto(server.address)
    page.get_by_text("all decided", exact=True).wait_for()
    assert "not a readable table" in page.locator("main").inner_text()


def test_a_picture_that_is_gone_can_still_be_decided(workspace, serve, visit):
    (workspace / "pool/shot_000.png").unlink()
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    page.get_by_role("img", name="The file is gone").first.wait_for()
    page.keyboard.press("b")
    shown(page, 1)
    assert said(workspace) == {"pool/shot_000.png": "bad"}
