"""What a client may hold of a real server: it is answered or closed in time, and others are answered meanwhile."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from pipeline.serving import keys
from pipeline.web.connections import Limits, Settings
from tests.serving.made_up_records import stored
from tests.serving.made_up_service import Running, Shade, model, picture, running
from tests.serving.made_up_site import drip

SHORT = Limits(connections=512, head_seconds=0.5, body_seconds=0.5, write_seconds=0.5)
PREDICT = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Served:
    """A service that listens at a port of this machine."""

    def __init__(self, own: Running, server: uvicorn.Server, port: int, key: str, thread: threading.Thread):
        self.own, self.server, self.port, self.thread = own, server, port, thread
        self.address = f"http://127.0.0.1:{port}"
        self.headers = {"x-api-key": key} if key else {}
        self.by_key = f"X-API-Key: {key}\r\n".encode() if key else b""

    def connect(self, data: bytes = b"") -> socket.socket:
        connected = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        with contextlib.suppress(OSError):
            connected.sendall(data)
        return connected

    def is_well(self) -> bool:
        began = time.monotonic()
        answer = httpx.post(f"{self.address}/predict", content=picture(9), headers=self.headers, timeout=5)
        return answer.status_code == 200 and time.monotonic() - began < 2

    def connections(self) -> int:
        return len(self.server.server_state.connections)


@contextmanager
def served(folder: Path, limits: Limits = SHORT, *, by_key: bool = False, **options) -> Iterator[Served]:
    path = folder / "keys.json" if by_key else None
    key = keys.add(path, "ann", per_minute=10**6) if path else ""
    with running(folder, keys=path, **options) as own, socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(Settings(own.client.app, limits, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Served(own, server, listening.getsockname()[1], key, thread)
        finally:
            server.should_exit = True
            thread.join(10)


def status(connected: socket.socket) -> int:
    """That of the answer; 0 if the connection was closed without one."""
    try:
        line = connected.recv(10_000).split(b"\r\n")[0]
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


def is_closed(connected: socket.socket) -> bool:
    """Once what was sent is read."""
    try:
        while connected.recv(100_000):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.fixture(scope="module")
def by_key(tmp_path_factory):
    with served(tmp_path_factory.mktemp("by-key"), by_key=True) as own:
        yield own


@pytest.mark.parametrize("path", [b"/predict", b"/feedback", b"/version", b"/nowhere"])
def test_without_a_key_a_client_is_refused_before_its_body_has_come(by_key, path):
    head = b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    for size in (b"Content-Length: 20000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
        with by_key.connect(head + size) as connected:
            assert status(connected) == 401
            assert is_closed(connected)


def test_who_sends_a_large_body_without_a_key_can_read_why_it_is_refused(by_key):
    for _ in range(5):
        answer = httpx.post(f"{by_key.address}/predict", content=bytes(3_000_000), timeout=5)
        assert (answer.status_code, "key" in answer.json()["error"]) == (401, True)


@pytest.mark.parametrize(
    ("path", "kind", "size", "expected"),
    [
        ("/feedback", "application/json", 65_537, 413),
        ("/feedback", "application/json", 65_536, 422),
        ("/predict", "application/json", 96_001, 413),
        ("/predict", "application/json", 96_000, 422),
        ("/predict", "image/jpeg", 2_000_001, 413),
        ("/predict", "image/jpeg", 2_000_000, 422),
        ("/version", "application/json", 100_000, 405),
    ],
)
def test_each_address_takes_a_body_of_its_own_size(by_key, path, kind, size, expected):
    lists = (b"[" + b"[]," * (size // 3 - 1)).ljust(size, b" ")
    for content in (lists, iter([lists])):  # of a size that is declared, or of none
        headers = by_key.headers | {"content-type": kind}
        answer = httpx.post(by_key.address + path, content=content, headers=headers, timeout=5)
        assert answer.status_code == expected


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nX: " + b"x" * 5_000_000,
        b"GET /" + b"x" * 100_000,
        b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        PREDICT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: " + b"x" * 1_000_000,
        b"\r\n" * 500_000,
    ],
    ids=["header", "address", "headers", "trailer", "nothing"],
)
def test_a_head_that_is_too_large_is_refused_and_its_connection_closed(tmp_path, head):
    with served(tmp_path, Limits(head_seconds=20, body_seconds=20)) as own, own.connect(head) as connected:
        assert status(connected) in (431, 0)  # 0: the answer was lost with what had not been read
        assert is_closed(connected)
        assert own.is_well()


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /health HTTP/1.1\r\n",
    ],
    ids=["none", "line", "header", "second"],
)
@pytest.mark.parametrize("drips", [False, True])
def test_a_head_that_does_not_come_closes_its_connection(tmp_path, head, drips):
    with served(tmp_path) as own, own.connect(head) as connected:
        began = time.monotonic()
        while drips and time.monotonic() - began < 2:
            with contextlib.suppress(OSError):
                connected.sendall(b"x")
            time.sleep(0.1)
        assert is_closed(connected)
        assert time.monotonic() - began < 4
        assert own.connections() == 0


def test_many_half_sent_heads_take_no_more_connections_than_there_may_be_and_others_are_answered(tmp_path):
    limits = Limits(connections=40, head_seconds=20)
    with served(tmp_path, limits) as own, contextlib.ExitStack() as opened:
        for number in range(120):
            opened.enter_context(own.connect(b"GET /health HTTP/1.1\r\nX-A: b"))
            if number % 30 == 29:
                assert own.is_well()
        assert own.connections() <= 40


def test_when_all_connections_are_at_work_another_one_is_told_to_come_again(tmp_path):
    with served(tmp_path, Limits(connections=3)) as own, contextlib.ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(own.connect(PREDICT + b"Content-Length: 100\r\n\r\nx"))
        time.sleep(0.3)
        with own.connect() as connected:
            assert status(connected) == 503
            assert is_closed(connected)


def test_bodies_that_never_end_are_refused_in_time_and_hold_a_bounded_number_of_bytes(tmp_path):
    with served(tmp_path, by_key=True, body_seconds=0.5, max_megabytes_at_once=5) as own, contextlib.ExitStack() as on:
        head = PREDICT + own.by_key + b"Content-Length: 2000000\r\n\r\n"
        began = time.monotonic()
        sent = [on.enter_context(own.connect(head + bytes(1_900_000))) for _ in range(12)]
        statuses = [status(connected) for connected in sent]
        assert set(statuses) == {408, 503}
        assert statuses.count(408) <= 2
        assert all(is_closed(connected) for connected in sent)
        assert time.monotonic() - began < 5
        assert own.is_well()


def test_who_does_not_read_its_answer_is_closed(tmp_path):
    with served(tmp_path) as own, socket.socket() as connected:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.connect(("127.0.0.1", own.port))
        page = httpx.get(f"{own.address}/docs").text
        script = page.partition('src="')[2].partition('"')[0].encode()
        ask = b"GET " + script + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        connected.sendall(ask * 20)
        until = time.monotonic() + 5
        while own.connections() and time.monotonic() < until:
            time.sleep(0.1)
        assert own.connections() == 0


def test_work_for_a_client_that_has_gone_is_dropped(tmp_path):
    shade = Shade(seconds=0.2)
    with served(tmp_path, models={"a" * 64: model(runtime=shade)}) as own:
        warm = sum(shade.batches)
        data = picture(9)
        head = PREDICT + f"Content-Length: {len(data)}\r\n\r\n".encode()
        for _ in range(20):
            own.connect(head + data).close()
        time.sleep(0.5)
        assert own.is_well()
        assert sum(shade.batches) - warm < 12


def test_who_goes_leaves_no_traceback(tmp_path, caplog):
    data = picture(9)
    whole = PREDICT + f"Content-Length: {len(data)}\r\n\r\n".encode() + data
    half = PREDICT + b"Content-Length: 100000\r\n\r\n" + data
    with served(tmp_path, models={"a" * 64: model(runtime=Shade(seconds=0.02))}) as own:
        for sent in (whole, whole * 2, half, b"GET /docs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3):
            for pause in (0.0, 0.01, 0.05):
                for ends in (True, False):
                    connected = own.connect(sent)
                    if ends:
                        connected.shutdown(socket.SHUT_WR)
                    time.sleep(pause)
                    connected.close()
        time.sleep(0.7)
        assert own.is_well()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def test_a_client_that_has_gone_keeps_its_place_while_its_image_is_worked_on(tmp_path):
    shade = Shade(seconds=1.0)
    data = picture(9)
    with served(tmp_path, models={"a" * 64: model(runtime=shade)}, max_waiting=1) as own:
        leaving = own.connect(PREDICT + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        time.sleep(0.3)
        leaving.close()
        time.sleep(0.1)
        answers = [httpx.post(f"{own.address}/predict", content=data, timeout=5).status_code for _ in range(3)]
        assert answers == [503, 503, 503]
        time.sleep(1.0)
        assert httpx.post(f"{own.address}/predict", content=data, timeout=5).status_code == 200


def test_who_sends_too_much_slowly_and_of_unknown_length_can_read_why_it_is_refused(tmp_path):
    limits = Limits(body_seconds=10.0)
    with served(tmp_path, limits, max_megabytes=0.1) as own:
        connected = own.connect(PREDICT + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(6):  # for longer than a client may pause
            connected.sendall(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
            time.sleep(0.6)
        connected.sendall(b"0\r\n\r\n")
        assert status(connected) == 413


def test_an_answer_that_takes_too_long_is_refused_and_recorded(tmp_path):
    slow = {"a" * 64: model(runtime=Shade(seconds=0.8))}
    with served(tmp_path, models=slow, answer_seconds=0.3) as own:
        answer = httpx.post(f"{own.address}/predict", content=picture(9), timeout=5)
        assert (answer.status_code, answer.json()["error"]) == (503, "not answered within 0.3 seconds; ask again later")
        assert answer.headers["retry-after"] == "1"
    assert {row["request_id"] for row in stored(own.own.url)} == {answer.json()["request_id"]}


def test_slow_hosts_hold_up_neither_other_requests_nor_the_end(tmp_path):
    with drip(b"") as address, served(tmp_path, Limits(), allowed_urls=[address]) as own:
        answers: list[int] = []

        def ask() -> None:
            urls = {"urls": [address] * 8}
            answers.append(httpx.post(f"{own.address}/predict", json=urls, timeout=20).status_code)

        asking = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
        for thread in asking:
            thread.start()
        time.sleep(0.3)
        assert own.is_well()
        began = time.monotonic()
        judgement = {"request_id": "0" * 32, "verdict": "right"}
        assert httpx.post(f"{own.address}/feedback", json=judgement, timeout=5).status_code == 404
        assert time.monotonic() - began < 3
        began = time.monotonic()
        own.server.servers[0].get_loop().call_soon_threadsafe(own.own.client.app.state.fetcher.close)
        own.server.should_exit = True
        own.thread.join(5)
        assert (own.thread.is_alive(), time.monotonic() - began < 4) == (False, True)
        for thread in asking:
            thread.join(5)
        assert answers == [503] * 8


@pytest.mark.parametrize("opened", [b"", b"GET /hea", PREDICT + b"Content-Length: 1000\r\n\r\nx"])
def test_no_client_holds_up_the_end(tmp_path, opened):
    with served(tmp_path, Limits(head_seconds=30, body_seconds=30), body_seconds=30) as own, own.connect(opened):
        time.sleep(0.2)
        own.server.should_exit = True
        own.thread.join(5)
        assert not own.thread.is_alive()


@pytest.mark.parametrize(
    ("header", "value"), [("host", "["), ("origin", "http://["), ("upgrade", "websocket"), ("expect", "100-continue")]
)
def test_odd_headers_are_no_fault_of_the_service(by_key, header, value):
    headers = by_key.headers | {header: value} | ({"connection": "upgrade"} if header == "upgrade" else {})
    for path in ("/health", "/version", "/docs", "/openapi.json", "/nowhere"):
        assert httpx.get(by_key.address + path, headers=headers, timeout=5).status_code < 500


@pytest.mark.parametrize("charset", ["undefined", "utf-7", "idna", "\\udc80", "x" * 500])
def test_a_form_in_an_odd_character_set_is_refused(by_key, charset):
    headers = by_key.headers | {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    body = b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--x--\r\n'
    answer = httpx.post(f"{by_key.address}/predict", content=body, headers=headers, timeout=5)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "body", [b'{"request_id": NaN}', b'{"note": "\\ud800"}', b"[" * 60_000, b"\xff", b"1" * 60_000]
)
def test_odd_json_is_refused(by_key, body):
    headers = by_key.headers | {"content-type": "application/json"}
    for path in ("/feedback", "/predict"):
        assert httpx.post(by_key.address + path, content=body, headers=headers, timeout=5).status_code in (400, 422)
