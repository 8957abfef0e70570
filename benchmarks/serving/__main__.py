"""How fast the service answers, beside what it could be compared with, in one run.

    python -m benchmarks.serving [--peers] [--seconds 5] [--rounds 3]
    python -m benchmarks.serving --rounds 1 --seconds 2 --loads json-1x64 --subjects plain-1
    python -m benchmarks.serving --before ../a-checkout-of-main --subjects

Every subject runs as two worker processes on the same processors as the load generator (wrk, one
thread), one subject at a time, and is started anew in each round. Its answers are compared with
those of onnxruntime alone before anything is timed. Medians of the rounds are printed.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.serving import generator, machine, peers, tables
from benchmarks.serving.loads import DENSE, LOADS, Load
from benchmarks.serving.models import ServedModel, prepare_models
from benchmarks.serving.processes import ServerFailed, adopt_orphans
from benchmarks.serving.raw_onnxruntime import run_raw
from benchmarks.serving.subjects import OURS, PROCESSES, Subject, our_service, simple_subjects
from benchmarks.serving.visits import OtherNumbers, visit

START = "start"
RAW = "raw"


def main() -> None:
    """Read the command line, measure and print the tables."""
    if sys.platform != "linux":
        sys.exit("this needs Linux: it reads memory and processor time from /proc")
    # Also what is told to stop stops the server that it has started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    adopt_orphans()
    options = _parse_arguments()
    loads = [load for load in LOADS if load.key in options.loads]
    processors = machine.pin_to_processors(options.processors)
    try:
        print(machine.describe(processors), flush=True)
    except generator.GeneratorError as error:
        sys.exit(str(error))
    problems: dict[str, str] = {}
    subjects = list(_subjects(options, problems))
    print(flush=True)
    keys = {load.model for load in loads} | ({DENSE} if START in options.loads else set())
    with tempfile.TemporaryDirectory() as folder:
        try:
            models = prepare_models(keys, Path(folder), options.models_dir)
        except FileNotFoundError as error:
            sys.exit(str(error))
        results = measure(subjects, models, loads, options)
    results.problems |= problems
    print(tables.report(results))
    if any(not options.peers or what.startswith(OURS) for what in results.problems):
        sys.exit(1)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = [*(load.key for load in LOADS), START]
    keys = [*(subject.key for subject in (*simple_subjects(), *peers.PEERS)), RAW]
    parser.add_argument("--peers", action="store_true", help="other model servers, not plain ones")
    parser.add_argument(
        "--before", type=Path, metavar="CHECKOUT", help="another version of this project beside it"
    )
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="how many medians are taken of")
    parser.add_argument("--processors", type=int, default=2, help="that everything shares")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="published bundles")
    parser.add_argument(
        "--loads", nargs="+", choices=rows, default=rows, metavar="LOAD",
        help=f"only these: {', '.join(rows)}",
    )  # fmt: skip
    parser.add_argument(
        "--subjects", nargs="*", choices=keys, default=keys, metavar="SUBJECT",
        help=f"only these beside ours: {', '.join(keys)}",
    )  # fmt: skip
    return parser.parse_args()


def _subjects(options: argparse.Namespace, problems: dict[str, str]) -> Iterator[Subject]:
    yield our_service()
    if options.before is not None:
        yield our_service(options.before)
    if not options.peers:
        yield from (one for one in simple_subjects() if one.key in options.subjects)
        return
    for peer in peers.PEERS:
        if peer.key not in options.subjects:
            continue
        try:
            yield peer.subject(peers.prepare(peer))
            print(f"{peer.name}: {', '.join(peer.pinned())}", flush=True)
        except peers.PeerUnavailable as error:
            problems[peer.name] = str(error)


def measure(
    subjects: Sequence[Subject],
    models: Sequence[ServedModel],
    loads: Sequence[Load],
    options: argparse.Namespace,
) -> tables.Results:
    """Visit every subject with every model, round by round, each round in another order.

    Args:
        subjects: The subjects, ours first.
        models: What they serve.
        loads: What they are sent.
        options: The command line.
    """
    results = tables.Results({subject.name: [] for subject in subjects})
    for number in range(options.rounds):
        for model in models:
            _progress(f"round {number + 1} of {options.rounds}, {model.key}")
            if RAW in options.subjects:
                run = run_raw(model, PROCESSES, options.seconds)
                results.raw.setdefault(model.key, []).append(run)
            first = number % len(subjects)
            for subject in [*subjects[first:], *subjects[:first]]:
                _visit(subject, model, loads, options, results)
    return results


def _visit(
    subject: Subject,
    model: ServedModel,
    loads: Sequence[Load],
    options: argparse.Namespace,
    results: tables.Results,
) -> None:
    taken = [load for load in loads if load.model == model.key and subject.takes(load)]
    idle = START in options.loads and model.key == DENSE
    what = f"{subject.name}, {model.key}"
    if what in results.problems or not (taken or idle):
        return
    _progress(f"  {subject.name}")
    try:
        seen = visit(subject, model, taken, options.seconds, idle=idle)
        results.visits[subject.name].append(seen)
    except (ServerFailed, OtherNumbers, generator.GeneratorError) as error:
        results.problems[what] = str(error)


def _progress(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
