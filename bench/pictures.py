# SPDX-License-Identifier: MIT
"""The pictures of docs/benchmarks.md, from records of contest.py."""
import math

import matplotlib
import matplotlib.pyplot as plt

import results
import suite

matplotlib.use("svg")
# Text stays text, and the file says nothing of when it was made, so that the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tilefold", "font.size": 9, "axes.spines.top": False,
                            "axes.spines.right": False, "font.family": "sans-serif"})
OURS_COLOUR, PEER_COLOUR, LAYOUT_COLOURS = "#c0392b", "#34495e", {"channels-first": "#c0392b", "channels-last": "#2471a3"}


def save(figure, path):
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    plt.close(figure)


def memory_points(record, layout, limits):
    """(milliseconds, MiB, label, ours) of who has both figures. Of tilefold, what its plan says, which is exact, and limits that
    lead to one plan as one point."""
    plans = {}
    for entry in results.select(record, layout).values():
        time, memory = results.best(entry) * 1e3, results.mebibytes(entry)
        if time == math.inf or memory is None:
            continue
        if entry["label"] in limits:
            plans.setdefault(entry["memory"]["planned"] / (1 << 20), []).append((time, limits[entry["label"]]))
        elif not results.is_ours(entry):
            yield time, max(memory, results.KNOWN_MEBIBYTES), entry["label"], False
    for memory, members in plans.items():
        yield min(members)[0], memory, ", ".join(limit for _, limit in members), True


def place_label(axes, taken, point, text, colour):
    """Beside the point, on the first side where it covers no other label or point."""
    width, height = 5.2 * len(text), 11
    x, y = axes.transData.transform(point)
    sides = {(7, -4): "left", (-7, -4): "right", (4, 6): "left", (4, -14): "left", (-4, 6): "right", (-4, -14): "right"}
    for (right, up), side in sides.items():
        left = x + right - (width if side == "right" else 0)
        box = left, left + width, y + up, y + up + height
        if not any(box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3] for other in taken):
            break
    taken.append(box)
    axes.annotate(text, point, textcoords="offset points", xytext=(right, up), ha=side, color=colour, fontsize=8)


def draw_memory(axes, points, title):
    axes.set(xscale="log", yscale="log", title=title, xlabel="milliseconds")
    own = sorted((y, x) for x, y, _, ours in points if ours)
    axes.plot([x for _, x in own], [y for y, _ in own], "-", color=OURS_COLOUR, linewidth=1, zorder=1)
    for x, y, _, ours in points:
        axes.plot(x, y, "o", color=OURS_COLOUR if ours else PEER_COLOUR, markersize=5, zorder=2)
    axes.margins(0.3, 0.15)
    axes.minorticks_off()
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.figure.canvas.draw()  # so that places on the page are known
    places = [axes.transData.transform(point[:2]) for point in points]
    taken = [(x - 3, x + 3, y - 3, y + 3) for x, y in places]
    for x, y, label, ours in points:
        place_label(axes, taken, (x, y), f"tilefold, {label}" if ours else label, OURS_COLOUR if ours else PEER_COLOUR)


def memory_against_time(saved, layout, titles, path):
    """A panel for each problem that has a title."""
    records = {record["name"]: record for record in saved["problems"]}
    figure, axes = plt.subplots(1, len(titles), figsize=(5 * len(titles), 3.8), dpi=72, squeeze=False)
    for place, (name, title) in zip(axes[0], titles.items()):
        draw_memory(place, list(memory_points(records[name], layout, results.limits(saved))), title)
    axes[0][0].set_ylabel("MiB beside the tensors")
    save(figure, path)


def ratios(records, layouts, path):
    """A dot a shape: right of 1 tilefold is faster."""
    kinds = [kind for kind in suite.KINDS if any(record["kind"] == kind for record in records)]
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(kinds) + 1.2))
    for shift, layout in zip((0.16, -0.16), layouts):
        dots = [(found, kinds.index(record["kind"]) + shift) for record in records
                if (found := results.ratio(record, layout))]
        axes.scatter([x for x, _ in dots], [y for _, y in dots], s=14, color=LAYOUT_COLOURS[layout], alpha=0.65, linewidths=0, label=layout)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    ticks = [0.1, 0.25, 0.5, 0.7, 1, 1.5, 2, 4, 10, 50]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set_xlabel("time of the fastest peer over time of tilefold")
    axes.grid(axis="x", alpha=0.3, linewidth=0.5)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    save(figure, path)
