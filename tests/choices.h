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

/* Calls visit with every line that there is to make. */
typedef int (*make_choices)(visit_choice visit);

/* How many lines the table in this file does not have as a whole; says which on standard error. */
int compare_choices(const char *path, make_choices make);

/* Writes the table anew; 0, or 1 where that fails. */
int write_choices(const char *path, make_choices make);

/* The line of the table in hand that begins so, as a whole; false where there is none. */
bool find_choice(const char *beginning, char line[CHOICE_LINE]);

#endif /* TESTS_CHOICES_H */
