"""Commands about the queue and what people decide."""

import argparse
from pathlib import Path

from pipeline.cli.common import Verb, answer, existing, now, of_throwaway, queue_of
from pipeline.errors import Exit


def add(verb: Verb) -> None:
    command = verb("review", review, "show the queue, or decide it in a spreadsheet")
    command.add_argument(
        "--sheet", type=Path, metavar="CSV", help="write the queue as a table with an empty column `decision`"
    )
    command.add_argument("--take", type=Path, metavar="CSV", help="take the decisions of a filled table")
    command.add_argument("--by", default="", help="who decided; with --take")
    of_throwaway(command)

    command = verb("apply", apply, "bring the reviews into data/labels.csv; doing so twice changes nothing")
    command.add_argument("--dry-run", action="store_true", help="say what would change")


def review(args: argparse.Namespace) -> int:
    from pipeline.review import sheets

    queue = queue_of(args)
    of = f" --throwaway {queue.parent.name}" if args.throwaway is not None else ""
    if args.take:
        path, number = sheets.take(args.take, queue, by=args.by, at=now())
        return answer(
            args, {"decisions": number, "file": str(path)}, f"{number} decisions in {path}; next: wallaby apply"
        )
    if args.sheet:
        number = sheets.write(args.sheet, queue)
        text = f"{number} images in {args.sheet}: fill `decision` with yes, a class, keep, unknown or bad; then\n"
        return answer(args, {"images": number}, f"{text}  wallaby review{of} --take {args.sheet} --by YOUR-NAME")
    page = existing(queue / "index.html").resolve()
    return answer(
        args, {"page": str(page)}, f"look at {page.as_uri()}\ndecide with: wallaby review{of} --sheet sheet.csv"
    )


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
