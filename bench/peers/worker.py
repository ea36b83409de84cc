# SPDX-License-Identifier: BSL-1.0
"""Times one peer beside ours on one case, in a process of its own, and writes one row as JSON.

Started by compare.py, which sets the environment; frameworks fight for threads when they share a
process, and a crash of one must not end the others.
"""

import json
import os
import statistics
import sys
import time
from importlib.metadata import version
from math import ceil, inf

TOLERANCE = 2e-4  # of the largest value of our answer; unit-normal data in fp32
PAUSE = 0.02  # seconds between slices, for waiting threads of the other side to go to sleep
LEAST_STREAM = 256 << 20
MOST_MEMORY = 2 << 30
MOST_CACHES = 1024


def largest_cache_bytes() -> int:
    """Of any cache of the first CPU; 0 if the system does not tell."""
    root = "/sys/devices/system/cpu/cpu0/cache"
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    sizes = [0]
    for entry in os.listdir(root) if os.path.isdir(root) else ():
        try:
            with open(f"{root}/{entry}/size") as file:
                text = file.read().strip()
            sizes.append(int(text[:-1]) * units[text[-1]])
        except (OSError, KeyError, ValueError):
            pass
    return max(sizes)


def cache_copies(case) -> int:
    """How many caches are attended in turn, so that decode and append read memory and not L3."""
    if not case.memory_bound:
        return 1
    enough = ceil(max(LEAST_STREAM, 4 * largest_cache_bytes()) / case.bytes)
    return max(1, min(enough, MOST_CACHES, MOST_MEMORY // case.kv_bytes(case.kv_len)))


def make_inputs(case, copies: int):
    """Unit-normal q and caches; k and v are [kv_len, kv_heads, dim], in memory as the case says."""
    import numpy as np

    random = np.random.default_rng(20240607)

    def rows(dim):
        if case.layout == "tokens":
            return random.standard_normal((case.kv_len, case.kv_heads, dim), np.float32)
        by_head = random.standard_normal((case.kv_heads, case.kv_len, dim), np.float32)
        return by_head.transpose(1, 0, 2)

    q = random.standard_normal((case.q_len, case.q_heads, case.dim), np.float32)
    return q, [(rows(case.dim), rows(case.v_dim)) for _ in range(copies)]


def largest_difference(ours, theirs, copies: int) -> float:
    """Relative to the largest value of our answers, over the first and the last cache."""
    import numpy as np

    worst = 0.0
    for copy in sorted({0, copies - 1}):
        ours.run(copy)
        theirs.run(copy)
        expected, got = ours.answer(), theirs.answer()
        if got.shape != expected.shape or not np.isfinite(got).all():
            return inf
        worst = max(worst, float(np.abs(got - expected).max() / np.abs(expected).max()))
    return worst


class Timer:
    """Seconds per call of one side, slice by slice, going round the caches."""

    def __init__(self, side, copies: int, threads: int):
        self._side = side
        self._copies = copies
        self._threads = threads
        self._next = 0
        self._wall = self._cpu = 0.0

    def slice(self, seconds: float) -> float:
        time.sleep(PAUSE)
        calls = 0
        wall, cpu = time.perf_counter(), time.process_time()
        while True:
            self._side.run(self._next)
            self._next = (self._next + 1) % self._copies
            calls += 1
            wall_taken, cpu_taken = time.perf_counter() - wall, time.process_time() - cpu
            if wall_taken >= seconds:
                break
        self._wall += wall_taken
        self._cpu += cpu_taken
        # A single thread's work is timed in CPU time, which other programs on the CPU do not stretch.
        return (cpu_taken if self._threads == 1 else wall_taken) / calls

    def cpus_used(self) -> float:
        """CPU time by wall time over all slices: less than the threads where some had to wait."""
        return self._cpu / self._wall


def alternate(ours, theirs, rounds: int, seconds: float) -> dict:
    """Slices in turns. A ratio is taken within a round, where the machine was in one state."""
    pairs = [(ours.slice(seconds), theirs.slice(seconds)) for _ in range(rounds)]
    ratios = [their / our for our, their in pairs]
    return {
        "our_seconds": statistics.median(our for our, _ in pairs),
        "peer_seconds": statistics.median(their for _, their in pairs),
        "ratio": statistics.median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
        "our_cpus_used": ours.cpus_used(),
        "peer_cpus_used": theirs.cpus_used(),
        "rounds": [{"our_seconds": our, "peer_seconds": their} for our, their in pairs],
    }


def rates(case, row: dict) -> dict:
    return {
        f"{side}_{unit}": amount / row[f"{side}_seconds"] / 1e9
        for side in ("our", "peer")
        for unit, amount in (("gflops", case.flops), ("gb_per_s", case.bytes))
    }


def compare(job: dict) -> dict:
    """The row of a job; raises whatever the peer raises."""
    import adapters
    from cases import parse_case
    from oriel import Oriel

    case = parse_case(job["case"])
    try:
        theirs = adapters.load(job["peer"])
    except ImportError as missing:
        return {"status": "skipped", "reason": f"not installed: {missing}"}
    row = {
        "storage": theirs.storage,
        "versions": {package: version(package) for package in theirs.packages},
    }
    if reason := theirs.supports(case):
        return row | {"status": "skipped", "reason": reason}
    copies = cache_copies(case)
    q, caches = make_inputs(case, copies)
    ours = Oriel(job["library"])
    for side in (ours, theirs):
        side.prepare(case, q, caches)
    difference = largest_difference(ours, theirs, copies)
    row |= {"difference": difference if difference < inf else None, "caches": copies}
    if not difference <= TOLERANCE:
        return row | {
            "status": "wrong",
            "reason": f"the answers differ by {difference:.1e} of the largest value",
        }
    our_timer, their_timer = (Timer(side, copies, case.threads) for side in (ours, theirs))
    row |= alternate(our_timer, their_timer, job["rounds"], job["slice_seconds"])
    return row | rates(case, row) | {"status": "compared"}


def main():
    job = json.loads(sys.argv[1])
    os.sched_setaffinity(0, job["cpus"])  # before any library counts CPUs or starts threads
    row = compare(job)
    with open(job["result"], "w") as file:
        json.dump(row, file)


if __name__ == "__main__":
    main()
