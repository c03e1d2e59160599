"""Preference files in the shapes people have, in our own words, and `truth.json`: what each of them means.

`python tests/forms/make.py` writes them beside itself; `binary(folder)` makes those that are no text. A truth holds:

- `shape`: in words; `comparisons`, `ties`: [question, better, worse] each, counted as often as the file says them;
- `auto`: understood unasked. If false it may be refused unasked, but never misread; `options` then make it right;
- `refuse`: unasked it must be refused, since it has two readings or none; `says`: words of every refusal unasked,
  where `one|other` asks for one of them;
- `tries`: options that someone may well type; with each of them it is refused or right;
- `also`: words that stand in every text, `once` exactly once; `without`: words that stand in none;
- `lists`: records may hold ties beside their comparisons, as lists of better and of worse answers do;
- `people`: the column of the persons; `voters`: [person, question, better, worse] each; `columns`: a person a column;
- `skipped`: rows that are left out, and reported; `unasked`: what differs where no options are given.
"""
import csv
import gzip
import io
import json
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
TRUTH = {}   # by name of file
CONTENT = {} # text of each file that is text, by name
BINARY = {}  # a function that writes each other file, by name

P = [("How do I keep bread fresh?", "Wrap it in a cloth and keep it dry.", "Bread is bread."),
     ("Why is the sky red at dusk?", "The long path of light scatters the blue away.", "It just is."),
     ("What does a gearbox do?", "It trades speed for torque.", "It makes noise."),
     ("Where does cork come from?", "From the bark of an oak.", "From a shop."),
     ("When should I prune roses?", "In late winter, before the buds open.", "Whenever."),
     ("How tall is a giraffe?", "About five metres, neck included.", "Rather tall.")]
N = 4 # rows of most files
TRIO = {q: (b, "Perhaps so.", w) for q, b, w in P} # three answers of a question, the best first


def user(text): return dict(role="user", content=text)


def said(text): return dict(role="assistant", content=text)


def system(text): return dict(role="system", content=text)


def chat(q, a): return [user(q), said(a)]


def human(text): return {"from": "human", "value": text}


def gpt(text): return {"from": "gpt", "value": text}


def duel(i, tie=()):
    "Question, first answer, second answer and verdict of pair i: the better one stands first where i is odd"
    q, better, worse = P[i]
    first, second = (better, worse) if i % 2 else (worse, better)
    return q, first, second, "tie" if i in tie else "a" if i % 2 else "b"


def triples(ids): return [list(P[i]) for i in ids]


def ranked(q, answers):
    "Every comparison of answers, the best first"
    return [[q, b, w] for i, b in enumerate(answers) for w in answers[i + 1:]]


def table(rows, delimiter=","):
    "CSV of dicts"
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def rendered(name, rows):
    "The text of a file of that name"
    if isinstance(rows, str): return rows
    if name.endswith(".jsonl"): return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    if name.endswith(".json"): return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    return table(rows, "\t" if name.endswith(".tsv") else ",")


def add(name, shape, rows, *, comparisons=None, ties=(), auto=True, options=None, also=(), people=None, voters=None,
        **more):
    "One file and its meaning; `rows` are dicts, a text, or for a binary file a function of its path"
    if comparisons is None: comparisons = [v[1:] for v in voters] if voters is not None else triples(range(N))
    if voters is not None: more["voters"] = [list(v) for v in voters]
    TRUTH[name] = dict(shape=shape, auto=auto, options=options, comparisons=[list(c) for c in comparisons],
                       ties=[list(t) for t in ties], also=list(also), people=people, **more)
    if callable(rows): BINARY[name] = rows
    else: CONTENT[name] = rendered(name, rows)


def either(name, shape, rows, **more):
    "A shape that may be refused, with or without options"
    add(name, shape, rows, auto=False, **more)


def refused(name, shape, rows, *, says=(), **more):
    "A shape that must be refused unasked"
    more.setdefault("comparisons", [])
    add(name, shape, rows, auto=False, refuse=True, says=list(says), **more)


# Transcripts and templates in strings

