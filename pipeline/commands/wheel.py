"""`wallaby` alone: where the round stands, what would re-run and at which cost, and the best next steps."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, config, stages
from pipeline.commands import Answer
from pipeline.errors import WallabyError
from pipeline.evaluation import over_rounds
from pipeline.files import read_json
from pipeline.library import labels
from pipeline.repository import dvc, lock
from pipeline.review import decisions, spreadsheets, yields
from pipeline.workspace import Workspace

MINUTES_PER_DECISION = 1 / 6  # until a review has shown the reviewers' own pace
STEPS = 3
NAMED = 3  # reasons in a line


@dataclass(frozen=True)
class Wheel:
    """Where the round stands.

    Attributes:
      last: the last finished round: `round`, `model`, `right` (top-1 by set), `verdict`; empty before the first.
      current: stages that are up to date.
      reruns: the stages that would run again: `stage`, `why` (empty: only if what it reads becomes another), and
        `minutes` and `gigabytes` where they are known.
      next: the best next steps, as `command` and `why`, the best first.
    """

    last: dict[str, Any]
    current: list[str]
    reruns: list[dict[str, Any]]
    next: list[dict[str, str]]

    def as_dict(self) -> dict[str, Any]:
        return {"last": self.last, "up_to_date": self.current, "reruns": self.reruns, "next": self.next}


@dataclass(frozen=True)
class Facts:
    """What the next steps follow from.

    Attributes:
      labelled: whether the label table has rows.
      base: whether there is a base to train from.
      reruns: as in `Wheel`.
      model, base_model, champion: digests of the round's model, the base and the champion; "" where there is none.
      round: the round of the model.
      verdict: the gate's verdict on the model; "" without one.
      undecided: groups in the queue that nobody has decided.
      unapplied: decisions that were made after the last round read them.
      short: classes short of images: `label`, `short_by`, `candidates` and `queued`.
      minutes_per_decision: the reviewers' pace.
    """

    labelled: bool = True
    base: bool = True
    reruns: list[dict[str, Any]] = field(default_factory=list)
    model: str = ""
    base_model: str = ""
    champion: str = ""
    round: int = 0
    verdict: str = ""
    undecided: int = 0
    unapplied: int = 0
    short: list[dict[str, Any]] = field(default_factory=list)
    minutes_per_decision: float = MINUTES_PER_DECISION


def wheel(workspace: Workspace) -> Answer:
    """Reads where the round stands; changes nothing.

    Raises:
      DataError: for a source that the stages would refuse.
    """
    current, reruns = _stages(workspace)
    last = _last_round(workspace)
    turned = Wheel(last, current, reruns, next_steps(_facts(workspace, reruns, last)))
    return Answer(turned, _text(turned))


def next_steps(facts: Facts) -> list[dict[str, str]]:
    """The best next steps, at most three, each a `command` and `why`."""
    steps: list[tuple[str, str]] = []
    if not facts.labelled:
        steps += [
            ("wallaby import library DIR", "name your own images, one folder per class"),
            ("wallaby demo", "or write the demo's library, pool and benchmark"),
        ]
    if not facts.base:
        steps.append(("wallaby init-base --model inception_v4_small", "write round 0: a network with random weights"))
    if not facts.labelled or not facts.base:
        return _as_records(steps)
    if facts.unapplied:
        steps.append(("wallaby apply", f"{_count(facts.unapplied, 'decision')} are not in the labels yet"))
    if facts.model and facts.verdict == "pass" and facts.model != facts.champion:
        steps.append(("wallaby release", f"the gate passed the model of round {facts.round}; it is not the champion"))
    for row in facts.short:
        if row["queued"] and row["candidates"] >= row["short_by"]:
            steps.append(("wallaby review", _gain(row, facts.minutes_per_decision)))
            break
    promote = ("wallaby promote", f"make the model of round {facts.round} the base of the next round")
    ahead = bool(facts.model) and facts.model != facts.base_model
    if ahead and facts.reruns:  # the data have moved on: without it, this round would be run again
        steps.append(promote)
    if facts.model and facts.undecided and not any(command == "wallaby review" for command, _ in steps):
        minutes = _minutes(facts.undecided * facts.minutes_per_decision)
        steps.append(("wallaby review", f"{_count(facts.undecided, 'decision')} wait in the queue, {minutes}"))
    if ahead and not facts.reruns:
        steps.append(promote)
    if facts.reruns:
        minutes = sum(row.get("minutes", 0.0) for row in facts.reruns)
        cost = f", {_minutes(minutes)} in all" if minutes else ""
        names = ", ".join(row["stage"] for row in facts.reruns if row["why"])
        follows = ", and what follows" if any(not row["why"] for row in facts.reruns) else ""
        steps.append(("dvc repro", f"re-runs {names}{follows}{cost}"))
    return _as_records(steps)


def _gain(row: dict[str, Any], minutes_per_decision: float) -> str:
    needed, found = int(row["short_by"]), int(row["queued"])
    return (
        f"{row['label']} needs {_count(needed, 'image')}: {_count(found, 'candidate')} in the queue,"
        f" {_minutes(found * minutes_per_decision)}, then the class joins"
    )


def _as_records(steps: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"command": command, "why": why} for command, why in steps[:STEPS]]


def _stages(workspace: Workspace) -> tuple[list[str], list[dict[str, Any]]]:
    """The stages that are up to date, and those that would run again, as DVC sees them."""
    pipeline = config.read(workspace.pipeline_file)
    status = json.loads(dvc.run(workspace.root, "status", "--json"))
    has_run = _run_before(workspace)
    reasons = {
        name: _why(status[name]) if name in has_run else "has not run yet"
        for name in pipeline["stages"]
        if name in status
    }
    reasons = {name: why for name, why in reasons.items() if why}
    reasons |= {name: "" for name in lock.downstream(pipeline, list(reasons)) if name not in reasons}
    costs = stages.read_costs(workspace)
    reruns = []
    for name in pipeline["stages"]:
        if name in reasons:
            cost = costs.get(name, {})
            known = {"minutes": round(cost["seconds"] / 60, 1), "gigabytes": cost["gigabytes"]} if cost else {}
            reruns.append({"stage": name, "why": reasons[name], **known})
    return [name for name in pipeline["stages"] if name not in reasons], reruns


def _run_before(workspace: Workspace) -> set[str]:
    path = workspace.root / lock.FILE
    return set(config.read(path).get("stages", {})) if path.exists() else set()


def _why(changes: Iterable[Any]) -> str:
    """What DVC says of a stage, in words; "" for one that always runs and has no other reason."""
    found: list[str] = []
    for change in changes:
        if not isinstance(change, dict):
            if change == "changed command":
                found.append("its command changed")
            continue
        for kind, names in change.items():
            named = [
                key
                for name, values in names.items()
                for key in ([f"{name}: {key}" for key in values] if isinstance(values, dict) else [name])
            ]
            more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
            what = "product changed or missing" if kind == "changed outs" else "changed"
            found.append(f"{what}: {', '.join(named[:NAMED])}{more}")
    return "; ".join(found)


def _last_round(workspace: Workspace) -> dict[str, Any]:
    if not (workspace.model / bundle.CARD).exists():
        return {}
    card = bundle.check(workspace.model)
    last: dict[str, Any] = {"round": card.round, "model": card.model_digest, "right": {}, "verdict": ""}
    metrics = workspace.evaluation / "metrics.json"
    if metrics.exists():
        named = {name: values for name, values in read_json(metrics).items() if name not in over_rounds.NOT_SHOWN}
        last["right"] = {name: values["top1"] for name, values in named.items() if values["n"]}
    if workspace.verdict.exists():
        verdict = read_json(workspace.verdict)
        last["verdict"] = verdict["verdict"] if verdict.get("model") == card.model_digest else ""
    return last


def _facts(workspace: Workspace, reruns: list[dict[str, Any]], last: dict[str, Any]) -> Facts:
    names = workspace.root_names
    log = decisions.read_log(workspace.reviews, names)
    in_force = decisions.in_force(log)
    standing = yields.standing(workspace.queue, in_force)
    short = standing[standing["short_by"] > 0].sort_values(["short_by", "label"])
    table, waiting = labels.read(workspace.labels, names), spreadsheets.groups(workspace.queue)
    waiting = waiting[~waiting["image"].isin(in_force["image"])]
    pace = over_rounds.minutes(log)["minutes"].mean() if len(log) else float("nan")
    return Facts(
        labelled=not table.empty,
        base=(workspace.base / bundle.CARD).exists(),
        reruns=reruns,
        model=last.get("model", ""),
        base_model=_digest(workspace.base),
        champion=_digest(workspace.released),
        round=last.get("round", 0),
        verdict=last.get("verdict", ""),
        undecided=int(waiting["group"].nunique()),
        unapplied=_unapplied(table, in_force),
        short=short[["label", "short_by", "candidates", "queued"]].to_dict("records"),
        minutes_per_decision=MINUTES_PER_DECISION if pd.isna(pace) else float(pace),
    )


def _unapplied(table: pd.DataFrame, in_force: pd.DataFrame) -> int:
    """Decisions that name a class which the label table does not have for their image."""
    named = in_force[in_force["decision"] == decisions.LABEL].drop_duplicates("image", keep="last")
    return int((named["image"].map(table.set_index("image")["label"]).astype("str") != named["label"]).sum())


def _digest(folder: Path) -> str:
    try:
        return bundle.check(folder).model_digest if (folder / bundle.CARD).exists() else ""
    except WallabyError:
        return ""


def _text(turned: Wheel) -> str:
    lines = []
    if turned.last:
        right = ", ".join(f"{name} {share:.1%}" for name, share in turned.last["right"].items()) or "not evaluated yet"
        verdict = f"; gate: {turned.last['verdict']}" if turned.last["verdict"] else ""
        lines.append(f"round {turned.last['round']}, model {turned.last['model'][:12]}: {right}{verdict}")
    else:
        lines.append("no round yet")
    lines.append(f"up to date: {', '.join(turned.current) or 'nothing'}")
    if turned.reruns:
        lines.append("would re-run:")
        lines += [f"  {row['stage']:<10} {_cost(row):<26} {row['why']}" for row in turned.reruns if row["why"]]
        following = [
            f"{row['stage']} ({_cost(row)})" if "minutes" in row else row["stage"]
            for row in turned.reruns
            if not row["why"]
        ]
        if following:
            lines.append(f"and, if what they read becomes another: {', '.join(following)}")
    if turned.next:
        lines.append("next:")
        width = max(len(step["command"]) for step in turned.next) + 2
        lines += [f"  {step['command']:<{width}}{step['why']}" for step in turned.next]
    return "\n".join(lines)


def _cost(row: dict[str, Any]) -> str:
    return f"{_minutes(row['minutes'])}, {row['gigabytes']:.1f} GB" if "minutes" in row else "not timed yet"


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return "under a minute"
    return f"about {minutes:.0f} minute{'' if round(minutes) == 1 else 's'}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
