"""Work that is done beside the answers ends when it is told to, and says whether it was done."""

import threading
import time
from pathlib import Path

from pipeline.serving.apart import Apart


def write(path: Path) -> None:
    print("nobody sees this")
    path.write_text("done")


def fail() -> None:
    raise ValueError("on purpose")


def test_what_is_done_apart_is_done_once_it_returns(tmp_path, capfd):
    apart = Apart()
    assert apart.run(write, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "done"
    assert not apart.run(fail)
    out, err = capfd.readouterr()
    assert out == ""
    assert "ValueError: on purpose" in err


def test_a_stop_ends_what_runs_at_once_and_begins_nothing_any_more(tmp_path):
    apart, ended = Apart(), list[bool]()
    running = threading.Thread(target=lambda: ended.append(apart.run(time.sleep, 60)))
    running.start()
    time.sleep(0.5)
    began = time.monotonic()
    apart.stop()
    running.join(10)
    assert ended == [False]
    assert time.monotonic() - began < 5
    assert not apart.run(write, tmp_path / "file")
    assert not (tmp_path / "file").exists()
