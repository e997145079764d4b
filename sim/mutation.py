"""Mutation testing of the RTL: do the benches notice small mistakes?

Every mutant runs against the benches that have its module in them, those of the module itself
first, then those that killed most, then the small designs, until one fails. One that outlives the
first few is compared with the original by `equivalence`; one that is not proven equal runs against
all the others. What then is left has survived: either a bench is too weak, or REASONS says why no
bench can see it.

`python -m stoic.sim.mutation --benches FOLDER --result FILE.json`; verdicts are kept beside the
benches, so a run that was killed goes on where it stopped. The JSON file:

    command, kit_version, seed
    mutants         that elaborate: killed + equivalent + survived
    killed          some bench fails; with `--most N`, of the first N
    equivalent      proven equal to the original at every parameter that the benches use, or
                    elaborated to the same design in every bench
    survived        neither; each with a reason, or "unexplained"
    stillborn       drawn, but do not elaborate; not counted
    mutation_score  killed / (killed + survived)
    kinds, files    the same counts by kind of mistake and by file
    list            of all mutants: place, mistake, verdict, and what killed it or why it lives
    cpu_s           processor seconds of all verdicts
"""

import argparse
import json
import shlex
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from .. import rtl
from .bench.books import Books, digest, key_of_run
from .bench.lean import Answer, ask
from .bench.measure import RUNS, clean
from .bench.runner import Bench
from .bench.shelf import load
from .container import kit_version, writable, write_whole
from .entry import exit_with
from .equivalence import Parameters, below, is_equivalent, parametrisations
from .mutants import Mutant, mutants_of

