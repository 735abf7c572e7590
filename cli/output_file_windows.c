/* A file that appears under its name only when it is complete, on Windows. See output_file.h.
 *
 * SPDX-License-Identifier: MIT
 *
 * A temporary file beside the final one throughout. ReplaceFile() puts it in the other's place, whose attributes and access
 * control list it takes over, and keeps what it replaced under a name that we choose.
 */
#define WIN32_LEAN_AND_MEAN

#include "output_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "error.h"
#include "signals.h"
#include "system_windows.h"

/* The one output there is at a time, until it is committed, where a handler can see it. */
static tilefold_cli_output *unfinished;

static void close_file(tilefold_cli_output *output) {
    if (output->memory) {
        tilefold_cli_forget_mapping(output->memory);
        UnmapViewOfFile(output->memory);
    }
    if (output->file != -1) CloseHandle((HANDLE)output->file);
    output->memory = NULL;
    output->file = -1;
}

/* Each of these takes names in UTF-8; false, with GetLastError(), where it cannot be done. */

static bool remove_file(const char *name) {
    wchar_t *wide = tilefold_cli_widen(name);
    bool done = wide && DeleteFileW(wide);
    free(wide);
    return done;
}

static bool move_file(const char *from, const char *to, DWORD flags) {
    wchar_t *wide_from = tilefold_cli_widen(from), *wide_to = tilefold_cli_widen(to);
    bool done = wide_from && wide_to && MoveFileExW(wide_from, wide_to, flags);
    free(wide_from);
    free(wide_to);
    return done;
}

/* Puts `file` in the place of `replaced`, which is afterwards at `backup`. */
static bool replace_file(const char *replaced, const char *file, const char *backup) {
    wchar_t *wide[] = {tilefold_cli_widen(replaced), tilefold_cli_widen(file), tilefold_cli_widen(backup)};
    bool done = wide[0] && wide[1] && wide[2] && ReplaceFileW(wide[0], wide[1], wide[2], 0, NULL, NULL);
    for (int i = 0; i < 3; i++) free(wide[i]);
    return done;
}

void tilefold_cli_output_unlink_temporary(void) {
    if (!unfinished) return;
    close_file(unfinished);
    if (unfinished->temporary) remove_file(unfinished->temporary);
}

/* --------------------------------------------------------------------------------------------------------- names ---- */

enum { MOST_PATH = 32768 }; /* characters, of a name with the prefix that makes it long */

/* The name of an open file, without links and relative parts, to be freed; NULL where memory is out. */
static char *name_of(HANDLE file) {
    wchar_t *wide = malloc(MOST_PATH * sizeof *wide);
    DWORD length = wide ? GetFinalPathNameByHandleW(file, wide, MOST_PATH, 0) : 0;
    char *name = length > 0 && length < MOST_PATH ? tilefold_cli_narrow(wide) : NULL;
    free(wide);
    return name;
}

static char *absolute(const wchar_t *name) {
    wchar_t *wide = malloc(MOST_PATH * sizeof *wide);
    DWORD length = wide ? GetFullPathNameW(name, MOST_PATH, wide, NULL) : 0;
    char *path = length > 0 && length < MOST_PATH ? tilefold_cli_narrow(wide) : NULL;
    free(wide);
    return path;
}

/* What is to be made or replaced; sets *exists. OK or FAILED. */
static int resolve_wide(tilefold_cli_output *output, const wchar_t *name, bool *exists) {
    tilefold_cli_windows_error error;
    DWORD attributes = GetFileAttributesW(name);
    *exists = attributes != INVALID_FILE_ATTRIBUTES;
    if (!*exists && GetLastError() != ERROR_FILE_NOT_FOUND)
        return tilefold_cli_fail("%s: cannot write there: %s", output->name, tilefold_cli_last_error(&error));
    if (!*exists) {
        output->path = absolute(name);
        return TILEFOLD_CLI_OK;
    }
    HANDLE file = CreateFileW(name, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0,
                              NULL); /* folders are not opened so */
    bool regular = file != INVALID_HANDLE_VALUE && GetFileType(file) == FILE_TYPE_DISK;
    if (regular) output->path = name_of(file);
    if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
    return regular ? TILEFOLD_CLI_OK : tilefold_cli_fail("%s: exists and is not a regular file", output->name);
}

static int resolve(tilefold_cli_output *output, bool *exists) {
    wchar_t *wide = tilefold_cli_widen(output->name);
    int status = wide ? resolve_wide(output, wide, exists) : TILEFOLD_CLI_OK;
    free(wide);
    if (status != TILEFOLD_CLI_OK) return status;
    char *end = output->path ? strrchr(output->path, '\\') : NULL;
    if (end) output->directory = calloc((size_t)(end - output->path) + 1, 1);
    if (!output->directory) return tilefold_cli_fail("%s: out of memory", output->name);
    memcpy(output->directory, output->path, (size_t)(end - output->path));
    return TILEFOLD_CLI_OK;
}

