"The server as its clients meet it: a process of its own on loopback, many at once, faulty ones among them."
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
NAMES = ["general", "poetry", "news"]


def text(i): return f"## Human:\nQuestion {i % 40}\n\n## Assistant:\nAnswer {i}, {'with more words ' * (i % 5)}."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import custom_rm.artefact  # noqa: F401 (a reward model learns to save itself there)
    from custom_rm.model import RewardModel
    from custom_rm.tiny import tiny_base
    import torch
    home = tmp_path_factory.mktemp("serve")
    rm = RewardModel(tiny_base(home / "tiny", [text(i) for i in range(20)]), quantize=False, max_length=64)
    for i, name in enumerate(NAMES):
        rm.add_adapter(name)
        with torch.no_grad():
            for p in rm.parameters():
                if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)) * .1)
        rm.save(home / "run" / name)
    return home / "run"


def start(folder, *more):
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "custom_rm.cli", "serve", str(folder), "--port", str(port), "--device", "cpu", *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            if httpx.get(address + "/health").status_code == 200: return process, address
        except httpx.HTTPError: pass
        assert process.poll() is None, process.stderr.read()
        time.sleep(.1)
    raise AssertionError("the server didn't start")


@pytest.fixture(scope="module")
def server(folder):
    process, address = start(folder)
    yield address
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=40) in (0, -15)


@pytest.fixture(scope="module")
def offline(folder):
    from custom_rm.scoring import Scorer
    table = Scorer.load([folder / n for n in NAMES]).score([text(i) for i in range(200)])
    return {(n, i): table[i, j] for j, n in enumerate(NAMES) for i in range(200)}


def test_two_thousand_requests_of_32_clients(server, offline):
    def client(c):
        rng, wrong = random.Random(c), 0
        with httpx.Client(timeout=120) as http:
            for _ in range(63):
                name, rows = rng.choice(NAMES), [rng.randrange(200) for _ in range(rng.randint(1, 3))]
                path, body, read = rng.choice([("/get_reward", dict(query=[text(i) for i in rows]), lambda r: r["rewards"]), ("/v1/score/evaluation", dict(messages=[text(i) for i in rows]), lambda r: r["scores"]),
                                               ("/pooling", dict(input=[text(i) for i in rows]), lambda r: [d["data"][0] for d in r["data"]]), ("/classify", dict(input=[text(i) for i in rows]), lambda r: [d["probs"][0] for d in r["data"]])])
                answer = http.post(server + path, json=dict(body, model=name))
                assert answer.status_code == 200, answer.text
                wrong += any(abs(x - offline[name, i]) > 1e-4 for x, i in zip(read(answer.json()), rows)) or len(read(answer.json())) != len(rows)
        return wrong
    with ThreadPoolExecutor(32) as pool: assert sum(pool.map(client, range(32))) == 0
    served = {l.split()[0]: float(l.split()[1]) for l in httpx.get(server + "/metrics").text.splitlines() if not l.startswith("#")}
    assert served["custom_rm_requests_total"] >= 2016 and served["custom_rm_batches_total"] < served["custom_rm_requests_total"] and served["custom_rm_waiting_texts"] == 0


