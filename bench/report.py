# SPDX-License-Identifier: MIT
"""Tables in Markdown from what compare.py saved, and where they go in a document."""
import math
import re

import results
import suite

BEGIN, END = "<!-- written by bench/benchmarks.py: {} -->", "<!-- end of {} -->"


def table(head, rows):
    def line(cells):
        return "| " + " | ".join(map(str, cells)) + " |"
    return "\n".join([line(head), line(["---", *["---:"] * (len(head) - 1)]), *map(line, rows)])


def replace_section(text, name, content):
    """The text with what is between the marks of a section replaced."""
    begin, end = BEGIN.format(name), END.format(name)
    if begin not in text or end not in text:
        raise SystemExit(f"no place for {name}: the marks {begin} and {end} are missing")
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{content}\n\n{end}", text, flags=re.DOTALL)


def summary(saved):
    """By layout and kind."""
    lines = []
    for layout in saved["layouts"]:
        for any_layout in (False, True):
            for kind, count, mean, least, below, behind in results.summarise(saved["problems"], layout, any_layout):
                if kind == "all" or not any_layout:
                    name = "all, peers in any layout" if any_layout else kind
                    lines.append([layout, name, count, f"{mean:.2f}", f"{least:.2f}", below, behind])
    return table(["layout", "kind", "shapes", "geometric mean", "least", "below 0.95", "below 1"], lines)


def limit_costs(saved):
    limits = results.limits(saved)
    unlimited = next(label for label, limit in limits.items() if limit == results.UNLIMITED)
    lines = []
    for layout in saved["layouts"]:
        for label, limit in limits.items():
            costs = [(cost, record["name"]) for record in saved["problems"]
                     if (cost := results.over(record, layout, label, unlimited))]
            if costs and label != unlimited:
                worst = ", ".join(f"{name} {cost:.2f}" for cost, name in sorted(costs, reverse=True)[:3])
                lines.append([layout, limit, f"{results.geometric_mean([cost for cost, _ in costs]):.3f}", worst])
    return table(["layout", "limit", "geometric mean", "the worst"], lines)


def cell(entry, layout):
    """Milliseconds, and MiB where they were measured."""
    if results.best(entry) == math.inf:
        return "wrong" if (entry["failure"] or "").startswith("WRONG") else "-"
    text = f"{results.best(entry) * 1e3:.4g}{'' if entry['layout'] == layout else '*'}"
    memory = results.mebibytes(entry)
    if memory is None:
        return text
    return text + (f" (<{results.KNOWN_MEBIBYTES:g})" if memory < results.KNOWN_MEBIBYTES else f" ({memory:.1f})")


def shapes(saved, layout):
    """One table a kind: a line a shape, a column a library."""
    parts, labels = [], list(saved["names"])
    for kind in suite.KINDS:
        lines = []
        for record in saved["problems"]:
            if record["kind"] == kind:
                ratio = results.ratio(record, layout)
                lines.append([record["name"], f"{record['macs'] / 1e9:.4f}",
                              *(cell(results.select(record, layout)[label], layout) for label in labels),
                              f"{ratio:.2f}" if ratio else "-"])
        if lines:
            parts.append(f"#### {kind}, {layout}\n\n" + table(["shape", "GMAC", *labels, "ratio"], lines))
    return "\n\n".join(parts)


def failures(saved):
    lines = [f"- {record['name']}, {saved['names'][entry['label']]}, {entry['layout']}: {entry['failure']}"
             for record in saved["problems"] for entry in record["entries"] if entry["failure"]]
    return "\n".join(lines) or "None."


def libraries(saved):
    return ", ".join(dict.fromkeys(name for label, name in saved["names"].items()))
