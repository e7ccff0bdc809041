"""What a search shows while it runs: lines in a file, a panel in a terminal."""

import io

import pytest

from collm_nas.logger.snapshot import Snapshot
from collm_nas.report.console import Progress, duration, first_words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


SNAPSHOT = Snapshot(
    round=2, evaluations=24, best=91.234, duplicates=3, invalid=1, infeasible=0,
    llm_calls=6, tokens=12_345, usd=0.012, protocol="clean:0",
    strategy="# SUMMARY\nPrefer [bold] 3x3.\n- and skips",
)  # fmt: skip


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["file", "terminal"])
def test_both_show_all_that_matters(stream):
    with Progress("collm on nasbench201", 100, done=0, stream=stream) as progress:
        progress.show(SNAPSHOT)
        if progress.live:
            progress.live.live.refresh()
    shown = stream.getvalue()
    for part in ("collm on nasbench201", "24/100", "91.234", "3 repeated, 1 invalid", "12,345",
                 "$0.012", "ETA", "Prefer [bold] 3x3. - and skips"):  # fmt: skip
        assert part in shown


def test_a_panel_shows_that_the_first_round_is_running():
    stream = Terminal()
    with Progress("title", 100, done=0, stream=stream):
        pass
    assert "first, running for" in stream.getvalue()


def test_evaluations_of_an_earlier_visit_say_nothing_of_the_rate():
    progress = Progress("title", 100, done=24, stream=io.StringIO())
    progress.show(SNAPSHOT)
    assert "ETA unknown" in progress._line(SNAPSHOT)


def test_durations_and_strategies_are_written_in_one_line():
    assert duration(75) == "1:15"
    assert duration(3661) == "1:01:01"
    assert first_words("# A\nb  c\n\nd", 10) == "b c d"
    assert first_words("x" * 50, 10) == "x" * 9 + "…"