REASONS = Path(__file__).parent / "mutation_reasons.toml"
VERDICTS = ("killed", "equivalent", "survived", "stillborn")
N_MUTANTS = 600
N_FIRST = 4  # benches before the proof
ALL = 1000
PROVEN = "proven"
SAME = "elaborates to the same design in every bench"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        verdict: one of VERDICTS.
        why: unit, parameters and test that killed it; the reason for which it survived.
        cpu_s: processor time of its benches.
    """

    mutant: Mutant
    verdict: str
    why: str
    cpu_s: float


class Range:
    """Benches and the mutants that are shot at them.

    Args:
        folder: of verdicts that are kept.
        seed: of the benches, and of the draw.
        most: benches that a mutant meets at most; what they do not kill counts as survived.
    """

    def __init__(
        self, benches: Sequence[Bench], folder: Path, seed: int, n_jobs: int, most: int = ALL
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seed, self.n_jobs, self.most = folder.resolve(), seed, n_jobs, most
        self.books, self.runs = (Books(self.folder / name) for name in ("mutants.jsonl", RUNS))
        self.benches = sorted(benches, key=_order)
        self.kills: Counter[str] = Counter()
        self.found: dict[str, dict[str, set[Parameters]]] = {}

    def shoot(self, mutants: Sequence[Mutant], n: int) -> list[Verdict]:
        """Verdicts of mutants in their order, until `n` of them elaborate; and of the stillborn."""
        found: list[Verdict] = []
        rest = iter(mutants)
        with ThreadPoolExecutor(self.n_jobs) as pool:
            while missing := n - sum(v.verdict != "stillborn" for v in found):
                batch = [m for _, m in zip(range(missing), rest, strict=False)]
                if not batch:
                    break
                for verdict in pool.map(self.judge, batch):
                    found.append(verdict)
                    if verdict.verdict == "survived" or len(found) % 50 == 0:
                        print(len(found), verdict.mutant, verdict.verdict, verdict.why, flush=True)
        return found

    def judge(self, mutant: Mutant) -> Verdict:
        """The verdict on one mutant; what stands in the books is not run again.

        Raises:
            InputError: a bench fails as it is.
        """
        owners = self._owners_of(Path(mutant.file).stem)
        text = (rtl.ROOT / mutant.file).read_text(encoding="utf-8")
        cpu_s, n_run = 0.0, 0
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            mutated = Path(name) / mutant.file
            mutated.write_text(mutant.apply(text), encoding="utf-8")
            for bench in owners:
                if n_run == N_FIRST and self._is_equivalent(mutated, owners):
                    return Verdict(mutant, "equivalent", PROVEN, cpu_s)
                if n_run == self.most:
                    break
                answer = self._ask(mutated, bench)
                cpu_s += answer.cpu_s
                if not answer.builds and bench == owners[0]:
                    return Verdict(mutant, "stillborn", "", cpu_s)
                if not answer.passes:
                    self.kills[repr(bench)] += 1
                    return Verdict(mutant, "killed", f"{_name(bench)} {answer.why}", cpu_s)
                n_run += answer.design != clean(bench, self.runs, self.seed).answer.design
            if owners and not n_run:
                return Verdict(mutant, "equivalent", SAME, cpu_s)
            if n_run <= N_FIRST and self._is_equivalent(mutated, owners):
                return Verdict(mutant, "equivalent", PROVEN, cpu_s)
        return Verdict(mutant, "survived", reason_of(mutant, text), cpu_s)

    def _ask(self, mutated: Path, bench: Bench) -> Answer:
        """What a bench says of the mutated file."""
        key = digest(key_of_run(bench, self.seed), mutated.name, mutated.read_bytes())
        if key not in self.books.rows:
            right = clean(bench, self.runs, self.seed).answer
            limit_s = 10 + int(4 * right.cpu_s)
            sources = [mutated if p.name == mutated.name else p for p in bench.sources]
            bench = replace(bench, sources=tuple(sources))
            with tempfile.TemporaryDirectory(dir=mutated.parent) as name:
                run = Path(name) / "run"
                self.books.put(key, asdict(ask(bench, run, self.seed, limit_s, right.design)))
        return Answer(**self.books.rows[key])

    def _is_equivalent(self, mutated: Path, benches: list[Bench]) -> bool:
        module = mutated.stem
        files = {name: path for b in benches for name, path in below(module, b.sources).items()}
        gold = [files[name] for name in sorted(files)]
        gate = [mutated if path.name == mutated.name else path for path in gold]
        wanted = set[Parameters]().union(*(self._parametrisations(b)[module] for b in benches))
        texts = [path.read_bytes() for path in (*gold, mutated)]
        key = digest("equivalent", repr(sorted(wanted)), *texts)
        if key not in self.books.rows:
            small_first = sorted(wanted, key=lambda values: (len(repr(values)), values))
            self.books.put(key, is_equivalent(module, gold, gate, small_first))
        return bool(self.books.rows[key])

    def _parametrisations(self, bench: Bench) -> dict[str, set[Parameters]]:
        key = digest("parametrisations", key_of_run(bench, self.seed))
        if key not in self.found:
            if key not in self.runs.rows:
                rows = {k: sorted(v) for k, v in parametrisations(bench).items()}
                self.runs.put(key, rows)
            self.found[key] = {
                module: {tuple((name, value) for name, value in row) for row in rows}
                for module, rows in self.runs.rows[key].items()
            }
        return self.found[key]

    def _owners_of(self, module: str) -> list[Bench]:
        """Benches that instantiate a module, in the order in which mutants of it meet them."""
        found = [bench for bench in self.benches if module in self._parametrisations(bench)]
        return sorted(found, key=lambda bench: (bench.unit != module, -self.kills[repr(bench)]))


def _order(bench: Bench) -> tuple[int, int, str]:
    """Small designs first; of a unit those with large parameters, which do more of what it can."""
    n_bits = sum(v.bit_length() for v in bench.parameters.values() if isinstance(v, int))
    return len(bench.sources), -n_bits, repr(bench)


def _name(bench: Bench) -> str:
    values = ",".join(f"{k}={v}" for k, v in bench.parameters.items())
    return f"{bench.unit}({values})"


def draw(seed: int, files: Sequence[str] = ()) -> list[Mutant]:
    """All mutants of the RTL (or of these files) in an order that the seed gives.

    The order of two mutants depends on their files' names, their lines and themselves alone, so
    that most of those that are drawn stay when a line or a file comes or goes.
    """
    paths = [path for path in rtl.sources() if not files or path.name in files]
    found: dict[str, Mutant] = {}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        seen: Counter[str] = Counter()
        for mutant in mutants_of(path):
            start = text.rindex("\n", 0, mutant.start) + 1
            line = text[start:].partition("\n")[0].strip()
            place = f"{seed} {mutant.start - start} {mutant.kind}"
            name = digest(place, path.name, line, mutant.old, mutant.new)
            found[digest(name, str(seen[name]))] = mutant
            seen[name] += 1
    return [found[name] for name in sorted(found)]


def reason_of(mutant: Mutant, text: str) -> str:
    """Why no bench can see a mutant, by REASONS; "unexplained" if that does not say."""
    line = text.splitlines()[mutant.line - 1].strip()
    for entry in tomllib.loads(REASONS.read_text(encoding="utf-8")).get("survivor", ()):
        place = (entry["file"], entry["line"])
        if place == (mutant.file, line) and entry.get("new", mutant.new) == mutant.new:
            return str(entry["reason"])
    return "unexplained"


def summary(verdicts: Sequence[Verdict], seed: int) -> dict[str, object]:
    """What the JSON file holds."""

    def counts(some: Sequence[Verdict]) -> dict[str, int]:
        found = Counter(v.verdict for v in some)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def by(name: str) -> dict[str, dict[str, int]]:
        values = sorted({getattr(v.mutant, name) for v in verdicts})
        return {x: counts([v for v in verdicts if getattr(v.mutant, name) == x]) for x in values}

    total = counts(verdicts)
    judged = total["killed"] + total["survived"]
    return {
        "command": shlex.join(["python", "-m", "stoic.sim.mutation", *sys.argv[1:]]),
        "kit_version": kit_version(),
        "seed": seed,
        "mutants": judged + total["equivalent"],
        **total,
        "mutation_score": total["killed"] / judged if judged else 0.0,
        "kinds": by("kind"),
        "files": by("file"),
        "list": list(_listed(verdicts)),
        "cpu_s": round(sum(v.cpu_s for v in verdicts), 1),
    }


def _listed(verdicts: Sequence[Verdict]) -> Iterator[dict[str, object]]:
    for v in sorted(verdicts, key=lambda v: v.mutant):
        if v.verdict != "stillborn":
            place = {k: x for k, x in asdict(v.mutant).items() if k not in ("start", "end")}
            yield {**place, "verdict": v.verdict, "why": v.why}


def main() -> int:
    """Shoot mutants, write what became of them; 2 when a bench fails as it is."""
    parser = argparse.ArgumentParser(description="mutation testing of the RTL")
    add = partial(parser.add_argument)
    add("--benches", type=Path, required=True, help="folder of pytest --bench-list")
    add("--result", type=Path, required=True, help="JSON file to write")
    add("--n", type=int, default=N_MUTANTS, help="mutants that elaborate")
    add("--seed", type=int, default=1, help="of the draw and of the benches")
    add("--jobs", type=int, default=2, help="processes at a time")
    add("--most", type=int, default=ALL, help="benches that a mutant meets at most; default: all")
    add("--files", nargs="*", default=(), help="Verilog files; default: all")
    args = parser.parse_args()
    writable(args.result)
    targets = Range(load(args.benches), args.benches, args.seed, args.jobs, args.most)
    result = summary(targets.shoot(draw(args.seed, args.files), args.n), args.seed)
    write_whole(args.result, (json.dumps(result, indent=1) + "\n").encode())
    print({k: v for k, v in result.items() if k in ("mutants", *VERDICTS, "mutation_score")})
    return 0


if __name__ == "__main__":
    exit_with(main)