/* A name beside the output's that this process alone uses, to be freed. */
static char *invent_name(const tilefold_cli_output *output, int number, const char *suffix) {
    size_t bytes = strlen(output->directory) + 64;
    char *name = malloc(bytes);
    if (name) {
        snprintf(name, bytes, "%s\\.tilefold-%lu-%d.%s", output->directory, (unsigned long)GetCurrentProcessId(),
                 number, suffix);
    }
    return name;
}

/* ------------------------------------------------------------------------------------------------------- filling ---- */

enum { MOST_NAMES = 100 }; /* tried before giving up: leftovers of an earlier process with this number */

static int open_file(tilefold_cli_output *output) {
    tilefold_cli_windows_error error;
    for (int number = 0; number < MOST_NAMES && output->file == -1; number++) {
        free(output->temporary);
        output->temporary = invent_name(output, number, "tmp");
        wchar_t *wide = output->temporary ? tilefold_cli_widen(output->temporary) : NULL;
        if (!wide) return tilefold_cli_fail("%s: out of memory", output->name);
        output->file = (intptr_t)CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE,
                                             NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
        free(wide);
        if (output->file == -1 && GetLastError() != ERROR_FILE_EXISTS) break;
    }
    if (output->file != -1) return TILEFOLD_CLI_OK;
    free(output->temporary); /* it is somebody else's */
    output->temporary = NULL;
    return tilefold_cli_fail("%s: cannot create it: %s", output->name, tilefold_cli_last_error(&error));
}

/* The size that a file is given is taken from the disk at once. */
static int reserve(tilefold_cli_output *output, int64_t bytes) {
    tilefold_cli_windows_error error;
    LARGE_INTEGER end = {.QuadPart = bytes};
    HANDLE file = (HANDLE)output->file;
    if (SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file)) return TILEFOLD_CLI_OK;
    return tilefold_cli_fail("%s: cannot reserve %" PRId64 " bytes: %s", output->name, bytes,
                             tilefold_cli_last_error(&error));
}

static int map(tilefold_cli_output *output, int64_t bytes) {
    tilefold_cli_windows_error error;
    HANDLE mapping = CreateFileMappingW((HANDLE)output->file, NULL, PAGE_READWRITE, 0, 0, NULL);
    if (mapping) {
        output->memory = MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0);
        CloseHandle(mapping); /* the view holds it */
    }
    if (!output->memory) {
        return tilefold_cli_fail("%s: cannot map %" PRId64 " bytes: %s", output->name, bytes,
                                 tilefold_cli_last_error(&error));
    }
    output->bytes = (size_t)bytes;
    tilefold_cli_name_mapping(output->name, output->memory, output->bytes);
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_output_create(const char *name, int64_t bytes, tilefold_cli_output *output) {
    bool exists;
    *output = (tilefold_cli_output){.name = name, .file = -1};
    unfinished = output;
    int status = resolve(output, &exists);
    if (status == TILEFOLD_CLI_OK) status = open_file(output);
    if (status == TILEFOLD_CLI_OK) status = reserve(output, bytes);
    if (status == TILEFOLD_CLI_OK) status = map(output, bytes);
    if (status != TILEFOLD_CLI_OK) tilefold_cli_output_discard(output);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- its end ---- */

/* Where nothing has the name. */
static bool make(tilefold_cli_output *output) {
    output->made = move_file(output->temporary, output->path, 0);
    if (!output->made) return false;
    free(output->temporary);
    output->temporary = NULL;
    return true;
}

static bool exchange(tilefold_cli_output *output) {
    char *backup = invent_name(output, 0, "old");
    output->exchanged = backup && replace_file(output->path, output->temporary, backup);
    if (!output->exchanged) {
        free(backup);
        return false;
    }
    free(output->temporary);
    output->temporary = backup;
    return true;
}

int tilefold_cli_output_commit(tilefold_cli_output *output) {
    tilefold_cli_windows_error error;
    close_file(output);
    unfinished = NULL;
    if (make(output) || exchange(output)) return TILEFOLD_CLI_OK;
    return tilefold_cli_fail("%s: cannot give the output its name: %s", output->name, tilefold_cli_last_error(&error));
}

void tilefold_cli_output_keep(tilefold_cli_output *output) { output->made = output->exchanged = false; }

/* Undoes a commit. Where what was replaced cannot be moved back, it stays under its temporary name: it is not ours. */
static void take_back(tilefold_cli_output *output) {
    if (output->made) remove_file(output->path);
    if (!output->exchanged) return;
    move_file(output->temporary, output->path, MOVEFILE_REPLACE_EXISTING);
    free(output->temporary);
    output->temporary = NULL;
}

void tilefold_cli_output_discard(tilefold_cli_output *output) {
    unfinished = NULL;
    take_back(output);
    close_file(output);
    if (output->temporary) remove_file(output->temporary);
    free(output->temporary);
    free(output->directory);
    free(output->path);
    *output = (tilefold_cli_output){.file = -1};
}
