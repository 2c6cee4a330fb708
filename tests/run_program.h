/* Runs a program as a user would, and keeps what it said. Test code only: a failed call ends the test. */
#ifndef FFL_TESTS_RUN_PROGRAM_H
#define FFL_TESTS_RUN_PROGRAM_H

typedef struct run_result {
    int exit_code;                   /* 128 + signal when a signal ended it, as in the shell */
    char out[1 << 16], err[1 << 16]; /* as much as fits */
} run_result;

/* `command` is a line for sh in which $FFLAB is the program. */
void run_shell(const char *command, run_result *result);

#endif
