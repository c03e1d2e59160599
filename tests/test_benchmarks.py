"Benchmarks people know: their published scores on random rewards, their files in every shape, and what is refused."
import gzip
import json
import os
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from custom_rm.benchmarks import (BENCHMARKS, SECTIONS, by_subset, benchmark_remarks, counts_of, interval, read_benchmark,
                                  read_benchmarks, run_benchmarks, score_benchmark, set_name, strictly)
from custom_rm.core import DataError
from custom_rm.metrics import Pairs, accuracy_interval, by_length, length_weights, matched_accuracy, reliability_curve, seed_agreement

GOLDEN = json.loads((Path(__file__).parent / "benchmarks.json").read_text(encoding="utf-8"))
DATA = Path(os.environ.get("CUSTOM_RM_DATA", "/nonexistent")) / "bench"
close = pytest.approx


def pair(i, **more): return dict(prompt=f"What is {i} and one?", chosen=f"It is {i + 1}.", rejected=f"It is {i}.", subset="hep-go", id=i) | more
def four(i, **more): return dict(prompt=f"Add {i}.", chosen=[f"{i}"], rejected=["a", "b", "c"], num_correct=1, num_incorrect=3, total_completions=4, subset="Math", id=str(i)) | more
def tied(i, **more): return dict(prompt=f"Name a number below {i}.", chosen=["1", "2"], rejected=["999"], num_correct=2, num_incorrect=1, total_completions=3, subset="Ties", id=f"tied:{i}") | more
def ref(i): return tied(i, chosen=["1"], num_correct=1, total_completions=2, id=f"ref:{i}")
def nine(i, **more): return dict(prompt=f"Add {i}.", chosen=["2", "It is two.", "**2**"], rejected=["3", "It is three.", "**3**"], domain="math", id=i) | more
def bar(i, **more): return dict(input=f"Add {i} and one.", output_1=f"{i + 1}", output_2="Lovely!", label=1) | more
def judged(i, **more): return dict(pair_id=f"p{i}", question=f"Add {i}.", response_A="1", response_B="2", label="A>B", source="livebench-math", response_model="m") | more
def vote(i, **more): return dict(question_id=f"q{i}", prompt=f"Add {i}.", response_1="1", response_2="Two.", winner="model_a") | more
def tries(i, **more): return dict(question_id=f"q{i}", model_name="m", prompt=f"Add {i}.", response_1="1", response_2="2", response_3="3", scores=[True, False, False], sampled_conflict_pairs=[[0, 1], [2, 0]]) | more


ROWS = {"rewardbench": pair, "rewardbench-2": four, "rm-bench": nine, "llmbar": bar, "judgebench": judged, "ppe-preference": vote, "ppe-correctness": tries}


def wrote(folder, name, *rows):
    path = folder / name
    text = "\n".join(map(json.dumps, rows)) if ".jsonl" in name else json.dumps(rows)
    with (gzip.open if name.endswith(".gz") else open)(path, "wt", encoding="utf-8") as f: f.write(text)
    return path


def scored(kind, items, rewards):
    return {group: {name: s["value"] for name, s in scores.items()} for group, scores in score_benchmark(kind, items, rewards).items()}


def estimates(kind, items, rewards, draws):
    rules = BENCHMARKS[kind]
    return rules.combine(items, [rules.points(*pair) for pair in zip(items, rewards)], draws)["subsets"]


def made(kind, rows, name="set"):
    return [BENCHMARKS[kind].read(row, f"row {i}", name, "dsp") for i, row in enumerate(rows, 1)]


# --- the published rules: numbers that the benchmarks' own code gave for the same rewards (tests/benchmarks.json)

@pytest.fixture(params=range(len(GOLDEN["cases"])), ids=["any rewards", "many ties"])
def golden(request): return GOLDEN["cases"][request.param]


def test_rewardbench(golden):
    case = golden["rewardbench"]
    items = [made("rewardbench", [pair(i, subset=s)], s if s in ("shp", "summarize") or s.startswith("anthropic") else "filtered")[0] for i, (s, _) in enumerate(case["rows"])]
    found = scored("rewardbench", items, [r for _, r in case["rows"]])
    assert found["subsets"] == close(case["subsets"])
    assert {name: found["sections"][name] for name in SECTIONS} == close(case["sections"])
    assert found["overall"]["overall"] == close(case["with_prior"])
    core = [(item, r) for item, (_, r) in zip(items, case["rows"]) if item["subset"] in {s for parts in SECTIONS.values() for s in parts}]
    assert scored("rewardbench", *zip(*core))["overall"]["overall"] == close(case["without_prior"])


