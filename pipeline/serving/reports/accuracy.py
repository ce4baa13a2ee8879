"""How right the served model is, from the random audit alone; complaints and chosen pictures are shown apart.

A person's verdict is right, wrong, not-in-classes or unusable. An unusable picture has no right answer, and is left
out; one of a class that the model lacks is never right, whatever it says.
"""

import numpy as np
import pandas as pd

from pipeline.evaluation import independence, intervals
from pipeline.evaluation.over_rounds import BANDS
from pipeline.serving.reports import estimates, periods
from pipeline.serving.reports.log import KEY
from pipeline.serving.verdicts import AUDIT, FEEDBACK, NOT_IN_CLASSES, RIGHT, UNUSABLE, VERDICTS

LEAST_CLIENTS = 10  # fewer do not say how much clients differ
CLIENTS_DIFFER = 2.33  # standard errors: by chance one report in a hundred
COUNTED = ["n", "independent", "low", "high"]  # beside each share of a class
MEASURES = {
    "right": "of all usable pictures",
    "right in classes": "of pictures of the model's classes",
    "right when shown": "of the answers that were shown",
    "right when withheld": "of the answers that were withheld",
    "not in classes": "of all usable pictures",
    "unusable": "of all pictures",
}


def last_said(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Of each picture and person, what they said last; oldest first, as `Log.evaluations` returns them."""
    return evaluations.drop_duplicates([*KEY, "by", "source"], keep="last")


def judged(drawn: pd.DataFrame, evaluations: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The random audit, as it has been answered so far.

    Args:
      drawn: as `Log.audits` returns it.
      evaluations: as `Log.evaluations`.

    Returns:
      The evaluated transactions, with `verdict`, `truth` ("" where nobody named it), `right`, `in_classes`, `usable`,
      `disputed` (people differ; the last one counts), `cluster` (see `clusters`); and the design, see
      `estimates.strata`.
    """
    said = last_said(evaluations[evaluations["source"] == AUDIT])
    differ = said.groupby(KEY)["verdict"].nunique() > 1
    said = said.drop_duplicates(KEY, keep="last")[[*KEY, "verdict", "truth", "by", "evaluated_at"]]
    units = drawn.merge(said, on=KEY, how="left").astype({"stratum": "category"})
    design = estimates.strata(units.assign(evaluated=units["verdict"].notna()))
    units = units[units["verdict"].notna()].reset_index(drop=True)
    right = units["verdict"] == RIGHT
    disputed = pd.MultiIndex.from_frame(units[KEY]).isin(differ.index[differ])
    units = units.assign(cluster=clusters(units, right))
    return units.assign(
        right=right,
        in_classes=units["verdict"] != NOT_IN_CLASSES,
        usable=units["verdict"] != UNUSABLE,
        truth=units["truth"].mask(right, units["label"]),
        shown=units["shown"].astype(bool),
        disputed=disputed,
    ), design


def coverage(answered: int, design: pd.DataFrame) -> pd.DataFrame:
    """How many answered transactions there were, and how many of them the evaluated ones stand for.

    Nothing stands for answers since the last draw, for strata of which nothing has been evaluated, and for images of
    which the service has kept none.

    Returns:
      One row: `answered`, `covered`, `share`.
    """
    covered = min(int(design["population"][design["evaluated"] > 0].sum()), answered)
    return pd.DataFrame({"answered": [answered], "covered": [covered], "share": [covered / max(answered, 1)]})


def clusters(units: pd.DataFrame, right: pd.Series) -> pd.Series:
    """What is independent among evaluated transactions (N,): contents, or clients where these explain more.

    One content gets one answer. Clients count where there are enough of them to tell, where how right the answers are
    depends on them beyond chance, and where they widen an interval more than contents do.

    Args:
      units: columns `sha256` ("" where it is not known) and `client`.
      right: of each (N,), bool.
    """
    alone = units["request_id"].astype("str") + " " + units["position"].astype("str")
    content = units["sha256"].astype("str").mask(units["sha256"] == "", alone)
    by_content, by_client = (independence.gather(right, cluster) for cluster in (content, units["client"]))
    if by_client.clusters[0] < LEAST_CLIENTS or independence.surplus(by_client)[0] < CLIENTS_DIFFER:
        return content
    wider = independence.design_effect(by_client)[0] > independence.design_effect(by_content)[0]
    return units["client"].astype("str") if wider else content


def overall(units: pd.DataFrame, design: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """A row a measure of `MEASURES`: `measure`, `of`, and the columns of `estimates.shares`."""
    usable = units[units["usable"]]
    parts = {
        "right": (usable, "right"),
        "right in classes": (usable[usable["in_classes"]], "right"),
        "right when shown": (usable[usable["shown"]], "right"),
        "right when withheld": (usable[~usable["shown"]], "right"),
        "not in classes": (usable.assign(out=~usable["in_classes"]), "out"),
        "unusable": (units.assign(out=~units["usable"]), "out"),
    }
    rows = [
        estimates.shares(rows, design, confidence=confidence, of=of).assign(measure=measure, of=MEASURES[measure])
        for measure, (rows, of) in parts.items()
        if len(rows)
    ]
    columns = ["measure", "of", *estimates.SHARE]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def over_time(units: pd.DataFrame, design: pd.DataFrame, unit: str, *, confidence: float) -> pd.DataFrame:
    """The share right of all usable pictures in each hour, day or week: `start` and the columns of `shares`, and
    `unusual`: it differs from all the others together, even if one of so many may by chance (Bonferroni)."""
    usable = units[units["usable"]]
    usable = usable.assign(start=periods.of(usable["at"], unit))
    found = estimates.shares(usable, design, ["start"], confidence=confidence)
    surer = 1 - (1 - confidence) / max(len(found), 1)
    unusual = []
    for start in found["start"]:
        parts = usable.assign(now=usable["start"] == start)
        both = estimates.shares(parts, design, ["now"], confidence=surer)
        _, low, high = estimates.difference(both.iloc[0], both.iloc[-1])
        unusual.append(len(both) > 1 and not low <= 0 <= high)
    return found.assign(start=periods.times(found["start"]), unusual=np.asarray(unusual, bool))


def by_version(units: pd.DataFrame, design: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """As `overall`, for each model: `version` before the other columns."""
    rows = [
        overall(own, design, confidence=confidence).assign(version=str(version))
        for version, own in units.groupby("version", sort=False)
    ]
    columns = ["version", "measure", "of", *estimates.SHARE]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def by_band(units: pd.DataFrame, design: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """The share right where the model is how sure: `band` (its lower end), `mean_score`, and the columns of `shares`.

    Where scores are calibrated, the share right is near the mean score.
    """
    usable = units[units["usable"]]
    usable = usable.assign(band=np.asarray(BANDS)[np.searchsorted(BANDS, usable["score"], side="right") - 1])
    found = estimates.shares(usable, design, ["band"], confidence=confidence)
    weight = usable["stratum"].map(design["weight"]).astype(float)
    sums = pd.DataFrame({"band": usable["band"], "w": weight, "ws": weight * usable["score"]}).groupby("band").sum()
    found.insert(1, "mean_score", found["band"].map(sums["ws"] / sums["w"]))
    return found


def by_class(units: pd.DataFrame, design: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Columns `label`, `said` (share right where the model says so), `said_n`, `said_independent`, `said_low`,
    `said_high`, and the same of `found` (share of the class's pictures that the model names); sorted by label."""
    usable = units[units["usable"]]
    named = usable[usable["in_classes"] & (usable["truth"] != "")]
    parts = {
        "said": estimates.shares(usable, design, ["label"], confidence=confidence),
        "found": estimates.shares(named.assign(label=named["truth"]), design, ["label"], confidence=confidence),
    }
    tables = [
        table.set_index("label")[["share", *COUNTED]].rename(
            columns={"share": name} | {column: f"{name}_{column}" for column in COUNTED}
        )
        for name, table in parts.items()
    ]
    both = pd.concat(tables, axis=1).rename_axis("label").sort_index().reset_index()
    numbers = [f"{name}_{column}" for name in parts for column in ("n", "independent")]
    return both.fillna(dict.fromkeys(numbers, 0)).astype(dict.fromkeys(numbers, int))


def by_source(evaluations: pd.DataFrame) -> pd.DataFrame:
    """What people said, by why they looked: `source`, `evaluations`, then how many of each verdict.

    Only those of the source audit tell of all transactions: people complain of what is wrong.
    """
    said = last_said(evaluations)
    counts = pd.crosstab(said["source"], said["verdict"]).reindex(columns=VERDICTS, fill_value=0)
    counts.columns.name = None
    counts.insert(0, "evaluations", counts.sum(axis=1))
    return counts.reset_index()


def against_expected(by_version: pd.DataFrame, releases: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Real use against what evaluation promised when the model was released, on pictures of the model's classes.

    Args:
      by_version: as above.
      releases: as `Log.releases`; `expected` is `served.expectation`.

    Returns:
      A row a model and set: `version`, `set`, `real`, `real_low`, `real_high`, `real_n`, `expected`, `expected_low`,
      `expected_high`, `expected_n`, `difference` (real less expected), `low`, `high`, `real_independent` and
      `expected_independent` (clusters among the images).
    """
    real = by_version[by_version["measure"] == "right in classes"].set_index("version")
    rows = []
    for release in releases.to_dict("records"):
        if release["version"] not in real.index:
            continue
        for name, figures in release["expected"].items():
            if not figures["n"]:
                continue
            worth = figures.get("effective", figures["n"])  # of earlier releases, every image was its own cluster
            low, high = intervals.wilson(figures["top1"] * worth, worth, confidence=confidence)
            promised = pd.Series({"share": figures["top1"], "low": float(low), "high": float(high)})
            found = real.loc[release["version"]]
            gain = estimates.difference(promised, found)
            rows.append(
                {"version": release["version"], "set": name}
                | {"real": found["share"], "real_low": found["low"], "real_high": found["high"], "real_n": found["n"]}
                | {
                    "real_independent": found["independent"],
                    "expected_independent": figures.get("independent", figures["n"]),
                }
                | {"expected": promised["share"], "expected_low": promised["low"], "expected_high": promised["high"]}
                | {"expected_n": figures["n"], "difference": gain[0], "low": gain[1], "high": gain[2]}
            )
    return pd.DataFrame(rows, columns=EXPECTED)


EXPECTED = [
    *("version", "set", "real", "real_low", "real_high", "real_n"),
    *("expected", "expected_low", "expected_high", "expected_n", "difference", "low", "high"),
    *("real_independent", "expected_independent"),
]


def not_in_classes(
    units: pd.DataFrame, design: pd.DataFrame, evaluations: pd.DataFrame, newest: list[str], *, confidence: float
) -> pd.DataFrame:
    """The classes that people ask for and the model lacked, the most frequent first.

    Returns:
      Columns `label` ("" where nobody named it), `evaluations` (pictures, whichever way they were found), `audited`,
      `complained`, `share` of the traffic with `low` and `high`, from the audit alone, NaN where it met none,
      `taken_for` (what the model said most often), `known_now` (the newest model has it, by `newest`, its classes).
    """
    said = last_said(evaluations[evaluations["verdict"] == NOT_IN_CLASSES])
    columns = ["label", "evaluations", "audited", "complained", "share", "low", "high", "taken_for", "known_now"]
    if said.empty:
        return pd.DataFrame(columns=columns)
    said = said.assign(audited=said["source"] == AUDIT, complained=said["source"] == FEEDBACK)
    groups = said.drop_duplicates([*KEY, "source"], keep="last").groupby("truth")
    found = groups.agg(audited=("audited", "sum"), complained=("complained", "sum"))
    found["evaluations"] = said.drop_duplicates(KEY).groupby("truth").size().reindex(found.index, fill_value=0)
    found["taken_for"] = groups["label"].agg(lambda labels: labels.value_counts().index[0])
    usable = units[units["usable"]]
    parts = {
        truth: estimates.shares(
            usable.assign(hit=~usable["in_classes"] & (usable["truth"] == truth)),
            design,
            confidence=confidence,
            of="hit",
        ).iloc[0]
        for truth in found.index[found["audited"] > 0]
        if len(usable)
    }
    for name in ("share", "low", "high"):
        found[name] = pd.Series({truth: row[name] for truth, row in parts.items()}, dtype=float)
    found = found.rename_axis("label").reset_index()
    found["known_now"] = found["label"].isin(newest)
    found = found.sort_values(["evaluations", "label"], ascending=[False, True], ignore_index=True)
    return found[columns]
