"""SiLLM-NAS, the ablation of CoLLM-NAS (Li, Lin & Wang, 2025, section 4.3): one LLM does it all.

In every round the same model sees all results, reflects on them and writes the architectures.
"""

from __future__ import annotations

from collections.abc import Mapping

from collm_nas.core.archive import Archive
from collm_nas.prompting import texts
from collm_nas.prompting.dialect import Dialect
from collm_nas.strategy.prompted import Prompted


class SingleLLM(Prompted):
    """Ask one LLM for the next candidates, given everything evaluated so far."""

    system, user = "single_llm_system", "single_llm_user"

    def values(self, archive: Archive, dialect: Dialect) -> Mapping[str, object]:
        """Tell all results or, without memory, those of the last round."""
        last = None if self.prompting.memory else 1
        return {"history": texts.history(archive, dialect, last)}
