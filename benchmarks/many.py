"""`kit download test` of very many photos from a local nginx: rate and peak memory. Slow: minutes a million.

    python -m benchmarks.many --photos 1700000

The server gives the same small photo for every id; every photo is really written.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.measure import run, table
from benchmarks.photos import HEAD, nginx

BYTES = 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__)
    parser.add_argument("--photos", type=int, default=100_000)
    count = parser.parse_args().photos
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "www").mkdir()
        (folder / "www/one.jpg").write_bytes(HEAD + b"x" * (BYTES - len(HEAD) - 2) + b"\xff\xd9")
        with (folder / "ids.csv").open("w") as file:
            file.write("ImageId,PredictionString\n")
            file.writelines(f"{i * 0x9E3779B97F4A7C15 % 2**64:016x},\n" for i in range(count))
        with nginx(folder, "location / { rewrite ^ /one.jpg break; }") as url:
            rows = [_row("all to get", url, folder), _row("all there", url, folder)]
        table(
            f"kit download test, {count:,} photos of {BYTES} bytes",
            ("", "seconds", "photos/s", "peak MB"),
            rows,
        )


def _row(name: str, url: str, folder: Path) -> list[str]:
    sets = {
        "data.root": folder / "data",
        "data.download.mirror": url,
        "data.test.ids": folder / "ids.csv",
        "data.test.images": folder / "data/test",
    }
    words = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    command = ["-m", "kit", "download", "test", "--config", "layer6", *words]
    seconds, memory = run(command)
    count = sum(1 for _ in (folder / "ids.csv").open()) - 1
    return [name, f"{seconds:.0f}", f"{count / seconds:,.0f}", f"{memory:,.0f}"]


if __name__ == "__main__":
    main()
