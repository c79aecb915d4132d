"""Every error a person can meet: who is to blame, a stable code, an exit status and a next step.

A class *is* the error: its docstring is the message template, filled from the keyword arguments;
`hint` says what to do next. The command line prints `error[VM204]: message` and `hint: ...`; the
reference page and the French catalogue are generated from these classes, so the text lives once.

What a peer does wrong never becomes one of our exceptions beyond the wire layer: see
`mesh.wire.errors`. This module imports nothing, because the command line loads it at every start.
"""

from __future__ import annotations

from typing import ClassVar


class MeshError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "VM000"
    exit_code: ClassVar[int] = 1
    hint: ClassVar[str] = ""
    blame: ClassVar[str] = "us"

    def __init__(self, **params: object) -> None:
        super().__init__(params)
        self.params = params

    @classmethod
    def template(cls) -> str:
        return " ".join((cls.__doc__ or "").split())

    def message(self) -> str:
        return self.template().format(**self.params)

    def next_step(self) -> str:
        return self.hint.format(**self.params)

    def __str__(self) -> str:
        return self.message()


def catalogue() -> list[type[MeshError]]:
    """All concrete errors (those with a code of their own), by code."""
    found: list[type[MeshError]] = []
    queue: list[type[MeshError]] = [MeshError]
    while queue:
        cls = queue.pop()
        queue.extend(cls.__subclasses__())
        if "code" in vars(cls):
            found.append(cls)
    return sorted(found, key=lambda cls: cls.code)


class UserError(MeshError):
    """The command or a project file asks for something that cannot be."""

    exit_code = 2
    blame = "user"


class PeerError(MeshError):
    """Another node refused or misbehaved."""

    blame = "peer"


class EnvironmentFault(MeshError):
    """The machine lacks something or refuses it."""

    blame = "environment"


class Bug(MeshError):
    """Internal error: {what}"""

    code = "VM999"
    exit_code = 70
    hint = "please report this with the node's log file"


# -- 1xx: the node and its control socket -------------------------------------------------------
class NodeNotRunning(EnvironmentFault):
    """No node is running for `{home}`"""

    code = "VM101"
    exit_code = 10
    hint = "start it with `vitte dist start`; new here: `vitte mesh init` or `vitte mesh join`"


class NotInMesh(UserError):
    """This node is in no mesh yet"""

    code = "VM102"
    hint = "create one with `vitte mesh init` or join one with `vitte mesh join`"


class AlreadyInMesh(UserError):
    """This node is already in mesh `{name}`"""

    code = "VM103"
    hint = "leave it first with `vitte mesh leave`, or use another `--home`"


class NodeDidNotStart(EnvironmentFault):
    """The node in `{home}` did not start: {why}"""

    code = "VM104"
    exit_code = 10
    hint = "its log is `{log}`"


class BadRequest(UserError):
    """The node did not understand the request: {why}"""

    code = "VM105"
    hint = "the command line and the node may be of different versions: restart the node"


class AddressInUse(EnvironmentFault):
    """Cannot listen on {host}:{port}: {why}"""

    code = "VM106"
    exit_code = 10
    hint = "choose another with `--bind HOST:PORT`"


class NoPassThrough(UserError):
    """`{name}` is not a command of vitte-mesh, and no other `vitte` is on PATH to pass it to"""

    code = "VM107"
    hint = "install the Vitte language's own tool, or see `vitte --help`"


class NodeWentAway(EnvironmentFault):
    """The node stopped before it answered"""

    code = "VM108"
    exit_code = 10
    hint = "see its log `{log}`, then start it again with `vitte dist start`"


class NodeAlreadyRunning(UserError):
    """A node is already running for `{home}`"""

    code = "VM109"
    hint = "use it, stop it with `vitte dist stop`, or choose another `--home`"


class ClusterRunning(UserError):
    """A local cluster is already running in `{directory}`"""

    code = "VM110"
    hint = "stop it with `vitte dist stop`, or choose another `--dir`"


class NodeDidNotAnswer(EnvironmentFault):
    """The node did not answer within {seconds} s"""

    code = "VM111"
    exit_code = 13
    hint = "see its log `{log}`; `vitte dist stop` ends it"


class NodeDidNotStop(EnvironmentFault):
    """The node in `{home}` is still running (process {pid})"""

    code = "VM112"
    exit_code = 10
    hint = "see its log `{log}`"


class NodeForbidden(EnvironmentFault):
    """The node in `{home}` belongs to another user"""

    code = "VM113"
    exit_code = 10
    hint = "run this as that user, or start a node of your own in another `--home`"