def transcripts():
    def both(render): return [dict(chosen=render(*P[i][:2]), rejected=render(P[i][0], P[i][2])) for i in range(N)]
    add("hh_stripped.jsonl", "HH whose leading newlines were stripped",
        both(lambda q, a: f"Human: {q}\n\nAssistant: {a}"))
    add("hh_single_newlines.jsonl", "HH with single newlines", both(lambda q, a: f"Human: {q}\nAssistant: {a}"))
    add("hh_turns.jsonl", "HH of several turns", both(
        lambda q, a: f"\n\nHuman: Good day.\n\nAssistant: What is it?\n\nHuman: {q}\n\nAssistant: {a}"),
        also=["Good day.", "What is it?"])
    add("hh_chatml.jsonl", "ChatML strings, whole chats", both(
        lambda q, a: f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{q}<|im_end|>\n"
                     f"<|im_start|>assistant\n{a}<|im_end|>\n"), also=["Be brief."], without=["<|im_"])
    add("chatml_prompt.jsonl", "ChatML prompt that ends with the assistant's header", [dict(
        prompt=f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n",
        chosen=f"{b}<|im_end|>\n", rejected=f"{w}<|im_end|>\n") for q, b, w in P[:N]],
        also=["Be brief."], without=["<|im_"])
    either("llama2_strings.jsonl", "Llama 2's template", both(
        lambda q, a: f"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{q} [/INST] {a} </s>"),
        also=["Be brief."], without=["INST]", "SYS>>"])
    either("vicuna_strings.jsonl", "Vicuna's template",
           both(lambda q, a: f"A talk of two. USER: {q} ASSISTANT: {a}</s>"), without=["USER:", "ASSISTANT:"])
    either("zephyr_strings.jsonl", "Zephyr's template",
           both(lambda q, a: f"<|user|>\n{q}</s>\n<|assistant|>\n{a}</s>"), without=["<|user|>"])
    either("llama3_strings.jsonl", "Llama 3's template", both(
        lambda q, a: f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{q}<|eot_id|>"
                     f"<|start_header_id|>assistant<|end_header_id|>\n\n{a}<|eot_id|>"), without=["<|"])
    either("gemma_strings.jsonl", "Gemma's template", both(
        lambda q, a: f"<start_of_turn>user\n{q}<end_of_turn>\n<start_of_turn>model\n{a}<end_of_turn>\n"),
        without=["_turn>"])
    for name, before, after, end in (
            ("deepseek", "<｜begin▁of▁sentence｜><｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
            ("harmony", "<|start|>user<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"),
            ("command", "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
             "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
            ("thoughtless", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", "")):
        add(f"{name}_prompt.jsonl", f"a prompt as the template of {name} writes it", [dict(
            prompt=f"{before}{q}{after}", chosen=f"{b}{end}", rejected=f"{w}{end}") for q, b, w in P[:N]],
            without=["<|", "<｜", "_TOKEN", "think>"])
    refused("unknown_marks.jsonl", "a prompt in a template that nobody knows", [dict(
        prompt=f"<|prompter|>{q}<|endoftext|><|assistant|>", chosen=b, rejected=w) for q, b, w in P[:N]],
        says=["as messages"])
    add("instruction_template.jsonl", "a prompt in Alpaca's headings", [dict(
        prompt=f"### Instruction:\n{q}\n\n### Response:\n", chosen=b, rejected=w) for q, b, w in P[:N]])
    add("hh_prompt.jsonl", "an HH prompt beside bare answers", [dict(
        prompt=f"\n\nHuman: {q}\n\nAssistant:", chosen=f" {b}", rejected=f" {w}") for q, b, w in P[:N]])
    add("hh_prompt_again.jsonl", "an HH prompt beside whole HH transcripts", [dict(
        prompt=f"\n\nHuman: {q}\n\nAssistant:", chosen=f"\n\nHuman: {q}\n\nAssistant: {b}",
        rejected=f"\n\nHuman: {q}\n\nAssistant: {w}") for q, b, w in P[:N]])
    refused("bare_answers.jsonl", "chosen and rejected without any question",
            [dict(chosen=b, rejected=w) for _, b, w in P[:N]], says=["--prompt"])


# Better and worse answers in columns

def pairs_in_columns():
    def rows(make, ids=range(N)): return [make(i, *P[i]) for i in ids]
    add("orca_intel.jsonl", "Orca pairs, some without a system prompt", rows(lambda i, q, b, w: dict(
        system="Be brief." if i % 2 else "", question=q, chosen=b, rejected=w)))
    add("orca_raw.jsonl", "Orca pairs under the models' names", rows(lambda i, q, b, w: {
        "system": "Be brief.", "question": q, "chatgpt": b, "llama2-13b-chat": w}), auto=False,
        options="--system system --prompt question --chosen chatgpt --rejected llama2-13b-chat", also=["Be brief."])
    add("distilabel_orca.jsonl", "distilabel: pairs beside generations, ratings and a status; one tie", rows(
        lambda i, q, b, w: dict(
            system="Be brief.", input=q, chosen=b, rejected=w, generations=[w, b], order=["rejected", "chosen"],
            labelling_model="x", labelling_prompt=[user("Which one?")], raw_labelling_response="9 2",
            rating=[7.0, 7.0] if i == 2 else [2.0, 9.0], rationale="The second is exact.",
            status="tie" if i == 2 else "swapped", original_chosen=w, original_rejected=b,
            chosen_score=7.0 if i == 2 else 9.0)),
        comparisons=triples([0, 1, 3]), ties=triples([2]), also=["Be brief."], without=["exact"])
    add("ultrafeedback_cleaned.jsonl", "UltraFeedback as Argilla cleaned it: chosen-rating, one equal", rows(
        lambda i, q, b, w: {
            "source": "x", "prompt": q, "chosen": chat(q, b), "chosen-rating": 4.5, "chosen-model": "m1",
            "rejected": chat(q, w), "rejected-rating": 4.5 if i == 1 else 2.0, "rejected-model": "m2"}),
        comparisons=triples([0, 2, 3]), ties=triples([1]))
    add("capybara_dpo.jsonl", "Capybara pairs: whole chats, beside them the conversation they came from", rows(
        lambda i, q, b, w: dict(
            source="x", conversation=[dict(input="Good day.", output="What is it?"), dict(input=q, output=b)],
            original_response=b, generation_prompt=[user("Good day."), said("What is it?"), user(q)],
            raw_generation_responses=[w], new_generations=[w], prompt="Good day.",
            chosen=[user("Good day."), said("What is it?"), *chat(q, b)],
            rejected=[user("Good day."), said("What is it?"), *chat(q, w)],
            rating_chosen=5, rating_rejected=2, chosen_model="original", rejected_model="m2")),
        also=["Good day.", "What is it?"])
    add("math_preference.jsonl", "distilabel's mathematics: chosen_response, chosen_rating", rows(
        lambda i, q, b, w: dict(metadata="{}", instruction=q, chosen_model="m1", chosen_response=b, chosen_rating=5.0,
                                rejected_model="m2", rejected_response=w, rejected_rating=1.0)))
    add("axolotl_argilla.jsonl", "axolotl: system, instruction, chosen_response", rows(lambda i, q, b, w: dict(
        system="Be brief.", instruction=q, chosen_response=b, rejected_response=w)), also=["Be brief."])
    add("axolotl_ultra.jsonl", "axolotl: system and prompt beside whole chats", rows(lambda i, q, b, w: dict(
        system="Be brief.", prompt=q, chosen=chat(q, b), rejected=chat(q, w))), also=["Be brief."])
    add("axolotl_chat_template.jsonl", "axolotl: messages, then one message each", rows(lambda i, q, b, w: dict(
        messages=[system("Be brief."), user(q)], chosen=said(b), rejected=said(w))), also=["Be brief."])
    add("llamafactory_history.json", "LLaMA-Factory's Alpaca: instruction, input, system, history", rows(
        lambda i, q, b, w: dict(instruction="Say it plainly.", input=q, chosen=b, rejected=w, system="Be brief.",
                                history=[["Good day.", "What is it?"]])),
        also=["Say it plainly.", "Be brief.", "Good day.", "What is it?"])
    either("llamafactory_output_list.json", "LLaMA-Factory's older form: output is [better, worse]", rows(
        lambda i, q, b, w: dict(instruction=q, input="", output=[b, w])))
    add("sharegpt_whole.jsonl", "ShareGPT turns, whole chats, no prompt", rows(lambda i, q, b, w: dict(
        chosen=[human(q), gpt(b)], rejected=[human(q), gpt(w)])))
    add("messages_and_strings.jsonl", "messages in parts, chosen and rejected as strings", rows(lambda i, q, b, w: dict(
        system="Be brief.", messages=[dict(role="user", content=[dict(type="text", text=q)])], chosen=b, rejected=w)),
        also=["Be brief."])
    add("context_messages.jsonl", "the conversation under another name", rows(lambda i, q, b, w: dict(
        context_messages=[user(q)], chosen=b, rejected=w)), auto=False, options="--prompt context_messages")
    add("tulu3.jsonl", "Tulu 3: ids, prompt, whole chats, models", rows(lambda i, q, b, w: dict(
        id=f"r{i}", source="x", prompt=q, chosen=chat(q, b), rejected=chat(q, w), chosen_model="m1",
        rejected_model="m2")))
    add("skywork.jsonl", "Skywork: whole chats and a source, no prompt", rows(lambda i, q, b, w: dict(
        chosen=chat(q, b), rejected=chat(q, w), source="x")))
    add("reward_bench.jsonl", "RewardBench", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, chosen_model="m1", rejected=w, rejected_model="m2", subset="chat-easy", id=i)))
    add("safety_columns.jsonl", "columns of short labels beside a pair", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, adversarial=bool(i % 2), prompt_harm_label="unharmful",
        chosen_refusal_label="compliance", subcategory="benign")), without=["compliance", "benign"])
    add("prompt_chats_both.jsonl", "prompt as messages, and whole chats that hold them", rows(lambda i, q, b, w: dict(
        prompt=[system("Be brief."), user(q)], chosen=[system("Be brief."), *chat(q, b)],
        rejected=[system("Be brief."), *chat(q, w)])), also=["Be brief."], once=["Be brief."])
    add("system_twice.jsonl", "the system prompt in its column and in the chats", rows(lambda i, q, b, w: dict(
        system="Be brief.", prompt=q, chosen=[system("Be brief."), *chat(q, b)],
        rejected=[system("Be brief."), *chat(q, w)])), also=["Be brief."], once=["Be brief."])
    add("messages_end_with_prompt.jsonl", "messages whose last turn is the prompt's column", rows(
        lambda i, q, b, w: dict(prompt=q, messages=[user("Good day."), said("What is it?"), user(q)],
                                chosen=b, rejected=w)), auto=False, options="--prompt messages --ignore prompt",
        also=["Good day.", "What is it?"])
    calls = [dict(id="c1", type="function", function=dict(name="look_up", arguments='{"word": "sum"}'))]
    add("tools.jsonl", "a tool's message in the prompt", rows(lambda i, q, b, w: dict(
        prompt=[user(q), dict(role="assistant", content="", tool_calls=calls),
                dict(role="tool", tool_call_id="c1", name="look_up", content="Found: page nine.")],
        chosen=[said(b)], rejected=[said(w)], tools="[]")), also=["Found: page nine."])
    add("good_bad.jsonl", "names that say better and worse otherwise", rows(lambda i, q, b, w: dict(
        request=q, good=b, bad=w)), auto=False, options="--prompt request --chosen good --rejected bad")
    add("nested_prompt.jsonl", "a question within an object", rows(lambda i, q, b, w: dict(
        prompt=dict(text=q, lang="en"), chosen=b, rejected=w)), auto=False, options="--prompt prompt.text")
    add("stack_paired.jsonl", "Stack Exchange in pairs: response_j is the better", rows(lambda i, q, b, w: dict(
        qid=i, question=q, date="2020/01/02", metadata=["x"], response_j=b, response_k=w)), auto=False,
        options="--prompt question --chosen response_j --rejected response_k")
    add("summaries_trl.jsonl", "a post to be summed up, TRL's columns", rows(lambda i, q, b, w: dict(
        prompt=f"SUBREDDIT: r/x\n\nPOST: {q}\n\nTL;DR:", chosen=f" {b}", rejected=f" {w}")))
    add("duels_of_one_prompt.jsonl", "one question in many rows: its duels are not mixed", [
        dict(prompt=P[0][0], chosen=b, rejected=w) for _, b, w in P[:N]],
        comparisons=[[P[0][0], b, w] for _, b, w in P[:N]])
    add("same_answers.jsonl", "a row whose two answers are equal", [
        *rows(lambda i, q, b, w: dict(prompt=q, chosen=b, rejected=w)),
        dict(prompt=P[4][0], chosen=P[4][1], rejected=P[4][1])], skipped=1)
    refused("empty_question.jsonl", "a row whose question is empty", [
        *rows(lambda i, q, b, w: dict(prompt=q, chosen=b, rejected=w)),
        dict(prompt=" ", chosen=P[4][1], rejected=P[4][2])], says=["prompt", "line 5"])
    refused("margin_negative.jsonl", "a margin below 0 contradicts the columns' names", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, margin=-1 if i == 2 else 1)), says=["margin", "line 3"],
        options="--ignore margin", comparisons=triples(range(N)))
    add("score_pair.jsonl", "chosen_score and rejected_score, one equal", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, chosen_score=4, rejected_score=4 if i == 0 else 1)),
        comparisons=triples([1, 2, 3]), ties=triples([0]))
    add("only_english.jsonl", "two languages, one wanted", [
        *rows(lambda i, q, b, w: dict(prompt=q, chosen=b, rejected=w, language="en")),
        dict(prompt=P[4][0], chosen=P[4][1], rejected=P[4][2], language="de")], options="--only language=en",
        auto=False, unasked=dict(comparisons=triples(range(N + 1))))
    either("hub_rows.json", "rows as the hub's viewer serves them", dict(
        features=[dict(feature_idx=0, name="prompt")], num_rows_total=N, partial=False,
        rows=[dict(row_idx=i, row=dict(prompt=q, chosen=b, rejected=w), truncated_cells=[])
              for i, (q, b, w) in enumerate(P[:N])]))
    either("pandas_split.json", "pandas' to_json(orient='split')", dict(
        columns=["prompt", "chosen", "rejected"], index=list(range(N)), data=[list(p) for p in P[:N]]))
    either("by_id.json", "rows by their ids", {f"r{i}": dict(prompt=q, chosen=b, rejected=w)
                                               for i, (q, b, w) in enumerate(P[:N])})


# Two answers and a verdict

