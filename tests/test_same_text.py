"The text that is scored is the text that was trained: each shape of row that both doors take gives one string; only refusals may differ."
import json
from collections import Counter
from types import SimpleNamespace

import pytest

from custom_rm.convert import file_records
from custom_rm.core import DataError
from custom_rm.mapping import once_asked
from custom_rm.records import _rows, load_records, to_one_template, write_json
from custom_rm.scoring import reward_function, Scorer, texts_of

Q, BETTER, WORSE = "Where does rain come from?", "From drops that grow until they fall.", "Nobody really knows that."


def says(role, content): return dict(role=role, content=content)


ASKED, RULE = [says("user", Q)], says("system", "Be brief.")
PAST = [says("user", "Is it wet?"), says("assistant", "Clouds are.")]
PROMPTS = dict(
    bare=Q, spaces=Q + "  ", hh=f"\n\nHuman: {Q}\n\nAssistant:", hh_space=f"\n\nHuman: {Q}\n\nAssistant: ", hh_open=f"\n\nHuman: {Q}", stripped=f"Human: {Q}\n\nAssistant:", single=f"Human: {Q}\nAssistant:",
    dsp=f"## Human:\n{Q}\n\n## Assistant:\n", dsp_cut=f"## Human:\n{Q}\n\n## Assistant:", chatml=f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n",
    chatml_open=f"<|im_start|>user\n{Q}<|im_end|>\n", llama3=f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{Q}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    inst=f"[INST] {Q} [/INST]", vicuna=f"USER: {Q} ASSISTANT:", alpaca=f"### Instruction:\n{Q}\n\n### Response:\n", messages=ASKED, ruled=[RULE, *ASKED], turns=[*PAST, *ASKED], number=42,
    deepseek=f"<｜begin▁of▁sentence｜>Be brief.<｜User｜>{Q}<｜Assistant｜>", harmony=f"<|start|>user<|message|>{Q}<|end|><|start|>assistant<|channel|>final<|message|>", command=f"<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{Q}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    thoughtless=f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", prefilled=f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\nSure:", unknown=f"<|prompter|>{Q}<|endoftext|><|assistant|>", preface=f"Below is an instruction that describes a task.\n\n### Instruction:\n{Q}\n\n### Response:",
    quotes=f"Human: is a word here. {Q}", talk="What does this mean?\n\nHuman: hi\n\nAssistant: ho")
ASKS = {name: dict(prompt=prompt) for name, prompt in PROMPTS.items()} | {
    "query": dict(query=Q), "question": dict(question=Q), "instruction": dict(instruction=Q), "input": dict(instruction="Answer this.", input=Q), "input_inside": dict(instruction=f"Answer: {Q}", input=Q),
    "instruction_inside": dict(instruction="rain", input=Q), "input_again": dict(instruction=Q, input=Q), "input_number": dict(instruction="Double this number.", input=21), "input_marked": dict(instruction="Human: Answer.", input=Q),
    "input_beside_open": dict(instruction=f"Human: {Q}\n\nAssistant:", input="Four"), "input_empty": dict(instruction=Q, input=""), "input_talks": dict(instruction="User: hi", input="Assistant: ho"),
    "system": dict(system="Be brief.", prompt=Q), "system_prompt": dict(system_prompt="Be brief.", question=Q), "sys": dict(sys="Be brief.", prompt=Q), "system_hh": dict(system="Be brief.", prompt=PROMPTS["hh"]),
    "system_messages": dict(system="Be brief.", prompt=ASKED), "system_twice": dict(system="Be brief.", prompt=[RULE, *ASKED]), "system_quoted": dict(system="Be brief.", prompt=[says("user", "You said: Be brief."), says("assistant", "Yes."), *ASKED]),
    "history": dict(history=[["Is it wet?", "Clouds are."]], prompt=Q), "history_turns": dict(history=PAST, prompt=Q), "history_hh": dict(history=PAST, prompt=PROMPTS["hh"]), "chat_history": dict(chat_history=PAST, question=Q),
    "history_in_prompt": dict(history=PAST, prompt=[*PAST, *ASKED]), "history_in_part": dict(history=PAST, prompt=[says("user", "Is it wet? Or dry?"), says("assistant", "Clouds are."), *ASKED]),
    "history_single": dict(history=[["Rain?", "No."]], prompt=[says("user", "Rain?"), *ASKED]), "all": dict(system="Be brief.", history=PAST, prompt=Q), "chats": dict(messages=ASKED), "chats_ruled": dict(messages=[RULE, *ASKED]),
    "conversations": dict(conversations=[{"from": "human", "value": Q}]), "system_chats": dict(system="Be brief.", messages=[*PAST, *ASKED]), "id": dict(prompt=Q, id=7, model="a b"), "chinese_hint": dict(prompt=Q, hint="请用一句话回答"),
    "thai_topic": dict(prompt=Q, topic="ตอบเป็นภาษาอังกฤษเท่านั้น"), "word_as_context": dict(prompt=Q, context="Four"), "number_as_context": dict(prompt=Q, context=4), "comment": dict(prompt=Q, comment="a long remark of somebody"), "image": dict(prompt=Q, image="a.png")}