class UnknownCommand(UserError):
    """`{name}` is not a command of vitte-mesh"""

    code = "VM114"
    hint = "did you mean `{near}`?"


# -- 2xx: identity and admission ----------------------------------------------------------------
class BadToken(UserError):
    """The invitation is not readable: {why}"""

    code = "VM201"
    exit_code = 11
    hint = "ask for a new one: `vitte mesh invite` on a member"


class TokenExpired(PeerError):
    """The invitation expired {ago} ago"""

    code = "VM202"
    exit_code = 11
    hint = "ask for a new one: `vitte mesh invite` on a member"


class TokenUsedUp(PeerError):
    """The invitation has been used {uses} of {uses} times"""

    code = "VM203"
    exit_code = 11
    hint = "ask for a new one, or `vitte mesh invite --uses N`"


class TokenForged(PeerError):
    """The invitation is not signed by an admin of the mesh"""

    code = "VM204"
    exit_code = 11
    hint = "ask an admin of the mesh for a new one"


class WrongMesh(PeerError):
    """The node at {address} belongs to another mesh ({found}, wanted {wanted})"""

    code = "VM205"
    exit_code = 11
    hint = "check the address, or ask for an invitation to that mesh"


class CodeRefused(PeerError):
    """The code was wrong, and is now burnt"""

    code = "VM206"
    exit_code = 11
    hint = "ask for a new code: `vitte mesh invite --code` on a member"


class NotAMember(PeerError):
    """The mesh does not know this node: it was never admitted, or has left"""

    code = "VM207"
    exit_code = 11
    hint = "join with `vitte mesh join`"


class NobodyAnswered(EnvironmentFault):
    """No member of the mesh could be reached: {tried}"""

    code = "VM208"
    exit_code = 10
    hint = "check that a member is running there and that the port is open, then try again"


class NotAllowed(UserError):
    """The role `{role}` may not {what}"""

    code = "VM209"
    exit_code = 11
    hint = "ask an admin to run it, or to admit this node with another role"


class ApprovalDenied(PeerError):
    """A member of the mesh denied this node"""

    code = "VM210"
    exit_code = 11


class ApprovalTimedOut(PeerError):
    """No member approved this node within {seconds} s"""

    code = "VM211"
    exit_code = 13
    hint = "run `vitte mesh admit` on a member while this waits"


class NoSuchCandidate(UserError):
    """Nobody called `{name}` is waiting to be admitted"""

    code = "VM212"
    hint = "`vitte mesh admit` without a name lists who is waiting"


class KeyUnreadable(EnvironmentFault):
    """The node's key file `{path}` cannot be used: {why}"""

    code = "VM213"
    exit_code = 11
    hint = "restore it, or remove the node's home directory and join again"


class NoMeshFound(EnvironmentFault):
    """No mesh was found on this network"""

    code = "VM214"
    exit_code = 10
    hint = "create one with `vitte mesh init`, or name a member: `vitte mesh join --host ADDR`"


class RosterUnreadable(EnvironmentFault):
    """The list of members in `{path}` cannot be used: {why}"""

    code = "VM215"
    exit_code = 11
    hint = "restore it, or remove it and join the mesh again"


class CodeUnknown(PeerError):
    """No member that answered has an open code with the number {slot}"""

    code = "VM216"
    exit_code = 11
    hint = "codes work once and for a few minutes: ask for a new one: `vitte mesh invite --code`"


class CodeExpired(PeerError):
    """Nobody used the code within {seconds} s"""

    code = "VM217"
    exit_code = 13
    hint = "make another: `vitte mesh invite --code`"


class JoinFailed(PeerError):
    """Joining at {address} failed: {why}"""

    code = "VM218"
    exit_code = 11
    hint = "try again, or join at another member: `vitte mesh join --host ADDR`"


class TooManyCodes(UserError):
    """{count} codes are open at once already"""

    code = "VM219"
    hint = "wait until one is used or expires; a token serves many: `vitte mesh invite --uses N`"


class TokenSpent(PeerError):
    """This node has joined with this invitation before, and is out since"""

    code = "VM220"
    exit_code = 11
    hint = "ask for a new one: `vitte mesh invite` on a member"


class StrangerAt(PeerError):
    """The node at {address} is not a member of this mesh"""

    code = "VM221"
    exit_code = 11
    hint = "check the address; a node joins with `vitte mesh join`"


class LastAdmin(UserError):
    """`{name}` is the only admin of the mesh: without it nobody can be let in any more"""

    code = "VM222"
    hint = "admit another first (`vitte mesh invite --role admin`), or leave with `--yes`"


