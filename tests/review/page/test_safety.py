"""Who may ask the server for anything, and for what."""

import contextlib
import socket
import subprocess
import sys

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pipeline.commands import review
from pipeline.review.page import app
from pipeline.review.page.safety import Rules
from pipeline.workspace import Workspace
from tests.review.page import made_up_workspace

TOKEN = "a-token-of-the-server"
DEAL = "/api/queue/low-count/deal"


@pytest.fixture
def workspace(tmp_path):
    return made_up_workspace.build(tmp_path, cards=4)


def client(workspace, *, host: str = "127.0.0.1", token: str = "") -> TestClient:
    space = Workspace(workspace)
    place = review.reviewing(space, space.queue, lambda: "2026-03-01T12:00:00.000")
    trial = review.trial(space, place.context)
    application = app.create(place, trial, review.auditing(space), Rules.of(host, token))
    return TestClient(application, base_url=f"http://{host}", follow_redirects=False)


def first_card(served: TestClient) -> dict:
    return served.post(DEAL, json={"by": "ann", "number": 1}, headers={"x-wallaby": "1"}).json()["cards"][0]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "x-wallaby": "1"},
        {},
    ],
)
def test_another_site_cannot_make_the_browser_decide(workspace, headers):
    served = client(workspace)
    answer = served.post("/api/queue/low-count/undo", json={"by": "ann"}, headers=headers)
    assert answer.status_code == 403


def test_another_site_cannot_read_what_is_in_the_queue(workspace):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client(workspace).get("/api/overview", headers=headers).status_code == 403


def test_a_link_from_another_site_may_be_followed(workspace):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client(workspace).get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8700", "192.168.1.7", ""])
def test_a_foreign_name_that_leads_to_this_machine_is_refused(workspace, host):
    assert client(workspace).get("/api/overview", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("address", ["/", "/api/overview", "/api/classes", "/picture?image=pool/a.png&key=&side=160"])
def test_beyond_loopback_nothing_is_given_without_the_token(workspace, address):
    served = client(workspace, host="0.0.0.0", token=TOKEN)
    for wrong in ({}, {"cookie": "wallaby=guess"}, {"authorization": "Bearer guess"}):
        answer = served.get(address, headers=wrong)
        assert answer.status_code == 401
        assert "pool" not in answer.text
        assert "zebra" not in answer.text


def test_the_token_is_taken_once_and_kept_by_the_browser_alone(workspace):
    served = client(workspace, host="0.0.0.0", token=TOKEN)
    welcome = served.get("/", params={"token": TOKEN})
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/")
    assert "HttpOnly" in welcome.headers["set-cookie"]
    assert "SameSite=Strict" in welcome.headers["set-cookie"]
    assert served.get("/api/overview").status_code == 200
    assert served.get("/api/overview", headers={"host": "evil.example"}).status_code == 421


def test_a_token_is_made_whenever_the_server_leaves_loopback(workspace, monkeypatch):
    said = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: sockets[0].close())
    for host in ("127.0.0.1", "0.0.0.0"):
        options = {"queue": workspace / "data/queue", "host": host, "port": 0, "by": "", "browser": False}
        review.page(Workspace(workspace), **options, say=said.append)
    assert "token=" not in said[0]
    assert "//0.0.0.0" not in said[1]
    assert len(said[1].partition("?token=")[2]) > 30


def test_the_address_is_said_before_any_queue_is_opened(workspace, monkeypatch):
    order = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: sockets[0].close())
    monkeypatch.setattr("pipeline.review.page.reviewing.Reviewing.prepare", lambda self, name: order.append(name))
    options = {"queue": workspace / "data/queue", "host": "127.0.0.1", "port": 0, "by": "", "browser": False}
    review.page(Workspace(workspace), **options, say=lambda address: order.append("address"))
    assert order[0] == "address"


def test_every_answer_forbids_scripts_that_are_not_the_servers(workspace):
    for address in ("/", "/queue/low-count", "/static/review.js", "/api/overview", "/nothing"):
        policy = client(workspace).get(address).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy


def test_a_picture_has_an_address_only_if_the_server_named_it(workspace):
    served = client(workspace)
    address = first_card(served)["members"][0]["picture"]
    assert served.get(f"{address}&side=160").headers["content-type"] == "image/jpeg"
    assert served.get(f"{address}&side=161").status_code == 404
    forged = address.replace("shot_000", "shot_001")
    assert served.get(f"{forged}&side=160").status_code == 404


@pytest.mark.parametrize("image", ["pool/../secret.png", "/etc/passwd", "pool/", "elsewhere/a.png", "pool/a\0.png"])
def test_a_name_cannot_lead_out_of_the_roots(workspace, image):
    (workspace / "secret.png").write_bytes((workspace / "pool/shot_000.png").read_bytes())
    place = review.reviewing(Workspace(workspace), workspace / "data/queue")
    answer = client(workspace).get(place.thumbnails.address(image) + "&side=160")
    assert (answer.status_code, "image" in answer.headers["content-type"]) == (404, False)