def answers(a):
    "One answer in the ways that files have it"
    quoted = f"One.\n\nHuman: two. {a}"
    return dict(bare=a, lead=" " + a, line="\n" + a, trail=a + "\n", end=a + "<|im_end|>", message=[says("assistant", a)], single=says("assistant", a), whole=[*ASKED, says("assistant", a)], hh=f"\n\nHuman: {Q}\n\nAssistant: {a}",
                again=f"{Q}\n{a}", mark="Human: said " + a, quoted=quoted, quoted_dsp=quoted.replace("Human:", "## Human:"), quoted_message=[says("assistant", quoted)], chatml=f"Write <|im_start|>user\n{a}", heading=f"## Rain\n{a}",
                tool=[says("assistant", "I look."), says("tool", "grey"), says("assistant", a)], number=len(a), dialogue=f"User: {a}\nAssistant: Yes.", marked=f"Assistant: {a}", marked_hh=f"\n\nAssistant: {a}", ruled=[RULE, *ASKED, says("assistant", a)])


PAIRS = {name: (better, worse) for (name, better), worse in zip(answers(BETTER).items(), answers(WORSE).values())}
CASES = [(ask, answer) for ask in ASKS for answer in PAIRS]
BOTH = dict(score=[1, 0])
RECORDS = {f"{name}_{way}": dict(text=[better, worse], **BOTH, **beside) for name, (better, worse) in PAIRS.items()
           for way, beside in dict(alone={}, prompt=dict(prompt=Q), turns=dict(prompt=ASKED), question=dict(question=Q), other=dict(prompt="rain")).items()}


def trained(made: dict, folder, template: str) -> dict:
    "Name → the texts that training reads, of records by name"
    write_json(folder / "made.jsonl", made.values())
    data, _ = to_one_template(load_records(folder / "made.jsonl", template=template), template)
    return dict(zip(made, data["text"]))


def outcome(function, *args, **kwargs):
    "What a door makes; None where it refuses"
    try: return function(*args, **kwargs)
    except DataError: return None


def differing(trained, scored) -> list:
    "What both doors take, and make something else of"
    return [(name, trained[name], scored[name]) for name in trained if scored.get(name) and scored[name] != trained[name]]


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    "A record of each case that `convert` takes"
    path, found = tmp_path_factory.mktemp("rows") / "rows.jsonl", {}
    for ask, answer in CASES:
        better, worse = PAIRS[answer]
        path.write_text(json.dumps({**ASKS[ask], "chosen": better, "rejected": worse}))
        if made := outcome(list, file_records(path)): found[ask, answer] = made[0]
    taken = Counter(answer for _, answer in found)
    assert len(found) > .6 * len(CASES) and all(taken[answer] for answer in PAIRS), "both doors must be open for this to say anything"
    return found


