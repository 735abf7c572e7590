/* The progress line. See progress.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "signals.h"
#include "system.h"

static const double seconds_between_lines = 0.1;
enum { WIDTH_UNKNOWN = 80, MOST_WIDTH = 120 };

void tilefold_cli_progress_begin(tilefold_cli_progress *progress, bool quiet) {
    double now = tilefold_cli_clock();
    *progress = (tilefold_cli_progress){.wanted = !quiet && tilefold_cli_is_terminal(),
                                        .begun = now,
                                        .printed = now,
                                        .bands = 1};
}

void tilefold_cli_progress_band(tilefold_cli_progress *progress, int64_t band, int64_t bands) {
    progress->band = band;
    progress->bands = bands;
}

/* Characters that fit a line without the terminal beginning another one. Asked every time, since windows change. */
static size_t line_width(void) {
    int columns = tilefold_cli_terminal_columns();
    int width = columns > 0 ? columns : WIDTH_UNKNOWN;
    return (size_t)(width < MOST_WIDTH ? width : MOST_WIDTH) - 1;
}

typedef struct progress_line {
    char text[MOST_WIDTH];
    size_t width, used;
    bool full; /* a part has not fitted: what comes after it is left out too */
} progress_line;

#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static void
add_part(progress_line *line, const char *format, ...) {
    char part[64];
    va_list arguments;
    va_start(arguments, format);
    size_t length = (size_t)vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    line->full = line->full || line->used + length > line->width;
    if (line->full) return;
    memcpy(line->text + line->used, part, length + 1);
    line->used += length;
}

/* The two largest units that say something: "9 s", "3 min 20 s", "5 h 12 min", "11 d 4 h". */
static void add_time_left(progress_line *line, double seconds) {
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    if (!(seconds < 1e9)) return; /* a guess that means nothing */
    int64_t left = (int64_t)seconds + 1;
    int unit = 0;
    while (left < units[unit].seconds) unit++;
    if (units[unit].seconds == 1) {
        add_part(line, "  %" PRId64 " s left", left);
        return;
    }
    int64_t first = left / units[unit].seconds, rest = left % units[unit].seconds / units[unit + 1].seconds;
    add_part(line, "  %" PRId64 " %s %" PRId64 " %s left", first, units[unit].name, rest, units[unit + 1].name);
}

/* What matters most comes first, so that a narrow terminal shows that. */
static void compose(progress_line *line, const tilefold_cli_progress *progress, int64_t done, int64_t total,
                    double elapsed) {
    double share = ((double)progress->band + (double)done / (double)total) / (double)progress->bands;
    add_part(line, "%3.0f %%", 100 * share);
    if (share > 0) add_time_left(line, elapsed / share - elapsed);
    if (progress->bands > 1)
        add_part(line, "  %" PRId64 " of %" PRId64 " bands", progress->band, progress->bands);
    else
        add_part(line, "  %" PRId64 " of %" PRId64 " tiles", done, total);
    add_part(line, ", %.1f s", elapsed);
}

bool tilefold_cli_progress_step(void *user, int64_t done, int64_t total) {
    tilefold_cli_progress *progress = user;
    if (tilefold_cli_interrupted()) return false;
    if (!progress->wanted) return true;
    double now = tilefold_cli_clock();
    if (now - progress->printed < seconds_between_lines) return true;
    progress->printed = now;
    progress->shown = true;
    progress_line line = {.width = line_width()};
    compose(&line, progress, done, total, now - progress->begun);
    fprintf(stderr, "\r%s\033[K", line.text);
    return true;
}

void tilefold_cli_progress_end(tilefold_cli_progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
    progress->shown = false;
}
