"""Results are shared between processes, and a torn line of a killed one harms nobody."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from collm_nas.core.architecture import Architecture
from collm_nas.core.files import Journal
from collm_nas.evaluator.cache import SharedResults
from tests.conftest import ROOT

WRITE = """
import sys
from pathlib import Path
from collm_nas.core.architecture import Architecture
from collm_nas.evaluator.cache import SharedResults

shared = SharedResults(Path(sys.argv[1]), "clean:0")
for i in range(30):
    shared.store(Architecture.of({"op": [int(sys.argv[2]), i]}), 32, {"val_accuracy": float(i)})
"""


def arch(number: int) -> Architecture:
    return Architecture.of({"op": [number]})


def test_what_one_stored_another_finds(tmp_path: Path) -> None:
    one, other = (SharedResults(tmp_path / "new" / "r.jsonl", "clean:0") for _ in range(2))
    assert other.find(arch(1), 32) is None
    one.store(arch(1), 32, {"val_accuracy": 100 / 3})
    assert other.find(arch(1), 32) == {"val_accuracy": 100 / 3}
    assert other.find(arch(2), 32) is None


def test_results_at_another_image_size_are_others(tmp_path: Path) -> None:
    SharedResults(tmp_path / "r.jsonl", "clean:0").store(arch(1), 32, {"val_accuracy": 50.0})
    shared = SharedResults(tmp_path / "r.jsonl", "clean:0")
    assert shared.find(arch(1), 64) is None
    shared.store(arch(1), 64, {"val_accuracy": 60.0})
    assert shared.find(arch(1), 32) == {"val_accuracy": 50.0}


def test_results_of_old_that_do_not_say_the_image_size_are_not_believed(tmp_path: Path) -> None:
    old = {"protocol": "clean:0", "arch": arch(1).to_json(), "metrics": {"val_accuracy": 50.0}}
    Journal(tmp_path / "r.jsonl", dict).append(old)
    assert SharedResults(tmp_path / "r.jsonl", "clean:0").find(arch(1), 32) is None


def test_processes_and_threads_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    commands = [[sys.executable, "-c", WRITE, str(path), str(n)] for n in range(3)]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    writers = [subprocess.Popen(command, env=environment) for command in commands]
    shared = SharedResults(path, "clean:0")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: shared.store(arch(i), 32, {"val_accuracy": 1.0}), range(20)))
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = Journal(path, dict).entries
    assert len({str(line["arch"]) for line in lines}) == len(lines) == 3 * 30 + 20
    assert {line["protocol"] for line in lines} == {"clean:0"}


def test_a_torn_line_is_cut_off_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    SharedResults(path, "clean:0").store(arch(1), 32, {"val_accuracy": 1.0})
    with path.open("a") as file:
        file.write('{"protocol": "cle')
    later = SharedResults(path, "clean:0")
    assert later.find(arch(1), 32) == {"val_accuracy": 1.0}
    later.store(arch(2), 32, {"val_accuracy": 2.0})
    assert SharedResults(path, "clean:0").find(arch(2), 32) == {"val_accuracy": 2.0}
