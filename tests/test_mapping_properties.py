"""Random tables through `convert` and a `Mapping`: comparisons out are decisive verdicts in.

No text is compared with itself or across people, and nothing is written on error. What these tests take of the
package stands in `mapped`, `number` and `parts`.
"""
import csv
import json
from collections import Counter
from itertools import combinations

import pytest

hypothesis = pytest.importorskip("hypothesis")
pytest.importorskip("custom_rm.mapping")
from hypothesis import HealthCheck, assume, given, settings, strategies as st

quick = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


# What is taken of the package

def mapped(input, output, **columns):
    "`convert` with a mapping; `values` as {code: a, b or tie}"
    from custom_rm.convert import convert
    from custom_rm.mapping import Mapping
    return convert(input, output, mapping=Mapping(**columns))


def number(count) -> int:
    "A count of a report, also one that is kept by reason"
    return sum(count.values()) if isinstance(count, dict) else count


def persons(people) -> int:
    "The people of a report, whether they are counted or named"
    return people if isinstance(people, int) else len(people)


def parts(text) -> tuple[str, str]:
    "Question and answer of a text or a chat of two turns"
    from custom_rm.templates import turns_of
    turns = turns_of(text) if isinstance(text, str) else text
    assert [t["role"] for t in turns] == ["user", "assistant"], text
    return turns[0]["content"].strip(), turns[1]["content"].strip()


# What is drawn

words = st.text("abcdefgäß漢 ,;'\"-", min_size=1, max_size=12).map(lambda s: " ".join(s.split())).filter(
    lambda s: any(c.isalpha() for c in s))
prompts = st.lists(words.map(lambda s: s + "?"), min_size=1, max_size=4, unique=True)
answers = st.lists(words.map(lambda s: s + "."), min_size=2, max_size=5, unique=True)
people = st.lists(st.text("pqrst", min_size=1, max_size=5), min_size=1, max_size=3, unique=True)
codes = st.lists(st.text("xyzXYZ012-", min_size=1, max_size=4), min_size=3, max_size=3,
                 unique_by=lambda s: same(s)).map(lambda three: dict(zip(three, ("a", "b", "tie"))))
names = st.lists(words.map(lambda s: s.translate({ord(","): None, ord(";"): None}).strip()).filter(bool),
                 min_size=5, max_size=5, unique_by=lambda s: "".join(filter(str.isalnum, s.casefold())))
kinds = st.sampled_from(["t.csv", "t.tsv", "t.jsonl", "t.json"])


def same(code):
    "Equal for two spellings of one verdict"
    try: return float(code)
    except ValueError: return code.casefold()


@st.composite
def ballots(draw):
    "(columns by use, code of each verdict, rows as (person, prompt, first, second, verdict))"
    asked, said, who = draw(prompts), draw(answers), draw(people)
    one = st.tuples(*map(st.sampled_from, (who, asked, said, said)), st.sampled_from(["a", "b", "tie"]))
    rows = draw(st.lists(one, min_size=1, max_size=12))
    return dict(zip(("by", "prompt", "a", "b", "winner"), draw(names))), draw(codes), rows


@st.composite
def grades(draw):
    "(columns by use, rows as (person, prompt, answer, score)); nobody grades an answer twice"
    asked, said, who = draw(prompts), draw(answers), draw(people)
    one = st.tuples(*map(st.sampled_from, (who, asked, said)), st.integers(-3, 9))
    rows = draw(st.lists(one, min_size=1, max_size=14, unique_by=lambda r: r[:3]))
    return dict(zip(("by", "prompt", "response", "score"), draw(names))), rows


def write(path, names, rows):
    "A table of a kind its name says"
    rows = [list(r) for r in rows]
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([names, *rows])
        return
    dicts = [dict(zip(names, r)) for r in rows]
    text = json.dumps(dicts) if path.suffix == ".json" else "".join(json.dumps(r) + "\n" for r in dicts)
    path.write_text(text, encoding="utf-8")


