"""Bundles are verified in a process of their own, whatever they do to it."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.catalog.desired_state import DesiredVersion, desire_folder
from service.catalog.verifier import Verifier
from service.catalog.verifying_process import Verdict, VerificationLimits
from service.errors import VerificationFailed
from tests.bundles import PLANE, STAMP, WAVE, publish_tiny
from tests.catalog.reconcilers import OPTIONS, damage, opened, publish, states
from tests.faulty_model import publish_never_verified

pytestmark = pytest.mark.slow


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    verifier = Verifier(VerificationLimits(timeout_seconds=1, side_by_side=2))
    yield verifier
    verifier.stop()


def verdicts(verifier: Verifier, models_dir: Path) -> dict[tuple[str, int], Verdict]:
    waiting = list(desire_folder(models_dir).versions)
    found: dict[tuple[str, int], Verdict] = {}
    while waiting:
        version, verdict = verifier.first_verified(waiting)
        waiting.remove(version)
        found[version.key] = verdict
    return found


def test_each_bundle_gets_its_verdict_and_one_that_hangs_is_refused_last(
    verifier: Verifier, tmp_path: Path
) -> None:
    publish_never_verified(tmp_path, "a-first")
    publish(tmp_path, PLANE, STAMP, WAVE)
    damage(tmp_path, WAVE)
    found = verdicts(verifier, tmp_path)

    assert list(found)[-1] == ("a-first", 1)
    assert found["a-first", 1].reason == (
        "VerificationFailed: it took longer than 1 seconds; see LATENTSERVE_VERIFY_TIMEOUT_SECONDS"
    )
    assert found["plane", 1].reason is None
    assert found["plane", 1].digest is not None
    assert found["plane", 1].digest != found["stamp", 1].digest
    reason = found["wave", 1].reason
    assert reason is not None
    assert reason.startswith("BundleFileCorrupted: decoder.onnx")


def test_a_reason_with_a_long_name_out_of_the_bundle_is_cut(
    verifier: Verifier, tmp_path: Path
) -> None:
    location = publish_tiny(tmp_path, PLANE)
    path = location.folder / "manifest.json"
    fields = json.loads(path.read_bytes()) | {"x" * 200_000: 1, "digest": "0" * 64}
    content = json.dumps(fields).encode()
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content.replace(b"0" * 64, digest, 1))
    reason = verdicts(verifier, tmp_path)["plane", 1].reason

    assert reason is not None
    assert reason.startswith("InvalidManifest: manifest.json: xxx")
    assert len(reason) < 2000


def test_a_verifier_that_paused_starts_again(verifier: Verifier, tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    first = verdicts(verifier, tmp_path)
    verifier.pause()

    assert verdicts(verifier, tmp_path) == first


def test_stopping_ends_the_wait_of_another_thread(tmp_path: Path) -> None:
    verifier = Verifier(VerificationLimits())
    location = publish_never_verified(tmp_path)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            verifier.first_verified([DesiredVersion(location)])
        except VerificationFailed as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(1)
    started = time.monotonic()
    verifier.stop()
    thread.join(10)

    assert time.monotonic() - started < 5
    assert [str(error) for error in raised] == ["the service stops"]


async def test_a_reconciler_loads_what_was_verified_and_refuses_the_rest(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE)
    damage(tmp_path, PLANE, version=2)
    verifier = Verifier(VerificationLimits())
    async with opened(tmp_path, options=OPTIONS, verifier=verifier) as reconciler:
        assert states(reconciler.catalog) == [("plane", 1, "ready"), ("plane", 2, "refused")]
        publish_tiny(tmp_path, STAMP)
        await reconciler.reconcile(desire_folder(tmp_path))
        assert ("stamp", 1, "ready") in states(reconciler.catalog)
