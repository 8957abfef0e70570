"""Many clients at once, and every answer compared with the one that request got alone.

    python -m benchmarks.soak [--url http://127.0.0.1:8000] [--clients 32] [--seconds 60]

Needs a running service, with any bundles. The requests mix models, calls, sizes, media types and
mistakes; each is made once by itself first. One client in twenty closes its connection before the
answer has come. Ends with status 1 when an answer differs.
"""

import argparse
import asyncio
import collections
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx
import numpy as np
from PIL import Image

JSON = "application/json"
NPY = "application/x-npy"
RAW = "application/octet-stream"
PNG = "image/png"
PROBLEM = "application/problem+json"

ROW_COUNTS = (1, 2, 7, 100)
TIMEOUT_SECONDS = 120.0
TOLERANCE = 1e-6  # of the larger of 1 and the largest value: what batches of other sizes round
MAX_DIFFERENCES = 20
SEED = 81
IMPATIENT_SHARE = 0.05
MAX_PATIENCE_SECONDS = 0.02


@dataclass(frozen=True)
class Request:
    """A request, and what it is about where that can be said.

    Attributes:
        name: What it is, in words.
        path: Path and query.
        headers: Its headers.
        content: Its body.
        model: The model it is for.
        call: The call it makes.
        rows: The rows it sends.
        method: HTTP method.
    """

    name: str
    path: str
    headers: dict[str, str]
    content: bytes
    model: str = ""
    call: str = ""
    rows: np.ndarray | None = None
    method: str = "POST"


@dataclass(frozen=True)
class Answer:
    """What of an answer must be the same every time."""

    status: int
    media_type: str
    body: bytes


@dataclass
class Report:
    """What many clients saw.

    Attributes:
        statuses: How often each status came.
        differences: Answers that were not those of the same request alone, in words.
        abandoned: Requests whose client did not wait for the answer.
        seconds: How long it took.
    """

    statuses: collections.Counter[int] = field(default_factory=collections.Counter[int])
    differences: list[str] = field(default_factory=list[str])
    abandoned: int = 0
    seconds: float = 0.0


def make_requests(http: httpx.Client) -> list[Request]:
    """Make requests for everything that a service serves, and a few mistakes.

    Args:
        http: A client of the service.
    """
    names = [
        model["name"]
        for model in http.get("/models").raise_for_status().json()["models"]
        if model["default_version"] is not None
    ]
    described = [http.get(f"/models/{name}").raise_for_status().json() for name in names]
    plain = [model["name"] for model in described if not model["manifest"]["conditions"]]
    requests = [request for model in described for request in _requests_of(model)]
    return [*requests, *_mistakes(plain[0])]


def _requests_of(described: dict[str, Any]) -> Iterator[Request]:
    example, manifest = described["example_request"], described["manifest"]
    capabilities, shape = described["capabilities"], manifest["input"]["shape"]
    base = {"model": described["name"], "conditions": example.get("conditions")}
    base = {name: value for name, value in base.items() if value is not None}
    is_image = manifest["input"]["kind"] == "image"
    for count in ROW_COUNTS:
        rows = _rows(manifest, count)
        codes = _random(count).standard_normal((count, *manifest["code"]["shape"]))
        for call in capabilities:
            if call == "sample":
                yield from _sample_requests(base, count, is_image=is_image)
            elif call == "decode":
                yield from _row_requests(call, base, codes.astype(np.float32), "codes")
            elif rows is not None:
                yield from _row_requests(call, base, rows, "inputs")
    if is_image and "reconstruct" in capabilities:
        yield _picture_request(base, shape)
    yield _in_json("encode", base | {"inputs": example["inputs"]}, "the example")


def _random(count: int) -> np.random.Generator:
    # Rows of no calibration set: a tie with a calibration score is decided by the last bit, which
    # is another in a batch of another size.
    return np.random.default_rng((SEED, count))


def _rows(manifest: dict[str, Any], count: int) -> np.ndarray | None:
    spec = manifest["input"]
    if spec["columns"] and any(column["type"] != "numeric" for column in spec["columns"]):
        return None  # their numbers are not for making up
    if spec["kind"] == "image":
        return _random(count).random((count, *spec["shape"]), dtype=np.float32)
    example = np.array(manifest["example"], np.float32).reshape(spec["shape"])
    noise = _random(count).standard_normal((count, *spec["shape"])).astype(np.float32)
    return example + np.float32(0.1) * noise


