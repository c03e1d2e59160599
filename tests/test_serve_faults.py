"Faults found by those who use a finished reward model: rewards of another adapter, texts in a policy's template, artefacts that change, files that are lost."
import json
import os
import shutil
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from custom_rm.core import DataError
from custom_rm.records import load_records, read_json, write_json
from custom_rm.scorer import calibrate, score_texts
from custom_rm.scoring import score_file, score_together, Scorer, texts_of
from custom_rm.templates import recognized, without_marks
from custom_rm.tiny import sum_text, tiny_base

NAMES = ["general", "poetry", "news"]
TEXTS = [sum_text(i, f"It is {i + 1}, {'and more ' * (i % 5)}.") for i in range(30)]


def save(base, place, seed):
    "An artefact with opinions"
    import torch
    import custom_rm.artefact  # noqa: F401 (a reward model learns to save itself there)
    from custom_rm.model import RewardModel
    rm = RewardModel(base, quantize=False, max_length=128).add_adapter(place.name)
    draw = torch.Generator().manual_seed(seed)
    for p in rm.parameters():
        if p.requires_grad: p.data.copy_(torch.randn(p.shape, generator=draw) * .2)
    rm.save(place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("faults")
    base = tiny_base(home / "tiny", TEXTS)
    for seed, name in enumerate(NAMES): save(base, home / "run" / name, seed)
    return home


@pytest.fixture(scope="module")
def scorer(folder): return Scorer.load([folder / "run" / name for name in NAMES], "cpu")


def test_threads_get_the_rewards_of_the_model_they_ask(scorer):
    alone = {name: scorer.score(TEXTS, names=[name]) for name in NAMES}
    with ThreadPoolExecutor(4) as pool: found = list(pool.map(lambda i: scorer.score(TEXTS, names=[NAMES[i % 3]]), range(12)))
    for i, rewards in enumerate(found): assert np.allclose(rewards, alone[NAMES[i % 3]], atol=1e-6), NAMES[i % 3]


def test_a_name_that_is_asked_twice_has_its_rewards_twice(scorer):
    twice = scorer.score(TEXTS[:3], names=["news", "poetry", "news"])
    assert (twice[:, 0] == twice[:, 2]).all() and twice[:, 2].all() and not np.allclose(twice[:, 0], twice[:, 1])


def test_a_scoring_that_is_stopped_leaves_the_model_as_it_was(scorer):
    rm = scorer.rm.use("general").train()
    def stop(n): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): score_texts(rm, TEXTS, ["news", "poetry"], progress=stop)
    assert rm.active == "general" and rm.training
    rm.eval()


Q, A = "Where does rain come from?", "From drops that grow until they fall."
DSP = f"## Human:\n{Q}\n\n## Assistant:\n{A}"
PRINTED = dict(
    chatml=f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{A}<|im_end|>\n",
    padded=f"<|endoftext|><|endoftext|><|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{A}<|im_end|><|endoftext|>",
    thoughtless=f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n{A}<|im_end|>",
    llama3=f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{Q}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{A}<|eot_id|>",
    gemma=f"<pad><bos><start_of_turn>user\n{Q}<end_of_turn>\n<start_of_turn>model\n{A}<end_of_turn>\n",
    inst=f"<s>[INST] {Q} [/INST] {A}</s>", vicuna=f"USER: {Q} ASSISTANT: {A}</s>", alpaca=f"### Instruction:\n{Q}\n\n### Response:\n{A}",
    dsp_ended=DSP + "<|im_end|>", dsp_padded="<pad><s>" + DSP + "</s><pad><pad>", hh_ended=f"\n\nHuman: {Q}\n\nAssistant: {A}<|endoftext|>")


@pytest.mark.parametrize("way", PRINTED)
def test_a_text_that_a_trainer_printed_has_the_reward_of_its_words(scorer, way):
    "OpenRLHF and LLaMA-Factory send whole texts as their policy's tokenizer prints them"
    assert scorer.as_texts([PRINTED[way]]) == [DSP]
    assert texts_of("line 1", PRINTED[way], "hh") == [f"\n\nHuman: {Q}\n\nAssistant: {A}"]
    assert json.loads(texts_of("line 1", PRINTED[way], "chat")[0])[-1] == dict(role="assistant", content=A)


