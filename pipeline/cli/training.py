"""Commands about networks and their training."""

import argparse
from pathlib import Path

from pipeline import paths
from pipeline.cli.common import Verb, answer
from pipeline.errors import Exit

IMAGENET_CLASSES = 1000  # of the papers; the networks are listed with so many before there are classes of one's own


def add(verb: Verb) -> None:
    command = verb("init-base", init_base, "write round 0: a network that has seen nothing")
    command.add_argument(
        "--model", required=True, metavar="PRESET", help="a file of configs/models, without its ending"
    )
    command.add_argument(
        "--weights",
        default="random",
        metavar="random|imagenet|FILE.safetensors",
        help="what it begins with: nothing, what Keras has learnt from ImageNet, or timm's inception_v4 in a file",
    )
    command.add_argument("--seed", type=int, default=0, help="of the random weights")
    command.add_argument("--out", type=Path, default=paths.BASE)
    command.add_argument("--replace", action="store_true", help="replace a base; what it has learnt is forgotten")

    command = verb("models", models, "list the networks: parameters, arithmetic, size")
    command.add_argument("preset", nargs="?", metavar="PRESET", help="show this one in detail")

    command = verb("augment-sheet", augment_sheet, "show what training will see, the most endangered pictures first")
    command.add_argument("--out", type=Path, help="the page (default: .wallaby/augment-sheet.html)")


def init_base(args: argparse.Namespace) -> int:
    from pipeline import rounds

    card = rounds.init_base(args.model, args.out, seed=args.seed, replace=args.replace, weights=args.weights)
    if args.out == paths.BASE:
        rounds.track_with_dvc(paths.BASE)
        if rounds.open_released(paths.RELEASED):
            rounds.track_with_dvc(paths.RELEASED)
    return answer(args, vars(card), f"{args.out}: {card.preset}, {card.image_size} pixels, {args.weights} weights")


def models(args: argparse.Namespace) -> int:
    from pipeline import bundle, config, terminal
    from pipeline.models import catalogue

    names = [args.preset] if args.preset else config.presets()
    curated = paths.CURATED / bundle.CLASSES
    classes = len(bundle.read_classes(paths.CURATED)) if curated.exists() else IMAGENET_CLASSES
    table = catalogue.listing(names, num_classes=classes, cache=config.cache("models.json"))
    rows = table.astype("object").where(table.notna(), None).to_dict("records")
    if args.json:
        return answer(args, rows, "")
    if args.preset:
        terminal.model(rows[0], config.load_preset(args.preset).options)
    else:
        terminal.models(table, classes)
    return Exit.DONE


def augment_sheet(args: argparse.Namespace) -> int:
    from pipeline import config
    from pipeline.training import sheet

    out = args.out or config.cache("augment-sheet.html")
    flagged = sheet.write(out)
    page = out.resolve().as_uri()
    return answer(args, {"page": page, "flagged": flagged}, f"{flagged} training pictures are flagged; look at {page}")
