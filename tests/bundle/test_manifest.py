"""The manifest: what is read as it was written, and what is rejected."""

import copy
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.manifest import (
    SCHEMA_VERSION,
    Manifest,
    manifest_json_schema,
)
from service.bundle.signing import parse_manifest, write_manifest
from service.errors import (
    BundleError,
    BundleFileCorrupted,
    InvalidManifest,
    UnsafeBundlePath,
    UnsupportedSchemaVersion,
)
from tests.bundle.manifests import (
    CONTENT,
    ZEROS,
    Fields,
    changed,
    complete,
    fields_of,
    signed,
    tensors,
)
from tests.bundles import (
    LABELLED,
    PEOPLE,
    PLANE,
    SCORE,
    STAMP,
    TINY_MODELS,
    TinyModel,
)

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
HOW_TO_WRITE_THE_SCHEMA = (
    "python -c 'import json; from service.bundle.manifest import manifest_json_schema as schema;"
    " print(json.dumps(schema(), indent=2))' > docs/manifest.schema.json"
)
STAMP_CONTENT = CONTENT[STAMP.name]


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_reading_what_was_written_gives_it_back(model: TinyModel) -> None:
    manifest = complete(model)
    parsed = parse_manifest(CONTENT[model.name])

    assert parsed == manifest.model_copy(update={"digest": parsed.digest})
    assert write_manifest(parsed) == CONTENT[model.name]


def test_the_digest_is_that_of_the_bytes_with_zeros_in_its_place() -> None:
    stated = json.loads(STAMP_CONTENT)["digest"]
    unsigned = STAMP_CONTENT.replace(stated.encode(), ZEROS.encode())

    assert stated == hashlib.sha256(unsigned).hexdigest()


def test_a_manifest_written_by_another_program_is_read() -> None:
    parsed = parse_manifest(signed(fields_of(PEOPLE)))

    assert parsed.model_copy(update={"digest": ZEROS}) == complete(PEOPLE)


@given(st.integers(0, len(STAMP_CONTENT) - 1), st.integers(1, 255))
def test_no_byte_can_change_unseen(position: int, difference: int) -> None:
    altered = bytearray(STAMP_CONTENT)
    altered[position] ^= difference

    with pytest.raises(BundleError):
        parse_manifest(bytes(altered))


@given(st.integers(0, len(STAMP_CONTENT) - 1))
def test_no_truncation_goes_unseen(length: int) -> None:
    with pytest.raises(BundleError):
        parse_manifest(STAMP_CONTENT[:length])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"A tiny", b"A tidy"),
        (b'"level": 0.5', b'"level": 0.6'),
        (b"}\n", b"}"),
    ],
)
def test_a_change_that_leaves_valid_fields_is_found_by_the_digest(
    before: bytes, after: bytes
) -> None:
    altered = STAMP_CONTENT.replace(before, after)
    assert altered != STAMP_CONTENT

    with pytest.raises(BundleFileCorrupted, match="does not have the digest that it states"):
        parse_manifest(altered)


@pytest.mark.parametrize("digest", [None, 7, "", "abc", "G" * 64, "A" * 64, "0" * 63])
def test_a_manifest_without_a_digest_of_itself_is_rejected(digest: object) -> None:
    fields = {**fields_of(PLANE), "digest": digest}

    with pytest.raises(InvalidManifest, match="has no SHA-256 digest of itself"):
        parse_manifest(json.dumps(fields).encode())


@pytest.mark.parametrize("version", [SCHEMA_VERSION, "1.0.0", "1.0.7", "1.1.3"])
def test_the_own_major_version_up_to_the_own_minor_version_is_read(version: str) -> None:
    content = changed(PLANE, lambda fields: fields.update(schema_version=version))

    assert parse_manifest(content).schema_version == version


@pytest.mark.parametrize("version", ["2.0.0", "0.9.0", "1.2.0", "1.10.0", "10.0.0"])
def test_another_major_or_a_later_minor_version_is_rejected_before_anything_else(
    version: str,
) -> None:
    content = json.dumps({"schema_version": version, "of": "another kind"}).encode()

    with pytest.raises(UnsupportedSchemaVersion, match=rf"{re.escape(version)}.*1\.0 to 1\.1"):
        parse_manifest(content)