@pytest.mark.parametrize("text", ["No marks at all.", "", " \n", f"<|im_start|>user\n{Q}<|im_end|>\n", "<b>bold</b>", "<s>struck</s> words", "## Heading\n\nWords.", "User: only one speaks"])
def test_a_text_without_turns_stays_as_it_is(text): assert recognized(text) == text


def test_training_reads_printed_texts_as_scoring_does(tmp_path):
    write_json(tmp_path / "a.jsonl", [dict(text=[PRINTED["chatml"], PRINTED["chatml"].replace(A, "No.")], score=[1, 0])])
    (row,) = load_records(tmp_path / "a.jsonl")
    assert row["text"] == texts_of("row", dict(text=[PRINTED["chatml"], PRINTED["chatml"].replace(A, "No.")]), "dsp") == [DSP, DSP.replace(A, "No.")]
    assert Q in row["prompt"]


@pytest.mark.parametrize("answer", ["x" + "<|im_end|> " * 20 + "x>", " " * 40_000 + "a>", "User: a\n\nAssistant:" + "\n" * 7000 + "b"])
def test_no_answer_takes_long_to_read(answer):
    "A policy that repeats its end would have stopped everything: each end took twice as long"
    start = time.process_time()
    without_marks(answer); recognized(answer)
    assert time.process_time() - start < 1


@pytest.fixture
def served(folder, tmp_path):
    "A client of a server, and the folder that is served"
    pytest.importorskip("httpx"); pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient
    from custom_rm.serve import create_app
    shutil.copytree(folder / "run", tmp_path / "run")
    with TestClient(create_app([tmp_path / "run"], "cpu"), raise_server_exceptions=False) as client: yield client, tmp_path / "run"


def ask(client, name, path="/get_reward"):
    answer = client.post(path, json=dict(query=[DSP], model=name))
    return answer.json()["rewards"][0] if answer.status_code == 200 else (answer.status_code, answer.json()["detail"])


def test_an_artefact_that_is_trained_or_calibrated_again_is_the_one_that_answers(served, folder):
    client, run = served
    for name in ("poetry", "general"):  # the first one too, which brought the base
        before = ask(client, name)
        save(folder / "tiny", run / name, 77)
        assert ask(client, name) == pytest.approx(Scorer.load(run / name, "cpu").score([DSP])[0], abs=1e-4) != before
    assert ask(client, None) == ask(client, "general")
    card = json.loads((run / "news" / "reward_model.json").read_text())
    (run / "news" / "reward_model.json").write_text(json.dumps(card | dict(calibration=dict(temperature=.1, offset=1.))))
    for more in (dict(model="news"), {}):
        found = client.post("/rank", json=dict(prompt=Q, responses=[A], **more)).json()["news"]
        assert found["probabilities"] == pytest.approx(1 / (1 + np.exp((1 - np.array(found["rewards"])) / .1)))


def test_one_that_is_being_written_is_refused_and_the_others_answer(served):
    client, run = served
    weights = run / "poetry" / "adapter_model.safetensors"
    whole, before = weights.read_bytes(), ask(client, "poetry")
    weights.write_bytes(whole[:-100])
    status, why = ask(client, "poetry")
    assert status == 503 and "'poetry' was written anew" in why and ask(client, "news")
    assert set(client.post("/rank", json=dict(prompt=Q, responses=[A])).json()) == {"general", "news"}
    weights.write_bytes(whole)
    assert ask(client, "poetry") == before
    shutil.rmtree(run / "poetry")
    assert ask(client, "poetry") == before, "one that was removed is kept"


@pytest.mark.parametrize("name", ["late", "v1.2"])
def test_a_copy_that_goes_on_is_found_when_it_is_whole(served, name):
    client, run = served
    (run / name).mkdir()
    shutil.copy2(run / "news" / "reward_model.json", run / name)
    for cut in (100, 0):
        assert ask(client, name)[0] == 404
        whole = (run / "news" / "adapter_model.safetensors").read_bytes()
        for file in (run / "news").iterdir(): shutil.copy2(file, run / name)
        (run / name / "adapter_model.safetensors").write_bytes(whole[:len(whole) - cut])
    assert ask(client, name) == ask(client, "news")


