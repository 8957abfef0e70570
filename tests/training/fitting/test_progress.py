from io import StringIO

from rich.console import Console

from training.fitting.history import EpochRecord
from training.fitting.progress import BarProgress, LineProgress, show_progress

RECORD = EpochRecord(3, 1.25, 0.1, {"reconstruction": 0.5}, {"reconstruction": 0.25})


def test_a_log_gets_one_plain_line_an_epoch() -> None:
    written = StringIO()

    with show_progress(Console(file=written), epochs=12) as progress:
        assert isinstance(progress, LineProgress)
        progress.step(3, 0.5)
        progress.finish_epoch(RECORD, best_epoch=2)

    assert written.getvalue() == (
        "epoch  3/12: loss 0.5000, validation 0.2500, best epoch 2, 1.2 s\n"
    )


def test_a_terminal_gets_a_bar() -> None:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=120)

    with show_progress(console, epochs=12) as progress:
        assert isinstance(progress, BarProgress)
        progress.step(3, 0.5)
        progress.finish_epoch(RECORD, best_epoch=2)

    assert "━" in written.getvalue()
    assert "validation 0.2500, best epoch 2" in written.getvalue()
