"""What is worth knowing before a long training: each check says what it measured, and what to do about it.

The list is Karpathy's ("A Recipe for Training Neural Networks", 2019): the loss at the start, one batch overfitted,
what reaches the network looked at. What is trained is a copy, `practising`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.models.hub_layer import module_of
from pipeline.training import hardware
from pipeline.training.fitting import Fitted

PASS, WARN, FAIL = "pass", "warn", "FAIL"
NAMED = 5  # classes or weights in a message

BATCH = 32
RATES = (1e-3, 1e-4)  # of Adam, tried in turn; not the params': this is about the network and the pictures
OVERFIT_STEPS = 200  # at each rate
LEARNT = 0.98  # share of the pictures that must be right, in the last epoch of the overfitting
ABOVE, BELOW = 1.0, 0.6  # the loss at the start: at most this much above ln(classes), and at least this share of it

SCALES = {  # what black and white become in networks that are known to work
    "-1 to 1": (-1.0, 1.0),
    "0 to 1": (0.0, 1.0),
    "ImageNet's mean and deviation": (-2.118, 2.640),
    "ImageNet's mean": (-123.68, 151.06),
}
OF_A_MODULE = {"0 to 255, which the module scales itself": (0.0, 255.0)}  # what is inside it cannot be seen
SLACK = 0.1  # of a scale
CHANNELS = 0.7  # the narrowest channel against the widest
SPREAD = 0.05  # least standard deviation of real pictures, as a share of the way from black to white


@dataclass(frozen=True)
class Finding:
    """What a check found: pass, warn or FAIL; the figure; and what to do, unless it passed."""

    check: str
    verdict: str
    measured: str
    mend: str = ""


def verdict(check: str, passed: bool, measured: str, mend: str) -> Finding:
    return Finding(check, PASS, measured) if passed else Finding(check, FAIL, measured, mend)


def classes_present(rows: pd.DataFrame) -> Finding:
    """Whether every class of val and test is in train; a class without val images is a warning.

    Args:
      rows: of the split; columns `set`, `label`.
    """
    check = "every class is present"
    train, val, test = (set(rows.loc[rows["set"] == name, "label"]) for name in ("train", "val", "test"))
    if len(train) < 2:
        return Finding(check, FAIL, f"{len(train)} classes in train", "label more, or lower curate.min_images")
    untrained = sorted((val | test) - train)
    if untrained:
        measured = f"in val or test and not in train: {_some(untrained)}"
        return Finding(check, FAIL, measured, "label more images of them, or lower split.val and split.test")
    if not val:
        return Finding(check, FAIL, "no validation image", "label more real images, or raise split.val")
    fewest = rows.loc[rows["set"] == "train", "label"].value_counts()
    measured = f"{len(train)} classes, {len(rows)} images; the fewest to train on: {fewest.min()} of {fewest.idxmin()}"
    unvalidated = sorted(train - val)
    if unvalidated:
        measured += f"; none to validate on: {_some(unvalidated)}"
        return Finding(check, WARN, measured, "label more images of them: the plateau is that of the others")
    return Finding(check, PASS, measured)


def inputs_scaled(model: keras.Model, pixels: np.ndarray) -> Finding:
    """Whether what reaches the first layer with weights is on a scale that networks are trained on.

    Black and white pictures tell the scale: a scaling that is missing, or done twice, fits none. Real pictures tell
    whether they were scaled before they came.

    Args:
      pixels: of real pictures, as training hands them over (N, S, S, 3).
    """
    reaching = before_first_weights(model)
    extremes = np.stack([np.zeros(pixels.shape[1:], np.float32), np.full(pixels.shape[1:], 255, np.float32)])
    low, high = (_channels(value) for value in reaching.predict(extremes, verbose=0))
    real = reaching.predict(pixels, batch_size=BATCH, verbose=0)
    way = np.abs(high - low)
    ends = float(min(low.min(), high.min())), float(max(low.max(), high.max()))
    scales = SCALES | OF_A_MODULE if module_of(model) else SCALES
    scale = next((name for name, known in scales.items() if _fits(ends, known)), "no known scale")
    spread = float(real.std()) / max(float(way.mean()), 1e-12)
    measured = (
        f"black to white: {ends[0]:.3g} to {ends[1]:.3g} ({scale});"
        f" real pictures: mean {real.mean():.3g}, deviation {real.std():.3g}, {real.min():.3g} to {real.max():.3g}"
    )
    sound = scale in scales and way.min() >= CHANNELS * way.max() and spread >= SPREAD and np.isfinite(real).all()
    mend = "pixels go in as 0 to 255 and the network scales them once: look at the layer `scale` of its file"
    if module_of(model):
        mend += ", and at input_range in the preset"
    return verdict("inputs are scaled as the network expects", bool(sound), measured, mend)


def before_first_weights(model: keras.Model) -> keras.Model:
    """The part of `model` before its first layer that has weights, `keras.layers.Normalization` not counted."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            entry = layer._inbound_nodes[-1].input_tensors[0]  # `layer.input` is that of its own graph
            return keras.Model(model.input, before_first_weights(layer)(entry))
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            return keras.Model(model.input, layer.input)
    return model


def first_loss(model: keras.Model, pixels: np.ndarray, targets: np.ndarray) -> float:
    """The loss of the first step.

    Args:
      model: with a new, random head.
      targets: class index of each picture (N,).
    """
    trial = hardware.twin(model)
    probs = [
        keras.ops.convert_to_numpy(trial(pixels[first : first + BATCH].astype(np.float32), training=True))
        for first in range(0, len(pixels), BATCH)
    ]
    own = np.concatenate(probs)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(own, 1e-12)).mean())


