"""A server under load: `python bench/load.py FOLDER` writes results/use/load.json.

Starts `custom-rm serve` on loopback with a run's reward models, asks it one request at a time, then with many clients at once, and compares every answer with the
offline score. Texts are short, so that thousands of requests take minutes on a CPU.
"""
import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import httpx


def text(i: int) -> str: return f"## Human:\nHow should one begin day {i % 25}?\n\n## Assistant:\n{['Slowly', 'With tea', 'With a plan', 'With a song', 'Not at all'][i % 5]}, {i}."


def ask(http, address: str, rng, names, texts: int) -> tuple[str, list[int], list[float]]:
    name, rows = rng.choice(names), [rng.randrange(texts) for _ in range(rng.randint(1, 2))]
    path, body, read = rng.choice([("/get_reward", dict(query=[text(i) for i in rows]), lambda r: r["rewards"]), ("/v1/score/evaluation", dict(messages=[text(i) for i in rows]), lambda r: r["scores"]),
                                   ("/pooling", dict(input=[text(i) for i in rows]), lambda r: [d["data"][0] for d in r["data"]]), ("/classify", dict(input=[text(i) for i in rows]), lambda r: [d["probs"][0] for d in r["data"]])])
    answer = http.post(address + path, json=dict(body, model=name))
    answer.raise_for_status()
    return name, rows, read(answer.json())


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("folder", type=Path, help="a run's folder")
    p.add_argument("--clients", type=int, default=32)
    p.add_argument("--requests", type=int, default=2016)
    p.add_argument("--alone", type=int, default=200, help="requests one at a time")
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "use" / "load.json")
    a = p.parse_args()
    from custom_rm.evaluate import write_report
    from custom_rm.core import versions
    from custom_rm.trunk import default_device, device_name
    from custom_rm.scoring import Scorer
    from custom_rm.serve import artefacts
    there, n = artefacts([a.folder]), 200
    table = Scorer.load(list(there.values())).score([text(i) for i in range(n)])
    offline = {(name, i): float(table[i, j] if table.ndim == 2 else table[i]) for j, name in enumerate(there) for i in range(n)}
    spread = float(table.std())
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "custom_rm.cli", "serve", str(a.folder), "--port", str(port)])
    address = f"http://127.0.0.1:{port}"
    for _ in range(1200):
        try:
            if httpx.get(address + "/health").status_code == 200: break
        except httpx.HTTPError: time.sleep(.1)
    with httpx.Client(timeout=600) as http:  # every reward model once, so that nobody pays for the first pass
        for name in there: http.post(address + "/get_reward", json=dict(query=[text(0)], model=name))
    worst, texts = 0.0, [0, 0]

    def client(c: int, requests: int, kind: int) -> float:
        rng, off = random.Random(f"{kind}/{c}"), 0.0
        with httpx.Client(timeout=600) as http:
            for _ in range(requests):
                name, rows, rewards = ask(http, address, rng, list(there), n)
                assert len(rows) == len(rewards)
                off = max(off, *(abs(r - offline[name, i]) for i, r in zip(rows, rewards))); texts[kind] += len(rows)
        return off

    start = time.perf_counter(); worst = client(0, a.alone, 0); alone = time.perf_counter() - start
    print(f"one at a time: {a.alone / alone:.1f} requests, {texts[0] / alone:.1f} texts a second", flush=True)
    start = time.perf_counter()
    with ThreadPoolExecutor(a.clients) as pool: worst = max(worst, *pool.map(lambda c: client(c, a.requests // a.clients, 1), range(a.clients)))
    together = time.perf_counter() - start
    served = {l.split()[0]: float(l.split()[1]) for l in httpx.get(address + "/metrics").text.splitlines() if not l.startswith("#")}
    server.send_signal(signal.SIGTERM); code = server.wait(60)
    found = dict(clients=a.clients, requests=a.requests // a.clients * a.clients, models=list(there), requests_per_second=a.requests // a.clients * a.clients / together, requests_per_second_alone=a.alone / alone,
                 times=(a.requests // a.clients * a.clients / together) / (a.alone / alone), largest_difference=worst, spread=spread, batches=served["custom_rm_batches_total"], exit_code=code,
                 device=device_name(default_device()), versions=versions(), date=str(date.today()))
    print(json.dumps({k: v for k, v in found.items() if k != "versions"}))
    a.out.parent.mkdir(parents=True, exist_ok=True); write_report(a.out, found)
