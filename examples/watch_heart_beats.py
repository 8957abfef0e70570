"""Watches a stream of heart beats and prints those that are not normal.

Shows the way from lines of a table to decisions: rows go out in batches with their ids, the
service judges them at a false-positive rate, and each id comes back with its p-value. A row that
the service rejects is reported and left out; the rest of its batch is judged.

    python examples/watch_heart_beats.py --rate 0.05 < docs/examples/beats.csv

Each line is an id and 140 values, separated by commas.
"""

import argparse
import csv
import math
import re
import sys
from collections.abc import Iterator
from itertools import islice

import httpx

MODEL = "ecg5000"
ROW = re.compile(r"/inputs/(\d+)")


def anomalies(
    client: httpx.Client, beats: list[list[str]], rate: float
) -> Iterator[tuple[str, float]]:
    """Yield the id and the p-value of each beat that is not normal."""
    if not beats:
        return
    response = client.post(
        "/anomaly-score",
        json={
            "model": MODEL,
            "ids": [name for name, *_ in beats],
            "inputs": [[number(text) for text in texts] for _, *texts in beats],
            "false_positive_rate": rate,
        },
    )
    if rejected := rejected_rows(response):
        for row, reason in rejected.items():
            print(f"{beats[row][0]} is left out: {reason}", file=sys.stderr)
        accepted = [beat for row, beat in enumerate(beats) if row not in rejected]
        yield from anomalies(client, accepted, rate)
        return
    response.raise_for_status()
    answer = response.json()
    for name, p_value, anomaly in zip(
        answer["ids"], answer["p_values"], answer["anomalies"], strict=True
    ):
        if anomaly:
            yield name, p_value


def number(text: str) -> float | str:
    """Read a number; leave what JSON has no number for to the service, which names its row."""
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def rejected_rows(response: httpx.Response) -> dict[int, str]:
    """Return the reason for each row that a 422 names."""
    if response.status_code != httpx.codes.UNPROCESSABLE_ENTITY:
        return {}
    errors = [(ROW.match(error["pointer"]), error["detail"]) for error in response.json()["errors"]]
    return {int(found[1]): detail for found, detail in errors if found}


def main() -> None:
    """Judge the beats of the standard input batch by batch."""
    parser = argparse.ArgumentParser(description="Print the heart beats that are not normal.")
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--rate", type=float, default=0.01, help="share of false alarms")
    parser.add_argument("--batch", type=int, default=32, help="beats of a request")
    options = parser.parse_args()

    lines = csv.reader(sys.stdin)
    with httpx.Client(base_url=options.url) as client:
        while beats := list(islice(lines, options.batch)):
            for name, p_value in anomalies(client, beats, options.rate):
                print(f"{name} is abnormal: p = {p_value:.4f}", flush=True)


if __name__ == "__main__":
    main()
