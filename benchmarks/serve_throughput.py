"""Images a second of `cot serve` with many clients at once, against a bare loop that decodes and
classifies the same images one by one.

    cd <project with a fine-tuned method> && python benchmarks/serve_throughput.py photos
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import requests

from pipeline import params
from pipeline.artifacts import Store
from pipeline.common.project import project_root
from pipeline.deployment.images import find_images, square_of
from pipeline.deployment.target_model import load_target_model, trained_method
from pipeline.deployment.uploads import Limits


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The address of `cot serve`."""
    with tempfile.NamedTemporaryFile("w+") as log:
        server = subprocess.Popen(["cot", "serve", "--port", "0"], stderr=log, cwd=root)
        try:
            while not (found := re.search(r"at (http://\S+);", Path(log.name).read_text())):
                if server.poll() is not None:
                    raise SystemExit(Path(log.name).read_text())
                time.sleep(0.1)
            yield found[1]
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    paths = find_images([given.images])
    images = [path.read_bytes() for path in islice(cycle(paths), given.count)]
    root = project_root()
    store, values = Store(root), params.load(root / "params.yaml")
    model = load_target_model(store, values, trained_method(store, values.fine_tune.methods, None))

    def bare() -> float:
        begin = time.perf_counter()
        for data in images:
            model.both_probabilities(square_of(data, model.stored_size, Limits.pixels)[None])
        return len(images) / (time.perf_counter() - begin)

    def served(url: str) -> float:
        def ask(data: bytes) -> int:
            return requests.post(f"{url}/predict", data=data, timeout=60).status_code

        begin = time.perf_counter()
        with ThreadPoolExecutor(given.clients) as pool:
            assert set(pool.map(ask, images)) == {200}
        return len(images) / (time.perf_counter() - begin)

    with serving(root) as url:
        served(url)
        rounds = [(bare(), served(url)) for _ in range(given.rounds)]
    for name, rates in zip(("bare loop", "served"), zip(*rounds, strict=True), strict=True):
        print(f"{name}: {statistics.median(rates):.1f} images/s")
    ratios = [served / bare for bare, served in rounds]
    print(
        f"ratio: {statistics.median(ratios):.2f}, the median of {given.rounds} "
        f"from {min(ratios):.2f} to {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
