/*
 * The command line: one table of options, one struct of what was given, typed readers that name option and
 * value when they refuse one. Commands declare which options they take; anything else is an error.
 */
#ifndef FFL_HARNESS_CLI_H
#define FFL_HARNESS_CLI_H

#include "kernels/layer.h"
#include "kernels/status.h"
#include "kernels/variant.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of the program (README, "Exit codes"). */
enum {
    FFL_EXIT_GOOD = 0,
    FFL_EXIT_USAGE = 1,        /* usage or bad input */
    FFL_EXIT_FAILED = 2,       /* SUSPECT, FAILED, CRASHED, TIMEOUT or IMPLAUSIBLE */
    FFL_EXIT_REGRESSION = 3,
    FFL_EXIT_STRICT = 4,       /* WEAK or HANDICAPPED under --strict */
    FFL_EXIT_NOTHING_RAN = 5,
    FFL_EXIT_INTERRUPTED = 130
};

/* What they mean, in a line each. */
extern const struct ffl_exit_meaning {
    int code;
    const char *meaning;
} ffl_exit_codes[];
extern const size_t ffl_exit_code_count;

typedef enum ffl_option {
    FFL_OPT_VARIANT = 0, /* repeatable */
    FFL_OPT_EXCLUDE,     /* repeatable */
    FFL_OPT_PLUGIN,      /* repeatable */
    FFL_OPT_PROCESS,     /* repeatable */
    FFL_OPT_TREE,
    FFL_OPT_NEURONS,
    FFL_OPT_LEAF,
    FFL_OPT_MOE,
    FFL_OPT_WIDTH,
    FFL_OPT_WIDTH_OUT,
    FFL_OPT_ACTIVATION,
    FFL_OPT_PRESET,
    FFL_OPT_BATCH,
    FFL_OPT_THREADS,
    FFL_OPT_CLASS,
    FFL_OPT_ROUTING,
    FFL_OPT_CACHE,
    FFL_OPT_FIXTURE,
    FFL_OPT_CPUS,
    FFL_OPT_WEIGHTS,
    FFL_OPT_INPUT,
    FFL_OPT_OUTPUT,
    FFL_OPT_RESULT,
    FFL_OPT_CONTRACT,
    FFL_OPT_INVARIANCE,
    FFL_OPT_PROPERTIES,
    FFL_OPT_SEED,
    FFL_OPT_BUDGET,
    FFL_OPT_OUT,
    FFL_OPT_JSON,
    FFL_OPT_RESUME,
    FFL_OPT_SHARD,
    FFL_OPT_FULL,
    FFL_OPT_STRICT,
    FFL_OPT_IN_PROCESS,
    FFL_OPT_TIMEOUT,
    FFL_OPT_PROBLEMS,
    FFL_OPT_CONFIG,
    FFL_OPT_CHECKPOINT,
    FFL_OPT_SEQ,
    FFL_OPT_POSITIONS,
    FFL_OPT_TOKENS,
    FFL_OPT_MASK,
    FFL_OPT_TOKEN_TYPES,
    FFL_OPT_DUMP,
    FFL_OPT_TRACE,
    FFL_OPT_LAYERS,
    FFL_OPT_COUNTERS,
    FFL_OPT_RECORD,
    FFL_OPT_RECORD_LAYER,
    FFL_OPT_BEST,
    FFL_OPT_TABLE,
    FFL_OPT_REPORT,
    FFL_OPT_SHRINK,
    FFL_OPT_README,
    FFL_OPT_WITHOUT,
    FFL_OPT_CALIBRATE,
    FFL_OPT_TIMING,
    FFL_OPT_AGAINST,
    FFL_OPT_PAIRS,
    FFL_OPT_MARGIN,
    FFL_OPT_FAIL_ON,
    FFL_OPT_MARKDOWN,
    FFL_OPT_BLAS_LIBRARY,
    FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_HELP,
    FFL_OPT_COUNT
} ffl_option;

enum { FFL_OPTION_LISTS = FFL_OPT_PROCESS + 1 }; /* options that may be repeated come first */

/* What several commands take, for their lists: which variants on which layers, and how long work is done. */
#define FFL_OPTIONS_OF_ROWS                                                                                  \
    FFL_OPT_VARIANT, FFL_OPT_EXCLUDE, FFL_OPT_TREE, FFL_OPT_NEURONS, FFL_OPT_WIDTH, FFL_OPT_WIDTH_OUT,       \
        FFL_OPT_ACTIVATION, FFL_OPT_BATCH, FFL_OPT_THREADS, FFL_OPT_CLASS, FFL_OPT_SEED
#define FFL_OPTIONS_OF_JOBS                                                                                  \
    FFL_OPT_BUDGET, FFL_OPT_OUT, FFL_OPT_JSON, FFL_OPT_RESUME, FFL_OPT_IN_PROCESS, FFL_OPT_TIMEOUT

struct ffl_command;

