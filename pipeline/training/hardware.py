"""What the machine can do: several devices, lower precision, and how large a batch pays."""

import gc
import os
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from itertools import count
from typing import Any

import keras
import numpy as np

from pipeline.models.head import HEAD

PRECISIONS = ("float32", "mixed_bfloat16")
WORTH_IT = 1.05  # a larger batch, or a lower precision, must be faster by this
MEMORY_ERRORS = ("ResourceExhaustedError", "OutOfMemoryError", "MemoryError")


def deterministic() -> None:
    """Makes TensorFlow sum in the same order each time, on CPU: there it costs nothing, on a GPU it is slow."""
    if keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu"):
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def devices(number: int) -> list[str]:
    """The names of the local GPUs to train on, at most `number`; with 0 all there are. None where there are no GPUs."""
    found = keras.distribution.list_devices("gpu")
    return found[: number or len(found)]


def twin(model: keras.Model, *, precision: str = "float32", devices: list[str] | None = None) -> keras.Model:
    """Returns a copy of `model` to be trained, with its weights, its random state and what it has frozen.

    Args:
      precision: float32 or mixed_bfloat16, in which all layers but the head compute; weights stay float32.
      devices: two or more to mirror the copy on, each taking its part of every batch (TensorFlow only).
    """

    def cloned(layer: keras.Operation) -> keras.Operation:
        config = layer.get_config()
        computes = isinstance(layer, keras.layers.Layer) and not isinstance(layer, keras.layers.InputLayer)
        if computes and layer.name != HEAD:  # a plain operation computes as what it is given
            config["dtype"] = precision
        return layer.__class__.from_config(config)

    with _mirrored(devices or []):
        copy = keras.models.clone_model(model, clone_function=cloned)
        for layer, original in zip(copy.layers, model.layers, strict=True):
            layer.trainable = original.trainable
        copy_variables(model, copy)
    return copy


def copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Weights and random state."""
    for variable, value in zip(target.variables, source.variables, strict=True):
        variable.assign(value)


def scope(model: keras.Model) -> AbstractContextManager:
    """Where the optimiser of a model must be made that lies on several devices."""
    strategy = getattr(model, "distribute_strategy", None)
    return nullcontext() if strategy is None else strategy.scope()


def feed(batches: keras.utils.PyDataset) -> Any:
    """What `fit` and `predict` are given, so that they read `batches` one step ahead.

    Of TensorFlow, a `tf.data.Dataset` that does not tune itself. It has nothing to tune here, and Keras' own has a
    thread for it that now and then misses the word to end: on a busy machine, every third training stood still at its
    end, for as long as it had taken, a minute at most.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    number = batches.num_batches
    size = tf.data.INFINITE_CARDINALITY if number is None else number  # else Keras warns at the end that none is left
    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batches[0])
    options = tf.data.Options()
    options.autotune.enabled = False
    read = tf.data.Dataset.from_generator(
        lambda: map(batches.__getitem__, count() if number is None else range(number)), output_signature=signature
    )
    return read.apply(tf.data.experimental.assert_cardinality(size)).prefetch(1).with_options(options)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too small, of the device or the machine; by name, as each backend has its own error."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & set(MEMORY_ERRORS)) or "MemoryError" in str(error) or "RESOURCE_EXHAUSTED" in str(error)


def fastest_precision(model: keras.Model, *, batch_size: int) -> str:
    """Measures a training step in each precision; takes the lower one only where it is faster by a twentieth."""
    full, mixed = (images_per_second(model, batch_size=batch_size, precision=name) for name in PRECISIONS)
    return PRECISIONS[mixed > WORTH_IT * full]


def best_batch_size(
    model: keras.Model, *, most: int, least: int = 8, precision: str = "float32", devices: list[str] | None = None
) -> int:
    """The largest power of two, from `least` to `most`, that fits in memory and trains faster than its half."""
    best, best_rate, before = least, 0.0, resident()
    while (size := best * 2 if best_rate else best) <= max(most, least):
        try:
            rate = images_per_second(model, batch_size=size, precision=precision, devices=devices)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        if rate < WORTH_IT * best_rate:
            break
        best, best_rate = size, rate
        grown, before = resident() - before, resident()
        if 4 * grown > _available():  # twice as large a batch needs twice as much, and others need some too
            break
    return best


def images_per_second(
    model: keras.Model,
    *,
    batch_size: int,
    precision: str = "float32",
    devices: list[str] | None = None,
    steps: int = 3,
) -> float:
    """The rate of training steps on one batch held in memory, the best of `steps`; `model` is left as it is."""
    trial = twin(model, precision=precision, devices=devices)
    with scope(trial):
        trial.compile(keras.optimizers.AdamW(1e-6), "categorical_crossentropy", jit_compile=jit())
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, *model.input_shape[1:]), dtype=np.uint8)
    targets = np.eye(model.output_shape[-1], dtype=np.float32)[np.arange(batch_size) % model.output_shape[-1]]
    trial.train_on_batch(pixels, targets)  # traces the step
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        trial.train_on_batch(pixels, targets)
        seconds.append(time.perf_counter() - start)
    del trial
    gc.collect()
    return batch_size / min(seconds)


def jit() -> bool | str:
    """TensorFlow's XLA is slower than its plain graph on CPU, and takes a minute to compile."""
    return False if keras.backend.backend() == "tensorflow" else "auto"


def _mirrored(devices: list[str]) -> AbstractContextManager:
    if len(devices) < 2 or keras.backend.backend() != "tensorflow":
        return nullcontext()
    return _strategy(tuple(devices)).scope()


@cache  # a second one in the same process would number its collective operations as the first
def _strategy(devices: tuple[str, ...]):
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def resident() -> int:
    """The most memory that this process has held, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _available() -> float:
    """Free memory in bytes; without end where the system does not tell."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
