"""The share of shortest paths that lies inside the class of their ends, over all pairs of a class.

Shortest paths are found from `LANES` sources at once, one in each lane of a vector register. A vertex takes,
for all lanes together, the best of the paths that its neighbours offer; while that changes anything, its own
neighbours look again. In a graph of nearest neighbours this ends after a handful of looks at each vertex,
whatever the lengths of the edges: there is no queue whose buckets an edge of length zero could spoil.

What is compared of a path is one integer, its key: the length, in the highest bits; the number of interior
vertices outside the class; the number of interior vertices, in the lowest `bits`. Going along an edge is one
addition, the better of two paths is the smaller key, and at the end the key of a target holds the two counts
that its share needs: no path is ever listed. Since keys are integers their sums are exact, so that equal
lengths tie whatever the order of their edges, and a path is as long as its reverse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from scipy.sparse import csgraph, csr_array

from convexprune.kernels import compiled, run_threads
from convexprune.neighbours import Graph

LANES = 16  # sources at once: two registers of AVX-512, four of AVX2
KEY_BITS = 62  # the sum of the key of an unreached vertex and an edge still fits into 64 bits
UNREACHED = 1 << KEY_BITS
FIRST_BITS = 7  # of each count: enough for paths of up to 125 interior vertices


def inside_shares(
    graph: Graph, classes: np.ndarray, sources: np.ndarray, *, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the shares of the shortest paths from each of the `sources` to all others of its class.

    The share of a path is the part of its interior vertices that are of the class: 1 where it has none. Of
    several shortest paths the one with the fewest vertices outside the class counts, and of those the one
    with the fewest vertices. Before lengths are added up and compared, each edge is rounded to 2^-46 of the
    diameter of its component or finer (where paths have more than 125 interior vertices, each doubling of
    that costs two bits); on points with whole coordinates, lengths that are whole multiples of one another
    remain so, and all ties are found.

    `classes` (N,) are integers. Returns the sum (float64) of each source, and for every point (N,) the number
    of points of its class that no path reaches. Neither depends on the number of threads.
    """
    N = len(classes)
    matrix = csr_array((graph.lengths, graph.targets, graph.starts), shape=(N, N))
    component = csgraph.connected_components(matrix, directed=False)[1]
    # only points of one class and component are joined by a path
    _, group, sizes = np.unique(
        classes * (component.max() + 1) + component, return_inverse=True, return_counts=True
    )
    unreachable = np.bincount(classes)[classes] - sizes[group]

    # vertices that are near in the graph lie near in memory, and near sources share a batch
    order = csgraph.reverse_cuthill_mckee(matrix, symmetric_mode=True)
    matrix = matrix[order][:, order]
    component, group = component[order], group[order]
    place = np.empty(N, np.int64)
    place[order] = np.arange(N)
    starting = np.sort(place[sources[sizes[group[place[sources]]] > 1]])

    sums = np.zeros(N)
    bits = min(FIRST_BITS, N.bit_length())
    while not _run(_problem(matrix, component, group, bits), starting, sums, threads):
        bits += 3
    return sums[place[sources]], unreachable


class _Problem(NamedTuple):
    """A graph whose edges carry keys, and the targets of each source: the points of its group."""

    starts: np.ndarray  # (N + 1,) the edges of vertex v are starts[v]:starts[v + 1]
    targets: np.ndarray  # (2 E,) int32
    edges: np.ndarray  # (2 E,) int64: lengths as keys
    group: np.ndarray  # (N,)
    members: np.ndarray  # (N,) vertices by group
    first: np.ndarray  # (groups + 1,) the members of group g are first[g]:first[g + 1]
    bits: int


def _problem(matrix: csr_array, component: np.ndarray, group: np.ndarray, bits: int) -> _Problem:
    # No shortest path is longer than twice the way from one vertex to its farthest. The units are powers of
    # two, so that whole lengths are not rounded.
    roots = np.unique(component, return_index=True)[1]
    farthest = np.zeros(len(roots))
    np.maximum.at(farthest, component, csgraph.dijkstra(matrix, indices=roots, min_only=True))
    length_bits = KEY_BITS - 1 - 2 * bits
    exponent = length_bits - 1 - np.frexp(farthest)[1]
    sources = np.repeat(component, np.diff(matrix.indptr))
    multiples, bases = _whole_multiples(matrix.data)
    edges = multiples * np.rint(np.ldexp(bases, exponent[sources])).astype(np.int64) << (2 * bits)
    members = np.argsort(group, kind="stable")
    first = np.searchsorted(group[members], np.arange(group.max() + 2))
    return _Problem(matrix.indptr.astype(np.int64), matrix.indices, edges, group, members, first, bits)


