# SPDX-License-Identifier: BSL-1.0
"""Cases in the words of oriel_bench --case (bench/case.hpp), but for masks and scores that no peer
has: those are refused."""

from dataclasses import dataclass

DEFAULT_CASES = (
    "prefill mask=causal len=8192 heads=8:2 dim=128 threads=1",
    "prefill mask=causal len=2048 heads=8:2 dim=128 threads=1",
    "prefill mask=causal+window:1024 len=8192 heads=8:2 dim=128 threads=1",
    "append len=16 kv=4096 heads=32:8 dim=128 threads=1",
    "decode kv=4096 heads=32:8 dim=128 threads=1",
    "decode kv=32768 heads=32:8 dim=128 threads=1",
    "prefill mask=causal len=8192 heads=8:2 dim=128 threads=2",
    "decode kv=32768 heads=32:8 dim=128 threads=2",
)

_WORDS = ("storage", "mask", "len", "kv", "heads", "dim", "vdim", "threads", "layout", "source")


class BadCase(ValueError):
    """A case that can't be read; names the word at fault."""


@dataclass(frozen=True)
class Case:
    """q_len queries at the end of kv_len keys."""

    text: str
    kind: str
    q_len: int
    kv_len: int
    q_heads: int
    kv_heads: int
    dim: int
    v_dim: int
    causal: bool
    window: int | None
    layout: str
    source: str
    threads: int

    @property
    def memory_bound(self) -> bool:
        return self.kind != "prefill"

    @property
    def first_query(self) -> int:
        """Position of the first query."""
        return self.kv_len - self.q_len

    @property
    def first_key(self) -> int:
        """Position of the first key that any query sees."""
        return 0 if self.window is None else max(0, self.first_query - self.window + 1)

    @property
    def visible_pairs(self) -> int:
        """(query, key) pairs of one query head."""
        pairs = 0
        for query in range(self.first_query, self.kv_len):
            end = query + 1 if self.causal else self.kv_len
            begin = 0 if self.window is None else max(0, query - self.window + 1)
            pairs += end - begin
        return pairs

    @property
    def flops(self) -> int:
        return 2 * (self.dim + self.v_dim) * self.q_heads * self.visible_pairs

    @property
    def bytes(self) -> int:
        """Bytes of the fp32 K and V rows that at least one query sees."""
        return self.kv_bytes(self.kv_len - self.first_key)

    def kv_bytes(self, keys: int) -> int:
        return 4 * keys * self.kv_heads * (self.dim + self.v_dim)


def _number(words: dict, key: str, otherwise: int | None = None) -> int:
    if key not in words:
        if otherwise is None:
            raise BadCase(f"'{key}=': is missing")
        return otherwise
    return _positive(words[key], f"{key}={words[key]}")


def _positive(digits: str, word: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or int(digits) < 1:
        raise BadCase(f"'{word}': must be a number of at least 1")
    return int(digits)


def _choice(words: dict, key: str, choices: tuple, otherwise: str) -> str:
    value = words.get(key, otherwise)
    if value not in choices:
        raise BadCase(f"'{key}={value}': must be {' or '.join(choices)}")
    return value


def _mask(text: str) -> tuple[bool, int | None]:
    """Is it causal, and its window."""
    terms = text.split("+")
    names = [term.split(":")[0] for term in terms]
    if len(set(names)) != len(names) or ("full" in names and len(names) > 1):
        raise BadCase(f"'mask={text}': full stands alone, and no term is there twice")
    window = None
    for term in terms:
        if term.startswith("window:"):
            window = _positive(term.removeprefix("window:"), term)
        elif term not in ("full", "causal"):
            raise BadCase(f"'{term}': not a mask term here (full, causal, window:N)")
    return "causal" in names, window


def _lengths(kind: str, words: dict) -> tuple[int, int]:
    for unwanted in {"prefill": ("kv",), "decode": ("len",)}.get(kind, ()):
        if unwanted in words:
            raise BadCase(f"'{unwanted}={words[unwanted]}': {kind} does not take it")
    if kind == "prefill":
        length = _number(words, "len")
        return length, length
    q_len = 1 if kind == "decode" else _number(words, "len")
    kv_len = _number(words, "kv")
    if q_len > kv_len:
        raise BadCase(f"'len={q_len}': exceeds kv=, which counts the new keys too")
    return q_len, kv_len


def parse_case(text: str) -> Case:
    kind, *rest = text.split() or [""]
    if kind not in ("prefill", "append", "decode"):
        raise BadCase(f"'{text}': a case begins with prefill, append or decode")
    words: dict[str, str] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if key not in _WORDS or not equals:
            raise BadCase(f"'{word}': unknown word")
        if key in words:
            raise BadCase(f"'{word}': given twice")
        words[key] = value
    _choice(words, "storage", ("f32",), "f32")
    causal, window = _mask(words.get("mask", "causal"))
    q_len, kv_len = _lengths(kind, words)
    heads = words.get("heads", "").split(":")
    if len(heads) != 2:
        raise BadCase("'heads=': must be query heads:kv heads, as in 8:2")
    q_heads, kv_heads = (_positive(part, f"heads={words['heads']}") for part in heads)
    if q_heads % kv_heads != 0:
        raise BadCase(f"'heads={words['heads']}': query heads must be a multiple of kv heads")
    dim = _number(words, "dim")
    usual_layout = "tokens" if kind == "prefill" else "heads"
    return Case(
        text=text,
        kind=kind,
        q_len=q_len,
        kv_len=kv_len,
        q_heads=q_heads,
        kv_heads=kv_heads,
        dim=dim,
        v_dim=_number(words, "vdim", dim),
        causal=causal,
        window=window,
        layout=_choice(words, "layout", ("tokens", "heads"), usual_layout),
        source=_choice(words, "source", ("contiguous", "rolling"), "contiguous"),
        threads=_number(words, "threads", 1),
    )
