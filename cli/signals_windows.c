/* What Ctrl-C, a closed console and a mapped file that fails do to a run on Windows. See signals.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define WIN32_LEAN_AND_MEAN

#include "signals.h"

#include <stdatomic.h>
#include <string.h>
#include <windows.h>

#include "error.h"
#include "mappings.h"
#include "output_file.h"

static atomic_bool interrupted; /* set on a thread of the system's, read by the threads that compute */

/* The system ends a process whose console closes once this returns, or after some seconds. */
static const DWORD milliseconds_to_stop = 4000;

static BOOL WINAPI note(DWORD event) {
    atomic_store(&interrupted, true);
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(milliseconds_to_stop);
    return TRUE;
}

/* A mapped file on a disk or in a network that fails. Nobody can cut it short meanwhile. */
static LONG WINAPI die_of_page_error(EXCEPTION_POINTERS *pointers) {
    const EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    if (record->ExceptionCode != EXCEPTION_IN_PAGE_ERROR) return EXCEPTION_CONTINUE_SEARCH;
    const char *text = tilefold_cli_mapping_text((const void *)record->ExceptionInformation[1]);
    DWORD written;
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), text, (DWORD)strlen(text), &written, NULL);
    tilefold_cli_output_unlink_temporary();
    TerminateProcess(GetCurrentProcess(), TILEFOLD_CLI_FAILED);
    return EXCEPTION_CONTINUE_SEARCH;
}

void tilefold_cli_catch_signals(void) {
    SetConsoleCtrlHandler(note, TRUE);
    SetUnhandledExceptionFilter(die_of_page_error);
}

bool tilefold_cli_interrupted(void) { return atomic_load(&interrupted); }