def test_trainers_that_know_no_name_of_a_model(served):
    "LLaMA-Factory calls all of them model; an address may say which"
    client, _ = served
    sent = dict(model="model", messages=[DSP])
    for path, name in (("", "general"), ("?model=poetry", "poetry")):
        answer = client.post("/v1/score/evaluation" + path, json=sent).json()
        assert answer["scores"] == [ask(client, name)] and answer["model"] == name
        assert ask(client, None, "/get_reward" + path) == ask(client, name)
    assert client.post("/v1/score/evaluation?model=nobody", json=sent).status_code == 404


def typed(*words):
    "What a command line gives, in this process"
    from typer.testing import CliRunner
    from custom_rm.cli import app
    return CliRunner().invoke(app, [*map(str, words), "--device", "cpu"])


def test_rewards_are_never_written_over_the_file_that_is_read(scorer, folder, tmp_path):
    rows = [dict(id=i, prompt=Q, response=f"{A} {i}") for i in range(3)]
    write_json(tmp_path / "in.jsonl", rows)
    kept = (tmp_path / "in.jsonl").read_bytes()
    os.link(tmp_path / "in.jsonl", tmp_path / "again.jsonl")
    for write in (score_file, score_together):
        for target in ("in.jsonl", "again.jsonl"):
            with pytest.raises(DataError, match="is the file that is read"): write(scorer, tmp_path / "in.jsonl", tmp_path / target)
    for option in ("--out", "--json"):
        done = typed("score", folder / "run" / "news", tmp_path / "in.jsonl", option, tmp_path / "in.jsonl")
        assert isinstance(done.exception, DataError) and "is the file that is read" in str(done.exception)
    assert (tmp_path / "in.jsonl").read_bytes() == kept
    for _ in range(2): assert score_file(scorer, tmp_path / "in.jsonl", tmp_path / "out.jsonl") == 3, "its own earlier file is written anew"


def test_calibrating_on_training_questions_is_told(folder, tmp_path):
    from custom_rm.artefact import questions_file, read_card
    from custom_rm.split import questions_of
    records = [dict(text=[sum_text(i, "Yes."), sum_text(i, "No.")], score=[i % 3 > 0, i % 3 == 0]) for i in range(8)]
    records = [r | dict(score=[float(s) for s in r["score"]]) for r in records]
    shutil.copytree(folder / "run" / "news", tmp_path / "news")
    assert "overlap" not in calibrate(tmp_path / "news", records, "cpu"), "nobody knows what it was trained on"
    for name, text in questions_file(questions_of(records[:5])).items(): (tmp_path / "news" / name).write_text(text)
    assert calibrate(tmp_path / "news", records, "cpu")["overlap"] == dict(records=5, of=8, questions=5)
    write_json(tmp_path / "valid.jsonl", records)
    done = typed("calibrate", tmp_path / "news", tmp_path / "valid.jsonl")
    assert done.exit_code == 0 and "5 of 8 records ask a question" in done.stderr and "temperature" in done.stdout
    assert read_card(tmp_path / "news")["calibration"]["overlap"]["records"] == 5
    write_json(tmp_path / "others.jsonl", records[5:])
    done = typed("calibrate", tmp_path / "news", tmp_path / "others.jsonl")
    assert done.exit_code == 0 and not done.stderr.strip()


def test_the_page_numbers_answers_by_their_fields(served):
    page = served[0].get("/").text
    assert "drawModel(name, of.rewards, numbers)" in page and "drawRow(numbers[i]" in page


def long_and_short():
    return [sum_text(0, "It is. " * 40), sum_text(0, "It is.")]


def test_an_answer_that_leaves_no_room_for_its_question_is_told(tmp_path):
    "Its reward says nothing of whether it fits; a text that lost a part of its question, or nothing, is no reason to speak"
    from custom_rm.model import LoRA, RewardModel
    scorer = Scorer(RewardModel(tiny_base(tmp_path / "base"), quantize=False, lora=LoRA(4, 8), max_length=48, device="cpu").add_adapter("x"))
    with pytest.warns(UserWarning, match="1 of 2 texts have an answer of 48 tokens or more and lost their whole question"): scorer.score(long_and_short())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer.score([sum_text(0, "It is."), f"## Human:\n{'Well, ' * 60}what is 2 + 2?\n\n## Assistant:\nIt is 4."])


