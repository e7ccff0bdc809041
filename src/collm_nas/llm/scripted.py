"""A persona in this process: a search without key, network or language model.

For tests, demonstrations of the pipeline and work on the code. What it finds says nothing about
language models, so its name goes with every output.
"""

from __future__ import annotations

from collections.abc import Sequence

from collm_nas.core.ranges import Seed, Text
from collm_nas.llm.base import JSON, Message, Reply, Usage
from collm_nas.llm.personas.base import Space
from collm_nas.llm.personas.cast import PERSONAS, ask, label, tokens
from collm_nas.llm.personas.faults import FAULTY


class ScriptedChat:
    """Answers by the rules of a persona; see `ChatModel`.

    Args:
        space: the search space; rules cannot learn it from a prompt.
        persona: one of `PERSONAS`; docs/fake-server.md says what each shows.

    Raises:
        ValueError: there is no such persona, or it needs a server.
    """

    is_language_model = False

    def __init__(self, space: Space, persona: Text = "sensible", seed: Seed = 0) -> None:
        if persona in FAULTY:
            raise ValueError(
                f"llm.model.persona={persona} fails on the way, so it needs a server: "
                f"python -m collm_nas.llm.server --persona {persona} (see docs/fake-server.md)"
            )
        if persona not in PERSONAS:
            raise ValueError(
                f"llm.model.persona must be one of {', '.join(PERSONAS)}, got {persona!r}"
            )
        self.space = space
        self.persona = persona
        self.seed = seed
        self.name = label(persona)
        self.settings: JSON = {"model": self.name, "seed": seed}

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """See `ChatModel`. The same question gets the same answer only for the same purpose."""
        answer = ask(
            self.persona,
            self.space,
            messages,
            seed=self.seed,
            call=purpose,
            schema=schema,
            json_only=schema is not None,
        )
        reasoning = tokens(answer.reasoning)
        return Reply(
            text=answer.text,
            reasoning=answer.reasoning,
            finish_reason="refusal" if answer.refused else answer.finish_reason,
            model=self.name,
            usage=Usage(
                input=tokens(*(message.content for message in messages)),
                output=tokens(answer.text) + reasoning,
                reasoning=reasoning,
            ),
            sent={"seed": self.seed},
            seed_honoured="yes",
        )
