/* Windows. See system.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define WIN32_LEAN_AND_MEAN

#include "system.h"

#include <fcntl.h>
#include <io.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <psapi.h>
#include <shellapi.h>

#include "error.h"
#include "signals.h"
#include "system_windows.h"

#ifndef ENABLE_VIRTUAL_TERMINAL_PROCESSING
#define ENABLE_VIRTUAL_TERMINAL_PROCESSING 0x0004
#endif

wchar_t *tilefold_cli_widen(const char *text) {
    int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = length > 0 ? malloc((size_t)length * sizeof *wide) : NULL;
    if (wide) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, length);
    return wide;
}

char *tilefold_cli_narrow(const wchar_t *text) {
    int bytes = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *narrow = bytes > 0 ? malloc((size_t)bytes) : NULL;
    if (narrow) WideCharToMultiByte(CP_UTF8, 0, text, -1, narrow, bytes, NULL, NULL);
    return narrow;
}

const char *tilefold_cli_last_error(tilefold_cli_windows_error *error) {
    DWORD number = GetLastError();
    DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, number, 0,
                                  error->text, sizeof error->text, NULL);
    while (length > 0 && strchr("\r\n .", error->text[length - 1])) error->text[--length] = '\0';
    if (length == 0) snprintf(error->text, sizeof error->text, "error %lu", (unsigned long)number);
    return error->text;
}

/* The arguments in UTF-8, whatever the code page. They live as long as the process. */
static int read_arguments(int *argc, char ***argv) {
    int count;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &count);
    char **narrow = wide ? calloc((size_t)count + 1, sizeof *narrow) : NULL;
    bool done = narrow != NULL;
    for (int i = 0; done && i < count; i++) done = (narrow[i] = tilefold_cli_narrow(wide[i])) != NULL;
    if (wide) LocalFree((void *)wide);
    if (!done) return tilefold_cli_fail("cannot read the command line");
    *argc = count;
    *argv = narrow;
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_begin_process(int *argc, char ***argv) {
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    setlocale(LC_CTYPE, ".UTF8"); /* names of files, for fopen() */
    SetConsoleOutputCP(CP_UTF8);
    return read_arguments(argc, argv);
}

bool tilefold_cli_can_print(void) {
    HANDLE output = GetStdHandle(STD_OUTPUT_HANDLE);
    return output && output != INVALID_HANDLE_VALUE && _fileno(stdout) >= 0;
}

bool tilefold_cli_is_terminal(void) {
    DWORD mode;
    HANDLE console = GetStdHandle(STD_ERROR_HANDLE);
    return GetConsoleMode(console, &mode) && SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

int tilefold_cli_terminal_columns(void) {
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_ERROR_HANDLE), &info)) return 0;
    return info.srWindow.Right - info.srWindow.Left + 1;
}

void *tilefold_cli_allocate(int64_t bytes) {
    if ((uint64_t)bytes > SIZE_MAX - 64) return NULL;
    return _aligned_malloc(bytes > 0 ? (size_t)bytes : 1, 64);
}

void tilefold_cli_release(void *memory) { _aligned_free(memory); }

int64_t tilefold_cli_peak_memory(void) {
    PROCESS_MEMORY_COUNTERS counters;
    if (!K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters)) return 0;
    return (int64_t)counters.PeakWorkingSetSize;
}

double tilefold_cli_clock(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    return (double)ticks.QuadPart / (double)per_second.QuadPart;
}

static int map_open_file(const char *path, HANDLE file, void **memory, size_t *bytes) {
    tilefold_cli_windows_error error;
    LARGE_INTEGER size;
    if (GetFileType(file) != FILE_TYPE_DISK) return tilefold_cli_fail("%s: not a regular file", path);
    if (!GetFileSizeEx(file, &size))
        return tilefold_cli_fail("%s: cannot read it: %s", path, tilefold_cli_last_error(&error));
    *bytes = (size_t)size.QuadPart;
    if (*bytes == 0) return TILEFOLD_CLI_OK;
    HANDLE mapping = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    if (mapping) {
        *memory = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
        CloseHandle(mapping); /* the view holds it */
    }
    if (!*memory) {
        return tilefold_cli_fail("%s: cannot map its %zu bytes: %s", path, *bytes, tilefold_cli_last_error(&error));
    }
    tilefold_cli_name_mapping(path, *memory, *bytes);
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_map_file(const char *path, void **memory, size_t *bytes) {
    *memory = NULL;
    *bytes = 0;
    wchar_t *wide = tilefold_cli_widen(path);
    if (!wide) return tilefold_cli_fail("%s: out of memory", path);
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
    free(wide);
    tilefold_cli_windows_error error;
    if (file == INVALID_HANDLE_VALUE)
        return tilefold_cli_fail("%s: cannot open it: %s", path, tilefold_cli_last_error(&error));
    int status = map_open_file(path, file, memory, bytes);
    CloseHandle(file);
    return status;
}

void tilefold_cli_unmap_file(void *memory, size_t bytes) {
    (void)bytes;
    tilefold_cli_forget_mapping(memory);
    UnmapViewOfFile(memory);
}