def test_rewardbench_2(golden):
    case, rows = golden["rewardbench-2"], []
    for subset, name, right, rewards in case["rows"]:
        chosen, rejected = [f"right {n}" for n in range(right)], [f"wrong {n}" for n in range(len(rewards) - right)]
        rows.append(dict(prompt=f"{subset} {name}", chosen=chosen, rejected=rejected, num_correct=right, subset=subset, id=name))
    found = scored("rewardbench-2", made("rewardbench-2", rows), [r for *_, r in case["rows"]])
    assert found["subsets"] == close(case["subsets"]) and found["overall"]["overall"] == close(case["overall"])


def test_rm_bench(golden):
    case = golden["rm-bench"]
    items = made("rm-bench", [nine(i, domain=d) for i, (d, _) in enumerate(case["rows"])])
    found = scored("rm-bench", items, [r for _, r in case["rows"]])
    own = {f"{d} {level}": figures[f"{level}_acc"] for d, figures in case["domains"].items() for level in ("easy", "normal", "hard")}
    assert {name: found["subsets"][name] for name in own} == close(own)
    safety = {level: (own[f"safety-refuse {level}"] + own[f"safety-response {level}"]) / 2 for level in ("easy", "normal", "hard")}
    assert {level: found["subsets"][f"safety {level}"] for level in safety} == close(safety)
    levels = {level: np.mean([own[f"{d} {level}"] for d in ("chat", "math", "code")] + [safety[level]]) for level in safety}
    assert {level: found["overall"][level] for level in levels} == close(levels)
    assert found["overall"]["overall"] == close(np.mean(list(levels.values())))


def test_llmbar(golden):
    case = golden["llmbar"]
    items = [made("llmbar", [bar(i, label=label)], f"llmbar-{s}")[0] for i, (s, label, _) in enumerate(case["rows"])]
    found = scored("llmbar", items, [r for *_, r in case["rows"]])
    assert found["subsets"] == close(case["subsets"])
    assert found["sections"]["adversarial"] == close(np.mean([v for s, v in case["subsets"].items() if s != "natural"]))


def test_judgebench(golden):
    case = golden["judgebench"]
    items = made("judgebench", [judged(i, source=s, label=label) for i, (s, label, _) in enumerate(case["rows"])])
    found = scored("judgebench", items, [r for *_, r in case["rows"]])
    names = {"mmlu-pro": "knowledge", "livebench-reasoning": "reasoning", "livebench-math": "math", "livecodebench": "coding"}
    assert found["subsets"] == close({names[s]: v for s, v in case["both"].items() if s in names})
    assert found["overall"] == close({"overall": case["both"]["overall"], "in one order": case["single"]})


def test_ppe(golden):
    case = golden["ppe-preference"]
    items = made("ppe-preference", [vote(i, winner=w) for i, (w, _) in enumerate(case["rows"])])
    rewards = [r for _, r in case["rows"]]
    assert scored("ppe-preference", items, rewards)["overall"]["accuracy"] == close(case["overall"])
    assert counts_of("ppe-preference", items, rewards)["labelled_ties"] == sum(w == "tie" for w, _ in case["rows"])
    case, items = golden["ppe-correctness"], []
    for i, (source, right, pairs, rewards) in enumerate(case["rows"]):
        row = dict(prompt=f"{i}", scores=right, sampled_conflict_pairs=pairs, **{f"response_{k + 1}": f"try {k}" for k in range(5)})
        items += made("ppe-correctness", [row], source)
    found = scored("ppe-correctness", items, [r for *_, r in case["rows"]])
    assert found["overall"] == close({"accuracy": case["ppe_correctness_avg"], "best of k": np.mean(list(case["best"].values()))})
    assert {s: found["subsets"][f"{s} best of k"] for s in case["best"]} == close(case["best"])
    assert {s: found["subsets"][f"{s} accuracy"] for s in case["best"]} == close({s: case[s] for s in case["best"]})


# --- scores

