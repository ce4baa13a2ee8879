"""The verbs that judge models, and carry them and their predictions to other programs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.parser import Program
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.commands import Answer
    from pipeline.workspace import Workspace


def add(program: Program) -> None:
    verb = program.verb("gate", gate, "show the gate's verdict; its exit code is 0, 4 or 7")
    verb.add("--html", action="store_true", help="say where the page is")
    verb.add(
        "--rescore",
        action="store_true",
        help="score the champion again on today's benchmarks; then run `dvc repro gate`",
    )

    verb = program.verb(
        "release", release, "make a model that passed the gate the champion, or go back to a former one"
    )
    verb.add("--force", default="", metavar="WHY", help="although the gate did not pass it; WHY is kept")
    verb.add("--rollback", action="store_true", help="go back to the champion before")
    verb.add("--to", default="", metavar="ROUND", help="with --rollback: its round, or its digest")
    verb.add("--why", default="", help="with --rollback: the reason, which is kept")
    verb.add("--by", default="", help="who decides (default: git's user.name)")
    verb.add("--dry-run", action="store_true", help="say what would change")

    verb = program.verb("runs", runs, "list all model versions side by side, or what differs between two")
    verb.add("--html", action="store_true", help="write the page, with curves over the rounds")
    verb.add("--ledger", action="store_true", help="what each round cost in labels, minutes and training, and brought")
    verb.add("--record", action="store_true", help="only copy the record of the finished round to data/rounds")
    verb.add("--rebuild", action="store_true", help="fill MLflow's store from the records, where it lacks a round")
    action = verb.action("diff", runs_diff, "what differs between two versions")
    for name in ("A", "B"):
        action.add(name.lower(), metavar=name, help="a round, or the beginning of a digest")

    verb = program.verb("ui", ui, "open the rounds in MLflow's page: table, curves, comparison, model versions")
    verb.add("--port", type=int, default=5000, help="(default: 5000)")
    verb.add("--no-browser", action="store_true", help="only say where the page is")

    verb = program.verb(
        "validate", validate, "look whether stored predictions are whole and consistent; exit code 3 if not"
    )
    verb.add("path", nargs="?", type=Path, metavar="FOLDER|FILE", help="default: data/predictions")

    verb = program.verb("export", export, "write the model, or its predictions of the pool, for other programs")
    verb.add(
        "format",
        metavar="FORMAT",
        help="the model, checked against Keras on real pictures: savedmodel, onnx, litert;"
        " its predictions: csv, megadetector, label-studio, fiftyone",
    )
    verb.add("--out", type=Path, help="the folder, or the file (default: below data/export)")
    verb.add("--dry-run", action="store_true", help="say what would be written")
    of_model = verb.parser.add_argument_group("the model")
    of_model.add_argument("--model", type=Path, help="a bundle (default: data/model)")
    of_model.add_argument("--check", type=int, default=32, metavar="N", help="pictures to compare (default 32)")
    predictions = verb.parser.add_argument_group("its predictions")
    predictions.add_argument("--class", dest="label", default="", metavar="CLASS", help="images of this class only")
    predictions.add_argument("--min-score", type=float, default=0.0, help="images with at least this score")
    predictions.add_argument("--max-score", type=float, default=1.0, help="images with at most this score")
    predictions.add_argument("--limit", type=int, metavar="N", help="at most N images")
    predictions.add_argument("--replace", action="store_true", help="replace the file that --out names")


def gate(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import gate

    return gate.rescore(workspace) if args.rescore else gate.gate(workspace, html=args.html)


def release(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import release

    if args.rollback:
        return release.roll_back(workspace, to=args.to, why=args.why, by=args.by, dry_run=args.dry_run)
    if args.to:
        raise UsageError("--to without --rollback", where="wallaby release", mend="add --rollback, or leave --to out")
    return release.release(workspace, force=args.force, by=args.by, dry_run=args.dry_run)


def runs(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    if args.record:
        from pipeline.commands import records

        return records.record_round(workspace)
    from pipeline import sections
    from pipeline.cli.tables import rounds as tables
    from pipeline.commands import runs

    if args.rebuild:
        return runs.rebuild(workspace)
    if args.html:
        return runs.html(workspace)
    if args.ledger:
        by_hand = workspace.params(sections.Report).minutes_by_hand
        return runs.ledger(workspace).as_table(tables.ledger, minutes_by_hand=by_hand)
    answer = runs.listed(workspace)
    return answer.as_table(tables.runs, answer.data.table, answer.data.sets)


def runs_diff(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import rounds as tables
    from pipeline.commands import runs

    return runs.diff(workspace, args.a, args.b).as_table(tables.difference)


def ui(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import ui

    return ui.ui(workspace, port=args.port, browser=not args.no_browser)


def validate(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import validate

    return validate.validate(workspace, args.path)


def export(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import export
    from pipeline.inference import prediction_export

    if args.format not in prediction_export.FORMATS:
        return export.model(
            workspace, args.format, folder=args.model, out=args.out, check=args.check, dry_run=args.dry_run
        )
    selection = prediction_export.Selection(args.label, args.min_score, args.max_score, args.limit)
    return export.predictions(
        workspace, args.format, selection, out=args.out, replace=args.replace, dry_run=args.dry_run
    )