def verdicts():
    def rows(make, ids=range(N), tie=()): return [make(i, *duel(i, tie)) for i in ids]
    add("judgebench.jsonl", "JudgeBench: label A>B or B>A", rows(lambda i, q, x, y, v: dict(
        pair_id=f"r{i}", original_id=str(i), source="x", question=q, response_model="m1", response_A=x, response_B=y,
        label="A>B" if v == "a" else "B>A")))
    parts = lambda role, text: dict(role=role, content=[dict(type="text", text=text, image=None, mimeType=None)])
    codes = dict(a="model_a", b="model_b")
    add("arena_140k.jsonl", "the arena of 2025: content in parts, both_bad", rows(lambda i, q, x, y, v: dict(
        id=f"r{i}", model_a="m1", model_b="m2", winner=codes.get(v, "both_bad" if i == 2 else "tie"),
        evaluation_session_id=f"s{i}", evaluation_order=1, conversation_a=[parts("user", q), parts("assistant", x)],
        conversation_b=[parts("user", q), parts("assistant", y)],
        full_conversation=[dict(user=parts("user", q), model_side_a=parts("assistant", x),
                                model_side_b=parts("assistant", y))],
        conv_metadata=dict(turns=1), category_tag=dict(math_v0=dict(math=False)), language="en", is_code=False),
        tie=(2, 3)), comparisons=triples([0, 1]), ties=triples([2, 3]))
    add("arena_33k.jsonl", "the arena of 2023: tie (bothbad), judges", rows(lambda i, q, x, y, v: dict(
        question_id=f"r{i}", model_a="m1", model_b="m2", winner=codes.get(v, "tie (bothbad)" if i == 2 else "tie"),
        judge=f"arena_user_{i}", conversation_a=chat(q, x), conversation_b=chat(q, y), turn=1, anony=True,
        language="English", tstamp=1.5, openai_moderation=dict(flagged=False),
        toxic_chat_tag=dict(m=dict(flagged=False))), tie=(2, 3)), ties=triples([2, 3]), people="judge",
        voters=[(f"arena_user_{i}", *P[i]) for i in (0, 1)])
    def bench(i, turn):
        q, x, y, v = duel(i)
        talk = lambda a: [*chat(q, a), *chat("And then?", a.rstrip(".") + ", again.")]
        return dict(question_id=i, model_a="m1", model_b="m2", winner=codes[v], judge=["expert_1", "author_2"],
                    conversation_a=talk(x), conversation_b=talk(y), turn=turn)
    second = [["And then?", P[i][1].rstrip(".") + ", again.", P[i][2].rstrip(".") + ", again."] for i in (2, 3)]
    refused("mt_bench.jsonl", "MT-bench: both turns are shown, `turn` says which was judged", [
        bench(0, 1), bench(1, 1), bench(2, 2), bench(3, 2)], says=["turn", "--only"], options="--only turn=2",
        comparisons=second, people=None)
    def pandalm(i, q, x, y, v):
        right = dict(a=1, b=2)[v]
        return dict(idx=i, motivation_app="x", cmp_key="m1_m2", instruction=q, input="", response1=x, response2=y,
                    annotator1=right, annotator2=right if i else 3 - right, annotator3=0)
    add("pandalm.json", "PandaLM: three people in columns, codes 0, 1, 2", rows(pandalm), auto=False,
        options='--winner annotator1,annotator2,annotator3 --values "1=a,2=b,0=tie"', columns=True, voters=[
            *[("annotator1", *P[i]) for i in range(N)], ("annotator2", P[0][0], P[0][2], P[0][1]),
            *[("annotator2", *P[i]) for i in range(1, N)]], ties=triples(range(N)),
        people="annotator1,annotator2,annotator3")
    add("llmbar.json", "LLMBar: input, output_1, output_2, label 1 or 2", rows(lambda i, q, x, y, v: dict(
        input=q, output_1=x, output_2=y, label=1 if v == "a" else 2)))
    add("alpaca_human.json", "alpaca_eval's human votes", rows(lambda i, q, x, y, v: dict(
        instruction=q, input="", output_1=x, output_2=y, preference=1 if v == "a" else 2, annotator_index=i % 2,
        dataset="x", datasplit="eval")), people="annotator_index", voters=[(str(i % 2), *P[i]) for i in range(N)])
    def safe(i, q, x, y, v, **more): return dict(
        prompt=q, response_0=x, response_1=y, prompt_source="x", response_0_source="m1", response_1_source="m2",
        is_response_0_safe=True, is_response_1_safe=True, response_0_severity_level=0, response_1_severity_level=0,
        response_0_harm_category={"Insult": False}, response_1_harm_category={"Insult": False}, **more)
    add("safe_rlhf.jsonl", "SafeRLHF, all of its columns; safer may contradict better", rows(
        lambda i, q, x, y, v: safe(i, q, x, y, v, better_response_id=int(v == "b"), safer_response_id=1,
                                   response_0_sha256="ab", response_1_sha256="cd")))
    add("safer_only.jsonl", "the safer one is the only verdict", rows(
        lambda i, q, x, y, v: safe(i, q, x, y, v, safer_response_id=int(v == "b"))), auto=False,
        options="--winner safer_response_id")
    add("helpsteer3.jsonl", "HelpSteer3: context as messages, overall_preference below 0 is the first's", rows(
        lambda i, q, x, y, v: dict(
            domain="general", language="english", context=[user("Good day."), said("What is it?"), user(q)],
            response1=x, response2=y, overall_preference=dict(a=-2, b=1, tie=0)[v],
            individual_preference=[dict(score=-1, reasoning="One is exact.", feedback_1="Fine.", feedback_2="Poor.")]),
        tie=(2,)), comparisons=triples([0, 1, 3]), ties=triples([2]), also=["Good day."], without=["exact", "Poor"])
    add("shp.jsonl", "SHP, all of its columns", rows(lambda i, q, x, y, v: dict(
        post_id=f"r{i}", domain="x_train", upvote_ratio=.9, history=q, c_root_id_A="c1", c_root_id_B="c2",
        created_at_utc_A=1, created_at_utc_B=2, score_A=30 if v == "a" else 3, score_B=3 if v == "a" else 30,
        human_ref_A=x, human_ref_B=y, labels=int(v == "a"), seconds_difference=9.0, score_ratio=10.0)))
    quotes = dict(title=["x"], extract=["A quoted line."])
    add("webgpt.jsonl", "WebGPT as the hub holds it: quotes beside answers, opposite scores", rows(
        lambda i, q, x, y, v: dict(
            question=dict(dataset="x", id=f"r{i}", full_text=q), quotes_0=quotes, answer_0=x,
            tokens_0=dict(prefix=[1], completion=[2]), score_0=dict(a=.5, b=-.5, tie=0.0)[v], quotes_1=quotes,
            answer_1=y, tokens_1=dict(prefix=[1], completion=[2]), score_1=dict(a=-.5, b=.5, tie=0.0)[v]),
        tie=(3,)), comparisons=triples([0, 1, 2]), ties=triples([3]), without=["quoted"])
    add("summarize.jsonl", "OpenAI's summaries: two in a list, choice a place in it", rows(lambda i, q, x, y, v: dict(
        info=dict(id=f"r{i}", post=q, title="A title", subreddit="x", site=None, article=None),
        summaries=[dict(text=x, policy="p1", note="t"), dict(text=y, policy="p2", note="t")],
        choice=int(v == "b"), worker="w1" if i % 2 else "w2", batch="b1", split="train", extra={})), auto=False,
        options='--prompt info.title,info.post --a summaries.0.text --b summaries.1.text --winner choice '
                '--values "0=a,1=b" --by worker', also=["A title"], people="worker",
        voters=[("w1" if i % 2 else "w2", *P[i]) for i in range(N)])
    add("answers_1_2.csv", "answer1, answer2, choice 1 or 2", rows(lambda i, q, x, y, v: dict(
        prompt=q, answer1=x, answer2=y, choice=1 if v == "a" else 2)))
    both = ["0=a", "0=b"]
    refused("codes_0_1_letters.csv", "codes 0 and 1 for columns A and B have two readings", rows(
        lambda i, q, x, y, v: dict(prompt=q, A=x, B=y, winner=int(v == "b"))), says=both,
        options='--prompt prompt --a A --b B --winner winner --values "0=a,1=b"', comparisons=triples(range(N)))
    refused("codes_1_0_letters.csv", "the same codes, meant the other way", rows(
        lambda i, q, x, y, v: dict(prompt=q, A=x, B=y, winner=int(v == "a"))), says=both,
        options='--prompt prompt --a A --b B --winner winner --values "1=a,0=b"', comparisons=triples(range(N)))
    refused("codes_0_1_numbers.jsonl", "codes 0 and 1 for response_1 and response_2", rows(
        lambda i, q, x, y, v: dict(prompt=q, response_1=x, response_2=y, label=int(v == "b"))), says=both,
        options='--winner label --values "0=a,1=b"', comparisons=triples(range(N)))
    add("codes_0_1_named.jsonl", "codes 0 and 1 for response_0 and response_1", rows(lambda i, q, x, y, v: dict(
        prompt=q, response_0=x, response_1=y, winner=int(v == "b"))))
    refused("signed.csv", "codes -1, 0 and 1 for columns A and B have two readings", rows(
        lambda i, q, x, y, v: dict(prompt=q, A=x, B=y, preference=dict(a=1, b=-1, tie=0)[v]), tie=(2,)),
        says=["-1=a|<0=a", "-1=b|<0=b"], comparisons=triples([0, 1, 3]), ties=triples([2]),
        options='--prompt prompt --a A --b B --winner preference --values "-1=b,0=tie,1=a"')
    refused("unknown_code.csv", "a verdict nobody explained", rows(lambda i, q, x, y, v: dict(
        prompt=q, A=x, B=y, winner="?" if i == 2 else v.upper())), says=["?", "--values"],
        options='--values "A=a,B=b,?=tie"', comparisons=triples([0, 1, 3]), ties=triples([2]))
    add("blank_verdict.csv", "a row nobody judged", rows(lambda i, q, x, y, v: dict(
        prompt=q, A=x, B=y, winner="" if i == 2 else v.upper())), comparisons=triples([0, 1, 3]), skipped=1)
    either("not_judged.csv", "a row that says it was not judged", rows(lambda i, q, x, y, v: dict(
        prompt=q, A=x, B=y, winner="n/a" if i == 2 else v.upper())), comparisons=triples([0, 1, 3]), skipped=1)
    spelled = ["b", " A", "B ", "a\t"]
    add("capitals.csv", "capitals and spaces in verdicts", rows(lambda i, q, x, y, v: {
        "Prompt ": q, " A": x, "B": y, "WINNER": spelled[i]}))
    add("both_neither.csv", "Both and Neither beside A and B", rows(lambda i, q, x, y, v: dict(
        prompt=q, A=x, B=y, winner={2: "Both", 3: "Neither"}.get(i, v.upper()))), auto=False,
        options='--values "A=a,B=b,Both=tie,Neither=tie"', comparisons=triples([0, 1]), ties=triples([2, 3]))
    likert = ["B is much better", "A is slightly better", "About the same", "A is much better"]
    add("likert.csv", "a scale in words", rows(lambda i, q, x, y, v: dict(
        prompt=q, response_a=x, response_b=y, verdict=likert[i])), auto=False, options='--winner verdict --values '
        '"A is much better=a,A is slightly better=a,About the same=tie,B is much better=b"',
        comparisons=triples([0, 1, 3]), ties=triples([2]))
    add("column_as_verdict.csv", "the verdict is the name of the column", rows(lambda i, q, x, y, v: {
        "Prompt": q, "Response A": x, "Response B": y, "Better": f"Response {v.upper()}"}), auto=False,
        options='--prompt Prompt --a "Response A" --b "Response B" --winner Better '
                '--values "Response A=a,Response B=b"')
    add("models_as_columns.csv", "a model a column, the verdict its name", rows(lambda i, q, x, y, v: dict(
        prompt=q, otter=x, heron=y, winner="otter" if v == "a" else "heron")), auto=False,
        options='--prompt prompt --a otter --b heron --winner winner --values "otter=a,heron=b"')
    either("model_as_verdict.jsonl", "the verdict is a model that stands first here and second there", rows(
        lambda i, q, x, y, v: dict(prompt=q, model_a="heron" if i % 2 else "otter",
                                   model_b="otter" if i % 2 else "heron", response_a=x, response_b=y, winner="heron")),
        tries=['--values "heron=a,otter=b"', '--values "heron=b,otter=a"'])
    either("text_as_verdict.csv", "the verdict is the better answer's text", rows(lambda i, q, x, y, v: dict(
        prompt=q, A=x, B=y, winner=x if v == "a" else y)))
    either("index_as_verdict.jsonl", "a list of answers, chosen is a place in it", rows(lambda i, q, x, y, v: dict(
        prompt=q, responses=[x, y], chosen=int(v == "b"))))
    either("null_answer.csv", "Kaggle's arena with an answer that is null", rows(lambda i, q, x, y, v: dict(
        id=i, model_a="m1", model_b="m2", prompt=json.dumps([q]), response_a=json.dumps([None if i == 2 else x]),
        response_b=json.dumps([y]), winner_model_a=int(v == "a"), winner_model_b=int(v == "b"), winner_tie=0)),
        comparisons=triples([0, 1, 3]), skipped=1)
    add("comment.csv", "a column of remarks", rows(lambda i, q, x, y, v: dict(
        prompt=q, A=x, B=y, winner=v.upper(), comment="The other one is too short to be of use.")), auto=False,
        options="--ignore comment", without=["too short"])
    refused("duplicate_header.csv", "two columns of one name", "prompt,answer,answer,winner\n" + "".join(
        f"{q},\"{x}\",\"{y}\",{1 if v == 'a' else 2}\n" for q, x, y, v in map(duel, range(N))), says=["answer"])