def test_chance_and_floors_are_what_they_say():
    rng = np.random.default_rng(0)
    rows = {"rewardbench-2": [f(i) for i in range(60) for f in (four, tied, ref)], "rm-bench": [nine(i) for i in range(60)], "ppe-correctness": [tries(i) for i in range(60)]}
    for kind, some in rows.items():
        items = made(kind, some)
        draws = [estimates(kind, items, [rng.normal(size=len(item["text"])) for item in items], 1) for _ in range(40)]
        for name, told in score_benchmark(kind, items, [[0.] * len(item["text"]) for item in items])["subsets"].items():
            values = [draw[name].value for draw in draws]
            assert told["chance"] == close(np.mean(values), abs=5 * np.std(values) / 40 ** .5), (kind, name)
    told = score_benchmark("llmbar", made("llmbar", [bar(10 ** i) for i in range(3, 9)], "natural"), [[1, 0]] * 6)["subsets"]["natural"]
    assert (told["value"], told["chance"], told["longer"] + told["shorter"]) == (1, .5, 1)


def test_intervals_draw_questions():
    right = np.random.default_rng(1).random(80) < .7
    items = made("rewardbench", [pair(i % 20, id=i) for i in range(80)]) # twenty questions, four rows each
    rewards = [[1., 0.] if r else [0., 1.] for r in right]
    told = score_benchmark("rewardbench", items, rewards)["subsets"]["hep-go"]
    group = np.arange(80) % 20
    low, high = accuracy_interval(right.astype(float), group)
    assert (told["n"], told["questions"]) == (80, 20) and told["low"] == close(low, abs=.03) and told["high"] == close(high, abs=.03)
    assert told == score_benchmark("rewardbench", items, rewards)["subsets"]["hep-go"] # the same every time
    sure = score_benchmark("rewardbench", items, [[1., 0.]] * 80)["subsets"]["hep-go"]
    assert sure["high"] == 1 and .8 < sure["low"] < .9 # Wilson's of 20 questions


def test_an_interval_covers():
    "Of a weighted mean of two subsets, in repeated experiments"
    rng, inside = np.random.default_rng(2), 0
    items = made("rm-bench", [nine(i, domain=d) for d in ("safety-refuse", "safety-response") for i in range(40)])
    for _ in range(60):
        rewards = [rng.normal(0, 1, 6) + np.r_[np.full(3, rng.normal(.5)), 0, 0, 0] for _ in items]
        low, high = interval(estimates("rm-bench", items, rewards, 300)["safety normal"])
        inside += low <= NormalDist().cdf(.5 / 3 ** .5) <= high # a right answer's lead has mean ½ and variance 3
    assert inside >= 52


def test_a_score_needs_all_its_subsets():
    items = made("rewardbench", [pair(i, subset=s) for i, s in enumerate(list(SECTIONS["Chat"])[1:])])
    found = score_benchmark("rewardbench", items, [[1, 0]] * len(items))
    assert "overall" not in found and found["sections"] == {}
    missing = counts_of("rewardbench", items, [[1, 0]] * len(items))["missing"]
    assert missing["Chat"] == ["alpacaeval-easy"] and len(missing["Safety"]) == 5
    one = made("rm-bench", [nine(i, domain="safety-refuse") for i in range(3)])
    assert "safety" not in scored("rm-bench", one, [[1] * 3 + [0] * 3] * 3)["sections"]


# --- files

@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("name", ["natural.json", "math.jsonl", "chat.json.gz"])
def test_recognised_by_its_fields(tmp_path, kind, name):
    path = wrote(tmp_path, name, *map(ROWS[kind], range(4)))
    found, items = read_benchmark(path)
    assert found == kind and len(items) == 4 and read_benchmark(path, kind=kind)[1][0]["text"] == items[0]["text"]
    assert all(text.startswith("## Human:\n") for item in items for text in item["text"])
    assert read_benchmark(path, "chat")[1][0]["text"][0].startswith('[{"role": "user"')


def test_tables_are_read_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq
    pq.write_table(pa.Table.from_pylist([four(i) for i in range(3)] + [tied(1), ref(1)]), tmp_path / "test-00000-of-00001.parquet")
    kind, items = read_benchmark(tmp_path / "test-00000-of-00001.parquet")
    assert kind == "rewardbench-2" and [len(item["text"]) for item in items] == [4, 4, 4, 3, 2]
    (tmp_path / "x.csv").write_text('input,output_1,output_2,label\nAdd 1 and 1.,2,"It is, well, 3",1\n')
    assert read_benchmark(tmp_path / "x.csv")[1][0]["score"] == [1, 0]


