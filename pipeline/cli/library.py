"""The verbs about images, labels, classes and roots."""

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
    verb = program.verb("demo", demo, "write the demo's library, pool and benchmark set, or play its reviewer")
    what = verb.parser.add_mutually_exclusive_group()
    what.add_argument("--review", action="store_true", help="answer the queue from the pool's truth")
    what.add_argument("--remove", action="store_true", help="take the demo out of the tables and delete its images")
    what.add_argument("--if-empty", action="store_true", help="do nothing when there is a library")
    of_run = "of this throw-away run (or the only one)"
    verb.add("--throwaway", nargs="?", const="", metavar="NAME", help=of_run)
    verb.add("--size", type=float, default=1.0, help="share of the images, for quick trials (default 1)")

    verb = program.verb("import", None, "name your own images in the tables; nothing is copied or changed")
    verb.share("--root", default="", help="the root's name (default: library, pool, benchmark, or the folder's)")
    where = "of a FILE: where its relative file paths count from (default: its own folder)"
    verb.share("--folder", type=Path, help=where)
    origins = ["real", "staged", "synthetic"]
    verb.share("--origin", of=["library"], default="real", choices=origins, help="of library images")
    verb.share("--replace", of=["benchmark"], action="store_true", help="make a new version of the set")
    verb.share("--dry-run", action="store_true", help="say what would be written")
    source = "one folder per class, a table (zamba's or FiftyOne's CSV), or Label Studio's JSON"
    action = verb.action("library", import_library, "add labelled images")
    action.add("source", type=Path, metavar="DIR|FILE", help=source)
    action = verb.action("pool", import_pool, "name a folder of images without labels")
    action.add("source", type=Path, metavar="DIR", help="any folder of images")
    action = verb.action("benchmark", import_benchmark, "make a benchmark set")
    action.add("name", metavar="NAME", help="what the set is called")
    action.add("source", type=Path, metavar="DIR|FILE", help=source)

    verb = program.verb("board", board, "show where each class stands against the lower cutoff, or one image by image")
    verb.add("label", nargs="?", default="", metavar="CLASS", help="explain this class image by image")
    verb.add("--all", action="store_true", help="every row, not only the first 40")
    verb.add("--html", action="store_true", help="say where the page is")

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

    known = "tell all that is known of one image: its label, group, set, models and predictions"
    verb = program.verb("why", why, known)
    verb.add("image", help="ROOT/path, an image file, or the beginning of a content hash")

    verb = program.verb("roots", roots, "list the roots and what is missing in them, or record that a loss is meant")
    verb.share("--by", default="", help="who decides (default: git's user.name)")
    verb.share("--note", default="", help="why")
    verb.share("--dry-run", action="store_true", help="say what would be recorded")
    action = verb.action("empty", empty_root, "the loss of a root's images is meant, for the next index")
    action.add("name", metavar="NAME", help="the root")

    verb = program.verb("moved", moved, "let the rows of all tables follow images that were moved or renamed")
    verb.add("old", metavar="OLD", help="a root, ROOT/folder or ROOT/path: what the rows say")
    verb.add("new", metavar="NEW", help="the same, or a folder in no root: where the images lie now")
    above = "with a NEW in no root: the folder above it that becomes one"
    verb.add("--root", type=Path, metavar="DIR", help=above)
    verb.add("--by", default="", help="who moved them (default: git's user.name)")
    verb.add("--dry-run", action="store_true", help="say what would move")


def demo(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import demo

    if args.review:
        return demo.review(workspace, throwaway=args.throwaway)
    if args.remove:
        return demo.remove(workspace)
    return demo.write(workspace, size=args.size, if_empty=args.if_empty)


def import_library(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import import_

    options = {"root": args.root, "folder": args.folder, "origin": args.origin, "dry_run": args.dry_run}
    return import_.library(workspace, args.source, **options)


def import_pool(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import import_

    return import_.pool(workspace, args.source, root=args.root, folder=args.folder, dry_run=args.dry_run)


def import_benchmark(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import import_

    options = {"root": args.root, "folder": args.folder, "replace": args.replace, "dry_run": args.dry_run}
    return import_.benchmark(workspace, args.name, args.source, **options)


def board(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import library as tables
    from pipeline.commands import board

    if args.html:
        return board.page(workspace, args.label)
    if args.label:
        return board.of_class(workspace, args.label).as_table(tables.class_images, everything=args.all)
    return board.board(workspace).as_table(tables.board, everything=args.all)


def classes(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import library as tables
    from pipeline.commands import classes

    return classes.listed(workspace).as_table(tables.events)


def class_event(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import classes

    more = {name: getattr(args, name) for name in ("min_images", "flip", "by", "note", "dry_run")}
    return classes.add(workspace, args.action, args.name, getattr(args, "to", ""), **more)


def undo_class_event(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import classes

    return classes.undo(workspace, dry_run=args.dry_run)


def why(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import library as tables
    from pipeline.commands import why

    return why.why(workspace, args.image).as_table(tables.why)


def roots(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import roots as tables
    from pipeline.commands import roots

    return roots.listed(workspace).as_table(tables.roots)


def empty_root(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import roots

    return roots.empty(workspace, args.name, by=args.by, note=args.note, dry_run=args.dry_run)


def moved(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import roots as tables
    from pipeline.commands import moved

    options = {"by": args.by, "new_root": args.root, "dry_run": args.dry_run}
    if not args.json:
        options["show"] = tables.relocation
    return moved.moved(workspace, args.old, args.new, **options)
