"""The augment sheet: originals beside what training will see, the most endangered first."""

import base64
import io
from collections.abc import Callable, Collection

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from pipeline.library.failures import PictureError
from pipeline.pages import rendering

THUMBNAIL = 128  # pixels
SALIENCY_SIDE = 64  # pixels

Read = Callable[[str], np.ndarray]
Views = Callable[[np.ndarray, bool], dict[str, np.ndarray]]


def augment_sheet(
    *,
    title: str,
    facts: dict[str, str],
    rows: pd.DataFrame,
    read: Read,
    views: Views,
    always_seen: np.ndarray,
    no_flip: Collection[str] = (),
    number: int = 36,
    measured: int = 600,
) -> str:
    """Returns the page on which a person sees whether augmentation spares the subject of every picture.

    Args:
      title: the page's heading.
      facts: name and text of the augmentation's settings, in the order shown.
      rows: columns `image`, `set`, `label`; of the training set, pictures are shown. Optionally `flag` (a few words, ""
        for none) and `score` (the higher the worse): these pictures come first.
      read: gives an image's pixels, uint8 (S, S, 3); raises PictureError.
      views: gives the furthest that augmentation goes with these pixels, by name; false where it may not mirror.
      always_seen: which pixels no augmentation pushes out of the picture, bool (A, A), A any side.
      no_flip: labels whose pictures are never mirrored.
      number: pictures shown.
      measured: pictures of the rest, drawn evenly from the classes, whose danger is measured if few have a flag.
    """
    candidates = most_endangered(
        rows[rows["set"] == "train"], read=read, always_seen=always_seen, number=number, measured=measured
    )
    cards = []
    for row in candidates.to_dict("records"):
        pixels = row.pop("pixels")
        seen = {name: _uri(view) for name, view in views(pixels, row["label"] not in no_flip).items()}
        cards.append({**row, "uri": _uri(pixels), "views": seen, "may_flip": row["label"] not in no_flip})
    columns = list(max((card["views"] for card in cards), key=len, default={}))
    return rendering.render("augmentation.html", title=title, facts=facts, cards=cards, columns=columns)


def most_endangered(
    rows: pd.DataFrame, *, read: Read, always_seen: np.ndarray, number: int, measured: int
) -> pd.DataFrame:
    """The `number` most endangered of `rows`, worst first, with `pixels`, `flag` and `score`.

    Flagged pictures come first; the places left are given by `saliency_lost`. What cannot be read is left out.
    """
    if "flag" not in rows:
        rows = rows.assign(flag="", score=np.nan)
    flagged = rows[rows["flag"].fillna("") != ""]
    flagged = _with_pixels(flagged.sort_values(["score", "image"], ascending=[False, True]).head(number), read)
    rest = rows.drop(index=rows.index[rows["image"].isin(flagged["image"])])
    if len(flagged) >= number or rest.empty:
        return flagged
    mixed = rest.sample(frac=1, random_state=0)
    even = mixed.iloc[np.argsort(mixed.groupby("label").cumcount(), kind="stable")].head(measured)
    even = _with_pixels(even, read)
    lost = [saliency_lost(pixels, always_seen) for pixels in even["pixels"]]
    even = even.assign(score=lost, flag=[f"{share:.0%} of what stands out lies at the edge" for share in lost])
    worst = even.sort_values(["score", "image"], ascending=[False, True]).head(number - len(flagged))
    return pd.concat([flagged, worst], ignore_index=True)


def saliency_lost(pixels: np.ndarray, always_seen: np.ndarray) -> float:
    """The share of what stands out in a picture that lies where augmentation can push it out of the picture.

    A pixel stands out by its squared distance from the picture's mean colour (Achanta et al. 2009,
    "Frequency-tuned Salient Region Detection"); a measure for an order, blind to what the subject is.

    Args:
      pixels: uint8 (S, S, 3).
      always_seen: bool (A, A).
    """
    small = cv2.GaussianBlur(
        cv2.resize(pixels, (SALIENCY_SIDE, SALIENCY_SIDE), interpolation=cv2.INTER_AREA), (5, 5), 0
    )
    colours = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    saliency = ((colours - colours.mean(axis=(0, 1))) ** 2).sum(axis=2)
    seen = cv2.resize(always_seen.astype(np.uint8), saliency.shape, interpolation=cv2.INTER_NEAREST) == 1
    return float(saliency[~seen].sum() / max(saliency.sum(), 1.0))


def _with_pixels(rows: pd.DataFrame, read: Read) -> pd.DataFrame:
    pixels: list[np.ndarray | None] = []
    for image in rows["image"]:
        try:
            pixels.append(read(image))
        except PictureError:
            pixels.append(None)
    found = rows.assign(pixels=pd.Series(pixels, index=rows.index, dtype=object))
    return found[found["pixels"].notna()]


def _uri(pixels: np.ndarray) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
