"Each way through the attention fails on purpose: the next is taken, with one line, and the rewards and gradients stay the same."
import logging

import pytest
import torch
import torch.nn.attention.flex_attention as flex
from torch.nn.attention.flex_attention import create_block_mask

import custom_rm.attention as attention
from custom_rm.attention import by_flex, by_stretches, Heads, kernel_error, kernel_fault
from custom_rm.packing import Layout

LAYOUTS = [Layout([(70, [60, 40, 50]), (30, [40, 20])]), Layout([(0, [200, 1, 130]), (300, []), (1, [1] * 9)]),
           Layout([(128, [128, 128]), (5, [7])]), Layout([(1, [])])]
WARNING = "ignore:.*flex_attention called without torch.compile.*:UserWarning"
pytestmark = pytest.mark.filterwarnings(WARNING)


@pytest.fixture
def flexible(monkeypatch):
    "A CPU counts as a card that FlexAttention is for, and goes backward uncompiled"
    monkeypatch.setattr(flex, "_validate_device", lambda *_: None)
    monkeypatch.setattr(attention, "_against_card", lambda device: "")
    monkeypatch.setattr(attention, "_GIVEN_UP", {})
    attention.known_fault.cache_clear()
    yield
    attention.known_fault.cache_clear()


def flex_by(way, monkeypatch):
    "FlexAttention's kernel is another function"
    monkeypatch.setattr(attention, "_flex", lambda kind: way)


# masks

@pytest.mark.parametrize("layout", LAYOUTS, ids=range(len(LAYOUTS)))
@pytest.mark.parametrize("more", [0, 256])
def test_block_mask_is_pytorchs_own(layout, more):
    n = attention._room(sum(layout.stretches)) + more
    ours, theirs = attention._block_mask(layout, n, "cpu"), create_block_mask(attention._rule(layout, n, "cpu"), None, None, n, n, device="cpu")
    assert torch.equal(ours.to_dense(), theirs.to_dense()) and ours.shape == theirs.shape
    for kind in ("kv", "q", "full_kv", "full_q"):
        counts, order = (getattr(ours, f"{kind}_{part}") for part in ("num_blocks", "indices"))
        assert torch.equal(counts, getattr(theirs, f"{kind}_num_blocks")) and counts.dtype == order.dtype == torch.int32
        for mine, other, count in zip(order[0, 0], getattr(theirs, f"{kind}_indices")[0, 0], counts[0, 0]): assert torch.equal(mine[:count], other[:count])


def test_block_mask_of_a_long_row_is_small():
    "16,384 tokens: a byte for each pair would be 268 MB"
    sizes = []
    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **kwargs or {})
            if isinstance(out, torch.Tensor): sizes.append(out.numel() * out.element_size())
            return out
    layout = Layout([(1000, [500] * 6), (384, [1000] * 12)])
    with Watch(): mask = attention._block_mask(layout, 16384, "cpu")
    assert mask.shape == (1, 1, 16384, 16384) and max(sizes) < 2**24, max(sizes)
    assert attention._block_mask(layout, 16384, "cpu") is mask


# kernels

@pytest.mark.parametrize("heads, dtype", [(Heads(9, 3, 64), torch.bfloat16), (Heads(8, 8, 32, 16), torch.float32), (Heads(4, 2, 8), torch.float16), (Heads(4, 1, 40, scale=.3), torch.float32)], ids=str)
def test_both_kernels_are_right_where_they_are(heads, dtype, flexible):
    for way in (by_flex, by_stretches): assert kernel_fault(way, heads, dtype) == "", way.__name__


@pytest.mark.parametrize("heads", [Heads(4, 2, 16, softcap=5.), Heads(4, 2, 16, sinks=True), Heads(4, 2, 16, window=30), Heads(4, 2, 16, softcap=20., window=4096)], ids=str)
def test_stretches_with_what_some_models_ask_for(heads):
    assert kernel_error(by_stretches, heads) < 1e-4
    forgetful = lambda *args, softcap=None, sinks=None, window=None, **options: by_stretches(*args, **options)
    assert kernel_fault(forgetful, heads)


class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, above): return above * float("nan")


