"""The pictures of a report: exact pixels, no reference outside, colors that the page decides."""

import base64
import io
import re
from collections.abc import Callable
from functools import cache
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from training.fitting.history import EpochRecord
from training.report.plots.curves import (
    calibration_curve,
    criterion_curve,
    loss_curves,
    roc_curve,
    term_curves,
)
from training.report.plots.histograms import (
    activation_histograms,
    activity_histogram,
    divergence_bars,
    joint_distributions,
    score_histogram,
    unit_histograms,
)
from training.report.plots.maps import code_map, image_canvas, spread_out
from training.report.plots.rows import column_panels, image_mosaic, plane_points, series_panels
from training.report.plots.style import CLASS_COLORS, INK, LINE, class_color

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=300).astype(np.float32)
PLANE = RANDOM.normal(size=(300, 2)).astype(np.float32)
SCORES = np.sort(RANDOM.gamma(2.0, size=300))
LABELS = np.arange(300) % 3
IMAGES = RANDOM.random((300, 8, 8, 1), dtype=np.float32)
SERIES = RANDOM.normal(size=(300, 50, 2)).astype(np.float32)
RATES = np.geomspace(0.001, 0.5, 20)
CLASSES = ("a", "b", "c")


def epochs(*losses: float) -> list[EpochRecord]:
    return [
        EpochRecord(
            number, 1.0, 0.1, {"reconstruction": loss, "divergence": 0.1}, {"reconstruction": loss}
        )
        for number, loss in enumerate(losses, 1)
    ]


PICTURES: dict[str, Callable[[], str]] = {
    "losses": lambda: loss_curves(epochs(3.0, 2.0, 1.0), 3),
    "losses of one epoch": lambda: loss_curves(epochs(3.0), 1),
    "terms": lambda: term_curves(epochs(3.0, 2.0, 1.0), 3),
    "criterion": lambda: criterion_curve({1: 9.0, 2: 5.0, 4: 7.0}, 2),
    "roc": lambda: roc_curve((RATES, np.sqrt(RATES)), {"0.01": (0.01, 0.1)}),
    "rates": lambda: calibration_curve(RATES, (RATES, RATES), (RATES / 2, RATES * 2)),
    "scores": lambda: score_histogram({"normal": SCORES}, {0.01: 5.0, 0.07: None}, "nats"),
    "scores with zeros": lambda: score_histogram({"normal": SCORES - SCORES.min()}, {}, "nats"),
    "equal scores": lambda: score_histogram({"normal": np.ones(9)}, {}, "nats"),
    "one unit": lambda: unit_histograms({"unit 0": VALUES}, standard_normal=True),
    "nine units": lambda: unit_histograms(
        {f"unit {i}": VALUES for i in range(9)}, standard_normal=False
    ),
    "a dead unit": lambda: unit_histograms(
        {"unit 0": np.zeros(9, np.float32)}, standard_normal=False
    ),
    "pairs": lambda: joint_distributions(
        {"one": VALUES, "other": VALUES[::-1], "dead": 0 * VALUES}
    ),
    "activations": lambda: activation_histograms(
        {"first": np.maximum(VALUES, 0), "second": VALUES}
    ),
    "activity": lambda: activity_histogram(VALUES),
    "divergences": lambda: divergence_bars(np.abs(VALUES[:10]), 0.01),
    "map": lambda: code_map(PLANE, LABELS, CLASSES, "code"),
    "map with images": lambda: code_map(PLANE, LABELS, CLASSES, "code", IMAGES),
    "map with series": lambda: code_map(PLANE, LABELS, CLASSES, "code", SERIES),
    "series": lambda: series_panels([("a", {"row": SERIES[0], "return": SERIES[1]})], "series"),
    "points": lambda: plane_points(
        {"rows": PLANE, "line": PLANE[:9]}, ("x", "y"), "p", joined=("line",)
    ),
    "columns": lambda: column_panels(PLANE, PLANE[::-1], ["x", "y"]),
}


@cache
def picture(name: str) -> str:
    return PICTURES[name]()


def pixels(url: str) -> np.ndarray:
    head, _, content = url.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_one_element_that_refers_to_nothing_outside(name: str) -> None:
    root = ET.fromstring(picture(name))  # noqa: S314  # written by ourselves

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["aria-label"]
    for element in root.iter():
        assert not element.tag.endswith("}script")
        for key, value in element.attrib.items():
            if key.endswith("href"):
                assert value.startswith(("#", "data:image/png;base64,"))
        assert "http" not in element.attrib.get("style", "")


