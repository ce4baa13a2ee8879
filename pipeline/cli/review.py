"""The verbs of the queue and of what people decide."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.parser import Program

if TYPE_CHECKING:
    from pipeline.commands import Answer
    from pipeline.workspace import Workspace

OPTIONS = {  # what some recipes take: their values' kind, and what they mean
    "min_score": (float, "the least score (low-count, replace-staged, disagree)"),
    "far": (float, "farther than all but this share of the validation images (purge-low)"),
    "max_score": (float, "the highest score (look-alike, purge-low)"),
    "below": (float, "low-count: classes with fewer groups than so many times their cutoff"),
    "share": (float, "replace-staged: classes with at least this share of staged images; purge-low: of the pool, most"),
    "images": (int, "look-alike: so many hesitant images are clustered; purge-low: so many far ones are compared"),
    "beside": (int, "unknown: pool images beside each"),
    "sample": (int, "purge-low: images to judge"),
}
LISTED = 40  # rows of a recipe that are shown without --all


def add(program: Program) -> None:
    verb = program.verb("review", review, "open the page where people decide the queue; or decide it in a spreadsheet")
    verb.add("--queue", type=Path, help="the folder of the recipes' tables (default data/queue)")
    verb.add("--throwaway", nargs="?", const="", metavar="NAME", help="of this throw-away run (or the only one)")
    verb.add("--host", default="127.0.0.1", help="where to serve; beyond this machine the address has a token")
    verb.add("--port", type=int, help="by default 8700, or any that is free")
    verb.add("--no-browser", action="store_true", help="only print the address")
    verb.add("--sheet", type=Path, metavar="CSV", help="write the queue as a table with an empty column `decision`")
    verb.add(
        "--out", nargs=2, metavar=("FORMAT", "PATH"), help="write the queue for label-studio, fiftyone, or as folders"
    )
    verb.add("--recipe", action="append", default=[], help="with --out: only this one; again for more")
    verb.add("--take", type=Path, metavar="PATH", help="take the decisions of a filled table, an export or folders")
    verb.add("--by", default="", help="who decides: your name")
    verb.add("--stats", action="store_true", help="each reviewer's pace and own error")

    verb = program.verb("apply", apply, "bring the reviews into data/labels.csv; doing so twice changes nothing")
    verb.add("--dry-run", action="store_true", help="say what would change, class by class")
    verb.add(
        "--corrections", action="store_true", help="correct test and benchmark images, too: new versions of these sets"
    )
    verb.add(
        "--settle", action="append", default=[], metavar="IMAGE=CLASS",
        help="end a dispute: a class, unknown, bad or keep; whatever was said before",
    )  # fmt: skip
    undoing = verb.parser.add_mutually_exclusive_group()
    undoing.add_argument("--undo", action="append", default=[], metavar="ID", help="take a decision back")
    undoing.add_argument("--undo-session", default="", metavar="SESSION", help="take a whole session back")
    verb.add("--by", default="", help="who settles or takes back; git's user.name otherwise")
    verb.add(
        "--copy-to", type=Path, metavar="FOLDER", help="also copy newly labelled images there, one folder per class"
    )

    verb = program.verb("queue", queue, "ask one recipe over the present predictions; without one, list them")
    verb.add("recipe", nargs="?", default="", metavar="RECIPE", help="low-count, look-alike, ...")
    verb.add("classes", nargs="*", metavar="CLASS", help="only images of these classes")
    for name, (kind, meaning) in OPTIONS.items():
        verb.add(f"--{name.replace('_', '-')}", type=kind, help=meaning)
    verb.add("--look-alike", default="", metavar="CLASS,CLASS", help="unknown: seen as one of these")
    verb.add("--max-rows", type=int, help="rows of the answer")
    verb.add("--all", action="store_true", help=f"show every row, not only the first {LISTED}")
    verb.add(
        "--out", type=Path, metavar="FILE", help="write a table (.csv as for `review --take`, .parquet) or page (.html)"
    )

    verb = program.verb("find", find, "find the pool's and the library's images nearest to a picture")
    verb.add("image", metavar="PICTURE", help="ROOT/path, a picture file, or the beginning of a content hash")
    verb.add("--number", type=int, default=10, help="images of each (default 10)")

    finds = "show, accept or undo what recipe purge-low would put away; nothing is deleted"
    verb = program.verb("quarantine", quarantine, finds)
    verb.share("--lost", type=float, metavar="SHARE", help="accept: good images among them, at most")
    verb.share("--by", default="", help="who decides (default: git's user.name)")
    verb.share("--dry-run", action="store_true", help="say what would change")
    verb.action("accept", quarantine_accept, "put away what the last round listed")
    verb.action("undo", quarantine_undo, "take out of quarantine what was put there last")


def review(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import review as tables
    from pipeline.commands import now, queue_folder, review

    if args.stats:
        return review.reviewers(workspace).as_table(tables.reviewers)
    folder = queue_folder(workspace, args.throwaway, args.queue)
    if args.out:
        return review.write_out(workspace, args.out[0], Path(args.out[1]), recipes=args.recipe)
    if args.take:
        return review.take(workspace, args.take, queue=folder, by=args.by, at=now())
    if args.sheet:
        return review.write_sheet(workspace, args.sheet, queue=folder, throwaway=args.throwaway is not None)

    def say(address: str) -> None:
        print(json.dumps({"address": address}) if args.json else address, flush=True)

    where = {"host": args.host, "port": args.port, "browser": not args.no_browser}
    return review.page(workspace, queue=folder, by=args.by, say=say, **where)


def apply(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import review as tables
    from pipeline.commands import apply

    answer = apply.apply(
        workspace,
        undo=args.undo,
        undo_session=args.undo_session,
        settle=args.settle,
        by=args.by,
        correct=args.corrections,
        dry_run=args.dry_run,
        copy_to=args.copy_to,
    )
    return answer.as_table(tables.applied, dry_run=args.dry_run)


def queue(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import recipes as tables
    from pipeline.commands import queue

    if not args.recipe:
        return queue.recipes_known(workspace).as_table(tables.recipes)
    answer = queue.ask(
        workspace,
        args.recipe,
        classes=args.classes,
        look_alike=[name.strip() for name in args.look_alike.split(",") if name.strip()],
        options={name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None},
        max_rows=args.max_rows,
        out=args.out,
    )
    return answer.as_table(tables.listing, limit=None if args.all else LISTED, written=args.out)


def find(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import recipes as tables
    from pipeline.commands import find

    return find.find(workspace, args.image, number=args.number).as_table(tables.nearest)


def quarantine(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import quarantine

    return quarantine.show(workspace)


def quarantine_accept(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import quarantine

    return quarantine.accept(workspace, lost=args.lost, by=args.by, dry_run=args.dry_run)


def quarantine_undo(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import quarantine

    return quarantine.undo(workspace, dry_run=args.dry_run)