def _whole_multiples(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths as whole multiples of others: (multiples, bases), all 1 unless every squared length is whole.

    The square roots of numbers without square divisors are linearly independent over the whole numbers: sums
    of such lengths are equal if and only if they hold each base as often. Prime factors below 40 are looked
    for: edges that are multiples of each other by a larger one hardly meet in a graph of neighbours.
    """
    squares = np.rint(lengths**2)
    multiples = np.ones(len(lengths), np.int64)
    if not np.array_equal(np.sqrt(squares), lengths):
        return multiples, lengths
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        while (divisible := (squares > 0) & (squares % prime**2 == 0)).any():
            squares[divisible] /= prime**2
            multiples[divisible] *= prime
    return multiples, np.sqrt(squares)


def _run(problem: _Problem, sources: np.ndarray, sums: np.ndarray, threads: int) -> bool:
    """Fill `sums` at `sources`; False where a path has too many vertices for the bits of their count."""
    batches = iter([sources[start : start + LANES] for start in range(0, len(sources), LANES)])

    def work(_) -> bool:
        N = len(problem.group)
        memory = np.empty(N * LANES + 8, np.int64)
        aligned = -(memory.ctypes.data // 8) % 8  # a row of keys then never straddles a line of cache
        keys = memory[aligned : aligned + N * LANES].reshape(N, LANES)
        frontier, following = np.empty((2, N + 1), np.int32)
        queued = np.zeros(N, np.uint8)
        for batch in batches:  # the threads share the iterator
            if not _batch(problem, batch, keys, frontier, following, queued, sums):
                for _ in batches:  # the other threads need not go on
                    pass
                return False
        return True

    return all(run_threads(work, range(threads), threads))


@compiled
def _batch(problem, sources, keys, frontier, following, queued, sums):
    """Fill `sums` at up to `LANES` sources; False where the number of vertices on a path overflows its bits.

    keys[v, lane] is the key of the best path known from the lane's source to v, v itself counted as interior.
    """
    starts, targets, edges, group, members, first, bits = problem
    mask = (1 << bits) - 1
    outside = 1 + (1 << bits)  # the key of a vertex outside the class, where one inside has 1
    lane_group = np.full(LANES, -1)
    bounds = np.full(LANES, UNREACHED)
    keys[:] = UNREACHED
    n_targets = 0
    n = 0
    for lane, source in enumerate(sources):
        keys[source, lane] = 0
        lane_group[lane] = group[source]
        n_targets += first[group[source] + 1] - first[group[source]]
        n = _queue_neighbours(source, starts, targets, frontier, n, queued)

    while n > 0:
        m = 0
        for i in range(n):
            v = np.int64(frontier[i])
            queued[v] = 0
            if _pull(
                keys, bounds, lane_group, targets, edges, starts[v], starts[v + 1], v, group[v], outside
            ):
                m = _queue_neighbours(v, starts, targets, following, m, queued)
        frontier, following = following, frontier
        n = m
        if n_targets < LANES * n:  # no path matters that is longer than those to all targets; worth a look?
            for lane in range(len(sources)):
                g = lane_group[lane]
                bound = 0
                for t in range(first[g], first[g + 1]):
                    bound = max(bound, keys[members[t], lane])
                bounds[lane] = bound

    longest = 0
    for key in keys.ravel():
        longest = max(longest, key & mask)
    if longest == mask:
        return False

    for lane, source in enumerate(sources):
        g = lane_group[lane]
        total = 0.0
        for t in range(first[g], first[g + 1]):
            target = members[t]
            if target != source:
                key = keys[target, lane] - 1
                interior = key & mask
                if interior == 0:
                    total += 1.0
                else:
                    total += (interior - ((key >> bits) & mask)) / interior
        sums[source] = total
    return True


@compiled
def _queue_neighbours(v, starts, targets, queue, n, queued):
    for e in range(starts[v], starts[v + 1]):
        u = targets[e]
        queue[n] = u  # overwritten by the next where u is queued already: no branch to mispredict
        n += 1 - queued[u]
        queued[u] = 1
    return n


@intrinsic
def _pull(typing, keys, bounds, lane_group, targets, edges, begin, end, v, group, outside):
    """Let vertex v take the best path over any of its edges begin..end, in each lane.

    keys[v] = min(keys[v], min over e of keys[targets[e]] + edges[e] + (1 if the lane is of `group` else
    `outside`)). Returns whether a key has become smaller and is below its lane's bound. In LLVM's own terms,
    since numba has no vectors and does not keep sixteen running minima in registers.
    """
    signature = types.boolean(keys, bounds, lane_group, targets, edges, *[types.int64] * 5)
    i64 = ir.IntType(64)
    vector = ir.VectorType(i64, LANES)

    def generate(context, builder, signature, arguments):
        arrays = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:5], arguments[:5], strict=True)
        ]
        keys, bounds, lane_group, targets, edges = arrays
        begin, end, v, group, outside = arguments[5:]

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
            return builder.select(builder.icmp_signed("<", a, b), a, b)

        before = builder.block
        loop = builder.append_basic_block("edges")
        after = builder.append_basic_block("after")
        builder.branch(loop)

        builder.position_at_end(loop)
        edge = builder.phi(i64)
        best = builder.phi(vector)
        neighbour = builder.sext(builder.load(builder.gep(targets, [edge])), i64)
        path = builder.add(load(keys, neighbour), repeat(builder.load(builder.gep(edges, [edge]))))
        better = smaller(path, best)
        following = builder.add(edge, i64(1))
        for variable, first, then in ((edge, begin, following), (best, vector([UNREACHED] * LANES), better)):
            variable.add_incoming(first, before)
            variable.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed("<", following, end), loop, after)

        builder.position_at_end(after)
        inside = builder.icmp_signed("==", load(lane_group, i64(0)), repeat(group))
        new = builder.add(better, builder.select(inside, repeat(i64(1)), repeat(outside)))
        old = load(keys, v)
        builder.store(smaller(new, old), lanes(keys, v), align=8)
        matters = builder.icmp_signed("<", new, smaller(old, load(bounds, i64(0))))
        some = ir.IntType(LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(matters, some), some(0))

    return signature, generate