class NoSuchMember(UserError):
    """The mesh has no member `{name}`"""

    code = "VM223"
    hint = "`vitte mesh members` lists names and ids; an id may be shortened to four digits"


# -- 3xx: projects and plans --------------------------------------------------------------------
class NoPlan(UserError):
    """Nothing here says how to {kind} `{root}`; looked for: {looked_for}"""

    code = "VM301"
    hint = (
        "write a vitte-dist.toml, configure with `cmake -G Ninja`, "
        "or run one command: `vitte dist run -- CMD`"
    )


class ProjectFileError(UserError):
    """{file}:{line}: {problem}; expected {expected}"""

    code = "VM302"


class PathEscapes(UserError):
    """`{path}` leads outside the project `{root}`"""

    code = "VM303"
    hint = "declare only paths below the project's root"


class PlanCycle(UserError):
    """The steps need each other in a circle: {cycle}"""

    code = "VM304"


class DuplicateOutput(UserError):
    """`{path}` is an output of both `{first}` and `{second}`"""

    code = "VM305"


class MissingInput(UserError):
    """`{step}` needs `{path}`, which is not there and no step makes"""

    code = "VM306"


class ToolNotFound(EnvironmentFault):
    """`{tool}` is not on PATH"""

    code = "VM307"
    exit_code = 2
    hint = "{how}"


class UnknownTarget(UserError):
    """There is no target or step called `{name}`"""

    code = "VM308"
    hint = "{near}"


class NotAGitTree(UserError):
    """`{root}` is not in a git repository, so there is no snapshot to run on"""

    code = "VM309"
    hint = "run `git init`, or write a vitte-dist.toml that names the inputs"


class StaleBuildFiles(UserError):
    """`{build}` is older than `{newer}`, so its plan may be wrong"""

    code = "VM310"
    hint = "bring it up to date first: `{command}`"


class TooManyFiles(UserError):
    """{what} has {count} entries; at most {limit} are allowed"""

    code = "VM311"
    hint = "name fewer inputs, or ignore generated files in .gitignore"


class BadPlanner(EnvironmentFault):
    """The planner `{name}` cannot be used: {why}"""

    code = "VM312"
    hint = "update or uninstall the package that provides it"


class UnusablePath(UserError):
    """`{path}` of `{step}` cannot be sent to another node: {why}"""

    code = "VM313"
    hint = "rename it, or mark the step local"


class BadPlan(UserError):
    """The planner `{planner}` made a wrong plan: {why}"""

    code = "VM314"
    hint = "report it to the author of the planner"


class DemoUnavailable(EnvironmentFault):
    """The demo cannot run here: {why}"""

    code = "VM315"
    hint = "from a checkout, `python3 bootstrap.py demo` installs what it needs"


class GitFailed(EnvironmentFault):
    """git cannot list the files of `{root}`: {why}"""

    code = "VM316"
    exit_code = 2
    hint = "run `git status` there and follow what it says"


# -- 4xx: runs ----------------------------------------------------------------------------------
class ShardFailed(UserError):
    """`{name}` failed on {node} with exit status {status}"""

    code = "VM401"
    exit_code = 1
    hint = "rerun it here: {rerun}"


class ShardTimedOut(UserError):
    """`{name}` ran longer than {seconds} s on {node} and was stopped"""

    code = "VM402"
    exit_code = 13


class OutputMissing(UserError):
    """`{name}` succeeded but did not make `{path}`"""

    code = "VM403"
    exit_code = 1
    hint = "check the step's `outputs`"


class OutputTooLarge(UserError):
    """`{name}` made more than {limit} of output"""

    code = "VM404"
    exit_code = 1


class NoNodeFits(EnvironmentFault):
    """No node can run `{name}`: {why}"""

    code = "VM405"
    exit_code = 12
    hint = "`vitte dist explain` lists every node and its reason; `--mode hybrid` also runs here"


class RunTimedOut(UserError):
    """The run took longer than {seconds} s and was stopped"""

    code = "VM406"
    exit_code = 13


class RunCancelled(UserError):
    """The run was cancelled"""

    code = "VM407"
    exit_code = 130


class NoSuchRun(UserError):
    """There is no run `{run}` on this node"""

    code = "VM408"
    hint = "`vitte dist logs` without a run shows the newest"


class NoSuchShard(UserError):
    """Run {run} has no shard `{shard}`"""

    code = "VM409"
    hint = "`vitte dist explain {run}` lists them"


