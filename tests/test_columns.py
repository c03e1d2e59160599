"Columns whose names say two things are read by their values, or asked about; never in silence."
import pytest
from custom_rm.columns import ANSWERS, BETTER, FLAGS, HISTORIES, INPUTS, MARGINS, MODESTLY, PEOPLE, PROMPTS, RANKS
from custom_rm.columns import RESPONSES, SCORES, STRENGTHS, SYSTEMS, Unclear, VERDICTS, guess
from custom_rm.mapping import Mapping, plain_name

Q, A, B = "Where does rain come from?", "It comes from clouds.", "I have no idea at all."
AB, R01, R12 = (dict(zip(("prompt", *names), (Q, A, B))) for names in
                (("answer_a", "answer_b"), ("response_0", "response_1"), ("response_1", "response_2")))
PAIR, ONE = dict(prompt=Q, chosen=A, rejected=B), dict(prompt=Q, response=A)


def column(row, **values):
    "The row once for each value of the columns"
    return [row | dict(zip(values, several)) for several in zip(*values.values())]


def read(rows, **given): return guess([(f"line {i}", row) for i, row in enumerate(rows, 1)], Mapping(**given))[0]


@pytest.mark.parametrize("rows, said", [
    (column(R12, label=[1, 2]), dict(winner="label")),
    (column(AB, overall_preference=[-1, 2]), dict(winner="overall_preference")),
    (column(AB, winner=["a", "b"], preference_strength=[3, 1]), dict(winner="winner")),
    (column(AB, winner=["a"], loser=["b"]), dict(a="answer_a", b="answer_b", winner="winner")),
    (column(AB, winner=["a"], good=["It is short."], bad=["It is rude."]), dict(a="answer_a", chosen=None)),
    (column(AB, winner=["a", "b"], Label=["A", "B"]), dict(winner="winner")),
    ([dict(prompt=Q, models=dict(a="gpt-4", b="llama"), answers=dict(a=A, b=B), winner="a")], dict(a="answers.a")),
    ([dict(prompt=Q, version_a="v1", version_b="v2", haiku_a=A, haiku_b=B, winner="a")], dict(a="haiku_a")),
    (column(PAIR, label=["none", "toxic"]), dict(winner=None)),
    (column(PAIR, label=["tie", "chosen"]), dict(winner="label")),
    (column(PAIR, preference=["tie", "strong"]), dict(winner="preference")),
    ([dict(instruction="Translate: Yes!", input="Yes!", chosen=A, rejected=B)], dict(prompt="instruction")),
    ([dict(instruction="Translate", input="Yes!", chosen=A, rejected=B)], dict(prompt="instruction,input")),
    (column(ONE, score=[1, 2], rating=[2, 4]), dict(score="score"))])
def test_is_read(rows, said):
    mapping = read(rows)
    assert {name: getattr(mapping, name) for name in said} == said


@pytest.mark.parametrize("rows, option", [
    (column(R01, label=[0, 1]), "--values 0=a,1=b or --values 1=a,0=b"),
    (column(R12, selected=[1, 1]), "--values"),
    (column(AB, winner=[1, 1]), "--values"),
    (column(AB, preference_strength=[1, 4, 6, 7]), "--values '<4=a,4=tie,>4=b' if 4 is the middle of the scale"),
    (column(AB, winner=["a", "b", "unsure"], label=["a", "a", "b"]), "--winner winner or --winner label"),
    (column(AB, winner=["a"], Winner=["b"]), "--winner winner or --winner Winner"),
    ([AB | dict(ann=dict(winner="a"), ben=dict(winner="b"))], "--winner ann.winner or --winner ben.winner"),
    (column(AB, vote_a=[3], vote_b=[0]), "--response answer_a,answer_b --score vote_a,vote_b"),
    (column(AB, voice1=[1], voice2=[2]), "--winner voice1,voice2 where each column is one person"),
    (column(AB, position_a=[1], position_b=[2]), "--winner"),
    (column(ONE, position=[1, 2]), "--score position"),
    (column(ONE, note=[1, 5]), "--score note"),
    (column(ONE, score=[1, 2], rating=[5, 1]), "--score score or --score rating"),
    (column(AB, winner=["a"], system=["gpt-4"]), "--system system or --ignore system"),
    (column(ONE, score=[1, 2], user_id=[7, 8]), "--by user_id or --ignore user_id"),
    ([dict(user="Anna Berg", answer_a=A, answer_b=B, winner="a", task="Say why.")], "--prompt task"),
    ([{"my brief": Q, "chosen": A, "rejected": B}], "--prompt 'my brief'"),
    (column(AB, winner=["x", "y", "z"]), "--values 'x=…,y=…,z=…'")])
def test_is_asked(rows, option):
    with pytest.raises(Unclear) as caught: read(rows)
    assert option in str(caught.value)
    assert all(name in str(caught.value) for name in rows[0] if not isinstance(rows[0][name], dict))


def test_a_named_person_is_not_doubted():
    rows = column(ONE, score=[1, 2], user_id=[7, 8])
    assert read(rows, by="user_id").by == "user_id" and read(rows, ignore=["user_id"]).by is None


def test_names_are_plain():
    lists = (ANSWERS, FLAGS, HISTORIES, INPUTS, MARGINS, MODESTLY, PEOPLE, PROMPTS, RANKS, RESPONSES, SCORES, STRENGTHS,
             SYSTEMS, VERDICTS, [name for pair in BETTER for name in pair])
    assert all(plain_name(name) == name for names in lists for name in names)
    assert set(FLAGS) | set(STRENGTHS) <= set(VERDICTS) and set(MODESTLY) <= set(ANSWERS)