def read(path):
    "(person, question, better, worse) of every comparison, and the ties, of a file of records"
    comparisons, ties = Counter(), Counter()
    for line in path.open(encoding="utf-8"):
        record = json.loads(line)
        said = [parts(t) for t in record["text"]]
        assert len({q for q, _ in said}) == 1
        for i, j in combinations(range(len(said)), 2):
            assert said[i] != said[j]
            better, worse = (i, j) if record["score"][i] >= record["score"][j] else (j, i)
            key = (record.get("person"), said[i][0], said[better][1], said[worse][1])
            if record["score"][i] == record["score"][j]: ties[(*key[:2], frozenset(key[2:]))] += 1
            else: comparisons[key] += 1
    return comparisons, ties


def vote_of(row, by=True):
    "(person, question, better, worse) of a row of `ballots`"
    who, asked, first, second, verdict = row
    return (who if by else None, asked, *((first, second) if verdict == "a" else (second, first)))


def converted(folder, name, names, rows, **columns):
    "The report and what was written; None where there was nothing to compare"
    from custom_rm.core import DataError
    path, out = folder / name, folder / "out.jsonl"
    write(path, names, rows)
    try: report = mapped(path, out, **columns)
    except DataError as e:
        assert str(e)
        assert sorted(p.name for p in folder.iterdir()) == [name]
        return None
    return report, *read(out)


# Verdicts

@quick
@given(ballots(), kinds, st.booleans())
def test_verdicts(tmp_path_factory, ballot, kind, by):
    "Each decisive verdict is one comparison; equal texts are skipped and reported."
    columns, code, rows = ballot
    spelled = {v: k for k, v in code.items()}
    used = dict(columns) if by else {**columns, "by": None, "ignore": [columns["by"]]}
    cells = [(*r[:4], spelled[r[4]]) for r in rows]
    found = converted(tmp_path_factory.mktemp("v"), kind, list(columns.values()), cells, values=code, **used)
    unequal = [r for r in rows if r[2] != r[3]]
    want = Counter(vote_of(r, by) for r in unequal if r[4] != "tie")
    if found is None:
        assert not want
        return
    report, comparisons, ties = found
    assert comparisons == want
    assert number(report.comparisons) == sum(want.values())
    assert number(report.ties) == sum(r[4] == "tie" for r in unequal)
    assert number(report.skipped) == len(rows) - len(unequal)
    assert sum(ties.values()) in (0, number(report.ties))
    assert 0 < number(report.records) <= sum(comparisons.values()) + sum(ties.values())
    if by: assert len({who for who, *_ in want}) <= persons(report.people) <= len({r[0] for r in rows})


@quick
@given(ballots(), kinds, st.data())
def test_unknown_verdict(tmp_path_factory, ballot, kind, data):
    "A verdict without a meaning stops everything: the complaint names it, and what was there stays as it was."
    from custom_rm.core import DataError
    columns, code, rows = ballot
    strange = data.draw(st.text("klmKLM", min_size=1, max_size=4))
    spelled = {v: k for k, v in code.items()}
    cells = [[*r[:4], spelled[r[4]]] for r in rows]
    cells.insert(data.draw(st.integers(0, len(rows))), [*rows[0][:2], "One.", "Two.", strange])
    folder = tmp_path_factory.mktemp("u")
    path, out = folder / kind, folder / "out.jsonl"
    write(path, list(columns.values()), cells)
    out.write_text("as it was\n")
    with pytest.raises(DataError) as e: mapped(path, out, values=code, **columns)
    assert strange.casefold() in str(e.value).casefold() and columns["winner"] in str(e.value)
    assert out.read_text() == "as it was\n" and sorted(p.name for p in folder.iterdir()) == sorted([kind, "out.jsonl"])


@quick
@given(ballots(), kinds, st.data())
def test_blank_question(tmp_path_factory, ballot, kind, data):
    "A question that would be empty is no question"
    from custom_rm.core import DataError
    columns, code, rows = ballot
    cells = [[*r[:4], {v: k for k, v in code.items()}[r[4]]] for r in rows]
    blank = data.draw(st.sampled_from(["", " ", "\t"]))
    cells.insert(data.draw(st.integers(0, len(rows))), [rows[0][0], blank, "One.", "Two.", next(iter(code))])
    folder = tmp_path_factory.mktemp("q")
    write(folder / kind, list(columns.values()), cells)
    with pytest.raises(DataError) as e: mapped(folder / kind, folder / "out.jsonl", values=code, **columns)
    assert columns["prompt"] in str(e.value)
    assert [p.name for p in folder.iterdir()] == [kind]


