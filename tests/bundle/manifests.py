"""Manifests written and signed by hand, so that one field of them can be wrong."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from service.bundle.manifest import Manifest
from service.bundle.signing import write_manifest
from tests.bundles import TINY_MODELS, TinyModel, tiny_files, tiny_manifest

ZEROS = "0" * 64

Fields = dict[str, Any]


def complete(model: TinyModel) -> Manifest:
    digests = {
        name: hashlib.sha256(content).hexdigest() for name, content in tiny_files(model).items()
    }
    return tiny_manifest(model).model_copy(update={"files": digests})


CONTENT = {model.name: write_manifest(complete(model)) for model in TINY_MODELS}


def signed(fields: Fields) -> bytes:
    """Write fields as a program that shares no code with the service would."""
    unsigned = json.dumps({**fields, "digest": ZEROS})
    digest = hashlib.sha256(unsigned.encode()).hexdigest()
    return unsigned.replace(f'"digest": "{ZEROS}"', f'"digest": "{digest}"').encode()


def fields_of(model: TinyModel) -> Fields:
    return json.loads(CONTENT[model.name])


def changed(model: TinyModel, change: Callable[[Fields], object]) -> bytes:
    fields = fields_of(model)
    change(fields)
    return signed(fields)


def tensors(fields: Fields, graph: str, kind: str) -> list[Fields]:
    return fields["graphs"][graph][kind]
