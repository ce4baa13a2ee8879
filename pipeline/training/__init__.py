"""Training: augmentation, batches, fitting to the plateau, and resuming."""

import pipeline.models  # noqa: F401  (imports Keras, quietly)
