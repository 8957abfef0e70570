"""Denoises pictures of clothes and writes the clean ones into a folder.

Shows pictures in and out as they are, several requests at once over kept connections, what an error
says, and how long the model took.

    python examples/denoise_pictures.py docs/examples/noisy-boot.png [MORE.png ...] --into clean
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path

import httpx

MODEL = "fashion-denoiser"
PNG = "image/png"
CONNECTIONS = 8


async def denoise(client: httpx.AsyncClient, name: str, picture: bytes) -> bytes | None:
    """Return the clean picture, or say why there is none."""
    response = await client.post(
        "/denoise",
        params={"model": MODEL},
        headers={"content-type": PNG, "accept": PNG},
        content=picture,
    )
    if response.is_error:  # RFC 9457: what is wrong, in words
        print(f"{name}: {response.json()['detail']}", file=sys.stderr)
        return None
    took = re.search(r"inference;dur=([0-9.]+)", response.headers["server-timing"])
    print(f"{name}: clean after {took[1] if took else '?'} ms")
    return response.content


async def denoise_all(url: str, pictures: list[Path]) -> list[bytes | None]:
    """Denoise pictures side by side."""
    named = [(picture.name, picture.read_bytes()) for picture in pictures]
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, limits=limits) as client:
        return await asyncio.gather(*(denoise(client, *picture) for picture in named))


def main() -> None:
    """Denoise the pictures that are named."""
    parser = argparse.ArgumentParser(description="Denoise pictures of clothes.")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--url", default="http://localhost:8000")
    options = parser.parse_args()

    options.into.mkdir(parents=True, exist_ok=True)
    cleaned = asyncio.run(denoise_all(options.url, options.pictures))
    for picture, content in zip(options.pictures, cleaned, strict=True):
        if content is not None:
            (options.into / picture.name).write_bytes(content)
    sys.exit(1 if None in cleaned else 0)


if __name__ == "__main__":
    main()
