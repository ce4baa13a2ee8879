#!/usr/bin/env python
"""Whether what the product promises is true, on planted truth: one world per promise, drawn many times.

    scripts/bench_promises.py [--quick] [--only WORLD,WORLD] [--runs 400] [--seed 0]

Each world calls the functions that the product calls, on tables as the product has them. A line says what is promised,
what was measured, the Monte-Carlo error (two standard errors), and whether the promise holds within it.
docs/promises.md has the figures, and what is not promised. A new world is a generator of lines in `scripts/promises/`,
marked `@promise`. Worlds:
"""

import harness
from promises import (  # noqa: F401  each adds its worlds to `lines.promise`
    ablation,
    calibration,
    conclusions,
    figures,
    forecasting,
    gate,
    gate_metric,
    gate_years,
    label_audit,
    lines,
    purging,
    serving,
    thresholds,
)

QUICK = 40


def main() -> None:
    parser = lines.options(
        harness.parser(f"{__doc__}{lines.promise.described()}"), runs=400, what="draws of each world"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} draws of each world, in five minutes")
    arguments = parser.parse_args()
    runs = min(arguments.runs, QUICK) if arguments.quick else arguments.runs
    broken = lines.promise.run(arguments.only, runs, arguments.seed)
    raise SystemExit(f"{broken} promises are broken" if broken else 0)


if __name__ == "__main__":
    main()