FAULTS = {
    "raises": (lambda kernel: lambda *args, **options: (_ for _ in ()).throw(RuntimeError("No valid triton configs. OutOfResources: out of resource: shared memory")), "shared memory"),
    "not there": (lambda kernel: lambda *args, **options: (_ for _ in ()).throw(NotImplementedError("NYI: flex on this device")), "NotImplementedError"),
    "leaks": (lambda kernel: lambda q, k, v, block_mask, **options: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, **options), "off by"),
    "NaN on the way back": (lambda kernel: lambda q, *args, **options: kernel(Broken.apply(q), *args, **options), "off by inf"),
    "half on the way back": (lambda kernel: lambda q, *args, **options: kernel((q + q.detach()) / 2, *args, **options), "off by"),
}


def model(home, **options):
    from custom_rm.model import LoRA, RewardModel
    rm = RewardModel(home / "tiny", quantize=False, lora=LoRA(4, 8), max_length=64, device="cpu", **options).add_adapter("x")
    with torch.no_grad():
        for name, p in rm.named_parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))) * .2)
    return rm


def said(caplog): return [r.getMessage() for r in caplog.records if r.name == "custom_rm"]


def close(found, expected): return float((found - expected).norm() / expected.norm()) < 1e-5


def learnt(rm, record):
    "Rewards and gradients of a step"
    rm.zero_grad()
    rewards = rm.train()(**rm.batch([record]))["rewards"]
    (rewards * torch.arange(1., len(rewards) + 1)).sum().backward()
    return torch.cat([rewards.detach(), *(p.grad.flatten() for p in rm.parameters() if p.grad is not None)])


@pytest.fixture(scope="module")
def right(home):
    from custom_rm.packing import encode
    from conftest import text
    rm = model(home)
    record = encode([text(1, answer) for answer in ("It is 2.", "It is 2!!!", "No idea...")], rm.tokenizer, 64)
    return record, learnt(rm, record)


@pytest.mark.parametrize("fault", FAULTS)
def test_flex_that_fails_leaves_stretches(fault, home, right, flexible, monkeypatch, caplog):
    record, expected = right
    (broken, words), kernel = FAULTS[fault], attention._flex("cpu")
    flex_by(broken(kernel), monkeypatch)
    rm = model(home)
    assert (rm.trees, rm.way) == (True, "stretch by stretch") and rm.trunk.config._attn_implementation == attention.NAME
    assert len(rm.notes) == 1 and words in rm.notes[0] and rm.notes[0].endswith("trees go stretch by stretch") and "\n" not in rm.notes[0]
    assert torch.equal(learnt(rm, record), expected) and not said(caplog)


def test_flex_that_works_is_taken(home, right, flexible):
    record, expected = right
    rm = model(home)
    assert (rm.way, rm.why_way, rm.notes) == ("FlexAttention", "", []) and rm.trunk.config._attn_implementation == attention.FLEX
    assert close(learnt(rm, record), expected)


@pytest.mark.parametrize("error", [RuntimeError("/usr/lib/x.py: recompile_limit reached\nlong story"), AssertionError()])
def test_flex_that_fails_later_leaves_stretches(error, home, right, flexible, monkeypatch, caplog):
    "Tried well when the model was loaded, it fails at work: one line, not a second for the next layer, row or model"
    record, expected = right
    rm = model(home)
    def broken(*args, **options): raise error
    flex_by(broken, monkeypatch)
    with caplog.at_level(logging.WARNING, "custom_rm"):
        assert close(learnt(rm, record), expected) and close(learnt(rm, record), expected)
    line, = said(caplog)
    assert type(error).__name__ in line and "\n" not in line and "/home" not in line
    assert model(home).way == "stretch by stretch"


def test_full_memory_is_told_as_it_is(home, right, flexible, monkeypatch):
    rm = model(home)
    def full(*args, **options): raise torch.OutOfMemoryError("CUDA out of memory")
    flex_by(full, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError): learnt(rm, right[0])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_stretches_that_fail_leave_rectangles(dtype, home, right, monkeypatch):
    import custom_rm.model as models
    def nan(*args, **options): return by_stretches(*args, **options) * float("nan")
    monkeypatch.setattr(models, "by_stretches", nan)
    rm = model(home, dtype=dtype)
    assert (rm.trees, rm.way) == (False, "rectangles") and dtype in rm.why and "off by inf" in rm.why
    assert rm.trunk.config._attn_implementation not in (attention.NAME, attention.FLEX)
    rewards = rm(**rm.batch([right[0]]))["rewards"]
    assert rewards.isfinite().all()


