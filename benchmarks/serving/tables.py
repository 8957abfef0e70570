"""What was measured, as Markdown: ratios first, because they carry over to other machines."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.serving.loads import JSON_ROWS, LOADS, SCORED_ROWS, Load
from benchmarks.serving.raw_onnxruntime import BATCH_ROWS, RawRun
from benchmarks.serving.visits import Footprint, Measured, Visit

NOTHING = "-"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Medians:
    """A load on a subject: medians of all rounds, failures added up."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_microseconds: float
    failures: int


@dataclass
class Results:
    """Everything that was seen, over all rounds.

    Attributes:
        visits: By subject's name, in the order of the tables; ours is the first.
        raw: Runs of onnxruntime alone, by model.
        problems: Why there are no figures, by the subject's name and the model's.
    """

    visits: dict[str, list[Visit]] = field(default_factory=dict[str, list[Visit]])
    raw: dict[str, list[RawRun]] = field(default_factory=dict[str, list[RawRun]])
    problems: dict[str, str] = field(default_factory=dict[str, str])

    def medians(self, name: str, load: Load) -> Medians | None:
        """Take the medians of a subject's rounds.

        Args:
            name: The subject.
            load: The load.

        Returns:
            None where the subject was not given that load.
        """
        rounds = [visit.measured[load] for visit in self.visits[name] if load in visit.measured]
        if not rounds:
            return None

        def median(figure: Callable[[Measured], float]) -> float:
            return statistics.median(map(figure, rounds))

        return Medians(
            median(lambda one: one.traffic.requests_per_second),
            median(lambda one: one.traffic.p50_ms),
            median(lambda one: one.traffic.p99_ms),
            median(lambda one: one.cpu_microseconds),
            sum(one.traffic.failures for one in rounds),
        )

    def loads(self) -> list[Load]:
        """List the loads that were measured, in their order."""
        seen = {load for visits in self.visits.values() for one in visits for load in one.measured}
        return [load for load in LOADS if load in seen]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table whose columns line up.

    Args:
        header: Names of the columns.
        rows: Cells, as many in each row as there are columns.
    """
    table = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def rate_ratios(results: Results) -> str:
    """Say how many times as many requests ours answers as each other subject."""
    return _ratios(
        "requests/s, ours over",
        results,
        lambda ours, other: (ours.requests_per_second, other.requests_per_second),
    )


def cost_ratios(results: Results) -> str:
    """Say how many times our processor time each other subject takes for a request.

    On a machine that others use too this says more than requests a second do.
    """
    return _ratios(
        "processor time a request, over ours",
        results,
        lambda ours, other: (other.cpu_microseconds, ours.cpu_microseconds),
    )


def _ratios(
    title: str, results: Results, figures: Callable[[Medians, Medians], tuple[float, float]]
) -> str:
    ours, *others = results.visits
    rows = []
    for load in results.loads():
        mine, cells = results.medians(ours, load), [load.title]
        for name in others:
            theirs = results.medians(name, load)
            if mine is None or theirs is None:
                cells.append(NOTHING)
            else:
                cells.append(_ratio(*figures(mine, theirs)))
        rows.append(cells)
    return markdown([title, *others], rows)


def _ratio(above: float, below: float) -> str:
    return f"{above / below:.2f}x" if below else NOTHING


def share_table(results: Results) -> str:
    """Say which share of what onnxruntime alone does arrives over HTTP with ours.

    In rows a second the generator takes its part of the processors; in processor time it does not.
    """
    ours = next(iter(results.visits))
    rows = []
    for load in results.loads():
        mine = results.medians(ours, load)
        if load.rows != BATCH_ROWS or mine is None or load.model not in results.raw:
            continue
        runs = results.raw[load.model]
        rate = statistics.median(run.rows_per_second for run in runs)
        cost = statistics.median(run.cpu_microseconds for run in runs)
        served = mine.requests_per_second * load.rows
        rows.append(
            [
                load.title,
                f"{served / rate:.0%}",
                f"{served:,.0f}",
                f"{rate:,.0f}",
                f"{cost / mine.cpu_microseconds:.0%}" if mine.cpu_microseconds else NOTHING,
            ]
        )
    rates = ["share of raw rows/s", "our rows/s", "raw onnxruntime, rows/s"]
    return markdown(["load", *rates, "share of raw in processor time"], rows)


def score_ratio(results: Results) -> str | None:
    """Say how `/anomaly-score` compares with `/reconstruct` where both were measured."""
    ours = next(iter(results.visits))
    scored, reconstructed = results.medians(ours, SCORED_ROWS), results.medians(ours, JSON_ROWS)
    if scored is None or reconstructed is None:
        return None
    ratio = _ratio(scored.requests_per_second, reconstructed.requests_per_second)
    return f"{ours}, JSON, 64 rows: /anomaly-score has {ratio} the requests/s of /reconstruct"


def absolute_table(results: Results) -> str:
    """List every figure."""
    header = ["load", "subject", "requests/s", "rows/s", "p50 ms", "p99 ms", "CPU µs/request"]
    rows = []
    for load in results.loads():
        for name in results.visits:
            if (medians := results.medians(name, load)) is None:
                continue
            rows.append(
                [
                    load.title,
                    name,
                    f"{medians.requests_per_second:,.0f}",
                    f"{medians.requests_per_second * load.rows:,.0f}",
                    f"{medians.p50_ms:.2f}",
                    f"{medians.p99_ms:.2f}",
                    f"{medians.cpu_microseconds:,.0f}",
                    str(medians.failures),
                ]
            )
    return markdown([*header, "failures"], rows)


def footprint_table(results: Results) -> str:
    """List what each subject takes when nobody asks it anything."""
    header = ["subject", "ready after s", "PSS MiB", "PSS MiB after the loads", "idle CPU"]
    rows = []
    for name, visits in results.visits.items():
        seen = [visit.footprint for visit in visits if visit.footprint.idle_cpu is not None]
        if seen:
            rows.append([name, *_footprint_cells(seen)])
    return markdown(header, rows)


def _footprint_cells(seen: Sequence[Footprint]) -> list[str]:
    return [
        f"{statistics.median(one.ready_seconds for one in seen):.2f}",
        f"{statistics.median(one.pss_bytes for one in seen) / MEBIBYTE:.0f}",
        f"{statistics.median(one.loaded_pss_bytes for one in seen) / MEBIBYTE:.0f}",
        f"{statistics.median(one.idle_cpu or 0 for one in seen):.2%}",
    ]


def report(results: Results) -> str:
    """Write every table that has something to say."""
    parts = []
    if len(results.visits) > 1 and results.loads():
        parts += [rate_ratios(results), cost_ratios(results)]
    if results.raw:
        parts.append(share_table(results))
    if (ratio := score_ratio(results)) is not None:
        parts.append(ratio)
    if results.loads():
        parts.append(absolute_table(results))
    if any(one.footprint.idle_cpu is not None for all_ in results.visits.values() for one in all_):
        parts.append(footprint_table(results))
    parts += [f"{what}: left out; {reason}" for what, reason in results.problems.items()]
    return "\n\n".join(parts)
