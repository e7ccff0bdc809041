"""The search: propose -> screen -> evaluate -> record, until the budget is spent.

This is the whole life of a candidate. Read `run_search`, then `screen`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.archive import Archive, Record, Round
from collm_nas.core.arguments import checked
from collm_nas.core.identity import identity
from collm_nas.core.problem import EvaluationFailed, Evaluator, Problem
from collm_nas.core.ranges import Count, MaybeInfinite
from collm_nas.core.strategy import Proposal, SearchStrategy

ConstraintMode = Literal["feedback", "prefilter"]


@checked
@dataclass(frozen=True)
class Budget:
    """When to stop: whichever comes first.

    Args:
        evaluations: unique legal architectures, evaluated.
        rounds: the paper's iteration limit T.
        target: stop once a feasible architecture reaches this objective (the paper's P_target).
        idle_rounds: stop after so many rounds in a row without a new evaluation.
    """

    evaluations: Count
    rounds: Count = 1000
    target: MaybeInfinite = math.inf
    idle_rounds: Count = 20

    def spent(self, archive: Archive) -> str:
        """Say why the search is over; empty if it is not."""
        best = archive.best()
        evaluations = len(archive.evaluated())
        if best is not None and archive.score(best) >= self.target:
            return f"the target of {self.target} {archive.objective} is reached"
        if evaluations >= self.evaluations:
            return f"the budget of {self.evaluations} evaluations is spent"
        if len(archive.rounds) >= self.rounds:
            return f"the limit of {self.rounds} rounds is reached"
        if _idle(archive) >= self.idle_rounds:
            return (
                f"no new architecture in the last {self.idle_rounds} rounds, only repeats and "
                f"invalid ones: the strategy is stuck after {evaluations} evaluations"
            )
        return ""


def run_search(
    problem: Problem,
    strategy: SearchStrategy,
    evaluator: Evaluator,
    archive: Archive,
    budget: Budget,
    workers: int = 1,
    constraint_mode: ConstraintMode = "feedback",
    on_round: Callable[[Archive], None] = lambda archive: None,
) -> str:
    """Extend `archive` until `budget` is spent; return why the search ended.

    `constraint_mode="feedback"` is Algorithm 1 of CoLLM-NAS: candidates that miss the limits are
    evaluated and shown to the strategy, but cannot win. `"prefilter"` does not evaluate them.

    Raises:
        ValueError: problem, evaluator and archive do not have one objective.
        OtherSearch: the archive holds the results of other settings.
    """
    _refuse_other_objectives(problem, evaluator, archive)
    archive.bind(identity(problem, strategy, evaluator, constraint_mode))
    with ThreadPoolExecutor(workers) as pool:
        while not (reason := budget.spent(archive)):
            batch = strategy.propose(archive)
            left = budget.evaluations - len(archive.evaluated())
            records = screen(batch.proposals, problem, archive, constraint_mode, left)
            done = pool.map(lambda r: _evaluate(r, evaluator, constraint_mode), records)
            archive.append(Round(len(archive.rounds), batch.note, tuple(done)))  # order is kept
            on_round(archive)
    return reason


def screen(
    proposals: Iterable[Proposal],
    problem: Problem,
    archive: Archive,
    constraint_mode: ConstraintMode,
    evaluations_left: int,
) -> list[Record]:
    """Give every proposal its verdict; the first `evaluations_left` that need it are evaluated."""
    fresh: set[Architecture] = set()
    records = []
    for proposal in proposals:
        arch = proposal.candidate
        record = _judge(proposal, problem, arch in archive.seen or arch in fresh)
        if _needs_evaluation(record, constraint_mode):
            if evaluations_left == 0:
                record = replace(record, verdict="skipped", reason="the budget is spent")
            evaluations_left = max(0, evaluations_left - 1)
        if record.arch is not None and record.verdict != "skipped":
            fresh.add(record.arch)
        records.append(record)
    return records


def _refuse_other_objectives(problem: Problem, evaluator: Evaluator, archive: Archive) -> None:
    named = {
        "evaluator.objective": evaluator.objective,
        "problem.objective": problem.objective,
        "archive.objective": archive.objective,
    }
    if len({*named.values()}) > 1:
        told = ", ".join(f"{place} is {objective!r}" for place, objective in named.items())
        raise ValueError(
            f"one metric must be measured, solved for and recorded, but {told}. The evaluator "
            "cannot measure another: Problem(…, objective=evaluator.objective) and "
            "Archive.open(path, evaluator.objective)"
        )


def _judge(proposal: Proposal, problem: Problem, is_known: bool) -> Record:
    match proposal.candidate:
        case InvalidArchitecture() as error:
            return Record("invalid", None, reason=str(error), text=proposal.text)
        case arch:
            costs = dict(problem.hardware.costs(arch))
    if is_known:
        return Record("duplicate", arch, costs, "was proposed before", proposal.text)
    if violations := problem.violations(costs):
        return Record("infeasible", arch, costs, violations, proposal.text)
    return Record("feasible", arch, costs, text=proposal.text)


def _needs_evaluation(record: Record, constraint_mode: ConstraintMode) -> bool:
    return record.verdict == "feasible" or (
        record.verdict == "infeasible" and constraint_mode == "feedback"
    )


def _evaluate(record: Record, evaluator: Evaluator, constraint_mode: ConstraintMode) -> Record:
    if not _needs_evaluation(record, constraint_mode):
        return record
    assert record.arch is not None
    try:
        metrics = {**record.metrics, **evaluator.evaluate(record.arch)}
        return replace(record, metrics=metrics, protocol=evaluator.protocol)
    except EvaluationFailed as error:
        return replace(record, verdict="failed", reason=str(error))


def _idle(archive: Archive) -> int:
    """Count the last rounds in a row in which nothing was evaluated."""
    idle = 0
    for round_ in reversed(archive.rounds):
        if any(archive.objective in r.metrics for r in round_.records):
            break
        idle += 1
    return idle
