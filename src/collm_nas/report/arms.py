"""What stored runs have in common: the problem that they solve, and the arm that they are runs of.

Numbers of two problems are not comparable. Runs of one arm differ by their seeds alone; two arms
are called by what differs between them, as their configs tell. Names of directories say nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from omegaconf import OmegaConf

from collm_nas.core.problem import Limit
from collm_nas.report.stored import StoredRun

Settings = Mapping[str, str]

STRATEGY, MODEL = "strategy", "language model"
SEED = re.compile(r"(.*\.)?\w*seed")


def problem_of(run: StoredRun) -> Settings:
    """Return what numbers must share to be compared, by the key that sets it."""
    keys = ["searchspace", "limits", "pareto"]
    if any(key.startswith(("limits.", "pareto.")) for key in run.settings):
        keys.append("hardware")
    settings = {k: v for k, v in run.settings.items() if _under(k, keys)}
    protocols = sorted({r.protocol for r in run.archive.evaluated()})
    return {
        "selected on": run.archive.objective,
        "protocol": " and ".join(protocols),
        **{key: str(value) for key, value in settings.items()},
    }


def arm_of(run: StoredRun) -> Settings:
    """Return everything else that results depend on but seeds, by the key that sets it.

    The recorded answers of a replay are named by their model, wherever they lie.
    """
    solved = problem_of(run)
    keys = [k for k in run.settings if k not in solved and not SEED.fullmatch(k)]
    settings = {k: str(run.settings[k]) for k in keys}
    strategy = OmegaConf.select(run.config, "choices.strategy") or run.settings["strategy._target_"]
    names = {STRATEGY: str(strategy), MODEL: run.llm}
    if run.replayed:
        settings = {k: v for k, v in settings.items() if not _of_model(k)}
    return {**names, **settings}


def seeds_of(run: StoredRun) -> Settings:
    """Return all seeds of a run."""
    return {k: str(v) for k, v in run.settings.items() if SEED.fullmatch(k)}


def arm_labels(arms: Sequence[Settings]) -> list[str]:
    """Call each arm by its strategy, its language model, and what differs from others like it."""
    everywhere = differing(arms, lambda key: not key.startswith("strategy"))
    labels = []
    for arm in arms:
        likes = [a for a in arms if a[STRATEGY] == arm[STRATEGY]]
        twins = [a for a in likes if a[MODEL] == arm[MODEL]]
        keys = [
            *everywhere,
            *differing(likes, lambda key: key.startswith("strategy.") and not _of_model(key)),
            *differing(twins, _of_model),
        ]
        details = dict.fromkeys(_detail(arm, key) for key in keys if key != MODEL)
        model = f" [{arm[MODEL]}]" if arm[MODEL] else ""
        labels.append(", ".join([arm[STRATEGY] + model, *details]))
    again = Counter(labels)
    return [
        f"{label} ({number})" if again[label] > 1 else label
        for number, label in enumerate(labels, start=1)
    ]


def differing(
    settings: Sequence[Settings], counts: Callable[[str], bool] = lambda key: True
) -> list[str]:
    """List the keys that do not have the same value everywhere."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [k for k in keys if counts(k) and len({one.get(k) for one in settings}) > 1]


def in_words(key: str, value: str | None) -> str:
    """Write a setting for people, e.g. `candidates 10`, or `macs at most 150M`."""
    where, _, name = key.rpartition(".")
    name = name.replace("_", " ")
    if value is None:
        return f"no {name} limit" if where == "limits" else f"{name} not set"
    if where == "limits":
        ends = [float(end) for end in re.findall(r"[-+.\w]+", value) if end != "None"]
        if len(ends) == 1:
            return str(Limit(name, None, ends[0]))
        if len(ends) == 2:
            return str(Limit(name, *ends))
    return f"{name} {value}"


def _detail(arm: Settings, key: str) -> str:
    """Write a setting; that of a model with its role if the roles have different ones."""
    words, (*_, role, name) = in_words(key, arm.get(key)), ("", *key.split("."))
    roles = {value for k, value in arm.items() if _of_model(k) and k.endswith(f".{name}")}
    return f"{role} {words}" if _of_model(key) and len(roles) > 1 else words


def _of_model(key: str) -> bool:
    return key.startswith("strategy.models.")


def _under(key: str, nodes: Iterable[str]) -> bool:
    return any(key == node or key.startswith(f"{node}.") for node in nodes)
