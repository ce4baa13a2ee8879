"""A run in a copy of the workspace: another setting is tried, and the workspace itself is only read.

Not DVC's own `dvc exp run --temp`: it puts what is not committed into a git stash and resets the workspace for a second
at the start of each run, and killed then, it leaves it so. The stages run here as they do there, by DVC, with DVC_ROOT
(where images, caches and MLflow's store lie) and DVC_EXP_NAME (which marks the model as throw-away) set.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pipeline import config, errors, files
from pipeline.commands import log
from pipeline.errors import DataError, Exit, ResumableError, WallabyError
from pipeline.files import atomic_folder, write_text
from pipeline.workspace import Workspace

SOURCES = (Path("pipeline"), Path("configs"), config.PIPELINE, Path(".dvcignore"))
# The cache is the copy's own: from the workspace's, DVC would one day take a throw-away model for the round's.
DVC_CONFIG = "[core]\n    analytics = false\n    no_scm = true\n"
LAST_LINES = 200
ENDED = re.compile(r"^ERROR: failed to reproduce '([^']*)'.*exited with (\d+)", re.MULTILINE)
BUSY = re.compile(r"^ERROR: .*(is busy|Unable to acquire lock|blocked by)", re.MULTILINE)
DVCS_OWN = re.compile(r"$|ERROR: |> |(Running stage|Stage|Generating lock file|Updating lock file) '|Use `dvc push`")


def run(
    workspace: Workspace,
    name: str,
    stages: list[str],
    *,
    changes: dict[str, dict[str, Any]],
    log: Callable[[str], None] = log,
) -> Workspace:
    """Runs stages on a copy of the workspace as it is now, committed or not; returns the copy.

    Interrupted and called again, it continues in the copy that was made then. `remove` takes the copy away.

    Args:
      name: of the experiment; another input needs another name.
      stages: of dvc.yaml, in their order; those before them do not run.
      changes: what the experiment has instead in the params, by section and key.
      log: is called with each line that the stages print.

    Raises:
      DataError: if something is missing that the stages read.
      ResumableError: if another experiment runs.
      WallabyError: the stage's own error, or what DVC says.
    """
    with alone(workspace):
        return proceed(workspace, name, stages, of=stages, changes=changes, log=log)


def proceed(
    workspace: Workspace,
    name: str,
    stages: list[str],
    *,
    of: list[str],
    changes: dict[str, dict[str, Any]],
    log: Callable[[str], None],
) -> Workspace:
    """As `run`, for a caller that is `alone` already: it has something to do between the stages, or after them.

    Args:
      of: all stages that the experiment runs, with this call or another: what they read is copied.
    """
    made = copy(workspace, name)
    if not made.root.exists():
        _copy_workspace(workspace, made, of, changes)
    _reproduce(made, stages, log)
    return made


def copy(workspace: Workspace, name: str) -> Workspace:
    """The copy that an experiment works in, whether it is there or not."""
    return Workspace(folder(workspace) / name, home=workspace.home, experiment=name)


def folder(workspace: Workspace) -> Path:
    """Where the copies lie, by the name of their experiment."""
    return workspace.cache("experiments")


def remove(workspace: Workspace, name: str) -> None:
    """Takes an experiment's copy away, with all it has made; its MLflow run stays."""
    shutil.rmtree(folder(workspace) / name, ignore_errors=True)


def remove_others(workspace: Workspace, beginning: str, keep: set[str]) -> None:
    """Takes the copies away whose names begin so, but for those of `keep`: what interrupted experiments have left.

    Raises:
      ResumableError: if an experiment runs.
    """
    with alone(workspace):
        parent = folder(workspace)
        for left in [*parent.glob(f"{beginning}*"), *parent.glob(f".{beginning}*")]:  # half made ones have a dot
            if left.name not in keep:
                shutil.rmtree(left)


def alone(workspace: Workspace) -> AbstractContextManager[None]:
    """Refuses to run beside another experiment of this workspace.

    Raises:
      ResumableError: if one runs.
    """
    return files.alone(workspace.cache("experiments.lock"), "experiment")


def _copy_workspace(
    workspace: Workspace, made: Workspace, stages: list[str], changes: dict[str, dict[str, Any]]
) -> None:
    read = config.dependencies(stages, workspace.pipeline_file)  # the code is copied whole, and so are folders
    inputs = [path for path in read if path.parts[0] == "data" and not set(path.parents) & set(read)]
    missing = [str(workspace.root / path) for path in inputs if not (workspace.root / path).exists()]
    if missing:
        raise DataError("the round has not come this far yet", where=", ".join(missing), mend="run `dvc repro`")
    with atomic_folder(made.root) as new:
        for path in [*SOURCES, *inputs]:
            source = workspace.root / path
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, new / path, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copyfile(source, new / path)
        config.write(changes, new / config.PARAMS)
        write_text(DVC_CONFIG, new / ".dvc" / "config")


def _reproduce(made: Workspace, stages: list[str], log: Callable[[str], None]) -> None:
    command = ["dvc", "repro", "--single-item", *stages]
    error_file = made.root / "error.json"
    error_file.unlink(missing_ok=True)
    interpreter = str(Path(sys.executable).parent)  # dvc.yaml calls it `python`
    environment = {
        "PATH": f"{interpreter}{os.pathsep}{os.environ['PATH']}",
        "DVC_ROOT": str(made.home),
        "DVC_EXP_NAME": made.experiment,
        "DVC_NO_ANALYTICS": "1",
        errors.ERROR_FILE: str(error_file),
    }
    last: deque[str] = deque(maxlen=LAST_LINES)
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=made.root,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,  # it is this process that hears Ctrl-C, and hands it on
    )
    assert process.stdout
    try:
        for line in process.stdout:
            last.append(line.rstrip())
            if not DVCS_OWN.match(last[-1]):
                log(last[-1])
        process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
        raise
    if process.returncode:
        raise errors.left_in(error_file) or _fault(list(last))


def _fault(lines: list[str]) -> BaseException:
    """What ended a stage that has left no error, or DVC itself: DVC tells which of them in words only."""
    output = "\n".join(lines)
    ended = ENDED.search(output)
    stage, code = (ended[1], int(ended[2])) if ended else ("", Exit.UNEXPECTED)
    if code == Exit.STOPPED:
        return KeyboardInterrupt()
    if BUSY.search(output):
        return ResumableError(
            "the experiment still runs, started by a command that was killed", mend="wait a minute; it stops by itself"
        )
    reason = [line for line in lines if not DVCS_OWN.match(line)] if stage else lines
    what = f"stage {stage} ended with {code}" if stage else "dvc repro"
    error = WallabyError(f"{what}: {(reason or ['no reason given'])[-1]}", mend="what it said stands above")
    error.code = Exit(code) if code in set(Exit) else Exit.UNEXPECTED
    return error