# What tools for annotation export

def tools():
    def fields(i): return dict(zip(("prompt", "response1", "response2"), duel(i)[:3]))
    def placed(v): return [dict(rank=1 + (v != "a"), value="response1"), dict(rank=1 + (v == "a"), value="response2")]
    other, names = dict(a="b", b="a"), dict(a="response1", b="response2")
    voters = [*[("u1", *P[i]) for i in range(N)], ("u2", P[0][0], P[0][2], P[0][1])]
    either("argilla_hub_ranking.json", "Argilla's ranking question as the hub holds it; a draft does not count", [{
        **fields(i), "preference": [dict(user_id="u1", value=placed(duel(i)[3]), status="submitted"), dict(
            user_id="u2", value=placed(other[duel(i)[3]]), status="draft" if i else "submitted")],
        "preference-suggestion": [], "external_id": None, "metadata": "{}"} for i in range(N)],
        voters=voters, people="user_id")
    either("argilla_flat.jsonl", "Argilla 2 as a table: dots in the columns' names; discarded does not count", [{
        "id": f"r{i}", "status": "completed", "_server_id": f"s{i}", **fields(i),
        "preference.responses": [names[duel(i)[3]], names[other[duel(i)[3]]]],
        "preference.responses.users": ["u1", "u2"],
        "preference.responses.status": ["submitted", "discarded" if i else "submitted"]} for i in range(N)],
        voters=voters, people="preference.responses.users")
    either("argilla_ratings.json", "Argilla 2: a rating question for each response", [dict(
        id=f"r{i}", status="completed", fields=fields(i), suggestions={}, metadata={}, vectors={}, responses=dict(
            rating_1=[dict(value=5 if duel(i)[3] == "a" else 2, user_id="u1")],
            rating_2=[dict(value=5 if duel(i)[3] == "b" else 2, user_id="u1")])) for i in range(N)],
        voters=voters[:N], people="user_id", tries=['--values "2=a,5=b"', '--values "5=a,2=b"'])
    def studio(i, *annotations):
        q, x, y, _ = duel(i)
        return dict(id=i, data=dict(prompt=q, answer1=x, answer2=y), annotations=list(annotations), predictions=[])
    def judged(i, by=3, **more):
        side = "left" if duel(i)[3] == "a" else "right"
        result = [dict(from_name="pw", to_name="answer1", id="x", type="pairwise", value=dict(selected=side))]
        return dict(id=i, completed_by=dict(id=by, email=f"p{by}@example.org"), result=result,
                    was_cancelled=False) | more
    add("labelstudio_skipped.json", "Label Studio: skipped, empty and missing annotations do not count", [
        studio(0, judged(0)), studio(1, judged(1, was_cancelled=True, result=[])), studio(2), studio(3, judged(3)),
        studio(4, judged(4, result=[])), studio(5, judged(5), judged(5, 4))],
        comparisons=triples([0, 3, 5, 5]), people="completed_by")
    def minimal(i, person):
        q, x, y, v = duel(i)
        time = "2024-05-06T07:08:09Z"
        return dict(id=i, prompt=q, answer1=x, answer2=y, comparison="left" if v == "a" else "right", annotator=person,
                    annotation_id=9 + i, created_at=time, updated_at=time, lead_time=4.5)
    flat = [minimal(i, 1 + i % 2) for i in range(N)]
    add("labelstudio_min.json", "Label Studio's JSON-MIN: left and right", flat, people="annotator",
        voters=[(str(1 + i % 2), *P[i]) for i in range(N)])
    add("labelstudio.csv", "Label Studio's CSV: columns by the alphabet", [dict(sorted(r.items())) for r in flat],
        people="annotator", voters=[(str(1 + i % 2), *P[i]) for i in range(N)])
    either("labelstudio_ranker.json", "Label Studio's ranker: an order of items", [dict(
        id=i, data=dict(prompt=P[i][0], items=[dict(id=f"k{j}", title="x", body=a) for j, a in enumerate(P[i][:0:-1])]),
        annotations=[dict(id=i, completed_by=3, result=[dict(
            from_name="rank", to_name="results", type="ranker", value=dict(ranker=dict(rank=["k1", "k0"], _=[])))])])
        for i in range(N)])
    def choice(i, answer="accept", person="team-ann"):
        q, x, y, v = duel(i)
        return dict(text=q, options=[dict(id=0, text=x), dict(id=1, text=y)], accept=[int(v == "b")], answer=answer,
                    _input_hash=i, _task_hash=i, _view_id="choice", _annotator_id=person, _session_id=person,
                    _timestamp=9)
    either("prodigy.jsonl", "Prodigy's choice: only accepted answers count", [
        choice(0), choice(1, person="team-ben"), choice(2, "ignore"), choice(3, "reject"), choice(4)],
        voters=[("team-ann", *P[0]), ("team-ben", *P[1]), ("team-ann", *P[4])], people="_annotator_id")
    either("vertex.jsonl", "Vertex: contents with parts, scored completions", [dict(
        systemInstruction=dict(role="system", parts=[dict(text="Be brief.")]),
        contents=[dict(role="user", parts=[dict(text=q)])], completions=[
            dict(score=1.0, completion=dict(role="model", parts=[dict(text=b)])),
            dict(score=0.0, completion=dict(role="model", parts=[dict(text=w)]))]) for q, b, w in P[:N]],
        also=["Be brief."])
    refused("google_form.csv", "a form's answers: one row for each person, one column for each duel", [
        {"Timestamp": f"2024/05/0{k} 10:00:00", "Email Address": f"p{k}@example.org",
         **{f"Which answer is better? {q}": b if k % 2 else w for q, b, w in P[:3]}} for k in range(1, 5)])


# Grades and ranks

