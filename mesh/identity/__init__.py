"""Who is who: keys, certificates, the roster of admitted members, and how strangers become members.

Everything here is pure except `trust` (which saves to the Disk port); the drivers that speak to the
network are `mesh.node.joining` and `mesh.ports.real.streams`.
"""
