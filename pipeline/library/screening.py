"""Screening for augmentation: originals that zooming out or turning would ruin. Flags for people; nothing is dropped.

`subject` and `layout` are measured when a picture is indexed, from its small grey reading; `screen` needs tables only.
"""

import warnings

import cv2
import numpy as np
import pandas as pd

SMALL_SUBJECT, SIDEWAYS = "small subject", "sideways"
CELLS = 4  # of a layout, along each side
FOLDS = 5  # a picture is judged by a classifier that has not seen it
TRAIN_IMAGES = 5_000  # of a fold: more hardly teach it more
MIN_IMAGES = 300  # fewer teach it nothing
SEED = 0
COLUMNS = ["image", "flag", "score", "detail"]


def subject(grey: np.ndarray) -> float:
    """The share of the picture's area, 0 to 1, over which what stands out is spread.

    Saliency is the image signature (Hou, Harel & Koch 2012, "Image Signature: Highlighting Sparse Salient Regions"):
    the picture rebuilt from the signs of its cosine frequencies, squared and blurred. The share is the participation
    ratio of that map: a small subject on a calm ground has little more than its own, an even picture has nearly 1.

    Args:
      grey: the small grey picture, uint8 (64, 64).
    """
    signs = np.sign(np.round(cv2.dct(grey.astype(np.float32))))  # rounded: what should be zero has a sign of noise
    saliency = cv2.GaussianBlur(cv2.idct(signs) ** 2, (0, 0), 0.045 * len(grey))
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(saliency))
    return round(mean**2 / (mean**2 + deviation**2), 3) if mean else 1.0


def layout(grey: np.ndarray) -> str:
    """Where the picture is light and where its edges run, as 48 hexadecimal digits.

    For each of 4 x 4 cells the mean change across, the mean change down, and the mean grey, each in 16 steps, of the
    picture brought to mean 0 and deviation 1. Turning a picture swaps the two changes and turns the cells.

    Args:
      grey: the small grey picture, uint8 (64, 64).
    """
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    even = (grey.astype(np.float32) - mean) / (deviation + 1)
    across, down = (np.abs(cv2.Sobel(even, cv2.CV_32F, *order)) for order in ((1, 0), (0, 1)))
    channels = cv2.resize(cv2.merge([across, down, even]), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    cells = channels.transpose(2, 0, 1)
    cells[:2] = np.sqrt(cells[:2]) / 2
    cells[2] = cells[2] / 4 + 0.5
    steps = np.clip(np.round(cells * 15), 0, 15).astype(np.uint8).ravel()
    return (steps[::2] << 4 | steps[1::2]).tobytes().hex()


def screen(images: pd.DataFrame, *, min_subject: float, min_sideways: float) -> pd.DataFrame:
    """Finds originals whose subject is already small, or that stand sideways.

    Args:
      images: rows of the index that can be read: `image`, `sha256`, `phash`, `subject`, `layout`.
      min_subject: a subject with a smaller share of the picture is flagged.
      min_sideways: a picture is flagged if it is taken for a turned one with at least this probability.

    Returns:
      `image`, `flag`, `score` (0 to 1) and `detail`, the most endangered first. An image may have both flags.
    """
    small = images[images["subject"] < min_subject]
    flags = [
        _flagged(
            small, SMALL_SUBJECT, 1 - small["subject"], "the subject takes {:.0%} of the picture", small["subject"]
        )
    ]
    turned = sideways(images)
    lying = turned[turned >= min_sideways]
    flags.append(_flagged(images.loc[lying.index], SIDEWAYS, lying, "looks turned by 90 degrees: {:.0%}", lying))
    flagged = pd.concat(flags, ignore_index=True)
    return flagged.sort_values(["score", "image", "flag"], ascending=[False, True, True], ignore_index=True)


def sideways(images: pd.DataFrame) -> pd.Series:
    """The probability, for each image with a layout, that it stands on its side; empty for a library too small to tell.

    Nobody labels anything: a classifier learns to tell the library's layouts from the same layouts turned by 90 degrees
    (after Gidaris, Singh & Komodakis 2018, "Unsupervised Representation Learning by Predicting Image Rotations"), and
    each image is judged by one that learnt from others. Images of one perceptual hash are never parted.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    known = images.loc[images["layout"] != "", ["sha256", "phash", "layout"]].sort_values("sha256", kind="stable")
    if known["phash"].nunique() < MIN_IMAGES:
        return pd.Series(dtype="float64")
    measured = cells(known["layout"])
    fold = np.array([int(hash_[-8:], 16) % FOLDS for hash_ in known["phash"]])
    scores = np.zeros(len(known))
    for number in range(FOLDS):
        learnt = measured[fold != number][:TRAIN_IMAGES]
        upright = [learnt, _mirrored(learnt)] * 2  # as often as the turned ones, left and right
        turned = [_turned(view) for view in upright[:2]]
        views = [*upright, *turned, *map(_mirrored, turned)]
        model = make_pipeline(
            StandardScaler(), MLPClassifier((64,), alpha=0.1, early_stopping=True, max_iter=100, random_state=SEED)
        )
        # Its matrices are so small that threads wait for each other: 25 times the work.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it ranks; the last bit of the loss changes nothing
            model.fit(np.concatenate(views).reshape(-1, measured[0].size), np.repeat([0, 1], 4 * len(learnt)))
        judged = measured[fold == number]
        both = [model.predict_proba(view.reshape(len(view), -1))[:, 1] for view in (judged, _mirrored(judged))]
        scores[fold == number] = np.mean(both, axis=0)
    return pd.Series(scores.round(3), index=known.index).reindex(images.index).dropna()


def _flagged(images: pd.DataFrame, flag: str, score: pd.Series, detail: str, shown: pd.Series) -> pd.DataFrame:
    values = {"image": images["image"], "flag": flag, "score": score.round(3), "detail": shown.map(detail.format)}
    return pd.DataFrame(values, columns=COLUMNS).astype({"flag": "str", "detail": "str"})


def cells(layouts: pd.Series) -> np.ndarray:
    """The cells of layouts, float32 (N, 3, 4, 4): change across, change down, grey."""
    packed = np.frombuffer(bytes.fromhex("".join(layouts)), np.uint8)
    steps = np.stack([packed >> 4, packed & 15], axis=-1)
    return steps.reshape(len(layouts), 3, CELLS, CELLS).astype(np.float32)


def _mirrored(cells: np.ndarray) -> np.ndarray:
    return cells[..., ::-1]


def _turned(cells: np.ndarray) -> np.ndarray:
    return np.rot90(cells[:, [1, 0, 2]], axes=(2, 3))
