/* Arrays in .npy files. See npy.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "system.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the elements of a .npy file are used where they lie, so the host must be little-endian"
#endif

static const char magic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

/* The dict's text, read from `at` up to `end`; there is no NUL. */
typedef struct header_text {
    const char *at, *end;
} header_text;

typedef struct header_fields {
    bool has_descr, has_order, has_shape;
    const char *descr; /* into the text */
    size_t descr_bytes;
    bool fortran_order;
    int count;
    int64_t size[TILEFOLD_CLI_MAX_DIMENSIONS];
} header_fields;

static void skip_blanks(header_text *text) {
    while (text->at < text->end && memchr(" \t\r\n", *text->at, 4)) text->at++;
}

/* Takes one character after any blanks, if it is the one wanted. */
static bool take(header_text *text, char wanted) {
    skip_blanks(text);
    if (text->at == text->end || *text->at != wanted) return false;
    text->at++;
    return true;
}

static bool take_word(header_text *text, const char *word) {
    size_t length = strlen(word);
    skip_blanks(text);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0) return false;
    text->at += length;
    return true;
}

/* 'text' or "text", without escapes: no key and no type needs one. */
static bool take_string(header_text *text, const char **string, size_t *length) {
    skip_blanks(text);
    if (text->at == text->end || (*text->at != '\'' && *text->at != '"')) return false;
    char quote = *text->at++;
    *string = text->at;
    while (text->at < text->end && *text->at != quote && *text->at != '\\') text->at++;
    *length = (size_t)(text->at - *string);
    return take(text, quote);
}

/* A size as Python writes it: no sign, no leading zero; Python 2 put an L behind long ones. */
static bool take_size(header_text *text, int64_t *size) {
    skip_blanks(text);
    const char *first = text->at;
    int64_t number = 0;
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
        int digit = *text->at - '0';
        if (number > (INT64_MAX - digit) / 10) return false;
        number = number * 10 + digit;
    }
    if (text->at == first || (*first == '0' && text->at - first > 1)) return false;
    if (text->at < text->end && *text->at == 'L') text->at++;
    *size = number;
    return true;
}

/* (), (3,), (3, 4), ... A comma is needed after a single size and allowed after the last of several. */
static bool take_shape(header_text *text, header_fields *fields) {
    fields->count = 0;
    if (!take(text, '(')) return false;
    while (!take(text, ')')) {
        if (fields->count == TILEFOLD_CLI_MAX_DIMENSIONS || !take_size(text, &fields->size[fields->count]))
            return false;
        fields->count++;
        if (take(text, ',')) continue;
        return fields->count > 1 && take(text, ')');
    }
    return true;
}

static bool is_key(const char *key, size_t length, const char *wanted) {
    return length == strlen(wanted) && memcmp(key, wanted, length) == 0;
}

/* One "key: value" of the dict. *complaint is set where there is more to say than "not a header". */
static bool take_field(header_text *text, header_fields *fields, const char **complaint) {
    const char *key;
    size_t length;
    if (!take_string(text, &key, &length) || !take(text, ':')) return false;
    if (is_key(key, length, "descr") && !fields->has_descr) {
        fields->has_descr = true;
        skip_blanks(text);
        if (text->at < text->end && *text->at == '[') *complaint = "a structured dtype";
        return take_string(text, &fields->descr, &fields->descr_bytes);
    }
    if (is_key(key, length, "fortran_order") && !fields->has_order) {
        fields->has_order = true;
        fields->fortran_order = take_word(text, "True");
        return fields->fortran_order || take_word(text, "False");
    }
    if (is_key(key, length, "shape") && !fields->has_shape) {
        fields->has_shape = true;
        if (take_shape(text, fields)) return true;
        *complaint = "a shape that is not a tuple of at most 5 sizes below 2^63";
    }
    return false;
}

