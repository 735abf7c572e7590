/* From the text of an option to its value. Each returns false where the text is not of the form described.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_PARSE_H
#define TILEFOLD_CLI_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include <tilefold.h>

enum { TILEFOLD_CLI_MAX_DIMENSIONS = TILEFOLD_MAX_RANK + 2 };

/* `2` or `2,1`: count values; count is 0 where the option was not given. */
typedef struct tilefold_cli_list {
    int count;
    int64_t value[TILEFOLD_CLI_MAX_DIMENSIONS];
} tilefold_cli_list;

typedef enum tilefold_cli_padding_mode {
    TILEFOLD_CLI_PADDING_GIVEN = 0, /* as begin and end say */
    TILEFOLD_CLI_PADDING_SAME,      /* ONNX SAME_UPPER: the odd one at the end */
    TILEFOLD_CLI_PADDING_SAME_LOWER,
    TILEFOLD_CLI_PADDING_VALID,
} tilefold_cli_padding_mode;

typedef struct tilefold_cli_padding {
    tilefold_cli_padding_mode mode;
    tilefold_cli_list begin, end;
} tilefold_cli_padding;

/* A decimal integer, with a minus sign or without, and nothing around it. */
bool tilefold_cli_parse_integer(const char *text, int64_t *value);

/* Up to max_count integers between commas, none below least. */
bool tilefold_cli_parse_list(const char *text, int max_count, int64_t least, tilefold_cli_list *list);

/* `1`, `1,2`, `0:1,2:3`, `same`, `same-lower`, `valid`. */
bool tilefold_cli_parse_padding(const char *text, tilefold_cli_padding *padding);

/* `65536`, `64KiB`, `16MiB`, `1GiB`. */
bool tilefold_cli_parse_bytes(const char *text, int64_t *bytes);

/* `relu` or `clamp:LO:HI`, LO <= HI; infinities may be written `inf`. */
bool tilefold_cli_parse_activation(const char *text, float *low, float *high);

/* `cpu`, `vulkan`, `vulkan:N`. */
bool tilefold_cli_parse_device(const char *text, tilefold_device_kind *kind, int32_t *index);

/* One word of a NULL-terminated list: its place in it. */
bool tilefold_cli_parse_word(const char *text, const char *const *words, int *place);

#endif
