"""Every error that training raises on purpose.

    LatentServeError
    └── TrainingError
        ├── RecipeError
        │   └── RecipeNotFound
        ├── DatasetError
        │   ├── DatasetUnavailable
        │   └── DatasetCorrupted
        ├── TrainingDiverged
        ├── RunCorrupted
        ├── ExportFailed
        ├── ParityMismatch
        └── GatesRefused

A message says what was found and what is needed, in one sentence: it is what the command line
prints.
"""

from service.errors import LatentServeError


class TrainingError(LatentServeError):
    """Root of what can go wrong offline, before a bundle exists."""


class RecipeError(TrainingError):
    """A recipe is not TOML, names something unknown, or contradicts itself or its data."""


class RecipeNotFound(RecipeError):
    """No shipped recipe has that name and there is no such file."""


class DatasetError(TrainingError):
    """The data of a recipe cannot be used."""


class DatasetUnavailable(DatasetError):
    """A data file is neither in the data folder nor in the cache, and cannot be downloaded."""


class DatasetCorrupted(DatasetError):
    """A data file has not the digest of the public original, or cannot be read as its kind."""


class TrainingDiverged(TrainingError):
    """The loss is no longer a finite number; no later epoch could repair it."""


class RunCorrupted(TrainingError):
    """The checkpoint of a run cannot be read, or is not one of the model being trained."""


class ExportFailed(TrainingError):
    """A Keras function cannot be turned into an ONNX graph of the bundle's form."""


class ParityMismatch(TrainingError):
    """An exported graph does not compute what Keras computes; nothing is published."""


class GatesRefused(TrainingError):
    """The network did not learn what it is for; nothing is published without a reason given."""
