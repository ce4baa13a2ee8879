"""Commands about networks and their training, and those that look ahead: throw-away runs and the preview."""

import argparse
from pathlib import Path

from pipeline.cli.parser import Program, Verb
from pipeline.commands import Answer
from pipeline.errors import UsageError
from pipeline.workspace import Workspace


def add(program: Program) -> None:
    """Declares the commands."""
    verb = program.verb("init-base", init_base, "write round 0: a network that has seen none of your pictures")
    verb.add("--model", required=True, metavar="PRESET", help="a file of configs/models, without its ending")
    verb.add(
        "--weights",
        default="random",
        metavar="random|imagenet|FILE.safetensors|hub:HANDLE",
        help="what it begins with: nothing, what Keras has learnt from ImageNet, timm's inception_v4 in a file, or a"
        " TensorFlow Hub module (address, folder or .tar.gz)",
    )
    verb.add("--seed", type=int, default=0, help="of the random weights")
    verb.add("--out", type=Path, help="the folder of the base (default: data/base)")
    verb.add("--replace", action="store_true", help="replace a base; what it has learnt is forgotten")
    verb.add("--dry-run", action="store_true", help="say what would be written")

    verb = program.verb(
        "models", models, "list the networks: parameters, arithmetic, size; or compare some on your data"
    )
    _of_comparison(verb, minutes=5.0, seed=0)
    show = verb.action("show", models_show, "show one network in detail (`show` may be left out)", default=True)
    show.add("names", nargs="+", metavar="PRESET", help="a file of configs/models, without its ending")
    compare = verb.action("compare", models_compare, "train each network for the same time and measure it")
    compare.add(
        "contenders",
        nargs="*",
        metavar="CONTENDER",
        help="PRESET, PRESET=WEIGHTS as of init-base, either with +frozen behind it, or base",
    )
    _of_comparison(compare, minutes=argparse.SUPPRESS, seed=argparse.SUPPRESS)

    verb = program.verb(
        "augment-sheet", augment_sheet, "show what training will see, the most endangered pictures first"
    )
    verb.add("--out", type=Path, help="the page (default: .wallaby/augment-sheet.html)")

    verb = program.verb("ablate", ablate, "train with one setting changed at a time, and tabulate what each is worth")
    verb.add("settings", nargs="*", metavar="SETTING=VALUE", help="of section train (default: each part of the recipe)")
    verb.add("--epochs", type=int, metavar="N", help="of each training, at most (default: of the params)")
    verb.add("--seeds", type=seeds, default=[], metavar="0,1", help="train each setting with each of them")
    verb.add("--dry-run", action="store_true", help="say what would be trained")

    verb = program.verb("doctor", doctor, "look at data, base and params before a long training")
    verb.add("--quick", action="store_true", help="leave out the two checks that train for a while")

    verb = program.verb("throwaway", throwaway_run, "run a round at a lowered cutoff, in a copy, for its queue alone")
    _of_run(verb, default=None)
    run = verb.action("run", throwaway_run, "run one, or continue it (`run` may be left out)")
    _of_run(run, default=argparse.SUPPRESS)
    verb.action("list", throwaway_list, "list all throw-away runs")
    report = verb.action("report", throwaway_report, "compare the expected yield of one with that of its review")
    remove = verb.action("remove", throwaway_remove, "remove one; decisions on its candidates stay")
    for action in (report, remove):
        action.add("which", nargs="?", metavar="NAME", help="(default: the only one)")
        action.add("--name", default=argparse.SUPPRESS, help=argparse.SUPPRESS)

    verb = program.verb(
        "preview", preview, "forecast the next round after a review: refit only the head, on stored features"
    )
    verb.add("--held", action="store_true", help="compare the forecast of the present round with the round")


def _of_comparison(verb: Verb, *, minutes: object, seed: object) -> None:
    verb.add("--minutes", type=float, default=minutes, help="with compare: of training, each (default: 5)")
    verb.add("--seed", type=int, default=seed, help="with compare: of random weights and order")


def _of_run(verb: Verb, *, default: object) -> None:
    help = "the lowered cutoff, in groups of near-duplicates"
    verb.add("--min-images", type=int, default=default, metavar="N", help=help)
    verb.add("--name", default=default, help="(default: min-N)")


def seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


def init_base(workspace: Workspace, args: argparse.Namespace) -> Answer:
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


def models(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import training as tables
    from pipeline.commands import models

    answer = models.listed(workspace)
    return answer.as_table(tables.models, answer.data, models.classes(workspace))


def models_show(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import training as tables
    from pipeline.commands import models

    if len(args.names) > 1:
        names = " ".join(args.names)
        hint = f"wallaby models compare {names}"
        raise UsageError("one network is shown in detail", where=f"wallaby models {names}", mend=hint)
    [name] = args.names
    answer = models.shown(workspace, name)
    return answer.as_table(tables.model, answer.data.to_dict("records")[0], workspace.preset(name).options)


def models_compare(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import training as tables
    from pipeline.commands import models

    answer = models.compare(workspace, args.contenders, seconds=args.minutes * 60, seed=args.seed)
    return answer.as_table(tables.comparison, confidence=models.confidence(workspace))


def augment_sheet(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.commands import augment_sheet

    return augment_sheet.write(workspace, out=args.out)


def ablate(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import training as tables
    from pipeline.commands import ablate

    if args.dry_run:
        return ablate.planned(workspace, args.settings, epochs=args.epochs, seeds=args.seeds)
    answer = ablate.ablate(workspace, args.settings, epochs=args.epochs, seeds=args.seeds)
    return answer.as_table(tables.ablation, confidence=ablate.confidence(workspace))


def doctor(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import training as tables
    from pipeline.commands import doctor

    answer = doctor.examine(workspace, quick=args.quick)
    return answer.as_table(tables.findings, answer.data["findings"])


def throwaway_run(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import throwaway

    return throwaway.run(workspace, min_images=args.min_images, name=args.name or "").as_table(tables.outlook)


def throwaway_list(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import throwaway

    return throwaway.listed(workspace).as_table(tables.throwaways)


def throwaway_report(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import throwaway

    return throwaway.report(workspace, args.which or args.name or "").as_table(tables.yields)


def throwaway_remove(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.commands import throwaway

    return throwaway.remove(workspace, args.which or args.name or "")


def preview(workspace: Workspace, args: argparse.Namespace) -> Answer:
    from pipeline.cli.tables import forecasts as tables
    from pipeline.commands import preview

    if args.held:
        return preview.compared(workspace).as_table(tables.compared)
    return preview.forecast_round(workspace).as_table(tables.preview)
