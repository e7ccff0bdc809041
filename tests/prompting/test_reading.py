"""What an LLM wrote becomes proposals: every object found, no value changed, nothing crashes."""

import json
import random
import re
import time

import pytest

from collm_nas.config.run import build
from collm_nas.core.architecture import Architecture, InvalidArchitecture
from collm_nas.core.archive import Archive
from collm_nas.core.search import screen
from collm_nas.llm.base import Reply
from collm_nas.prompting.dialect import dialect_of
from collm_nas.prompting.reading import MAX_PROPOSALS, MAX_TEXT
from collm_nas.strategy.prompted import proposals_of
from tests.conftest import load, options

A = '{"cell": "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|"}'
B = '{"cell": "|none~0|+|none~0|none~1|+|none~0|none~1|avg_pool_3x3~2|"}'


def read(text, space, finish_reason="stop"):
    return proposals_of(Reply(text, finish_reason=finish_reason), dialect_of(space))


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}",
        f"Sure! Here they are:\n```json\n[{A},\n {B}]\n```\nGood luck {{smile}}.",
        f'{{"architectures": [{A}, {B}]}}',
        f"1. {A} (deep)\n2. {B} (shallow)",
        f"The set {{a, b}} is broken {{ but these are not: {A}{B}",
    ],
)
def test_objects_are_found_whatever_surrounds_them(text, space):
    expected = [space.decode(json.loads(A)), space.decode(json.loads(B))]
    assert [p.candidate for p in read(text, space)] == expected


@pytest.mark.parametrize(
    "text",
    [
        f'{{"parameters": {{"architectures": [{A}, {B}]}}}}',
        f'{{"parameters": [{A}, {B}]}}',
        f'{{"a": [[{{"b": {{"architectures": [{A}, {B}]}}}}]]}}',
        f'{{"candidates": {{"1": {A}, "2": {B}}}}}',
        f'{{"architectures": [{{"arch": {A}}}, {{"id": 2, "architecture": {B}}}]}}',
        f'{{"architectures": {{"first": {A}, "second": {B}}}}}',
        f'[{{"answer": {A}}}, {{"answer": {B}}}]',
        '{"x":' * 300 + f'{{"architectures": [{A}, {B}]}}' + "}" * 300,
    ],
)
def test_envelopes_of_any_name_and_depth_are_looked_through(text, space):
    proposals = read(text, space)
    assert [p.candidate for p in proposals] == [space.decode(json.loads(a)) for a in (A, B)]
    assert [json.loads(p.text) for p in proposals] == [json.loads(a) for a in (A, B)]


@pytest.mark.parametrize("name", options("searchspace"))
def test_envelopes_are_looked_through_in_every_space(name):
    space = build(load("search", "strategy=random", f"searchspace={name}").searchspace)
    arch = space.sample(random.Random(0))
    for envelope in ('{"parameters": %s}', '{"a": [{"arch": %s}]}', '{"architectures": [%s]}'):
        (proposal,) = read(envelope % json.dumps(space.encode(arch)), space)
        assert proposal.candidate == arch


def test_an_envelope_changes_no_value(space):
    wrong = '{"cell": "|NOR_CONV_3x3~0|", "note": 1}'
    (bare,), (wrapped,) = read(wrong, space), read(f'{{"parameters": {wrong}}}', space)
    assert str(bare.candidate) == str(wrapped.candidate)
    assert isinstance(bare.candidate, InvalidArchitecture)


