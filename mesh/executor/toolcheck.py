"""Whether this machine may run an action: its platform and tools must be the origin's, by digest.

Answers are kept for a few seconds per toolchain, because shards come in hundreds with the same one.
"""

from __future__ import annotations

from collections import OrderedDict

from mesh.action.model import Tool, Toolchain
from mesh.action.platform import native_platform, this_platform
from mesh.errors import InputChanged
from mesh.ports.actions import FileDigests
from mesh.types import Digest
from mesh.wire import schema
from mesh.wire.blobid import blob_id

FRESH_S = 5.0
_ANSWERS_MAX = 256


class ToolCheck:
    """See the module's head."""

    def __init__(self, hasher: FileDigests) -> None:
        self._hasher = hasher
        self._answers: OrderedDict[Digest, tuple[float, str | None]] = OrderedDict()

    def reason(
        self, toolchain: Toolchain, now_s: float, digest: Digest | None = None
    ) -> str | None:
        """Why this machine may not run it, or None when it may.

        `now_s` is monotonic time; `digest` is the toolchain's when the caller knows it (encoding a
        large one just to know takes longer than the answer). Blocking when many tools are new.
        """
        key = digest if digest is not None else blob_id(schema.encode_struct(toolchain))
        known = self._answers.get(key)
        if known is not None and now_s - known[0] < FRESH_S:
            return known[1]
        answer = self._look(toolchain)
        self._answers.pop(key, None)
        self._answers[key] = (now_s, answer)
        if len(self._answers) > _ANSWERS_MAX:
            self._answers.popitem(last=False)
        return answer

    def still(self, toolchain: Toolchain, digest: Digest) -> bool:
        """Whether it may run by what is here at this moment, whatever was found before.

        To be asked after an action: tools that were replaced while it ran (an upgrade) make a
        result that is not what its toolchain says.
        """
        if self._look(toolchain) is None:
            return True
        self._answers.pop(digest, None)
        return False

    def _look(self, toolchain: Toolchain) -> str | None:
        if toolchain.platform not in (this_platform(), native_platform()):
            own = native_platform() if "+" in toolchain.platform else this_platform()
            return f"it is {own}, and {toolchain.platform} is needed"
        for tool in toolchain.tools:
            problem = self._problem(tool)
            if problem:
                return f"{tool.path} {problem}"
        return None

    def _problem(self, tool: Tool) -> str:
        try:
            found = self._hasher.digest(tool.path)
        except (FileNotFoundError, NotADirectoryError):
            return "is missing"
        except (OSError, ValueError, InputChanged) as error:
            return f"cannot be read ({error})"
        return "" if found == tool.digest else "differs"
