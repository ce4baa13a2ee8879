"""The gate's page: the verdict, the rule that stopped the candidate, all rules, and the images that were lost."""

from typing import Any

import pandas as pd

from pipeline.pages import Picture, rendering
from pipeline.pages.plots import Dot, Frame, Plot, Rule

FRAME = Frame(width=180, height=20, left=0, right=180, top=0, bottom=20)  # of the bar that shows an interval
LEAST_SPAN = 0.05  # of that bar, to either side of no difference
LEADS = {
    "pass": "The candidate may replace the champion",
    "fail": "The candidate must not replace the champion",
    "investigate": "Nobody can tell yet whether the candidate may replace the champion",
}
FIRST = {  # where there is no champion
    "pass": "The candidate may become the first champion: there is none yet to compare it with",
    "fail": "The candidate must not become the first champion",
    "investigate": "Nobody can tell yet whether the candidate may become the first champion",
}
ADVICE = {
    "pass": "",
    "fail": "The champion stays. Look at the rule that stopped the candidate, and at what was lost.",
    "investigate": "This is no pass: the champion stays until a person has looked. The column “would tell” says"
    " how many images a rule needs; more benchmark images make the next verdict surer.",
}
STANDINGS = {
    "shared": "both models know the class: the images that decide",
    "new class": "the candidate knows the class, the champion does not",
    "retired class": "the champion knew the class, the candidate does not",
    "no known class": "neither model knows the class",
    "only the candidate's": "the champion has no stored score: the set was changed",
    "only the champion's": "the candidate has no score: the set was changed",
}

RULES = {
    "right": "Named right",
    "labels before corrections": "Named right, by the labels before corrections",
    "shown": "Right, and shown to a user",
    "refused": "No known class, and refused",
    "benchmark": "Named right, benchmark {of}",
    "new classes": "Named right, new classes",
    "former champion": "Named right, against the former champion {of}",
    "class": "No class surely lost: {of}",
    "retired class": "No class gone that nobody retired: {of}",
}
METRICS = {
    "top5": "True class among the five likest",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "log_loss": "Log loss",
}
STATES = ["broken", "not sure", "met", "not judged"]


def page(
    *,
    said: dict[str, Any],
    classes: pd.DataFrame,
    flips: pd.DataFrame,
    picture: Picture,
    pictures: int,
    tolerance: float,
) -> str:
    """Returns the page.

    Args:
      said: what `gate.json` holds.
      classes: columns `label`, `n`, `champion`, `candidate`, `difference`, `low`, `high`, `gained`, `lost`,
        `adjusted_p`, `judged`, `lost_for_sure`, `look`, `unseen`, the greatest loss first.
      flips: columns `image`, `set`, `label`, `predicted`, `score`, `score_champion`, the surest mistake first.
      picture: gives the data URI of an image, "" if it cannot be read.
      pictures: flips shown; the table beside the page has all.
      tolerance: the loss that must be excluded.
    """
    overall = said.get("overall", {"n": 0})
    rows = [{"name": name} | row for name, row in said.get("benchmarks", {}).items()]
    if overall["n"]:
        rows = [{"name": "all together"} | overall, *rows]
    limits = [abs(row[end]) for row in rows for end in ("low", "high") if row[end] is not None]
    span = max([LEAST_SPAN, 2 * tolerance, *limits])
    shown = flips.head(pictures)
    judged = [rule | {"called": _called(rule)} for rule in said.get("rules", [])]
    judged.sort(key=lambda rule: (not _is_stopped(rule, said), STATES.index(rule["state"])))
    lows = [-rule["low"] for rule in judged if rule["low"] is not None and rule["state"] != "not judged"]
    width = max([LEAST_SPAN, *(1.2 * rule["tolerance"] for rule in judged), *lows])
    stopped = said.get("stopped_by")
    lost_for_sure = int(classes["lost_for_sure"].astype(bool).sum()) if "lost_for_sure" in classes else 0
    return rendering.render(
        "gate.html",
        title="The gate",
        lead=_lead(said),
        advice=ADVICE[said["verdict"]] if said["champion"] else "",
        compared="overall" in said,
        lost_for_sure=lost_for_sure,
        class_news=_class_news(classes, lost_for_sure),
        said=said,
        rows=[row | {"bar": _bar(row, span, tolerance)} for row in rows],
        span=span,
        rules=[rule | {"bar": _bar(rule, width, rule["tolerance"])} for rule in judged],
        width=width,
        stopped=_called(stopped) if stopped else "",
        look=said.get("look", []),
        tries=said.get("tries", {"champion": 1, "benchmarks": 1}),
        tolerance=tolerance,
        standings=[(name, said["images"][name], why) for name, why in STANDINGS.items()] if "images" in said else [],
        classes=classes.to_dict("records"),
        alone=[
            {"label": label, "standing": standing} | counts
            for key, standing in (("new_classes", "new"), ("retired_classes", "retired"))
            for label, counts in said.get(key, {}).items()
        ],
        flips=[
            {str(key): value for key, value in row.items()} | {"uri": picture(row["image"])}
            for row in shown.to_dict("records")
        ],
        flips_in_all=len(flips),
    )


def _lead(said: dict[str, Any]) -> str:
    """The verdict in words, and its reason; a first model that passes has none, for it is compared with nothing."""
    if said["champion"]:
        return f"{LEADS[said['verdict']]}: {said['reason']}"
    lead = FIRST[said["verdict"]]
    return lead if said["verdict"] == "pass" else f"{lead}: {said['reason']}"


def _class_news(classes: pd.DataFrame, lost_for_sure: int) -> str:
    if not len(classes):
        return ""
    worse = int((classes["difference"] < 0).sum())
    return f"Surely lost: {lost_for_sure or 'none'}. Fewer images named right than before: {worse} of {len(classes)}."


def _is_stopped(rule: dict[str, Any], said: dict[str, Any]) -> bool:
    return said.get("stopped_by") == {"rule": rule["rule"], "of": rule["of"]}


def _called(rule: dict[str, Any]) -> str:
    if rule["rule"] == "metric":
        return METRICS[rule["of"]]
    return RULES[rule["rule"]].format(of=rule["of"])


def _bar(row: dict[str, Any], span: float, tolerance: float) -> Plot | None:
    """An interval and its middle, between no difference and the loss that must be excluded."""
    if row["low"] is None:
        return None
    x, middle = FRAME.across(-span, span), FRAME.height / 2
    limits = ((0.0, "grid"), (-tolerance, "limit"))
    low, centre, high = (min(max(row[name], -0.96 * span), 0.96 * span) for name in ("low", "difference", "high"))
    return Plot(
        FRAME,
        rules=[Rule(x(value), FRAME.top, x(value), FRAME.bottom, kind) for value, kind in limits],
        dots=[Dot(x(centre), middle, (x(low), middle, x(high), middle))],
    )
