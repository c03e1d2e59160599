"What `custom-rm convert` makes of a file, held against what the file means."
import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


def flat(text) -> str:
    "A text or a chat as one string"
    return text if isinstance(text, str) else "\n".join(str(turn.get("content") or "") for turn in text)


def read_truth(folder: Path) -> dict: return json.loads((folder / "truth.json").read_text(encoding="utf-8"))


def read_lines(path: Path) -> list[dict]: return [json.loads(line) for line in path.open(encoding="utf-8")]


# One text

def question_in(text: str, questions) -> str:
    "The question of a text; it stands there once"
    found = [q for q in questions if q in text]
    if len(found) != 1: raise ValueError(f"{len(found)} questions in {text!r}")
    if (times := text.count(found[0])) != 1: raise ValueError(f"its question {times} times in {text!r}")
    return found[0]


def answer_in(text: str, answers) -> str:
    "The answer that ends a text"
    ends = [a for a in answers if text.rstrip().endswith(a)]
    if not ends: raise ValueError(f"no answer at the end of {text!r}")
    return max(ends, key=len)


def check_turns(text, question: str) -> None:
    "Is the question of a text or chat one of its turns, before the assistant's last one?"
    from custom_rm.templates import turns_of
    turns = turns_of(text) if isinstance(text, str) else text
    if not turns: raise ValueError(f"no turns in {text!r}")
    if turns[-1]["role"] != "assistant": raise ValueError(f"the last turn is not the assistant's in {text!r}")
    strange = {t["role"] for t in turns} - {"system", "user", "assistant", "tool"}
    if strange or not all(isinstance(t["content"], str) for t in turns): raise ValueError(f"strange turns in {text!r}")
    if not any(question in t["content"] for t in turns[:-1]): raise ValueError(f"no turn asks {question!r} in {text!r}")


def check_words(text: str, truth: dict) -> None:
    for word in truth["also"]:
        if word not in text: raise ValueError(f"{word!r} is lost in {text!r}")
    for word in truth.get("once", []):
        if text.count(word) != 1: raise ValueError(f"{word!r} {text.count(word)} times in {text!r}")
    for word in truth.get("without", []):
        if word in text: raise ValueError(f"{word!r} is in {text!r}")


# All records

def judged(record: dict):
    "Every two texts of a record: (better, worse, are they equal in score?)"
    scores = record["score"]
    for i, first in enumerate(scores):
        for j in range(i + 1, len(scores)):
            if first == scores[j]: yield i, j, True
            else: yield (i, j, False) if first > scores[j] else (j, i, False)


def meaning(records: list[dict], truth: dict) -> tuple[Counter, Counter]:
    "Comparisons (person, question, better, worse) and ties (question, two answers) of records"
    stated = truth["comparisons"] + truth["ties"]
    questions, answers = {q for q, *_ in stated}, {a for _, *both in stated for a in both}
    comparisons, ties = Counter(), Counter()
    for record in records:
        texts = [flat(text) for text in record["text"]]
        for text in texts: check_words(text, truth)
        said = [(question_in(text, questions), answer_in(text, answers)) for text in texts]
        for text, (question, _) in zip(record["text"], said): check_turns(text, question)
        if len({q for q, _ in said}) != 1: raise ValueError(f"two questions in one record: {said}")
        for better, worse, tie in judged(record):
            q, two = said[0][0], (said[better][1], said[worse][1])
            if two[0] == two[1]: raise ValueError(f"{two[0]!r} is compared with itself")
            if tie: ties[q, frozenset(two)] += 1
            else: comparisons[record.get("person"), q, *two] += 1
    return comparisons, ties


def without_people(comparisons: Counter) -> Counter:
    found = Counter()
    for (_, *said), n in comparisons.items(): found[tuple(said)] += n
    return found


def shares(comparisons) -> list:
    "What each person said, whatever their names are"
    people = {}
    for (person, *said), n in comparisons.items(): people.setdefault(str(person), Counter())[tuple(said)] += n
    return sorted(sorted(c.items()) for c in people.values())


def values_of(key: str, value) -> set:
    "Everything that stands under a key, however deep"
    if isinstance(value, list): return set().union(*(values_of(key, v) for v in value)) if value else set()
    if not isinstance(value, dict): return set()
    own = {str(value[key])} if key in value and not isinstance(value[key], (dict, list)) else set()
    return own.union(*(values_of(key, v) for v in value.values()))


def check_people(comparisons: Counter, records: list[dict], truth: dict, path: Path) -> None:
    "Are the records' persons those of the file?"
    if (voters := truth.get("voters")) is not None:
        want = Counter((str(who), *said) for who, *said in voters)
        have = Counter({(str(who), *said): n for (who, *said), n in comparisons.items()})
        if truth.get("columns"): have, want = shares(have), shares(want)
        if have != want: raise ValueError(f"people say {have}, in the file they say {want}")
    elif truth["people"]:
        nobody = sum(not str(r.get("person") or "").strip() for r in records)
        if nobody: raise ValueError(f"{nobody} of {len(records)} records have no person")
        rows = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else (
            read_lines(path) if path.suffix == ".jsonl" else [])
        known = values_of(truth["people"], rows)
        if known and not {str(r["person"]) for r in records} <= known: raise ValueError(f"people are not {known}")


