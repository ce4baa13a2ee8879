"""What a model makes of a burst as a whole, from what it makes of each frame: the mean of their log probabilities."""

from dataclasses import dataclass

import numpy as np

SHARE = 0.01  # of each frame's probability that all classes have evenly: one frame alone rules no class out


@dataclass(frozen=True)
class Judgement:
    """The classes of each burst, the best first.

    Attributes:
      labels: numbers of classes (B, K); -1 where so many are not known.
      scores: their probabilities (B, K), 0 there.
    """

    labels: np.ndarray
    scores: np.ndarray


def judge(
    burst: np.ndarray, frame: np.ndarray, label: np.ndarray, score: np.ndarray, *, classes: int, top_k: int
) -> Judgement:
    """Averages the log probabilities of the frames of each burst.

    Of each frame only the best classes are known. The others share what these leave evenly, none more than the least of
    those that are known, and none less than its part of `SHARE`.

    Args:
      burst: of each frame (N,), numbered from 0 without a gap.
      frame: of each known probability, the number of its frame (M,).
      label: the number of its class (M,).
      score: the probability (M,).
      classes: that the model knows.
      top_k: classes kept of each burst.
    """
    frames, size = np.bincount(burst), len(burst)
    known = np.bincount(frame, minlength=size)
    lowest = np.ones(size)
    np.minimum.at(lowest, frame, score)
    rest = np.clip(1 - np.bincount(frame, score, size), 0, 1) / np.maximum(classes - known, 1)
    least = SHARE / classes
    floor = np.log(np.clip(np.minimum(rest, lowest), least, 1))
    above = np.maximum(np.log(np.maximum(score, least)) - floor[frame], 0)
    width = int(label.max(initial=0)) + 1
    key, place = np.unique(burst[frame].astype(np.int64) * width + label, return_inverse=True)
    of = key // width
    base = np.bincount(burst, floor) / frames
    weight = np.exp(base[of] + np.bincount(place, above, len(key)) / frames[of])
    named = np.bincount(of, minlength=len(frames))
    total = np.bincount(of, weight, len(frames)) + np.maximum(classes - named, 0) * np.exp(base)
    order = np.lexsort((key % width, -weight, of))
    rank = np.arange(len(key)) - np.repeat(np.cumsum(named) - named, named)
    best = rank < top_k
    labels, scores = np.full((len(frames), top_k), -1), np.zeros((len(frames), top_k))
    labels[of[best], rank[best]] = (key % width)[order][best]
    scores[of[best], rank[best]] = (weight / total[of])[order][best]
    return Judgement(labels, scores)