/* The whole dict, and nothing after it but blanks. */
static bool take_dict(header_text *text, header_fields *fields, const char **complaint) {
    if (!take(text, '{')) return false;
    while (!take(text, '}')) {
        if (!take_field(text, fields, complaint)) return false;
        if (take(text, ',')) continue;
        if (!take(text, '}')) return false;
        break;
    }
    skip_blanks(text);
    return text->at == text->end && fields->has_descr && fields->has_order && fields->has_shape;
}

/* Finds the header's text and, after it, the data. */
static int read_header(const tilefold_cli_array *array, header_fields *fields, size_t *data_offset) {
    const char *path = array->shape.name;
    const unsigned char *file = array->mapping;
    size_t bytes = array->mapping_bytes;
    if (bytes < 10 || memcmp(file, magic, sizeof magic) != 0) return tilefold_cli_fail("%s: not a .npy file", path);
    if (file[6] < 1 || file[6] > 3 || file[7] != 0) {
        return tilefold_cli_fail("%s: .npy version %d.%d is not known (1.0, 2.0 and 3.0 are)", path, file[6], file[7]);
    }
    size_t begin = file[6] == 1 ? 10 : 12;
    if (bytes < begin) return tilefold_cli_fail("%s: the .npy header is cut short: %zu bytes in all", path, bytes);
    size_t length = file[8] | (size_t)file[9] << 8;
    if (begin == 12) length |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
    if (length > bytes - begin) {
        return tilefold_cli_fail(
            "%s: the .npy header is cut short: it is said to have %zu bytes, the file has %zu after that", path, length,
            bytes - begin);
    }
    const char *complaint = "no dict with just descr, fortran_order and shape";
    header_text text = {(const char *)file + begin, (const char *)file + begin + length};
    if (!take_dict(&text, fields, &complaint))
        return tilefold_cli_fail("%s: the .npy header holds %s", path, complaint);
    *data_offset = begin + length;
    return TILEFOLD_CLI_OK;
}

/* What the elements are, from the file's descr and what the caller says of 2-byte arrays. */
static int choose_type(tilefold_cli_array *array, const header_fields *fields, tilefold_type wanted) {
    static const struct {
        const char *descr;
        tilefold_type type; /* NONE: only as bfloat16 */
    } known[] = {{"<f4", TILEFOLD_F32},  {"<f2", TILEFOLD_F16},  {"<u2", TILEFOLD_NONE},
                 {"<i2", TILEFOLD_NONE}, {"|V2", TILEFOLD_NONE}, {"<V2", TILEFOLD_NONE}};
    const char *path = array->shape.name;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!is_key(fields->descr, fields->descr_bytes, known[i].descr)) continue;
        array->type = known[i].type;
        if (wanted == TILEFOLD_BF16 && known[i].type != TILEFOLD_F32) array->type = TILEFOLD_BF16;
        memcpy(array->descr, known[i].descr, sizeof array->descr);
        if (array->type == TILEFOLD_NONE) {
            return tilefold_cli_fail(
                "%s: dtype '%s' is no type to compute with; where it holds bfloat16, say --dtype bf16", path,
                array->descr);
        }
        return TILEFOLD_CLI_OK;
    }
    char descr[64] = "";
    for (size_t i = 0; i < fields->descr_bytes && i < sizeof descr - 1; i++) {
        char byte = fields->descr[i];
        descr[i] = byte >= ' ' && byte <= '~' ? byte : '?';
    }
    return tilefold_cli_fail("%s: dtype '%s' is not supported ('<f4', '<f2' and, with --dtype bf16, 2-byte ones are)",
                             path, descr);
}

