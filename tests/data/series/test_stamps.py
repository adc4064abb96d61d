"""Time stamps of a table: an instant each, in the zone of the user, and none guessed."""

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from graphseq.data.series import Borders, Series

UTC = pd.date_range("2024-03-30", periods=100, freq="h", tz="UTC")
AUTUMN = pd.date_range("2024-10-26 12:00", periods=100, freq="h", tz="UTC")


def _series(stamps, **options):
    frame = pd.DataFrame({"t": stamps, "a": np.arange(float(len(stamps)))})
    return Series.from_frame(frame, time="t", **options)


def _instants(index):
    return index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "+05:30"])
@pytest.mark.parametrize("instants", [UTC, AUTUMN])
@pytest.mark.parametrize("how", ["index", "column", "objects", "texts", "csv"])
def test_any_zone_is_taken_over_both_changes_of_the_clock(tmp_path, zone, instants, how):
    local = instants.tz_convert(f"UTC{zone}" if zone[0] == "+" else zone)
    if how == "index":
        series = Series.from_frame(pd.DataFrame({"a": np.arange(100.0)}, index=local))
    elif how == "csv":
        pd.DataFrame({"t": local, "a": np.arange(100.0)}).to_csv(tmp_path / "z.csv", index=False)
        series = Series.from_csv(tmp_path / "z.csv", time="t", zone=zone)
    else:
        kinds = {"column": local, "objects": list(local.to_pydatetime()), "texts": local.strftime("%Y-%m-%dT%H:%M%z")}
        series = _series(pd.Series(kinds[how]).astype(object) if how == "objects" else kinds[how], zone=zone)
    np.testing.assert_array_equal(series.time, _instants(instants))
    shown = series.stamps()
    assert [stamp.isoformat() for stamp in shown] == [stamp.isoformat() for stamp in local]
    assert (np.diff(series.time) == np.timedelta64(1, "h")).all()


def test_offsets_are_kept_where_there_is_one_and_are_utc_where_they_differ():
    one = _series(["2024-01-01T00:00+02:00", *(f"2024-01-01T{hour:02d}:00+02:00" for hour in range(1, 20))])
    assert str(one.stamps()[0]) == "2024-01-01 00:00:00+02:00" and str(one.time[0])[:16] == "2023-12-31T22:00"
    berlin = UTC.tz_convert("Europe/Berlin")
    several = _series([stamp.isoformat() for stamp in berlin])
    assert str(several.stamps()[0]) == "2024-03-30 00:00:00+00:00"
    named = _series([stamp.isoformat() for stamp in berlin], zone="Europe/Berlin")
    assert str(named.stamps()[0]) == "2024-03-30 01:00:00+01:00"
    np.testing.assert_array_equal(several.time, named.time)
    assert str(_series([f"2024-01-{day:02d}T00:00Z" for day in range(1, 20)]).stamps()[0]).endswith("+00:00")


def test_stamps_of_the_clock_on_the_wall_are_told_apart_by_their_zone():
    clock = AUTUMN.tz_convert("Europe/Berlin").tz_localize(None)
    with pytest.raises(
        ValueError, match=r"time must be strictly increasing, got (the same stamp twice|an earlier stamp)"
    ):
        _series(clock)
    series = _series(clock, zone="Europe/Berlin")
    np.testing.assert_array_equal(series.time, _instants(AUTUMN))
    np.testing.assert_array_equal(_series(clock.astype(str), zone=ZoneInfo("Europe/Berlin")).time, series.time)
    with pytest.raises(ValueError, match="time must be hours that there are in Europe/Berlin"):
        _series(pd.date_range("2024-03-31", periods=20, freq="h"), zone="Europe/Berlin")


def test_some_stamps_with_a_zone_and_some_without_are_refused():
    texts = [f"2024-01-{day:02d}T00:00" for day in range(1, 20)]
    with pytest.raises(ValueError, match=r"time must name a zone in all rows of column 't' or in none, .*Z in row 4"):
        _series([text + "Z" * (row == 4) for row, text in enumerate(texts)])
    objects = [datetime(2024, 1, day, tzinfo=timezone.utc if day > 4 else None) for day in range(1, 20)]
    with pytest.raises(ValueError, match="in all rows of column 't' or in none"):
        _series(pd.Series(objects, dtype=object))


