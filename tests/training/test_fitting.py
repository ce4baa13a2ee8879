"""Training to the plateau, and what stops it before."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from pipeline.errors import DataError, UsageError
from pipeline.models.head import HEAD
from pipeline.training import fitting, monitors
from pipeline.training.batches import Batches
from pipeline.training.fitting import Endless, Fitted, OutOfMemoryError, StopAtNaN, halve_until_it_fits
from pipeline.training.resume import Resume
from tests.networks import FIT, batches, coloured, equal, tiny, train, weights


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[keras.Model, Fitted]:
    return train(tmp_path_factory.mktemp("undisturbed"))


def body(model: keras.Model) -> list[np.ndarray]:
    return [weight for layer in model.layers if layer.name != HEAD for weight in layer.get_weights()]


def test_training_stops_at_the_plateau_and_keeps_the_best_weights(undisturbed, tmp_path):
    model, fitted = undisturbed
    best = fitted.best_epoch
    assert best > 2
    assert len(fitted.history) == best + FIT.patience < FIT.max_epochs
    val = fitted.history["val_loss"]
    assert (val[best:] > val[best - 1] - FIT.min_delta).all()
    until_then, _ = train(tmp_path, max_epochs=best)
    assert equal(weights(model), weights(until_then))


def test_the_learning_rate_falls_to_a_fifth_when_the_validation_loss_stalls(undisturbed):
    rates = undisturbed[1].history["learning_rate"].tolist()
    assert rates[:-1] == pytest.approx([FIT.learning_rate] * (len(rates) - 1))
    assert rates[-1] == pytest.approx(FIT.learning_rate / 5)


def test_the_history_has_a_row_an_epoch(undisturbed):
    history = undisturbed[1].history
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "images_per_second"} < set(
        history
    )


def test_the_network_has_no_optimiser_afterwards(undisturbed):
    """It would be saved with it, three times as large."""
    assert getattr(undisturbed[0], "optimizer", None) is None


def test_a_warm_up_of_the_head_leaves_the_body_as_it_was(tmp_path):
    """Moving statistics included."""
    model, trained = tiny(), {}

    def look(history) -> None:
        trained[len(history)] = np.load(tmp_path / f"state-{len(history)}.npz")

    train(tmp_path, model, max_epochs=3, head_warmup_epochs=2, told=look)
    start = weights(tiny())
    moved = {
        epoch: {
            variable.path
            for number, variable in enumerate(model.variables)
            if not np.array_equal(state[f"v{number}"], start[number])
        }
        for epoch, state in trained.items()
    }
    head = {f"{HEAD}/kernel", f"{HEAD}/bias"}
    weights_of_body = {variable.path for variable in model.weights} - head
    assert head <= moved[2]
    assert not weights_of_body & moved[2]
    assert weights_of_body <= moved[3]


def test_training_says_that_it_continues_only_where_it_was_interrupted(tmp_path, capsys):
    train(tmp_path / "undisturbed", max_epochs=3, head_warmup_epochs=1)
    assert "continues" not in capsys.readouterr().out
    for epochs, said in [(2, []), (3, ["train: continues after epoch 2"])]:
        train(tmp_path / "twice", max_epochs=epochs, head_warmup_epochs=1)
        assert [line for line in capsys.readouterr().out.splitlines() if "continues" in line] == said


def test_epochs_that_train_the_head_alone_are_never_the_best(tmp_path):
    _, fitted = train(tmp_path, max_epochs=3, head_warmup_epochs=2)
    assert fitted.best_epoch == 3


def test_a_frozen_layer_is_never_trained_whatever_the_phase(tmp_path):
    model = tiny()
    for layer in model.layers:
        layer.trainable = layer.name == HEAD
    before = body(model)
    train(tmp_path, model, max_epochs=3, head_warmup_epochs=1)
    assert equal(body(model), before)


def test_the_averages_are_what_is_validated_and_kept(tmp_path):
    model, fitted = train(tmp_path, max_epochs=2, ema=0.8, weight_decay=0.0)
    model.compile(loss=keras.losses.CategoricalCrossentropy(label_smoothing=FIT.label_smoothing))
    found = model.evaluate(batches(12, seed=2), verbose=0)
    assert found == pytest.approx(fitted.history["val_loss"].min(), rel=1e-5)
    raw, _ = train(tmp_path / "raw", max_epochs=2, weight_decay=0.0)
    assert not equal(weights(raw), weights(model))


def test_with_cosine_decay_the_rate_ends_near_nothing(tmp_path):
    _, fitted = train(tmp_path, max_epochs=4, decay="cosine", patience=9)
    rates = fitted.history["learning_rate"]
    assert rates.is_monotonic_decreasing
    assert rates.iloc[-1] < 0.1 * FIT.learning_rate


def test_classes_can_weigh_differently(tmp_path):
    equally, _ = train(tmp_path / "a", max_epochs=1)
    weighted, _ = train(tmp_path / "b", max_epochs=1, class_weights={0: 5.0, 1: 0.1, 2: 0.1})
    assert not equal(weights(equally), weights(weighted))


class Poisoned(Batches):
    def __getitem__(self, number: int):
        pixels, targets = super().__getitem__(number)
        return pixels, targets * np.nan


def test_a_loss_that_is_no_number_ends_training_at_the_step_and_keeps_the_state_before(tmp_path):
    train(tmp_path, max_epochs=1)
    state = (tmp_path / "state-1.npz").read_bytes()
    poisoned = Poisoned(*coloured(24), num_classes=3, batch_size=8)
    with pytest.raises(DataError, match="no longer a number at step 1 of epoch 2; the state after epoch 1") as refused:
        fitting.fit(tiny(), poisoned, batches(12), FIT, folder=tmp_path)
    assert "learning_rate" in refused.value.mend
    assert (tmp_path / "state-1.npz").read_bytes() == state


@pytest.mark.parametrize(
    ("loss", "said"), [(1e6, "exploded to 1000000"), (float("nan"), "no longer a number"), (1e99, "exploded")]
)
def test_a_loss_that_explodes_ends_training(tmp_path, loss, said):
    stop = StopAtNaN(Resume(tmp_path, keras.callbacks.EarlyStopping(), []))
    stop.on_train_batch_end(0, {"loss": 7.0})
    with pytest.raises(DataError, match=said):
        stop.on_train_batch_end(1, {"loss": loss})


class Failing(Batches):
    """Meets a fault in the second batch of an epoch."""

    fault: Exception = DataError("a picture cannot be read", where="library/cat/7.jpg")
    epoch = 1  # counted from 0

    def __getitem__(self, number: int):
        if self._epoch == self.epoch and number == 1:
            raise self.fault
        return super().__getitem__(number)


def failing(fault: Exception, *, epoch: int = 1) -> Failing:
    found = Failing(*coloured(24), num_classes=3, batch_size=8)
    found.fault, found.epoch = fault, epoch
    return found


def test_a_picture_that_fails_in_the_middle_of_an_epoch_is_named(tmp_path):
    fault = DataError("a picture cannot be read", where="library/cat/7.jpg")
    with pytest.raises(DataError) as refused:
        fitting.fit(tiny(), failing(fault), batches(12), FIT, folder=tmp_path)
    assert refused.value is fault
    assert (tmp_path / "state-1.npz").exists()


def test_a_picture_that_fails_in_validation_is_named(tmp_path):
    fault = DataError("a picture cannot be read", where="library/cat/7.jpg")
    with pytest.raises(DataError) as refused:
        fitting.fit(tiny(), batches(24), failing(fault, epoch=0), FIT, folder=tmp_path)  # each starts again
    assert refused.value is fault


def test_a_batch_too_large_for_the_memory_is_halved_and_said(tmp_path, capsys):
    def attempt(batch_size: int) -> Fitted:
        tried.append(batch_size)
        data = failing(MemoryError()) if batch_size > 4 else batches(24)
        return fitting.fit(tiny(), data, batches(12), replace(FIT, max_epochs=2), folder=tmp_path)

    tried: list[int] = []
    fitted, batch_size = halve_until_it_fits(attempt, 16)
    assert (tried, batch_size) == ([16, 8, 4], 4)
    assert len(fitted.history) == 2
    assert "16 images a step do not fit in memory, 8 are tried" in capsys.readouterr().out


def test_where_not_even_one_picture_fits_training_says_so():
    def attempt(batch_size: int) -> Fitted:
        raise OutOfMemoryError

    with pytest.raises(DataError, match="not even one"):
        halve_until_it_fits(attempt, 4)


def test_a_bug_is_not_dressed_up(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fitting.fit(tiny(), failing(ZeroDivisionError()), batches(12), FIT, folder=tmp_path)


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(UsageError, match="TensorBoard is not installed"):
        train(tmp_path, max_epochs=1, tensorboard=tmp_path / "curves")


def test_epochs_follow_each_other_in_one_row_and_each_has_its_own_order():
    data = batches(24, augment=True)
    turns = [Endless(data, first_epoch=2)[turn][0] for turn in range(6)]
    for place, epoch in enumerate((2, 3)):
        expected = [data.of_epoch(epoch)[number][0] for number in range(3)]
        assert equal(turns[3 * place : 3 * place + 3], expected)


@pytest.mark.parametrize("name", [name for name in monitors.MONITORS if name != "loss"])
def test_training_stops_by_the_metric_that_is_watched_and_keeps_its_best_epoch(name, tmp_path, capsys):
    model, fitted = train(tmp_path, max_epochs=4, patience=1, min_delta=0.0, monitor=name)
    watched = fitted.history[monitors.MONITORS[name].column]
    best = watched.idxmin() if monitors.MONITORS[name].mode == "min" else watched.idxmax()
    assert fitted.best_epoch == best + 1
    assert len(fitted.history) <= fitted.best_epoch + 1
    again, resumed = train(tmp_path, max_epochs=4, patience=1, min_delta=0.0, monitor=name)
    assert resumed.best_epoch == fitted.best_epoch
    assert equal(weights(again), weights(model))
