"""The program `wallaby`: parse, call, print. What a command does lies in the libraries, imported when called."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline import errors, paths
from pipeline.errors import Exit

CODES = """exit codes:
  0 done              3 data invalid                  6 finished with some failures   130 stopped by the user
  1 unexpected        4 gate failed                   7 the gate says investigate
  2 usage or params   5 leakage or lineage refused    75 interrupted; the same command continues
"""


class Parser(argparse.ArgumentParser):
    """Argparse, with an error of ours that offers the nearest command."""

    def error(self, message: str) -> Any:
        from pipeline.config import nearest

        mend = f"`{self.prog} --help` shows what it takes"
        if "invalid choice: '" in message:
            word, known = message.split("invalid choice: '")[1].split("' (choose from ")
            mend = nearest(word, {choice.strip(" '") for choice in known.rstrip(")").split(",")})
            message = f"unknown command '{word}'"
        raise errors.UsageError(message, where=self.prog, mend=mend)


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="wallaby",
        description="Trains, cleans, proves and re-trains one image classifier. `dvc repro` runs a round.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def verb(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=help, description=help)
        command.set_defaults(function=function)
        command.add_argument("--json", action="store_true", help="the result as JSON on stdout")
        return command

    command = verb("demo", demo, "write the demo's library, pool and benchmark set, or play its reviewer")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--review", action="store_true", help="answer the queue from the pool's truth")
    what.add_argument("--remove", action="store_true", help="take the demo out of the tables and delete its pictures")
    what.add_argument("--if-empty", action="store_true", help="do nothing when there is a library")
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

    command = verb("init-base", init_base, "write round 0: a network that has seen nothing")
    command.add_argument(
        "--model", required=True, metavar="PRESET", help="a file of configs/models, without its ending"
    )
    command.add_argument("--weights", default="random", choices=["random"], help="where its weights come from")
    command.add_argument("--seed", type=int, default=0, help="of the random weights")
    command.add_argument("--out", type=Path, default=paths.BASE)
    command.add_argument("--replace", action="store_true", help="replace a base; what it has learnt is forgotten")

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

    command = verb("augment-sheet", augment_sheet, "show what training will see, the most endangered pictures first")
    command.add_argument("--out", type=Path, help="the page (default: .wallaby/augment-sheet.html)")

    verb("gate", gate, "show the gate's verdict; its exit code is 0, 4 or 7")

    command = verb("review", review, "show the queue, or decide it in a spreadsheet")
    command.add_argument(
        "--sheet", type=Path, metavar="CSV", help="write the queue as a table with an empty column `decision`"
    )
    command.add_argument("--take", type=Path, metavar="CSV", help="take the decisions of a filled table")
    command.add_argument("--by", default="", help="who decided; with --take")

    command = verb("apply", apply, "bring the reviews into data/labels.csv; doing so twice changes nothing")
    command.add_argument("--dry-run", action="store_true", help="say what would change")

    command = verb("promote", promote, "make the model the next round's base")
    command.add_argument("--dry-run", action="store_true", help="say what would change")

    verb("release", release, "make a model that passed the gate the champion")
    verb("runs", runs, "list all model versions side by side")
    verb("summary", summary, "tell the last round in a few lines")
    return top


def demo(args: argparse.Namespace) -> int:
    from pipeline import demo

    if args.review:
        path, number = demo.review(paths.DEMO, at=_now())
        return _say(
            args, {"decisions": number, "file": str(path)}, f"{number} decisions in {path}; next: wallaby apply"
        )
    if args.remove:
        removed = demo.remove(paths.DEMO)
        return _say(args, {"removed": removed}, f"removed the demo: {removed} label rows")
    if args.if_empty and not demo.library_is_empty():
        return _say(args, {"written": 0}, "there is a library; the demo is left out")
    written = demo.write(paths.DEMO, size=args.size)
    text = (
        f"the demo is in {paths.DEMO}: {written} label rows; next: dvc repro"
        if written
        else f"the demo is in {paths.DEMO} already"
    )
    return _say(args, {"written": written}, text)


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
    for image in result["differing"][:3]:
        text += f"\n  kept the older label of {image}"
    for image in result["conflicts"][:3]:
        text += f"\n  people differ, left alone: {image}"
    if result["unlabelled"]:
        text += f"\n  {result['unlabelled']} without a label are left out"
    _say(args, result, f"{text}; next: dvc repro")
    return Exit.SOME_FAILED if result["conflicts"] else Exit.DONE


def init_base(args: argparse.Namespace) -> int:
    from pipeline import rounds

    card = rounds.init_base(args.model, args.out, seed=args.seed, replace=args.replace)
    if args.out == paths.BASE:
        rounds.track_with_dvc(paths.BASE)
        if rounds.open_released(paths.RELEASED):
            rounds.track_with_dvc(paths.RELEASED)
    return _say(args, vars(card), f"{args.out}: {card.preset}, {card.image_size} pixels, {args.weights} weights")


def board(args: argparse.Namespace) -> int:
    from pipeline import terminal
    from pipeline.library import board

    if args.html:
        page = _existing(paths.DATASET / "index.html").resolve().as_uri()
        page += f"#class={quote(args.label)}" if args.label else ""
        return _say(args, {"page": page}, f"look at {page}")
    if args.label:
        return _board_of_class(args)
    table = board.read(_existing(paths.CURATED / "board.csv"))
    if args.json:
        return _say(args, table.to_dict("records"), "")
    terminal.board(table if args.all else table.head(40), len(table))
    return Exit.DONE


def _board_of_class(args: argparse.Namespace) -> int:
    from pipeline import passport, terminal

    standing, images = passport.of_class(args.label)
    if args.json:
        return _say(args, {"board": standing, "images": images.to_dict("records")}, "")
    terminal.class_images(standing, images, limit=None if args.all else 40)
    return Exit.DONE


def classes(args: argparse.Namespace) -> int:
    from pipeline import terminal
    from pipeline.review import events

    if args.event is None:
        table = events.listed()
        if args.json:
            return _say(args, table.to_dict("records"), "")
        terminal.events(table)
        return Exit.DONE
    given = {"min_images": args.min_images, "flip": args.flip, "by": args.by, "note": args.note, "at": _now()}
    change = events.change(args.event, args.names, given, dry_run=args.dry_run)
    lines = [
        f"{number} images of '{was}' {'would count' if args.dry_run else 'count'} as '{now}'"
        for was, now, number in change
    ]
    text = "\n".join(lines) or "no image is called otherwise"
    return _say(args, {"changes": change}, f"{text}; {'nothing is written' if args.dry_run else 'next: dvc repro'}")


def why(args: argparse.Namespace) -> int:
    from pipeline import passport, terminal

    told = passport.of_image(args.image)
    if args.json:
        return _say(args, told, "")
    terminal.why(told)
    return Exit.DONE


def augment_sheet(args: argparse.Namespace) -> int:
    from pipeline import config
    from pipeline.training import sheet

    out = args.out or config.cache("augment-sheet.html")
    flagged = sheet.write(out)
    page = out.resolve().as_uri()
    return _say(args, {"page": page, "flagged": flagged}, f"{flagged} training pictures are flagged; look at {page}")


def gate(args: argparse.Namespace) -> int:
    from pipeline.files import read_json

    verdict = read_json(paths.GATE / "gate.json")
    _say(args, verdict, f"{verdict['verdict']}: {verdict['reason']}")
    return {"pass": Exit.DONE, "fail": Exit.GATE_FAILED, "investigate": Exit.INVESTIGATE}[verdict["verdict"]]


def review(args: argparse.Namespace) -> int:
    from pipeline.review import sheets

    if args.take:
        path, number = sheets.take(args.take, by=args.by, at=_now())
        return _say(
            args, {"decisions": number, "file": str(path)}, f"{number} decisions in {path}; next: wallaby apply"
        )
    if args.sheet:
        number = sheets.write(args.sheet)
        text = f"{number} images in {args.sheet}: fill `decision` with yes, a class, unknown or bad; then\n"
        return _say(args, {"images": number}, f"{text}  wallaby review --take {args.sheet} --by YOUR-NAME")
    page = _existing(paths.QUEUE / "index.html").resolve()
    return _say(args, {"page": str(page)}, f"look at {page.as_uri()}\ndecide with: wallaby review --sheet sheet.csv")


def apply(args: argparse.Namespace) -> int:
    from pipeline.review import sheets

    applied = sheets.apply(dry_run=args.dry_run)
    result = {key: value for key, value in vars(applied).items() if key != "table"}
    lines = [f"{applied.added} added, {applied.changed} changed, {applied.before} were there before"]
    lines += [f"  reviewers differ, left alone: {image}" for image in applied.conflicts[:10]]
    lines += [f"  a benchmark image, left alone: {image}" for image in applied.refused[:10]]
    _say(
        args,
        result,
        "\n".join([*lines, "nothing is written" if args.dry_run else "next: wallaby promote, then dvc repro"]),
    )
    return Exit.SOME_FAILED if applied.conflicts or applied.refused else Exit.DONE


def promote(args: argparse.Namespace) -> int:
    from pipeline import bundle, rounds

    card = bundle.check(paths.MODEL)
    if args.dry_run:
        return _say(args, vars(card), f"would make the model of round {card.round} the base")
    new = rounds.promote(paths.MODEL, paths.BASE, curated=paths.CURATED, splits=paths.SPLITS)
    rounds.track_with_dvc(paths.BASE)
    text = (
        f"the base is now the model of round {card.round}; next: dvc repro" if new else "the base is this model already"
    )
    return _say(args, {"round": card.round, "promoted": new}, text)


def release(args: argparse.Namespace) -> int:
    from pipeline import rounds

    card = rounds.release(paths.MODEL, paths.EVALUATION, paths.GATE, paths.RELEASED)
    rounds.track_with_dvc(paths.RELEASED)
    return _say(args, vars(card), f"the champion is now the model of round {card.round} ({card.model_digest[:12]})")


def runs(args: argparse.Namespace) -> int:
    from pipeline import rounds, terminal, tracking

    table = rounds.versions(tracking.runs())
    if args.json:
        return _say(args, table.to_dict("records"), "")
    terminal.runs(table)
    return Exit.DONE


def summary(args: argparse.Namespace) -> int:
    from pipeline import rounds, terminal

    told = rounds.summary(paths.MODEL.parent)
    if args.json:
        return _say(args, told, "")
    terminal.summary(told)
    return Exit.DONE


def _existing(path: Path) -> Path:
    if not path.exists():
        raise errors.DataError("the round has not come this far yet", where=path, mend="run `dvc repro`")
    return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _say(args: argparse.Namespace, result: Any, text: str) -> int:
    if args.json:
        from pipeline.rounds import as_json

        print(as_json(result))
    else:
        print(text)
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> None:
    def command() -> int:
        args = parser().parse_args(argv)
        return args.function(args)

    errors.run(command)


if __name__ == "__main__":
    main()
