"""What a report says in sentences: what is good, what is not, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.evaluation import class_mix
from pipeline.evaluation.independence import images
from pipeline.serving.reports import Report, capabilities
from pipeline.serving.reports.drift import LARGE
from pipeline.serving.reports.model_comparison import OTHER_TIME
from pipeline.serving.verdicts import AUDIT

GOOD, BAD, NOTE = "good", "bad", "note"
FEW = 30  # independent evaluations: fewer tell next to nothing
CLOSE = 0.1  # share: what is surely no worse than this keeps what was promised
WHOLE = 0.99  # share of the answers that an audit stands for, from which on it speaks of all
SHOWN = 3  # names in a sentence
WEEKDAYS = {"hour": "%a %d %B %H:00", "day": "%a %d %B", "week": "the week from %d %B"}


@dataclass(frozen=True)
class Finding:
    """A sentence: `kind` is good, bad or note; `section` is where the figures are."""

    kind: str
    section: str
    text: str


def of(report: Report) -> list[Finding]:
    """The findings of a report, the most important first."""
    found = [
        *_accuracy(report),
        *_expected(report),
        *_unusual(report),
        *_drift(report),
        *_class_mix(report),
        *_versus(report),
        *_asked_for(report),
        *_weak(report),
        *_effort(report),
        *_costs(report),
    ]
    order = {BAD: 0, GOOD: 1, NOTE: 2}
    return sorted(found, key=lambda finding: order[finding.kind])


def _accuracy(report: Report) -> list[Finding]:
    table = report["accuracy"].set_index("measure")
    if "right" not in table.index:
        text = (
            "How right the answers are is not known: nobody has judged a random sample of them yet (`wallaby audit`)."
        )
        return [Finding(BAD, "accuracy", text)]
    row = table.loc["right"]
    coverage = report["coverage"].iloc[0]
    whole = coverage["share"] >= WHOLE
    of = "all usable pictures" if whole else "the usable pictures that the audit stands for"
    text = f"{row['share']:.0%} of {of} are named right ({_between(row)}, {_counted(row)} judged"
    if "right when shown" in table.index:
        text += f"; {_between(table.loc['right when shown'])} of the answers shown"
    few = " That is too few to build on: judge more." if row["independent"] < FEW else ""
    complaints = report["verdicts"].loc[report["verdicts"]["source"] != AUDIT, "evaluations"].sum()
    found = [Finding(NOTE, "accuracy", f"{text}).{few}")]
    if not whole:
        text = f"The audit stands for {coverage['covered']:,.0f} of {coverage['answered']:,.0f} answers. Of the others,"
        text += " no image like theirs is kept (`serve.pictures_share`), or none has been drawn or judged since"
        found.append(Finding(BAD, "accuracy", f"{text} (`wallaby audit`): how right they are is not known."))
    if complaints:
        text = f"{complaints:,} complaints and chosen pictures are no part of that figure: people report what is wrong."
        found.append(Finding(NOTE, "accuracy", text))
    return found


def _expected(report: Report) -> list[Finding]:
    found = []
    newest = report["expected"][report["expected"]["version"] == (report.releases or [""])[-1]]
    for row in newest.to_dict("records"):
        says = (
            f"{row['version']} names {row['real']:.0%} of the pictures of its classes (n = {_counted(row, 'real_')});"
        )
        says += f" {row['expected']:.0%} was promised by {row['set']} (n = {_counted(row, 'expected_')})"
        if row["high"] < 0:
            points = f"{-100 * row['difference']:.0f} points less, at least {-100 * row['high']:.0f}"
            found.append(Finding(BAD, "expected", f"{says}: {points}."))
        elif row["low"] > 0:
            found.append(Finding(GOOD, "expected", f"{says}: it does better."))
        else:
            range_ = f"{100 * row['low']:+.0f} to {100 * row['high']:+.0f} points"
            kind = GOOD if row["low"] > -CLOSE else NOTE
            found.append(Finding(kind, "expected", f"{says}: no difference can be told ({range_})."))
    return found


def _unusual(report: Report) -> list[Finding]:
    table = report["accuracy_over_time"]
    mean = report["accuracy"].set_index("measure")["share"].get("right", float("nan"))
    found = []
    for row in table[table["unusual"]].to_dict("records"):
        kind, only = (BAD, "only ") if row["share"] < mean else (GOOD, "")
        when = f"{row['start']:{WEEKDAYS[report.unit]}}"
        text = f"On {when} {only}{row['share']:.0%} were right ({_between(row)}, n = {_counted(row)})."
        found.append(Finding(kind, "accuracy", text))
    return found


def _class_mix(report: Report) -> list[Finding]:
    table = class_mix.unlike(report["class_mix"], class_mix.SERVED)
    if table.empty or not table["library"].sum():
        return []
    named = [
        f"{row.label} ({row.served_share:.0%} of the answers, {row.library_share:.0%} of the library)"
        for row in table.head(SHOWN).itertuples()
    ]
    more = f" and {len(table) - SHOWN} more" if len(table) > SHOWN else ""
    text = f"The mix of classes is not that of the library: {', '.join(named)}{more}."
    return [Finding(NOTE, "class_mix", text)]


def _drift(report: Report) -> list[Finding]:
    table = report["drift"]
    found = []
    for (version, feature), rows in table[table["drift"] != ""].groupby(["version", "feature"], sort=False):
        worst = rows.loc[rows["psi"].idxmax()]
        when = _listed([f"{start:{WEEKDAYS[report.unit]}}" for start in rows["start"]])
        how = "far from" if worst["psi"] >= LARGE else "not as in"
        text = f"{_capital(feature)} ({worst['kind']}) was {how} the first days of {version} on {when}"
        text += f": {worst['now']}, not {worst['reference']} (PSI {worst['psi']:.2f})."
        found.append(Finding(BAD, "drift", text))
    if len(table) and not found:
        found.append(Finding(GOOD, "drift", f"No drift of inputs or scores in {len(table)} comparisons."))
    return found


def _versus(report: Report) -> list[Finding]:
    table = pd.concat([report["versus"], report["shadow"]], ignore_index=True)
    if len(report.releases) < 2:
        return []
    newest = table[(table["after"] == report.releases[-1]) & (table["before"] == report.releases[-2])]
    found = []
    for row in newest[newest["basis"] != OTHER_TIME].to_dict("records"):
        text = f"{row['after']} against {row['before']}, on {row['basis']} (n = {row['n_before']} and {row['n_after']})"
        text += f": {100 * row['difference']:+.0f} points, {100 * row['low']:+.0f} to {100 * row['high']:+.0f}"
        kind = GOOD if row["low"] > 0 else BAD if row["high"] < 0 else NOTE
        verdict = {GOOD: "better", BAD: "worse", NOTE: "too few judged to tell them apart"}[kind]
        found.append(Finding(kind, "versus", f"{text}: {verdict}."))
    return found


def _asked_for(report: Report) -> list[Finding]:
    table = report["asked_for"]
    named = table[(table["label"] != "") & ~table["known_now"].astype(bool)]
    if named.empty:
        return []
    best = [
        f"{row['label']} ({row['evaluations']} pictures"
        + (f", {row['share']:.0%} of all" if row["audited"] else "")
        + f", taken for {row['taken_for']})"
        for row in named.head(SHOWN).to_dict("records")
    ]
    return [Finding(BAD, "asked", f"People ask for what the model has no class for: {_listed(best)}.")]


def _weak(report: Report) -> list[Finding]:
    table = report["capabilities"]
    weak = table.loc[capabilities.is_weak(table), "label"].tolist()
    if not weak:
        return []
    some = _listed(weak[:SHOWN]) + (" and others" if len(weak) > SHOWN else "")
    verb = "is" if len(weak) == 1 else "are"
    return [
        Finding(
            BAD, "classes", f"Of {len(table)} classes {len(weak)} {verb} weak, wholly staged or never shown: {some}."
        )
    ]


def _effort(report: Report) -> list[Finding]:
    table = report["effort"]
    last = table[table["round"] == table["round"].max()] if len(table) else table
    return [
        Finding(
            NOTE,
            "effort",
            f"Round {row['round']}: {row['labelled']:.0f} labels more, {row['minutes']:.0f} minutes of review"
            f" and {100 * row['gain']:+.1f} points on {row['set']}.",
        )
        for row in last.to_dict("records")
        if pd.notna(row["labelled"]) and pd.notna(row["minutes"]) and pd.notna(row["gain"])
    ]


def _costs(report: Report) -> list[Finding]:
    """Of the last round whose model served: what it cost, and what its answers would have taken by hand."""
    table = report["costs"]
    served = table[(table["shown"] > 0) & table["saved_hours"].notna()]
    found = []
    for row in served.tail(1).to_dict("records"):
        spent = [
            f"{row[f'{key}_hours']:,.2f} hours of {key}"
            for key in ("reviewing", "training")
            if pd.notna(row[f"{key}_hours"])
        ]
        cost = f"; the round took {' and '.join(spent)}" if spent else ""
        found.append(
            Finding(
                NOTE,
                "effort",
                f"The model of round {row['round']} showed {row['shown']:,.0f} answers, which are"
                f" {row['saved_hours']:,.1f} hours of work by hand{cost}.",
            )
        )
    return found


def _between(row: dict[str, float] | pd.Series) -> str:
    return f"{row['low']:.0%} to {row['high']:.0%}"


def _counted(row: Mapping[str, Any] | pd.Series, of: str = "") -> str:
    return images(int(row[f"{of}n"]), row[f"{of}independent"], word="")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
