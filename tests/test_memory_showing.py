"""What notebooks show of a memory, and the texts in tables."""

import io
import re
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import retain
from retain._command import waiting
from retain._memory.showing import ago, duration, rate


class Cells(HTMLParser):
    """The texts of a page by tag, and whether all that is opened is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.found = [], {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag in {"p", "b", "code", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.found.setdefault(self.open[-1], []).append(data.replace("\N{NO-BREAK SPACE}", " "))


def area(radius):
    return radius * radius * 3


def zeros(count):
    return np.zeros(count)


def test_notebooks_show_a_table(tmp_path):
    memory = retain.Memory(str(tmp_path / "cache"), verbose=0)
    kept = memory.cache(area)
    for radius in (1, 2, 3, 1, 2, 1):
        kept(radius)
    for count in (10, 50_000):
        memory.cache(zeros)(count)
    found = Cells(memory._repr_html_()).found
    assert found["code"] == [str(tmp_path / "cache" / "retain")]
    assert found["th"] == ["function", "entries", "size", "hits", "misses", "hit rate", "time saved"]
    rows = [found["td"][place : place + 7] for place in range(0, len(found["td"]), 7)]
    assert [row[0].rpartition(".")[2] for row in rows] == ["zeros", "area", "all"]
    assert rows[1][1] == "3"
    assert rows[1][3:6] == ["3", "3", "50 %"]
    assert rows[2][1] == "5"
    # What was counted since, and not yet written down.
    kept(1)
    assert Cells(memory._repr_html_()).found["td"][10] == "4"


def strange(text):
    return text


strange.__qualname__ = "\x1b[2J<script>alert(1)</script>"


def test_notebooks_are_shown_no_markup_of_others(tmp_path):
    stranger = retain.Memory(str(tmp_path / "<i>"), verbose=0)
    stranger.cache(strange)("<b>")
    page = stranger._repr_html_()
    assert "<script" not in page
    assert "<i>" not in page
    assert "\x1b" not in page
    assert Cells(page).found["td"][0].endswith(r"\x1b[2J<script>alert(1)</script>")


def test_notebooks_show_memories_without_entries(tmp_path, monkeypatch):
    assert "nothing is kept" in retain.Memory(None)._repr_html_()
    memory = retain.Memory(str(tmp_path), verbose=0)
    assert "no entries yet" in memory._repr_html_()
    monkeypatch.setattr(memory._place, "flush", lambda: 1 / 0)
    page = memory._repr_html_()
    assert "ZeroDivisionError" in page
    Cells(page)


def test_many_functions_are_counted(tmp_path):
    memory = retain.Memory(str(tmp_path), verbose=0)
    for number in range(25):
        namespace = {}
        exec(f"def f{number}():\n    return {number}\n", namespace)  # noqa: S102
        memory.cache(namespace[f"f{number}"], version="1", track="version")()
    assert "and 5 more" in Cells(memory._repr_html_()).found["td"]


# Texts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (float("nan"), "0 s"),
        (2.5e-7, "0.25 µs"),
        (0.00025, "250 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (59.9, "59.9 s"),
        (59.97, "1 min"),
        (61, "1 min 1 s"),
        (3600 * 3 + 720, "3 h 12 min"),
        (86400, "1 d"),
        (86400 * 1234, "1,234 d"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_shares():
    assert [rate(share) for share in (None, 0, 0.001, 0.5, 0.999, 1)] == [
        "-",
        "0 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "100 %",
    ]


def test_moments():
    now = 1_800_000_000.0
    assert [ago(now - passed, now) for passed in (0, 30, 60, 7300, 86400 * 3)] == [
        "now",
        "30 s ago",
        "1 min ago",
        "2 h ago",
        "3 d ago",
    ]
    assert ago(now + 7300, now) == "in 2 h"
    assert ago(0, now) == "-"
    assert re.fullmatch(r"2026-\d\d-\d\d", ago(now - 86400 * 90, now))


# Waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_takes_long_shows_how_far_it_is(monkeypatch):
    monkeypatch.setattr(waiting, "_PATIENCE", 0.0)
    monkeypatch.setattr(waiting, "_INTERVAL", 0.001)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with waiting.Waiting("checking") as shown:
        shown.report(5, 10)
        while "5 of 10" not in sys.stderr.getvalue():
            time.sleep(0.001)
    told = sys.stderr.getvalue()
    assert "checking [###############               ] 5 of 10" in told
    assert told.rpartition("\r")[2] == ""
    assert told.split("\r")[-2].strip() == ""


def test_what_is_quick_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with waiting.Waiting("checking") as shown:
        shown.report(5, 10)
    assert sys.stderr.getvalue() == ""


def test_what_takes_long_shows_nothing_where_nobody_looks(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "_PATIENCE", 0.0)
    with waiting.Waiting("checking"):
        time.sleep(0.01)
    assert capsys.readouterr() == ("", "")
