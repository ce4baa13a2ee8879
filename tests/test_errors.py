import errno
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.errors import DataError, Exit, GateError, LeakageError, ResumableError, UsageError, WallabyError


def code_of(main) -> int:
    with pytest.raises(SystemExit) as ended:
        errors.run(main)
    return ended.value.code


def raising(error: BaseException):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WallabyError("x"), 1),
        (UsageError("x"), 2),
        (DataError("x"), 3),
        (GateError("x"), 4),
        (LeakageError("x"), 5),
        (ResumableError("x"), 75),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device"), 75),
        (PermissionError(errno.EACCES, "Permission denied", "data/labels.csv"), 75),
        (BrokenPipeError(), 0),
    ],
)
def test_each_kind_of_error_ends_with_its_exit_code_and_no_stack_trace(error, code, capfd):
    assert code_of(raising(error)) == code
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 3


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (Exit.SOME_FAILED, 6), (7, 7)])
def test_what_main_returns_is_the_exit_code(returned, code):
    assert code_of(lambda: returned) == code


def test_a_bug_shows_its_stack_trace():
    with pytest.raises(ZeroDivisionError):
        errors.run(lambda: 1 // 0)
    with pytest.raises(OSError, match="Is a directory"):
        errors.run(raising(IsADirectoryError(errno.EISDIR, "Is a directory")))


def test_a_message_says_what_where_and_how_to_mend_it():
    message = str(DataError("an image is listed twice", where="labels.csv, row 4", mend="keep one"))
    assert message == "error: an image is listed twice\n   in: labels.csv, row 4\n mend: keep one"
    assert str(DataError("no more to say")) == "error: no more to say"


def test_a_message_has_three_lines_at_most_whatever_it_quotes():
    assert len(str(DataError("a\nb\n\nc", where="d\ne", mend="f\r\ng")).splitlines()) == 3


def test_a_full_disk_names_the_file_and_says_that_the_same_command_continues():
    error = errors.from_os_error(OSError(errno.ENOSPC, "No space left on device", "data/x.parquet"))
    assert "the disk is full" in str(error)
    assert "data/x.parquet" in str(error)
    assert "same command" in error.mend


def test_what_the_system_refuses_for_another_reason_is_not_called_a_missing_permission():
    error = errors.from_os_error(NotADirectoryError(errno.ENOTDIR, "Not a directory", "data"))
    assert "Not a directory" in str(error)
    assert "permission" not in str(error)


REPOSITORY = Path(__file__).parents[1]
PROGRAM = "from pipeline import errors; errors.run(lambda: print('line\\n' * {lines}))"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_stops_early_is_no_failure(lines):
    """`wallaby board | head -1`, with an output shorter and longer than the buffer of a pipe."""
    command = f'exec 3>&1; ({sys.executable} -c "{PROGRAM.format(lines=lines)}"; echo $? >&3) | true'
    shell = ["bash", "-c", command]
    ended = subprocess.run(
        shell, check=False, capture_output=True, text=True, cwd=REPOSITORY, env={"PATH": "/usr/bin:/bin"}
    )
    assert (ended.stdout.strip(), ended.stderr) == ("0", "")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_output_to_a_full_disk_is_resumable():
    with open("/dev/full", "w") as full:
        program = [sys.executable, "-c", PROGRAM.format(lines=1)]
        ended = subprocess.run(
            program, check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, env={}
        )
    assert ended.returncode == 75
    assert "the disk is full" in ended.stderr
    assert "Traceback" not in ended.stderr


SWALLOWED = """
import os, signal
from pipeline import errors

class Finaliser:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def work():
    one = Finaliser()
    del one  # Python ignores what is raised in here
    errors.stop_if_asked()

errors.run(work)
"""


def test_a_stop_that_python_swallowed_still_ends_with_130():
    ended = subprocess.run([sys.executable, "-c", SWALLOWED], check=False, capture_output=True, cwd=REPOSITORY, env={})
    assert ended.returncode == 130


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("the loss\nhas exploded", where="a, b"), DataError("the loss has exploded")),
        (UsageError("what?"), UsageError("what?")),
        (OSError(errno.ENOSPC, "No space left on device"), ResumableError("the disk is full")),
    ],
)
def test_the_error_of_another_process_is_the_same_again_whatever_it_has_printed(error, expected, tmp_path, monkeypatch):
    monkeypatch.setenv(errors.ERROR_FILE, str(tmp_path / "error.json"))
    assert code_of(raising(error)) == expected.code
    found = errors.left_in(tmp_path / "error.json")
    assert str(found).splitlines()[0] == str(expected).splitlines()[0]
    assert found.code == expected.code


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), BrokenPipeError()])
def test_a_process_that_ended_otherwise_leaves_no_error(ending, tmp_path, monkeypatch):
    monkeypatch.setenv(errors.ERROR_FILE, str(tmp_path / "error.json"))
    code_of(raising(ending))
    assert errors.left_in(tmp_path / "error.json") is None


def test_an_error_is_told_also_where_it_cannot_be_left(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv(errors.ERROR_FILE, str(tmp_path / "gone" / "error.json"))
    assert code_of(raising(DataError("the loss has exploded"))) == Exit.DATA
    assert "the loss has exploded" in capfd.readouterr().err
    (tmp_path / "error.json").write_text('{"what": "cut sho')
    assert errors.left_in(tmp_path / "error.json") is None
