"""Steps of a build: a command that runs once for all that decides its result.

Every step writes its key (the hash of all that decides its result) and the hashes of what it made,
so a second run with the same inputs does nothing, and a killed run goes on where it stopped.
Steps run in the output folder on relative paths: what they make does not depend on where it is.
"""

import fcntl
import hashlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ..sim.container import file_sha256, write_whole
from ..sim.exceptions import ToolError

log = logging.getLogger(__name__)

_PAUSE_S = 0.1
_running: set[subprocess.Popen[bytes]] = set()

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder; nobody else works in it meanwhile, who does is waited for."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = (folder / ".lock").open("a")
    except OSError:  # where nothing can be written, as all may be done already
        yield
        return
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting: another process builds in %s", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def step(
    out_dir: Path,
    name: str,
    command: list[str],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    tools: Mapping[str, str],
) -> float:
    """Run a command unless what it makes is there already; seconds that it took when it ran."""
    hashed = [command[1:], dict(tools), {path.name: file_sha256(path) for path in inputs}]
    key = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()
    stamp = out_dir / f"{name}.step.json"
    before = said(stamp)
    is_same = before.get("key") == key and before.get("outputs") == _hashes(outputs)
    if is_same and isinstance(wall_s := before.get("wall_s"), int | float):
        return float(wall_s)
    for path in (stamp, *outputs):
        path.unlink(missing_ok=True)
    log.info("%s: %s", out_dir.name, name)
    log_file = out_dir / f"{name}.log"
    start = time.monotonic()
    status, cpu_s = _run(command, out_dir, log_file)
    wall_s = round(time.monotonic() - start, 1)
    missing = [path.name for path in outputs if not path.is_file()]
    if status or missing:
        why = _reason(log_file, status)
        raise ToolError(f"{name} of {out_dir.name} failed: {why}; log: {log_file}")
    made = {"key": key, "wall_s": wall_s, "cpu_s": cpu_s, "outputs": _hashes(outputs)}
    write_whole(stamp, json.dumps(made).encode())
    return wall_s


def at_once(work: Callable[[T], R], items: Sequence[T], jobs: int) -> tuple[R, ...]:
    """What work that runs tools makes of each item, `jobs` at a time; Ctrl-C ends the tools."""
    at_work: set[int] = set()

    def one(number: int) -> R:
        at_work.add(number)
        try:
            return work(items[number])
        finally:
            at_work.discard(number)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return tuple(pool.map(one, range(len(items))))
        except KeyboardInterrupt:  # of this thread; others wait for tools or start them
            pool.shutdown(wait=False, cancel_futures=True)
            time.sleep(_PAUSE_S)
            while at_work:
                _end_running()
                time.sleep(_PAUSE_S)
            raise


def _run(command: list[str], folder: Path, log_file: Path) -> tuple[int, float]:
    """Exit status of a command, and the processor seconds that it took."""
    with (
        log_file.open("wb") as sink,
        subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        ) as tool,
    ):
        try:
            _running.add(tool)
            _, status, used = os.wait4(tool.pid, 0)
        except BaseException:
            tool.kill()
            raise
        finally:
            _running.discard(tool)
        tool.returncode = os.waitstatus_to_exitcode(status)
    return tool.returncode, round(used.ru_utime + used.ru_stime, 1)


def _end_running() -> None:
    for tool in tuple(_running):
        with suppress(ProcessLookupError):
            os.kill(tool.pid, signal.SIGKILL)


def put(path: Path, text: str) -> None:
    """Write a file unless it holds just that."""
    if not holds(path, text):
        write_whole(path, text.encode())


def holds(path: Path, text: str) -> bool:
    """Whether a file is there and has just this text."""
    return path.is_file() and path.read_bytes() == text.encode()


def said(path: Path) -> dict[str, Any]:
    """The JSON object that a run left in a file; empty where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _hashes(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in paths if path.is_file()}


def _reason(log_file: Path, status: int) -> str:
    lines = log_file.read_text(errors="replace").splitlines()
    errors = [line for line in lines if "ERROR" in line or "Error:" in line]
    last = lines[-1].strip() if lines else "no output"
    return errors[0].strip() if errors else f"status {status}, {last}"
