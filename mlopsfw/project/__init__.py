"""The project: the facade that users know, and the processes that open one."""
