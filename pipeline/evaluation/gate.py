"""The gate: may the candidate replace the champion? Both on the same benchmark images, from stored scores alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pipeline.evaluation import independence, paired_metrics, paired_scores, paired_statistics, rules, thresholds
from pipeline.evaluation import tries as tries_of
from pipeline.evaluation.rules import Bounds, Rule
from pipeline.library import benchmarks
from pipeline.library.benchmarks import PREFIX

PASS, FAIL, INVESTIGATE = "pass", "fail", "investigate"
FIGURES = ["n", "independent", "candidate", "champion", "difference", "low", "high", "gained", "lost"]
MOST_NAMED = 3  # classes or benchmarks in a reason
WORSE = {
    rules.RIGHT: "worse than the champion",
    rules.METRIC: "worse than the champion",
    rules.BEFORE: "worse than the champion under the labels before corrections",
    rules.SHOWN: "users are shown fewer right answers than by the champion",
    rules.REFUSED: "fewer images of no known class are refused than by the champion",
    rules.BENCHMARK: "worse than the champion on benchmark {of}",
    rules.NEW: "too few images of the new classes are named right",
    rules.FORMER: "worse than the former champion {of}",
}
UNSURE = {
    rules.RIGHT: "a loss of more than {tolerance}",
    rules.METRIC: "a loss of more than {tolerance}",
    rules.BEFORE: "a loss of more than {tolerance} under the labels before corrections",
    rules.SHOWN: "a loss of more than {tolerance} of the images in right answers that are shown",
    rules.REFUSED: "a loss of more than {tolerance} of the refused images of no known class",
    rules.BENCHMARK: "a loss of more than {tolerance} on benchmark {of}",
    rules.NEW: "that too few images of the new classes are named right",
    rules.FORMER: "a loss of more than {tolerance} against the former champion {of}",
}


@dataclass(frozen=True)
class Comparison:
    """What the benchmarks say of the two models.

    Attributes:
      pairs: as `paired_scores.align` gives them.
      overall: `FIGURES` of all shared images, and `effective`, what they are worth; of none of them, `n` and
        `independent` alone.
      benchmarks, classes: as `paired_statistics.by_group` gives them, over the shared images.
      versions: the version of each benchmark, and whether both models were scored on it.
      formers: the candidate's pairs with each former champion.
      before: the pairs under the labels that the champion was judged under, if some were corrected since.
      tries: which try against this champion it is; `ever`: on these benchmarks.
    """

    pairs: pd.DataFrame
    overall: dict[str, Any]
    benchmarks: pd.DataFrame
    classes: pd.DataFrame
    versions: dict[str, dict[str, Any]]
    formers: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    before: pd.DataFrame | None = None
    tries: int = 1
    ever: int = 1


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


@dataclass(frozen=True)
class Promise:
    """What the answers shown must keep (`thresholds.choose`)."""

    precision: float = 0.95
    confidence: float = 0.95
    min_images: int = 50

    def kept(self, scores: pd.DataFrame) -> pd.DataFrame:
        """The scores with a column `shown`: as it is, or by a threshold that is chosen on these very images."""
        if "shown" in scores or scores.empty:
            return scores if "shown" in scores else scores.assign(shown=False)
        rows = scores if "model" in scores else scores.assign(model="")
        chosen = thresholds.choose(rows, **vars(self), temperature=1.0)
        return scores.assign(shown=chosen.shown(scores["predicted"], scores["score"]))


def compare(
    candidate: pd.DataFrame,
    champion: pd.DataFrame,
    *,
    confidence: float,
    min_images: int,
    min_class_images: int,
    formers: Mapping[str, pd.DataFrame] | None = None,
    before: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    tries: int = 1,
    ever: int = 1,
    promise: "Promise | None" = None,
) -> Comparison:
    """Compares two models on the benchmark images whose class both know, and on what else users see of them.

    Args:
      candidate, champion: the benchmarks' scores as `paired_scores.check` returns them, both under today's names and
        labels; where one has no column `shown`, a threshold is chosen for it that keeps the `promise`.
      confidence: two-sided, of the interval of all images together, were this the first try.
      min_images, min_class_images: a benchmark or class with fewer independent images is not judged on its own.
      formers: the scores of former champions, by what they are called, under today's names and labels (`former`).
      before: the scores of both under the labels as they were before people corrected some.
      tries: which try against this champion it is; `ever`: on these benchmarks, against any (`tries.count`).
    """
    promise = promise or Promise(confidence=confidence)
    measured = [name for name in paired_metrics.NEEDED if name in candidate and name in champion]
    pairs = paired_scores.align(
        promise.kept(candidate), promise.kept(champion), columns=["image", "score", "shown", *measured]
    )
    pairs = pairs.assign(**{name: pairs[name].astype("boolean").fillna(False) for name in ("shown", "shown_before")})
    pairs = pairs.astype({"shown": bool, "shown_before": bool})
    shared = paired_scores.shared(pairs)
    shared = shared.assign(set=shared["set"].str.removeprefix(PREFIX))
    overall: dict[str, Any] = {"n": len(shared), "independent": shared["cluster"].nunique()}
    if len(shared):
        paid = tries_of.paid(confidence, tries)
        together = paired_statistics.by_group(shared.assign(all="all"), "all", confidence=paid, min_images=1)
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
        {name: paired_scores.align(candidate, rows) for name, rows in (formers or {}).items()},
        paired_scores.align(*before) if before else None,
        tries,
        ever,
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
    bounds: Bounds | None = None,
    metric: str = paired_metrics.TOP1,
) -> Verdict:
    """Decides whether the candidate may replace the champion.

    A loss is sure where an interval or a corrected test excludes chance (`paired_statistics`). The rules of what must
    not be lost are those of `rules`: named right on all images together (or another metric of these), also under the
    labels before corrections; right and shown; images of no known class refused; each benchmark; new classes; the best
    former champion. The first that holds:
      1. investigate  the scores are those of an ensemble: they say nothing of the model that would be released
      2. fail         the candidate is larger, or slower, than the limits
      3. investigate  there is a limit to its latency, and nobody has measured it
      4. pass         there is no champion, or the candidate is the champion
      5. investigate  the champion's stored scores are missing
      6. investigate  fewer than `min_images` independent benchmark images are shared: nobody can tell
      7. fail         a rule is broken: a loss of more than its tolerance is sure; or it is on a benchmark or a class
      8. investigate  it no longer knows a class of the benchmarks that the champion knows, and nobody retired it
      9. investigate  it is surely worse on a benchmark or a class, perhaps by more than `tolerance`
     10. investigate  by a rule, a loss of more than its tolerance is not excluded
     11. pass         otherwise

    So a model that is truly worse by the tolerance of any rule passes at most at the rate 1 - confidence, however large
    or small the benchmarks are, and so does the best of any number of tries against one champion on the same
    benchmarks (`tries`; measured by `scripts/bench_promises.py`, where images belong together by
    `scripts/bench_bursts.py`).

    Args:
      comparison: None without a champion or without its scores.
      same_model: the candidate is the champion.
      scores_missing: there is a champion, whose scores are not there.
      ensemble: the candidate's scores are those of several models together.
      retired: classes that people retired.
      bounds: what the rules let a candidate lose beside `tolerance`.
      metric: what is judged on all images together (`paired_metrics.WORDS`); everything else is judged by what is named
        right.
    """
    bounds = bounds or Bounds()
    judged = [] if comparison is None else _rules(comparison, bounds, tolerance, confidence, min_images, metric)
    figures = _figures(comparison, needs) | _rule_figures(comparison, judged)

    def say(verdict: str, reason: str, rule: str = "", of: object = "") -> Verdict:
        stopped = {"stopped_by": {"rule": rule, "of": str(of)}} if rule else {}
        return Verdict(verdict, reason, figures | stopped)

    if ensemble:
        reason = "the scores are those of several bundles, which are not released together"
        mend = "empty evaluate.ensemble to judge the model alone, or train networks as one model by train.members"
        return say(INVESTIGATE, f"{reason}: {mend}")
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
        return say(PASS, "there is no champion yet: the first model has nothing to be compared with")
    overall, classes, sets = comparison.overall, comparison.classes, comparison.benchmarks
    if overall["independent"] < min_images:
        counted = independence.images(overall["n"], overall["independent"])
        return say(
            INVESTIGATE,
            f"the benchmarks have {counted} that both models were scored on and know the class of,"
            f" {min_images} are needed",
        )
    broken = [rule for rule in judged if rule.state == rules.BROKEN]
    if broken and broken[0].rule == rules.RIGHT:
        lost = classes[classes["lost_for_sure"]]
        most = f"; surely on {_named(lost, 'class')}" if len(lost) else ""
        return say(FAIL, f"{WORSE[rules.RIGHT]}: {broken[0].compared()}{most}", rules.RIGHT)
    for groups, kind in ((sets, "benchmark"), (classes, "class")):
        far = groups[groups["lost_for_sure"] & (groups["high"] < -tolerance)]
        if len(far):
            worst = far["difference"].idxmin()
            return say(FAIL, f"worse than the champion on {_named(far, kind)}", kind, worst)
    if broken:
        first = broken[0]
        return say(FAIL, f"{WORSE[first.rule].format(of=first.of)}: {first.compared()}", first.rule, first.of)
    gone = figures["retired_classes"].keys() - retired
    if gone:
        named = [f"{name} ({figures['retired_classes'][name]['n']:,} images)" for name in sorted(gone)]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        return say(
            INVESTIGATE,
            f"the candidate no longer knows {', '.join(named[:MOST_NAMED])}{more}; nobody retired them",
            "retired class",
            min(gone),
        )
    for groups, kind in ((sets, "benchmark"), (classes, "class")):
        # A benchmark has a rule of its own: of both, an equal model is stopped no more often than of one.
        level = (1 - confidence) / 2 if kind == "benchmark" else 1 - confidence
        lost = groups[groups["lost_for_sure"] & (groups["adjusted_p"] < level) & (groups["low"] <= -tolerance)]
        if len(lost):
            reason = f"surely worse than the champion on {_named(lost, kind)}, by how much is not sure"
            return say(INVESTIGATE, reason, kind, lost["difference"].idxmin())
    unsure = next((rule for rule in judged if rule.state == rules.UNSURE), None)
    if unsure is not None:
        loss = UNSURE[unsure.rule].format(of=unsure.of, tolerance=_words(unsure.tolerance, unsure.of))
        return say(
            INVESTIGATE, f"{loss} is not excluded: {unsure.compared()}{unsure.would_tell()}", unsure.rule, unsure.of
        )
    compared = rules.compared(overall) if metric == paired_metrics.TOP1 else judged[0].compared()
    return say(PASS, f"not worse than the champion by more than {_words(tolerance, metric)}: {compared}")


def _words(tolerance: float, metric: str) -> str:
    return f"{tolerance:g}" if metric == paired_metrics.LOG_LOSS else f"{tolerance:.1%}"


def _rules(
    comparison: Comparison, bounds: Bounds, tolerance: float, confidence: float, min_images: int, metric: str
) -> list[Rule]:
    return rules.find(
        comparison.pairs.assign(set=comparison.pairs["set"].str.removeprefix(PREFIX)),
        formers=comparison.formers,
        before=comparison.before,
        tolerance=tolerance,
        bounds=bounds,
        confidence=tries_of.paid(confidence, comparison.tries),
        first=confidence,
        over_years=tries_of.paid(confidence, comparison.ever),
        min_images=min_images,
        metric=metric,
    )


def _rule_figures(comparison: Comparison | None, judged: list[Rule]) -> dict[str, Any]:
    """What `gate.json` has of the rules, of the tries, and of losses that chance may explain."""
    if comparison is None:
        return {}
    losses = pd.concat([comparison.benchmarks.assign(kind="benchmark"), comparison.classes.assign(kind="class")]).query(
        "look"
    )
    look = [
        {"kind": row.kind, "name": str(name), "n": int(row.n), "gained": int(row.gained), "lost": int(row.lost)}
        for name, row in losses.sort_values("difference").iterrows()
    ]
    return {
        "rules": rules.table(judged),
        "tries": {"champion": comparison.tries, "benchmarks": comparison.ever},
        "look": look,
        "stopped_by": None,
    }


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
                "half_unseen": int((classes["unseen"] > 0.5).sum()),
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


def _named(groups: pd.DataFrame, kind: str) -> str:
    worst = groups.sort_values("difference").head(MOST_NAMED)
    named = "; ".join(f"{kind} {name} ({rules.compared(row)})" for name, row in worst.iterrows())
    return named + (f"; and {len(groups) - MOST_NAMED} more" if len(groups) > MOST_NAMED else "")
