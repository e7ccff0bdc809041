"""Architectures as other tools write them are read, and nothing is made right on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collm_nas.cli.evaluate.target import find_target
from collm_nas.cli.evaluate.written import read_written
from collm_nas.config.quoting import with_text_quoted
from collm_nas.config.run import UserError
from collm_nas.core.architecture import InvalidArchitecture
from collm_nas.spaces.autoformer.space import AutoFormer
from collm_nas.spaces.base import SearchSpace
from collm_nas.spaces.mobilenet.published import PUBLISHED
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from tests.conftest import load

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
GENOTYPE = (
    (("nor_conv_3x3", 0),),
    (("none", 0), ("none", 1)),
    (("skip_connect", 0), ("none", 1), ("nor_conv_1x1", 2)),
)
SPOS = (2, 1, 0, 1, 2, 0, 2, 0, 2, 0, 2, 3, 0, 0, 0, 0, 3, 2, 3, 3)
OFA = PUBLISHED["collm_ofa_t"].written
LISTS = {k: OFA[k] for k in ("ks", "e", "d")}
RATIOS = [3.5, 3.5, 3.0, 3.5, 3.0, 3.0, 4.0, 4.0, 3.5, 4.0, 3.5, 4.0, 3.5]
HEADS = [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3]
VIT = {"depth": 13, "embed_dim": 192, "mlp_ratio": RATIOS, "num_heads": HEADS}
RETRAIN = {"DEPTH": 13, "EMBED_DIM": 192, "MLP_RATIO": RATIOS, "NUM_HEADS": HEADS}
YAML = f"""SUPERNET:
  MLP_RATIO: 4.0
  DEPTH: 14
RETRAIN:
  DEPTH: 13
  EMBED_DIM: 192
  MLP_RATIO: {RATIOS}
  NUM_HEADS: {HEADS}  # of the retrained network
