"""The outcome of a search: `result.json` for programs, a table for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collm_nas.core.archive import Archive
from collm_nas.core.printable import printable
from collm_nas.core.problem import CountsImages, Problem, costs_of
from collm_nas.llm.ledger import Totals
from collm_nas.report import pareto
from collm_nas.report.ranking import certainty, ranked
from collm_nas.report.uncertainty import LEVEL

STAND_IN = "{name} (a scripted stand-in, NOT a language model)"


def summarise(
    problem: Problem,
    archive: Archive,
    totals: Totals,
    *,
    strategy: str,
    llm: str,
    protocol: str,
    stopped: str,
    finished: bool,
    seconds: Mapping[str, float],
    rank: Mapping[str, float],
    counted: CountsImages | None = None,
    cautions: Sequence[str] = (),
) -> dict[str, Any]:
    """Collect what a search found and what it took.

    Args:
        llm: the models as they must be named in every output; empty if there is none.
        protocol: how the candidates were evaluated.
        seconds: wall time by what it went to, of all visits.
        rank: and regret, of the best among all architectures of a benchmark, if known.
        counted: the evaluator, if its accuracies were counted on images.
        cautions: what a reader of the numbers must know.
    """
    verdicts = [r.verdict for r in archive.records()]
    ranking = ranked(archive.records(), archive.objective)
    found: dict[str, Any] = {}
    if ranking and (best := ranking[0]).arch:
        found = {
            "key": problem.space.key(best.arch),
            "architecture": best.arch.to_json(),
            "metrics": dict(best.metrics),
            **rank,
        }
    return {
        "strategy": strategy,
        "llm": llm,
        "selected_on": archive.objective,
        "protocol": protocol,
        "measured": counted.description if counted else "",
        "cautions": list(cautions),
        "best": found,
        "certainty": certainty(ranking, archive.objective, counted.images if counted else None),
        "evaluations": len(archive.evaluated()),
        "rounds": len(archive.rounds),
        "proposals": {v: verdicts.count(v) for v in sorted(set(verdicts))},
        "llm_usage": vars(totals) if totals.calls else {},
        "seconds": {k: round(v, 3) for k, v in seconds.items()},
        **pareto.outcome(problem, archive),
        "finished": finished,
        "stopped": stopped,
    }


def print_summary(result: Mapping[str, Any], spelling: str) -> None:
    """Print the table that ends a search; `spelling` is how people write the best architecture."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, title="Result", title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    for label, value in _rows(result, spelling):
        table.add_row(label, Text(printable(value)))
    Console(file=sys.stdout, soft_wrap=False).print(table)


def summary_line(result: Mapping[str, Any], run_dir: Path) -> str:
    """Write the outcome in one line."""
    best, metric = result["best"], result["selected_on"]
    found = f"{metric} {best['metrics'][metric]:.3f} {best['key']}" if best else "nothing found"
    if cautions := result["cautions"]:
        found += f" (WARNING: {'; '.join(cautions)})"
    rank = f", rank {best['rank']:,}" if "rank" in best else ""
    return f"{run_dir}: {found}{rank}, {result['evaluations']} evaluations ({result['stopped']})"


def _rows(result: Mapping[str, Any], spelling: str) -> list[tuple[str, str]]:
    metric, best, usage = result["selected_on"], result["best"], result["llm_usage"]
    rows = [("strategy", result["strategy"])]
    if result["llm"]:
        rows.append(("language model", result["llm"]))
    if metric != "val_accuracy":
        rows.append(("WARNING", f"selected on {metric}: not comparable with a clean search"))
    rows += [("WARNING", caution) for caution in result["cautions"]]
    if "front" in result:
        rows += pareto.rows(result)
    if best:
        costs = costs_of(best["metrics"], metric)
        rows += [
            ("best architecture", spelling),
            *(
                (name.replace("_", " "), f"{value:.3f}%")
                for name, value in best["metrics"].items()
                if name not in costs
            ),
            *_certainty(result),
            ("protocol", result["protocol"]),
            *([("measured on", result["measured"])] if result["measured"] else []),
            ("costs", ", ".join(f"{k} {v:,.10g}" for k, v in costs.items())),
        ]
        if "rank" in best:
            rows.append(("rank", f"{best['rank']:,} of {best['of']:,}"))
            rows.append(("regret", f"{best['regret']:.3f} points below the optimum"))
    else:
        rows.append(("best architecture", "none within the limits was found"))
    proposals = ", ".join(f"{n} {verdict}" for verdict, n in result["proposals"].items())
    rows.append(("evaluations", f"{result['evaluations']} in {result['rounds']} rounds"))
    rows.append(("proposals", proposals or "none"))
    if usage:
        rows.append(
            (
                "LLM usage",
                f"{usage['calls']} calls, {usage['input'] + usage['output']:,} tokens "
                f"({usage['reasoning']:,} reasoning), ${usage['usd']:.4f}",
            )
        )
        if usage["estimated"]:
            doubt = "whose tokens the server did not count: estimated, without thoughts it hides"
            rows.append(("WARNING", f"{usage['estimated']} calls {doubt}"))
    spent = ", ".join(f"{k} {v:.2f}" for k, v in result["seconds"].items())
    rows += [("seconds", spent), ("stopped", result["stopped"])]
    return rows


def _certainty(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what the accuracy of the best leaves open."""
    known, metric = result["certainty"], result["selected_on"]
    rows = []
    if "interval" in known:
        low, high = known["interval"]
        rows.append(
            (f"{LEVEL}% interval", f"{low:.1f} to {high:.1f}% ({known['images']:,} images)")
        )
    if known["equal"] > 1:
        rows.append(("tie", f"{known['equal']} have this accuracy; this is the cheapest of them"))
    if known.get("alike", 1) > 1:
        least = known["cheapest_alike"]
        costs = ", ".join(f"{k} {v:,.10g}" for k, v in costs_of(least, metric).items())
        same = f"these {known['alike']} cannot be told apart by {known['images']:,} images"
        rows.append(("alike", f"{same}; the cheapest of them has {least[metric]:.2f}%, {costs}"))
    return rows
