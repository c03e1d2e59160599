"Votes, answers and small checks when something changed in between: nothing is lost, replaced or learned wrongly unseen."
import json
import sqlite3

import numpy as np
import pytest

from custom_rm.core import DataError
from custom_rm.tiny import sum_text


def write(path, rows): path.write_text(json.dumps(rows)); return path
def asked(i, *answers): return dict(prompt=f"What is {i} plus one?", responses=list(answers or (f"It is {i + 1}!", f"It is {i + 1}.")))


def cast(desk, verdict="left"):
    shown = desk.show_next()
    desk.cast(shown.ballot.key, [one.key for one in shown.answers], verdict, repeats=shown.repeats)


@pytest.fixture
def booth(place, own_cache, tmp_path):
    "Opens a page on questions about sums"
    from custom_rm.vote import open_booth
    opened = []
    def make(rows, person="p1", learn=True, **settings):
        made = open_booth(write(tmp_path / "a.json", rows), person, learn=learn, device="cpu", repeat=0, base=None if "general" in settings else str(place / "tiny"), **settings)
        opened.append(made)
        return made
    yield make
    for one in opened:
        if one.learner: one.learner.close()
        one.desk.box.db.close()


# What is learned, and where it goes

@pytest.mark.parametrize("kept", [0, 1])
def test_votes_on_answers_that_were_changed_since_do_not_spoil_the_model(booth, tmp_path, kept):
    first = booth([asked(i) for i in range(6)], learn=False)
    for _ in range(6): cast(first.desk)
    first.close()
    again = booth([*(asked(i, asked(i)["responses"][kept], "Another.") for i in range(6)), asked(9)], out=tmp_path / "mine")
    assert again.left_out == {"votes by p1 on answers that are not in this file; they are kept": 6}
    cast(again.desk)
    again.hear()
    assert "reward model from 1 comparison" in again.close()[-1]


def test_of_a_list_the_answers_that_are_left_are_learned_from(booth, tmp_path):
    five = [f"It is {n}." for n in range(5)]
    first = booth([asked(1, *five)], learn=False, lists=True)
    shown = first.desk.show_next()
    keys = [one.key for one in shown.answers]
    first.desk.cast(shown.ballot.key, keys, "order", ranking=keys)
    first.close()
    again = booth([asked(1, *five[:4], "New."), asked(2)], out=tmp_path / "mine")
    again.hear()
    assert "reward model from 6 comparisons" in again.close()[-1]


def test_a_folder_with_other_things_is_never_replaced_by_a_reward_model(booth, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dark")
    with pytest.raises(DataError, match="thesis: holds other files, which would be replaced; name a new folder with --out"): booth([asked(1)], out=tmp_path / "thesis")
    with pytest.raises(DataError, match="a.json: holds other files"): booth([asked(1)], out=tmp_path / "a.json")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "dark"


def test_a_reward_model_is_replaced_by_its_own_person_alone(booth, tmp_path):
    rows = [asked(i) for i in range(4)]
    for person in ("p1", "p1", "p2"):
        if person == "p2":
            with pytest.raises(DataError, match="mine: holds a reward model of other origin"): booth(rows, "p2", out=tmp_path / "mine")
            break
        made = booth(rows, person, out=tmp_path / "mine")
        cast(made.desk)
        made.hear()
        assert "a reward model from" in made.close()[-1]
    both = [booth(rows, person, out=tmp_path / "ours") for person in ("p1", "p2")]
    for made in both: cast(made.desk), made.hear()
    assert "a reward model from" in both[0].close()[-1] and "no reward model was made" in both[1].close()[-1]
    with pytest.raises(DataError, match="holds the model to begin with"): booth(rows, general=tmp_path / "mine", out=tmp_path / "mine")


def test_a_model_that_begins_with_another_has_learned_its_questions_too(booth, tmp_path):
    from custom_rm.artefact import trained_on
    one = booth([asked(1)], out=tmp_path / "one")
    cast(one.desk), one.hear(), one.close()
    two = booth([asked(2)], general=tmp_path / "one", out=tmp_path / "two")
    cast(two.desk), two.hear(), two.close()
    assert len(trained_on(tmp_path / "one")) == 1 and len(trained_on(tmp_path / "two")) == 2 and trained_on(tmp_path / "one") < trained_on(tmp_path / "two")


# The file of votes

def test_undo_takes_back_only_what_it_can_show(booth):
    first = booth([asked(i) for i in range(3)], learn=False)
    for _ in range(3): cast(first.desk)
    first.close()
    again = booth([asked(7), asked(8)], learn=False)
    cast(again.desk)
    assert again.desk.undo() is not None and again.desk.undo() is None
    assert len(again.desk.box.votes("p1")) == 3 and len(again.desk.votes) == 3


def test_one_person_does_not_become_two_by_a_capital_letter(booth):
    for person in ("Zo\u00eb", "ben"):
        made = booth([asked(1)], person, learn=False)
        cast(made.desk)
        made.close()
    for slip in ("zo\u00eb", "Zoe\u0308", "BEN"):
        with pytest.raises(DataError, match="a.votes.sqlite holds votes by '(Zo\u00eb|ben)'; give that key to go on"): booth([asked(1)], slip, learn=False)
    for person in ("Zo\u00eb", "ben", "Zoe", "benny"): booth([asked(1)], person, learn=False)


@pytest.mark.parametrize("kind", ["votes", "answers"])
def test_another_programs_database_is_left_as_it_is(tmp_path, kind):
    from custom_rm.ballots import VoteFile
    from custom_rm.collect import Store
    path = tmp_path / "diary.sqlite"
    with sqlite3.connect(path) as base: base.execute("create table diary (day text)")
    base.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="database"): (VoteFile if kind == "votes" else Store)(path)
    assert path.read_bytes() == before


