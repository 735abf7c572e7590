/* From the text of an option to its value. See parse.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "parse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reads an integer at *text and moves *text past it. strtoll alone would also take blanks and a plus sign. */
static bool read_integer(const char **text, int64_t *value) {
    const char *digits = *text + (**text == '-');
    if (*digits < '0' || *digits > '9') return false;
    char *end;
    errno = 0;
    long long number = strtoll(*text, &end, 10);
    if (errno == ERANGE) return false;
    *value = number;
    *text = end;
    return true;
}

bool tilefold_cli_parse_integer(const char *text, int64_t *value) {
    int64_t number;
    if (!read_integer(&text, &number) || *text) return false;
    *value = number;
    return true;
}

bool tilefold_cli_parse_list(const char *text, int max_count, int64_t least, tilefold_cli_list *list) {
    tilefold_cli_list parsed = {0};
    for (;;) {
        int64_t number;
        if (parsed.count == max_count || !read_integer(&text, &number) || number < least) return false;
        parsed.value[parsed.count++] = number;
        if (!*text) break;
        if (*text++ != ',') return false;
    }
    *list = parsed;
    return true;
}

bool tilefold_cli_parse_padding(const char *text, tilefold_cli_padding *padding) {
    static const char *const modes[] = {"same", "same-lower", "valid", NULL};
    tilefold_cli_padding parsed = {0};
    int mode;
    if (tilefold_cli_parse_word(text, modes, &mode)) {
        parsed.mode = (tilefold_cli_padding_mode)(TILEFOLD_CLI_PADDING_SAME + mode);
        *padding = parsed;
        return true;
    }
    for (;;) {
        int64_t begin, end;
        if (parsed.begin.count == TILEFOLD_MAX_RANK || !read_integer(&text, &begin)) return false;
        end = begin;
        if (*text == ':') {
            text++;
            if (!read_integer(&text, &end)) return false;
        }
        parsed.begin.value[parsed.begin.count++] = begin;
        parsed.end.value[parsed.end.count++] = end;
        if (!*text) break;
        if (*text++ != ',') return false;
    }
    *padding = parsed;
    return true;
}

bool tilefold_cli_parse_bytes(const char *text, int64_t *bytes) {
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB", NULL};
    int64_t number;
    int unit;
    if (!read_integer(&text, &number) || number < 0 || !tilefold_cli_parse_word(text, units, &unit)) return false;
    if (number > INT64_MAX >> (10 * unit)) return false;
    *bytes = number << (10 * unit);
    return true;
}

/* Reads a decimal number or an infinity that ends at `until` and moves *text past that. strtof alone would also take
 * blanks, a plus sign and hexadecimal digits, and makes an infinity of what is too large. */
static bool read_float(const char **text, char until, float *value) {
    const char *digits = *text + (**text == '-');
    bool infinite = strncmp(digits, "inf", 3) == 0;
    if (!infinite && digits[strspn(digits, "0123456789.eE+-")] != until) return false;
    if (!infinite && (*digits == '+' || *digits == '-')) return false;
    char *end;
    float number = strtof(*text, &end);
    if (end == *text || *end != until || (isinf(number) && !infinite)) return false;
    *value = number;
    *text = end + (until != '\0');
    return true;
}

bool tilefold_cli_parse_activation(const char *text, float *low, float *high) {
    static const char clamp[] = "clamp:";
    if (strcmp(text, "relu") == 0) {
        *low = 0.0f;
        *high = INFINITY;
        return true;
    }
    if (strncmp(text, clamp, sizeof clamp - 1) != 0) return false;
    text += sizeof clamp - 1;
    float parsed_low, parsed_high;
    if (!read_float(&text, ':', &parsed_low) || !read_float(&text, '\0', &parsed_high)) return false;
    if (parsed_low > parsed_high) return false;
    *low = parsed_low;
    *high = parsed_high;
    return true;
}

bool tilefold_cli_parse_device(const char *text, tilefold_device_kind *kind, int32_t *index) {
    static const char vulkan[] = "vulkan:";
    int64_t number = 0;
    if (strcmp(text, "cpu") == 0) {
        *kind = TILEFOLD_CPU;
    } else if (strcmp(text, "vulkan") == 0) {
        *kind = TILEFOLD_VULKAN;
    } else if (strncmp(text, vulkan, sizeof vulkan - 1) == 0) {
        if (!tilefold_cli_parse_integer(text + sizeof vulkan - 1, &number) || number < 0 || number > INT32_MAX)
            return false;
        *kind = TILEFOLD_VULKAN;
    } else {
        return false;
    }
    *index = (int32_t)number;
    return true;
}

bool tilefold_cli_parse_word(const char *text, const char *const *words, int *place) {
    for (int i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *place = i;
            return true;
        }
    }
    return false;
}
