/* Choices of planners, held by a table: a few problems that networks and signal processing have, and files of lines that say
 * what was chosen for them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_CHOICES_H
#define TESTS_CHOICES_H

#include "problems.h"

/* 0 <= index < choice_problems(). */
int choice_problems(void);
test_problem choice_problem(int index);

enum { CHOICE_LINE = 512 };

/* What is done with a line: returns how much is wrong with it. */
typedef int (*visit_choice)(const char *line);

/* Writes it to standard output. */
int print_choice(const char *line);

/* Whether the table that was read last has this line, as a whole; says so on standard error where not. */
void read_choices(const char *path);
int look_up_choice(const char *line);

#endif /* TESTS_CHOICES_H */