def _row_requests(
    call: str, base: dict[str, Any], rows: np.ndarray, rows_field: str
) -> Iterator[Request]:
    conditions = base.get("conditions")
    query = f"model={base['model']}" + (
        f"&conditions={json.dumps(conditions)}" if conditions else ""
    )
    for accept in (JSON, NPY):
        headers = {"content-type": NPY, "accept": accept}
        name = f"{call} {base['model']}: {len(rows)} rows of npy to {accept}"
        yield Request(name, f"/{call}?{query}", headers, _npy(rows), base["model"], call, rows)
    headers = {"content-type": RAW, "accept": RAW}
    name = f"{call} {base['model']}: {len(rows)} rows of bare numbers"
    content = rows.astype("<f4").tobytes()
    yield Request(name, f"/{call}?{query}", headers, content, base["model"], call, rows)
    yield _in_json(call, base | {rows_field: rows.tolist()}, f"{len(rows)} rows", rows)


def _sample_requests(base: dict[str, Any], count: int, *, is_image: bool) -> Iterator[Request]:
    fields = base | {"count": count, "seed": count}
    yield _in_json("sample", fields, f"{count} samples")
    for accept in (NPY, *([PNG] if is_image else [])):
        headers = {"content-type": JSON, "accept": accept}
        name = f"sample {base['model']}: {count} rows to {accept}"
        yield Request(
            name, "/sample", headers, json.dumps(fields).encode(), base["model"], "sample"
        )


def _picture_request(base: dict[str, Any], shape: Sequence[int]) -> Request:
    pixels = _random(1).integers(0, 255, shape, np.uint8)
    stream = BytesIO()
    Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels).save(stream, "PNG")
    headers = {"content-type": PNG, "accept": PNG}
    path = f"/reconstruct?model={base['model']}"
    return Request(f"a picture of {base['model']}", path, headers, stream.getvalue())


def _in_json(
    call: str, fields: dict[str, Any], words: str, rows: np.ndarray | None = None
) -> Request:
    name = f"{call} {fields['model']}: {words} in JSON"
    headers = {"content-type": JSON}
    content = json.dumps(fields).encode()
    return Request(name, f"/{call}", headers, content, fields["model"], call, rows)


def _mistakes(model: str) -> Iterator[Request]:
    in_json, in_npy = {"content-type": JSON}, {"content-type": NPY}
    for name, path, headers, content in (
        ("broken JSON", "/encode", in_json, b'{"inputs": [[1, 2'),
        ("nested brackets", "/encode", in_json, b"[" * 100_000),
        ("no body", "/encode", in_json, b""),
        ("ragged rows", "/encode", in_json, b'{"model": "%s", "inputs": [[1], [1, 2]]}'),
        ("no rows", "/encode", in_json, b'{"model": "%s", "inputs": []}'),
        ("an unknown field", "/encode", in_json, b'{"model": "%s", "rows": [[1]]}'),
        ("an unknown model", "/encode", in_json, b'{"model": "nobody", "inputs": [[1]]}'),
        ("a truncated npy", f"/encode?model={model}", in_npy, _npy(np.zeros((3, 3)))[:-8]),
        ("another shape", f"/encode?model={model}", in_npy, _npy(np.zeros((1, 1)))),
        ("a part of a number", f"/encode?model={model}", {"content-type": RAW}, b"123"),
        ("many decimals", f"/encode?model={model}&decimals=99", in_json, b'{"inputs": [[1]]}'),
        ("too many samples", "/sample", in_json, b'{"model": "%s", "count": 1000000000}'),
        ("nothing acceptable", f"/sample?count=1&model={model}", {"accept": "text/html"}, b""),
        ("another media type", "/encode", {"content-type": "text/csv"}, b"1,2,3"),
        ("an unknown path", "/nowhere", in_json, b"{}"),
    ):
        yield Request(name, path, headers, content.replace(b"%s", model.encode()))
    yield Request("a call that is read", "/encode", {}, b"", method="GET")


def _npy(values: np.ndarray) -> bytes:
    stream = BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def make_once(http: httpx.Client, requests: Sequence[Request]) -> list[Answer]:
    """Make every request by itself, one after the other.

    Args:
        http: A client of the service.
        requests: The requests.
    """
    return [
        _answer_of(
            http.request(
                request.method, request.path, content=request.content, headers=request.headers
            )
        )
        for request in requests
    ]


def _answer_of(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers.get("content-type", ""), response.content)