@pytest.mark.parametrize("capability, expected", [((7, 5), "here is 7.5"), ((8, 0), ""), ((9, 0), "")])
def test_older_cards_try_nothing(capability, expected, monkeypatch):
    "Below 8.0 nothing is compiled, and nothing is said: it is no failure"
    tried = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(attention, "known_fault", lambda way, *args: tried.append(way) or "")
    why, failed = attention.no_flex([Heads(9, 3, 64)], torch.float16, torch.device("cuda", 0))
    assert expected in why and bool(why) == bool(expected) and (failed, len(tried)) == ((True, 1) if not expected else (False, 0))


def test_caps_and_sinks_are_not_for_flex(flexible):
    assert "caps" in attention.no_flex([Heads(4, 2, 16, softcap=5.), Heads(4, 2, 16, sinks=True)], torch.float32, torch.device("cpu"))[0]
    assert attention.no_flex([Heads(4, 2, 16), Heads(4, 2, 16, sinks=True)], torch.float32, torch.device("cpu")) == ("", True)


# compilations

@pytest.fixture
def compiled(monkeypatch, flexible):
    "FlexAttention compiled as for a card, with a backend that a CPU has, and the number of its compilations"
    import torch._dynamo as dynamo
    from torch._dynamo.utils import counters
    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: whole(function, backend="aot_eager", **options))
    dynamo.reset()
    counters.clear()
    before = dynamo.config.recompile_limit
    way = attention._flex.__wrapped__("cuda")
    assert dynamo.config.recompile_limit >= 64
    flex_by(way, monkeypatch)
    yield lambda: counters["stats"]["unique_graphs"]
    dynamo.config.recompile_limit = before
    dynamo.reset()


def row(n, dtype=torch.float32, gradients=False):
    return [torch.randn(1, heads, n, 16, dtype=dtype, requires_grad=gradients) for heads in (6, 3, 3)]


def test_lengths_are_not_compiled_for(compiled):
    "What the trial compiles serves rows of any length"
    assert kernel_fault(by_flex, Heads(6, 3, 16)) == "" and compiled() == 1
    for n in (20, 255, 256, 257, 640, 1000): by_flex(*row(n, gradients=True), Layout([(10, [n - 15, 5])]))
    assert compiled() <= 2, "256 tokens may be one more"
    with torch.no_grad():
        for n in (700, 20, 1100): by_flex(*row(n), Layout([(10, [n - 15, 5])]))
    assert compiled() <= 4


def test_too_many_compilations_are_said_once(compiled, caplog):
    import torch._dynamo.config as config
    layout = Layout([(100, [150, 150])])
    with config.patch(recompile_limit=1), torch.no_grad(), caplog.at_level(logging.WARNING, "custom_rm"):
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float32):
            x = row(400, dtype)
            assert torch.allclose(attention._flex_or_stretches(*x, layout, None), by_stretches(*x, layout), atol=2e-2)
    line, = said(caplog)
    assert "RecompileLimit" in line or "uncompiled" in line


def test_uncompiled_it_refuses(flexible, monkeypatch):
    "With TorchDynamo switched off, all scores would be computed in memory"
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    with pytest.raises(RuntimeError, match="uncompiled"): attention._flex.__wrapped__("cuda")(*row(256))


def test_heads_are_repeated_where_sdpa_would_be_slow(monkeypatch):
    calls, real = [], attention.sdpa
    monkeypatch.setattr(attention, "sdpa", lambda q, k, v, **options: calls.append((k.shape[1], options["enable_gqa"])) or real(q, k, v, **options))
    layout, x = Layout([(10, [10, 10])]), row(30)
    expected = by_stretches(*x, layout)
    assert calls == [(3, True)] * 3
    calls.clear()
    monkeypatch.setattr(attention, "_shares_heads", lambda device, masked, real=attention._shares_heads: real("cuda", masked))
    assert torch.allclose(by_stretches(*x, layout), expected, atol=1e-6)
    assert calls == [(3, True), (6, False), (6, False)]