/* Sizes, strides and the number of elements, which must be what the file holds. */
static int lay_out(tilefold_cli_array *array, const header_fields *fields, size_t data_offset) {
    tilefold_cli_shape_text text;
    const char *path = array->shape.name;
    const char *shape = tilefold_cli_shape_print(fields->count, fields->size, &text);
    int64_t element = (int64_t)tilefold_type_bytes(array->type), reach = 1;
    bool empty = false;
    for (int i = 0; i < fields->count; i++) {
        int axis = fields->fortran_order ? i : fields->count - 1 - i;
        int64_t size = fields->size[axis];
        array->shape.size[axis] = size;
        array->stride[axis] = reach;
        empty = empty || size == 0;
        if (size > INT64_MAX / element / reach) {
            return tilefold_cli_fail("%s: shape %s of '%s' does not fit 64 bits", path, shape, array->descr);
        }
        if (size > 0) reach *= size;
    }
    array->shape.count = fields->count;
    uint64_t expected = empty ? 0 : (uint64_t)(reach * element);
    uint64_t held = array->mapping_bytes - data_offset;
    if (held != expected) {
        return tilefold_cli_fail("%s: shape %s of '%s' takes %" PRIu64 " bytes, but %" PRIu64 " follow the header",
                                 path, shape, array->descr, expected, held);
    }
    if (data_offset % (size_t)element != 0) {
        return tilefold_cli_fail("%s: the data begin at byte %zu, which is not aligned to the %d bytes of '%s'", path,
                                 data_offset, (int)element, array->descr);
    }
    array->data = (const char *)array->mapping + data_offset;
    return TILEFOLD_CLI_OK;
}

static int map_file(const char *path, tilefold_cli_array *array) {
    int status = tilefold_cli_map_file(path, &array->mapping, &array->mapping_bytes);
    if (status != TILEFOLD_CLI_OK || array->mapping) return status;
    return tilefold_cli_fail("%s: not a .npy file: it is empty", path);
}

int tilefold_cli_npy_open(const char *path, tilefold_type type, bool or_f32, tilefold_cli_array *array) {
    static const char *const names[] = {"none", "f32", "f16", "bf16"};
    tilefold_cli_array opened = {.shape = {.name = path}};
    header_fields fields = {0};
    size_t data_offset = 0;
    int status = map_file(path, &opened);
    if (status != TILEFOLD_CLI_OK) return status;
    status = read_header(&opened, &fields, &data_offset);
    if (status == TILEFOLD_CLI_OK) status = choose_type(&opened, &fields, type);
    bool agrees = type == TILEFOLD_NONE || opened.type == type || (or_f32 && opened.type == TILEFOLD_F32);
    if (status == TILEFOLD_CLI_OK && !agrees) {
        status = tilefold_cli_fail("%s: dtype '%s', where %s is expected", path, opened.descr, names[type]);
    }
    if (status == TILEFOLD_CLI_OK) status = lay_out(&opened, &fields, data_offset);
    if (status == TILEFOLD_CLI_OK) {
        *array = opened;
    } else {
        tilefold_cli_npy_close(&opened);
    }
    return status;
}

void tilefold_cli_npy_close(tilefold_cli_array *array) {
    if (!array->mapping) return;
    tilefold_cli_unmap_file(array->mapping, array->mapping_bytes);
    array->mapping = NULL;
}

void tilefold_cli_npy_header(const char *descr, int count, const int64_t *size,
                             char header[TILEFOLD_CLI_NPY_HEADER_BYTES]) {
    tilefold_cli_shape_text text;
    const int bytes = TILEFOLD_CLI_NPY_HEADER_BYTES;
    memset(header, ' ', (size_t)bytes);
    memcpy(header, magic, sizeof magic);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)(unsigned char)((bytes - 10) & 0xff);
    header[9] = (char)(unsigned char)((bytes - 10) >> 8);
    int length = snprintf(header + 10, (size_t)bytes - 10, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                          descr, tilefold_cli_shape_print(count, size, &text));
    header[10 + length] = ' ';
    header[bytes - 1] = '\n';
}

const char *tilefold_cli_shape_print(int count, const int64_t *size, tilefold_cli_shape_text *text) {
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        length += (size_t)snprintf(text->text + length, sizeof text->text - length, "%s%" PRId64, i ? ", " : "(",
                                   size[i]);
    }
    snprintf(text->text + length, sizeof text->text - length, "%s)", count == 0 ? "(" : count == 1 ? "," : "");
    return text->text;
}
