"""What a round's figures say in sentences: how far the goal is, where accuracy is lost, and the next step."""

from pipeline.evaluation import diagnosis, goal
from pipeline.evaluation.diagnosis import Diagnosis, Gap
from pipeline.evaluation.goal import Lever, Progress
from pipeline.library.benchmarks import PREFIX

NEXT = {
    diagnosis.UNDERFITS: "train longer, or with a larger network",
    diagnosis.OVERFITS: "label more images of the weakest classes, or start from pretrained weights",
    diagnosis.SHIFT: "label images like the benchmark's: the queue's recipes look-alike and unknown find them",
}


def sentences(progress: Progress | None, found: Diagnosis) -> list[str]:
    """Everything in sentences: the goal first, if there is one, then what the figures allow to conclude."""
    return [*(goal_sentences(progress) if progress else []), *diagnosis_sentences(found)]


def goal_sentences(progress: Progress) -> list[str]:
    """How far the goal is, and what moves it most."""
    wanted, name = progress.goal, progress.goal.set.removeprefix(PREFIX)
    text = f"goal: {wanted.right:.0%} right of at least {wanted.shown:.0%} shown on benchmark {name}"
    now = f"of the surest {wanted.shown:.0%}, {progress.right_now:.1%} are right"
    if progress.state == goal.REACHED:
        verdict = f"{text}: reached ({now}, at least {progress.right_low:.1%})"
    elif progress.state == goal.LIKELY:
        verdict = (
            f"{text}: reached by the figures, but chance may explain it ({now}, at least {progress.right_low:.1%})"
        )
    else:
        answers = "wrong answer" if progress.too_many == 1 else "wrong answers"
        verdict = (
            f"{text}: not reached; {now}, {progress.too_many} {answers} too many; "
            f"{wanted.right:.0%} are right of {progress.shown_now:.0%} at most"
        )
    return [verdict, *(f"goal, lever: {_lever(lever)}" for lever in progress.levers[:3])]


def _lever(lever: Lever) -> str:
    if lever.kind == goal.THRESHOLD:
        return "the threshold: a lower evaluate.precision shows more, and enough of it is right"
    count = f"{lever.wrong} of the wrong answers"
    without = "; without them, the goal is reached" if lever.enough else ""
    if lever.kind == goal.LABEL:
        return f"labels: {count} are on images whose label is doubted (queue suspect-label){without}"
    if lever.kind == goal.UNKNOWN:
        return f"images of {lever.label or 'none of the classes'}, which the model does not know: {count}{without}"
    return f"class {lever.label}: {count} are on its images{without}"


def diagnosis_sentences(found: Diagnosis) -> list[str]:
    """Each conclusion with its figures and the next step, or one sentence that the figures allow none."""
    lines = [f"{_gap(gap)}. Next: {NEXT[gap.kind]}" for gap in found.conclusions]
    lines += [
        f"too few images of {row.label}: {row.right:.0%} right (at most {row.high:.0%}) after {row.trained} "
        f"independent training images; all others {row.others:.0%}. Next: label more of {row.label}"
        for row in found.few
    ]
    if lines or not found.gaps:
        return lines
    return [
        "where accuracy is lost cannot be told: no gap between training, unseen images and benchmark is larger than "
        f"chance makes it (up to {100 * found.margin:.1f} points)"
    ]


def _gap(gap: Gap) -> str:
    points = f"{100 * gap.gap:.1f} points ({100 * gap.low:.1f} to {100 * gap.high:.1f})"
    if gap.kind == diagnosis.UNDERFITS:
        return f"the model underfits: its error on its own training images is {points} above {gap.beside}"
    if gap.kind == diagnosis.OVERFITS:
        return f"the model overfits: its error on {gap.of} is {points} above that on its training images"
    name = gap.of.removeprefix(PREFIX)
    differs = f"benchmark {name} differs from the library: its error is {points} above that on {gap.beside}"
    return f"{differs}, with the same mix of classes"
