"""Sends a digit through the bottleneck of an autoencoder in two steps, as NumPy arrays.

Shows `.npy` bodies both ways, in which no number becomes text; options as query parameters; and
what 30 numbers keep of 784 pixels.

    python examples/encode_and_decode.py [--url http://localhost:8000]
"""

import argparse
import io
import json
from pathlib import Path

import httpx
import numpy as np

MODEL = "mnist-stacked"
NPY = "application/x-npy"
DIGIT = Path(__file__).parents[1] / "docs" / "examples" / "digit.json"


def call(client: httpx.Client, path: str, rows: np.ndarray) -> np.ndarray:
    """Send rows to a call and return the rows that it answers."""
    body = io.BytesIO()
    np.save(body, rows)
    response = client.post(
        path,
        params={"model": MODEL},
        headers={"content-type": NPY, "accept": NPY},
        content=body.getvalue(),
    )
    response.raise_for_status()
    return np.load(io.BytesIO(response.content))


def main() -> None:
    """Encode, decode, and print what is left of the digit."""
    parser = argparse.ArgumentParser(description="Encode a digit and decode it again.")
    parser.add_argument("--url", default="http://localhost:8000")
    url: str = parser.parse_args().url

    digits = np.array(json.loads(DIGIT.read_bytes())["inputs"], np.float32)
    with httpx.Client(base_url=url) as client:
        codes = call(client, "/encode", digits)
        outputs = call(client, "/decode", codes)

    pixels = outputs.reshape(digits.shape)
    error = float(np.mean((pixels - digits) ** 2))
    print(f"{digits[0].size} pixels became {codes.shape[1]} numbers")
    print(f"and came back with a mean squared error of {error:.4f}")
    for line in pixels[0].reshape(28, 28)[::2]:
        print("".join(" .:*#"[int(4.99 * min(1.0, max(0.0, float(pixel))))] for pixel in line))


if __name__ == "__main__":
    main()