DAYS = np.arange("2024-01-01", "2024-01-21", dtype="datetime64[D]")


@pytest.mark.parametrize(
    "stamps",
    [
        DAYS,
        DAYS.astype(str),
        [str(day).replace("-", "/") for day in DAYS],
        [str(day).replace("-0", "-") for day in DAYS],
        [str(day).replace("-", "") for day in DAYS],
        [f" {day} 00:00:00.000 " for day in DAYS],
        [date(2024, 1, day) for day in range(1, 21)],
        list(DAYS.astype(object)),
        pd.period_range("2024-01-01", periods=20, freq="D"),
        pd.Series(DAYS.astype(str), dtype="category"),
    ],
)
def test_dates_in_any_dress_are_the_same_days(stamps):
    np.testing.assert_array_equal(_series(stamps).time.astype("datetime64[s]"), DAYS.astype("datetime64[s]"))


def test_periods_count_by_their_start():
    months = pd.period_range("2024-01", periods=20, freq="M")
    assert str(_series(months).time[1])[:10] == "2024-02-01"
    assert str(Series.from_frame(pd.DataFrame({"a": np.arange(20.0)}, index=months)).time[1])[:10] == "2024-02-01"


@pytest.mark.parametrize(
    ("stamp", "pattern", "right"),
    [
        ("01/02/2024", "%d/%m/%Y", "2024-02-01"),
        ("01/02/2024", "%m/%d/%Y", "2024-01-02"),
        ("01.02.2024", "%d.%m.%Y", "2024-02-01"),
        ("1 Feb 2024", "%d %b %Y", "2024-02-01"),
        ("1-2-24", "%d-%m-%y", "2024-02-01"),
    ],
)
def test_which_is_the_day_and_which_the_month_is_asked(stamp, pattern, right):
    form = pd.Timestamp(right)
    rest = pd.date_range(form + pd.Timedelta(days=1), periods=19).strftime(pattern)
    with pytest.raises(ValueError, match=f"year first, .*got '{stamp}' in row 0 of column 't': give time_format"):
        _series([stamp, *rest])
    series = _series([stamp, *rest], time_format=pattern)
    assert str(series.time[0])[:10] == right and (np.diff(series.time) == np.timedelta64(1, "D")).all()
    with pytest.raises(ValueError, match="time must be a date as time_format says, got 'soon' in row 19"):
        _series([stamp, *rest[:-1], "soon"], time_format=pattern)


SECONDS = 1_700_000_000 + 60 * np.arange(20)


@pytest.mark.parametrize("numbers", [SECONDS, SECONDS.astype(float), SECONDS.astype(object), SECONDS.astype(np.int32)])
def test_numbers_are_time_only_with_their_unit(numbers):
    with pytest.raises(ValueError, match=r"time must hold dates, got (int|float).* in column 't': give time_unit='s'"):
        _series(numbers)
    right = SECONDS.astype("datetime64[s]")
    np.testing.assert_array_equal(_series(numbers, time_unit="s").time, right)
    local = _series(numbers, time_unit="s", zone="Europe/Berlin")
    np.testing.assert_array_equal(local.time, right)
    assert str(local.stamps()[0]) == "2023-11-14 23:13:20+01:00"


def test_units_and_fractions_of_them():
    for unit, scale in (("ms", 1000), ("us", 10**6), ("ns", 10**9)):
        np.testing.assert_array_equal(_series(SECONDS * scale, time_unit=unit).time, SECONDS.astype("datetime64[s]"))
    hours = np.arange(20) * 0.25 + 480_000
    np.testing.assert_array_equal(
        _series(hours, time_unit="h").time,
        np.datetime64("2024-10-04T00:00") + np.arange(20) * np.timedelta64(15, "m"),
    )
    assert str(_series(np.arange(1990, 2010), time_format="%Y").time[3])[:10] == "1993-01-01"


