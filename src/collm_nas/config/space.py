"""A search space by its name, for tools that Hydra does not compose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from collm_nas.config.run import UserError, build
from collm_nas.core.checkout import conf_dir
from collm_nas.spaces.base import SearchSpace


def named_space(option: str, settings: Sequence[str] = ()) -> SearchSpace:
    """Build a space as the commands do.

    Args:
        option: of conf/searchspace, e.g. `mobilenet`; or a YAML file of one.
        settings: that replace those of the option, e.g. `["width=1.0"]`.

    Raises:
        UserError: there is no such option, or the settings are not those of the space.
    """
    options = conf_dir() / "searchspace"
    path = Path(option) if option.endswith(".yaml") else options / f"{option}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in options.glob("*.yaml")))
        raise UserError(f"there is no search space {option}. Name a YAML file, or one of {known}")
    node = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(settings)))
    assert isinstance(node, DictConfig)
    node.pop("defaults", None)  # of a search
    space: SearchSpace = build(OmegaConf.create({"searchspace": node}).searchspace)
    return space
