"""Commands that take a model to other programs."""

import argparse
from pathlib import Path

from pipeline import errors, paths
from pipeline.cli.common import Verb, answer


def add(verb: Verb) -> None:
    command = verb("export", export, "write the model for other programs, checked against Keras on real pictures")
    command.add_argument("format", metavar="FORMAT", help="savedmodel, onnx or litert")
    command.add_argument("--model", type=Path, default=paths.MODEL, help="a bundle (default: data/model)")
    command.add_argument("--out", type=Path, help="the folder (default: data/export/FORMAT)")
    command.add_argument("--check", type=int, default=32, metavar="N", help="pictures to compare (default 32)")
    command.add_argument("--dry-run", action="store_true", help="say what would be written")


def export(args: argparse.Namespace) -> int:
    from pipeline import bundle
    from pipeline.inference import export, formats

    format_ = formats.find(args.format)
    if args.check < 1:
        raise errors.UsageError(f"--check {args.check}: at least one picture", where="wallaby export")
    out = args.out or paths.EXPORT / args.format
    export.refuse_another_s_folder(out)
    card = bundle.check(args.model)
    if args.dry_run:
        planned = export.describe(args.format, card, len(bundle.read_classes(args.model))) | {"out": str(out)}
        return answer(args, planned, f"would write {format_.title} of model {card.model_digest[:12]} into {out}")
    told = export.export(args.format, args.model, out, pictures=export.some_pictures(args.check))
    check = told["check"]
    text = (
        f"{out / format_.file}: {format_.title} of model {card.model_digest[:12]}, {told['bytes'] / 1e6:.1f} MB\n"
        f"{check['pictures']} pictures: scores differ from Keras by at most {check['max_difference']:.1e}"
        f" (limit {check['limit']:g}), the same class for {check['agreement']:.0%}\n"
        f"{told['input']}\n{told['output']}\n"
        f"load it: {format_.usage.format(path=out / format_.file)}"
    )
    return answer(args, told | {"out": str(out)}, text)