def test_faulty_clients_harm_nobody(server, offline):
    post = lambda path, **kw: httpx.post(server + path, timeout=60, **kw)
    assert post("/get_reward", content=b"{not json").status_code == 422
    assert post("/get_reward", json=dict(query="a text, not a list")).status_code == 422
    assert post("/get_reward", json=dict(query=[1, 2])).status_code == 422
    assert post("/get_reward", json=dict(query=[])).status_code == 422
    assert post("/get_reward", json=dict(query=["a"], model="nobody")).status_code == 404
    assert post("/get_reward", json=dict(query=["a" * 10_000_000])).status_code == 413
    def chunks():
        for _ in range(100): yield b"x" * 100_000
    assert post("/get_reward", content=chunks()).status_code == 413
    long = post("/get_reward", json=dict(query=["word " * 100_000]))
    assert long.status_code == 413 and "tokens" in long.json()["detail"]
    assert post("/get_reward", json=dict(query=["a"] * 2000)).status_code == 413
    assert httpx.get(server + "/get_reward").status_code == 405 and httpx.get(server + "/nothing").status_code == 404
    for _ in range(5):  # clients that hang up
        with socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2]))) as s:
            body = json.dumps(dict(query=[text(0)] * 50)).encode()
            s.sendall(b"POST /get_reward HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body[: random.Random(0).randrange(len(body))])
    answer = post("/get_reward", json=dict(query=[text(7)], model="news"))
    assert answer.status_code == 200 and abs(answer.json()["rewards"][0] - offline["news", 7]) < 1e-4


def send_raw(server, head, body, pause=0.):
    "A client that looks for an answer only when all is sent, and `pause` seconds later"
    with socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2])), timeout=30) as s:
        s.sendall(b"POST /get_reward HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        for i in range(0, len(body), 100_000): s.sendall(body[i : i + 100_000])
        time.sleep(pause)
        found = b""
        while part := s.recv(1 << 16): found += part
    return found


def test_a_refusal_reaches_a_client_that_is_still_sending(server):
    size, refused = 10_000_000, lambda found: found.startswith(b"HTTP/1.1 413 ") and b"the body is larger" in found
    for pause in (0, 0, .5):
        assert refused(send_raw(server, b"Content-Length: %d" % size, b"x" * size, pause))
        assert refused(send_raw(server, b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size), pause))
    assert refused(send_raw(server, b"Expect: 100-continue\r\nContent-Length: %d" % size, b"")), "it asks first"
    assert refused(send_raw(server, b"Content-Length: %d" % size, b"x" * 100)), "it stalls, and is answered all the same"


@pytest.mark.parametrize("headers,size,read", [
    ([(b"content-length", b"500")], 500, 500), ([(b"content-length", b"500"), (b"expect", b"100-continue")], 500, 0), ([], 500, 500), ([], 101, 101),
    ([(b"content-length", b"some")], 60, 60), ([(b"content-length", str(1 << 40).encode())], 1 << 40, 64 << 20)])
def test_what_is_read_before_a_refusal(headers, size, read):
    "To its end and no further: who waits for bytes after the last hears of none, and hangs"
    import asyncio
    from custom_rm.serve import SizeLimit
    taken, sent = [], []
    async def receive():
        if sum(taken) >= size: await asyncio.Event().wait()  # as a server does
        taken.append(min(100 if size < 1000 else 1 << 20, size - sum(taken)))
        return dict(type="http.request", body=bytes(taken[-1]), more_body=sum(taken) < size)
    async def send(message): sent.append(message)
    async def app(scope, receive, send):
        while (await receive()).get("more_body"): pass
        await send(dict(type="http.response.start", status=200))
    asyncio.run(asyncio.wait_for(SizeLimit(app, 100)(dict(type="http", headers=headers), receive, send), 4))
    assert sum(taken) == read and [m.get("status") for m in sent] == [413, None]


def test_kill_and_restart_and_token(folder, offline):
    process, address = start(folder, "--token", "secret")
    assert httpx.post(address + "/get_reward", json=dict(query=["a"])).status_code == 401
    os.kill(process.pid, signal.SIGKILL); process.wait()
    process, address = start(folder, "--token", "secret")
    try: assert abs(httpx.post(address + "/get_reward", json=dict(query=[text(3)]), headers={"Authorization": "Bearer secret"}).json()["rewards"][0] - offline["general", 3]) < 1e-4
    finally: process.terminate(); log = process.communicate(timeout=40)[1]
    assert "secret" not in log


def test_open_address_wants_a_token(folder, custom_rm):
    done = custom_rm("serve", folder, "--host", "0.0.0.0")
    assert done.returncode == 2 and "set a token" in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def inside(folder):
    "The application in this process, with small limits"
    from fastapi.testclient import TestClient
    from custom_rm.serve import create_app, Limits
    with TestClient(create_app([folder], limits=Limits(body_bytes=20_000, texts=5, text_tokens=100))) as client: yield client