@pytest.mark.parametrize("template", ["dsp", "hh", "chat"])
def test_rows(converted, tmp_path, template):
    learned = trained(converted, tmp_path, template)
    asked = {case: outcome(texts_of, "row", {**ASKS[case[0]], "responses": list(PAIRS[case[1]])}, template) for case in CASES}
    alone = {(ask, answer): [outcome(texts_of, "row", {**ASKS[ask], "response": one}, template) for one in PAIRS[answer]] for ask, answer in CASES if answer != "again"}
    alone = {case: [texts[0] for texts in made] for case, made in alone.items() if None not in made}
    assert differing(learned, asked) == differing(learned, alone) == []
    assert sum(made is not None for made in asked.values()) > .6 * len(CASES)


@pytest.mark.parametrize("template", ["dsp", "hh", "chat"])
def test_prompts_of_servers_and_trainers(converted, tmp_path, template):
    "`/rank`, `Scorer.score` and `reward_function` get a prompt and answers"
    scorer, made = Scorer.__new__(Scorer), {}
    scorer.rm, scorer.names = SimpleNamespace(template=template, chat=None), ["one"]
    learned = trained({case: record for case, record in converted.items() if case[0] in PROMPTS}, tmp_path, template)
    assert differing(learned, {(ask, answer): outcome(scorer.as_texts, prompt=PROMPTS[ask], responses=list(PAIRS[answer])) for ask, answer in learned}) == []
    texts = []
    import custom_rm.scoring as scoring
    judge, score = reward_function(scorer), scoring.score_texts
    scoring.score_texts = lambda rm, given, names: [texts.extend(given) or [0.] * len(given)]
    try:
        for ask, answer in learned:
            if answer not in ("bare", "lead", "line", "trail", "message", "tool"): continue # a trainer's words are taken literally
            texts.clear()
            if outcome(judge, [PROMPTS[ask]] * 2, list(PAIRS[answer])): made[ask, answer] = list(texts)
    finally: scoring.score_texts = score
    assert differing(learned, made) == [] and len(made) > 80


@pytest.mark.parametrize("template", ["dsp", "hh", "chat"])
def test_records(tmp_path, template):
    "Records are read by training as they are, without `convert`"
    path, taken = tmp_path / "one.jsonl", {}
    for name, record in RECORDS.items():
        write_json(path, [record])
        if outcome(lambda: list(_rows(path, "", template))): taken[name] = record
    learned = trained(taken, tmp_path, template)
    scored = {name: outcome(texts_of, "row", record, template) for name, record in RECORDS.items()}
    assert differing(learned, scored) == [] and sum(made is not None for made in scored.values()) > 30
    assert all("rain" in text for name, texts in learned.items() if name.endswith(("_prompt", "_turns")) and not name.startswith("number") for text in texts), "the question is there"


@pytest.mark.parametrize("query", [name for name, prompt in PROMPTS.items() if isinstance(prompt, str)])
def test_forms_with_keys_of_their_own(tmp_path, query):
    "DSP's, WebGPT's and GPT-4-LLM's questions may stand in a template already, and their answers may be whole chats"
    path, prompt, made, scored = tmp_path / "rows.jsonl", PROMPTS[query], {}, {}
    for answer, (a, b) in PAIRS.items():
        if not isinstance(a, str): continue
        rows = [(dict(query=prompt, responses=dict(x=a, y=b)), dict(domain="x")), (dict(question=prompt, answer_0=a, answer_1=b, score_0=1, score_1=-1), {}), (dict(user_input=prompt, completion_a=a, completion_b=b), {})]
        for i, (row, how) in enumerate(rows):
            path.write_text(json.dumps(row))
            if i == 2 and query in ("alpaca", "preface"): continue # GPT-4-LLM's own wrapping is taken off
            if read := outcome(lambda: list(file_records(path, **how))): made[answer, i] = read[0]
            scored[answer, i] = outcome(texts_of, "row", dict(prompt=prompt, responses=[a, b]), "dsp")
    if query in ("prefilled", "unknown"): assert not made and not any(scored.values()), "neither door knows what this is"
    else: assert differing(trained(made, tmp_path, "dsp"), scored) == []


def test_answers_that_repeat_the_question():
    assert once_asked(ASKED, [f"{Q}\n{BETTER}", f"{Q}\n{WORSE}"]) == [BETTER, WORSE]
