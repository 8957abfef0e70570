"""Panels: arranged in pairs, written as escaped HTML."""

from hypothesis import given
from hypothesis import strategies as st

from training.report.panels.panel import (
    Panel,
    arranged,
    image_element,
    readable_name,
    table_element,
)


def panels_of(widths: list[bool]) -> list[Panel]:
    return [Panel(str(number), "", "", wide=wide) for number, wide in enumerate(widths)]


@given(st.lists(st.booleans(), max_size=12))
def test_no_half_of_a_row_stays_empty(widths: list[bool]) -> None:
    placed = arranged(panels_of(widths))

    assert sorted(int(panel.title) for panel in placed) == list(range(len(widths)))
    run = 0
    for panel in [*placed, Panel("end", "", "", wide=True)]:
        narrow = not (panel.wide or panel.lone)
        assert narrow or run % 2 == 0
        run = run + 1 if narrow else 0
    assert sum(panel.lone for panel in placed) == (len(widths) - sum(widths)) % 2


@given(st.lists(st.booleans(), max_size=12))
def test_narrow_panels_keep_their_order_and_so_do_wide_ones(widths: list[bool]) -> None:
    placed = arranged(panels_of(widths))

    for wide in (True, False):
        numbers = [int(panel.title) for panel in placed if panel.wide is wide]
        assert numbers == sorted(numbers)


def test_a_panel_escapes_its_words_and_keeps_its_picture() -> None:
    html = Panel("a < b", "x & y", "<svg></svg>").to_html()

    assert "<h3>a &lt; b</h3>" in html
    assert "<p>x &amp; y</p>" in html
    assert "<svg></svg>" in html


def test_a_lone_panel_is_marked_apart_from_a_wide_one() -> None:
    assert Panel("", "", "", wide=True).to_html().startswith('<article class="wide">')
    assert Panel("", "", "", lone=True).to_html().startswith('<article class="wide lone">')
    assert Panel("", "", "").to_html().startswith("<article>")


def test_a_table_sets_numbers_to_the_right_and_escapes_words() -> None:
    html = table_element(["name", "value"], [("<b>", 0.123456), ("c", 1234567)])

    assert "<td>&lt;b&gt;</td>" in html
    assert '<td class="number">0.12346</td>' in html
    assert '<th class="number">value</th>' in html
    assert "<th>name</th>" in html
    assert '<td class="number">1,234,567</td>' in html


def test_a_table_without_rows_still_has_its_head() -> None:
    assert table_element(["name"], []) == "<table><tr><th>name</th></tr></table>"


def test_an_image_describes_itself() -> None:
    html = image_element("data:,", 'a "quoted" text', "square")

    assert html == '<img class="square" alt="a &quot;quoted&quot; text" src="data:,">'


def test_names_are_written_as_people_do() -> None:
    assert readable_name("denoised-psnr-db") == "denoised PSNR in dB"
    assert readable_name("standard-normal") == "standard normal"
    assert readable_name("error-over-pca") == "error over PCA"
