"""Commands about networks and their training."""

import argparse
from pathlib import Path

from pipeline import paths
from pipeline.cli.common import Verb, answer


def add(verb: Verb) -> None:
    command = verb("init-base", init_base, "write round 0: a network that has seen nothing")
    command.add_argument(
        "--model", required=True, metavar="PRESET", help="a file of configs/models, without its ending"
    )
    command.add_argument("--weights", default="random", choices=["random"], help="where its weights come from")
    command.add_argument("--seed", type=int, default=0, help="of the random weights")
    command.add_argument("--out", type=Path, default=paths.BASE)
    command.add_argument("--replace", action="store_true", help="replace a base; what it has learnt is forgotten")

    command = verb("augment-sheet", augment_sheet, "show what training will see, the most endangered pictures first")
    command.add_argument("--out", type=Path, help="the page (default: .wallaby/augment-sheet.html)")


def init_base(args: argparse.Namespace) -> int:
    from pipeline import champion, rounds

    card = rounds.init_base(args.model, args.out, seed=args.seed, replace=args.replace)
    if args.out == paths.BASE:
        rounds.track_with_dvc(paths.BASE)
        if champion.open_released(paths.RELEASED):
            rounds.track_with_dvc(paths.RELEASED)
    return answer(args, vars(card), f"{args.out}: {card.preset}, {card.image_size} pixels, {args.weights} weights")


def augment_sheet(args: argparse.Namespace) -> int:
    from pipeline import config
    from pipeline.training import sheet

    out = args.out or config.cache("augment-sheet.html")
    flagged = sheet.write(out)
    page = out.resolve().as_uri()
    return answer(args, {"page": page, "flagged": flagged}, f"{flagged} training pictures are flagged; look at {page}")
