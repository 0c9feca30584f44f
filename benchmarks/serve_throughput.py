"""Images a second of `cot serve` with many clients at once, against decoding and classifying the
same images one by one without a server.

    cd <project with a fine-tuned method> && python benchmarks/serve_throughput.py photos
"""

import argparse
import re
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import requests

from pipeline import params
from pipeline.artifacts import Store
from pipeline.common.project import project_root
from pipeline.deployment.images import find_images, square_of
from pipeline.deployment.target_model import load_target_model, trained_method


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
    model = load_target_model(store, values, trained_method(store, values, None))

    def bare() -> float:
        begin = time.perf_counter()
        for data in images:
            model.probabilities(square_of(data, model.stored_size, 50_000_000)[None])
        return len(images) / (time.perf_counter() - begin)

    server = subprocess.Popen(
        ["cot", "serve", "--port", "0"], stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert server.stderr
    url = next(
        found[1] for line in server.stderr if (found := re.search(r"at (http://\S+);", line))
    )

    def ask(data: bytes) -> int:
        return requests.post(f"{url}/predict", data=data, timeout=60).status_code

    def served() -> float:
        begin = time.perf_counter()
        with ThreadPoolExecutor(given.clients) as pool:
            assert set(pool.map(ask, images)) == {200}
        return len(images) / (time.perf_counter() - begin)

    served()
    rounds = [(bare(), served()) for _ in range(given.rounds)]
    server.terminate()
    for name, rates in zip(("bare loop", "served"), zip(*rounds, strict=True), strict=True):
        print(f"{name}: {statistics.median(rates):.1f} images/s")
    print(f"ratio, median of {given.rounds}: {statistics.median(s / b for b, s in rounds):.2f}")


if __name__ == "__main__":
    main()