@quick
@given(ballots())
def test_kinds_agree(tmp_path_factory, ballot):
    "One table says the same in every kind of file"
    columns, code, rows = ballot
    cells = [(*r[:4], {v: k for k, v in code.items()}[r[4]]) for r in rows]
    found = [converted(tmp_path_factory.mktemp("k"), kind, list(columns.values()), cells, values=code, **columns)
             for kind in ("t.csv", "t.tsv", "t.jsonl", "t.json")]
    assert len({f is None for f in found}) == 1
    if found[0] is not None: assert all(f[1:] == found[0][1:] for f in found)


@quick
@given(ballots(), kinds)
def test_majority(tmp_path_factory, ballot, kind):
    "Of each duel, in either order, no more than one comparison is left, and it is what most said"
    columns, code, rows = ballot
    rows = list({(r[0], r[1], frozenset(r[2:4])): r for r in rows if r[4] != "tie"}.values()) # one vote each
    assume(rows)
    cells = [(*r[:4], {v: k for k, v in code.items()}[r[4]]) for r in rows]
    found = converted(tmp_path_factory.mktemp("m"), kind, list(columns.values()), cells, values=code, votes="majority",
                      **columns)
    balance = Counter()
    for row in rows:
        if row[2] == row[3]: continue
        _, asked, better, worse = vote_of(row)
        balance[asked, better, worse] += 1
        balance[asked, worse, better] -= 1
    want = {key for key, n in balance.items() if n > 0}
    if found is None: assert not want
    else: assert Counter(key[1:] for key in found[1].elements()) == Counter(want)


# Pairs and grades

@quick
@given(ballots(), kinds)
def test_pairs(tmp_path_factory, ballot, kind):
    "Columns of better and of worse answers: each row is one comparison, whatever its neighbours are"
    columns, _, rows = ballot
    use = dict(prompt=columns["prompt"], chosen=columns["a"], rejected=columns["b"], by=columns["by"])
    cells = [(q, x, y, who) for who, q, x, y, _ in rows]
    found = converted(tmp_path_factory.mktemp("p"), kind, list(use.values()), cells, **use)
    want = Counter((who, q, x, y) for who, q, x, y, _ in rows if x != y)
    if found is None:
        assert not want
        return
    report, comparisons, ties = found
    assert comparisons == want and not ties
    assert number(report.comparisons) == sum(want.values())
    assert number(report.skipped) == sum(x == y for _, _, x, y, _ in rows)


@quick
@given(grades(), kinds, st.booleans())
def test_grades(tmp_path_factory, drawn, kind, lower):
    "Answers of one question are compared within one person, by the score alone"
    columns, rows = drawn
    found = converted(tmp_path_factory.mktemp("g"), kind, list(columns.values()), rows, lower_is_better=lower,
                      **columns)
    want, ties = Counter(), Counter()
    for (who, q, x, s), (other, r, y, t) in combinations(rows, 2):
        if (who, q) != (other, r): continue
        if s == t: ties[who, q, frozenset((x, y))] += 1
        else: want[(who, q, x, y) if (s > t) != lower else (who, q, y, x)] += 1
    if found is None:
        assert not want
        return
    report, comparisons, kept = found
    assert comparisons == want
    assert number(report.comparisons) == sum(want.values()) and number(report.ties) == sum(ties.values())
    assert not kept or kept == ties
    alone = [key for key, n in Counter(r[:2] for r in rows).items() if n == 1]
    assert number(report.skipped) == len(alone)


@quick
@given(grades(), st.data())
def test_only(tmp_path_factory, drawn, data):
    "`only` takes the rows of one value and no others"
    columns, rows = drawn
    who = data.draw(st.sampled_from(sorted({r[0] for r in rows})))
    folders = [tmp_path_factory.mktemp("o") for _ in range(2)]
    some = converted(folders[0], "t.csv", list(columns.values()), rows, only=[f"{columns['by']}={who}"], **columns)
    own = converted(folders[1], "t.csv", list(columns.values()), [r for r in rows if r[0] == who], **columns)
    assert (some is None) == (own is None)
    if some is not None: assert some[1:] == own[1:]
