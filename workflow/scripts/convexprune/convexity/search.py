"""Lengths of the shortest paths from `LANES` sources at once, one in each lane of a vector register.

A vertex takes the shortest of the paths that its neighbours offer, in all lanes at once. If this changes
anything, its own neighbours look again. In a graph of nearest neighbours this ends after a handful of looks
at each vertex, whatever the lengths of the edges. (A queue with buckets would break on edges of length zero.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convexprune.convexity.kernels import compiled

NOTHING = 1e-200  # less than any edge, except those of length 0 between equal points
LANES = 16  # sources at once: two registers of AVX-512, four of AVX2


class Problem(NamedTuple):
    """A graph, and the targets of each source: the points of its group."""

    starts: np.ndarray  # (N + 1,) the edges of vertex v are starts[v]:starts[v + 1]
    targets: np.ndarray  # (2 E,) int32
    lengths: np.ndarray  # (2 E,) float64
    group: np.ndarray  # (N,)
    kin: np.ndarray  # (N,) paths between points of the same kin do not count
    groups: np.ndarray  # (N,) those between points of different groups are added up once more, alone
    coins: np.ndarray  # (N,)
    members: np.ndarray  # (N,) vertices by group
    first: np.ndarray  # (groups + 1,) the members of group g are first[g]:first[g + 1]
    slack: float  # the shorter of two paths is known only if they differ by more than this share
    exact: np.ndarray  # (2 E, W) lengths by `measure_edges`; (0, 1) while these are not known


class Workspace(NamedTuple):
    """The memory of one thread."""

    ways: np.ndarray  # (N, LANES) the lengths of paths
    frontiers: np.ndarray  # (2, N + 1) int32
    marked: np.ndarray  # (N,) uint8, 0 between uses
    parents: np.ndarray  # (N,) int32, -1 between uses
    visits: np.ndarray  # (N,) float64, 0 between uses
    influence: np.ndarray  # (N, W) int64
    near: np.ndarray  # (2 E,) int32
    ends: np.ndarray  # (N,) int64
    totals: np.ndarray  # (N, W) exact lengths of paths; (0, 1) if not needed
    counts: np.ndarray  # (N,) int64


def make_workspace(problem: Problem, W: int) -> Workspace:
    N = len(problem.group)
    memory = np.empty(N * LANES + 8)
    aligned = -(memory.ctypes.data // 8) % 8  # each row of ways then fills whole cache lines
    return Workspace(
        memory[aligned : aligned + N * LANES].reshape(N, LANES),
        np.empty((2, N + 1), np.int32),
        np.zeros(N, np.uint8),
        np.full(N, -1, np.int32),
        np.zeros(N),
        np.zeros((N, W), np.int64),
        np.empty(len(problem.targets), np.int32),
        np.empty(N, np.int64),
        np.empty((0, 1), np.int64),
        np.empty(N, np.int64),
    )


@compiled
def find_paths(problem, sources, workspace):
    """Fill ways[v, lane]: the length of the shortest path from the lane's source to v.

    The lengths are final for the source's targets, and for all vertices no farther than the farthest target
    (and a little beyond it, for rounding errors).
    """
    starts, targets, lengths, group, _, _, _, members, first, slack, _ = problem
    ways, (frontier, following), queued, _, _, _, _, _, _, _ = workspace
    bounds = np.full(LANES, np.inf)
    ways[:] = np.inf
    n_targets = 0
    n = 0
    for lane, source in enumerate(sources):
        ways[source, lane] = 0
        n_targets += first[group[source] + 1] - first[group[source]]
        n = _queue_neighbours(source, starts, targets, frontier, n, queued)

    while n > 0:
        m = 0
        for i in range(n):
            v = np.int64(frontier[i])
            queued[v] = 0
            if _pull(ways, bounds, targets, lengths, starts[v], starts[v + 1], v):
                m = _queue_neighbours(v, starts, targets, following, m, queued)
        frontier, following = following, frontier
        n = m
        # Paths longer than those to all targets do not matter. Update the bounds if that is the cheaper work.
        if n_targets < LANES * n:
            for lane, source in enumerate(sources):
                bounds[lane] = 0
                for t in range(first[group[source]], first[group[source] + 1]):
                    bounds[lane] = max(bounds[lane], ways[members[t], lane])
                bounds[lane] = bounds[lane] * (1 + 2 * slack) + NOTHING


@compiled
def _queue_neighbours(v, starts, targets, queue, n, queued):
    for e in range(starts[v], starts[v + 1]):
        u = targets[e]
        queue[n] = u  # if u is queued already, the next one overwrites it: no branch to mispredict
        n += 1 - queued[u]
        queued[u] = 1
    return n


@intrinsic
def _pull(typing, ways, bounds, targets, lengths, begin, end, v):
    """Let vertex v take the shortest path over any of its edges begin..end, in each lane.

    ways[v] = min(ways[v], min over e of ways[targets[e]] + lengths[e]). Returns whether a way has become
    shorter and is below its lane's bound. Written in LLVM's instructions, since numba has no vectors and does
    not keep sixteen running minima in registers.
    """
    signature = types.boolean(ways, bounds, targets, lengths, *[types.int64] * 3)
    i64 = ir.IntType(64)
    vector = ir.VectorType(ir.DoubleType(), LANES)

    def generate(context, builder, signature, arguments):
        arrays = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:4], arguments[:4], strict=True)
        ]
        ways, bounds, targets, lengths = arrays
        begin, end, v = arguments[4:]

        def lanes(array, row):
            pointer = builder.gep(array, [builder.mul(row, i64(LANES))])
            return builder.bitcast(pointer, vector.as_pointer())

        def load(array, row):
            return builder.load(lanes(array, row), align=8)

        def repeat(scalar):
            single = builder.insert_element(vector(ir.Undefined), scalar, ir.IntType(32)(0))
            zeros = ir.VectorType(ir.IntType(32), LANES)([0] * LANES)
            return builder.shuffle_vector(single, vector(ir.Undefined), zeros)

        def smaller(a, b):
            return builder.select(builder.fcmp_ordered("<", a, b), a, b)

        before = builder.block
        loop = builder.append_basic_block("edges")
        after = builder.append_basic_block("after")
        builder.branch(loop)

        builder.position_at_end(loop)
        edge = builder.phi(i64)
        best = builder.phi(vector)
        neighbour = builder.sext(builder.load(builder.gep(targets, [edge])), i64)
        way = builder.fadd(load(ways, neighbour), repeat(builder.load(builder.gep(lengths, [edge]))))
        better = smaller(way, best)
        following = builder.add(edge, i64(1))
        for variable, first, then in ((edge, begin, following), (best, vector([np.inf] * LANES), better)):
            variable.add_incoming(first, before)
            variable.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed("<", following, end), loop, after)

        builder.position_at_end(after)
        old = load(ways, v)
        builder.store(smaller(better, old), lanes(ways, v), align=8)
        matters = builder.fcmp_ordered("<", better, smaller(old, load(bounds, i64(0))))
        some = ir.IntType(LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(matters, some), some(0))

    return signature, generate
