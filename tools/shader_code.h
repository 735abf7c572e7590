/* AMD's machine code as text, as Mesa's compiler writes it: one instruction a line, blocks named BB0, BB1...
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TOOLS_SHADER_CODE_H
#define TOOLS_SHADER_CODE_H

/* What is issued within a loop, those within it included. A dual instruction is one, and up to two multiply-adds. */
typedef struct shader_loop {
    int instructions, multiply_adds;
    int shared_loads, shared_waits; /* from the workgroup's memory; waits for them, or for what else counts with them */
    int loads, waits;               /* from buffers and images; waits for them */
} shader_loop;

typedef struct shader_loops {
    shader_loop
        inner; /* of those that multiply and have no other such within, the one that multiplies most; else all zero */
    shader_loop outer; /* the next around it; of none, the same */
} shader_loops;

shader_loops shader_code_find_loops(const char *code);

#endif /* TOOLS_SHADER_CODE_H */