def loss_at_start(loss: float, classes: int, *, trains: bool = False) -> Finding:
    """Whether a new head says as good as nothing: the loss of the first step is near ln(classes).

    Args:
      loss: of the first step.
      classes: how many there are.
      trains: whether the checks that train for a while have passed: then a loss that is too large is a warning. A
        network without normalisation may begin so, and the first steps bring it down.
    """
    expected = math.log(classes)
    low, high = BELOW * expected, expected + ABOVE
    measured = f"{loss:.2f}; ln({classes}) is {expected:.2f}, {low:.2f} to {high:.2f} is near"
    mend = "what reaches the head is too large, or says the class already: check the scaling, the base and the labels"
    check = "the first loss is near ln(classes)"
    if trains and math.isfinite(loss) and loss > high:
        mend = "it trains all the same; if its first epochs go wrong, raise train.warmup_epochs"
        return Finding(check, WARN, measured, mend)
    return verdict(check, low <= loss <= high, measured, mend)


def practising(model: keras.Model) -> keras.Model:
    """A copy of `model` to be trained by the next two checks: plain Adam, no dropout, no weight decay."""
    trial = hardware.twin(model)
    for layer in _layers(trial):
        if isinstance(layer, keras.layers.Dropout | keras.layers.SpatialDropout2D):
            layer.rate = 0
    loss, optimizer = keras.losses.CategoricalCrossentropy(), keras.optimizers.Adam(RATES[0])
    trial.compile(optimizer, loss, metrics=["accuracy"], jit_compile=hardware.jit())
    optimizer.build(trial.trainable_variables)
    return trial


def weights_move(trial: keras.Model, pixels: np.ndarray, targets: np.ndarray) -> Finding:
    """Whether one step changes every trainable weight; Adam moves one with the least gradient, and no other.

    Args:
      trial: of `practising`.
    """
    before = _values(trial.trainable_variables)
    trial.train_on_batch(pixels[:BATCH], _one_hot(targets[:BATCH], trial))
    after = _values(trial.trainable_variables)
    still = [
        variable.path
        for variable, old, new in zip(trial.trainable_variables, before, after, strict=True)
        if np.array_equal(old, new) or not np.isfinite(new).all()
    ]
    frozen = sum(len(layer.weights) for layer in _layers(trial) if not layer.trainable)
    measured = f"{len(before) - len(still)} of {len(before)} do" + (f", {frozen} are frozen" if frozen else "")
    measured += f"; not {_some(still)}" if still else ""
    mend = "no gradient reaches them: freeze them (train.freeze), or mend the network"
    return verdict("every trainable weight moves in a step", bool(before) and not still, measured, mend)


def overfits(trial: keras.Model, pixels: np.ndarray, targets: np.ndarray, *, steps: int = OVERFIT_STEPS) -> Finding:
    """Whether the network can learn a few pictures by heart, without augmentation.

    A network that cannot will learn nothing from many pictures either. It stops as soon as it has, and starts anew at a
    lower rate if it has not.

    Args:
      trial: of `practising`.
      steps: at each rate.
    """
    state = [*trial.variables, *trial.optimizer.variables]
    start, one_hot = _values(state), _one_hot(targets, trial)
    batches = [slice(first, first + BATCH) for first in range(0, len(pixels), BATCH)]
    for rate in RATES:
        for variable, value in zip(state, start, strict=True):
            variable.assign(value)
        trial.optimizer.learning_rate = rate
        right, taken = 0.0, 0
        while taken < steps and right < LEARNT:
            accuracies = []
            for batch in batches:
                accuracies.append(float(trial.train_on_batch(pixels[batch], one_hot[batch])[1]))
                trial.reset_metrics()  # else Keras tells the mean of all steps so far
            right = float(np.average(accuracies, weights=[len(pixels[batch]) for batch in batches]))
            taken += len(batches)
        if right >= LEARNT:
            break
    measured = f"{right:.0%} of {len(pixels)} right after {taken} steps at a rate of {rate:g}"
    mend = "do not train yet: look at the labels (wallaby board CLASS), at train.freeze, and at the network's file"
    return verdict(f"the network can overfit {len(pixels)} images", right >= LEARNT, measured, mend)


def short_run(fit: Callable[[], Fitted]) -> Finding:
    """Whether the loss falls from the first to the second epoch of a real training.

    Args:
      fit: trains two epochs.
    """
    check, mend = "in a short run the loss falls", "lower train.learning_rate, or raise train.warmup_epochs"
    try:
        history = fit().history
    except DataError as error:
        return Finding(check, FAIL, error.what, error.mend or mend)
    first, last = float(history["loss"].iloc[0]), float(history["loss"].iloc[-1])
    measured = f"{first:.3f}, then {last:.3f}; on val {float(history['val_loss'].iloc[-1]):.3f}"
    return verdict(check, math.isfinite(last) and last < first, measured, mend)


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers, those of networks within the network too."""
    return [
        inner for layer in model.layers for inner in (_layers(layer) if isinstance(layer, keras.Model) else [layer])
    ]


def _values(variables: list) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _one_hot(targets: np.ndarray, model: keras.Model) -> np.ndarray:
    return np.eye(model.output_shape[-1], dtype=np.float32)[targets]


def _channels(value: np.ndarray) -> np.ndarray:
    """The middle of each channel (C,): at the edge there may be padding."""
    return np.median(value.reshape(-1, value.shape[-1]), axis=0)


def _fits(ends: tuple[float, float], known: tuple[float, float]) -> bool:
    slack = SLACK * (known[1] - known[0])
    return all(abs(end - right) <= slack for end, right in zip(ends, known, strict=True))


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
