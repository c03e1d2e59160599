"Preference files in the shapes people have are understood as they are meant, or plainly refused."
import json
from collections import Counter
from pathlib import Path

import pytest
from forms.make import BINARY, CONTENT, P, TRUTH, TRIO, binary, chat
from forms.meaning import fault, judge, read_truth

HERE = Path(__file__).parent / "forms"
SHARED = Path(__file__).parents[2] / "shared" / "forms"
if not SHARED.exists(): SHARED = Path(__file__).parents[1] / "shared" / "forms"
CASES = [pytest.param(HERE, name, truth, id=name) for name, truth in read_truth(HERE).items()]
if SHARED.exists():
    CASES += [pytest.param(SHARED, name, truth, id=f"shared-{name}") for name, truth in read_truth(SHARED).items()]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    "The files that are no text"
    folder = tmp_path_factory.mktemp("forms")
    binary(folder)
    return folder


@pytest.mark.parametrize("folder, name, truth", CASES)
def test_form(folder, name, truth, made, tmp_path):
    path = made / name if folder == HERE and name in BINARY else folder / name
    line = judge(path, truth, tmp_path)
    assert line.verdict != "wrong", line.why


# The files themselves

def test_files_are_as_made():
    "`python tests/forms/make.py` was run after its last change"
    assert read_truth(HERE) == json.loads(json.dumps(TRUTH))
    for name, text in CONTENT.items(): assert (HERE / name).read_bytes() == text.encode(), name
    stray = {p.name for p in HERE.iterdir() if p.is_file() and p.suffix != ".py"} - {*CONTENT, "truth.json"}
    assert not stray
    assert not CONTENT.keys() & BINARY.keys() and len(TRUTH) == len(CONTENT) + len(BINARY) >= 80


def test_words_are_told_apart():
    "No question lies within another, and no answer ends another"
    questions = [q for q, _, _ in P]
    answers = {a for trio in TRIO.values() for a in trio}
    assert all(q == r or q not in r for q in questions for r in questions)
    assert all(a == b or not b.endswith(a) for a in answers for b in answers)


@pytest.mark.parametrize("name", CONTENT)
def test_truth_is_of_its_file(name):
    "The words of a truth stand in its file"
    text = CONTENT[name]
    words = {json.dumps(w, ensure_ascii=False)[1:-1] for row in TRUTH[name]["comparisons"] for w in row}
    missing = {w for w in words if w not in text and w.replace('\\"', '""') not in text}
    assert not missing
    if (voters := TRUTH[name].get("voters")) is not None:
        assert Counter(tuple(v[1:]) for v in voters) == Counter(map(tuple, TRUTH[name]["comparisons"]))


# The judge itself

def record(q, b, w, **more):
    return dict(text=[f"## Human:\n{q}\n\n## Assistant:\n{a}" for a in (b, w)], score=[1, 0], **more)


def truth_of(comparisons, ties=(), **more):
    return dict(comparisons=comparisons, ties=list(ties), also=[], people=None) | more


@pytest.mark.parametrize("records, more, word", [
    ([record(*P[0]), record(*P[1])], {}, ""),
    ([dict(text=[chat(q, b), chat(q, w)], score=[2, 1]) for q, b, w in P[:2]], {}, ""),
    ([record(*P[0])], {}, "lost"),
    ([record(*P[0]), record(*P[1]), record(*P[1])], {}, "too many"),
    ([record(*P[0]), record(P[1][0], *P[1][:0:-1])], {}, "lost"),
    ([record("", *P[0][1:]), record(*P[1])], {}, "0 questions"),
    ([record(P[0][0] + " " + P[0][0], *P[0][1:]), record(*P[1])], {}, "2 times"),
    ([record(P[0][0], P[0][1], P[0][1]), record(*P[1])], {}, "with itself"),
    ([record(P[0][0], P[0][1] + "</s>", P[0][2]), record(*P[1])], {}, "no answer"),
    ([dict(text=[f"Human: {P[0][0]}\nAssistant: {a}" for a in P[0][1:]], score=[1, 0]), record(*P[1])], {},
     "no turns"),
    ([dict(text=[[dict(role="model", content=P[0][0])] + [dict(role="assistant", content=a)] for a in P[0][1:]],
           score=[1, 0]), record(*P[1])], {}, "strange"),
    ([record(*P[0]), record(*P[1])], dict(also=["Be brief."]), "is lost"),
    ([record(*P[0]), record(*P[1])], dict(without=["Bread is"]), "is in"),
    ([record(*P[0]), record(*P[1])], dict(ties=[list(P[2])]), "ties are"),
    ([record(*P[0], person="x"), record(*P[1], person="y")], dict(voters=[["x", *P[0]], ["y", *P[1]]]), ""),
    ([record(*P[0], person="x"), record(*P[1], person="x")], dict(voters=[["x", *P[0]], ["y", *P[1]]]), "people"),
    ([record(*P[0], person="s"), record(*P[1], person="t")],
     dict(voters=[["x", *P[0]], ["y", *P[1]]], columns=True), ""),
    ([record(*P[0]), record(*P[1])], dict(people="judge"), "no person"),
    ([record(*P[0]), record(*P[1])], dict(skipped=1), "without a word")])
def test_judge(records, more, word, tmp_path):
    found = fault(tmp_path / "x.csv", truth_of([list(p) for p in P[:2]], **more), records, "")
    assert word in found if word else not found


def test_ties_are_counted_or_said(tmp_path):
    tie = dict(record(*P[1]), score=[1, 1])
    truth = truth_of([list(P[0])], [list(P[1])])
    path = tmp_path / "x.csv"
    assert not fault(path, truth, [record(*P[0]), tie], "")
    assert not fault(path, truth, [record(*P[0])], "1 comparison, 1 tie left out")
    assert fault(path, truth, [record(*P[0])], "1 comparison")
    assert fault(path, truth, [record(*P[0]), tie, tie], "")
