"""The command that brings people's decisions into the labels, and takes them back."""

import argparse
from pathlib import Path

from pipeline.cli.common import Verb, answer, now, user
from pipeline.errors import Exit


def add(verb: Verb) -> None:
    command = verb("apply", apply, "bring the reviews into data/labels.csv; doing so twice changes nothing")
    command.add_argument("--dry-run", action="store_true", help="say what would change, class by class")
    command.add_argument(
        "--corrections", action="store_true", help="correct test and benchmark images, too: new versions of these sets"
    )
    command.add_argument(
        "--settle", action="append", default=[], metavar="IMAGE=CLASS",
        help="end a dispute: a class, unknown, bad or keep; whatever was said before",
    )  # fmt: skip
    taking_back = command.add_mutually_exclusive_group()
    taking_back.add_argument("--undo", action="append", default=[], metavar="ID", help="take a decision back")
    taking_back.add_argument("--undo-session", default="", metavar="SESSION", help="take a whole session back")
    command.add_argument("--by", default="", help="who settles or takes back; git's user.name otherwise")
    command.add_argument(
        "--copy-to", type=Path, metavar="FOLDER", help="also copy newly labelled pictures there, in a folder a class"
    )


def apply(args: argparse.Namespace) -> int:
    from pipeline.review import labelling
    from pipeline.terminal import review as terminal

    said, at = [], now()
    if args.undo or args.undo_session:
        by = args.by or user()
        said += labelling.take_back(names=args.undo, session=args.undo_session, by=by, at=at)
    said += [labelling.settle(text, by=args.by or user(), at=at) for text in args.settle]
    report = labelling.apply(
        said, correct=args.corrections, dry_run=args.dry_run, copy_to=None if args.dry_run else args.copy_to
    )
    if args.json:
        answer(args, report.as_dict(), "")
    else:
        terminal.applied(report, dry_run=args.dry_run)
    return Exit.SOME_FAILED if report.left else Exit.DONE
