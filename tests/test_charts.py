"""Charts: what is drawn is as long as the numbers say, and labels are text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from babyaipp.evaluation.charts import Curve, Estimate, Group, Mark, bars, curves, estimates, legend, shares

HOSTILE = '</svg><script>alert(1)</script>"&'


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def texts(svg: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in svg.iter("text")]


def rectangles(svg: ElementTree.Element) -> list[tuple[str, float, float]]:
    """Class, left edge and width."""
    return [(each.attrib["class"], float(each.attrib["x"]), float(each.attrib["width"])) for each in svg.iter("rect")]


def test_bars_are_as_long_as_means_over_runs():
    groups = [
        Group("one", ((Mark(0.5, 0.4, 0.6),), (Mark(0.2), Mark(0.6)))),
        Group("two", ((), (Mark(1.0),))),
    ]
    svg = parsed(bars("a chart", ("a", "b"), groups))
    half, mean, all_of_it = rectangles(svg)
    assert [half[0], mean[0], all_of_it[0]] == ["p0 bar", "p1 bar", "p1 bar"]
    assert half[1] == mean[1] == all_of_it[1]
    assert half[2] == pytest.approx(all_of_it[2] / 2, abs=0.1)
    assert mean[2] == pytest.approx(all_of_it[2] * 0.4, abs=0.1)
    assert {"one", "two", "0.500", "0.400", "1.000"} <= set(texts(svg))
    (whisker,) = [each.attrib["d"] for each in svg.iter("path") if each.attrib["class"] == "w"]
    start, end = (float(part.split()[0]) for part in whisker[1:].split("H"))
    assert end - start == pytest.approx(all_of_it[2] * 0.2, abs=0.2)


def test_bars_below_zero_go_to_the_left():
    svg = parsed(bars("a chart", ("a",), [Group("x", ((Mark(-0.1),),)), Group("y", ((Mark(0.2),),))], whole=None))
    down, up = rectangles(svg)
    assert down[1] + down[2] == pytest.approx(up[1], abs=0.11)
    assert up[2] == pytest.approx(2 * down[2], abs=0.2)
    (zero,) = [each.attrib["d"] for each in svg.iter("path") if each.attrib["class"] == "z"]
    assert float(zero[1:].split()[0]) == pytest.approx(up[1], abs=0.11)


def test_every_run_is_a_point_in_its_place():
    rows = [Estimate("success", Mark(0.5, 0.25, 0.75), (0.25, 0.5, 0.75))]
    svg = parsed(estimates("a chart", rows))
    points = [float(each.attrib["cx"]) for each in svg.iter("circle")]
    (interval,) = [each.attrib["d"] for each in svg.iter("path") if each.attrib["class"] == "i p0"]
    assert float(interval[1:].split()[0]) == points[0]
    assert float(interval.split("H")[1]) == points[2]
    assert points[1] == pytest.approx((points[0] + points[2]) / 2, abs=0.1)


def test_shares_are_laid_end_to_end():
    svg = parsed(shares("a chart", ("a", "b", "c"), [("level", (0.25, 0.0, 0.5))]))
    first, second = rectangles(svg)
    assert (first[0], second[0]) == ("p0", "p2")
    assert first[1] + first[2] == pytest.approx(second[1], abs=0.11)
    assert second[2] == pytest.approx(2 * first[2], abs=0.11)
    assert "0.750" in texts(svg)


def test_curves_go_through_their_points_and_the_first_is_on_top():
    lines = [Curve("own", ((0, 1), (0.5, 1), (1, 0)), ((0, 0.9, 1), (1, 0, 0.1))), Curve("other", ((0, 0), (1, 1)))]
    svg = parsed(curves("a chart", lines, "x", "y"))
    drawn = [(each.attrib["class"], each.attrib["d"]) for each in svg.iter("path")][5:]
    assert [kind for kind, _ in drawn] == ["l p1", "b p0", "l own p0"]
    own = [tuple(map(float, point.split())) for point in drawn[2][1][1:].split("L")]
    other = [tuple(map(float, point.split())) for point in drawn[0][1][1:].split("L")]
    assert own[0] == (other[0][0], other[1][1])
    assert own[2] == (other[1][0], other[0][1])
    assert own[1][0] == pytest.approx((own[0][0] + own[2][0]) / 2, abs=0.1)


def test_labels_are_text_whatever_they_hold():
    drawn = [
        bars(HOSTILE, (HOSTILE,), [Group(HOSTILE, ((Mark(0.5),),))]),
        estimates(HOSTILE, [Estimate(HOSTILE, Mark(0.5), (0.5,))]),
        shares(HOSTILE, (HOSTILE,), [(HOSTILE, (0.5,))]),
        curves(HOSTILE, [Curve(HOSTILE, ((0, 0), (1, 1)))], HOSTILE, HOSTILE),
        legend((HOSTILE,)),
    ]
    for text in drawn:
        found = parsed(text)
        assert {each.tag for each in found.iter()} <= {
            "svg",
            "g",
            "title",
            "rect",
            "path",
            "circle",
            "text",
            "ul",
            "li",
        }
        assert HOSTILE in "".join(found.itertext())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value):
    with pytest.raises(ValueError, match="must be finite"):
        bars("a chart", ("a",), [Group("x", ((Mark(value),),))])
