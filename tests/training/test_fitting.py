"""Training to the plateau; and, the big one, training that is killed and ends as if nothing had happened."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.training import fitting, resume
from pipeline.training.batches import Batches
from pipeline.training.fitting import Fitted
from pipeline.training.resume import Resume
from tests.networks import FIT, batches, coloured, equal, tiny, train, weights

REPOSITORY = Path(__file__).parents[2]


class Killed(BaseException):
    """Ends training as a kill does: nothing catches it."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, keras.Model, Fitted]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, *train(folder)


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one_epoch")
    train(folder, max_epochs=1)
    return folder


@pytest.fixture
def started(one_epoch, tmp_path) -> Path:
    """What a training leaves that was stopped after its first epoch."""
    return Path(shutil.copytree(one_epoch, tmp_path / "work"))


def curves(fitted: Fitted):
    return fitted.history.drop(columns="seconds")


def kill_within(epoch: int, monkeypatch) -> None:
    begin, step = fitting.EpochLines.on_epoch_begin, fitting.EpochLines.on_train_batch_end

    def remember(self, number, logs=None):
        self.epoch = number + 1
        begin(self, number, logs)

    def kill(self, batch, logs=None):
        if self.epoch == epoch and batch == 1:
            raise Killed
        step(self, batch, logs)

    monkeypatch.setattr(fitting.EpochLines, "on_epoch_begin", remember)
    monkeypatch.setattr(fitting.EpochLines, "on_train_batch_end", kill)


def kill_before_the_state_of(epoch: int, monkeypatch) -> None:
    """Between the best weights and the state, which are two files."""
    save = resume._save

    def kill(variables, path, meta):
        if path.name == "state.npz" and len(meta["history"]) == epoch:
            raise Killed
        save(variables, path, meta)

    monkeypatch.setattr(resume, "_save", kill)


def test_training_stops_at_the_plateau_and_keeps_the_best_weights(undisturbed, tmp_path):
    _, model, fitted = undisturbed
    best = fitted.best_epoch
    assert best > 2
    assert len(fitted.history) == best + FIT["patience"] < FIT["max_epochs"]
    val = fitted.history["val_loss"]
    assert (val[best:] > val[best - 1] - FIT["min_delta"]).all()
    until_then, _ = train(tmp_path, max_epochs=best)
    assert equal(weights(model), weights(until_then))


def test_the_learning_rate_falls_to_a_fifth_when_the_validation_loss_stalls(undisturbed):
    rates = undisturbed[2].history["learning_rate"].tolist()
    assert rates[:-1] == pytest.approx([FIT["learning_rate"]] * (len(rates) - 1))
    assert rates[-1] == pytest.approx(FIT["learning_rate"] / 5)


def test_the_history_has_a_row_an_epoch(undisturbed):
    history = undisturbed[2].history
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"} < set(history)


@pytest.mark.parametrize(("kill", "after_best"), [(kill_within, 1), (kill_within, 2), (kill_before_the_state_of, -2)])
def test_a_resumed_training_ends_as_if_nothing_had_happened(undisturbed, tmp_path, monkeypatch, kill, after_best):
    _, model, fitted = undisturbed
    kill(fitted.best_epoch + after_best, monkeypatch)
    with pytest.raises(Killed):
        train(tmp_path)
    monkeypatch.undo()
    resumed, again = train(tmp_path)
    assert curves(again).equals(curves(fitted))
    assert again.best_epoch == fitted.best_epoch
    assert equal(weights(resumed), weights(model))


def test_a_training_that_the_system_killed_ends_as_if_nothing_had_happened(undisturbed, tmp_path):
    _, model, fitted = undisturbed
    program = f"from pathlib import Path; from tests.networks import train; train(Path({str(tmp_path)!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        for line in process.stdout:
            if line.startswith("epoch   3"):  # its state may be half written
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    resumed, again = train(tmp_path)
    assert len(again.history) == len(fitted.history)
    np.testing.assert_allclose(curves(again), curves(fitted), rtol=1e-6)
    for ours, theirs in zip(weights(resumed), weights(model), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_finished_training_that_is_called_again_trains_no_more(undisturbed):
    folder, model, fitted = undisturbed
    state = (folder / "state.npz").read_bytes()
    again, found = train(folder)
    assert found.history.equals(fitted.history)  # seconds and all: nothing was computed again
    assert equal(weights(again), weights(model))
    assert (folder / "state.npz").read_bytes() == state


def test_a_training_that_reached_its_last_epoch_trains_no_more(started):
    state = (started / "state.npz").read_bytes()
    _, found = train(started, max_epochs=1)
    assert (len(found.history), found.best_epoch) == (1, 1)
    assert (started / "state.npz").read_bytes() == state


def test_a_loss_that_is_no_number_ends_training_and_keeps_the_state_before(started):
    state = (started / "state.npz").read_bytes()
    pictures, targets = coloured(24)
    poisoned = Batches(np.full(pictures.shape, np.nan), targets, num_classes=3, batch_size=8)
    with pytest.raises(DataError, match="no longer a number in epoch 2") as refused:
        fitting.fit(tiny(), poisoned, batches(12), folder=started, **FIT)
    assert "learning_rate" in refused.value.mend
    assert (started / "state.npz").read_bytes() == state


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
}


def restored(folder: Path, model: keras.Model) -> Resume:
    model.compile(optimizer=keras.optimizers.AdamW(0.01), loss="categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    found = Resume(folder, keras.callbacks.EarlyStopping(), [])
    found.restore(model)
    return found


def test_a_whole_state_is_restored(started):
    model = tiny(seed=5)
    before = weights(model)
    assert len(restored(started, model).history) == 1
    assert not equal(weights(model), before)


@pytest.mark.parametrize("name", ["state.npz", "best.npz"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_is_named_and_training_starts_anew(started, capsys, name, damage):
    damage(started / name)
    model = tiny()
    before = weights(model)
    found = restored(started, model)
    assert (found.history, found.finished, found.next_epoch) == ([], False, 0)
    assert equal(weights(model), before)
    assert "damaged" in capsys.readouterr().out


def test_a_state_without_its_best_weights_is_not_used(started):
    (started / "best.npz").unlink()
    assert restored(started, tiny()).history == []


def test_the_state_of_another_network_is_not_used(started, capsys):
    model = tiny(num_classes=4)
    before = weights(model)
    assert restored(started, model).history == []
    assert equal(weights(model), before)
    assert "another network" in capsys.readouterr().out


def test_a_training_with_a_damaged_state_still_ends(started):
    cut(started / "state.npz")
    _, fitted = train(started, max_epochs=1)
    assert len(fitted.history) == 1
