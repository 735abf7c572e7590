/* Windows. See pages.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define WIN32_LEAN_AND_MEAN

#include "pages.h"

#include <errno.h>
#include <windows.h>

/* It reads around a page that is needed, and writes what was changed, as it thinks best. */
void tilefold_cli_pages_expect(const tilefold_cli_pages *pages, bool long_runs) { (void)pages, (void)long_runs; }

/* A call that Windows 7 lacks. */
typedef struct memory_range {
    void *address;
    SIZE_T bytes;
} memory_range;
typedef BOOL(WINAPI *prefetch_call)(HANDLE process, ULONG_PTR count, memory_range *ranges, ULONG flags);

int tilefold_cli_pages_read_ahead(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    HMODULE kernel = GetModuleHandleA("kernel32.dll");
    FARPROC found = kernel ? GetProcAddress(kernel, "PrefetchVirtualMemory") : NULL;
    if (!found || range.begin >= range.end) return 0;
    memory_range wanted = {pages->memory + range.begin, range.end - range.begin};
    ((prefetch_call)(void *)found)(GetCurrentProcess(), 1, &wanted, 0);
    return 0;
}

/* Unlocking what is not locked takes it out of the working set. */
int tilefold_cli_pages_unmap(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    if (range.begin < range.end) VirtualUnlock(pages->memory + range.begin, range.end - range.begin);
    return 0;
}

int tilefold_cli_pages_begin_writing(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    bool wanted = range.begin < range.end;
    return !wanted || FlushViewOfFile(pages->memory + range.begin, range.end - range.begin) ? 0 : EIO;
}

int tilefold_cli_pages_forget(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    (void)pages, (void)range; /* out of the working set they are the first to go */
    return 0;
}

int64_t tilefold_cli_memory_to_be_had(void) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? (int64_t)status.ullAvailPhys : INT64_MAX;
}
