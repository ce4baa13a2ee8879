"""What the commits of a repository say of rounds that no record tells of: the gate's verdict, and DVC's lock."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.repository import dvc

VERDICT, LOCK = "data/gate/gate.json", "dvc.lock"
SCORES = re.compile(r"- path: data/evaluation/scores\.parquet\n(?:\s+\w+: .*\n)*?\s+md5: (?P<md5>[0-9a-f]{32})\n")


@dataclass(frozen=True)
class Judged:
    """The verdict on a model, and the MD5 of its scores as DVC's lock has it; "" for what git does not know."""

    verdict: str = ""
    reason: str = ""
    champion: str = ""
    scores_md5: str = ""


def judged(root: Path) -> dict[str, Judged]:
    """What the commits of `root` say of each model that the gate has judged, by digest.

    The last commit counts that is not about a champion compared with itself.
    """
    by_model: dict[str, Judged] = {}
    for commit in dvc.git(root, "log", "--all", "--reverse", "--format=%H", "--", VERDICT).split():
        judgement = _parsed(dvc.git(root, "show", f"{commit}:./{VERDICT}"))
        model = str(judgement.get("model", ""))
        if not model or (model in by_model and judgement.get("champion") == model):
            continue
        scores = SCORES.search(dvc.git(root, "show", f"{commit}:./{LOCK}"))
        fields = {name: str(judgement.get(name) or "") for name in ("verdict", "reason", "champion")}
        by_model[model] = Judged(**fields, scores_md5=scores["md5"] if scores else "")
    return by_model


def _parsed(text: str) -> dict:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
