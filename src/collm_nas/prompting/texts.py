"""What a language model is told: templates filled with a problem, its space and its results.

A space is described by the template beside its module, so that a new one is a folder of its own;
all other templates are in `templates/`, a set for large models (`paper`) and one for small ones.
"""

from __future__ import annotations

import inspect
import json
import math
import random
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.problem import Problem, amount, costs_of
from collm_nas.prompting.dialect import Dialect

OBJECTIVES = {"val_accuracy": "validation accuracy", "test_accuracy": "test accuracy"}
SUMMARISED = 10  # candidates that a summary shows


def render(template: str, **values: object) -> str:
    """Fill in `templates/<template>.md`.

    Raises:
        UndefinedError: the file has a placeholder that `values` lacks.
    """
    return _environment().get_template(f"{template}.md").render(values)


def description(dialect: Dialect) -> str:
    """Describe a space: its choices, how to write an architecture, what it costs.

    The text is the template beside the module of its class, `space.md` of `space.py`, or that of
    a class it is derived from; it is given the space, its dialect and names, an example as it is
    written, and the `sample` that the example is.
    """
    sample = dialect.space.sample(random.Random(f"example/{dialect.order_seed}"))
    text = _template(_beside(type(dialect.space))).render(
        space=dialect.space,
        dialect=dialect,
        names=dialect.names,
        sample=sample,
        example=json.dumps(dialect.encode(sample)),
    )
    return text.strip()


def mission(problem: Problem, dialect: Dialect, target: float = math.inf) -> str:
    """Say what is searched for: objective, task, limits and target."""
    return render(
        "mission",
        objective=OBJECTIVES.get(problem.objective, problem.objective),
        task=dialect.task,
        costs=problem.minimised,
        limits=problem.limits,
        target=None if math.isinf(target) or problem.minimised else target,
    )


# -- results, a candidate a line ----------------------------------------------------------------


def evaluated(record: Record, dialect: Dialect, objective: str) -> str:
    """Tell an evaluated candidate and its results in one line of JSON."""
    assert record.arch is not None
    costs = {k: amount(v) for k, v in costs_of(record.metrics, objective).items()}
    told = {
        "arch": dialect.encode(record.arch),
        "accuracy": round(record.metrics[objective], 2),
        **costs,
    }
    if record.verdict == "infeasible":
        told["limit missed"] = record.reason
    return json.dumps(told)


def results(
    round_: Round, objective: str, dialect: Dialect, with_rejected: bool = False
) -> list[str]:
    """Tell what became of a round: the evaluated candidates, then, on request, the others."""
    lines = [evaluated(r, dialect, objective) for r in round_.records if objective in r.metrics]
    for record in round_.records if with_rejected else ():
        if objective not in record.metrics and record.verdict != "skipped":
            told = dialect.encode(record.arch) if record.arch else record.text[:200]
            lines.append(json.dumps({"arch": told, "not evaluated": record.reason[:300]}))
    return lines


def history(archive: Archive, dialect: Dialect, last: int | None = None) -> list[str]:
    """Tell what was evaluated in the `last` rounds (None: in all), oldest first."""
    rounds = archive.rounds[-last:] if last else archive.rounds
    return [line for r in rounds for line in results(r, archive.objective, dialect)]


def best(archive: Archive, problem: Problem, dialect: Dialect, rounds: int) -> list[str]:
    """Tell the best feasible candidate of the first `rounds` rounds, or all on the front."""
    if problem.minimised:
        found = archive.front(problem.minimised, rounds)
    else:
        found = [record for record in [archive.best(rounds)] if record]
    return [evaluated(r, dialect, archive.objective) for r in found]


def summary(archive: Archive, problem: Problem, dialect: Dialect, rounds: int) -> str:
    """Tell what the first `rounds` rounds came to, in place of their dialogue."""
    if problem.minimised:
        found = archive.front(problem.minimised, rounds)[:SUMMARISED]
    else:
        found = elite(archive, SUMMARISED, rounds)[::-1]
    return render(
        "summary",
        rounds=rounds,
        candidates=len(list(archive.records(rounds))),
        evaluated=len(archive.evaluated(rounds)),
        best=[evaluated(r, dialect, archive.objective) for r in found],
    )


def elite(archive: Archive, count: int, rounds: int | None = None) -> list[Record]:
    """Return the `count` best feasible candidates, from worse to better."""
    return sorted(archive.feasible(rounds), key=archive.score)[-count:] if count else []


def examples(
    archive: Archive, dialect: Dialect, count: int, rounds: int | None = None
) -> list[str]:
    """Tell the `count` best candidates (of the first `rounds` rounds), architecture and accuracy.

    The best comes first and costs are left out: a small model copies the first line most.
    """
    return [
        f"{json.dumps(dialect.encode(r.arch))} {archive.score(r):.2f}%"
        for r in reversed(elite(archive, count, rounds))
        if r.arch
    ]


def answer(round_: Round) -> str:
    """Retell what a Generator wrote in a round: its candidates, without the prose around them."""
    return "\n".join(r.text for r in round_.records if r.text)


# -- templates ----------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"json": json.dumps, "ranges": ranges}
    environment.globals |= {"min": min, "max": max, "sorted": sorted, "runs": runs}
    return environment


@cache
def _template(path: Path) -> Template:
    return _environment().from_string(path.read_text(encoding="utf-8"))


def _beside(kind: type) -> Path:
    """Return the text beside the module of a class, or of the nearest base that has one."""
    for cls in kind.__mro__:
        try:
            text = Path(inspect.getfile(cls)).with_suffix(".md")
        except (TypeError, OSError):  # it was typed into a shell or a notebook
            continue
        if text.exists():
            return text
    raise FileNotFoundError(f"no text describes {kind.__name__}")


def ranges(numbers: Iterable[int]) -> str:
    """Write ascending numbers in short: `1-3, 5, 7-8`."""
    written = []
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        first, *others = (number for _, number in run)
        written.append(f"{first}-{others[-1]}" if others else str(first))
    return ", ".join(written)


def runs(values: Iterable[Any]) -> list[tuple[Any, Sequence[int]]]:
    """List the runs of equal values, each with the positions at which they stand."""
    grouped = groupby(enumerate(values), key=lambda pair: pair[1])
    return [(value, [position for position, _ in run]) for value, run in grouped]
