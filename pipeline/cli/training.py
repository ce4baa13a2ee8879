"""Commands about networks and their training."""

import argparse
from pathlib import Path

from pipeline import paths
from pipeline.cli.common import Verb, answer, warn
from pipeline.errors import Exit, UsageError

IMAGENET_CLASSES = 1000  # of the papers; the networks are listed with so many before there are classes of one's own


def add(verb: Verb) -> None:
    command = verb("init-base", init_base, "write round 0: a network that has seen none of your pictures")
    command.add_argument(
        "--model", required=True, metavar="PRESET", help="a file of configs/models, without its ending"
    )
    command.add_argument(
        "--weights",
        default="random",
        metavar="random|imagenet|FILE.safetensors|hub:HANDLE",
        help="what it begins with: nothing, what Keras has learnt from ImageNet, timm's inception_v4 in a file, or a"
        " TensorFlow Hub module (address, folder or .tar.gz)",
    )
    command.add_argument("--seed", type=int, default=0, help="of the random weights")
    command.add_argument("--out", type=Path, default=paths.BASE)
    command.add_argument("--replace", action="store_true", help="replace a base; what it has learnt is forgotten")
    command.add_argument("--dry-run", action="store_true", help="say what would be written")

    command = verb("models", models, "list the networks: parameters, arithmetic, size; or compare some on your data")
    command.add_argument(
        "names",
        nargs="*",
        metavar="PRESET",
        help="show this one in detail; `compare A B C`: train each for the same time and measure it. A contender is"
        " PRESET, PRESET=WEIGHTS as of init-base, either with +frozen behind it, or base",
    )
    command.add_argument("--minutes", type=float, default=5.0, help="with compare: of training, each (default: 5)")
    command.add_argument("--seed", type=int, default=0, help="with compare: of random weights and order")

    command = verb("augment-sheet", augment_sheet, "show what training will see, the most endangered pictures first")
    command.add_argument("--out", type=Path, help="the page (default: .wallaby/augment-sheet.html)")

    command = verb("ablate", ablate, "train with one setting changed at a time, and tabulate what each is worth")
    command.add_argument(
        "settings", nargs="*", metavar="SETTING=VALUE", help="of section train (default: each part of the recipe)"
    )
    command.add_argument("--epochs", type=int, metavar="N", help="of each training, at most (default: of the params)")
    command.add_argument("--seeds", type=seeds, default=[], metavar="0,1", help="train each setting with each of them")
    command.add_argument("--dry-run", action="store_true", help="say what would be trained")

    command = verb("doctor", doctor, "look at data, base and params before a long training")
    command.add_argument("--quick", action="store_true", help="leave out the two checks that train for a while")


def seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


def init_base(args: argparse.Namespace) -> int:
    from pipeline import champion, config, rounds

    rounds.refuse_replacing(args.out, replace=args.replace)
    if args.out == paths.BASE:
        warn(rounds.warnings_of_replacing(args.out))
    if args.dry_run:
        size = config.load_preset(args.model).image_size
        text = f"would write {args.out}: {args.model}, {size} pixels, {args.weights} weights"
        return answer(args, {"preset": args.model, "image_size": size, "replaces": args.out.exists()}, text)
    card = rounds.init_base(args.model, args.out, seed=args.seed, replace=args.replace, weights=args.weights)
    if args.out == paths.BASE:
        rounds.track_with_dvc(paths.BASE)
        if champion.open_released(paths.RELEASED):
            rounds.track_with_dvc(paths.RELEASED)
    return answer(args, vars(card), f"{args.out}: {card.preset}, {card.image_size} pixels, {args.weights} weights")


def models(args: argparse.Namespace) -> int:
    from pipeline import bundle, config
    from pipeline.models import catalogue
    from pipeline.terminal import training as terminal

    if args.names[:1] == ["compare"]:
        return _compare(args)
    if len(args.names) > 1:
        mend = f"wallaby models compare {' '.join(args.names)}"
        raise UsageError("one network is shown in detail", where=f"wallaby models {' '.join(args.names)}", mend=mend)
    curated = paths.CURATED / bundle.CLASSES
    classes = len(bundle.read_classes(paths.CURATED)) if curated.exists() else IMAGENET_CLASSES
    table = catalogue.listing(args.names or config.presets(), num_classes=classes, cache=config.cache("models.json"))
    rows = table.astype("object").where(table.notna(), None).to_dict("records")
    if args.json:
        return answer(args, rows, "")
    if args.names:
        terminal.model(rows[0], config.load_preset(args.names[0]).options)
    else:
        terminal.models(table, classes)
    return Exit.DONE


def _compare(args: argparse.Namespace) -> int:
    from pipeline import comparing
    from pipeline.terminal import training as terminal

    found = comparing.compare(args.names[1:], seconds=args.minutes * 60, seed=args.seed)
    if args.json:
        answer(args, found, "")
    else:
        terminal.comparison(found["rows"], found["failed"])
        print(f"{found['advice']}\nlook at {found['page']}")
    return Exit.SOME_FAILED if found["failed"] else Exit.DONE


def augment_sheet(args: argparse.Namespace) -> int:
    from pipeline import config
    from pipeline.training import sheet

    out = args.out or config.cache("augment-sheet.html")
    flagged = sheet.write(out)
    page = out.resolve().as_uri()
    return answer(args, {"page": page, "flagged": flagged}, f"{flagged} training pictures are flagged; look at {page}")


def ablate(args: argparse.Namespace) -> int:
    import sys

    from pipeline import ablation, config, sections
    from pipeline.terminal import training as terminal

    trials = ablation.plan(args.settings, epochs=args.epochs, seeds=args.seeds)
    if args.dry_run:
        todo = [f"{trial.setting}, seed {trial.seed}" for trial in trials if not trial.result.exists()]
        text = "\n".join([f"would train {len(todo)} of {len(trials)}", *todo])
        return answer(args, {"trials": len(trials), "to_train": todo}, text)
    failed = ablation.run(trials, told=lambda line: print(line, file=sys.stderr, flush=True))
    confidence = config.load(sections.Evaluate).confidence
    found = ablation.table(trials, confidence=confidence)
    page = ablation.write(found)
    reasons = [f"{trial.setting}, seed {trial.seed}: {reason}" for trial, reason in failed.items()]
    if args.json:
        answer(args, {"rows": ablation.records(found), "failed": reasons, "page": str(page)}, "")
    else:
        terminal.ablation(found, reasons, confidence=confidence)
        print(f"the same with all columns: {page}, {page.with_suffix('.csv')}")
    return Exit.SOME_FAILED if failed else Exit.DONE


def doctor(args: argparse.Namespace) -> int:
    from pipeline.cli import answers
    from pipeline.commands import doctor
    from pipeline.terminal import training as terminal
    from pipeline.workspace import Workspace

    answer = doctor.examine(Workspace.find(), quick=args.quick)
    shown = answer.as_table(terminal.findings, answer.data["findings"])
    return answers.print_answer(shown, as_json=args.json)
