"""Round 0: what it has seen, and what it may replace."""

import subprocess
import sys

import pytest

from pipeline import bundle
from pipeline.commands import init_base
from pipeline.errors import UsageError
from pipeline.files import write_text
from pipeline.workspace import Workspace
from tests.networks import save_bundle

TINY = "architecture: inception_v4\nimage_size: 75\noptions: {width: 0.05, blocks: [1, 1, 1]}\n"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    write_text(TINY, tmp_path / "configs/models/tiny.yaml")
    return Workspace(tmp_path)


def test_round_0_has_seen_nothing(workspace, tmp_path):
    card = init_base.write(workspace, "tiny", out=tmp_path / "elsewhere", seed=1).data
    assert (card.round, card.image_size, card.parent_digest) == (0, 75, "")
    base = bundle.load(tmp_path / "elsewhere")
    assert (base.classes, len(base.lineage), base.model.output_shape) == ([], 0, (None, 1))


def test_a_base_is_replaced_only_when_asked(workspace, tmp_path):
    out = tmp_path / "elsewhere"
    before = save_bundle(out, round=7)
    with pytest.raises(UsageError, match="there is a base already"):
        init_base.write(workspace, "tiny", out=out)
    assert bundle.check(out) == before
    would = init_base.write(workspace, "tiny", out=out, replace=True, dry_run=True)
    assert would.data == {"preset": "tiny", "image_size": 75, "replaces": True}
    assert bundle.check(out) == before
    init_base.write(workspace, "tiny", out=out, replace=True)
    assert bundle.check(out).round == 0


def test_an_unknown_preset_offers_the_nearest_and_writes_nothing(workspace):
    with pytest.raises(UsageError, match="did you mean 'tiny'"):
        init_base.write(workspace, "tinny")
    assert not workspace.base.exists()


def test_the_workspaces_own_base_is_put_under_dvc_and_its_loss_is_announced(workspace, capsys):
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=workspace.root, check=True)
    init_base.write(workspace, "tiny")
    assert (workspace.base.parent / "base.dvc").exists()
    assert (workspace.base.parent / "released.dvc").exists()
    assert capsys.readouterr().err == ""
    init_base.write(workspace, "tiny", replace=True, dry_run=True)
    assert "the base of round 0" in capsys.readouterr().err
