"""What the commands about rounds and model versions show on a terminal."""

from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import console
from pipeline.cli.tables.library import replaced_text
from pipeline.evaluation import ending
from pipeline.evaluation.independence import images as counted
from pipeline.evaluation.over_rounds import NOT_SHOWN
from pipeline.library import board, moves
from pipeline.review.decisions import CHANGED_RECIPE


def runs(table: pd.DataFrame, sets: pd.DataFrame) -> None:
    """The model versions side by side, throw-aways apart (`runs.table`), and their scores (`runs.sets`)."""
    if table.empty:
        console().print("no rounds yet: run `dvc repro`")
        return
    for title, rows in (("Rounds", table[~table["throw-away"]]), ("Throw-aways", table[table["throw-away"]])):
        if rows.empty:
            continue
        shown = Table(title=title)
        for name in ("round", "started", "model", "parent"):
            shown.add_column(name)
        for name in ("classes", "train", "images", "epochs", "minutes"):
            shown.add_column(name, justify="right")
        for name in ("gate", "champion"):
            shown.add_column(name)
        for row in rows.to_dict("records"):
            shown.add_row(
                *(escape(_cell(row[name])) for name in ("round", "started", "model", "parent")),
                _grown(row["classes"], row["new classes"]),
                _cell(row["train"]),
                _grown(row["images"], row["new images"]),
                *(_cell(row["epochs"]), "" if pd.isna(row["minutes"]) else f"{row['minutes']:.1f}"),
                *(_cell(row["gate"]), {"yes": "now", "no": "once"}.get(row["champion"], "")),
            )
        console().print(shown)
    measured = sets[~sets["set"].isin(NOT_SHOWN)]
    if len(measured):
        frame(
            "Scores",
            [
                {
                    "round": f"{row['round']}{' (throw-away)' if row['throwaway'] else ''}",
                    "run": row["run_id"][:8],
                    "set": row["set"],
                    "version": row["version"],
                    "images": _images(row["n"], row.get("independent")),
                    "right": f"{row['top1']:.1%}",
                    "interval": "" if pd.isna(row["low"]) else f"{row['low']:.1%} to {row['high']:.1%}",
                    **{
                        name: "" if pd.isna(row[name]) else f"{row[name]:.3f}"
                        for name in ("macro_f1", "log_loss", "ece")
                    },
                }
                for row in measured.to_dict("records")
            ],
        )
        if "independent" in measured and (measured["independent"] < measured["n"]).any():
            console().print("images in brackets: independent ones, of what belongs together one")


def _images(number: float, independent: float | None) -> str:
    if pd.isna(number):
        return ""
    is_less = independent is not None and independent < number  # not known of earlier rounds
    return f"{number:,.0f} ({independent:,.0f})" if is_less else f"{number:,.0f}"


def difference(told: dict[str, Any], *, limit: int = 20) -> None:
    """What differs between two versions (`runs.diff`), with `before` and `after`, their names."""
    screen = console()
    screen.rule(f"{escape(told['before'])} and {escape(told['after'])}")
    frame("Settings", told.get("settings", []))
    if "without" in told:
        _recorded_difference(told, limit=limit)
        return
    frame("Images", told["sets"])
    for name, words in (("entered", "classes that entered"), ("left", "classes that left")):
        if told[name]:
            screen.print(f"{words}: {', '.join(told[name])}", markup=False)
    columns = ["label", "n", "champion", "candidate", "difference", "gained", "lost"]
    changed = [row for row in told["classes"] if row["gained"] or row["lost"]]
    names = {"champion": "before", "candidate": "after"}
    rows = [
        {names.get(key, key): _cell(row[key]) for key in columns} | {"": "surely lost" if row["lost_for_sure"] else ""}
        for row in changed
    ]
    half = limit // 2
    shown = rows if len(rows) <= limit else rows[:half] + rows[-half:]
    frame(f"Classes that lost and gained: {len(changed)}", shown)
    if len(rows) > limit:
        screen.print(f"{len(rows) - limit} between them with --json")
    screen.print(f"{len(told['flips'])} images flipped: one of the two is right")


