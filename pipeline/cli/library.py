"""Commands about pictures, labels and classes."""

import argparse
from pathlib import Path
from urllib.parse import quote

from pipeline import errors, paths
from pipeline.cli.common import Verb, answer, existing, now, of_throwaway, queue_of
from pipeline.errors import Exit


def add(verb: Verb) -> None:
    command = verb("demo", demo, "write the demo's library, pool and benchmark set, or play its reviewer")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--review", action="store_true", help="answer the queue from the pool's truth")
    what.add_argument("--remove", action="store_true", help="take the demo out of the tables and delete its pictures")
    what.add_argument("--if-empty", action="store_true", help="do nothing when there is a library")
    of_throwaway(command)
    command.add_argument("--size", type=float, default=1.0, help="share of the pictures, for quick trials (default 1)")

    command = verb("import", import_, "name your own pictures in the tables; nothing is copied or changed")
    command.add_argument("what", choices=["library", "pool", "benchmark"])
    command.add_argument(
        "source",
        nargs="+",
        metavar="[NAME] DIR|FILE",
        help="a folder a class, a table (zamba's or FiftyOne's CSV), or Label Studio's JSON; a benchmark has a NAME",
    )
    command.add_argument(
        "--root", default="", help="the root's name (default: library, pool, benchmark, or the folder's)"
    )
    command.add_argument(
        "--folder", type=Path, help="of a FILE: where its relative file paths count from (default: its own)"
    )
    command.add_argument("--origin", default="real", choices=["real", "staged", "synthetic"], help="of library images")
    command.add_argument("--replace", action="store_true", help="make a new version of a benchmark set")
    command.add_argument("--dry-run", action="store_true", help="say what would be written")

    command = verb("board", board, "show where each class stands against the lower cutoff, or one image by image")
    command.add_argument("label", nargs="?", default="", metavar="CLASS", help="explain this class image by image")
    command.add_argument("--all", action="store_true", help="every row, not only the first 40")
    command.add_argument("--html", action="store_true", help="say where the page is")

    command = verb("classes", classes, "rename, merge, split off or retire classes; no label is rewritten")
    command.add_argument("event", nargs="?", choices=["rename", "merge", "split", "retire", "set", "undo"])
    command.add_argument(
        "names", nargs="*", metavar="CLASS", help="the class (for split: CLASS/SUBCLASS), and what it becomes"
    )
    command.add_argument("--min-images", default="", help="with set: a lower cutoff of the class's own")
    command.add_argument("--flip", default="", choices=["yes", "no"], help="with set: whether mirroring is safe")
    command.add_argument("--by", default="", help="who decided")
    command.add_argument("--note", default="", help="why")
    command.add_argument("--dry-run", action="store_true", help="say what would change")

    command = verb("why", why, "tell all that is known of one image: its label, group, set, models and predictions")
    command.add_argument("image", help="ROOT/path, a picture file, or the beginning of a content hash")


def demo(args: argparse.Namespace) -> int:
    from pipeline import demo

    if args.review:
        path, number = demo.review(paths.DEMO, queue_of(args), at=now())
        return answer(
            args, {"decisions": number, "file": str(path)}, f"{number} decisions in {path}; next: wallaby apply"
        )
    if args.remove:
        removed = demo.remove(paths.DEMO, at=now())
        return answer(args, {"removed": removed}, f"removed the demo: {removed} label rows")
    if args.if_empty and not demo.library_is_empty():
        return answer(args, {"written": 0}, "there is a library; the demo is left out")
    written = demo.write(paths.DEMO, size=args.size)
    text = (
        f"the demo is in {paths.DEMO}: {written} label rows; next: dvc repro"
        if written
        else f"the demo is in {paths.DEMO} already"
    )
    return answer(args, {"written": written}, text)


