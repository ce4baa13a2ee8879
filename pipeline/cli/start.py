"""The verbs of the first round, and of what lies where."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.parser import Program
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.commands import Answer
    from pipeline.workspace import Workspace


def add(program: Program) -> None:
    verb = program.verb("new", new, "make a repository that runs rounds")
    verb.add("folder", type=Path, metavar="DIR", help="a folder that is empty or does not exist")
    verb.add("--dry-run", action="store_true", help="say what would be written")

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
    verb.share("--no-probe", of=["library"], action="store_true", help="end without a portrait of the library")
    verb.share("--dry-run", action="store_true", help="say what would be written")
    source = "one folder per class, a table (zamba's or FiftyOne's CSV), or Label Studio's JSON"
    action = verb.action("library", import_library, "add labelled images")
    action.add("source", type=Path, metavar="DIR|FILE", help=source)
    action = verb.action("pool", import_pool, "name a folder of images without labels")
    action.add("source", type=Path, metavar="DIR", help="any folder of images")
    action = verb.action("benchmark", import_benchmark, "make a benchmark set")
    action.add("name", metavar="NAME", help="what the set is called")
    action.add("source", type=Path, metavar="DIR|FILE", help=source)

    verb = program.verb("probe", probe, "say within a minute how well the library can be told apart, and fill a queue")
    verb.add("--no-pool", action="store_true", help="leave the pool alone: its features are not computed")

    verb = program.verb("init-base", init_base, "write round 0: a network that has seen none of your pictures")
    verb.add("--model", required=True, metavar="PRESET", help="a file of configs/models, without its ending")
    verb.add(
        "--weights",
        default="random",
        metavar="random|imagenet|FILE.safetensors|FILE.pth|hub:HANDLE",
        help="what it begins with: nothing; what a network of Keras, or efficientnet_lite0, has learnt from ImageNet; a"
        " file of timm's inception_v4 or of torch's efficientnet_lite0; or a TensorFlow Hub module (address, folder or"
        " .tar.gz)",
    )
    verb.add("--seed", type=int, default=0, help="of the random weights")
    verb.add("--out", type=Path, help="the folder of the base (default: data/base)")
    verb.add("--replace", action="store_true", help="replace a base; what it has learnt is forgotten")
    verb.add("--dry-run", action="store_true", help="say what would be written")

    verb = program.verb(
        "models", models, "list the networks: parameters, arithmetic, size; or compare some on your data"
    )
    show = verb.action("show", models_show, "show one network in detail (`show` may be left out)", default=True)
    show.add("names", nargs="+", metavar="PRESET", help="a file of configs/models, without its ending")
    verb.share("--minutes", type=float, default=5.0, help="with compare: of training, each (default: 5)")
    verb.share("--seed", type=int, default=0, help="with compare: of random weights and order")
    compare = verb.action("compare", models_compare, "train each network for the same time and measure it")
    compare.add(
        "contenders",
        nargs="*",
        metavar="CONTENDER",
        help="PRESET, PRESET=WEIGHTS as of init-base, either with +frozen behind it, or base",
    )

    verb = program.verb("doctor", doctor, "look at data, base and params before a long training")
    verb.add("--quick", action="store_true", help="leave out the two checks that train for a while")

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

    verb = program.verb("upgrade", upgrade, "bring the repository up to the program, and say what will re-run, and why")
    verb.add("--dry-run", action="store_true", help="say what would change")


def new(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import new

    return new.new(args.folder, dry_run=args.dry_run)


def demo(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import demo

    if args.review:
        return demo.review(workspace, throwaway=args.throwaway)
    if args.remove:
        return demo.remove(workspace)
    return demo.write(workspace, size=args.size, if_empty=args.if_empty)


def probe(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import probe as tables
    from pipeline.commands import probe

    return probe.probe(workspace, pool=not args.no_pool).as_table(tables.probe)


def import_library(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import probe as tables
    from pipeline.commands import import_, probe

    options = {"root": args.root, "folder": args.folder, "origin": args.origin, "dry_run": args.dry_run}
    answer = import_.library(workspace, args.source, **options)
    if args.dry_run or args.no_probe or args.json:
        return answer
    print(answer.text, flush=True)  # it is done; the portrait takes a while
    return probe.after_import(workspace, answer, tables.probe)


def import_pool(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import import_

    return import_.pool(workspace, args.source, root=args.root, folder=args.folder, dry_run=args.dry_run)


def import_benchmark(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import import_

    options = {"root": args.root, "folder": args.folder, "replace": args.replace, "dry_run": args.dry_run}
    return import_.benchmark(workspace, args.name, args.source, **options)


def init_base(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import init_base

    return init_base.write(
        workspace,
        args.model,
        out=args.out,
        weights=args.weights,
        seed=args.seed,
        replace=args.replace,
        dry_run=args.dry_run,
    )


def models(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import training as tables
    from pipeline.commands import models

    answer = models.listed(workspace)
    return answer.as_table(tables.models, answer.data, models.classes(workspace))


def models_show(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import training as tables
    from pipeline.commands import models

    if len(args.names) > 1:
        names = " ".join(args.names)
        hint = f"wallaby models compare {names}"
        raise UsageError("one network is shown in detail", where=f"wallaby models {names}", mend=hint)
    [name] = args.names
    answer = models.shown(workspace, name)
    return answer.as_table(tables.model, answer.data.to_dict("records")[0], workspace.preset(name).options)


def models_compare(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import training as tables
    from pipeline.commands import models

    answer = models.compare(workspace, args.contenders, seconds=args.minutes * 60, seed=args.seed)
    return answer.as_table(tables.comparison, confidence=workspace.confidence)


def doctor(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.cli.tables import training as tables
    from pipeline.commands import doctor

    answer = doctor.examine(workspace, quick=args.quick)
    return answer.as_table(tables.findings, answer.data["findings"])


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


def upgrade(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import upgrade

    return upgrade.upgrade(workspace, dry_run=args.dry_run)
