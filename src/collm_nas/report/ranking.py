"""The order in which what a search found is reported, and how far it can be trusted.

Of equals the cheaper comes first. Strategies are told of the first that was found instead
(`Archive.best`): what they know is a matter of the search, and recorded ones stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from collm_nas.core.archive import Record
from collm_nas.core.problem import Metrics, costs_of
from collm_nas.report.uncertainty import distinguishable, interval


def ranked(records: Iterable[Record], objective: str) -> list[Record]:
    """Sort what may be chosen, best first: of equals the cheaper, then the one found first.

    Cheaper is what needs fewer multiply-adds, then less of each other cost in turn.
    """
    feasible = [r for r in records if r.verdict == "feasible" and objective in r.metrics]
    return sorted(feasible, key=lambda r: (-r.metrics[objective], *_costs(r.metrics, objective)))


def alike(ranking: Sequence[Record], objective: str, images: int | None) -> list[Record]:
    """List those of a ranking that cannot be told apart from its first.

    Args:
        images: that accuracies were counted on; if none are known, only equals are alike.
    """
    best = ranking[0].metrics[objective] if ranking else 0.0
    return [
        r
        for r in ranking
        if (accuracy := r.metrics[objective]) == best
        or (images and not distinguishable(best, accuracy, images))
    ]


def certainty(ranking: Sequence[Record], objective: str, images: int | None) -> dict[str, Any]:
    """Say for `result.json` how sure the choice of the first of `ranking` is.

    `equal` counts what has its accuracy, `alike` what cannot be told apart from it, each with it.
    """
    if not ranking:
        return {}
    best, same = ranking[0].metrics[objective], alike(ranking, objective, images)
    found: dict[str, Any] = {"equal": sum(r.metrics[objective] == best for r in same)}
    if images:
        cheapest = min(same, key=lambda r: _costs(r.metrics, objective))
        found |= {
            "images": images,
            "interval": [round(end, 3) for end in interval(best, images)],
            "alike": len(same),
            "cheapest_alike": dict(cheapest.metrics),
        }
    return found


def _costs(metrics: Metrics, objective: str) -> list[float]:
    costs = costs_of(metrics, objective)
    return [costs[name] for name in sorted(costs, key=lambda name: name != "macs")]
