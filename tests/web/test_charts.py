"""Charts draw their values: areas, gaps, times in a zone; any number of points."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.web import charts, words
from service.web.charts import HEIGHT, WIDTH, ChartMark, Series, TimeAxis

BEGIN = datetime(2026, 10, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
_COLUMN = re.compile(r"M([-\d.]+) ([-\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z")


def axis(count: int, width: timedelta = HOUR, zone: ZoneInfo = UTC_ZONE, begin: datetime = BEGIN) -> TimeAxis:
    return TimeAxis(begins=[begin + place * width for place in range(count)], width=width, zone=zone)


def counts(name: str, *values: float | None) -> Series:
    return Series(name=name, tone="ok", values=values)


def drawn_columns(path: str) -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of each column of a path."""
    return [(*map(float, each),) for each in _COLUMN.findall(path)]  # type: ignore[misc]


@given(st.lists(st.tuples(*[st.integers(0, 10_000)] * 3), min_size=1, max_size=60))
def test_areas_of_columns_are_as_their_values(rows: list[tuple[int, int, int]]) -> None:
    given = [counts(f"s{place}", *(row[place] for row in rows)) for place in range(3)]
    chart = charts.columns(axis(len(rows)), given, say=words.number)
    areas = [[width * height for _, _, width, height in drawn_columns(each.path)] for each in chart.series]
    values = [[value for value in each.values if value] for each in given]
    assert [len(each) for each in areas] == [len(each) for each in values]
    scale = max((sum(row) for row in rows), default=0) or 1
    largest = max((area for each in areas for area in each), default=0)
    highest = max((value for each in values for value in each), default=1) or 1
    for found, wanted in zip(areas, values, strict=True):
        for area, value in zip(found, wanted, strict=True):
            # Numbers are written with two decimals.
            assert area / (largest or 1) == pytest.approx(value / highest, abs=0.02 * scale / highest)


def test_columns_of_a_bucket_stand_on_each_other() -> None:
    chart = charts.columns(axis(2), [counts("a", 3, 1), counts("b", 1, None)], say=words.number)
    (lower, alone), (upper,) = (drawn_columns(each.path) for each in chart.series)
    assert lower[1] + lower[3] == HEIGHT
    assert upper[1] + upper[3] == lower[1]
    assert upper[0] == lower[0] < alone[0]
    assert alone[0] + alone[2] <= WIDTH


def test_a_line_ends_at_a_gap_and_a_lonely_value_is_a_dot() -> None:
    line = counts("p95", 10, 20, None, 30, None, 40, 50)
    (found,) = charts.durations(axis(7), [line], say=words.duration).series
    assert [part[0] for part in re.findall(r"[MLh][^MLh]*", found.path)] == ["M", "L", "M", "h", "M", "L"]


def test_a_tenfold_duration_is_as_far_up_anywhere() -> None:
    line = counts("p95", 1, 10, 100, 1_000)
    (found,) = charts.durations(axis(4), [line], say=words.duration).series
    heights = [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", found.path)]
    assert heights[0] == HEIGHT
    assert heights[-1] == 0
    assert heights[0] - heights[1] == pytest.approx(heights[2] - heights[3], abs=0.02)


@pytest.mark.parametrize("value", [0, 0.4, 1, 60_000, 4e9, 1e12])
def test_any_duration_lies_in_the_field(value: float) -> None:
    chart = charts.durations(axis(2), [counts("p95", value, value)], say=words.duration)
    heights = [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([-\d.]+)", chart.series[0].path)]
    assert all(0 <= height <= HEIGHT for height in heights)
    assert len(chart.levels) >= 2


@pytest.mark.parametrize("count", [0, 1, 2_000])
def test_any_number_of_points_is_drawn(count: int) -> None:
    values = counts("a", *range(count))
    for chart in (
        charts.columns(axis(count), [values], say=words.number),
        charts.durations(axis(count), [values], say=words.duration),
    ):
        assert len(chart.rows) == count
        assert bool(chart.series[0].path) is (count > 1 or (count == 1 and chart.kind == "lines"))
        assert len(chart.labels) <= 20
        assert all(0 <= float(label.at) <= 93 for label in chart.labels)
    assert bool(charts.spark(values.values)) is (count > 1)


def test_days_of_the_zone_are_as_long_as_they_are() -> None:
    # The night from 24 to 25 October 2026 has an hour more in Berlin.
    chart = charts.columns(axis(8 * 24, zone=BERLIN), [counts("a", *[1] * 192)], say=words.number)
    places = {label.text: float(label.at) for label in chart.labels}
    hour = 100 / 192
    assert places["Wed 21 Oct"] == pytest.approx(22 * hour, abs=0.02)
    assert places["Sun 25 Oct"] - places["Sat 24 Oct"] == pytest.approx(24 * hour, abs=0.02)
    assert places["Mon 26 Oct"] - places["Sun 25 Oct"] == pytest.approx(25 * hour, abs=0.02)
    assert chart.rows[0].text == "Tue 20 Oct 2026 02:00"


def test_hours_are_those_of_a_zone_that_is_off_by_less() -> None:
    chart = charts.columns(axis(6, zone=ZoneInfo("Asia/Kolkata")), [counts("a", *[1] * 6)], say=words.number)
    assert [label.text for label in chart.labels] == ["06:00", "07:00", "08:00", "09:00", "10:00", "11:00"]
    assert float(chart.labels[0].at) == pytest.approx(100 / 12, abs=0.02)


@given(st.timedeltas(timedelta(minutes=1), timedelta(days=20_000)))
def test_any_time_has_few_labels_and_buckets(span: timedelta) -> None:
    width = charts.width_for(span)
    count = max(span // width, 1)
    assert count <= 400
    begin = datetime(1990, 1, 1, tzinfo=UTC)
    chart = charts.columns(axis(count, width, BERLIN, begin), [counts("a", *[1] * count)], say=words.number)
    assert len(chart.labels) <= 18


def test_marks_stand_at_their_time_and_others_are_left_out() -> None:
    marks = [
        ChartMark(at=BEGIN + 6 * HOUR, text="v2"),
        ChartMark(at=BEGIN - HOUR, text="early"),
        ChartMark(at=BEGIN + 13 * HOUR, text="late"),
    ]
    chart = charts.columns(axis(12), [counts("a", *[1] * 12)], say=words.number, marks=marks)
    assert [(each.x, each.mark.text) for each in chart.marks] == [("50", "v2")]


def test_levels_of_counts_are_whole_and_reach_the_highest() -> None:
    for most in (0, 1, 3, 7, 99, 100, 12_345):
        chart = charts.columns(axis(1), [counts("a", most)], say=words.number)
        texts = [int(label.text.replace(",", "")) for label in chart.levels]
        assert texts == sorted(set(texts))
        assert texts[-1] >= most


def test_the_table_has_what_is_drawn() -> None:
    chart = charts.columns(axis(2), [counts("a", 1_000, None), counts("b", 2, 3)], say=words.number)
    assert [row.values for row in chart.rows] == [["1,000", "2"], ["–", "3"]]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.4, "0.4 ms"),
        (958, "958 ms"),
        (999.9, "1 s"),
        (2_310, "2.3 s"),
        (59_960, "1 min"),
        (262_000, "4 min 22 s"),
        (3_600_000, "1 h"),
        (11_100_000, "3 h 5 min"),
        (356_400_000, "4 days 3 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(milliseconds: float | None, text: str) -> None:
    assert words.duration(milliseconds) == text
