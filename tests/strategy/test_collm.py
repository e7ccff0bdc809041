"""CoLLM-NAS: who is told what, and when (Algorithm 1 and section 3 of the paper)."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from collm_nas.core.architecture import Architecture
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.prompting import texts
from collm_nas.prompting.dialect import dialect_of
from collm_nas.prompting.settings import Prompting
from collm_nas.spaces.nasbench201.space import NASBench201, cell_string
from collm_nas.strategy.collm import CoLLM
from collm_nas.strategy.evoprompting import EvoPrompting
from collm_nas.strategy.iid_llm import IIDLLM
from collm_nas.strategy.single_llm import SingleLLM
from tests.conftest import FixedChat, ToyWorld, problems_of


def cells(purpose: str) -> str:
    """Write two cells that differ from round to round, and one that is illegal."""
    n = int(purpose.split("/")[1]) % 5
    ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    good = [cell_string([ops[n], *["nor_conv_3x3"] * 4, ops[k]]) for k in (1, 2)]
    return json.dumps({"architectures": [{"cell": c} for c in [*good, "|nonsense|"]]})


def strategy_text(purpose: str) -> str:
    return f"# SUMMARY\nstrategy number {purpose.split('/')[1]}"


def collm(problem, navigator=None, generator=None, **settings):
    return CoLLM(
        problem,
        seed=0,
        navigator=navigator or FixedChat(strategy_text),
        generator=generator or FixedChat(cells),
        candidates="5-10",
        **settings,
    )


@pytest.fixture
def archive(tmp_path):
    return Archive.open(tmp_path / "archive.jsonl", "val_accuracy")


def searched(problem, archive, rounds=3, **settings):
    """Run a search of some rounds; return the calls of both roles."""
    navigator, generator = FixedChat(strategy_text), FixedChat(cells)
    strategy = collm(problem, navigator, generator, **settings)
    run_search(problem, strategy, ToyWorld(), archive, Budget(99, rounds))
    return navigator.calls, generator.calls


def test_navigator_and_generator_take_turns(problem, archive):
    navigator, generator = searched(problem, archive)
    assert [purpose for purpose, *_ in navigator] == ["navigator/0", "navigator/1", "navigator/2"]
    assert [purpose for purpose, *_ in generator] == ["generator/0", "generator/1", "generator/2"]
    assert [r.note for r in archive.rounds] == [strategy_text(f"navigator/{i}") for i in range(3)]


def test_the_navigator_remembers_its_strategies_and_their_results(problem, archive):
    navigator, _ = searched(problem, archive)
    _, messages, _ = navigator[2]
    roles = [m.role for m in messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "strategy number 0" in messages[2].content
    told = json.loads(messages[3].content.splitlines()[1])
    first = archive.rounds[0].records[0]
    assert problem.space.decode(told["arch"]) == first.arch
    assert told["accuracy"] == round(first.metrics["val_accuracy"], 2)
    assert told["macs"].endswith("M")


def test_the_dialogue_grows_by_appending_only(problem, archive):
    """So that providers' prompt caches work, and so that it is the dialogue that was."""
    navigator, _ = searched(problem, archive, rounds=4)
    for (_, shorter, _), (_, longer, _) in pairwise(navigator):
        assert longer[: len(shorter)] == shorter


def test_the_generator_sees_the_strategy_and_nothing_of_the_results(problem, archive):
    _, generator = searched(problem, archive)
    _, messages, _ = generator[2]
    text = "\n".join(m.content for m in messages)
    assert len(messages) == 2
    assert "strategy number 2" in text
    assert "strategy number 1" not in text
    assert 'accuracy":' not in text
    assert "Write 5-10 different architectures" in text


def test_memories_can_be_switched(problem, archive):
    navigator, generator = searched(
        problem, archive, prompting=Prompting(memory=False), generator_memory=True
    )
    assert [m.role for m in navigator[2][1]] == ["system", "user"]
    assert [m.role for m in generator[2][1]] == ["system", *["user", "assistant"] * 2, "user"]


def test_the_whole_dialogue_is_told_word_for_word_by_default(problem, archive):
    navigator, _ = searched(problem, archive)
    dialect = dialect_of(problem.space)
    mission, knowledge = texts.mission(problem, dialect), texts.description(dialect)
    system = texts.render("paper/navigator_system", mission=mission, knowledge=knowledge)
    expected = [system, texts.render("paper/navigator_first")]
    for i, round_ in enumerate(archive.rounds[:2]):
        told = {
            "results": texts.results(round_, archive.objective, dialect),
            "best": texts.best(archive, problem, dialect, i + 1),
            "costs": (),
            "examples": [],
        }
        expected += [round_.note, texts.render("paper/navigator_feedback", **told)]
    assert [m.content for m in navigator[2][1]] == expected


