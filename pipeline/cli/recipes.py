"""Commands about the pool: ask a recipe, find what is like a picture, put away what is not worth labelling."""

import argparse
from pathlib import Path
from typing import Any

from pipeline.cli.common import Verb, answer, now, user
from pipeline.errors import Exit

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


def add(verb: Verb) -> None:
    command = verb("queue", queue, "ask one recipe over the present predictions; without one, list them")
    command.add_argument("recipe", nargs="?", default="", metavar="RECIPE", help="low-count, look-alike, ...")
    command.add_argument("classes", nargs="*", metavar="CLASS", help="only images of these classes")
    for name, (kind, meaning) in OPTIONS.items():
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, help=meaning)
    command.add_argument("--look-alike", default="", metavar="CLASS,CLASS", help="unknown: seen as one of these")
    command.add_argument("--max-rows", type=int, help="rows of the answer")
    command.add_argument("--all", action="store_true", help="show every row, not only the first 40")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="write a table (.csv as for `review --take`, .parquet) or page (.html)"
    )

    command = verb("find", find, "find the pool's and the library's images nearest to a picture")
    command.add_argument(
        "image", metavar="PICTURE", help="ROOT/path, a picture file, or the beginning of a content hash"
    )
    command.add_argument("--number", type=int, default=10, help="images of each (default 10)")

    command = verb(
        "quarantine", quarantine, "show, accept or undo what recipe purge-low would put away; nothing is deleted"
    )
    command.add_argument("what", nargs="?", choices=["accept", "undo"], help="default: show")
    command.add_argument("--lost", type=float, metavar="SHARE", help="with accept: good images among them, at most")
    command.add_argument("--by", default="", help="who decides (default: git's user.name)")
    command.add_argument("--dry-run", action="store_true", help="say what would change")


def queue(args: argparse.Namespace) -> int:
    from pipeline.review import asking, recipes
    from pipeline.terminal import recipes as terminal

    if not args.recipe:
        known = [
            {"recipe": recipe.name, "finds": recipe.finds, "options": recipe.options} for recipe in recipes.RECIPES
        ]
        if args.json:
            return answer(args, known, "")
        terminal.recipes(recipes.RECIPES)
        return Exit.DONE
    given: dict[str, Any] = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    look_alike = [name.strip() for name in args.look_alike.split(",") if name.strip()]
    said = asking.ask(args.recipe, classes=args.classes, look_alike=look_alike, given=given, max_rows=args.max_rows)
    if args.out:
        asking.write(said, args.out)
    if args.json:
        return answer(args, said.as_dict(), "")
    terminal.answer(said, limit=None if args.all else 40)
    if args.out:
        print(f"written: {args.out}")
    return Exit.DONE


def find(args: argparse.Namespace) -> int:
    from pipeline.review import finding
    from pipeline.terminal import recipes as terminal

    found = finding.find(args.image, number=args.number)
    if args.json:
        return answer(args, found, "")
    terminal.found(found)
    return Exit.DONE


def quarantine(args: argparse.Namespace) -> int:
    from pipeline import config, sections
    from pipeline.review import purging

    done = "would be" if args.dry_run else "are"
    if args.what == "undo":
        number = purging.undo(dry_run=args.dry_run)
        return answer(args, {"returned": number}, f"{number} images {done} back in the pool; next: dvc repro")
    confidence = config.load(sections.Evaluate).confidence
    if args.what == "accept":
        audit, number = purging.accept(
            lost=args.lost, confidence=confidence, by=args.by or user(), at=now(), dry_run=args.dry_run
        )
        text = (
            f"{audit}\n{number} images {done} in quarantine; `wallaby quarantine undo` takes them back; next: dvc repro"
        )
        return answer(args, audit.as_dict() | {"put_away": number}, text)
    audit = purging.audit(confidence=confidence)
    next_step = "\nnext: wallaby quarantine accept --lost SHARE" if audit.complete else ""
    return answer(args, audit.as_dict(), f"{audit}{next_step}")
