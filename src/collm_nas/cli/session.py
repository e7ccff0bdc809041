"""One search from its config: build the parts, connect them, run, report.

Repeating it continues the run in its directory; a finished run only reports again.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from collm_nas.cli.preflight import all_of, require_logins, require_room, with_keys
from collm_nas.cli.roles import build_models, build_strategy
from collm_nas.config.binding import MODELS, with_models
from collm_nas.config.run import Fruitless, Stopped, UserError, build, environment, open_run
from collm_nas.core.architecture import Architecture, NothingFeasible
from collm_nas.core.archive import Archive, OtherSearch, RoundLine
from collm_nas.core.files import Journal, write_atomically
from collm_nas.core.printable import say
from collm_nas.core.problem import (
    Cautious,
    CountsImages,
    Evaluator,
    Problem,
    costs_of,
    parse_limits,
    parse_reference,
)
from collm_nas.core.search import Budget, run_search
from collm_nas.core.strategy import SearchStrategy
from collm_nas.data.base import BrokenImage, DataUnavailable
from collm_nas.evaluator.cache import CachedEvaluator
from collm_nas.llm.base import CapReached, ChatModel, ContextFull, LLMUnavailable
from collm_nas.llm.ledger import Caps, Ledger
from collm_nas.logger.base import LoggedRun, Loggers
from collm_nas.logger.snapshot import snapshots
from collm_nas.report import pareto
from collm_nas.report.console import Progress, Silent
from collm_nas.report.integrity import check_files, read_result
from collm_nas.report.next_command import evaluation_of, next_command
from collm_nas.report.ranking import ranked
from collm_nas.report.summary import STAND_IN, print_summary, summarise, summary_line
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.benchmark import Benchmark

# what results depend on: it may not change between two visits of a run
FIXED = (
    *("searchspace", "hardware", "evaluator", "strategy"),
    *("limits", "pareto", "constraint_mode", "seed"),
)
FILES = ("result.json", "archive.jsonl", "evaluations.jsonl", "llm_calls.jsonl", "rounds.csv")
RESULTS = ("archive.jsonl", "evaluations.jsonl", "llm_calls.jsonl")


@dataclass(frozen=True)
class Parts:
    """Everything that a search is made of."""

    problem: Problem
    strategy: SearchStrategy
    evaluator: CachedEvaluator
    archive: Archive
    budget: Budget
    ledger: Ledger
    models: Mapping[str, ChatModel]


def run(cfg: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Run or continue the search that `cfg` describes; return its result.

    Raises:
        Stopped: a cap was reached, a model did not answer, or the user interrupted.
        Fruitless: the search is over, and not one answer could be read.
        UserError: the configuration does not work, or the run directory belongs to another one.
    """
    cfg = with_models(cfg)
    with open_run(cfg, run_dir, FIXED, RESULTS, partial(_also_free, cfg, run_dir)):
        write_atomically(run_dir / "environment.json", json.dumps(environment(), indent=2))
        parts = build_parts(cfg, run_dir)
        evaluator = parts.evaluator.evaluator
        cautions = evaluator.cautions if isinstance(evaluator, Cautious) else ()
        for caution in cautions:
            say(f"WARNING: {caution}.", stream=sys.stderr)
        start = time.monotonic()
        stopped, finished = _search(cfg, run_dir, parts)
        totals = parts.ledger.totals()
        result = summarise(
            parts.problem,
            parts.archive,
            totals,
            strategy=cfg.choices.strategy,
            llm=label(parts.models, parts.ledger),
            protocol=parts.evaluator.protocol,
            stopped=stopped,
            finished=finished,
            seconds={
                "this visit": time.monotonic() - start,
                "LLM": totals.seconds,
                "evaluation": parts.evaluator.seconds,
            },
            rank=_rank(evaluator, parts.archive),
            counted=evaluator if isinstance(evaluator, CountsImages) else None,
            cautions=cautions,
        )
        if parts.archive.evaluated() or finished:
            _report(run_dir, result, parts, cfg.report)
    if not finished:
        raise Stopped(stopped, run_dir)
    _refuse_unreadable(parts.archive, run_dir)
    return result


