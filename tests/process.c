/* What the system knows of this process: see process.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* syscall */
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The beginning of a file, as a string; "" where there is none. */
static void read_text(const char *path, char *text, size_t bytes) {
    text[0] = 0;
    int file = open(path, O_RDONLY);
    if (file < 0) return;
    ssize_t length = read(file, text, bytes - 1);
    text[length > 0 ? length : 0] = 0;
    close(file);
}

/* The number behind a word of /proc/self/status. */
static int64_t status_number(const char *word) {
    char text[4096];
    read_text("/proc/self/status", text, sizeof text);
    const char *found = strstr(text, word);
    return found ? strtoll(found + strlen(word), NULL, 10) : -1;
}

int64_t process_threads(void) { return status_number("\nThreads:"); }

int64_t process_address_space_bytes(void) {
    int64_t kilobytes = status_number("\nVmSize:");
    return kilobytes < 0 ? -1 : kilobytes * 1024;
}

int64_t process_resident_bytes(void) {
    static const char word[] = "\nRss:";
    char text[4096];
    read_text("/proc/self/smaps_rollup", text, sizeof text);
    const char *found = strstr(text, word);
    return found ? strtoll(found + sizeof word - 1, NULL, 10) * 1024 : -1;
}

int64_t process_peak_bytes(void) {
    int64_t kilobytes = status_number("\nVmHWM:");
    return kilobytes < 0 ? -1 : kilobytes * 1024;
}

/* Linux keeps 64 pages of each kind to each thread (before 6.2), or a batch of them to each processor. */
int64_t process_counter_slack_bytes(int64_t threads) {
    int64_t processors = sysconf(_SC_NPROCESSORS_CONF), batch = processors > 16 ? 2 * processors : 32;
    int64_t by_thread = 64 * (threads + 1), by_processor = processors * batch;
    return (by_thread > by_processor ? by_thread : by_processor) * sysconf(_SC_PAGESIZE);
}

bool process_reset_peak(void) {
    int file = open("/proc/self/clear_refs", O_WRONLY);
    if (file < 0) return false;
    bool reset = write(file, "5", 1) == 1;
    close(file);
    int64_t resident = process_resident_bytes();
    return reset && resident >= 0 && process_peak_bytes() <= resident + process_counter_slack_bytes(process_threads());
}

/* "R" in "17 (name) R ...", where the name may hold anything. */
static bool is_busy(const char *thread) {
    char path[300], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", thread);
    read_text(path, text, sizeof text);
    const char *end = strrchr(text, ')');
    return end && end[1] && end[2] == 'R';
}

int64_t other_threads_busy(void) {
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) return -1;
    long self = syscall(SYS_gettid);
    int64_t busy = 0;
    for (const struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
        if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != self) busy += is_busy(entry->d_name);
    }
    closedir(tasks);
    return busy;
}

void sleep_briefly(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

bool others_go_to_sleep(void) {
    for (int i = 0; i < 20000; i++) {
        if (other_threads_busy() <= 0) return true;
        sleep_briefly();
    }
    return false;
}

int run_in_child(int (*run)(void *argument), void *argument) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(run(argument));
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

static void *do_nothing(void *argument) { return argument; }

static int start_one(void *argument) {
    pthread_t thread;
    return pthread_create(&thread, NULL, do_nothing, argument) != 0 || pthread_join(thread, NULL) != 0;
}

static void *wait_for_flag(void *flag) {
    while (!atomic_load((atomic_bool *)flag)) sleep_briefly();
    return NULL;
}

bool children_may_start_threads(void) {
    atomic_bool done;
    atomic_init(&done, false);
    pthread_t other;
    if (pthread_create(&other, NULL, wait_for_flag, &done) != 0) abort();
    int status = run_in_child(start_one, NULL);
    atomic_store(&done, true);
    pthread_join(other, NULL);
    return status == 0;
}