def _recorded_difference(told: dict[str, Any], *, limit: int) -> None:
    """What differs by the records alone (`recorded_runs.compared`)."""

    def share(measured: dict[str, Any]) -> str:
        if measured["top1"] is None:
            return ""
        return f"{measured['top1']:.1%} of {measured['n']} ({measured['low']:.1%} to {measured['high']:.1%})"

    rows = [
        {
            "set": row["set"],
            "before": share(row["before"]),
            "after": share(row["after"]),
            "difference": "" if row["difference"] is None else f"{100 * row['difference']:+.1f}",
            "": "" if row["same images"] else "other images",
        }
        for row in told["sets"]
    ]
    frame("Right, and points of difference", rows)
    for name, words in (("entered", "classes that entered"), ("left", "classes that left")):
        if told[name]:
            console().print(f"{words}: {', '.join(told[name])}", markup=False)
    changed = [row for row in told["classes"] if row["difference"]]
    half = limit // 2
    shown = changed if len(changed) <= limit else changed[:half] + changed[-half:]
    frame(
        f"Classes that lost and gained: {len(changed)}",
        [
            {key: _cell(row[key]) for key in ("label", "n", "before", "after")}
            | {"difference": f"{100 * row['difference']:+.1f}"}
            for row in shown
        ],
    )
    missing = " and ".join(told["without"])
    console().print(
        f"by the records alone: the scores of {missing} are not on this machine; `dvc fetch` of that round's commit"
        " brings them, and images are compared one by one",
        markup=False,
        soft_wrap=True,
    )


def ledger(told: dict[str, Any], *, minutes_by_hand: float = 0.0) -> None:
    """What each round cost and brought, and for which classes more labels no longer pay.

    Args:
      minutes_by_hand: that a person needs for an answer, which the hours saved follow from.
    """

    def points(value: Any) -> str:
        return "" if pd.isna(value) else f"{100 * value:+.2f}"

    frame(
        "Ledger: points of accuracy gained",
        [
            {
                "set": row["set"],
                "round": str(row["round"]),
                "images more": "" if pd.isna(row["labelled"]) else f"{row['labelled']:+.0f}",
                "minutes": "" if pd.isna(row["minutes"]) else f"{row['minutes']:.0f}",
                "gain": points(row["gain"]) + ("" if row["exact"] or pd.isna(row["gain"]) else " (other images)"),
                "per 100 images": points(row["per_100_images"]),
                "per hour": points(row["per_hour"]),
            }
            for row in told["ledger"]
        ],
    )
    _costs(told["costs"])
    if minutes_by_hand and any(row["shown"] > 0 for row in told["costs"]):
        console().print(f"saved: an answer by hand takes {minutes_by_hand:g} minutes (report.minutes_by_hand)")
    for row in told["hints"]:
        console().print(hint(row), markup=False, soft_wrap=True)


def _costs(rows: list[dict[str, Any]]) -> None:
    """People's and the machine's hours of each round, and what was saved; without what nobody knows."""
    columns = {
        "reviewing": ("reviewing_hours", ".2f"),
        "reviewing cost": ("reviewing_cost", ",.2f"),
        "training": ("training_hours", ".2f"),
        "training cost": ("training_cost", ",.2f"),
        "answers shown": ("shown", ",.0f"),
        "saved": ("saved_hours", ".2f"),
        "worth": ("saved", ",.2f"),
    }
    there = {title: key for title, key in columns.items() if any(pd.notna(row[key[0]]) for row in rows)}
    frame(
        "Hours",
        [
            {"round": str(row["round"])}
            | {title: "" if pd.isna(row[key]) else f"{row[key]:{form}}" for title, (key, form) in there.items()}
            for row in rows
            if there
        ],
    )


def hint(row: dict[str, Any]) -> str:
    """Why more labels of a class no longer pay, in a sentence (`over_rounds.worth_labelling`)."""
    if row["hint"] == "saturated":
        return f"{row['label']}: found at {row['now']:.1%}, surely above {row['low']:.1%}: more labels bring little"
    tested = counted(row["n"], row.get("independent"), word="")
    if row["hint"] == "cannot tell":
        return (
            f"{row['label']}: {row['grew']:.0f} training images more, its recall went from {row['before']:.1%} to"
            f" {row['now']:.1%} of {tested}, and it may have risen by {100 * row['gain_high']:.0f} points:"
            " whether more labels help, cannot be told from so few"
        )
    return (
        f"{row['label']}: {row['grew']:.0f} training images more, and its recall went from {row['before']:.1%} to"
        f" {row['now']:.1%} of {tested}: more labels did not help; look at its labels and its look-alikes"
    )


