"""What a killed DVC leaves behind, and stops every later command."""

import json
import time
from pathlib import Path

RWLOCK = Path(".dvc/tmp/rwlock")
WRITING = 0.5  # seconds that a running DVC may take to write it, many times over


def repair_lock(root: Path) -> bool:
    """Removes DVC's list of locks where a kill has left it empty or cut short; returns whether it did.

    DVC refuses to run as long as it cannot read the list, and writes a new one where there is none. A list that is
    whole stays: the locks of processes that are gone are DVC's own matter.
    """
    path = root / RWLOCK
    if _is_whole(path):
        return False
    time.sleep(WRITING)  # it may have been about to be written
    if _is_whole(path):
        return False
    path.unlink(missing_ok=True)
    return True


def _is_whole(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True
