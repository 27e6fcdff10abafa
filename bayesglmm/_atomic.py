"""Numbers that several threads share: read, written and changed as one, in compiled code.

Each function works on one place of an int64 array and is sequentially consistent: what a thread has
written before it stores here, another sees once it has loaded that here.
"""

import os

from ._jit import ENABLED, bare, intrinsic, types

# A thread that waits lets others have its processor, where the system has a call for that.
YIELDS = hasattr(os, "sched_yield")

if ENABLED:
    ORDERING, ALIGNMENT = "seq_cst", 8

    def _pointer(context, builder, array_type, array, place):
        data = context.make_array(array_type)(context, builder, array).data
        return builder.gep(data, [place])

    @intrinsic
    def load(typing_context, array, place):
        """The number at a place."""

        def code(context, builder, signature, arguments):
            pointer = _pointer(context, builder, signature.args[0], *arguments)
            return builder.load_atomic(pointer, ORDERING, ALIGNMENT)

        return types.int64(array, types.int64), code

    @intrinsic
    def store(typing_context, array, place, value):
        """Write a number to a place."""

        def code(context, builder, signature, arguments):
            pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
            builder.store_atomic(arguments[2], pointer, ORDERING, ALIGNMENT)
            return context.get_dummy_value()

        return types.void(array, types.int64, types.int64), code

    @intrinsic
    def increase(typing_context, array, place, value):
        """Add to the number at a place; returns what it was."""

        def code(context, builder, signature, arguments):
            pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
            return builder.atomic_rmw("add", pointer, arguments[2], ORDERING)

        return types.int64(array, types.int64, types.int64), code

    @intrinsic
    def replace(typing_context, array, place, old, new):
        """Write a number where another stands; returns whether it stood there."""

        def code(context, builder, signature, arguments):
            pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
            both = builder.cmpxchg(pointer, arguments[2], arguments[3], ORDERING, ORDERING)
            return builder.extract_value(both, 1)

        return types.boolean(array, types.int64, types.int64, types.int64), code

    if YIELDS:
        rest = types.ExternalFunction("sched_yield", types.int32())
    else:

        @bare
        def rest():
            """Let other threads run."""

else:
    # Of one thread: with compilation off no other takes part.

    def load(array, place):
        """The number at a place."""
        return int(array[place])

    def store(array, place, value):
        """Write a number to a place."""
        array[place] = value

    def increase(array, place, value):
        """Add to the number at a place; returns what it was."""
        array[place] += value
        return int(array[place]) - value

    def replace(array, place, old, new):
        """Write a number where another stands; returns whether it stood there."""
        if array[place] != old:
            return False
        array[place] = new
        return True

    def rest():
        """Let other threads run."""
