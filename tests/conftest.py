"""Builders beside the tests of the library are importable from all tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "library"))
