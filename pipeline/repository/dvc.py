"""DVC and git, run in a repository's folder, wherever this process stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline import bundle
from pipeline.errors import WallabyError


def run(root: Path, *arguments: str) -> str:
    """Runs DVC in the repository `root` and returns what it printed.

    Raises:
      WallabyError: with the last line of its error.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no reason given"]
        raise WallabyError(f"dvc {arguments[0]}: {lines[-1]}", mend="`dvc doctor` tells about this repository's DVC")
    return result.stdout


def track(root: Path, folder: Path) -> None:
    """Puts a source folder of the repository under DVC, so that a commit says what the round started from.

    Raises:
      WallabyError: with DVC's own words, if it refuses.
    """
    run(root, "add", "--quiet", os.path.relpath(folder, root))


def checkout(root: Path, folder: Path) -> None:
    """Brings the content of a tracked folder from DVC's cache, as its `.dvc` file names it.

    Raises:
      WallabyError: with DVC's own words, if it cannot.
    """
    run(root, "checkout", os.path.relpath(f"{folder}.dvc", root))


def cached(root: Path, md5: str) -> Path | None:
    """The file with this MD5 in DVC's cache; None if the cache does not have it, or there is none."""
    try:
        folder = Path(run(root, "cache", "dir").strip())
    except WallabyError:
        return None
    path = folder / "files" / "md5" / md5[:2] / md5[2:]
    return path if path.is_file() else None


def warnings_of_replacing(root: Path, base: Path) -> list[str]:
    """Returns what a person should know before this base is replaced: where it can be had from afterwards, if anywhere.

    Empty for a base that a remote has and git names.
    """
    if not base.exists():
        return []
    card, tracked = bundle.check(base), Path(f"{base}.dvc")
    name = f"the base of round {card.round} ({card.model_digest[:12]})"
    commit = _commit_of(root, tracked)
    if not commit:
        return [
            f"{name} will be lost: git has no commit with its {tracked}; keep it first:"
            f" `git add {tracked}; git commit`, and `dvc push {tracked}`"
        ]
    back = f"`git checkout {commit} -- {tracked}; dvc checkout {tracked}` brings it back"
    try:
        if not remote(root):
            return [f"{name} will be in this machine's DVC cache only, no remote is configured; {back}"]
        if json.loads(run(root, "status", "--cloud", "--json", os.path.relpath(tracked, root))):
            return [
                f"{name} will be in this machine's DVC cache only, the remote lacks it: `dvc push {tracked}`; {back}"
            ]
    except WallabyError as error:
        return [f"whether a remote has {name} cannot be asked ({error.what}); this machine's DVC cache has it: {back}"]
    return []


def has_made(root: Path, product: Path) -> bool:
    """Whether a run of the pipeline has made this product, as dvc.lock says."""
    try:
        text = (root / "dvc.lock").read_text(encoding="utf-8")
    except OSError:
        return False
    return f"path: {os.path.relpath(product, root)}" in (line.strip(" -") for line in text.splitlines())


def remote(root: Path) -> str:
    """The name of DVC's default remote; "" if there is none."""
    try:
        return run(root, "config", "core.remote").strip()
    except WallabyError:  # some versions of DVC call an option that is not set an error
        return ""


def _commit_of(root: Path, tracked: Path) -> str:
    """The last commit whose version of a file is the one that is there; "" if none is."""
    if not tracked.exists():
        return ""
    name = os.path.relpath(tracked, root)
    blob = git(root, "hash-object", name)
    return git(root, "log", "--all", "--format=%h", "-1", f"--find-object={blob}", "--", name)


def git(root: Path, *arguments: str) -> str:
    """Runs git in a folder and returns what it printed; "" if it fails."""
    result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
