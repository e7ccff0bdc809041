"""Thinking is recorded, but it is not the answer.

Servers that can tell the two apart do so in a field of their own. Others leave the tags of the
model's chat template in the text, and some templates already open the block in the prompt, so
that only its end is in the answer. A block that was cut by the token limit has no end.
"""

from __future__ import annotations

import re

BLOCK = re.compile(r"<think(?:ing)?>(.*?)</think(?:ing)?>", re.DOTALL)
END = re.compile(r"</think(?:ing)?>")
START = re.compile(r"<think(?:ing)?>")


def split_reasoning(text: str) -> tuple[str, str]:
    """Return the answer and the reasoning in `text`, both as written but for outer white space."""
    thoughts = BLOCK.findall(text)
    answer = BLOCK.sub("", text)
    if ends := list(END.finditer(answer)):
        thoughts.insert(0, answer[: ends[-1].start()])
        answer = answer[ends[-1].end() :]
    if start := START.search(answer):
        thoughts.append(answer[start.end() :])
        answer = answer[: start.start()]
    if not thoughts:
        return text, ""
    return answer.strip(), "\n".join(thought.strip() for thought in thoughts)
