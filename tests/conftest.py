"""What all tests share: builders are importable, and no example of a property is timed."""

import sys
from pathlib import Path

import hypothesis

sys.path.insert(0, str(Path(__file__).parent / "library"))

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
