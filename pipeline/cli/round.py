"""The verbs of a round: what it made, what the next one will, and what opens that."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.parser import Program

if TYPE_CHECKING:
    from pipeline.commands import Answer
    from pipeline.workspace import Workspace

CLASS_EVENTS = {
    "rename": ("give a class another name", "OLD", "NEW"),
    "merge": ("count a class as a sub-class of another", "CLASS", "INTO"),
    "split": ("make a class of a sub-class", "CLASS/SUBCLASS", "NEW"),
    "retire": ("train a class no more", "CLASS", ""),
    "set": ("set a class's own lower cutoff, or whether mirroring is safe", "CLASS", ""),
}


def add(program: Program) -> None:
    program.verb("summary", summary, "tell the last round in a few lines")

    verb = program.verb("board", board, "show where each class stands against the lower cutoff, or one image by image")
    verb.add("label", nargs="?", default="", metavar="CLASS", help="explain this class image by image")
    verb.add("--all", action="store_true", help="every row, not only the first 40")
    verb.add("--html", action="store_true", help="say where the page is")

    known = "tell all that is known of one image: its label, group, set, models and predictions"
    verb = program.verb("why", why, known)
    verb.add("image", help="ROOT/path, an image file, or the beginning of a content hash")

    verb = program.verb("classes", classes, "rename, merge, split off or retire classes; no label is rewritten")
    verb.share("--min-images", of=["set"], default="", help="with set: a lower cutoff of the class's own")
    verb.share("--flip", of=["set"], default="", choices=["yes", "no"], help="with set: whether mirroring is safe")
    verb.share("--by", default="", help="who decided")
    verb.share("--note", default="", help="why")
    verb.share("--dry-run", action="store_true", help="say what would change")
    for event, (help, name, to) in CLASS_EVENTS.items():
        action = verb.action(event, class_event, help)
        action.add("name", metavar=name)
        if to:
            action.add("to", metavar=to)
    verb.action("undo", undo_class_event, "take the last event back")

    verb = program.verb(
        "preview", preview, "forecast the next round after a review: refit only the head, on stored features"
    )
    verb.add("--held", action="store_true", help="compare the forecast of the present round with the round")

    verb = program.verb("promote", promote, "make the model the next round's base")
    verb.add("--dry-run", action="store_true", help="say what would change")

    verb = program.verb("throwaway", throwaway_run, "run a round at a lowered cutoff, in a copy, for its queue alone")
    verb.action("list", throwaway_list, "list all throw-away runs")
    report = verb.action("report", throwaway_report, "compare the expected yield of one with that of its review")
    remove = verb.action("remove", throwaway_remove, "remove one; decisions on its candidates stay")
    for action in (report, remove):
        action.add("which", nargs="?", metavar="NAME", help="(default: the only one)")
        action.add("--name", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    verb.share("--min-images", type=int, metavar="N", help="the lowered cutoff, in groups of near-duplicates")
    verb.share("--name", help="(default: min-N)")
    verb.action("run", throwaway_run, "run one, or continue it (`run` may be left out)")

    verb = program.verb(
        "augment-sheet", augment_sheet, "show what training will see, the most endangered pictures first"
    )
    verb.add("--out", type=Path, help="the page (default: .wallaby/augment-sheet.html)")

    verb = program.verb("ablate", ablate, "train with one setting changed at a time, and tabulate what each is worth")
    verb.add("settings", nargs="*", metavar="SETTING=VALUE", help="of section train (default: each part of the recipe)")
    verb.add("--epochs", type=int, metavar="N", help="of each training, at most (default: of the params)")
    verb.add("--seeds", type=seeds, default=[], metavar="0,1", help="train each setting with each of them")
    verb.add("--dry-run", action="store_true", help="say what would be trained")


def summary(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import rounds as tables
    from pipeline.commands import summary

    return summary.summary(workspace).as_table(tables.summary)


def board(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import library as tables
    from pipeline.commands import board

    if args.html:
        return board.page(workspace, args.label)
    if args.label:
        return board.of_class(workspace, args.label).as_table(tables.class_images, everything=args.all)
    return board.board(workspace).as_table(tables.board, everything=args.all)


def why(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import library as tables
    from pipeline.commands import why

    return why.why(workspace, args.image).as_table(tables.why)


def classes(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import library as tables
    from pipeline.commands import classes

    return classes.listed(workspace).as_table(tables.events)


def undo_class_event(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import classes

    return classes.undo(workspace, dry_run=args.dry_run)


def preview(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import preview

    if args.held:
        return preview.compared(workspace).as_table(tables.compared)
    return preview.forecast_round(workspace).as_table(tables.preview)


def promote(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import promote

    return promote.promote(workspace, dry_run=args.dry_run)


def throwaway_run(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import throwaway

    return throwaway.run(workspace, min_images=args.min_images, name=args.name or "").as_table(tables.outlook)


def throwaway_list(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import throwaway

    return throwaway.listed(workspace).as_table(tables.throwaways)


def throwaway_report(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import throwaway

    return throwaway.report(workspace, args.which or args.name or "").as_table(tables.yields)


def throwaway_remove(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import throwaway

    return throwaway.remove(workspace, args.which or args.name or "")


def augment_sheet(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import augment_sheet

    return augment_sheet.write(workspace, out=args.out)


def ablate(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import training as tables
    from pipeline.commands import ablate

    if args.dry_run:
        return ablate.planned(workspace, args.settings, epochs=args.epochs, seeds=args.seeds)
    answer = ablate.ablate(workspace, args.settings, epochs=args.epochs, seeds=args.seeds)
    return answer.as_table(tables.ablation, confidence=workspace.confidence)


def class_event(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import classes

    more = {name: getattr(args, name) for name in ("min_images", "flip", "by", "note", "dry_run")}
    return classes.add(workspace, args.action, args.name, getattr(args, "to", ""), **more)


def seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


def wheel(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import wheel

    return wheel.wheel(workspace)
