/* SPDX-License-Identifier: MIT */
#include "sweep.h"

static const int64_t last_limit_bytes = 64 << 20;

static void write_point(demo_report *report, const demo_founding_case *founding, int64_t limit_bytes, FILE *data) {
    demo_measurement m;
    demo_measure(&founding->problem, &founding->tensors, limit_bytes, &m);
    demo_report_check(report, m.status == TILEFOLD_OK, "%s, limit %lld bytes: %s", founding->name,
                      (long long)limit_bytes, m.message.text);
    if (m.status != TILEFOLD_OK) return;
    fprintf(data, "%lld %lld %lld %.9f %d\n", (long long)limit_bytes, (long long)m.plan.scratch_bytes,
            (long long)(m.growth_bytes - m.plan.packed_weight_bytes), m.seconds, m.plan.threads);
}

void demo_sweep(demo_report *report, const demo_founding_case *founding, FILE *data) {
    tilefold_plan_info info;
    tilefold_message message;
    tilefold_status status = demo_plan(&founding->problem, last_limit_bytes, &info, &message);
    demo_report_check(report, status == TILEFOLD_OK, "%s: %s", founding->name, message.text);
    if (status != TILEFOLD_OK) return;
    fprintf(data, "\"%s\"\n", founding->name);
    write_point(report, founding, info.min_scratch_bytes, data);
    for (int64_t limit = 1024; limit <= last_limit_bytes; limit *= 2)
        if (limit > info.min_scratch_bytes) write_point(report, founding, limit, data);
    fprintf(data, "\n\n");
}