@pytest.mark.parametrize("name", PICTURES)
def test_ink_and_lines_have_the_colors_of_the_page(name: str) -> None:
    drawn = picture(name)

    assert INK not in drawn
    assert LINE not in drawn
    assert "currentColor" in drawn
    assert "var(--line)" in drawn


@pytest.mark.parametrize("name", PICTURES)
def test_no_identifier_is_given_twice_in_a_picture_or_looked_for_in_vain(name: str) -> None:
    root = ET.fromstring(picture(name))  # noqa: S314  # written by ourselves
    given_ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    wanted = set(re.findall(r"url\(#([^)]+)\)", picture(name)))
    wanted |= set(re.findall(r'href="#([^"]+)"', picture(name)))

    assert len(given_ids) == len(set(given_ids))
    assert wanted <= set(given_ids)


def test_pictures_of_one_page_share_no_identifier() -> None:
    per_picture = [set(re.findall(r' id="([^"]+)"', picture(name))) for name in ("map", "roc")]

    assert not per_picture[0] & per_picture[1]


def test_the_same_data_gives_the_same_picture() -> None:
    assert code_map(PLANE, LABELS, CLASSES, "code", IMAGES) == picture("map with images")


def test_texts_of_a_picture_name_what_it_shows() -> None:
    assert ">epoch 3<" in picture("losses")
    assert "divergence" in picture("terms")
    assert ">0.01<" in picture("scores").replace(" ", "")
    assert ">0.07<" not in picture("scores").replace(" ", "")
    assert "score (nats)" in picture("scores")
    for name in CLASSES:
        assert re.search(rf">\s*{name}\s*<", picture("map"))


def test_a_mosaic_holds_the_images_with_a_pixel_between_them() -> None:
    grid = [IMAGES[:3], IMAGES[3:6]]

    drawn = pixels(image_mosaic(grid))

    assert drawn.shape == (2 * 8 + 1, 3 * 8 + 2)
    for down in range(2):
        for across in range(3):
            tile = drawn[down * 9 : down * 9 + 8, across * 9 : across * 9 + 8]
            np.testing.assert_array_equal(tile, np.round(grid[down][across, ..., 0] * 255))
    assert set(drawn[8]) == {128}
    assert set(drawn[:, 8]) == {128}


def test_a_mosaic_cuts_values_to_what_can_be_seen_and_keeps_colors() -> None:
    images = np.zeros((1, 2, 2, 3), np.float32)
    images[0, 0, 0] = (-1.0, 0.5, 2.0)

    drawn = pixels(image_mosaic([images]))

    assert drawn.shape == (2, 2, 3)
    np.testing.assert_array_equal(drawn[0, 0], [0, 128, 255])


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60),
    st.floats(0.02, 0.5),
    st.floats(0.02, 0.5),
)
def test_thumbnails_never_overlap_and_stay_inside(
    points: list[tuple[float, float]], width: float, height: float
) -> None:
    places = np.array(points, np.float64).reshape(-1, 2)

    chosen = spread_out(places, (width, height))

    for position, index in enumerate(chosen):
        across, up = places[index]
        assert width / 2 < across < 1 - width / 2
        assert height / 2 < up < 1 - height / 2
        for other in chosen[:position]:
            apart = np.abs(places[index] - places[other])
            assert apart[0] >= width or apart[1] >= height


def test_thumbnails_leave_out_only_rows_that_have_no_room() -> None:
    places = np.array([[0.5, 0.5], [0.52, 0.5], [0.7, 0.5], [0.0, 0.5]])

    assert spread_out(places, (0.1, 0.1)) == [0, 2]


def test_a_thumbnail_is_the_image_in_its_class_s_color() -> None:
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, 2, 3] = 1.0

    canvas = image_canvas(np.array([[0.5, 0.5]]), np.array([1]), image)

    inked = canvas[..., 3] == 255
    assert inked.sum() == (28 // 8) ** 2
    assert canvas[..., 3].sum() == 255 * inked.sum()
    expected = np.round(255 * np.array(to_rgb(class_color(1))))
    np.testing.assert_array_equal(canvas[inked][:, :3], np.tile(expected, (inked.sum(), 1)))
    down, across = np.argwhere(inked).mean(axis=0) / canvas.shape[:2]
    assert down == pytest.approx(0.5 - 1.5 * 3 / canvas.shape[0], abs=0.01)
    assert across == pytest.approx(0.5 - 0.5 * 3 / canvas.shape[1], abs=0.01)


def test_after_ten_classes_colors_come_again() -> None:
    assert [class_color(label) for label in (0, 9, 10)] == [
        CLASS_COLORS[0],
        CLASS_COLORS[9],
        CLASS_COLORS[0],
    ]