@pytest.mark.parametrize(
    ("stamps", "options", "message"),
    [
        (SECONDS.astype(np.float32), {"time_unit": "s"}, "time must be integers or float64, got float32 .*two minutes"),
        (SECONDS * 1000, {"time_unit": "s"}, r"before the year 10000, got 1.7e\+12 s .* is time_unit right\?"),
        (SECONDS, {"time_unit": "weeks"}, "time_unit must be one of D, h, m, s, ms, us, ns, got 'weeks'"),
        (SECONDS, {"time_unit": "s", "time_format": "%Y"}, "time_format and time_unit must not both be given"),
        (DAYS, {"time_unit": "s"}, "time must hold numbers for time_unit='s', got datetime64"),
        (SECONDS * 0.0 + np.inf, {"time_unit": "s"}, "before the year 10000, got inf s"),
        (DAYS, {"zone": "Europe/Ulm"}, "zone must be the name of a time zone, .* got 'Europe/Ulm'"),
        ([True] * 20, {}, "time must hold dates, got bool in column 't'"),
        ([timedelta(days=day) for day in range(20)], {}, "time must hold dates, got timedelta64"),
        ([*DAYS.astype(str)[:-1], "soon"], {}, "got 'soon' in row 19 of column 't': give time_format"),
        (
            [*DAYS.astype(str)[:-1], "2024-02-30"],
            {},
            "such as 2024-01-31 12:00, got '2024-02-30' in row 19",
        ),
        ([*DAYS.astype(str)[:-1], "2024-13-01"], {}, "got '2024-13-01' in row 19"),
        ([*DAYS.astype(str)[:-1], None], {}, "date in every row, got none in row 19"),
        ([*DAYS.astype(str)[:-1], "NA"], {}, "date in every row, got none in row 19"),
        (
            [*SECONDS[:-1].astype(float), np.nan],
            {"time_unit": "s"},
            "date in every row, got none in row 19",
        ),
        (
            [*DAYS.astype(str)[:-1], 5],
            {},
            "one kind of stamps .* got '2024-01-01' in row 0 and 5 in row 19",
        ),
        ([*DAYS.astype(object)[:-1], 5], {}, "time must hold dates, got 5 in row 19"),
    ],
)
def test_stamps_that_would_be_guessed_are_refused(stamps, options, message):
    with pytest.raises(ValueError, match=message):
        _series(stamps, **options)


@pytest.mark.parametrize("option", [{"zone": "UTC"}, {"time_unit": "s"}, {"time_format": "%Y"}])
def test_how_time_is_read_without_time_is_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))} says how time stamps are read, got .* without time"):
        Series.from_frame(pd.DataFrame({"a": np.arange(20.0)}), **option)


@pytest.mark.parametrize("time", [np.arange(20), np.array(list(UTC[:20]), dtype=object), list(range(20)), UTC[:20]])
def test_a_series_takes_stamps_of_numpy_alone(unchecked, time):
    values = _series(DAYS).values
    with pytest.raises(ValueError, match=r"time must be an array of datetime64, got .*: Series.from_frame reads other"):
        Series(values, ("a",), Borders(10, 15, 20), time=time)


def test_rows_that_follow_are_in_the_zone_and_go_on_by_its_clock():
    berlin = pd.date_range("2024-03-20", periods=10, freq="D", tz="Europe/Berlin")
    later = _series(berlin).following(4)
    # The third day has 23 hours.
    assert [str(stamp) for stamp in later] == [
        "2024-03-30 00:00:00+01:00",
        "2024-03-31 00:00:00+01:00",
        "2024-04-01 00:00:00+02:00",
        "2024-04-02 00:00:00+02:00",
    ]
    hours = pd.date_range("2024-03-30 16:00", periods=10, freq="h", tz="Europe/Berlin")
    assert str(_series(hours).following(1)[0]) == "2024-03-31 03:00:00+02:00"
    assert str(_series(DAYS).following(2)[1]) == "2024-01-22 00:00:00"
    plain = Series.from_frame(pd.DataFrame({"a": np.arange(20.0)}))
    assert plain.following(2).tolist() == [20, 21]
    with pytest.raises(ValueError, match="series must have time stamps, got none"):
        plain.stamps()
