"""The composition root: how settings become threads and sessions."""

from pathlib import Path
from typing import Any

import pytest

from service import app
from service.app import create_service
from service.inference.session import SessionOptions
from service.settings import Settings


@pytest.fixture(autouse=True)
def _logging_is_restored(restored_logging: None) -> None:
    """The service configures logging; the rest of the tests have their own."""


@pytest.mark.parametrize(
    ("processors", "workers", "threads", "expected"),
    [
        (1, 1, None, 1),
        (8, 1, None, 8),
        (8, 2, None, 4),
        (8, 3, None, 2),
        (2, 4, None, 1),
        (8, 2, 3, 3),
    ],
)
def test_each_worker_runs_as_many_batches_as_it_has_processors(
    tiny_models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    processors: int,
    workers: int,
    threads: int | None,
    expected: int,
) -> None:
    monkeypatch.setattr(app, "usable_processors", lambda: processors)
    chosen: dict[str, Any] = {"workers": workers, "threads": threads}

    options = create_service(Settings(models_dir=tiny_models_dir, **chosen)).reconciler.options

    assert options.threads == expected
    assert options.session.threads == 1


@pytest.mark.parametrize("tf32", [False, True])
def test_products_are_rounded_only_where_that_is_set(tiny_models_dir: Path, tf32: bool) -> None:
    chosen: dict[str, Any] = {"tf32": tf32}

    reconciler = create_service(Settings(models_dir=tiny_models_dir, **chosen)).reconciler

    assert reconciler.options.session == SessionOptions("cpu", threads=1, tf32=tf32)


def test_each_worker_has_a_segment_and_a_slot_and_so_has_a_process_alone(
    tiny_models_dir: Path,
) -> None:
    chosen: dict[str, Any] = {}
    settings = Settings(models_dir=tiny_models_dir, **chosen)

    alone = create_service(settings)
    assert (len(alone.memory.segments), len(alone.status.workers)) == (1, 1)
    several = create_service(settings, workers=3)
    assert (len(several.memory.segments), len(several.status.workers)) == (4, 3)
