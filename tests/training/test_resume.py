"""The big one: training that is killed at any moment ends as if nothing had happened."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pandas as pd
import pytest

from pipeline.errors import ResumableError
from pipeline.training import resume
from pipeline.training.fitting import Fitted
from pipeline.training.reporting import EpochLines
from pipeline.training.resume import Resume
from tests.networks import FIT, equal, tiny, train, weights

REPOSITORY = Path(__file__).parents[2]
SCHEDULES: dict[str, dict] = {
    "as configured": {},
    "averages and warm-up": {"ema": 0.8, "warmup_epochs": 1.5},
    "cosine": {"decay": "cosine", "max_epochs": 8, "warmup_epochs": 0.5, "body_rate": 0.3},
    "head first": {"head_warmup_epochs": 2, "ema": 0.8, "optimizer": "rmsprop", "loss": "focal"},
}


class Killed(BaseException):
    """Ends training as a kill does: nothing catches it."""


def run(folder: Path, schedule: str) -> tuple[keras.Model, Fitted]:
    return train(folder, **SCHEDULES[schedule])


@pytest.fixture(scope="module", params=SCHEDULES)
def undisturbed(request, tmp_path_factory) -> tuple[str, keras.Model, Fitted]:
    return request.param, *run(tmp_path_factory.mktemp("undisturbed"), request.param)


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two_epochs")
    train(folder, max_epochs=2)
    return folder


@pytest.fixture
def started(two_epochs, tmp_path) -> Path:
    """What a training leaves that was stopped after its second epoch."""
    return Path(shutil.copytree(two_epochs, tmp_path / "work"))


def curves(fitted: Fitted):
    return fitted.history.drop(columns=["seconds", "images_per_second"])


def same(some: tuple[keras.Model, Fitted], others: tuple[keras.Model, Fitted]) -> None:
    assert curves(some[1]).equals(curves(others[1]))
    assert some[1].best_epoch == others[1].best_epoch
    assert equal(weights(some[0]), weights(others[0]))


def kill_within(epoch: int, monkeypatch) -> None:
    begin, step = EpochLines.on_epoch_begin, EpochLines.on_train_batch_end

    def remember(self, number, logs=None):
        self.epoch = number + 1
        begin(self, number, logs)

    def kill(self, batch, logs=None):
        if self.epoch == epoch and batch == 1:
            raise Killed
        step(self, batch, logs)

    monkeypatch.setattr(EpochLines, "on_epoch_begin", remember)
    monkeypatch.setattr(EpochLines, "on_train_batch_end", kill)


def kill_before_the_state_of(epoch: int, monkeypatch) -> None:
    """Between the best weights and the state, which are two files."""
    save = resume._save

    def kill(variables, path, meta):
        if path.name == f"state-{epoch}.npz":
            raise Killed
        save(variables, path, meta)

    monkeypatch.setattr(resume, "_save", kill)


@pytest.mark.parametrize(
    ("kill", "epoch"), [(kill_within, 3), (kill_before_the_state_of, 2), (kill_before_the_state_of, 4)]
)
def test_a_resumed_training_ends_as_if_nothing_had_happened(undisturbed, tmp_path, monkeypatch, kill, epoch):
    schedule, *whole = undisturbed
    kill(epoch, monkeypatch)
    with pytest.raises(Killed):
        run(tmp_path, schedule)
    monkeypatch.undo()
    same(run(tmp_path, schedule), whole)


def test_a_training_that_the_system_kills_at_random_moments_ends_as_if_nothing_had_happened(tmp_path):
    """In processes of their own, so that not even the order of threads is left."""
    program = (
        "import sys; from pathlib import Path; from tests.networks import train; from pipeline.training import fitting;"
        "fitting.set_seed(0); folder = Path(sys.argv[1]);"
        "model, fitted = train(folder, ema=0.8, warmup_epochs=1.5, head_warmup_epochs=1);"
        "model.save_weights(folder / 'end.weights.h5'); fitted.history.to_csv(folder / 'end.csv')"
    )

    def start(folder: Path) -> subprocess.Popen:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", program, str(folder)]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        return subprocess.Popen(command, cwd=REPOSITORY, **output)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with start(whole) as process:
        process.communicate()
    moments, kills = random.Random(0), 0
    while not (killed / "end.csv").exists():
        with start(killed) as process:
            for line in process.stdout:
                if kills < 3 and line.startswith("epoch "):  # the state of this epoch may be half written
                    time.sleep(moments.uniform(0, 0.05))
                    os.kill(process.pid, signal.SIGKILL)
                    kills += 1
                    break
    assert kills == 3
    ours, theirs = ((folder / "end.weights.h5") for folder in (killed, whole))
    loaded = []
    for path in (ours, theirs):
        model = tiny(seed=9)
        model.load_weights(path)
        loaded.append(model.get_weights())
    assert equal(*loaded)
    tables = [
        pd.read_csv(folder / "end.csv").drop(columns=["seconds", "images_per_second"]) for folder in (killed, whole)
    ]
    assert tables[0].equals(tables[1])


def test_a_finished_training_that_is_called_again_trains_no_more(undisturbed, tmp_path):
    schedule, *whole = undisturbed
    run(tmp_path, schedule)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = run(tmp_path, schedule)
    same(again, whole)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_last_two_states_and_their_best_weights_are_kept(tmp_path):
    _, fitted = train(tmp_path)
    last, best = len(fitted.history), fitted.best_epoch
    assert {path.name for path in tmp_path.iterdir()} == {
        f"state-{last - 1}.npz",
        f"state-{last}.npz",
        f"best-{best}.npz",
    }


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200:260] = b"x" * 60
    path.write_bytes(data)


DAMAGE = {
    "cut short": cut,
    "garbled": garble,
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"state"),
    "gone": lambda path: path.unlink(),
}


def restored(folder: Path, model: keras.Model) -> Resume:
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    found = Resume(folder, keras.callbacks.EarlyStopping(), [])
    found.restore(model, "all")
    return found


def test_a_whole_state_is_restored(started):
    model = tiny(seed=5)
    before = weights(model)
    assert len(restored(started, model).history) == 2
    assert not equal(weights(model), before)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_where_the_newest_state_is_damaged_the_one_before_is_used(started, capsys, damage):
    damage(started / "state-2.npz")
    assert restored(started, tiny()).next_epoch == 1
    if (started / "state-2.npz").exists():
        assert "state saved after epoch 2 is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("names", [["state-1.npz", "state-2.npz"], ["best-1.npz", "best-2.npz"]], ids=["state", "best"])
@pytest.mark.parametrize("damage", [cut, garble])
def test_where_no_state_is_whole_training_starts_anew(started, capsys, names, damage):
    for name in names:
        if (started / name).exists():
            damage(started / name)
    model = tiny()
    before = weights(model)
    found = restored(started, model)
    assert (found.history, found.finished, found.next_epoch) == ([], False, 0)
    assert equal(weights(model), before)
    assert "starts anew" in capsys.readouterr().out


def test_a_training_whose_newest_state_is_damaged_ends_as_if_nothing_had_happened(started, tmp_path):
    cut(started / "state-2.npz")
    same(train(started, max_epochs=4), train(tmp_path / "other", max_epochs=4))


def test_the_state_of_another_network_is_not_used(started, capsys):
    model = tiny(num_classes=4)
    before = weights(model)
    assert restored(started, model).history == []
    assert equal(weights(model), before)
    assert "another network" in capsys.readouterr().out


def test_what_a_kill_during_a_write_has_left_is_removed(started):
    (started / ".state-3.npz.123.tmp").write_bytes(b"half")
    restored(started, tiny())
    assert not list(started.glob(".*"))


def test_a_full_disk_keeps_the_state_before(started, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(ResumableError, match="the disk is full"):
            train(started, max_epochs=3)
    assert restored(started, tiny()).next_epoch == 2


def test_each_epoch_is_told_once_it_is_safe(tmp_path):
    told = []
    train(tmp_path, max_epochs=2, told=lambda history: told.append((len(history), len(list(tmp_path.glob("state-*"))))))
    assert told == [(1, 1), (2, 2)]


def test_patience_of_the_first_run_is_kept(undisturbed):
    schedule, _, fitted = undisturbed
    if schedule != "cosine":
        assert len(fitted.history) == fitted.best_epoch + FIT.patience < FIT.max_epochs
