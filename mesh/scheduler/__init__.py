"""Who runs what, where and when: the run graph, the ready queue, leases, stealing. All pure."""