def test_every_door_gives_the_same(inside, offline):
    texts = [text(i) for i in range(3)]
    post = lambda path, **body: inside.post(path, json=body).json()
    for name in NAMES:
        for found in (post("/get_reward", query=texts, model=name)["rewards"], post("/get_reward", query=texts, model=name)["scores"],
                      post("/v1/score/evaluation", messages=texts, model=name)["scores"],
                      [d["data"][0] for d in post("/pooling", input=texts, model=name)["data"]],
                      [d["probs"][0] for d in post("/classify", input=texts, model=name)["data"]],
                      post("/rank", prompt="Question 0", responses=[t.partition("## Assistant:\n")[2] for t in texts])[name]["rewards"][:1]):
            assert all(abs(x - offline[name, i]) < 1e-4 for i, x in enumerate(found)) and found, (name, found)
    assert post("/pooling", input=texts[0])["data"] == post("/pooling", input=texts[:1])["data"], "a text is a list of one"


QUESTION, ANSWER = "Question 7", "Answer 7, with more words with more words ."


def test_a_question_is_asked_once_at_every_door(inside, folder, tmp_path):
    "Over HTTP and on the command line: bare, in either template with or without the marker, as messages, whole"
    from typer.testing import CliRunner
    from custom_rm.cli import app
    from custom_rm.scoring import Scorer
    says = lambda role, content: dict(role=role, content=content)
    hh, dsp, asked = f"\n\nHuman: {QUESTION}\n\nAssistant:", f"## Human:\n{QUESTION}\n\n## Assistant:\n", [says("user", [dict(type="text", text=QUESTION)])]
    chat = [*asked, says("assistant", ANSWER)]
    (expected,) = Scorer.load(folder / "general", "cpu").score([dsp + ANSWER])
    post = lambda path, **body: inside.post(path, json=dict(body, model="general")).json()
    for prompt in (QUESTION, hh, hh.strip(), hh.strip().replace("\n\n", "\n"), dsp, dsp.strip(), asked):
        for answer in (ANSWER, chat[1], [chat[1]], chat, dsp + ANSWER, f"{hh} {ANSWER}"):
            assert post("/rank", prompt=prompt, responses=[answer])["general"]["rewards"] == pytest.approx([expected], abs=1e-4)
    for whole in (dsp + ANSWER, f"{hh} {ANSWER}", f"{hh} {ANSWER}".strip()):
        assert post("/get_reward", query=[whole])["rewards"] == pytest.approx([expected], abs=1e-4)
        assert post("/pooling", input=whole)["data"][0]["data"] == pytest.approx([expected], abs=1e-4)
        assert post("/classify", input=whole)["data"][0]["probs"] == pytest.approx([expected], abs=1e-4)
    for messages in ([chat], chat, [dsp + ANSWER]): assert post("/v1/score/evaluation", messages=messages)["scores"] == pytest.approx([expected], abs=1e-4)
    row = json.dumps(dict(prompt=asked, response=ANSWER))
    (tmp_path / "in.jsonl").write_text("\n".join([row, json.dumps(dict(messages=chat)), json.dumps(f"{hh} {ANSWER}")]))
    score = lambda *more: CliRunner().invoke(app, ["score", str(folder / "general"), *map(str, more), "--device", "cpu", "--json", str(tmp_path / "out.json")])
    found = lambda: [row["rewards"] for row in json.loads((tmp_path / "out.json").read_text())]
    assert score(tmp_path / "in.jsonl").exit_code == 0 and np_close(found(), [[expected]] * 3)
    for prompt in (QUESTION, hh, dsp.strip()): assert score("--prompt", prompt, "--response", ANSWER, "--response", dsp + ANSWER).exit_code == 0 and np_close(found(), [[expected] * 2])


def np_close(found, expected): return len(found) == len(expected) and all(x == pytest.approx(y, abs=1e-4) for x, y in zip(found, expected))


