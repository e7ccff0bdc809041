"""How many architectures per second can be costed, for every space in conf/searchspace.

Searches cost 10,000 to 1,000,000 candidates that they never evaluate; the target is at least
10,000 per second on one core. Run it alone: `PYTHONPATH=src python benchmarks/costs.py`.
"""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

from omegaconf import OmegaConf

from collm_nas.config.run import build
from collm_nas.spaces.base import SearchSpace

CONF = Path(__file__).parents[1] / "conf" / "searchspace"
ARCHITECTURES, REPEATS = 2_000, 7


def costs_per_second(space: SearchSpace) -> float:
    rng = random.Random(0)
    archs = [space.sample(rng) for _ in range(ARCHITECTURES)]
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for arch in archs:
            space.costs(arch)
        seconds.append(time.perf_counter() - start)
    return ARCHITECTURES / statistics.median(seconds)


def main() -> None:
    for path in sorted(CONF.glob("*.yaml")):
        rate = costs_per_second(build(OmegaConf.load(path)))
        print(f"{path.stem:24} {rate:12,.0f} architectures/s")


if __name__ == "__main__":
    main()
