"""How a training ended, in words: at a plateau, or before it had one."""

from collections.abc import Mapping
from typing import Any


def had_ended(training: Mapping[str, Any]) -> bool:
    """Whether the validation loss had stopped falling: the best epoch is not the last one."""
    return training["best_epoch"] < training["epochs"]


def sentence(training: Mapping[str, Any]) -> str:
    """Where the plateau is, or that there is none yet and how to go on.

    Args:
      training: the card's record, with `best_epoch` and `epochs`.
    """
    if had_ended(training):
        return f"plateau at epoch {training['best_epoch']} of {training['epochs']}"
    return (
        f"no plateau in {training['epochs']} epochs: the last one was the best. "
        "Raise train.max_epochs (continued_max_epochs), or go on with another round from this model"
    )
