"""The share of shortest paths that lies inside the class of their ends, over all pairs of a class.

Shortest paths are found from `LANES` sources at once, one in each lane of a vector register. A vertex takes,
for all lanes together, the best of the paths that its neighbours offer; while that changes anything, its own
neighbours look again. In a graph of nearest neighbours this ends after a handful of looks at each vertex,
whatever the lengths of the edges: there is no queue whose buckets an edge of length zero could spoil.

What is compared of a path is one integer, its key: the length, in the highest bits; the number of interior
vertices outside the class; the number of interior vertices, in the lowest `bits`. Going along an edge is one
addition, the better of two paths is the smaller key, and at the end the key of a target holds the two counts
that its share needs. Since keys are integers their sums are exact, so that equal lengths tie whatever the
order of their edges, and a path is as long as its reverse.
"""

from __future__ import annotations

import logging
import math
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
COARSE = 1 << 12  # units: shorter edges are rounded by more than 0.01 %
FIRST_BITS = 7  # of each count: enough for paths of up to 125 interior vertices

log = logging.getLogger(__name__)


class Shares(NamedTuple):
    """What `inside_shares` finds from S sources among N points."""

    sums: np.ndarray  # (S,) the sum of the shares of the paths from each source
    unreachable: np.ndarray  # (N,) the number of points of its class that no path joins to each point
    influence: np.ndarray  # (N, W) how far each point, as an interior vertex, moves the weighted sums


def inside_shares(
    graph: Graph, classes: np.ndarray, sources: np.ndarray, weights: np.ndarray, *, threads: int = 1
) -> Shares:
    """What share of the shortest paths from the `sources` to all others of their class lies inside the class.

    The share of a path is the part of its interior vertices that are of the class: 1 where it has none. Of
    several shortest paths the one with the fewest vertices outside the class counts, and of those the one
    with the fewest vertices. Lengths are distances: an edge is itself a shortest path, so the share of
    neighbours is 1.

    Before lengths are added up and compared, each edge is rounded to 2^-46 of the diameter of its component
    or finer (2^-40 where paths have more than 125 interior vertices, 2^-34 above 1,021, and so on); a warning
    says where that is coarse beside the shortest edge. On points with whole coordinates (or halves, quarters,
    ...) what is rounded is not the edge but the length of which it is a whole multiple, so that all ties are
    found. Other ties, of three points on a line in the plane say, are left to rounding, as in floating point.

    An interior vertex moves the share of its path by (1 if it is of the class, else 0, less what was to be
    expected of it: the part of its neighbours that are) / (interior vertices of the path). Its influence is
    the sum of that over all paths, times the `weights` (S, W) of their sources.

    `classes` (N,) are integers. No bit of the result depends on the number of threads.
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
    place = np.argsort(order)
    batches = np.sort(place[sources[sizes[group[place[sources]]] > 1]])

    # influences add up as integers, so that it does not matter which thread adds when
    units = 2.0**60 / (N * weights.sum(axis=0))
    placed_weights = np.zeros((N, weights.shape[1]))
    placed_weights[place[sources]] = weights * units

    bits = min(FIRST_BITS, N.bit_length())
    found = None
    while found is None:
        problem = _problem(matrix, component, group, bits)
        found = _run(problem, batches, placed_weights, threads)
        bits += 3
    sums, influence = found
    shortest = problem.edges[matrix.data > 0].min(initial=UNREACHED) >> (2 * problem.bits)
    if shortest < COARSE:
        log.warning(
            "lengths are rounded to a unit of which the shortest edge has only %d: are there outliers far "
            "from all other points?",
            shortest,
        )
    return Shares(sums[place[sources]], unreachable, influence[place] / units)


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
    """Lengths as whole multiples of others: (multiples, bases); multiples are all 1 unless points are whole.

    The square roots of numbers without square divisors are linearly independent over the whole numbers: sums
    of such lengths are equal if and only if they hold each base as often. Squares of lengths are looked at up
    to 2^40, and their prime factors up to 1,000.
    """
    scale = 2.0 ** (20 - np.frexp(lengths.max())[1])  # whole numbers may be whole up to a power of two
    squares, place = np.unique(np.rint((lengths * scale) ** 2).astype(np.int64), return_inverse=True)
    if not np.array_equal(np.sqrt(squares[place]), lengths * scale):
        return np.ones(len(lengths), np.int64), lengths
    multiples = np.ones(len(squares), np.int64)
    rest = np.maximum(squares, 1)  # lengths of 0 are no multiple of anything
    largest = min(1000, round(rest.max() ** (1 / 3)) + 1)
    for prime in [n for n in range(2, largest + 1) if all(n % m for m in range(2, math.isqrt(n) + 1))]:
        odd = np.zeros(len(squares), bool)
        while (divisible := rest % prime == 0).any():
            rest[divisible] //= prime
            multiples[divisible & odd] *= prime
            odd ^= divisible
    roots = np.rint(np.sqrt(rest)).astype(np.int64)  # no prime above the cube root is a factor three times
    multiples[roots**2 == rest] *= roots[roots**2 == rest]
    common = np.gcd.reduce(multiples[squares > 0])
    multiples = np.where(squares > 0, multiples // max(common, 1), 1)
    return multiples[place], (np.sqrt(squares // multiples**2) / scale)[place]


class _Workspace(NamedTuple):
    """The memory of one thread."""

    keys: np.ndarray  # (N, LANES) int64
    frontier: np.ndarray  # (2, N + 1) int32
    marked: np.ndarray  # (N,) uint8, 0 between uses
    parents: np.ndarray  # (N,) int32, -1 between uses
    visits: np.ndarray  # (N,) float64, 0 between uses
    influence: np.ndarray  # (N, W) int64


def _workspace(N: int, W: int) -> _Workspace:
    memory = np.empty(N * LANES + 8, np.int64)
    aligned = -(memory.ctypes.data // 8) % 8  # a row of keys then never straddles two lines of cache
    return _Workspace(
        memory[aligned : aligned + N * LANES].reshape(N, LANES),
        np.empty((2, N + 1), np.int32),
        np.zeros(N, np.uint8),
        np.full(N, -1, np.int32),
        np.zeros(N),
        np.zeros((N, W), np.int64),
    )


def _run(
    problem: _Problem, sources: np.ndarray, weights: np.ndarray, threads: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Sums and influences of all vertices; None if the vertices of a path are too many for their bits."""
    sums = np.zeros(len(weights))
    batches = iter([sources[start : start + LANES] for start in range(0, len(sources), LANES)])

    def work(thread: int) -> np.ndarray | None:
        workspace = _workspace(*weights.shape)
        for batch in batches:  # the threads share the iterator
            _find_paths(problem, batch, workspace)
            if not _follow_paths(problem, batch, weights, workspace, sums):
                for _ in batches:  # the other threads need not go on
                    pass
                return None
        return workspace.influence

    influences = run_threads(work, range(threads), threads)
    return None if any(influence is None for influence in influences) else (sums, sum(influences))


