"""Every setting of every option of every group, with every kind of nonsense: what is taken?

    python benchmarks/settings_fuzz.py

The tests do the same with a few values for each config. Prints how much was tried and what a
command would have taken wrongly; the exit status is 1 if that is anything. Minutes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("COLLM_LLM_MODEL", "some-model")  # of llm=endpoint

from tests.test_settings import CASES, VALUES, faults

tried, found = 0, dict[str, None]()
for case in CASES:
    settings, wrong = faults(case, VALUES)
    tried += settings
    found |= dict.fromkeys(wrong)
print(f"{len(CASES)} configs, {tried:,} settings in them, {len(VALUES)} values each: ", end="")
print(f"{tried * len(VALUES):,} checks; {len(found)} are taken wrongly", *found, sep="\n")
sys.exit(bool(found))