# Questions and answers

@pytest.mark.parametrize("data", [b"Is bread good?\rIs rain good?\r", b"Is bread good?\r\nIs rain good?\r\n", b"Is bread good?\n\nIs rain good?"])
def test_lines_end_as_any_system_ends_them(tmp_path, data):
    from custom_rm.collect import read_questions
    (tmp_path / "q.txt").write_bytes(data)
    assert read_questions(tmp_path / "q.txt") == ["Is bread good?", "Is rain good?"]


def test_the_first_question_of_a_table_without_names_is_not_lost(tmp_path):
    from custom_rm.collect import read_questions
    path = tmp_path / "q.csv"
    for first in ("Is bread good?", "Tell me all you know about bread", "\u9762\u5305\u597d\u5417\uff1f"):
        path.write_text(f"{first}\nIs rain good?\n", encoding="utf-8")
        with pytest.raises(DataError, match="would be the column's name and not be asked; write a line that says question above it"): read_questions(path)
    for names, row in (("question", ""), ("What I would ask", ""), ("Timestamp,What do you want to know?", "2026-01-01,")):
        path.write_text(f"{names}\n{row}Is rain good?\n", encoding="utf-8")
        assert read_questions(path) == ["Is rain good?"]


@pytest.mark.parametrize("text, thinks", [
    ("<thinking>Hm.</thinking>Yes.", True), ("[THINK]Hm.[/THINK]Yes.", True), ("\u25c1think\u25b7Hm.\u25c1/think\u25b7Yes.", True), ("<seed:think>Hm.</seed:think>Yes.", True),
    ("<|channel|>analysis<|message|>Hm.", True), ("Hm.</think>Yes.", True), ("I think so, for a reason.", False), ("a < b > thought", False)])
def test_thoughts_are_known_by_their_marks(text, thinks):
    from custom_rm.collect import Answer, flags_of
    assert ("thinking" in flags_of(Answer(text, "stop"))) is thinks


def test_parts_of_a_reply_that_are_thoughts_are_no_answer():
    from custom_rm.collect import read_reply
    def said(*parts): return read_reply(json.dumps(dict(choices=[dict(message=dict(content=list(parts)), finish_reason="stop")])).encode()).text
    assert said(dict(type="reasoning", text="Hm."), dict(type="text", text="Yes.")) == "Yes."
    assert said(dict(type="output_text", text="Yes"), dict(text=".")) == "Yes."


def test_a_seed_is_not_sent_twice_and_not_the_same_for_all(tmp_path):
    from custom_rm.collect import read_roles, Sampling
    with pytest.raises(DataError, match="seed is no parameter.*use --seed"): Sampling(["m"], n=2, parameters=dict(seed=3))
    (tmp_path / "r.yaml").write_text('poet: Rhyme.\n"poet ": Sing.\nclerk: List.\n')
    with pytest.raises(DataError, match="role poet stands there twice"): read_roles(tmp_path / "r.yaml")


# The library

@pytest.fixture(scope="module")
def rm(place):
    from custom_rm.fetch import fetch_model
    from custom_rm.model import RewardModel
    return RewardModel(fetch_model(str(place / "tiny")), quantize=False, pooling="mean", device="cpu")


def votes(n=6, form=lambda i, answer: sum_text(i, answer)): return [dict(text=[form(i, f"It is {i + 1}!!!"), form(i, f"It is {i + 1}.")], score=[1, 0]) for i in range(n)]


def test_votes_in_another_template_teach_what_will_be_scored(rm):
    from custom_rm.instant import learn
    def question(i): return f"What is {i} plus one?"
    forms = (lambda i, a: f"\n\nHuman: {question(i)}\n\nAssistant: {a}", lambda i, a: [dict(role="user", content=question(i)), dict(role="assistant", content=a)])
    own = learn(rm, votes(), "own").weights
    for form in forms: np.testing.assert_allclose(learn(rm, votes(form=form), "other").weights, own)