typedef struct ffl_options {
    const struct ffl_command *command;
    const char *value[FFL_OPT_COUNT]; /* as last given, NULL when not; flags: "" */
    const char **list[FFL_OPTION_LISTS]; /* -v, -x, --plugin, --process in order given */
    size_t list_count[FFL_OPTION_LISTS];
    const char **words; /* what is no option */
    size_t word_count;
    const char **pass; /* after -- : for Google Benchmark */
    size_t pass_count;
} ffl_options;

typedef struct ffl_command {
    const char *name, *summary;
    const char *usage;           /* "VARIANT --weights FILE --input X.npy --output Y.npy" */
    const char *help;            /* paragraphs and examples, printed by --help */
    const ffl_option *options;   /* what it takes, ended by FFL_OPT_COUNT; --help is always taken */
    size_t words_min, words_max; /* positional arguments */
    bool takes_pass;             /* arguments after -- */
    /* Optional: refuses bad values before anything runs; called for every line of a problem file. */
    ffl_status (*validate)(const ffl_options *options);
    ffl_status (*run)(const ffl_options *options, int *exit_code);
} ffl_command;

/* All commands, ended by NULL (harness/commands.c). */
extern const ffl_command *const ffl_commands[];

/* Reads argv after the command's name. FFL_BAD_INPUT for unknown options, missing values, stray words. */
ffl_status ffl_options_parse(const ffl_command *command, int argc, char **argv, ffl_options *out);

/* `base` overridden by the words of one problem line (same words as the command line; # comments). */
ffl_status ffl_options_merge_line(const ffl_options *base, char *line, ffl_options *out);

void ffl_options_free(ffl_options *options);

/* True when the command has this option (--help: always). */
bool ffl_command_takes(const ffl_command *command, ffl_option option);

void ffl_help_program(void);
void ffl_help_command(const ffl_command *command);

/* ---- Typed readers. Each names option and value in its error, and returns `fallback` when not given. ---- */

bool ffl_option_given(const ffl_options *options, ffl_option option);

/* "--batch": for messages and repeat commands; "B,…", NULL for a flag; one line on it. */
const char *ffl_option_name(ffl_option option);
const char *ffl_option_argument(ffl_option option);
const char *ffl_option_help(ffl_option option);

ffl_status ffl_option_size(const ffl_options *options, ffl_option option, size_t min, size_t max, size_t fallback,
                           size_t *out);
ffl_status ffl_option_seed(const ffl_options *options, uint64_t fallback, uint64_t *out);

/* Seconds from "90", "90s", "20m", "2h". */
ffl_status ffl_option_duration(const ffl_options *options, ffl_option option, double fallback, double *out);

/* A share from "3%", after `prefix` ("slower="): 0.03. Above 0, below 1000 %. */
ffl_status ffl_option_share(const ffl_options *options, ffl_option option, const char *prefix, double fallback,
                            double *out);

enum { FFL_LIST_MAX = 64 };

typedef struct ffl_size_list {
    size_t value[FFL_LIST_MAX];
    size_t count;
} ffl_size_list;

/* "1,16,128"; `fallback` in the same form. */
ffl_status ffl_option_size_list(const ffl_options *options, ffl_option option, size_t min, size_t max,
                                const char *fallback, ffl_size_list *out);

typedef struct ffl_tree_list {
    struct {
        size_t trees, levels;
    } value[FFL_LIST_MAX];
    size_t count;
} ffl_tree_list;

/* "1x11,16x7" or "1x3..11" (depth as on paper; stored as levels). */
ffl_status ffl_option_trees(const ffl_options *options, const char *fallback, ffl_tree_list *out);

typedef struct ffl_expert_list {
    struct {
        size_t count, width, chosen; /* of a leaf tree: decisions, neurons of a leaf, 1 */
    } value[FFL_LIST_MAX];
    size_t count;
} ffl_expert_list;

/* --leaf "9x8": decisions x neurons of a leaf; --moe "512x8:1": experts x neurons of each, and how many a token
 * gets (1 where it does not say). Lists, too. */
ffl_status ffl_option_experts(const ffl_options *options, ffl_option option, const char *fallback,
                              ffl_expert_list *out);

/* One word out of `names` (NULL-terminated): its index. */
ffl_status ffl_option_choice(const ffl_options *options, ffl_option option, const char *const *names,
                             size_t fallback, size_t *out);

/* A comma-separated list split in place; items point into a buffer inside the result. */
typedef struct ffl_word_list {
    char buffer[1024];
    const char *value[FFL_LIST_MAX];
    size_t count;
} ffl_word_list;
ffl_status ffl_option_words(const ffl_options *options, ffl_option option, const char *fallback, ffl_word_list *out);

/* "i/n", 1 <= i <= n; 1/1 when not given. */
ffl_status ffl_option_shard(const ffl_options *options, size_t *index, size_t *count);

/* True when the variant passes -v and -x. The *_cblas rows also want --blas-library, or their full name; rows of
 * programs that come with the lab want a -v that spells their word: 'ff_torch*', not 'ff_*'. */
bool ffl_option_selects(const ffl_options *options, const ffl_variant *variant);

/* FFL_BAD_INPUT when a -v glob matches no variant at all: a typing error, not an empty run. */
ffl_status ffl_option_check_globs(const ffl_options *options);

#endif