"""

WRITTEN: list[tuple[str, str, Any]] = [
    ("mobilenet", str({"wid": None, **LISTS, "r": [176]}), OFA),
    ("mobilenet", str({"wid": None, **LISTS, "r": 176}), OFA),
    ("mobilenet", str({**LISTS, "image_size": 176}), OFA),
    ("mobilenet", json.dumps({"wid": None, **LISTS, "r": [176]}), OFA),
    ("mobilenet", json.dumps({"wid": None, **LISTS, "r": [176]}).replace('"', ""), OFA),
    ("shufflenet", str(SPOS), {"ops": [*SPOS]}),
    ("shufflenet", str([*SPOS]), {"ops": [*SPOS]}),
    ("shufflenet", str(SPOS).replace(" ", ""), {"ops": [*SPOS]}),
    ("nasbench201", CELL, {"cell": CELL}),
    ("nasbench201", json.dumps({"cell": CELL}), {"cell": CELL}),
    ("nasbench201", f"Structure(4 nodes with {CELL})", {"cell": CELL}),
    ("nasbench201", str(GENOTYPE), {"cell": CELL}),
    ("autoformer", str({"RETRAIN": RETRAIN}), VIT),
    ("autoformer", str(RETRAIN), VIT),
    ("autoformer", str((13, *RATIOS, *HEADS, 192)), VIT),
    (
        "autoformer",
        str({"layer_num": 13, "embed_dim": [192] * 13, "mlp_ratio": RATIOS, "num_heads": HEADS}),
        VIT,
    ),
]


def subject_of(space: str, typed: str) -> Any:
    """Read what is typed behind `arch=`, as evaluate.py does."""
    (argument,) = with_text_quoted([f"arch={typed}"], "arch")
    found = find_target(load("evaluate", f"searchspace={space}", argument))
    return found.space, found.arch


HYDRAS = json.dumps({**OFA, "wid": "None"}).replace('"', "").replace(" ", "")


@pytest.mark.parametrize(("space", "text", "wire"), [*WRITTEN, ("mobilenet", HYDRAS, OFA)])
def test_what_other_tools_write_is_read_from_the_command_line(
    space: str, text: str, wire: Any
) -> None:
    found, arch = subject_of(space, text)
    assert arch == found.decode(wire)


@pytest.mark.parametrize(("space", "text", "wire"), [*WRITTEN, ("autoformer", YAML, VIT)])
@pytest.mark.parametrize("name", ["arch.yaml", "my arch (1)"])
def test_and_from_a_file(space: str, text: str, wire: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"{text}\n")
    found, arch = subject_of(space, str(tmp_path / name))
    assert arch == found.decode(wire)


def changed(wire: dict[str, Any], **changes: Any) -> str:
    return str({**wire, **changes})


@pytest.mark.parametrize(
    ("space", "text", "problem"),
    [
        ("mobilenet", changed(OFA, wid=1), "'wid' is not a key"),
        ("mobilenet", changed(OFA, image_size=176), "'image_size' is not a key"),
        ("mobilenet", changed(LISTS, r=True), r"r\[0\] must be one of .*, got True"),
        ("mobilenet", changed(LISTS, r="176"), r"r\[0\] must be one of .*, got '176'"),
        ("mobilenet", changed(LISTS, image_size=176.0), r"r\[0\] must be one of .*, got 176\.0"),
        ("mobilenet", changed(LISTS, r=[176, 192]), "r must have 1 values, got 2"),
        ("mobilenet", changed(OFA, d=[2, 3, 2, 3, 5]), r"d\[4\] must be one of .*, got 5"),
        ("shufflenet", str(SPOS[:-1]), "ops must have 20 values, got 19"),
        ("shufflenet", str((*SPOS[:-1], 4)), r"ops\[19\] must be one of .*, got 4"),
        ("shufflenet", str((*SPOS[:-1], "3")), r"ops\[19\] must be one of .*, got '3'"),
        ("shufflenet", str((*SPOS[:-1], 3.0)), r"ops\[19\] must be one of .*, got 3\.0"),
        ("nasbench201", CELL.replace("none", "zero"), "must be one of"),
        ("nasbench201", CELL[:-1], r"cell must have the form \|op~0\|"),
        ("nasbench201", str(GENOTYPE[:2]), r"cell must have the form \|op~0\|"),
        ("autoformer", changed(VIT, depth=14), "mlp_ratio must be a list of 14 values"),
        ("autoformer", changed(RETRAIN, depth=12), "'DEPTH' is not a key"),
        ("autoformer", changed(RETRAIN, DEPTH=13.0), r"depth must be one of .*, got 13\.0"),
        ("autoformer", changed(VIT, embed_dim=[192] * 12 + [216]), "embed_dim must be one of"),
        ("autoformer", changed(VIT, embed_dim=[192] * 12 + [192.0]), "embed_dim must be one of"),
        ("autoformer", str((13, *RATIOS, *HEADS)), "expected a JSON object"),
        ("autoformer", str({"RETRAIN": [13]}), "'RETRAIN' is not a key"),
        ("shufflenet", "nowhere.json", r"arch=nowhere\.json: there is no such file"),
        ("shufflenet", "[" * 3000, "is no architecture of shufflenet"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(space: str, text: str, problem: str) -> None:
    with pytest.raises((UserError, ValueError), match=problem):
        subject_of(space, text)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "arch.json").write_bytes(b"\x80\x81")
    with pytest.raises(ValueError, match=r"arch\.json is no text file"):
        read_written(str(tmp_path / "arch.json"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    "space", [MobileNet(), ShuffleNet(), NASBench201(), AutoFormer()], ids=lambda s: s.name
)
@given(st.data())
def test_whatever_is_written_is_an_architecture_or_refused(
    space: SearchSpace, data: st.DataObject
) -> None:
    keys = ["wid", "r", "d", "image_size", "RETRAIN", "DEPTH", "depth", "layer_num", "embed_dim"]
    written = data.draw(JSON | st.dictionaries(st.sampled_from(keys), JSON))
    with pytest.raises(InvalidArchitecture):
        space.decode(space.transcribe(written))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=40))
def test_any_text_arrives_behind_hydras_grammar(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (argument,) = with_text_quoted([f"arch={text}"], "arch")
    value = OverridesParser.create().parse_override(argument).value()
    if argument != f"arch={text}":
        assert str(value) == text