@pytest.mark.parametrize(
    "version",
    [None, 1, "", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "1.0.0\n", "9" * 5000 + ".0.0"],
)
def test_a_manifest_without_a_semantic_version_is_rejected(version: object) -> None:
    content = changed(PLANE, lambda fields: fields.update(schema_version=version))

    with pytest.raises(InvalidManifest, match="has no schema_version of the form") as caught:
        parse_manifest(content)
    assert not isinstance(caught.value, UnsupportedSchemaVersion)


def test_a_manifest_that_states_no_version_at_all_is_rejected() -> None:
    content = changed(PLANE, lambda fields: fields.pop("schema_version"))

    with pytest.raises(InvalidManifest, match="has no schema_version of the form"):
        parse_manifest(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"{}"',
        b"{",
        b"{}{}",
        b"\xff\xfe{}",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda content: content[:6].decode("latin-1").encode("unicode_escape").decode(),
)
def test_what_is_not_a_json_object_is_not_a_manifest(content: bytes) -> None:
    with pytest.raises(InvalidManifest):
        parse_manifest(content)


UNSAFE_NAMES = [
    "../encoder.onnx",
    "..",
    ".",
    "/etc/passwd",
    ".hidden",
    "folder/encoder.onnx",
    "folder\\encoder.onnx",
    "C:encoder.onnx",
    "",
    " encoder.onnx",
    "encoder.onnx\n",
    "encoder\x00.onnx",
    "-rf",
    "\u0435ncoder.onnx",
]


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_a_file_that_is_not_a_plain_name_is_rejected(name: str) -> None:
    content = changed(PLANE, lambda fields: fields["files"].update({name: ZEROS}))

    with pytest.raises(UnsafeBundlePath, match="not a plain file name"):
        parse_manifest(content)


@pytest.mark.parametrize("name", [*UNSAFE_NAMES, None, 7])
def test_a_graph_whose_file_is_not_a_plain_name_is_rejected(name: object) -> None:
    content = changed(PLANE, lambda fields: fields["graphs"]["encoder"].update(file=name))

    with pytest.raises(UnsafeBundlePath, match="not a plain file name"):
        parse_manifest(content)


def without_decoder(fields: Fields) -> None:
    fields.update(capabilities=["encode"], priors=None, anomaly=None)
    fields["graphs"] = {"encoder": fields["graphs"]["encoder"]}
    fields["files"] = dict.fromkeys(("encoder.onnx", "golden.npz"), ZEROS)


def without_calibration(fields: Fields) -> None:
    fields["anomaly"]["scores"][SCORE]["calibration_rows"] = 0
    del fields["files"]["calibration.npz"]


def without_mixture(fields: Fields) -> None:
    fields["priors"]["default"] = "standard-normal"
    del fields["priors"]["available"]["gaussian-mixture"]
    del fields["files"]["priors.npz"]


def with_a_decoder_that_needs_no_conditions(fields: Fields) -> None:
    tensors(fields, "decoder", "inputs").pop()


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (PLANE, without_decoder),
        (PLANE, without_calibration),
        (PLANE, without_mixture),
        (LABELLED, with_a_decoder_that_needs_no_conditions),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bundle_need_not_have_what_it_does_not_use(
    model: TinyModel, change: Callable[[Fields], object]
) -> None:
    parsed = parse_manifest(changed(model, change))

    assert parsed.name == model.name


def test_the_first_wrong_place_is_named_without_its_value() -> None:
    def change(fields: Fields) -> None:
        fields["data"]["rows"]["test"] = "a secret"

    with pytest.raises(InvalidManifest, match="data/rows/test: ") as caught:
        parse_manifest(changed(PLANE, change))
    assert "secret" not in str(caught.value)


def test_the_published_json_schema_is_that_of_the_code() -> None:
    written = json.loads(SCHEMA_FILE.read_text())

    assert written == manifest_json_schema(), f"write it again: {HOW_TO_WRITE_THE_SCHEMA}"


def test_the_json_schema_describes_every_field() -> None:
    schema = copy.deepcopy(manifest_json_schema())

    unused = Manifest.added  # not written by a manifest that does not use them
    assert set(schema["properties"]) == set(json.loads(STAMP_CONTENT)) | unused
    assert schema["additionalProperties"] is False
