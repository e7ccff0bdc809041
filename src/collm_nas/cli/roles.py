"""Who answers a strategy: the chat models under `strategy.models`, one for each role.

Every one goes through the ledger and its caps, is estimated, replayed and named in results, since
all of these read this one place. A chat model anywhere else in a strategy is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from collm_nas.config.run import UserError, build
from collm_nas.core.problem import Problem
from collm_nas.core.strategy import SearchStrategy
from collm_nas.llm.base import ChatModel
from collm_nas.llm.ledger import Ledger, LedgeredChat


def model_nodes(strategy: DictConfig) -> Mapping[str, DictConfig]:
    """Return the node of each role's chat model; none for strategies that ask no model.

    Raises:
        UserError: a role has something else.
    """
    nodes = strategy.get("models") or {}
    if not isinstance(nodes, DictConfig | dict):
        raise UserError(f"strategy.models must name a model for each role, got {nodes!r}")
    for role, node in cast("Mapping[str, object]", nodes).items():
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise UserError(
                f"strategy.models.{role} must be a chat model, as in ${{llm.model}}, got {node!r}"
            )
    return cast("Mapping[str, DictConfig]", nodes)


def build_models(strategy: DictConfig) -> dict[str, ChatModel]:
    """Build the chat model of each role; equal settings share one object.

    Raises:
        UserError: a node does not fit its class, or describes no chat model.
    """
    built: dict[str, ChatModel] = {}
    roles: dict[str, ChatModel] = {}
    for role, node in model_nodes(strategy).items():
        settings = OmegaConf.to_yaml(node, resolve=True)
        if settings not in built:
            built[settings] = build(node)
        if not _answers(built[settings]):
            raise UserError(f"strategy.models.{role}: {node._target_} is no chat model")
        roles[role] = built[settings]
    return roles


def build_strategy(
    node: DictConfig, problem: Problem, ledger: Ledger, models: Mapping[str, ChatModel]
) -> SearchStrategy:
    """Build the strategy; every call of its models goes through the ledger.

    Raises:
        UserError: the node does not fit its class, or holds a chat model outside of `models`.
    """
    settings = OmegaConf.to_container(node, resolve=True)
    assert isinstance(settings, dict)
    plain = {str(key): value for key, value in settings.items() if key != "models"}
    ledgered = {role: LedgeredChat(model, ledger, role) for role, model in models.items()}
    strategy: SearchStrategy = _built("strategy", plain, problem=problem, **ledgered)
    return strategy


def _built(key: str, node: dict[str, Any], **runtime: Any) -> Any:
    """Build what `node` describes, the nodes within first, so that no model gets in unseen."""
    inside = {name: _inside(f"{key}.{name}", value) for name, value in node.items()}
    plain = {name: value for name, value in node.items() if inside[name] is value}
    made = {name: value for name, value in inside.items() if name not in plain}
    config = OmegaConf.create({key: plain})[key]
    if plain.get("_partial_"):
        return lambda **late: _no_model(key, build(config, **made, **late))
    return build(config, **runtime, **made)


def _inside(key: str, value: Any) -> Any:
    """Return `value` with its nodes built; the same object if there are none."""
    if isinstance(value, list):
        items = [_inside(f"{key}.{i}", item) for i, item in enumerate(value)]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if not isinstance(value, dict):
        return value
    if "_target_" not in value:
        values = {name: _inside(f"{key}.{name}", item) for name, item in value.items()}
        return value if all(values[name] is value[name] for name in value) else values
    return _no_model(key, _built(key, value))


def _no_model(key: str, made: Any) -> Any:
    if _answers(made):
        raise UserError(
            f"{key} is a chat model that no cap would hold and no ledger record: give it a role, "
            f"strategy.models.ROLE, which the strategy takes as an argument of that name"
        )
    return made


def _answers(thing: Any) -> bool:
    return callable(getattr(thing, "complete", None))
