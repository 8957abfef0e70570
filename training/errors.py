"""Every error that training raises on purpose.

    LatentServeError
    └── TrainingError
        ├── LibraryMissing
        ├── RecipeError
        │   └── RecipeNotFound
        ├── DatasetError
        │   ├── DatasetUnavailable
        │   └── DatasetCorrupted
        ├── FolderUnusable
        ├── RunInUse
        ├── RehearsalFailed
        ├── TrainingDiverged
        ├── MemoryExhausted
        ├── RunCorrupted
        ├── ExportFailed
        ├── ParityMismatch
        └── GatesFailed

A message is one sentence for the command line: what was found, and what is expected.
"""

from service.errors import LatentServeError


class TrainingError(LatentServeError):
    """Root of what training raises, before a bundle exists."""


class LibraryMissing(TrainingError):
    """A library that training needs is not installed, or cannot be loaded."""


class RecipeError(TrainingError):
    """A recipe is not TOML, names something unknown, or contradicts itself or its data."""


class RecipeNotFound(RecipeError):
    """No shipped recipe has that name and there is no such file."""


class DatasetError(TrainingError):
    """The data of a recipe cannot be used."""


class DatasetUnavailable(DatasetError):
    """A data file is neither in the data folder nor in the cache, and cannot be downloaded."""


class DatasetCorrupted(DatasetError):
    """A data file does not have the digest of the public original, or cannot be parsed."""


class FolderUnusable(TrainingError):
    """A folder for results is not a folder, cannot be written, or has no room for them."""


class RunInUse(TrainingError):
    """Another process has the folder of this run locked."""


class RehearsalFailed(TrainingError):
    """The steps after training fail on a few rows and initial weights; nothing was trained."""


class TrainingDiverged(TrainingError):
    """The objective is not finite, and no later epoch would make it finite."""


class MemoryExhausted(TrainingError):
    """A batch, a network or the data does not fit into memory."""


class RunCorrupted(TrainingError):
    """The checkpoint of a run cannot be read, or is of another model or of other data."""


class ExportFailed(TrainingError):
    """A Keras function cannot be turned into an ONNX graph of the bundle's form."""


class ParityMismatch(TrainingError):
    """An exported graph does not compute what Keras computes; the bundle is not published."""


class GatesFailed(TrainingError):
    """A gate failed; publishing all the same needs a reason."""