def grades():
    def long(make, ids=range(N)): return [make(i, P[i][0], a, k) for i in ids for k, a in enumerate(P[i][1:])]
    def three(ids=range(N)): return [c for i in ids for c in ranked(P[i][0], TRIO[P[i][0]])]
    def told(model, answer, score): return dict(
        model=model, principle="helpfulness", custom_system_prompt=f"Be {model}.", response=answer,
        critique="A remark.", overall_score=score,
        annotations=dict(helpfulness=dict(Rating="5", Rationale="A reason.", Type=["1"])),
        **{"fine-grained_score": score / 2})
    add("ultrafeedback_raw.jsonl", "UltraFeedback raw: three completions, remarks, reasons", [dict(
        source="x", instruction=q, models=["m1", "m2", "m3"], correct_answers=["None"], incorrect_answers=["None"],
        completions=[told(f"m{k}", a, 8.5 - 2 * k) for k, a in enumerate(TRIO[q])]) for q, _, _ in P[:N]],
        comparisons=three(), without=["remark", "reason"])
    add("nectar.jsonl", "Nectar: three ranked answers, all of its columns", [dict(
        prompt=f"\n\nHuman: {q}\n\nAssistant: ", turns=1, num_responses=3, source=["x"], good_natured=True,
        answers=[dict(answer=a, model=f"m{k}", rank=float(k + 1)) for k, a in reversed(list(enumerate(TRIO[q])))])
        for q, _, _ in P[:N]], comparisons=three())
    add("stack_preferences.jsonl", "Stack Exchange: answers with pm_score and authors", [dict(
        qid=i, question=q, date="2020/01/02", metadata=["x"], answers=[dict(
            answer_id=k, author="x", author_id=k, author_profile="x", pm_score=3 - k, selected=not k, text=a)
            for k, a in enumerate(TRIO[q])]) for i, (q, _, _) in enumerate(P[:N])], auto=False, comparisons=three(),
        options="--prompt question --response answers.text --score answers.pm_score")
    add("oasst_trees.jsonl", "OpenAssistant's trees: replies with a rank from 0", [dict(
        message_tree_id=f"t{i}", tree_state="ready_for_export", prompt=dict(
            message_id=f"t{i}", text=q, role="prompter", lang="en", rank=None, replies=[dict(
                message_id=f"t{i}.{k}", parent_id=f"t{i}", text=a, role="assistant", rank=k, replies=[])
                for k, a in enumerate(TRIO[q])])) for i, (q, _, _) in enumerate(P[:N])],
        auto=False, comparisons=three(),
        options="--prompt prompt.text --response prompt.replies.text --score prompt.replies.rank --lower-is-better")
    refused("oasst_messages.jsonl", "OpenAssistant's messages: the question stands in another row", [
        row for i in range(N) for row in (
            dict(message_id=f"t{i}", parent_id=None, text=P[i][0], role="prompter", rank=None, lang="en"),
            *(dict(message_id=f"t{i}.{k}", parent_id=f"t{i}", text=a, role="assistant", rank=k, lang="en")
              for k, a in enumerate(P[i][1:])))])
    def code(i, order): return dict(
        instruction=P[i][0], preference="readability", system_prompt="Be brief.", models=["m1", "m2"],
        responses=[dict(model="m1", response=P[i][2]), dict(model="m2", response=P[i][1])],
        annotations=[dict(model=m, rating={"m1": "2", "m2": "4"}[m], rationale="A reason.") for m in order])
    add("code_ultrafeedback.jsonl", "CodeUltraFeedback: answers and ratings in two lists of one order", [
        code(i, ["m1", "m2"]) for i in range(N)], auto=False, also=["Be brief."], without=["reason"],
        options="--prompt instruction --system system_prompt --response responses.response --score annotations.rating")
    either("code_ultrafeedback_mixed.jsonl", "the same with lists in two orders, joined by the models' names",
           [code(i, ["m2", "m1"] if i % 2 else ["m1", "m2"]) for i in range(N)], without=["reason"],
           tries=["--prompt instruction --response responses.response --score annotations.rating"])
    add("reward_bench_2.jsonl", "RewardBench 2: one right answer and several wrong ones", [dict(
        id=str(i), prompt=q, chosen=[b], rejected=[w, "Perhaps so.", "Who knows?"], num_correct=1, num_incorrect=3,
        total_completions=4, models=["m1", "m2", "m3", "m4"], subset="Math", additional_metadata=dict(category="x"))
        for i, (q, b, w) in enumerate(P[:N])], lists=True,
        comparisons=[[q, b, x] for q, b, w in P[:N] for x in (w, "Perhaps so.", "Who knows?")])
    add("helpsteer2.jsonl", "HelpSteer2: five grades a row, one question with one answer", [
        *long(lambda i, q, a, k: dict(prompt=q, response=a, helpfulness=4 - 3 * k, correctness=4, coherence=4,
                                      complexity=1, verbosity=2 * k)),
        dict(prompt=P[4][0], response=P[4][1], helpfulness=3, correctness=3, coherence=4, complexity=1, verbosity=1)],
        auto=False, options="--score helpfulness", skipped=1)
    def prism(i, person, answer, score, turn=0): return dict(
        utterance_id=f"u{i}{person}{score}", interaction_id=f"i{i}{person}{turn}", conversation_id=f"c{i}{person}",
        user_id=person, turn=turn, within_turn_id=0, conversation_type="unguided", user_prompt=P[i][0],
        model_response=answer, model_name="m1", model_provider="x", score=score, if_chosen=score > 50)
    add("prism.jsonl", "PRISM's utterances: two people and one question; later turns lack what came before", [
        prism(0, "user1", P[0][1], 90), prism(0, "user1", P[0][2], 20), prism(0, "user2", P[0][1], 30),
        prism(0, "user2", P[0][2], 70), prism(1, "user1", P[1][1], 80), prism(1, "user1", P[1][2], 10),
        prism(2, "user1", P[2][1], 80, 1), prism(2, "user1", P[2][2], 10, 1)], auto=False, people="user_id",
        options="--prompt user_prompt --response model_response --score score --by user_id --only turn=0",
        voters=[("user1", *P[0]), ("user2", P[0][0], P[0][2], P[0][1]), ("user1", *P[1])],
        unasked=dict(comparisons=[P[0], (P[0][0], P[0][2], P[0][1]), P[1], P[2]], voters=[
            ("user1", *P[0]), ("user2", P[0][0], P[0][2], P[0][1]), ("user1", *P[1]), ("user1", *P[2])]))
    refused("dices_like.csv", "single answers with a rater's yes or no", [dict(
        item_id=i, rater_id=f"r{k}", context=f"USER: {P[i][0]}", response=P[i][1], Q_overall=["Yes", "No", "Unsure"][k])
        for i in range(2) for k in range(3)])
    refused("kto.jsonl", "single answers, each with a thumb", [
        dict(prompt=P[i][0], completion=P[i][1 + i % 2], label=not i % 2) for i in range(N)])
    refused("kto_messages.json", "LLaMA-Factory's KTO: whole chats, each with a thumb", [
        dict(messages=chat(P[i][0], P[i][1 + i % 2]), label=not i % 2) for i in range(N)])
    add("kto_paired.jsonl", "thumbs of two answers to each question", long(lambda i, q, a, k: dict(
        prompt=q, completion=a, label=not k)), auto=False,
        options="--prompt prompt --response completion --score label")
    add("excel_true.csv", "TRUE and FALSE as a spreadsheet writes them", long(lambda i, q, a, k: dict(
        prompt=q, response=a, is_chosen="FALSE" if k else "TRUE")), auto=False,
        options="--prompt prompt --response response --score is_chosen")
    add("ranks_wide.csv", "three answers a row, and their ranks", [{
        "Question": q, **{f"Answer {k}": a for k, a in enumerate(TRIO[q], 1)}, **{f"Rank {k}": k for k in (1, 2, 3)}}
        for q, _, _ in P[:N]], auto=False, comparisons=three(),
        options='--prompt Question --response "Answer 1,Answer 2,Answer 3" --score "Rank 1,Rank 2,Rank 3" '
                '--lower-is-better')
    add("stars_wide.csv", "three answers a row, one to five stars each, some equal", [dict(
        prompt=q, answer_a=TRIO[q][2], answer_b=TRIO[q][0], answer_c=TRIO[q][1], stars_a=1, stars_b=5,
        stars_c=5 if i == 0 else 3) for i, (q, _, _) in enumerate(P[:N])], auto=False,
        options="--response answer_a,answer_b,answer_c --score stars_a,stars_b,stars_c",
        comparisons=[[P[0][0], P[0][1], P[0][2]], [P[0][0], "Perhaps so.", P[0][2]], *three([1, 2, 3])],
        ties=[[P[0][0], P[0][1], "Perhaps so."]])
    either("star_signs.csv", "stars as signs", long(lambda i, q, a, k: dict(
        prompt=q, response=a, stars="★★" if k else "★★★★★")))
    either("order_in_a_cell.csv", "an order of three columns in one cell", [dict(
        prompt=q, A=TRIO[q][2], B=TRIO[q][0], C=TRIO[q][1], ranking="B > C > A") for q, _, _ in P[:N]],
        comparisons=three())
    either("best_and_worst.csv", "the best and the worst of three", [{
        "prompt": q, "answer 1": TRIO[q][1], "answer 2": TRIO[q][0], "answer 3": TRIO[q][2], "best": "answer 2",
        "worst": "answer 3"} for q, _, _ in P[:N]], comparisons=three())
    either("percent.csv", "scores with percent signs", long(lambda i, q, a, k: dict(
        prompt=q, response=a, score="9%" if k else "85 %")))
    either("thousands.csv", "scores with thousands separators", long(lambda i, q, a, k: dict(
        prompt=q, response=a, score="900" if k else "1,200")))
    either("quoted_decimals.csv", "decimal commas where commas separate", long(lambda i, q, a, k: dict(
        prompt=q, response=a, score="0,75" if k else "2,5")))
    refused("words_as_scores.csv", "scores in words", long(lambda i, q, a, k: dict(
        prompt=q, response=a, score="low" if k else "high")), says=["score", "line 2"])
    either("blank_score.csv", "a score that is missing", long(lambda i, q, a, k: dict(
        prompt=q, response=a, score="" if i == 2 and k else 5 - 3 * k)), comparisons=triples([0, 1, 3]))
    add("errors.csv", "fewer errors are better", long(lambda i, q, a, k: dict(prompt=q, response=a, errors=7 * k)),
        auto=False, options="--score errors --lower-is-better")
    add("one_answer.csv", "one question has one answer only", [
        *long(lambda i, q, a, k: dict(prompt=q, response=a, score=5 - 3 * k)),
        dict(prompt=P[4][0], response=P[4][1], score=3)], skipped=1)
    refused("only_single_answers.csv", "no question has two answers", [
        dict(prompt=q, response=b, score=4) for q, b, _ in P[:N]])
    mean = long(lambda i, q, a, k: dict(prompt=q, response=a, score=5 - 3 * k, grader="ann")) + \
        long(lambda i, q, a, k: dict(prompt=q, response=a, score=4 + k, grader="ben"))
    add("graders_mean.csv", "two graders of each answer, one mean", mean, options="--votes mean",
        unasked=dict(comparisons=[*triples(range(N)), *([q, w, b] for q, b, w in P[:N])], voters=[
            *(("ann", *p) for p in P[:N]), *(("ben", q, w, b) for q, b, w in P[:N])]))
    grouped = [("ann", i) for i in range(3)] + [("ben", i) for i in range(1, 4)]
    add("graders.csv", "graders under another name, who did not all grade all", [
        dict(reviewer=who, prompt=P[i][0], response=a, rating=5 - 3 * k) for who, i in grouped
        for k, a in enumerate(P[i][1:])], auto=False, options="--score rating --by reviewer", people="reviewer",
        voters=[(who, *P[i]) for who, i in grouped])


# Spreadsheets that people keep

def spreadsheets():
    def rows(make, ids=range(N), tie=()): return [make(i, *duel(i, tie)) for i in ids]
    sides = dict(a="links", b="rechts", tie="gleich")
    codes = '--values "links=a,rechts=b,gleich=tie"'
    add("german.csv", "a German table: semicolons, links and rechts", table(rows(lambda i, q, x, y, v: {
        "Frage": q, "Antwort A": x, "Antwort B": y, "besser": sides[v]}, tie=(2,)), ";"), auto=False,
        options=f'--prompt Frage --a "Antwort A" --b "Antwort B" --winner besser {codes}',
        comparisons=triples([0, 1, 3]), ties=triples([2]))
    accented = [("Où pousse le chêne-liège ?", "Près de la Méditerranée.", "Là-bas."),
                ("À quoi sert une clé ?", "À ouvrir une serrure.", "Ça dépend."),
                ("De quoi se nourrit l'écureuil ?", "Des noix et des graines, l'été aussi.", "Du pré."),
                ("Où dort le hérisson ?", "Sous un tas de feuilles séchées.", "Dehors, bien sûr.")]
    french = table([{"Question": q, "Réponse 1": b, "Réponse 2": w, "Préférée": 1} for q, b, w in accented], ";")
    said_so = '--prompt Question --a "Réponse 1" --b "Réponse 2" --winner Préférée --values "1=a,2=b"'
    add("french.csv", "a French table: accents in headers and cells", french, auto=False, options=said_so,
        comparisons=accented)
    either("french_cp1252.csv", "the same in Windows' encoding", lambda path: path.write_bytes(french.encode("cp1252")),
           comparisons=accented)
    people = [("ann", i, duel(i)[3]) for i in range(3)] + [("ben", i, "b" if i else "a") for i in range(3)]
    def voted(who, i, v):
        q, x, y, _ = duel(i)
        return (who, q, x, y) if v == "a" else (who, q, y, x)
    add("votes_ab.csv", "A/B votes of two people over the same duels", [
        dict(zip(("Person", "Prompt", "A", "B", "Winner"), (who, *duel(i)[:3], v.upper()))) for who, i, v in people],
        people="Person", voters=[voted(*p) for p in people])
    crowd = [(who, i, v) for i in range(3) for who, v in zip(("ann", "ben", "cem"), ("a", "b", "ab"[i % 2]))]
    crowd.append(("ann", 3, "a")), crowd.append(("ben", 3, "b"))
    most = [voted("", i, "ab"[i % 2])[1:] for i in range(3)]
    add("votes_majority.csv", "a crowd's votes, the majority wanted; one draw", [
        dict(zip(("person", "prompt", "response_a", "response_b", "winner"), (who, *duel(i)[:3], v)))
        for who, i, v in crowd], options="--votes majority", comparisons=most, ties=triples([3]),
        unasked=dict(comparisons=[voted(*c)[1:] for c in crowd], ties=[], voters=[voted(*c) for c in crowd]))
    add("swapped_duels.csv", "one duel shown in both orders; the majority sees one duel", [
        dict(person=who, prompt=P[i][0], response_a=P[i][1 + k], response_b=P[i][2 - k], winner="ba"[not k])
        for i in range(3) for k, who in enumerate(("ann", "ben"))], options="--votes majority",
        comparisons=triples(range(3)), unasked=dict(voters=[
            (who, *P[i]) for i in range(3) for who in ("ann", "ben")], comparisons=triples([0, 1, 2, 0, 1, 2])))
    add("two_winner_columns.csv", "two people, each with a column", rows(lambda i, q, x, y, v: dict(
        prompt=q, A=x, B=y, winner_ann=v.upper(), winner_ben="A" if i == 0 else v.upper())), auto=False,
        options="--winner winner_ann,winner_ben", people="winner_ann,winner_ben", columns=True, voters=[
            *[("winner_ann", *P[i]) for i in range(N)], ("winner_ben", P[0][0], P[0][2], P[0][1]),
            *[("winner_ben", *P[i]) for i in range(1, N)]])
    plain = [dict(prompt=q, chosen=b, rejected=w) for q, b, w in P[:N]]
    graded = [dict(prompt=q, response=a, score=5 - 3 * k) for q, *answers in P[:N] for k, a in enumerate(answers)]
    add("blank_rows.csv", "blank rows at the end and between", table(plain[:2]) + ",,\n" + table(plain[2:]).split(
        "\n", 1)[1] + ",,\n , ,\n\n")
    either("merged_prompt.csv", "the question stands in the first of its rows only", [
        dict(r, prompt="" if k % 2 else r["prompt"]) for k, r in enumerate(graded)], says=["prompt", "line 3"])
    add("index_column.csv", "an index without a name", [{"": i, **r} for i, r in enumerate(plain)])
    add("unnamed_index.csv", "an index that was saved twice", [{"Unnamed: 0": i, "index": i, **r}
                                                               for i, r in enumerate(plain)])
    add("white_space.csv", "white space around whole cells", [dict(
        prompt=f"  {q} ", chosen=f"\t{b}\n", rejected=f" {w}  ") for q, b, w in P[:N]])
    add("newlines.csv", "answers of several lines", [dict(
        prompt=q, chosen=f"Well:\n\n{b}", rejected=f"Well:\n\n{w}") for q, b, w in P[:N]], also=["Well:"])
    add("windows_lines.csv", "CRLF and a byte order mark", lambda path: path.write_bytes(
        ("\ufeff" + table(plain).replace("\n", "\r\n")).encode()))
    add("quotes.tsv", "quotation marks within cells", "prompt\tchosen\trejected\n" + "".join(
        f"{q}\tThey say \"yes\", and: {b}\tThey say \"no\", and: {w}\n" for q, b, w in P[:N]), also=["They say"])
    either("title_row.csv", "a title above the header", "Our study of 2024,,\n,,\n" + table(plain))
    either("sentinel_row.csv", "a row of sums at the end", table(graded) + "Total,,28\n")
    either("repr_chats.csv", "chats as Python prints them", [dict(
        prompt=q, chosen=repr(chat(q, b)), rejected=repr(chat(q, w))) for q, b, w in P[:N]], without=["'role'"])
    either("pipes.txt", "a table under a name that says nothing", table(plain, "|"))
    add("semicolons_in_cells.csv", "semicolons within cells of a table with commas", [dict(
        prompt=f"{q}; briefly; please", chosen=b, rejected=w) for q, b, w in P[:N]], also=["; briefly; please"])


