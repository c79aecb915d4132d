"""What a person is shown of a failed shard: command, tails of its output, how to rerun it here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from mesh.action.model import Result
from mesh.control.requests import error_view
from mesh.control.views import ErrorView, FailureView
from mesh.errors import MeshError, NoNodeFits
from mesh.node.runs.record import RunRecord
from mesh.planners.base import Kind, Plan, Step
from mesh.planners.validate import host_path
from mesh.ports import ProcessEnd

TAIL_LINES = 20


def command_line(step: Step) -> str:
    """The command as a person would type it."""
    if len(step.argv) == 3 and step.argv[:2] == ("/bin/sh", "-c"):
        return step.argv[2]
    return shlex.join(step.argv)


def failure_of_result(
    step: Step, node: str, result: Result, text: Callable[[Result, int], bytes]
) -> FailureView:
    """It ran and ended with a status other than 0."""
    return _view(step, node, result.exit_status, (text(result, 1), text(result, 2)))


def failure_of_process(step: Step, node: str, end: ProcessEnd) -> FailureView:
    """It ran in place, here."""
    return _view(step, node, end.exit_status, (end.stdout, end.stderr))


def failure_of_error(
    step: Step, node: str, error: MeshError | type[MeshError] | None, text: str = ""
) -> FailureView:
    """It did not come to a result. `error` may be only a class, with `text` from another node."""
    return {**_view(step, node, -1, (b"", b"")), "error": _told(error, text)}


def _view(step: Step, node: str, status: int, output: tuple[bytes, bytes]) -> FailureView:
    return {
        "name": step.display or step.name,
        "node": node,
        "status": status,
        "command": command_line(step),
        "rerun": _rerun(step),
        "stdout_tail": _tail(output[0]),
        "stderr_tail": _tail(output[1]),
        "error": None,
    }


def rerun_from(failure: FailureView, step: Step, plan: Plan, cwd: Path) -> FailureView:
    """With the way to the step's folder, when the caller was in another one."""
    folder = host_path(step.cwd, plan.mounts)
    if folder is None or folder == str(cwd):
        return failure
    return {**failure, "rerun": f"(cd {shlex.quote(folder)} && {failure['rerun']})"}


def gave_up(step: Step, reasons: Sequence[tuple[str, str]]) -> FailureView:
    """No node could run it."""
    why = "; ".join(f"{node}: {reason}" for node, reason in reasons) or "no node is connected"
    error = NoNodeFits(name=step.display or step.name, why=why)
    return failure_of_error(step, "", error)


def _told(error: MeshError | type[MeshError] | None, text: str) -> ErrorView:
    if isinstance(error, MeshError):
        return error_view(error)
    return {
        "code": error.code if error else "VM999",
        "params": {},
        "message": text,
        "hint": "",
        "exit_code": error.exit_code if error else 70,
        "blame": error.blame if error else "us",
    }


def _rerun(step: Step) -> str:
    env = " ".join(f"{name}={shlex.quote(value)}" for name, value in step.env if name != "PATH")
    command = command_line(step)
    return f"{env} {command}".strip()


def _tail(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape")
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def exit_code_of(
    kind: Kind, record: RunRecord, error: MeshError | None, command_status: int | None
) -> int:
    """The run's exit status; the table is in docs/reference. `error` stopped the run itself."""
    if error is not None:
        return error.exit_code
    if kind is Kind.COMMAND and command_status is not None:
        return command_status if command_status >= 0 else 128 - command_status
    errors = [failure["error"] for failure in record.failures]
    if errors:
        if all(each is not None for each in errors):
            return errors[0]["exit_code"] if errors[0] is not None else 1
        return 3 if kind is Kind.TEST else 1
    return 4 if kind is Kind.TEST and not record.shards else 0