def long_note(purpose: str) -> str:
    return strategy_text(purpose) + " word" * 200


def any_cell(purpose: str) -> str:
    """Write a cell that no other of the first 600 rounds writes."""
    n = int(purpose.split("/")[1])
    ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    genes = [ops[n // 5**k % 5] for k in range(4)]
    cell = cell_string([*genes, "nor_conv_3x3", "skip_connect"])
    return json.dumps({"architectures": [{"cell": cell}]})


def test_a_bounded_memory_keeps_the_prompt_bounded_and_says_what_it_left_out(problem, archive):
    navigator = FixedChat(long_note)
    strategy = collm(problem, navigator, FixedChat(any_cell), memory_rounds=4)
    run_search(problem, strategy, ToyWorld(), archive, Budget(999, 100))
    prompts = [messages for _, messages, _ in navigator.calls]
    lengths = [sum(len(m.content) for m in messages) for messages in prompts]
    assert len(lengths) == 100
    assert max(lengths[20:]) < 1.02 * max(lengths[:20])

    last = prompts[99]
    assert [m.role for m in last] == ["system", "user", *["assistant", "user"] * 4]
    assert [m.content for m in last[2::2]] == [long_note(f"navigator/{i}") for i in range(95, 99)]
    told = last[1].content
    assert "summary of the first 95 rounds, written by the program" in told
    assert f"stands for {len(list(archive.records(95)))} candidates" in told
    shown = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    best = sorted((archive.score(r) for r in archive.feasible(95)), reverse=True)[:10]
    assert [s["accuracy"] for s in shown] == [round(score, 2) for score in best]


def test_nothing_is_summarised_while_the_memory_holds_everything(problem, archive, tmp_path):
    whole, _ = searched(problem, archive, rounds=4)
    bounded, _ = searched(problem, Archive.open(tmp_path / "b", "val_accuracy"), 4, memory_rounds=3)
    assert bounded == whole


def test_a_continued_search_with_a_bounded_memory_equals_an_uninterrupted_one(problem, tmp_path):
    once, _ = searched(problem, Archive.open(tmp_path / "a", "val_accuracy"), 9, memory_rounds=2)
    before, _ = searched(problem, Archive.open(tmp_path / "b", "val_accuracy"), 5, memory_rounds=2)
    after, _ = searched(problem, Archive.open(tmp_path / "b", "val_accuracy"), 9, memory_rounds=2)
    assert before + after == once
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_bound_of_a_memory_that_is_off_is_refused(problem):
    with pytest.raises(ValueError, match=r"strategy\.memory_rounds=3 .*prompting\.memory=false"):
        collm(problem, prompting=Prompting(memory=False), memory_rounds=3)


def test_a_memory_that_is_bounded_later_asks_the_same_before(problem, archive, tmp_path):
    whole, _ = searched(problem, archive, rounds=7)
    later, _ = searched(
        problem, Archive.open(tmp_path / "b", "val_accuracy"), 7, memory_rounds=2, memory_from=5
    )
    assert later[:5] == whole[:5]
    assert [m.role for m in later[5][1]] == ["system", "user", *["assistant", "user"] * 2]
    assert "summary of the first 3 rounds" in later[5][1][1].content


def test_a_bound_from_some_round_on_needs_to_be_one(problem):
    with pytest.raises(ValueError, match=r"memory_from=5 .*strategy\.memory_rounds=…"):
        collm(problem, memory_from=5)


def test_illegal_and_repeated_candidates_are_told_only_on_request(problem, archive, tmp_path):
    navigator, _ = searched(problem, archive)
    assert "not evaluated" not in navigator[1][1][-1].content
    other = Archive.open(tmp_path / "other.jsonl", "val_accuracy")
    navigator, _ = searched(problem, other, report_rejected=True)
    assert "not evaluated" in navigator[1][1][-1].content
    assert "must have the form" in navigator[1][1][-1].content


def test_limits_and_target_are_part_of_the_mission(limited):
    navigator = FixedChat(strategy_text)
    collm(limited, navigator, target=94.0).propose(_empty(limited))
    system = navigator.calls[0][1][0].content
    assert "macs at most 120M" in system
    assert "more than 94.0" in system


def test_without_target_none_is_named(problem):
    navigator = FixedChat(strategy_text)
    collm(problem, navigator).propose(_empty(problem))
    assert "target" not in navigator.calls[0][1][0].content


def test_an_unreadable_answer_is_asked_for_once_more(problem):
    answers = {"generator/0": "Sorry.", "generator/0/retry": cells("generator/0")}
    generator = FixedChat(answers.__getitem__)
    batch = collm(problem, generator=generator).propose(_empty(problem))
    assert [purpose for purpose, *_ in generator.calls] == list(answers)
    assert isinstance(batch.proposals[0].candidate, Architecture)


def test_two_unreadable_answers_are_one_invalid_proposal(problem):
    generator = FixedChat(lambda purpose: "Sorry.")
    batch = collm(problem, generator=generator).propose(_empty(problem))
    assert len(generator.calls) == 2
    assert "no JSON object" in str(batch.proposals[0].candidate)


def test_a_small_model_is_asked_for_one_architecture_at_a_time(tmp_path):
    space = NASBench201()
    problem = Problem(space, ClosedForm(space))
    prompting = Prompting(names="short", one_by_one=True, examples=2)
    generator = FixedChat(lambda purpose: json.dumps({"cell": f"33313{purpose[-1]}"}))
    strategy = collm(problem, generator=generator, prompting=prompting)
    archive = Archive.open(tmp_path / "archive.jsonl", "val_accuracy")
    run_search(problem, strategy, ToyWorld(), archive, Budget(99, rounds=2))

    assert [purpose for purpose, *_ in generator.calls[:5]] == [
        f"generator/0/{i}" for i in range(5)
    ]
    (_, first, schema), (_, second, later_schema) = generator.calls[0], generator.calls[1]
    assert first[0] != second[0], "without results, each call is told the choices in its own order"
    assert generator.calls[5][1] == generator.calls[6][1], "one prompt a round: it is read once"
    pattern = re.compile(later_schema["properties"]["cell"]["pattern"])
    told = prompting.dialect(space).reordered("0/generator/0/1")
    written, other = (told.encode(r.arch)["cell"] for r in archive.rounds[0].records[:2])
    assert re.match(schema["properties"]["cell"]["pattern"], "333130")
    assert not pattern.match(written), "what was written is excluded, in any order of telling"
    assert pattern.match(other)
    assert "The best architectures so far" not in first[-1].content
    assert "The best architectures so far" in generator.calls[5][1][-1].content


def test_a_strategy_that_runs_wild_is_cut_and_says_so(problem):
    batch = collm(problem, navigator=FixedChat(lambda _: "x" * 2_000_000)).propose(_empty(problem))
    assert len(batch.note) < 21_000
    assert batch.note.endswith("[cut after 20,000 characters]")


@pytest.mark.parametrize("candidates", ["many", "0", "5-", "-3", ""])
def test_a_wrong_number_of_candidates_is_refused(candidates):
    told = problems_of(CoLLM, candidates=candidates)
    assert told.startswith("candidates must be a number or a range")


def test_opaque_names_reveal_nothing(tmp_path):
    space = NASBench201()
    problem = Problem(space, ClosedForm(space))
    prompting = Prompting(names="opaque", order_seed=3)
    navigator, generator = FixedChat(strategy_text), FixedChat(lambda _: "{}")
    archive = Archive.open(tmp_path / "archive.jsonl", "val_accuracy")
    strategy = collm(problem, navigator, generator, prompting=prompting)
    run_search(problem, strategy, ToyWorld(), archive, Budget(9, 2))
    told = "\n".join(m.content for _, ms, _ in navigator.calls + generator.calls for m in ms)
    for cue in ("conv", "skip", "pool", "none", "CIFAR", "cifar", "~0", "|"):
        assert cue not in told.replace("none yet", "").replace("none: no candidate", "")


def test_single_llm_sees_all_results(problem, archive):
    llm = FixedChat(cells)
    strategy = SingleLLM(problem, 0, llm, 8)
    run_search(problem, strategy, ToyWorld(), archive, Budget(99, 3))
    user = llm.calls[2][1][-1].content
    assert user.count('"accuracy"') == 4
    assert "Reflect" in user


def test_iid_llm_asks_the_same_in_every_round(problem, archive):
    llm = FixedChat(cells)
    run_search(problem, IIDLLM(problem, 0, llm, 8), ToyWorld(), archive, Budget(99, 3))
    assert len({messages for _, messages, _ in llm.calls}) == 1
    assert len({purpose for purpose, *_ in llm.calls}) == 3


def test_evoprompting_shows_parents_from_worse_to_better(problem, archive):
    llm = FixedChat(cells)
    strategy = EvoPrompting(problem, 0, llm, 8, population=6, parents=3)
    run_search(problem, strategy, ToyWorld(), archive, Budget(99, 2))
    lines = [line for line in llm.calls[0][1][-1].content.splitlines() if '"accuracy"' in line]
    shown = [json.loads(line)["accuracy"] for line in lines]
    assert len(shown) == 3
    assert shown == sorted(shown)


def _empty(problem):
    return Archive.open(Path("/nonexistent/archive.jsonl"), problem.objective)
