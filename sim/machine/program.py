"""What a simulated action does: a pure function of its command and its inputs, with a duration.

The command is read as a shell would read it, as far as it says anything to us; all the rest is a
compiler that we do not know, and takes a drawn time.

    sleep 3                    takes 3 s
    exit 2 / false             ends with that status
    echo WORDS                 writes them to stdout
    sim seconds=3 exit=2 stdout=TEXT stderr=TEXT memory=1000000 bytes=4096 forget=PATH
                               `bytes`: size of each output; `forget`: an output it does not make

Two machines that run the same action get the same bytes: outputs are SHA-256 in counter mode over
the command, the digest of the input tree and the output's path. That is what "pure" means, and what
an oracle compares. The time depends on the same, and on the machine's speed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from hashlib import sha256

import attrs

from mesh.action.model import Action, OutputSpec

SHELLS = ("sh", "bash", "dash")
SHORTEST_S = 0.02
DOUBLINGS = 7.0
"""A drawn duration is between SHORTEST_S and 2 ** DOUBLINGS times as much: 20 ms to 2.6 s, most of
them short, as compilations are."""
SMALLEST_BYTES, LARGEST_BYTES = 64, 16_384
FILES_PER_FOLDER = 2


@attrs.frozen
class Behaviour:
    """What will happen when the action runs to its end on a machine of speed 1."""

    duration_s: float
    exit_status: int
    stdout: bytes
    stderr: bytes
    memory_bytes: int
    size_bytes: int | None
    """Of each output; None: drawn."""
    forgets: frozenset[str]
    """Ends of the paths of declared outputs that are not made."""
    seed: bytes
    """Of all bytes it makes."""


def behaviour_of(action: Action) -> Behaviour:
    """Read the command. The toolchain is left out: it is a file of the host the simulator is on."""
    seed = sha256(b"simulated action\0" + _essence(action)).digest()
    said = _Said()
    for words in _commands(action.argv):
        said.take(words)
    return Behaviour(
        duration_s=_drawn_s(seed) if said.seconds is None else said.seconds,
        exit_status=said.exit_status,
        stdout=bytes(said.stdout),
        stderr=bytes(said.stderr),
        memory_bytes=said.memory_bytes,
        size_bytes=said.size_bytes,
        forgets=frozenset(said.forgets),
        seed=seed,
    )


def output_bytes(behaviour: Behaviour, path: str, sources: Sequence[str]) -> bytes:
    """What the action leaves at `path`. A dependency file names `sources` the way a compiler does,
    because planners read it."""
    if path.endswith(".d"):
        target = path.removesuffix(".d") + ".o"
        return f"{target}: {' '.join(sources)}\n".encode()
    seed = sha256(behaviour.seed + path.encode()).digest()
    size = behaviour.size_bytes
    if size is None:
        size = SMALLEST_BYTES + int.from_bytes(seed[:4], "big") % (LARGEST_BYTES - SMALLEST_BYTES)
    return _stretched(seed, size)


def paths_of(behaviour: Behaviour, spec: OutputSpec) -> list[str]:
    """The files that the action makes for one declared output."""
    if any(spec.path.endswith(end) for end in behaviour.forgets):
        return []
    if spec.directory:
        return [f"{spec.path.rstrip('/')}/{number}" for number in range(FILES_PER_FOLDER)]
    return [spec.path]


class _Said:
    """What the words of a command have said so far."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.exit_status = 0
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.memory_bytes = 0
        self.size_bytes: int | None = None
        self.forgets: set[str] = set()

    def take(self, words: list[str]) -> None:
        program, rest = words[0].rpartition("/")[2], words[1:]
        if program == "sleep" and rest:
            self.seconds = (self.seconds or 0.0) + _number(rest[0])
        elif program == "exit":
            self.exit_status = int(_number(rest[0])) if rest else 0
        elif program == "false":
            self.exit_status = 1
        elif program == "echo":
            self.stdout += " ".join(rest).encode() + b"\n"
        elif program == "sim":
            for word in rest:
                self._option(*word.partition("=")[::2])

    def _option(self, name: str, value: str) -> None:
        match name:
            case "seconds":
                self.seconds = _number(value)
            case "exit":
                self.exit_status = int(_number(value))
            case "stdout":
                self.stdout += value.encode()
            case "stderr":
                self.stderr += value.encode()
            case "memory":
                self.memory_bytes = int(_number(value))
            case "bytes":
                self.size_bytes = int(_number(value))
            case "forget":
                self.forgets.add(value)
            case _:
                self.stderr += f"sim: what is {name}?\n".encode()


def _commands(argv: Sequence[str]) -> Iterator[list[str]]:
    """The simple commands in it: one, unless a shell is asked to read a script."""
    is_shell = argv[0].rpartition("/")[2] in SHELLS and len(argv) >= 3 and argv[1].endswith("c")
    if not is_shell:
        yield list(argv)
        return
    words: list[str] = []
    try:
        lexer = shlex.shlex(argv[2], posix=True, punctuation_chars=";&|\n<>()")
        lexer.whitespace, lexer.whitespace_split = " \t\r", True
        tokens = list(lexer)
    except ValueError:  # an unclosed quote: a shell would complain, we only draw the time
        return
    for token in tokens:
        if token and set(token) <= set(";&|\n()"):
            if words:
                yield words
            words = []
        else:
            words.append(token)
    if words:
        yield words


def _essence(action: Action) -> bytes:
    parts = [*action.argv, "", action.cwd, *(f"{each.name}={each.value}" for each in action.env)]
    return "\0".join(parts).encode("utf-8", "surrogateescape") + b"\0" + action.inputs


def _drawn_s(seed: bytes) -> float:
    share: float = int.from_bytes(seed[:6], "big") / 2**48
    return float(SHORTEST_S * 2.0 ** (DOUBLINGS * share * share))


def _stretched(seed: bytes, size_bytes: int) -> bytes:
    blocks = -(-size_bytes // 32)
    made = b"".join(sha256(seed + number.to_bytes(8, "big")).digest() for number in range(blocks))
    return made[:size_bytes]


def _number(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
