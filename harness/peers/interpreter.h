/*
 * The Python that a manifest's "{python}" stands for: $FFLAB_PYTHON, or else the first python3 on PATH, or
 * /usr/bin/python3, that has the modules asked for. Modules are looked for, not imported, so that a missing
 * one costs tens of milliseconds; each question is asked once per process.
 */
#ifndef FFL_HARNESS_INTERPRETER_H
#define FFL_HARNESS_INTERPRETER_H

#include <stdbool.h>

/* needs: names ended by NULL. NULL, with a reason in *why, when no interpreter has them all; both are static.
 */
const char *ffl_interpreter_find(char *const *needs, const char **why);

#endif
