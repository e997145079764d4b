"""The command line `stoic`: lists the commands of every folder and imports only the one that runs.

A command is a plain typed function that returns JSON values; here they are printed, as JSON or as
tables. One that is refused ends with one line on stderr and status 2. This is the only module that
reads the environment: STOIC_DATA is the folder of data sets.
"""

import functools
import importlib
import inspect
import json
import logging
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from ..sim.container import kit_version, writable, write_whole
from ..sim.exceptions import InputError, StoicError
from .outputs import is_among, keep_apart
from .show import as_text

PROGRAM = "stoic"
KIT = (__package__ or "").rpartition(".")[0]
STATUS_REFUSED = 2
_TOKEN = re.compile(
    r"(socket://)[^@/\s\"']*@", re.I
)  # of a served board: in no result and no message

_EXTRAS = {"audit": "audit"}
"""Extra of the package that brings what a command imports; of the others "all" does."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Result = Annotated[
    Path | None,
    typer.Option(
        "--result", metavar="FILE.json", help="Write the JSON here too.", callback=writable
    ),
]


@dataclass(frozen=True)
class Command:
    """Where a command stands: "folder.module:function", and its line in the help."""

    place: str
    summary: str


Commands = dict[str, "Command | tuple[str, Commands]"]

COMMANDS: Commands = {
    "train": Command("models.commands:train", "Train a network by a recipe."),
    "accuracy": Command("models.commands:accuracy", "Test accuracy over bit error rate."),
    "trace": Command("models.trace_commands:trace", "What predictions owe to the training."),
    "study": Command("models.commands:study", "Train, measure and judge the claims of a study."),
    "data": (
        "Find and fetch data sets.",
        {"fetch": Command("models.commands:data_fetch", "Find or fetch a data set, checked.")},
    ),
    "audit": (
        "Compare communities by what language models pick up from them.",
        {
            "communities": Command("models.audit.commands:communities", "Show a corpus."),
            "run": Command("models.audit.commands:run", "Adapt, ask, score and compare."),
            "examples": Command("models.audit.commands:examples", "Show the extremes, scored."),
            "scorers": Command("models.audit.commands:scorers", "Measure scorers on names alone."),
            "control": Command("models.audit.commands:control", "Recover a planted bias."),
            "memory": Command("models.audit.commands:memory", "Ask a model in memory that lies."),
        },
    ),
    "export": Command("export.commands:export_", "Write a checkpoint as QONNX and lower it."),
    "import": Command("export.commands:import_", "Lower a QONNX file to the integer network."),
    "encode": Command("export.commands:encode", "Turn a graph's images into the network's."),
    "show": Command("sim.commands:show", "Show an integer network."),
    "join": Command("sim.commands:join", "Join integer networks into an ensemble."),
    "tables": Command("hw.table_commands:tables_", "Add thresholds for operating conditions."),
    "faults": (
        "Draw and show fault maps.",
        {
            "sample": Command("hw.commands:faults_sample", "Draw the faults of one chip."),
            "show": Command("sim.commands:faults_show", "Show a fault map."),
            "list": Command("sim.commands:faults_list", "Show the named operating points."),
        },
    ),
    "infer": Command("hw.commands:infer", "Integer scores of images on any device."),
    "agree": Command("hw.agree_commands:agree", "Compare devices with golden, score for score."),
    "tolerance": Command(
        "hw.tolerance_commands:tolerance", "What a network tolerates, without injecting an error."
    ),
    "campaign": (
        "Accuracy over error rates and chips.",
        {
            "run": Command(
                "hw.campaign_commands:campaign_run", "Compute the rows that the store lacks."
            ),
            "show": Command(
                "hw.campaign_commands:campaign_show", "Show the points that the store has."
            ),
            "plot": Command(
                "hw.campaign_commands:campaign_plot", "Draw accuracy over bit error rate."
            ),
            "diff": Command(
                "hw.campaign_commands:campaign_diff", "Compare two stores, or two networks."
            ),
            "export": Command(
                "hw.campaign_commands:campaign_export", "Write the rows as CSV or Parquet."
            ),
        },
    ),
    "finn": Command("hw.finn_commands:finn", "Write a job folder for FINN's builder."),
    "finn-check": Command("hw.finn_commands:finn_check", "Run FINN's front end on a job."),
    "plan": Command("hw.plan_commands:plan", "Say whether and how fast a network runs on a board."),
    "synth": Command("hw.commands:synth", "Build a bitstream and report it."),
    "deploy": Command("hw.deploy_commands:deploy", "Build, program a board, write the network."),
    "virtual": Command("hw.commands:virtual", "Boot a virtual board behind a port."),
    "serve": Command("hw.server_commands:serve", "Serve a board to colleagues over TCP."),
    "board": (
        "Drive a board, real or virtual.",
        {
            "list": Command("hw.board_commands:list_", "Boards of the kit, ports of this machine."),
            "identify": Command("hw.board_commands:identify", "Ask a board what it is."),
            "program": Command("hw.deploy_commands:program", "Load a bitstream into a board."),
            "load": Command("hw.board_commands:load", "Write a network and read it back."),
            "infer": Command("hw.board_commands:infer", "Integer scores of images by a board."),
            "campaign": Command("hw.board_campaign:run_campaign", "Run a campaign on a board."),
            "selftest": Command("hw.board_commands:selftest", "Compare a board with golden."),
        },
    ),
    "prove": Command("hw.proof_commands:prove", "Prove the RTL for all inputs; refuse mutants."),
    "report": Command("sim.commands:report", "Make one HTML page of all results."),
    "doctor": Command("hw.commands:doctor", "Say which tools, packages and data are here."),
}


class LazyGroup(TyperGroup):
    """Commands whose modules are imported when they run, not when they are listed."""

    def __init__(self, name: str, summary: str, entries: Commands, **extra: Any) -> None:
        super().__init__(name=name, help=summary, **extra)
        self.rich_markup_mode = None
        self._entries = entries

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order in which one works."""
        return list(self._entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that knows its name and summary, or a group."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        if isinstance(entry, tuple):
            return LazyGroup(cmd_name, *entry)
        return TyperCommand(cmd_name, help=entry.summary, rich_markup_mode=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command to run, imported now."""
        self.commands = {name: self.get_command(ctx, name) for name in self._entries}
        name, command, rest = super().resolve_command(ctx, args)
        entry = self._entries[name or ""]
        return (
            name,
            _import(entry, ctx.find_root().obj) if isinstance(entry, Command) else command,
            rest,
        )


def _import(entry: Command, arguments: Sequence[str]) -> Any:
    module, name = entry.place.split(":")
    function = getattr(importlib.import_module(f"{KIT}.{module}"), name)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(_printing(function, arguments))
    return typer.main.get_command(app)


def _printing(function: Callable[..., Any], arguments: Sequence[str]) -> Callable[..., None]:
    """The function with --json and --result, and STOIC_DATA as its default folder of data."""
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    parameters = [
        p.replace(
            annotation=hints[p.name],
            default=_data_root() if p.name == "data_root" else p.default,
        )
        for p in signature.parameters.values()
    ]
    prints_itself = "as_json" in signature.parameters

    @functools.wraps(function)
    def command(**values: Any) -> None:
        keep_apart(values, {**hints, "result_file": Result})
        if prints_itself:
            function(**values)
            return
        as_json, result_file = values.pop("as_json"), values.pop("result_file")
        found = function(**values)
        result = _plain(found)
        made = {"command": shlex.join([PROGRAM, *arguments]), "kit_version": kit_version()}
        text = _TOKEN.sub(r"\1", json.dumps({**result, **made}, indent=2))
        result = {k: v for k, v in json.loads(text).items() if k not in made}
        try:
            if result_file is not None and is_among(result_file, found):
                raise InputError(f"{result_file}: is a file of this result; give another --result")
            if result_file is not None:
                write_whole(result_file, f"{text}\n".encode())
        finally:  # on a full disk it is not lost
            typer.echo(text if as_json else as_text(result))
        if result.get("failure"):
            raise StoicError(result["failure"])

    if not prints_itself:
        for name, annotation in (("as_json", Json), ("result_file", Result)):
            keyword, default = (
                inspect.Parameter.KEYWORD_ONLY,
                None if annotation is Result else False,
            )
            parameters.append(
                inspect.Parameter(name, keyword, default=default, annotation=annotation)
            )
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters],
        return_annotation=None,
    )
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _data_root() -> Path | None:
    root = os.environ.get("STOIC_DATA")
    return Path(root) if root else None


def _plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _global_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show unexpected errors in full.")] = False,
) -> None:
    """Options that stand before the command; `run` reads them."""


def _root() -> LazyGroup:
    summary = "Binarized networks on memory that lies: train, prove, build, deploy."
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(_global_options)
    return LazyGroup(PROGRAM, summary, COMMANDS, params=typer.main.get_command(app).params)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; gives the exit status."""
    logging.basicConfig(
        level=logging.WARNING, format=f"{PROGRAM}: %(message)s", stream=sys.stderr, force=True
    )
    logging.getLogger(KIT).setLevel(logging.INFO)
    warnings.filterwarnings("ignore", module=r"brevitas\.")  # of its optional kernels, at import
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")  # its own
    arguments = list(arguments)
    if arguments[:1] == ["--version"]:
        typer.echo(f"{PROGRAM} {kit_version()}")
        return 0
    is_debug = arguments[:1] == ["--debug"]
    arguments = arguments[is_debug:] or ["--help"]
    try:
        with _root().make_context(PROGRAM, list(arguments), obj=arguments) as ctx:
            ctx.command.invoke(ctx)
    except typer.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _refuse("interrupted; what was done is kept")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return STATUS_REFUSED
    except Exception as error:
        if is_debug:
            raise
        if (format_message := getattr(error, "format_message", None)) is not None:
            asked = getattr(error, "ctx", None)  # a wrong option, from the option parser
            where = asked.command_path if asked else PROGRAM
            return _refuse(f"{format_message()} (see {where} --help)")
        if isinstance(error, OSError) and error.filename:
            return _refuse(f"{error.filename}: {error.strerror}")
        if isinstance(error, StoicError | OSError):
            return _refuse(str(error))
        if isinstance(error, MemoryError):
            return _refuse(f"this needs more memory than there is: {str(error) or 'out of memory'}")
        if isinstance(error, ModuleNotFoundError) and not f"{error.name}.".startswith(f"{KIT}."):
            return _refuse(
                f"this command needs the package {error.name!r}; "
                f"install stoic[{_EXTRAS.get(arguments[0], 'all')}]"
            )
        return _refuse(
            f"unexpected {type(error).__name__}: {error} (a bug; stoic --debug shows where)"
        )
    return 0


def _refuse(message: str) -> int:
    line = _TOKEN.sub(r"\1", " ".join(message.split()))
    print(f"{PROGRAM}: {line}", file=sys.stderr)
    return STATUS_REFUSED


def main() -> None:
    """Entry point of `stoic`."""
    # `kill`, a batch system's limit: what Ctrl-C does, and tools of a build end too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w"))
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
