"""Say what an architecture is worth: `python evaluate.py run=RUN`, or `arch=spos_readme …`.

The search itself never sees a test accuracy. docs/evaluate.md tells all modes.
"""

from collm_nas.cli.commands import evaluate

if __name__ == "__main__":
    evaluate()
