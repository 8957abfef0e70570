"""Training of autoencoders, and their publication as bundles that the service serves."""

import os

# Both are read once, when TensorFlow is first imported, so this must come before any import of it.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
