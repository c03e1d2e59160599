"Anything may be fed to the readers of records, to packing and to the server: what is wrong ends in the documented error and nothing else."
import json

import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings, strategies as st

settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.load_profile("ci")

text = st.text(max_size=30)
anything = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | text, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.sampled_from(["text", "score", "prompt", "query", "model", "messages", "input", "responses"]) | text, x, max_size=4), max_leaves=12)
near = st.fixed_dictionaries({"text": st.lists(text, max_size=4) | anything, "score": st.lists(st.floats() | st.integers(-9, 9), max_size=4) | anything})


@given(st.lists(near | anything, max_size=4), st.sampled_from(["a.json", "a.jsonl"]))
def test_records(tmp_path_factory, values, name):
    "Reading gives records or a DataError; what is a record by the documentation is read."
    from custom_rm.core import DataError
    from custom_rm.records import read_records
    path = tmp_path_factory.mktemp("r") / name
    path.write_text(json.dumps(values) if name == "a.json" else "".join(json.dumps(v) + "\n" for v in values), encoding="utf-8")
    try: found = list(read_records(path))
    except DataError as e: assert str(e) and "\n" not in str(e)
    else:
        assert len(found) == len(values)
        assert all(len(r["text"]) == len(r["score"]) >= 2 and all(s == s for s in r["score"]) for r in found)


@given(st.binary(max_size=60), st.sampled_from(["a.json", "a.jsonl", "a.json.gz"]))
def test_bytes(tmp_path_factory, content, name):
    from custom_rm.core import DataError
    from custom_rm.records import read_records
    path = tmp_path_factory.mktemp("b") / name
    path.write_bytes(content)
    try: list(read_records(path))
    except DataError as e: assert "\n" not in str(e)


tokens = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@given(st.lists(st.lists(tokens, min_size=2, max_size=6), min_size=1, max_size=5))
def test_packing(lists):
    "Every text of every record can be read back from the row, in order and whole; no token is there twice that could be shared."
    from custom_rm.packing import grow, pack
    made = pack([dict(input_ids=t) for t in lists])
    row, positions, last = made["input_ids"][0].tolist(), made["position_ids"][0].tolist(), made["last"].tolist()
    flat = [t for ts in lists for t in ts]
    assert len(last) == len(flat)
    assert all(row[at] == t[-1] and positions[at] == len(t) - 1 for at, t in zip(last, flat))
    assert sum(len(grow(t).ids) for t in lists) <= len(row) and sum(n for n in made["layout"].stretches) == len(row)
    assert len(row) <= sum(map(len, flat))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from fastapi.testclient import TestClient
    from custom_rm.model import RewardModel
    from custom_rm.serve import create_app
    from custom_rm.tiny import tiny_base
    home = tmp_path_factory.mktemp("serve")
    RewardModel(tiny_base(home / "tiny"), quantize=False, max_length=32).add_adapter("one").save(home / "one")
    with TestClient(create_app([home / "one"])) as c: yield c


@given(st.sampled_from(["/get_reward", "/v1/score/evaluation", "/classify", "/pooling", "/rank"]),
       anything | st.fixed_dictionaries({"query": st.lists(text, max_size=3), "messages": st.lists(text | anything, max_size=2), "input": text | st.lists(text, max_size=3), "prompt": text, "responses": st.lists(text, max_size=2), "model": st.none() | text}))
def test_server(client, path, body):
    try: content = json.dumps(body)
    except (ValueError, UnicodeEncodeError): return
    answer = client.post(path, content=content.encode("utf-8", "surrogatepass"), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 404, 413, 422), (answer.status_code, answer.text)
    assert answer.json() and client.get("/health").status_code == 200
