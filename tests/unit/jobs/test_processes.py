"""No helper of a job outlives it."""

import json
import signal
import subprocess
import sys
import time

import psutil


def test_helpers_end_with_the_process_that_forked_them(root):
    code = (
        f"import sys; sys.path.insert(0, {str(root / 'workflow/scripts')!r})\n"
        "import concurrent.futures, json, multiprocessing, time\n"
        "from convexprune.jobs import processes\n"
        "fork = multiprocessing.get_context('fork')\n"
        "pool = concurrent.futures.ProcessPoolExecutor(2, fork, processes.end_with_parent)\n"
        "list(pool.map(abs, range(9)))\n"
        "print(json.dumps(list(pool._processes)), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        helpers = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in helpers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether the process is there, and not only as an entry that its parent has not read yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