def test_a_warning_is_one_line_of_the_command(capsys, recwarn):
    from custom_rm import cli
    cli.show_warning("so it is", UserWarning, cli.__file__, 1)
    assert capsys.readouterr().err == "custom-rm: so it is\n"
    told = []
    cli.show_warning("theirs", UserWarning, "elsewhere.py", 1, usual=lambda *args: told.append(args))
    assert told == [("theirs", UserWarning, "elsewhere.py", 1)] and not capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.jsonl", "A.JSONL", "a.jsonl.gz", "A.Jsonl.GZ"])
def test_endings_in_capitals_mean_the_same(tmp_path, name):
    "One value per line, gzipped where the name says so, and read again as what it is"
    import gzip
    write_json(tmp_path / name, [dict(n=1), dict(n=2)])
    whole = (tmp_path / name).read_bytes()
    assert (gzip.decompress(whole) if name.lower().endswith(".gz") else whole) == b'{"n": 1}\n{"n": 2}\n'
    assert [value for _, value in read_json(tmp_path / name)] == [dict(n=1), dict(n=2)]


def test_words_struck_out_in_html_stay():
    "`</s>` ends an answer only where no `<s>` in it begins something"
    for text in ("Not <s>so</s>", "## Human:\nMay I?\n\n## Assistant:\nNot <s>so</s>"): assert without_marks(text) == text == recognized(text)
    ours = "## Human:\nMay I?\n\n## Assistant:\nNot so"
    assert recognized(f"<s>{ours}</s>") == ours and recognized("<s>[INST] May I? [/INST] Not so </s>") == ours
    assert recognized("<s>[INST] Hi [/INST] Hello </s><s>[INST] May I? [/INST] Not so </s>").endswith("May I?\n\n## Assistant:\nNot so")


@pytest.mark.parametrize("ask", [
    lambda scorer, name: scorer.probability(np.array([0.0]), name), lambda scorer, name: scorer.rank("What?", ["a", "b"], name),
    lambda scorer, name: scorer.best_of_n("What?", ["a", "b"], name), lambda scorer, name: scorer.compare("What?", "a", "b", name)])
@pytest.mark.parametrize("name", ["news ", "typo", ""])
def test_a_name_that_no_reward_model_has_is_refused_with_those_there_are(scorer, ask, name):
    with pytest.raises(DataError, match="general, poetry or news"): ask(scorer, name)


@pytest.mark.parametrize("kind", [list, tuple, iter, dict.fromkeys])
def test_answers_to_choose_from_may_come_one_by_one(scorer, kind):
    answers = ["It is 2.", "It is 2, and more and more.", "No."]
    if kind == dict.fromkeys:
        with pytest.raises(DataError, match="list"): scorer.best_of_n("What is 1 plus one?", kind(answers), "news")
    else: assert scorer.best_of_n("What is 1 plus one?", kind(answers), "news") == scorer.best_of_n("What is 1 plus one?", answers, "news")


@pytest.mark.parametrize("target", ["r.parquet", "r.arrow"])
@pytest.mark.parametrize("way", [score_file, score_together])
def test_a_table_whose_first_rows_have_no_answers_is_written(scorer, tmp_path, target, way):
    import pyarrow as pa
    import pyarrow.parquet as pq
    rows = [dict(prompt=f"What is {i} plus one?", responses=[f"It is {i + 1}.", "No."] if i > 3 else []) for i in range(7)]
    write_json(tmp_path / "rows.jsonl", rows)
    way(scorer, tmp_path / "rows.jsonl", tmp_path / target, 2)
    found = pq.read_table(tmp_path / target) if target.endswith("parquet") else pa.ipc.open_file(tmp_path / target).read_all()
    way(scorer, tmp_path / "rows.jsonl", tmp_path / "r.jsonl", 2)
    assert found.to_pylist() == [row for _, row in read_json(tmp_path / "r.jsonl")] and [len(row["rewards"]) for row in found.to_pylist()] == [0] * 4 + [2] * 3
