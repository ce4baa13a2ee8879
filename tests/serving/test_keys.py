"""Who may ask, how often, and what is fetched for them."""

import http.server
import threading

import pytest

from pipeline.errors import DataError, UsageError
from pipeline.serving import fetching, keys
from pipeline.serving.keys import Keys


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_known_by_its_hash_alone(tmp_path):
    key = keys.add(tmp_path / "keys.json", "ann", per_minute=60)
    assert key not in (tmp_path / "keys.json").read_text()
    known = Keys(tmp_path / "keys.json").client(key)
    assert (known.name, known.per_minute) == ("ann", 60)
    assert Keys(tmp_path / "keys.json").client(key[:-1]) is None


def test_a_key_that_is_revoked_is_refused_by_a_running_service(tmp_path, clock):
    path = tmp_path / "keys.json"
    key = keys.add(path, "ann", per_minute=60)
    running = Keys(path, clock)
    assert running.client(key)
    keys.revoke(path, "ann")
    clock.now += 2
    assert running.client(key) is None


def test_a_file_of_keys_that_is_half_edited_leaves_those_that_were_valid(tmp_path, clock):
    path = tmp_path / "keys.json"
    key = keys.add(path, "ann", per_minute=60)
    running = Keys(path, clock)
    assert running.client(key)
    path.write_text("[{")
    clock.now += 2
    assert running.client(key)


def test_as_many_requests_as_a_minute_allows_may_come_at_once_and_then_by_the_rate(tmp_path, clock):
    key = keys.Key("ann", "h", per_minute=6)
    limits = Keys(tmp_path / "none", clock)
    assert [limits.take(key) for _ in range(7)] == [0] * 6 + [pytest.approx(10)]
    clock.now += 10
    assert limits.take(key) == 0
    assert limits.take(key) > 0


def test_what_a_request_holds_beyond_one_picture_delays_the_next(tmp_path, clock):
    key = keys.Key("ann", "h", per_minute=6)
    limits = Keys(tmp_path / "none", clock)
    limits.take(key)
    limits.charge(key, 11)
    assert limits.take(key) == pytest.approx(70)


@pytest.mark.parametrize("name", ["", "a b", "../a", "a\nb", "x" * 61])
def test_a_name_that_can_name_no_client_is_refused(tmp_path, name):
    with pytest.raises(UsageError):
        keys.add(tmp_path / "keys.json", name, per_minute=60)


def test_another_file_is_not_taken_for_one_of_keys(tmp_path):
    (tmp_path / "keys.json").write_text('[{"name": "ann"}]')
    with pytest.raises(DataError, match="not a list of keys"):
        keys.read(tmp_path / "keys.json")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "https://pictures.example.org@evil.example/a.jpg",
        "https://pictures.example.org.evil.example/a.jpg",
        "https://pictures.example.org/public/../secret.jpg",
        "https://pictures.example.org/public/%2e%2e/secret.jpg",
        "https://pictures.example.org/public/%252e%252e/secret.jpg",
        "https://pictures.example.org/public/a.jpg\r\nHost: evil",
        "HTTPS://PICTURES.EXAMPLE.ORG/public/a.jpg",
    ],
)
def test_only_what_lies_below_an_address_that_is_allowed_is_fetched(url):
    with pytest.raises(UsageError, match="not fetched"):
        fetching.refuse_foreign(url, ["https://pictures.example.org/public/"])
    fetching.refuse_foreign(
        "https://pictures.example.org/public/a..b.jpg?x=1", ["https://pictures.example.org/public/"]
    )


@pytest.fixture
def site():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = {"/moved": 302, "/gone": 404}.get(self.path, 200)
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/large")
            self.end_headers()
            if status == 200:
                self.wfile.write(b"x" * (2000 if self.path == "/large" else 10))

        def log_message(self, *_) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_picture_is_fetched_but_no_redirect_is_followed_and_no_large_one_read(site):
    assert fetching.fetch(f"{site}/picture", most=1000) == b"x" * 10
    for path, why in (("moved", "answers 302"), ("gone", "answers 404"), ("large", "more than")):
        with pytest.raises(fetching.FetchError, match=why):
            fetching.fetch(f"{site}/{path}", most=1000)


def test_an_address_that_does_not_answer_says_so():
    with pytest.raises(fetching.FetchError, match="does not answer"):
        fetching.fetch("http://127.0.0.1:1/a", most=10)