def test_votes_of_usual_kinds_are_learned_from_and_unusual_ones_refused(rm):
    import torch
    from custom_rm.instant import learn
    own = learn(rm, votes(), "own").weights
    for kind in (np.array, torch.tensor, tuple, lambda s: np.array(s) == 1):
        np.testing.assert_allclose(learn(rm, (dict(vote, score=kind(vote["score"])) for vote in votes()), "other").weights, own)
    for score, told in ((["10", "9"], 'score.0. is "10", not a number'), ([None, 1], "is null"), ([float("nan"), 1], "is NaN"), ([1], "2 texts but 1 scores")):
        with pytest.raises(DataError, match=f"vote 1: .*{told}"): learn(rm, [dict(votes(1)[0], score=score)], "third")
    with pytest.raises(DataError, match="can't start from itself"): learn(rm, votes(), "own", prior="own")
    assert "third" not in rm.adapters


def test_names_of_answers_are_not_scored_for_the_answers(rm):
    from custom_rm.instant import learn
    from custom_rm.scoring import Scorer
    learn(rm, votes(), "own")
    scorer, answers = Scorer(rm), {"calm": "It is 8.", "loud": "It is 8!!!"}
    for ask in (scorer.rank, scorer.best_of_n):
        with pytest.raises(DataError, match="responses have names, 'calm', 'loud'; give a list of their values"): ask("What is 7 plus one?", answers, "own")
    for given in (list(answers.values()), np.array(list(answers.values()))): assert scorer.best_of_n("What is 7 plus one?", given, "own") == "It is 8!!!"
    with pytest.raises(DataError, match="no responses to choose from"): scorer.best_of_n("Why?", np.array([]), "own")


@pytest.mark.parametrize("change", [dict(groups=range(5)), dict(groups=range(30)), dict(groups=np.zeros((20, 1))), dict(differences=np.ones(20)), dict(root=np.eye(5)), dict(root=np.full((6, 6), np.nan))])
def test_comparisons_that_do_not_fit_their_questions_are_refused(change):
    from custom_rm.personal import before_learned, fit_personal
    given = dict(differences=np.random.default_rng(0).normal(size=(20, 6)), groups=range(20))
    for use in (fit_personal, before_learned):
        use(**given | dict(differences=given["differences"].tolist(), root=np.ones(6)))
        with pytest.raises(DataError, match="give one row for each comparison|`root_of` makes"): use(**given | change)


# A judge, and the machine

def test_a_judge_that_has_one_token_for_both_letters_is_refused(rm, monkeypatch):
    from custom_rm import judge
    monkeypatch.setattr(rm, "tokenizer", lambda text, **options: dict(input_ids=[0]))
    with pytest.raises(DataError, match="has one token for A and B"): judge.judge_margins(rm, [("Why?", "So.", "No.")], ["a poet"])


def test_a_judges_prompt_begins_as_its_tokenizer_begins_a_text(tmp_path):
    from transformers import AutoTokenizer
    from custom_rm.judge import _prompts
    from custom_rm.tiny import tiny_base
    plain, opened = (AutoTokenizer.from_pretrained(tiny_base(tmp_path / name, **more)) for name, more in (("plain", {}), ("bos", dict(bos=True))))
    (without,), (begun,) = (_prompts("Why?", "So.", "No.", ["a poet"], tokenizer, 160) for tokenizer in (plain, opened))
    assert begun == [opened.bos_token_id, *without] and plain.bos_token_id != without[0]


def test_check_says_which_package_is_missing_or_of_another_version(monkeypatch, tmp_path):
    from custom_rm import check as checks
    lines = checks.unmet(["torch>=2.6", "transformers>=99", "a-package-nobody-has>=1", "openai>=99; extra == 'collect'", "numpy>=99; sys_platform == 'nowhere'"])
    assert len(lines) == 2 and lines[0].endswith("and custom_rm wants >=99; pip install 'transformers>=99'") and lines[1] == "a-package-nobody-has is not installed; pip install 'a-package-nobody-has>=1'"
    monkeypatch.setattr(checks, "_required", lambda: ["transformers>=99"])
    monkeypatch.setattr(checks, "_find", lambda device: (None, ""))
    assert checks.check()["says"] == lines[:1]


def test_an_output_that_was_left_from_before_is_called_so(tmp_path):
    from custom_rm.collect import Collection
    (tmp_path / "out.jsonl").write_text("{}")
    assert str(Collection(str(tmp_path / "out.jsonl"), questions=1)).endswith("nothing was written; " + str(tmp_path / "out.jsonl") + " is of an earlier run")
    assert str(Collection(str(tmp_path / "new.jsonl"), questions=1)).endswith("nothing was written")


def test_export_never_overwrites_the_answers(tmp_path, custom_rm):
    "The file that votes are about stays, also under another spelling of its path"
    from custom_rm.ballots import VoteFile
    answers = write(tmp_path / "a.json", [dict(prompt="What is one?", responses=["One.", "Two."])])
    before, votes = answers.read_bytes(), tmp_path / "votes.sqlite"
    VoteFile(votes).close()
    for path in (answers, tmp_path / ".." / tmp_path.name / "a.json"):
        done = custom_rm("vote", answers, "--votes", votes, "--export", path)
        assert done.returncode == 2 and "holds the answers; choose another place" in done.stderr
    assert answers.read_bytes() == before