@pytest.mark.parametrize("path,body,why", [
    ("/rank", dict(prompt=QUESTION, responses=[[dict(role="user", content="Other?"), dict(role="assistant", content="No.")]]), "asks something else"), ("/rank", dict(prompt=QUESTION, responses=[None]), "responses"),
    ("/rank", dict(prompt=f"## Human:\n{QUESTION}\n\n## Assistant:\n{ANSWER}", responses=["a"]), "ends with an answer"), ("/rank", dict(prompt=[], responses=["a"]), "the prompt is"),
    ("/v1/score/evaluation", dict(messages=[[dict(role="user", content=[dict(type="image_url", image_url="x")]), dict(role="assistant", content="a")]]), "only text can be read"),
    ("/v1/score/evaluation", dict(messages=[[dict(role="user", content="a")]]), "don't end with an answer"), ("/v1/score/evaluation", dict(messages=[dict(role="judge", content="a")]), "known are"), ("/v1/score/evaluation", dict(messages=[3]), "messages"),
])
def test_what_is_not_one_conversation_is_422(inside, path, body, why):
    answer = inside.post(path, json=body)
    assert answer.status_code == 422 and why in answer.json()["detail"], answer.text


def test_tools_and_developers_are_heard(folder):
    from fastapi.testclient import TestClient
    from custom_rm.scoring import Scorer
    from custom_rm.serve import create_app
    call = dict(role="assistant", content=None, tool_calls=[dict(id="1", type="function", function=dict(name="add", arguments="{}"))])
    chat = [dict(role="developer", content="Be brief."), dict(role="user", content=QUESTION), call, dict(role="tool", tool_call_id="1", content="4"), dict(role="assistant", content=ANSWER)]
    scorer = Scorer.load(folder / "general", "cpu")
    (text,) = scorer.as_texts([chat])
    assert all(words in text for words in ("Be brief.", QUESTION, '"add"', "\n4\n", ANSWER))
    expected = pytest.approx(scorer.score([text]).tolist(), abs=1e-4)
    with TestClient(create_app([folder / "general"], "cpu")) as client:
        assert client.post("/v1/score/evaluation", json=dict(messages=[chat])).json()["scores"] == expected
        assert client.post("/rank", json=dict(prompt=chat[:2], responses=[chat[2:]])).json()["general"]["rewards"] == expected


@pytest.mark.parametrize("status,body", [
    (422, dict(json=dict(query=[]))), (422, dict(json=dict(query=[3]))), (422, dict(content=b"{")), (422, dict(content=b"Infinity")),
    (413, dict(json=dict(query=["a"] * 6))), (413, dict(json=dict(query=["a " * 3000]))), (413, dict(json=dict(query=["a" * 30_000]))),
    (404, dict(json=dict(query=["a"], model="../general"))), (422, dict(json=dict(query="a"))),
])
def test_each_limit_has_its_status(inside, status, body):
    answer = inside.post("/get_reward", **body)
    assert answer.status_code == status and isinstance(answer.json()["detail"], str), answer.text


def test_page_and_counters(inside):
    assert inside.get("/").text.startswith("<!doctype html>") and "custom_rm_texts_total" in inside.get("/metrics").text


def test_a_new_artefact_is_found_and_a_strange_one_named(tmp_path):
    from fastapi.testclient import TestClient
    from custom_rm.core import DataError
    from custom_rm.model import RewardModel
    from custom_rm.serve import artefacts, create_app
    from custom_rm.tiny import tiny_base
    base = tiny_base(tmp_path / "tiny")
    make = lambda name, **options: RewardModel(base, quantize=False, **options).add_adapter(name.rpartition("/")[2]).save(tmp_path / name)
    make("run/general", max_length=32)
    with TestClient(create_app([tmp_path / "run"])) as client:
        ask = lambda name: client.post("/get_reward", json=dict(query=["a"], model=name)).status_code
        assert ask("news") == 404
        make("run/news", max_length=32); make("run/short", max_length=16)
        assert ask("news") == 200 and ask("short") == 404
        models = client.get("/v1/models").json()
        assert [m["id"] for m in models["data"]] == ["general", "news"] and "another max_length" in models["left_out"]["short"]
    with pytest.raises(DataError, match="no artefact in it"): create_app([tmp_path / "tiny"])
    make("old/general", max_length=32)
    with pytest.raises(DataError, match="same name"): artefacts([tmp_path / "run", tmp_path / "old"])