# What a reviewer of the first reading found: each was read silently wrong, or refused by a message that leads nowhere

def reviewed():
    def rows(make, n=N): return [make(i, *P[i]) for i in range(n)]
    def long(make, n=N): return [make(i, P[i][0], a, k) for i in range(n) for k, a in enumerate(P[i][1:])]
    lists = [(q + " As a list.", json.dumps([b, "more"]), json.dumps([w, "less"])) for q, b, w in P[:N]]
    either("json_list_answers.jsonl", "answers that are JSON lists", [dict(prompt=q, chosen=b, rejected=w)
                                                                      for q, b, w in lists], comparisons=lists)
    objects = [(q, json.dumps(dict(text=b, sure=True)), json.dumps(dict(text=w, sure=False))) for q, b, w in P[:N]]
    either("json_object_answers.jsonl", "answers that are JSON objects", [dict(prompt=q, chosen=b, rejected=w)
                                                                          for q, b, w in objects], comparisons=objects)
    sums = [("What is 1000 times 1234.567?", 1234567, 1234568), ("What is ten million and one?", 10000001, 10000002)]
    add("whole_numbers.jsonl", "answers that are numbers of seven digits", [dict(prompt=q, chosen=b, rejected=w)
        for q, b, w in sums], comparisons=[[q, str(b), str(w)] for q, b, w in sums])
    nan = float("nan")
    add("nan_cells.jsonl", "NaN where a text is missing, as pandas writes it", rows(lambda i, q, b, w: dict(
        system=nan, instruction=q, input=nan, chosen=b, rejected=w)), without=["nan"])
    either("nan_some_cells.jsonl", "NaN in some cells of system and input", [
        *rows(lambda i, q, b, w: dict(system=nan, instruction=q, input=nan, chosen=b, rejected=w)),
        dict(system="Be brief.", instruction=P[4][0], input="In verse.", chosen=P[4][1], rejected=P[4][2])],
        comparisons=triples(range(N + 1)), without=["nan"])
    blank = dict(comparisons=triples([0, 3]), ties=triples([1]), skipped=1)
    either("nan_scores.jsonl", "one NaN among the scores, one tie", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, score_chosen=4.0, score_rejected=[1.0, 4.0, nan, 2.0][i])), **blank)
    either("na_scores.csv", "one n/a among the scores, one tie", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, score_chosen=4, score_rejected=[1, 4, "n/a", 2][i])), **blank)
    either("na_margin.csv", "one n/a among the margins, one 0", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, margin=[1, 0, "n/a", 2][i])), **blank)
    refused("ranked_against_names.jsonl", "the chosen one has the worse rank", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, chosen_rank=2, rejected_rank=1)))
    add("ranks_of_pairs.jsonl", "the chosen one has rank 1", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, rank_chosen=1, rank_rejected=2)))
    refused("verdict_against_names.jsonl", "a verdict beside chosen and rejected that says rejected", rows(
        lambda i, q, b, w: dict(prompt=q, chosen=b, rejected=w, preference="rejected" if i == 1 else "chosen")))
    either("shown_position.csv", "where an answer was shown is no rank", [dict(
        prompt=P[i][0], response=P[i][1 + (k != i % 2)], position=k + 1, preferred="yes" if k == i % 2 else "no")
        for i in range(N) for k in range(2)])
    add("school_marks.csv", "German marks: 1 is best", table(long(lambda i, q, a, k: dict(
        Frage=q, Antwort=a, Note=1 + 4 * k)), ";"), auto=False,
        options="--prompt Frage --response Antwort --score Note --lower-is-better")
    refused("order_in_a_list.jsonl", "an order of three: ranks, or the places of the best, second, third?", rows(
        lambda i, q, b, w: dict(prompt=q, responses=["Perhaps so.", w, b], ranking=[2, 0, 1])))
    add("ranking_score.csv", "a score whose name holds a rank", long(lambda i, q, a, k: dict(
        prompt=q, response=a, ranking_score=5 - 3 * k)), auto=False, tries=["--score ranking_score"])
    either("strength_1_to_7.jsonl", "a strength of preference from 1 to 7", rows(lambda i, q, b, w: dict(
        prompt=q, response_a=b, response_b=w, preference_strength=1 + i % 3)), says=["--values"])
    likert = ["A much better", "A slightly better", "B slightly better", "B much better"]
    either("likert_words.csv", "four degrees in words", rows(lambda i, q, b, w: dict(
        prompt=q, response_a=b if i < 2 else w, response_b=w if i < 2 else b, preference=likert[i])),
        says=["A much better=a,A slightly better=a"])
    either("likert_seven.csv", "seven degrees in numbers: the offers are no nonsense", rows(lambda i, q, b, w: dict(
        prompt=q, response_a=b if i < 2 else w, response_b=w if i < 2 else b, preference=[1, 3, 7, 5][i])),
        says=["--values '<"])
    either("records_with_prompt.jsonl", "texts and scores beside a prompt", rows(lambda i, q, b, w: dict(
        prompt=q, text=[b, w], score=[1, 0])))
    webgpt = lambda more: rows(lambda i, q, b, w: dict(question=q, answer_0=b, answer_1=w, score_0=1, score_1=-1,
                                                       **more))
    either("webgpt_context.jsonl", "WebGPT's columns and a context", webgpt(dict(context="A page says so.")),
           also=["A page says so."])
    either("webgpt_people.jsonl", "WebGPT's columns and a person", webgpt(dict(annotator="ann")), people="annotator")
    either("completions_and_winner.jsonl", "GPT-4-LLM's columns and a verdict that says b", rows(
        lambda i, q, b, w: dict(user_input=q, completion_a=w, completion_b=b, winner="b")))
    either("completions_and_system.jsonl", "GPT-4-LLM's columns and a system prompt", rows(lambda i, q, b, w: dict(
        system="Be brief.", user_input=q, completion_a=b, completion_b=w)), also=["Be brief."])
    either("query_scores.jsonl", "query, and a list of responses with scores", rows(lambda i, q, b, w: dict(
        query=q, responses=[b, w], scores=[5, 1])), says=["--"])
    transcript = lambda q, a: f"\n\nHuman: {q}\n\nAssistant: {a}"
    either("hh_then_margins.jsonl", "HH; later rows have a margin of 0", [
        dict(chosen=transcript(q, b), rejected=transcript(q, w), **(dict(margin=0) if i > 1 else {}))
        for i, (q, b, w) in enumerate(P[:N])], comparisons=triples([0, 1]), ties=triples([2, 3]))
    for column, text in dict(source="Guten Tag, alle.", source_text="Guten Tag, alle.", task="Answer as a pirate.",
                             review="The soup was cold.", original_text="Good day all.", principle="Be kind to all.",
                             model_input="Good day all.", word="Osmosis", history="Hello", sys="Brief").items():
        either(f"question_in_{column}.jsonl", f"a part of the question in {column}", rows(lambda i, q, b, w: {
            "prompt": q, column: f"{text} Nr. {i}" if " " in text else text + "abcd"[i], "chosen": b, "rejected": w}),
            also=[text])
    either("question_in_metadata.jsonl", "a part of the question within metadata", rows(lambda i, q, b, w: dict(
        prompt=q, metadata=dict(context="A page says so."), chosen=b, rejected=w)), also=["A page says so."])
    either("number_as_input.jsonl", "query and a number as its input", rows(lambda i, q, b, w: dict(
        query=q, input="742", chosen=b, rejected=w)), also=["742"])
    graded = [dict(prompt=q, response=a, ann="" if i == 1 and not k else 5 - 3 * k, ben=5 - 3 * k)
              for i, (q, *two) in enumerate(P[:N]) for k, a in enumerate(two)]
    add("one_of_two_grades.csv", "two people's columns; one left a grade blank", graded, auto=False,
        options="--score ann,ben", people="ann,ben", skipped=1, voters=[
            *(("ann", *P[i]) for i in (0, 2, 3)), *(("ben", *P[i]) for i in range(N))])
    halves = lambda column, who: long(lambda i, q, a, k: {column: who[k], "prompt": q, "response": a,
                                                          "score": 5 - 3 * k})
    refused("people_as_floats.jsonl", "each answer graded by another person, 1.0 and 2.0", halves(
        "annotator", [1.0, 2.0]))
    refused("people_by_email.csv", "each answer graded by another person, by email", halves(
        "Email", ["ann@x.org", "ben@x.org"]))
    either("pair_ids.csv", "two duels of one question in four rows", [
        dict(pair_id=j, prompt=P[0][0], response=a, score=1 - k)
        for j, two in enumerate([P[0][1:], ("Perhaps so.", "Who knows?")]) for k, a in enumerate(two)],
        comparisons=[P[0], [P[0][0], "Perhaps so.", "Who knows?"]])
    again = lambda q, a: f"{q}\n{a}"
    either("half_repeated.jsonl", "every other row's answers begin with the question", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=again(q, b) if i % 2 else b, rejected=again(q, w) if i % 2 else w)))
    either("repeated_two_columns.jsonl", "answers begin with instruction and input", rows(lambda i, q, b, w: dict(
        instruction="Be plain.", input=q, chosen=again("Be plain.\n" + q, b),
        rejected=again("Be plain.\n" + q, w))))
    either("repeated_in_lists.jsonl", "answers in a list begin with the question", rows(lambda i, q, b, w: dict(
        prompt=q, responses=[again(q, b), again(q, w)], scores=[2, 1])))
    either("repeated_after_messages.jsonl", "answers begin with the question of a list of messages", rows(
        lambda i, q, b, w: dict(prompt=[user(q)], chosen=again(q, b), rejected=again(q, w))))
    refused("two_questions.jsonl", "whole chats of two questions are no pair", [dict(
        chosen=chat(P[i][0], P[i][1]), rejected=chat(P[i + 1][0], P[i][2])) for i in range(N)])
    words = [("Which tree has cork?", "Oak", "Fir"), ("What falls in April?", "Rain", "Sand")]
    either("letters_as_chosen.jsonl", "chosen and rejected name columns", [dict(
        prompt=q, A=b, B=w, chosen="A", rejected="B") for q, b, w in words], comparisons=words)
    either("indices_as_chosen.jsonl", "chosen and rejected are places in a list", rows(lambda i, q, b, w: dict(
        prompt=q, responses=[b, w], chosen=0, rejected=1)), says=["--winner|--response|--a "])
    either("models_as_winner.jsonl", "winner and loser name models", rows(lambda i, q, b, w: dict(
        prompt=q, response_a=b, response_b=w, model_a="m1", model_b="m2", winner="m1", loser="m2")), says=["--winner"])
    refused("letter_answers.csv", "answers are letters, and so is the verdict", [
        dict(prompt=P[0][0], response_a="B", response_b="A", winner="A"),
        dict(prompt=P[1][0], response_a="C", response_b="A", winner="B")])
    short = long(lambda i, q, a, k: dict(prompt=q, response=a, score=5 - 3 * k))
    add("keep_score.csv", "a column that is kept has the name of a record's own", short, tries=["--keep score"])
    add("keep_text.jsonl", "a column that is kept is called text", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, text="Some words here.")), auto=False, options="--ignore text",
        tries=["--keep text"])
    either("filled_and_only.csv", "merged questions; --only leaves out a row with a question", [dict(
        prompt="" if k else q, response=a, score=5 - 3 * k, lang="de" if i == 1 and not k else "en")
        for i, (q, *two) in enumerate(P[:3]) for k, a in enumerate(two)], comparisons=triples([0, 2]), skipped=1,
        tries=["--fill-down --only lang=en"])
    both = ["response_a", "response_b"]
    item = lambda i, values, status="submitted": dict(
        id=f"r{i}", fields=dict(prompt=P[i][0], response_a=P[i][1], response_b=P[i][2]), responses=[dict(
            user_id="u1", status=status, values={k: dict(value=v) for k, v in values.items()})])
    refused("argilla_two_questions.json", "Argilla: more helpful is the one, safer the other", [
        item(i, dict(helpful=both[0], safe=both[1])) for i in range(N)])
    add("argilla_discarded.json", "Argilla: discarded items and drafts are said", [
        item(i, dict(better=both[0]), status) for i, status in enumerate(
            ["submitted", "discarded", "draft", "submitted"])], comparisons=triples([0, 3]), skipped=2)
    def task(i, *said, **more):
        picks = [dict(from_name=name, to_name="x", type="pairwise", value=dict(selected=side)) for name, side in said]
        done = [dict(id=i, completed_by=1, result=picks, **more)] if said or more else []
        return dict(id=i, data=dict(prompt=P[i][0], answer1=P[i][1], answer2=P[i][2]), annotations=done)
    refused("labelstudio_two_questions.json", "Label Studio: more helpful is the left, safer the right", [
        task(i, ("helpful", "left"), ("safe", "right")) for i in range(N)])
    add("labelstudio_not_done.json", "Label Studio: tasks without a verdict are said", [
        task(0, ("x", "left")), task(1), task(2, was_cancelled=True), task(3, ("x", "left"))],
        comparisons=triples([0, 3]), skipped=2)
    picked = lambda i, **more: dict(text=P[i][0], options=[dict(id=k, text=a) for k, a in enumerate(P[i][1:])],
                                    accept=[0], answer="accept") | more
    add("prodigy_ignored.jsonl", "Prodigy: ignored tasks are said", [
        picked(0), picked(1, accept=[]), picked(2, answer="ignore"), picked(3)], comparisons=triples([0, 3]), skipped=2)
    either("prodigy_html.jsonl", "Prodigy: the question stands in HTML", [
        picked(i, text="Which is better?", html=f"<p>{P[i][0]}</p>") for i in range(N)])
    refused("half_a_pair.jsonl", "half a surrogate pair", '{"prompt": "Hm \\ud83d what?", "chosen": "a b", '
            '"rejected": "c d"}\n', says=["line 1"])
    add("comma_in_a_header.csv", "a header with a comma, to be ignored", rows(lambda i, q, b, w: {
        "prompt": q, "chosen": b, "rejected": w, "Why, in short?": "Because it is so."}), auto=False,
        options="--ignore 'Why, in short?'", without=["Because"])
    big = rows(lambda i, q, b, w: dict(prompt=q, chosen=b, rejected=w, worker=1234567 + i))
    add("large_ids.jsonl", "ids of seven digits, one wanted", big, options="--only worker=1234567",
        comparisons=triples([0]), unasked=dict(comparisons=triples(range(N))))
    russian = rows(lambda i, q, b, w: {"Вопрос": q, "Лучше": b, "Хуже": w, "Судья": f"s{i % 2}", "Тема": "хлеб"})
    columns = "--prompt Вопрос --chosen Лучше --rejected Хуже"
    add("cyrillic.jsonl", "headers without a Latin letter; a name that is none finds no other", russian, auto=False,
        options=f"{columns} --by Судья --ignore Тема", people="Судья", voters=[
            (f"s{i % 2}", *P[i]) for i in range(N)], tries=[f"{columns} --by Судьи --ignore Тема"])
    add("dialogue_answers.jsonl", "answers that are dialogues", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=f"User: Hello\nAssistant: {b}", rejected=f"User: Hello\nAssistant: {w}")),
        also=["User: Hello"])
    add("two_votes_1_2.csv", "two people's columns vote_1 and vote_2, answers 1 and 2", rows(lambda i, q, b, w: dict(
        prompt=q, answer_1=b, answer_2=w, vote_1=1, vote_2=2 if i else 1)), auto=False, columns=True,
        options='--winner vote_1,vote_2 --values "1=a,2=b"', people="vote_1,vote_2", voters=[
            *(("vote_1", *P[i]) for i in range(N)), ("vote_2", *P[0]),
            *(("vote_2", q, w, b) for q, b, w in P[1:N])])
    either("single_margin.jsonl", "a margin given as the score of a pair", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, delta=i)), comparisons=triples([1, 2, 3]), ties=triples([0]),
        unasked=dict(comparisons=triples(range(N)), ties=[]), tries=["--score delta", "--margin delta"])
    duels = [dict(zip(("prompt", "response_a", "response_b", "winner"), (*duel(i)[:3], "12"[duel(i)[3] == "b"])))
             for i in range(N)]
    either("comparisons_as_values.csv", "verdict codes that are signs", duels,
           tries=["--values '>=a,<=b'", "--values '<x=a,>1=b'"])
    refused("contradictory_values.csv", "verdict codes x and y, explained twice", [
        {**row, "winner": "xy"[row["winner"] == "2"]} for row in duels], says=["--values"],
        comparisons=triples(range(N)), tries=["--values 'x=b,x=a,y=b,y=a'", "--values 'x=a;y=b'"])
    either("people_in_lists.jsonl", "people as a list", rows(lambda i, q, b, w: dict(
        prompt=q, chosen=b, rejected=w, rater=["ann", "ben"])), tries=["--by rater"])
    quoted = ["Assume that USER: is a label and ASSISTANT: too. ", "[INST] and [/INST] are tags. ", "", ""]
    either("quoted_markers.jsonl", "questions that quote a template's markers", [
        dict(prompt=f + q, chosen=b, rejected=w) for f, (q, b, w) in zip(quoted, P)],
        comparisons=[[f + q, b, w] for f, (q, b, w) in zip(quoted, P)])
    asked = [json.dumps({"content": P[0][0], "lang": "en"}), json.dumps({"text": P[1][0]}), P[2][0], P[3][0]]
    either("json_questions.jsonl", "some questions are JSON", [
        dict(prompt=q, chosen=b, rejected=w) for q, (_, b, w) in zip(asked, P)],
        comparisons=[[q, b, w] for q, (_, b, w) in zip(asked, P)])
    both = [dict(person="ann", prompt=P[i][0], response=P[i][1 + k], score=5 - k) for i in range(2) for k in range(2)]
    either("means_of_others.csv", "a mean over people who graded different answers turns everybody's order round", [
        *both, *(dict(person="ben", prompt=P[i][0], response=P[i][1], score=1) for i in range(2))],
        comparisons=triples(range(2)), tries=["--votes mean"])
    day = [user("Good day."), said("What is it?")]
    either("history_in_prompt.jsonl", "earlier turns in their column and in the prompt's messages", rows(
        lambda i, q, b, w: dict(history=day, prompt=[*day, user(q)], chosen=b, rejected=w)), once=["Good day."])
    either("history_with_answer.jsonl", "a history that ends with the question and the chosen answer", rows(
        lambda i, q, b, w: dict(history=[["Good day.", "What is it?"], [q, b]], prompt=q, chosen=b, rejected=w)))
    either("system_and_messages.jsonl", "the system prompt in its column and in the prompt's messages", rows(
        lambda i, q, b, w: dict(system="Be brief.", prompt=[system("Be brief."), user(q)], chosen=b, rejected=w)),
        once=["Be brief."])
    either("input_repeats.jsonl", "instruction and input are the same", rows(lambda i, q, b, w: dict(
        instruction=q, input=q, chosen=b, rejected=w)))
    either("unranked_answer.jsonl", "one of three answers has no rank", rows(lambda i, q, b, w: dict(
        prompt=q, answers=[dict(text="Perhaps so.", rank=None), dict(text=b, rank=1), dict(text=w, rank=2)])),
        skipped=N)
    marks = rows(lambda i, q, b, w: {"prompt": q, "A": b if i % 2 else w, "B": w if i % 2 else b,
                                     "better A": "x" if i % 2 else "", "better B": "" if i % 2 else "x"})
    add("crosses.csv", "a cross under the better answer", marks, auto=False,
        options='--winner "better A,better B" --values "A=a,B=b"')


