# SPDX-License-Identifier: BSL-1.0
"""Other people's CPU attention beside oriel's, on the same cases: see README.md."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import oriel
from adapters import ADAPTERS
from cases import DEFAULT_CASES, BadCase, Case, parse_case
from worker import TOLERANCE, largest_cache_bytes

HERE = Path(__file__).resolve().parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def describe_session(options) -> dict:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "largest_cache_bytes": largest_cache_bytes(),
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "oriel_peer": oriel.describe(options.library),
        "rounds": options.rounds,
        "slice_seconds": options.slice_ms / 1000,
        "tolerance": TOLERANCE,
    }


def worker_environment(threads: int) -> dict:
    return os.environ | {
        **{name: str(threads) for name in THREAD_VARIABLES},
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(HERE),
    }


def last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"


def run_worker(job: dict, threads: int, timeout: float) -> dict:
    """The row of a job; whatever happens to its process becomes a row too."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "row.json"
        words = json.dumps(job | {"result": str(result)})
        try:
            done = subprocess.run(
                [sys.executable, str(HERE / "worker.py"), words],
                env=worker_environment(threads),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return {"status": "failed", "reason": f"took longer than {timeout:g} s"}
        if done.returncode != 0 or not result.exists():
            why = f"exit {done.returncode}: {last_words(done.stderr)}"
            return {"status": "failed", "reason": why}
        return json.loads(result.read_text())


def compare_pair(case: Case, peer: str, options) -> dict:
    head = {"case": case.text, "peer": peer}
    if case.source == "rolling":
        return head | {"status": "skipped", "reason": "peers have no rolling cache"}
    if case.threads > len(options.cpus):
        return head | {"status": "skipped", "reason": f"only {len(options.cpus)} CPUs allowed"}
    job = head | {
        "library": options.library,
        "rounds": options.rounds,
        "slice_seconds": options.slice_ms / 1000,
        "cpus": options.cpus[: case.threads],
    }
    return head | run_worker(job, case.threads, options.timeout)


def rate(row: dict, side: str, memory_bound: bool) -> str:
    unit, key = ("GB/s", "gb_per_s") if memory_bound else ("GFLOP/s", "gflops")
    return f"{row[f'{side}_{key}']:.3g} {unit}"


TABLE_HEAD = (
    "| case | peer | oriel | peer | peer's time / oriel's (least to most) | CPUs used | difference |\n"
    "|---|---|---|---|---|---|---|"
)


def table_row(row: dict) -> str:
    if row["status"] != "compared":
        return f"| {row['case']} | {row['peer']} | | | {row['status']}: {row['reason']} | | |"
    memory_bound = row["case"].startswith("decode")
    rates = " | ".join(rate(row, side, memory_bound) for side in ("our", "peer"))
    ratio = f"**{row['ratio']:.2f}** ({row['ratio_least']:.2f} to {row['ratio_most']:.2f})"
    cpus = f"{row['our_cpus_used']:.2f}, {row['peer_cpus_used']:.2f}"
    cells = (row["case"], row["peer"], rates, ratio, cpus, f"{row['difference']:.0e}")
    return f"| {' | '.join(cells)} |"


def choose_peers(wanted: list[str] | None) -> list[str]:
    """Peers of which a part of the name was given; all without any."""
    if not wanted:
        return list(ADAPTERS)
    chosen = [name for name in ADAPTERS if any(part.lower() in name.lower() for part in wanted)]
    if not chosen:
        raise SystemExit(f"compare.py: no such peer: there are {', '.join(ADAPTERS)}")
    return chosen


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True, help="liboriel_peer.so")
    parser.add_argument("--case", action="append", help="as of oriel_bench; may be repeated")
    parser.add_argument("--peer", action="append", help="part of a peer's name; may be repeated")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slice-ms", type=float, default=50, help="least length of a slice")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one peer and case")
    parser.add_argument(
        "--cpus",
        type=lambda text: list(dict.fromkeys(int(cpu) for cpu in text.split(","))),
        default=sorted(os.sched_getaffinity(0)),
        help="CPUs to use, as in 0,2; a case is pinned to the first of them (default: all allowed)",
    )
    return parser.parse_args()


def main():
    options = parse_options()
    options.library = str(Path(options.library).resolve())
    if not Path(options.library).exists():
        raise SystemExit(f"compare.py: there is no {options.library}: run.sh builds it")
    peers = choose_peers(options.peer)
    try:
        cases = [parse_case(text) for text in options.case or DEFAULT_CASES]
    except BadCase as fault:
        raise SystemExit(f"compare.py: {fault}") from None
    report = describe_session(options) | {"results": []}
    print(f"{report['cpu']}, {report['cpus']} CPUs; {report['oriel_peer']}; {report['date']}\n")
    print(TABLE_HEAD, flush=True)
    for case in cases:
        for peer in peers:
            row = compare_pair(case, peer, options)
            report["results"].append(row)
            print(table_row(row), flush=True)
            if options.json:  # after every row: a long session may be interrupted
                options.json.write_text(json.dumps(report, indent=1) + "\n")
    used = {p: v for row in report["results"] for p, v in row.get("versions", {}).items()}
    if used:
        print("\n" + ", ".join(" ".join(pair) for pair in sorted(used.items())))


if __name__ == "__main__":
    main()
