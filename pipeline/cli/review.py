"""Commands about the queue and what people decide."""

import argparse
import json
from pathlib import Path

from pipeline import paths
from pipeline.cli.common import Verb, answer, now
from pipeline.errors import Exit


def add(verb: Verb) -> None:
    command = verb("review", review, "open the page where people decide the queue; or decide it in a spreadsheet")
    command.add_argument("--queue", type=Path, default=paths.QUEUE, help="the folder of the recipes' tables")
    command.add_argument(
        "--host", default="127.0.0.1", help="where to serve; beyond this machine the address has a token"
    )
    command.add_argument("--port", type=int, help="by default 8700, or any that is free")
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.add_argument(
        "--sheet", type=Path, metavar="CSV", help="write the queue as a table with an empty column `decision`"
    )
    command.add_argument("--take", type=Path, metavar="CSV", help="take the decisions of a filled table")
    command.add_argument("--by", default="", help="who decides: your name")

    command = verb("apply", apply, "bring the reviews into data/labels.csv; doing so twice changes nothing")
    command.add_argument("--dry-run", action="store_true", help="say what would change")


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
    from pipeline.review.page import serving

    def say(text: str) -> None:
        print(json.dumps({"address": text}) if args.json else text, flush=True)

    serving.serve(
        queue=args.queue,
        host=args.host,
        port=args.port,
        by=args.by,
        browser=not args.no_browser,
        now=now,
        say=say,
    )
    return Exit.DONE


def apply(args: argparse.Namespace) -> int:
    from pipeline.review import sheets

    applied = sheets.apply(dry_run=args.dry_run)
    result = {key: value for key, value in vars(applied).items() if key != "table"}
    lines = [f"{applied.added} added, {applied.changed} changed, {applied.before} were there before"]
    lines += [f"  reviewers differ, left alone: {image}" for image in applied.conflicts[:10]]
    lines += [f"  a benchmark image, left alone: {image}" for image in applied.refused[:10]]
    answer(
        args,
        result,
        "\n".join([*lines, "nothing is written" if args.dry_run else "next: wallaby promote, then dvc repro"]),
    )
    return Exit.SOME_FAILED if applied.conflicts or applied.refused else Exit.DONE
