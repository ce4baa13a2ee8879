"""A run in a copy of the workspace, on stages that only write a line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest
import yaml

from pipeline.commands import experiments
from pipeline.errors import DataError, Exit, LeakageError, ResumableError, WallabyError
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]
STAGE = """
import os, sys
from pathlib import Path
name = sys.argv[1]
with (Path(os.environ["DVC_ROOT"]) / "ran.log").open("a") as file:
    file.write(f"{name} {os.environ['DVC_EXP_NAME']}\\n")
print("here is", name, flush=True)
Path("data/product").mkdir(exist_ok=True)
said = Path("configs/params.yaml").read_text() + Path("data/source.txt").read_text()
Path(f"data/product/{name}.txt").write_text(said)
"""
STAGES = {
    "stages": {
        name: {
            "cmd": f"python pipeline/stage.py {name}",
            "deps": ["pipeline/stage.py", "data/source.txt"],
            "params": [{"configs/params.yaml": ["train"]}],
            "outs": [f"data/product/{name}.txt"],
        }
        for name in ("first", "second")
    }
}
SOURCE = Path("data/source.txt")


@pytest.fixture
def workspace(tmp_path) -> Path:
    files = {
        "pipeline/stage.py": STAGE,
        "configs/params.yaml": "train:\n  rate: 1  # of something\n  flip: true\n",
        "dvc.yaml": yaml.safe_dump(STAGES),
        "data/source.txt": "what a person wrote\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(workspace: Path, name: str = "trial", *, stages=("first", "second"), changes=None, **options) -> Path:
    changes = {"train": {"rate": 2}} if changes is None else changes
    return experiments.run(Workspace(workspace), name, list(stages), changes=changes, **options).root


def folder(workspace: Path) -> Path:
    return experiments.copy(Workspace(workspace), "trial").root


def stage_is(workspace: Path, code: str) -> None:
    (workspace / "pipeline/stage.py").write_text(code)


def test_the_stages_see_the_change_and_the_workspace_sees_nothing(workspace):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in workspace.rglob("*") if path.is_file()}
    lines: list[str] = []
    copy = run(workspace, log=lines.append)
    said = (copy / "data/product/second.txt").read_text()
    assert "rate: 2  # of something" in said
    assert "what a person wrote" in said
    assert lines == ["here is first", "here is second"]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert {path.name for path in workspace.iterdir()} == {"pipeline", "configs", "dvc.yaml", "data", ".wallaby"} | {
        "ran.log"
    }


def test_the_stages_know_the_workspace_and_that_they_are_an_experiment(workspace):
    run(workspace, "ablate-rate")
    assert (workspace / "ran.log").read_text() == "first ablate-rate\nsecond ablate-rate\n"


def test_only_the_stages_named_run(workspace):
    copy = run(workspace, stages=["second"])
    assert not (copy / "data/product/first.txt").exists()


def test_called_again_it_continues_with_what_it_was_started_on(workspace):
    stage_is(workspace, STAGE + "if name == 'second' and not os.environ.get('FREE'): sys.exit(75)\n")
    with pytest.raises(WallabyError):
        run(workspace)
    (workspace / SOURCE).write_text("changed meanwhile\n")
    os.environ["FREE"] = "1"
    try:
        copy = run(workspace)
    finally:
        del os.environ["FREE"]
    assert (workspace / "ran.log").read_text().count("first") == 1
    assert "what a person wrote" in (copy / "data/product/second.txt").read_text()


def test_a_copy_that_is_removed_is_gone(workspace):
    experiments.remove(Workspace(workspace), "trial")
    assert run(workspace).exists()
    experiments.remove(Workspace(workspace), "trial")
    assert not folder(workspace).exists()


@pytest.mark.parametrize("kind", [DataError, ResumableError, LeakageError])
def test_a_stages_own_error_comes_out_with_its_code(workspace, kind):
    stage_is(
        workspace,
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pipeline import errors\n"
        "def fail():\n"
        "    print('epoch 1')\n"
        f"    raise errors.{kind.__name__}('the loss has exploded', where='a.yaml', mend='lower the rate')\n"
        "errors.run(fail)",
    )
    with pytest.raises(WallabyError) as failed:
        run(workspace)
    error = kind("the loss has exploded", where="a.yaml", mend="lower the rate")
    assert (str(failed.value), failed.value.code) == (str(error), error.code)


@pytest.mark.parametrize(("code", "expected"), [(Exit.RESUMABLE, Exit.RESUMABLE), (99, Exit.UNEXPECTED)])
def test_what_a_stage_prints_is_no_error_that_it_has_left(workspace, code, expected):
    stage_is(workspace, f"import sys; print('error: all is lost'); sys.exit({int(code)})")
    with pytest.raises(WallabyError, match=f"stage first ended with {int(code)}: error: all is lost") as failed:
        run(workspace)
    assert failed.value.code == expected


def test_a_stage_that_dies_without_a_word_of_ours_is_named_with_its_last_line(workspace):
    stage_is(workspace, "raise ZeroDivisionError('seven by nothing')")
    with pytest.raises(WallabyError, match="stage first ended with 1: ZeroDivisionError: seven by nothing"):
        run(workspace)


def test_what_dvc_itself_refuses_is_told(workspace):
    pipeline = (workspace / "dvc.yaml").read_text()
    (workspace / "dvc.yaml").write_text(pipeline.replace("pipeline/stage.py\n", "pipeline/third.py\n", 1))
    with pytest.raises(WallabyError, match=r"third\.py"):
        run(workspace)


def test_a_missing_input_is_named_and_nothing_begun(workspace):
    (workspace / SOURCE).unlink()
    with pytest.raises(DataError, match="not come this far") as refused:
        run(workspace)
    assert "data/source.txt" in str(refused.value)
    assert not folder(workspace).exists()


def test_a_second_experiment_at_the_same_time_is_refused(workspace):
    (workspace / ".wallaby").mkdir()
    with (
        filelock.FileLock(workspace / ".wallaby" / "experiments.lock"),
        pytest.raises(ResumableError, match="another experiment runs"),
    ):
        run(workspace)


def started(workspace: Path, code: str) -> subprocess.Popen:
    """A process that runs an experiment whose stage is `code`, begun as far as the stage."""
    stage_is(workspace, f"import time\nfrom pathlib import Path\nPath('started').touch()\n{code}")
    program = (
        "from pipeline import errors\n"
        "from pipeline.commands import experiments\n"
        "from pipeline.workspace import Workspace\n"
        "errors.run(lambda: experiments.run(Workspace.find(), 'trial', ['first'], changes={}) and None)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=workspace / "data", env=environment, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (folder(workspace) / "started").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    return process


def test_ctrl_c_reaches_the_stage_and_is_waited_for(workspace):
    """Sent to this process alone, as a service manager would."""
    process = started(
        workspace,
        "try:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.5)\n    Path('saved').touch()\n    raise SystemExit(130)\n",
    )
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == Exit.STOPPED
    assert (folder(workspace) / "saved").exists()
    assert "Traceback" not in error


def test_killed_it_is_refused_while_its_stage_outlives_it_and_then_continues(workspace):
    """The stage finds nobody to tell its next line to, and ends."""
    process = started(
        workspace,
        "import os\nif os.path.exists('again'):\n    Path('data/product').mkdir(exist_ok=True)\n"
        "    Path('data/product/first.txt').touch()\n    raise SystemExit\n"
        "Path('again').touch()\nwhile not Path('next line').exists():\n    time.sleep(0.05)\n"
        "while True:\n    print('.', flush=True)\n",
    )
    process.kill()
    process.communicate()
    with pytest.raises(ResumableError, match="still runs"):
        run(workspace, stages=["first"], changes={})
    (folder(workspace) / "next line").touch()
    end = time.monotonic() + 120
    while True:
        try:
            copy = run(workspace, stages=["first"], changes={})
            break
        except ResumableError:
            assert time.monotonic() < end
            time.sleep(0.5)
    assert (copy / "data/product/first.txt").exists()
