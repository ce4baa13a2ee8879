"""What early stopping watches on the validation set: the loss that is trained, or a metric that is evaluated."""

from dataclasses import dataclass
from typing import Literal

import keras

Name = Literal["loss", "top1", "top5", "macro_f1", "weighted_f1", "log_loss"]
LOSS = "val_loss"


@dataclass(frozen=True)
class Monitor:
    """A column of the history, and whether less of it (`min`) or more (`max`) is better."""

    column: str
    mode: Literal["min", "max"]

    @property
    def words(self) -> str:
        return self.column.replace("_", " ")


MONITORS: dict[Name, Monitor] = {
    "loss": Monitor(LOSS, "min"),
    "top1": Monitor("val_accuracy", "max"),
    "top5": Monitor("val_top5", "max"),
    "macro_f1": Monitor("val_macro_f1", "max"),
    "weighted_f1": Monitor("val_weighted_f1", "max"),
    "log_loss": Monitor("val_log_loss", "min"),
}


def metrics(name: Name) -> list[keras.metrics.Metric]:
    """What is measured for a monitor, beside the loss and the accuracy, of one-hot labels (N, C)."""
    if name == "top5":
        return [keras.metrics.TopKCategoricalAccuracy(5, name=name)]
    if name in ("macro_f1", "weighted_f1"):
        return [keras.metrics.F1Score(average=name.removesuffix("_f1"), name=name)]
    if name == "log_loss":
        return [keras.metrics.CategoricalCrossentropy(name=name)]
    return []
