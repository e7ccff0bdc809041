"""What a search will take, before it is paid for: calls, tokens and US dollars.

The real strategy runs with scripted answers in place of the language model and made-up
accuracies, so the prompts are the real ones and their lengths are, too. How long a model thinks
before it answers cannot be known: the estimate has a lower end, without any reasoning, and an
upper one, in which every answer uses all the tokens that it is allowed. Where a dialogue will
outgrow the context of its model, that is told, with what to do about it.
"""

from __future__ import annotations

import os
import sys
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
from collm_nas.core.printable import one_line, say
from collm_nas.core.problem import Metrics
from collm_nas.core.search import Budget, run_search
from collm_nas.evaluator.cache import CachedEvaluator
from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.llm.base import Usage
from collm_nas.llm.counting import estimated_tokens
from collm_nas.llm.ledger import CallLine, Caps, Ledger, open_calls
from collm_nas.llm.openai import OPENAI_URL
from collm_nas.llm.prices import context_length, price

LIMITS = ("max_completion_tokens", "max_tokens")  # settings that bound an answer, in tokens


@dataclass(frozen=True)
class Estimate:
    """What one role of a strategy will take; all lengths are in tokens."""

    role: str
    model: str
    calls: int
    input: int
    output: int  # without reasoning
    most_output: int  # if every answer is as long as allowed
    usd: float | None  # None: the price is not known
    most_usd: float | None
    largest: int  # the longest prompt
    room: int  # that an answer may take beside it
    context: int | None  # that the model reads at once; None: that is not known
    full_at: int | None  # the first round whose prompt and room do not fit, if one does not


class MadeUp:
    """Accuracies that only look like some."""

    objective = "val_accuracy"
    protocol = "made up"

    def evaluate(self, arch: Architecture) -> Metrics:
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
        stand_in = ScriptedChat(space, "sensible", cfg.seed, build(cfg.prompting))
        strategy = build_strategy(cfg.strategy, problem, ledger, dict.fromkeys(nodes, stand_in))
        archive = Archive.open(path / "archive.jsonl", problem.objective)
        evaluator = CachedEvaluator(MadeUp(), path / "evaluations.jsonl")
        run_search(problem, strategy, evaluator, archive, Budget(**cfg.budget))
        calls = open_calls(ledger.path).entries
    return [
        _of_role(role, node, [call for call in calls if call["role"] == role])
        for role, node in nodes.items()
    ]


def print_estimate(cfg: DictConfig) -> None:
    """Print the estimate as a table, how long prompts get, and what will not fit."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Estimate (nothing is spent yet)", title_justify="left")
    for column in ("role", "model", "calls", "tokens in", "tokens out", "USD"):
        table.add_column(column)
    estimates = estimate(cfg)
    for e in estimates:
        table.add_row(
            Text(one_line(e.role)),
            Text(one_line(e.model)),
            str(e.calls),
            f"{e.input:,}",
            f"{e.output:,} … {e.most_output:,}",
            "unknown price" if e.usd is None else f"{e.usd:.2f} … {e.most_usd:.2f}",
        )
    Console(markup=False).print(table)
    print(
        "Lower end: answers as short as scripted ones. Upper end: every answer, with its "
        "reasoning, as long as allowed."
    )
    for e in estimates:
        role = one_line(e.role)
        limit = "unknown: llm.model.context=…" if e.context is None else f"{e.context:,}"
        say(
            f"Longest request of the {role}: {e.largest:,} tokens and {e.room:,} for the answer "
            f"(context of the model: {limit})."
        )
    print("Caps stop the search for certain: caps.usd, caps.tokens, caps.calls.", flush=True)
    for e in estimates:
        if e.full_at is not None:
            node = model_nodes(with_models(cfg).strategy)[e.role]
            say(_warning(e, node, "memory_rounds" in cfg.strategy), stream=sys.stderr)


def _warning(e: Estimate, node: DictConfig, has_memory: bool) -> str:
    assert e.context is not None
    assert e.full_at is not None
    role, model = one_line(e.role), one_line(e.model)
    ways = [f"a model that reads {e.largest + e.room:,} tokens at once"]
    if e.room and (left := e.context - e.largest) >= e.room // 4:
        limit = next(key for key in LIMITS if node.get(key))
        ways.append(f"less room for the answer (llm.model.{limit}={left})")
    # all rounds before it are too many; one less makes room for a summary, one for longer answers
    if has_memory and (rounds := e.full_at - 3) > 0:
        ways.append(f"a shorter memory (strategy.memory_rounds={rounds})")
    return (
        f"WARNING: the dialogue of the {role} outgrows {model}: its {e.context:,} tokens are "
        f"full in round {e.full_at}, and the search will stop there. Before it starts, choose "
        f"{', or '.join(ways)}."
    )


def _of_role(role: str, node: DictConfig, calls: list[CallLine]) -> Estimate:
    prompts = [estimated_tokens(*(m["content"] for m in call["messages"])) for call in calls]
    written = sum(estimated_tokens(call["reply"]["text"]) for call in calls)
    room = max(node.get(limit) or 0 for limit in LIMITS)
    used = Usage(sum(prompts), written)
    most = Usage(used.input, max(written, room * len(calls)))
    model = str(node.get("model") or node.get("path") or node._target_)
    context = _context(node, model)
    full = [
        call["round"]
        for call, prompt in zip(calls, prompts, strict=True)
        if context is not None and prompt + room > context
    ]
    return Estimate(
        role,
        model,
        len(calls),
        used.input,
        used.output,
        most.output,
        _price(node, model, used),
        _price(node, model, most),
        max(prompts, default=0),
        room,
        context,
        (full[0] or 0) + 1 if full else None,
    )


def _price(node: DictConfig, model: str, usage: Usage) -> float | None:
    if "base_url" not in node:  # a model in this process or on this machine
        return 0.0
    return price(model, _url(node), usage)[0]


def _context(node: DictConfig, model: str) -> int | None:
    if known := node.get("context") or node.get("n_ctx"):
        return int(known)
    return context_length(model, _url(node)) if "base_url" in node else None


def _url(node: DictConfig) -> str:
    return node.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