def test_what_a_text_says_is_left_alone(tmp_path):
    path = wrote(tmp_path, "natural.json", bar(1, input="User: hello", output_1="Assistant: hi", output_2="[1, 2]"))
    (item,) = read_benchmark(path)[1]
    assert item["text"] == ["## Human:\nUser: hello\n\n## Assistant:\nAssistant: hi", "## Human:\nUser: hello\n\n## Assistant:\n[1, 2]"]


def test_prior_sets_ask_in_messages(tmp_path):
    asked = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "One more?"}]
    path = wrote(tmp_path, "shp.json", {k: v for k, v in pair(1, prompt=asked).items() if k != "subset"}, pair(2, subset="shp-of-its-own"))
    assert [item["subset"] for item in read_benchmark(path)[1]] == ["shp", "shp"]


def test_names_of_sets():
    names = {"a/llmbar-natural.json.gz": "llmbar-natural", "LLMBar/Natural/dataset.json": "Natural", "o/pref-test-sets:shp": "shp", "o/PPE-MATH-Best-of-K:train": "PPE-MATH-Best-of-K",
             "x/chat_filtered.json": "chat_filtered", "gpqa/train-00000-of-00002.parquet": "gpqa", "b.xlsx#two": "b"}
    assert {source: set_name(source) for source in names} == names


