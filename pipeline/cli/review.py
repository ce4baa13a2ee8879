"""Commands about the queue and what people decide."""

import argparse
from pathlib import Path

from pipeline import paths
from pipeline.cli.common import Verb, answer, existing, now


def add(verb: Verb) -> None:
    command = verb("review", review, "show the queue, or decide it in a spreadsheet")
    command.add_argument(
        "--sheet", type=Path, metavar="CSV", help="write the queue as a table with an empty column `decision`"
    )
    command.add_argument("--take", type=Path, metavar="CSV", help="take the decisions of a filled table")
    command.add_argument("--by", default="", help="who decided; with --take")


def review(args: argparse.Namespace) -> int:
    from pipeline.review import sheets

    if args.take:
        path, number = sheets.take(args.take, by=args.by, at=now())
        return answer(
            args, {"decisions": number, "file": str(path)}, f"{number} decisions in {path}; next: wallaby apply"
        )
    if args.sheet:
        number = sheets.write(args.sheet)
        text = f"{number} images in {args.sheet}: fill `decision` with yes, a class, keep, unknown or bad; then\n"
        return answer(args, {"images": number}, f"{text}  wallaby review --take {args.sheet} --by YOUR-NAME")
    page = existing(paths.QUEUE / "index.html").resolve()
    return answer(args, {"page": str(page)}, f"look at {page.as_uri()}\ndecide with: wallaby review --sheet sheet.csv")
