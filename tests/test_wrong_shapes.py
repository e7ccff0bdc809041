"""Valid JSON and YAML of the wrong shape in the files of a run: told with file and line or key."""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collm_nas.cli import session
from collm_nas.cli.compose import recorded
from collm_nas.cli.evaluate.candidates import _trainings
from collm_nas.cli.evaluate.target import find_target
from collm_nas.cli.settings import SearchSettings, check
from collm_nas.config.run import UserError
from collm_nas.evaluator.predictor.measured import measured_by_run as read_measured
from collm_nas.report.comparison import compare, print_comparison
from collm_nas.report.evaluations import keep
from collm_nas.report.gathering import gather
from tests.conftest import load, search_config

SHORT = "budget.evaluations=6"
ENTRY = {"mode": "retrain", "architecture": {}, "protocol": "x", "seeds": [0], "weights": ["w"]}
WHOLE = ["null", "[]", "{}", '"x"', "5", "1e999", "NaN", "[" * 100_000, '{"a": ' * 100_000, ""]
WHOLE += ["[null]", '["x"]', "\x00", "{", "- x", "a: b", "${seed}", "a: ${nowhere}", "a: ???"]
PARTS = [None, [], {}, "x", 5, -1, 1e999, True, [None], {"a": 1}, [[[]]], "${nowhere}", "???"]
REMOVED = object()


def continues(run: Path) -> None:
    session.run(search_config(SHORT), run)


def replays(run: Path) -> None:
    cfg = recorded(search_config(f"replay={run}"))
    check(cfg, SearchSettings, source=str(run / "config.yaml"))
    session.run(cfg, run.with_name("replayed"))


def evaluates(run: Path) -> None:
    target = find_target(load("evaluate", f"run={run}", "searchspace=nasbench201"))
    assert target.run is not None
    target.run.space().encode(target.arch)
    _trainings(target)
    keep(run, ENTRY)


def compares(run: Path) -> None:
    for one in gather([str(run)]).comparisons:
        print_comparison(one, compare(one, None))


def trains_a_predictor(run: Path) -> None:
    read_measured(run)


VISITS: list[Callable[[Path], None]] = [continues, replays, evaluates, compares, trains_a_predictor]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    session.run(search_config(SHORT), run)
    keep(run, ENTRY)
    return run


def parts(content: Any, depth: int) -> Iterator[tuple[Any, ...]]:
    """List the places in a value, down to some depth."""
    steps = content.items() if isinstance(content, dict) else ()
    steps = enumerate(content) if isinstance(content, list) else steps
    for step, inner in steps:
        yield (step,)
        if depth > 1:
            yield from ((step, *rest) for rest in parts(inner, depth - 1))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    content = copy.deepcopy(content)
    node = content
    for step in place[:-1]:
        node = node[step]
    if value is REMOVED:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return content


def texts(name: str, text: str) -> list[str]:
    """List what a file could hold instead: other values, and its own with another one inside."""
    if name == "config.yaml":
        content, write = yaml.safe_load(text), yaml.safe_dump
    else:
        content, write = json.loads(text), json.dumps
    inside = [
        write(changed(content, place, value))
        for place in parts(content, 4)
        for value in (*PARTS, REMOVED)
    ]
    return [*WHOLE, *inside]


def tracebacks(run: Path, name: str, texts: list[str], tmp_path: Path) -> list[str]:
    """Return how the visits fail to say in words what is wrong with a file."""
    found = []
    for i, text in enumerate(texts):
        for visit in VISITS:
            copied = Path(shutil.copytree(run, tmp_path / f"{i}-{visit.__name__}" / "run"))
            (copied / name).write_text(text)
            try:
                visit(copied)
            except (UserError, ValueError) as error:
                if not re.search(rf"{name}|\w+(\.\w+)+ |was started with other", str(error)):
                    found.append(f"{visit.__name__} {text[:80]!r}: {error}")
            except Exception as error:
                found.append(f"{visit.__name__} {text[-80:]!r}: {type(error).__name__}: {error}")
            shutil.rmtree(copied.parent)
    return found


@pytest.mark.parametrize("name", ["config.yaml", "result.json", "evaluation.json"])
def test_a_file_of_another_shape_is_told_in_words(name, finished, tmp_path):
    every = texts(name, (finished / name).read_text())
    assert not tracebacks(finished, name, random.Random(name).sample(every, 4), tmp_path)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.yaml", "result.json", "evaluation.json"])
def test_files_of_many_wrong_shapes_are_told_in_words(name, finished, tmp_path):
    every = texts(name, (finished / name).read_text())
    tried = random.Random(f"{name}/slow").sample(every, min(len(every), 10))
    assert not tracebacks(finished, name, tried, tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [(("searchspace",), 5), (("limits", "macs"), "x"), (("choices",), None), (("pareto",), [])],
)
def test_the_line_and_the_key_are_those_of_the_fault(place, value, finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    path = run / "config.yaml"
    path.write_text(yaml.safe_dump(changed(yaml.safe_load(path.read_text()), place, value)))
    with pytest.raises(UserError, match=rf"damaged: {'.'.join(place)}(.float)?: Input") as error:
        continues(run)
    line = int(re.search(r"config.yaml, line (\d+)", str(error.value))[1])
    assert path.read_text().splitlines()[line - 1].lstrip().startswith(f"{place[-1]}:")
