"Intervals that never collapse, colours that never change, names that stand beside their points."
import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
from custom_rm.evaluate import FLOORS, nan_to_none, show_figure, write_report
from custom_rm.metrics import METRICS, accuracy_interval, bootstrap_interval, measure, wilson_interval
from custom_rm.plots import COLOURS, MARKS, SHAPES, SPARE, colour, covered, label_points, matrix_text, new_axes, pareto, \
    save_figures, shape, strategy_colour


@pytest.mark.parametrize("n", [1, 2, 16, 200])
@pytest.mark.parametrize("mean", [0., .5, 1.])
def test_no_interval_of_width_zero(n, mean):
    low, high = accuracy_interval(np.full(4 * n, mean), np.repeat(np.arange(n), 4))
    assert 0 <= low <= mean <= high <= 1 and low < high
    assert (low, high) == wilson_interval(mean, n), "the questions count, not the pairs"


def test_sixteen_questions_all_right():
    measured = measure([[1., 0.]] * 16, [[1, 0]] * 16)
    assert show_figure(measured) == "100.0 [81, 100]" and matrix_text(measured) == "100\n81–100"


def test_wilson_is_that_of_a_library():
    from scipy.stats import binomtest
    for right, n in ((0, 7), (3, 9), (16, 16), (80, 200)):
        theirs = binomtest(right, n).proportion_ci(.95, method="wilson")
        assert wilson_interval(right / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_elsewhere_nothing_changed():
    rng = np.random.default_rng(0)
    right, group = rng.integers(0, 3, 300) / 2, rng.integers(0, 60, 300)
    assert accuracy_interval(right, group) == bootstrap_interval(right, group) == (0.5044478317755411, 0.5809068764405951)


def test_a_difference_gets_no_interval_of_a_share():
    assert bootstrap_interval(np.zeros(40), np.arange(40)) == (0., 0.)
    assert bootstrap_interval(-np.ones(40), np.arange(40)) == (-1., -1.)


def test_nothing_measured():
    measured = measure([], [])
    assert measured["n"] == 0 and all(np.isnan(measured[k]) for k in (*METRICS, "low", "high"))
    assert show_figure(measured) == matrix_text(measured) == "–"


def test_missing_figures_become_null(tmp_path):
    write_report(tmp_path / "nan.json", dict(a=float("nan"), b=[1, float("nan")], c=(2, "x")))
    assert json.loads((tmp_path / "nan.json").read_text()) == dict(a=None, b=[1, None], c=[2, "x"])
    assert nan_to_none(float("nan")) is None


def test_colours_do_not_depend_on_the_order():
    names = [f"domain{i}" for i in range(30)]
    before = dict(COLOURS)
    assert {n: (colour(n), shape(n)) for n in names} == {n: (colour(n), shape(n)) for n in reversed(names)}
    assert COLOURS == before and {colour(n) for n in names} == set(SPARE)
    assert colour("law") == colour("law (seed 1)") == "#6A8AEB", "as it was in earlier figures"


def test_every_fixed_name_has_its_own():
    assert len({*COLOURS.values(), *SPARE}) == len(COLOURS) + len(SPARE)
    assert {*FLOORS, "judge", *(k.removesuffix("_rm") for k in MARKS)} <= set(COLOURS) and set(SHAPES) <= set(COLOURS)
    assert strategy_colour("joint 0.5") == strategy_colour("joint 1.0") not in COLOURS.values()
    assert strategy_colour("base") == COLOURS["base"]


def point(domain, general): return {k: dict(accuracy=a, low=a - .01, high=a + .01) for k, a in (("domain", domain), ("general", general))}


def test_a_strategy_keeps_its_colour():
    alone, among = pareto({"joint 0.5": point(.7, .6)}), pareto({"early": point(.6, .6), "joint 0.5": point(.7, .6)})
    def label_colour(figure): return next(t.get_color() for t in figure.axes[0].texts if t.get_text() == "joint 0.5")
    assert label_colour(alone) == label_colour(among)


def test_labels_do_not_cover_each_other():
    figure, ax = new_axes(4, 3)
    labels = [(f"name {i}", .5 + .01 * i, .5, "#000000") for i in range(6)]
    ax.plot([0, 1], [0, 1])
    label_points(ax, labels)
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.texts]
    assert len(boxes) == 6
    assert all(covered(b, boxes[:i], ax.bbox) < 60 for i, b in enumerate(boxes)), "a few square pixels of 400"


def test_figures_that_say_something(tmp_path):
    measured = measure([[2., 0.], [0., 1.]] * 8, [[1, 0]] * 16)
    full = dict(rms={"general": {"helpful": measured, "law": measured}, "law": {"helpful": measured, "law": measured}}, floors={})
    lines = [dict(step=i, ranking_loss=.5, accuracy=.6) for i in range(4)]
    def names(paths): return [Path(p).stem for p in paths]
    assert names(save_figures(full, {"general": lines}, ["helpful"], tmp_path / "a")) == ["matrix", "learning_curves", "custom_against_general", "reliability"]
    assert names(save_figures(full, {}, [], tmp_path / "b")) == ["matrix", "reliability"]
