import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.models.head import HEAD
from pipeline.training import hardware
from pipeline.training.fitting import Endless
from tests.networks import batches, coloured, equal, tiny, train, weights

REPOSITORY = Path(__file__).parents[2]


def test_a_twin_says_the_same_and_shares_nothing():
    model = tiny()
    twin = hardware.twin(model)
    pictures, _ = coloured(4)
    assert np.array_equal(model.predict(pictures, verbose=0), twin.predict(pictures, verbose=0))
    assert equal(weights(twin), weights(model))
    twin.get_layer(HEAD).kernel.assign(twin.get_layer(HEAD).kernel * 0)
    assert not equal(weights(twin), weights(model))


def test_a_twin_keeps_what_is_frozen():
    model = tiny()
    model.layers[2].trainable = False
    assert [layer.trainable for layer in hardware.twin(model).layers] == [layer.trainable for layer in model.layers]


def test_a_network_is_fed_each_batch_once_and_in_order():
    data = batches(26, augment=True)
    fed = [tuple(np.asarray(array) for array in batch) for batch in hardware.feed(data)]
    assert len(fed) == len(data)
    assert all(equal(some, data[number]) for number, some in enumerate(fed))


def test_keras_does_not_warn_of_an_input_that_has_an_end(recwarn):
    assert tiny().predict(hardware.feed(batches(26)), verbose=0).shape == (26, 3)
    assert not [one for one in recwarn if "ran out of data" in str(one.message)]


def test_an_endless_input_goes_on_where_training_is_continued():
    data = batches(24, augment=True)
    fed = iter(hardware.feed(Endless(data, first_epoch=3)))
    for turn in range(2 * len(data)):
        epoch, number = divmod(turn, len(data))
        expected = batches(24, augment=True).of_epoch(3 + epoch)[number]
        assert equal([np.asarray(array) for array in next(fed)], expected)


def test_the_input_has_no_thread_that_tunes_it_and_that_the_end_would_wait_for():
    assert hardware.feed(batches()).options().autotune.enabled is False


def test_in_mixed_precision_the_head_and_all_weights_stay_whole():
    twin = hardware.twin(tiny(), precision="mixed_bfloat16")
    assert twin.get_layer(HEAD).compute_dtype == "float32"
    assert {layer.compute_dtype for layer in twin.layers if layer.weights and layer.name != HEAD} == {"bfloat16"}
    assert {variable.dtype for variable in twin.weights} == {"float32"}


def test_a_network_trained_in_mixed_precision_is_an_ordinary_one(tmp_path):
    model, fitted = train(tmp_path, max_epochs=2, precision="mixed_bfloat16")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert len(fitted.history) == 2


def test_the_lower_precision_is_taken_only_where_it_is_faster(monkeypatch):
    rates = {"float32": 100.0}
    monkeypatch.setattr(hardware, "images_per_second", lambda model, *, batch_size, precision: rates[precision])
    for rate, chosen in [(101.0, "float32"), (50.0, "float32"), (200.0, "mixed_bfloat16")]:
        rates["mixed_bfloat16"] = rate
        assert hardware.fastest_precision(tiny(), batch_size=8) == chosen


@pytest.mark.parametrize(
    ("rates", "most", "chosen"),
    [
        ({8: 100, 16: 150, 32: 151, 64: 500}, 512, 16),  # 32 is hardly faster
        ({8: 100, 16: 150, 32: 200}, 16, 16),
        ({8: 100, 16: 150, 32: 200}, 512, 32),  # 64 does not fit
        ({8: 100}, 3, 8),
    ],
)
def test_the_batch_grows_while_it_fits_and_pays(monkeypatch, rates, most, chosen):
    def rate(model, *, batch_size, **_) -> float:
        if batch_size not in rates:
            raise MemoryError
        return rates[batch_size]

    monkeypatch.setattr(hardware, "images_per_second", rate)
    assert hardware.best_batch_size(tiny(), most=most) == chosen


def test_the_batch_stays_small_where_memory_is_short(monkeypatch):
    held = iter(range(0, 10**12, 10**9))
    monkeypatch.setattr(hardware, "images_per_second", lambda model, *, batch_size, **_: float(batch_size))
    monkeypatch.setattr(hardware, "resident", lambda: next(held))
    monkeypatch.setattr(hardware, "_available", lambda: 3e9)
    assert hardware.best_batch_size(tiny(), most=512) == 8


def test_a_measured_network_is_left_as_it_is():
    model = tiny()
    before = weights(model)
    assert hardware.images_per_second(model, batch_size=4, steps=1) > 0
    assert equal(weights(model), before)


def test_memory_errors_are_told_by_name_also_in_an_error_s_text():
    class ResourceExhaustedError(Exception):
        pass

    assert all(map(hardware.is_out_of_memory, [MemoryError(), ResourceExhaustedError(), OSError("RESOURCE_EXHAUSTED")]))
    assert not hardware.is_out_of_memory(ValueError("shape"))


def test_two_devices_train_one_network(tmp_path):
    """Two logical ones, in a process of its own: they are made before TensorFlow starts."""
    program = (
        "import sys; from pathlib import Path; import tensorflow as tf; import numpy as np;"
        "device = tf.config.LogicalDeviceConfiguration();"
        "cpu = tf.config.list_physical_devices('CPU')[0];"
        "tf.config.set_logical_device_configuration(cpu, [device, device]);"
        "from tests.networks import train, tiny, weights; before = weights(tiny());"
        "folder = Path(sys.argv[1]); settings = {'ema': 0.8, 'head_warmup_epochs': 1, 'body_rate': 0.5};"
        "run = lambda epochs: train(folder, max_epochs=epochs, devices=['CPU:0', 'CPU:1'], **settings);"
        "run(2); model, fitted = run(3);"
        "assert len(fitted.history) == 3 and np.isfinite(fitted.history['val_loss']).all(), fitted.history;"
        "assert not any(map(np.array_equal, before[:1], weights(model)[:1]));"
        "print('trained', tf.distribute.get_strategy().num_replicas_in_sync)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert "trained 1" in result.stdout, result.stderr[-3000:]
