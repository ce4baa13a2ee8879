"""The gate: may the candidate replace the champion? Both on the same benchmark images, from stored scores alone."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pipeline.evaluation import independence, paired_scores, paired_statistics
from pipeline.library import benchmarks
from pipeline.library.benchmarks import PREFIX

PASS, FAIL, INVESTIGATE = "pass", "fail", "investigate"
FIGURES = ["n", "independent", "candidate", "champion", "difference", "low", "high", "gained", "lost"]
MOST_NAMED = 3  # classes or benchmarks in a reason


@dataclass(frozen=True)
class Comparison:
    """What the benchmarks say of the two models.

    Attributes:
      pairs: as `paired_scores.align` gives them.
      overall: `FIGURES` of all shared images, and `effective`, what they are worth; of none of them, `n` and
        `independent` alone.
      benchmarks, classes: as `paired_statistics.by_group` gives them, over the shared images.
      versions: the version of each benchmark, and whether both models were scored on it.
    """

    pairs: pd.DataFrame
    overall: dict[str, Any]
    benchmarks: pd.DataFrame
    classes: pd.DataFrame
    versions: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Limits:
    """What a model may need; 0: as much as it likes."""

    max_latency_ms: float = 0.0
    max_size_mb: float = 0.0


@dataclass(frozen=True)
class Needs:
    """What the candidate needs; `latency_ms` of one picture at a time, None if nobody has measured it."""

    size_mb: float
    latency_ms: float | None = None


@dataclass(frozen=True)
class Verdict:
    """`verdict` is pass, fail or investigate; `reason` one sentence; `figures` what it rests on, for `gate.json`."""

    verdict: str
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)


def compare(
    candidate: pd.DataFrame, champion: pd.DataFrame, *, confidence: float, min_images: int, min_class_images: int
) -> Comparison:
    """Compares two models on the benchmark images whose class both know.

    Args:
      candidate, champion: the benchmarks' scores as `paired_scores.check` returns them, both under today's names and
        labels.
      confidence: two-sided, of the interval of all images together.
      min_images, min_class_images: a benchmark or class with fewer independent images is not judged on its own.
    """
    pairs = paired_scores.align(candidate, champion, columns=["image", "predicted", "score"])
    shared = paired_scores.shared(pairs)
    shared = shared.assign(set=shared["set"].str.removeprefix(PREFIX))
    overall: dict[str, Any] = {"n": len(shared), "independent": shared["cluster"].nunique()}
    if len(shared):
        together = paired_statistics.by_group(shared.assign(all="all"), "all", confidence=confidence, min_images=1)
        overall = together[FIGURES].astype(object).iloc[0].to_dict()
        sums = independence.gather(paired_statistics.changes(shared), shared["cluster"])
        overall["effective"] = float(independence.effective(sums, confidence=confidence)[0])
    alone = pairs["standing"].isin([paired_scores.CANDIDATES, paired_scores.CHAMPIONS])
    versions = {
        name.removeprefix(PREFIX): {"version": version, "same_version": not alone[pairs["set"] == name].any()}
        for name, version in benchmarks.versions(candidate).items()
    }
    return Comparison(
        pairs,
        overall,
        paired_statistics.by_group(shared, "set", confidence=confidence, min_images=min_images),
        paired_statistics.by_group(shared, "label", confidence=confidence, min_images=min_class_images),
        versions,
    )


def decide(
    comparison: Comparison | None,
    needs: Needs,
    limits: Limits,
    *,
    tolerance: float,
    confidence: float,
    min_images: int,
    same_model: bool = False,
    scores_missing: bool = False,
    ensemble: bool = False,
    retired: frozenset[str] = frozenset(),
) -> Verdict:
    """Decides whether the candidate may replace the champion.

    A loss is sure where an interval or a corrected test excludes chance (`paired_statistics`). The first rule that
    holds:
      1. investigate  the scores are those of an ensemble: they say nothing of the model that would be released
      2. fail         the candidate is larger, or slower, than the limits
      3. investigate  there is a limit to its latency, and nobody has measured it
      4. pass         there is no champion, or the candidate is the champion
      5. investigate  the champion's stored scores are missing
      6. investigate  fewer than `min_images` independent benchmark images are shared: nobody can tell
      7. fail         it is surely worse by more than `tolerance`: on all images together, a benchmark, or a class
      8. investigate  it no longer knows a class of the benchmarks that the champion knows, and nobody retired it
      9. investigate  it is surely worse on a benchmark or a class, perhaps by more than `tolerance`
     10. investigate  on all images together, a loss of more than `tolerance` is not excluded
     11. pass         otherwise

    So a model that is truly worse by `tolerance` or more passes at most at the rate 1 - confidence, however large or
    small the benchmarks are (measured: at most 2.7 % where 5 % are stated, for the interval is two-sided;
    images that belong together are measured by `scripts/bench_bursts.py`).

    Args:
      comparison: None without a champion or without its scores.
      same_model: the candidate is the champion.
      scores_missing: there is a champion, whose scores are not there.
      ensemble: the candidate's scores are those of several models together.
      retired: classes that people retired.
    """
    figures = _figures(comparison, needs)

    def say(verdict: str, reason: str) -> Verdict:
        return Verdict(verdict, reason, figures)

    if ensemble:
        return say(INVESTIGATE, "the scores are those of an ensemble: empty evaluate.ensemble to judge the model alone")
    if limits.max_size_mb and needs.size_mb > limits.max_size_mb:
        return say(FAIL, f"the model has {needs.size_mb:.1f} MB, more than the {limits.max_size_mb:g} allowed")
    if limits.max_latency_ms and needs.latency_ms is None:
        return say(INVESTIGATE, "there is a limit to the latency, and it has not been measured")
    if limits.max_latency_ms and needs.latency_ms is not None and needs.latency_ms > limits.max_latency_ms:
        spent = f"{needs.latency_ms:.1f} ms a picture"
        return say(FAIL, f"the model takes {spent}, more than the {limits.max_latency_ms:g} allowed")
    if same_model:
        return say(PASS, "the candidate is the champion")
    if scores_missing:
        return say(INVESTIGATE, "the champion's stored scores are missing: `wallaby gate --rescore` makes them anew")
    if comparison is None:
        return say(PASS, "there is no champion yet: the first model has nothing to be held against")
    overall, classes, sets = comparison.overall, comparison.classes, comparison.benchmarks
    if overall["independent"] < min_images:
        counted = independence.images(overall["n"], overall["independent"])
        return say(
            INVESTIGATE,
            f"the benchmarks have {counted} that both models were scored on and know the class of,"
            f" {min_images} are needed",
        )
    if overall["high"] < -tolerance:
        lost = classes[classes["lost_for_sure"]]
        most = f"; surely on {_named(lost, 'class')}" if len(lost) else ""
        return say(FAIL, f"worse than the champion: {_told(overall)}{most}")
    for groups, kind in ((sets, "benchmark"), (classes, "class")):
        far = groups[groups["lost_for_sure"] & (groups["high"] < -tolerance)]
        if len(far):
            return say(FAIL, f"worse than the champion on {_named(far, kind)}")
    gone = figures["retired_classes"].keys() - retired
    if gone:
        named = [f"{name} ({figures['retired_classes'][name]['n']:,} images)" for name in sorted(gone)]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        return say(
            INVESTIGATE, f"the candidate no longer knows {', '.join(named[:MOST_NAMED])}{more}; nobody retired them"
        )
    for groups, kind in ((sets, "benchmark"), (classes, "class")):
        lost = groups[groups["lost_for_sure"] & (groups["low"] <= -tolerance)]
        if len(lost):
            return say(INVESTIGATE, f"surely worse than the champion on {_named(lost, kind)}, by how much is not sure")
    if overall["low"] <= -tolerance:
        counts = [int(overall[name]) for name in ("gained", "lost", "n")]
        worth = overall["effective"]
        enough = paired_statistics.needed(*counts, tolerance=tolerance, confidence=confidence, effective=worth)
        hint = ""
        if enough and enough > overall["n"]:
            alike = round(enough * overall["independent"] / overall["n"])  # if they belong together as these do
            hint = f"; about {independence.images(enough, alike)} would tell"
        return say(INVESTIGATE, f"a loss of more than {tolerance:.1%} is not excluded: {_told(overall)}{hint}")
    return say(PASS, f"not worse than the champion by more than {tolerance:.1%}: {_told(overall)}")


def class_table(comparison: Comparison | None) -> pd.DataFrame:
    """Columns `label` and those of `paired_statistics.by_group`, one row per shared class, the greatest loss first."""
    if comparison is None:
        return pd.DataFrame(columns=["label", *paired_statistics.COLUMNS])
    table = comparison.classes.rename_axis("label").reset_index()
    return table.sort_values(["difference", "label"], ignore_index=True)


def flips(comparison: Comparison | None) -> pd.DataFrame:
    """Negative flips: shared images that the champion names and the candidate does not, the surest mistake first."""
    columns = ["image", "set", "label", "predicted", "score", "score_champion"]
    if comparison is None:
        return pd.DataFrame(columns=columns)
    pairs = paired_scores.shared(comparison.pairs)
    lost = pairs[paired_statistics.changes(pairs) < 0].rename(columns={"score_before": "score_champion"})
    return lost.sort_values(["score", "image"], ascending=[False, True])[columns].reset_index(drop=True)


def _figures(comparison: Comparison | None, needs: Needs) -> dict[str, Any]:
    figures: dict[str, Any] = {"size_mb": round(needs.size_mb, 3), "latency_ms": needs.latency_ms}
    if comparison is None:
        return figures
    pairs, classes = comparison.pairs, comparison.classes
    standings = pairs["standing"].value_counts().reindex(paired_scores.STANDINGS, fill_value=0)
    alone = {
        name: {
            str(label): {"n": len(rows), "right": int(rows[right].sum())}
            for label, rows in pairs[pairs["standing"] == standing].groupby("label")
        }
        for name, standing, right in (
            ("new_classes", paired_scores.NEW, "right"),
            ("retired_classes", paired_scores.RETIRED, "right_before"),
        )
    }
    return (
        figures
        | alone
        | {
            "images": {"all": len(pairs)} | {str(name): int(number) for name, number in standings.items()},
            "overall": _rounded(comparison.overall),
            "benchmarks": {
                str(name): _rounded(row) | comparison.versions.get(str(name), {})
                for name, row in comparison.benchmarks[FIGURES].astype(object).to_dict("index").items()
            },
            "classes": {
                "shared": len(classes),
                "judged": int(classes["judged"].sum()),
                "too_few_images": int((~classes["judged"]).sum()),
                "lost_for_sure": list(classes.index[classes["lost_for_sure"]]),
            },
        }
    )


def _rounded(row: dict[Any, Any]) -> dict[str, Any]:
    """Numbers for JSON: no NaN, which it does not have, and no more digits than a reader wants."""
    return {
        str(key): None if pd.isna(value) else round(float(value), 6) if isinstance(value, float) else int(value)
        for key, value in row.items()
    }


def _told(row: Any) -> str:
    return (
        f"{row['candidate']:.1%} against {row['champion']:.1%} of"
        f" {independence.images(row['n'], row['independent'])},"
        f" {100 * row['low']:+.1f} to {100 * row['high']:+.1f} points"
    )


def _named(groups: pd.DataFrame, kind: str) -> str:
    worst = groups.sort_values("difference").head(MOST_NAMED)
    named = "; ".join(f"{kind} {name} ({_told(row)})" for name, row in worst.iterrows())
    return named + (f"; and {len(groups) - MOST_NAMED} more" if len(groups) > MOST_NAMED else "")