def test_a_link_out_of_the_roots_is_not_followed(workspace):
    (workspace / "secret.png").write_bytes((workspace / "pool/shot_000.png").read_bytes())
    (workspace / "pool/link.png").symlink_to(workspace / "secret.png")
    (workspace / "pool/within.png").symlink_to(workspace / "library/zebra/0.png")
    place = review.reviewing(Workspace(workspace), workspace / "data/queue")
    served = client(workspace)
    refused = served.get(place.thumbnails.address("pool/link.png") + "&side=160")
    assert refused.status_code == 404
    assert "outside" in refused.text
    assert served.get(place.thumbnails.address("pool/within.png") + "&side=160").status_code == 200


def test_a_file_that_is_another_picture_by_now_is_not_shown(workspace):
    served = client(workspace)
    address = first_card(served)["members"][0]["picture"]
    made_up_workspace.picture(workspace, "pool/shot_000.png", 99)
    answer = served.get(f"{address}&side=160")
    assert answer.status_code == 404
    assert "has changed" in answer.text


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.unlink(), "is gone"),
        (lambda path: path.write_bytes(b""), "has changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "has changed"),
    ],
)
def test_a_picture_that_is_gone_or_damaged_says_so(workspace, spoil, why):
    served = client(workspace)
    address = first_card(served)["members"][0]["picture"]
    spoil(workspace / "pool/shot_000.png")
    answer = served.get(f"{address}&side=160")
    assert (answer.status_code, why in answer.text) == (404, True)


def test_a_damaged_picture_whose_content_nobody_knows_says_so(workspace):
    (workspace / "pool/cut.png").write_bytes((workspace / "pool/shot_000.png").read_bytes()[:60])
    place = review.reviewing(Workspace(workspace), workspace / "data/queue")
    answer = client(workspace).get(place.thumbnails.address("pool/cut.png") + "&side=160")
    assert (answer.status_code, "cannot be read" in answer.text) == (404, True)


@pytest.mark.parametrize(
    "body",
    [
        {"by": "", "number": 1},
        {"by": "a\nb", "number": 1},
        {"by": "ann", "number": 100_000},
        {"by": "ann", "nummer": 1},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(workspace, body):
    assert client(workspace).post(DEAL, json=body, headers={"x-wallaby": "1"}).status_code == 422


@pytest.mark.parametrize("name", ["../labels", "..%2Flabels", "no-such"])
def test_only_queues_can_be_opened(workspace, name):
    answer = client(workspace).get(f"/api/queue/{name}")
    assert answer.status_code in (404, 422)


def test_try_a_picture_refuses_what_is_none_before_any_model_is_loaded(workspace):
    served, headers = client(workspace), {"x-wallaby": "1"}
    huge = workspace / "huge.png"
    Image.new("1", (12_000, 12_000)).save(huge)
    for data, why in ((b"no picture", "not a picture"), (b"", "empty"), (huge.read_bytes(), "too large")):
        answer = served.post("/api/try", files={"picture": ("a.png", data)}, headers=headers)
        assert (answer.status_code, why in answer.json()["error"]) == (422, True)


def test_the_server_starts_without_the_network_library(workspace):
    code = "import sys, pipeline.commands.review; print({'keras', 'tensorflow', 'scipy.stats'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_body_is_taken_by_the_address_that_it_is_for_and_no_larger_than_that_takes(workspace):
    served, headers = client(workspace), {"x-wallaby": "1", "content-type": "application/json"}
    lists = b"[" + b"[]," * 2_000_000
    for address in (DEAL, "/api/queue/low-count/decide", "/api/audit/say"):
        answer = served.post(address, content=lists, headers=headers)
        assert (answer.status_code, "a body may have 4 MB" in answer.json()["error"]) == (413, True)
    assert first_card(served)


@pytest.mark.parametrize("header", ["host", "origin"])
def test_a_header_that_is_no_address_is_refused(workspace, header):
    for value in ("[", "http://[", "//[::1", "\xff"):
        headers = {header: value.encode("latin-1")}
        assert client(workspace).get("/api/overview", headers=headers).status_code in (403, 421)


def test_the_pages_server_closes_what_never_becomes_a_request_and_reads_no_body_without_the_token(workspace, serve):
    server = serve(workspace)
    host, port = server.address.removeprefix("http://").rstrip("/").split(":")
    line = socket.create_connection((host, int(port)), timeout=10)
    with line as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /api/try HTTP/1.1\r\nHost: " + host.encode() + b"\r\nContent-Length: 40000000\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 403")
        while connection.recv(10_000):
            pass
