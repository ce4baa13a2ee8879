"""The last round in figures."""

import pytest

from pipeline.commands import summary
from pipeline.errors import DataError
from pipeline.workspace import Workspace

LOCK = "schema: '2.0'\nstages:\n  train:\n    outs:\n    - path: data/model\n      md5: abc.dir\n"


@pytest.mark.parametrize(
    ("lock", "hint"), [("", "`scripts/round`"), ("schema: '2.0'\n", "`scripts/round`"), (LOCK, "`dvc checkout`")]
)
def test_without_a_model_the_hint_is_a_round_or_the_checkout_of_one_that_there_was(tmp_path, lock, hint):
    if lock:
        (tmp_path / "dvc.lock").write_text(lock)
    with pytest.raises(DataError) as refused:
        summary.summary(Workspace(tmp_path))
    assert refused.value.mend.startswith(hint)
