# SPDX-License-Identifier: MIT
"""What the records of contest.py say: times, ratios, summaries."""
import math
import statistics

import suite

OURS = "tilefold"
UNLIMITED = "no limit"
KNOWN_MEBIBYTES = 0.3  # resident memory is not known better


def is_ours(entry):
    return entry["peer"] == OURS


def select(record, layout):
    """The entry of each label for a layout: in that layout, else in the one that the library has."""
    chosen = {}
    for entry in record["entries"]:
        if entry["layout"] == layout or entry["label"] not in chosen:
            chosen[entry["label"]] = entry
    return chosen


def limits(saved):
    """The labels of tilefold under its limits, with the limits in words."""
    first, *others = saved["limits"]
    return {OURS: first} | {f"{OURS}, {limit}": limit for limit in others}


def best(entry):
    """Seconds; infinite where there is no right result."""
    return math.inf if entry["failure"] else min((fast for fast, _ in entry["rounds"]), default=math.inf)


def rivals(record, layout, any_layout):
    """The right results of other libraries that run in this layout, or in whichever they have."""
    return [entry for entry in select(record, layout).values()
            if not is_ours(entry) and best(entry) < math.inf and (any_layout or entry["layout"] == layout)]


def ratio(record, layout, any_layout=False):
    """The fastest rival's best time over ours; None where there is nothing to compare."""
    ours, others = select(record, layout)[OURS], rivals(record, layout, any_layout)
    return min(map(best, others)) / best(ours) if others and best(ours) < math.inf else None


def median_ratio(record, layout, any_layout=False):
    """The median over the rounds of the ratio of medians, the fastest rival's over ours."""
    ours, others = select(record, layout)[OURS], rivals(record, layout, any_layout)
    if not others or best(ours) == math.inf:
        return None
    medians = zip(*([middle for _, middle in entry["rounds"]] for entry in (ours, min(others, key=best))))
    return statistics.median(theirs / our for our, theirs in medians)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summarise(records, layout, any_layout=False):
    """Rows (kind, shapes, geometric mean, least, how many below 0.95, below 1) of the kinds that occur, then of all."""
    rows = []
    for kind in (*suite.KINDS, "all"):
        values = [ratio(record, layout, any_layout) for record in records if kind in (record["kind"], "all")]
        values = [value for value in values if value is not None]
        if values:
            rows.append((kind, len(values), geometric_mean(values), min(values), sum(value < 0.95 for value in values),
                         sum(value < 1 for value in values)))
    return rows


def over(record, layout, label, other):
    """The time of one label over that of another; None where either is missing."""
    chosen = select(record, layout)
    times = best(chosen[label]), best(chosen[other])
    return times[0] / times[1] if max(times) < math.inf else None


def mebibytes(entry):
    """MiB beside the tensors at the most: what stays and what comes and goes. None where that is not known."""
    memory = entry["memory"]
    return (memory["built"] + memory["running"]) / (1 << 20) if memory and "built" in memory else None
