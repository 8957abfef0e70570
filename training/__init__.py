"""Training of autoencoders, and their publication as bundles that the service serves."""

import os

# Read when TensorFlow and Keras are imported, so set before that.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