class InputChanged(UserError):
    """`{path}` changed while it was being read"""

    code = "VM410"
    exit_code = 1
    hint = "save your files, then run again"


class CannotSpawn(EnvironmentFault):
    """`{argv0}` could not be started on {node}: {why}"""

    code = "VM411"
    exit_code = 1


class MemoryExceeded(UserError):
    """`{name}` used more than {limit} of memory on {node} and was stopped"""

    code = "VM412"
    exit_code = 1
    hint = "raise the step's memory limit, or split it"


class OutputUnusable(UserError):
    """`{name}` made `{path}`, which is neither a file, a directory nor a symbolic link"""

    code = "VM413"
    exit_code = 1
    hint = "check the step's `outputs`"


class OutputUnnamable(UserError):
    """`{name}` made an output whose name cannot be sent: {why}"""

    code = "VM414"
    exit_code = 1
    hint = "names of outputs must be UTF-8 and at most 4096 bytes long"


class AmbiguousShard(UserError):
    """`{shard}` fits {count} shards of run {run}: {some}"""

    code = "VM415"
    hint = "say more of the name, or an index from `vitte dist explain {run} --json`"


class AmbiguousRun(UserError):
    """`{run}` is the start of {count} runs"""

    code = "VM416"
    hint = "say more of it, or `last` for the newest"


# -- 5xx: storage -------------------------------------------------------------------------------
class StoreFull(EnvironmentFault):
    """The disk under `{path}` is full"""

    code = "VM501"
    hint = "free some space; nothing that was stored is damaged"


class BlobLost(PeerError):
    """Blob {digest} is on no node that answers"""

    code = "VM502"


class CannotPlace(EnvironmentFault):
    """`{path}` cannot be written: {why}"""

    code = "VM503"


class StoreBroken(EnvironmentFault):
    """The disk under this node's store fails: {why}"""

    code = "VM504"
    hint = "look at the kernel's log, and at the disk; other nodes take over its work meanwhile"


class NoSuchBlob(UserError):
    """This node's store has no blob `{blob}`"""

    code = "VM505"
    hint = "`vitte cache ls` shows what it has; the beginning of an id is enough"


class AmbiguousBlob(UserError):
    """`{blob}` is the beginning of {count} blob ids"""

    code = "VM506"
    hint = "give more digits"


class TooManyPins(UserError):
    """There are {limit} pinned blobs already"""

    code = "VM507"
    hint = "`vitte cache ls --pinned` shows them, `vitte cache pin --remove BLOB` unpins one"


# -- 6xx: small machines and the lines to them --------------------------------------------------
class SerialUnavailable(EnvironmentFault):
    """The serial device `{device}` cannot be opened: {why}"""

    code = "VM601"
    exit_code = 10
    hint = "is it plugged in, free, and may this user open it (group `dialout`)?"


class RuleFileWrong(UserError):
    """{where}: {why}"""

    code = "VM602"
    hint = "{hint}"


class NoLeaf(EnvironmentFault):
    """No leaf answers at `{port}`: {why}"""

    code = "VM603"
    exit_code = 10
    hint = "is it the right port, is the leaf powered, and does it run the leaf firmware?"


class WrongBaud(EnvironmentFault):
    """What comes over `{port}` makes no sense at {baud} baud"""

    code = "VM604"
    exit_code = 10
    hint = "try `--baud {other}`"


class LeafTaken(UserError):
    """The leaf at `{port}` was provisioned before, and not for this mesh"""

    code = "VM605"
    exit_code = 11
    hint = "hold its release pin while it starts; it forgets its mesh and its programs"


class LeafNotProvisioned(UserError):
    """The leaf at `{port}` belongs to no mesh yet"""

    code = "VM606"
    exit_code = 11
    hint = "vitte leaf provision {port}"


class LeafDistrusted(PeerError):
    """The leaf at `{port}` is not taken for what it says it is: {why}"""

    code = "VM607"
    exit_code = 11


class NoSuchLeaf(UserError):
    """No leaf is called `{name}`"""

    code = "VM608"
    hint = "`vitte leaf list` shows the leaves; a name or the start of an id will do"


class LeafAway(EnvironmentFault):
    """The leaf {name} is at no gateway that can be reached"""

    code = "VM609"
    exit_code = 10
    hint = "plug it in and `vitte leaf attach PORT` there; its old program runs on meanwhile"


class LeafSilent(EnvironmentFault):
    """The leaf {name} did not answer in time; its old program runs on"""

    code = "VM610"
    exit_code = 13
    hint = "`vitte leaf show {name}` shows the quality of its line; try again, it resumes"


