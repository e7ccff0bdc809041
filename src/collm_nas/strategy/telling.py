"""What strategies tell a language model: prompt files filled with the problem and its results."""

from __future__ import annotations

import json
import math
from importlib import resources
from string import Template

from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.problem import Problem, amount, costs_of
from collm_nas.spaces.base import SearchSpace

OBJECTIVES = {"val_accuracy": "validation accuracy", "test_accuracy": "test accuracy"}
SUMMARISED = 10  # candidates that a summary shows


def render(prompt: str, **values: object) -> str:
    """Fill in `prompts/<prompt>.md`.

    Raises:
        KeyError: the file has a placeholder that `values` lacks.
    """
    template = resources.files("collm_nas.strategy").joinpath(f"prompts/{prompt}.md")
    return Template(template.read_text(encoding="utf-8").strip()).substitute(values)


def mission(problem: Problem, target: float = math.inf) -> str:
    """Say what is searched for: objective, task, limits and target."""
    limits = ""
    if problem.limits:
        bounds = ", ".join(str(limit) for limit in problem.limits)
        limits = (
            f" It must stay within: {bounds}. Architectures far below a maximum are usually "
            "weaker, so use what is allowed."
        )
    objective = OBJECTIVES.get(problem.objective, problem.objective)
    if problem.minimised:
        costs = " and ".join(problem.minimised)
        target, prompt, told = math.inf, "mission_front", {"costs": costs}
    else:
        prompt, told = "mission", {}
    reach = "" if math.isinf(target) else f" The target is more than {target}."
    task = problem.space.task
    return render(prompt, objective=objective, task=task, limits=limits, target=reach, **told)


def evaluated(record: Record, space: SearchSpace, objective: str) -> str:
    """Tell an evaluated candidate and its results in one line of JSON."""
    assert record.arch is not None
    costs = {k: amount(v) for k, v in costs_of(record.metrics, objective).items()}
    told = {
        "arch": space.encode(record.arch),
        "accuracy": round(record.metrics[objective], 2),
        **costs,
    }
    if record.verdict == "infeasible":
        told["limit missed"] = record.reason
    return json.dumps(told)


def rejected(record: Record, space: SearchSpace) -> str:
    """Tell a candidate that was not evaluated, and why, in one line of JSON."""
    told = space.encode(record.arch) if record.arch else record.text[:200]
    return json.dumps({"arch": told, "not evaluated": record.reason[:300]})


def results(round_: Round, objective: str, space: SearchSpace, with_rejected: bool) -> str:
    """Tell what became of a round, a candidate a line."""
    lines = [evaluated(r, space, objective) for r in round_.records if objective in r.metrics]
    if with_rejected:
        others = (r for r in round_.records if objective not in r.metrics)
        lines += [rejected(r, space) for r in others if r.verdict != "skipped"]
    return "\n".join(lines) or "none: no candidate could be evaluated."


def history(archive: Archive, space: SearchSpace) -> str:
    """Tell everything that was evaluated, oldest first."""
    lines = [evaluated(r, space, archive.objective) for r in archive.evaluated()]
    return "\n".join(lines) or "nothing yet: cover the space broadly."


def best(archive: Archive, problem: Problem, rounds: int) -> str:
    """Tell the best feasible candidate of the first `rounds` rounds, or all on the front."""
    if not problem.minimised:
        found = archive.best(rounds)
        return evaluated(found, problem.space, archive.objective) if found else "none yet"
    front = archive.front(problem.minimised, rounds)
    lines = [evaluated(r, problem.space, archive.objective) for r in front]
    return "\n".join(["none of these is beaten in everything:", *lines]) if lines else "none yet"


def summary(archive: Archive, problem: Problem, rounds: int) -> str:
    """Tell what the first `rounds` rounds came to, in place of their dialogue."""
    if problem.minimised:
        found = archive.front(problem.minimised, rounds)[:SUMMARISED]
    else:
        found = elite(archive, SUMMARISED, rounds)[::-1]
    lines = [evaluated(r, problem.space, archive.objective) for r in found]
    return render(
        "summary",
        rounds=rounds,
        candidates=len(list(archive.records(rounds))),
        evaluated=len(archive.evaluated(rounds)),
        shown=len(lines),
        best="\n".join(lines) or "none yet",
        next=rounds + 1,
    )


def elite(archive: Archive, count: int, rounds: int | None = None) -> list[Record]:
    """Return the `count` best feasible candidates, from worse to better."""
    return sorted(archive.feasible(rounds), key=archive.score)[-count:] if count else []


def examples(archive: Archive, space: SearchSpace, count: int, rounds: int | None = None) -> str:
    """Tell the `count` best candidates (of the first `rounds` rounds); empty if there are none.

    The best comes first and costs are left out: a small model copies the first line most.
    """
    lines = [
        f"{json.dumps(space.encode(r.arch))} {archive.score(r):.2f}%"
        for r in reversed(elite(archive, count, rounds))
        if r.arch
    ]
    return "\n".join(["", "The best architectures so far:", *lines, ""]) if lines else ""


def answer(round_: Round) -> str:
    """Retell what a Generator wrote in a round: its candidates, without the prose around them."""
    return "\n".join(r.text for r in round_.records if r.text)
