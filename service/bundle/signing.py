"""The manifest as bytes, which contain their own SHA-256 digest.

The digest is computed over the file with 64 zeros in its place. Together with the digests of all
other files, which the manifest lists, it detects every changed byte of a bundle. It is a checksum,
not a signature: it does not prove who published the bundle.
"""

import hashlib
import json
import re
from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter, ValidationError

from service.bundle.manifest import MANIFEST_FILE, SCHEMA_VERSION, UNSIGNED, Manifest
from service.errors import (
    BundleFileCorrupted,
    InvalidManifest,
    UnsafeBundlePath,
    UnsupportedSchemaVersion,
)

_SEMANTIC_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})")
_PLAIN_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_JSON_OBJECT = TypeAdapter(dict[str, JsonValue])


def write_manifest(manifest: Manifest) -> bytes:
    """Serialize a manifest and insert its own digest.

    Args:
        manifest: The manifest; its ``digest`` is computed here.

    Returns:
        The bytes of ``manifest.json``.
    """
    unsigned = manifest.model_copy(update={"digest": UNSIGNED})
    content = unsigned.model_dump_json(indent=1).encode() + b"\n"
    return content.replace(UNSIGNED.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def parse_manifest(content: bytes) -> Manifest:
    """Parse ``manifest.json``: check its schema version, then its own digest, then every field.

    Args:
        content: The bytes of the file.

    Returns:
        The manifest, consistent in itself. Whether the files have the digests that it states is
        checked by ``storage.read_bundle``.

    Raises:
        InvalidManifest: The bytes are not JSON of the schema, or fields contradict each other.
        UnsupportedSchemaVersion: Another major version, or a later minor one.
        BundleFileCorrupted: The bytes do not have the digest they state.
        UnsafeBundlePath: A listed file is not a plain name inside the folder.
    """
    try:
        fields = _JSON_OBJECT.validate_python(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"{MANIFEST_FILE} is not a JSON object") from error
    _check_schema_version(fields.get("schema_version"))
    _check_own_digest(content, fields.get("digest"))
    _check_file_names(fields)
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "/".join(str(step) for step in first["loc"]) or "the manifest"
        raise InvalidManifest(f"{MANIFEST_FILE}: {place}: {first['msg']}") from error


def _check_schema_version(stated: object) -> None:
    numbers = _SEMANTIC_VERSION.fullmatch(stated) if isinstance(stated, str) else None
    if numbers is None:
        raise InvalidManifest(f"{MANIFEST_FILE} has no schema_version of the form 1.0.0")
    major, minor, _ = (int(part) for part in SCHEMA_VERSION.split("."))
    if int(numbers[1]) != major or int(numbers[2]) > minor:
        raise UnsupportedSchemaVersion(
            f"the bundle has schema version {numbers[0]}; this release reads {major}.0 to"
            f" {major}.{minor}"
        )


def _check_own_digest(content: bytes, stated: object) -> None:
    if not (isinstance(stated, str) and re.fullmatch(r"[0-9a-f]{64}", stated)):
        raise InvalidManifest(f"{MANIFEST_FILE} has no SHA-256 digest of itself")
    unsigned = content.replace(stated.encode(), UNSIGNED.encode(), 1)
    if hashlib.sha256(unsigned).hexdigest() != stated:
        raise BundleFileCorrupted(
            f"{MANIFEST_FILE} does not have the digest that it states; publish again"
        )


def _check_file_names(fields: Mapping[str, JsonValue]) -> None:
    names: list[JsonValue] = []
    if isinstance(files := fields.get("files"), dict):
        names.extend(files)
    if isinstance(graphs := fields.get("graphs"), dict):
        names.extend(item.get("file") for item in graphs.values() if isinstance(item, dict))
    for name in names:
        if not (isinstance(name, str) and _PLAIN_FILE_NAME.fullmatch(name)):
            raise UnsafeBundlePath(
                f"{MANIFEST_FILE} lists a file whose name is not a plain file name"
            )