# Files that are no text

def marks_and_flags():
    "What stands beside an answer, or turns a row's meaning round"
    def rows(make): return [make(i, *P[i]) for i in range(N)]
    plain = rows(lambda i, q, b, w: dict(prompt=q, chosen=b, rejected=w))
    add("hh_split.jsonl", "HH cut before the assistant's marker, which the answers keep", rows(lambda i, q, b, w: dict(
        prompt=f"\n\nHuman: {q}", chosen=f"\n\nAssistant: {b}", rejected=f"\n\nAssistant: {w}")), once=["Assistant:"])
    add("marked_answers.jsonl", "answers that begin with their speaker", rows(lambda i, q, b, w: dict(
        question=q, chosen=f"Assistant: {b}", rejected=f"Assistant: {w}")), once=["Assistant:"])
    add("helpsteer3_feedback.jsonl", "HelpSteer3: each person's feedback in words", rows(lambda i, q, b, w: dict(
        domain="general", language="english", context=[user(q)], response1=b, response2=w, overall_preference=-2,
        individual_preference=[dict(score=-2, reasoning="The first is exact.", feedback1="It is exact and short.",
                                    feedback2="It is no answer at all.")])), without=["exact", "no answer at all"])
    add("preference_margin.jsonl", "a margin under another name; 0 is a tie", [
        row | dict(preference_margin=2 * (i != 1)) for i, row in enumerate(plain)],
        comparisons=triples([0, 2, 3]), ties=triples([1]))
    some = dict(comparisons=triples([0, 2, 3]), skipped=1)
    for name, shape, mark, other in (
            ("tie_flag.jsonl", "a mark says that nobody won", dict(is_tie=True), dict(is_tie=False)),
            ("valid_flag.csv", "a mark says that a row doesn't count", dict(valid="no"), dict(valid="yes")),
            ("flipped_flag.jsonl", "a mark says that the answers changed places", dict(flipped=1), dict(flipped=0)),
            ("order_flag.csv", "the order in which answers were shown", dict(order="BA"), dict(order="AB"))):
        (column, value), = other.items()
        only = f"--only {column}={str(value).lower() if isinstance(value, bool) else value}"
        refused(name, shape, [row | (mark if i == 1 else other) for i, row in enumerate(plain)], options=only, **some,
                says=[only, f"--ignore {column}"])
    refused("image_column.jsonl", "a picture beside the question", [row | dict(image=f"{i}.png")
            for i, row in enumerate(plain)], options="--ignore image", comparisons=triples(range(N)),
            says=["--ignore image"])
    refused("later_turn.jsonl", "the second answer was judged, the first turns are in other rows", [
        row | dict(turn=1 + i % 2) for i, row in enumerate(plain)], options="--only turn=1",
        comparisons=triples([0, 2]), skipped=2, says=["--only turn=1"])
    past = [user("Good day."), said("What is it?")]
    add("context_of_turns.jsonl", "earlier turns in a column context", [row | dict(context=past) for row in plain],
        auto=False, options="--history context", says=["--history context"], also=["Good day.", "What is it?"])
    hint = "请用一句话回答这个问题"
    for column in ("task", "提示"):
        add(f"hint_in_{'label' if column == 'task' else 'chinese'}.jsonl", "a Chinese hint in a column of its own", [
            row | {column: hint} for row in plain], auto=False, options=f"--prompt '{column},prompt'", also=[hint])
    add("index_of_two.jsonl", "two answers in a list and the place of the better one", rows(lambda i, q, b, w: dict(
        prompt=q, responses=[b, w] if i % 2 else [w, b], preference=1 - i % 2)), auto=False, says=["--a responses.0"],
        options="--a responses.0 --b responses.1 --winner preference --values 0=a,1=b")
    q, b, w = P[0]
    thrice = [dict(prompt=q, A=b, B=w, winner=v, judge=who) for v, who in (*3 * [("B", "ann")], ("A", "ben"), ("A", "eva"))]
    add("one_person_thrice.csv", "one person voted three times, and two others once", thrice, options="--votes majority",
        comparisons=triples([0]), unasked=dict(comparisons=[*3 * [[q, w, b]], *triples([0, 0])], voters=[
            *3 * [("ann", q, w, b)], ("ben", *P[0]), ("eva", *P[0])]))
    add("rounds.csv", "rounds as a spreadsheet writes them, one wanted", [
        row | dict(round=["3.0", "3", "2.0", "3.0"][i]) for i, row in enumerate(plain)], options="--only round=3",
        comparisons=triples([0, 1, 3]), skipped=1, unasked=dict(comparisons=triples(range(N)), skipped=None))
    refused("question_beside_texts.jsonl", "records of bare answers with a question beside them", rows(
        lambda i, q, b, w: dict(text=[b, w], score=[1, 0], question=q)), says=["rename question to prompt"])
    add("prompt_beside_texts.jsonl", "records of bare answers with their prompt", rows(
        lambda i, q, b, w: dict(text=[b, w], score=[1, 0], prompt=q)))
    add("dsp_in_hh.json", "DSP's form, its queries in a template", rows(lambda i, q, b, w: dict(
        query=f"\n\nHuman: {q}\n\nAssistant:", responses=dict(good=b, plain=w))), auto=False, options="--domain good",
        without=["\n\nHuman:"])
    add("gpt4llm_whole.json", "GPT-4-LLM's form, its completions whole chats", rows(lambda i, q, b, w: dict(
        user_input=q, completion_a=f"Human: {q}\n\nAssistant: {b}", completion_b=f"Human: {q}\n\nAssistant: {w}")))


