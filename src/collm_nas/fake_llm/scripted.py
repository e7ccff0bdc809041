"""A persona in this process: a search without key, network or language model.

For tests, demonstrations of the pipeline and work on the code. What it finds says nothing about
language models, so its name goes with every output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from collm_nas.core.arguments import checked
from collm_nas.core.ranges import Seed, Text
from collm_nas.fake_llm.faults import FAULTY
from collm_nas.fake_llm.registry import ask, label, look_up
from collm_nas.llm.base import JSON, Message, Reply
from collm_nas.prompting.settings import Prompting
from collm_nas.spaces.base import SearchSpace


@checked
class ScriptedChat:
    """Answers by the rules of a persona; see `ChatModel`.

    Args:
        space: the search space; rules cannot learn it from a prompt.
        prompting: as the strategy's, for the words in which it tells the space.
        persona: one of `PERSONAS`; docs/fake-server.md says what each shows.

    Raises:
        ValueError: there is no such persona, or it needs a server.
    """

    is_language_model = False

    def __init__(
        self,
        space: SearchSpace,
        persona: Text = "sensible",
        seed: Seed = 0,
        prompting: Prompting = Prompting(),  # noqa: B008 (it is frozen)
    ) -> None:
        if persona in FAULTY:
            raise ValueError(
                f"llm.model.persona={persona} fails on the way, so it needs a server: "
                f"python -m collm_nas.fake_llm.server --persona {persona} (see docs/fake-server.md)"
            )
        try:
            self.persona = look_up(persona)
        except ValueError as error:
            raise ValueError(f"llm.model.{error}") from error
        self.dialect = prompting.dialect(space)
        self.seed = seed
        self.name = label(self.persona)
        self.settings: JSON = {"model": self.name, "seed": seed}

    def complete(
        self, messages: Sequence[Message], *, purpose: str, schema: JSON | None = None
    ) -> Reply:
        """See `ChatModel`. The same question gets the same answer only for the same purpose."""
        reply = ask(
            self.persona,
            self.dialect,
            messages,
            purpose=purpose,
            seed=self.seed,
            schema=schema,
            json_only=schema is not None,
        )
        return replace(reply, sent={"seed": self.seed}, seed_honoured="yes")