def _also_free(cfg: DictConfig, run_dir: Path, old: DictConfig) -> list[str]:
    """Name settings that no result in `run_dir` depends on, or that are to change on request.

    Raises:
        CorruptFile: a file of the run is damaged.
    """
    if cfg.get("continue_with"):
        return [f"{MODELS}*"]
    ledger = Ledger(run_dir / "llm_calls.jsonl")
    unasked = [role for role in old.strategy.get("models") or {} if not ledger.models(role)]
    rounds = len(Journal(run_dir / "archive.jsonl", RoundLine).entries)
    bounded = min(_first_bounded(config.strategy) for config in (old, cfg))
    memory = ["strategy.memory_rounds", "strategy.memory_from"] if rounds <= bounded else []
    return [*memory, *(f"{MODELS}{role}.*" for role in unasked)]


def _first_bounded(strategy: DictConfig) -> float:
    """Return after how many rounds a dialogue is told less than all of them."""
    rounds = strategy.get("memory_rounds")
    return max(rounds + 1, strategy.get("memory_from") or 0) if rounds else math.inf


def _refuse_unreadable(archive: Archive, run_dir: Path) -> None:
    """See whether the models wrote a single architecture.

    Raises:
        Fruitless: they did not; the message says what they wrote instead.
    """
    records = list(archive.records())
    if not records or any(record.verdict != "invalid" for record in records):
        return
    last = records[-1]
    begins = f" It begins: {last.text[:200]!r}" if last.text else ""
    raise Fruitless(
        f"in {len(archive.rounds)} rounds the model wrote not one architecture. Its last answer: "
        f"{last.reason}.{begins}\nAll of them, whole: {run_dir / 'llm_calls.jsonl'}"
    )


def next_step(cfg: DictConfig, run_dir: Path, result: Mapping[str, Any]) -> str:
    """Say what to type after a finished search: its best evaluated, or else runs compared."""
    if result["best"] and (found := evaluation_of(cfg, run_dir)):
        return found
    return next_command("compare.py", runs=[run_dir if cfg.run_dir else run_dir.parent])


def build_parts(cfg: DictConfig, run_dir: Path) -> Parts:
    """Build all parts of a search from its config.

    Raises:
        UserError: a setting is wrong, or a file of the run is damaged.
    """
    try:
        space: SearchSpace = build(cfg.searchspace)
        is_new = not (run_dir / "archive.jsonl").exists()
        inner, models, *_ = all_of(
            lambda: build(cfg.evaluator, space=space),
            lambda: with_keys(build_models(cfg.strategy), is_new),
            lambda: require_logins(cfg.logger),
            lambda: require_room(run_dir),
        )
        evaluator = CachedEvaluator(inner, run_dir / "evaluations.jsonl")
        problem = build_problem(cfg, space, evaluator.objective)
        ledger = Ledger(run_dir / "llm_calls.jsonl", Caps(**_llm_caps(cfg.caps)))
        archive = Archive.open(run_dir / "archive.jsonl", problem.objective)
        for record in check_files(run_dir, read_result(run_dir), archive):
            costs = costs_of(record.metrics, problem.objective)
            found = {n: x for n, x in record.metrics.items() if n not in costs}
            assert record.arch is not None
            evaluator.keep(record.arch, found, 0.0)
        return Parts(
            problem,
            build_strategy(cfg.strategy, problem, ledger, models),
            evaluator,
            archive,
            Budget(**cfg.budget),
            ledger,
            models,
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def build_problem(cfg: DictConfig, space: SearchSpace, objective: str) -> Problem:
    """Build what is to be solved; refuse limits and trade-offs on costs that do not exist."""
    hardware = build(cfg.hardware, space=space)
    limits = OmegaConf.to_container(cfg.limits, resolve=True)
    assert isinstance(limits, dict)
    any_costs = hardware.costs(space.sample(random.Random(0)))
    named = {str(metric): bounds for metric, bounds in limits.items()}
    reference = parse_reference(cfg.pareto and dict(cfg.pareto), any_costs, objective)
    return Problem(space, hardware, parse_limits(named, any_costs), objective, reference)


def label(models: Mapping[str, ChatModel], ledger: Ledger) -> str:
    """Name the models as every output must: what is not a language model says so.

    All that answered in a role are named, the first one first, and scripted ones that did so in the
    place of `models`.
    """
    names = {}
    for role, model in models.items():
        asked = ledger.models(role)
        if model.name in asked or not asked:
            asked[model.name] = model.is_language_model
        names[role] = ", then ".join(
            name if real else STAND_IN.format(name=name) for name, real in asked.items()
        )
    told = ", ".join(f"{role}: {name}" for role, name in names.items())
    if len(set(names.values())) <= 1:
        told = next(iter(names.values()), "")
    if unmarked := [name for name in ledger.stand_ins() if name not in told]:
        told += f", answered by {STAND_IN.format(name=', '.join(unmarked))}"
    return told


def _search(cfg: DictConfig, run_dir: Path, parts: Parts) -> tuple[str, bool]:
    """Search until the end or a stop; return why it ended and whether it is finished."""
    archive, done = parts.archive, len(parts.archive.evaluated())
    if done and cfg.report == "full":
        say(f"continuing {run_dir}: {len(archive.rounds)} rounds, {done} evaluations are done")
    settings = cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True))
    seen = snapshots(archive, parts.ledger.totals, parts.evaluator.protocol)
    past = [snapshot.metrics() for snapshot in seen[1:]]
    start = time.monotonic()
    title = f"{cfg.choices.strategy} on {cfg.choices.searchspace} -> {run_dir}"
    show = Progress(title, parts.budget.evaluations, done) if cfg.report == "full" else Silent()
    logged = LoggedRun(run_dir, len(past) - 1, settings, past)
    with Loggers.build(cfg.logger, logged) as loggers, show as progress:

        def on_round(archive: Archive) -> None:
            totals = parts.ledger.totals(len(archive.rounds))
            seen.append(seen[-1].after(archive.rounds[-1], archive.objective, totals))
            progress.show(seen[-1])
            loggers.log(seen[-1].metrics(), seen[-1].round)
            _check_wall_time(cfg.caps.wall_seconds, time.monotonic() - start)

        try:
            reason = run_search(
                parts.problem,
                parts.strategy,
                parts.evaluator,
                archive,
                parts.budget,
                cfg.workers,
                cfg.constraint_mode,
                on_round,
            )
        except (NothingFeasible, OtherSearch) as error:
            raise UserError(str(error)) from error
        except (DataUnavailable, BrokenImage) as error:
            raise UserError(str(error), run_dir) from error
        except ContextFull as stop:
            return f"{stop}{_shorter_memory(cfg, len(archive.rounds))}", False
        except (CapReached, LLMUnavailable) as stop:
            return str(stop), False
        except KeyboardInterrupt:
            return "interrupted", False
        loggers.log_archive(archive)
    return reason, True


