"""How many architectures per second a space prices in closed form, on one core.

A search under limits prices every candidate, and rejection prices thousands: at least 10,000 a
second are wanted. Seconds are of processor time, so that a busy machine does not count.
Run: python benchmarks/costs_per_second.py
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from hydra import compose, initialize_config_dir

from collm_nas.run import build
from collm_nas.searchspace.base import SearchSpace

CONF = Path(__file__).parents[1] / "conf"
PRICED, DRAWN, REPEATS = 5_000, 200, 5


def main() -> None:
    print("| space | costs per second | draws within the cheapest twentieth per second |")
    print("|---|---|---|")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for option in sorted(path.stem for path in (CONF / "searchspace").glob("[!_]*.yaml")):
            costs, draws = measure(build(compose("search", [f"searchspace={option}"]).searchspace))
            print(f"| {option} | {costs:,.0f} | {draws:,.0f} |")


def measure(space: SearchSpace) -> tuple[float, float]:
    """Return how many architectures a second are priced, and drawn within a tight limit."""
    rng = random.Random(0)
    archs = [space.sample(rng) for _ in range(PRICED)]
    costs = sorted(space.costs(arch)["macs"] for arch in archs)
    limits = [("macs", None, costs[PRICED // 20])]
    space.sample_within(rng, limits)  # what is counted once is not the question
    pricing = rate(lambda: [space.costs(arch) for arch in archs], PRICED)
    return pricing, rate(lambda: [space.sample_within(rng, limits) for _ in range(DRAWN)], DRAWN)


def rate(work: Callable[[], object], count: int) -> float:
    """Return how many of `count` items a second are done, the median of several tries."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return count / statistics.median(seconds)


if __name__ == "__main__":
    main()
