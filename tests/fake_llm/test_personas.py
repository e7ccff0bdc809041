"""What each persona writes, and that it depends on nothing but persona, seed, call and messages."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

import pytest

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.archive import Archive
from collm_nas.core.problem import Problem
from collm_nas.core.search import Budget, run_search
from collm_nas.evaluator.table import TabularEvaluator
from collm_nas.fake_llm.faults import FAULTY
from collm_nas.fake_llm.registry import PERSONAS
from collm_nas.fake_llm.scripted import ScriptedChat
from collm_nas.fake_llm.sensible import PRIORS
from collm_nas.hardware.closed_form import ClosedForm
from collm_nas.llm.base import Message, Reply
from collm_nas.prompting.dialect import Dialect
from collm_nas.prompting.reading import batch_schema, read_proposals
from collm_nas.prompting.settings import Prompting
from collm_nas.spaces.base import Costs, SearchSpace, Variable
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.strategy.collm import CoLLM
from collm_nas.strategy.prompted import proposals_of
from tests.conftest import ROOT, load


class Blocks(SearchSpace):
    """Numbers in lists: kernel sizes of up to four blocks, of which the first `d` exist."""

    name = "blocks"

    def __init__(self) -> None:
        super().__init__([Variable("d", (2, 3, 4)), Variable("ks", (3, 5, 7), 4)])

    def canonical(self, arch: Architecture) -> Architecture:
        depth = int(arch["d"][0])
        return Architecture.of({"d": arch["d"], "ks": arch["ks"][:depth]})

    def costs(self, arch: Architecture) -> Costs:
        return {"macs": 1.0, "params": 1.0}


DIALECTS = {
    "official": Prompting().dialect(NASBench201()),
    "short": Prompting(names="short").dialect(NASBench201()),
    "opaque": Prompting(names="opaque", order_seed=1).dialect(NASBench201()),
    "lists": Prompting().dialect(Blocks()),
}
SYSTEM = Message("system", "You help.")
LEGAL = ("sensible", "random", "thinking", "duplicates_only")
ILLEGAL = ("malformed_json", "wrong_lengths", "unknown_operations", "numbers_as_text")
SILENT = ("empty", "refusal")
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
WORST = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.fixture
def official() -> Dialect:
    return DIALECTS["official"]


@pytest.fixture(params=DIALECTS.values(), ids=DIALECTS)
def any_dialect(request: pytest.FixtureRequest) -> Dialect:
    dialect: Dialect = request.param
    return dialect


def chat_in(dialect: Dialect, persona: str = "sensible", seed: int = 0) -> ScriptedChat:
    prompting = Prompting(names=dialect.names, order_seed=dialect.order_seed)
    return ScriptedChat(dialect.space, persona, seed, prompting)


def generate(dialect: Dialect, persona: str, request: str = "Write 8.", seed: int = 0) -> Reply:
    chat = chat_in(dialect, persona, seed)
    return chat.complete([SYSTEM, Message("user", request)], purpose="generator/0")


def legal(reply: Reply, dialect: Dialect) -> list[Architecture]:
    found = [proposal.candidate for proposal in read_proposals(reply.text, dialect)]
    return [candidate for candidate in found if isinstance(candidate, Architecture)]


def navigate(dialect: Dialect, *turns: str) -> str:
    messages = [SYSTEM, *(Message("user", turn) for turn in turns)]
    return chat_in(dialect).complete(messages, purpose="navigator/0").text


# -- what they write -------------------------------------------------------------------------


@pytest.mark.parametrize("persona", LEGAL)
def test_legal_personas_write_as_many_legal_architectures_as_asked(persona, any_dialect):
    reply = generate(any_dialect, persona)
    assert len(legal(reply, any_dialect)) == len(read_proposals(reply.text, any_dialect)) == 8
    assert reply.finish_reason == "stop"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("persona", ILLEGAL)
def test_spoiling_personas_write_nothing_legal(persona, seed, any_dialect):
    assert legal(generate(any_dialect, persona, seed=seed), any_dialect) == []


@pytest.mark.parametrize(
    ("persona", "complaint"),
    [
        ("malformed_json", "the answer contains no JSON object"),
        ("wrong_lengths", "cell must be a string of 6 digits"),
        ("unknown_operations", "edge 0->1 must be one of 0, 1, 2, 3, 4, got '9'"),
        ("numbers_as_text", "cell must be a string of 6 digits"),
    ],
)
def test_what_is_wrong_is_what_the_persona_is_named_after(persona, complaint):
    short = DIALECTS["short"]
    for proposal in proposals_of(generate(short, persona), short):
        assert isinstance(proposal.candidate, InvalidArchitecture)
        assert complaint in str(proposal.candidate)


def test_duplicates_only_writes_the_same_architecture_in_every_round(any_dialect):
    replies = [generate(any_dialect, "duplicates_only", f"Round {i}. Write 4.") for i in range(3)]
    assert len({arch for reply in replies for arch in legal(reply, any_dialect)}) == 1


def test_huge_writes_two_million_characters_around_a_sensible_answer(official):
    replies = [generate(official, "huge", seed=seed) for seed in range(12)]
    assert all(1_900_000 < len(reply.text) < 2_100_000 for reply in replies)
    assert len({reply.text[-20:] for reply in replies}) > 3


def test_truncated_stops_inside_the_json_and_says_so(any_dialect):
    for seed in range(20):
        reply = generate(any_dialect, "truncated", seed=seed)
        assert reply.finish_reason == "length"
        assert reply.text.count("{") > reply.text.count("}")


def test_silent_personas_write_no_architecture(any_dialect):
    assert generate(any_dialect, "empty").text.strip() == ""
    assert generate(any_dialect, "refusal").finish_reason == "refusal"
    assert all("{" not in generate(any_dialect, persona).text for persona in SILENT)


def test_thoughts_are_kept_apart_and_hold_an_architecture_that_is_not_proposed(official):
    reply = generate(official, "thinking")
    drafts = legal(Reply(reply.reasoning), official)
    assert len(drafts) == 1
    assert drafts[0] not in legal(reply, official)
    assert 0 < reply.usage.reasoning < reply.usage.output


@pytest.mark.parametrize("persona", LEGAL)
def test_the_purpose_says_what_is_asked_for_whatever_the_prompt_says(persona, space, official):
    messages = [Message("system", "You are the Generator."), Message("user", "Write 3.")]
    chat = ScriptedChat(space, persona)

    def written(purpose: str) -> list[Architecture]:
        return legal(chat.complete(messages, purpose=purpose), official)

    assert written("navigator/0") == []
    assert [len(written(f"{role}/0")) for role in ("generator", "llm", "critic")] == [3, 3, 3]


# -- the sensible persona --------------------------------------------------------------------


def test_it_keeps_to_the_prior_of_nas_bench_201(official):
    archs = legal(generate(official, "sensible", "Write 100 architectures."), official)
    assert len(set(archs)) == 100
    for arch in archs:
        assert set(arch["op"]) <= {"skip_connect", "nor_conv_1x1", "nor_conv_3x3"}
        assert arch["op"].count("nor_conv_3x3") >= 3


def test_the_prior_leaves_233_cells(space):
    cells = every_cell(space)
    assert len(cells) == space.size() == 15_625
    assert sum(PRIORS["nasbench201"].holds(cell) for cell in cells) == 233


def every_cell(space: SearchSpace) -> list[Architecture]:
    options, found = space.variables[0].options, [()]
    for _ in range(6):
        found = [(*ops, op) for ops in found for op in options]
    return [Architecture.of({"op": ops}) for ops in found]


def test_its_strategy_has_the_sections_and_speaks_the_language_of_the_space():
    told = navigate(DIALECTS["opaque"], "This is the first iteration.")
    headings = [line for line in told.splitlines() if line.startswith("#")]
    assert headings == ["# SUMMARY", "# KEY PATTERNS", "# NAVIGATION DIRECTIONS"]
    assert "conv" not in told


@pytest.mark.parametrize(
    "line",
    [
        '{{"arch": {arch}, "accuracy": {accuracy}, "macs": "150M"}}',
        "{arch} reached an accuracy of {accuracy} %",
        "- {arch}\tAccuracy: {accuracy}",
    ],
)
def test_its_strategy_names_the_best_cells_however_they_are_told(line, official):
    rows = [(WORST, 10.0), (BEST, 94.1)]
    told = [line.format(arch=json.dumps({"cell": c}), accuracy=a) for c, a in rows]
    strategy = navigate(official, "First.", "\n".join(told))
    assert "the best reaches 94.1" in strategy
    assert strategy.index(BEST) < strategy.index(WORST)


def test_its_strategy_leaves_out_what_misses_a_limit(official):
    over = json.dumps({"arch": {"cell": BEST}, "accuracy": 94.1, "limit missed": "macs too many"})
    strategy = navigate(official, f'{{"arch": {{"cell": "{WORST}"}}, "accuracy": 10}}\n{over}')
    assert WORST in strategy
    assert BEST not in strategy


def test_its_generator_varies_the_examples_of_the_strategy():
    lists = DIALECTS["lists"]
    space = lists.space
    example = space.build({"d": [4], "ks": [3, 3, 3, 3]})
    request = f"Vary {json.dumps(space.encode(example))}. Write 60 architectures."
    archs = legal(generate(lists, "sensible", request), lists)
    near = sum(arch in space.neighbours(example) for arch in archs)
    assert example not in archs
    assert near == len(space.neighbours(example))


@pytest.mark.parametrize(
    ("request_", "counts"),
    [
        ("Write 5 different architectures. Each must be complete.", {5}),
        ("Write 1 new architecture as one JSON object.", {1}),
        ("Generate 10-20 diverse architectures.", set(range(10, 21))),
        ("The strategy says: write 3 at most.\nNow write between 6 and 99 of them: 6.", {6}),
        ("Give me architectures.", {8}),
        ("Write 0 architectures.", {1}),
        ("Write 100000 architectures.", {8}),
    ],
)
def test_it_writes_as_many_as_the_last_request_asks_for(request_, counts, official):
    written = {
        len(legal(generate(official, "sensible", request_, seed), official)) for seed in range(60)
    }
    assert written == counts


def test_it_repeats_itself_only_when_nothing_else_is_left():
    lists = DIALECTS["lists"]
    archs = legal(generate(lists, "sensible", "Write 125 architectures."), lists)
    assert len(archs) == 125
    assert len(set(archs)) == 9 + 27 + 81  # all there are


def test_it_carries_a_search_past_what_random_search_finds(tmp_path):
    """Validation accuracy on CIFAR-100 at 100 evaluations; random search reaches 71.6."""
    space = NASBench201("cifar100")
    problem, evaluator = Problem(space, ClosedForm(space)), TabularEvaluator(space)
    reached = []
    for seed in range(3):
        chat = ScriptedChat(space, seed=seed)
        strategy = CoLLM(problem, seed, chat, chat, candidates="5-10")
        archive = Archive.open(tmp_path / f"{seed}.jsonl", problem.objective)
        run_search(problem, strategy, evaluator, archive, Budget(100, rounds=100))
        best = archive.best()
        assert best is not None
        reached.append(best.metrics[problem.objective])
    assert statistics.mean(reached) > 73.0


# -- schemas ---------------------------------------------------------------------------------


@pytest.mark.parametrize("persona", ["sensible", "thinking"])
def test_an_answer_that_must_have_a_schema_is_json_alone(persona, any_dialect):
    messages = [SYSTEM, Message("user", "Write 3 architectures.")]
    chat = chat_in(any_dialect, persona)
    reply = chat.complete(messages, purpose="g", schema=batch_schema(any_dialect))
    answer = json.loads(reply.text)
    assert list(answer) == ["architectures"]
    assert len([any_dialect.decode(item) for item in answer["architectures"]]) == 3


def test_a_schema_of_one_architecture_and_its_exclusions_are_kept():
    """Also where they leave nothing of the prior."""
    short = DIALECTS["short"]
    chat, cells = chat_in(short), every_cell(short.space)
    known = [cell for cell in cells if PRIORS["nasbench201"].holds(cell)]
    for i in range(5):
        schema = short.schema(exclude=known)
        reply = chat.complete([SYSTEM], purpose=f"generator/0/{i}", schema=schema)
        known.append(short.decode(json.loads(reply.text)))
    assert len(set(known)) == 233 + 5


def test_a_schema_that_is_not_of_the_space_is_an_error(space):
    schema = {"type": "object", "properties": {"city": {}}, "required": ["city"]}
    with pytest.raises(ValueError, match="no architecture of the space has the JSON schema"):
        ScriptedChat(space).complete([SYSTEM], purpose="g", schema=schema)


# -- determinism, labels, arguments ----------------------------------------------------------


@pytest.mark.parametrize("persona", PERSONAS)
def test_the_same_question_gets_the_same_answer(persona, any_dialect):
    assert generate(any_dialect, persona) == generate(any_dialect, persona)


@pytest.mark.parametrize("persona", ["sensible", "random", "wrong_lengths", "truncated"])
def test_another_seed_call_or_message_gets_another_answer(persona, space):
    def ask(seed: int = 0, purpose: str = "generator/0", request: str = "Write 8.") -> str:
        messages = [SYSTEM, Message("user", request)]
        return ScriptedChat(space, persona, seed).complete(messages, purpose=purpose).text

    answers = [ask(), ask(seed=1), ask(purpose="generator/1"), ask(request="Please write 8.")]
    assert len(set(answers)) == 4


def test_answers_do_not_depend_on_the_process():
    code = (
        "from collm_nas.llm.base import Message;"
        "from collm_nas.fake_llm.scripted import ScriptedChat;"
        "from collm_nas.spaces.nasbench201.space import NASBench201;"
        "print(ScriptedChat(NASBench201()).complete([Message('user', 'Hi')], purpose='').text)"
    )

    def run(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": hash_seed}
        return subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)

    assert run("1") == run("2")


@pytest.mark.parametrize("persona", PERSONAS)
def test_every_reply_says_that_no_language_model_wrote_it(persona, space, official):
    chat = ScriptedChat(space, persona)
    assert not chat.is_language_model
    assert chat.name == generate(official, persona).model == f"scripted:{persona}"
    assert chat.settings["model"] == chat.name


def test_tokens_are_counted_as_a_fourth_of_the_characters(space):
    messages: Sequence[Message] = [Message("system", "x" * 10), Message("user", "y" * 8)]
    reply = ScriptedChat(space).complete(messages, purpose="g")
    assert reply.usage.input == 3 + 2
    assert reply.usage.output == -(-len(reply.text) // 4)


@pytest.mark.parametrize("persona", FAULTY)
def test_personas_that_fail_on_the_way_need_the_server(persona, space):
    with pytest.raises(
        ValueError, match=f"python -m collm_nas.fake_llm.server --persona {persona}"
    ):
        ScriptedChat(space, persona)


def test_a_persona_of_an_older_run_has_todays_name(space, official):
    assert ScriptedChat(space, "stupid").name == "scripted:random"
    assert generate(official, "stupid") == generate(official, "random")


def test_an_unknown_persona_is_refused_with_those_there_are(space):
    with pytest.raises(ValueError, match=r"llm\.model\.persona must be one of sensible, .*'smart'"):
        ScriptedChat(space, "smart")


def test_the_option_builds_a_chat_that_knows_the_space_of_the_search():
    cfg = load("search", "llm=scripted", "searchspace.dataset=cifar100", "seed=7")
    chat = build(cfg.strategy.models.navigator)
    assert (chat.persona, chat.seed) == ("sensible", 7)
    assert chat.dialect.space.dataset == "cifar100"


def test_every_persona_is_documented():
    text = (ROOT / "docs" / "fake-server.md").read_text()
    assert [name for name in (*PERSONAS, *FAULTY) if f"`{name}`" not in text] == []
