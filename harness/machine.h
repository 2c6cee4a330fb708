/*
 * The circumstances of a run, kept beside its numbers: machine, system, build, libraries as loaded,
 * environment, command. The host's name is left out: journals get published.
 */
#ifndef FFL_HARNESS_MACHINE_H
#define FFL_HARNESS_MACHINE_H

#include <jansson.h>
#include <stddef.h>

/*
 * New reference, NULL without memory. An object of objects:
 *
 *   machine      cpu, cpus, affinity, isa [names], l1d_bytes, l2_bytes, l3_bytes, memory_bytes, kernel, os,
 *                hypervisor, governor, turbo, huge_pages (the last four only where they can be read)
 *   device       of a GPU: name, compute_capability, multiprocessors, l2_bytes, memory_bytes, driver,
 * runtime, sm_mhz, sm_max_mhz, memory_mhz, memory_max_mhz, watts, watts_limit of this moment, or clocks "not
 * available"; emulated build        version, commit, compiler, build_type, optimization, sanitize, c_args,
 * loop (of bench) blas         [as ffl_environment_providers, or {library, missing: why}] environment
 * variables that libraries and loader read, as this process sees them overridden   variables of the user's
 * that were set aside (harness/environment.h) command      as typed
 */
json_t *ffl_circumstances(void);

/* The command line of this process, quoted for a shell; "" when it cannot be read. */
void ffl_command_line(char *out, size_t size);

#endif