def test_token_guards_all_but_health_and_page(folder):
    from fastapi.testclient import TestClient
    from custom_rm.serve import create_app
    with TestClient(create_app([folder / "general"], token="secret")) as client:
        ask = lambda **headers: client.post("/get_reward", json=dict(query=["a"]), headers=headers).status_code
        assert [ask(), ask(Authorization="Bearer wrong"), ask(Authorization="secret"), ask(Authorization="Bearer secret")] == [401, 401, 401, 200]
        open_to_all = [r.path for r in client.app.routes if getattr(r, "dependant", None) and "GET" in r.methods and client.get(r.path).status_code == 200]
        assert open_to_all == ["/", "/health"]


HALF = "Is it 4? \ud83d"  # half an emoji, as a client leaves it that cuts a text after so many UTF-16 units


def at_once(client, bodies):
    "Send all requests so close together that they make one batch"
    with ThreadPoolExecutor(len(bodies)) as pool: return list(pool.map(lambda body: client.post(body[0], content=json.dumps(body[1]), headers={"content-type": "application/json"}), bodies))


@pytest.fixture(scope="module")
def patient(folder):
    "The application in this process, which waits long enough for a batch of many"
    from fastapi.testclient import TestClient
    from custom_rm.serve import create_app, Limits
    with TestClient(create_app([folder], "cpu", limits=Limits(batch_seconds=.5)), raise_server_exceptions=False) as client: yield client


@pytest.mark.parametrize("path,body", [
    ("/get_reward", dict(query=["fine", HALF])), ("/pooling", dict(input=HALF)), ("/classify", dict(input=[HALF])), ("/v1/score/evaluation", dict(messages=[HALF])),
    ("/v1/score/evaluation", dict(messages=[dict(role="user", content=HALF), dict(role="assistant", content="a")])), ("/v1/score/evaluation", dict(messages=[dict(role="user", content=[dict(type="text", text=HALF)]), dict(role="assistant", content="a")])),
    ("/v1/score/evaluation", dict(messages=[dict(role=HALF, content="a")])), ("/rank", dict(prompt=HALF, responses=["a"])), ("/rank", dict(prompt="a", responses=[HALF])), ("/rank", dict(prompt="a", responses=[dict(role="assistant", content="a", tool_calls=[HALF])])),
    ("/get_reward", dict(query=["a"], model=HALF)),
])
def test_half_an_emoji_is_its_senders_fault_alone(patient, offline, path, body):
    good = [("/get_reward", dict(query=[text(i)], model="poetry")) for i in range(8)]
    *others, bad = at_once(patient, [*good, (path, body)])
    assert [answer.status_code for answer in others] == [200] * 8
    assert all(abs(answer.json()["rewards"][0] - offline["poetry", i]) < 1e-4 for i, answer in enumerate(others))
    assert bad.status_code in (404, 422) and isinstance(bad.json()["detail"], str) and "\n" not in bad.json()["detail"], bad.text


def test_a_pass_that_fails_is_answered_to_its_own_request(patient, offline, monkeypatch):
    from custom_rm import serve
    real = serve.score_texts
    def fails(rm, texts, *args, **kwargs):
        if any("burst" in text for text in texts): raise RuntimeError("it burst\nin many lines")
        return real(rm, texts, *args, **kwargs)
    monkeypatch.setattr(serve, "score_texts", fails)
    *others, bad = at_once(patient, [*(("/get_reward", dict(query=[text(i)])) for i in range(8)), ("/get_reward", dict(query=["burst"]))])
    assert [answer.status_code for answer in others] == [200] * 8 and abs(others[3].json()["rewards"][0] - offline["general", 3]) < 1e-4
    assert bad.status_code == 500 and "general" in bad.json()["detail"] and "it burst in many lines" in bad.json()["detail"]