def _shorter_memory(cfg: DictConfig, rounds: int) -> str:
    """Say how a strategy that was told all `rounds` so far may go on with less."""
    if "memory_rounds" not in cfg.strategy or cfg.strategy.memory_rounds or rounds < 2:
        return ""
    return (
        f"\nSo that the dialogue grows no further: strategy.memory_rounds={rounds // 2} "
        f"strategy.memory_from={rounds}. From here on the strategy is told the last "
        f"{rounds // 2} rounds in full and a summary of those before."
    )


def _llm_caps(caps: DictConfig) -> dict[str, Any]:
    return {str(name): cap for name, cap in caps.items() if name != "wall_seconds"}


def _check_wall_time(cap: float | None, seconds: float) -> None:
    if cap is not None and seconds >= cap:
        raise CapReached(f"caps.wall_seconds is reached: {seconds:.0f} of {cap:g} seconds are over")


def _rank(evaluator: Evaluator, archive: Archive) -> dict[str, float]:
    """Compare the best with all architectures, where a benchmark knows them all."""
    ranking = ranked(archive.records(), archive.objective)
    if not ranking or not isinstance(evaluator, Benchmark):
        return {}
    assert ranking[0].arch is not None
    return asdict(evaluator.rank(ranking[0].arch))


def _report(run_dir: Path, result: dict[str, Any], parts: Parts, extent: str) -> None:
    """Write `result.json`; in full also draw pictures, print the table and name the files."""
    write_atomically(run_dir / "result.json", json.dumps(result, indent=2, ensure_ascii=False))
    if extent == "line":
        say(summary_line(result, run_dir))
        return
    best = result["best"]
    spelling = ""
    if best:
        arch = Architecture.of(best["architecture"])
        spelling = json.dumps(parts.problem.space.encode(arch))
    print_summary(result, spelling)
    pictures = []
    if parts.archive.evaluated():
        from collm_nas.report import pictures as report

        title = result["strategy"] + (f", {result['llm']}" if result["llm"] else "")
        pictures = report.draw(parts.archive, run_dir, title)
        if parts.problem.minimised:
            picture = run_dir / "front.png"
            pictures.append(pareto.draw(parts.problem, parts.archive, picture, title))
    files = [run_dir / name for name in FILES if (run_dir / name).exists()]
    say("files:", *(f"  {path}" for path in [*files, *pictures]))