def import_(args: argparse.Namespace) -> int:
    from pipeline.library import sources

    given = args.source
    if len(given) != (2 if args.what == "benchmark" else 1):
        raise errors.UsageError(
            f"import {args.what} takes {'a NAME and ' if args.what == 'benchmark' else ''}one folder or file",
            where=f"wallaby import {args.what} {' '.join(given)}",
        )
    result = sources.import_pictures(
        args.what,
        Path(given[-1]),
        benchmark=given[0],
        root=args.root,
        folder=args.folder,
        origin=args.origin,
        replace=args.replace,
        dry_run=args.dry_run,
    )
    done = "would be" if args.dry_run else "are"
    text = (
        f"{result['added']} images {done} added as {result['root']} ({result['folder']}), {result['known']} were known"
    )
    if result["again"]:
        text += f"\n  {result['again']} of them are copies of images that are labelled under other names"
    for image in result["differing"][:3]:
        text += f"\n  kept the older label of {image}"
    if result["replaced"]:
        text += f"\n  {len(result['replaced'])} known images have another content than was labelled, first"
        text += f" {result['replaced'][0]}: their labels wait until a person confirms them"
    for image in result["conflicts"][:3]:
        text += f"\n  people differ, left alone: {image}"
    if result["unlabelled"]:
        text += f"\n  {result['unlabelled']} without a label are left out"
    answer(args, result, f"{text}; next: dvc repro")
    return Exit.SOME_FAILED if result["conflicts"] else Exit.DONE


def board(args: argparse.Namespace) -> int:
    from pipeline import config, sections
    from pipeline.files import read_json
    from pipeline.library import board
    from pipeline.review import decisions, yields
    from pipeline.terminal import library as terminal

    if args.html:
        page = existing(paths.DATASET / "index.html").resolve().as_uri()
        page += f"#class={quote(args.label)}" if args.label else ""
        return answer(args, {"page": page}, f"look at {page}")
    if args.label:
        return _board_of_class(args)
    table = board.read(existing(paths.CURATED / "board.csv"))
    gains = yields.standing(paths.QUEUE, decisions.read_all(paths.REVIEWS, list(config.load(sections.Roots).folders)))
    if args.json:
        told = table.merge(gains.drop(columns="short_by"), on="label", how="left").astype(object)
        return answer(args, told.where(told.notna(), None).to_dict("records"), "")
    terminal.board(table if args.all else table.head(40), len(table))
    terminal.replaced(read_json(paths.CURATED / "summary.json").get("other_content"))
    terminal.gains(gains if args.all else gains.head(40), len(gains))
    return Exit.DONE


def _board_of_class(args: argparse.Namespace) -> int:
    from pipeline import passport
    from pipeline.terminal import library as terminal

    standing, images = passport.of_class(args.label)
    if args.json:
        return answer(args, {"board": standing, "images": images.to_dict("records")}, "")
    terminal.class_images(standing, images, limit=None if args.all else 40)
    return Exit.DONE


def classes(args: argparse.Namespace) -> int:
    from pipeline.review import events
    from pipeline.terminal import library as terminal

    if args.event is None:
        table = events.listed()
        if args.json:
            return answer(args, table.to_dict("records"), "")
        terminal.events(table)
        return Exit.DONE
    given = {"min_images": args.min_images, "flip": args.flip, "by": args.by, "note": args.note, "at": now()}
    change = events.change(args.event, args.names, given, dry_run=args.dry_run)
    lines = [
        f"{number} images of '{was}' {'would count' if args.dry_run else 'count'} as '{now}'"
        for was, now, number in change
    ]
    text = "\n".join(lines) or "no image is called otherwise"
    return answer(args, {"changes": change}, f"{text}; {'nothing is written' if args.dry_run else 'next: dvc repro'}")


def why(args: argparse.Namespace) -> int:
    from pipeline import passport
    from pipeline.terminal import library as terminal

    told = passport.of_image(args.image)
    if args.json:
        return answer(args, told, "")
    terminal.why(told)
    return Exit.DONE
