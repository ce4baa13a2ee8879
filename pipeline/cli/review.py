"""Commands about the queue and what people decide."""

import argparse
import json
from pathlib import Path

from pipeline import paths
from pipeline.cli.common import Verb, answer, now, of_throwaway, queue_of
from pipeline.errors import Exit, UsageError

SHOWN = 10  # images that are left out


def add(verb: Verb) -> None:
    command = verb("review", review, "open the page where people decide the queue; or decide it in a spreadsheet")
    command.add_argument("--queue", type=Path, default=paths.QUEUE, help="the folder of the recipes' tables")
    of_throwaway(command)
    command.add_argument(
        "--host", default="127.0.0.1", help="where to serve; beyond this machine the address has a token"
    )
    command.add_argument("--port", type=int, help="by default 8700, or any that is free")
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.add_argument(
        "--sheet", type=Path, metavar="CSV", help="write the queue as a table with an empty column `decision`"
    )
    command.add_argument(
        "--out", nargs=2, metavar=("FORMAT", "PATH"), help="write the queue for label-studio, fiftyone, or as folders"
    )
    command.add_argument("--recipe", action="append", default=[], help="with --out: only this one; again for more")
    command.add_argument(
        "--take", type=Path, metavar="PATH", help="take the decisions of a filled table, an export or folders"
    )
    command.add_argument("--by", default="", help="who decides: your name")
    command.add_argument("--stats", action="store_true", help="each reviewer's pace and own error")


def review(args: argparse.Namespace) -> int:
    from pipeline.review import sheets

    if args.stats:
        return stats(args)
    queue = queue_of(args, args.queue)
    of = f" --throwaway {queue.parent.name}" if args.throwaway is not None else ""
    if args.out:
        return write_out(args)
    if args.take:
        return take(args, queue)
    if args.sheet:
        number = sheets.write(args.sheet, queue)
        text = f"{number} images in {args.sheet}: fill `decision` with yes, a class, keep, unknown or bad; then\n"
        return answer(args, {"images": number}, f"{text}  wallaby review{of} --take {args.sheet} --by YOUR-NAME")
    from pipeline.review.page import serving

    def say(text: str) -> None:
        print(json.dumps({"address": text}) if args.json else text, flush=True)

    serving.serve(
        queue=queue,
        host=args.host,
        port=args.port,
        by=args.by,
        browser=not args.no_browser,
        now=now,
        say=say,
    )
    return Exit.DONE


def write_out(args: argparse.Namespace) -> int:
    from pipeline.errors import closest
    from pipeline.review import other_tools

    format_, path = args.out[0], Path(args.out[1])
    if format_ not in other_tools.FORMATS:
        mend = closest(format_, other_tools.FORMATS)
        raise UsageError(f"'{format_}' is no format that a queue is written in", where="--out", mend=mend)
    number, todo = other_tools.write(format_, path, recipes=args.recipe)
    return answer(args, {"images": number, "path": str(path)}, f"{number} images in {path}\n{todo}")


def take(args: argparse.Namespace, queue: Path) -> int:
    from pipeline.review import other_tools, sheets

    format_ = other_tools.recognise(args.take)
    if format_:
        taken = other_tools.take(args.take, format_, by=args.by, at=now())
    else:
        taken = sheets.take(args.take, queue, by=args.by, at=now())
    lines = [f"{taken.number} decisions in {taken.file or 'no table'}; next: wallaby apply"]
    if taken.missing:
        more = f" and {len(taken.missing) - SHOWN} more" if len(taken.missing) > SHOWN else ""
        lines.append(f"{len(taken.missing)} left out: no image has the content any more that was decided on")
        lines.append(f"  {', '.join(taken.missing[:SHOWN])}{more}")
        lines.append("an image that was moved since the index was made is found again after `dvc repro index`")
    told = {"decisions": taken.number, "file": taken.file and str(taken.file), "missing": taken.missing}
    answer(args, told, "\n".join(lines))
    return Exit.SOME_FAILED if taken.missing else Exit.DONE


def stats(args: argparse.Namespace) -> int:
    from pipeline import config, sections
    from pipeline.review import decisions, reviewers
    from pipeline.terminal import review as terminal

    log = decisions.read_log(paths.REVIEWS, list(config.load(sections.Roots).folders))
    table = reviewers.measure(log, confidence=config.load(sections.Evaluate).confidence)
    if args.json:
        return answer(args, table.to_dict("records"), "")
    terminal.reviewers(table)
    return Exit.DONE