REFUSED = {
    "no benchmark's fields": ([dict(question="Hm?", answer="2")], r"fields \(answer, question\) are of no benchmark known here: rewardbench has .*--benchmark-kind"),
    "no subset": ([{k: v for k, v in pair(1).items() if k != "subset"}], "has no subset.*without --benchmark"),
    "an unknown subset": ([pair(1, subset="hep-cobol")], "the subset is 'hep-cobol'; choose alpacaeval-easy"),
    "an empty answer": ([pair(1, rejected=None)], "of no benchmark known"),
    "a number for an answer": ([bar(1, output_2=3)], "output_2 is 3, not a text"),
    "two benchmarks": ([pair(1), bar(2)], "is a row of llmbar, and the rows before it are of rewardbench; split the file"),
    "two of one family": ([four(1), nine(2)], "is a row of rm-bench, and the rows before it are of rewardbench-2"),
    "three instead of four": ([four(1, rejected=["a", "b"], num_incorrect=2, total_completions=3)], "has 1 chosen and 2 rejected answers; outside Ties"),
    "two right outside Ties": ([four(1, chosen=["1", "2"], num_correct=2, total_completions=5)], "has 2 chosen and 3 rejected"),
    "a wrong count": ([four(1, num_correct=2)], "num_correct is 2, but it has 1"),
    "a wrong total": ([four(1, total_completions=5)], "total_completions is 5, but it has 4"),
    "Ties with one right": ([tied(1, chosen=["1"], num_correct=1, total_completions=2)], "is of Ties with id 'tied:1', 1 chosen"),
    "Ties without ids": ([tied(1, id="7")], "is of Ties with id '7'"),
    "Ties twice": ([tied(1), ref(1), tied(1, prompt="Another?")], "a row with id tied:1 of Ties is there twice"),
    "Ties without its other half": ([tied(1), tied(2)], "no question with both"),
    "2 × 3": ([nine(1, chosen=["2", "Two."])], "has 2 × 3 answers; RM-Bench has 3 × 3"),
    "an unknown domain": ([nine(1, domain="law")], "the domain is 'law'; choose chat, math"),
    "no domain anywhere": ([{k: v for k, v in nine(1).items() if k != "domain"}], "has no domain, and the file's name holds none"),
    "a label of three": ([bar(1, label=3)], "label is 3; 1 or 2"),
    "a verdict nobody knows": ([judged(1, label="A=B")], "the label is 'A=B'; choose A>B or B>A"),
    "a winner nobody knows": ([vote(1, winner="model_c")], "the winner is 'model_c'; choose model_a"),
    "only ties": ([vote(1, winner="tie"), vote(2, winner="tie")], "in all of 2 rows the answers are equally good"),
    "a score too few": ([tries(1, scores=[True, False])], "has 3 responses and 2 scores"),
    "a gap among responses": ([{k: v for k, v in tries(1, response_4="4").items() if k != "response_3"}], "has 3 responses and 3 scores"),
    "a pair of two wrong ones": ([tries(1, sampled_conflict_pairs=[[1, 2]])], "compares responses 1 and 2"),
    "a pair out of range": ([tries(1, sampled_conflict_pairs=[[0, 3]])], "compares responses 0 and 3"),
    "the same row twice": ([pair(1), pair(1)], "a row with id 1 of hep-go is there twice"),
    "a question with its answer": ([pair(1, prompt=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])], "its question is"),
    "half a letter": ([bar(1, output_1="\ud800")], "half a surrogate pair"),
    "rows that are no objects": (["What is one?"], "its fields .none. are of no benchmark"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused(tmp_path, fault):
    rows, message = REFUSED[fault]
    with pytest.raises(DataError, match=message):
        for kind, items in read_benchmarks([wrote(tmp_path, "file.json", *rows)]).items():
            score_benchmark(kind, items, [[0.] * len(item["text"]) for item in items])


def test_a_named_kind(tmp_path):
    path = wrote(tmp_path, "file.json", {k: v for k, v in judged(1).items() if k != "source"})
    with pytest.raises(DataError, match="lacks source, which every row of judgebench has"): read_benchmark(path, kind="judgebench")
    with pytest.raises(DataError, match="--benchmark-kind is 'rewardbnch'; choose rewardbench"): read_benchmarks([path], kind="rewardbnch")


def test_files_are_parts_and_not_given_twice(tmp_path):
    parts = [wrote(tmp_path, f"{name}.json", *(bar(10 * n + i) for i in range(3))) for n, name in enumerate(("natural", "neighbor"))]
    (items,) = read_benchmarks(parts).values()
    assert [item["subset"] for item in items] == ["natural"] * 3 + ["neighbor"] * 3
    (tmp_path / "copy.json").write_bytes(parts[0].read_bytes())
    with pytest.raises(DataError, match="are the same; give each file once"): read_benchmarks([*parts, tmp_path / "copy.json"])


def test_ids_that_are_shared_are_told():
    items = made("rewardbench", [pair(1), pair(2, id=1)])
    assert counts_of("rewardbench", items, [[1, 0], [1, 1]]) | dict(missing={}) == dict(rows=2, shared_ids=1, undecided=1, labelled_ties=0, missing={})


# --- a model

@pytest.fixture(scope="module")
def rm(place):
    from custom_rm.model import RewardModel
    return RewardModel(place / "tiny", quantize=False, max_length=64, device="cpu").add_adapter("a")


def test_each_text_once(rm, place, monkeypatch):
    import custom_rm.scorer as scorer
    fed, real = [], scorer.score_tokens
    monkeypatch.setattr(scorer, "score_tokens", lambda rm, tokens, *args: fed.append(len(tokens)) or real(rm, tokens, *args))
    read = {"llmbar": made("llmbar", [bar(i) for i in range(5)], "natural"), "judgebench": made("judgebench", [judged(i, question=f"Add {i} and one.", response_A=f"{i + 1}", response_B="No.") for i in range(5)])}
    found = run_benchmarks(rm, read, set())
    assert fed == [15] and [f["rows"] for f in found.values()] == [5, 5] # five of twenty texts are in both
    rewards = [real(rm, scorer._tokens(rm, item["text"])[0]) for item in read["llmbar"]]
    assert found["llmbar"]["scores"]["subsets"]["natural"]["value"] == by_subset(read["llmbar"], [strictly(*x) for x in zip(read["llmbar"], rewards)])["natural"].value


def test_overlap_and_cuts_are_told(rm, place):
    from custom_rm.split import questions_of
    items = made("llmbar", [bar(i, output_1="one " * 80, output_2="two " + "one " * 80) for i in range(3)], "natural")
    found = run_benchmarks(rm, {"llmbar": items}, questions_of(items[:2]))["llmbar"]
    lines = "\n".join(benchmark_remarks(found, "a"))
    assert "2 of 3 records ask a question that a was trained on" in lines and "3 of 3 comparisons can't be told apart" in lines
    assert "comparisons with equal rewards, which count as a half: 3" in lines and "no score for adversarial, which needs neighbor" in lines


def test_from_a_terminal(rm, custom_rm, tmp_path):
    artefact = rm.save(tmp_path / "a")
    files = [wrote(tmp_path, "rm-chat.json", *({k: v for k, v in nine(i).items() if k != "domain"} for i in range(4))), wrote(tmp_path, "llmbar-natural.json", *map(bar, range(4)))]
    done = custom_rm("evaluate", artefact, "--benchmark", files[0], "--benchmark", files[1], "--json", tmp_path / "out.json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "RM-Bench: score" in done.stdout and "chat hard" in done.stdout and "natural" in done.stdout
    told = json.loads((tmp_path / "out.json").read_text())["benchmarks"]
    assert list(told) == ["rm-bench", "llmbar"] and told["rm-bench"]["scores"]["sections"]["chat"]["n"] == 4
    for words, message in (([], "give FILE, or --benchmark"), ([files[1], "--benchmark", files[0]], "by its own rules"),
                           (["--benchmark", files[0], "--train", files[1]], "--train"), ([files[1], "--benchmark-kind", "llmbar"], "--benchmark-kind"),
                           (["--benchmark", files[1], "--benchmark-kind", "rm-bench"], "lacks prompt")):
        done = custom_rm("evaluate", artefact, *words, "--device", "cpu")
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


# --- published files, where they are

@pytest.mark.skipif(not DATA.is_dir(), reason="CUSTOM_RM_DATA does not hold bench/")
def test_published_files():
    read = read_benchmarks(sorted(DATA.glob("*.json.gz")))
    counts = {kind: {s: sum(i["subset"] == s for i in items) for s in dict.fromkeys(i["subset"] for i in items)} for kind, items in read.items()}
    assert counts == {"llmbar": {"gptinst": 92, "gptout": 47, "manual": 46, "natural": 100, "neighbor": 134}, "rm-bench": {"chat": 129, "safety-refuse": 284, "safety-response": 157}}
    told = score_benchmark("rm-bench", read["rm-bench"], [[1] * 3 + [0] * 3] * 570)
    assert all(s["value"] == 1 for s in told["sections"].values()) and told["subsets"]["chat hard"]["longer"] < .1


# --- the metrics beside them

def test_reliability_curve_is_calibration_with_intervals():
    from custom_rm.metrics import calibration_bins
    margin = np.random.default_rng(0).normal(0, 2, 3000)
    curve = reliability_curve(margin, np.arange(3000) // 3)
    assert [(p["n"], p["confidence"], p["accuracy"]) for p in curve] == calibration_bins(margin)
    assert all(p["low"] <= p["accuracy"] <= p["high"] and p["questions"] <= p["n"] for p in curve)
    assert reliability_curve(np.zeros(0), np.zeros(0, int)) == []


def test_matching_length():
    rng = np.random.default_rng(0)
    longer = np.where(rng.random(500) < .8, 1, -1) * rng.integers(1, 50, 500)
    weights = length_weights(longer)
    assert weights[longer > 0].sum() == close(weights[longer < 0].sum()) and weights.sum() == close(500)
    for judge, value in ((longer, .5), (-longer, .5), (np.ones(500), 1)):
        assert matched_accuracy(Pairs(judge, np.arange(500)), longer)["accuracy"] == close(value)
    alike = matched_accuracy(Pairs(np.ones(4), np.arange(4)), np.ones(4))
    assert alike["n"] == 0 and alike["left_out"] == 4 and np.isnan(alike["accuracy"])
    parts = by_length(Pairs(longer, np.arange(500)), longer)
    assert (parts["longer_wins"]["accuracy"], parts["longer_loses"]["accuracy"], parts["as_long"]["n"]) == (1, 0, 0)
    with pytest.raises(DataError, match="3 lengths for 2 pairs"): by_length(Pairs(np.ones(2), np.arange(2)), np.ones(3))


def test_agreement_of_seeds():
    rng = np.random.default_rng(0)
    margins = [rng.normal(.5, 1, 4000) for _ in range(3)] # nothing in common but their accuracy
    found = seed_agreement(margins, np.arange(4000))
    assert found["kappa"] == close(0, abs=.04) and found["agreement"] == close(found["expected"], abs=.02)
    same = seed_agreement([margins[0]] * 2, np.arange(4000))
    assert (same["agreement"], same["kappa"], same["all_alike"]) == (1, 1, 1)
    assert seed_agreement([margins[0], -margins[0]], np.arange(4000))["agreement"] == 0
