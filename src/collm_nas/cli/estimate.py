"""What a search will take, before it is paid for: calls, tokens and US dollars.

The real strategy runs with scripted answers in place of the language model and made-up
accuracies, so the prompts are the real ones and their lengths are, too. How long a model thinks
before it answers cannot be known: the estimate has a lower end, without any reasoning, and an
upper one, in which every answer uses all the tokens that it is allowed.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from collm_nas.cli.roles import build_strategy, model_nodes
from collm_nas.cli.session import build_problem
from collm_nas.config.binding import with_models
from collm_nas.config.run import UserError, build
from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Metrics
from collm_nas.core.search import Budget, run_search
from collm_nas.evaluator.cached import CachedEvaluator
from collm_nas.llm.base import Usage
from collm_nas.llm.ledger import CallLine, Caps, Ledger, open_calls
from collm_nas.llm.openai import OPENAI_URL
from collm_nas.llm.prices import price
from collm_nas.llm.scripted import ScriptedChat


@dataclass(frozen=True)
class Estimate:
    """What one role of a strategy will take."""

    role: str
    model: str
    calls: int
    input: int  # tokens
    output: int  # tokens, without reasoning
    most_output: int  # tokens, if every answer is as long as allowed
    usd: float | None  # None: the price is not known
    most_usd: float | None


class MadeUp:
    """Accuracies that only look like some."""

    objective = "val_accuracy"
    protocol = "made up"

    def evaluate(self, arch: Architecture) -> Metrics:
        """See `Evaluator`."""
        return {self.objective: 50.0 + sum(map(ord, str(arch))) % 4000 / 100}


def estimate(cfg: DictConfig) -> list[Estimate]:
    """Estimate the search that `cfg` describes, by role.

    Raises:
        UserError: its strategy asks no language model.
    """
    cfg = with_models(cfg)
    nodes = model_nodes(cfg.strategy)
    if not nodes:
        raise UserError(f"strategy={cfg.choices.strategy} asks no language model: it costs nothing")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        space = build(cfg.searchspace)
        problem = build_problem(cfg, space, MadeUp.objective)
        ledger = Ledger(path / "llm_calls.jsonl", Caps())
        stand_in = ScriptedChat(space, "sensible", cfg.seed)
        strategy = build_strategy(cfg.strategy, problem, ledger, dict.fromkeys(nodes, stand_in))
        archive = Archive(path / "archive.jsonl", problem.objective)
        evaluator = CachedEvaluator(MadeUp(), path / "evaluations.jsonl")
        run_search(problem, strategy, evaluator, archive, Budget(**cfg.budget))
        calls = open_calls(ledger.path).entries
    return [_of_role(role, node, calls) for role, node in nodes.items()]


def print_estimate(cfg: DictConfig) -> None:
    """Print the estimate as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Estimate (nothing is spent yet)", title_justify="left")
    for column in ("role", "model", "calls", "tokens in", "tokens out", "USD"):
        table.add_column(column)
    for e in estimate(cfg):
        table.add_row(
            e.role,
            e.model,
            str(e.calls),
            f"{e.input:,}",
            f"{e.output:,} … {e.most_output:,}",
            "unknown price" if e.usd is None else f"{e.usd:.2f} … {e.most_usd:.2f}",
        )
    Console(markup=False).print(table)
    print(
        "Lower end: answers as short as scripted ones. Upper end: every answer, with its "
        "reasoning, as long as allowed.\n"
        "Caps stop the search for certain: caps.usd, caps.tokens, caps.calls."
    )


def _of_role(role: str, node: DictConfig, calls: list[CallLine]) -> Estimate:
    mine = [call["reply"] for call in calls if call["role"] == role]
    usages = [reply["usage"] for reply in mine]
    used = Usage(sum(u["input"] for u in usages), sum(u["output"] for u in usages))
    longest = node.get("max_completion_tokens") or node.get("max_tokens") or 0
    most = Usage(used.input, max(used.output, longest * len(mine)))
    model = str(node.get("model") or node.get("path") or node._target_)
    usd, most_usd = _price(node, model, used), _price(node, model, most)
    return Estimate(role, model, len(mine), used.input, used.output, most.output, usd, most_usd)


def _price(node: DictConfig, model: str, usage: Usage) -> float | None:
    if "base_url" not in node:  # a model in this process or on this machine
        return 0.0
    return price(model, node.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL, usage)[0]
