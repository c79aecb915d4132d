"""The simulated disk of one machine: what is durable, what is only written, and how both go wrong.

    disk = SimDisk(world, "disk 3", SimDiskConfig(quota_bytes=None))  # outlives its processes
    port = disk.open(stall)        # `mesh.ports.Disk` for one life; stall(duration_s): time taken
    port.detach()                  # it ended: its calls fail, what it wrote stays (kill -9)
    disk.power_cut()               # what was not synced is lost in part: a random prefix of the
                                   # pending operations happened, the next one is torn, renames may
                                   # have overtaken; returns what was lost, for the story
    image = disk.snapshot(); disk.restore(image)           # an old disk comes back
    disk.wipe()                                            # a new, empty one

Faults; every verb returns a `Fault` with `undo()`:

    fill(free_bytes=0)             no room beyond what is there: StoreFull as the real port says it
    read_only()                    EROFS on every change
    fail_reads(chance=, names=)    EIO
    fail_writes(chance=, names=)   EIO
    fail_syncs(chance=, names=)    EIO, and what was to be synced will never be durable
    slow_syncs(duration_s=)        each sync takes so long
    slow_reads(duration_s=)
    lose_syncs(names=)             a disk that lies: says yes and keeps it in its cache only
  disk.heal() undoes all. `names` is a pattern as in the shell.
  Once, nothing to undo:
    rot(name=None, bits=1)         bit rot at rest in one file (a random one); returns its name
    tear(name=None)                a file loses its end; returns its name
  disk.watchers are called before each operation: the place for "power cut at the third sync".

Deliberately not here: the real disk (`mesh.ports.real.disk`) and who runs on it (`sim.machine`).
"""

from sim.disk.disk import DiskImage, SimDisk, SimDiskConfig
from sim.disk.port import DiskPort, SimDiskFile

__all__ = ["DiskImage", "DiskPort", "SimDisk", "SimDiskConfig", "SimDiskFile"]
