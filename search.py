"""Search a space: `python search.py searchspace=nasbench201 strategy=collm llm=gpt4`.

Repeat a command to continue its run. `python search.py --help` lists groups and settings.
"""

from collm_nas.cli.commands import search

if __name__ == "__main__":
    search()
