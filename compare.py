"""Compare stored runs: `python compare.py 'runs=[runs/nasbench201]'`.

Arms are configurations without their seed, all cut to the same number of evaluations.
docs/compare.md tells the rest. `table=FILE` opens the sealed test accuracies.
"""

from collm_nas.cli.commands import compare

if __name__ == "__main__":
    compare()
