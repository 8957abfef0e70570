"""Tables say what was measured: medians of rounds, ratios in the stated direction."""

import pytest

from benchmarks.serving.generator import Traffic
from benchmarks.serving.loads import LOADS, Load
from benchmarks.serving.raw_onnxruntime import RawRun
from benchmarks.serving.tables import (
    Results,
    cost_ratios,
    footprint_table,
    markdown,
    rate_ratios,
    report,
    share_table,
)
from benchmarks.serving.visits import Footprint, Measured, Visit

BY_KEY = {load.key: load for load in LOADS}
JSON_ROW, JSON_ROWS = BY_KEY["json-1x64"], BY_KEY["json-64x8"]
SCORED, BINARY = BY_KEY["score-json-64x8"], BY_KEY["binary-64x8"]


def visit(idle_cpu: float | None = None, **rates: int) -> Visit:
    footprint = Footprint(1.5, 100 * 2**20, 120 * 2**20, idle_cpu)
    measured = {
        BY_KEY[key.replace("_", "-")]: Measured(
            Traffic(rate * 2, 2.0, 0, 1000 / rate, 5000 / rate), cpu_seconds=1.0
        )
        for key, rate in rates.items()
    }
    return Visit(footprint, measured)


def cells(table: str, load: Load) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {load.title} ")]
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def test_columns_line_up() -> None:
    assert markdown(["a", "long name"], [["first", "1"], ["b", "22"]]) == (
        "| a     | long name |\n|-------|-----------|\n| first | 1         |\n| b     | 22        |"
    )


def test_a_subject_stands_for_the_median_of_its_rounds() -> None:
    results = Results({"ours": [visit(json_1x64=rate) for rate in (100, 900, 300)]})
    medians = results.medians("ours", JSON_ROW)
    assert medians is not None
    assert medians.requests_per_second == 300
    assert (medians.p50_ms, medians.p99_ms) == (
        pytest.approx(1000 / 300),
        pytest.approx(5000 / 300),
    )
    assert medians.cpu_microseconds == pytest.approx(1e6 / 600)


def test_failures_of_all_rounds_are_added_up() -> None:
    rounds = [
        Visit(Footprint(1, 1, 1, None), {JSON_ROW: Measured(Traffic(10, 1, failures, 1, 1), 1)})
        for failures in (2, 0, 3)
    ]
    medians = Results({"ours": rounds}).medians("ours", JSON_ROW)
    assert medians is not None
    assert medians.failures == 5


def test_ratios_are_ours_over_theirs_in_requests_and_theirs_over_ours_in_cost() -> None:
    results = Results(
        {
            "ours": [visit(json_1x64=1000, json_64x8=90)],
            "fast": [visit(json_1x64=2000)],
            "slow": [visit(json_1x64=250, json_64x8=45)],
        }
    )
    assert cells(rate_ratios(results), JSON_ROW) == ["0.50x", "4.00x"]
    assert cells(rate_ratios(results), JSON_ROWS) == ["-", "2.00x"]
    assert cells(cost_ratios(results), JSON_ROW) == ["0.50x", "4.00x"]


def test_a_subject_that_answered_nothing_has_no_ratio() -> None:
    dead = Visit(
        Footprint(1, 1, 1, None),
        {JSON_ROW: Measured(Traffic(5, 1, failures=5, p50_ms=0, p99_ms=0), 1)},
    )
    results = Results({"ours": [visit(json_1x64=10)], "dead": [dead]})
    assert cells(rate_ratios(results), JSON_ROW) == ["-"]


def test_the_share_of_raw_counts_rows_and_processor_time() -> None:
    raw = [RawRun(10_000, 1000), RawRun(12_800, 2000), RawRun(99_999, 9000)]
    results = Results({"ours": [visit(binary_64x8=100, json_1x64=9)]}, raw={"dense": raw})
    assert cells(share_table(results), BINARY) == ["50%", "6,400", "12,800", "40%"]
    assert JSON_ROW.title not in share_table(results)


def test_scores_are_set_against_reconstructions() -> None:
    results = Results({"ours": [visit(json_64x8=100, score_json_64x8=172)]})
    assert "ours, JSON, 64 rows: /anomaly-score has 1.72x the requests/s" in report(results)
    assert SCORED.title in report(results)


def test_a_footprint_is_listed_where_idleness_was_waited_for() -> None:
    results = Results({"ours": [visit(idle_cpu=0.004), visit(idle_cpu=None)], "other": [visit()]})
    assert footprint_table(results).splitlines()[2:] == [
        "| ours    | 1.50          | 100     | 120                     | 0.40%    |"
    ]


def test_what_could_not_be_measured_is_said() -> None:
    results = Results({"ours": [visit(json_1x64=10)], "peer": []}, problems={"peer, dense": "no"})
    assert report(results).endswith("peer, dense: left out; no")