class LeafUnsigned(UserError):
    """The leaf {name} refuses the program: it is not signed by the leaf's authority"""

    code = "VM611"
    exit_code = 11
    hint = "sign it at {authority}, where the leaf was provisioned; the old program runs on"


class LeafOldCounter(UserError):
    """The leaf {name} refuses the program: its counter is not above those it has accepted"""

    code = "VM612"
    exit_code = 11
    hint = "deploy the rules again: they are signed anew; the old program runs on"


class LeafWrongTarget(UserError):
    """The leaf {name} refuses the program: it was made for another leaf or board"""

    code = "VM613"
    exit_code = 2
    hint = "deploy the rule files themselves; the old program runs on"


class ProgramRefused(UserError):
    """The leaf {name} refuses the program: flaw {flaw} in rule {rule}, instruction {instruction}"""

    code = "VM614"
    exit_code = 2
    hint = "`vitte rule check` says more; the old program runs on"


class TooManyRules(UserError):
    """{count} rules are too many: a leaf runs {most} at most"""

    code = "VM615"
    hint = "join some of them, or use another leaf"


class LeafRefused(PeerError):
    """The leaf {name} refuses the program: {why}; the old program runs on"""

    code = "VM616"


class NotItsAuthority(UserError):
    """Programs for the leaf {name} are signed by {authority}, not by this node"""

    code = "VM617"
    exit_code = 11
    hint = "run this at {authority}, or deploy what was signed there with `--package`"


class LeafWentBack(PeerError):
    """The leaf {name} went back to its old program: the new one did not last its trial"""

    code = "VM618"
    hint = "`vitte leaf logs {name}` shows what happened"


class EmulatorUnavailable(EnvironmentFault):
    """Boards cannot be emulated here: {why}"""

    code = "VM619"
    exit_code = 10
    hint = "{hint}"


# -- 7xx: the simulator -------------------------------------------------------------------------
class ScenarioUnusable(UserError):
    """{where}: {why}"""

    code = "VM701"
    hint = "`vitte sim run --save FILE` writes a scenario that can be used"


class SimulatorFault(EnvironmentFault):
    """The simulator cannot run here: {why}"""

    code = "VM702"
    hint = "`vitte sim doctor` says more"


class ChaosUnavailable(EnvironmentFault):
    """Real processes in network namespaces cannot be had here: {why}"""

    code = "VM703"
    exit_code = 10
    hint = "use Linux, as root (sudo), with {tools}; `vitte sim replay` plays the file anywhere"


class ChaosUnsupported(UserError):
    """{where}: the real world cannot do {kinds}"""

    code = "VM704"
    hint = "`vitte sim replay` can; or take these faults out of a copy of the file"


class ChaosFailed(EnvironmentFault):
    """`{what}` failed: {why}"""

    code = "VM705"
    exit_code = 10
    hint = "everything was removed again; `dmesg` may say more"


class ChaosForeignWorld(UserError):
    """{where}: real processes are whole nodes; the world `{world}` has none"""

    code = "VM706"
    hint = "`vitte sim replay` plays it; for real processes, write a scenario of the world `mesh`"


class OutputUnwritable(EnvironmentFault):
    """{path} cannot be written: {why}"""

    code = "VM707"
    exit_code = 2
    hint = "{hint}"


class OutputIsInput(UserError):
    """`{option}` would write over {path}, which is read or written by this command already"""

    code = "VM708"
    hint = "name another file"


class SimMisused(UserError):
    """`{option}`: {why}"""

    code = "VM709"
    hint = "{hint}"


# -- 8xx: the shared state ----------------------------------------------------------------------
class NoLogHere(UserError):
    """There is no log of a mesh in {home}"""

    code = "VM801"
    hint = "`--home DIR` names another node's home; `vitte mesh join` makes this one a member"


class LogUnreadable(EnvironmentFault):
    """The log in {path} cannot be read: {why}"""

    code = "VM802"
    hint = "check the name and its permissions"


class StillAMember(UserError):
    """{node} is a member: what it says counts"""

    code = "VM803"
    hint = "`vitte mesh revoke {node}` removes it, with --after from an earlier place on"


class NotWritten(EnvironmentFault):
    """{path} cannot be written: {why}"""

    code = "VM804"
    hint = "check the folder, its permissions and the room on its disk"


class LogFull(EnvironmentFault):
    """The log of this node takes nothing more until its disk does"""

    code = "VM805"
    hint = "make room on the disk, or see `vitte doctor`; the node goes on by itself then"