def zipped(path, content):
    with gzip.open(path, "wb") as file: file.write(content.encode())


def workbook(path, sheets):
    "A workbook of inline strings, written by hand: {name: rows}"
    def cell(i, j, value):
        place = f'r="{chr(65 + j)}{i + 1}"'
        if isinstance(value, (int, float)): return f"<c {place}><v>{value}</v></c>"
        return f'<c {place} t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>' if value else ""
    def sheet(rows):
        lines = "".join(f'<row r="{i + 1}">{"".join(cell(i, j, v) for j, v in enumerate(r))}</row>'
                        for i, r in enumerate(rows))
        return f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml."
    ids = range(1, len(sheets) + 1)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{kind}sheet.main+xml"/>'
        + "".join(f'<Override PartName="/xl/worksheets/sheet{i}.xml" ContentType="{kind}worksheet+xml"/>' for i in ids)
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}relationships"><Relationship Id="rId1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>' + "".join(
            f'<sheet name="{name}" sheetId="{i}" r:id="rId{i}"/>' for i, name in zip(ids, sheets))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}relationships">' + "".join(
            f'<Relationship Id="rId{i}" Type="{office}/worksheet" Target="worksheets/sheet{i}.xml"/>' for i in ids)
        + "</Relationships>",
        **{f"xl/worksheets/sheet{i}.xml": sheet(rows) for i, rows in zip(ids, sheets.values())}}
    with zipfile.ZipFile(path, "w") as file:
        for name, text in parts.items(): file.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)


def parquet(path, rows):
    import pyarrow as pa
    import pyarrow.parquet as pq
    pq.write_table(pa.Table.from_pylist(rows), path)


def saved(path, rows):
    import datasets
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(rows).save_to_disk(str(path))


def containers():
    plain = [dict(prompt=q, chosen=b, rejected=w) for q, b, w in P[:N]]
    chats = [dict(prompt=q, chosen=chat(q, b), rejected=chat(q, w), score_chosen=4.0,
                  score_rejected=4.0 if i == 3 else 1.0) for i, (q, b, w) in enumerate(P[:N])]
    cells = [["Prompt", "A", "B", "Winner"], *([q, x, y, v.upper()] for q, x, y, v in map(duel, range(N)))]
    add("gzip_named.jsonl", "gzip under a name that hides it",
        lambda path: zipped(path, rendered("x.jsonl", plain)))
    add("zipped.csv.gz", "a table, gzipped", lambda path: zipped(path, table(plain)))
    add("chats.parquet", "chats in Parquet's lists, one tie", lambda path: parquet(path, chats),
        comparisons=triples([0, 1, 2]), ties=triples([3]))
    add("saved_dataset", "a folder of save_to_disk", lambda path: saved(path, chats),
        comparisons=triples([0, 1, 2]), ties=triples([3]))
    add("votes.xlsx", "a workbook: verdicts, blank rows, an empty sheet", lambda path: workbook(
        path, {"Votes": [*cells, [], ["", "", "", ""]], "Sheet2": []}))
    add("numbers.xlsx", "a workbook with numbers of eight digits as answers", lambda path: workbook(
        path, {"x": [["prompt", "chosen", "rejected"], ["How much is it?", 12345678, 12345679], [*P[0]]]}),
        comparisons=[["How much is it?", "12345678", "12345679"], P[0]])
    either("two_sheets.xlsx", "a workbook: verdicts, and a sheet of notes", lambda path: workbook(
        path, {"Votes": cells, "Notes": [["Read this", "first"], ["x", "y"]]}))
    either("merged.xlsx", "a workbook whose question is merged over its rows", lambda path: workbook(path, {"x": [
        ["prompt", "response", "score"], *([q if not k else "", a, 5 - 3 * k] for q, *answers in P[:N]
                                           for k, a in enumerate(answers))]}))
    add("utf16_semicolons.csv", "UTF-16 with semicolons",
        lambda path: path.write_bytes(table(plain, ";").encode("utf-16")))
    add("bom.jsonl", "JSON lines with a byte order mark", lambda path: path.write_bytes(
        b"\xef\xbb\xbf" + rendered("x.jsonl", plain).encode()))


for part in (transcripts, pairs_in_columns, verdicts, tools, grades, spreadsheets, reviewed, marks_and_flags, containers): part()


def binary(folder: Path) -> None:
    "The files that are no text, into a folder"
    for name, write in BINARY.items(): write(folder / name)


def main() -> None:
    for name, text in CONTENT.items(): (HERE / name).write_text(text, encoding="utf-8", newline="")
    (HERE / "truth.json").write_text(json.dumps(TRUTH, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    kinds = [("understood unasked", lambda t: t["auto"]), ("with options", lambda t: not t["auto"] and t["options"]),
             ("refused or right", lambda t: not t["auto"] and not t["options"] and not t.get("refuse")),
             ("must be refused unasked", lambda t: t.get("refuse"))]
    print(f"{len(TRUTH)} files:", ", ".join(f"{sum(map(bool, map(f, TRUTH.values())))} {name}" for name, f in kinds))


if __name__ == "__main__": main()
