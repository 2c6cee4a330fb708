/* The commands of the program, one file each; main.c holds the table. */
#ifndef FFL_HARNESS_COMMANDS_H
#define FFL_HARNESS_COMMANDS_H

#include "harness/cli.h"

extern const ffl_command ffl_command_bench;
extern const ffl_command ffl_command_calibrate;
extern const ffl_command ffl_command_check;
extern const ffl_command ffl_command_compare;
extern const ffl_command ffl_command_completion;
extern const ffl_command ffl_command_counters;
extern const ffl_command ffl_command_encoder;
extern const ffl_command ffl_command_export;
extern const ffl_command ffl_command_list;
extern const ffl_command ffl_command_man;
extern const ffl_command ffl_command_new;
extern const ffl_command ffl_command_published;
extern const ffl_command ffl_command_replay;
extern const ffl_command ffl_command_report;
extern const ffl_command ffl_command_run;
extern const ffl_command ffl_command_selftest;
extern const ffl_command ffl_command_study;
extern const ffl_command ffl_command_tune;

#endif