def frame(title: str, rows: list[dict[str, Any]]) -> None:
    """A plain table, its columns named by the rows' keys; numbers right, nothing for no rows."""
    if not rows:
        return
    shown = Table(title=title)
    for name in rows[0]:
        text = all(isinstance(row[name], str) and not row[name][:1].isdigit() for row in rows)
        shown.add_column(name, justify="left" if text else "right")
    for row in rows:
        shown.add_row(*(escape(_cell(value)) for value in row.values()))
    console().print(shown)


def summary(told: dict[str, Any]) -> None:
    """The last round in a few lines, and the commands that come next."""
    moved = pd.DataFrame(told["index"]["moved"], columns=moves.COLUMNS)
    curated, training, predictions = told["curated"], told["training"], told["predictions"]
    excluded = ", ".join(f"{number} {reason}" for reason, number in curated["excluded"].items() if number)
    kept = f"{curated['kept']} of {curated['images']} images kept, {curated['classes']} classes"
    lines = [("data", f"{kept} ({excluded})" if excluded else kept)]
    lost = moves.lost(told["index"]["missing"] - int(moved["images"].sum()))
    warnings = [*moves.sentences(moved), *lost, *board.fallen_sentences(curated["fallen"])]
    lines += [("warning", line) for line in warnings]
    replaced, measured = curated.get("other_content"), told["splits"].get("benchmarks_other_content")
    if replaced and replaced["images"]:
        lines.append(
            ("replaced", f"{replaced_text(replaced)}: out of every set until confirmed, queue {CHANGED_RECIPE}")
        )
    if measured:
        text = f"{len(measured)} benchmark images have another content than was labelled, first {measured[0]}"
        lines.append(("replaced", f"{text}: not measured until `wallaby apply --corrections --settle IMAGE=CLASS`"))
    if curated["near_classes"]:
        lines.append(("near the cutoff", ", ".join(curated["near_classes"])))
    lines.append(
        (
            "training",
            f"{training['seconds'] / 60:.1f} minutes, {ending.sentence(training)}",
        )
    )
    for name, metrics in sorted(told["metrics"].items(), key=lambda item: (item[0] != "test", item[0])):
        if name not in ("train", "val") and metrics["n"]:
            number = counted(metrics["n"], metrics.get("independent"), word="")
            outside = f", {metrics['out_of_class']} of no known class" if metrics["out_of_class"] else ""
            lines.append(
                (name.replace("benchmark:", "benchmark "), f"{metrics['top1']:.1%} of {number} right{outside}")
            )
    lines += [
        ("gate", f"{told['gate']['verdict']}: {told['gate']['reason']}"),
        (
            "pool",
            f"{predictions['identified']} of {predictions['pool']} images identified"
            f" ({predictions['failed']} failed), {predictions['images_per_second']:.0f} a second"
            f" by {predictions['runtime']}",
        ),
        (
            "worth relabelling",
            ", ".join(
                f"{name} {queue['images']} ({queue['decisions']} decisions)" for name, queue in told["queue"].items()
            ),
        ),
    ]
    screen = console()
    screen.rule(f"Round {told['round']}, model {told['model']}")
    for name, text in lines:
        screen.print(f"{name:>17}  {text}", soft_wrap=True)
    if not told["remote"]:
        advice = (
            "none is configured: models and data are on this machine alone; `dvc remote add --default NAME ADDRESS`,"
            " commit .dvc/config, then `dvc push` after each round (docs/remotes.md)"
        )
        screen.print(f"{'remote':>17}  {advice}", soft_wrap=True, markup=False)
    screen.rule("next")
    for command, why in [
        ("wallaby review", "look at the queue, decide it (the demo: wallaby demo --review)"),
        ("wallaby apply", "bring the decisions into data/labels.csv"),
        ("wallaby promote", "make this model the next round's base"),
        ("scripts/round", "the next round"),
        *_releasing(told["gate"]),
        ("wallaby ui", "all rounds in MLflow: table, curves, comparison, model versions"),
    ]:
        screen.print(f"  {command:<52}{why}", soft_wrap=True)


def _releasing(gate: dict[str, Any]) -> list[tuple[str, str]]:
    """What comes next with the model as a champion: nothing if it is that already."""
    if gate.get("champion"):
        return []
    if gate["verdict"] == "pass":
        return [("wallaby release", "make this model the champion")]
    return [
        ("wallaby gate", "why the gate refuses this model as the champion; `wallaby release --force REASON` overrules")
    ]


def _grown(number: Any, more: Any) -> str:
    return _cell(number) + ("" if pd.isna(more) or not more else f" ({more:+d})")


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.1%}" if isinstance(value, float) else str(value)
