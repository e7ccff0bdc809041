"""Thinking is recorded, but it is not the answer.

Servers that can tell the two apart do so in a field of their own. Others leave the marks of the
model's chat template in the text. Some templates open the block in the prompt already, so that
only its end is in the answer; a block that the token limit cut has no end. Every function here
takes time linear in the text: a model that loops writes such marks by the ten thousand.
"""

from __future__ import annotations

import re

# <think>, <thinking>, <thought>, <reasoning>, <seed:think>, <longcat_think> …: most models
NAME = r"(?:\w{1,20}[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?)(?:_\w{1,20})?"
OPENING = (
    rf"<{NAME}(?:\s[^<>]{{0,200}})?>",
    r"\[THINK\]",  # Magistral
    r"◁think▷",  # Kimi
    r"<\|(?:begin_of_thought|START_THINKING|think)\|>",  # OpenThinker, Command A
    r"<\|channel>thought",  # Gemma
)
CLOSING = (
    rf"</{NAME}\s*>",
    r"\[/THINK\]",
    r"◁/think▷",
    r"<\|(?:end_of_thought|END_THINKING|/think)\|>",
    r"<channel\|>",
)
MARK = re.compile(f"({'|'.join(OPENING)})|{'|'.join(CLOSING)}", re.IGNORECASE)

# The channels of gpt-oss, https://cookbook.openai.com/articles/openai-harmony
CHANNEL, CONTENT = "<|channel|>", "<|message|>"
END = re.compile(r"<\|(?:end|return|call)\|>|<\|start\|>(?:assistant)?")
# … as they look where the special tokens were left out; and Granite, which has no tokens for it
SPOKEN = (
    (re.compile(r"\s*analysis(?=\w)"), "assistantfinal"),
    (re.compile(r"\s*Here(?:'s| is) my thought process:"), "Here is my response:"),
)


def split_reasoning(text: str) -> tuple[str, str]:
    """Return the answer and the reasoning in `text`, both as written but for outer white space."""
    spoken, thoughts = _split_channels(text)
    answer, blocks = _split_blocks(spoken)
    if answer == text:
        return text, ""
    stripped = [thought.strip() for thought in (*thoughts, *blocks)]
    return answer.strip(), "\n".join(thought for thought in stripped if thought)


def _split_channels(text: str) -> tuple[str, list[str]]:
    """Keep the final channel, or the whole text if it has no channels."""
    if CHANNEL not in text:
        for beginning, final in SPOKEN:
            if begun := beginning.match(text):
                thought, _, answer = text[begun.end() :].partition(final)
                return answer, [thought]
        return text, []
    before, *channels = text.split(CHANNEL)
    answers: list[str] = []
    thoughts = END.split(before)
    for channel in channels:
        name, _, content = channel.partition(CONTENT)
        first, *others = END.split(content)
        (answers if name.split()[:1] == ["final"] else thoughts).append(first)
        thoughts += others
    return "\n".join(answers), thoughts


def _split_blocks(text: str) -> tuple[str, list[str]]:
    """Keep what stands between blocks; what precedes an end without a beginning is a block."""
    answer: list[str] = []
    headless: list[str] = []
    thoughts: list[str] = []
    place, inside = 0, False
    for mark in MARK.finditer(text):
        opens = bool(mark[1])
        if inside and opens:
            continue
        (thoughts if inside else answer).append(text[place : mark.start()])
        if not inside and not opens:
            headless += answer
            answer.clear()
        place, inside = mark.end(), opens
    (thoughts if inside else answer).append(text[place:])
    return "".join(answer), ["".join(headless), *thoughts] if headless else thoughts