@compiled
def _find_paths(problem, sources, workspace):
    """Fill keys[v, lane]: the key of the best path from the lane's source to v, v itself counted as interior.

    Only those of the targets and of vertices on the way to them need be final.
    """
    starts, targets, edges, group, members, first, bits = problem
    keys, (frontier, following), queued, _, _, _ = workspace
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
                own = lane_group[lane]
                bounds[lane] = 0
                for t in range(first[own], first[own + 1]):
                    bounds[lane] = max(bounds[lane], keys[members[t], lane])


@compiled
def _follow_paths(problem, sources, weights, workspace, sums):
    """Fill `sums` at the sources and add to the influence of the vertices on their paths.

    False, and nothing done, if the number of vertices on a path has overflown its bits.
    """
    starts, targets, _, group, members, first, bits = problem
    keys, (touched, _), adjacent, parents, visits, influence = workspace
    mask = (1 << bits) - 1
    longest = 0
    for key in keys.ravel():
        longest = max(longest, key & mask)
    if longest == mask:  # as on each path that is longer, on one of its vertices
        return False

    for lane, source in enumerate(sources):
        own = group[source]
        total = 0.0
        n = 0
        adjacent[targets[starts[source] : starts[source + 1]]] = 1
        for t in range(first[own], first[own + 1]):
            v = members[t]
            if v == source:
                continue
            if adjacent[v]:  # whatever rounding makes of a detour
                total += 1.0
                continue
            key = keys[v, lane] - 1
            interior = key & mask
            total += (interior - (key >> bits & mask)) / interior
            while True:
                if parents[v] < 0:
                    parents[v] = _parent(v, lane, problem, keys, own)
                    touched[n] = v
                    n += 1
                v = parents[v]
                if v == source:
                    break
                visits[v] += 1.0 / interior
        sums[source] = total
        adjacent[targets[starts[source] : starts[source + 1]]] = 0

        for v in touched[:n]:
            parents[v] = -1
            if visits[v] > 0:
                alike = 0
                for e in range(starts[v], starts[v + 1]):
                    alike += group[targets[e]] == own
                surprise = (group[v] == own) - alike / (starts[v + 1] - starts[v])
                for w in range(weights.shape[1]):
                    influence[v, w] += np.int64(np.rint(weights[source, w] * visits[v] * surprise))
                visits[v] = 0
    return True


@compiled
def _parent(v, lane, problem, keys, own):
    """The vertex before v on its best path."""
    starts, targets, edges, group, _, _, bits = problem
    key = keys[v, lane] - (1 if group[v] == own else 1 + (1 << bits))
    for e in range(starts[v], starts[v + 1]):
        if keys[targets[e], lane] + edges[e] == key:
            return targets[e]
    raise AssertionError("the key of a vertex on a shortest path is final")


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
