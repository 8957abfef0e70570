"""Autoencoders over HTTP: load model bundles and serve them with onnxruntime."""

__version__ = "0.1.0"