async def make_together(
    url: str, requests: Sequence[Request], expected: Sequence[Answer], clients: int, seconds: float
) -> Report:
    """Let many clients make the requests at once, in random order, and compare every answer.

    Args:
        url: Address of the service.
        requests: The requests.
        expected: The answer that each got by itself.
        clients: How many clients there are, each with a connection of its own.
        seconds: How long they go on.
    """
    report = Report()
    started = time.monotonic()

    async def be_a_client(number: int) -> None:
        chooser = random.Random(number)  # noqa: S311  # no secret depends on it
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as http:
            while time.monotonic() - started < seconds:
                chosen = chooser.randrange(len(requests))
                request = requests[chosen]
                patience = None
                if chooser.random() < IMPATIENT_SHARE:
                    patience = chooser.uniform(0, MAX_PATIENCE_SECONDS)
                try:
                    async with asyncio.timeout(patience):
                        response = await http.request(
                            request.method,
                            request.path,
                            content=request.content,
                            headers=request.headers,
                        )
                except TimeoutError:
                    report.abandoned += 1
                    continue
                report.statuses[response.status_code] += 1
                if difference := compare(expected[chosen], _answer_of(response)):
                    report.differences.append(f"{request.name}: {difference}")

    await asyncio.gather(*(be_a_client(number) for number in range(clients)))
    report.seconds = time.monotonic() - started
    return report


def compare(expected: Answer, found: Answer) -> str | None:
    """Say how two answers to the same request differ, if they do.

    Numbers may differ by the rounding of another batch size; nothing else may, but for the
    request's id.
    """
    if (found.status, found.media_type) != (expected.status, expected.media_type):
        return (
            f"{found.status} {found.media_type} for {expected.status} {expected.media_type}:"
            f" {found.body[:300]!r}"
        )
    if found.body == expected.body:
        return None
    if found.media_type == RAW:
        numbers = [np.frombuffer(answer.body, "<f4") for answer in (expected, found)]
        return _compare_arrays(numbers[0], numbers[1])
    if found.media_type == NPY:
        arrays = [np.load(BytesIO(answer.body)) for answer in (expected, found)]
        return _compare_arrays(arrays[0], arrays[1])
    if found.media_type == PNG:
        pixels = [np.asarray(Image.open(BytesIO(answer.body))) for answer in (expected, found)]
        return None if _nearly(pixels[0] / 255, pixels[1] / 255, 1 / 255) else "another picture"
    documents = [json.loads(answer.body) for answer in (expected, found)]
    for document in documents:
        document.pop("request_id", None)
    return _compare_values(documents[0], documents[1])


def _compare_arrays(expected: np.ndarray, found: np.ndarray) -> str | None:
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return f"{found.dtype} {found.shape} for {expected.dtype} {expected.shape}"
    for name in expected.dtype.names or ():
        if difference := _compare_arrays(expected[name], found[name]):
            return f"{name}: {difference}"
    if expected.dtype.names:
        return None
    return None if _nearly(expected, found) else "other values"


def _compare_values(expected: Any, found: Any) -> str | None:
    if isinstance(expected, dict) and isinstance(found, dict) and list(expected) == list(found):
        for name, value in expected.items():
            if difference := _compare_values(value, found[name]):
                return f"{name}: {difference}"
        return None
    if expected == found:
        return None
    try:
        arrays = np.array(expected, np.float64), np.array(found, np.float64)
    except (ValueError, TypeError):
        return f"{found!r} for {expected!r}"
    return None if arrays[0].shape == arrays[1].shape and _nearly(*arrays) else "other values"


def _nearly(expected: np.ndarray, found: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    if expected.dtype == np.bool_:
        return bool((expected == found).all())
    largest = max(1.0, float(np.abs(expected).max(initial=0)))
    return float(np.abs(found - expected).max(initial=0)) <= tolerance * largest


def main() -> None:
    """Read the command line, let the clients loose and print what they saw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with httpx.Client(base_url=options.url, timeout=TIMEOUT_SECONDS) as http:
        requests = make_requests(http)
        expected = make_once(http, requests)
    report = asyncio.run(
        make_together(options.url, requests, expected, options.clients, options.seconds)
    )
    answers = report.statuses.total()
    print(f"{len(requests)} requests, {options.clients} clients, {report.seconds:.1f} s")
    print(f"{answers} answers, {answers / report.seconds:.0f} a second")
    print(", ".join(f"{count} of {status}" for status, count in sorted(report.statuses.items())))
    print(f"{report.abandoned} requests whose client left before the answer")
    print(f"{len(report.differences)} answers differ from the same request alone")
    for difference in report.differences[:MAX_DIFFERENCES]:
        print(f"  {difference}")
    sys.exit(1 if report.differences else 0)


if __name__ == "__main__":
    main()
