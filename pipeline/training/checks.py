"""What is looked at before a training starts."""

import keras
import pandas as pd

from pipeline.bundle import Card
from pipeline.errors import DataError

NAMED = 10  # classes in a message


def refuse_another_image_size(model: keras.Model, card: Card, preset_size: int | None, *, where: object) -> None:
    """Raises DataError if the base reads images of another size than its card or its preset says.

    Args:
      preset_size: the image size of the card's preset; None if there is no such preset.
    """
    for source, size in [("its card", card.image_size), ("its preset", preset_size)]:
        if size is not None and tuple(model.input_shape[1:3]) != (size, size):
            raise DataError(
                f"the base reads pictures of {model.input_shape[1]} pixels, {source} '{card.preset}' says {size}",
                where=where,
                mend=f"set the preset's image_size back, or `wallaby init-base --model {card.preset} --replace`",
            )


def name_classes_without_validation(rows: pd.DataFrame, *, where: object) -> list[str]:
    """Names the classes of `rows` (columns `set`, `label`) that have no validation image; training goes on.

    Raises:
      DataError: if no class has any.
    """
    validated = set(rows.loc[rows["set"] == "val", "label"])
    if not validated:
        raise DataError("no image to validate on", where=where, mend="label more real images, or raise split.val")
    missing = sorted(set(rows.loc[rows["set"] == "train", "label"]) - validated)
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        print(f"train: no validation image of {', '.join(missing[:NAMED])}{more}: the plateau is that of the others")
    return missing
