"""The functions of benchmarks/ that find slower times and check targets."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("compare")


@pytest.fixture
def targets(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("targets")


@pytest.fixture
def log(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("log")


def measured(spread=0.01, turns=9, **seconds):
    quartiles = {side: [s * (1 - spread / 2), s * (1 + spread / 2)] for side, s in seconds.items()}
    return {"seconds": seconds, "quartiles": quartiles, "turns": turns}


def result_file(sklstm=1.0, torch=1.0, alone=1.0, **settings):
    """Return results of a grid of two shapes with a rival, and of a part without rivals."""
    rows = {name: measured(sklstm=sklstm, torch=torch, **settings) for name in ("1,2", "3,4")}
    return {"grid": {"1": {"training": rows}}, "ragged": measured(sklstm=alone, **settings)}


def slower(changes):
    return [change.name for change in changes if change.slower]


def test_the_same_file_is_not_slower(compare):
    changes = compare.changes(result_file(), result_file())
    assert len(changes) == 4
    assert not slower(changes)


def test_a_slower_time_is_reported_with_its_name(compare):
    assert slower(compare.changes(result_file(), result_file(alone=1.2))) == ["ragged: sklstm"]
    grid = ["grid/1/training/1,2: sklstm", "grid/1/training/3,4: sklstm"]
    mean = "grid/1/training, mean: sklstm"
    assert slower(compare.changes(result_file(), result_file(sklstm=1.2))) == [*grid, mean]


def test_the_mean_over_the_grid_has_a_smaller_tolerance(compare):
    changes = compare.changes(result_file(), result_file(sklstm=1.07))
    assert slower(changes) == ["grid/1/training, mean: sklstm"]


def test_a_slower_machine_is_not_a_slower_commit(compare):
    old = result_file()
    assert not slower(compare.changes(old, result_file(sklstm=2.0, torch=2.0, alone=2.0)))
    assert slower(compare.changes(old, result_file(sklstm=1.0, torch=0.5, alone=0.5)))


def test_noise_is_not_a_slower_commit(compare):
    noisy = measured(spread=1.0, sklstm=1.3)
    assert not slower(compare.changes({"a": measured(spread=1.0, sklstm=1.0)}, {"a": noisy}))
    assert slower(compare.changes({"a": measured(sklstm=1.0)}, {"a": measured(sklstm=1.3)}))


def test_many_turns_reduce_noise(compare):
    old, new = (measured(spread=0.5, turns=1000, sklstm=seconds) for seconds in (1.0, 1.2))
    assert slower(compare.changes({"a": old}, {"a": new}))


@pytest.mark.parametrize(("threads", "n_compared"), [(1, 1), (2, 0)])
def test_disturbed_times_with_several_threads_are_not_compared(compare, threads, n_compared):
    old = {"a": measured(sklstm=1.0)}
    new = {"a": measured(sklstm=1.5) | {"threads": threads, "quiet": False}}
    assert len(compare.changes(old, new)) == n_compared


def test_exit_code_of_the_command(tmp_path):
    files = {
        "old": result_file(),
        "new": result_file(alone=1.5),
        "other": {"b": measured(sklstm=1.0)},
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")

    def run(*names):
        paths = [str(tmp_path / f"{name}.json") for name in names]
        command = [sys.executable, str(FOLDER / "compare.py"), *paths]
        return subprocess.run(command, capture_output=True, text=True)

    assert run("old", "old").returncode == 0
    found = run("old", "new")
    assert found.returncode == 1
    assert "SLOWER  1.50 times the time, ragged: sklstm" in found.stdout
    assert run("new", "old").returncode == 0
    assert run("old", "other").returncode == 2


def test_exponent_of_a_power_law(targets):
    sizes = [10, 20, 40, 80]
    assert targets.exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_ratios_use_shapes_that_both_have(targets):
    rows = {"a": measured(torch=3.0, ours=1.5), "b": measured(ours=1.0)}
    assert targets.ratios(rows, "torch", "ours") == {"a": 2.0}
    assert targets.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)


def test_targets_are_compared_before_rounding(targets):
    assert targets.at_least(1.8, 1.8).endswith("reached")
    assert targets.at_least(np.nextafter(1.8, 0), 1.8).endswith("MISSED")
    assert targets.at_most(1.05, 1.05).endswith("reached")
    assert targets.at_most(1.051, 1.05).endswith("MISSED")


STORED = FOLDER.parent / "docs" / "measurements" / "speed.json"


def test_the_text_of_the_stored_results_has_every_part_and_its_commit(log):
    found = log.read(STORED)
    text = "\n".join(log.lines(found))
    for part in log.parts(found):
        assert f"({part}: other programs used" in text
        assert f"commit {found['environments'][part]['commit']}," in text


def test_an_update_replaces_the_measured_parts_with_their_environment(log):
    old = log.read(STORED)
    new = {
        "environment": {"commit": "new"},
        "environments": {"ragged": {"commit": "new"}},
        "others": {"ragged": 0.5},
        "ragged": {"seconds": {"sklstm ragged": 1.0}},
    }
    merged = log.updated(old, new)
    for facts, value in (("environments", {"commit": "new"}), ("others", 0.5)):
        assert merged[facts] == {**old[facts], "ragged": value}
    assert merged["ragged"] == new["ragged"]
    assert {part: merged[part] for part in log.parts(old) if part != "ragged"} == {
        part: old[part] for part in log.parts(old) if part != "ragged"
    }


def test_the_page_shows_every_part(log):
    page = (FOLDER.parent / "docs" / "performance.rst").read_text(encoding="utf-8")
    shown = {line.split()[2].partition("-")[0] for line in page.splitlines() if "speed::" in line}
    assert shown == {*log.SUMMARIES, "measurements"}


# --- data sets of benchmarks/accuracy ---

SERIES = """# a comment
@problemName Toy
@timeStamps false
{target}
@data
1,2,3:4,5,6:{first}
7,8,?:9,10,?:{second}
"""


@pytest.fixture
def sets(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER / "accuracy")
    return import_module("sets")


def write_ts(folder, target, first, second):
    text = SERIES.format(target=target, first=first, second=second)
    for part in ("TRAIN", "TEST"):
        (folder / f"Toy_{part}.ts").write_text(text)


def test_series_of_a_ts_file(sets, tmp_path):
    write_ts(tmp_path, "@classLabel true up down", "up", "down")
    (data,) = sets.read_sets(tmp_path)
    assert (data.name, data.is_regression, data.train.y.tolist()) == ("Toy", False, ["up", "down"])
    expected = [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert [x.tolist() for x in data.test.X] == expected
    assert sets.read_figures(tmp_path) == {}


def test_numbers_of_a_ts_file_are_a_regression(sets, tmp_path):
    write_ts(tmp_path, "@targetLabel true", "1.5", "-2")
    (data,) = sets.read_sets(tmp_path)
    assert data.is_regression
    assert data.train.y.tolist() == [1.5, -2.0]


def test_a_folder_without_sets_and_an_unknown_set(sets, tmp_path):
    with pytest.raises(SystemExit, match=r"has no files NAME\.npz or NAME_TRAIN\.ts"):
        sets.read_sets(tmp_path)
    write_ts(tmp_path, "@classLabel true a b", "a", "b")
    with pytest.raises(SystemExit, match="has no set named Other"):
        sets.read_sets(tmp_path, ["Other"])
    (tmp_path / "Toy_TEST.ts").unlink()
    with pytest.raises(SystemExit, match=r"but no Toy_TEST\.ts"):
        sets.read_sets(tmp_path)


def test_missing_values_inside_and_time_stamps_are_refused(sets, tmp_path):
    path = tmp_path / "Toy_TRAIN.ts"
    path.write_text("@data\n1,?,3:a\n")
    with pytest.raises(SystemExit, match="missing values are not supported"):
        sets.read_ts(path)
    path.write_text("@timeStamps true\n@data\n(0,1):a\n")
    with pytest.raises(SystemExit, match="time stamps are not supported"):
        sets.read_ts(path)