def check_ties(ties: Counter, truth: dict, output: str) -> None:
    "Ties may be left out if their number is said"
    if truth.get("lists"): return
    want = Counter((q, frozenset(two)) for q, *two in truth["ties"])
    said = re.search(rf"\b{sum(want.values())}\b[^.\n]*tie|tie[^.\n]*\b{sum(want.values())}\b", output)
    if ties != want and not (not ties and said): raise ValueError(f"ties are {dict(ties)}, not {dict(want)}")


def fault(path: Path, truth: dict, records: list[dict], output: str, people: bool = True) -> str:
    "What is wrong with the records of a file; '' if nothing is"
    try:
        comparisons, ties = meaning(records, truth)
        want, have = Counter(tuple(c) for c in truth["comparisons"]), without_people(comparisons)
        if have != want: raise ValueError(f"comparisons lost: {dict(want - have)}; too many: {dict(have - want)}")
        check_ties(ties, truth, output)
        if people: check_people(comparisons, records, truth, path)
        if truth.get("skipped") and "skip" not in output: raise ValueError("rows are left out without a word")
    except ValueError as e: return str(e)
    return ""


# The verb

@dataclass
class Run:
    "What a conversion said and wrote"
    done: bool
    output: str
    records: list
    crash: str = ""


def run(path: Path, out: Path, options: str = "") -> Run:
    "`custom-rm convert PATH OUT OPTIONS` in this process"
    from typer.testing import CliRunner
    from custom_rm.cli import app
    from custom_rm.core import DataError
    out.unlink(missing_ok=True)
    result = CliRunner().invoke(app, ["convert", str(path), str(out), *shlex.split(options)])
    output = result.output
    if isinstance(result.exception, DataError): output += str(result.exception)
    elif result.exception and not isinstance(result.exception, SystemExit):
        return Run(False, output, [], f"{type(result.exception).__name__}: {result.exception}")
    done = result.exit_code == 0
    if not done and out.exists(): return Run(False, output, [], "an error left a file")
    return Run(done, output, read_lines(out) if done else [])


@dataclass
class Judgement:
    "One line of the table"
    file: str
    shape: str
    read_as: str = ""
    comparisons: int = 0
    ties: int = 0
    people: int = 0
    verdict: str = "ok" # or refused, or wrong
    why: str = ""


def told(judgement: Judgement, found: Run) -> Judgement:
    "A line with what a conversion made"
    pairs = [tie for r in found.records for _, _, tie in judged(r)]
    judgement.comparisons, judgement.ties = pairs.count(False), pairs.count(True)
    judgement.people = len({r["person"] for r in found.records if "person" in r})
    if said := re.search(r"read as:? *(.+)", found.output): judgement.read_as = said[1].strip()
    return judgement


def wanting(message: str, truth: dict) -> list[str]:
    "What a refusal ought to have said and has not"
    plain = " ".join(message.split()).lower()
    words = [w for w in truth.get("says", []) if not any(one.lower() in plain for one in w.split("|"))]
    flags = {w for w in shlex.split(truth["options"] or "") if w.startswith("--")}
    if flags and not any(flag in plain for flag in flags): words.append(" or ".join(sorted(flags)))
    return words


def unasked(path: Path, truth: dict, out: Path, line: Judgement) -> str:
    "What is wrong with a conversion without options; '' if nothing is"
    found = run(path, out)
    if found.crash: return found.crash
    if not found.done:
        line.verdict = "refused"
        if truth["auto"]: return f"refused: {found.output.strip()}"
        lost = wanting(found.output, truth)
        return f"the refusal does not say {', '.join(lost)}: {found.output.strip()}" if lost else ""
    told(line, found)
    if truth.get("refuse"): return "understood, where it has two readings or none"
    return fault(path, {**truth, **truth.get("unasked", {})}, found.records, found.output)


def asked(path: Path, truth: dict, out: Path, line: Judgement) -> str:
    "What is wrong with a conversion with the options; '' if nothing is"
    options = truth["options"].split(" or ")[0].split(",  ")[0]
    found = run(path, out, options)
    if found.crash: return found.crash
    if not found.done: return f"with {options} refused: {found.output.strip()}"
    told(line, found)
    line.verdict = "ok"
    people = "--votes" not in options or "--votes all" in options
    wrong = fault(path, truth, found.records, found.output, people)
    return f"with {options}: {wrong}" if wrong else ""


def tried(path: Path, truth: dict, out: Path) -> str:
    "What is wrong with conversions by options that someone may well type; '' if nothing is"
    for options in truth.get("tries", []):
        found = run(path, out, options)
        wrong = found.crash or found.done and fault(path, truth, found.records, found.output)
        if wrong: return f"with {options}: {wrong}"
    return ""


def judge(path: Path, truth: dict, folder: Path) -> Judgement:
    "A file without options, and with them where it has some"
    line = Judgement(path.name, truth["shape"])
    why = unasked(path, truth, folder / "out.jsonl", line)
    if not why and truth["options"]: why = asked(path, truth, folder / "out.jsonl", line)
    why = why or tried(path, truth, folder / "out.jsonl")
    if why: line.verdict, line.why = "wrong", " ".join(why.split())
    return line
