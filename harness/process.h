/*
 * One worker process (harness/worker.h): started, spoken to, and waited for. ffl_jobs_run keeps several busy;
 * whoever wants turns between two of them, or another program's, speaks to each directly.
 */
#ifndef FFL_HARNESS_PROCESS_H
#define FFL_HARNESS_PROCESS_H

#include "harness/cli.h"
#include <jansson.h>
#include <sys/types.h>

enum { FFL_ANSWER_FD = 3 }; /* where a worker writes its answers */

typedef struct ffl_process {
    pid_t pid;    /* 0: none */
    int to, from; /* pipes */
    char text[16384];
    size_t used; /* of text: what ffl_process_ask has not handed out yet */
} ffl_process;

/*
 * Starts `program` (a path) as a worker of that kind; `shared` may be NULL, see ffl_jobs_run. FFL_IO names
 * what went wrong. To be ended.
 */
ffl_status ffl_process_start(const char *program, const char *kind, const ffl_options *shared,
                             ffl_process *process);

/* Writes one JSON object as a line. *sent: the reader took all of it. FFL_INTERNAL when it cannot be encoded.
 */
ffl_status ffl_line_send(int to, const json_t *message, bool *sent);

/* One job; *sent stays false when the worker is gone already. */
ffl_status ffl_process_send(ffl_process *process, const json_t *request, bool *sent);

/*
 * One job of a kind that answers with short lines, to its end. *answer: its last line, a new reference. Fails
 * as the job did; FFL_IO when the worker died or was silent for so long: then it is over, and pid 0.
 * FFL_INTERRUPTED after Ctrl-C.
 */
ffl_status ffl_process_ask(ffl_process *process, const json_t *request, double timeout_s, json_t **answer);

/* Waits for a worker that is over or about to be, and says how it ended. One that hangs on its way out (in a
 * library's destructor, or after closing its answer pipe) is killed. */
void ffl_process_end(ffl_process *process, char *message, size_t size);

#endif