@pytest.fixture
def shelf_of(folder, tmp_path):
    "A run to put more reward models into, and a client of it"
    import shutil
    from fastapi.testclient import TestClient
    from custom_rm.serve import create_app
    shutil.copytree(folder, tmp_path / "run")
    def more(name): shutil.copytree(folder / "news", tmp_path / "run" / name); return tmp_path / "run" / name
    with TestClient(create_app([tmp_path / "run"], "cpu"), raise_server_exceptions=False) as client: yield client, more


def test_a_model_of_nan_is_named_and_the_others_answer(shelf_of):
    from safetensors.torch import load_file, save_file
    client, more = shelf_of
    file = more("diverged") / "adapter_model.safetensors"
    save_file({key: value * float("nan") for key, value in load_file(file).items()}, file, metadata={"format": "pt"})
    ask = lambda path, **body: client.post(path, json=body)
    names = [model["id"] for model in client.get("/v1/models").json()["data"]]
    for path, body in (("/get_reward", dict(query=["a"])), ("/pooling", dict(input="a")), ("/v1/score/evaluation", dict(messages=["a"])), ("/rank", dict(prompt="a", responses=["b"]))):
        if "diverged" in names:  # it may also be refused when it is loaded
            answer = ask(path, model="diverged", **body)
            assert answer.status_code == 500 and "'diverged'" in answer.json()["detail"] and "NaN" in answer.json()["detail"], answer.text
        assert ask(path, model="news", **body).status_code == 200


@pytest.mark.parametrize("name", ["score", "train", "keys", "items", "v1.2", "news\ud83d".encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")])
def test_no_folder_name_stops_the_server(shelf_of, name):
    client, more = shelf_of
    more(name)
    for _ in range(2):
        models = client.get("/v1/models")
        assert models.status_code == 200, models.text
        ids = [model["id"] for model in models.json()["data"]]
        assert set(NAMES) <= set(ids) and (name in ids or len(models.json()["left_out"]) == 1)
    asked = client.post("/get_reward", json=dict(query=["a"], model="score" if name == "score" else "nobody"))
    assert asked.status_code in (200, 404)
    more("later")
    assert client.post("/get_reward", json=dict(query=["a"], model="later")).status_code == 200
    assert client.post("/get_reward", json=dict(query=["a"])).status_code == 200


@pytest.mark.parametrize("spoil", ["cut short", "no weights", "empty card", "null card", "no card", "another base's weights"])
def test_a_spoilt_artefact_is_left_out_until_it_is_mended(shelf_of, folder, spoil):
    import shutil
    from safetensors.torch import save_file
    import torch
    client, more = shelf_of
    place = more("late")
    weights, card = place / "adapter_model.safetensors", place / "reward_model.json"
    if spoil == "cut short": weights.write_bytes(weights.read_bytes()[:-100])
    elif spoil == "no weights": weights.unlink()
    elif spoil == "another base's weights": save_file({"base_model.model.other.weight": torch.zeros(2)}, weights)
    elif spoil == "no card": card.unlink(); card.mkdir()
    else: card.write_text({"empty card": "{}", "null card": "null"}[spoil])
    models = client.get("/v1/models").json()
    assert [model["id"] for model in models["data"]] == NAMES[:1] + sorted(NAMES[1:])
    if spoil != "no card": assert models["left_out"]["late"] and "\n" not in models["left_out"]["late"]
    assert client.post("/get_reward", json=dict(query=["a"], model="late")).status_code == 404
    shutil.rmtree(place)
    shutil.copytree(folder / "news", place)
    os.utime(place / "reward_model.json")
    assert client.post("/get_reward", json=dict(query=["a"], model="late")).status_code == 200
    assert not client.get("/v1/models").json()["left_out"]


def test_a_second_artefact_of_a_name_does_not_stop_the_list(folder, tmp_path):
    import shutil
    from fastapi.testclient import TestClient
    from custom_rm.serve import create_app
    with TestClient(create_app([folder, tmp_path], "cpu")) as client:
        shutil.copytree(folder / "news", tmp_path / "news")
        models = client.get("/v1/models").json()
        assert {model["id"] for model in models["data"]} == set(NAMES) and "same name" in "".join(models["left_out"].values())
