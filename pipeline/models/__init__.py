"""Networks. Importing this package imports Keras, without the lines its backend prints when it starts."""

import logging
import os
import sys
import tempfile
from types import ModuleType


def _import_quietly() -> ModuleType:
    """TensorFlow writes to the process' stderr before any log level counts; what it wrote is shown if it fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import keras

            return keras
        except BaseException:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


keras = _import_quietly()
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # asking several networks in a row is no fault, and it warns

from pipeline.models import grouped  # noqa: E402, F401 - a file that holds this layer can be read only once it is known
