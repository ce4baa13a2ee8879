"""Who may ask, and how often."""

import pytest

from pipeline.errors import DataError, UsageError
from pipeline.serving import keys
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


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_no_positive_number_is_refused(tmp_path, rate):
    with pytest.raises(UsageError, match="images a minute"):
        keys.add(tmp_path / "keys.json", "ann", per_minute=rate)
    assert not (tmp_path / "keys.json").exists()


def test_another_file_is_not_taken_for_one_of_keys(tmp_path):
    (tmp_path / "keys.json").write_text('[{"name": "ann"}]')
    with pytest.raises(DataError, match="not a list of keys"):
        keys.read(tmp_path / "keys.json")