def test_an_object_without_any_architecture_is_one_invalid_candidate(space):
    (proposal,) = read('{"thoughts": [{"a": 1}, {"b": {"c": []}}]}', space)
    assert "'thoughts' is not a key" in str(proposal.candidate)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("", reasoning="x" * 1234), r"all 1,234 characters .* reasoning parser right"),
        (Reply("", reasoning="x", finish_reason="length"), "the token limit ended the answer"),
        (Reply("", unread='[{"type": "image_url"}]'), "of a kind that is not read: .*image_url"),
        (
            Reply("", finish_reason="content_filter", failures=["HTTP 400: filtered"]),
            "content_filter.*HTTP 400: filtered",
        ),
        (Reply("x" * 1_000_001), "the first 1,000,000 of 1,000,001 characters"),
    ],
)
def test_an_empty_answer_says_where_it_went(reply, why, space):
    (proposal,) = proposals_of(reply, dialect_of(space))
    assert re.search(why, str(proposal.candidate))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 900 + "[" + "1," * 400_000,
        '{"a":' * 900 + '"' + "x" * 900_000,
        '{"a":' * 900 + "9" * 900_000,
        '{"a": "b", ' * 80_000,
        "{\n" * 400_000,
        '{"' * 400_000,
        '{"a":1}' * 150_000,
        '{"k": {"architectures": [' + "{}," * 300_000,
        '{"architectures": [' + ",".join(["[]"] * 300_000) + "]}",
        '{"' + "k" * 900_000 + '": 1}',
        "{" + ",".join(f'"k{i}": 1' for i in range(60_000)) + "}",
    ],
    ids=lambda text: text[:24],
)
def test_reading_takes_little_time_whatever_was_written(text, space):
    start = time.process_time()
    proposals = read(text, space)
    assert time.process_time() - start < 5
    assert all(len(str(p.candidate)) <= 2_000 for p in proposals)


@pytest.mark.parametrize(
    ("text", "finish_reason", "why"),
    [
        ("", "stop", r"the answer is empty \(finish reason: stop\)"),
        ("", "content_filter", "content_filter"),
        ("I cannot help with that.", "stop", "contains no JSON object"),
        ('{"architectures": [{"cell": "|no', "length", "cut off at the token limit"),
    ],
)
def test_an_answer_without_objects_says_why(text, finish_reason, why, space):
    (proposal,) = read(text, space, finish_reason)
    assert isinstance(proposal.candidate, InvalidArchitecture)
    with pytest.raises(InvalidArchitecture, match=why):
        raise proposal.candidate


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ('{"cell": 5}', "must have the form"),
        ('{"cell": "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|"}', "edge 0->1 must be one of"),
        ('{"ops": [1, 2]}', "cell is missing; 'ops' is not a key"),
        ('{"architectures": ["333132"]}', "expected a JSON object"),
        ('{"architectures": [[0, 1]]}', "expected a JSON object"),
    ],
)
def test_a_wrong_object_is_kept_with_its_text_and_the_reason(written, why, space):
    (proposal,) = read(written, space)
    assert why in str(proposal.candidate)
    assert proposal.text


def test_an_answer_that_runs_wild_is_bounded(space):
    wild = read(A * 5000, space)
    assert len(wild) == MAX_PROPOSALS + 1
    assert "only 200 candidates" in str(wild[-1].candidate)
    huge = read('{"cell": "' + "x" * 2_000_000 + '"}', space)
    assert len(huge[0].text) == MAX_TEXT


@pytest.mark.parametrize("text", ['{"a":' * 100_000, "{" * 2_000_000, '{"' * 500_000, "[" * 10**6])
def test_pathological_nesting_ends_quickly(text, space):
    (proposal,) = read(text, space)
    assert isinstance(proposal.candidate, InvalidArchitecture)


@pytest.mark.parametrize(
    "text", ['{"cell": NaN}', '{"cell": 1e999}', '{"cell": ' + "9" * 5000 + "}"]
)
def test_numbers_beyond_json_are_no_architectures(text, space):
    assert all(isinstance(p.candidate, InvalidArchitecture) for p in read(text, space))


def test_ten_thousand_broken_answers_never_evaluate_an_illegal_architecture(
    space, problem, tmp_path
):
    """Fuzz: mutated and spliced good answers through parse and screen."""
    rng = random.Random(0)
    archive = Archive.open(tmp_path / "archive.jsonl", "val_accuracy")
    pieces = [A, B, "[", "]", "{", "}", '"', "\\", ",", "null", "~9", "|", "\x00", "é", "1e400"]
    for _ in range(10_000):
        text = list("".join(rng.choices(pieces, k=rng.randint(0, 8))))
        for _ in range(rng.randint(0, 6)):
            place = rng.randrange(len(text) + 1)
            text[place : place + rng.randint(0, 3)] = rng.choices(pieces + list("0aZ~|"), k=1)
        proposals = read("".join(text), space)
        assert proposals
        for record in screen(proposals, problem, archive, "feedback", evaluations_left=5):
            if record.verdict == "feasible":
                assert isinstance(record.arch, Architecture)
                assert space.decode(space.encode(record.arch)) == record.arch
            else:
                assert record.verdict in {"invalid", "duplicate", "skipped"}
                assert record.reason
