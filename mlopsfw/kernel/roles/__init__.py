"""The roles that plugins play, and the values that pass between them and the kernel.

Each role is a `Protocol` in a module of its own; values are frozen `msgspec.Struct`s. Nothing here acts, and nothing
here
imports the kernel: it knows the standard library, msgspec and `mlopsfw.kernel.base.errors`.
"""
