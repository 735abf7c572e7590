/* What the system knows of this process: its threads and its address space. On Linux; elsewhere -1.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_PROCESS_H
#define TESTS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* How many threads there are. Allocates nothing. */
int64_t process_threads(void);

/* How many of the threads other than the calling one are running or ready to run. */
int64_t other_threads_busy(void);

int64_t process_address_space_bytes(void);

/* Memory that is resident now, counted page by page; and the most there was since the last reset, as the kernel's counters have it,
 * each of which may lag by process_counter_slack_bytes(). The reset is false where the system does not let a process do that. */
int64_t process_resident_bytes(void);
bool process_reset_peak(void);
int64_t process_peak_bytes(void);
int64_t process_counter_slack_bytes(int64_t threads);

/* Whether within 20 seconds no other thread is busy any more: one that spins would be for ever. */
bool others_go_to_sleep(void);

void sleep_briefly(void); /* a millisecond */

/* Runs it in a child process, which has a minute: its exit status, or -1 where it did not exit. */
int run_in_child(int (*run)(void *argument), void *argument);

/* Whether the child of a process with several threads may start threads: not under gcc's thread sanitizer, nor qemu-user. */
bool children_may_start_threads(void);

#endif /* TESTS_PROCESS_H */
