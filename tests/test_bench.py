"From measurements to figures: what `bench/summary.py` and `bench/growth.py --cached` make of files that are there, and of files that aren't."
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

root = Path(__file__).parent.parent
CHEAP = {"train/dsp/cached": dict(vs_uncached=3.5, vs_trl=16.0, vs_trl_grouped=11.0, spread=dict(vs_uncached=[3.1, 3.9])), "quickstart": dict(seconds=150.0, speedup=6.4),
         "study/cell": dict(minutes=8.0), "head/1000": dict(seconds=.4, seconds_cold=7.5), "memory/cached": dict(ratio=.45)}


@pytest.fixture
def bench(monkeypatch):
    "The scripts' folder, as they see each other"
    monkeypatch.syspath_prepend(str(root / "bench"))
    yield __import__
    for name in ("summary", "growth", "common"): sys.modules.pop(name, None)


@pytest.fixture
def summary(bench, tmp_path, monkeypatch):
    "`bench/summary.py` on a folder with the measurements of the repository"
    module = bench("summary")
    for path in module.results.glob("*.json"): (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "cheap.json").unlink(missing_ok=True)
    monkeypatch.setattr(module, "results", tmp_path)
    return module


def write_cheap(folder, **rows): (folder / "cheap.json").write_text(json.dumps(dict(device="cpu (2 threads)", date="2026-11-26", versions={}, rows=rows)))


def test_rows_of_today_stay(summary):
    "Drawn again from the same measurements, the summary is the stored one, whatever is learned cheaply"
    stored = json.loads((root / "results/speed/summary.json").read_text(encoding="utf-8"))
    made = summary.summary()
    assert not made.keys() & CHEAP.keys()
    assert made == {k: v for k, v in stored.items() if k not in CHEAP}
    assert {"train/dsp", "train/hh", "train/webgpt", "score/dsp5"} <= made.keys()


def test_what_is_learned_cheaply(summary, tmp_path):
    write_cheap(tmp_path, **CHEAP)
    made = summary.summary()
    assert list(made)[0] == "train/dsp" and list(made)[-len(CHEAP):] == list(CHEAP)
    for key, row in CHEAP.items(): assert made[key] == dict(device="cpu (2 threads)", date="2026-11-26") | row


def test_rows_that_are_not_there_yet_are_left_out(summary, tmp_path):
    write_cheap(tmp_path, **{"head/1000": CHEAP["head/1000"], "quickstart": {}, "something/else": dict(x=1)})
    assert summary.summary().keys() & (CHEAP.keys() | {"something/else"}) == {"head/1000"}


def test_half_a_row_is_refused(summary, tmp_path):
    write_cheap(tmp_path, quickstart=dict(seconds=150.0))
    with pytest.raises(SystemExit, match="cheap.json: quickstart lacks speedup"): summary.summary()


def passes(scale): return dict(texts={"15": scale, "30": 2 * scale, "60": 4 * scale}, epochs={"1": 2 * scale, "2": 4 * scale}, domains={"1": 2 * scale, "2": 4 * scale, "10": 20 * scale})


def grown(*scales):
    "A growth-cached.json of as many repetitions"
    rows = {way: [dict(passes={way: passes(k * scale)}) for scale in scales] for k, way in ((3, "all"), (2, "frozen"))}
    rows["cache"] = [dict(passes=dict(filling=passes(2 * scale), filled=passes(scale))) for scale in scales]
    return dict(options=dict(layers=20, frozen=14), rows=rows | dict(matrices=[dict(float32=dict(large=90.0))] * len(scales)))


def test_growth_takes_the_median_of_the_repetitions(summary):
    lines = summary.growth_lines(grown(1., 5., 2.))
    assert list(lines) == ["all", "frozen", "filling", "filled"]
    assert lines["filled"]["domains"] == ([1, 2, 10], [4., 8., 40.])


def test_growth_is_drawn(summary, tmp_path):
    summary.draw_growth(grown(1.), tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"


def test_growth_goes_on_where_it_was_killed(bench, tmp_path, monkeypatch):
    "What is measured is kept; other options begin anew, and so does a measurement after one that has ended"
    growth, order = bench("growth"), []
    def measured(word):
        if len(order) == 5: raise KeyboardInterrupt
        order.append(word)
        return dict(seconds=len(order))
    monkeypatch.setattr(growth, "asked", measured)
    a = SimpleNamespace(out=str(tmp_path / "g.json"), worker=None, repetitions=2, device="cpu", base="x", quantize=False, checkpointing=False, max_length=8, records=6)
    with pytest.raises(KeyboardInterrupt): growth.grow_cached(a)
    assert len(order) == 5 and not (tmp_path / "g.json").exists()
    order.clear()
    growth.grow_cached(a)
    assert order == ["cached:frozen", "cached:cache", "cached:matrices"]
    rows = json.loads((tmp_path / "g.json").read_text())["rows"]
    assert [len(r) for r in rows.values()] == [2] * 4 and rows["all"][1]["seconds"] == 5 and not (tmp_path / "g.part").exists()
    (tmp_path / "g.part").write_text(json.dumps(dict(options=dict(records=7), rows=rows)))
    assert growth.kept_rows(tmp_path / "g.part", dict(records=6)) == {} and growth.kept_rows(tmp_path / "g.part", dict(records=7)) == rows


def test_growth_on_a_tiny_model(bench, tmp_path):
    "All ways, counted: what the store saves is there in the figures"
    growth = bench("growth")
    from custom_rm.tiny import tiny_base
    a = SimpleNamespace(base=str(tiny_base(tmp_path / "tiny", ["What is it? Nothing much."] * 9)), quantize=False, device="cpu", dtype=None, max_length=64, layers=None, frozen=1, set="mini",
                        records=2, epochs=1, batch=2, budget=512, domains=["academy"])
    found = growth.learn_ways(a, "cache")
    assert list(found["passes"]) == ["filling", "filled"] and found["kept_bytes"] > 0
    assert {k: list(v) for k, v in found["passes"]["filled"].items()} == dict(epochs=["1"], texts=["10", "5", "20"], domains=["1"])
    layer = 32 * (32 + 16 + 16 + 32) + 3 * 32 * 64
    assert found["work"]["learning"] == found["work"]["frozen"] == layer and found["work"]["adapters"] > 0
    assert growth.learn_ways(a, "all")["work"]["learning"] == 2 * layer
