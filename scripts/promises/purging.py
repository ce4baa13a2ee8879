"""Worlds of the purge list: lists whose good images are planted, alone or in bursts; samples drawn by the recipe."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.evaluation import intervals
from pipeline.files import write_table
from pipeline.library import quarantine
from pipeline.review import purging
from pipeline.review.decisions import BAD, COLUMNS, LABEL, PURGE_RECIPE
from pipeline.review.recipes.purge_low import draw

from .lines import Line, at_most, compared, promise

CONFIDENCE = 0.95
SAMPLE = 60
TRIES = 5
LISTED = [80, 400, 5000]
SHARES = [0.01, 0.03, 0.05, 0.08, 0.15, 0.3]


def listed(number: int, good: int, burst: int, random: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """A list of `number` images, and which are good: whole bursts of `burst` images, each content twice if it is -1."""
    size = abs(burst)
    order = random.permutation(-(-number // size))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    is_good = place[np.arange(number) // size] * size < good
    names = [f"pool/{random.integers(2**60):x}-{code}.jpg" for code in range(number)]
    contents = names if burst > 0 else [names[code - code % 2] for code in range(number)]
    return pd.DataFrame({"image": names, "sha256": contents, "score": 0.1, "model": "m"}), is_good


def audited(table: pd.DataFrame, is_good: np.ndarray) -> purging.Audit:
    """What the product says of a list whose sample was judged."""
    sample = draw(table, "m", SAMPLE)
    said = np.where(is_good[sample.index], LABEL, BAD)
    decided = pd.DataFrame({"image": sample["image"], "sha256": sample["sha256"], "decision": said})
    decided = decided.assign(recipe=PURGE_RECIPE, at="2026-03-01T10:00:00Z").reindex(columns=COLUMNS, fill_value="")
    with tempfile.TemporaryDirectory() as folder:
        write_table(table, Path(folder) / "whole" / f"{PURGE_RECIPE}.parquet")
        write_table(sample, Path(folder) / f"{PURGE_RECIPE}.parquet")
        away = pd.DataFrame(columns=quarantine.COLUMNS, dtype="str")
        return purging.audit(Path(folder), away, decided, confidence=CONFIDENCE)


def one_list(number: int, share: float, burst: int, runs: int, random: np.random.Generator) -> float:
    """How often the bound is below the share of good images in a list."""
    lists = (listed(number, round(share * number), burst, random) for _ in range(runs))
    return sum(audited(table, is_good).bound < is_good.mean() - 1e-12 for table, is_good in lists) / runs


def several_lists(number: int, share: float, runs: int, random: np.random.Generator) -> float:
    """How often somebody who tries lists until a bound is below the truth finds one."""
    good = round(share * number)
    drawn = random.hypergeometric(good, number - good, SAMPLE, (runs, TRIES))
    bounds = [
        [
            purging.bound_of(int(found), SAMPLE, number, tried=place + 1, confidence=CONFIDENCE)
            for found in range(SAMPLE)
        ]
        for place in range(TRIES)
    ]
    pleased = np.array([np.array(bounds[place])[drawn[:, place]] < share - 1e-12 for place in range(TRIES)])
    return float(pleased.any(axis=0).mean())


def worst_exact(drawn: int) -> tuple[float, float]:
    """The largest chances that the exact bound and Wilson's are below the truth, over lists and their good images."""
    exact, wilson = 0.0, 0.0
    found = np.arange(drawn + 1)
    high = intervals.wilson(found, drawn, confidence=2 * CONFIDENCE - 1)[1]
    for number in LISTED:
        most = np.array([intervals.most_of_finite(int(s), drawn, number, level=1 - CONFIDENCE) for s in found])
        for good in range(1, number // 2, max(number // 400, 1)):
            chance = np.exp(
                intervals._log_choose(good, found)
                + intervals._log_choose(number - good, drawn - found)
                - intervals._log_choose(number, drawn)
            )
            exact = max(exact, float(chance[most < good].sum()))
            wilson = max(wilson, float(chance[high < good / number].sum()))
    return exact, wilson


@promise
def purge(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 12: a list for the quarantine has at most so many good images, at 95 %, whichever list is accepted"""
    exact, wilson = worst_exact(SAMPLE)
    yield Line(f"purge, {SAMPLE} drawn, every list and share: bound too low, worst", "<= 0.05", exact, 0.0, most=0.05)
    yield compared("purge, the same by Wilson", wilson)
    for what, number, share, burst in [
        ("images alone", 80, 0.15, 1),
        ("bursts of 10", 600, 0.055, 10),
        ("copies in pairs", 600, 0.055, -2),
    ]:
        number_of_lists = max(runs // 4, 20)
        wrong = one_list(number, share, burst, number_of_lists, random)
        what = f"purge, {what}, {number:,} listed, {share:.1%} good: bound too low"
        yield at_most(what, wrong, number_of_lists, 0.05)
    for share in (0.055, 0.08, 0.12):
        wrong = several_lists(1000, share, 25 * runs, random)
        yield at_most(f"purge, up to {TRIES} lists of {share:.1%} until one pleases: too low", wrong, 25 * runs, 0.05)
