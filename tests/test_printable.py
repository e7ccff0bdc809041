"""What others wrote is shown without doing anything."""

from __future__ import annotations

import csv
import io
import sys
import unicodedata

import pytest

from collm_nas.core.printable import caption, printable, sendable, spreadsheet_cell


def test_only_visible_characters_and_line_ends_are_shown():
    for code in range(sys.maxunicode + 1):
        shown = printable(chr(code))
        shown.encode()  # no halves of characters
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            assert shown in ("\n", "\t") or shown.startswith("\\"), hex(code)
        else:
            assert shown == chr(code)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("over\rwritten\b", r"over\rwritten\x08"),
        ("abc \u202egnp.exe", r"abc \u202egnp.exe"),
        ("half \ud800", r"half \ud800"),
        ("für 株式会社 [bold]\tx\n", "für 株式会社 [bold]\tx\n"),
        (r"a\x1b", r"a\x1b"),
    ],
)
def test_what_would_act_is_written_as_its_escape(written, shown):
    assert printable(written) == shown


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n =", "\x0b@", "\u2003="])
def test_no_cell_is_a_formula(start):
    cell = spreadsheet_cell(start + '1+1\n"x",2')
    line = io.StringIO()
    csv.writer(line).writerow([cell])
    (row,) = csv.reader(io.StringIO(line.getvalue()))
    assert row[0].startswith("'")
    assert "\n" not in row[0]


def test_a_request_carries_everything_but_halves_of_characters():
    whole = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    assert sendable(whole) == whole
    assert {sendable(chr(half)) for half in range(0xD800, 0xE000)} == {"�"}
    assert sendable("\ud83d" + "\ude00") == "😀"
    assert sendable("\ufeffa") == "\ufeffa"
    assert {sendable(blank) for blank in ("", " ", "\n\t", "\u2003")} == {"(no text)"}


def test_a_caption_holds_no_formula():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    figure.suptitle(caption("scripted:$\\frac{$ \x1b[31m \ud800"))
    FigureCanvasAgg(figure).print_figure(io.BytesIO())
